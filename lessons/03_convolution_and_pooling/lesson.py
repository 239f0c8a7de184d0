# %% [markdown]
# # Lesson 3. Convolution and pooling
#
# A fully connected layer has a weight for every pair of a pixel and a unit. A convolution makes two assumptions about
# pictures, and with them nearly all of these weights disappear: what belongs together lies **close together**, and what is
# worth looking for is worth looking for **everywhere**. So one small filter slides over the whole picture. Pooling then makes
# the map smaller, and the next filter sees more of the picture at once. This lesson takes both apart: where the windows lie,
# how they are computed, what they cost, what a unit deep in a network sees, and what happens when the picture moves.
#
# **Before**: what a backward pass is and how it is checked (lesson 2), which has the plain convolution as loops; matrix
# products; Python with NumPy.
#
# **After**: you can tell the size of any map before running it, and what its units see; write a convolution as a matrix
# product, forward and backward; say what Winograd's algorithm saves, and at what price; choose between max, average and
# global pooling and know what each does with the gradient; and count parameters and multiply-adds with a pencil.
#
# Run it (`minicnn lesson 3`), or open it as a notebook. The numbers are measured as it runs, and the figures go to `out/`.

# %%
import inspect
import re
import time
from itertools import product
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Rectangle
from PIL import Image
from scipy import signal

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
from minicnn.data import load_mnist, open_pictures, solar_cells
from minicnn.errors import DataError
from minicnn.kernels import reference, textbook
from minicnn.layers import (
    AvgPool2d,
    Conv2d,
    Flatten,
    FractionalMaxPool2d,
    GlobalAvgPool2d,
    Linear,
    MaxPool2d,
    ReLU,
    Sequential,
    set_algorithm,
)
from minicnn.layers.receptive_field import ReceptiveField
from minicnn.losses import SoftmaxCrossEntropy
from minicnn.models import alexnet, lenet5, mobilenet_v1, resnet18, vgg16
from minicnn.models.summary import rows
from minicnn.optim import Adam
from minicnn.training import Trainer

HERE = Path(globals().get("__file__", "lesson.py")).resolve().parent
rng = np.random.default_rng(3)

# %% [markdown]
# ## 1. Laying a filter on a picture, flipped or not
#
# At each place the filter is laid on the picture, number by number multiplied with what lies below it, and summed:
#
# $$y_{ij} = \sum_{p,q} x_{i+p,\,j+q}\; w_{pq} \qquad\text{(cross-correlation)}.$$
#
# Mathematicians call something else a convolution: there the filter is turned by 180 degrees first,
#
# $$(x * w)_{ij} = \sum_{p,q} x_{i-p,\,j-q}\; w_{pq} \qquad\text{(convolution)}.$$
#
# Networks compute the first and call it the second. As the weights are learned, it makes no difference to what a network can
# do: it learns the filter the other way round. It does make a difference when weights come from elsewhere, and in two places
# below the flipped kind comes back by itself.

# %%
section("1. Correlation and convolution")


def layer_with(w, **options):
    """A convolution with this one filter (KH, KW), one channel, no bias."""
    layer = Conv2d(1, 1, w.shape, bias=False, **options).astype(np.float64).train()
    layer.w.value[0, 0] = w
    return layer


def apply(w, picture, **options):
    """The filter laid on a picture (H, W)."""
    return layer_with(w, **options).forward(picture[None, None])[0, 0]


impulse, w = np.zeros((1, 7)), np.array([[1.0, 2, 3]])
impulse[0, 3] = 1
convolved = np.convolve(impulse[0], w[0], "valid")
print(f"a single 1 under the filter 1 2 3:  Conv2d {apply(w, impulse)[0]},  np.convolve {convolved}")

x, a, b = rng.standard_normal((20, 24)), rng.standard_normal((3, 3)), rng.standard_normal((3, 3))
print("largest differences in two dimensions, Conv2d against scipy.signal:")
print(f"    correlate2d            {abs(apply(a, x) - signal.correlate2d(x, a, 'valid')).max():.0e}")
print(f"    convolve2d             {abs(apply(a, x) - signal.convolve2d(x, a, 'valid')).max():.0e}")
print(f"    convolve2d, w flipped  {abs(apply(a, x) - signal.convolve2d(x, a[::-1, ::-1], 'valid')).max():.0e}")

# %% [markdown]
# **Two filters, one after the other.** The second filter sums over what the first has summed. Sort the terms by pixel, and one
# larger filter comes out: the *convolution*, in the mathematicians' sense, of the two. Without a nonlinearity between them,
# two layers are no more than one. (With a ReLU between them they are more, and cheaper than the large filter as well:
# section 7.)
#
# **The gradient of the input.** Every pixel collects $dy\,w$ from all the windows that it was in:
# $dx_{hv} = \sum_{p,q} dy_{h-p,\,v-q}\, w_{pq}$. Look at the signs: this is a true convolution of $dy$, with zeros around it.

# %%
together = signal.convolve2d(a, b, "full")
two, one = apply(b, apply(a, x)), apply(together, x)
off_two = abs(two - one).max() / abs(two).max()
print(f"\ntwo filters of 3x3 against one of {together.shape[0]}x{together.shape[1]}: largest relative difference {off_two:.0e}")

layer = layer_with(a)
dy = rng.standard_normal(layer.forward(x[None, None]).shape)
off_dx = abs(layer.backward(dy)[0, 0] - signal.convolve2d(dy[0, 0], a, "full")).max()
print(f"backward(dy) against the full convolution of dy with the filter: largest difference {off_dx:.0e}")

claim(
    "Without a nonlinearity between them, two filters of 3x3 do exactly what one filter of 5x5 does, and that filter is their "
    "flipped convolution.",
    f"largest relative difference {off_two:.0e}",
    together.shape == (5, 5) and off_two < 1e-12,
)
claim(
    "The gradient that a cross-correlation hands back to its input is a true, flipped convolution of dy with the same filter.",
    f"largest difference {off_dx:.0e}",
    off_dx < 1e-12,
)

# %% [markdown]
# ## 2. Filters by hand
#
# Long before networks learned their filters, people wrote them down. A **blur** has positive weights that sum to 1: each pixel
# becomes an average of its neighbours. An **edge filter** has weights that sum to 0: where nothing changes it answers 0.
# Sobel's two filters are a difference in one direction and a blur in the other,
#
# $$\begin{pmatrix} -1 & 0 & 1 \\ -2 & 0 & 2 \\ -1 & 0 & 1 \end{pmatrix} = \begin{pmatrix} 1 \\ 2 \\ 1 \end{pmatrix}
# \begin{pmatrix} -1 & 0 & 1 \end{pmatrix},$$
#
# and the length of the two answers together, $\sqrt{g_x^2 + g_y^2}$, is large at edges of any direction. The Laplace filter
# compares a pixel with its four neighbours. The picture minus some of that is **sharpened**.

# %%
section("2. Filters by hand")
PHOTO, SIDE = "train/bees/16838648_415acd9e3f.jpg", 224


def a_photograph():
    """A photograph uint8 (224, 224, 3), and where it comes from: a bee, else a solar cell, else digits."""
    archive = find_data("ants-bees.zip")
    if archive:
        collection = open_pictures(archive)
        names = [collection.file_name(i) for i in range(len(collection))]
        picture = collection.picture(names.index(PHOTO) if PHOTO in names else 0)
        words = "a photograph from ants-bees.zip"
    else:
        try:
            picture, words = solar_cells().picture(0), "a solar cell (there is no ants-bees.zip here)"
        except DataError:
            digits = drawn_digits(64, rng)[0].reshape(8, 8, 28, 28).transpose(0, 2, 1, 3).reshape(SIDE, SIDE)
            picture, words = np.repeat(digits[:, :, None], 3, axis=2), "digits of a font (no photographs are here)"
    side = min(picture.shape[:2])
    top, left = (picture.shape[0] - side) // 2, (picture.shape[1] - side) // 2
    square = Image.fromarray(picture[top : top + side, left : left + side])
    return np.asarray(square.resize((SIDE, SIDE), Image.Resampling.BICUBIC)), words


