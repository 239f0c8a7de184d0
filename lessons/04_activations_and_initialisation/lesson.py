# %% [markdown]
# # Lesson 4. Activations, initialisation, vanishing gradients
#
# Between two layers of weights stands a function of a single number, and without it the two layers would be one. Which function
# it is, and how large the weights are before the first step, decides whether a deep network learns at all. Both decisions work
# through the same thing: a product of many factors, one for each layer, which must be neither much smaller than 1 nor much
# larger.
#
# **Before**: lesson 2 ($dx = J^T dy$, layer by layer); mean, variance, and that the variance of a sum of independent numbers is
# the sum of their variances; eigenvalues and eigenvectors of a symmetric matrix, for sections 2 and 7.
#
# **After**: you can choose an activation and say what it costs; derive how large weights must start for any activation; find
# dead units, saturation and vanishing gradients by measuring them; and prepare inputs so that gradient descent is quick.
#
# Run it (`python lessons/04_activations_and_initialisation/lesson.py`), or open it as a notebook. The numbers are all measured
# as it runs, and the figures go to `out/` beside it.

# %%
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

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
    picture_grid,
    print_claims,
    save,
    section,
)
from minicnn.data import PCA, ZCA, Standardization, load_mnist
from minicnn.initializers import fans, msra, normal, xavier
from minicnn.layers import ELU, GELU, Conv2d, LeakyReLU, Linear, Maxout, ReLU, ReLU6, Residual, Sequential, Sigmoid, Tanh
from minicnn.losses import MeanSquaredError, SoftmaxCrossEntropy
from minicnn.models.activations import activations
from minicnn.optim import SGD
from minicnn.training import Trainer
from minicnn.training.watching import watched
from minicnn.viz import initialization_figure
from minicnn.viz.initialization import STARTS, activations_through_depth

HERE = Path(globals().get("__file__", "lesson.py")).resolve().parent
rng = np.random.default_rng(4)

section("The digits of this lesson")
n_train, n_test = (1500, 500) if QUICK else (4000, 1000)
folder = find_data("mnist")
if folder:
    pictures, labels = load_mnist(folder)[:2]
    print(f"real digits: MNIST, from {folder.name}/ in the data folder")
else:
    pictures, labels = drawn_digits(n_train + n_test, rng)
    print("there is no MNIST here (the four files, in mnist/ in the folder that MINICNN_DATA names): using digits of a font")
pictures, labels = pictures[: n_train + n_test], labels[: n_train + n_test]
pixels = (pictures.reshape(len(pictures), -1) / 255).astype(np.float32)
inputs = (pixels - pixels[:n_train].mean()) / pixels[:n_train].std()
x_train, y_train, x_test, y_test = inputs[:n_train], labels[:n_train], inputs[n_train:], labels[n_train:]
print(f"{n_train} of them to train on, {n_test} to test")

# %% [markdown]
# ## 1. Eight activations
#
# Two linear layers in a row are one: $w_2 (w_1 x) = (w_2 w_1) x$. What stands between them must bend. Backward, an activation
# multiplies by its slope, $dx = dy\, f'(x)$, so the slope matters as much as the function.
#
# | | $y$ | slope | |
# | --- | --- | --- | --- |
# | sigmoid | $1/(1+e^{-x})$ | $y(1-y)$ | between 0 and 1; the classic |
# | tanh | $\tanh x = 2\sigma(2x) - 1$ | $1-y^2$ | the same curve, centred, four times as steep |
# | ReLU | $\max(0, x)$ | 0 or 1 | cheap; the usual choice |
# | leaky ReLU | $x$ or $ax$ | $a$ or 1 | never quite silent |
# | ELU | $x$ or $\alpha(e^x-1)$ | 1 or $y + \alpha$ | smooth for $\alpha = 1$; goes to $-\alpha$ |
# | GELU | $x\,\Phi(x)$ | $\Phi(x) + x\,\varphi(x)$ | a smooth ReLU, the choice of many transformers |
# | ReLU6 | $\min(\max(0, x), 6)$ | 0 or 1 | bounded, for the 8-bit arithmetic of phones |
# | maxout | $\max_k (w_k x + b_k)$ | $w_k$ of the winner | learns its own shape, for $K$ times the weights |
#
# ($\sigma$ is the sigmoid; $\Phi$ and $\varphi$ are the distribution function and the density of a standard normal number. The
# engine's GELU approximates $\Phi$ by a tanh, and $y$ is off by 0.0005 at most.) Where the slope is nearly 0, we say that the
# unit is **saturated**: it hardly passes on a gradient, whatever comes from above.
#
# We do not trust the table, and ask the layers: `forward(x)` is the curve, and `backward` of ones is the slope.

# %%
section("1. Eight activations")
lines = Linear(1, 3)
lines.w.value[:, 0], lines.b.value[:] = (-0.6, 0.2, 1.2), (-1.5, 0.3, -1.5)
EIGHT = {
    "sigmoid": Sigmoid(),
    "tanh": Tanh(),
    "ReLU": ReLU(),
    "leaky ReLU, 0.1": LeakyReLU(0.1),
    "ELU": ELU(),
    "GELU": GELU(),
    "ReLU6": ReLU6(),
    "maxout of 3 lines": Sequential(lines=lines, maxout=Maxout(3)).astype(np.float64),
}


def curve(layer, x):
    """y and dy/dx at each x."""
    y = layer.train().forward(x[:, None])
    return y[:, 0], layer.backward(np.ones_like(y))[:, 0]


