# %% [markdown]
# # Lesson 2. Backpropagation through a layer, checked by numeric gradients
#
# A network learns by asking one question about each of its weights: *if this number were a little larger, by how much would
# the loss change?* The answer for all weights together is the gradient, and backpropagation is the way to get it at about the
# price of running the network twice more. It is also easy to get wrong in ways that nothing crashes on: the network still
# learns, only worse. So this lesson has two threads that belong together: how to write a backward pass, and how to *prove*
# that it is right.
#
# **Before**: partial derivatives and the chain rule, products of matrices, Python with NumPy; from lesson 1 the softmax loss.
#
# **After**: you can write the backward pass of a fully connected layer, ReLU, the softmax loss and a convolution; measure a
# gradient, with a step that fits; and look after the first minutes of a training run.
#
# Run it (`minicnn lesson 2`, with `--quick` for a first look), or open it as a notebook. The numbers are all measured as it
# runs, and the figures go to `out/` beside it. Then do the exercise: `minicnn check 2`.

# %%
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

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
    save_page,
    section,
)
from minicnn.data import load_mnist
from minicnn.explorer import explore
from minicnn.gradcheck import check_layer
from minicnn.kernels import reference
from minicnn.layers import Conv2d, Linear, ReLU, Sequential
from minicnn.losses import SoftmaxCrossEntropy, softmax
from minicnn.models import lenet5
from minicnn.optim import SGD
from minicnn.training import Trainer

HERE = Path(globals().get("__file__", "lesson.py")).resolve().parent
rng = np.random.default_rng(1)

# %% [markdown]
# ## 1. One neuron
#
# A neuron computes $y = w \cdot x + b$; its loss for a target $t$ is $L = \frac12 (y - t)^2$. The chain rule multiplies the
# slopes along the way from a weight to the loss:
#
# $$\frac{dL}{dw_i} = \frac{dL}{dy}\,\frac{dy}{dw_i} = (y - t)\,x_i, \qquad \frac{dL}{db} = y - t .$$
#
# The gradient points to where the loss *grows* fastest, so a step of learning subtracts it: $w \leftarrow w - \eta\, dL/dw$.
#
# > **A correction.** The slides of the lecture write the step as `x += learning_rate * dx`. That climbs. Below we try both.

# %%
section("1. One neuron")


def neuron_loss(w, b, x, t):
    return 0.5 * (w @ x + b - t) ** 2


x, t = np.array([1.0, -2.0]), 1.0
w, b, learning_rate = np.array([0.5, 0.3]), 0.1, 0.1
y = w @ x + b
dy = y - t
dw, db = dy * x, dy
print(f"y = {y:.2f}, wanted {t:.2f}: loss {neuron_loss(w, b, x, t):.3f}, dL/dw = {dw}, dL/db = {db:.2f}")
down = neuron_loss(w - learning_rate * dw, b - learning_rate * db, x, t)
up = neuron_loss(w + learning_rate * dw, b + learning_rate * db, x, t)
print(f"after one step against the gradient: loss {down:.3f};  after one along it, as on the slide: loss {up:.3f}")
before = neuron_loss(w, b, x, t)
claim(
    "A step against the gradient lowers the loss, and one along it raises it.",
    f"{before:.3f} becomes {down:.3f} and {up:.3f}",
    down < before < up,
)

steps = np.linspace(-0.35, 0.2, 100)
losses = [neuron_loss(w + s * dw, b + s * db, x, t) for s in steps]
squared_length = dw @ dw + db * db  # the slope of L in the direction of its own gradient
figure, ax = plt.subplots(figsize=(5, 3.2))
ax.plot(steps, losses, color=BLUE, label="the loss")
near = np.abs(steps) < 0.08
ax.plot(steps[near], neuron_loss(w, b, x, t) + steps[near] * squared_length, color=GREY, ls="--", label="its tangent")
ax.plot([0], [neuron_loss(w, b, x, t)], "o", color=INK)
ax.annotate("subtract", (-learning_rate, down), (-0.16, 0.75), color=GREEN, arrowprops={"arrowstyle": "->", "color": GREEN})
ax.annotate("add", (learning_rate, up), (0.03, 1.75), color=ORANGE, arrowprops={"arrowstyle": "->", "color": ORANGE})
ax.set(xlabel="how far along the gradient (in multiples of it)", ylabel="loss", title="One step of a single neuron")
ax.legend(loc="upper left")
save(figure, HERE, "one_neuron")

