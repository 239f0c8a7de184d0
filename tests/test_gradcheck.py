"""The gradient checker is checked: right layers pass, planted faults fail, and the guess names what was planted."""

import numpy as np
import pytest

from minicnn.gradcheck import check_function, check_layer, check_loss, numeric
from minicnn.gradcheck.diagnosis import guess_cause
from minicnn.gradcheck.evidence import Evidence, first_few
from minicnn.layers import (
    AvgPool2d,
    BatchNorm1d,
    BatchNorm2d,
    Conv2d,
    Dropout,
    Layer,
    Linear,
    MaxPool2d,
    ReLU,
    Sequential,
    Sigmoid,
)
from minicnn.losses import SoftmaxCrossEntropy

PICTURES = np.random.default_rng(0).standard_normal((3, 2, 5, 6))
ROWS = np.random.default_rng(1).standard_normal((5, 4))


class FlippedSign(Linear):
    def backward(self, dy):
        dx = super().backward(dy)
        self.b.grad = -self.b.grad
        return dx


class DividedByN(Linear):
    def backward(self, dy):
        dx = super().backward(dy)
        self.w.grad = self.w.grad / len(dy)
        return dx


class MultipliedByN(Linear):
    def backward(self, dy):
        return super().backward(dy) * len(dy)


class TransposedWeights(Linear):
    def backward(self, dy):
        dx = super().backward(dy)
        self.w.grad = self.w.grad.T.copy()
        return dx


class ForgottenParameter(Linear):
    def backward(self, dy):
        dx = super().backward(dy)
        self.b.grad = None
        return dx


class MissingBatchSum(Linear):
    def backward(self, dy):
        dx = super().backward(dy)
        self.b.grad = dy
        return dx


class Accumulating(Linear):
    def backward(self, dy):
        before = self.w.grad
        dx = super().backward(dy)
        if before is not None:
            self.w.grad = self.w.grad + before
        return dx


class ChangingUpstream(ReLU):
    def backward(self, dy):
        dx = super().backward(dy)
        dy *= dx != 0
        return dx


class ChangingInput(ReLU):
    def forward(self, x):
        y = super().forward(x)
        x[...] = y
        return y


class ChangingWeights(Linear):
    def backward(self, dy):
        dx = super().backward(dy)
        self.w.value -= 0.1 * self.w.grad
        return dx


class NeverWritten(ReLU):
    def backward(self, dy):
        return np.zeros_like(super().backward(dy))


class DividingByZero(ReLU):
    def backward(self, dy):
        return np.full_like(super().backward(dy), np.nan)


class RotatedKernel(Conv2d):
    def backward(self, dy):
        dx = super().backward(dy)
        self.w.grad = self.w.grad[:, :, ::-1, ::-1].copy()
        return dx


class SwappedKernelAxes(Conv2d):
    def backward(self, dy):
        dx = super().backward(dy)
        self.w.grad = self.w.grad.swapaxes(2, 3).copy()
        return dx


class DroppedTapOfWeights(Conv2d):
    def backward(self, dy):
        dx = super().backward(dy)
        self.w.grad[:, :, 2, 1] = 0
        return dx


class DroppedTapOfInput(Conv2d):
    def backward(self, dy):
        whole = self.w.value
        self.w.value = whole.copy()
        self.w.value[:, :, 0, 2] = 0
        dx = super().backward(dy)
        self.w.value = whole
        return dx


def padded_gradient(dx, pad):
    """What a loop over the padded picture has before cropping; what it says about the padding is arbitrary here."""
    full = np.random.default_rng(5).standard_normal((*dx.shape[:2], dx.shape[2] + 2 * pad, dx.shape[3] + 2 * pad))
    full[:, :, pad:-pad, pad:-pad] = dx
    return full


class PaddingNotCropped(Conv2d):
    def backward(self, dy):
        return padded_gradient(super().backward(dy), 1)


class PaddingCroppedAtTheWrongSide(Conv2d):
    def backward(self, dy):
        dx = super().backward(dy)
        return padded_gradient(dx, 1)[:, :, : dx.shape[2], : dx.shape[3]]


class FaultyNorm(BatchNorm2d):
    """dx from its three terms, of which ``keeps`` says how much of the second and third are there."""

    keeps = (1, 1)

    def backward(self, dy):
        x = self._remembered["x"]
        super().backward(dy)
        over = (0, 2, 3)
        std = np.sqrt(x.var(axis=over, keepdims=True) + self.eps)
        normalised = (x - x.mean(axis=over, keepdims=True)) / std
        through_mean = dy.mean(axis=over, keepdims=True)
        through_variance = normalised * (dy * normalised).mean(axis=over, keepdims=True)
        gamma = self.gamma.value[:, None, None]
        return gamma / std * (dy - self.keeps[0] * through_mean - self.keeps[1] * through_variance)


class MissingMeanTerm(FaultyNorm):
    keeps = (0, 1)


class MissingVarianceTerm(FaultyNorm):
    keeps = (1, 0)


class MissingBothTerms(FaultyNorm):
    keeps = (0, 0)


class ForgottenGamma(BatchNorm2d):
    def backward(self, dy):
        return super().backward(dy) / self.gamma.value[:, None, None]


