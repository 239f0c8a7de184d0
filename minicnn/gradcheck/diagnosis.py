"""The likely cause of a wrong gradient, from the pattern in which it differs from the measured one.

A list of hypotheses, the likeliest first. Those in this file recognise a family of mistakes by its effect on the numbers, and
return a sentence or None; those in ``mistakes`` make the mistake, and compare. Elements that were not measured are NaN in
``numeric``; a pattern counts only if it fits all elements that were.
"""

from __future__ import annotations

from itertools import combinations, permutations, product

import numpy as np

from .evidence import FIT_TOLERANCE, Evidence, fits, grouped
from .mistakes import MISTAKES

MAX_SHIFT = 4  # pixels of padding that may have been cropped at the wrong side
CHANNEL_AXES = {
    2: (0,),
    4: (0, 2, 3),
}  # the axes over which a channel extends, by the number of axes of (N, C) and (N, C, H, W)


def guess_cause(evidence: Evidence) -> str:
    """The likeliest cause in a sentence, '' if nothing fits."""
    analytic, numeric, values = evidence.analytic, evidence.numeric, evidence.values
    if analytic is None:
        return "backward() did not assign this gradient, or did not return it"
    if analytic.shape != numeric.shape:
        return _wrong_shape(evidence)
    known = np.isfinite(numeric)
    if not np.isfinite(analytic[known]).all():
        return "it is NaN or infinite: a division by zero, the log or root of 0, or an element that was never written"
    if not known.any():
        return ""
    if not analytic[known].any():
        return "it is zero everywhere: the chain of backward() is cut, or the result went into an array that is not returned"
    hypotheses = (
        lambda: _constant_factor(evidence),
        lambda: _rearranged(analytic, numeric),
        lambda: _shifted(analytic, numeric),
        lambda: _made_by_a_mistake(evidence),
        lambda: _should_be_zero(analytic, numeric),
        lambda: _wrong_normalisation(evidence),
        lambda: _outputs_left_out(evidence),
        lambda: _missing_constant(analytic, numeric),
        lambda: _missing_own_value(analytic, numeric, values),
        lambda: _off_by_one_number(analytic, numeric),
        lambda: _other_order(analytic, numeric),
        lambda: _factor_by_group(analytic, numeric),
        lambda: _wrong_slice(analytic, numeric),
        lambda: _wrong_where_zero(analytic, numeric),
        lambda: _wrong_beyond_a_threshold(analytic, numeric, values),
        lambda: _wrong_border(analytic, numeric),
    )
    return next((sentence for hypothesis in hypotheses if (sentence := hypothesis())), "")


def _wrong_shape(e: Evidence) -> str:
    """Transposed, with its padding, of the same size but another shape, or summed over the wrong axes."""
    analytic, numeric = e.analytic, e.numeric
    if analytic.ndim == numeric.ndim:
        for axes in permutations(range(numeric.ndim)):
            if analytic.transpose(axes).shape == numeric.shape and fits(analytic.transpose(axes), numeric):
                return f"it is transposed: transpose{axes} of it is right"
    same_channels = numeric.ndim == analytic.ndim == 4 and analytic.shape[:2] == numeric.shape[:2]
    if same_channels and all(a >= n for a, n in zip(analytic.shape, numeric.shape, strict=True)):
        (H, W), (PH, PW) = numeric.shape[2:], analytic.shape[2:]
        for top in range(PH - H + 1):
            for left in range(PW - W + 1):
                if fits(analytic[:, :, top : top + H, left : left + W], numeric):
                    return f"the padding is not cropped: [:, :, {top}:{top + H}, {left}:{left + W}] of it is right"
        return f"the padding is not cropped ({PH - H} rows and {PW - W} columns too many), and something else is wrong"
    if analytic.size == numeric.size and fits(analytic.reshape(numeric.shape), numeric):
        return "the numbers are right and only their shape is not: reshape to the shape of the array it belongs to"
    if e.has_output and not e.is_input:
        for count in range(e.y.ndim + 1):
            for axes in combinations(range(e.y.ndim), count):
                if e.dy.sum(axis=axes).shape == analytic.shape and fits(e.dy.sum(axis=axes), analytic):
                    over = f"over axes {', '.join(map(str, axes))}" if axes else "over no axis"
                    return (
                        f"a sum runs over one axis too many or too few: it is dy summed {over}, not over all but the bias's own"
                    )
    if analytic.size == 1 or numeric.size % analytic.size == 0 or analytic.size % numeric.size == 0:
        return "a sum (or mean) runs over one axis too many or too few"
    return ""


