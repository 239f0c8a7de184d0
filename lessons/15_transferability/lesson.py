# %% [markdown]
# # Lesson 15. How transferable are features?
#
# A network that was trained on one task helps with another one. Which part of it? The first layers of networks for
# photographs look alike, whatever they were trained for: edges in all directions, and spots of colour. The last layer has one
# output for each class of its own task, and is of no use for others. Somewhere in between, features turn from **general** to
# **specific**. Where, and how suddenly? Yosinski, Clune, Bengio and Lipson asked this in 2014, and answered with four curves.
#
# **Before**: batch normalisation, and what its running statistics are for (lesson 5); CNN codes, linear classifiers on them and
# their regularisation (lesson 11); freezing and fine-tuning (lesson 12).
#
# **After**: you can measure how transferable each layer of a network is, with controls and with standard errors; ask layers
# with linear probes what they know; compare the representations of two networks with CKA, and say what it does not see; and
# tell transfer that helps from transfer that does harm.
#
# The laboratory has the long form of the first measurement: colour photographs, five layers, many more pictures, other splits.
# `lessons/laboratory/transferability.py`, results in `docs/laboratory/transferability.md`. Here is a small one that you can
# watch, and what belongs to it.
#
# Run it (`minicnn lesson 15`, with `--quick` for a first look), or open it as a notebook; figures go to `out/` beside it. Then
# do the exercise: `minicnn check 15`.

# %%
import copy
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
    picture_grid,
    print_claims,
    save,
    section,
)
from minicnn.data import load_cifar10, load_fashion_mnist, load_mnist
from minicnn.inference import fuse, infer
from minicnn.layers import BatchNorm1d, GlobalAvgPool2d, Linear
from minicnn.linear_model import SoftmaxRegression
from minicnn.losses import SoftmaxCrossEntropy
from minicnn.models import Model
from minicnn.models.blocks import conv_norm
from minicnn.optim import AdamW
from minicnn.schedules import one_cycle
from minicnn.training import Trainer

HERE = Path(globals().get("__file__", "lesson.py")).resolve().parent
rng = np.random.default_rng(15)
SEEDS = range(2) if QUICK else range(4)
LAYERS = ("conv1", "conv2", "conv3", "conv4")
DEPTHS = range(1, len(LAYERS) + 1)
PER_CLASS, TESTED, EPOCHS, BATCH = (60, 100, 3, 50) if QUICK else (200, 300, 5, 50)

# %% [markdown]
# ## 1. Two halves of the classes, and a network
#
# We take pictures of ten classes and split the classes at random into two halves, A and B, another way for each seed. Task A is
# to tell the five classes of A apart, task B those of B: different tasks, on pictures of the same kind. For tasks further apart
# there are two other collections, clothes and digits. All pictures are grey and 32 x 32, so that one network can read them, and
# each collection is brought to zero mean and unit variance.

# %%
section("1. Pictures and a network")


def stripes(n, rng):
    """Ten kinds of noisy stripes, five directions in two widths: uint8 (n, 32, 32), and labels."""
    labels = rng.integers(0, 10, n)
    angle = np.pi / 5 * (labels % 5 + rng.uniform(-0.3, 0.3, n))
    period = np.where(labels < 5, 5.0, 8.0) * rng.uniform(0.85, 1.15, n)
    rows, columns = np.mgrid[:32, :32]
    along = np.cos(angle)[:, None, None] * rows + np.sin(angle)[:, None, None] * columns
    waves = np.sin(2 * np.pi * along / period[:, None, None] + rng.uniform(0, 2 * np.pi, n)[:, None, None])
    return np.clip(128 + 50 * waves + 60 * rng.standard_normal(waves.shape), 0, 255).astype(np.uint8), labels


def with_margins(pictures, noise=0):
    """28 x 28 on black margins of two pixels, and with noise."""
    padded = np.pad(pictures, ((0, 0), (2, 2), (2, 2)))
    return np.clip(padded + noise * rng.standard_normal(padded.shape), 0, 255).astype(np.uint8) if noise else padded


def photographs():
    """(training pictures, labels), (test pictures, labels), and what they are: grey photographs, or noisy drawn digits."""
    if archive := find_data("cifar-10-binary.tar.gz") or find_data("cifar10-jpeg.zip"):
        x, y, x_test, y_test = load_cifar10(archive)
        x, x_test = (part.mean(axis=1, dtype=np.float32).astype(np.uint8) for part in (x, x_test))
        return (x, y), (x_test, y_test), "photographs (CIFAR-10 in grey)"
    (x, y), (x_test, y_test) = drawn_digits(6000, rng), drawn_digits(4000, rng)
    print("there is no CIFAR-10 in the folder that MINICNN_DATA names: drawn digits with much noise take its place")
    return (with_margins(x, 110), y), (with_margins(x_test, 110), y_test), "drawn digits with much noise"


def clothes():
    if folder := find_data("fashion-mnist"):
        x, y, x_test, y_test = load_fashion_mnist(folder)
        return (with_margins(x), y), (with_margins(x_test), y_test), "clothes (Fashion-MNIST)"
    print("there is no fashion-mnist/ in the folder that MINICNN_DATA names: stripes take its place")
    return stripes(6000, rng), stripes(3000, rng), "stripes"


def digits():
    if folder := find_data("mnist"):
        x, y, x_test, y_test = load_mnist(folder)
        return (with_margins(x), y), (with_margins(x_test), y_test), "digits (MNIST)"
    print("there is no mnist/ in the folder that MINICNN_DATA names: drawn digits take its place")
    (x, y), (x_test, y_test) = drawn_digits(6000, rng), drawn_digits(3000, rng)
    return (with_margins(x, 15), y), (with_margins(x_test, 15), y_test), "drawn digits"


SETS = {"photographs": photographs(), "clothes": clothes(), "digits": digits()}
STATISTICS = {name: (train[0][:2000].mean(), train[0][:2000].std()) for name, (train, _, _) in SETS.items()}
ARE_REAL = SETS["photographs"][2].startswith("photographs")
print("collections:", "; ".join(what for _, _, what in SETS.values()))


def draw(name, part, classes, per_class, seed):
    """As many pictures of each class at random, float32 (N, 1, 32, 32), and their labels, numbered in the order of classes."""
    x, y = SETS[name][part == "test"]
    rng = np.random.default_rng([seed, part == "test"])
    rows = rng.permutation(np.concatenate([rng.permutation(np.flatnonzero(y == k))[:per_class] for k in classes]))
    mean, std = STATISTICS[name]
    number = {k: i for i, k in enumerate(classes)}
    return ((x[rows, None] - mean) / std).astype(np.float32), np.array([number[k] for k in y[rows]])


def halves(seed):
    """The classes of A and of B."""
    order = np.random.default_rng([15, seed]).permutation(10)
    return sorted(order[:5].tolist()), sorted(order[5:].tolist())


