"""Whether a wrong gradient is the right one of another function: the same, but with another array 0, 1, flipped or transposed.

Of y = x p + relu(x w), the gradient that lacks the path through p is the right one for p = 0; of y = x + a tanh(x), one that
forgets a is the right one for a = 1; of y = relu(x w + b) u, one that forgets the mask is the right one for a large b. This is
measured, so that it holds for layers of any kind.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .evidence import Evidence

MOST_WRONG = 6  # elements that are measured for each other array: so many of the most wrong, and no more of the others
FIRST = 3  # of them are compared before the rest is measured
LARGE = 1e3  # for a bias: beyond it all units are switched on
NEAR = 0.01  # how far from a replacement, relative to its size, the gradient must be another one


def as_if_another_array_were_different(e: Evidence) -> str | None:
    """The gradient for another array that is replaced."""
    if e.derivative_now is None:
        return None
    probes = _probes(e)
    for name, array in e.arrays.items():
        if array is not e.x and _explains(e, array, np.full_like(array, LARGE), probes):
            return f"it is the gradient for a large {name}, which switches all units on: a mask of the forward pass is missing"
        if np.shares_memory(array, e.values):
            continue
        for replacement, sentence in _replacements(name, array):
            if _explains(e, array, replacement, probes) and not _explains(e, array, _near(replacement), probes):
                return sentence  # if the exact value did not matter either, it would be a mask
    return None


def _near(array: np.ndarray) -> np.ndarray:
    return array + NEAR * (1 + np.abs(array)) * np.random.default_rng(0).standard_normal(array.shape)


def _replacements(name: str, array: np.ndarray) -> Iterator[tuple[np.ndarray, str]]:
    yield np.zeros_like(array), f"it is the gradient for {name} = 0: what goes through {name} is left out"
    yield np.ones_like(array), f"it is the gradient for {name} = 1: the factor {name} is left out"
    yield -array, f"it is the gradient for -{name}: {name} has the wrong sign"
    if array.ndim == 3:
        yield array[..., ::-1], f"it is the gradient for {name} running backwards: the kernel is flipped"
    if array.ndim == 4:
        yield array[..., ::-1, ::-1], f"it is the gradient for {name} rotated by 180 degrees: the kernel is flipped"
    for axes in ((-1, -2), (0, 1)):
        if array.ndim > 1 and array.shape[axes[0]] == array.shape[axes[1]]:
            yield array.swapaxes(*axes), f"it is the gradient for {name} transposed (axes {axes[0]} and {axes[1]} swapped)"


def _probes(e: Evidence) -> list[tuple[int, ...]]:
    """Indices of measured elements: the most wrong ones first, and then some that are less and less so."""
    known = np.isfinite(e.numeric)
    order = np.argwhere(known)[np.argsort(-np.abs(e.numeric - e.analytic)[known], kind="stable")]
    chosen = [*order[:MOST_WRONG], *order[MOST_WRONG :: len(order) // MOST_WRONG + 1]]
    return [tuple(index.tolist()) for index in chosen]


def _explains(e: Evidence, array: np.ndarray, replacement: np.ndarray, probes: list[tuple[int, ...]]) -> bool:
    before = array.copy()
    gradient = np.full(e.numeric.shape, np.nan)
    try:
        array[...] = replacement
        with np.errstate(all="ignore"):
            for tried, index in enumerate(probes, 1):
                gradient[index] = e.derivative_now(index)
                if tried in (FIRST, len(probes)) and not e.explains(gradient):
                    return False
        return True
    finally:
        array[...] = before