# %% [markdown]
# ## 2. A layer: $dx = J^T dy$
#
# A layer turns a vector $x$ into a vector $y$. The derivatives of all outputs with respect to all inputs form its Jacobian,
# $J_{ij} = \partial y_i / \partial x_j$. If we know $dy_i = \partial L/\partial y_i$, each input gets its share of the blame
# through every output it had a part in:
#
# $$dx_j = \sum_i \frac{\partial L}{\partial y_i}\frac{\partial y_i}{\partial x_j} = \sum_i J_{ij}\, dy_i
# \qquad\text{that is}\qquad dx = J^T dy .$$
#
# For layers one after another, $y = f_3(f_2(f_1(x)))$, the Jacobians multiply, $J = J_3 J_2 J_1$, and
#
# $$dx = J_1^T \left( J_2^T \left( J_3^T\, dy \right)\right) .$$
#
# Read from the inside: **start at the loss, and hand a vector back from layer to layer.** That is all of backpropagation.
# No two Jacobians are ever multiplied, and no $J$ is ever built: each layer just knows how to multiply by its own $J^T$.
#
# For a batch of $N$ samples, one a row, and with ReLU (a "rectified linear unit", the bend between two linear layers):
#
# | layer | forward | backward: $J^T dy$ without $J$ |
# | --- | --- | --- |
# | fully connected | $y = x w^T + b$ | $dx = dy\, w$, $\;dw = dy^T x$, $\;db = \sum_n dy_n$ |
# | ReLU | $y = \max(0, x)$ | $dx = dy$ where $x > 0$, else 0 |
# | softmax and cross-entropy | $L = -\frac1N \sum_n \log p_{n, t_n}$ | $ds = (p - \text{one-hot}(t)) / N$ |
#
# To see it, we measure some Jacobians, column by column (move one input, watch all outputs), and compare.

# %%
section("2. A layer hands back J^T dy")


def jacobian(f, x, h=1e-6):
    """Measured: J[i, j] = (f_i(x + h e_j) - f_i(x - h e_j)) / 2h, for a function of one vector."""
    return np.stack([(f(x + h * e) - f(x - h * e)) / (2 * h) for e in np.eye(x.size)], axis=1)


def as_vector_function(layer, shape):
    """The layer as a function of one flat vector, for a batch of one."""
    return lambda x: layer.forward(x.reshape(1, *shape)).ravel()


D = 12
subjects = {
    "fully connected": (Linear(D, 8, rng=2), (D,)),
    "ReLU": (ReLU(), (D,)),
    "convolution, 1x3 filter": (Conv2d(1, 1, (1, 3), rng=5), (1, 1, D)),
}
differences = []
figure, axes = plt.subplots(1, 3, figsize=(9, 3))
for ax, (title, (layer, shape)) in zip(axes, subjects.items(), strict=True):
    layer.astype(np.float64).train()
    x = rng.standard_normal(D)
    J = jacobian(as_vector_function(layer, shape), x)
    y = layer.forward(x.reshape(1, *shape))
    dy = rng.standard_normal(y.shape)
    dx = layer.backward(dy).ravel()
    difference = abs(J.T @ dy.ravel() - dx).max()
    print(f"{title:<24} J is {J.shape[0]:>2} x {J.shape[1]};  largest difference of J^T dy and backward(dy): {difference:.0e}")
    differences.append(difference)
    limit = abs(J).max()
    ax.imshow(J, cmap="RdBu_r", vmin=-limit, vmax=limit)
    ax.set(title=title, xlabel="input j", ylabel="output i", xticks=[], yticks=[])
claim(
    "A backward pass multiplies by the transposed Jacobian: in a fully connected layer, in ReLU, and in a convolution.",
    f"largest difference {max(differences):.0e}",
    max(differences) < 1e-6,
)
figure.suptitle("Three Jacobians: dense, diagonal, and one small filter sliding along (red positive, blue negative)", y=1.02)
figure.tight_layout()
save(figure, HERE, "jacobians")

