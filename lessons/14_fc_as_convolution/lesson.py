# %% [markdown]
# # Lesson 14. Fully connected layers as convolutions: other image sizes, dense evaluation, class maps
#
# A pretrained network comes with a size: 28 x 28 pixels, or 224 x 224. The pictures at hand are larger, or not square, and
# what they show is not in the middle. One can cut out crops and pass them one by one. There is something better: most layers
# do not mind the size at all, and the few that do can be turned into ones that do not, without changing a weight. Then a
# single pass over the whole picture gives the scores of all crops, as a map.
#
# **Before**: convolution, pooling and what a unit sees (lesson 3); backpropagation (lesson 2); ten crops (lesson 8, section
# 6); LeNet-5, AlexNet, VGG and networks that end in an average (lesson 9).
#
# **After**: you can turn any classifier into one for pictures of any size, and say at which step, from which pixels and at
# what cost it computes its map; you know where the map equals the scores of crops and where it does not; you can draw class
# maps and find things with them; and you know what another size does to the accuracy.
#
# Run it (`minicnn lesson 14`, with `--quick` for a first look), or open it as a notebook. All numbers are measured as it runs,
# and the figures go to `out/` beside it. Then do the exercise: `minicnn check 14`. A longer experiment on the same subject,
# with AlexNet, VGG-16 and SqueezeNet, is `lessons/laboratory/fc_to_conv.py`; what came of it is in
# `docs/laboratory/fc_to_conv.md`.

# %%
import copy
import sys
import time
import zipfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Rectangle
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image
from scipy import ndimage
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
    drawn_digits,
    find_data,
    picture_grid,
    print_claims,
    save,
    section,
)
from minicnn.data import (
    Augmentation,
    Compose,
    RandomCrop,
    RandomResizedCrop,
    load_fashion_mnist,
    load_mnist,
    open_pictures,
    solar_cells,
)
from minicnn.data.pictures import read_picture
from minicnn.errors import DataError, WeightsError
from minicnn.inference import infer
from minicnn.initializers import msra
from minicnn.layers import Conv2d, Flatten, Linear, MaxPool2d, ReLU
from minicnn.losses import SoftmaxCrossEntropy, softmax
from minicnn.models import Model, alexnet, resnet18, resnet20, vgg16
from minicnn.optim import SGD, Adam
from minicnn.schedules import cosine
from minicnn.training import Trainer
from minicnn.transfer import fc_to_conv, without_padding
from minicnn.transfer.multi_crop import ten_crops
from minicnn.viz import grad_cam, upsample

HERE = Path(globals().get("__file__", "lesson.py")).resolve().parent
rng = np.random.default_rng(14)

lenet = minicnn.load("lenet5_mnist")
try:
    efficientnet = minicnn.load("efficientnet_lite0")
except WeightsError as error:
    sys.exit(f"This lesson needs the pretrained network. {error}")


def as_in_mnist(pictures):
    """Drawn digits on black, and in the middle by their centre of mass, as MNIST has them."""
    inked = np.where(pictures > 80, pictures, 0).astype(np.uint8)
    moved = [np.round(13.5 - np.array(ndimage.center_of_mass(picture))).astype(int) for picture in inked]
    return np.stack([np.roll(picture, by, axis=(0, 1)) for picture, by in zip(inked, moved, strict=True)])


def noisy(pictures):
    return np.clip(pictures + rng.normal(0, 60, pictures.shape), 0, 255).astype(np.uint8)


def shuffled(name, load, change):
    """(pictures, labels) to train with and to test with, in random order, uint8 (N, 28, 28): real ones, or drawn digits."""
    if folder := find_data(name):
        x, y, x_test, y_test = load(folder)
        print(f"real pictures: {name}, from the data folder")
    else:
        (x, y), (x_test, y_test) = drawn_digits(6000, rng), drawn_digits(2000, rng)
        x, x_test = change(x), change(x_test)
        print(f"there is no {name}/ in the folder that MINICNN_DATA names: using digits of a font")
    order, order_test = rng.permutation(len(x)), rng.permutation(len(x_test))
    return (x[order], y[order]), (x_test[order_test], y_test[order_test])


def side_by_side(pictures, rows, columns):
    """Pictures (rows * columns, H, W) as one, (rows * H, columns * W)."""
    return np.block([[pictures[row * columns + column] for column in range(columns)] for row in range(rows)])


def apart(a, b):
    """The largest difference, as a share of the largest value."""
    return float(np.abs(a - b).max() / np.abs(b).max())


def seconds(run, times=2):
    """Of the faster run, after one that does not count."""
    run()
    measured = []
    for _ in range(times):
        started = time.perf_counter()
        run()
        measured.append(time.perf_counter() - started)
    return min(measured)


section("Data")
digits, digits_test = shuffled("mnist", load_mnist, as_in_mnist)
clothes, clothes_test = shuffled("fashion-mnist", load_fashion_mnist, noisy)

# %% [markdown]
# ## 1. Which layers mind the size
#
# The weights of a convolution are $F$ filters of $C \times KH \times KW$ numbers. The height $H$ and the width $W$ of the
# picture are not among them: the same filters slide over a picture of any size, and a larger picture gives a larger map. The
# same goes for pools and ReLUs, and for batch normalisation and dropout over maps. The first layer that minds is the fully
# connected one: it has a weight for *every number* of the map below it.

# %%
section("1. Which layers mind the size")
for side in (28, 32, 60):
    x = np.zeros((1, 1, side, side), np.float32)
    last = lenet.split("relu5")[0].output_shape(x.shape)
    try:
        said = f"scores {lenet.forward(x).shape}"
    except ValueError as error:
        said = f"refused: {error}"
    print(f"LeNet-5, {side} x {side} pixels: last map {last[1]} x {last[2]} x {last[3]}; {said}")

