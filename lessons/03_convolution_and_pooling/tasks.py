"""Lesson 3, the tasks of its exercise: what is asked of each function, and the mistakes that people make in it.

The first case of a check has everything at once: a border, a stride, overlapping windows, and no two sizes equal that could be
taken for each other. Each mistake shows there in its own way, if it shows in ordinary windows at all. Special cases follow.
"""

from pathlib import Path

import numpy as np
from slips import (
    AVERAGE_SLIPS,
    COLUMN_SLIPS,
    DEPTHWISE_SLIPS,
    MAX_SLIPS,
    PRODUCT_SLIPS,
    SIZE_SLIPS,
    Pair,
    counted,
    number_of_windows,
    solution,
    windows_of,
)

from minicnn.course import Mistake, Student, Task
from minicnn.course.expect import expect_close, expect_gradients, expect_number, expect_several
from minicnn.gradcheck import check_function
from minicnn.kernels import reference, textbook
from minicnn.kernels.geometry import ConvGeometry
from minicnn.layers.receptive_field import ReceptiveField

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
