"""Guesses of the gradient check from the numbers alone, and from outputs measured one by one: what each says, and when not."""

import numpy as np
import pytest

from minicnn.gradcheck import check_function, numeric, patterns, places, single_outputs
from minicnn.gradcheck.evidence import Evidence
from minicnn.gradcheck.numeric import CentralDifference, Measurement, extrapolated
from minicnn.gradcheck.substitutions import as_if_another_array_were_different


def some(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def compared(given, right, values=None, N=5, **more):
    """What is known when backward gave one array of numbers and the other was measured."""
    return Evidence(given, np.asarray(right, float), np.ones(np.shape(right)) if values is None else values, N, **more)


def guess(forward, backward, arrays, name="x"):
    """The guess about the gradient of one array, of functions of arrays that the check changes in place."""
    before = {key: array.copy() for key, array in arrays.items()}
    report = check_function(lambda **_: forward(), backward, arrays)
    assert not report.ok
    assert all(np.array_equal(before[key], array) for key, array in arrays.items()), "the check puts back what it changes"
    return next(check.guess for check in report.arrays if check.name == name)


# ---- digits


@pytest.mark.parametrize("size", [100.0, 0.01])
def test_float16_is_named_where_it_rounds_and_not_where_it_is_wrong_besides(size):
    right = size * some(20)
    right[3] = 0
    assert "rounded to float16" in patterns.rounded(compared(right.astype(np.float16), right))
    wrong = right.astype(np.float16)
    wrong[5] += 0.05 * size
    assert patterns.rounded(compared(wrong, right)) is None


def test_whole_numbers_are_named_if_each_is_less_than_one_off_and_there_are_four():
    right = np.array([1.3, -2.7, 0.99995, 5.5])
    whole = right.astype(int)
    assert "whole numbers" in patterns.rounded(compared(whole, right))
    assert patterns.rounded(compared(whole[:3], right[:3])) is None
    assert patterns.rounded(compared(whole + [0, 0, 0, -1], right)) is None
    assert patterns.rounded(compared(right + 0.1, right)) is None


# ---- factors

FACTOR = "a constant factor: it is "
SQUARE = "2, the 2 that comes from differentiating a square (or should not be)"
OR_BATCH = "2, which is the batch size N here, or the 2 that comes from differentiating a square (or should not be)"


@pytest.mark.parametrize("size", [1e-200, 1.0, 1e200])
@pytest.mark.parametrize(
    "N, factor, says",
    [
        (5, -1, "the sign is flipped"),
        (5, 2, FACTOR + "multiplied by " + SQUARE),
        (5, -2, FACTOR + "multiplied by " + SQUARE + ", and the sign is flipped"),
        (5, 0.5, FACTOR + "divided by " + SQUARE),
        (5, 5, FACTOR + "multiplied by 5, the batch size N (or should not be)"),
        (2, 2, FACTOR + "multiplied by " + OR_BATCH),
        (2, 0.5, FACTOR + "divided by " + OR_BATCH),
        (2, 4, FACTOR + "4 times what it should be"),
        (5, 0.7, FACTOR + "0.7 times what it should be"),
        (5, -0.7, FACTOR + "0.7 times what it should be, and the sign is flipped"),
        (1, 1.00005, FACTOR + "1.00005 times what it should be"),
    ],
)
def test_a_constant_factor_is_named_at_any_size(N, factor, says, size):
    right = size * some(7)
    assert patterns.constant_factor(compared(factor * right, right, N=N)) == says


@pytest.mark.parametrize(
    "x, y, factor, says",
    [
        ((3, 2, 8, 9), (3, 2, 4, 9), 2, SQUARE),
        ((3, 2, 9, 8), (3, 2, 3, 4), 6, "6, the pixels of x for each of y (or should not be)"),
        ((3, 2, 9, 8), (3, 2, 3, 4), 36, "36, the values of a channel of y (N*OH*OW) (or should not be)"),
        ((3, 2, 5, 7), (3, 2, 5, 7), 35, "35, the size of a plane of y (OH*OW) (or should not be)"),
        ((3, 5, 5, 7), (3, 2, 5, 7), 105, "105, the values of a channel of y (N*OH*OW) (or should not be)"),
    ],
)
def test_a_factor_is_named_by_the_pictures_that_come_out(x, y, factor, says):
    right, pictures = some(6), some(*x)
    known = {"N": 3, "arrays": {"x": pictures}, "dy": some(*y), "y": some(*y)}
    assert patterns.constant_factor(compared(factor * right, right, **known)) == FACTOR + "multiplied by " + says
    assert patterns.constant_factor(compared(right / factor, right, **known)) == FACTOR + "divided by " + says


def test_a_factor_has_nothing_to_do_with_pixels_where_x_has_none():
    right = some(6)
    known = {"N": 3, "dy": some(3, 1, 2, 2), "y": some(3, 1, 2, 2)}
    says = FACTOR + "10 times what it should be"
    assert patterns.constant_factor(compared(10 * right, right, arrays={"x": some(3, 40)}, **known)) == says
    known = {"N": 3, "arrays": {"x": some(3, 4, 5, 2)}, "dy": some(3, 4), "y": some(3, 4)}
    assert patterns.constant_factor(compared(10 * right, right, **known)) == says


def test_a_smaller_picture_than_the_output_is_no_factor_below_one():
    right = some(6)
    known = {"N": 3, "arrays": {"x": some(3, 1, 2, 2)}, "dy": some(3, 1, 4, 5), "y": some(3, 1, 4, 5)}
    assert patterns.constant_factor(compared(5 * right, right, **known)) == FACTOR + "5 times what it should be"


def test_two_elements_can_have_a_common_factor_and_one_cannot():
    assert patterns.constant_factor(compared(np.array([3.0, 6.0]), [1, 2])) == FACTOR + "3 times what it should be"
    assert patterns.constant_factor(compared(np.array([3.0]), [1])) is None
    assert patterns.constant_factor(compared(np.array([3.0, 6.0]), [0, 0])) is None


def test_a_gradient_that_is_right_to_five_digits_has_no_factor_and_no_other_order():
    right = some(4, 3)
    nearly = compared(right * (1 + 2e-5 * some(4, 3, seed=1)), right)
    assert patterns.constant_factor(nearly) is None
    assert patterns.other_order(nearly) is None
    assert patterns.factor_by_group(nearly) is None


# ---- places


@pytest.mark.parametrize(
    "arrange, says",
    [
        (lambda g: g.swapaxes(2, 3), "the last two axes are swapped (transposed)"),
        (lambda g: g[..., ::-1, ::-1], "the kernel is rotated by 180 degrees (flipped along its last two axes)"),
        (lambda g: g[..., ::-1], "the last axis runs backwards (flipped left to right)"),
        (lambda g: g[..., ::-1, :], "the last axis but one runs backwards (flipped top to bottom)"),
        (lambda g: g.swapaxes(0, 1), "the first two axes are swapped (transposed)"),
        (
            lambda g: g.swapaxes(0, 1)[..., ::-1, ::-1],
            "the first two axes are swapped (transposed), and the kernel is rotated by 180 degrees",
        ),
    ],
)
def test_a_kernel_that_is_turned_or_transposed_is_named_with_its_axes(arrange, says):
    right = some(4, 4, 3, 3)
    assert patterns.rearranged(compared(arrange(right), right)) == f"{says}; the values themselves are right"


def test_a_square_matrix_can_be_transposed_and_a_vector_cannot():
    right = some(4, 4)
    assert "transposed" in patterns.rearranged(compared(right.T, right))
    assert patterns.rearranged(compared(right[0, ::-1], right[0])) is None


def moved(right, rows, columns):
    """All values some rows down and columns to the right, and noise where none come from."""
    H, W = right.shape[2:]
    given = some(*right.shape, seed=9)
    given[:, :, max(rows, 0) : H + min(rows, 0), max(columns, 0) : W + min(columns, 0)] = right[
        :, :, max(-rows, 0) : H + min(-rows, 0), max(-columns, 0) : W + min(-columns, 0)
    ]
    return given


@pytest.mark.parametrize("rows, columns", [(1, 0), (0, 1), (-1, 0), (0, -1), (2, -3), (4, 4), (-4, 1), (1, -4)])
def test_values_up_to_four_pixels_away_are_found_on_every_side(rows, columns):
    right = some(2, 2, 7, 8)
    says = f"stand {abs(rows)} {'down' if rows > 0 else 'up'} and {abs(columns)} {'right' if columns > 0 else 'left'} of their"
    assert says in patterns.shifted(compared(moved(right, rows, columns), right))


@pytest.mark.parametrize("rows, columns", [(5, 0), (0, -5)])
def test_values_further_away_are_no_padding(rows, columns):
    right = some(2, 2, 8, 8)
    assert patterns.shifted(compared(moved(right, rows, columns), right)) is None


def test_of_several_shifts_that_fit_the_smallest_is_named():
    right = np.tile(some(2, 2, 3, 3), (1, 1, 3, 3))
    assert "stand 1 down and 1 right" in patterns.shifted(compared(np.roll(right, (1, 1), (2, 3)), right))


@pytest.mark.parametrize("overlap, named", [(4, True), (3, False)])
def test_a_shift_is_seen_in_four_elements_at_least(overlap, named):
    right = some(1, 1, 1, overlap + 1)
    assert bool(patterns.shifted(compared(moved(right, 0, 1), right))) == named
    wide = np.zeros((1, 1, 4, 4))
    wide[0, 0, 0, :overlap] = right[0, 0, 0, :overlap]
    assert bool(patterns.shifted(compared(np.roll(wide, 1, axis=2), wide))) == named


def test_a_shift_needs_pictures():
    right = some(2, 3, 6)
    assert patterns.shifted(compared(np.roll(right, 1, axis=2), right)) is None


def test_the_right_numbers_in_another_order_are_named():
    right = np.arange(1.0, 7)
    given = right[[2, 0, 1, 4, 5, 3]]
    assert patterns.other_order(compared(given, right)).endswith("axes or slices are in an order that is not forward's")
    assert "did not choose" in patterns.other_order(compared(given - 1, right - 1))
    assert patterns.other_order(compared(given[:3], right[:3])) is None
    assert patterns.other_order(compared(given + 1, right)) is None
    assert patterns.other_order(compared(given, [1, 2, 3, 4, 5, np.nan])) is None, "the whole is not known"


def test_what_has_no_influence_is_known_from_noise():
    given = np.array([0.0, 3.0, -1.0])
    assert "zero everywhere" in patterns.should_be_zero(compared(given, [0, 1e-9, 0]))
    assert patterns.should_be_zero(compared(given, [0, 1e-6, 0])) is None
    assert "zero everywhere" in patterns.should_be_zero(compared(100 * given, [0, 1e-7, 0]))
    assert patterns.should_be_zero(compared(given / 100, [0, 1e-9, 0])) is None


# ---- terms


@pytest.mark.parametrize("axes", [(0, 1, 2), (0, 1), (0, 2), (1, 2), (0,), (1,), (2,)])
def test_a_missing_term_is_named_by_the_axes_over_which_it_is_constant(axes):
    right = some(3, 3, 4)
    term = some(3, 3, 4, seed=1).mean(axis=axes, keepdims=True)
    over = ", ".join(map(str, axes))
    assert f"that is constant over axes {over}: of a sum" in patterns.missing_constant(compared(right - term, right))
    right[0, 1, 2] = right[1, :, 3] = np.nan
    assert f"that is constant over axes {over}: of a sum" in patterns.missing_constant(compared(right - term, right))


def test_one_unmeasured_element_beside_another_does_not_hide_a_constant():
    right = np.array([[1.0, np.nan], [2, 3], [4, 6], [7, 8]])
    right = np.hstack([right, right])[:, :3]
    term = np.array([[1.0], [2], [3], [5]])
    assert "over axes 1" in patterns.missing_constant(compared(np.nan_to_num(right) - term, right))
    right = np.array([[1.0, np.nan, np.nan], [2, 3, 5]])
    assert "over axes 1" in patterns.missing_constant(compared(np.nan_to_num(right) - [[1.0], [3]], right))


def test_a_constant_is_seen_in_three_elements_and_in_groups_of_two():
    right = np.array([1.0, 2, 4])
    assert "over axes 0" in patterns.missing_constant(compared(right - 1, right))
    assert patterns.missing_constant(compared(right[:2] - 1, right[:2])) is None
    right = some(4, 2)
    term = some(4, 1, seed=1)
    assert "over axes 1" in patterns.missing_constant(compared(right - term, right))
    assert patterns.missing_constant(compared(right[:, :1] - term, right[:, :1])) is None, "each element is its own constant"


def test_a_missing_term_is_named_as_a_multiple_of_the_array():
    right, w = some(4), some(4, seed=1)
    says = "a term of 0.3 times the array itself is missing"
    assert says in patterns.missing_own_value(compared(right - 0.3 * w, right, w))
    assert says in patterns.missing_own_value(compared(right - 0.3 * w * [1, 1, 1, 0], right, w * [1, 1, 1, 0]))
    assert patterns.missing_own_value(compared((right - 0.3 * w)[:3], right[:3], w[:3])) is None
    assert patterns.missing_own_value(compared(right - 0.3, right, np.zeros(4))) is None
    right, w = some(5), some(5, seed=1)
    given = right - 0.3 * w
    right[2] = np.nan
    assert says in patterns.missing_own_value(compared(given, right, w))


@pytest.mark.parametrize("shape, axis, says", [
    ((4, 3, 2), 0, "for each index of axis 0"),
    ((4, 3, 2), 1, "for each channel (gamma"),
    ((4, 2), 0, "for each index of axis 0"),
    ((2, 4), 1, "for each channel (gamma"),
])  # fmt: skip
def test_a_factor_of_each_group_is_named_by_its_axis(shape, axis, says):
    right = some(*shape)
    factors = np.array([2.0, 3, 0.4, -5])[: shape[axis]].reshape([-1 if i == axis else 1 for i in range(len(shape))])
    assert says in patterns.factor_by_group(compared(right * factors, right))
    given = right * factors
    right.flat[-1] = np.nan
    if len(shape) == 3:
        assert says in patterns.factor_by_group(compared(given, right)), "one element was not measured"


def test_any_wrong_number_is_a_factor_by_itself_and_says_nothing():
    right = some(4, 1)
    assert patterns.factor_by_group(compared(right * some(4, 1, seed=1), right)) is None
    right = np.diag([1.0, 2, 3, 4])
    assert patterns.factor_by_group(compared(right * [2, 5, 3, 7], right)) is None
    assert patterns.factor_by_group(compared(2 * right[0], right[0])) is None
    right = np.array([[1.0, 0, 0], [2, 3, 4]])
    assert patterns.factor_by_group(compared(right * [[5], [1]], right)) is None


def test_right_groups_may_have_one_element_each():
    right = np.array([[1.0, 0, 0], [0, 2, 0], [3, 4, 0]])
    assert "axis 0" in patterns.factor_by_group(compared(right * [[1], [1], [5]], right))


# ---- where it is wrong


def test_a_number_that_is_not_added_is_named_with_its_places():
    right = some(6)
    given = right - [0, 0, 0.25, 0, 0.25, 0.25]
    says = "it is right at 3 elements and -0.25 off at the other 3: a number that belongs to some"
    assert places.off_by_one_number(compared(given, right)).startswith(says)
    assert places.off_by_one_number(compared(right - [0, 0, 0, 0, 0.25, 0.25], right)) is None
    assert places.off_by_one_number(compared(right - [0, 0, 0.5, 0, 0.25, 0.25], right)) is None
    assert places.off_by_one_number(compared(right - [0, 0, 2e-3, 0, 1e-3, 1e-3], right)) is None
    assert places.off_by_one_number(compared(right - 0.25, right)) is None, "no element is right"


def test_the_same_factor_at_some_elements_is_named_with_what_sets_them_apart():
    right = some(4, 4)
    scattered = np.zeros((4, 4), bool)
    scattered[[0, 1, 3], [1, 0, 2]] = True
    x = some(4, 4, seed=1)

    def says(wrong, factor, given=right, x=x):
        return places.same_factor_where_wrong(compared(np.where(wrong, factor * right, given), right, x))

    assert says(scattered, 3) == "at 3 elements it is 3 times what it should be: it is right at 13 elements"
    assert says(scattered, -1).startswith("at 3 elements it is -1 times (the sign is wrong) what it should be: ")
    assert says(scattered, 1e-5).startswith("at 3 elements it is 1e-05 times")
    assert "wrong only where axis 0 is 2: a" not in says(x > 0, 3)
    assert f"is above {x[x <= 0].max():.4g}" in says(x > 0, 3)
    row = np.zeros((4, 4), bool)
    row[2, :3] = True
    assert "it is wrong only where axis 0 is 2 and axis 1 is 0, 1, 2" in says(row, 3)
    assert says(scattered, 0) is None
    right[2, 3] = 0
    assert says(scattered, 3).startswith("at 3 elements it is 3 times"), "one that is right may be zero"
    nothing_right = compared(3 * right * scattered, right * scattered, x)
    assert places.same_factor_where_wrong(nothing_right) is None, "it is zero where it is right"
    assert says(scattered, 3 * np.arange(16).reshape(4, 4)) is None
    scattered[0, 1] = False
    assert says(scattered, 3) is None, "two are too few"


def test_a_factor_times_zero_is_none():
    right = some(8)
    right[:3] = 0
    given = right.copy()
    given[:3] = [1, 2, 3]
    assert places.same_factor_where_wrong(compared(given, right)) is None


@pytest.mark.parametrize("count, named", [(1, False), (2, True)])
def test_masks_are_named_by_two_elements_that_they_get_wrong(count, named):
    right, mask = some(8), np.arange(8) >= count
    for given, numbers, says in (
        (right * mask, right, "a mask too many, or elements never written"),
        (right, right * mask, "the mask of the forward pass is missing"),
    ):
        told = places.wrong_where_zero(compared(given, numbers))
        assert (says in told) if named else told is None
    assert "wrong way round" in places.wrong_where_zero(compared(right * ~(right > 0), right * (right > 0)))
    assert places.wrong_where_zero(compared(right + ~mask, right)) is None
    right[0] = 0
    assert count < 2 or places.wrong_where_zero(compared(right + ~mask, right)) is None


@pytest.mark.parametrize("size", [1e-5, 1.0, 1e5])
def test_noise_is_not_wrong_whatever_the_size_of_the_gradient(size):
    right = size * some(8)
    right[0] = 0
    noise = 1e-9 * size * some(8, seed=1)
    assert "a mask too many" in places.wrong_where_zero(compared((right + noise) * (np.arange(8) < 6), right))
    assert places.wrong_where_zero(compared(right + noise, right)) is None


@pytest.mark.parametrize("sign, side", [(1, "above"), (-1, "below")])
def test_a_branch_of_a_function_is_named_by_its_threshold(sign, side):
    x = sign * np.array([-6.0, -5, -4, -3, -2, -1, 0.5, 2.5, 3.5, 4.5, 5.5, 6.5])
    right = some(12)

    def says(wrong, x=x, right=right):
        return places.wrong_beyond_a_threshold(compared(right + wrong, right, x))

    last = np.arange(12) >= 8
    assert (
        says(last) == f"it is wrong only where the element itself is {side} {sign * 2.5:.4g}: another branch of the function?"
    )
    outside = np.abs(x) > 2.5
    assert says(outside) == "it is wrong only where the element's absolute value is above 2.5: another branch of the function?"
    assert says(~outside) == "it is wrong only where the element's absolute value is below 3: another branch of the function?"
    assert says(last, right=right * (np.arange(12) > 0)) == says(last)
    assert says(np.arange(12) >= 9) is None, "three are too few"
    assert says(np.arange(12) >= 3) is None, "three are too few"
    assert says(last[1:], x[1:], right[1:]) is None, "eleven are too few"
    assert says(last, right=right * last) is None, "it is zero where it is right"
    assert says(np.arange(12) % 2 == 0) is None


SLICE = "a loop leaves out a slice, or does it twice (a dropped tap of the kernel?)"


@pytest.mark.parametrize("index, axis", [((slice(None), slice(None), 1), "axis 2 is 1"), ((..., 1), "axis 3 is 1")])
def test_wrong_rows_and_columns_of_a_picture_are_taps(index, axis):
    right = some(2, 3, 4, 4)
    given = right.copy()
    given[index] = 0
    assert places.wrong_slice(compared(given, right)) == f"it is wrong only where {axis}, and zero there: {SLICE}"
    given[index] = some(2, 3, 4, seed=1) * (np.arange(4) > 0)
    assert places.wrong_slice(compared(given, right)) == f"it is wrong only where {axis}: {SLICE}"


@pytest.mark.parametrize("shape, index, axis", [((3, 4, 5), (..., 1), "axis 2 is 1"), ((2, 3, 4, 4), (0,), "axis 0 is 0")])
def test_other_wrong_slices_are_named_by_their_axis(shape, index, axis):
    right = some(*shape)
    given = right.copy()
    given[index] = 0
    says = f"it is wrong only where {axis}, and zero there: a loop leaves out a slice, or it was never written"
    assert places.wrong_slice(compared(given, right)) == says
    given[index] = np.where(np.arange(given[index].size).reshape(given[index].shape), 7, 0)
    says = f"it is wrong only where {axis}, and right elsewhere: look at what is done differently there"
    assert places.wrong_slice(compared(given, right)) == says


def test_a_slice_is_wrong_only_if_two_elements_outside_are_right():
    right = some(4)
    assert "axis 0 is 0, 1" in places.wrong_slice(compared(right + [1, 1, 0, 0], right))
    assert places.wrong_slice(compared(right + [1, 1, 1, 0], right)) is None
    assert places.wrong_slice(compared(right + 1, right)) is None
    assert places.wrong_slice(compared(right, right)) is None
    assert places.wrong_slice(compared(np.array(1.0), 2.0)) is None


def test_nine_of_ten_are_enough():
    right = some(2, 5, 3)
    given = right.copy()
    given[:, :, 0] += 1
    given[0, 2, 0] = right[0, 2, 0]
    assert "axis 2 is 0" in places.wrong_slice(compared(given, right))


@pytest.mark.parametrize("at", [(1, 3), (4, 3), (2, 1), (2, 6)])
def test_the_border_is_as_wide_as_the_innermost_wrong_element_says(at):
    right = some(1, 1, 6, 8)
    given = right.copy()
    given[(0, 0, *at)] += 1
    assert "wrong within 2 pixel(s) of the border" in places.wrong_border(compared(given, right))


@pytest.mark.parametrize("shape, at, says", [
    ((5, 8), (0, 4), "within 1 pixel(s)"), ((5, 8), (4, 4), "within 1 pixel(s)"), ((5, 8), (3, 4), "within 2 pixel(s)"),
    ((6, 6), (2, 3), None), ((5, 8), (2, 4), None), ((8, 5), (4, 2), None),
])  # fmt: skip
def test_what_is_wrong_in_the_middle_is_not_the_border(shape, at, says):
    right = some(1, 1, *shape)
    given = right.copy()
    given[(0, 0, *at)] += 1
    told = places.wrong_border(compared(given, right))
    assert told is None if says is None else says in told


def test_a_border_needs_pictures_and_errors_that_are_no_noise():
    right = some(2, 6, 6)
    assert places.wrong_border(compared(right + (np.arange(6) < 1), right)) is None
    right = np.ones((1, 1, 6, 6))
    right[0, 0, 0, 0] = 1e-3
    assert places.wrong_border(compared(right * (1 + 1e-7), right)) is None


# ---- single outputs


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("times, says", [
    ((1, 0, 1), "what comes from index 1 is left out"),
    ((2, 1, 1), "what comes from index 0 is counted twice"),
    ((0, 2, 1), "what comes from index 0 is left out, and what comes from index 1 is counted twice"),
    ((1, 3, 1), None),
])  # fmt: skip
def test_outputs_that_are_left_out_or_counted_twice_are_named(axis, times, says):
    shares, dy = some(12, 3, 3), some(3, 3, seed=1)
    weights = np.array(times).reshape(-1, 1) if axis == 0 else np.array(times)
    given, right = ((shares * dy * w).sum(axis=(1, 2)) for w in (weights, np.ones((3, 1))))
    e = compared(given, right, dy=dy, y=some(3, 3), shares=shares, places=(np.arange(12),))
    assert single_outputs.outputs_left_out(e) == (says and f"of the output's axis {axis}, {says}")


def test_a_vector_of_outputs_can_lack_one_and_a_dead_one_is_not_blamed():
    shares, dy = some(12, 3), some(3, seed=1)
    known = {"dy": dy, "y": some(3), "places": (np.arange(12),)}
    right, given = shares @ dy, shares @ (dy * [1, 1, 0])
    assert "axis 0, what comes from index 2 is left out" in single_outputs.outputs_left_out(
        compared(given, right, shares=shares, **known)
    )
    shares[:, 1] = 0
    right, given = shares @ dy, shares @ (dy * [1, 1, 0])
    assert single_outputs.outputs_left_out(compared(given, right, shares=shares, **known)) is None
    assert single_outputs.outputs_left_out(compared(given, right)) is None


@pytest.mark.parametrize("wrong, over", [((True, False), "axis 0"), ((False, True), "axis 1"), ((True, True), "axes 0, 1")])
def test_filters_that_are_not_transposed_are_named_by_their_axes(wrong, over):
    x, a, b = some(2, 4), some(2, 2, seed=1), some(4, 4, seed=2)

    def backward(dy):
        return {"x": (a if wrong[0] else a.T) @ dy @ (b if wrong[1] else b.T)}

    assert guess(lambda: a @ x @ b + 0.1, backward, {"x": x}).startswith(f"along {over}, dy[j] goes to x[i] as x[j] goes to")


def degree(k, given, right=None, y=1.0):
    """A gradient for y of degree k in the array, and another: by Euler, sum(right * values) = k y."""
    values = np.array([1.0, 2, 0, 0])
    right = np.array([y * k, 0, 1, 2]) if right is None else right
    return single_outputs.fewer_factors(compared(np.array(given), right, values, dy=np.ones(()), y=np.array(y)))


def test_factors_that_are_not_differentiated_are_counted():
    assert "a factor of the output 2 times, and only 1 of them is" in degree(2, [1.0, 0, 5, 5])
    assert "a factor of the output 3 times, and only 2 of them are" in degree(3, [2.0, 0, 5, 5])
    assert degree(2, [2.0, 0, 5, 5]) is None, "the sum is right: it is wrong for another reason"
    assert degree(2, [1.3, 0, 5, 5]) is None and degree(2, [0.2, 0, 5, 5]) is None and degree(2.3, [1.0, 0, 5, 5]) is None
    assert degree(1, [0.0, 0, 5, 5]) is None
    assert "only 1" in degree(2, [3.0, 0, 5, 5], y=3.0)
    assert degree(2, [1.0, 0, 5, 5], right=np.array([2.0, 0, 1, np.nan])) is None
    assert degree(2, [1.0, 0, 5, 5], y=0.0) is None


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3])
def test_no_factors_are_counted_where_the_outputs_cancel(size):
    values, dy = np.array([1.0, 2, 0]), size * np.ones(2)
    e = compared(size * np.array([1e-5, 0, 3]), size * np.array([2e-5, 0, 0]), values, dy=dy, y=np.array([1.0, -1 + 1e-5]))
    assert single_outputs.fewer_factors(e) is None


