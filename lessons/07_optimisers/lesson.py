# %% [markdown]
# # Lesson 7. Optimisers from SGD to Adam, second order, L-BFGS; schedules
#
# **Before**: what a gradient is and how backpropagation computes it (lesson 2); what a batch is. Of linear algebra, what an
# eigenvector of a symmetric matrix is.
#
# **After**: you can write down a step of SGD with momentum, Nesterov's, AdaGrad, RMSProp, Adam and AdamW, and say which trouble
# each of them is made for. You know why Newton's method is not used on networks, and when L-BFGS is the right choice. You can
# search a learning rate, tell from a curve whether it is too low or too high, and choose a schedule.
#
# Backpropagation says which way is down. An optimiser decides what to do about it: how far to go, and how much to listen to
# earlier gradients. Run this (`minicnn lesson 7`), or open it as a notebook. All numbers are measured as it runs, and the
# figures go to `out/` beside it. [docs/training.md](../../docs/training.md) has larger figures of the same kind, with L-BFGS
# and Newton among the paths; `docs/training/trajectories.py` makes them.

# %%
import time
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
    print_claims,
    save,
    section,
)
from minicnn.data import load_fashion_mnist, load_mnist
from minicnn.errors import TrainingError
from minicnn.initializers import normal
from minicnn.layers import Conv2d, Flatten, Linear, Parameter, ReLU, Sequential
from minicnn.losses import SoftmaxCrossEntropy
from minicnn.models import lenet5
from minicnn.optim import LBFGS, SGD, AdaGrad, Adam, AdamW, Muon, Newton, OptimizerGroup, RMSProp, split_for_muon
from minicnn.optim.muon import newton_schulz
from minicnn.regularizers import L2
from minicnn.schedules import constant, cosine, cyclic, exponential, linear, one_cycle, one_over_t, step, warm_restarts
from minicnn.training import Trainer
from minicnn.training.callbacks import Callback

HERE = Path(globals().get("__file__", "lesson.py")).resolve().parent
VIOLET, RED = "#7b4fa3", "#b8323a"
rng = np.random.default_rng(7)


def descend(make_optimizer, gradient, start, steps, noise=0.0, schedule=None, seed=0):
    """The places, (steps + 1, ...), to which an optimiser of minicnn goes from `start` down a function with this gradient."""
    weight, schedule, rng = Parameter(np.array(start, np.float64)), schedule or constant(), np.random.default_rng(seed)
    optimizer = make_optimizer({"w": weight})
    places = [weight.value.copy()]
    for i in range(steps):
        weight.grad = gradient(weight.value) + noise * rng.standard_normal(weight.value.shape)
        optimizer.step(schedule((i + 0.5) / steps))
        places.append(weight.value.copy())
    return np.array(places)


# %% [markdown]
# ## 1. Gradient descent, and the only number it has
#
# $$w \leftarrow w - \eta\, g, \qquad g = \frac{dL}{dw}.$$
#
# > **A correction.** The slides of the lecture write `x += learning_rate * dx`. The gradient points to where the loss grows, so
# > that this climbs. Descent subtracts: `x -= learning_rate * dx`.
#
# How large may the rate $\eta$ be? Near a minimum every smooth loss is a bowl, $L = \frac12 \sum_i \lambda_i w_i^2$, if we
# turn the axes to the eigenvectors of its Hessian; $\lambda_i$ is the curvature along axis $i$. There $g_i = \lambda_i w_i$,
# and a step multiplies each coordinate by a number of its own:
#
# $$w_i \leftarrow (1 - \eta \lambda_i)\, w_i .$$
#
# It shrinks as long as $|1 - \eta\lambda_i| < 1$, that is $\eta < 2 / \lambda_i$. **The steepest direction sets the limit,
# $\eta < 2 / \lambda_{\max}$, and the flattest one the time**, for its factor $1 - \eta \lambda_{\min}$ is near 1. With the
# best rate both ends shrink by the factor $(\kappa - 1)/(\kappa + 1)$ in a step, where
# $\kappa = \lambda_{\max} / \lambda_{\min}$ is the *condition number*. For $\kappa = 40$ that is five per cent
# a step. For the loss of a network $\kappa$ may be millions.
#
# Below is a valley with curvatures 1 along and 40 across. Too low a rate crawls. A good one is just below the limit: it jumps
# from wall to wall, and gets down all the same. Above the limit it is thrown out.

# %%
section("1. Gradient descent in a valley")
CURVATURES = np.array([1.0, 40.0])
LIMIT = 2 / CURVATURES.max()
START = np.array([-3.0, 0.8])


def valley(w):
    return 0.5 * (w**2 @ CURVATURES)


def valley_gradient(w):
    return w * CURVATURES


down = START - 0.01 * valley_gradient(START)
up = START + 0.01 * valley_gradient(START)
print(f"loss at the start {valley(START):.2f}; after a step that subtracts {valley(down):.2f}, that adds {valley(up):.2f}")

shares = {"far too low": 0.02, "too low": 0.2, "good": 0.97, "too high": 1.02}
figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.2), layout="constrained")
for (title, share), color in zip(shares.items(), (GREY, BLUE, GREEN, ORANGE), strict=True):
    losses = valley(descend(lambda p, rate=share * LIMIT: SGD(p, rate), valley_gradient, START, 60))
    left.semilogy(losses, color=color, label=f"{title}: {share:g} of the limit")
    print(f"rate {share * LIMIT:<7.4g} ({share:g} of 2 / largest curvature): loss after 60 steps {losses[-1]:.2g}")
left.set(title="Gradient descent in a valley, 1 along and 40 across", xlabel="step", ylabel="loss")
left.legend(fontsize=8)

rates = np.linspace(0.02, 1.15, 100) * LIMIT
ends = [valley(descend(lambda p, rate=rate: SGD(p, rate), valley_gradient, START, 60)[-1]) for rate in rates]
right.semilogy(rates, ends, color=BLUE, label="measured")
theory = [0.5 * (((1 - rate * CURVATURES) ** 60 * START) ** 2 @ CURVATURES) for rate in rates]
right.semilogy(rates, theory, color=INK, ls=":", label=r"at $w_i (1 - \eta\lambda_i)^{60}$")
right.axvline(LIMIT, color=GREY, lw=0.8)
right.text(LIMIT, right.get_ylim()[1] / 10, r"$2/\lambda_{max}$ ", color=GREY, ha="right", va="top")
right.set(title="After 60 steps", xlabel="learning rate", ylabel="loss")
right.legend(fontsize=8)
save(figure, HERE, "rates_in_a_valley")

below, above = (
    valley(descend(lambda p, r=share * LIMIT: SGD(p, r), valley_gradient, START, 2000)[-1]) for share in (0.999, 1.001)
)
claim(
    "Gradient descent arrives with a rate just below 2 over the largest curvature, and is thrown out just above it.",
    f"loss after 2000 steps at 0.999 of it {below:.1e}, at 1.001 of it {above:.1e}, from {valley(START):.1f}",
    below < 0.05 * valley(START) and above > 10 * valley(START),
)