figure, axes = picture_grid(4, 10, 0.75)
shown = {
    "half A": draw("photographs", "train", halves(0)[0], 2, 0),
    "half B": draw("photographs", "train", halves(0)[1], 2, 0),
    "clothes": draw("clothes", "train", range(10), 1, 0),
    "digits": draw("digits", "train", range(10), 1, 0),
}
for row, (title, (x, y)) in zip(axes, shown.items(), strict=True):
    row[0].text(-0.15, 0.5, title, ha="right", va="center", transform=row[0].transAxes, fontsize=9)
    for ax, i in zip(row, np.argsort(y, kind="stable"), strict=True):
        ax.imshow(x[i, 0])
figure.suptitle("Two halves of the classes (two pictures of each), and two other tasks", y=0.97)
save(figure, HERE, "tasks")

# %% [markdown]
# The network has four units of convolution, batch norm and ReLU, of which three halve the map, and an upper part that is always
# new: the mean of each map of the last unit, a batch norm, and a linear classifier. "Layer" means one of the four units here.
#
# Why the second batch norm? A linear classifier of features of small size learns slowly. After a few epochs we should measure
# how far the optimiser has come, and take it for a property of the features. So they are standardised, and the classifier
# learns with three times the rate of the layers below. (Section 2 checks how far it gets.)


# %%
def network(classes, seed):
    rng = np.random.default_rng(seed)
    layers = {
        "conv1": conv_norm(1, 8, 5, stride=2, rng=rng),  # 16 x 16
        "conv2": conv_norm(8, 16, 3, stride=2, rng=rng),  # 8 x 8
        "conv3": conv_norm(16, 24, 3, rng=rng),
        "conv4": conv_norm(24, 40, 3, stride=2, rng=rng),  # 4 x 4
        "pool": GlobalAvgPool2d(),
        "norm": BatchNorm1d(40),
        "scores": Linear(40, classes, rng=rng),
    }
    for parameter in layers["scores"].parameters().values():
        parameter.learning_rate_multiplier = 3.0
    return Model(layers, architecture="four units", input_shape=(1, 32, 32))


def run(layers, x):
    """The output of a network, or of a part of one, in eval mode."""
    return infer(fuse(layers), len(x), lambda rows: x[rows])


def train(net, x, y, seed, frozen=0, epochs=EPOCHS, rate=0.01):
    """Train all but the first ``frozen`` layers, which run once: their outputs stay the same. Returns the network."""
    net.unfreeze()
    part = net
    if frozen:
        net.freeze(until=LAYERS[frozen - 1])
        lower, part = net.split(LAYERS[frozen - 1])  # they share their layers with net
        x = run(lower, x)
    options = {"epochs": epochs, "batch_size": BATCH, "schedule": one_cycle(), "seed": seed, "progress": False}
    Trainer(part, SoftmaxCrossEntropy(), AdamW(part.parameters(), rate), **options).fit(x, y)
    return net


def accuracy(net, x, y):
    return float((run(net, x).argmax(axis=1) == y).mean())


def settled(net, x):
    """A network with the weights that it has and the batch-norm statistics of these pictures; labels are not needed."""
    for i in np.tile(np.arange(0, len(x), BATCH), 4):
        net.train().forward(x[i : i + BATCH])
    return net.eval()


def with_layers_of(source, n, classes, seed):
    """A new network whose first n layers are copies of source's: weights, and the statistics of batch norm."""
    net = network(classes, [seed, 100 + n])
    for name in LAYERS[:n]:
        net.layers[name] = copy.deepcopy(source.layers[name])
    return net


print(network(5, 0).summary())

# %% [markdown]
# ## 2. Four curves, and two controls
#
# First baseA and baseB are trained from random weights, each on its half. Then the first $n$ layers of one of them are copied
# into a new network, whose upper layers start at random, and that is trained on B:
#
# | called | copied from | the copied layers are |
# | --- | --- | --- |
# | BnB, "selffer" | baseB | frozen |
# | BnB+ | baseB | trained further |
# | AnB, transfer | baseA | frozen |
# | AnB+ | baseA | trained further |
#
# What one learns from which difference:
#
# - **AnB against BnB**, both frozen: are layers of A as good for B as B's own? As long as they are, their features are
#   *general*. What they lack from some $n$ on is because they are *specific* to A.
# - **BnB against baseB**: the same layers, pictures and task, and only what is above starts anew. If that does not get back to
#   the old accuracy, layers had grown together in ways that learning from above does not find again: **fragile co-adaptation**.
#   In the network of the paper, eight layers without batch normalisation, that costs points in the middle.
# - **AnB+ against baseB** says whether transfer *helps* in the end. **BnB+** is its control: it has been trained for as long,
#   but has never seen A.
#
# And two more curves of frozen layers. **RnB**: the first $n$ layers are random, and stay so. (Their batch norms get the
# statistics of B's pictures, or else the maps would not even have a sensible size.) From there, and not from 0, one has to
# count what features are worth. **CnB**: from a network for clothes, a task further away. (Its frozen batch norms keep the
# statistics of clothes, as those of AnB keep those of A. Part of what is lost may be due to that.)
#
# One more thing is needed: a measure of chance. One half is easier than another, by more than what we look for. So we take
# the **differences within each seed**, where everything else is the same, in percentage points (points, for short), their mean
# $\bar d$ over the $S$ seeds, and its standard error
#
# $$\mathrm{SE} = \sqrt{\frac{1}{S (S-1)} \sum_s (d_s - \bar d)^2} .$$
#
# With four seeds that is a rough estimate: a mean of less than two or three standard errors may well be chance.
#
# Two numbers sum a curve up, by rules that are fixed before one looks:
#
# - How many layers can be copied and frozen **for free**? The *one-standard-error rule* (Breiman et al. 1984 use it to choose
#   the size of a tree) takes, of all $n$ whose mean is at most one standard error below the best mean, the largest. That error
#   is the best one's own. (It is taken over the accuracies as they are, so that easy and hard halves count in it.)
# - From which layer on are the other task's layers **specific**? From the lowest $n$ such that there, and for all larger $n$,
#   the mean difference to one's own layers is more than its standard error.

