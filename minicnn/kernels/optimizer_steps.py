"""The optimisers' updates: the equations of ``minicnn.optim``, in the same letters.

In NumPy each would be several passes over the weights, their gradient and the state, with temporary arrays; here it is one,
in all threads.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..runtime.compilation import loop
from .elementwise import run_over


def sgd(w: np.ndarray, g: np.ndarray, v: np.ndarray | None, lr: float, mu: float, nesterov: bool, wd: float) -> None:
    """Change w and v in place; without momentum, v is None."""
    if v is None:
        _run(_sgd, (w, g), (lr, wd))
    else:
        _run(_nesterov if nesterov else _momentum, (w, g, v), (lr, mu, wd))


def adagrad(w: np.ndarray, g: np.ndarray, cache: np.ndarray, lr: float, eps: float, wd: float) -> None:
    """Change w and cache in place."""
    _run(_adagrad, (w, g, cache), (lr, eps, wd))


def rmsprop(w: np.ndarray, g: np.ndarray, cache: np.ndarray, lr: float, decay: float, eps: float, wd: float) -> None:
    """Change w and cache in place."""
    _run(_rmsprop, (w, g, cache), (lr, decay, 1 - decay, eps, wd))


def adam(
    w: np.ndarray,
    g: np.ndarray,
    m: np.ndarray,
    v: np.ndarray,
    *,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    t: int,
    wd: float,
    shrink: float,
) -> None:
    """Change w, m and v in place: step number t, with wd w added to the gradient, and w multiplied by ``shrink`` beforehand."""
    correction1, correction2 = 1 - beta1**t, 1 - beta2**t
    constants = (lr / correction1, beta1, 1 - beta1, beta2, 1 - beta2, 1 / correction2, eps, wd, shrink)
    _run(_adam, (w, g, m, v), constants)


def _run(loop: Callable, arrays: tuple[np.ndarray, ...], constants: tuple[float, ...]) -> None:
    """The loop over the flattened arrays; all but the gradient, which is the second, are changed in place."""
    flat = [array.ravel() for array in arrays]  # copies of those that are not contiguous
    run_over(loop, tuple(flat), constants)
    for i, (array, changed) in enumerate(zip(arrays, flat, strict=True)):
        if i != 1 and not np.may_share_memory(array, changed):
            array[...] = changed.reshape(array.shape)


@loop
def _sgd(w, g, lr, wd):
    for i in range(w.size):
        w[i] -= lr * (g[i] + wd * w[i])


@loop
def _momentum(w, g, v, lr, mu, wd):
    for i in range(w.size):
        v[i] = mu * v[i] + (g[i] + wd * w[i])
        w[i] -= lr * v[i]


@loop
def _nesterov(w, g, v, lr, mu, wd):
    for i in range(w.size):
        gradient = g[i] + wd * w[i]
        v[i] = mu * v[i] + gradient
        w[i] -= lr * (gradient + mu * v[i])


@loop
def _adagrad(w, g, cache, lr, eps, wd):
    for i in range(w.size):
        gradient = g[i] + wd * w[i]
        cache[i] += gradient * gradient
        w[i] -= lr * gradient / (np.sqrt(cache[i]) + eps)


@loop
def _rmsprop(w, g, cache, lr, decay, rest, eps, wd):
    for i in range(w.size):
        gradient = g[i] + wd * w[i]
        cache[i] = decay * cache[i] + rest * gradient * gradient
        w[i] -= lr * gradient / (np.sqrt(cache[i]) + eps)


@loop
def _adam(w, g, m, v, lr, beta1, rest1, beta2, rest2, scale2, eps, wd, shrink):
    for i in range(w.size):
        w[i] *= shrink
        gradient = g[i] + wd * w[i]
        m[i] = beta1 * m[i] + rest1 * gradient
        v[i] = beta2 * v[i] + rest2 * gradient * gradient
        w[i] -= lr * m[i] / (np.sqrt(v[i] * scale2) + eps)
