"""Gradient checking: is a written-out backward pass the derivative of its forward pass? And if not, why?

`check` measures and compares, `diagnosis` guesses at the cause of a difference, `report` says it in words.
"""

from .check import check_function, check_layer, check_loss
from .report import ArrayCheck, Report

__all__ = ["ArrayCheck", "Report", "check_function", "check_layer", "check_loss"]
