"""Lesson 99: the mistakes that people make in its exercise, as functions that make them."""

import numpy as np

from minicnn.course import Slip


def softplus(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def sigmoid(x):
    return (1 + np.tanh(x / 2)) / 2


def wrong_y(y):
    return {"softplus_forward": y}


def wrong_dx(dx):
    return {"softplus_backward": dx}


SOFTPLUS = (
    Slip(
        "y overflows for large x",
        "e^x is infinite in float64 from x = 710 on. Which power of e is small when x is large?",
        wrong_y(lambda x: np.log(1 + np.exp(x))),
        r"exp\(x\)",
    ),
    Slip("The 1 is missing, so that y is x", "What is log(e^x)?", wrong_y(lambda x: np.array(x)), r"log\(np\.exp"),
    Slip(
        "y is a logarithm to the base 2",
        "The derivative would not be the sigmoid. Which logarithm is the inverse of e^x?",
        wrong_y(lambda x: softplus(x) / np.log(2)),
        r"log2",
    ),
    Slip("y is ReLU", "What is softplus of 0?", wrong_y(lambda x: np.maximum(x, 0)), r"maximum|where"),
    Slip(
        "The sign of x is wrong in y",
        "Softplus goes to 0 for very negative x.",
        wrong_y(lambda x: softplus(-x)),
        r"-x",
    ),
    Slip(
        "dx does not have dy in it",
        "The chain rule: the derivative of y, times what comes from above.",
        wrong_dx(lambda dy, x: sigmoid(x)),
    ),
    Slip(
        "The sign of x is wrong in dx",
        "Where x is large, y is nearly x: how large must its derivative be there?",
        wrong_dx(lambda dy, x: dy * sigmoid(-x)),
        r"exp\(x\)",
    ),
    Slip("dx is that of ReLU", "The derivative has no corner.", wrong_dx(lambda dy, x: dy * (x > 0)), r"> ?0"),
    Slip(
        "dx is the derivative of the sigmoid",
        "Softplus was differentiated twice.",
        wrong_dx(lambda dy, x: dy * sigmoid(x) * (1 - sigmoid(x))),
        r"1 ?- ?",
    ),
)