class WrongCountAtTheBorder(AvgPool2d):
    def backward(self, dy):
        self.count_include_pad = True
        dx = super().backward(dy)
        self.count_include_pad = False
        return dx


def linear(layer_class, out_features=4):
    return layer_class(4, out_features, rng=2)


def conv(layer_class):
    return layer_class(2, 3, 3, pad=1, rng=2)


def norm(layer_class):
    layer = layer_class(2)
    layer.gamma.value[:] = [0.7, -1.9]
    return layer


FAULTS = [
    (linear(FlippedSign), "b", "the sign is flipped"),
    (linear(DividedByN), "w", "divided by 5, the batch size N"),
    (linear(MultipliedByN), "x", "multiplied by 5, the batch size N"),
    (linear(TransposedWeights), "w", "transposed"),
    (linear(TransposedWeights, 3), "w", "transposed"),
    (linear(ForgottenParameter), "b", "did not assign"),
    (linear(MissingBatchSum), "b", "one axis too many or too few"),
    (NeverWritten(), "x", "zero everywhere"),
    (DividingByZero(), "x", "NaN"),
    (conv(RotatedKernel), "w", "rotated by 180 degrees"),
    (conv(SwappedKernelAxes), "w", "the last two axes are swapped"),
    (conv(DroppedTapOfWeights), "w", "axis 2 is 2 and axis 3 is 1, and zero there: a loop leaves out a slice"),
    (conv(DroppedTapOfInput), "x", "axis 2 is 0, 1, 2, 3 and axis 3 is 1, 2, 3, 4, 5: a loop leaves out a slice"),
    (conv(PaddingNotCropped), "x", "the padding is not cropped: [:, :, 1:6, 1:7] of it is right"),
    (conv(PaddingCroppedAtTheWrongSide), "x", "1 down and 1 right of their places: the padding is cropped at the wrong side"),
    (
        norm(MissingMeanTerm),
        "x",
        "the term of the mean, constant within each channel (the gradient that goes through the average) is missing",
    ),
    (
        norm(MissingVarianceTerm),
        "x",
        "the term of the variance, proportional to x - mean in each channel (the gradient that goes through 1 / std) is",
    ),
    (norm(MissingBothTerms), "x", "(the gradient that goes through 1 / std) is missing"),
    (norm(ForgottenGamma), "x", "the factor gamma is left out"),
    (WrongCountAtTheBorder(3, stride=1, pad=1), "x", "wrong within 2 pixel(s) of the border"),
]


def name_of(value):
    return type(value).__name__ if isinstance(value, Layer) else None


@pytest.mark.parametrize(("layer", "array", "cause"), FAULTS, ids=name_of)
def test_a_planted_fault_fails_and_is_named(layer, array, cause):
    report = check_layer(layer.astype(np.float64), ROWS if isinstance(layer, Linear) else PICTURES)
    assert not report.ok
    wrong = {check.name: check for check in report.arrays if check.max_error > report.tolerance}
    assert list(wrong) == [array]
    assert cause in wrong[array].guess
    assert wrong[array].guess in str(report)


@pytest.mark.parametrize(
    ("layer", "fault"),
    [
        (
            linear(Accumulating),
            "the gradient of w doubles when backward() runs twice: it is accumulated (+=), not assigned (=)",
        ),
        (ChangingUpstream(), "backward() changes its argument dy"),
        (ChangingInput(), "forward() changes its argument x"),
        (linear(ChangingWeights), "backward() changes w"),
    ],
    ids=name_of,
)
def test_bad_manners_fail_although_the_numbers_are_right(layer, fault):
    x = ROWS.copy()
    report = check_layer(layer.astype(np.float64), x)
    assert not report.ok
    assert fault in str(report)
    assert report.max_error < 1e-6
    assert np.array_equal(x, ROWS)


def test_what_a_pass_changes_is_put_back_and_told_once():
    w = np.array([1.0, -2.0])

    def backward(dy):
        dw = 2 * w * dy
        w[...] -= 0.1
        return {"w": dw}

    report = check_function(lambda w: w**2, backward, {"w": w})
    assert report.faults == ["backward() changes w: it must leave it as it is"]
    assert report.max_error < 1e-6
    assert w.tolist() == [1, -2]

    def forward(w):
        w += 1
        return w**2

    report = check_function(forward, backward, {"w": w})
    assert report.faults == ["forward() changes its argument w: it must work on a copy"]
    assert w.tolist() == [1, -2]


def test_a_gradient_that_was_there_before_is_not_taken_for_one_of_this_backward():
    class Forgetting(Linear):
        def backward(self, dy):
            before = self.b.grad
            dx = super().backward(dy)
            self.b.grad = before
            return dx

    layer = linear(Forgetting).astype(np.float64)
    layer.b.grad = np.ones(4)
    assert "there is no gradient (None), expected one of shape (4,)" in str(check_layer(layer, ROWS))


def test_a_gradient_that_is_missing_is_not_taken_for_one_that_is_zero():
    report = check_function(lambda w: w**2, lambda dy: {"w": None}, {"w": np.ones(3)})
    assert report.faults == [] and not report.ok
    assert report.arrays[0].problem == "there is no gradient (None), expected one of shape (3,)"