x = np.linspace(-8, 8, 1601)
z = rng.standard_normal(20_000)
print(f"{'':<20}{'largest slope':>14}{'mean output':>16}{'|slope| < 0.01 for inputs of std':>36}")
print(f"{'':<20}{'':>14}{'(inputs std 1)':>16}{'1':>20}{'4':>8}{'16':>8}")
largest_slope = {}
figure, axes = plt.subplots(2, 4, figsize=(10, 4.6), sharex=True)
for ax, (name, layer) in zip(axes.flat, EIGHT.items(), strict=True):
    y, slope = curve(layer, x)
    largest_slope[name] = slope.max()
    flat = [(np.abs(curve(layer, size * z)[1]) < 0.01).mean() for size in (1, 4, 16)]
    shares = f"{flat[0]:>20.0%}{flat[1]:>8.0%}{flat[2]:>8.0%}"
    print(f"{name:<20}{largest_slope[name]:>14.3f}{curve(layer, z)[0].mean():>16.2f}{shares}")
    ax.plot(x, y, color=BLUE, label="y")
    ax.plot(x, slope, color=ORANGE, lw=1.2, ls="--", label="slope")
    ax.axhline(0, color=GREY, lw=0.6)
    ax.set(title=name, ylim=(-1.3, 2.3) if "6" not in name else (-1.3, 7))
axes[0, 0].legend(loc="upper left", fontsize=8)
figure.tight_layout()
save(figure, HERE, "activations")
claim(
    "A sigmoid passes on a quarter of a gradient at best.",
    f"largest slope {largest_slope['sigmoid']:.3f}",
    largest_slope["sigmoid"] < 0.2501,
)

# %% [markdown]
# ## 2. Outputs that are not centred
#
# The sigmoid has a second fault. Its outputs are all positive, and they are the inputs of the next layer. There a unit's
# gradient for one sample is $dw = dy\, x$: a number times the inputs. If all inputs are positive, **all entries of $dw$ have
# the sign of $dy$**, so that each sample moves all weights of a unit up together or down together. To turn one up and another
# down, they must zigzag. ReLU's outputs are never negative either.
#
# The same in terms of the loss surface. Let the loss of a linear unit be half the squared error. Its matrix of second
# derivatives, the **curvature**, is $H = \mathrm{E}[x x^T]$: the covariance of the inputs *plus* $m m^T$, where $m$ is their
# mean. Its eigenvectors are directions among the weights, and its eigenvalues say how steep the loss becomes along them. A mean
# that is far from 0 adds one direction that is much steeper than all others. The learning rate must be small enough for that
# one, and is too small for the others. We measure the largest eigenvalue over the mean of all of them, for the outputs as they
# are, and for the same outputs with their mean subtracted.

# %%
section("2. Outputs that are not centred")
behind = Linear(784, 100, initializer=xavier, rng=1).forward(x_test)  # what enters a hidden layer's activation
print(f"{'':<12}{'mean output':>12}{'samples of one sign':>21}{'largest eigenvalue / mean of all':>34}{'centred':>10}")
steepness = {}
for name in ("sigmoid", "tanh", "ReLU", "ELU", "GELU"):
    h = EIGHT[name].eval().forward(behind).astype(np.float64)
    one_sign = ((h >= 0).all(axis=1) | (h <= 0).all(axis=1)).mean()
    centred = h - h.mean(axis=0)
    curvatures, without_mean = (np.linalg.eigvalsh(a.T @ a / len(a)) for a in (h, centred))
    steepness[name] = curvatures[-1] / curvatures.mean()
    ratio = without_mean[-1] / without_mean.mean()
    print(f"{name:<12}{h.mean():>12.2f}{one_sign:>21.0%}{steepness[name]:>34.1f}{ratio:>10.1f}")
claim(
    "Above sigmoids, the loss of a linear layer is more than twice as lopsided as above tanh: one direction is far steeper "
    "than the rest.",
    f"steepest direction over the mean: sigmoid {steepness['sigmoid']:.0f}, tanh {steepness['tanh']:.0f}",
    steepness["sigmoid"] > 2 * steepness["tanh"],
)


def descent(x, t, start, far=0.01, most=400):
    """Gradient descent for w x = t by least squares, at the best constant rate; ends within `far` of the way to the minimum."""
    H, best = x.T @ x / len(x), np.linalg.lstsq(x, t, rcond=None)[0]
    curvatures = np.linalg.eigvalsh(H)
    rate, path = 2 / (curvatures[0] + curvatures[-1]), [start]
    while np.linalg.norm(path[-1] - best) > far * np.linalg.norm(start - best) and len(path) < most:
        path.append(path[-1] - rate * H @ (path[-1] - best))
    return np.array(path), H, best


cloud, wanted = np.random.default_rng(1).standard_normal((300, 2)), np.array([1.5, -1.0])
figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True)
steps = {}
clouds = {"inputs around (2.5, 2.5)": cloud + 2.5, "the same, centred": cloud}
for ax, (title, points) in zip(axes, clouds.items(), strict=True):
    path, H, best = descent(points, points @ wanted, np.array([0.0, -1.7]))
    steps[title] = len(path) - 1
    grid = np.stack(np.meshgrid(np.linspace(-0.6, 2.6, 80), np.linspace(-2, 1.5, 80)), axis=-1) - best
    loss = 0.5 * np.einsum("...i,ij,...j", grid, H, grid)
    ax.contour(grid[..., 0] + best[0], grid[..., 1] + best[1], np.log10(loss + 1e-3), 12, colors=GREY, linewidths=0.5)
    ax.plot(*path.T, "o-", color=ORANGE, ms=3, lw=1)
    ax.plot(*best, "*", color=INK, ms=9)
    ax.set(title=f"{title}: {steps[title]} steps", xlabel="first weight")
    print(f"two weights, {title}: {steps[title]} steps to 1 % of the distance")
