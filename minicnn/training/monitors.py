"""Callbacks that watch what happens inside a network while it is trained."""

from __future__ import annotations

import math
from contextlib import ExitStack
from statistics import median
from typing import Any

import numpy as np

from ..layers import Layer, ReLU, ReLU6
from ..layers.activation import Activation
from ..layers.base import Parameter
from ..text import aligned
from .callbacks import Callback
from .run import Run
from .watching import watched

USUAL_RATIO = 1e-3
FAR = 30.0  # times more or less than that
MOSTLY_DEAD = 0.5
ROOT = "network"  # what a network is called that is a single layer
COLUMNS = ("mean", "std", "dead", "gradient_norm", "update_ratio")  # of a record, in this order


class LayerMonitor(Callback):
    """Measures, every few steps, each layer that has weights or is an activation.

    ``update_ratio``
        |dw| / |w|, the length of a step over that of the weights before it, about 0.001 where training goes well. Much more:
        the weights are thrown about; much less: they hardly change.
    ``gradient_norm``
        |dL/dw|, as the optimiser gets it.
    ``mean``, ``std``
        Of all outputs of the layer for this batch, in train mode. From layer to layer they should neither shrink nor grow much.
    ``dead``
        Of ReLU and ReLU6: the fraction of units that are 0 for all samples of the batch, so that none of them gives the unit a
        gradient. A unit is a column of (N, D) or a channel of (N, C, H, W), whose pixels share their weights.

    w are the layer's weights together, without biases, gamma and beta; ratio and norm are None where they are frozen. Training
    goes on as it would without the monitor, to the bit.

    CS231n's notes "Neural Networks 3", "Ratio of weights:updates" and "Activation / Gradient distributions per layer".

    Parameters
    ----------
    every : int
        Steps 1, 1 + every, 1 + 2 every, ... of the run are measured.

    Attributes
    ----------
    records : list of dict
        For each of these steps: "step" (from 1), "epoch", "learning_rate", "loss", and "layers", a dict from the layer's path
        to its five numbers by name.

    Raises
    ------
    ValueError
        If ``every`` is below 1.

    >>> from minicnn.layers import Linear, Sequential
    >>> from minicnn.losses import SoftmaxCrossEntropy
    >>> from minicnn.optim import SGD
    >>> from minicnn.training import Trainer
    >>> net = Sequential(hidden=Linear(2, 8, rng=0), relu=ReLU(), scores=Linear(8, 2, rng=1))
    >>> x = np.random.default_rng(0).normal(size=(64, 2)).astype(np.float32)
    >>> monitor = LayerMonitor(every=1)
    >>> optimizer = SGD(net.parameters(), 0.01)
    >>> _ = Trainer(net, SoftmaxCrossEntropy(), optimizer, epochs=1, callbacks=[monitor]).fit(x, (x[:, 0] > 0).astype(int))
    >>> print(monitor.text())
    step 2, loss 0.565, rate 0.01
    layer     mean   std  dead  gradient_norm  update_ratio
    hidden   -0.01  0.58                 0.22        0.0013
    relu       0.2  0.35    0%
    scores  -0.014  0.27                  0.3        0.0027
    nothing unusual
    """

    def __init__(self, every: int = 50):
        if every < 1:
            raise ValueError(f"LayerMonitor: every is a number of steps, at least 1, got {every}")
        self.every = every
        self.records: list[dict[str, Any]] = []
        self._watch = ExitStack()
        self._outputs: dict[str, _Outputs] = {}
        self._before: dict[str, list[np.ndarray]] = {}

    # ---- the moments of a step

    def on_fit_begin(self, run: Run) -> None:
        self._outputs = {}  # an earlier run may have ended in the middle of a step
        if run.steps_done == 0:  # and not resumed
            self.records = []

    def on_step_begin(self, run: Run) -> None:
        if run.steps_done % self.every == 0:
            self._watch.enter_context(watched(run.model, forward=self._see))

    def on_gradients(self, run: Run) -> None:
        self._watch.close()
        layers = _layers(run.model)
        self._before = {path: [parameter.value.copy() for parameter in _weights(layers[path])] for path in self._outputs}

    def on_step_end(self, run: Run) -> None:
        if not self._outputs:
            return
        layers = _layers(run.model)
        measured = {
            path: outputs.numbers() | _step_of(layers[path], self._before[path]) for path, outputs in self._outputs.items()
        }
        self.records.append(
            {
                "step": run.steps_done,
                "epoch": run.epoch,
                "learning_rate": run.learning_rate,
                "loss": run.loss,
                "layers": measured,
            }
        )
        self._outputs, self._before = {}, {}

    def on_fit_end(self, run: Run) -> None:
        self._watch.close()

    def _see(self, path: str, layer: Layer, y: np.ndarray) -> None:
        if _weights(layer) or isinstance(layer, Activation):
            self._outputs.setdefault(path or ROOT, _Outputs(isinstance(layer, (ReLU, ReLU6)))).add(y)

    # ---- what it remembers

    def state(self) -> dict[str, Any]:
        return {"records": self.records}

    def set_state(self, state: dict[str, Any]) -> None:
        self.records = list(state["records"])

    def series(self, name: str) -> dict[str, tuple[list[int], list[float]]]:
        """One of the five numbers through the run: for each layer that has it, the steps and the values.

        Raises
        ------
        ValueError
            If it is none of the five.
        """
        if name not in COLUMNS:
            raise ValueError(f"LayerMonitor measures {', '.join(COLUMNS)}, and no {name!r}")
        found: dict[str, tuple[list[int], list[float]]] = {}
        for record in self.records:
            for path, numbers in record["layers"].items():
                if numbers[name] is not None:
                    steps, values = found.setdefault(path, ([], []))
                    steps.append(record["step"])
                    values.append(numbers[name])
        return found

    # ---- in words

    def text(self) -> str:
        """The latest record as a table, and below it what is out of the usual."""
        if not self.records:
            return "nothing has been measured yet"
        record = self.records[-1]
        rows = [["layer", *COLUMNS]]
        rows += [[path, *(_cell(name, numbers[name]) for name in COLUMNS)] for path, numbers in record["layers"].items()]
        title = f"step {record['step']}, loss {record['loss']:.3g}, rate {record['learning_rate']:.2g}"
        return "\n".join([title, *aligned(rows, right=range(1, len(COLUMNS) + 1)), *(self.findings() or ["nothing unusual"])])

    def findings(self) -> list[str]:
        """What is out of the usual, a sentence each: ratios by their median over the run, the rest by the latest record."""
        found = [words for path, (_, values) in self.series("update_ratio").items() if (words := _ratio_words(path, values))]
        for path, numbers in self.records[-1]["layers"].items() if self.records else ():
            if numbers["dead"] is not None and numbers["dead"] > MOSTLY_DEAD:
                found.append(
                    f"{path}: {numbers['dead']:.0%} of its units are dead, 0 for all samples of the batch. At a lower rate "
                    "fewer die, and of LeakyReLU none; or the initial weights or biases are wrong"
                )
            if not all(math.isfinite(value) for value in numbers.values() if value is not None):
                found.append(f"{path}: not all of its numbers are finite. The rate is too high, most often")
        return found


