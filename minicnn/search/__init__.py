"""Searching hyperparameters: at random, in a grid, from coarse to fine, with successive halving; side by side, or on a cluster.

- ``space``: which settings, over which ranges, on which scale.
- ``study``: the searches.
- ``trial``: one evaluation, and its result.
- ``journal``: the folder from which a study goes on.
- ``workers``: processes side by side.
- ``objectives``: what can be searched at once.
"""

from .objectives import RecipeObjective
from .space import Choice, Integers, LogUniform, Uniform
from .study import Study, halving_schedule
from .trial import Trial

__all__ = ["Choice", "Integers", "LogUniform", "RecipeObjective", "Study", "Trial", "Uniform", "halving_schedule"]