axes[0].set_ylabel("second weight")
save(figure, HERE, "zigzag")

# %% [markdown]
# ## 3. Dead ReLUs
#
# A ReLU has slope 1 or 0, so nothing vanishes on the way through those that are on. But a unit that is off *for every sample*
# gets no gradient from any of them. Its weights do not move; so it stays off. It is **dead**. One step that is too long is
# enough: it throws the weights and the bias so far that no picture lifts the unit above 0 again.
#
# To see how many die, we train networks of two hidden layers for a short while, each at another learning rate, and then look
# for units that are 0 on all training pictures. (Gradients longer than 10 are shortened to that, or numbers would overflow at
# the highest rates.) For leaky ReLUs we count what corresponds: units that are on their leaky side for all pictures. These
# still have a gradient. (How the first weights are drawn, `msra`, is the subject of section 4.)

# %%
section("3. Dead ReLUs")


def mlp(activation, depth, width=100, initializer=msra, seed=0):
    """Fully connected: 784 pixels, so many hidden layers, ten scores."""
    rng, net = np.random.default_rng(seed), Sequential()
    for i in range(1, depth + 1):
        net.append(f"linear{i}", Linear(784 if i == 1 else width, width, initializer=initializer, rng=rng))
        net.append(f"activation{i}", activation())
    net.append("scores", Linear(width, 10, initializer=initializer, rng=rng))
    return net


def trained(net, rate, epochs=1, momentum=0.0, clip=None, label="training"):
    """Train the network; returns the records of the epochs, and the accuracy on test digits."""
    optimizer = SGD(net.parameters(), rate, momentum=momentum)
    trainer = Trainer(net, SoftmaxCrossEntropy(), optimizer, epochs=epochs, batch_size=50, clip=clip, label=label)
    records = trainer.fit(x_train, y_train).epochs
    return records, trainer.evaluate(x_test, y_test)[1]


def never_above_zero(net):
    """For each activation, which of its units are on the left side for all training digits."""
    names = [name for name in net.layers if name.startswith("activation")]
    return {name: (y <= 0).all(axis=0) for name, y in activations(net.eval(), x_train, names).items()}


rates = np.array([0.01, 0.03, 0.1, 0.3, 1.0, 2.0])
silent, accuracy = {}, {}
for name, make in {"ReLU": ReLU, "leaky ReLU": lambda: LeakyReLU(0.1)}.items():
    silent[name], accuracy[name] = [], []
    for rate in rates:
        net = mlp(make, 2)
        accuracy[name].append(trained(net, rate, clip=10, label=f"{name}, rate {rate:g}")[1])
        silent[name].append(np.concatenate(list(never_above_zero(net).values())).mean())
        shares = f"{silent[name][-1]:>5.0%} of the units never above 0, {accuracy[name][-1]:>5.1%} of test digits right"
        print(f"{name:<12} rate {rate:<5g} {shares}")
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2))
for name, color in (("ReLU", ORANGE), ("leaky ReLU", BLUE)):
    left.semilogx(rates, 100 * np.array(silent[name]), "o-", color=color, label=name)
    right.semilogx(rates, 100 * np.array(accuracy[name]), "o-", color=color, label=name)
left.set(xlabel="learning rate", ylabel="per cent", title="Units that are never above 0")
right.set(xlabel="learning rate", title="Test digits that are right")
left.legend()
save(figure, HERE, "dead_units")
claim(
    "At a learning rate that is far too high, more than a quarter of the ReLUs die; at a low one hardly any do.",
    f"{silent['ReLU'][-1]:.0%} at rate {rates[-1]:g}, {silent['ReLU'][0]:.1%} at rate {rates[0]:g}",
    silent["ReLU"][-1] > 0.25 and silent["ReLU"][0] < 0.05,
)

# %% [markdown]
# Do the dead come back if we now train on at a low rate? In the first layer the answer is exact. Its inputs are the pictures,
# which do not change; a unit that is off for each of them has a gradient of exactly 0, in every batch. (Momentum and weight
# decay, of lessons 7 and 8, could still move it; here there is neither.) A leaky ReLU that never crosses 0 is still a linear
# unit with a small slope, and learns.

# %%
moved = {}
for name, make in {"ReLU": ReLU, "leaky ReLU": lambda: LeakyReLU(0.1)}.items():
    net = mlp(make, 2)
    trained(net, rates[-1], clip=10, label=f"{name}, too high a rate")
    off = never_above_zero(net)["activation1"]
    before = net.parameters()["linear1.w"].value[off].copy()
    trained(net, 0.03, epochs=3, label=f"{name}, a low rate")
    change = np.abs(net.parameters()["linear1.w"].value[off] - before)
    back = (off & ~never_above_zero(net)["activation1"]).sum()
    moved[name] = int(off.sum()), float(change.max(initial=0.0))
    print(f"{name}: {off.sum()} units of the first layer never above 0; after three epochs at a low rate {back} are back,")
    print(f"    and their weights have moved by up to {moved[name][1]:.1e}")
claim(
    "A ReLU of the first layer that is dead for all training pictures never moves again, not by a single bit.",
    f"{moved['ReLU'][0]} dead units, their weights moved by {moved['ReLU'][1]:g}",
    moved["ReLU"][0] > 0 and moved["ReLU"][1] == 0,
)

# %% [markdown]
# ## 4. How weights start
#
# **All zero, or all equal.** Then all units of a layer compute the same, get the same gradient, and stay equal for ever. A
# hundred of them are worth one. With zeros it is worse: as $dx = dy\, w$, nothing at all goes back below the last layer. With
# ReLUs, whose outputs are then all 0, only the last biases learn, and these know no more than how frequent each class is.
# Random weights are there to break this symmetry.
#
# Units that are copies of each other have equal rows in $w$. So we count how many rows are linearly independent: the rank.

