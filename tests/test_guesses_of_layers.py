"""What the gradient check says, and does not say, about faults in units, softmax, sums, convolutions, pooling and norms."""

import numpy as np
import pytest

from minicnn.gradcheck import check_function
from minicnn.gradcheck.diagnosis import guess_cause
from minicnn.gradcheck.evidence import Evidence
from minicnn.kernels import textbook

rng = np.random.default_rng(11)


@pytest.fixture(autouse=True)
def the_same_numbers_in_each_test():
    rng.bit_generator.state = np.random.default_rng(11).bit_generator.state


def some(*shape):
    """Different numbers without ties."""
    size = int(np.prod(shape))
    return (rng.permutation(size) - size // 2 + 0.5).reshape(shape) * (4 / size)


def guesses(forward, backward, arrays):
    """By the array's name, for those that are wrong. The functions close over the arrays, which are changed in place."""
    report = check_function(lambda **_: forward(), backward, arrays, elements=120)
    assert not report.faults, report
    return {check.name: check.guess for check in report.arrays if check.max_error > report.tolerance}


def guess(forward, wrong, **arrays):
    """What is said about the first array's gradient, ``wrong(dy)``."""
    name = next(iter(arrays))
    rest = {other: np.full_like(array, np.nan) for other, array in arrays.items() if other != name}
    return guesses(forward, lambda dy: {name: wrong(dy)} | rest, arrays)[name]


def soft(x, axis=1):
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


# ---- functions of each element


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda x, y, dy: dy * y, "the factor y is there"),
        (lambda x, y, dy: dy * x, "the factor x is there"),
        (lambda x, y, dy: y, "it is y, the output"),
        (lambda x, y, dy: x, "it is x, the input"),
        (lambda x, y, dy: dy * x**4, "the slope is multiplied twice"),
        (lambda x, y, dy: dy / x**2, "divided by the slope"),
        (lambda x, y, dy: dy * x**2 - dy, "the shortcut is missing"),
        (lambda x, y, dy: dy * x**2 + dy, "once too often"),
        (lambda x, y, dy: dy**2 * x**2, "dy is squared"),
        (lambda x, y, dy: np.abs(dy) * x**2, "the absolute value of dy"),
        (lambda x, y, dy: np.maximum(dy, 0) * x**2, "negative values of dy are cut off"),
        (lambda x, y, dy: dy * (1 - y), ""),  # the slope of a sigmoid without y, and of a tanh without the square
        (lambda x, y, dy: -dy * y**2, ""),
        (lambda x, y, dy: np.full(x.shape, (dy * x**2).sum()), ""),
    ],
)
def test_a_cube_is_told_from_other_functions(wrong, says):
    x = some(4, 6)
    said = guess(lambda: x**3 / 3, lambda dy: wrong(x, x**3 / 3, dy), x=x)
    assert says in said if says else not said


def test_a_mask_is_zero_where_x_is():
    x = np.array([[-2.0, 0.0, 1.0], [3.0, -1.0, 0.0], [2.0, -3.0, 0.5]])
    y = np.where(x > 0, x, 0.1 * x)
    dy = some(3, 3)
    right = np.where(x > 0, dy, 0.1 * dy)
    for wrong, says in ((dy * (x > 0), "this layer has a slope below 0 as well"), (dy * (x < 0), "the wrong way round")):
        assert says in guess_cause(Evidence(wrong, right, x, 3, arrays={"x": x}, dy=dy, y=y))


def test_a_gate_is_recognised_although_some_x_are_zero():
    x, w = some(4, 3), some(3, 3)
    x[1, 2] = 0
    said = guess(lambda: x * np.tanh(x @ w), lambda dy: dy * np.tanh(x @ w), x=x)
    assert "g is treated as a constant" in said


@pytest.mark.filterwarnings("error")
def test_large_outputs_overflow_nowhere_in_a_guess():
    x = 1000 * some(4, 3)
    assert not guess(lambda: x**3 / 3, lambda dy: dy * (x**2 + x + 1), x=x)


# ---- softmax


