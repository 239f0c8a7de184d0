"""Learning-rate schedules: factors worked out by hand, and PyTorch's where it has the same; the figure of them."""

import inspect
import itertools
import math

import numpy as np
import pytest
from drawn import frame_is_white, png_of

from minicnn import schedules
from minicnn.schedules import ReduceOnPlateau
from minicnn.viz.schedules import schedules_figure

GRID = [i / 200 for i in range(201)]


def test_constant_stays():
    assert {schedules.constant()(p) for p in GRID} == {1.0}


def test_step_drops_at_each_moment():
    factor = schedules.step(drops=(0.25, 0.5, 0.9), factor=0.5)
    assert [factor(p) for p in (0, 0.2499, 0.25, 0.5, 0.89, 0.9, 1)] == [1, 1, 0.5, 0.25, 0.25, 0.125, 0.125]


def test_exponential_falls_by_equal_proportions():
    factor = schedules.exponential(final=0.0016)
    assert [factor(p) for p in (0, 0.25, 0.5, 0.75, 1)] == pytest.approx([1, 0.2, 0.04, 0.008, 0.0016])


def test_one_over_t_halves_after_one_kth_of_the_run():
    factor = schedules.one_over_t(k=4)
    assert [factor(p) for p in (0, 0.25, 0.5, 1)] == pytest.approx([1, 1 / 2, 1 / 3, 1 / 5])
    assert schedules.one_over_t(k=0)(0.5) == 1


def test_linear_is_a_straight_line_to_its_end():
    assert [schedules.linear()(p) for p in (0, 0.25, 1)] == [1, 0.75, 0]
    assert [schedules.linear(final=0.2)(p) for p in (0, 0.25, 1)] == pytest.approx([1, 0.8, 0.2])
    assert schedules.linear(final=1)(0.5) == 1


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


def test_restarts_begin_cycles_of_which_each_is_longer_than_the_last():
    """T_mult = 3, two cycles: a quarter of the run and three quarters."""
    factor = schedules.warm_restarts(cycles=2, T_mult=3, final=0.2)
    assert [factor(p) for p in (0, 0.125, 0.25, 0.625, 1)] == pytest.approx([1, 0.6, 1, 0.6, 0.2])
    assert factor(0.2499) == pytest.approx(0.2, abs=1e-3)
    assert factor(0.125 - 1 / 24) == pytest.approx(0.2 + 0.8 * 0.75)  # a third of the cycle: (1 + cos 60 degrees) / 2


def test_a_run_with_restarts_ends_at_the_end_of_a_cycle():
    for cycles, T_mult in itertools.product(range(1, 12), (1, 1.3, 2, 3)):
        factor = schedules.warm_restarts(cycles, T_mult, final=0.1)
        values = [factor(p) for p in GRID]
        assert values[0] == 1 and values[-1] == pytest.approx(0.1)
        assert all(0.1 <= value <= 1 for value in values)


def test_triangular_goes_straight_up_and_straight_down():
    factor = schedules.triangular(start=0.2, peak=0.25, end=0.1)
    assert [factor(p) for p in (0, 0.125, 0.25, 0.5, 0.625, 1)] == pytest.approx([0.2, 0.6, 1, 0.7, 0.55, 0.1])


def test_cyclic_goes_up_and_down_again_and_again():
    factor = schedules.cyclic(cycles=2, low=0.2)
    assert [factor(p) for p in (0, 0.125, 0.25, 0.375, 0.5, 0.75, 1)] == pytest.approx([0.2, 0.6, 1, 0.6, 0.2, 1, 0.2])
    factor = schedules.cyclic(cycles=3, low=0.2, shrink=0.5)
    assert [factor(p) for p in (1 / 6, 1 / 3, 3 / 6, 2 / 3, 5 / 6, 1)] == pytest.approx([1, 0.2, 0.6, 0.2, 0.4, 0.2])


def test_without_being_told_the_constants_are_those_of_the_sources():
    def defaults(make):
        arguments = inspect.signature(make).parameters.values()
        return {argument.name: argument.default for argument in arguments}

    assert defaults(schedules.step) == {"drops": (0.5, 0.75), "factor": 0.1}
    assert defaults(schedules.exponential) == {"final": 0.01}
    assert defaults(schedules.one_over_t) == {"k": 99.0}
    assert defaults(schedules.linear) == {"final": 0.0}
    assert defaults(schedules.cosine) == {"warmup": 0.0, "final": 0.0}
    assert defaults(schedules.one_cycle) == {"warmup": 0.3, "start": 0.04, "end": 4e-6}
    assert defaults(schedules.warm_restarts) == {"cycles": 3, "T_mult": 2.0, "final": 0.0}
    assert defaults(schedules.triangular) == {"start": 0.0, "peak": 0.5, "end": 0.0}
    assert defaults(schedules.cyclic) == {"cycles": 4, "low": 0.25, "shrink": 1.0}
    assert defaults(ReduceOnPlateau) == {"drop": 0.1, "patience": 10, "smallest": 0.0, "threshold": 1e-4}


