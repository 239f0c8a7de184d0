"""The speed run of `minicnn.recipes.SpeedRun` in PyTorch: the same first weights, batches, views and rates, its own arithmetic.

Eager, in the faster of PyTorch's two memory layouts (channels last). Pictures are varied and normalised by the same NumPy code,
so that what differs is what is compared: forward, loss, backward and steps.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from minicnn.data.per_sample import PerSampleGenerator
from minicnn.models import Model
from minicnn.recipes.speed_run import MOMENTUM, WHITEN_BIAS_EPOCHS, SpeedRun
from minicnn.training.lookahead import rising_decay

from .torch_modules import train
from .torch_twin import twin

K = 5  # steps between two looks back


def train_in_torch(
    recipe: SpeedRun, model: Model, x: np.ndarray, y: np.ndarray, seed: int, say: Callable[[str], None]
) -> Callable[[np.ndarray], np.ndarray]:
    """Train a twin of ``model``, which stays as it is; returns the function from inputs (N, C, H, W) to scores (N, K)."""
    module = twin(model, (recipe.batch_size, *model.input_shape)).to(memory_format=torch.channels_last)
    optimizer = _optimizer(recipe, model, module)
    trainer = recipe.trainer(model, seed)
    order_rng, _ = np.random.default_rng(seed).spawn(2)
    steps_per_epoch = -(-len(x) // recipe.batch_size)
    steps, done = recipe.epochs * steps_per_epoch, 0
    slow = [tensor.clone() for tensor in _changed(module)]
    train(module)
    for epoch in range(1, recipe.epochs + 1):
        order, total = order_rng.permutation(len(x)), 0.0
        if recipe.whitening:
            module.whiten.bias.requires_grad_(epoch <= WHITEN_BIAS_EPOCHS)
        for start in range(0, len(x), recipe.batch_size):
            rows = np.sort(order[start : start + recipe.batch_size])
            batch = trainer.prepare(trainer.augment(x[rows], PerSampleGenerator(seed, epoch, rows)))
            batch = torch.from_numpy(batch).contiguous(memory_format=torch.channels_last)
            loss = F.cross_entropy(module(batch), torch.from_numpy(y[rows]), label_smoothing=recipe.label_smoothing)
            module.zero_grad(set_to_none=True)
            loss.backward()
            progress = (done + 0.5) / steps
            for group in optimizer.param_groups:
                group["lr"] = group["base"] * trainer.schedule(progress)
            optimizer.step()
            done, total = done + 1, total + loss.item()
            if recipe.lookahead and (done % K == 0 or done == steps):
                _look_back(slow, _changed(module), rising_decay((done + 0.5) / steps))
        say(f"PyTorch: epoch {epoch}/{recipe.epochs}, loss {total / steps_per_epoch:.3f}")
    module.eval()

    def scores(batch: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return module(torch.from_numpy(batch).contiguous(memory_format=torch.channels_last)).numpy()

    return scores


def _optimizer(recipe: SpeedRun, model: Model, module: nn.Module) -> torch.optim.SGD:
    """With the groups that ours has; a parameter of the twin is in the place of ours."""
    theirs = dict(zip(model.parameters(), module.parameters(), strict=True))
    groups = []
    for ours in recipe.optimizer(model).optimizers:
        decays = {name: parameter.decays for name, parameter in ours.parameters.items()}
        for does in (True, False):
            members = [theirs[name] for name, it_does in decays.items() if it_does == does and theirs[name].requires_grad]
            decay = ours.weight_decay if does else 0.0
            groups.append({"params": members, "lr": 0.0, "base": ours.learning_rate, "weight_decay": decay})
    groups = [group for group in groups if group["params"]]
    return torch.optim.SGD(groups, lr=0.0, momentum=MOMENTUM, nesterov=True)


def _changed(module: nn.Module) -> list[torch.Tensor]:
    """What training changes: parameters and running statistics."""
    return [*module.parameters(), *(buffer for buffer in module.buffers() if buffer.is_floating_point())]


@torch.no_grad()
def _look_back(slow: list[torch.Tensor], fast: list[torch.Tensor], d: float) -> None:
    for kept, now in zip(slow, fast, strict=True):
        kept.mul_(d).add_(now, alpha=1 - d)
        now.copy_(kept)
