"""Lesson 14, the tasks of its exercise: what is asked of each function, offline, with new numbers and shapes each time.

The numbers differ from run to run; the cases do not. No two sizes are equal that could be taken for each other, and the first
case of a check is one in which no two of the known mistakes give the same.
"""

from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
from scipy.ndimage import map_coordinates
from slips import CAM_SLIPS, CONV_SLIPS, COST_SLIPS, MAP_SLIPS, VIEW_SLIPS, costs_by, map_by

from minicnn.course import Mistake, Student, Task
from minicnn.course.expect import expect_array, expect_close, expect_number, expect_several
from minicnn.kernels.geometry import ConvGeometry
from minicnn.layers import Conv2d, MaxPool2d
from minicnn.layers.receptive_field import ReceptiveField

Volume = tuple[int, int, int]


def expect_whole(name: str, got: object, right: int) -> None:
    value = expect_number(name, got)
    if value != right:
        raise Mistake(f"{name}: got {value:,g}, expected {right:,}")


def several(rng: np.random.Generator, numbers: list[int], count: int) -> tuple[int, ...]:
    """Some of these numbers, no two alike."""
    return tuple(int(number) for number in rng.permutation(numbers)[:count])


# ---- Task 1: fully connected layers as convolutions

ORDERS = ("CHW", "HWC")


def conversions(student: Student, rng: np.random.Generator) -> None:
    for F, C, H, W in (several(rng, [3, 4, 5, 7], 4), (2, 3, 1, 4), (2, 3, 5, 1)):
        w = rng.standard_normal((F, C * H * W))
        answers = [student.linear_to_conv(w, (C, H, W), order) for order in ORDERS]  # both tell what it is
        for order, filters in zip(ORDERS, answers, strict=True):
            words = f'w {w.shape}, volume {(C, H, W)}, order "{order}"'
            expect_close(f"filters ({words})", filters, filters_of(w, (C, H, W), order))
    for units in (several(rng, [2, 4, 5], 3), (3,), (4, 2)):
        volume = several(rng, [3, 5, 7], 3)
        inputs = (int(np.prod(volume)), *units)
        head = [(rng.standard_normal((F, D)), rng.standard_normal(F)) for D, F in zip(inputs, units, strict=False)]
        answers = [student.head_to_convs(head, volume, order) for order in ORDERS]
        for order, convs in zip(ORDERS, answers, strict=True):
            expect_head(convs, head, volume, order)


def filters_of(w: np.ndarray, volume: Volume, order: str) -> np.ndarray:
    """Tap by tap, as the docstring numbers them."""
    C, H, W = volume
    filters = np.empty((len(w), C, H, W))
    for c, i, j in product(range(C), range(H), range(W)):
        filters[:, c, i, j] = w[:, (c * H + i) * W + j if order == "CHW" else (i * W + j) * C + c]
    return filters


def expect_head(convs: object, head: list, volume: Volume, order: str) -> None:
    words = f'volume {volume}, order "{order}", a head of {len(head)} layer{"s" * (len(head) > 1)}'
    layers = expect_several("head_to_convs", convs, ", ".join(f"layer {n}" for n in range(1, len(head) + 1)))
    for n, (layer, (w, b)) in enumerate(zip(layers, head, strict=True)):
        name = f"layer {n + 1} of head_to_convs ({words})"
        filters, bias = expect_several(name, layer, "filters, b")
        expect_close(f"filters of {name}", filters, w.reshape(*w.shape, 1, 1) if n else filters_of(w, volume, order))
        expect_close(f"b of {name}", bias, b)


# ---- Task 2: sizes and windows

Layers = list[tuple[int, int, int]]
LENET: Layers = [(5, 1, 2), (2, 2, 0), (5, 1, 0), (2, 2, 0)]
ALEXNET: Layers = [(11, 4, 0), (3, 2, 0), (5, 1, 2), (3, 2, 0), *[(3, 1, 1)] * 3, (3, 2, 0)]
VGG16: Layers = [layer for convolutions in (2, 2, 3, 3, 3) for layer in [*[(3, 1, 1)] * convolutions, (2, 2, 0)]]
KNOWN: list[tuple[Layers, int, int]] = [
    ([(3, 1, 0)], 9, 9),
    ([(1, 2, 0)], 8, 13),
    ([(3, 1, 1), (2, 2, 0)], 12, 20),
    (LENET, 28, 92),
    (ALEXNET, 227, 451),
    (VGG16, 224, 384),
]