N, D, M, K = 32, 784, 100, 10
print(f"\na network with {D} inputs, {M} hidden units and {K} scores:")
print(f"    multiplying J2 J1 out takes {K * M * D:,} products, handing one vector back {K * M + M * D:,}")
print(f"    the first layer's J for a batch of {N} would have {N * M * N * D:,} entries; backward() builds none of them")

# %% [markdown]
# Look at the third Jacobian: the same three numbers in each row, one place further along. That is all that a convolution is:
# a fully connected layer whose weights are mostly zero and otherwise **shared**. Sharing also says what `dw` must be: a
# weight that is used in many places collects a share from each of them.
#
# ## 3. Measuring a derivative, and how small a step to take
#
# The definition of the derivative is a recipe for measuring it:
#
# $$f'(a) \approx \frac{f(a+h) - f(a)}{h} \;\text{(error} \sim h)\qquad\text{or}\qquad
# f'(a) \approx \frac{f(a+h) - f(a-h)}{2h} \;\text{(error} \sim h^2).$$
#
# So take $h$ as small as possible? No: $f$ is only known to about 16 digits (7 in float32). Of two almost equal numbers, the
# difference keeps few of those, and dividing by $h$ magnifies what is lost: a second error of about $\epsilon |f| / h$, with
# $\epsilon \approx 10^{-16}$ ($10^{-7}$ in float32). Somewhere in between lies the best $h$. We measure the derivative of the
# loss of a small network with respect to one of its weights, and compare it with what the backward pass says.

# %%
section("3. How small a step?")


def small_problem(dtype):
    """A network, its input and labels, and the loss as a function of one of its weights."""
    rng = np.random.default_rng(3)
    net = Sequential(hidden=Linear(20, 15, rng=4), relu=ReLU(), scores=Linear(15, 5, rng=5)).astype(dtype).train()
    x, y = rng.standard_normal((8, 20)).astype(dtype), rng.integers(0, 5, 8)
    loss, weight = SoftmaxCrossEntropy(), net.parameters()["scores.w"]

    def loss_at(value):
        weight.value[2, 3] = value
        scores = net.forward(x)
        log_p = np.log(softmax(scores))  # the mean in the same precision as all the rest
        return -log_p[np.arange(8), y].mean(dtype=dtype)

    a = dtype(weight.value[2, 3])
    loss.forward(net.forward(x), y)
    net.backward(loss.backward())
    return loss_at, a, weight.grad[2, 3]


steps = 10.0 ** np.arange(-13, 0.01, 0.25)
_, _, exact = small_problem(np.float64)
best = {}  # step and error, by dtype and number of sides
figure, ax = plt.subplots(figsize=(6.2, 3.8))
for dtype, color in ((np.float64, BLUE), (np.float32, ORANGE)):
    loss_at, a, _ = small_problem(dtype)
    for central, style in ((True, "-"), (False, ":")):
        errors = []
        for h in steps.astype(dtype):
            above, below = a + h, a - h if central else a
            slope = (loss_at(above) - loss_at(below)) / (above - below) if above > below else 0.0
            errors.append(abs(slope - exact) / abs(exact))
        errors = np.maximum(errors, 1e-13)
        sides = "both sides" if central else "one side"
        ax.loglog(steps, errors, style, color=color, label=f"{dtype.__name__}, {sides}")
        i = int(np.argmin(errors))
        best[dtype, central] = steps[i], errors[i]
        print(f"{dtype.__name__}, {sides + ':':<12} best step {steps[i]:.0e}, relative error there {errors[i]:.0e}")
ax.axhline(1e-6, color=GREY, lw=0.8)
ax.text(1e-13, 2e-7, "a gradient check's limit", color=GREY, fontsize=8)
ax.set(xlabel="step h", ylabel="relative error of the measured derivative", ylim=(1e-13, 30))
ax.set_title("Too large: the curve bends. Too small: the digits run out.")
ax.legend(loc="lower left", fontsize=8, bbox_to_anchor=(0.0, 0.02))
save(figure, HERE, "step_size")
(large, small_error), (small, large_error) = best[np.float64, True], best[np.float64, False]
claim(
    "Measured from both sides, a derivative is best with a larger step than from one side, and more exact there.",
    f"errors {small_error:.0e} with {large:.0e}, {large_error:.0e} with {small:.0e}",
    large > small and small_error < large_error,
)
error32 = best[np.float32, True][1]
claim(
    "At its best, a derivative measured in float64 is more than a hundred times as exact as one in float32.",
    f"errors {small_error:.0e} and {error32:.0e}",
    100 * small_error < error32,
)

