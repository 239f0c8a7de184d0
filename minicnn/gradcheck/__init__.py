"""Gradient checking: is a written-out backward pass the derivative of its forward pass? And if not, why?

- ``check`` measures derivatives numerically and compares them with what ``backward`` returns.
- ``diagnosis`` guesses at the cause of a difference from the pattern of wrong numbers, ``mistakes`` by making the mistake
  again; ``evidence`` is what both look at.
- ``report`` holds the result, and prints it as text.
"""

from .check import check_function, check_layer, check_loss
from .report import ArrayCheck, Report

__all__ = ["ArrayCheck", "Report", "check_function", "check_layer", "check_loss"]
