# %% [markdown]
# # Lesson 16. Looking inside a network
#
# **Before**: convolutions and receptive fields (lesson 3), backpropagation to the input (lesson 2), CNN codes (lesson 11), and
# what softmax and cross-entropy are (lesson 1).
#
# **After**: you can look at filters and feature maps without being misled by how they are drawn; find what excites a unit most;
# ask by saliency, occlusion and Grad-CAM which part of a picture an answer comes from, and test whether such a map says
# anything about the network at all; look for neighbours among codes and draw them on a plane, knowing what such a plane cannot
# say; and make a picture that fools the network.
#
# A network that is right 99 times in 100 has learned something. What? There are many ways to look, they give beautiful
# pictures, and some of these pictures say nothing about the network. So this lesson does two things by turns: it looks, and
# then it tests the way of looking. The laboratory has measured the same on EfficientNet-Lite0 and pictures of ImageNet
# (`lessons/laboratory/looking_inside.py`, results in `docs/laboratory/looking_inside.md`). Its maps agreed only roughly with
# each other, and covering what they point at was not surely worse than covering something else. Keep that in mind.
#
# Here we take a small network that is always at hand, LeNet-5 trained on handwritten digits, and the large one where it is
# installed. Run it (`minicnn lesson 16`, with `--quick` for a first look), or open it as a notebook; figures go to `out/`
# beside it. Then do the exercise: `minicnn check 16`.

# %%
import zipfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import rankdata
from tqdm import tqdm

import minicnn
from minicnn import viz
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
    save_page,
    section,
)
from minicnn.data import load_mnist
from minicnn.errors import WeightsError
from minicnn.explorer import explore
from minicnn.layers import BatchNorm2d, Conv2d, GlobalAvgPool2d, Linear, MaxPool2d, ReLU
from minicnn.losses import SoftmaxCrossEntropy, softmax
from minicnn.models import Model, lenet5
from minicnn.models.receptive_field import receptive_field
from minicnn.optim import Adam
from minicnn.schedules import one_cycle
from minicnn.training import Trainer
from minicnn.viz.hooks import input_gradient_mode
from minicnn.viz.panels import mosaic

HERE = Path(globals().get("__file__", "lesson.py")).resolve().parent
rng = np.random.default_rng(16)

section("The networks and the pictures")
model = minicnn.load("lenet5_mnist")
MEAN, STD = (float(np.ravel(value)[0]) for value in (model.preprocessing.mean, model.preprocessing.std))
if folder := find_data("mnist"):
    train_pixels, train_labels, pixels, labels = load_mnist(folder)
    order = rng.permutation(len(pixels))
    pixels, labels = pixels[order], labels[order]
    print("pictures: handwritten digits that the network was not trained on")
else:
    (train_pixels, train_labels), (pixels, labels) = drawn_digits(3000, rng), drawn_digits(3000, rng)
    train_pixels, pixels = (np.where(drawn < 80, 0, drawn) for drawn in (train_pixels, pixels))  # without noise on the paper
    print("there is no mnist/ in the folder that MINICNN_DATA names: using digits of a font, of which it knows fewer")
pixels, labels = (array[: 600 if QUICK else 2000] for array in (pixels, labels))


def as_input(pictures):
    """Grey levels 0 to 255, (N, 28, 28) or (N, 1, 28, 28), as the network sees them: float32 (N, 1, 28, 28)."""
    return ((np.reshape(pictures, (-1, 1, 28, 28)) - MEAN) / STD).astype(np.float32)


def scores_of(x, network=None):
    return (network or model).eval().forward(x)


x = as_input(pixels)
p_right = softmax(scores_of(x))[np.arange(len(x)), labels]
print(f"LeNet-5 is right about {np.mean(scores_of(x).argmax(axis=1) == labels):.1%} of {len(x)} of them")
sure = np.flatnonzero(p_right > 0.9)[: 40 if QUICK else 100]  # pictures about which it can be asked why
k = labels[sure]
other = (k + rng.integers(1, 10, len(k))) % 10  # for each of them a class that it does not show
examples = np.sort(np.unique(k, return_index=True)[1])[:6]  # of different digits, to be drawn

try:
    lite = minicnn.load("efficientnet_lite0")
    print("EfficientNet-Lite0 is installed")
except WeightsError:
    lite = None
    print("EfficientNet-Lite0 is not installed: its parts are left out")
archive = find_data("imagenet-250.zip") if lite else None
if archive:
    with zipfile.ZipFile(archive) as opened:
        names = sorted(name for name in opened.namelist() if name.endswith(".jpg"))
        chosen = [names[i] for i in rng.choice(len(names), 8 if QUICK else 48, replace=False)]
        photos = np.stack([lite.preprocessing.fit_picture(opened.read(name), name) for name in chosen])
    photo_labels = np.array([int(Path(name).stem.split("_")[0]) for name in chosen])
    print(f"and there are {len(photos)} pictures of ImageNet for it")

# %% [markdown]
# ## 1. Filters
#
# The weights of the first convolution are patterns of pixels: a unit's output is large where the picture resembles its filter.
# They can be drawn as they are, and almost everything that can go wrong is in the scale. Weights have signs, pixels have not.
#
# - **One scale for all filters**, $v = \frac12 + w / (2 \max |w|)$: a weight of 0 is mid-grey everywhere, and a filter that is
#   hardly there looks as if it were hardly there. `minicnn.viz.filters_figure` does this, and prints the scale.
# - **Each filter stretched to its own range** looks more brilliant, and it lies: a filter that has died in training, with
#   weights of $10^{-8}$, is drawn with as much contrast as the strongest one.
#
# What should one see? A trained filter is smooth, because pixels next to each other in pictures are alike, and so are the
# gradients with respect to their weights. Noise in a first layer is often a sign that training was too short, the learning rate
# too high, or the regularisation too weak.

# %%
section("1. Filters")


def smoothness(w):
    """The correlation of weights (F, C, KH, KW) with their right and lower neighbours."""
    one = np.concatenate([w[..., :-1].ravel(), w[..., :-1, :].ravel()])
    next_to_it = np.concatenate([w[..., 1:].ravel(), w[..., 1:, :].ravel()])
    return float(np.corrcoef(one, next_to_it)[0, 1])


untrained = [lenet5(rng=seed) for seed in range(3)]
smooth = {name: smoothness(model.layers[name].w.value) for name in ("c1", "c3")}
rough = {name: [smoothness(network.layers[name].w.value) for network in untrained] for name in smooth}
for name in smooth:
    print(f"{name}: neighbouring weights correlate by {smooth[name]:.2f}; before training", end=" ")
    print(", ".join(f"{value:.2f}" for value in rough[name]))
claim(
    "In trained filters neighbouring weights are alike, and in untrained ones they are not.",
    f"correlation {smooth['c1']:.2f} in c1 and {smooth['c3']:.2f} in c3, at most {max(map(max, rough.values())):.2f} untrained",
    min(smooth.values()) > 0.3 and max(map(max, rough.values())) < 0.25,
)


def on_one_scale(w):
    """Pictures of filters (F, ...): 0 is mid-grey, and the largest weight of all is white or black."""
    return 0.5 + w / (2 * np.abs(w).max())


def each_on_its_own(w):
    """Each filter stretched from 0 to 1: how not to draw them."""
    low, high = (bound(w, axis=tuple(range(1, w.ndim)), keepdims=True) for bound in (np.min, np.max))
    return (w - low) / (high - low)


panels = {"LeNet-5, c1": model.layers["c1"].w.value[:, 0]}
if lite:
    stem = next(layer for _, layer in lite.walk() if isinstance(layer, Conv2d)).w.value
    panels["EfficientNet-Lite0, stem"] = stem.transpose(0, 2, 3, 1).astype(np.float64)
    strengths = np.abs(stem).max(axis=(1, 2, 3))
    print(f"EfficientNet-Lite0: {sum(strengths < 1e-3 * strengths.max())} of {len(stem)} filters are dead", end=" ")
    print("(no weight above a thousandth of the largest)")
figure, axes = plt.subplots(2, len(panels), figsize=(4.2 * len(panels), 3.6), squeeze=False, layout="constrained",
                            width_ratios=[1.0, 1.6][: len(panels)])  # fmt: skip
for column, (title, tiles) in zip(axes.T, panels.items(), strict=True):
    for ax, way, scale in ((column[0], "one scale", on_one_scale), (column[1], "each its own: a lie", each_on_its_own)):
        ax.imshow(np.nan_to_num(mosaic(scale(tiles), 3 if len(tiles) < 10 else 8), nan=1.0), cmap="gray", vmin=0, vmax=1)
        ax.axis("off")
        ax.set_title(f"{title}: {way}", fontsize=9)
save(figure, HERE, "filters")