# %% [markdown]
# Rounding comes down from the left as $1/h$, the bend of the function goes up to the right as $h$ or $h^2$. In float64 with
# both sides there is a comfortable valley, and a wrong factor of 1.001 would be noticed. In float32 the valley is narrow and
# its floor high: a check could not tell a slightly wrong gradient from a right one. `minicnn.gradcheck` therefore refuses it:

# %%
try:
    check_layer(Linear(3, 2), np.ones((4, 3), np.float32))
except TypeError as error:
    print(f"\ngradcheck on float32: {error}")

# %% [markdown]
# ## 4. One number to measure, and why it must be random
#
# A layer has many outputs, and we want one number to differentiate. Take $L = \sum_i r_i\, y_i$: then $dL/dy = r$, and
# `backward(r)` must be the gradient of $L$. Which $r$? The obvious `y.sum()`, all $r_i = 1$, is a trap. Softmax outputs sum
# to 1 and batch normalised outputs to 0, whatever the input: $L$ is constant, its true gradient is zero, and a backward pass
# that forgets a term may be zero just as well. A *random* $r$ hides nothing.
#
# Batch normalisation (lesson 5) brings each input to mean 0 and variance 1 over the batch: $y = (x - \mu)/\sigma$. Its backward
# pass has three terms, $dx = \frac1\sigma \left( dy - \overline{dy} - y\,\overline{dy\, y} \right)$, where a bar is the mean
# over the batch. Let us forget the last one.

# %%
section("4. Why the projection is random")


def normalise(x):
    return (x - x.mean(axis=0)) / x.std(axis=0)


def faulty_backward(dy, x):
    return (dy - dy.mean(axis=0)) / x.std(axis=0)


def numeric_gradient(f, x, r, h=1e-5):
    """Of L = sum(r * f(x)), entry by entry."""
    gradient = np.empty_like(x)
    for i in np.ndindex(x.shape):
        e = np.zeros_like(x)
        e[i] = h
        gradient[i] = ((r * f(x + e)).sum() - (r * f(x - e)).sum()) / (2 * h)
    return gradient


x = rng.standard_normal((6, 4))
sizes = {}
for entries, r in (("all ones", np.ones(x.shape)), ("random", rng.standard_normal(x.shape))):
    measured, claimed = numeric_gradient(normalise, x, r), faulty_backward(r, x)
    off = abs(measured - claimed).max()
    sizes[entries] = abs(measured).max(), abs(claimed).max(), off
    print(f"r {entries:<9} measured gradient up to {abs(measured).max():.1e}, faulty backward off by up to {off:.1e}")
claim(
    "With r all ones the gradient of a batch normalisation is 0, and so is that of a backward pass which lacks a term.",
    f"entries of up to {sizes['all ones'][0]:.0e} and {sizes['all ones'][1]:.0e}",
    max(sizes["all ones"][:2]) < 1e-8,
)
claim(
    "With a random r the same two gradients differ plainly.",
    f"by up to {sizes['random'][2]:.2f}, of entries up to {sizes['random'][0]:.2f}",
    sizes["random"][2] > 0.05 * sizes["random"][0],
)

