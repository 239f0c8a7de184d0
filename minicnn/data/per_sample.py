"""Random numbers for a batch of samples, each from a stream of its own: batches, order and threads do not change them."""

from __future__ import annotations

import math

import numpy as np

GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2^64 divided by the golden ratio, odd
INTO_UNIT = 2.0**-53  # the upper 53 of 64 bits become a number in [0, 1)

Size = int | tuple[int, ...]


class PerSampleGenerator:
    """One generator of random numbers for each sample of a batch, used like a single ``np.random.Generator``.

    Row i of what a method returns comes from the stream of sample ``indices[i]``, decided by (seed, epoch, index). So a sample
    gets the same numbers in whatever batch it is, as long as the same draws are made in the same order. ``size`` is as there,
    an int or a tuple, but it must be given, and begin with the number of samples in the batch.

    A stream is a SplitMix64 generator: its j-th number is mix(start + j G) with G = 2^64 / golden ratio, and starts are made by
    the same mixing: mix(mix(mix(seed) + G epoch) + G index). No stream needs the ones before, so that all samples' numbers are
    a few operations on arrays.

    Steele, Lea, Flood 2014, "Fast Splittable Pseudorandom Number Generators".

    Parameters
    ----------
    seed, epoch : int
        0 to 2^64 - 1. Epochs of training count from 1.
    indices : int (N,)
        The samples of the batch by their numbers in the training set, from 0.

    Attributes
    ----------
    seed, epoch, indices
        As given.

    Raises
    ------
    ValueError
        If one of them is negative or not whole; in a draw, if ``size`` does not begin with N.

    >>> batch = PerSampleGenerator(seed=1, epoch=1, indices=np.array([7, 2, 5]))
    >>> alone = PerSampleGenerator(seed=1, epoch=1, indices=np.array([2]))
    >>> bool(batch.uniform(0, 10, 3)[1] == alone.uniform(0, 10, 1)[0])
    True
    """

    def __init__(self, seed: int, epoch: int, indices: np.ndarray):
        self.seed, self.epoch, self.indices = seed, epoch, np.asarray(indices)
        for name, value in (("seed", seed), ("epoch", epoch)):
            if not isinstance(value, (int, np.integer)) or not 0 <= value < 2**64:
                raise ValueError(f"{name} is a whole number from 0 to 2^64 - 1, got {value!r}")
        if self.indices.ndim != 1 or self.indices.dtype.kind not in "iu" or (self.indices < 0).any():
            raise ValueError(
                f"indices are the numbers of the samples, whole and from 0, got {self.indices.dtype} {self.indices.shape}"
            )
        start = _mix(np.array([seed], np.uint64))
        for number in (np.array([epoch], np.uint64), self.indices.astype(np.uint64)):
            start = _mix(start + GOLDEN * number)
        self._start, self._drawn = start, 0

    def random(self, size: Size = ()) -> np.ndarray:
        """Uniform in [0, 1), float64."""
        shape = size if isinstance(size, tuple) else (size,)
        if not shape or shape[0] != len(self.indices):
            raise ValueError(
                f"a batch of {len(self.indices)} samples draws numbers for each: size must begin with {len(self.indices)}, "
                f"got {size}"
            )
        count = math.prod(shape[1:])
        steps = np.arange(self._drawn + 1, self._drawn + count + 1, dtype=np.uint64)
        self._drawn += count
        bits = _mix(self._start[:, None] + GOLDEN * steps)
        return ((bits >> np.uint64(11)) * INTO_UNIT).reshape(shape)

    def uniform(self, low: float = 0.0, high: float = 1.0, size: Size = ()) -> np.ndarray:
        """Uniform in [low, high), float64."""
        return low + (high - low) * self.random(size)

    def integers(self, low: int, high: int | None = None, size: Size = ()) -> np.ndarray:
        """low, ..., high - 1 with equal probability, or 0, ..., low - 1 where there is no ``high``; int64."""
        low, high = (0, low) if high is None else (low, high)
        return low + np.floor((high - low) * self.random(size)).astype(np.int64)

    def normal(self, loc: float = 0.0, scale: float = 1.0, size: Size = ()) -> np.ndarray:
        """Normally distributed with mean loc and standard deviation scale, float64: sqrt(-2 log u) cos(2 pi v) is standard.

        Box, Muller 1958, "A Note on the Generation of Random Normal Deviates".
        """
        shape = size if isinstance(size, tuple) else (size,)
        pairs = self.random((*shape, 2))
        return loc + scale * np.sqrt(-2 * np.log1p(-pairs[..., 0])) * np.cos(2 * np.pi * pairs[..., 1])


def _mix(z: np.ndarray) -> np.ndarray:
    """A reversible map of 64-bit numbers under which each bit of the argument changes about half of the result's."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
