"""The likely cause of a wrong gradient, from the pattern in which it differs from the measured one.

Each function below recognises one family of mistakes by its effect on the numbers, and returns a sentence or None. Elements
that were not measured are NaN in ``numeric``; a pattern counts only if it fits all elements that were.
"""

from __future__ import annotations

from itertools import combinations, permutations, product

import numpy as np

FIT_TOLERANCE = 1e-4  # of a pattern, relative to the largest value, because measured derivatives carry noise
MAX_SHIFT = 4  # pixels of padding that may have been cropped at the wrong side
CHANNEL_AXES = {
    2: (0,),
    4: (0, 2, 3),
}  # the axes over which a channel extends, by the number of axes of (N, C) and (N, C, H, W)


def guess_cause(analytic: np.ndarray | None, numeric: np.ndarray, values: np.ndarray, batch_size: int) -> str:
    """The likeliest cause in a sentence, '' if nothing fits.

    Parameters
    ----------
    analytic : ndarray or None
        The gradient that ``backward`` gave, of any shape.
    numeric : ndarray
        The measured gradient, NaN where it was not measured.
    values : ndarray
        The array that the gradient is for, of the shape of ``numeric``.
    batch_size : int
        N.
    """
    if analytic is None:
        return "backward() did not assign this gradient, or did not return it"
    if analytic.shape != numeric.shape:
        return _wrong_shape(analytic, numeric)
    known = np.isfinite(numeric)
    if not np.isfinite(analytic[known]).all():
        return "it is NaN or infinite: a division by zero, the log or root of 0, or an element that was never written"
    if not known.any():
        return ""
    if not analytic[known].any():
        return "it is zero everywhere: the chain of backward() is cut, or the result went into an array that is not returned"
    patterns = (
        lambda: _constant_factor(analytic, numeric, values, batch_size),
        lambda: _rearranged(analytic, numeric),
        lambda: _shifted(analytic, numeric),
        lambda: _missing_constant(analytic, numeric),
        lambda: _missing_line(analytic, numeric, values),
        lambda: _factor_by_group(analytic, numeric),
        lambda: _wrong_slice(analytic, numeric),
        lambda: _wrong_border(analytic, numeric),
    )
    return next((sentence for pattern in patterns if (sentence := pattern())), "")


def _fits(candidate: np.ndarray, numeric: np.ndarray) -> bool:
    """Whether the candidate equals the measured gradient wherever it was measured."""
    known = np.isfinite(numeric)
    if not known.any():
        return False
    return bool(np.abs(candidate - numeric)[known].max() <= FIT_TOLERANCE * np.abs(numeric[known]).max())


def _wrong_shape(analytic: np.ndarray, numeric: np.ndarray) -> str:
    """Transposed, with its padding, of the same size but another shape, or summed over the wrong axes."""
    if analytic.ndim == numeric.ndim:
        for axes in permutations(range(numeric.ndim)):
            if analytic.transpose(axes).shape == numeric.shape and _fits(analytic.transpose(axes), numeric):
                return f"it is transposed: transpose{axes} of it is right"
    same_channels = numeric.ndim == analytic.ndim == 4 and analytic.shape[:2] == numeric.shape[:2]
    if same_channels and all(a >= n for a, n in zip(analytic.shape, numeric.shape, strict=True)):
        (H, W), (PH, PW) = numeric.shape[2:], analytic.shape[2:]
        for top in range(PH - H + 1):
            for left in range(PW - W + 1):
                if _fits(analytic[:, :, top : top + H, left : left + W], numeric):
                    return f"the padding is not cropped: [:, :, {top}:{top + H}, {left}:{left + W}] of it is right"
        return f"the padding is not cropped ({PH - H} rows and {PW - W} columns too many), and something else is wrong"
    if analytic.size == numeric.size and _fits(analytic.reshape(numeric.shape), numeric):
        return "the numbers are right and only their shape is not: reshape to the shape of the array it belongs to"
    if analytic.size == 1 or numeric.size % analytic.size == 0 or analytic.size % numeric.size == 0:
        return "a sum (or mean) runs over one axis too many or too few"
    return ""