@pytest.mark.parametrize("axis", [0, 1])
def test_the_factor_y_that_is_missing_in_softmax_is_named(axis):
    x = some(5, 4)

    def wrong(dy):
        return dy - (dy * soft(x, axis)).sum(axis=axis, keepdims=True)

    assert "the factor y in front is missing in softmax's" in guess(lambda: soft(x, axis), wrong, x=x)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda y, dy, p, total, n: dy - y * total, "y stands where p belongs"),
        (lambda y, dy, p, total, n: dy - p * dy, "dy stands where its sum belongs"),
        (lambda y, dy, p, total, n: dy - p, "the sum of dy is missing"),
        (lambda y, dy, p, total, n: dy - p * total / n, "a mean of dy stands where the sum belongs"),
        (lambda y, dy, p, total, n: dy - total, "p is missing"),
    ],
)
def test_each_part_of_log_softmax_is_missed(wrong, says, axis):
    x = some(5, 4)

    def forward():
        return np.log(soft(x, axis))

    def backward(dy):
        return wrong(forward(), dy, np.exp(forward()), dy.sum(axis=axis, keepdims=True), x.shape[axis])

    said = guess(forward, backward, x=x)
    assert says in said and "log softmax" in said


def test_a_layer_that_is_no_log_softmax_is_not_taken_for_one():
    x = some(5, 4)
    assert not guess(lambda: -np.exp(x), lambda dy: dy - np.exp(-np.exp(x)), x=x)


# ---- parameters


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_a_mask_that_is_missing_in_the_gradient_of_a_slope_is_named_at_any_scale(scale):
    x, a = scale * some(4, 3), some(3)
    said = guesses(
        lambda: np.where(x > 0, x, a * x),
        lambda dy: {"x": dy * np.where(x > 0, 1, a), "a": (dy * x).sum(axis=0)},
        {"x": x, "a": a},
    )
    assert "a mask is missing" in said["a"]


def parameter(factor, wrong, x, a=None):
    """What is said about a in y = a factor(x), if its gradient is wrong(dy, x)."""
    a = some(x.shape[1]) if a is None else a

    arrays = {"x": x, "a": a}
    return guesses(lambda: a * factor(x), lambda dy: {"x": dy * np.nan, "a": wrong(dy, x)}, arrays)["a"]


def x_hat(x, eps=1e-5):
    return (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + eps)


@pytest.mark.parametrize("eps", [1e-5, 1.0])
@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda dy, x: (dy * x).sum(axis=0), "x where x-hat belongs"),
        (lambda dy, x: (dy * (x - x.mean(axis=0))).sum(axis=0), "not divided by the standard deviation"),
        (lambda dy, x: (dy * x / x.std(axis=0)).sum(axis=0), "the mean is not subtracted in x-hat"),
        (lambda dy, x: dy.sum(axis=0), "it is the sum of dy alone over axes 0"),
    ],
)
def test_each_part_of_x_hat_is_missed_in_dgamma(wrong, says, eps):
    assert says in parameter(lambda x: x_hat(x, eps), wrong, 1 + some(6, 3))


@pytest.mark.parametrize("factor", [np.sin, lambda x: x_hat(x) + 0.3, lambda x: x_hat(x) ** 3])
def test_a_factor_that_is_not_x_hat_is_not_called_so(factor):
    assert "x where another factor belongs" in parameter(factor, lambda dy, x: (dy * x).sum(axis=0), some(6, 3))


def test_the_axes_over_which_a_sum_runs_wrongly_are_named():
    x = 1 + some(4, 4)
    said = parameter(np.sin, lambda dy, x: (dy * np.sin(x)).sum(axis=1), x)
    assert "the sum runs over the wrong axes: over 1" in said
    said = parameter(np.sin, lambda dy, x: np.full(4, (dy * np.sin(x)).sum()), x)
    assert "the sum runs over all axes" in said


def test_a_single_slope_for_all_gets_a_sum_over_all_axes():
    x, a = some(4, 3), np.array(0.25)
    said = parameter(np.sin, lambda dy, x: dy.sum(), x, a)
    assert "it is the sum of dy alone over axes 0, 1" in said


