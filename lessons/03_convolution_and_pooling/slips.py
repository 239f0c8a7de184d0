"""Lesson 3: the mistakes that people make in its exercise, as functions that make them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from minicnn.course import Lesson, Slip
from minicnn.kernels.geometry import ConvGeometry

solution = Lesson(Path(__file__).resolve().parent).solution

Pair = tuple[int, int]


def number_of_windows(size: Pair, kernel: Pair, stride: int, pad: int, dilation: int = 1) -> Pair:
    return ConvGeometry(kernel, (stride, stride), (pad,) * 4, (dilation, dilation)).count(*size)


def windows_of(x: np.ndarray, kernel: Pair, stride: int, pad: int, dilation: int = 1, border: float = 0.0) -> np.ndarray:
    """(N, C, OH, OW, KH, KW): what each window sees."""
    xp = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)), constant_values=border)
    spans = [dilation * (k - 1) + 1 for k in kernel]
    windows = np.lib.stride_tricks.sliding_window_view(xp, spans, axis=(2, 3))
    return windows[:, :, ::stride, ::stride, ::dilation, ::dilation]


def one_apart(x: np.ndarray, kernel: Pair, stride: int, pad: int, dilation: int = 1, border: float = 0.0) -> np.ndarray:
    """As many windows as with the stride, but one pixel apart."""
    OH, OW = number_of_windows(x.shape[2:], kernel, stride, pad, dilation)
    return windows_of(x, kernel, 1, pad, dilation, border)[:, :, :OH, :OW]


def added_up(
    shares: np.ndarray,
    input_size: Pair,
    stride: int,
    pad: int,
    dilation: int = 1,
    overwrites: Callable[[np.ndarray], np.ndarray] | None = None,
) -> np.ndarray:
    """The picture with its border, in which each place of each window (N, C, OH, OW, KH, KW) has got its share.

    ``overwrites(share)`` says where a share takes the place of what was there, and is not added to it.
    """
    (N, C, OH, OW, KH, KW), (H, W) = shares.shape, input_size
    dxp = np.zeros((N, C, H + 2 * pad, W + 2 * pad))
    for i, j in np.ndindex(OH, OW):
        window = dxp[
            :,
            :,
            i * stride : i * stride + dilation * (KH - 1) + 1 : dilation,
            j * stride : j * stride + dilation * (KW - 1) + 1 : dilation,
        ]
        share = shares[:, :, i, j]
        window[...] = share + (window if overwrites is None else np.where(overwrites(share), 0, window))
    return dxp


def cropped(dxp: np.ndarray, pad: int) -> np.ndarray:
    return dxp[:, :, pad : dxp.shape[2] - pad, pad : dxp.shape[3] - pad]


def everywhere(share: np.ndarray) -> np.ndarray:
    return np.ones(share.shape, bool)


def size_by(along: Callable[..., int]) -> dict:
    """output_size() with another rule for one layer: along(size, kernel, stride, pad, dilation)."""

    def output_size(size, layers):
        for layer in layers:
            size = along(size, *layer)
        return size

    return {"output_size": output_size}


def field_by(through: Callable[..., tuple[int, int, int]]) -> dict:
    """receptive_field() with another rule: through(first, last, step, kernel, stride, pad, dilation)."""

    def receptive_field(layers):
        seen = 0, 0, 1
        for layer in layers:
            seen = through(*seen, *layer)
        return seen

    return {"receptive_field": receptive_field}


SIZE_SLIPS = (
    Slip(
        "the 1 at the end of the output size is missing",
        "A picture as large as the window has how many places for it? The quotient counts the steps, not the windows.",
        size_by(lambda n, k, s, p, d: (n + 2 * p - d * (k - 1) - 1) // s),
    ),
    Slip(
        "padding counts on one side only in the output size",
        "A border has two ends along each axis.",
        size_by(lambda n, k, s, p, d: (n + p - d * (k - 1) - 1) // s + 1),
    ),
    Slip(
        "the output size is rounded up",
        "A last window that does not fit whole is no window here. (Some pools have a ceil_mode; this is the other one.)",
        size_by(lambda n, k, s, p, d: -(-(n + 2 * p - d * (k - 1) - 1) // s) + 1),
        where=r"ceil|-\(-",
    ),
    Slip(
        "the output size knows nothing of the dilation",
        "How far is it from the first tap of the window to the last, if the taps lie apart?",
        size_by(lambda n, k, s, p, d: (n + 2 * p - k) // s + 1),
    ),
    Slip(
        "the window spans dilation * kernel in the output size",
        "Three taps have two gaps between them. Draw a window of 3 with a dilation of 2, and count the places.",
        size_by(lambda n, k, s, p, d: (n + 2 * p - d * k) // s + 1),
        where=r"dil\w*\s*\*\s*k\w*\b(?!\s*-)|\bd\s*\*\s*k\b(?!\s*-)",
    ),
    Slip(
        "each layer is given the size of the picture",
        "What is the input of the second layer?",
        {"output_size": lambda size, layers: solution.output_size(size, layers[-1:])},
    ),
    Slip(
        "the layers are gone through from the last to the first in output_size",
        "They are listed from the picture upwards.",
        {"output_size": lambda size, layers: solution.output_size(size, layers[::-1])},
        where=r"reversed|::\s*-1",
    ),
    Slip(
        "the field knows nothing of the dilation",
        "How far is it from the first tap of the window to the last, if the taps lie apart?",
        field_by(lambda a, z, t, k, s, p, d: (a - t * p, z + t * (k - 1 - p), t * s)),
    ),
    Slip(
        "a layer's own stride widens its field already",
        "How far apart in the picture are neighbouring elements of the map *below*? The layer's own stride matters from the "
        "next layer on: mind the order of the updates.",
        field_by(lambda a, z, t, k, s, p, d: (a - t * s * p, z + t * s * (d * (k - 1) - p), t * s)),
        where=r"\*=",
    ),
    Slip(
        "strides are added, not multiplied",
        "Two layers of stride 2: how many pixels lie between what two neighbours of the second map see?",
        field_by(lambda a, z, t, k, s, p, d: (a - t * p, z + t * (d * (k - 1) - p), t + s)),
        where=r"\+=\s*s\w*\s*$",
    ),
    Slip(
        "the field grows as if no layer below had a stride",
        "One element of the map below stands for a step of several pixels, once a layer below has a stride.",
        field_by(lambda a, z, t, k, s, p, d: (a - p, z + d * (k - 1) - p, t * s)),
    ),
    Slip(
        "the field grows by the window's size, not by the distance of its ends",
        "A 1x1 convolution sees one pixel. By how much does it widen the field?",
        field_by(lambda a, z, t, k, s, p, d: (a - t * p, z + t * (d * k - p), t * s)),
    ),
    Slip(
        "padding is counted in pixels, whatever lies below",
        "Padding is put around the map below, and one of its elements is a step of how many pixels?",
        field_by(lambda a, z, t, k, s, p, d: (a - p, z + t * d * (k - 1) - p, t * s)),
    ),
    Slip(
        "padding does not move the field",
        "With padding, the first window begins before the map. Where does element 0 look, then?",
        field_by(lambda a, z, t, k, s, p, d: (a, z + t * d * (k - 1), t * s)),
    ),
    Slip(
        "padding moves the beginning of the field, and not its end",
        "Padding shifts the whole window; it makes it no larger.",
        field_by(lambda a, z, t, k, s, p, d: (a - t * p, z + t * d * (k - 1), t * s)),
    ),
    Slip(
        "the layers are gone through from the last to the first in receptive_field",
        "They are listed from the picture upwards, and these equations go that way as well.",
        {"receptive_field": lambda layers: solution.receptive_field(layers[::-1])},
        where=r"reversed|::\s*-1",
    ),
    Slip(
        "the size of the field is given in the place of its last pixel",
        "Both ends are included. From first to last there are last - first + 1 pixels.",
        {"receptive_field": lambda layers: (lambda a, z, t: (a, z - a + 1, t))(*solution.receptive_field(layers))},
    ),
)


def laid_out(order: str, rows: int = 3) -> Callable:
    """im2col() with the windows' axes (n, c, i, j, p, q) in another order, the first ``rows`` after n as the rows."""

    def im2col(x, kernel, stride, pad):
        windows = np.einsum(f"ncijpq->n{order}", windows_of(x, kernel, stride, pad))
        N, *sizes = windows.shape
        return windows.reshape(N, int(np.prod(sizes[:rows])), int(np.prod(sizes[rows:])))

    return im2col


