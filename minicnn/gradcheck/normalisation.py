"""The gradient of a normalisation, taken apart into its terms, to see which of them is wrong."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .evidence import Evidence, fits, grouped


def wrong_normalisation(e: Evidence) -> str | None:
    """Batch norm and its relatives: dx = k dy + c + s (x - mean) in each group, with a wrong k, c or s.

    With M values a group, g = gamma / std and x-hat = (x - mean) / std, k = g, c = -g sum of dy / M, and
    s = -g sum of dy x-hat / (M std): the second term comes through the mean, the third through the variance. Where x is divided
    by its length or root mean square, and no mean subtracted, dx = k dy + s x.
    """
    if not e.is_like_output:
        return None
    for group, shape, axes in _groups(e.x.shape):
        M = int(np.prod([shape[axis] for axis in axes]))
        x, numeric, analytic = (array.reshape(shape) for array in (e.x, e.numeric, e.analytic))
        centred = x - x.mean(axis=axes, keepdims=True)
        for dy in [e.dy, *_weighted(e)]:
            dy = dy.reshape(shape)
            for compared, columns in ((_through_the_length, (dy, x)), (_through_mean_and_variance, (dy, 1, centred))):
                right, given = (_terms(gradient, columns, axes) for gradient in (numeric, analytic))
                if right is not None and given is not None and (sentence := compared(right, given, M, group)):
                    return sentence
    return None


def _groups(shape: tuple[int, ...]) -> Iterator[tuple[str, tuple[int, ...], tuple[int, ...]]]:
    """What may be normalised together: its name, the shape that x gets for it, and the axes of that which it extends over."""
    yield "channel", shape, tuple(axis for axis in range(len(shape)) if axis != 1)
    yield "sample", shape, tuple(range(1, len(shape)))
    if len(shape) == 4:
        N, C, H, W = shape
        for size in range(C // 2, 1, -1):
            if C % size == 0:
                yield f"group of {size} channels", (N, C // size, size, H, W), (2, 3, 4)
    yield "plane", shape, tuple(range(2, len(shape)))


def _weighted(e: Evidence) -> list[np.ndarray]:
    """dy times each array that may be a gamma with a value of its own for each element or channel of the group."""
    weights = [w for w in e.arrays.values() if w is not e.values]
    by_channel = [w[:, None, None] for w in weights if e.x.ndim == 4 and w.shape == e.x.shape[1:2]]
    return [e.dy * w for w in by_channel + [w for w in weights if w.shape == e.x.shape[-w.ndim :]]]


def _terms(gradient: np.ndarray, columns: tuple[np.ndarray, ...], axes: tuple[int, ...]) -> np.ndarray | None:
    """(groups, columns): the factors of the columns in each group, None if the gradient is not a sum of them."""
    g = grouped(gradient, axes)
    stacked = np.stack([grouped(np.broadcast_to(column, gradient.shape), axes) for column in columns], axis=2)
    terms, made = np.zeros((len(g), len(columns))), np.empty(g.shape)
    for i in range(len(g)):
        known = np.isfinite(g[i])
        if known.sum() < len(columns) + 2:
            return None
        terms[i] = np.linalg.lstsq(stacked[i][known], g[i][known], rcond=None)[0]
        made[i] = stacked[i] @ terms[i]
    return terms if fits(made, g) else None


def _through_the_length(right: np.ndarray, given: np.ndarray, M: int, group: str) -> str | None:
    names = (
        "the factor of dy (1 / length)",
        f"the term proportional to x in each {group} (the gradient that goes through the length, or root mean square)",
    )
    if np.abs(right[:, 1]).max() <= 1e-6 * np.abs(right[:, 0]).max():
        return None
    return _compared(names, right, given, M, "where x is divided by its length or root mean square, ")


def _through_mean_and_variance(right: np.ndarray, given: np.ndarray, M: int, group: str) -> str | None:
    scale = np.abs(right).max(axis=0)
    if scale[1:].max() <= 1e-6 * scale[0]:
        if np.abs(given[:, 1:]).max() <= 1e-6 * np.abs(given[:, 0]).max():
            return None
        return (
            "it has the terms that go through mean and variance, which are constants here: in eval mode, or frozen, dx is dy "
            "times a constant"
        )
    if scale.min() <= 1e-6 * scale.max():
        return None  # something with a mean, and not a normalisation
    names = (
        "the factor of dy (gamma / std)",
        f"the term of the mean, constant within each {group} (the gradient that goes through the average)",
        f"the term of the variance, proportional to x - mean in each {group} (the gradient that goes through 1 / std)",
    )
    return _another_std(right, given, M) or _compared(names, right, given, M, "in a normalisation such as batch norm, ")


def _another_std(right: np.ndarray, given: np.ndarray, M: int) -> str | None:
    """All terms as they would be with another standard deviation: k and c grow like 1 / std, s like 1 / std^3."""
    with np.errstate(divide="ignore", invalid="ignore"):
        f = given[:, 0] / right[:, 0]
    if not np.isfinite(f).all() or not f.all() or np.abs(f - 1).max() <= 1e-4:
        return None
    expected = right * np.stack([f, f, f**3], axis=1)
    if not all(fits(term, as_expected) for term, as_expected in zip(given.T, expected.T, strict=True)):
        return None
    for size, (here, there) in {(M - 1) / M: ("M - 1", "M"), M / (M - 1): ("M", "M - 1")}.items():
        if np.abs(f**2 - size).max() <= 1e-4:
            return (
                f"in a normalisation, the variance is divided by {here} in backward and by {there} in forward (M = {M} values)"
            )
    cause = (
        "eps left out" if f.min() > 1 else "the variance divided by M - 1 for M, or eps added twice" if f.max() < 1 else "eps"
    )
    return f"in a normalisation, 1 / std is {f.min():.6g} to {f.max():.6g} times what it is in forward: is it {cause}?"


def _compared(names: tuple[str, ...], right: np.ndarray, given: np.ndarray, M: int, where: str) -> str | None:
    """What is wrong with the term of each name; None if all are wrong alike, which is another hypothesis."""
    found: dict[str, list[str]] = {}
    for name, r, g in zip(names, right.T, given.T, strict=True):
        factor = float(r @ g / (r @ r))
        if np.abs(g - factor * r).max() > 1e-3 * max(np.abs(r).max(), np.abs(g).max()):
            what = "is wrong, by a factor that differs from one group to another"
        elif abs(factor - 1) < 1e-4:
            continue
        elif abs(factor) < 1e-4:
            what = "is missing"
        elif abs(factor / M - 1) < 1e-4:
            what = f"is a sum where a mean belongs: divide by {M}, the number of values"
        elif abs(factor * M - 1) < 1e-4:
            what = f"is divided by {M}, the number of values, once too often"
        elif abs(factor * (M - 1) / M - 1) < 1e-4:
            what = f"is divided by {M - 1} where the number of values, {M}, belongs"
        elif abs(factor + 1) < 1e-4:
            what = "has the wrong sign"
        else:
            what = f"is {factor:.6g} times what it should be"
        found.setdefault(what, []).append(name)
    if not found or (len(found) == 1 and len(next(iter(found.values()))) == len(names)):
        return None
    return where + "; ".join(f"{' and '.join(n)} {what}" for what, n in found.items())
