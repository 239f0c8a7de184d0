"""How weights start: the right spread for the shape, the same for the same seed."""

import numpy as np
import pytest

from minicnn.initializers import fans, msra, normal, xavier


def test_fans_count_the_taps_of_a_filter_and_the_channels_of_its_group():
    assert fans((10, 84)) == (84, 10)
    assert fans((16, 6, 5, 3)) == (6 * 15, 16 * 15)
    assert fans((32, 1, 3, 3)) == (9, 288)  # depthwise: each output is a sum of nine


def test_a_bias_has_no_fans():
    with pytest.raises(ValueError, match=r"got \(16,\)"):
        fans((16,))


@pytest.mark.parametrize(
    ("initializer", "variance"),
    [(msra, 2 / 450), (xavier, 2 / (450 + 720)), (normal(0.3), 0.09)],
    ids=["msra", "xavier", "normal"],
)
def test_weights_have_mean_zero_and_the_variance_of_the_formula(initializer, variance):
    w = initializer((80, 50, 3, 3), np.random.default_rng(0), np.float64)
    assert w.shape == (80, 50, 3, 3) and w.dtype == np.float64
    assert abs(w.mean()) < 4 * np.sqrt(variance / w.size)
    assert abs(w.var() / variance - 1) < 4 * np.sqrt(2 / w.size)


def test_msra_keeps_the_size_of_a_signal_through_ten_layers_with_relu():
    rng = np.random.default_rng(1)
    x = rng.standard_normal((200, 400))
    before = (x**2).mean()
    for _ in range(10):
        x = np.maximum(x @ msra((400, 400), rng, np.float64).T, 0)
    # each layer halves the second moment by ReLU and doubles it again; x itself was not halved yet, so y^2 has x^2's mean
    assert 0.5 < (x**2).mean() / before < 2


@pytest.mark.parametrize("initializer", [msra, xavier, normal(0.1)], ids=["msra", "xavier", "normal"])
def test_one_seed_gives_the_same_weights_in_both_precisions(initializer):
    single, double = (initializer((4, 3, 2, 2), np.random.default_rng(5), dtype) for dtype in (np.float32, np.float64))
    assert single.dtype == np.float32 and double.dtype == np.float64
    np.testing.assert_array_equal(single, double.astype(np.float32))
    assert not np.array_equal(double, initializer((4, 3, 2, 2), np.random.default_rng(6), np.float64))


@pytest.mark.parametrize("std", [-1, float("nan"), float("inf")])
def test_a_senseless_standard_deviation_is_refused(std):
    with pytest.raises(ValueError, match="standard deviation"):
        normal(std)
