# %% [markdown]
# # Lesson 11. CNN codes, freezing and fine-tuning
#
# Few people train a large network from random weights: few have a million labelled pictures. They take one that others have
# trained and let it do for *their* pictures what it learned on those. This is transfer learning, and it comes in two forms:
#
# - the network as a **fixed feature extractor**: cut it before its classifier, and what comes out is a description of the
#   picture, its **CNN code**; train a simple linear classifier on the codes of your pictures;
# - **fine-tuning**: put a new classifier on top and train on, with the lower layers frozen and the upper ones learning gently.
#
# We do both to real pictures: ants and bees, if that set is here, else solar cells with and without defects.
#
# **Before**: linear classifiers and their regularisation (lesson 1), backpropagation (lesson 2), and what a batch normalisation
# keeps (lesson 5).
#
# **After**: you can take codes from any layer of a pretrained network and train a classifier on them, choose by validation and
# report honestly; freeze what has to stay, and know that it stayed; and fine-tune without spoiling what was there.
#
# Run it (`minicnn lesson 11`, with `--quick` for a first look), or open it as a notebook; figures go to `out/` beside it. Then
# do the exercise: `minicnn check 11`.

# %%
import itertools
import sys
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

import minicnn
from minicnn.course.workbench import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    QUICK,
    claim,
    find_data,
    picture_grid,
    print_claims,
    save,
    section,
)
from minicnn.data import load_mnist, open_pictures, solar_cells, stratified_split
from minicnn.errors import DataError, TrainingError, WeightsError
from minicnn.inference import fuse, infer
from minicnn.layers import BatchNorm2d, Dropout
from minicnn.linear_model import LinearSVM, SoftmaxRegression, choose_regularisation
from minicnn.losses import SoftmaxCrossEntropy
from minicnn.models import lenet5
from minicnn.optim import SGD, AdamW
from minicnn.schedules import one_cycle
from minicnn.training import Trainer
from minicnn.transfer import pool_features

HERE = Path(globals().get("__file__", "lesson.py")).resolve().parent
rng = np.random.default_rng(1)

# %% [markdown]
# ## 1. A network that has seen a million pictures
#
# EfficientNet-Lite0 was trained on the 1,000 classes of ImageNet. Its weights travel with everything one needs to use them:
# the size of the input, what to subtract and divide by, the names of the classes. (With another network's preprocessing it
# would still answer, only worse. That is the most common silent mistake in transfer learning.)

# %%
section("1. The pretrained network")
try:
    model = minicnn.load("efficientnet_lite0")
except WeightsError as error:
    sys.exit(f"This lesson needs the pretrained network. {error}")
print(model.summary())
print(f"preprocessing: {model.preprocessing.describe()}")

archive = find_data("ants-bees.zip")
try:
    collection = open_pictures(archive) if archive else solar_cells()
except DataError as error:
    sys.exit(f"This lesson needs pictures: ants-bees.zip in the folder that MINICNN_DATA names, or the solar cells. {error}")