def test_single_outputs_are_differentiated_for_as_many_elements_as_memory_allows(monkeypatch):
    x, slopes = np.arange(12.0), np.arange(240.0).reshape(12, 20)
    difference = numeric.CentralDifference(lambda x: x @ slopes, {"x": x}, x, r=np.ones(20), y=x @ slopes, step=1e-5)
    for memory, chosen in ((240, range(12)), (100, range(0, 12, 3)), (1, [0])):
        monkeypatch.setattr(numeric, "SHARES", memory)
        shares, places = difference.shares([(i,) for i in range(12)])
        assert places[0].tolist() == list(chosen)
        np.testing.assert_allclose(shares, slopes[list(chosen)], atol=1e-6)
    assert difference.shares([])[0].shape == (0, 20)


@pytest.mark.parametrize("layer_class", [RotatedKernel, DroppedTapOfWeights, PaddingCroppedAtTheWrongSide, MissingVarianceTerm])
def test_causes_are_named_from_a_sample_of_the_elements_too(layer_class):
    layer = layer_class(8) if issubclass(layer_class, BatchNorm2d) else layer_class(8, 6, 3, pad=1, rng=2)
    x = np.random.default_rng(0).standard_normal((4, 8, 7, 7))
    report = check_layer(layer.astype(np.float64), x, elements=150)
    wrong = next(check for check in report.arrays if check.max_error > report.tolerance)
    assert wrong.checked == 150
    expected = {
        "RotatedKernel": "rotated",
        "DroppedTapOfWeights": "axis 2 is 2 and axis 3 is 1",
        "MissingVarianceTerm": "variance",
    }
    assert expected.get(layer_class.__name__, "cropped at the wrong side") in wrong.guess


def test_a_plain_sum_would_let_a_missing_batch_norm_term_pass():
    faulty, right = (norm(layer_class).astype(np.float64).train() for layer_class in (MissingVarianceTerm, BatchNorm2d))
    for layer in (faulty, right):
        layer.forward(PICTURES)
        # L = y.sum() = N*H*W * beta whatever x is, so that dy = 1 everywhere gives dx = 0 with or without the term
        assert np.abs(layer.backward(np.ones_like(PICTURES))).max() < 1e-12
    # the random projection of check_layer tells them apart
    assert check_layer(right, PICTURES).max_error < 1e-6
    assert check_layer(faulty, PICTURES).max_error > 1e-2


def test_the_projection_is_not_the_input_when_both_come_from_the_same_seed():
    seen = []

    class Listening(ReLU):
        def backward(self, dy):
            seen.append(dy.copy())
            return super().backward(dy)

    x = np.random.default_rng(7).standard_normal(1000)
    check_layer(Listening(), x, rng=7, elements=1)
    assert abs(np.corrcoef(seen[0], x)[0, 1]) < 0.1


def test_float32_is_refused_with_a_reason():
    with pytest.raises(TypeError, match="gradient checks need float64, and x is float32: float32 keeps 7 digits"):
        check_layer(ReLU(), PICTURES.astype(np.float32))
    with pytest.raises(TypeError, match="w is float32"):
        check_layer(Linear(4, 3), ROWS)


def test_elements_at_a_kink_are_skipped_and_counted():
    x = ROWS.copy()
    x[0, 1] = x[3, 2] = 0
    report = check_layer(ReLU(), x)
    assert report.ok
    assert report.kinks == 2
    assert "x (5, 4): all 20 elements, 2 of them at a kink and skipped" in str(report)


@pytest.mark.parametrize("distance", [3e-6, -7e-6, 9.9e-6])
def test_elements_beside_a_kink_are_skipped_too(distance):
    x = ROWS.copy()
    x[2, 2] = distance
    report = check_layer(ReLU(), x)
    assert report.ok
    assert report.kinks == 1


def test_kinks_excuse_nothing_elsewhere():
    class AlwaysOpen(ReLU):
        def backward(self, dy):
            super().backward(dy)
            return dy

    x = ROWS.copy()
    x[0, 0] = 0
    report = check_layer(AlwaysOpen(), x)
    assert not report.ok
    assert report.kinks == 1


def test_a_check_of_kinks_only_is_not_a_pass():
    report = check_layer(ReLU(), np.zeros((2, 3)))
    assert not report.ok
    assert "every element lies at a kink" in str(report)


@pytest.mark.parametrize("distance", [0, 1e-7, 3e-6, -7e-6])
@pytest.mark.parametrize("wrong", [1000.0, -1.0, 2.0])
def test_a_kink_excuses_only_what_lies_between_its_slopes(distance, wrong):
    x = ROWS.copy()
    x[2, 2] = distance

    class WrongAtTheKink(ReLU):
        def backward(self, dy):
            dx = super().backward(dy)
            dx[2, 2] = wrong * dy[2, 2]
            return dx

    report = check_layer(WrongAtTheKink(), x)
    assert not report.ok
    assert report.kinks == 0
    assert report.arrays[0].worst == (2, 2)