# %% [markdown]
# ## 2. Momentum, and a rate for each weight
#
# There are two ways out of a narrow valley. One is to **remember**: across, gradients change their sign from step to step and
# cancel; along, they agree and add up.
#
# $$\text{momentum:}\quad v \leftarrow \mu v + g, \quad w \leftarrow w - \eta v
# \qquad\qquad \text{Nesterov:}\quad v \leftarrow \mu v + g, \quad w \leftarrow w - \eta\,(g + \mu v)$$
#
# Where gradients agree, $v$ grows to $g / (1 - \mu)$: ten times the speed with $\mu = 0.9$. The price is that it overshoots.
# Nesterov's step corrects itself sooner: it takes the gradient where the velocity is about to lead. (In the form above, $w$
# stands for that place ahead, so that the gradient is taken at the weights as always.) In a bowl the best momentum shrinks
# the error by $(\sqrt\kappa - 1)/(\sqrt\kappa + 1)$ a step instead of $(\kappa - 1)/(\kappa + 1)$: the square root makes all
# the difference.
#
# The other way is to **give each weight a rate of its own**, by the size that its gradients have had:
#
# $$\begin{aligned}
# \text{AdaGrad:}\quad & c \leftarrow c + g^2, & w &\leftarrow w - \eta\, g / (\sqrt{c} + \epsilon) \\
# \text{RMSProp:}\quad & c \leftarrow \beta c + (1 - \beta)\, g^2, & w &\leftarrow w - \eta\, g / (\sqrt{c} + \epsilon) \\
# \text{Adam:}\quad & m \leftarrow \beta_1 m + (1 - \beta_1)\, g, \;\; v \leftarrow \beta_2 v + (1 - \beta_2)\, g^2, &
# w &\leftarrow w - \eta\, \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \epsilon}
# \end{aligned}$$
#
# All of it element by element. AdaGrad's sum only grows, and so its steps shrink for good: right for a convex problem, often
# too early an end for a network. RMSProp forgets. Adam is RMSProp of a momentum, with a correction for its start (section 4).
#
# A rate for each *weight* helps if the valley lies along the axes. So we let all of them run in two valleys: as above, and
# turned by 45 degrees. Each has the best of the same nine rates, in each valley anew. (To try other rates, angles and
# surfaces: `minicnn explore --live optimisers` makes a page in which the six race.)

# %%
section("2. Two valleys")
METHODS = {
    "SGD": (GREY, lambda p, rate: SGD(p, rate)),
    "momentum": (BLUE, lambda p, rate: SGD(p, rate, momentum=0.9)),
    "Nesterov": (GREEN, lambda p, rate: SGD(p, rate, momentum=0.9, nesterov=True)),
    "AdaGrad": (VIOLET, lambda p, rate: AdaGrad(p, rate)),
    "RMSProp": (RED, lambda p, rate: RMSProp(p, rate)),
    "Adam": (ORANGE, lambda p, rate: Adam(p, rate)),
}
NINE_RATES = [digit * 10.0**power for power in (-3, -2, -1) for digit in (1, 2, 5)]
TURN = np.array([[1, -1], [1, 1]]) / np.sqrt(2)  # w in the turned valley's coordinates is w @ TURN


def turned_gradient(w):
    return valley_gradient(w @ TURN) @ TURN.T


def best_path(method, gradient, start, loss, steps=60):
    """The rate, of nine, that ends lowest, and its path."""
    with np.errstate(over="ignore", invalid="ignore"):
        paths = {rate: descend(lambda p, r=rate: METHODS[method][1](p, r), gradient, start, steps) for rate in NINE_RATES}
        ends = {rate: np.nan_to_num(loss(path[-1]), nan=np.inf) for rate, path in paths.items()}
    rate = min(ends, key=ends.get)
    return rate, paths[rate]


def draw_contours(ax, loss, window, levels):
    x, y = np.meshgrid(np.linspace(*window[:2], 160), np.linspace(*window[2:], 160))
    ax.contour(x, y, loss(np.stack([x, y], axis=-1)), levels=levels, colors="#cccccc", linewidths=0.7)
    ax.set(xlim=window[:2], ylim=window[2:])


def turned_valley(w):
    return valley(w @ TURN)


valleys = {
    "along the axes": (valley, valley_gradient, START, (-3.4, 1.6, -1.4, 1.4)),
    "turned by 45 degrees": (turned_valley, turned_gradient, START @ TURN.T, (-3.2, 0.9, -2.5, 1.6)),
}
LEVELS = [0.05, 0.2, 0.6, 1.5, 3, 6, 12, 20]
figure, axes = plt.subplots(1, 2, figsize=(10.5, 3.6), layout="constrained")
ends = {}
for ax, (title, (loss, gradient, start, window)) in zip(axes, valleys.items(), strict=True):
    draw_contours(ax, loss, window, LEVELS)
    print(f"the valley {title}:")
    for method, (color, _) in METHODS.items():
        rate, path = best_path(method, gradient, start, loss)
        losses = loss(path)
        near = np.flatnonzero(losses < 0.01)
        ends[method, title] = losses[-1]
        arrived = f"first below 0.01 after {near[0]:>2} steps" if len(near) else f"{'never below 0.01':<31}"
        print(f"    {method:<9} rate {rate:<6g} {arrived}; loss after 60: {losses[-1]:.1e}")
        ax.plot(*path.T, ".-", color=color, ms=3, lw=1, label=method)
    ax.plot(*start, "o", color=INK, ms=5)
    ax.set(title=f"The valley {title}", xlabel="$w_1$", ylabel="$w_2$")
axes[1].legend(fontsize=8, loc="lower right")
save(figure, HERE, "valleys")


def change(method):
    straight, turned = ends[method, "along the axes"], ends[method, "turned by 45 degrees"]
    return abs(np.log10(max(turned, 1e-16) / max(straight, 1e-16)))


same, other = max(change(m) for m in ("SGD", "momentum", "Nesterov")), min(change(m) for m in ("AdaGrad", "RMSProp", "Adam"))
claim(
    "Turning the valley changes nothing for SGD and momentum, but changes how far AdaGrad, RMSProp and Adam get.",
    f"the loss after 60 steps changes by a factor of {10**same:.3f} at most, and of {10**other:.3g} at least",
    same < 0.01 and other > 0.1,
)
behind = ends["AdaGrad", "turned by 45 degrees"] / ends["AdaGrad", "along the axes"]
claim(
    "In the turned valley AdaGrad, with the best of nine rates, ends higher than in the one along the axes.",
    f"{behind:.3g} times as high a loss",
    behind > 1,
)

