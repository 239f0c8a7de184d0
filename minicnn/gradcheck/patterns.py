"""Patterns of numbers: how a wrong gradient differs from the measured one over the whole array.

Each function returns a sentence if its pattern fits all elements that were measured, and None otherwise.
"""

from __future__ import annotations

from itertools import combinations, product

import numpy as np

from .evidence import FIT_TOLERANCE, Evidence, fits, grouped

MAX_SHIFT = 4  # pixels of padding that may have been cropped at the wrong side


def rounded(e: Evidence) -> str | None:
    """The right numbers, with fewer digits than float64 has."""
    known = np.isfinite(e.numeric)
    given, right = e.analytic[known], e.numeric[known]
    off = np.abs(given - right)
    if given.dtype.kind == "f":
        exactness = np.finfo(given.dtype)
        if (off <= exactness.eps * np.abs(right) + exactness.tiny).all():
            return f"it is rounded to {given.dtype}: something in backward() converts it"
    if (given == np.round(given)).all() and (off < 1 + FIT_TOLERANCE).all() and given.size > 3:
        return "it is rounded to whole numbers: something in backward() converts it to int"
    return None


def constant_factor(e: Evidence) -> str | None:
    """analytic = factor * numeric: a wrong sign, a mean that should be a sum, the 2 of a square."""
    known = np.isfinite(e.numeric)
    a, n = e.analytic[known], e.numeric[known]
    if a.size < 2 or not n.any():
        return None
    n, a = n / np.abs(n).max(), a / np.abs(n).max()  # their squares must not underflow
    factor = float(a @ n / (n @ n))
    if not e.explains(factor * e.numeric):
        return None
    if abs(factor + 1) < FIT_TOLERANCE:
        return "the sign is flipped"
    batch_size = e.batch_size
    sizes = {2: "the 2 that comes from differentiating a square", batch_size: "the batch size N"}
    if e.has_output and e.y.ndim == 4:
        window = max(e.x.size / e.y.size, 1) if e.x.ndim == 4 else 1
        plane = e.y.shape[2] * e.y.shape[3]
        of_y = {plane: "the size of a plane of y (OH*OW)", batch_size * plane: "the values of a channel of y (N*OH*OW)"}
        sizes = {window: "the pixels of x for each of y"} | of_y | sizes
    if e.values.ndim == 4:
        plane = e.values.shape[2] * e.values.shape[3]
        sizes = {plane: "the size of a plane (H*W)", batch_size * plane: "the values of a channel (N*H*W)"} | sizes
    sizes.pop(1, None)
    sign = ", and the sign is flipped" if factor < 0 else ""
    for operation, magnitude in (("multiplied by", abs(factor)), ("divided by", 1 / abs(factor))):
        origins = [f"{size:.6g}, {origin}" for size, origin in sizes.items() if abs(magnitude / size - 1) < FIT_TOLERANCE]
        if batch_size == 2 and abs(magnitude / 2 - 1) < FIT_TOLERANCE:
            origins = ["2, which is the batch size N here, or the 2 that comes from differentiating a square"]
        if origins:
            return f"a constant factor: it is {operation} {origins[0]} (or should not be){sign}"
    return f"a constant factor: it is {abs(factor):.6g} times what it should be{sign}"


def rearranged(e: Evidence) -> str | None:
    """The right values at other indices: transposed, flipped or rotated."""
    analytic, numeric = e.analytic, e.numeric
    if numeric.ndim < 2:
        return None
    rotated = analytic[..., ::-1, ::-1]
    candidates = {
        "the last two axes are swapped (transposed)": analytic.swapaxes(-1, -2),
        "the kernel is rotated by 180 degrees (flipped along its last two axes)": rotated,
        "the last axis runs backwards (flipped left to right)": analytic[..., ::-1],
        "the last axis but one runs backwards (flipped top to bottom)": analytic[..., ::-1, :],
        "the first two axes are swapped (transposed)": analytic.swapaxes(0, 1),
        "the first two axes are swapped (transposed), and the kernel is rotated by 180 degrees": rotated.swapaxes(0, 1),
    }
    for sentence, candidate in candidates.items():
        if candidate.shape == numeric.shape and fits(candidate, numeric):
            return f"{sentence}; the values themselves are right"
    return None


