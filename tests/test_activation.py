"""Activations: values and slopes by hand, at kinks, at the ends of the number range, and with NaN."""

import numpy as np
import pytest
import scipy.special

from minicnn.gradcheck import check_layer
from minicnn.kernels import elementwise
from minicnn.layers import (
    ELU,
    GELU,
    LeakyReLU,
    ReLU,
    ReLU6,
    Sigmoid,
    Tanh,
)
from minicnn.layers.activation import CLIPS, Activation

ALL = [ReLU(), ReLU6(), LeakyReLU(0.2), ELU(1.5), Sigmoid(), Tanh(), GELU()]
KINKY = [ReLU(), ReLU6(), LeakyReLU(0.2)]

# where GELU's tanh is 1/2: c (x + 0.044715 x^3) = log(3) / 2, with c = sqrt(2 / pi)
GELU_AT_HALF = np.roots([0.044715, 0, 1, -np.log(3) / 2 * np.sqrt(np.pi / 2)])[-1].real
GELU_SLOPE = 0.75 + GELU_AT_HALF * 3 / 8 * np.sqrt(2 / np.pi) * (1 + 0.134145 * GELU_AT_HALF**2)


def through(layer, x, dy=None):
    """y and dx."""
    y = layer.train().forward(x)
    return y, layer.backward(np.ones_like(x) if dy is None else dy)


@pytest.mark.parametrize(
    ("layer", "x", "y", "slope"),
    [
        (ReLU(), [-2, 0, 3], [0, 0, 3], [0, 0, 1]),
        (ReLU6(), [-2, 0, 3, 6, 7], [0, 0, 3, 6, 6], [0, 0, 1, 0, 0]),
        (LeakyReLU(0.25), [-2, 0, 3], [-0.5, 0, 3], [0.25, 0.25, 1]),
        (LeakyReLU(0), [-2, 0, 3], [0, 0, 3], [0, 0, 1]),
        (ELU(2), [-np.log(2), 0, 3], [-1, 0, 3], [1, 2, 1]),
        (Sigmoid(), [0, np.log(3), -np.log(3)], [0.5, 0.75, 0.25], [0.25, 0.1875, 0.1875]),
        (Tanh(), [0, np.log(2), -np.log(2)], [0, 0.6, -0.6], [1, 0.64, 0.64]),
        (GELU(), [0, 20, -20], [0, 20, 0], [0.5, 1, 0]),
        (GELU(), [GELU_AT_HALF, -GELU_AT_HALF], [0.75 * GELU_AT_HALF, -0.25 * GELU_AT_HALF], [GELU_SLOPE, 1 - GELU_SLOPE]),
    ],
)
def test_values_and_slopes_by_hand(layer, x, y, slope):
    value, dx = through(layer, np.array(x, np.float64), np.full(len(x), 10.0))
    np.testing.assert_allclose(value, y, atol=1e-15)
    np.testing.assert_allclose(dx, 10 * np.array(slope), atol=1e-14)


@pytest.mark.parametrize("layer", ALL, ids=str)
@pytest.mark.parametrize("training", [True, False])
def test_gradients_match_numeric_ones(layer, training):
    rng = np.random.default_rng(0)
    x = rng.uniform(0.01, 4, (4, 3, 5)) * rng.choice([-1, 1], (4, 3, 5))
    x[0, 0, :2] = 6.5, 8  # beyond the upper kink of ReLU6
    report = check_layer(layer, x, training=training)
    assert report.ok, report
    assert report.kinks == 0


