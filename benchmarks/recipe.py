"""How long fine-tuning in ``minicnn transfer --full`` takes for one split of the solar cells, and the same recipe in PyTorch.

::

    python -m benchmarks.recipe [--quick] [--threads N]

A run of the recipe is tens of thousands of pictures through the network, of a few kinds: through the frozen layers once, in
training steps of two sizes of network and of picture, and through the network without training. A batch of each kind is timed
on both sides in turns, and multiplied by how many there are. Both sides vary and normalise the pictures with the same NumPy
code; their steps are forward, softmax cross-entropy, backward and AdamW. PyTorch's are eager, in the faster of its two memory
layouts, and its frozen layers run under ``inference_mode``.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicnn import models
from minicnn.data.augmentation import CELLS
from minicnn.data.preprocessing import TEST_TIME_VIEWS, Preprocessing
from minicnn.data.splits import TEST_FRACTION, VAL_FRACTION
from minicnn.experiment.presets import PRESETS
from minicnn.experiment.ways import LONGER
from minicnn.inference.batches import infer
from minicnn.inference.fusion import fuse
from minicnn.layers import Sequential
from minicnn.losses import SoftmaxCrossEntropy
from minicnn.optim import AdamW
from minicnn.transfer.finetune import Phase
from minicnn.transfer.surgery import UPPER_FROZEN, freeze_point

from .__main__ import settings_of
from .machine import describe, summary_of
from .table import format_table
from .timing import race

NETWORK, PICTURES, CLASSES = models.efficientnet_lite0, 2624, 2
BATCH, RATE = Phase.batch_size, 1e-4  # so slow that numbers stay ordinary over all repetitions
VIEWS = TEST_TIME_VIEWS["square"]  # of a test picture, whose scores are averaged
HEADINGS = {
    "title": f"batches of {BATCH} pictures",
    "batches": "batches",
    "ours_ms": "ours ms",
    "torch_ms": "torch ms",
    "ratio": "ratio",
    "ours_minutes": "ours min",
    "torch_minutes": "torch min",
}

Calls = dict[str, Callable[[], object]]


@dataclass(frozen=True)
class Work:
    """One kind of work.

    Attributes
    ----------
    title : str
    batches : int
        How many there are in one run of the recipe.
    layer : Sequential
        What the pictures go through.
    prepare : function
        Makes a batch of its input, float32.
    mode : "step", "forward" or "fused"
        A training step; a pass in eval mode, as the trainer validates; or one of the fused network.
    frozen_until : str, optional
        In a step, the layer up to which the network is frozen; here that part is fused.
    """

    title: str
    batches: int
    layer: Sequential
    prepare: Callable[[], np.ndarray]
    mode: str
    frozen_until: str | None = None


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recipe", description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="rough times")
    parser.add_argument("--threads", metavar="N", type=int, help="of both sides; as many as there are cores if not given")
    settings = settings_of(parser.parse_args(arguments))
    rows = []
    for work in works():
        rows.append(_row(work, race(_our_calls(work), _calls_in_torch(work) if settings.torch else {}, settings.seconds)))
    machine = describe(settings.threads, settings.limits)
    print(f"{summary_of(machine)}, {machine['date']}")
    print(format_table([*rows, _total(rows)], HEADINGS))
    return 0


def works() -> Iterator[Work]:
    """The work of fine-tuning in the full mode, one network at a time."""
    preset, rng = PRESETS["full"], np.random.default_rng(0)
    test = round(TEST_FRACTION * PICTURES)
    val = round(VAL_FRACTION * (PICTURES - test))
    train = PICTURES - test - val
    model = NETWORK(rng=0)
    model.replace_head(CLASSES, rng=0)
    lower, upper = model.split(freeze_point(model, UPPER_FROZEN))
    side = model.input_shape[1]
    large = round(preset.final.scale * side)
    prepare = {side: _pictures(rng, side) for side in (side, large)}
    codes = rng.standard_normal(lower.output_shape((BATCH, *model.input_shape)), np.float32)

    yield Work("frozen lower layers", _batches(train * preset.upper.views + val), lower, prepare[side], "fused")
    epochs = LONGER * preset.upper.epochs
    yield Work("steps of the upper layers", epochs * _batches(train), upper, codes.copy, "step")
    yield Work("upper layers, validation", epochs * _batches(val), upper, codes.copy, "forward")
    lowest = freeze_point(model, preset.frozen)
    model.freeze(until=lowest)
    yield Work("validation after each epoch", preset.more.epochs * _batches(val), model, prepare[side], "forward")
    # both strategies are scored on the validation pictures; on the test pictures the first at one size, the second at the other
    for size, steps, scored in (
        (side, preset.more.epochs * _batches(train), 2 * val + test),
        (large, preset.final.epochs * _batches(train + val), test),
    ):
        yield Work(f"steps of all but the lowest, {size}x{size}", steps, model, prepare[size], "step", lowest)
        yield Work(f"scores of all versions, {size}x{size}", VIEWS * _batches(scored), model, prepare[size], "fused")


def _pictures(rng: np.random.Generator, side: int) -> Callable[[], np.ndarray]:
    """Makes a batch of noise, varied as cells are, and normalised."""
    grey = rng.integers(0, 256, (BATCH, side, side, 1), np.uint8)
    preprocessing = Preprocessing(size=side, mean=127.0, std=128.0)
    return lambda: preprocessing.normalise(CELLS(grey, rng))


def _batches(pictures: int) -> int:
    return math.ceil(pictures / BATCH)


# ---- the two sides


def _our_calls(work: Work) -> Calls:
    layer, loss, targets = work.layer, SoftmaxCrossEntropy(), np.arange(BATCH) % CLASSES
    if work.mode == "forward":
        return {"": lambda: layer.eval().forward(work.prepare())}
    if work.mode == "fused":
        fused = fuse(layer)

        def through() -> np.ndarray:
            x = work.prepare()
            return infer(fused, BATCH, lambda indices: x[indices])

        return {"": through}
    lower, upper = (Sequential(), layer) if work.frozen_until is None else layer.split(work.frozen_until)
    frozen, optimizer = fuse(lower), AdamW(upper.parameters(), RATE)
    upper.train()
    upper.needs_dx = False

    def step() -> float:
        value = loss.forward(upper.forward(frozen.forward(work.prepare())), targets)
        upper.backward(loss.backward())
        optimizer.step()
        return value

    return {"": step}


def _calls_in_torch(work: Work) -> Calls:
    import torch
    from torch.nn import functional as F

    from .torch_modules import LAYOUTS, in_layout, train
    from .torch_twin import twin

    targets = torch.arange(BATCH) % CLASSES
    module = twin(work.layer, work.prepare().shape)

    def through(there, layout: str) -> Callable[[], object]:
        there.eval()

        def call() -> object:
            with torch.inference_mode():
                return there(in_layout(torch.from_numpy(work.prepare()), layout))

        return call

    def step(there, layout: str) -> Callable[[], float]:
        train(there)
        optimizer = torch.optim.AdamW([p for p in there.parameters() if p.requires_grad], RATE, fused=True)

        def call() -> float:
            optimizer.zero_grad()
            loss = F.cross_entropy(there(in_layout(torch.from_numpy(work.prepare()), layout)), targets)
            loss.backward()
            optimizer.step()
            return loss.item()

        return call

    make = step if work.mode == "step" else through
    return {layout: make(in_layout(module, layout), layout) for layout in LAYOUTS}


# ---- the table


def _row(work: Work, times: dict[str, Any]) -> dict[str, Any]:
    row = {"title": work.title, "batches": work.batches} | times
    for side in ("ours", "torch"):
        if f"{side}_ms" in times:
            row[f"{side}_minutes"] = work.batches * times[f"{side}_ms"] / 60_000
    return row | ({"ratio": times["torch_ms"] / times["ours_ms"]} if "torch_ms" in times else {})


def _total(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    total: dict[str, Any] = {"title": "the whole recipe", "batches": sum(row["batches"] for row in rows)}
    for side in ("ours", "torch"):
        if f"{side}_minutes" in rows[0]:
            total[f"{side}_minutes"] = sum(row[f"{side}_minutes"] for row in rows)
    if "torch_minutes" in total:
        total["ratio"] = total["torch_minutes"] / total["ours_minutes"]
    return total


if __name__ == "__main__":
    raise SystemExit(main())
