"""Fractional max pooling: where its regions lie, who wins, and the fast kernel against the definition."""

import math
from itertools import pairwise

import numpy as np
import pytest

import minicnn
from minicnn.gradcheck import check_layer
from minicnn.inference import fuse
from minicnn.kernels import pool, reference
from minicnn.layers import Conv2d, FractionalMaxPool2d, MaxPool2d
from minicnn.layers.fractional_pool import pseudorandom_starts, random_starts
from minicnn.models import Model

KINDS = [(overlapping, sequence) for overlapping in (True, False) for sequence in ("pseudorandom", "random")]


def distinct(shape):
    """Values at least 0.01 apart, in random order."""
    return 0.01 * np.random.default_rng(0).permutation(int(np.prod(shape))).reshape(shape).astype(np.float64)


def regions(layer, length):
    """First row and the one after the last of each region of so many rows."""
    rows, columns = layer.regions((1, 1, length, length), layer.training)
    assert len(rows) == len(columns) == layer.output_shape((1, 1, length, length))[2]
    return [tuple(region) for region in rows.tolist()]


# ---- where regions lie


def test_by_hand():
    """Six rows to four, side by side: alpha = 3/2, and with u = 1/2 a_i = ceil(1.5 i + 0.75) - 1 = 0, 2, 3, 5, 6."""
    layer = FractionalMaxPool2d(1.5, overlapping=False)
    assert regions(layer, 6) == [(0, 2), (2, 3), (3, 5), (5, 6)]
    x = np.arange(6.0).reshape(1, 1, 1, 6)
    rows = FractionalMaxPool2d((1.0001, 1.5), overlapping=False)
    with pytest.raises(ValueError, match="smaller than the ratio"):
        rows.forward(x)
    tall = np.concatenate([x, -x], axis=2)  # two rows to one
    layer = FractionalMaxPool2d((2, 1.5), overlapping=False).train()
    layer.rng = type("Half", (), {"random": lambda self: 0.5})()
    assert np.array_equal(layer.forward(tall)[0, 0], [[1, 2, 4, 5]])
    assert np.array_equal(layer.backward(np.array([[[[1.0, 10, 100, 1000]]]]))[0, 0, 0], [0, 1, 10, 0, 100, 1000])


def test_overlapping_regions_share_a_row_whose_pixel_may_win_twice():
    """Five rows to three: alpha = 4/3, a_i = ceil(4/3 (i + 1/2)) - 1 = 0, 1, 3, 4."""
    layer = FractionalMaxPool2d((1.5, 1.5)).eval(backward=True)
    assert regions(layer, 5) == [(0, 2), (1, 4), (3, 5)]
    x = np.zeros((1, 1, 5, 5))
    x[0, 0, 1, 1] = x[0, 0, 3, 3] = 1
    layer.forward(x)
    dx = layer.backward(np.ones((1, 1, 3, 3)))[0, 0]
    assert dx[1, 1] == 4 and dx[3, 3] == 3 and dx.sum() == 9


