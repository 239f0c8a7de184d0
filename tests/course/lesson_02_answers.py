"""Answers to the tasks of lesson 2: wrong ones as people write them, and right ones written differently from the solution.

``WRONG[task]`` lists (what it does, the functions that take the place of the solution's, the title of the slip that it is, or
None); ``RIGHT[task]`` lists (how it is written, functions).
"""

import math

import numpy as np

from minicnn.course import find_lesson
from minicnn.gradcheck import check_function
from minicnn.kernels import textbook
from minicnn.layers import ReLU
from minicnn.losses import SoftmaxCrossEntropy

solution = find_lesson("2").solution
WRONG, RIGHT = {}, {}

# ---- the fully connected layer


def linear_loops(x, w, b):
    y = np.zeros((len(x), len(w)))
    for n in range(len(x)):
        for m in range(len(w)):
            y[n, m] = b[m] + sum(x[n, d] * w[m, d] for d in range(x.shape[1]))
    return y


def linear_backward_by(change):
    return {"linear_backward": lambda dy, x, w: change(*solution.linear_backward(dy, x, w), dy, x, w)}


class LinearThatRemembers:
    """A layer's habit: backward uses what the last forward pass kept."""

    def forward(self, x, w, b):
        self.x = x.copy()
        return solution.linear_forward(x, w, b)

    def backward(self, dy, x, w):
        return solution.linear_backward(dy, self.x, w)


def into_one_array(function):
    """The results of equal shape all in the same array."""
    kept = {}

    def call(*arguments):
        result = function(*arguments)
        kept.setdefault(result.shape, np.empty_like(result))[...] = result
        return kept[result.shape]

    return call


remembers = LinearThatRemembers()


def averaged_in_a_loop(dy, x, w):
    dw, db = np.zeros(w.shape), np.zeros(len(w))
    for row, g in zip(x, dy, strict=True):
        dw += np.outer(g, row) / len(x)
        db += g / len(x)
    return dy @ w, dw, db


WRONG[1] = [
    (
        "x of the last forward pass",
        {"linear_forward": remembers.forward, "linear_backward": remembers.backward},
        "Something that another call kept is used",
    ),
    (
        "y always the same array",
        {"linear_forward": into_one_array(solution.linear_forward)},
        "An array is kept from call to call",
    ),
    ("always four samples", {"linear_forward": lambda x, w, b: np.stack([w @ x[n] + b for n in range(4)])}, None),
    ("whole numbers", {"linear_forward": lambda x, w, b: (x @ w.T + b).astype(int)}, "y is cut to whole numbers"),
    ("bias forgotten", {"linear_forward": lambda x, w, b: x @ w.T}, "the bias is forgotten"),
    ("bias subtracted", {"linear_forward": lambda x, w, b: x @ w.T - b}, "the bias is subtracted"),
    (
        "bias of the first output only",
        {"linear_forward": lambda x, w, b: x @ w.T + b[0]},
        "the bias of the first output is added to all",
    ),
    ("axes of length 1 lost", {"linear_forward": lambda x, w, b: np.squeeze(x @ w.T + b)}, "axes of length 1 are lost from y"),
    ("dw transposed", linear_backward_by(lambda dx, dw, db, dy, x, w: (dx, dw.T, db)), "dw is transposed"),
    (
        "dw a mean over the batch",
        linear_backward_by(lambda dx, dw, db, dy, x, w: (dx, dw / len(x), db)),
        "dw is a mean over the batch",
    ),
    (
        "dw of the last sample",
        linear_backward_by(lambda dx, dw, db, dy, x, w: (dx, np.outer(dy[-1], x[-1]), db)),
        "dw has the share of the last sample only",
    ),
    (
        "db a mean over the batch",
        linear_backward_by(lambda dx, dw, db, dy, x, w: (dx, dw, dy.mean(axis=0))),
        "db is a mean over the batch",
    ),
    (
        "db with an axis too many",
        linear_backward_by(lambda dx, dw, db, dy, x, w: (dx, dw, dy.sum(axis=0, keepdims=True))),
        "db keeps the axis of the samples",
    ),
    ("db one number", linear_backward_by(lambda dx, dw, db, dy, x, w: (dx, dw, dy.sum())), "db is a single number"),
    (
        "gradients' axes of length 1 lost",
        linear_backward_by(lambda dx, dw, db, dy, x, w: (dx.squeeze(), dw.squeeze(), db)),
        "axes of length 1 are lost from the gradients",
    ),
    ("db missing", linear_backward_by(lambda dx, dw, db, dy, x, w: (dx, dw)), "Not as many results as asked for"),
    (
        "dx of w's signs only",
        linear_backward_by(lambda dx, dw, db, dy, x, w: (dy @ np.sign(w), dw, db)),
        "only the signs of w count in dx",
    ),
    (
        "dy multiplied in place",
        linear_backward_by(lambda dx, dw, db, dy, x, w: (dx, dw, np.add(dy, 1, out=dy).sum(axis=0))),
        "An argument is changed",
    ),
    ("dw and db averaged in a loop", {"linear_backward": averaged_in_a_loop}, "dw and db are means over the batch"),
    (
        "dw before dx",
        {"linear_backward": lambda dy, x, w: (dy.T.dot(x), dy.dot(w), dy.sum(0))},
        "dx and dw have changed places",
    ),
]
RIGHT[1] = [
    ("y a list", {"linear_forward": lambda x, w, b: (x @ w.T + b).tolist()}),
    ("loops", {"linear_forward": linear_loops}),
    (
        "einsum",
        {
            "linear_forward": lambda x, w, b: np.einsum("nd,md->nm", x, w) + b,
            "linear_backward": lambda dy, x, w: (
                np.einsum("nm,md->nd", dy, w),
                np.einsum("nm,nd->md", dy, x),
                np.einsum("nm->m", dy),
            ),
        },
    ),
    (
        "other memory layouts and a list",
        {
            "linear_forward": lambda x, w, b: np.asfortranarray(np.dot(w, x.T).T + b),
            "linear_backward": lambda dy, x, w: [(w.T @ dy.T).T, (x.T @ dy).T, np.ones(len(dy)) @ dy],
        },
    ),
    (
        "a sum over an axis more",
        {
            "linear_forward": lambda x, w, b: (x[:, None, :] * w).sum(axis=2) + b,
            "linear_backward": lambda dy, x, w: (
                (dy[:, :, None] * w).sum(axis=1),
                (dy[:, :, None] * x[:, None, :]).sum(axis=0),
                np.add.reduce(dy),
            ),
        },
    ),
    (
        "bias as one more column",
        {"linear_forward": lambda x, w, b: np.hstack([x, np.ones((len(x), 1))]) @ np.hstack([w, b[:, None]]).T},
    ),
    (
        "sample by sample",
        {
            "linear_backward": lambda dy, x, w: (
                np.stack([w.T @ row for row in dy]),
                sum(np.outer(g, row) for g, row in zip(dy, x, strict=True)),
                sum(dy),
            )
        },
    ),
]

