"""Recipes: how to train a network from the beginning, everything but the pictures.

- ``base``: what they share, and the plain ones.
- ``speed_run``: CIFAR-10 with as little arithmetic as possible.
- ``muon_speed_run``: the same with Muon, in fewer epochs.
- ``by_name``: all of them, and which suits which data set.
"""

from .base import AdamWRecipe, Recipe
from .by_name import RECIPES, USUAL
from .muon_speed_run import MuonSpeedRun
from .speed_run import SpeedRun

__all__ = ["RECIPES", "USUAL", "AdamWRecipe", "MuonSpeedRun", "Recipe", "SpeedRun"]
