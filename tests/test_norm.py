"""Batch normalisation: its statistics, its three modes (train, eval, frozen), and the exactness of the gradient in each."""

import numpy as np
import pytest

from minicnn.gradcheck import check_layer
from minicnn.kernels import norm, reference, textbook
from minicnn.layers import BatchNorm1d, BatchNorm2d
from minicnn.runtime.workers import get_threads, set_threads

rng = np.random.default_rng(0)
PICTURES = 3 + 2 * rng.standard_normal((3, 4, 5, 2))
ROWS = rng.standard_normal((6, 4)) - 1


def trained(norm_type=BatchNorm2d, features=4):
    """A float64 layer with gamma, beta and statistics that are nothing special."""
    layer = norm_type(features).astype(np.float64)
    numbers = np.random.default_rng(8)
    layer.gamma.value[:] = numbers.uniform(0.5, 2, features) * numbers.choice([-1, 1], features)
    layer.beta.value[:] = numbers.standard_normal(features)
    layer.running_mean[:] = numbers.standard_normal(features)
    layer.running_var[:] = numbers.uniform(0.3, 3, features)
    return layer


def test_training_by_hand():
    # channel values 1, 3, 5, 7: mean 4, biased variance 5, unbiased 20/3
    layer = BatchNorm1d(1, eps=4).astype(np.float64).train()  # std = sqrt(5 + 4) = 3
    layer.gamma.value[:], layer.beta.value[:] = 6, 10
    y = layer.forward(np.array([[1.0], [3.0], [5.0], [7.0]]))
    assert np.allclose(y[:, 0], [4, 8, 12, 16])
    assert layer.running_mean == pytest.approx(0.9 * 0 + 0.1 * 4)
    assert layer.running_var == pytest.approx(0.9 * 1 + 0.1 * 20 / 3)
    # xh = (-1, -1/3, 1/3, 1); dy = (1, 0, 0, 0): dbeta = 1, dgamma = -1
    dx = layer.backward(np.array([[1.0], [0.0], [0.0], [0.0]]))
    assert layer.beta.grad == pytest.approx(1)
    assert layer.gamma.grad == pytest.approx(-1)
    # dx = 6/3 * (dy - 1/4 - xh * (-1)/4)
    assert np.allclose(dx[:, 0], [2 * (1 - 1 / 4 - 1 / 4), 2 * (-1 / 4 - 1 / 12), 2 * (-1 / 4 + 1 / 12), 2 * (-1 / 4 + 1 / 4)])


def test_inference_by_hand():
    layer = BatchNorm2d(2, eps=1).astype(np.float64).eval(backward=True)
    layer.running_mean[:], layer.running_var[:] = [1, 10], [3, 8]  # std 2 and 3
    layer.gamma.value[:], layer.beta.value[:] = [4, 6], [0.5, -1]
    x = np.array([[[[3.0]], [[16.0]]]])
    assert np.allclose(layer.forward(x).ravel(), [0.5 + 4 * 1, -1 + 6 * 2])
    assert np.allclose(layer.backward(np.ones((1, 2, 1, 1))).ravel(), [2, 2])
    assert np.allclose(layer.gamma.grad, [1, 2])


def test_normalised_channels_have_mean_beta_and_deviation_gamma():
    layer = trained().train()
    y = layer.forward(PICTURES)
    assert np.allclose(y.mean(axis=(0, 2, 3)), layer.beta.value)
    assert np.allclose(y.std(axis=(0, 2, 3)), np.abs(layer.gamma.value), rtol=1e-4)


def test_momentum_is_the_weight_of_the_new_batch():
    still, all_new = (
        BatchNorm2d(4, momentum=0).astype(np.float64).train(),
        BatchNorm2d(4, momentum=1).astype(np.float64).train(),
    )
    for layer in (still, all_new):
        layer.forward(PICTURES)
    assert np.array_equal(still.running_mean, np.zeros(4))
    assert np.allclose(all_new.running_mean, PICTURES.mean(axis=(0, 2, 3)))


