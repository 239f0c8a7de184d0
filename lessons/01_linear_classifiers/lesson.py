# %% [markdown]
# # Lesson 1. Linear classifiers
#
# **Before**: derivatives, matrix products, and Python with NumPy. No machine learning.
#
# **After**: you can write a classifier of pictures from nothing: scores, two losses for many classes and one for two, their
# gradients by hand, L2 regularisation, preprocessing, and the step of gradient descent. You can look at what such a classifier
# has learned, and say what it never will.
#
# A linear classifier is the last layer of nearly every network in this course. A network with a hundred layers spends
# ninety-nine of them on making its task easy enough for the one that we build here.
#
# "The lecture", here and in all lessons, is CS231n of Stanford University, *Convolutional Neural Networks for Visual
# Recognition*, with its slides and notes.
#
# Run it (`python lessons/01_linear_classifiers/lesson.py`, with `--quick` for a first look), or open it as a notebook. All
# numbers are measured as it runs, and the figures go to `out/` beside it. Then do the exercise: `minicnn check 1`.

# %%
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
from minicnn.data import (
    CIFAR10_CLASSES,
    FASHION_MNIST_CLASSES,
    MNIST_CLASSES,
    Standardization,
    load_cifar10,
    load_fashion_mnist,
    load_mnist,
)
from minicnn.gradcheck import check_loss
from minicnn.layers import Linear, ReLU, Sequential
from minicnn.linear_model import LinearSVM, SoftmaxRegression
from minicnn.losses import BinaryLogistic, MeanSquaredError, SoftmaxCrossEntropy, SVMHinge, softmax
from minicnn.optim import SGD
from minicnn.schedules import linear as decay
from minicnn.training import Trainer

HERE = Path(globals().get("__file__", "lesson.py")).resolve().parent
rng = np.random.default_rng(1)

# %% [markdown]
# ## 1. A score for each class
#
# A picture of 28 x 28 pixels is a row of $D = 784$ numbers, $x$. For each of $K$ classes the classifier has a row of as many
# **weights**, $w_k$, and a **bias**, $b_k$. It gives the picture a **score** for each class,
#
# $$s_k = w_k \cdot x + b_k, \qquad\text{for N pictures at once}\quad S = X W^T + b ,$$
#
# and answers with the class that has the highest one. There are two ways to think of it:
#
# - **A template.** $w_k$ has the shape of a picture. Where it is positive, ink speaks for class $k$, and where it is negative,
#   against it. The score says how well the picture fits the template.
# - **A direction.** Each picture is a point in a space of $D$ dimensions, and the score of a class grows along the direction
#   $w_k$. Where two classes have the same score, there is a straight border: a line in the plane, a hyperplane in general.
#
# The second view can be drawn for points of two numbers.

# %%
section("1. A score for each class")
folder = find_data("fashion-mnist") or find_data("mnist")
if folder:
    is_fashion = folder.name == "fashion-mnist"
    pictures, labels, test_pictures, test_labels = (load_fashion_mnist if is_fashion else load_mnist)(folder)
    print(f"real pictures: {folder.name}, from the data folder")
else:
    is_fashion = False
    (pictures, labels), (test_pictures, test_labels) = drawn_digits(6000, rng), drawn_digits(2000, rng)
    print("there is no Fashion-MNIST or MNIST here (fashion-mnist/ or mnist/ in MINICNN_DATA): using digits of a font")
classes = FASHION_MNIST_CLASSES if is_fashion else MNIST_CLASSES
chosen = rng.permutation(len(pictures))[: 2000 if QUICK else 10000]
pictures, labels = pictures[chosen], labels[chosen]
test_pictures, test_labels = test_pictures[:5000], test_labels[:5000]
N, D, K = len(pictures), pictures[0].size, len(classes)
print(f"{N} pictures of {D} pixels to train on, {len(test_pictures)} to test with, {K} classes: {', '.join(classes)}")

point_labels = np.repeat([0, 1, 2], 40)
points = np.array([[-1.5, -0.8], [1.5, -0.6], [0.0, 1.6]])[point_labels] + 0.55 * rng.standard_normal((120, 2))
plane = SoftmaxRegression(0.01, standardise=False).fit(points, point_labels)
figure, ax = plt.subplots(figsize=(4.6, 4.2))
grid = np.stack(np.meshgrid(np.linspace(-3.6, 3.6, 300), np.linspace(-3.2, 3.6, 300)), axis=-1)
regions = (grid @ plane.w.T + plane.b).argmax(axis=-1)
ax.contourf(grid[..., 0], grid[..., 1], regions, levels=[-0.5, 0.5, 1.5, 2.5], colors=[BLUE, ORANGE, GREEN], alpha=0.15)
for k, color in enumerate((BLUE, ORANGE, GREEN)):
    ax.plot(*points[point_labels == k].T, "o", color=color, markersize=4, alpha=0.5)
    tip = 2.4 * plane.w[k] / np.linalg.norm(plane.w[k])
    ax.annotate("", tip, (0, 0), arrowprops={"arrowstyle": "->", "color": color, "lw": 2.5})
    ax.text(*(1.2 * tip), f"$w_{k}$", color=INK, ha="center", va="center", fontsize=13)
ax.set(aspect="equal", xlabel="$x_0$", ylabel="$x_1$", title="Each score grows along its arrow; the highest one wins")
save(figure, HERE, "directions")

# %% [markdown]
# Before anything else the pixels are brought to **zero mean and unit variance**: from each pixel we subtract its mean over the
# training pictures (the mean picture), and divide all by one number, the standard deviation of what is left. Section 6 shows
# why. The numbers are measured on the training pictures alone, and *the same* numbers are used for the test pictures.