classes, labels = collection.classes, collection.labels
given = collection.splits or stratified_split(labels, collection.groups, {"train": 0.7, "test": 0.3}, 0)
inner = stratified_split(labels[given["train"]], None, {"train": 0.7, "val": 0.3}, 0)
rows = {"train": given["train"][inner["train"]], "val": given["train"][inner["val"]], "test": given["test"]}
pixels, y = {}, {}
for part, most in (("train", 50), ("val", 25), ("test", 50)):  # of each class
    by_class = [rng.permutation(rows[part][labels[rows[part]] == k]) for k in range(len(classes))]
    chosen = np.concatenate([of_class[: most // 3 if QUICK else most] for of_class in by_class])
    pixels[part], used = collection.subset(np.sort(chosen)).fitted(model.preprocessing, progress=False)
    y[part] = used.labels
print(f"\npictures: {collection.name}, classes {' and '.join(classes)}")
print(f"{len(y['train'])} to train on, {len(y['val'])} to choose by, {len(y['test'])} to test with")

figure, axes = picture_grid(1, 4, 2.2)
examples = rng.choice(len(y["test"]), 4, replace=False)
for ax, i, answers in zip(
    axes[0], examples, model.top_classes([pixels["test"][i].squeeze() for i in examples], top=3), strict=True
):
    ax.imshow(pixels["test"][i].squeeze())
    ax.set_title("\n".join(f"{name} {100 * p:.0f} %" for name, p in answers), fontsize=8)
    ax.set_xlabel(classes[y["test"][i]], fontsize=8)
figure.suptitle("What it says without any training of ours (below: the truth)", y=1.16)
save(figure, HERE, "first_answers")

# %% [markdown]
# If you have the ants and bees: both are among ImageNet's classes, so this is the easy case of a *small and similar* set.
# Solar cells are the hard one, *small and different*: nothing like them is in ImageNet.
#
# ## 2. Codes: the network, cut before its classifier
#
# The last layer computes 1,000 scores, `scores = code @ w.T + b`. All that it knows about the picture stands in the code:
# 1,280 numbers, each an average over the picture of how strongly one feature is present. We run the layers below, once, and
# keep what they say at several depths: we shall need it. Each stretch of layers starts from where the last one ended.
#
# The code is taken **after the ReLU**: that is what the layer above was trained to read. Most of its numbers are zero or
# small.

# %%
section("2. CNN codes")


def run(layers, x, finish=lambda output: output, label=None):
    """The layers in eval mode over all samples: uint8 pictures, or the feature maps of the layers below.

    Batch norm in eval mode multiplies each channel by a number and adds another: fuse() moves that into the convolutions.
    """
    as_input = model.preprocessing.normalise if x.dtype == np.uint8 else (lambda x: x)
    return infer(fuse(layers), len(x), lambda i: as_input(x[i]), finish, label=label)


start = time.perf_counter()
below = {"stem": model.split("stem")[0]}
below["block4"], rest = model.split("block4")
below["block10"], rest = rest.split("block10")
below["block15"], rest = rest.split("block15")
head = rest.layers["head"]
codes = {name: {} for name in ("stem", "block4", "block10", "before ReLU", "code")}
maps = {}
for part in ("train", "val", "test"):
    codes["stem"][part] = run(below["stem"], pixels[part], pool_features)
    x = run(below["block4"], pixels[part], label=f"codes of {part}")
    codes["block4"][part] = pool_features(x)
    maps[part] = x = run(below["block10"], x)
    codes["block10"][part] = pool_features(x)
    x = run(below["block15"], x)
    codes["before ReLU"][part] = run(head.split("norm")[0], x, pool_features)
    codes["code"][part] = run(head, x, pool_features)
seconds, count = time.perf_counter() - start, sum(map(len, y.values()))
code = codes["code"]
print(f"{count} pictures -> codes of {code['train'].shape[1]} numbers, {seconds:.1f} s with the compilation of the kernels")
print(f"numbers below a tenth of the largest: {np.mean(code['train'] < 0.1 * code['train'].max()):.0%} of the codes,", end=" ")
print(f"and {np.mean(run(head, x[:20]) == 0):.0%} of the last feature maps are exactly 0")

# %% [markdown]
# ## 3. Neighbours
#
# A good description puts alike things near each other. Take a picture, and find the most similar ones of the training set,
# once by pixels and once by codes (by the angle between them). Pixels tend to find the same background, codes the same
# thing.

# %%
section("3. Nearest neighbours")


def small(pictures, side=32):
    """Pictures shrunk to side x side pixels, as rows of numbers from 0 to 1: (N, side * side * C)."""
    resized = [np.asarray(Image.fromarray(p.squeeze()).resize((side, side), Image.Resampling.BOX)) for p in pictures]
    return np.stack(resized).reshape(len(pictures), -1).astype(np.float32) / 255


def neighbours(queries, candidates):
    """For each query all candidates, the most similar (smallest angle) first."""
    queries = queries / np.linalg.norm(queries, axis=1, keepdims=True)
    candidates = candidates / np.linalg.norm(candidates, axis=1, keepdims=True)
    return np.argsort(-(queries @ candidates.T), axis=1)


raw = {part: small(pixels[part]) for part in pixels}
mean_picture = raw["train"].mean(axis=0)
by = {
    "pixels": neighbours(raw["test"] - mean_picture, raw["train"] - mean_picture),
    "codes": neighbours(code["test"], code["train"]),
}
for name, nearest in by.items():
    same = np.mean(y["train"][nearest[:, 0]] == y["test"])
    print(f"the nearest neighbour by {name:<6} is of the same class for {same:.0%} of the test pictures")

shown = [np.flatnonzero(y["test"] == k)[2] for k in range(2)]
figure, axes = picture_grid(4, 7, 1.25)
for r, (i, name) in enumerate((i, name) for i in shown for name in by):
    found = by[name][i, :6]
    axes[r, 0].imshow(pixels["test"][i].squeeze())
    axes[r, 0].set_ylabel(f"by {name}", fontsize=9)
    for ax, j in zip(axes[r, 1:], found, strict=True):
        ax.imshow(pixels["train"][j].squeeze())
        right = y["train"][j] == y["test"][i]
        for side in ax.spines.values():
            side.set(visible=True, color=GREEN if right else ORANGE, linewidth=2.5)
figure.suptitle("A test picture (left) and its nearest training pictures; green: same class", y=0.94)
save(figure, HERE, "neighbours")

# %% [markdown]
# ## 4. A linear classifier on the codes
#
# Now one matrix, learned on the training codes: $s = z\,w^T + b$ with standardised codes $z$, and
#
# $$L = \frac1N \sum_n \ell(s_n, y_n) + \frac\lambda2 \lVert w \rVert^2 ,$$
#
# where $\ell$ is the cross-entropy (softmax classifier) or the squared hinge $\sum_k \max(0, 1 - t_k s_k)^2$ (linear SVM,
# with $t_k = 1$ for the right class and $-1$ for the others). With far more features than pictures, *any* labels could be
# learned by heart; $\lambda$ holds against that. It is chosen by the validation pictures. The test pictures have no say: they
# are asked at the end.

# %%
section("4. Linear classifiers")
raw = {part: values - mean_picture for part, values in raw.items()}
tested = {}
figure, axes = plt.subplots(1, 2, figsize=(8.6, 3.2), sharey=True)
for ax, (name, features) in zip(axes, (("pixels", raw), ("codes", code)), strict=True):
    for classifier, color, width in ((LinearSVM, BLUE, 4), (SoftmaxRegression, ORANGE, 1.5)):
        choice = choose_regularisation(classifier, features["train"], y["train"], features["val"], y["val"])
        accuracy = tested[classifier, name] = choice.final.score(features["test"], y["test"])
        print(
            f"{classifier.__name__:<18} on {name:<6}: lambda {choice.point.regularisation:<6g} -> test accuracy {accuracy:.1%}"
        )
        strengths = [point.regularisation for point in choice.path]
        ax.semilogx(strengths, [point.train_accuracy for point in choice.path], ":", lw=width, color=color)
        ax.semilogx(
            strengths, [point.val_accuracy for point in choice.path], "o-", lw=width, color=color, label=classifier.__name__
        )
    ax.set(title=f"on {name} (dotted: on the training pictures)", xlabel="regularisation lambda")
axes[0].set_ylabel("accuracy, validation")
axes[1].legend(loc="lower left")
save(figure, HERE, "regularisation")
claim(
    "A linear classifier gets more test pictures right by their codes than by their pixels.",
    ", ".join(f"{tested[kind, 'codes']:.1%} and {tested[kind, 'pixels']:.1%}" for kind in (LinearSVM, SoftmaxRegression)),
    all(tested[kind, "codes"] > tested[kind, "pixels"] for kind in (LinearSVM, SoftmaxRegression)),
)

# %% [markdown]
# ## 5. How deep to cut?
#
# Lower layers know edges and colours, upper layers know parts of things: the higher, the more useful for pictures like the
# ones that the network was trained on. For pictures of quite another kind, a cut lower down can be better. The lecture gives
# it as a rule; here is one measurement. The last bar is the code before its ReLU, for comparison.

# %%
section("5. Accuracy by depth")
by_depth = {}
for name in ("stem", "block4", "block10", "code", "before ReLU"):
    features = codes[name]
    choice = choose_regularisation(SoftmaxRegression, features["train"], y["train"], features["val"], y["val"])
    by_depth[name] = choice.final.score(features["test"], y["test"])
    print(f"codes at {name:<12} {features['train'].shape[1]:>5} numbers: test accuracy {by_depth[name]:.1%}")
figure, ax = plt.subplots(figsize=(5.6, 3))
ax.bar(range(5), list(by_depth.values()), color=[BLUE] * 4 + [GREY], width=0.6)
for i, accuracy in enumerate(by_depth.values()):
    ax.text(i, accuracy + 0.01, f"{accuracy:.0%}", ha="center", fontsize=9)
ax.axhline(1 / len(classes), color=GREY, lw=0.8, ls="--")
ax.set_xticks(range(5), [f"{n}\n({codes[n]['train'].shape[1]})" for n in by_depth])
ax.set(ylabel="test accuracy", ylim=(0, 1.08), title="A linear classifier on codes cut at five places (number of features)")
save(figure, HERE, "depth")

# %% [markdown]
# ## 6. Freezing
#
# Before training on: what shall *not* change? A frozen layer keeps its weights, and if it is a batch normalisation its
# running mean and variance too. In this library, as in the others, a parameter has a flag `trainable`; **frozen is `trainable
# = False`.**
#
# > **A correction.** One of the lecture's sources has "Frozen (trainable = True)" and "Unfrozen (trainable = False)". It is the
# > other way round.
#
# We put on a new head for our classes, freeze the network up to block 10, and look at the column on the right. Then we train
# for two steps, all layers running in training mode, and compare every array with what it was, bit by bit.

# %%
section("6. Freezing")


def arrays_of(network):
    """All weights and statistics by name."""
    return {name: parameter.value for name, parameter in network.parameters().items()} | network.state()


def two_steps(network, parameters):
    """Two steps of SGD on a few pictures: the processor seconds of the quicker one, and which arrays changed, bit by bit."""
    before = {name: array.copy() for name, array in arrays_of(network).items()}
    x, labels = model.preprocessing.normalise(pixels["train"][::8]), y["train"][::8]
    loss, optimizer = SoftmaxCrossEntropy(), SGD(parameters, 0.01)
    seconds = []
    for _ in range(2):
        start = time.process_time()
        loss.forward(network.train().forward(x), labels)
        network.backward(loss.backward())
        optimizer.step()
        seconds.append(time.process_time() - start)
    after = arrays_of(network)
    return min(seconds), {name for name in before if not np.array_equal(before[name], after[name])}


def with_new_head():
    network = model.copy()
    network.replace_head(classes, rng=0)
    return network


lower_layers = set(model.split("block10")[0].layers)
network = with_new_head()
two_steps(network, network.parameters())  # the kernels of the backward pass are compiled here, once
everything_seconds, _ = two_steps(network, network.parameters())

network = with_new_head().freeze(until="block10")
print(network.summary())
frozen_seconds, changed = two_steps(network, network.parameters())
lower = {name for name in arrays_of(network) if name.split(".")[0] in lower_layers}
upper = set(arrays_of(network)) - lower
print(f"\nfrozen: {len(lower & changed)} of {len(lower)} arrays up to block10 changed")
claim(
    "Frozen layers are the same after training, weights and statistics, bit by bit.",
    f"{len(lower & changed)} of {len(lower)} arrays differ, and {len(upper & changed)} of {len(upper)} above",
    not lower & changed and bool(upper & changed),
)
kept = ", ".join(sorted(upper - changed))
print(f"trainable: {len(upper & changed)} of {len(upper)} arrays above it changed (not: {kept or 'none'})")
print(
    f"a step takes {everything_seconds:.2f} s of all cores, everything trainable, and {frozen_seconds:.2f} s with that frozen"
)
claim(
    "A training step costs less computing time when the lower layers are frozen.",
    f"{frozen_seconds:.2f} s of all cores together in place of {everything_seconds:.2f} s",
    frozen_seconds < everything_seconds,
)

network = with_new_head()
_, changed = two_steps(network, {name: p for name, p in network.parameters().items() if name.split(".")[0] not in lower_layers})
moved = lower & changed
print(f"only left out of the optimiser: {len(moved)} of the {len(lower)} changed all the same, for instance {min(moved)}")
claim(
    "Where layers are only left out of the optimiser, their batch normalisations change all the same.",
    f"{len(moved)} of {len(lower)} arrays",
    bool(moved),
)

# %% [markdown]
# The last line is a classic: to leave weights out of the optimiser is not to freeze. Batch normalisation in training mode
# goes on averaging the statistics of *your* pictures into its memory, and the layers above get other inputs than they were
# trained on. In minicnn a frozen batch norm uses its running statistics, and keeps them.
#
# (A riddle: some arrays above did not change, although nothing forbade it. They are biases $\beta$ that shift a whole
# channel, and a 1x1 convolution and a batch norm later the shift is subtracted again. Their gradient is zero, up to
# rounding.)
#
# ## 7. Fine-tuning
#
# The frozen part never changes, so its feature maps at block 10, computed in section 2, serve for all epochs. We train in two
# phases, by rules that have one reason, that good weights should not be spoiled by a bad start:
#
# 1. first the new head alone, everything else frozen: while it is random, the gradients that it hands down are noise;
# 2. then the layers above block 10 as well, gently, the pretrained ones with a lower learning rate than the head;
# 3. their batch norms stay frozen, by name: the statistics of a few pictures are poor, and moving ones confuse what lies above;
# 4. keep what is best on the validation pictures, be it phase 1.
#
# Do not expect wonders. For a *small* set the lecture advises against fine-tuning: millions of weights against a hundred
# pictures. Look at how soon all training pictures are right, and what the validation pictures say to that. Fine-tuning pays
# with more pictures, above all of a kind that the network does not know: `minicnn transfer` shows it on 2,624 solar cells.

# %%
section("7. Fine-tuning the upper part")
loss = SoftmaxCrossEntropy(label_smoothing=0.05)
first = with_new_head().freeze(until="pool")
top = first.split("pool")[1]  # dropout and classifier
optimizer = AdamW(top.parameters(), 2e-3, weight_decay=0.01)
trainer = Trainer(top, loss, optimizer, epochs=40, batch_size=16, schedule=one_cycle(), seed=0, progress=False)
history = trainer.fit(code["train"], y["train"], code["val"], y["val"])
alone = {"validation": history.best["val_accuracy"], "test": trainer.evaluate(code["test"], y["test"])[1]}
print(f"phase 1, the head alone: kept epoch {history.best_epoch} of 40, validation {alone['validation']:.1%}")


def prepared():
    """A copy of the network with the head of phase 1, and its part above block10: trainable, but for the batch norms."""
    network = first.copy()
    network.unfreeze()
    norms = [path for path, layer in network.walk() if isinstance(layer, BatchNorm2d)]
    network.freeze(until="block10", names=norms)
    return network, network.split("block10")[1]


def train(upper, epochs, body_rate, label, validate=True):
    """Phase 2: the head with a rate of 0.0005, the pretrained layers with ``body_rate``."""
    for name, parameter in upper.parameters().items():
        parameter.learning_rate_multiplier = 1.0 if name.startswith("classifier.") else body_rate / 5e-4
    optimizer = AdamW(upper.parameters(), 5e-4, weight_decay=0.01)
    trainer = Trainer(upper, loss, optimizer, epochs=epochs, batch_size=16, schedule=one_cycle(), seed=0, label=label)
    validation = (maps["val"], y["val"]) if validate else (None, None)
    return trainer, trainer.fit(maps["train"], y["train"], *validation)


network, upper = prepared()
trainer, history = train(upper, 2 if QUICK else 4, 1e-4, "fine-tuning")
for e in history.epochs:
    accuracies = f"training {e['train_accuracy']:.1%}, validation {e['val_accuracy']:.1%}"
    print(f"phase 2, epoch {e['epoch']:>2}: loss {e['loss']:.3f}, {accuracies}")
tuned = {"validation": history.best["val_accuracy"], "test": trainer.evaluate(maps["test"], y["test"])[1]}
choice = "fine-tuned" if tuned["validation"] > alone["validation"] else "the head alone"
print(f"the validation pictures choose: {choice} (one picture more or less is {1 / len(y['val']):.1%}: a few mean nothing)")
print(f"test accuracy: head alone {alone['test']:.1%}, fine-tuned {tuned['test']:.1%}")

before, after = code["test"], run(upper.split("pool")[0], maps["test"])
figure, axes = plt.subplots(1, 2, figsize=(7.6, 3.4))
for ax, title, features in ((axes[0], "before fine-tuning", before), (axes[1], "after", after)):
    centred = features - features.mean(axis=0)
    _, spread, directions = np.linalg.svd(centred, full_matrices=False)
    plane = centred @ directions[:2].T
    for k, name in enumerate(classes):
        ax.scatter(*plane[y["test"] == k].T, s=14, label=name, alpha=0.8)
    share = (spread[:2] ** 2).sum() / (spread**2).sum()
    ax.set(title=f"{title} ({share:.0%} of the variance)", xticks=[], yticks=[])
    print(f"the two main directions hold {share:.0%} of the variance of the codes {title}")
axes[0].legend(fontsize=8)
figure.suptitle("Codes of the test pictures, seen along their two main directions", y=1.02)
save(figure, HERE, "codes_before_and_after")

# %% [markdown]
# ## 8. Too large a learning rate destroys
#
# The lecture warns: pretrained layers want a small learning rate. What does that mean in numbers? We train the same thing for
# two epochs at four rates, and look at the validation pictures and at how far the pretrained weights moved from where they
# were.

# %%
section("8. Learning rates")
origin = {name: parameter.value for name, parameter in model.parameters().items()}
results, distances = [], {}
for rate in (1e-4, 1e-2) if QUICK else (1e-6, 1e-4, 1e-3, 1e-2):
    network, upper = prepared()
    try:
        trainer, _ = train(upper, 2, rate, f"rate {rate:g}", validate=False)
        accuracy = trainer.evaluate(maps["val"], y["val"])[1]
    except TrainingError as error:
        print(f"rate {rate:g}: {error}")
        accuracy = 0.0
    body = {n: p.value for n, p in upper.parameters().items() if p.decays and not n.startswith("classifier.")}
    length = np.sqrt(sum(float((origin[name] ** 2).sum()) for name in body))
    distance = np.sqrt(sum(float(((value - origin[name]) ** 2).sum()) for name, value in body.items())) / length
    distances[rate] = distance
    results.append((rate, accuracy, f"{100 * distance:.2g} %"))
    print(f"body rate {rate:<6g}: weights moved by {distance:>7.1%} of their length, validation accuracy {accuracy:.1%}")
rates, accuracies, _ = zip(*results, strict=True)
figure, ax = plt.subplots(figsize=(5.6, 3.2))
ax.semilogx(rates, accuracies, "o-", color=BLUE)
for rate, accuracy, distance in results:
    ax.annotate(distance, (rate, accuracy), (4, 6), textcoords="offset points", fontsize=8)
ax.axhline(1 / len(classes), color=GREY, lw=0.8, ls="--")
ax.set(xlabel="learning rate of the pretrained layers", ylabel="validation accuracy", ylim=(0.35, 1.08))
ax.set_title("After two epochs; labels: how far the weights moved")
save(figure, HERE, "learning_rates")
claim(
    "The larger the learning rate, the further the pretrained weights move.",
    ", ".join(f"{distance:.2%}" for distance in distances.values()),
    all(less < more for less, more in itertools.pairwise(distances.values())),
)
after = {rate: accuracy for rate, accuracy, _ in results}
claim(
    "A learning rate of 0.01 costs accuracy that one of 0.0001 keeps.",
    f"{after[1e-2]:.1%} with 0.01, {after[1e-4]:.1%} with 0.0001",
    after[1e-2] < after[1e-4],
)

# %% [markdown]
# ## 9. Aside: dropout, when nothing is dropped
#
# The layer before our classifier is dropout. In training it sets each number of the code to 0 with probability $p$; in use it
# must not, yet the layer above should see numbers of the same average size. Vanilla dropout multiplies by a factor at test
# time.
#
# > **A correction.** "Multiply by the dropout probability at test time," says one slide. It is the probability of *keeping* a
# > unit, $1-p$; at the slide's $p = \frac12$ nobody can tell. Inverted dropout, as in minicnn and everywhere today, divides by
# > $1-p$ in training instead, and then has nothing to do in use.

# %%
section("9. Dropout")
dropout = Dropout(model.layers["dropout"].p, rng=0)
p, one = dropout.p, code["test"][0]
vanilla = np.mean([(one * (rng.random(one.size) >= p)).sum() for _ in range(4000)]) / one.sum()
inverted = np.mean([dropout.train().forward(one).sum() for _ in range(4000)]) / one.sum()
print(f"dropping with p = {p}, averaged over 4,000 masks: the size of a code is {vanilla:.3f} of what it is without;", end=" ")
print(f"1 - p = {1 - p:.3f}, p = {p:.3f}")
print(f"inverted dropout: {inverted:.3f} in training, {dropout.eval().forward(one).sum() / one.sum():.3f} in use")
claim(
    "Vanilla dropout leaves a code at 1 - p of its size on average, and not at p.",
    f"{vanilla:.3f} with p = {p}",
    abs(vanilla - (1 - p)) < 0.01 < abs(vanilla - p),
)

# %% [markdown]
# ## 10. The same on a small scale: from digits to clothes
#
# `weights/` has a LeNet-5 that this engine trained on MNIST. Are its layers of any use for pictures of clothes
# (Fashion-MNIST), with ten examples a class? Those are grey and of the same size, but *different*; so we also cut lower,
# after the second pooling, and compare with pixels, and with LeNet-5 before it has seen anything.

# %%
section("10. LeNet-5: from digits to clothes")
folder = find_data("fashion-mnist")
if folder is None:
    print("there is no Fashion-MNIST here (its four files, in fashion-mnist/ in the folder that MINICNN_DATA names): left out")
else:
    lenet, untrained = minicnn.load("lenet5_mnist"), lenet5(rng=0)
    pool_x, pool_y, test_x, test_y = load_mnist(folder)
    test_x, test_y = test_x[:1000], test_y[:1000]

    def flat(layers, pictures):
        prepare = lenet.preprocessing.normalise
        return infer(layers, len(pictures), lambda i: prepare(pictures[i]), lambda output: output.reshape(len(output), -1))

    sources = {
        "pixels": lambda x: x.reshape(len(x), -1).astype(np.float32) / 255,
        "untrained LeNet-5, after s4": lambda x: flat(untrained.split("s4")[0], x),
        "MNIST's LeNet-5, after s4": lambda x: flat(lenet.split("s4")[0], x),
        "MNIST's LeNet-5, after f6": lambda x: flat(lenet.split("relu6")[0], x),
    }
    draws = []
    for draw in range(5):
        order = np.random.default_rng(draw).permutation(len(pool_y))
        draws.append(np.concatenate([[i for i in order[:2000] if pool_y[i] == k][:10] for k in range(10)]))
    for name, features in sources.items():
        tested = features(test_x)
        scores = [SoftmaxRegression(0.1).fit(features(pool_x[rows]), pool_y[rows]).score(tested, test_y) for rows in draws]
        print(f"{name:<30} test accuracy {np.mean(scores):.1%} (+- {np.std(scores):.1%} over {len(draws)} draws of 10 a class)")

# %% [markdown]
# Compare the last two rows. The top layers have specialised on digits and have thrown away what clothes differ in; that is
# the lecture's case of *small and different*, and why one cuts lower there. And if nothing above beats the pixels, that is a
# result too: ten digits are a narrow schooling. ImageNet's thousand classes are what made the codes of sections 2 to 5 so
# useful.
#
# ## What to do when
#
# | your pictures | like the pretraining ones | quite different |
# | --- | --- | --- |
# | few | linear classifier on the top codes | linear classifier on codes cut lower; fine-tune with care, much augmentation |
# | many | fine-tune the upper part or everything | fine-tune everything; the pretrained start still saves time |
#
# These are rules of thumb, and each can be measured: `minicnn transfer --data YOUR_PICTURES` runs the ways of this lesson on
# your pictures, over several splits, and recommends one.
#
# ## What this lesson claims
#
# - A linear classifier gets more test pictures right by their codes than by their pixels.
# - Frozen layers are the same after training, weights and statistics, bit by bit.
# - Where layers are only left out of the optimiser, their batch normalisations change all the same.
# - A training step costs less computing time when the lower layers are frozen.
# - The larger the learning rate, the further the pretrained weights move.
# - A learning rate of 0.01 costs accuracy that one of 0.0001 keeps.
# - Vanilla dropout leaves a code at 1 - p of its size on average, and not at p.

# %%
print_claims()

# %% [markdown]
# ## Questions
#
# **1.** Somebody standardises all codes first, with mean and std over every picture there is, and only then splits them into
# training and test part. What is wrong with it, and would you see it in the numbers?
#
# <details><summary>Answer</summary>
#
# The test pictures have had a say in what the classifier was trained on, so that its test accuracy is no longer that of new
# pictures. With a few hundred pictures of one kind the numbers hardly change, and that is the danger: nobody sees it, until
# the pictures in use are of another kind than those in the set. Whatever is computed from data, mean and std too, belongs to
# the training part.
#
# </details>
#
# **2.** You try 300 combinations of layer, classifier and regularisation, and the best has 97.0 % on 100 validation pictures.
# What do you expect on new pictures?
#
# <details><summary>Answer</summary>
#
# Less. With 100 pictures the accuracy of any one classifier has a standard deviation of about two per cent by chance alone,
# and of 300 draws you have kept the luckiest. The test part tells by how much, if it is asked once. Had you chosen by it,
# nothing would be left that could tell.
#
# </details>
#
# **3.** In phase 2 the head is trained already. Why is it given a larger learning rate than the layers below all the same, and
# why is it not the other way round?
#
# <details><summary>Answer</summary>
#
# The layers below were trained on a million pictures, and are good where they are: a large step leads away from there, and a
# few hundred pictures cannot lead back. The head has seen these few hundred only, and must follow what changes below it. If it
# lagged behind, the gradients that it hands down would be those of an outdated classifier.
#
# </details>
#
# ## Further reading
#
# - Donahue et al. 2014, "DeCAF: A Deep Convolutional Activation Feature for Generic Visual Recognition", section 3: codes of
#   several depths, and linear classifiers on them.
# - Sharif Razavian et al. 2014, "CNN Features off-the-shelf: an Astounding Baseline for Recognition", section 3.
# - Yosinski et al. 2014, "How transferable are features in deep neural networks?", section 4.
# - Girshick 2015, "Fast R-CNN", section 4.5: which layers to fine-tune.
# - Kornblith, Shlens, Le 2019, "Do Better ImageNet Models Transfer Better?", section 4.
# - Srivastava et al. 2014, "Dropout: A Simple Way to Prevent Neural Networks from Overfitting", section 4.
#
# ## Next
#
# The exercise first: `exercise.py` has six small functions: codes, standardising, a regularised classifier and its gradient, an
# honest choice, a new head on a frozen body, learning-rate groups. When all are right, they take a network that knows digits to
# pictures of clothes.
#
#     minicnn check 11
#     minicnn check 11 --task 1 --hint       # where you are stuck
#
# `minicnn lessons` lists the lessons that follow.

# %%
print("\nnow you: minicnn check 11")