def taken_back(order: str) -> Callable:
    """col2im() for columns whose axes are taken to be in another order than (n, c, p, q, i, j)."""

    def col2im(columns, input_size, kernel, stride, pad):
        OH, OW = number_of_windows(input_size, kernel, stride, pad)
        KH, KW = kernel
        sizes = {"c": columns.shape[1] // (KH * KW), "p": KH, "q": KW, "i": OH, "j": OW}
        columns = columns.reshape(len(columns), *(sizes[axis] for axis in order))
        return cropped(added_up(np.einsum(f"n{order}->ncijpq", columns), input_size, stride, pad), pad)

    return col2im


def col2im_by(change: Callable) -> dict:
    """col2im() that makes something else of the shares of all windows: change(shares, input_size, stride, pad)."""

    def col2im(columns, input_size, kernel, stride, pad):
        OH, OW = number_of_windows(input_size, kernel, stride, pad)
        shares = columns.reshape(len(columns), -1, *kernel, OH, OW).transpose(0, 1, 4, 5, 2, 3)
        return change(shares, input_size, stride, pad)

    return {"col2im": col2im}


def all_in_one_matrix(x: np.ndarray, kernel: Pair, stride: int, pad: int) -> np.ndarray:
    columns = solution.im2col(x, kernel, stride, pad)
    return columns.transpose(1, 0, 2).reshape(columns.shape[1], -1)


def as_columns(windows: np.ndarray) -> np.ndarray:
    N, C, OH, OW, KH, KW = windows.shape
    return windows.transpose(0, 1, 4, 5, 2, 3).reshape(N, C * KH * KW, OH * OW)


def im2col_one_apart(x: np.ndarray, kernel: Pair, stride: int, pad: int) -> np.ndarray:
    return as_columns(one_apart(x, kernel, stride, pad))


def im2col_flipped(x: np.ndarray, kernel: Pair, stride: int, pad: int) -> np.ndarray:
    return as_columns(windows_of(x, kernel, stride, pad)[..., ::-1, ::-1])


def mean_over_windows(shares: np.ndarray, size: Pair, stride: int, pad: int) -> np.ndarray:
    times = added_up(np.ones_like(shares), size, stride, pad)
    return cropped(added_up(shares, size, stride, pad) / np.maximum(times, 1), pad)


COLUMN_SLIPS = (
    Slip(
        "the windows of im2col lie one pixel apart, whatever the stride",
        "Where does window i begin?",
        {"im2col": im2col_one_apart},
        where=r"\[.*\bi\s*:\s*i\s*\+",
    ),
    Slip(
        "the rows of the matrix are sorted by tap first, and by channel within it",
        "k = (c KH + p) KW + q: which of c, p and q changes slowest? The filters, as rows, must be in the same order.",
        {"im2col": laid_out("pqcij")},
    ),
    Slip(
        "the taps in the rows are counted column by column",
        "k = (c KH + p) KW + q: which changes fastest?",
        {"im2col": laid_out("cqpij")},
    ),
    Slip(
        "the columns are sorted column by column of the map",
        "Window (i, j) is column i OW + j: which of the two changes fastest?",
        {"im2col": laid_out("cpqji")},
        where=r"j\s*\*\s*OH|order\s*=\s*.F",
    ),
    Slip(
        "each matrix is transposed: windows are its rows",
        "Filters are rows, and the inner sum of the product runs over c, p, q. Which axis must that be here?",
        {"im2col": laid_out("ijcpq", rows=2)},
    ),
    Slip(
        "all pictures are in one matrix",
        "Each picture gets a matrix of its own: three axes, (N, C KH KW, OH OW).",
        {"im2col": all_in_one_matrix},
    ),
    Slip(
        "the windows are flipped",
        "The first row of a channel holds the top left pixel of each window. It is mathematicians who flip.",
        {"im2col": im2col_flipped},
        where=r"::\s*-1",
    ),
    Slip(
        "windows overwrite what others have left in the same pixel",
        "A pixel that was copied into three windows had three ways to the loss. What happens to its three gradients?",
        col2im_by(lambda shares, size, stride, pad: cropped(added_up(shares, size, stride, pad, overwrites=everywhere), pad)),
        where=r"\]\s*=(?!=)",
    ),
    Slip(
        "col2im is a mean over the windows of a pixel",
        "That is the inverse of im2col. Its backward pass is the transpose: each copy of a pixel adds its share.",
        col2im_by(mean_over_windows),
        where=r"(?<!/)/(?!/)",
    ),
    Slip(
        "the border is still around dx",
        "The zeros of the border are no part of x. What they get is lost, and dx has the shape of x.",
        col2im_by(lambda shares, size, stride, pad: added_up(shares, size, stride, pad)),
        where=r"return",
    ),
    Slip(
        "dx is cut with [pad:-pad], which is nothing where pad is 0",
        "What is -0? Count from the front: the picture has H rows, and begins at row pad.",
        col2im_by(lambda shares, size, stride, pad: added_up(shares, size, stride, pad)[:, :, pad:-pad, pad:-pad]),
        where=r"-\s*p",
    ),
    Slip(
        "dx is cut at the wrong end",
        "There are as many zeros above the picture as below it: where does the picture begin?",
        col2im_by(lambda shares, size, stride, pad: added_up(shares, size, stride, pad)[:, :, : size[0], : size[1]]),
        where=r"\[.*:\s*H\b",
    ),
    Slip(
        "the windows of col2im lie one pixel apart, whatever the stride",
        "Each number goes back to where im2col took it from: where did window i begin?",
        col2im_by(lambda shares, size, stride, pad: cropped(added_up(shares, size, 1, pad), pad)),
        where=r"\[.*\bi\s*:\s*i\s*\+",
    ),
    Slip(
        "col2im takes the rows to be sorted by tap first, and by channel within it",
        "Undo the layout in the order in which it was made: k = (c KH + p) KW + q.",
        {"col2im": taken_back("pqcij")},
        where=r"reshape",
    ),
    Slip(
        "col2im takes the columns to be sorted column by column of the map",
        "Window (i, j) is column i OW + j, there and back.",
        {"col2im": taken_back("cpqji")},
    ),
    Slip(
        "there is no border, whatever pad is",
        "Windows reach pad pixels over the edge, where xp has zeros.",
        {"im2col": lambda x, kernel, stride, pad: solution.im2col(x, kernel, stride, 0)},
    ),
)


def product_by(rows: Callable, change: Callable = lambda y, columns, w, b, size: y) -> dict:
    """product_forward() with other rows for the filters, or something else made of its result."""

    def product_forward(columns, w, b, size):
        y = (rows(w) @ columns + b[:, None]).reshape(len(columns), len(w), *size)
        return change(y, columns, w, b, size)

    return {"product_forward": product_forward}


def gradients_by(change: Callable) -> dict:
    """product_backward() that makes something else of its results: change(dcolumns, dw, db, dy, columns, w)."""
    return {
        "product_backward": lambda dy, columns, w: change(*solution.product_backward(dy, columns, w), dy, columns, w),
    }


def rows_of(w: np.ndarray) -> np.ndarray:
    return w.reshape(len(w), -1)


def taps_first(w: np.ndarray) -> np.ndarray:
    """Rows sorted by tap, and by channel within it."""
    return rows_of(w.transpose(0, 2, 3, 1))


def filters_first(y: np.ndarray) -> np.ndarray:
    """What comes of it when (F, N, ...) is given the shape (N, F, ...) without exchanging the axes."""
    return np.ascontiguousarray(y.swapaxes(0, 1)).reshape(y.shape)


def of_last_picture(dy: np.ndarray, columns: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return solution.product_backward(dy[-1:], columns[-1:], w)


PRODUCT_SLIPS = (
    Slip(
        "the bias is missing",
        "What does a filter of nothing but zeros answer?",
        product_by(rows_of, lambda y, columns, w, b, size: y - b[:, None, None]),
    ),
    Slip(
        "filters and pictures are mixed up: (F, N, OH OW) is given the shape (N, F, OH, OW)",
        "reshape never moves a number: it only counts them anew. Which axis is in front, and how are axes exchanged?",
        product_by(rows_of, lambda y, columns, w, b, size: filters_first(y)),
        where=r"reshape",
    ),
    Slip(
        "the weights are counted anew, with the filters as the last axis",
        "reshape never moves a number. Which numbers must stand in the row of filter 0?",
        product_by(lambda w: w.reshape(-1, len(w)).T),
        where=r"reshape\(\s*-1",
    ),
    Slip(
        "the rows of the filters are sorted by tap first, and by channel within it",
        "The filters' rows and the matrix's rows must be in the same order: k = (c KH + p) KW + q.",
        product_by(taps_first),
        where=r"transpose",
    ),
    Slip(
        "the filters are flipped",
        "Row by row, each weight is laid on the pixel of its own place. Networks do not flip.",
        product_by(lambda w: rows_of(w[:, :, ::-1, ::-1])),
        where=r"::\s*-1",
    ),
    Slip(
        "the map's rows and columns are exchanged",
        "size is (OH, OW), and window (i, j) is column i OW + j.",
        product_by(rows_of, lambda y, columns, w, b, size: y.reshape(*y.shape[:2], *size[::-1])),
        where=r"reshape",
    ),
    Slip(
        "the map is filled column by column",
        "Window (i, j) is column i OW + j: which of the two changes fastest?",
        product_by(rows_of, lambda y, columns, w, b, size: y.reshape(*y.shape[:2], *size[::-1]).swapaxes(2, 3)),
    ),
    Slip(
        "dw is a mean over the pictures",
        "Where does y stand for a mean over pictures? If the loss is a mean, its 1/N is in dy already.",
        gradients_by(lambda dcolumns, dw, db, dy, columns, w: (dcolumns, dw / len(dy), db)),
        where=r"dw.*(mean|(?<!/)/(?!/))",
    ),
    Slip(
        "dw is that of the last picture",
        "The same weights were used on all pictures. What happens to the shares that they got from each?",
        gradients_by(
            lambda dcolumns, dw, db, dy, columns, w: (dcolumns, of_last_picture(dy, columns, w)[1], db),
        ),
        where=r"dw\s*=",
    ),
    Slip(
        "dw is a mean over the windows",
        "A weight is used at every window, and gets a share from each.",
        gradients_by(lambda dcolumns, dw, db, dy, columns, w: (dcolumns, dw / columns.shape[2], db)),
        where=r"dw.*(mean|(?<!/)/(?!/))",
    ),
    Slip(
        "dw is right as (C KH KW, F), and is counted anew as (F, C, KH, KW)",
        "reshape never moves a number: transpose before it, or exchange the factors of the product.",
        gradients_by(lambda dcolumns, dw, db, dy, columns, w: (dcolumns, rows_of(dw).T.reshape(w.shape), db)),
        where=r"reshape",
    ),
    Slip(
        "dw is still a matrix of rows",
        "dw has the shape of w.",
        gradients_by(lambda dcolumns, dw, db, dy, columns, w: (dcolumns, rows_of(dw), db)),
        where=r"return",
    ),
    Slip(
        "dcolumns is that of the first picture, for all",
        "Each picture has a dy of its own.",
        gradients_by(lambda dcolumns, dw, db, dy, columns, w: (np.repeat(dcolumns[:1], len(dy), axis=0), dw, db)),
    ),
    Slip(
        "the rows of dcolumns are sorted by tap first, and by channel within it",
        "dcolumns has the rows of columns: k = (c KH + p) KW + q.",
        gradients_by(
            lambda dcolumns, dw, db, dy, columns, w: (taps_first(w).T @ dy.reshape(*dy.shape[:2], -1), dw, db),
        ),
        where=r"transpose",
    ),
    Slip(
        "dy's pictures and filters are mixed up: (N, F, ...) is given the shape (F, N OH OW)",
        "reshape never moves a number. Exchange the axes first, or keep a matrix for each picture.",
        gradients_by(
            lambda dcolumns, dw, db, dy, columns, w: (
                dcolumns,
                (dy.reshape(len(w), -1) @ columns.transpose(0, 2, 1).reshape(-1, columns.shape[1])).reshape(w.shape),
                db,
            ),
        ),
        where=r"reshape",
    ),
    Slip(
        "db is a mean over the pictures",
        "The bias is added in every picture, and each hands it a share.",
        gradients_by(lambda dcolumns, dw, db, dy, columns, w: (dcolumns, dw, db / len(dy))),
        where=r"db.*(mean|(?<!/)/(?!/))|mean",
    ),
    Slip(
        "db is a mean over the windows",
        "The bias is added at every window, and each hands it a share.",
        gradients_by(lambda dcolumns, dw, db, dy, columns, w: (dcolumns, dw, db / columns.shape[2])),
        where=r"db.*(mean|(?<!/)/(?!/))|mean",
    ),
    Slip(
        "db is a mean over the pictures and the windows",
        "The bias is added in every picture at every window, and each hands it a share.",
        gradients_by(lambda dcolumns, dw, db, dy, columns, w: (dcolumns, dw, dy.mean(axis=(0, 2, 3)))),
        where=r"mean",
    ),
    Slip(
        "db is one number for all filters",
        "Each filter has a bias of its own: over which axes does its sum run?",
        gradients_by(lambda dcolumns, dw, db, dy, columns, w: (dcolumns, dw, dy.sum())),
        where=r"sum\(\)",
    ),
    Slip(
        "the bias is subtracted",
        "What must y be where all columns are 0?",
        product_by(rows_of, lambda y, columns, w, b, size: y - 2 * b[:, None, None]),
        r"-",
    ),
    Slip(
        "every filter gets the bias of the first one",
        "Filter f has its own b[f].",
        product_by(rows_of, lambda y, columns, w, b, size: y - b[:, None, None] + b[0]),
        r"b\[0\]",
    ),
    Slip(
        "the places are still in one row, not in rows and columns",
        "y has four axes: pictures, filters, rows, columns.",
        product_by(rows_of, lambda y, columns, w, b, size: y.reshape(*y.shape[:2], -1)),
    ),
)


def max_forward_by(largest: Callable, border: float = -np.inf, windows: Callable = windows_of) -> dict:
    """max_pool_forward() with another largest(windows), another border, or other windows."""
    return {
        "max_pool_forward": lambda x, kernel, stride, pad: largest(windows(x, kernel, stride, pad, border=border)),
    }


def max_backward_by(
    share: Callable,
    border: Callable = lambda x: -np.inf,
    overwrites: Callable | None = None,
    finish: Callable = cropped,
) -> dict:
    """max_pool_backward() with another rule, share(windows), for what part of dy each place gets; or another border."""

    def max_pool_backward(dy, x, kernel, stride, pad):
        parts = share(windows_of(x, kernel, stride, pad, border=border(x)))
        return finish(added_up(parts * dy[..., None, None], x.shape[2:], stride, pad, overwrites=overwrites), pad)

    return {"max_pool_backward": max_pool_backward}


def one_place(windows: np.ndarray, place: np.ndarray) -> np.ndarray:
    """1 at this place of each window, counted row by row, and 0 elsewhere."""
    KH, KW = windows.shape[-2:]
    return (place[..., None] == np.arange(KH * KW)).reshape(windows.shape).astype(float)


def flat(windows: np.ndarray) -> np.ndarray:
    return windows.reshape(*windows.shape[:-2], -1)


def first_largest(windows: np.ndarray) -> np.ndarray:
    return one_place(windows, flat(windows).argmax(axis=-1))


def last_largest(windows: np.ndarray) -> np.ndarray:
    return one_place(windows, flat(windows).shape[-1] - 1 - flat(windows)[..., ::-1].argmax(axis=-1))


def first_by_columns(windows: np.ndarray) -> np.ndarray:
    return first_largest(windows.swapaxes(-1, -2)).swapaxes(-1, -2)


def all_largest(windows: np.ndarray) -> np.ndarray:
    return (windows == windows.max(axis=(-2, -1), keepdims=True)).astype(float)


def equal_shares(windows: np.ndarray) -> np.ndarray:
    largest = all_largest(windows)
    return largest / largest.sum(axis=(-2, -1), keepdims=True)


def smallest(windows: np.ndarray) -> np.ndarray:
    return one_place(windows, flat(np.where(np.isfinite(windows), windows, np.inf)).argmin(axis=-1))


def times_the_value(windows: np.ndarray) -> np.ndarray:
    return np.where(first_largest(windows) > 0, windows, 0)


def max_backward_one_apart(dy: np.ndarray, x: np.ndarray, kernel: Pair, stride: int, pad: int) -> np.ndarray:
    parts = first_largest(one_apart(x, kernel, stride, pad, border=-np.inf))
    return cropped(added_up(parts * dy[..., None, None], x.shape[2:], 1, pad), pad)


def without_dy(dy: np.ndarray, x: np.ndarray, kernel: Pair, stride: int, pad: int) -> np.ndarray:
    return solution.max_pool_backward(np.ones_like(dy), x, kernel, stride, pad)


def over_both(windows: np.ndarray) -> np.ndarray:
    return windows.max(axis=(-2, -1))


MAX_SLIPS = (
    Slip(
        "the border is zeros, which win over negative pixels",
        "Take a picture of negative numbers. What should the largest of them be at the edge, and what is it with zeros around?",
        max_forward_by(over_both, border=0.0),
        where=r"np\.pad",
    ),
    Slip(
        "the windows lie one pixel apart, whatever the stride",
        "Where does window i begin?",
        max_forward_by(over_both, windows=one_apart),
        where=r"\[.*\bi\s*:\s*i\s*\+",
    ),
    Slip(
        "the largest of all channels is taken",
        "Pooling works on each channel by itself.",
        max_forward_by(lambda windows: np.repeat(over_both(windows).max(axis=1, keepdims=True), windows.shape[1], axis=1)),
        where=r"max",
    ),
    Slip(
        "it is the value that is farthest from zero",
        "Of -5 and 2, which is the larger?",
        max_forward_by(lambda windows: np.abs(np.where(np.isfinite(windows), windows, 0)).max(axis=(-2, -1))),
        where=r"abs",
    ),
    Slip(
        "it is the smallest value",
        "The largest under the window is wanted.",
        max_forward_by(lambda windows: windows.min(axis=(-2, -1)), border=np.inf),
        where=r"min",
    ),
    Slip(
        "every one of several equal values gets the whole of dy",
        "Then more gradient goes down than came up: dy arrives once, and is handed on twice. Which place is to get it?",
        max_backward_by(all_largest),
        where=r"==",
    ),
    Slip(
        "equal values share dy",
        "A fair rule, and another one. Here the first of them gets all, as np.argmax finds it.",
        max_backward_by(equal_shares),
        where=r"==|(?<!/)/(?!/)",
    ),
    Slip(
        "the last of equal values gets dy",
        "A later value must be larger to win; an equal one is not.",
        max_backward_by(last_largest),
        where=r">=|::\s*-1",
    ),
    Slip(
        "of equal values, the first column by column gets dy",
        "First means: the highest row, and within it the leftmost.",
        max_backward_by(first_by_columns),
    ),
    Slip(
        "a pixel that won several windows gets the dy of the last of them only",
        "Each window that it won is a way to the loss. What happens to its gradients?",
        max_backward_by(first_largest, overwrites=lambda share: share != 0),
        where=r"\]\s*=(?!=)",
    ),
    Slip(
        "windows overwrite what others have left in the same pixels",
        "The zeros of a window say only that *this* window gives these pixels nothing.",
        max_backward_by(first_largest, overwrites=everywhere),
        where=r"\]\s*=(?!=)",
    ),
    Slip(
        "the border is zeros on the way back, and wins over negative pixels",
        "backward must find the same winner as forward: with which border did forward look?",
        max_backward_by(first_largest, border=lambda x: 0.0),
        where=r"np\.pad",
    ),
    Slip(
        "the border is as large as the smallest pixel, and wins where all are equal",
        "Is there a number that loses against every pixel, even against the smallest?",
        max_backward_by(first_largest, border=lambda x: x.min()),
        where=r"np\.pad",
    ),
    Slip(
        "dy is multiplied by the largest value",
        "How much does y grow if the winner grows by 1?",
        max_backward_by(times_the_value),
        where=r"\*",
    ),
    Slip(
        "the smallest value of each window gets dy",
        "Which pixel does y follow?",
        max_backward_by(smallest),
        where=r"min",
    ),
    Slip(
        "dx says who won, and dy is forgotten",
        "The chain rule: what came from above, times the slope here.",
        {"max_pool_backward": without_dy},
    ),
    Slip(
        "all pixels of a window share dy, as in average pooling",
        "How much does y grow if a pixel grows that is not the largest?",
        max_backward_by(lambda windows: np.full(windows.shape, 1 / (windows.shape[-1] * windows.shape[-2]))),
    ),
    Slip(
        "all pixels of a window get dy",
        "How much does y grow if a pixel grows that is not the largest?",
        max_backward_by(np.ones_like),
    ),
    Slip(
        "the windows lie one pixel apart on the way back, whatever the stride",
        "Where did window i begin?",
        {"max_pool_backward": max_backward_one_apart},
        where=r"\[.*\bi\s*:\s*i\s*\+",
    ),
    Slip(
        "the border is still around dx",
        "dx has the shape of x.",
        max_backward_by(first_largest, finish=lambda dxp, pad: dxp),
        where=r"return",
    ),
    Slip(
        "dx is cut with [pad:-pad], which is nothing where pad is 0",
        "What is -0? Count from the front: the picture has H rows, and begins at row pad.",
        max_backward_by(first_largest, finish=lambda dxp, pad: dxp[:, :, pad:-pad, pad:-pad]),
        where=r"-\s*p",
    ),
    Slip(
        "it is the mean of the window",
        "That is average pooling.",
        max_forward_by(lambda windows: windows.mean(axis=(-2, -1)), border=0.0),
        r"mean|sum",
    ),
    Slip(
        "dx has the wrong sign",
        "The largest number comes through as it is: with which factor does its gradient come back?",
        max_backward_by(lambda windows: -first_largest(windows)),
        r"-",
    ),
    Slip(
        "the largest places of the first picture are taken for all",
        "Each picture, and each channel, has largest places of its own.",
        {"max_pool_backward": lambda dy, x, *rest: solution.max_pool_backward(dy, np.repeat(x[:1], len(x), axis=0), *rest)},
        r"\[0",
    ),
)


def counted(input_size: Pair, kernel: Pair, stride: int, pad: int, include: bool) -> np.ndarray:
    """(OH, OW): by what the sum under each window is divided."""
    return windows_of(np.ones((1, 1, *input_size)), kernel, stride, pad, border=float(include)).sum(axis=(-2, -1))[0, 0]


def average_by(count: Callable = counted, windows: Callable = windows_of) -> dict:
    """avg_pool_forward() that counts otherwise, count(input_size, kernel, stride, pad, include); or of other windows."""

    def avg_pool_forward(x, kernel, stride, pad, count_include_pad):
        total = windows(x, kernel, stride, pad).sum(axis=(-2, -1))
        return total / count(x.shape[2:], kernel, stride, pad, count_include_pad)

    return {"avg_pool_forward": avg_pool_forward}


def shares_by(
    count: Callable = counted, overwrites: Callable | None = None, finish: Callable = cropped, step: Callable = lambda s: s
) -> dict:
    """avg_pool_backward() that counts otherwise, or adds the shares up otherwise."""

    def avg_pool_backward(dy, input_size, kernel, stride, pad, count_include_pad):
        shares = dy / count(input_size, kernel, stride, pad, count_include_pad)
        shares = np.broadcast_to(shares[..., None, None], (*dy.shape, *kernel))
        return finish(added_up(shares, input_size, step(stride), pad, overwrites=overwrites), pad)

    return {"avg_pool_backward": avg_pool_backward}


def wrong_way_round(input_size: Pair, kernel: Pair, stride: int, pad: int, include: bool) -> np.ndarray:
    return counted(input_size, kernel, stride, pad, not include)


def always_all(input_size: Pair, kernel: Pair, stride: int, pad: int, include: bool) -> int:
    return kernel[0] * kernel[1]


def never_the_border(input_size: Pair, kernel: Pair, stride: int, pad: int, include: bool) -> np.ndarray:
    return counted(input_size, kernel, stride, pad, False)


def nothing(*_: object) -> int:
    return 1


def average_without_zeros(x: np.ndarray, kernel: Pair, stride: int, pad: int, count_include_pad: bool) -> np.ndarray:
    windows = windows_of(x, kernel, stride, pad)
    pixels = np.maximum((windows != 0).sum(axis=(-2, -1)), 1)
    return windows.sum(axis=(-2, -1)) / (kernel[0] * kernel[1] if count_include_pad else pixels)


AVERAGE_SLIPS = (
    Slip(
        "count_include_pad is taken the wrong way round",
        "True: the zeros of the border count like pixels, and pull the average at the edge towards 0.",
        average_by(wrong_way_round),
        where=r"count_include_pad",
    ),
    Slip(
        "the sum is always divided by KH KW",
        "At the edge a window has fewer pixels of the picture. By how many is their sum divided, if the border does not count?",
        average_by(always_all),
        where=r"mean|(?<!/)/(?!/)",
    ),
    Slip(
        "the border never counts",
        "Then count_include_pad changes nothing. What is asked for when it is True?",
        average_by(never_the_border),
        where=r"(?<!/)/(?!/)",
    ),
    Slip(
        "it is the sum under the window",
        "The average of a constant picture is that constant.",
        average_by(nothing),
        where=r"sum",
    ),
    Slip(
        "pixels of value 0 are taken for the border",
        "A black pixel is a pixel. The border is known by where it is, not by what is in it.",
        {"avg_pool_forward": average_without_zeros},
        where=r"!=|nonzero|> 0",
    ),
    Slip(
        "the windows lie one pixel apart, whatever the stride",
        "Where does window i begin?",
        average_by(windows=one_apart),
        where=r"\[.*\bi\s*:\s*i\s*\+",
    ),
    Slip(
        "count_include_pad is taken the wrong way round on the way back",
        "dy is divided by the number by which forward has divided.",
        shares_by(wrong_way_round),
        where=r"count_include_pad",
    ),
    Slip(
        "dy is always divided by KH KW",
        "dy is divided by the number by which forward has divided, and that is another one at the edge.",
        shares_by(always_all),
        where=r"(?<!/)/(?!/)",
    ),
    Slip(
        "the border never counts on the way back",
        "dy is divided by the number by which forward has divided, with count_include_pad as without it.",
        shares_by(never_the_border),
        where=r"(?<!/)/(?!/)",
    ),
    Slip(
        "each pixel gets the whole of dy",
        "y is an average. How much does it grow if one pixel grows by 1?",
        shares_by(nothing),
        where=r"\+=",
    ),
    Slip(
        "windows overwrite what others have left in the same pixels",
        "A pixel under two windows has two ways to the loss. What happens to its two gradients?",
        shares_by(overwrites=everywhere),
        where=r"\]\s*=(?!=)",
    ),
    Slip(
        "the windows lie one pixel apart on the way back, whatever the stride",
        "Where did window i begin?",
        shares_by(step=lambda stride: 1),
        where=r"\[.*\bi\s*:\s*i\s*\+",
    ),
    Slip(
        "the border is still around dx",
        "dx has the size input_size.",
        shares_by(finish=lambda dxp, pad: dxp),
        where=r"return",
    ),
    Slip(
        "dx is cut with [pad:-pad], which is nothing where pad is 0",
        "What is -0? Count from the front: the picture has H rows, and begins at row pad.",
        shares_by(finish=lambda dxp, pad: dxp[:, :, pad:-pad, pad:-pad]),
        where=r"-\s*p",
    ),
    Slip(
        "the mean goes over the channels too",
        "Each channel is pooled by itself.",
        {"avg_pool_forward": lambda x, *rest: solution.avg_pool_forward(0 * x + x.mean(axis=1, keepdims=True), *rest)},
        r"axis|mean",
    ),
    Slip(
        "dx has the wrong sign",
        "A larger input makes a larger mean.",
        shares_by(lambda *a: -counted(*a)),
        r"-",
    ),
    Slip(
        "dx is divided by the number of pixels of the picture, too",
        "Each window divides by its own count, and by nothing else.",
        shares_by(lambda input_size, *rest: counted(input_size, *rest) * input_size[0] * input_size[1]),
    ),
)


def depthwise_by(
    windows: Callable = windows_of,
    filters: Callable = lambda w: w[:, 0],
    finish: Callable = lambda y, b: y + b[:, None, None],
    sum_over: str = "ncijpq,cpq->ncij",
) -> dict:
    """depthwise_forward() with other windows, other filters, or another sum."""

    def depthwise_forward(x, w, b, stride, pad, dilation):
        seen = windows(x, w.shape[2:], stride, pad, dilation)
        return finish(np.einsum(sum_over, seen, filters(w)), b)

    return {"depthwise_forward": depthwise_forward}


def without_gaps(x: np.ndarray, kernel: Pair, stride: int, pad: int, dilation: int) -> np.ndarray:
    """As many windows as with the dilation, but of taps that lie side by side."""
    OH, OW = number_of_windows(x.shape[2:], kernel, stride, pad, dilation)
    return windows_of(x, kernel, stride, pad)[:, :, :OH, :OW]


def depthwise_gradients_by(change: Callable) -> dict:
    """depthwise_backward() that makes something else of its results: change(dx, dw, db, dy, x, w, stride, pad, dilation)."""

    def depthwise_backward(dy, x, w, stride, pad, dilation):
        arguments = dy, x, w, stride, pad, dilation
        return change(*solution.depthwise_backward(*arguments), *arguments)

    return {"depthwise_backward": depthwise_backward}


def depthwise_dx(dy, x, w, stride, pad, dilation, overwrites=None, finish=cropped) -> np.ndarray:
    shares = np.einsum("ncij,cpq->ncijpq", dy, w[:, 0])
    return finish(added_up(shares, x.shape[2:], stride, pad, dilation, overwrites), pad)


def dw_of(windows: np.ndarray, dy: np.ndarray) -> np.ndarray:
    return np.einsum("ncij,ncijpq->cpq", dy, windows)[:, None]


def backward_without_gaps(dy, x, w, stride, pad, dilation) -> tuple:
    dw = dw_of(without_gaps(x, w.shape[2:], stride, pad, dilation), dy)
    return depthwise_dx(dy, x, w, stride, pad, 1), dw, dy.sum(axis=(0, 2, 3))


def backward_one_apart(dy, x, w, stride, pad, dilation) -> tuple:
    dw = dw_of(one_apart(x, w.shape[2:], stride, pad, dilation), dy)
    return depthwise_dx(dy, x, w, 1, pad, dilation), dw, dy.sum(axis=(0, 2, 3))


DEPTHWISE_SLIPS = (
    Slip(
        "the taps lie side by side, whatever the dilation",
        "Tap p lies how many pixels below tap 0?",
        depthwise_by(windows=without_gaps),
        where=r"\[.*:",
    ),
    Slip(
        "the channels are added up, as in an ordinary convolution",
        "Channel c of y comes from channel c of x, and from no other.",
        depthwise_by(sum_over="ncijpq,cpq->nij", finish=lambda y, b: np.repeat(y[:, None], len(b), axis=1) + b[:, None, None]),
        where=r"sum|einsum",
    ),
    Slip(
        "the first filter is used for all channels",
        "Each channel has a filter of its own. Which axis of w are they on?",
        depthwise_by(filters=lambda w: np.repeat(w[:1, 0], len(w), axis=0)),
        where=r"w\[0",
    ),
    Slip(
        "all filters look at the first channel",
        "The axis of length 1 in w says that a filter sees one channel: its own.",
        depthwise_by(windows=lambda x, *geometry: np.repeat(windows_of(x, *geometry)[:, :1], x.shape[1], axis=1)),
    ),
    Slip(
        "the filters are flipped",
        "Networks lay the filter on the picture as it is.",
        depthwise_by(filters=lambda w: w[:, 0, ::-1, ::-1]),
        where=r"::\s*-1",
    ),
    Slip(
        "the bias is missing",
        "What does a filter of nothing but zeros answer?",
        depthwise_by(finish=lambda y, b: y),
    ),
    Slip(
        "the windows lie one pixel apart, whatever the stride",
        "Where does window i begin?",
        depthwise_by(windows=one_apart),
        where=r"\[.*\bi\s*:\s*i\s*\+",
    ),
    Slip(
        "the taps lie side by side on the way back, whatever the dilation",
        "Each product hands dy back to the pixel that it was made of: where did forward find that?",
        {"depthwise_backward": backward_without_gaps},
        where=r"\[.*:",
    ),
    Slip(
        "the windows lie one pixel apart on the way back, whatever the stride",
        "Where did window i begin?",
        {"depthwise_backward": backward_one_apart},
        where=r"\[.*\bi\s*:\s*i\s*\+",
    ),
    Slip(
        "windows overwrite what others have left in the same pixels of dx",
        "A pixel in several windows had several ways to the loss. What happens to its gradients?",
        depthwise_gradients_by(lambda dx, dw, db, *rest: (depthwise_dx(*rest, overwrites=everywhere), dw, db)),
        where=r"\]\s*=(?!=)",
    ),
    Slip(
        "dx is that of a flipped filter",
        "dy goes back through the tap that it came through. (A flip belongs where dx is written as a convolution of dy.)",
        depthwise_gradients_by(
            lambda dx, dw, db, dy, x, w, *geometry: (depthwise_dx(dy, x, w[:, :, ::-1, ::-1], *geometry), dw, db)
        ),
        where=r"::\s*-1",
    ),
    Slip(
        "dx adds up all channels",
        "Channel c of x has a part in channel c of y, and in no other.",
        depthwise_gradients_by(lambda dx, dw, db, *_: (dx * 0 + dx.sum(axis=1, keepdims=True), dw, db)),
        where=r"sum",
    ),
    Slip(
        "the border is still around dx",
        "dx has the shape of x.",
        depthwise_gradients_by(lambda dx, dw, db, *rest: (depthwise_dx(*rest, finish=lambda dxp, pad: dxp), dw, db)),
        where=r"return",
    ),
    Slip(
        "dx is cut with [pad:-pad], which is nothing where pad is 0",
        "What is -0? Count from the front: the picture has H rows, and begins at row pad.",
        depthwise_gradients_by(lambda dx, dw, db, dy, x, w, stride, pad, d: (dx if pad else dx[:, :, :0, :0], dw, db)),
        where=r"-\s*p",
    ),
    Slip(
        "dw is a mean over the pictures",
        "The same weights were used on all pictures, and each hands them a share. The 1/N of a mean loss is in dy already.",
        depthwise_gradients_by(lambda dx, dw, db, dy, *_: (dx, dw / len(dy), db)),
        where=r"dw.*(mean|(?<!/)/(?!/))|mean",
    ),
    Slip(
        "dw is that of the last window",
        "A weight is used at every window, and gets a share from each.",
        depthwise_gradients_by(
            lambda dx, dw, db, dy, x, w, *geometry: (
                dx,
                np.einsum("nc,ncpq->cpq", dy[:, :, -1, -1], windows_of(x, w.shape[2:], *geometry)[:, :, -1, -1])[:, None],
                db,
            )
        ),
        where=r"dw.*\s=\s",
    ),
    Slip(
        "dw is that of the last picture",
        "The same weights were used on all pictures. What happens to the shares that they got from each?",
        depthwise_gradients_by(
            lambda dx, dw, db, dy, x, w, *geometry: (dx, dw_of(windows_of(x, w.shape[2:], *geometry)[-1:], dy[-1:]), db)
        ),
        where=r"dw.*\s=\s",
    ),
    Slip(
        "dw lacks its axis of length 1",
        "dw has the shape of w.",
        depthwise_gradients_by(lambda dx, dw, db, *_: (dx, dw[:, 0], db)),
        where=r"dw",
    ),
    Slip(
        "db is a mean over the pictures",
        "The bias is added in every picture at every window, and each hands it a share.",
        depthwise_gradients_by(lambda dx, dw, db, dy, *_: (dx, dw, db / len(dy))),
        where=r"mean|(?<!/)/(?!/)",
    ),
    Slip(
        "db is a mean over pictures and windows",
        "The bias is added in every picture at every window, and each hands it a share.",
        depthwise_gradients_by(lambda dx, dw, db, dy, *_: (dx, dw, dy.mean(axis=(0, 2, 3)))),
        where=r"mean",
    ),
    Slip(
        "db is one number for all channels",
        "Each channel has a bias of its own: over which axes does its sum run?",
        depthwise_gradients_by(lambda dx, dw, db, dy, *_: (dx, dw, dy.sum())),
        where=r"sum\(\)",
    ),
    Slip(
        "y is a mean over the taps",
        "A convolution adds up: what does its definition divide by?",
        depthwise_by(filters=lambda w: w[:, 0] / w[0, 0].size),
        r"mean|size",
    ),
    Slip(
        "the bias is added once for every tap",
        "Once for each output.",
        {"depthwise_forward": lambda x, w, b, *rest: solution.depthwise_forward(x, w, b * w[0, 0].size, *rest)},
        r"\+= .*b",
    ),
    Slip(
        "each channel gets the map of the one before it",
        "y[:, c] is channel c with filter c.",
        {"depthwise_forward": lambda x, w, *rest: solution.depthwise_forward(np.roll(x, 1, axis=1), w, *rest)},
        r"c ?- ?1|roll",
    ),
    Slip(
        "db is 0",
        "b[c] is added to every output of channel c.",
        depthwise_gradients_by(lambda dx, dw, db, *_: (dx, dw, np.zeros_like(db))),
        r"zeros",
    ),
    Slip(
        "every filter gets the dw of all channels together",
        "Filter c has met channel c only.",
        depthwise_gradients_by(lambda dx, dw, db, *_: (dx, np.repeat(dw.sum(axis=0, keepdims=True), len(dw), axis=0), db)),
        r"sum",
    ),
)