# %%
section("4. How weights start")


def all_equal(shape, rng, dtype=np.float32):
    return np.full(shape, 0.01, dtype)


kinds, accuracies, copies = {}, {}, {}
for name, initializer in {"all weights 0": normal(0.0), "all weights 0.01": all_equal, "MSRA": msra}.items():
    net = mlp(ReLU, 2, initializer=initializer)
    accuracies[name] = trained(net, 0.03, epochs=2, label=name)[1]
    w = net.parameters()["linear1.w"].value.astype(np.float64)
    sizes = np.linalg.svd(w, compute_uv=False)
    kinds[name] = int((sizes > 1e-3 * max(sizes[0], 1e-12)).sum())  # the rank, but for rounding
    copies[name] = np.allclose(w, w[0], rtol=0, atol=1e-4)
    print(f"{name:<17} {accuracies[name]:>5.1%} of test digits right; rank of the weights of 100 hidden units: {kinds[name]}")
claim(
    "If all weights start equal, the hundred units of a layer are still copies of a single one after training.",
    f"rank {kinds['all weights 0.01']}, from MSRA's start {kinds['MSRA']}; "
    f"{accuracies['all weights 0.01']:.0%} of test digits right against {accuracies['MSRA']:.0%}",
    copies["all weights 0.01"] and not copies["MSRA"] and accuracies["all weights 0.01"] < accuracies["MSRA"] - 0.1,
)

# %% [markdown]
# **Random, but how large?** One output is a sum of $n = \text{fan}_{in}$ products, $y = \sum_i w_i x_i$. With independent
# weights of mean 0 and variance $v$,
#
# $$\mathrm{E}[y^2] = n\, v\, \mathrm{E}[x^2].$$
#
# Each layer multiplies the mean square of the signal by $n v$, so after $L$ layers by $(n v)^L$: exponential in depth. To keep
# the size, $v = 1/n$. Backward, each input gets a sum of $\text{fan}_{out}$ products, and the same argument gives
# $v = 1/\text{fan}_{out}$.
#
# - **Xavier** (Glorot and Bengio 2010) is a compromise, $v = 2 / (\text{fan}_{in} + \text{fan}_{out})$. It is right
#   for activations that are nearly $y = x$ around 0, as tanh is. (*A name with two meanings:* many texts, slides and libraries
#   call $v = 1/\text{fan}_{in}$ Xavier as well. In square layers it is the same.)
# - **MSRA** (He et al. 2015) takes ReLU into account. Half of its outputs are 0, which halves the mean square: to make up for
#   it, $v = 2 / \text{fan}_{in}$.
#
# For a convolution, count products: one output is a sum over $C \cdot KH \cdot KW$ of them.

# %%
print(f"{'shape of the weights':<34}{'fan in':>8}{'fan out':>9}{'Xavier std':>12}{'MSRA std':>10}")
for title, shape in {"linear": (100, 784), "linear, scores": (10, 100), "convolution": (64, 32, 3, 3)}.items():
    fan_in, fan_out = fans(shape)
    stds = np.sqrt(2 / (fan_in + fan_out)), np.sqrt(2 / fan_in)
    print(f"{title + ' ' + str(shape):<34}{fan_in:>8}{fan_out:>9}{stds[0]:>12.4f}{stds[1]:>10.4f}")
relu = ReLU()
for title, layer, shape in (
    ("linear, 400 to 1000", Linear(400, 1000, initializer=msra, rng=2), (1000, 400)),
    ("convolution 3 x 3, 32 to 512", Conv2d(32, 512, 3, initializer=msra, rng=2), (10, 32, 16, 16)),
):
    before = relu.forward(rng.standard_normal(shape, dtype=np.float32))
    after = relu.forward(layer.forward(before))
    print(f"{title}, MSRA, ReLU: mean square behind it / before it = {(after**2).mean() / (before**2).mean():.2f}")

# %% [markdown]
# Now ten layers, each way to start, before any training. The library has this experiment (`minicnn.viz.initialization_figure`;
# see also `docs/training.md`): a row for each start, a histogram of the outputs for each layer. Look for rows that end in a
# spike at 0 (the signal died out), in spikes at both ends (saturated), or in one at the right end (run away: all that is beyond
# the axis is counted there). The last two rows have batch normalisation in front of each activation, which is lesson 5.

# %%
size = {"width": 150, "samples": 300} if QUICK else {"width": 500, "samples": 1000}
for name in ("tanh", "relu"):
    save(initialization_figure(name, **size), HERE, f"initialisation_{name}")
through = {start: activations_through_depth("relu", STARTS[start], **size) for start in ("too small: 0.01", "Xavier", "MSRA")}
kept = {start: float((outputs[-1] ** 2).mean() / (outputs[0] ** 2).mean()) for start, outputs in through.items()}
for start, ratio in kept.items():
    print(f"ReLU, {start + ':':<17} mean square behind layer 10 / behind layer 1 = {ratio:.2g}")
claim(
    "Through ten layers of ReLU, MSRA's start keeps the mean square of the signal within a factor of two; with Xavier's, "
    "less than a hundredth is left.",
    f"MSRA {kept['MSRA']:.2f}, Xavier {kept['Xavier']:.1e}",
    0.5 < kept["MSRA"] < 2 and kept["Xavier"] < 0.01,
)

