"""The derivatives of single outputs: which of them a wrong gradient leaves out, takes twice, or takes for others.

Each function returns a sentence if its pattern fits, and None otherwise.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

from .evidence import FIT_TOLERANCE, Evidence, first_few

RANK_TOLERANCE = 1e-5  # of a singular value, relative to the largest one, because measured derivatives carry noise


def outputs_left_out(e: Evidence) -> str | None:
    """The shares of some outputs are left out, or counted twice: all of one sample, channel, row or column."""
    if not e.has_output:
        return None
    shares = e.shares * e.dy
    given = e.analytic[e.places]
    for axis, length in enumerate(e.y.shape):
        others = tuple(i + 1 for i in range(e.y.ndim) if i != axis)
        by_index = shares.sum(axis=others)
        if np.linalg.matrix_rank(by_index) < length:
            continue
        times = np.linalg.lstsq(by_index, given, rcond=None)[0]
        whole = np.round(times)
        if not np.isin(whole, (0, 1, 2)).all() or not e.explains(e.at_places(by_index @ whole)):
            continue
        said = [
            f"what comes from index {first_few(np.flatnonzero(whole == number))} {words}"
            for number, words in ((0, "is left out"), (2, "is counted twice"))
            if (whole == number).any()
        ]
        return f"of the output's axis {axis}, " + ", and ".join(said)
    return None


def transposed_along_an_axis(e: Evidence) -> str | None:
    """dy[j] goes back along the derivative of y[i] by x[j], where that of y[j] by x[i] belongs: J dy for J^T dy."""
    if not e.has_output or not e.is_complete:
        return None
    ndim = e.values.ndim
    derivatives = e.shares.reshape(e.values.shape + e.y.shape)
    pairs = [axis for axis in range(min(ndim, e.y.ndim)) if e.values.shape[axis] == e.y.shape[axis]]
    for count in range(1, len(pairs) + 1):
        for axes in combinations(pairs, count):
            order = list(range(derivatives.ndim))
            for axis in axes:
                order[axis], order[ndim + axis] = order[ndim + axis], order[axis]
            if e.explains(np.tensordot(derivatives.transpose(order), e.dy, axes=e.y.ndim)):
                over = f"axis {axes[0]}" if count == 1 else f"axes {', '.join(map(str, axes))}"
                return (
                    f"along {over}, dy[j] goes to x[i] as x[j] goes to y[i], and should go back as x[i] goes to y[j]: a matrix "
                    "that has to be transposed, a kernel that is flipped, a sum or shift in forward's direction, or a factor "
                    "in forward's order"
                )
    return None


def fewer_factors(e: Evidence) -> str | None:
    """Products in which the array is a factor more than once: y = x x^T, y = x (x w), y = (x w) w^T.

    If y is of degree k in the array, sum(gradient * array) = k sum(dy * y) (Euler). A backward pass that differentiates only j
    of the k factors gives j times the sum.
    """
    if e.y is None or not np.isfinite(e.numeric).all():
        return None
    terms = e.dy * e.y
    loss = float(terms.sum())
    if abs(loss) <= 1e-3 * np.abs(terms).sum():
        return None
    right, given = (float(np.sum(gradient * e.values)) / loss for gradient in (e.numeric, e.analytic))
    k, j = round(right), round(given)
    if k < 2 or not 1 <= j < k or max(abs(right - k), abs(given - j)) > FIT_TOLERANCE:
        return None
    return (
        f"this array is a factor of the output {k} times, and only {j} of them {'is' if j == 1 else 'are'} differentiated: by "
        "the product rule, their gradients add up"
    )


def uses_left_out(e: Evidence) -> str | None:
    """A matrix that acts in several places, and gets the gradient of some of them: shared weights, steps through time.

    One use of a matrix gives the gradient x^T d, which has rank 1 for one row x and d. If, for a single output, the measured
    gradient is of a higher rank than the one that ``backward`` gives, then it gives fewer uses than there are.
    """
    if not e.has_output or not e.is_complete or e.values.ndim != 2 or _samples_are_mixed(e):
        return None
    derivatives = e.shares.reshape(*e.values.shape, e.y.size)
    output = int(np.abs(derivatives).sum(axis=(0, 1)).argmax())
    dy = np.zeros(e.y.shape)
    dy.flat[output] = 1
    given = e.gradient_for(dy)
    if not np.isfinite(given).all():
        return None
    right, counted = (int(np.linalg.matrix_rank(g, rtol=RANK_TOLERANCE)) for g in (derivatives[..., output], given))
    if not 1 <= counted < right:
        return None
    return (
        f"this matrix acts on a single output in {right} places or more, and {counted} of them can have been counted at most: "
        "where weights are shared, or used at each step through time, the gradients of all uses add up"
    )


def _samples_are_mixed(e: Evidence) -> bool:
    """Whether what one row of x gives depends on the other rows, as in batch norm or attention."""
    if e.x.shape[:1] != e.y.shape[:1]:
        return True
    before = e.x.copy()
    try:
        e.x[1:] += 0.1
        return not np.allclose(e.y_now()[0], e.y[0], rtol=1e-9, atol=0)
    finally:
        e.x[...] = before