def _constant_factor(e: Evidence) -> str | None:
    """analytic = factor * numeric: a wrong sign, a mean that should be a sum, the 2 of a square."""
    known = np.isfinite(e.numeric)
    a, n = e.analytic[known], e.numeric[known]
    if a.size < 2 or not n.any():
        return None
    n, a = n / np.abs(n).max(), a / np.abs(n).max()  # their squares must not underflow
    factor = float(a @ n / (n @ n))
    if not fits(e.analytic / factor if factor else e.analytic, e.numeric):
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
        if candidate.shape == numeric.shape and fits(candidate, numeric):
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
        if measured.size >= 4 and measured.any() and fits(a, n):
            rows, columns = f"{abs(i)} {'down' if i > 0 else 'up'}", f"{abs(j)} {'right' if j > 0 else 'left'}"
            return f"the right values stand {rows} and {columns} of their places: the padding is cropped at the wrong side"
    return None


def _made_by_a_mistake(e: Evidence) -> str | None:
    """One of the mistakes that can be made again."""
    for mistake in MISTAKES:
        for sentence, candidate in mistake(e):
            if e.explains(candidate):
                return sentence
    return None


def _should_be_zero(analytic: np.ndarray, numeric: np.ndarray) -> str | None:
    known = np.isfinite(numeric)
    if np.abs(numeric[known]).max() > FIT_TOLERANCE * np.abs(analytic[known]).max() * 1e-4:
        return None
    return "it should be zero everywhere: what it belongs to has no influence on the output"


def _wrong_normalisation(e: Evidence) -> str | None:
    """Batch norm and its relatives: dx = k dy + c + s (x - mean) in each group, with a wrong k, c or s.

    With M values a group, g = gamma / std and x-hat = (x - mean) / std, k = g, c = -g sum of dy / M, and
    s = -g sum of dy x-hat / (M std): the second term comes through the mean, the third through the variance.
    """
    if not e.is_like_output:
        return None
    axes_of = {"channel": CHANNEL_AXES.get(e.x.ndim), "sample": tuple(range(1, e.x.ndim)), "plane": (2, 3)[: e.x.ndim - 2]}
    for group, axes in axes_of.items():
        if not axes:
            continue
        weights = [w for w in e.arrays.values() if w.shape == e.x.shape[-w.ndim :] and w is not e.values and group == "sample"]
        for dy in [e.dy, *(e.dy * w for w in weights)]:
            terms = _terms(e.numeric, dy, e.x, axes), _terms(e.analytic, dy, e.x, axes)
            if all(term is not None for term in terms):
                return _compared_terms(*terms, M=int(np.prod([e.x.shape[axis] for axis in axes])), group=group)
    return None


