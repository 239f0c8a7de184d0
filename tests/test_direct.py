"""Direct convolution: the definition's sums for every window, stride, dilation and group, forward and backward."""

import math

import numpy as np
import pytest
from convolution_cases import (
    CHANNELS,
    Case,
    check,
    check_by_definition,
    everything,
    everything_by,
    gradients,
    is_channels_last,
    random_case,
    threads,
)

from minicnn.kernels import reference, textbook
from minicnn.kernels.convolution import choice, direct
from minicnn.kernels.convolution import dispatch as conv
from minicnn.kernels.convolution.choice import choose_algorithm
from minicnn.kernels.geometry import ConvGeometry


def forward(x, w, b, *how, **clip):
    return conv.conv2d_forward(x, w, b, *how, **clip, algorithm="direct")


@pytest.fixture
def set_limit(monkeypatch):
    """Set a limit of the work's division; plans made under another are forgotten, before and after."""

    def set_limit(**limits):
        for name, value in limits.items():
            monkeypatch.setattr(direct, name, value)
        direct._plan.cache_clear(), direct._divide.cache_clear()

    yield set_limit
    monkeypatch.undo()
    direct._plan.cache_clear(), direct._divide.cache_clear()


@pytest.mark.parametrize("seed", range(40))
def test_it_is_the_definition_for_any_window_stride_padding_dilation_and_group(seed):
    check_by_definition(random_case(seed), "direct")


@pytest.mark.parametrize("C", CHANNELS)
@pytest.mark.parametrize("F", CHANNELS)
def test_it_is_the_definition_for_any_number_of_channels_and_filters(C, F):
    case = random_case(C + F, C, F, groups=1, kernel=(2, 3))
    check(case, "direct")
    check(case.astype(np.float32), "direct", tolerance=1e-4)


@pytest.mark.parametrize("channels", [(1, 1), (2, 17), (16, 3), (17, 40), (15, 130)])
@pytest.mark.parametrize("groups", [2, 3, 7])
def test_groups_have_any_number_of_channels_and_filters_too(channels, groups):
    case = random_case(groups, *channels, groups, kernel=(3, 2))
    check(case, "direct")
    check(case.astype(np.float32), "direct", tolerance=1e-4)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "pads", "dilation"),
    [
        ((1, 1), (1, 1), (1, 1), (0, 0, 0, 0), (1, 1)),  # one pixel
        ((1, 1), (3, 3), (1, 1), (1, 1, 1, 1), (1, 1)),
        ((1, 1), (2, 2), (5, 4), (7, 9, 8, 6), (1, 1)),  # padding beyond the kernel: some windows see nothing else
        ((5, 4), (1, 1), (3, 4), (0, 0, 0, 0), (1, 1)),  # pixels that no window sees
        ((9, 8), (2, 2), (5, 3), (0, 0, 0, 0), (1, 1)),
        ((3, 4), (3, 3), (2, 1), (6, 6, 6, 6), (4, 3)),  # taps further apart than the picture is wide
        ((6, 7), (6, 7), (1, 1), (0, 0, 0, 0), (1, 1)),  # a window as large as the picture
        ((4, 31), (1, 9), (1, 2), (0, 0, 4, 4), (1, 1)),
        ((31, 4), (9, 1), (2, 1), (4, 4, 0, 0), (1, 1)),
    ],
)
@pytest.mark.parametrize(("C", "F", "groups"), [(3, 5, 1), (17, 16, 1), (2, 3, 2)])
@pytest.mark.parametrize("N", [1, 3])
def test_windows_and_pictures_of_odd_proportions(size, kernel, stride, pads, dilation, C, F, groups, N):
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((N, groups * C, *size)), rng.standard_normal((groups * F, C, *kernel))
    check(Case(x, w, rng.standard_normal(groups * F), (stride, pads, dilation, groups)), "direct")


LIMITS = {
    "a row at a time": {"NUMBERS_PER_PIECE": 1},
    "two rows or so": {"NUMBERS_PER_PIECE": 250},
    "whole pictures, one by one": {"PIXELS_PER_PIECE": 1},
    "the whole batch": {"NUMBERS_PER_PIECE": 1 << 30, "PIXELS_PER_PIECE": 1 << 30},
    "sums in parts, a number at a time": {"NUMBERS_PER_PART": 1},
    "sums in parts of some numbers": {"NUMBERS_PER_PART": 2 * 64},
    "sums in parts of some runs": {"NUMBERS_PER_PART": 12 * 64},
    "gradients of a pixel row at a time": {"PIXELS_PER_SUM": 1},
    "gradients of a whole picture": {"PIXELS_PER_SUM": 1 << 30},
    "one gradient, whose rows threads share": {"SMALL_GRADIENT": 0},
    "a gradient for each thread": {"SMALL_GRADIENT": 1 << 40},
}


