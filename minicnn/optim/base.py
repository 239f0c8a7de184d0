"""What optimisers share: the rate, which parameters a step changes, and the state that is kept for each of them."""

from __future__ import annotations

import copy
from numbers import Real
from typing import Any

import numpy as np

from ..layers.base import Parameter


class Optimizer:
    """What optimisers share: the learning rate, the parameters, and the state kept for each of them.

    A new optimiser writes ``_new_state`` and ``_update``. Its attributes that are numbers are its constants, and `state_dict`
    saves them; what changes from step to step belongs in the state.

    Parameters
    ----------
    parameters : dict of name to Parameter
        Usually ``model.parameters()``. The state is kept under these names.
    learning_rate : float, >= 0
        The base rate; the attribute may be set at any time.
    weight_decay : float, >= 0
        How strongly weights are drawn towards zero.

    Raises
    ------
    ValueError
        No parameters; a rate that is negative or not finite; other constants out of range.
    """

    def __init__(self, parameters: dict[str, Parameter], learning_rate: float, weight_decay: float):
        if not parameters:
            raise ValueError(
                f"{type(self).__name__} got no parameters to change; give it model.parameters() of a model that has some"
            )
        self.parameters = dict(parameters)
        self.learning_rate = self._at_least_zero("learning_rate", learning_rate)
        self.weight_decay = self._at_least_zero("weight_decay", weight_decay)
        self.state: dict[str, dict[str, Any]] = {}

    def step(self, factor: float = 1.0) -> None:
        """Change every parameter that is trainable and has a gradient, at ``factor`` (a schedule's) times the base rate.

        Raises
        ------
        ValueError
            If a gradient has not its parameter's shape, or a parameter's array is read-only; nothing is changed then.
        """
        trained = {name: p for name, p in self.parameters.items() if p.trainable and p.grad is not None}
        for name, parameter in trained.items():
            check_gradient(name, parameter)
            check_writeable(name, parameter)
        for name, parameter in trained.items():
            weights = parameter.value
            if name not in self.state:
                self.state[name] = self._new_state(weights)
            lr = float(self.learning_rate * factor * parameter.learning_rate_multiplier)
            wd = self.weight_decay if parameter.decays else 0.0
            self._update(weights, parameter.grad, self.state[name], lr, wd)

    def _new_state(self, weights: np.ndarray) -> dict[str, Any]:
        """What is kept of a parameter from one step to the next, as it is before the first: arrays and numbers by name."""
        raise NotImplementedError(f"{type(self).__name__} must write _new_state(weights)")

    def _update(self, weights: np.ndarray, gradient: np.ndarray, state: dict[str, Any], lr: float, wd: float) -> None:
        """One step of one parameter, which changes its weights and state in place."""
        raise NotImplementedError(f"{type(self).__name__} must write _update(weights, gradient, state, lr, wd)")

    # ---- to go on later as if there had been no break

    def state_dict(self) -> dict[str, Any]:
        """All that the next steps depend on besides the parameters: copies, for `load_state_dict`.

        Returns
        -------
        dict
            ``"optimizer"``: the type's name; ``"constants"``: the rate and the others; ``"state"``: for each parameter that has
            been changed, what is remembered of it. Nothing but dicts with strings as keys, arrays, numbers and strings.
        """
        return {"optimizer": type(self).__name__, "constants": self._constants(), "state": copy.deepcopy(self.state)}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Remember what the optimiser remembered whose `state_dict` this is: the next steps are its steps, to the bit.

        Raises
        ------
        ValueError
            If the state is of another type of optimiser, of one with other constants, or of other parameters: names that are
            not here, arrays of other shapes or dtypes. Nothing is changed then.
        """
        self.state = self._checked_state(saved)

    def _constants(self) -> dict[str, Real]:
        return {name: value for name, value in vars(self).items() if isinstance(value, Real)}

    def _checked_state(self, saved: dict[str, Any]) -> dict[str, dict[str, Any]]:
        """A copy of the state in ``saved``, if it fits."""
        own = type(self).__name__
        if not isinstance(saved, dict) or set(saved) != {"optimizer", "constants", "state"} or saved["optimizer"] != own:
            of = saved.get("optimizer") if isinstance(saved, dict) else None
            got = f"the state of {of}" if of and of != own else f"{type(saved).__name__} that is none"
            raise ValueError(f"{own} goes on from what the state_dict() of {own} returned, got {got}")
        constants = self._constants()
        for name in sorted(constants.keys() | saved["constants"].keys()):
            ours, theirs = constants.get(name), saved["constants"].get(name)
            if ours != theirs:
                raise ValueError(
                    f"{own} has {name}={ours}, and the saved state is of one with {name}={theirs}; to go on from it, set "
                    "the same constants (a rate can be changed afterwards)"
                )
        unknown = [name for name in saved["state"] if name not in self.parameters]
        if unknown:
            raise ValueError(
                f"the saved state has {len(unknown)} parameters that {own} was not given, {', '.join(unknown[:3])}; make it "
                "from the parameters of the same model"
            )
        return {name: self._checked_entry(name, entry) for name, entry in saved["state"].items()}

    def _checked_entry(self, name: str, entry: dict[str, Any]) -> dict[str, Any]:
        """A copy of what was saved of one parameter, if it has the form of what is kept of it."""
        expected = self._new_state(self.parameters[name].value)
        if set(entry) != set(expected):
            raise ValueError(f"of {name} the state holds {sorted(expected)}, and the saved one {sorted(entry)}")
        checked = {}
        for key, value in expected.items():
            if not isinstance(value, np.ndarray):
                checked[key] = type(value)(entry[key])
                continue
            checked[key] = np.array(entry[key])
            got = checked[key].dtype, checked[key].shape
            if got != (value.dtype, value.shape):
                raise ValueError(
                    f"{key} of {name} is {value.dtype} {value.shape}, and in the saved state {got[0]} {got[1]}; "
                    "a state fits the parameters it was saved with"
                )
        return checked

    # ---- checks of constants

    def _at_least_zero(self, name: str, value: float) -> float:
        if not 0 <= value < np.inf:
            raise ValueError(f"{type(self).__name__}: {name} must be a number from 0 up, got {value}")
        return float(value)

    def _above_zero(self, name: str, value: float) -> float:
        if not 0 < value < np.inf:
            raise ValueError(f"{type(self).__name__}: {name} must be a number above 0, got {value}")
        return float(value)

    def _fraction(self, name: str, value: float) -> float:
        if not 0 <= value < 1:
            raise ValueError(f"{type(self).__name__}: {name} must be at least 0 and below 1, got {value}")
        return float(value)

    def _count(self, name: str, value: int) -> int:
        if not (isinstance(value, (int, np.integer)) and value >= 1):
            raise ValueError(f"{type(self).__name__}: {name} must be a whole number from 1 up, got {value}")
        return int(value)


def check_gradient(name: str, parameter: Parameter) -> None:
    """Refuse a gradient that has not its parameter's shape."""
    weights, gradient = parameter.value, parameter.grad
    if gradient.shape != weights.shape:
        raise ValueError(
            f"{name} has shape {weights.shape}, its gradient {gradient.shape}; they must be equal: see its backward()"
        )


def check_writeable(name: str, parameter: Parameter) -> None:
    """Refuse a parameter whose array cannot be changed."""
    if not parameter.value.flags.writeable:
        raise ValueError(
            f"{name} cannot be changed: its array is read-only (of a file opened for reading, or another's memory). "
            "Give the parameter a copy, parameter.value = parameter.value.copy(), or freeze it"
        )
