"""Guesses of the gradient check that hang on a detail: one direction only, the size of the loss, padding, a square matrix."""

import numpy as np
import pytest

from minicnn.gradcheck import check_function
from minicnn.gradcheck.evidence import first_few, fits
from minicnn.kernels import textbook

rng = np.random.default_rng(7)


def some(*shape):
    """Different numbers without ties."""
    size = int(np.prod(shape))
    return (rng.permutation(size) - size // 2 + 0.5).reshape(shape) * (4 / size)


def guess(forward, backward, arrays):
    report = check_function(lambda **_: forward(), backward, arrays)  # the arrays are changed in place
    assert not report.ok
    return str(report)


def convolution(change, stride=(1, 1), pad=0, size=7):
    x, w = some(2, 3, size, size), some(4, 3, 3, 3)
    pads = (pad,) * 4

    def forward():
        return textbook.conv2d_forward(x, w, None, stride, pads, (1, 1), 1)

    def backward(dy):
        dx, dw, _ = textbook.conv2d_backward(dy, x, w, stride, pads, (1, 1), 1)
        return change(dx, dw, dy, x, w)

    return forward, backward, {"x": x, "w": w}


@pytest.mark.parametrize("stride", [(2, 1), (1, 2), (2, 2)])
def test_a_stride_in_one_direction_that_is_ignored_is_named(stride):
    def ignored(dx, dw, dy, x, w):
        OH, OW = dy.shape[2:]
        wrong = np.zeros_like(w)
        for i in range(3):
            for j in range(3):
                wrong[:, :, i, j] = np.einsum("nfhw,nchw->fc", dy, x[:, :, i : i + OH, j : j + OW])
        return {"x": dx, "w": wrong}

    assert "the stride is ignored" in guess(*convolution(ignored, stride))


@pytest.mark.parametrize("shift", [(1, 0), (0, 1), (1, 1)])
def test_right_values_that_stand_beside_their_places_are_named_with_the_direction(shift):
    def moved(dx, dw, dy, x, w):
        return {"x": np.roll(dx, shift, axis=(2, 3)), "w": dw}

    assert f"stand {shift[0]} up and {shift[1]} " in guess(*convolution(moved, pad=1)).replace("down", "up")


@pytest.mark.parametrize("k, s, p", [(3, 2, 1), (2, 2, 0), (3, 1, 1)])
def test_average_pooling_in_place_of_max_pooling_is_named_with_padding_too(k, s, p):
    x = some(2, 2, 7, 7)
    padded = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)), constant_values=-np.inf)
    out = (7 + 2 * p - k) // s + 1

    def windows():
        padded[:, :, p : p + 7, p : p + 7] = x
        return np.lib.stride_tricks.sliding_window_view(padded, (k, k), axis=(2, 3))[:, :, ::s, ::s]

    def backward(dy):
        dx = np.zeros_like(padded)
        for i in range(k):
            for j in range(k):
                dx[:, :, i : i + s * out : s, j : j + s * out : s] += dy / k**2
        return {"x": dx[:, :, p : p + 7, p : p + 7]}

    assert "as in average pooling" in guess(lambda: windows().max(axis=(4, 5)), backward, {"x": x})


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_the_guess_about_a_norm_does_not_depend_on_the_size_of_the_loss(scale):
    x = some(6, 5)

    def forward():
        return scale * (x - x.mean(axis=0)) / x.std(axis=0)

    def backward(dy):
        return {"x": scale / x.std(axis=0) * (dy - dy.mean(axis=0))}

    assert "the term of the variance" in guess(forward, backward, {"x": x})


@pytest.mark.parametrize("scale", [1e-4, 1e4])
def test_the_guess_about_a_length_does_not_depend_on_the_size_of_the_loss(scale):
    x = some(6, 5)

    def forward():
        return scale * x / np.sqrt((x**2).sum(axis=1, keepdims=True))

    def backward(dy):
        length = np.sqrt((x**2).sum(axis=1, keepdims=True))
        return {"x": scale * (dy / length - 2 * x * (x * dy).sum(axis=1, keepdims=True) / length**3)}

    assert "the term proportional to x" in guess(forward, backward, {"x": x})


def test_a_gradient_divided_by_all_values_of_a_channel_is_named():
    x = some(3, 2, 4, 5)
    text = guess(lambda: x.reshape(3, -1), lambda dy: {"x": dy.reshape(x.shape) / 60}, {"x": x})
    assert "60, the values of a channel (N*H*W)" in text


def test_a_square_matrix_that_is_not_transposed_is_named():
    x, w = some(5, 4), some(4, 4)
    text = guess(lambda: x @ w.T, lambda dy: {"x": dy @ w.T, "w": dy.T @ x}, {"x": x, "w": w})
    assert "w stands in the wrong order" in text or "transposed" in text


def test_where_nothing_was_measured_nothing_fits():
    assert not fits(np.zeros(3), np.full(3, np.nan))


def test_of_more_than_six_indices_the_first_six_are_shown():
    assert first_few(np.arange(6)) == "0, 1, 2, 3, 4, 5"
    assert first_few(np.arange(7)) == "0, 1, 2, 3, 4, 5, ..."


def test_a_column_that_was_never_written_is_named():
    x, w = some(5, 4), some(3, 4)

    def backward(dy):
        dw = dy.T @ x
        dw[:, 1] = 0
        return {"x": dy @ w, "w": dw}

    assert "axis 1 is 1, and zero there: a loop leaves out a slice, or it was never written" in guess(
        lambda: x @ w.T, backward, {"x": x, "w": w}
    )


def test_no_cause_is_made_up_for_a_shape_that_fits_nothing():
    x = some(7)
    text = guess(lambda: x**2, lambda dy: {"x": np.ones(5)}, {"x": x})
    assert "(5,)" in text and "(7,)" in text and "sum" not in text


def test_an_array_is_not_replaced_to_explain_its_own_gradient():
    x = some(6)
    assert "x = 0" not in guess(lambda: x**2 + 3 * x, lambda dy: {"x": 3 * dy}, {"x": x})


def test_a_number_that_is_no_array_is_checked_too():
    x = np.array(3.0)
    assert "worst at x[]: analytic 12, numeric 6" in guess(lambda: x**2, lambda dy: {"x": 12.0 * dy}, {"x": x})