THEIRS = {
    "restarts": (
        schedules.warm_restarts(3, 2, final=0.1), 70, "CosineAnnealingWarmRestarts", {"T_0": 10, "T_mult": 2, "eta_min": 0.1}
    ),
    "triangular": (
        schedules.triangular(start=0.2, peak=0.25, end=0.05), 100, "OneCycleLR",
        {"max_lr": 1, "total_steps": 101, "pct_start": 26 / 101, "anneal_strategy": "linear", "div_factor": 5,
         "final_div_factor": 4, "cycle_momentum": False},
    ),
    "one_cycle": (
        schedules.one_cycle(warmup=0.3), 100, "OneCycleLR",
        {"max_lr": 1, "total_steps": 101, "pct_start": 31 / 101, "cycle_momentum": False},
    ),
    "cyclic": (
        schedules.cyclic(4, low=0.25), 80, "CyclicLR",
        {"base_lr": 0.25, "max_lr": 1, "step_size_up": 10, "cycle_momentum": False},
    ),
    "triangular2": (
        schedules.cyclic(4, low=0.25, shrink=0.5), 80, "CyclicLR",
        {"base_lr": 0.25, "max_lr": 1, "step_size_up": 10, "mode": "triangular2", "cycle_momentum": False},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("schedule", "steps", "theirs", "options"), THEIRS.values(), ids=THEIRS)
def test_the_same_rates_as_pytorchs(schedule, steps, theirs, options):
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = getattr(torch.optim.lr_scheduler, theirs)(optimizer, **options)
    for i in range(steps):
        assert schedule(i / steps) == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-9)
        optimizer.step()
        scheduler.step()


# ---- the one that waits for the validation loss


def test_it_drops_after_as_many_epochs_without_a_better_loss_as_its_patience():
    plateau = ReduceOnPlateau(drop=0.5, patience=2, smallest=0.2, threshold=0.0)
    factors = []
    for val_loss in (1.0, 0.9, 0.95, 0.8, 0.8, 0.9, 0.85, 0.81, 0.82, 0.79, 0.9, 0.9, 0.9, 0.9):
        plateau.after_epoch(val_loss)
        factors.append(plateau(0.3))
    assert factors == [1, 1, 1, 1, 1, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25, 0.2, 0.2, 0.2]


def test_it_counts_as_better_only_what_is_better_by_the_threshold():
    def after(*val_losses):
        plateau = ReduceOnPlateau(drop=0.5, patience=1, threshold=0.1)
        for val_loss in val_losses:
            plateau.after_epoch(val_loss)
        return plateau.factor

    assert after(10.0, 9.0) == 0.5 and after(10.0, 8.99) == 1
    assert after(-10.0, -11.0) == 0.5 and after(-10.0, -11.01) == 1
    assert after(10.0, 9.5, 9.2) == 0.25  # compared with the best one, not with the last


def test_it_drops_when_pytorchs_does():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    val_losses = np.exp(-np.arange(60) / 10) + rng.normal(size=60) * 0.02
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    options = {"factor": 0.3, "patience": 2, "min_lr": 0.01, "eps": 0}
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, **options)
    ours = ReduceOnPlateau(drop=0.3, patience=3, smallest=0.01)
    seen = set()
    for val_loss in val_losses:
        theirs.step(val_loss)
        ours.after_epoch(val_loss)
        assert ours.factor == pytest.approx(optimizer.param_groups[0]["lr"])
        seen.add(round(ours.factor, 6))
    assert seen == {1, 0.3, 0.09, 0.027, 0.01}


def test_a_plateau_that_was_saved_goes_on_where_it_was():
    def after(plateau, val_losses):
        for val_loss in val_losses:
            plateau.after_epoch(val_loss)
        return plateau

    val_losses = [1.0, 0.5, 0.6, 0.6, 0.6, 0.7, 0.5, 0.4, 0.5, 0.5]
    whole = after(ReduceOnPlateau(0.5, patience=3), val_losses)
    assert whole.state_dict() == {"factor": 0.5, "best": 0.4, "epochs_without_better": 2}
    for stop in range(len(val_losses)):
        rest = ReduceOnPlateau(0.5, patience=3)
        rest.load_state_dict(after(ReduceOnPlateau(0.5, patience=3), val_losses[:stop]).state_dict())
        assert after(rest, val_losses[stop:]).state_dict() == whole.state_dict()