def test_products_with_dy_or_y_in_place_of_x_are_named_whichever_way_round():
    x, w = some(5, 4), some(4, 4)
    for wrong, says in (
        (lambda dy: dy.T @ (x @ w), "y, the output, where x belongs"),
        (lambda dy: (x @ w).T @ dy, "y, the output, where x belongs"),
        (lambda dy: dy.T @ dy, "dy where x belongs"),
    ):
        said = guesses(lambda: x @ w, lambda dy, wrong=wrong: {"x": dy @ w.T, "w": wrong(dy)}, {"x": x, "w": w})
        assert says in said["w"]


@pytest.mark.parametrize("transposed", [False, True])
def test_a_square_matrix_in_the_wrong_order_is_named_both_ways(transposed):
    x, w, b = some(5, 4), some(4, 4), some(4)

    def m():
        return w.T if transposed else w

    said = guesses(
        lambda: x @ m() + b, lambda dy: {"x": dy @ m(), "w": dy * np.nan, "b": dy.sum(axis=0)}, {"x": x, "w": w, "b": b}
    )
    assert "w stands in the wrong order" in said["x"]


# ---- = where += belongs


def windows_of(loops, assign, x, w, OH, OW):
    """dx of a convolution with the loops in some order, in which the last (or first) share alone stays."""

    def backward(dy):
        dx = np.zeros_like(x)
        for f, i, j in sorted(np.ndindex(len(w), OH, OW), key=loops):
            assign(dx[:, :, i : i + 3, j : j + 3], dy[:, f, i, j, None, None, None] * w[f])
        return dx

    return backward


@pytest.mark.parametrize("loops", [lambda at: at, lambda at: (at[1], at[2], at[0])], ids=["filters outside", "filters inside"])
@pytest.mark.parametrize("which", ["last", "first"])
def test_shares_that_are_assigned_and_not_added_are_named_in_any_order_of_the_loops(loops, which):
    x, w = some(2, 2, 5, 6), some(3, 2, 3, 3)

    def assign(part, share):
        part[...] = share if which == "last" else np.where(part == 0, share, part)

    said = guess(
        lambda: textbook.conv2d_forward(x, w, None, (1, 1), (0, 0, 0, 0), (1, 1), 1),
        windows_of(loops, assign, x, w, 3, 4),
        x=x,
        w=w,
    )
    assert f"keeps only its {which} share" in said


@pytest.mark.parametrize(("which", "at"), [("first", 0), ("last", -1)])
@pytest.mark.parametrize("pad", [0, 1])
def test_filters_that_see_the_first_or_last_window_alone_are_named(which, at, pad):
    x, w = some(3, 2, 5, 6), some(4, 2, 3, 3)

    def backward(dy):
        padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
        window = padded[:, :, :3, :3] if at == 0 else padded[:, :, -3:, -3:]
        return {"x": x * np.nan, "w": np.einsum("nf,ncij->fcij", dy[:, :, at, at], window)}

    said = guesses(lambda: textbook.conv2d_forward(x, w, None, (1, 1), (pad,) * 4, (1, 1), 1), backward, {"x": x, "w": w})
    assert f"only the share of the {which} window is kept" in said["w"]


def test_one_sample_after_the_other_that_overwrites_the_sum_over_features_is_named():
    x, w, u = some(5, 4), some(3, 3), some(4, 3)

    def backward(dy):
        return {"x": x * np.nan, "w": np.outer(x[-1] @ u, dy[-1]), "u": u * np.nan}

    assert "only its last share" in guesses(lambda: x @ u @ w, backward, {"x": x, "w": w, "u": u})["w"]


def test_a_step_in_time_that_overwrites_the_others_is_named():
    x, w = some(3, 2, 5), some(4, 2)

    def backward(dy):
        return {"x": x * np.nan, "w": np.einsum("nf,nc->fc", dy[:, :, -1], x[:, :, -1])}

    said = guesses(lambda: np.einsum("nct,fc->nft", x, w), backward, {"x": x, "w": w})["w"]
    assert "only its last share" in said


# ---- convolutions


def convolution_guess(wrong_backward, stride=(1, 1), pads=(0, 0, 0, 0), dilation=(1, 1), groups=1, w=None, x=None, array="x"):
    """What is said if the gradients are those of another convolution: wrong_backward(dy, x, w) gives dx and dw."""
    x = some(2, 2, 7, 9) if x is None else x
    w = some(3, 2, 3, 3) if w is None else w

    def backward(dy):
        dx, dw = wrong_backward(dy, x, w)
        return {"x": dx, "w": dw}

    said = guesses(lambda: textbook.conv2d_forward(x, w, None, stride, pads, dilation, groups), backward, {"x": x, "w": w})
    return said[array]