def sizes_and_windows(student: Student, rng: np.random.Generator) -> None:
    cases = [*telling(rng, a_stack, [map_by(), *(slip.functions for slip in MAP_SLIPS)], "dense_map"), *KNOWN]
    first = [student.dense_map(list(layers), crop, size) for layers, crop, size in cases[:2]]  # both tell what it is
    for n, (layers, crop, size) in enumerate(cases):
        lengths, field = [crop, size], ReceptiveField()
        for kernel, stride, pad in layers:
            geometry = ConvGeometry((kernel, 1), (stride, 1), (pad, pad, 0, 0), (1, 1))
            lengths, field = [geometry.count(n, 1)[0] for n in lengths], field.through(geometry)
        kernel, places = lengths
        field = field.through(ConvGeometry((kernel, 1), (1, 1), (0, 0, 0, 0), (1, 1)))
        answer = first[n] if n < 2 else student.dense_map(list(layers), crop, size)
        answer = answer.tolist() if isinstance(answer, np.ndarray) else answer
        parts = expect_several("dense_map", answer, "kernel, cells, step, first, last")
        right = {
            "kernel": kernel,
            "cells": places - kernel + 1,
            "step": field.stride[0],
            "first": field.first[0],
            "last": field.last[0],
        }
        for got, (name, value) in zip(parts, right.items(), strict=True):
            expect_whole(f"{name} of dense_map({shortened(layers)}, {crop}, {size})", got, value)


def shortened(layers: list) -> str:
    return str(layers) if len(layers) < 5 else f"[{', '.join(map(str, layers[:3]))}, ...] of {len(layers)} layers"


def a_stack(rng: np.random.Generator) -> tuple[Layers, int, int]:
    columns = [rng.permutation(options) for options in ([3, 4, 5], [1, 2, 3], [1, 2, 0])]
    layers = [tuple(int(number) for number in layer) for layer in zip(*columns, strict=True)]
    crop = int(rng.integers(38, 60))
    return layers, crop, crop + int(rng.integers(100, 160))


def telling(rng: np.random.Generator, draw: Callable, answers: list[dict], name: str) -> list[tuple]:
    """Two cases, drawn anew until no two of these functions give the same in both of them."""
    while True:
        cases = [draw(rng), draw(rng)]
        if len({tuple(functions[name](*case) for case in cases) for functions in answers}) == len(answers):
            return cases


# ---- Task 3: crops, and one answer


def views(student: Student, rng: np.random.Generator) -> None:
    for step, over in ((3, 2), (2, 1), (4, 0), (1, 0)):
        h, w = several(rng, [5, 6, 7, 8], 2)
        rows, columns = several(rng, [2, 3, 4], 2)
        x = rng.standard_normal((int(rng.integers(2, 4)), h + (rows - 1) * step + over, w + (columns - 1) * step + over))
        expect_crops(student, x, (h, w), step)
    x = rng.standard_normal((1, 4, 5))
    expect_crops(student, x, (4, 5), 3)

    K = int(rng.integers(4, 7))
    maps = [3 * rng.standard_normal((K, *size)) for size in (several(rng, [1, 2, 3], 2), several(rng, [3, 4, 5], 2), (6, 5))]
    for chosen in (maps, maps[:2], maps[2:]):
        expect_prediction(student, chosen)
    with np.errstate(all="ignore"):
        expect_prediction(student, [scores + 1000 for scores in maps], "all scores around 1000")
        far_apart = [scores + offset for scores, offset in zip(maps, rng.permutation([-1000, 0, 1000]), strict=True)]
        expect_prediction(student, far_apart, "scores around 1000, 0 and -1000")


