# %% [markdown]
# # Lesson 5. Batch normalisation
#
# **Before**: you can write a backward pass and check it numerically (lesson 2), you know what a convolution computes (lesson
# 3), and why first weights must be neither too small nor too large (lesson 4).
#
# **After**: you can derive the backward pass of batch normalisation on paper, in two forms, and write both; you know what it
# does in training and what in inference, and how to get that wrong; you can say, from measurements, what it is good for and
# where it does harm; you can freeze it for fine-tuning, and make it vanish into the convolution before it.
#
# Lesson 4 made the first weights just so large that signals keep their size through the layers. That holds for the first step
# of training. Batch normalisation does not ask the weights for anything: it *measures* the signals, in every step, and makes
# them the right size. Few ideas have made deep networks so much easier to train, and few layers have so many traps.
#
# Run it (`python lessons/05_batch_normalisation/lesson.py`; `--quick` for a first look), or open it as a notebook. All
# numbers are measured as it runs, and the figures go to `out/` beside it. Then do the exercise: `exercise.py`, judged by
# `minicnn check 5`.

# %%
import copy
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from tqdm import tqdm

from minicnn.course.workbench import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    QUICK,
    claim,
    drawn_digits,
    find_data,
    print_claims,
    save,
    section,
)
from minicnn.data import load_fashion_mnist, load_mnist
from minicnn.errors import TrainingError
from minicnn.gradcheck import check_layer
from minicnn.inference import fuse
from minicnn.initializers import msra
from minicnn.kernels import textbook
from minicnn.layers import BatchNorm1d, BatchNorm2d, Conv2d, Flatten, Linear, LocalResponseNorm, ReLU, Sequential
from minicnn.losses import SoftmaxCrossEntropy
from minicnn.optim import SGD
from minicnn.training import Trainer

HERE = Path(globals().get("__file__", "lesson.py")).resolve().parent
rng = np.random.default_rng(5)
TRAIN, TEST = (1000, 500) if QUICK else (3000, 1000)

if folder := find_data("fashion-mnist"):
    loaded, pictures_are = load_fashion_mnist(folder), "clothes, from Fashion-MNIST"
elif folder := find_data("mnist"):
    loaded, pictures_are = load_mnist(folder), "handwritten digits, from MNIST"
else:
    loaded = (*drawn_digits(TRAIN, rng), *drawn_digits(TEST, rng))
    pictures_are = "digits of a font: MINICNN_DATA names no folder with fashion-mnist/ or mnist/ in it, which are harder"
chosen = rng.permutation(len(loaded[0]))[:TRAIN]
mean_pixel, std_pixel = loaded[0].mean(), loaded[0].std()
x, y = ((loaded[0][chosen, None] - mean_pixel) / std_pixel).astype(np.float32), loaded[1][chosen]
test_x, test_y = ((loaded[2][:TEST, None] - mean_pixel) / std_pixel).astype(np.float32), loaded[3][:TEST]
rows, test_rows = x.reshape(len(x), -1), test_x.reshape(len(test_x), -1)
print(f"pictures: {pictures_are}; {len(x)} to train on, {len(test_x)} to test with")

# %% [markdown]
# ## 1. Signals that shrink and explode, and inputs that drift
#
# Take a stack of fully connected layers with ReLUs. If each multiplies the size of its signal by 2, then twenty multiply it
# by a million; if by one half, the signal is gone. The right factor between them is a knife's edge, and lesson 4 showed how
# to begin on it. **Batch normalisation** (Ioffe and Szegedy 2015) puts a step before each ReLU that subtracts from every
# feature its mean in the batch, and divides it by its standard deviation there. Then the size of the weights below it does
# not matter at all.
#
# We send real pictures through stacks of twenty layers whose first weights are half as large as they should be (MSRA), right,
# and twice as large, and measure what enters the ReLUs; and then a random gradient backwards.

# %%
section("1. Signals that shrink and explode")


def mlp(depth, normalised, scale=1.0, seed=0, momentum=0.1, width=100):
    """``depth`` times fully connected, batch norm if wanted, ReLU; then ten scores. Hidden weights ``scale`` times MSRA's."""
    rng, net, inputs = np.random.default_rng(seed), Sequential(), rows.shape[1]

    def initializer(shape, rng, dtype):
        return (scale * msra(shape, rng, dtype)).astype(dtype)

    for i in range(1, depth + 1):
        net.append(f"fc{i}", Linear(inputs, width, bias=not normalised, initializer=initializer, rng=rng))
        if normalised:
            net.append(f"norm{i}", BatchNorm1d(width, momentum=momentum))
        net.append(f"relu{i}", ReLU())
        inputs = width
    net.append("scores", Linear(width, 10, rng=rng))
    return net


def signals(net, x, dy_seed=0):
    """What enters each ReLU, and the gradients that come back there from a random one at the top."""
    layers, entering, gradients = list(net.train().layers.values())[:-1], [], []  # without the scores
    for layer in layers:
        if isinstance(layer, ReLU):
            entering.append(x)
        x = layer.forward(x)
    dy = np.random.default_rng(dy_seed).standard_normal(x.shape).astype(np.float32)
    for layer in reversed(layers):
        dy = layer.backward(dy)
        if isinstance(layer, ReLU):
            gradients.append(dy)
    return entering, gradients[::-1]


DEPTH = 20
figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.4))
last, growth = {}, []
for normalised, color in ((False, ORANGE), (True, BLUE)):
    for scale, style in ((0.5, ":"), (1.0, "-"), (2.0, "--")):
        entering, gradients = signals(mlp(DEPTH, normalised, scale), rows[:400])
        sizes = [float(np.sqrt((values.astype(np.float64) ** 2).mean())) for values in entering]
        back = [float(np.sqrt((values.astype(np.float64) ** 2).mean())) for values in gradients]
        last[normalised, scale] = sizes[-1]
        name = f"{'batch norm' if normalised else 'without'}, weights x {scale:g}"
        print(f"{name:<26} enters ReLU 1: {sizes[0]:8.2g}, ReLU {DEPTH}: {sizes[-1]:8.2g};", end=" ")
        print(f"gradient at ReLU {DEPTH}: {back[-1]:.2g}, at ReLU 1: {back[0]:8.2g}")
        if normalised:
            growth.append((back[0] / back[-1]) ** (1 / (DEPTH - 1)))
        depths = range(1, DEPTH + 1)
        left.semilogy(depths, sizes, style, color=color, label=name)
        right.semilogy(depths, back, style, color=color)
left.set(title="What enters each ReLU", xlabel="layer", ylabel="root mean square")
right.set(title="The gradient that comes back there", xlabel="layer")
figure.legend(*left.get_legend_handles_labels(), fontsize=8, loc="upper center", bbox_to_anchor=(0.5, 0.0), ncol=2)
save(figure, HERE, "signals")
without, with_norm = last[False, 2.0] / last[False, 0.5], last[True, 2.0] / last[True, 0.5]
print(f"weights four times as large make the signal at the top {without:.1e} times larger without, {with_norm:.4f} times with")
claim(
    "After twenty layers, four times larger weights change the signal a billionfold; with batch norm by less than 1 %.",
    f"{without:.1e} and {with_norm:.4f}",
    without > 1e9 and abs(with_norm - 1) < 0.01,
)
claim(
    "On its way down a deep stack of batch norms and ReLUs, the gradient grows by a tenth to a third in each layer.",
    f"{np.prod(growth) ** (1 / len(growth)):.2f} times a layer",
    all(1.1 < factor < 1.34 for factor in growth),
)