# %% [markdown]
# ## 5. Signals and gradients through depth
#
# Gradients go the same way back, and are multiplied by two things at each layer: the weights, and the slope of the activation,
#
# $$dx = w^T (dy \odot f'(z)), \qquad \mathrm{E}[dx^2] = \text{fan}_{out}\, v\, \mathrm{E}[f'(z)^2]\; \mathrm{E}[dy^2].$$
#
# where $z$ is what enters the activation, and $\odot$ multiplies element by element. With Xavier's $v$ in square layers, only
# the slope is left. For the sigmoid, $f'^2 \le 1/16$: each layer takes away three quarters of the gradient's size at least, and
# $L$ layers leave about $4^{-L}$ at most. That is the **vanishing gradient**. It comes from a small slope, once for each layer,
# and no single learning rate mends it, because the layers at the bottom would need a far larger one than those at the top.
#
# > **A correction.** The slides say that with weights that are too large tanh saturates, *the gradient becomes 0*, and nothing
# > is learned. Tanh does saturate, and most units pass on next to nothing. But the weights by which gradients are multiplied
# > are large as well, and the few units that are not saturated make up for the rest: on its way back the gradient *grows*,
# > exponentially. Nothing is learned, because such a gradient holds for a tiny step only.
#
# We send noise up and other noise back through twenty layers, and measure the root of the mean square at each. (Between the
# first and the last of twenty there are 19 steps, so $4^{-19} = 4 \cdot 10^{-12}$ is what sigmoids may leave.)

# %%
section("5. Signals and gradients through depth")
depth, width = 20, 100 if QUICK else 200


def root_mean_square(a):
    return float(np.sqrt(np.square(a, dtype=np.float64).mean()))


def through_depth(activation, initializer):
    """Sizes of the outputs of each activation, and of the gradient with respect to them; and the last outputs."""
    rng, net = np.random.default_rng(5), Sequential()
    for i in range(1, depth + 1):
        net.append(f"linear{i}", Linear(width, width, initializer=initializer, rng=rng))
        net.append(f"activation{i}", activation())
    up, down = {}, {}
    with watched(
        net.train(),
        forward=lambda path, layer, y: up.update({path: root_mean_square(y)}),
        backward=lambda path, layer, dy, dx: down.update({path: root_mean_square(dy)}),
    ):
        y = net.forward(rng.standard_normal((300, width), dtype=np.float32))
        net.backward(rng.standard_normal(y.shape, dtype=np.float32))
    names = [f"activation{i}" for i in range(1, depth + 1)]
    return [up[name] for name in names], [down[name] for name in names], y


CASES = {
    "sigmoid, Xavier": (Sigmoid, xavier, ORANGE, "-"),
    "tanh, Xavier": (Tanh, xavier, GREEN, "-"),
    "tanh, std 0.01": (Tanh, normal(0.01), GREEN, ":"),
    "tanh, std 0.5": (Tanh, normal(0.5), GREEN, "--"),
    "ReLU, Xavier": (ReLU, xavier, BLUE, ":"),
    "ReLU, MSRA": (ReLU, msra, BLUE, "-"),
}
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8))
left_over, layers = {}, np.arange(1, depth + 1)
for name, (activation, initializer, color, style) in CASES.items():
    up, down, last = through_depth(activation, initializer)
    left_over[name] = down[0] / down[-1]
    left.semilogy(layers, up, style, color=color, label=name)
    right.semilogy(layers, down, style, color=color, label=name)
    print(f"{name:<17} signal at layer {depth} / at layer 1: {up[-1] / up[0]:>8.1e};", end=" ")
    print(f"gradient at layer 1 / at layer {depth}: {left_over[name]:>8.1e}")
    if name == "tanh, std 0.5":
        saturated = float((np.abs(last) > 0.99).mean())
left.set(title="Signals, upwards", xlabel="layer", ylabel="root mean square")
right.set(title="Gradients, downwards (they start at the right)", xlabel="layer")
left.legend(fontsize=8)
save(figure, HERE, "through_depth")
claim(
    "Behind twenty layers of sigmoids, less than a millionth of the gradient is left.",
    f"{left_over['sigmoid, Xavier']:.0e}",
    left_over["sigmoid, Xavier"] < 1e-6,
)
claim(
    "With weights that are much too large more than half of the tanh units are saturated, and yet the gradient grows on its "
    "way back.",
    f"{saturated:.0%} of the outputs beyond 0.99; {left_over['tanh, std 0.5']:.0e} times the gradient at layer 1",
    saturated > 0.5 and left_over["tanh, std 0.5"] > 10,
)

# %% [markdown]
# ## 6. Vanishing gradients, and two ways out
#
# What does it do to learning? Three networks of the same depth and width, trained in the same way on the same digits:
#
# - sigmoids, Xavier's start;
# - ReLUs, MSRA's start;
# - **residual**: again sigmoids, with Xavier's start, but each pair of activation and linear layer has a shortcut around it,
#   $y = x + F(x)$. Backward, $dx = dy + J_F^T dy$: whatever the layers inside do to the gradient, the first term passes
#   unweakened.

# %%
section("6. Vanishing gradients, and two ways out")


def deep(activation, initializer, residual=False, width=64, seed=0):
    """A linear layer, twenty pairs of activation and linear layer, with shortcuts or without, and ten scores."""
    rng, net = np.random.default_rng(seed), Sequential()
    net.append("first", Linear(784, width, initializer=xavier, rng=rng))
    for i in range(1, depth + 1):
        pair = Sequential(activation=activation(), linear=Linear(width, width, initializer=initializer, rng=rng))
        net.append(f"pair{i}", Residual(pair) if residual else pair)
    net.append("scores", Linear(width, 10, initializer=xavier, rng=rng))
    return net


