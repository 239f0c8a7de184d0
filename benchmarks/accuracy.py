"""Rounding: how far the results of each of our algorithms for convolutions are from those in float64.

Inputs, filters and dy are white noise. An error is a difference from the same convolution of the same numbers in float64,
divided by the standard deviation of the result, as if results had unit variance. PyTorch's errors are beside ours.
"""

from __future__ import annotations

import numpy as np

from minicnn.kernels.convolution.choice import FAST, choose_algorithm
from minicnn.layers import Conv2d

from .layers import BATCH, gradients
from .rows import Settings
from .shapes import Found, all_convolutions

STEPS = {"y": "forward", "dw": "dw", "dx": "dx"}  # of a convolution, by their results


def table(settings: Settings) -> list[dict]:
    """A row for each layer and each algorithm that can compute it: ``layer``, ``algorithm``, and errors such as
    ``y_max`` and ``y_rms`` (root mean square), for those of y, dw and dx that it computes.

    All convolutions of the networks that the benchmark knows; in quick mode those of the CIFAR net.
    """
    rows = []
    for found in all_convolutions():
        if found.is_small or not settings.quick:
            rows += _of_layer(found, settings.torch)
    return rows


def _of_layer(found: Found, torch: bool) -> list[dict]:
    rng, conv = np.random.default_rng(0), Conv2d(**found.config | {"bias": False}, rng=0).train()
    shape = (BATCH["forward + backward"][found.is_small], *found.picture)
    x, dy = (rng.standard_normal(size, np.float32) for size in (shape, conv.output_shape(shape)))
    exact = Conv2d(**conv.config()).astype(np.float64).train()
    exact.w.value = conv.w.value.astype(np.float64)
    truth = gradients(exact, x.astype(np.float64), dy.astype(np.float64))
    errors = {}
    for algorithm in FAST:
        steps = _steps_of(algorithm, conv, x, dy)
        if steps:
            conv.algorithm = algorithm
            errors[algorithm] = _errors(gradients(conv, x, dy), truth, steps)
    if torch:
        errors["PyTorch"] = _errors(_by_torch(conv, x, dy), truth, list(STEPS))
    name = f"{found.name}, batch {shape[0]}"
    return [{"layer": name, "algorithm": algorithm} | row for algorithm, row in errors.items()]


def _steps_of(algorithm: str, conv: Conv2d, x: np.ndarray, dy: np.ndarray) -> list[str]:
    """The results of this layer that the algorithm can compute."""
    case = x.shape, dy.shape, conv.geometry(x.shape), conv.groups, x.dtype
    return [result for result, step in STEPS.items() if choose_algorithm(step, *case, algorithm) == algorithm]


def _by_torch(conv: Conv2d, x: np.ndarray, dy: np.ndarray) -> list[np.ndarray]:
    import torch

    from .torch_modules import gradients_call
    from .torch_twin import twin

    call = gradients_call(twin(conv, x.shape), torch.from_numpy(x), torch.from_numpy(dy), needs_dx=True)
    return [tensor.numpy() for tensor in call()]


def _errors(results, truth, names: list[str]) -> dict[str, float]:
    errors = {}
    for name, mine, exact in zip(STEPS, results, truth, strict=True):
        if name not in names:
            continue
        difference = (mine - exact) / exact.std()
        errors[f"{name}_max"] = float(np.abs(difference).max())
        errors[f"{name}_rms"] = float(np.sqrt(np.square(difference).mean()))
    return errors
