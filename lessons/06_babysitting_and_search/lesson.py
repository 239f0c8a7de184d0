# %% [markdown]
# # Lesson 6. Babysitting and hyper-parameter search
#
# **Before**: the losses of lesson 1, backpropagation (lesson 2), convolution and pooling (lesson 3), how weights start and
# how units die (lesson 4). A training step is $w \leftarrow w - \eta\, dw$ on a batch of pictures, all through this lesson;
# cleverer steps come in lesson 7.
#
# **After**: you can tell before the first step, after twenty pictures and from the first epochs whether a training run is
# going to work, and say what is wrong if it is not. You can search for a learning rate and a regularisation strength with a
# budget, at random and on a log scale, from coarse to fine and by successive halving, and report honestly what came of it.
#
# A network has millions of numbers that are learned, and a handful that are not: the learning rate, the strength of the
# regularisation, the number of epochs, the width of the layers. These are its **hyper-parameters**. No gradient leads to them.
# What there is instead is a routine: first make sure that the run *can* work, then watch it, and only then search.
#
# Run it (`minicnn lesson 6`, with `--quick` for a first look), or open it as a notebook. All numbers are measured as it runs,
# and the figures go to `out/` beside it. Then do the exercise: `minicnn check 6`.
# [docs/training.md](../../docs/training.md) has the same tools on LeNet-5.

# %%
import itertools
import math
import textwrap
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy.interpolate import RegularGridInterpolator
from scipy.stats import spearmanr
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
from minicnn.data import load_fashion_mnist
from minicnn.errors import TrainingError
from minicnn.initializers import msra, normal
from minicnn.layers import Conv2d, Flatten, Linear, MaxPool2d, ReLU, Sequential
from minicnn.losses import SoftmaxCrossEntropy, SVMHinge
from minicnn.optim import SGD
from minicnn.regularizers import L2
from minicnn.search import LogUniform, Study, halving_schedule
from minicnn.training import LayerMonitor, Trainer, range_test, sanity_check
from minicnn.training.callbacks import Callback
from minicnn.viz import monitoring_figure, random_against_grid_figure, range_test_figure, search_figure

HERE = Path(globals().get("__file__", "lesson.py")).resolve().parent
rng = np.random.default_rng(6)
CLASSES, BATCH = 10, 50
SMALL = normal(0.01)
N_TRAIN, N_VAL, N_TEST = (300, 300, 1000) if QUICK else (600, 500, 4000)

# %% [markdown]
# ## 1. Three sets of pictures, and a small network
#
# Whatever is *chosen* is chosen by somebody's pictures. There are three sets, and each has one job:
#
# - **training** pictures move the weights;
# - **validation** pictures decide everything that the gradient does not: hyper-parameters, the epoch to stop at, the
#   architecture;
# - **test** pictures are asked once, at the very end, and decide nothing. Section 11 measures what happens otherwise.
#
# Even the mean that is subtracted from all pictures is that of the training pictures. To be able to train hundreds of networks
# in a minute we take few pictures, shrunk to 14 x 14, and a network of one convolution and one hidden layer.

# %%
section("1. Pictures and network")
if folder := find_data("fashion-mnist"):
    x, y, x_test, y_test = load_fashion_mnist(folder)
    print("clothes: Fashion-MNIST, from the data folder")
else:
    (x, y), (x_test, y_test) = drawn_digits(N_TRAIN + N_VAL, rng), drawn_digits(N_TEST, rng)
    x, x_test = (np.clip(p + rng.normal(0, 70, p.shape), 0, 255) for p in (x, x_test))
    print("there is no fashion-mnist/ in the folder that MINICNN_DATA names: digits of a font, with much noise")
chosen, tested = rng.permutation(len(x))[: N_TRAIN + N_VAL], rng.permutation(len(x_test))[:N_TEST]
x, y, x_test, y_test = x[chosen], y[chosen], x_test[tested], y_test[tested]
x, x_test = (p.reshape(-1, 1, 14, 2, 14, 2).mean(axis=(3, 5)) for p in (x, x_test))
mean, std = x[:N_TRAIN].mean(), x[:N_TRAIN].std()
x, x_test = (((p - mean) / std).astype(np.float32) for p in (x, x_test))
(x, x_val), (y, y_val) = np.split(x, [N_TRAIN]), np.split(y, [N_TRAIN])
print(f"{len(x)} pictures to train on, {len(x_val)} to choose by, {len(x_test)} to test with at the end")


def network(seed, last=SMALL, hidden=msra):
    """A convolution, a hidden layer of 32, and the scores."""
    rng = np.random.default_rng(seed)
    return Sequential(
        conv=Conv2d(1, 8, 3, pad=1, rng=rng),
        relu1=ReLU(),
        pool=MaxPool2d(2),  # 7 x 7 x 8
        flatten=Flatten(),
        hidden=Linear(392, 32, initializer=hidden, rng=rng),
        relu2=ReLU(),
        scores=Linear(32, CLASSES, initializer=last, rng=rng),
    )


def trainer_of(net, rate, epochs, *, decay=0.0, seed=0, callbacks=()):
    """Plain gradient descent on batches, at a constant rate; decay is the strength of L2."""
    return Trainer(
        net,
        SoftmaxCrossEntropy(),
        SGD(net.parameters(), rate, weight_decay=decay),
        epochs=epochs,
        batch_size=BATCH,
        seed=seed,
        callbacks=callbacks,
        progress=False,
    )


# %% [markdown]
# ## 2. Before the first step: the loss
#
# A new network knows nothing, so its scores should be about equal, and its loss that of scores that are all 0:
#
# | loss of a sample | at scores 0 |
# | --- | --- |
# | softmax: $-\log p_y$ | $-\log \frac1C = \log C$, 2.30 for ten classes |
# | hinge: $\sum_{j \ne y} \max(0,\, s_j - s_y + 1)$ | $C - 1$: each wrong class misses the margin by 1 |
#
# What if the scores are not 0, but random, with a mean square of $s^2$? They still know nothing, and cost more. Let the last
# layer have independent weights, normally distributed around 0. Both losses are convex functions of the scores, so that by
# Jensen's inequality ($E[f(s)] \ge f(E[s])$ for a convex $f$) the mean loss is at least that of the mean scores, which are 0.
# From above, again by Jensen,
#
# $$E[L_\text{softmax}] = E\Big[\log \sum_j e^{s_j}\Big] - E[s_y] \;\le\; \log \sum_j E[e^{s_j}] \;=\; \log C + \frac{s^2}{2},
# \qquad
# E[L_\text{hinge}] \;\le\; (C - 1)\Big(1 + \frac{s}{\sqrt\pi}\Big),$$
#
# the second because $\max(0, 1 + d) \le 1 + \max(0, d)$, and for a difference $d$ of two scores $E[\max(0, d)] = s / \sqrt\pi$.
# (Where $s$ differs from picture to picture, both hold for the mean loss, with the mean square over all pictures.)
# **So a loss far above $\log C$ says that the scores are too large**: inputs that are not standardised, or initial weights
# that are too large. A loss far *below* it says that the network knows the answers from somewhere.
#
# We put 200 random last layers on the same hidden layer, for several sizes of the weights. (To each of them belongs one with
# all signs flipped. So the mean of the scores is exactly 0, and the lower bound holds to the last digit.)

