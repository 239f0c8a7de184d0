"""Answers to the tasks of lesson 16: wrong ones as people write them, and right ones written differently from the solution.

``WRONG[task]`` lists (what it does, functions in place of the solution's, title of the slip that should be named or None);
``RIGHT[task]`` (how, functions).
"""

import math

import numpy as np
from scipy.ndimage import map_coordinates
from scipy.spatial.distance import cdist

from minicnn.losses import SoftmaxCrossEntropy, softmax

WRONG, RIGHT = {}, {}

# ---- 1: saliency


def back(network, x, dscores_of):
    """dx of what dscores_of(scores) says."""
    network.eval(backward=True)
    return network.backward(dscores_of(network.forward(x)))


def marked(scores, k):
    dscores = np.zeros_like(scores)
    dscores[np.arange(len(k)), k] = 1.0
    return dscores


def saliency_picture_by_picture(network, x, k):
    maps = []
    for picture, of in zip(x, k, strict=True):
        network.eval(backward=True)
        scores = network.forward(picture[None])
        dscores = np.zeros(scores.shape)
        dscores[0, of] = 1
        dx = network.backward(dscores)[0]
        maps.append(np.maximum(dx, -dx).max(axis=0))
    return np.array(maps)


def saliency_in_loops(network, x, k):
    dx = back(network, x, lambda scores: marked(scores, k))
    N, C, H, W = x.shape
    S = np.zeros((N, H, W))
    for n in range(N):
        for c in range(C):
            for i in range(H):
                for j in range(W):
                    S[n, i, j] = max(S[n, i, j], abs(dx[n, c, i, j]))
    return S


def saliency_two_extremes(network, x, k):
    dx = back(network, x, lambda scores: (np.arange(scores.shape[1]) == k[:, None]).astype(float))
    return np.maximum(dx.max(axis=1), -dx.min(axis=1))


def saliency_infinite_norm(network, x, k):
    dx = back(network, x, lambda scores: marked(scores, k))
    return np.linalg.norm(dx, ord=np.inf, axis=1)


def saliency_from(dscores_of, start=lambda network: network.eval(backward=True)):
    """saliency() that follows back dscores_of(scores, k)."""

    def saliency(network, x, k):
        start(network)
        scores = network.forward(x)
        dx = network.backward(dscores_of(scores, k))
        return np.amax(np.absolute(dx), axis=1)

    return {"saliency": saliency}


def saliency_to(finish):
    """saliency() that makes finish(dx, x) of the derivative."""
    return {"saliency": lambda network, x, k: finish(back(network, x, lambda scores: marked(scores, k)), x)}


def gradient_of_p(scores, k):
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    dscores = np.empty_like(p)
    for n, of in enumerate(k):
        for j in range(p.shape[1]):
            dscores[n, j] = p[n, of] * ((j == of) - p[n, j])
    return dscores


def cross_entropy(scores, k):
    loss = SoftmaxCrossEntropy()
    loss.forward(scores, k)
    return loss.backward()


def cross_entropy_sum(scores, k):
    p = softmax(scores)
    p[np.arange(len(k)), k] -= 1
    return p


def every_column(scores, k):
    dscores = np.zeros(scores.shape)
    for row in dscores:
        row[k] = 1
    return dscores


def saliency_min_max(dx, x):
    S = np.abs(dx).max(axis=1)
    return np.stack([(one - one.min()) / (one.max() - one.min()) for one in S])


def saliency_by_the_largest_of_each(dx, x):
    S = np.abs(dx).max(axis=1)
    for one in S:
        one /= one.max()
    return S


def saliency_changes_weights(network, x, k):
    S = saliency_picture_by_picture(network, x, k)
    network.layers["scores"].w.value *= 1.5
    return S


def saliency_float32(network, x, k):
    network.astype(np.float32)
    return np.abs(back(network, x.astype(np.float32), lambda scores: marked(scores, k))).max(axis=1)


WRONG[1] = [
    ("softmax first", saliency_from(gradient_of_p), "The probability is followed back, not the score"),
    ("the engine's loss", saliency_from(cross_entropy), "The loss is followed back, not the score"),
    ("p - one-hot", saliency_from(cross_entropy_sum), "The loss is followed back, not the score"),
    ("ones", saliency_from(lambda scores, k: np.ones(scores.shape)), "All scores are followed back together"),
    (
        "scores where k",
        saliency_from(lambda scores, k: np.where(np.arange(scores.shape[1]) == k[:, None], scores, 0)),
        "The scores themselves are followed back, where a 1 belongs",
    ),
    (
        "the scores",
        saliency_from(lambda scores, k: np.array(scores)),
        "The scores themselves are followed back, where a 1 belongs",
    ),
    ("every column of k", saliency_from(every_column), "The classes of all pictures are marked in every row"),
    (
        "the first class",
        saliency_from(lambda scores, k: np.tile(np.arange(scores.shape[1]) == k[0], (len(k), 1)).astype(float)),
        "All pictures have the class of the first one",
    ),
    (
        "argmax",
        saliency_from(lambda scores, k: (scores == scores.max(axis=1)[:, None]).astype(float)),
        "The class is the most probable one, whatever was asked for",
    ),
    (
        "a mean over the batch",
        saliency_from(lambda scores, k: marked(scores, k) / scores.shape[0]),
        "The derivative is divided by the number of pictures",
    ),
    ("train mode", saliency_from(marked, lambda network: network.train()), "The network stays in train mode"),
    ("no mode", saliency_from(marked, lambda network: None), "The network stays in train mode"),
    ("plain eval", saliency_from(marked, lambda network: network.eval()), "Nothing is remembered for the backward pass"),
    ("no abs", saliency_to(lambda dx, x: np.amax(dx, 1)), "The absolute value is missing"),
    (
        "abs of the largest",
        saliency_to(lambda dx, x: np.absolute(np.amax(dx, axis=1))),
        "The absolute value comes after the largest over the channels",
    ),
    (
        "sum of abs",
        saliency_to(lambda dx, x: np.einsum("nchw->nhw", np.abs(dx))),
        "The absolute values are added up over the channels",
    ),
    ("mean of abs", saliency_to(lambda dx, x: np.abs(dx).sum(1) / dx.shape[1]), "It is the mean over the channels"),
    (
        "abs of the sum",
        saliency_to(lambda dx, x: np.abs(sum(dx[:, c] for c in range(dx.shape[1])))),
        "The derivatives of the channels are added up before the absolute value",
    ),
    (
        "grey first",
        saliency_to(lambda dx, x: np.abs(np.average(dx, axis=1))),
        "The derivatives of the channels are averaged before the absolute value",
    ),
    ("2-norm", saliency_to(lambda dx, x: np.linalg.norm(dx, axis=1)), "It is the length over the channels"),
    ("squares", saliency_to(lambda dx, x: np.square(dx).max(1)), "It is the square of the derivative"),
    (
        "gradient times input",
        saliency_to(lambda dx, x: np.abs(np.multiply(x, dx)).max(1)),
        "The derivative is multiplied by the picture",
    ),
    ("no max", saliency_to(lambda dx, x: np.sqrt(dx**2)), "The channels are still there"),
    (
        "keepdims",
        saliency_to(lambda dx, x: np.abs(dx).max(1)[:, np.newaxis] + 0),
        "The axis of the channels is still there, with length 1",
    ),
    ("axis 0", saliency_to(lambda dx, x: np.max(abs(dx), 0)), "The largest value runs over the pictures"),
    ("axis 3", saliency_to(lambda dx, x: np.max(abs(dx), 3)), "The largest value runs over the columns"),
    ("0 to 1", saliency_to(saliency_min_max), "Each map is stretched from 0 to 1"),
    ("over its maximum", saliency_to(saliency_by_the_largest_of_each), "Each map is divided by its largest value"),
    (
        "over the maximum of all",
        saliency_to(lambda dx, x: np.abs(dx).max(1) / np.abs(dx).max()),
        "All maps are divided by the largest value of all",
    ),
    ("red alone", saliency_to(lambda dx, x: abs(dx)[:, 0].copy()), "Only the first channel counts"),
    ("other weights afterwards", {"saliency": saliency_changes_weights}, "An argument is changed"),
    ("float32", {"saliency": saliency_float32}, "An argument is changed"),
]
RIGHT[1] = [
    ("picture by picture", {"saliency": saliency_picture_by_picture}),
    ("loops", {"saliency": saliency_in_loops}),
    ("the two extremes", {"saliency": saliency_two_extremes}),
    ("the norm of order infinity", {"saliency": saliency_infinite_norm}),
]

