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

In this file, `check_layer` and `check_loss` describe their subject to `check_function`, which compares the two gradients of
each array. `_CentralDifference.at` holds the arithmetic of the numeric one, `relative_error` that of the comparison.

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
from typing import NamedTuple

import numpy as np

from ..layers.base import Layer
from ..losses import Loss
from .diagnosis import guess_cause
from .evidence import Evidence
from .report import ArrayCheck, Report

STEP = 1e-5  # times max(1, |a|); the error of the method ~ h^2 and that of rounding ~ 1e-16 / h are both about 1e-10 here
TOLERANCE = 1e-6
ELEMENTS = 300  # checked in each array: all of them if it has no more, otherwise this many, drawn at random
FLOOR = 1e-3  # times the largest value of the gradient: elements below it need not be right to as many digits
COARSE = (1e4, 1e3)  # times the step, where noise hides the gradient
COARSE_TOLERANCE = 0.02
TINY = np.finfo(np.float64).tiny
NOTHING_TESTED = (
    "no gradient can be told from zero, and nothing was put to the test. Choose another input (are all units switched off, or "
    "saturated?), or look whether forward() uses what it is given"
)
SHARES = 2_000_000  # derivatives of single outputs that are kept to find the cause of a wrong gradient


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
    restore_modes, restore_state = _mode_restorer(layer), _state_restorer(layer)
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
        If an array is read-only.

    >>> w = np.array([1.0, 2.0])
    >>> check_function(lambda w: w**2, lambda dy: {"w": 2 * w * dy}, {"w": w}).ok
    True
    >>> check_function(lambda w: w**2, lambda dy: {"w": w * dy}, {"w": w}).ok
    False
    """
    _require_float64(arrays, "array.astype(np.float64)")
    for name, array in arrays.items():
        if not array.flags.writeable:
            raise ValueError(f"gradient checks change arrays in place, and {name} is read-only: give a copy, {name}.copy()")
    rng = rng if isinstance(rng, np.random.Generator) or rng is None else [int(rng), 20150211]
    rng = np.random.default_rng(rng)
    report = Report(subject, tolerance)
    first = next(iter(arrays.values()))
    batch_size = len(first) if first.ndim else 1

    before = {name: array.copy() for name, array in arrays.items()}
    y = np.array(forward(**arrays))
    if changed := _restore_changed(arrays, before):
        report.faults += [f"forward() changes its argument {name}: it must work on a copy" for name in changed]
        return report  # nothing can be measured then
    if fault := _fault_of_forward(y, np.array(forward(**arrays))):
        report.faults.append(fault)
        return report
    r = rng.standard_normal(y.shape) if y.ndim else np.ones(())  # a single number needs no projection
    gradients = _analytic_gradients(report, forward, backward, arrays, r)
    for name, array in arrays.items():
        chosen = np.arange(array.size)
        if array.size > elements:
            chosen = np.sort(rng.choice(array.size, elements, replace=False))
        indices = [tuple(int(i) for i in np.unravel_index(position, array.shape)) for position in chosen]
        difference = _CentralDifference(forward, arrays, array, r=r, y=y, step=step)
        check, numeric = _check_array(name, gradients.get(name), difference, indices, tolerance)
        if check.max_error > tolerance and (check.checked or not check.kinks):
            shares, places = difference.shares(indices)
            check.guess = guess_cause(
                Evidence(
                    gradients.get(name), numeric, array, batch_size, arrays=arrays, dy=r, y=y, shares=shares, places=places
                )
            )
        report.arrays.append(check)
    if fault := _fault_of_forward(y, np.array(forward(**arrays))):
        report.arrays.clear()
        report.faults.append(fault)
    elif all(check.is_zero for check in report.arrays):
        report.faults.append(NOTHING_TESTED)
    return report


def relative_error(analytic: float, numeric: float, floor: float) -> float:
    """|analytic - numeric| / max(|analytic| + |numeric|, floor).

    >>> relative_error(2.0, 2.0, 1e-4), relative_error(3.0, -3.0, 1e-4), relative_error(1e-9, 0.0, 1e-4)
    (0.0, 1.0, 1e-05)
    """
    return abs(analytic - numeric) / max(abs(analytic) + abs(numeric), floor)


def _analytic_gradients(report: Report, forward: Callable, backward: Callable, arrays: dict, r: np.ndarray) -> dict:
    """The gradients that ``backward(r)`` returns.

    Forward and backward run twice. The report gets a fault for each array that they change, and for each gradient that is not
    the same both times.
    """
    before = {name: array.copy() for name, array in arrays.items()}
    passes: list[dict] = []
    for _ in range(2):
        forward(**arrays)
        dy = np.array(r)
        gradients = backward(dy)
        passes.append({name: None if gradient is None else np.array(gradient) for name, gradient in gradients.items()})
        report.faults += [f"backward() changes {name}: it must leave it as it is" for name in _restore_changed(arrays, before)]
        if not np.array_equal(dy, r):
            report.faults.append("backward() changes its argument dy: it must work on a copy, others may still need dy")
    report.faults = list(dict.fromkeys(report.faults))
    for name, first in passes[0].items():
        second = passes[1].get(name)
        if first is None or second is None or np.allclose(first, second, rtol=1e-9, atol=1e-12, equal_nan=True):
            continue
        if np.allclose(2 * first, second, rtol=1e-9):
            fault = "doubles when backward() runs twice: it is accumulated (+=), not assigned (=)"
        else:
            fault = "differs between two equal passes: does something random escape self.rng?"
        report.faults.append(f"the gradient of {name} {fault}")
    return passes[0]


def _fault_of_forward(first: np.ndarray, second: np.ndarray) -> str:
    """What makes it impossible to measure a derivative of two results for equal arrays; '' if nothing does."""
    if not np.isfinite(first).all():
        return "forward() gives NaN or infinity, which have no derivatives: choose other inputs, or mend it first"
    if first.shape == second.shape and np.allclose(first, second, rtol=1e-12, atol=1e-12 * np.abs(first).max(initial=0)):
        return ""
    return (
        "forward() does not repeat: it gives something else for equal arrays. Does it draw random numbers that do not come "
        "from self.rng, or keep something from one pass to the next that is not in state()? No gradient can be measured then"
    )


def _restore_changed(arrays: dict[str, np.ndarray], before: dict[str, np.ndarray]) -> list[str]:
    """Give the arrays their values of before again. Returns the names of those that had changed."""
    changed = [name for name, array in arrays.items() if not np.array_equal(before[name], array, equal_nan=True)]
    for name in changed:
        arrays[name][...] = before[name]
    return changed


class _Measurement(NamedTuple):
    """At one element: the derivative, the slopes to the left and to the right, and the rounding noise of the derivative."""

    derivative: float
    left: float
    right: float
    noise: float

    @property
    def bend(self) -> float:
        return self.right - self.left


class _CentralDifference:
    """Numeric derivatives of L = sum(r * y), y = forward(**arrays), with respect to the elements of one of the arrays."""

    def __init__(self, forward: Callable, arrays: dict, array: np.ndarray, *, r: np.ndarray, y: np.ndarray, step: float):
        self.forward, self.arrays, self.array, self.r, self.y, self.step = forward, arrays, array, r, y, step

    def at(self, index: tuple[int, ...], scale: float = 1.0) -> _Measurement:
        """(L(a + h) - L(a - h)) / 2h at the element of this index, with h = scale * step * max(1, |a|)."""
        y_above, y_below, two_h = self._on_both_sides(index, scale)
        # the difference before the sum, so that outputs that do not depend on a contribute exactly 0, and no rounding errors
        derivative = float(np.sum((y_above - y_below) * self.r)) / two_h
        left, right = (float(np.sum(change * self.r)) / (two_h / 2) for change in (self.y - y_below, y_above - self.y))
        depend = y_above != y_below
        terms = (self.y * self.r)[depend] if depend.any() else self.y * self.r  # by less than their rounding errors, if at all
        noise = 1e-15 * float(np.linalg.norm(terms)) / (two_h / 2)
        return _Measurement(derivative, left, right, noise)

    def _on_both_sides(self, index: tuple[int, ...], scale: float) -> tuple[np.ndarray, np.ndarray, float]:
        """y at a + h and at a - h, and 2h: the difference of the two as they were rounded."""
        a = self.array[index]
        h = self.step * max(1.0, abs(a)) * scale
        try:
            self.array[index] = a + h
            y_above = np.array(self.forward(**self.arrays))
            self.array[index] = a - h
            y_below = np.array(self.forward(**self.arrays))
        finally:
            self.array[index] = a
        return y_above, y_below, float((a + h) - (a - h))

    def refine(self, index: tuple[int, ...], analytic: float, first: _Measurement) -> _Measurement | None:
        """A more accurate derivative where the first one differs from the analytic one, or None if a kink explains that.

        With a tenth of the step, a smooth function has a tenth of the bend and nearly the same derivative, and rounding noise
        is ten times as large. What remains is a kink, at the element or beside it; a right gradient is then one of the slopes
        on its sides, or lies between them.
        """
        second = self.at(index, scale=0.1)
        if abs(second.bend) > 3 * abs(first.bend) and abs(second.bend) <= 100 * second.noise:
            return first._replace(noise=max(first.noise, abs(first.bend), 0.1 * abs(second.bend)))
        slopes = first.left, first.right, second.left, second.right
        margin = 0.1 * (max(slopes) - min(slopes))
        is_smooth = abs(second.bend - 0.1 * first.bend) <= 0.03 * abs(first.bend) + second.noise
        if not is_smooth and min(slopes) - margin <= analytic <= max(slopes) + margin:
            return None
        # Richardson extrapolation: the errors ~ h^2 cancel
        return first._replace(derivative=(100 * second.derivative - first.derivative) / 99)

    def coarse_error(self, index: tuple[int, ...], analytic: float, measured: _Measurement) -> float:
        """The relative error with far larger steps, above which noise does not reach; 0 where that finds nothing wrong.

        The function may be curved, or have kinks, within such steps: two of them must agree, and only gross errors count.
        """
        first, second = (self.at(index, scale) for scale in COARSE)
        derivative = (100 * second.derivative - first.derivative) / 99
        noise = 10 * max(second.noise, measured.noise / COARSE[1])
        allowed = COARSE_TOLERANCE * max(abs(analytic), abs(derivative)) + noise
        steps_agree = abs(first.derivative - second.derivative) <= allowed
        return relative_error(analytic, derivative, TINY) if steps_agree and abs(analytic - derivative) > allowed else 0.0

    def shares(self, indices: list[tuple[int, ...]]) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
        """dy/da of every output, (elements, *y.shape), for as many of the elements as memory allows, and which these are."""
        most = max(SHARES // max(self.y.size, 1), 1)
        chosen = indices[:: -(-len(indices) // most)] if len(indices) > most else indices
        derivatives = np.empty((len(chosen), *self.y.shape))
        for i, index in enumerate(chosen):
            y_above, y_below, two_h = self._on_both_sides(index, 1.0)
            derivatives[i] = (y_above - y_below) / two_h
        places = np.array(chosen, dtype=int).reshape(len(chosen), self.array.ndim)
        return derivatives, tuple(places.T)


def _check_array(
    name: str,
    analytic: np.ndarray | None,
    difference: _CentralDifference,
    indices: list[tuple[int, ...]],
    tolerance: float,
) -> tuple[ArrayCheck, np.ndarray]:
    """Compare the analytic and the numeric gradient of one array at these indices. Returns the numeric one as well."""
    array = difference.array
    measured = {index: difference.at(index) for index in indices}
    numeric = np.full(array.shape, np.nan)
    for index, measurement in measured.items():
        numeric[index] = measurement.derivative
    check = ArrayCheck(name, array.shape, checked=len(indices))
    if analytic is None or analytic.shape != array.shape:
        got = "there is no gradient (None)" if analytic is None else f"the gradient's shape is {analytic.shape}"
        check.problem = f"{got}, expected one of shape {array.shape}"
        check.max_error = np.inf
        return check, numeric

    largest = max(np.nanmax(np.abs(numeric), initial=0.0), np.nanmax(np.abs(analytic), initial=0.0))
    floor = max(FLOOR * largest, TINY) if np.isfinite(largest) else TINY
    for index in indices:
        a, m = float(analytic[index]), measured[index]
        error = relative_error(a, m.derivative, max(floor, m.noise / tolerance))
        if not error <= tolerance:  # true for NaN as well
            refined = difference.refine(index, a, m)
            if refined is None:
                check.kinks, check.checked, numeric[index] = check.kinks + 1, check.checked - 1, np.nan
                continue
            m = refined
            error = min(error, relative_error(a, m.derivative, max(floor, m.noise / tolerance)))
        if error <= tolerance and m.noise > floor:
            error = max(error, difference.coarse_error(index, a, m))
        error = error if np.isfinite(error) else np.inf  # NaN equals nothing, and is no gradient
        if error > check.max_error or check.worst is None:
            check.max_error, check.worst, check.analytic, check.numeric = error, index, a, float(numeric[index])
    if check.kinks and not check.checked:
        check.max_error = np.inf
        check.problem = "every element lies at a kink, so nothing was checked: choose inputs that keep away from them"
    noise = max((m.noise for m in measured.values()), default=0.0)
    check.is_zero = bool(check.max_error <= tolerance and largest <= noise)
    return check, numeric


def _require_float64(arrays: dict[str, np.ndarray], conversion: str) -> None:
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray) or array.dtype != np.float64:
            got = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
            raise TypeError(
                f"gradient checks need float64, and {name} is {got}: float32 keeps 7 digits, of which a difference of two "
                "outputs a step of 1e-5 apart leaves one or two, so that right and wrong look the same. Convert with "
                f"{conversion}"
            )


def _mode_restorer(layer: Layer) -> Callable[[], None]:
    """A function that puts the layer and all layers inside it back into their present modes."""
    saved = [(inner, inner.training, inner.remembers, inner.needs_dx) for _, inner in layer.walk()]

    def restore() -> None:
        for inner, training, remembers, needs_dx in saved:
            inner.training, inner.remembers, inner.needs_dx = training, remembers, needs_dx

    return restore


def _state_restorer(layer: Layer) -> Callable[[], None]:
    """A function that sets running statistics and random generators back to their present values."""
    arrays = [(array, array.copy()) for array in layer.state().values()]
    generators = [inner.rng for _, inner in layer.walk() if hasattr(inner, "rng")]
    states = [generator.bit_generator.state for generator in generators]

    def restore() -> None:
        for array, value in arrays:
            array[...] = value
        for generator, state in zip(generators, states, strict=True):
            generator.bit_generator.state = state

    return restore