# %% [markdown]
# Further up, a filter has as many channels as there are maps below it, and a drawing of its weights says little. There, one has
# to look at what a unit *does*.
#
# ## 2. Feature maps, layer by layer
#
# A feature map is the output of one filter over the whole picture. With depth, maps become **coarser**: pooling throws away
# *where* something is, within the size of its windows, while each place sees more of the picture. What becomes of the numbers
# in them can be measured:
#
# - the share of **zeros**: a ReLU leaves 0 where its pattern is not present;
# - how much of a unit's variation is explained by the class. With the mean $\bar a$ of a map as the unit's activation and
#   $\mu_k$ its mean over the pictures of class $k$, the share is
#   $\sum_k N_k (\mu_k - \mu)^2 \,/\, \sum_n (\bar a_n - \mu)^2$: 0 if a unit knows nothing of the classes, 1 if it knows
#   nothing else.
#
# Beside the trained network stand three that were drawn at random and never trained: what the mere architecture does with a
# picture is not learned.

# %%
section("2. Feature maps")
RELUS = ("relu1", "relu3", "relu5", "relu6")


def explained_by_class(maps, labels):
    """The share of the variance of each unit's mean activation that lies between the classes; the mean over the units."""
    a = maps.reshape(*maps.shape[:2], -1).mean(axis=2)
    between = np.zeros(a.shape[1])
    for c in np.unique(labels):
        of_class = a[labels == c]
        between += len(of_class) / len(a) * (of_class.mean(axis=0) - a.mean(axis=0)) ** 2
    alive = a.var(axis=0) > 1e-12
    return float((between[alive] / a.var(axis=0)[alive]).mean())


def field_of(name):
    """How many pixels a unit of this layer sees."""
    try:
        return tuple(min(side, 28) for side in receptive_field(model.split(name)[0], (1, 28, 28)).size())  # less the padding
    except ValueError:  # fully connected: everything
        return 28, 28


print(f"{'':<7} {'maps':>13} {'each sees':>10}   zeros (untrained)   explained by the class (untrained)")
zeros, explained = {}, {}
by_network = [network.eval().forward(x, layers=[*RELUS, "s2", "s4"]) for network in (model, *untrained)]
for name in ("relu1", "s2", "relu3", "s4", "relu5", "relu6"):
    outputs = [maps[name] for maps in by_network]
    zeros[name] = [float((a == 0).mean()) for a in outputs]
    explained[name] = [explained_by_class(a, labels) for a in outputs]
    shape, sees = " x ".join(map(str, outputs[0].shape[1:])), " x ".join(map(str, field_of(name)))
    print(f"{name:<7} {shape:>13} {sees:>10} {zeros[name][0]:>8.0%} ({np.mean(zeros[name][1:]):.0%})", end="")
    print(f"{explained[name][0]:>17.2f} ({np.mean(explained[name][1:]):.2f})")
claim(
    "Behind each ReLU there are more zeros after training than before it.",
    ", ".join(f"{name} {zeros[name][0]:.0%} and {np.mean(zeros[name][1:]):.0%}" for name in RELUS),
    all(zeros[name][0] > np.mean(zeros[name][1:]) for name in RELUS),
)
claim(
    "In the last hidden layer the class explains more than twice as much of a unit's variation as it does untrained, and in "
    "the first layer it does not.",
    f"relu6 {explained['relu6'][0]:.2f} and {np.mean(explained['relu6'][1:]):.2f}, "
    f"relu1 {explained['relu1'][0]:.2f} and {np.mean(explained['relu1'][1:]):.2f}",
    explained["relu6"][0] > 2 * np.mean(explained["relu6"][1:]) and explained["relu1"][0] < 2 * np.mean(explained["relu1"][1:]),
)
save(viz.feature_maps_figure(model, pixels[sure[0]]), HERE, "feature_maps")
if archive:
    surest = int(softmax(lite.eval().forward(lite.preprocessing.normalise(photos[:8]))).max(axis=1).argmax())
    save(viz.feature_maps_figure(lite, photos[surest]), HERE, "feature_maps_lite0")

# %% [markdown]
# Look at the last two columns: in a network with random weights, the deeper a unit is, the less of what it does has to do with
# the classes. In the trained one it is more and more.
#
# ## 3. What excites a unit most
#
# To find out what a unit looks for, show it many pictures, and keep those places at which it was largest (Girshick et al. 2014;
# Zeiler and Fergus 2014). What it saw there is its receptive field (lesson 3): for the maps `relu3` a square of pixels that can
# be computed from kernels and strides, and which we cut out of the picture. First we make sure of the square: everything
# outside of it is replaced by noise, and the unit must not notice.

# %%
section("3. What excites a unit most")
lower = model.split("relu3")[0]
field = receptive_field(lower, (1, 28, 28))
SIDE = field.size()[0]


def window(i, j):
    """First row and column, in the picture, of what place (i, j) of the maps sees; it may lie in the padding."""
    return field.first[0] + i * field.stride[0], field.first[1] + j * field.stride[1]


maps = lower.eval().forward(x)
places = np.argwhere((maps[:50, :, 1:-1, 1:-1] > 1).any(axis=1))  # picture, and a place away from the border
drawn = places[rng.choice(len(places), 30, replace=False)] + [0, 1, 1]
outside, inside = [], []
for n, i, j in drawn:
    top, left = window(i, j)
    seen = np.zeros((28, 28), bool)
    seen[top : top + SIDE, left : left + SIDE] = True
    noise = rng.integers(0, 256, (28, 28))
    for hidden, changes in ((~seen, outside), (seen, inside)):
        changed = lower.forward(as_input(np.where(hidden, noise, pixels[n])))
        changes.append(float(np.abs(changed[0, :, i, j] - maps[n, :, i, j]).max()))
print(f"units of relu3 see {SIDE} x {SIDE} pixels; noise outside changes them by at most {max(outside):.1g},", end=" ")
print(f"noise inside by {min(inside):.1f} or more")
claim(
    "What lies outside of a unit's receptive field makes no difference to it.",
    f"with noise there, it changes by at most {max(outside):.0e}, and with noise inside by at least {min(inside):.1f}",
    max(outside) < 1e-4 and min(inside) > 0.1,
)

SHOWN, TOP = 8, 9
wide = np.pad(pixels, ((0, 0), (SIDE, SIDE), (SIDE, SIDE)))


def patch(n, place):
    top, left = window(*divmod(int(place), maps.shape[3]))
    return wide[n, top + SIDE : top + 2 * SIDE, left + SIDE : left + 2 * SIDE].astype(np.float64)


def alikeness(patches):
    """The mean correlation of all pairs."""
    rows = np.reshape(patches, (len(patches), -1)) - np.mean(patches, axis=(1, 2))[:, None]
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    pairs = np.triu_indices(len(rows), 1)
    return float((rows @ rows.T)[pairs].mean())


best, alike, by_chance = [], [], []
for unit in range(maps.shape[1]):
    values = maps[:, unit].reshape(len(maps), -1)
    strongest = np.argsort(-values.max(axis=1))[:TOP]  # one place a picture
    best.append([patch(n, values[n].argmax()) for n in strongest])
    alike.append(alikeness(best[-1]))
    random = rng.choice(len(maps), TOP, replace=False)
    by_chance.append(alikeness([patch(n, values[n].argmax()) for n in random]))
better = sum(a > b for a, b in zip(alike, by_chance, strict=True))
print(
    f"the {TOP} patches that excite a unit most correlate by {np.mean(alike):.2f} with each other; where it was largest in",
    end=" ",
)
print(f"any {TOP} pictures, by {np.mean(by_chance):.2f}. They are more alike for {better} of {len(alike)} units")
claim(
    "The patches that excite a unit most resemble each other, far more than those at which it is largest in pictures at "
    "random.",
    f"correlation {np.mean(alike):.2f} and {np.mean(by_chance):.2f} on average over {len(alike)} units",
    np.mean(alike) > 1.5 * np.mean(by_chance) and better >= 0.8 * len(alike),
)
figure, axes = picture_grid(SHOWN, TOP, 0.75)
for unit, row in enumerate(axes):
    row[0].set_ylabel(f"unit {unit}", fontsize=8, rotation=0, ha="right", va="center")
    for ax, of_unit in zip(row, best[unit], strict=True):
        ax.imshow(of_unit, vmin=0, vmax=255)
figure.suptitle(f"What excites eight units of c3 most: {SIDE} x {SIDE} pixels of nine different pictures", y=0.93, fontsize=10)
save(figure, HERE, "patches")