# %%
centre = Standardization(unit_variance=False).fit(pictures.reshape(N, D))
spread = centre(pictures.reshape(N, D)).std()


def prepare(pictures):
    """Rows of zero mean and unit variance, float32 (N, D)."""
    return centre(pictures.reshape(len(pictures), D)) / spread


x, test_x = prepare(pictures), prepare(test_pictures)
print(f"training pixels: mean {x.mean():.4f}, variance {x.var():.4f};  test pixels: mean {test_x.mean():.4f}")

# %% [markdown]
# ## 2. How wrong are the scores? Two losses
#
# A **loss** is one number that says how unhappy we are with the scores, so that learning can mean: make it smaller. It is a
# mean over the pictures, $L = \frac1N \sum_n L_n$. For one picture whose right class is $t$:
#
# **The multi-class SVM (hinge loss)** wants the right class to lead every other by a margin of 1, and then it is content:
#
# $$L_n = \sum_{k \ne t} \max(0,\; s_k - s_t + 1) .$$
#
# **Softmax** first makes probabilities of the scores, all positive and with the sum 1. The loss is the **cross-entropy**: minus
# the logarithm of the probability that was given to the right class,
#
# $$p_k = \frac{e^{s_k}}{\sum_j e^{s_j}}, \qquad L_n = -\log p_t .$$
#
# Computers need care here: $e^{1000}$ is infinite. Subtracting the same number from all scores of a picture changes no $p_k$
# (the factor cancels), so one subtracts the largest score, and takes $\log p_t$ as $s_t - \log \sum_j e^{s_j}$.

# %%
section("2. Two losses")
scores, right = np.array([[2.0, 2.6, -1.0]]), np.array([0])
terms = [f"max(0, {s:g} - {scores[0, 0]:g} + 1)" for s in scores[0, 1:]]
p = softmax(scores)
print(f"scores {scores[0]}, and class 0 is right")
print(f"SVM:     {' + '.join(terms)} = {SVMHinge().forward(scores, right):.3f}")
print(f"softmax: p = {p[0].round(3)}, -log {p[0, 0]:.3f} = {SoftmaxCrossEntropy().forward(scores, right):.3f}")

small = 0.001 * rng.standard_normal((K, D)).astype(np.float32)
first = {"SVM": SVMHinge().forward(x @ small.T, labels), "softmax": SoftmaxCrossEntropy().forward(x @ small.T, labels)}
print(f"\nuntrained, with small random weights: SVM {first['SVM']:.3f} (K - 1 = {K - 1}), ", end="")
print(f"softmax {first['softmax']:.3f} (log K = {np.log(K):.3f})")
claim(
    "Untrained, the SVM loss starts near K - 1, and the softmax loss near log K.",
    f"{first['SVM']:.3f} and {K - 1}; {first['softmax']:.3f} and {np.log(K):.3f}",
    abs(first["SVM"] - (K - 1)) < 0.05 * (K - 1) and abs(first["softmax"] - np.log(K)) < 0.05 * np.log(K),
)

lead = np.linspace(-3, 4, 200)
figure, ax = plt.subplots(figsize=(5.2, 3.4))
ax.plot(lead, np.maximum(0, 1 - lead), color=BLUE, label="SVM: max(0, 1 - lead)")
ax.plot(lead, np.logaddexp(0, -lead), color=ORANGE, label="softmax: log(1 + exp(-lead))")
ax.axvline(1, color=GREY, lw=0.8, ls=":")
ax.text(1.1, 2.2, "margin reached:\nthe SVM is content,\nsoftmax never is", color=GREY, fontsize=9)
ax.set(xlabel="lead of the right class over the other one", ylabel="loss", title="The two losses, for two classes")
ax.legend(loc="upper right")
save(figure, HERE, "two_losses")

# %% [markdown]
# So the first loss that a training run prints is a check: it tells whether the loss, the number of classes and the size of the
# scores are what you think. Scores near 0 say nothing: each of the $K - 1$ wrong classes violates the margin by 1, and each
# class gets the probability $1/K$, whose loss is $\log K$.
#
# ## 3. Their gradients, by hand
#
# By how much does the loss change if a score does? For the SVM each wrong class that violates the margin pushes with slope 1,
# and the right score stands in all of those terms, each time with a minus:
#
# $$\frac{\partial L_n}{\partial s_k} = \begin{cases} 1 & s_k - s_t + 1 > 0 \\ 0 & \text{otherwise}\end{cases}
# \quad (k \ne t), \qquad \frac{\partial L_n}{\partial s_t} = -(\text{number of violations}) .$$
#
# For softmax write $L_n = -s_t + \log \sum_j e^{s_j}$. The derivative of the logarithm is $e^{s_k} / \sum_j e^{s_j}$, which
# is $p_k$ again, so that
#
# $$\frac{\partial L_n}{\partial s_k} = p_k - [k = t] .$$
#
# What is, minus what should be. Then the chain rule: $s_k = w_k \cdot x + b_k$, so a change of $w_k$ changes the score $x$
# times as much. With $dS = \partial L / \partial S$ of shape (N, K), which carries the $1/N$ of the mean,
#
# $$dW = dS^T X, \qquad db = \sum_n dS_n .$$

# %%
section("3. Gradients by hand")
for title, loss in (("SVM", SVMHinge()), ("softmax", SoftmaxCrossEntropy())):
    loss.forward(scores, right)
    print(f"{title:<8} dL/ds = {loss.backward()[0].round(3)}")
    several, several_right = 2 * rng.standard_normal((6, 5)), rng.integers(0, 5, 6)
    report = check_loss(loss, several, several_right)
    print(f"         against differences (L(s + h) - L(s - h)) / 2h: largest relative error {report.max_error:.0e}")