def recurrent(mixing=0.0, steps=2, change=lambda dw, dy: dw, extra=False):
    """h = tanh(h w + x) twice; samples can be mixed by their mean. Returns what check_function takes."""
    x, w = 0.5 * some(2, 4), 0.5 * some(4, 4, seed=3)
    flag = np.arange(2.0).reshape(2, 1)

    def states():
        inside = [np.tanh(x + mixing * (x - x.mean(axis=0)))]
        for _ in range(steps):
            inside.append(np.tanh(inside[-1] @ w))
        return inside

    def forward():
        y = states()[-1]
        return np.hstack([x[:, :1], y, flag]) if extra else y

    def backward(dy):
        if extra:
            dy = dy[:, 1:-1]
        h = states()
        d = dy * (1 - h[-1] ** 2)
        return {"x": None, "w": change(h[-2].T @ d, dy)}

    return forward, backward, {"x": x, "w": w}


def test_uses_of_a_matrix_are_counted_for_an_output_that_depends_on_it():
    for extra in (False, True):
        assert "in 2 places or more, and 1 of them can" in guess(*recurrent(extra=extra), "w")
    assert "in 3 places or more, and 1 of them can" in guess(*recurrent(steps=3), "w")


def test_uses_are_not_counted_where_two_samples_mix():
    for mixing in (1e-3, 1.0):
        x, w, v = some(2, 4), some(4, 4, seed=3), some(4, 3, seed=4)

        def forward(x=x, w=w, v=v, mixing=mixing):
            y = np.tanh(x @ w) @ v
            return y + mixing * y[::-1]

        def backward(dy, x=x, w=w, v=v):  # without what comes from the other sample
            return {"x": None, "w": x.T @ (dy @ v.T * (1 - np.tanh(x @ w) ** 2))}

        assert "places" not in guess(forward, backward, {"x": x, "w": w}, "w")


