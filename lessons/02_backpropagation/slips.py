"""Lesson 2: the mistakes that people make in its exercise, as functions that make them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.course import Lesson, Slip

solution = Lesson(Path(__file__).resolve().parent).solution
EPSILONS = 1e-8, 1e-9, 1e-10, 1e-12, 1e-15  # what people add to a p that may be 0


# ---- the mistakes that people make


def linear_by(change: Callable) -> dict[str, Callable]:
    """linear_backward() with its right results changed: change(dx, dw, db, dy, x, w)."""
    return {"linear_backward": lambda dy, x, w: change(*solution.linear_backward(dy, x, w), dy, x, w)}


AVERAGED = (
    "Does its definition divide by anything? The mean over the batch is taken once, in the loss, and the dy that comes from "
    "there has its 1/N already."
)
ONE_SAMPLE = "A batch of one sample is still a batch, and a layer with one output a layer: every axis stays, however short."

LINEAR_SLIPS = (
    Slip(
        "the bias is forgotten",
        "What must y be where all inputs are 0? What is it in yours?",
        {"linear_forward": lambda x, w, b: x @ w.T},
        r"@|\bdot\b|einsum|matmul|\bsum\(",
    ),
    Slip(
        "the bias is subtracted",
        "What must y be where all inputs are 0? What is it in yours?",
        {"linear_forward": lambda x, w, b: x @ w.T - b},
        r"-=? *b\b",
    ),
    Slip(
        "y is cut to whole numbers",
        "Of which dtype is the array that the results are put into? One of integers drops whatever stands behind the point.",
        {"linear_forward": lambda x, w, b: (x @ w.T + b).astype(int)},
        r"\bint\b|int64|int32",
    ),
    Slip(
        "axes of length 1 are lost from y",
        ONE_SAMPLE,
        {"linear_forward": lambda x, w, b: np.squeeze(x @ w.T + b)},
        r"squeeze|ravel|flatten",
    ),
    Slip(
        "axes of length 1 are lost from the gradients",
        ONE_SAMPLE,
        linear_by(lambda dx, dw, db, *_: (dx.squeeze(), dw.squeeze(), db)),
        r"squeeze|ravel|flatten",
    ),
    Slip(
        "dw is transposed",
        "dw must have the shape of w, (M, D). Which of your two factors has M, and along which axis?",
        linear_by(lambda dx, dw, db, *_: (dx, dw.T, db)),
        r"\bdw\b.*=.*(?:@|\bdot\b|einsum|matmul)|\bx\.T *@",
    ),
    Slip(
        "dw is a mean over the batch",
        AVERAGED,
        linear_by(lambda dx, dw, db, dy, *_: (dx, dw / len(dy), db)),
        r"\bdw\b.*/|mean|/",
    ),
    Slip(
        "db is a mean over the batch",
        AVERAGED,
        linear_by(lambda dx, dw, db, dy, *_: (dx, dw, db / len(dy))),
        r"\bdb\b.*/|mean|/",
    ),
    Slip(
        "dw and db are means over the batch",
        AVERAGED,
        linear_by(lambda dx, dw, db, dy, *_: (dx, dw / len(dy), db / len(dy))),
        r"mean|/",
    ),
    Slip(
        "dw has the share of the last sample only",
        "w is used once for every sample, and each use hands back a share. Do they add up in your loop, or does each replace "
        "the one before?",
        linear_by(lambda dx, dw, db, dy, x, w: (dx, np.outer(dy[-1], x[-1]), db)),
        r"\bdw\b(?:\[.*\])? *=[^=].*(?:outer|\[)",
    ),
    Slip(
        "db is a single number",
        "Each of the M biases has a gradient of its own. Which axis is summed over, and which has to stay?",
        linear_by(lambda dx, dw, db, *_: (dx, dw, db.sum())),
        r"sum\(",
    ),
    Slip(
        "db keeps the axis of the samples",
        "db has the shape of b: (M,), one axis and not two.",
        linear_by(lambda dx, dw, db, *_: (dx, dw, db[None])),
        r"keepdims",
    ),
    Slip(
        "dx and dw have changed places",
        "In which order are the three asked for?",
        linear_by(lambda dx, dw, db, *_: (dw, dx, db)),
        r"return",
    ),
    Slip(
        "the bias of the first output is added to all",
        "Each output m has its own b[m].",
        {"linear_forward": lambda x, w, b: x @ w.T + b[0]},
        r"b\[0\]",
    ),
    Slip(
        "only the signs of w count in dx",
        "dy goes back through the weight as it is: twice the weight, twice the gradient.",
        linear_by(lambda dx, dw, db, dy, x, w: (dy @ np.sign(w), dw, db)),
        r"sign",
    ),
)


def relu_matrices_only(x: np.ndarray) -> np.ndarray:
    y = np.zeros(x.shape)
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            y[i, j] = max(x[i, j], 0)
    return y


RELU_SLIPS = (
    Slip("y is |x|", "What becomes of -3?", {"relu_forward": np.abs}, r"abs|fabs"),
    Slip(
        "the negative values are kept, and the positive ones lost",
        "Of x and 0, is it the larger or the smaller that you take?",
        {"relu_forward": lambda x: np.minimum(x, 0)},
        r"min|<",
    ),
    Slip(
        "this is leaky ReLU: negative values are multiplied by 0.01",
        "By its definition this one is exactly 0 there.",
        {"relu_forward": lambda x: np.where(x > 0, x, 0.01 * x)},
        r"0?\.01",
    ),
    Slip(
        "this is ReLU6: what is above 6 is cut off",
        "Is there an upper limit in max(0, x)?",
        {"relu_forward": lambda x: np.clip(x, 0, 6)},
        r"6",
    ),
    Slip(
        "what is above 1 is cut off",
        "Is there an upper limit in max(0, x)?",
        {"relu_forward": lambda x: np.clip(x, 0, 1)},
        r"clip|minimum|min\(|\b1\b",
    ),
    Slip(
        "only the positive values come back, in one row",
        "y has as many entries as x, and its shape: those that are not positive are 0, and not absent.",
        {"relu_forward": lambda x: x[x > 0]},
        r"\[.*>",
    ),
    Slip(
        "two loops serve matrices only",
        "x may have one axis or four. NumPy compares and chooses element by element whatever the shape.",
        {"relu_forward": relu_matrices_only},
        r"for .* in |shape",
    ),
    Slip(
        "nothing is returned",
        "What a function computes or prints stays inside; only `return` hands it to whoever called.",
        {"relu_forward": lambda x: None},
        r"print",
    ),
    Slip(
        "dx lacks dy",
        "That is the slope of ReLU. The chain rule multiplies it by what comes from above.",
        {"relu_backward": lambda dy, x: (x > 0) * 1.0},
        r"return|=",
    ),
    Slip(
        "at x = 0 dx is dy",
        "There the slope could be 0 or 1; the rule of this exercise decides.",
        {"relu_backward": lambda dy, x: np.where(x >= 0, dy, 0)},
        r">=|x < 0|< 0",
    ),
    Slip(
        "dy is multiplied by y",
        "The chain rule multiplies by the slope of y, which is 1 wherever x is positive, and not by y itself.",
        {"relu_backward": lambda dy, x: dy * np.maximum(x, 0)},
        r"dy *\*|\* *dy|maximum",
    ),
    Slip(
        "where x is negative dx is -dy",
        "How much does y change there, if x changes a little? You have the derivative of another function.",
        {"relu_backward": lambda dy, x: dy * np.sign(x)},
        r"sign|-",
    ),
    Slip(
        "the sign of dy decides, and not that of x",
        "Which of the two was it that the forward pass cut off?",
        {"relu_backward": lambda dy, x: np.where(dy > 0, dy, 0)},
        r"dy *[<>]|maximum\(.*dy",
    ),
    Slip(
        "negative gradients are dropped as well",
        'dy may have any sign: an output can be too large, too. (What you have is "guided backpropagation", which makes '
        "pretty pictures, and no gradient.)",
        {"relu_backward": lambda dy, x: np.where((dy > 0) & (x > 0), dy, 0)},
        r"dy *[<>]|maximum\(.*dy",
    ),
    Slip(
        "negative numbers stay where there are four axes",
        "Any shape: ReLU looks at each number by itself, and axes are no matter to it.",
        {"relu_forward": lambda x: np.array(x) if x.ndim > 3 else np.maximum(x, 0)},
        r"ndim",
    ),
    Slip(
        "small positive numbers become 0 as well",
        "0 is the only threshold.",
        {"relu_forward": lambda x: np.where(x > 0.05, x, 0)},
        r"0?\.\d",
    ),
    Slip(
        "dx is dy / 2 at x = 0",
        "By our rule, dx is 0 there.",
        {"relu_backward": lambda dy, x: np.where(x == 0, dy / 2, np.where(x > 0, dy, 0))},
        r"0\.5|/ ?2|heaviside",
    ),
    Slip(
        "the result has lost its shape",
        "y has the shape of x.",
        {"relu_forward": lambda x: np.maximum(x, 0).ravel()},
        r"ravel|flatten|reshape",
    ),
)


def softmax_by(change: Callable) -> dict[str, Callable]:
    """softmax_cross_entropy() with its right results changed: change(loss, dscores, scores, y)."""
    return {"softmax_cross_entropy": lambda scores, y: change(*solution.softmax_cross_entropy(scores, y), scores, y)}


def softmax_of(shift: Callable, epsilon: float | None = None, axis: int = 1) -> dict[str, Callable]:
    """softmax_cross_entropy() with another number subtracted; with an epsilon, by the logarithm of p + epsilon."""

    def softmax_cross_entropy(scores: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
        samples, shifted = np.arange(len(y)), scores - shift(scores)
        e = np.exp(shifted)
        total = e.sum(axis=axis, keepdims=True)
        log_p = shifted - np.log(total) if epsilon is None else np.log(e / total + epsilon)
        p = np.exp(log_p) if epsilon is None else e / total
        p[samples, y] -= 1
        return float(-log_p[samples, y].mean()), p / len(y)

    return {"softmax_cross_entropy": softmax_cross_entropy}


def largest_of_row(scores: np.ndarray) -> np.ndarray:
    return scores.max(axis=1, keepdims=True)


def labels_from_1(scores: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    return solution.softmax_cross_entropy(scores, y - 1)


def all_labels_columns(loss: float, dscores: np.ndarray, scores: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    p = len(y) * dscores
    p[np.arange(len(y)), y] += 1
    p[:, y] -= 1
    return loss, p / len(y)


def as_many_columns_as(count: Callable) -> dict[str, Callable]:
    """One-hot labels with so many columns, where the scores may have more."""

    def change(loss: float, dscores: np.ndarray, scores: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
        K = scores.shape[1]
        one_hot = np.eye(count(scores, y))[y][:, :K]
        return loss, (len(y) * dscores + np.eye(K)[y] - one_hot) / len(y)

    return softmax_by(change)


SOFTMAX_SLIPS = (
    Slip(
        "the softmax is taken over the samples, and not over the classes",
        "What has to sum to 1, a row or a column? Look at the axis of every sum and maximum.",
        softmax_of(lambda scores: scores.max(axis=0), axis=0),
        r"axis *= *0|sum\(\)",
    ),
    Slip(
        "each column's largest score is subtracted",
        "p stays the same only if all scores of one sample lose the same number. Are those in a row or in a column?",
        softmax_of(lambda scores: scores.max(axis=0)),
        r"axis *= *0",
    ),
    Slip(
        "the logarithm is taken of p, which may be 0",
        "log p is the shifted score minus the logarithm of the sum, and that sum is at least 1: nothing can become log 0.",
        softmax_of(largest_of_row, 0),
        r"log\(",
    ),
    Slip(
        "the largest score of all is subtracted, and others' exponentials become 0",
        "It serves one sample. What is left of another whose scores lie 1000 below?",
        softmax_of(np.max),
        r"max\(\w*\)",
    ),
    *(
        Slip(
            "exp() overflows, as too little is subtracted before",
            "Which number, taken from all scores of a sample, leaves the largest of them at exp(0) = 1?",
            softmax_of(lambda scores: 0, epsilon),
            r"exp\(",
        )
        for epsilon in (None, 0)
    ),
    *(
        Slip(
            "a small number is added to p before the logarithm",
            "That avoids the infinity, and gives another loss: -log of the small number. Write log p as a difference instead.",
            softmax_of(largest_of_row, epsilon),
            r"\d[eE]-\d|eps",
        )
        for epsilon in EPSILONS
    ),
    Slip(
        "the minus sign of the loss is missing",
        "A logarithm of a probability is negative. Which sign has a loss?",
        softmax_by(lambda loss, dscores, *_: (-loss, dscores)),
        r"log",
    ),
    Slip(
        "the logarithm is that to base 2",
        "Losses in this field are in natural units; the gradient of your loss would have a factor 1/log 2 as well.",
        softmax_by(lambda loss, dscores, *_: (loss / np.log(2), dscores)),
        r"log2|log\(2",
    ),
    Slip(
        "loss and gradient are sums over the samples, and no means",
        "With twice as many samples, should loss and step be twice as large?",
        softmax_by(lambda loss, dscores, scores, y: (loss * len(y), dscores * len(y))),
        r"sum\(\)",
    ),
    Slip(
        "the gradient is not divided by N",
        "The loss is a mean. What becomes of its 1/N in the derivative?",
        softmax_by(lambda loss, dscores, scores, y: (loss, dscores * len(y))),
        r"return",
    ),
    Slip(
        "the mean is taken with the number of classes",
        "There is one loss a sample. By which of the two sizes does a mean over samples divide?",
        softmax_by(lambda loss, dscores, scores, y: tuple(part * len(y) / scores.shape[1] for part in (loss, dscores))),
        r"shape\[1\]|\bK\b|/",
    ),
    Slip(
        "the labels are counted from 1",
        "Labels run from 0 to K-1, as Python counts.",
        {"softmax_cross_entropy": labels_from_1},
        r"- *1",
    ),
    Slip(
        "the gradient has the wrong sign",
        "Should the score of the right class grow or shrink? A step subtracts the gradient.",
        softmax_by(lambda loss, dscores, *_: (loss, -dscores)),
        r"\+= *1|1 *-|-",
    ),
    Slip(
        "in the gradient the 1 of the right class is not subtracted",
        "With p alone every score would have to shrink, that of the right class too.",
        softmax_by(lambda loss, dscores, scores, y: (loss, dscores + np.eye(scores.shape[1])[y] / len(y))),
        r"return",
    ),
    Slip(
        "1 is subtracted in the columns of all labels, in every row",
        "Each row has one right class. `p[:, y]` takes all rows; what must stand in place of the colon?",
        softmax_by(all_labels_columns),
        r"\[:, *y\]",
    ),
    Slip(
        "the loss is one number for each sample",
        "A network has one loss, the mean of these.",
        softmax_by(lambda loss, dscores, scores, y: (losses_of_samples(scores, y), dscores)),
        r"log",
    ),
    *(
        Slip(
            "the one-hot labels have too few columns",
            "How many classes are there? The labels of a small batch, or its size, do not tell; the scores do.",
            as_many_columns_as(count),
            r"eye|zeros|max\(\) *\+ *1",
        )
        for count in (lambda scores, y: y.max() + 1, lambda scores, y: len(y))
    ),
    Slip(
        "the gradient of the last sample is 0",
        "Every sample has a part in the mean.",
        softmax_by(lambda loss, dscores, scores, y: (loss, np.where(np.arange(len(y))[:, None] < len(y) - 1, dscores, 0))),
        r"range\(|-1",
    ),
    Slip(
        "scores are cut off at 500",
        "That hides the overflow, and a sample that is wrong by 1000 costs no more than one that is wrong by 500. What may be "
        "taken from all scores of a sample?",
        {"softmax_cross_entropy": lambda scores, y: solution.softmax_cross_entropy(np.clip(scores, -500, 500), y)},
        r"clip|min|max",
    ),
)


def losses_of_samples(scores: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.array([solution.softmax_cross_entropy(scores[n : n + 1], y[n : n + 1])[0] for n in range(len(y))])


def conv_forward_by(change: Callable) -> dict[str, Callable]:
    """conv2d_forward() with its right result changed: change(y, b, channels)."""
    right = solution.conv2d_forward
    return {"conv2d_forward": lambda x, w, b, *how: change(right(x, w, b, *how), b[:, None, None], x.shape[1])}


def conv_with(
    border: Callable[[int], tuple[int, int]] = lambda pad: (pad, pad), mode: str = "constant", step: int | None = None
) -> dict[str, Callable]:
    """conv2d_forward() with another border, before and after, or always the same stride."""

    def conv2d_forward(x: np.ndarray, w: np.ndarray, b: np.ndarray, stride: int, pad: int) -> np.ndarray:
        sides = border(pad)
        return solution.conv2d_forward(np.pad(x, ((0, 0), (0, 0), sides, sides), mode=mode), w, b, step or stride, 0)

    return {"conv2d_forward": conv2d_forward}


def conv_flipped(x: np.ndarray, w: np.ndarray, *rest: Any) -> np.ndarray:
    return solution.conv2d_forward(x, w[:, :, ::-1, ::-1], *rest)


def conv_of_first_channel(x: np.ndarray, w: np.ndarray, *rest: Any) -> np.ndarray:
    return solution.conv2d_forward(x[:, :1], w[:, :1], *rest)


def conv_side_by_side(x: np.ndarray, w: np.ndarray, b: np.ndarray, stride: int, pad: int) -> np.ndarray:
    OH, OW = solution.conv2d_forward(x, w, b, stride, pad).shape[2:]
    return solution.conv2d_forward(x, w, b, 1, pad)[:, :, :OH, :OW]


def conv_only_where(is_done: Callable) -> dict[str, Callable]:
    """conv2d_forward() for some shapes only, and 0 for the others: is_done(x, w)."""

    def conv2d_forward(x: np.ndarray, w: np.ndarray, *rest: Any) -> np.ndarray:
        return solution.conv2d_forward(x, w, *rest) * (1.0 if is_done(x, w) else 0.0)

    return {"conv2d_forward": conv2d_forward}


def conv_of(pictures: Callable, filters: Callable = lambda w: w) -> dict[str, Callable]:
    """conv2d_forward() of other pictures, or with other filters."""
    return {"conv2d_forward": lambda x, w, *rest: solution.conv2d_forward(pictures(x), filters(w), *rest)}


SHAPES = "Try a picture of 4 x 7 with a filter of 2 x 3, by hand. Which of these sizes does your function count on?"

CONV_FORWARD_SLIPS = (
    Slip(
        "the filter is flipped",
        "Networks lay the filter on the picture as it is: w[f, c, 0, 0] meets the upper left pixel of the window.",
        {"conv2d_forward": conv_flipped},
        r"::-1|flip|convolve",
    ),
    Slip(
        "the bias is forgotten",
        "What must y be for a black picture?",
        conv_forward_by(lambda y, b, channels: y - b),
        r"einsum|tensordot|sum\(|@|\+=",
    ),
    Slip(
        "the bias is added once for each channel",
        "In which of the loops stands the b? The sum over channels has it once.",
        conv_forward_by(lambda y, b, channels: y + (channels - 1) * b),
        r"\bb\[|\+ *b\b",
    ),
    Slip(
        "only the first channel counts",
        "A filter has a layer of weights for each channel, and their sums go into one number.",
        {"conv2d_forward": conv_of_first_channel},
        r"\[.*\b0\b.*\]",
    ),
    Slip(
        "there is no border",
        "What does `pad` do in your function?",
        conv_with(lambda pad: (0, 0)),
        r"\bpad\b",
    ),
    Slip(
        "there is a border even where pad is 0",
        "How wide is it in yours if pad is 0? It has nothing to do with the size of the filter.",
        conv_with(lambda pad: (max(pad, 1), max(pad, 1))),
        r"pad|// *2",
    ),
    Slip(
        "the border is on two sides only",
        "np.pad takes (before, after) for each axis; a picture has four sides.",
        conv_with(lambda pad: (0, 2 * pad)),
        r"pad",
    ),
    Slip(
        "the border repeats the edge of the picture",
        "The border is of zeros.",
        conv_with(mode="edge"),
        r"edge|pad\(",
    ),
    Slip(
        "the border mirrors the picture",
        "The border is of zeros.",
        conv_with(mode="reflect"),
        r"reflect|pad\(",
    ),
    Slip(
        "the stride is ignored",
        "With a stride of 2, where does the second window begin, and how many fit?",
        conv_with(step=1),
        r"range\(|for |stride",
    ),
    Slip(
        "y has the right size, but its windows lie side by side",
        "With a stride of 2, in which row of the picture begins window number i?",
        {"conv2d_forward": conv_side_by_side},
        r"\bi *: *i\b|\bi *\+|\bi *:",
    ),
    Slip(
        "y is a row and a column short",
        "How many windows of 3 fit into 3 pixels? Put that into your formula for OH.",
        conv_forward_by(lambda y, *_: y[:, :, :-1, :-1]),
        r"// *stride",
    ),
    Slip(
        "rows and columns of y have changed places",
        "Which of i and j counts rows? y is (N, F, OH, OW).",
        conv_forward_by(lambda y, *_: y.swapaxes(2, 3)),
        r"j, *i\b|OW, *OH|swapaxes|transpose|\.T\b",
    ),
    Slip(
        "the channels are y's last axis",
        "y is (N, F, OH, OW): the filters come right after the pictures.",
        conv_forward_by(lambda y, *_: y.transpose(0, 2, 3, 1)),
        r"return|einsum|tensordot",
    ),
    Slip(
        "axes of length 1 are lost",
        "One picture, one filter, one row of windows: each is an axis all the same.",
        conv_forward_by(lambda y, *_: y.squeeze()),
        r"squeeze",
    ),
    Slip(
        "only some shapes of pictures and filters are convolved, others give 0",
        SHAPES,
        conv_only_where(lambda x, w: x.shape[2] == x.shape[3]),
    ),
    Slip(
        "only some shapes of pictures and filters are convolved, others give 0",
        SHAPES,
        conv_only_where(lambda x, w: w.shape[2] == w.shape[3]),
    ),
    Slip(
        "only some shapes of pictures and filters are convolved, others give 0",
        SHAPES,
        conv_only_where(lambda x, w: w.shape[2] % 2 == w.shape[3] % 2 == 1),
    ),
    Slip(
        "only some shapes of pictures and filters are convolved, others give 0",
        SHAPES,
        conv_only_where(lambda x, w: w.shape[2] % 2 == 0 or w.shape[3] % 2 == 0),
    ),
    Slip(
        "only some shapes of pictures and filters are convolved, others give 0",
        SHAPES,
        conv_only_where(lambda x, w: x.shape[2] % 2 == 0),
    ),
    Slip(
        "only some shapes of pictures and filters are convolved, others give 0",
        SHAPES,
        conv_only_where(lambda x, w: x.shape[3] % 2 == 1),
    ),
    Slip(
        "only some shapes of pictures and filters are convolved, others give 0",
        SHAPES,
        conv_only_where(lambda x, w: len(w) > 1),
    ),
    Slip(
        "every picture gets the map of the first one",
        "n runs over the pictures.",
        conv_of(lambda x: np.repeat(x[:1], len(x), axis=0)),
        r"\[0",
    ),
    Slip(
        "the filter is flipped upside down",
        "Row p of the filter meets row i * stride + p of the picture.",
        conv_of(lambda x: x, lambda w: w[:, :, ::-1]),
        r"::-1|flip",
    ),
    Slip(
        "the filter is flipped from left to right",
        "Column q of the filter meets column j * stride + q of the picture.",
        conv_of(lambda x: x, lambda w: w[:, :, :, ::-1]),
        r"::-1|flip",
    ),
    Slip(
        "the last row of the filter is left out",
        "p runs from 0 to KH - 1. What is the last number that your range, or slice, gives?",
        conv_of(lambda x: x, lambda w: w[:, :, :-1]),
        r"- ?1",
    ),
    Slip(
        "the border is one pixel wide at most",
        "pad rows and columns, whatever pad is.",
        conv_with(lambda pad: (min(pad, 1), min(pad, 1))),
        r"\b1\b",
    ),
    Slip(
        "a stride above 2 is taken for 2",
        "i * stride, whatever the stride is.",
        {"conv2d_forward": lambda x, w, b, stride, pad: solution.conv2d_forward(x, w, b, min(stride, 2), pad)},
        r"min|2",
    ),
)


def conv_backward_by(change: Callable) -> dict[str, Callable]:
    """conv2d_backward() with its right results changed: change(dx, dw, db, dy, x, w, stride, pad)."""
    return {"conv2d_backward": lambda dy, x, w, *how: change(*solution.conv2d_backward(dy, x, w, *how), dy, x, w, *how)}


def cropped(dxp: np.ndarray, pad: int) -> np.ndarray:
    return dxp[:, :, pad : dxp.shape[2] - pad, pad : dxp.shape[3] - pad]


def conv_backward_loops(assigned: str = "", step: int | None = None, crop: Callable = cropped) -> dict[str, Callable]:
    """conv2d_backward() with ``assigned`` ("dx" or "dw") assigned and not added up, always the same stride, or another crop."""

    def conv2d_backward(dy: np.ndarray, x: np.ndarray, w: np.ndarray, stride: int, pad: int) -> tuple[np.ndarray, ...]:
        xp, (KH, KW), s = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad))), w.shape[2:], step or stride
        dxp, dw = np.zeros_like(xp), np.zeros_like(w)
        for i, j in np.ndindex(dy.shape[2:]):
            window = (..., slice(i * s, i * s + KH), slice(j * s, j * s + KW))
            to_x = np.einsum("nf,fcpq->ncpq", dy[:, :, i, j], w)
            to_w = np.einsum("nf,ncpq->fcpq", dy[:, :, i, j], xp[window])
            dxp[window] = to_x if assigned == "dx" else dxp[window] + to_x
            dw = to_w if assigned == "dw" else dw + to_w
        return crop(dxp, pad), dw, dy.sum(axis=(0, 2, 3))

    return {"conv2d_backward": conv2d_backward}


def as_far_as_windows_reach(
    dx: np.ndarray, dw: np.ndarray, db: np.ndarray, dy: np.ndarray, x: np.ndarray, w: np.ndarray, stride: int, pad: int
) -> tuple[np.ndarray, ...]:
    rows, columns = ((n - 1) * stride + k - pad for n, k in zip(dy.shape[2:], w.shape[2:], strict=True))
    return dx[:, :, :rows, :columns], dw, db


def dx_of_flipped(dx: np.ndarray, dw: np.ndarray, db: np.ndarray, dy: np.ndarray, x: np.ndarray, w: np.ndarray, *how: int):
    return solution.conv2d_backward(dy, x, w[:, :, ::-1, ::-1], *how)[0], dw, db


CONV_BACKWARD_SLIPS = (
    Slip(
        "dx is assigned, and not added up",
        "Where windows overlap, a pixel was used several times and collects a share from each. What happens to the first one?",
        conv_backward_loops(assigned="dx"),
        r"\bdxp?\w*\[.*\] *=[^=]",
    ),
    Slip(
        "dw has the share of the last window only",
        "A weight was used in every window. Do its shares add up in your loop?",
        conv_backward_loops(assigned="dw"),
        r"\bdw\b(?:\[.*\])? *=[^=].*(?:einsum|tensordot|sum|@)",
    ),
    Slip(
        "the stride is ignored",
        "Where did the forward pass find window (i, j)? The shares go back to the same place.",
        conv_backward_loops(step=1),
        r"\bi *: *i\b|\bi *\+|\bi *:|slice\(i",
    ),
    Slip(
        "dx still has its border",
        "dxp is the gradient of the picture with its border of zeros. What was asked for is that of the picture.",
        conv_backward_loops(crop=lambda dxp, pad: dxp),
        r"return",
    ),
    Slip(
        "where pad is 0, [pad:-pad] takes nothing",
        "-0 is 0, so this is [0:0]. Say where the picture ends by its height and width.",
        conv_backward_loops(crop=lambda dxp, pad: dxp[:, :, pad:-pad, pad:-pad]),
        r": *-pad",
    ),
    Slip(
        "dx is smaller than x, where the last rows or columns are in no window",
        "They had no part in y; so their gradient is 0, and they are there.",
        conv_backward_by(as_far_as_windows_reach),
        r"zeros",
    ),
    Slip(
        "dx belongs to a flipped filter",
        "The products go back the way they came: pixel (i + p, j + q) was multiplied by w[p, q], and by no other weight.",
        conv_backward_by(dx_of_flipped),
        r"::-1|flip",
    ),
    Slip(
        "dw belongs to a flipped filter",
        "w[p, q] was multiplied by pixel (i + p, j + q), and that is where its gradient comes from.",
        conv_backward_by(lambda dx, dw, db, *_: (dx, dw[:, :, ::-1, ::-1], db)),
        r"::-1|flip",
    ),
    Slip(
        "dw has filters and channels exchanged",
        "dw has w's shape, (F, C, KH, KW): the filters first.",
        conv_backward_by(lambda dx, dw, db, *_: (dx, dw.swapaxes(0, 1), db)),
        r"\bdw\b.*(?:einsum|tensordot|swapaxes|transpose)|->cf",
    ),
    Slip(
        "dw is a mean over the batch",
        "The mean over the batch is taken once, in the loss, and dy has its 1/N already.",
        conv_backward_by(lambda dx, dw, db, dy, *_: (dx, dw / len(dy), db)),
        r"mean|/ *(?:N|len)",
    ),
    Slip(
        "db is a mean over the places",
        "A bias is added at every place, and each hands back its share, undivided.",
        conv_backward_by(lambda dx, dw, db, dy, *_: (dx, dw, dy.mean(axis=(2, 3)).sum(axis=0))),
        r"mean",
    ),
    Slip(
        "db is a single number",
        "Each filter has a bias of its own. Which axis has to stay?",
        conv_backward_by(lambda dx, dw, db, *_: (dx, dw, db.sum())),
        r"sum\(",
    ),
    Slip(
        "db is summed over the wrong axes",
        "Of dy's four axes only that of the filters stays. Which number has it?",
        conv_backward_by(lambda dx, dw, db, dy, *_: (dx, dw, dy.sum(axis=(1, 2, 3)))),
        r"axis *= *\(1",
    ),
    Slip(
        "dx and dw have changed places",
        "In which order are the three asked for?",
        conv_backward_by(lambda dx, dw, db, *_: (dw, dx, db)),
        r"return",
    ),
    Slip(
        "axes of length 1 are lost",
        "One picture, one channel, one filter: each is an axis all the same.",
        conv_backward_by(lambda dx, dw, db, *_: (dx.squeeze(), dw.squeeze(), db)),
        r"squeeze",
    ),
    Slip(
        "every picture gets the dx of the first one",
        "n runs over the pictures.",
        conv_backward_by(lambda dx, dw, db, *_: (np.repeat(dx[:1], len(dx), axis=0), dw, db)),
        r"\[0",
    ),
    Slip(
        "dx still has its border",
        "dx has the shape of x: dxp without the pad rows and columns on each side.",
        conv_backward_loops(crop=lambda dxp, pad: dxp),
    ),
    Slip(
        "dx still has its border",
        "dx has the shape of x: dxp without the pad rows and columns on each side.",
        conv_backward_by(
            lambda dx, dw, db, dy, x, w, stride, pad: (np.pad(dx, ((0, 0), (0, 0), (pad, pad), (pad, pad))), dw, db)
        ),
    ),
)


def within(tolerance: float) -> Callable[[np.ndarray, np.ndarray], bool]:
    """Whether all differences are at most this share of the largest gradient."""
    return lambda claimed, numeric: np.abs(claimed - numeric).max() <= tolerance * np.abs(numeric).max()


close_enough = within(1e-5)


def below(tolerance: float) -> Callable[[np.ndarray, np.ndarray], bool]:
    """Whether all differences are below this number."""
    return lambda claimed, numeric: np.abs(claimed - numeric).max() < tolerance


def nearly_within(claimed: np.ndarray, numeric: np.ndarray) -> bool:
    """As within(1e-5), and whatever is below 1e-9 counts as equal."""
    return np.abs(claimed - numeric).max() <= 1e-5 * np.abs(numeric).max() + 1e-9


def cosine(claimed: np.ndarray, numeric: np.ndarray) -> bool:
    return (claimed * numeric).sum() > 0.99999 * np.linalg.norm(claimed) * np.linalg.norm(numeric)


def at_random(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return rng.standard_normal(np.shape(y))


def ones(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.ones(np.shape(y))


def judge_by(
    compare: Callable = close_enough, projection: Callable = at_random, h: float = 1e-5, dtype: type | None = np.float64
) -> dict[str, Callable]:
    """gradient_is_right() with another comparison, another r, another h, or with x as it comes (no dtype)."""

    def gradient_is_right(forward: Callable, backward: Callable, x: np.ndarray, rng: np.random.Generator) -> bool:
        x = x.astype(dtype or x.dtype)
        r = projection(rng, x, forward(x))
        claimed, numeric = np.array(backward(r, x), np.float64), np.empty(x.shape)
        for i in np.ndindex(x.shape):
            above, below = x.copy(), x.copy()
            above[i] += h
            below[i] -= h
            numeric[i] = ((forward(above) - forward(below)) * r).sum() / (2 * h)
        return bool(compare(claimed, numeric))

    return {"gradient_is_right": gradient_is_right}


def of_a_matrix(forward: Callable, backward: Callable, x: np.ndarray, rng: np.random.Generator) -> bool:
    rows, columns = x.shape
    return solution.gradient_is_right(forward, backward, x, rng) and rows * columns > 0


EQUAL_ENTRIES = (
    "There are layers whose outputs have the same sum whatever x is. Weighted alike they tell nothing: the gradient is 0, and "
    "so is that of a backward pass which lacks a term."
)

FAULT_FINDING_SLIPS = (
    Slip(
        "every layer is called right, the faulty ones too",
        "What is compared with what? Neither side may come from the other.",
        {"gradient_is_right": lambda *_: True},
        r"return",
    ),
    *(
        Slip(
            "nearly all layers are called faulty, the right ones too",
            "A numeric gradient is never exact. In float64 an h of about 1e-5 leaves an error of 1e-10 or so; with a much "
            "smaller h, or in float32, only rounding is left.",
            functions,
            r"1e-(?:9|1\d)|float32|==",
        )
        for functions in ({"gradient_is_right": lambda *_: False}, judge_by(h=1e-12))
    ),
    Slip("r has equal entries", EQUAL_ENTRIES, judge_by(projection=ones), r"ones|sum\(\)"),
    Slip(
        "r has equal entries, and small differences count as none",
        EQUAL_ENTRIES,
        judge_by(nearly_within, ones),
        r"ones|sum\(\)",
    ),
    Slip(
        "r is y itself",
        "There are layers for which the sum of the squares of y is always the same. r must have nothing to do with y.",
        judge_by(nearly_within, lambda rng, x, y: y),
        r"\br\b *= *.*forward",
    ),
    *(
        Slip(
            "differences are compared with a fixed number",
            "A gradient can be a millionth everywhere, or a hundred million. What is a small difference in each of them?",
            judge_by(below(tolerance)),
            r"<|>|allclose|tol",
        )
        for tolerance in (1e-5, 1e-7)
    ),
    Slip(
        "a NaN is let through",
        "NaN is neither larger nor smaller than anything: both comparisons are False. Ask whether all differences are small.",
        judge_by(lambda claimed, numeric: not np.abs(claimed - numeric).max() > 1e-5 * np.abs(numeric).max()),
        r">",
    ),
    Slip(
        "only the first entry is compared",
        "A fault may sit in a single entry, in any of them.",
        judge_by(lambda claimed, numeric: close_enough(claimed.ravel()[:1], numeric.ravel()[:1])),
        r"\[0\]|return",
    ),
    Slip(
        "signs are ignored",
        "The most common fault of all is a minus. Where is the absolute value taken, of each side or of the difference?",
        judge_by(lambda claimed, numeric: close_enough(np.abs(claimed), np.abs(numeric))),
        r"abs",
    ),
    *(
        Slip(
            "differences of some per cent pass",
            "A gradient that is 5 % too large everywhere is wrong, and a numeric one is good to many digits. How strict is "
            "yours?",
            judge_by(compare),
            r"<|>|tol|norm|0\.\d",
        )
        for compare in (within(0.1), within(0.5), cosine)
    ),
    Slip(
        "only sums or means over all entries are compared",
        "Two entries that have changed places leave the sum as it is. Compare entry by entry.",
        judge_by(lambda claimed, numeric: abs(claimed.sum() - numeric.sum()) <= 1e-5 * np.abs(numeric).max()),
        r"sum\(|mean\(",
    ),
    Slip(
        "only lengths are compared",
        "A vector of the same length can point anywhere. Take the length of the difference, or compare entry by entry.",
        judge_by(lambda claimed, numeric: close_enough(np.linalg.norm(claimed), np.linalg.norm(numeric))),
        r"norm",
    ),
    Slip(
        "h is too large",
        "The error of a numeric gradient grows with the square of h. How large is it with yours, beside what you allow?",
        judge_by(h=0.1),
        r"\bh\b *=|eps",
    ),
    Slip(
        "whole numbers and gradients of 0 are not provided for",
        "An array of integers cannot hold x + h. And where the gradient is 0, what gives a difference divided by it?",
        judge_by(dtype=None),
        r"copy\(|/",
    ),
    Slip(
        "r has the shape of x, and not that of y",
        "r stands for dL/dy: there is one number for each entry of y, and y may be smaller than x.",
        judge_by(projection=lambda rng, x, y: rng.standard_normal(x.shape)),
        r"x\.shape|like\(x",
    ),
    Slip(
        "x is taken for a matrix",
        "x may have any number of axes; np.ndindex runs through all entries of any shape.",
        {"gradient_is_right": of_a_matrix},
        r"shape|for .* in range",
    ),
    Slip(
        "only signs are compared",
        "A gradient that is twice too large has the right signs.",
        judge_by(lambda claimed, numeric: (np.sign(claimed) == np.sign(np.round(numeric, 9))).all()),
        r"sign",
    ),
    Slip(
        "only the last entry is compared",
        "A fault may be in a single entry, anywhere.",
        judge_by(lambda claimed, numeric: close_enough(claimed.ravel()[-1:], numeric.ravel()[-1:])),
        r"\[-1",
    ),
    Slip(
        "only the first row is compared",
        "A fault may be in a single entry, anywhere.",
        judge_by(lambda claimed, numeric: close_enough(claimed[0], numeric[0])),
        r"\[0\]",
    ),
    Slip(
        "the first row is not compared",
        "A fault may be in a single entry, anywhere.",
        judge_by(lambda claimed, numeric: close_enough(claimed[1:], numeric[1:])),
        r"\[1:\]|range\(1",
    ),
)
