# %% [markdown]
# # Lesson 11. CNN codes and linear classifiers on them
#
# **Before**: linear classifiers and their regularisation (lesson 1), convolution and pooling (lesson 3), what batch
# normalisation does in training and in inference (lesson 5), dropout (lesson 8).
#
# **After**: you can take codes from any layer of a pretrained network, with its preprocessing, in batches, and compute them
# only once; put them on a scale; classify by nearest neighbours, by a linear SVM and by a softmax classifier; choose the
# regularisation so that the test accuracy you report is an honest one; and say why a few dozen pictures are enough.
#
# Few people train a large network from random weights: few have a million labelled pictures. They take one that others have
# trained and let it do for *their* pictures what it learned on those. This is transfer learning, and it comes in two forms.
# The network can be a **fixed feature extractor**: cut it before its classifier, and what comes out is a description of the
# picture, its **CNN code**; on the codes of your pictures train a small classifier. Or the network itself is trained on: that
# is fine-tuning, and lesson 12.
#
# Run it (`minicnn lesson 11`, with `--quick` for a first look), or open it as a notebook. All numbers are measured as it runs,
# and the figures go to `out/` beside it. Then do the exercise: `minicnn check 11`.

# %%
import os
import sys
import tempfile
import time
from pathlib import Path
from unittest.mock import patch

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from scipy.optimize import minimize
from tqdm import tqdm

import minicnn
from minicnn.course.workbench import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    QUICK,
    claim,
    find_data,
    picture_grid,
    print_claims,
    save,
    section,
)
from minicnn.data import open_pictures, solar_cells, stratified_split
from minicnn.errors import DataError, WeightsError
from minicnn.inference import fuse, infer
from minicnn.linear_model import LinearSVM, SoftmaxRegression, choose_regularisation
from minicnn.linear_model.svm import squared_hinge
from minicnn.losses import BinaryLogistic, softmax
from minicnn.optim import AdamW
from minicnn.training import Trainer
from minicnn.transfer import extract_features, pool_features, with_new_head, with_small_head
from minicnn.transfer.surgery import set_head
from minicnn.viz import nearest_neighbours

HERE = Path(globals().get("__file__", "lesson.py")).resolve().parent
rng = np.random.default_rng(1)
SPLITS = range(2) if QUICK else range(8)
PATH = (0.01, 0.1, 1.0, 10.0, 100.0)  # of the regularisation

# %% [markdown]
# ## 1. A network that has seen a million pictures
#
# EfficientNet-Lite0 was trained on the 1,000 classes of ImageNet. With its weights travels what one needs to use them: the size
# of the input, what to subtract and divide by, the names of the classes.
#
# Our pictures are ants and bees, if that set is here (both are among ImageNet's classes: a *small and similar* set), and solar
# cells that glow, as they do under voltage, with and without defects (*small and different*: nothing like them is in ImageNet).

# %%
section("1. The pretrained network, and pictures")
try:
    model = minicnn.load("efficientnet_lite0")
except WeightsError as error:
    sys.exit(f"This lesson needs the pretrained network. {error}")
print(f"{model.architecture}: {' -> '.join(model.layers)}")
print(f"preprocessing: {model.preprocessing.describe()}")


def at_the_networks_size(collection, most):
    """Pixels uint8 (N, H, W, C) and the set, with at most so many pictures of each class."""
    by_class = [rng.permutation(np.flatnonzero(collection.labels == k))[:most] for k in range(len(collection.classes))]
    return collection.subset(np.sort(np.concatenate(by_class))).fitted(model.preprocessing)


sets = {}
if archive := find_data("ants-bees.zip"):
    sets["ants and bees"] = at_the_networks_size(open_pictures(archive), 60 if QUICK else 200)
else:
    print("there is no ants-bees.zip in the folder that MINICNN_DATA names: all of it with solar cells")
try:
    sets["solar cells"] = at_the_networks_size(solar_cells(), (30 if archive else 60) if QUICK else 250)
except DataError as error:
    if not archive:
        sys.exit(f"This lesson needs pictures: ants-bees.zip in the folder that MINICNN_DATA names, or solar cells. {error}")
PHOTOS = "ants and bees" in sets
name = next(iter(sets))
pixels, used = sets[name]
classes, y = used.classes, used.labels
given = used.splits or stratified_split(y, used.groups, {"train": 0.6, "test": 0.4}, 0)
inner = stratified_split(y[given["train"]], None, {"train": 0.7, "val": 0.3}, 0)
train, val, test = given["train"][inner["train"]], given["train"][inner["val"]], given["test"]
print(f"pictures: {name}; {len(train)} to train on, {len(val)} to choose by, {len(test)} to test with")

figure, axes = picture_grid(1, 4, 2.2)
examples = rng.choice(test, 4, replace=False)
said = softmax(model.forward(model.preprocessing.normalise(pixels[examples])))
for ax, i, answers in zip(axes[0], examples, model.rank(said, top=3), strict=True):
    ax.imshow(pixels[i].squeeze())
    ax.set_title("\n".join(f"{word} {100 * p:.0f} %" for word, p in answers), fontsize=8)
    ax.set_xlabel(classes[y[i]], fontsize=8)
figure.suptitle("What the network says without any training of ours (below: the truth)", y=1.16)
save(figure, HERE, "first_answers")

# %% [markdown]
# For ants and bees it has names, among a thousand others; for "defective" it has none. What we want from the network is not its
# answer, but what it has seen before it answers.
#
# ## 2. Codes: the network, cut before its classifier
#
# The last layer is a linear classifier, as in lesson 1, but with other inputs than pixels:
#
# $$\text{scores} = x\, w^T + b, \qquad x \text{ (N, D)}, \quad w \text{ (K, D)}, \quad b \text{ (K,)} .$$
#
# All that it can know about a picture stands in $x$, the **code**: here $D = 1280$ numbers, each the mean over the picture of
# how strongly one feature is present. So cut the network there, and run what is below. Lower layers have codes as well:
# average each channel of their maps over the picture.
#
# **Before or after the ReLU?** After it. The layer above was trained to read that; from before the ReLU come other numbers,
# most of them negative. And the one cannot be computed from the other once the maps are averaged: the mean of
# $\max(0, z)$ over a picture is not $\max(0, \text{mean of } z)$. (This network's ReLU is ReLU6, which also ends at 6.)