def test_a_matrix_whose_uses_are_all_there_has_another_fault():
    def change(dw, dy):
        return dw + 0.3 * np.outer(np.arange(4.0), np.ones(4)) ** 2 * dy.sum()

    assert "places or more" not in guess(*recurrent(steps=2, change=change), "w")
    assert "places or more" not in guess(*recurrent(steps=1, change=lambda dw, dy: dw * some(4, 4) ** 2), "w")


@pytest.mark.parametrize("part", [1.0, np.eye(4) > 0])
def test_a_backward_that_divides_by_dy_does_not_stop_the_check(part):
    def change(dw, dy):
        with np.errstate(all="ignore"):
            return dw + np.where(part, 0 * (1 / dy).sum(), 0)

    assert "places or more" not in guess(*recurrent(change=change), "w")


def test_a_number_as_the_first_array_has_no_samples():
    x, w = np.array(0.7), some(3, 3, seed=1)
    given = some(3, 3, seed=2)
    assert "places" not in guess(
        lambda: np.tanh(w @ np.tanh(w @ np.ones(3) * x)), lambda dy: {"x": None, "w": given}, {"x": x, "w": w}, "w"
    )


def test_three_axes_are_no_matrix():
    x, w = some(3, 4), some(2, 4, 4, seed=1)

    def forward():
        return np.tanh(np.tanh(x @ w[0]) @ w[1])

    assert "places" not in guess(forward, lambda dy: {"x": None, "w": some(2, 4, 4, seed=4)}, {"x": x, "w": w}, "w")