# %% [markdown]
# ## 5. Convolution, as loops
#
# A **filter** is a small array of weights that is laid on the picture at one place after another; each time, the products of
# its weights with the pixels below are summed. A colour picture has three **channels**, red, green and blue, and a filter has
# weights for each. For picture $n$, filter $f$ and place $(i, j)$, summed over channels $c$ and over the filter's rows $p$ and
# columns $q$,
#
# $$y_{n f i j} = b_f + \sum_{c, p, q} x_{n, c, is+p, js+q}\; w_{f c p q}$$
#
# where the **stride** $s$ is the distance between neighbouring places; with **padding**, $x$ has a border of zeros. Every
# product $x\,w$ in there takes part in one $y$, so on the way back it hands $dy$ to both of its factors, each times the other:
#
# $$dx_{n, c, is+p, js+q} \mathrel{+}= dy_{n f i j}\, w_{f c p q}, \qquad
#   dw_{f c p q} \mathrel{+}= dy_{n f i j}\, x_{n, c, is+p, js+q}, \qquad db_f \mathrel{+}= dy_{n f i j}.$$
#
# The same loops, with `+=` into the other two arrays. `minicnn/kernels/reference.py` has exactly these loops, and
# `minicnn/kernels/textbook.py` the same convolution in a few lines of NumPy (im2col); the layer `Conv2d` computes it fast, and
# must agree. With `Conv2d(..., algorithm="reference")` the layer itself runs the loops, so that you can step through them in a
# debugger.

# %%
section("5. Convolution: loops and fast kernels")
x = rng.standard_normal((2, 3, 12, 12))
layer = Conv2d(3, 4, kernel_size=3, stride=2, pad=1, rng=6).astype(np.float64).train()
arguments = (2, 2), (1, 1, 1, 1), (1, 1), 1  # stride, pads (top, bottom, left, right), dilation, groups
y = layer.forward(x)  # compiles the kernels, once
dy = rng.standard_normal(y.shape)
dx = layer.backward(dy)

start = time.perf_counter()
y_loops = reference.conv2d_forward(x, layer.w.value, layer.b.value, *arguments)
dx_loops, dw_loops, db_loops = reference.conv2d_backward(dy, x, layer.w.value, *arguments)
loops_seconds = time.perf_counter() - start
fast_seconds = []
for _ in range(20):
    start = time.perf_counter()
    layer.forward(x)
    layer.backward(dy)
    fast_seconds.append(time.perf_counter() - start)
loops = {"y": y_loops, "dx": dx_loops, "dw": dw_loops, "db": db_loops}
off = []
for (name, slow), fast in zip(loops.items(), (y, dx, layer.w.grad, layer.b.grad), strict=True):
    off.append(abs(slow - fast).max())
    print(f"{name:<3} {slow.shape!s:<15} largest difference of loops and Conv2d: {off[-1]:.0e}")
print(f"the loops take {1000 * loops_seconds:.0f} ms, Conv2d about {loops_seconds / np.median(fast_seconds):.0f} times less")
claim("Conv2d gives the numbers of the plain loops.", f"largest difference {max(off):.0e}", max(off) < 1e-10)

# %% [markdown]
# ## 6. Faults, planted and caught
#
# A test that never failed proves little. So we take right layers, break their backward pass in the ways that people break
# them, and ask the gradient check. It should say *no* each time; and as the pattern of wrong numbers often gives the fault
# away, it also guesses. Hardly any of these faults raises an error, and with most of them a network still learns something.
# (A *tap* is one place of a filter.)

# %%
section("6. Planted faults")


def with_fault(make_layer, spoil):
    """The layer, with ``spoil(layer, dx)`` done to its gradients after a right backward pass."""
    layer = make_layer().astype(np.float64)
    right_backward = layer.backward

    def backward(dy):
        dx = right_backward(dy)
        spoiled = spoil(layer, dx)
        return dx if spoiled is None else spoiled

    layer.backward = backward
    return layer


def grad_of(parameter, change):
    """A fault in one parameter's gradient."""

    def spoil(layer, dx):
        getattr(layer, parameter).grad = change(getattr(layer, parameter).grad)

    return spoil


def without_last_tap(dw):
    return np.where(np.arange(9).reshape(3, 3) == 8, 0, dw)


def square():
    return Linear(5, 5, rng=7)


def padded():
    return Conv2d(2, 3, kernel_size=3, pad=1, rng=8)