# %%
section("2. CNN codes")
LAYERS = ("stem", "block4", "block8", "block12", "head.norm", "head")  # head.norm: the last layer's output before its ReLU
start = time.perf_counter()
codes = {each: extract_features(model, part, LAYERS) for each, (part, _) in sets.items()}
seconds, count = time.perf_counter() - start, sum(len(part) for part, _ in sets.values())
print(f"{count} pictures -> codes at {len(LAYERS)} layers, {seconds:.1f} s", end=" ")
print("(with the compilation of kernels, if it is the first time; or from the cache, see section 3)")
code, before = (codes[name][layer].astype(np.float64) for layer in ("head", "head.norm"))
print(
    f"a code has {code.shape[1]} numbers, {np.mean(code < 0.1 * code.max()):.0%} of them below a tenth of the largest;", end=" "
)
print(f"before the ReLU {np.mean(before < 0):.0%} are negative")

w, b = model.classifier.w.value, model.classifier.b.value
few = test[:8]
scores = model.forward(model.preprocessing.normalise(pixels[few]))
off = np.abs(code[few] @ w.T + b - scores).max() / np.abs(scores).max()
claim(
    "The network's own scores are a linear classifier's on its code.",
    f"{off:.0e} of the largest score between the two",
    off < 1e-4,
)
own, misread = ((x @ w.T + b).argmax(axis=1) for x in (code, before))
print(f"the network's last layer names another class for {np.mean(own != misread):.0%} of the pictures", end=" ")
print("if it is given the codes from before the ReLU")
claim(
    "Given codes from before the ReLU, the network's own last layer names another class for more than one picture in ten.",
    f"for {np.mean(own != misread):.0%}",
    np.mean(own != misread) > 0.1,
)

feature = int(code.std(axis=0).argmax())
figure, ax = plt.subplots(figsize=(5.2, 3.4), layout="tight")
for k, color in enumerate((BLUE, ORANGE)):
    ax.plot(before[y == k, feature], code[y == k, feature], "o", color=color, ms=3, alpha=0.7, label=classes[k])
ax.set(xlabel="mean before the ReLU", ylabel="mean after the ReLU", title=f"Feature {feature} of each picture's code")
ax.legend()
save(figure, HERE, "before_and_after_relu")

# %% [markdown]
# Pictures with equal means before the ReLU have different ones after it. Where a feature is strong in one corner and strongly
# negative elsewhere, only the mean after the ReLU shows that it is there at all.
#
# ## 3. How to take them: preprocessing, mode, batches, a cache
#
# Two things go wrong without an error message, and two cost memory and time.
#
# 1. **Preprocessing.** A network answers to inputs like those that it was trained on. Another one's mean and std, pixels from 0
#    to 1 or to 255, blue and red exchanged: codes come out all the same, and mean something else.
# 2. **Mode.** In train mode a batch normalisation looks at all pictures of the batch, and dropout draws random numbers. A code
#    must depend on its picture alone: eval mode.
# 3. **Batches.** The feature maps of one picture take several megabytes. Run a few pictures at a time, and keep only the codes.
# 4. **Time.** The network does not change, so neither do the codes. Compute each of them once and keep it on disk.
#
# First the preprocessing: a classifier has learned from codes of rightly prepared pictures, and is asked about pictures that
# were prepared in other ways.

# %%
section("3. Preprocessing, mode, cache")
network = fuse(model.split("head")[0])  # for inference: batch normalisations become part of the convolutions
classifier = SoftmaxRegression(0.1).fit(code[train], y[train])


def channels_first(pictures):
    """float32 (N, 3, H, W) of uint8 (N, H, W, C): 0 to 255, grey three times."""
    x = np.broadcast_to(pictures, (*pictures.shape[:3], 3)).transpose(0, 3, 1, 2)
    return np.ascontiguousarray(x, np.float32)


ways = {
    "as the network wants it": model.preprocessing.normalise,
    "blue and red exchanged": lambda x: np.ascontiguousarray(model.preprocessing.normalise(x)[:, ::-1]),
    "0 to 1": lambda x: channels_first(x) / 255,
    "mean subtracted, not divided": lambda x: channels_first(x) - 127,
    "0 to 255": channels_first,
}
asked = rng.permutation(test)[: 40 if QUICK else 120]
by_way = {}
for title, prepare in ways.items():
    x = infer(network, len(asked), lambda i, prepare=prepare: prepare(pixels[asked[i]]), pool_features)
    by_way[title] = classifier.score(x, y[asked])
    print(f"{title:<29} {by_way[title]:.1%} of {len(asked)} test pictures right")
claim(
    "A classifier on codes loses more than ten points where pictures go in as 0 to 255, without the network's mean and std.",
    f"{by_way['0 to 255']:.1%}, and {by_way['as the network wants it']:.1%} with them",
    by_way["0 to 255"] < by_way["as the network wants it"] - 0.1,
)

# %% [markdown]
# Some of these mistakes cost little *here*, and that is why nobody notices them. (Grey pictures cannot show an exchange of
# colours at all.)
#
# Now the mode: the code of one picture, in the company of three others, and of three different ones.

# %%


def code_in_company(others, mode):
    """The code of the first test picture, run in a batch with others."""
    copy = model.copy()
    below = copy.split("head")[0]
    copy.train() if mode == "train" else copy.eval()
    return pool_features(below.forward(model.preprocessing.normalise(pixels[[test[0], *others]])))[0]


differ = {}
for mode in ("train", "eval"):
    one, other = (code_in_company(others, mode) for others in (test[1:4], test[4:7]))
    differ[mode] = np.linalg.norm(one - other) / np.linalg.norm(one)
    print(f"{mode + ' mode:':<12} with others in its batch, the code of a picture changes by {differ[mode]:.1%} of its length")
claim(
    "In train mode a picture's code depends on the other pictures of its batch, and in eval mode it does not.",
    f"it changes by {differ['train']:.0%} and by {differ['eval']:.0e} of its length",
    differ["train"] > 0.1 and differ["eval"] < 1e-5,
)

