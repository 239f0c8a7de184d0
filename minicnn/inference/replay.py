"""Small networks on few inputs: in inference their loops are recorded once, and then run again without the layers.

Between two layers one thread is in Python: it checks the layer's input, makes room for its output, looks up how the work is
divided and wakes the other threads, which wait meanwhile. Beside a large layer that is nothing, but a network of twenty small
ones spends a good part of its time there.

A fused network therefore runs in three ways. The first input of a shape goes through the layers as usual, which make their
plans for it. The second one goes through them as well, while `minicnn.runtime.replay` records every parallel loop that they
start. From the third on, the input is copied to where the recorded loops read it, every thread goes through its tasks of all
loops, and a copy of the output is returned: no layer is called any more.

A network runs in *steps*: a step is a layer, or a batch norm together with the ReLU above it (`Sequential.steps`). The lowest
steps of a network are recorded, up to the first whose class is not in `REPLAYABLE`; those above it run as usual.
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

MAX_MULTIPLY_ADDS = 1_000_000_000  # of what is recorded; with more there is little to gain, and each recording keeps memory

Step = Layer | NormActivation


class FusedNetwork(Sequential):
    """A network that `fuse` has made: its lowest steps are replayed, and its large maps take their memory from a pool."""

    def __init__(self, *layers: Layer, **named: Layer):
        super().__init__(*layers, **named)
        self.replayer = Replayer()

    def forward(self, x: np.ndarray) -> np.ndarray:
        if self.training or self.remembers:
            return super().forward(x)  # where the fused layers refuse to be trained
        return self.replayer.forward(self.steps(), x)

    def split(self, after: str) -> tuple[FusedNetwork, FusedNetwork]:
        lower, upper = super().split(after)
        return FusedNetwork(**lower.layers), FusedNetwork(**upper.layers)


# The classes whose layers may be recorded: this is decided here and nowhere else. Their promise: whatever ``forward`` computes
# in inference, it computes in parallel loops that read only x and what does not change, or it leaves it to the layers within.
# A class derived from one of these may compute otherwise, and has promised nothing.
REPLAYABLE = frozenset(
    {AvgPool2d, Concat, Dropout, Flatten, FusedConcat, FusedConv2d, FusedInvertedResidual, FusedNetwork, GlobalAvgPool2d}
    | {LocalResponseNorm, MaxPool2d, ReLU, ReLU6, Residual, Sequential}
)


class Replayer:
    """Runs the steps of a fused network, the lowest of them from a recording where there is one.

    Each of the user's threads has a recording of its own, for inputs like its latest one. An input of another shape or dtype,
    or another number of threads, takes its place: such an input runs as usual, and is recorded if the next one is like it. A
    copy begins without recordings, and so does what is unpickled.

    The steps that are not replayed take the memory of their large maps from the ``pool``.
    """

    def __init__(self) -> None:
        self.of_thread, self.pool = threading.local(), Pool()

    def __reduce__(self) -> tuple:
        return Replayer, ()

    def forward(self, steps: list[Step], x: np.ndarray) -> np.ndarray:
        """What the steps make of x, one after another."""
        executor = current()
        with one_blas_thread():
            if (
                executor is process.executor
            ):  # not within a task of another loop, nor while a network around this one is recorded
                x, steps = self._replay(steps, x)
            # what is being recorded must use the memory of its tape
            with using(executor if isinstance(executor, Taping) else PooledMemory(executor, self.pool)):
                for step in steps:
                    x = step.forward(x)
        return x

    def _replay(self, steps: list[Step], x: np.ndarray) -> tuple[np.ndarray, list[Step]]:
        """Replay as many of the steps as possible; returns their output, and the steps above, which are still to be run."""
        key, latest = plan_key(x), self.of_thread.__dict__
        if key is None or key != latest.get("key"):  # the first input of its kind
            latest.clear()
            latest["key"] = key
            return x, steps
        if "recorded" not in latest:  # the second one
            recorded = latest["recorded"] = _record(steps, x)
            has_run = recorded is not None
        else:
            recorded = latest["recorded"]
            has_run = recorded is not None and recorded.run(steps, x)
        return (recorded.y.copy(order="K"), steps[len(recorded.steps) :]) if has_run else (x, steps)


@dataclass(frozen=True)
class _RecordedSteps:
    """Steps of a network, and the recording of their loops, which reads its input from ``x`` and writes its output to ``y``.

    ``layers`` are the steps and all layers within them.
    """

    steps: list[Step]
    layers: list[Layer]
    recording: Recording
    x: np.ndarray
    y: np.ndarray

    def run(self, steps: list[Step], x: np.ndarray) -> bool:
        """False, and nothing is run, if a layer has been exchanged or changed since, or another thread is using the pool."""
        if steps[: len(self.steps)] != self.steps or not all(map(_behaves_as_its_class, self.layers)):
            return False
        np.copyto(self.x, x)
        return self.recording.run()


def _record(steps: list[Step], x: np.ndarray) -> _RecordedSteps | None:
    """Run and record the lowest steps; None, and nothing is run, if none is replayable or they are too much work.

    The steps have run on such an input before: the plans that they made for it do not become part of the recording.
    """
    lowest, shape, multiply_adds = [], x.shape, 0
    for step in steps:
        if not _is_replayable(step):
            break
        multiply_adds += step.multiply_adds(shape)
        shape = step.output_shape(shape)
        lowest.append(step)
    if not lowest or multiply_adds > MAX_MULTIPLY_ADDS:
        return None
    x, size = x.copy(order="K"), 0
    for _ in range(2):  # the first time shows how large the tape's buffers must be
        tape, y = Tape(size), x
        with using(Taping(current(), tape)):
            for step in lowest:
                tape.switch_buffer(y)
                y = step.forward(y)
        size = tape.size
    return _RecordedSteps(lowest, [inner for step in lowest for _, inner in step.walk()], Recording(tape.loops), x, y)


def _is_replayable(step: Step) -> bool:
    return type(step) in REPLAYABLE and _behaves_as_its_class(step) and all(map(_is_replayable, step.children().values()))


def _behaves_as_its_class(layer: Layer) -> bool:
    """Whether the layer is in inference mode (in the other, dropout drops) and has no ``forward`` or algorithm of its own.

    Somebody who wants to see what a layer does puts a ``forward`` in its place, or chooses an algorithm to step through.
    """
    attributes = vars(layer)
    return not layer.training and "forward" not in attributes and attributes.get("_algorithm") is None