# %%
section("2. Transfer, layer by layer")
KINDS = ("BnB", "BnB+", "AnB", "AnB+", "CnB", "RnB")
base, curves = [], {kind: [] for kind in KINDS}
sources, tuned, tasks = [], [], []
bar = tqdm(total=len(SEEDS) * (4 + len(KINDS) * len(LAYERS)), desc="trainings", delay=2, leave=False)
for seed in SEEDS:
    of_A, of_B = halves(seed)
    data = {
        "A": draw("photographs", "train", of_A, PER_CLASS, seed),
        "B": draw("photographs", "train", of_B, PER_CLASS, seed),
        "C": draw("clothes", "train", range(10), PER_CLASS // 2, seed),
        "B test": draw("photographs", "test", of_B, TESTED, seed),
    }
    tasks.append(data)
    found = {"R": settled(network(5, [seed, 0]), data["B"][0])}
    for i, (name, task) in enumerate({"A": "A", "B": "B", "C": "C", "B again": "B"}.items(), start=1):
        found[name] = train(network(10 if task == "C" else 5, [seed, i]), *data[task], seed)
        bar.update()
    sources.append(found)
    base.append(accuracy(found["B"], *data["B test"]))
    for kind in KINDS:
        curve = []
        for n in DEPTHS:
            net = with_layers_of(found[kind[0]], n, 5, seed)
            train(net, *data["B"], seed, frozen=0 if "+" in kind else n)
            curve.append(accuracy(net, *data["B test"]))
            bar.update()
        curves[kind].append(curve)
        if kind == "AnB+":
            tuned.append(net)  # with all four layers of A
bar.close()
base, curves = np.array(base), {kind: np.array(values) for kind, values in curves.items()}


def mean_and_error(d):
    """Mean over the seeds (first axis) and its standard error, in points."""
    return 100 * d.mean(axis=0), 100 * d.std(axis=0, ddof=1) / np.sqrt(len(d))


def in_words(d):
    mean, error = mean_and_error(d)
    return f"{mean:+.1f} +- {error:.1f}"


def by_depth(d, names=DEPTHS):
    return "   ".join(f"{name}: {in_words(d[:, i]):>12}" for i, name in enumerate(names))


print(f"baseB: {', '.join(f'{a:.1%}' for a in base)} for {len(SEEDS)} seeds (guessing: 20 %)")
print("against baseB of the same seed, in points (mean +- standard error), by the number of copied layers:")
for kind in KINDS:
    print(f"  {kind:<5}", by_depth(curves[kind] - base[:, None]))
lost = {kind: curves[kind] - curves["BnB"] for kind in ("AnB", "CnB", "RnB")}
print("frozen layers against one's own (BnB):")
for kind, d in lost.items():
    print(f"  {kind:<5}", by_depth(d))

whole_curve = np.concatenate([base[:, None], curves["AnB"]], axis=1)  # n = 0 to 4
mean, error = mean_and_error(whole_curve)
bound = mean.max() - error[mean.argmax()]
print(f"AnB: the best mean less its standard error is {bound:.1f} %; not below that (the largest n counts):", end=" ")
print(", ".join(f"n = {n} ({m:.1f})" for n, m in enumerate(mean) if m >= bound))
print("AnB against BnB: a loss of more than one standard error at", end=" ")
mean, error = mean_and_error(lost["AnB"])
print(", ".join(f"n = {n}" for n in DEPTHS if -mean[n - 1] > error[n - 1]) or "no n")

solved = {name: [] for name in "BA"}
for found, data in zip(sources, tasks, strict=True):
    for name, values in solved.items():
        codes, tested = (run(found[name].split("pool")[0], data[part][0]) for part in ("B", "B test"))
        values.append(SoftmaxRegression(0.03).fit(codes, data["B"][1]).score(tested, data["B test"][1]))
for name, values in solved.items():
    print(f"{name}4B, with a classifier trained like everything else: {curves[f'{name}nB'][:, -1].mean():.1%} right;", end=" ")
    print(f"with one whose loss is brought to its minimum: {np.mean(values):.1%}")

STYLES = {
    "BnB": {"color": BLUE, "marker": "o"},
    "BnB+": {"color": "#8fc0ee", "marker": "s", "ls": "--"},
    "AnB": {"color": ORANGE, "marker": "D"},
    "AnB+": {"color": "#f0b48a", "marker": "^", "ls": "--"},
    "CnB": {"color": GREEN, "marker": "v"},
    "RnB": {"color": GREY, "marker": "x"},
}
MEANING = {
    "BnB": "own, frozen",
    "BnB+": "own, trained further",
    "AnB": "other half, frozen",
    "AnB+": "other half, trained further",
    "CnB": "clothes, frozen",
    "RnB": "random, frozen",
}
figure, (left, right) = plt.subplots(1, 2, figsize=(10.4, 4.2), layout="constrained")
left.axhline(100 * base.mean(), color="#d0d0d0", lw=0.8)
right.axhline(0, color="#d0d0d0", lw=0.8)
for place, kind in enumerate(KINDS):
    curve = 100 * np.append(base.mean(), curves[kind].mean(axis=0))
    left.plot([0, *DEPTHS], curve, ms=5, label=f"{kind}: {MEANING[kind]}", **STYLES[kind])
    mean, error = mean_and_error(curves[kind] - base[:, None])
    right.errorbar(np.array(DEPTHS) + 0.05 * (place - 2.5), mean, error, capsize=3, ms=5, **STYLES[kind])
left.plot([0], [100 * base.mean()], "o", color=INK, mfc="white", label="baseB")
left.set(xlabel="copied layers n", ylabel="test accuracy on B, %", title="Accuracy, mean over the seeds")
right.set(xlabel="copied layers n", ylabel="points", title="Against baseB of the same seed (bars: one standard error)")
left.set_xticks([0, *DEPTHS])
right.set_xticks(list(DEPTHS))
figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8.5)
save(figure, HERE, "four_curves")

own, other, far, random_ = (100 * (curves[kind] - base[:, None]).mean(axis=0) for kind in ("BnB", "AnB", "CnB", "RnB"))
claim(
    "A first layer from the other half is as good as one's own, as far as four seeds can tell.",
    f"{in_words(lost['AnB'][:, 0])} points",
    abs(other[0] - own[0]) < 2.5,
)
claim(
    "Four frozen layers from the other half get fewer right than four of one's own, and four random ones fewer still.",
    f"{other[-1] - own[-1]:+.1f} and {random_[-1] - own[-1]:+.1f} points against one's own",
    other[-1] < own[-1] - 1 and random_[-1] < other[-1] - 1,
)
claim(
    "Frozen layers of one's own cost little at any depth: of fragile co-adaptation nothing is seen here.",
    "n = 1 to 4: " + ", ".join(f"{value:+.1f}" for value in own) + " points",
    own.min() > -2.5,
)
claim(
    "Trained further, layers from the other half do no harm.",
    f"AnB+ against baseB, mean over n: {in_words((curves['AnB+'] - base[:, None]).mean(axis=1))} points",
    (curves["AnB+"] - base[:, None]).mean() > -0.01,
)
if ARE_REAL:  # where there is much noise in the pictures, a first layer has to learn to see through it
    claim(
        "A random first layer, frozen, costs next to nothing, and four random layers still get far more right than guessing.",
        f"{random_[0]:+.1f} points, and {curves['RnB'][:, -1].mean():.1%} right",
        random_[0] > -2 and curves["RnB"][:, -1].mean() > 0.3,
    )