# %%
section("2. Before the first step")
features = network(0).split("relu2")[0].forward(x[:256])
softmax_loss, hinge_loss = SoftmaxCrossEntropy(), SVMHinge()
sizes, initial = [], []
for size in np.geomspace(0.003, 1.5, 12):
    w = size * rng.standard_normal((200, CLASSES, features.shape[1]))
    scores = np.einsum("nd,mkd->mnk", features, np.concatenate([w, -w])).reshape(-1, CLASSES)
    labels = np.tile(y[:256], 400)
    sizes.append(np.sqrt(np.mean(scores**2)))
    initial.append([loss.forward(scores, labels) for loss in (softmax_loss, hinge_loss)])
sizes, initial = np.array(sizes), np.array(initial)
lower = np.array([np.log(CLASSES), CLASSES - 1])
upper = np.stack([np.log(CLASSES) + sizes**2 / 2, (CLASSES - 1) * (1 + sizes / np.sqrt(np.pi))], axis=1)
for s, values in zip(sizes[::3], initial[::3], strict=True):
    print(f"random scores of size {s:6.3f}: softmax {values[0]:7.3f}, hinge {values[1]:7.3f}")
figure, axes = plt.subplots(1, 2, figsize=(9, 3.3), layout="tight")
for k, (ax, title) in enumerate(zip(axes, ("softmax", "hinge"), strict=True)):
    ax.fill_between(sizes, lower[k], upper[:, k], color=BLUE, alpha=0.12, lw=0, label="between the bounds")
    ax.loglog(sizes, initial[:, k], "o-", color=BLUE, label="measured")
    ax.axhline(lower[k], color=INK, lw=0.8, ls="--", label=("log C", "C - 1")[k])
    ax.axhline(2 * lower[k], color=ORANGE, lw=0.8, ls=":", label="twice that: sanity_check objects")
    ax.set(xlabel="size of the scores (root mean square)", ylabel="initial loss", title=f"{title}: random scores cost more")
    ax.set(ylim=(0.8 * lower[k], 20 * lower[k]))
    ticks = ((2, 5, 10, 20, 40), (10, 20, 50, 100))[k]
    ax.set_yticks(ticks, [str(tick) for tick in ticks])
    ax.minorticks_off()
    ax.legend(fontsize=8, loc="upper left")
save(figure, HERE, "initial_loss")
claim(
    "Random scores cost at least log C with a softmax and C - 1 with a hinge, and no more than the bounds say.",
    f"the nearest are {np.min(initial - lower):.0e} above a lower and {np.min(upper - initial):.0e} below an upper bound",
    np.all(initial > lower - 1e-9) and np.all(initial < upper + 1e-9),
)

# %% [markdown]
# **Regularisation raises the loss.** That is the second thing to look at: switch it on, and the loss must go up by
# $R = \frac\lambda2 \sum w^2$. By how much is known beforehand. A layer whose $n$ weights were drawn with variance $v$ has
# $\sum w^2 \approx n v$, which for MSRA's $v = 2 / \text{fan-in}$ is twice the number of its units (or filters).
#
# (Mind which number your program prints. `Trainer` reports the loss of the data without the penalty, so that it can be held
# against $\log C$ with any regularisation.)

# %%
net = network(0)
data_loss = softmax_loss.forward(net.forward(x), y)
variances = {"conv": 2 / 9, "hidden": 2 / 392, "scores": 0.01**2}
expected = sum(variance * net.layers[name].w.value.size for name, variance in variances.items())
print(f"loss of the data {data_loss:.3f}; log C = {np.log(CLASSES):.3f}")
penalties = {lam: L2(net.parameters(), lam).value() for lam in (1e-4, 1e-3, 1e-2, 0.1, 1.0)}
for lam, penalty in penalties.items():
    print(f"lambda {lam:<7g} loss {data_loss + penalty:7.3f}; the variances say {data_loss + lam / 2 * expected:.3f}")
off = max(abs(penalty / (lam / 2 * expected) - 1) for lam, penalty in penalties.items())
claim(
    "An L2 penalty raises the initial loss by what the variances of the initial weights say.",
    f"the penalty is within {off:.1%} of it for all of {len(penalties)} strengths",
    off < 0.15 and min(penalties.values()) > 0,
)

# %% [markdown]
# ## 3. Before the training: twenty pictures by heart
#
# Take twenty pictures, no regularisation, and train until the loss is about 0 and all are right. That is no achievement: the
# network has thousands of weights for twenty labels, and it learns *random* labels just as well. **It is a test of the
# program, not of the network.** Whoever cannot learn twenty pictures by heart has a mistake somewhere: in a gradient, in the
# labels, in the rate; and it is found in seconds here, and not after a night.

# %%
section("3. Twenty pictures by heart")


class Losses(Callback):
    """The loss of each step's batch."""

    def on_fit_begin(self, run):
        self.values = []

    def on_step_end(self, run):
        self.values.append(run.loss)


STEPS = 150 if QUICK else 400


def by_heart(labels):
    net, losses = network(1), Losses()
    trainer = trainer_of(net, 0.1, STEPS, callbacks=[losses])
    trainer.fit(x[:20], labels)
    return losses.values, trainer.evaluate(x[:20], labels)[1]


learned = {"the right labels": by_heart(y[:20]), "random labels": by_heart(rng.permutation(y[:20]))}
for title, (losses, accuracy) in learned.items():
    print(
        f"twenty pictures with {title}: loss {losses[0]:.2f} -> {losses[-1]:.4f} in {len(losses)} steps, {accuracy:.0%} right"
    )
claim(
    "Twenty pictures are learned by heart, with random labels as well as with the right ones.",
    "; ".join(f"{title} {losses[-1]:.3f}, {accuracy:.0%}" for title, (losses, accuracy) in learned.items()),
    all(losses[-1] < 0.1 and accuracy == 1 for losses, accuracy in learned.values()),
)

# %% [markdown]
# `minicnn.training.sanity_check` does all of this, on copies of network and optimiser: the outputs, the initial loss, the
# penalty, twenty samples by heart, and whether a gradient other than 0 arrives at every weight. Here on the healthy network,
# and then on eight that are spoiled on purpose.

# %%


def check(net, pictures=x, *, rate=0.1, decay=0.0, log=lambda line: None):
    regularizer = L2(net.parameters(), decay) if decay else None
    optimizer = SGD(net.parameters(), rate)
    return sanity_check(
        net, SoftmaxCrossEntropy(), (pictures, y), optimizer=optimizer, regularizer=regularizer, steps=STEPS, log=log
    )


print("the healthy network:")
healthy = check(network(1), decay=1e-3, log=lambda line: print("   ", line))


def wrapped(text):
    return textwrap.fill(text, 118, initial_indent="    ", subsequent_indent="    ")


def with_outputs(n):
    net = network(1)
    net.layers["scores"] = Linear(32, n, initializer=SMALL, rng=1)
    return net


def with_dead_hidden_layer():
    net = network(1)
    net.layers["hidden"].b.value[...] = -30
    return net


def with_frozen_last_layer():
    net = network(1)
    net.layers["scores"].freeze()
    return net