@pytest.mark.parametrize("limits", LIMITS.values(), ids=LIMITS)
@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_results_do_not_depend_on_how_the_work_is_divided(limits, count, set_limit, monkeypatch):
    monkeypatch.setattr(choice, "SHORT", dict.fromkeys(choice.SHORT, 0))  # nothing is too short to share
    set_limit(**limits)
    with threads(count):
        for seed, (C, F, groups) in enumerate([(3, 5, 1), (5, 40, 1), (18, 70, 1), (3, 20, 2)]):
            for N in (1, 4):
                case = random_case(50 + seed, C, F, groups, kernel=(3, 2))
                check(case._replace(x=np.concatenate([case.x[:1]] * N)), "direct")


@pytest.mark.parametrize("N", [1, 5])
@pytest.mark.parametrize("shape", [(4, 100), (60, 4), (1, 1)])
def test_threads_share_filters_where_there_are_few_pixels_and_rows_where_there_are_many(N, shape, monkeypatch):
    monkeypatch.setattr(choice, "SHORT", dict.fromkeys(choice.SHORT, 0))
    rng = np.random.default_rng(0)
    case = Case(
        rng.standard_normal((N, 5, *shape)), rng.standard_normal((150, 5, 1, 1)), None, ((1, 1), (0, 0, 0, 0), (1, 1), 1)
    )
    for count in (1, 2, 3, 5):
        with threads(count):
            check(case, "direct")


def test_each_piece_of_the_work_is_made_once(set_limit):
    for numbers, pixels in ((1 << 16, 192), (100, 192), (1 << 16, 1), (1 << 16, 1 << 16)):
        set_limit(NUMBERS_PER_PIECE=numbers, PIXELS_PER_PIECE=pixels)
        for N, H, W, count_of_panels, some in (
            (1, 7, 9, 1, 2),
            (5, 7, 9, 3, 3),
            (16, 1, 1, 9, 4),
            (1, 1, 1, 9, 4),
            (3, 30, 2, 2, 8),
        ):
            phase = direct.forward_phase(ConvGeometry((1, 1), (1, 1), (0, 0, 0, 0), (1, 1)), (H, W))
            made = np.zeros((N, H, count_of_panels), int)
            for n, samples, row, rows, of_filters in direct._divide(phase, N, W * 4, count_of_panels, some):
                made[n : n + samples, row : row + rows, of_filters] += 1
            assert (made == 1).all()


@pytest.mark.parametrize(("count", "length"), [(1, 1), (1, 1000), (7, 3), (3, 7), (9, 512)])
@pytest.mark.parametrize("numbers", [1, 16 * 5, 16 * 100, 1 << 20])
def test_the_parts_of_a_sum_are_all_of_it_in_order(count, length, numbers, set_limit):
    set_limit(NUMBERS_PER_PART=numbers)
    terms = [
        (run, k)
        for first, end, begin, stop in direct._parts(count, length, 16)
        for run in range(first, end)
        for k in range(begin, stop)
    ]
    assert terms == [(run, k) for run in range(count) for k in range(length)]
    assert direct._parts(count, length, 16)[-1, 3] == length  # from which the loops know how long runs are


def test_what_an_earlier_call_left_in_the_workspaces_does_not_show():
    rng = np.random.default_rng(1)
    w = rng.standard_normal((8, 2, 3, 3))
    how = (1, 1), (1, 1, 1, 1), (1, 1), 1
    small = Case(rng.standard_normal((1, 2, 7, 5)), w, None, how)
    everything(Case(np.full((1, 2, 9, 11), np.nan), w, None, how), "direct")
    check(small, "direct")


def test_one_wrong_pixel_spoils_the_windows_that_see_it_and_no_others():
    x, w = np.zeros((1, 1, 6, 40)), np.ones((3, 1, 2, 2))
    x[0, 0, 2, 3] = np.nan
    how = (1, 1), (0, 0, 0, 0), (1, 1), 1
    y = forward(x, w, None, *how)
    spoiled = np.zeros(y.shape, bool)
    spoiled[:, :, 1:3, 2:4] = True
    np.testing.assert_array_equal(np.isnan(y), spoiled)
    clamped = forward(x, w, np.ones(3), *how, clip=(0, 0.5))
    np.testing.assert_array_equal(np.isnan(clamped), spoiled)
    assert (clamped[~spoiled] == 0.5).all()


@pytest.mark.parametrize(("C", "F"), [(1, 3), (17, 20), (3, 70)])
@pytest.mark.parametrize("where", [(0, 0), (5, 8), (2, 3)])
def test_a_wrong_pixel_of_dy_spoils_what_was_under_its_window_and_its_own_filter(C, F, where):
    rng = np.random.default_rng(0)
    x, w, how = rng.standard_normal((2, C, 6, 9)), rng.standard_normal((F, C, 3, 3)), ((1, 1), (1, 1, 1, 1), (1, 1), 1)
    dy = rng.standard_normal((2, F, 6, 9))
    dy[1, F - 1, where[0], where[1]] = np.nan
    dx, dw = gradients(dy, x, w, how, "direct")
    under = np.zeros((6, 9), bool)
    under[max(where[0] - 1, 0) : where[0] + 2, max(where[1] - 1, 0) : where[1] + 2] = True
    np.testing.assert_array_equal(np.isnan(dx[1]), np.broadcast_to(under, (C, 6, 9)))
    assert np.isfinite(dx[0]).all() and np.isfinite(dw[:-1]).all()
    assert np.isnan(dw[-1, :, 1, 1]).all()