@pytest.mark.parametrize("layer", ALL, ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nan_survives_forward_and_backward_and_infinity_makes_none(layer, dtype):
    x = np.array([np.nan, np.inf, -np.inf, 1], dtype)
    y, dx = through(layer, x)
    assert y.dtype == dx.dtype == dtype
    assert np.isnan(y).tolist() == [True, False, False, False]
    assert np.isnan(dx).tolist() == [True, False, False, False]
    assert np.isfinite(dx[1:]).all()
    _, dx = through(layer, np.array([1, 2], dtype), np.array([np.nan, 1], dtype))
    assert np.isnan(dx).tolist() == [True, False]


@pytest.mark.parametrize("layer", ALL, ids=str)
@pytest.mark.parametrize("size", [1, 40, elementwise.SERIAL_BELOW_ELEMENTS + 5])
def test_a_nan_is_passed_on_wherever_it_is_and_to_nothing_else(layer, size):
    x = np.linspace(-8, 8, size)
    x[::3] = np.nan
    y, dx = through(layer, x, np.full(size, 2.0))
    assert np.array_equal(np.isnan(y), np.isnan(x)) and np.array_equal(np.isnan(dx), np.isnan(x))


@pytest.mark.parametrize(("layer", "x"), [(ReLU(), [-1, 0]), (ReLU6(), [-1, 0, 6, 7])])
def test_where_the_slope_is_0_by_definition_nothing_of_dy_passes(layer, x):
    x = np.array(x, np.float64)
    for number in (np.nan, np.inf):
        _, dx = through(layer, x, np.full(len(x), number))
        assert np.array_equal(dx, np.zeros(len(x)))


def test_sigmoid_neither_overflows_nor_loses_small_values():
    with np.errstate(all="raise"):
        y, dx = through(Sigmoid(), np.array([-1000.0, -700, -40, 40, 1000]))
    np.testing.assert_allclose(y[1:3], np.exp([-700.0, -40]), rtol=1e-12)
    assert y[0] == 0 and y[4] == 1
    assert np.isfinite(dx).all()


def test_elu_keeps_the_digits_of_small_negative_values():
    y, _ = through(ELU(), np.array([-1e-12]))
    np.testing.assert_allclose(y, -1e-12, rtol=1e-11, atol=0)


@pytest.mark.parametrize("layer", ALL, ids=str)
@pytest.mark.parametrize("size", [1, 7, elementwise.SERIAL_BELOW_ELEMENTS + 5])
def test_large_and_small_arrays_are_computed_alike(layer, size):
    x = np.linspace(-8, 8, size)
    y, dx = through(layer, x)
    chosen = [0, size // 3, size // 2, size - 1]
    one_by_one = [through(layer, x[i : i + 1]) for i in chosen]
    np.testing.assert_allclose(y[chosen], [value.item() for value, _ in one_by_one], rtol=1e-14)
    np.testing.assert_allclose(dx[chosen], [slope.item() for _, slope in one_by_one], rtol=1e-14, atol=1e-300)


@pytest.mark.parametrize("layer", ALL, ids=str)
def test_arrays_that_are_not_contiguous_are_read_right(layer):
    x, dy = np.random.default_rng(1).standard_normal((2, 6, 4))[:, :, ::2]
    y, dx = through(layer, x.T, dy.T)
    y_copy, dx_copy = through(layer, x.T.copy(), dy.T.copy())
    assert np.array_equal(y, y_copy) and np.array_equal(dx, dx_copy)


@pytest.mark.parametrize("layer", ALL, ids=str)
def test_only_the_output_is_remembered_or_the_input_of_gelu_and_the_argument_is_not_touched(layer):
    x = np.linspace(-2, 8, 11)
    before = x.copy()
    y = layer.train().forward(x)
    [(name, kept)] = layer._remembered.items()
    assert (name, kept is x) == ("x", True) if isinstance(layer, GELU) else (name, kept is y) == ("y", True)
    layer.backward(np.ones_like(x))
    assert layer._remembered is None
    assert np.array_equal(x, before)
    layer.eval().forward(x)
    assert layer._remembered is None


@pytest.mark.parametrize("layer", ALL, ids=str)
def test_config_rebuilds_the_layer(layer):
    assert type(layer)(**layer.config()).config() == layer.config()
    assert layer.output_shape((3, 4, 5)) == (3, 4, 5)


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match=r"LeakyReLU's slope is the one below zero, 0 or more .* got -0.1"):
        LeakyReLU(-0.1)
    with pytest.raises(ValueError, match="ELU's alpha"):
        ELU(-1)
    with pytest.raises(TypeError, match="NumPy array, got list"):
        ReLU().forward([1.0])
    with pytest.raises(TypeError, match="float32 or float64, got int64; convert"):
        ReLU().forward(np.arange(3))
    layer = ReLU().train()
    layer.forward(np.zeros(3))
    with pytest.raises(ValueError, match=r"dy like y, float64 \(3,\), got float32 \(3,\)"):
        layer.backward(np.zeros(3, np.float32))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_pytorch_gives_the_same(dtype):
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    theirs = {
        "ReLU": torch.relu,
        "ReLU6": functional.relu6,
        "LeakyReLU": lambda x: functional.leaky_relu(x, 0.2),
        "ELU": lambda x: functional.elu(x, 1.5),
        "Sigmoid": torch.sigmoid,
        "Tanh": torch.tanh,
        "GELU": lambda x: functional.gelu(x, approximate="tanh"),
    }
    x = np.random.default_rng(0).uniform(-9, 9, 1000).astype(dtype)
    dy = np.random.default_rng(1).standard_normal(1000).astype(dtype)
    for layer in ALL:
        y, dx = through(layer, x, dy)
        their_x = torch.from_numpy(x).requires_grad_()
        their_y = theirs[str(layer)](their_x)
        their_y.backward(torch.from_numpy(dy))
        close = {"rtol": 1e-5, "atol": 1e-5} if dtype == np.float32 else {"rtol": 1e-10, "atol": 1e-12}
        np.testing.assert_allclose(y, their_y.detach().numpy(), **close)
        np.testing.assert_allclose(dx, their_x.grad.numpy(), **close)


def test_an_activation_must_write_its_function_and_its_gradient():
    class Nothing(Activation):
        """Neither."""

    with pytest.raises(NotImplementedError, match=r"Nothing must write _function\(x\)"):
        Nothing().forward(np.ones(3))
    with pytest.raises(NotImplementedError, match=r"Nothing must write _gradient\(dy, y\)"):
        Nothing()._gradient(np.ones(3), np.ones(3))


@pytest.mark.parametrize("relu", CLIPS, ids=lambda relu: relu.__name__)
def test_a_relu_is_a_clip_and_flat_at_its_limits(relu):
    (low, high), x = CLIPS[relu], np.linspace(-2, 8, 41)
    y, dx = through(relu(), x)
    assert np.array_equal(y, np.clip(x, low, high))
    assert np.array_equal(dx, (low < x) & (x < high))


def test_unless_told_a_leaky_relu_leaks_a_hundredth_and_an_elu_ends_at_minus_one():
    assert through(LeakyReLU(), np.array([-1.0]))[0] == -0.01
    assert through(ELU(), np.array([-50.0]))[0] == -1


@pytest.mark.parametrize("activation", [LeakyReLU, ELU])
def test_slopes_and_limits_are_finite_and_may_be_zero(activation):
    y, dx = through(activation(0), np.array([-1.0, 2.0]))
    assert y.tolist() == [0, 2] and dx.tolist() == [0, 1]
    for bad in (np.inf, np.nan, -1e-9):
        with pytest.raises(ValueError, match="0 or more"):
            activation(bad)


def test_gelu_is_within_5e_4_of_x_times_the_normal_distribution_function():
    x = np.linspace(-40, 40, 80001)
    y, dx = through(GELU(), x)
    assert abs(y - x * scipy.special.ndtr(x)).max() < 5e-4
    slope = scipy.special.ndtr(x) + x * np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
    assert abs(dx - slope).max() < 1.5e-3


def test_gelu_of_huge_numbers_is_a_relu():
    for dtype, huge in ((np.float32, 3e38), (np.float64, 1e308)):
        y, dx = through(GELU(), np.array([huge, -huge, np.inf, -np.inf], dtype))
        assert y.tolist() == [dtype(huge), 0, np.inf, 0] and dx.tolist() == [1, 0, 1, 0]