def loss_and_gradients(w, b, x, y, loss, strength=0.0):
    """The loss with its L2 penalty (section 4), dW and db."""
    value = loss.forward(x @ w.T + b, y) + strength / 2 * float((w * w).sum())
    dscores = loss.backward()
    return value, dscores.T @ x + strength * w, dscores.sum(axis=0)


w, b = np.zeros((K, D), np.float32), np.zeros(K, np.float32)
_, dw, db = loss_and_gradients(w, b, x, labels, SoftmaxCrossEntropy())
layer, loss = Linear(D, K).train(), SoftmaxCrossEntropy()
layer.w.value, layer.b.value = w.copy(), b.copy()
loss.forward(layer.forward(x), labels)
layer.backward(loss.backward())
print(f"\nby hand against minicnn's layer: dW differs by {abs(dw - layer.w.grad).max():.0e} of {abs(dw).max():.2g}")

# %% [markdown]
# Read $dW = dS^T X$ once more, for a single picture: the template of each class changes by a multiple of *the picture
# itself*. A step against the gradient adds the picture to the template of its own class, and subtracts it from those that
# score too high. Learning here is nothing but adding up pictures.
#
# The first step from zero can be written out. All $p_k$ are $1/K$, so $-dW_k = \frac1N \sum_n ([k = t_n] - \frac1K)\, x_n$. The
# centred pictures sum to 0, so the part with $\frac1K$ vanishes, and what is left is the sum of the class's own pictures.

# %%
means = np.stack([x[labels == k].mean(axis=0) for k in range(K)])
first_step = -dw
likeness = np.array([np.corrcoef(a, m)[0, 1] for a, m in zip(first_step, means, strict=True)])
print(f"templates after one step, against the mean picture of their class: correlation at least {likeness.min():.4f}")
claim(
    "After one step from zero, each template is the centred mean picture of its class, times a number.",
    f"correlation at least {likeness.min():.4f}",
    likeness.min() > 0.99,
)


def draw_templates(axes, templates, names=None):
    """Each in a row of axes, red where positive and blue where negative, on a scale of its own."""
    for k, (ax, template) in enumerate(zip(axes, templates, strict=True)):
        limit = np.abs(template).max()
        ax.imshow(template.reshape(28, 28), cmap="RdBu_r", vmin=-limit, vmax=limit)
        if names:
            ax.set_title(names[k], fontsize=8)


figure, axes = picture_grid(2, K, 0.95)
for k, ax in enumerate(axes[0]):
    ax.imshow(pictures[labels == k][0])
    ax.set_title(classes[k], fontsize=8)
draw_templates(axes[1], first_step)
figure.suptitle("A picture of each class, and its template after a single step (red for, blue against)", y=1.1)
save(figure, HERE, "first_step")

# %% [markdown]
# ## 4. L2 regularisation
#
# The data do not settle the weights: many give the same scores. For $x = (1, 1, 1, 1)$ both $w = (1, 0, 0, 0)$ and
# $w = (\frac14, \frac14, \frac14, \frac14)$ give the score 1. Which would you trust, if one of the four numbers might be wrong?
# **L2 regularisation** (or weight decay) says: the second. It adds a penalty to the loss, which prefers many small weights to
# few large ones:
#
# $$L = \frac1N\sum_n L_n + \frac{\lambda}{2} \sum_{k,d} w_{kd}^2, \qquad
# \frac{\partial}{\partial w}\,\frac{\lambda}{2} w^2 = \lambda w .$$
#
# Two conventions meet here. The lecture's slides write $\lambda \sum w^2$ without the half, so that the gradient is
# $2 \lambda w$, and their $\lambda$ is half of ours. And the bias is left alone: it multiplies no pixel, and a class that comes
# up more often than others needs a higher score for every picture.

# %%
section("4. L2 regularisation")
ones = np.ones(4)
for candidate in (np.array([1.0, 0, 0, 0]), np.full(4, 0.25)):
    print(f"w = {candidate}: score {candidate @ ones:g}, penalty (lambda = 1) {(candidate**2).sum() / 2:g}")

# %% [markdown]
# ## 5. Gradient descent, by hand
#
# The gradient points to where the loss grows fastest. So take a small step the other way, and again:
#
# $$w \leftarrow w - \eta\, \frac{\partial L}{\partial w}, \qquad b \leftarrow b - \eta\, \frac{\partial L}{\partial b},$$
#
# with the **learning rate** $\eta$.
#
# > **A correction.** The code on the lecture's slides reads `x += learning_rate * dx`. That climbs. (The formula beside it has
# > the minus.) We try both.

# %%
section("5. Gradient descent by hand")
few = 300 if QUICK else 1000
few_x, few_labels, steps = x[:few], labels[:few], 40 if QUICK else 100


def descend(x, y, learning_rate, steps, sign=-1, strength=0.0):
    """The losses of so many steps with all pictures at once, from zero; the weights and the bias at the end."""
    w, b = np.zeros((K, x.shape[1]), x.dtype), np.zeros(K, x.dtype)
    losses = []
    for _ in range(steps):
        value, dw, db = loss_and_gradients(w, b, x, y, SoftmaxCrossEntropy(), strength)
        w, b = w + np.float32(sign * learning_rate) * dw, b + np.float32(sign * learning_rate) * db
        losses.append(value)
    return np.array(losses), w, b


runs = {
    "subtracted, rate 0.001": descend(few_x, few_labels, 0.001, steps)[0],
    "subtracted, rate 0.05": descend(few_x, few_labels, 0.05, steps)[0],
    "subtracted, rate 3": descend(few_x, few_labels, 3.0, steps)[0],
    "added, rate 0.001, as on the slides": descend(few_x, few_labels, 0.001, steps, sign=+1)[0],
}
figure, ax = plt.subplots(figsize=(6.2, 3.6))
for (title, losses), color in zip(runs.items(), (BLUE, GREEN, GREY, ORANGE), strict=True):
    print(f"{title:<36} loss {losses[0]:.3f} at first, {losses[1]:.3f} after one step, {losses[-1]:.3g} after {steps - 1}")
    ax.semilogy(losses, color=color, label=title)
