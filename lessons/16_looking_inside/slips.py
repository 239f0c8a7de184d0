"""Lesson 16: the mistakes that people make in its exercise, each as functions that make it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from minicnn.course import Lesson, Slip
from minicnn.layers import Sequential
from minicnn.losses import softmax

solution = Lesson(Path(__file__).resolve().parent).solution


# ---- what is followed back, in tasks 1, 2 and 4


def one_hot(scores: np.ndarray, k: np.ndarray) -> np.ndarray:
    return np.eye(scores.shape[1])[k]


def of_probability(scores: np.ndarray, k: np.ndarray) -> np.ndarray:
    p = softmax(scores)
    return p[np.arange(len(k)), k][:, None] * (one_hot(scores, k) - p)


def of_loss(scores: np.ndarray, k: np.ndarray) -> np.ndarray:
    return softmax(scores) - one_hot(scores, k)


def of_columns(scores: np.ndarray, k: np.ndarray) -> np.ndarray:
    dscores = np.zeros_like(scores)
    dscores[:, k] = 1
    return dscores


def of_first(scores: np.ndarray, k: np.ndarray) -> np.ndarray:
    return one_hot(scores, np.full_like(k, k[0]))


def of_most_probable(scores: np.ndarray, k: np.ndarray) -> np.ndarray:
    return one_hot(scores, scores.argmax(axis=1))


def divided(dscores: Callable) -> Callable:
    return lambda scores, k: dscores(scores, k) / len(k)


def negative(dscores: Callable) -> Callable:
    return lambda scores, k: -dscores(scores, k)


BEFORE_SOFTMAX = (
    "A probability also rises when the scores of other classes fall, and where the network is sure it hardly moves at all. "
    "Which number was asked about?"
)
OWN_CLASS = "Each picture has a class of its own: row n has its single 1 in column k[n]. Print your dscores."
WRONG_SCORES: tuple[tuple[str, str, tuple[Callable, ...], str], ...] = (
    (
        "The probability is followed back, not the score",
        BEFORE_SOFTMAX,
        (of_probability, divided(of_probability)),
        r"softmax|exp|\bp\b",
    ),
    (
        "The loss is followed back, not the score",
        "p - one-hot belongs to the cross-entropy, in which all classes have a part. Here one score alone is asked about.",
        (of_loss, divided(of_loss)),
        r"softmax|exp|loss|-= *1|- 1",
    ),
    (
        "The logarithm of the probability is followed back, not the score",
        BEFORE_SOFTMAX,
        (negative(of_loss), negative(divided(of_loss))),
        r"softmax|exp|log",
    ),
    (
        "All scores are followed back together",
        "dscores is 1 for one class of each picture, and 0 for all others.",
        (lambda scores, k: np.ones_like(scores), divided(lambda scores, k: np.ones_like(scores))),
        r"ones",
    ),
    (
        "The scores themselves are followed back, where a 1 belongs",
        "How much does a score change with itself?",
        (
            lambda scores, k: one_hot(scores, k) * scores,
            lambda scores, k: scores.copy(),
        ),
        r"scores",
    ),
    ("The classes of all pictures are marked in every row", OWN_CLASS, (of_columns,), r"\[: *, *k\]"),
    ("All pictures have the class of the first one", OWN_CLASS, (of_first,), r"k\[0\]"),
    (
        "The class is the most probable one, whatever was asked for",
        "One may well ask what speaks for a class that the network would not answer. What is the argument k for?",
        (of_most_probable,),
        r"argmax",
    ),
    (
        "The derivative is divided by the number of pictures",
        "That belongs to a loss that is a mean over a batch. A map must not depend on how many other pictures there are.",
        (divided(one_hot),),
        r"/ *(?:len|N|x\.shape)|mean",
    ),
    (
        "The derivative has the wrong sign",
        "dscores is 1 where the score is, not -1.",
        (negative(one_hot),),
        r"-",
    ),
)


def wrong_scores(task: Callable[[Callable], dict], skip: tuple[str, ...] = ()) -> tuple[Slip, ...]:
    """The slips in what is followed back, for a function that ``task`` makes with it."""
    return tuple(
        Slip(title, think, task(dscores), where)
        for title, think, each, where in WRONG_SCORES
        if title not in skip
        for dscores in each
    )


def inference(network: Sequential) -> None:
    network.eval(backward=True)


def training(network: Sequential) -> None:
    network.train()


STAYS_TITLE = "The network stays in the mode in which it came"
TRAIN_MODE = (
    "In train mode dropout draws random numbers, and batch norm mixes the pictures of a batch. Which mode gives a map that "
    "depends on its picture alone, and still remembers what backward() needs?"
)
ONLY_EVAL = (
    "Inference remembers nothing, to save memory, and then nothing can be followed back. The head of exercise.py says how to "
    "ask for both."
)
NOT_SCALED = (
    "Maps of two pictures, or of two methods, can be compared as long as nobody has scaled them. Leave that to the drawing."
)

# ---- 1: saliency


def saliency_by(
    dscores: Callable = one_hot,
    finish: Callable = lambda dx, x: np.abs(dx).max(axis=1),
    start: Callable = inference,
) -> dict[str, Callable]:
    """saliency() with something else followed back, another way from dx to the map, or another mode."""

    def saliency(network: Sequential, x: np.ndarray, k: np.ndarray) -> np.ndarray:
        start(network)
        return finish(network.backward(dscores(network.forward(x), k)), x)

    return {"saliency": saliency}


def of_map(change: Callable) -> dict[str, Callable]:
    """saliency() with its right map changed."""
    return saliency_by(finish=lambda dx, x: change(np.abs(dx).max(axis=1)))


SALIENCY_SLIPS = (
    *wrong_scores(
        saliency_by,
        skip=("The logarithm of the probability is followed back, not the score", "The derivative has the wrong sign"),
    ),
    Slip(
        "The network stays in train mode",
        TRAIN_MODE,
        saliency_by(start=training),
        r"train\(",
    ),
    Slip(STAYS_TITLE, TRAIN_MODE, saliency_by(start=lambda network: None), r"forward"),
    Slip(
        "Nothing is remembered for the backward pass", ONLY_EVAL, saliency_by(start=lambda network: network.eval()), r"eval\(\)"
    ),
    Slip(
        "The absolute value is missing",
        "A pixel that lowers the score when it gets brighter matters as much as one that raises it.",
        saliency_by(finish=lambda dx, x: dx.max(axis=1)),
        r"max\(",
    ),
    Slip(
        "The absolute value comes after the largest over the channels",
        "With the derivatives -5, 1 and 2 in three channels, what should come out? And what does?",
        saliency_by(finish=lambda dx, x: np.abs(dx.max(axis=1))),
        r"abs",
    ),
    Slip(
        "The absolute values are added up over the channels",
        "Of the channels the largest one counts, so that a grey picture and a colour one can be compared.",
        saliency_by(finish=lambda dx, x: np.abs(dx).sum(axis=1)),
        r"sum\(|einsum",
    ),
    Slip(
        "It is the mean over the channels",
        "Of the channels the largest one counts.",
        saliency_by(finish=lambda dx, x: np.abs(dx).mean(axis=1)),
        r"mean\(",
    ),
    Slip(
        "The derivatives of the channels are added up before the absolute value",
        "Red up and blue down would cancel, although both matter.",
        saliency_by(finish=lambda dx, x: np.abs(dx.sum(axis=1))),
        r"sum\(|einsum",
    ),
    Slip(
        "The derivatives of the channels are averaged before the absolute value",
        "Red up and blue down would cancel, although both matter.",
        saliency_by(finish=lambda dx, x: np.abs(dx.mean(axis=1))),
        r"mean\(",
    ),
    Slip(
        "It is the length over the channels",
        "The equation has the largest of the absolute values, not the root of the sum of squares.",
        saliency_by(finish=lambda dx, x: np.sqrt((dx * dx).sum(axis=1))),
        r"norm|sqrt",
    ),
    Slip(
        "It is the square of the derivative",
        "The absolute value of -3 is 3, not 9.",
        saliency_by(finish=lambda dx, x: (dx * dx).max(axis=1)),
        r"\*\* ?2|square|\*",
    ),
    Slip(
        "The derivative is multiplied by the picture",
        "That is another method, gradient times input. It is 0 wherever x is 0, however much such a pixel matters.",
        saliency_by(finish=lambda dx, x: np.abs(dx * x).max(axis=1)),
        r"\* *x\b|\bx *\*",
    ),
    Slip(
        "The channels are still there",
        "A map has one number for each pixel, (N, H, W). Over which axis does the largest value run?",
        saliency_by(finish=lambda dx, x: np.abs(dx)),
        r"abs",
    ),
    Slip(
        "The axis of the channels is still there, with length 1",
        "A map is (N, H, W), with three axes.",
        saliency_by(finish=lambda dx, x: np.abs(dx).max(axis=1, keepdims=True)),
        r"keepdims|max",
    ),
    Slip(
        "The largest value runs over the pictures",
        "The axes of dx are pictures, channels, rows, columns. Which one is to go?",
        saliency_by(finish=lambda dx, x: np.abs(dx).max(axis=0)),
        r"max\(",
    ),
    Slip(
        "The largest value runs over the columns",
        "The axes of dx are pictures, channels, rows, columns. Which one is to go?",
        saliency_by(finish=lambda dx, x: np.abs(dx).max(axis=-1)),
        r"max\(",
    ),
    Slip(
        "Each map is divided by its largest value",
        NOT_SCALED,
        of_map(lambda S: S / S.max(axis=(1, 2), keepdims=True)),
        r"/",
    ),
    Slip("All maps are divided by the largest value of all", NOT_SCALED, of_map(lambda S: S / S.max()), r"/"),
    Slip(
        "Each map is stretched from 0 to 1",
        NOT_SCALED,
        of_map(lambda S: (S - S.min(axis=(1, 2), keepdims=True)) / np.ptp(S, axis=(1, 2), keepdims=True)),
        r"/|min|ptp",
    ),
    Slip(
        "Only the first channel counts",
        "Which channel matters most may differ from pixel to pixel.",
        saliency_by(finish=lambda dx, x: np.abs(dx[:, 0])),
        r"0\]",
    ),
)

# ---- 2: Grad-CAM, and enlarging a map


def relu(values: np.ndarray) -> np.ndarray:
    return np.maximum(values, 0)


def mean_of_places(dA: np.ndarray) -> np.ndarray:
    return dA.mean(axis=(2, 3), keepdims=True)


def weighted_by(weights: Callable, finish: Callable = relu) -> Callable:
    """A map from dA and A, with the weights that ``weights`` makes of dA."""
    return lambda dA, A: finish((weights(dA) * A).sum(axis=1))


right_map = weighted_by(mean_of_places)


def grad_cam_by(
    dscores: Callable = one_hot,
    join: Callable = right_map,
    start: Callable = inference,
    which: Callable = lambda names, layer: layer,
) -> dict[str, Callable]:
    """grad_cam() with something else followed back, another way from dA and A to the map, another mode, or another layer."""

    def grad_cam(network: Sequential, layer: str, x: np.ndarray, k: np.ndarray) -> np.ndarray:
        start(network)
        lower, upper = network.split(which(list(network.layers), layer))
        A = lower.forward(x)
        return join(upper.backward(dscores(upper.forward(A), k)), A)

    return {"grad_cam": grad_cam}


def of_cam(change: Callable) -> dict[str, Callable]:
    """grad_cam() with its right maps changed."""
    return grad_cam_by(join=lambda dA, A: change(right_map(dA, A)))


AGAINST = "Where the sum is negative, what is there speaks against the class: it should not light up."
ONE_WEIGHT = "alpha[n, c] is a mean over the h x w places, one number for a channel."
SIGNED = "A channel may speak against the class. It belongs into the sum, with its minus sign."

CAM_SLIPS = (
    *wrong_scores(grad_cam_by),
    Slip("The network stays in train mode", TRAIN_MODE, grad_cam_by(start=training), r"train\("),
    Slip(STAYS_TITLE, TRAIN_MODE, grad_cam_by(start=lambda network: None), r"split|forward"),
    Slip(
        "Nothing is remembered for the backward pass", ONLY_EVAL, grad_cam_by(start=lambda network: network.eval()), r"eval\(\)"
    ),
    *(
        Slip(title, think, grad_cam_by(join=join), where)
        for title, think, join, where in (
            (
                "The ReLU of the sum is missing",
                AGAINST,
                weighted_by(mean_of_places, lambda total: total),
                r"sum\(|einsum|return",
            ),
            ("The absolute value is taken in place of the ReLU", AGAINST, weighted_by(mean_of_places, np.abs), r"abs"),
            (
                "The ReLU is taken of the weights",
                SIGNED,
                weighted_by(lambda dA: relu(mean_of_places(dA))),
                r"maximum|clip|relu",
            ),
            (
                "The ReLU is taken of the weights, and not of the sum",
                "Which of the two lines of the docstring has the max(0, ...)?",
                weighted_by(lambda dA: relu(mean_of_places(dA)), lambda total: total),
                r"maximum|clip|relu",
            ),
            (
                "The ReLU comes before the sum over the channels",
                "What speaks against the class at a place must first be subtracted from what speaks for it.",
                lambda dA, A: relu(mean_of_places(dA) * A).sum(axis=1),
                r"maximum|clip|relu",
            ),
            (
                "The derivatives go through a ReLU before their mean",
                SIGNED,
                weighted_by(lambda dA: mean_of_places(relu(dA))),
                r"maximum|clip|relu",
            ),
            (
                "The absolute values of the derivatives are averaged",
                SIGNED,
                weighted_by(lambda dA: mean_of_places(np.abs(dA))),
                r"abs",
            ),
            ("The weights are their absolute values", SIGNED, weighted_by(lambda dA: np.abs(mean_of_places(dA))), r"abs"),
            (
                "The derivatives are added up over the places",
                ONE_WEIGHT,
                weighted_by(lambda dA: dA.sum(axis=(2, 3), keepdims=True)),
                r"sum\(",
            ),
            (
                "alpha is the largest derivative",
                ONE_WEIGHT,
                weighted_by(lambda dA: dA.max(axis=(2, 3), keepdims=True)),
                r"max\(",
            ),
            (
                "There is no mean: each place has its own derivative as its weight",
                ONE_WEIGHT,
                weighted_by(lambda dA: dA),
                r"\*|einsum",
            ),
            (
                "The weights are means of the maps, not of the derivatives",
                "How strong a channel is says nothing about which class it speaks for.",
                lambda dA, A: relu((mean_of_places(A) * A).sum(axis=1)),
                r"mean",
            ),
            (
                "The derivatives are added up, weighted by the means of the maps",
                "The two have changed places: the mean is taken of the derivatives, and the maps are added up.",
                lambda dA, A: relu((mean_of_places(A) * dA).sum(axis=1)),
                r"mean",
            ),
            (
                "The weights are averaged over the pictures as well",
                "Each picture has weights of its own, alpha[n, c].",
                weighted_by(lambda dA: dA.mean(axis=(0, 2, 3), keepdims=True)),
                r"mean",
            ),
            (
                "The mean runs over the channels, not over the places",
                "alpha has an n and a c. Which axes of (N, C', h, w) are left to be averaged away?",
                weighted_by(lambda dA: dA.mean(axis=1, keepdims=True)),
                r"mean",
            ),
            (
                "There are no weights: the maps are added up",
                "Which channels speak for the class k, and how much? That is what alpha is for.",
                weighted_by(lambda dA: 1),
                r"sum\(",
            ),
            (
                "The weighted maps are averaged over the channels, not added up",
                "The second line of the docstring has a sum over c.",
                lambda dA, A: relu((mean_of_places(dA) * A).mean(axis=1)),
                r"mean",
            ),
            (
                "The largest of the weighted maps is taken, not their sum",
                "The second line of the docstring has a sum over c.",
                lambda dA, A: relu((mean_of_places(dA) * A).max(axis=1)),
                r"max\(",
            ),
        )
    ),
    *(
        Slip("Each map is divided by its largest value", NOT_SCALED, of_cam(scaled), r"/")
        for scaled in (
            lambda G: G / G.max(axis=(1, 2), keepdims=True),
            lambda G: G / np.maximum(G.max(axis=(1, 2), keepdims=True), 1e-12),
            lambda G: G / np.where(G.max(axis=(1, 2), keepdims=True) > 0, G.max(axis=(1, 2), keepdims=True), 1),
        )
    ),
    Slip("All maps are divided by the largest value of all", NOT_SCALED, of_cam(lambda G: G / G.max()), r"/"),
    Slip(
        "The axis of the channels is still there, with length 1",
        "A map is (N, h, w), with three axes.",
        of_cam(lambda G: G[:, None].copy()),
        r"keepdims|sum|einsum",
    ),
    Slip(
        "It is the layer below the one that was named",
        "A is the output of the layer: it has to run. After which layer is the network split?",
        grad_cam_by(which=lambda names, layer: names[names.index(layer) - 1]),
        r"index|- *1",
    ),
    Slip(
        "It is the layer above the one that was named",
        "A is the output of the layer itself. After which layer is the network split?",
        grad_cam_by(which=lambda names, layer: names[names.index(layer) + 1]),
        r"index|\+ *1",
    ),
    Slip(
        "It is always the same layer",
        "What is the argument `layer` for?",
        grad_cam_by(which=lambda names, layer: "relu2"),
        r"relu|[\"']",
    ),
)


def upsample_by(
    place: Callable = lambda i, small, large: np.clip((i + 0.5) * small / large - 0.5, 0, small - 1),
    below: Callable = np.floor,
    blend: Callable = lambda t: t,
    axes: tuple[int, ...] = (1, 2),
    last: Callable = lambda b, small: np.minimum(b, small - 1),
) -> dict[str, Callable]:
    """upsample() with rows and columns at other places, or mixed in another way."""

    def upsample(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        for axis, length in enumerate(size, start=1):
            small = maps.shape[axis]
            u = place(np.arange(length), small, length)
            a = below(u).astype(int)
            t = blend(u - a).reshape(-1, *[1] * (2 - axis)) if axis in axes else np.zeros(1)
            first, second = (maps.take(last(index, small), axis) for index in (a, a + 1))
            maps = (1 - t) * first + t * second
        return maps

    return {"upsample": upsample}


def half_pixels(i: np.ndarray, small: int, large: int) -> np.ndarray:
    return (i + 0.5) * small / large - 0.5


def beyond_the_edge(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Where u is below 0 or above h - 1, the straight line through the two outermost values goes on."""
    for axis, length in enumerate(size, start=1):
        small = maps.shape[axis]
        u = half_pixels(np.arange(length), small, length)
        a = np.clip(np.floor(u).astype(int), 0, max(small - 2, 0))
        t = (u - a).reshape(-1, *[1] * (2 - axis))
        maps = (1 - t) * maps.take(a, axis) + t * maps.take(np.minimum(a + 1, small - 1), axis)
    return maps