# %% [markdown]
# Read the left figure from the left. Of the first layers it hardly matters from where they come: they are general, or they are
# so simple that random ones do nearly as well. It is at the top that the sources come apart: own layers, the other half,
# clothes and random ones. And trained further, layers of the other half do not only no harm: AnB+ is above baseB at every $n$,
# and in the mean above its control BnB+. It has seen the pictures of A as well, twice as many in all. (With more pictures of B,
# in the laboratory, hardly any advantage over BnB+ is left.)
#
# Three cautions:
#
# - *Compare with random layers.* Jarrett et al. (2009) found that random filters, a rectification and pooling give features
#   that are surprisingly good. In the deep network of Yosinski et al. (section 4.3) they come near to guessing from the third
#   layer on. Which it is depends on depth and task: measure.
# - *Give the classifier its due.* The two lines below the table compare it with one that has been trained to the end. An
#   undertrained classifier looks just like specific features.
# - *Not finding is not proving.* That own layers lose nothing (BnB) is also what the laboratory finds with five layers and more
#   pictures. Both networks have batch norm and few layers. A point could have been missed.
#
# ## 3. What a linear probe reads
#
# A second way to ask a layer what it knows trains nothing inside the network. Alain and Bengio (2016) put a **linear probe** on
# every layer: a linear classifier of the layer's output, trained by itself. How many pictures it gets right says how much of
# the task is there in a form that the simplest reader can use. (Not how much information there is: no layer can have more of it
# than the pixels have.)
#
# We take a classifier with a closed form. With codes $x_n$, targets $q_n$ (1 for the right class, 0 for the others) and
#
# $$L(w, b) = \frac1N \sum_n \lVert w x_n + b - q_n \rVert^2 + \lambda \lVert w \rVert^2 ,$$
#
# the derivatives are 0 where, with centred codes $x_c$ and targets $q_c$ (rows are samples),
#
# $$w = q_c^T x_c\, (x_c^T x_c + N \lambda I)^{-1}, \qquad b = \bar q - w \bar x .$$
#
# That is ridge regression. It takes a matrix of $D \times D$ to solve with or, since $x_c\,(x_c^T x_c + N\lambda I)^{-1} = (x_c
# x_c^T + N\lambda I)^{-1} x_c$, one of $N \times N$. $\lambda$ is chosen for each layer by validation pictures: layers have
# features of different number and size, and one $\lambda$ for all would favour one of them. The test pictures have no say in
# it. (The network for B has been trained on both, the probe's training pictures and its validation pictures.)
#
# Two kinds of codes: whole maps with all their places (those of the first layer averaged over 2 x 2 windows), and the mean of
# each map, which is what our classifier reads of the last layer. The control is again a network with random weights. It has the
# same number of features at each depth.

# %%
section("3. Linear probes by depth")
STAGES = ("pixels", *LAYERS)
STRENGTHS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)  # N lambda, as shares of the sum of all squares of the centred codes


def maps_of(net, x):
    """Pixels and the outputs of the four layers, by stage."""
    maps = {"pixels": x}
    for name in LAYERS:
        x = run(Model({name: net.layers[name]}, architecture=name, input_shape=x.shape[1:]), x)
        maps[name] = x
    return maps


def flat(maps):
    """As rows of numbers; 16 x 16 maps averaged over windows of 2 x 2."""
    if maps.shape[1] > 1 and maps.shape[2] == 16:
        maps = maps.reshape(*maps.shape[:2], 8, 2, 8, 2).mean(axis=(3, 5))
    return maps.reshape(len(maps), -1).astype(np.float64)


def means(maps):
    return maps.mean(axis=(2, 3), dtype=np.float64)


def probe(x, y, x_val, y_val, x_test, y_test):
    """Test accuracy of a ridge classifier whose strength the validation codes choose; in the smaller of the two forms."""
    mean, q = x.mean(axis=0), np.eye(y.max() + 1)[y]
    x, x_val, x_test = (part - mean for part in (x, x_val, x_test))
    q_mean, total = q.mean(axis=0), (x * x).sum()
    if len(x) < x.shape[1]:  # w is a weighted sum of the training codes: look for the weights, with inner products only
        x, x_val, x_test = (part @ x.T for part in (x, x_val, x_test))
        matrix, right_side = x, q - q_mean
    else:
        matrix, right_side = x.T @ x, x.T @ (q - q_mean)
    best, chosen = -1.0, 0.0
    for strength in STRENGTHS:
        w = np.linalg.solve(matrix + strength * total * np.eye(len(matrix)), right_side)
        right_val = ((x_val @ w + q_mean).argmax(axis=1) == y_val).mean()
        if right_val > best:
            best, chosen = right_val, ((x_test @ w + q_mean).argmax(axis=1) == y_test).mean()
    return float(chosen)


WHOSE = {"B": "trained on B", "A": "trained on A", "R": "random"}
READERS = {"whole maps": flat, "means of maps": means}
probed = {(name, reader): [] for name in WHOSE for reader in READERS}
for found, data in tqdm(list(zip(sources, tasks, strict=True)), desc="probes", delay=2, leave=False):
    (x, y), (x_test, y_test) = data["B"], data["B test"]
    cut = int(0.7 * len(x))
    for name in WHOSE:
        maps, tested = maps_of(found[name], x), maps_of(found[name], x_test)
        for reader, codes_of in READERS.items():
            codes = [(codes_of(maps[stage]), codes_of(tested[stage])) for stage in STAGES]
            probed[name, reader].append([probe(z[:cut], y[:cut], z[cut:], y[cut:], z_test, y_test) for z, z_test in codes])
probed = {key: np.array(values) for key, values in probed.items()}
for (name, reader), values in probed.items():
    accuracies = "   ".join(f"{stage} {a:.1%}" for stage, a in zip(STAGES, values.mean(axis=0), strict=True))
    print(f"{reader + ', ' + WHOSE[name] + ':':<30} {accuracies}")
by_learning = probed["B", "whole maps"] - probed["R", "whole maps"]
by_wiring = probed["R", "whole maps"] - probed["R", "whole maps"][:, :1]
print("whole maps, random layers against pixels:     ", by_depth(by_wiring[:, 1:], LAYERS))
print("whole maps, trained on B against random ones: ", by_depth(by_learning[:, 1:], LAYERS))

figure, axes = plt.subplots(1, 2, figsize=(9.6, 3.6), layout="constrained", sharey=True)
for ax, reader in zip(axes, READERS, strict=True):
    for (name, title), color, style in zip(WHOSE.items(), (BLUE, ORANGE, GREY), ("o-", "D-", "x--"), strict=True):
        mean, error = mean_and_error(probed[name, reader])
        ax.errorbar(range(len(STAGES)), mean, error, fmt=style, color=color, capsize=3, label=title)
    ax.set_xticks(range(len(STAGES)), STAGES)
    ax.set_title(f"A linear probe of {reader}")
axes[0].set_ylabel("test accuracy on B, % (bars: one standard error)", fontsize=8)
axes[1].legend(loc="lower right")
save(figure, HERE, "probes")
if ARE_REAL:
    claim(
        "A linear probe gets more right on one random layer than on the pixels.",
        f"{in_words(by_wiring[:, 1])} points",
        by_wiring[:, 1].mean() > 0.02,
    )
claim(
    "What training has added to random layers, as a linear probe reads it, is more in the last layer than in the first.",
    f"{in_words(by_learning[:, -1])} and {in_words(by_learning[:, 1])} points",
    by_learning[:, -1].mean() > by_learning[:, 1].mean() + 0.02,
)