# %% [markdown]
# ## 3. Saddles and noise
#
# The gradient is zero at minima, and also at **saddles**, where the loss bends up in some directions and down in others. In
# many dimensions saddles are far more common than bad minima: of a million curvatures, all would have to be positive. Near a
# saddle the gradient is tiny, and SGD is slow. Methods that divide by the size of the gradient are not: the size cancels.
#
# $L = \frac12 x^2 - \frac12 y^2 + \frac14 y^4$ has a saddle at $(0, 0)$ and minima at $y = \pm 1$. From a start *exactly* on
# the ridge, $y = 0$, exact gradients never leave it. In training, each gradient is that of a **batch**, a few samples drawn at
# random. So it has **noise**, and noise is enough to fall off a ridge.
#
# Noise has its price at the end: with a constant rate the weights do not come to rest. The noise of a gradient has
# the variance $\sigma^2$; each step adds noise of variance $\eta^2 \sigma^2$ to a coordinate that shrinks by the factor
# $1 - \eta\lambda$. Both balance where the variance is
# $\eta\sigma^2 / (\lambda (2 - \eta\lambda))$, so the loss stays at about
#
# $$\sum_i \frac{\eta\, \sigma^2}{2\,(2 - \eta \lambda_i)} \approx \frac{\eta\,\sigma^2}{4} \text{ per weight:}$$
#
# **half the rate, half the loss that is left.** That is the reason for schedules (section 7).

# %%
section("3. Saddles and noise")


def saddle(w):
    return w[..., 0] ** 2 / 2 - w[..., 1] ** 2 / 2 + w[..., 1] ** 4 / 4


def saddle_gradient(w):
    return np.stack([w[..., 0], w[..., 1] ** 3 - w[..., 1]], axis=-1)


figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 3.5), layout="constrained")
draw_contours(left, saddle, (-1.8, 1.0, -1.3, 1.3), np.linspace(-0.25, 1.2, 13))
near_ridge = {"SGD": 0.1, "momentum": 0.1, "RMSProp": 0.05, "Adam": 0.1}
print("from a start that is 0.001 beside the ridge:")
for method, rate in near_ridge.items():
    color, make = METHODS[method]
    path = descend(lambda p, make=make, rate=rate: make(p, rate), saddle_gradient, (-1.5, 1e-3), 120)
    left.plot(*path.T, ".-", color=color, ms=3, lw=1, label=method)
    gone = np.flatnonzero(path[:, 1] > 0.5)
    print(f"    {method:<9} rate {rate:<5g} is off the saddle after {gone[0] if len(gone) else 'more than 120'} steps")
left.plot(0, 0, "x", color=INK)
left.legend(fontsize=8, loc="upper left")
left.set(title="From beside the ridge of a saddle", xlabel="x", ylabel="y")

copies = np.tile((-1.5, 0.0), (200, 1))
exact = descend(lambda p: SGD(p, 0.1), saddle_gradient, copies, 200)
noisy = descend(lambda p: SGD(p, 0.1), saddle_gradient, copies, 200, noise=0.1)
left_it = np.mean(np.abs(noisy[-1, :, 1]) > 0.5)
middle.plot(noisy[:, :12, 1], color=BLUE, lw=0.7)
middle.plot(exact[:, 0, 1], color=ORANGE, lw=2, label="exact gradients")
middle.plot([], [], color=BLUE, label="noisy gradients, twelve runs")
middle.set(title="From exactly on the ridge", xlabel="step", ylabel="y")
middle.legend(fontsize=8, loc="center right", bbox_to_anchor=(1, 0.7))
claim(
    "From a ridge, exact gradients never get away and noisy ones do.",
    f"of 200 runs of 200 steps, {np.mean(np.abs(exact[-1, :, 1]) > 0.5):.0%} and {left_it:.0%} are far from it",
    np.abs(exact[-1, :, 1]).max() == 0 and left_it > 0.9,
)