def _constant_factor(analytic: np.ndarray, numeric: np.ndarray, values: np.ndarray, batch_size: int) -> str | None:
    """analytic = factor * numeric: a wrong sign, a mean that should be a sum, the 2 of a square."""
    known = np.isfinite(numeric)
    a, n = analytic[known], numeric[known]
    if np.abs(n).max() <= FIT_TOLERANCE * np.abs(a).max() * 1e-4:
        return "it should be zero everywhere: what it belongs to has no influence on the output"
    if a.size < 2:
        return None
    factor = float(a @ n / (n @ n))
    if not _fits(analytic / factor if factor else analytic, numeric):
        return None
    if abs(factor + 1) < FIT_TOLERANCE:
        return "the sign is flipped"
    sizes = {2: "the 2 that comes from differentiating a square", batch_size: "the batch size N"}
    if values.ndim == 4:
        plane = values.shape[2] * values.shape[3]
        sizes = {plane: "the size of a plane (H*W)", batch_size * plane: "the values of a channel (N*H*W)"} | sizes
    sizes.pop(1, None)
    sign = ", and the sign is flipped" if factor < 0 else ""
    for operation, magnitude in (("multiplied by", abs(factor)), ("divided by", 1 / abs(factor))):
        origins = [f"{size}, {origin}" for size, origin in sizes.items() if abs(magnitude / size - 1) < FIT_TOLERANCE]
        if batch_size == 2 and abs(magnitude / 2 - 1) < FIT_TOLERANCE:
            origins = ["2, which is the batch size N here, or the 2 that comes from differentiating a square"]
        if origins:
            return f"a constant factor: it is {operation} {origins[0]} (or should not be){sign}"
    return f"a constant factor: it is {abs(factor):.6g} times what it should be{sign}"


def _rearranged(analytic: np.ndarray, numeric: np.ndarray) -> str | None:
    """The right values at other indices: transposed, flipped or rotated."""
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
        if candidate.shape == numeric.shape and _fits(candidate, numeric):
            return f"{sentence}; the values themselves are right"
    return None


def _shifted(analytic: np.ndarray, numeric: np.ndarray) -> str | None:
    """The right values some rows and columns away, the smallest shift first."""
    if numeric.ndim != 4:
        return None
    H, W = numeric.shape[2:]
    offsets = range(-MAX_SHIFT, MAX_SHIFT + 1)
    shifts = [(i, j) for i, j in product(offsets, offsets) if (i or j) and abs(i) < H - 1 and abs(j) < W - 1]
    for i, j in sorted(shifts, key=lambda shift: abs(shift[0]) + abs(shift[1])):
        a = analytic[:, :, max(i, 0) : H + min(i, 0), max(j, 0) : W + min(j, 0)]
        n = numeric[:, :, max(-i, 0) : H + min(-i, 0), max(-j, 0) : W + min(-j, 0)]
        measured = n[np.isfinite(n)]
        if measured.size >= 4 and measured.any() and _fits(a, n):
            rows, columns = f"{abs(i)} {'down' if i > 0 else 'up'}", f"{abs(j)} {'right' if j > 0 else 'left'}"
            return f"the right values stand {rows} and {columns} of their places: the padding is cropped at the wrong side"
    return None


def _missing_constant(analytic: np.ndarray, numeric: np.ndarray) -> str | None:
    """A missing term that is constant over some axes, as the gradient of a mean over these axes is."""
    missing = numeric - analytic
    for count in range(numeric.ndim, 0, -1):
        for axes in combinations(range(numeric.ndim), count):
            groups = _grouped(missing, axes)
            if _enough_measured(groups, 2) and _fits(np.broadcast_to(_group_means(groups), groups.shape), groups):
                over = ", ".join(str(axis) for axis in axes)
                if axes == CHANNEL_AXES.get(numeric.ndim):
                    return (
                        "an additive term is missing that is constant within each channel: in batch norm the term of the mean "
                        f"(the gradient that goes through the average over axes {over})"
                    )
                return (
                    f"an additive term is missing (or too many) that is constant over axes {over}: of a sum or mean over them"
                )
    return None


def _missing_line(analytic: np.ndarray, numeric: np.ndarray, values: np.ndarray) -> str | None:
    """A missing term that is a straight line in x for each channel, as the gradient of a variance is (c (x - mean))."""
    if numeric.ndim not in CHANNEL_AXES:
        return None
    axes = CHANNEL_AXES[numeric.ndim]
    missing, x = _grouped(numeric - analytic, axes), _grouped(values, axes)
    if not _enough_measured(missing, 4):
        return None
    mean_x = x.mean(axis=1, keepdims=True)
    x = np.where(np.isfinite(missing), x, np.nan)
    centred = x - _group_means(x)
    with np.errstate(divide="ignore", invalid="ignore"):  # x that does not vary has no slope
        slope = _group_means(centred * (missing - _group_means(missing))) / _group_means(centred**2)
    if not _fits(_group_means(missing) + slope * centred, missing):
        return None
    if _fits(slope * (x - mean_x), missing):
        return (
            "a term is missing that is proportional to x - mean in each channel: in batch norm the term of the variance "
            "(the gradient that goes through 1 / std)"
        )
    return (
        "a term is missing that is a straight line in x for each channel: in batch norm the terms of the mean and of the "
        "variance (x is treated as if the statistics did not depend on it)"
    )