faults = {
    "dx with the wrong sign": (square, lambda layer, dx: -dx),
    "dw multiplied by N": (square, grad_of("w", lambda dw: 6 * dw)),
    "dw transposed": (square, grad_of("w", np.transpose)),
    "db forgotten": (square, grad_of("b", np.zeros_like)),
    "dw of a flipped filter": (padded, grad_of("w", lambda dw: dw[:, :, ::-1, ::-1])),
    "dw without its last tap": (padded, grad_of("w", without_last_tap)),
    "padding not cropped from dx": (padded, lambda layer, dx: np.pad(dx, ((0, 0), (0, 0), (1, 1), (1, 1)))),
}
inputs = {square: rng.standard_normal((6, 5)), padded: rng.standard_normal((6, 2, 5, 5))}
for make_layer, x in inputs.items():
    report = check_layer(make_layer().astype(np.float64), x)
    print(f"{report.subject} as it is: {'right' if report.ok else 'WRONG'}, largest relative error {report.max_error:.0e}")
caught = 0
for title, (make_layer, spoil) in faults.items():
    report = check_layer(with_fault(make_layer, spoil), inputs[make_layer])
    caught += not report.ok
    guess = next((array.guess for array in report.arrays if array.guess), "")
    print(f"\n{title}: {'not noticed' if report.ok else 'caught'}")
    print(f"    gradcheck's guess: {guess}")
print(f"\n{caught} of {len(faults)} planted faults were caught")
claim(
    "A gradient check catches all of seven faults that people make.",
    f"{caught} of {len(faults)}",
    caught == len(faults) == 7,
)

# %% [markdown]
# ## 7. From right layers to a network that learns
#
# Even with every gradient right, look before you leave a training run alone. Three cheap checks, in this order:
#
# 1. **The first loss.** An untrained network knows nothing, gives each of $C$ classes about the probability $1/C$, and so must
#    start near $\log C$. Far above it, the network is sure of itself without a reason: its last weights are too large. And
#    regularisation must raise the loss a little.
# 2. **Learn a handful by heart.** Nearly any network should reach 100 % on 20 pictures. If yours does not at a few different
#    learning rates, look for a fault.
# 3. **Then more data**, with pictures kept aside (validation) to see what it is worth.
#
# The network is LeNet-5 (LeCun et al. 1998), in the form that everyone uses today, with ReLU, max pooling (lesson 3) and
# softmax. *One more correction:* many texts say that LeNet had max pooling from the start; the original's subsampling added
# four pixels up and had a trainable factor and bias. An **epoch** is one pass over all training pictures.

# %%
section("7. A network that learns")
folder = find_data("mnist")
if folder:
    pictures, labels, test_pictures, test_labels = load_mnist(folder)
    print(f"real digits: MNIST, from {folder.name}/ in the data folder")
else:
    (pictures, labels), (test_pictures, test_labels) = drawn_digits(4000, rng), drawn_digits(1000, rng)
    print("there is no MNIST here (the four files, in mnist/ in the folder that MINICNN_DATA names): using digits of a font")
chosen = rng.permutation(len(pictures))[: 1200 if QUICK else 3600]
pictures, labels = pictures[chosen], labels[chosen]
test_pictures, test_labels = test_pictures[:1000], test_labels[:1000]
mean, std = pictures.mean(), pictures.std()


def prepare(pictures):
    """Zero mean, unit variance, and an axis for the one channel."""
    return ((pictures[:, None] - mean) / std).astype(np.float32)


def untrained(last_weights, seed=0):
    """LeNet-5 with random weights; those of its last layer with this standard deviation."""
    net, rng = lenet5(rng=seed), np.random.default_rng(seed)
    last = net.layers["output"]
    last.w.value[...] = last_weights * rng.standard_normal(last.w.value.shape)
    return net


loss = SoftmaxCrossEntropy()
print(f"\nlog 10 = {np.log(10):.3f}")
first = {}
for last_weights in (1.0, 0.1, 0.01):
    scores = [untrained(last_weights, seed).eval().forward(prepare(pictures[:200])) for seed in range(3)]
    first[last_weights] = [loss.forward(s, labels[:200]) for s in scores]
    listed = ", ".join(f"{value:.3f}" for value in first[last_weights])
    print(f"last weights of size {last_weights:<4g}: first loss of three untrained networks {listed}")