def test_either_slope_of_a_kink_and_what_lies_between_pass():
    x = ROWS.copy()
    x[2, 2] = 0
    for slope in (0, 0.5, 1):

        class Choosing(ReLU):
            def backward(self, dy, slope=slope):
                dx = super().backward(dy)
                dx[2, 2] = slope * dy[2, 2]
                return dx

        report = check_layer(Choosing(), x)
        assert report.ok
        assert report.kinks == (slope != 0.5)  # the central difference is 0.5 itself


@pytest.mark.parametrize("distance", [3e-7, -3e-7])
@pytest.mark.parametrize("bent", [50, -50])
def test_a_kink_of_a_curve_is_one_as_well(distance, bent):
    x = ROWS.copy()
    x[2, 2] = distance

    def check(wrong_by):
        right = (x > 0) + 2 * bent * x
        right[2, 2] += wrong_by
        return check_function(lambda x: np.maximum(x, 0) + bent * x**2, lambda dy: {"x": right * dy}, {"x": x.copy()})

    report = check(0)
    assert report.ok, report
    assert report.kinks == 1
    assert not check(1.5).ok and not check(-1.5).ok


def test_the_difference_is_divided_by_the_step_as_it_was_rounded():
    # 1 + 1e-9 is rounded: the two points are not 2e-9 apart, but 1.1e-7 of it more or less
    x = np.array([1.0, -3.7, 900.0])
    report = check_function(lambda x: 3 * x, lambda dy: {"x": 3 * dy}, {"x": x}, step=1e-9, tolerance=1e-9)
    assert report.ok, report


def test_a_strongly_curved_function_is_not_taken_for_a_kink():
    x = np.array([0.4, 1.0, 2.5])
    report = check_function(lambda x: np.sin(60 * x), lambda dy: {"x": 60 * np.cos(60 * x) * dy}, {"x": x}, tolerance=1e-5)
    assert report.ok, report
    assert report.kinks == 0
    wrong = check_function(lambda x: np.sin(60 * x), lambda dy: {"x": 60.01 * np.cos(60 * x) * dy}, {"x": x})
    assert not wrong.ok
    assert wrong.kinks == 0


def test_dropout_draws_the_same_mask_in_every_pass_and_its_generator_is_put_back():
    layer = Dropout(0.5, rng=3)
    report = check_layer(layer, ROWS)
    assert report.ok, report
    assert layer.rng.random() == np.random.default_rng(3).random()


def test_randomness_beside_the_generator_is_reported():
    class Escaping(Dropout):
        def backward(self, dy):
            return super().backward(dy) * np.random.default_rng().random(dy.shape)

    report = check_layer(Escaping(0.5, rng=3), ROWS)
    assert "differs between two equal passes" in str(report)


def test_modes_statistics_and_values_are_put_back():
    layer = Sequential(norm=BatchNorm2d(2), relu=ReLU()).astype(np.float64).eval()
    before = {name: array.copy() for name, array in layer.state().items()}
    assert check_layer(layer, PICTURES, training=True).ok
    assert not layer.training
    assert not layer.layers["norm"].remembers
    assert all(np.array_equal(before[name], array) for name, array in layer.state().items())
    assert np.array_equal(layer.parameters()["norm.gamma"].value, np.ones(2))


def test_frozen_parameters_are_not_checked_but_the_input_is():
    layer = Linear(4, 3).astype(np.float64)
    layer.w.trainable = False
    assert [check.name for check in check_layer(layer, ROWS).arrays] == ["x", "b"]
    assert [check.name for check in check_layer(layer.freeze(), ROWS).arrays] == ["x"]


def test_large_arrays_are_sampled_and_the_report_says_so():
    report = check_layer(ReLU(), np.random.default_rng(0).standard_normal((40, 50)), elements=70)
    assert "70 of 2000 elements, drawn at random" in str(report)
    assert "all 20 elements" in str(check_layer(ReLU(), ROWS))


def test_the_report_names_array_index_and_both_values():
    report = check_layer(linear(FlippedSign).astype(np.float64), ROWS)
    bias = report.arrays[2]
    assert bias.numeric == pytest.approx(-bias.analytic)
    assert bias.max_error == pytest.approx(1)
    index = bias.worst[0]
    assert f"worst at b[{index}]: analytic {bias.analytic:.9g}, numeric {bias.numeric:.9g}" in str(report)
    assert report.max_error == bias.max_error


def test_the_report_of_a_right_layer_is_a_line_for_each_array_and_no_guesses():
    w, v = np.array([1.0, 2.0]), np.array([3.0])
    report = check_function(
        lambda w, v: w**2 * v, lambda dy: {"w": 2 * w * v * dy, "v": (w**2 * dy).sum(keepdims=True)}, {"w": w, "v": v}
    )
    assert str(report).splitlines() == [
        f"function: all gradients are right (largest relative error {report.max_error:.1e}, allowed 1e-06)",
        f"  w (2,): all 2 elements, relative error up to {report.arrays[0].max_error:.1e}",
        f"  v (1,): all 1 elements, relative error up to {report.arrays[1].max_error:.1e}",
    ]