# ---- ReLU


def relu_in_two_loops(x):
    y = np.zeros(x.shape)
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            y[i, j] = max(x[i, j], 0)
    return y


def relu_element_by_element(x):
    y = np.empty_like(x)
    for i in np.ndindex(x.shape):
        y[i] = x[i] if x[i] > 0 else 0
    return y


def masked(dy, x):
    dx = dy.copy()
    dx[x <= 0] = 0
    return dx


def masked_in_place(dy, x):
    dy[x <= 0] = 0
    return dy


WRONG[2] = [
    ("|x|", {"relu_forward": np.abs}, "y is |x|"),
    (
        "x itself if nothing is negative",
        {"relu_forward": lambda x: np.maximum(x, 0) if x.min() < 0 else x},
        "The result is an argument, or a view of it",
    ),
    (
        "dy itself if nothing is negative",
        {"relu_backward": lambda dy, x: np.where(x > 0, dy, 0) if x.min() <= 0 else dy},
        "The result is an argument, or a view of it",
    ),
    ("printed", {"relu_forward": lambda x: print(end="")}, "nothing is returned"),
    (
        "dx always the same array",
        {"relu_backward": into_one_array(solution.relu_backward)},
        "An array is kept from call to call",
    ),
    (
        "three axes at most",
        {"relu_forward": lambda x: np.maximum(x, 0) if x.ndim < 4 else x.copy()},
        "negative numbers stay where there are four axes",
    ),
    ("cut off at 1", {"relu_forward": lambda x: np.clip(x, 0, 1)}, "what is above 1 is cut off"),
    ("cut off at 6", {"relu_forward": lambda x: np.clip(x, 0, 6)}, "this is ReLU6: what is above 6 is cut off"),
    (
        "leaky",
        {"relu_forward": lambda x: np.where(x > 0, x, 0.01 * x)},
        "this is leaky ReLU: negative values are multiplied by 0.01",
    ),
    ("small values lost", {"relu_forward": lambda x: np.where(x > 0.05, x, 0)}, "small positive numbers become 0 as well"),
    ("matrices only", {"relu_forward": relu_in_two_loops}, "two loops serve matrices only"),
    ("flattened", {"relu_forward": lambda x: np.maximum(x, 0).ravel()}, "the result has lost its shape"),
    ("x changed", {"relu_forward": lambda x: np.maximum(x, 0, out=x)}, "An argument is changed"),
    ("nothing returned", {"relu_forward": lambda x: None}, "nothing is returned"),
    ("an error", {"relu_forward": lambda x: x[1000, 1000]}, None),
    ("dx without dy", {"relu_backward": lambda dy, x: (x > 0) * 1.0}, "dx lacks dy"),
    ("dx = dy at x = 0", {"relu_backward": lambda dy, x: np.where(x >= 0, dy, 0)}, "at x = 0 dx is dy"),
    ("dx = dy / 2 at x = 0", {"relu_backward": lambda dy, x: dy * np.heaviside(x, 0.5)}, "dx is dy / 2 at x = 0"),
    ("dx = dy max(x, 0)", {"relu_backward": lambda dy, x: dy * np.maximum(x, 0)}, "dy is multiplied by y"),
    ("sign of x", {"relu_backward": lambda dy, x: dy * np.sign(x)}, "where x is negative dx is -dy"),
    ("where dy > 0", {"relu_backward": lambda dy, x: np.where(dy > 0, dy, 0)}, "the sign of dy decides, and not that of x"),
    (
        "where both are positive",
        {"relu_backward": lambda dy, x: np.where((dy > 0) & (x > 0), dy, 0)},
        "negative gradients are dropped as well",
    ),
    ("dy changed", {"relu_backward": masked_in_place}, "An argument is changed"),
    ("selected, and not set to 0", {"relu_forward": lambda x: x[x > 0]}, "only the positive values come back, in one row"),
    (
        "the wrong way round",
        {"relu_forward": lambda x: np.where(x < 0, x, 0.0)},
        "the negative values are kept, and the positive ones lost",
    ),
]
RIGHT[2] = [
    ("element by element", {"relu_forward": relu_element_by_element}),
    ("times a mask", {"relu_forward": lambda x: x * (x > 0), "relu_backward": lambda dy, x: dy * (x > 0)}),
    ("half of x + |x|", {"relu_forward": lambda x: (x + np.abs(x)) / 2}),
    ("clip, and a masked copy", {"relu_forward": lambda x: np.clip(x, 0, None), "relu_backward": masked}),
    ("minicnn's", {"relu_forward": lambda x: ReLU().forward(x)}),
    ("put into zeros", {"relu_forward": lambda x: np.add(np.zeros_like(x), x, where=x > 0, out=np.zeros_like(x))}),
    ("choose", {"relu_backward": lambda dy, x: np.choose(x > 0, [np.zeros_like(dy), dy])}),
    ("heaviside", {"relu_backward": lambda dy, x: np.heaviside(x, 0) * dy}),
    ("from y", {"relu_backward": lambda dy, x: np.where(solution.relu_forward(x) > 0, dy, 0.0)}),
]

# ---- softmax and cross-entropy


