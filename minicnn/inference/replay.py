"""For inference with a small network and few pictures: its loops, recorded once and then run again.

Between two layers one thread is in Python, checks the layer's input, makes room for its output, looks up how the work is
divided and tells the others, who wait. That is nothing to a large layer, but a good part of the time of a small network with
twenty of them. The second time an input of the same shape comes, all loops are therefore written down while they run, and from
then on run by `minicnn.runtime.replay`.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np

from ..layers import (
    AvgPool2d,
    Concat,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    LocalResponseNorm,
    MaxPool2d,
    ReLU,
    ReLU6,
    Residual,
    Sequential,
)
from ..layers.base import Layer
from ..layers.norm_activation import NormActivation
from ..runtime.blas import one_blas_thread
from ..runtime.memory import Pool
from ..runtime.parallel import PooledMemory, current, using
from ..runtime.plans import plan_key
from ..runtime.process import process
from ..runtime.replay import Recording, Tape, Taping
from .fused_layers import FusedConcat, FusedConv2d, FusedInvertedResidual

MOST = 1_000_000_000  # multiply-adds: with more there is little to gain, and a recording keeps memory for them
Step = Layer | NormActivation


class Replayer:
    """Runs the steps of a fused network, the lowest of them from a recording, as many as are `REPLAYABLE`.

    Each thread that comes here has one recording, for inputs like its latest. When another shape comes, or dtype, or number of
    threads, all runs as usual, and is recorded if the same comes again. A copy, or what another process gets, begins empty.

    What is not recorded has the memory of its large maps from the ``pool``.
    """

    def __init__(self) -> None:
        self.here, self.pool = threading.local(), Pool()

    def __reduce__(self) -> tuple:
        return Replayer, ()

    def forward(self, steps: list[Step], x: np.ndarray) -> np.ndarray:
        """What the steps make of x, one after another."""
        executor = current()
        with one_blas_thread():
            if executor is process.executor:  # not within a task of somebody's loop, nor while others record
                x, steps = self._replay(steps, x)
            # a tape has memory of its own, which the loops that are written on it must use
            with using(executor if isinstance(executor, Taping) else PooledMemory(executor, self.pool)):
                for step in steps:
                    x = step.forward(x)
        return x

    def _replay(self, steps: list[Step], x: np.ndarray) -> tuple[np.ndarray, list[Step]]:
        """The output of those that it has run, and those above, which are still to be run."""
        key, here = plan_key(x), self.here.__dict__
        if key is None or key != here.get("key"):
            here.clear()
            here["key"] = key
            return x, steps
        if "recorded" not in here:
            recorded = here["recorded"] = _record(steps, x)
            has_run = recorded is not None
        else:
            recorded = here["recorded"]
            has_run = recorded is not None and recorded.run(steps, x)
        return (recorded.y.copy(), steps[len(recorded.layers) :]) if has_run else (x, steps)


class FusedNetwork(Sequential):
    """A network that `fuse` has made: small ones are replayed, see `replay`, and large maps have their memory from a pool."""

    def __init__(self, *layers: Layer, **named: Layer):
        super().__init__(*layers, **named)
        self.replayer = Replayer()

    def forward(self, x: np.ndarray) -> np.ndarray:
        if self.training or self.remembers:
            return super().forward(x)  # whose layers say why not
        return self.replayer.forward(self.steps(), x)

    def split(self, after: str) -> tuple[FusedNetwork, FusedNetwork]:
        lower, upper = super().split(after)
        return FusedNetwork(**lower.layers), FusedNetwork(**upper.layers)


@dataclass(frozen=True)
class _Recorded:
    """Layers, those inside them included as ``watched``, and what they do with the numbers in x to get those in y."""

    layers: list[Layer]
    watched: list[Layer]
    recording: Recording
    x: np.ndarray
    y: np.ndarray

    def run(self, steps: list[Step], x: np.ndarray) -> bool:
        """False, and nothing is run, where it cannot be: other layers, another mode, somebody has the threads at the moment."""
        if steps[: len(self.layers)] != self.layers or not all(map(_is_in_order, self.watched)):
            return False
        np.copyto(self.x, x)
        return self.recording.run()


def _record(steps: list[Step], x: np.ndarray) -> _Recorded | None:
    """Runs the lowest layers. They have run before: what is planned in the first pass belongs to no recording.

    None, and nothing is run, where there are none to record, or too much work for it.
    """
    lowest, shape, multiply_adds = [], x.shape, 0
    for step in steps:
        if type(step) is NormActivation or not _is_replayable(step):
            break
        multiply_adds += step.multiply_adds(shape)
        shape = step.output_shape(shape)
        lowest.append(step)
    if not lowest or multiply_adds > MOST:
        return None
    x, size = x.copy(order="C"), 0
    for _ in range(2):  # the first time tells how much memory it takes
        tape, y = Tape(size), x
        with using(Taping(current(), tape)):
            for layer in lowest:
                tape.next_layer(y)
                y = layer.forward(y)
        size = tape.size
    return _Recorded(lowest, [inner for layer in lowest for _, inner in layer.walk()], Recording(tape.loops), x, y)


# All that ``forward`` of these very classes computes in inference, beside what layers inside do, it computes in parallel loops
# that read x and what does not change. A class that is derived from them may compute otherwise.
REPLAYABLE = frozenset(
    {AvgPool2d, Concat, Dropout, Flatten, FusedConcat, FusedConv2d, FusedInvertedResidual, FusedNetwork, GlobalAvgPool2d}
    | {LocalResponseNorm, MaxPool2d, ReLU, ReLU6, Residual, Sequential}
)


def _is_replayable(layer: Layer) -> bool:
    return type(layer) in REPLAYABLE and _is_in_order(layer) and all(map(_is_replayable, layer.children().values()))


def _is_in_order(layer: Layer) -> bool:
    """In inference mode (dropout drops in the other), and nobody watches it: neither a ``forward`` nor an algorithm was set."""
    attributes = vars(layer)
    return not layer.training and "forward" not in attributes and attributes.get("_algorithm") is None