def test_a_mistake_explains_a_gradient_only_if_it_is_far_closer_to_it_than_the_right_one_and_where_that_is_wrong():
    right = np.array([1.0, 2.0, 3.0, 4.0])
    nearly = Evidence(right + [0, 0, 0, 1e-5], right, right, 4)
    assert not nearly.explains(right + [0, 0, 0, 5e-6])
    wrong = Evidence(np.array([1.0, 2.0, 3.001, 1e4]), right, right, 4)
    assert wrong.explains(np.array([np.nan, 2, 3.001, 1e4]))
    assert not wrong.explains(np.array([1, 2, 3.001, np.nan])), "3.001 is hardly wrong beside 10000"
    assert not wrong.explains(np.full(4, np.nan)) and not wrong.explains(np.ones(3))


def test_a_loss_that_is_not_averaged_is_named():
    class Summed(SoftmaxCrossEntropy):
        def backward(self):
            return super().backward() * 5

    targets = np.array([0, 3, 1, 1, 2])
    assert check_loss(SoftmaxCrossEntropy(), ROWS, targets).ok
    report = check_loss(Summed(), ROWS, targets)
    assert not report.ok
    assert "multiplied by 5, the batch size N" in report.arrays[0].guess


def test_the_2_from_a_square_is_named():
    w = np.array([1.0, -2.0, 3.0])
    report = check_function(lambda w: np.sum(w**2), lambda dy: {"w": w * dy}, {"w": w})
    assert "divided by 2, the 2 that comes from differentiating a square" in report.arrays[0].guess


def test_a_gradient_where_there_should_be_none_is_named():
    report = check_function(
        lambda x, unused: x**2, lambda dy: {"x": 2 * ROWS * dy, "unused": np.ones(3)}, {"x": ROWS, "unused": np.ones(3)}
    )
    assert [check.guess for check in report.arrays if check.guess] == [
        "it should be zero everywhere: what it belongs to has no influence on the output"
    ]


def test_an_unknown_fault_still_fails_and_no_cause_is_made_up():
    noise = np.random.default_rng(4).standard_normal(ROWS.shape)
    report = check_function(lambda x: x**2, lambda dy: {"x": 2 * ROWS * dy + noise}, {"x": ROWS})
    assert not report.ok
    assert "guess: none" in str(report)


def test_a_gradient_of_the_right_numbers_in_the_wrong_shape_is_named():
    numeric = np.arange(1.0, 25).reshape(2, 3, 2, 2)
    assert "reshape" in guess_cause(Evidence(numeric.reshape(2, 12), numeric, numeric, 2))


def test_a_gradient_with_its_padding_is_named_though_its_numbers_are_wrong_as_well():
    rng = np.random.default_rng(0)
    given, right = rng.standard_normal((1, 2, 5, 7)), rng.standard_normal((1, 2, 3, 4))
    assert guess_cause(Evidence(given, right, right, 1)) == (
        "the padding is not cropped (2 rows and 3 columns too many), and something else is wrong"
    )


@pytest.mark.parametrize("written", [False, True])
def test_a_slice_is_called_zero_only_if_all_of_it_is(written):
    rng = np.random.default_rng(0)
    right = rng.standard_normal((2, 3, 5, 5))
    given = right.copy()
    given[:, :, 1] = written * rng.standard_normal((2, 3, 5))
    given[0, 0, 1, 0] = 0
    guess = guess_cause(Evidence(given, right, np.ones(right.shape), 2))
    assert "axis 2 is 1" in guess and ("zero there" in guess) != written


@pytest.mark.parametrize("shape", [(), (1,), (3,), (1, 1), (2, 3), (1, 1, 1, 1), (2, 3, 1, 1), (2, 2, 3, 4)])
def test_guessing_gets_along_with_any_shape_and_any_number(shape):
    rng = np.random.default_rng(6)
    for scale in (0, 1e-300, 1, 1e300):
        for unknown in (0, 0.5, 1):
            numeric = scale * rng.standard_normal(shape)
            numeric = np.where(rng.random(shape) < unknown, np.nan, numeric)
            for analytic in (rng.standard_normal(shape), np.full(shape, np.inf), np.zeros((2, *shape)), None):
                with np.errstate(all="ignore"):
                    assert isinstance(guess_cause(Evidence(analytic, numeric, np.ones(shape), 2)), str)


# ---- passes that do not repeat, and points at which there is nothing to measure


class Noisy(ReLU):
    """Noise from a generator that nobody knows of."""

    def __init__(self, size=1.0):
        super().__init__()
        self.size, self.noise = size, np.random.default_rng(0)

    def forward(self, x):
        return super().forward(x) + self.size * self.noise.standard_normal(x.shape)


class Counting(ReLU):
    """Keeps the number of its passes, and lets it into the result."""

    passes = 0

    def forward(self, x):
        self.passes += 1
        return super().forward(x) * (1 + 1e-8 * self.passes)


class Drifting(ReLU):
    """Right twice, and something else later."""

    passes = 0

    def forward(self, x):
        self.passes += 1
        return super().forward(x) * (1 if self.passes < 20 else 2)


@pytest.mark.parametrize("layer", [Noisy(), Noisy(1e-9), Counting(), Drifting()], ids=name_of)
def test_a_forward_that_does_not_repeat_is_called_so_and_not_a_kink(layer):
    report = check_layer(layer, ROWS)
    assert not report.ok
    assert "forward() does not repeat" in str(report)
    assert "kink" not in str(report) and "guess" not in str(report)