# %% [markdown]
# Such patches are a lower bound on what a unit responds to: they come from the pictures that we happened to show, and only the
# strongest places are kept. A unit that also likes something quite different, a little less, does not show it here.
#
# ## 4. Saliency: the gradient of a score
#
# Which pixels does an answer depend on? Near a picture $x$ the score of class $k$ is about linear,
# $s_k(x + d) \approx s_k(x) + g \cdot d$ with $g = ds_k / dx$; for a network of ReLUs and max pools this is even exact as
# long as no unit changes sides and no pool its winner. Backpropagation gives $g$, if it starts from $ds_k = 1$ and goes down to
# the input, and its size is the **saliency map** (Simonyan, Vedaldi and Zisserman 2014):
#
# $$S_{ij} = \max_c \left| \frac{d s_k}{d x_{cij}} \right| .$$
#
# Why the score, and not the probability $p_k = e^{s_k} / \sum_j e^{s_j}$? Because
#
# $$\frac{d p_k}{d x} = p_k \Big( \frac{d s_k}{d x} - \sum_j p_j \frac{d s_j}{d x} \Big):$$
#
# it is a mixture of all classes, as $p_k$ can also be raised by lowering the others. And where $p_k$ is near 1 it vanishes: the
# surer a network is, the less it would seem to depend on anything.

# %%
section("4. Saliency")


def input_gradient(network, x, follow):
    """dx, where follow(scores) is what is handed back from the scores."""
    with input_gradient_mode(network):
        return network.backward(follow(network.forward(x)).astype(np.float32))


def one_score(classes):
    return lambda scores: np.eye(scores.shape[1])[classes]


def probability(classes):
    def follow(scores):
        p, chosen = softmax(scores), np.eye(scores.shape[1])[classes]
        return (p * chosen).sum(axis=1, keepdims=True) * (chosen - p)

    return follow


def rank_correlation(a, b):
    """Spearman's, picture by picture, of maps (N, ...): 1 if the same places come first, about 0 if the maps are unrelated."""
    ranks = [rankdata(maps.reshape(len(maps), -1), axis=1) for maps in (a, b)]
    a, b = (r - r.mean(axis=1, keepdims=True) for r in ranks)
    return (a * b).sum(axis=1) / np.maximum(np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1), 1e-12)


asked = x[sure]
of_score, of_p = (input_gradient(model, asked, follow(k)) for follow in (one_score, probability))
length = {"score": np.linalg.norm(of_score.reshape(len(k), -1), axis=1), "p": np.linalg.norm(of_p.reshape(len(k), -1), axis=1)}
by_certainty = np.argsort(p_right[sure])
tenth = len(k) // 10
fall = {name: float(np.median(v[by_certainty[:tenth]]) / np.median(v[by_certainty[-tenth:]])) for name, v in length.items()}
print(f"from the {tenth} least sure to the {tenth} surest of {len(k)} pictures the gradient of the probability falls", end=" ")
print(f"by a factor of {fall['p']:.2g}, that of the score by {fall['score']:.2g}")
claim(
    "The surer the network, the smaller the gradient of the probability, many times over; that of the score stays.",
    f"from the least sure tenth to the surest it falls by a factor of {fall['p']:.2g}, that of the score by "
    f"{fall['score']:.2g}",
    fall["p"] > 20 and 0.2 < fall["score"] < 5,
)

saliency = viz.saliency(model, asked, k)
print(f"viz.saliency is its size: largest difference {np.abs(saliency - np.abs(of_score).max(axis=1)).max():.0e}")
of_other = viz.saliency(model, asked, other)
own_class = float(rank_correlation(saliency, of_other).mean())
other_picture = float(rank_correlation(saliency, np.roll(saliency, 1, axis=0)).mean())
print(
    f"saliency for the right class and for another one correlate by {own_class:.2f} (rank correlation over the pixels),",
    end=" ",
)
print(f"the maps of two different pictures by {other_picture:.2f}")
claim(
    "Saliency hardly asks for the class: maps of one picture for two classes are more alike than maps of two pictures.",
    f"rank correlation {own_class:.2f} and {other_picture:.2f}",
    own_class > other_picture + 0.1,
)
figure, axes = picture_grid(3, 6, 1.15)
for column, n in zip(axes.T, examples, strict=True):
    column[0].imshow(pixels[sure[n]])
    column[1].imshow(saliency[n], cmap="inferno")
    column[2].imshow(of_other[n], cmap="inferno")
    column[0].set_title(f"{k[n]}", fontsize=9)
    column[2].set_xlabel(f"for a {other[n]}", fontsize=8)
for ax, text in zip(axes[:, 0], ("picture", "saliency", "saliency for\nanother class"), strict=True):
    ax.set_ylabel(text, fontsize=8)
figure.suptitle("Which pixels the score depends on; each map scaled to its own maximum", y=1.0, fontsize=10)
save(figure, HERE, "saliency")

# %% [markdown]
# The maps of two classes are alike because both scores go through the same units below: a pixel that moves many of them moves
# all scores. The laboratory found the same on ImageNet.
#
# ## 5. Noise, and SmoothGrad
#
# Saliency maps are speckled. A network of ReLUs is made of linear pieces, and the gradient is that of the piece in which $x$
# happens to lie: a change of the picture that nobody can see leads into another piece with another gradient. **SmoothGrad**
# (Smilkov et al. 2017) averages the gradient over pictures with a little noise, and takes the absolute value of the mean:
#
# $$\bar g = \frac1M \sum_{m=1}^M \frac{d s_k}{d x}(x + \sigma z_m), \qquad z_m \sim N(0, I).$$
#
# That is the gradient of a smoothed score, the mean of $s_k$ over such pictures. We compare two maps, made with noise drawn
# independently: if they are not alike, neither can be trusted to say something about *this picture*.

# %%
section("5. SmoothGrad")
NOISE, DRAWS = 25, 10 if QUICK else 30


def smooth_saliency(x, classes, draws, seed):
    noise = np.random.default_rng(seed)
    total = sum(
        input_gradient(model, x + (NOISE / STD * noise.standard_normal(x.shape)).astype(np.float32), one_score(classes))
        for _ in range(draws)
    )
    return np.abs(total / draws).max(axis=1)


single = [smooth_saliency(asked, k, 1, seed) for seed in (1, 2)]
smoothed = [smooth_saliency(asked, k, DRAWS, seed) for seed in (3, 4)]
agreement = {"one draw": rank_correlation(*single).mean(), f"{DRAWS} draws": rank_correlation(*smoothed).mean()}
noisy = as_input(np.clip(pixels[sure] + NOISE * rng.standard_normal((len(sure), 28, 28)), 0, 255))
kept = float((scores_of(noisy).argmax(axis=1) == k).mean())
print(
    f"noise of {NOISE} of 255 grey levels, with which {kept:.0%} of the answers stay: two saliency maps correlate by", end=" "
)
print(", ".join(f"{value:.2f} (mean of {name})" for name, value in agreement.items()))
claim(
    "Noise that leaves the answer as it is makes another saliency map; means over many draws of it agree with each other.",
    f"{kept:.0%} of the answers stay; rank correlation {agreement['one draw']:.2f} of two maps and "
    f"{agreement[f'{DRAWS} draws']:.2f} of two means",
    kept > 0.85 and agreement["one draw"] < 0.65 and agreement[f"{DRAWS} draws"] > agreement["one draw"] + 0.2,
)

# %% [markdown]
# Smooth is not the same as right: an average is less noisy whatever is averaged. Whether SmoothGrad points better at what
# counts is asked in section 9.
#
# ## 6. Sanity checks, and why guided backpropagation must not be believed
#
# **Guided backpropagation** (Springenberg et al. 2015) changes the backward pass of each ReLU: the gradient passes only where
# the input was positive (as always) *and* the gradient itself is positive,
#
# $$dx = dy \cdot [x > 0] \cdot [dy > 0].$$
#
# It makes by far the sharpest maps: outlines, as if drawn with a pen. For some years papers were full of them. What comes out
# is no derivative of anything, though. Is it about the network?
#
# Adebayo et al. (2018) proposed a test that is as simple as it is hard to pass: **destroy what the network has learned, and
# look whether the map changes.** A map that stays as it was cannot have shown what was learned. We give the layers new random
# weights one after another, from the output down, and compare with the maps of the trained network.

# %%
section("6. Sanity checks")
FROM_THE_TOP = ("output", "f6", "c5", "c3", "c1")


class GuidedReLU(ReLU):
    """A ReLU that hands down positive gradients only."""

    def _gradient(self, dy, y):
        return super()._gradient(np.maximum(dy, 0), y)


def guided(network):
    changed = network.copy()
    for name, layer in network.layers.items():
        if type(layer) is ReLU:
            changed.layers[name] = GuidedReLU()
    return changed


def with_random_layers(count, seed):
    """LeNet-5 with new weights in the first so many layers from the top."""
    network, fresh = model.copy(), lenet5(rng=seed)
    for name in FROM_THE_TOP[:count]:
        for own, drawn in zip(
            network.layers[name].parameters().values(), fresh.layers[name].parameters().values(), strict=True
        ):
            own.value[...] = drawn.value
    return network


