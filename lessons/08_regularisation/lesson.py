# %% [markdown]
# # Lesson 8. Regularisation
#
# **Before**: training a network with an optimiser and a schedule (lesson 7), cross-entropy, batch normalisation (lesson 5).
#
# **After**: you can tell a network that has learned from one that has learned by heart, and know what to do about it:
# penalties on weights, dropout and its relatives, augmentation, several views of a picture, several networks. You know which
# of these are one and the same idea, and when a usual one does harm.
#
# A network with a million weights can learn any thousand pictures by heart, down to labels drawn at random. Regularisation is
# whatever makes it do something better than that. This lesson goes through the means one by one, on few pictures, where they
# matter most. What each of them is worth side by side, on a larger set and with a learning rate chosen for each, is a longer
# experiment, `docs/training/ablation.py`, and not repeated here.
#
# Run it (`python lessons/08_regularisation/lesson.py`, with `--quick` for a first look), or open it as a notebook. All numbers
# are measured as it runs, and the figures go to `out/` beside it. Then do the exercise: `minicnn check 8`.

# %%
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image, ImageDraw
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
from minicnn.data import (
    AlternatingFlip,
    Augmentation,
    Compose,
    Cutout,
    Mixup,
    PCAJitter,
    PerSampleGenerator,
    Preprocessing,
    RandomCrop,
    RandomResizedCrop,
    load_fashion_mnist,
    load_mnist,
    open_pictures,
)
from minicnn.initializers import msra
from minicnn.layers import (
    BatchNorm1d,
    Conv2d,
    DropConnect,
    Dropout,
    Flatten,
    FractionalMaxPool2d,
    Linear,
    MaxPool2d,
    ReLU,
    Residual,
    Sequential,
    StochasticDepth,
    VanillaDropout,
)
from minicnn.losses import SoftmaxCrossEntropy, softmax
from minicnn.optim import SGD, Adam, AdamW
from minicnn.recipes.speed_run import six_view_scores
from minicnn.regularizers import L1, L2, L2SP, ElasticNet, MaxNorm
from minicnn.schedules import constant, cosine, warm_restarts
from minicnn.training import Trainer
from minicnn.training.averaging import WeightAverage
from minicnn.training.callbacks import Callback
from minicnn.transfer.multi_crop import ten_crops

HERE = Path(globals().get("__file__", "lesson.py")).resolve().parent
rng = np.random.default_rng(8)
CLASSES = 10
BATCH = 25

# %% [markdown]
# ## 1. The gap
#
# The loss that training makes small is that of the pictures it is shown. What we want is a small loss on pictures that nobody
# has shown it. **Validation** pictures, kept aside, measure that, and the difference between the two is the gap:
#
# $$\text{gap} = \text{accuracy on training pictures} - \text{accuracy on validation pictures}.$$
#
# A wide gap is called overfitting. It has two cures: more pictures, or less freedom to learn those by heart. (A network that
# is poor on *both* sets underfits. Regularisation makes that worse: first take a larger network, or train it for longer.)
#
# We train a small convolutional network on few, more and many pictures of clothes.

# %%
section("1. The gap")


def pictures_of(name, load, count, noise):
    """(training pictures, labels), (test pictures, labels) in random order, uint8 (N, 28, 28): real ones, or drawn digits."""
    if folder := find_data(name):
        x, y, x_test, y_test = load(folder)
        print(f"real pictures: {name}, from the data folder")
    else:
        (x, y), (x_test, y_test) = drawn_digits(count, rng), drawn_digits(2000, rng)
        x, x_test = (np.clip(p + rng.normal(0, noise, p.shape), 0, 255).astype(np.uint8) for p in (x, x_test))
        print(f"there is no {name}/ in the folder that MINICNN_DATA names: using digits of a font, with noise")
    order, order_test = rng.permutation(len(x)), rng.permutation(len(x_test))
    tested = order_test[: 300 if QUICK else 2000]
    return (x[order], y[order]), (x_test[tested], y_test[tested])


clothes, clothes_val = pictures_of("fashion-mnist", load_fashion_mnist, 5000, noise=60)
digits, digits_val = pictures_of("mnist", load_mnist, 5000, noise=30)


def prepare(pictures):
    """float32 (N, 1, H, W), with about zero mean and unit variance for both sets."""
    return (pictures[:, None].astype(np.float32) - 60) / 85