def swapped_sizes(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return solution.upsample(maps, size[::-1])


UPSAMPLE_SLIPS = (
    Slip(
        "The corners are laid upon the corners",
        "With u = i (h - 1) / (H - 1) the middles of the outermost cells and of the outermost pixels lie on each other. In the "
        "equation it is the areas of the two maps that do.",
        upsample_by(lambda i, small, large: i * (small - 1) / max(large - 1, 1)),
        r"- *1|linspace|zoom",
    ),
    Slip(
        "The half pixels are missing",
        "Where is the middle of the first pixel of the large map? And that of the first cell of the small one?",
        upsample_by(lambda i, small, large: i * small / large),
        r"\* *(?:h|w|small)|/",
    ),
    Slip(
        "Only one of the two half pixels is there",
        "Half a pixel is added before the scaling, and half a cell subtracted after it.",
        upsample_by(lambda i, small, large: np.clip((i + 0.5) * small / large, 0, small - 1)),
        r"0?\.5",
    ),
    *(
        Slip(
            "The nearest value is taken, nothing is mixed",
            "Between the middles of two cells the value passes from one to the other in a straight line.",
            upsample_by(lambda i, small, large, half=half: np.floor((i + half) * small / large)),
            r"//|repeat|kron|round|int",
        )
        for half in (0.5, 0)
    ),
    Slip(
        "At the edge the line goes on beyond the outermost middle",
        "u is not below 0 and not above h - 1: outside, the outermost value stays as it is.",
        {"upsample": beyond_the_edge},
        r"floor|clip|min|max",
    ),
    Slip(
        "At the upper edge the last row takes part",
        "Where u is below 0, floor(u) is -1, and to NumPy that is the last row.",
        upsample_by(half_pixels),
        r"floor|//|int",
    ),
    Slip(
        "The two shares have changed places",
        "Where u is just above a, is t near 0 or near 1? And which of the two rows is the nearer one?",
        upsample_by(blend=lambda t: 1 - t),
        r"1 *- *t|1 *- *\w+",
    ),
    Slip(
        "Only the rows are mixed",
        "The columns are to be interpolated as well, in the same way.",
        upsample_by(axes=(1,)),
    ),
    Slip(
        "Only the columns are mixed",
        "The rows are to be interpolated as well, in the same way.",
        upsample_by(axes=(2,)),
    ),
    Slip(
        "The maps keep their size",
        "What is the argument `size` for?",
        {"upsample": lambda maps, size: maps.copy()},
    ),
    Slip(
        "Height and width have changed places",
        "size is (H, W), the height first, as the axes of a map are.",
        {"upsample": swapped_sizes},
        r"size",
    ),
)

# ---- 3: occlusion


def squares(H: int, W: int, side: int, stride: int) -> tuple[list, tuple[int, int]]:
    """The slices of all squares, and how many rows and columns of them there are."""
    m = (side - stride) // 2
    return grid_of(range(-m, H - m, stride), range(-m, W - m, stride), side)


def grid_of(tops: Sequence[int], lefts: Sequence[int], side: int) -> tuple[list, tuple[int, int]]:
    def cut(start: int) -> slice:
        return slice(max(start, 0), max(start + side, 0))

    return [(cut(top), cut(left)) for top in tops for left in lefts], (len(tops), len(lefts))


def falls(p: np.ndarray, covered: np.ndarray, k: int) -> np.ndarray:
    return softmax(p)[:, k] - softmax(covered)[:, k]


def paint(picture: np.ndarray, rows: slice, columns: slice, fill: np.ndarray) -> None:
    picture[:, rows, columns] = fill[:, None, None]


def occlusion_by(
    lay: Callable = squares,
    answer: Callable = falls,
    paint: Callable = paint,
    keeps: bool = False,
    shape: Callable = lambda values, rows, columns: values.reshape(rows, columns),
) -> dict[str, Callable]:
    """occlusion() with other squares, another answer from the scores, or another way to cover.

    ``keeps``: what was covered stays covered.
    """

    def occlusion(network: Sequential, x: np.ndarray, k: int, side: int, stride: int, fill: np.ndarray) -> np.ndarray:
        windows, (rows, columns) = lay(*x.shape[1:], side, stride)
        pictures, current = [], x.copy()
        for window in windows:
            current = current if keeps else x.copy()
            paint(current, *window, fill)
            pictures.append(current.copy())
        values = answer(network.forward(x[None]), network.forward(np.stack(pictures)), k)
        return shape(values, rows, columns)

    return {"occlusion": occlusion}


def at_the_corner(H: int, W: int, side: int, stride: int) -> tuple[list, tuple[int, int]]:
    return grid_of(range(0, H, stride), range(0, W, stride), side)


def whole_cells(H: int, W: int, side: int, stride: int) -> tuple[list, tuple[int, int]]:
    m = (side - stride) // 2
    return grid_of(range(-m, H // stride * stride - m, stride), range(-m, W // stride * stride - m, stride), side)


def whole_squares(H: int, W: int, side: int, stride: int) -> tuple[list, tuple[int, int]]:
    return grid_of(range(0, H - side + 1, stride), range(0, W - side + 1, stride), side)


def pushed_inside(H: int, W: int, side: int, stride: int) -> tuple[list, tuple[int, int]]:
    m = (side - stride) // 2
    return grid_of([max(i - m, 0) for i in range(0, H, stride)], [max(j - m, 0) for j in range(0, W, stride)], side)


def pushed_inside_all_round(H: int, W: int, side: int, stride: int) -> tuple[list, tuple[int, int]]:
    m = (side - stride) // 2
    tops = [min(max(i - m, 0), max(H - side, 0)) for i in range(0, H, stride)]
    lefts = [min(max(j - m, 0), max(W - side, 0)) for j in range(0, W, stride)]
    return grid_of(tops, lefts, side)


def counted_from_the_end(H: int, W: int, side: int, stride: int) -> tuple[list, tuple[int, int]]:
    m = (side - stride) // 2
    tops, lefts = range(-m, H - m, stride), range(-m, W - m, stride)
    cuts = [(slice(top, top + side), slice(left, left + side)) for top in tops for left in lefts]
    return cuts, (len(tops), len(lefts))


def cells_alone(H: int, W: int, side: int, stride: int) -> tuple[list, tuple[int, int]]:
    return squares(H, W, stride, stride)


def by_columns(H: int, W: int, side: int, stride: int) -> tuple[list, tuple[int, int]]:
    windows, (columns, rows) = squares(W, H, side, stride)
    return [(r, c) for c, r in windows], (rows, columns)


def larger_margin(H: int, W: int, side: int, stride: int) -> tuple[list, tuple[int, int]]:
    m = side // 2
    return grid_of(range(-m, H - m, stride), range(-m, W - m, stride), side)


def around_the_middle(H: int, W: int, side: int, stride: int) -> tuple[list, tuple[int, int]]:
    """The square's middle upon the cell's, rounded down: the same where side - stride is even."""
    m = -((stride - side) // 2)
    return grid_of(range(-m, H - m, stride), range(-m, W - m, stride), side)


def side_plus(more: int) -> Callable:
    def lay(H: int, W: int, side: int, stride: int) -> tuple[list, tuple[int, int]]:
        m = (side - stride) // 2
        return grid_of(range(-m, H - m, stride), range(-m, W - m, stride), side + more)

    return lay


def paint_all_else(picture: np.ndarray, rows: slice, columns: slice, fill: np.ndarray) -> None:
    inside = picture[:, rows, columns].copy()
    picture[:] = fill[:, None, None]
    picture[:, rows, columns] = inside


def paint_first_channel(picture: np.ndarray, rows: slice, columns: slice, fill: np.ndarray) -> None:
    picture[0, rows, columns] = fill[0]


def paint_alike(colour: Callable) -> Callable:
    def paint(picture: np.ndarray, rows: slice, columns: slice, fill: np.ndarray) -> None:
        picture[:, rows, columns] = colour(fill, picture)

    return paint


NOT_FILL = "What is the argument `fill` for? Each channel has a number of its own in it."
UNCOVERED = "The map says how far the probability falls: p without the square, minus p with it."
AT_THE_EDGE = "At the edge a part of the square lies outside the picture. The rest of it stays where it is."

OCCLUSION_SLIPS = (
    *(
        Slip(title, think, occlusion_by(answer=answer), where)
        for title, think, answer, where in (
            ("The difference is taken the wrong way round", UNCOVERED, lambda s, c, k: -falls(s, c, k), r"-"),
            (
                "It is the probability with the square, not how far it falls",
                UNCOVERED,
                lambda s, c, k: softmax(c)[:, k],
                r"\[.*k\]",
            ),
            (
                "The scores are compared, not the probabilities",
                "p = softmax(scores). All scores of a picture together make the probability of one class.",
                lambda s, c, k: s[:, k] - c[:, k],
                r"forward|\[.*k\]",
            ),
            (
                "The logarithms of the probabilities are compared",
                "The map is a difference of probabilities.",
                lambda s, c, k: np.log(softmax(s)[:, k]) - np.log(softmax(c)[:, k]),
                r"log",
            ),
            (
                "The fall is divided by the probability",
                "The map is a difference, not a share.",
                lambda s, c, k: falls(s, c, k) / softmax(s)[:, k],
                r"/",
            ),
            (
                "It is the ratio of the probabilities",
                "The map is a difference.",
                lambda s, c, k: softmax(c)[:, k] / softmax(s)[:, k],
                r"/",
            ),
            (
                "Negative values are cut off",
                "Where covering helps, the map is negative: that is worth knowing.",
                lambda s, c, k: np.maximum(falls(s, c, k), 0),
                r"max|clip",
            ),
            ("The sign is lost", "Where covering helps, the map is negative.", lambda s, c, k: np.abs(falls(s, c, k)), r"abs"),
            (
                "The largest probability of the covered picture is taken, whichever its class",
                "The class is k throughout: with the square on it the network may well answer another one.",
                lambda s, c, k: softmax(s)[:, k] - softmax(c).max(axis=1),
                r"max\(",
            ),
            (
                "The class is the one that the network answers, not k",
                "What is the argument k for?",
                lambda s, c, k: falls(s, c, int(s[0].argmax())),
                r"argmax|max\(",
            ),
            (
                "The largest probability is taken before and after, whichever its class",
                "What is the argument k for?",
                lambda s, c, k: softmax(s).max(axis=1) - softmax(c).max(axis=1),
                r"max\(",
            ),
            (
                "Softmax runs over the covered pictures, not over the classes",
                "The probabilities of each picture sum to 1 over its classes.",
                lambda s, c, k: softmax(s)[:, k] - softmax(c.T).T[:, k],
                r"axis ?= ?0|softmax",
            ),
        )
    ),
    *(
        Slip(title, think, occlusion_by(lay=lay), where)
        for title, think, lay, where in (
            (
                "The square begins at the cell's corner, and is not laid over its middle",
                "What is m for? The square sticks out of the cell on all four sides.",
                at_the_corner,
                r"stride",
            ),
            (
                "Cells that hang over the edge are left out",
                "Every pixel lies in a cell: how many are there, if they do not come out even?",
                whole_cells,
                r"//|int\(",
            ),
            (
                "Only squares that lie inside the picture altogether are tried",
                "The middle of the square goes to every cell, also at the edge. It is cut off there.",
                whole_squares,
                r"- *side",
            ),
            ("At the upper and left edge the whole square is pushed inside", AT_THE_EDGE, pushed_inside, r"max\("),
            ("At all edges the whole square is pushed inside", AT_THE_EDGE, pushed_inside_all_round, r"max\(|min\("),
            (
                "At the upper and left edge nothing is covered",
                "To NumPy x[:, -1:3] begins at the last row, and is empty. Where should it begin?",
                counted_from_the_end,
                r"side",
            ),
            ("The square is as large as a cell", "What is the argument `side` for?", cells_alone, r"stride"),
            (
                "m is half the side",
                "The margin is what the square has more than the cell, half of it.",
                larger_margin,
                r"// ?2",
            ),
            (
                "m is rounded up",
                "Where side - stride is odd, m = (side - stride) // 2 is rounded down.",
                around_the_middle,
                r"/ ?2|0?\.5|ceil|// ?2",
            ),
            ("The square has a row and a column too many", "From a to b - 1 there are b - a numbers.", side_plus(1), r"\+ *1"),
            ("The square has a row and a column too few", "A slice ends before its last number.", side_plus(-1), r"- *1"),
        )
    ),
    *(
        Slip(title, think, occlusion_by(paint=way), where)
        for title, think, way, where in (
            ("The square is 0, whatever fill says", NOT_FILL, paint_alike(lambda fill, picture: 0), r"= *0"),
            ("All channels get the first number of fill", NOT_FILL, paint_alike(lambda fill, picture: fill[0]), r"fill\[0\]"),
            ("All channels get the mean of fill", NOT_FILL, paint_alike(lambda fill, picture: fill.mean()), r"mean"),
            (
                "The square has the mean colour of the picture",
                NOT_FILL,
                paint_alike(lambda fill, picture: picture.mean(axis=(1, 2))[:, None, None]),
                r"mean",
            ),
            (
                "Only the first channel is covered",
                "A square in red alone hides little. All channels count.",
                paint_first_channel,
                r"0",
            ),
            ("Everything but the square is covered", "The rest of the picture is as it was.", paint_all_else, r"full|copy"),
        )
    ),
    Slip(
        "What was covered once stays covered",
        "Each square is laid on the picture as it came. How many squares are there in your last picture?",
        occlusion_by(keeps=True),
        r"copy|=",
    ),
    Slip(
        "Rows and columns of the map have changed places",
        "map[i, j] belongs to row i and column j of the cells.",
        occlusion_by(shape=lambda values, rows, columns: values.reshape(rows, columns).T.copy()),
        r"\.T|\[j, ?i\]|zeros|reshape",
    ),
    *(
        Slip(
            "The cells are gone through in another order than the map is filled",
            "Row after row, as reshape fills an array: which of the two loops is the inner one?",
            occlusion_by(lay=by_columns, shape=shape),
            r"reshape|for",
        )
        for shape in (lambda values, rows, columns: values.reshape(rows, columns),)
    ),
    Slip(
        "The map has no rows and columns",
        "There are ceil(H / stride) rows of ceil(W / stride) numbers.",
        occlusion_by(shape=lambda values, rows, columns: values),
        r"return",
    ),
)

# ---- 4: fast gradient sign


def attack_by(
    step: Callable = lambda d, step, targeted, std: (-step if targeted else step) * d,
    direction: Callable = np.sign,
    finish: Callable = lambda pixels: np.clip(pixels, 0, 255),
    dscores: Callable = of_loss,
    prepare: Callable = lambda pixels, mean, std: (pixels - mean) / std,
    start: Callable = inference,
    result: Callable | None = None,
) -> dict[str, Callable]:
    """fast_gradient_sign() with one part of it exchanged; ``result(pixels, move, x)`` in place of finish(pixels + move)."""

    def fast_gradient_sign(
        network: Sequential, pixels: np.ndarray, mean: np.ndarray, std: np.ndarray, k: np.ndarray, size: float, targeted: bool
    ) -> np.ndarray:
        mean, std = mean[:, None, None], std[:, None, None]
        x = prepare(pixels, mean, std)
        start(network)
        d = direction(network.backward(dscores(network.forward(x), k)))
        move = step(d, size, targeted, std)
        return result(pixels, move, x) if result else finish(pixels + move)

    return {"fast_gradient_sign": fast_gradient_sign}


def usual(d: np.ndarray, step: float, targeted: bool) -> np.ndarray:
    return (-step if targeted else step) * d


UNTARGETED = (
    "Untargeted, the loss of the true class is to grow; targeted, that of the wanted class is to shrink. Which way is uphill?"
)
ONLY_SIGN = "Every pixel moves by the same step, up or down. Only the sign of its derivative counts."
VALID = "What comes out is a picture again, with numbers from 0 to 255."
IN_PIXELS = "The step is in units of pixels, and so is what comes out. The network alone sees x."
THE_LOSS = "In the loss all scores have a part, through the softmax. To follow it back, dscores is p - one-hot."

ATTACK_SLIPS = (
    *(
        Slip(title, think, attack_by(step=step), where)
        for title, think, step, where in (
            (
                "The step has the wrong sign, targeted and untargeted",
                UNTARGETED,
                lambda d, step, targeted, std: -usual(d, step, targeted),
                r"step|-",
            ),
            ("A targeted step goes the way of an untargeted one", UNTARGETED, lambda d, step, targeted, std: step * d, r"step"),
            (
                "An untargeted step goes the way of a targeted one",
                UNTARGETED,
                lambda d, step, targeted, std: -step * d,
                r"step",
            ),
            (
                "The step is in units of what the network sees, not of pixels",
                IN_PIXELS,
                lambda d, step, targeted, std: std * usual(d, step, targeted),
                r"std",
            ),
            (
                "The step is divided by std",
                IN_PIXELS,
                lambda d, step, targeted, std: usual(d, step, targeted) / std,
                r"/ *std",
            ),
            (
                "The step is always 1",
                "What is the argument `step` for?",
                lambda d, step, targeted, std: usual(d, 1, targeted),
                r"sign",
            ),
            (
                "The step is a share of 255",
                "The step is in units of pixels already.",
                lambda d, step, targeted, std: 255 * usual(d, step, targeted),
                r"255",
            ),
        )
    ),
    *(
        Slip(title, think, attack_by(direction=direction), where)
        for title, think, direction, where in (
            ("The derivative itself is added, not its sign", ONLY_SIGN, lambda g: g, r"\* *\w*(?:dx|grad|g)\b|backward"),
            (
                "The derivative is divided by its length",
                ONLY_SIGN,
                lambda g: g / np.sqrt((g * g).sum(axis=(1, 2, 3), keepdims=True)),
                r"norm|sqrt",
            ),
            ("The derivative is divided by the length of all together", ONLY_SIGN, lambda g: g / np.linalg.norm(g), r"norm"),
            (
                "The derivative is divided by its largest value",
                ONLY_SIGN,
                lambda g: g / np.abs(g).max(axis=(1, 2, 3), keepdims=True),
                r"max",
            ),
            (
                "A pixel whose derivative is 0 moves up",
                "The sign of 0 is 0: such a pixel stays as it is. Are there three cases in your line, or two?",
                lambda g: np.where(g >= 0, 1.0, -1.0),
                r"where|>=|<",
            ),
            (
                "A pixel whose derivative is 0 moves down",
                "The sign of 0 is 0: such a pixel stays as it is. Are there three cases in your line, or two?",
                lambda g: np.where(g > 0, 1.0, -1.0),
                r"where|>",
            ),
            ("A derivative of 0 is divided by itself", "The sign of 0 is 0, and 0 / 0 is NaN.", lambda g: g / np.abs(g), r"/"),
            (
                "All channels of a pixel move alike",
                "Each number of the picture has a derivative of its own, also the three of one pixel.",
                lambda g: np.broadcast_to(np.sign(g.sum(axis=1, keepdims=True)), g.shape).copy(),
                r"sum|mean",
            ),
        )
    ),
    *(
        Slip(title, think, attack_by(finish=finish), where)
        for title, think, finish, where in (
            ("Nothing is cut off at 0 and 255", VALID, lambda pixels: pixels, r"return"),
            ("It is cut off at 1", VALID, lambda pixels: np.clip(pixels, 0, 1), r"clip|min|max"),
            ("It is cut off at 0 only", VALID, lambda pixels: np.maximum(pixels, 0), r"max"),
            ("It is cut off at 255 only", VALID, lambda pixels: np.minimum(pixels, 255), r"min"),
            (
                "It is rounded",
                "The docstring says: not rounded.",
                lambda pixels: np.round(np.clip(pixels, 0, 255)),
                r"round|rint",
            ),
            (
                "It wraps around, as bytes do",
                "In uint8, 250 + 10 is 4. Stay with floating-point numbers.",
                lambda pixels: (np.trunc(pixels).astype(int) % 256).astype(np.float64),
                r"uint8|%",
            ),
            (
                "It is made whole numbers",
                "The docstring says: not rounded.",
                lambda pixels: np.trunc(np.clip(pixels, 0, 255)),
                r"uint8|int|trunc|floor",
            ),
        )
    ),
    *(
        Slip(title, think, attack_by(dscores=dscores), where)
        for title, think, dscores, where in (
            ("The score is lowered, and the loss not looked at", THE_LOSS, negative(one_hot), r"- *1|-"),
            (
                "The score of k is raised where the loss should be",
                THE_LOSS,
                one_hot,
                r"= *1|eye",
            ),
            (
                "The probabilities are followed back without the one-hot",
                THE_LOSS,
                lambda scores, k: softmax(scores),
                r"softmax",
            ),
            (
                "The class is the most probable one, whatever was asked for",
                "What is the argument k for?",
                lambda scores, k: of_loss(scores, scores.argmax(axis=1)),
                r"argmax",
            ),
            (
                "All pictures have the class of the first one",
                OWN_CLASS,
                lambda scores, k: of_loss(scores, np.full_like(k, k[0])),
                r"k\[0\]",
            ),
            (
                "The classes of all pictures are marked in every row",
                OWN_CLASS,
                lambda scores, k: softmax(scores) - of_columns(scores, k),
                r"\[: *, *k\]",
            ),
        )
    ),
    *(
        Slip(title, think, attack_by(prepare=prepare), where)
        for title, think, prepare, where in (
            ("The network is given the pixels as they are", IN_PIXELS, lambda pixels, mean, std: pixels, r"forward"),
            ("The mean is not subtracted", "x = (pixels - mean) / std.", lambda pixels, mean, std: pixels / std, r"/"),
            ("It is not divided by std", "x = (pixels - mean) / std.", lambda pixels, mean, std: pixels - mean, r"-"),
            ("It is multiplied by std", "x = (pixels - mean) / std.", lambda pixels, mean, std: (pixels - mean) * std, r"\*"),
            (
                "The network is given the pixels divided by 255",
                "x = (pixels - mean) / std.",
                lambda pixels, mean, std: pixels / 255,
                r"255",
            ),
            (
                "Mean and std have changed places",
                "x = (pixels - mean) / std.",
                lambda pixels, mean, std: (pixels - std) / mean,
                r"/",
            ),
        )
    ),
    *(
        Slip(title, think, attack_by(result=result), where)
        for title, think, result, where in (
            (
                "What comes back is what the network sees, not a picture",
                IN_PIXELS,
                lambda pixels, move, x: x + move,
                r"\bx *[+-]",
            ),
            (
                "What comes back is what the network sees, cut off at 0 and 255",
                IN_PIXELS,
                lambda pixels, move, x: np.clip(x + move, 0, 255),
                r"\bx *[+-]",
            ),
            ("Only the step comes back", "What comes out is the new picture.", lambda pixels, move, x: move, r"return"),
            (
                "Only the step comes back, cut off",
                "What comes out is the new picture.",
                lambda pixels, move, x: np.clip(move, 0, 255),
                r"return",
            ),
        )
    ),
    Slip("The network stays in train mode", TRAIN_MODE, attack_by(start=training), r"train\("),
    Slip(STAYS_TITLE, TRAIN_MODE, attack_by(start=lambda network: None), r"forward"),
    Slip(
        "Nothing is remembered for the backward pass", ONLY_EVAL, attack_by(start=lambda network: network.eval()), r"eval\(\)"
    ),
)

# ---- 5: PCA


def turned(points: np.ndarray) -> np.ndarray:
    """By the rule of the task."""
    largest = points[np.abs(points).argmax(axis=0), np.arange(points.shape[1])]
    return points * np.where(largest < 0, -1, 1)


def of_squares(S: np.ndarray, d: int) -> np.ndarray:
    total = (S**2).sum()
    return S[:d] ** 2 / (total if total > 0 else 1)


def pca_by(
    centre: Callable = lambda codes: codes - codes.mean(axis=0),
    points: Callable = lambda X, U, S, Vt, d: (U * S)[:, :d],
    turn: Callable = lambda points, Vt: turned(points),
    share: Callable = of_squares,
) -> dict[str, Callable]:
    """pca() with another centre, other points, another rule for the sign, or other shares."""

    def pca(codes: np.ndarray, dimensions: int) -> tuple[np.ndarray, np.ndarray]:
        X = centre(codes)
        U, S, Vt = np.linalg.svd(X, full_matrices=False)
        return turn(points(X, U, S, Vt, dimensions), Vt[:dimensions]), share(S, dimensions)

    return {"pca": pca}


def by_numbers(points: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """The columns of the points turned so that these numbers, one for each, are positive."""
    return points * np.where(numbers < 0, -1, 1)


def largest_of_rows(Vt: np.ndarray) -> np.ndarray:
    return Vt[np.arange(len(Vt)), np.abs(Vt).argmax(axis=1)]


def unturned(codes: np.ndarray, dimensions: int) -> tuple[np.ndarray, np.ndarray]:
    """With the signs that the eigenvectors of the covariance matrix happen to have."""
    X = codes - codes.mean(axis=0)
    _, vectors = np.linalg.eigh(X.T @ X)
    return X @ vectors[:, ::-1][:, :dimensions], solution.pca(codes, dimensions)[1]


SIGNS = "By our rule the number of largest absolute value among the points decides, for each column by itself."
CENTRE = "Each of the D numbers has a mean of its own, over the N codes."
SHARES = "The variance along a direction is S^2 / N. What is the sum of all of them?"
COORDINATES = "Which matrix has a row for each code, and lengths in the units of the codes? It is X V, or U S."

PCA_SLIPS = (
    *(
        Slip(title, think, pca_by(centre=centre), where)
        for title, think, centre, where in (
            ("The mean is not subtracted", CENTRE, lambda codes: codes, r"svd|eig"),
            (
                "The mean of each code is subtracted",
                CENTRE,
                lambda codes: codes - codes.mean(axis=1, keepdims=True),
                r"axis ?= ?1",
            ),
            ("One mean is subtracted from everything", CENTRE, lambda codes: codes - codes.mean(), r"mean\(\)|mean\(codes\)"),
            (
                "The codes are standardised",
                "The directions of largest variance depend on the scale of each number: it stays as it is.",
                lambda codes: (codes - codes.mean(axis=0)) / codes.std(axis=0),
                r"std",
            ),
            (
                "The codes are standardised, those of a constant number left out",
                "The directions of largest variance depend on the scale of each number: it stays as it is.",
                lambda codes: (codes - codes.mean(axis=0)) / np.where(codes.std(axis=0) > 0, codes.std(axis=0), 1),
                r"std",
            ),
            ("The median is subtracted", CENTRE, lambda codes: codes - np.median(codes, axis=0), r"median"),
        )
    ),
    *(
        Slip(title, think, pca_by(points=points), where)
        for title, think, points, where in (
            ("The points are U, without S", COORDINATES, lambda X, U, S, Vt, d: U[:, :d].copy(), r"U\["),
            (
                "The points are the directions themselves",
                COORDINATES,
                lambda X, U, S, Vt, d: Vt[:d].T.copy(),
                r"V",
            ),
            (
                "The columns of V^T are taken, where its rows are the directions",
                "svd() gives V^T: its first row is the first direction, and X is to be multiplied by V.",
                lambda X, U, S, Vt, d: X @ Vt[:, :d],
                r"V\w*\[:, ?:",
            ),
            (
                "The directions of least variance are taken",
                "svd() sorts S from the largest on, eigh() from the smallest on.",
                lambda X, U, S, Vt, d: (U * S)[:, : -d - 1 : -1].copy(),
                r"::-1|-\w*:|eigh",
            ),
            (
                "The points have variance 1 along each direction",
                "That is whitening. The points are U S, as long as the codes are.",
                lambda X, U, S, Vt, d: np.sqrt(len(X)) * U[:, :d],
                r"sqrt|std",
            ),
            (
                "The points have variance 1 along each direction, divided by N - 1",
                "That is whitening. The points are U S, as long as the codes are.",
                lambda X, U, S, Vt, d: np.sqrt(len(X) - 1) * U[:, :d],
                r"sqrt|std",
            ),
            ("U is multiplied by the squares of S", COORDINATES, lambda X, U, S, Vt, d: (U * S**2)[:, :d], r"\*\* ?2"),
            (
                "All directions come back, not as many as asked",
                "What is the argument `dimensions` for?",
                lambda X, U, S, Vt, d: U * S,
                r"return",
            ),
        )
    ),
    *(
        Slip(title, think, pca_by(turn=turn), where)
        for title, think, turn, where in (
            ("The sign is left as it comes", SIGNS, lambda points, Vt: points, r"svd|eig"),
            (
                "The sign is decided by the direction, not by the points",
                SIGNS,
                lambda points, Vt: by_numbers(points, largest_of_rows(Vt)),
                r"argmax|sign",
            ),
            ("The sign is decided by the first point", SIGNS, lambda points, Vt: by_numbers(points, points[0]), r"\[0\]"),
            (
                "The sign is decided by the first number of the direction",
                SIGNS,
                lambda points, Vt: by_numbers(points, Vt[:, 0]),
                r"0\]",
            ),
            (
                "The sign is decided by the sum of the direction",
                SIGNS,
                lambda points, Vt: by_numbers(points, Vt.sum(axis=1)),
                r"sum",
            ),
            (
                "The number of largest absolute value is negative",
                "By our rule it is positive.",
                lambda points, Vt: -turned(points),
                r"<|>|sign",
            ),
            (
                "All numbers are made positive",
                "Whole columns are turned round, not single numbers.",
                lambda points, Vt: np.abs(points),
                r"abs",
            ),
            (
                "One sign is taken for all columns",
                "Each column is turned by itself.",
                lambda points, Vt: points * (-1 if points.flat[np.abs(points).argmax()] < 0 else 1),
                r"argmax",
            ),
        )
    ),
    *(
        Slip(title, think, pca_by(share=share), where)
        for title, think, share, where in (
            ("The shares are of S, not of its squares", SHARES, lambda S, d: S[:d] / (S.sum() or 1), r"sum"),
            (
                "The shares are of the directions asked for, not of all",
                "A picture with two axes shows a part of the variance. All S count in the sum.",
                lambda S, d: S[:d] ** 2 / ((S[:d] ** 2).sum() or 1),
                r"sum",
            ),
            ("They are the squares of S, not shares", SHARES, lambda S, d: S[:d] ** 2, r"\*\* ?2"),
            ("They are S, not shares", SHARES, lambda S, d: S[:d].copy(), r"return"),
            (
                "The shares are added up",
                "share[j] belongs to direction j alone.",
                lambda S, d: np.cumsum(of_squares(S, d)),
                r"cumsum",
            ),
            (
                "The shares of all directions come back",
                "What is the argument `dimensions` for?",
                lambda S, d: of_squares(S, len(S)),
                r"return",
            ),
            (
                "Codes that are all alike have shares of NaN",
                "What is the sum of all S^2, if all codes are alike?",
                lambda S, d: S[:d] ** 2 / (S**2).sum(),
                r"/",
            ),
        )
    ),
    *(
        Slip(
            "They are variances, not shares",
            SHARES,
            {"pca": lambda codes, dimensions, less=less: variances(codes, dimensions, less)},
            r"/|var",
        )
        for less in (0, 1)
    ),
    Slip("The sign is left as it comes", SIGNS, {"pca": unturned}, r"svd|eig"),
    Slip(
        "Points and shares come back in the wrong order",
        "Which one was asked for first?",
        {"pca": lambda codes, dimensions: solution.pca(codes, dimensions)[::-1]},
        r"return",
    ),
    Slip(
        "The points are a row for each direction",
        "The points are (N, dimensions): a row for each code.",
        {"pca": lambda codes, dimensions: (lambda points, share: (points.T.copy(), share))(*solution.pca(codes, dimensions))},
        r"\.T",
    ),
)


def variances(codes: np.ndarray, dimensions: int, less: int) -> tuple[np.ndarray, np.ndarray]:
    points, _ = solution.pca(codes, dimensions)
    return points, (points**2).sum(axis=0) / (len(codes) - less)


# ---- 6: nearest neighbours


def unit(codes: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(codes, axis=1, keepdims=True)
    return codes / np.where(lengths > 0, lengths, 1)


def cosines(codes: np.ndarray, queries: np.ndarray) -> np.ndarray:
    return 1 - unit(codes)[queries] @ unit(codes).T


def without_query(distances: np.ndarray, queries: np.ndarray) -> np.ndarray:
    distances = distances.copy()
    distances[np.arange(len(queries)), queries] = np.inf
    return distances


def neighbours_by(
    distance: Callable = cosines,
    leave_out: Callable = without_query,
    choose: Callable = lambda distances, k: np.argsort(distances, axis=1, kind="stable")[:, :k],
    tell: Callable = lambda distances, found: np.take_along_axis(distances, found, axis=1),
) -> dict[str, Callable]:
    """nearest_neighbours() with another distance, another way to leave out the query, to choose, or to tell the distances."""

    def nearest_neighbours(codes: np.ndarray, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        distances = leave_out(distance(codes, queries), queries)
        found = choose(distances, k)
        return found, tell(distances, found)

    return {"nearest_neighbours": nearest_neighbours}


def euclidean(codes: np.ndarray, queries: np.ndarray) -> np.ndarray:
    return np.linalg.norm(codes[queries][:, None] - codes[None], axis=2)


def nearest(distances: np.ndarray, k: int) -> np.ndarray:
    return np.argsort(distances, axis=1, kind="stable")[:, :k]


def all_queries_out(distances: np.ndarray, queries: np.ndarray) -> np.ndarray:
    distances = distances.copy()
    distances[:, queries] = np.inf
    return distances


def row_number_out(distances: np.ndarray, queries: np.ndarray) -> np.ndarray:
    return without_query(distances, np.arange(len(queries)))


def equals_out(distances: np.ndarray, queries: np.ndarray) -> np.ndarray:
    return np.where(distances < 1e-9, np.inf, distances)


def renumbered(codes: np.ndarray, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The query is taken out of the list, and those behind it move up."""
    rows = [np.delete(row, query) for row, query in zip(cosines(codes, queries), queries, strict=True)]
    return neighbours_by(lambda codes, queries: np.stack(rows), lambda distances, queries: distances)["nearest_neighbours"](
        codes, queries, k
    )


def own(codes: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):
        return codes / np.linalg.norm(codes, axis=1, keepdims=True)


DIRECTION = "The distance is 1 minus the cosine of the angle, whatever the lengths: x.y / (|x| |y|)."
ITSELF = "The query is at distance 0 from itself, and would always be the first. It is the one code that does not count."
BY_NUMBER = (
    "Another code that equals the query is a neighbour, at distance 0. The query is known by its number, not by its distance."
)
NUMBERS = "Neighbours are numbers of codes, as they stand in `codes`."
ASCENDING = "The nearest comes first, and the distances belong to the neighbours, in their order."
ZERO_CODE = "A code of zeros has length 0. By our rule its distance to all others is 1."

NEIGHBOURS_SLIPS = (
    *(
        Slip(title, think, neighbours_by(distance), where)
        for title, think, distance, where in (
            ("The distance is Euclidean", DIRECTION, euclidean, r"norm|sqrt|cdist|-"),
            (
                "The distance is the square of the Euclidean one",
                DIRECTION,
                lambda codes, queries: euclidean(codes, queries) ** 2,
                r"\*\* ?2|sum",
            ),
            (
                "The codes are not divided by their lengths",
                DIRECTION,
                lambda codes, queries: 1 - codes[queries] @ codes.T,
                r"@|dot|einsum",
            ),
            (
                "The queries are not divided by their lengths",
                DIRECTION,
                lambda codes, queries: 1 - codes[queries] @ unit(codes).T,
                r"@|dot|einsum",
            ),
            (
                "Only the queries are divided by their lengths",
                DIRECTION,
                lambda codes, queries: 1 - unit(codes)[queries] @ codes.T,
                r"@|dot|einsum",
            ),
            (
                "The codes are divided by the squares of their lengths",
                "The length is the root of the sum of squares.",
                lambda codes, queries: 1 - by_squares(codes)[queries] @ by_squares(codes).T,
                r"sum",
            ),
            (
                "The codes are divided by the sum of their absolute values",
                "The length is the root of the sum of squares.",
                lambda codes, queries: 1 - by_sum(codes)[queries] @ by_sum(codes).T,
                r"sum|abs|ord",
            ),
            (
                "The mean code is subtracted first",
                "The angle is seen from 0. With the mean subtracted it is another one.",
                lambda codes, queries: cosines(codes - codes.mean(axis=0), queries),
                r"mean",
            ),
            (
                "The mean of each code is subtracted first",
                "That makes a correlation of the cosine. The codes stay as they are.",
                lambda codes, queries: cosines(codes - codes.mean(axis=1, keepdims=True), queries),
                r"mean|corr",
            ),
            (
                "The sign of the cosine is lost",
                "Opposite directions are as far from each other as can be, at distance 2.",
                lambda codes, queries: 1 - np.abs(1 - cosines(codes, queries)),
                r"abs",
            ),
            (
                "The distance is the angle",
                "The distance is 1 - cos, without the arc cosine.",
                lambda codes, queries: np.arccos(np.clip(1 - cosines(codes, queries), -1, 1)),
                r"arccos",
            ),
            (
                "A code of zeros is divided by 0",
                ZERO_CODE,
                lambda codes, queries: 1 - own(codes)[queries] @ own(codes).T,
                r"/",
            ),
            (
                "A code of zeros is at distance 0",
                ZERO_CODE,
                lambda codes, queries: np.nan_to_num(1 - own(codes)[queries] @ own(codes).T),
                r"nan_to_num|isnan",
            ),
            (
                "A small number is added to the lengths",
                "It makes short codes seem farther away. Only a length of 0 needs care.",
                lambda codes, queries: 1 - with_epsilon(codes)[queries] @ with_epsilon(codes).T,
                r"\+ *(?:\d|eps)",
            ),
        )
    ),
    *(
        Slip(title, think, neighbours_by(leave_out=leave_out), where)
        for title, think, leave_out, where in (
            ("The query itself is among its neighbours", ITSELF, lambda distances, queries: distances, r"argsort|sort"),
            (
                "All queries are left out everywhere",
                "One query may well be found by another one.",
                all_queries_out,
                r"queries\]",
            ),
            (
                "The wrong code is left out: the one with the number of the row",
                "Row q of the result belongs to code queries[q].",
                row_number_out,
                r"diag|arange|range",
            ),
            ("Codes that equal the query are left out", BY_NUMBER, equals_out, r"<|> *\d|== *0"),
        )
    ),
    *(
        Slip(
            "Codes that equal the query are left out",
            BY_NUMBER,
            neighbours_by(leave_out=lambda distances, queries, limit=limit: np.where(distances <= limit, np.inf, distances)),
            r"<|> *\d|== *0",
        )
        for limit in (0.0, 1e-12, 1e-6)
    ),
    *(
        Slip(title, think, neighbours_by(leave_out=lambda distances, queries: distances, choose=choose), where)
        for title, think, choose, where in (
            (
                "The first one found is left out, whichever it is",
                BY_NUMBER,
                lambda distances, k: np.argsort(distances, axis=1, kind="stable")[:, 1 : k + 1],
                r"1:|\[1",
            ),
            (
                "The first one found is left out, whichever it is",
                BY_NUMBER,
                lambda distances, k: np.argsort(distances, axis=1)[:, 1 : k + 1],
                r"1:|\[1",
            ),
            (
                "The first one is left out, and then there is one too few",
                "k neighbours were asked for.",
                lambda distances, k: nearest(distances, k)[:, 1:],
                r"1:",
            ),
        )
    ),
    *(
        Slip(title, think, neighbours_by(choose=choose, tell=tell), where)
        for title, think, choose, tell, where in (
            (
                "They are the farthest ones",
                ASCENDING,
                lambda distances, k: nearest(-np.where(np.isinf(distances), -np.inf, distances), k),
                lambda distances, found: np.take_along_axis(distances, found, axis=1),
                r"argsort|-",
            ),
            (
                "The similarity comes back in place of the distance",
                "The distance is 1 minus the cosine: 0 for the same direction.",
                nearest,
                lambda distances, found: 1 - np.take_along_axis(distances, found, axis=1),
                r"1 ?-|return",
            ),
            (
                "The distances are those of the first k codes",
                ASCENDING,
                nearest,
                lambda distances, found: distances[:, : found.shape[1]].copy(),
                r"\[:, ?:",
            ),
            (
                "The distances of all codes come back",
                "The distances are (Q, k): those of the neighbours.",
                nearest,
                lambda distances, found: distances.copy(),
                r"return",
            ),
            (
                "There is one neighbour too many",
                "k neighbours were asked for, without the query.",
                lambda distances, k: nearest(distances, k + 1),
                lambda distances, found: np.take_along_axis(distances, found, axis=1),
                r"\+ *1",
            ),
            (
                "The farthest of the neighbours comes first",
                ASCENDING,
                lambda distances, k: nearest(distances, k)[:, ::-1].copy(),
                lambda distances, found: np.take_along_axis(distances, found, axis=1),
                r"::-1",
            ),
            (
                "The neighbours are in the order of their numbers",
                ASCENDING,
                lambda distances, k: np.sort(nearest(distances, k), axis=1),
                lambda distances, found: np.take_along_axis(distances, found, axis=1),
                r"argpartition|sort\(",
            ),
            (
                "The k nearest are not in order",
                "argpartition finds the k smallest, in no order. They are still to be sorted.",
                lambda distances, k: np.argpartition(distances, k - 1, axis=1)[:, :k],
                lambda distances, found: np.take_along_axis(distances, found, axis=1),
                r"argpartition",
            ),
            (
                "The ranks come back, not the neighbours",
                NUMBERS,
                lambda distances, k: np.argsort(np.argsort(distances, axis=1), axis=1)[:, :k],
                lambda distances, found: np.sort(distances, axis=1)[:, : found.shape[1]],
                r"argsort",
            ),
        )
    ),
    Slip(
        "The neighbours are numbered without the query",
        NUMBERS + " Once the query has been taken out of a list, those behind it move up.",
        {"nearest_neighbours": renumbered},
        r"delete|!=",
    ),
    Slip(
        "Neighbours and distances come back in the wrong order",
        "Which one was asked for first?",
        {"nearest_neighbours": lambda codes, queries, k: solution.nearest_neighbours(codes, queries, k)[::-1]},
        r"return",
    ),
    Slip(
        "The codes themselves come back, not their numbers",
        NUMBERS,
        {"nearest_neighbours": lambda codes, queries, k: codes_of(codes, *solution.nearest_neighbours(codes, queries, k))},
        r"codes\[",
    ),
)


def by_squares(codes: np.ndarray) -> np.ndarray:
    squares = (codes * codes).sum(axis=1, keepdims=True)
    return codes / np.where(squares > 0, squares, 1)


def by_sum(codes: np.ndarray) -> np.ndarray:
    sums = np.abs(codes).sum(axis=1, keepdims=True)
    return codes / np.where(sums > 0, sums, 1)


def with_epsilon(codes: np.ndarray, epsilon: float = 1e-3) -> np.ndarray:
    return codes / (np.linalg.norm(codes, axis=1, keepdims=True) + epsilon)


def codes_of(codes: np.ndarray, neighbours: np.ndarray, distances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return codes[neighbours], distances
