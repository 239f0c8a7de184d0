"""Learning-rate schedules: how large a part of the base rate to use, as training goes on.

Each function makes a schedule: ``schedule(progress) -> factor``, with progress from 0 (before the first step) to 1 (after the
last one). It is a fraction of the whole run, not a number of epochs, so that the same schedule fits a short trial and a long
run. The Trainer asks for the factor in the *middle* of each step, so that no step is spent at a rate of zero. A schedule raises
a ValueError for progress outside 0 to 1.

In the equations p is the progress.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

Schedule = Callable[[float], float]


def constant() -> Schedule:
    """The base rate throughout: factor = 1.

    >>> constant()(0.7)
    1.0
    """
    return _checked(lambda progress: 1.0)


def step(drops: Sequence[float] = (0.5, 0.75), factor: float = 0.1) -> Schedule:
    """Drops at given moments: factor(p) = factor ^ (number of drops at or before p).

    Parameters
    ----------
    drops : progress in (0, 1), ascending
    factor : in (0, 1], by which each drop multiplies the rate

    Raises
    ------
    ValueError
        If an argument is out of range.

    The customary schedule of ResNets: He et al. 2016, arXiv 1512.03385, section 4.2 (drops by 0.1 after a half and three
    quarters of the run).

    >>> drop = step()
    >>> [round(drop(p), 6) for p in (0.0, 0.49, 0.5, 0.8)]
    [1.0, 1.0, 0.1, 0.01]
    """
    drops = tuple(drops)
    if list(drops) != sorted(set(drops)) or not all(0 < drop < 1 for drop in drops):
        raise ValueError(f"step: drops are ascending fractions of the run, each between 0 and 1, got {drops}")
    if not 0 < factor <= 1:
        raise ValueError(f"step: factor must be above 0 and at most 1, got {factor}")
    return _checked(lambda progress: factor ** sum(drop <= progress for drop in drops))


def exponential(final: float = 0.01) -> Schedule:
    """Falls by the same proportion in every step: factor(p) = final ^ p, from 1 to ``final`` (in (0, 1]).

    Raises
    ------
    ValueError
        If ``final`` is out of range.

    >>> round(exponential(final=0.01)(0.5), 6)
    0.1
    """
    if not 0 < final <= 1:
        raise ValueError(
            f"exponential: final must be above 0 and at most 1, got {final}; it is the factor at the end of the run"
        )
    return _checked(lambda progress: final**progress)


def cosine(warmup: float = 0.0, final: float = 0.0) -> Schedule:
    """Half a cosine wave from 1 down to ``final``, after a straight rise from 0::

        p < warmup    factor = p / warmup
        otherwise     factor = final + (1 - final) (1 + cos(pi q)) / 2     with q = (p - warmup) / (1 - warmup)

    Parameters
    ----------
    warmup : in [0, 1), the share of the run in which the rate rises
    final : in [0, 1], the factor at the end

    Raises
    ------
    ValueError
        If an argument is out of range.

    Loshchilov and Hutter 2017, "SGDR", arXiv 1608.03983, equation 5 (without restarts); the warm-up is that of Goyal et al.
    2017, arXiv 1706.02677, section 2.2.

    >>> wave = cosine(warmup=0.2)
    >>> [round(wave(p), 6) for p in (0.0, 0.1, 0.2, 0.6, 1.0)]
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    if not 0 <= warmup < 1:
        raise ValueError(f"cosine: warmup is a share of the run, at least 0 and below 1, got {warmup}")
    if not 0 <= final <= 1:
        raise ValueError(f"cosine: final must be between 0 and 1, got {final}")

    def factor(progress: float) -> float:
        if progress < warmup:
            return progress / warmup
        return _between(1.0, final, (progress - warmup) / (1 - warmup))

    return _checked(factor)


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
            return _between(start, 1.0, progress / warmup)
        return _between(1.0, end, (progress - warmup) / (1 - warmup))

    return _checked(factor)


def _between(first: float, last: float, share: float) -> float:
    """From first to last along half a cosine wave."""
    return last + (first - last) * (1 + math.cos(math.pi * share)) / 2


def _checked(schedule: Schedule) -> Schedule:
    """The schedule, but first a check that the progress is a fraction of the run."""

    def checked(progress: float) -> float:
        if not 0 <= progress <= 1:
            raise ValueError(
                f"progress is a share of the run, between 0 and 1, got {progress}; divide the step by the number of steps"
            )
        return schedule(progress)

    return checked