spoiled = {
    "pixels from 0 to 255": ("initial loss", lambda: check(network(1), (x * std + mean).astype(np.float32))),
    "last layer with weights of 1": ("initial loss", lambda: check(network(1, last=normal(1.0)))),
    "twelve outputs for ten classes": ("outputs", lambda: check(with_outputs(12))),
    "biases of -30 in the hidden layer": ("gradients", lambda: check(with_dead_hidden_layer())),
    "all weights of hidden layer and scores 0": (
        "gradients",
        lambda: check(network(1, last=normal(0), hidden=normal(0))),
    ),
    "last layer frozen": ("trained layers", lambda: check(with_frozen_last_layer())),
    "a rate of 0.00001": ("by heart", lambda: check(network(1), rate=1e-5)),
    "a rate of 100": ("by heart", lambda: check(network(1), rate=100.0)),
}
found = {}
for title, (culprit, run) in spoiled.items():
    report = run()
    found[title] = [each.name for each in report.checks if each.ok is False]
    words = report[culprit].words if culprit in found[title] else "NOT FOUND"
    print(f"{title}\n{wrapped(f'{culprit}: {words}')}")
claim(
    "Of eight networks spoiled on purpose, sanity_check names what is wrong in each, and nothing in the healthy one.",
    f"{sum(culprit in found[title] for title, (culprit, _) in spoiled.items())} of {len(spoiled)}; healthy: {healthy.ok}",
    healthy.ok and all(culprit in found[title] for title, (culprit, _) in spoiled.items()),
)

# %% [markdown]
# ## 4. The first epochs: the learning rate
#
# Of all hyper-parameters the rate $\eta$ matters most, and the loss curve tells about it soon:
#
# - **too low**: the loss hardly falls, nearly in a straight line;
# - **good**: it falls fast at first, then ever more slowly;
# - **too high**: it falls and stays on a plateau, or jumps about;
# - **far too high**: it explodes, and soon is infinite or NaN ("not a number"). `Trainer` stops there and says in which layer
#   it happened first.
#
# In between lies a trap: the network is thrown out, all units of a layer die (lesson 4), and the loss comes *back*, to about
# $\log C$, and stays there for ever. All that is left to learn with are the biases of the last layer. So a loss that does not
# fall may come from a rate that is too low *or* too high; section 6 tells the two apart. (The exercise makes rules of all
# this.)
#
# Eleven rates, half a decade (a factor of 3.2) apart, from the same initial weights. A `LayerMonitor` looks on; section 6 is
# about what it sees.

# %%
section("4. The learning rate")
RATES = np.geomspace(1e-4, 10, 11)
EPOCHS = 4 if QUICK else 10


class Run:
    """What came of a rate: losses by step, accuracies, dead units, and what broke down."""

    def __init__(self, rate, seed=0):
        self.rate, losses, self.monitor = rate, Losses(), LayerMonitor(every=4)
        net = network(seed)
        self.first = softmax_loss.forward(net.forward(x), y)
        trainer = trainer_of(net, rate, EPOCHS, seed=seed, callbacks=[losses, self.monitor])
        try:
            trainer.fit(x, y, x_val, y_val)
            self.error = ""
        except TrainingError as error:
            self.error = str(error)
        self.losses, self.epochs = np.array(losses.values), trainer.history.epochs
        self.last = math.inf if self.error else self.epochs[-1]["loss"]
        self.accuracy = float("nan") if self.error else self.epochs[-1]["val_accuracy"]
        hidden = net.split("relu2")[0].eval().forward(x)  # with the weights of the best epoch, which the Trainer keeps
        self.dead = float((hidden == 0).all(axis=0).mean())


runs = [Run(rate) for rate in tqdm(RATES, desc="rates", delay=2, leave=False)]
for run in runs:
    if run.error:
        print(f"rate {run.rate:<8.2g} broke down after {len(run.losses)} steps")
    else:
        highest = f", highest loss of a step {run.losses.max():.2g}" if run.losses.max() > 3 * run.first else ""
        print(f"rate {run.rate:<8.2g} loss {run.first:.2f} -> {run.last:.3f}, validation {run.accuracy:.1%}{highest}")
broken = [run for run in runs if run.error]
if broken:
    print(f"what the Trainer said at {broken[0].rate:.2g}:\n{wrapped(broken[0].error)}")
best = min(runs, key=lambda run: run.last)
thrown_out = [run for run in runs if run.error or run.losses.max() > 3 * run.first]
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), layout="tight")
window = np.ones(9) / 9
colours = plt.get_cmap("viridis")(np.linspace(0, 0.92, len(runs)))
for run, colour in zip(runs, colours, strict=True):
    smooth = np.convolve(run.losses, window, "valid") if len(run.losses) > 9 else run.losses
    left.plot(np.arange(len(smooth)) + len(run.losses) - len(smooth), smooth, color=colour, label=f"{run.rate:.2g}", lw=1.3)
left.axhline(np.log(CLASSES), color=GREY, lw=0.8, ls="--")
left.set(ylim=(0, 3.2), xlabel="step", ylabel="loss (mean of nine steps)", title="Loss curves by rate")
left.legend(title="rate", fontsize=7, title_fontsize=7, ncols=2, loc="lower left")
finite = [run for run in runs if not run.error]
right.semilogx([run.rate for run in finite], [run.last for run in finite], "o-", color=BLUE, label="loss, last epoch")
right.semilogx([run.rate for run in finite], [run.accuracy for run in finite], "o-", color=GREEN, label="validation accuracy")
for k, run in enumerate(broken):
    right.axvline(run.rate, color=ORANGE, ls=":", label=None if k else "broke down")
right.set(xlabel="learning rate", ylim=(0, 3), title=f"After {EPOCHS} epochs")
right.legend(fontsize=8)
save(figure, HERE, "rates")
claim(
    "At the highest rates the loss is thrown out above three times its first value, or becomes infinite or NaN.",
    f"at {', '.join(f'{run.rate:.2g}' for run in thrown_out)}; best rate {best.rate:.2g}",
    bool(thrown_out) and runs[-1] in thrown_out and all(run.rate > best.rate for run in thrown_out),
)
early = [
    (e["val_accuracy"], run, e) for run in runs for e in run.epochs if run.rate < best.rate and e["loss"] > 0.95 * run.first
]
accuracy, run, epoch = max(early, key=lambda item: item[0])
print(f"at a rate of {run.rate:.2g}, in epoch {epoch['epoch']}, the loss is still {epoch['loss']:.3f},", end=" ")
print(f"and {accuracy:.1%} of the validation pictures are right")
claim(
    "While the loss has fallen by less than a twentieth, the accuracy is already well above chance.",
    f"loss {epoch['loss']:.2f} from {run.first:.2f}, {accuracy:.1%} right, of ten classes",
    accuracy > 1.5 / CLASSES,
)

# %% [markdown]
# The last line puzzles many: the loss has hardly moved, so where does the accuracy come from? The answer is the class with the
# *highest* score, by however little. At the start all probabilities are about $1/C$. A few steps push the right ones up a
# little, to 0.12 say: the loss has gone from $-\log 0.10$ to $-\log 0.12$, which is little, but the right class may be ahead
# of the others already. (Lesson 8 has the reverse: there the loss rises and the accuracy stays.)
#
# ## 5. One short run for all rates: the range test
#
# Eleven runs were a luxury. `range_test` (after Smith 2017, who raised the rate by equal amounts) trains a copy of the network
# once, for a hundred steps, and raises the rate from step to step by equal factors, until the loss explodes:
#
# $$\eta_i = \eta_\text{low} \left( \eta_\text{high} / \eta_\text{low} \right)^{i / (n - 1)} .$$
#
# A rate is a good first guess where the loss falls most steeply, and safely below that of the explosion.

# %%
section("5. The range test")
suggestions = {}
for seed in range(2 if QUICK else 4):
    result = range_test(trainer_of(network(seed), 0.1, 1, seed=seed), x, y, low=1e-4, high=10, steps=100)
    suggestions[seed] = result.suggestion
    print(f"seed {seed}: {result.text()}")
    if seed == 0:
        save(range_test_figure(result), HERE, "range_test")
