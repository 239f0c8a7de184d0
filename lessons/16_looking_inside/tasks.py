"""Lesson 16: what its exercise is checked for, offline, with new numbers and shapes each time.

The numbers differ from check to check; the cases do not. Sizes that could be mistaken for each other are different, classes are
not the ones that a network would answer, and one of its colour channels may be one that it does not look at.
"""

from pathlib import Path

import numpy as np
from slips import (
    ATTACK_SLIPS,
    CAM_SLIPS,
    NEIGHBOURS_SLIPS,
    OCCLUSION_SLIPS,
    PCA_SLIPS,
    SALIENCY_SLIPS,
    UPSAMPLE_SLIPS,
)

from minicnn.course import Mistake, Student, Task
from minicnn.course.expect import expect_array, expect_close, expect_several
from minicnn.course.student import ARGUMENT_CHANGED
from minicnn.layers import (
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    Layer,
    Linear,
    MaxPool2d,
    ReLU,
    Sequential,
)
from minicnn.losses import SoftmaxCrossEntropy, softmax

SIZES = (6, 9), (9, 6), (7, 8), (8, 7), (7, 9), (9, 7)  # halved and rounded down, height and width still differ
CHANNELS, CLASSES = 3, 6


def a_network(
    rng: np.random.Generator, size: tuple[int, int], flat: bool, norms: bool = True, dropout: bool = False
) -> Sequential:
    """A small network in float64: batch norms with statistics of their own, and above them global pooling or all places."""
    h, w = size[0] // 2, size[1] // 2
    layers: dict[str, Layer] = {
        "conv1": Conv2d(CHANNELS, 4, 3, pad=1, rng=rng),
        "norm1": BatchNorm2d(4),
        "relu1": ReLU(),
        "pool1": MaxPool2d(2),
        "conv2": Conv2d(4, 5, 3, pad=1, rng=rng),
        "norm2": BatchNorm2d(5),
        "relu2": ReLU(),
    }
    if not norms:
        del layers["norm1"], layers["norm2"]
    if dropout:
        layers["drop"] = Dropout(0.3, rng=int(rng.integers(1000)))
    layers["gather"] = Flatten() if flat else GlobalAvgPool2d()
    network = Sequential(**layers, scores=Linear(5 * h * w if flat else 5, CLASSES, rng=rng)).astype(np.float64)
    for name, parameter in network.parameters().items():
        if not name.endswith(".w"):
            parameter.value += rng.uniform(0.1, 0.5, parameter.value.shape)
    for name, array in network.state().items():
        array[...] = rng.uniform(0.5, 1.5, array.shape) if "var" in name else 0.3 * rng.standard_normal(array.shape)
    return network


def a_size(rng: np.random.Generator) -> tuple[int, int]:
    H, W = SIZES[rng.integers(len(SIZES))]
    return H, W


def everything_in(network: Sequential) -> dict[str, np.ndarray]:
    """Copies of all weights and statistics, by name."""
    arrays = {name: parameter.value for name, parameter in network.parameters().items()} | network.state()
    return {name: array.copy() for name, array in arrays.items()}


def expect_untouched(name: str, network: Sequential, before: dict[str, np.ndarray]) -> None:
    after = everything_in(network)
    if after.keys() != before.keys() or any(after[key].dtype != before[key].dtype for key in before):
        text = f"{name}() left another network behind, with other layers or another dtype; others still need it"
        raise Mistake(text, name=ARGUMENT_CHANGED)
    if changed := [key for key in before if not np.array_equal(before[key], after[key])]:
        why = ""
        if any("running" in key for key in changed):
            why = ": in train mode batch norm takes the statistics of the batch, and its running ones move"
        text = f"{name}() changed {', '.join(changed)}{why}. Looking at a network must not change it"
        raise Mistake(text, name=ARGUMENT_CHANGED)


def gradient_of(network: Sequential, x: np.ndarray, dscores_of_one) -> np.ndarray:
    """dx of each picture, one after another: dscores_of_one(scores (1, K), n) is followed back from its scores."""
    network.eval(backward=True)
    parts = []
    for n in range(len(x)):
        scores = network.forward(x[n : n + 1])
        parts.append(network.backward(dscores_of_one(scores, n)))
    return np.concatenate(parts)