claim(
    "An untrained network starts near log 10 if its last weights are small, and far above it if they are of size 1.",
    f"{np.mean(first[0.01]):.2f} and {np.mean(first[1.0]):.1f}",
    abs(np.mean(first[0.01]) - np.log(10)) < 0.1 and min(first[1.0]) > 2 * np.log(10),
)
weights = [p.value for p in untrained(0.01).parameters().values() if p.decays]
penalty = 0.5 * 0.001 * sum(float((w * w).sum()) for w in weights)
print(f"L2 regularisation of strength 0.001 adds {penalty:.3f}")

net, N = untrained(0.01), 20
optimizer = SGD(net.parameters(), 0.01, momentum=0.9)
trainer = Trainer(net, loss, optimizer, epochs=40, batch_size=5, prepare=prepare, progress=False)
by_heart = trainer.fit(pictures[:N], labels[:N]).epochs
perfect = next((e["epoch"] for e in by_heart if e["train_accuracy"] == 1), None)
_, elsewhere = trainer.evaluate(test_pictures, test_labels)
final = by_heart[-1]["loss"]
print(f"\n{N} digits, learned by heart: all right in epoch {perfect} for the first time, and a loss of {final:.0e} at the end;")
print(f"    but of digits that it has not seen, {elsewhere:.0%} are right")
claim(
    "Twenty digits are learned by heart.",
    f"all {N} right in epoch {perfect}, loss {final:.0e} in the last",
    perfect is not None and final < 0.1,
)

net, epochs, split = untrained(0.01), 3 if QUICK else 6, len(pictures) * 5 // 6
filters_before = net.parameters()["c1.w"].value.copy()
optimizer = SGD(net.parameters(), 0.02, momentum=0.9)
trainer = Trainer(net, loss, optimizer, epochs=epochs, batch_size=32, prepare=prepare, label="LeNet-5")
learned = trainer.fit(pictures[:split], labels[:split], pictures[split:], labels[split:]).epochs
_, accuracy = trainer.evaluate(test_pictures, test_labels)
print(f"{split} digits, {epochs} epochs: {accuracy:.1%} of {len(test_labels)} test digits are right")

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2))
left.semilogy([e["epoch"] for e in by_heart], [e["loss"] for e in by_heart])
left.axhline(np.log(10), color=GREY, lw=0.8)
left.text(40, np.log(10) * 1.15, "log 10", color=GREY, ha="right", fontsize=8)
left.set(title=f"{N} digits, learned by heart", xlabel="epoch", ylabel="loss")
right.plot([e["epoch"] for e in learned], [e["train_accuracy"] for e in learned], "o-", label="training")
right.plot([e["epoch"] for e in learned], [e["val_accuracy"] for e in learned], "o-", label="validation")
right.set(title=f"{split} digits", xlabel="epoch", ylabel="accuracy")
right.legend(loc="lower right")
figure.tight_layout()
save(figure, HERE, "learning")

# %% [markdown]
# What did the first layer learn? Its six filters of 5 x 5 are the only ones that look at pixels, so they can be shown as
# pictures. On so few digits they still look much like their random start. What they *see* tells more: each map lights up
# where its filter fits, along edges of one direction or another, or in the strokes themselves.

# %%
filters = net.parameters()["c1.w"].value
limit = max(abs(filters).max(), abs(filters_before).max())
shown = int(np.flatnonzero(test_labels == 5)[0])
maps = net.split("c1")[0].eval().forward(prepare(test_pictures[shown : shown + 1]))[0]
figure, axes = picture_grid(3, 7)
for row, name, kernels in ((0, "untrained", filters_before), (1, "trained", filters)):
    axes[row, 0].text(1, 0.5, name, ha="right", va="center", transform=axes[row, 0].transAxes)
    for ax, kernel in zip(axes[row, 1:], kernels[:, 0], strict=True):
        ax.imshow(kernel, cmap="RdBu_r", vmin=-limit, vmax=limit)
axes[2, 0].imshow(test_pictures[shown])
for ax, feature_map in zip(axes[2, 1:], maps, strict=True):
    ax.imshow(np.maximum(feature_map, 0))
figure.suptitle("The six filters of the first layer, and what they see in a digit (after ReLU)", y=0.97)
save(figure, HERE, "filters")
print(f"the filters moved by {np.linalg.norm(filters - filters_before) / np.linalg.norm(filters_before):.0%} of their length")