colour, words = a_photograph()
photo = colour.mean(axis=2) / 255  # grey, 0 to 1
print(f"the picture: {words}, {SIDE} x {SIDE} pixels")

line = np.array([1.0, 4, 6, 4, 1]) / 16
sobel_x = np.outer([1.0, 2, 1], [-1, 0, 1])
laplace = np.array([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]])
identity = np.array([[0.0, 0, 0], [0, 1, 0], [0, 0, 0]])
filters = {
    "average of 9 x 9": np.full((9, 9), 1 / 81),
    "bell-shaped blur, 5 x 5": np.outer(line, line),
    "sharpened": identity - laplace,
    "Sobel, left to right": sobel_x,
    "Sobel, top to bottom": sobel_x.T,
    "Laplace": laplace,
}
answers = {title: apply(weights, photo, pad="same") for title, weights in filters.items()}
answers["length of the two Sobels"] = np.hypot(answers["Sobel, left to right"], answers["Sobel, top to bottom"])
figure, axes = picture_grid(2, 4, 2.2)
for ax, (title, answer) in zip(axes.flat, {"the picture": photo, **answers}.items(), strict=True):
    inner = answer[4:-4, 4:-4]  # the zeros around the picture make an edge of their own
    limit = np.percentile(abs(inner), 99.5)
    has_both_signs = title in filters and abs(filters[title].sum()) < 1e-9
    ax.imshow(inner, vmin=-limit if has_both_signs else 0, vmax=limit if title != "sharpened" else 1)
    ax.set_title(title, fontsize=9)
figure.suptitle("Filters written by hand (Sobel and Laplace: mid-grey is 0, white positive, black negative)", y=0.98)
save(figure, HERE, "filters_by_hand")

for title, weights in filters.items():
    flat = apply(weights, np.full((12, 12), 0.7))
    print(f"{title:<26} weights sum to {weights.sum():5.2f}; answer on a constant picture of 0.7: {flat.mean():5.2f}")
rows_then_columns = apply(line[:, None], apply(line[None], photo))
off = abs(rows_then_columns - apply(np.outer(line, line), photo)).max()
print(f"the blur as a 1x5 and a 5x1 filter: 10 multiplications a pixel, not 25; largest difference {off:.0e}")

# %% [markdown]
# The last line is worth remembering. A filter that is a column times a row can be applied as two thin ones. Networks use the
# same idea between channels and places: section 5.
#
# A colour picture has three channels, and a layer of $F$ filters makes $F$ maps of it; each filter has a slice for each channel
# and adds all of them up:
#
# $$y_{nfij} = b_f + \sum_{c, p, q} x_{n, c, is+p, js+q}\; w_{fcpq}.$$
#
# ## 3. How large is the map?
#
# Four numbers place the windows along an axis of length $n$: the filter's size $k$; the **stride** $s$, from one window to the
# next; the **padding** $p$, zeros at both ends; and the **dilation** $d$, from one tap of the filter to the next. A window
# spans $d(k-1)+1$ places. The first begins at the start of the padding, and there are as many as fit:
#
# $$\left\lfloor \frac{n + 2p - d(k-1) - 1}{s} \right\rfloor + 1 .$$
#
# To try it: `minicnn explore --live convolution` makes a page in which a filter slides over a picture that you draw, with all
# four numbers to change, and each sum written out.

# %%
section("3. How large is the map?")
figure, axes = plt.subplots(2, 2, figsize=(9, 4))
settings = [(3, 1, 0, 1), (3, 1, 1, 1), (3, 2, 1, 1), (3, 1, 0, 2)]
for ax, (k, s, p, d) in zip(axes.flat, settings, strict=True):
    n = 8
    windows = Conv2d(1, 1, (1, k), stride=(1, s), pad=(0, p), dilation=(1, d)).output_shape((1, 1, 1, n))[3]
    for place in range(-p, n + p):
        look = {"fc": "#dfe8f3", "ec": INK} if 0 <= place < n else {"fc": "none", "ec": GREY, "ls": ":"}
        ax.add_patch(Rectangle((place - 0.4, -0.4), 0.8, 0.8, **look))
    for i in range(windows):
        middle = i * s - p + d * (k - 1) / 2
        ax.add_patch(Rectangle((middle - 0.4, 2.1), 0.8, 0.8, fc="#f8e3d4", ec=INK))
        look = {"color": ORANGE, "lw": 1.6, "zorder": 2} if i == 1 else {"color": GREY, "lw": 0.6, "zorder": 1}
        for tap in range(k):
            ax.plot([middle, i * s - p + tap * d], [2.1, 0.4], **look)
    ax.set(xlim=(-2, n + 1), ylim=(-0.7, 3.2), aspect="equal")
    ax.axis("off")
    ax.set_title(f"size {k}, stride {s}, padding {p}, dilation {d}: {n} pixels to {windows}", fontsize=9)
figure.suptitle("Below the pixels (dotted: padding), above the outputs; in orange the second window", y=1.0)
save(figure, HERE, "windows")