def test_running_variance_is_unbiased_and_the_normalising_one_is_not():
    layer = BatchNorm1d(4, eps=1e-12, momentum=1).astype(np.float64).train()
    y = layer.forward(ROWS)
    assert np.allclose(layer.running_var, ROWS.var(axis=0, ddof=1))
    assert np.allclose(y.var(axis=0, ddof=0), 1)


@pytest.mark.parametrize(("norm_type", "x"), [(BatchNorm1d, ROWS), (BatchNorm2d, PICTURES)])
@pytest.mark.parametrize(
    "mode", ["train", "eval", "frozen in train mode", "frozen in eval mode", "its own statistics in train mode"]
)
def test_gradients_are_exact_in_every_mode(norm_type, x, mode):
    layer = trained(norm_type)
    layer.frozen_statistics = "its own" in mode
    if "frozen" in mode:
        layer.freeze()
    report = check_layer(layer, x, training="train" in mode)
    assert report.ok, report
    assert [check.name for check in report.arrays] == (["x"] if "frozen" in mode else ["x", "gamma", "beta"])


@pytest.mark.parametrize("trainable", ["gamma", "beta"])
def test_with_one_of_the_two_trainable_it_still_uses_the_batch(trainable):
    layer = trained()
    layer.freeze()
    layer.parameters()[trainable].trainable = True
    report = check_layer(layer, PICTURES)
    assert report.ok, report
    assert [check.name for check in report.arrays] == ["x", trainable]
    frozen = next(parameter for name, parameter in layer.parameters().items() if name != trainable)
    assert frozen.grad is None


def test_frozen_it_stays_the_same_to_the_bit_and_does_in_training_what_it_does_in_inference():
    layer = trained().astype(np.float32).freeze()
    x = PICTURES.astype(np.float32)
    inference = layer.eval().forward(x)
    before = [array.tobytes() for array in (*layer.state().values(), layer.gamma.value, layer.beta.value)]
    layer.train()
    for _ in range(3):
        assert np.array_equal(layer.forward(x), inference)
        assert layer.backward(np.ones_like(x)) is not None
    assert [array.tobytes() for array in (*layer.state().values(), layer.gamma.value, layer.beta.value)] == before
    assert layer.gamma.grad is None
    assert layer._remembered is None


def test_with_frozen_statistics_by_hand():
    layer = BatchNorm1d(1, eps=1).astype(np.float64).train()
    layer.running_mean[:], layer.running_var[:], layer.frozen_statistics = 1, 3, True  # std 2
    layer.gamma.value[:], layer.beta.value[:] = 4, 0.5
    assert layer.forward(np.array([[3.0], [-1.0], [7.0]])).ravel().tolist() == [4.5, -3.5, 12.5]  # xh = 1, -1, 3
    # dy = (1, 2, -1): dbeta = 2, dgamma = 1 - 2 - 3; the statistics do not move with x, so that dx = 4/2 dy
    assert layer.backward(np.array([[1.0], [2.0], [-1.0]])).ravel().tolist() == [2, 4, -2]
    assert layer.beta.grad.tolist() == [2] and layer.gamma.grad.tolist() == [-4]
    assert (layer.running_mean.tolist(), layer.running_var.tolist()) == ([1], [3])


def test_with_frozen_statistics_training_uses_and_keeps_them_to_the_bit_and_learns_gamma_and_beta():
    x = PICTURES.astype(np.float32)
    dy = np.random.default_rng(3).standard_normal(x.shape, np.float32)
    layer, expected = trained().astype(np.float32).train(), trained().astype(np.float32).eval(backward=True)
    layer.frozen_statistics = True
    before = [array.tobytes() for array in layer.state().values()]
    for _ in range(3):
        assert layer.uses_batch_statistics is False
        np.testing.assert_array_equal(layer.forward(x), expected.forward(x))
        np.testing.assert_array_equal(layer.backward(dy), expected.backward(dy))
    assert [array.tobytes() for array in layer.state().values()] == before
    for name, parameter in layer.parameters().items():
        np.testing.assert_array_equal(parameter.grad, expected.parameters()[name].grad)
        assert parameter.grad.any()
    layer.frozen_statistics = False
    assert not np.allclose(layer.forward(x), expected.forward(x)), "thawed, it uses those of the batch"
    assert [array.tobytes() for array in layer.state().values()] != before


