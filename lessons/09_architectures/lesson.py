# %% [markdown]
# # Lesson 9. Architectures from LeNet to ResNet and MobileNet
#
# Twenty years of networks for pictures fit on one shelf, and most of them are made of a handful of ideas: share weights, stack
# small filters, look through several windows at once, add what you computed to what you had, filter channels one by one. We
# build each network, count what it weighs and what it costs, and look for the one idea that it brought.
#
# **Before**: Jacobians (lesson 2), convolution, pooling and their shapes (lesson 3), initialisation (lesson 4), batch
# normalisation (lesson 5), momentum (lesson 7) and weight decay (lesson 8).
#
# **After**: you can read a network's table and say where its parameters, its work and its memory are; you can count a
# grouped, a bottlenecked or a depthwise separable convolution by hand; you know why depth without shortcuts fails, from a
# measurement; and you can write a residual block, an Inception module and an inverted residual yourself.
#
# Nothing is downloaded: all networks have random weights, for counting does not need trained ones. The figures go to `out/`.

# %%
import math
from itertools import pairwise
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
from minicnn.layers import AvgPool2d, Concat, Conv2d, Linear, LocalResponseNorm, MaxPool2d, Sequential
from minicnn.losses import SoftmaxCrossEntropy, WithAuxiliaryHeads
from minicnn.models import ARCHITECTURES, FAMILIES, alexnet, googlenet, lenet5, mobilenet_v1, resnet20, resnet56, vgg16
from minicnn.models.efficientnet import LITE
from minicnn.models.googlenet import MODULES, inception
from minicnn.models.mobilenet import inverted_residual, separable, v2_unit
from minicnn.models.receptive_field import receptive_field
from minicnn.models.resnet import basic_block, bottleneck, projection, zero_padding
from minicnn.models.squeezenet import fire
from minicnn.models.summary import rows
from minicnn.optim import SGD
from minicnn.training import Trainer

HERE = Path(globals().get("__file__", "lesson.py")).resolve().parent
rng = np.random.default_rng(9)

# %% [markdown]
# ## 1. Three numbers of a layer, and LeNet-5
#
# A layer has a price in three currencies. For a convolution of $F$ filters of $K_h \times K_w$ on $C$ channels in $g$ groups,
# whose output is $O_h \times O_w$:
#
# | | convolution | fully connected, $D$ to $M$ | pool, ReLU |
# | --- | --- | --- | --- |
# | parameters | $F \frac Cg K_h K_w + F$ | $M D + M$ | 0 |
# | multiply-adds | $F \frac Cg K_h K_w \cdot O_h O_w$ | $M D$ | not counted |
# | values to keep | $F\, O_h O_w$ | $M$ | $C\, O_h O_w$ for a pool |
#
# Parameters are what is stored and sent; multiply-adds are what takes time (one is two floating-point operations, and papers
# mix the two up freely); the values of all maps are what training must keep for the way back. A ReLU can be done in place, so
# its output counts as one with that of the layer below.
#
# A fully connected layer uses each weight once. A convolution uses it at every position: **parameters and work are in different
# places**. That is the theme of this lesson.
#
# LeNet-5 (LeCun et al. 1998) has it all already: convolutions with shared weights, subsampling, a classifier on top, trained
# together.

# %%
section("1. LeNet-5")
print(lenet5().summary())

# %% [markdown]
# This is LeNet-5 as everybody builds it today. The one of 1998 was a little different, and one of the lecture's sources gets it
# wrong:
#
# > **A correction.** LeNet's subsampling is not max pooling. Each unit adds up the four pixels under it, multiplies the sum
# > by a *trainable* weight and adds a *trainable* bias, one of each for every map; a sigmoid follows. It is averaging, with a
# > volume knob.
#
# And a filter of layer c3 did not see all six maps: a table said which filter sees which, all but one of them three or four,
# to save connections and to force "a break of symmetry". With these two things put back, our count should be the paper's:
# 60,000 trainable parameters (section II.B; its output layer, distances to drawings of the characters, was fixed).

# %%
# table I of the paper: which maps of s2 each filter of c3 sees
SEEN_BY_C3 = [
    "012",
    "123",
    "234",
    "345",
    "045",
    "015",
    "0123",
    "1234",
    "2345",
    "0345",
    "0145",
    "0125",
    "0134",
    "1245",
    "0235",
    "012345",
]


def count(layer):
    """How many parameters there are in a layer, or in a whole network."""
    return sum(parameter.value.size for parameter in layer.parameters().values())


def subsampling(channels):
    """1998: the mean of 2 x 2 pixels, times a weight, plus a bias, one of each for every map."""
    return Sequential(mean=AvgPool2d(2), scale=Conv2d(channels, channels, 1, groups=channels))


of_1998 = {
    "c1": count(Conv2d(1, 6, 5)),
    "s2": count(subsampling(6)),
    "c3": sum(5 * 5 * len(maps) + 1 for maps in SEEN_BY_C3),
    "s4": count(subsampling(16)),
    "c5": count(Conv2d(16, 120, 5)),
    "f6": count(Linear(120, 84)),
}
total = sum(of_1998.values())
print("\nas it was in 1998:", ", ".join(f"{name} {n:,}" for name, n in of_1998.items()), f"= {total:,}")
print(f"c3 with a table of connections: {of_1998['c3']:,} parameters; seeing all six maps: {count(Conv2d(6, 16, 5)):,}")
claim(
    "With the averages and the table of connections of 1998, LeNet-5 has just the 60,000 parameters of its paper.",
    f"{total:,}",
    total == 60_000,
)