suggested = float(np.median(list(suggestions.values())))
good = min(finite, key=lambda run: abs(math.log(run.rate / suggested)))
print(f"the nearest of the eleven rates is {good.rate:.2g}, with a loss of {good.last:.3f}; the lowest is {best.last:.3f}")
claim(
    "The range test suggests a rate within a factor of ten of the best of eleven, and the nearest one trains nearly as well.",
    f"{', '.join(f'{s:.2g}' for s in suggestions.values())}, and {best.rate:.2g}; loss {good.last:.2f} and {best.last:.2f}",
    all(0.1 < suggestion / best.rate < 10 for suggestion in suggestions.values()) and good.last < best.last + 0.3,
)

# %% [markdown]
# The test is short, and its batches are noisy: other initial weights give another suggestion, of the same order of magnitude.
# What remains within that is for the search of section 8.
#
# ## 6. While it runs: what the layers do
#
# The loss is one number for the whole network. If it does not fall, *which* layer is to blame? Three things are worth watching
# in each:
#
# - **Update / weight ratio**, $|\Delta w| / |w|$: how far a step moves a layer's weights, as a share of their length. A rule of
#   thumb says about $10^{-3}$. Much more, and the weights are thrown about; much less, and they stay as they were drawn.
# - **Activations**: mean and standard deviation of each layer's outputs. They should neither shrink nor grow much from layer to
#   layer (lesson 4).
# - **Dead units** of ReLUs: zero for every picture, so that no gradient reaches the unit's weights. In the first layer such a
#   unit does not come back, for its inputs stay what they are; deeper down it may, if the layers below it move.
#
# For plain gradient descent the ratio is $\eta\, |dw| / |w|$: in the first step, where weights and gradients do not depend on
# the rate, it is *proportional* to it. The rule of thumb is then a rule for the rate. It is a rough one: in short runs like
# these, at a rate that never falls, good ratios are larger. And it means nothing for a layer that starts near 0 on purpose, as
# our scores do: any step is long beside weights that are as good as nothing.

# %%
section("6. Update ratios, activations, dead units")
LAYERS = ("conv", "hidden", "scores")
print(f"{'rate':<10}" + "".join(f"{f'|dw|/|w| {name}':>20}" for name in LAYERS) + f"{'dead hidden units':>20}{'loss':>10}")
medians = {}
for run in finite:
    series = run.monitor.series("update_ratio")
    medians[run.rate] = {name: float(np.median(series[name][1])) for name in LAYERS}
    ratios = "".join(f"{medians[run.rate][name]:>20.1e}" for name in LAYERS)
    print(f"{run.rate:<10.2g}{ratios}{run.dead:>20.0%}{run.last:>10.3f}")
first_ratio = {
    run.rate: run.monitor.records[0]["layers"]["hidden"]["update_ratio"] / run.rate for run in finite if run.rate > 9e-4
}
spread = max(first_ratio.values()) / min(first_ratio.values()) - 1
claim(
    "In the first step the update ratio is proportional to the learning rate.",
    f"ratio / rate is the same for {len(first_ratio)} rates within {spread:.2%}",
    spread < 0.02,
)
far_below = min(finite, key=lambda run: abs(math.log(100 * run.rate / good.rate)))
moves, moves_below = ([medians[run.rate][name] for name in ("conv", "hidden")] for run in (good, far_below))
claim(
    "A step at the suggested rate moves convolution and hidden layer by 1/10,000 to 1/20 of their length.",
    f"{moves[0]:.1e} and {moves[1]:.1e}; at a hundredth of the rate {moves_below[0]:.1e} and {moves_below[1]:.1e}",
    all(1e-4 < ratio < 1 / 20 for ratio in moves) and all(ratio < 1e-4 for ratio in moves_below),
)
print(f"\nthe monitor's own words on the run at {good.rate:.2g}:")
print("\n".join(map(wrapped, good.monitor.text().splitlines())))
save(monitoring_figure(good.monitor), HERE, "monitoring")
most_dead = max(finite, key=lambda run: run.dead)
print(f"\nand on the run at {most_dead.rate:.2g}:")
print("\n".join(map(wrapped, most_dead.monitor.text().splitlines())))

figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.4), layout="tight")
for name, colour in zip(LAYERS, (BLUE, ORANGE, GREEN), strict=True):
    left.loglog(list(medians), [ratios[name] or np.nan for ratios in medians.values()], "o-", color=colour, label=name)
left.axhline(1e-3, color=GREY, ls=":")
left.axvline(good.rate, color=INK, lw=0.8, ls="--", label="suggested rate")
left.set(xlabel="learning rate", ylabel="|dw| / |w|, median over the run", ylim=(1e-7, 1))
left.set(title="Update ratios (none where nothing moves)")
left.legend(fontsize=8)
right.semilogx([run.rate for run in finite], [100 * run.dead for run in finite], "o-", color=BLUE)
right.axvline(good.rate, color=INK, lw=0.8, ls="--")
right.set(xlabel="learning rate", ylabel="% of hidden units", title="Dead for all training pictures, best epoch")
save(figure, HERE, "ratios")
claim(
    "At a rate that is too high most hidden units die, many more than at the suggested one.",
    f"{most_dead.dead:.0%} at {most_dead.rate:.2g}, {good.dead:.0%} at {good.rate:.2g}",
    most_dead.rate > good.rate and most_dead.dead > 0.5 and most_dead.dead > good.dead + 0.3,
)

# %% [markdown]
# ## 7. After some epochs: the gap
#
# Two curves, of training and of validation accuracy, say what to do next:
#
# - **a wide gap**: the network learns by heart. More regularisation, more pictures (lesson 8);
# - **no gap, and both poor**: it cannot do better, or has not had the time. Less regularisation, a larger network, more epochs.
#
# The strength $\lambda$ of L2 goes from one to the other. Its step is $w \leftarrow (1 - \eta\lambda)\, w - \eta\, dw$: of each
# weight a share $\eta\lambda$ is lost in each step, and only what the pictures pay back stays.

# %%
section("7. The gap between training and validation")
STRENGTHS = (0.0, 1e-3, 1e-2, 0.1, 1.0)
FEW = 200
curves = {}
for lam in tqdm(STRENGTHS, desc="strengths", delay=2, leave=False):
    trainer = trainer_of(network(2), 0.2, 10 if QUICK else 70, decay=lam)
    curves[lam] = trainer.fit(x[:FEW], y[:FEW], x_val[:250], y_val[:250]).epochs
ends = {}
for lam, epochs in curves.items():
    train, val = ends[lam] = [np.mean([e[name] for e in epochs[-5:]]) for name in ("train_accuracy", "val_accuracy")]
    print(f"lambda {lam:<6g} {train:.1%} of {FEW} training pictures, {val:.1%} of others; gap {100 * (train - val):.1f} points")
figure, axes = plt.subplots(1, 3, figsize=(11, 3.2), layout="tight", sharey=True)
for ax, lam in zip(axes, (STRENGTHS[0], STRENGTHS[-2], STRENGTHS[-1]), strict=True):
    for name, colour, title in (("train_accuracy", BLUE, "training"), ("val_accuracy", ORANGE, "validation")):
        ax.plot([100 * e[name] for e in curves[lam]], color=colour, label=title)
    ax.set(title=f"lambda = {lam:g}", xlabel="epoch")