checked, right = 0, 0
for n, k, s, p, d in product((7, 8, 19), (1, 3, 4), (1, 2, 3), (0, 1, 2), (1, 2)):
    y = Conv2d(1, 1, k, stride=s, pad=p, dilation=d).forward(np.zeros((1, 1, n, n), np.float32))
    checked, right = checked + 1, right + (y.shape[2] == (n + 2 * p - d * (k - 1) - 1) // s + 1)
print(f"the formula against the size of what Conv2d really makes: right in {right} of {checked} combinations")
same, halved = {"pad": 1}, {"stride": 2, "pad": 1}
for title, options in (("3x3, padding 1", same), ("3x3, stride 2, padding 1", halved), ("3x3, no padding", {})):
    print(f"    {title:<26} 32 pixels to {Conv2d(1, 1, 3, **options).output_shape((1, 1, 32, 32))[2]}")

layer = Conv2d(1, 1, 3, stride=3, rng=0).astype(np.float64).train()
dx = layer.backward(np.ones_like(layer.forward(rng.standard_normal((1, 1, 11, 11)))))
unseen = [row for row in range(11) if not dx[0, 0, row].any()]
print(f"size 3 and stride 3 on 11 rows: rows without any gradient: {unseen}")
claim(
    "Where the windows do not come out even, the last rows and columns are seen by no window, and their gradient is exactly 0.",
    f"rows {unseen} of 11, with windows of 3 at a stride of 3",
    unseen == [9, 10],
)

# %% [markdown]
# At a stride of 1, with an odd filter and a padding of $d(k-1)/2$, the size stays as it is: VGG's 3 x 3 with a padding of 1.
# TensorFlow's "same" padding can be uneven: for a 3 x 3 filter with a stride of 2 on an even number of rows it adds one row at
# the bottom and none at the top. Whoever takes over such weights must pad in the same way, or all windows lie a pixel off.
#
# > **Corrections.** AlexNet's paper says that its pictures are 224 x 224. Its first layer, 11 x 11 with a stride of 4, makes
# > 55 x 55 of pictures of **227**. Slides give the last pooled map as 6 x 6 x 512; it is 6 x 6 x **256** (7 x 7 x 512 is
# > VGG's). And LeNet-5, which is said to have max pooling, *averaged*, with a trainable factor and bias for each map.

# %%
for size in (224, 227):
    print(f"AlexNet on {size} x {size}: (n - 11) / 4 + 1 = {(size - 11) / 4 + 1}")
print(f"AlexNet's last pooled map on 227 x 227: {alexnet(include_top=False, rng=0).output_shape((1, 3, 227, 227))[1:]}")

# %% [markdown]
# ## 4. One convolution, three algorithms
#
# **The loops.** The definition, as `minicnn/kernels/reference.py` has it. Seven of them, around a single multiplication:


# %%
def show(function):
    """The code of a function of minicnn, without its docstring."""
    print(re.sub(r'    """.*?"""\n', "", inspect.getsource(function), count=1, flags=re.DOTALL))


section("4. Three algorithms")
show(reference.conv2d_forward)

# %% [markdown]
# **im2col: one matrix product.** Lay each window out as a column. Then the sum over $c, p, q$ is the inner sum of a product of
# two matrices, the filters as rows times the windows as columns,
#
# $$\underbrace{Y}_{F \times L} = \underbrace{W}_{F \times CKK}\;\underbrace{X}_{CKK \times L} + b, \qquad L = OH \cdot OW ,$$
#
# and matrix products are what computers are best at. The price is memory: a pixel is copied once for every window that it is
# in. `minicnn/kernels/textbook.py`:

# %%
show(textbook.im2col)
show(textbook.conv2d_forward)

# %% [markdown]
# Backward, $W$ and $X$ are the two factors of a fully connected layer: $dW = dY\,X^T$ and $dX = W^T dY$. What is left is the
# way from $dX$, the gradient of the columns, to that of the picture. Copying is linear: `im2col` multiplies by a matrix $A$ of
# zeros and ones, and its backward pass multiplies by $A^T$. In words: every number goes back to the pixel that it was
# copied from, and there they **add up**. That is `col2im`. It is not the inverse: after `im2col`, it gives each pixel times the
# number of windows that it is in. To be the transpose, it must satisfy $\langle A x, c\rangle = \langle x, A^T c\rangle$ for
# all $x$ and $c$, where $\langle a, b \rangle$ is the sum of the products entry by entry: a test that fits into one line.

# %%
geometry = (3, 3), (1, 1), (1, 1, 1, 1), (1, 1)  # kernel, stride, pads (top, bottom, left, right), dilation
x = rng.standard_normal((2, 3, 8, 8))
columns = textbook.im2col(x, *geometry)
c = rng.standard_normal(columns.shape)
there, back = (columns * c).sum(), (x * textbook.col2im(c, (8, 8), *geometry)).sum()
print(f"<im2col(x), c> = {there:.10f}, <x, col2im(c)> = {back:.10f}")
print(f"the columns take {columns.nbytes / x.nbytes:.0f} times the memory of the picture")

small = np.arange(1.0, 17).reshape(1, 1, 4, 4)
figure, (left, middle, right) = plt.subplots(1, 3, figsize=(9.5, 3), gridspec_kw={"width_ratios": [1, 2.2, 1]})
of_two = (2, 2), (1, 1), (0, 0, 0, 0), (1, 1)
times = textbook.col2im(textbook.im2col(np.ones_like(small), *of_two), (4, 4), *of_two)
matrix = textbook.im2col(small, *of_two)[0]
for ax, numbers, title in (
    (left, small[0, 0], "a picture"),
    (middle, matrix, "im2col: its windows of 2 x 2"),
    (right, times[0, 0], "col2im(im2col(1))"),
):
    ax.imshow(numbers, cmap="Blues", vmin=0, vmax=numbers.max() * 1.6)
    for (i, j), number in np.ndenumerate(numbers):
        ax.text(j, i, f"{number:g}", ha="center", va="center", fontsize=8)
    ax.set(xticks=[], yticks=[], title=title)
left.add_patch(Rectangle((-0.5, -0.5), 2, 2, fill=False, ec=ORANGE, lw=2))
middle.add_patch(Rectangle((-0.5, -0.5), 1, 4, fill=False, ec=ORANGE, lw=2))
save(figure, HERE, "im2col")

# %% [markdown]
# **Winograd: fewer multiplications.** Two neighbouring outputs of a filter with three taps take six multiplications by the
# definition. With the pixels $d_0 \dots d_3$ and the weights $g_0, g_1, g_2$, four are enough:
#
# $$\begin{aligned} m_0 &= (d_0 - d_2)\,g_0 & m_1 &= (d_1 + d_2)\,\tfrac{g_0+g_1+g_2}{2} \\
# m_3 &= (d_1 - d_3)\,g_2 & m_2 &= (d_2 - d_1)\,\tfrac{g_0-g_1+g_2}{2} \end{aligned}
# \qquad y_0 = m_0 + m_1 + m_2, \quad y_1 = m_1 - m_2 - m_3 .$$
#
# Write it out, and all that does not belong cancels. The sums of the $g$ are made once for a filter, those of the $d$ once for
# a pixel and used for all filters, so it is the four products that count. As matrices: $y = A^T\,[\,(G g) \odot (B^T d)\,]$.
# Do it along the rows and along the columns, and a tile of 2 x 2 outputs takes $4 \cdot 4 = 16$ multiplications where the
# definition takes $4 \cdot 9 = 36$. This is F(2x2, 3x3). Summed over channels, it is 16 small matrix products.

# %%
d, g = rng.standard_normal(4), rng.standard_normal(3)
by_definition = np.array([d[0:3] @ g, d[1:4] @ g])
by_winograd = textbook.AT @ ((textbook.G @ g) * (textbook.BT @ d))
print(f"two outputs, six multiplications {by_definition}, four multiplications {by_winograd}\n")
show(textbook.winograd_forward)

# %% [markdown]
# All three compute the same, and so do the fast kernels behind `Conv2d`, which chooses one of them by shape. In float32 the
# order of the sums shows in the last digits. Larger tiles save more, F(4x4, 3x3) takes 36 multiplications where the
# definition takes 144; but their transforms multiply by 4, 5 and 8 and subtract what is large and nearly equal, and digits get
# lost. We measure the error against float64. (`direct` is the loops themselves, compiled.)


# %%
def seconds(compute, repetitions=5):
    """The median time of a call, after one that compiles."""
    compute()
    times = []
    for _ in range(repetitions):
        start = time.perf_counter()
        compute()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


x, w, bias = rng.standard_normal((1, 8, 12, 12)), rng.standard_normal((8, 8, 3, 3)), np.zeros(8)
plain = (1, 1), (1, 1, 1, 1), (1, 1), 1  # stride, pads, dilation, groups
start = time.perf_counter()
y_loops = reference.conv2d_forward(x, w, bias, *plain)
loops_seconds = time.perf_counter() - start
product_seconds = seconds(lambda: textbook.conv2d_forward(x, w, bias, *plain))
y_product, y_winograd = textbook.conv2d_forward(x, w, bias, *plain), textbook.winograd_forward(x, w, bias, (1, 1, 1, 1))
off_product, off_winograd = abs(y_product - y_loops).max(), abs(y_winograd - y_loops).max()
print(f"8 maps of 12 x 12 to 8 maps: loops {1000 * loops_seconds:.0f} ms, one matrix product {1000 * product_seconds:.2f} ms")
print(f"largest difference from the loops: matrix product {off_product:.0e}, Winograd {off_winograd:.0e}")
claim(
    "The matrix product of im2col gives what the loops give, and is more than a hundred times as fast as loops in Python.",
    f"{loops_seconds / product_seconds:.0f} times as fast, largest difference {off_product:.0e}",
    loops_seconds > 100 * product_seconds and off_product < 1e-12,
)

channels, side = 64, 32
layer = Conv2d(channels, channels, 3, pad=1, rng=1).eval()
pictures = rng.standard_normal((2, channels, side, side)).astype(np.float32)
exact = Conv2d(channels, channels, 3, pad=1, rng=1).astype(np.float64).eval().forward(pictures.astype(np.float64))
errors = {}
print(f"\n2 x {channels} maps of {side} x {side} to {channels} maps, float32:")
for name in ("textbook", "direct", "winograd2", "winograd4"):
    layer.algorithm = name
    milliseconds = 1000 * seconds(lambda: layer.forward(pictures))
    errors[name] = float(np.sqrt(np.mean((layer.forward(pictures) - exact) ** 2)) / exact.std())
    print(f"    {name:<10} {milliseconds:7.2f} ms   error {errors[name]:.1e} of the size of y")
claim(
    "Winograd's F(4x4, 3x3) loses more digits in float32 than F(2x2, 3x3) does.",
    f"errors {errors['winograd4']:.1e} and {errors['winograd2']:.1e}",
    errors["winograd4"] > 1.5 * errors["winograd2"],
)

# %% [markdown]
# ## 5. Groups, and a filter for each channel
#
# A convolution does two things at once: it looks at neighbours, and it mixes channels. **Groups** restrict the mixing: with
# two groups, the first half of the filters sees the first half of the channels only. That halves weights and work. AlexNet's
# groups were born of necessity: its halves lived on two GPUs (not CPUs, as some slides have it). A group for each channel is a
# **depthwise** convolution: it mixes nothing. A 1 x 1 convolution behind it does the mixing, and looks at no neighbours. The
# work is counted in **multiply-adds**, each a product that is added to a sum. Per pixel:
#
# $$\text{full: } K^2 C F, \qquad \text{depthwise and } 1 \times 1\text{: } K^2 C + C F, \qquad
# \text{a ratio of } \frac1F + \frac1{K^2} .$$

# %%
section("5. Groups and depthwise convolution")
C, map_shape = 128, (1, 128, 28, 28)
kinds = {
    "full 3x3": Sequential(conv=Conv2d(C, C, 3, pad=1, bias=False)),
    "2 groups": Sequential(conv=Conv2d(C, C, 3, pad=1, groups=2, bias=False)),
    "8 groups": Sequential(conv=Conv2d(C, C, 3, pad=1, groups=8, bias=False)),
    "depthwise": Sequential(conv=Conv2d(C, C, 3, pad=1, groups=C, bias=False)),
    "depthwise, then 1x1": Sequential(conv=Conv2d(C, C, 3, pad=1, groups=C, bias=False), mix=Conv2d(C, C, 1, bias=False)),
}
full = kinds["full 3x3"].multiply_adds(map_shape)
for title, net in kinds.items():
    weights, work = sum(p.value.size for p in net.parameters().values()), net.multiply_adds(map_shape)
    print(f"{title:<20} {weights:>8,} weights {work:>12,} multiply-adds, {work / full:6.1%} of a full one")
ratio = kinds["depthwise, then 1x1"].multiply_adds(map_shape) / full

C = 12
figure, axes = plt.subplots(1, 4, figsize=(9, 2.6))
for ax, (title, groups) in zip(axes, {"full": 1, "2 groups": 2, "4 groups": 4, "depthwise": C}.items(), strict=True):
    layer = Conv2d(C, C, 3, pad=1, groups=groups, rng=2).astype(np.float64).train()
    seen = np.zeros((C, C))
    for f in range(C):
        y = layer.forward(rng.standard_normal((1, C, 5, 5)))
        dy = np.zeros_like(y)
        dy[0, f, 2, 2] = 1
        seen[f] = abs(layer.backward(dy)[0]).sum(axis=(1, 2))
    ax.imshow(seen > 0, cmap="Blues", vmin=0, vmax=1.5)
    ax.set(title=title, xticks=[], yticks=[], xlabel="channels of x")
axes[0].set_ylabel("channels of y")
figure.suptitle("Which channel of y depends on which channel of x (blue)", y=1.03)
save(figure, HERE, "groups")

work = {"depthwise": 0, "1x1": 0, "all": 0}
for row in rows(mobilenet_v1(rng=0), (1, 3, 224, 224), depth=3):
    work["all"] += row.multiply_adds
    work["depthwise"] += row.multiply_adds * ("depthwise" in row.path)
    work["1x1"] += row.multiply_adds * ("pointwise" in row.path)
share = {title: work[title] / work["all"] for title in ("1x1", "depthwise")}
print(f"MobileNet: {work['all'] / 1e6:.0f} million multiply-adds, of which {share['1x1']:.1%} in 1x1 convolutions;")
print(f"    the depthwise ones, which alone look at neighbours, have {share['depthwise']:.1%}")
claim(
    "With 128 filters, a depthwise 3x3 and a 1x1 convolution in the place of a full 3x3 one need between an eighth and a ninth "
    "of the work, and of what is left in MobileNet, more than nine tenths is in the 1x1 convolutions.",
    f"{ratio:.1%} of it; then {share['1x1']:.1%}",
    1 / 9 < ratio < 1 / 8 and share["1x1"] > 0.9,
)

# %% [markdown]
# ## 6. Pooling
#
# A pool puts one number in the place of a window, for each channel by itself, and has no weights. **Max** asks whether the
# feature is there, somewhere under the window; **average**, how much of it. Their gradients:
#
# $$\text{max: } dx_{h v} \mathrel{+}= dy_{ij} \text{ at the winner only}, \qquad
# \text{average: } dx_{hv} \mathrel{+}= dy_{ij} / \text{count everywhere}.$$
#
# **At the border** a max pool's padding must be $-\infty$, or zeros would win over negative values. An average has to say
# whether the zeros of the border *count*: PyTorch counts them by default; TensorFlow does not, and neither does this engine.
#
# **Ties.** Where two values are equally large, the maximum has a kink, and no derivative. Whoever gets $dy$, it is a valid
# *subgradient* (the slope of a plane that touches the function there and lies nowhere above it) as long as it is handed out
# *once*: all to the first (as here, row by row), or in shares. To hand the whole of it to both, as `dy * (x == y)` does, is
# wrong: more gradient comes out of the pool than went into it.

# %%
section("6. Pooling")
constant = np.ones((1, 1, 4, 4))
for counts in (False, True):
    y = AvgPool2d(3, stride=1, pad=1, count_include_pad=counts).forward(constant)[0, 0]
    title = "counted" if counts else "not counted"
    print(f"average of a picture of ones, border {title}: corner {y[0, 0]:.3f}, middle {y[1, 1]:.3f}")

pool, pair, h = MaxPool2d((1, 2)).train(), np.array([[[[2.0, 2.0]]]]), 1e-5
pool.forward(pair)
print(f"two equal values: the engine's gradient {pool.backward(np.ones((1, 1, 1, 1))).ravel()}, and measured from both sides:")
for i in range(2):
    moved = [pool.forward(pair + sign * h * np.eye(2)[i]).item() for sign in (1, -1)]
    print(f"    value {i}: slope to the right {(moved[0] - 2) / h:.2f}, to the left {(2 - moved[1]) / h:.2f}")

# %% [markdown]
# How often are there ties? In an 8-bit photograph, in every bright or dark spot. And behind a ReLU, wherever a whole window is
# 0. Does it matter then who gets the gradient? We let the first of equals win, as the engine does, and then the last (by
# turning the picture round before the pool, and back after it).


# %%
def pooled_backward(r, dy, last=False):
    """The gradient of a 2x2 max pool, in which the first or the last of equal values wins."""
    pool, turn = MaxPool2d(2).train(), np.s_[:, :, ::-1, ::-1] if last else np.s_[:]
    pool.forward(np.ascontiguousarray(r[turn]))
    return pool.backward(np.ascontiguousarray(dy[turn]))[turn]


grey = np.round(photo * 255)
windows = grey.reshape(SIDE // 2, 2, SIDE // 2, 2).transpose(0, 2, 1, 3).reshape(-1, 4)
tied = (np.sort(windows, axis=1)[:, 3] == np.sort(windows, axis=1)[:, 2]).mean()
print(f"2x2 windows of the photograph, in 8 bits, whose largest value is there more than once: {tied:.0%}")

x = photo[None, None] + 1e-3 * rng.standard_normal((1, 1, SIDE, SIDE))  # a little noise, as no two pixels of a scene are equal
conv, relu = Conv2d(1, 8, 3, pad=1, rng=4).astype(np.float64).train(), ReLU().train()
r = relu.forward(conv.forward(x))
dy = rng.standard_normal((1, 8, SIDE // 2, SIDE // 2))
first, last = pooled_backward(r, dy), pooled_backward(r, dy, last=True)
below_relu = {}
for name, gradient in (("first", first), ("last", last)):
    relu.forward(conv.forward(x))
    below_relu[name] = relu.backward(np.ascontiguousarray(gradient))
different = int((first != last).sum())
off_below = abs(below_relu["first"] - below_relu["last"]).max()
print(f"behind a ReLU, the two rules differ in {different:,} of {first.size:,} gradients, below it by {off_below:.0e} at most")
claim(
    "Behind a ReLU it does not matter which of several zeros a max pool hands its gradient to: below the ReLU nothing of it is "
    "left.",
    f"{different:,} gradients differ above the ReLU, and by {off_below:.0e} below it",
    different > 0 and off_below == 0,
)

# %% [markdown]
# **Global average pooling** averages each map to one number. A classifier above it needs a weight for each channel and class,
# and not for each *place* as well, and takes pictures of any size. AlexNet and VGG **flatten** their last map instead: they
# write all its numbers in one row, and the layer that reads this row has most of their weights (section 8).
#
# **Fractional max pooling** (Graham 2014) shrinks the map by less than a half: regions of one or two rows, in an order that is
# drawn anew in each pass. The same picture is pooled in a slightly different way each time, which regularises like a small
# distortion. *Pseudorandom* steps alternate almost regularly; *random* ones are shuffled, and region $i$ wanders away from
# where it would lie in an even grid.

# %%
print(f"a classifier of 1000 classes on 7 x 7 x 512: flattened {7 * 7 * 512 * 1000:,} weights, ", end="")
print(f"on global averages {sum(p.value.size for p in Linear(512, 1000, bias=False).parameters().values()):,}")
averages = [GlobalAvgPool2d().forward(np.ones((1, 512, side, side), np.float32)).shape for side in (7, 10, 20)]
print(f"global averages of maps of 7, 10 and 20 pixels: {averages}")

side, sizes = 32, [32]
for _ in range(2):
    sizes.append(FractionalMaxPool2d(2**0.5).output_shape((1, 1, sizes[-1], sizes[-1]))[2])
halved = MaxPool2d(2).output_shape((1, 1, 32, 32))[2]
print(f"two fractional pools of ratio 1.41: {' -> '.join(map(str, sizes))};  one 2x2 pool: 32 -> {halved}")

wander, draws = {}, 20
for sequence in ("pseudorandom", "random"):
    layer = FractionalMaxPool2d(2**0.5, overlapping=False, sequence=sequence, rng=5)
    begins = np.array([layer.regions((1, 1, SIDE, SIDE), training=True)[0][:, 0] for _ in range(draws)])
    even = np.arange(begins.shape[1]) * SIDE / begins.shape[1]
    wander[sequence] = float(np.abs(begins - even).mean())
    print(f"{sequence:<13} regions begin {wander[sequence]:.2f} pixels away from an even grid on average")
claim(
    "Fractional max pooling distorts a picture more with random steps than with pseudorandom ones.",
    f"regions wander by {wander['random']:.2f} and {wander['pseudorandom']:.2f} pixels",
    wander["random"] > 1.5 * wander["pseudorandom"],
)

detail = AvgPool2d(4).forward(photo[None, None])[0, 0]
figure, axes = picture_grid(2, 4, 2.1)
examples = {"the picture, 56 x 56": detail}
for title, layer in (
    ("max, 2 x 2", MaxPool2d(2)),
    ("average, 2 x 2", AvgPool2d(2)),
    ("max, 8 x 8", MaxPool2d(8)),
    ("fractional, drawn once", FractionalMaxPool2d(2**0.5, sequence="random", rng=1).train()),
    ("fractional, drawn again", FractionalMaxPool2d(2**0.5, sequence="random", rng=2).train()),
):
    examples[title] = layer.forward(detail[None, None])[0, 0]
for ax, (title, picture) in zip(axes.flat, examples.items(), strict=False):
    ax.imshow(picture, vmin=detail.min(), vmax=detail.max())
    ax.set_title(title, fontsize=9)
for ax, (sequence, seed) in zip(axes[1, 2:], (("pseudorandom", 3), ("random", 3)), strict=True):
    layer = FractionalMaxPool2d(2**0.5, overlapping=False, sequence=sequence, rng=seed)
    of_rows, of_columns = layer.regions((1, 1, *detail.shape), training=True)
    ax.imshow(detail, vmin=detail.min(), vmax=detail.max(), alpha=0.6)
    for begin in of_rows[:, 0]:
        ax.axhline(begin - 0.5, color=BLUE, lw=1)
    for begin in of_columns[:, 0]:
        ax.axvline(begin - 0.5, color=BLUE, lw=1)
    ax.set(xlim=(19.5, 39.5), ylim=(39.5, 19.5))  # a part, large enough to count pixels
    ax.set_title(f"{sequence} (a part)", fontsize=9)
save(figure, HERE, "pooling")

# %% [markdown]
# ## 7. What a unit sees
#
# A unit of the first layer sees $k$ pixels. A unit of the second sees $k$ units of the first, each of them $k$ pixels: the
# windows overlap, so the field grows by $k - 1$ only, times the distance of neighbouring units, which is the product of all
# strides below. Unit 0 sees the pixels `first` to `last`, and the next one the same, `step` pixels on. A layer with
# $k, s, p, d$ makes
#
# $$\text{first} \leftarrow \text{first} - \text{step}\cdot p, \quad
# \text{last} \leftarrow \text{last} + \text{step}\,(d(k-1) - p), \quad \text{step} \leftarrow \text{step}\cdot s .$$
#
# Every layer of minicnn knows this (`receptive_field`). Three things follow. *Three* layers of 3 x 3 see what one of 7 x 7
# sees, with $27 C^2$ weights in place of $49 C^2$, and two nonlinearities more: VGG's argument. A **stride** (or a pool) makes
# everything above it see in larger steps. And **dilations** of 1, 2, 4, 8 double the field with each layer, without making the
# map smaller.
#
# To try it: `minicnn explore --live receptive-field` makes a page in which you stack layers and point at a unit, to see what it
# sees in each layer below.

# %%
section("7. What a unit sees")


def fields(network, input_shape):
    """Name, receptive field and output shape of each layer, from the picture upwards."""
    field, shape = ReceptiveField(), (1, *input_shape)
    for name, layer in network.layers.items():
        field, shape = layer.receptive_field(field, shape), layer.output_shape(shape)
        yield name, field, shape


def stack(*dilations, kernel=3):
    return Sequential(*(Conv2d(1, 1, kernel, dilation=d, pad=d * (kernel - 1) // 2) for d in dilations))


for title, net in (
    ("three 3x3", stack(1, 1, 1)),
    ("one 7x7", stack(1, kernel=7)),
    ("four 3x3", stack(1, 1, 1, 1)),
    ("four 3x3, dilations 1, 2, 4, 8", stack(1, 2, 4, 8)),
):
    field = list(fields(net, (1, 64, 64)))[-1][1]
    weights = sum(p.value.size for name, p in net.parameters().items() if name.endswith("w"))
    print(f"{title:<32} field of {field.size()[0]:>2} x {field.size()[1]:<2} pixels, {weights} weights per pair of channels")

networks = {
    "LeNet-5": lenet5(include_top=False, rng=0),
    "AlexNet": alexnet(include_top=False, rng=0),
    "VGG-16": vgg16(include_top=False, rng=0),
    "ResNet-18": resnet18(include_top=False, rng=0),
    "MobileNet": mobilenet_v1(include_top=False, rng=0),
}
last_field = {}
print("\nof the last map:")
for title, net in networks.items():
    name, field, shape = list(fields(net, net.input_shape))[-1]
    last_field[title] = field.size()[0]
    units, size = f"{shape[2]} x {shape[3]} units", f"{field.size()[0]} x {field.size()[1]}"
    print(f"    {title:<10} {name:<9} {units:<14} each sees {size:<10} pixels of {net.input_shape[1]}, step {field.stride[0]}")
claim(
    "A unit of ResNet-18's last map has a receptive field larger than the whole picture of 224 x 224.",
    f"{last_field['ResNet-18']} pixels",
    last_field["ResNet-18"] > 224,
)

# %% [markdown]
# **Seeing is not looking.** The field says which pixels *can* have a say. How much they have is another matter: a pixel in the
# middle has many ways to the unit, one in the corner a single one. We take a unit of VGG-16 in the middle of the map, hand back
# a random gradient, and look at its size at each pixel. (The weights are random, as at the start of training. Training widens
# it somewhat.)

# %%
vgg, cut = networks["VGG-16"], "pool3" if QUICK else "pool4"
lower, _ = vgg.split(cut)
lower.freeze().eval(backward=True)
x = ((colour / 255 - 0.45) / 0.25).transpose(2, 0, 1)[None].astype(np.float32)


def gradients_of_a_unit():
    """The squared gradient at each pixel, (H, W), of a random sum over the channels of the unit in the middle."""
    y = lower.forward(x + 0.5 * rng.standard_normal(x.shape).astype(np.float32))
    dy = np.zeros_like(y)
    dy[0, :, y.shape[2] // 2, y.shape[3] // 2] = rng.standard_normal(y.shape[1])
    return (lower.backward(dy)[0].astype(np.float64) ** 2).sum(axis=0)


strength = sum(gradients_of_a_unit() for _ in range(2 if QUICK else 6))

figure, axes = picture_grid(1, 2, 4.2)
left, right = axes[0]
left.imshow(colour)
colours = dict(zip(("pool1", "pool2", "pool3", "pool4", "pool5"), ("white", GREEN, BLUE, ORANGE, INK), strict=True))
for name, field, shape in fields(vgg, (3, SIDE, SIDE)):
    if name in colours:
        unit = shape[2] // 2
        top, below = field.first[0] + unit * field.stride[0], field.last[0] + unit * field.stride[0]
        size, look = below - top + 1, {"fill": False, "ec": colours[name], "lw": 1.5}
        left.add_patch(Rectangle((top - 0.5, top - 0.5), size, size, **look, label=f"{name}, {size} pixels"))
    if name == cut:
        seen = np.zeros((SIDE, SIDE), bool)
        seen[max(top, 0) : below + 1, max(top, 0) : below + 1] = True
        bounds = top, below
left.legend(fontsize=7, loc="lower right", frameon=True)
left.set_title("what units in the middle of VGG-16's maps see", fontsize=9)
right.imshow(np.sqrt(strength), cmap="magma")
size = bounds[1] - bounds[0] + 1
right.add_patch(Rectangle((bounds[0] - 0.5, bounds[0] - 0.5), size, size, fill=False, ec=colours[cut], lw=1.5))
right.set_title(f"how much each pixel counts for {cut} (bright: much)", fontsize=9)
save(figure, HERE, "receptive_fields")
outside = {"the usual kernels": strength[~seen].max()}
set_algorithm(lower, "direct")
outside["direct"] = gradients_of_a_unit()[~seen].max()
order = np.sort(strength[seen])[::-1].cumsum() / strength.sum()
half = (np.searchsorted(order, 0.5) + 1) / seen.sum()
print(f"\n{cut}: half of the squared gradient lies in {half:.0%} of the field")
for title, largest in outside.items():
    print(f"    outside of the field, with {title}: at most {largest / strength.max():.0e} of the largest inside")

# %% [markdown]
# Outside of the field there should be nothing. With the usual kernels there is a trace: those for 3 x 3 filters are Winograd's,
# whose tiles are sums and differences that cancel but for rounding. With direct convolution it is exactly 0.
#
# Inside, it looks like a bell, and it is one for the reason that makes sums of dice bell-shaped: the field of $n$ layers is the
# convolution of $n$ small boxes. The boxes' widths add up, but only their *variances* make the bell, so the bell widens with
# $\sqrt n$ (Luo et al. 2016). We measure the width, the standard deviation, over stacks of random 3 x 3 layers with ReLU.

# %%
depths, draws, channels = (4, 8, 16, 32), 6 if QUICK else 16, 8
side = 2 * max(depths) + 9
width, profiles = {}, {}
for depth in depths:
    energy = np.zeros((side, side))
    for seed in range(draws):
        source = np.random.default_rng([seed, depth])
        layers = [Conv2d(channels, channels, 3, pad=1, rng=source) if i % 2 == 0 else ReLU() for i in range(2 * depth)]
        net = Sequential(*layers).freeze().eval(backward=True)
        y = net.forward(source.standard_normal((1, channels, side, side)).astype(np.float32))
        dy = np.zeros_like(y)
        dy[0, :, side // 2, side // 2] = source.standard_normal(channels)
        squared = (net.backward(dy)[0].astype(np.float64) ** 2).sum(axis=0)
        energy += squared / squared.sum()
    places = np.arange(side) - side // 2
    profiles[depth] = energy.sum(axis=0) / energy.sum()
    width[depth] = float(np.sqrt((profiles[depth] * places**2).sum()))
    print(f"{depth:>2} layers of 3x3: field {2 * depth + 1:>2} pixels, width of what matters {width[depth]:.2f}")
growth = (width[32] / width[8]) ** 0.5  # for each of two doublings
claim(
    "Twice as many 3x3 layers see twice as many pixels, but the part that matters grows by about the square root of two only.",
    f"by {growth:.2f} with each doubling from 8 to 32 layers",
    1.25 < growth < 1.6,
)

figure, ax = plt.subplots(figsize=(6.2, 3.2))
for (depth, profile), line_colour in zip(profiles.items(), (GREY, GREEN, ORANGE, BLUE), strict=True):
    ax.plot(places, profile, color=line_colour, label=f"{depth} layers")
    ax.plot([-depth, depth], [-0.004 * (1 + depths.index(depth))] * 2, color=line_colour, lw=2.5)
ax.set(xlabel="pixels from the middle", ylabel="share of the squared gradient")
ax.set_title("The field (bars) and what matters in it (curves)")
ax.legend()
save(figure, HERE, "what_matters")

# %% [markdown]
# ## 8. Where the weights are, and where the work is
#
# A convolution has $F (C K^2 + 1)$ parameters and takes $OH \cdot OW \cdot F C K^2$ multiply-adds: each weight works at every
# place. A fully connected layer uses each weight once. So weights and work sit at opposite ends of the network: most of
# AlexNet's memory goes to its last layers, and most of its time to its first. Networks that end in global pooling do without
# these last layers, which is why they have so few weights.

# %%
section("8. Weights and work")
table = [row for row in rows(alexnet(rng=0), (1, 3, 227, 227), depth=1) if row.parameters]
total_weights, total_work = sum(row.parameters for row in table), sum(row.multiply_adds for row in table)
for row in table:
    weights, work = row.parameters, row.multiply_adds
    of_weights, of_work = weights / total_weights, work / total_work
    print(f"{row.path:<6} {weights:>12,} parameters {of_weights:6.1%} {work:>14,} multiply-adds {of_work:6.1%}")
in_fc = sum(row.parameters for row in table if row.path.startswith("fc")) / total_weights
in_conv = sum(row.multiply_adds for row in table if row.path.startswith("conv")) / total_work
by_hand = 256 * (96 // 2 * 5 * 5 + 1), 27 * 27 * 256 * 96 // 2 * 5 * 5
print(f"conv2 by hand (2 groups, so that a filter sees 48 of 96 channels): 256 (48 * 25 + 1) = {by_hand[0]:,} parameters,")
print(f"    27 * 27 * 256 * 48 * 25 = {by_hand[1]:,} multiply-adds")
claim(
    "AlexNet has more than nine tenths of its parameters in its fully connected layers, and does more than nine tenths of its "
    "work in its convolutions.",
    f"{in_fc:.1%} and {in_conv:.1%}",
    in_fc > 0.9 and in_conv > 0.9,
)

figure, ax = plt.subplots(figsize=(7, 3))
at = np.arange(len(table))
ax.bar(at - 0.2, [100 * row.parameters / total_weights for row in table], 0.4, color=BLUE, label="parameters")
ax.bar(at + 0.2, [100 * row.multiply_adds / total_work for row in table], 0.4, color=ORANGE, label="multiply-adds")
ax.set(xticks=at, xticklabels=[row.path for row in table], ylabel="% of the network")
ax.set_title("AlexNet: weights and work, layer by layer")
ax.legend()
save(figure, HERE, "weights_and_work")

# %% [markdown]
# ## 9. When the picture moves
#
# The same filter at every place: if the picture moves, the map moves with it. This is *equivariance*, and it is exact, but
# for two things. At the **border** something goes out and something else comes in. And with a **stride** $s$ the map can only
# move by whole units: a shift by $s$ pixels is a shift by one unit; a shift by one pixel is no shift of the map at all, but
# another set of samples.
#
# What one wants of a classifier is *invariance*: the same answer. Pooling gives a little of it, over a window; global pooling
# gives it over the picture. But a pool with a stride **subsamples**, and that breaks equivariance like any stride: it takes
# samples without asking whether something finer lies between them. Signal processing knows the cure: blur before subsampling
# (Zhang 2019).

# %%
section("9. When the picture moves")
whole = photo[None, None] - photo.mean()
inner = slice(16, -16)


def moved(pixels):
    """The middle of the picture, seen so many pixels further to the right."""
    return np.ascontiguousarray(whole[:, :, inner, 16 + pixels : SIDE - 16 + pixels])


edges = layer_with(sobel_x)
still, off_by_one = edges.forward(moved(0)), edges.forward(moved(1))
by_itself = abs(still[..., 1:] - off_by_one[..., :-1]).max()
print(f"3x3, stride 1: moved by 1 pixel, the map moves by 1: largest difference {by_itself:.0e}")
strided = layer_with(sobel_x, stride=2)
still = strided.forward(moved(0))
by_two = abs(still[..., 1:] - strided.forward(moved(2))[..., :-1]).max() / still.std()
by_one = (strided.forward(moved(1)) - still).std() / still.std()
print(f"3x3, stride 2: moved by 2 pixels, the map moves by 1: largest difference {by_two:.0e}")
print(f"    moved by 1 pixel, the map is another one: it differs by {by_one:.0%} of its own size")
claim(
    "Moved by as many pixels as its stride, a convolution's map moves by one unit and stays the same; moved by one pixel, a "
    "map of stride 2 is another one.",
    f"differences of {by_two:.0e} and {by_one:.0%} of the map's size",
    by_two < 1e-9 and by_one > 0.1,
)

features = ReLU()
blur = layer_with(np.outer([1.0, 2, 1], [1.0, 2, 1]) / 16, stride=2)
ways = {
    "every second value": lambda r: np.ascontiguousarray(r[:, :, ::2, ::2]),
    "max pool 2x2": MaxPool2d(2).forward,
    "max 2x2, then blur and subsample": lambda r: blur.forward(MaxPool2d(2, stride=1).forward(r)),
}
changes = {}
print("edges of the photograph, then subsampled by two; change of the map if the picture moves by one pixel:")
for title, subsample in ways.items():
    before, after = (subsample(features.forward(edges.forward(moved(pixels)))) for pixels in (0, 1))
    changes[title] = float((after - before).std() / before.std())
    print(f"    {title:<33} {changes[title]:.0%} of its own size")
blurred, plain_pool = changes["max 2x2, then blur and subsample"], changes["max pool 2x2"]
claim(
    "A blur before subsampling makes a max pool less sensitive to a shift of the picture by one pixel.",
    f"the map changes by {blurred:.0%} with it and by {plain_pool:.0%} without",
    blurred < 0.9 * plain_pool,
)

# %% [markdown]
# Does it matter to a network that has learned? We train three of them on digits in the middle of a larger black picture, and
# test them with the digits moved: one fully connected; one with convolutions, whose last map is flattened; and one with the
# same convolutions and a global average on top. Only the last has no weight that belongs to a *place*.

# %%
folder = find_data("mnist")
if folder:
    digits, labels, test_digits, test_labels = load_mnist(folder)
    print("\nreal digits: MNIST")
else:
    (digits, labels), (test_digits, test_labels) = drawn_digits(4000, rng), drawn_digits(1000, rng)
    print("\nthere is no MNIST here (the four files, in mnist/ in the folder that MINICNN_DATA names): digits of a font")
chosen = rng.permutation(len(digits))[: 1500 if QUICK else 3000]
digits, labels, test_digits, test_labels = digits[chosen], labels[chosen], test_digits[:1000], test_labels[:1000]
CANVAS, MOST = 40, 6


def on_canvas(digits, shift=0):
    """Digits in the middle of 40 x 40 black pixels, moved down and to the right."""
    at = (CANVAS - 28) // 2 + shift
    canvas = np.zeros((len(digits), 1, CANVAS, CANVAS), np.float32)
    canvas[:, 0, at : at + 28, at : at + 28] = digits / np.float32(255)
    return canvas


def convolutions(rng):
    return {
        "conv1": Conv2d(1, 16, 5, stride=2, pad=2, rng=rng),
        "relu1": ReLU(),
        "conv2": Conv2d(16, 32, 3, stride=2, pad=1, rng=rng),
        "relu2": ReLU(),
        "conv3": Conv2d(32, 64, 3, pad=1, rng=rng),
        "relu3": ReLU(),
    }


source = np.random.default_rng(7)
contenders = {
    "fully connected": Sequential(
        flatten=Flatten(), hidden=Linear(CANVAS**2, 100, rng=source), relu=ReLU(), scores=Linear(100, 10, rng=source)
    ),
    "convolutions, flattened": Sequential(
        **convolutions(source), flatten=Flatten(), scores=Linear(64 * (CANVAS // 4) ** 2, 10, rng=source)
    ),
    "convolutions, global average": Sequential(
        **convolutions(source), average=GlobalAvgPool2d(), scores=Linear(64, 10, rng=source)
    ),
}
shifts, accuracies = range(MOST + 1), {}
for title, net in contenders.items():
    optimizer, epochs = Adam(net.parameters(), 0.005), 2 if QUICK else 6
    trainer = Trainer(net, SoftmaxCrossEntropy(), optimizer, epochs=epochs, batch_size=32, label=title)
    trainer.fit(on_canvas(digits), labels)
    accuracies[title] = [trainer.evaluate(on_canvas(test_digits, shift), test_labels)[1] for shift in shifts]
    weights = sum(p.value.size for p in net.parameters().values())
    right = ", ".join(f"{accuracy:.0%}" for accuracy in accuracies[title])
    print(f"{title:<30} {weights:>8,} parameters; right, moved by 0 to {MOST} pixels: {right}")

figure, ax = plt.subplots(figsize=(6.2, 3.4))
for (title, values), line_colour in zip(accuracies.items(), (GREY, ORANGE, BLUE), strict=True):
    ax.plot(shifts, [100 * value for value in values], "o-", color=line_colour, label=title)
ax.axhline(10, color=GREY, lw=0.7, ls=":")
ax.text(0, 11, "guessing", color=GREY, fontsize=8)
ax.set(xlabel="pixels down and to the right", ylabel="% of test digits right", ylim=(0, 102))
ax.set_title("Trained in the middle, tested elsewhere")
ax.legend()
save(figure, HERE, "moved_digits")
lost = {title: values[0] - values[MOST] for title, values in accuracies.items()}
claim(
    "Digits that are moved by six pixels cost a fully connected network more than three times the accuracy that they cost "
    "convolutions with a global average.",
    f"{100 * lost['fully connected']:.0f} and {100 * lost['convolutions, global average']:.0f} points",
    lost["fully connected"] > 3 * max(lost["convolutions, global average"], 0.05),
)

# %% [markdown]
# The convolutions alone help little: flattened, their map is read by weights that belong to places. The global average does
# help, though not completely. Its network has two strides of 2. Moved by 4, their product, all its maps move by whole units;
# moved by 2, the maps of the second stride are other samples, and its curve may dip there. And near the edge, the zeros of the
# padding tell it where it is after all.
#
# ## What this lesson claims
#
# The code above has measured each of these, and says so below: what came out, and whether it bears the sentence out.
#
# - Without a nonlinearity between them, two filters of 3x3 do exactly what one filter of 5x5 does, and that filter is their
#   flipped convolution.
# - The gradient that a cross-correlation hands back to its input is a true, flipped convolution of dy with the same filter.
# - Where the windows do not come out even, the last rows and columns are seen by no window, and their gradient is exactly 0.
# - The matrix product of im2col gives what the loops give, and is more than a hundred times as fast as loops in Python.
# - Winograd's F(4x4, 3x3) loses more digits in float32 than F(2x2, 3x3) does.
# - With 128 filters, a depthwise 3x3 and a 1x1 convolution in the place of a full 3x3 one need between an eighth and a ninth
#   of the work, and of what is left in MobileNet, more than nine tenths is in the 1x1 convolutions.
# - Behind a ReLU it does not matter which of several zeros a max pool hands its gradient to: below the ReLU nothing of it is
#   left.
# - Fractional max pooling distorts a picture more with random steps than with pseudorandom ones.
# - A unit of ResNet-18's last map has a receptive field larger than the whole picture of 224 x 224.
# - Twice as many 3x3 layers see twice as many pixels, but the part that matters grows by about the square root of two only.
# - AlexNet has more than nine tenths of its parameters in its fully connected layers, and does more than nine tenths of its
#   work in its convolutions.
# - Moved by as many pixels as its stride, a convolution's map moves by one unit and stays the same; moved by one pixel, a map
#   of stride 2 is another one.
# - A blur before subsampling makes a max pool less sensitive to a shift of the picture by one pixel.
# - Digits that are moved by six pixels cost a fully connected network more than three times the accuracy that they cost
#   convolutions with a global average.

# %%
print_claims()

# %% [markdown]
# ## Questions
#
# **1.** A layer of 64 filters of 3 x 3, stride 2, padding 1, gets 32 maps of 57 x 57. How large is its output, how many
# parameters does it have, and how many multiply-adds does a picture take?
#
# <details><summary>Answer</summary>
#
# $\lfloor (57 + 2 - 2 - 1)/2 \rfloor + 1 = 29$, so 64 maps of 29 x 29. Parameters: $64\,(32 \cdot 9 + 1) = 18496$.
# Multiply-adds: $29 \cdot 29 \cdot 64 \cdot 32 \cdot 9 = 15\,501\,312$. With a padding of 1 and 57 rows the windows come out
# even: the last one ends in the bottom row of the padding.
#
# </details>
#
# **2.** Someone writes the backward pass of a max pool as `dx = upsample(dy) * (x == upsample(y))`. When is it right, and what
# goes wrong otherwise?
#
# <details><summary>Answer</summary>
#
# It is right where the windows do not overlap and each has a single largest value. With a tie, every one of the equals gets the
# whole of dy, so that the gradient is too large; behind a ReLU that happens in windows of zeros, where it does no harm, but not
# in the flat parts of a picture. With overlapping windows, upsampling cannot even say which window a pixel belongs to: it may
# win one, lose the next, and must collect from those that it won.
#
# </details>
#
# **3.** A network has four 3 x 3 convolutions, with a 2 x 2 pool of stride 2 after the second. What does a unit of its last map
# see? And if the pool comes after the first?
#
# <details><summary>Answer</summary>
#
# Two convolutions: 5 pixels, step 1. The pool adds 1 pixel, 6, and the step is 2 from there on. Two more convolutions add
# $2 \cdot 2 \cdot 2 = 8$: 14 pixels. With the pool after the first: 3, then 4, then $3 \cdot 2 \cdot 2 = 12$ more: 16. The
# earlier a stride comes, the more layers above it profit. (And the coarser is what they see.)
#
# </details>
#
# ## Further reading
#
# - Dumoulin, Visin 2016, "A guide to convolution arithmetic for deep learning" (arXiv 1603.07285): chapter 2, all cases drawn.
# - Chellapilla, Puri, Simard 2006, "High Performance Convolutional Neural Networks for Document Processing": im2col, which they
#   call unrolling.
# - Lavin, Gray 2016, "Fast Algorithms for Convolutional Neural Networks" (arXiv 1509.09308): section 4, Winograd.
# - Howard et al. 2017, "MobileNets" (arXiv 1704.04861): section 3.1, and table 2 for where the work is.
# - Simonyan, Zisserman 2015, "Very Deep Convolutional Networks" (arXiv 1409.1556): section 2.3, why 3 x 3.
# - Yu, Koltun 2016, "Multi-Scale Context Aggregation by Dilated Convolutions" (arXiv 1511.07122): section 2.
# - Lin, Chen, Yan 2014, "Network In Network" (arXiv 1312.4400): section 3.2, global average pooling.
# - Graham 2014, "Fractional Max-Pooling" (arXiv 1412.6071): section 2.
# - Luo, Li, Urtasun, Zemel 2016, "Understanding the Effective Receptive Field" (arXiv 1701.04128): sections 2 and 3.
# - Araujo, Norris, Sim 2019, "Computing Receptive Fields of Convolutional Neural Networks", Distill.
# - Zhang 2019, "Making Convolutional Networks Shift-Invariant Again" (arXiv 1904.11486): section 3.
#
# ## Next
#
# The exercise, `exercise.py`: sizes and fields, im2col and its transpose, the convolution as a matrix product, both pools and
# the depthwise convolution, forward and backward. Check it as often as you like:
#
#     minicnn check 3
#
# Then lesson 4: what is between the convolutions. Activations, and with which weights to begin so that signals and gradients
# neither die out nor explode on their way through many layers.

# %%
print("\nnow you: exercise.py, then minicnn check 3")