def softmax_loss(shift=lambda s: s.max(axis=1, keepdims=True), log_sum=np.log, off_by=0):
    def softmax_cross_entropy(scores, y):
        samples, y = np.arange(len(y)), y - off_by
        shifted = scores - shift(scores)
        log_p = shifted - log_sum(np.exp(shifted).sum(axis=1, keepdims=True))
        dscores = np.exp(log_p)
        dscores[samples, y] -= 1
        return -log_p[samples, y].mean(), dscores / len(y)

    return {"softmax_cross_entropy": softmax_cross_entropy}


def log_of_p(epsilon):
    def softmax_cross_entropy(scores, y):
        samples = np.arange(len(y))
        e = np.exp(scores - scores.max(axis=1, keepdims=True))
        p = e / e.sum(axis=1, keepdims=True)
        loss = -np.log(p[samples, y] + epsilon).mean()
        p[samples, y] -= 1
        return loss, p / len(y)

    return {"softmax_cross_entropy": softmax_cross_entropy}


def softmax_by(change):
    return {"softmax_cross_entropy": lambda scores, y: change(*solution.softmax_cross_entropy(scores, y), scores, y)}


def all_columns(loss, dscores, scores, y):
    dscores = len(y) * dscores
    dscores[np.arange(len(y)), y] += 1
    dscores[:, y] -= 1
    return loss, dscores / len(y)


def softmax_one_hot(scores, y):
    e = scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)
    one_hot = np.eye(scores.shape[1])[y]
    return np.asarray(-(one_hot * e).sum() / len(y)), (np.exp(e) - one_hot) / len(y)


def softmax_by_jacobian(scores, y):
    """dscores as -1/p at the label, times the whole of softmax's derivatives, with p kept from 0."""
    loss, dscores = solution.softmax_cross_entropy(scores, y)
    for n, row in enumerate(scores):
        p = np.exp(row - row.max())
        p /= p.sum()
        if p[y[n]] > 1e-9:
            dp = np.zeros_like(p)
            dp[y[n]] = -1 / p[y[n]] / len(y)
            dscores[n] = (np.diag(p) - np.outer(p, p)) @ dp
    return loss, dscores


def softmax_loops(scores, y):
    loss, dscores = 0.0, np.zeros_like(scores)
    for n, row in enumerate(scores):
        largest = max(row)
        total = sum(math.exp(s - largest) for s in row)
        loss -= (row[y[n]] - largest - math.log(total)) / len(y)
        for k, s in enumerate(row):
            dscores[n, k] = (math.exp(s - largest) / total - (k == y[n])) / len(y)
    return loss, dscores


def as_many_classes_as(count):
    """One-hot labels with so many columns, and zeros or nothing where the scores have more or fewer."""

    def softmax_cross_entropy(scores, y):
        loss, dscores = solution.softmax_cross_entropy(scores, y)
        one_hot = np.eye(count(scores, y))[y][:, : scores.shape[1]]
        p = len(y) * dscores + np.eye(scores.shape[1])[y]
        return loss, (p - one_hot) / len(y)

    return {"softmax_cross_entropy": softmax_cross_entropy}


def softmax_over_samples(scores, y):
    e = np.exp(scores - scores.max(axis=0))
    p = e / e.sum(axis=0)
    return -np.log(p[np.arange(len(y)), y]).mean(), (p - np.eye(scores.shape[1])[y]) / len(y)


def from_p(shift):
    """Everything by p itself, as it stands in the equations."""

    def softmax_cross_entropy(scores, y):
        e = np.exp(scores - shift(scores))
        p = e / e.sum(axis=1)[:, None]
        return -np.mean(np.log(p[range(len(y)), y])), (p - np.eye(scores.shape[1])[y]) / len(y)

    return {"softmax_cross_entropy": softmax_cross_entropy}


def not_averaged(scores, y):
    _, dscores = solution.softmax_cross_entropy(scores, y)
    return np.array([np.logaddexp.reduce(row) - row[label] for row, label in zip(scores, y, strict=True)]), dscores