axes[0].set(ylabel="accuracy %", ylim=(0, 103))
axes[0].legend(loc="lower right", fontsize=8)
save(figure, HERE, "gap")
gap = {lam: train - val for lam, (train, val) in ends.items()}
claim(
    "Without regularisation the gap is wide; with too much of it there is none, and both accuracies are poor.",
    f"{ends[0.0][0]:.0%} and {ends[0.0][1]:.0%}; {ends[1.0][0]:.0%} and {ends[1.0][1]:.0%} at a lambda of 1",
    gap[0.0] > 0.1 and abs(gap[1.0]) < 0.1 and ends[1.0][0] < ends[0.0][1] - 0.1,
)

# %% [markdown]
# ## 8. Searching: at random, and by factors
#
# Now the search. A **trial** is a setting of all hyper-parameters, and what comes of training with it; the objective is the
# validation accuracy. Three decisions come before the first trial.
#
# **On which scale?** A learning rate multiplies the gradient, a penalty the weights. From 0.001 to 0.002 is as large a change
# as from 0.1 to 0.2. So draw the *logarithm* uniformly: $\eta = 10^{u}$ with $u$ uniform, or, for a range from low to high,
#
# $$\eta = \text{low} \cdot (\text{high} / \text{low})^u, \qquad u \sim U(0, 1).$$
#
# Drawn uniformly from 0.0001 to 1, nine of ten rates are above 0.1, and three of the four decades share the tenth.

# %%
section("8. Random search")
SPACE = {"learning_rate": LogUniform(1e-4, 10.0), "weight_decay": LogUniform(1e-5, 1.0)}
u = rng.random(10_000)
decades = {
    "uniform": np.histogram(1e-4 + u * (1 - 1e-4), bins=10.0 ** np.arange(-4, 1))[0] / len(u),
    "by factors": np.histogram([LogUniform(1e-4, 1.0).at(v) for v in u], bins=10.0 ** np.arange(-4, 1))[0] / len(u),
}
for title, shares in decades.items():
    print(f"drawn {title:<11} shares of the decades from 0.0001 to 1: {', '.join(f'{s:.1%}' for s in shares)}")
claim(
    "Drawn uniformly from 0.0001 to 1, nine of ten rates fall into the highest decade; drawn by factors, one of four.",
    f"{decades['uniform'][-1]:.1%} and {decades['by factors'][-1]:.1%} of 10,000",
    abs(decades["uniform"][-1] - 0.9) < 0.02 and abs(decades["by factors"][-1] - 0.25) < 0.02,
)

# %% [markdown]
# **How long is a trial?** At first one epoch: it tells what works at all, and costs little. **And when is it hopeless?** A run
# whose loss is three times what it was at first has been thrown out, and section 4 showed what becomes of it: do not wait for
# its end. In the objective below a callback raises an error then. A trial whose objective raises an error has failed, and the
# search goes on.
#
# The table is printed as it grows, in the style of the lecture's slides. The first round is **coarse**: wide ranges, one epoch.
# The second is **fine**: three tenths of each range (on its log scale) around the best of the first, more epochs. More epochs
# alone would make it look better. So we compare the two rounds after one epoch of each trial.


# %%
class GiveUp(Callback):
    """Ends a run whose loss is three times what it was at first: it has been thrown out."""

    def on_fit_begin(self, run):
        self.first = None

    def on_step_end(self, run):
        self.first = self.first or run.loss
        if run.loss > 3 * self.first:
            raise TrainingError(f"loss {run.loss:.2g} in step {run.steps_done}")


HISTORIES = {}  # validation accuracies by epoch, of each setting, seed and budget


def objective(settings, budget, seed):
    """The validation accuracy after the best of so many epochs."""
    net = network(seed)
    trainer = trainer_of(
        net, settings["learning_rate"], budget, decay=settings["weight_decay"], seed=seed, callbacks=[GiveUp()]
    )
    history = trainer.fit(x, y, x_val, y_val)
    HISTORIES[settings["learning_rate"], seed, budget] = [e["val_accuracy"] for e in history.epochs]
    return history.best["val_accuracy"]


TRIALS, BUDGETS = (6, (1, 2)) if QUICK else (16, (1, 6))
study = Study(objective, SPACE, seed=0)
study.coarse_to_fine(TRIALS, BUDGETS, share=0.3)
coarse, fine = ([trial for trial in study.trials if trial.round == k] for k in range(2))
save(search_figure(study), HERE, "search")


def after_one_epoch(trial):
    return HISTORIES.get((trial.settings["learning_rate"], trial.seed, trial.budget), [0.0])[0]  # 0 if it failed


middle = [float(np.median([after_one_epoch(trial) for trial in trials])) for trials in (coarse, fine)]
print(f"best: {study.best.line('val_acc', study.best.number % TRIALS + 1, TRIALS)}")
print(f"median after one epoch: {middle[0]:.1%} in the coarse round, {middle[1]:.1%} in the fine round;", end=" ")
print(f"at the end of the fine round {np.median([trial.value or 0 for trial in fine]):.1%}")
claim(
    "After one epoch of each, the median trial of the fine round is better than that of the coarse round.",
    f"{middle[1]:.1%} and {middle[0]:.1%}",
    middle[1] > middle[0] + 0.05,
)

# %% [markdown]
# How to read such a table:
#
# - Look at each setting by itself, as in the figure. A hill says that it matters, and where; a flat cloud that it does not.
# - **Is the best at an end of its range? Then the search is not over.** Move the range beyond it. Below, a range of rates that
#   is too low on purpose: the best of its three is the highest. Nothing in its *accuracy* says how much more could be had.
# - Differences of a point or two between neighbours are noise (section 11).
#
# The lecture's own table is a good example: eleven trials of its coarse search and twenty-two of its fine one, as our source
# has them. The accuracy follows the rate in both. (A *rank correlation* is 1 if the order by the one is that by the other, -1
# if it is the reverse.) And the best of the fine trials has a regularisation of 0.41: near the end of the range, which seems to
# go from 0.0001 to 1.

# %%
# val_acc, lr, reg
LECTURE_COARSE = (
    (0.412, 1.405200e-4, 4.793564e-1),
    (0.214, 7.231800e-5, 2.321201e-4),
    (0.208, 2.119571e-5, 8.011857e1),
    (0.196, 1.551131e-5, 4.374936e-5),
    (0.079, 1.753300e-5, 1.280424e3),
    (0.223, 4.215128e-5, 4.196174e1),
    (0.441, 1.750259e-4, 2.110807e-4),
    (0.241, 6.749231e-5, 4.226413e1),
    (0.482, 4.296863e-4, 6.842555e-1),
    (0.079, 5.401802e-5, 1.599828e4),
    (0.154, 1.010500e-5, 4.925252e-1),
)
LECTURE_FINE = (
    (0.527, 5.349517e-4, 4.097824e-1),
    (0.432, 2.279460e-4, 0.991345e-4),
    (0.512, 8.608827e-4, 1.349727e-2),
    (0.461, 1.028377e-4, 1.320193e-2),
    (0.460, 1.113730e-4, 5.244389e-2),
    (0.496, 9.477776e-4, 2.001293e-3),
    (0.465, 1.484389e-4, 4.328113e-1),
    (0.522, 5.506261e-4, 2.312685e-4),
    (0.510, 5.608183e-4, 0.752284e-2),
    (0.485, 1.979168e-4, 1.018889e-4),
    (0.490, 2.036821e-4, 2.406271e-3),
    (0.475, 2.021182e-4, 2.267887e-1),
    (0.460, 1.135527e-4, 3.905040e-2),
    (0.515, 6.947660e-4, 1.362380e-2),
    (0.511, 9.471549e-4, 1.433895e-3),
    (0.500, 3.140800e-4, 2.857510e-1),
    (0.514, 6.438349e-4, 3.053781e-1),
    (0.502, 3.921704e-4, 2.707126e-4),
    (0.500, 9.752279e-4, 2.850855e-3),
    (0.500, 2.412848e-4, 4.997821e-4),
    (0.486, 1.319314e-4, 1.109915e-2),
    (0.516, 8.039527e-4, 1.528291e-2),
)
figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="tight", sharey=True)
for title, trials, colour in (("coarse", LECTURE_COARSE, BLUE), ("fine", LECTURE_FINE, ORANGE)):
    accuracy, *settings = np.transpose(trials)
    for ax, values in zip(axes, settings, strict=True):
        ax.semilogx(values, accuracy, "o", color=colour, label=title, ms=4)
    ranks = [spearmanr(accuracy, values).statistic for values in settings]
    print(f"the lecture's {title} search: rank correlation of val_acc with lr {ranks[0]:+.2f}, with reg {ranks[1]:+.2f}")