def expect_crops(student: Student, x: np.ndarray, crop: tuple[int, int], step: int) -> None:
    (C, H, W), (h, w) = x.shape, crop
    OH, OW = ConvGeometry(crop, (step, step), (0, 0, 0, 0), (1, 1)).count(H, W)
    right = np.empty((OH, OW, C, h, w))
    for i, j in np.ndindex(OH, OW):
        right[i, j] = x[:, i * step : i * step + h, j * step : j * step + w]
    expect_close(f"crops (x {x.shape}, crop {crop}, step {step})", student.crops_of_cells(x, crop, step), right)


def expect_prediction(student: Student, maps: list[np.ndarray], also: str = "") -> None:
    right = np.zeros(len(maps[0]))
    for scores in maps:
        s = scores.reshape(len(scores), -1).mean(axis=1)
        right += np.exp(s - np.logaddexp.reduce(s)) / len(maps)
    words = f"{len(maps)} map{'s' * (len(maps) > 1)} {', '.join(str(scores.shape) for scores in maps)}"
    got = student.dense_prediction([scores.copy() for scores in maps])
    expect_close(f"p ({words}{'; ' * bool(also)}{also})", got, right)


# ---- Task 4: class activation maps


def activation_maps(student: Student, rng: np.random.Generator) -> None:
    for K, C, H, W in (several(rng, [3, 4, 5, 6], 4), (1, 3, 2, 4), (3, 2, 1, 1)):
        x = rng.standard_normal((C, H, W)) if K > 1 else np.abs(rng.standard_normal((C, H, W)))
        w, b = rng.standard_normal((K, C)), 2 * rng.standard_normal(K)
        M = expect_array(f"M (x {x.shape}, w {w.shape})", student.class_activation_maps(x, w, b), (K, H, W))
        right = np.empty((K, H, W))
        for i, j in np.ndindex(H, W):
            right[:, i, j] = w @ x[:, i, j] + b
        expect_close(f"M (x {x.shape}, w {w.shape})", M, right)
    sizes = [(several(rng, [3, 5], 2), several(rng, [7, 8, 11, 13], 2)), ((2, 4), (6, 8)), ((1, 3), (4, 10)), ((4, 3), (4, 3))]
    for (h, w), (H, W) in sizes:
        m = rng.standard_normal((h, w))
        at = np.meshgrid((np.arange(H) + 0.5) * h / H - 0.5, (np.arange(W) + 0.5) * w / W - 0.5, indexing="ij")
        right = map_coordinates(m, at, order=1, mode="nearest")
        expect_close(f"m {m.shape} enlarged to {(H, W)}", student.enlarge(m, (H, W)), right)


# ---- Task 5: costs

KNOWN_NETWORKS = [
    (1, [(6, 5, 1, 2), (0, 2, 2, 0), (16, 5, 1, 0), (0, 2, 2, 0)], [120, 84, 10], (28, 28), (92, 28)),  # LeNet-5
    (2, [(3, 3, 1, 1)], [4], (6, 5), (6, 5)),
    (3, [(8, 3, 2, 1), (0, 3, 2, 1), (4, 1, 1, 0)], [5], (16, 24), (40, 32)),
]


def costs(student: Student, rng: np.random.Generator) -> None:
    slips = [costs_by(), *(slip.functions for slip in COST_SLIPS)]
    cases = [*telling(rng, a_network, slips, "dense_and_crops"), *KNOWN_NETWORKS]
    first = [student.dense_and_crops(*case) for case in cases[:2]]  # both tell what it is
    for n, case in enumerate(cases):
        channels, layers, head, crop, size = case
        words = f"{channels} channels, layers {layers}, head {head}, crop {crop}, size {size}"
        answer = first[n] if n < 2 else student.dense_and_crops(*case)
        got = expect_several("dense_and_crops", answer, "dense, crops")
        for name, number, right in zip(("dense", "crops"), got, counted(*case), strict=True):
            expect_whole(f"{name} ({words})", number, right)