LOOKS = {
    "guided backprop": lambda network, x, k: viz.saliency(guided(network), x, k),
    "saliency": viz.saliency,
    "Grad-CAM": viz.grad_cam,
}
original = {name: look(model, asked, k) for name, look in LOOKS.items()}
after_random, shown_maps = {name: [] for name in LOOKS}, {name: [] for name in LOOKS}
example = examples[0]
for count in range(len(FROM_THE_TOP) + 1):
    networks = [with_random_layers(count, seed) for seed in range(1 if QUICK else 3)]
    for name, look in LOOKS.items():
        found = [look(network, asked, k) for network in networks]
        after_random[name].append(float(np.mean([rank_correlation(original[name], maps) for maps in found])))
        shown_maps[name].append(found[0][example])
print(f"{'':<16} trained" + "".join(f"{'+ ' + name:>9}" for name in FROM_THE_TOP) + "   (random from the top down to here)")
for name, values in after_random.items():
    print(f"{name:<16}" + "".join(f"{value:>8.2f} " for value in values))
claim(
    "With the three upper layers random, guided backpropagation still gives much the same map, and Grad-CAM quite another one.",
    f"rank correlation {after_random['guided backprop'][3]:.2f} and {after_random['Grad-CAM'][3]:.2f}",
    after_random["guided backprop"][3] > 0.6 and after_random["Grad-CAM"][3] < 0.3,
)
claim(
    "Saliency changes more than guided backpropagation when layers are made random, and less than Grad-CAM.",
    "with a random output layer "
    + ", ".join(f"{name} {values[1]:.2f}" for name, values in after_random.items())
    + "; with three random layers "
    + ", ".join(f"{values[3]:.2f}" for values in after_random.values()),
    all(
        after_random["guided backprop"][c] - 0.1 > after_random["saliency"][c] > after_random["Grad-CAM"][c] + 0.1
        for c in (1, 2, 3)
    ),
)

figure, axes = picture_grid(len(LOOKS), 2 + len(FROM_THE_TOP), 1.1)
for row, (name, maps_of) in zip(axes, shown_maps.items(), strict=True):
    row[0].imshow(pixels[sure[example]])
    row[0].set_ylabel(name, fontsize=8)
    for ax, drawn in zip(row[1:], maps_of, strict=True):
        ax.imshow(viz.upsample(drawn[None], (28, 28))[0], cmap="inferno")
titles = ["trained", f"{FROM_THE_TOP[0]} random", *(f"and {name}" for name in FROM_THE_TOP[1:])]
for ax, title in zip(axes[0, 1:], titles, strict=True):
    ax.set_title(title, fontsize=8)
figure.suptitle("The same maps as the network is destroyed from the top", y=1.02, fontsize=10)
save(figure, HERE, "sanity")
figure, ax = plt.subplots(figsize=(5.6, 3.2), layout="tight")
for (name, values), color in zip(after_random.items(), (ORANGE, BLUE, GREEN), strict=True):
    ax.plot(range(len(values)), values, "o-", color=color, label=name)
ax.axhline(other_picture, color=GREY, lw=0.8, ls="--", label="saliency of two pictures")
ax.set_xticks(range(len(FROM_THE_TOP) + 1), ["trained", *FROM_THE_TOP])
ax.set(
    xlabel="random from the output down to",
    ylabel="rank correlation with the trained map",
    title="Does a map depend on what was learned?",
)
ax.legend(fontsize=8)
save(figure, HERE, "sanity_curves")

# %% [markdown]
# Guided backpropagation draws the picture: with the negative gradients thrown away at each layer, what comes down is mostly
# decided by which units are on, and those follow the strokes, whatever the weights above. Nie, Zhang and Patel (2018) showed
# why, for networks with random weights: it recovers the picture. It is an edge detector that needs a network to run.
#
# Saliency does not end at 0 either. The dashed line says why: maps of two *different* digits are somewhat alike, because all
# digits lie in the middle of the picture and a network has more to say about the middle. What a correlation is worth can be
# seen only beside such a number. (Grad-CAM does not begin at 1 if some of its maps are 0 everywhere: these count as 0.)
#
# ## 7. Occlusion: cover it, and see
#
# A gradient tells what an infinitely small change does. Zeiler and Fergus (2014) made large ones: a square is laid over one
# part of the picture after the other, and the map shows how far the score or the probability of the class falls. That is easy
# to believe, and it costs a forward pass for each place. But there are choices: the size of the square, the number that is
# watched, and what lies under all of it, **the colour of the square**. Nothing is not a colour. Whatever one puts there is a
# picture too, of something.
#
# On digits, white ink on black paper, this is plain to see. A black square takes ink away, a white one adds ink, and where the
# paper is empty a black one changes nothing at all.

# %%
section("7. Occlusion")
SQUARE, STRIDE = 8, 4
COLOURS = {"black": 0, "mean grey": MEAN, "white": 255}


