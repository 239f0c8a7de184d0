"""The main job, ``minicnn transfer``: several ways to transfer a network to some pictures, compared honestly, and a report."""

from .experiment import Experiment
from .presets import MODES, STRATEGIES, Settings

__all__ = ["MODES", "STRATEGIES", "Experiment", "Settings"]
