"""Trains LeNet-5 on MNIST with minicnn, and writes lenet5_mnist.h5 and its entry in manifest.json beside this file.

    python weights/train_lenet5.py [--mnist FOLDER] [--epochs 12] [--seed 0]

FOLDER has the four MNIST files; by default it is ``mnist`` in the folder that MINICNN_DATA names. 5,000 of the 60,000 training
pictures are kept aside: by them the learning rate, the best epoch and the precision of the stored weights are chosen. The test
pictures are looked at once, at the end, with the file that was written.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import sys
import time
from pathlib import Path

import numpy as np

import minicnn
from minicnn.cache import write_atomically
from minicnn.data.augmentation import Augmentation
from minicnn.data.mnist import load_mnist
from minicnn.errors import DataError
from minicnn.losses import SoftmaxCrossEntropy
from minicnn.models import Model, lenet5
from minicnn.optim import SGD
from minicnn.schedules import one_cycle
from minicnn.training import Trainer

HERE = Path(__file__).resolve().parent
NAME = "lenet5_mnist"
VALIDATION = 5_000
BATCH_SIZE = 64
WEIGHT_DECAY = 5e-4
AUGMENTATION = Augmentation(shift=0.08, min_scale=0.9)  # up to 2 pixels to all sides; a little larger
SEARCHED_RATES = (0.02, 0.05, 0.1)
SEARCH_EPOCHS = 1


def trainer_of(model: Model, learning_rate: float, epochs: int, seed: int, label: str) -> Trainer:
    optimizer = SGD(model.parameters(), learning_rate, momentum=0.9, nesterov=True, weight_decay=WEIGHT_DECAY)
    return Trainer(
        model,
        SoftmaxCrossEntropy(),
        optimizer,
        epochs=epochs,
        batch_size=BATCH_SIZE,
        schedule=one_cycle(),
        seed=seed,
        augment=AUGMENTATION,
        prepare=model.preprocessing.normalise,
        label=label,
    )


def accuracy(model: Model, x: np.ndarray, y: np.ndarray) -> float:
    """The share of right predictions for digits as they are in MNIST's files."""
    right = 0
    for start in range(0, len(x), 500):
        scores = model.forward(model.preprocessing.normalise(x[start : start + 500]))
        right += int((scores.argmax(axis=1) == y[start : start + 500]).sum())
    return right / len(x)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mnist", type=Path, help="folder of the four MNIST files")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    try:
        x, y, x_test, y_test = load_mnist(options.mnist)
    except DataError as error:
        sys.exit(f"train_lenet5.py: {error}")
    order = np.random.default_rng(options.seed).permutation(len(x))
    val, train = order[:VALIDATION], order[VALIDATION:]
    parts = x[train], y[train], x[val], y[val]
    print(f"{len(train):,} digits to train on, {len(val):,} to choose by, {len(x_test):,} to test with")

    best_epochs = {}
    for rate in SEARCHED_RATES:
        trainer = trainer_of(lenet5(rng=options.seed), rate, SEARCH_EPOCHS, options.seed, f"rate {rate}")
        best = best_epochs[rate] = trainer.fit(*parts).best
        print(f"learning rate {rate:<5} {SEARCH_EPOCHS} epoch: validation accuracy {best['val_accuracy']:.2%}")
    rate = max(best_epochs, key=lambda rate: (best_epochs[rate]["val_accuracy"], -best_epochs[rate]["val_loss"]))

    started = time.perf_counter()
    model = lenet5(rng=options.seed)
    model.classes = [str(digit) for digit in range(10)]
    history = trainer_of(model, rate, options.epochs, options.seed, "LeNet-5").fit(*parts)
    for epoch in history.epochs:
        print(
            f"epoch {epoch['epoch']:>2}  loss {epoch['loss']:.4f}  training {epoch['train_accuracy']:.2%}  "
            f"validation {epoch['val_accuracy']:.2%}  {epoch['seconds']:.0f} s"
        )
    print(f"learning rate {rate}: best epoch {history.best_epoch}, {time.perf_counter() - started:.0f} s")

    date = datetime.date.today().isoformat()
    facts = {
        "architecture": "lenet5, 61,706 parameters; input 1 x 28 x 28, white strokes on black",
        "data": "MNIST (LeCun, Cortes, Burges 1998): 55,000 training pictures, 5,000 for validation, shifted and scaled",
        "seed": options.seed,
        "command": f"python weights/train_lenet5.py --epochs {options.epochs} --seed {options.seed}",
        "date": date,
        "licence": "MIT",
        "minicnn": minicnn.__version__,
    }
    model.provenance = facts | {"saved": date}
    path = HERE / f"{NAME}.h5"
    validation = {}
    for dtype in ("float32", "float16"):
        model.save(path, dtype)
        validation[dtype] = accuracy(minicnn.load(path), x[val], y[val])
        print(f"stored as {dtype}: {path.stat().st_size:,} bytes, validation accuracy {validation[dtype]:.2%}")
    dtype = "float16" if validation["float16"] >= validation["float32"] else "float32"
    model.save(path, dtype)

    stored = accuracy(minicnn.load(path), x_test, y_test)
    print(f"kept {dtype}; test accuracy {stored:.2%} (before storing: {accuracy(model, x_test, y_test):.2%})")
    entry = {
        "name": NAME,
        "file": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "bytes": path.stat().st_size,
        **facts,
        "stored_as": dtype,
        "validation_accuracy": round(validation[dtype], 4),
        "test_accuracy": round(stored, 4),
    }
    manifest_path = HERE / "manifest.json"
    manifest = json.loads(manifest_path.read_text(encoding="utf-8")) if manifest_path.exists() else []
    manifest = [other for other in manifest if other["name"] != NAME] + [entry]
    with write_atomically(manifest_path) as temporary:
        temporary.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    print(f"wrote {path.name} and manifest.json in {HERE}")


if __name__ == "__main__":
    sys.exit(main())