def other(stride=(1, 1), top=0, left=0, dilation=(1, 1), groups=1, change=lambda w: w):
    """dx and dw as they are with windows elsewhere, or another filter."""

    def backward(dy, x, w):
        k, (H, W) = change(w), x.shape[2:]
        large = np.zeros((*x.shape[:2], 40, 40))
        large[:, :, top : top + H, left : left + W] = x
        reach = [s * (n - 1) + d * (m - 1) + 1 for s, n, d, m in zip(stride, dy.shape[2:], dilation, k.shape[2:], strict=True)]
        seen = np.ascontiguousarray(large[:, :, : reach[0], : reach[1]])
        dseen, dw, _ = textbook.conv2d_backward(dy, seen, np.ascontiguousarray(k), stride, (0, 0, 0, 0), dilation, groups)
        large[...] = 0
        large[:, :, : reach[0], : reach[1]] = dseen
        return large[:, :, top : top + H, left : left + W].copy(), dw

    return backward


@pytest.mark.parametrize("stride", [(2, 1), (1, 2), (3, 2), (4, 4)])
@pytest.mark.parametrize("array", ["x", "w"])
def test_a_stride_that_is_ignored_is_named(stride, array):
    said = convolution_guess(other(), stride, array=array)
    assert f"the stride is ignored: windows lie {stride[0]} rows and {stride[1]} columns apart" in said


@pytest.mark.parametrize("stride", [(2, 1), (2, 3)])
def test_two_strides_that_are_swapped_are_named(stride):
    assert "the two strides are swapped" in convolution_guess(other(stride[::-1]), stride)


@pytest.mark.parametrize("dilation", [(2, 1), (1, 2), (3, 3)])
@pytest.mark.parametrize("array", ["x", "w"])
def test_a_dilation_that_is_ignored_is_named(dilation, array):
    said = convolution_guess(other(), dilation=dilation, array=array)
    assert f"the dilation is ignored: taps lie {dilation[0]} rows and {dilation[1]} columns apart" in said


@pytest.mark.parametrize("pads", [(1, 1, 0, 0), (3, 3, 2, 2), (1, 2, 0, 1)])
def test_a_stride_that_is_ignored_is_named_with_padding_too(pads):
    top, _, left, _ = pads
    said = convolution_guess(other(top=top, left=left), (2, 1), pads, array="w")
    assert "the stride is ignored: windows lie 2 rows and 1 columns apart" in said


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda w: w[:, :, ::-1, ::-1], "the kernel is flipped"),
        (lambda w: w.swapaxes(2, 3), "w transposed"),
        (lambda w: w.swapaxes(0, 1), "axes F and C are swapped"),
        (lambda w: w.swapaxes(0, 1)[:, :, ::-1, ::-1], "axes F and C are swapped, and it is flipped"),
    ],
)
def test_a_filter_that_is_turned_is_named(change, says, scale):
    w = scale * some(2, 2, 3, 3)
    assert says in convolution_guess(other((2, 1), 1, 1, change=change), (2, 1), (1, 1, 1, 1), w=w)


def test_filters_in_groups_of_one_column_or_row_that_are_flipped_are_named():
    def flipped(w):
        return w[:, :, ::-1, ::-1]

    said = convolution_guess(other(change=flipped, groups=2), groups=2, w=some(4, 1, 3, 3))
    assert "the kernel is flipped" in said
    said = convolution_guess(other((2, 1), change=flipped), (2, 1), w=some(3, 2, 1, 3))
    assert "the kernel is flipped" in said
    said = convolution_guess(other((1, 2), change=flipped), (1, 2), w=some(3, 2, 3, 1))
    assert "the kernel is flipped" in said


@pytest.mark.parametrize("shape", [(1, 3, 1, 1), (3, 2, 2, 2), (3, 3, 2, 2), (2, 1, 1, 1)])
def test_four_axes_alone_make_no_filter(shape):
    x, w = some(2, 3, 4, 5), some(*shape)
    said = guesses(lambda: x**3 + w.sum(), lambda dy: {"x": dy + x**2, "w": np.full(shape, dy.sum())}, {"x": x, "w": w})
    assert said == {"x": ""}