def network(seed, side=28, dropout=0.0):
    """Two convolutions and a hidden layer of 128, for pictures of side x side."""
    rng = np.random.default_rng(seed)
    last = (side // 2 - 4) // 2
    net = Sequential(
        conv1=Conv2d(1, 8, 5, pad=2, rng=rng),
        relu1=ReLU(),
        pool1=MaxPool2d(2),
        conv2=Conv2d(8, 16, 5, rng=rng),
        relu2=ReLU(),
        pool2=MaxPool2d(2),
        flatten=Flatten(),
        hidden=Linear(16 * last * last, 128, initializer=msra, rng=rng),
        relu3=ReLU(),
    )
    if dropout:
        net.append("drop", Dropout(dropout, rng))
    net.append("scores", Linear(128, CLASSES, rng=rng))
    return net


def trainer_of(net, epochs, *, rate=0.02, seed=0, batch=BATCH, schedule=None, **options):
    """SGD with momentum along half a cosine wave; what else is in the options is the Trainer's."""
    optimizer = SGD(net.parameters(), rate, momentum=0.9, nesterov=True)
    options = {"prepare": prepare, "progress": False} | options
    return Trainer(
        net,
        SoftmaxCrossEntropy(),
        optimizer,
        epochs=max(2, epochs // 6) if QUICK else epochs,
        batch_size=batch,
        schedule=schedule or cosine(),
        seed=seed,
        **options,
    )


def first(pictures_and_labels, n):
    """The first n of a set; a third of them with --quick."""
    n = max(60, n // 3) if QUICK else n
    return pictures_and_labels[0][:n], pictures_and_labels[1][:n]


gaps, few = {}, None
for size, epochs in tqdm(((200, 60), (800, 25), (3200, 10)), desc="the gap", delay=2, leave=False):
    trainer = trainer_of(network(seed=1), epochs, label=f"{size} pictures")
    history = trainer.fit(*first(clothes, size), *(part[:1000] for part in clothes_val)).epochs
    few = few or history
    # the last epoch's: fit() leaves the network as it was in its best one, which is a kind of regularisation itself
    gaps[size] = history[-1]["train_accuracy"], history[-1]["val_accuracy"]
for size, (train, val) in gaps.items():
    print(f"{size:>5} pictures: {train:.1%} of them right, {val:.1%} of others; gap {100 * (train - val):.1f} points")

losses, val_losses = ([epoch[name] for epoch in few] for name in ("loss", "val_loss"))
lowest = int(np.argmin(val_losses))
print(f"on 200 pictures the validation loss is lowest after epoch {lowest + 1}, {val_losses[lowest]:.2f}, and ends at", end=" ")
print(f"{val_losses[-1]:.2f}; the training loss goes on to {losses[-1]:.4f}")
print(f"    validation accuracy: {few[lowest]['val_accuracy']:.1%} there, {few[-1]['val_accuracy']:.1%} at the end")
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.3), layout="tight")
left.semilogy(range(1, len(few) + 1), losses, label="training")
left.semilogy(range(1, len(few) + 1), val_losses, label="validation")
left.plot([lowest + 1], [val_losses[lowest]], "o", color=INK)
left.annotate("the best epoch", (lowest + 1, val_losses[lowest]), (0.35, 0.62), textcoords="axes fraction", fontsize=8,
              arrowprops={"arrowstyle": "->", "color": GREY})  # fmt: skip
left.set(xlabel="epoch", ylabel="loss", title="200 pictures: one loss goes on falling")
left.legend(loc="lower left")
for i, (train, val) in enumerate(gaps.values()):
    right.plot([i, i], [100 * val, 100 * train], color=GREY, lw=1)
    right.plot([i], [100 * train], "o", color=BLUE, label="training" if i == 0 else None)
    right.plot([i], [100 * val], "o", color=ORANGE, label="validation" if i == 0 else None)
right.set_xticks(range(len(gaps)), [f"{size}" for size in gaps])
right.set(xlabel="training pictures", ylabel="accuracy %", title="More pictures close the gap")
right.legend(loc="lower right")
save(figure, HERE, "gap")
claim(
    "Trained on 200 pictures, the network gets nearly all of them right, and many fewer of those that it has not seen.",
    f"{gaps[200][0]:.1%} and {gaps[200][1]:.1%}",
    gaps[200][0] > 0.97 and gaps[200][0] - gaps[200][1] > 0.1,
)
claim(
    "The gap shrinks as the training set grows.",
    ", ".join(f"{100 * (train - val):.1f}" for train, val in gaps.values()) + " points",
    all(np.diff([train - val for train, val in gaps.values()]) < 0),
)
claim(
    "On few pictures the validation loss falls and rises again, while the training loss goes on falling.",
    f"lowest {val_losses[lowest]:.2f}, at the end {val_losses[-1]:.2f}; training {losses[lowest]:.3f} and {losses[-1]:.4f}",
    val_losses[-1] > 1.05 * val_losses[lowest] and losses[-1] < losses[lowest] / 2,
)

# %% [markdown]
# The left figure shows the first and cheapest remedy for overfitting: **stop at the best epoch**. (The Trainer keeps it
# whenever it has validation pictures: the one with the highest accuracy, or with `monitor="loss"` the lowest loss.) Note that
# the accuracy does not fall while the loss rises: the network does not make more mistakes, it makes them with ever more
# certainty, and the cross-entropy punishes that.
#
# ## 2. Penalties: small weights
#
# A **penalty** is added to the loss, so that a weight has to earn its size:
#
# $$L(w) = L_\text{data}(w) + R(w).$$
#
# | | $R(w)$ | $dR/dw$ | draws |
# | --- | --- | --- | --- |
# | L2 | $\frac{\lambda}{2} \sum w^2$ | $\lambda w$ | large weights most, small ones hardly |
# | L1 | $\lambda \sum \lvert w \rvert$ | $\lambda\, \mathrm{sign}(w)$ | all with the same force, until they are 0 |
# | elastic net | both, $\lambda_1$ and $\lambda_2$ | $\lambda_1 \mathrm{sign}(w) + \lambda_2 w$ | both |
# | L2-SP | $\frac{\alpha}{2} \sum (w - w_0)^2$ | $\alpha (w - w_0)$ | back to the pretrained weights $w_0$ |
#
# And there is a **constraint**: max norm, $\lVert w_f \rVert \le c$ for the weights of each unit. A unit that has grown too
# long is scaled back after the step. Biases are left alone by all of them: they have nothing to do with how steeply a network
# reacts to its input.
#
# With two weights one can watch. The ellipses are a loss with its minimum at the cross. Each path shows where the minimum
# of loss and penalty together lies, as the penalty grows from 0. L2 leads into the origin along a curve. L1 reaches an axis,
# where one of the weights is exactly 0, and goes on along it. L2-SP leads to the pretrained weights.

# %%
section("2. Penalties")
best, w0 = np.array([0.7, 1.9]), np.array([1.9, 0.9])
A = np.array([[1.0, 0.45], [0.45, 1.0]])  # the loss is (w - best)^T A (w - best) / 2


def minimum(lambda1=0.0, lambda2=0.0, centre=(0.0, 0.0)):
    """Of loss and penalty. L1 is dealt with by a step of its own: towards 0 by step * lambda1, but not beyond."""
    w, step = best.copy(), 1 / (1.5 + lambda2)
    for _ in range(200):
        w = w - step * (A @ (w - best) + lambda2 * (w - centre))
        w = np.sign(w) * np.maximum(np.abs(w) - step * lambda1, 0)
    return w


strengths = np.concatenate([[0], np.geomspace(0.02, 60, 40)])
paths = {
    "L2": [minimum(lambda2=s) for s in strengths],
    "L1": [minimum(lambda1=s) for s in np.linspace(0, 2.6, 41)],
    "elastic net": [minimum(lambda1=s, lambda2=s) for s in np.linspace(0, 2.6, 41)],
    "L2-SP": [minimum(lambda2=s, centre=w0) for s in strengths],
}
figure, ax = plt.subplots(figsize=(5.6, 4.6), layout="tight")
grid = np.stack(np.meshgrid(np.linspace(-0.4, 2.5, 200), np.linspace(-0.4, 2.5, 200)), axis=-1) - best
ax.contour(*(grid + best).transpose(2, 0, 1), np.einsum("...i,ij,...j", grid, A, grid), np.geomspace(0.05, 8, 9), colors="0.85")
ax.axhline(0, color=GREY, lw=0.8)
ax.axvline(0, color=GREY, lw=0.8)
for (title, path), color, style in zip(paths.items(), (BLUE, ORANGE, GREEN, INK), ("o", "s", "^", "D"), strict=True):
    ax.plot(*np.transpose(path), style + "-", color=color, ms=3, lw=1, label=title)
ax.plot(*best, "x", color=INK, ms=10, mew=2)
ax.annotate("$w_0$, pretrained", w0, (6, -12), textcoords="offset points", fontsize=9)
ax.set(xlabel="$w_1$", ylabel="$w_2$", aspect="equal", title="Where the minimum goes as the penalty grows")
ax.legend(loc="lower right", fontsize=8)
save(figure, HERE, "penalties")
for title in ("L2", "L1"):
    zeros = sum(w[0] == 0 and w[1] > 0 for w in paths[title])
    print(f"{title}: the first weight alone is exactly 0 at {zeros} of the {len(paths[title])} points of its path")

# %% [markdown]
# Now a classifier with weights that can be looked at: one linear layer on 300 digits. It learns them by heart with ease, and
# its templates show what it learned: a good deal of noise. Look also at the corners, where no digit has ink. Nothing in the
# loss moves those weights, and without a penalty they stay as they were drawn.

# %%
x_few, y_few = first(digits, 300)
inked = (x_few.max(axis=0) > 0).ravel()


def rows(pictures):
    """From 0 to 1, so that what has no ink has no influence."""
    return pictures.reshape(len(pictures), -1).astype(np.float32) / 255


def linear_classifier(make_regularizer=None, seed=2, start=None, epochs=60, data=None):
    layer = Linear(784, CLASSES, rng=seed)
    if start is not None:
        layer.w.value[...], layer.b.value[...] = start
    regularizer = make_regularizer(layer.parameters()) if make_regularizer else None
    trainer = trainer_of(layer, epochs, rate=0.1, prepare=rows, regularizer=regularizer)
    trainer.fit(*(data or (x_few, y_few)))
    return trainer


ways = {
    "nothing": None,
    "L2": lambda parameters: L2(parameters, 0.01),
    "L1": lambda parameters: L1(parameters, 0.001),
    "elastic net": lambda parameters: ElasticNet(parameters, lambda1=0.0005, lambda2=0.005),
    "max norm": lambda parameters: MaxNorm(parameters, c=2.0),
}
templates, near_zero = {}, {}
for title, make in ways.items():
    trainer = linear_classifier(make)
    w = trainer.model.w.value
    templates[title], near_zero[title] = w, np.mean(np.abs(w[:, inked]) < 0.01 * np.abs(w).max())
    train, val = (trainer.evaluate(*data)[1] for data in ((x_few, y_few), digits_val))
    print(f"{title:<12} {train:>6.1%} of the training digits, {val:.1%} of others right;", end=" ")
    print(f"{near_zero[title]:.0%} of the weights of inked pixels below a hundredth of the largest,", end=" ")
    print(f"longest unit {np.linalg.norm(w, axis=1).max():.2f}")
figure, axes = picture_grid(len(ways), CLASSES, 0.85)
for row, (title, w) in zip(axes, templates.items(), strict=True):
    row[0].text(-0.15, 0.5, title, ha="right", va="center", transform=row[0].transAxes)
    for ax, template in zip(row, w, strict=True):
        ax.imshow(template.reshape(28, 28), cmap="RdBu_r", vmin=-np.abs(w).max() / 1.5, vmax=np.abs(w).max() / 1.5)
figure.suptitle(f"What a linear classifier learns from {len(x_few)} digits (red: positive weights, blue: negative)", y=0.95)
save(figure, HERE, "templates")
claim(
    "L1 leaves most weights of a linear classifier practically 0, and L2 far fewer of them.",
    f"{near_zero['L1']:.0%} and {near_zero['L2']:.0%} of the weights of inked pixels",
    near_zero["L1"] > 0.5 and near_zero["L2"] < near_zero["L1"] / 2,
)

# %% [markdown]
# The accuracy hardly changes: a single layer has little freedom to begin with. What changes is *which* of the many classifiers
# that get the training digits right is found: one with small weights, or one with few. What weight decay is worth in a deeper
# network, `docs/training/ablation.py` measures.
#
# **Weight decay** is L2 under another name, as long as the step is plain SGD:
#
# $$w \leftarrow w - \eta\,(g + \lambda w) = (1 - \eta\lambda)\, w - \eta g ,$$
#
# each weight shrinks by a fraction and then moves. All optimisers of `minicnn.optim` have it as `weight_decay`. With Adam the
# two come apart: a gradient that contains $\lambda w$ is divided by its own size like any other, so that a weight with large
# gradients is hardly decayed at all. AdamW takes the shrinking out of the gradient and does it beside the step, equally for
# all.

# %%


def after_steps(make_optimizer, penalty=None, steps=60):
    """The weights of a linear classifier after some steps on all of the few digits."""
    layer, loss = Linear(784, CLASSES, rng=3).train(), SoftmaxCrossEntropy()
    optimizer, x = make_optimizer(layer.parameters()), rows(x_few)
    regularizer = L2(layer.parameters(), penalty) if penalty else None
    for _ in range(steps):
        loss.forward(layer.forward(x), y_few)
        layer.backward(loss.backward())
        if regularizer:
            regularizer.add_gradients()
        optimizer.step()
    return layer.w.value.copy()


def apart(a, b):
    return np.linalg.norm(a - b) / np.linalg.norm(a)


DECAY = 0.1
of_sgd = apart(after_steps(lambda p: SGD(p, 0.1, weight_decay=DECAY)), after_steps(lambda p: SGD(p, 0.1), penalty=DECAY))
of_adam = apart(after_steps(lambda p: AdamW(p, 0.01, weight_decay=DECAY)), after_steps(lambda p: Adam(p, 0.01), penalty=DECAY))
print(f"\nweights after 60 steps with decay, and with an L2 penalty as strong: {of_sgd:.0e} apart with SGD,", end=" ")
print(f"{of_adam:.2f} with Adam (of their length)")
claim(
    "With SGD, weight decay and an L2 penalty are one and the same; with Adam they are not.",
    f"weights {of_sgd:.0e} and {of_adam:.2f} of their length apart",
    of_sgd < 1e-4 and of_adam > 0.05,
)

# %% [markdown]
# **L2-SP.** A *pretrained* network was trained on other pictures before; *fine-tuning* goes on from its weights (lessons 11 and
# 12). These are good to begin with, and drawing them to 0 throws away what they know. Li, Grandvalet and Davoine draw them back
# to where they started. A small version: a linear classifier of many digits is fine-tuned on fifty digits that are turned by
# 20 degrees, with four sets of fifty.

# %%


def turned(pictures):
    return np.stack([np.asarray(Image.fromarray(p).rotate(20, Image.Resampling.BILINEAR)) for p in pictures])


pretrained = linear_classifier(lambda parameters: L2(parameters, 1e-3), epochs=12, data=first(digits, 3000))
start = pretrained.model.w.value.copy(), pretrained.model.b.value.copy()
turned_val = turned(digits_val[0]), digits_val[1]
print(f"\ndigits turned by 20 degrees, before fine-tuning: {pretrained.evaluate(*turned_val)[1]:.1%} right")
fifties = [(turned(digits[0][i : i + 50]), digits[1][i : i + 50]) for i in range(4000, 4200, 50)]
tuned = {}
for title, make in {
    "no penalty": None,
    "L2": lambda parameters: L2(parameters, 0.05),
    "L2-SP": lambda parameters: L2SP(parameters, alpha=0.05, beta=0.0),
}.items():
    trainers = [linear_classifier(make, start=start, epochs=60, data=fifty) for fifty in fifties]
    tuned[title] = np.array([trainer.evaluate(*turned_val)[1] for trainer in trainers])
    moved = np.mean([np.linalg.norm(trainer.model.w.value - start[0]) for trainer in trainers]) / np.linalg.norm(start[0])
    print(f"fine-tuned with {title + ':':<12} {tuned[title].mean():.1%} right", end=" ")
    print(f"({', '.join(f'{v:.1%}' for v in tuned[title])}); the weights moved by {moved:.0%} of their length")
lead = tuned["L2-SP"] - tuned["L2"]
claim(
    "Fine-tuned on fifty pictures, a classifier drawn to its pretrained weights gets more right than one drawn to 0.",
    f"{tuned['L2-SP'].mean():.1%} and {tuned['L2'].mean():.1%}; ahead by {100 * lead.min():.1f} points at least",
    lead.min() > 0,
)

# %% [markdown]
# ## 3. Dropout
#
# In each step of training, each unit of a layer is switched off with probability $p$. None can rely on another being there,
# so each has to be of use by itself. With a mask $m$ of zeros and ones, $P(m_i = 0) = p$:
#
# | | training | inference |
# | --- | --- | --- |
# | vanilla (`VanillaDropout`) | $y_i = m_i\, x_i$ | $y_i = (1 - p)\, x_i$ |
# | inverted (`Dropout`) | $y_i = m_i\, x_i / (1 - p)$ | $y_i = x_i$ |
#
# The factor is there because $E[m_i x_i] = (1-p)\, x_i$: the layer above has learned from sums in which a share $p$ of the
# units was missing, and must not suddenly get more. Inverted dropout does the same arithmetic during training, so that
# inference costs nothing. That is why everybody uses it.
#
# > **A correction.** One of our sources says: "At test time, multiply by dropout probability." It must be the probability of
# > **keeping** a unit, $1 - p$. (The same page has $p = 0.5$, where the two are equal, and its code calls the probability of
# > keeping `p`. In this project, as in PyTorch, `p` is that of dropping.)
#
# With $p = 0.2$ the two are 0.8 and 0.2, and one can see which is right: the scores in inference should be the mean of those
# in training, over many masks.

# %%
section("3. Dropout")
P = 0.2
trainer = trainer_of(network(seed=3, dropout=0.5), 25, label="with dropout")
trainer.fit(*first(clothes, 1000))
below, above = trainer.model.split("relu3")  # the layers below dropout, and dropout with the last layer
hidden, truth = below.eval().forward(prepare(clothes_val[0])), clothes_val[1]
last = above.layers["scores"]

PASSES = 40 if QUICK else 400
drop = VanillaDropout(P, rng=4).train()
in_training = np.mean([last.eval().forward(drop.forward(hidden)) for _ in range(PASSES)], axis=0)
off = {}
for title, factor in {"keeping": 1 - P, "dropping": P, "no factor": 1.0}.items():
    scores = last.forward(np.float32(factor) * hidden)
    off[title] = float(np.linalg.norm(scores - in_training) / np.linalg.norm(in_training))
    print(f"times {factor:.1f} ({title}): scores {off[title]:6.1%} from their mean in training,", end=" ")
    print(f"largest probability {softmax(scores).max(axis=1).mean():.2f} on average")
vanilla = VanillaDropout(P).eval().forward(hidden)
print(f"VanillaDropout in eval mode multiplies by {float(vanilla.sum() / hidden.sum()):.2f}")
claim(
    "Times the probability of keeping, scores are what they are in training on average; times that of dropping, not at all.",
    f"{off['keeping']:.1%} and {off['dropping']:.0%} away",
    off["keeping"] < 0.05 and off["dropping"] > 0.4,
)

# %% [markdown]
# **An ensemble in one network.** Every mask leaves another thinned network; there are $2^{128}$ of them for our 128 hidden
# units, and all share their weights. Training draws one for each picture and step. In inference we would like the mean of
# what they all say. The scaled network is a guess at it that costs a single pass. How good is the guess? We ask several
# hundred thinned networks one by one (`train` mode, dropout at work), and average their probabilities.
#
# With a single linear layer between dropout and softmax, as here, it can be said exactly: the scaled network's scores are the
# mean of the scores of all thinned ones, so that its probabilities are the *geometric* mean of theirs, divided by its sum over
# the classes. The ensemble proper takes the arithmetic mean of the probabilities. The exercise has both.

# %%
drop = Dropout(0.5, rng=5).train()
thinned = np.stack([softmax(last.forward(drop.forward(hidden))) for _ in range(PASSES)])  # (masks, pictures, classes)
scaled = softmax(last.forward(hidden))
scaled_accuracy = float((scaled.argmax(axis=1) == truth).mean())
counts = [m for m in (1, 2, 5, 10, 20, 50, 100, 200, 400) if m <= PASSES]
by_count = {}
for m in counts:
    groups = thinned[: PASSES // m * m].reshape(-1, m, *scaled.shape).mean(axis=1)
    by_count[m] = (groups.argmax(axis=2) == truth).mean(axis=1)
    print(f"mean of {m:>3} thinned networks: {by_count[m].mean():.1%} right", end="")
    print(f" ({by_count[m].min():.1%} to {by_count[m].max():.1%})" if len(groups) > 1 else "")
print(f"the scaled network:        {scaled_accuracy:.1%}")
most = counts[-1]
figure, ax = plt.subplots(figsize=(5.8, 3.5), layout="tight")
lowest_of, highest_of = (100 * np.array([f(v) for v in by_count.values()]) for f in (np.min, np.max))
ax.fill_between(counts, lowest_of, highest_of, color=BLUE, alpha=0.15, lw=0, label="from the worst to the best")
ax.semilogx(counts, [100 * v.mean() for v in by_count.values()], "o-", label="thinned networks, mean of their probabilities")
ax.axhline(100 * scaled_accuracy, color=ORANGE, ls="--", label="the scaled network, one pass")
ax.set_xticks(counts, [str(m) for m in counts])
ax.minorticks_off()
ax.set(xlabel="how many thinned networks", ylabel="validation accuracy %", title="Dropout as an ensemble")
ax.legend(loc="lower right", fontsize=8)
save(figure, HERE, "dropout_ensemble")
claim(
    "A single thinned network gets fewer right than the scaled one, and hundreds of them together as many.",
    f"{by_count[1].mean():.1%}, {scaled_accuracy:.1%} and {by_count[most].mean():.1%}",
    by_count[1].mean() < scaled_accuracy - 0.002 and abs(by_count[most].mean() - scaled_accuracy) < 0.01,
)

# %% [markdown]
# ## 4. One principle: training adds noise, inference averages it out
#
# Dropout is one of a family. With $z$ for what is drawn at random,
#
# $$\text{training: } y = f_w(x, z) \text{ with a new } z \text{ each time}, \qquad
#   \text{inference: } y = E_z[f_w(x, z)] = \int p(z)\, f_w(x, z)\, dz ,$$
#
# the integral mostly by an approximation:
#
# | | what is drawn | inference |
# | --- | --- | --- |
# | dropout | which units are there | all, scaled |
# | DropConnect | which weights are there, for each sample | all, scaled |
# | stochastic depth | which branches $F$ of $y = x + F(x)$ (lesson 9) are computed | all, times the probability of survival |
# | fractional max pooling | where the regions of a pool begin and end | one fixed division, or several passes averaged |
# | batch normalisation | which other pictures are in the batch, and so mean and variance | running averages |
# | augmentation | which crop, which colours, mirrored or not | the picture as it is, or several views averaged |
#
# The noise is what keeps the network from relying on any detail. We measure it: the same input many times in train mode.
# How far does a single output scatter, and how far is the mean of many from what eval mode says?

# %%
section("4. Training adds noise, inference averages it out")


class Companions(BatchNorm1d):
    """Batch norm that sees the first sample in the company of 31 others, drawn anew in each pass."""

    def __init__(self, features, pool, rng):
        super().__init__(features)
        self.pool, self.rng = pool, np.random.default_rng(rng)

    def forward(self, x):
        if not self.training:
            return super().forward(x)
        others = self.pool[self.rng.choice(len(self.pool), 31, replace=False)]
        return super().forward(np.concatenate([x, others]))[: len(x)]


inputs = hidden[:16]
maps = prepare(clothes_val[0][:4])
subjects = {
    "dropout": (Dropout(0.5, rng=1), inputs),
    "DropConnect": (DropConnect(128, 16, p=0.5, rng=2), inputs),
    "stochastic depth": (Residual(StochasticDepth(Linear(128, 128, rng=3), 0.5, rng=4)), inputs),
    "fractional max pooling": (FractionalMaxPool2d(2**0.5, sequence="random", rng=5), maps),
    "batch normalisation": (Companions(128, hidden, rng=6), inputs[:1]),
}
NOISY = 200 if QUICK else 1000
offsets, noises = {}, {}
for title, (layer, x) in tqdm(subjects.items(), desc="noise", delay=2, leave=False):
    layer.train()
    outputs = [layer.forward(x) for _ in range(NOISY)]
    mean, scatter = np.mean(outputs, axis=0, dtype=np.float64), np.std(outputs, axis=0, dtype=np.float64)
    noises[title] = np.sqrt((scatter**2).mean())
    offsets[title] = np.sqrt(((mean - layer.eval().forward(x)) ** 2).mean()) / noises[title]
for title in subjects:
    print(f"{title:<23} one pass scatters by {noises[title]:.3f}; the mean of {NOISY} is {offsets[title]:.3f} of that", end=" ")
    print("away from eval mode")
print(f"(by chance alone one expects about {1 / np.sqrt(NOISY):.3f} of it)")
exact = ("dropout", "DropConnect", "stochastic depth")
claim(
    "Dropout, DropConnect and stochastic depth add noise whose mean over many passes is what they compute in inference.",
    ", ".join(f"{offsets[title]:.3f}" for title in exact) + " of the scatter of one pass away",
    all(offsets[title] < 0.12 and noises[title] > 0 for title in exact),
)

pooled = FractionalMaxPool2d(2**0.5, overlapping=False, sequence="random", rng=7)
picture = clothes_val[0][3]
figure, axes = picture_grid(2, 4, 1.7)
for column, training in zip(axes.T, (True, True, True, False), strict=True):
    row_edges, column_edges = pooled.regions((1, 1, 28, 28), training)
    column[0].imshow(picture)
    for start_row, _ in row_edges[1:]:
        column[0].axhline(start_row - 0.5, color=ORANGE, lw=0.6)
    for start_column, _ in column_edges[1:]:
        column[0].axvline(start_column - 0.5, color=ORANGE, lw=0.6)
    column[1].imshow([[picture[top:bottom, start:end].max() for start, end in column_edges] for top, bottom in row_edges])
    column[0].set_title("training" if training else "inference", fontsize=9)
figure.suptitle("Fractional max pooling: regions of one or two rows and columns, and what they make", y=1.0)
save(figure, HERE, "fractional_pooling")

# %% [markdown]
# The first three are exact, for one layer: they are linear in their noise, and the mean of a linear function is the function
# of the mean. With something nonlinear above, such as the softmax of section 3, it is an approximation, and there it was a good
# one. A maximum is not linear: the one division that fractional pooling uses in inference is no mean of the others, and Graham
# averages the answers of several passes. Batch normalisation has its noise without asking for it, and its running averages are
# no exact mean either. The noise is one reason why networks with it need less dropout (Ioffe and Szegedy, section 4.2.1).
#
# ## 5. Augmentation: noise in the pictures
#
# The best regulariser is more pictures. The second best is to make them: change training pictures at random in ways that leave
# their class as it is. A network that has seen a cat from both sides, cut off, nearer, and in other light knows what does not
# matter about a cat. Here is what `minicnn.data` has. Each row is one picture in eight epochs.

# %%
section("5. Augmentation")
archive = find_data("ants-bees.zip")
if archive:
    collection = open_pictures(archive)
    chosen = rng.permutation(len(collection))[: 20 if QUICK else 80]
    photos, _ = collection.subset(np.sort(chosen)).fitted(Preprocessing(size=96), progress=False)
    print(f"real photographs: {len(photos)} of {archive.name}")
else:
    grey = np.repeat(np.repeat(clothes_val[0][:40], 3, axis=1), 3, axis=2)
    photos = np.stack([grey] * 3, axis=-1)
    print("there is no ants-bees.zip in the data folder: the pictures below have no colours")
jitter = PCAJitter(photos, std=0.1)
strong = PCAJitter(photos, std=1.0)
shares = jitter.eigenvalues / jitter.eigenvalues.sum()
print(f"principal components of the colours hold {', '.join(f'{s:.1%}' for s in shares)} of their variance;", end=" ")
print(f"the first is {np.round(jitter.eigenvectors[:, 0], 2)} in red, green and blue")
claim(
    "Most of the variance of colours in our pictures lies along one direction, from dark to bright.",
    f"{shares[0]:.0%} of it, along {np.round(jitter.eigenvectors[:, 0], 2).tolist()}",
    shares[0] > 0.6 and (jitter.eigenvectors[:, 0] > 0.3).all(),
)
shown = 5
kinds = {
    "AlternatingFlip": AlternatingFlip(),
    "RandomCrop\n(reflected)": RandomCrop(pad=14),
    "RandomResizedCrop": RandomResizedCrop(area=(0.25, 1.0)),
    "Augmentation\n(tones)": Augmentation(brightness=0.35, contrast=0.35, saturation=0.6),
    "PCAJitter\n(10 x AlexNet's)": strong,
    "Cutout": Cutout(32),
}
figure, axes = picture_grid(len(kinds) + 1, 8, 1.0)
for row, (title, augment) in zip(axes, kinds.items(), strict=False):
    row[0].text(-0.1, 0.5, title, ha="right", va="center", transform=row[0].transAxes, fontsize=8)
    for epoch, ax in enumerate(row, start=1):
        one = PerSampleGenerator(seed=3, epoch=epoch, indices=np.array([shown]))
        ax.imshow(augment(photos[shown : shown + 1], one)[0])
pair = photos[[shown, shown + 1]].astype(np.float32) / 255
axes[-1, 0].text(-0.1, 0.5, "Mixup", ha="right", va="center", transform=axes[-1, 0].transAxes, fontsize=8)
for epoch, ax in enumerate(axes[-1], start=1):
    mixed, q = Mixup(alpha=1.0, classes=2)(pair, np.array([0, 1]), PerSampleGenerator(3, epoch, np.array([0, 1])))
    ax.imshow(mixed[0])
    ax.set_xlabel(f"{q[0, 0]:.2f} : {q[0, 1]:.2f}", fontsize=7)
figure.suptitle("What augmentation makes of a picture, in eight epochs", y=0.93)
save(figure, HERE, "augmentation")

# %% [markdown]
# - **AlternatingFlip** mirrors each picture in every other epoch, where a flip drawn at random shows the same side twice
#   running half of the time.
# - **RandomCrop** moves the picture; what comes in at the border is its own reflection. **RandomResizedCrop** also changes
#   scale and proportions (GoogLeNet).
# - **PCAJitter** is AlexNet's: the colours of the training set vary mostly from dark to bright and a little between warm and
#   cold, so add to all pixels of a picture a random step along just these directions, $x' = x + \sum_i a_i \lambda_i p_i$
#   with $a_i$ from a normal distribution of standard deviation 0.1. That is hardly visible; the figure has ten times as much.
# - **Cutout** hides a square: the network must know a cat without its head. **Mixup** shows two pictures at once, and asks for
#   both: targets are probabilities there. (In the figure the shares of the two are below.)
#
# What are they worth with 150 digits, each alone? And flips, beside crops?

# %%
kinds = {
    "nothing": {},
    "RandomCrop": {"augment": RandomCrop(pad=2)},
    "RandomResizedCrop": {"augment": RandomResizedCrop(area=(0.6, 1.0), aspect=(0.8, 1.25))},
    "Cutout": {"augment": Cutout(9, fill=0)},
    "Mixup": {"mix": Mixup(alpha=0.4, classes=CLASSES)},
    "RandomCrop and flips": {"augment": Compose(Augmentation(horizontal_flip=True), RandomCrop(pad=2))},
}
SEEDS = range(1) if QUICK else range(3)
few_digits = first(digits, 150)
worth, confused = {title: [] for title in kinds}, {}
bar = tqdm(total=len(kinds) * len(SEEDS), desc="augmentation", unit="run", delay=2, leave=False)
for title, options in kinds.items():
    for seed in SEEDS:
        trainer = trainer_of(network(seed=10 + seed), 50, rate=0.01, seed=seed, **options)
        trainer.fit(*few_digits)
        answers = trainer.decision_function(digits_val[0]).argmax(axis=1)
        worth[title].append(float((answers == digits_val[1]).mean()))
        confused.setdefault(title, []).append([(answers[digits_val[1] == k] != k).mean() for k in range(CLASSES)])
        bar.update()
bar.close()
for title, values in worth.items():
    print(f"{title:<21} {np.mean(values):.1%} of other digits right ({', '.join(f'{v:.1%}' for v in values)})")
worse = np.mean(confused["RandomCrop and flips"], axis=0) - np.mean(confused["RandomCrop"], axis=0)
print("mistakes that flips add to crops, in points:", ", ".join(f"{k}: {100 * d:+.0f}" for k, d in enumerate(worse)))
figure, ax = plt.subplots(figsize=(6.5, 3.3), layout="tight")
for i, (title, values) in enumerate(worth.items()):
    ax.bar(i, 100 * np.mean(values), 0.6, color=ORANGE if "flips" in title else BLUE, alpha=0.8)
    ax.plot([i] * len(values), [100 * v for v in values], "o", color=INK, ms=3)
ax.axhline(100 * np.mean(worth["nothing"]), color=GREY, lw=0.8)
everything = [100 * v for values in worth.values() for v in values]
ax.set_xticks(range(len(worth)), [title.replace("Random", "Random\n").replace(" and", "\nand") for title in worth], fontsize=8)
ax.set(ylim=(min(everything) - 3, max(everything) + 1), ylabel="validation accuracy %")
ax.set_title(f"{len(few_digits[0])} digits: what each augmentation is worth")
save(figure, HERE, "augmentation_worth")
by_way = {title: float(np.mean(values)) for title, values in worth.items()}
claim(
    "On few digits, random crops get more of the others right than no augmentation.",
    f"{by_way['RandomCrop']:.1%} and {by_way['nothing']:.1%}",
    by_way["RandomCrop"] > by_way["nothing"],
)
if find_data("mnist"):  # digits of a font are too far apart for mirror images to do harm
    claim(
        "Flips added to the crops get fewer handwritten digits right.",
        f"{by_way['RandomCrop and flips']:.1%}, and {by_way['RandomCrop']:.1%} without",
        by_way["RandomCrop and flips"] < by_way["RandomCrop"],
    )

# %% [markdown]
# **When a flip is wrong.** An augmentation says: *this does not change the class*. For clothes and cats a mirror keeps the
# promise. For digits it does not: nobody writes a mirrored 3, so that part of the network learns what it will never meet, and
# a mirrored 2 is nearly a 5. (In the line printed above, 2, 3 and 5 suffer most.) The extreme are classes that *differ* by a
# mirror: arrows to the left and to the right, traffic signs, the left and the right hand. Then the same picture comes with
# either label, and nothing can be learned.

# %%


def arrows(n, rng):
    """Arrows to the left (class 0) and to the right (class 1): uint8 (n, 28, 28)."""
    pictures, labels = np.empty((n, 28, 28), np.uint8), rng.integers(0, 2, n)
    for picture, label in zip(pictures, labels, strict=True):
        canvas = Image.new("L", (28, 28))
        draw = ImageDraw.Draw(canvas)
        middle, length, tip = rng.uniform(9, 19), rng.uniform(6, 10), rng.uniform(3, 6)
        centre = rng.uniform(11, 17)
        draw.line([(centre - length, middle), (centre + length, middle)], fill=255, width=2)
        draw.line([(centre + length - tip, middle - tip), (centre + length, middle)], fill=255, width=2)
        draw.line([(centre + length - tip, middle + tip), (centre + length, middle)], fill=255, width=2)
        drawn = np.asarray(canvas, np.float64)[:, :: 1 if label else -1] + 20 * rng.standard_normal((28, 28))
        picture[...] = np.clip(drawn, 0, 255)
    return pictures, labels


arrows_train, arrows_val = arrows(200, rng), arrows(500, rng)
without, with_flips = (
    trainer_of(network(seed=4), 12, augment=augment) for augment in (None, Augmentation(horizontal_flip=True))
)
arrow_losses = []
for title, trainer in (("without flips", without), ("with flips", with_flips)):
    trainer.fit(*arrows_train)
    loss, accuracy = trainer.evaluate(*arrows_val)
    arrow_losses.append(loss)
    print(f"arrows, {title + ':':<15} loss {loss:.3f}, {accuracy:.0%} right")
print(f"two classes, and no idea: loss log 2 = {np.log(2):.3f}")
claim(
    "Trained with random flips, a network cannot tell arrows to the left from arrows to the right.",
    f"loss {arrow_losses[1]:.3f}, with log 2 = {np.log(2):.3f}; without flips {arrow_losses[0]:.3f}",
    arrow_losses[1] > 0.55 and arrow_losses[0] < 0.2,
)

# %% [markdown]
# Look at the loss there, and not at the accuracy. Where all probabilities are about one half, the answer hangs on the last
# few steps, and any accuracy may come out.
#
# ## 6. In inference: several views of a picture
#
# A network trained on random crops has learned to answer any of them. So ask it about several, and average the probabilities:
# the noise of augmentation, averaged out. AlexNet's **ten crops** are the four corners, the centre, and the mirror images of
# these five. **Six views** are cheaper: the picture in its place, moved by a pixel up-left and down-right, each mirrored as
# well, the first pair with twice the weight (Jordan 2024, who averages scores, not probabilities).
#
# We train on random 24 x 24 crops of clothes, mirrored half of the time.

# %%
section("6. Several views")
SIDE, EDGE = 24, 2
trainer = trainer_of(
    network(seed=5, side=SIDE), 14, augment=Compose(Augmentation(horizontal_flip=True), RandomCrop(SIDE)), label="crops"
)
trainer.fit(*first(clothes, 2000))
net = trainer.model.eval()


def scores_of(pictures):
    """Of uint8 (N, 24, 24), in batches."""
    return np.concatenate([net.forward(prepare(pictures[i : i + 500])) for i in range(0, len(pictures), 500)])


x_val, y_val = clothes_val
crops = np.stack([ten_crops(picture[..., None], (SIDE, SIDE))[..., 0] for picture in x_val], axis=1)  # (10, N, 24, 24)
centre = x_val[:, EDGE : EDGE + SIDE, EDGE : EDGE + SIDE]
probabilities = np.stack([softmax(scores_of(of_view)) for of_view in crops])
views = {
    "centre": softmax(scores_of(centre)),
    "centre and mirror image": probabilities[[4, 9]].mean(axis=0),
    "six views": softmax(six_view_scores(net.forward, prepare(centre))),
    "ten crops": probabilities.mean(axis=0),
}


def loss_of(p, y):
    return float(-np.log(np.maximum(p[np.arange(len(y)), y], 1e-12)).mean())


def right(p, y):
    return float((p.argmax(axis=1) == y).mean())


for title, p in views.items():
    print(f"{title:<24} {right(p, y_val):.1%} right, loss {loss_of(p, y_val):.3f}")
single = [right(p, y_val) for p in probabilities]
print(f"single crops: {min(single):.1%} to {max(single):.1%} right")
unsure = int(np.argmax(np.where(views["ten crops"].argmax(1) == y_val, probabilities.std(axis=0).max(axis=1), 0)))
figure, axes = picture_grid(2, 6, 1.35)
axes[0, 0].imshow(x_val[unsure])
axes[0, 0].set_title("28 x 28", fontsize=8)
axes[1, 0].text(0.5, 0.5, f"mean\n{views['ten crops'][unsure, y_val[unsure]]:.2f}", ha="center", va="center",
                transform=axes[1, 0].transAxes)  # fmt: skip
for i, ax in enumerate(axes[:, 1:].flat):
    ax.imshow(crops[i, unsure])
    p = probabilities[i, unsure, y_val[unsure]]
    ax.set_title(f"{p:.2f}", fontsize=9, color=GREEN if p > 0.5 else ORANGE)
figure.suptitle("Ten crops of one picture, and the probability of the right class (green: more than half)", y=1.02)
save(figure, HERE, "ten_crops")
losses_of = {title: loss_of(p, y_val) for title, p in views.items()}
claim(
    "Six views have a lower loss than the centre crop alone, and so have ten crops.",
    f"{losses_of['six views']:.3f} and {losses_of['ten crops']:.3f}, the centre alone {losses_of['centre']:.3f}",
    max(losses_of["six views"], losses_of["ten crops"]) < losses_of["centre"],
)

# %% [markdown]
# What several views improve for certain is the loss: the probabilities. How many more pictures they get right varies from one
# trained network to the next. Four of them gained between 0.3 and 2.3 points from ten crops, and one lost a quarter of a point
# with six views.
#
# ## 7. Ensembles: several networks, or one at several times
#
# Networks that start from different weights make different mistakes. Averaging their probabilities keeps what they agree on.
#
# - **Independent networks**: the most that can be had, for as many times the price.
# - **Snapshots** of one run: with a schedule of warm restarts, the rate falls to 0 several times, and each time the network
#   settles in a minimum. Keep the weights of each. The price is that of one run (Loshchilov and Hutter; Huang et al.).
# - **An average of the weights** themselves (Polyak; here exponential): $\bar w \leftarrow d\, \bar w + (1 - d)\, w$ after
#   each step, with $d$ near 1. One network comes out, so that inference costs nothing more. It works because late steps jump
#   around one minimum; weights of two *independent* networks have no meaningful mean.

# %%
section("7. Ensembles")
EPOCHS, CYCLES, MODELS = (4 if QUICK else 12), 4, 4
data = first(clothes, 1500)


class AtTheEndOfCycles(Callback):
    """Keeps the validation probabilities at the end of every cycle."""

    def __init__(self, net, every):
        self.net, self.every, self.snapshots = net, every, []

    def on_epoch_end(self, run):
        if run.epoch % self.every == 0:
            self.snapshots.append(predict(self.net))


def predict(net):
    net.eval()
    return np.concatenate([softmax(net.forward(prepare(x_val[i : i + 500]))) for i in range(0, len(x_val), 500)])


def run_of(seed, schedule, every, callbacks=(), net=None):
    """Probabilities at the end of every so many epochs of one run."""
    net = net or network(seed)
    watcher = AtTheEndOfCycles(net, every)
    trainer = Trainer(
        net,
        SoftmaxCrossEntropy(),
        SGD(net.parameters(), 0.02, momentum=0.9, nesterov=True),
        epochs=EPOCHS,
        batch_size=BATCH,
        schedule=schedule,
        seed=seed,
        prepare=prepare,
        callbacks=[watcher, *callbacks],
        progress=False,
    )
    trainer.fit(*data)
    return watcher.snapshots


independent = [run_of(20 + i, cosine(), EPOCHS)[0] for i in tqdm(range(MODELS), desc="networks", delay=2, leave=False)]
snapshots = run_of(20, warm_restarts(CYCLES, T_mult=1), EPOCHS // CYCLES)
alone = [right(p, y_val) for p in independent]
together = right(np.mean(independent, axis=0), y_val)
geometric = np.exp(np.mean([np.log(np.maximum(p, 1e-30)) for p in independent], axis=0))
print(f"{MODELS} networks, each alone: {', '.join(f'{a:.1%}' for a in alone)}; together {together:.1%}", end=" ")
print(f"(mean of probabilities), {right(geometric, y_val):.1%} (mean of scores)")
each = [right(p, y_val) for p in snapshots]
of_snapshots = right(np.mean(snapshots, axis=0), y_val)
print(f"{CYCLES} snapshots, each alone: {', '.join(f'{a:.1%}' for a in each)}; together {of_snapshots:.1%}")


def disagreement(members):
    """Share of the pictures on which two of them differ, over all pairs."""
    answers = np.argmax(members, axis=2)
    pairs = [(answers[i] != answers[j]).mean() for i in range(len(answers)) for j in range(i)]
    return float(np.mean(pairs))


differ = disagreement(independent), disagreement(snapshots)
print(f"two of the networks differ on {differ[0]:.1%} of the pictures, two snapshots on {differ[1]:.1%}")
claim(
    "Four independent networks together get more right than the best of them.",
    f"{together:.1%}, and {max(alone):.1%}",
    together > max(alone),
)
claim(
    "Snapshots of one run disagree less with each other than networks from different starts.",
    f"on {differ[1]:.1%} and {differ[0]:.1%} of the pictures",
    differ[1] < differ[0],
)

# %% [markdown]
# Snapshots of one run are relatives, so there is less to gain from asking several of them. `docs/training/snapshots.py`
# compares the three on 10,000 pictures, over several seeds.
#
# The average of the weights shows best where the rate never falls: the weights go on jumping, and their average does not.


# %%
class WeightsAndAverage(Callback):
    """Validation losses of the weights as they are, and of their average, after each epoch."""

    def __init__(self, net, decay):
        self.net, self.average, self.live, self.averaged = net, WeightAverage(net, decay), [], []

    def on_step_end(self, run):
        self.average.update()

    def on_epoch_end(self, run):
        self.live.append(loss_of(predict(self.net), y_val))
        with self.average.in_place():
            self.averaged.append(loss_of(predict(self.net), y_val))


net = network(30)
watch = WeightsAndAverage(net, decay=0.98)
run_of(30, constant(), EPOCHS, callbacks=[watch], net=net)
print(f"constant rate, {EPOCHS} epochs: loss {watch.live[-1]:.3f} of the weights, {watch.averaged[-1]:.3f} of their average")
late = slice(len(watch.live) // 2, None)
means = float(np.mean(watch.live[late])), float(np.mean(watch.averaged[late]))

figure, (left, right_ax) = plt.subplots(1, 2, figsize=(9, 3.3), layout="tight")
bars = {"networks": (alone, together), "snapshots": (each, of_snapshots)}
for i, (members, joined) in enumerate(bars.values()):
    left.plot([i] * len(members), [100 * a for a in members], "o", color=BLUE, label="each alone" if i == 0 else None)
    left.plot([i + 0.15], [100 * joined], "D", color=ORANGE, label="together" if i == 0 else None)
left.set_xticks(range(2), [f"{MODELS} independent networks", f"{CYCLES} snapshots of one run"])
left.set(xlim=(-0.5, 1.6), ylabel="validation accuracy %", title="Several together")
left.legend(loc="best", fontsize=8)
right_ax.plot(range(1, EPOCHS + 1), watch.live, "o-", ms=3, label="the weights")
right_ax.plot(range(1, EPOCHS + 1), watch.averaged, "o-", ms=3, label="their average")
right_ax.set(xlabel="epoch", ylabel="validation loss", title="A constant learning rate")
right_ax.legend(fontsize=8)
save(figure, HERE, "ensembles")
claim(
    "At a constant learning rate, the average of the weights has a lower loss than the weights themselves.",
    f"{means[1]:.3f} and {means[0]:.3f} over the second half of the run",
    means[1] < means[0],
)

# %% [markdown]
# ## What to do, in which order
#
# 1. Make sure that the network *can* overfit (lesson 2): without a gap there is nothing to regularise.
# 2. More pictures, if they can be had. Then augmentation that keeps its promise, and weight decay: both nearly always.
# 3. Batch normalisation is a regulariser already. Where there are wide fully connected layers, dropout in front of them.
# 4. Stop at the best epoch, or let the rate fall to 0. An average of the weights costs nothing in inference.
# 5. In the end, views and ensembles: a little more for several times the price.
#
# Search for the strengths on a log scale, with validation pictures. The test pictures decide nothing.
#
# ## What this lesson claims
#
# - Trained on 200 pictures, the network gets nearly all of them right, and many fewer of those that it has not seen.
# - The gap shrinks as the training set grows.
# - On few pictures the validation loss falls and rises again, while the training loss goes on falling.
# - L1 leaves most weights of a linear classifier practically 0, and L2 far fewer of them.
# - With SGD, weight decay and an L2 penalty are one and the same; with Adam they are not.
# - Fine-tuned on fifty pictures, a classifier drawn to its pretrained weights gets more right than one drawn to 0.
# - Times the probability of keeping, scores are what they are in training on average; times that of dropping, not at all.
# - A single thinned network gets fewer right than the scaled one, and hundreds of them together as many.
# - Dropout, DropConnect and stochastic depth add noise whose mean over many passes is what they compute in inference.
# - Most of the variance of colours in our pictures lies along one direction, from dark to bright.
# - On few digits, random crops get more of the others right than no augmentation.
# - Flips added to the crops get fewer handwritten digits right.
# - Trained with random flips, a network cannot tell arrows to the left from arrows to the right.
# - Six views have a lower loss than the centre crop alone, and so have ten crops.
# - Four independent networks together get more right than the best of them.
# - Snapshots of one run disagree less with each other than networks from different starts.
# - At a constant learning rate, the average of the weights has a lower loss than the weights themselves.

# %%
print_claims()

# %% [markdown]
# ## Questions
#
# **1.** A layer has vanilla dropout with $p = 0.25$ (of dropping). Somebody multiplies by 0.25 in inference, as the source
# says. By what factor are the scores of the last layer wrong, if it is linear, without a bias, and right above the dropout?
# Does the accuracy suffer? Does the loss?
#
# <details><summary>Answer</summary>
#
# They should be multiplied by 0.75, and are by 0.25: a third of what they should be. All scores of a picture shrink alike, so
# their order stays, and with it the answer and the accuracy. The probabilities come nearer to each other: where the network
# was right and sure, the loss grows. (With a bias, or with further nonlinear layers above, the answers change as well.) That
# a mistake leaves the accuracy as it was is why nobody notices it.
#
# </details>
#
# **2.** With L1, and with a step of plain gradient descent of rate $\eta$, why do weights end up near 0 but hardly ever at
# exactly 0? And what does the step in `minimum()` of section 2 do differently?
#
# <details><summary>Answer</summary>
#
# The penalty moves a weight by $\eta\lambda$ towards 0, whatever its size. One that is nearer than that jumps to the other
# side, and back in the next step. The step in `minimum()` moves it towards 0 by at most its own size: one that would cross 0
# stays there (soft thresholding). With a rate that falls to 0, as in our classifier, the jumps become so small that it makes no
# difference.
#
# </details>
#
# **3.** You classify traffic signs, among them "turn left" and "turn right". You want to mirror pictures all the same,
# because most signs are symmetric. How can that be done without a contradiction?
#
# <details><summary>Answer</summary>
#
# Change the label together with the picture: a mirrored "turn left" is a good training picture of "turn right". Signs that are
# symmetric keep their label; signs with text or another shape without a mirror twin ("stop") are not mirrored at all. An
# augmentation is a claim about classes, and it may well be made class by class.
#
# </details>
#
# ## Further reading
#
# - Srivastava et al. 2014, "Dropout: A Simple Way to Prevent Neural Networks from Overfitting", sections 4 (the model), 5.1
#   (max norm) and 7.5 (Monte Carlo averaging against the scaled network).
# - Loshchilov, Hutter 2019, "Decoupled Weight Decay Regularization", section 2: why L2 and decay differ for Adam.
# - Li, Grandvalet, Davoine 2018, "Explicit Inductive Bias for Transfer Learning with Convolutional Networks", section 3: L2-SP.
# - Zou, Hastie 2005, "Regularization and Variable Selection via the Elastic Net", section 2.
# - Wan et al. 2013, "Regularization of Neural Networks using DropConnect", section 3; Huang et al. 2016, "Deep Networks with
#   Stochastic Depth", section 3; Graham 2014, "Fractional Max-Pooling", section 2.
# - Krizhevsky, Sutskever, Hinton 2012, "ImageNet Classification with Deep Convolutional Neural Networks", section 4: crops,
#   colours and dropout in one place. Zhang et al. 2018, "mixup: Beyond Empirical Risk Minimization", section 2. DeVries,
#   Taylor 2017, "Improved Regularization of Convolutional Neural Networks with Cutout", section 3.
# - Huang et al. 2017, "Snapshot Ensembles: Train 1, Get M for Free", section 3. Polyak, Juditsky 1992, "Acceleration of
#   Stochastic Approximation by Averaging".
# - Zhang et al. 2017, "Understanding Deep Learning Requires Rethinking Generalization", section 2: networks learn random
#   labels by heart.
#
# ## Next
#
# The exercise: fill in `exercise.py`, and run `minicnn check 8` as often as you like; it says what is wrong, and `minicnn
# check 8 --task 3 --hint` gives a hint. When all is right, your functions train a network side by side with the engine's.
# Then lesson 9: architectures, from LeNet to the networks of today.