def gradient_sizes(net):
    """|dL/dw| of each linear layer from the first to the last, for 200 digits."""
    loss = SoftmaxCrossEntropy()
    loss.forward(net.train().forward(x_train[:200]), y_train[:200])
    net.backward(loss.backward())
    return [float(np.linalg.norm(p.grad)) for name, p in net.parameters().items() if name.endswith(".w")]


figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6))
shrink, learned = {}, {}
for name, options, color in (
    ("sigmoid", (Sigmoid, xavier), ORANGE),
    ("ReLU", (ReLU, msra), BLUE),
    ("sigmoid, residual", (Sigmoid, xavier, True), GREEN),
):
    net = deep(*options)
    gradients = gradient_sizes(net)
    shrink[name] = gradients[1] / gradients[-2]  # of the first and the last of the twenty pairs
    left.semilogy(range(len(gradients)), gradients, "o-", ms=3, color=color, label=name)
    records, learned[name] = trained(net, 0.005, epochs=6, momentum=0.9, label=name)
    right.plot([e["epoch"] for e in records], [100 * e["train_accuracy"] for e in records], "o-", ms=3, color=color)
    print(f"{name:<18} gradient of pair 1 / of pair {depth}: {shrink[name]:>8.1e};  {learned[name]:>5.1%} of test digits right")
left.set(title="|dL/dw| before training", xlabel=f"linear layer, 0 is the first, {depth + 1} gives the scores")
right.set(title="Training digits that are right, per cent", xlabel="epoch", ylim=(0, 100))
left.legend(fontsize=8)
save(figure, HERE, "deep_networks")
claim(
    "A shortcut around each pair of layers brings the gradient to the bottom of a deep sigmoid network: without, less than a "
    "millionth of it arrives, with them more than half.",
    f"{shrink['sigmoid']:.0e} without, {shrink['sigmoid, residual']:.2f} with shortcuts",
    shrink["sigmoid"] < 1e-6 and shrink["sigmoid, residual"] > 0.5,
)
claim(
    "Trained in the same way, the deep sigmoid network is still guessing when the ReLU network and the residual one know most "
    "digits.",
    f"{learned['sigmoid']:.0%}, {learned['ReLU']:.0%} and {learned['sigmoid, residual']:.0%} of test digits right",
    learned["sigmoid"] < 0.25 and min(learned["ReLU"], learned["sigmoid, residual"]) > 0.6,
)

# %% [markdown]
# ## 7. The inputs of the first layer
#
# For the first layer, nobody but us takes care of its inputs. Two reasons to centre and scale them.
#
# **The loss becomes less sensitive.** Think of a line that separates two classes far from the origin. A small change of its
# slope moves it a lot out there, and so changes the loss a lot. Around the origin the same change does little.

# %%
section("7. The inputs of the first layer")
rng = np.random.default_rng(7)
side = np.repeat([-1, 1], 150)
points = 0.8 * rng.standard_normal((300, 2)) + side[:, None] * np.array([1.2, 1.2])
w, change = np.array([1.0, 1.0]), 0.1 * rng.standard_normal((500, 2))
figure, axes = plt.subplots(1, 2, figsize=(9, 3.8))
lost = {}
for ax, (title, offset) in zip(axes, {"around (8, 6)": (8.0, 6.0), "centred": (0.0, 0.0)}.items(), strict=True):
    moved_points = points + offset
    b = -w @ offset
    right_before = (np.sign(moved_points @ w + b) == side).mean()
    right_after = (np.sign(moved_points @ (w + change).T + b) == side[:, None]).mean()
    lost[title] = round(float(right_before - right_after), 4) + 0.0  # and no minus zero
    print(f"{title:<15} {right_before:.1%} right; with weights changed by a tenth, at random, {right_after:.1%} on average")
    ax.scatter(*moved_points.T, c=np.where(side > 0, BLUE, ORANGE), s=6)
    across = np.linspace(-4, 4, 2) + offset[0]
    for one in change[:25]:
        ax.plot(across, -((w + one)[0] * across + b) / (w + one)[1], color=GREY, lw=0.5)
    ax.plot(across, -(w[0] * across + b) / w[1], color=INK, lw=1.5)
    ax.set(title=title, xlim=(offset[0] - 4, offset[0] + 4), ylim=(offset[1] - 4, offset[1] + 4))
figure.suptitle("One classifier, and 25 whose weights are a tenth off", y=1.0)
save(figure, HERE, "sensitivity")
claim(
    "The same small change of the weights costs a classifier far from the origin more than three points of accuracy, and a "
    "centred one less than half a point.",
    f"{lost['around (8, 6)']:.1%} lost against {lost['centred']:.1%}",
    lost["around (8, 6)"] > 0.03 and lost["centred"] < 0.005,
)