ax.set(xlabel="step", ylabel="loss", title=f"Gradient descent on {few} pictures, from weights of zero")
ax.legend(fontsize=8)
save(figure, HERE, "descent")
down, up = runs["subtracted, rate 0.001"], runs["added, rate 0.001, as on the slides"]
claim(
    "A step against the gradient lowers the loss, and one along it, as in the slides' code, raises it.",
    f"from {down[0]:.3f} to {down[1]:.3f}, and to {up[1]:.3f}",
    down[1] < down[0] < up[1],
)

optimizer = SGD(layer.parameters(), 0.001, weight_decay=0.1)
for _ in range(20):
    loss.forward(layer.forward(few_x), few_labels)
    layer.backward(loss.backward())
    optimizer.step()
_, w, b = descend(few_x, few_labels, 0.001, 20, strength=0.1)
print(f"20 steps with L2, by hand and by minicnn's SGD: weights differ by {abs(w - layer.w.value).max():.0e}")

# %% [markdown]
# A rate that is too low wastes time, and one that is too high jumps over the valley and does not come to rest. How high is too
# high? That depends on how strongly the loss is curved, and this is where preprocessing comes in.
#
# ## 6. Zero mean and unit variance: why
#
# The lecture says that after normalisation the loss is *less sensitive to small changes of the weights*. First as a picture.
# Two clouds of points lie far from the origin; a line separates them. We change each of its numbers ($w_0$, $w_1$, $b$) by a
# few per cent. Far from the origin a small turn of the line moves it a long way; and the bias, which has to carry the line out
# there, is large, so that a few per cent of it are much. Then the *same* classifier for the same points, standardised:
# $w \cdot x + b$ with $x = \mu + \sigma z$ is $(\sigma w) \cdot z + (b + w \cdot \mu)$.

# %%
section("6. Why zero mean and unit variance")
cloud_labels = np.repeat([0, 1], 60)
clouds = np.array([[14.0, 14.0], [16.0, 16.0]])[cloud_labels] + 0.5 * rng.standard_normal((120, 2))
standardize = Standardization().fit(clouds)
line = LinearSVM(0.01).fit(clouds, cloud_labels)
w_raw, b_raw = line.coef_[0], line.intercept_[0]
frames = {
    "raw points": (clouds, w_raw, b_raw),
    "standardised points": (standardize(clouds), w_raw * standardize.std, b_raw + w_raw @ standardize.mean),
}
figure, axes = plt.subplots(1, 2, figsize=(8.6, 4))
mistakes = {}
for ax, (title, (points, w, b)) in zip(axes, frames.items(), strict=True):
    changed_by = np.random.default_rng(3).normal(1, 0.05, (1000, 3))  # the same factors for both
    changed = changed_by * [*w, b]
    wrong = ((points @ changed[:, :2].T + changed[:, 2] > 0) != (cloud_labels[:, None] == 1)).mean()
    mistakes[title] = wrong
    print(f"{title + ':':<21} w {w.round(2)}, b {b:6.2f}; weights changed by 5 %: {wrong:.1%} of the points on the wrong side")
    for k, color in enumerate((BLUE, ORANGE)):
        ax.plot(*points[cloud_labels == k].T, "o", color=color, markersize=3)
    low, high = min(-1, points.min() - 1), points.max() + 1
    across = np.array([low, high])
    for u, v, c in changed[:25]:
        (changed_line,) = ax.plot(across, -(u * across + c) / v, color=GREY, lw=0.6)
    (line_itself,) = ax.plot(across, -(w[0] * across + b) / w[1], color=INK)
    (origin,) = ax.plot(0, 0, "+", color=INK, markersize=12, ls="none")
    ax.set(xlim=(low, high), ylim=(low, high), aspect="equal", title=f"{title}: {wrong:.0%} on the wrong side")
    ax.set(xlabel="$x_0$" if title == "raw points" else "$z_0$", ylabel="$x_1$" if title == "raw points" else "$z_1$")
axes[0].legend([line_itself, changed_line, origin], ["the line", "changed by 5 %", "origin"], loc="center left", fontsize=8)
figure.suptitle("The same classifier, and the same changes of its weights by 5 %", y=1.0)
save(figure, HERE, "sensitivity")
claim(
    "The same small changes of the weights cost more mistakes on points far from the origin than on standardised ones.",
    f"{mistakes['raw points']:.1%} against {mistakes['standardised points']:.1%}",
    mistakes["raw points"] > mistakes["standardised points"] + 0.05,
)

# %% [markdown]
# Now pictures. In the direction $v$ the curvature of the softmax loss is the mean of $(x \cdot v)^2$ over the pictures, times a
# factor that depends on the $p_k$: $1/K$ at the start, less once the answers are sure. The mean itself is largest along the
# first eigenvector of $\frac1N X^T X$; its value there is the largest eigenvalue, $c$. Gradient descent does not settle at a
# rate above two over the curvature, here about $2K/c$: the steepest direction limits the step in all of them. If the pixels
# have a mean far from 0, that direction is nearly the mean picture, along which all pictures are large and alike, and which
# *says little about their class*.
#
# Dividing all pixels by 255 changes nothing about this: only the unit in which the rate is measured (and the pace at which the
# bias learns). So we compare at the best of seven rates for each, from $1/c$ to $64/c$.