def test_with_frozen_statistics_a_single_value_is_enough():
    layer, x = trained(BatchNorm1d).train(), ROWS[:1]
    with pytest.raises(ValueError, match="a single value a channel"):
        layer.forward(x)
    layer.frozen_statistics = True
    assert np.array_equal(layer.forward(x), trained(BatchNorm1d).eval().forward(x))


def test_frozen_it_does_not_keep_its_input():
    layer = trained().freeze().train()
    layer.forward(PICTURES)
    assert layer._remembered["x"] is None


def test_thawed_it_learns_again():
    layer = trained().freeze().unfreeze().train()
    before = layer.running_mean.copy()
    layer.forward(PICTURES)
    assert not np.allclose(layer.running_mean, before)


def test_as_the_lowest_trainable_layer_it_computes_no_dx():
    for training in (True, False):
        layer = trained()
        layer.train() if training else layer.eval(backward=True)
        layer.needs_dx = False
        layer.forward(PICTURES)
        assert layer.backward(np.ones_like(PICTURES)) is None
        assert np.allclose(layer.beta.grad, PICTURES.size / 4)


def test_state_is_the_live_array_before_and_after_training():
    layer = BatchNorm2d(4).astype(np.float64).train()
    state = layer.state()["running_mean"]
    layer.forward(PICTURES)
    assert state is layer.running_mean
    assert state.any()


def test_conversion_takes_the_statistics_along():
    layer = BatchNorm2d(4)
    assert {array.dtype for array in layer.state().values()} == {np.dtype(np.float32)}
    layer.astype(np.float64)
    assert {array.dtype for array in layer.state().values()} == {np.dtype(np.float64)}
    assert layer.train().forward(PICTURES).dtype == np.float64
    assert layer.running_var.dtype == np.float64


@pytest.mark.parametrize("offset", [0, 1e4, 1e7])
def test_the_variance_of_values_far_from_zero_loses_nothing(offset):
    x = np.random.default_rng(1).standard_normal((4, 3, 9, 9)) + offset
    _, mean, variance = norm.batch_norm_forward(x, np.ones(3), np.zeros(3), 1e-5)
    assert np.allclose(mean, x.mean(axis=(0, 2, 3)), rtol=1e-14)
    assert np.allclose(variance, x.var(axis=(0, 2, 3)), rtol=1e-8)


def test_float32_statistics_are_those_of_the_numbers_and_not_of_rounded_sums():
    x = (np.random.default_rng(1).standard_normal((64, 1, 60, 60)) + 1000).astype(np.float32)
    _, mean, variance = norm.batch_norm_forward(x, np.ones(1, np.float32), np.zeros(1, np.float32), 1e-5)
    assert mean == pytest.approx(x.mean(dtype=np.float64), rel=1e-12)
    assert variance == pytest.approx(x.var(dtype=np.float64), rel=1e-9)


def test_a_first_value_far_from_all_others_does_not_spoil_the_variance():
    x = np.random.default_rng(1).standard_normal((1000, 1))
    x[0] = 1e8
    _, mean, variance = norm.batch_norm_forward(x, np.ones(1), np.zeros(1), 1e-5)
    assert np.allclose(mean, x.mean(), rtol=1e-13) and np.allclose(variance, x.var(), rtol=1e-12)
    x[0] = 1000  # more than all others together, and not so much that nothing else counts
    _, mean, variance = norm.batch_norm_forward(x, np.ones(1), np.zeros(1), 1e-5)
    assert np.allclose(mean, x.mean(), rtol=1e-12) and np.allclose(variance, x.var(), rtol=1e-12)


