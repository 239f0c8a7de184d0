"""For inference with a small network and few pictures: its loops, recorded once and then run again.

Between two layers one thread is in Python, checks the layer's input, makes room for its output, looks up how the work is
divided and tells the others, who wait. That is nothing to a large layer, but a good part of the time of a small network with
twenty of them. The second time an input of the same shape comes, all loops are therefore written down while they run, and from
then on run by `minicnn.kernels.recording`.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np

from ..kernels.algorithm import forced
from ..kernels.memory import Pool
from ..kernels.recording import Recording, Tape
from ..kernels.threads import get_threads, is_inside, is_recording, recorded_loops
from .base import Layer

MOST = 1_000_000_000  # multiply-adds: with more there is little to gain, and a recording keeps memory for them


class Recorder:
    """Runs the lowest layers of a fused network, as many of them as have ``loops_only``.

    Each thread that comes here has one recording, for inputs like its latest. When another shape comes, or type, or number of
    threads, all runs as usual, and is recorded if the same comes again. A copy, or what another process gets, begins empty.

    What is not recorded has the memory of its large maps from the ``pool``.
    """

    def __init__(self) -> None:
        self.here, self.pool = threading.local(), Pool()

    def __reduce__(self) -> tuple:
        return Recorder, ()

    def forward(self, layers: list[Layer], x: np.ndarray) -> tuple[np.ndarray, list[Layer]]:
        """The output of those that it has run, and those above, which are still to be run."""
        if type(x) is not np.ndarray or is_inside() or is_recording():
            return x, layers
        kind, here = (x.shape, x.dtype, get_threads(), forced()), self.here.__dict__
        if kind != here.get("kind"):
            here.clear()
            here["kind"] = kind
            return x, layers
        if "recorded" not in here:
            recorded = here["recorded"] = _record(layers, x)
            has_run = recorded is not None
        else:
            recorded = here["recorded"]
            has_run = recorded is not None and recorded.run(layers, x)
        return (recorded.y.copy(), layers[len(recorded.layers) :]) if has_run else (x, layers)


@dataclass(frozen=True)
class _Recorded:
    """Layers, those inside them included as ``watched``, and what they do with the numbers in x to get those in y."""

    layers: list[Layer]
    watched: list[Layer]
    recording: Recording
    x: np.ndarray
    y: np.ndarray

    def run(self, layers: list[Layer], x: np.ndarray) -> bool:
        """False, and nothing is run, where it cannot be: other layers, another mode, somebody has the threads at the moment."""
        if layers[: len(self.layers)] != self.layers or not all(map(_is_in_order, self.watched)):
            return False
        np.copyto(self.x, x)
        return self.recording.run()


def _record(layers: list[Layer], x: np.ndarray) -> _Recorded | None:
    """Runs the lowest layers. They have run before: what is prepared in the first pass belongs to no recording.

    None, and nothing is run, where there are none to record, or too much work for it.
    """
    lowest, shape, multiply_adds = [], x.shape, 0
    for layer in layers:
        if not _has_loops_only(layer):
            break
        multiply_adds += layer.multiply_adds(shape)
        shape = layer.output_shape(shape)
        lowest.append(layer)
    if not lowest or multiply_adds > MOST:
        return None
    x, size = x.copy(order="C"), 0
    for _ in range(2):  # the first time tells how much memory it takes
        tape, y = Tape(size), x
        with recorded_loops(tape):
            for layer in lowest:
                tape.next_layer(y)
                y = layer.forward(y)
        size = tape.size
    return _Recorded(lowest, [inner for layer in lowest for _, inner in layer.walk()], Recording(tape.loops), x, y)


def _has_loops_only(layer: Layer) -> bool:
    """Whether its very class says so: one that is derived from it may compute otherwise."""
    is_promised = vars(type(layer)).get("loops_only", False)
    return is_promised and _is_in_order(layer) and all(map(_has_loops_only, layer.children().values()))


def _is_in_order(layer: Layer) -> bool:
    """In inference mode (dropout drops in the other), and without a ``forward`` of somebody who watches it."""
    return not layer.training and "forward" not in vars(layer)