axes[0].set(xlabel="learning rate", ylabel="val_acc", title="The lecture's search: by rate")
axes[1].set(xlabel="regularisation", title="and by regularisation")
axes[0].legend(fontsize=8)
save(figure, HERE, "lecture")

too_low = Study(objective, SPACE | {"learning_rate": LogUniform(2e-4, 2e-2)}, seed=0, progress=False)
too_low.grid({"learning_rate": 3, "weight_decay": 1}, budget=BUDGETS[1])
found_there = too_low.best.settings["learning_rate"]
print(f"rates from 0.0002 to 0.02: the best of three is {found_there:.2g}, {too_low.best.value:.1%};", end=" ")
print(f"found above: {study.best.value:.1%}")
claim(
    "In a range of rates that is too low, the best trial is the highest rate, and worse than what lies beyond.",
    f"{found_there:.1g} of 0.0002 to 0.02, {too_low.best.value:.1%} in place of {study.best.value:.1%}",
    math.isclose(found_there, 2e-2) and too_low.best.value < study.best.value,
)

# %% [markdown]
# ## 9. Random against grid
#
# The old way is a grid: three rates, three strengths, nine trials. Why draw them at random instead? Because usually **one of
# the parameters matters much more than the others**, and one does not know beforehand which. A grid of $n$ trials in $d$
# dimensions tries $n^{1/d}$ values of each parameter, and repeats them; $n$ random trials try $n$ values of every parameter.
#
# Say only the rate matters, and a share $g$ of its range is good. A grid of $3 \times 3$ with a random offset hits the good
# part with probability $3g$ (as long as $g < 1/3$), nine random trials with probability $1 - (1-g)^9$. For $g = 0.1$ that is
# 30 % against 61 %.
#
# Say *both* matter, and the good part is a small square with a share $a$ of the area. Then the grid hits it with probability
# $9a$, and random search with $1 - (1 - a)^9$, which is *less*: random trials also fall on top of each other. So random search
# is no magic. It is a bet that not everything matters.
#
# Both bets, played 20,000 times:

# %%
section("9. Random against grid")


def hits(is_good, games=20_000):
    """How often one of nine trials is good, of a 3 x 3 grid with a random offset and of random points in the unit square."""
    offset = rng.random((games, 2, 1, 1))
    steps = np.arange(3) / 3
    grid = np.stack(np.broadcast_arrays(steps[:, None] + offset[:, 0] / 3, steps + offset[:, 1] / 3), axis=-1)
    drawn = rng.random((games, 9, 2))
    return is_good(grid.reshape(games, 9, 2)).any(axis=1).mean(), is_good(drawn).any(axis=1).mean()


corner = rng.uniform(0.1, 0.6, 2)
one_matters = hits(lambda points: (points[..., 0] > corner[0]) & (points[..., 0] < corner[0] + 0.1))
both_matter = hits(lambda points: ((points > corner) & (points < corner + 0.22)).all(axis=-1))
theory = (0.3, 1 - 0.9**9), (9 * 0.22**2, 1 - (1 - 0.22**2) ** 9)
for title, found_share, expected_share in zip(
    ("a tenth of one parameter is good", "a square of 0.22 x 0.22 is good"), (one_matters, both_matter), theory, strict=True
):
    print(f"{title}: grid {found_share[0]:.1%} (theory {expected_share[0]:.1%}),", end=" ")
    print(f"random {found_share[1]:.1%} (theory {expected_share[1]:.1%})")
claim(
    "Where one parameter matters, nine random trials find its good tenth about twice as often as a grid of nine.",
    f"{one_matters[1]:.1%} and {one_matters[0]:.1%}",
    1.8 < one_matters[1] / one_matters[0] < 2.3,
)
claim(
    "Where both matter alike, the grid finds the good square more often than random trials do.",
    f"{both_matter[0]:.1%} and {both_matter[1]:.1%}",
    both_matter[0] > both_matter[1] + 0.03,
)

# %% [markdown]
# Which bet is ours? For once we measure the whole surface: the validation accuracy over rate and strength, on a fine grid of
# real trainings (a luxury that only toy problems allow). Between the points it is interpolated, and then any number of searches
# costs nothing. A failed training counts as chance.

# %%
U_RATES, U_STRENGTHS = (np.linspace(0, 1, 9), np.linspace(0, 1, 4)) if QUICK else (np.linspace(0, 1, 21), np.linspace(0, 1, 6))
SURFACE_EPOCHS = 1 if QUICK else 3
surface = np.full((len(U_RATES), len(U_STRENGTHS)), 1 / CLASSES)
cells = list(itertools.product(range(len(U_RATES)), range(len(U_STRENGTHS))))
for i, j in tqdm(cells, desc="the surface", unit="training", delay=2, leave=False):
    settings = {
        "learning_rate": SPACE["learning_rate"].at(U_RATES[i]),
        "weight_decay": SPACE["weight_decay"].at(U_STRENGTHS[j]),
    }
    try:
        surface[i, j] = objective(settings, SURFACE_EPOCHS, seed=3)
    except TrainingError:
        continue
accuracy_at = RegularGridInterpolator((U_RATES, U_STRENGTHS), surface)
by_rate, by_strength = surface.mean(axis=1), surface.mean(axis=0)
explained = by_rate.var() / surface.var(), by_strength.var() / surface.var()
print(f"of the variance of the accuracy, the rate alone explains {explained[0]:.0%}, the strength alone {explained[1]:.0%}")
claim(
    "On the real surface the learning rate explains most of the variance of the accuracy, and several times as much as L2.",
    f"{explained[0]:.0%} and {explained[1]:.0%}",
    explained[0] > 0.5 and explained[0] > 3 * explained[1],
)
GAMES = 4000
offset = rng.random((GAMES, 2, 1, 1))
steps = np.arange(3) / 3
grids = np.stack(np.broadcast_arrays(steps[:, None] + offset[:, 0] / 3, steps + offset[:, 1] / 3), axis=-1).reshape(GAMES, 9, 2)
best_found = {"grid": accuracy_at(grids).max(axis=1), "random": accuracy_at(rng.random((GAMES, 9, 2))).max(axis=1)}
highest = surface.max()
for title, values in best_found.items():
    print(f"nine trials, {title:<6}: best {values.mean():.1%} on average, and within 3 points of the highest", end=" ")
    print(f"({highest:.1%}) in {np.mean(values > highest - 0.03):.0%} of {GAMES} searches")