rates, steps = np.array([0.002, 0.004, 0.008, 0.016]), 1500 if QUICK else 4000
crowd = np.zeros((500, 2))  # so many runs at once
floors = []
for rate in rates:
    path = descend(lambda p, rate=rate: SGD(p, rate), valley_gradient, crowd, steps, noise=1.0)
    floors.append(valley(path[steps * 3 // 4 :]).mean())
expected = [(rate / (2 * (2 - rate * CURVATURES))).sum() for rate in rates]
fallen = valley(descend(lambda p: SGD(p, 0.016), valley_gradient, crowd, steps, 1.0, one_over_t(k=99))[-1]).mean()
for rate, floor, theory in zip(rates, floors, expected, strict=True):
    print(f"noisy valley, rate {rate:<6g} the loss stays at {floor:.5f}; theory {theory:.5f}")
print(f"noisy valley, from {rates[-1]:g} down as 1/t: the loss ends at {fallen:.5f}")
right.loglog(rates, floors, "o", color=BLUE, label="constant rate, measured")
right.loglog(rates, expected, color=INK, ls=":", label="theory")
right.axhline(fallen, color=GREEN, label=f"from {rates[-1]:g} down as 1/t")
right.set(title="Where noise keeps the loss", xlabel="learning rate", ylabel="loss at the end", xticks=rates)
right.minorticks_off()
right.set_xticklabels([f"{rate:g}" for rate in rates])
right.legend(fontsize=8)
save(figure, HERE, "saddle_and_noise")
claim(
    "With noisy gradients and a constant rate, half the rate leaves about half the loss.",
    f"from {rates[1]:g} to {rates[0]:g} the loss falls to {floors[0] / floors[1]:.2f} of it",
    0.4 < floors[0] / floors[1] < 0.6,
)

# %% [markdown]
# ## 4. Adam in detail, and Muon
#
# Adam's $m$ and $v$ begin at zero. After $t$ steps with the same gradient $g$ they are $m = (1 - \beta_1^t)\, g$ and
# $v = (1 - \beta_2^t)\, g^2$. Dividing by $1 - \beta^t$ makes up for it exactly: **the first steps have the length $\eta$,
# whatever the size of the gradient.** Without the correction both are too small, $v$ more so ($\beta_2 = 0.999$), and the first
# steps are too *long*, by $(1 - \beta_1)/\sqrt{1 - \beta_2}$ at $t = 1$.
#
# > **A correction.** The pseudo-code counts $t$ from 1, and that matters: a loop from $t = 0$ divides by $1 - \beta^0 = 0$ in
# > its first step.
#
# **AdamW.** L2 regularisation adds $\lambda w$ to the gradient. In SGD that shrinks all weights by the same share. In Adam it
# passes through the division by $\sqrt v$, and weights with large gradients hardly shrink. AdamW takes it out of the gradient:
# $w \leftarrow w - \eta\lambda w$, and then Adam's step.
#
# **Muon** looks at a layer's weights as what they are, a matrix. Its gradient is mostly dominated by a few directions: a few
# large singular values. Muon takes momentum's matrix $U S V^T$ and goes along about $U V^T$, with all directions about
# equally long. A few matrix products (Newton and Schulz's iteration) do it without a singular value decomposition. It is for
# the matrices and filters inside a network; biases, the first layer and the classifier are left to AdamW.

# %%
section("4. Adam in detail, and Muon")
lr, beta1, beta2 = 0.01, 0.9, 0.999
first_steps = []
for size in (1e-3, 1.0, 1e3):
    path = descend(lambda p: Adam(p, lr), lambda w, size=size: np.full(1, size), [0.0], 1)
    first_steps.append(abs(path[1, 0]))
    print(f"gradient {size:<6g} Adam's first step is {first_steps[-1]:.6f} long, at a rate of {lr}")
uncorrected = (1 - beta1) / np.sqrt(1 - beta2)  # m / sqrt(v), in units of the rate, after one step
print(f"without the correction it would be {lr * uncorrected:.6f} long")
with np.errstate(invalid="ignore"):
    print(f"with t = 0 in the correction, m / (1 - beta^0) = 0 / 0 = {np.float64(0) / (1 - beta1**0)}")
claim(
    "Adam's first step is as long as the rate, whatever the gradient's size; uncorrected it would be about three times that.",
    f"{min(first_steps) / lr:.4f} to {max(first_steps) / lr:.4f} of the rate; {uncorrected:.2f}",
    max(abs(length / lr - 1) for length in first_steps) < 1e-3 and 2.5 < uncorrected < 4,
)

n, decay_steps, wd = 1000, 300, 0.1
noise_of = np.repeat([0.1, 10.0], n)  # half of the weights have gradients a hundred times as large
left_over = {}
for title, kind in (("AdamW", AdamW), ("Adam with L2", Adam)):
    path = descend(
        lambda p, kind=kind: kind(p, lr, weight_decay=wd), np.zeros_like, np.ones(2 * n), decay_steps, noise=noise_of
    )
    left_over[title] = path.reshape(-1, 2, n).mean(axis=2)
    small, large = left_over[title][-1]
    print(f"{title:<12} leaves of weights of 1: {small:.2f} with small gradients, {large:.2f} with large ones")
decoupled, coupled = (remains[-1] for remains in left_over.values())
claim(
    "AdamW shrinks all weights alike; with Adam and L2 those with large gradients hardly shrink.",
    f"with small and large gradients AdamW leaves {decoupled.round(2)}, Adam with L2 {coupled.round(2)} of weights of 1",
    np.abs(decoupled - (1 - lr * wd) ** decay_steps).max() < 0.05 and coupled[1] > coupled[0] + 0.3,
)

# %% [markdown]
# Muon needs a real gradient to show anything. From here on we use real pictures, and a small network: two convolutions with
# stride 2, a hidden layer, and the scores.

# %%
section("The pictures")
folder = find_data("fashion-mnist")
if folder:
    pictures, labels = load_fashion_mnist(folder)[:2]
    print("clothes: Fashion-MNIST, from the data folder")
elif folder := find_data("mnist"):
    pictures, labels = load_mnist(folder)[:2]
    print("there is no Fashion-MNIST here: using the digits of MNIST, which are easier")
else:
    pictures, labels = drawn_digits(2000 if QUICK else 5000, rng)
    print("there is neither Fashion-MNIST nor MNIST here (in the folder that MINICNN_DATA names): digits of a font, far easier")
N_TRAIN, N_OTHERS = (500, 400) if QUICK else (2000, 1500)
chosen = rng.permutation(len(pictures))[: N_TRAIN + 2 * N_OTHERS]
pictures, labels = pictures[chosen, None].astype(np.float32), labels[chosen]
pictures = (pictures - pictures.mean()) / pictures.std()
x_train, x_val, x_test = np.split(pictures, [N_TRAIN, N_TRAIN + N_OTHERS])
y_train, y_val, y_test = np.split(labels, [N_TRAIN, N_TRAIN + N_OTHERS])
print(f"{N_TRAIN} to train on, {len(x_val)} to choose rates by, and {len(x_test)} to test on")


def small_net(seed):
    rng = np.random.default_rng(seed)
    return Sequential(
        conv1=Conv2d(1, 8, 5, stride=2, pad=2, rng=rng),  # 14 x 14 x 8
        relu1=ReLU(),
        conv2=Conv2d(8, 16, 3, stride=2, pad=1, rng=rng),  # 7 x 7 x 16
        relu2=ReLU(),
        flatten=Flatten(),
        hidden=Linear(784, 64, rng=rng),
        relu3=ReLU(),
        scores=Linear(64, 10, initializer=normal(0.01), rng=rng),
    )


net, loss = small_net(0).train(), SoftmaxCrossEntropy()
loss.forward(net.forward(x_train[:256]), y_train[:256])
net.backward(loss.backward())
gradient = net.parameters()["hidden.w"].grad
before = np.linalg.svd(gradient, compute_uv=False)
after = np.linalg.svd(newton_schulz(gradient), compute_uv=False)
rank = min(int((before > 1e-3 * before[0]).sum()), 20)
spread = [values[0] / values[rank - 1] for values in (before / before[0], np.sort(after)[::-1])]
print(f"the first singular value is {spread[0]:.0f} times number {rank} in the gradient, {spread[1]:.1f} times in Muon's step")

figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 3.4), layout="constrained")
t = np.arange(1, 201)
left.plot(t, np.ones(len(t)), color=GREEN, label="corrected")
left.plot(t, (1 - beta1**t) / np.sqrt(1 - beta2**t), color=ORANGE, label="not corrected")
left.set(title="Adam's step, with a constant gradient", xlabel="step t", ylabel="length, in units of the rate", ylim=(0, None))
left.legend(fontsize=8)
for (title, remains), style in zip(left_over.items(), ("-", "--"), strict=True):
    for share, color, gradients in zip(remains.T, (BLUE, ORANGE), ("small", "large"), strict=True):
        middle.plot(share, color=color, ls=style, label=f"{title}, {gradients} gradients")
middle.set(title="Weight decay", xlabel="step", ylabel="what is left of weights of 1", ylim=(None, 1.02))
middle.legend(fontsize=8)
right.semilogy(before / before[0], ".", color=BLUE, label="gradient")
right.semilogy(np.sort(after)[::-1], ".", color=GREEN, label="Muon's direction")
right.set(title="Singular values, hidden layer", xlabel="number, from the largest", ylabel="singular value", ylim=(1e-4, 3))
right.legend(fontsize=8)
save(figure, HERE, "adam_and_muon")
claim(
    "Of a real layer's gradient a few directions are many times as long as others; in Muon's step they are nearly alike.",
    f"the first to number {rank} as {spread[0]:.0f} to 1, and as {spread[1]:.1f} to 1",
    spread[0] > 5 and spread[1] < 2,
)

# %% [markdown]
# ## 5. Second order: Newton's step, and why it goes to saddles
#
# Fit a parabola to the loss with the gradient $g$ and the Hessian $H$ (all second derivatives), and go to where its gradient
# is zero:
#
# $$w \leftarrow w - H^{-1} g .$$
#
# No rate, and the condition number does not matter: in any valley that is a parabola, one step is enough. But look along an
# eigenvector with the curvature $\lambda$: the step there is $-g_i / \lambda$. **Where $\lambda$ is negative it goes up**, to
# the point where the gradient is zero, which is the saddle. Newton's method does not look for minima, it looks for zeros of
# the gradient. Damping, $(H + \delta I)^{-1}$, helps if $\delta$ is larger than the size of the most negative curvature, and
# if it is much larger, the step is nearly one of gradient descent. One can take $|\lambda|$ in place of $\lambda$ (Dauphin et
# al. 2014), and go fast and down.
#
# The other reason why nobody trains networks so is the size of $H$.

# %%
section("5. Newton's step")


def newton_path(gradient, hessian, start, steps):
    """By minicnn's Newton, which is given the loss of all samples as a function; only the gradient matters here."""
    weight = Parameter(np.array(start, np.float64))
    optimizer = Newton({"w": weight}, hessian=hessian)
    places = [weight.value.copy()]

    def evaluate():
        weight.grad = gradient(weight.value)
        return 0.0

    for _ in range(steps):
        optimizer.step(evaluate)
        places.append(weight.value.copy())
    return np.array(places)


def saddle_hessian(w):
    return np.diag([1.0, 3 * w[1] ** 2 - 1])


one_step = newton_path(valley_gradient, lambda w: np.diag(CURVATURES), START, 1)
print(f"in the valley: loss {valley(one_step[0]):.2f}, after one step of Newton's {valley(one_step[1]):.1e}")

figure, ax = plt.subplots(figsize=(6.2, 4.2))
draw_contours(ax, saddle, (-1.7, 1.2, -1.3, 1.3), np.linspace(-0.25, 1.2, 13))
starts = np.stack([rng.uniform(-1.5, 1.0, 12), rng.choice([-1, 1], 12) * rng.uniform(0.05, 0.4, 12)], axis=1)
newton_ends, descent_ends = [], []
for start in starts:
    path = newton_path(saddle_gradient, saddle_hessian, start, 30)
    newton_ends.append(path[-1])
    ax.plot(*path.T, ".-", color=ORANGE, lw=1, ms=4)
    path = descend(lambda p: SGD(p, 0.1), saddle_gradient, start, 400)
    descent_ends.append(path[-1])
    ax.plot(*path.T, color=BLUE, lw=0.8)
    ax.plot(*start, "o", color=INK, ms=3)
start, absolute = np.array([-1.5, 0.05]), []
for _ in range(12):  # the step with |H|, which the exercise asks for; here H is diagonal
    absolute.append(start)
    start = start - np.linalg.solve(np.abs(saddle_hessian(start)) + 0.05 * np.eye(2), saddle_gradient(start))
ax.plot(*np.transpose(absolute), "s--", color=GREEN, ms=4, lw=1, label="Newton with |H|")
ax.plot([], [], color=ORANGE, label="Newton")
ax.plot([], [], color=BLUE, label="gradient descent")
ax.plot(0, 0, "x", color=INK, ms=9)
ax.legend(fontsize=8, loc="upper left")
ax.set(title="From twelve starts near the ridge", xlabel="x", ylabel="y")
save(figure, HERE, "newton")
to_saddle = np.linalg.norm(newton_ends, axis=1).max()
to_minimum = np.abs(saddle(np.array(descent_ends)) + 0.25).max()
claim(
    "From every start near the ridge Newton's method ends at the saddle, and gradient descent at a minimum.",
    f"of 12 starts, at most {to_saddle:.0e} from the saddle, and losses at most {to_minimum:.0e} above the minimum",
    to_saddle < 1e-6 and to_minimum < 1e-3,
)
D = sum(parameter.value.size for parameter in lenet5(rng=0).parameters().values())
print(f"\nLeNet-5 has {D:,} weights: its Hessian would have {D**2:.1e} elements, {8 * D**2 / 1e9:.0f} GB in float64,")
print(f"    and to solve for one step would take about {D**3 / 3:.0e} multiplications")

# %% [markdown]
# ## 6. L-BFGS: the curvature from what the gradients did
#
# After a step $s$ of the weights the gradient has changed by $y \approx H s$. So each step tells the curvature along one
# direction, for free. L-BFGS keeps the last $m$ pairs $(s, y)$, and computes its direction $-\tilde H^{-1} g$ from them with
# a few scalar products (the *two-loop recursion*, which is in the exercise). A line search then chooses how far to go.
# Memory and time: $2m$ vectors as long as $w$.
#
# It needs gradients without noise, for $y$ is a difference of two of them. With batches that difference is mostly noise. So
# L-BFGS is for **full-batch, deterministic problems**: a linear classifier on CNN codes (lesson 11, with
# `minicnn.linear_model`), style transfer, fitting a curve.
#
# We train a softmax classifier on the pixels of a thousand pictures, $L = $ cross-entropy $+ \frac\lambda2 |w|^2$, and count
# how often all of them are looked at. Gradient descent, momentum and SGD on batches each get six rates, and the best at the
# end counts; L-BFGS has none to search.

# %%
section("6. L-BFGS, beside gradient descent and SGD")
PASSES, STRENGTH = (15, 1e-2) if QUICK else (100, 1e-2)
flat, classes = x_train[:1000].reshape(-1, 784).astype(np.float64), y_train[:1000]
SIX = 10.0 ** (np.arange(6) / 2)  # six rates, from 1 up to 316 times as high


class Classifier:
    """A softmax classifier; `evaluate()` computes loss and gradient of all pictures, and takes note of the loss."""

    def __init__(self):
        self.net = Linear(784, 10, initializer=normal(0.001), rng=0).astype(np.float64).train()
        self.loss, self.penalty, self.losses = SoftmaxCrossEntropy(), L2(self.net.parameters(), STRENGTH), []

    def gradient(self, indices=...):
        value = self.loss.forward(self.net.forward(flat[indices]), classes[indices]) + self.penalty.value()
        self.net.backward(self.loss.backward())
        self.penalty.add_gradients()
        return value

    def evaluate(self):
        self.losses.append(self.gradient())
        return self.losses[-1]


def full_batch(rate, momentum):
    """The losses before each of PASSES steps, and after the last."""
    classifier = Classifier()
    optimizer = SGD(classifier.net.parameters(), rate, momentum=momentum)
    for _ in range(PASSES):
        classifier.evaluate()
        optimizer.step()
    classifier.evaluate()
    return np.array(classifier.losses)


def on_batches(rate, batch_size=50):
    """The losses of all pictures before the first pass and after each; the passes are of steps on batches."""
    classifier, order = Classifier(), np.random.default_rng(0)
    optimizer = SGD(classifier.net.parameters(), rate)
    for _ in range(PASSES):
        classifier.evaluate()  # to be drawn; not counted
        for indices in np.array_split(order.permutation(len(flat)), len(flat) // batch_size):
            classifier.gradient(indices)
            optimizer.step()
    classifier.evaluate()
    return np.array(classifier.losses)


def by_lbfgs(passes):
    classifier = Classifier()
    LBFGS(classifier.net.parameters(), tolerance=1e-10).step(classifier.evaluate, iterations=passes)
    return np.minimum.accumulate(classifier.losses)[: passes + 1]


def best_of_six(run, lowest):
    started = time.perf_counter()
    with np.errstate(over="ignore", invalid="ignore"):
        curves = {rate: run(rate) for rate in lowest * SIX}
    rate = min(curves, key=lambda rate: np.nan_to_num(curves[rate][-1], nan=np.inf))
    return rate, curves[rate], time.perf_counter() - started


minimum = by_lbfgs(400 if QUICK else 1000)[-1]
curves = {"L-BFGS": by_lbfgs(PASSES)}
print(f"the minimum is {minimum:.6f}; above it, after {PASSES} looks at all pictures:")
print(f"    {'L-BFGS':<18} {'':<12} {curves['L-BFGS'][-1] - minimum:.1e}")
for title, run, lowest in (
    ("gradient descent", lambda rate: full_batch(rate, 0.0), 1e-3),
    ("momentum", lambda rate: full_batch(rate, 0.9), 3e-4),
    ("SGD, batches of 50", lambda rate: on_batches(rate), 3e-4),
):
    rate, curves[title], seconds = best_of_six(run, lowest)
    print(f"    {title:<18} rate {rate:<7.2g} {curves[title][-1] - minimum:.1e}   (six rates, {seconds:.0f} s)")

figure, ax = plt.subplots(figsize=(6.8, 3.8))
for (title, curve), color in zip(curves.items(), (GREEN, GREY, BLUE, ORANGE), strict=True):
    ax.semilogy(np.maximum(curve - minimum, 1e-9), color=color, label=title)
ax.set(title="A softmax classifier on pictures", xlabel="looks at all pictures", ylabel="loss above the minimum")
ax.legend(fontsize=8)
save(figure, HERE, "lbfgs")
gap = {title: curve - minimum for title, curve in curves.items()}
claim(
    "L-BFGS, without a search, ends nearer to the minimum than gradient descent and momentum at the best of six rates.",
    f"{gap['L-BFGS'][-1]:.1e}, {gap['gradient descent'][-1]:.1e} and {gap['momentum'][-1]:.1e} above it",
    gap["L-BFGS"][-1] < min(gap["gradient descent"][-1], gap["momentum"][-1]),
)
claim(
    "SGD on batches is ahead of gradient descent after one look at the pictures, and behind L-BFGS in the end.",
    f"after one look {gap['SGD, batches of 50'][1]:.2g} and {gap['gradient descent'][1]:.2g} above the minimum, "
    f"at the end {gap['SGD, batches of 50'][-1]:.1e} and {gap['L-BFGS'][-1]:.1e}",
    gap["SGD, batches of 50"][1] < gap["gradient descent"][1] and gap["L-BFGS"][-1] < gap["SGD, batches of 50"][-1],
)

# %% [markdown]
# ## 7. The rate: too low, too high, and which optimiser
#
# Now the small convolutional network. A fair comparison gives every optimiser **the same effort of search**: here six rates
# each, a factor of $\sqrt{10}$ apart, around the usual ones, all with the same first weights and the same batches. The rate
# is chosen by the loss on validation pictures; then the best rate is run again with new seeds, and only then the test
# pictures are looked at.
#
# How to read a loss curve: *too low* falls, slowly, and is not done. *Good* falls fast and goes on falling. *Too high* falls
# at first and stays at a level that noise keeps up, or does not fall at all. *Far too high* is thrown out in a few steps.

# %%
section("7. Eight optimisers, six rates each")
EPOCHS = 1 if QUICK else 3


class Losses(Callback):
    """The loss of each batch."""

    def __init__(self):
        self.values = []

    def on_step_end(self, run):
        self.values.append(run.loss)


def train(make_optimizer, seed=0, epochs=EPOCHS, **options):
    """The Trainer with the trained network (None if the run broke down), and the losses of the batches up to then."""
    net, losses = small_net(seed), Losses()
    trainer = Trainer(
        net,
        SoftmaxCrossEntropy(),
        make_optimizer(net),
        epochs=epochs,
        seed=seed,
        callbacks=[losses],
        progress=False,
        **options,
    )
    try:
        trainer.fit(x_train, y_train)
    except TrainingError:
        return None, np.array(losses.values)
    return trainer, np.array(losses.values)


def score(trainer, x, y):
    """Loss and accuracy; infinite and 0 of a run that broke down."""
    return trainer.evaluate(x, y) if trainer else (np.inf, 0.0)


def muon_and_adamw(net, rate):
    inside, others = split_for_muon(net.parameters(), others=["conv1.w", "scores.w"])
    return OptimizerGroup([Muon(inside, rate), AdamW(others, 3e-3)])


CANDIDATES = {
    "SGD": (1e-2, GREY, lambda net, rate: SGD(net.parameters(), rate)),
    "momentum": (1e-3, BLUE, lambda net, rate: SGD(net.parameters(), rate, momentum=0.9)),
    "Nesterov": (1e-3, GREEN, lambda net, rate: SGD(net.parameters(), rate, momentum=0.9, nesterov=True)),
    "AdaGrad": (1e-3, VIOLET, lambda net, rate: AdaGrad(net.parameters(), rate)),
    "RMSProp": (1e-4, RED, lambda net, rate: RMSProp(net.parameters(), rate)),
    "Adam": (1e-4, ORANGE, lambda net, rate: Adam(net.parameters(), rate)),
    "AdamW": (1e-4, INK, lambda net, rate: AdamW(net.parameters(), rate)),
    "Muon and AdamW": (1e-3, "#2aa1a1", muon_and_adamw),
}
found, searched, histories = {}, {}, {}
for title, (lowest, _, make) in CANDIDATES.items():
    started = time.perf_counter()
    searched[title] = {}
    for rate in lowest * SIX:
        trainer, losses = train(lambda net, make=make, rate=rate: make(net, rate))
        searched[title][rate] = score(trainer, x_val, y_val)[0]
        histories[title, rate] = losses
    found[title] = min(searched[title], key=searched[title].get)
    values = "  ".join(f"{value:.2f}" for value in searched[title].values())
    seconds = time.perf_counter() - started
    print(f"{title:<15} from {lowest:g}: validation losses {values};  best rate {found[title]:.2g}  ({seconds:.0f} s)")


def smooth(losses, width=20):
    """A running mean over so many batches, fewer at the beginning."""
    sums = np.cumsum(np.concatenate([[0.0], losses]))
    ends = np.arange(1, len(losses) + 1)
    starts = np.maximum(ends - width, 0)
    return (sums[ends] - sums[starts]) / (ends - starts)


figure, (left, right) = plt.subplots(1, 2, figsize=(11.5, 4), layout="constrained")
shades = plt.cm.viridis(np.linspace(0.9, 0.05, 6))
for rate, shade in zip(searched["momentum"], shades, strict=True):
    losses = smooth(histories["momentum", rate])
    broke = "" if np.isfinite(searched["momentum"][rate]) else " (broke down)"
    left.plot(losses, color=shade, label=f"{rate:.2g}{broke}")
left.set(title="Momentum, six rates", xlabel="step", ylabel="loss of the batches, smoothed", ylim=(0, 3))
left.legend(fontsize=8, ncols=2, title="learning rate", title_fontsize=8)
for title, (_, color, _) in CANDIDATES.items():
    rates, values = zip(*searched[title].items(), strict=True)
    right.semilogx(rates, np.minimum(values, 2.6), ".-", color=color, label=title)
right.set(title=f"Eight optimisers, {EPOCHS} epochs", xlabel="learning rate", ylabel="validation loss", ylim=(None, 2.7))
right.legend(fontsize=8)
save(figure, HERE, "search")

print("\nwith its best rate, and new seeds:")
SEEDS = (1,) if QUICK else (1, 2, 3)
tested = {}
for title, (_, _, make) in CANDIDATES.items():
    runs = [train(lambda net, make=make, t=title: make(net, found[t]), seed)[0] for seed in SEEDS]
    tested[title] = [score(trainer, x_test, y_test) for trainer in runs]
    reached = [accuracy for _, accuracy in tested[title]]
    spread = f"{min(reached):.1%} to {max(reached):.1%}"
    print(f"{title:<15} rate {found[title]:<8.2g} test accuracy {np.mean(reached):.1%} ({spread})")

best = [min(values.values()) for values in searched.values()]
worst = [min(max(values.values()), np.log(10)) for values in searched.values()]  # log 10: nothing was learned
among_optimisers, among_rates = max(best) - min(best), min(w - b for w, b in zip(worst, best, strict=True))
claim(
    "The rate matters more: for every optimiser six rates differ by more than eight optimisers do at their best rates.",
    f"validation losses differ by {among_rates:.2f} at least among rates, by {among_optimisers:.2f} among optimisers",
    among_rates > among_optimisers,
)
inside = sum(found[title] not in (min(searched[title]), max(searched[title])) for title in found)
claim(
    "For nearly every optimiser the best of its six rates is neither the lowest nor the highest.",
    f"{inside} of {len(found)}",
    inside >= len(found) - 2,
)

# %% [markdown]
# ## 8. Schedules
#
# A schedule multiplies the base rate by a factor that depends on how much of the run has passed, $p$ from 0 to 1:
#
# | | factor |
# | --- | --- |
# | step | times 0.1 at given moments |
# | exponential | $f^p$, equal proportions |
# | 1/t | $1 / (1 + k p)$; the classical choice of Robbins and Monro |
# | linear | $1 - p$ |
# | cosine | $(1 + \cos \pi p) / 2$: high for long, and a soft landing |
# | warm restarts | cosine, again and again, each time longer; its low points make an ensemble ("snapshots") |
# | cyclic | triangles up and down |
# | warm-up | a straight rise at first, for the time when gradients are large and a high rate would throw the network out |
# | one cycle | warm-up and cosine as one wave, for a higher base rate |

# %%
section("8. Schedules")
SCHEDULES = {
    "step": step(),
    "exponential": exponential(),
    "1/t": one_over_t(),
    "linear": linear(),
    "cosine": cosine(),
    "cosine with warm-up": cosine(warmup=0.1),
    "warm restarts": warm_restarts(),
    "cyclic": cyclic(),
    "one cycle": one_cycle(),
}
figure, axes = plt.subplots(3, 3, figsize=(9.5, 5.4), sharex=True, sharey=True, layout="constrained")
progress = np.linspace(0, 1, 500)
for ax, (title, schedule) in zip(axes.flat, SCHEDULES.items(), strict=True):
    ax.plot(progress, [schedule(p) for p in progress], color=BLUE)
    ax.set_title(title)
figure.supxlabel("share of the run that has passed", fontsize=10)
figure.supylabel("factor on the base rate", fontsize=10)
save(figure, HERE, "schedules")

# %% [markdown]
# **What does a falling rate buy?** Section 3 gave the answer for a bowl: a constant rate keeps the loss above the minimum,
# in proportion to the rate. So start high, to get far, and end low, to settle. We train the network with momentum, at the
# rate that the search has found, for a longer run, with seven schedules and the same seeds. One of them is constant but for
# the last quarter, in which it falls to zero in a straight line: all that it gains is gained there. The opposite mistake is
# to fall too early: the noise is gone, and so is the speed, long before the network has learned what it could.

# %%
rate, LONGER = found["momentum"], 2 if QUICK else 6
compared = {"constant": constant(), "down at the end": lambda p: min(1.0, 4 * (1 - p))}
compared |= {title: SCHEDULES[title] for title in ("step", "exponential", "1/t", "linear", "cosine")}
curves, final, started = {}, {}, time.perf_counter()
for title, schedule in compared.items():
    runs = [train(lambda net: SGD(net.parameters(), rate, momentum=0.9), seed, LONGER, schedule=schedule) for seed in SEEDS]
    curves[title] = np.mean([smooth(losses, 30) for trainer, losses in runs if trainer], axis=0)
    final[title] = [(*score(trainer, x_train, y_train), score(trainer, x_test, y_test)[1]) for trainer, _ in runs]
    train_loss, _, test = np.mean(final[title], axis=0)
    seconds = time.perf_counter() - started
    print(f"{title:<20} training loss at the end {train_loss:.3f}, test accuracy {test:.1%}  ({seconds:.0f} s so far)")

figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.6), width_ratios=(2, 1), layout="constrained")
for title, color in (("constant", GREY), ("down at the end", ORANGE), ("cosine", BLUE), ("1/t", GREEN)):
    left.plot(curves[title], color=color, label=title)
