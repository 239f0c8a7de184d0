"""Gradient checking: is a written-out backward pass the derivative of its forward pass?

The derivative of a number L with respect to one element a of an array is measured by a central difference, and compared with
the gradient that ``backward`` returns:

    L        = sum of r * y over all outputs y           so that dL/dy = r, and backward(r) must be the gradient of L
    numeric  = (L(a + h) - L(a - h)) / 2h                error proportional to h^2; h = 1e-5
    error    = |analytic - numeric| / max(|analytic| + |numeric|, floor)       must be at most 1e-6

r is drawn at random. With r = 1 everywhere, L = y.sum(), whole terms of the gradient vanish (the sum of batch norm's output
does not depend on x at all), and a backward pass that lacks these terms would pass.

    report = check_layer(Conv2d(3, 4, 3).astype(np.float64), x)
    print(report)                 # which array, which index, both values, and a guess at the cause
    assert report.ok, report

In this file, `check_layer` and `check_loss` describe their subject to `check_function`, which has the two gradients of each
array compared. ``numeric.py`` holds the arithmetic of the numeric one, ``compare.py`` that of the comparison, ``kinks.py`` what
is excused, and ``passes.py`` what is asked of forward and backward besides right numbers.

**Rounding.** In float64, a step of 1e-5 leaves rounding noise of about 1e-15 |r y| / 1e-5 in the numeric derivative, so the
relative error of a tiny derivative means nothing. The floor is a thousandth of the largest value in the gradient, or that noise
divided by the tolerance. Where not much more than noise is left of a whole gradient, it is measured again with steps so large
(0.1) that noise is small beside it, and must agree to 2 %; a gradient that is zero for all that can be measured passes, with a
note. If none can be told from zero, nothing was put to the test, and the check does not pass.

**Kinks.** At a kink (ReLU at 0, two equal values in a max pooling window) there is no derivative to compare with. Where the two
gradients differ, the measurement is repeated with a smaller step. If the slopes to the left and to the right, with one step and
the other, disagree, and the gradient lies between them, the element is skipped and counted in the report. Choose inputs that
keep away from kinks: distinct values, some distance apart.

**Repeatability.** All of this needs a forward pass that gives the same for equal arrays, to the last digits; one that does not
is reported, and its gradients are not judged.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..layers.base import Layer
from ..losses import Loss
from .compare import compare
from .diagnosis import guess_cause
from .evidence import Evidence
from .layer_state import mode_restorer, state_restorer
from .numeric import CentralDifference
from .passes import analytic_gradients, fault_of_forward, restore_changed
from .report import Report

STEP = 1e-5  # times max(1, |a|); the error of the method ~ h^2 and that of rounding ~ 1e-16 / h are both about 1e-10 here
TOLERANCE = 1e-6
ELEMENTS = 300  # checked in each array: all of them if it has no more, otherwise this many, drawn at random
NOTHING_TESTED = (
    "no gradient can be told from zero, and nothing was put to the test. Choose another input (are all units switched off, or "
    "saturated?), or look whether forward() uses what it is given"
)


def check_layer(
    layer: Layer,
    x: np.ndarray,
    *,
    training: bool = True,
    tolerance: float = TOLERANCE,
    step: float = STEP,
    elements: int = ELEMENTS,
    rng: int | np.random.Generator | None = 0,
) -> Report:
    """Check the gradients of a layer, or a whole network, with respect to its input and all its trainable parameters.

    The layer's modes, statistics and random generators are afterwards what they were before; each forward pass of the check
    draws the same random numbers (the same dropout mask). The parameters keep the gradients of the last ``backward``.

    Parameters
    ----------
    layer : Layer
        In float64: ``layer.astype(np.float64)``. Frozen parameters have no gradient and are not checked.
    x : ndarray, float64
        The input at which the gradients are checked.
    training : bool
        Check in train mode; otherwise in eval mode.
    tolerance : float
        The largest relative error that passes.
    step : float
        h for elements of size 1 or less; for larger ones it grows in proportion.
    elements : int
        How many elements of each array are checked.
    rng : None, int or Generator
        For r and the choice of elements. A seed gives other numbers here than ``default_rng(seed)``: if x were drawn from that
        generator, r would equal x, and sum(x * y) hides a missing term of batch norm's gradient nearly as well as sum(y) does.

    Returns
    -------
    Report

    Raises
    ------
    TypeError
        If x or a parameter is not float64.
    """
    parameters = layer.parameters()
    values = {name: parameter.value for name, parameter in parameters.items()}
    _require_float64({"x": x} | values, "x.astype(np.float64) and layer.astype(np.float64)")
    x = x.copy()
    trainable = {name: parameter for name, parameter in parameters.items() if parameter.trainable}
    for parameter in trainable.values():
        parameter.grad = None
    restore_modes, restore_state = mode_restorer(layer), state_restorer(layer)
    if training:
        layer.train()
    else:
        layer.eval(backward=True)

    def forward(**_: np.ndarray) -> np.ndarray:  # the arrays are x and the parameters' values, changed in place
        restore_state()
        return layer.forward(x)

    def backward(dy: np.ndarray) -> dict[str, np.ndarray | None]:
        dx = layer.backward(dy)
        return {"x": dx} | {name: parameter.grad for name, parameter in trainable.items()}

    arrays = {"x": x} | {name: parameter.value for name, parameter in trainable.items()}
    try:
        return check_function(
            forward, backward, arrays, subject=str(layer), tolerance=tolerance, step=step, elements=elements, rng=rng
        )
    finally:
        restore_state()
        restore_modes()


def check_loss(
    loss: Loss,
    scores: np.ndarray,
    targets: np.ndarray,
    *,
    tolerance: float = TOLERANCE,
    step: float = STEP,
    elements: int = ELEMENTS,
    rng: int | np.random.Generator | None = 0,
) -> Report:
    """Check the gradient of a loss with respect to its scores (float64).

    ``targets`` is what ``loss.forward(scores, targets)`` takes; the other arguments, and what is raised, are as in
    `check_layer`.
    """
    return check_function(
        lambda scores: np.asarray(loss.forward(scores, targets)),
        lambda dy: {"scores": loss.backward()},
        {"scores": scores},
        subject=type(loss).__name__,
        tolerance=tolerance,
        step=step,
        elements=elements,
        rng=rng,
    )


def check_function(
    forward: Callable[..., np.ndarray],
    backward: Callable[[np.ndarray], dict[str, np.ndarray | None]],
    arrays: dict[str, np.ndarray],
    *,
    subject: str = "function",
    tolerance: float = TOLERANCE,
    step: float = STEP,
    elements: int = ELEMENTS,
    rng: int | np.random.Generator | None = 0,
) -> Report:
    """Check ``backward(dy)``, a dict of gradients by name, against ``y = forward(**arrays)``.

    Parameters
    ----------
    forward, backward : functions
    arrays : dict of float64 arrays
        Changed in place during the check, and afterwards what they were. The guess at a cause takes the length of the first one
        for the batch size N.
    subject : str
        The name of what is checked, for the report.
    tolerance, step, elements, rng
        As in `check_layer`.

    Raises
    ------
    TypeError
        If an array is not float64.
    ValueError
        If an array is read-only, or there is none.

    >>> w = np.array([1.0, 2.0])
    >>> check_function(lambda w: w**2, lambda dy: {"w": 2 * w * dy}, {"w": w}).ok
    True
    >>> check_function(lambda w: w**2, lambda dy: {"w": w * dy}, {"w": w}).ok
    False
    """
    if not arrays:
        raise ValueError("there is nothing to check: arrays is empty, and expected to hold what forward() depends on")
    _require_float64(arrays, "array.astype(np.float64)")
    for name, array in arrays.items():
        if not array.flags.writeable:
            raise ValueError(f"gradient checks change arrays in place, and {name} is read-only: give a copy, {name}.copy()")
    rng = rng if isinstance(rng, np.random.Generator) or rng is None else [int(rng), 20150211]
    rng = np.random.default_rng(rng)
    report = Report(subject, tolerance)
    before = {name: array.copy() for name, array in arrays.items()}
    y = np.array(forward(**arrays))
    if changed := restore_changed(arrays, before):
        report.faults += [f"forward() changes its argument {name}: it must work on a copy" for name in changed]
        return report  # nothing can be measured then
    if fault := fault_of_forward(y, np.array(forward(**arrays))):
        report.faults.append(fault)
        return report
    r = rng.standard_normal(y.shape) if y.ndim else np.ones(())  # a single number needs no projection
    gradients = analytic_gradients(report, forward, backward, arrays, r)
    for name, array in arrays.items():
        difference = CentralDifference(forward, arrays, array, r=r, y=y, step=step)
        indices = _chosen_indices(array, elements, rng)
        check, numeric = compare(name, gradients.get(name), difference, indices, tolerance)
        if check.max_error > tolerance and (check.checked or not check.kinks):
            check.guess = guess_cause(_evidence(name, gradients.get(name), numeric, indices, difference, backward))
        report.arrays.append(check)
    if fault := fault_of_forward(y, np.array(forward(**arrays))):
        report.arrays.clear()
        report.faults.append(fault)
    elif all(check.is_zero for check in report.arrays):
        report.faults.append(NOTHING_TESTED)
    return report


def _chosen_indices(array: np.ndarray, elements: int, rng: np.random.Generator) -> list[tuple[int, ...]]:
    chosen = np.arange(array.size)
    if array.size > elements:
        chosen = np.sort(rng.choice(array.size, elements, replace=False))
    return [tuple(int(i) for i in np.unravel_index(position, array.shape)) for position in chosen]


def _evidence(
    name: str,
    analytic: np.ndarray | None,
    numeric: np.ndarray,
    indices: list[tuple[int, ...]],
    difference: CentralDifference,
    backward: Callable,
) -> Evidence:
    """All that a guess at the cause may look at."""
    arrays = difference.arrays
    first = next(iter(arrays.values()))
    shares, places = difference.shares(indices)

    def gradient_for(dy: np.ndarray) -> np.ndarray | None:
        difference.forward(**arrays)
        return backward(dy)[name]

    return Evidence(
        analytic,
        numeric,
        difference.array,
        batch_size=len(first) if first.ndim else 1,
        arrays=arrays,
        dy=difference.r,
        y=difference.y,
        shares=shares,
        places=places,
        derivative_now=difference.derivative_now,
        y_now=lambda: np.array(difference.forward(**arrays)),
        gradient_for=gradient_for,
    )


def _require_float64(arrays: dict[str, np.ndarray], conversion: str) -> None:
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray) or array.dtype != np.float64:
            got = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
            raise TypeError(
                f"gradient checks need float64, and {name} is {got}: float32 keeps 7 digits, of which a difference of two "
                "outputs a step of 1e-5 apart leaves one or two, so that right and wrong look the same. Convert with "
                f"{conversion}"
            )
