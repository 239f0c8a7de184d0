"""Answers to the tasks of lesson 1: wrong ones as people write them, and right ones written differently from the solution.

``WRONG[task][what it does]`` and ``RIGHT[task][how]`` are the functions that take the place of the solution's.
"""

import math

import numpy as np
from lesson_files import LESSONS, load

from minicnn.gradcheck import check_function
from minicnn.kernels import textbook
from minicnn.layers import ReLU
from minicnn.losses import SoftmaxCrossEntropy

LESSON = LESSONS / "01_backpropagation"
solution = load(LESSON / "solution.py")
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
WRONG["linear"] = {
    "x of the last forward pass": {"linear_forward": remembers.forward, "linear_backward": remembers.backward},
    "y always the same array": {"linear_forward": into_one_array(solution.linear_forward)},
    "always four samples": {"linear_forward": lambda x, w, b: np.stack([w @ x[n] + b for n in range(4)])},
    "whole numbers": {"linear_forward": lambda x, w, b: (x @ w.T + b).astype(int)},
    "bias forgotten": {"linear_forward": lambda x, w, b: x @ w.T},
    "bias subtracted": {"linear_forward": lambda x, w, b: x @ w.T - b},
    "bias of the first output only": {"linear_forward": lambda x, w, b: x @ w.T + b[0]},
    "axes of length 1 lost": {"linear_forward": lambda x, w, b: np.squeeze(x @ w.T + b)},
    "a list": {"linear_forward": lambda x, w, b: (x @ w.T + b).tolist()},
    "dw transposed": linear_backward_by(lambda dx, dw, db, dy, x, w: (dx, dw.T, db)),
    "dw a mean over the batch": linear_backward_by(lambda dx, dw, db, dy, x, w: (dx, dw / len(x), db)),
    "dw of the last sample": linear_backward_by(lambda dx, dw, db, dy, x, w: (dx, np.outer(dy[-1], x[-1]), db)),
    "db a mean over the batch": linear_backward_by(lambda dx, dw, db, dy, x, w: (dx, dw, dy.mean(axis=0))),
    "db with an axis too many": linear_backward_by(lambda dx, dw, db, dy, x, w: (dx, dw, dy.sum(axis=0, keepdims=True))),
    "db one number": linear_backward_by(lambda dx, dw, db, dy, x, w: (dx, dw, dy.sum())),
    "gradients' axes of length 1 lost": linear_backward_by(lambda dx, dw, db, dy, x, w: (dx.squeeze(), dw.squeeze(), db)),
    "db missing": linear_backward_by(lambda dx, dw, db, dy, x, w: (dx, dw)),
    "dx of w's signs only": linear_backward_by(lambda dx, dw, db, dy, x, w: (dy @ np.sign(w), dw, db)),
    "dy multiplied in place": linear_backward_by(lambda dx, dw, db, dy, x, w: (dx, dw, np.add(dy, 1, out=dy).sum(axis=0))),
}
RIGHT["linear"] = {
    "loops": {"linear_forward": linear_loops},
    "einsum": {
        "linear_forward": lambda x, w, b: np.einsum("nd,md->nm", x, w) + b,
        "linear_backward": lambda dy, x, w: (
            np.einsum("nm,md->nd", dy, w),
            np.einsum("nm,nd->md", dy, x),
            np.einsum("nm->m", dy),
        ),
    },
    "other memory layouts and a list": {
        "linear_forward": lambda x, w, b: np.asfortranarray(np.dot(w, x.T).T + b),
        "linear_backward": lambda dy, x, w: [(w.T @ dy.T).T, (x.T @ dy).T, np.ones(len(dy)) @ dy],
    },
    "a sum over an axis more": {
        "linear_forward": lambda x, w, b: (x[:, None, :] * w).sum(axis=2) + b,
        "linear_backward": lambda dy, x, w: (
            (dy[:, :, None] * w).sum(axis=1),
            (dy[:, :, None] * x[:, None, :]).sum(axis=0),
            np.add.reduce(dy),
        ),
    },
    "bias as one more column": {
        "linear_forward": lambda x, w, b: np.hstack([x, np.ones((len(x), 1))]) @ np.hstack([w, b[:, None]]).T
    },
    "sample by sample": {
        "linear_backward": lambda dy, x, w: (
            np.stack([w.T @ row for row in dy]),
            sum(np.outer(g, row) for g, row in zip(dy, x, strict=True)),
            sum(dy),
        )
    },
}

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