@pytest.mark.parametrize(("span", "count"), [(7, 5), (25, 18), (10, 10), (24, 12), (270, 3), (9, 1), (13, 4)])
def test_steps_are_the_two_whole_numbers_around_alpha_and_lead_to_the_end(span, count):
    rng = np.random.default_rng(0)
    for starts in [*(pseudorandom_starts(span, count, u) for u in (0.0, 0.1, 0.5, 0.999)), random_starts(span, count, rng)]:
        assert starts[0] == 0 and starts[-1] == span and len(starts) == count + 1
        assert set(np.diff(starts)) <= {span // count, math.ceil(span / count)}


def test_pseudorandom_starts_are_grahams_formula():
    for u in np.random.default_rng(0).random(20):
        alpha, i = 25 / 18, np.arange(19)
        np.testing.assert_array_equal(pseudorandom_starts(25, 18, u), np.ceil(alpha * (i + u)) - np.ceil(alpha * u))


def test_pseudorandom_steps_alternate_as_evenly_as_can_be_and_random_ones_do_not():
    """Each stretch of n pseudorandom steps is n alpha long, up to less than one pixel; random ones wander off."""

    def wandering(starts):
        return np.ptp(starts - np.arange(41) * 1.5)

    assert max(wandering(pseudorandom_starts(60, 40, u)) for u in np.linspace(0, 0.99, 30)) < 1
    assert max(wandering(random_starts(60, 40, np.random.default_rng(seed))) for seed in range(30)) > 2


@pytest.mark.parametrize(("overlapping", "sequence"), KINDS)
def test_every_row_is_in_a_region(overlapping, sequence):
    layer = FractionalMaxPool2d(1.4, overlapping, sequence, rng=0).train()
    for length in range(3, 40):
        found = regions(layer, length)
        assert found[0][0] == 0 and found[-1][1] == length
        assert all(stop - overlapping == start for (_, stop), (start, _) in pairwise(found))
        assert {stop - start for start, stop in found} <= {1 + overlapping, 2 + overlapping}


def test_a_ratio_of_two_side_by_side_is_ordinary_pooling():
    x = np.random.default_rng(0).normal(size=(2, 3, 8, 6)).astype(np.float32)
    np.testing.assert_array_equal(FractionalMaxPool2d(2, overlapping=False).forward(x), MaxPool2d(2).forward(x))


def test_the_map_is_smaller_by_the_ratio():
    assert FractionalMaxPool2d(math.sqrt(2)).output_shape((8, 3, 36, 25)) == (8, 3, 25, 17)
    assert FractionalMaxPool2d((1.5, 3)).output_shape((8, 3, 36, 25)) == (8, 3, 24, 8)


def test_unless_told_it_shrinks_by_the_root_of_two_with_overlapping_pseudorandom_regions():
    layer = FractionalMaxPool2d()
    assert layer.config() == {"ratio": [math.sqrt(2), math.sqrt(2)], "overlapping": True, "sequence": "pseudorandom"}
    assert FractionalMaxPool2d([1.5, 3]).ratio == (1.5, 3)


# ---- randomness


@pytest.mark.parametrize(("overlapping", "sequence"), KINDS)
def test_regions_are_drawn_anew_in_training_repeat_with_the_seed_and_stay_in_inference(overlapping, sequence):
    x = np.random.default_rng(0).normal(size=(1, 1, 30, 30))
    one, two = (FractionalMaxPool2d(1.4, overlapping, sequence, rng=5).train() for _ in range(2))
    passes = [one.forward(x) for _ in range(4)]
    assert any(not np.array_equal(passes[0], other) for other in passes[1:])
    assert all(np.array_equal(other, two.forward(x)) for other in passes)
    state = one.eval().rng.bit_generator.state
    assert np.array_equal(one.forward(x), one.forward(x)) and one.rng.bit_generator.state == state


@pytest.mark.parametrize("sequence", ["pseudorandom", "random"])
def test_in_training_the_steps_are_drawn_from_its_generator_by_its_sequence(sequence):
    """Thirty rows to 21: the starts lead from row 0 to row 29, and each region has one row more."""
    layer = FractionalMaxPool2d(1.4, sequence=sequence, rng=3).train()
    rng = np.random.default_rng(3)
    starts = random_starts(29, 21, rng) if sequence == "random" else pseudorandom_starts(29, 21, rng.random())
    rows, _ = layer.regions((1, 1, 30, 30), training=True)
    assert np.array_equal(rows, np.stack([starts[:-1], starts[1:] + 1], axis=1))


# ---- values and gradients


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("overlapping", "sequence"), KINDS)
def test_the_fast_kernels_compute_what_the_definition_says(overlapping, sequence, dtype):
    rng = np.random.default_rng(3)
    for shape in [(2, 3, 7, 9), (1, 1, 2, 3), (3, 17, 11, 5), (0, 2, 6, 6)]:
        layer = FractionalMaxPool2d(1.4, overlapping, sequence, rng=rng).train()
        rows, columns = layer.regions(shape, training=True)
        x = rng.integers(0, 5, shape).astype(dtype)  # with many ties
        y, winners = pool.region_max_pool2d_forward(x, rows, columns)
        expected, expected_winners = reference.region_max_pool2d_forward(x, rows, columns)
        np.testing.assert_array_equal(y, expected)
        np.testing.assert_array_equal(winners, expected_winners)
        dy = rng.normal(size=y.shape).astype(dtype)
        dx = pool.region_max_pool2d_backward(dy, winners, shape[2:])
        np.testing.assert_array_equal(dx, reference.region_max_pool2d_backward(dy, expected_winners, shape[2:]))
        assert y.dtype == dx.dtype == dtype