# %% [markdown]
# ## 2. AlexNet: groups, and two GPUs
#
# AlexNet (Krizhevsky, Sutskever, Hinton 2012) is LeNet's plan with a thousand times the weights, on a million labelled
# pictures. What made it work: ReLU, which does not saturate; dropout in the large fully connected layers; much augmentation;
# overlapping pools (3 x 3 windows, two pixels apart); and two graphics cards.
#
# > **Two corrections.** The network was split over two *GPUs*; "two CPUs", as one source has it, would have taken months. And
# > the volume after the last pool is **6 x 6 x 256**. One source gives it as 6 x 6 x 512, which mixes it up with VGG's 7 x 7
# > x 512. (A third thing is in the paper itself: it says 224 x 224, and the first map is 55 x 55. Without padding, of which
# > the paper says nothing, that takes 227 x 227.)

# %%
section("2. AlexNet")
network = alexnet(rng=0)
print(network.summary())
last_pool = network.split("pool5")[0].output_shape((1, 3, 227, 227))[1:]
volume = " x ".join(str(n) for n in (*last_pool[1:], last_pool[0]))
print(f"\nlast pooling volume: {volume}, the {network.layers['fc6'].in_features:,} inputs of fc6")
first = {side: network.layers["conv1"].output_shape((1, 3, side, side))[2] for side in (224, 227)}
print(f"conv1's map: {first[224]} x {first[224]} of 224 x 224, {first[227]} x {first[227]} of 227 x 227")

# %% [markdown]
# In conv2, conv4 and conv5 a filter sees only the maps that were computed on its own card: these are **grouped**
# convolutions. With $g$ groups each filter has $C/g$ channels, so parameters and work shrink by $g$. As a matrix between
# channels, the convolution becomes block diagonal. At the end of that road, $g = C$, stands the depthwise convolution of
# section 7.

# %%
print()
saved = 0
for name in ("conv2", "conv4", "conv5"):
    grouped = network.layers[name]
    whole = Conv2d(**grouped.config() | {"groups": 1})
    saved += count(whole) - count(grouped)
    print(f"{name}: {count(grouped):>9,} parameters in {grouped.groups} groups, {count(whole):>9,} in one")
print(f"without groups AlexNet would have {count(network) + saved:,} parameters")

figure, axes = plt.subplots(1, 4, figsize=(9, 2.6))
for ax, groups in zip(axes, (1, 2, 4, 12), strict=True):
    conv = Conv2d(12, 12, 1, groups=groups, bias=False, rng=3)
    one_channel_each = np.eye(12, dtype=np.float32)[:, :, None, None]
    matrix = conv.forward(one_channel_each)[:, :, 0, 0].T  # column c: what channel c alone gives to each filter
    limit = abs(matrix).max()
    ax.imshow(np.ma.masked_equal(matrix, 0), cmap="RdBu_r", vmin=-limit, vmax=limit)
    ax.set(title=f"{groups} group{'s' * (groups > 1)}: {count(conv)} weights", xlabel="channel", xticks=[], yticks=[])
axes[0].set_ylabel("filter")
figure.suptitle("Which channels a filter sees (weights: red above 0, blue below; white: not seen)", y=1.04)
save(figure, HERE, "groups")

# %% [markdown]
# AlexNet also normalises across channels: at each pixel a strong response weakens those of neighbouring channels,
#
# $$y_c = x_c \Big/ \Big(k + \alpha \sum_{m = c-2}^{c+2} x_m^2\Big)^{\beta}, \qquad k = 2,\ \alpha = 10^{-4},\ \beta = 0.75 .$$
#
# VGG's authors tried it two years later and found no use for it; batch normalisation then took its place.

# %%
norm = LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)  # the engine divides alpha by the size, the paper does not
for loud in (0, 50, 200):
    x = np.zeros((1, 11, 1, 1), np.float32)
    x[0, 5], x[0, 6] = 50, loud
    y = norm.forward(x)[0, :, 0, 0]
    print(f"a channel with 50, its neighbour with {loud:>3}: after response normalisation {y[5]:5.2f} and {y[6]:5.2f}")

# %% [markdown]
# ## 3. VGG-16: where the parameters are, and where the work is
#
# VGG (Simonyan, Zisserman 2015) has 3 x 3 convolutions and 2 x 2 pools, and fully connected layers on top; whenever the map is
# halved, the channels double, up to 512. Why such small filters? Three 3 x 3 layers see as much as one 7 x 7, with fewer
# weights and two more ReLUs:

