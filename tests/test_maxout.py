"""Maxout: the largest of several pieces wins, and gets the gradient."""

import numpy as np
import pytest

import minicnn
from minicnn.gradcheck import check_layer
from minicnn.inference import fuse
from minicnn.kernels import reference
from minicnn.layers import Conv2d, Linear, Maxout, Sequential
from minicnn.models import Model

SHAPES = [(4, 6), (2, 6, 3, 4), (1, 12, 1, 5), (0, 6), (2, 6, 0, 3)]


def distinct(shape):
    """Values at least 0.01 apart, in random order."""
    return 0.01 * np.random.default_rng(0).permutation(int(np.prod(shape))).reshape(shape).astype(np.float64)


def test_by_hand():
    layer = Maxout(3).train()
    assert np.array_equal(layer.forward(np.array([[1.0, 7, 2, -5, -3, -4]])), [[7, -3]])
    assert np.array_equal(layer.backward(np.array([[10.0, 20]])), [[0, 10, 0, 0, 20, 0]])


def test_above_a_linear_layer_it_is_any_convex_function_in_pieces():
    linear = Linear(1, 2, bias=False)
    linear.w.value[:] = [[1], [-1]]
    x = np.linspace(-2, 2, 9, dtype=np.float32)[:, None]
    assert np.array_equal(Sequential(linear, Maxout(2)).forward(x), abs(x))


@pytest.mark.parametrize("pieces", [2, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_it_computes_what_the_definition_says(shape, pieces):
    x = np.random.default_rng(1).integers(0, 3, shape).astype(np.float32)  # with many ties
    layer = Maxout(pieces).train()
    y = layer.forward(x)
    expected, winners = reference.maxout_forward(x, pieces)
    assert np.array_equal(y, expected) and y.shape == layer.output_shape(shape)
    dy = np.random.default_rng(2).normal(size=y.shape).astype(np.float32)
    assert np.array_equal(layer.backward(dy), reference.maxout_backward(dy, winners, pieces))


def test_of_equal_ones_the_first_wins_and_nan_always():
    layer = Maxout(3).train()
    layer.forward(np.zeros((1, 3)))
    assert np.array_equal(layer.backward(np.ones((1, 1))), [[1, 0, 0]])
    assert np.isnan(layer.forward(np.array([[5, np.nan, 7]])))


@pytest.mark.parametrize(("pieces", "bytes_an_output"), [(2, 1), (256, 1), (257, 4), (300, 4)])
def test_which_piece_won_is_remembered_in_a_byte_as_long_as_a_byte_can_count_them(pieces, bytes_an_output):
    x = np.zeros((1, pieces))
    x[0, -1] = 1
    layer = Maxout(pieces).train()
    layer.forward(x)
    assert layer._remembered["winners"].nbytes == bytes_an_output
    assert np.array_equal(layer.backward(np.ones((1, 1))), x)


def test_unless_told_it_takes_the_larger_of_two():
    assert np.array_equal(Maxout().forward(np.array([[3.0, 5, -1, -2]])), [[5, -1]])


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", SHAPES[:3])
def test_gradients_match_numeric_ones(shape, training):
    report = check_layer(Maxout(3), distinct(shape), training=training)
    assert report.ok, report


@pytest.mark.parametrize("fault", ["all pieces", "the smallest", "the wrong group"])
def test_a_wrong_gradient_would_be_seen(fault):
    class Wrong(Maxout):
        def backward(self, dy):
            dx = super().backward(dy)
            if fault == "all pieces":
                return np.repeat(dy, self.pieces, axis=1)
            return dx[:, ::-1].copy() if fault == "the smallest" else np.roll(dx, self.pieces, axis=1)

    assert not check_layer(Wrong(2), distinct((3, 6))).ok


def test_a_saved_model_computes_the_same_again(tmp_path):
    model = Model({"conv": Conv2d(3, 8, 3, rng=0), "max": Maxout(4)}, architecture="small", input_shape=(3, 6, 6)).eval()
    model.save(tmp_path / "net.h5")
    x = np.random.default_rng(0).normal(size=(2, 3, 6, 6)).astype(np.float32)
    np.testing.assert_array_equal(minicnn.load(tmp_path / "net.h5").forward(x), model.forward(x))
    np.testing.assert_allclose(fuse(model).forward(x), model.forward(x), rtol=1e-5, atol=1e-5)
    assert model.output_shape((2, 3, 6, 6)) == (2, 2, 4, 4)


@pytest.mark.parametrize("pieces", [1, 0, 2.0, "two"])
def test_impossible_arguments_are_refused(pieces):
    with pytest.raises(ValueError, match="pieces is a whole number of at least 2"):
        Maxout(pieces)


@pytest.mark.parametrize("shape", [(2, 5), (2, 0), (6,), (2, 6, 3)])
def test_channels_must_come_in_groups(shape):
    with pytest.raises(ValueError, match="a multiple of 2 channels"):
        Maxout(2).forward(np.zeros(shape))