# %% [markdown]
# **Gradient descent becomes quicker.** The curvature of the loss of a linear layer is $\mathrm{E}[x x^T]$ again, up to a
# factor. Let its eigenvalues be $\lambda_k$. The rate cannot be more than a small multiple of $1/\lambda_{max}$, and a step
# then takes away a part of about $\lambda_k / \lambda_{max}$ of what is left to do in direction $k$. Directions in which the
# inputs hardly vary are learned last. Three remedies, each stronger than the one before:
#
# - *zero mean*: takes the steep direction of section 2 away;
# - *zero mean and unit variance* for each feature: all that is needed if features are not correlated;
# - **whitening**: turn to the **principal components**, the coordinates along the eigenvectors of the covariance, which are not
#   correlated, and divide each by its standard deviation. With $m$ the mean and $C = U \Lambda U^T$ the covariance of the
#   training data,
#
# $$y = (\Lambda + \epsilon)^{-1/2}\, U^T (x - m) .$$
#
# All directions are now equally steep. $\epsilon$ keeps those with nothing but noise in them from being blown up. Pixels
# of pictures are strongly correlated with their neighbours, so whitening changes a lot. Turned back with $U$ (ZCA), a whitened
# picture is a picture again: its edges remain.
#
# The mean, the scale and $U$ are measured on training data only, and applied to all data.
#
# To see it undisturbed we take squared errors, with a target of 1 for the right class and 0 for the others; there the curvature
# is exactly $2\,\mathrm{E}[x x^T]$, and rates up to $1/\lambda_{max}$ are stable. (With softmax each sample is weighted by how
# uncertain the network still is about it.) Each input gets the best of three rates. The last two rows of the table have the
# same 100 numbers for each picture (its first 100 principal components, of 784), but for their scales.

# %%
train_pixels, test_pixels = pixels[:n_train], pixels[n_train:]
figure, axes = picture_grid(3, 8)
for row, name, seen in (
    (0, "pixels", test_pixels[:8]),
    (1, "ZCA, eps 0.1", ZCA(eps=0.1).fit(train_pixels)(test_pixels[:8])),
    (2, "ZCA, eps 0.001", ZCA(eps=0.001).fit(train_pixels)(test_pixels[:8])),
):
    axes[row, 0].text(-0.1, 0.5, name, ha="right", va="center", transform=axes[row, 0].transAxes, fontsize=8)
    for ax, picture in zip(axes[row], seen, strict=True):
        ax.imshow(picture.reshape(28, 28))
save(figure, HERE, "whitened_digits")

PREPARED = {
    "pixels from 0 to 1": lambda x: x,
    "zero mean": Standardization(unit_variance=False).fit(train_pixels),
    "zero mean, unit variance": Standardization().fit(train_pixels),
    "100 components": PCA(100).fit(train_pixels),
    "100 components, whitened": PCA(100, whiten=True, eps=1e-3).fit(train_pixels),
}


def linear_regression(x, targets, rate, steps):
    """Losses of a linear layer that starts at 0, step by step, with all samples in each; and the layer."""
    layer, loss, losses = Linear(x.shape[1], 10, initializer=normal(0.0)).train(), MeanSquaredError(), []
    layer.needs_dx = False  # nothing is below it
    optimizer = SGD(layer.parameters(), rate)
    for _ in range(steps + 1):
        losses.append(loss.forward(layer.forward(x), targets))
        layer.backward(loss.backward())
        optimizer.step()
    return np.array(losses), layer


def curvature_and_minimum(x, targets):
    """Eigenvalues of E[x x^T], the largest first, and the smallest loss that a linear layer can have."""
    with_bias = np.hstack([x, np.ones((len(x), 1))])  # the bias is a weight whose input is 1
    eigenvalues, U = np.linalg.eigh(with_bias.T @ with_bias / len(x))
    varies = eigenvalues > 1e-7 * eigenvalues[-1]
    explained = (U.T @ (with_bias.T @ targets) / len(x))[varies] ** 2 / eigenvalues[varies, None]
    return np.maximum(eigenvalues[::-1], 1e-9), (targets**2).sum() / len(x) - explained.sum()


figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8))
targets, steps, needed = np.eye(10, dtype=np.float32)[y_train], 40 if QUICK else 120, {}
print(f"\n{'':<27}{'largest / median':>18}{'of the way left':>17}{'steps to':>11}{'test digits':>13}")
print(f"{'':<27}{'eigenvalue':>18}{f'after {steps} steps':>17}{'1 % left':>11}{'right':>13}")
for (name, prepare), color in zip(PREPARED.items(), (GREY, INK, GREEN, ORANGE, BLUE), strict=True):
    x = prepare(train_pixels)
    eigenvalues, lowest = curvature_and_minimum(x, targets)
    runs = [linear_regression(x, targets, c / eigenvalues[0], steps) for c in (0.5, 0.7, 0.9)]
    losses, layer = min(runs, key=lambda run: run[0][-1])
    left_to_go = np.maximum((losses - lowest) / (losses[0] - lowest), 1e-6)
    needed[name] = int((left_to_go < 0.01).argmax()) if left_to_go[-1] < 0.01 else steps + 1
    accuracy_there = (layer.eval().forward(prepare(test_pixels)).argmax(axis=1) == y_test).mean()
    steps_needed = needed[name] if needed[name] <= steps else f"> {steps}"
    ratio = eigenvalues[0] / np.median(eigenvalues)
    print(f"{name:<27}{ratio:>18.1e}{left_to_go[-1]:>17.2%}{steps_needed:>11}{accuracy_there:>13.1%}")
    left.semilogy(np.arange(1, len(eigenvalues) + 1), eigenvalues, color=color, label=name)
    right.semilogy(left_to_go, color=color, label=name)
left.set(title="Eigenvalues of E[x x^T]", xlabel="direction, the steepest first", xlim=(0, 150), ylim=(1e-2, None))
right.set(title="Share of the way to the smallest loss still to go", xlabel="step of gradient descent", ylim=(1e-4, 1.2))
right.legend(fontsize=8)
save(figure, HERE, "whitening")
claim(
    "On the same hundred numbers for each digit, gradient descent is at 99 % of the way to the smallest loss in less than a "
    "tenth of the steps if they are whitened.",
    f"{needed['100 components, whitened']} steps against {'more than ' * (needed['100 components'] > steps)}"
    f"{min(needed['100 components'], steps)}",
    10 * needed["100 components, whitened"] < needed["100 components"],
)

