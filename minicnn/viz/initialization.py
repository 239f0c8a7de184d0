"""What becomes of signals in a deep network before any training, by how its weights start.

CS231n, "Training Neural Networks, part 1": ten layers of the same width, Gaussian inputs, a histogram of each layer's outputs.
Weights that are too small let the signal die out on its way, and with it the gradients, which are products with it; weights
that are too large saturate tanh, and make ReLU's outputs grow without bound.
Glorot and Bengio 2010, figure 6; He et al. 2015, section 2.2; Ioffe and Szegedy 2015, section 3.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from ..initializers import Initializer, msra, normal, xavier
from ..layers import BatchNorm1d, Linear, ReLU, Sequential, Tanh
from ..models.activations import activations
from .style import TRAIN, WIDTH, styled

ACTIVATIONS = {"tanh": Tanh, "relu": ReLU}
BINS = 31
SIZE = 0.62  # inches, of a histogram


class Start(NamedTuple):
    """How a network starts: the initializer of its weights, and whether a batch norm stands before each activation."""

    initializer: Initializer
    batch_norm: bool = False


STARTS = {
    "too small: 0.01": Start(normal(0.01)),
    "too large: 0.2": Start(normal(0.2)),
    "Xavier": Start(xavier),
    "MSRA": Start(msra),
    "0.01, batch norm": Start(normal(0.01), batch_norm=True),
    "0.2, batch norm": Start(normal(0.2), batch_norm=True),
}


def activations_through_depth(
    activation: str, start: Start, *, depth: int = 10, width: int = 500, samples: int = 1000, seed: int = 0
) -> list[np.ndarray]:
    """The outputs (samples, width) of each of ``depth`` layers, for inputs from a standard normal distribution.

    A layer is a `minicnn.layers.Linear`, a batch norm if there is one (in train mode), and the activation, "tanh" or "relu".

    Raises
    ------
    ValueError
        For another activation.
    """
    if activation not in ACTIVATIONS:
        raise ValueError(f"the activation is {' or '.join(ACTIVATIONS)}, got {activation!r}")
    rng = np.random.default_rng(seed)
    net, outputs = Sequential(), []
    for i in range(1, depth + 1):
        net.append(f"linear{i}", Linear(width, width, initializer=start.initializer, rng=rng))
        if start.batch_norm:
            net.append(f"norm{i}", BatchNorm1d(width))
        net.append(f"activation{i}", ACTIVATIONS[activation]())
        outputs.append(f"activation{i}")
    x = rng.standard_normal((samples, width), dtype=np.float32)
    return list(activations(net.train(), x, outputs).values())


@styled
def initialization_figure(
    activation: str = "tanh", *, depth: int = 10, width: int = 500, samples: int = 1000, seed: int = 0
) -> Figure:
    """A row for each way to start, a histogram for each layer, and above it the outputs' standard deviation.

    Tanh is drawn from -1 to 1, ReLU from 0 to where the outputs of the row's first layer end, with what is larger in the last
    bar, and without the zeros (about half of the outputs). Everything is computed anew, in a second or two.

    Parameters are those of `activations_through_depth`.

    >>> initialization_figure("relu").savefig("initialization_relu.png")  # doctest: +SKIP
    """
    size = {"depth": depth, "width": width, "samples": samples, "seed": seed}
    rows = {name: activations_through_depth(activation, start, **size) for name, start in STARTS.items()}
    figure = Figure(figsize=(WIDTH + 1.2, SIZE * len(rows) + 0.9))
    grid = figure.subplots(len(rows), depth, squeeze=False)
    for row, (name, outputs) in zip(grid, rows.items(), strict=True):
        _draw_row(row, name, outputs, activation)
    for i, axes in enumerate(grid[-1], 1):
        axes.set_xlabel(f"layer {i}" if i == 1 else str(i), size=8)
    name = ACTIVATIONS[activation].__name__
    title = f"{name}: outputs of {depth} layers of {width} units by their initial weights; above each, the standard deviation"
    figure.suptitle(title, size=9.5, x=0.01, ha="left")
    return figure


def _draw_row(row, name: str, outputs: list[np.ndarray], activation: str) -> None:
    reach = 1.0 if activation == "tanh" else float(np.quantile(outputs[0], 0.999))
    for axes, y in zip(row, outputs, strict=True):
        shown = y if activation == "tanh" else y[y > 0]
        low = -reach if activation == "tanh" else 0.0
        counts, edges = np.histogram(np.clip(shown, low, reach), BINS, (low, reach))
        axes.stairs(counts / max(counts.max(), 1), edges, fill=True, color=TRAIN)
        axes.set(xlim=(low, reach), ylim=(0, 1.05), xticks=[], yticks=[])
        axes.set_title(f"{float(f'{y.std():.2g}'):g}", size=7.5, loc="center", pad=2)
    row[0].set_ylabel(name, rotation=0, ha="right", va="center", size=8.5)