def covered_scores(x, grey_level):
    """Scores (N, rows, columns, K) with a square of a grey level on each cell in turn."""
    corners = range(-(SQUARE - STRIDE) // 2, 28 - (SQUARE - STRIDE) // 2, STRIDE)
    found = []
    for top in corners:
        for left in corners:
            covered = x.copy()
            covered[..., max(top, 0) : top + SQUARE, max(left, 0) : left + SQUARE] = (grey_level - MEAN) / STD
            found.append(scores_of(covered))
    return np.stack(found, axis=1).reshape(len(x), len(corners), len(corners), -1)


rows = np.arange(len(k))
before = scores_of(asked)
with_square = {name: covered_scores(asked, level) for name, level in tqdm(COLOURS.items(), "occlusion", delay=2, leave=False)}
falls = {name: before[rows, k][:, None, None] - s[rows, :, :, k] for name, s in with_square.items()}
p_falls = {name: (softmax(before)[rows, k][:, None, None] - softmax(s)[rows, :, :, k]) for name, s in with_square.items()}


def strongest_cell(maps):
    return maps.reshape(len(maps), -1).argmax(axis=1)


pairs = [("black", "mean grey"), ("mean grey", "white"), ("black", "white")]
same_cell = {pair: float((strongest_cell(falls[pair[0]]) == strongest_cell(falls[pair[1]])).mean()) for pair in pairs}
alike_maps = {pair: float(rank_correlation(falls[pair[0]], falls[pair[1]]).mean()) for pair in pairs}
for pair in pairs:
    print(
        f"a {pair[0]} and a {pair[1]} square: rank correlation {alike_maps[pair]:.2f}, the same cell is the strongest", end=" "
    )
    print(f"for {same_cell[pair]:.0%} of the pictures")
claim(
    "A black and a white square seldom point at the same place.",
    f"the same cell comes first for {same_cell['black', 'white']:.0%} of {len(k)} pictures, one of 49; rank correlation "
    f"{alike_maps['black', 'white']:.2f}",
    same_cell["black", "white"] < 0.2 and alike_maps["black", "white"] < 0.5,
)
windows = np.lib.stride_tricks.sliding_window_view(np.pad(pixels[sure], ((0, 0), (2, 2), (2, 2))), (SQUARE, SQUARE), (1, 2))
empty = windows[:, ::STRIDE, ::STRIDE].max(axis=(3, 4)) == 0
on_empty = {name: float(np.abs(falls[name][empty]).mean()) for name in COLOURS}
print(f"where the paper is empty ({empty.mean():.0%} of all cells), the score changes by " + ", ".join(
    f"{value:.3g} ({name})" for name, value in on_empty.items()
))  # fmt: skip
claim(
    "On empty paper a black square changes nothing, and a white one changes the score.",
    f"by {on_empty['black']:.1g} and {on_empty['white']:.2g} on average",
    on_empty["black"] < 1e-4 and on_empty["white"] > 0.3,
)
figure, axes = picture_grid(4, 1 + len(COLOURS), 1.3)
for row, n in zip(axes, examples, strict=False):
    row[0].imshow(pixels[sure[n]])
    for ax, (name, values) in zip(row[1:], falls.items(), strict=True):
        limit = np.abs(values[n]).max()
        ax.imshow(values[n], cmap="RdBu_r", vmin=-limit, vmax=limit)
        if n == examples[0]:
            ax.set_title(f"{name} square", fontsize=8)
figure.suptitle("How far the score falls (red) or rises (blue) with a square there", y=0.96, fontsize=10)
save(figure, HERE, "occlusion")
unmoved = {name: float((np.abs(p_falls[name]) < 0.01).mean()) for name in COLOURS}
print(
    f"the probability moves by less than a hundredth in {unmoved['black']:.0%} of all cells (black square): where the", end=" "
)
print("network is sure, the score says more")

# %% [markdown]
# ## 8. Grad-CAM
#
# A map of pixels is noisy, and the class has little to do with it. Higher up it is the other way round: the last feature maps
# are coarse, but they know the classes. **Grad-CAM** (Selvaraju et al. 2017) asks which places in feature maps $A$ speak for a
# class:
#
# $$\alpha_c = \frac{1}{hw} \sum_{ij} \frac{d s_k}{d A_{cij}}, \qquad
#   G_{ij} = \max\Big(0, \sum_c \alpha_c A_{cij}\Big).$$
#
# A channel's weight is how much the score rises with it on average over the places, and the ReLU keeps what speaks *for* the
# class. The map is as coarse as $A$, and is enlarged for drawing.
#
# If the network ends in global average pooling and one linear layer,
# $s_k = b_k + \sum_c w_{kc} \frac{1}{hw} \sum_{ij} A_{cij}$, then $ds_k / dA_{cij} = w_{kc} / (hw)$ everywhere, so that
#
# $$G_{ij} = \frac{1}{hw} \max\Big(0, \sum_c w_{kc} A_{cij}\Big):$$
#
# up to the constant and the ReLU the **class activation map** of Zhou et al. (2016), which needs no gradient. And the sum of
# the map without the ReLU is the score itself, but for the bias: each place has its share in it. We check that on a small
# network with such an end, which is trained here, and on EfficientNet-Lite0 if it is installed.

# %%
section("8. Grad-CAM")


def pooled_network(seed):
    rng = np.random.default_rng(seed)
    layers, channels = {}, 1
    for i, filters in enumerate((16, 32, 64), start=1):
        layers |= {
            f"conv{i}": Conv2d(channels, filters, 3, pad=1, rng=rng),
            f"norm{i}": BatchNorm2d(filters),
            f"relu{i}": ReLU(),
        }
        layers |= {f"pool{i}": MaxPool2d(2)} if i < 3 else {"average": GlobalAvgPool2d()}
        channels = filters
    return Model(layers | {"scores": Linear(channels, 10, rng=rng)}, architecture="pooled", input_shape=(1, 28, 28))


pooled = pooled_network(seed=0)
trainer = Trainer(
    pooled,
    SoftmaxCrossEntropy(),
    Adam(pooled.parameters(), 1e-2),
    epochs=1 if QUICK else 3,
    batch_size=50,
    schedule=one_cycle(),
    seed=0,
    prepare=model.preprocessing.normalise,
    label="a network that ends in global average pooling",
)
count = 1000 if QUICK else 3000
trainer.fit(train_pixels[:count], train_labels[:count])
print(f"the small network is right about {np.mean(scores_of(x[:500], pooled).argmax(axis=1) == labels[:500]):.0%}")


def class_activation(network, x, classes, layer):
    """The weighted maps before any ReLU, (N, h, w)."""
    A = network.eval().forward(x, layers=layer)[layer]
    return np.einsum("nc,nchw->nhw", network.classifier.w.value[classes], A)


differences = {}
subjects = {"the small network": (pooled, asked[:20], k[:20], "relu3")}
if archive:
    subjects["EfficientNet-Lite0"] = (lite, lite.preprocessing.normalise(photos[:4]), photo_labels[:4], "head")
for title, (network, inputs, classes, layer) in subjects.items():
    cam, grad = class_activation(network, inputs, classes, layer), viz.grad_cam(network, inputs, classes, layer)
    places = cam.shape[1] * cam.shape[2]
    differences[title] = float(np.abs(grad - np.maximum(cam, 0) / places).max() / grad.max())
    score = network.eval().forward(inputs)[np.arange(len(classes)), classes]
    shares = cam.sum(axis=(1, 2)) / places + network.classifier.b.value[classes]
    print(
        f"{title}: Grad-CAM and the class activation map, divided by h w = {places}, differ by {differences[title]:.0e};",
        end=" ",
    )
    print(
        f"the shares of all places and the bias sum to the score, up to "
        f"{np.abs(shares - score).max() / np.abs(score).max():.0e}"
    )
claim(
    "Where global average pooling and one linear layer follow, Grad-CAM is the class activation map up to a constant.",
    ", ".join(f"{title}: largest difference {value:.0e}" for title, value in differences.items()),
    max(differences.values()) < 1e-4,
)
cams, cams_of_other = (viz.grad_cam(model, asked, classes) for classes in (k, other))
cam_classes = float(rank_correlation(cams, cams_of_other).mean())
print(f"LeNet-5: Grad-CAM for the right class and for another one correlate by {cam_classes:.2f}; saliency by {own_class:.2f}")
claim(
    "Grad-CAM asks for the class: its maps for two classes have little to do with each other.",
    f"rank correlation {cam_classes:.2f}, that of saliency is {own_class:.2f}",
    cam_classes < 0.2 < own_class,
)
figure, axes = picture_grid(3, 6, 1.15)
heats = (
    viz.upsample(cams[examples], (28, 28)),
    viz.upsample(viz.grad_cam(pooled, asked[examples], k[examples], "relu3"), (28, 28)),
)
for i, (column, n) in enumerate(zip(axes.T, examples, strict=True)):
    column[0].imshow(pixels[sure[n]])
    for ax, heat in zip(column[1:], heats, strict=True):
        ax.imshow(pixels[sure[n]], alpha=0.5)
        ax.imshow(heat[i], cmap="inferno", alpha=0.6)
for ax, text in zip(axes[:, 0], ("picture", "LeNet-5, s4\n(5 x 5)", "pooled, relu3\n(7 x 7)"), strict=True):
    ax.set_ylabel(text, fontsize=8)
figure.suptitle("Grad-CAM of two networks, each map scaled to its own maximum", y=0.96, fontsize=10)
save(figure, HERE, "grad_cam")

# %% [markdown]
# Compare the two rows. Bright places of both maps often lie *beside* the strokes: a place in an upper map is named after its
# middle, but it has seen many pixels around it. Do not read such a map to the pixel.
#
# ## 9. Which map is right? Deletion and insertion
#
# There is no list of right answers to the question *why*. One can ask for a consequence, though: if a map says which pixels
# matter most, then without those the probability should fall soon (**deletion**), and with those alone it should soon be there
# (**insertion**; Petsiuk, Das and Saenko 2018, who put the pixels back onto a blurred picture). The area under the curve of the
# probability, over the share of the pixels that are gone, is one number for each map. Deletion wants it small, insertion large.
#
# And beside the maps we put two that know nothing of the network: chance, and the picture itself, its brightest pixels first.

# %%
section("9. Deletion and insertion")
STEPS = 14
few = slice(0, 30 if QUICK else 60)
orders = {
    "chance": rng.random((len(k), 28, 28)),
    "brightness": pixels[sure].astype(np.float64),
    "saliency": saliency,
    "SmoothGrad": smoothed[0],
    "guided backprop": original["guided backprop"],
    "Grad-CAM": viz.upsample(cams, (28, 28)),
    "occlusion, black": viz.upsample(falls["black"], (28, 28)),
    "occlusion, white": viz.upsample(falls["white"], (28, 28)),
}
ranks = {
    name: np.argsort(np.argsort(-(o[few].reshape(-1, 784) + 1e-9 * rng.random((len(k[few]), 784))), axis=1), axis=1)
    for name, o in orders.items()
}


def curve(rank, grey_level, insertion=False):
    """The mean probability of the class with more and more of the pixels replaced by a grey level, or not."""
    p = []
    for step in range(STEPS + 1):
        first = (rank < 784 * step / STEPS).reshape(-1, 1, 28, 28)
        seen = first if insertion else ~first
        inputs = np.where(seen, asked[few], np.float32((grey_level - MEAN) / STD))
        p.append(softmax(scores_of(inputs))[np.arange(len(rank)), k[few]].mean())
    return np.array(p)


curves = {
    name: {
        "black": curve(rank, 0),
        "mean grey": curve(rank, MEAN),
        "white": curve(rank, 255),
        "insertion": curve(rank, MEAN, True),
    }
    for name, rank in tqdm(ranks.items(), "deletion", delay=2, leave=False)
}
area = {name: {what: float(np.trapezoid(p, dx=1 / STEPS)) for what, p in of.items()} for name, of in curves.items()}
print("area under the probability while pixels are made                and while they are put back")
print(f"{'':<18}" + "".join(f"{what:>15}" for what in ("black", "mean grey", "white", "onto mean grey")))
for name, of in area.items():
    print(f"{name:<18}" + "".join(f"{of[what]:>15.3f}" for what in ("black", "mean grey", "white", "insertion")))
with_ink = {name: rank_correlation(orders[name], orders["brightness"]).mean() for name in ("guided backprop", "saliency")}
print("rank correlation with the brightness: " + ", ".join(f"{name} {value:.2f}" for name, value in with_ink.items()))
good = ("saliency", "SmoothGrad", "occlusion, black")
claim(
    "The pixels that saliency, SmoothGrad and occlusion name first bring the probability down sooner than pixels at random.",
    ", ".join(f"{name} {area[name]['mean grey']:.3f}" for name in (*good, "chance")),
    all(area[name]["mean grey"] < 0.8 * area["chance"]["mean grey"] for name in good),
)
claim(
    "In the test of insertion the brightness of the picture, which knows nothing of the network, does better than saliency, "
    "and so does guided backpropagation.",
    ", ".join(f"{name} {area[name]['insertion']:.3f}" for name in ("brightness", "guided backprop", "saliency")),
    min(area[name]["insertion"] for name in ("brightness", "guided backprop")) > area["saliency"]["insertion"] + 0.02,
)
claim(
    "Which of two maps wins the test of deletion depends on the colour that is put in the place of the pixels.",
    f"occlusion by a black and by a white square: {area['occlusion, black']['black']:.3f} and "
    f"{area['occlusion, white']['black']:.3f} with black, {area['occlusion, black']['white']:.3f} and "
    f"{area['occlusion, white']['white']:.3f} with white",
    area["occlusion, black"]["black"] < 0.8 * area["occlusion, white"]["black"]
    and area["occlusion, white"]["white"] < 0.8 * area["occlusion, black"]["white"],
)
figure, axes = plt.subplots(1, 3, figsize=(10.5, 3.3), sharey=True, layout="tight")
styles = dict(zip(orders, [(GREY, ":"), (INK, "--"), (BLUE, "-"), (BLUE, "--"), (ORANGE, "-"), (GREEN, "-"), ("#7b4fa3", "-"),
                           ("#7b4fa3", ":")], strict=True))  # fmt: skip
shares = 100 * np.arange(STEPS + 1) / STEPS
for ax, what, title in zip(
    axes, ("black", "white", "insertion"), ("made black", "made white", "put back onto mean grey"), strict=True
):
    for name, of in curves.items():
        ax.plot(shares, of[what], color=styles[name][0], ls=styles[name][1], lw=1.4, label=name)
    ax.set(xlabel=f"% of the pixels {title}", title="insertion" if what == "insertion" else f"deletion, {what}")
axes[0].set_ylabel("probability of the class")
axes[2].legend(fontsize=7)
save(figure, HERE, "deletion")

# %% [markdown]
# Where ink is taken away or put back, the outlines of guided backpropagation, which did not pass the sanity check of section
# 6, are among the best, and so is a map that has never seen the network. Both follow the strokes. (With white, brightness
# first is worse than chance: white on white changes little.) And of the two occlusion maps each wins with the colour it was
# made with. A test with numbers is better than an impression, but it measures two things at once: how well the map orders the
# pixels, and what the network makes of pictures that nobody has ever drawn, half a digit on grey. Hooker et al. (2019)
# therefore *train anew* without the pixels that a map names, which is honest and many times as much work.
#
# ## 10. Codes: neighbours, and a map of them
#
# Instead of asking about one picture one can ask which pictures are alike *to the network*. The code is what the last hidden
# layer says (lesson 11), and codes are compared by their angle. For each picture we look for its five nearest neighbours, by
# codes and by pixels.

# %%
section("10. Neighbours, and a map of codes")
codes = model.eval().forward(x, layers="relu6")["relu6"]
everyone = np.arange(min(len(x), 1000))
raw = pixels.reshape(len(pixels), -1) - pixels.reshape(len(pixels), -1).mean(axis=0)
found, same_class = {}, {}
for name, vectors in (("codes", codes), ("pixels", raw)):
    found[name], _ = viz.nearest_neighbours(vectors[everyone], everyone, 5)
    same_class[name] = viz.share_of_same_class(labels, everyone, found[name])
    print(f"of the five nearest by {name:<6} {same_class[name]:.1%} show the same digit")
claim(
    "The nearest neighbours by codes are of the same class more often than those by pixels.",
    f"{same_class['codes']:.1%} and {same_class['pixels']:.1%} of the five nearest",
    same_class["codes"] > same_class["pixels"] + 0.05,
)
worst = np.argsort((labels[found["pixels"]] == labels[everyone][:, None]).sum(axis=1), kind="stable")[:4]
figure, axes = picture_grid(4, 12, 0.75)
for row, n in zip(axes, worst, strict=True):
    for ax, i in zip(row, [n, *found["pixels"][n], n, *found["codes"][n]], strict=True):
        ax.imshow(pixels[i])
        for side in ax.spines.values():
            side.set(visible=True, color=GREEN if labels[i] == labels[n] else ORANGE, linewidth=1.5)
axes[0, 0].set_title("nearest by pixels", fontsize=8, loc="left")
axes[0, 6].set_title("nearest by codes", fontsize=8, loc="left")
figure.suptitle(
    "Where pixels go wrong: a digit and its five neighbours, twice; green frame: the same class", y=0.99, fontsize=10
)
save(figure, HERE, "neighbours")

# %% [markdown]
# Eighty-four numbers cannot be drawn. **PCA** keeps the two directions in which the codes vary most; it is linear, a shadow of
# the cloud, and says how much of the variance lies in the shadow. **t-SNE** (van der Maaten and Hinton 2008) gives up the
# distances and keeps neighbourhoods: near points stay near, the rest goes wherever there is room.
#
# What a plane cannot say:
#
# - **PCA**: that two points are near. Whatever differs in the other eighty-two directions falls upon each other.
# - **t-SNE**: how *large* a group is, and how *far* two groups are from each other. It measures distances in units of how dense
#   the neighbourhood is, so that a tight group and a wide one come out equal. And it may find groups where there are none, as
#   in plain noise with a small perplexity (Wattenberg, Viégas and Johnson 2016).

# %%
COUNT = 150 if QUICK else 300
few_codes = codes[:COUNT]
plane, share = viz.pca(few_codes)
tsne, _ = viz.tsne(few_codes, steps=400 if QUICK else 1000)
near, _ = viz.nearest_neighbours(few_codes, np.arange(COUNT), 10, "euclidean")
kept = {}
for name, points in (("PCA", plane), ("t-SNE", tsne)):
    on_plane, _ = viz.nearest_neighbours(points, np.arange(COUNT), 10, "euclidean")
    kept[name] = float(np.mean([len(set(a) & set(b)) / 10 for a, b in zip(near, on_plane, strict=True)]))
print(
    f"of the ten nearest codes, {kept['PCA']:.0%} are among the ten nearest points by PCA, which keeps {share.sum():.0%} of",
    end=" ",
)
print(f"the variance, and {kept['t-SNE']:.0%} by t-SNE")
claim(
    "A plane loses neighbours: PCA many of them, t-SNE fewer.",
    f"{kept['PCA']:.0%} and {kept['t-SNE']:.0%} of the ten nearest stay among the ten nearest",
    kept["PCA"] < 0.75 and kept["t-SNE"] > kept["PCA"] + 0.1,
)


def spread(points):
    return float(np.sqrt(((points - points.mean(axis=0)) ** 2).sum(axis=1).mean()))


cloud = np.random.default_rng(0)
groups = np.concatenate([cloud.standard_normal((75, 50)), 10 * cloud.standard_normal((75, 50))])
groups[:75, 0] += 100
drawn_groups, _ = viz.tsne(groups, steps=400 if QUICK else 1000)
ratios = spread(groups[75:]) / spread(groups[:75]), spread(drawn_groups[75:]) / spread(drawn_groups[:75])
print(f"two groups, one {ratios[0]:.0f} times as wide as the other: by t-SNE it is {ratios[1]:.1f} times as wide")
claim(
    "By t-SNE a group that is ten times as wide as another one is drawn about as wide.",
    f"{ratios[0]:.1f} times as wide in truth, {ratios[1]:.2f} times in the plane",
    ratios[0] > 8 and 0.5 < ratios[1] < 2,
)
blobs, _ = viz.tsne(cloud.standard_normal((150, 50)), perplexity=3, steps=400 if QUICK else 1000)
figure, axes = plt.subplots(1, 4, figsize=(12, 3.2), layout="tight")
titles = (
    f"codes by PCA ({share.sum():.0%} of the variance)",
    "codes by t-SNE (colours: the digits)",
    "two groups by t-SNE: red is ten times as wide",
    "noise by t-SNE, perplexity 3",
)
for ax, points, color, title in zip(
    axes, (plane, tsne, drawn_groups, blobs), (labels[:COUNT], labels[:COUNT], np.repeat([0, 3], 75), GREY), titles, strict=True
):
    colours = {"color": color} if isinstance(color, str) else {"c": color, "cmap": "tab10", "vmin": 0, "vmax": 9}
    ax.scatter(*points.T, s=9, **colours)
    ax.set(xticks=[], yticks=[])
    ax.set_title(title, fontsize=9)
save(figure, HERE, "maps_of_codes")

# %% [markdown]
# ## 11. The picture that a class would like best
#
# A gradient with respect to the picture can also be *followed*: start from noise, and climb, $x \leftarrow x + \eta\, ds_k /
# dx$, keeping the pixels between 0 and 255 (Erhan et al. 2009; Simonyan et al. 2014 with an L2 penalty on the picture; here
# the gradient is brought to one length, and a slight pull goes towards black paper). What comes out is what the network would
# most like to see for class $k$.

# %%
section("11. The picture that a class would like best")
classes = np.arange(10)
dream = as_input(rng.uniform(0, 60, (10, 28, 28)))
LOW, HIGH = (0 - MEAN) / STD, (255 - MEAN) / STD
for _ in range(150):
    gradient = input_gradient(model, dream, one_score(classes))
    step = 0.1 * gradient / (np.sqrt((gradient**2).mean(axis=(1, 2, 3), keepdims=True)) + 1e-8)
    dream = np.clip(dream + step - 0.002 * (dream - LOW), LOW, HIGH).astype(np.float32)
dreamt = scores_of(dream)[classes, classes]
real = scores_of(x)
largest_real = real.max(axis=0)
print("score of the class, of its picture: " + " ".join(f"{s:5.1f}" for s in dreamt))
print("largest of all real pictures:       " + " ".join(f"{s:5.1f}" for s in largest_real))
claim(
    "Each class has a picture, found by climbing, whose score is higher than that of every real picture.",
    f"scores {dreamt.min():.0f} to {dreamt.max():.0f}, and {largest_real.min():.0f} to {largest_real.max():.0f} of the best "
    "real ones",
    bool((dreamt > 1.05 * largest_real).all()),
)
figure, axes = picture_grid(2, 10, 1.0)
for c in classes:
    axes[0, c].imshow(pixels[real[:, c].argmax()])
    axes[1, c].imshow(dream[c, 0] * STD + MEAN, vmin=0, vmax=255)
    axes[0, c].set_title(f"{largest_real[c]:.0f}", fontsize=8)
    axes[1, c].set_title(f"{dreamt[c]:.0f}", fontsize=8)
axes[0, 0].set_ylabel("best real", fontsize=8)
axes[1, 0].set_ylabel("climbed", fontsize=8)
figure.suptitle(
    "The real picture with the highest score for its class, and a climbed one (numbers: scores)", y=1.06, fontsize=10
)
save(figure, HERE, "class_pictures")

# %% [markdown]
# In some of them one makes out the digit; to a human the rest is clutter. The network has been asked to tell ten
# kinds of digits apart, never whether something *is* a digit: whatever tells them apart, it may use, and far away from all
# digits nothing holds its scores back.
#
# ## 12. A picture that fools the network
#
# One need not go far, either. Goodfellow, Shlens and Szegedy (2015) take a single step, in which every pixel moves by the same
# small $\epsilon$, up or down:
#
# $$x' = x + \epsilon\, \mathrm{sign}\!\left(\frac{dL}{dx}\right),$$
#
# with $L$ the loss of the true class. (With that of another class, and a minus sign, the step is *targeted*.) Why does it do so
# much? For the part of $L$ that is linear in $x$, the change is $g \cdot d$, and
#
# $$d = \epsilon\, \mathrm{sign}(g): \quad g \cdot d = \epsilon \sum_i |g_i| = \epsilon \lVert g \rVert_1 ; \qquad
#   d_i = \pm\epsilon \text{ at random}: \quad |g \cdot d| \approx \epsilon \lVert g \rVert_2 .$$
#
# As long as the $|g_i|$ are of one size, the first grows with the number of pixels $D$, the second only with $\sqrt D$. In a
# picture of a hundred thousand pixels, tiny changes that all push the same way add up. No large weight is needed for it, and
# nothing that is peculiar to deep networks: linear classifiers have it too.

# %%
section("12. A picture that fools the network")
right = np.flatnonzero(scores_of(x).argmax(axis=1) == labels)[: 300 if QUICK else 1000]
grey = pixels[right, None].astype(np.float64)
truth = labels[right]


def loss_gradient(network, x, classes):
    loss = SoftmaxCrossEntropy()
    with input_gradient_mode(network):
        loss.forward(network.forward(x), classes)
        return network.backward(loss.backward())


gradient = loss_gradient(model, x[right], truth)
sign, by_chance = np.sign(gradient), rng.choice([-1, 1], gradient.shape)
flat = gradient.reshape(len(right), -1)
ratio = float(np.median(np.abs(flat).sum(axis=1) / np.linalg.norm(flat, axis=1)))
print(f"|g|_1 is {ratio:.0f} times |g|_2 in the median (28, the root of 784, at most)")
LEVELS = (0, 2, 4, 8, 16, 24, 32, 48, 64, 96)


def still_right(pictures, answers=truth):
    return scores_of(as_input(np.clip(pictures, 0, 255))).argmax(axis=1) == answers


fooled = np.stack([~still_right(grey + level * sign) for level in LEVELS])
accuracy = {
    "along the sign": [1 - float(f.mean()) for f in fooled],
    "at random": [float(still_right(grey + level * by_chance).mean()) for level in LEVELS],
}
for i, level in enumerate(LEVELS):
    print(f"step of {level:>2} of 255 grey levels: {accuracy['along the sign'][i]:>6.1%} still right,", end=" ")
    print(f"{accuracy['at random'][i]:>6.1%} with a step of the same size at random")
steps = np.arange(1, 129)
smallest = np.full(len(right[:300]), np.inf)
for level in steps[::-1]:
    answers = scores_of(as_input(np.clip(grey[:300] + level * sign[:300], 0, 255))).argmax(axis=1)
    smallest[answers != truth[:300]] = level
print(f"smallest step that changes the answer: {np.median(smallest):.0f} grey levels in the median,", end=" ")
print(f"{np.quantile(smallest, 0.1):.0f} for the most fragile tenth")
at = LEVELS.index(32)
claim(
    "A step of 32 grey levels along the sign of the gradient fools LeNet-5 many times as often as one of that size at random.",
    f"{1 - accuracy['along the sign'][at]:.1%} and {1 - accuracy['at random'][at]:.1%} of the right answers become wrong",
    1 - accuracy["along the sign"][at] > 0.25 and (1 - accuracy["along the sign"][at]) > 5 * (1 - accuracy["at random"][at]),
)
wanted = (truth + 1) % 10
towards = np.sign(loss_gradient(model, x[right], wanted))
reached = {level: float(still_right(grey - level * towards, wanted).mean()) for level in (32, 64)}
print("targeted, to be taken for the next digit: " + ", ".join(f"{r:.0%} with {level}" for level, r in reached.items()))
claim(
    "It is harder to have a digit taken for one certain other digit than for just any other.",
    f"with 32 grey levels {reached[32]:.1%} and {1 - accuracy['along the sign'][at]:.1%} of the pictures",
    reached[32] < 0.7 * (1 - accuracy["along the sign"][at]),
)
figure, axes = picture_grid(3, 8, 1.05)
shown = np.flatnonzero(fooled[at])[:8]
for column, n in zip(axes.T, shown, strict=False):
    moved = np.clip(grey[n] + 32 * sign[n], 0, 255)
    column[0].imshow(grey[n, 0], vmin=0, vmax=255)
    column[1].imshow(sign[n, 0], cmap="RdBu_r")
    column[2].imshow(moved[0], vmin=0, vmax=255)
    column[0].set_title(f"{truth[n]}", fontsize=9)
    column[2].set_xlabel(f"a {scores_of(as_input(moved)).argmax()}", fontsize=9)
for ax, text in zip(axes[:, 0], ("picture", "sign", "32 grey\nlevels on"), strict=True):
    ax.set_ylabel(text, fontsize=8)
figure.suptitle("Pictures that fool LeNet-5 (sign: red is brighter, blue darker)", y=1.0, fontsize=10)
save(figure, HERE, "fooled")

of_lite = {}
if archive:
    inputs = lite.preprocessing.normalise(photos)
    answers = np.concatenate([lite.eval().forward(inputs[i : i + 8]).argmax(axis=1) for i in range(0, len(inputs), 8)])
    known = np.flatnonzero(answers == photo_labels)
    mean, std = (np.reshape(v, (-1, 1, 1)) for v in (lite.preprocessing.mean, lite.preprocessing.std))
    colours = photos[known].transpose(0, 3, 1, 2).astype(np.float64)
    signs = np.concatenate(
        [
            np.sign(loss_gradient(lite, inputs[known[i : i + 4]], photo_labels[known[i : i + 4]]))
            for i in tqdm(range(0, len(known), 4), "EfficientNet-Lite0", delay=2, leave=False)
        ]
    )
    for level in (1, 2, 4):
        for way, direction in (("along the sign", signs), ("at random", rng.choice([-1, 1], signs.shape))):
            moved = ((np.clip(colours + level * direction, 0, 255) - mean) / std).astype(np.float32)
            answers = np.concatenate([lite.forward(moved[i : i + 8]).argmax(axis=1) for i in range(0, len(moved), 8)])
            of_lite[way, level] = float((answers == photo_labels[known]).mean())
        print(f"EfficientNet-Lite0, {len(known)} pictures that it knows, a step of {level} of 255: ", end="")
        print(f"{of_lite['along the sign', level]:.0%} still right, {of_lite['at random', level]:.0%} at random")
    share = of_lite["along the sign", 1]
    error = np.sqrt(share * (1 - share) / len(known))  # of a share of so few pictures
    claim(
        "A step of a single grey level of 255, which nobody can see, makes most answers of EfficientNet-Lite0 wrong.",
        f"{1 - share:.0%} +- {error:.0%} of {len(known)} right answers, and {1 - of_lite['at random', 1]:.0%} with a step of "
        f"one grey level at random",
        share + 2 * error < 0.5 < of_lite["at random", 1],
    )
figure, ax = plt.subplots(figsize=(5.8, 3.3), layout="tight")
for (way, values), color, style in zip(accuracy.items(), (ORANGE, BLUE), ("o-", "s-"), strict=True):
    ax.plot(LEVELS, [100 * a for a in values], style, color=color, ms=4, label=f"LeNet-5, {way}")
for way, color in (("along the sign", ORANGE), ("at random", BLUE)) if of_lite else ():
    ax.plot(
        (0, 1, 2, 4), [100] + [100 * of_lite[way, level] for level in (1, 2, 4)], "^:", color=color, ms=5, label=f"Lite0, {way}"
    )
ax.set(xlabel="step, in grey levels of 255", ylabel="still right, %", title="How small a step changes the answer")
ax.legend(fontsize=8)
save(figure, HERE, "fooling_steps")

# %% [markdown]
# The digits are of 784 pixels, and white on black: they have strong contrast, and it takes a step that one sees. The
# photographs have 150,528 numbers, and one grey level is enough. This, too, is looking inside: the gradient that drew the
# saliency map of section 4 is a direction in which the answer can be changed, and most of that direction means nothing to us.
#
# ## What a map is worth
#
# | | what it shows | what to remember |
# | --- | --- | --- |
# | filters, feature maps | what a layer computes | say the scale; compare with an untrained network |
# | patches | what a unit answers to most strongly | of the pictures shown, and the strongest only |
# | saliency, SmoothGrad | where the score is sensitive | noise; hardly depends on the class |
# | guided backpropagation | the outlines of the picture | fails the sanity check: not about the network |
# | occlusion | what happens without a part | the colour of the square is a part of the question |
# | Grad-CAM | which places speak for a class | coarse; a place has seen more than it covers |
# | neighbours | what is alike to the network | all directions count, also those that do not matter |
# | PCA, t-SNE | groups | no distances, no sizes |
#
# Use two ways that can fail differently, test each against a network that has learned nothing, and say what you would have
# concluded had the map looked otherwise.

# %% [markdown]
# ## 13. All of it in one page
#
# `minicnn explore MODEL PICTURES` makes a page of any network and any pictures: maps and filters of every layer, saliency,
# occlusion, Grad-CAM, the nearest training pictures, and the arithmetic behind each number. It begins with the mistakes. The
# next cell makes one of this LeNet-5, with pictures that it gets wrong and some that it gets right.

# %%
section("13. All of it in one page")
shown, known = slice(0, 200 if QUICK else 600), slice(0, 1000)
page = explore(
    model,
    pixels[shown].astype(np.uint8),
    labels[shown],
    training=train_pixels[known].astype(np.uint8),
    training_labels=train_labels[known],
    progress=False,
)
save_page(page, HERE, "explore")

# %% [markdown]
# ## What this lesson claims
#
# - In trained filters neighbouring weights are alike, and in untrained ones they are not.
# - Behind each ReLU there are more zeros after training than before it.
# - In the last hidden layer the class explains more than twice as much of a unit's variation as it does untrained, and in the
#   first layer it does not.
# - What lies outside of a unit's receptive field makes no difference to it.
# - The patches that excite a unit most resemble each other, far more than those at which it is largest in pictures at random.
# - The surer the network, the smaller the gradient of the probability, many times over; that of the score stays.
# - Saliency hardly asks for the class: maps of one picture for two classes are more alike than maps of two pictures.
# - Noise that leaves the answer as it is makes another saliency map; means over many draws of it agree with each other.
# - With the three upper layers random, guided backpropagation still gives much the same map, and Grad-CAM quite another one.
# - Saliency changes more than guided backpropagation when layers are made random, and less than Grad-CAM.
# - A black and a white square seldom point at the same place.
# - On empty paper a black square changes nothing, and a white one changes the score.
# - Where global average pooling and one linear layer follow, Grad-CAM is the class activation map up to a constant.
# - Grad-CAM asks for the class: its maps for two classes have little to do with each other.
# - The pixels that saliency, SmoothGrad and occlusion name first bring the probability down sooner than pixels at random.
# - In the test of insertion the brightness of the picture, which knows nothing of the network, does better than saliency, and
#   so does guided backpropagation.
# - Which of two maps wins the test of deletion depends on the colour that is put in the place of the pixels.
# - The nearest neighbours by codes are of the same class more often than those by pixels.
# - A plane loses neighbours: PCA many of them, t-SNE fewer.
# - By t-SNE a group that is ten times as wide as another one is drawn about as wide.
# - Each class has a picture, found by climbing, whose score is higher than that of every real picture.
# - A step of 32 grey levels along the sign of the gradient fools LeNet-5 many times as often as one of that size at random.
# - It is harder to have a digit taken for one certain other digit than for just any other.
# - With EfficientNet-Lite0 and pictures of ImageNet at hand: A step of a single grey level of 255, which nobody can see, makes
#   most answers of EfficientNet-Lite0 wrong.

# %%
print_claims()

# %% [markdown]
# ## Questions
#
# **1.** A colleague shows a saliency map in which the outline of a dog lights up, and concludes that the network knows what a
# dog looks like. Which two further maps would you ask to see first?
#
# <details><summary>Answer</summary>
#
# The map of the same picture for another class, and the map of the same picture from a network whose upper layers have random
# weights. If the outline lights up there as well, it comes from the picture, in which the outline is where the contrast is, and
# not from anything that is known about dogs.
#
# </details>
#
# **2.** In a network with global average pooling and a linear classifier, what does Grad-CAM give at the last feature maps if
# its ReLU is left out and all places are added up? What if the network has two linear layers after the pooling, with a ReLU
# between?
#
# <details><summary>Answer</summary>
#
# With one linear layer the sum over the places is $s_k - b_k$, the score without its bias. With a ReLU between two layers the
# score is linear in $A$ only as long as no hidden unit changes sides: $\alpha_c$ is the slope of that linear piece, and the sum
# is $s_k$ minus the constant of that piece, which may be anything. The map then says where the score is sensitive, and no
# longer how the score is made up.
#
# </details>
#
# **3.** A step of one grey level at random, in each of a picture's 150,528 numbers, changes no answer; along the sign of the
# gradient it changes most. Somebody proposes to round the pixels to multiples of four grey levels before the network sees them.
# Does that help?
#
# <details><summary>Answer</summary>
#
# Hardly. A step of one grey level takes about a quarter of the numbers over the edge between two multiples, and each of those
# then moves by four. Of the terms of $g \cdot d$ a quarter is left, each four times as large: on average the sum is what it
# was. (The rounding by itself moves every number by up to two, in directions that have nothing to do with the gradient, and
# such changes do next to nothing.) And whoever knows of the rounding moves just those numbers that lie near an edge.
#
# </details>
#
# ## Further reading
#
# - Simonyan, Vedaldi, Zisserman 2014, "Deep Inside Convolutional Networks: Visualising Image Classification Models and Saliency
#   Maps", sections 2 (class pictures) and 3 (saliency).
# - Zeiler, Fergus 2014, "Visualizing and Understanding Convolutional Networks", section 4: what excites units, and occlusion.
# - Girshick et al. 2014, "Rich feature hierarchies for accurate object detection and semantic segmentation", section 3.1.
# - Springenberg et al. 2015, "Striving for Simplicity: The All Convolutional Net", section 3.4: guided backpropagation.
# - Adebayo et al. 2018, "Sanity Checks for Saliency Maps", section 3; Nie, Zhang, Patel 2018, "A Theoretical Explanation for
#   Perplexing Behaviors of Backpropagation-based Visualizations".
# - Smilkov et al. 2017, "SmoothGrad: removing noise by adding noise".
# - Selvaraju et al. 2017, "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization", section 3; Zhou
#   et al. 2016, "Learning Deep Features for Discriminative Localization".
# - Petsiuk, Das, Saenko 2018, "RISE: Randomized Input Sampling for Explanation of Black-box Models": deletion and insertion.
#   Hooker et al. 2019, "A Benchmark for Interpretability Methods in Deep Neural Networks".
# - van der Maaten, Hinton 2008, "Visualizing Data using t-SNE"; Wattenberg, Viégas, Johnson 2016, "How to Use t-SNE
#   Effectively", Distill.
# - Goodfellow, Shlens, Szegedy 2015, "Explaining and Harnessing Adversarial Examples", sections 3 and 4.
#
# ## Next
#
# The exercise: fill in `exercise.py`, and run `minicnn check 16` as often as you like; `minicnn check 16 --task 2 --hint` gives
# a hint. When all is right, your own saliency, Grad-CAM and occlusion maps of LeNet-5 stand beside the engine's, and your step
# fools it. Then lesson 17: your own pictures.
