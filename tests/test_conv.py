"""Convolution: numbers worked by hand, the definition against the fast kernels, and another engine's opinion."""

import copy
import json
import os
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from convolution_cases import Case, everything, is_channels_last, orders
from convolution_cases import random_case as any_case

from minicnn.inference.fusion import fuse
from minicnn.kernels import reference
from minicnn.kernels.convolution import choice
from minicnn.kernels.convolution import dispatch as conv
from minicnn.kernels.geometry import ConvGeometry, same_pads
from minicnn.kernels.layout import channels_first
from minicnn.layers import BatchNorm2d, Conv2d, GlobalAvgPool2d, Linear, ReLU, Residual, Sequential, set_algorithm
from minicnn.runtime.parallel import parallel_for
from minicnn.runtime.workers import get_threads, set_threads

PLAIN = ((1, 1), (0, 0, 0, 0), (1, 1), 1)  # stride, pads, dilation, groups


def random_case(seed: int, dtype=np.float64):
    """A small convolution of odd sizes, strides, pads, dilation and groups: x, w, b, (stride, pads, dilation, groups)."""
    rng = np.random.default_rng(seed)
    kernel, stride, dilation = rng.integers(1, 4, 2), rng.integers(1, 4, 2), rng.integers(1, 3, 2)
    pads, groups = rng.integers(0, 4, 4), int(rng.integers(1, 4))
    if seed % 4 == 0:  # one pixel, the case without columns
        kernel[:], stride[:], pads[:] = 1, 1, 0
    reach = dilation * (kernel - 1) + 1
    H, W = np.maximum(reach - pads[[0, 2]] - pads[[1, 3]], 1) + rng.integers(0, 6, 2)
    F, C = groups * int(rng.integers(2, 4)), groups * int(rng.integers(1, 3))
    x, w = rng.standard_normal((int(rng.integers(1, 5)), C, H, W)), rng.standard_normal((F, C // groups, *kernel))
    b = rng.standard_normal(F) if seed % 3 else None
    shape = tuple(tuple(map(int, numbers)) for numbers in (stride, pads, dilation))
    return x.astype(dtype), w.astype(dtype), None if b is None else b.astype(dtype), (*shape, groups)


def fast_backward(dy, x, w, stride, pads, dilation, groups, algorithm=None):
    settings = stride, pads, dilation, groups
    dx = conv.conv2d_dx(dy, w, x.shape[2:], *settings, algorithm=algorithm)
    return dx, conv.conv2d_dw(dy, x, w.shape[2:], *settings, algorithm=algorithm), conv.conv2d_db(dy)


# ---- by hand


@pytest.mark.parametrize("forward", [reference.conv2d_forward, conv.conv2d_forward])
def test_it_is_cross_correlation_the_kernel_is_not_flipped(forward):
    x = np.arange(1.0, 10).reshape(1, 1, 3, 3)
    w = np.array([[[[1.0, 2], [3, 4]]]])
    y = forward(x, w, None, *PLAIN)
    # top left: 1*1 + 2*2 + 4*3 + 5*4; a flipped kernel would give 1*4 + 2*3 + 4*2 + 5*1 = 23
    np.testing.assert_array_equal(y, [[[[37, 47], [67, 77]]]])


@pytest.mark.parametrize("backward", [reference.conv2d_backward, fast_backward])
def test_backward_worked_by_hand(backward):
    x = np.arange(1.0, 10).reshape(1, 1, 3, 3)
    w = np.array([[[[1.0, 2], [3, 4]]]])
    dy = np.array([[[[1.0, 0], [0, 10]]]])
    dx, dw, db = backward(dy, x, w, *PLAIN)
    np.testing.assert_array_equal(dx, [[[[1, 2, 0], [3, 14, 20], [0, 30, 40]]]])  # the kernel put down at both places
    np.testing.assert_array_equal(dw, [[[[51, 62], [84, 95]]]])  # the first window and ten times the last
    np.testing.assert_array_equal(db, [11])


@pytest.mark.parametrize("forward", [reference.conv2d_forward, conv.conv2d_forward])
def test_each_filter_sums_over_the_channels_of_its_own_group(forward):
    x = np.array([1.0, 10, 100, 1000]).reshape(1, 4, 1, 1)
    w = np.array([[1.0, 2], [3, 4], [5, 6], [7, 8]]).reshape(4, 2, 1, 1)
    np.testing.assert_array_equal(forward(x, w, None, *PLAIN[:3], 2).ravel(), [21, 43, 6500, 8700])
    b = np.array([0.5, 1, 2, 3])
    np.testing.assert_array_equal(forward(x, w, b, *PLAIN[:3], 2).ravel(), [21.5, 44, 6502, 8703])


@pytest.mark.parametrize("forward", [reference.conv2d_forward, conv.conv2d_forward])
def test_dilation_spreads_the_taps_and_stride_the_windows(forward):
    x = np.arange(7.0).reshape(1, 1, 1, 7) ** 2
    w = np.array([1.0, 10]).reshape(1, 1, 1, 2)
    y = forward(x, w, None, (1, 3), (0, 0, 0, 0), (1, 2), 1)
    np.testing.assert_array_equal(y.ravel(), [0 + 40, 9 + 250])


def test_same_padding_is_uneven_at_stride_two():
    x = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    layer = Conv2d(1, 1, 3, stride=2, pad="same")
    assert layer.geometry(x.shape).pads == (0, 1, 0, 1)
    layer.w.value[:] = 0
    layer.w.value[0, 0, 0, 0] = 1  # looks at each window's first corner: nothing is put before the picture
    np.testing.assert_array_equal(layer.forward(x)[0, 0], [[0, 2], [8, 10]])
    layer.w.value[:] = 0
    layer.w.value[0, 0, 2, 2] = 1  # and at its last one: one row and one column of zeros come after it
    np.testing.assert_array_equal(layer.forward(x)[0, 0], [[10, 0], [0, 0]])


def test_each_side_may_have_its_own_padding():
    layer = Conv2d(1, 1, 3, stride=2, pad=((0, 1), (2, 1)), rng=0)
    x = np.random.default_rng(0).standard_normal((1, 1, 5, 5)).astype(np.float32)
    padded = np.pad(x, ((0, 0), (0, 0), (0, 1), (2, 1)))
    plain = Conv2d(1, 1, 3, stride=2, rng=0)
    np.testing.assert_array_equal(layer.forward(x), plain.forward(padded))
    assert layer.output_shape(x.shape) == (1, 1, 2, 3)
    again = Conv2d(**layer.config(), rng=0)
    assert again.geometry(x.shape) == layer.geometry(x.shape)
    with pytest.raises(ValueError, match="pad"):
        Conv2d(1, 1, 3, pad=((0, 1), (2, -1)))


@pytest.mark.parametrize("size", range(1, 12))
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize(("kernel", "dilation"), [(1, 1), (2, 1), (3, 1), (5, 1), (3, 2)])
def test_same_padding_gives_one_output_for_each_stride_of_input(size, stride, kernel, dilation):
    before, after = same_pads(size, kernel, stride, dilation)
    assert before <= after <= before + 1
    geometry = ConvGeometry((kernel, kernel), (stride, stride), (before, after) * 2, (dilation, dilation))
    assert geometry.count(size, size) == (-(-size // stride),) * 2


# ---- the fast kernels against the definition


@pytest.mark.parametrize("seed", range(40))
def test_fast_and_reference_agree(seed):
    x, w, b, settings = random_case(seed)
    y = reference.conv2d_forward(x, w, b, *settings)
    np.testing.assert_allclose(conv.conv2d_forward(x, w, b, *settings), y, atol=1e-12)
    dy = np.random.default_rng(seed).standard_normal(y.shape)
    for fast, slow in zip(fast_backward(dy, x, w, *settings), reference.conv2d_backward(dy, x, w, *settings), strict=True):
        np.testing.assert_allclose(fast, slow, atol=1e-12)


@pytest.mark.parametrize("seed", range(100, 108))
def test_fast_and_reference_agree_in_single_precision(seed):
    x, w, b, settings = random_case(seed, np.float32)
    exact_x, exact_w, exact_b = x.astype(np.float64), w.astype(np.float64), None if b is None else b.astype(np.float64)
    y = conv.conv2d_forward(x, w, b, *settings)
    np.testing.assert_allclose(y, reference.conv2d_forward(exact_x, exact_w, exact_b, *settings), atol=2e-5)
    results = fast_backward(y, x, w, *settings)
    for fast, slow in zip(results, reference.conv2d_backward(y.astype(np.float64), exact_x, exact_w, *settings), strict=True):
        np.testing.assert_allclose(fast, slow, atol=2e-5 * max(1, np.abs(slow).max()))
    assert {array.dtype for array in (y, *results)} == {np.dtype(np.float32)}


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("N", [1, 2, 7])
def test_runs_repeat_to_the_bit_and_any_number_of_threads_gives_the_same_numbers(threads, N):
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((N, 6, 19, 17), np.float32), rng.standard_normal((8, 6, 3, 3), np.float32)
    settings = (2, 1), (0, 1, 1, 1), (1, 1), 1
    before = get_threads()
    try:
        set_threads(threads)
        y = conv.conv2d_forward(x, w, None, *settings)
        first = y, *fast_backward(y, x, w, *settings)
        again = conv.conv2d_forward(x, w, None, *settings), *fast_backward(y, x, w, *settings)
    finally:
        set_threads(before)
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(first, (conv.conv2d_forward(x, w, None, *settings), *fast_backward(y, x, w, *settings)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("filters", [1, 2, 7, 40], ids=lambda filters: f"{filters} filters")
def test_threads_that_share_a_picture_share_rows_or_filters(filters, threads, monkeypatch):
    monkeypatch.setattr(choice, "SHORT", dict.fromkeys(choice.SHORT, 0))  # nothing is too short to share
    rng, before = np.random.default_rng(0), get_threads()
    x, w, b = rng.standard_normal((1, 3, 9, 7)), rng.standard_normal((filters, 3, 3, 3)), rng.standard_normal(filters)
    settings = (2, 2), (1, 1, 1, 1), (1, 1), 1
    set_threads(threads)
    try:
        y = conv.conv2d_forward(x, w, b, *settings, clip=(0, 6), algorithm="direct")
    finally:
        set_threads(before)
    np.testing.assert_allclose(y, np.clip(reference.conv2d_forward(x, w, b, *settings), 0, 6), atol=1e-12)


def test_several_samples_at_a_time_in_threads_of_ones_own():
    x, w, b, settings = random_case(3)
    x = np.concatenate([x] * 4)
    y = conv.conv2d_forward(x, w, b, *settings)
    whole = np.empty_like(y)

    def body(start, stop):
        for n in range(start, stop):
            whole[n] = conv.conv2d_forward(x[n : n + 1], w, b, *settings)[0]

    parallel_for(len(x), body)
    np.testing.assert_allclose(whole, y, atol=1e-12)


STEPS = {  # an algorithm and a convolution for it: kernel, stride, groups, channels, filters
    "direct": (3, 2, 1, 5, 7), "1x1": (1, 1, 1, 3, 20), "groups": (2, 1, 2, 6, 36), "depthwise": (3, 1, 17, 17, 17),
    "few depthwise": (3, 2, 4, 4, 4), "winograd4": (3, 1, 1, 18, 17), "winograd2": (3, 1, 1, 3, 5),
}  # fmt: skip


def case_of(name, N=2, size=(7, 6), dtype=np.float64):
    """The convolution and, if it has the name of one, the algorithm that is wanted."""
    kernel, stride, groups, C, F = STEPS[name]
    rng = np.random.default_rng(0)
    arrays = (rng.standard_normal(shape).astype(dtype) for shape in ((N, C, *size), (F, C // groups, kernel, kernel), (F,)))
    return Case(*arrays, ((stride, stride), (1, 0, 2, 1), (1, 1), groups)), name if name in choice.ALGORITHMS else None


@pytest.mark.parametrize("name", STEPS)
def test_arrays_may_lie_in_any_order_of_memory(name):
    (x, w, b, how), algorithm = case_of(name)
    y = conv.conv2d_forward(x, w, b, *how, algorithm=algorithm)
    dy = np.random.default_rng(1).standard_normal(y.shape)
    gradients = fast_backward(dy, x, w, *how, algorithm)
    for (order, x_there), dy_there in zip(orders(x).items(), orders(dy).values(), strict=True):
        kept_x, kept_dy = x_there.copy(), dy_there.copy()
        np.testing.assert_array_equal(conv.conv2d_forward(x_there, w, b, *how, algorithm=algorithm), y, err_msg=order)
        for there, here in zip(fast_backward(dy_there, x_there, w, *how, algorithm), gradients, strict=True):
            np.testing.assert_array_equal(there, here, err_msg=order)
        np.testing.assert_array_equal(x_there, kept_x)
        np.testing.assert_array_equal(dy_there, kept_dy)
    for order, w_there in orders(w).items():
        b_there = np.stack([b, b], axis=1)[:, 1]
        np.testing.assert_array_equal(conv.conv2d_forward(x, w_there, b_there, *how, algorithm=algorithm), y, err_msg=order)
        dx = conv.conv2d_dx(dy, w_there, x.shape[2:], *how, algorithm=algorithm)
        np.testing.assert_array_equal(dx, gradients[0], err_msg=order)


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_maps_and_their_gradients_have_their_channels_last_in_memory(name, dtype):
    case, algorithm = case_of(name, dtype=dtype)
    y, dx, dw, _ = everything(case, algorithm)
    assert is_channels_last(y) and is_channels_last(dx) and dw.flags.c_contiguous
    for readable in ("textbook", "reference"):
        assert is_channels_last(conv.conv2d_forward(case.x, case.w, case.b, *case.how, algorithm=readable))


@pytest.mark.parametrize("name", [*STEPS, "textbook", "reference"])
def test_results_may_become_some_channels_of_larger_maps_and_touch_no_others(name):
    (x, w, b, how), algorithm = case_of(name if name in STEPS else "direct")
    algorithm = algorithm if name in STEPS else name
    planned = conv.PlannedConvolution(w, b, how[-1], (-1, 1), algorithm)
    convolve = planned.plan(x, ConvGeometry(w.shape[2:], *how[:3]))
    y, F = convolve(x), len(w)
    np.testing.assert_allclose(y, np.clip(reference.conv2d_forward(x, w, b, *how), -1, 1), atol=1e-12)
    for first in (0, 3, 8):
        maps = np.full((*y.shape[:1], *y.shape[2:], F + 8), np.nan)
        part = convolve(x, maps, first)
        np.testing.assert_array_equal(part, y)
        assert np.shares_memory(part, maps)
        np.testing.assert_array_equal(channels_first(maps)[:, first : first + F], y)
        assert np.isnan(maps[..., :first]).all() and np.isnan(maps[..., first + F :]).all()


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("N", [1, 3])
def test_the_number_of_threads_changes_no_bit_of_a_map_and_dw_repeats(name, N, monkeypatch):
    monkeypatch.setattr(choice, "SHORT", dict.fromkeys(choice.SHORT, 0))
    (case, algorithm), before, results = case_of(name, N, (19, 14), np.float32), get_threads(), []
    try:
        for count in (1, 2, 3, 7):
            set_threads(count)
            results.append(everything(case, algorithm))
            for a, b in zip(everything(case, algorithm), results[-1], strict=True):
                np.testing.assert_array_equal(a, b)
    finally:
        set_threads(before)
    for (y, dx, dw, db), (first_y, first_dx, first_dw, first_db) in zip(results[1:], results[:1] * 3, strict=True):
        np.testing.assert_array_equal(y, first_y)
        np.testing.assert_array_equal(dx, first_dx)
        np.testing.assert_allclose(dw, first_dw, atol=1e-5 * np.abs(first_dw).max())
        np.testing.assert_allclose(db, first_db, atol=1e-5 * np.abs(first_db).max())


@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("kernel", [1, 3])
def test_clamp_is_an_activation_in_the_same_pass(groups, kernel):
    rng = np.random.default_rng(0)
    x, w, b = rng.standard_normal((2, 4, 6, 6)), 5 * rng.standard_normal((4, 4 // groups, kernel, kernel)), np.arange(4.0)
    settings = (1, 1), (0, 0, 0, 0), (1, 1), groups
    y = conv.conv2d_forward(x, w, b, *settings)
    assert y.min() < -1 and y.max() > 7
    np.testing.assert_array_equal(conv.conv2d_forward(x, w, b, *settings, clip=(0, 6)), np.clip(y, 0, 6))
    np.testing.assert_array_equal(conv.conv2d_forward(x, w, b, *settings, clip=(0, np.inf)), np.maximum(y, 0))
    np.testing.assert_array_equal(
        conv.conv2d_forward(x, w, None, *settings, clip=(0, 6)), np.clip(conv.conv2d_forward(x, w, None, *settings), 0, 6)
    )


@pytest.mark.parametrize("groups", [1, 2])
def test_not_a_number_is_passed_on_and_not_clamped_away(groups):
    x = np.zeros((1, 2, 5, 5), np.float32)
    x[0, 0, 2, 2] = np.nan
    w = np.ones((2, 2 // groups, 3, 3), np.float32)
    y = conv.conv2d_forward(x, w, np.zeros(2, np.float32), (1, 1), (0, 0, 0, 0), (1, 1), groups, clip=(0, 6))
    assert np.isnan(y[0, 0]).all() and np.isnan(y[0, 1]).all() == (groups == 1)


@pytest.mark.parametrize("algorithm", ["direct", "winograd4"])
def test_no_step_needs_memory_for_the_windows_of_a_whole_batch(algorithm):
    x, w = (
        np.zeros((16, 16, 64, 64), np.float32).transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2),
        np.zeros((16, 16, 3, 3), np.float32),
    )
    how = (1, 1), (1, 1, 1, 1), (1, 1), 1

    def run():
        fast_backward(conv.conv2d_forward(x, w, None, *how, algorithm=algorithm), x, w, *how, algorithm=algorithm)

    run()  # compiling, and loading what was compiled, take memory too
    tracemalloc.start()
    try:
        run()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2.5 * x.nbytes  # y and dx are as large as x; the windows would be nine times as much


@pytest.mark.parametrize("name", [*STEPS, "textbook"])
def test_a_batch_of_no_samples_is_no_trouble(name):
    (x, w, b, how), algorithm = case_of(name if name in STEPS else "direct", 0)
    algorithm = algorithm if name in STEPS else name
    OH, OW = ConvGeometry(w.shape[2:], *how[:3]).count(7, 6)
    y = conv.conv2d_forward(x, w, b, *how, algorithm=algorithm)
    dx, dw, db = fast_backward(y, x, w, *how, algorithm)
    assert y.shape == (0, len(w), OH, OW) and dx.shape == x.shape
    assert dw.shape == w.shape and db.shape == b.shape and not dw.any() and not db.any()
    planned = conv.PlannedConvolution(w, b, how[-1], (0, 6), algorithm)
    assert planned.plan(x, ConvGeometry(w.shape[2:], *how[:3]))(x).shape == y.shape


def test_the_loops_run_as_plain_python_too():
    """With the JIT switched off one can step through the kernels; indices out of range would show here, too."""
    script = """
import numpy as np
from minicnn.kernels import reference
from minicnn.kernels.convolution import direct, inverted_residual
from minicnn.kernels.convolution import dispatch as conv
from minicnn.kernels.geometry import ConvGeometry
rng = np.random.default_rng(0)
for C, groups, stride, kernel in ((4, 1, 1, 1), (4, 1, 2, 2), (4, 2, 3, 2), (4, 4, 1, 3), (4, 4, 2, 3), (20, 20, 1, 2)):
    x, w, b = rng.standard_normal((2, C, 6, 5)), rng.standard_normal((C, C // groups, kernel, kernel)), rng.standard_normal(C)
    settings = (stride, 3 - stride if stride < 3 else 1), (0, 1, 2, 1), (1, 2), groups
    y = reference.conv2d_forward(x, w, b, *settings)
    np.testing.assert_allclose(conv.conv2d_forward(x, w, b, *settings), y, atol=1e-12)
    dx, dw, db = reference.conv2d_backward(y, x, w, *settings)
    np.testing.assert_allclose(conv.conv2d_dx(y, w, (6, 5), *settings), dx, atol=1e-11)
    np.testing.assert_allclose(conv.conv2d_dw(y, x, (kernel, kernel), *settings), dw, atol=1e-11)
x, w, b = rng.standard_normal((1, 2, 5, 6)), rng.standard_normal((3, 2, 3, 3)), rng.standard_normal(3)
settings = (1, 1), (1, 2, 0, 1), (1, 1), 1
y = reference.conv2d_forward(x, w, b, *settings)
dx, dw, db = reference.conv2d_backward(y, x, w, *settings)
for name in ("winograd4", "winograd2"):
    np.testing.assert_allclose(conv.conv2d_forward(x, w, b, *settings, algorithm=name), y, atol=1e-11)
    np.testing.assert_allclose(conv.conv2d_dx(y, w, (5, 6), *settings, algorithm=name), dx, atol=1e-10)
    np.testing.assert_allclose(conv.conv2d_dw(y, x, (3, 3), *settings, algorithm=name), dw, atol=1e-10)
x, w, b = rng.standard_normal((1, 20, 5, 4)), rng.standard_normal((20, 1, 3, 3)), rng.standard_normal(20)
w3, windows = rng.standard_normal((3, 20)), ConvGeometry((3, 3), (1, 1), (1, 1, 1, 1), (1, 1))
steps = [inverted_residual.Step(*step, (-9, 9)) for step in ((w[:, 0, :, 0], b), (w.reshape(20, 9), b), (w3, b[:3]))]
for expand, seen in ((None, x), (steps[0], x[:, :3])):
    h = x if expand is None else np.clip(np.einsum("ec,nchw->nehw", steps[0].w, seen) + b[:, None, None], -9, 9)
    d = np.clip(reference.conv2d_forward(h, w, b, *windows[1:], 20), -9, 9)
    y = np.clip(np.einsum("fe,nehw->nfhw", w3, d) + b[:3, None, None], -9, 9)
    run = inverted_residual.prepare(seen.shape, expand, *steps[1:], windows, False, {})
    seen = np.ascontiguousarray(seen.transpose(0, 2, 3, 1))
    np.testing.assert_allclose(run(seen).transpose(0, 3, 1, 2), y, atol=1e-12)
print(type(direct.loops.convolve).__name__)
"""
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    result = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "function"


@pytest.mark.parametrize("seed", range(1, 24, 2))
def test_another_engine_agrees(seed):
    torch = pytest.importorskip("torch")
    x, w, b, (stride, (top, bottom, left, right), dilation, groups) = random_case(seed)
    theirs = [torch.tensor(array, requires_grad=True) for array in (x, w, np.zeros(len(w)) if b is None else b)]
    padded = torch.nn.functional.pad(theirs[0], (left, right, top, bottom))
    expected = torch.nn.functional.conv2d(padded, *theirs[1:], stride=stride, dilation=dilation, groups=groups)
    settings = stride, (top, bottom, left, right), dilation, groups
    y = conv.conv2d_forward(x, w, b, *settings)
    np.testing.assert_allclose(y, expected.detach().numpy(), atol=1e-12)
    expected.backward(torch.tensor(y))
    for ours, their in zip(fast_backward(y, x, w, *settings), theirs, strict=True):
        np.testing.assert_allclose(ours, their.grad.numpy(), atol=1e-11)


# ---- the layer


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("pad", [1, (0, 2), "same"])
def test_the_layer_computes_what_the_definition_says(dtype, pad):
    layer = Conv2d(4, 6, (3, 2), stride=(2, 1), pad=pad, groups=2, rng=0).astype(dtype).train()
    rng = np.random.default_rng(1)
    layer.b.value[:] = rng.standard_normal(6)
    x = rng.standard_normal((2, 4, 7, 6)).astype(dtype)
    kept = x.copy()
    y = layer.forward(x)
    assert y.shape == layer.output_shape(x.shape) and y.dtype == dtype
    settings = (2, 1), layer.geometry(x.shape).pads, (1, 1), 2
    np.testing.assert_allclose(y, reference.conv2d_forward(x, layer.w.value, layer.b.value, *settings), rtol=1e-4, atol=1e-5)
    dy = rng.standard_normal(y.shape).astype(dtype)
    kept_dy = dy.copy()
    dx = layer.backward(dy)
    for ours, exact in zip(
        (dx, layer.w.grad, layer.b.grad), reference.conv2d_backward(dy, x, layer.w.value, *settings), strict=True
    ):
        np.testing.assert_allclose(ours, exact, rtol=1e-4, atol=1e-4)
        assert ours.dtype == dtype
    np.testing.assert_array_equal(x, kept)
    np.testing.assert_array_equal(dy, kept_dy)


def test_gradients_are_assigned_and_not_added_up():
    layer = Conv2d(2, 3, 3, rng=0).train()
    x, dy = np.ones((1, 2, 4, 4), np.float32), np.ones((1, 3, 2, 2), np.float32)
    layer.forward(x)
    layer.backward(dy)
    first = layer.w.grad.copy()
    layer.forward(x)
    layer.backward(dy)
    np.testing.assert_array_equal(layer.w.grad, first)


def test_what_is_frozen_is_not_computed(monkeypatch):
    layer = Conv2d(2, 3, 3, rng=0).train()
    called = []
    for name in ("conv2d_dx", "conv2d_dw", "conv2d_db"):
        original = getattr(conv, name)
        monkeypatch.setattr(
            conv, name, lambda *args, name=name, original=original, **options: called.append(name) or original(*args, **options)
        )

    def backward():
        called.clear()
        layer.forward(np.ones((1, 2, 4, 4), np.float32))
        return layer.backward(np.ones((1, 3, 2, 2), np.float32))

    layer.freeze()
    assert backward() is not None and called == ["conv2d_dx"] and layer.w.grad is None
    layer.unfreeze()
    layer.needs_dx = False
    assert backward() is None and called == ["conv2d_dw", "conv2d_db"]
    layer.w.trainable = False
    backward()
    assert called == ["conv2d_db"]


def test_inference_remembers_nothing():
    layer = Conv2d(2, 3, 3).eval()
    layer.forward(np.ones((1, 2, 4, 4), np.float32))
    with pytest.raises(RuntimeError, match="needs a forward"):
        layer.backward(np.ones((1, 3, 2, 2), np.float32))


def test_cost_counts_a_multiplication_for_each_weight_and_place():
    layer = Conv2d(3, 32, 3, stride=2, pad="same", bias=False)
    assert layer.multiply_adds((4, 3, 224, 224)) == 4 * 32 * 27 * 112 * 112
    assert Conv2d(32, 32, 3, groups=32).multiply_adds((1, 32, 5, 5)) == 32 * 9 * 9


def test_config_makes_the_same_layer():
    layer = Conv2d(4, 8, (3, 1), stride=2, pad=(1, 0), dilation=(2, 1), groups=2, bias=False)
    twin = Conv2d(**layer.config())
    assert twin.config() == layer.config() and twin.w.value.shape == layer.w.value.shape and twin.b is None
    assert Conv2d(**Conv2d(1, 1, 3, pad="same").config()).pad == "same"
    each_side = Conv2d(1, 1, 3, pad=((1, 2), (0, 1)))
    assert Conv2d(**json.loads(json.dumps(each_side.config()))).pad == each_side.pad == ((1, 2), (0, 1))


def test_weights_start_by_msra_from_the_seed_and_biases_at_zero():
    layer = Conv2d(16, 64, 3, rng=7)
    assert abs(layer.w.value.std() / np.sqrt(2 / 144) - 1) < 0.05 and not layer.b.value.any()
    np.testing.assert_array_equal(layer.w.value, Conv2d(16, 64, 3, rng=np.random.default_rng(7)).w.value)
    assert layer.w.decays and not layer.b.decays


# ---- its algorithm

LAYERS = {
    "3x3": Conv2d(4, 6, 3, pad=1, rng=0),
    "1x1": Conv2d(4, 6, 1, rng=1),
    "depthwise": Conv2d(4, 4, 3, pad="same", groups=4, rng=2),
    "in groups, with stride and dilation": Conv2d(4, 8, (2, 3), stride=(2, 1), pad=1, dilation=(1, 2), groups=2, rng=3),
}


def small_resnet():
    """With six convolutions: four of 3x3 with stride 1, and one each of 3x3 and 1x1 with stride 2."""

    def conv_norm(in_channels, out_channels, stride, rng):
        filters = Conv2d(in_channels, out_channels, 3, stride, pad=1, bias=False, rng=rng)
        return Sequential(conv=filters, norm=BatchNorm2d(out_channels))

    same = Sequential(one=conv_norm(4, 4, 1, 1), relu=ReLU(), two=conv_norm(4, 4, 1, 2))
    smaller = Sequential(one=conv_norm(4, 6, 2, 3), relu=ReLU(), two=conv_norm(6, 6, 1, 4))
    return Sequential(
        stem=conv_norm(3, 4, 1, 0), relu=ReLU(),
        block1=Residual(same), relu1=ReLU(),
        block2=Residual(smaller, shortcut=Conv2d(4, 6, 1, 2, rng=5)), relu2=ReLU(),
        pool=GlobalAvgPool2d(), scores=Linear(6, 3, rng=6),
    ).astype(np.float64)  # fmt: skip


def results(layer, x):
    """y, dx and all gradients of parameters, of a step of training."""
    y = layer.train().forward(x)
    dx = layer.backward(np.random.default_rng(1).standard_normal(y.shape))
    return [y, dx, *(parameter.grad for parameter in layer.parameters().values())]


def assert_all_close(arrays, expected, tolerance):
    for array, as_expected in zip(arrays, expected, strict=True):
        np.testing.assert_allclose(array, as_expected, atol=tolerance)


@pytest.mark.parametrize("name", choice.ALGORITHMS)
@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
def test_every_algorithm_that_can_compute_a_layer_computes_the_same(layer, name):
    layer, x = copy.deepcopy(layer).astype(np.float64), np.random.default_rng(0).standard_normal((2, 4, 7, 6))
    expected = results(layer, x)
    if layer.can_use(name):
        layer.algorithm = name
        assert layer.algorithm == name
        assert_all_close(results(layer, x), expected, 1e-11 if "winograd" in name else 1e-12)
    else:
        with pytest.raises(ValueError, match=rf"Conv2d cannot be computed by '{name}': kernel \(\d, \d\), stride"):
            layer.algorithm = name
        assert layer.algorithm is None


@pytest.mark.parametrize("name", ["reference", "textbook"])
def test_a_whole_network_is_computed_by_the_definition_forward_and_backward(name):
    net, x = small_resnet(), np.random.default_rng(0).standard_normal((2, 3, 6, 6))
    expected = results(net, x)
    assert set_algorithm(net, name) == 6
    assert_all_close(results(net, x), expected, 1e-12)


@pytest.mark.parametrize("name", ["reference", "textbook"])
def test_the_algorithm_does_compute_it(name, monkeypatch):
    calls, module = [], conv.READABLE[name]
    for function in ("conv2d_forward", "conv2d_backward"):
        original = getattr(module, function)
        monkeypatch.setattr(module, function, lambda *args, original=original, **options: calls.append(1) or original(*args))
    net, x = small_resnet(), np.random.default_rng(0).standard_normal((1, 3, 6, 6))
    results(net, x)
    assert not calls
    set_algorithm(net, name)
    results(net, x)
    assert len(calls) == 3 * 6  # forward, dx and dw
    fuse(net).forward(x)
    assert len(calls) == 4 * 6


@pytest.mark.parametrize("name", ["reference", "textbook", "direct", "winograd2"])
def test_a_fused_network_keeps_the_algorithm_and_answers_the_same(name):
    net, x = small_resnet(), np.random.default_rng(0).standard_normal((2, 3, 6, 6))
    results(net, x)  # gives the batch norms statistics
    expected = net.eval().forward(x)
    count = set_algorithm(net, name)
    fused = fuse(net)
    convolutions = [layer for _, layer in fused.walk() if isinstance(layer, Conv2d)]
    assert len(convolutions) == 6 and sum(layer.algorithm == name for layer in convolutions) == count
    for _ in range(3):  # from the second time on it may be replayed
        np.testing.assert_allclose(fused.forward(x), expected, atol=1e-11)
    assert set_algorithm(fused, None) == 0
    np.testing.assert_allclose(fused.forward(x), expected, atol=1e-11)


def test_a_network_uses_an_algorithm_where_it_can_and_none_undoes_it():
    net = small_resnet()
    assert set_algorithm(net, "winograd2") == 4
    assert net.layers["stem"].layers["conv"].algorithm == "winograd2"
    assert net.layers["block2"].shortcut.algorithm is None
    assert set_algorithm(net, "depthwise") == 0
    assert net.layers["stem"].layers["conv"].algorithm is None
    with pytest.raises(ValueError, match=r"no algorithm 'fft' for convolutions; there are depthwise, .*, reference"):
        set_algorithm(net, "fft")
    with pytest.raises(ValueError, match="no algorithm 'fft'"):  # even where nothing would use it
        set_algorithm(Sequential(), "fft")


def test_the_algorithm_is_no_part_of_what_is_saved_but_of_a_copy():
    layer = Conv2d(3, 4, 3, algorithm="textbook")
    assert "algorithm" not in layer.config() and Conv2d(**layer.config()).algorithm is None
    assert copy.deepcopy(layer).algorithm == "textbook"
    layer.algorithm = None
    assert layer.algorithm is None


def test_an_algorithm_that_does_not_exist_or_fit_is_refused_when_it_is_set():
    with pytest.raises(ValueError, match="no algorithm 'fft' for convolutions"):
        Conv2d(3, 4, 3, algorithm="fft")
    with pytest.raises(
        ValueError, match=r"cannot be computed by 'winograd4': kernel \(3, 3\), stride \(2, 2\), .* groups 1\. "
    ):
        Conv2d(3, 4, 3, stride=2, algorithm="winograd4")
    layer = Conv2d(3, 4, 1, pad=1, algorithm="direct")
    with pytest.raises(ValueError, match=r"'depthwise': .* pad \(1, 1\), 3 channels to 4"):
        layer.algorithm = "depthwise"
    assert layer.algorithm == "direct"
    for name in ("im2col", "pointwise"):  # which there were once
        with pytest.raises(
            ValueError, match=f"no algorithm '{name}' for convolutions; there are depthwise, .*direct, textbook"
        ):
            Conv2d(3, 4, 1, algorithm=name)


@pytest.mark.parametrize("name", ["direct", "textbook", "reference"])
def test_three_algorithms_compute_all_steps_of_every_convolution(name):
    for seed in range(20):
        x, w, _, (*how, groups) = any_case(seed)
        geometry = ConvGeometry(w.shape[2:], *how)
        shapes = x.shape, (len(x), len(w), *geometry.count(*x.shape[2:]))
        for step in ("forward", "inference", "dx", "dw"):
            assert choice.choose_algorithm(step, *shapes, geometry, groups, x.dtype, name) == name


# ---- what is refused


def test_the_wrong_number_of_channels_is_explained():
    layer = Conv2d(3, 16, 3)
    layer.name = "conv1"
    expected = r"Conv2d 'conv1' expects 3 channels, got 4: x \(8, 4, 32, 32\), w \(16, 3, 3, 3\). Is x in NCHW order\?"
    with pytest.raises(ValueError, match=expected):
        layer.forward(np.zeros((8, 4, 32, 32), np.float32))
    with pytest.raises(ValueError, match=expected):
        layer.output_shape((8, 4, 32, 32))


@pytest.mark.parametrize("shape", [(1, 3, 2, 9), (1, 3, 9, 4)])
def test_a_window_larger_than_the_padded_picture_is_explained(shape):
    with pytest.raises(ValueError, match=r"the window, 3 x 5, is larger than the padded picture"):
        Conv2d(3, 4, 3, dilation=(1, 2)).output_shape(shape)


def test_one_pixel_is_a_picture_and_one_window_a_map():
    assert Conv2d(3, 4, 1).output_shape((2, 3, 1, 1)) == (2, 4, 1, 1)
    assert Conv2d(3, 4, 3, dilation=(1, 2)).output_shape((2, 3, 3, 5)) == (2, 4, 1, 1)


def test_the_shape_of_something_else_than_pictures_is_refused():
    with pytest.raises(ValueError, match=r"shape \(N, C, H, W\), got \(3, 5, 5\)"):
        Conv2d(3, 4, 3).output_shape((3, 5, 5))


@pytest.mark.parametrize("shape", [(1, 3, 0, 9), (1, 3, 9, 0)])
@pytest.mark.parametrize("pad", [0, 2, "same"])
def test_a_picture_without_pixels_is_explained_whatever_the_padding(shape, pad):
    with pytest.raises(ValueError, match=r"a picture of \d x \d has no pixels"):
        Conv2d(3, 4, 3, pad=pad).output_shape(shape)


def test_groups_must_divide_the_channels():
    for channels in ((3, 4), (4, 3)):
        with pytest.raises(ValueError, match="groups = 2 must divide both"):
            Conv2d(*channels, 1, groups=2)


def test_a_word_that_is_no_padding_is_refused():
    with pytest.raises(ValueError, match="got 'valid'; \"valid\" is pad=0"):
        Conv2d(1, 1, 3, pad="valid")


@pytest.mark.parametrize("bad", [0, -1, 1.5, True, (3,), (1, 2, 3), (0, 3), "3", None])
@pytest.mark.parametrize("name", ["kernel_size", "stride", "dilation"])
def test_senseless_sizes_are_refused(name, bad):
    with pytest.raises(ValueError, match=f"Conv2d: {name} is a whole number of at least 1"):
        Conv2d(1, 1, **({"kernel_size": 3} | {name: bad}))


@pytest.mark.parametrize("bad", [-1, (1, -1), 0.5, (1, 1, 1, 1)])
def test_senseless_padding_is_refused(bad):
    with pytest.raises(ValueError, match="Conv2d: pad is a whole number of at least 0"):
        Conv2d(1, 1, 3, pad=bad)


@pytest.mark.parametrize("name", ["in_channels", "out_channels", "groups"])
def test_senseless_numbers_of_channels_are_refused(name):
    with pytest.raises(ValueError, match=f"Conv2d: {name} is a whole number of at least 1, got 0"):
        Conv2d(**({"in_channels": 2, "out_channels": 2, "kernel_size": 1} | {name: 0}))


def test_a_gradient_of_the_wrong_shape_or_type_is_refused():
    layer = Conv2d(2, 3, 3).train()
    for dy in (np.zeros((1, 3, 3, 2), np.float32), np.zeros((1, 3, 2, 2), np.float64)):
        layer.forward(np.zeros((1, 2, 4, 4), np.float32))
        with pytest.raises(ValueError, match=r"expects a dy like y, float32 \(1, 3, 2, 2\)"):
            layer.backward(dy)


def test_other_inputs_than_float_pictures_are_refused():
    layer = Conv2d(3, 4, 3)
    with pytest.raises(TypeError, match="got uint8"):
        layer.forward(np.zeros((1, 3, 5, 5), np.uint8))
    with pytest.raises(TypeError, match="holds w in float32 and got x in float64"):
        layer.forward(np.zeros((1, 3, 5, 5)))
    with pytest.raises(ValueError, match=r"shape \(N, C, H, W\)"):
        layer.forward(np.zeros((3, 5, 5), np.float32))


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize(
    ("N", "C", "F", "H", "W"), [(1, 5, 18, 7, 7), (1, 3, 60, 4, 12), (4, 17, 6, 5, 10), (1, 40, 19, 16, 3)]
)
def test_1x1_filters_see_their_own_pixel_and_no_other(N, C, F, H, W, count, monkeypatch):
    monkeypatch.setattr(choice, "SHORT", dict.fromkeys(choice.SHORT, 0))
    rng, before = np.random.default_rng(6), get_threads()
    x, w, b = rng.standard_normal((N, C, H, W)), rng.standard_normal((F, C, 1, 1)), rng.standard_normal(F)
    settings = (1, 1), (0, 0, 0, 0), (1, 1), 1
    y = reference.conv2d_forward(x, w, b, *settings)
    set_threads(count)
    try:
        np.testing.assert_allclose(conv.conv2d_forward(x, w, b, *settings), y, atol=1e-12)
        np.testing.assert_allclose(conv.conv2d_forward(x, w, b, *settings, clip=(-1, 2)), np.clip(y, -1, 2), atol=1e-12)
        x[0, 0, 1, 2] = np.nan
        spoilt = np.isnan(conv.conv2d_forward(x, w, b, *settings, clip=(-1, 2)))
    finally:
        set_threads(before)
    assert spoilt[0, :, 1, 2].all() and spoilt.sum() == F
