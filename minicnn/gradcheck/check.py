"""Gradient checking: is a written-out backward pass the derivative of its forward pass?

The derivative of a number L with respect to one element a of an array is measured by moving that element a little to both
sides, (L(a + h) - L(a - h)) / 2h, and compared with what ``backward`` says. L = sum over all outputs of y * r, with r drawn at
random and handed to ``backward`` as dy. It has to be random: with r = 1 everywhere, L = y.sum(), whole terms cancel (the sum of
batch norm's output does not depend on x at all), and a backward pass without them would pass.

    report = check_layer(Conv2d(3, 4, 3).astype(np.float64), x)
    print(report)                 # which array, which index, both values, and a guess at what went wrong
    assert report.ok, report

How errors are measured: |a - n| / max(|a| + |n|, floor), a the analytic and n the numeric derivative. A step of 1e-5 leaves
noise of about 1e-15 |y r| / 1e-5 in float64, and no relative error of a tiny derivative can be told from that. So the floor is
1e-4, a thousandth of the largest value in the array, or that noise divided by the tolerance, whichever is largest.

At a kink (ReLU at 0, two equal values under a max pooling window) there is no derivative to compare with. Where the two differ,
a smaller step is tried, and if the measurement itself depends on the step, or the slopes to the left and right disagree, the
element is skipped and counted in the report. Choose inputs that keep away from kinks: distinct values, some distance apart.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..layers.base import Layer
from ..losses import Loss
from .diagnosis import guess_cause
from .report import ArrayCheck, Report

STEP = 1e-5  # times max(1, |a|); error of the method ~ h^2, of rounding ~ 1e-16 / h: both about 1e-10 here
TOLERANCE = 1e-6
ELEMENTS = 300  # of each array: all if it has no more than that, else so many, drawn at random
FLOOR = 1e-4


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
    """Check a layer's, or a whole network's, gradients of its input and of all its trainable parameters.

    The layer's modes, statistics and random numbers are afterwards what they were before; each forward pass of the check draws
    the same numbers (the same dropout mask). The gradients of the last ``backward`` are left in the parameters.

    Parameters
    ----------
    layer : Layer
        In float64: ``layer.astype(np.float64)``. Frozen parameters have no gradient and are not checked.
    x : ndarray, float64
        Input to check at.
    training : bool
        Check in train mode, else in eval mode.
    tolerance, step, elements
        Largest relative error; h for elements of size 1 or less (above, in proportion); elements tried per array.
    rng : None, int or Generator
        For r and the choice of elements. (A seed gives other numbers here than ``default_rng(seed)`` does: were x drawn from
        that, r would equal x, and sum(x * y) hides what batch norm's gradient lacks nearly as well as sum(y) does.)

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
    restore_modes, restore_state = _modes(layer), _state(layer)
    if training:
        layer.train()
    else:
        layer.eval(backward=True)

    def forward(**_: np.ndarray) -> np.ndarray:  # x and the parameters' values are changed in place
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
    """Check a loss's gradient with respect to its scores (float64). Arguments otherwise as in ``check_layer``."""
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
    """Check ``backward(dy)``, gradients by name, against ``y = forward(**arrays)``.

    The arrays (float64) are changed in place while checking, and are afterwards what they were. The length of the first one is
    taken for the batch size N when guessing what is wrong. Arguments otherwise as in ``check_layer``.

    >>> w = np.array([1.0, 2.0])
    >>> check_function(lambda w: w**2, lambda dy: {"w": 2 * w * dy}, {"w": w}).ok
    True
    >>> check_function(lambda w: w**2, lambda dy: {"w": w * dy}, {"w": w}).ok
    False
    """
    _require_float64(arrays, "array.astype(np.float64)")
    rng = rng if isinstance(rng, np.random.Generator) or rng is None else [int(rng), 20150211]
    rng = np.random.default_rng(rng)
    report = Report(subject, tolerance)
    first = next(iter(arrays.values()))
    batch_size = len(first) if first.ndim else 1

    before = {name: array.copy() for name, array in arrays.items()}
    y = np.array(forward(**arrays))
    if changed := _put_back(before, arrays):
        report.faults += [f"forward() changes its argument {name}: it must work on a copy" for name in changed]
        return report  # nothing can be measured then
    dy = rng.standard_normal(y.shape) if y.ndim else np.ones(())  # one number needs no projection
    gradients = _watched_passes(report, forward, backward, arrays, dy)
    for name, array in arrays.items():
        analytic = gradients.get(name)
        chosen = np.arange(array.size)
        if array.size > elements:
            chosen = np.sort(rng.choice(array.size, elements, replace=False))
        measure = _Measurement(forward, arrays, array, dy, y, step)
        report.arrays.append(_compare(name, array, analytic, chosen, measure, tolerance, batch_size))
    return report


def _watched_passes(report: Report, forward: Callable, backward: Callable, arrays: dict, dy: np.ndarray) -> dict:
    """The gradients; and what backward must not do: change anything, or answer differently the second time."""
    before = {name: array.copy() for name, array in arrays.items()}
    gradients: list[dict] = []
    for _ in range(2):
        forward(**arrays)
        upstream = np.array(dy)
        found = backward(upstream)
        gradients.append({name: None if gradient is None else np.array(gradient) for name, gradient in found.items()})
        report.faults += [f"backward() changes {name}: it must leave it as it is" for name in _put_back(before, arrays)]
        if not np.array_equal(upstream, dy):
            report.faults.append("backward() changes its argument dy: it must work on a copy, others may still need dy")
    report.faults = list(dict.fromkeys(report.faults))
    for name, first in gradients[0].items():
        second = gradients[1].get(name)
        if first is None or second is None or np.allclose(first, second, rtol=1e-9, atol=1e-12, equal_nan=True):
            continue
        if np.allclose(2 * first, second, rtol=1e-9):
            fault = "doubles when backward() runs twice: it is accumulated (+=), not assigned (=)"
        else:
            fault = "differs between two equal passes: does something random escape self.rng?"
        report.faults.append(f"the gradient of {name} {fault}")
    return gradients[0]


def _put_back(before: dict[str, np.ndarray], arrays: dict[str, np.ndarray]) -> list[str]:
    """The names of the arrays that are no longer what they were before, which they are again afterwards."""
    changed = [name for name, array in arrays.items() if not np.array_equal(before[name], array, equal_nan=True)]
    for name in changed:
        arrays[name][...] = before[name]
    return changed


class _Slopes(NamedTuple):
    """Measured at one element: the derivative, by how much the slopes to its right and left differ, and the rounding noise."""

    derivative: float
    bend: float
    noise: float


class _Measurement:
    """Numeric derivatives of L = sum(forward(**arrays) * dy) with respect to the elements of one array."""

    def __init__(self, forward: Callable, arrays: dict, array: np.ndarray, dy: np.ndarray, y: np.ndarray, step: float):
        self.forward, self.arrays, self.array, self.dy, self.y, self.step = forward, arrays, array, dy, y, step

    def slopes(self, index: tuple[int, ...], scale: float = 1.0) -> _Slopes:
        """With a step of ``scale`` times h."""
        value = self.array[index]
        h = self.step * max(1.0, abs(value)) * scale
        try:
            self.array[index] = value + h
            above = np.array(self.forward(**self.arrays))
            self.array[index] = value - h
            below = np.array(self.forward(**self.arrays))
        finally:
            self.array[index] = value
        # differences first, the sum after: outputs that do not move contribute exactly nothing, not even rounding errors
        width = (value + h) - (value - h)
        derivative = float(np.sum((above - below) * self.dy)) / width
        bend = float(np.sum(((above - self.y) - (self.y - below)) * self.dy)) / (width / 2)
        noise = 1e-15 * float(np.linalg.norm((self.y * self.dy)[above != below])) / h
        return _Slopes(derivative, bend, noise)

    def look_closer(self, index: tuple[int, ...], analytic: float, seen: _Slopes) -> float | None:
        """A better derivative where the first one differs from the analytic one, or None if a kink explains the difference.

        With a tenth of the step, a smooth function gives a tenth of the bend and nearly the same derivative. Near a kink the
        derivative changes; right at it the bend stays, and explains a difference of up to half its size.
        """
        difference = abs(analytic - seen.derivative)
        closer = self.slopes(index, scale=0.1)
        change = abs(closer.derivative - seen.derivative)
        smooth = abs(closer.bend - 0.1 * seen.bend) <= 0.03 * abs(seen.bend)
        near = change > 0.1 * difference and change > 10 * seen.noise
        at = difference <= 0.6 * abs(seen.bend) and abs(closer.bend) > 0.3 * abs(seen.bend)
        if not smooth and (near or at):
            return None
        return (100 * closer.derivative - seen.derivative) / 99  # what the method's error, proportional to h^2, leaves over


def _compare(
    name: str,
    array: np.ndarray,
    analytic: np.ndarray | None,
    chosen: np.ndarray,
    measure: _Measurement,
    tolerance: float,
    batch_size: int,
) -> ArrayCheck:
    """Measure the chosen elements of one array and compare."""
    numeric = np.full(array.shape, np.nan)
    slopes = {}
    indices = [tuple(int(i) for i in np.unravel_index(position, array.shape)) for position in chosen]
    for index in indices:
        slopes[index] = measure.slopes(index)
        numeric[index] = slopes[index].derivative
    check = ArrayCheck(name, array.shape, checked=len(indices))
    if analytic is None or analytic.shape != array.shape:
        got = "there is no gradient (None)" if analytic is None else f"the gradient's shape is {analytic.shape}"
        check.problem = f"{got}, expected one of shape {array.shape}"
        check.max_error, check.guess = np.inf, guess_cause(analytic, numeric, array, batch_size)
        return check

    largest = max(np.nanmax(np.abs(numeric), initial=0.0), np.nanmax(np.abs(analytic), initial=0.0))
    floor = max(FLOOR, 1e-3 * largest) if np.isfinite(largest) else FLOOR
    for index in indices:
        a, n, seen = float(analytic[index]), float(numeric[index]), slopes[index]
        floor_here = max(floor, seen.noise / tolerance)
        error = abs(a - n) / max(abs(a) + abs(n), floor_here)
        if not error <= tolerance:
            better = measure.look_closer(index, a, seen)
            if better is None:
                check.kinks, check.checked, numeric[index] = check.kinks + 1, check.checked - 1, np.nan
                continue
            error = min(error, abs(a - better) / max(abs(a) + abs(better), floor_here))
        error = error if np.isfinite(error) else np.inf  # NaN equals nothing, and is no gradient
        if error > check.max_error or check.worst is None:
            check.max_error, check.worst, check.analytic, check.numeric = error, index, a, n
    if check.kinks and not check.checked:
        check.max_error = np.inf
        check.problem = "every element lies at a kink, so nothing was checked: choose inputs that keep away from them"
    elif check.max_error > tolerance:
        check.guess = guess_cause(analytic, numeric, array, batch_size)
    return check


def _require_float64(arrays: dict[str, np.ndarray], how: str) -> None:
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray) or array.dtype != np.float64:
            got = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
            raise TypeError(
                f"gradient checks need float64, and {name} is {got}: float32 keeps 7 digits, of which a difference of two "
                f"outputs a step of 1e-5 apart leaves one or two, so that right and wrong look the same. Convert with {how}"
            )


def _modes(layer: Layer) -> Callable[[], None]:
    """A function that puts the layer and all inside it back into the modes they are in now."""
    saved = [(inner, inner.training, inner.remembers, inner.needs_dx) for _, inner in layer.walk()]

    def restore() -> None:
        for inner, training, remembers, needs_dx in saved:
            inner.training, inner.remembers, inner.needs_dx = training, remembers, needs_dx

    return restore


def _state(layer: Layer) -> Callable[[], None]:
    """A function that sets running statistics and random generators back to what they are now."""
    arrays = [(array, array.copy()) for array in layer.state().values()]
    generators = [inner.rng for _, inner in layer.walk() if hasattr(inner, "rng")]
    states = [generator.bit_generator.state for generator in generators]

    def restore() -> None:
        for array, value in arrays:
            array[...] = value
        for generator, state in zip(generators, states, strict=True):
            generator.bit_generator.state = state

    return restore