# %%
flat = pictures[:few].reshape(few, D)
inputs = {
    "raw pixels, 0 to 255": flat.astype(np.float32),
    "divided by 255, 0 to 1": flat.astype(np.float32) / 255,
    "zero mean, unit variance": few_x,
    "the same, each pixel its own variance": Standardization().fit(flat)(flat),
}
reached = {}
figure, (left, right_ax) = plt.subplots(1, 2, figsize=(9.4, 3.6))
for (title, data), color in zip(inputs.items(), (ORANGE, GREY, BLUE, GREEN), strict=True):
    curvatures = np.linalg.eigvalsh((data.T @ data / few).astype(np.float64))[::-1]
    rates = 2.0 ** np.arange(7) / curvatures[0]
    trials = [descend(data, few_labels, r, 31)[0] for r in tqdm(rates, desc=title, delay=2, leave=False)]
    i = int(np.argmin([losses[-1] for losses in trials]))
    best, rate = trials[i], rates[i]
    reached[title] = best[-1]
    share = curvatures[0] / curvatures.sum()
    print(f"{title + ':':<39} {share:5.1%} of all curvature in one direction; ", end="")
    print(f"best rate {rate:.1e} = {rate * curvatures[0]:g} / c, loss after 30 steps {best[-1]:.3f}")
    left.plot(best, color=color, label=title, ls="--" if color == GREY else "-")
    right_ax.loglog(np.arange(1, 101), curvatures[:100] / curvatures.sum(), color=color, ls="--" if color == GREY else "-")
left.set(xlabel="step", ylabel="loss", title="Each at the best of seven learning rates")
left.legend(fontsize=8)
right_ax.set(xlabel="direction, the steepest first", ylabel="share of all curvature", title="How unequal the directions are")
figure.tight_layout()
save(figure, HERE, "preprocessing")
claim(
    "With the best of seven learning rates for each, standardised pixels reach a lower loss than raw ones in as many steps.",
    f"{reached['zero mean, unit variance']:.3f} against {reached['raw pixels, 0 to 255']:.3f}",
    reached["zero mean, unit variance"] < reached["raw pixels, 0 to 255"],
)

# %% [markdown]
# The textbook formula, and the exercise, give each pixel a standard deviation of its own. On the training pictures that does
# well, but it can be too much: a pixel at the edge that is lit once in a thousand pictures is divided by next to nothing, and
# then shouts. For pictures one usually subtracts the mean picture and divides by *one* number for all pixels (or one for each
# channel).
#
# ## 7. What the templates look like
#
# Now properly: all training pictures, in small batches in a new order each time (stochastic gradient descent, with momentum,
# which lesson 7 explains), with both losses, and for softmax with and without L2. The rate is set in proportion to $1/D$: $D$
# pixels have a variance of 1 on average, so the curvature grows with their number.

# %%
section("7. Templates")
epochs = 20


def train(model, loss, x, y, *, epochs=epochs, learning_rate=None, weight_decay=0.01, label="training"):
    """By SGD with momentum, in batches of 100, with a rate that falls to 0. The model is trained and returned."""
    optimizer = SGD(model.parameters(), learning_rate or 8 / x.shape[1], momentum=0.9, weight_decay=weight_decay)
    Trainer(model, loss, optimizer, epochs=epochs, batch_size=100, schedule=decay(), label=label).fit(x, y)
    return model


def from_zero(inputs, outputs):
    layer = Linear(inputs, outputs)
    layer.w.value[...] = 0
    return layer


def accuracy(model, x, y):
    return float(np.mean(model.eval().forward(x).argmax(axis=1) == y))


def roughness(w):
    """Squared differences of neighbouring weights, beside the squared weights: 4 for noise, near 0 for smooth templates."""
    maps = w.reshape(-1, 28, 28)
    return float(((np.diff(maps, axis=1) ** 2).sum() + (np.diff(maps, axis=2) ** 2).sum()) / (maps**2).sum())


settings = {
    "softmax, no L2": (SoftmaxCrossEntropy(), 0.0),
    "softmax, lambda 0.1": (SoftmaxCrossEntropy(), 0.1),
    "SVM, lambda 0.1": (SVMHinge(), 0.1),
}
trained = {}
for title, (loss, strength) in settings.items():
    trained[title] = train(from_zero(D, K), loss, x, labels, weight_decay=strength, label=title)
    of_training, of_test = accuracy(trained[title], x, labels), accuracy(trained[title], test_x, test_labels)
    print(f"{title:<20} right: {of_training:.1%} of the training pictures, {of_test:.1%} of the test pictures; ", end="")
    print(f"roughness of the templates {roughness(trained[title].w.value):.2f}")

figure, axes = picture_grid(3, K, 0.95)
for row, (title, model) in zip(axes, trained.items(), strict=True):
    draw_templates(row, model.w.value, classes if title == "softmax, no L2" else None)
    row[0].text(-0.1, 0.5, title, ha="right", va="center", transform=row[0].transAxes, fontsize=9)
figure.suptitle("Templates (red for, blue against)", y=1.02)
save(figure, HERE, "templates")
rough, smooth = (roughness(trained[title].w.value) for title in ("softmax, no L2", "softmax, lambda 0.1"))
claim("L2 regularisation makes the templates smoother.", f"roughness {smooth:.2f} against {rough:.2f}", smooth < rough)
by_softmax, by_svm = (accuracy(trained[t], test_x, test_labels) for t in ("softmax, lambda 0.1", "SVM, lambda 0.1"))
claim(
    "SVM and softmax come within three points of each other on pictures that they have not seen.",
    f"{by_svm:.1%} and {by_softmax:.1%}",
    abs(by_svm - by_softmax) < 0.03,
)

