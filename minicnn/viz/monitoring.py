"""What a `minicnn.training.LayerMonitor` has seen, as curves: a line for each layer over the steps of the run."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator, PercentFormatter

from ..training import LayerMonitor
from ..training.monitors import USUAL_RATIO
from .schedules import LINES
from .style import CLASS_COLOURS, GREY, WIDTH, shorten, styled

PANELS = {
    "update_ratio": "update / weights: |dw| / |w|",
    "gradient_norm": "gradient: |dL/dw|",
    "std": "outputs: standard deviation",
    "dead": "dead units of ReLUs",
}
MOST = len(CLASS_COLOURS) * len(LINES)  # looks that can be told apart


@styled
def monitoring_figure(monitor: LayerMonitor, layers: list[str] | None = None) -> Figure:
    """Four panels: update / weight ratio (with the usual 0.001 dotted), gradient norm, size of the outputs, dead units.

    Parameters
    ----------
    monitor : LayerMonitor
        After a run.
    layers : list of str, optional
        Paths of those to draw; by default all that were measured, in the order in which they run.

    Raises
    ------
    ValueError
        If nothing has been measured, or a layer was not; more than 32 layers.

    >>> monitoring_figure(monitor).savefig("layers.png")  # doctest: +SKIP
    """
    measured = list(monitor.records[-1]["layers"]) if monitor.records else []
    layers = measured if layers is None else list(layers)
    if unknown := [path for path in layers if path not in measured]:
        raise ValueError(f"nothing was measured of {', '.join(unknown)}; there are {', '.join(measured) or 'no records yet'}")
    if not 0 < len(layers) <= MOST:
        raise ValueError(f"monitoring_figure can draw 1 to {MOST} layers, got {len(layers)}; name some with layers=[...]")
    looks = {
        path: {"color": CLASS_COLOURS[i % len(CLASS_COLOURS)], "linestyle": LINES[(i + i // len(CLASS_COLOURS)) % len(LINES)]}
        for i, path in enumerate(layers)
    }
    figure = Figure(figsize=(WIDTH, 0.75 * WIDTH + 0.16 * (len(layers) / 4 + 1)))
    for axes, (name, title) in zip(figure.subplots(2, 2, sharex=True).flat, PANELS.items(), strict=True):
        _draw(axes, monitor.series(name), looks)
        axes.set_title(title)
        if name == "update_ratio":
            axes.axhline(USUAL_RATIO, color=GREY, linestyle=":", linewidth=1.2)
        if name == "dead":
            axes.set(ylim=(-0.02, 1.02))
            axes.yaxis.set_major_formatter(PercentFormatter(1))
        else:
            _set_log_scale(axes)
    figure.supxlabel("step", size=9.5)
    handles = [Line2D([], [], label=shorten(path, 22), linewidth=1.4, **look) for path, look in looks.items()]
    figure.legend(handles=handles, loc="outside upper left", ncols=4, fontsize=8)
    return figure


def _draw(axes, series: dict[str, tuple[list[int], list[float]]], looks: dict[str, dict]) -> None:
    for path, look in looks.items():
        if path in series:
            steps, values = series[path]
            axes.plot(steps, values, linewidth=1.2, marker="." if len(steps) == 1 else None, **look)


def _set_log_scale(axes) -> None:
    """A logarithmic y axis with plain numbers: 1, 10, 100, and 2 and 5 as well where less than two decades are shown."""
    axes.set_yscale("log", nonpositive="mask")
    low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 100 * low else (1,)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())