# ---- another array


def curved(w, rows=6):
    """A matrix whose elements are different functions of all elements of w, so that nothing but w's own value gives it."""
    mixture = some(rows * 4, w.size, seed=11)
    return (some(rows * 4, seed=12) + mixture @ (w + w**2).ravel()).reshape(rows, 4)


@pytest.mark.parametrize("shape, replaced, says", [
    ((3,), np.zeros_like, "w = 0: what goes through w is left out"),
    ((3,), np.ones_like, "w = 1: the factor w is left out"),
    ((3,), np.negative, "-w: w has the wrong sign"),
    ((2, 3, 4), lambda w: w[..., ::-1], "w running backwards: the kernel is flipped"),
    ((2, 3, 4, 5), lambda w: w[..., ::-1, ::-1], "w rotated by 180 degrees: the kernel is flipped"),
    ((3, 3), lambda w: w.T, "w transposed (axes -1 and -2 swapped)"),
    ((2, 3, 3), lambda w: w.swapaxes(1, 2), "w transposed (axes -1 and -2 swapped)"),
    ((3, 3, 2), lambda w: w.swapaxes(0, 1), "w transposed (axes 0 and 1 swapped)"),
])  # fmt: skip
def test_the_right_gradient_of_another_array_is_named(shape, replaced, says):
    x, w, size = some(5, 6), some(*shape, seed=1), 1
    if "=" not in says:  # what is 0 or 1 is the same for an array of any size
        w, size = 1e4 * w, 1e4
    text = guess(lambda: x @ curved(w / size), lambda dy: {"x": dy @ curved(replaced(w) / size).T, "w": None}, {"x": x, "w": w})
    assert text.startswith(f"it is the gradient for {says}")