def test_a_forward_that_gives_nan_or_infinity_is_called_so():
    x = np.array([[1.0, 0.0, 2.0]])
    with np.errstate(divide="ignore"):
        report = check_function(lambda x: np.log(x), lambda dy: {"x": dy / x}, {"x": x})
    assert not report.ok
    assert "forward() gives NaN or infinity" in str(report)


def test_a_constant_forward_with_a_gradient_of_zero_tests_nothing_and_does_not_pass():
    # all units of the ReLU are switched off
    report = check_layer(ReLU(), -np.abs(ROWS) - 0.1)
    assert not report.ok
    assert "nothing was put to the test" in str(report)
    report = check_function(lambda x, w: np.ones(3), lambda dy: {"x": 0 * ROWS, "w": np.zeros(2)}, {"x": ROWS, "w": np.ones(2)})
    assert not report.ok
    assert "nothing was put to the test" in str(report)


def test_a_gradient_that_is_zero_beside_others_that_are_not_passes_with_a_note():
    # the mean that batch norm subtracts takes the bias below it with it
    layer = Sequential(Linear(4, 3, rng=0), BatchNorm1d(3), ReLU()).astype(np.float64)
    report = check_layer(layer, ROWS)
    assert report.ok, report
    assert report.kinks == 0
    assert [check.name for check in report.arrays if check.is_zero] == ["0.b"]
    assert str(report).count("zero, for all that can be measured") == 1


# ---- small numbers


@pytest.mark.parametrize("size", [1e-6, 1e-12, 1e-30, 1e-200])
def test_small_gradients_are_checked_as_large_ones_are(size):
    def check(factor):
        return check_function(lambda x: size * x**2, lambda dy: {"x": factor * size * ROWS * dy}, {"x": ROWS})

    assert check(2).ok
    assert not check(2.001).ok
    assert not check(-2).ok
    assert not check(0).ok


@pytest.mark.parametrize("size", [1e-7, 1e-9, 1e-11])
def test_a_small_influence_on_large_outputs_is_measured_with_larger_steps(size):
    # with a step of 1e-5, y changes in its last digit or not at all
    def check(factor):
        w = np.array([0.7, -1.2, 0.3, 2.0])
        return check_function(
            lambda x, w: x + size * x * w**2,
            lambda dy: {"x": dy * (1 + size * w**2), "w": factor * size * w * (dy * ROWS).sum(axis=0)},
            {"x": ROWS, "w": w},
        )

    assert check(2).ok, check(2)
    for factor in (0, -2, 4):
        assert not check(factor).ok


@pytest.mark.parametrize("offset", [0, 30, 1e3])
def test_rounding_errors_inside_a_layer_are_no_faults(offset):
    layer = Sequential(norm=BatchNorm1d(4), linear=Linear(4, 3, rng=0)).astype(np.float64)
    report = check_layer(layer, ROWS + offset)
    assert report.ok, report
    assert report.kinks == 0


def test_rounding_errors_that_the_size_of_the_output_does_not_show_are_no_kinks():
    # 300 comes and goes inside, so that y is rounded to 5e-14 where its own digits would go to 1e-16 and less
    def check(factor):
        return check_function(lambda x: (1e-3 * x + 301) - 300, lambda dy: {"x": factor * 1e-3 * dy}, {"x": ROWS.copy()})

    report = check(1)
    assert report.ok, report
    assert report.kinks == 0
    assert not any(check(factor).ok for factor in (2, 0.5, 0, -1))


def test_a_large_output_that_an_element_does_not_move_hides_no_mistake():
    def check(factor):
        return check_function(
            lambda x: np.append(x**2, 1e9), lambda dy: {"x": factor * 2 * ROWS * dy[:-1].reshape(5, 4)}, {"x": ROWS.copy()}
        )

    assert check(1).ok
    assert not check(1.001).ok


@pytest.mark.parametrize(("wrong_by", "passes"), [(1e-7, True), (1e-6, True), (4e-6, False), (1e-4, False)])
def test_by_default_a_relative_error_of_a_millionth_passes_and_no_more(wrong_by, passes):
    # |a - n| / (|a| + |n|): half of what the gradient is wrong by
    report = check_function(lambda x: x**2, lambda dy: {"x": (1 + wrong_by) * 2 * ROWS * dy}, {"x": ROWS})
    assert report.ok == passes


def test_by_default_up_to_300_elements_of_an_array_are_checked():
    for size, checked in ((300, 300), (301, 300)):
        x = np.random.default_rng(0).standard_normal(size)
        assert check_layer(Sigmoid(), x).arrays[0].checked == checked


@pytest.mark.parametrize("name", ["x", "w"])
def test_arrays_that_cannot_be_changed_are_refused(name):
    arrays = {"x": ROWS.copy(), "w": np.ones(4)}
    arrays[name].flags.writeable = False
    with pytest.raises(ValueError, match=rf"change arrays in place, and {name} is read-only: give a copy, {name}.copy\(\)"):
        check_function(lambda x, w: x * w, lambda dy: {"x": dy * arrays["w"], "w": (dy * ROWS).sum(axis=0)}, arrays)


# ---- what is measured, to the digit


