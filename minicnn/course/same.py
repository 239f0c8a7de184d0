"""Whether two answers are the same."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..layers import Layer, Parameter

TOLERANCE = 1e-6


def same(a: Any, b: Any) -> bool:
    """Whether two answers are the same: numbers and arrays up to rounding, and in shape; networks in all that can be set.

    A tuple is as good as a list, a list of numbers as an array, a NumPy number as one of Python. Two exceptions are the same if
    their types are.
    """
    if isinstance(a, BaseException) or isinstance(b, BaseException):
        return type(a) is type(b)
    if isinstance(a, Layer) and isinstance(b, Layer):
        return _same_layers(a, b)
    if isinstance(a, Parameter) and isinstance(b, Parameter):
        return all(same(getattr(a, name), getattr(b, name)) for name in ("value", "trainable", "learning_rate_multiplier"))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(value, b[key]) for key, value in a.items())
    if isinstance(a, np.ndarray) != isinstance(b, np.ndarray):
        a, b = _as_array(a), _as_array(b)
    if isinstance(a, (tuple, list)) and isinstance(b, (tuple, list)):
        return len(a) == len(b) and all(map(same, a, b))
    if _is_numeric(a) and _is_numeric(b):
        return _same_arrays(np.asarray(a), np.asarray(b))
    try:
        return bool(a == b)
    except Exception:
        return False


def _as_array(a: Any) -> Any:
    """A list, or list of lists, of numbers as an array; anything else as it is."""
    try:
        array = np.asarray(a) if isinstance(a, list) else a
    except (TypeError, ValueError):
        return a
    return array if _is_numeric(array) else a


def _is_numeric(a: Any) -> bool:
    return isinstance(a, (bool, int, float, np.ndarray, np.generic)) and np.asarray(a).dtype.kind in "biuf"


def _same_arrays(a: np.ndarray, b: np.ndarray) -> bool:
    if a.shape != b.shape or (a.dtype.kind == "b") != (b.dtype.kind == "b"):
        return False
    largest = max((np.abs(array[np.isfinite(array)]).max(initial=0.0) for array in (a, b)), default=0.0)
    return bool(np.allclose(a, b, rtol=0, atol=TOLERANCE * float(largest), equal_nan=True))


def _same_layers(a: Layer, b: Layer) -> bool:
    children, others = a.children(), b.children()
    if type(a) is not type(b) or list(children) != list(others) or a.training != b.training:
        return False
    return (
        same(a.config() if not children else {}, b.config() if not children else {})
        and same(a.parameters(), b.parameters())
        and same(a.state(), b.state())
        and all(_same_layers(child, others[name]) for name, child in children.items())
    )