# %% [markdown]
# One layer with random weights gives a linear reader what the pixels cannot: nonlinear functions of patches, through its ReLU.
# More random layers on top of it lose most of that again. Trained layers do not. Learning, it seems, is here less about making
# a first layer rich than about what is kept on the way up.
#
# Mind what the curve depends on. In the right figure the reader sees no places, and few numbers at the bottom; there the
# accuracy of layers trained on B rises from layer to layer, as Alain and Bengio found it in much larger networks. In the left
# figure most of what B asks for can be read after one layer. Neither curve alone says what a layer "knows". The difference to
# random layers, read by the same reader, says what it has learned.
#
# ## 4. How alike are two representations? CKA
#
# Are the features of two networks the same? One cannot compare them unit by unit: another start gives the units in another
# order, and what one unit computes here may be spread over several there. Kornblith, Norouzi, Lee and Hinton (2019) compare
# something that does not depend on that: **which pictures a network finds alike**. With rows of codes $x$ (N, D) of one layer
# and $y$ (N, E) of another, of the same $N$ pictures and centred, the $N \times N$ matrices $K = x x^T$ and $L = y y^T$ hold
# the inner products of all pairs of pictures, and
#
# $$\mathrm{CKA} = \frac{\sum_{nm} K_{nm} L_{nm}}{\sqrt{\sum_{nm} K_{nm}^2 \sum_{nm} L_{nm}^2}}
#   = \frac{\lVert y^T x \rVert^2}{\lVert x^T x \rVert\, \lVert y^T y \rVert}$$
#
# (Frobenius norms) is the cosine of the angle between the two, read as long vectors: 1 where they agree up to a factor, 0 where
# they have nothing in common. The two forms are equal because both numerators are one trace, $\sum_{nm} K_{nm} L_{nm} =
# \mathrm{tr}(x x^T y y^T) = \mathrm{tr}(y^T x\, x^T y)$. The first needs matrices of $N \times N$, the second of $D \times E$.
# Up to a factor the numerator is an estimate of the Hilbert-Schmidt independence criterion (HSIC, Gretton et al. 2005). It may
# be taken of other kernels than inner products, which must then be centred: $HKH$ in the place of $K$, with $H = I - \frac1N J$
# and $J$ the matrix of ones.
#
# What it does not see, and what it does:
#
# - a rotation or reflection of the features ($x \to xQ$ with $Q Q^T = I$; a reordering of the units is one) and a common factor
#   change nothing: $K$ stays, or is multiplied by a number;
# - other linear maps do change it. That is on purpose: directions in which pictures differ much count more than those of little
#   variance. An index that no invertible linear map can change gives one and the same value for *all* representations with as
#   many independent features as pictures: it cannot tell them apart (their theorem 1).

# %%
section("4. CKA")


def gram(x):
    """The N x N matrix of inner products of centred rows."""
    x = x.reshape(len(x), -1).astype(np.float64)
    x = x - x.mean(axis=0)
    return x @ x.T


def cosine(K, L):
    return float((K * L).sum() / np.sqrt((K * K).sum() * (L * L).sum()))


COMPARED = 100 if QUICK else 500  # pictures
x = means(run(sources[0]["B"].split("conv4")[0], tasks[0]["B test"][0][:COMPARED]))
D = x.shape[1]
rotation = np.linalg.qr(rng.standard_normal((D, D)))[0]
variants = {
    "themselves": x,
    "themselves, rotated": x @ rotation,
    "themselves in another order, three times as large": 3 * x[:, rng.permutation(D)],
    "themselves, stretched to equal variance in all directions": np.linalg.svd(x - x.mean(axis=0), full_matrices=False)[0],
    "numbers that have nothing to do with them": rng.standard_normal(x.shape),
}
alike = [cosine(gram(x), gram(y)) for y in variants.values()]
for title, value in zip(variants, alike, strict=True):
    print(f"CKA of the {D} features of conv4 ({COMPARED} pictures) and {title}: {value:.4f}")
claim(
    "Rotating, reordering or rescaling all features together leaves CKA as it is; stretching them unequally does not.",
    f"1 - CKA: {1 - alike[1]:.0e}, {1 - alike[2]:.0e}; {1 - alike[3]:.2f}",
    min(alike[1], alike[2]) > 1 - 1e-9 and alike[3] < 0.95,
)

# %% [markdown]
# The last line is a warning. Random numbers have nothing to do with our codes, and their CKA is not 0. Take two representations
# of $N$ pictures with $D$ features each, all independent normal numbers. Squared lengths of codes are about $D$, inner products
# of two codes only about $\pm\sqrt D$. So $\sum_{nm} K_{nm} L_{nm} \approx N D^2$ from the diagonal alone, $\sum_{nm} K_{nm}^2
# \approx N D^2 + N^2 D$, and
#
# $$\mathrm{CKA} \approx \frac{D}{N + D} .$$
#
# With fewer pictures than features unrelated things look alike. The estimate of HSIC is biased; Song et al. (2012) give one
# that is not,
#
# $$\mathrm{HSIC}_1 = \frac{1}{N(N-3)} \left[ \mathrm{tr}(\tilde K \tilde L)
#   + \frac{\mathbf 1^T \tilde K \mathbf 1\; \mathbf 1^T \tilde L \mathbf 1}{(N-1)(N-2)}
#   - \frac{2}{N-2} \mathbf 1^T \tilde K \tilde L \mathbf 1 \right] ,$$
#
# where $\tilde K$ and $\tilde L$ have zeros on their diagonals. Nguyen, Raghu and Kornblith (2021) compute CKA from it.


# %%
def hsic_unbiased(K, L):
    N = len(K)
    K, L = K - np.diag(np.diag(K)), L - np.diag(np.diag(L))
    cross = 2 / (N - 2) * (K.sum(axis=0) @ L.sum(axis=0))
    return ((K * L).sum() + K.sum() * L.sum() / ((N - 1) * (N - 2)) - cross) / (N * (N - 3))


def cka_unbiased(K, L):
    return float(hsic_unbiased(K, L) / np.sqrt(hsic_unbiased(K, K) * hsic_unbiased(L, L)))


D, numbers = 500, (20, 50, 100, 200, 500, 1000)
unrelated = np.zeros((2, len(numbers)))
for i, N in enumerate(numbers):
    pairs = [(gram(x), gram(y)) for x, y in (rng.standard_normal((2, N, D)) for _ in range(6 if N <= 200 else 2))]
    unrelated[:, i] = np.mean([(cosine(K, L), cka_unbiased(K, L)) for K, L in pairs], axis=0)
    biased, unbiased = unrelated[:, i]
    print(f"unrelated, {D} features, {N:>4} samples: CKA {biased:.3f} (D / (N + D) = {D / (N + D):.3f}),", end=" ")
    print(f"from the unbiased estimate {unbiased:+.3f}")
claim(
    "With fewer samples than features CKA calls unrelated representations alike; from the unbiased estimate it is about 0.",
    f"with 50 samples and 500 features {unrelated[0, 1]:.2f} and {unrelated[1, 1]:+.3f}",
    unrelated[0, 1] > 0.8 and np.abs(unrelated[1]).max() < 0.1,
)

# %% [markdown]
# So with the usual estimate one compares CKA values of equal numbers of pictures and features with each other, and does not
# read them as absolute. (Between layers the number of features differs, from 2048 to 640: there we look at the unbiased one,
# too.) Now the networks of section 2: all stages of one (rows) against all stages of another (columns), on test pictures of B.

# %%
CKA_STAGES = (*STAGES, "scores")
PAIRS = {
    "a network with itself": ("B", "B"),
    "two starts, same task": ("B", "B again"),
    "two halves": ("B", "A"),
    "photographs, clothes": ("B", "C"),
    "trained, random": ("B", "R"),
}