# %% [markdown]
# And the cache. `extract_features` writes codes to a file, under a key of all that they depend on: the weights and settings
# of the layers up to the cut, the layer, how maps become codes, the preprocessing, and the content of every picture. So old
# codes are never taken for new ones, and a network with another head on top, which has the same layers below, finds them. (We
# give it an empty folder here, to see both times. Usually it is the one that `MINICNN_CACHE` names, or your system's usual
# place: the next run of this lesson is quicker.)

# %%
some = pixels[test[: 16 if QUICK else 64]]
with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, MINICNN_CACHE=folder):

    def timed(network, pictures):
        """Seconds, and how many files of codes there are afterwards."""
        start = time.perf_counter()
        extract_features(network, pictures, "head", progress=False)
        return time.perf_counter() - start, len(list(Path(folder).glob("codes/*")))

    first, files = timed(model, some)
    second, _ = timed(model, some)
    other_head, files_of_other_head = timed(with_new_head(model, "head", classes), some)
    changed = some.copy()
    changed[0, 0, 0] ^= 1
    anew, files_with_changed = timed(model, changed)
print(f"{len(some)} pictures: {first:.2f} s, the second time {second:.3f} s;", end=" ")
print(f"with another head on top {other_head:.3f} s, with one pixel changed {anew:.2f} s")
claim(
    "The second time, codes come from the cache in less than a fifth of the time.",
    f"{second:.3f} s in place of {first:.2f} s",
    second < first / 5,
)
claim(
    "A network with another head finds the codes in the cache, and pictures of which one pixel has changed do not.",
    f"{files} file of codes, {files_of_other_head} with the other head, {files_with_changed} with the changed pixel",
    (files, files_of_other_head, files_with_changed) == (1, 1, 2),
)

# %% [markdown]
# ## 4. Scales
#
# Features have different scales, and regularisation weighs all weights alike: a feature whose numbers are small needs a large
# weight, and pays for it. So **standardise** each feature,
#
# $$z_{nd} = \frac{x_{nd} - \mu_d}{\sigma_d}, \qquad
#   \mu_d, \sigma_d \text{: mean and std of feature } d \text{ over the training codes},$$
#
# and use the same $\mu$ and $\sigma$ for every other picture, for ever. There are two ways to get this wrong. Statistics of
# *all* pictures let the test part have a say in training: a small sin, mostly, but the test accuracy is no longer that of new
# pictures. Statistics of *each part by itself* move the parts against each other. Where both have the same mix of classes, one
# hardly sees it. In use, nobody promises that mix. (And the std of a single picture is 0.)

# %%
section("4. Scales")


def standardised(x, of):
    """x by the mean and std of other codes; a feature that never varies is only shifted."""
    spread = of.std(axis=0)
    return (x - of.mean(axis=0)) / np.where(spread > 1e-6, spread, 1)


def right_by(statistics_of, rows):
    """Share of right answers on these pictures, standardised by the statistics of these others."""
    return trained.score(standardised(code[rows], code[statistics_of]), y[rows])


trained = SoftmaxRegression(0.1, standardise=False).fit(standardised(code[train], code[train]), y[train])
print(f"all test pictures: {right_by(train, test):.1%} right by the training part's mean and std,", end=" ")
print(f"{right_by(test, test):.1%} by their own")
alone = {}
for k, word in enumerate(classes):
    only = test[y[test] == k]
    alone[word] = right_by(train, only), right_by(only, only)
    print(f"{word + ' alone:':<18} {alone[word][0]:.1%} and {alone[word][1]:.1%}")
means = np.mean(list(alone.values()), axis=0)
claim(
    "Test pictures of one class alone, standardised by their own mean and std, are judged far worse than by the training "
    "part's.",
    f"{means[1]:.0%} and {means[0]:.0%} right on average",
    means[1] < means[0] - 0.2,
)
length = np.linalg.norm(code, axis=1)
print(f"lengths of codes: {length.min():.1f} to {length.max():.1f}, half of them between", end=" ")
print(f"{np.quantile(length, 0.25):.1f} and {np.quantile(length, 0.75):.1f}")

# %% [markdown]
# Subtract the mean code of many bees from a bee, and what made it a bee is gone. (The engine's classifiers standardise by
# themselves, with the mean and std of whatever their `fit` is given, and put the scales into their weights; `standardise=False`
# leaves it to you.)
#
# The other scale is that of whole codes. **L2 normalisation** divides each by its length, $x_n / \lVert x_n \rVert$, so that
# only its direction counts: *which* features there are, and not how many or how strong all together. It needs no statistics,
# so that nothing can leak. It suits whatever compares codes directly, as the next section does.
#
# ## 5. Neighbours
#
# A good description puts like things near each other. So the simplest classifier of all needs no training: find the $k$
# training pictures whose codes are nearest, and let them vote. Near can mean the Euclidean distance $\lVert x - x' \rVert$, or
# the angle,
#
# $$d(x, x') = 1 - \frac{x \cdot x'}{\lVert x \rVert \lVert x' \rVert} .$$
#
# For codes of length 1 the two agree on who is nearer: $\lVert x - x' \rVert^2 = 2\, d(x, x')$. We look for neighbours by
# pixels as well (pictures of 32 x 32, the mean picture subtracted).

# %%
section("5. Nearest neighbours")


def small(pictures, side=32):
    """Pictures shrunk to side x side pixels, as rows of numbers from 0 to 1: (N, side * side * C)."""
    resized = [np.asarray(Image.fromarray(p.squeeze()).resize((side, side), Image.Resampling.BOX)) for p in pictures]
    return np.stack(resized).reshape(len(pictures), -1) / 255


raw = small(pixels)
raw -= raw[train].mean(axis=0)
MOST = 15  # neighbours; odd numbers of them, so that two classes never have equally many
shares, found = {}, {}
for title, x, metric in (("pixels", raw, "cosine"), ("codes", code, "cosine"), ("codes, Euclidean", code, "euclidean")):
    found[title], _ = nearest_neighbours(x, test, MOST, metric, among=train)
    for k in (1, 5, MOST):
        says = y[found[title][:, :k]].mean(axis=1) > 0.5
        shares[title, k] = np.mean(says == y[test])
    print(f"by {title + ':':<18} " + ", ".join(f"{shares[title, k]:.1%} right by {k}" for k in (1, 5, MOST)))