WRONG["relu"] = {
    "|x|": {"relu_forward": np.abs},
    "x itself if nothing is negative": {"relu_forward": lambda x: np.maximum(x, 0) if x.min() < 0 else x},
    "dy itself if nothing is negative": {"relu_backward": lambda dy, x: np.where(x > 0, dy, 0) if x.min() <= 0 else dy},
    "printed": {"relu_forward": lambda x: print(end="")},
    "dx always the same array": {"relu_backward": into_one_array(solution.relu_backward)},
    "three axes at most": {"relu_forward": lambda x: np.maximum(x, 0) if x.ndim < 4 else x.copy()},
    "cut off at 1": {"relu_forward": lambda x: np.clip(x, 0, 1)},
    "cut off at 6": {"relu_forward": lambda x: np.clip(x, 0, 6)},
    "leaky": {"relu_forward": lambda x: np.where(x > 0, x, 0.01 * x)},
    "small values lost": {"relu_forward": lambda x: np.where(x > 0.05, x, 0)},
    "matrices only": {"relu_forward": relu_in_two_loops},
    "flattened": {"relu_forward": lambda x: np.maximum(x, 0).ravel()},
    "x changed": {"relu_forward": lambda x: np.maximum(x, 0, out=x)},
    "nothing returned": {"relu_forward": lambda x: None},
    "an error": {"relu_forward": lambda x: x[1000, 1000]},
    "dx without dy": {"relu_backward": lambda dy, x: (x > 0) * 1.0},
    "dx = dy at x = 0": {"relu_backward": lambda dy, x: np.where(x >= 0, dy, 0)},
    "dx = dy / 2 at x = 0": {"relu_backward": lambda dy, x: dy * np.heaviside(x, 0.5)},
    "dx = dy max(x, 0)": {"relu_backward": lambda dy, x: dy * np.maximum(x, 0)},
    "sign of x": {"relu_backward": lambda dy, x: dy * np.sign(x)},
    "where dy > 0": {"relu_backward": lambda dy, x: np.where(dy > 0, dy, 0)},
    "where both are positive": {"relu_backward": lambda dy, x: np.where((dy > 0) & (x > 0), dy, 0)},
    "dy changed": {"relu_backward": masked_in_place},
}
RIGHT["relu"] = {
    "element by element": {"relu_forward": relu_element_by_element},
    "times a mask": {"relu_forward": lambda x: x * (x > 0), "relu_backward": lambda dy, x: dy * (x > 0)},
    "half of x + |x|": {"relu_forward": lambda x: (x + np.abs(x)) / 2},
    "clip, and a masked copy": {"relu_forward": lambda x: np.clip(x, 0, None), "relu_backward": masked},
    "minicnn's": {"relu_forward": lambda x: ReLU().forward(x)},
    "put into zeros": {"relu_forward": lambda x: np.add(np.zeros_like(x), x, where=x > 0, out=np.zeros_like(x))},
    "choose": {"relu_backward": lambda dy, x: np.choose(x > 0, [np.zeros_like(dy), dy])},
    "heaviside": {"relu_backward": lambda dy, x: np.heaviside(x, 0) * dy},
    "from y": {"relu_backward": lambda dy, x: np.where(solution.relu_forward(x) > 0, dy, 0.0)},
}

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


