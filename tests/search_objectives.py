"""What tests have done in other processes: in a module of its own, so that these can import it, and quickly."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np


def hill(settings, budget, seed):
    """Highest at a rate of 0.01, and a little higher with each epoch."""
    noise = np.random.default_rng(seed).normal()
    return 1 - (np.log10(settings["lr"]) + 2) ** 2 / 10 + 0.01 * budget + 1e-3 * noise


def train(settings, budget, seed):
    """The last loss, negative, of a small network: a number whose last bit shows if anything was computed in another order."""
    from minicnn.layers import Linear, ReLU, Sequential
    from minicnn.losses import SoftmaxCrossEntropy
    from minicnn.optim import SGD
    from minicnn.training import Trainer

    rng = np.random.default_rng(seed)
    x = rng.normal(size=(200, 40)).astype(np.float32)
    y = (x[:, 0] * x[:, 1] > 0).astype(np.int64)
    model = Sequential(lower=Linear(40, 60, rng=seed), relu=ReLU(), upper=Linear(60, 2, rng=seed + 1))
    optimizer = SGD(model.parameters(), settings["lr"], weight_decay=settings["reg"])
    trainer = Trainer(model, SoftmaxCrossEntropy(), optimizer, epochs=budget, seed=seed, progress=False)
    return -trainer.fit(x, y).epochs[-1]["loss"]


def fails_for_large_rates(settings, budget, seed):
    if settings["lr"] > 0.01:
        raise RuntimeError("the loss is nan")
    return settings["lr"]


@dataclass(frozen=True)
class Deadly:
    """Trains; but the first time that it is called anywhere, it ends its process without a word."""

    folder: Path

    def __call__(self, settings, budget, seed):
        try:
            (self.folder / "died").mkdir()
        except FileExistsError:
            return train(settings, budget, seed)
        os._exit(7)


def deadly_at_large_rates(settings, budget, seed):
    return os._exit(7) if settings["lr"] > 0.01 else 0.5


def slow(settings, budget, seed):
    time.sleep(0.05)
    return hill(settings, budget, seed)


def codes_of_block_until_killed(folder, original, *arguments):
    """The codes of a block; but the third time that this is called anywhere, it ends its process without a word."""
    for call in ("first", "second", "third"):
        if not (folder / call).exists():
            (folder / call).mkdir(exist_ok=True)
            break
    else:
        call = "later"
    return os._exit(7) if call == "third" else original(*arguments)