if PHOTOS:  # solar cells are lit and framed alike, so that pixels say something about them
    claim(
        "Of ants and bees, neighbours by codes name more right than neighbours by pixels, by twenty points or more.",
        f"the nearest one {shares['codes', 1]:.1%} and {shares['pixels', 1]:.1%}, five {shares['codes', 5]:.1%} and "
        f"{shares['pixels', 5]:.1%}",
        all(shares["codes", k] > shares["pixels", k] + 0.2 for k in (1, 5)),
    )

shown = [int(np.flatnonzero(y[test] == k)[2]) for k in range(2)]
figure, axes = picture_grid(4, 7, 1.25)
for r, (i, title) in enumerate((i, title) for i in shown for title in ("pixels", "codes")):
    axes[r, 0].imshow(pixels[test[i]].squeeze())
    axes[r, 0].set_ylabel(f"by {title}", fontsize=9)
    for ax, j in zip(axes[r, 1:], found[title][i], strict=False):
        ax.imshow(pixels[j].squeeze())
        for side in ax.spines.values():
            side.set(visible=True, color=GREEN if y[j] == y[test[i]] else ORANGE, linewidth=2.5)
figure.suptitle("A test picture (left) and its nearest training pictures; green: same class, orange: the other", y=0.94)
save(figure, HERE, "neighbours")

# %% [markdown]
# Among photographs, pixels find the same background, codes the same thing. Angle or Euclidean distance makes little difference
# here.
#
# ## 6. Linear classifiers on codes
#
# Now with training: scores $s = z\,w^T + b$ from standardised codes, and an objective with a loss and a penalty,
#
# $$P(w, b) = \frac1N \sum_n \ell(s_n, y_n) + \frac\lambda2 \lVert w \rVert^2 .$$
#
# | | $\ell(s, y)$ | $\partial \ell / \partial s_k$ |
# | --- | --- | --- |
# | softmax | $-\log p_y$ with $p = \mathrm{softmax}(s)$ | $p_k - [k = y]$ |
# | linear SVM | $\sum_k \max(0,\, 1 - t_k s_k)^2$, with $t_y = 1$, else $t_k = -1$ | $-2\, t_k \max(0,\, 1 - t_k s_k)$ |
#
# (The SVM has the squared hinge, each class against the rest. With two classes the two problems are one seen from both sides,
# and `LinearSVM` solves it once. Lesson 1's SVM has another hinge, where the right class must lead each other one.) Both
# objectives are convex, and there is one best $w$, however one looks for it. `minicnn.linear_model` finds the SVM's by dual
# coordinate descent, and softmax's by L-BFGS: neither has a learning rate. The exercise minimises $P$ as it stands, in its
# primal form, step by step downhill:
#
# $$w \leftarrow w - \frac1L \frac{\partial P}{\partial w}, \qquad b \leftarrow b - \frac1L \frac{\partial P}{\partial b} .$$
#
# How long a step may be is a question of curvature. For the SVM, second derivatives are at most those of a quadratic with the
# matrix $\frac2N \sum_n \tilde z_n \tilde z_n^T$, where $\tilde z = (z, 1)$, plus $\lambda$ for the weights. Its eigenvalues
# are not negative, so that none is larger than their sum, the trace:
#
# $$L = \lambda + \frac2N \sum_n \bigl(\lVert z_n \rVert^2 + 1\bigr).$$
#
# Where the curvature is at most $L$, a step of $1/L$ never climbs (lesson 7), and no learning rate has to be searched for.
# Being a sum, this $L$ is cautious.

# %%
section("6. Linear classifiers")
z, t = standardised(code[train], code[train]), np.where(y[train] == 1, 1.0, -1.0)[:, None]
STEPS, curves = 1000, {}
largest = 2 * np.linalg.eigvalsh(z @ z.T + 1)[-1] / len(z)
for strength in (0.1, 1.0, 10.0):
    L = strength + 2 * (np.square(z).sum() / len(z) + 1)
    theta, values = np.zeros((1, z.shape[1] + 1)), []
    for _ in range(STEPS + 1):
        data_loss, pull = squared_hinge(z @ theta[:, :-1].T + theta[:, -1], t)
        values.append(data_loss + strength / 2 * np.square(theta[:, :-1]).sum())
        down = np.column_stack([pull.T @ z + strength * theta[:, :-1], pull.sum(axis=0)])
        theta = theta - down / L
    minimum = LinearSVM(strength, standardise=False, tolerance=1e-8).fit(z, y[train]).objective_
    curves[strength] = np.array(values) / minimum - 1
    reached = ", ".join(f"{curves[strength][n]:.2g} after {n}" for n in (10, 100, STEPS))
    print(f"lambda {strength:<4g}: above the minimum, as a share of it: {reached} steps; L = {L:.0f},", end=" ")
    print(f"the largest curvature is at most {strength + largest:.0f}")
figure, ax = plt.subplots(figsize=(5.6, 3.4), layout="tight")
for (strength, values), color in zip(curves.items(), (BLUE, ORANGE, GREEN), strict=True):
    ax.loglog(np.arange(1, STEPS + 1), np.maximum(values[1:], 1e-9), color=color, label=f"$\\lambda$ = {strength:g}")
ax.set(xlabel="steps of 1 / L", ylabel="P above its minimum, relative", title="The SVM's objective, downhill")
ax.legend()
save(figure, HERE, "downhill")
climbs = max(float(np.diff(values).max()) for values in curves.values())
claim(
    "No step of 1/L raises the SVM's objective, and with lambda = 10 a thousand steps come within one per cent of its minimum.",
    f"the largest change of a step is {climbs:.1e}; {curves[10.0][-1]:.1e} above the minimum",
    climbs <= 1e-9 and curves[10.0][-1] < 0.01,
)

# %% [markdown]
# Weak regularisation makes it slow. Along a direction in which the pictures hardly vary, the objective is as flat as $\lambda$,
# and a step shrinks what is left by a factor $1 - \lambda / L$ only. It is as lesson 7 says: the ratio of the largest to the
# least curvature decides.
#
# ## 7. Which regularisation, and who decides
#
# With more features than pictures, *any* labels can be learned by heart, and $\lambda$ holds against that. It cannot be
# chosen by the training pictures: the weaker it is, the lower is their loss. So try several strengths, a decade apart, and
# let the **validation** pictures decide; of equally good ones take the strongest, the simplest classifier. Then train once
# more with it on training and validation pictures together. The **test** pictures are asked once, at the end.