answers = trained["softmax, lambda 0.1"].forward(test_x).argmax(axis=1)
confusion = np.zeros((K, K), int)
np.add.at(confusion, (test_labels, answers), 1)
np.fill_diagonal(confusion, 0)
worst = np.unravel_index((confusion + confusion.T).argmax(), confusion.shape)
print(f"most often taken for each other: {classes[worst[0]]} and {classes[worst[1]]}")

# %% [markdown]
# With L2 the gap between training and test pictures is narrower. That does not mean more test pictures right: compare the
# printed lines. The same $\lambda$ weighs less beside the SVM's loss, whose gradients are larger. Its templates are rougher.
#
# A class has *one* template. If its members look different, the template must be a compromise of all. CIFAR-10 has small
# colour pictures of ten things seen from all sides, in all colours, before all kinds of backgrounds. If you have it, look for
# the horse: some horses look to the left and others to the right, so the template is nearly its own mirror image. And airplane
# and ship are mostly blue: the background is evidence like any other.

# %%
archive = find_data("cifar-10-binary.tar.gz") or find_data("cifar10-jpeg.zip")
if archive:
    colour, colour_labels, colour_test, colour_test_labels = load_cifar10(archive)
    chosen, tested = rng.permutation(len(colour))[: 2000 if QUICK else 10000], rng.permutation(len(colour_test))[:2000]
    colour, colour_labels = colour[chosen].reshape(-1, 3072), colour_labels[chosen]
    colour_test, colour_test_labels = colour_test[tested].reshape(-1, 3072), colour_test_labels[tested]
    colour_centre = Standardization(unit_variance=False).fit(colour)
    colour_x = colour_centre(colour)
    colour_spread = colour_x.std()
    colour_x /= colour_spread
    colour_model = train(
        from_zero(3072, 10), SoftmaxCrossEntropy(), colour_x, colour_labels,
        epochs=3 if QUICK else 10, weight_decay=1.0, label="CIFAR-10",
    )  # fmt: skip
    of_test = accuracy(colour_model, colour_centre(colour_test) / colour_spread, colour_test_labels)
    print(f"CIFAR-10: {of_test:.1%} of {len(tested)} test pictures right (guessing: 10 %)")
    figure, axes = picture_grid(1, 10, 0.95)
    for ax, template, name in zip(axes[0], colour_model.w.value, CIFAR10_CLASSES, strict=True):
        ax.imshow((0.5 + template / (2 * np.abs(template).max())).reshape(3, 32, 32).transpose(1, 2, 0))
        ax.set_title(name, fontsize=8)
    figure.suptitle("Templates of CIFAR-10, in colour (mid-grey is 0)", y=1.25)
    save(figure, HERE, "templates_cifar10")
else:
    print("there is no CIFAR-10 here: no templates in colour")

# %% [markdown]
# ## 8. Two classes, one output; and values
#
# **Binary logistic loss.** For two classes one score is enough. The **sigmoid** makes a probability of it, that of class 1,
# and the loss is its cross-entropy with a target $t$ of 0 or 1:
#
# $$p = \sigma(s) = \frac{1}{1 + e^{-s}}, \qquad L_n = -t \log p - (1 - t) \log(1 - p), \qquad
# \frac{\partial L_n}{\partial s} = p - t .$$
#
# It is softmax in disguise: for two scores, $p_1 = e^{s_1} / (e^{s_0} + e^{s_1}) = \sigma(s_1 - s_0)$. Only the difference
# matters. When softmax moves $s_1$ up, it moves $s_0$ down as much, so the difference learns at twice the rate. We take
# two classes that look alike, and train both ways.

# %%
section("8. One output, and values")
pair = (2, 4) if is_fashion else (4, 9)
of_pair = np.isin(labels[:4000], pair)
pair_x, pair_labels = x[:4000][of_pair].astype(np.float64), (labels[:4000][of_pair] == pair[1]).astype(np.int64)
heads = {"softmax, two outputs": (2, SoftmaxCrossEntropy(), 0.002), "sigmoid, one output": (1, BinaryLogistic(), 0.004)}
probabilities = {}
for title, (outputs, loss, learning_rate) in heads.items():
    layer = from_zero(D, outputs).astype(np.float64).train()
    optimizer = SGD(layer.parameters(), learning_rate)
    for _ in range(100):
        value = loss.forward(layer.forward(pair_x), pair_labels)
        layer.backward(loss.backward())
        optimizer.step()
    s = layer.forward(pair_x)
    s = np.concatenate([np.zeros_like(s), s], axis=1) if outputs == 1 else s  # a sigmoid: the other class scores 0
    probabilities[title] = softmax(s)[:, 1]
    print(f"{title}: loss {value:.4f}, {np.mean((probabilities[title] > 0.5) == pair_labels):.1%} right", end="")
    print(f" ({classes[pair[0]]} or {classes[pair[1]]}, {len(pair_labels)} training pictures, rate {learning_rate})")
difference = np.abs(np.subtract(*probabilities.values())).max()
print(f"their probabilities differ by at most {difference:.0e}")
claim(
    "One sigmoid output, trained at twice the rate, gives the same probabilities as a softmax over two classes.",
    f"largest difference {difference:.0e}",
    difference < 1e-9,
)

# %% [markdown]
# **Mean squared error.** Where a number is wanted (an age, an angle), the loss is the squared distance,
#
# $$L_n = \sum_k (s_k - t_k)^2, \qquad \frac{\partial L_n}{\partial s_k} = 2 (s_k - t_k) .$$
#
# As a loss for classes, with a target of 1 for the right one and 0 for the others, it has two faults. It punishes a score for
# being *too* right: 3 costs as much as -1. And behind a sigmoid, with the loss $(p - t)^2$, the chain rule brings the
# sigmoid's slope in: $2 (p - t)\, p (1 - p)$. Where the answer is certain and wrong, that slope is nearly 0, and the picture
# that has most to teach teaches nothing. With the logistic loss just this factor cancels.

