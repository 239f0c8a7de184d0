# %% [markdown]
# # Lesson 99. A template: softplus
#
# **Before**: what a reader must know, with the lessons that say it: the chain rule for a layer (lesson 2), ReLU (lesson 4).
#
# **After**: what a reader will be able to do: write the forward and the backward pass of a smooth relative of ReLU so that no
# number overflows, and say what it changes in a network.
#
# This is a lesson to make your own from. It is short and has everything that the course's lessons have, and the same tests hold
# it to the same form.
#
# Run it (`python lesson.py`, with `--quick` for a first look), or open it as a notebook. All numbers are measured as it runs,
# and the figures go to `out/` beside it. Then do the exercise: `minicnn check 99`.

# %%
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from minicnn.course.workbench import QUICK, claim, drawn_digits, print_claims, save, section
from minicnn.gradcheck import check_function
from minicnn.layers import Flatten, Layer, Linear, ReLU, Sequential
from minicnn.losses import SoftmaxCrossEntropy
from minicnn.optim import SGD
from minicnn.training import Trainer

HERE = Path(globals().get("__file__", "lesson.py")).resolve().parent
rng = np.random.default_rng(99)

# %% [markdown]
# ## 1. The function and its derivative
#
# Softplus is a ReLU without the corner:
#
# $$y = \log(1 + e^x), \qquad dx = dy \, \sigma(x), \qquad \sigma(x) = \frac{1}{1 + e^{-x}}.$$
#
# Far from 0 the two are the same. They differ most at 0, where softplus is $\log 2$.

# %%
section("1. The function and its derivative")


def softplus(x):
    """log(1 + e^x), written so that no power of e is larger than 1."""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def sigmoid(x):
    return (1 + np.tanh(x / 2)) / 2


x = np.linspace(-6, 6, 1201)
difference = softplus(x) - np.maximum(x, 0)
figure, ax = plt.subplots(figsize=(5, 3), layout="tight")
ax.plot(x, np.maximum(x, 0), label="ReLU")
ax.plot(x, softplus(x), label="softplus")
ax.plot(x, sigmoid(x), label="its derivative")
ax.set(xlabel="x", title="Softplus is a ReLU without the corner")
ax.legend()
save(figure, HERE, "softplus")
claim(
    "Softplus lies above ReLU, by log 2 at 0, and by less everywhere else.",
    f"largest difference {difference.max():.4f} at x = {abs(x[difference.argmax()]):.2f}",
    np.isclose(difference.max(), np.log(2)) and abs(x[difference.argmax()]) < 1e-9 and difference.min() > 0,
)
report = check_function(softplus, lambda dy: {"x": dy * sigmoid(points)}, {"x": (points := rng.normal(size=(4, 5)))}, rng=rng)
print(report)
claim("The derivative of softplus is the sigmoid.", f"largest relative error {report.max_error:.1e}", report.ok)

# %% [markdown]
# ## 2. What a computer makes of it
#
# Written as it stands in the equation, softplus fails for large $x$: $e^x$ is more than a float can hold. The form in
# `softplus()` above is equal to it, and takes powers of $e$ of negative numbers only.

# %%
section("2. What a computer makes of it")
with np.errstate(over="ignore"):
    literal = np.log(1 + np.exp(np.array([30.0, 300.0, 3000.0])))
careful = softplus(np.array([30.0, 300.0, 3000.0]))
print(f"as in the equation: {literal}\nas in softplus():   {careful}")
claim(
    "The equation, taken literally, gives infinity for large x.",
    f"{literal[-1]} instead of {careful[-1]}",
    np.isinf(literal[-1]) and careful[-1] == 3000,
)

# %% [markdown]
# ## 3. In a network
#
# Does the corner matter? Two small networks, the same but for the activation, learn digits.

# %%
section("3. In a network")


class Softplus(Layer):
    """y = log(1 + e^x), dx = dy sigmoid(x)."""

    def forward(self, x):
        self.remember(x=x)
        return softplus(x)

    def backward(self, dy):
        return dy * sigmoid(self.recall().x)

    def output_shape(self, input_shape):
        return tuple(input_shape)


def prepare(pictures):
    return (pictures[:, None].astype(np.float32) - 30) / 80


digits, digits_test = drawn_digits(1000 if QUICK else 2000, rng), drawn_digits(1000, rng)
accuracy = {}
for activation in (ReLU(), Softplus()):
    net = Sequential(flatten=Flatten(), hidden=Linear(784, 32, rng=1), activation=activation, scores=Linear(32, 10, rng=2))
    optimizer = SGD(net.parameters(), 0.05, momentum=0.9)
    trainer = Trainer(net, SoftmaxCrossEntropy(), optimizer, epochs=10, prepare=prepare, seed=0, progress=False)
    trainer.fit(*digits)
    accuracy[type(activation).__name__] = trainer.evaluate(*digits_test)[1]
print(accuracy)
claim(
    "A network with softplus learns digits at least about as well as one with ReLU.",
    ", ".join(f"{name} {share:.1%}" for name, share in accuracy.items()),
    accuracy["Softplus"] > accuracy["ReLU"] - 0.03 and min(accuracy.values()) > 0.8,
)

# %% [markdown]
# ## What this lesson claims
#
# - Softplus lies above ReLU, by log 2 at 0, and by less everywhere else.
# - The derivative of softplus is the sigmoid.
# - The equation, taken literally, gives infinity for large x.
# - A network with softplus learns digits at least about as well as one with ReLU.

# %%
print_claims()

# %% [markdown]
# ## Questions
#
# **1.** Why can a unit with softplus not die, as one with ReLU can?
#
# <details><summary>Answer</summary>
#
# The sigmoid is positive everywhere: some gradient comes through for any $x$, if only a little.
#
# </details>
#
# **2.** What does softplus cost that ReLU does not?
#
# <details><summary>Answer</summary>
#
# An exponential and a logarithm for each number, where ReLU is a comparison; and its outputs are never exactly 0.
#
# </details>
#
# **3.** What is softplus(x) - softplus(-x)?
#
# <details><summary>Answer</summary>
#
# $\log\frac{1 + e^x}{1 + e^{-x}} = \log e^x = x$.
#
# </details>
#
# ## Further reading
#
# - Glorot, Bordes, Bengio 2011, "Deep Sparse Rectifier Neural Networks", section 3: softplus beside the rectifier.
#
# ## Next
#
# The exercise: fill in `exercise.py`, and run `minicnn check 99` as often as you like.