def test_the_step_is_a_hundred_thousandth_of_the_element_or_of_1():
    x = np.array([0.25, -0.5, 8.0])
    before, seen = x.copy(), []

    def forward(x):
        seen.append(x - before)
        return x**2

    assert check_function(forward, lambda dy: {"x": 2 * before * dy}, {"x": x}).ok
    steps = np.unique(np.abs(np.round(seen, 12)))
    assert np.allclose(steps, [0, 1e-5, 8e-5], rtol=1e-6, atol=0)
    assert np.array_equal(x, before)


def test_a_smaller_step_and_a_looser_tolerance_may_be_chosen():
    x = np.array([0.4, 1.0, 2.5])

    def check(wrong_by, **options):
        return check_function(
            lambda x: np.sin(x), lambda dy: {"x": (1 + wrong_by) * np.cos([0.4, 1.0, 2.5]) * dy}, {"x": x}, **options
        )

    assert check(1e-4, tolerance=1e-3).ok and not check(1e-4).ok
    assert check(0, step=1e-3, tolerance=1e-9).ok  # two steps are extrapolated: the error is not 1e-6 / 6


def test_elements_far_below_the_largest_need_fewer_digits_and_others_do_not():
    size = np.array([1.0, 1e-2, 1e-5])
    for wrong, passes in ((1e-5, True), (1e-2, False), (1.0, False)):
        factor = np.where(size == wrong, 1 + 1e-5, 1.0)
        report = check_function(
            lambda x: size * x, lambda dy, f=factor: {"x": f * size * dy}, {"x": np.array([0.3, -0.7, 0.9])}
        )
        assert report.ok == passes, report


@pytest.mark.parametrize("scale", [1e-20, 1e-8, 1.0, 1e8])
def test_what_backward_gives_must_repeat_whatever_its_size(scale):
    passes = []

    def backward_of(gradients):
        passes[:] = gradients
        return lambda dy: {"x": passes.pop(0)}

    right = 2 * scale * ROWS
    for second, said in ((2 * right, "doubles"), (right * (1 + 1e-6), "differs"), (right[:1], "differs"), (None, "differs")):
        report = check_function(lambda x: scale * np.sum(x**2), backward_of([right, second, right]), {"x": ROWS.copy()})
        assert len(report.faults) == 1 and said in report.faults[0]
        assert report.max_error < 1e-6
    assert check_function(lambda x: scale * np.sum(x**2), backward_of([right, right * (1 + 1e-12)]), {"x": ROWS.copy()}).ok


def test_a_gradient_with_fewer_digits_is_reported_although_its_numbers_pass():
    report = check_layer(ReLU(), ROWS)
    assert report.ok

    def backward(dtype):
        return lambda dy: {"x": (2 * ROWS * dy).astype(dtype)}

    report = check_function(lambda x: x**2, backward(np.float32), {"x": ROWS.copy()})
    assert report.max_error < 1e-6
    assert report.faults == ["the gradient of x is float32, expected float64: something in backward() converts it"]
    report = check_function(lambda x: x**2, backward(np.float16), {"x": ROWS.copy()})
    assert "rounded to float16" in report.arrays[0].guess
    report = check_function(lambda x: 90 * x**2, lambda dy: {"x": (180 * ROWS * dy).astype(int)}, {"x": ROWS.copy()})
    assert "rounded to whole numbers" in report.arrays[0].guess
    report = check_function(lambda x: x**2, backward(complex), {"x": ROWS.copy()})
    assert "the gradient is complex128, expected float64" in str(report) and not report.ok


def test_whole_numbers_that_are_right_pass():
    assert check_function(lambda x: np.sum(x), lambda dy: {"x": np.ones((5, 4), int)}, {"x": ROWS.copy()}).ok


def test_a_forward_that_converts_to_float32_is_called_so():
    report = check_function(lambda x: x.astype(np.float32), lambda dy: {"x": dy}, {"x": ROWS.copy()})
    assert report.faults == [
        "forward() gives float32, expected float64 from float64: something in it converts, and digits are lost"
    ]
    assert not report.arrays


def test_no_arrays_are_refused():
    with pytest.raises(ValueError, match="arrays is empty"):
        check_function(lambda: np.ones(3), lambda dy: {}, {})


@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
@pytest.mark.parametrize("make", [lambda: Linear(4, 3, rng=0), Sigmoid, lambda: BatchNorm1d(4), lambda: Linear(4, 1, rng=0)])
def test_right_layers_pass_at_any_scale(make, scale):
    report = check_function(
        *_scaled(make().astype(np.float64).train(), scale),
    )
    assert report.ok, report


def _scaled(layer, scale):
    """A layer whose outputs, and so all gradients, are as large as this."""

    def backward(dy):
        return {"x": layer.backward(scale * dy)}

    return lambda x: scale * layer.forward(x), backward, {"x": ROWS.copy()}


# ---- guesses that are made by measuring again