def counted(channels: int, layers: list, head: list, crop: tuple, size: tuple) -> tuple[int, int]:
    """By the engine's layers, which count their own multiply-adds."""

    def zeros(shape: tuple, rng: np.random.Generator, dtype: type) -> np.ndarray:
        return np.zeros(shape, dtype)

    def run(stack: list, shape: tuple) -> tuple[int, tuple]:
        work = 0
        for layer in stack:
            work, shape = work + layer.multiply_adds(shape), layer.output_shape(shape)
        return work, shape

    stack, C = [], channels
    for F, kernel, stride, pad in layers:
        stack.append(Conv2d(C, F, kernel, stride, pad, initializer=zeros) if F else MaxPool2d(kernel, stride, pad))
        C = F or C
    _, (_, _, *window) = run(stack, (1, channels, *crop))
    for units in head:
        stack.append(Conv2d(C, units, tuple(window), initializer=zeros))
        C, window = units, (1, 1)
    dense, (_, _, OH, OW) = run(stack, (1, channels, *size))
    return dense, OH * OW * run(stack, (1, channels, *crop))[0]


def a_network(rng: np.random.Generator) -> tuple:
    channels, *filters = several(rng, [2, 3, 4, 5, 6], 3)
    (k1, k2, k3), pads = several(rng, [3, 4, 5], 3), several(rng, [1, 2], 2)
    layers = [(filters[0], k1, 2, pads[0]), (0, k2, 2, 1), (filters[1], k3, 1, pads[1])]
    head = list(several(rng, [7, 8, 9, 11], 2))
    crop = several(rng, [22, 23, 25, 26, 27], 2)
    size = crop[0] + int(rng.integers(20, 30)), crop[1] + int(rng.integers(31, 40))
    return channels, layers, head, crop, size


# ---- all tasks

TASKS = [
    Task(
        "fully connected layers as convolutions",
        conversions,
        ("linear_to_conv", "head_to_convs"),
        CONV_SLIPS,
        (
            "Take a volume of two channels and 2 x 3 places, and number the inputs of a unit in each of the two orders. Which "
            "of c, i and j changes fastest along a row of w?",
            "reshape() takes a row apart without moving a number: its axes must be named from the slowest to the fastest. Only "
            "then are they turned to (F, C, H, W). The layers above the first see one place of a map.",
            "w.reshape(-1, C, H, W) and w.reshape(-1, H, W, C).transpose(0, 3, 1, 2), each with .copy(); for the upper layers "
            "w[:, :, None, None].",
        ),
        points=2,
    ),
    Task(
        "how large the map is, and what its cells see",
        sizes_and_windows,
        ("dense_map",),
        MAP_SLIPS,
        (
            "Follow two lengths through the layers, that of the crop and that of the picture. The head's first layer is one "
            "more layer, whose kernel is what became of the crop.",
            "Element i of a layer's output lies stride elements of its input after element i - 1, and each of those is `step` "
            "pixels. So first and last move by elements times step, and step grows after that.",
            "In a loop: first -= step * pad, last += step * (kernel - 1 - pad), step *= stride. In the end cells = n - kernel "
            "+ 1, and last += step * (kernel - 1) with the head's kernel.",
        ),
        points=2,
    ),
    Task(
        "the crops of the cells, and one answer",
        views,
        ("crops_of_cells", "dense_prediction"),
        VIEW_SLIPS,
        (
            "How many crops fit into a picture of 11 rows, if a crop has 5 and the step is 3? In the second function, write "
            "down the shape after each operation.",
            "A crop begins at 0, step, 2 step, ..., as long as it ends within the picture. For the answer: mean over space, "
            "softmax over classes, mean over maps, in this order.",
            "range(0, H - h + 1, step) has the beginnings. scores.mean(axis=(1, 2)) of each map, then exp of them minus "
            "their largest, divided by its sum.",
        ),
        points=2,
    ),
    Task(
        "class activation maps",
        activation_maps,
        ("class_activation_maps", "enlarge"),
        CAM_SLIPS,
        (
            "The classifier is linear, and so is the mean: which of the two comes first does not matter. For enlarge(), draw "
            "three squares in a row over seven, with a dot in the middle of each.",
            "np.einsum can sum over c and keep k, i, j. For enlarge(), compute y for all rows at once, clip it, and split it "
            "into floor and rest; the same for the columns; then index the map with arrays.",
            'np.einsum("kc,chw->khw", w, x) + b[:, None, None]. y = np.clip((np.arange(H) + 0.5) * h / H - 0.5, 0, h - 1); '
            "rows = (1 - t)[:, None] * m[y0] + t[:, None] * m[y1], and likewise on rows[:, x0] and rows[:, x1].",
        ),
        points=3,
    ),
    Task(
        "the cost of a dense pass, and of the crops",
        costs,
        ("dense_and_crops",),
        COST_SLIPS,
        (
            "Write a helper that goes through the layers below the head for one size: what does it cost, and which volume "
            "comes out? You need it twice.",
            "The head costs the same for one crop and for one cell. The layers below it are paid for once in the dense pass, "
            "and once a crop otherwise.",
            "dense = below(size) + cells * above, crops = cells * (below(crop) + above), with above = volume * head[0] + "
            "head[0] * head[1] + ...",
        ),
        points=2,
    ),
]

