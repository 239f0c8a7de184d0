"""Learning-rate schedules as curves over the run."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from ..schedules import ReduceOnPlateau, Schedule
from .style import CLASS_COLOURS, WIDTH, drawable_part, shorten, styled

POINTS = 1001
LINES = ("-", "--", "-.", ":")


@styled
def schedules_figure(schedules: Schedule | Mapping[str, Schedule], learning_rate: float | None = None) -> Figure:
    """One schedule, or several by name, over the progress of a run from 0 to 1.

    Parameters
    ----------
    schedules : callable, or dict of name to callable
        ``schedule(progress) -> factor``, see `minicnn.schedules`.
    learning_rate : float, optional
        The base rate: with it the rates are drawn, without it the factors.

    Raises
    ------
    ValueError
        No schedules; a `ReduceOnPlateau`, which depends on the validation losses.

    >>> from minicnn.schedules import cosine, step
    >>> schedules_figure({"cosine": cosine(warmup=0.1), "step": step()}).savefig("schedules.png")  # doctest: +SKIP
    """
    schedules = schedules if isinstance(schedules, Mapping) else {"": schedules}
    if not schedules:
        raise ValueError("schedules_figure got no schedule to draw")
    for name, schedule in schedules.items():
        if isinstance(schedule, ReduceOnPlateau):
            raise ValueError(
                f"what ReduceOnPlateau{f' ({name})' if name else ''} does depends on the validation losses; draw "
                "plateau.schedule_for(val_losses)"
            )
    progress = np.linspace(0, 1, POINTS)
    figure = Figure(figsize=(WIDTH, 0.45 * WIDTH))
    axes = figure.add_subplot()
    for i, (name, schedule) in enumerate(schedules.items()):
        rates = np.array([schedule(float(p)) for p in progress]) * (1 if learning_rate is None else learning_rate)
        style = {"color": CLASS_COLOURS[i % len(CLASS_COLOURS)], "linestyle": LINES[i % len(LINES)], "linewidth": 1.6}
        axes.plot(progress, rates, label=shorten(drawable_part(name), 30) or f"schedule {i}", **style)
    axes.set(xlabel="progress of the run", ylabel="learning rate" if learning_rate is not None else "factor")
    axes.set(xlim=(0, 1), ylim=(0, None))
    if len(schedules) > 1:
        figure.legend(loc="outside upper left", ncols=3, fontsize=8.5)
    return figure