def test_a_matrix_is_no_kernel_that_can_be_flipped():
    x, w = some(5, 6), some(2, 3, seed=1)
    assert guess(lambda: x @ curved(w), lambda dy: {"x": dy @ curved(w[:, ::-1]).T, "w": None}, {"x": x, "w": w}) == ""


@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 3, 4), (2, 3, 4, 5)])
def test_no_array_is_blamed_for_the_gradient_of_a_third(shape):
    x, w = some(5, 6), some(*shape, seed=1)
    other = some(*shape, seed=2)
    assert guess(lambda: x @ curved(w), lambda dy: {"x": dy @ curved(other).T, "w": None}, {"x": x, "w": w}) == ""


def test_the_most_wrong_elements_are_measured_and_others_of_all_degrees():
    given, right = np.arange(100.0), np.zeros(100)
    right[[99, 0]] = np.nan
    seen = []

    def derivative_now(index):
        seen.append(index[0])
        return given[index] if len(seen) < 13 else 0.0

    arrays = {"x": some(3), "w": some(3)}
    as_if_another_array_were_different(compared(given, right, arrays=arrays, derivative_now=derivative_now))
    first = seen[:12]
    assert first[:6] == [98, 97, 96, 95, 94, 93]
    assert first[6] == 92 and len(set(first)) == 12 and min(first) < 20 and max(np.diff(first[6:])) < -5


