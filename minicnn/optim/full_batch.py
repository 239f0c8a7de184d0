"""Optimisers that are given the loss as a function: no noise, so that curvature can be measured and a step length searched."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from ..errors import TrainingError
from ..layers.base import Parameter
from .base import Optimizer, check_gradient, check_writeable


class FullBatchOptimizer(Optimizer):
    """What L-BFGS and Newton's method share: a step takes a function that computes the loss of all samples.

    ::

        def evaluate():
            value = loss.forward(net.forward(x), y)
            net.backward(loss.backward())
            return value

    returns the loss at the present weights and leaves its gradient in the parameters. It must be the same function at each
    call: no dropout, no augmentation, always the same samples. L2 regularisation belongs into it; there is no weight decay
    here. The Trainer takes its steps on batches and cannot use these optimisers.
    """

    def __init__(self, parameters: dict[str, Parameter], learning_rate: float):
        super().__init__(parameters, learning_rate, weight_decay=0.0)

    def step(self, evaluate: Callable[[], float]) -> float:
        """Change the parameters; what is returned is the loss at the weights from which the step started.

        Raises
        ------
        TypeError
            If ``evaluate`` is no function.
        ValueError
            If nothing is trainable, a parameter got no gradient or one of another shape, an array is read-only, or a
            ``learning_rate_multiplier`` is not 1: all weights take one step together.
        TrainingError
            If the loss or its gradient is not finite where the step starts.
        """
        raise NotImplementedError(f"{type(self).__name__} must write step(evaluate)")

    def _objective(self, evaluate: Callable[[], float]) -> Objective:
        own = type(self).__name__
        if not callable(evaluate):
            raise TypeError(
                f"{own}.step(evaluate) takes a function that computes the loss of all samples and its gradient, got "
                f"{type(evaluate).__name__}; where steps are taken on batches, as in the Trainer, use SGD or AdamW"
            )
        trained = {name: parameter for name, parameter in self.parameters.items() if parameter.trainable}
        if not trained:
            raise ValueError(f"{own} has nothing to change: all of its parameters are frozen; unfreeze() some")
        for name, parameter in trained.items():
            check_writeable(name, parameter)
            if parameter.learning_rate_multiplier != 1:
                raise ValueError(
                    f"{own} moves all weights together, and {name} has a learning_rate_multiplier of "
                    f"{parameter.learning_rate_multiplier}; set it to 1, or use SGD or AdamW"
                )
        return Objective(own, evaluate, trained)


class Objective:
    """The loss as a function of one vector w, float64 (D,): all trained parameters, flattened, one after the other."""

    def __init__(self, optimizer: str, evaluate: Callable[[], float], parameters: dict[str, Parameter]):
        self.optimizer, self.evaluate, self.parameters = optimizer, evaluate, parameters

    def weights(self) -> np.ndarray:
        """w as it is now."""
        return _flat([parameter.value for parameter in self.parameters.values()])

    def move_to(self, w: np.ndarray) -> None:
        """Write w into the parameters' arrays."""
        for name, piece in self.split(w).items():
            self.parameters[name].value[...] = piece

    def split(self, vector: np.ndarray) -> dict[str, np.ndarray]:
        """The parts of a vector (D,) by parameter, in its shape."""
        sizes = [parameter.value.size for parameter in self.parameters.values()]
        pieces = np.split(vector, np.cumsum(sizes)[:-1])
        return {name: piece.reshape(p.value.shape) for (name, p), piece in zip(self.parameters.items(), pieces, strict=True)}

    def __call__(self) -> tuple[float, np.ndarray]:
        """The loss at the present weights, and its gradient (D,)."""
        for parameter in self.parameters.values():
            parameter.grad = None
        value = float(self.evaluate())
        missing = [name for name, parameter in self.parameters.items() if parameter.grad is None]
        if missing:
            raise ValueError(
                f"{self.optimizer}: evaluate() left {', '.join(missing[:3])} without a gradient; it must call backward(), "
                "and what is not to be trained must be frozen"
            )
        for name, parameter in self.parameters.items():
            check_gradient(name, parameter)
        return value, _flat([parameter.grad for parameter in self.parameters.values()])

    def at_the_start(self) -> tuple[np.ndarray, float, np.ndarray]:
        """w, the loss and its gradient, all of which must be finite."""
        value, g = self()
        if not (math.isfinite(value) and np.isfinite(g).all()):
            raise TrainingError(
                f"{self.optimizer} cannot start where the loss is {value} and its gradient "
                f"{'finite' if np.isfinite(g).all() else 'not finite'}; start from other weights"
            )
        return self.weights(), value, g

    @contextmanager
    def restored_after_errors(self) -> Iterator[None]:
        """Whatever goes wrong in this block, the weights are then what they were before it."""
        before = self.weights()
        try:
            yield
        except BaseException:
            self.move_to(before)
            raise


def _flat(arrays: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([array.ravel() for array in arrays]).astype(np.float64)
