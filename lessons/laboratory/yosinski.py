"""The trainings of Yosinski et al. 2014: layers that know one half of the classes, in a network for the same or the other half.

With classes split into halves A and B, and networks baseA and baseB trained on them from a random start:

    BnB    selffer    layers 1..n of baseB, frozen; the layers above start anew and are trained on B
    AnB    transfer   layers 1..n of baseA, frozen; the layers above start anew and are trained on B
    BnB+, AnB+        the same, and the copied layers are trained as well

Yosinski, Clune, Bengio, Lipson 2014, "How transferable are features in deep neural networks?", section 3.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from small_data import CIFAR_CLASSES, Pictures, small_pictures
from small_nets import LAYERS, Recipe, accuracy, fit, network_file, network_name, small_net

from minicnn.inference.batches import infer
from minicnn.inference.fusion import fuse
from minicnn.layers import Layer
from minicnn.models.model import Model
from minicnn.pretrained import load_model

KINDS = ("BnB", "BnB+", "AnB", "AnB+")


@dataclass(frozen=True)
class Halves:
    """Ten classes of CIFAR-10 in two random halves, and how networks are trained on them.

    Attributes
    ----------
    seed : int
        Decides which classes are A, which pictures are drawn, and all initial weights.
    """

    seed: int
    per_class: int
    most: tuple[int, int]
    recipe: Recipe

    def classes(self, half: str) -> tuple[str, ...]:
        """Five of the ten, in alphabetical order.

        >>> halves = Halves(0, 1, (1, 1), Recipe(1, 0.1))
        >>> sorted(halves.classes("A") + halves.classes("B")) == list(CIFAR_CLASSES)
        True
        """
        order = np.random.default_rng(self.seed).permutation(len(CIFAR_CLASSES))
        chosen = order[: len(order) // 2] if half == "A" else order[len(order) // 2 :]
        return tuple(CIFAR_CLASSES[k] for k in sorted(chosen))

    def pictures(self, half: str) -> Pictures:
        return small_pictures("CIFAR-10", self.classes(half), self.most).draw(self.per_class, self.seed)

    def base_file(self, half: str) -> str:
        """Name of the base network's file in the cache folder."""
        return network_name(f"base{half}", self)


def train_base(halves: Halves, half: str) -> dict:
    """baseA or baseB (a `Piece`); it is kept in the cache folder."""
    pictures = halves.pictures(half)
    model = small_net(len(pictures.classes), pictures.statistics(), rng=[halves.seed, "AB".index(half)])
    result = _train_above(model, 0, True, pictures, halves)
    model.save(network_file(halves.base_file(half)))
    return result


def train_copied(halves: Halves, kind: str, n: int) -> dict:
    """One of the four curves at one n (a `Piece`): test accuracy on half B."""
    pictures = halves.pictures("B")
    base = load_model(network_file(halves.base_file(kind[0])))
    # with the preprocessing that the copied layers were trained with
    model = small_net(len(pictures.classes), base.preprocessing, rng=[halves.seed, 2 + KINDS.index(kind), n])
    for name in LAYERS[:n]:
        model.layers[name] = base.layers[name]
    return _train_above(model, n, kind.endswith("+"), pictures, halves)


def _train_above(model: Model, n: int, all_layers: bool, pictures: Pictures, halves: Halves) -> dict:
    """Train what is above layer n, or all layers, and test.

    A frozen part gives the same output for the same picture, and each picture has two views, as it is and mirrored: the frozen
    part's outputs for them are computed once.
    """
    started = time.perf_counter()
    N = len(pictures.x)
    if all_layers:
        network: Layer = model

        def prepare(rows: np.ndarray) -> np.ndarray:
            plain = pictures.x[rows % N]
            return model.preprocessing.normalise(np.where((rows < N)[:, None, None, None], plain, plain[:, :, ::-1]))

    else:
        model.freeze(until=LAYERS[n - 1])
        lower, network = model.split(LAYERS[n - 1])
        views = np.concatenate([pictures.x, pictures.x[:, :, ::-1]])
        outputs = infer(fuse(lower), 2 * N, lambda i: model.preprocessing.normalise(views[i]), dtype=np.float16)

        def prepare(rows: np.ndarray) -> np.ndarray:
            return outputs[rows].astype(np.float32)

    def mirrored_or_not(rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return rows + N * rng.integers(0, 2, len(rows))

    history = fit(network, halves.recipe, np.arange(N), pictures.y, halves.seed, prepare, mirrored_or_not)
    return {
        "seconds": time.perf_counter() - started,
        "train_accuracy": history.epochs[-1]["train_accuracy"],
        "test_accuracy": accuracy(model, pictures.x_test, pictures.y_test),
    }