left.set(title=f"Momentum from a rate of {rate:.2g}, mean over seeds", xlabel="step", ylabel="loss of the batches, smoothed")
left.set(ylim=(0, 2.4 if QUICK else 1.3))
left.legend(fontsize=8)
lasts = [np.mean(final[title], axis=0)[0] for title in compared]
right.barh(list(compared), lasts, color=[GREY, *[BLUE] * (len(compared) - 1)])
for y, runs in enumerate(final.values()):
    right.plot([run[0] for run in runs], [y] * len(runs), ".", color=INK, ms=4)
right.invert_yaxis()
right.set(title="Training loss at the end", xlabel="loss")
save(figure, HERE, "falling_rates")
losses_at_end = {title: np.mean(runs, axis=0)[0] for title, runs in final.items()}
right_at_end = {title: np.mean(runs, axis=0)[2] for title, runs in final.items()}
claim(
    "A rate that falls to zero in the last quarter of the run gets more test pictures right than one that stays.",
    f"{right_at_end['down at the end']:.1%} and {right_at_end['constant']:.1%}",
    right_at_end["down at the end"] > right_at_end["constant"],
)
claim(
    "A rate that falls too early, as 1/t does here, ends at a higher training loss than one that stays.",
    f"{losses_at_end['1/t']:.3f} and {losses_at_end['constant']:.3f}",
    losses_at_end["1/t"] > losses_at_end["constant"],
)
before_the_drop = len(curves["constant"]) * 49 // 100
halfway = ", ".join(f"{title} {curves[title][before_the_drop]:.3f}" for title in ("constant", "cosine", "1/t"))
print(f"loss of the batches just before half time: {halfway}")

