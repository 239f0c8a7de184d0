"""Schedules that fall: in drops, by equal proportions, as 1/t, along a cosine wave."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .base import Schedule, between, checked


def constant() -> Schedule:
    """The base rate throughout: factor = 1.

    >>> constant()(0.7)
    1.0
    """
    return checked(lambda progress: 1.0)


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
    return checked(lambda progress: factor ** sum(drop <= progress for drop in drops))


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
    return checked(lambda progress: final**progress)


def one_over_t(k: float = 99.0) -> Schedule:
    """Falls fast, then ever more slowly: factor(p) = 1 / (1 + k p), from 1 to 1 / (1 + k).

    Parameters
    ----------
    k : at least 0; by default the run ends at a hundredth of the base rate

    Raises
    ------
    ValueError
        If ``k`` is out of range.

    With rates of 1/t, stochastic gradients still reach the minimum of a convex loss: the rates' sum is unbounded, that of
    their squares is not. Robbins and Monro 1951, "A Stochastic Approximation Method".

    >>> one_over_t(k=4)(0.25)
    0.5
    """
    if not 0 <= k < math.inf:
        raise ValueError(f"one_over_t: k must be a number from 0 up, got {k}; it makes the factor 1 / (1 + k) at the end")
    return checked(lambda progress: 1 / (1 + k * progress))


def linear(final: float = 0.0) -> Schedule:
    """Straight down from 1: factor(p) = 1 - (1 - final) p.

    Parameters
    ----------
    final : in [0, 1], the factor at the end

    Raises
    ------
    ValueError
        If ``final`` is out of range.

    >>> linear(final=0.2)(0.5)
    0.6
    """
    if not 0 <= final <= 1:
        raise ValueError(f"linear: final must be between 0 and 1, got {final}")
    return checked(lambda progress: 1 - (1 - final) * progress)


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
        return between(1.0, final, (progress - warmup) / (1 - warmup))

    return checked(factor)