@pytest.mark.parametrize("channels", [1, 3, 16, 200])
def test_any_number_of_threads_gives_the_same_bits(channels):
    x, dy = np.random.default_rng(1).standard_normal((2, 6, channels, 25, 31), np.float32)
    results, before = [], get_threads()
    try:
        for count in (1, 2, 3):
            set_threads(count)
            layer = BatchNorm2d(channels).train()
            arrays = (
                layer.forward(x),
                layer.backward(dy),
                layer.gamma.grad,
                layer.beta.grad,
                layer.running_mean,
                layer.running_var,
            )
            results.append([array.tobytes() for array in arrays])
    finally:
        set_threads(before)
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("pixels", [1, 2, norm.BLOCK_ROWS - 1, norm.BLOCK_ROWS, 8 * norm.BLOCK_ROWS + 3, 64 * norm.BLOCK_ROWS])
@pytest.mark.parametrize("channels", [1, 24, norm.SHORT_ROW])
def test_short_rows_and_last_blocks_count_like_all_others(pixels, channels):
    x, dy = np.random.default_rng(pixels).standard_normal((2, 2, channels, 1, pixels))
    gamma, beta = np.random.default_rng(2).standard_normal((2, channels))
    fast, simple = (module.batch_norm_forward(x, gamma, beta, 1e-5) for module in (norm, textbook))
    for ours, theirs in zip(fast, simple, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-10)
    fast, simple = (module.batch_norm_backward(dy, x, gamma, *simple[1:], 1e-5) for module in (norm, textbook))
    for ours, theirs in zip(fast, simple, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)


def test_a_constant_channel_becomes_beta():
    layer = trained().train()
    assert np.allclose(layer.forward(np.full((2, 4, 3, 3), 7.0)), layer.beta.value[:, None, None])


def test_nan_survives_in_its_channel_only():
    x = PICTURES.copy()
    x[0, 1, 0, 0] = np.nan
    y = trained().train().forward(x)
    assert np.isnan(y[:, 1]).all()
    assert np.isfinite(y[:, [0, 2, 3]]).all()
    y = trained().eval().forward(x)
    assert np.isnan(y).sum() == 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(5, 3), (2, 1), (1, 3, 2, 2), (4, 5, 7, 3), (3, 2, 33, 17)])
def test_fast_kernels_agree_with_the_reference_loops(shape, dtype):
    numbers = np.random.default_rng(5)
    x, dy = numbers.standard_normal(shape).astype(dtype), numbers.standard_normal(shape).astype(dtype)
    gamma, beta, given_mean = numbers.standard_normal((3, shape[1])).astype(dtype)
    given_variance = numbers.uniform(0.5, 2, shape[1]).astype(dtype)
    close = {"rtol": 2e-4, "atol": 2e-4} if dtype == np.float32 else {"rtol": 1e-10, "atol": 1e-10}
    fast, slow = (module.batch_norm_forward(x, gamma, beta, 1e-5) for module in (norm, reference))
    for ours, loops in zip(fast, slow, strict=True):
        np.testing.assert_allclose(ours, loops, **close)
    assert fast[0].dtype == dtype
    given = (gamma, given_mean, given_variance, 1e-5)
    results = [
        (norm.batch_norm_backward, reference.batch_norm_backward, (dy, x, gamma, *slow[1:], 1e-5)),
        (norm.running_norm_backward, reference.running_norm_backward, (dy, x, *given)),
    ]
    for ours, loops, arguments in results:
        for a, b in zip(ours(*arguments), loops(*arguments), strict=True):
            np.testing.assert_allclose(a, b, **close)
            assert a.dtype == dtype
    arguments = (x, gamma, beta, given_mean, given_variance, 1e-5)
    np.testing.assert_allclose(norm.running_norm_forward(*arguments), reference.running_norm_forward(*arguments), **close)