# ---- pooling


def pool_guess(kind, wrong, k, s, p=0, size=(7, 9), scale=1.0):
    """wrong(dy, windows, back) gives dx; back(shares, step) adds the (k, k) shares of each window at its place."""
    x = scale * some(1, 2, *size)
    OH, OW = ((n + 2 * p - k) // s + 1 for n in size)
    padded = np.full((1, 2, size[0] + 2 * p, size[1] + 2 * p), -np.inf)

    def windows():
        padded[:, :, p : p + size[0], p : p + size[1]] = x
        return np.stack(
            [
                np.stack([padded[:, :, i * s : i * s + k, j * s : j * s + k] for j in range(OW)], axis=2) for i in range(OH)
            ],
            axis=2,
        )  # fmt: skip

    def back(shares, step=s):
        dx = np.zeros(padded.shape)
        for i, j in np.ndindex(OH, OW):
            dx[:, :, i * step : i * step + k, j * step : j * step + k] += shares[:, :, i, j]
        return dx[:, :, p : p + size[0], p : p + size[1]]

    def forward():
        return windows().max(axis=(4, 5)) if kind == "max" else windows().mean(axis=(4, 5))

    return guess(forward, lambda dy: wrong(dy[..., None, None] * np.ones((k, k)), windows(), back), x=x)


def winners(windows):
    return windows == windows.max(axis=(4, 5), keepdims=True)


@pytest.mark.parametrize("k, s, p", [(2, 2, 0), (3, 2, 1), (3, 1, 0), (2, 3, 0), (5, 2, 2), (4, 4, 1)])
@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda dy, windows, back: back(dy / dy.shape[-1] ** 2), "as in average pooling"),
        (lambda dy, windows, back: back(dy), "every element of a window gets dy"),
        (lambda dy, windows, back: back((dy * winners(windows)).swapaxes(4, 5)), "mirrored or transposed"),
    ],
)
def test_faults_of_max_pooling_are_named(k, s, p, wrong, says):
    assert says in pool_guess("max", wrong, k, s, p, size=(11, 13))


@pytest.mark.parametrize("k, s", [(2, 2), (3, 2), (3, 1), (2, 3)])
def test_the_smallest_or_first_in_place_of_the_largest_of_a_window_is_named(k, s):
    first = np.zeros((k, k))
    first[0, 0] = 1
    said = pool_guess("max", lambda dy, windows, back: back(dy * (windows == windows.min(axis=(4, 5), keepdims=True))), k, s)
    assert "the smallest element of each window gets dy" in said
    assert "the first element of each window gets dy" in pool_guess("max", lambda dy, windows, back: back(dy * first), k, s)


@pytest.mark.parametrize("k, s, p", [(3, 2, 1), (2, 2, 0), (2, 3, 0), (1, 2, 0)])
def test_a_stride_that_max_pooling_ignores_is_named(k, s, p):
    said = pool_guess("max", lambda dy, windows, back: back(dy * winners(windows), 1), k, s, p)
    assert f"the stride is ignored: windows lie {s} apart" in said


@pytest.mark.parametrize("scale", [1e-13, 1.0])
@pytest.mark.parametrize("k, s", [(2, 2), (3, 2), (3, 1), (2, 3)])
def test_faults_of_average_pooling_are_named(k, s, scale):
    said = pool_guess("mean", lambda dy, windows, back: back(dy * winners(windows)), k, s, size=(8, 7))
    assert "as in max pooling" in said
    if s > 1:
        said = pool_guess("mean", lambda dy, windows, back: back(dy / k**2, 1), k, s, size=(7, 8))
        assert f"the stride is ignored: windows lie {s} apart" in said


# ---- norms and lengths