def shifted(e: Evidence) -> str | None:
    """The right values some rows and columns away, the smallest shift first."""
    if e.numeric.ndim != 4:
        return None
    H, W = e.numeric.shape[2:]
    padded = np.pad(e.numeric, ((0, 0), (0, 0), (MAX_SHIFT, MAX_SHIFT), (MAX_SHIFT, MAX_SHIFT)), constant_values=np.nan)
    offsets = range(-MAX_SHIFT, MAX_SHIFT + 1)
    for i, j in sorted(product(offsets, offsets), key=lambda shift: abs(shift[0]) + abs(shift[1])):
        top, left = MAX_SHIFT - i, MAX_SHIFT - j
        moved = padded[:, :, top : top + H, left : left + W]
        known = np.isfinite(moved) & np.isfinite(e.numeric)
        if np.count_nonzero(moved[known]) >= 4 and e.explains(moved):
            rows, columns = f"{abs(i)} {'down' if i > 0 else 'up'}", f"{abs(j)} {'right' if j > 0 else 'left'}"
            return f"the right values stand {rows} and {columns} of their places: the padding is cropped at the wrong side"
    return None


def other_order(e: Evidence) -> str | None:
    """The right values at other places."""
    analytic, numeric = e.analytic, e.numeric
    if numeric.size < 6 or not np.isfinite(numeric).all() or fits(analytic, numeric):
        return None
    if not fits(np.sort(analytic, None), np.sort(numeric, None)):
        return None
    chosen = "" if numeric.all() else ", or dy goes to elements that forward did not choose (in a maximum, say)"
    return f"the numbers are right, and stand at other places: axes or slices are in an order that is not forward's{chosen}"


def should_be_zero(e: Evidence) -> str | None:
    analytic, numeric = e.analytic, e.numeric
    known = np.isfinite(numeric)
    if np.abs(numeric[known]).max() > 1e-8 * np.abs(analytic[known]).max():
        return None
    return "it should be zero everywhere: what it belongs to has no influence on the output"


def missing_constant(e: Evidence) -> str | None:
    """A missing term that is constant over some axes, as the gradient of a mean over these axes is."""
    analytic, numeric = e.analytic, e.numeric
    missing = numeric - analytic
    for count in range(numeric.ndim, 0, -1):
        for axes in combinations(range(numeric.ndim), count):
            groups = grouped(missing, axes)
            if _enough_measured(groups) and fits(np.broadcast_to(_group_means(groups), groups.shape), groups):
                over = ", ".join(str(axis) for axis in axes)
                return (
                    f"an additive term is missing (or too many) that is constant over axes {over}: of a sum or mean over them"
                )
    return None


def missing_own_value(e: Evidence) -> str | None:
    """A missing term that is proportional to the array itself, as the gradient of c |w|^2 is."""
    analytic, numeric, values = e.analytic, e.numeric, e.values
    missing = numeric - analytic
    known = np.isfinite(missing)
    v = values[known]
    if known.sum() < 4 or not v.any():
        return None
    factor = float(missing[known] @ v / (v @ v))
    if not fits(factor * values, missing):
        return None
    return (
        f"a term of {factor:.4g} times the array itself is missing: of weight decay (L2), of a square, or of a product with it"
    )


def factor_by_group(e: Evidence) -> str | None:
    """Right up to a factor that differs between the channels, or between the indices of the first axis."""
    analytic, numeric = e.analytic, e.numeric
    known = np.where(np.isfinite(numeric), analytic, np.nan)
    for axis in (0, 1):
        others = tuple(i for i in range(numeric.ndim) if i != axis)
        a, n = grouped(known, others), grouped(numeric, others)
        with np.errstate(divide="ignore", invalid="ignore"):
            factor = _group_means(a * n) / _group_means(a * a)
        other = np.abs(factor - 1) > FIT_TOLERANCE  # a group with one element that is not 0 has such a factor by itself
        if not other.any() or np.count_nonzero(np.nan_to_num(n) * other) < 2 * other.sum():
            continue
        if fits(factor * a, n):
            group = (
                "each channel (gamma or 1/std forgotten, or another eps in it?)" if axis == 1 else f"each index of axis {axis}"
            )
            return f"it is right up to a factor of its own for {group}"
    return None


def _group_means(groups: np.ndarray) -> np.ndarray:
    """The mean of each group over its measured elements, (groups, 1); 0 for a group without any."""
    known = np.isfinite(groups)
    return np.where(known, groups, 0).sum(axis=1, keepdims=True) / np.maximum(known.sum(axis=1, keepdims=True), 1)


def _enough_measured(groups: np.ndarray) -> bool:
    """Whether the groups have at least two measured elements each, on average, and more than two together."""
    known = np.isfinite(groups).sum()
    return bool(known > 2 and known >= 2 * len(groups))