WRONG["softmax"] = {
    "as many classes as labels come up": as_many_classes_as(lambda scores, y: y.max() + 1),
    "as many classes as samples": as_many_classes_as(lambda scores, y: len(y)),
    "over the samples": {"softmax_cross_entropy": softmax_over_samples},
    "one sample forgotten": softmax_by(lambda loss, d, s, y: (loss, np.vstack([d[:-1], 0 * d[-1:]]))),
    "no shift": softmax_loss(lambda s: 0),
    "the largest score of all subtracted": softmax_loss(np.max),
    "that, and the logarithm of 0 avoided": softmax_loss(np.max, lambda z: np.log(z + 1e-300)),
    "each column's largest score subtracted": softmax_loss(lambda s: s.max(axis=0)),
    "each row's mean subtracted": softmax_loss(lambda s: s.mean(axis=1, keepdims=True)),
    "each row's least score subtracted": softmax_loss(lambda s: s.min(axis=1, keepdims=True)),
    "each row's largest |score| subtracted": softmax_loss(lambda s: np.abs(s).max(axis=1, keepdims=True)),
    "scores cut off": softmax_by(lambda loss, d, s, y: solution.softmax_cross_entropy(np.clip(s, -500, 500), y)),
    "logarithm of p": log_of_p(0),
    "logarithm of p + 1e-12": log_of_p(1e-12),
    "logarithm to base 2": softmax_by(lambda loss, d, s, y: (loss / np.log(2), d)),
    "labels from 1": softmax_loss(off_by=1),
    "no minus": softmax_by(lambda loss, d, s, y: (-loss, d)),
    "sums instead of means": softmax_by(lambda loss, d, s, y: (loss * len(y), d * len(y))),
    "gradient not divided by N": softmax_by(lambda loss, d, s, y: (loss, d * len(y))),
    "divided by K": softmax_by(lambda loss, d, s, y: (loss * len(y) / s.shape[1], d * len(y) / s.shape[1])),
    "gradient with the wrong sign": softmax_by(lambda loss, d, s, y: (loss, -d)),
    "gradient without the label": softmax_by(lambda loss, d, s, y: (loss, d + np.eye(s.shape[1])[y] / len(y))),
    "1 subtracted in all labels' columns": softmax_by(all_columns),
    "loss of each sample": softmax_by(lambda loss, d, s, y: (np.full(len(y), loss), d)),
    "loss alone": softmax_by(lambda loss, d, s, y: loss),
    "the gradient a list": softmax_by(lambda loss, d, s, y: (loss, d.tolist())),
    "scores changed": softmax_by(lambda loss, d, s, y: (loss, np.subtract(s, s, out=s) + d)),
}
RIGHT["softmax"] = {
    "one-hot, and an array of no axes": {"softmax_cross_entropy": softmax_one_hot},
    "loops": {"softmax_cross_entropy": softmax_loops},
    "NumPy's float": softmax_loss(),
    "shifted a little further": softmax_loss(lambda s: s.max(axis=1, keepdims=True) + 3),
    "a list": softmax_by(lambda loss, d, s, y: [loss, d]),
    "by its matrix of derivatives": {"softmax_cross_entropy": softmax_by_jacobian},
    "minicnn's": {"softmax_cross_entropy": lambda s, y: ((loss := SoftmaxCrossEntropy()).forward(s, y), loss.backward())},
}

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
WRONG["convolution_forward"] = {
    "square pictures only": conv_where(lambda x, w: x.shape[2] == x.shape[3]),
    "square filters only": conv_where(lambda x, w: w.shape[2] == w.shape[3]),
    "odd filters only": conv_where(lambda x, w: w.shape[2] % 2 and w.shape[3] % 2),
    "even filters only": conv_where(lambda x, w: not (w.shape[2] % 2 and w.shape[3] % 2)),
    "pictures of even height only": conv_where(lambda x, w: x.shape[2] % 2 == 0),
    "pictures of odd width only": conv_where(lambda x, w: x.shape[3] % 2),
    "several filters only": conv_where(lambda x, w: len(w) > 1),
    "as wide as high": {"conv2d_forward": conv_with_width_of_height},
    "middle of the filter": {"conv2d_forward": conv_centred},
    "axes of length 1 lost": {"conv2d_forward": lambda *a: solution.conv2d_forward(*a).squeeze()},
    "first picture only": {"conv2d_forward": lambda x, *a: np.repeat(solution.conv2d_forward(x[:1], *a), len(x), axis=0)},
    "y always the same array": {"conv2d_forward": into_one_array(solution.conv2d_forward)},
    "filter flipped": conv(BACKWARDS, BACKWARDS),
    "filter's rows flipped": conv(rows=BACKWARDS),
    "filter's columns flipped": conv(columns=BACKWARDS),
    "filter without its last row": conv(rows=slice(0, -1)),
    "first channel only": conv(channels=1),
    "border repeated": conv(border="edge"),
    "border mirrored": conv(border="reflect"),
    "border on two sides": conv(sides=lambda pad: (0, 2 * pad)),
    "no border": conv(sides=lambda pad: (0, 0)),
    "border of at most 1": conv(sides=lambda pad: (min(pad, 1), min(pad, 1))),
    "always a border": conv(sides=lambda pad: (max(pad, 1), max(pad, 1))),
    "border written with [pad:-pad]": {"conv2d_forward": conv_in_frame},
    "stride 1": conv(step=lambda stride: 1),
    "stride of at most 2": conv(step=lambda stride: min(stride, 2)),
    "size by stride, windows by 1": {"conv2d_forward": conv_without_stride},
    "size rounded up": {"conv2d_forward": conv_rounded_up},
    "bias forgotten": {"conv2d_forward": lambda x, w, b, *how: solution.conv2d_forward(x, w, 0 * b, *how)},
    "bias for each channel": {"conv2d_forward": lambda x, w, b, *how: solution.conv2d_forward(x, w, x.shape[1] * b, *how)},
    "axes exchanged": {"conv2d_forward": lambda *a: solution.conv2d_forward(*a).swapaxes(2, 3)},
    "channels last": {"conv2d_forward": lambda *a: solution.conv2d_forward(*a).transpose(0, 2, 3, 1)},
}
RIGHT["convolution_forward"] = {
    "seven loops, without padding": {"conv2d_forward": conv_seven_loops},
    "windows, and a view": {"conv2d_forward": conv_windows},
    "im2col": {"conv2d_forward": conv_im2col},
    "tap by tap": {"conv2d_forward": conv_tap_by_tap},
    "all positions, then every second": {
        "conv2d_forward": lambda x, w, b, stride, pad: solution.conv2d_forward(x, w, b, 1, pad)[:, :, ::stride, ::stride]
    },
    "float32": {"conv2d_forward": lambda *a: solution.conv2d_forward(*a).astype(np.float32)},
}

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