@pytest.mark.parametrize("saved", [None, {}, {"factor": 1.0, "best": 0.5}, {"factor": 1.0, "best": 0.5, "bad_epochs": 1}])
def test_something_else_is_not_taken_for_a_saved_plateau(saved):
    plateau = ReduceOnPlateau()
    with pytest.raises(ValueError, match="goes on from its state_dict"):
        plateau.load_state_dict(saved)
    assert plateau.factor == 1


@pytest.mark.parametrize("val_loss", [None, math.nan, math.inf])
def test_without_a_validation_loss_there_is_no_plateau(val_loss):
    with pytest.raises(ValueError, match=f"needs the validation loss of each epoch, a finite number, got {val_loss}"):
        ReduceOnPlateau().after_epoch(val_loss)


def test_what_it_would_do_in_a_run_is_a_schedule():
    plateau = ReduceOnPlateau(drop=0.5, patience=1)
    plateau.after_epoch(0.01)  # of another run: it does not matter, and is not forgotten
    factor = plateau.schedule_for([0.4, 0.3, 0.3, 0.3])
    assert [factor(p) for p in (0, 0.49, 0.74, 0.75, 1)] == [1, 1, 1, 0.5, 0.5]
    assert plateau.best == 0.01
    with pytest.raises(ValueError, match="of one epoch at least, got none"):
        plateau.schedule_for([])


# ---- what all have in common


@pytest.mark.parametrize(
    "factor",
    [schedules.cosine(warmup=0.3), schedules.one_cycle(), schedules.exponential(), schedules.cyclic(3)],
    ids=["cosine", "one_cycle", "exp", "cyclic"],
)
def test_smooth_schedules_do_not_jump(factor):
    values = [factor(p) for p in GRID]
    assert max(abs(a - b) for a, b in itertools.pairwise(values)) < 0.03
    assert all(0 <= value <= 1 for value in values)


@pytest.mark.parametrize(
    "factor",
    [getattr(schedules, name)() for name in schedules.__all__ if name != "Schedule"],
    ids=[name for name in schedules.__all__ if name != "Schedule"],
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
        (lambda: schedules.step(drops=(0.5, 0.5)), "ascending fractions"),
        (lambda: schedules.step(drops=(0.5, 30)), "ascending fractions"),
        (lambda: schedules.step(drops=(0.0, 0.5)), r"each between 0 and 1, got \(0.0, 0.5\)"),
        (lambda: schedules.step(drops=(0.5, 1.0)), r"each between 0 and 1, got \(0.5, 1.0\)"),
        (lambda: schedules.step(factor=0), "above 0"),
        (lambda: schedules.step(factor=1.1), "at most 1, got 1.1"),
        (lambda: schedules.exponential(final=0), "above 0"),
        (lambda: schedules.exponential(final=1.1), "at most 1, got 1.1"),
        (lambda: schedules.linear(final=-0.1), "between 0 and 1, got -0.1"),
        (lambda: schedules.linear(final=1.1), "between 0 and 1, got 1.1"),
        (lambda: schedules.cosine(warmup=1), "share of the run"),
        (lambda: schedules.cosine(warmup=-0.1), "share of the run, at least 0 and below 1, got -0.1"),
        (lambda: schedules.cosine(final=-0.1), "between 0 and 1"),
        (lambda: schedules.cosine(final=1.1), "between 0 and 1, got 1.1"),
        (lambda: schedules.one_cycle(warmup=0), "share of the run"),
        (lambda: schedules.one_cycle(warmup=1), "share of the run, above 0 and below 1, got 1"),
        (lambda: schedules.one_cycle(start=25), "factors between 0 and 1"),
        (lambda: schedules.one_cycle(start=1.1), "factors between 0 and 1, got 1.1"),
        (lambda: schedules.one_cycle(start=-0.1), "factors between 0 and 1, got -0.1"),
        (lambda: schedules.one_cycle(end=-0.1), "factors between 0 and 1, got 0.04 and -0.1"),
        (lambda: schedules.one_cycle(end=1.1), "factors between 0 and 1"),
        (lambda: schedules.one_over_t(-1), "k must be a number from 0 up, got -1"),
        (lambda: schedules.one_over_t(math.inf), "k must be a number from 0 up, got inf"),
        (lambda: schedules.warm_restarts(0), "warm_restarts: cycles must be a whole number from 1 up, got 0"),
        (lambda: schedules.warm_restarts(2.5), "cycles must be a whole number"),
        (lambda: schedules.warm_restarts(T_mult=0.9), "is at least 1, got 0.9"),
        (lambda: schedules.warm_restarts(T_mult=math.inf), "is at least 1, got inf"),
        (lambda: schedules.warm_restarts(final=1.1), "final must be between 0 and 1, got 1.1"),
        (lambda: schedules.warm_restarts(final=-0.1), "final must be between 0 and 1, got -0.1"),
        (lambda: schedules.triangular(peak=0), "share of the run, above 0 and below 1, got 0"),
        (lambda: schedules.triangular(peak=1), "share of the run, above 0 and below 1, got 1"),
        (lambda: schedules.triangular(start=-0.1), "factors between 0 and 1, got -0.1 and 0.0"),
        (lambda: schedules.triangular(start=1.1), "factors between 0 and 1, got 1.1 and 0.0"),
        (lambda: schedules.triangular(end=2), "factors between 0 and 1, got 0.0 and 2"),
        (lambda: schedules.triangular(end=-0.1), "factors between 0 and 1, got 0.0 and -0.1"),
        (lambda: schedules.cyclic(0), "cyclic: cycles must be a whole number from 1 up, got 0"),
        (lambda: schedules.cyclic(low=1.5), "low is a factor between 0 and 1, got 1.5"),
        (lambda: schedules.cyclic(low=-0.1), "low is a factor between 0 and 1, got -0.1"),
        (lambda: schedules.cyclic(shrink=0), "shrink must be above 0 and at most 1, got 0"),
        (lambda: schedules.cyclic(shrink=1.1), "shrink must be above 0 and at most 1, got 1.1"),
        (lambda: ReduceOnPlateau(drop=0), "drop must be above 0 and below 1, got 0"),
        (lambda: ReduceOnPlateau(drop=1), "drop must be above 0 and below 1, got 1"),
        (lambda: ReduceOnPlateau(patience=0), "whole number of epochs from 1 up, got 0"),
        (lambda: ReduceOnPlateau(patience=1.5), "whole number of epochs from 1 up, got 1.5"),
        (lambda: ReduceOnPlateau(smallest=1.1), "smallest is a factor between 0 and 1, got 1.1"),
        (lambda: ReduceOnPlateau(smallest=-0.1), "smallest is a factor between 0 and 1, got -0.1"),
        (lambda: ReduceOnPlateau(threshold=1), "at least 0 and below 1, got 1"),
        (lambda: ReduceOnPlateau(threshold=-0.1), "at least 0 and below 1, got -0.1"),
    ],
)
def test_impossible_constants_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_the_ends_of_the_ranges_are_part_of_them():
    for make in (
        lambda x: schedules.cosine(final=x),
        lambda x: schedules.warm_restarts(final=x),
        lambda x: schedules.cyclic(low=x),
    ):
        assert make(1.0)(0.37) == pytest.approx(1) and make(0.0)(1.0) == pytest.approx(0)
    assert schedules.triangular(start=1, end=1)(0.37) == schedules.one_cycle(start=1, end=1)(0.37) == pytest.approx(1)
    assert schedules.one_cycle(start=0.0)(0.0) == 0
    assert schedules.step(factor=1)(0.9) == schedules.exponential(final=1)(0.9) == 1
    assert ReduceOnPlateau(smallest=1.0, threshold=0.0)(0) == 1