def normed(x, axes, wrong, gamma=1.0, eps=1e-5, guess_of=None):
    """What is said about dx of gamma x-hat, where wrong(terms, M) is given for the sum of the three terms."""
    M = int(np.prod([x.shape[axis] for axis in axes]))

    def parts():
        std = np.sqrt(x.var(axis=axes, keepdims=True) + eps)
        return (x - x.mean(axis=axes, keepdims=True)) / std, std

    def backward(dy):
        xh, std = parts()
        d = dy * gamma
        terms = d / std, -d.mean(axis=axes, keepdims=True) / std, -xh * (d * xh).mean(axis=axes, keepdims=True) / std
        return wrong(*terms, M) + np.zeros_like(x)

    return guess(lambda: gamma * parts()[0], backward, x=x, **(guess_of or {}))


SHAPES = [
    ((7, 4), (0,), "channel"),
    ((3, 5), (1,), "sample"),
    ((4, 3, 5), (0, 2), "channel"),
    ((4, 3, 6), (2,), "plane"),
    ((2, 3, 2, 3), (0, 2, 3), "channel"),
    ((2, 3, 2, 3), (1, 2, 3), "sample"),
    ((2, 3, 2, 4), (2, 3), "plane"),
]  # fmt: skip

TERMS = [
    (lambda k, c, s, M: k + s, "the term of the mean", "is missing"),
    (lambda k, c, s, M: k + c, "the term of the variance", "is missing"),
    (lambda k, c, s, M: k + M * c + s, "the term of the mean", "is a sum where a mean belongs: divide by {M}"),
    (lambda k, c, s, M: k + c + s / M, "the term of the variance", "is divided by {M}, the number of values, once too often"),
    (lambda k, c, s, M: k + c * M / (M - 1) + s, "the term of the mean", "is divided by {L} where the number of values, {M}"),
    (lambda k, c, s, M: k + c - s, "the term of the variance", "has the wrong sign"),
    (lambda k, c, s, M: k + c + 0.37 * s, "the term of the variance", "is 0.37 times what it should be"),
    (lambda k, c, s, M: 1.5 * k + c + s, "the factor of dy", "is 1.5 times what it should be"),
]  # fmt: skip


@pytest.mark.parametrize(("shape", "axes", "group"), SHAPES)
@pytest.mark.parametrize(("wrong", "term", "what"), TERMS)
def test_the_wrong_term_of_a_norm_is_named(shape, axes, group, wrong, term, what):
    M = int(np.prod([shape[axis] for axis in axes]))
    said = normed(1 + some(*shape), axes, wrong)
    assert term in said and what.format(M=M, L=M - 1) in said and "in a normalisation" in said
    assert term == "the factor of dy" or f"each {group}" in said
    assert ";" not in said, "the other terms are right"


@pytest.mark.parametrize("scale", [1e-6, 1e6])
@pytest.mark.parametrize(("wrong", "term", "what"), TERMS)
def test_the_wrong_term_of_a_norm_is_named_at_any_scale(scale, wrong, term, what):
    said = normed(1 + some(3, 5), (1,), wrong, gamma=scale)
    assert term in said and what.format(M=5, L=4) in said


@pytest.mark.parametrize("gamma", [(1, 1, 1, 1), (2, 1, 0, 1)])
def test_a_term_that_is_wrong_by_another_factor_in_each_channel_is_said_to_be(gamma):
    said = normed(1 + some(7, 4), (0,), lambda k, c, s, M: k + c + s * np.array([1, 2, 3, 4]), gamma=np.array(gamma))
    assert "the term of the variance" in said and "by a factor that differs from one group to another" in said


@pytest.mark.parametrize("size", [2, 3, 4])
def test_a_group_of_channels_is_named_by_its_size(size):
    x = 1 + some(2, 2 * size if size != 2 else 6, 2, 2)
    grouped = x.reshape(2, -1, size, 2, 2)

    def parts():
        mean, var = grouped.mean(axis=(2, 3, 4), keepdims=True), grouped.var(axis=(2, 3, 4), keepdims=True)
        return (grouped - mean) / np.sqrt(var + 1e-5), np.sqrt(var + 1e-5)

    def wrong(dy):
        xh, std = parts()
        d = dy.reshape(grouped.shape)
        return ((d - xh * (d * xh).mean(axis=(2, 3, 4), keepdims=True)) / std).reshape(x.shape)

    said = guess(lambda: parts()[0].reshape(x.shape), wrong, x=x)
    assert f"the term of the mean, constant within each group of {size} channels" in said and "is missing" in said