def test_few_elements_are_all_measured_and_the_last_counts_too():
    for size in (1, 2, 3, 4, 7):
        given, right, seen = np.arange(1.0, 1 + size), np.zeros(size), []

        def derivative_now(index, seen=seen, given=given):
            seen.append(index[0])
            return given[index] + (index == (0,))  # the least wrong one

        arrays = {"x": some(3), "w": some(3)}
        e = compared(given, right, arrays=arrays, derivative_now=derivative_now)
        assert as_if_another_array_were_different(e) is None
        assert size > 3 or sorted(seen[:size]) == list(range(size))


def test_nothing_is_replaced_where_nothing_can_be_measured():
    assert as_if_another_array_were_different(compared(some(3), some(3, seed=1), arrays={"x": some(3), "w": some(3)})) is None


# ---- what is measured


def test_slopes_noise_and_derivative_are_those_of_the_outputs_that_depend():
    x, r = np.array([3.0, 5.0]), np.array([2.0, -1.0])
    difference = CentralDifference(lambda x: np.maximum(x, 3) ** 2 + x, {"x": x}, x, r=r, y=x**2 + x, step=1e-5)
    measured = difference.at((0,))
    np.testing.assert_allclose([measured.derivative, measured.left, measured.right], [8, 2, 14], atol=1e-3)
    assert measured.bend == measured.right - measured.left
    assert measured.noise == pytest.approx(1e-15 * 12 * 2 / 3e-5, rel=1e-3)
    assert difference.at((0,), scale=10).noise == pytest.approx(measured.noise / 10)
    assert difference.derivative_now((1,)) == pytest.approx(-11)
    constant = CentralDifference(lambda x: np.array([3.0, 4.0]), {"x": x}, x, r=r, y=np.array([3.0, 4.0]), step=1e-5).at((0,))
    assert constant.derivative == 0 and constant.noise == pytest.approx(1e-15 * np.hypot(6, 4) / 3e-5)


def test_two_steps_leave_no_error_of_the_second_order():
    coarse, fine = (Measurement(2 + 7 * h**2, 0, 0, 0) for h in (0.1, 0.01))
    assert extrapolated(coarse, fine) == pytest.approx(2, rel=1e-14)


def test_of_a_single_output_as_many_derivatives_are_kept_as_memory_allows(monkeypatch):
    x = np.arange(12.0)
    difference = CentralDifference(lambda x: x.sum(), {"x": x}, x, r=np.ones(()), y=x.sum(), step=1e-5)
    monkeypatch.setattr(numeric, "SHARES", 3)
    assert difference.shares([(i,) for i in range(12)])[1][0].tolist() == [0, 4, 8]


def test_where_nothing_comes_out_there_are_no_derivatives():
    x = np.ones(3)
    difference = CentralDifference(lambda x: x[:0], {"x": x}, x, r=x[:0], y=x[:0], step=1e-5)
    assert difference.shares([(0,), (1,)])[0].shape == (2, 0)
