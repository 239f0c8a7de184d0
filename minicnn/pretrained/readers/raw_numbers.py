"""From raw bytes to arrays."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .opening import MOST_AXES, Damaged

BFLOAT16 = "bfloat16"  # which NumPy does not have


def itemsize(dtype: str) -> int:
    """Bytes of one number.

    >>> itemsize("bfloat16"), itemsize("f4")
    (2, 4)
    """
    return 2 if dtype == BFLOAT16 else np.dtype(dtype).itemsize


def numbers(data: bytes | memoryview, dtype: str, order: str = "<") -> np.ndarray:
    """The numbers in the bytes, shape (count,).

    Parameters
    ----------
    data : bytes
    dtype : str
        As NumPy calls it, without byte order, or "bfloat16", the upper half of a float32; that is returned, and holds the same.
    order : "<" or ">"
        Little-endian or big-endian.
    """
    if dtype == BFLOAT16:
        return (np.frombuffer(data, f"{order}u2").astype(np.uint32) << 16).view(np.float32)
    return np.frombuffer(data, np.dtype(dtype).newbyteorder(order))


def array_of(data: bytes | memoryview, dtype: str, shape: Sequence[int], name: str, order: str = "<") -> np.ndarray:
    """An array of its own memory with these numbers, the last axis varying fastest.

    Raises
    ------
    Damaged
        If the bytes are not as many as the shape needs. The message has the array's name.

    >>> array_of(bytes([1, 0, 2, 0]), "i2", (2, 1), "w")
    array([[1],
           [2]], dtype=int16)
    """
    shape = tuple(shape)
    if len(shape) > MOST_AXES or not all(type(n) is int and n >= 0 for n in shape):
        raise Damaged(f"gives {name[:200]!r} the shape {str(shape)[:200]}")
    if len(data) != math.prod(shape) * itemsize(dtype):
        raise Damaged(
            f"is truncated or damaged: {name[:200]!r} of shape {shape} needs {math.prod(shape) * itemsize(dtype)} bytes "
            f"and has {len(data)}"
        )
    values = numbers(data, dtype, order)
    return np.array(values, values.dtype.newbyteorder("=")).reshape(shape)