@pytest.mark.parametrize("shape", [(3,), (3, 2, 4), (2, 4)])
def test_the_gamma_of_each_element_of_a_sample_is_taken_into_account(shape):
    gamma = 1.5 + some(*shape) / 3
    x = 1 + some(4, 3, 2, 4)
    axes = (1, 2, 3)
    g = gamma.reshape(3, 1, 1) if shape == (3,) else gamma
    said = normed(x, axes, lambda k, c, s, M: k + s, gamma=g, guess_of={"gamma": gamma})
    assert "the term of the mean, constant within each sample" in said and "is missing" in said


def test_groups_of_two_values_show_nothing():
    x = some(6, 2)
    assert "norm" not in guess(lambda: x**3 + x[:, ::-1], lambda dy: dy + x**2 + x[:, ::-1] * dy, x=x)


@pytest.mark.parametrize(
    ("forward_ddof", "backward_ddof", "says"),
    [(0, 1, "divided by M - 1 in backward and by M in forward"), (1, 0, "divided by M in backward and by M - 1 in forward")],
)
def test_a_variance_that_is_divided_by_another_number_in_backward_is_named(forward_ddof, backward_ddof, says):
    x = 1 + some(7, 3)
    assert says in another_std(x, x.std(axis=0, ddof=forward_ddof), x.std(axis=0, ddof=backward_ddof))


def another_std(x, std, wrong_std):
    """What is said if forward divides by the first, a multiple of the batch's, and backward by the second."""
    multiple = std / x.std(axis=0)

    def wrong(dy):
        centred = x - x.mean(axis=0)
        through_variance = multiple**2 * centred * (dy * centred).mean(axis=0) / wrong_std**3
        return (dy - dy.mean(axis=0)) / wrong_std - through_variance

    return guess(lambda: (x - x.mean(axis=0)) / (multiple * x.std(axis=0)), wrong, x=x)


@pytest.mark.parametrize(
    ("factor", "says"),
    [
        (np.array([1.1, 1.2, 1.3]), "is it eps left out"),
        (np.array([0.7, 0.8, 0.9]), "is it the variance divided by M - 1 for M, or eps added twice"),
        (np.array([0.8, 1.2, 1.1]), "is it eps?"),
    ],
)
@pytest.mark.parametrize("scale", [1e-5, 1.0, 1e5])
def test_another_standard_deviation_in_backward_is_named_with_its_size(factor, says, scale):
    x = 1 + some(7, 3)
    std = x.std(axis=0) / scale
    said = another_std(x, std, std / factor)
    assert says in said and f"1 / std is {factor.min():.6g} to {factor.max():.6g} times what it is in forward" in said


def test_a_channel_that_is_left_out_is_not_another_standard_deviation():
    x = 1 + some(7, 3)
    assert "1 / std is" not in normed(x, (0,), lambda k, c, s, M: (k + c + s) * np.array([0, 1, 1]))
    assert "1 / std is" not in normed(x, (0,), lambda k, c, s, M: (k + c + s) * np.array([0.0, 1.2, 1.1]))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda k, s, M: k + 2 * s, "the term proportional to x in each sample"),
        (lambda k, s, M: k + M * s, "is a sum where a mean belongs"),
        (lambda k, s, M: 1.5 * k + s, "the factor of dy (1 / length) is 1.5 times"),
        (lambda k, s, M: k - s, "has the wrong sign"),
    ],
)
def test_the_wrong_term_of_a_length_is_named(wrong, says):
    x = 1 + some(4, 6)

    def length():
        return np.sqrt((x**2).sum(axis=1, keepdims=True))

    def backward(dy):
        return wrong(dy / length(), -x * (x * dy).sum(axis=1, keepdims=True) / length() ** 3, 6)

    said = guess(lambda: x / length(), backward, x=x)
    assert says in said and "where x is divided by its length or root mean square" in said


def test_what_is_no_length_is_not_called_one():
    x = some(5, 6)
    said = guess(lambda: 3 * x, lambda dy: 3 * dy + x * (dy * x).mean(axis=1, keepdims=True), x=x)
    assert "length" not in said

    def squares():
        return x**2 - 0.5 * (x**2).mean(axis=1, keepdims=True)

    assert "length" not in guess(squares, lambda dy: 2 * x * dy - 3 * x * dy.mean(axis=1, keepdims=True), x=x)


