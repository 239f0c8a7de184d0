"""Single layers: every convolution that the networks have, and the other layers in sizes that are typical of them.

The convolutions are found by walking through the networks; one that several of them have is measured once. Forward runs in
eval mode at batch 1, which is inference as it happens in an application; forward + backward in train mode at batch 8, which is
enough to keep two cores busy at 7 x 7, and gives dw, db and dx (no dx for the first layer of a network: nobody wants it). The
layers of the CIFAR net run at its batch of 64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from minicnn import layers as ours
from minicnn.kernels.layout import channels_first, channels_last
from minicnn.losses import SoftmaxCrossEntropy
from minicnn.optim import SGD

from .checks import largest_difference
from .rows import Case, Row, Settings, bytes_of, make_row, speed
from .shapes import all_convolutions
from .timing import race
from .workloads import LEARNING_RATE, MOMENTUM, NETWORKS, weights_of

GROUP = "layers"
BATCH = {"forward": (1, 64), "forward + backward": (8, 64)}  # of large and of small networks


def cases() -> list[Case]:
    """All rows of this group; the essentials are what the CIFAR net has, and forward passes of VGG-16 and ResNet-18 and of
    EfficientNet-Lite0's depthwise layers.
    """
    return [*_convolutions(), *_other_layers()]


@dataclass(frozen=True)
class LayerRun:
    """A layer, what it is run on, and how.

    Attributes
    ----------
    make : function without arguments
        Gives the layer.
    shape : tuple of int
        Of its input.
    what : "forward" or "forward + backward"
    networks : list of str
        Where it was found.
    is_first : bool
        Whether a network begins with it: then dx is not wanted.
    """

    make: Callable[[], ours.Layer]
    shape: tuple[int, ...]
    what: str
    networks: list[str]
    is_first: bool = False

    def case(self, title: str, quick: bool) -> Case:
        name = f"{title}, batch {self.shape[0]}, {self.what}"
        return Case(GROUP, name, partial(measure_layer, self, name), quick)


# ---- what there is


def _convolutions() -> Iterator[Case]:
    for conv in all_convolutions():
        essential = conv.networks[0] in ("VGG-16", "ResNet-18") or (
            "depthwise" in conv.name and conv.networks != ["MobileNetV2"]
        )
        for what, (large, small) in BATCH.items():
            shape = (small if conv.is_small else large, *conv.picture)
            make = partial(ours.Conv2d, **conv.config, rng=0)
            run = LayerRun(make, shape, what, conv.networks, conv.is_first)
            yield run.case(conv.name, quick=conv.is_small or (essential and what == "forward"))


def _other_layers() -> Iterator[Case]:
    cifar, mobile = ["CIFAR net"], ["EfficientNet-Lite0", "MobileNetV2"]
    for title, make, shape, networks in [
        ("max pool 2x2, 64 at 32x32", partial(ours.MaxPool2d, 2), (64, 64, 32, 32), cifar),
        ("max pool 3x3/2, 64 at 112x112", partial(ours.MaxPool2d, 3, 2, 1), (8, 64, 112, 112), ["ResNet-18"]),
        ("batch norm, 64 at 32x32", partial(ours.BatchNorm2d, 64), (64, 64, 32, 32), cifar),
        ("batch norm, 64 at 112x112", partial(ours.BatchNorm2d, 64), (8, 64, 112, 112), ["ResNet-18"]),
        ("ReLU, 64 at 32x32", ours.ReLU, (64, 64, 32, 32), cifar),
        ("ReLU6, 96 at 112x112", ours.ReLU6, (8, 96, 112, 112), mobile),
        ("global average, 1280 at 7x7", ours.GlobalAvgPool2d, (32, 1280, 7, 7), mobile),
        ("fully connected 1280-1000", partial(ours.Linear, 1280, 1000, rng=0), (32, 1280), mobile),
    ]:
        for what in BATCH:
            yield LayerRun(make, shape, what, networks).case(title, quick=networks == cifar)
    large = LayerRun(partial(ours.Linear, 25088, 4096, rng=0), (1, 25088), "forward", ["VGG-16"])
    yield large.case("fully connected 25088-4096", quick=False)
    for name, measure, quick in [
        ("softmax cross-entropy, 1000 classes, batch 256, forward + backward", _measure_loss, True),
        ("SGD step with momentum, 11.7 million weights", _measure_sgd, False),
    ]:
        yield Case(GROUP, name, partial(measure, name), quick)


# ---- measuring


def measure_layer(run: LayerRun, name: str, settings: Settings) -> Row:
    """A row: the layer on white noise, in both frameworks.

    Both get maps in the order of memory in which the layer below gives them; a network's first layer gets pictures from us.
    """
    rng, layer = np.random.default_rng(0), run.make()
    x = rng.standard_normal(run.shape, np.float32)
    dy = rng.standard_normal(layer.output_shape(run.shape), np.float32)
    x, dy = (as_below(it) for it in (x, dy)) if not run.is_first else (x, as_below(dy))
    multiply_adds = layer.multiply_adds(run.shape)
    if run.what == "forward":
        layer.eval()
        our_call = partial(layer.forward, x)
    else:
        layer.train()
        layer.needs_dx = not run.is_first
        our_call = partial(gradients, layer, x, dy)
        multiply_adds *= 2 if run.is_first else 3  # y, dw and dx take as many each
    torch_calls = _torch_calls(layer, x, dy, run) if settings.torch else {}
    result = our_call()
    difference = largest_difference(result, torch_calls["NCHW"]()) if torch_calls else None
    moved = bytes_of(x, *weights_of(layer), *([result] if run.what == "forward" else [dy, *result]))
    times = race({"": our_call}, torch_calls, settings.seconds)
    columns = times | speed(multiply_adds, moved, times["ours_ms"], settings.limits)
    return make_row(GROUP, name, **columns, difference=difference, networks=run.networks)


def as_below(maps: np.ndarray) -> np.ndarray:
    """The same numbers in the order of memory in which our layers give maps; other arrays as they are."""
    return channels_first(channels_last(maps)) if maps.ndim == 4 else maps


def gradients(layer: ours.Layer, x: np.ndarray, dy: np.ndarray) -> tuple[np.ndarray, ...]:
    """y, the gradients of the parameters, and dx unless it is not wanted."""
    y, dx = layer.forward(x), layer.backward(dy)
    return y, *(parameter.grad for parameter in layer.parameters().values()), *([] if dx is None else [dx])


def _torch_calls(layer: ours.Layer, x: np.ndarray, dy: np.ndarray, run: LayerRun) -> dict[str, Callable[[], Any]]:
    import torch

    from .torch_modules import LAYOUTS, gradients_call, in_layout, inference_call
    from .torch_twin import twin

    module, calls = twin(layer, x.shape), {}
    for layout in LAYOUTS if x.ndim == 4 else ["NCHW"]:
        there, x_there, dy_there = (in_layout(it, layout) for it in (module, torch.from_numpy(x), torch.from_numpy(dy)))
        if run.what == "forward":
            calls[layout] = inference_call(there, x_there)
        else:
            calls[layout] = gradients_call(there, x_there, dy_there, needs_dx=not run.is_first)
    return calls


def _measure_loss(name: str, settings: Settings) -> Row:
    rng, loss = np.random.default_rng(0), SoftmaxCrossEntropy()
    scores, targets = rng.standard_normal((256, 1000), np.float32), rng.integers(0, 1000, 256)

    def our_call():
        loss.forward(scores, targets)
        return loss.backward()

    calls, difference, moved = {}, None, bytes_of(scores, targets, our_call())
    if settings.torch:
        import torch

        scores_there, targets_there = torch.from_numpy(scores).requires_grad_(), torch.from_numpy(targets)

        def torch_call():
            return torch.autograd.grad(torch.nn.functional.cross_entropy(scores_there, targets_there), scores_there)[0]

        calls, difference = {"": torch_call}, largest_difference(our_call(), torch_call())
    times = race({"": our_call}, calls, settings.seconds)
    return make_row(GROUP, name, **times, **speed(0, moved, times["ours_ms"], settings.limits), difference=difference)


def _measure_sgd(name: str, settings: Settings) -> Row:
    """The weights of ResNet-18, with gradients that stay the same."""
    model, rng = NETWORKS["ResNet-18"](rng=0), np.random.default_rng(0)
    for parameter in model.parameters().values():
        parameter.grad = rng.standard_normal(parameter.value.shape, np.float32)
    calls = {}
    if settings.torch:
        import torch

        from .torch_modules import sgd_step

        for how, fused in (("one by one", False), ("fused", True)):
            copies = [torch.nn.Parameter(torch.tensor(parameter.value)) for parameter in model.parameters().values()]
            for copy, parameter in zip(copies, model.parameters().values(), strict=True):
                copy.grad = torch.from_numpy(parameter.grad)
            calls[how] = sgd_step(copies, fused)
    times = race({"": SGD(model.parameters(), LEARNING_RATE, MOMENTUM).step}, calls, settings.seconds)
    moved = 5 * bytes_of(*weights_of(model))  # gradients are read, weights and their momentum read and written
    return make_row(GROUP, name, **times, **speed(0, moved, times["ours_ms"], settings.limits))
