"""The passes themselves: whether what they return repeats, and whether they leave alone what is not theirs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .report import Report

REPEATS = 1e-12  # relative to the largest value: how exactly forward must give the same for equal arrays
GRADIENT_REPEATS = 1e-9


def analytic_gradients(
    report: Report, forward: Callable, backward: Callable, arrays: dict[str, np.ndarray], dy: np.ndarray
) -> dict[str, np.ndarray | None]:
    """The gradients that ``backward(dy)`` returns.

    Forward and backward run twice. The report gets a fault for each array that they change, and for each gradient that is not
    the same both times or is kept in fewer digits than float64 has.
    """
    first, second = (_one_pass(report, forward, backward, arrays, dy) for _ in range(2))
    report.faults += [fault for name in first if (fault := _fault_of_gradient(name, first[name], second.get(name)))]
    report.faults = list(dict.fromkeys(report.faults))
    return first


def _one_pass(report: Report, forward: Callable, backward: Callable, arrays: dict, dy: np.ndarray) -> dict:
    before = {name: array.copy() for name, array in arrays.items()}
    forward(**arrays)
    given = np.array(dy)
    gradients = {name: None if gradient is None else np.array(gradient) for name, gradient in backward(given).items()}
    report.faults += [f"backward() changes {name}: it must leave it as it is" for name in restore_changed(arrays, before)]
    if not np.array_equal(given, dy):
        report.faults.append("backward() changes its argument dy: it must work on a copy, others may still need dy")
    return gradients


def _fault_of_gradient(name: str, first: np.ndarray | None, second: np.ndarray | None) -> str:
    """What is wrong with the gradients of two equal passes besides their numbers; '' if nothing is."""
    if first is None or first.dtype.kind not in "biuf":
        return ""  # the comparison says so
    if first.dtype.kind == "f" and first.dtype.itemsize < 8:
        return f"the gradient of {name} is {first.dtype}, expected float64: something in backward() converts it"
    if second is not None and _equal(first, second, GRADIENT_REPEATS):
        return ""
    if second is not None and _equal(2 * first, second, GRADIENT_REPEATS):
        return f"the gradient of {name} doubles when backward() runs twice: it is accumulated (+=), not assigned (=)"
    return f"the gradient of {name} differs between two equal passes: does something random escape self.rng?"


def fault_of_forward(first: np.ndarray, second: np.ndarray) -> str:
    """What makes it impossible to measure a derivative of two results for equal arrays; '' if nothing does."""
    if first.size == 0:
        return f"forward() gives an array of shape {first.shape}, of which there is nothing to differentiate"
    if first.dtype != np.float64:
        return f"forward() gives {first.dtype}, expected float64 from float64: something in it converts, and digits are lost"
    if not np.isfinite(first).all():
        return "forward() gives NaN or infinity, which have no derivatives: choose other inputs, or mend it first"
    if _equal(first, second, REPEATS):
        return ""
    return (
        "forward() does not repeat: it gives something else for equal arrays. Does it draw random numbers that do not come "
        "from self.rng, or keep something from one pass to the next that is not in state()? No gradient can be measured then"
    )


def restore_changed(arrays: dict[str, np.ndarray], before: dict[str, np.ndarray]) -> list[str]:
    """Give the arrays their values of before again. Returns the names of those that had changed."""
    changed = [name for name, array in arrays.items() if not np.array_equal(before[name], array, equal_nan=True)]
    for name in changed:
        arrays[name][...] = before[name]
    return changed


def _equal(first: np.ndarray, second: np.ndarray, digits: float) -> bool:
    """Whether two results of equal passes are the same, up to rounding errors relative to each value or the largest one."""
    largest = np.abs(first, where=np.isfinite(first), out=np.zeros(first.shape)).max(initial=0)
    return first.shape == second.shape and np.allclose(first, second, rtol=digits, atol=digits * largest, equal_nan=True)
