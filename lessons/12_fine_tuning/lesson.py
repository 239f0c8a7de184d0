# %% [markdown]
# # Lesson 12. Fine-tuning and freezing; learning rates
#
# **Before**: backpropagation (lesson 2), batch normalisation (lesson 5), optimisers and schedules (lesson 7), penalties (lesson
# 8), CNN codes and linear classifiers on them (lesson 11).
#
# **After**: you can put a new head on a pretrained network, freeze what must stay and prove that it stayed, choose how much of
# the network to train and how fast each layer learns, train in two phases and say why, begin from a linear classifier, and
# know what pretraining buys and what it does not.
#
# Lesson 11 took the network as it was, and trained a classifier on its codes. **Fine-tuning** goes on from there: the network
# is trained on the new pictures as well, or a part of it. Everything between the two is possible. The fixed feature extractor
# is fine-tuning with all layers but the head frozen; training from scratch is fine-tuning without a good start. Two questions
# decide where to stand between them: which layers may move, and how fast. This lesson measures both.
#
# Run it (`python lessons/12_fine_tuning/lesson.py`, with `--quick` for a first look), or open it as a notebook. All numbers
# are measured as it runs, and the figures go to `out/` beside it. Then do the exercise: `minicnn check 12`.

# %%
import itertools
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from tqdm import tqdm

import minicnn
from minicnn.course.workbench import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    QUICK,
    claim,
    drawn_digits,
    find_data,
    print_claims,
    save,
    save_page,
    section,
)
from minicnn.data import (
    CIFAR10_CLASSES,
    Augmentation,
    load_cifar10,
    open_pictures,
    solar_cells,
    stratified_split,
)
from minicnn.errors import DataError, TrainingError, WeightsError
from minicnn.explorer import explore
from minicnn.inference import fuse, infer
from minicnn.initializers import normal
from minicnn.layers import BatchNorm2d, GlobalAvgPool2d, Linear
from minicnn.linear_model import SoftmaxRegression
from minicnn.losses import SoftmaxCrossEntropy
from minicnn.models import Model
from minicnn.models.blocks import conv_norm
from minicnn.optim import SGD, AdamW
from minicnn.regularizers import L2SP
from minicnn.schedules import constant, one_cycle
from minicnn.training import Trainer
from minicnn.training.callbacks import Callback
from minicnn.transfer import discriminative_rates, set_head, set_learning_rates

HERE = Path(globals().get("__file__", "lesson.py")).resolve().parent
rng = np.random.default_rng(12)
K = 5  # classes that the network knows, and as many new ones
SEEDS = range(1) if QUICK else range(3)

# %% [markdown]
# ## 1. A pretrained network, and a new task
#
# We need a network small enough to be fine-tuned dozens of times while you wait. So we pretrain one ourselves: four units of
# convolution, batch norm and ReLU, and a classifier, on five classes of CIFAR-10. The new task is five *other* classes, of
# which we pretend to have few pictures.

# %%
section("1. A pretrained network, and a new task")
archive = find_data("cifar-10-binary.tar.gz") or find_data("cifar10-jpeg.zip")
if archive:
    x, y, x_test, y_test = load_cifar10(archive)
    x, x_test = (pictures.transpose(0, 2, 3, 1) for pictures in (x, x_test))
    old, new = (0, 1, 2, 4, 6), (3, 5, 7, 8, 9)
    names, augment, what = CIFAR10_CLASSES, Augmentation(horizontal_flip=True, shift=0.1), "CIFAR-10"