# %% [markdown]
# The second finding is not in most textbooks: with batch norm the signals are all of one size, but the *gradients* grow on
# their way down. (Theory has $\sqrt{\pi / (\pi - 1)} \approx 1.21$ a layer for wide layers and large batches: Yang et al.
# 2019.) Over twenty layers that is harmless. Over hundreds it is not, and residual shortcuts are what deep networks have
# against it.
#
# Ioffe and Szegedy gave another reason, and put it into their title: while a network learns, the inputs of its upper layers
# *drift*, because the layers below change, and each layer chases a moving target ("internal covariate shift"). We watch what
# enters the third ReLU through a few hundred steps of plain gradient descent, always for the same pictures.

# %%
STEPS, EVERY = (60, 10) if QUICK else (240, 10)


def drift(normalised, seed):
    """Every few steps the values that enter the third ReLU, (times, pictures, units), for the same 400 pictures."""
    net, loss, entering = mlp(4, normalised, seed=seed), SoftmaxCrossEntropy(), []
    optimizer, rng = SGD(net.parameters(), 0.1), np.random.default_rng(seed)
    for step in range(STEPS + 1):
        if step % EVERY == 0:
            entering.append(signals(net, rows[:400])[0][2])
        batch = rng.choice(len(rows), 64, replace=False)
        loss.forward(net.train().forward(rows[batch]), y[batch])
        net.backward(loss.backward())
        optimizer.step()
    return np.array(entering)