def grams_of(net, x):
    maps = maps_of(net, x) | {"scores": run(net, x)}
    return [gram(maps[stage]) for stage in CKA_STAGES]


def cka_map(a, b):
    return np.array([[cosine(K, L) for L in b] for K in a])


maps, unbiased = {title: [] for title in PAIRS}, []
for found, data in tqdm(list(zip(sources, tasks, strict=True)), desc="CKA", delay=2, leave=False):
    grams = {name: grams_of(net, data["B test"][0][:COMPARED]) for name, net in found.items()}
    for title, (a, b) in PAIRS.items():
        maps[title].append(cka_map(grams[a], grams[b]))
    unbiased.append([cka_unbiased(K, L) for K, L in zip(grams["B"], grams["B again"], strict=True)])
maps = {title: np.array(values) for title, values in maps.items()}


def draw_map(ax, values, rows, columns, title):
    ax.imshow(values, vmin=0, vmax=1, cmap="magma", origin="lower")
    for (i, j), value in np.ndenumerate(values):
        ax.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=6, color="white" if value < 0.6 else "black")
    ax.set_xticks(range(len(CKA_STAGES)), CKA_STAGES, rotation=45, fontsize=8)
    ax.set_yticks(range(len(CKA_STAGES)), CKA_STAGES, fontsize=8)
    ax.set_title(title, fontsize=9)
    ax.set(xlabel=columns, ylabel=rows)
    ax.spines[:].set_visible(False)


COLUMNS = ("the same", "on B, from another start", "on A", "on clothes", "random")
figure, axes = plt.subplots(1, len(maps), figsize=(13.5, 3.3), layout="constrained")
for ax, (title, values), columns in zip(axes, maps.items(), COLUMNS, strict=True):
    draw_map(ax, values.mean(axis=0), "trained on B" if ax is axes[0] else "", columns, title)
figure.suptitle("Linear CKA on pictures of B, mean over the seeds")
save(figure, HERE, "cka")
same = {title: np.diagonal(values, axis1=1, axis2=2)[:, 1:] for title, values in maps.items()}
for title, values in same.items():
    print(f"{title:<24}", "   ".join(f"{s} {v:.2f}" for s, v in zip(CKA_STAGES[1:], values.mean(axis=0), strict=True)))
fair = np.mean(unbiased, axis=0)[1:]
print("two starts, unbiased:   ", "   ".join(f"{s} {v:.2f}" for s, v in zip(CKA_STAGES[1:], fair, strict=True)))
inner = maps["two starts, same task"][:, 1:-1, 1:-1]
found_again = np.mean([inner.argmax(axis=axis) == np.arange(len(LAYERS)) for axis in (1, 2)])
print(f"the layer of another start that is most alike is the same layer in {found_again:.0%} of the cases (chance: 25 %)")
apart = same["two starts, same task"] - same["two halves"]
errors = apart.std(axis=0, ddof=1) / np.sqrt(len(apart))
differences = zip(CKA_STAGES[1:], apart.mean(axis=0), errors, strict=True)
print("two starts less two halves:", "   ".join(f"{s} {v:+.3f} +- {e:.3f}" for s, v, e in differences))
starts = same["two starts, same task"].mean(axis=0)
claim(
    "Networks from two starts, trained on the same task, are less alike in their last layer than in their first.",
    f"CKA {starts[3]:.2f} and {starts[0]:.2f}, unbiased {fair[3]:.2f} and {fair[0]:.2f}",
    starts[3] < starts[0] - 0.03 and fair[3] < fair[0] - 0.03,
)
claim(
    "In the first layer, networks for two halves are about as alike as two networks for one; in the last they are less alike.",
    f"CKA lower by {apart[:, 0].mean():.3f} +- {errors[0]:.3f} and by {apart[:, 3].mean():.3f} +- {errors[3]:.3f}",
    abs(apart[:, 0].mean()) < 0.06 and apart[:, 3].mean() > max(0.02, 1.5 * abs(apart[:, 0].mean())),
)

# %% [markdown]
# Sections 2 and 4 agree: what is general is what networks have in common, whatever their task; at the top they go different
# ways. Part of that is due to the start alone (second map); what the task adds is the difference between the second and third
# maps. But look at the second map before you make too much of it. Neighbouring layers are nearly as alike as
# equal ones, so that CKA does not always find the corresponding layer again (Kornblith et al. test it with just this question,
# in a deeper network, where it does). And a random network is "alike" as well: part of each value comes from the pictures, and
# not from what was learned.
#
# ## 5. What fine-tuning moves
#
# The network for A, with a new upper part and everything trainable, is fine-tuned to B: once with the learning rate of the
# pretraining (that is A4B+ of section 2), and once with a fifth of it. For each layer three questions. How far did its weights
# move, in per cent of their length? How far did its representation of B's pictures move (CKA before and after)? And did it
# matter? To see that, a single layer of the fine-tuned network is put back to what it was before, weights and statistics, and
# all others stay. (Zhang, Bengio and Singer ask this of training from random weights: many a layer can be put back to its start
# without much harm.)

# %%
section("5. What fine-tuning moves")
WAYS = {"rate 0.01": 0.01, "rate 0.002": 0.002}
moved = {(way, what): [] for way in WAYS for what in ("weights", "CKA", "put back", "accuracy")}
before_and_after = []
progress = tqdm(list(zip(SEEDS, sources, tasks, tuned, strict=True)), desc="fine-tuning", delay=2, leave=False)
for seed, found, data, at_full_rate in progress:
    pretrained, compared = found["A"], data["B test"][0][:COMPARED]
    before = grams_of(pretrained, compared)
    for way, rate in WAYS.items():
        net = at_full_rate if rate == 0.01 else train(with_layers_of(pretrained, 4, 5, seed), *data["B"], seed, rate=rate)
        after = grams_of(net, compared)
        whole = accuracy(net, *data["B test"])
        distances, losses = [], []
        for name in LAYERS:
            w0, w = (each.layers[name].parameters()["conv.w"].value for each in (pretrained, net))
            distances.append(np.linalg.norm(w - w0) / np.linalg.norm(w0))
            rewound = net.copy()
            rewound.layers[name] = copy.deepcopy(pretrained.layers[name])
            losses.append(accuracy(rewound, *data["B test"]) - whole)
        moved[way, "weights"].append(distances)
        moved[way, "CKA"].append([cosine(K, L) for K, L in zip(before[1:-1], after[1:-1], strict=True)])
        moved[way, "put back"].append(losses)
        moved[way, "accuracy"].append(whole)
    before_and_after.append(cka_map(before, after))
moved = {key: np.array(values) for key, values in moved.items()}
FORMATS = {"weights": "moved by {:.0%} of their length", "CKA": "CKA {:.2f}", "put back": "put back: {:+.1%}"}
for way in WAYS:
    print(f"{way}: {moved[way, 'accuracy'].mean():.1%} right (baseB: {base.mean():.1%})")
    for what, words in FORMATS.items():
        values = zip(LAYERS, moved[way, what].mean(axis=0), strict=True)
        print("   ", "   ".join(f"{name} {words.format(value)}" for name, value in values))