# ---- 2: Grad-CAM, and enlarging a map


def maps_and_derivatives(network, layer, x, dscores_of, start=lambda network: network.eval(backward=True)):
    start(network)
    lower, upper = network.split(layer)
    A = lower.forward(x)
    scores = upper.forward(A)
    return A, upper.backward(dscores_of(scores))


def cam_in_loops(network, layer, x, k):
    A, dA = maps_and_derivatives(network, layer, x, lambda scores: marked(scores, k))
    N, C, h, w = A.shape
    G = np.zeros((N, h, w))
    for n in range(N):
        for c in range(C):
            G[n] += dA[n, c].sum() / (h * w) * A[n, c]
    G[G < 0] = 0
    return G


def cam_by_matrix_product(network, layer, x, k):
    A, dA = maps_and_derivatives(network, layer, x, lambda scores: np.eye(scores.shape[1])[k])
    alpha = dA.reshape(*dA.shape[:2], -1).mean(axis=2)
    G = (alpha[:, None] @ A.reshape(*A.shape[:2], -1))[:, 0].reshape(len(A), *A.shape[2:])
    return G * (G > 0)


def cam_picture_by_picture(network, layer, x, k):
    maps = []
    for n in range(len(x)):
        A, dA = maps_and_derivatives(network, layer, x[n : n + 1], lambda scores, n=n: marked(scores, k[n : n + 1]))
        alpha = np.array([d.mean() for d in dA[0]])
        maps.append(np.clip(np.tensordot(alpha, A[0], 1), 0, None))
    return np.stack(maps)


def cam_layer_by_layer(network, layer, x, k):
    network.eval(backward=True)
    names = list(network.layers)
    A = x
    for name in names[: names.index(layer) + 1]:
        A = network.layers[name].forward(A)
    scores = A
    for name in names[names.index(layer) + 1 :]:
        scores = network.layers[name].forward(scores)
    dA = marked(scores, k)
    for name in reversed(names[names.index(layer) + 1 :]):
        dA = network.layers[name].backward(dA)
    G = np.einsum("nc,ncij->nij", dA.mean((2, 3)), A)
    return np.where(G > 0, G, 0.0)


def cam_from(dscores_of, start=lambda network: network.eval(backward=True)):
    def grad_cam(network, layer, x, k):
        A, dA = maps_and_derivatives(network, layer, x, lambda scores: dscores_of(scores, k), start)
        return np.clip(np.einsum("nc,nchw->nhw", np.mean(dA, axis=(2, 3)), A), 0, np.inf)

    return {"grad_cam": grad_cam}


def cam_to(join):
    """grad_cam() that makes join(A, dA) of the maps and their derivatives."""
    return {
        "grad_cam": lambda network, layer, x, k: join(
            *maps_and_derivatives(network, layer, x, lambda scores: marked(scores, k))
        )
    }


def weighted(alpha, A):
    return np.einsum("nc,nchw->nhw", alpha, A)


def above_zero(G):
    return np.where(G > 0, G, 0)


def mean_of(values):
    return values.mean(axis=-1).mean(axis=-1)


def cam_positive_products(A, dA):
    G = np.zeros((len(A), *A.shape[2:]))
    for c in range(A.shape[1]):
        G += np.clip(mean_of(dA)[:, c, None, None] * A[:, c], 0, None)
    return G


def cam_scaled(A, dA):
    G = above_zero(weighted(mean_of(dA), A))
    return np.array([one / one.max() if one.max() > 0 else one for one in G])


def cam_scaled_by_nan(A, dA):
    G = above_zero(weighted(mean_of(dA), A))
    return G / G.max(axis=2).max(axis=1)[:, None, None]


def cam_of_layer(name_of):
    return {
        "grad_cam": lambda network, layer, x, k: cam_in_loops(network, name_of(list(network.layers), layer), x, k),
    }


def enlarge_in_loops(maps, size):
    N, h, w = maps.shape
    H, W = size
    out = np.empty((N, H, W))
    for i in range(H):
        for j in range(W):
            u = min(max((i + 0.5) * h / H - 0.5, 0.0), h - 1.0)
            v = min(max((j + 0.5) * w / W - 0.5, 0.0), w - 1.0)
            a, b = int(u), int(v)
            c, d = min(a + 1, h - 1), min(b + 1, w - 1)
            s, t = u - a, v - b
            upper = (1 - t) * maps[:, a, b] + t * maps[:, a, d]
            lower = (1 - t) * maps[:, c, b] + t * maps[:, c, d]
            out[:, i, j] = (1 - s) * upper + s * lower
    return out


def enlarge_by_matrices(maps, size):
    def matrix(small, large):
        u = np.clip((np.arange(large) + 0.5) * small / large - 0.5, 0, small - 1)
        return np.maximum(0, 1 - np.abs(u[:, None] - np.arange(small)))

    (h, w), (H, W) = maps.shape[1:], size
    return matrix(h, H) @ maps @ matrix(w, W).T


def enlarge_by_interp(maps, size):
    def along(values, large):
        small = len(values)
        return np.interp((np.arange(large) + 0.5) * small / large - 0.5, np.arange(small), values)

    out = np.apply_along_axis(along, 1, maps, size[0])
    return np.apply_along_axis(along, 2, out, size[1])


def enlarge_by_scipy(maps, size):
    h, w = maps.shape[1:]
    u = np.clip((np.arange(size[0]) + 0.5) * h / size[0] - 0.5, 0, h - 1)
    v = np.clip((np.arange(size[1]) + 0.5) * w / size[1] - 0.5, 0, w - 1)
    where = np.meshgrid(u, v, indexing="ij")
    return np.stack([map_coordinates(one, where, order=1, mode="nearest") for one in maps])


def enlarge_at(place):
    """upsample() by matrices of shares, with u = place(i, small, large), not limited."""

    def matrix(small, large):
        u = np.array([place(i, small, large) for i in range(large)], float)
        return np.maximum(0, 1 - np.abs(u[:, None] - np.arange(small)))

    def upsample(maps, size):
        return np.einsum("ia,nab,jb->nij", matrix(maps.shape[1], size[0]), maps, matrix(maps.shape[2], size[1]))

    return {"upsample": upsample}


def limited(u, small):
    return min(max(u, 0), small - 1)


def enlarge_nearest(maps, size):
    rows = np.arange(size[0]) * maps.shape[1] // size[0]
    columns = np.arange(size[1]) * maps.shape[2] // size[1]
    return maps[:, rows][:, :, columns]


def enlarge_wrapping(maps, size):
    """Without a limit for u: row -1 is the last one."""
    (h, w), (H, W) = maps.shape[1:], size
    out = np.zeros((len(maps), H, W))
    for i in range(H):
        u = (i + 0.5) * h / H - 0.5
        a = math.floor(u)
        for j in range(W):
            v = (j + 0.5) * w / W - 0.5
            b = math.floor(v)
            for p, s in ((a, 1 - u + a), (min(a + 1, h - 1), u - a)):
                for q, t in ((b, 1 - v + b), (min(b + 1, w - 1), v - b)):
                    out[:, i, j] += s * t * maps[:, p, q]
    return out


def enlarge_with_line_beyond(maps, size):
    """u without a limit; below the first and beyond the last middle the line goes on."""
    for axis, large in ((1, size[0]), (2, size[1])):
        small = maps.shape[axis]
        u = (np.arange(large) + 0.5) * small / large - 0.5
        a = np.minimum(np.maximum(np.floor(u), 0), max(small - 2, 0)).astype(int)
        first, second = np.take(maps, a, axis), np.take(maps, np.minimum(a + 1, small - 1), axis)
        share = np.expand_dims(u - a, -1) if axis == 1 else u - a
        maps = first + share * (second - first)
    return maps


