"""The learning-rate range test as a curve: the loss over the rate."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from ..training import RangeTest
from .style import GREY, TRAIN, VAL, WIDTH, styled

HEADROOM = 1.3  # of the first average: what lies higher has exploded, and would press the rest of the curve flat


@styled
def range_test_figure(result: RangeTest) -> Figure:
    """The loss of each batch as a dot, their average as a line, and the two rates that can be read off, where there are any.

    Parameters
    ----------
    result : RangeTest
        What `minicnn.training.range_test` returns.

    Raises
    ------
    ValueError
        If it has too few steps for an average.

    >>> range_test_figure(range_test(trainer, x, y)).savefig("range_test.png")  # doctest: +SKIP
    """
    rates, averages = result.averages()
    if not len(averages):
        raise ValueError(
            f"the range test ended after {len(result.rates)} steps, too few for a curve; let it begin at a lower rate"
        )
    figure = Figure(figsize=(WIDTH, 0.5 * WIDTH))
    axes = figure.add_subplot()
    axes.plot(result.rates, result.losses, ".", color=GREY, markersize=3, label="loss of a batch")
    axes.plot(rates, averages, color=TRAIN, linewidth=1.8, label="average of nine")
    marks = {"steepest fall": (result.steepest, "-"), "a tenth of the explosion": (result.tenth_of_explosion, "--")}
    for name, (rate, line) in marks.items():
        if rate is not None:
            axes.axvline(rate, color=VAL, linestyle=line, linewidth=1.2, label=f"{name}: {rate:.2g}")
    low, high = min(averages.min(), np.min(result.losses)), HEADROOM * averages[0]
    axes.set(xscale="log", xlabel="learning rate", ylabel="loss", ylim=(low - 0.05 * (high - low), high))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{rate:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    figure.legend(loc="outside upper left", ncols=2, fontsize=8.5)
    return figure
