"""The main job, ``minicnn transfer``: several ways to transfer a network to some pictures, compared honestly, and a report."""

from .experiment import Experiment
from .presets import PRESETS, Settings

__all__ = ["PRESETS", "Experiment", "Settings"]