def enlarge_exchanged(maps, size):
    for axis, large in ((1, size[0]), (2, size[1])):
        small = maps.shape[axis]
        u = np.clip((np.arange(large) + 0.5) * small / large - 0.5, 0, small - 1)
        a = u.astype(int)
        share = np.expand_dims(u - a, -1) if axis == 1 else u - a
        maps = share * np.take(maps, a, axis) + (1 - share) * np.take(maps, np.minimum(a + 1, small - 1), axis)
    return maps


def enlarge_rows_then_repeat(maps, size):
    rows = enlarge_by_matrices(maps, (size[0], maps.shape[2]))
    u = np.clip((np.arange(size[1]) + 0.5) * maps.shape[2] / size[1] - 0.5, 0, maps.shape[2] - 1)
    return rows[:, :, u.astype(int)]


def enlarge_columns_then_repeat(maps, size):
    columns = enlarge_by_matrices(maps, (maps.shape[1], size[1]))
    u = np.clip((np.arange(size[0]) + 0.5) * maps.shape[1] / size[0] - 0.5, 0, maps.shape[1] - 1)
    return columns[:, u.astype(int)]


WRONG[2] = [
    ("softmax first", cam_from(gradient_of_p), "The probability is followed back, not the score"),
    ("the engine's loss", cam_from(cross_entropy), "The loss is followed back, not the score"),
    (
        "log p",
        cam_from(lambda scores, k: marked(scores, k) - softmax(scores)),
        "The logarithm of the probability is followed back, not the score",
    ),
    ("ones", cam_from(lambda scores, k: scores * 0 + 1), "All scores are followed back together"),
    (
        "scores",
        cam_from(lambda scores, k: scores * marked(scores, k)),
        "The scores themselves are followed back, where a 1 belongs",
    ),
    ("every column of k", cam_from(every_column), "The classes of all pictures are marked in every row"),
    (
        "the first class",
        cam_from(lambda scores, k: marked(scores, k[:1].repeat(len(k)))),
        "All pictures have the class of the first one",
    ),
    (
        "argmax",
        cam_from(lambda scores, k: marked(scores, np.argmax(scores, axis=1))),
        "The class is the most probable one, whatever was asked for",
    ),
    ("minus", cam_from(lambda scores, k: -marked(scores, k)), "The derivative has the wrong sign"),
    (
        "a mean over the batch",
        cam_from(lambda scores, k: marked(scores, k) / len(k)),
        "The derivative is divided by the number of pictures",
    ),
    ("train mode", cam_from(marked, lambda network: network.train()), "The network stays in train mode"),
    ("plain eval", cam_from(marked, lambda network: network.eval()), "Nothing is remembered for the backward pass"),
    ("no ReLU", cam_to(lambda A, dA: weighted(mean_of(dA), A)), "The ReLU of the sum is missing"),
    ("abs", cam_to(lambda A, dA: np.abs(weighted(mean_of(dA), A))), "The absolute value is taken in place of the ReLU"),
    (
        "positive weights",
        cam_to(lambda A, dA: above_zero(weighted(above_zero(mean_of(dA)), A))),
        "The ReLU is taken of the weights",
    ),
    (
        "positive weights only",
        cam_to(lambda A, dA: weighted(np.clip(mean_of(dA), 0, None), A)),
        "The ReLU is taken of the weights, and not of the sum",
    ),
    ("positive products", cam_to(cam_positive_products), "The ReLU comes before the sum over the channels"),
    (
        "positive derivatives",
        cam_to(lambda A, dA: above_zero(weighted(mean_of(above_zero(dA)), A))),
        "The derivatives go through a ReLU before their mean",
    ),
    (
        "abs of derivatives",
        cam_to(lambda A, dA: above_zero(weighted(mean_of(np.abs(dA)), A))),
        "The absolute values of the derivatives are averaged",
    ),
    (
        "abs of weights",
        cam_to(lambda A, dA: above_zero(weighted(np.abs(mean_of(dA)), A))),
        "The weights are their absolute values",
    ),
    ("sums", cam_to(lambda A, dA: above_zero(weighted(dA.sum((2, 3)), A))), "The derivatives are added up over the places"),
    ("largest", cam_to(lambda A, dA: above_zero(weighted(dA.max(3).max(2), A))), "alpha is the largest derivative"),
    (
        "place by place",
        cam_to(lambda A, dA: above_zero(np.einsum("nchw,nchw->nhw", A, dA))),
        "There is no mean: each place has its own derivative as its weight",
    ),
    (
        "mean activations",
        cam_to(lambda A, dA: above_zero(weighted(mean_of(A), A))),
        "The weights are means of the maps, not of the derivatives",
    ),
    (
        "exchanged",
        cam_to(lambda A, dA: above_zero(weighted(mean_of(A), dA))),
        "The derivatives are added up, weighted by the means of the maps",
    ),
    (
        "mean weights of the batch",
        cam_to(lambda A, dA: above_zero(np.tensordot(mean_of(dA).mean(0), A, (0, 1)))),
        "The weights are averaged over the pictures as well",
    ),
    (
        "mean over channels",
        cam_to(lambda A, dA: above_zero(dA.mean(1) * A.sum(1))),
        "The mean runs over the channels, not over the places",
    ),
    ("no weights", cam_to(lambda A, dA: above_zero(A.sum(1))), "There are no weights: the maps are added up"),
    (
        "mean of products",
        cam_to(lambda A, dA: above_zero(np.mean(mean_of(dA)[..., None, None] * A, axis=1))),
        "The weighted maps are averaged over the channels, not added up",
    ),
    (
        "largest product",
        cam_to(lambda A, dA: above_zero(np.max(mean_of(dA)[..., None, None] * A, axis=1))),
        "The largest of the weighted maps is taken, not their sum",
    ),
    ("scaled", cam_to(cam_scaled), "Each map is divided by its largest value"),
    ("scaled, 0 / 0", cam_to(cam_scaled_by_nan), "Each map is divided by its largest value"),
    (
        "a channel axis left",
        cam_to(lambda A, dA: above_zero((dA.mean((2, 3), keepdims=True) * A).sum(1, keepdims=True))),
        "The axis of the channels is still there, with length 1",
    ),
    (
        "the layer below",
        cam_of_layer(lambda names, layer: names[names.index(layer) - 1]),
        "It is the layer below the one that was named",
    ),
    ("always relu2", cam_of_layer(lambda names, layer: "relu2"), "It is always the same layer"),
    (
        "align corners",
        enlarge_at(lambda i, small, large: i * (small - 1) / (large - 1)),
        "The corners are laid upon the corners",
    ),
    (
        "no half pixels",
        enlarge_at(lambda i, small, large: limited(i * small / large, small)),
        "The half pixels are missing",
    ),
    (
        "half a pixel",
        enlarge_at(lambda i, small, large: limited((i + 0.5) / large * small, small)),
        "Only one of the two half pixels is there",
    ),
    ("nearest", {"upsample": enlarge_nearest}, "The nearest value is taken, nothing is mixed"),
    ("row -1", {"upsample": enlarge_wrapping}, "At the upper edge the last row takes part"),
    ("a line beyond", {"upsample": enlarge_with_line_beyond}, "At the edge the line goes on beyond the outermost middle"),
    ("shares exchanged", {"upsample": enlarge_exchanged}, "The two shares have changed places"),
    ("columns repeated", {"upsample": enlarge_rows_then_repeat}, "Only the rows are mixed"),
    ("rows repeated", {"upsample": enlarge_columns_then_repeat}, "Only the columns are mixed"),
    (
        "W, H",
        {"upsample": lambda maps, size: enlarge_by_interp(maps, (size[1], size[0]))},
        "Height and width have changed places",
    ),
    (
        "rounded",
        enlarge_at(lambda i, small, large: limited(np.round((i + 0.5) * small / large - 0.5), small)),
        "The nearest value is taken, nothing is mixed",
    ),
    ("as they are", {"upsample": lambda maps, size: maps.copy()}, "The maps keep their size"),
]
RIGHT[2] = [
    ("loops", {"grad_cam": cam_in_loops, "upsample": enlarge_in_loops}),
    ("matrix products", {"grad_cam": cam_by_matrix_product, "upsample": enlarge_by_matrices}),
    ("picture by picture; np.interp", {"grad_cam": cam_picture_by_picture, "upsample": enlarge_by_interp}),
    ("layer by layer; scipy", {"grad_cam": cam_layer_by_layer, "upsample": enlarge_by_scipy}),
]