WRONG[3] = [
    (
        "as many classes as labels come up",
        as_many_classes_as(lambda scores, y: y.max() + 1),
        "the one-hot labels have too few columns",
    ),
    ("as many classes as samples", as_many_classes_as(lambda scores, y: len(y)), "the one-hot labels have too few columns"),
    (
        "over the samples",
        {"softmax_cross_entropy": softmax_over_samples},
        "the softmax is taken over the samples, and not over the classes",
    ),
    (
        "one sample forgotten",
        softmax_by(lambda loss, d, s, y: (loss, np.vstack([d[:-1], 0 * d[-1:]]))),
        "the gradient of the last sample is 0",
    ),
    ("no shift", softmax_loss(lambda s: 0), "exp() overflows, as too little is subtracted before"),
    (
        "the largest score of all subtracted",
        softmax_loss(np.max),
        "the largest score of all is subtracted, and others' exponentials become 0",
    ),
    ("that, and the logarithm of 0 avoided", softmax_loss(np.max, lambda z: np.log(z + 1e-300)), None),
    (
        "each column's largest score subtracted",
        softmax_loss(lambda s: s.max(axis=0)),
        "each column's largest score is subtracted",
    ),
    (
        "each row's mean subtracted",
        softmax_loss(lambda s: s.mean(axis=1, keepdims=True)),
        "exp() overflows, as too little is subtracted before",
    ),
    (
        "each row's least score subtracted",
        softmax_loss(lambda s: s.min(axis=1, keepdims=True)),
        "exp() overflows, as too little is subtracted before",
    ),
    ("each row's largest |score| subtracted", softmax_loss(lambda s: np.abs(s).max(axis=1, keepdims=True)), None),
    (
        "scores cut off",
        softmax_by(lambda loss, d, s, y: solution.softmax_cross_entropy(np.clip(s, -500, 500), y)),
        "scores are cut off at 500",
    ),
    ("logarithm of p", log_of_p(0), "the logarithm is taken of p, which may be 0"),
    ("logarithm of p + 1e-12", log_of_p(1e-12), "a small number is added to p before the logarithm"),
    ("logarithm to base 2", softmax_by(lambda loss, d, s, y: (loss / np.log(2), d)), "the logarithm is that to base 2"),
    ("labels from 1", softmax_loss(off_by=1), "the labels are counted from 1"),
    ("no minus", softmax_by(lambda loss, d, s, y: (-loss, d)), "the minus sign of the loss is missing"),
    (
        "sums instead of means",
        softmax_by(lambda loss, d, s, y: (loss * len(y), d * len(y))),
        "loss and gradient are sums over the samples, and no means",
    ),
    ("gradient not divided by N", softmax_by(lambda loss, d, s, y: (loss, d * len(y))), "the gradient is not divided by N"),
    (
        "divided by K",
        softmax_by(lambda loss, d, s, y: (loss * len(y) / s.shape[1], d * len(y) / s.shape[1])),
        "the mean is taken with the number of classes",
    ),
    ("gradient with the wrong sign", softmax_by(lambda loss, d, s, y: (loss, -d)), "the gradient has the wrong sign"),
    (
        "gradient without the label",
        softmax_by(lambda loss, d, s, y: (loss, d + np.eye(s.shape[1])[y] / len(y))),
        "in the gradient the 1 of the right class is not subtracted",
    ),
    (
        "1 subtracted in all labels' columns",
        softmax_by(all_columns),
        "1 is subtracted in the columns of all labels, in every row",
    ),
    (
        "loss of each sample",
        softmax_by(lambda loss, d, s, y: (np.full(len(y), loss), d)),
        "An array came where a number belongs",
    ),
    ("loss alone", softmax_by(lambda loss, d, s, y: loss), "Not as many results as asked for"),
    ("scores changed", softmax_by(lambda loss, d, s, y: (loss, np.subtract(s, s, out=s) + d)), "An argument is changed"),
    ("no shift, and the logarithm of p", from_p(lambda s: 0), "exp() overflows, as too little is subtracted before"),
    (
        "the largest score of all subtracted, and the logarithm of p",
        from_p(np.max),
        "the logarithm is taken of p, which may be 0",
    ),
    ("logarithm of p + 1e-8", log_of_p(1e-8), "a small number is added to p before the logarithm"),
    ("not averaged", {"softmax_cross_entropy": not_averaged}, "the loss is one number for each sample"),
]
RIGHT[3] = [
    ("the gradient a list", softmax_by(lambda loss, d, s, y: (loss, d.tolist()))),
    ("one-hot, and an array of no axes", {"softmax_cross_entropy": softmax_one_hot}),
    ("loops", {"softmax_cross_entropy": softmax_loops}),
    ("NumPy's float", softmax_loss()),
    ("shifted a little further", softmax_loss(lambda s: s.max(axis=1, keepdims=True) + 3)),
    ("a list", softmax_by(lambda loss, d, s, y: [loss, d])),
    ("by its matrix of derivatives", {"softmax_cross_entropy": softmax_by_jacobian}),
    ("minicnn's", {"softmax_cross_entropy": lambda s, y: ((loss := SoftmaxCrossEntropy()).forward(s, y), loss.backward())}),
]

# ---- convolution, forward


def conv(rows=slice(None), columns=slice(None), border="constant", sides=lambda pad: (pad, pad), channels=None, step=None):
    """conv2d_forward(), with the filter's rows and columns taken in another order, another border, ..."""

    def conv2d_forward(x, w, b, stride, pad):
        x, w = x[:, :channels], w[:, :channels, rows, columns]
        xp = np.pad(x, ((0, 0), (0, 0), sides(pad), sides(pad)), mode=border)
        return solution.conv2d_forward(xp, w, b, step(stride) if step else stride, 0)

    return {"conv2d_forward": conv2d_forward}


def conv_in_frame(x, w, b, stride, pad):
    (N, C, H, W) = x.shape
    xp = np.zeros((N, C, H + 2 * pad, W + 2 * pad))
    xp[:, :, pad:-pad, pad:-pad] = x
    return solution.conv2d_forward(xp, w, b, stride, 0)


def conv_without_stride(x, w, b, stride, pad):
    """An output of the right size, whose windows lie side by side all the same."""
    shape = solution.conv2d_forward(x, w, b, stride, pad).shape
    return solution.conv2d_forward(x, w, b, 1, pad)[:, :, : shape[2], : shape[3]]