figure, axes = plt.subplots(1, 4, figsize=(13, 3.2), layout="constrained", width_ratios=(1, 1, 1, 1.15))
TITLES = {
    "weights": "The weights: moved, % of length",
    "CKA": "The maps: CKA of before and after",
    "put back": "One layer put back: gain, points",
}
for ax, (what, title) in zip(axes, TITLES.items(), strict=False):
    for way, color, style in zip(WAYS, (ORANGE, BLUE), ("D-", "o-"), strict=True):
        mean, error = (part / (100 if what == "CKA" else 1) for part in mean_and_error(moved[way, what]))
        ax.errorbar(DEPTHS, mean, error, fmt=style, color=color, capsize=3, label=way)
    ax.set_xticks(list(DEPTHS), LAYERS)
    ax.set_title(title, fontsize=9)
axes[1].set_ylim(0, 1.05)
axes[0].legend(fontsize=8)
draw_map(axes[3], np.mean(before_and_after, axis=0), "before", "after", "CKA, fine-tuned with rate 0.002")
save(figure, HERE, "fine_tuning")
changed = {way: moved[way, "CKA"].mean(axis=0) for way in WAYS}
claim(
    "Fine-tuning changes what a layer represents the more, the higher the layer.",
    "; ".join(", ".join(f"{value:.3f}" for value in values) for values in changed.values()),
    all((np.diff(values) < 0).all() for values in changed.values()),
)
put_back = {way: moved[way, "put back"].mean(axis=0) for way in WAYS}
claim(
    "Of the fine-tuned layers, the last is the one that costs most when it is put back to what it was.",
    "; ".join(", ".join(f"{100 * value:+.1f}" for value in values) for values in put_back.values()) + " points",
    all(values[-1] < values[:-1].min() - 0.01 for values in put_back.values()),
)

# %% [markdown]
# The first panel says less than it seems to. Adam moves every weight by about as much, so that small weights move by the
# larger share, and weights of upper layers are smaller from the start (their variance is 2 over the number of inputs). The
# other two panels say where it counts, with two reservations. What a layer gives also changes because the layers below it have
# changed. And a layer put back meets layers above that have been trained on another one, which costs more than freezing it
# from the start: at the full rate even conv1 costs something here, and nothing in section 2. Still, both agree with Yosinski's
# curves and with ours: it is at the top that most has to change.
#
# ## 6. Tasks further apart, and transfer that does harm
#
# How far apart are two tasks? There is no ruler, but there are measurements. One is in section 2: of what own layers are worth
# more than random ones, how much do layers of the other task keep?
#
# $$\text{share kept} = \frac{\overline{AnB} - \overline{RnB}}{\overline{BnB} - \overline{RnB}}$$
#
# Another is CKA between the networks of the two tasks. Both depend on the direction (CKA by whose pictures one takes): what A
# knows may be useful for B, and B's knowledge of no use for A. (Zamir et al. 2018 measure a whole map of such directed
# distances between 26 tasks. LEEP, LogME and the H-score of lesson 13 are to predict it without any training.)
#
# And what if the tasks are far apart, and there are few pictures of the new one? We take digits and clothes, in both
# directions. Networks for the old task have seen more pictures than there are of the new one. The ways:
#
# - *from scratch*: all layers start at random, and all are trained on the few pictures;
# - *frozen*: the first two layers, or all four, are the old network's, and the rest is trained;
# - *random, frozen*: the first four layers are random, and stay so;
# - *fine-tuned*: all four layers are the old network's, and all are trained;
# - *same task*: four frozen layers of a network that has seen more pictures of the **new** task. That is what one could hope
#   for.
#
# **Negative transfer** is to do worse with the old network than without it. Whether it happens depends on the tasks, and on
# what one does with the old network.

# %%
section("6. Tasks further apart")
worth = (curves["BnB"] - curves["RnB"])[:, -1].mean()
for kind, title in (("AnB", "two halves"), ("CnB", "photographs, clothes")):
    kept = (curves[kind] - curves["RnB"])[:, -1].mean()
    share = f"{kept / worth:.0%}" if worth > 0.02 else "a share that cannot be told"
    print(f"{title + ':':<22} four layers keep {share}; CKA of conv4 {same[title][:, 3].mean():.2f}", end="")
    print(f" (random layers {same['trained, random'][:, 3].mean():.2f})")
claim(
    "Four layers from the other half keep more of what four of one's own are worth than four layers from clothes.",
    f"{100 * (curves['AnB'] - curves['CnB'])[:, -1].mean():+.1f} points more",
    (curves["AnB"] - curves["CnB"])[:, -1].mean() > 0.01,
)