# %%
section("7. Choosing the regularisation")
tested = {}
figure, axes = plt.subplots(1, 2, figsize=(8.6, 3.2), sharey=True)
for ax, (title, x) in zip(axes, (("pixels", raw), ("codes", code)), strict=True):
    for kind, color, width in ((LinearSVM, BLUE, 4), (SoftmaxRegression, ORANGE, 1.5)):
        choice = choose_regularisation(kind, x[train], y[train], x[val], y[val], PATH)
        accuracy = tested[kind, title] = choice.final.score(x[test], y[test])
        print(f"{kind.__name__:<18} on {title:<6}: lambda {choice.point.regularisation:<6g} -> test accuracy {accuracy:.1%}")
        strengths = [point.regularisation for point in choice.path]
        ax.semilogx(strengths, [100 * point.train_accuracy for point in choice.path], ":", lw=width, color=color)
        validated = [100 * point.val_accuracy for point in choice.path]
        ax.semilogx(strengths, validated, "o-", lw=width, color=color, label=kind.__name__)
    ax.set(title=f"on {title} (dotted: on the training pictures)", xlabel="regularisation $\\lambda$")
axes[0].set_ylabel("validation accuracy %")
axes[1].legend(loc="lower left")
save(figure, HERE, "regularisation")
claim(
    "A linear classifier gets more test pictures right by their codes than by their pixels.",
    ", ".join(f"{tested[kind, 'codes']:.1%} and {tested[kind, 'pixels']:.1%}" for kind in (LinearSVM, SoftmaxRegression)),
    all(tested[kind, "codes"] > tested[kind, "pixels"] for kind in (LinearSVM, SoftmaxRegression)),
)

# %% [markdown]
# Look at the right end of the right-hand curves: very strong regularisation does no harm to speak of. In that limit the two
# classifiers become one. All scores stay near what they are for $w = 0$, and $w$ points along the difference of the two
# classes' mean codes. On good codes even that is a good classifier.
#
# **What if the test pictures decide?** Then the best of many has been picked by them, luck included, and its accuracy on them
# says how good *and how lucky* it was. We measure it: fifty classifiers (five layers, two kinds, five strengths), all trained
# on the training pictures. Of the test pictures a few play the test set that somebody has at home, and choose; the others are
# new pictures. Again and again, with other pictures.

# %%
CANDIDATES = [(layer, kind, strength) for layer in LAYERS if layer != "head.norm" for kind in (LinearSVM, SoftmaxRegression)
              for strength in PATH]  # fmt: skip
right = np.array(
    [
        kind(strength).fit((x := codes[name][layer].astype(np.float64))[train], y[train]).predict(x[test]) == y[test]
        for layer, kind, strength in tqdm(CANDIDATES, desc="candidates", delay=2, leave=False)
    ]
)
faked = {}
for size in (10, 20, 40):
    reported, new = [], []
    for _ in range(1000):
        order = rng.permutation(len(test))
        best = right[:, order[:size]].mean(axis=1).argmax()
        reported.append(right[best, order[:size]].mean())
        new.append(right[best, order[size:]].mean())
    faked[size] = np.mean(reported), np.mean(new)
    print(
        f"the best of {len(right)} on {size} test pictures: {faked[size][0]:.1%} of them right, {faked[size][1]:.1%} of others"
    )
claim(
    "The best of fifty classifiers on twenty test pictures gets fewer of other pictures right, by three points or more.",
    f"{faked[20][0]:.1%} of the twenty, {faked[20][1]:.1%} of others, on average over 1,000 draws",
    faked[20][0] > faked[20][1] + 0.03,
)

# %% [markdown]
# The smaller the test set and the more one tries, the more is faked. Nothing in the program looks wrong: no test picture was
# trained on. A validation accuracy by which something was chosen is too good for the same reason, and that is why it is not the
# one to report.
#
# ## 8. How deep to cut?
#
# Lower layers know edges and colours, upper layers parts of things. For pictures like those that the network was trained on,
# the highest cut should be best. For quite different ones, the lecture says: a linear classifier on *earlier* activations. We
# measure accuracy by depth, over several divisions into training, validation and test part. (Scenarios, and what else to do
# with them, are the subject of lesson 13.)

# %%
section("8. Accuracy by depth")
by_depth = {}
bar = tqdm(total=len(sets) * len(SPLITS) * len(LAYERS), desc="depth", unit=" classifiers", delay=2, leave=False)
for each, (_, part) in sets.items():
    for layer in LAYERS:
        x, labels, values = codes[each][layer].astype(np.float64), part.labels, []
        for split in SPLITS:
            rows = stratified_split(labels, part.groups, {"train": 0.35, "val": 0.15, "test": 0.5}, split)
            a, v, e = rows["train"], rows["val"], rows["test"]
            values.append(
                choose_regularisation(SoftmaxRegression, x[a], labels[a], x[v], labels[v], PATH).final.score(x[e], labels[e])
            )
            bar.update()
        by_depth[each, layer] = np.array(values)
        accuracies = f"{np.mean(values):.1%} right, from {min(values):.1%} to {max(values):.1%}"
        tqdm.write(f"{each:<13} {layer:<9} {x.shape[1]:>5} numbers: {accuracies}")
bar.close()
work = {layer: model.split(layer)[0].multiply_adds((1, *model.input_shape)) for layer in ("block8", "head")}
print(f"multiply-adds up to block 8: {work['block8'] / work['head']:.0%} of those up to the head")
figure, ax = plt.subplots(figsize=(6.4, 3.4), layout="tight")
for each, color, shift in zip(sets, (BLUE, ORANGE), (-0.06, 0.06), strict=False):
    means = [100 * by_depth[each, layer].mean() for layer in LAYERS if layer != "head.norm"]
    ax.plot(np.arange(len(means)) + shift, means, "o-", color=color, label=each)
    for i, layer in enumerate(layer for layer in LAYERS if layer != "head.norm"):
        ax.plot([i + shift] * len(SPLITS), 100 * by_depth[each, layer], ".", color=color, alpha=0.4)
    ax.plot([len(means) - 1 + shift], [100 * by_depth[each, "head.norm"].mean()], "x", color=color, mew=2)
