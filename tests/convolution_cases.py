"""Convolutions of all kinds, arrays in all orders of memory, and what must hold for each of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from minicnn.kernels import reference, textbook
from minicnn.kernels.convolution import dispatch as conv
from minicnn.kernels.layout import channels_last
from minicnn.runtime.workers import get_threads, set_threads

CHANNELS = (1, 3, 15, 16, 17, 40, 64, 65, 130)  # less than a vector, one, a part of the next, more than go together


class Case(NamedTuple):
    """x, w, b and (stride, pads, dilation, groups)."""

    x: np.ndarray
    w: np.ndarray
    b: np.ndarray | None
    how: tuple

    def astype(self, dtype) -> Case:
        return Case(*(None if array is None else array.astype(dtype) for array in self[:3]), self.how)


def random_case(seed: int, C: int | None = None, F: int | None = None, groups: int | None = None, kernel=None) -> Case:
    """Any window, stride, padding and dilation: strides beyond the kernel and padding beyond it are among them.

    C and F are the channels and filters of a group.
    """
    rng = np.random.default_rng(seed)
    kernel = rng.integers(1, 5, 2) if kernel is None else np.array(kernel)
    stride, dilation, pads = rng.integers(1, 6, 2), rng.integers(1, 4, 2), rng.integers(0, 6, 4)
    groups = int(rng.integers(1, 4)) if groups is None else groups
    C, F = groups * (C or int(rng.integers(1, 4))), groups * (F or int(rng.integers(1, 5)))
    reach = dilation * (kernel - 1) + 1
    H, W = np.maximum(reach - pads[[0, 2]] - pads[[1, 3]], 1) + rng.integers(0, 6, 2) * (seed % 5 > 0)
    x, w = rng.standard_normal((int(rng.integers(1, 4)), C, H, W)), rng.standard_normal((F, C // groups, *kernel))
    how = tuple(tuple(map(int, numbers)) for numbers in (stride, pads, dilation))
    return Case(x, w, rng.standard_normal(F) if seed % 3 else None, (*how, groups))


def gradients(dy, x, w, how, algorithm=None):
    """dx and dw"""
    dx = conv.conv2d_dx(dy, w, x.shape[2:], *how, algorithm=algorithm)
    return dx, conv.conv2d_dw(dy, x, w.shape[2:], *how, algorithm=algorithm)


def everything(case: Case, algorithm=None, seed: int = 1):
    """y, dx, dw and db, for a random dy."""
    x, w, b, how = case
    y = conv.conv2d_forward(x, w, b, *how, algorithm=algorithm)
    dy = np.random.default_rng(seed).standard_normal(y.shape).astype(y.dtype)
    return y, *gradients(dy, x, w, how, algorithm), conv.conv2d_db(dy)


def everything_by(module, case: Case, seed: int = 1):
    """The same as a module for readers has it."""
    x, w, b, how = case
    y = module.conv2d_forward(x, w, b, *how)
    return y, *module.conv2d_backward(np.random.default_rng(seed).standard_normal(y.shape), x, w, *how)


def check(case: Case, algorithm=None, definition=textbook, tolerance: float = 1e-11) -> None:
    """All steps agree with the definition, and maps have their channels last in memory."""
    for name, fast, slow in zip(
        ("y", "dx", "dw", "db"), everything(case, algorithm), everything_by(definition, case), strict=True
    ):
        np.testing.assert_allclose(fast, slow, atol=tolerance * max(np.abs(slow).max(initial=0), 1), err_msg=name)
        assert fast.dtype == case.x.dtype
        assert fast.ndim < 4 or name == "dw" or is_channels_last(fast), name


def check_by_definition(case: Case, algorithm=None) -> None:
    check(case, algorithm, reference)


def is_channels_last(x: np.ndarray) -> bool:
    return np.shares_memory(channels_last(x), x) or x.size == 0


def orders(x: np.ndarray) -> dict[str, np.ndarray]:
    """The same maps in other orders of memory."""
    N, C, H, W = x.shape
    wide = np.full((2 * N, C + 3, H + 2, 2 * W), np.nan, x.dtype)
    wide[::2, 1:-2, 2:, ::2] = x
    last = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    some_of_more = np.full((N, H, W, C + 5), np.nan, x.dtype)
    some_of_more[..., 2 : 2 + C] = last
    read_only = x.copy()
    read_only.flags.writeable = False
    return {
        "channels first": np.ascontiguousarray(x),
        "channels last": last.transpose(0, 3, 1, 2),
        "Fortran": np.asfortranarray(x),
        "a part of a larger one": wide[::2, 1:-2, 2:, ::2],
        "some channels of more, last": some_of_more[..., 2 : 2 + C].transpose(0, 3, 1, 2),
        "backwards": np.ascontiguousarray(x[:, ::-1, ::-1, ::-1])[:, ::-1, ::-1, ::-1],
        "read only": read_only,
    }


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = get_threads()
    set_threads(count)
    try:
        yield
    finally:
        set_threads(before)