FEW, FEW_EPOCHS = (12, 4) if QUICK else (40, 12)  # of each class
WAYS = ("from scratch", "frozen, 2 layers", "frozen, 4 layers", "random, frozen", "fine-tuned", "same task")
few = {(target, way): [] for target in ("clothes", "digits") for way in WAYS}
bar = tqdm(total=len(SEEDS) * (1 + len(few)), desc="few pictures", delay=2, leave=False)
for seed, found in zip(SEEDS, sources, strict=True):
    large = draw("digits", "train", range(10), PER_CLASS // 2, seed)
    nets = {"clothes": found["C"], "digits": train(network(10, [seed, 20]), *large, seed)}
    bar.update()
    for target in ("clothes", "digits"):
        data, test = draw(target, "train", range(10), FEW, seed + 50), draw(target, "test", range(10), 150, seed)
        old = nets["digits" if target == "clothes" else "clothes"]
        start = settled(network(10, [seed, 21]), data[0])
        layers = (start, 0, 0), (old, 2, 2), (old, 4, 4), (start, 4, 4), (old, 4, 0), (nets[target], 4, 4)
        for way, (source, n, frozen) in zip(WAYS, layers, strict=True):
            net = train(with_layers_of(source, n, 10, seed), *data, seed, frozen=frozen, epochs=FEW_EPOCHS)
            few[target, way].append(accuracy(net, *test))
            bar.update()
bar.close()
few = {key: np.array(values) for key, values in few.items()}
gains = {(target, way): values - few[target, "from scratch"] for (target, way), values in few.items()}
for target in ("clothes", "digits"):
    print(f"{10 * FEW} pictures of {target}: {few[target, 'from scratch'].mean():.1%} from scratch; against that, in points:")
    print("  ", "   ".join(f"{way}: {in_words(gains[target, way])}" for way in WAYS[1:]))

figure, axes = plt.subplots(1, 2, figsize=(9.6, 3.2), layout="constrained", sharex=True)
for ax, target in zip(axes, ("clothes", "digits"), strict=True):
    ax.axvline(0, color="#d0d0d0", lw=0.8)
    for place, way in enumerate(WAYS[1:]):
        mean, error = mean_and_error(gains[target, way])
        ax.errorbar(
            mean, -place, xerr=error, fmt="o", color=GREEN if mean > error else ORANGE if mean < -error else GREY, capsize=3
        )
    old = "digits" if target == "clothes" else "clothes"
    ax.set(title=f"From {old} to {10 * FEW} pictures of {target}", xlabel="gain over training from scratch, points")
    ax.set_ylim(0.5 - len(WAYS[1:]), 0.5)
    ax.set_yticks(-np.arange(len(WAYS) - 1), WAYS[1:] if ax is axes[0] else [""] * (len(WAYS) - 1))
figure.suptitle("Mean and one standard error; grey: a difference within that", fontsize=9)
save(figure, HERE, "negative_transfer")
harm = [gains[target, "frozen, 4 layers"].mean() for target in ("clothes", "digits")]
tuned_gain = [gains[target, "fine-tuned"].mean() for target in ("clothes", "digits")]
claim(
    "Four frozen layers of the other task do harm in both directions: fewer right than from scratch.",
    ", ".join(f"{100 * value:+.1f}" for value in harm) + " points",
    max(harm) < -0.02,
)
claim(
    "The same four layers, trained further, are far from doing as much harm in either direction.",
    ", ".join(f"{100 * value:+.1f}" for value in tuned_gain) + " points",
    all(value > loss + 0.03 for value, loss in zip(tuned_gain, harm, strict=True)) and min(tuned_gain) > -0.03,
)

# %% [markdown]
# Negative transfer is thus no property of two tasks. Frozen at the top, the old network has thrown away what the new task asks
# for, and nothing brings it back. (Four random frozen layers have thrown away even more.) As a place to start from, the same
# weights are as good as random ones, or better.
#
# ## What to do with it
#
# 1. Compare with random layers and with training from scratch, seed by seed, before you speak of features that transfer.
# 2. Copy generously, freeze sparingly: the further the tasks are apart, the fewer layers. Between photographs the lower ones
#    are safe; from clothes to digits even two are too many.
# 3. Where you must freeze (few pictures, little time), cut lower for tasks further apart, and read maps, not only their means.
# 4. CKA and probes tell where two networks differ, at the price of a forward pass. They do not tell what accuracy will come of
#    it. For that, train.
#
# ## What this lesson claims
#
# - A first layer from the other half is as good as one's own, as far as four seeds can tell.
# - Four frozen layers from the other half get fewer right than four of one's own, and four random ones fewer still.
# - Frozen layers of one's own cost little at any depth: of fragile co-adaptation nothing is seen here.
# - Trained further, layers from the other half do no harm.
# - A random first layer, frozen, costs next to nothing, and four random layers still get far more right than guessing.
# - A linear probe gets more right on one random layer than on the pixels.
# - What training has added to random layers, as a linear probe reads it, is more in the last layer than in the first.
# - Rotating, reordering or rescaling all features together leaves CKA as it is; stretching them unequally does not.
# - With fewer samples than features CKA calls unrelated representations alike; from the unbiased estimate it is about 0.
# - Networks from two starts, trained on the same task, are less alike in their last layer than in their first.
# - In the first layer, networks for two halves are about as alike as two networks for one; in the last they are less alike.
# - Fine-tuning changes what a layer represents the more, the higher the layer.
# - Of the fine-tuned layers, the last is the one that costs most when it is put back to what it was.
# - Four layers from the other half keep more of what four of one's own are worth than four layers from clothes.
# - Four frozen layers of the other task do harm in both directions: fewer right than from scratch.
# - The same four layers, trained further, are far from doing as much harm in either direction.

# %%
print_claims()

# %% [markdown]
# ## Questions
#
# **1.** Somebody copies the first three layers of a network, freezes them, trains the rest for one epoch, finds 8 points less
# than the whole network had, and writes: "The features of layer 3 are specific to the old task." Name three things that should
# have been measured before.
#
# <details><summary>Answer</summary>
#
# The same with the new task's *own* layers, frozen (BnB): perhaps they lose as much, because the upper part was trained too
# briefly, or because of co-adaptation. The same with random layers: perhaps the loss is nearly all that there is to lose, or
# hardly any of it. And the same over several seeds, as differences to a network trained for as long: 8 points may be within
# chance. (Longer training of the upper part would be a fourth.)
#
# </details>
#
# **2.** Two networks have the same 64 features in the last layer, but in the second one a single feature is a hundred times as
# large as in the first, and the next layer has learned to divide by that. They compute the same answers. What does CKA say of
# the two layers, roughly? And what would you do about it if this feature did not matter to you?
#
# <details><summary>Answer</summary>
#
# In the second network that one feature has ten thousand times its variance, and $L$ is practically the matrix of its products
# alone. CKA then says how alike this one feature is to all 64 together, which may be little, although one network is as good
# as the other. CKA weighs directions by their variance; what a network makes of them, it does not know. One can standardise the
# features before (that answers another question, in which all features count alike), or compare a layer further up, where the
# factor is divided out again.
#
# </details>
#
# **3.** A linear probe gets 60 % right on layer 2 and 55 % on layer 3. Has layer 3 lost information that the network needs?
# Can the whole network, with two more layers above, still get 70 % right?
#
# <details><summary>Answer</summary>
#
# It has lost information, or it has moved it to where a linear reader does not find it; the probe cannot tell which. And yes,
# it can: layers 4 and 5 are no linear readers. What layer 3 has given up may also be what the network does *not* need, and what
# a linear classifier could have used as a makeshift. It may even be the probe itself: more features, the same few samples.
#
# </details>
#
# ## Further reading
#
# - Yosinski, Clune, Bengio, Lipson 2014, "How transferable are features in deep neural networks?", section 2 (the four kinds of
#   networks) and section 4 (random halves; natural and man-made things, tasks further apart; random weights).
# - Alain, Bengio 2016, "Understanding intermediate layers using linear classifier probes".
# - Kornblith, Norouzi, Lee, Hinton 2019, "Similarity of Neural Network Representations Revisited", section 2 (what an index
#   should not see), section 3 (HSIC and CKA) and section 6 (finding layers again).
# - Nguyen, Raghu, Kornblith 2021, "Do Wide and Deep Networks Learn the Same Things? Uncovering How Neural Network
#   Representations Vary with Width and Depth": CKA from the unbiased estimate. Song, Smola, Gretton, Bedo, Borgwardt 2012,
#   "Feature Selection via Dependence Maximization": that estimate. Gretton, Bousquet, Smola, Schölkopf 2005, "Measuring
#   Statistical Dependence with Hilbert-Schmidt Norms".
# - Jarrett, Kavukcuoglu, Ranzato, LeCun 2009, "What is the Best Multi-Stage Architecture for Object Recognition?": random
#   filters.
# - Zhang, Bengio, Singer 2022, "Are All Layers Created Equal?": layers put back. Neyshabur, Sedghi, Zhang 2020, "What is being
#   transferred in transfer learning?".
# - Zamir, Sax, Shen, Guibas, Malik, Savarese 2018, "Taskonomy: Disentangling Task Transfer Learning". Wang, Dai, Póczos,
#   Carbonell 2019, "Characterizing and Avoiding Negative Transfer".
#
# ## Next
#
# The exercise: fill in `exercise.py`, and run `minicnn check 15` as often as you like; it says what is wrong, and `minicnn
# check 15 --task 3 --hint` gives a hint. When all is right, your functions measure networks that the engine trains. Then the
# laboratory, for the long form of the four curves: `python lessons/laboratory/transferability.py`. And lesson 16: what these
# layers compute, and what a network looks at.