@pytest.mark.parametrize("axis", [0, 1])
def test_what_is_no_norm_is_not_called_one(axis):
    x = some(5, 6)
    mean = {"axis": axis, "keepdims": True}
    for forward, wrong in (
        (lambda: x.mean(**mean) + 0 * x, lambda dy: dy / 7),
        (lambda: x - x.mean(**mean), lambda dy: dy + dy.mean(**mean)),
        (lambda: x - x.mean(**mean), lambda dy: dy - 2 * dy.mean(**mean)),
    ):
        assert "norm" not in guess(forward, wrong, x=x)


# ---- losses


def test_a_loss_has_no_outputs_one_by_one_that_a_guess_could_look_at():
    x, w = some(5, 4), some(4, 3)

    def backward(dy):
        return {"x": dy * 2 * x @ w @ w.T, "w": dy * (x.T @ (x @ w) + w**3)}

    assert guesses(lambda: np.sum((x @ w) ** 2), backward, {"x": x, "w": w}) == {"w": ""}


# ---- shapes


@pytest.mark.parametrize("at", [(0, 0), (2, 0), (0, 1), (2, 1)])
def test_the_part_of_a_padded_gradient_that_is_right_is_named(at):
    x, (top, left) = some(2, 3, 5, 6), at

    def padded(dy):
        whole = np.ones((2, 3, 7, 7))
        whole[:, :, top : top + 5, left : left + 6] = 3 * x**2 * dy
        return whole

    assert f"[:, :, {top}:{top + 5}, {left}:{left + 6}] of it is right" in guess(lambda: x**3, padded, x=x)


@pytest.mark.parametrize(("shape", "rows", "columns"), [((2, 3, 7, 6), 2, 0), ((2, 3, 5, 7), 0, 1)])
def test_padding_in_one_direction_is_padding_too(shape, rows, columns):
    x = some(2, 3, 5, 6)
    said = guess(lambda: x**3, lambda dy: np.ones(shape), x=x)
    assert f"the padding is not cropped ({rows} rows and {columns} columns too many)" in said


@pytest.mark.parametrize("shape", [(2, 3, 7, 4), (3, 3, 7, 7), (2, 4, 7, 7), (5, 6, 7)])
def test_other_shapes_are_not_called_padding(shape):
    x = some(2, 3, 5, 6)
    assert "padding" not in guess(lambda: x**3, lambda dy: np.ones(shape), x=x)


@pytest.mark.parametrize(
    ("shape", "summed"), [((), True), ((3,), True), ((4, 3, 2), True), ((5,), False), ((7, 3), False), ((0,), False)]
)
def test_a_sum_over_another_axis_is_presumed_only_where_the_numbers_of_elements_divide(shape, summed):
    x = some(4, 3)
    said = guess(lambda: x**3, lambda dy: np.ones(shape), x=x)
    assert ("a sum (or mean) runs over one axis too many or too few" in said) == summed
    assert summed or not said


def test_dy_that_is_summed_over_other_axes_is_a_fault_of_a_bias_and_not_of_the_input():
    x, b = some(4, 3), some(3)
    said = guesses(lambda: x**3 + b, lambda dy: {"x": dy.sum(axis=0), "b": dy.sum()}, {"x": x, "b": b})
    assert "it is dy summed over axes 0, 1, not" in said["b"] and "it is dy" not in said["x"]
    said = guesses(lambda: x**3 + b, lambda dy: {"x": dy * 0, "b": dy}, {"x": x, "b": b})
    assert "it is dy summed over no axis, not" in said["b"]


def test_a_transposed_gradient_is_named_with_the_axes_that_put_it_right():
    x = some(2, 3, 4)
    said = guess(lambda: x**3, lambda dy: (3 * x**2 * dy).transpose(2, 0, 1), x=x)
    assert "transpose(1, 2, 0) of it is right" in said


def test_nothing_is_said_of_complex_numbers_or_where_nothing_was_measured():
    right = np.arange(1.0, 7.0)
    assert guess_cause(Evidence(right * 1j, right, right, 6)) == ""
    assert guess_cause(Evidence(right, np.full(6, np.nan), right, 6)) == ""
