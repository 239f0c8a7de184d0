"""Lesson 3, the tasks of its exercise: what is asked of each function, and the mistakes that people make in it.

The first case of a check has everything at once: a border, a stride, overlapping windows, and no two sizes equal that could be
taken for each other. Each mistake shows there in its own way, if it shows in ordinary windows at all. Special cases follow.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from minicnn.course import Lesson, Mistake, Slip, Student, Task
from minicnn.course.expect import expect_close, expect_gradients, expect_number, expect_several
from minicnn.gradcheck import check_function
from minicnn.kernels import reference, textbook
from minicnn.kernels.geometry import ConvGeometry
from minicnn.layers.receptive_field import ReceptiveField

solution = Lesson(Path(__file__).resolve().parent).solution

Pair = tuple[int, int]
Layers = list[tuple[int, int, int, int]]

# ---- pictures and windows


def a_picture(rng: np.random.Generator, kernel: Pair, stride: int, pad: int, dilation: int = 1, single: bool = False) -> tuple:
    """(N, C, H, W) of pictures that are neither square nor of as many channels as pictures, unless there is a ``single`` one.

    Where the stride is more than 1, a row or a column at one end is reached by no window.
    """
    N, C = (1, 1) if single else rng.permutation([2, 3, 4])[:2]
    while True:
        windows, left_over = rng.permutation([3, 4, 5])[:2], rng.permutation([0, stride - 1])
        H, W = (windows - 1) * stride + dilation * (np.array(kernel) - 1) + 1 + left_over - 2 * pad
        if H != W:
            return int(N), int(C), int(H), int(W)


def turned(rng: np.random.Generator, sides: Pair) -> Pair:
    """The sides of a window in one order or the other."""
    KH, KW = rng.permutation(sides)
    return int(KH), int(KW)


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


def expect_not_empty(dx: object, pad: int) -> None:
    if pad == 0 and isinstance(dx, np.ndarray) and dx.size == 0:
        raise Mistake("dx is empty where pad is 0")


def described(x: np.ndarray, kernel: Pair, stride: int, pad: int, dilation: int = 1) -> str:
    words = f"x {x.shape}, kernel {kernel}, stride {stride}, pad {pad}"
    return words if dilation == 1 else f"{words}, dilation {dilation}"


# ---- Task 1: sizes and fields

KNOWN: list[tuple[int, Layers]] = [
    (9, []),
    (28, [(3, 1, 1, 1)]),
    (13, [(2, 2, 0, 1)]),
    (56, [(1, 2, 0, 1)]),
    (63, [(3, 1, d, d) for d in (1, 2, 4, 8)]),
    (224, [layer for convolutions in (2, 2, 3, 3, 3) for layer in [(3, 1, 1, 1)] * convolutions + [(2, 2, 0, 1)]]),  # VGG-16
    (227, [(11, 4, 0, 1), (3, 2, 0, 1), (5, 1, 2, 1), (3, 2, 0, 1), *[(3, 1, 1, 1)] * 3, (3, 2, 0, 1)]),  # AlexNet
]


def sizes_and_fields(student: Student, rng: np.random.Generator) -> None:
    for size, layers in [a_telling_stack(rng), *KNOWN]:
        right_size, field = size, ReceptiveField()
        for kernel, stride, pad, dilation in layers:
            geometry = ConvGeometry((kernel, 1), (stride, 1), (pad, pad, 0, 0), (dilation, 1))
            right_size, field = geometry.count(right_size, 1)[0], field.through(geometry)
        expect_whole(f"output_size({size}, {shortened(layers)})", student.output_size(size, list(layers)), right_size)
        answer = student.receptive_field(list(layers))
        answer = answer.tolist() if isinstance(answer, np.ndarray) else answer
        parts = expect_several("receptive_field", answer, "first, last, step")
        right = {"first": field.first[0], "last": field.last[0], "step": field.stride[0]}
        for got, (name, value) in zip(parts, right.items(), strict=True):
            expect_whole(f"{name} of receptive_field({shortened(layers)})", got, value)


def expect_whole(name: str, got: object, right: int) -> None:
    value = expect_number(name, got)
    if value != right:
        raise Mistake(f"{name}: got {value:g}, expected {right}")


def shortened(layers: Layers) -> str:
    return str(layers) if len(layers) < 5 else f"[{', '.join(map(str, layers[:3]))}, ...] of {len(layers)} layers"


def a_telling_stack(rng: np.random.Generator) -> tuple[int, Layers]:
    """A size and three layers for which no two of the known mistakes give the same."""
    by_function = {
        name: [getattr(solution, name), *(slip.functions[name] for slip in SIZE_SLIPS if name in slip.functions)]
        for name in ("output_size", "receptive_field")
    }
    while True:
        columns = [rng.permutation(options) for options in ([3, 4, 5], [1, 2, 3], [1, 2, 4], [2, 3, 4])]
        layers = [tuple(int(number) for number in layer) for layer in zip(*columns, strict=True)]
        size = int(rng.integers(200, 300))
        sizes = [function(size, layers) for function in by_function["output_size"]]
        fields = [function(layers) for function in by_function["receptive_field"]]
        if len(set(sizes)) == len(sizes) and len(set(fields)) == len(fields):
            return size, layers


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

# ---- Task 2: im2col and col2im

WINDOWS = [((2, 3), 2, 1, False), ((2, 3), 1, 0, False), ((3, 4), 1, 2, False), ((1, 2), 3, 0, False), ((2, 1), 1, 0, True)]


def columns_and_back(student: Student, rng: np.random.Generator) -> None:
    for sides, stride, pad, single in WINDOWS:  # the first has windows that overlap along one axis only: 3 > 2
        kernel = turned(rng, sides)
        x = rng.standard_normal(a_picture(rng, kernel, stride, pad, single=single))
        geometry = kernel, (stride, stride), (pad,) * 4, (1, 1)
        words, columns = described(x, kernel, stride, pad), textbook.im2col(x, *geometry)
        expect_close(f"columns ({words})", student.im2col(x, kernel, stride, pad), columns)
        expect_close(f"columns ({words}, other pictures)", student.im2col(-x, kernel, stride, pad), -columns)

        dcolumns, size = rng.standard_normal(columns.shape), x.shape[2:]
        dx = student.col2im(dcolumns, size, kernel, stride, pad)
        expect_not_empty(dx, pad)

        def forward(x: np.ndarray, geometry=geometry) -> np.ndarray:
            return textbook.im2col(x, *geometry)

        def backward(dy: np.ndarray, size=size, kernel=kernel, stride=stride, pad=pad) -> dict:
            return {"x": student.col2im(dy, size, kernel, stride, pad)}

        subject = f"col2im ({words})"
        expect_gradients(
            subject,
            [dx],
            {"dx": textbook.col2im(dcolumns, size, *geometry)},
            lambda x=x, f=forward, b=backward, s=subject: check_function(f, b, {"x": x}, subject=s, rng=rng),
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
)

# ---- Task 3: a matrix product


def products(student: Student, rng: np.random.Generator) -> None:
    for numbers, sides in ((rng.permutation([2, 3, 4]), (2, 3)), (rng.permutation([1, 2, 3]), (1, 3)), ((1, 1, 1), (1, 1))):
        N, C, F = (int(n) for n in numbers)
        kernel, size = turned(rng, sides), turned(rng, rng.permutation([3, 4, 5])[:2])
        H, W = (windows + k - 1 for windows, k in zip(size, kernel, strict=True))
        x, w, b = rng.standard_normal((N, C, H, W)), rng.standard_normal((F, C, *kernel)), rng.standard_normal(F)
        product_of(student, rng, x, w, b, size)


def product_of(student: Student, rng: np.random.Generator, x: np.ndarray, w: np.ndarray, b: np.ndarray, size: Pair) -> None:
    geometry = (1, 1), (0, 0, 0, 0), (1, 1)  # stride, pads, dilation
    columns, words = textbook.im2col(x, w.shape[2:], *geometry), f"w {w.shape}, {len(x)} pictures, size {size}"
    y = reference.conv2d_forward(x, w, b, *geometry, 1)
    expect_close(f"y ({words})", student.product_forward(columns, w, b, size), y)
    expect_close(f"y ({words}, other pictures)", student.product_forward(-columns, w, b, size), 2 * b[:, None, None] - y)

    dy = rng.standard_normal(y.shape)
    got = expect_several("product_backward", student.product_backward(dy, columns, w), "dcolumns, dw, db")
    _, dw, db = reference.conv2d_backward(dy, x, w, *geometry, 1)
    dcolumns = np.einsum("nfl,fk->nkl", dy.reshape(*dy.shape[:2], -1), w.reshape(len(w), -1))

    def forward(columns: np.ndarray, w: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (np.einsum("nkl,fk->nfl", columns, w.reshape(len(w), -1)) + b[:, None]).reshape(y.shape)

    def backward(dy: np.ndarray) -> dict:
        return dict(zip(("columns", "w", "b"), student.product_backward(dy, columns, w), strict=True))

    arrays, subject = {"columns": columns, "w": w, "b": b}, f"product_backward ({words})"
    expect_gradients(
        subject,
        got,
        {"dcolumns": dcolumns, "dw": dw, "db": db},
        lambda: check_function(forward, backward, arrays, subject=subject, elements=60, rng=rng),
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
)

# ---- Task 4: max pooling


def pools(rng: np.random.Generator) -> list[tuple[np.ndarray, Pair, int, int]]:
    """x, kernel, stride and pad.

    Values that are all negative, with a border; equal values in most windows; values of both signs; pixels that no window
    reaches; a constant picture with a border; and a single picture under a single window.
    """
    cases = []
    for sides, stride, pad, values in (
        ((2, 3), 2, 1, "negative"),
        ((2, 3), 1, 0, "few"),
        ((2, 2), 2, 0, "both"),
        ((1, 2), 3, 0, "both"),
        ((3, 3), 1, 1, "constant"),
    ):
        kernel = turned(rng, sides)
        shape = a_picture(rng, kernel, stride, pad)
        distinct = rng.permutation(int(np.prod(shape))).reshape(shape) / 10  # far enough apart for a numeric gradient
        x = {
            "negative": -0.1 - distinct,
            "few": rng.integers(-1, 2, shape).astype(np.float64),
            "both": distinct - distinct.mean() + 0.03,
            "constant": np.full(shape, 2.0),
        }[values]
        cases.append((x, kernel, stride, pad))
    single = rng.permutation(12).reshape(1, 1, 3, 4) / 10
    return [*cases, (single, (3, 4), 1, 0)]


def max_pooling(student: Student, rng: np.random.Generator) -> None:
    for x, kernel, stride, pad in pools(rng):
        size = number_of_windows(x.shape[2:], kernel, stride, pad)
        geometry, words = (kernel, (stride, stride), (pad,) * 4), described(x, kernel, stride, pad)
        y, winners = reference.max_pool2d_forward(x, *geometry, size)
        expect_close(f"y ({words})", student.max_pool_forward(x, kernel, stride, pad), y)
        others = student.max_pool_forward(x[::-1, ::-1].copy(), kernel, stride, pad)
        expect_close(f"y ({words}, other pictures)", others, y[::-1, ::-1])

        dy = rng.standard_normal(y.shape)
        dx = student.max_pool_backward(dy, x, kernel, stride, pad)
        expect_not_empty(dx, pad)
        right = reference.max_pool2d_backward(dy, winners, x.shape[2:], *geometry)

        def forward(x: np.ndarray, geometry=geometry, size=size) -> np.ndarray:
            return textbook.max_pool2d_forward(x, *geometry, size)[0]

        def backward(dy: np.ndarray, x=x, kernel=kernel, stride=stride, pad=pad) -> dict:
            return {"x": student.max_pool_backward(dy, x, kernel, stride, pad)}

        subject = f"max_pool_backward ({words})"
        expect_gradients(
            subject,
            [dx],
            {"dx": right},
            lambda x=x, f=forward, b=backward, s=subject: check_function(f, b, {"x": x}, subject=s, rng=rng),
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
)

# ---- Task 5: average pooling


def average_pooling(student: Student, rng: np.random.Generator) -> None:
    cases = [((2, 3), 2, 1, False), ((3, 3), 1, 1, False), ((2, 3), 1, 0, False), ((1, 2), 3, 0, False), ((3, 4), 1, 0, True)]
    for sides, stride, pad, single in cases:
        kernel = turned(rng, sides)
        x = rng.standard_normal(a_picture(rng, kernel, stride, pad, single=single))
        x.flat[:: int(rng.integers(3, 5))] = 0  # pixels like any other, and not to be taken for the border
        average_pooling_of(student, rng, x, kernel, stride, pad)


def average_pooling_of(student: Student, rng: np.random.Generator, x: np.ndarray, kernel: Pair, stride: int, pad: int) -> None:
    """Both ways to count are asked for before either is judged, so that it can be told how they were mixed up."""
    input_size, words = x.shape[2:], described(x, kernel, stride, pad)
    size = number_of_windows(input_size, kernel, stride, pad)
    geometry, both = (kernel, (stride, stride), (pad,) * 4), (False, True)
    answers = [student.avg_pool_forward(x, kernel, stride, pad, include) for include in both]
    for include, y in zip(both, answers, strict=True):
        right = reference.avg_pool2d_forward(x, *geometry, size, include)
        expect_close(f"y ({words}, count_include_pad {include})", y, right)
    others = student.avg_pool_forward(-x, kernel, stride, pad, True)
    expect_close(f"y ({words}, count_include_pad True, other pictures)", others, -right)

    dy = rng.standard_normal(right.shape)
    answers = [student.avg_pool_backward(dy, input_size, kernel, stride, pad, include) for include in both]
    for include, dx in zip(both, answers, strict=True):
        expect_not_empty(dx, pad)

        def forward(x: np.ndarray, include=include) -> np.ndarray:
            counts = counted(input_size, kernel, stride, pad, include)
            return windows_of(x, kernel, stride, pad).sum(axis=(-2, -1)) / counts

        def backward(dy: np.ndarray, include=include) -> dict:
            return {"x": student.avg_pool_backward(dy, input_size, kernel, stride, pad, include)}

        subject = f"avg_pool_backward ({words}, count_include_pad {include})"
        expect_gradients(
            subject,
            [dx],
            {"dx": reference.avg_pool2d_backward(dy, input_size, *geometry, include)},
            lambda f=forward, b=backward, s=subject: check_function(f, b, {"x": x}, subject=s, rng=rng),
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
)

# ---- Task 6: depthwise convolution

DEPTHWISE = [((2, 3), 2, 2, 3, False), ((2, 3), 1, 1, 2, False), ((3, 3), 1, 0, 1, False), ((1, 2), 3, 0, 1, False)]


def depthwise(student: Student, rng: np.random.Generator) -> None:
    for sides, stride, pad, dilation, single in [*DEPTHWISE, ((2, 2), 1, 1, 1, True)]:
        kernel = turned(rng, sides)
        x = rng.standard_normal(a_picture(rng, kernel, stride, pad, dilation, single))
        C = x.shape[1]
        w, b = rng.standard_normal((C, 1, *kernel)), rng.standard_normal(C)
        depthwise_of(student, rng, x, w, b, stride, pad, dilation)


def depthwise_of(
    student: Student,
    rng: np.random.Generator,
    x: np.ndarray,
    w: np.ndarray,
    b: np.ndarray,
    stride: int,
    pad: int,
    dilation: int,
) -> None:
    words = described(x, w.shape[2:], stride, pad, dilation)
    geometry = (stride, stride), (pad,) * 4, (dilation, dilation)
    y = reference.conv2d_forward(x, w, b, *geometry, x.shape[1])
    expect_close(f"y ({words})", student.depthwise_forward(x, w, b, stride, pad, dilation), y)
    others = student.depthwise_forward(-x, w, b, stride, pad, dilation)
    expect_close(f"y ({words}, other pictures)", others, 2 * b[:, None, None] - y)

    dy = rng.standard_normal(y.shape)
    got = expect_several("depthwise_backward", student.depthwise_backward(dy, x, w, stride, pad, dilation), "dx, dw, db")
    expect_not_empty(got[0], pad)
    right = reference.conv2d_backward(dy, x, w, *geometry, x.shape[1])

    def forward(x: np.ndarray, w: np.ndarray, b: np.ndarray) -> np.ndarray:
        return textbook.depthwise_forward(x, w, b, *geometry)

    def backward(dy: np.ndarray) -> dict:
        return dict(zip("xwb", student.depthwise_backward(dy, x, w, stride, pad, dilation), strict=True))

    arrays, subject = {"x": x, "w": w, "b": b}, f"depthwise_backward ({words})"
    expect_gradients(
        subject,
        got,
        dict(zip(("dx", "dw", "db"), right, strict=True)),
        lambda: check_function(forward, backward, arrays, subject=subject, elements=60, rng=rng),
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
)

# ---- all of them

TASKS = [
    Task(
        "how large a map is, and what it sees",
        sizes_and_fields,
        ("output_size", "receptive_field"),
        SIZE_SLIPS,
        (
            "Draw an axis of 7 pixels and a window of 3. Lay it down with a stride of 2, with a border of 1, with a dilation "
            "of 2, and count. Then ask of the first and the second element of a second layer which pixels they see.",
            "Go through the layers from the picture upwards, and keep what the next layer needs: its input's size; or first, "
            "last, and how many pixels lie between neighbouring elements (step). A layer's own stride matters to the next one.",
            "For each layer, size = (size + 2 * pad - dilation * (kernel - 1) - 1) // stride + 1. And for the field: change "
            "first and last with the old step, and only then multiply step by the stride.",
        ),
    ),
    Task(
        "windows as columns, and back",
        columns_and_back,
        ("im2col", "col2im"),
        COLUMN_SLIPS,
        (
            "Take a picture of 3 x 3 with the numbers 1 to 9 and a kernel of (2, 2). Write the matrix down by hand.",
            "The window at (i, j) is a slice of the padded picture, for all pictures and channels at once; reshape makes a "
            "column of it. col2im walks over the same windows, and adds where im2col has read.",
            "window = xp[:, :, i * stride : i * stride + KH, j * stride : j * stride + KW]; columns[:, :, i * OW + j] = "
            "window.reshape(N, -1). Back: the same slice of dxp += columns[:, :, i * OW + j].reshape(N, C, KH, KW).",
        ),
        points=2,
    ),
    Task(
        "convolution as a matrix product",
        products,
        ("product_forward", "product_backward"),
        PRODUCT_SLIPS,
        (
            "Write down the shapes: filters as rows (F, C KH KW), windows as columns (N, C KH KW, OH OW), y (N, F, OH OW).",
            "It is the fully connected layer again, once for each picture: y = W c + b, so dc = W^T dy and dW = dy c^T; and "
            "what all pictures share collects from all of them.",
            "rows = w.reshape(F, -1); y = rows @ columns + b[:, None]. Back, with dy as (N, F, OH OW): rows.T @ dy; "
            "(dy @ columns.transpose(0, 2, 1)).sum(axis=0), as w's shape; and dy summed over the pictures and windows.",
        ),
        points=2,
    ),
    Task(
        "max pooling",
        max_pooling,
        ("max_pool_forward", "max_pool_backward"),
        MAX_SLIPS,
        (
            "Three pictures to try: all values negative, with a border; a constant one; one in which a single pixel is the "
            "largest of several overlapping windows.",
            "Pad with something that no pixel loses against. On the way back, find the winner of each window again, and add "
            "dy at its place. np.argmax takes the first of equal values.",
            "np.pad(..., constant_values=-np.inf). For each picture and channel by itself, p, q = divmod(window.argmax(), KW), "
            "and dxp[n, c, i * stride + p, j * stride + q] += dy[n, c, i, j]; in the end dxp without its border.",
        ),
        points=2,
    ),
    Task(
        "average pooling",
        average_pooling,
        ("avg_pool_forward", "avg_pool_backward"),
        AVERAGE_SLIPS,
        (
            "Take a constant picture with a border. What is its average at the corner, in each of the two ways to count?",
            "The sum is the same in both; the divisor is a map of its own, the same for all pictures and channels, and "
            "backward divides by the same one.",
            "counted = np.pad(np.ones((H, W)), pad, constant_values=float(count_include_pad)): the sum of it under a window is "
            "the divisor, on the way there and back.",
        ),
    ),
    Task(
        "depthwise convolution",
        depthwise,
        ("depthwise_forward", "depthwise_backward"),
        DEPTHWISE_SLIPS,
        (
            "Begin with dilation 1: a window of all pictures and channels, times w[:, 0], summed over the window alone.",
            "With a dilation the window is a slice with a step: it begins at i * stride, spans dilation * (KH - 1) + 1 rows. "
            "On the way back each product hands dy to both of its factors.",
            "rows = slice(i * stride, i * stride + dilation * (KH - 1) + 1, dilation), columns likewise. With g = "
            "dy[:, :, i, j, None, None]: dxp[:, :, rows, columns] += g * w[:, 0], and dw[:, 0] += g * xp[:, :, rows, columns], "
            "summed over the pictures.",
        ),
        points=2,
    ),
]

# ---- a network with these functions


def finale(functions: dict, out: Path) -> None:
    """Train a network twice from one start, with these functions and with the engine's own: the losses are the same."""
    import time

    import matplotlib.pyplot as plt

    from minicnn.course.workbench import BLUE, ORANGE, drawn_digits, find_data
    from minicnn.data import load_mnist
    from minicnn.layers import AvgPool2d, Conv2d, Flatten, Linear, MaxPool2d, ReLU, Sequential
    from minicnn.losses import SoftmaxCrossEntropy
    from minicnn.optim import SGD

    rng = np.random.default_rng(3)
    pictures, labels = load_mnist(find_data("mnist"))[:2] if find_data("mnist") else drawn_digits(4000, rng)
    chosen = rng.permutation(len(pictures))[:4000]
    x, labels = (pictures[chosen, None] - pictures.mean()) / pictures.std(), labels[chosen]

    def network() -> Sequential:
        layers = {
            "conv": Conv2d(1, 8, 3, stride=2, pad=1, rng=1),
            "relu1": ReLU(),
            "largest": MaxPool2d(3, stride=2, pad=1),
            "depthwise": Conv2d(8, 8, 3, pad=1, groups=8, rng=2),
            "relu2": ReLU(),
            "average": AvgPool2d(3, stride=2, pad=1),
            "flatten": Flatten(),
            "scores": Linear(8 * 4 * 4, 10, rng=3),
        }
        return Sequential(**layers).astype(np.float64)

    def train(net: Sequential, steps: int, seconds: float = np.inf) -> list[float]:
        loss, optimizer, losses = SoftmaxCrossEntropy(), SGD(net.parameters(), 0.05, momentum=0.9), []
        batches, started = np.random.default_rng(4), time.perf_counter()
        net.train()
        while len(losses) < steps and time.perf_counter() - started < seconds:
            batch = batches.integers(0, 3000, 32)
            losses.append(loss.forward(net.forward(x[batch]), labels[batch]))
            net.backward(loss.backward())
            optimizer.step()
        return losses

    engine, yours = network(), network()
    put_in(yours, functions)
    with_yours = train(yours, 300, seconds=12)
    with_engine = train(engine, len(with_yours))
    accuracies = []
    for net in (yours, engine):  # in the engine's layers, for loops may be slow
        judged = network().eval()
        for name, parameter in judged.parameters().items():
            parameter.value = net.parameters()[name].value
        accuracies.append((judged.forward(x[3000:]).argmax(axis=1) == labels[3000:]).mean())

    figure, ax = plt.subplots(figsize=(6, 3.4))
    ax.plot(with_engine, color=ORANGE, lw=4, alpha=0.4, label="the engine's layers")
    ax.plot(with_yours, color=BLUE, lw=1, label="with your functions")
    ax.set(xlabel="step", ylabel="loss of the batch", title="The same network from the same start, trained twice")
    ax.legend()
    figure.savefig(out / "finale.png")
    plt.close(figure)
    off = np.abs(np.subtract(with_yours, with_engine)).max()
    print(
        f"A network with your functions, {len(with_yours)} steps: {accuracies[0]:.1%} of 1000 other digits are right; with "
        f"the engine's layers {accuracies[1]:.1%}. Their losses differ by {off:.0e} at most. Figure: {out / 'finale.png'}"
    )