def conv_rounded_up(x, w, b, stride, pad):
    y, (H, W) = solution.conv2d_forward(x, w, b, stride, pad), x.shape[2:]
    OH, OW = (-(-(side + 2 * pad - k) // stride) + 1 for side, k in zip((H, W), w.shape[2:], strict=True))
    return np.pad(y, ((0, 0), (0, 0), (0, OH - y.shape[2]), (0, OW - y.shape[3])))


def conv_where(is_right):
    """conv2d_forward() that gives zeros unless is_right(x, w)."""
    return {"conv2d_forward": lambda x, w, *rest: solution.conv2d_forward(x, w, *rest) * is_right(x, w)}


def conv_with_width_of_height(x, w, b, stride, pad):
    y = solution.conv2d_forward(x, w, b, stride, pad)
    return np.resize(y, (*y.shape[:3], y.shape[2]))


def conv_centred(x, w, b, stride, pad):
    """The filter's middle on the pixel, as in "same" convolutions, whatever the border."""
    return solution.conv2d_forward(x, w, b, stride, w.shape[2] // 2)


def conv_seven_loops(x, w, b, stride, pad):
    (N, C, H, W), (F, _, KH, KW) = x.shape, w.shape
    OH, OW = (H + 2 * pad - KH) // stride + 1, (W + 2 * pad - KW) // stride + 1
    y = np.zeros((N, F, OH, OW))
    for n, f, i, j in np.ndindex(y.shape):
        total = b[f]
        for c, p, q in np.ndindex(C, KH, KW):
            row, column = i * stride + p - pad, j * stride + q - pad
            if 0 <= row < H and 0 <= column < W:
                total += x[n, c, row, column] * w[f, c, p, q]
        y[n, f, i, j] = total
    return y


def conv_windows(x, w, b, stride, pad):
    xp = np.pad(x, [(0, 0)] * 2 + [(pad, pad)] * 2)
    windows = np.lib.stride_tricks.sliding_window_view(xp, w.shape[2:], axis=(2, 3))[:, :, ::stride, ::stride]
    return (np.tensordot(windows, w, axes=([1, 4, 5], [1, 2, 3])) + b).transpose(0, 3, 1, 2)


def conv_tap_by_tap(x, w, b, stride, pad):
    """A sum over the filter's places, each with all positions at once."""
    xp = padded(x, pad)
    OH, OW = (1 + (n - k) // stride for n, k in zip(xp.shape[2:], w.shape[2:], strict=True))
    y = b[:, None, None] + np.zeros((len(x), len(w), OH, OW))
    for p, q in np.ndindex(w.shape[2:]):
        pixels = xp[:, :, p : p + stride * OH : stride, q : q + stride * OW : stride]
        y += np.einsum("nchw,fc->nfhw", pixels, w[:, :, p, q], optimize=True)
    return y


def conv_im2col(x, w, b, stride, pad):
    return textbook.conv2d_forward(x, w, b, (stride, stride), (pad,) * 4, (1, 1), 1)


BACKWARDS = slice(None, None, -1)


def conv_one_short(x, w, b, stride, pad):
    (N, _, H, W), (F, _, KH, KW), xp = x.shape, w.shape, padded(x, pad)
    y = np.zeros((N, F, (H + 2 * pad - KH) // stride, (W + 2 * pad - KW) // stride))
    for f, i, j in np.ndindex(y.shape[1:]):
        window = xp[:, :, i * stride : i * stride + KH, j * stride : j * stride + KW]
        y[:, f, i, j] = (window * w[f]).sum(axis=(1, 2, 3)) + b[f]
    return y


WRONG[4] = [
    (
        "square pictures only",
        conv_where(lambda x, w: x.shape[2] == x.shape[3]),
        "only some shapes of pictures and filters are convolved, others give 0",
    ),
    (
        "square filters only",
        conv_where(lambda x, w: w.shape[2] == w.shape[3]),
        "only some shapes of pictures and filters are convolved, others give 0",
    ),
    (
        "odd filters only",
        conv_where(lambda x, w: w.shape[2] % 2 and w.shape[3] % 2),
        "only some shapes of pictures and filters are convolved, others give 0",
    ),
    (
        "even filters only",
        conv_where(lambda x, w: not (w.shape[2] % 2 and w.shape[3] % 2)),
        "only some shapes of pictures and filters are convolved, others give 0",
    ),
    (
        "pictures of even height only",
        conv_where(lambda x, w: x.shape[2] % 2 == 0),
        "only some shapes of pictures and filters are convolved, others give 0",
    ),
    (
        "pictures of odd width only",
        conv_where(lambda x, w: x.shape[3] % 2),
        "only some shapes of pictures and filters are convolved, others give 0",
    ),
    (
        "several filters only",
        conv_where(lambda x, w: len(w) > 1),
        "only some shapes of pictures and filters are convolved, others give 0",
    ),
    ("as wide as high", {"conv2d_forward": conv_with_width_of_height}, None),
    ("middle of the filter", {"conv2d_forward": conv_centred}, "there is a border even where pad is 0"),
    (
        "axes of length 1 lost",
        {"conv2d_forward": lambda *a: solution.conv2d_forward(*a).squeeze()},
        "axes of length 1 are lost",
    ),
    (
        "first picture only",
        {"conv2d_forward": lambda x, *a: np.repeat(solution.conv2d_forward(x[:1], *a), len(x), axis=0)},
        "every picture gets the map of the first one",
    ),
    (
        "y always the same array",
        {"conv2d_forward": into_one_array(solution.conv2d_forward)},
        "An array is kept from call to call",
    ),
    ("filter flipped", conv(BACKWARDS, BACKWARDS), "the filter is flipped"),
    ("filter's rows flipped", conv(rows=BACKWARDS), "the filter is flipped upside down"),
    ("filter's columns flipped", conv(columns=BACKWARDS), "the filter is flipped from left to right"),
    ("filter without its last row", conv(rows=slice(0, -1)), "the last row of the filter is left out"),
    ("first channel only", conv(channels=1), "only the first channel counts"),
    ("border repeated", conv(border="edge"), "the border repeats the edge of the picture"),
    ("border mirrored", conv(border="reflect"), "the border mirrors the picture"),
    ("border on two sides", conv(sides=lambda pad: (0, 2 * pad)), "the border is on two sides only"),
    ("no border", conv(sides=lambda pad: (0, 0)), "there is no border"),
    ("border of at most 1", conv(sides=lambda pad: (min(pad, 1), min(pad, 1))), "the border is one pixel wide at most"),
    ("always a border", conv(sides=lambda pad: (max(pad, 1), max(pad, 1))), "there is a border even where pad is 0"),
    ("border written with [pad:-pad]", {"conv2d_forward": conv_in_frame}, None),
    ("stride 1", conv(step=lambda stride: 1), "the stride is ignored"),
    ("stride of at most 2", conv(step=lambda stride: min(stride, 2)), "a stride above 2 is taken for 2"),
    (
        "size by stride, windows by 1",
        {"conv2d_forward": conv_without_stride},
        "y has the right size, but its windows lie side by side",
    ),
    ("size rounded up", {"conv2d_forward": conv_rounded_up}, None),
    (
        "bias forgotten",
        {"conv2d_forward": lambda x, w, b, *how: solution.conv2d_forward(x, w, 0 * b, *how)},
        "the bias is forgotten",
    ),
    (
        "bias for each channel",
        {"conv2d_forward": lambda x, w, b, *how: solution.conv2d_forward(x, w, x.shape[1] * b, *how)},
        "the bias is added once for each channel",
    ),
    (
        "axes exchanged",
        {"conv2d_forward": lambda *a: solution.conv2d_forward(*a).swapaxes(2, 3)},
        "rows and columns of y have changed places",
    ),
    (
        "channels last",
        {"conv2d_forward": lambda *a: solution.conv2d_forward(*a).transpose(0, 2, 3, 1)},
        "the channels are y's last axis",
    ),
    ("size without + 1", {"conv2d_forward": conv_one_short}, "y is a row and a column short"),
]
RIGHT[4] = [
    ("seven loops, without padding", {"conv2d_forward": conv_seven_loops}),
    ("windows, and a view", {"conv2d_forward": conv_windows}),
    ("im2col", {"conv2d_forward": conv_im2col}),
    ("tap by tap", {"conv2d_forward": conv_tap_by_tap}),
    (
        "all positions, then every second",
        {"conv2d_forward": lambda x, w, b, stride, pad: solution.conv2d_forward(x, w, b, 1, pad)[:, :, ::stride, ::stride]},
    ),
    ("float32", {"conv2d_forward": lambda *a: solution.conv2d_forward(*a).astype(np.float32)}),
]

# ---- convolution, backward


def conv_backward_by(change):
    return {"conv2d_backward": lambda dy, x, w, s, pad: change(*solution.conv2d_backward(dy, x, w, s, pad), dy, x, w, s, pad)}


def padded(x, pad):
    return np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))


def cropped_by_minus_pad(dx, dw, db, dy, x, w, stride, pad):
    return padded(dx, pad)[:, :, pad:-pad, pad:-pad], dw, db


def assigned(dy, x, w, stride, pad):
    """dxp = ... where it should be dxp += ...: what overlaps is lost."""
    _, dw, db = solution.conv2d_backward(dy, x, w, stride, pad)
    dxp = np.zeros_like(padded(x, pad))
    for i, j in np.ndindex(dy.shape[2:]):
        window = np.einsum("nf,fcpq->ncpq", dy[:, :, i, j], w)
        dxp[:, :, i * stride : i * stride + w.shape[2], j * stride : j * stride + w.shape[3]] = window
    return dxp[:, :, pad : pad + x.shape[2], pad : pad + x.shape[3]], dw, db


def without_border(dx, dw, db, dy, x, w, stride, pad):
    """dw from x as if its outermost pixels were zero like the border."""
    inner = np.zeros_like(x)
    inner[:, :, 1:-1, 1:-1] = x[:, :, 1:-1, 1:-1]
    return dx, solution.conv2d_backward(dy, inner, w, stride, pad)[1], db


def flipped_dx(dx, dw, db, dy, x, w, stride, pad):
    return solution.conv2d_backward(dy, x, w[:, :, ::-1, ::-1], stride, pad)[0], dw, db


def wrong_in_a_corner(dx, dw, db, dy, x, w, stride, pad):
    dx = dx.copy()
    dx[-1, -1, 0, 0] += 0.1
    return dx, dw, db


def as_large_as_windows_reach(dx, dw, db, dy, x, w, stride, pad):
    reach = [(n - 1) * stride + k - pad for n, k in zip(dy.shape[2:], w.shape[2:], strict=True)]
    return dx[:, :, : reach[0], : reach[1]], dw, db


def conv_backward_loops(dy, x, w, stride, pad):
    xp = padded(x, pad)
    dxp, dw, db = np.zeros_like(xp), np.zeros_like(w), np.zeros(len(w))
    (KH, KW), (H, W) = w.shape[2:], x.shape[2:]
    for n, f, i, j in np.ndindex(dy.shape):
        rows, columns = slice(i * stride, i * stride + KH), slice(j * stride, j * stride + KW)
        dxp[n, :, rows, columns] += dy[n, f, i, j] * w[f]
        dw[f] += dy[n, f, i, j] * xp[n, :, rows, columns]
        db[f] += dy[n, f, i, j]
    return [dxp[:, :, pad : pad + H, pad : pad + W], dw, db]


def conv_backward_tap_by_tap(dy, x, w, stride, pad):
    (OH, OW), (H, W) = dy.shape[2:], x.shape[2:]
    xp, dw = padded(x, pad), np.empty_like(w)
    dxp = np.zeros_like(xp)
    for p, q in np.ndindex(w.shape[2:]):
        seen = (..., slice(p, p + stride * OH, stride), slice(q, q + stride * OW, stride))
        dw[:, :, p, q] = np.tensordot(dy, xp[seen], axes=([0, 2, 3], [0, 2, 3]))
        dxp[seen] += np.einsum("nfhw,fc->nchw", dy, w[:, :, p, q])
    return dxp[..., pad : H + pad, pad : W + pad], dw, np.einsum("nfhw->f", dy)


def size_without_remainder(dx, dw, db, dy, x, w, stride, pad):
    """dx zero where no window would begin if the windows filled the picture."""
    dx = dx.copy()
    for axis in (2, 3):
        if (x.shape[axis] + 2 * pad - w.shape[axis]) % stride:
            dx = np.delete(dx, -1, axis)
    return dx, dw, db


def last_position_left_out(dx, dw, db, dy, x, w, stride, pad):
    dy = dy.copy()
    dy[:, :, -1, -1] = 0
    return dx, solution.conv2d_backward(dy, x, w, stride, pad)[1], db


def conv_backward_taps(step=None, cropped=True):
    """Tap by tap, with another step between the windows, or with the border left on."""

    def conv2d_backward(dy, x, w, stride, pad):
        (OH, OW), s = dy.shape[2:], step or stride
        xp, dw = padded(x, pad), np.zeros_like(w)
        dxp = np.zeros_like(xp)
        for p, q in np.ndindex(w.shape[2:]):
            seen = (..., slice(p, p + s * OH, s), slice(q, q + s * OW, s))
            dw[:, :, p, q] = np.einsum("nfij,ncij->fc", dy, xp[seen])
            dxp[seen] += np.einsum("nfij,fc->ncij", dy, w[:, :, p, q])
        return without_border_of(dxp, pad, x) if cropped else dxp, dw, dy.sum(axis=(0, 2, 3))

    return {"conv2d_backward": conv2d_backward}


def without_border_of(dxp, pad, x):
    return dxp[:, :, pad : pad + x.shape[2], pad : pad + x.shape[3]]


def conv_backward_last_window(dy, x, w, stride, pad):
    dx, _, db = solution.conv2d_backward(dy, x, w, stride, pad)
    xp, (KH, KW) = padded(x, pad), w.shape[2:]
    for i in range(dy.shape[2]):
        for j in range(dy.shape[3]):
            window = xp[:, :, i * stride : i * stride + KH, j * stride : j * stride + KW]
            dw = np.tensordot(dy[:, :, i, j], window, axes=(0, 0))
    return dx, dw, db


WRONG[5] = [
    (
        "axes of length 1 lost",
        conv_backward_by(lambda dx, dw, db, *_: (dx.squeeze(), dw.squeeze(), db)),
        "axes of length 1 are lost",
    ),
    (
        "dx a row short where windows end short",
        conv_backward_by(size_without_remainder),
        "dx is smaller than x, where the last rows or columns are in no window",
    ),
    ("dw without the last position", conv_backward_by(last_position_left_out), None),
    (
        "db a sum over all but the pictures",
        conv_backward_by(lambda dx, dw, db, dy, *_: (dx, dw, dy.sum(axis=(1, 2, 3)))),
        "db is summed over the wrong axes",
    ),
    (
        "dx of the first picture only",
        conv_backward_by(lambda dx, *rest: (np.repeat(dx[:1], len(dx), axis=0), *rest[:2])),
        "every picture gets the dx of the first one",
    ),
    (
        "dw of a flipped filter",
        conv_backward_by(lambda dx, dw, db, *_: (dx, dw[:, :, ::-1, ::-1], db)),
        "dw belongs to a flipped filter",
    ),
    (
        "dw a mean over the batch",
        conv_backward_by(lambda dx, dw, db, dy, *_: (dx, dw / len(dy), db)),
        "dw is a mean over the batch",
    ),
    (
        "dw with filters and channels exchanged",
        conv_backward_by(lambda dx, dw, db, *_: (dx, dw.swapaxes(0, 1), db)),
        "dw has filters and channels exchanged",
    ),
    ("dw without the picture's edge", conv_backward_by(without_border), None),
    (
        "db a mean over the places",
        conv_backward_by(lambda dx, dw, db, dy, *_: (dx, dw, dy.mean(axis=(2, 3)).sum(axis=0))),
        "db is a mean over the places",
    ),
    ("db one number", conv_backward_by(lambda dx, dw, db, *_: (dx, dw, db.sum())), "db is a single number"),
    (
        "dx not cropped",
        conv_backward_by(lambda dx, dw, db, dy, x, w, stride, pad: (padded(dx, pad), dw, db)),
        "dx still has its border",
    ),
    ("dx cropped with [pad:-pad]", conv_backward_by(cropped_by_minus_pad), "where pad is 0, [pad:-pad] takes nothing"),
    (
        "dx as large as the windows reach",
        conv_backward_by(as_large_as_windows_reach),
        "dx is smaller than x, where the last rows or columns are in no window",
    ),
    ("dx of a flipped filter", conv_backward_by(flipped_dx), "dx belongs to a flipped filter"),
    ("dx wrong in one corner", conv_backward_by(wrong_in_a_corner), None),
    ("dx assigned, not added", {"conv2d_backward": assigned}, "dx is assigned, and not added up"),
    ("dx and dw exchanged", conv_backward_by(lambda dx, dw, db, *_: (dw, dx, db)), "dx and dw have changed places"),
    ("db missing", conv_backward_by(lambda dx, dw, db, *_: (dx, dw)), "Not as many results as asked for"),
    ("dw of the last window", {"conv2d_backward": conv_backward_last_window}, "dw has the share of the last window only"),
    ("stride forgotten", conv_backward_taps(step=1), "the stride is ignored"),
    ("dx with its border", conv_backward_taps(cropped=False), "dx still has its border"),
]
RIGHT[5] = [
    ("loops, and a list", {"conv2d_backward": conv_backward_loops}),
    (
        "im2col",
        {
            "conv2d_backward": lambda dy, x, w, stride, pad: textbook.conv2d_backward(
                dy, x, w, (stride, stride), (pad,) * 4, (1, 1), 1
            )
        },
    ),
    ("tap by tap", {"conv2d_backward": conv_backward_tap_by_tap}),
    ("other memory layouts", conv_backward_by(lambda dx, dw, db, *_: (np.asfortranarray(dx), np.asfortranarray(dw), db))),
]

# ---- find the faulty one


def normal(rng, x, y):
    return rng.standard_normal(np.shape(y))


def relative(claimed, numeric):
    return np.abs(claimed - numeric).max() <= 1e-5 * np.abs(numeric).max()


def gradient_check(compare=relative, projection=normal, h=1e-5, dtype=float):
    """gradient_is_right() with another comparison, another r, another h."""

    def gradient_is_right(forward, backward, x, rng):
        x = x.astype(dtype)
        r = projection(rng, x, forward(x))
        claimed, numeric = np.asarray(backward(r, x), float), np.empty(x.shape)
        for i in np.ndindex(x.shape):
            above, below = x.copy(), x.copy()
            above[i] += h
            below[i] -= h
            numeric[i] = ((forward(above) - forward(below)) * r).sum() / (2 * h)
        with np.errstate(all="ignore"):
            return bool(compare(claimed, numeric))

    return {"gradient_is_right": gradient_is_right}


def integers_kept(forward, backward, x, rng):
    check = gradient_check()["gradient_is_right"]
    return check(forward, backward, x, rng) if x.dtype.kind == "f" else relative(backward(1, x), np.zeros(x.shape))


def one_sided(forward, backward, x, rng):
    x, h = np.array(x, float), 1e-6
    r = rng.uniform(-1, 1, np.shape(forward(x)))
    here, claimed = np.vdot(r, forward(x)), np.asarray(backward(r, x.copy()), float)
    steps = np.eye(x.size).reshape(-1, *x.shape) * h
    numeric = np.reshape([np.vdot(r, forward(x + step)) - here for step in steps], x.shape) / h
    return bool(np.abs(claimed - numeric).max() <= 0.01 * np.abs(numeric).max())


def in_two_loops(forward, backward, x, rng):
    right, (rows, columns) = gradient_check()["gradient_is_right"], x.shape
    return right(forward, backward, x, rng) and rows * columns > 0


def ten_entries(claimed, numeric):
    some = np.random.default_rng(0).permutation(claimed.size)[:10]
    return relative(claimed.ravel()[some], numeric.ravel()[some])


def by_minicnn(forward, backward, x, rng):
    x = x.astype(np.float64)
    report = check_function(lambda x: forward(x), lambda dy: {"x": backward(dy, x)}, {"x": x}, tolerance=1e-5, rng=rng)
    return bool(report.ok)


def entrywise(claimed, numeric):
    return (np.abs(claimed - numeric) / np.maximum(1e-8, np.abs(claimed) + np.abs(numeric))).max() < 1e-3


def of_norms(claimed, numeric):
    return np.linalg.norm(claimed - numeric) / (np.linalg.norm(claimed) + np.linalg.norm(numeric)) < 1e-4


def cosine(claimed, numeric):
    return (claimed * numeric).sum() > 0.99999 * np.linalg.norm(claimed) * np.linalg.norm(numeric)


def integers_left(forward, backward, x, rng):
    x, h = x.copy(), 1e-5
    r = rng.normal(size=np.shape(forward(x)))
    numeric = np.zeros(x.shape)
    for i in np.ndindex(x.shape):
        middle = x[i]
        x[i] = middle + h
        above = np.sum(r * forward(x))
        x[i] = middle - h
        numeric[i] = (above - np.sum(r * forward(x))) / (2 * h)
        x[i] = middle
    return bool(relative(backward(r, x), numeric))


WRONG[6] = [
    (
        "always yes",
        {"gradient_is_right": lambda forward, backward, x, rng: True},
        "every layer is called right, the faulty ones too",
    ),
    (
        "always no",
        {"gradient_is_right": lambda forward, backward, x, rng: False},
        "nearly all layers are called faulty, the right ones too",
    ),
    ("a number", {"gradient_is_right": lambda forward, backward, x, rng: 1.0}, None),
    ("matrices only", {"gradient_is_right": in_two_loops}, "x is taken for a matrix"),
    (
        "no difference is large",
        gradient_check(lambda a, n: not np.abs(a - n).max() > 1e-5 * np.abs(n).max()),
        "a NaN is let through",
    ),
    ("ten entries only", gradient_check(ten_entries), None),
    ("h = 0.5", gradient_check(h=0.5), "h is too large"),
    ("h = 1e-12", gradient_check(h=1e-12), "nearly all layers are called faulty, the right ones too"),
    ("r of ones", gradient_check(projection=lambda rng, x, y: np.ones(np.shape(y))), "r has equal entries"),
    (
        "r of ones, and small differences allowed",
        gradient_check(
            lambda a, n: np.abs(a - n).max() <= 1e-5 * np.abs(n).max() + 1e-9, lambda rng, x, y: np.ones(np.shape(y))
        ),
        "r has equal entries, and small differences count as none",
    ),
    (
        "r = y, and small differences allowed",
        gradient_check(lambda a, n: np.abs(a - n).max() <= 1e-5 * np.abs(n).max() + 1e-9, lambda rng, x, y: y),
        "r is y itself",
    ),
    (
        "r of x's shape",
        gradient_check(projection=lambda rng, x, y: rng.standard_normal(x.shape)),
        "r has the shape of x, and not that of y",
    ),
    (
        "differences below 1e-4",
        gradient_check(lambda a, n: np.abs(a - n).max() < 1e-4),
        "differences are compared with a fixed number",
    ),
    (
        "differences below 1e-5",
        gradient_check(lambda a, n: np.abs(a - n).max() < 1e-5),
        "differences are compared with a fixed number",
    ),
    (
        "differences below 1e-7",
        gradient_check(lambda a, n: np.abs(a - n).max() < 1e-7),
        "differences are compared with a fixed number",
    ),
    (
        "within 50 %",
        gradient_check(lambda a, n: np.abs(a - n).max() <= 0.5 * np.abs(n).max()),
        "differences of some per cent pass",
    ),
    (
        "within 10 %",
        gradient_check(lambda a, n: np.abs(a - n).max() <= 0.1 * np.abs(n).max()),
        "differences of some per cent pass",
    ),
    ("signs ignored", gradient_check(lambda a, n: relative(np.abs(a), np.abs(n))), "signs are ignored"),
    ("sizes ignored", gradient_check(cosine), "differences of some per cent pass"),
    ("signs only", gradient_check(lambda a, n: (np.sign(a) == np.sign(np.round(n, 9))).all()), "only signs are compared"),
    (
        "first entry only",
        gradient_check(lambda a, n: relative(a.ravel()[:1], n.ravel()[:1])),
        "only the first entry is compared",
    ),
    (
        "last entry only",
        gradient_check(lambda a, n: relative(a.ravel()[-1:], n.ravel()[-1:])),
        "only the last entry is compared",
    ),
    ("first row only", gradient_check(lambda a, n: relative(a[0], n[0])), "only the first row is compared"),
    ("all but the first row", gradient_check(lambda a, n: relative(a[1:], n[1:])), "the first row is not compared"),
    (
        "sums compared",
        gradient_check(lambda a, n: abs(a.sum() - n.sum()) <= 1e-5 * np.abs(n).max()),
        "only sums or means over all entries are compared",
    ),
    (
        "lengths compared",
        gradient_check(lambda a, n: relative(np.linalg.norm(a), np.linalg.norm(n))),
        "only lengths are compared",
    ),
    (
        "mean difference",
        gradient_check(lambda a, n: abs((a - n).mean()) <= 1e-5 * np.abs(n).max()),
        "only sums or means over all entries are compared",
    ),
    ("integers kept", {"gradient_is_right": integers_kept}, None),
    (
        "divided by gradients of 0",
        gradient_check(lambda a, n: (np.abs(a - n) / np.abs(n)).max() < 1e-3),
        "whole numbers and gradients of 0 are not provided for",
    ),
    ("float32", gradient_check(dtype=np.float32), "nearly all layers are called faulty, the right ones too"),
    (
        "integers left as they are",
        {"gradient_is_right": integers_left},
        "whole numbers and gradients of 0 are not provided for",
    ),
]
RIGHT[6] = [
    ("minicnn.gradcheck", {"gradient_is_right": by_minicnn}),
    ("entry by entry", gradient_check(entrywise)),
    ("lengths of the difference", gradient_check(of_norms)),
    ("allclose", gradient_check(lambda a, n: np.allclose(a, n, rtol=1e-3, atol=1e-5 * np.abs(n).max()))),
    ("within 1 %", gradient_check(lambda a, n: np.abs(a - n).max() <= 0.01 * np.abs(n).max())),
    ("r between 0 and 1, h = 1e-4", gradient_check(projection=lambda rng, x, y: rng.random(np.shape(y)), h=1e-4)),
    ("h = 1e-6", gradient_check(h=1e-6)),
    ("one side only, within 1 %", {"gradient_is_right": one_sided}),
]