close = {title: np.mean(values > highest - 0.03) for title, values in best_found.items()}
random9, grid9 = (Study(objective, SPACE, seed=2, progress=False) for _ in range(2))
random9.random(9, budget=SURFACE_EPOCHS)
grid9.grid(3, budget=SURFACE_EPOCHS)
save(random_against_grid_figure(random9, grid9), HERE, "random_against_grid")

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.5), layout="tight")
rates, strengths = (
    np.array([SPACE[name].at(u) for u in us]) for name, us in (("learning_rate", U_RATES), ("weight_decay", U_STRENGTHS))
)
image = left.pcolormesh(rates, strengths, 100 * surface.T, shading="nearest", cmap="viridis")
left.set(xscale="log", yscale="log", xlabel="learning rate", ylabel="weight decay", title="The whole surface, measured")
figure.colorbar(image, ax=left, label="validation accuracy %")
bins = np.linspace(100 / CLASSES, 100 * highest + 1, 40)
for (title, values), colour in zip(best_found.items(), (ORANGE, BLUE), strict=True):
    right.hist(100 * values, bins, color=colour, alpha=0.5, label=title)
right.set(xlabel="best of nine trials, validation accuracy %", ylabel="searches", title=f"{GAMES} searches of either kind")
right.legend(fontsize=8)
save(figure, HERE, "surface")
claim(
    "On the real surface nine random trials come within three points of the highest accuracy more often than a grid of nine.",
    f"{close['random']:.0%} and {close['grid']:.0%} of {GAMES} searches",
    close["random"] > 1.2 * close["grid"],
)

# %% [markdown]
# How many random trials are enough? If a share $g$ of the space is good, $n$ trials all miss it with probability $(1 - g)^n$.
# For the best twentieth, $0.95^{59} < 0.05$: **59 trials find it with a probability of 95 %, however many parameters there
# are**. (The best twentieth of a bad space is still bad: the ranges are your business.)
#
# ## 10. Successive halving
#
# Most trials are hopeless, and after one epoch that can be seen. So why train all of them to the end? **Successive halving**
# begins many with the least budget $r$, keeps the best one in $\eta$ of them, gives these $\eta$ times the budget, and so on:
#
# $$n_i = \lfloor n / \eta^i \rfloor \text{ trials with } r_i = r\, \eta^i \text{ epochs}, \qquad i = 0, 1, 2, \ldots$$
#
# (this $\eta$ is not the learning rate; the papers call both so). Each of these rounds, a **rung**, costs about $n r$ epochs.
#
# The bet here is that **who leads early leads late**. Low rates are slow starters: they lose in the first rung, and might have
# caught up. For once we can look: all candidates are trained to the end as well, and the two searches draw the same settings.

# %%
section("10. Successive halving")
CANDIDATES, ETA = (9, 3) if QUICK else (27, 3)
plan = halving_schedule(CANDIDATES, 1, ETA)
most = plan[-1][1]
bar = tqdm(total=CANDIDATES + sum(count for count, _ in plan), desc="halving", unit="training", delay=2, leave=False)


def counted(settings, budget, seed):
    try:
        return objective(settings, budget, seed)
    finally:
        bar.update()


halving, in_full = (Study(counted, SPACE, seed=7, progress=False) for _ in range(2))
halving.successive_halving(CANDIDATES, 1, ETA)
in_full.random(CANDIDATES, budget=most)
bar.close()
epochs = sum(trial.budget for trial in halving.trials), CANDIDATES * most
print("rungs:", ", ".join(f"{count} trials of {budget} epochs" for count, budget in plan))
print(halving.table())
print(f"successive halving: {halving.best.value:.1%} in {epochs[0]} epochs;", end=" ")
print(f"all to the end: {in_full.best.value:.1%} in {epochs[1]}")
succeeded = [trial for trial in in_full.trials if trial.error is None]
curves_in_full = [HISTORIES[trial.settings["learning_rate"], trial.seed, most] for trial in succeeded]
early_ranks = spearmanr([curve[0] for curve in curves_in_full], [max(curve) for curve in curves_in_full]).statistic
print(f"rank correlation between the accuracy after one epoch and the best of {most}: {early_ranks:.2f}", end=" ")
print(f"({len(succeeded)} of {CANDIDATES} trials did not fail)")
figure, ax = plt.subplots(figsize=(6.6, 4), layout="tight")
reached = {}
for trial in halving.trials:
    if trial.error is None:
        key = trial.settings["learning_rate"]
        reached[key] = max(reached.get(key, 0), trial.budget)
for trial, curve in zip(succeeded, curves_in_full, strict=True):
    end = reached.get(trial.settings["learning_rate"], 0)
    steps = np.arange(1, most + 1)
    ax.semilogx(steps, 100 * np.array(curve), color="0.85", lw=1)
    ax.semilogx(steps[:end], 100 * np.array(curve[:end]), color=BLUE if end == most else ORANGE, lw=1.4)
    ax.plot(steps[end - 1], 100 * curve[end - 1], "o", color=BLUE if end == most else ORANGE, ms=3)
for _, budget in plan:
    ax.axvline(budget, color=GREY, lw=0.8, ls=":")
ax.set_xticks([budget for _, budget in plan], [str(budget) for _, budget in plan])
ax.minorticks_off()
ax.set(xlabel="epoch", ylabel="validation accuracy %")
ax.set_title("Successive halving: trained up to the dot; grey: what the others would have come to", fontsize=9)
save(figure, HERE, "halving")
better = sum(trial.value > halving.best.value for trial in succeeded)
claim(
    "Successive halving comes within five points of the best of all candidates, for less than a sixth of the epochs.",
    f"{halving.best.value:.1%} and {in_full.best.value:.1%}, {better} of {CANDIDATES} are better; "
    f"{epochs[0]} epochs in place of {epochs[1]}",
    halving.best.value > in_full.best.value - 0.05 and epochs[0] < epochs[1] / 6,
)

# %% [markdown]
# ## 11. What was found, honestly
#
# Two things flatter the winner of a search.
#
# **Noise.** The same settings with another seed, another start and another order of the pictures, give another accuracy. And
# an accuracy of 75 % that is measured with 500 pictures has a standard deviation of $\sqrt{0.75 \cdot 0.25 / 500}$, about two
# points. Whoever takes the *highest* of many noisy numbers mostly takes one whose noise was lucky. Choose settings that have
# good neighbours, and repeat the best few with new seeds before you believe in differences.
#
# **Selection.** That is why the winner's validation accuracy is no estimate of its quality any more, and why there are test
# pictures. It is a real effect, and easily shown with networks that know *nothing*. A hundred of them answer at random; the
# best of them by validation looks better than chance, and on the test pictures it is back at 10 %. Had we chosen by the test
# pictures, *they* would be flattered, and nobody would be left to tell.