print("\nthe last map, for a picture of the network's own size, and one and a half times as large:")
volumes = {}
for title, net in {
    "AlexNet": alexnet(include_top=False, rng=0),
    "VGG-16": vgg16(include_top=False, rng=0),
    "ResNet-18": resnet18(include_top=False, rng=0),
    "EfficientNet-Lite0": efficientnet.split("head")[0],
}.items():
    side = 227 if title == "AlexNet" else 224
    volumes[title], larger = (net.output_shape((1, 3, n, n))[1:] for n in (side, side * 3 // 2))
    kind = "flattened" if title in ("AlexNet", "VGG-16") else "averaged over space"
    print(f"    {title:<18} {volumes[title]} and {larger}; then {kind}")
print(f"AlexNet has 60,965,224 parameters; with a last map of 6 x 6 x 512, fc6 alone would have {6 * 6 * 256 * 4096:,} more")
claim(
    "AlexNet's last map has 6 x 6 x 256 numbers; 7 x 7 x 512 is VGG's.",
    f"{volumes['AlexNet']} and {volumes['VGG-16']}",
    volumes["AlexNet"] == (256, 6, 6) and volumes["VGG-16"] == (512, 7, 7),
)

# %% [markdown]
# > **A correction.** One of our sources has AlexNet's last pooling volume as 6 x 6 x 512. It is **6 x 6 x 256**: 9,216 numbers,
# > each of which has 4,096 weights in fc6. The 512 is VGG's, whose last volume is 7 x 7 x 512.
#
# So there are two kinds of network. ResNets, MobileNets, EfficientNets and the like *average* their last map over space before
# the classifier, and take pictures of any size as they are (section 6). LeNet, AlexNet and VGG *flatten* it, and are to be
# converted.
#
# ## 2. A fully connected layer is a convolution
#
# A fully connected layer $s = w\,v + b$, whose input $v$ is a volume $x$ of $C \times H \times W$, flattened, computes
#
# $$s_f = b_f + \sum_{c,\,i,\,j} w_{f,\,d(c,i,j)}\; x_{c,i,j}, \qquad d(c, i, j) = (cH + i)\,W + j ,$$
#
# where $d(c, i, j)$ is the place in the row $v$ at which $x_{c,i,j}$ stands. A convolution with filters
# $\tilde w_{f,c,i,j} = w_{f,\,d(c,i,j)}$ of $H \times W$ taps and without padding fits into this volume at one place. There it
# computes
#
# $$y_{f,0,0} = b_f + \sum_{c,\,i,\,j} \tilde w_{f,c,i,j}\; x_{c,i,j} = s_f .$$
#
# It is the same sum, number by number. The next fully connected layer stands on $F$ numbers, which are now a volume of
# $F \times 1 \times 1$: it becomes a convolution with filters of $1 \times 1$. ReLUs and dropout stay as they are, and a batch
# normalisation between the layers becomes one over maps.
#
# | | fully connected | as a convolution | weights |
# | --- | --- | --- | --- |
# | AlexNet's fc6 | 9,216 to 4,096 | 4,096 filters of 256 x 6 x 6, no padding | 37.7 million |
# | VGG's fc6 | 25,088 to 4,096 | 4,096 filters of 512 x 7 x 7, no padding | 102.8 million |
# | fc7 | 4,096 to 4,096 | 4,096 filters of 4,096 x 1 x 1 | 16.8 million |
# | fc8 | 4,096 to 1,000 | 1,000 filters of 4,096 x 1 x 1 | 4.1 million |
#
# LeNet-5 had it from the beginning: LeCun et al. call their layer c5, 16 x 5 x 5 to 120, a convolution although it has one
# place only, *because* a larger picture would give it more. Here is LeNet-5 with c5 written as a fully connected layer, and
# the convolutions that `fc_to_conv` makes of that. We compare in float64, where rounding is too small to hide a difference.

# %%
section("2. A fully connected layer is a convolution")


def flattened_early(network):
    """LeNet-5 with c5 as a fully connected layer, on a flattened volume of 16 x 5 x 5."""
    layers = dict(network.copy().layers)
    c5, fc = layers["c5"], Linear(400, 120, rng=0)
    fc.w.value, fc.b.value = c5.w.value.reshape(120, 400), c5.b.value
    below, above = ("c1", "relu1", "s2", "c3", "relu3", "s4"), ("relu5", "f6", "relu6", "output")
    order = [(n, layers[n]) for n in below] + [("flatten", Flatten()), ("c5", fc)] + [(n, layers[n]) for n in above]
    return Model(dict(order), architecture="LeNet-5, flattened early", input_shape=(1, 28, 28)).eval()


early = flattened_early(lenet).astype(np.float64)
x = lenet.preprocessing.normalise(digits_test[0][:200]).astype(np.float64)
converted = fc_to_conv(early)
own_size = apart(converted.forward(x)[:, :, 0, 0], early.forward(x))
for name in ("c5", "f6", "output"):
    print(f"{name:<6} fully connected: w {early.layers[name].w.value.shape!s:<10}", end=" ")
    print(f"as a convolution: w {converted.layers[name].w.value.shape}")
print(f"scores of {len(x)} digits: at most {own_size:.0e} apart (of the largest)")

volume = (256, 6, 6)
fc6, fc7 = Linear(int(np.prod(volume)), 64, rng=1), Linear(64, 10, rng=2)
head = Model({"flatten": Flatten(), "fc6": fc6, "relu6": ReLU(), "fc7": fc7}, architecture="head", input_shape=volume)
head = head.astype(np.float64).eval()
maps = rng.standard_normal((4, *volume))
of_alexnet = apart(fc_to_conv(head).forward(maps)[:, :, 0, 0], head.forward(maps))
print(f"a head on AlexNet's volume, 6 x 6 x 256: {of_alexnet:.0e} apart")
claim(
    "In float64, fully connected layers and the convolutions with their weights give the same scores up to rounding.",
    f"{own_size:.0e} and {of_alexnet:.0e} of the largest score apart",
    max(own_size, of_alexnet) < 1e-12,
)

# %% [markdown]
# **The order of flattening.** Which input of the fully connected layer is which place of the volume, $d(c, i, j)$, is a
# convention. Here, as in PyTorch and Caffe, volumes are $(C, H, W)$ and $d = (cH + i)W + j$: all of the first channel comes
# first. In Keras and TensorFlow they are $(H, W, C)$ by default, and $d = (iW + j)C + c$: all channels of the first pixel come
# first. The number of weights is the same. Who reads weights in the wrong order gets no error, only a network that is wrong.
# We write c5's weights in Keras's order, and read them in ours:

# %%
as_keras = lenet.layers["c5"].w.value.transpose(0, 2, 3, 1).reshape(120, 400)
scrambled = lenet.copy()
scrambled.layers["c5"].w.value[...] = as_keras.reshape(120, 16, 5, 5)
shown, truth = (part[: 500 if QUICK else 2000] for part in digits_test)
answers = {}
for title, net in {"in the right order": lenet, "in the wrong order": scrambled}.items():
    scores = net.fuse().forward(lenet.preprocessing.normalise(shown))
    answers[title] = float((scores.argmax(axis=1) == truth).mean())
    print(f"c5 read {title}: {answers[title]:.1%} of the digits right")
claim(
    "Weights that are read in the wrong order of flattening fit without an error, and spoil the network.",
    f"{answers['in the wrong order']:.1%} of the digits right, {answers['in the right order']:.1%} with the right order",
    answers["in the wrong order"] < 0.6 * answers["in the right order"],
)

# %% [markdown]
# ## 3. A larger picture: one pass, all crops
#
# In a larger picture the last map is larger, the converted layer's window fits at many places of it, and each of them, a
# **cell** of the map, gives a full set of scores. What does a cell see? The windows of neighbouring cells lie one element of
# the last map apart, and that is the **product of all strides** in pixels (lesson 3). LeNet-5 has two pools of stride 2: step
# 4. Along each axis, with $n$ the length of the last map and $m$ that for the network's own size,
#
# $$\text{cells} = n - m + 1, \qquad \text{step} = \prod_\ell s_\ell .$$
#
# If nothing is padded, cell $(i, j)$ computes from the crop at $(i \cdot \text{step},\, j \cdot \text{step})$ just what the
# network would: the same windows, the same sums. We check it for every crop of a canvas of digits. `without_padding` gives
# LeNet-5 as in its paper: not 28 x 28 pixels padded by two, but the 32 x 32 that are really there.

# %%
section("3. One pass, all crops")
dense = fc_to_conv(lenet)
for size in ((28, 28), (28, 31), (28, 32), (28, 56), (60, 92)):
    print(f"a picture of {size[0]} x {size[1]}: a map of {' x '.join(map(str, dense.output_shape((1, 1, *size))[2:]))}")

bare = without_padding(lenet).copy().astype(np.float64).eval()  # for 32 x 32 pixels
bare_dense = fc_to_conv(bare)
canvas = lenet.preprocessing.normalise(side_by_side(digits_test[0], 4, 4)[None]).astype(np.float64)
area = canvas[:, :, :92, :92]
windows = sliding_window_view(area[0, 0], (32, 32))[::4, ::4]
crops = np.ascontiguousarray(windows.reshape(-1, 1, 32, 32))
scores = bare_dense.forward(area)
one_by_one = bare.forward(crops).reshape(*windows.shape[:2], 10).transpose(2, 0, 1)
all_crops = apart(scores[0], one_by_one)
print(f"LeNet-5 without padding over {area.shape[2]} x {area.shape[3]} pixels: {len(crops)} crops, {all_crops:.0e} apart")
claim(
    "Without padding, every element of the map equals the scores of its crop up to rounding.",
    f"{len(crops)} crops, at most {all_crops:.0e} of the largest score apart",
    all_crops < 1e-12,
)

# %% [markdown]
# **With padding it is different.** A crop that is passed alone has zeros around it. In the larger picture its neighbours are
# there. (And zeros are not even black: the pixels were normalised, so that padding is a grey frame.) CS231n's notes say that
# the dense pass gives "an identical result" to the crops of a network like VGG. That holds for the fully connected layers on
# the last map, but the convolutions below them pad, and so it does not hold for the crops.
#
# How far does it reach? We take one crop out of a large picture of noise, and compare its maps, layer by layer, with the same
# part of the large picture's maps: once for LeNet-5, which pads in its first layer only, and once for a ResNet-20 (with random
# weights), which pads in all of its 3 x 3 convolutions.

# %%


def changed_by_padding(network, steps, side, at, picture):
    """Where a crop's maps differ from the same part of the picture's maps: {layer: bool (h, w)}; steps in pixels by layer."""
    alone = network.forward(np.ascontiguousarray(picture[:, :, at : at + side, at : at + side]), layers=list(steps))
    large = network.forward(picture, layers=list(steps))
    found = {}
    for name, step in steps.items():
        size, start = alone[name].shape[2], at // step
        part = large[name][0, :, start : start + size, start : start + size]
        found[name] = np.abs(part - alone[name][0]).max(axis=0) > 1e-9 * np.abs(part).max()
    return found


noise = rng.standard_normal((1, 1, 76, 76))
lenet64 = lenet.copy().astype(np.float64)
by_lenet = changed_by_padding(lenet64, {"c1": 1, "s2": 2, "c3": 2, "s4": 4, "c5": 4}, 28, 24, noise)
steps = {"conv1": 1, "conv2_1": 1, "conv2_3": 1, "conv3_1": 2, "conv3_3": 2, "conv4_3": 4}
resnet = resnet20(rng=0).astype(np.float64).eval()
by_resnet = changed_by_padding(resnet, steps, 32, 32, rng.standard_normal((1, 3, 96, 96)))
for title, found in {"LeNet-5": by_lenet, "ResNet-20": by_resnet}.items():
    print(f"{title}: elements that padding changes", ", ".join(f"{name} {m.mean():.0%}" for name, m in found.items()))
figure, axes = picture_grid(2, 6, 1.35)
for row, (title, found) in zip(axes, {"LeNet-5": by_lenet, "ResNet-20": by_resnet}.items(), strict=True):
    row[0].text(-0.15, 0.5, title, rotation=90, ha="right", va="center", transform=row[0].transAxes)
    for ax, (name, mask) in zip(row, found.items(), strict=False):
        ax.imshow(mask, cmap="Oranges", vmin=0, vmax=1.4)
        ax.set_title(f"{name}: {mask.mean():.0%}", fontsize=8)
        ax.add_patch(Rectangle((-0.5, -0.5), mask.shape[1], mask.shape[0], fill=False, ec=GREY))
figure.suptitle("Orange: elements of a crop's maps that are not those of the larger picture", y=1.02)
save(figure, HERE, "padding")
ring = 1 - (24 / 28) ** 2
claim(
    "Padding changes a frame of two elements of LeNet-5's first map, and ResNet-20's padding changes its whole last map.",
    f"{by_lenet['c1'].mean():.1%} of c1, where a frame of two is {ring:.1%}; {by_resnet['conv4_3'].mean():.0%} of the last map",
    abs(by_lenet["c1"].mean() - ring) < 1e-9 and by_resnet["conv4_3"].all(),
)

around = canvas[:, :, 8:112, 8:112]  # and the same without two pixels on each side, which become padding
padded, real = fc_to_conv(lenet64).forward(np.ascontiguousarray(around[:, :, 2:-2, 2:-2])), bare_dense.forward(around)
differs = np.abs(padded - real)[0].max(axis=0) > 1e-9 * np.abs(real).max()
print(f"LeNet-5's map over a part of the canvas, and with the real surroundings in the place of zeros: {differs.sum()} of the")
print(f"    {differs.size} cells differ, {differs[1:-1, 1:-1].sum()} of them inside, the others at the edge of the map")
claim(
    "Where a cell's window lies within the picture, the padded LeNet-5's map is that of the crop with its real surroundings.",
    f"{differs[1:-1, 1:-1].sum()} of {differs[1:-1, 1:-1].size} inner cells differ",
    not differs[1:-1, 1:-1].any() and differs.any(),
)

# %% [markdown]
# (A pool passes nothing on where the largest element of a window has not changed. That is why s4's frame has gaps.)
#
# So the map is not *wrong* near the borders of crops. It is the crop's own score that knows less: it has seen zeros where there
# was something to see. Only cells near the edge of the map still see padding. What it changes in the scores of AlexNet and
# VGG-16, and that it is exact there with the surroundings, was measured in the laboratory.
#
# **Training, too.** If the loss is a sum over the cells of the map, its gradient is the sum of the gradients of all crops. One
# backward pass over a large picture is a step on a batch of all its crops. (Overlapping crops are alike, so that such a batch
# is worth less than one of as many different pictures; Long et al. train whole pictures like this.)

# %%
targets = rng.integers(0, 10, windows.shape[:2])
one_hot = np.eye(10)[targets]


def gradients(network, inputs, dscores_of):
    network.eval(backward=True)
    network.backward(dscores_of(network.forward(inputs)))
    return {name: parameter.grad.copy() for name, parameter in network.parameters().items()}


by_crops = gradients(bare, crops, lambda s: softmax(s) - one_hot.reshape(-1, 10))
by_map = gradients(
    bare_dense,
    area,
    lambda s: np.ascontiguousarray((softmax(s[0].transpose(1, 2, 0).reshape(-1, 10)).reshape(one_hot.shape) - one_hot)
                                   .transpose(2, 0, 1)[None]),
)  # fmt: skip
worst = max(apart(by_map[name].reshape(gradient.shape), gradient) for name, gradient in by_crops.items())
print(f"gradients of the loss summed over the map, and summed over {len(crops)} crops: {worst:.0e} apart")
claim(
    "The gradient of a loss that is summed over the map is the sum of the gradients over the crops.",
    f"all parameters of LeNet-5 without padding, at most {worst:.0e} apart",
    worst < 1e-10,
)

# %% [markdown]
# ## 4. What it costs
#
# Crops that overlap have most of their first layers in common. A dense pass computes each element of these maps once, the
# crops compute it as often as they contain it. Take a layer whose map is $m$ elements wide for a crop, while neighbouring
# cells are $t$ of its elements apart. The crops compute $m^2$ elements each, and the dense pass, far from the edges, $t^2$ new
# ones for each cell: a factor of $(m/t)^2$. At the top there is nothing to share: each cell has a window of its own. For
# LeNet-5, with $28^2$ elements a crop in c1 and steps of 4, $10^2$ in c3 and steps of 2, and single elements above, that is
# 49, 25 and 1.

# %%
section("4. What it costs")
REPEATS = 10 if QUICK else 20
big = side_by_side(digits_test[0], REPEATS, REPEATS)
x_big = lenet.preprocessing.normalise(big[None])


def work(network, shape):
    """Multiply-adds of each layer that has any."""
    costs = {}
    for name, layer in network.layers.items():
        costs[name], shape = layer.multiply_adds(shape), layer.output_shape(shape)
    return {name: cost for name, cost in costs.items() if cost}


OH, OW = dense.output_shape(x_big.shape)[2:]
in_dense = work(dense, x_big.shape)
in_crops = {name: OH * OW * cost for name, cost in work(lenet, (1, 1, 28, 28)).items()}
print(f"a canvas of {big.shape[0]} x {big.shape[1]} pixels: {OH * OW:,} crops at steps of 4")
for name in in_crops:
    crops_take, dense_takes = in_crops[name] / 1e6, in_dense[name] / 1e6
    print(f"    {name:<7} all crops {crops_take:>8,.0f} million multiply-adds, dense {dense_takes:>6,.0f}:", end=" ")
    print(f"{crops_take / dense_takes:.1f} times")
times_less = sum(in_crops.values()) / sum(in_dense.values())

fast, fast_dense = lenet.fuse(), dense.fuse()
rows = sliding_window_view(x_big[0, 0], (28, 28))[::4, ::4]


def crop_by_crop():
    """Row by row of the map, each as one batch."""
    return np.stack([fast.forward(np.ascontiguousarray(row[:, None])) for row in rows])


time_dense, time_crops = seconds(lambda: fast_dense.forward(x_big)), seconds(crop_by_crop, times=1)
print(f"in all {times_less:.1f} times fewer multiply-adds; {1000 * time_dense:.0f} ms, and {1000 * time_crops:.0f} ms", end=" ")
print(f"for the crops: {time_crops / time_dense:.0f} times as fast")
claim(
    "Over a canvas of digits, LeNet-5's dense pass takes less than a fifth of the multiply-adds of its crops, and less time.",
    f"{times_less:.1f} times fewer, {time_crops / time_dense:.0f} times as fast",
    times_less > 5 and time_crops > 1.5 * time_dense,
)

# %% [markdown]
# The gain in time is larger here than that in multiply-adds, as the same work is done more slowly on many small maps than on a
# large one. How far can the gain in multiply-adds go? For a network with most of its work in the convolutions, far: for VGG-16,
# with maps of $224/s$ elements and steps of $32/s$, all of them share by $(224/32)^2 = 49$. What is left are the fully
# connected layers, which share nothing, and in the end set the limit.

# %%
bodies = {
    "AlexNet": (alexnet(include_top=False, rng=0), 227, 32, 6 * 6 * 256 * 4096 + 4096 * 4096 + 4096 * 1000),
    "VGG-16": (vgg16(include_top=False, rng=0), 224, 32, 7 * 7 * 512 * 4096 + 4096 * 4096 + 4096 * 1000),
    "LeNet-5": (lenet.split("s4")[0], 28, 4, 400 * 120 + 120 * 84 + 84 * 10),
}
sides = (1, 2, 4, 8, 16, 32, 64)
figure, ax = plt.subplots(figsize=(6, 3.4), layout="tight")
for (title, (body, side, step, above)), color in zip(bodies.items(), (ORANGE, GREEN, BLUE), strict=True):
    channels = body.layers[next(iter(body.layers))].in_channels
    own = body.multiply_adds((1, channels, side, side)) + above
    ratios = []
    for n in sides:
        large = side + step * (n - 1)
        ratios.append(n * n * own / (body.multiply_adds((1, channels, large, large)) + n * n * above))
    some = ", ".join(f"{n} x {n} cells {r:.1f}" for n, r in zip(sides, ratios, strict=True) if n in (2, 8, 64))
    print(f"times fewer multiply-adds than the crops: {title:<8} {some}")
    ax.plot(sides, ratios, "o-", color=color, label=title)
ax.set_xscale("log", base=2)
ax.set_xticks(sides, [str(n) for n in sides])
ax.set(xlabel="cells along each side of the map", ylabel="times fewer multiply-adds", title="One dense pass against all crops")
ax.legend()
save(figure, HERE, "cost")

# %% [markdown]
# ## 5. Finding things: class maps
#
# A map of scores says *where* as well as *what*. We scatter digits over canvases, and let LeNet-5 look at all places at once.
# At the place of a digit it is mostly right. But look at what it says between the digits. It has ten classes, all of them
# digits; a softmax must spread a probability of 1 over these ten; and nothing in its training has told it what is *not* a
# digit. So the edge of one digit may be another one, with certainty, and even black has a favourite: 1.
#
# (What we report is a detection wherever a cell is more certain than its neighbours, above a threshold. Two shares say how good
# that is: how many of the digits are found, and how many of the detections are right. F1 is their harmonic mean. Either network
# gets the threshold that suits it best on these very canvases, so that its shares are a little too good.)
#
# The cure is an eleventh class, **nothing**, and training windows for it: black ones, halves of digits, the gap between two.
# That is transfer learning on a small scale: a new head, and a few thousand windows cut from canvases. (We take LeNet-5 without
# padding, for windows of 32 x 32, so that what is trained on windows is exactly what the map computes.)

# %%
section("5. Finding things")
SQUARE, DIGIT, NOTHING = 44, 28, 10


def scattered(pictures, labels, count, rng, rows=4, columns=5):
    """Canvases (count, H, W) with digits here and there, with two black pixels around; for each, [(top, left, label)].

    Where a digit of 28 x 28 has its corner at (top, left), its window of 32 x 32, with surroundings, has it too.
    """
    canvases = np.zeros((count, rows * SQUARE + 4, columns * SQUARE + 4), np.uint8)
    places = []
    for canvas in canvases:
        placed = []
        for square in range(rows * columns):
            if rng.random() < 0.3:
                continue
            chosen = rng.integers(len(pictures))
            top, left = np.array(divmod(square, columns)) * SQUARE + rng.integers(0, SQUARE - DIGIT + 1, 2)
            canvas[top + 2 : top + 2 + DIGIT, left + 2 : left + 2 + DIGIT] = pictures[chosen]
            placed.append((int(top), int(left), int(labels[chosen])))
        places.append(placed)
    return canvases, places


def training_windows(canvases, places, rng):
    """Windows uint8 (N, 32, 32) and labels: digits at most two pixels from the middle, and windows without a digit's middle."""
    windows, labels = [], []
    H, W = np.array(canvases.shape[1:]) - 32
    for canvas, placed in zip(canvases, places, strict=True):
        for top, left, label in placed:
            i, j = np.clip((top, left) + rng.integers(-2, 3, 2), 0, (H, W))
            windows.append(canvas[i : i + 32, j : j + 32])
            labels.append(label)
        wanted, corners = len(placed), np.array([place[:2] for place in placed]).reshape(-1, 2)
        while wanted:
            i, j = rng.integers(0, (H + 1, W + 1))
            if (np.abs(corners - (i, j)).max(axis=1) >= 7).all():
                windows.append(canvas[i : i + 32, j : j + 32])
                labels.append(NOTHING)
                wanted -= 1
    return np.stack(windows), np.array(labels)


train_canvases = scattered(*digits, 60 if QUICK else 400, rng)
windows_11, labels_11 = training_windows(*train_canvases, rng)
detector = without_padding(lenet).copy()
detector.replace_head([*lenet.classes, "nothing"], rng=0)
trainer = Trainer(
    detector,
    SoftmaxCrossEntropy(),
    Adam(detector.parameters(), 1e-3),
    epochs=2 if QUICK else 4,
    batch_size=64,
    schedule=cosine(),
    prepare=lenet.preprocessing.normalise,
    label="eleven classes",
)
trainer.fit(windows_11, labels_11)
test_canvases, test_places = scattered(*digits_test, 8 if QUICK else 40, rng)
total = sum(map(len, test_places))


def maps_of(network):
    """Probabilities of all cells (canvases, K, OH, OW)."""
    scores = fc_to_conv(network).fuse().forward(lenet.preprocessing.normalise(test_canvases))
    return (
        softmax(scores.transpose(0, 2, 3, 1).reshape(-1, scores.shape[1]))
        .reshape(len(scores), *scores.shape[2:], -1)
        .transpose(0, 3, 1, 2)
    )


def detections(p):
    """Local maxima of the evidence for a digit, as log odds: [(evidence, top, left, digit)] of a map (K, OH, OW)."""
    best = np.clip(p[:10].max(axis=0).astype(np.float64), 1e-9, 1 - 1e-9)
    evidence = np.log(best / (1 - best)) + 1e-9 * np.arange(best.size).reshape(best.shape)  # no two are equal
    peaks = np.argwhere(evidence == ndimage.maximum_filter(evidence, size=7))
    return [(evidence[i, j], 4 * i, 4 * j, int(p[:10, i, j].argmax())) for i, j in peaks]


def judged(p, placed):
    """The detections of a canvas, the most certain first: [(evidence, top, left, digit, right)]; a digit is found once."""
    free, found = list(placed), []
    for evidence, top, left, digit in sorted(detections(p), reverse=True):
        match = next((d for d in free if max(abs(d[0] - top), abs(d[1] - left)) <= 5 and d[2] == digit), None)
        if match:
            free.remove(match)
        found.append((evidence, top, left, digit, match is not None))
    return found


def trade_off(all_found):
    """Shares found (recall) and right (precision) with a threshold at each detection, and the best F1 with its threshold."""
    ranked = sorted((f for found in all_found for f in found), reverse=True)
    hits = np.cumsum([f[4] for f in ranked])
    recall, precision = hits / total, hits / np.arange(1, len(ranked) + 1)
    f1 = 2 * recall * precision / np.maximum(recall + precision, 1e-9)
    best = int(f1.argmax())
    return recall, precision, float(f1[best]), ranked[best][0], (float(recall[best]), float(precision[best]))


p_of = {"ten digits": maps_of(without_padding(lenet)), "and nothing": maps_of(detector)}
found_of = {t: [judged(p, placed) for p, placed in zip(maps, test_places, strict=True)] for t, maps in p_of.items()}
curves = {title: trade_off(found) for title, found in found_of.items()}
at_place, empty = [], []
for p, placed in zip(p_of["ten digits"], test_places, strict=True):
    at_place += [p[:, round(top / 4), round(left / 4)].argmax() == label for top, left, label in placed]
    far = np.ones(p.shape[1:], bool)
    for top, left, _ in placed:
        i, j = round(top / 4), round(left / 4)
        far[max(i - 2, 0) : i + 3, max(j - 2, 0) : j + 3] = False
    empty.append(p.max(axis=0)[far])
certain = np.concatenate(empty)
print(f"\n{total} digits on {len(test_canvases)} canvases. LeNet-5's cell at a digit's place is right for", end=" ")
print(f"{np.mean(at_place):.1%} of them;")
print(f"    away from all digits its largest probability is above 0.9 in {np.mean(certain > 0.9):.0%} of the cells")
for title, (_, _, f1, _, (recall, precision)) in curves.items():
    print(f"{title:<12} at the best threshold {recall:.1%} of the digits found,", end=" ")
    print(f"{precision:.1%} of the detections right, F1 {f1:.3f}")
claim(
    "With a class for nothing, the map finds more than nine digits in ten, and more than nine detections in ten are right.",
    "{:.1%} found, {:.1%} right".format(*curves["and nothing"][4]),
    min(curves["and nothing"][4]) > 0.9,
)
claim(
    "Without that class, no threshold gives LeNet-5 as high an F1.",
    f"best F1 {curves['ten digits'][2]:.3f}, with the class {curves['and nothing'][2]:.3f}",
    curves["ten digits"][2] < curves["and nothing"][2] - 0.02,
)

figure, axes = plt.subplots(2, 2, figsize=(9.6, 7.6), layout="tight")
palette = plt.get_cmap("tab10")(np.arange(10))[:, :3]
picture = test_canvases[0]
for column, title in zip(axes.T, p_of, strict=True):
    p, threshold = p_of[title][0], curves[title][3]
    colours = palette[p[:10].argmax(axis=0)]
    strength = np.clip(p[:10].max(axis=0), 0, 1)[..., None]
    column[0].imshow(picture, extent=(0, picture.shape[1], picture.shape[0], 0))
    extent = (14, 14 + 4 * p.shape[2], 14 + 4 * p.shape[1], 14)
    column[0].imshow(np.concatenate([colours, 0.75 * strength], axis=2), extent=extent, interpolation="nearest")
    for digit, color in enumerate(palette):
        column[0].text(20 + 20 * digit, 7, str(digit), color=color, va="center", fontsize=9)
    column[0].set_title(f"{title}: the most probable digit of each cell; dark: improbable", fontsize=9)
    column[1].imshow(picture, extent=(0, picture.shape[1], picture.shape[0], 0))
    for evidence, top, left, digit, right in found_of[title][0]:
        if evidence >= threshold:
            look = {"fill": False, "ec": GREEN if right else ORANGE, "lw": 1.5}
            column[1].add_patch(Rectangle((left + 3, top + 3), 26, 26, **look))
            column[1].text(left + 4, top + 4, str(digit), color=look["ec"], va="top", fontsize=8)
    column[1].set_title("detections at the best threshold; green: right", fontsize=9)
for ax in axes.flat:
    ax.set(xticks=[], yticks=[], xlim=(0, picture.shape[1]), ylim=(picture.shape[0], 0))
save(figure, HERE, "digits")

figure, ax = plt.subplots(figsize=(5, 3.4), layout="tight")
for (title, (recall, precision, *_)), color in zip(curves.items(), (GREY, BLUE), strict=True):
    ax.plot(100 * recall, 100 * precision, color=color, label=title)
ax.set(xlabel="digits found %", ylabel="detections that are right %")
ax.legend(loc="lower left")
save(figure, HERE, "trade_off")

# %% [markdown]
# Taking local maxima, so that a digit that several cells have seen is reported once, is the simplest form of *non-maximum
# suppression*. Most detectors have it, and something like the class for nothing as well.
#
# ## 6. Networks that end in an average: class activation maps
#
# In a ResNet or an EfficientNet the classifier stands on the *average* of the last map $x$ over space. These networks take any
# size as they are. Is there a map of scores in them? Both steps are linear, and can change places:
#
# $$s_k = b_k + \sum_c w_{kc}\, \frac{1}{HW} \sum_{i,j} x_{cij}
#   \;=\; \frac{1}{HW} \sum_{i,j} \underbrace{\Big( b_k + \sum_c w_{kc}\, x_{cij} \Big)}_{M_{kij}} .$$
#
# $M_k$ is the **class activation map** of class $k$ (Zhou et al. 2016): the classifier as a 1 x 1 convolution, *before* the
# average. Its mean is the score, exactly, at every size. So the map shows which places speak for the class and which against
# it. A cell of it is no score of a crop: it sees its receptive field, which in these networks is larger than the picture,
# though it looks mostly at what is near (lesson 3, section 7).
#
# `fc_to_conv` leaves the average out.

# %%
section("6. Class activation maps")
archive = find_data("ants-bees.zip")
try:
    collection = open_pictures(archive) if archive else solar_cells()
except DataError as error:
    sys.exit(f"This lesson needs pictures: ants-bees.zip in the folder that MINICNN_DATA names, or the solar cells. {error}")
print(f"pictures: {collection.name}")
net64 = efficientnet.copy().astype(np.float64).eval()
cam64 = fc_to_conv(net64)
chosen = collection.subset(np.sort(rng.permutation(len(collection))[:2]))
some, _ = chosen.fitted(efficientnet.preprocessing.scaled(1.5), progress=False)
large = efficientnet.preprocessing.normalise(some).astype(np.float64)
off = {}
for H, W in ((224, 224), (224, 320), (161, 250)):
    part = np.ascontiguousarray(large[:, :, :H, :W])
    maps = cam64.forward(part)
    off[H, W] = apart(maps.mean(axis=(2, 3)), net64.forward(part))
    print(f"EfficientNet-Lite0, {H} x {W} pixels: maps of {maps.shape[2]} x {maps.shape[3]};", end=" ")
    print(f"their means are {off[H, W]:.0e} away from the scores")
claim(
    "The mean of a class activation map is the network's score, at every size, up to rounding.",
    ", ".join(f"{value:.0e}" for value in off.values()) + " of the largest score apart",
    max(off.values()) < 1e-10,
)

x = efficientnet.preprocessing.normalise(chosen.fitted(efficientnet.preprocessing, progress=False)[0])
best = efficientnet.forward(x).argmax(axis=1)
without_b = fc_to_conv(efficientnet).forward(x) - efficientnet.layers["classifier"].b.value[:, None, None]
mine = np.maximum(np.stack([m[k] for m, k in zip(without_b, best, strict=True)]), 0) / without_b[0, 0].size
same = apart(grad_cam(efficientnet, x, best, layer="head"), mine)
print(
    f"Grad-CAM at the last map, and the activation map without b, cut off at 0 and divided by {without_b[0, 0].size}:", end=" "
)
print(f"{same:.0e} apart, in float32")

# %% [markdown]
# (Grad-CAM, of lesson 16, weighs the channels by the gradient of the score with respect to the map. Where a linear classifier
# stands on the average, this gradient is the weight divided by the number of places, and the two are the same.)
#
# Does the map point at the right place? We set an ant and a bee side by side, a picture of twice the width, and ask for the
# maps of both classes.

# %%
if archive:
    pairs = 4 if QUICK else 24
    kinds = {name: np.flatnonzero(collection.labels == k) for k, name in enumerate(collection.classes)}
    ants, bees = (rng.permutation(kinds[name])[:pairs] for name in ("ants", "bees"))
    fitted = [collection.subset(rows).fitted(efficientnet.preprocessing, progress=False)[0] for rows in (ants, bees)]
    wide = np.concatenate(fitted, axis=2)  # ants to the left
    k_ant, k_bee = (efficientnet.classes.index(name) for name in ("ant", "bee"))
    maps = infer(fc_to_conv(efficientnet).fuse(), len(wide), lambda i: efficientnet.preprocessing.normalise(wide[i]))
    middle = maps.shape[3] // 2
    left, right = maps[..., :middle].mean(axis=(2, 3)), maps[..., middle:].mean(axis=(2, 3))
    own_side = np.concatenate([left[:, k_ant] > right[:, k_ant], right[:, k_bee] > left[:, k_bee]])
    print(f"{pairs} pairs, an ant to the left and a bee to the right: the map of a class is higher on its own side", end=" ")
    print(f"in {own_side.mean():.0%} of {len(own_side)} cases")
    claim(
        "With an ant and a bee side by side, the map of each class is mostly higher on its own side.",
        f"{own_side.sum()} of {len(own_side)}",
        own_side.mean() > 0.7,
    )
    figure, axes = plt.subplots(3, 3, figsize=(9.6, 5.2), layout="tight")
    for row, picture, of_picture in zip(axes, wide, maps, strict=False):
        size, highest = picture.shape[:2], max(of_picture[k].max() for k in (k_ant, k_bee))
        row[0].imshow(picture)
        for ax, k in zip(row[1:], (k_ant, k_bee), strict=True):
            ax.imshow(picture.mean(axis=2))
            ax.imshow(upsample(of_picture[k][None], size)[0], cmap="inferno", alpha=0.65, vmin=0, vmax=highest)
            ax.set_title(f"map of {efficientnet.classes[k]}, mean {of_picture[k].mean():.1f}", fontsize=8)
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
else:
    print("there is no ants-bees.zip in the data folder: no two kinds of things that the network knows, side by side")
    figure, axes = picture_grid(1, 3, 2.6)
    for ax, picture, k in zip(axes[0], some, best, strict=False):
        maps = fc_to_conv(efficientnet).forward(efficientnet.preprocessing.normalise(picture[None]))[0]
        ax.imshow(picture.squeeze())
        ax.imshow(upsample(maps[k][None], picture.shape[:2])[0], cmap="inferno", alpha=0.6)
        ax.set_title(f"map of {efficientnet.classes[k]}", fontsize=8)
    axes[0, 2].set_visible(False)
save(figure, HERE, "activation_maps")

# %% [markdown]
# ## 7. Any size, but not any accuracy
#
# That a network *runs* at another size does not mean that it is as good there. Its filters know things at the size at which
# they were shown: a wheel of a car is so many pixels across. If the picture is enlarged, so are the things in it.
#
# Which size was that? Not the size of the input layer: what counts is how large the *things* were in it. A crop with a share
# $a$ of the picture's area, enlarged to $n \times n$ pixels, shows things as large as they are in the whole picture shown at
#
# $$\text{side} = \frac{n}{\sqrt a} \;\ge\; n .$$
#
# Most networks for ImageNet are trained on **random resized crops**, with areas from a twelfth or a fourth of the picture up to
# all of it. So in training they see things larger than in a whole picture that is shrunk to $n \times n$. A test at a higher
# resolution, where things are as large as they were, makes up for it (Touvron et al. 2019).
#
# We train one small network for 24 x 24 pixels in three ways: on crops of the pictures as they are, which are 28 x 28; on
# random resized crops of a fourth of the area up to all of it; and on small parts only, a fifth to a half of the area, so that
# things are always enlarged. Then we convert it, show it whole pictures of several sizes, and average the map.

# %%
section("7. Other sizes")
OWN, CLASSES = 24, 10
mirror = bool(find_data("fashion-mnist"))  # a mirrored digit is none


def prepare(pictures):
    return (pictures[:, None].astype(np.float32) - 60) / 85


def network_24(seed):
    """Two convolutions without padding, 24 to 4, and two fully connected layers; step 4."""
    source = np.random.default_rng(seed)
    layers = {
        "conv1": Conv2d(1, 16, 5, rng=source),  # 20 x 20 x 16
        "relu1": ReLU(),
        "pool1": MaxPool2d(2),  # 10 x 10 x 16
        "conv2": Conv2d(16, 32, 3, rng=source),  # 8 x 8 x 32
        "relu2": ReLU(),
        "pool2": MaxPool2d(2),  # 4 x 4 x 32
        "flatten": Flatten(),
        "hidden": Linear(32 * 4 * 4, 128, initializer=msra, rng=source),
        "relu3": ReLU(),
        "scores": Linear(128, CLASSES, rng=source),
    }
    return Model(layers, architecture="small network", input_shape=(1, OWN, OWN))


def trained(augment, label):
    net = network_24(3)
    flips = [Augmentation(horizontal_flip=True)] if mirror else []
    trainer = Trainer(
        net,
        SoftmaxCrossEntropy(),
        SGD(net.parameters(), 0.02, momentum=0.9, nesterov=True),
        epochs=3 if QUICK else 8,
        batch_size=25,
        schedule=cosine(),
        prepare=prepare,
        augment=Compose(*flips, augment),
        label=label,
    )
    trainer.fit(*(part[: 1000 if QUICK else 4000] for part in clothes))
    return net.eval()


def resized(pictures, side):
    return np.stack([np.asarray(Image.fromarray(p).resize((side, side), Image.Resampling.BILINEAR)) for p in pictures])


def mean_scores(network, pictures):
    """The mean of the map over space, for each picture."""
    x = prepare(pictures)
    return np.concatenate([network.forward(x[i : i + 250]).mean(axis=(2, 3)) for i in range(0, len(x), 250)])


x_test, y_test = (part[: 400 if QUICK else 2000] for part in clothes_test)
ways = {
    "crops as they are": (RandomCrop(OWN), (28, 28)),  # and the sides of whole pictures that show things as large
    "random resized crops": (RandomResizedCrop(OWN, area=(0.25, 1.0)), (24, 48)),
    "small parts, enlarged": (RandomResizedCrop(OWN, area=(0.2, 0.5)), (24 / 0.5**0.5, 24 / 0.2**0.5)),
}
nets = {title: trained(augment, title) for title, (augment, _) in ways.items()}
shown_sizes = (24, 28, 32, 36, 40, 48, 56)
by_size = {title: {} for title in nets}
for side in tqdm(shown_sizes, desc="sizes", delay=2, leave=False):
    pictures = resized(x_test, side)
    for title, net in nets.items():
        scores = mean_scores(fc_to_conv(net).fuse(), pictures)
        by_size[title][side] = float((scores.argmax(axis=1) == y_test).mean())
for title, (_, (smallest, largest)) in ways.items():
    sides = f"{smallest:.0f}" + f" to {largest:.0f}" * (largest > smallest)
    print(f"trained on {title}, as large as in whole pictures of {sides} pixels:")
    print("    accuracy", ", ".join(f"at {side} {accuracy:.1%}" for side, accuracy in by_size[title].items()))
plain, parts = by_size["crops as they are"], by_size["small parts, enlarged"]
claim(
    "The network that was trained on crops of pictures as they are loses more than ten points when things are twice as large.",
    f"{plain[28]:.1%} at 28 x 28, {plain[56]:.1%} at 56 x 56",
    plain[28] - plain[56] > 0.1,
)
claim(
    "The one that was trained on enlarged parts gets far fewer whole pictures right at its own 24 x 24 than at 40 x 40.",
    f"{parts[24]:.1%} and {parts[40]:.1%}",
    parts[40] - parts[24] > 0.1,
)

# %% [markdown]
# A network that has seen things at many sizes, as the second one, has a broad curve.
#
# EfficientNet-Lite0 was trained for 224 x 224 pixels, with random resized crops as well. With ImageNet pictures at hand we can
# see what it does at others. (They are probably from its training set, so that the height of the curve says little. Its shape
# does.) The crop is always the same seven eighths of the picture's short side; only its number of pixels changes.

# %%
imagenet = find_data("imagenet-250.zip")
curve = {}
if imagenet:
    with zipfile.ZipFile(imagenet) as zipped:
        names = sorted(name for name in zipped.namelist() if name.endswith(".jpg"))[:: 12 if QUICK else 1]
        photos = [read_picture(zipped.read(name)) for name in names]
    truth = np.array([int(Path(name).name[:4]) for name in names])
    fused, sides_tried = efficientnet.fuse(), (112, 224, 320) if QUICK else (112, 144, 176, 224, 256, 320, 448)
    for side in tqdm(sides_tried, desc="EfficientNet-Lite0", delay=2, leave=False):
        prepared = efficientnet.preprocessing.scaled(side / 224)
        scores = infer(fused, len(photos), lambda rows, prepared=prepared: prepared([photos[i] for i in rows]))
        curve[side] = float((scores.argmax(axis=1) == truth).mean())
    print(f"{len(photos)} photographs:", ", ".join(f"{side} {a:.1%}" for side, a in curve.items()))
    claim(
        "EfficientNet-Lite0 runs at half of its size, and gets at least ten points fewer right there.",
        f"{curve[224]:.1%} at 224 x 224, {curve[112]:.1%} at 112 x 112",
        curve[224] - curve[112] > 0.1,
    )
else:
    print("there is no imagenet-250.zip in the data folder: EfficientNet-Lite0 is not tried at other sizes")
figure, axes = plt.subplots(1, 2, figsize=(9, 3.3), layout="tight")
for (title, accuracies), color in zip(by_size.items(), (BLUE, GREEN, ORANGE), strict=True):
    axes[0].plot(list(accuracies), [100 * a for a in accuracies.values()], "o-", color=color, label=title)
for i, (title, color) in enumerate(zip(ways, (BLUE, GREEN, ORANGE), strict=True)):
    axes[0].plot(ways[title][1], [23 - 3 * i] * 2, "|-", color=color, lw=2, ms=7)
axes[0].text(24, 9, "bars: sizes that training showed", fontsize=8, color=GREY)
axes[0].set(xlabel="side of the whole picture in pixels", ylabel="accuracy %", title="Trained for 24 x 24 pixels, on ...")
axes[0].set(ylim=(5, 116))
axes[0].legend(fontsize=8, loc="upper right")
axes[1].plot(list(curve), [100 * a for a in curve.values()], "o-", color=INK)
axes[1].axvline(224, color=GREY, lw=0.8, ls="--")
axes[1].set(xlabel="side of the crop in pixels", title="EfficientNet-Lite0, trained for 224 x 224")
axes[1].set_visible(bool(curve))
save(figure, HERE, "sizes")

# %% [markdown]
# So: *run the network at the size at which things look as they did in training*, which is rarely the size of the input layer.
# There is a second effect, in networks with a global average: another size changes over how much is averaged, and with it how
# the averages are distributed, which the classifier was trained for. Fine-tuning the last layers at the new size mends it, and
# costs little (Touvron et al., section 4).
#
# ## 8. Many views, cheaply
#
# Lesson 8 averaged the probabilities of ten crops. A dense pass has crops in it already. With our network for 24 x 24, a
# picture of 28 x 28 gives a map of 2 x 2 cells at step 4: the four corners of the ten crops, exactly, as nothing is padded.
# **Dense evaluation** averages the scores of the map, does the same with the mirror image, and averages the probabilities of
# both; **multi-scale** evaluation does so at several sizes. That is how VGG was evaluated (Simonyan and Zisserman, sections 3.2
# and 4.2).
#
# > The slide on ResNet's testing has "10 crops of 224 x 224" at each of five sizes, {224, 256, 384, 480, 640}. In the paper
# > (section 3.4) the ten crops are for comparisons, and the five sizes go with the *fully convolutional* form: whole pictures.
# > Below is what either would cost.

# %%
section("8. Many views")
net = nets["random resized crops"]
dense_24 = fc_to_conv(net)
ten = np.stack([ten_crops(picture[..., None], (OWN, OWN))[..., 0] for picture in x_test], axis=1)
net64 = net.copy().astype(np.float64).eval()
few = prepare(x_test[:50]).astype(np.float64)
corners = np.stack([net64.forward(prepare(ten[i, :50]).astype(np.float64)) for i in range(4)])
corner_cells = fc_to_conv(net64).forward(few)  # (50, K, 2, 2)
equal = apart(corner_cells.transpose(2, 3, 0, 1).reshape(4, 50, CLASSES), corners)
print(f"the four cells at 28 x 28, and the corners of the ten crops: {equal:.0e} apart")

fused, fused_dense = net.fuse(), dense_24.fuse()


def views_dense(sides, network=None):
    """Probabilities: the mean over sizes, and mirror images where these are the same thing."""
    network, p = network or fused_dense, []
    for side in sides:
        pictures = resized(x_test, side)
        p += [softmax(mean_scores(network, pictures))]
        p += [softmax(mean_scores(network, pictures[:, :, ::-1]))] if mirror else []
    return np.mean(p, axis=0)


def loss_of(p):
    return float(-np.log(np.maximum(p[np.arange(len(y_test)), y_test], 1e-12)).mean())


def cost_dense(sides):
    return (1 + mirror) * sum(dense_24.multiply_adds((1, 1, side, side)) for side in sides)


THREE = (24, 28, 36)
own_cost = net.multiply_adds((1, 1, OWN, OWN))
p_ten = np.stack([softmax(fused.forward(prepare(ten[i]))) for i in range(10 if mirror else 5)])
views = {
    "centre crop": (p_ten[4], own_cost),
    f"{len(p_ten)} crops": (p_ten.mean(axis=0), len(p_ten) * own_cost),
    "dense, 28 x 28": (views_dense((28,)), cost_dense((28,))),
    "dense, three sizes": (views_dense(THREE), cost_dense(THREE)),
}
for title, (p, cost) in views.items():
    right = (p.argmax(axis=1) == y_test).mean()
    print(f"{title:<19} {right:.1%} right, loss {loss_of(p):.3f}; {cost / own_cost:>4.1f} times the work of one crop")
claim(
    "The dense map of a picture of 28 x 28 has the scores of the ten crops' four corners, for less than half the work.",
    f"{equal:.0e} apart; {cost_dense((28,)) / own_cost:.1f} and {4 * (1 + mirror)} times the work of one crop",
    equal < 1e-12 and cost_dense((28,)) < 0.5 * 4 * (1 + mirror) * own_cost,
)
extra = {}
for title in ("random resized crops", "crops as they are"):
    network = fc_to_conv(nets[title]).fuse()
    p_at = {side: views_dense((side,), network) for side in THREE}
    alone, together = {side: loss_of(p) for side, p in p_at.items()}, loss_of(np.mean(list(p_at.values()), axis=0))
    extra[title] = together - min(alone.values())
    print(f"trained on {title}: dense loss", ", ".join(f"at {side} {value:.3f}" for side, value in alone.items()), end="; ")
    print(f"at all three {together:.3f}")
if mirror:  # digits of a font are so easy that there is nothing to tell apart
    claim(
        "Dense evaluation at three sizes has a higher loss than at the best of them, most of all if training showed one size.",
        "by {:.3f} for the network trained at many sizes, by {:.3f} for the other".format(*extra.values()),
        0 < extra["random resized crops"] < extra["crops as they are"],
    )
five = (224, 256, 384, 480, 640)
times = sum((side / 224) ** 2 for side in five)
print(f"ResNet at five sizes: ten crops each are {10 * len(five)} passes; whole square pictures are about", end=" ")
print(f"the work of {times:.1f}, or {2 * times:.1f} with their mirror images")

# %% [markdown]
# The loss of averaged probabilities is never above the mean of the losses, since $-\log$ is convex, but it can be above the
# best of them. Here it is: the sizes are not equally good (section 7), and the poor ones cost more than averaging gains, most
# of all if the network knows things at a single size. VGG-16 did gain: trained at sizes from 256 to 512, it has 24.8 % of
# errors at three sizes and 25.6 % at one (sections 4.1 and 4.2). What views are worth differs from network to network: in the
# laboratory SqueezeNet gained from ten crops, and EfficientNet-Lite0 from nothing. Let validation pictures decide.
#
# ## 9. A finer map
#
# LeNet-5's map has a cell every 4 pixels, VGG's every 32. Two ways lead to a cell for *every* pixel, with the same weights.
#
# **Shift and stitch.** Move the picture by 0 to 3 pixels along each axis, run the network on each of the 16 moved pictures, and
# interlace their maps. (OverFeat, section 3.3, does it for its last pool only.)
#
# **Dilation** (*à trous*, "with holes"). Where a layer has stride $s$, let it take every place instead: its map is $s$ times as
# dense. What the layers above want to see lies $s$ elements apart now: so *they* are dilated by $s$, pools too. With several
# strides the dilations multiply (Long et al., section 3.2, which calls it filter rarefaction).

# %%
section("9. A finer map")


def shift_and_stitch(network, x, own, step):
    """A score for each crop of own x own pixels: the network on all shifted pictures, interlaced."""
    H, W = (n - own + 1 for n in x.shape[2:])
    out = None
    for i in range(step):
        for j in range(step):
            y = network.forward(np.ascontiguousarray(x[:, :, i:, j:]))
            out = np.empty((*y.shape[:2], H, W), y.dtype) if out is None else out
            out[:, :, i::step, j::step] = y
    return out


def with_holes(network, x):
    """The same: strides become dilations of all layers above. Returns the map and its multiply-adds."""
    dilation, cost = 1, 0
    for layer in network.layers.values():
        if isinstance(layer, MaxPool2d):
            k, d = layer.kernel_size[0], dilation
            span = d * (k - 1) + 1
            x = sliding_window_view(x, (span, span), axis=(2, 3))[..., ::d, ::d].max(axis=(4, 5))
            dilation *= layer.stride[0]
        elif isinstance(layer, Conv2d):
            wide = copy.copy(layer)  # on the same weights
            wide.dilation = (dilation, dilation)
            cost, x = cost + wide.multiply_adds(x.shape), wide.forward(x)
        else:
            x = layer.forward(x)
    return x, cost


bare.eval()
bare_dense.eval()
H, W = (48, 52) if QUICK else (64, 72)
part = np.ascontiguousarray(canvas[:, :, 10 : 10 + H, 10 : 10 + W])
stitched = shift_and_stitch(bare_dense, part, 32, 4)
holes, cost_holes = with_holes(bare_dense, part)
every = np.ascontiguousarray(sliding_window_view(part[0, 0], (32, 32)).reshape(-1, 1, 32, 32))
of_all = bare.forward(every).T.reshape(10, H - 31, W - 31)
finer = apart(stitched[0], of_all), apart(holes[0], of_all)
cost_stitched = sum(bare_dense.multiply_adds((1, 1, H - i, W - j)) for i in range(4) for j in range(4))
cost_every = len(every) * bare.multiply_adds((1, 1, 32, 32))
millions = {"crops": cost_every / 1e6, "shift-and-stitch": cost_stitched / 1e6, "dilation": cost_holes / 1e6}
print(f"{H} x {W} pixels, {len(every)} crops, one at every pixel; from their scores shift-and-stitch is", end=" ")
print(f"{finer[0]:.0e} away, dilation {finer[1]:.0e}")
print("million multiply-adds:", ", ".join(f"{title} {cost:.0f}" for title, cost in millions.items()), end="; ")
print(f"the map at step 4 {bare_dense.multiply_adds(part.shape) / 1e6:.0f}")
claim(
    "Shift-and-stitch and dilation give the scores of the crop at every pixel, and dilation takes the least work.",
    f"{finer[0]:.0e} and {finer[1]:.0e} apart; {', '.join(f'{cost:.0f}' for cost in millions.values())} million multiply-adds",
    max(finer) < 1e-12 and cost_holes < cost_stitched < cost_every,
)
digit = int(digits_test[1][5])  # that of the second row and column of the canvas
coarse = softmax(bare_dense.forward(part)[0].reshape(10, -1).T).T.reshape(10, *bare_dense.output_shape(part.shape)[2:])
fine = softmax(holes[0].reshape(10, -1).T).T.reshape(holes[0].shape)
figure, axes = picture_grid(1, 3, 2.6)
for ax, p, title, step in zip(
    axes[0],
    (None, coarse, fine),
    ("a part of the canvas", "a cell every 4 pixels", "a cell every pixel"),
    (0, 4, 1),
    strict=True,
):
    ax.imshow(part[0, 0], extent=(0, W, H, 0))
    if p is not None:
        start = 16 - step / 2  # around the middle of the first window
        extent = (start, start + step * p.shape[2], start + step * p.shape[1], start)
        ax.imshow(p[digit], cmap="inferno", vmin=0, vmax=1, alpha=0.75, extent=extent, interpolation="nearest")
        title = f"p({digit}), {title}"
    ax.set(xlim=(0, W), ylim=(H, 0))
    ax.set_title(title, fontsize=9)
save(figure, HERE, "finer")

# %% [markdown]
# Both compute the sums of the original network, at more places. Shift-and-stitch computes what lies below the first pool 16
# times over and what lies between the pools four times, because a shifted picture has the same first maps, only shifted.
# Dilation computes all of it once. Networks that are *trained* with dilations in place of their last strides (Yu and Koltun
# 2016) use the same thing from the start. Long et al. in the end did without: their network learns to upsample its coarse map.
#
# ## What to do when
#
# - Pictures of another size, or things in any place of them: convert the head (`fc_to_conv`) and run the whole picture. If the
#   network averages, there is nothing to convert.
# - Choose the size at which things look as large as they did in training. Try two or three sizes on validation pictures.
# - For one answer: the mean of the scores over the map, and of the probabilities over mirror images. Several sizes only if
#   validation says so.
# - For places: a class for nothing, local maxima, and the step and window of the cells in pixels.
# - Never expect the map to equal crops of a padded network to the last digit. It need not, and it is no worse for it.
#
# ## What this lesson claims
#
# - AlexNet's last map has 6 x 6 x 256 numbers; 7 x 7 x 512 is VGG's.
# - In float64, fully connected layers and the convolutions with their weights give the same scores up to rounding.
# - Weights that are read in the wrong order of flattening fit without an error, and spoil the network.
# - Without padding, every element of the map equals the scores of its crop up to rounding.
# - Padding changes a frame of two elements of LeNet-5's first map, and ResNet-20's padding changes its whole last map.
# - Where a cell's window lies within the picture, the padded LeNet-5's map is that of the crop with its real surroundings.
# - The gradient of a loss that is summed over the map is the sum of the gradients over the crops.
# - Over a canvas of digits, LeNet-5's dense pass takes less than a fifth of the multiply-adds of its crops, and less time.
# - With a class for nothing, the map finds more than nine digits in ten, and more than nine detections in ten are right.
# - Without that class, no threshold gives LeNet-5 as high an F1.
# - The mean of a class activation map is the network's score, at every size, up to rounding.
# - With an ant and a bee side by side, the map of each class is mostly higher on its own side.
# - The network that was trained on crops of pictures as they are loses more than ten points when things are twice as large.
# - The one that was trained on enlarged parts gets far fewer whole pictures right at its own 24 x 24 than at 40 x 40.
# - EfficientNet-Lite0 runs at half of its size, and gets at least ten points fewer right there.
# - The dense map of a picture of 28 x 28 has the scores of the ten crops' four corners, for less than half the work.
# - Dense evaluation at three sizes has a higher loss than at the best of them, most of all if training showed one size.
# - Shift-and-stitch and dilation give the scores of the crop at every pixel, and dilation takes the least work.

# %%
print_claims()

# %% [markdown]
# ## Questions
#
# **1.** VGG-16 is run over a picture of 384 x 384 pixels. How large is its last map, how many cells has the map of scores, how
# far apart are they, and how many crops does the pass replace? Are the scores those of the crops?
#
# <details><summary>Answer</summary>
#
# Five pools of stride 2: 384 / 32 = 12, a last map of 12 x 12 x 512. fc6 is a convolution with a kernel of 7 x 7: 12 - 7 + 1 =
# 6, so 6 x 6 cells at steps of 32 pixels, in place of 36 crops of 224 x 224. Not quite: the convolutions pad, and a crop alone
# has zeros around each of its maps where the large picture has neighbours. They are what the fully connected layers make of
# each window of 7 x 7 of the last map, and what the network without padding makes of 404 x 404 pixels around each crop.
#
# </details>
#
# **2.** A network ends in a global average, a hidden layer with a ReLU, and a classifier. Is there still a map of scores whose
# mean is the network's score? What can be done?
#
# <details><summary>Answer</summary>
#
# No: the mean of ReLUs is not the ReLU of the mean. Average and classifier may change places because both are linear, and here
# something that is not stands between them. One can read the global average as one over the *own size's* map, 7 x 7 say: a
# pool of 7 x 7 and stride 1, and then the two layers as 1 x 1 convolutions. That gives a map of answers for windows, as with
# VGG. At the network's own size it is exact; at another one its mean is not the score that the network itself gives.
#
# </details>
#
# **3.** Why must the converted fc6 not be padded, although all other convolutions of VGG are? Somebody pads it by 3, and finds
# that the network is still right at 224 x 224. How come?
#
# <details><summary>Answer</summary>
#
# Its weights are for full windows: each of the 7 x 7 places of a crop's last map has weights of its own. Padded by 3, the map
# of scores is as large as the last map, and its outer cells have scores for windows that are partly outside, full of zeros.
# Nothing in training has prepared fc6 for that. At 224 x 224 there are 7 x 7 cells then, of which the middle one has just the
# right window: whoever looks at that one alone sees nothing wrong. The mean of the map would have told. (The 3 x 3 convolutions
# are another matter: they have seen their padding in training, at every border.)
#
# </details>
#
# ## Further reading
#
# - LeCun, Bottou, Bengio, Haffner 1998, "Gradient-Based Learning Applied to Document Recognition", section II.B on c5, and
#   section VII: a network swept over a whole line of digits. Matan, Burges, LeCun, Denker 1992, "Multi-Digit Recognition Using
#   a Space Displacement Neural Network".
# - Sermanet et al. 2014, "OverFeat: Integrated Recognition, Localization and Detection using Convolutional Networks", arXiv
#   1312.6229, sections 3.3 and 3.5.
# - Yu, Koltun 2016, "Multi-Scale Context Aggregation by Dilated Convolutions", sections 2 and 4.
# - Simonyan, Zisserman 2015, "Very Deep Convolutional Networks for Large-Scale Image Recognition", sections 3.2 and 4.1
#   to 4.3.
# - Long, Shelhamer, Darrell 2015, "Fully Convolutional Networks for Semantic Segmentation", sections 3.1 and 3.2.
# - Lin, Chen, Yan 2014, "Network In Network", section 3.2: the global average in place of fully connected layers.
# - Zhou, Khosla, Lapedriza, Oliva, Torralba 2016, "Learning Deep Features for Discriminative Localization", section 2.
# - Touvron, Vedaldi, Douze, Jégou 2019, "Fixing the Train-Test Resolution Discrepancy", sections 3 and 4.
# - He, Zhang, Ren, Sun 2016, "Deep Residual Learning for Image Recognition", section 3.4: what the paper does in testing.
# - CS231n's notes, "Convolutional Neural Networks: Architectures, Convolution / Pooling Layers", "Converting FC layers to CONV
#   layers".
#
# ## Next
#
# The exercise: `exercise.py` has eight functions in five tasks, from the filters of a converted layer to the cost of a dense
# pass. When all are right, they turn the real LeNet-5 into a network for pictures of any size.
#
#     minicnn check 14
#     minicnn check 14 --task 1 --hint       # where you are stuck
#
# Then lesson 15: how much of a network is worth taking over at all.

# %%
print("\nnow you: minicnn check 14")
