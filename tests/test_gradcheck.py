"""The gradient checker is checked: right layers pass, planted faults fail, and the guess names what was planted."""

import numpy as np
import pytest

from minicnn.gradcheck import check_function, check_layer, check_loss
from minicnn.gradcheck.diagnosis import guess_cause
from minicnn.layers import (
    AvgPool2d,
    BatchNorm2d,
    Conv2d,
    Dropout,
    Layer,
    Linear,
    ReLU,
    Sequential,
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
    (norm(MissingMeanTerm), "x", "constant within each channel: in batch norm the term of the mean"),
    (norm(MissingVarianceTerm), "x", "proportional to x - mean in each channel: in batch norm the term of the variance"),
    (norm(MissingBothTerms), "x", "the terms of the mean and of the variance"),
    (norm(ForgottenGamma), "x", "a factor of its own for each channel (gamma"),
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
    assert "2 of them at a kink and skipped" in str(report)


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
    assert "reshape" in guess_cause(numeric.reshape(2, 12), numeric, numeric, 2)


@pytest.mark.parametrize("shape", [(), (1,), (3,), (1, 1), (2, 3), (1, 1, 1, 1), (2, 3, 1, 1), (2, 2, 3, 4)])
def test_guessing_gets_along_with_any_shape_and_any_number(shape):
    rng = np.random.default_rng(6)
    for scale in (0, 1e-300, 1, 1e300):
        for unknown in (0, 0.5, 1):
            numeric = scale * rng.standard_normal(shape)
            numeric = np.where(rng.random(shape) < unknown, np.nan, numeric)
            for analytic in (rng.standard_normal(shape), np.full(shape, np.inf), np.zeros((2, *shape)), None):
                with np.errstate(all="ignore"):
                    assert isinstance(guess_cause(analytic, numeric, np.ones(shape), 2), str)