# %% [markdown]
# ## 9. One bad batch: gradient clipping
#
# A single batch with a gigantic gradient can undo a long training, because the step is in proportion to the gradient. Clipping
# bounds it and keeps its direction: if the norm of *all* gradients together is above $c$, all of them are multiplied by
# $c / \text{norm}$. We spoil one batch in the middle of a run, by multiplying its pictures by 100 as a broken decoder might,
# without clipping and with it.

# %%
section("9. One bad batch")


class OneBadBatch:
    """Spoils a single batch: what is given to Trainer's `mix`."""

    def __init__(self, at):
        self.at, self.seen = at, 0

    def __call__(self, batch, targets, rng):
        self.seen += 1
        return (batch * np.float32(100) if self.seen == self.at else batch), targets


n_steps = -(-N_TRAIN // 32) * EPOCHS
bad = n_steps // 2
figure, ax = plt.subplots(figsize=(6.8, 3.4))
clipped = {}
for title, clip, color in (("not clipped", None, ORANGE), ("clipped to a norm of 1", 1.0, BLUE)):
    ends, shown = [], None
    for seed in SEEDS:
        mix = OneBadBatch(bad)
        trainer, losses = train(lambda net: SGD(net.parameters(), 0.02, momentum=0.9), seed, mix=mix, clip=clip)
        ends.append(score(trainer, x_train, y_train)[0])
        shown = losses if shown is None else shown
    clipped[title] = ends
    ax.semilogy(np.arange(1, len(shown) + 1), shown, color=color, lw=1, label=title)
    print(f"{title:<24} training loss at the end: {', '.join(f'{end:.2f}' for end in ends)}  (infinite: broke down)")
ax.axhline(np.log(10), color=GREY, lw=0.8)
ax.text(1, np.log(10) * 1.1, "log 10: knows nothing", color=GREY, fontsize=8)
ax.set(title=f"Batch {bad} has pictures 100 times too bright", xlabel="step", ylabel="loss of the batch")
ax.legend(fontsize=8)
save(figure, HERE, "clipping")
claim(
    "After one spoiled batch, the run with clipped gradients ends at a lower loss than the one without.",
    f"highest with clipping {max(clipped['clipped to a norm of 1']):.2f}, lowest without {min(clipped['not clipped']):.2f}",
    max(clipped["clipped to a norm of 1"]) < min(clipped["not clipped"]),
)

# %% [markdown]
# ## Which one, then?
#
# - **First the rate.** Try a few, a factor of three apart (`minicnn.training.range_test` does it in one short run).
# - **SGD with momentum (or Nesterov's)** and a falling rate: for convolutional networks still hard to beat, with the rate
#   well chosen.
# - **AdamW**: works over a wider range of problems with its usual rates; the first choice where gradients differ much in size
#   from layer to layer.
# - **L-BFGS**: full batch, no noise, smooth loss, and then by far the fastest.
# - **Newton**: a few weights, near a minimum.
# - Add a **warm-up** if the run breaks down early, **clipping** if it breaks down now and then.
#
# ## What this lesson claims
#
# - Gradient descent arrives with a rate just below 2 over the largest curvature, and is thrown out just above it.
# - Turning the valley changes nothing for SGD and momentum, but changes how far AdaGrad, RMSProp and Adam get.
# - In the turned valley AdaGrad, with the best of nine rates, ends higher than in the one along the axes.
# - From a ridge, exact gradients never get away and noisy ones do.
# - With noisy gradients and a constant rate, half the rate leaves about half the loss.
# - Adam's first step is as long as the rate, whatever the gradient's size; uncorrected it would be about three times that.
# - AdamW shrinks all weights alike; with Adam and L2 those with large gradients hardly shrink.
# - Of a real layer's gradient a few directions are many times as long as others; in Muon's step they are nearly alike.
# - From every start near the ridge Newton's method ends at the saddle, and gradient descent at a minimum.
# - L-BFGS, without a search, ends nearer to the minimum than gradient descent and momentum at the best of six rates.
# - SGD on batches is ahead of gradient descent after one look at the pictures, and behind L-BFGS in the end.
# - The rate matters more: for every optimiser six rates differ by more than eight optimisers do at their best rates.
# - For nearly every optimiser the best of its six rates is neither the lowest nor the highest.
# - A rate that falls to zero in the last quarter of the run gets more test pictures right than one that stays.
# - A rate that falls too early, as 1/t does here, ends at a higher training loss than one that stays.
# - After one spoiled batch, the run with clipped gradients ends at a lower loss than the one without.

# %%
print_claims()

# %% [markdown]
# ## Questions
#
# 1. You halve the batch size. The noise of the gradient gets larger. What does section 3 say about the rate with which the loss
#    ends at the same level as before?
#
# <details><summary>Answer</summary>
#
# The variance of a mean over half as many samples is twice as large, $\sigma^2 \to 2\sigma^2$. The level is about
# $\eta\sigma^2 / 4$ per weight, so half the rate leaves the same loss. This is the "linear scaling rule" read backwards: $k$
# times the batch, $k$ times the rate, as long as the rate stays below $2 / \lambda_{\max}$.
#
# </details>
#
# 2. All gradients are multiplied by 1000, because somebody sums the loss over samples instead of averaging it. What must be
#    done to the rates of SGD, AdaGrad, Adam, and to the damping of Newton's method, for the paths to stay as they were?
#
# <details><summary>Answer</summary>
#
# SGD (with or without momentum): the rate by 1000 down. AdaGrad and Adam: nothing, the size cancels in $g / \sqrt{c}$ and
# $m / \sqrt{v}$ (but for $\epsilon$). Newton: $H$ grows by 1000 as well and $H^{-1} g$ stays; so the damping, which is added to
# $H$, must grow by 1000. L-BFGS: nothing, but for its very first step.
#
# </details>
#
# 3. Why does nobody use L-BFGS on batches as it is, though a batch costs so much less than all samples?
#
# <details><summary>Answer</summary>
#
# $y$ is the difference of two gradients, and with different batches it has the noise of both. The step $s$ is short, so the
# true difference $H s$ is small and the noise is not: the curvature that is learned is mostly noise, even in its sign. The
# line search, too, compares losses that are not of the same function. With the *same* batch for both gradients of a pair,
# and large batches, there are stochastic variants.
#
# </details>
#
# ## Further reading
#
# - Sutskever, Martens, Dahl and Hinton 2013, *On the importance of initialization and momentum in deep learning*: section 2
#   has momentum and Nesterov's side by side.
# - Duchi, Hazan and Singer 2011, *Adaptive Subgradient Methods* (AdaGrad): section 1.1 is enough to see the idea.
# - Kingma and Ba 2015, *Adam*, arXiv 1412.6980: algorithm 1; section 3 derives the bias correction.
# - Loshchilov and Hutter 2019, *Decoupled Weight Decay Regularization*, arXiv 1711.05101: section 2.
# - Loshchilov and Hutter 2017, *SGDR*, arXiv 1608.03983: section 3, warm restarts. Smith 2017, arXiv 1506.01186: section 3,
#   cycles and the range test.
# - Dauphin et al. 2014, *Identifying and attacking the saddle point problem*, arXiv 1406.2572: sections 2 to 5.
# - Nocedal and Wright 2006, *Numerical Optimization*: chapter 7.2, L-BFGS.
# - Jordan et al. 2024, *Muon*, kellerjordan.github.io/posts/muon.
# - Goyal et al. 2017, arXiv 1706.02677: section 2.2, warm-up.
# - In this project: [docs/training.md](../../docs/training.md), and the modules `minicnn.optim` and `minicnn.schedules`, whose
#   docstrings have all equations with their sources.
#
# ## Next
#
# An optimiser makes the *training* loss small. That is not what we want in the end: lesson 8, on regularisation, is about
# the gap between training and validation. First the exercise: `exercise.py` asks for the steps of this lesson, each a few
# lines; then run
#
#     minicnn check 7

# %%
print("\nnow you: exercise.py, then minicnn check 7")
