"""Answers to the tasks of lesson 3: wrong ones as people write them, and right ones written differently from the solution.

``WRONG[task]`` has (what it does, functions, title of the mistake that it is, or None), ``RIGHT[task]`` (how, functions). The
functions take the place of the solution's.
"""

import math
from itertools import product

import numpy as np

from minicnn.course import find_lesson
from minicnn.kernels import reference, textbook
from minicnn.layers import AvgPool2d, Conv2d, MaxPool2d
from minicnn.layers.receptive_field import ReceptiveField

solution = find_lesson("3").solution
WRONG, RIGHT = {}, {}


def padded(x, pad, value=0.0):
    return np.pad(x, [(0, 0), (0, 0), (pad, pad), (pad, pad)], constant_values=value)


def map_size(H, W, kernel, stride, pad, dilation=1):
    return tuple((n + 2 * pad - dilation * (k - 1) - 1) // stride + 1 for n, k in zip((H, W), kernel, strict=True))


def into_one_array(function):
    """The results of equal shape all in the same array."""
    kept = {}

    def call(*arguments):
        result = function(*arguments)
        kept.setdefault(result.shape, np.empty_like(result))[...] = result
        return kept[result.shape]

    return call


# ---- task 1: sizes and fields


def sizes(rule):
    """output_size() as a recursion over the layers."""

    def output_size(size, layers):
        if not layers:
            return size
        k, s, p, d = layers[0]
        return output_size(rule(size, k, s, p, d), layers[1:])

    return {"output_size": output_size}


def fields(update):
    """receptive_field() that keeps its three numbers in a dict."""

    def receptive_field(layers):
        f = {"first": 0, "last": 0, "step": 1}
        for k, s, p, d in layers:
            update(f, k, s, p, d)
        return f["first"], f["last"], f["step"]

    return {"receptive_field": receptive_field}


def reach(f, by, p, step=None):
    """Both ends of a field moved."""
    step = f["step"] if step is None else step
    f["first"] -= step * p
    f["last"] += step * (by - p)


def own_stride_first(f, k, s, p, d):
    f["step"] *= s
    reach(f, d * (k - 1), p)


def added_strides(f, k, s, p, d):
    reach(f, d * (k - 1), p)
    f["step"] += s


def no_dilation(f, k, s, p, d):
    reach(f, k - 1, p)
    f["step"] *= s


def whole_kernel(f, k, s, p, d):
    reach(f, d * k, p)
    f["step"] *= s


def no_strides_below(f, k, s, p, d):
    reach(f, d * (k - 1), p, step=1)
    f["step"] *= s


def pads_in_pixels(f, k, s, p, d):
    f["first"] -= p
    f["last"] += f["step"] * d * (k - 1) - p
    f["step"] *= s


def no_padding(f, k, s, p, d):
    reach(f, d * (k - 1), 0)
    f["step"] *= s


def padding_before_only(f, k, s, p, d):
    f["first"] -= f["step"] * p
    f["last"] += f["step"] * d * (k - 1)
    f["step"] *= s


def padding_on_both_ends(f, k, s, p, d):
    f["first"] -= f["step"] * p
    f["last"] += f["step"] * (d * (k - 1) + p)
    f["step"] *= s


def from_the_top(layers):
    """What element 0 of the last map sees, from the last layer down."""
    first = last = 0
    for k, s, p, d in reversed(layers):
        first, last = first * s - p, last * s - p + d * (k - 1)
    return [first, last, math.prod(s for _, s, _, _ in layers)]


def with_arrays(layers):
    if not len(layers):
        return 0, 0, 1
    k, s, p, d = np.array(layers).T
    steps = np.concatenate([[1], np.cumprod(s)])
    return -(steps[:-1] * p).sum(), (steps[:-1] * (d * (k - 1) - p)).sum(), steps[-1]


def size_and_step(layers):
    first, last, step = from_the_top(layers)
    return first, last - first + 1, step


def by_laying_windows(size, layers):
    for k, s, p, d in layers:
        places = range(-p, size + p)
        size = sum(1 for begin in places[::s] if begin + d * (k - 1) in places)
    return size


def by_the_engine(layers):
    field = ReceptiveField()
    for k, s, p, d in layers:
        field = field.through(Conv2d(1, 1, k, stride=s, pad=p, dilation=d).geometry((1, 1, 99, 99)))
    return field.first[1], field.last[1], field.stride[1]


WRONG[1] = [
    (
        "no + 1",
        sizes(lambda n, k, s, p, d: int((n + 2 * p - d * (k - 1) - 1) / s)),
        "the 1 at the end of the output size is missing",
    ),
    (
        "one pad",
        sizes(lambda n, k, s, p, d: (n + p - d * (k - 1) - 1) // s + 1),
        "padding counts on one side only in the output size",
    ),
    ("ceil", sizes(lambda n, k, s, p, d: math.ceil((n + 2 * p - d * (k - 1) - 1) / s) + 1), "the output size is rounded up"),
    ("round", sizes(lambda n, k, s, p, d: (n + 2 * p - d * (k - 1) - 1) / s + 1), None),
    ("no dilation", sizes(lambda n, k, s, p, d: (n - k + 2 * p) // s + 1), "the output size knows nothing of the dilation"),
    (
        "a window of dilation * kernel",
        sizes(lambda n, k, s, p, d: (n - d * k + 2 * p) // s + 1),
        "the window spans dilation * kernel in the output size",
    ),
    (
        "always of the picture's size",
        {"output_size": lambda size, layers: [size, *((size + 2 * p - d * (k - 1) - 1) // s + 1 for k, s, p, d in layers)][-1]},
        "each layer is given the size of the picture",
    ),
    (
        "from the top, sizes",
        {"output_size": lambda size, layers: by_laying_windows(size, list(reversed(layers)))},
        "the layers are gone through from the last to the first in output_size",
    ),
    ("no dilation in the field", fields(no_dilation), "the field knows nothing of the dilation"),
    ("step first", fields(own_stride_first), "a layer's own stride widens its field already"),
    ("strides added", fields(added_strides), "strides are added, not multiplied"),
    ("no strides", fields(no_strides_below), "the field grows as if no layer below had a stride"),
    ("kernel, not kernel - 1", fields(whole_kernel), "the field grows by the window's size, not by the distance of its ends"),
    ("pads in pixels", fields(pads_in_pixels), "padding is counted in pixels, whatever lies below"),
    ("pads forgotten", fields(no_padding), "padding does not move the field"),
    ("pads at the beginning", fields(padding_before_only), "padding moves the beginning of the field, and not its end"),
    ("pads widen both ends", fields(padding_on_both_ends), None),
    (
        "from the top, fields",
        {"receptive_field": lambda layers: with_arrays(list(layers)[::-1])},
        "the layers are gone through from the last to the first in receptive_field",
    ),
    (
        "the size",
        {"receptive_field": size_and_step},
        "the size of the field is given in the place of its last pixel",
    ),
    ("two numbers", {"receptive_field": lambda layers: tuple(from_the_top(layers)[:2])}, "Not as many results as asked for"),
    (
        "nothing works without layers",
        {"receptive_field": lambda layers: (layers[0], *from_the_top(layers)[1:])},
        "An array came where a number belongs",
    ),
]
RIGHT[1] = [
    ("from the top, a list", {"receptive_field": from_the_top}),
    ("arrays", {"receptive_field": with_arrays}),
    ("an array", {"receptive_field": lambda layers: np.array(from_the_top(layers))}),
    ("windows laid one by one", {"output_size": by_laying_windows}),
    ("a recursion", sizes(lambda n, k, s, p, d: math.floor((n + 2 * p - ((k - 1) * d + 1)) / s + 1))),
    ("the engine", {"receptive_field": by_the_engine}),
    ("numbers of NumPy", {"output_size": lambda size, layers: np.int64(by_laying_windows(size, layers))}),
]

# ---- task 2: im2col and col2im


def indices(C, kernel, stride, size, order="cpq", places="ij"):
    """Channel, row and column of each entry of the matrix: three arrays (rows, windows)."""
    lengths = {"c": C, "p": kernel[0], "q": kernel[1], "i": size[0], "j": size[1]}
    rows = [dict(zip(order, index, strict=True)) for index in product(*(range(lengths[axis]) for axis in order))]
    windows = [dict(zip(places, index, strict=True)) for index in product(*(range(lengths[axis]) for axis in places))]
    entries = [[(r["c"], w["i"] * stride + r["p"], w["j"] * stride + r["q"]) for w in windows] for r in rows]
    return np.array(entries).transpose(2, 0, 1)


def gathered(stride_too=True, **order):
    """im2col() with an array of indices."""

    def im2col(x, kernel, stride, pad):
        _, C, H, W = x.shape
        c, h, v = indices(C, kernel, stride if stride_too else 1, map_size(H, W, kernel, stride, pad), **order)
        return padded(x, pad)[:, c, h, v]

    return im2col


def crop(dxp, H, W, pad):
    return dxp[:, :, pad : pad + H, pad : pad + W]


def scattered(stride_too=True, add=True, finish=crop, **order):
    """col2im() with an array of indices; finish(dxp, H, W, pad) crops."""

    def col2im(columns, input_size, kernel, stride, pad):
        H, W = input_size
        C = columns.shape[1] // math.prod(kernel)
        c, h, v = indices(C, kernel, stride if stride_too else 1, map_size(H, W, kernel, stride, pad), **order)
        dxp = np.zeros((len(columns), C, H + 2 * pad, W + 2 * pad))
        if add:
            np.add.at(dxp, (slice(None), c, h, v), columns)
        else:
            for window in range(columns.shape[2]):
                dxp[:, c[:, window], h[:, window], v[:, window]] = columns[:, :, window]
        return finish(dxp, H, W, pad)

    return col2im


def slow_im2col(x, kernel, stride, pad):
    N, C, H, W = x.shape
    OH, OW = map_size(H, W, kernel, stride, pad)
    pictures = []
    for n in range(N):
        rows = []
        for c in range(C):
            for p in range(kernel[0]):
                for q in range(kernel[1]):
                    row = []
                    for i in range(OH):
                        for j in range(OW):
                            h, v = i * stride + p - pad, j * stride + q - pad
                            row.append(x[n, c, h, v] if 0 <= h < H and 0 <= v < W else 0.0)
                    rows.append(row)
        pictures.append(rows)
    return np.array(pictures)


def strided_im2col(x, kernel, stride, pad):
    windows = np.lib.stride_tricks.sliding_window_view(padded(x, pad), kernel, axis=(2, 3))[:, :, ::stride, ::stride]
    N, C, OH, OW, KH, KW = windows.shape
    return windows.transpose(0, 1, 4, 5, 2, 3).reshape(N, C * KH * KW, OH * OW)


def col2im_by_matrix(columns, input_size, kernel, stride, pad):
    """The transpose of im2col as a matrix, measured column by column."""
    C, (H, W) = columns.shape[1] // math.prod(kernel), input_size
    basis = np.eye(C * H * W).reshape(-1, C, H, W)
    A = slow_im2col(basis, kernel, stride, pad).reshape(len(basis), -1)
    return (columns.reshape(len(columns), -1) @ A.T).reshape(-1, C, H, W)


def col2im_by_counting(columns, input_size, kernel, stride, pad):
    (H, W), N = input_size, len(columns)
    C = columns.shape[1] // math.prod(kernel)
    c, h, v = indices(C, kernel, stride, map_size(H, W, kernel, stride, pad))
    inside = (h >= pad) & (h < pad + H) & (v >= pad) & (v < pad + W)
    at = (c * H + h - pad) * W + v - pad
    dx = [np.bincount(at[inside], columns[n][inside], minlength=C * H * W) for n in range(N)]
    return np.array(dx).reshape(N, C, H, W)


def as_textbook(function):
    def call(x, *arguments):
        *size, kernel, stride, pad = arguments
        return function(x, *size, kernel, (stride, stride), (pad,) * 4, (1, 1))

    return call


def mean_of_windows(columns, input_size, kernel, stride, pad):
    total = scattered()(columns, input_size, kernel, stride, pad)
    times = scattered()(np.ones_like(columns), input_size, kernel, stride, pad)
    return np.divide(total, times, out=np.zeros_like(total), where=times > 0)


def flipped_im2col(x, kernel, stride, pad):
    columns = slow_im2col(x, kernel, stride, pad)
    N, _, L = columns.shape
    return columns.reshape(N, -1, kernel[0] * kernel[1], L)[:, :, ::-1].reshape(columns.shape)


def pad_on_two_sides(x, kernel, stride, pad):
    """The border above and to the left only, twice as thick."""
    moved = np.pad(x, [(0, 0), (0, 0), (2 * pad, 0), (2 * pad, 0)])
    return solution.im2col(moved, kernel, stride, 0)


WRONG[2] = [
    (
        "stride forgotten",
        {"im2col": gathered(stride_too=False)},
        "the windows of im2col lie one pixel apart, whatever the stride",
    ),
    (
        "taps before channels",
        {"im2col": gathered(order="pqc")},
        "the rows of the matrix are sorted by tap first, and by channel within it",
    ),
    ("taps by columns", {"im2col": gathered(order="cqp")}, "the taps in the rows are counted column by column"),
    ("windows by columns", {"im2col": gathered(places="ji")}, "the columns are sorted column by column of the map"),
    (
        "rows are windows",
        {"im2col": lambda *a: np.array([matrix.T for matrix in slow_im2col(*a)])},
        "each matrix is transposed: windows are its rows",
    ),
    (
        "one matrix",
        {"im2col": lambda *a: np.concatenate(list(strided_im2col(*a)), axis=1)},
        "all pictures are in one matrix",
    ),
    ("flipped", {"im2col": flipped_im2col}, "the windows are flipped"),
    ("the border on two sides", {"im2col": pad_on_two_sides}, None),
    (
        "no border",
        {"im2col": lambda x, kernel, stride, pad: gathered()(x, kernel, stride, 0)},
        "there is no border, whatever pad is",
    ),
    ("always the same array", {"im2col": into_one_array(slow_im2col)}, "An array is kept from call to call"),
    ("whole numbers", {"im2col": lambda *a: slow_im2col(*a).astype(int)}, "The result does not hold floats"),
    ("assigned", {"col2im": scattered(add=False)}, "windows overwrite what others have left in the same pixel"),
    ("a mean", {"col2im": mean_of_windows}, "col2im is a mean over the windows of a pixel"),
    ("not cropped", {"col2im": scattered(finish=lambda dxp, *_: dxp)}, "the border is still around dx"),
    (
        "cropped by -pad",
        {"col2im": scattered(finish=lambda dxp, H, W, pad: dxp[..., pad:-pad, pad:-pad])},
        "dx is cut with [pad:-pad], which is nothing where pad is 0",
    ),
    ("cropped at the end", {"col2im": scattered(finish=lambda dxp, H, W, pad: dxp[..., :H, :W])}, "dx is cut at the wrong end"),
    (
        "stride forgotten on the way back",
        {"col2im": scattered(stride_too=False)},
        "the windows of col2im lie one pixel apart, whatever the stride",
    ),
    (
        "taps before channels on the way back",
        {"col2im": scattered(order="pqc")},
        "col2im takes the rows to be sorted by tap first, and by channel within it",
    ),
    (
        "windows by columns on the way back",
        {"col2im": scattered(places="ji")},
        "col2im takes the columns to be sorted column by column of the map",
    ),
    ("axes of length 1 lost", {"col2im": lambda *a: np.squeeze(col2im_by_counting(*a))}, None),
    ("a row short", {"col2im": lambda *a: col2im_by_counting(*a)[:, :, :-1]}, None),
]
RIGHT[2] = [
    ("six loops", {"im2col": slow_im2col}),
    ("strided views", {"im2col": strided_im2col}),
    ("an array of indices", {"im2col": gathered(), "col2im": scattered()}),
    ("the transposed matrix", {"col2im": col2im_by_matrix}),
    ("bincount", {"col2im": col2im_by_counting}),
    ("the textbook's", {"im2col": as_textbook(textbook.im2col), "col2im": as_textbook(textbook.col2im)}),
    ("other memory layouts", {"im2col": lambda *a: np.asfortranarray(slow_im2col(*a))}),
]

# ---- task 3: a matrix product


def product_loops(columns, w, b, size):
    """A picture and a filter at a time."""
    y = np.zeros((len(columns), len(w), *size))
    for n, picture in enumerate(columns):
        for f, weights in enumerate(w):
            y[n, f] = (weights.ravel() @ picture).reshape(size) + b[f]
    return y


def product_einsum(columns, w, b, size):
    KH, KW = w.shape[2:]
    windows = columns.reshape(len(columns), -1, KH, KW, *size)
    return np.einsum("fcpq,ncpqij->nfij", w, windows) + b[None, :, None, None]


def product_at_once(columns, w, b, size, exchange=True):
    """All pictures side by side in one wide matrix."""
    N, K, L = columns.shape
    y = w.reshape(-1, K) @ np.moveaxis(columns, 1, 0).reshape(K, N * L) + b.reshape(-1, 1)
    if exchange:
        return y.reshape(len(w), N, *size).transpose(1, 0, 2, 3)
    return y.reshape(N, len(w), *size)


def product_with(weights=lambda w: w, bias=lambda b: b):
    return {"product_forward": lambda columns, w, b, size: product_loops(columns, weights(w), bias(b), size)}


def counted_anew(columns, w, b, size):
    F = w.shape[0]
    y = np.array([w.reshape(-1, F).T @ picture + b[:, np.newaxis] for picture in columns])
    return y.reshape(-1, F, *size)


def gradient_loops(dy, columns, w):
    """Picture by picture."""
    dcolumns, dw, db = np.zeros(columns.shape), np.zeros(w.shape), np.zeros(len(w))
    for n in range(len(dy)):
        of_picture = dy[n].reshape(len(w), -1)
        dcolumns[n] = w.reshape(len(w), -1).T @ of_picture
        dw += (of_picture @ columns[n].T).reshape(w.shape)
        db += of_picture.sum(axis=1)
    return dcolumns, dw, db


def gradient_einsum(dy, columns, w):
    dy = dy.reshape(len(dy), len(w), -1)
    dw = np.einsum("nfl,nkl->fk", dy, columns).reshape(w.shape)
    return [np.einsum("fk,nfl->nkl", w.reshape(len(w), -1), dy), dw, np.einsum("nfl->f", dy)]


def gradient_at_once(dy, columns, w, exchange=True):
    N, K, L = columns.shape
    wide = dy.transpose(1, 0, 2, 3).reshape(len(w), -1) if exchange else dy.reshape(len(w), -1)
    dw = wide @ columns.transpose(0, 2, 1).reshape(N * L, K)
    dcolumns = np.tensordot(w.reshape(len(w), K), dy.reshape(N, len(w), L), axes=(0, 1)).transpose(1, 0, 2)
    return dcolumns, dw.reshape(w.shape), dy.sum(axis=3).sum(axis=2).sum(axis=0)


def gradients(change):
    return {"product_backward": lambda dy, columns, w: change(*gradient_loops(dy, columns, w), dy, columns, w)}


def last_dw(dy, columns, w):
    dcolumns, dw, db = gradient_einsum(dy, columns, w)
    for n in range(len(dy)):
        dw = (dy[n].reshape(len(w), -1) @ columns[n].T).reshape(w.shape)
    return dcolumns, dw, db


def dw_the_other_way(dy, columns, w):
    dcolumns, _, db = gradient_einsum(dy, columns, w)
    dw = sum(columns[n] @ dy[n].reshape(len(w), -1).T for n in range(len(dy)))
    return dcolumns, dw.reshape(w.shape), db


def taps_outside(dy, columns, w):
    _, dw, db = gradient_einsum(dy, columns, w)
    rows = np.moveaxis(w, 1, 3).reshape(len(w), -1)
    return np.array([rows.T @ one.reshape(len(w), -1) for one in dy]), dw, db


WRONG[3] = [
    ("no bias", product_with(bias=np.zeros_like), "the bias is missing"),
    ("bias subtracted", product_with(bias=np.negative), "the bias is subtracted"),
    (
        "bias of the first filter",
        product_with(bias=lambda b: np.full_like(b, b[0])),
        "every filter gets the bias of the first one",
    ),
    (
        "axes not exchanged",
        {"product_forward": lambda *a: product_at_once(*a, exchange=False)},
        "filters and pictures are mixed up: (F, N, OH OW) is given the shape (N, F, OH, OW)",
    ),
    (
        "reshaped to (K, F)",
        {"product_forward": counted_anew},
        "the weights are counted anew, with the filters as the last axis",
    ),
    (
        "taps before channels",
        product_with(lambda w: np.moveaxis(w, 1, 3)),
        "the rows of the filters are sorted by tap first, and by channel within it",
    ),
    ("flipped", product_with(lambda w: np.rot90(w, 2, axes=(2, 3))), "the filters are flipped"),
    (
        "rows and columns exchanged",
        {"product_forward": lambda columns, w, b, size: product_einsum(columns, w, b, (size[1], size[0]))},
        "the map's rows and columns are exchanged",
    ),
    (
        "filled by columns",
        {"product_forward": lambda columns, w, b, size: product_einsum(columns, w, b, size[::-1]).transpose(0, 1, 3, 2)},
        "the map is filled column by column",
    ),
    (
        "still a matrix",
        {"product_forward": lambda *a: product_einsum(*a).reshape(len(a[0]), len(a[1]), -1)},
        "the places are still in one row, not in rows and columns",
    ),
    (
        "dw a mean over the batch",
        gradients(lambda dc, dw, db, dy, c, w: (dc, dw / dy.shape[0], db)),
        "dw is a mean over the pictures",
    ),
    ("dw assigned in the loop", {"product_backward": last_dw}, "dw is that of the last picture"),
    (
        "dw a mean over the windows",
        gradients(lambda dc, dw, db, dy, c, w: (dc, dw / c.shape[-1], db)),
        "dw is a mean over the windows",
    ),
    (
        "dw the other way",
        {"product_backward": dw_the_other_way},
        "dw is right as (C KH KW, F), and is counted anew as (F, C, KH, KW)",
    ),
    ("dw a matrix", gradients(lambda dc, dw, db, dy, c, w: (dc, dw.reshape(len(w), -1), db)), "dw is still a matrix of rows"),
    (
        "dcolumns of one picture",
        gradients(lambda dc, dw, db, dy, c, w: (np.stack([dc[0]] * len(dy)), dw, db)),
        "dcolumns is that of the first picture, for all",
    ),
    (
        "dcolumns' taps before channels",
        {"product_backward": taps_outside},
        "the rows of dcolumns are sorted by tap first, and by channel within it",
    ),
    (
        "dy not exchanged",
        {"product_backward": lambda *a: gradient_at_once(*a, exchange=False)},
        "dy's pictures and filters are mixed up: (N, F, ...) is given the shape (F, N OH OW)",
    ),
    (
        "db a mean over the batch",
        gradients(lambda dc, dw, db, dy, c, w: (dc, dw, dy.mean(axis=0).sum(axis=(1, 2)))),
        "db is a mean over the pictures",
    ),
    (
        "db a mean over the windows",
        gradients(lambda dc, dw, db, dy, c, w: (dc, dw, dy.mean(axis=(2, 3)).sum(axis=0))),
        "db is a mean over the windows",
    ),
    (
        "db a mean",
        gradients(lambda dc, dw, db, dy, c, w: (dc, dw, dy.mean(axis=(0, 2, 3)))),
        "db is a mean over the pictures and the windows",
    ),
    ("db one number", gradients(lambda dc, dw, db, dy, c, w: (dc, dw, np.sum(dy))), "db is one number for all filters"),
    ("db missing", gradients(lambda dc, dw, db, *_: (dc, dw)), "Not as many results as asked for"),
    ("the wrong order", gradients(lambda dc, dw, db, *_: (dw, dc, db)), None),
    (
        "dy changed",
        gradients(lambda dc, dw, db, dy, c, w: (dc, dw, np.multiply(dy, 2, out=dy).sum(axis=(0, 2, 3)) / 2)),
        "An argument is changed",
    ),
]
RIGHT[3] = [
    ("loops", {"product_forward": product_loops, "product_backward": gradient_loops}),
    ("einsum, a list", {"product_forward": product_einsum, "product_backward": gradient_einsum}),
    ("one wide matrix", {"product_forward": product_at_once, "product_backward": gradient_at_once}),
    (
        "matmul",
        {
            "product_forward": lambda c, w, b, size: (np.matmul(w.reshape(len(w), -1), c) + b[None, :, None]).reshape(
                -1, len(w), *size
            )
        },
    ),
]

# ---- task 4: max pooling


def each_window(x, kernel, stride, pad):
    """n, c, i, j and the slices of each window, one by one."""
    N, C, H, W = x.shape
    OH, OW = map_size(H, W, kernel, stride, pad)
    for n, c, i, j in product(range(N), range(C), range(OH), range(OW)):
        yield (n, c, i, j), (n, c, slice(i * stride, i * stride + kernel[0]), slice(j * stride, j * stride + kernel[1]))


def max_loops(best=np.max, border=-np.inf):
    def max_pool_forward(x, kernel, stride, pad):
        xp = padded(x, pad, border)
        y = np.zeros((*x.shape[:2], *map_size(*x.shape[2:], kernel, stride, pad)))
        for at, window in each_window(x, kernel, stride, pad):
            y[at] = best(xp[window])
        return y

    return {"max_pool_forward": max_pool_forward}


def winners(choose, border=lambda x: -np.inf, add=True, finish=crop, stride_too=True, value=lambda dy, window: dy):
    """max_pool_backward() window by window; choose(window) gives the (p, q) of those that win."""

    def max_pool_backward(dy, x, kernel, stride, pad):
        xp = padded(x, pad, border(x))
        dxp = np.zeros(xp.shape)
        for (n, c, i, j), (_, _, rows, columns) in each_window(x, kernel, stride, pad):
            top, left = (rows.start, columns.start) if stride_too else (i, j)
            window = xp[n, c, top : top + kernel[0], left : left + kernel[1]]
            for p, q in choose(window):
                before = dxp[n, c, top + p, left + q] if add else 0
                dxp[n, c, top + p, left + q] = before + value(dy[n, c, i, j], window)
        return finish(dxp, *x.shape[2:], pad)

    return {"max_pool_backward": max_pool_backward}


def first(window):
    return [np.unravel_index(np.argmax(window), window.shape)]


def last(window):
    best = None
    for p, q in np.ndindex(window.shape):
        if best is None or window[p, q] >= window[best]:
            best = p, q
    return [best]


def first_down(window):
    q, p = np.unravel_index(np.argmax(window.T), window.T.shape)
    return [(p, q)]


def every(window):
    return np.argwhere(window == window.max())


def least(window):
    return [np.unravel_index(np.argmin(np.where(np.isinf(window), np.inf, window)), window.shape)]


def everywhere_in(window):
    return list(np.ndindex(window.shape))


def masks(dy, x, kernel, stride, pad):
    """Whole windows assigned, with a mask."""
    xp = padded(x, pad, -np.inf)
    dxp = np.zeros_like(xp)
    for at, window in each_window(x, kernel, stride, pad):
        mask = np.zeros(kernel)
        mask[tuple(first(xp[window])[0])] = 1
        dxp[window] = mask * dy[at]
    return crop(dxp, *x.shape[2:], pad)


def running_maximum(x, kernel, stride, pad):
    OH, OW = map_size(*x.shape[2:], kernel, stride, pad)
    xp, y = padded(x, pad, -np.inf), -np.inf
    for p in range(kernel[0]):
        for q in range(kernel[1]):
            y = np.maximum(y, xp[:, :, p : p + stride * (OH - 1) + 1 : stride, q : q + stride * (OW - 1) + 1 : stride])
    return y


def places_in_columns(dy, x, kernel, stride, pad):
    """By im2col of each channel, and np.add.at."""
    (N, C, H, W), (KH, KW) = x.shape, kernel
    columns = strided_im2col(padded(x, pad, -np.inf).reshape(N * C, 1, H + 2 * pad, W + 2 * pad), kernel, stride, 0)
    dcolumns = np.zeros(columns.shape)
    np.put_along_axis(dcolumns, columns.argmax(axis=1)[:, None], dy.reshape(N * C, 1, -1), axis=1)
    dxp = scattered(finish=lambda dxp, *_: dxp)(dcolumns, (H + 2 * pad, W + 2 * pad), (KH, KW), stride, 0)
    return crop(dxp.reshape(N, C, H + 2 * pad, W + 2 * pad), H, W, pad)


def engine_max(x, kernel, stride, pad):
    return MaxPool2d(kernel, stride, pad).forward(x)


def engine_max_backward(dy, x, kernel, stride, pad):
    layer = MaxPool2d(kernel, stride, pad).train()
    layer.forward(x)
    return layer.backward(dy)


def all_channels(x, kernel, stride, pad):
    y = running_maximum(x, kernel, stride, pad)
    return np.stack([y.max(axis=1)] * x.shape[1], axis=1)


def one_pixel_apart(x, kernel, stride, pad):
    OH, OW = map_size(*x.shape[2:], kernel, stride, pad)
    return running_maximum(x, kernel, 1, pad)[:, :, :OH, :OW]


WRONG[4] = [
    ("zeros around", max_loops(border=0), "the border is zeros, which win over negative pixels"),
    ("one pixel apart", {"max_pool_forward": one_pixel_apart}, "the windows lie one pixel apart, whatever the stride"),
    ("all channels", {"max_pool_forward": all_channels}, "the largest of all channels is taken"),
    ("absolute values", max_loops(lambda window: np.abs(window).max(), border=0), "it is the value that is farthest from zero"),
    ("the smallest", max_loops(np.min, border=np.inf), "it is the smallest value"),
    ("the mean", max_loops(np.mean, border=0), "it is the mean of the window"),
    ("the median", max_loops(lambda window: np.median(window[np.isfinite(window)])), None),
    ("always one array", {"max_pool_forward": into_one_array(running_maximum)}, "An array is kept from call to call"),
    ("all equal ones get dy", winners(every), "every one of several equal values gets the whole of dy"),
    (
        "equal ones share",
        winners(every, value=lambda dy, window: dy / np.count_nonzero(window == window.max())),
        "equal values share dy",
    ),
    ("the last wins", winners(last), "the last of equal values gets dy"),
    ("down the columns", winners(first_down), "of equal values, the first column by column gets dy"),
    ("assigned", winners(first, add=False), "a pixel that won several windows gets the dy of the last of them only"),
    ("whole windows assigned", {"max_pool_backward": masks}, "windows overwrite what others have left in the same pixels"),
    (
        "zeros around on the way back",
        winners(first, border=lambda x: 0),
        "the border is zeros on the way back, and wins over negative pixels",
    ),
    (
        "the smallest pixel around",
        winners(first, border=np.min),
        "the border is as large as the smallest pixel, and wins where all are equal",
    ),
    ("dy times y", winners(first, value=lambda dy, window: dy * window.max()), "dy is multiplied by the largest value"),
    ("to the smallest", winners(least), "the smallest value of each window gets dy"),
    ("without dy", winners(first, value=lambda dy, window: 1.0), "dx says who won, and dy is forgotten"),
    (
        "spread evenly",
        winners(everywhere_in, value=lambda dy, window: dy / window.size),
        "all pixels of a window share dy, as in average pooling",
    ),
    ("to all pixels", winners(everywhere_in), "all pixels of a window get dy"),
    (
        "one pixel apart on the way back",
        winners(first, stride_too=False),
        "the windows lie one pixel apart on the way back, whatever the stride",
    ),
    ("not cropped", winners(first, finish=lambda dxp, *_: dxp), "the border is still around dx"),
    (
        "cropped by -pad",
        winners(first, finish=lambda dxp, H, W, pad: dxp[:, :, pad:-pad, pad:-pad]),
        "dx is cut with [pad:-pad], which is nothing where pad is 0",
    ),
    ("the sign turned", winners(first, value=lambda dy, window: -dy), "dx has the wrong sign"),
    (
        "the first picture's winners",
        {"max_pool_backward": lambda dy, x, *a: solution.max_pool_backward(dy, np.stack([x[0]] * len(x)), *a)},
        "the largest places of the first picture are taken for all",
    ),
]
RIGHT[4] = [
    ("loops", max_loops() | winners(first)),
    ("a running maximum", {"max_pool_forward": running_maximum}),
    ("by columns", {"max_pool_backward": places_in_columns}),
    ("the engine", {"max_pool_forward": engine_max, "max_pool_backward": engine_max_backward}),
    ("any very small border", max_loops(border=-1e300) | winners(first, border=lambda x: x.min() - 1)),
]

# ---- task 5: average pooling


def is_inside(H, W, pad, h, v):
    return pad <= h < pad + H and pad <= v < pad + W


def average_loops(count):
    """avg_pool_forward() window by window; count(pixels of the picture under it, of all, include, values)."""

    def avg_pool_forward(x, kernel, stride, pad, count_include_pad):
        H, W = x.shape[2:]
        xp = padded(x, pad)
        y = np.zeros((*x.shape[:2], *map_size(H, W, kernel, stride, pad)))
        for at, window in each_window(x, kernel, stride, pad):
            rows, columns = range(window[2].start, window[2].stop), range(window[3].start, window[3].stop)
            pixels = sum(is_inside(H, W, pad, h, v) for h in rows for v in columns)
            y[at] = xp[window].sum() / count(pixels, math.prod(kernel), count_include_pad, xp[window])
        return y

    return {"avg_pool_forward": avg_pool_forward}


def share_loops(count, add=True, finish=crop, stride_too=True):
    """avg_pool_backward() window by window."""

    def avg_pool_backward(dy, input_size, kernel, stride, pad, count_include_pad):
        H, W = input_size
        inside = padded(np.ones((1, 1, H, W)), pad)[0, 0]
        dxp = np.zeros((*dy.shape[:2], H + 2 * pad, W + 2 * pad))
        for i, j in np.ndindex(dy.shape[2:]):
            under = slice(i * stride, i * stride + kernel[0]), slice(j * stride, j * stride + kernel[1])
            to = under if stride_too else (slice(i, i + kernel[0]), slice(j, j + kernel[1]))
            share = dy[:, :, i : i + 1, j : j + 1] / count(inside[under].sum(), math.prod(kernel), count_include_pad, None)
            dxp[:, :, to[0], to[1]] = share + (dxp[:, :, to[0], to[1]] if add else 0)
        return finish(dxp, H, W, pad)

    return {"avg_pool_backward": avg_pool_backward}


def rightly(pixels, area, include, values):
    return area if include else pixels


def turned_round(pixels, area, include, values):
    return pixels if include else area


def the_area(pixels, area, include, values):
    return area


def the_pixels(pixels, area, include, values):
    return pixels


def one(pixels, area, include, values):
    return 1


def not_black(pixels, area, include, values):
    return area if include else max(np.count_nonzero(values), 1)


def running_sums(x, kernel, stride, pad, count_include_pad):
    """Sums over rectangles as differences of running sums, for the picture and for a picture of ones."""

    def sums(picture):
        total = np.zeros((*picture.shape[:2], picture.shape[2] + 1, picture.shape[3] + 1))
        total[:, :, 1:, 1:] = picture.cumsum(axis=2).cumsum(axis=3)
        KH, KW = kernel
        rows = total[:, :, KH:] - total[:, :, :-KH]
        return (rows[..., KW:] - rows[..., :-KW])[:, :, ::stride, ::stride]

    ones = padded(np.ones((1, 1, *x.shape[2:])), pad, 1.0 if count_include_pad else 0.0)
    return sums(padded(x, pad)) / sums(ones)


def shares_by_taps(dy, input_size, kernel, stride, pad, count_include_pad):
    (H, W), (OH, OW) = input_size, dy.shape[2:]
    ones = np.ones((1, 1, H, W))
    count = 1 / running_sums(ones, kernel, stride, pad, True) if not count_include_pad else 1.0
    dy = dy * count / math.prod(kernel)
    dxp = np.zeros((*dy.shape[:2], H + 2 * pad, W + 2 * pad))
    for p, q in np.ndindex(*kernel):
        dxp[:, :, p : p + stride * OH : stride, q : q + stride * OW : stride] += dy
    return dxp[:, :, pad : H + pad, pad : W + pad]


def engine_average(x, kernel, stride, pad, count_include_pad):
    return AvgPool2d(kernel, stride, pad, count_include_pad=count_include_pad).forward(x)


def engine_shares(dy, input_size, kernel, stride, pad, count_include_pad):
    layer = AvgPool2d(kernel, stride, pad, count_include_pad=count_include_pad).train()
    layer.forward(np.zeros((*dy.shape[:2], *input_size)))
    return layer.backward(dy)


def average_one_apart(x, kernel, stride, pad, count_include_pad):
    OH, OW = map_size(*x.shape[2:], kernel, stride, pad)
    total = running_sums(x, kernel, 1, pad, True)[:, :, :OH, :OW] * math.prod(kernel)
    return total / counts(x, kernel, stride, pad, count_include_pad)


def counts(x, kernel, stride, pad, include):
    shares = running_sums(np.ones((1, 1, *x.shape[2:])), kernel, stride, pad, True)
    return math.prod(kernel) * (np.ones_like(shares) if include else shares)


WRONG[5] = [
    ("the wrong way round", average_loops(turned_round), "count_include_pad is taken the wrong way round"),
    ("always the area", average_loops(the_area), "the sum is always divided by KH KW"),
    (
        "mean()",
        {"avg_pool_forward": lambda x, k, s, p, include: running_sums(x, k, s, p, True)},
        "the sum is always divided by KH KW",
    ),
    ("always the pixels", average_loops(the_pixels), "the border never counts"),
    ("a sum", average_loops(one), "it is the sum under the window"),
    ("black pixels not counted", average_loops(not_black), "pixels of value 0 are taken for the border"),
    ("one pixel apart", {"avg_pool_forward": average_one_apart}, "the windows lie one pixel apart, whatever the stride"),
    (
        "border of the edge's pixels",
        {
            "avg_pool_forward": lambda x, k, s, p, include: running_sums(
                np.pad(x, [(0, 0), (0, 0), (p, p), (p, p)], mode="edge"), k, s, 0, include
            )
        },
        None,
    ),
    (
        "over the channels too",
        {"avg_pool_forward": lambda *a: np.repeat(running_sums(*a).mean(axis=1, keepdims=True), a[0].shape[1], axis=1)},
        "the mean goes over the channels too",
    ),
    ("the wrong way round, back", share_loops(turned_round), "count_include_pad is taken the wrong way round on the way back"),
    ("always the area, back", share_loops(the_area), "dy is always divided by KH KW"),
    ("always the pixels, back", share_loops(the_pixels), "the border never counts on the way back"),
    ("not divided", share_loops(one), "each pixel gets the whole of dy"),
    ("assigned", share_loops(rightly, add=False), "windows overwrite what others have left in the same pixels"),
    (
        "one pixel apart, back",
        share_loops(rightly, stride_too=False),
        "the windows lie one pixel apart on the way back, whatever the stride",
    ),
    ("not cropped", share_loops(rightly, finish=lambda dxp, *_: dxp), "the border is still around dx"),
    (
        "cropped by -pad",
        share_loops(rightly, finish=lambda dxp, H, W, pad: dxp[:, :, pad:-pad, pad:-pad]),
        "dx is cut with [pad:-pad], which is nothing where pad is 0",
    ),
    (
        "divided by the picture",
        {"avg_pool_backward": lambda dy, size, *a: solution.avg_pool_backward(dy, size, *a) / math.prod(size)},
        "dx is divided by the number of pixels of the picture, too",
    ),
    (
        "the sign turned",
        {"avg_pool_backward": lambda dy, size, *a: -solution.avg_pool_backward(dy, size, *a)},
        "dx has the wrong sign",
    ),
]
RIGHT[5] = [
    ("loops", average_loops(rightly) | share_loops(rightly)),
    ("running sums, and taps", {"avg_pool_forward": running_sums, "avg_pool_backward": shares_by_taps}),
    ("the engine", {"avg_pool_forward": engine_average, "avg_pool_backward": engine_shares}),
    ("loops, and taps", average_loops(rightly) | {"avg_pool_backward": shares_by_taps}),
]

# ---- task 6: depthwise convolution


def taps(kernel, stride, dilation, size):
    for p, q in np.ndindex(*kernel):
        h, v = p * dilation, q * dilation
        yield p, q, np.s_[:, :, h : h + stride * (size[0] - 1) + 1 : stride, v : v + stride * (size[1] - 1) + 1 : stride]


def depthwise_taps(x, w, b, stride, pad, dilation):
    size = map_size(*x.shape[2:], w.shape[2:], stride, pad, dilation)
    xp = padded(x, pad)
    y = np.zeros((*x.shape[:2], *size)) + b[:, None, None]
    for p, q, at in taps(w.shape[2:], stride, dilation, size):
        y += xp[at] * w[:, 0, p, q].reshape(-1, 1, 1)
    return y


def depthwise_loops(x, w, b, stride, pad, dilation, apart=None, step=None, channel=lambda c: c, filter_of=lambda c: c):
    """Number by number; with another distance of taps or windows, or another channel or filter."""
    N, C, H, W = x.shape
    (KH, KW), (OH, OW) = w.shape[2:], map_size(H, W, w.shape[2:], stride, pad, dilation)
    apart, step = dilation if apart is None else apart, stride if step is None else step
    xp, y = padded(x, pad), np.zeros((N, C, OH, OW))
    for n, c, i, j in np.ndindex(N, C, OH, OW):
        y[n, c, i, j] = b[c]
        for p, q in np.ndindex(KH, KW):
            y[n, c, i, j] += xp[n, channel(c), i * step + p * apart, j * step + q * apart] * w[filter_of(c), 0, p, q]
    return y


def depthwise_with(**options):
    return {"depthwise_forward": lambda *a: depthwise_loops(*a, **options)}


def as_groups(x, w, b, stride, pad, dilation):
    return textbook.conv2d_forward(x, w, b, (stride, stride), (pad,) * 4, (dilation, dilation), len(w))


def as_groups_backward(dy, x, w, stride, pad, dilation):
    return list(reference.conv2d_backward(dy, x, w, (stride, stride), (pad,) * 4, (dilation, dilation), len(w)))


def channel_by_channel(x, w, b, stride, pad, dilation):
    """Each channel as an ordinary convolution of one channel."""
    geometry = (stride, stride), (pad,) * 4, (dilation, dilation), 1
    maps = [textbook.conv2d_forward(x[:, c : c + 1], w[c : c + 1], b[c : c + 1], *geometry) for c in range(len(w))]
    return np.concatenate(maps, axis=1)


def ordinary(x, w, b, stride, pad, dilation):
    """All channels into each map."""
    y = depthwise_taps(x, w, np.zeros_like(b), stride, pad, dilation)
    return np.stack([y.sum(axis=1) + bias for bias in b], axis=1)


def backward_taps(dy, x, w, stride, pad, dilation, apart=None, step=None):
    """Tap by tap; with another distance of taps or windows."""
    apart, step = dilation if apart is None else apart, stride if step is None else step
    xp, dw = padded(x, pad), np.zeros(w.shape)
    dxp = np.zeros(xp.shape)
    for p, q, at in taps(w.shape[2:], step, apart, dy.shape[2:]):
        dw[:, 0, p, q] = np.einsum("nchw,nchw->c", dy, xp[at])
        dxp[at] += dy * w[:, 0, p, q, None, None]
    return crop(dxp, *x.shape[2:], pad), dw, dy.sum(axis=(0, 2, 3))


def backward_windows(dy, x, w, stride, pad, dilation, add_dx=True, add_dw=True, finish=crop):
    """Window by window, of one picture after the other."""
    (KH, KW), xp = w.shape[2:], padded(x, pad)
    dxp, dw = np.zeros(xp.shape), np.zeros(w.shape)
    for i, j in np.ndindex(dy.shape[2:]):
        rows = slice(i * stride, i * stride + (KH - 1) * dilation + 1, dilation)
        columns = slice(j * stride, j * stride + (KW - 1) * dilation + 1, dilation)
        share = np.einsum("nc,ncpq->cpq", dy[:, :, i, j], xp[:, :, rows, columns])[:, None]
        dw = dw + share if add_dw else share
        back = np.einsum("nc,cpq->ncpq", dy[:, :, i, j], w[:, 0])
        dxp[:, :, rows, columns] = back + (dxp[:, :, rows, columns] if add_dx else 0)
    return finish(dxp, *x.shape[2:], pad), dw, dy.sum(axis=(0, 2, 3))


def depthwise_gradients(change):
    def depthwise_backward(dy, x, w, stride, pad, dilation):
        return change(*backward_taps(dy, x, w, stride, pad, dilation), dy, x, w)

    return {"depthwise_backward": depthwise_backward}


def last_picture(dy, x, w, *geometry):
    dx, _, db = backward_taps(dy, x, w, *geometry)
    for n in range(len(x)):
        _, dw, _ = backward_taps(dy[n : n + 1], x[n : n + 1], w, *geometry)
    return dx, dw, db


def flipped_dx(dy, x, w, *geometry):
    dx, _, _ = backward_taps(dy, x, np.flip(w, axis=(2, 3)), *geometry)
    return dx, *backward_taps(dy, x, w, *geometry)[1:]


class Remembers:
    """A layer's habit: backward uses what the last forward pass kept."""

    def forward(self, x, w, b, *geometry):
        self.x = x.copy()
        return depthwise_taps(x, w, b, *geometry)

    def backward(self, dy, x, w, *geometry):
        return backward_taps(dy, self.x, w, *geometry)


remembers = Remembers()
WRONG[6] = [
    ("x of the last forward pass", {"depthwise_forward": remembers.forward, "depthwise_backward": remembers.backward}, None),
    ("no dilation", depthwise_with(apart=1), "the taps lie side by side, whatever the dilation"),
    ("summed over channels", {"depthwise_forward": ordinary}, "the channels are added up, as in an ordinary convolution"),
    ("one filter", depthwise_with(filter_of=lambda c: 0), "the first filter is used for all channels"),
    ("one channel", depthwise_with(channel=lambda c: 0), "all filters look at the first channel"),
    (
        "flipped",
        {"depthwise_forward": lambda x, w, *rest: depthwise_taps(x, np.flip(w, axis=(2, 3)), *rest)},
        "the filters are flipped",
    ),
    ("no bias", {"depthwise_forward": lambda x, w, b, *rest: depthwise_taps(x, w, 0 * b, *rest)}, "the bias is missing"),
    ("no stride", depthwise_with(step=1), "the windows lie one pixel apart, whatever the stride"),
    (
        "a mean over the taps",
        {"depthwise_forward": lambda x, w, *rest: depthwise_taps(x, w / w[0].size, *rest)},
        "y is a mean over the taps",
    ),
    (
        "bias at every tap",
        {"depthwise_forward": lambda x, w, b, *rest: depthwise_taps(x, w, b * w[0].size, *rest)},
        "the bias is added once for every tap",
    ),
    ("neighbouring channel", depthwise_with(channel=lambda c: c - 1), "each channel gets the map of the one before it"),
    (
        "no dilation on the way back",
        {"depthwise_backward": lambda *a: backward_taps(*a, apart=1)},
        "the taps lie side by side on the way back, whatever the dilation",
    ),
    (
        "no stride on the way back",
        {"depthwise_backward": lambda *a: backward_taps(*a, step=1)},
        "the windows lie one pixel apart on the way back, whatever the stride",
    ),
    (
        "dx assigned",
        {"depthwise_backward": lambda *a: backward_windows(*a, add_dx=False)},
        "windows overwrite what others have left in the same pixels of dx",
    ),
    ("dx of a flipped filter", {"depthwise_backward": flipped_dx}, "dx is that of a flipped filter"),
    (
        "dx over all channels",
        depthwise_gradients(lambda dx, dw, db, *_: (np.stack([dx.sum(axis=1)] * len(db), axis=1), dw, db)),
        "dx adds up all channels",
    ),
    (
        "dx not cropped",
        {"depthwise_backward": lambda *a: backward_windows(*a, finish=lambda dxp, *_: dxp)},
        "the border is still around dx",
    ),
    (
        "dx cropped by -pad",
        {"depthwise_backward": lambda *a: backward_windows(*a, finish=lambda dxp, H, W, pad: dxp[:, :, pad:-pad, pad:-pad])},
        "dx is cut with [pad:-pad], which is nothing where pad is 0",
    ),
    ("dw a mean", depthwise_gradients(lambda dx, dw, db, dy, *_: (dx, dw / dy.shape[0], db)), "dw is a mean over the pictures"),
    ("dw assigned", {"depthwise_backward": lambda *a: backward_windows(*a, add_dw=False)}, "dw is that of the last window"),
    ("dw of the last picture", {"depthwise_backward": last_picture}, "dw is that of the last picture"),
    (
        "dw without its axis",
        depthwise_gradients(lambda dx, dw, db, *_: (dx, np.squeeze(dw, axis=1), db)),
        "dw lacks its axis of length 1",
    ),
    (
        "dw of all channels",
        depthwise_gradients(lambda dx, dw, db, *_: (dx, 0 * dw + dw.sum(axis=0), db)),
        "every filter gets the dw of all channels together",
    ),
    (
        "db a mean over the batch",
        depthwise_gradients(lambda dx, dw, db, dy, *_: (dx, dw, dy.mean(axis=0).sum(axis=(1, 2)))),
        "db is a mean over the pictures",
    ),
    (
        "db a mean",
        depthwise_gradients(lambda dx, dw, db, dy, *_: (dx, dw, np.mean(dy, axis=(0, 2, 3)))),
        "db is a mean over pictures and windows",
    ),
    ("db one number", depthwise_gradients(lambda dx, dw, db, dy, *_: (dx, dw, dy.sum())), "db is one number for all channels"),
    ("db forgotten", depthwise_gradients(lambda dx, dw, db, *_: (dx, dw, np.zeros_like(db))), "db is 0"),
]
RIGHT[6] = [
    ("tap by tap", {"depthwise_forward": depthwise_taps, "depthwise_backward": backward_taps}),
    ("number by number, and window by window", {"depthwise_forward": depthwise_loops, "depthwise_backward": backward_windows}),
    ("as many groups as channels, a list", {"depthwise_forward": as_groups, "depthwise_backward": as_groups_backward}),
    ("channel by channel", {"depthwise_forward": channel_by_channel}),
]