def _factor_by_group(analytic: np.ndarray, numeric: np.ndarray) -> str | None:
    """Right up to a factor that differs between the channels, or between the indices of the first axis."""
    for axis in range(min(numeric.ndim, 2) if numeric.ndim > 1 else 0):
        others = tuple(i for i in range(numeric.ndim) if i != axis)
        a, n = _grouped(analytic, others), _grouped(numeric, others)
        if not _enough_measured(n, 2):
            continue
        with np.errstate(divide="ignore", invalid="ignore"):
            factor = _group_means(a * n) / _group_means(a * a)
        if np.isfinite(factor).all() and _fits(factor * a, n):
            group = "each channel (gamma or 1/std forgotten?)" if axis == 1 else f"each index of axis {axis}"
            return f"it is right up to a factor of its own for {group}"
    return None


def _wrong_slice(analytic: np.ndarray, numeric: np.ndarray) -> str | None:
    """Wrong on a grid of indices and right elsewhere: a loop leaves out a slice, or does it twice."""
    wrong = _is_wrong(analytic, numeric)
    if not wrong.any() or not wrong.ndim:
        return None
    wrong_indices = [np.unique(indices) for indices in np.nonzero(wrong)]  # of each axis
    grid = np.zeros(wrong.shape, bool)
    grid[np.ix_(*wrong_indices)] = True
    known = np.isfinite(numeric)
    if wrong[grid & known].mean() < 0.9:
        return None
    partly_wrong = [axis for axis, indices in enumerate(wrong_indices) if len(indices) < numeric.shape[axis]]
    if not partly_wrong or (known & ~grid).sum() < 2:
        return None
    condition = " and ".join(f"axis {axis} is {_first_few(wrong_indices[axis])}" for axis in partly_wrong)
    zero = ", and zero there" if not analytic[wrong].any() else ""
    tap = " (a dropped tap of the kernel?)" if numeric.ndim == 4 and set(partly_wrong) <= {2, 3} else ""
    return f"it is wrong only where {condition}{zero}: a loop leaves out a slice, or does it twice{tap}"


def _wrong_border(analytic: np.ndarray, numeric: np.ndarray) -> str | None:
    """Right inside and wrong near the border."""
    if numeric.ndim != 4:
        return None
    H, W = numeric.shape[2:]
    wrong = _is_wrong(analytic, numeric)
    for depth in range(1, (min(H, W) + 1) // 2 if wrong.any() else 0):
        if not wrong[:, :, depth : H - depth, depth : W - depth].any():
            return f"it is right inside and wrong within {depth} pixel(s) of the border: look at how padding is treated"
    return None


def _is_wrong(analytic: np.ndarray, numeric: np.ndarray) -> np.ndarray:
    """Where the two differ by more than noise: bool, of their shape."""
    known = np.isfinite(numeric)
    scale = np.abs(numeric[known]).max()
    return known & (np.abs(np.where(known, analytic - numeric, 0)) > FIT_TOLERANCE * 1e-2 * scale)


def _grouped(array: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """The array as (groups, elements): the given axes flattened to the second axis, the other axes to the first."""
    others = [axis for axis in range(array.ndim) if axis not in axes]
    return array.transpose(*others, *axes).reshape(int(np.prod([array.shape[axis] for axis in others])), -1)


def _group_means(groups: np.ndarray) -> np.ndarray:
    """The mean of each group over its measured elements, (groups, 1); 0 for a group without any."""
    known = np.isfinite(groups)
    return np.where(known, groups, 0).sum(axis=1, keepdims=True) / np.maximum(known.sum(axis=1, keepdims=True), 1)


def _enough_measured(groups: np.ndarray, least: int) -> bool:
    """Whether the groups have at least ``least`` measured elements each, on average, and more than two together."""
    known = np.isfinite(groups).sum()
    return bool(known > 2 and known >= least * len(groups))


def _first_few(indices: np.ndarray) -> str:
    shown = ", ".join(str(index) for index in indices[:6])
    return shown + (", ..." if len(indices) > 6 else "")