# %%
s = np.linspace(-8, 8, 400)
p = 1 / (1 + np.exp(-s))
figure, (left, right_ax) = plt.subplots(1, 2, figsize=(9.4, 3.5))
curves = {
    "logistic": (np.logaddexp(0, -s), p - 1, ORANGE),
    "squared error of the sigmoid": ((p - 1) ** 2, 2 * (p - 1) * p * (1 - p), GREEN),
    "squared error of the score": ((s - 1) ** 2, 2 * (s - 1), GREY),
    "hinge": (np.maximum(0, 1 - s), -(s < 1).astype(float), BLUE),
}
for title, (values, slopes, color) in curves.items():
    left.plot(s, values, color=color)
    right_ax.plot(s, slopes, color=color, label=title)
left.set(ylim=(-0.2, 8), xlabel="score", ylabel="loss", title="Class 1 is right: what a score costs")
right_ax.set(ylim=(-2.2, 1.6), xlabel="score", ylabel="slope of the loss", title="How hard it pushes")
right_ax.legend(fontsize=8, loc="upper left")
figure.tight_layout()
save(figure, HERE, "four_losses")
slope_of_square, slope_of_logistic = curves["squared error of the sigmoid"][1][0], curves["logistic"][1][0]
print(f"at a score of {s[0]:g}, class 1 being right: slope {slope_of_square:.1e} of the squared sigmoid, ", end="")
print(f"{slope_of_logistic:.4f} of the logistic loss")
claim(
    "Where a sigmoid is certain and wrong, its squared error has hardly any gradient, and the logistic loss its largest.",
    f"{slope_of_square:.1e} and {slope_of_logistic:.4f} at a score of {s[0]:g}",
    abs(slope_of_square) < 0.01 < 0.99 < abs(slope_of_logistic),
)
one_hot = np.eye(K, dtype=np.float32)[labels]
squared = train(from_zero(D, K), MeanSquaredError(), x, one_hot, learning_rate=2 / D, label="squared error")
print(f"squared error for {K} classes: {accuracy(squared, test_x, test_labels):.1%} of the test pictures right; ", end="")
print(f"softmax {by_softmax:.1%}")

# %% [markdown]
# ## 9. What a linear classifier cannot do
#
# **XOR.** Four points, at the corners of a square; those on a diagonal belong together. No line has one pair on one side and
# the other pair on the other. (If the corners $(0,0)$ and $(1,1)$ score above 0, so does their mean, the centre of the
# square. But that is the mean of the other two as well, and if both score below 0, so does the centre.)

# %%
section("9. What it cannot do")
corners, corner_labels = np.array([[0, 0], [1, 1], [0, 1], [1, 0]], float), np.array([1, 1, 0, 0])
lines = rng.standard_normal((20000, 3))
of_lines = (((corners @ lines[:, :2].T + lines[:, 2]) > 0) == corner_labels[:, None]).sum(axis=0)
print(f"XOR: of {len(lines)} random lines the best has {of_lines.max()} of 4 points right")
claim("No line gets more than three of the four points of XOR right.", f"{of_lines.max()} of 4", of_lines.max() == 3)

# %% [markdown]
# That is no curiosity. Take our pictures, and turn half of them into negatives: white on black, black on white. For you it is
# the same task. For a linear classifier it is XOR in 784 dimensions: what speaks for a class in one half of the pictures
# speaks against it in the other half. We train one, and beside it a network with one more layer and a bend (ReLU) between the
# two, which lesson 2 explains. Then we move the test pictures a few pixels to the right. The templates stay where they are.

# %%


def half_negative(pictures, seed):
    negative = np.random.default_rng(seed).random(len(pictures)) < 0.5
    return np.where(negative[:, None, None], 255 - pictures, pictures)


def grey_level(pictures):
    """Half-way between black and white is 0, so that a negative is minus the picture; about unit variance."""
    return (pictures.reshape(len(pictures), D).astype(np.float32) - 127.5) / 100


mixed, mixed_test = half_negative(pictures, 4), half_negative(test_pictures, 5)
hidden = 100
results = {}
for name, make in {
    "linear": lambda: from_zero(D, K),
    "one hidden layer": lambda: Sequential(hidden=Linear(D, hidden, rng=6), relu=ReLU(), scores=Linear(hidden, K, rng=7)),
}.items():
    for kind, (train_on, test_on) in {"as they are": (pictures, test_pictures), "half negative": (mixed, mixed_test)}.items():
        model = train(
            make(), SoftmaxCrossEntropy(), grey_level(train_on), labels,
            epochs=5 if QUICK else 12, learning_rate=0.01, label=f"{name}, {kind}",
        )  # fmt: skip
        results[name, kind] = accuracy(model, grey_level(test_on), test_labels)
    lost = results[name, "as they are"] - results[name, "half negative"]
    print(f"{name:<17} {results[name, 'as they are']:.1%} of the pictures as they are, ", end="")
    print(f"{results[name, 'half negative']:.1%} with half of them negative: {100 * lost:.0f} points lost")
linear_loss, hidden_loss = (results[n, "as they are"] - results[n, "half negative"] for n in ("linear", "one hidden layer"))
claim(
    "With half of the pictures negative, a linear classifier loses over twice as much as a network with a hidden layer.",
    f"{100 * linear_loss:.0f} against {100 * hidden_loss:.0f} points",
    linear_loss > 2 * hidden_loss and linear_loss > 0.1,
)

steps_right = {by: prepare(np.roll(test_pictures, by, axis=2)) for by in (0, 2, 4)}
moved = {by: accuracy(trained["softmax, lambda 0.1"], rows, test_labels) for by, rows in steps_right.items()}
print(f"moved to the right by {list(moved)} pixels: {', '.join(f'{right:.1%}' for right in moved.values())} right")