# %%
section("11. What was found")
guesses_val, guesses_test = (rng.integers(0, CLASSES, (100, n)) for n in (len(y_val), len(y_test)))
right_val, right_test = (guesses_val == y_val).mean(axis=1), (guesses_test == y_test).mean(axis=1)
lucky = int(right_val.argmax())
print(
    f"a hundred networks that guess: the best by validation has {right_val[lucky]:.1%} there, and {right_test[lucky]:.1%}",
    end=" ",
)
print(f"of the test pictures; the best by test has {right_test.max():.1%} of these")
claim(
    "The best of a hundred networks that guess looks better than chance on the pictures that chose it, and not on others.",
    f"{right_val[lucky]:.1%} of the validation and {right_test[lucky]:.1%} of the test pictures",
    right_val[lucky] > 1 / CLASSES + 0.015 and abs(right_test[lucky] - 1 / CLASSES) < 0.015,
)
chosen_settings = study.best.settings
again = []
for seed in tqdm(range(3 if QUICK else 8), desc="new seeds", delay=2, leave=False):
    again.append(objective(chosen_settings, BUDGETS[1], 100 + seed))
print(f"the winner of section 8, {study.best.value:.1%}: again with {len(again)} new seeds {np.mean(again):.1%}", end=" ")
print(f"({min(again):.1%} to {max(again):.1%})")
claim(
    "With new seeds the winner of the search reaches less, on average, than in the search that it won.",
    f"{study.best.value:.1%}, then {np.mean(again):.1%} over {len(again)} seeds",
    np.mean(again) < study.best.value,
)
final = trainer_of(
    network(200), chosen_settings["learning_rate"], 6 if QUICK else 25, decay=chosen_settings["weight_decay"], seed=200
)
history = final.fit(x, y, x_val, y_val)
test_accuracy = final.evaluate(x_test, y_test)[1]
print(f"trained for longer, best by validation after epoch {history.best_epoch}: {history.best['val_accuracy']:.1%} of these")
print(f"and now, for the first and only time, the test pictures: {test_accuracy:.1%}")
claim(
    "The chosen settings, trained for longer, get many times as many test pictures right as chance.",
    f"{test_accuracy:.1%}",
    test_accuracy > 5 / CLASSES,
)

# %% [markdown]
# ## What to do, in which order
#
# 1. Initial loss: $\log C$ (softmax), $C - 1$ (hinge). Regularisation raises it. (`sanity_check`)
# 2. Twenty pictures by heart, without regularisation. (`sanity_check`)
# 3. A rate at which the loss falls: `range_test`, or three rates a factor of ten apart. NaN is too high, a straight line too
#    low.
# 4. A few epochs on everything, with a small penalty. Watch the loss; if it does not fall, the layers (`LayerMonitor`).
# 5. Coarse search at random, on log scales, few epochs; then finer and longer. Is the best at an end? Move the range.
#    (`Study.coarse_to_fine`, `Study.successive_halving`; both go on where they were killed, if they are given a folder.)
# 6. The gap between training and validation says whether to regularise more or less.
# 7. The best few again with new seeds. Then the test pictures, once.
#
# ## What this lesson claims
#
# - Random scores cost at least log C with a softmax and C - 1 with a hinge, and no more than the bounds say.
# - An L2 penalty raises the initial loss by what the variances of the initial weights say.
# - Twenty pictures are learned by heart, with random labels as well as with the right ones.
# - Of eight networks spoiled on purpose, sanity_check names what is wrong in each, and nothing in the healthy one.
# - At the highest rates the loss is thrown out above three times its first value, or becomes infinite or NaN.
# - While the loss has fallen by less than a twentieth, the accuracy is already well above chance.
# - The range test suggests a rate within a factor of ten of the best of eleven, and the nearest one trains nearly as well.
# - In the first step the update ratio is proportional to the learning rate.
# - A step at the suggested rate moves convolution and hidden layer by 1/10,000 to 1/20 of their length.
# - At a rate that is too high most hidden units die, many more than at the suggested one.
# - Without regularisation the gap is wide; with too much of it there is none, and both accuracies are poor.
# - Drawn uniformly from 0.0001 to 1, nine of ten rates fall into the highest decade; drawn by factors, one of four.
# - After one epoch of each, the median trial of the fine round is better than that of the coarse round.
# - In a range of rates that is too low, the best trial is the highest rate, and worse than what lies beyond.
# - Where one parameter matters, nine random trials find its good tenth about twice as often as a grid of nine.
# - Where both matter alike, the grid finds the good square more often than random trials do.
# - On the real surface the learning rate explains most of the variance of the accuracy, and several times as much as L2.
# - On the real surface nine random trials come within three points of the highest accuracy more often than a grid of nine.
# - Successive halving comes within five points of the best of all candidates, for less than a sixth of the epochs.
# - The best of a hundred networks that guess looks better than chance on the pictures that chose it, and not on others.
# - With new seeds the winner of the search reaches less, on average, than in the search that it won.
# - The chosen settings, trained for longer, get many times as many test pictures right as chance.

# %%
print_claims()

# %% [markdown]
# ## Questions
#
# **1.** A network for 1,000 classes begins with a loss of 7.4, of which 0.5 is the L2 penalty. Another one begins with 69, a
# third with 0.02. What do you think of each?
#
# <details><summary>Answer</summary>
#
# $\log 1000 = 6.9$, and $7.4 - 0.5 = 6.9$: as it should be. 69 is ten times that: the scores are far too large, by the bound
# of section 2 about $\sqrt{2 \cdot 62} \approx 11$ or more in root mean square. Look at the inputs (not standardised?) and at
# the first weights of the last layer. And 0.02 is far below chance: the network knows the answers. Its weights are not new (a
# checkpoint?), or the label is part of the input.
#
# </details>
#
# **2.** You train on a thousand pictures and compare 200 settings by validation. A colleague proposes to choose by the test
# pictures instead, because there are more of them, and the noise is less. What do you answer? What would be better?
#
# <details><summary>Answer</summary>
#
# The noise is less, and so is the flattery, but it is still there: the test accuracy of the winner is then the highest of 200
# noisy numbers, and no estimate of anything. There is no honest number left. If the validation set is too small, move pictures
# from the test set to it *before* anything is trained, or from the training set; or use cross-validation on training and
# validation pictures together.
#
# </details>
#
# **3.** Twenty-seven candidates, $\eta = 3$, $r = 1$: what does successive halving cost, and what would it cost to train all of
# them to the end? When would you rather not use it?
#
# <details><summary>Answer</summary>
#
# The rungs are 27 x 1, 9 x 3, 3 x 9 and 1 x 27 epochs: 27 each, 108 in all, in place of 729. It is the wrong tool where the
# early order says little about the late one: where slow starters win (low rates, strong regularisation), or with schedules,
# whose rate falls to zero only at the end, so that a run of 9 epochs is no beginning of one of 27. Hyperband (Li et al.)
# hedges: it runs the procedure with several least budgets.
#
# </details>
#
# ## Further reading
#
# - CS231n notes, "Neural Networks Part 3": sanity checks, babysitting the learning process, hyper-parameter optimisation.
# - Bergstra and Bengio 2012, "Random Search for Hyper-Parameter Optimization", Journal of Machine Learning Research 13. Its
#   figure 1 is the argument of section 9 in a picture.
# - Smith 2017, "Cyclical Learning Rates for Training Neural Networks", arXiv 1506.01186, section 3.3: the range test.
# - Jamieson and Talwalkar 2016, "Non-stochastic Best Arm Identification and Hyperparameter Optimization": successive halving.
#   Li, Jamieson, DeSalvo, Rostamizadeh and Talwalkar 2018, "Hyperband", Journal of Machine Learning Research 18.
#
# ## Next
#
# The exercise: `minicnn check 6`. Then [lesson 7](../07_optimisers/lesson.py): other steps than $w - \eta\, dw$, and rates that
# change during the run.
