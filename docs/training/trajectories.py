"""Optimisers on functions of two weights: an ill-conditioned valley, a saddle, and a valley whose gradient is noisy.

The functions are small enough to be understood, and each shows one trouble of training:

    valley   L = (x^2 + 40 y^2) / 2           40 times as steep across as along
    saddle   L = x^2 / 2 - y^2 / 2 + y^4 / 4  flat at 0, where the start nearly is; minima at y = -1 and y = 1
    noise    the valley, with N(0, 1) added to each derivative, as a small batch does
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from minicnn.layers import Parameter
from minicnn.optim import LBFGS, SGD, AdaGrad, Adam, Newton, Optimizer, RMSProp
from minicnn.optim.full_batch import FullBatchOptimizer
from minicnn.viz.style import CLASS_COLOURS, WIDTH, styled

STEPS = 60
NEAR = 1e-2  # of a minimum's loss: what counts as arrived


class Landscape(NamedTuple):
    """A function of w = (x, y), its gradient, and where to begin."""

    title: str
    loss: Callable[[np.ndarray], float]
    gradient: Callable[[np.ndarray], np.ndarray]
    start: tuple[float, float]
    least: float
    noise: float = 0.0
    window: tuple[float, float, float, float] = (-3.4, 1.0, -1.3, 1.3)


def _valley(w: np.ndarray) -> float:
    return float(w[0] ** 2 + 40 * w[1] ** 2) / 2


def _valley_gradient(w: np.ndarray) -> np.ndarray:
    return np.array([w[0], 40 * w[1]])


def _saddle(w: np.ndarray) -> float:
    return float(w[0] ** 2 / 2 - w[1] ** 2 / 2 + w[1] ** 4 / 4)


def _saddle_gradient(w: np.ndarray) -> np.ndarray:
    return np.array([w[0], -w[1] + w[1] ** 3])


LANDSCAPES = (
    Landscape("ill-conditioned valley", _valley, _valley_gradient, (-3.0, 0.8), 0.0),
    Landscape("saddle", _saddle, _saddle_gradient, (-1.5, 1e-3), -0.25, window=(-1.9, 1.0, -1.3, 1.3)),
    Landscape("valley with noise", _valley, _valley_gradient, (-3.0, 0.8), 0.0, noise=1.0),
)

# The learning rates are the best of 1, 2 and 5 times a power of ten on the valley without noise, found by `best_rate`
METHODS: dict[str, Callable[[dict[str, Parameter], float], Optimizer]] = {
    "SGD": lambda parameters, rate: SGD(parameters, rate),
    "momentum": lambda parameters, rate: SGD(parameters, rate, momentum=0.9),
    "Nesterov": lambda parameters, rate: SGD(parameters, rate, momentum=0.9, nesterov=True),
    "AdaGrad": lambda parameters, rate: AdaGrad(parameters, rate),
    "RMSProp": lambda parameters, rate: RMSProp(parameters, rate),
    "Adam": lambda parameters, rate: Adam(parameters, rate),
    "L-BFGS": lambda parameters, rate: LBFGS(parameters),
    "Newton": lambda parameters, rate: Newton(parameters, damping=1e-3),
}
RATES = tuple(digit * 10.0**power for power in range(-3, 0) for digit in (1, 2, 5))


def path(landscape: Landscape, method: str, rate: float, steps: int = STEPS, seed: int = 0) -> np.ndarray:
    """Where an optimiser goes: (steps + 1, 2)."""
    rng = np.random.default_rng(seed)
    weight = Parameter(np.array(landscape.start))
    optimizer = METHODS[method]({"w": weight}, rate)
    places = [weight.value.copy()]

    def evaluate() -> float:
        weight.grad = landscape.gradient(weight.value) + landscape.noise * rng.standard_normal(2)
        return landscape.loss(weight.value)

    for _ in range(steps):
        if isinstance(optimizer, FullBatchOptimizer):
            optimizer.step(evaluate)
        else:
            evaluate()
            optimizer.step()
        places.append(weight.value.copy())
    return np.array(places)


def best_rate(method: str) -> float:
    """The rate that is nearest to the valley's minimum after all steps."""
    with np.errstate(over="ignore", invalid="ignore"):
        ends = {rate: _valley(path(LANDSCAPES[0], method, rate)[-1]) for rate in RATES}
    return min(ends, key=lambda rate: ends[rate] if np.isfinite(ends[rate]) else np.inf)


def trajectories() -> list[dict]:
    """For each landscape and method: its rate, path, losses and the first step within NEAR of the minimum."""
    rows = []
    for method in METHODS:
        rate = best_rate(method) if method not in ("L-BFGS", "Newton") else 1.0
        for landscape in LANDSCAPES:
            if landscape.noise and method in ("L-BFGS", "Newton"):
                continue  # made for functions that can be evaluated exactly
            places = path(landscape, method, rate)
            losses = np.array([landscape.loss(w) for w in places]) - landscape.least
            arrived = np.flatnonzero(losses < NEAR)
            rows.append(
                {"landscape": landscape.title, "method": method, "rate": rate, "path": places, "losses": losses}
                | {"steps": int(arrived[0]) if len(arrived) else None}
            )
    return rows


def table(rows: list[dict]) -> str:
    """Rows of the page: the steps that each method takes."""
    titles = [landscape.title for landscape in LANDSCAPES]
    lines = [f"| | learning rate | {' | '.join(titles)} |", "| --- | ---: |" + " ---: |" * len(titles)]
    for method in METHODS:
        own = {row["landscape"]: row for row in rows if row["method"] == method}
        steps = ["-" if title not in own else str(own[title]["steps"] or "never") for title in titles]
        lines.append(f"| {method} | {own[titles[0]]['rate']:g} | {' | '.join(steps)} |")
    return "\n".join(lines)


@styled
def trajectories_figure(rows: list[dict]) -> Figure:
    """The paths on the contours, and below them the losses over the steps."""
    figure = Figure(figsize=(WIDTH * 1.5, WIDTH * 1.05))
    grid = figure.subplots(2, len(LANDSCAPES))
    for column, landscape in enumerate(LANDSCAPES):
        above, below = grid[:, column]
        left, right, bottom, top = landscape.window
        x, y = np.meshgrid(np.linspace(left, right, 120), np.linspace(bottom, top, 120))
        z = np.vectorize(lambda a, b, f=landscape.loss: f(np.array([a, b])))(x, y)
        above.contour(x, y, np.log10(z - z.min() + 1e-2), levels=14, colors="#cccccc", linewidths=0.7)
        above.set(title=landscape.title, xlabel="x", ylabel="y" if column == 0 else "", xlim=(left, right), ylim=(bottom, top))
        above.grid(False)
        for i, method in enumerate(METHODS):
            row = next((r for r in rows if r["method"] == method and r["landscape"] == landscape.title), None)
            if row is None:
                continue
            style = {"color": CLASS_COLOURS[i % len(CLASS_COLOURS)], "linestyle": "-" if i < 6 else "--"}
            above.plot(*row["path"].T, marker=".", markersize=2.5, linewidth=1, **style)
            below.semilogy(np.maximum(row["losses"], 1e-10), linewidth=1.2, label=method if column == 0 else None, **style)
        above.plot(*landscape.start, marker="o", color="black", markersize=4)
        below.set(xlabel="step", ylabel="loss above the minimum" if column == 0 else "", ylim=(1e-9, 1e2))
    figure.legend(loc="outside lower center", ncols=8, fontsize=8.5)
    return figure