ax.plot([], [], "x", color=INK, label="head, before its ReLU")
ax.axhline(50, color=GREY, lw=0.8, ls="--", label="chance")
ax.set_xticks(range(5), [f"{layer}\n({codes[name][layer].shape[1]})" for layer in LAYERS if layer != "head.norm"])
ax.set(ylabel="test accuracy %", title="A linear classifier on codes by depth (number of features)")
ax.legend(fontsize=8)
save(figure, HERE, "depth")


def gain(each, layer, other):
    """Points that codes at a layer are better than at another, split by split."""
    return 100 * (by_depth[each, layer] - by_depth[each, other])


if PHOTOS:
    difference = gain("ants and bees", "head", "block4")
    claim(
        "For ants and bees, codes from the top of the network get at least ten points more right than codes from block 4.",
        f"{difference.mean():.1f} points",
        difference.mean() > 10,
    )
    difference = gain("ants and bees", "head", "head.norm")
    claim(
        "For ants and bees, a new classifier gets more right by codes from after the last ReLU than from before it.",
        f"by {difference.mean():.1f} points, from {difference.min():.1f} to {difference.max():.1f}",
        difference.mean() > 0,
    )
if "solar cells" in sets:
    difference = gain("solar cells", "head", "block8")
    claim(
        "For solar cells, codes from block 8, in the middle of the network, get as many right as those from its top, within "
        "four points.",
        f"the difference, top minus middle, is {difference.mean():+.1f} points",
        abs(difference.mean()) < 4,
    )

# %% [markdown]
# For photographs of things that ImageNet has, every block adds something. For solar cells, accuracy stops rising early: what
# the upper half of the network knows about is not in these pictures. Codes from the middle are as good there, with fewer
# numbers and less work. That the *last* codes would be worse, as the lecture has it, we do not find here: a regularised
# classifier can leave aside what is of no use. (`lessons/laboratory/scenarios.py` finds the rule confirmed for a smaller
# network.) And of the last layer's two codes, from before its ReLU and from after it, those from after it are better for ants
# and bees; for solar cells the two cannot be told apart.
#
# ## 9. Two classes, one output
#
# For two classes a single score $s$ is enough, with $p = \sigma(s) = 1 / (1 + e^{-s})$ the probability of the second (lesson
# 1). That is no other model. Two softmax scores give
#
# $$p_1 = \frac{e^{s_1}}{e^{s_0} + e^{s_1}} = \frac1{1 + e^{-(s_1 - s_0)}} = \sigma(s_1 - s_0),$$
#
# only their difference counts. So one output with the weights $v = w_1 - w_0$ and the bias $b_1 - b_0$ says the same. In the
# penalty there is a factor. At the minimum the two rows are each other's opposite, $w_1 = -w_0 = v/2$ (any part that they share
# would cost and change nothing), so that $\frac\lambda2 (\lVert w_0 \rVert^2 + \lVert w_1 \rVert^2) = \frac\lambda4 \lVert v
# \rVert^2$: two outputs with $\lambda$ are one output with $\lambda/2$.

# %%
section("9. Two classes, one output")
loss, z_test = BinaryLogistic(), standardised(code[test], code[train])


def one_output(strength):
    """v and b of the logistic classifier that minimises loss + strength / 2 |v|^2, by L-BFGS."""

    def objective(theta):
        value = loss.forward((z @ theta[:-1] + theta[-1])[:, None], y[train])
        ds = loss.backward()[:, 0]
        return value + strength / 2 * theta[:-1] @ theta[:-1], np.append(z.T @ ds + strength * theta[:-1], ds.sum())

    start = np.zeros(z.shape[1] + 1)
    found = minimize(objective, start, jac=True, method="L-BFGS-B", options={"maxiter": 2000, "ftol": 1e-15, "gtol": 1e-9}).x
    return found[:-1], found[-1]


apart = {}
two = SoftmaxRegression(1.0, standardise=False, tolerance=1e-9).fit(z, y[train]).predict_proba(z_test)[:, 1]
for title, strength in (("lambda / 2", 0.5), ("the same lambda", 1.0)):
    v, bias = one_output(strength)
    apart[title] = float(np.abs(1 / (1 + np.exp(-(z_test @ v + bias))) - two).max())
    print(f"one output with {title + ':':<16} probabilities at most {apart[title]:.1e} from those of two softmax outputs")
claim(
    "One logistic output with half the regularisation gives the probabilities of two softmax outputs.",
    f"at most {apart['lambda / 2']:.0e} apart, and {apart['the same lambda']:.2f} with the same regularisation",
    apart["lambda / 2"] < 1e-4 < apart["the same lambda"],
)

# %% [markdown]
# **The recipe for cats and dogs.** A well-known one (Chollet 2016) is built just so. It calls codes *bottleneck features*:
# they are computed once, and on them a small network is trained, a hidden layer of 256 with ReLU and dropout, and one sigmoid
# output. (Then the top of the large network is trained on with it: lesson 12.) It is more than a linear classifier. Does it
# get more right?

# %%
bottleneck, of_recipe = code.astype(np.float32), []
for seed in range(3):
    head = with_small_head(model, classes, outputs=1, rng=seed).layers["small_head"]
    optimizer = AdamW(head.parameters(), 1e-3)
    trainer = Trainer(head, BinaryLogistic(), optimizer, epochs=10 if QUICK else 30, seed=seed, monitor="loss", progress=False)
    trainer.fit(bottleneck[train], y[train], bottleneck[val], y[val])
    of_recipe.append(np.mean((head.eval().forward(bottleneck[test])[:, 0] > 0) == y[test]))
of_linear = tested[SoftmaxRegression, "codes"]
error = np.sqrt(of_linear * (1 - of_linear) / len(test))
print(f"256 hidden units and one sigmoid: {', '.join(f'{a:.1%}' for a in of_recipe)} right, from three starts;", end=" ")
print(f"the linear classifier: {of_linear:.1%}; one standard error is {error:.1%}")
claim(
    "A small network on the codes, 256 hidden units and one sigmoid, is within five points of a linear classifier.",
    f"{np.mean(of_recipe):.1%}, the mean of three, and {of_linear:.1%}",
    abs(np.mean(of_recipe) - of_linear) < 0.05,
)

