"""Several optimisers, each for parameters of its own, that are used as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .base import Optimizer
from .full_batch import FullBatchOptimizer


class OptimizerGroup(Optimizer):
    """Each optimiser changes its own parameters: ``OptimizerGroup([Muon(filters), AdamW(others)])``.

    A schedule's factor applies to all of them, each with its own base rate.

    Attributes
    ----------
    optimizers : list of Optimizer
        Their rates may be set at any time.
    parameters : dict of name to Parameter
        All of them.
    learning_rate : float
        The first optimiser's base rate, for records of a run; it cannot be set here.

    Raises
    ------
    ValueError
        No optimisers; a parameter, or a name, that two of them have; a group, or an optimiser that is given a function.
    """

    def __init__(self, optimizers: Sequence[Optimizer]):
        self.optimizers = list(optimizers)
        if not self.optimizers:
            raise ValueError("OptimizerGroup got no optimisers; give it some, each with parameters of its own")
        unfit = [type(o).__name__ for o in self.optimizers if isinstance(o, (OptimizerGroup, FullBatchOptimizer))]
        if unfit:
            raise ValueError(f"OptimizerGroup takes optimisers that step on a batch, such as Muon and AdamW, got {unfit[0]}")
        pairs = [pair for optimizer in self.optimizers for pair in optimizer.parameters.items()]
        self.parameters = dict(pairs)
        if len(pairs) > len(self.parameters) or len(pairs) > len({id(parameter) for _, parameter in pairs}):
            names = [name for name, _ in pairs]
            twice = sorted({name for name in names if names.count(name) > 1}) or ["the same one under two names"]
            raise ValueError(f"OptimizerGroup: a parameter belongs to one optimiser, and two have {', '.join(twice[:3])}")

    @property
    def learning_rate(self) -> float:
        return self.optimizers[0].learning_rate

    def step(self, factor: float = 1.0) -> None:
        """One step of each optimiser, see `Optimizer.step`."""
        for optimizer in self.optimizers:
            optimizer.step(factor)

    def state_dict(self) -> dict[str, Any]:
        """The optimisers' `Optimizer.state_dict`, under "0", "1" and so on."""
        return {str(i): optimizer.state_dict() for i, optimizer in enumerate(self.optimizers)}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """As `Optimizer.load_state_dict`.

        Raises
        ------
        ValueError
            If it is not the state of such a group, or one optimiser's state does not fit; no optimiser is changed then.
        """
        places = [str(i) for i in range(len(self.optimizers))]
        if not isinstance(saved, dict) or set(saved) != set(places):
            raise ValueError(
                f"OptimizerGroup goes on from the state_dict() of a group of {len(places)}, got "
                + (f"one with {sorted(saved)}" if isinstance(saved, dict) else type(saved).__name__)
            )
        states = [optimizer._checked_state(saved[place]) for place, optimizer in zip(places, self.optimizers, strict=True)]
        for optimizer, state in zip(self.optimizers, states, strict=True):
            optimizer.state = state