# %% [markdown]
# Now look at it. The next cell makes a page with the LeNet-5 that comes with minicnn and a dozen of these digits. The page
# computes forward and backward passes by itself, in your browser. Under *Backward* the gradient of a class's score goes down
# from layer to layer to the picture, one step at a time; under *Network* any number can be opened, down to the products that
# make it.

# %%
few = slice(0, 12)
page = explore(minicnn.load("lenet5_mnist"), test_pictures[few], test_labels[few], most=12, progress=False)
save_page(page, HERE, "backpropagation")

# %% [markdown]
# ## What this lesson claims
#
# - A step against the gradient lowers the loss, and one along it raises it.
# - A backward pass multiplies by the transposed Jacobian: in a fully connected layer, in ReLU, and in a convolution.
# - Measured from both sides, a derivative is best with a larger step than from one side, and more exact there.
# - At its best, a derivative measured in float64 is more than a hundred times as exact as one in float32.
# - With r all ones the gradient of a batch normalisation is 0, and so is that of a backward pass which lacks a term.
# - With a random r the same two gradients differ plainly.
# - Conv2d gives the numbers of the plain loops.
# - A gradient check catches all of seven faults that people make.
# - An untrained network starts near log 10 if its last weights are small, and far above it if they are of size 1.
# - Twenty digits are learned by heart.

# %%
print_claims()

# %% [markdown]
# ## Questions
#
# **1.** Somebody forgets the 1/N, so that the gradients are sums over the batch instead of means. Does the network learn? When
# would it be noticed?
#
# <details><summary>Answer</summary>
#
# It learns: the gradient points in the same direction and is N times as long, and with a learning rate N times smaller the
# steps are the same. It is noticed when the batch size changes and the learning rate that was good no longer is, or at once by
# a gradient check, whose loss has the 1/N. Regularisation is off, too: beside a gradient N times as large it counts for 1/N as
# much.
#
# </details>
#
# **2.** In a gradient check of a network with ReLUs all entries of a weight agree to nine digits, but for three, which are off
# by half. What is probably the matter?
#
# <details><summary>Answer</summary>
#
# The kink. For these three, a step of h carries some unit's input across 0: one side is measured with the unit off, the other
# with it on, and the difference is between the two slopes. The backward pass is right. Test with inputs that stay away from 0,
# or with a smaller h: what is only a kink disappears, a fault stays. (`check_layer` looks for kinks itself and leaves them
# out.)
#
# </details>
#
# **3.** A weight of a fully connected layer has the gradient $dy_m x_d$, a single product for each sample. Why is the gradient
# of a convolution's weight a sum over all places of the picture?
#
# <details><summary>Answer</summary>
#
# The weight is shared: written as a fully connected layer, the convolution has the same number in many places of its matrix.
# If that number grows, all of these entries grow, and their effects on the loss add up. It is the same rule as for a batch, in
# which every sample uses the same weights, and the same as for $dx$, where a pixel was read by several windows.
#
# </details>
#
# ## Further reading
#
# - Rumelhart, Hinton, Williams 1986, "Learning representations by back-propagating errors": four pages, with the equations
#   above.
# - LeCun, Bottou, Bengio, Haffner 1998, "Gradient-Based Learning Applied to Document Recognition", section I.C on gradients
#   that are handed back, and II on LeNet-5.
# - LeCun, Bottou, Orr, Müller 1998, "Efficient BackProp", sections 3 (backpropagation) and 4 (practical tricks).
# - Goodfellow, Bengio, Courville 2016, "Deep Learning", section 6.5: backpropagation in general graphs.
# - Baydin, Pearlmutter, Radul, Siskind 2018, "Automatic Differentiation in Machine Learning: a Survey", section 3:
#   backpropagation as one way of two.
#
# ## Next
#
# The exercise first: `exercise.py` has the layers of this lesson as empty functions, and at the end a test to write, one that
# tells right layers from faulty ones. When all are right, a network of your layers learns to read digits.
#
#     minicnn check 2
#     minicnn check 2 --task 1 --hint       # where you are stuck
#
# Then lesson 3, on convolution and pooling: `minicnn lesson 3`.

# %%
print("\nnow you: minicnn check 2")
