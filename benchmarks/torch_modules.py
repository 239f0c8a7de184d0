"""PyTorch's side: the modules that its library lacks, and what is timed. Imports nothing of minicnn.

A network that was built of these can be read from its file by a process that has PyTorch alone, so that its memory and its
start-up are PyTorch's own.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LAYOUTS = {"NCHW": torch.contiguous_format, "channels_last": torch.channels_last}
LEARNING_RATE, MOMENTUM = 1e-4, 0.9  # of the training steps: so slow that the numbers stay ordinary over all repetitions


class Residual(nn.Module):
    """y = body(x) + shortcut(x). ``in_place``: the sum may overwrite the body's output, which saves an array."""

    def __init__(self, body: nn.Module, shortcut: nn.Module | None, in_place: bool):
        super().__init__()
        self.body, self.shortcut, self.in_place = body, shortcut, in_place

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x)
        shortcut = x if self.shortcut is None else self.shortcut(x)
        return y.add_(shortcut) if self.in_place else y + shortcut


class Concat(nn.Module):
    """Branches side by side, joined along the channels."""

    def __init__(self, branches: dict[str, nn.Module]):
        super().__init__()
        self.branches = nn.ModuleDict(branches)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches.values()], dim=1)


def train(module: nn.Module) -> nn.Module:
    """Training mode, in which a frozen batch norm keeps its running statistics, as ours does."""
    module.train()
    for layer in module.modules():
        if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)) and not any(p.requires_grad for p in layer.parameters()):
            layer.eval()
    return module


def in_layout(thing: nn.Module | Tensor, layout: str) -> nn.Module | Tensor:
    """A module or tensor with its four-dimensional arrays in this memory layout; a module is copied, as ``to`` changes it."""
    if isinstance(thing, nn.Module):
        return copy.deepcopy(thing).to(memory_format=LAYOUTS[layout])
    return thing.to(memory_format=LAYOUTS[layout]) if thing.ndim == 4 else thing


def inference_call(module: nn.Module, x: Tensor) -> Callable[[], Tensor]:
    """What is timed as inference: eager, in eval mode, without any bookkeeping for gradients."""
    module.eval()

    def call() -> Tensor:
        with torch.inference_mode():
            return module(x)

    return call


def gradients_call(module: nn.Module, x: Tensor, dy: Tensor, needs_dx: bool) -> Callable[[], tuple[Tensor, ...]]:
    """What is timed as forward + backward: gives y, the gradients of all parameters and, if needed, that of x."""
    train(module)
    x = x.detach().requires_grad_(needs_dx)
    wanted = [parameter for parameter in module.parameters() if parameter.requires_grad] + [x] * needs_dx

    def call() -> tuple[Tensor, ...]:
        y = module(x)
        return y.detach(), *torch.autograd.grad(y, wanted, dy)

    return call


def training_call(module: nn.Module, x: Tensor, targets: Tensor) -> Callable[[], float]:
    """What is timed as a training step: forward, softmax cross-entropy, backward, SGD with momentum. Gives the loss."""
    train(module)
    step = sgd_step([parameter for parameter in module.parameters() if parameter.requires_grad])

    def call() -> float:
        module.zero_grad(set_to_none=True)
        loss = F.cross_entropy(module(x), targets)
        loss.backward()
        step()
        return loss.item()

    return call


def sgd_step(parameters: list[nn.Parameter], fused: bool = True) -> Callable[[], object]:
    """The step of PyTorch's SGD; its fused one where there is one for the CPU (from version 2.4 on)."""
    try:
        return torch.optim.SGD(parameters, LEARNING_RATE, MOMENTUM, fused=fused or None).step
    except (TypeError, RuntimeError):
        return torch.optim.SGD(parameters, LEARNING_RATE, MOMENTUM).step
