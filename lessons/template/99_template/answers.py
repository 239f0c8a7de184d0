"""Lesson 99: wrong answers to its exercise, as students write them, and right ones."""

import math

import numpy as np


def forward(function):
    return {"softplus_forward": function}


def backward(function):
    return {"softplus_backward": function}


def loop(x, f):
    y = np.zeros(x.shape)
    for i in np.ndindex(x.shape):
        y[i] = f(x[i])
    return y


def stable(v):
    return v + math.log1p(math.exp(-v)) if v > 0 else math.log1p(math.exp(v))


WRONG = {
    1: [
        ("log1p of exp", forward(lambda x: np.log1p(np.exp(x))), "y overflows for large x"),
        ("log(exp(x))", forward(lambda x: 1.0 * x), "The 1 is missing, so that y is x"),
        ("log2 by logaddexp2", forward(lambda x: np.logaddexp2(0, x / np.log(2))), "y is a logarithm to the base 2"),
        ("relu by where", forward(lambda x: np.where(x > 0, x, 0.0)), "y is ReLU"),
        ("of -x, in a loop", forward(lambda x: loop(x, lambda v: stable(-v))), "The sign of x is wrong in y"),
        ("dx is the sigmoid", backward(lambda dy, x: 1 / (1 + np.exp(-x))), "dx does not have dy in it"),
        ("1 / (1 + e^x)", backward(lambda dy, x: dy / (1 + np.exp(x))), "The sign of x is wrong in dx"),
        ("ReLU's mask", backward(lambda dy, x: np.where(x > 0, dy, 0.0)), "dx is that of ReLU"),
        ("s (1 - s)", backward(lambda dy, x: dy * 0.25 / np.cosh(x / 2) ** 2), "dx is the derivative of the sigmoid"),
        ("dy is changed", backward(lambda dy, x: np.multiply(dy, 1 / (1 + np.exp(-x)), out=dy)), "An argument is changed"),
    ]
}
RIGHT = {
    1: [
        ("logaddexp", forward(lambda x: np.logaddexp(0, x))),
        ("a loop", forward(lambda x: loop(x, stable))),
        ("in a loop", backward(lambda dy, x: dy * loop(x, lambda v: math.exp(-stable(-v))))),
    ]
}