# %%
section("3. VGG-16")
C = 64
for kernel, layers in ((3, 1), (3, 2), (5, 1), (3, 3), (7, 1)):
    stack = Sequential(*(Conv2d(C, C, kernel, pad=kernel // 2, bias=False) for _ in range(layers)))
    side = receptive_field(stack, (C, 32, 32)).size()[0]
    print(f"{layers} of {kernel} x {kernel}: sees {side} x {side}, {count(stack) // C**2:>2} C^2 weights")

# %% [markdown]
# Now the table of the lecture: each layer's map, how many numbers that is, its parameters, and its multiply-adds.

# %%
KEPT = {"Conv2d", "Linear", "MaxPool2d", "AvgPool2d", "GlobalAvgPool2d", "LocalResponseNorm"}  # a ReLU works in place


def kept_rows(model):
    """The innermost layers whose output must be kept for the way back."""
    return [row for row in rows(model, (1, *model.input_shape), depth=9) if row.layer_type in KEPT]


def values_kept(model):
    """How many numbers these outputs have, for one picture."""
    return sum(math.prod(row.output) for row in kept_rows(model))


network = vgg16(rng=0)
table = kept_rows(network)
print(f"\n{'layer':<9} {'map':<16} {'values':>11} {'parameters':>12} {'multiply-adds':>15}")
for row in table:
    shape = " x ".join(str(n) for n in (*row.output[1:], row.output[0]))
    print(f"{row.path:<9} {shape:<16} {math.prod(row.output):>11,} {row.parameters:>12,} {row.multiply_adds:>15,}")
values = np.array([math.prod(row.output) for row in table])
weights = np.array([row.parameters for row in table])
work = np.array([row.multiply_adds for row in table])
print(f"{'together':<26} {values.sum():>11,} {weights.sum():>12,} {work.sum():>15,}")
megabytes = 4 * values.sum() / 1e6
print(f"kept for one picture: {megabytes:.0f} MB in float32; the weights: {4 * weights.sum() / 1e6:.0f} MB")

is_fc = np.array([row.layer_type == "Linear" for row in table])
first_stage = np.array([row.path.startswith(("conv1", "pool1")) for row in table])
claim(
    "The three fully connected layers of VGG-16 hold over 85 % of its parameters and do under 1 % of its multiply-adds.",
    f"{weights[is_fc].sum() / weights.sum():.1%} and {work[is_fc].sum() / work.sum():.2%}",
    weights[is_fc].sum() > 0.85 * weights.sum() and work[is_fc].sum() < 0.01 * work.sum(),
)
claim(
    "Its first stage, two convolutions and a pool, keeps more than 40 % of all values, with less than 0.1 % of the parameters.",
    f"{values[first_stage].sum() / values.sum():.1%} and {weights[first_stage].sum() / weights.sum():.3%}",
    values[first_stage].sum() > 0.4 * values.sum() and weights[first_stage].sum() < 0.001 * weights.sum(),
)

figure, axes = plt.subplots(3, 1, figsize=(8, 5), sharex=True)
kinds = np.where(is_fc, ORANGE, np.where([row.layer_type == "Conv2d" for row in table], BLUE, GREY))
for ax, numbers, title in zip(axes, (values, weights, work), ("values kept", "parameters", "multiply-adds"), strict=True):
    ax.bar(range(len(table)), 100 * numbers / numbers.sum(), color=kinds)
    ax.set_ylabel("% of all")
    ax.set_title(title, loc="left")
axes[-1].set_xticks(range(len(table)), [row.path for row in table], rotation=60, ha="right", fontsize=8)
figure.suptitle(
    "VGG-16: memory in the first layers, work in the middle, parameters in the last\n"
    "(blue: convolutions, grey: pools, orange: fully connected)",
    y=0.98,
    fontsize=11,
)
figure.tight_layout()
save(figure, HERE, "vgg16")
del network

# %% [markdown]
# > **A note on the lecture's table.** CS231n's notes and slides put the sum of the memory column at 24 million numbers. Add up
# > their own entries, or look at the last line of ours: it is a good deal less. What the table teaches stays the same.
#
# In training each of these values is needed twice, once as an activation and once as its gradient, and times the batch.
# Parameters are needed three times whatever the batch is: value, gradient, momentum. Which is more? We come back to it in
# section 9.
#
# ## 4. GoogLeNet: look through several windows at once, but cheaply
#
# How large should a filter be? GoogLeNet (Szegedy et al. 2015) says: try 1 x 1, 3 x 3, 5 x 5 and a pool side by side, join
# what comes out along the channels, and let training decide. Naively that is far too expensive, and the channels pile up, as
# a pool hands on all it gets. So each of the large filters gets a **1 x 1 convolution before it that reduces the channels**,
# and the pool gets one behind it.
#
# A 1 x 1 convolution from $C$ to $R$ channels and a $K \times K$ one from there to $F$ cost $C R + K^2 R F$ a pixel, instead of
# $K^2 C F$.

# %%
section("4. GoogLeNet")


def naive(in_channels, filters):
    """The module without its 1x1 reductions, figure 2(a) of the paper."""
    ones, _, threes, _, fives, _ = filters
    return Concat(
        **{
            "1x1": Conv2d(in_channels, ones, 1),
            "3x3": Conv2d(in_channels, threes, 3, pad=1),
            "5x5": Conv2d(in_channels, fives, 5, pad=2),
            "pool": MaxPool2d(3, stride=1, pad=1),
        }
    )


print(f"{'':<15} channels {'10^6 multiply-adds':>22} {'parameters':>22}")
print(f"{'module':<7} {'in':>5} {'out':>5} {'naive':>6} {'':>9} {'naive':>7} {'':>11} {'naive':>11}")
channels, work_of, filters_of_naive = 192, np.zeros(2), 192
for name, filters in MODULES.items():
    side = {"3": 28, "4": 14, "5": 7}[name[0]]
    shape, both = (1, channels, side, side), (inception(channels, filters), naive(channels, filters))
    costs = [module.multiply_adds(shape) for module in both]
    outs = [module.output_shape(shape)[1] for module in both]
    work_of += costs
    filters_of_naive += filters[0] + filters[2] + filters[4]
    print(
        f"{name:<7} {channels:>5} {outs[0]:>5} {outs[1]:>6} {costs[0] / 1e6:>9.0f} {costs[1] / 1e6:>7.0f} "
        f"{count(both[0]):>11,} {count(both[1]):>11,}"
    )
    channels = outs[0]
print(f"all nine: {work_of[0] / 1e6:,.0f} * 10^6 multiply-adds, naive on the same inputs {work_of[1] / 1e6:,.0f} * 10^6")
print(f"and if naive modules were stacked, {filters_of_naive:,} channels would come out of the last one, not {channels:,}")
claim(
    "The 1x1 reductions save more than half of the multiply-adds of the nine Inception modules.",
    f"{1 - work_of[0] / work_of[1]:.0%} saved",
    work_of[0] < 0.5 * work_of[1],
)

# %% [markdown]
# The other saving is at the top. In place of large fully connected layers GoogLeNet takes the **average of each map**; one
# small layer makes scores of the averages. The large layers are where VGG has most of its parameters.
#
# And the bottom? In 2014 there was no batch normalisation, and the gradient had a long way down. So the paper hangs two
# **auxiliary heads** half way up: classifiers of their own, whose losses count for 0.3 each while training, and which are
# thrown away afterwards. We send one batch through an untrained network, and measure the gradient that arrives at the output
# of each module, with and without the heads' losses.

# %%
network = googlenet(10, rng=0)
heads = count(network.layers["aux1"]) + count(network.layers["aux2"])
print(f"\nwith 10 classes: {count(network) - heads:,} parameters, and {heads:,} more in the auxiliary heads")
flattened = 7 * 7 * 1024 * 4096
print(f"4,096 units on the flattened last map would have {flattened:,} weights; the scores from averages have {1024 * 10:,}")


def gradient_by_layer(network, loss, x, labels):
    """The length of dL/dy at the output of each top-level layer, by name, from the first to the last."""
    layers, y = network.train().layers, x
    for layer in layers.values():
        y = layer.forward(y)
    loss.forward(y, labels)
    dy, lengths = loss.backward(), {}
    for name, layer in reversed(layers.items()):
        lengths[name] = float(np.linalg.norm(dy))
        dy = layer.backward(dy)
    return dict(reversed(lengths.items()))


x = rng.standard_normal((2, 3, 224, 224)).astype(np.float32)
labels = np.array([3, 7])
without = gradient_by_layer(network, SoftmaxCrossEntropy(), x, labels)
with_heads = gradient_by_layer(network, WithAuxiliaryHeads(SoftmaxCrossEntropy(), network), x, labels)
for name in ("conv1", "inception_3b", "inception_4a", "inception_4d", "inception_5b"):
    print(f"gradient at {name:<13} {without[name]:.1e} from the top alone, {with_heads[name]:.1e} with the heads")
del network

# %% [markdown]
# With a good initialisation enough arrives at the bottom without the heads, too. The authors came to think that the heads act
# more as regularisers (Szegedy et al. 2016, arXiv 1512.00567, section 4). Most later networks do without.
#
# ## 5. ResNet: add to what is there
#
# More layers can always do what fewer can: let the additional ones compute the identity. So why did plain networks of 56
# layers come out *worse* than those of 20, and not only on test pictures but on the very pictures that they were trained on?
# Because nobody told the additional layers to be the identity, and it is hard to find with weights that start at random.
#
# ResNet (He et al. 2016) makes the identity easy: a block computes what is to be *added*, and has only to add nothing.
#
# $$y = \mathrm{relu}\big(F(x) + S(x)\big), \qquad S(x) = x, \qquad\text{so that}\qquad dx = J_F^T\, dz + dz$$
#
# with $dz$ the gradient at the sum. The second term has come through no weight at all: whatever $F$ does, the gradient gets
# past it. Where a block halves the map and widens it, $S$ is a 1 x 1 convolution with that stride (a *projection*, option B
# of the paper) or takes every second pixel and adds channels of zeros (option A, without parameters).
#
# We measure it with two networks of the paper, ResNet-20 and ResNet-56, on grey pictures of 14 x 14. With option A a shortcut
# has no weights; so if we take all shortcuts out, we have a plain network **with the very same weights** at the start.

# %%
section("5. Depth, with and without shortcuts")
fashion, mnist = find_data("fashion-mnist"), find_data("mnist")
if fashion:
    pictures, labels, *_ = load_fashion_mnist(fashion)
    print("real pictures: Fashion-MNIST, halved to 14 x 14")
elif mnist:
    pictures, labels, *_ = load_mnist(mnist)
    print("real pictures: MNIST, halved to 14 x 14 (there is no Fashion-MNIST here)")
else:
    pictures, labels = drawn_digits(3000, rng)
    print("there is no MNIST here (in mnist/ or fashion-mnist/ in the folder that MINICNN_DATA names): using digits of a font")
chosen = rng.permutation(len(pictures))[: 192 if QUICK else 1024]
x = pictures[chosen].reshape(-1, 1, 14, 2, 14, 2).mean(axis=(3, 5)).astype(np.float32)
x, y = (x - x.mean()) / x.std(), labels[chosen]


def without_shortcuts(network):
    """The same layers with the same weights, but y = relu(F(x)) in place of y = relu(F(x) + S(x))."""
    for block in network.layers.values():
        if "sum" in block.children():
            block.layers["sum"] = block.layers["sum"].body
    return network


def residual_or_plain(depth, has_shortcuts, seed=0):
    network = {20: resnet20, 56: resnet56}[depth](10, rng=seed, in_channels=1)
    return network if has_shortcuts else without_shortcuts(network)


CASES = {(20, True): BLUE, (56, True): GREEN, (20, False): GREY, (56, False): ORANGE}
TITLES = {case: f"{case[0]} layers, {'with' if case[1] else 'no'} shortcuts" for case in CASES}
gradients, curves = {}, {}
for case in CASES:
    lengths = gradient_by_layer(residual_or_plain(*case), SoftmaxCrossEntropy(), x[:64], y[:64])
    gradients[case] = np.array([length for name, length in lengths.items() if name.startswith("conv")])
    growth = gradients[case][0] / gradients[case][-1]
    print(f"{TITLES[case]:<25} the gradient at the first layer is {growth:8.2g} times that at the last block")

# %% [markdown]
# An untrained plain network with batch norm does not lose its gradient on the way down: it *explodes*. Behind a ReLU half of
# the squared signal is left, and a part of that is a mean, which the next batch norm takes away; it divides by the standard
# deviation of what remains. On the way back the ReLU halves the squared gradient too, but the division is by less than that
# half. In theory that is a factor of $\sqrt{\pi / (\pi - 1)} \approx 1.2$ for each layer (Yang et al. 2019), and there are
# many layers. A shortcut carries most of the signal around them, and the gradient grows far more slowly. Does it matter? We
# train all four for the same number of steps.

# %%
for case in CASES:
    network = residual_or_plain(*case)
    optimizer = SGD(network.parameters(), 0.05, momentum=0.9, weight_decay=1e-4)
    epochs = 1 if QUICK else 4
    trainer = Trainer(network, SoftmaxCrossEntropy(), optimizer, epochs=epochs, batch_size=32, label=TITLES[case])
    curves[case] = trainer.fit(x, y).epochs
    last = curves[case][-1]
    print(f"{TITLES[case]:<25} loss on the training pictures {last['loss']:.3f}, {last['train_accuracy']:.1%} of them right")

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4))
for case, color in CASES.items():
    depth = np.linspace(0, 1, len(gradients[case]))
    left.semilogy(depth, gradients[case] / gradients[case][-1], color=color, label=TITLES[case])
    right.plot([e["epoch"] for e in curves[case]], [e["loss"] for e in curves[case]], "o-", color=color, label=TITLES[case])
left.set(xlabel="place in the network (0: first layer, 1: last block)", ylabel="length of the gradient, 1 at the last block")
left.set_title("Before training: the gradient on its way down")
right.axhline(math.log(10), color=GREY, lw=0.8, ls=":", label="log 10: knows nothing")
right.set(xlabel="epoch", ylabel="loss on the training pictures", title="Training")
right.set_xticks(range(1, epochs + 1))
right.legend(fontsize=8)
figure.tight_layout()
save(figure, HERE, "depth")

growth = {case: gradients[case][0] / gradients[case][-1] for case in CASES}
loss_of = {case: curves[case][-1]["loss"] for case in CASES}
claim(
    "On its way down 56 untrained layers the gradient grows at least ten times as much without shortcuts as with them.",
    f"{growth[56, False]:.2g} times against {growth[56, True]:.2g} times",
    growth[56, False] > 10 * growth[56, True],
)
claim(
    "Without shortcuts 56 layers fit their own training pictures worse than 20 layers do, after the same number of steps.",
    f"loss {loss_of[56, False]:.3f} against {loss_of[20, False]:.3f}",
    loss_of[56, False] > loss_of[20, False],
)
claim(
    "The same 56 layers, from the same weights, fit them better with shortcuts than without.",
    f"loss {loss_of[56, True]:.3f} against {loss_of[56, False]:.3f}",
    loss_of[56, True] < loss_of[56, False],
)

# %% [markdown]
# The plain network of 56 layers has hardly begun to learn when that of 20 is well on its way: the degradation of the paper's
# figure 1, on its own training pictures, so that it cannot be overfitting. With shortcuts the 56 layers learn, after a bad
# start: what all the blocks add piles up in the first scores (question 3 has a remedy). After so few steps they are not ahead
# of 20 layers yet; that takes epochs, and pictures that need the depth. (The paper's authors checked that the gradients of
# their plain networks did not *vanish*, and left open why these are so slow to train.)
#
# The longer ResNets have another block, the **bottleneck**: 1 x 1 down to a quarter of the channels, 3 x 3 there, 1 x 1 up
# again. It is GoogLeNet's trick once more.

# %%
print()
for title, block, shape in (
    ("basic block, 64 channels", basic_block(64, 64, 1), (1, 64, 56, 56)),
    ("basic block, 256 channels", basic_block(256, 256, 1), (1, 256, 56, 56)),
    ("bottleneck, 256 channels", bottleneck(256, 256, 1), (1, 256, 56, 56)),
):
    work = block.multiply_adds(shape) / 1e6
    print(f"{title:<26} {count(block):>9,} parameters, {work:>6,.0f} * 10^6 multiply-adds on 56 x 56")
shape = 1, 64, 56, 56
for title, shortcut in (("a projection (option B)", projection(64, 128, 2)), ("zeros (option A)", zero_padding(64, 128, 2))):
    output = shortcut.output_shape(shape)[1:]
    print(f"shortcut from 64 to 128 channels by {title:<24} {count(shortcut):>6,} parameters, gives {output}")

# %% [markdown]
# ## 6. SqueezeNet: a fiftieth of the parameters
#
# SqueezeNet (Iandola et al. 2016) asks how few parameters AlexNet's accuracy needs. Its **fire module** squeezes the channels
# with 1 x 1 filters, and then expands them again with 1 x 1 and 3 x 3 filters side by side. There is no fully connected layer
# at all. Fewer *parameters* do not mean less *work*, though: its pools come late, so that the maps stay large.

# %%
section("6. SqueezeNet")
module, shape = fire(96, 16, 64), (1, 96, 54, 54)
for row in rows(module, shape, depth=9):
    if row.parameters:
        print(f"{row.path:<18} {row.output!s:<14} {row.parameters:>7,} parameters {row.multiply_adds:>12,} multiply-adds")
full = Conv2d(96, 128, 3, pad=1)
print(f"fire2 in all: {count(module):,} parameters; a 3 x 3 convolution from 96 to 128 channels: {count(full):,}")

# %% [markdown]
# ## 7. MobileNet: filter and mix, one after the other
#
# A convolution does two things at once: it looks around each pixel, and it mixes channels. MobileNetV1 (Howard et al. 2017)
# takes the two apart. First a **depthwise** convolution, one $K \times K$ filter for each channel; then a 1 x 1 convolution,
# which mixes. Its share of the full convolution's work is
#
# $$\frac{C K^2 + C F}{C F K^2} = \frac1F + \frac1{K^2},$$
#
# a bit more than a ninth for 3 x 3.

# %%
section("7. MobileNet")
for C in (32, 64, 128, 256, 512):
    shape = 1, C, 28, 28
    block, full = separable(C, C, 1), Conv2d(C, C, 3, pad=1, bias=False)
    share = block.multiply_adds(shape) / full.multiply_adds(shape)
    print(f"{C:>3} to {C:>3} channels: {share:.4f} of the full convolution; 1/F + 1/9 = {1 / C + 1 / 9:.4f}")

network = mobilenet_v1(rng=0)
parts = {"depthwise": np.zeros(2), "pointwise": np.zeros(2), "classifier": np.zeros(2), "stem": np.zeros(2)}
for row in rows(network, (1, *network.input_shape), depth=9):
    for part in parts:
        if part in row.path.split("."):
            parts[part] += row.parameters, row.multiply_adds
whole = sum(parts.values())
for part, numbers in parts.items():
    weights, work = numbers / whole
    print(f"{part:<11} {weights:>6.1%} of MobileNetV1's parameters, {work:>6.1%} of its multiply-adds")
claim(
    "More than nine tenths of MobileNetV1's multiply-adds are in its 1x1 convolutions.",
    f"{parts['pointwise'][1] / whole[1]:.1%}",
    parts["pointwise"][1] > 0.9 * whole[1],
)

# %% [markdown]
# So the filters are nearly free now, and the mixing costs. MobileNetV2 (Sandler et al. 2018) turns ResNet's bottleneck inside
# out: the **inverted residual** is *wide inside*, where the depthwise filters are cheap, and *narrow between blocks*, where
# the shortcut is.

# %%
print()
block, shape = inverted_residual(24, 24, 6, 3, 1, v2_unit), (1, 24, 56, 56)
for row in rows(block, shape, depth=9):
    if row.layer_type == "Conv2d":
        print(f"{row.path:<22} {row.output!s:<15} {row.parameters:>6,} weights {row.multiply_adds:>12,} multiply-adds")

# %% [markdown]
# Its last convolution has **no activation**. Why? A ReLU sets half of the numbers to zero. Where there are many, the others
# still tell what it was; where there are few, it is lost. Take points of a plane, send them to $n$ dimensions by a random
# matrix $T$, apply ReLU, and ask: could one still tell which point it was? Coordinates above zero give one linear equation
# each, and two unknowns need two. The probability that fewer than two of $n$ are above zero is $(n + 1) / 2^n$.

# %%
angles = np.linspace(0.3, 5 * np.pi, 400)
spiral = (angles / angles.max() * np.stack([np.cos(angles), np.sin(angles)])).T


def lost_share(n, matrices):
    """Share of points that cannot be told any more after relu(T x), with T (n, 2), over this many random T."""
    return np.mean([((spiral @ rng.standard_normal((2, n)) > 0).sum(axis=1) < 2).mean() for _ in range(matrices)])


def told_from(T):
    """For each point the shortest one that fits what can still be seen of it."""
    seen = np.maximum(spiral @ T.T, 0)
    return np.stack([np.linalg.pinv(T[row > 0]) @ row[row > 0] if (row > 0).any() else np.zeros(2) for row in seen])


dimensions = (2, 3, 5, 10, 30)
lost = {n: lost_share(n, 300) for n in dimensions}
for n, share in lost.items():
    print(f"{n:>2} dimensions: {share:7.2%} of the points are lost; (n + 1) / 2^n = {(n + 1) / 2**n:7.2%}")
claim(
    "After a ReLU in 3 dimensions more than a quarter of a plane's points are lost, in 30 dimensions fewer than one in 100.",
    f"{lost[3]:.0%} and {lost[30]:.2%}",
    lost[3] > 0.25 and lost[30] < 0.01,
)
figure, axes = plt.subplots(1, 5, figsize=(11, 2.5))
for ax, n in zip(axes, (None, 2, 3, 10, 30), strict=True):
    points = spiral if n is None else told_from(np.random.default_rng(4).standard_normal((n, 2)))
    ax.scatter(*points.T, s=3, c=angles, cmap="viridis")
    ax.set(title="before" if n is None else f"through {n} dimensions", xlim=(-1.1, 1.1), ylim=(-1.1, 1.1), aspect="equal")
    ax.axis("off")
figure.suptitle("A spiral after a random matrix and a ReLU, as far as it can be recovered", y=1.06)
save(figure, HERE, "linear_bottleneck")

# %% [markdown]
# ## 8. EfficientNet-Lite: grow in all directions
#
# EfficientNet (Tan, Le 2019) is made of the same blocks, found by a search, and then grown: deeper by a factor $d$, wider by
# $w$, pictures larger by $r$, all three at once, because no single one of them pays for long. The work grows like
# $d\, w^2 r^2$, and a little faster, as numbers of layers are rounded up. The Lite variants leave out what is slow on phones
# (squeeze-and-excitation, which weights the channels by what is in them, and the activation swish, $x\,\sigma(x)$), and do not
# grow stem and head.

# %%
section("8. EfficientNet-Lite")
works = []
for variant, (width, depth, side, _) in enumerate(LITE):
    model = ARCHITECTURES[f"efficientnet_lite{variant}"](rng=0)
    works.append(model.multiply_adds((1, *model.input_shape)))
    rule = depth * width**2 * (side / LITE[0][2]) ** 2
    print(
        f"Lite{variant}: width {width}, depth {depth}, {side} x {side}: {count(model):>10,} parameters, "
        f"{works[-1] / 1e6:>6,.0f} * 10^6 multiply-adds, {works[-1] / works[0]:.2f} times Lite0 (d w^2 r^2 = {rule:.2f})"
    )

# %% [markdown]
# ## 9. All together: parameters, work, memory, accuracy
#
# Now the whole shelf. The accuracies are those published with the weights of each network (one network, one crop, ImageNet's
# validation pictures; `docs/zoo.md` has them all, with their sources). All the rest is counted here.

# %%
section("9. All together")
TABLE = {
    "alexnet": "AlexNet",
    "vgg16": "VGG-16",
    "googlenet": "GoogLeNet",
    "resnet18": "ResNet-18",
    "resnet50": "ResNet-50",
    "resnet152": "ResNet-152",
    "squeezenet1_0": "SqueezeNet 1.0",
    "mobilenet_v1": "MobileNetV1",
    "mobilenet_v2": "MobileNetV2",
    "efficientnet_lite0": "EfficientNet-Lite0",
    "efficientnet_lite2": "EfficientNet-Lite2",
}
published = {}
for family in FAMILIES.values():
    for entry in family.weights:
        if entry.top1 is not None:
            published.setdefault(entry.architecture, entry.top1)

print(f"{'':<19} {'parameters':>11} {'multiply-adds':>14} {'values kept':>12}   MB: weights x 3, 32 pictures {'top-1 %':>9}")
zoo = {}
for name, title in TABLE.items():
    model = ARCHITECTURES[name](rng=0, **({"aux": False} if name == "googlenet" else {}))
    zoo[name] = count(model), model.multiply_adds((1, *model.input_shape)), values_kept(model), published[name]
    parameters, work, values, top1 = zoo[name]
    print(
        f"{title:<19} {parameters / 1e6:>9.1f} M {work / 1e6:>12,.0f} M {values / 1e6:>10.1f} M   "
        f"{3 * 4 * parameters / 1e6:>15,.0f} {32 * 4 * values / 1e6:>12,.0f} {top1:>9.1f}"
    )
    del model
claim(
    "SqueezeNet has less than a fortieth of AlexNet's parameters and does more multiply-adds.",
    f"1 / {zoo['alexnet'][0] / zoo['squeezenet1_0'][0]:.0f} and {zoo['squeezenet1_0'][1] / zoo['alexnet'][1]:.2f} times",
    40 * zoo["squeezenet1_0"][0] < zoo["alexnet"][0] and zoo["squeezenet1_0"][1] > zoo["alexnet"][1],
)
claim(
    "Training ResNet-50 in batches of 32 keeps more numbers in maps than in weights, gradients and momentum together.",
    f"{32 * zoo['resnet50'][2] / 1e6:.0f} million against {3 * zoo['resnet50'][0] / 1e6:.0f} million",
    32 * zoo["resnet50"][2] > 3 * zoo["resnet50"][0],
)
claim(
    "VGG-16 takes more multiply-adds than ResNet-152 and names fewer pictures right than MobileNetV2.",
    f"{zoo['vgg16'][1] / zoo['resnet152'][1]:.2f} times; {zoo['vgg16'][3]} against {zoo['mobilenet_v2'][3]} %",
    zoo["vgg16"][1] > zoo["resnet152"][1] and zoo["vgg16"][3] < zoo["mobilenet_v2"][3],
)

figure, ax = plt.subplots(figsize=(8, 4.6))
for name, (parameters, work, _, top1) in zoo.items():
    ax.scatter(work / 1e9, top1, s=8e-6 * parameters, color=BLUE, alpha=0.25)
    ax.scatter(work / 1e9, top1, s=12, color=BLUE)
    below = {"alexnet": (10, -12), "googlenet": (4, -12)}  # where another name is above
    ax.annotate(TABLE[name], (work / 1e9, top1), below.get(name, (5, 5)), textcoords="offset points", fontsize=8)
ax.set_xscale("log")
ax.set_xticks([0.25, 0.5, 1, 2, 4, 8, 16], ["0.25", "0.5", "1", "2", "4", "8", "16"])
ax.minorticks_off()
ax.set(xlabel="multiply-adds for one picture, 10^9", ylabel="published top-1 accuracy, %", xlim=(0.2, 30), ylim=(54, 82))
ax.set_title("Up and to the left is better; the area of a circle shows the parameters")
save(figure, HERE, "accuracy_and_work")

# %% [markdown]
# Multiply-adds are not milliseconds either. A depthwise convolution does little with each number that it fetches, and waits
# for memory; a large 3 x 3 convolution computes flat out. `docs/zoo.md` has the times of all these networks, and the
# multiply-adds a second that they reach: the small ones are far from the large ones.
#
# ## 10. What it did to the error rate
#
# From 2010 to 2017 the ImageNet challenge (ILSVRC) asked for one of 1,000 classes; an answer counts as right if the true
# class is among the five most likely. The errors below are of the test pictures, as published; from 2012 on, those of several
# networks together:
#
# | year | | top-5 error, % | source |
# | --- | --- | --- | --- |
# | 2010, 2011 | features made by hand, linear SVM | 28.2, 25.8 | Russakovsky et al. 2015, section 5.1 |
# | 2012 | AlexNet | 16.4 | the same (15.3 with more pictures: Krizhevsky et al. 2012) |
# | 2013 | Clarifai ("ZF") | 11.7 | the same |
# | 2014 | VGG (second), GoogLeNet | 7.3, 6.7 | Simonyan, Zisserman 2015, section 4.5; Szegedy et al. 2015, section 7 |
# | 2015 | ResNet | 3.57 | He et al. 2016, table 5 |
# | 2016 | Trimps-Soushen | 2.99 | image-net.org/challenges/LSVRC/2016/results |
# | 2017 | SENet | 2.25 | Hu, Shen, Sun 2018 |
# | | a person, after practice | 5.1 | Russakovsky et al. 2015, section 6.4.1 |
#
# > **A note.** Slides often give the 11.7 % of 2013 to "ZF", the network of Zeiler and Fergus. It was Clarifai, the company
# > that Zeiler had founded; for six networks of the paper VGG's table 7 lists 14.8 %. And the person is *one* person, who
# > practised on 500 pictures; a second one, who had practised less, made 12 % of mistakes.

# %%
section("10. The challenge")
WINNERS = [
    (2010, "by hand", 28.2),
    (2011, "by hand", 25.8),
    (2012, "AlexNet", 16.4),
    (2013, 'Clarifai\n("ZF")', 11.7),
    (2014, "GoogLeNet", 6.7),
    (2015, "ResNet", 3.57),
    (2016, "Trimps-\nSoushen", 2.99),
    (2017, "SENet", 2.25),
]
SECOND, PERSON = ("VGG", 7.3), 5.1
figure, ax = plt.subplots(figsize=(8, 3.8))
for year, name, error in WINNERS:
    ax.bar(year, error, 0.7, color=GREY if name == "by hand" else BLUE)
    inside = error < 7  # above it is the line of the second, or of a person
    ax.text(year, error + (-1.6 if inside else 0.4), f"{error:g}", ha="center", fontsize=9, color="white" if inside else INK)
ax.plot([2013.65, 2014.35], [SECOND[1]] * 2, color=INK, lw=1.2)
ax.text(2014.4, SECOND[1] - 0.1, f"second: {SECOND[0]}, {SECOND[1]}", fontsize=8, va="bottom")
ax.axhline(PERSON, color=ORANGE, ls="--", lw=1.2)
ax.text(2017.45, PERSON + 0.3, f"a person: {PERSON}", color=ORANGE, ha="right", fontsize=9)
ax.set_xticks([year for year, *_ in WINNERS], [f"{year}\n{name}" for year, name, _ in WINNERS], fontsize=8)
ax.set(ylabel="top-5 error on the test pictures, %", ylim=(0, 31), title="Winners of the ImageNet challenge, classification")
save(figure, HERE, "history")
for (year, _, before), (_, name, after) in pairwise(WINNERS):
    shown = name.replace("-\n", "-").replace("\n", " ")
    print(f"{year + 1}: {shown:<16} {after:>5g} %, {after / before:.2f} of the year before")

# %% [markdown]
# ## What this lesson claims
#
# - With the averages and the table of connections of 1998, LeNet-5 has just the 60,000 parameters of its paper.
# - The three fully connected layers of VGG-16 hold over 85 % of its parameters and do under 1 % of its multiply-adds.
# - Its first stage, two convolutions and a pool, keeps more than 40 % of all values, with less than 0.1 % of the parameters.
# - The 1x1 reductions save more than half of the multiply-adds of the nine Inception modules.
# - On its way down 56 untrained layers the gradient grows at least ten times as much without shortcuts as with them.
# - Without shortcuts 56 layers fit their own training pictures worse than 20 layers do, after the same number of steps.
# - The same 56 layers, from the same weights, fit them better with shortcuts than without.
# - More than nine tenths of MobileNetV1's multiply-adds are in its 1x1 convolutions.
# - After a ReLU in 3 dimensions more than a quarter of a plane's points are lost, in 30 dimensions fewer than one in 100.
# - SqueezeNet has less than a fortieth of AlexNet's parameters and does more multiply-adds.
# - Training ResNet-50 in batches of 32 keeps more numbers in maps than in weights, gradients and momentum together.
# - VGG-16 takes more multiply-adds than ResNet-152 and names fewer pictures right than MobileNetV2.

# %%
print_claims()

# %% [markdown]
# ## Questions
#
# 1. You double the side of the pictures. What becomes of the parameters, the multiply-adds and the kept values of VGG-16's
#    convolutions, and of its first fully connected layer?
#
# <details><summary>Answer</summary>
#
# The convolutions' parameters stay. Their multiply-adds and values become four times as many, as there are four times as many
# positions. The first fully connected layer has a weight for each number of the last map: it would need four times the
# parameters, and the trained ones do not fit any more. Networks that average their last map (GoogLeNet, ResNet, MobileNet)
# have no such trouble.
#
# </details>
#
# 2. A 3 x 3 convolution from 256 to 256 channels is put into 32 groups. By how much do its parameters shrink, and what can it
#    not do any more? What would you put behind it?
#
# <details><summary>Answer</summary>
#
# By 32: each filter sees 8 channels. What a group computes depends on its own 8 channels only, and if the next layer has the
# same groups, that goes on: the network falls apart into 32 narrow ones that never hear of each other. A 1 x 1 convolution
# without groups behind it mixes them; with 256 groups that is the depthwise separable block. (ResNeXt has a 1 x 1 on both
# sides; ShuffleNet permutes the channels.)
#
# </details>
#
# 3. In a residual block the last batch norm's $\gamma$ is sometimes set to 0 at the start. What does the block compute then,
#    what is its gradient with respect to $x$, and which parameter moves first?
#
# <details><summary>Answer</summary>
#
# $F(x) = \beta = 0$, so $y = \mathrm{relu}(x)$, and as $x$ comes from a ReLU that is $x$: the identity. The gradient passes
# as it is, $dx = dz$; through the body comes nothing, as everything there is multiplied by $\gamma = 0$. Only $\gamma$ itself
# and $\beta$ have gradients at first ($d\gamma$ does not contain $\gamma$); once $\gamma$ has moved, the weights below
# follow. A network of any depth starts as a shallow one.
#
# </details>
#
# ## Further reading
#
# - LeCun, Bottou, Bengio, Haffner 1998, *Gradient-Based Learning Applied to Document Recognition*, section II.B and table I
# - Krizhevsky, Sutskever, Hinton 2012, *ImageNet Classification with Deep Convolutional Neural Networks*, section 3
# - Simonyan, Zisserman 2015, *Very Deep Convolutional Networks for Large-Scale Image Recognition*, arXiv 1409.1556, sections
#   2.3 and 4.5
# - Szegedy et al. 2015, *Going Deeper with Convolutions*, arXiv 1409.4842, sections 4 and 5
# - He, Zhang, Ren, Sun 2016, *Deep Residual Learning for Image Recognition*, arXiv 1512.03385, sections 1, 3 and 4.2
# - Yang et al. 2019, *A Mean Field Theory of Batch Normalization*, arXiv 1902.08129: why the gradient grows without shortcuts
# - Iandola et al. 2016, *SqueezeNet*, arXiv 1602.07360, section 3
# - Howard et al. 2017, *MobileNets*, arXiv 1704.04861, section 3.1; Sandler et al. 2018, *MobileNetV2*, arXiv 1801.04381,
#   section 3
# - Tan, Le 2019, *EfficientNet*, arXiv 1905.11946, section 3
# - Russakovsky et al. 2015, *ImageNet Large Scale Visual Recognition Challenge*, arXiv 1409.0575, sections 5.1 and 6.4
# - In this repository: `minicnn/models/`, where each network reads like its paper's table, and `docs/zoo.md`
#
# ## Next
#
# Now write the pieces yourself: `exercise.py`, seven small tasks from counting a grouped convolution to an inverted residual;
# then
#
#     minicnn check 9
#
# Counting is done with random weights. The lessons that follow take networks like these with weights that somebody else has
# trained.

# %%
print("\nnow you: lessons/09_architectures/exercise.py, then minicnn check 9")