figure, axes = plt.subplots(1, 2, figsize=(9.5, 3), sharey=True)
wandered = {}
for ax, normalised, color in zip(axes, (False, True), (ORANGE, BLUE), strict=True):
    runs = [drift(normalised, seed) for seed in range(2)]
    # how far the mean of each unit has moved since the start, in its own standard deviations then
    moved = [np.abs(run.mean(axis=1) - run[0].mean(axis=0)) / run[0].std(axis=0) for run in runs]
    wandered[normalised] = float(np.mean([run[-1].mean() for run in moved]))
    unit = int(np.argsort(moved[0][-1])[len(moved[0][-1]) // 2])  # the one in the middle
    values = runs[0][:, :, unit] / runs[0][0, :, unit].std()
    steps = np.arange(len(values)) * EVERY
    low, middle, high = np.quantile(values, (0.15, 0.5, 0.85), axis=1)
    ax.fill_between(steps, low, high, color=color, alpha=0.25)
    ax.plot(steps, middle, color=color)
    ax.set(title="batch norm" if normalised else "without", xlabel="step")
    print(f"{'batch norm' if normalised else 'without':<10} the mean of a unit before ReLU 3 moves by", end=" ")
    print(f"{wandered[normalised]:.2f} of its standard deviation in {STEPS} steps")
axes[0].set_ylabel("value / its std at the start")
figure.suptitle("One unit before its ReLU while the network learns: median, and the middle 70 % of the pictures", y=1.02)
save(figure, HERE, "drift")
claim(
    "While a network learns, what enters its third ReLU wanders less with batch norm than without.",
    f"{wandered[True]:.2f} against {wandered[False]:.2f} standard deviations",
    wandered[True] < 0.7 * wandered[False],
)

# %% [markdown]
# So the drift is real, and batch norm holds it (by construction: the mean of what leaves it is $\beta$). But is that *why* it
# helps? Santurkar et al. (2018) put drift back in, random noise after every batch norm, and the network learned nearly as
# well. What they found instead: the loss becomes smoother, its gradient changes less from one step to the next, so that
# larger steps are safe. Keep the recipe, and be careful with the reason: a paper's title is a hypothesis.
#
# ## 2. The equation
#
# For each feature $d$ by itself, over the $N$ samples of the batch:
#
# $$\mu_d = \frac1N \sum_n x_{nd}, \qquad v_d = \frac1N \sum_n (x_{nd} - \mu_d)^2, \qquad
# \hat x_{nd} = \frac{x_{nd} - \mu_d}{\sqrt{v_d + \epsilon}}, \qquad y_{nd} = \gamma_d\, \hat x_{nd} + \beta_d .$$
#
# $\epsilon$ keeps the root away from zero where a feature is constant. $\gamma$ and $\beta$ are learned: a layer that needs
# another scale can have it ($\gamma = \sqrt{v + \epsilon}$ and $\beta = \mu$ would undo everything). What has changed is who
# decides: before, the mean of a feature was the result of all layers below; now it is a single number, $\beta$, of its own.
#
# > **A correction.** The slides say that this makes activations "unit Gaussian". It gives them mean 0 and variance 1. The
# > *shape* of their distribution stays exactly what it was, for every value is moved and stretched in the same way.

# %%
section("2. The equation")


def skewness(values):
    """The third moment, in standard deviations: 0 for a Gaussian."""
    return float((((values - values.mean()) / values.std()) ** 3).mean())


pixel = rows[:, 14 * 28 + 10 : 14 * 28 + 11].astype(np.float64)  # one pixel of all pictures, as a layer with one feature
layer = BatchNorm1d(1).astype(np.float64).train()
normal = layer.forward(pixel)
figure, axes = plt.subplots(1, 2, figsize=(7.5, 2.6))
for ax, name, values in ((axes[0], "before", pixel), (axes[1], "after", normal)):
    ax.hist(values.ravel(), 30, color=BLUE)
    title = f"{name}: mean {values.mean():.2f}, std {values.std():.2f},\nskewness {skewness(values):.2f}"
    ax.set(title=title, xlabel="value of the pixel", ylabel="pictures", yticks=[])
    print(f"{name:<7} mean {values.mean():6.3f}, std {values.std():.3f}, skewness {skewness(values):.3f} (a Gaussian has 0)")
save(figure, HERE, "not_gaussian")
layer.gamma.value[...], layer.beta.value[...] = np.sqrt(pixel.var() + layer.eps), pixel.mean()
difference = abs(layer.forward(pixel) - pixel).max()
print(f"with gamma = sqrt(v + eps) and beta = the mean, y differs from x by at most {difference:.0e}")

# %% [markdown]
# ## 3. Backward, step by step
#
# Draw the computation as a graph, and give each arrow back what belongs to it. This is the whole skill: where a value goes two
# ways, add what comes back; where it is shared by all samples, sum over the samples.
#
# Forward: $\;\mu = \frac1N\sum x,\;\; c = x - \mu,\;\; v = \frac1N \sum c^2,\;\; s = \sqrt{v + \epsilon},\;\; \hat x = c /
# s,\;\; y = \gamma \hat x + \beta$. Backward, with $dy = \partial L / \partial y$, and $d\cdot$ for the derivative of $L$ by
# anything else:
#
# | step | back | why |
# | --- | --- | --- |
# | $y = \gamma\hat x + \beta$ | $d\beta = \sum dy$, $d\gamma = \sum dy\,\hat x$, $d\hat x = \gamma\,dy$ | all share them |
# | $\hat x = c / s$ | $ds = -\sum d\hat x\, c / s^2$, and to $c$: $\;d\hat x / s$ | all share $s$ |
# | $s = \sqrt{v + \epsilon}$ | $dv = ds / (2 s) = -\frac12 (v + \epsilon)^{-3/2} \sum d\hat x\, c$ | |
# | $v = \frac1N\sum c^2$ | to $c$: $\;dv \cdot 2c / N$ | each $c$ is in the sum once |
# | $c$ goes two ways | $dc = d\hat x / s + 2 c\, dv / N$ | into $\hat x$ and into $v$ |
# | $c = x - \mu$ | $d\mu = -\sum dc$, and to $x$: $\;dc$ | all share $\mu$ |
# | $\mu = \frac1N \sum x$ | to $x$: $\;d\mu / N$ | |
# | $x$ goes two ways | $dx = dc + d\mu / N$ | into $c$ and into $\mu$ |
#
# Every one of these derivatives can be measured: compute the forward pass, nudge *one value on the way* by a little, let what
# follows from it follow, and see how $L$ moves. We do that for a batch of three numbers and $L = \sum dy\, y$, whose derivative
# by $y$ is $dy$. Take a pencil and follow the table.

# %%
section("3. Backward, step by step")
batch, gamma, beta, eps, dy = np.array([1.0, 2.0, 6.0]), 2.0, 1.0, 1e-5, np.array([1.0, -1.0, 2.0])


def forward_with(nudges):
    """All values on the way from x to L = sum of dy * y; to each value is added what ``nudges`` has under its name."""
    v = {}

    def put(name, value):
        v[name] = value + nudges.get(name, 0.0)

    put("x", batch)
    put("mean", v["x"].mean())
    put("c", v["x"] - v["mean"])
    put("v", (v["c"] ** 2).mean())
    put("s", np.sqrt(v["v"] + eps))
    put("xh", v["c"] / v["s"])
    put("gamma", gamma)
    put("beta", beta)
    put("y", v["gamma"] * v["xh"] + v["beta"])
    return v, (dy * v["y"]).sum()


def measured_gradient(name, h=1e-6):
    """dL by each entry of the value of this name, all that comes before it left as it is."""
    shape = np.shape(forward_with({})[0][name])
    steps = [h * e.reshape(shape) for e in np.eye(int(np.prod(shape)))]
    return np.array([(forward_with({name: e})[1] - forward_with({name: -e})[1]) / (2 * h) for e in steps])


def numbers(values):
    return "  ".join(f"{value:8.4f}" for value in np.ravel(values))


values, _ = forward_with({})
gradients = {name: measured_gradient(name) for name in values}
for name in ("y", "beta", "gamma", "xh", "s", "v", "c", "mean", "x"):
    print(f"{name:<6} value {numbers(values[name]):<30} measured d{name:<6} {numbers(gradients[name])}")
layer = BatchNorm1d(1, eps=eps).astype(np.float64).train()
layer.gamma.value[...], layer.beta.value[...] = gamma, beta
layer.forward(batch[:, None])
dx = layer.backward(dy[:, None]).ravel()
print(f"{'':<6} {'':<36} BatchNorm1d's dx {numbers(dx)}")

places = {"x": (0, 1), "mean": (1, 0), "c": (2, 1), "v": (3, 0), "s": (4, 0), "xh": (5, 1), "gamma": (6, 0), "y": (7, 1)}
arrows = [("x", "mean"), ("x", "c"), ("mean", "c"), ("c", "v"), ("c", "xh"), ("v", "s"), ("s", "xh")]
arrows += [("xh", "y"), ("gamma", "y")]
labels = {"mean": r"$\mu$", "v": "$v$", "s": "$s$", "xh": r"$\hat x$", "gamma": r"$\gamma$", "x": "$x$", "c": "$c$", "y": "$y$"}
figure, ax = plt.subplots(figsize=(11, 3.6))
for start, end in arrows:
    (x0, y0), (x1, y1) = places[start], places[end]
    ax.annotate("", (x1, y1), (x0, y0), arrowprops={"arrowstyle": "->", "color": BLUE, "shrinkA": 16, "shrinkB": 16})
    bend = {"arrowstyle": "->", "color": ORANGE, "ls": "--", "shrinkA": 16, "shrinkB": 16, "connectionstyle": "arc3,rad=0.25"}
    ax.annotate("", (x0, y0), (x1, y1), arrowprops=bend)
for name, (column, row) in places.items():
    ax.text(column, row, labels[name], ha="center", va="center", bbox={"boxstyle": "circle,pad=0.35", "fc": "white", "ec": INK})
    above = row == 1
    for k, (color, numbers_there) in enumerate(((BLUE, values[name]), (ORANGE, gradients[name]))):
        shown = ", ".join(f"{value:.2f}" for value in np.ravel(numbers_there))
        offset = (0.42 - 0.14 * k) if above else (-0.3 - 0.14 * k)
        ax.text(column, row + offset, shown, color=color, ha="center", fontsize=8)
ax.set(xlim=(-0.7, 7.7), ylim=(-0.6, 1.6))
ax.axis("off")
ax.set_title("A batch of three: values forward (blue), derivatives of L backward (orange)")
save(figure, HERE, "graph")

# %% [markdown]
# ## 4. Backward, in closed form
#
# Eight rows; now substitute them into each other. Since $c = s\,\hat x$, the variance's derivative is
# $dv = -\frac{1}{2 s^2} \sum d\hat x\,\hat x$, so that
#
# $$dc = \frac{d\hat x}{s} + \frac{2 c\, dv}{N} = \frac1s \Big( d\hat x - \hat x \cdot \frac1N \sum d\hat x\, \hat x \Big).$$
#
# Next $d\mu = -\sum dc = -\frac1s \sum d\hat x$, because the second part sums to zero: $\sum \hat x = 0$. (So the mean's way
# through the variance carries nothing. Whoever leaves it out gets the right answer.) With $d\hat x = \gamma\,dy$:
#
# $$\boxed{\; dx = \frac{\gamma}{s} \Big( dy - \overline{dy} - \hat x\; \overline{dy\,\hat x} \Big) \;}$$
#
# where the bars are means over the batch. Two sums and one line; and nothing of $x$ is needed but $\hat x$ and $s$. This is
# what `minicnn/layers/norm.py` does.
#
# Look at the bracket again. $\overline{dy}$ is the best constant to describe the numbers $dy$, and $\overline{dy\,\hat x}$
# the best slope along $\hat x$ (which has mean 0 and variance 1). The bracket is what a **straight line, fitted to $dy$
# against $\hat x$, leaves over**: the residuals of a linear regression. Batch norm takes from the gradient all that would
# shift or stretch the batch as a whole. Shifting and stretching is what it undoes anyway.

# %%
section("4. Backward, in closed form")
N = 40
column = rng.gamma(2.0, 1.5, (N, 1))
layer = BatchNorm1d(1, eps=1e-12).astype(np.float64).train()
xh = layer.forward(column).ravel()
upstream = 0.8 * xh + 0.5 + rng.standard_normal(N)
bracket = layer.backward(upstream[:, None].copy()).ravel() * np.sqrt(column.var() + layer.eps)  # dx s / gamma, gamma is 1
slope, constant = np.polyfit(xh, upstream, 1)
residuals = upstream - (constant + slope * xh)
difference = abs(bracket - residuals).max() / abs(residuals).max()
print(f"dx s / gamma against the residuals of a straight line: differ by at most {difference:.0e} of the largest")
figure, ax = plt.subplots(figsize=(5.6, 3.2))
ax.plot(xh, upstream, "o", ms=4, color=BLUE, label="dy")
line = np.array([xh.min(), xh.max()])
ax.plot(line, constant + slope * line, color=GREY, label="fitted line")
ax.vlines(xh, constant + slope * xh, upstream, color=ORANGE, lw=1, label=r"residual: $dx \cdot s / \gamma$")
ax.set(xlabel=r"$\hat x$", ylabel="dy", title="The gradient of batch norm is what a line leaves over")
ax.legend(fontsize=8)
save(figure, HERE, "residuals")
claim(
    "The gradient of batch norm is, up to a factor, what a straight line fitted to dy against the normalised x leaves over.",
    f"differs by {difference:.0e}",
    difference < 1e-8,
)

# %% [markdown]
# ### What the weights below feel
#
# Put a fully connected layer before it, $x = h w^T + b$.
#
# - **A bias there is useless.** It shifts all $x$ of a feature, and $\mu$ takes the shift away again. Its gradient is
#   $\sum dx = 0$. ($\beta$ does what the bias was for.) So layers before a batch norm have `bias=False`.
# - **The length of $w$ does not matter.** Twice the weights, twice $x$, twice $s$: the same $y$. So the gradient has no part
#   along $w$; it is *perpendicular* to it. Two things follow. A step of plain gradient descent can only make $w$ longer
#   (Pythagoras). And the gradient shrinks as $1/|w|$, so that what counts is the learning rate over $|w|^2$: too high a rate
#   makes long weights, and lowers itself. Weight decay, which shortens $w$, no longer makes the network simpler. It raises
#   the rate.

# %%
below = Sequential(fc=Linear(20, 8, rng=1), norm=BatchNorm1d(8)).astype(np.float64).train()
h, upstream = rng.standard_normal((64, 20)), rng.standard_normal((64, 8))
y_here = below.forward(h)
below.backward(upstream)
w, dw, db = below.layers["fc"].w.value, below.layers["fc"].w.grad, below.layers["fc"].b.grad
cosines = (w * dw).sum(axis=1) / np.linalg.norm(w, axis=1) / np.linalg.norm(dw, axis=1)
print(f"\ncosine of the angle between w and dw: at most {abs(cosines).max():.0e};  db: at most {abs(db).max():.0e},", end=" ")
print(f"beside dw of up to {abs(dw).max():.2f}")
below.layers["fc"].b.value[...] = 3.0
print(f"with a bias of 3 in place of 0, the outputs differ by at most {abs(below.forward(h) - y_here).max():.0e}")
claim(
    "Below a batch norm the gradient of the weights is perpendicular to them, and that of a bias is zero.",
    f"cosine {abs(cosines).max():.0e}, bias {abs(db).max():.0e}",
    abs(cosines).max() < 1e-3 and abs(db).max() < 1e-10 * abs(dw).max() * len(h),
)

for rate in (0.05, 0.5, 5.0):
    net, loss = mlp(2, normalised=True), SoftmaxCrossEntropy()
    optimizer, length = SGD(net.parameters(), rate), []
    for step in range(40):
        batch_of_step = slice(64 * step % (len(rows) - 64), 64 * step % (len(rows) - 64) + 64)
        length.append(float(np.linalg.norm(net.layers["fc1"].w.value)))
        loss.forward(net.train().forward(rows[batch_of_step]), y[batch_of_step])
        net.backward(loss.backward())
        optimizer.step()
    print(f"40 steps at rate {rate:<4g}: |w| of the first layer from {length[0]:.1f} to {length[-1]:.1f},", end=" ")
    print("longer at every step" if all(np.diff(length) > 0) else "not longer at every step")

# %% [markdown]
# ## 5. Sums that are constant, and the gradient check
#
# For a batch, $\sum_n y_n = N \beta$ and $\sum_n \hat x_n y_n = N\gamma$ (but for $\epsilon$), *whatever $x$ is*. So a loss
# that is just the sum of the outputs has a gradient of zero, and a check that uses it compares zero with zero. Lesson 2
# warned of that. Here is the table: a right backward pass and two with one term missing are checked with three upstream
# gradients $r$. (Up to now the upstream gradient was called $dy$; $r$ says that a check may choose it.)

# %%
section("5. Gradient checks that see nothing")
small = rng.standard_normal((6, 4))
ones, zeros = np.ones(4), np.zeros(4)


def normalise(x):
    return textbook.batch_norm_forward(x, ones, zeros, 1e-10)[0]


def faulty_backward(r, x, mean_term, variance_term):
    xh = normalise(x)
    return (r - mean_term * r.mean(axis=0) - variance_term * xh * (r * xh).mean(axis=0)) / x.std(axis=0)


def worst_difference(r, x, backward, h=1e-5):
    """Of backward(r, x) and the measured gradient of sum(r * y)."""
    measured = np.empty_like(x)
    for i in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[i] = h
        measured[i] = (r * (normalise(x + step) - normalise(x - step))).sum() / (2 * h)
    return float(abs(measured - backward).max())


found = {}
print(f"{'':<26}{'r = 1 everywhere':>18}{'r = normalised x':>18}{'r random':>18}")
for name, mean_term, variance_term in (("all terms", 1, 1), ("no term of the mean", 0, 1), ("no term of the variance", 1, 0)):
    kinds = {"ones": np.ones_like(small), "xh": normalise(small), "random": rng.standard_normal(small.shape)}
    for kind, r in kinds.items():
        found[name, kind] = worst_difference(r, small, faulty_backward(r, small, mean_term, variance_term))
    print(f"{name:<26}" + "".join(f"{found[name, kind]:>18.1e}" for kind in kinds))
claim(
    "With r = 1 a check does not see that the variance's term is missing, with r = xh the mean's; a random r sees both.",
    f"unseen {found['no term of the variance', 'ones']:.0e}, {found['no term of the mean', 'xh']:.0e}; "
    f"seen {found['no term of the variance', 'random']:.1f}, {found['no term of the mean', 'random']:.1f}",
    max(found["no term of the variance", "ones"], found["no term of the mean", "xh"]) < 1e-5
    and min(found["no term of the variance", "random"], found["no term of the mean", "random"]) > 1e-2,
)
report = check_layer(BatchNorm2d(3).astype(np.float64), rng.standard_normal((3, 3, 4, 5)))
print(f"minicnn.gradcheck on BatchNorm2d: {'right' if report.ok else 'WRONG'}, largest relative error {report.max_error:.0e}")

# %% [markdown]
# ## 6. Pictures: one mean for each channel
#
# A filter looks for the same thing at every pixel, so that all pixels of its map are samples of one quantity. They share one
# mean and one variance, one $\gamma$ and one $\beta$: sums run over $N$, $H$ and $W$, and everything that was $N$ in the
# equations becomes $M = N H W$. Nothing else changes.

# %%
section("6. Per channel")
maps = rng.standard_normal((4, 3, 6, 5)) * np.array([1.0, 5.0, 0.2])[:, None, None] + 1
flat = maps.transpose(0, 2, 3, 1).reshape(-1, 3)  # every pixel a sample, every channel a feature
as_maps, as_rows = BatchNorm2d(3).astype(np.float64).train(), BatchNorm1d(3).astype(np.float64).train()
difference = abs(as_maps.forward(maps).transpose(0, 2, 3, 1).reshape(-1, 3) - as_rows.forward(flat)).max()
print(f"BatchNorm2d on {maps.shape}: {len(flat)} values a channel; BatchNorm1d on {flat.shape} differs by {difference:.0e}")
print("of a batch of 32 maps of 14 x 14, a channel's mean is over 6,272 values; in a fully connected layer over 32")

# %% [markdown]
# (Other choices of axes have names of their own. Over the features of each sample: *layer norm*. Over the pixels of each
# picture and channel: *instance norm*. Over groups of channels of each picture: *group norm*. None of those mixes samples.
# They do not need a batch, and do the same in training and in inference.)
#
# ## 7. Training and inference: the running statistics
#
# In training, what becomes of a picture depends on its companions in the batch. In inference that will not do: a single
# picture must get an answer, and always the same. So the layer keeps *running averages* of the means and variances that it
# sees in training, and uses these in inference:
#
# $$\mu_{run} \leftarrow (1 - m)\,\mu_{run} + m\,\mu_{batch} \qquad\text{and}\qquad
#   v_{run} \leftarrow (1 - m)\,v_{run} + m\,\tfrac{N}{N-1}\,v_{batch}.$$
#
# > **Two conventions.** In minicnn, as in PyTorch, the momentum $m$ is the weight of the *new* batch, 0.1 by custom. In
# > Keras, Caffe and the lecture's code it is the weight of the *old* average, 0.9 to 0.999, that is $1 - m$. Take one for the
# > other, and the layer remembers little more than its last batch. (With the momentum of SGD, lesson 7, it has only the name in
# > common.)
#
# A momentum $m$ forgets half in $\log 0.5 / \log(1 - m)$ batches, and the running mean jitters by
# $\sqrt{m / (2 - m)}$ times as much as a single batch's mean does.

# %%
section("7. Running statistics")
figure, ax = plt.subplots(figsize=(6.5, 3.2))
true_mean, true_std, size = 3.0, 2.0, 32
for momentum, color in ((0.9, ORANGE), (0.1, BLUE), (0.01, GREEN)):
    layer, track, rng_here = BatchNorm1d(1, momentum=momentum).astype(np.float64).train(), [], np.random.default_rng(3)
    for _ in range(1200):
        layer.forward(rng_here.normal(true_mean, true_std, (size, 1)))
        track.append(float(layer.running_mean[0]))
    half = np.log(0.5) / np.log(1 - momentum)
    predicted = true_std / np.sqrt(size) * np.sqrt(momentum / (2 - momentum))
    print(f"momentum {momentum:<5g} (Keras, Caffe: {1 - momentum:g}) forgets half in {half:5.1f} batches;", end=" ")
    print(f"the mean jitters by {np.std(track[600:]):.3f} (predicted {predicted:.3f})")
    ax.plot(track[:200], color=color, lw=1, label=f"{momentum:g} (opposite convention: {1 - momentum:g})")
ax.axhline(true_mean, color=GREY, lw=0.8)
ax.set(xlabel="batches", ylabel="running mean", title="Running mean of a feature with mean 3, by momentum")
ax.legend(fontsize=8)
save(figure, HERE, "momentum")

# %% [markdown]
# Two classic faults come from here. **Forgetting `eval()`**: the answer to a picture then depends on its companions, and a
# single picture may get none (section 10). And **averages that have not arrived**: after a short training with a small momentum
# they still remember where they started, mean 0 and variance 1, and a network that trains perfectly well answers nonsense in
# inference. It looks like overfitting, and is not. The remedy needs no training: send some training batches through, in train
# mode, and average their statistics afresh.


# %%
def accuracy(scores, labels):
    return float((scores.argmax(axis=1) == labels).mean())


net, loss = mlp(6, normalised=True, momentum=0.01), SoftmaxCrossEntropy()
optimizer = SGD(net.parameters(), 0.05, momentum=0.9)
rng_here = np.random.default_rng(4)
for _ in range(45):
    batch_now = rng_here.choice(len(rows), 64, replace=False)
    loss.forward(net.train().forward(rows[batch_now]), y[batch_now])
    net.backward(loss.backward())
    optimizer.step()
before = accuracy(net.eval().forward(test_rows), test_y)
norms = [layer for _, layer in net.walk() if isinstance(layer, BatchNorm1d)]
for t in range(1, 21):
    for norm in norms:
        norm.momentum = 1 / t  # so the running average is the plain average of all batches until now
    net.train().forward(rows[rng_here.choice(len(rows), 64, replace=False)])
after = accuracy(net.eval().forward(test_rows), test_y)
with_batches = accuracy(copy.deepcopy(net).train().forward(test_rows), test_y)
print(f"\n45 steps with momentum 0.01: test accuracy {before:.1%}; the same weights, statistics averaged afresh: {after:.1%};")
print(f"    with the statistics of all test pictures as one batch, in train mode: {with_batches:.1%}")
claim(
    "Running statistics that have not arrived cost accuracy, which averaging them afresh gives back without any training.",
    f"{before:.1%}, then {after:.1%}",
    after > before + 0.02,
)

# %% [markdown]
# ## 8. Higher learning rates, and first weights of any size
#
# Now the promise. The same network, six hidden layers, trained for two epochs by plain gradient descent, over a range of
# learning rates (with MSRA's first weights), and over a range of sizes of the first weights (at one learning rate). How much
# higher may the rate be (left figure), and how wrong the first weights (right figure)? A bar below each curve shows where it
# is at three quarters of its best or above. (Far below the best rate, batch norm is no help.)

# %%
section("8. Learning rates and first weights")
EPOCHS, SEEDS = (1, 1) if QUICK else (2, 2)


def test_accuracy(net, rate, seed):
    """After some epochs of plain gradient descent; chance, if training broke down."""
    optimizer = SGD(net.parameters(), rate)
    trainer = Trainer(net, SoftmaxCrossEntropy(), optimizer, epochs=EPOCHS, batch_size=64, seed=seed, progress=False)
    try:
        trainer.fit(rows, y)
    except TrainingError:
        return 0.1
    scores = net.eval().forward(test_rows)
    return accuracy(scores, test_y) if np.isfinite(scores).all() else 0.1


rates = 10.0 ** np.arange(-3, 1.6, 0.5)
scales = 2.0 ** np.arange(-4, 4.5)
curves = {}
with tqdm(total=2 * SEEDS * (len(rates) + len(scales)), desc="training", unit=" networks", delay=2, leave=False) as bar:
    for normalised in (False, True):
        for kind, knob in (("rate", rates), ("scale", scales)):
            accuracies = np.empty((SEEDS, len(knob)))
            for seed, k in np.ndindex(accuracies.shape):
                rate, scale = (knob[k], 1.0) if kind == "rate" else (0.1, knob[k])
                accuracies[seed, k] = test_accuracy(mlp(6, normalised, scale, seed), rate, seed)
                bar.update()
            curves[normalised, kind] = accuracies.mean(axis=0)
figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.2), sharey=True)
usable = {}
for ax, kind, knob in ((axes[0], "rate", rates), (axes[1], "scale", scales)):
    for normalised, color in ((False, ORANGE), (True, BLUE)):
        curve = curves[normalised, kind]
        good = knob[curve > 0.75 * curve.max()]
        usable[normalised, kind] = good.min(), good.max()
        name = "batch norm" if normalised else "without"
        ax.semilogx(knob, curve, "o-", color=color, label=name)
        ax.plot([good.min(), good.max()], [0.02 + 0.04 * normalised] * 2, color=color, lw=4, solid_capstyle="butt")
        print(f"{kind:<6}{name:<11} " + "  ".join(f"{a:4.0%}" for a in curve), end="  ")
        print(f"three quarters of its best or more from {good.min():.3g} to {good.max():.3g}")