@pytest.mark.parametrize("case", [(3, 20, 7, 2), (40, 17, 3, 1), (5, 130, 1, 1)])
@pytest.mark.parametrize("N", [1, 3])
def test_the_number_of_threads_changes_no_bit_of_maps_and_dw_repeats(N, case, monkeypatch):
    monkeypatch.setattr(choice, "SHORT", dict.fromkeys(choice.SHORT, 0))
    (C, F, kernel, stride), rng, results = case, np.random.default_rng(2), []
    x, w = rng.standard_normal((N, C, 30, 30), np.float32), rng.standard_normal((F, C, kernel, kernel), np.float32)
    case = Case(x, w, None, ((stride, stride), (kernel // 2,) * 4, (1, 1), 1))
    for count in (1, 2, 3, 8):
        with threads(count):
            y, dx, dw, _ = everything(case, "direct")
            np.testing.assert_array_equal(everything(case, "direct")[2], dw)
            results.append((y, dx))
    for other in results[1:]:
        for a, b in zip(other, results[0], strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("numbers", [1, 300, 1 << 15])
@pytest.mark.parametrize(("F", "groups"), [(5, 1), (17, 1), (3, 2), (70, 1)])
def test_a_range_of_channels_is_filled_and_nothing_beside_it(F, groups, numbers, set_limit):
    set_limit(NUMBERS_PER_PART=numbers)
    x, w, b, how = case = random_case(7, 3, F, groups, kernel=(3, 3))
    geometry, F = ConvGeometry(w.shape[2:], *how[:3]), len(w)
    y = everything_by(textbook, case)[0]
    maps = np.full((*y.shape[:1], *y.shape[2:], F + 9), np.nan)
    run = direct.prepare(x.shape, w, b, geometry, groups, clip=(-1, 1))
    run(np.ascontiguousarray(x.transpose(0, 2, 3, 1)), maps, 4)
    np.testing.assert_allclose(maps[..., 4 : 4 + F].transpose(0, 3, 1, 2), np.clip(y, -1, 1), atol=1e-12)
    assert np.isnan(maps[..., :4]).all() and np.isnan(maps[..., 4 + F :]).all()


def test_packed_filters_are_made_once_and_used_for_pictures_of_any_size():
    _, w, b, how = random_case(8, 3, 20, 1, kernel=(3, 3))
    packed, kept = {}, []
    for size in (9, 12):
        x = np.random.default_rng(0).standard_normal((1, 3, size, size))
        y = reference.conv2d_forward(x, w, b, *how)
        for _ in range(2):
            maps = np.zeros((1, *y.shape[2:], 20))
            run = direct.prepare(
                x.shape, w, b, ConvGeometry((3, 3), *how[:3]), 1, clip=(-math.inf, math.inf), packed_filters=packed
            )
            run(np.ascontiguousarray(x.transpose(0, 2, 3, 1)), maps, 0)
            kept.append(packed["direct"])
            np.testing.assert_allclose(maps.transpose(0, 3, 1, 2), y, atol=1e-12)
    assert all(filters is kept[0] for filters in kept) and list(packed) == ["direct"]


def test_the_gradients_to_a_batch_without_samples_are_empty_or_zero():
    x, w, _, how = random_case(9, 3, 4, 1)
    y = forward(x[:0], w, None, *how)
    dx, dw = gradients(y, x[:0], w, how, "direct")
    assert y.shape[0] == 0 and dx.shape == x[:0].shape and dw.shape == w.shape and not dw.any()
    assert is_channels_last(y) and is_channels_last(dx)


def test_it_is_chosen_where_no_other_is_made_for_it():
    def choice(step="forward", C=64, F=64, size=32, N=8, kernel=3, stride=1, groups=1, dtype=np.float32):
        geometry = ConvGeometry((kernel, kernel), (stride, stride), (1, 1, 1, 1), (1, 1))
        y = (N, F, *geometry.count(size, size))
        return choose_algorithm(step, (N, C, size, size), y, geometry, groups, np.dtype(dtype))

    for step in ("forward", "inference", "dx", "dw"):
        for other in ({"C": 3}, {"stride": 2}, {"kernel": 1}, {"kernel": 5}, {"groups": 4}, {"dtype": np.float64}):
            assert choice(step, **other) == "direct", other
    assert choice("dw", size=4, N=1) == choice("forward", size=4, N=1) == "direct"  # few tiles