def test_a_path_and_a_factor_that_are_left_out_are_named_by_the_array_that_they_go_through():
    x, p, a = ROWS, np.random.default_rng(3).standard_normal((4, 4)), np.array([0.3])
    report = check_function(
        lambda x, p: x @ p + np.tanh(x), lambda dy: {"x": dy * (1 - np.tanh(x) ** 2), "p": x.T @ dy}, {"x": x, "p": p}
    )
    assert report.arrays[0].guess == "it is the gradient for p = 0: what goes through p is left out"
    report = check_function(
        lambda x, a: x + a * np.tanh(x),
        lambda dy: {"x": dy + dy * (1 - np.tanh(x) ** 2), "a": np.array([np.sum(dy * np.tanh(x))])},
        {"x": x, "a": a},
    )
    assert report.arrays[0].guess == "it is the gradient for a = 1: the factor a is left out"
    assert a == 0.3


def test_the_uses_of_a_shared_matrix_are_counted_and_samples_that_mix_are_no_uses():
    x, w = ROWS, np.random.default_rng(3).standard_normal((4, 4))

    def forward(x, w):
        return np.tanh(np.tanh(x @ w) @ w)

    def backward(dy, x=x):
        h = np.tanh(x @ w)
        d = dy * (1 - forward(x, w) ** 2)
        inner = d @ w.T * (1 - h**2)
        return {"x": inner @ w.T, "w": h.T @ d}

    report = check_function(forward, backward, {"x": x.copy(), "w": w})
    assert [check.name for check in report.arrays if check.guess] == ["w"]
    assert "in 2 places or more, and 1 of them" in report.arrays[1].guess
    # here the gradient for one output has a high rank because all samples come in by the mean
    report = check_function(
        lambda x, w: np.tanh((x - x.mean(axis=0)) @ w),
        lambda dy: {"x": backward(dy)["x"], "w": x.T @ (dy * (1 - np.tanh((x - x.mean(axis=0)) @ w) ** 2))},
        {"x": x.copy(), "w": w},
    )
    assert "places or more" not in report.arrays[1].guess


# ---- guesses from the numbers alone


def test_at_most_six_indices_are_listed():
    assert first_few(np.arange(6)) == "0, 1, 2, 3, 4, 5"
    assert first_few(np.arange(7)) == "0, 1, 2, 3, 4, 5, ..."


def test_nothing_is_explained_where_nothing_is_known():
    right = np.ones((2, 3))
    assert not Evidence(2 * right, right, right, 2).explains(np.full((2, 3), np.nan))


def test_a_factor_is_named_by_the_size_that_it_is():
    right = np.random.default_rng(0).standard_normal((2, 3, 4, 5))
    for factor, origin in ((40, "the values of a channel (N*H*W)"), (20, "the size of a plane (H*W)")):
        guess = guess_cause(Evidence(factor * right, right, np.ones(right.shape), 2))
        assert f"multiplied by {factor}, {origin}" in guess
        assert f"divided by {factor}, {origin}" in guess_cause(Evidence(right / factor, right, np.ones(right.shape), 2))


@pytest.mark.parametrize(("rows", "columns"), [(1, 0), (0, -2), (2, 1)])
def test_a_shift_is_named_by_its_rows_and_columns(rows, columns):
    rng = np.random.default_rng(0)
    right = rng.standard_normal((2, 3, 6, 7))
    given = rng.standard_normal(right.shape)
    h, w = 6 - rows, 7 - abs(columns)
    given[:, :, rows:, max(columns, 0) : max(columns, 0) + w] = right[:, :, :h, max(-columns, 0) : max(-columns, 0) + w]
    words = f"{rows} {'down' if rows else 'up'} and {abs(columns)} {'right' if columns > 0 else 'left'} of their places"
    assert words in guess_cause(Evidence(given, right, np.ones(right.shape), 2))


class PooledAsAverage(MaxPool2d):
    def backward(self, dy):
        dx = super().backward(dy)
        average = AvgPool2d(3, stride=1, pad=1, count_include_pad=True)
        average.train().forward(dx)
        return average.backward(dy)


def test_average_pooling_for_max_pooling_is_named_with_padding_too():
    report = check_layer(PooledAsAverage(3, stride=1, pad=1), PICTURES)
    assert "as in average pooling" in report.arrays[0].guess


class StrideIgnored(Conv2d):
    def backward(self, dy):
        super().backward(dy)
        w, (N, C, H, W) = self.w.value, PICTURES.shape
        whole = np.zeros((N, C, H + 2, W + 2))
        for i, j in np.ndindex(dy.shape[2:]):
            whole[:, :, i : i + 3, j : j + 3] += np.einsum("nf,fcij->ncij", dy[:, :, i, j], w)
        return whole[:, :, :H, :W]


def test_a_stride_of_one_axis_alone_is_missed_as_well():
    report = check_layer(StrideIgnored(2, 3, 3, stride=(2, 1), rng=2).astype(np.float64), PICTURES)
    assert "the stride is ignored: windows lie 2 rows and 1 columns apart" in report.arrays[0].guess


@pytest.mark.parametrize("scale", [1e-4, 1e4])
def test_the_terms_of_a_normalisation_are_told_apart_at_any_scale(scale):
    for layer, cause in (
        (norm(MissingVarianceTerm), "1 / std) is missing"),
        (norm(MissingMeanTerm), "the average) is missing"),
    ):
        layer = layer.astype(np.float64)
        layer.gamma.value *= scale
        layer.beta.value *= scale
        assert cause in check_layer(layer, PICTURES).arrays[0].guess
