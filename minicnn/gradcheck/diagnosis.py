"""The likely cause of a wrong gradient, from the pattern in which it differs from the measured one.

A list of hypotheses, the likeliest first; each is a function that returns a sentence, or None if it does not fit. A wrong guess
is worse than none: a pattern counts only if it fits all elements that were measured (the others are NaN in ``numeric``).

- ``mistakes`` and ``window_mistakes`` make a mistake again, and compare.
- ``substitutions`` looks whether it is the right gradient of a function in which another array is 0, 1, flipped or transposed.
- ``single_outputs`` looks at the derivatives of the outputs one by one, ``normalisation`` at the terms of one kind of layer.
- ``patterns`` and ``places`` look at nothing but the numbers: how they are wrong, and where.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, permutations

import numpy as np

from .evidence import Evidence, fits
from .mistakes import MISTAKES
from .normalisation import wrong_normalisation
from .patterns import (
    constant_factor,
    factor_by_group,
    missing_constant,
    missing_own_value,
    other_order,
    rearranged,
    rounded,
    shifted,
    should_be_zero,
)
from .places import (
    off_by_one_number,
    same_factor_where_wrong,
    wrong_beyond_a_threshold,
    wrong_border,
    wrong_slice,
    wrong_where_zero,
)
from .single_outputs import fewer_factors, outputs_left_out, transposed_along_an_axis, uses_left_out
from .substitutions import as_if_another_array_were_different
from .window_mistakes import WINDOW_MISTAKES


def guess_cause(evidence: Evidence) -> str:
    """The likeliest cause in a sentence, '' if nothing fits."""
    analytic, numeric = evidence.analytic, evidence.numeric
    if analytic is None:
        return "backward() did not assign this gradient, or did not return it"
    if analytic.shape != numeric.shape:
        return wrong_shape(evidence)
    if analytic.dtype.kind not in "biuf":
        return ""
    known = np.isfinite(numeric)
    if not np.isfinite(analytic[known]).all():
        return "it is NaN or infinite: a division by zero, the log or root of 0, or an element that was never written"
    if not known.any():
        return ""
    if not analytic[known].any():
        return "it is zero everywhere: the chain of backward() is cut, or the result went into an array that is not returned"
    if sentence := rounded(evidence):
        return sentence
    evidence = replace(evidence, analytic=analytic.astype(np.float64))
    return next((sentence for hypothesis in HYPOTHESES if (sentence := hypothesis(evidence))), "")


def wrong_shape(e: Evidence) -> str:
    """Transposed, with its padding, of the same size but another shape, or summed over the wrong axes."""
    analytic, numeric = e.analytic, e.numeric
    for axes in permutations(range(analytic.ndim)):
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
    fewer, more = sorted((analytic.size, numeric.size))
    if fewer and more % fewer == 0:
        return "a sum (or mean) runs over one axis too many or too few"
    return ""


def made_by_a_mistake(e: Evidence) -> str | None:
    """One of the mistakes that can be made again."""
    for mistake in MISTAKES + WINDOW_MISTAKES:
        for sentence, candidate in mistake(e):
            if e.explains(candidate):
                return sentence
    return None


HYPOTHESES = (
    constant_factor,
    rearranged,
    shifted,
    made_by_a_mistake,
    transposed_along_an_axis,
    as_if_another_array_were_different,
    should_be_zero,
    wrong_normalisation,
    outputs_left_out,
    fewer_factors,
    uses_left_out,
    missing_constant,
    missing_own_value,
    same_factor_where_wrong,
    off_by_one_number,
    other_order,
    factor_by_group,
    wrong_slice,
    wrong_where_zero,
    wrong_beyond_a_threshold,
    wrong_border,
)
