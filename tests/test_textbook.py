"""The textbook's algorithms give what the definitions give, also at odd sizes, and the comparison notices when they do not."""

import ast
import inspect

import numpy as np
import pytest

from minicnn.kernels import reference, textbook

SEEDS = range(40)
DTYPES = [np.float64, np.float32]
TOLERANCE = {np.float64: 1e-12, np.float32: 5e-5}
WINOGRAD_TOLERANCE = {np.float64: 1e-10, np.float32: 5e-5}


# ---- random cases: numbers that cannot be written to, and where the windows lie


def numbers(rng, dtype, *shape):
    array = rng.standard_normal(shape).astype(dtype)
    array.flags.writeable = False
    return array


def draw_geometry(rng):
    """The sizes of a kernel and a picture, and stride, pads and dilation, uneven for the most part."""
    kernel, stride, dilation, pads = rng.integers(1, 5, 2), rng.integers(1, 4, 2), rng.integers(1, 4, 2), rng.integers(0, 4, 4)
    picture = np.maximum(dilation * (kernel - 1) + 1 - pads[[0, 2]] - pads[[1, 3]], 1) + rng.integers(0, 8, 2)
    return [tuple(map(int, sizes)) for sizes in (kernel, picture, stride, pads, dilation)]


def draw_max_pooling(rng, dtype):
    """x with many equal values, some NaN and whole windows of minus infinity; the last windows may hang over the padding."""
    kernel, stride = rng.integers(1, 5, 2), rng.integers(1, 5, 2)
    pads, picture = rng.integers(0, kernel[[0, 0, 1, 1]]), rng.integers(4, 9, 2)
    before, free = pads[[0, 2]], picture + pads[[0, 2]] + pads[[1, 3]] - kernel
    size = (-(-free // stride) if rng.random() < 0.5 else free // stride) + 1
    size -= (size - 1) * stride >= before + picture  # no window begins beyond the picture
    x = rng.choice([-np.inf, -1, 0, 1, np.nan], (2, 2, *picture), p=[0.5, 0.2, 0.15, 0.1, 0.05]).astype(dtype)
    x.flags.writeable = False
    return x, *[tuple(map(int, sizes)) for sizes in (kernel, stride, pads, size)]


# ---- the comparisons


def assert_same(ours, definition, tolerance):
    for array, expected in zip(ours, definition, strict=True):
        assert array.dtype == expected.dtype and array.shape == expected.shape
        np.testing.assert_allclose(array, expected, rtol=0, atol=tolerance)


def compare_columns(seed, dtype):
    """Filters of a single one, each at another place, pick out the rows of the column matrix."""
    rng = np.random.default_rng(seed)
    kernel, picture, *how = draw_geometry(rng)
    x, rows = numbers(rng, dtype, 1, 2, *picture), 2 * kernel[0] * kernel[1]
    one_place_each = np.eye(rows, dtype=dtype).reshape(rows, 2, *kernel)
    y = reference.conv2d_forward(x, one_place_each, None, *how, 1)
    assert_same([textbook.im2col(x, kernel, *how)], [y.reshape(1, rows, -1)], 0)
    dy = numbers(rng, dtype, *y.shape)
    dx, _, _ = reference.conv2d_backward(dy, x, one_place_each, *how, 1)
    assert_same([textbook.col2im(dy.reshape(1, rows, -1), picture, kernel, *how)], [dx], TOLERANCE[dtype])


def compare_convolution(seed, dtype):
    rng = np.random.default_rng(seed)
    kernel, picture, *how = draw_geometry(rng)
    N, groups, channels, filters = (int(n) for n in rng.integers(1, [3, 4, 3, 3]))
    x, w = numbers(rng, dtype, N, groups * channels, *picture), numbers(rng, dtype, groups * filters, channels, *kernel)
    b = numbers(rng, dtype, groups * filters) if seed % 3 else None
    y = reference.conv2d_forward(x, w, b, *how, groups)
    assert_same([textbook.conv2d_forward(x, w, b, *how, groups)], [y], TOLERANCE[dtype])
    arguments = numbers(rng, dtype, *y.shape), x, w, *how, groups
    assert_same(textbook.conv2d_backward(*arguments), reference.conv2d_backward(*arguments), TOLERANCE[dtype])


def compare_depthwise(seed, dtype):
    """With the definition for as many groups as there are channels."""
    rng = np.random.default_rng(seed)
    kernel, picture, *how = draw_geometry(rng)
    N, C = (int(n) for n in rng.integers(1, [3, 5]))
    x, w = numbers(rng, dtype, N, C, *picture), numbers(rng, dtype, C, 1, *kernel)
    b = numbers(rng, dtype, C) if seed % 3 else None
    y = reference.conv2d_forward(x, w, b, *how, C)
    assert_same([textbook.depthwise_forward(x, w, b, *how)], [y], TOLERANCE[dtype])
    arguments = numbers(rng, dtype, *y.shape), x, w, *how
    assert_same(textbook.depthwise_backward(*arguments), reference.conv2d_backward(*arguments, C), TOLERANCE[dtype])


def compare_winograd(seed, dtype):
    rng = np.random.default_rng(seed)
    N, C, F = (int(n) for n in rng.integers(1, 4, 3))
    pads = tuple(map(int, rng.integers(0, 4, 4)))
    H, W = (max(3 - before - after, 1) + int(rng.integers(0, 8)) for before, after in (pads[:2], pads[2:]))
    x, w = numbers(rng, dtype, N, C, H, W), numbers(rng, dtype, F, C, 3, 3)
    b = numbers(rng, dtype, F) if seed % 3 else None
    definition = reference.conv2d_forward(x, w, b, (1, 1), pads, (1, 1), 1)
    assert_same([textbook.winograd_forward(x, w, b, pads)], [definition], WINOGRAD_TOLERANCE[dtype])


def compare_max_pooling(seed, dtype):
    rng = np.random.default_rng(seed)
    x, kernel, stride, pads, size = draw_max_pooling(rng, dtype)
    y, winners = reference.max_pool2d_forward(x, kernel, stride, pads, size)
    assert_same(textbook.max_pool2d_forward(x, kernel, stride, pads, size), (y, winners), 0)
    arguments = numbers(rng, dtype, *y.shape), winners, x.shape[2:], kernel, stride, pads
    assert_same([textbook.max_pool2d_backward(*arguments)], [reference.max_pool2d_backward(*arguments)], TOLERANCE[dtype])


def compare_batch_norm(seed, dtype):
    """Of rows and of pictures."""
    rng = np.random.default_rng(seed)
    N, C = int(rng.integers(2, 7)), int(rng.integers(1, 5))
    x = numbers(rng, dtype, N, C, *rng.integers(1, 5, 2)) if seed % 2 else numbers(rng, dtype, N, C)
    gamma, beta, eps = numbers(rng, dtype, C), numbers(rng, dtype, C), 0.1
    y, mean, variance = reference.batch_norm_forward(x, gamma, beta, eps)
    assert_same(textbook.batch_norm_forward(x, gamma, beta, eps), (y, mean, variance), TOLERANCE[dtype])
    arguments = numbers(rng, dtype, *x.shape), x, gamma, mean, variance, eps
    assert_same(textbook.batch_norm_backward(*arguments), reference.batch_norm_backward(*arguments), TOLERANCE[dtype])


COMPARISONS = [
    compare_columns,
    compare_convolution,
    compare_depthwise,
    compare_winograd,
    compare_max_pooling,
    compare_batch_norm,
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("compare", COMPARISONS)
def test_the_textbook_agrees_with_the_definition(compare, seed, dtype):
    compare(seed, dtype)


# ---- worked out by hand


def test_im2col_and_col2im_by_hand():
    # padded with a row above and a column to the right:  0 0 0 / 1 2 0 / 3 4 0; the columns are its four windows
    x, how = np.array([[[[1.0, 2], [3, 4]]]]), ((2, 2), (1, 1), (1, 0, 0, 1), (1, 1))
    np.testing.assert_array_equal(textbook.im2col(x, *how)[0], [[0, 0, 1, 2], [0, 0, 2, 0], [1, 2, 3, 4], [2, 0, 4, 0]])
    columns = np.arange(1.0, 17).reshape(1, 4, 4)  # rows 1 2 3 4 / 5 6 7 8 / 9 10 11 12 / 13 14 15 16
    expected = [[9 + 3, 13 + 10 + 7 + 4], [11, 15 + 12]]
    np.testing.assert_array_equal(textbook.col2im(columns, (2, 2), *how)[0, 0], expected)


def test_channels_come_before_taps_in_the_rows_of_the_column_matrix():
    x = np.array([[[[1.0, 2, 3]], [[4, 5, 6]]]])
    columns = textbook.im2col(x, (1, 2), (1, 1), (0, 0, 0, 0), (1, 1))
    np.testing.assert_array_equal(columns[0], [[1, 2], [2, 3], [4, 5], [5, 6]])


def test_two_outputs_of_three_taps_take_four_products_in_winograds_algorithm():
    d, g = np.array([1.0, 2, 3, 4]), np.array([1.0, 10, 100])
    np.testing.assert_array_equal(textbook.BT @ d, [-2, 5, 1, -2])
    np.testing.assert_array_equal(textbook.G @ g, [1, 55.5, 45.5, 100])
    np.testing.assert_array_equal(textbook.AT @ ((textbook.G @ g) * (textbook.BT @ d)), [321, 432])


# ---- col2im is the transpose of im2col


@pytest.mark.parametrize("seed", SEEDS)
def test_columns_times_im2col_of_x_is_col2im_of_columns_times_x(seed):
    rng = np.random.default_rng(seed)
    kernel, picture, *how = draw_geometry(rng)
    x = numbers(rng, np.float64, 2, 3, *picture)
    columns = textbook.im2col(x, kernel, *how)
    dy = numbers(rng, np.float64, *columns.shape)
    np.testing.assert_allclose(np.vdot(dy, columns), np.vdot(textbook.col2im(dy, picture, kernel, *how), x), atol=1e-11)


# ---- who wins in max pooling


def winner_of(*window):
    """The winning value and its place, of one window that is one row."""
    x = np.array(window, np.float64).reshape(1, 1, 1, -1)
    y, winners = textbook.max_pool2d_forward(x, x.shape[2:], (1, 1), (0, 0, 0, 0), (1, 1))
    return y.item(), winners.item()


def test_of_equal_values_the_first_wins():
    assert winner_of(1, 3, 2, 3) == (3, 1)
    assert winner_of(0, 0, 0) == winner_of(-0.0, 0, 0) == (0, 0)


def test_nan_wins_even_over_infinity_and_what_comes_after_it():
    for window, place in (((1, np.nan, np.inf), 1), ((np.inf, np.nan, 2), 1), ((np.nan, 5, 5), 0), ((np.nan, 5, np.nan), 2)):
        y, winner = winner_of(*window)
        assert np.isnan(y) and winner == place


def test_a_pixel_of_the_picture_wins_even_if_it_is_minus_infinity_as_the_padding_is():
    x = np.full((1, 1, 1, 1), -np.inf)
    y, winners = textbook.max_pool2d_forward(x, (2, 2), (1, 1), (1, 1, 1, 1), (2, 2))
    np.testing.assert_array_equal(y, np.full((1, 1, 2, 2), -np.inf))
    np.testing.assert_array_equal(winners[0, 0], [[3, 2], [1, 0]])
    dx = textbook.max_pool2d_backward(np.ones((1, 1, 2, 2)), winners, (1, 1), (2, 2), (1, 1), (1, 1, 1, 1))
    assert dx.item() == 4


def test_a_gradient_that_is_not_finite_reaches_its_winner_only():
    dx = textbook.max_pool2d_backward(
        np.full((1, 1, 1, 1), np.inf), np.ones((1, 1, 1, 1), int), (1, 3), (1, 3), (1, 1), (0,) * 4
    )
    np.testing.assert_array_equal(dx.ravel(), [0, np.inf, 0])


# ---- every function: dtypes, arguments, length


def public_functions():
    body = ast.parse(inspect.getsource(textbook)).body
    return [node for node in body if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")]


def calls(dtype, N=2):
    """A call of every function, with arrays that may be written to: name -> arguments."""
    rng = np.random.default_rng(0)

    def some(*shape):
        return rng.standard_normal(shape).astype(dtype)

    x, w, own, b, per_channel = some(N, 4, 5, 6), some(6, 2, 3, 3), some(4, 1, 3, 3), some(6), some(4)
    how, window = ((2, 1), (1, 0, 2, 1), (1, 2)), ((2, 2), (2, 2), (0, 1, 0, 1))
    columns, dy, pooled = some(N, 36, 10), some(N, 6, 2, 5), some(N, 4, 3, 3)
    return {
        "im2col": (x, (3, 3), *how),
        "col2im": (columns, (5, 6), (3, 3), *how),
        "conv2d_forward": (x, w, b, *how, 2),
        "conv2d_backward": (dy, x, w, *how, 2),
        "depthwise_forward": (x, own, per_channel, *how),
        "depthwise_backward": (some(N, 4, 2, 5), x, own, *how),
        "winograd_forward": (x, some(6, 4, 3, 3), b, (1, 0, 2, 1)),
        "max_pool2d_forward": (x, *window, (3, 3)),
        "max_pool2d_backward": (pooled, np.zeros(pooled.shape, int), (5, 6), *window),
        "batch_norm_forward": (x, per_channel, some(4), 1e-5),
        "batch_norm_backward": (some(*x.shape), x, per_channel, np.zeros(4), np.ones(4), 1e-5),
    }


def results(name, arguments):
    result = getattr(textbook, name)(*arguments)
    return result if isinstance(result, tuple) else (result,)


def arrays_of(arguments):
    return [argument for argument in arguments if isinstance(argument, np.ndarray)]


def test_every_function_is_called_here():
    assert [function.name for function in public_functions()] == list(calls(np.float32))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", calls(np.float32))
def test_the_dtype_is_kept(name, dtype):
    found = [array.dtype for array in results(name, calls(dtype)[name])]
    if name == "max_pool2d_forward":
        assert found == [dtype, int]
    elif name == "batch_norm_forward":
        assert found == [dtype, np.float64, np.float64]  # statistics are kept in float64
    else:
        assert set(found) == {np.dtype(dtype)}


@pytest.mark.parametrize("name", calls(np.float32))
def test_no_argument_is_changed_and_none_is_part_of_a_result(name):
    arguments = calls(np.float64)[name]
    given = arrays_of(arguments)
    before = [array.copy() for array in given]
    found = results(name, arguments)
    for array, copy in zip(given, before, strict=True):
        np.testing.assert_array_equal(array, copy)
        assert not any(np.shares_memory(array, result) for result in found)


@pytest.mark.parametrize("name", calls(np.float32))
def test_arrays_that_are_not_contiguous_are_read_right(name):
    arguments = calls(np.float64)[name]
    turned = [np.asfortranarray(argument) if isinstance(argument, np.ndarray) else argument for argument in arguments]
    assert_same(results(name, turned), results(name, arguments), 1e-12)


@pytest.mark.parametrize("name", [name for name in calls(np.float32) if not name.startswith("batch_norm")])
def test_an_empty_batch_has_an_empty_result_and_gradients_of_zero(name):
    for array, of_two in zip(results(name, calls(np.float64, N=0)[name]), results(name, calls(np.float64)[name]), strict=True):
        assert array.shape in (of_two.shape, (0, *of_two.shape[1:]))
        assert not array.any()


@pytest.mark.parametrize("name", sorted(set(calls(np.float32)) & set(vars(reference))))
def test_signatures_are_those_of_the_definitions(name):
    assert inspect.signature(getattr(textbook, name)) == inspect.signature(getattr(reference, name))


@pytest.mark.parametrize("function", public_functions(), ids=lambda function: function.name)
def test_an_algorithm_fits_on_a_screen(function):
    docstring, first = function.body[:2]
    assert isinstance(docstring, ast.Expr) and isinstance(docstring.value.value, str)
    assert 4 <= function.end_lineno - first.lineno + 1 <= 25


# ---- planted faults


FAULTS = {
    "the first tap is dropped": (
        compare_columns,
        "im2col",
        "columns[:, :, p, q] = x_padded[at]",
        "columns[:, :, p, q] = x_padded[at] * (p + q > 0)",
    ),
    "dilation is ignored": (compare_columns, "im2col", "_taps(kernel, stride, dilation,", "_taps(kernel, stride, (1, 1),"),
    "the stride is ignored": (compare_columns, "im2col", "_taps(kernel, stride, dilation,", "_taps(kernel, (1, 1), dilation,"),
    "padding is put below, not above": (compare_columns, "im2col", "(top, bottom), (left", "(bottom, top), (left"),
    "padding is not cut off": (compare_columns, "col2im", "[:, :, top : top + H, left : left + W]", ""),
    "padding is cut off at the wrong end": (compare_columns, "col2im", "top : top + H", "bottom : bottom + H"),
    "overlapping windows overwrite": (compare_columns, "col2im", "x_padded[at] += columns", "x_padded[at] = columns"),
    "the kernel is flipped": (
        compare_convolution,
        "conv2d_forward",
        "w.reshape(F, -1)",
        "w[:, :, ::-1, ::-1].reshape(F, -1)",
    ),
    "all groups see the first channels": (compare_convolution, "conv2d_forward", "slice(g * K, (g + 1) * K)", "slice(0, K)"),
    "the bias is forgotten": (compare_convolution, "conv2d_forward", "y += b[:, None]", "pass"),
    "the gradient goes back through flipped filters": (
        compare_convolution,
        "conv2d_backward",
        "w.reshape(F, -1)",
        "w[:, :, ::-1, ::-1].reshape(F, -1)",
    ),
    "the weight gradient is that of one sample": (compare_convolution, "conv2d_backward", ".sum(axis=0)", "[0]"),
    "the bias gradient is an average": (compare_convolution, "conv2d_backward", "dy.sum(axis=(0", "dy.mean(axis=(0"),
    "a column of taps is dropped": (compare_depthwise, "_taps", "range(KW)", "range(1, KW)"),
    "dilation is a stride": (compare_depthwise, "_taps", "p * dil_h : p * dil_h", "p : p"),
    "the kernel of a channel is flipped": (compare_depthwise, "depthwise_forward", "0, p, q, None", "0, -1 - p, -1 - q, None"),
    "all channels have the first filter": (
        compare_depthwise,
        "depthwise_forward",
        "w[:, 0, p, q, None, None]",
        "w[0, 0, p, q]",
    ),
    "the gradient of a channel is that of a flipped filter": (
        compare_depthwise,
        "depthwise_backward",
        "0, p, q, None",
        "0, -1 - p, -1 - q, None",
    ),
    "a gradient's padding is not cut off": (
        compare_depthwise,
        "depthwise_backward",
        "[:, :, top : top + H, left : left + W]",
        "",
    ),
    "tiles that hang over are not cut": (compare_winograd, "winograd_forward", "[:, :, :OH, :OW]", ""),
    "tiles are cut at the wrong end": (compare_winograd, "winograd_forward", "[:, :, :OH, :OW]", "[:, :, -OH:, -OW:]"),
    "a tile's rows are not put below each other": (
        compare_winograd,
        "winograd_forward",
        "Y.transpose(0, 1, 2, 4, 3, 5)",
        "Y",
    ),
    "the filter is transposed": (compare_winograd, "winograd_forward", "G @ w @ G.T", "G @ w.swapaxes(2, 3) @ G.T"),
    "the last of equal values wins": (compare_max_pooling, "max_pool2d_forward", "x_padded[at] > y", "x_padded[at] >= y"),
    "padding is zero": (compare_max_pooling, "max_pool2d_forward", "constant_values=-np.inf", "constant_values=0"),
    "NaN is not noticed": (compare_max_pooling, "max_pool2d_forward", " | np.isnan(x_padded[at])", ""),
    "places are counted column by column": (
        compare_max_pooling,
        "max_pool2d_forward",
        "np.where(wins, p * KW + q,",
        "np.where(wins, q * KH + p,",
    ),
    "minus infinity in the padding wins": (
        compare_max_pooling,
        "max_pool2d_forward",
        "p_first[:, None] * KW + q_first",
        "0 * p_first[:, None] + 0 * q_first",
    ),
    "a pixel that wins twice gets one gradient": (
        compare_max_pooling,
        "max_pool2d_backward",
        "dx_padded[at] += np",
        "dx_padded[at] = np",
    ),
    "the variance is divided by M - 1": (
        compare_batch_norm,
        "batch_norm_forward",
        "** 2).mean(axis=(0, 2))",
        "** 2).sum(axis=(0, 2)) / (x.size // x.shape[1] - 1)",
    ),
    "eps is added to the root": (
        compare_batch_norm,
        "batch_norm_forward",
        "np.sqrt(variance + eps)",
        "(np.sqrt(variance) + eps)",
    ),
    "nothing flows back through the mean": (compare_batch_norm, "batch_norm_backward", " - dbeta[:, None] / M", ""),
    "nothing flows back through the variance": (compare_batch_norm, "batch_norm_backward", " - xh * dgamma[:, None] / M", ""),
}


def plant(patch, name, right, wrong):
    """Put a function in the place of the textbook's that differs from it in one piece of code."""
    source = inspect.getsource(getattr(textbook, name))
    assert source.count(right) == 1, f"the fault cannot be planted: {right!r} is not in {name} exactly once"
    namespace = dict(vars(textbook))
    exec(source.replace(right, wrong), namespace)
    patch.setattr(textbook, name, namespace[name])


def assert_caught(compare):
    with pytest.raises(AssertionError):
        for seed in SEEDS:
            compare(seed, np.float64)


@pytest.mark.parametrize("fault", FAULTS)
def test_the_comparison_catches(fault, monkeypatch):
    compare, name, right, wrong = FAULTS[fault]
    plant(monkeypatch, name, right, wrong)
    assert_caught(compare)


@pytest.mark.parametrize("name", ["BT", "G", "AT"])
def test_the_comparison_catches_a_wrong_sign_in_winograds_matrices(name, monkeypatch):
    matrix = getattr(textbook, name)
    for at in np.argwhere(matrix):
        wrong = matrix.copy()
        wrong[tuple(at)] *= -1
        monkeypatch.setattr(textbook, name, wrong)
        assert_caught(compare_winograd)


def test_a_dropped_tap_is_caught_wherever_taps_are_added_up_or_compared(monkeypatch):
    taps = textbook._taps
    monkeypatch.setattr(textbook, "_taps", lambda *how: list(taps(*how))[:-1])
    for compare in (compare_depthwise, compare_max_pooling):
        assert_caught(compare)