WRONG["convolution_backward"] = {
    "axes of length 1 lost": conv_backward_by(lambda dx, dw, db, *_: (dx.squeeze(), dw.squeeze(), db)),
    "dx a row short where windows end short": conv_backward_by(size_without_remainder),
    "dw without the last position": conv_backward_by(last_position_left_out),
    "db a sum over all but the pictures": conv_backward_by(lambda dx, dw, db, dy, *_: (dx, dw, dy.sum(axis=(1, 2, 3)))),
    "dx of the first picture only": conv_backward_by(lambda dx, *rest: (np.repeat(dx[:1], len(dx), axis=0), *rest[:2])),
    "dw of a flipped filter": conv_backward_by(lambda dx, dw, db, *_: (dx, dw[:, :, ::-1, ::-1], db)),
    "dw a mean over the batch": conv_backward_by(lambda dx, dw, db, dy, *_: (dx, dw / len(dy), db)),
    "dw with filters and channels exchanged": conv_backward_by(lambda dx, dw, db, *_: (dx, dw.swapaxes(0, 1), db)),
    "dw without the picture's edge": conv_backward_by(without_border),
    "db a mean over the places": conv_backward_by(lambda dx, dw, db, dy, *_: (dx, dw, dy.mean(axis=(2, 3)).sum(axis=0))),
    "db one number": conv_backward_by(lambda dx, dw, db, *_: (dx, dw, db.sum())),
    "dx not cropped": conv_backward_by(lambda dx, dw, db, dy, x, w, stride, pad: (padded(dx, pad), dw, db)),
    "dx cropped with [pad:-pad]": conv_backward_by(cropped_by_minus_pad),
    "dx as large as the windows reach": conv_backward_by(as_large_as_windows_reach),
    "dx of a flipped filter": conv_backward_by(flipped_dx),
    "dx wrong in one corner": conv_backward_by(wrong_in_a_corner),
    "dx assigned, not added": {"conv2d_backward": assigned},
    "dx and dw exchanged": conv_backward_by(lambda dx, dw, db, *_: (dw, dx, db)),
    "db missing": conv_backward_by(lambda dx, dw, db, *_: (dx, dw)),
}
RIGHT["convolution_backward"] = {
    "loops, and a list": {"conv2d_backward": conv_backward_loops},
    "im2col": {
        "conv2d_backward": lambda dy, x, w, stride, pad: textbook.conv2d_backward(
            dy, x, w, (stride, stride), (pad,) * 4, (1, 1), 1
        )
    },
    "tap by tap": {"conv2d_backward": conv_backward_tap_by_tap},
    "other memory layouts": conv_backward_by(lambda dx, dw, db, *_: (np.asfortranarray(dx), np.asfortranarray(dw), db)),
}

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