def put_in(net, functions: dict) -> None:
    """Let the layers of a network compute with these functions."""
    conv, largest, depthwise_conv, average = (net.layers[name] for name in ("conv", "largest", "depthwise", "average"))
    kept = {}

    def conv_forward(x):
        kept["size"], kept["columns"] = x.shape[2:], functions["im2col"](x, (3, 3), 2, 1)
        return functions["product_forward"](kept["columns"], conv.w.value, conv.b.value, conv.output_shape(x.shape)[2:])

    def conv_backward(dy):
        dcolumns, conv.w.grad, conv.b.grad = functions["product_backward"](dy, kept["columns"], conv.w.value)
        return np.ascontiguousarray(functions["col2im"](dcolumns, kept["size"], (3, 3), 2, 1))

    def largest_forward(x):
        kept["largest"] = x
        return functions["max_pool_forward"](x, (3, 3), 2, 1)

    def largest_backward(dy):
        return np.ascontiguousarray(functions["max_pool_backward"](dy, kept["largest"], (3, 3), 2, 1))

    def depthwise_forward(x):
        kept["depthwise"] = x
        return functions["depthwise_forward"](x, depthwise_conv.w.value, depthwise_conv.b.value, 1, 1, 1)

    def depthwise_backward(dy):
        dx, depthwise_conv.w.grad, depthwise_conv.b.grad = functions["depthwise_backward"](
            dy, kept["depthwise"], depthwise_conv.w.value, 1, 1, 1
        )
        return np.ascontiguousarray(dx)

    def average_forward(x):
        return functions["avg_pool_forward"](x, (3, 3), 2, 1, False)

    def average_backward(dy):
        return np.ascontiguousarray(functions["avg_pool_backward"](dy, (7, 7), (3, 3), 2, 1, False))

    conv.forward, conv.backward = conv_forward, conv_backward
    largest.forward, largest.backward = largest_forward, largest_backward
    depthwise_conv.forward, depthwise_conv.backward = depthwise_forward, depthwise_backward
    average.forward, average.backward = average_forward, average_backward


FINALE = finale
