"""How weights start: random, and of a size that keeps signals alive through many layers.

Each function takes (shape, rng, dtype) and returns a new array, so that any of them, or one of your own, can be handed to a
layer as ``initializer``. Shapes are those of the layers: (out, in) for Linear, (F, C / groups, KH, KW) for Conv2d.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

Initializer = Callable[[tuple[int, ...], np.random.Generator, "np.dtype | type"], np.ndarray]


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """(fan_in, fan_out): how many inputs one output is summed from, and how many outputs (of one group) one input goes into.

    (out, in) gives (in, out); (F, C / groups, KH, KW) gives (C / groups * KH * KW, F * KH * KW).

    >>> fans((10, 84)), fans((16, 6, 5, 5))
    ((84, 10), (150, 400))

    Raises
    ------
    ValueError
        If the shape has fewer than two axes: a bias, which has no inputs to count.
    """
    if len(shape) < 2:
        raise ValueError(f"fan-in and fan-out need weights of shape (out, in) or (F, C / groups, KH, KW), got {shape}")
    taps = math.prod(shape[2:])
    return shape[1] * taps, shape[0] * taps


def msra(shape: tuple[int, ...], rng: np.random.Generator, dtype: np.dtype | type = np.float32) -> np.ndarray:
    """Normal with mean 0 and standard deviation sqrt(2 / fan_in): keeps the variance of signals through layers with ReLU.

    A sum of fan_in products has fan_in times the variance of one; the 2 makes up for the half that ReLU sets to zero.
    He, Zhang, Ren, Sun 2015, "Delving Deep into Rectifiers", equation 10 (also known as He or Kaiming initialisation).

    Raises
    ------
    ValueError
        As in `fans`.
    """
    return _normal(shape, rng, dtype, math.sqrt(2 / fans(shape)[0]))


def xavier(shape: tuple[int, ...], rng: np.random.Generator, dtype: np.dtype | type = np.float32) -> np.ndarray:
    """Normal with mean 0 and variance 2 / (fan_in + fan_out): between keeping signals (1 / fan_in) and gradients (1 / fan_out).

    For activations that are nearly linear around zero, such as tanh.
    Glorot, Bengio 2010, "Understanding the difficulty of training deep feedforward neural networks", equation 12 (who draw
    from a uniform distribution of this variance).

    Raises
    ------
    ValueError
        As in `fans`.
    """
    return _normal(shape, rng, dtype, math.sqrt(2 / sum(fans(shape))))


def normal(std: float) -> Initializer:
    """An initializer that draws from a normal distribution with mean 0 and this standard deviation, whatever the shape.

    >>> normal(0.01)((2, 3), np.random.default_rng(0), np.float32).shape
    (2, 3)

    Raises
    ------
    ValueError
        If ``std`` is negative or not finite.
    """
    if not (math.isfinite(std) and std >= 0):
        raise ValueError(f"a standard deviation is a finite number of at least 0, got {std!r}")

    def initializer(shape: tuple[int, ...], rng: np.random.Generator, dtype: np.dtype | type = np.float32) -> np.ndarray:
        return _normal(shape, rng, dtype, std)

    return initializer


def _normal(shape: tuple[int, ...], rng: np.random.Generator, dtype: np.dtype | type, std: float) -> np.ndarray:
    # drawn in float64 whatever the dtype: a float32 and a float64 network of one seed start from the same weights, rounded;
    # a row at a time, or the first fully connected layer of a VGG would need a gigabyte while it is drawn
    w = np.empty(shape, dtype)
    for row in w:
        row[...] = rng.standard_normal(shape[1:]) * std
    return w


def dirac(shape: tuple[int, ...], rng: np.random.Generator, dtype: np.dtype | type = np.float32) -> np.ndarray:
    """Filters that hand their channel on as it is: filter f = 0, ..., C - 1 is 1 at its middle in channel f, and 0 elsewhere.

    w[f, c, i, j] = 1 where f = c and (i, j) is the middle, else 0. So a convolution with as many filters as channels begins as
    the identity, and a deep network as a shallow one. Filters from C on are drawn uniformly from -1 to 1 over sqrt(fan_in).

    Zagoruyko, Komodakis 2017, "DiracNets", arXiv 1706.00388 (where the identity is added for good); as an initialisation
    Jordan 2024, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", arXiv 2404.00498, section 3.3.

    Parameters
    ----------
    shape : (F, C, KH, KW), odd KH and KW

    Raises
    ------
    ValueError
        For another shape.

    >>> dirac((2, 2, 1, 1), np.random.default_rng(0))[:, :, 0, 0]
    array([[1., 0.],
           [0., 1.]], dtype=float32)
    """
    if len(shape) != 4 or not (shape[2] % 2 and shape[3] % 2):
        raise ValueError(f"dirac is for filters (F, C, KH, KW) that have a middle, KH and KW odd, got {tuple(shape)}")
    F, C, KH, KW = shape
    bound = 1 / math.sqrt(fans(shape)[0])
    w = rng.uniform(-bound, bound, shape).astype(dtype)
    w[:C] = 0
    for f in range(min(F, C)):
        w[f, f, KH // 2, KW // 2] = 1
    return w