# ---- 3: occlusion


def probability(network, picture, k):
    return softmax(network.forward(picture[None]))[0, k]


def occlude_in_loops(network, x, k, side, stride, fill):
    _, H, W = x.shape
    rows, columns, m = math.ceil(H / stride), math.ceil(W / stride), (side - stride) // 2
    p = probability(network, x, k)
    out = np.zeros((rows, columns))
    for i in range(rows):
        for j in range(columns):
            picture = x.copy()
            for r in range(i * stride - m, i * stride - m + side):
                for s in range(j * stride - m, j * stride - m + side):
                    if 0 <= r < H and 0 <= s < W:
                        picture[:, r, s] = fill
            out[i, j] = p - probability(network, picture, k)
    return out


def occlude_padded(network, x, k, side, stride, fill):
    """On a frame that is wide enough, which is cut off again."""
    _, H, W = x.shape
    m, edge = (side - stride) // 2, side + stride
    p, out = probability(network, x, k), []
    for top in range(0, H, stride):
        out.append([])
        for left in range(0, W, stride):
            frame = np.pad(x, ((0, 0), (edge, edge), (edge, edge)))
            a, b = top - m + edge, left - m + edge
            frame[:, a : a + side, b : b + side] = np.reshape(fill, (-1, 1, 1))
            out[-1].append(p - probability(network, frame[:, edge : edge + H, edge : edge + W].copy(), k))
    return np.array(out)


