"""Lesson 99: what its exercise is checked for, offline, with new numbers and shapes each time."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from slips import SOFTPLUS

from minicnn.course import Student, Task
from minicnn.course.expect import expect_close, expect_gradients
from minicnn.course.workbench import drawn_digits, save
from minicnn.gradcheck import Report, check_function
from minicnn.layers import Flatten, Layer, Linear, ReLU, Sequential
from minicnn.losses import SoftmaxCrossEntropy
from minicnn.optim import SGD
from minicnn.training import Trainer


def softplus(student: Student, rng: np.random.Generator) -> None:
    for shape in ((7,), (3, 4), (2, 3, 5)):
        x, dy = 3 * rng.standard_normal(shape), rng.standard_normal(shape)
        expect_close(f"y (x {shape})", student.softplus_forward(x), np.logaddexp(0, x))
        got, right = student.softplus_backward(dy, x), dy * np.exp(-np.logaddexp(0, -x))
        expect_gradients("softplus", [got], {"dx": right}, lambda x=x: numeric_check(student, x))
    large = np.array([-2000.0, -40, 40, 2000]) * rng.uniform(1, 2, 4)
    with np.errstate(all="ignore"):
        expect_close("y (large x)", student.softplus_forward(large), np.logaddexp(0, large))
        expect_close("dx (large x)", student.softplus_backward(np.ones(4), large), (large > 0).astype(float))


def numeric_check(student: Student, x: np.ndarray) -> Report:
    """Runs only if dx is wrong, to find words for it."""
    return check_function(lambda x: np.logaddexp(0, x), lambda dy: {"x": student.softplus_backward(dy, x)}, {"x": x})


def train(functions: dict, folder: Path) -> None:
    """The student's softplus in a network that learns digits, beside ReLU."""

    class Softplus(Layer):
        def forward(self, x):
            self.remember(x=x)
            return np.asarray(functions["softplus_forward"](x), x.dtype)

        def backward(self, dy):
            return np.asarray(functions["softplus_backward"](dy, self.recall().x), dy.dtype)

        def output_shape(self, input_shape):
            return tuple(input_shape)

    rng = np.random.default_rng(0)
    digits, others = drawn_digits(1000, rng), drawn_digits(500, rng)
    figure, ax = plt.subplots(figsize=(5, 3), layout="tight")
    for title, activation in (("your softplus", Softplus()), ("ReLU", ReLU())):
        net = Sequential(flatten=Flatten(), hidden=Linear(784, 32, rng=1), activation=activation, scores=Linear(32, 10, rng=2))
        optimizer = SGD(net.parameters(), 0.05, momentum=0.9)
        trainer = Trainer(net, SoftmaxCrossEntropy(), optimizer, epochs=10, prepare=prepare, seed=0, progress=False)
        losses = [epoch["loss"] for epoch in trainer.fit(*digits).epochs]
        ax.plot(range(1, len(losses) + 1), losses, label=title)
        print(f"with {title}: {trainer.evaluate(*others)[1]:.1%} of {len(others[1])} new digits right")
    ax.set(xlabel="epoch", ylabel="loss")
    ax.legend()
    save(figure, folder.parent, "exercise")


def prepare(pictures: np.ndarray) -> np.ndarray:
    return (pictures[:, None].astype(np.float32) - 30) / 80


TASKS = [
    Task(
        "softplus",
        softplus,
        functions=("softplus_forward", "softplus_backward"),
        slips=SOFTPLUS,
        hints=(
            "Look at x = 1000 and at x = -1000: what should y be?",
            "log(1 + e^x) = x + log(1 + e^-x): use each form where its power of e is small.",
            "y is max(x, 0) plus the log1p of e to the power -|x|.",
        ),
        points=2,
    ),
]
FINALE = train