else:
    (x, y), (x_test, y_test) = (drawn_digits(count // 4 if QUICK else count, rng) for count in (16000, 4000))
    x, x_test = (np.clip(p + rng.normal(0, 80, p.shape), 0, 255).astype(np.uint8)[..., None] for p in (x, x_test))
    old, new = (0, 1, 2, 3, 4), (5, 6, 7, 8, 9)
    names, augment, what = tuple("0123456789"), Augmentation(shift=0.1), "digits of a font, with noise"
    print("there is no CIFAR-10 in the folder that MINICNN_DATA names: drawn digits with noise take its place")
print(f"{what}: the network learns {', '.join(names[k] for k in old)}; the new task is {', '.join(names[k] for k in new)}")


def of_classes(pictures, labels, classes, most):
    """The first ``most`` pictures of each of these classes in random order, and their numbers 0 to K - 1."""
    rows = np.concatenate([np.flatnonzero(labels == k)[:most] for k in classes])
    numbers = np.repeat(np.arange(K), [min(most, int((labels == k).sum())) for k in classes])
    order = np.random.default_rng(1).permutation(len(rows))
    return pictures[rows[order]], numbers[order]


PRETRAINING, TESTED = (400, 60) if QUICK else (1500, 300)  # pictures of each class
old_train, old_test = of_classes(x, y, old, PRETRAINING), of_classes(x_test, y_test, old, TESTED)
pool, new_test = of_classes(x, y, new, 1000), of_classes(x_test, y_test, new, TESTED)
mean, std = old_train[0].mean((0, 1, 2)), old_train[0].std((0, 1, 2))


def prepare(pictures):
    """float32 (N, C, H, W), zero mean and unit variance: by the statistics of the *old* pictures, as the network wants it."""
    return np.ascontiguousarray(((pictures - mean) / std).astype(np.float32).transpose(0, 3, 1, 2))


def small_net(seed):
    """Four units of convolution, batch norm and ReLU, and a linear classifier for K classes."""
    rng = np.random.default_rng(seed)
    C, side = x.shape[-1], x.shape[1]
    layers = {
        "conv1": conv_norm(C, 8, 5, stride=2, rng=rng),
        "conv2": conv_norm(8, 16, 3, stride=2, rng=rng),
        "conv3": conv_norm(16, 32, 3, rng=rng),
        "conv4": conv_norm(32, 64, 3, stride=2, rng=rng),
        "pool": GlobalAvgPool2d(),
        "scores": Linear(64, K, initializer=normal(0.01), rng=rng),
    }
    return Model(layers, architecture="small_net", input_shape=(C, side, side))


BODY = ("conv1", "conv2", "conv3", "conv4")


def train(network, data, epochs, *, optimizer=None, rate=3e-3, batch=25, seed=0, schedule=None, label="training", **options):
    """In place, with AdamW in one cycle unless it is said otherwise; the last epoch's weights stay."""
    trainer = Trainer(
        network,
        SoftmaxCrossEntropy(),
        optimizer or AdamW(network.parameters(), rate, weight_decay=0.01),
        epochs=epochs,
        batch_size=batch,
        schedule=schedule or one_cycle(),
        seed=seed,
        prepare=prepare,
        label=label,
        **({"augment": augment, "progress": False} | options),
    )
    trainer.fit(*data)


def accuracy(network, data):
    scores = infer(fuse(network), len(data[0]), lambda rows: prepare(data[0][rows]))
    return float((scores.argmax(axis=1) == data[1]).mean())


def features(network, pictures):
    """The codes (N, 64): what the layers below the head say."""
    return infer(fuse(network.split("pool")[0]), len(pictures), lambda rows: prepare(pictures[rows]))


started = time.perf_counter()
pretrained = small_net(seed=0)
train(pretrained, old_train, 2 if QUICK else 5, batch=50, label="pretraining", progress=True)
print(f"pretrained on {len(old_train[0]):,} pictures in {time.perf_counter() - started:.0f} s:", end=" ")
print(f"{accuracy(pretrained, old_test):.1%} of {len(old_test[0]):,} others right")


def with_new_head(seed=0):
    """A copy of the pretrained network with a random head."""
    network = pretrained.copy()
    network.replace_head([names[k] for k in new], rng=seed)
    return network


def draw(per_class, seed):
    """So many new pictures of each class to train on, others for each seed."""
    order = np.random.default_rng(seed).permutation(len(pool[0]))
    rows = np.concatenate([order[pool[1][order] == k][:per_class] for k in range(K)])
    return pool[0][rows], pool[1][rows]


# %% [markdown]
# The network's last layer knows the old classes. `replace_head` puts a new one in its place, of as many inputs and with K
# outputs: random weights with a standard deviation of 0.01, biases of 0. Before any training all scores are nearly 0, all
# classes equally probable, and the loss is $\log K$: the head has no opinion yet. Everything below it is as it was.

# %%
network = with_new_head()
scores = network.eval().forward(prepare(new_test[0]))
first_loss = SoftmaxCrossEntropy().forward(scores, new_test[1])
print(f"with a new head: loss {first_loss:.3f}, log {K} = {np.log(K):.3f}")
claim(
    "A new head with small weights starts at a loss of log K: it has no opinion yet.",
    f"{first_loss:.3f}, and log {K} = {np.log(K):.3f}",
    abs(first_loss - np.log(K)) < 0.05,
)

# %% [markdown]
# ## 2. Freezing
#
# What may not move is **frozen**. Every parameter has a flag `trainable`; the optimiser skips those that have it set to False,
# and no gradient is computed for them. The layers below the lowest trainable one have no backward pass at all, which can save
# most of the work of a step.
#
# > **A correction.** One source of the lecture writes "Frozen (trainable = True)" and "Unfrozen (trainable = False)". It is the
# > reverse: **frozen is `trainable = False`**, in this library as in the others.
#
# Freezing is worth nothing unless one can see it and trust it. To be seen: the column on the right of `summary()`. To be
# trusted: train for some steps in train mode, and compare every array with what it was, bit by bit.

# %%
section("2. Freezing")
network = with_new_head().freeze(until="conv2")
print(network.summary())


def arrays_of(network):
    """Copies of all weights and statistics, by name."""
    arrays = {name: parameter.value for name, parameter in network.parameters().items()} | network.state()
    return {name: array.copy() for name, array in arrays.items()}


def some_steps(network, parameters, steps=6):
    """Which arrays a few steps of SGD change, and the processor seconds of the quickest step."""
    (pictures, labels), before = draw(10, seed=0), arrays_of(network)
    x, loss, optimizer, seconds = prepare(pictures), SoftmaxCrossEntropy(), SGD(parameters, 0.01), []
    for _ in range(steps):
        network.train().needs_dx = False  # nobody wants the gradient of the pictures
        started = time.process_time()
        loss.forward(network.forward(x), labels)
        network.backward(loss.backward())
        optimizer.step()
        seconds.append(time.process_time() - started)
    after = arrays_of(network)
    return {name for name in before if not np.array_equal(before[name], after[name])}, min(seconds)


def is_lower(name):
    return name.split(".")[0] in ("conv1", "conv2")


changed, _ = some_steps(network, network.parameters())
lower = {name for name in arrays_of(network) if is_lower(name)}
upper = set(arrays_of(network)) - lower
counts = f"{len(lower & changed)} of {len(lower)} arrays", f"{len(upper & changed)} of {len(upper)}"
print(f"frozen up to conv2: {counts[0]} there changed, {counts[1]} above it")
claim(
    "Frozen layers are the same after training, weights and statistics, bit by bit.",
    f"{counts[0]} differ, and {counts[1]} above",
    not lower & changed and bool(upper & changed),
)

half_frozen = {}
network = with_new_head()
half_frozen["left out of the optimiser"], _ = some_steps(
    network, {name: parameter for name, parameter in network.parameters().items() if not is_lower(name)}
)
network = with_new_head()
for name, parameter in network.parameters().items():
    parameter.learning_rate_multiplier = 0.0 if is_lower(name) else 1.0
half_frozen["a learning rate of 0"], _ = some_steps(network, network.parameters())
for title, changed in half_frozen.items():
    print(f"{title}: {len(lower & changed)} of {len(lower)} arrays changed, {', '.join(sorted(lower & changed))}")
claim(
    "Left out of the optimiser, or with a learning rate of 0, batch norms change all the same.",
    " and ".join(f"{len(lower & changed)} of {len(lower)} arrays" for changed in half_frozen.values()),
    all(lower & changed and all("running" in name for name in lower & changed) for changed in half_frozen.values()),
)

seconds = {}
for until in (None, "conv2", "pool"):
    network = with_new_head()
    if until:
        network.freeze(until=until)
    seconds[until] = some_steps(network, network.parameters(), steps=20)[1]
    print(f"a step, frozen up to {until or 'nothing'}: {1000 * seconds[until]:.1f} ms of processor time")
claim(
    "A step costs less computing time the more of the network is frozen, from below.",
    ", ".join(f"{1000 * s:.1f} ms" for s in seconds.values()),
    min(seconds[None], seconds["conv2"]) > seconds["pool"],
)

# %% [markdown]
# ## 3. Batch norm: four arrays, not two
#
# What gave the two half measures away was batch norm. It has four arrays: $\gamma$ and $\beta$, which the optimiser moves, and
# the running mean and variance, which *no* optimiser moves. In train mode the layer normalises with the batch's own statistics
# and takes them into its averages; that happens in the forward pass. Leaving weights out of the optimiser does not stop it.
#
# | | normalises with | running statistics | $\gamma, \beta$ |
# | --- | --- | --- | --- |
# | train mode | the batch's statistics | move | learn |
# | eval mode | running statistics | stay | (no training) |
# | **frozen**, in either mode | running statistics | stay | stay |
#
# So a frozen batch norm is a multiplication and an addition for each channel, with constants. The layers above it get what they
# were trained on, and a batch may be as small as one picture. The backward pass is simpler too: with the statistics constant,
# $dx = dy\,\gamma / \sqrt{v + \epsilon}$, without the two terms through mean and variance (lesson 5).
#
# How much harm do moving statistics do? We send batches of *new* pictures through the pretrained network in train mode, without
# a single step of any optimiser, and then ask it about its *old* task. Once the pictures come in random order; once sorted by
# class, as they lie in folders; and once in random order, but darker than those of pretraining.

# %%
section("3. Batch norm")


def freeze_norms(network):
    """All batch norms, wherever they are; everything else as it is."""
    norms = [path for path, layer in network.walk() if isinstance(layer, BatchNorm2d)]
    return network.freeze(names=norms)


def darker(pictures):
    return (0.3 * pictures).astype(np.uint8)


old_accuracy = accuracy(pretrained, old_test)
few, few_labels = pool[0][:1000], pool[1][:1000]
streams = {"in random order": few, "sorted by class": few[np.argsort(few_labels, kind="stable")], "darker": darker(few)}
left_of_old = {}
for title, pictures in streams.items():
    for statistics, network in (("moving", pretrained.copy()), ("frozen", freeze_norms(pretrained.copy()))):
        network.train()
        for start in range(0, len(pictures), 25):
            network.forward(prepare(pictures[start : start + 25]))
        left_of_old[title, statistics] = accuracy(network, old_test)
    found = ", ".join(f"{statistics} {left_of_old[title, statistics]:.1%}" for statistics in ("moving", "frozen"))
    print(f"new pictures {title}: the old task with statistics {found} ({old_accuracy:.1%} before)")
claim(
    "Moving statistics alone, without a single step, can cost much of the old task; frozen ones cost nothing.",
    f"{old_accuracy:.1%} before, {left_of_old['darker', 'moving']:.1%} after darker pictures with moving statistics, and "
    f"{left_of_old['darker', 'frozen']:.1%} with frozen ones",
    left_of_old["darker", "moving"] < old_accuracy - 0.05
    and all(left_of_old[title, "frozen"] == old_accuracy for title in streams),
)

# %% [markdown]
# For the *new* task moving statistics need not be a loss: they adapt to it. Two cases, each fine-tuned both ways: batches of
# five pictures, whose statistics are poor; and darker pictures, for which the frozen statistics are wrong.

# %%


def set_rates(network, rate, body_rate):
    """The head at ``rate``, which is the optimiser's, all else at ``body_rate``."""
    set_learning_rates(network, dict.fromkeys(BODY, body_rate / rate) | {"scores": 1.0})
    return network


by_norms = {}
for title, per_class, batch, change in (
    ("batches of 5", 20, 5, lambda pictures: pictures),
    ("darker pictures, batches of 25", 40, 25, darker),
):
    for norms in ("moving", "frozen"):
        found = []
        for seed in SEEDS:
            network = set_rates(with_new_head(seed), 3e-3, 1e-3)
            if norms == "frozen":
                freeze_norms(network)
            pictures, labels = draw(per_class // 4 if QUICK else per_class, seed)
            train(network, (change(pictures), labels), 8, batch=batch, seed=seed)
            found.append(accuracy(network, (change(new_test[0]), new_test[1])))
        by_norms[title, norms] = float(np.mean(found))
        print(f"{title}, statistics {norms}: {np.mean(found):.1%} ({', '.join(f'{a:.1%}' for a in found)})")
dark = [by_norms["darker pictures, batches of 25", norms] for norms in ("moving", "frozen")]
claim(
    "On pictures much darker than those of pretraining, moving statistics get more of the new task right than frozen ones.",
    f"{dark[0]:.1%} and {dark[1]:.1%}",
    dark[0] > dark[1] + 0.01,
)

# %% [markdown]
# So there are two rules. Where the new pictures are like the old ones, freeze the batch norms: there is nothing to adapt to (a
# point or two between the ways is chance, as the seeds show), a batch may be small, and the network goes on giving the codes
# that its head was fitted to. Where they are not, frozen statistics are wrong from the first layer on: let them move, in large
# and well mixed batches. Or better, bring the pictures to the brightness and contrast of the old ones before the network sees
# them. From here on our pictures are like the old ones, and the batch norms frozen.
#
# ## 4. How much to train
#
# Frozen up to the head, the network is a fixed feature extractor. Frozen up to a layer in the middle, the upper, more specific
# features are trained and the lower, general ones kept. With nothing frozen everything is fine-tuned. What is best depends on
# how many pictures there are: every trainable weight is a chance to learn, and a chance to learn by heart. We compare, with 10
# new pictures of each class and with 200, and put beside it the same network from a random start. (Bars are means, dots the
# seeds; the bars begin at chance, 20 %.)

# %%
section("4. How much to train")
AMOUNTS = {10: (30, 25), 200: (2 if QUICK else 10, 50)}  # pictures of each class -> epochs, batch size
WAYS = {"the head": "pool", "conv3, conv4, head": "conv2", "everything": None, "everything,\nrandom start": "random"}


def tuned(per_class, seed, way, rate=3e-3, body_rate=1e-3):
    """A network trained on so many new pictures of each class: from the pretrained one, or from a random start."""
    epochs, batch = AMOUNTS[per_class]
    if way == "random":
        network = small_net(seed=100 + seed)
    else:
        network = freeze_norms(set_rates(with_new_head(seed), rate, body_rate))
        if way:
            network.freeze(until=way)
    train(network, draw(per_class, seed), epochs, batch=batch, seed=seed, rate=rate)
    return network


found = {}
bar = tqdm(total=len(AMOUNTS) * len(WAYS) * len(SEEDS), desc="how much to train", unit="run", delay=2, leave=False)
for per_class in AMOUNTS:
    for title, way in WAYS.items():
        for seed in SEEDS:
            found.setdefault((per_class, title), []).append(accuracy(tuned(per_class, seed, way), new_test))
            bar.update()
        values = found[per_class, title]
        each = ", ".join(f"{v:.1%}" for v in values)
        tqdm.write(f"{per_class:>4} of each class, trained {' '.join(title.split()):<26} {np.mean(values):.1%} ({each})")
bar.close()
of = {key: float(np.mean(values)) for key, values in found.items()}
figure, axes = plt.subplots(1, 2, figsize=(9, 3.3), sharey=True, layout="tight")
for ax, per_class in zip(axes, AMOUNTS, strict=True):
    for i, (title, color) in enumerate(zip(WAYS, (BLUE, BLUE, BLUE, GREY), strict=True)):
        ax.bar(i, 100 * of[per_class, title], 0.6, color=color, alpha=0.8)
        ax.plot([i] * len(SEEDS), [100 * v for v in found[per_class, title]], "o", color=INK, ms=3)
    ax.set_xticks(range(len(WAYS)), [title.replace(", ", ",\n", 1) for title in WAYS], fontsize=8)
    ax.set(title=f"{per_class} new pictures of each class")
    ax.set_xlabel("what is trained")
axes[0].set(ylabel="test accuracy %", ylim=(100 / K, None))
save(figure, HERE, "how_much_to_train")
gains = {n: of[n, "everything"] - of[n, "the head"] for n in AMOUNTS}
leads = {n: of[n, "everything"] - of[n, "everything,\nrandom start"] for n in AMOUNTS}
claim(
    "What fine-tuning everything gains over a frozen body grows with the number of pictures.",
    ", ".join(f"{100 * gain:+.1f} points with {n} of each class" for n, gain in gains.items()),
    gains[200] > gains[10] + 0.02,
)
claim(
    "The lead of the pretrained start over a random one is large with few pictures and shrinks with more.",
    ", ".join(f"{100 * lead:+.1f} points with {n} of each class" for n, lead in leads.items()),
    leads[10] > 0.05 and leads[200] < leads[10] - 0.03,
)

# %% [markdown]
# **From scratch or pretrained?**
#
# > **A correction.** The slide that compares training from scratch with pretraining can be read as "pretraining is more
# > accurate". The paper behind it (He, Girshick, Dollár 2018, "Rethinking ImageNet Pre-training") says something else:
# > pretraining *speeds up convergence*, but training for long enough from a random start reaches the same accuracy, **where
# > data are plentiful**. With too few data it does not.
#
# The figure shows both sides of it, at a fixed number of epochs. The curves over time, up to the point where nothing improves
# any more, and the seconds to a given accuracy are the laboratory's: `lessons/laboratory/scratch.py`,
# `docs/laboratory/scratch.md`.
#
# ## 5. Learning rates
#
# The pretrained weights are good where they are, and the head is random. One learning rate is seldom right for both:
#
# - **too large** for the pretrained layers, and the first steps carry them away from what pretraining found. A few pictures
#   cannot lead back;
# - **too small**, and they stay where they are: the network is a fixed feature extractor that costs as much as fine-tuning;
# - small **for all**, and the head, which has everything to learn, does not learn it.
#
# So the pretrained layers get a lower rate than the head. In minicnn the optimiser's rate is multiplied, parameter by
# parameter, by `learning_rate_multiplier`: `set_learning_rates(network, {"conv1": 0.1, ...})`. We keep the head's rate and try
# all magnitudes for the layers below. For each we look at the new task; and at the *old* one, with the old head put back on,
# to see what has become of what the network knew. (The laboratory's `learning_rates.py` does the same with one rate for all
# layers, five seeds, and a new classifier for the old classes.)

# %%
section("5. Learning rates")
RATE = 3e-3  # of the head
RATES = (1e-5, 1e-3, 1.0) if QUICK else (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # of the layers below
by_rate, old_by_rate, moved_by_rate = {}, {}, {}


def conv_weights(network):
    return {name: network.layers[name].layers["conv"].w.value for name in BODY}


def moved(network):
    """How far the weights of each convolution are from where they were, as a share of their length."""
    origin = conv_weights(pretrained)
    return {
        name: float(np.linalg.norm(w - origin[name]) / np.linalg.norm(origin[name]))
        for name, w in conv_weights(network).items()
    }


def with_old_head(network):
    network = network.copy()
    network.layers["scores"] = pretrained.copy().layers["scores"]
    return network


for body_rate in tqdm(RATES, desc="learning rates", delay=2, leave=False):
    try:
        network = tuned(200, 0, None, RATE, body_rate)
    except TrainingError as error:
        tqdm.write(str(error))
        continue
    by_rate[body_rate] = accuracy(network, new_test)
    old_by_rate[body_rate] = accuracy(with_old_head(network), old_test)
    moved_by_rate[body_rate] = float(np.mean(list(moved(network).values())))
    tqdm.write(
        f"pretrained layers at {body_rate:<6g}: moved by {moved_by_rate[body_rate]:7.2%} of their length; "
        f"new task {by_rate[body_rate]:.1%}, old task with its old head {old_by_rate[body_rate]:.1%}"
    )
rates = list(by_rate)
new_right, old_right, shares = ([values[r] for r in rates] for values in (by_rate, old_by_rate, moved_by_rate))
one_small = [accuracy(tuned(10, seed, None, 1e-4, 1e-4), new_test) for seed in SEEDS]
two_rates = [accuracy(tuned(10, seed, None, RATE, 1e-4), new_test) for seed in SEEDS]
print(f"10 of each class, everything at 0.0001: {np.mean(one_small):.1%}; the head at {RATE:g}: {np.mean(two_rates):.1%}")
frozen_new = found[200, "the head"][0]  # of the same pictures

figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.5), layout="tight")
left.semilogx(rates, [100 * a for a in new_right], "o-", color=BLUE, label="new task")
left.semilogx(rates, [100 * a for a in old_right], "s-", color=ORANGE, label="old task, with its old head")
left.axhline(100 * frozen_new, color=BLUE, ls=":", lw=1, label="new task, all frozen")
left.axhline(100 * old_accuracy, color=ORANGE, ls=":", lw=1, label="old task, before")
for r, m in zip(rates, shares, strict=True):
    share = f"{100 * m:.0f} %" if m > 0.1 else f"{100 * m:.2g} %"
    left.text(r, 1.01, share, transform=left.get_xaxis_transform(), ha="center", fontsize=7, color=GREY)
left.set(xlabel=f"learning rate of the pretrained layers (head: {RATE:g})", ylabel="test accuracy %", ylim=(10, None))
left.set_title("How far the weights moved, in % of their length:", fontsize=8, color=GREY, pad=14)
left.legend(loc="lower left", fontsize=7)

# %% [markdown]
# **Layer by layer.** The lower a layer, the more general it is, and the less it has to change. *Discriminative* rates (Howard
# and Ruder 2018) take that literally: each layer learns at a fixed fraction of the rate of the one above it,
#
# $$\eta_l = \eta\, d^{\,L - l}, \qquad l = L \text{ the head}, \quad d < 1 .$$
#
# `discriminative_rates(network, decay)` sets the multipliers, and `summary()` shows them. Where did the weights move?

# %%
schemes = {"one rate for all": lambda network: network, "head 10 times faster": lambda network: set_rates(network, 1.0, 0.1)}
schemes["rates by depth, d = 1/2"] = lambda network: (discriminative_rates(network, 0.5), network)[1]
where, reached = {}, {}
for title, set_scheme in schemes.items():
    network = freeze_norms(set_scheme(with_new_head()))
    if "depth" in title:
        print(network.summary())
    train(network, draw(200, 0), AMOUNTS[200][0], batch=50, rate=RATE)
    where[title], reached[title] = moved(network), accuracy(network, new_test)
    by_layer = ", ".join(f"{name} {share:.1%}" for name, share in where[title].items())
    print(f"{title:<24} moved: {by_layer}; new task {reached[title]:.1%}")
for i, (title, color) in enumerate(zip(where, (GREY, ORANGE, BLUE), strict=True)):
    right.bar(np.arange(4) + 0.27 * (i - 1), [100 * v for v in where[title].values()], 0.25, color=color, label=title)
right.set_xticks(range(4), BODY)
right.set(ylabel="moved, % of their length", title="Where the weights moved")
right.legend(fontsize=8, loc="upper left")
save(figure, HERE, "learning_rates")
claim(
    "At too large a rate the pretrained layers lose what made them worth having: fewer right than with all of them frozen.",
    f"{new_right[-1]:.1%} at {rates[-1]:g}, {frozen_new:.1%} frozen; of the old task {old_right[-1]:.1%} are left",
    new_right[-1] < frozen_new - 0.03 and old_right[-1] < old_accuracy - 0.1,
)
claim(
    "At too small a rate they hardly move, and the network is no better than with all of them frozen.",
    f"moved by {shares[0]:.2%}, {new_right[0]:.1%} right at {rates[0]:g}, {frozen_new:.1%} frozen",
    shares[0] < 0.01 and abs(new_right[0] - frozen_new) < 0.02,
)
claim(
    "One small rate for all layers starves the head: with a rate of its own for the head many more are right.",
    f"{np.mean(one_small):.1%}, and {np.mean(two_rates):.1%}",
    np.mean(two_rates) > np.mean(one_small) + 0.03,
)
lag = {title: by_layer["conv1"] / by_layer["conv4"] for title, by_layer in where.items()}
claim(
    "With rates that fall by depth, the lowest convolution stays further behind the highest than with one rate for all.",
    f"conv1 moves {lag['rates by depth, d = 1/2']:.0%} as far as conv4, and {lag['one rate for all']:.0%} with one rate",
    lag["rates by depth, d = 1/2"] < 0.6 * lag["one rate for all"],
)

# %% [markdown]
# The new task hardly tells the three schemes apart: this is one run of each, a point or two is chance, and 0.003 for all layers
# is not yet too large. What lower rates surely keep is the old task, in the figure on the left. Whether they also help with
# the new one depends on the network, the rate and the data: compare on validation pictures.
#
# ## 6. Two phases
#
# While the head is random, the gradient that it hands down is $dx = ds\,w$, with $ds$ the gradient of the scores: errors,
# mixed by random weights. The features are pushed this way and that before the head has learned what they are good for. Hence
# **two phases**:
#
# 1. the head alone, everything else frozen (batch norms included), until it is good;
# 2. then more layers, or all, with lower rates; batch norms still frozen.
#
# For the first phase one need not train a network at all. The head is a linear classifier on the codes, and lesson 11 finds
# the best one without any learning rate. If it was trained on standardised codes $z = (x - \mu) / \sigma$, fold that into the
# weights, $w_2 = w / \sigma$, $b_2 = b - w_2 \mu$, and the network gives its scores from the first step. Kumar and others
# (2022) call this LP-FT: linear probing, then fine-tuning.
#
# **Why it matters, in the smallest case.** Two linear layers, $f(x) = v^T B x$. B is pretrained: its k features are nearly the
# right ones. The training inputs lie in a subspace, as few pictures always do; test inputs are from there, or from anywhere.
# With half the mean squared error as the loss, the gradient of B is
#
# $$dB = v\, g^T, \qquad g = \frac1N \sum_n (f(x_n) - y_n)\, x_n .$$
#
# $g$ is a sum of training inputs, and so B changes only along directions that training inputs have; along all others it stays
# **exactly** as it was. With a random $v$ the changes are large, the new features fit the training inputs, and v with them.
# For inputs that have both kinds of directions, one part of the features is new and one is old, and the two no longer belong
# together: the features are *distorted*. With a $v$ that is right from the start, $g$ is small, and little is distorted.

# %%
section("6. Two phases")


def two_linear_layers(start, seed, d=40, k=5, span=20, N=100, steps=2000, rate=0.02):
    """Mean squared errors inside and outside of what the training inputs span, how far B moved, and along other directions."""
    rng = np.random.default_rng(seed)
    right_B = np.linalg.qr(rng.standard_normal((d, k)))[0].T
    right_v = rng.standard_normal(k)
    right_v /= np.linalg.norm(right_v)
    first_B = np.linalg.qr((right_B + 0.2 * rng.standard_normal((k, d)) / np.sqrt(d)).T)[0].T  # pretrained: nearly right
    S = np.linalg.qr(rng.standard_normal((d, span)))[0]
    x = rng.standard_normal((N, span)) @ S.T
    y = x @ right_B.T @ right_v
    probe = np.linalg.lstsq(x @ first_B.T, y, rcond=None)[0]
    v = {"random": rng.standard_normal(k) / np.sqrt(k), "zero": np.zeros(k)}.get(start, probe)
    B = first_B.copy()
    for _ in range(0 if start == "frozen" else steps):
        g = x.T @ (x @ B.T @ v - y) / N
        v, B = v - rate * B @ g, B - rate * np.outer(v, g)
    error = B.T @ v - right_B.T @ right_v  # of the linear function; inputs have unit variance along all directions
    other = np.eye(d) - S @ S.T
    return [error @ S @ S.T @ error, error @ other @ error, np.linalg.norm(B - first_B), np.linalg.norm((B - first_B) @ other)]


STARTS = {
    "frozen": "the head alone (linear probe)",
    "random": "both layers, from a random head",
    "zero": "both layers, from a head of zeros",
    "probe": "both layers, from the probe's head",
}
DRAWS = 5 if QUICK else 10
draws = {start: np.array([two_linear_layers(start, seed) for seed in range(DRAWS)]) for start in STARTS}
for start, title in STARTS.items():
    inside, outside, far, elsewhere = draws[start].mean(axis=0)
    print(f"{title:<36} error along the training inputs {inside:.1e}, elsewhere {outside:.3f}; B moved by {far:.2f}", end=" ")
    print(f"(along other directions by {elsewhere:.0e})")
stays = max(draws[start][:, 3].max() for start in STARTS)
claim(
    "Fine-tuning two linear layers changes the features only along directions that the training inputs have.",
    f"along all others by {stays:.0e} at most, in all {4 * DRAWS} runs",
    stays < 1e-10,
)
random_error, probe_error = draws["random"][:, 1], draws["probe"][:, 1]
claim(
    "Fine-tuned from a random head, the error off those directions is larger than from the linear probe's head.",
    f"{random_error.mean():.3f} and {probe_error.mean():.3f}; larger in {(random_error > probe_error).sum()} of {DRAWS} draws",
    (random_error > probe_error).mean() >= 0.9 and random_error.mean() > 2 * probe_error.mean(),
)

# %% [markdown]
# Two things to note. A head of zeros does far less harm than a random one, because what it hands down at first is nothing: one
# reason why new heads are drawn small. But it gets its weights while the features are moving. From the probe's head,
# fine-tuning is exact along the training inputs, and elsewhere about as good as the probe alone. (And this is about plain
# gradients. Adam divides each of them by its own size, so that even a small one makes a full step, in a direction that a
# random head has chosen: one more reason for phase 1.)
#
# Now pictures. The network, all layers at one rate, SGD with momentum, from three heads: random and of the usual size
# (Xavier), random and small (0.01), and the linear classifier's. How far do the features of *other* pictures, of the old
# classes, move? They say how much of what the network knew is changed. (Kumar and others looked at test pictures of another
# kind than the training ones, where LP-FT was clearly better.)

# %%
PER_CLASS, EPOCHS = 10, 6 if QUICK else 20
HEADS = {"random, Xavier": GREY, "random, small": ORANGE, "linear classifier": BLUE}
watched = old_test[0][:300]
origin = features(pretrained, watched)


class Distance(Callback):
    """Records after each epoch how far the codes of the watched pictures have moved, as a share of their length."""

    def __init__(self, network):
        self.network, self.values = network, [0.0]

    def on_epoch_end(self, run):
        away = features(self.network, watched) - origin
        self.values.append(float(np.linalg.norm(away) / np.linalg.norm(origin)))


def with_head(title, data, seed):
    """A copy of the pretrained network with frozen norms and a head of this kind; the classifier's scores if it is one."""
    network = freeze_norms(with_new_head(seed))
    if title == "random, Xavier":
        network.classifier.w.value[...] = Linear(64, K, rng=seed).w.value
    if title == "linear classifier":
        codes = features(network, data[0])
        classifier = SoftmaxRegression(0.03).fit(codes, data[1])
        set_head(network, classifier)
        folded = infer(network, len(codes), lambda rows: prepare(data[0][rows]))
        apart.append(float(np.abs(folded - classifier.decision_function(codes)).max() / np.abs(folded).max()))
    return network


apart, distances, first_right, last_right = [], {}, {}, {}
bar = tqdm(total=len(HEADS) * len(SEEDS), desc="from three heads", unit="run", delay=2, leave=False)
for title in HEADS:
    for seed in SEEDS:
        data = draw(PER_CLASS, seed)
        network = with_head(title, data, seed)
        first_right.setdefault(title, []).append(accuracy(network, new_test))
        distance = Distance(network)
        optimizer = SGD(network.parameters(), 0.003, momentum=0.9)
        train(network, data, EPOCHS, optimizer=optimizer, schedule=constant(), seed=seed, callbacks=[distance])
        distances.setdefault(title, []).append(distance.values)
        last_right.setdefault(title, []).append(accuracy(network, new_test))
        bar.update()
bar.close()
figure, ax = plt.subplots(figsize=(6, 3.5), layout="tight")
for title, color in HEADS.items():
    curves = 100 * np.array(distances[title])
    ax.plot(curves.T, color=color, lw=0.7, alpha=0.5)
    ax.plot(curves.mean(axis=0), color=color, lw=2, label=f"{title}: {np.mean(last_right[title]):.1%} right in the end")
    print(
        f"head: {title:<18} at first {np.mean(first_right[title]):.1%} right, in the end {np.mean(last_right[title]):.1%}",
        end=" ",
    )
    print(f"({', '.join(f'{a:.1%}' for a in last_right[title])}); features moved by {curves[:, -1].mean():.0f} %")
ax.set(
    xlabel="epoch",
    ylabel="features moved, % of their length",
    title="Codes of old-class pictures while new classes are learned (thin: single seeds)",
)
ax.legend(fontsize=8, loc="upper left")
ax.xaxis.get_major_locator().set_params(integer=True)
save(figure, HERE, "two_phases")
print(f"the classifier's scores and those of the network with its head: apart by {max(apart):.0e} of the largest")
ends = {title: float(np.array(distances[title])[:, -1].mean()) for title in HEADS}
reached = {title: float(np.mean(values)) for title, values in last_right.items()}
claim(
    "In as many steps, fine-tuning from a linear classifier's head gets more of the new task right than from a random one.",
    ", ".join(f"{title} {value:.1%}" for title, value in reached.items()),
    reached["linear classifier"] > max(reached["random, Xavier"], reached["random, small"]) + 0.005,
)
claim(
    "And the features of other pictures move less than from a random head of the usual size.",
    ", ".join(f"{title} {end:.0%}" for title, end in ends.items()),
    ends["linear classifier"] < 0.8 * ends["random, Xavier"],
)
claim(
    "Folded into the network, a linear classifier gives the same scores, up to rounding.",
    f"apart by {max(apart):.0e} of the largest score",
    max(apart) < 1e-4,
)

# %% [markdown]
# The curve of the small head begins flat: what it hands down is as small as its weights. That puts the distortion off, as the
# head grows while the features move already; how far they get in the end differs much from seed to seed. Phase 1 is not about
# small gradients, it is about right ones.
#
# Look at what was right at first, too. With ten pictures of each class the linear classifier is about as good before phase 2
# as after it, and the random heads do not catch up with it in so few steps: phase 1 did the work, and phase 2 spoiled nothing.
#
# ## 7. L2-SP: a leash
#
# Weight decay draws weights to 0. For pretrained ones that is the wrong place: L2-SP (Li, Grandvalet, Davoine 2018) draws them
# back to where they started, $w_0$, and only the new head to 0:
#
# $$R = \frac{\alpha}{2} \sum_{\text{pretrained}} (w - w_0)^2 + \frac{\beta}{2} \sum_{\text{new}} w^2 .$$
#
# $\alpha = 0$ is fine-tuning without a leash, $\alpha \to \infty$ the fixed feature extractor. Make the regulariser *before*
# training: it takes what it finds as $w_0$.

# %%
section("7. L2-SP")
leash = {}
for alpha in (0.0, 0.1, 1.0):
    data = draw(20, 0)
    network = with_head("linear classifier", data, 0)
    penalty = L2SP(network.parameters(), alpha, beta=0.01, new=["scores.w", "scores.b"])
    optimizer = SGD(network.parameters(), 0.005, momentum=0.9)
    train(network, data, EPOCHS, optimizer=optimizer, schedule=constant(), regularizer=penalty)
    leash[alpha] = float(np.mean(list(moved(network).values())))
    print(f"alpha {alpha:<4g} weights moved by {leash[alpha]:.1%}; new task {accuracy(network, new_test):.1%},", end=" ")
    print(f"old task with its old head {accuracy(with_old_head(network), old_test):.1%}")
claim(
    "The stronger L2-SP pulls, the less the weights move.",
    ", ".join(f"{far:.1%} with alpha {alpha:g}" for alpha, far in leash.items()),
    all(longer > shorter for longer, shorter in itertools.pairwise(leash.values())),
)

# %% [markdown]
# ## 8. A real network: EfficientNet-Lite0
#
# The same steps with a network that has seen a million pictures; it is also the second half of the recipe for cats and dogs,
# bottleneck features first, then fine-tuning on top of them (with one sigmoid in place of two softmax outputs:
# `lessons/laboratory/one_sigmoid.py`). What is frozen in both phases never changes, so that its output is computed once for
# all epochs. The linear classifier on the codes becomes the head; then the layers above block 14 learn gently, batch norms
# frozen, and the epoch that is best on the validation pictures is kept. `minicnn.transfer.linear_probe_then_fine_tune` does
# all of it in one call, and `minicnn transfer` on the command line.
#
# Do not expect wonders: where the codes are good and pictures few, the first phase leaves little to gain, and the second can
# lose it again. So `minicnn transfer` fine-tunes few pictures in four folds and takes the mean of the four networks' weights:
# they began at the same place. Where they have come too far from each other for that, it trains one anew on all pictures. It
# goes halfway back to where they began, and stays with the linear classifier where fine-tuning is worse on what was held out.
# `--strategy all` tries what else the literature has: a third of the layers alone, the batch norms or the biases alone, places
# between the probe and the fine-tuned network, means of several of them. What each was worth on 29 tasks:
# `docs/laboratory/fine_tuning.md`.

# %%
section("8. EfficientNet-Lite0")


def photographs():
    """The network; ants and bees, or solar cells; and of each part uint8 pictures (N, 224, 224, 3) and labels."""
    model = minicnn.load("efficientnet_lite0")
    archive = find_data("ants-bees.zip")
    collection = open_pictures(archive) if archive else solar_cells()
    given = collection.splits or stratified_split(collection.labels, collection.groups, {"train": 0.7, "test": 0.3}, 0)
    inner = stratified_split(collection.labels[given["train"]], None, {"train": 0.7, "val": 0.3}, 0)
    rows = {"train": given["train"][inner["train"]], "val": given["train"][inner["val"]], "test": given["test"]}
    parts = {}
    for part, most in (("train", 40), ("val", 15), ("test", 40)):  # of each class
        labels = collection.labels[rows[part]]
        by_class = [rng.permutation(rows[part][labels == k])[: most // 4 if QUICK else most] for k in range(2)]
        pixels, used = collection.subset(np.sort(np.concatenate(by_class))).fitted(model.preprocessing, progress=False)
        parts[part] = pixels, used.labels
    return model, collection, parts


CUT = "block14"
try:
    model, collection, parts = photographs()
except (WeightsError, DataError) as error:
    print(f"left out, as something is not installed here: {error}")
else:
    print(f"{collection.name}: {' and '.join(collection.classes)}, {len(parts['train'][1])} to train on")
    network = model.copy()
    network.replace_head(collection.classes, rng=0)
    lower, upper = network.split(CUT)
    labels, maps, codes = {}, {}, {}
    for part, (pixels, labels[part]) in parts.items():
        maps[part] = infer(
            fuse(lower), len(pixels), lambda rows, pixels=pixels: model.preprocessing.normalise(pixels[rows]), label=part
        )
        codes[part] = upper.split("pool")[0].eval().forward(maps[part])
    classifier = SoftmaxRegression(1.0).fit(codes["train"], labels["train"])
    set_head(network, classifier)
    freeze_norms(network).freeze(until=CUT)
    set_learning_rates(network, dict.fromkeys([name for name, layer in upper.layers.items() if layer.parameters()], 0.3))
    set_learning_rates(network, {"classifier": 1.0})
    before = arrays_of(network)
    optimizer = AdamW(upper.parameters(), 3e-4, weight_decay=0.01)
    trainer = Trainer(
        upper, SoftmaxCrossEntropy(), optimizer, epochs=2 if QUICK else 8, batch_size=8, schedule=one_cycle(), monitor="loss"
    )
    history = trainer.fit(maps["train"], labels["train"], maps["val"], labels["val"])
    for e in history.epochs:
        print(f"epoch {e['epoch']}: loss {e['loss']:.3f}, validation {e['val_loss']:.3f} and {e['val_accuracy']:.1%} right")
    of_classifier = {part: classifier.score(codes[part], labels[part]) for part in ("val", "test")}
    of_network = {part: trainer.evaluate(maps[part], labels[part])[1] for part in ("val", "test")}
    for part, count in (("val", len(labels["val"])), ("test", len(labels["test"]))):
        print(f"{part}: {of_classifier[part]:.1%} right with the linear classifier, {of_network[part]:.1%} fine-tuned", end=" ")
        print(f"(one picture of {count} is {1 / count:.1%})")
    after = arrays_of(network)
    changed = {name.split(".")[0] for name in after if not np.array_equal(after[name], before[name])}
    print(f"arrays changed in {', '.join(sorted(changed))} alone; the {len(lower.layers)} layers below stayed as they were")
    print(network.summary())
    few = slice(0, None, max(len(labels["test"]) // 4, 1))
    test = parts["test"][0][few], labels["test"][few]
    save_page(explore(network, *test, before=model, most=4, progress=False), HERE, "before_and_after")

# %% [markdown]
# The page that was made just now has the network before and after fine-tuning: a switch keeps picture, layer and neuron, and
# *Network* shows how far each layer moved. `minicnn explore MODEL.h5 PICTURES --before efficientnet_lite0` does the same for
# yours.
#
# ## 9. What to do
#
# | | |
# | --- | --- |
# | always | new head, small or from a linear classifier; its validation accuracy is what fine-tuning has to beat |
# | few pictures, like the old ones | stop there: fixed features |
# | more pictures | phase 2: unfreeze from the top, batch norms frozen, lower rates than the head's, falling by depth |
# | many pictures, or of another kind | all layers, batch norms moving; compare with a random start |
# | it gets worse | lower rates, fewer layers, L2-SP; keep the epoch that is best on validation pictures, phase 1 included |
#
# Lesson 13 puts the two axes, how many and how similar, into the lecture's four quadrants and measures all of them.
#
# ## What this lesson claims
#
# - A new head with small weights starts at a loss of log K: it has no opinion yet.
# - Frozen layers are the same after training, weights and statistics, bit by bit.
# - Left out of the optimiser, or with a learning rate of 0, batch norms change all the same.
# - A step costs less computing time the more of the network is frozen, from below.
# - Moving statistics alone, without a single step, can cost much of the old task; frozen ones cost nothing.
# - On pictures much darker than those of pretraining, moving statistics get more of the new task right than frozen ones.
# - What fine-tuning everything gains over a frozen body grows with the number of pictures.
# - The lead of the pretrained start over a random one is large with few pictures and shrinks with more.
# - At too large a rate the pretrained layers lose what made them worth having: fewer right than with all of them frozen.
# - At too small a rate they hardly move, and the network is no better than with all of them frozen.
# - One small rate for all layers starves the head: with a rate of its own for the head many more are right.
# - With rates that fall by depth, the lowest convolution stays further behind the highest than with one rate for all.
# - Fine-tuning two linear layers changes the features only along directions that the training inputs have.
# - Fine-tuned from a random head, the error off those directions is larger than from the linear probe's head.
# - In as many steps, fine-tuning from a linear classifier's head gets more of the new task right than from a random one.
# - And the features of other pictures move less than from a random head of the usual size.
# - Folded into the network, a linear classifier gives the same scores, up to rounding.
# - The stronger L2-SP pulls, the less the weights move.

# %%
print_claims()

# %% [markdown]
# ## Questions
#
# **1.** Somebody sets `requires_grad = False` (PyTorch's name for `trainable = False`) for all weights of a ResNet, calls
# `model.train()`, and trains the new head. Afterwards the network is worse on its *old* task, with its old head. Why, and what
# would minicnn have done?
#
# <details><summary>Answer</summary>
#
# In PyTorch a batch norm in train mode moves its running statistics whether or not its weights are trainable; one has to put
# those layers into eval mode as well. In minicnn (as in Keras) a batch norm whose gamma and beta are frozen uses its running
# statistics and keeps them.
#
# </details>
#
# **2.** In phase 2 the head is trained already. Why does it keep the larger learning rate all the same?
#
# <details><summary>Answer</summary>
#
# The layers below are good where they are, for a million pictures or more; a large step leads away from there, and few
# pictures cannot lead back. The head has seen the new pictures only, and must follow what changes below it. If it lagged
# behind, the gradients that it hands down would be those of an outdated classifier. (If it comes from a linear classifier, it
# has little left to learn, and one rate for all is fine: that is the default of `linear_probe_then_fine_tune`.)
#
# </details>
#
# **3.** Network A was fine-tuned with everything frozen but the head, network B with everything frozen up to the last block. B
# gets 100 % of the training pictures right, A 90 %. Which do you take?
#
# <details><summary>Answer</summary>
#
# The training pictures cannot tell: B has more freedom to learn them by heart. Take the one that is better on validation
# pictures, and if they are within a standard error of each other, A: it is cheaper to train, and it has kept the features as
# they were, which also helps on pictures of another kind than those that you have.
#
# </details>
#
# ## Further reading
#
# - Yosinski, Clune, Bengio, Lipson 2014, "How transferable are features in deep neural networks?", section 4.
# - Girshick 2015, "Fast R-CNN", section 4.5: which layers to fine-tune.
# - Howard, Ruder 2018, "Universal Language Model Fine-tuning for Text Classification", section 3.2: discriminative rates, and
#   3.3, gradual unfreezing.
# - Li, Grandvalet, Davoine 2018, "Explicit Inductive Bias for Transfer Learning with Convolutional Networks", section 3: L2-SP.
# - He, Girshick, Dollár 2018, "Rethinking ImageNet Pre-training", section 1 for the conclusions.
# - Kumar, Raghunathan, Jones, Ma, Liang 2022, "Fine-Tuning can Distort Pretrained Features and Underperform
#   Out-of-Distribution", section 3: two linear layers, and LP-FT.
# - Chollet 2016, "Building powerful image classification models using very little data", the Keras blog: bottleneck features,
#   then fine-tuning.
#
# ## Next
#
# The exercise first: `exercise.py` has six tasks, a new head on a frozen body, rates by depth, a step with L2-SP, a batch norm
# that can be frozen, a head from a linear classifier, and both phases. When all are right, they take a small network from five
# kinds of clothes to five others, beside minicnn's own run.
#
#     minicnn check 12
#     minicnn check 12 --task 1 --hint       # where you are stuck
#
# Then lesson 13: few data or many, similar or different, and what to do in each of the four cases.

# %%
print("\nnow you: minicnn check 12")