def test_arrays_that_are_not_contiguous_are_read_right():
    x = PICTURES.transpose(0, 1, 3, 2)
    a, b = trained().train(), trained().train()
    assert np.array_equal(a.forward(x), b.forward(x.copy()))
    dy = np.random.default_rng(2).standard_normal(PICTURES.shape).transpose(0, 1, 3, 2)
    assert np.array_equal(a.backward(dy), b.backward(dy.copy()))


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match=r"a single value a channel .* x \(1, 4\)"):
        BatchNorm1d(4).train().forward(np.zeros((1, 4), np.float32))
    assert BatchNorm1d(4).train().freeze().forward(np.zeros((1, 4), np.float32)).shape == (1, 4)
    with pytest.raises(ValueError, match=r"\(N, 3, H, W\), got \(3, 4, 5, 2\)"):
        BatchNorm2d(3).astype(np.float64).forward(PICTURES)
    with pytest.raises(ValueError, match=r"shape \(N, D\), got \(3, 4, 5, 2\)"):
        BatchNorm1d(4).astype(np.float64).forward(PICTURES)
    with pytest.raises(TypeError, match="holds gamma in float32 and got x in float64"):
        BatchNorm2d(4).forward(PICTURES)
    with pytest.raises(ValueError, match="at least 1, got 0"):
        BatchNorm2d(0)
    with pytest.raises(ValueError, match="momentum is the new batch's weight"):
        BatchNorm2d(4, momentum=1.5)
    with pytest.raises(ValueError, match="eps keeps the variance away from 0"):
        BatchNorm2d(4, eps=0)


def test_two_values_have_a_variance_and_any_eps_above_zero_will_do():
    layer = BatchNorm1d(1, eps=1e-12).train()
    np.testing.assert_allclose(layer.forward(np.array([[1.0], [3.0]], np.float32)), [[-1], [1]])
    np.testing.assert_allclose(layer.running_var, 0.9 * 1 + 0.1 * 2)


@pytest.mark.parametrize("training", [True, False])
def test_pytorch_gives_the_same(training):
    torch = pytest.importorskip("torch")
    ours, theirs = trained(), torch.nn.BatchNorm2d(4, dtype=torch.float64)
    with torch.no_grad():
        theirs.weight.copy_(torch.from_numpy(ours.gamma.value))
        theirs.bias.copy_(torch.from_numpy(ours.beta.value))
    theirs.running_mean.copy_(torch.from_numpy(ours.running_mean))
    theirs.running_var.copy_(torch.from_numpy(ours.running_var))
    theirs.train(training)
    ours.train() if training else ours.eval(backward=True)
    x = torch.from_numpy(PICTURES).requires_grad_()
    for _ in range(2):
        y = theirs(x)
        np.testing.assert_allclose(ours.forward(PICTURES), y.detach().numpy(), atol=1e-12)
    dy = np.random.default_rng(3).standard_normal(PICTURES.shape)
    y.backward(torch.from_numpy(dy))
    np.testing.assert_allclose(ours.backward(dy), x.grad.numpy(), atol=1e-12)
    np.testing.assert_allclose(ours.gamma.grad, theirs.weight.grad.numpy(), atol=1e-12)
    np.testing.assert_allclose(ours.beta.grad, theirs.bias.grad.numpy(), atol=1e-12)
    np.testing.assert_allclose(ours.running_mean, theirs.running_mean.numpy(), atol=1e-12)
    np.testing.assert_allclose(ours.running_var, theirs.running_var.numpy(), atol=1e-12)


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (BatchNorm1d(5), (4, 3), "(N, 5)"),
        (BatchNorm1d(5), (4, 3, 2, 2), "(N, "),
        (BatchNorm1d(5), (5,), "(N, "),
        (BatchNorm2d(5), (4, 3, 2, 2), "(N, 5, H, W)"),
        (BatchNorm2d(5), (4, 5), "(N, "),
    ],
)
def test_an_input_of_another_width_is_refused_with_the_shape_that_is_expected(layer, shape, expected):
    with pytest.raises(ValueError, match="expects an input of shape") as error:
        layer.train().forward(np.zeros(shape, np.float32))
    assert expected in str(error.value) and str(shape) in str(error.value)
    if isinstance(layer, BatchNorm1d):
        assert "NCHW" not in str(error.value)