# %% [markdown]
# What the same network gets *from scratch*, with the same pictures, and what fine-tuning adds:
# `lessons/laboratory/one_sigmoid.py` measures the whole ladder over several seeds, and two softmax outputs beside the one
# sigmoid ([docs/laboratory](../../docs/laboratory/one_sigmoid.md)).
#
# In the end a classifier on codes is a layer. Written into the network in the place of the old one, it makes a network that
# takes pictures and gives names of *our* classes.

# %%
complete = with_new_head(model, "head", classes).eval()
set_head(complete, choice.final)
sample = test[:: max(1, len(test) // 40)]
answers = complete.forward(model.preprocessing.normalise(pixels[sample])).argmax(axis=1)
agree = np.mean(answers == choice.final.predict(code[sample]))
print(f"{len(sample)} pictures through the network with our classifier in it: the same names as by their codes for {agree:.0%}")
claim(
    "Written into the network, the classifier answers pictures as it answered their codes.",
    f"the same names for {agree:.0%} of {len(sample)} pictures",
    agree == 1,
)

# %% [markdown]
# ## 10. How many pictures?
#
# A learning curve: so many pictures of each class, drawn several times, and always the same test pictures. There is nothing to
# choose by where there is one picture a class, so that the regularisation is fixed, $\lambda = 0.1$.

# %%
section("10. How many pictures")
everything = np.concatenate([train, val])
most = np.bincount(y[everything]).min()
sizes = [n for n in (1, 2, 5, 10, 20, 50, 100) if n <= most]
DRAWS = 3 if QUICK else 10
learning = {title: np.empty((len(sizes), DRAWS)) for title in ("pixels", "codes")}
bar = tqdm(total=2 * len(sizes) * DRAWS, desc="learning curve", unit=" classifiers", delay=2, leave=False)
for title, x in (("pixels", raw), ("codes", code)):
    for i, n in enumerate(sizes):
        for draw in range(DRAWS):
            order = np.random.default_rng(draw).permutation(everything)
            chosen = np.concatenate([order[y[order] == k][:n] for k in range(len(classes))])
            learning[title][i, draw] = SoftmaxRegression(0.1).fit(x[chosen], y[chosen]).score(x[test], y[test])
            bar.update()
bar.close()
for i, n in enumerate(sizes):
    columns = [f"{title} {learning[title][i].mean():.1%} +- {learning[title][i].std():.1%}" for title in learning]
    print(f"{n:>3} pictures a class: " + ", ".join(columns))
figure, ax = plt.subplots(figsize=(5.8, 3.4), layout="tight")
for (title, values), color in zip(learning.items(), (GREY, BLUE), strict=True):
    ax.semilogx(sizes, 100 * values.mean(axis=1), "o-", color=color, label=title)
    low, high = values.min(axis=1), values.max(axis=1)
    ax.fill_between(sizes, 100 * low, 100 * high, color=color, alpha=0.15, lw=0)
ax.set_xticks(sizes, [str(n) for n in sizes])
ax.minorticks_off()
ax.set(
    xlabel="training pictures of each class", ylabel="test accuracy %", title=f"A softmax classifier (bands: all {DRAWS} draws)"
)
ax.legend(loc="upper left")
save(figure, HERE, "learning_curve")
mean_of = {title: dict(zip(sizes, values.mean(axis=1), strict=True)) for title, values in learning.items()}
largest = sizes[-1]
claim(
    "With as many pictures as there are, a classifier on codes gets more right than one on pixels.",
    f"{mean_of['codes'][largest]:.1%} and {mean_of['pixels'][largest]:.1%} with {largest} a class",
    mean_of["codes"][largest] > mean_of["pixels"][largest],
)
if PHOTOS:
    claim(
        "Ten ants and ten bees by their codes are worth more than all of them by their pixels.",
        f"{mean_of['codes'][10]:.1%} with ten a class, {mean_of['pixels'][largest]:.1%} with {largest}",
        mean_of["codes"][10] > mean_of["pixels"][largest] + 0.1,
    )

# %% [markdown]
# ## 11. Why few pictures are enough
#
# A code has more numbers than there are training pictures, so that a classifier has more weights than examples. Should it not
# learn them by heart, and nothing else?
#
# It could. In $D$ dimensions, $D + 1$ points in general position can be separated by a plane *whatever their labels are*. That
# the training pictures are all right says nothing. What counts is the **margin**. Say all codes are at most $R$ long, and there
# is a plane (through 0; a bias is one more feature that is always 1) from which all of them are at least $\gamma$ away, on the
# right side. Then Novikoff's theorem (1962) holds: the perceptron, which goes through the pictures one by one and corrects its
# weights by $w \leftarrow w + t_n z_n$ where it is wrong, is wrong at most
#
# $$\left(\frac{R}{\gamma}\right)^2$$
#
# times, however long it goes on. **There is no $D$ in it.** Its weights are a sum of the pictures that it was wrong about,
# and of no others: where the margin is wide, few pictures make the classifier, however many numbers a code has. And a network
# that was trained until one linear layer could tell a thousand classes apart has learned codes in which classes lie far
# apart. Where ours differ in the same things, so do ours.
#
# We measure: the margin of an SVM with next to no regularisation, and the perceptron's mistakes, with the true labels and with
# shuffled ones.

# %%
section("11. Margins")


def margin_of(labels):
    """The bound (R / margin)^2, the margin over R, and the mistakes that the perceptron makes until it makes none."""
    svm = LinearSVM(1e-5, loss="hinge", standardise=False, tolerance=1e-2, max_iterations=5000).fit(z, labels)
    signs = np.where(labels == 1, 1.0, -1.0)
    plane, points = np.append(svm.coef_, svm.intercept_), np.column_stack([z, np.ones(len(z))]) * signs[:, None]
    radius, margin = np.linalg.norm(points, axis=1).max(), (points @ plane).min() / np.linalg.norm(plane)
    mistakes, v = 0, np.zeros(points.shape[1])
    for _ in range(1000):  # passes, at most: without a margin it would never end
        so_far = mistakes
        for point in points:
            if v @ point <= 0:
                v, mistakes = v + point, mistakes + 1
        if mistakes == so_far:
            break
    return (radius / margin) ** 2, margin / radius, mistakes


labelled = {"true labels": margin_of(y[train])}
shuffled = [margin_of(rng.permutation(y[train])) for _ in range(3)]
labelled["shuffled labels"] = np.mean(shuffled, axis=0)
for title, (bound, margin, mistakes) in labelled.items():
    print(f"{title + ':':<16} margin {margin:.2%} of R, (R / margin)^2 = {bound:,.0f}; the perceptron is wrong", end=" ")
    print(f"{mistakes:.0f} times until all {len(train)} training pictures are right")
(bound, margin, mistakes), other = labelled["true labels"], labelled["shuffled labels"]
claim(
    "Training pictures with shuffled labels can be separated as well as with true ones, but with a narrower margin.",
    f"{other[1]:.2%} and {margin:.2%} of R",
    0 < other[1] < 0.9 * margin,
)
claim(
    "With the true labels, the perceptron is wrong less often on its way than with shuffled ones, and less often than the "
    "theorem allows.",
    f"{mistakes:.0f} and {other[2]:.0f} times; the theorem allows {bound:,.0f}",
    mistakes < other[2] and mistakes <= bound,
)

# %% [markdown]
# The theorem is a bound, and a loose one. But it says what to look at: not the number of weights, but how far the classes are
# from each other, compared with the size of the codes. That is what a million pictures of other things have bought us.
#
# ## What to do
#
# 1. The network's own preprocessing, eval mode, codes after the ReLU, right below the classifier, computed once and cached.
# 2. Standardise by the training part, or normalise to unit length.
# 3. A linear SVM or a softmax classifier: it hardly matters which. The regularisation by validation pictures, on a log scale.
# 4. Pictures quite unlike the network's own: try codes from the middle as well, as one more choice for the validation pictures.
# 5. Ask the test pictures once.
#
# `minicnn transfer --data YOUR_PICTURES` does all of that, and fine-tuning beside it.
#
# ## What this lesson claims
#
# - The network's own scores are a linear classifier's on its code.
# - Given codes from before the ReLU, the network's own last layer names another class for more than one picture in ten.
# - A classifier on codes loses more than ten points where pictures go in as 0 to 255, without the network's mean and std.
# - In train mode a picture's code depends on the other pictures of its batch, and in eval mode it does not.
# - The second time, codes come from the cache in less than a fifth of the time.
# - A network with another head finds the codes in the cache, and pictures of which one pixel has changed do not.
# - Test pictures of one class alone, standardised by their own mean and std, are judged far worse than by the training part's.
# - Of ants and bees, neighbours by codes name more right than neighbours by pixels, by twenty points or more.
# - No step of 1/L raises the SVM's objective, and with lambda = 10 a thousand steps come within one per cent of its minimum.
# - A linear classifier gets more test pictures right by their codes than by their pixels.
# - The best of fifty classifiers on twenty test pictures gets fewer of other pictures right, by three points or more.
# - For ants and bees, codes from the top of the network get at least ten points more right than codes from block 4.
# - For ants and bees, a new classifier gets more right by codes from after the last ReLU than from before it.
# - For solar cells, codes from block 8, in the middle of the network, get as many right as those from its top, within four
#   points.
# - One logistic output with half the regularisation gives the probabilities of two softmax outputs.
# - A small network on the codes, 256 hidden units and one sigmoid, is within five points of a linear classifier.
# - Written into the network, the classifier answers pictures as it answered their codes.
# - With as many pictures as there are, a classifier on codes gets more right than one on pixels.
# - Ten ants and ten bees by their codes are worth more than all of them by their pixels.
# - Training pictures with shuffled labels can be separated as well as with true ones, but with a narrower margin.
# - With the true labels, the perceptron is wrong less often on its way than with shuffled ones, and less often than the theorem
#   allows.

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
# and of 300 draws you have kept the luckiest. (They are not 300 independent draws: neighbours on the path make much the same
# mistakes, so that the luck is less than that of 300 strangers.) The test part tells by how much, if it is asked once. Had you
# chosen by it, nothing would be left that could tell.
#
# </details>
#
# **3.** A network was trained with a softmax over 1,000 classes, and somebody takes its 1,000 scores, or its probabilities, for
# codes. What do they lose, compared with the layer below?
#
# <details><summary>Answer</summary>
#
# The scores are a linear function of the 1,280 numbers below, so that a linear classifier on them can do nothing that one on
# those cannot: of 1,280 dimensions at most 1,000 are left, the ones that tell ImageNet's classes apart. The probabilities lose
# more: softmax pushes all but a few to nearly 0, and what the network has seen besides the most likely class is in numbers that
# are too small to matter beside it. For pictures whose classes are ImageNet's own, either may still do well.
#
# </details>
#
# ## Further reading
#
# - Donahue et al. 2014, "DeCAF: A Deep Convolutional Activation Feature for Generic Visual Recognition", section 4: linear
#   classifiers on codes of several depths.
# - Sharif Razavian et al. 2014, "CNN Features off-the-shelf: an Astounding Baseline for Recognition", section 3.
# - Chollet 2016, "Building powerful image classification models using very little data" (the Keras blog): the recipe of
#   section 9.
# - Kornblith, Shlens, Le 2019, "Do Better ImageNet Models Transfer Better?", section 4.
# - Hsieh et al. 2008, "A Dual Coordinate Descent Method for Large-scale Linear SVM": how `LinearSVM` finds the minimum.
# - Novikoff 1962, "On Convergence Proofs on Perceptrons".
# - Cawley, Talbot 2010, "On Over-fitting in Model Selection and Subsequent Selection Bias in Performance Evaluation".
#
# ## Next
#
# The exercise first: `exercise.py` has nine small functions in six tasks, from pictures to codes and from codes to classifiers.
# When all are right, they sort solar cells, with the engine's own beside them.
#
#     minicnn check 11
#     minicnn check 11 --task 1 --hint       # where you are stuck
#
# Then lesson 12: the network itself is trained on, gently.

# %%
print("\nnow you: minicnn check 11")