def occlude_by_clipped_ranges(network, x, k, side, stride, fill):
    _, H, W = x.shape
    m = (side - stride) // 2
    pictures, corners = [x], [(i - m, j - m) for i in range(0, H, stride) for j in range(0, W, stride)]
    for i, j in corners:
        mask = np.zeros((H, W), bool)
        mask[np.ix_(np.arange(max(i, 0), min(i + side, H)), np.arange(max(j, 0), min(j + side, W)))] = True
        picture = x.copy()
        picture[:, mask] = fill[:, None]
        pictures.append(picture)
    p = softmax(network.forward(np.array(pictures)))[:, k]
    return p[0] - p[1:].reshape(-(-H // stride), -1)


def occlude_list(network, x, k, side, stride, fill):
    return occlude_in_loops(network, x, k, side, stride, fill).tolist()


def occlude(corner=None, change=None, answer=None, count=math.ceil, finish=lambda out: out):
    """occlusion() with other corners, another way to cover, another answer, or another number of cells."""
    corner = corner or (lambda start, m, side, length: start - m)

    def cover(picture, top, left, side, fill):
        picture[:, max(top, 0) : max(top + side, 0), max(left, 0) : max(left + side, 0)] = fill[:, None, None]

    change, answer = change or cover, answer or (lambda before, after, k: softmax(before)[k] - softmax(after)[k])

    def occlusion(network, x, k, side, stride, fill):
        _, H, W = x.shape
        m = (side - stride) // 2
        before = network.forward(x[None])[0]
        out = np.zeros((count(H / stride), count(W / stride)))
        for i in range(out.shape[0]):
            for j in range(out.shape[1]):
                picture = np.array(x)
                change(picture, corner(i * stride, m, side, H), corner(j * stride, m, side, W), side, fill)
                out[i, j] = answer(before, network.forward(picture[None])[0], k)
        return finish(out)

    return {"occlusion": occlusion}


def occlude_without_copy(network, x, k, side, stride, fill):
    _, H, W = x.shape
    m, picture, p = (side - stride) // 2, x.copy(), probability(network, x, k)
    out = np.zeros((math.ceil(H / stride), math.ceil(W / stride)))
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            top, left = i * stride - m, j * stride - m
            picture[:, max(0, top) : top + side, max(0, left) : left + side] = fill[:, None, None]
            out[i, j] = p - probability(network, picture, k)
    return out


def occlude_in_place(network, x, k, side, stride, fill):
    out = occlude_in_loops(network, x, k, side, stride, fill)
    x[:, -1] = np.reshape(fill, (-1, 1))
    return out


def occlude_whole_squares(network, x, k, side, stride, fill):
    _, H, W = x.shape
    p, out = probability(network, x, k), []
    for top in range(0, H - side + 1, stride):
        row = []
        for left in range(0, W - side + 1, stride):
            picture = x.copy()
            picture[:, top : top + side, left : left + side] = fill[:, None, None]
            row.append(p - probability(network, picture, k))
        out.append(row)
    return np.array(out)


def occlude_columns_first(network, x, k, side, stride, fill):
    out = occlude_in_loops(network, x, k, side, stride, fill)
    return out.T.ravel().reshape(out.shape)


def cover_without_limit(picture, top, left, side, fill):
    picture[:, top : top + side, left : left + side] = fill[:, None, None]


def cover_with(colour):
    def cover(picture, top, left, side, fill):
        rows, columns = slice(max(top, 0), max(top + side, 0)), slice(max(left, 0), max(left + side, 0))
        picture[:, rows, columns] = colour(fill, picture)

    return cover


def cover_all_but(picture, top, left, side, fill):
    seen = picture.copy()
    picture[...] = np.reshape(fill, (-1, 1, 1))
    for r in range(max(top, 0), min(top + side, picture.shape[1])):
        for s in range(max(left, 0), min(left + side, picture.shape[2])):
            picture[:, r, s] = seen[:, r, s]


def cover_red(picture, top, left, side, fill):
    picture[0, max(top, 0) : max(top + side, 0), max(left, 0) : max(left + side, 0)] = fill[0]


def cover_larger(more):
    def cover(picture, top, left, side, fill):
        rows, columns = slice(max(top, 0), max(top + side + more, 0)), slice(max(left, 0), max(left + side + more, 0))
        picture[:, rows, columns] = fill[:, None, None]

    return cover


def cover_cell(network, x, k, side, stride, fill):
    return occlude_in_loops(network, x, k, stride, stride, fill)


def log_p(scores, k):
    return scores[k] - np.log(np.exp(scores).sum())


WRONG[3] = [
    (
        "covered minus uncovered",
        occlude(answer=lambda b, a, k: softmax(a)[k] - softmax(b)[k]),
        "The difference is taken the wrong way round",
    ),
    (
        "the probability",
        occlude(answer=lambda b, a, k: softmax(a)[k]),
        "It is the probability with the square, not how far it falls",
    ),
    ("scores", occlude(answer=lambda b, a, k: b[k] - a[k]), "The scores are compared, not the probabilities"),
    (
        "log p",
        occlude(answer=lambda b, a, k: log_p(b, k) - log_p(a, k)),
        "The logarithms of the probabilities are compared",
    ),
    (
        "relative",
        occlude(answer=lambda b, a, k: 1 - softmax(a)[k] / softmax(b)[k]),
        "The fall is divided by the probability",
    ),
    ("ratio", occlude(answer=lambda b, a, k: softmax(a)[k] / softmax(b)[k]), "It is the ratio of the probabilities"),
    ("clipped", occlude(finish=lambda out: np.clip(out, 0, 1)), "Negative values are cut off"),
    ("abs", occlude(finish=np.abs), "The sign is lost"),
    (
        "the largest afterwards",
        occlude(answer=lambda b, a, k: softmax(b)[k] - max(softmax(a))),
        "The largest probability of the covered picture is taken, whichever its class",
    ),
    (
        "the answer's class",
        occlude(answer=lambda b, a, k: softmax(b)[b.argmax()] - softmax(a)[b.argmax()]),
        "The class is the one that the network answers, not k",
    ),
    (
        "the largest of both",
        occlude(answer=lambda b, a, k: softmax(b).max() - softmax(a).max()),
        "The largest probability is taken before and after, whichever its class",
    ),
    (
        "at the corner",
        occlude(corner=lambda start, m, side, length: start),
        "The square begins at the cell's corner, and is not laid over its middle",
    ),
    ("floor", occlude(count=math.floor), "Cells that hang over the edge are left out"),
    (
        "inside only",
        {"occlusion": occlude_whole_squares},
        "Only squares that lie inside the picture altogether are tried",
    ),
    (
        "pushed down and right",
        occlude(corner=lambda start, m, side, length: max(start - m, 0)),
        "At the upper and left edge the whole square is pushed inside",
    ),
    (
        "pushed inside",
        occlude(corner=lambda start, m, side, length: max(0, min(start - m, length - side))),
        "At all edges the whole square is pushed inside",
    ),
    ("negative slices", occlude(change=cover_without_limit), "At the upper and left edge nothing is covered"),
    ("the cell", {"occlusion": cover_cell}, "The square is as large as a cell"),
    ("half the side", occlude(corner=lambda start, m, side, length: start - side // 2), "m is half the side"),
    ("one more", occlude(change=cover_larger(1)), "The square has a row and a column too many"),
    ("one less", occlude(change=cover_larger(-1)), "The square has a row and a column too few"),
    ("black", occlude(change=cover_with(lambda fill, picture: 0.0)), "The square is 0, whatever fill says"),
    (
        "fill[0]",
        occlude(change=cover_with(lambda fill, picture: fill[0])),
        "All channels get the first number of fill",
    ),
    ("grey", occlude(change=cover_with(lambda fill, picture: np.mean(fill))), "All channels get the mean of fill"),
    (
        "the picture's mean",
        occlude(change=cover_with(lambda fill, picture: picture.reshape(len(picture), -1).mean(1).reshape(-1, 1, 1))),
        "The square has the mean colour of the picture",
    ),
    ("red", occlude(change=cover_red), "Only the first channel is covered"),
    ("all but the square", occlude(change=cover_all_but), "Everything but the square is covered"),
    ("never restored", {"occlusion": occlude_without_copy}, "What was covered once stays covered"),
    (
        "transposed",
        occlude(finish=lambda out: np.ascontiguousarray(out.T)),
        "Rows and columns of the map have changed places",
    ),
    (
        "columns first",
        {"occlusion": occlude_columns_first},
        "The cells are gone through in another order than the map is filled",
    ),
    ("flat", occlude(finish=np.ravel), "The map has no rows and columns"),
    ("in place", {"occlusion": occlude_in_place}, "An argument is changed"),
]
RIGHT[3] = [
    ("loops", {"occlusion": occlude_in_loops}),
    ("a frame", {"occlusion": occlude_padded}),
    ("masks, one batch", {"occlusion": occlude_by_clipped_ranges}),
    ("a list", {"occlusion": occlude_list}),
]

# ---- 4: fast gradient sign


def column(values):
    return np.reshape(values, (-1, 1, 1))


def attack_in_loops(network, pixels, mean, std, k, step, targeted):
    out = np.empty_like(pixels)
    for n in range(len(pixels)):
        x = np.stack([(channel - m) / s for channel, m, s in zip(pixels[n], mean, std, strict=True)])
        network.eval(backward=True)
        scores = network.forward(x[None])
        p = softmax(scores)
        p[0, k[n]] -= 1
        dx = network.backward(p)[0]
        for place in np.ndindex(dx.shape):
            move = int(dx[place] > 0) - int(dx[place] < 0)
            value = pixels[n][place] + (step if not targeted else -step) * move
            out[n][place] = min(255.0, max(0.0, value))
    return out


def attack_by_loss(network, pixels, mean, std, k, step, targeted):
    loss, C = SoftmaxCrossEntropy(), pixels.shape[1]
    network.eval(backward=True)
    loss.forward(network.forward((pixels - mean.reshape(1, C, 1, 1)) / std.reshape(1, C, 1, 1)), k)
    gradient = network.backward(loss.backward()) / std.reshape(1, C, 1, 1)
    new = pixels - step * np.sign(gradient) if targeted else pixels + step * np.sign(gradient)
    return np.minimum(np.maximum(new, 0), 255)


def attack_in_the_network_s_units(network, pixels, mean, std, k, step, targeted):
    """The step divided by std, on what the network sees, and back to pixels."""
    x = (pixels - column(mean)) / column(std)
    g = back(network, x, lambda scores: cross_entropy_sum(scores, k))
    g = -g if targeted else g
    moved = x + step / column(std) * np.sign(g)
    return np.clip(moved * column(std) + column(mean), 0, 255)


def attack_by_log_p(network, pixels, mean, std, k, step, targeted):
    """Up the logarithm of the probability, if targeted, and down it, if not."""
    x = (pixels - column(mean)) / column(std)
    g = back(network, x, lambda scores: marked(scores, k) - softmax(scores))
    return np.clip(np.where(targeted, pixels + step * np.sign(g), pixels - step * np.sign(g)), 0.0, 255.0)


def attack(
    direction=np.sign,
    move=lambda d, step, targeted, std: -step * d if targeted else step * d,
    limit=lambda values: np.minimum(np.maximum(values, 0.0), 255.0),
    dscores=cross_entropy,
    see=lambda pixels, mean, std: (pixels - mean) / std,
    start=lambda network: network.eval(backward=True),
    give=lambda pixels, x, moved: pixels + moved,
):
    def fast_gradient_sign(network, pixels, mean, std, k, step, targeted):
        x = see(pixels, column(mean), column(std))
        start(network)
        g = network.backward(dscores(network.forward(x), k))
        return limit(give(pixels, x, move(direction(g), step, targeted, column(std))))

    return {"fast_gradient_sign": fast_gradient_sign}


def two_way(g):
    d = -np.ones_like(g)
    d[g >= 0] = 1
    return d


def other_two_way(g):
    return np.array([1.0 if value > 0 else -1.0 for value in g.flat]).reshape(g.shape)


def score_alone(scores, k):
    return -marked(scores, k)


def attack_in_place(network, pixels, mean, std, k, step, targeted):
    pixels -= column(mean)
    return attack_by_loss(network, pixels + column(mean), mean, std, k, step, targeted)


WRONG[4] = [
    (
        "down the loss",
        attack(move=lambda d, step, targeted, std: step * d if targeted else -step * d),
        "The step has the wrong sign, targeted and untargeted",
    ),
    (
        "targeted forgotten",
        attack(move=lambda d, step, targeted, std: d * step),
        "A targeted step goes the way of an untargeted one",
    ),
    (
        "always targeted",
        attack(move=lambda d, step, targeted, std: d * -step),
        "An untargeted step goes the way of a targeted one",
    ),
    (
        "a step of what the network sees",
        attack(move=lambda d, step, targeted, std: (1 - 2 * targeted) * step * d * std),
        "The step is in units of what the network sees, not of pixels",
    ),
    (
        "divided by std",
        attack(move=lambda d, step, targeted, std: (1 - 2 * targeted) * step * d / std),
        "The step is divided by std",
    ),
    ("a step of 1", attack(move=lambda d, step, targeted, std: -d if targeted else d), "The step is always 1"),
    (
        "a share of 255",
        attack(move=lambda d, step, targeted, std: (1 - 2 * targeted) * step * 255.0 * d),
        "The step is a share of 255",
    ),
    (
        "the gradient",
        attack(direction=lambda g: g, dscores=cross_entropy_sum),
        "The derivative itself is added, not its sign",
    ),
    (
        "a unit vector",
        attack(direction=lambda g: np.stack([one / np.linalg.norm(one) for one in g])),
        "The derivative is divided by its length",
    ),
    (
        "a unit vector of all",
        attack(direction=lambda g: g / np.sqrt(np.sum(g**2)), dscores=cross_entropy_sum),
        "The derivative is divided by the length of all together",
    ),
    (
        "over its maximum",
        attack(direction=lambda g: np.stack([one / abs(one).max() for one in g])),
        "The derivative is divided by its largest value",
    ),
    ("0 goes up", attack(direction=two_way), "A pixel whose derivative is 0 moves up"),
    ("0 goes down", attack(direction=other_two_way), "A pixel whose derivative is 0 moves down"),
    ("g / |g|", attack(direction=lambda g: g / np.sqrt(g**2)), "A derivative of 0 is divided by itself"),
    (
        "a sign a pixel",
        attack(direction=lambda g: np.repeat(np.sign(g.mean(1))[:, None], g.shape[1], axis=1)),
        "All channels of a pixel move alike",
    ),
    ("no limit", attack(limit=lambda values: values), "Nothing is cut off at 0 and 255"),
    ("limit 1", attack(limit=lambda values: np.minimum(np.maximum(values, 0), 1)), "It is cut off at 1"),
    ("limit 0 only", attack(limit=lambda values: np.where(values < 0, 0, values)), "It is cut off at 0 only"),
    ("limit 255 only", attack(limit=lambda values: np.where(values > 255, 255, values)), "It is cut off at 255 only"),
    ("rounded", attack(limit=lambda values: np.clip(np.rint(values), 0, 255)), "It is rounded"),
    (
        "bytes",
        attack(limit=lambda values: values.astype(np.int64).astype(np.uint8).astype(np.float64)),
        "It wraps around, as bytes do",
    ),
    (
        "whole numbers",
        attack(limit=lambda values: np.floor(np.clip(values, 0, 255)).astype(float)),
        "It is made whole numbers",
    ),
    ("the score", attack(dscores=score_alone), "The score is lowered, and the loss not looked at"),
    ("the score raised", attack(dscores=marked), "The score of k is raised where the loss should be"),
    (
        "p without one-hot",
        attack(dscores=lambda scores, k: softmax(scores) / len(k)),
        "The probabilities are followed back without the one-hot",
    ),
    (
        "the loss of the answer",
        attack(dscores=lambda scores, k: cross_entropy(scores, scores.argmax(1))),
        "The class is the most probable one, whatever was asked for",
    ),
    (
        "the first class",
        attack(dscores=lambda scores, k: cross_entropy(scores, np.repeat(k[:1], len(k)))),
        "All pictures have the class of the first one",
    ),
    (
        "every column of k",
        attack(dscores=lambda scores, k: softmax(scores) - every_column(scores, k)),
        "The classes of all pictures are marked in every row",
    ),
    ("probability up", attack(dscores=gradient_of_p), "The step has the wrong sign, targeted and untargeted"),
    (
        "raw pixels",
        attack(see=lambda pixels, mean, std: pixels.copy()),
        "The network is given the pixels as they are",
    ),
    ("no mean", attack(see=lambda pixels, mean, std: np.divide(pixels, std)), "The mean is not subtracted"),
    ("no std", attack(see=lambda pixels, mean, std: np.subtract(pixels, mean)), "It is not divided by std"),
    ("times std", attack(see=lambda pixels, mean, std: std * (pixels - mean)), "It is multiplied by std"),
    (
        "over 255",
        attack(see=lambda pixels, mean, std: pixels / 255.0),
        "The network is given the pixels divided by 255",
    ),
    (
        "what the network sees",
        attack(give=lambda pixels, x, moved: x + moved, limit=lambda values: values),
        "What comes back is what the network sees, not a picture",
    ),
    (
        "what the network sees, limited",
        attack(give=lambda pixels, x, moved: x + moved),
        "What comes back is what the network sees, cut off at 0 and 255",
    ),
    (
        "the step",
        attack(give=lambda pixels, x, moved: moved, limit=lambda values: values),
        "Only the step comes back",
    ),
    ("train mode", attack(start=lambda network: network.train()), "The network stays in train mode"),
    ("plain eval", attack(start=lambda network: network.eval()), "Nothing is remembered for the backward pass"),
    ("in place", {"fast_gradient_sign": attack_in_place}, "An argument is changed"),
]
RIGHT[4] = [
    ("loops", {"fast_gradient_sign": attack_in_loops}),
    ("the engine's loss", {"fast_gradient_sign": attack_by_loss}),
    ("in the network's units and back", {"fast_gradient_sign": attack_in_the_network_s_units}),
    ("the logarithm of the probability", {"fast_gradient_sign": attack_by_log_p}),
]

# ---- 5: PCA


def sign_rule(points):
    points = np.array(points)
    for j in range(points.shape[1]):
        if points[np.argmax(np.abs(points[:, j])), j] < 0:
            points[:, j] *= -1
    return points


def shares(values, dimensions):
    values = np.maximum(values, 0)
    total = values.sum()
    return values[:dimensions] / total if total > 0 else np.zeros(dimensions)


def pca_by_covariance(codes, dimensions):
    X = codes - codes.mean(axis=0, keepdims=True)
    values, vectors = np.linalg.eigh(np.cov(X, rowvar=False, ddof=0).reshape(X.shape[1], -1))
    order = np.argsort(values)[::-1]
    return sign_rule(X @ vectors[:, order[:dimensions]]), shares(values[order], dimensions)


def pca_by_gram(codes, dimensions):
    """Eigenvectors of X X^T are the columns of U."""
    X = codes - np.average(codes, axis=0)
    values, U = np.linalg.eigh(X @ X.T)
    values, U = np.maximum(values[::-1], 0), U[:, ::-1]
    return sign_rule(U[:, :dimensions] * np.sqrt(values[:dimensions])), shares(values, dimensions)


def pca_by_projection(codes, dimensions):
    mean = sum(codes) / len(codes)
    X = np.array([code - mean for code in codes])
    _, S, Vt = np.linalg.svd(X)
    points = np.einsum("nd,kd->nk", X, Vt[:dimensions])
    turned = np.where(np.abs(points.min(axis=0)) > np.abs(points.max(axis=0)), -points, points)
    return [turned.tolist(), shares(S**2, dimensions).tolist()]


def pca_by_deflation(codes, dimensions):
    """One direction after another, of what the ones before have left."""
    X = codes - codes.mean(axis=0)
    left, columns, values, total = X.copy(), [], [], (X**2).sum()
    for _ in range(dimensions):
        _, vectors = np.linalg.eigh(left.T @ left)
        v = vectors[:, -1]
        columns.append(X @ v)
        values.append((columns[-1] ** 2).sum())
        left = left - np.outer(left @ v, v)
    points = np.stack(columns, axis=1)
    return sign_rule(points), np.array(values) / (total or 1.0)


def pca_with(centre=None, points=None, sign=sign_rule, share=None):
    """pca() through the covariance matrix, with one part of it exchanged."""
    centre = centre or (lambda codes: codes - codes.mean(axis=0))
    points = points or (lambda X, V, s, d: X @ V[:, :d])
    share = share or (lambda s, d: shares(s**2, d))

    def pca(codes, dimensions):
        X = centre(codes)
        _, s, Vt = np.linalg.svd(X, full_matrices=False)
        return sign(points(X, Vt.T, s, dimensions)), share(s, dimensions)

    return {"pca": pca}


def sign_by_direction(codes, dimensions):
    """As scikit-learn does it today: by the largest entry of each direction."""
    X = codes - codes.mean(axis=0)
    U, s, Vt = np.linalg.svd(X, full_matrices=False)
    signs = np.array([np.sign(row[np.argmax(np.abs(row))]) for row in Vt])
    return (U * s * signs)[:, :dimensions], shares(s**2, dimensions)


def sign_by_sum_of_direction(codes, dimensions):
    X = codes - codes.mean(axis=0)
    _, s, Vt = np.linalg.svd(X, full_matrices=False)
    Vt = np.array([row if row.sum() >= 0 else -row for row in Vt])
    return (X @ Vt.T)[:, :dimensions], shares(s**2, dimensions)


def sign_by_first_entry(codes, dimensions):
    X = codes - codes.mean(axis=0)
    _, s, Vt = np.linalg.svd(X, full_matrices=False)
    Vt = Vt * np.sign(Vt[:, :1])
    return (X @ Vt.T)[:, :dimensions], shares(s**2, dimensions)


def smallest_first(codes, dimensions):
    X = codes - codes.mean(axis=0)
    U, s, _ = np.linalg.svd(X, full_matrices=False)
    return sign_rule((U * s)[:, ::-1][:, :dimensions]), shares(s**2, dimensions)


def variances_of(ddof):
    def pca(codes, dimensions):
        points, _ = pca_by_gram(codes, dimensions)
        return points, points.var(axis=0, ddof=ddof)

    return {"pca": pca}


def any_sign_of_eigh(codes, dimensions):
    X = codes - codes.mean(axis=0)
    values, vectors = np.linalg.eigh(X.T @ X)
    order = np.argsort(-values)
    return X @ vectors[:, order][:, :dimensions], shares(values[order], dimensions)


def one_sign(points):
    place = np.unravel_index(np.argmax(np.abs(points)), points.shape)
    return np.sign(points[place]) * points if points[place] else points


WRONG[5] = [
    ("not centred", pca_with(centre=lambda codes: codes.copy()), "The mean is not subtracted"),
    (
        "each code centred",
        pca_with(centre=lambda codes: np.array([code - code.mean() for code in codes])),
        "The mean of each code is subtracted",
    ),
    ("one mean", pca_with(centre=lambda codes: codes - np.mean(codes)), "One mean is subtracted from everything"),
    (
        "standardised",
        pca_with(centre=lambda codes: (codes - codes.mean(0)) / (codes.std(0) + (codes.std(0) == 0))),
        "The codes are standardised",
    ),
    ("median", pca_with(centre=lambda codes: codes - np.percentile(codes, 50, axis=0)), "The median is subtracted"),
    ("U", pca_with(points=lambda X, V, s, d: (X @ V / s)[:, :d]), "The points are U, without S"),
    ("directions", pca_with(points=lambda X, V, s, d: V[:, :d]), "The points are the directions themselves"),
    (
        "columns of Vt",
        pca_with(points=lambda X, V, s, d: X @ V.T[:, :d] if V.shape[0] == V.shape[1] else X @ V[:d].T),
        "The columns of V^T are taken, where its rows are the directions",
    ),
    ("smallest first", {"pca": smallest_first}, "The directions of least variance are taken"),
    (
        "whitened",
        pca_with(points=lambda X, V, s, d: (X @ V)[:, :d] / (X @ V)[:, :d].std(axis=0)),
        "The points have variance 1 along each direction",
    ),
    (
        "whitened, N - 1",
        pca_with(points=lambda X, V, s, d: (X @ V)[:, :d] / (X @ V)[:, :d].std(axis=0, ddof=1)),
        "The points have variance 1 along each direction, divided by N - 1",
    ),
    ("times S twice", pca_with(points=lambda X, V, s, d: (X @ V * s)[:, :d]), "U is multiplied by the squares of S"),
    ("all of them", pca_with(points=lambda X, V, s, d: X @ V), "All directions come back, not as many as asked"),
    ("any sign of eigh", {"pca": any_sign_of_eigh}, "The sign is left as it comes"),
    ("any sign", pca_with(sign=lambda points: points), "The sign is left as it comes"),
    (
        "the largest, not of absolute value",
        pca_with(sign=lambda points: points * np.where(points.max(axis=0) < 0, -1, 1)),
        "The sign is left as it comes",
    ),
    ("by the direction", {"pca": sign_by_direction}, "The sign is decided by the direction, not by the points"),
    (
        "by the first code",
        pca_with(sign=lambda points: np.where(points[0] >= 0, points, -points)),
        "The sign is decided by the first point",
    ),
    ("by its first entry", {"pca": sign_by_first_entry}, "The sign is decided by the first number of the direction"),
    ("by its sum", {"pca": sign_by_sum_of_direction}, "The sign is decided by the sum of the direction"),
    ("negative", pca_with(sign=lambda points: -sign_rule(points)), "The number of largest absolute value is negative"),
    ("abs", pca_with(sign=lambda points: np.maximum(points, -points)), "All numbers are made positive"),
    ("one sign", pca_with(sign=one_sign), "One sign is taken for all columns"),
    (
        "shares of S",
        pca_with(share=lambda s, d: shares(s, d)),
        "The shares are of S, not of its squares",
    ),
    (
        "shares of these",
        pca_with(share=lambda s, d: shares(s[:d] ** 2, d)),
        "The shares are of the directions asked for, not of all",
    ),
    ("squares of S", pca_with(share=lambda s, d: np.square(s)[:d]), "They are the squares of S, not shares"),
    ("S", pca_with(share=lambda s, d: s[0:d] + 0), "They are S, not shares"),
    (
        "added up",
        pca_with(share=lambda s, d: np.array([(s[: j + 1] ** 2).sum() for j in range(d)]) / max((s**2).sum(), 1e-300)),
        "The shares are added up",
    ),
    ("all shares", pca_with(share=lambda s, d: shares(s**2, len(s))), "The shares of all directions come back"),
    (
        "0 / 0",
        pca_with(share=lambda s, d: s[:d] ** 2 / np.sum(s**2)),
        "Codes that are all alike have shares of NaN",
    ),
    ("variances", variances_of(0), "They are variances, not shares"),
    ("variances, N - 1", variances_of(1), "They are variances, not shares"),
    (
        "in the wrong order",
        {"pca": lambda codes, d: pca_by_covariance(codes, d)[::-1]},
        "Points and shares come back in the wrong order",
    ),
    (
        "transposed",
        {"pca": lambda codes, d: (np.array(pca_by_gram(codes, d)[0].T), pca_by_gram(codes, d)[1])},
        "The points are a row for each direction",
    ),
    ("points only", {"pca": lambda codes, d: pca_by_covariance(codes, d)[0]}, "Not as many results as asked for"),
]
RIGHT[5] = [
    ("covariance", {"pca": pca_by_covariance}),
    ("Gram matrix", {"pca": pca_by_gram}),
    ("projection, lists", {"pca": pca_by_projection}),
    ("deflation", {"pca": pca_by_deflation}),
]

# ---- 6: nearest neighbours


def angle_distance(x, y):
    lengths = math.sqrt(sum(v * v for v in x)) * math.sqrt(sum(v * v for v in y))
    return 1 - sum(a * b for a, b in zip(x, y, strict=True)) / lengths if lengths > 0 else 1.0


def neighbours_in_loops(codes, queries, k):
    found, distances = [], []
    for q in queries:
        others = sorted((angle_distance(codes[q], codes[n]), n) for n in range(len(codes)) if n != q)[:k]
        found.append([n for _, n in others])
        distances.append([d for d, _ in others])
    return found, distances


def neighbours_by_delete(codes, queries, k):
    norms = np.sqrt(np.einsum("nd,nd->n", codes, codes))
    norms[norms == 0] = 1
    cosine = (codes / norms[:, None]) @ (codes / norms[:, None]).T
    found = np.empty((len(queries), k), int)
    for row, q in enumerate(queries):
        others = np.delete(np.arange(len(codes)), q)
        found[row] = others[np.argsort(-cosine[q, others])][:k]
    return found, 1 - cosine[np.asarray(queries)[:, None], found]


def neighbours_by_partition(codes, queries, k):
    n = np.maximum(np.linalg.norm(codes, axis=1), 1e-300)
    d = 1 - codes[queries] @ codes.T / np.outer(n[queries], n)
    d[range(len(queries)), queries] = 3
    part = np.argpartition(d, k - 1, axis=1)[:, :k]
    values = np.take_along_axis(d, part, 1)
    order = values.argsort(axis=1)
    return np.take_along_axis(part, order, 1).astype(np.int32), np.take_along_axis(values, order, 1)


def neighbours_by_chords(codes, queries, k):
    """Of unit vectors the squared distance is 2 - 2 cos."""
    n = np.linalg.norm(codes, axis=1)
    unit = codes / np.where(n == 0, 1, n)[:, None]
    d = cdist(unit[queries], unit, "sqeuclidean") / 2
    d[:, n == 0] = 1
    d[n[queries] == 0] = 1
    for row, q in enumerate(queries):
        d[row, q] = np.inf
    found = np.array([np.argsort(row)[:k] for row in d])
    return found, np.sort(d, axis=1)[:, :k]


def unit_of(codes):
    lengths = np.sqrt(np.sum(codes**2, axis=1, keepdims=True))
    return np.divide(codes, lengths, out=np.zeros_like(codes), where=lengths > 0)


def cosine_distances(codes, queries):
    return 1 - np.einsum("qd,nd->qn", unit_of(codes)[queries], unit_of(codes))


def neighbours(distance=cosine_distances, leave_out=None, pick=None, tell=None):
    def itself(d, queries):
        for row, q in zip(d, queries, strict=True):
            row[q] = np.inf
        return d

    leave_out = leave_out or itself
    pick = pick or (lambda d, k: np.argsort(d, axis=1)[:, :k])
    tell = tell or (lambda d, found: np.array([row[f] for row, f in zip(d, found, strict=True)]))

    def nearest_neighbours(codes, queries, k):
        d = leave_out(np.array(distance(codes, queries)), queries)
        found = pick(d, k)
        return found, tell(d, found)

    return {"nearest_neighbours": nearest_neighbours}


def divided_by_own_zero(codes, queries):
    lengths = np.sqrt((codes**2).sum(axis=1))
    return 1 - codes[queries] @ codes.T / lengths[queries, None] / lengths


def zero_at_distance_0(codes, queries):
    d = divided_by_own_zero(codes, queries)
    d[np.isnan(d)] = 0
    return d


def correlation_distance(codes, queries):
    return 1 - np.corrcoef(codes)[queries]


def no_query_at_all(d, queries):
    for q in queries:
        d[:, q] = np.inf
    return d


def row_for_query(d, queries):
    for row in range(len(queries)):
        d[row, row] = np.inf
    return d


def nobody_at_0(limit):
    def leave_out(d, queries):
        d[d < limit] = np.inf
        return d

    return leave_out


def moved_up(codes, queries, k):
    d = cosine_distances(codes, queries)
    rows = np.array([[d[r, n] for n in range(len(codes)) if n != q] for r, q in enumerate(queries)])
    found = rows.argsort(axis=1)[:, :k]
    return found, np.take_along_axis(rows, found, 1)


def those_codes(codes, queries, k):
    found, distances = neighbours_by_delete(codes, queries, k)
    return np.take(codes, found, axis=0), distances


def same_as_it_is(d, queries):
    return d


WRONG[6] = [
    ("Euclidean", neighbours(lambda c, q: cdist(c[q], c)), "The distance is Euclidean"),
    (
        "squares",
        neighbours(lambda c, q: cdist(c[q], c, "sqeuclidean")),
        "The distance is the square of the Euclidean one",
    ),
    ("dot product", neighbours(lambda c, q: 1 - np.dot(c[q], c.T)), "The codes are not divided by their lengths"),
    (
        "codes only",
        neighbours(lambda c, q: 1 - np.dot(c[q], unit_of(c).T)),
        "The queries are not divided by their lengths",
    ),
    (
        "queries only",
        neighbours(lambda c, q: 1 - np.dot(unit_of(c)[q], c.T)),
        "Only the queries are divided by their lengths",
    ),
    (
        "no root",
        neighbours(lambda c, q: 1 - c[q] @ c.T / np.outer((c[q] ** 2).sum(1), (c**2).sum(1))),
        "The codes are divided by the squares of their lengths",
    ),
    (
        "1-norm",
        neighbours(lambda c, q: 1 - c[q] @ c.T / np.outer(np.abs(c[q]).sum(1), np.abs(c).sum(1))),
        "The codes are divided by the sum of their absolute values",
    ),
    (
        "centred",
        neighbours(lambda c, q: cosine_distances(c - c.mean(0, keepdims=True), q)),
        "The mean code is subtracted first",
    ),
    ("correlation", neighbours(correlation_distance), "The mean of each code is subtracted first"),
    (
        "abs",
        neighbours(lambda c, q: 1 - np.abs(unit_of(c)[q] @ unit_of(c).T)),
        "The sign of the cosine is lost",
    ),
    (
        "the angle",
        neighbours(lambda c, q: np.arccos(np.minimum(np.maximum(unit_of(c)[q] @ unit_of(c).T, -1), 1))),
        "The distance is the angle",
    ),
    ("0 / 0", neighbours(divided_by_own_zero), "A code of zeros is divided by 0"),
    ("zeros at 0", neighbours(zero_at_distance_0), "A code of zeros is at distance 0"),
    (
        "+ 1e-3",
        neighbours(
            lambda c, q: (
                1
                - (c[q] / (np.linalg.norm(c[q], axis=1) + 1e-3)[:, None]) @ (c / (np.linalg.norm(c, axis=1) + 1e-3)[:, None]).T
            )
        ),
        "A small number is added to the lengths",
    ),
    ("itself", neighbours(leave_out=same_as_it_is), "The query itself is among its neighbours"),
    ("no queries", neighbours(leave_out=no_query_at_all), "All queries are left out everywhere"),
    (
        "the diagonal",
        neighbours(leave_out=row_for_query),
        "The wrong code is left out: the one with the number of the row",
    ),
    ("nobody at 0", neighbours(leave_out=nobody_at_0(1e-9)), "Codes that equal the query are left out"),
    ("nobody at 1e-6", neighbours(leave_out=nobody_at_0(1e-6)), "Codes that equal the query are left out"),
    (
        "the first dropped",
        neighbours(leave_out=same_as_it_is, pick=lambda d, k: np.argsort(d, axis=1)[:, 1:][:, :k]),
        "The first one found is left out, whichever it is",
    ),
    (
        "one too few",
        neighbours(leave_out=same_as_it_is, pick=lambda d, k: np.argsort(d, axis=1)[:, 1:k]),
        "The first one is left out, and then there is one too few",
    ),
    (
        "farthest",
        neighbours(pick=lambda d, k: np.array([np.argsort(np.where(r < np.inf, -r, np.inf))[:k] for r in d])),
        "They are the farthest ones",
    ),
    (
        "similarity",
        neighbours(tell=lambda d, found: 1 - np.sort(d, axis=1)[:, : found.shape[1]]),
        "The similarity comes back in place of the distance",
    ),
    (
        "distances of the first",
        neighbours(tell=lambda d, found: np.array(d[:, : found.shape[1]])),
        "The distances are those of the first k codes",
    ),
    ("all distances", neighbours(tell=lambda d, found: np.array(d)), "The distances of all codes come back"),
    ("one too many", neighbours(pick=lambda d, k: d.argsort(axis=1)[:, : k + 1]), "There is one neighbour too many"),
    (
        "farthest first",
        neighbours(pick=lambda d, k: np.fliplr(d.argsort(axis=1)[:, :k])),
        "The farthest of the neighbours comes first",
    ),
    (
        "by number",
        neighbours(pick=lambda d, k: np.array([sorted(row) for row in d.argsort(axis=1)[:, :k]])),
        "The neighbours are in the order of their numbers",
    ),
    (
        "ranks",
        neighbours(
            pick=lambda d, k: d.argsort(axis=1).argsort(axis=1)[:, :k],
            tell=lambda d, found: np.sort(d, axis=1)[:, : found.shape[1]],
        ),
        "The ranks come back, not the neighbours",
    ),
    ("moved up", {"nearest_neighbours": moved_up}, "The neighbours are numbered without the query"),
    (
        "in the wrong order",
        {"nearest_neighbours": lambda c, q, k: neighbours_by_partition(c, q, k)[::-1]},
        "Neighbours and distances come back in the wrong order",
    ),
    ("codes", {"nearest_neighbours": those_codes}, "The codes themselves come back, not their numbers"),
    (
        "numbers only",
        {"nearest_neighbours": lambda c, q, k: neighbours_by_partition(c, q, k)[0]},
        "Not as many results as asked for",
    ),
]
RIGHT[6] = [
    ("loops, lists", {"nearest_neighbours": neighbours_in_loops}),
    ("without the query", {"nearest_neighbours": neighbours_by_delete}),
    ("partition", {"nearest_neighbours": neighbours_by_partition}),
    ("chords", {"nearest_neighbours": neighbours_by_chords}),
]