figure, axes = plt.subplots(1, 2, figsize=(8.6, 3.3))
axes[0].plot(*corners[:2].T, "o", color=BLUE, markersize=12)
axes[0].plot(*corners[2:].T, "s", color=ORANGE, markersize=12)
axes[0].plot([-0.3, 1.3], [0.9, -0.7], color=GREY)
axes[0].plot([-0.3, 1.3], [1.7, 0.1], color=GREY)
axes[0].set(xlim=(-0.4, 1.4), ylim=(-0.4, 1.4), aspect="equal", xlabel="$x_0$", ylabel="$x_1$")
axes[0].set_title("XOR: one line is not enough, two are")
places = np.arange(2)
for i, (name, color) in enumerate((("linear", BLUE), ("one hidden layer", ORANGE))):
    heights = [results[name, kind] for kind in ("as they are", "half negative")]
    axes[1].bar(places + 0.36 * i - 0.18, heights, 0.34, color=color, label=name)
axes[1].set(
    xticks=places, xticklabels=["as they are", "half negative"], yticks=[0, 0.5, 1], ylabel="test accuracy", ylim=(0, 1.25)
)
axes[1].legend(ncols=2, loc="upper center", fontsize=8)
axes[1].set_title("Half of the pictures turned into negatives")
save(figure, HERE, "limits")

# %% [markdown]
# A linear classifier has one template for each class, fixed to its place: no "this *or* that", no "anywhere". Two lines and a
# rule for combining them solve XOR, and that is a hidden layer. A template that is small and moves over the picture is a
# convolution. Both need gradients through more than one layer: lesson 2. To see a hidden layer do it,
# `minicnn explore --live boundary` makes a page in which a two-layer network learns XOR, and points that you add.
#
# ## What this lesson claims
#
# - Untrained, the SVM loss starts near K - 1, and the softmax loss near log K.
# - After one step from zero, each template is the centred mean picture of its class, times a number.
# - A step against the gradient lowers the loss, and one along it, as in the slides' code, raises it.
# - The same small changes of the weights cost more mistakes on points far from the origin than on standardised ones.
# - With the best of seven learning rates for each, standardised pixels reach a lower loss than raw ones in as many steps.
# - L2 regularisation makes the templates smoother.
# - SVM and softmax come within three points of each other on pictures that they have not seen.
# - One sigmoid output, trained at twice the rate, gives the same probabilities as a softmax over two classes.
# - Where a sigmoid is certain and wrong, its squared error has hardly any gradient, and the logistic loss its largest.
# - No line gets more than three of the four points of XOR right.
# - With half of the pictures negative, a linear classifier loses over twice as much as a network with a hidden layer.

# %%
print_claims()

# %% [markdown]
# ## Questions
#
# **1.** All pictures of the training set are classified rightly, every margin is kept, and the SVM loss is 0. Somebody
# multiplies all weights and biases by 2. What happens to the SVM loss, to the softmax loss, and to the answers? Which of the
# two settings does L2 prefer?
#
# <details><summary>Answer</summary>
#
# All scores double, and all leads with them. The answers stay the same, and so does the SVM loss: every margin is kept by more
# than before. The softmax loss becomes smaller, because the probabilities of the right classes rise towards 1; it never is 0.
# L2 prefers the smaller weights. Without it softmax would let them grow for ever on such data, and the SVM would not care.
#
# </details>
#
# **2.** Your training prints a softmax loss of 6.9 in its first step, with 10 classes. What is wrong?
#
# <details><summary>Answer</summary>
#
# Somebody who knows nothing pays $\log 10 \approx 2.3$. A loss of 6.9 is that of an answer given with certainty, and mostly
# wrong: the scores are large although nothing has been learned. Either the first weights are too large, or the pixels are
# (0 to 255 instead of unit variance). Or there are 1000 outputs where you believe in 10: $\log 1000 \approx 6.9$.
#
# </details>
#
# **3.** Why must test pictures be standardised with the mean and standard deviation of the *training* pictures? What could go
# wrong with their own?
#
# <details><summary>Answer</summary>
#
# The classifier is a function of pixels, and preprocessing is part of this function. With other numbers it is another
# function: the same picture would get other scores in the test than in training, and other ones depending on which pictures
# come with it. In the extreme, a test set of a single picture has that picture for its mean, and every pixel becomes 0.
# Besides, numbers measured on test pictures are knowledge about them, which an honest test must not use.
#
# </details>
#
# ## Further reading
#
# - CS231n notes, "Linear Classification" (the two losses, templates) and "Neural Networks Part 2" (section "Data
#   Preprocessing").
# - Weston, Watkins 1999, "Support Vector Machines for Multi-Class Pattern Recognition": the hinge loss used here.
#   Crammer, Singer 2001, "On the Algorithmic Implementation of Multiclass Kernel-based Vector Machines": the other one, in
#   which only the largest violation counts.
# - Bishop 2006, "Pattern Recognition and Machine Learning", sections 4.3.2 (logistic regression) and 4.3.4 (softmax), and
#   4.1.3 on why least squares is a poor loss for classes.
# - LeCun, Bottou, Orr, Müller 1998, "Efficient BackProp", sections 4.3 (normalising the inputs) and 5 (what the eigenvalues
#   have to do with the learning rate).
# - Minsky, Papert 1969, "Perceptrons": what a single layer cannot compute, with proofs.
#
# ## Next
#
# The exercise: fill in `exercise.py`, and run `minicnn check 1` as often as you like; it says what is wrong, and
# `minicnn check 1 --task 2 --hint` gives a hint. Then lesson 2, backpropagation: how the gradient gets through more than one
# layer, and how to prove that it is right.
