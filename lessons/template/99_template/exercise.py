"""Lesson 99, exercise: softplus, forward and backward.

Fill in the functions, and as often as you like run

    minicnn check 99

Arrays are float64; do not change the arrays you are given, return new ones.
"""

import numpy as np

# ---- Task 1: softplus


def softplus_forward(x: np.ndarray) -> np.ndarray:
    """y = log(1 + e^x), element by element, for any x: no power of e may overflow. x of any shape -> y of the same shape."""
    raise NotImplementedError("Lesson 99, task 1: softplus_forward")


def softplus_backward(dy: np.ndarray, x: np.ndarray) -> np.ndarray:
    """dx = dy / (1 + e^-x), element by element. dy and x of any one shape -> dx of that shape."""
    raise NotImplementedError("Lesson 99, task 1: softplus_backward")
