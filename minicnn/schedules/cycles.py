"""Schedules that rise and fall: once, or again and again."""

from __future__ import annotations

import math
from bisect import bisect_right
from itertools import accumulate

from .base import Schedule, between, checked


def one_cycle(warmup: float = 0.3, start: float = 0.04, end: float = 4e-6) -> Schedule:
    """Up from ``start`` to 1 and down to ``end``, both along half a cosine wave::

        p < warmup    factor = start + (1 - start) (1 - cos(pi p / warmup)) / 2
        otherwise     factor = end + (1 - end) (1 + cos(pi q)) / 2         with q = (p - warmup) / (1 - warmup)

    The base rate is the *highest* one, and may be several times what a constant rate can bear.

    Parameters
    ----------
    warmup : in (0, 1), the share of the run in which the rate rises
    start, end : in [0, 1], factors at both ends; the defaults are those of PyTorch's ``OneCycleLR`` (1/25, and 1/10000 of that)

    Raises
    ------
    ValueError
        If an argument is out of range.

    Smith and Topin 2018, "Super-Convergence", arXiv 1708.07120 (with straight lines; the cosine is Howard's, in fastai). Their
    momentum, which falls while the rate rises, is not part of this.

    >>> cycle = one_cycle(warmup=0.5, start=0.2, end=0.0)
    >>> [round(cycle(p), 6) for p in (0.0, 0.25, 0.5, 0.75, 1.0)]
    [0.2, 0.6, 1.0, 0.5, 0.0]
    """
    if not 0 < warmup < 1:
        raise ValueError(f"one_cycle: warmup is a share of the run, above 0 and below 1, got {warmup}")
    if not (0 <= start <= 1 and 0 <= end <= 1):
        raise ValueError(f"one_cycle: start and end are factors between 0 and 1, got {start} and {end}")

    def factor(progress: float) -> float:
        if progress < warmup:
            return between(start, 1.0, progress / warmup)
        return between(1.0, end, (progress - warmup) / (1 - warmup))

    return checked(factor)


def warm_restarts(cycles: int = 3, T_mult: float = 2.0, final: float = 0.0) -> Schedule:
    """Half a cosine wave from 1 down to ``final``, again and again, each T_mult times as long as the one before::

        factor = final + (1 - final) (1 + cos(pi T_cur / T_i)) / 2

    T_i = T_0 T_mult^i is the length of cycle i, and T_cur what has passed of it. The cycles fill the run, so that it does not
    end in the middle of one, at a high rate: T_0 = 1 / (1 + T_mult + ... + T_mult^(cycles - 1)) of the run.

    Parameters
    ----------
    cycles : int, at least 1
    T_mult : at least 1
    final : in [0, 1], the factor at the end of each cycle

    Raises
    ------
    ValueError
        If an argument is out of range.

    Loshchilov and Hutter 2017, "SGDR: Stochastic Gradient Descent with Warm Restarts", arXiv 1608.03983, equation 5.

    >>> wave = warm_restarts(cycles=2, T_mult=3)  # T_0 is a quarter of the run
    >>> [round(wave(p), 6) for p in (0.0, 0.125, 0.25, 0.625, 1.0)]
    [1.0, 0.5, 1.0, 0.5, 0.0]
    """
    _check_cycles("warm_restarts", cycles)
    if not 1 <= T_mult < math.inf:
        raise ValueError(f"warm_restarts: T_mult, by how much each cycle is longer than the last, is at least 1, got {T_mult}")
    if not 0 <= final <= 1:
        raise ValueError(f"warm_restarts: final must be between 0 and 1, got {final}")
    T_0 = 1 / sum(T_mult**i for i in range(cycles))
    T = [T_0 * T_mult**i for i in range(cycles)]
    starts = [0.0, *accumulate(T[:-1])]

    def factor(progress: float) -> float:
        i = bisect_right(starts, progress) - 1
        T_cur = progress - starts[i]
        return between(1.0, final, T_cur / T[i])

    return checked(factor)


def triangular(start: float = 0.0, peak: float = 0.5, end: float = 0.0) -> Schedule:
    """Straight up from ``start`` to 1 and straight down to ``end``::

        p < peak      factor = start + (1 - start) p / peak
        otherwise     factor = end + (1 - end) (1 - p) / (1 - peak)

    Parameters
    ----------
    start, end : in [0, 1], factors at both ends
    peak : in (0, 1), the share of the run at which the base rate is reached

    Raises
    ------
    ValueError
        If an argument is out of range.

    A single cycle of Smith 2017 (see `cyclic`), whose peak need not be in the middle.

    >>> triangle = triangular(start=0.2, peak=0.25, end=0.0)
    >>> [round(triangle(p), 6) for p in (0.0, 0.125, 0.25, 0.625, 1.0)]
    [0.2, 0.6, 1.0, 0.5, 0.0]
    """
    if not 0 < peak < 1:
        raise ValueError(f"triangular: peak is a share of the run, above 0 and below 1, got {peak}")
    if not (0 <= start <= 1 and 0 <= end <= 1):
        raise ValueError(f"triangular: start and end are factors between 0 and 1, got {start} and {end}")

    def factor(progress: float) -> float:
        if progress < peak:
            return start + (1 - start) * progress / peak
        return end + (1 - end) * (1 - progress) / (1 - peak)

    return checked(factor)


def cyclic(cycles: int = 4, low: float = 0.25, shrink: float = 1.0) -> Schedule:
    """Triangles one after another, from ``low`` up to the base rate and back::

        factor = low + (1 - low) shrink^i (1 - |2 q - 1|)     with q the share that has passed of cycle i = 0, 1, ...

    Parameters
    ----------
    cycles : int, at least 1
    low : in [0, 1]; the paper takes a third or a quarter of the highest rate
    shrink : in (0, 1], by which the triangles' height is multiplied from cycle to cycle: 1 is the paper's "triangular", 1/2
        its "triangular2"

    Raises
    ------
    ValueError
        If an argument is out of range.

    Smith 2017, "Cyclical Learning Rates for Training Neural Networks", arXiv 1506.01186, section 3.

    >>> wave = cyclic(cycles=2, low=0.5, shrink=0.5)
    >>> [round(wave(p), 6) for p in (0.0, 0.25, 0.5, 0.75, 1.0)]
    [0.5, 1.0, 0.5, 0.75, 0.5]
    """
    _check_cycles("cyclic", cycles)
    if not 0 <= low <= 1:
        raise ValueError(f"cyclic: low is a factor between 0 and 1, got {low}")
    if not 0 < shrink <= 1:
        raise ValueError(f"cyclic: shrink must be above 0 and at most 1, got {shrink}")

    def factor(progress: float) -> float:
        i = min(int(progress * cycles), cycles - 1)  # the run's end belongs to the last cycle
        q = progress * cycles - i
        return low + (1 - low) * shrink**i * (1 - abs(2 * q - 1))

    return checked(factor)


def _check_cycles(schedule: str, cycles: int) -> None:
    if not (isinstance(cycles, int) and cycles >= 1):
        raise ValueError(f"{schedule}: cycles must be a whole number from 1 up, got {cycles}")
