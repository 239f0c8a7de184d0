"""Gradient accumulation: the step of a large batch, from several small ones that fit into memory."""

from __future__ import annotations

import numpy as np

from ..layers.base import Parameter


class GradientAccumulator:
    """Adds up the gradients of several backward passes, because each ``backward`` assigns its own.

    With a loss that is a mean over its batch, and gradients g_i of batches of N_i samples, that of all samples together is

    ::

        g = (N_1 g_1 + N_2 g_2 + ...) / (N_1 + N_2 + ...)

    It is that of one large batch as long as samples do not know of each other; batch normalisation still takes its mean and
    variance from each small batch.

    Parameters
    ----------
    parameters : dict of name to Parameter
        Those that are frozen, or have no gradient, are left out.

    >>> weight = Parameter(np.zeros(1))
    >>> accumulator = GradientAccumulator({"w": weight})
    >>> for samples, gradient in ((3, 1.0), (1, 5.0)):
    ...     weight.grad = np.array([gradient])  # backward() of a batch does this
    ...     accumulator.add(samples)
    >>> accumulator.assign_mean()
    >>> weight.grad  # (3 * 1 + 1 * 5) / 4; now the optimiser takes its step
    array([2.])
    """

    def __init__(self, parameters: dict[str, Parameter]):
        self.parameters = dict(parameters)
        self._start_again()

    def add(self, samples: int) -> None:
        """Add the gradients that the parameters hold now, which are means over this many samples.

        Raises
        ------
        ValueError
            If there is not at least one sample.
        """
        if not samples >= 1:
            raise ValueError(f"GradientAccumulator: a batch has at least one sample, got {samples}")
        samples = int(samples)  # NumPy's integers would make float64 of the gradients
        self.samples += samples
        for name, parameter in self.parameters.items():
            if parameter.trainable and parameter.grad is not None:
                self.sums[name] = self.sums.get(name, 0) + samples * parameter.grad

    def assign_mean(self) -> None:
        """Give each parameter its mean gradient over all samples that were added, and start again.

        Raises
        ------
        RuntimeError
            If nothing has been added.
        """
        if not self.samples:
            raise RuntimeError("GradientAccumulator: there are no gradients; call add(samples) after each backward()")
        for name, total in self.sums.items():
            self.parameters[name].grad = total / self.samples
        self._start_again()

    def _start_again(self) -> None:
        self.sums: dict[str, np.ndarray] = {}
        self.samples = 0
