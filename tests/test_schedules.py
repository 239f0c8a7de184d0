"""Learning-rate schedules: factors worked out by hand."""

import itertools
import math

import pytest

from minicnn import schedules

GRID = [i / 200 for i in range(201)]


def test_constant_stays():
    assert {schedules.constant()(p) for p in GRID} == {1.0}


def test_step_drops_at_each_moment():
    factor = schedules.step(drops=(0.25, 0.5, 0.9), factor=0.5)
    assert [factor(p) for p in (0, 0.2499, 0.25, 0.5, 0.89, 0.9, 1)] == [1, 1, 0.5, 0.25, 0.25, 0.125, 0.125]


def test_exponential_falls_by_equal_proportions():
    factor = schedules.exponential(final=0.0016)
    assert [factor(p) for p in (0, 0.25, 0.5, 0.75, 1)] == pytest.approx([1, 0.2, 0.04, 0.008, 0.0016])


def test_cosine_is_half_a_wave():
    factor = schedules.cosine()
    # (1 + cos 60 degrees) / 2 = 0.75
    assert [factor(p) for p in (0, 1 / 3, 0.5, 2 / 3, 1)] == pytest.approx([1, 0.75, 0.5, 0.25, 0])


def test_cosine_ends_where_it_is_told():
    factor = schedules.cosine(final=0.2)
    assert [factor(p) for p in (0, 0.5, 1)] == pytest.approx([1, 0.6, 0.2])


def test_warmup_is_a_straight_rise_before_the_wave():
    factor = schedules.cosine(warmup=0.4)
    assert [factor(p) for p in (0, 0.1, 0.3, 0.4, 0.7, 1)] == pytest.approx([0, 0.25, 0.75, 1, 0.5, 0])


def test_one_cycle_rises_and_falls():
    factor = schedules.one_cycle(warmup=0.25, start=0.1, end=0.0)
    assert [factor(p) for p in (0, 0.125, 0.25, 0.5, 0.625, 1)] == pytest.approx([0.1, 0.55, 1, 0.75, 0.5, 0])
    assert max(map(factor, GRID)) == factor(0.25) == 1


def test_one_cycle_ends_as_pytorchs_by_default():
    factor = schedules.one_cycle()
    assert factor(0) == pytest.approx(1 / 25)
    assert factor(1) == pytest.approx(1 / 25 / 1e4)


@pytest.mark.parametrize(
    "factor", [schedules.cosine(warmup=0.3), schedules.one_cycle(), schedules.exponential()], ids=["cosine", "one_cycle", "exp"]
)
def test_smooth_schedules_do_not_jump(factor):
    values = [factor(p) for p in GRID]
    assert max(abs(a - b) for a, b in itertools.pairwise(values)) < 0.03
    assert all(0 <= value <= 1 for value in values)


@pytest.mark.parametrize(
    "factor",
    [schedules.constant(), schedules.step(), schedules.exponential(), schedules.cosine(), schedules.one_cycle()],
    ids=["constant", "step", "exponential", "cosine", "one_cycle"],
)
@pytest.mark.parametrize("progress", [-0.01, 1.01, 3, math.nan])
def test_progress_is_a_share_of_the_run(factor, progress):
    with pytest.raises(ValueError, match="share of the run"):
        factor(progress)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: schedules.step(drops=(30, 60)), "ascending fractions"),
        (lambda: schedules.step(drops=(0.6, 0.3)), "ascending fractions"),
        (lambda: schedules.step(factor=0), "above 0"),
        (lambda: schedules.exponential(final=0), "above 0"),
        (lambda: schedules.cosine(warmup=1), "share of the run"),
        (lambda: schedules.cosine(final=-0.1), "between 0 and 1"),
        (lambda: schedules.one_cycle(warmup=0), "share of the run"),
        (lambda: schedules.one_cycle(start=25), "factors between 0 and 1"),
    ],
)
def test_impossible_constants_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