def single(k: int) -> np.ndarray:
    """dscores (1, K) that follow back score k alone."""
    dscores = np.zeros((1, CLASSES))
    dscores[0, k] = 1
    return dscores


# ---- Task 1: saliency


def saliencies(student: Student, rng: np.random.Generator) -> None:
    for N, flat in ((4, True), (2, False), (1, True)):
        size = a_size(rng)
        network, x = a_network(rng, size, flat, dropout=True), rng.standard_normal((N, CHANNELS, *size))
        k = classes_not_answered(network, x, rng)
        expected = np.zeros((N, *size))
        for n, dx in enumerate(gradient_of(network, x, lambda scores, n, k=k: single(k[n]))):
            for i, j in np.ndindex(size):
                expected[n, i, j] = max(abs(float(dx[c, i, j])) for c in range(CHANNELS))
        before = everything_in(network)
        got = student.saliency(network.train(), x, k)
        expect_untouched("saliency", network, before)
        expect_close(f"S of {N} picture{'s' * (N > 1)}, classes {k.tolist()},", got, expected)


def classes_not_answered(network: Sequential, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A class for each picture, all different, and none that the network would answer for it."""
    answers = network.eval().forward(x).argmax(axis=1)
    while True:
        k = rng.permutation(CLASSES)[: len(x)]
        if (k != answers).all():
            return k


# ---- Task 2: Grad-CAM, and enlarging a map


def grad_cams(student: Student, rng: np.random.Generator) -> None:
    for layer, flat in (("conv2", True), ("relu2", False), ("relu1", True), ("pool1", False)):  # conv2: A of both signs
        one_layer(student, rng, layer, flat)
    nothing_speaks_for_it(student, rng)
    for maps, size in (((3, 4, 5), (9, 13)), ((2, 5, 3), (11, 8)), ((1, 1, 4), (5, 9)), ((2, 4, 3), (4, 3))):
        enlarged(student, rng.standard_normal(maps), size)


def raw_cams(network: Sequential, layer: str, x: np.ndarray) -> np.ndarray:
    """The weighted sums of the maps of one picture (1, C, H, W) before the ReLU, for each class: (K, h, w)."""
    lower, upper = network.eval(backward=True).split(layer)
    maps = lower.forward(np.repeat(x, CLASSES, axis=0))
    upper.forward(maps)
    derivatives = upper.backward(np.eye(CLASSES))
    total = np.zeros((CLASSES, *maps.shape[2:]))
    for k, c in np.ndindex(maps.shape[:2]):
        total[k] += derivatives[k, c].sum() / total[k].size * maps[k, c]
    return total


def one_layer(student: Student, rng: np.random.Generator, layer: str, flat: bool) -> None:
    """With a class for each picture of which some places speak for it, and some against it."""
    N, k, size = 2, [], a_size(rng)
    while len(k) < N:
        network, x = a_network(rng, size, flat), rng.standard_normal((N, CHANNELS, *size))
        answers, cams, k = network.eval().forward(x).argmax(axis=1), [raw_cams(network, layer, one[None]) for one in x], []
        for n in range(N):
            both = [c for c in rng.permutation(CLASSES).tolist() if has_both_signs(cams[n][c]) and c not in (answers[n], *k)]
            k += both[:1]
    expected = np.stack([np.maximum(cams[n][k[n]], 0) for n in range(N)])
    before = everything_in(network)
    got = student.grad_cam(network.train(), layer, x, np.array(k))
    expect_untouched("grad_cam", network, before)
    expect_close(f"G at {layer!r} of {N} pictures, classes {k},", got, expected)


def has_both_signs(cam: np.ndarray) -> bool:
    """Clearly: a tenth of the largest at least."""
    return min(cam.max(), -cam.min()) > 0.1 * np.abs(cam).max()


def nothing_speaks_for_it(student: Student, rng: np.random.Generator) -> None:
    size = a_size(rng)
    network, x = a_network(rng, size, flat=False), rng.standard_normal((1, CHANNELS, *size))
    k, weights = int(rng.integers(CLASSES)), network.layers["scores"].w.value
    weights[k] = -np.abs(weights[k])  # and the maps of a ReLU are not negative
    with np.errstate(all="ignore"):
        got = student.grad_cam(network.train(), "relu2", x, np.array([k]))
    got = expect_array("G of a class for which nothing speaks", got, (1, size[0] // 2, size[1] // 2))
    if got.any():
        raise Mistake(f"where nothing speaks for a class G is 0 everywhere; got {np.abs(got).max():.4g}")


def enlarged(student: Student, maps: np.ndarray, size: tuple[int, int]) -> None:
    """Expected from the value at (u, v) of the surface through the four middles around it, place by place."""
    N, h, w = maps.shape
    expected = np.zeros((N, *size))
    for i, j in np.ndindex(size):
        u = min(max((i + 0.5) * h / size[0] - 0.5, 0), h - 1)
        v = min(max((j + 0.5) * w / size[1] - 0.5, 0), w - 1)
        for a, b in np.ndindex(h, w):
            share = max(0, 1 - abs(u - a)) * max(0, 1 - abs(v - b))
            expected[:, i, j] += share * maps[:, a, b]
    expect_close(f"{h} x {w} enlarged to {size[0]} x {size[1]}", student.upsample(maps, size), expected)


# ---- Task 3: occlusion


def occlusions(student: Student, rng: np.random.Generator) -> None:
    for small, large, side, stride in ((5, 7, 4, 2), (7, 10, 5, 3), (5, 8, 5, 2), (7, 10, 3, 3)):
        size = tuple(int(n) for n in rng.permutation([small, large]))
        one_occlusion(student, rng, size, side, stride)


def one_occlusion(student: Student, rng: np.random.Generator, size: tuple[int, int], side: int, stride: int) -> None:
    """With a class that is not the answer, which gains where some places are covered; and an answer that changes with some."""
    while True:
        network, x = a_network(rng, size, flat=True, norms=False), rng.standard_normal((CHANNELS, *size))
        fill, k = rng.uniform(0.5, 2, CHANNELS) * rng.choice([-1, 1], CHANNELS), int(rng.integers(CLASSES))
        network.eval()
        expected, answers = covered_by_masks(network, x, k, side, stride, fill)
        own = network.forward(x[None]).argmax()
        if has_both_signs(expected) and k != own and (answers != own).any():
            break
    before = everything_in(network)
    got = student.occlusion(network, x, k, side, stride, fill)
    expect_untouched("occlusion", network, before)
    expect_close(f"the map of {size[0]} x {size[1]} pixels, side {side}, stride {stride},", got, expected)


def covered_by_masks(
    network: Sequential, x: np.ndarray, k: int, side: int, stride: int, fill: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The map, and the class that is answered with the square on each cell."""
    _, H, W = x.shape
    rows, columns = np.arange(H)[:, None], np.arange(W)
    m = (side - stride) // 2
    shape, pictures = (-(-H // stride), -(-W // stride)), [x]
    for i, j in np.ndindex(shape):
        top, left = i * stride - m, j * stride - m
        hidden = (rows >= top) & (rows < top + side) & (columns >= left) & (columns < left + side)
        pictures.append(np.where(hidden, fill[:, None, None], x))
    p = softmax(network.forward(np.stack(pictures)))
    return (p[0, k] - p[1:, k]).reshape(shape), p[1:].argmax(axis=1)


# ---- Task 4: fast gradient sign


def attacks(student: Student, rng: np.random.Generator) -> None:
    for N in (3, 1):
        one_attack(student, rng, N)


def one_attack(student: Student, rng: np.random.Generator, N: int) -> None:
    """Untargeted and targeted, with a channel that the network does not look at, whose derivatives are exactly 0."""
    mean, std, step = rng.uniform(90, 150, CHANNELS), rng.uniform(40, 80, CHANNELS), float(rng.uniform(1.5, 3))
    while True:
        size = a_size(rng)
        network, pixels = a_network(rng, size, flat=True), rng.uniform(0, 255, (N, CHANNELS, *size))
        network.layers["conv1"].w.value[:, rng.integers(CHANNELS)] = 0
        extreme = rng.random(pixels.shape)
        pixels[extreme < 0.1], pixels[extreme > 0.9] = 0, 255
        x = (pixels - mean[:, None, None]) / std[:, None, None]
        k, loss = classes_not_answered(network, x, rng), SoftmaxCrossEntropy()

        def dscores(scores: np.ndarray, n: int, k=k, loss=loss) -> np.ndarray:
            loss.forward(scores, k[n : n + 1])
            return loss.backward()

        gradient = gradient_of(network, x, dscores) / std[:, None, None]
        if np.abs(gradient[gradient != 0]).min() > 1e-9 * np.abs(gradient).max():
            break  # no derivative is so small that rounding could decide its sign
    before, answers = everything_in(network), {}
    for targeted in (False, True):  # both, before one of them is judged
        with np.errstate(all="ignore"):
            answers[targeted] = student.fast_gradient_sign(network.train(), pixels, mean, std, k, step, targeted)
        expect_untouched("fast_gradient_sign", network, before)
    for targeted, got in answers.items():
        direction = np.where(gradient > 0, 1, np.where(gradient < 0, -1, 0)) * (-1 if targeted else 1)
        expected = np.minimum(np.maximum(pixels + step * direction, 0), 255)
        subject = f"the pixels ({'targeted' if targeted else 'untargeted'}, step {step:.3g})"
        got = expect_array(subject, got, pixels.shape)
        unseen = gradient == 0
        if np.abs(got - pixels)[unseen].max(initial=0) > 1e-6 and np.abs(got - expected)[~unseen].max(initial=0) < 1e-6:
            raise Mistake(
                "where the derivative is exactly 0 the sign is 0 and the pixel stays as it is; there, pixels have moved"
            )
        expect_close(subject, got, expected)


# ---- Task 5: PCA


def components(student: Student, rng: np.random.Generator) -> None:
    wide, tall = (5, 8), (9, 4)
    expect_components(student, codes_that_tell_rules_apart(rng, *tall), 4)
    for (N, D), d in ((tall, 2), (wide, 3), (tall, 1)):
        expect_components(student, codes_with_distinct_axes(rng, N, D), d)
    alike = np.repeat(rng.integers(-4, 5, (1, 3)).astype(np.float64), 6, axis=0)
    with np.errstate(all="ignore"):
        points, share = expect_several("pca", student.pca(alike, 2), "points, share")
    expect_close("points of codes that are all alike", points, np.zeros((6, 2)))
    expect_close("share of codes that are all alike", share, np.zeros(2))


def codes_with_distinct_axes(rng: np.random.Generator, N: int, D: int) -> np.ndarray:
    """Codes whose directions and signs are not in doubt, and which are far from 0."""
    while True:
        codes = rng.standard_normal((N, D)) * rng.uniform(0.5, 2, D) + rng.uniform(2, 5, D)
        S = np.linalg.svd(codes - codes.mean(axis=0), compute_uv=False)[: min(N - 1, D)]
        points = by_covariance(codes, len(S))[0]
        largest = np.sort(np.abs(points), axis=0)
        if (S[:-1] > 1.05 * S[1:]).all() and (largest[-1] > 1.01 * largest[-2]).all():
            return codes


def codes_that_tell_rules_apart(rng: np.random.Generator, N: int, D: int) -> np.ndarray:
    """Codes for which each wrong rule for the signs gives other signs than the right one, and than the other wrong ones."""
    while True:
        codes = codes_with_distinct_axes(rng, N, D)
        X = codes - codes.mean(axis=0)
        U, S, Vt = np.linalg.svd(X, full_matrices=False)
        points = U * S
        largest = points[np.abs(points).argmax(axis=0), np.arange(D)]
        raw = np.linalg.eigh(X.T @ X)[1].T[::-1]  # the same directions, as they come from the covariance matrix
        rules = (
            largest,
            -largest,
            np.ones(D),
            (raw * Vt).sum(axis=1),
            points[0],
            Vt[:, 0],
            Vt.sum(axis=1),
            Vt[np.arange(D), np.abs(Vt).argmax(axis=1)],
            np.full(D, points.flat[np.abs(points).argmax()]),
        )
        if len({tuple(np.sign(rule)) for rule in rules}) == len(rules):
            return codes


def by_covariance(codes: np.ndarray, d: int) -> tuple[np.ndarray, np.ndarray]:
    """Points and shares by another way: from the eigenvectors of the covariance matrix."""
    X = codes - codes.mean(axis=0)
    values, vectors = np.linalg.eigh(X.T @ X / len(X))
    points = X @ vectors[:, ::-1][:, :d]
    for j in range(d):
        if points[np.abs(points[:, j]).argmax(), j] < 0:
            points[:, j] = -points[:, j]
    return points, values[::-1][:d] / values.sum()


def expect_components(student: Student, codes: np.ndarray, d: int) -> None:
    N, D = codes.shape
    expected_points, expected_share = by_covariance(codes, d)
    points, share = expect_several("pca", student.pca(codes, d), "points, share")
    subject = f"of {N} codes of {D} numbers, dimensions = {d}"
    points = expect_array(f"points {subject}", points, (N, d))
    for j in range(d):
        got, expected = points[:, j], expected_points[:, j]
        if np.abs(got + expected).max() < 1e-6 * np.abs(expected).max():
            worst = int(np.abs(expected).argmax())
            raise Mistake(
                f"column {j} of the points {subject}, is turned round: its number of largest absolute value, in row {worst}, "
                f"must be positive, got {got[worst]:.4g}"
            )
    expect_close(f"points {subject},", points, expected_points)
    expect_close(f"share {subject},", share, expected_share)


# ---- Task 6: nearest neighbours


def neighbourhoods(student: Student, rng: np.random.Generator) -> None:
    N, D = (int(n) for n in rng.permutation([9, 10, 11])[:2])
    k, found = N - 4, False
    while not found:  # until the code with the number of a query's row is one of its neighbours
        codes = rng.standard_normal((N, D)) * rng.uniform(0.3, 3, (N, 1)) + 0.3
        queries = rng.permutation(np.arange(3, N))[:3]
        distances = np.array([[distance(codes[q], code) for code in codes] for q in queries])
        found = any(distances[row, row] < np.sort(distances[row])[k] for row in range(len(queries)))
    expect_neighbours(student, codes, queries, k, "")
    expect_neighbours(student, codes, queries[:2], 3, "")
    expect_neighbours(student, codes, np.array([N - 1]), N - 1, ", all others")
    equal = codes.copy()
    first, second = sorted(rng.permutation(N)[:2].tolist())
    equal[[first, second]] = np.where(np.arange(D) < 4, rng.choice([-1.0, 1.0], D), 0)  # of length 2, so that 0 is exactly 0
    expect_neighbours(student, equal, np.array([second, first]), 3, ", two of which are equal")
    zero = codes.copy()
    nothing = int(rng.integers(1, N))
    zero[nothing] = 0
    with np.errstate(all="ignore"):
        expect_neighbours(student, zero, np.array([0]), N - 1, f", of which code {nothing} is all zeros")


def expect_neighbours(student: Student, codes: np.ndarray, queries: np.ndarray, k: int, what: str) -> None:
    """Any order of neighbours is right whose distances are; so equal distances may come in either order."""
    N, right = len(codes), np.array([[distance(codes[q], code) for code in codes] for q in queries])
    answer = student.nearest_neighbours(codes, queries, k)
    neighbours, distances = expect_several("nearest_neighbours", answer, "neighbours, distances")
    neighbours, subject = np.asarray(neighbours), f"(k = {k}, {N} codes{what})"
    if neighbours.shape != (len(queries), k) or neighbours.dtype.kind not in "iu":
        raise Mistake(
            f"neighbours must be whole numbers of shape ({len(queries)}, {k}), got {neighbours.dtype} of shape "
            f"{neighbours.shape} {subject}"
        )
    distances = expect_array(f"distances {subject}", distances, (len(queries), k))
    for q, row in zip(queries, neighbours, strict=True):
        if (row == q).any():
            raise Mistake(f"code {q} is among its own neighbours {subject}: got {row.tolist()}")
        if len(set(row.tolist())) < k or row.min() < 0 or row.max() >= N:
            raise Mistake(f"the neighbours of code {q} must be {k} different numbers of codes {subject}, got {row.tolist()}")
    others = np.stack([np.sort(np.delete(row, q)) for q, row in zip(queries, right, strict=True)])[:, :k]
    of_found = np.take_along_axis(right, neighbours, axis=1)
    for q, found, row, best in zip(queries, of_found, neighbours, others, strict=True):
        if np.abs(found - best).max() > 1e-6:
            raise Mistake(
                f"the neighbours of code {q} {subject} are {row.tolist()}, at distances {np.round(found, 3).tolist()}; the "
                f"nearest are at distances {np.round(best, 3).tolist()}"
            )
    expect_close(f"distances {subject}", distances, others)


def distance(x: np.ndarray, y: np.ndarray) -> float:
    lengths = float(np.sqrt(np.vdot(x, x)) * np.sqrt(np.vdot(y, y)))
    return 1 - float(np.vdot(x, y)) / lengths if lengths else 1.0


# ---- all tasks

TASKS = [
    Task(
        "saliency",
        saliencies,
        functions=("saliency",),
        slips=SALIENCY_SLIPS,
        hints=(
            "Three lines: forward in the right mode, dscores with a single 1 in each row, and what to make of dx.",
            "dscores has the shape of the scores, (N, K); row n is 0 but for a 1 in column k[n]. dx is (N, C, H, W): first the "
            "absolute values, then the largest over the channels.",
            "scores = network.eval(backward=True).forward(x); dscores = np.zeros_like(scores); dscores[np.arange(len(k)), k] "
            "= 1; np.abs(network.backward(dscores)).max(axis=1).",
        ),
        points=2,
    ),
    Task(
        "Grad-CAM, and enlarging a map",
        grad_cams,
        functions=("grad_cam", "upsample"),
        slips=(*CAM_SLIPS, *UPSAMPLE_SLIPS),
        hints=(
            "split() gives two networks. What the lower one makes of x are the maps; followed back through the upper one "
            "alone, a score gives the derivatives with respect to them. For upsample() work out u for h = 2 and H = 4 by hand.",
            "alpha is (N, C'): the mean of the derivatives over the last two axes, and negative for some channels. The ReLU "
            "comes last, after the sum. In upsample() rows and columns are the same operation, along axis 1 and then along "
            "axis 2.",
            "np.maximum((alpha[:, :, None, None] * maps).sum(axis=1), 0). For the rows: u = np.clip((np.arange(H) + 0.5) * h "
            "/ H - 0.5, 0, h - 1), a = np.floor(u).astype(int), b = np.minimum(a + 1, h - 1), and maps[:, a] and maps[:, b] "
            "are mixed.",
        ),
        points=3,
    ),
    Task(
        "occlusion",
        occlusions,
        functions=("occlusion",),
        slips=OCCLUSION_SLIPS,
        hints=(
            "Two loops over the cells; for each a copy of the picture, a square painted into it, and a forward pass.",
            "A slice may go beyond the end of an axis, but it must not begin below 0: NumPy would count from the end. x[None] "
            "makes a batch of one picture.",
            "picture[:, max(top, 0) : top + side, max(left, 0) : left + side] = fill[:, None, None], with top = i * stride - "
            "m.",
        ),
        points=3,
    ),
    Task(
        "fast gradient sign",
        attacks,
        functions=("fast_gradient_sign",),
        slips=ATTACK_SLIPS,
        hints=(
            "Go through it in order: pixels to x, scores, what is followed back for the loss, its sign, the step, the limits.",
            "The derivative with respect to a pixel is that with respect to x divided by std[c], which is positive: the sign "
            "is the same. The loss is a cross-entropy, whose dscores you know from lesson 1.",
            "dscores = softmax(scores) with 1 subtracted at [n, k[n]]; np.sign(dx); np.clip(pixels + step * d, 0, 255), with "
            "-step if targeted. mean[:, None, None] goes with (N, C, H, W).",
        ),
        points=2,
    ),
    Task(
        "a map of codes by PCA",
        components,
        functions=("pca",),
        slips=PCA_SLIPS,
        hints=(
            "Subtract the mean code, call np.linalg.svd(X, full_matrices=False), and look at the shapes of what comes back.",
            "U S has a row for each code and a column for each direction, the largest first. Signs are decided column by "
            "column, by the entry of largest absolute value.",
            "points = (U * S)[:, :dimensions]; largest = points[np.abs(points).argmax(axis=0), np.arange(dimensions)]; "
            "multiply the columns by -1 where largest < 0. share is S[:dimensions]**2 divided by (S**2).sum(), unless that is "
            "0.",
        ),
        points=2,
    ),
    Task(
        "nearest neighbours",
        neighbourhoods,
        functions=("nearest_neighbours",),
        slips=NEIGHBOURS_SLIPS,
        hints=(
            "Divide the codes by their lengths; then all cosines are one matrix product. How is the query kept out of its own "
            "list?",
            "Give the query's own distance a value that no other can have, by its number. np.argsort sorts from the smallest "
            "on.",
            "distances[np.arange(len(queries)), queries] = np.inf; np.argsort(distances, axis=1)[:, :k]; np.take_along_axis "
            "gives the distances that belong to them.",
        ),
        points=2,
    ),
]

# ---- all of them together, on a real network

SHOWN = 3, 8  # digits whose maps are drawn
ATTACKED, MAPPED = 200, 300
SIDE, STRIDE = 8, 4
STEPS = (0, 10, 20, 30, 40, 60, 80)


def finale(functions: dict, out: Path) -> None:
    """LeNet-5 looked into by the student's functions, and beside each map the engine's."""
    from matplotlib.figure import Figure  # slow to load, and no check needs it

    import minicnn
    from minicnn import viz
    from minicnn.models.predictions import probabilities

    model = minicnn.load("lenet5_mnist").astype(np.float64)
    pixels, labels, what = finale_pictures()
    x = model.preprocessing.normalise(pixels).astype(np.float64)
    sure = probabilities(model.eval().forward(x))[np.arange(len(x)), labels]
    shown = [int(np.where(labels == digit, sure, 0).argmax()) for digit in SHOWN]
    x_shown, k = x[shown], labels[shown]

    ours = {"saliency": viz.saliency(model, x_shown, k), "Grad-CAM": viz.upsample(viz.grad_cam(model, x_shown, k), x.shape[2:])}
    covered, uncovered = viz.occlusion(model, x_shown, k, patch_size=SIDE, stride=STRIDE, progress=False)
    ours["occlusion"] = uncovered[:, None, None] - covered
    model.eval()
    grey = np.zeros(1)  # the mean grey of all digits, with which the engine covers
    yours = {
        "saliency": functions["saliency"](model, x_shown, k),
        "Grad-CAM": functions["upsample"](functions["grad_cam"](model, "s4", x_shown, k), x.shape[2:]),
        "occlusion": np.stack(
            [functions["occlusion"](model.eval(), one, int(of), SIDE, STRIDE, grey) for one, of in zip(x_shown, k, strict=True)]
        ),
    }
    apart = {name: float(np.abs(yours[name] - ours[name]).max() / np.abs(ours[name]).max()) for name in ours}

    attacked = slice(0, ATTACKED)
    curves = {
        "yours": [
            accuracy(model, attack_of(functions, model, pixels[attacked], labels[attacked], e), labels[attacked]) for e in STEPS
        ],
        "engine": [
            accuracy(model, engine_attack(model, pixels[attacked], labels[attacked], e), labels[attacked]) for e in STEPS
        ],
    }
    codes = model.eval().forward(x[:MAPPED], layers="relu6")["relu6"]
    of_codes = labels[:MAPPED]
    points, share = functions["pca"](codes, 2)
    engine_points, _ = viz.pca(codes)
    everyone = np.arange(len(codes))
    found, _ = functions["nearest_neighbours"](codes, everyone, 5)
    engine_found, _ = viz.nearest_neighbours(codes, everyone, 5)
    same_neighbours = float(np.mean([len(set(a) & set(b)) / 5 for a, b in zip(found, engine_found, strict=True)]))
    same_class = viz.share_of_same_class(of_codes, everyone, np.asarray(found))

    figure = Figure(figsize=(10, 6.6), dpi=110, layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(1.1, 1))
    draw_maps(above, pixels[shown], yours, ours, apart)
    draw_numbers(below, curves, points, engine_points, share, of_codes, pixels, found)
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "finale.png")
    differences = ", ".join(f"{name} {difference:.0e}" for name, difference in apart.items())
    print(
        f"LeNet-5 on {what}. Your maps and the engine's: largest difference, of the largest value, {differences}. A step of "
        f"{STEPS[3]} of 255 grey levels takes it from {curves['yours'][0]:.1%} right to {curves['yours'][3]:.1%} with yours, "
        f"and to {curves['engine'][3]:.1%} with the engine's gradient. Of your five nearest neighbours by codes "
        f"{same_class:.1%} show the same digit, and {same_neighbours:.1%} are the engine's. Your two components have "
        f"{share.sum():.0%} of the variance, and the points are {np.abs(points - engine_points).max():.0e} apart. Figure: "
        f"{out / 'finale.png'}"
    )


def finale_pictures() -> tuple[np.ndarray, np.ndarray, str]:
    """uint8 (N, 28, 28) in random order, and what they show."""
    from minicnn.course.workbench import drawn_digits, find_data
    from minicnn.data import load_mnist

    rng = np.random.default_rng(16)
    if folder := find_data("mnist"):
        _, _, pictures, labels = load_mnist(folder)
        chosen = rng.permutation(len(pictures))[:MAPPED]
        return pictures[chosen], labels[chosen], "handwritten digits"
    pictures, labels = drawn_digits(MAPPED, rng)
    return pictures, labels, "drawn digits"


def attack_of(functions: dict, model, pixels: np.ndarray, labels: np.ndarray, step: float) -> np.ndarray:
    """The student's attacked pictures, (N, 1, 28, 28)."""
    mean, std = (np.atleast_1d(np.asarray(value, np.float64)) for value in (model.preprocessing.mean, model.preprocessing.std))
    pictures = pixels[:, None].astype(np.float64)
    return functions["fast_gradient_sign"](model, pictures, mean, std, labels, step, False) if step else pictures


def engine_attack(model, pixels: np.ndarray, labels: np.ndarray, step: float) -> np.ndarray:
    loss, x = SoftmaxCrossEntropy(), as_input(model, pixels[:, None].astype(np.float64))
    loss.forward(model.eval(backward=True).forward(x), labels)
    return np.clip(pixels[:, None] + step * np.sign(model.backward(loss.backward())), 0, 255)


def as_input(model, pictures: np.ndarray) -> np.ndarray:
    return (pictures - model.preprocessing.mean) / model.preprocessing.std


def accuracy(model, pictures: np.ndarray, labels: np.ndarray) -> float:
    return float((model.eval().forward(as_input(model, pictures)).argmax(axis=1) == labels).mean())


def draw_maps(figure, pictures: np.ndarray, yours: dict, ours: dict, apart: dict) -> None:
    """A row for each digit: the digit, and each map twice."""
    axes = figure.subplots(len(pictures), 1 + 2 * len(yours))
    for n, row in enumerate(axes):
        row[0].imshow(pictures[n], cmap="gray")
        for m, name in enumerate(yours):
            limit = float(np.abs(ours[name][n]).max())
            colours = {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit}
            for ax, of, maps in ((row[1 + 2 * m], "yours", yours), (row[2 + 2 * m], "the engine's", ours)):
                ax.imshow(maps[name][n], **colours)
                if n == 0:
                    ax.set_title(f"{name}\n{of}", fontsize=8)
            if n == len(pictures) - 1:
                row[1 + 2 * m].set_xlabel(f"apart by {apart[name]:.0e}", fontsize=8)
        for ax in row:
            ax.set(xticks=[], yticks=[])


def draw_numbers(figure, curves: dict, points, engine_points, share, labels, pixels, found) -> None:
    """The accuracy under attack, the map of codes, and neighbours."""
    left, middle, right = figure.subfigures(1, 3, width_ratios=(1, 1, 0.9))
    ax = left.subplots()
    ax.plot(STEPS, [100 * a for a in curves["engine"]], color="#d9722b", lw=4, label="the engine's")
    ax.plot(STEPS, [100 * a for a in curves["yours"]], "--", color="#2a6fbb", lw=1.5, label="yours")
    ax.set(xlabel="step, in grey levels of 255", ylabel="accuracy %", title="Fooled by a small step")
    ax.legend(frameon=False)
    ax = middle.subplots()
    ax.scatter(*engine_points.T, s=40, facecolors="none", edgecolors="#cccccc", linewidths=0.8)
    ax.scatter(*points.T, c=labels, cmap="tab10", s=8, vmin=0, vmax=9)
    ax.set(xticks=[], yticks=[], title=f"Codes by your PCA ({share.sum():.0%} of the variance); rings: the engine's")
    ax.title.set_fontsize(8)
    grid = right.subplots(4, 6)
    for q, row in enumerate(grid):
        for ax, n in zip(row, (q, *found[q]), strict=True):
            ax.imshow(pixels[n], cmap="gray")
            ax.set(xticks=[], yticks=[])
    right.suptitle("Your nearest neighbours of the digits on the left", fontsize=8)


FINALE = finale