axes[0].set(xlabel="learning rate", ylabel="test accuracy", title="Learning rate (first weights: MSRA)")
axes[1].set(xlabel="first weights, times MSRA's", title="Size of the first weights (learning rate 0.1)")
axes[0].legend(fontsize=8)
save(figure, HERE, "rates_and_scales")
highest = usable[True, "rate"][1] / usable[False, "rate"][1]
wider = (usable[True, "scale"][1] / usable[True, "scale"][0]) / (usable[False, "scale"][1] / usable[False, "scale"][0])
print(f"with batch norm the highest such rate is {highest:.3g} times as high, the range of weights {wider:.3g} times as wide")
claim(
    "With batch norm the highest learning rate at which the network learns is at least five times as high as without.",
    f"{highest:.3g} times",
    highest > 5,
)
claim(
    "With batch norm the range of first weights from which the network learns is at least four times as wide.",
    f"{wider:.3g} times",
    wider >= 4,
)

# %% [markdown]
# ## 9. Noise, and its use
#
# The mean of a batch is the true mean plus a random error, which depends on who else is in the batch. So in training each
# picture's scores are a little random, like under dropout. How random? We take one trained network, put the same test
# pictures into batches with other companions each time, and measure by how much a picture's scores vary. The error of a mean
# of $N$ values falls as $1/\sqrt N$.