# ---- drawn


def test_any_schedule_can_be_drawn():
    plateau = ReduceOnPlateau(patience=1).schedule_for([1.0, 1.0, 1.0])
    made = [name for name in schedules.__all__ if name not in ("Schedule", "ReduceOnPlateau")]
    figure = schedules_figure({name: getattr(schedules, name)() for name in made} | {"plateau": plateau}, learning_rate=0.1)
    (axes,) = figure.axes
    assert [line.get_label() for line in axes.lines] == [*made, "plateau"]
    looks = {(line.get_color(), line.get_linestyle()) for line in axes.lines[:8]}
    assert len(looks) == 8
    x, y = axes.lines[made.index("triangular")].get_data()
    assert (x[0], x[500], x[-1]) == (0, 0.5, 1) and (y[0], y[500], y[-1]) == pytest.approx((0, 0.1, 0))
    assert axes.get_ylabel() == "learning rate"
    assert frame_is_white(png_of(figure))


def test_a_single_schedule_needs_no_name_and_no_legend():
    figure = schedules_figure(schedules.triangular(end=0.5))
    (axes,) = figure.axes
    assert not figure.legends and axes.get_ylabel() == "factor" and axes.get_ylim()[0] == 0
    assert axes.lines[0].get_ydata()[-1] == 0.5
    assert frame_is_white(png_of(figure))


def test_names_that_cannot_be_written_get_a_number():
    figure = schedules_figure({"\U0001f600": schedules.constant(), "b": schedules.step()})
    assert [text.get_text() for text in figure.legends[0].texts] == ["schedule 0", "b"]


def test_a_plateau_is_not_drawn_as_if_it_never_dropped():
    with pytest.raises(
        ValueError, match=r"what ReduceOnPlateau \(p\) does depends .*; draw plateau.schedule_for\(val_losses\)"
    ):
        schedules_figure({"p": ReduceOnPlateau()})
    with pytest.raises(ValueError, match="no schedule to draw"):
        schedules_figure({})