def test_nan_wins():
    x = np.zeros((1, 1, 6, 6))
    x[0, 0, 2, 3] = np.nan
    assert np.isnan(FractionalMaxPool2d(1.5).forward(x)).any()


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("overlapping", "sequence"), KINDS)
def test_gradients_match_numeric_ones(overlapping, sequence, training):
    report = check_layer(FractionalMaxPool2d(1.4, overlapping, sequence, rng=1), distinct((2, 2, 7, 6)), training=training)
    assert report.ok, report


@pytest.mark.parametrize("fault", ["a shared pixel gets the last", "columns and rows changed", "regions drawn again"])
def test_a_wrong_gradient_would_be_seen(fault):
    class Wrong(FractionalMaxPool2d):
        def backward(self, dy):
            saved = dict(self._remembered)
            dx = super().backward(dy)
            if fault == "columns and rows changed":
                return dx.swapaxes(2, 3).copy()
            winners = saved["winners"]
            if fault == "regions drawn again":
                rows, columns = self.regions(dx.shape, training=True)
                _, winners = pool.region_max_pool2d_forward(X, rows, columns)
            dx[...] = 0
            flat = dx.reshape(*dx.shape[:2], -1)
            for at in np.ndindex(dy.shape):
                if fault == "regions drawn again":
                    flat[at[:2]][winners[at]] += dy[at]
                else:
                    flat[at[:2]][winners[at]] = dy[at]
            return dx

    X = distinct((2, 2, 6, 6))
    assert not check_layer(Wrong(1.4, rng=1), X, training=True).ok


def test_a_saved_model_computes_the_same_again(tmp_path):
    layers = {"conv": Conv2d(3, 8, 3, rng=0), "pool": FractionalMaxPool2d((1.3, 1.6), False, "random")}
    model = Model(layers, architecture="small", input_shape=(3, 12, 12)).eval()
    model.save(tmp_path / "net.h5")
    x = np.random.default_rng(0).normal(size=(2, 3, 12, 12)).astype(np.float32)
    loaded = minicnn.load(tmp_path / "net.h5")
    np.testing.assert_array_equal(loaded.forward(x), model.forward(x))
    np.testing.assert_allclose(fuse(model).forward(x), model.forward(x), rtol=1e-5, atol=1e-5)
    assert loaded.layers["pool"].config() == model.layers["pool"].config()


@pytest.mark.parametrize("ratio", [1, 0.5, np.inf, np.nan, (1.5,), "two", (1.5, 1)])
def test_impossible_ratios_are_refused(ratio):
    with pytest.raises(ValueError, match="a number above 1 or a pair"):
        FractionalMaxPool2d(ratio)


def test_other_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="sequence is one of 'pseudorandom', 'random', got 'even'"):
        FractionalMaxPool2d(1.5, sequence="even")
    with pytest.raises(ValueError, match="smaller than the ratio"):
        FractionalMaxPool2d(3).forward(np.zeros((1, 1, 2, 5)))
    with pytest.raises(ValueError, match=r"\(N, C, H, W\)"):
        FractionalMaxPool2d(3).forward(np.zeros((1, 5)))
