"""The networks and what is done with them: the same list for times, memory and start-up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from minicnn import models
from minicnn.inference.batches import infer
from minicnn.inference.fusion import fuse
from minicnn.layers import BatchNorm2d, Layer, Sequential
from minicnn.losses import SoftmaxCrossEntropy
from minicnn.models import Model
from minicnn.optim import SGD

NETWORKS = {
    "VGG-16": models.vgg16,
    "ResNet-18": models.resnet18,
    "EfficientNet-Lite0": models.efficientnet_lite0,
    "SqueezeNet v1.1": models.squeezenet1_1,
    "MobileNetV2": models.mobilenet_v2,
    "CIFAR net": models.cifar_net,
    "ResNet-18 for CIFAR": models.resnet18_cifar,
}
LEARNING_RATE, MOMENTUM = 1e-4, 0.9  # PyTorch's side has the same


@dataclass(frozen=True)
class Workload:
    """Inference or a training step of one network.

    Attributes
    ----------
    network : str
        Its title in ``NETWORKS``.
    batch : int
    training : bool
    frozen_until : str, optional
        The layer up to which it is frozen, for fine-tuning.
    quick : bool
        Whether it is one of the essentials.
    """

    network: str
    batch: int
    training: bool = False
    frozen_until: str | None = None
    quick: bool = True

    @property
    def name(self) -> str:
        what = "training step" if self.training else "inference"
        frozen = f" above {self.frozen_until}" if self.frozen_until else ""
        return f"{self.network} {what}{frozen}, batch {self.batch}"


WORKLOADS = [
    Workload("VGG-16", 1),
    Workload("VGG-16", 8, quick=False),
    Workload("VGG-16", 32, quick=False),
    Workload("EfficientNet-Lite0", 1),
    Workload("EfficientNet-Lite0", 32),
    Workload("ResNet-18", 1),
    Workload("ResNet-18", 32, quick=False),
    Workload("SqueezeNet v1.1", 1),
    Workload("SqueezeNet v1.1", 32, quick=False),
    Workload("MobileNetV2", 1, quick=False),
    Workload("MobileNetV2", 32, quick=False),
    Workload("CIFAR net", 64, training=True),
    Workload("ResNet-18 for CIFAR", 64, training=True, quick=False),
    Workload("EfficientNet-Lite0", 16, training=True, frozen_until="block7", quick=False),
]


def prepare(workload: Workload, settled: bool = False) -> tuple[Model, np.ndarray, np.ndarray]:
    """The model as the workload wants it, an input (batch, C, H, W) of white noise, and random targets (batch,).

    ``settled``: batch norms have the statistics of two such pictures, so that all layers see numbers of the usual size.
    """
    rng, model = np.random.default_rng(1), NETWORKS[workload.network](rng=0)
    if settled:
        settle(model, rng.standard_normal((2, *model.input_shape), np.float32))
    if workload.frozen_until:
        model.freeze(until=workload.frozen_until)
    classes = model.output_shape((1, *model.input_shape))[1]
    x = rng.standard_normal((workload.batch, *model.input_shape), np.float32)
    return model, x, rng.integers(0, classes, workload.batch)


def weights_of(layer: Layer) -> list[np.ndarray]:
    """All parameters, trained or not."""
    return [parameter.value for parameter in layer.parameters().values()]


def settle(model: Model, x: np.ndarray) -> None:
    """Give batch norms the statistics of these pictures x (N, C, H, W), so that all layers see numbers of the usual size."""
    norms = {layer: layer.momentum for _, layer in model.walk() if isinstance(layer, BatchNorm2d)}
    for norm in norms:
        norm.momentum = 1.0
    model.train().forward(x)
    model.eval()
    for norm, momentum in norms.items():
        norm.momentum = momentum


def inference_calls(fused: Model, x: np.ndarray) -> dict[str, Callable[[], np.ndarray]]:
    """What is timed as inference, with a fused model: ``forward``, and for several pictures also ``inference.infer``.

    ``forward`` splits each layer over the threads, ``infer`` hands whole pictures to them, as ``predict`` does.
    """
    calls: dict[str, Callable[[], np.ndarray]] = {"forward": lambda: fused.forward(x)}
    if len(x) > 1:
        calls["infer"] = lambda: infer(fused, len(x), lambda indices: x[indices])
    return calls


def training_call(model: Model, x: np.ndarray, targets: np.ndarray, frozen_until: str | None = None) -> Callable[[], float]:
    """What is timed as a training step: forward, softmax cross-entropy, backward, SGD with momentum. Gives the loss.

    What is frozen below is fused, as `minicnn.transfer.fine_tune` does it.
    """
    lower, upper = (Sequential(), model) if frozen_until is None else model.split(frozen_until)
    frozen, loss, optimizer = fuse(lower), SoftmaxCrossEntropy(), SGD(upper.parameters(), LEARNING_RATE, MOMENTUM)
    upper.train()
    upper.needs_dx = False  # as the Trainer does: nobody wants the gradient of the pictures

    def call() -> float:
        value = loss.forward(upper.forward(frozen.forward(x)), targets)
        upper.backward(loss.backward())
        optimizer.step()
        return value

    return call