def _terms(gradient: np.ndarray, dy: np.ndarray, x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray | None:
    """(groups, 3): k, c and s of each group, None if the gradient is not made of such terms."""
    g, dy, x = grouped(gradient, axes), grouped(dy, axes), grouped(x, axes)
    x = x - x.mean(axis=1, keepdims=True)
    terms, made = np.zeros((len(g), 3)), np.full(g.shape, np.nan)
    for i in range(len(g)):
        known = np.isfinite(g[i])
        if known.sum() < 5:
            return None
        columns = np.stack([dy[i], np.ones_like(dy[i]), x[i]], axis=1)
        terms[i] = np.linalg.lstsq(columns[known], g[i][known], rcond=None)[0]
        made[i] = columns @ terms[i]
    return terms if fits(np.where(np.isfinite(g), made, np.nan), g) else None


def _compared_terms(right: np.ndarray, given: np.ndarray, M: int, group: str) -> str | None:
    scale = np.abs(right).max(axis=0)
    if not scale[0] or scale[1:].max() <= 1e-6 * scale[0]:
        if np.abs(given[:, 1:]).max() <= 1e-6 * np.abs(given[:, 0]).max():
            return None
        return (
            "it has the terms that go through mean and variance, which are constants here: in eval mode, or frozen, dx is dy "
            "times a constant"
        )
    names = (
        "the factor of dy (gamma / std)",
        f"the term of the mean, constant within each {group} (the gradient that goes through the average)",
        f"the term of the variance, proportional to x - mean in each {group} (the gradient that goes through 1 / std)",
    )
    found: dict[str, list[str]] = {}
    for name, r, g in zip(names, right.T, given.T, strict=True):
        factor = float(r @ g / (r @ r)) if r.any() else 1.0
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
    if not found or (len(found) == 1 and len(next(iter(found.values()))) == 3):
        return None  # a factor common to all terms is another hypothesis
    return "in a normalisation such as batch norm, " + "; ".join(f"{' and '.join(n)} {what}" for what, n in found.items())


def _outputs_left_out(e: Evidence) -> str | None:
    """The shares of some outputs are left out, or counted twice: all of one sample, channel, row or column."""
    if not e.has_output or e.shares is None or e.y.ndim < 2:
        return None
    shares = e.shares * e.dy
    given = e.analytic[e.places]
    for axis, length in enumerate(e.y.shape):
        others = tuple(i + 1 for i in range(e.y.ndim) if i != axis)
        by_index = shares.sum(axis=others)
        if length < 2 or len(given) <= length or np.linalg.matrix_rank(by_index) < length:
            continue
        times = np.linalg.lstsq(by_index, given, rcond=None)[0]
        whole = np.round(times)
        if not np.isin(whole, (0, 1, 2)).all() or (whole == 1).all() or not e.explains(e.at_places(by_index @ whole)):
            continue
        said = [
            f"what comes from index {_first_few(np.flatnonzero(whole == number))} {words}"
            for number, words in ((0, "is left out"), (2, "is counted twice"))
            if (whole == number).any()
        ]
        return f"of the output's axis {axis}, " + ", and ".join(said)
    return None


def _missing_constant(analytic: np.ndarray, numeric: np.ndarray) -> str | None:
    """A missing term that is constant over some axes, as the gradient of a mean over these axes is."""
    missing = numeric - analytic
    for count in range(numeric.ndim, 0, -1):
        for axes in combinations(range(numeric.ndim), count):
            groups = grouped(missing, axes)
            if _enough_measured(groups, 2) and fits(np.broadcast_to(_group_means(groups), groups.shape), groups):
                over = ", ".join(str(axis) for axis in axes)
                return (
                    f"an additive term is missing (or too many) that is constant over axes {over}: of a sum or mean over them"
                )
    return None


def _missing_own_value(analytic: np.ndarray, numeric: np.ndarray, values: np.ndarray) -> str | None:
    """A missing term that is proportional to the array itself, as the gradient of c |w|^2 is."""
    missing = np.where(np.isfinite(numeric), numeric - analytic, np.nan)
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


def _other_order(analytic: np.ndarray, numeric: np.ndarray) -> str | None:
    """The right values at other places."""
    if numeric.size < 6 or not np.isfinite(numeric).all() or not fits(np.sort(analytic, None), np.sort(numeric, None)):
        return None
    return "the numbers are right, and stand at other places: reshaped or transposed in an order of axes that is not forward's"


def _off_by_one_number(analytic: np.ndarray, numeric: np.ndarray) -> str | None:
    """Right at some elements, and off by the same number at all others."""
    wrong, known = _is_wrong(analytic, numeric), np.isfinite(numeric)
    if wrong.sum() < 3 or wrong.sum() == known.sum():
        return None
    off = (analytic - numeric)[wrong]
    if np.ptp(off) > FIT_TOLERANCE * np.abs(off).max():
        return None
    right = known.sum() - wrong.sum()
    return (
        f"it is right at {right} elements and {off.mean():+.6g} off at the other {wrong.sum()}: a number that belongs to some "
        "of the elements is not added (such as the -1 of the right class in softmax cross-entropy)"
    )


def _wrong_where_zero(analytic: np.ndarray, numeric: np.ndarray) -> str | None:
    """Right but for a mask: zero where it should not be, or not zero where it should be."""
    wrong, known = _is_wrong(analytic, numeric), np.isfinite(numeric)
    if wrong.sum() < 2:
        return None
    if 0 < np.count_nonzero(numeric[known]) < known.sum() and np.array_equal(analytic[known] == 0, numeric[known] != 0):
        return "it is zero where it should not be, and not zero where it should be: the mask is the wrong way round"
    if wrong.sum() == known.sum():
        return None
    if not analytic[wrong].any():
        return "it is right where it is not zero, and zero where it should not be: a mask too many, or elements never written"
    if not numeric[wrong].any():
        return "it is right but where it should be zero: the mask of the forward pass is missing"
    return None


def _wrong_beyond_a_threshold(analytic: np.ndarray, numeric: np.ndarray, values: np.ndarray) -> str | None:
    """Right on one side of a value of x, and wrong on the other."""
    wrong, known = _is_wrong(analytic, numeric), np.isfinite(numeric)
    right = known & ~wrong
    if min(wrong.sum(), right.sum()) < 4:
        return None
    if values[wrong].min() > values[right].max():
        return f"it is wrong only where the element itself is above {values[right].max():.4g}: another branch of the function?"
    if values[wrong].max() < values[right].min():
        return f"it is wrong only where the element itself is below {values[right].min():.4g}: another branch of the function?"
    return None


def _factor_by_group(analytic: np.ndarray, numeric: np.ndarray) -> str | None:
    """Right up to a factor that differs between the channels, or between the indices of the first axis."""
    for axis in range(min(numeric.ndim, 2) if numeric.ndim > 1 else 0):
        others = tuple(i for i in range(numeric.ndim) if i != axis)
        a, n = grouped(analytic, others), grouped(numeric, others)
        if not _enough_measured(n, 2):
            continue
        with np.errstate(divide="ignore", invalid="ignore"):
            factor = _group_means(a * n) / _group_means(a * a)
        if np.isfinite(factor).all() and fits(factor * a, n):
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