class _Outputs:
    """Mean, standard deviation and dead units of a layer's outputs, over all parts of a batch."""

    def __init__(self, can_die: bool):
        self.count, self.total, self.squares = 0, 0.0, 0.0
        self.alive: np.ndarray | None = None
        self.can_die = can_die

    def add(self, y: np.ndarray) -> None:
        self.count += y.size
        self.total += float(y.sum(dtype=np.float64))
        self.squares += float(np.square(y, dtype=np.float64).sum())
        if self.can_die:
            alive = (y != 0).any(axis=tuple(axis for axis in range(y.ndim) if axis != 1))
            self.alive = alive if self.alive is None else self.alive | alive

    def numbers(self) -> dict[str, float | None]:
        mean = self.total / self.count
        variance = max(self.squares / self.count - mean**2, 0.0)  # rounding may make it negative
        dead = None if self.alive is None else 1 - float(self.alive.mean())
        return {"mean": mean, "std": math.sqrt(variance), "dead": dead}


def _layers(model: Layer) -> dict[str, Layer]:
    return {path or ROOT: layer for path, layer in model.walk()}


def _weights(layer: Layer) -> list[Parameter]:
    return [parameter for parameter in layer.parameters().values() if parameter.decays]


def _norm(arrays: list[np.ndarray]) -> float:
    return math.sqrt(sum(float(np.square(array, dtype=np.float64).sum()) for array in arrays))


def _step_of(layer: Layer, before: list[np.ndarray]) -> dict[str, float | None]:
    """Gradient norm and update ratio of the layer's trainable weights."""
    trained = [(p, w) for p, w in zip(_weights(layer), before, strict=True) if p.trainable and p.grad is not None]
    if not trained:
        return {"gradient_norm": None, "update_ratio": None}
    size = _norm([w for _, w in trained])
    ratio = _norm([p.value - w for p, w in trained]) / size if size else None
    return {"gradient_norm": _norm([p.grad for p, _ in trained]), "update_ratio": ratio}


def _cell(name: str, value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.0%}" if name == "dead" else f"{value:.2g}"


def _ratio_words(path: str, values: list[float]) -> str:
    """What is unusual about a layer's update ratios; '' where nothing is."""
    ratio = median(values)
    words = f"{path}: a step changes its weights by {ratio:.1e} of their length, usually it is about {USUAL_RATIO:g}"
    if ratio == 0:
        return f"{path}: its weights do not change; its gradient or its rate is 0"
    if ratio > FAR * USUAL_RATIO:
        return f"{words}. The rate is too high for it, or its weights are too small"
    if ratio < USUAL_RATIO / FAR:
        return f"{words}. The rate is too low for it, its gradient vanishes on the way, or its weights are too large"
    return ""