# ---- all of them together, in a real network

ROWS, COLUMNS, SHIFT = 4, 6, 14  # digits on the canvas, and pixels by which they may be moved


def finale(functions: dict, out: Path) -> None:
    """LeNet-5 with the student's convolutions over a canvas of digits, beside the engine's own, and beside all its crops."""
    import time

    from matplotlib.figure import Figure  # slow to load, and no check needs it

    import minicnn
    from minicnn.course.workbench import drawn_digits, find_data
    from minicnn.data import load_mnist
    from minicnn.layers import ReLU
    from minicnn.losses import softmax
    from minicnn.models import Model
    from minicnn.transfer.fc_to_conv import fc_to_conv, without_padding

    rng, lenet = np.random.default_rng(14), minicnn.load("lenet5_mnist")
    if folder := find_data("mnist"):
        pictures, labels, what = *load_mnist(folder)[2:], "handwritten digits"
    else:
        pictures, labels, what = *drawn_digits(300, rng), "digits of a font"
    canvas, places = canvas_of(pictures, labels, rng)
    x = lenet.preprocessing.normalise(canvas[None])

    below, _ = lenet.split("s4")
    names = ("c5", "f6", "output")
    head = [(lenet.layers[name].w.value, lenet.layers[name].b.value) for name in names]
    head = [(w.reshape(len(w), -1).astype(np.float64), b.astype(np.float64)) for w, b in head]
    layers = dict(below.layers)
    for name, (filters, b) in zip(names, functions["head_to_convs"](head, (16, 5, 5), "CHW"), strict=True):
        filters = np.ascontiguousarray(filters, np.float32)
        conv = Conv2d(filters.shape[1], len(filters), filters.shape[2:], initializer=lambda *_, w=filters: w)
        conv.b.value[...] = b
        layers |= {name: conv, f"{name}_relu": ReLU()}
    del layers["output_relu"]
    yours = Model(layers, architecture="LeNet-5 as convolutions", input_shape=(1, 28, 28)).eval()

    scores, engines = yours.forward(x)[0], fc_to_conv(lenet).forward(x)[0]
    off = float(np.abs(scores - engines).max() / np.abs(engines).max())
    bare = without_padding(lenet)
    surroundings = np.pad(x[0], ((0, 0), (2, 2), (2, 2)))
    crops = functions["crops_of_cells"](surroundings, (32, 32), 4)
    started = time.perf_counter()
    one_by_one = bare.forward(np.ascontiguousarray(crops.reshape(-1, 1, 32, 32), np.float32))
    seconds_of_crops, started = time.perf_counter() - started, time.perf_counter()
    yours.forward(x)
    seconds = time.perf_counter() - started
    by_crops = one_by_one.reshape(*crops.shape[:2], -1).transpose(2, 0, 1)
    from_crops = float(np.abs(scores - by_crops).max() / np.abs(by_crops).max())
    work, work_of_crops = functions["dense_and_crops"](
        1, [(6, 5, 1, 2), (0, 2, 2, 0), (16, 5, 1, 0), (0, 2, 2, 0)], [120, 84, 10], (28, 28), canvas.shape
    )

    _, rows, step, first, last = functions["dense_map"](LENET, 28, canvas.shape[0])
    middle = (first + last) / 2
    nearest = [tuple(round((place + 13.5 - middle) / step) for place in at[:2]) for at in places]
    right = np.mean([scores[:, i, j].argmax() == label for (i, j), (_, _, label) in zip(nearest, places, strict=True)])

    features = yours.forward(x, layers=["f6_relu"])["f6_relu"][0].astype(np.float64)
    maps = functions["class_activation_maps"](features, *head[-1])  # averaged, they are the scores of the whole canvas
    from_features = float(np.abs(maps - scores).max() / np.abs(scores).max())
    answer = functions["dense_prediction"]([scores.astype(np.float64), maps])
    often = int(np.argmax(answer))

    here, also = sorted({at[2] for at in places}, key=lambda label: -sum(label == at[2] for at in places))[:2]
    of_yours, of_engine = (softmax(of.reshape(10, -1).T).T.reshape(of.shape) for of in (maps, engines))
    titles = "the canvas", f"the probability of {here}, by your map", "the same, by the engine's", f"of {also}, by your map"
    figure = Figure(figsize=(9, 6.4), dpi=110, layout="tight")
    extent = (middle - step / 2, middle + step * (maps.shape[2] - 0.5), middle + step * (rows - 0.5), middle - step / 2)
    for n, (ax, title) in enumerate(zip(figure.subplots(2, 2).ravel(), titles, strict=True)):
        ax.imshow(canvas, cmap="gray", extent=(-0.5, canvas.shape[1] - 0.5, canvas.shape[0] - 0.5, -0.5))
        label = also if n == 3 else here
        if n:
            large = functions["enlarge"](of_yours[label], (step * rows, step * maps.shape[2])) if n != 2 else of_engine[label]
            ax.imshow(large, cmap="inferno", vmin=0, vmax=1, alpha=0.7, extent=extent, interpolation="nearest")
            for top, left, of in places:
                if of == label:
                    ax.plot([left, left + 27, left + 27, left, left], [top, top, top + 27, top + 27, top], color="#3b8f4f")
        ax.set(xticks=[], yticks=[], title=title, xlim=(-0.5, canvas.shape[1] - 0.5), ylim=(canvas.shape[0] - 0.5, -0.5))
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "finale.png")
    print(
        f"LeNet-5 with your convolutions over a canvas of {len(places)} {what}, {canvas.shape[0]} x {canvas.shape[1]} pixels: "
        f"its scores are {off:.0e} away from those of the engine's conversion, {from_crops:.0e} from those of "
        f"{len(one_by_one):,} crops one by one, {from_features:.0e} from your activation maps. One pass takes "
        f"{work / 1e6:.0f} million multiply-adds and {1000 * seconds:.0f} ms, the crops {work_of_crops / 1e6:.0f} million and "
        f"{1000 * seconds_of_crops:.0f} ms. The cell nearest to a digit names it rightly for {right:.0%} of them; the whole "
        f"canvas looks most like a {often}. Figure: {out / 'finale.png'}"
    )


def canvas_of(pictures: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, list]:
    """A canvas with a digit somewhere in each of its squares, and (top, left, label) of each digit."""
    side = 28 + SHIFT
    canvas, places = np.zeros((ROWS * side, COLUMNS * side), np.uint8), []
    for n, chosen in enumerate(rng.permutation(len(pictures))[: ROWS * COLUMNS]):
        top, left = side * (n // COLUMNS) + rng.integers(0, SHIFT + 1), side * (n % COLUMNS) + rng.integers(0, SHIFT + 1)
        canvas[top : top + 28, left : left + 28] = pictures[chosen]
        places.append((int(top), int(left), int(labels[chosen])))
    return canvas, places


FINALE = finale