# %%
section("9. The noise of the batch")
net = mlp(3, normalised=True, seed=1)
optimizer = SGD(net.parameters(), 0.05, momentum=0.9)
Trainer(net, SoftmaxCrossEntropy(), optimizer, epochs=EPOCHS + 1, batch_size=64, progress=False).fit(rows, y)
batch_sizes, noise, pool = np.array([4, 8, 16, 32, 64]), [], test_rows[: len(test_rows) // 64 * 64]
spread = float(net.eval().forward(pool).std(axis=0).mean())
net.train()
for size in batch_sizes:
    scores = []
    for _ in range(6 if QUICK else 10):
        of_round = np.empty((len(pool), 10), np.float32)
        for members in rng.permutation(len(pool)).reshape(-1, size):
            of_round[members] = net.forward(pool[members])
        scores.append(of_round)
    noise.append(float(np.std(scores, axis=0, ddof=1).mean()))
    print(f"batches of {size:>3}: a picture's scores vary by {noise[-1] / spread:.0%} of what pictures differ by")
slope = float(np.polyfit(np.log(batch_sizes[2:]), np.log(noise[2:]), 1)[0])  # below, it is near its largest
print(f"from batches of {batch_sizes[2]} on, noise ~ N^{slope:.2f}")
claim(
    "The noise that its companions put into a picture's scores falls about as one over the root of the batch size.",
    f"as N to the power {slope:.2f}",
    -0.65 < slope < -0.35,
)

# %% [markdown]
# Noise in training that is averaged out in inference is a regulariser: the network cannot rely on a picture's exact values.
# To see it alone, one must not change the batch size itself, which would change the number and the noise of the *steps* as
# well. So each gradient is of 128 pictures always, computed in parts (`Trainer(accumulate=...)`), and batch norm sees the
# parts: groups of 128, 32, 8, 4 or 2. (Hoffer et al. 2017 call it *ghost batch norm*.) There are only 512 pictures, so that
# there is something to overfit.

# %%
few_rows, few_y = rows[:512], y[:512]
GROUPS, LONG, RUNS = (128, 32, 8, 4, 2), 8 if QUICK else 30, 1 if QUICK else 2
by_group = {}
start = time.perf_counter()
for group in GROUPS:
    results = []
    for seed in range(RUNS):
        net = mlp(3, normalised=True, seed=seed)
        optimizer = SGD(net.parameters(), 0.05, momentum=0.9)
        settings = {"epochs": LONG, "batch_size": 128, "accumulate": 128 // group, "seed": seed, "progress": False}
        trainer = Trainer(net, SoftmaxCrossEntropy(), optimizer, **settings)
        last_epoch = trainer.fit(few_rows, few_y).epochs[-1]
        train_loss, _ = trainer.evaluate(few_rows, few_y)
        test_loss, right = trainer.evaluate(test_rows, test_y)
        results.append((last_epoch["loss"], train_loss, test_loss, right))
    by_group[group] = np.mean(results, axis=0)
    noisy, train_loss, test_loss, right = by_group[group]
    print(f"groups of {group:>3}: loss in training {noisy:.3f}, the same pictures in inference {train_loss:.3f};", end=" ")
    print(f"test loss {test_loss:.3f}, test accuracy {right:.1%} ({time.perf_counter() - start:.0f} s)")
figure, axes = plt.subplots(1, 2, figsize=(9.5, 3))
table = np.array([by_group[group] for group in GROUPS])
for k, (name, color) in enumerate((("training, noisy", ORANGE), ("training pictures, inference", GREY), ("test", BLUE))):
    axes[0].loglog(GROUPS, table[:, k], "o-", color=color, label=name)
axes[1].semilogx(GROUPS, table[:, 3], "o-", color=BLUE)
for ax, name in zip(axes, ("loss", "test accuracy"), strict=True):
    ax.set(xlabel="samples that share their statistics", ylabel=name, xticks=GROUPS, xticklabels=GROUPS)
    ax.minorticks_off()
axes[0].legend(fontsize=8)
figure.suptitle(f"{LONG} epochs on 512 pictures, always 128 a step", y=1.0)
save(figure, HERE, "noise_regularises")
claim(
    "The fewer samples share their statistics, the higher the loss in training: groups of 4 against groups of 128.",
    f"{by_group[4][0]:.3f} against {by_group[128][0]:.3f}",
    by_group[4][0] > 1.5 * by_group[128][0],
)
gaps = {group: by_group[group][2] - by_group[group][1] for group in GROUPS}
claim(
    "And the smaller the gap between the losses of test and training pictures, both in inference.",
    f"a gap of {gaps[4]:.2f} with groups of 4, {gaps[128]:.2f} with groups of 128",
    gaps[4] < gaps[128],
)

# %% [markdown]
# The gap closes: the noise keeps the training pictures from being learned by heart. That alone is no gain, for a network that
# has learned nothing has no gap either. Whether it *helps* is for the test loss to say. On Fashion-MNIST groups of 8 and of 4
# lower it; on digits of a font they do not. The accuracy gains less, if anything, and with groups of 2 it falls. Batch norm is
# a weak regulariser: take it as a gift, and use dropout, augmentation or weight decay where you need a strong one.
#
# ## 10. Too small a batch
#
# A little noise regularises. A lot of it destroys. The extreme cases can be worked out: with **two** samples, $\hat x$ is
# $+1$ for the larger and $-1$ for the smaller of the two, and all that is left of a feature is which of them had more of it.
# With **one**, $x = \mu$ and $y = \beta$: nothing of the picture gets through, and `minicnn` refuses. (In a convolutional
# layer a single picture still has $H W$ values a channel, and small batches are bearable. In fully connected layers they are
# not.)

# %%
section("10. Too small a batch")
pair = BatchNorm1d(100).train().forward(rng.standard_normal((2, 100)).astype(np.float32) * 10)
kept = np.mean(abs(pair) > 0.99)
print(
    f"a batch of two: |y| is between {abs(pair).min():.3f} and {abs(pair).max():.3f}, above 0.99 for {kept:.0%} of the features"
)
claim(
    "In a batch of two, batch norm keeps of a feature only which of the two samples has more of it.",
    f"|y| > 0.99 for {kept:.0%}",
    kept > 0.95,
)
try:
    BatchNorm1d(100).train().forward(rows[:1, :100])
except ValueError as error:
    print(f"a batch of one: {error}")

# %% [markdown]
# What to do when memory allows only a few pictures at a time: freeze the statistics (the next section); or group norm, which
# does not look across samples. Adding up gradients of several small batches does *not* help: the statistics are still those
# of the small ones.
#
# ## 11. Frozen, for fine-tuning
#
# You take a network that others trained, and train on with your own few pictures. Its running statistics are averages over a
# million pictures, and the layers above are used to them. Those of your batches of eight are much rougher. So batch
# norm layers are usually **frozen**, and minicnn's rule for that is:
#
# > *A frozen batch norm (neither gamma nor beta trainable) uses and keeps its running statistics, in train mode as well, and
# > its gradient in that mode is exact.*
#
# The statistics are constants then, the two terms that came through them are gone, and $dx = dy\,\gamma / \sqrt{v_{run} +
# \epsilon}$. In other libraries "frozen" may mean less: in PyTorch, `requires_grad = False` keeps gamma and beta but lets the
# running statistics move with your data, and only `eval()` on the layer stops that.

# %%
section("11. Frozen")


def small_net(norm="batch", classes=10, seed=0, first=1.0):
    """Two convolutions with stride 2, and a classifier. ``norm``: "batch" (before each ReLU), "response" (after it) or None."""
    rng, net = np.random.default_rng(seed), Sequential()

    def initializer(shape, rng, dtype):
        return (first * msra(shape, rng, dtype)).astype(dtype)

    for i, (inputs, filters, kernel) in enumerate(((1, 8, 5), (8, 16, 3)), start=1):
        conv = Conv2d(
            inputs, filters, kernel, stride=2, pad=kernel // 2, bias=norm != "batch", initializer=initializer, rng=rng
        )
        net.append(f"conv{i}", conv)
        if norm == "batch":
            net.append(f"norm{i}", BatchNorm2d(filters))
        net.append(f"relu{i}", ReLU())
        if norm == "response":
            net.append(f"norm{i}", LocalResponseNorm(5, alpha=1.0, beta=0.75, k=1.0))
    net.append("flatten", Flatten())
    net.append("scores", Linear(16 * 7 * 7, classes, rng=rng))
    return net


def arrays_of(net):
    return {name: p.value.copy() for name, p in net.parameters().items()} | {k: v.copy() for k, v in net.state().items()}


first_five, last_five = y < 5, (y >= 5).nonzero()[0]
pretrained = small_net(classes=5)
optimizer = SGD(pretrained.parameters(), 0.05, momentum=0.9)
trainer = Trainer(pretrained, SoftmaxCrossEntropy(), optimizer, epochs=EPOCHS + 1, batch_size=32, progress=False)
trainer.fit(x[first_five], y[first_five])
_, right = trainer.evaluate(test_x[test_y < 5], test_y[test_y < 5])
print(f"trained on the first five classes: {right:.1%} of their test pictures are right")

SHOTS, TUNE_SEEDS = 12, 1 if QUICK else 3
tuned = {}
for how in ("batch norms trained", "batch norms frozen"):
    accuracies = []
    for seed in range(TUNE_SEEDS):
        shuffled = np.random.default_rng(seed).permutation(last_five)
        few = np.concatenate([shuffled[y[shuffled] == k][:SHOTS] for k in range(5, 10)])
        net = copy.deepcopy(pretrained)
        net.layers["scores"] = Linear(16 * 7 * 7, 5, rng=seed)
        for name in ("norm1", "norm2"):
            if how == "batch norms frozen":
                net.layers[name].freeze()
        before = arrays_of(net)
        optimizer = SGD(net.parameters(), 0.01, momentum=0.9)
        trainer = Trainer(net, SoftmaxCrossEntropy(), optimizer, epochs=12, batch_size=4, seed=seed, progress=False)
        trainer.fit(x[few], y[few] - 5)
        changed = [name for name, value in arrays_of(net).items() if not np.array_equal(value, before[name])]
        accuracies.append(trainer.evaluate(test_x[test_y >= 5], test_y[test_y >= 5] - 5)[1])
    in_training = net.train().forward(test_x[:64])
    in_inference = net.eval().forward(test_x[:64])
    gap = float(abs(in_training - in_inference).max())
    of_norms = sorted(name for name in changed if name.startswith("norm"))
    tuned[how] = np.mean(accuracies), gap, of_norms
    print(f"{how:<20} on {len(few)} pictures of the other five, batches of 4: {np.mean(accuracies):.1%} right;", end=" ")
    print(f"arrays of norms that changed: {', '.join(of_norms) or 'none'};")
    print(f"{'':<20} scores in train mode and in eval mode differ by up to {gap:.2g}")
_, gap, of_norms = tuned["batch norms frozen"]
claim(
    "With frozen batch norms the scores are the same in train mode and in eval mode, and their arrays are kept, to the bit.",
    f"differs by {gap:g}, {len(of_norms)} arrays changed",
    gap == 0 and not of_norms,
)
frozen = BatchNorm2d(3).astype(np.float64).freeze()
frozen.running_mean[...], frozen.running_var[...] = rng.standard_normal(3), rng.uniform(0.5, 2, 3)
report = check_layer(Sequential(conv=Conv2d(2, 3, 3, rng=1), norm=frozen).astype(np.float64), rng.standard_normal((3, 2, 5, 4)))
print(f"gradient check of a convolution below a frozen batch norm, in train mode: {'right' if report.ok else 'WRONG'}")

# %% [markdown]
# Which of the two is more accurate depends on the pictures: here the new classes are much like the old ones, and a batch of
# four maps still has hundreds of values a channel, so that training the batch norms does little harm. Look at the other line:
# the network that was trained in train mode is *another function* in eval mode. With frozen batch norms there is one function
# only, and what you train is what you will use. The smaller the batches and the deeper the network, the more that is worth.
#
# ## 12. Folded away
#
# In inference batch norm multiplies each channel by a number and adds another. A convolution before it can do that itself:
#
# $$\gamma\,\frac{(w * x + b) - \mu}{\sqrt{v + \epsilon}} + \beta = w' * x + b', \qquad
#   w' = \frac{\gamma}{\sqrt{v + \epsilon}}\, w, \qquad b' = \frac{\gamma}{\sqrt{v + \epsilon}} (b - \mu) + \beta .$$
#
# So a network with batch norms costs nothing extra in inference. `minicnn.inference.fuse` makes such a copy, and takes the
# ReLU in as well; a fused layer has the name of the last of those that went into it. That is why published networks sometimes
# have no batch norms in them, and biases where you expected none.

# %%
section("12. Folded")
fused = fuse(pretrained)
scores, fused_scores = pretrained.eval().forward(test_x), fused.forward(test_x)
difference = float(abs(scores - fused_scores).max() / abs(scores).max())
print(f"layers: {', '.join(pretrained.layers)}  ->  {', '.join(fused.children())}")
print(f"scores differ by {difference:.0e} of the largest")
claim(
    "Folding batch norm into the convolutions changes the scores by rounding only.",
    f"{difference:.0e} of the largest score",
    difference < 1e-4,
)

# %% [markdown]
# ## 13. Its predecessor: local response normalisation
#
# AlexNet (2012) had another kind. At each pixel, a response is divided by what goes on in the channels beside it:
#
# $$y_c = x_c \Big/ \Big( k + \frac{\alpha}{n} \sum_{m = c - h}^{c + h} x_m^2 \Big)^{\beta}, \qquad h = \lfloor n/2 \rfloor .$$
#
# The idea is from neurons that inhibit their neighbours. (The paper writes $\alpha$, not $\alpha / n$; Caffe, PyTorch, ONNX
# and minicnn divide, so the paper's $10^{-4}$ is our $5 \cdot 10^{-4}$.) It needs no batch, no running statistics, has no
# parameters, and is the same in training and inference. But it does not do what batch norm does: it does not take away a
# shift, and it *depends on how large the signals are*: with AlexNet's constants, responses around 1 are divided by
# $k^\beta = 2^{0.75}$ and hardly anything else happens to them. At the end we train the same small network without
# normalisation, with local response norm and with batch norm, from MSRA's first weights and from far smaller ones.

# %%
section("13. Local response normalisation")
signal = np.maximum(rng.standard_normal((16, 12, 6, 6)), 0)
alexnet = LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)
norm = BatchNorm2d(12).astype(np.float64).train()
once, ten_times = norm.forward(signal), norm.forward(10 * signal)
batch_change = float(abs(ten_times - once).max() / abs(once).max())
figure, ax = plt.subplots(figsize=(5.8, 3.2))
strengths = np.logspace(-1, 3, 60)
for factor, color in ((0.0, BLUE), (1.0, GREEN), (3.0, ORANGE)):
    response = []
    for strength in strengths:
        channels = np.full((1, 5, 1, 1), factor * strength)
        channels[0, 2] = strength
        response.append(float(alexnet.forward(channels)[0, 2, 0, 0]))
    ax.loglog(strengths, response, color=color, label=f"neighbours {factor:g} times as strong")
ax.loglog(strengths, strengths / 2**0.75, ":", color=GREY, label="x / k^beta: no normalisation at all")
ax.set(xlabel="x in the channel", ylabel="y", title="Local response normalisation, AlexNet's constants")
ax.legend(fontsize=7)
save(figure, HERE, "local_response")
ratios = {}
for size in (1.0, 10.0, 100.0):
    ratios[size] = (alexnet.forward(size * signal)[signal > 0] / (size * signal[signal > 0])) * 2.0**0.75  # 1 if weak
    print(f"responses of size {size:>5g}: local response norm weakens them by {1 - ratios[size].mean():.1%} on average")
response_change = float(1 - (ratios[100.0] / ratios[1.0]).min())
claim(
    "Signals ten times as large leave the output of batch norm as it is; local response norm weakens large ones more.",
    f"batch norm {batch_change:.0e}; local response norm weakens responses of 100 by up to {response_change:.0%} more",
    batch_change < 1e-3 and response_change > 0.1,
)
for name, first in (("first weights: MSRA", 1.0), ("first weights: MSRA / 30", 1 / 30)):
    for norm in (None, "response", "batch"):
        net = small_net(norm, first=first)
        optimizer = SGD(net.parameters(), 0.02, momentum=0.9)
        trainer = Trainer(net, SoftmaxCrossEntropy(), optimizer, epochs=EPOCHS, batch_size=32, progress=False)
        record = trainer.fit(x, y).epochs[-1]
        _, right = trainer.evaluate(test_x, test_y)
        kind = {None: "no normalisation", "response": "local response norm", "batch": "batch norm"}[norm]
        print(f"{name:<26} {kind:<20} training loss {record['loss']:.3f}, test accuracy {right:.1%}")

# %% [markdown]
# ## What this lesson claims
#
# Each of these was measured above; what came out is printed below.
#
# - After twenty layers, four times larger weights change the signal a billionfold; with batch norm by less than 1 %.
# - On its way down a deep stack of batch norms and ReLUs, the gradient grows by a tenth to a third in each layer.
# - While a network learns, what enters its third ReLU wanders less with batch norm than without.
# - The gradient of batch norm is, up to a factor, what a straight line fitted to dy against the normalised x leaves over.
# - Below a batch norm the gradient of the weights is perpendicular to them, and that of a bias is zero.
# - With r = 1 a check does not see that the variance's term is missing, with r = xh the mean's; a random r sees both.
# - Running statistics that have not arrived cost accuracy, which averaging them afresh gives back without any training.
# - With batch norm the highest learning rate at which the network learns is at least five times as high as without.
# - With batch norm the range of first weights from which the network learns is at least four times as wide.
# - The noise that its companions put into a picture's scores falls about as one over the root of the batch size.
# - The fewer samples share their statistics, the higher the loss in training: groups of 4 against groups of 128.
# - And the smaller the gap between the losses of test and training pictures, both in inference.
# - In a batch of two, batch norm keeps of a feature only which of the two samples has more of it.
# - With frozen batch norms the scores are the same in train mode and in eval mode, and their arrays are kept, to the bit.
# - Folding batch norm into the convolutions changes the scores by rounding only.
# - Signals ten times as large leave the output of batch norm as it is; local response norm weakens large ones more.

# %%
print_claims()

# %% [markdown]
# ## Questions
#
# 1. Somebody trains with momentum 0.9, copied from a Keras program, and validation accuracy jumps up and down from epoch to
#    epoch, while the training loss falls smoothly. Why?
#
# <details><summary>Answer</summary>
#
# In minicnn 0.9 is the weight of the new batch, so that the running statistics are little more than those of the last batch
# of the epoch, which is another one each time. In training they are not used, and nothing shows. The setting that was meant
# is 0.1.
#
# </details>
#
# 2. In training with batch statistics, $dx$ of the whole batch sums to zero for each feature. In inference it does not. Which
#    of the two terms makes the difference, and what happens to the gradient of a bias below a *frozen* batch norm?
#
# <details><summary>Answer</summary>
#
# The term of the mean: $\sum (dy - \overline{dy}) = 0$, and $\sum \hat x = 0$. A frozen batch norm subtracts a constant,
# which does not follow the bias: so it shifts $y$, and has a gradient.
#
# </details>
#
# 3. You multiply the weights of a convolution below a batch norm by 10, and do not touch the learning rate. What does the
#    network compute now, and how does it go on learning?
#
# <details><summary>Answer</summary>
#
# In training mode it computes the same: the standard deviation is ten times as large, and divides it out again (in inference
# not before the running statistics have followed). The gradient of $w$ is a tenth as large, and $w$ ten times as long, so
# that a step turns $w$ by a hundredth of the angle. It learns as if its learning rate were 100 times smaller.
#
# </details>
#
# ## Further reading
#
# - Ioffe, Szegedy 2015, "Batch Normalization: Accelerating Deep Network Training by Reducing Internal Covariate Shift", arXiv
#   1502.03167: section 3 (algorithm 1 and its gradients), 3.1 (inference), 3.2 (convolutions), 3.3 (learning rates), 3.4
#   (noise).
# - Santurkar, Tsipras, Ilyas, Madry 2018, "How Does Batch Normalization Help Optimization?", arXiv 1805.11604: from section 2
#   on.
# - Yang, Pennington, Rao, Sohl-Dickstein, Schoenholz 2019, "A Mean Field Theory of Batch Normalization", arXiv 1902.08129:
#   section 1, on gradients that grow.
# - van Laarhoven 2017, "L2 Regularization versus Batch and Weight Normalization", arXiv 1706.05350: weight decay as a
#   learning rate.
# - Hoffer, Hubara, Soudry 2017, "Train longer, generalize better", arXiv 1705.08741: algorithm 1, ghost batch norm.
# - Wu, He 2018, "Group Normalization", arXiv 1803.08494: section 1 and figure 1, on small batches.
# - Krizhevsky, Sutskever, Hinton 2012, "ImageNet Classification with Deep Convolutional Neural Networks": section 3.3.
#
# ## Next
#
# The exercise: seven tasks in `exercise.py`, batch norm forward, backward twice, frozen, for pictures, folded, and local
# response normalisation; judged by
#
#     minicnn check 5
#
# Then lesson 6. And whenever a network behaves differently in training and in inference, look at its batch norms first.

# %%
print("\nnow you: lessons/05_batch_normalisation/exercise.py, then minicnn check 5")
