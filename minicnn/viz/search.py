"""A search for hyperparameters as dots: what was tried, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..search import Choice, Integers, LogUniform, Study, Trial
from ..text import counted
from .style import CLASS_COLOURS, GREY, INK, TRAIN, VAL, WIDTH, shorten, styled

COLUMNS = 3  # panels beside each other
MARKERS = "osD^vP*X"  # a round each
COLOURS = matplotlib.colormaps["viridis"]


@styled
def search_figure(study: Study) -> Figure:
    """The value of each trial over each setting; and the first two settings over each other, with the value as colour.

    Rounds have colours and markers of their own. Failed trials are crosses at the lower edge. Settings that were searched by
    factors are on a log scale. If a setting matters, its panel shows a hill; if the best are at an end of its range, the search
    should go on beyond it.

    Raises
    ------
    ValueError
        If no trial has succeeded yet.

    >>> search_figure(study).savefig("search.png")  # doctest: +SKIP
    """
    best, names = study.best, list(study.space)
    panels = len(names) + (len(names) > 1)
    rows = -(-panels // COLUMNS)
    figure = Figure(figsize=(WIDTH, 0.42 * WIDTH * rows + 0.3))
    axes = [figure.add_subplot(rows, min(panels, COLUMNS), i + 1) for i in range(panels)]
    for panel, name in zip(axes, names, strict=False):
        _values_over(panel, study, name)
        panel.plot(_on_axis(study, [best], name), [best.value], "o", markersize=11, fillstyle="none", color=INK)
        panel.set_ylabel(study.measure)
    if len(names) > 1:
        _value_as_colour(figure, axes[-1], study)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=3, fontsize=8.5)
    return figure


def _values_over(axes: Axes, study: Study, name: str) -> None:
    """The trials of each round over one setting."""
    for k, trials in enumerate(_rounds(study.trials)):
        good = [trial for trial in trials if trial.error is None]
        label = f"round {trials[0].round + 1}: {counted(len(trials), 'trial')} with budget {trials[0].budget}"
        style = {"color": CLASS_COLOURS[k % len(CLASS_COLOURS)], "marker": MARKERS[k % len(MARKERS)], "alpha": 0.8}
        axes.plot(_on_axis(study, good, name), [t.value for t in good], linestyle="", markersize=4, label=label, **style)
    failed = [trial for trial in study.trials if trial.error is not None]
    if failed:
        edge = {"transform": axes.get_xaxis_transform(), "clip_on": False}
        axes.plot(_on_axis(study, failed, name), [0] * len(failed), "x", color=GREY, label=f"{len(failed)} failed", **edge)
    _scale(axes, study, name, "x")


def _value_as_colour(figure: Figure, axes: Axes, study: Study) -> None:
    """The first two settings over each other: a good region is seen even if neither alone shows it."""
    x, y, *_ = study.space
    good = [trial for trial in study.trials if trial.error is None]
    xs, ys = _on_axis(study, good, x), _on_axis(study, good, y)
    dots = axes.scatter(xs, ys, c=[trial.value for trial in good], cmap=COLOURS, s=18)
    _scale(axes, study, x, "x")
    _scale(axes, study, y, "y")
    figure.colorbar(dots, ax=axes, label=study.measure)


@styled
def random_against_grid_figure(random: Study, grid: Study) -> Figure:
    """Two studies of two settings, one at random and one in a grid: what was tried, and which values of the first that showed.

    A grid of nine tries three values of each setting, nine random trials try nine. If only one setting matters, six trials of
    the grid repeat what is known. Bergstra & Bengio 2012, "Random Search for Hyper-Parameter Optimization", figure 1, drawn of
    values that were measured.

    Parameters
    ----------
    random, grid : Study
        Of one space, whose first setting should be the one that matters.

    Raises
    ------
    ValueError
        If they have other spaces than each other, or of other than two settings; if nothing has succeeded in one of them.
    """
    if list(random.space) != list(grid.space) or len(random.space) != 2:
        raise ValueError(
            "random_against_grid_figure draws two studies of the same two settings; got studies of "
            f"{', '.join(random.space)} and of {', '.join(grid.space)}"
        )
    figure = Figure(figsize=(WIDTH, 0.62 * WIDTH))
    panels = figure.subplots(2, 2, sharex=True, sharey="row", height_ratios=(1, 1.6))
    values = [trial.value for study in (random, grid) for trial in study.trials if trial.error is None]
    room = 0.08 * (max(values) - min(values)) if values else 0
    for (above, below), study, title, colour in zip(panels.T, (grid, random), ("grid", "random"), (VAL, TRAIN), strict=True):
        good, (x, y), best = [trial for trial in study.trials if trial.error is None], study.space, study.best
        tried = len({trial.settings[x] for trial in study.trials})
        above.set_title(f"{title}: {tried} values of {x},\nbest {best.value:.3f}")
        above.plot(_on_axis(study, good, x), [trial.value for trial in good], "o", color=colour, markersize=4)
        above.vlines(_on_axis(study, good, x), min(values) - room, [trial.value for trial in good], color=colour, linewidth=0.8)
        above.set(ylabel=study.measure, ylim=(min(values) - room, max(values) + 2 * room))
        below.plot(_on_axis(study, study.trials, x), _on_axis(study, study.trials, y), "o", color=colour)
        below.plot(*(_on_axis(study, [best], name) for name in (x, y)), "o", markersize=12, fillstyle="none", color=INK)
        _scale(below, study, x, "x")
        _scale(below, study, y, "y")
    return figure


def _rounds(trials: Sequence[Trial]) -> list[list[Trial]]:
    numbers = sorted({trial.round for trial in trials})
    return [[trial for trial in trials if trial.round == number] for number in numbers]


def _on_axis(study: Study, trials: Sequence[Trial], name: str) -> list:
    """The values of a setting where an axis takes them: numbers as they are, options by their names."""
    values = [trial.settings[name] for trial in trials]
    return [shorten(str(value), 14) for value in values] if isinstance(study.space[name], Choice) else values


def _scale(axes: Axes, study: Study, name: str, direction: str) -> None:
    """The name of a setting below its axis, which is logarithmic if the setting was searched by factors."""
    axes.set(**{f"{direction}label": shorten(name, 24)})
    if isinstance(study.space[name], LogUniform):
        axes.set(**{f"{direction}scale": "log"})
    if isinstance(study.space[name], Integers):
        (axes.xaxis if direction == "x" else axes.yaxis).get_major_locator().set_params(integer=True)