WRONG["fault_finding"] = {
    "always yes": {"gradient_is_right": lambda forward, backward, x, rng: True},
    "always no": {"gradient_is_right": lambda forward, backward, x, rng: False},
    "a number": {"gradient_is_right": lambda forward, backward, x, rng: 1.0},
    "matrices only": {"gradient_is_right": in_two_loops},
    "no difference is large": gradient_check(lambda a, n: not np.abs(a - n).max() > 1e-5 * np.abs(n).max()),
    "ten entries only": gradient_check(ten_entries),
    "h = 0.5": gradient_check(h=0.5),
    "h = 1e-12": gradient_check(h=1e-12),
    "r of ones": gradient_check(projection=lambda rng, x, y: np.ones(np.shape(y))),
    "r of ones, and small differences allowed": gradient_check(
        lambda a, n: np.abs(a - n).max() <= 1e-5 * np.abs(n).max() + 1e-9, lambda rng, x, y: np.ones(np.shape(y))
    ),
    "r = y, and small differences allowed": gradient_check(
        lambda a, n: np.abs(a - n).max() <= 1e-5 * np.abs(n).max() + 1e-9, lambda rng, x, y: y
    ),
    "r of x's shape": gradient_check(projection=lambda rng, x, y: rng.standard_normal(x.shape)),
    "differences below 1e-4": gradient_check(lambda a, n: np.abs(a - n).max() < 1e-4),
    "differences below 1e-5": gradient_check(lambda a, n: np.abs(a - n).max() < 1e-5),
    "differences below 1e-7": gradient_check(lambda a, n: np.abs(a - n).max() < 1e-7),
    "within 50 %": gradient_check(lambda a, n: np.abs(a - n).max() <= 0.5 * np.abs(n).max()),
    "within 10 %": gradient_check(lambda a, n: np.abs(a - n).max() <= 0.1 * np.abs(n).max()),
    "signs ignored": gradient_check(lambda a, n: relative(np.abs(a), np.abs(n))),
    "sizes ignored": gradient_check(cosine),
    "signs only": gradient_check(lambda a, n: (np.sign(a) == np.sign(np.round(n, 9))).all()),
    "first entry only": gradient_check(lambda a, n: relative(a.ravel()[:1], n.ravel()[:1])),
    "last entry only": gradient_check(lambda a, n: relative(a.ravel()[-1:], n.ravel()[-1:])),
    "first row only": gradient_check(lambda a, n: relative(a[0], n[0])),
    "all but the first row": gradient_check(lambda a, n: relative(a[1:], n[1:])),
    "sums compared": gradient_check(lambda a, n: abs(a.sum() - n.sum()) <= 1e-5 * np.abs(n).max()),
    "lengths compared": gradient_check(lambda a, n: relative(np.linalg.norm(a), np.linalg.norm(n))),
    "mean difference": gradient_check(lambda a, n: abs((a - n).mean()) <= 1e-5 * np.abs(n).max()),
    "integers kept": {"gradient_is_right": integers_kept},
    "divided by gradients of 0": gradient_check(lambda a, n: (np.abs(a - n) / np.abs(n)).max() < 1e-3),
    "float32": gradient_check(dtype=np.float32),
}
RIGHT["fault_finding"] = {
    "minicnn.gradcheck": {"gradient_is_right": by_minicnn},
    "entry by entry": gradient_check(entrywise),
    "lengths of the difference": gradient_check(of_norms),
    "allclose": gradient_check(lambda a, n: np.allclose(a, n, rtol=1e-3, atol=1e-5 * np.abs(n).max())),
    "within 1 %": gradient_check(lambda a, n: np.abs(a - n).max() <= 0.01 * np.abs(n).max()),
    "r between 0 and 1, h = 1e-4": gradient_check(projection=lambda rng, x, y: rng.random(np.shape(y)), h=1e-4),
    "h = 1e-6": gradient_check(h=1e-6),
    "one side only, within 1 %": {"gradient_is_right": one_sided},
}