# %% [markdown]
# Whitening is quick on the *training* loss. It also makes directions count in which the data hardly varies, and what is learned
# there may be noise: compare the accuracies on test digits in the last column. For networks on pictures, zero mean and unit
# variance for each channel has become the rule, and batch normalisation (lesson 5) does for each layer what this section did
# for the first.
#
# ## What to use
#
# ReLU with MSRA's start, first. Leaky ReLU, ELU or GELU if units die; ReLU6 where arithmetic is coarse; tanh where outputs must
# be bounded and centred; the sigmoid where a probability is wanted, at the very end. Beyond a dozen layers: shortcuts. And look
# at the sizes of signals and gradients, layer by layer, before a long training: `minicnn.training.LayerMonitor` does it for
# you.
#
# ## What this lesson claims
#
# - A sigmoid passes on a quarter of a gradient at best.
# - Above sigmoids, the loss of a linear layer is more than twice as lopsided as above tanh: one direction is far steeper than
#   the rest.
# - At a learning rate that is far too high, more than a quarter of the ReLUs die; at a low one hardly any do.
# - A ReLU of the first layer that is dead for all training pictures never moves again, not by a single bit.
# - If all weights start equal, the hundred units of a layer are still copies of a single one after training.
# - Through ten layers of ReLU, MSRA's start keeps the mean square of the signal within a factor of two; with Xavier's, less
#   than a hundredth is left.
# - Behind twenty layers of sigmoids, less than a millionth of the gradient is left.
# - With weights that are much too large more than half of the tanh units are saturated, and yet the gradient grows on its way
#   back.
# - A shortcut around each pair of layers brings the gradient to the bottom of a deep sigmoid network: without, less than a
#   millionth of it arrives, with them more than half.
# - Trained in the same way, the deep sigmoid network is still guessing when the ReLU network and the residual one know most
#   digits.
# - The same small change of the weights costs a classifier far from the origin more than three points of accuracy, and a
#   centred one less than half a point.
# - On the same hundred numbers for each digit, gradient descent is at 99 % of the way to the smallest loss in less than a tenth
#   of the steps if they are whitened.

# %%
print_claims()

# %% [markdown]
# ## Questions
#
# **1.** In section 7 the weights of the linear layer start at 0, and it learns. Section 4 says that a network cannot
# start so. How do the two go together?
#
# <details><summary>Answer</summary>
#
# There is no hidden layer. The rows of $w$ belong to different classes, so they get different gradients from the first step on,
# $dw = dy^T x$ with different columns of $dy$, and $x$ is not 0. Nothing is symmetric but the start. In a network with a hidden
# layer, it is the *hidden* units that nothing tells apart.
#
# </details>
#
# **2.** How large should weights start in front of leaky ReLUs of slope $a$? Check your formula for $a = 0$ and $a = 1$.
#
# <details><summary>Answer</summary>
#
# For $z$ symmetric around 0, half of $\mathrm{E}[z^2]$ comes from each side, and the left half is multiplied by $a^2$. So
# $\mathrm{E}[y^2] = \frac{1 + a^2}{2}\, \mathrm{E}[z^2]$, and $v = \frac{2}{(1 + a^2)\, \text{fan}_{in}}$. For $a = 0$ that is
# MSRA's, for $a = 1$ there is no activation, and it is $1/\text{fan}_{in}$. He et al. give it as equation 15.
#
# </details>
#
# **3.** After the first epoch 40 % of the ReLUs in your network are dead. Name three things that you could do, and one that
# does not help.
#
# <details><summary>Answer</summary>
#
# Start again with a lower learning rate, or with one that grows slowly at first (warm-up); use leaky ReLU, ELU or GELU; look at
# the start (biases far below 0? inputs that are not centred?); put batch normalisation in front of the ReLUs, which keeps some
# inputs of every unit above 0. Going on with a lower rate does not help by itself: the dead have no gradient, as section 3
# showed. They can come back only if the layers below them change.
#
# </details>
#
# ## Further reading
#
# - LeCun, Bottou, Orr, Müller 1998, "Efficient BackProp", sections 4.3 (inputs), 4.4 (the sigmoid), 4.6 (weights)
# - Glorot, Bengio 2010, "Understanding the difficulty of training deep feedforward neural networks", sections 3 and 4.2
# - He, Zhang, Ren, Sun 2015, "Delving Deep into Rectifiers", section 2.2
# - Maas, Hannun, Ng 2013, "Rectifier Nonlinearities Improve Neural Network Acoustic Models", section 2 (leaky ReLU)
# - Goodfellow, Warde-Farley, Mirza, Courville, Bengio 2013, "Maxout Networks", section 3
# - Clevert, Unterthiner, Hochreiter 2016, "Fast and Accurate Deep Network Learning by Exponential Linear Units", sections 2 and
#   3
# - Hendrycks, Gimpel 2016, "Gaussian Error Linear Units (GELUs)", section 2
# - He, Zhang, Ren, Sun 2016, "Identity Mappings in Deep Residual Networks", section 2 (what a shortcut does to the gradient)
# - Poole, Lahiri, Raghu, Sohl-Dickstein, Ganguli 2016, "Exponential expressivity in deep neural networks through transient
#   chaos", section 2 (what large weights do to tanh networks)
#
# ## Next
#
# The exercise: `exercise.py` has the activations of this lesson, the two starts, whitening and the share of dead units as empty
# functions. Fill them in, then run `minicnn check 4`. When all is right, your functions train a network.
#
# Then lesson 5, batch normalisation: `minicnn lesson 5`.

# %%
print("\nnow you: lessons/04_activations_and_initialisation/exercise.py, then minicnn check 4")
