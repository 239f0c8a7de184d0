"""Answers to the tasks of lesson 8: wrong ones as people write them, and right ones written differently from the solution.

``WRONG[task]`` lists (what it does, functions in place of the solution's, title of the slip that should be named or None);
``RIGHT[task]`` (how, functions).
"""

import itertools
import math

import numpy as np

from minicnn.layers import Dropout, VanillaDropout
from minicnn.losses import SoftmaxCrossEntropy, softmax

WRONG, RIGHT = {}, {}

# ---- 1: penalties


def penalty_loop(w, lambda1, lambda2):
    R, dw = 0.0, np.zeros(w.shape)
    for i in np.ndindex(w.shape):
        R += lambda1 * abs(w[i]) + 0.5 * lambda2 * w[i] ** 2
        dw[i] = lambda2 * w[i]
        if w[i] != 0:
            dw[i] += math.copysign(lambda1, w[i])
    return R, dw


def penalty_einsum(w, lambda1, lambda2):
    flat = w.ravel()
    return [
        0.5 * lambda2 * np.einsum("i,i->", flat, flat) + lambda1 * np.linalg.norm(flat, 1),
        lambda2 * w + lambda1 * np.sign(w),
    ]


def penalty_masks(w, lambda1, lambda2):
    dw = lambda2 * w
    dw[w > 0] += lambda1
    dw[w < 0] -= lambda1
    return np.float64(lambda1 * np.sum(np.maximum(w, -w)) + lambda2 * np.sum(np.square(w)) / 2), dw


def penalty_two_terms(w, lambda1, lambda2):
    l1 = np.asarray(lambda1 * np.abs(w).sum()), lambda1 * ((w > 0).astype(float) - (w < 0))
    l2 = np.asarray(lambda2 / 2 * np.linalg.norm(w.ravel()) ** 2), lambda2 * w
    return l1[0] + l2[0], l1[1] + l2[1]


def penalty_doubled(w, lambda1, lambda2):
    return lambda1 * np.sum(np.abs(w)) + lambda2 * np.sum(w**2), lambda1 * np.sign(w) + 2 * lambda2 * w


def penalty_without_half(w, lambda1, lambda2):
    R = 0.0
    for value in w.flat:
        R += lambda1 * abs(value) + lambda2 * value * value
    return R, lambda1 * np.sign(w) + lambda2 * w


def penalty_signs_by_where(w, lambda1, lambda2):
    return (
        float(lambda1 * np.abs(w).sum() + lambda2 / 2 * (w**2).sum()),
        lambda2 * w + np.where(w < 0, -lambda1, lambda1),
    )


def penalty_nan(w, lambda1, lambda2):
    dw = lambda1 * w / np.sqrt(w**2) + lambda2 * w
    return float(lambda1 * np.abs(w).sum() + lambda2 * 0.5 * np.vdot(w, w)), dw


def penalty_in_place(w, lambda1, lambda2):
    R = lambda1 * np.abs(w).sum() + lambda2 / 2 * (w**2).sum()
    w *= lambda2
    return R, w


WRONG[1] = [
    ("penalty twice as strong", {"elastic_net": penalty_doubled}, "The half is missing, in R and in dw"),
    ("half forgotten in R, in a loop", {"elastic_net": penalty_without_half}, "The half is missing in R"),
    (
        "2 lambda2 w",
        {"elastic_net": lambda w, a, b: (penalty_loop(w, a, b)[0], a * np.sign(w) + 2.0 * b * w)},
        "The part of L2 in dw has a factor 2 too much",
    ),
    (
        "means",
        {"elastic_net": lambda w, a, b: (a * np.mean(np.abs(w)) + b / 2 * np.mean(w**2), a * np.sign(w) + b * w)},
        "R is a mean over the weights",
    ),
    (
        "all divided by the size",
        {"elastic_net": lambda w, a, b: tuple(part / w.size for part in penalty_loop(w, a, b))},
        "R and dw are divided by the number of weights",
    ),
    ("weight decay only", {"elastic_net": lambda w, a, b: (penalty_loop(w, a, b)[0], w * b)}, "dw has no part of L1"),
    (
        "signs only",
        {"elastic_net": lambda w, a, b: (penalty_masks(w, a, b)[0], np.copysign(a, w) * (w != 0))},
        "dw has no part of L2",
    ),
    (
        "lasso without absolute values",
        {"elastic_net": lambda w, a, b: (np.sum(a * w + b / 2 * w**2), a * np.sign(w) + b * w)},
        "R adds the weights themselves, so that positive and negative ones cancel",
    ),
    (
        "norm of w",
        {"elastic_net": lambda w, a, b: (a * np.abs(w).sum() + 0.5 * b * np.linalg.norm(w.ravel()), penalty_loop(w, a, b)[1])},
        "L2 takes the length of w, not its square",
    ),
    (
        "strengths the other way round",
        {"elastic_net": lambda w, a, b: penalty_loop(w, b, a)},
        "lambda1 and lambda2 are exchanged",
    ),
    (
        "a step instead of a gradient",
        {"elastic_net": lambda w, a, b: (penalty_loop(w, a, b)[0], -a * np.sign(w) - b * w)},
        "dw has the wrong sign",
    ),
    (
        "|w| for its derivative",
        {"elastic_net": lambda w, a, b: (penalty_loop(w, a, b)[0], np.maximum(w, -w) * a + b * w)},
        "dw has |w| where its derivative belongs",
    ),
    ("w / sqrt(w^2)", {"elastic_net": penalty_nan}, "dw is NaN where a weight is 0"),
    ("two cases only", {"elastic_net": penalty_signs_by_where}, "The derivative of |w| is taken for 1 where a weight is 0"),
    (
        "two cases, the other way",
        {"elastic_net": lambda w, a, b: (penalty_loop(w, a, b)[0], b * w + np.where(w > 0, a, -a))},
        "The derivative of |w| is taken for -1 where a weight is 0",
    ),
    ("in place", {"elastic_net": penalty_in_place}, "An argument is changed"),
    ("R only", {"elastic_net": lambda w, a, b: penalty_loop(w, a, b)[0]}, "Not as many results as asked for"),
    (
        "R entry by entry",
        {"elastic_net": lambda w, a, b: (a * np.abs(w) + b / 2 * w**2, a * np.sign(w) + b * w)},
        "An array came where a number belongs",
    ),
]
RIGHT[1] = [
    ("a loop over all weights", {"elastic_net": penalty_loop}),
    ("einsum and norms, a list", {"elastic_net": penalty_einsum}),
    ("masks", {"elastic_net": penalty_masks}),
    ("L1 and L2 apart, arrays without axes", {"elastic_net": penalty_two_terms}),
]

# ---- 2: max norm


def project_loop(w, c):
    new = np.array(w)
    for f in range(len(w)):
        length = math.sqrt(sum(value * value for value in w[f].flat))
        if length > c:
            new[f] = w[f] * c / length
    return new


def project_norm(w, c):
    flat = w.reshape(w.shape[0], -1)
    lengths = np.linalg.norm(flat, axis=1, keepdims=True)
    with np.errstate(divide="ignore"):
        return (flat * np.minimum(1, c / lengths)).reshape(w.shape)


def project_einsum(w, c):
    flat = w.reshape(len(w), -1)
    squares = np.einsum("fd,fd->f", flat, flat)
    factor = np.where(squares > c**2, c / np.sqrt(squares + 1e-300), 1)
    return np.einsum("f,f...->f...", factor, w)


def project_list(w, c):
    return np.stack([u * (c / n if (n := np.sqrt(np.vdot(u, u))) > c else 1.0) for u in w])


def project_epsilon(w, c):
    lengths = np.sqrt(np.sum(w**2, axis=tuple(range(1, w.ndim)), keepdims=True))
    return w * np.clip(lengths, 0, c) / (lengths + 1e-12)


def project_transposed_axes(w, c):
    lengths = np.linalg.norm(w.reshape(w.shape[0], -1), axis=0)
    factor = (c / np.maximum(lengths, c)).reshape(1, *w.shape[1:])
    return w * factor


def project_per_channel(w, c):
    if w.ndim == 2:
        return project_loop(w, c)
    return np.stack([project_loop(unit, c) for unit in w])


def project_in_place(w, c):
    for unit in w:
        unit *= min(1.0, c / np.linalg.norm(unit.ravel())) if unit.any() else 1.0
    return w


WRONG[2] = [
    (
        "norm of the array",
        {"max_norm": lambda w, c: w * min(1.0, c / np.linalg.norm(w.ravel()))},
        "The length of all weights together decides",
    ),
    ("norms of columns", {"max_norm": project_transposed_axes}, "Lengths are taken along the first axis, across the units"),
    ("channel by channel", {"max_norm": project_per_channel}, "Each channel of a filter is scaled by itself"),
    (
        "axis 1",
        {"max_norm": lambda w, c: w * (c / np.maximum(np.linalg.norm(w, axis=1, keepdims=True), c))},
        "Lengths are taken along axis 1 alone",
    ),
    (
        "the last axis",
        {"max_norm": lambda w, c: w * (c / np.maximum(np.linalg.norm(w, axis=-1, keepdims=True), c))},
        "Lengths are taken along the last axis alone",
    ),
    (
        "always to c",
        {"max_norm": lambda w, c: np.stack([u * c / np.linalg.norm(u.ravel()) for u in w])},
        "All units are scaled to length c, the short ones as well",
    ),
    (
        "only the short ones",
        {"max_norm": lambda w, c: np.stack([u * max(1.0, c / np.linalg.norm(u.ravel())) for u in w])},
        "Short units are stretched to c, and long ones left",
    ),
    ("clipped", {"max_norm": lambda w, c: np.minimum(np.maximum(w, -c), c)}, "Every weight is clipped by itself"),
    (
        "squares",
        {"max_norm": lambda w, c: np.stack([u * (c / s if (s := np.vdot(u, u)) > c else 1.0) for u in w])},
        "The root is missing in the length",
    ),
    (
        "c / |w|^2",
        {"max_norm": lambda w, c: np.stack([u * (c / np.vdot(u, u) if np.vdot(u, u) > c * c else 1.0) for u in w])},
        "Long units are divided by the square of their length",
    ),
    (
        "to length 1",
        {"max_norm": lambda w, c: np.stack([u / n if (n := np.linalg.norm(u.ravel())) > c else u for u in w])},
        "Long units are scaled to length 1",
    ),
    (
        "1-norm",
        {"max_norm": lambda w, c: np.stack([u * min(1.0, c / max(np.linalg.norm(u.ravel(), 1), c)) for u in w])},
        "The length is the sum of |w|",
    ),
    (
        "divided by 0",
        {"max_norm": lambda w, c: np.stack([u / (n := np.sqrt((u**2).sum())) * np.minimum(n, c) for u in w])},
        "A unit whose weights are all 0 becomes NaN",
    ),
    ("in place", {"max_norm": project_in_place}, "An argument is changed"),
    ("w itself", {"max_norm": lambda w, c: w}, "The result is an argument, or a view of it"),
    (
        "the longest unit only",
        {"max_norm": lambda w, c: np.stack([*project_loop(w[:1], c), *w[1:]])},
        "Only the first unit is scaled back",
    ),
    ("a little too long", {"max_norm": lambda w, c: project_loop(w, 1.001 * c)}, None),
]
RIGHT[2] = [
    ("unit by unit", {"max_norm": project_loop}),
    ("norms of rows, infinity for 0", {"max_norm": project_norm}),
    ("einsum", {"max_norm": project_einsum}),
    ("a stack", {"max_norm": project_list}),
    ("a tiny number in the denominator", {"max_norm": project_epsilon}),
]

# ---- 3: dropout


class FixedNumbers:
    """In place of a generator: gives the numbers that it was made with."""

    def __init__(self, u):
        self.u = u

    def random(self, shape, dtype=None):
        return self.u


def by_layer(kind, backward=False):
    def call(values, p, u, training):
        layer = kind(p, rng=0)
        layer.rng = FixedNumbers(u)
        layer.train() if training else layer.eval(backward=True)
        y = layer.forward(values)
        return np.array(layer.backward(values) if backward else y)

    return call


def drop_loop(x, p, u, training):
    y = np.array(x)
    for i in np.ndindex(x.shape):
        if training:
            y[i] = 0 if u[i] < p else x[i] / (1 - p)
    return y


def drop_masked(x, p, u, training):
    if not training:
        return 1 * x
    scaled = x / (1 - p)
    scaled[u < p] = 0
    return scaled


def drop_where(x, p, u, training):
    return np.where(u >= p, x, 0.0) * np.reciprocal(1.0 - p) if training else np.array(x)


def drop_mask_first(x, p, u, training):
    factor = (1.0 - (u < p)) / (1 - p) if training else np.ones_like(u)
    return factor * x


def vanilla_loop(x, p, u, training):
    y = np.empty_like(x)
    for i in np.ndindex(x.shape):
        y[i] = x[i] * (u[i] >= p if training else 1 - p)
    return y


def vanilla_by_cases(x, p, u, training):
    if training:
        y = x.copy()
        y[u < p] = 0
        return y
    return x - p * x


def slides_forward(x, p, u, training):
    U = (u < p) / p
    return x * U if training else x.copy()


WRONG[3] = [
    ("as on the slides", {"dropout_forward": slides_forward}, "p is taken for the probability of keeping"),
    (
        "mask the wrong way round",
        {"dropout_forward": lambda x, p, u, t: np.where(u < p, x / (1 - p), 0) if t else x.copy()},
        "Units are kept where they should be dropped",
    ),
    ("vanilla", {"dropout_forward": vanilla_by_cases}, "This is vanilla dropout"),
    (
        "no scaling",
        {"dropout_forward": lambda x, p, u, t: np.where(u >= p, x, 0) if t else x + 0},
        "What is kept is not scaled up in training",
    ),
    (
        "divided by p",
        {"dropout_forward": lambda x, p, u, t: np.where(u >= p, x, 0) / p if t else x + 0},
        "What is kept is divided by p",
    ),
    (
        "times 1 - p",
        {"dropout_forward": lambda x, p, u, t: np.where(u < p, 0, x - p * x) if t else x + 0},
        "What is kept is multiplied by 1 - p",
    ),
    (
        "training not looked at",
        {"dropout_forward": lambda x, p, u, t: drop_loop(x, p, u, True)},
        "Units are dropped in inference as well",
    ),
    (
        "scaled on both sides",
        {"dropout_forward": lambda x, p, u, t: drop_loop(x, p, u, True) if t else x - p * x},
        "y is scaled in inference as well",
    ),
    (
        "divided in both modes",
        {"dropout_forward": lambda x, p, u, t: (np.where(u >= p, x, 0) if t else x) / (1 - p)},
        "y is scaled up in inference as well",
    ),
    (
        "modes exchanged",
        {"dropout_forward": lambda x, p, u, t: drop_loop(x, p, u, not t)},
        "Training and inference are exchanged",
    ),
    (
        "u > p",
        {"dropout_forward": lambda x, p, u, t: np.where(u <= p, 0, x) / (1 - p) if t else x.copy()},
        "A unit whose u is just p is dropped",
    ),
    (
        "one mask for the batch",
        {"dropout_forward": lambda x, p, u, t: np.stack([row * (u[0] >= p) / (1 - p) for row in x]) if t else x.copy()},
        "All samples have the mask of the first one",
    ),
    (
        "x itself in inference",
        {"dropout_forward": lambda x, p, u, t: drop_loop(x, p, u, t) if t else x},
        "The result is an argument, or a view of it",
    ),
    ("numbers of its own", {"dropout_forward": lambda x, p, u, t: drop_loop(x, p, np.random.random(x.shape), t)}, None),
    (
        "only the mask, backward",
        {"dropout_backward": lambda dy, p, u, t: np.where(u < p, 0, dy) if t else dy + 0},
        "dx is not scaled",
    ),
    ("no mask, backward", {"dropout_backward": lambda dy, p, u, t: dy / (1 - p) if t else dy + 0}, "dx has no mask"),
    ("dy handed on", {"dropout_backward": lambda dy, p, u, t: np.array(dy)}, "dx is dy, as if nothing had been dropped"),
    (
        "multiplied, backward",
        {"dropout_backward": lambda dy, p, u, t: np.where(u < p, 0, dy) * (1 - p) if t else dy + 0},
        "dx is multiplied by 1 - p",
    ),
    (
        "the other units, backward",
        {"dropout_backward": lambda dy, p, u, t: np.where(u < p, dy, 0) / (1 - p) if t else dy + 0},
        "dx has its mask the wrong way round",
    ),
    (
        "masked always, backward",
        {"dropout_backward": lambda dy, p, u, t: drop_loop(dy, p, u, True)},
        "dx is masked in inference as well",
    ),
    (
        "scaled twice, backward",
        {"dropout_backward": lambda dy, p, u, t: drop_loop(drop_loop(dy, p, u, t), p, u, t)},
        "dx is scaled twice",
    ),
    (
        "the course's mistake",
        {"vanilla_dropout_forward": lambda x, p, u, t: np.where(u >= p, x, 0) if t else p * x},
        "Inference multiplies by the probability of dropping",
    ),
    (
        "vanilla, unscaled",
        {"vanilla_dropout_forward": lambda x, p, u, t: np.where(u >= p, x, 0) if t else x + 0},
        "Inference does not scale",
    ),
    ("inverted twice", {"vanilla_dropout_forward": drop_loop}, "This is inverted dropout"),
    (
        "vanilla and inverted",
        {"vanilla_dropout_forward": lambda x, p, u, t: drop_loop(x, p, u, t) * (1 if t else 1 - p)},
        "It is scaled in training and in inference",
    ),
    (
        "vanilla, divided",
        {"vanilla_dropout_forward": lambda x, p, u, t: x * (u >= p) if t else x / (1 - p)},
        "Inference divides by 1 - p",
    ),
    (
        "vanilla, mask the wrong way round",
        {"vanilla_dropout_forward": lambda x, p, u, t: np.where(u < p, x, 0) if t else x - p * x},
        "Vanilla dropout keeps the wrong units",
    ),
    (
        "vanilla, as on the slides",
        {"vanilla_dropout_forward": lambda x, p, u, t: np.where(u < p, x, 0) if t else x * p},
        "p is taken for the probability of keeping, in vanilla dropout",
    ),
    (
        "vanilla, training not looked at",
        {"vanilla_dropout_forward": lambda x, p, u, t: np.where(u < p, 0, x)},
        "Vanilla dropout drops units in inference as well",
    ),
    (
        "vanilla, masked and scaled in inference",
        {"vanilla_dropout_forward": lambda x, p, u, t: np.where(u < p, 0, x) * (1 if t else 1 - p)},
        "Inference multiplies what is kept by 1 - p",
    ),
]
RIGHT[3] = [
    (
        "the engine's layers",
        {
            "dropout_forward": by_layer(Dropout),
            "dropout_backward": by_layer(Dropout, backward=True),
            "vanilla_dropout_forward": by_layer(VanillaDropout),
        },
    ),
    (
        "loops",
        {"dropout_forward": drop_loop, "dropout_backward": drop_loop, "vanilla_dropout_forward": vanilla_loop},
    ),
    (
        "masks set to 0",
        {"dropout_forward": drop_masked, "dropout_backward": drop_masked, "vanilla_dropout_forward": vanilla_by_cases},
    ),
    ("where", {"dropout_forward": drop_where, "dropout_backward": drop_mask_first}),
    ("a factor first", {"dropout_forward": drop_mask_first, "dropout_backward": drop_where}),
]

# ---- 4: crops and flips


def crops_with(corner=None, border="reflect", flip=lambda crop: crop[..., ::-1], generators=None):
    """crop_and_flip in the style of a loop over samples, with something different."""

    def crop_and_flip(x, pad, seeds):
        N, C, H, W = x.shape
        out = np.zeros((N, C, H, W))
        rngs = generators(seeds) if generators else [np.random.default_rng(s) for s in seeds]
        for n, rng in enumerate(rngs):
            picture = np.pad(x[n], [(0, 0), (pad, pad), (pad, pad)], border)
            top, left = corner(rng, pad) if corner else rng.integers(2 * pad + 1, size=2)
            crop = picture[:, top : top + H, left : left + W]
            out[n] = flip(crop) if rng.random() < 0.5 else crop
        return out

    return {"crop_and_flip": crop_and_flip}


def crops_by_index(x, pad, seeds):
    """No padding: rows and columns are looked up where the reflection has them."""
    (H, W), out = x.shape[2:], []
    for picture, seed in zip(x, seeds, strict=True):
        rng = np.random.default_rng(int(seed))
        top = int(rng.integers(0, 2 * pad + 1))
        left = int(rng.integers(0, 2 * pad + 1))
        rows, columns = np.abs(np.arange(H) + top - pad), np.abs(np.arange(W) + left - pad)
        rows, columns = np.where(rows < H, rows, 2 * H - 2 - rows), np.where(columns < W, columns, 2 * W - 2 - columns)
        if rng.random() < 0.5:
            columns = columns[::-1]
        out.append(picture[:, rows][:, :, columns])
    return np.array(out)


def crops_by_views(x, pad, seeds):
    N, _, H, W = x.shape
    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)), "reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (H, W), axis=(2, 3))
    rngs = list(map(np.random.default_rng, seeds))
    corners = np.array([rng.integers(0, 2 * pad + 1, 2) for rng in rngs])
    y = windows[np.arange(N), :, corners[:, 0], corners[:, 1]].copy()
    mirrored = np.array([rng.random() for rng in rngs]) < 0.5
    y[mirrored] = np.flip(y[mirrored], axis=3).copy()
    return y


def crops_bordered_by_hand(x, pad, seeds):
    def widened(a):  # along the last axis
        return np.concatenate([a[..., pad:0:-1], a, a[..., -2 : -2 - pad : -1]], axis=-1) if pad else a

    (H, W), y = x.shape[2:], np.zeros(x.shape)
    padded = widened(widened(x).swapaxes(2, 3)).swapaxes(2, 3)
    for n in range(len(x)):
        rng = np.random.default_rng(seeds[n])
        i, j = rng.integers(0, 2 * pad, 2, endpoint=True)
        y[n] = padded[n, :, i : i + H, j : j + W]
        if rng.random() < 0.5:
            y[n] = np.fliplr(y[n].transpose(1, 2, 0)).transpose(2, 0, 1)
    return y


def mirrored_first(x, pad, seeds):
    out = []
    for n, seed in enumerate(seeds):
        rng = np.random.default_rng(seed)
        top, left = rng.integers(0, 2 * pad + 1, 2)
        picture = np.flip(x[n], 2) if rng.random() < 0.5 else x[n]
        padded = np.pad(picture, ((0, 0), (pad, pad), (pad, pad)), mode="reflect")
        out.append(padded[:, top : top + x.shape[2], left : left + x.shape[3]])
    return np.stack(out)


def mirrored_by_the_other_half(x, pad, seeds):
    y = crops_by_index(x, pad, seeds)
    return np.ascontiguousarray(y[..., ::-1])


def flip_drawn_first(x, pad, seeds):
    y = np.empty_like(x)
    for n in range(len(x)):
        rng = np.random.default_rng(seeds[n])
        flip = rng.random() < 0.5
        top, left = rng.integers(0, 2 * pad + 1, 2)
        crop = np.pad(x[n], ((0, 0), (pad, pad), (pad, pad)), "reflect")[:, top:, left:][:, : x.shape[2], : x.shape[3]]
        y[n] = crop[:, :, ::-1] if flip else crop
    return y


def moved_in_place(x, pad, seeds):
    x[...] = crops_by_index(x, pad, seeds)
    return x


WRONG[4] = [
    (
        "the first seed for all",
        crops_with(generators=lambda seeds: [np.random.default_rng(seeds[0]) for _ in seeds]),
        "All pictures are moved by the first one's numbers",
    ),
    (
        "one generator",
        crops_with(generators=lambda seeds: itertools.repeat(np.random.default_rng(seeds[0]), len(seeds))),
        "All pictures share one generator",
    ),
    ("edge", crops_with(border="edge"), "The border repeats the outermost pixels"),
    ("symmetric", crops_with(border="symmetric"), "The reflection repeats the outermost pixel"),
    ("zeros", crops_with(border="constant"), "The border is zeros"),
    ("wrapped", crops_with(border="wrap"), "The border comes from the other side of the picture"),
    (
        "one place too few",
        crops_with(corner=lambda rng, pad: rng.integers(0, 2 * pad, 2) if pad else (0, 0)),
        "The last place is never drawn",
    ),
    ("upside down", crops_with(flip=lambda crop: np.flip(crop, 1)), "The pictures are turned upside down"),
    ("mirrored before", {"crop_and_flip": mirrored_first}, "The picture is mirrored before the crop is taken"),
    ("not mirrored", crops_with(flip=lambda crop: crop), "The pictures are never mirrored"),
    ("the other half", {"crop_and_flip": mirrored_by_the_other_half}, "Mirrored and not mirrored are exchanged"),
    ("left, top", crops_with(corner=lambda rng, pad: rng.integers(0, 2 * pad + 1, 2)[::-1]), "top and left are exchanged"),
    (
        "one number for both",
        crops_with(corner=lambda rng, pad: [rng.integers(0, 2 * pad + 1)] * 2),
        "top and left are the same number",
    ),
    ("flip first", {"crop_and_flip": flip_drawn_first}, "The flip is drawn before the place"),
    ("in place", {"crop_and_flip": moved_in_place}, "An argument is changed"),
    (
        "turned by 180 degrees",
        crops_with(flip=lambda crop: crop[:, ::-1, ::-1]),
        "Crops are turned by 180 degrees, not mirrored",
    ),
    ("channels turned round", crops_with(flip=lambda crop: crop[::-1]), "The channels are turned round, not the columns"),
    (
        "seeds counted from 0",
        crops_with(generators=lambda seeds: [np.random.default_rng(n) for n in range(len(seeds))]),
        "The numbers of the samples in the batch are taken as seeds",
    ),
]
RIGHT[4] = [
    ("by index", {"crop_and_flip": crops_by_index}),
    ("by views of all windows", {"crop_and_flip": crops_by_views}),
    ("a border by hand", {"crop_and_flip": crops_bordered_by_hand}),
    ("picture by picture", crops_with()),
]

# ---- 5: mixup


def mix_loop(x, y, classes, m, partner):
    mixed, q = np.zeros(x.shape), np.zeros((len(x), classes))
    for n in range(len(x)):
        other = partner[n]
        mixed[n] = m[n] * x[n] + (1 - m[n]) * x[other]
        q[n, y[n]] += m[n]
        q[n, y[other]] += 1 - m[n]
    return mixed, q


def mix_einsum(x, y, classes, m, partner):
    q = (y[:, None] == np.arange(classes)).astype(float)
    return [np.einsum("n,n...->n...", m, a) + np.einsum("n,n...->n...", 1 - m, a[partner]) for a in (x, q)]


def mix_matrix(x, y, classes, m, partner):
    """A matrix of shares, N x N."""
    shares = np.diag(m)
    shares[np.arange(len(m)), partner] += 1 - m
    return np.tensordot(shares, x, 1), shares @ np.eye(classes)[y]


def mix_lerp(x, y, classes, m, partner):
    q = np.zeros((len(y), classes))
    np.put_along_axis(q, y[:, None], 1, axis=1)
    return (
        (x.T + (1 - m) * (x[partner] - x).T).T,
        (q.T + (1 - m) * (q[partner] - q).T).T,
    )


def mix_add_at(x, y, classes, m, partner):
    q = np.zeros((len(y), classes))
    samples = np.arange(len(y))
    np.add.at(q, (np.tile(samples, 2), np.concatenate([y, y[partner]])), np.concatenate([m, 1 - m]))
    return mix_lerp(x, y, classes, m, partner)[0], q


def loss_loop(scores, q):
    loss, dscores = 0.0, np.zeros(scores.shape)
    for n, row in enumerate(scores):
        row = row - max(row)
        log_p = row - math.log(sum(math.exp(s) for s in row))
        loss -= sum(a * b for a, b in zip(q[n], log_p, strict=True)) / len(scores)
        dscores[n] = (np.exp(log_p) - q[n]) / len(scores)
    return loss, dscores


def loss_logaddexp(scores, q):
    log_p = scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)
    return np.float64(-np.mean(np.sum(q * log_p, axis=1))), (np.exp(log_p) - q) / scores.shape[0]


def loss_by_engine(scores, q):
    engine = SoftmaxCrossEntropy()
    return engine.forward(scores, q), engine.backward()


def loss_as_difference(scores, q):
    """log of the sum of exponentials less the mean score."""
    top = scores.max(1, keepdims=True)
    p = np.exp(scores - top)
    total = p.sum(1, keepdims=True)
    loss = np.log(total).sum() - np.einsum("nk,nk->", q, scores - top)
    return np.asarray(loss / len(q)), (p / total - q) / len(q)


def mix_targets(change):
    return {"mixup": lambda x, y, K, m, partner: (mix_loop(x, y, K, m, partner)[0], change(y, K, m, partner))}


def assigned(y, K, m, partner):
    q = np.zeros((len(y), K))
    for n in range(len(y)):
        q[n, y[n]] = m[n]
        q[n, y[partner[n]]] = 1 - m[n]
    return q


def assigned_partner_first(y, K, m, partner):
    q = np.zeros((len(y), K))
    for n in range(len(y)):
        q[n, y[partner[n]]] = 1 - m[n]
        q[n, y[n]] = m[n]
    return q


def loss_changed(loss=1.0, gradient=1.0):
    """Of (N, K): factors of the right loss and gradient."""

    def soft_cross_entropy(scores, q):
        right = loss_loop(scores, q)
        factors = [f(*scores.shape) if callable(f) else f for f in (loss, gradient)]
        return right[0] * factors[0], right[1] * factors[1]

    return {"soft_cross_entropy": soft_cross_entropy}


def loss_hard(scores, q):
    hard = np.zeros_like(q)
    hard[np.arange(len(q)), q.argmax(axis=1)] = 1
    return loss_loop(scores, hard)


def loss_unshifted(scores, q):
    e = np.exp(scores)
    p = e / np.sum(e, axis=1)[:, None]
    return -np.sum(q * np.log(p)) / len(p), (p - q) / len(p)


def loss_log_of_p(scores, q):
    e = np.exp(scores - scores.max(axis=1)[:, None])
    p = e / e.sum(axis=1)[:, None]
    return -np.sum(q * np.log(p)) / len(p), (p - q) / len(p)


def loss_exchanged(scores, q):
    p = softmax(scores)
    return float(-(p * np.log(q)).sum() / len(q)), (p - q) / len(q)


def loss_divergence(scores, q):
    return float(loss_loop(scores, q)[0] + (q * np.log(q)).sum() / len(q)), loss_loop(scores, q)[1]


WRONG[5] = [
    (
        "shares exchanged",
        {"mixup": lambda x, y, K, m, partner: mix_loop(x, y, K, 1 - m, partner)},
        "m and 1 - m are exchanged",
    ),
    (
        "shares of targets exchanged",
        mix_targets(lambda y, K, m, partner: mix_loop(np.zeros((len(y), 1)), y, K, 1 - m, partner)[1]),
        "Pictures and targets are mixed with shares the other way round from each other",
    ),
    ("targets as they were", mix_targets(lambda y, K, m, partner: np.eye(K)[y]), "Targets are not mixed"),
    (
        "the larger share's class",
        mix_targets(lambda y, K, m, partner: np.eye(K)[np.where(m > 0.5, y, y[partner])]),
        "Targets are those of the larger share",
    ),
    ("assigned", mix_targets(assigned), "Where both are of one class, the second share overwrites the first"),
    (
        "assigned, partner first",
        mix_targets(assigned_partner_first),
        "Where both are of one class, the partner's share is overwritten",
    ),
    (
        "one share for all",
        {"mixup": lambda x, y, K, m, partner: mix_loop(x, y, K, np.repeat(m[:1], len(m)), partner)},
        "All samples are mixed with the share of the first",
    ),
    (
        "half and half",
        {"mixup": lambda x, y, K, m, partner: mix_loop(x, y, K, np.full(len(m), 0.5), partner)},
        "All samples are mixed half and half",
    ),
    (
        "the inverse of partner",
        {"mixup": lambda x, y, K, m, partner: mix_loop(x, y, K, m, [list(partner).index(n) for n in range(len(m))])},
        "Samples are mixed with the one whose partner they are",
    ),
    (
        "the batch turned round",
        {"mixup": lambda x, y, K, m, partner: mix_loop(x, y, K, m, np.arange(len(m))[::-1])},
        "Samples are mixed with the batch turned round",
    ),
    ("not at all", {"mixup": lambda x, y, K, m, partner: (x.copy(), np.eye(K)[y])}, "Nothing is mixed"),
    ("class numbers mixed", mix_targets(lambda y, K, m, partner: m * y + (1 - m) * y[partner]), None),
    (
        "one-hot columns",
        mix_targets(lambda y, K, m, partner: mix_loop(np.zeros((len(y), 1)), y, K, m, partner)[1].T.copy()),
        "The result is transposed",
    ),
    (
        "sums",
        loss_changed(lambda N, K: N, lambda N, K: N),
        "Loss and gradient are sums over the samples",
    ),
    ("a sum, of losses only", loss_changed(lambda N, K: N), "The loss is a sum over the samples"),
    ("p - q", loss_changed(1.0, lambda N, K: N), "The gradient is not divided by N"),
    ("mean of all", loss_changed(lambda N, K: 1 / K), "The loss is divided by N K"),
    ("means of all", loss_changed(lambda N, K: 1 / K, lambda N, K: 1 / K), "Loss and gradient are divided by N K"),
    ("a negative loss", loss_changed(-1.0), "The minus sign of the loss is missing"),
    ("q - p", loss_changed(1.0, -1.0), "The gradient has the wrong sign"),
    ("argmax", {"soft_cross_entropy": loss_hard}, "Targets are taken for classes, by their largest probability"),
    ("p log q", {"soft_cross_entropy": loss_exchanged}, "p and q are exchanged in the loss"),
    ("divergence", {"soft_cross_entropy": loss_divergence}, "The entropy of the targets is subtracted"),
    ("no shift", {"soft_cross_entropy": loss_unshifted}, "Scores of 1000 overflow"),
    ("log of 0", {"soft_cross_entropy": loss_log_of_p}, "The logarithm of a p that is 0 is taken"),
    ("base 2", loss_changed(1 / math.log(2)), "The logarithm has base 2"),
    (
        "gradient of the probabilities",
        {"soft_cross_entropy": lambda s, q: (loss_loop(s, q)[0], -q / softmax(s) / len(s))},
        "It is the gradient with respect to the probabilities, not to the scores",
    ),
]
RIGHT[5] = [
    ("loops", {"mixup": mix_loop, "soft_cross_entropy": loss_loop}),
    ("einsum and logaddexp", {"mixup": mix_einsum, "soft_cross_entropy": loss_logaddexp}),
    ("a matrix of shares, the engine's loss", {"mixup": mix_matrix, "soft_cross_entropy": loss_by_engine}),
    ("a step towards the partner", {"mixup": mix_lerp, "soft_cross_entropy": loss_as_difference}),
    ("add.at", {"mixup": mix_add_at}),
]

# ---- 6: an exponential average


def d_of(decay, t):
    return decay if decay < t / (t + 10) else t / (t + 10)


def average_moves(average, w, decay, t):
    return average + (w - average) * max(1 - decay, 10 / (t + 10))


def average_entry_by_entry(average, w, decay, t):
    new, d = np.empty(w.shape), np.minimum(decay, t / (10 + t))
    for i in np.ndindex(w.shape):
        new[i] = average[i] * d + w[i] - w[i] * d
    return new


def average_einsum(average, w, decay, t):
    d = d_of(decay, t)
    return np.tensordot([d, 1 - d], np.stack([average, w]), 1)


def shares_by_products(decay, steps):
    d = np.minimum(decay, np.arange(1, steps + 1) / np.arange(11, steps + 11))
    after = np.append(np.cumprod(d[::-1])[::-1], 1.0)  # the product of d[t] and all behind it
    return np.concatenate([after[:1], (1 - d) * after[1:]])


def shares_by_averaging(decay, steps):
    """The average of the unit vectors is the shares."""
    eye = np.eye(steps + 1)
    average = eye[0]
    for t in range(1, steps + 1):
        average = average_moves(average, eye[t], decay, t)
    return average


def shares_backwards(decay, steps):
    shares, left = [], 1.0
    for t in range(steps, 0, -1):
        shares.append(left * (1 - d_of(decay, t)))
        left *= d_of(decay, t)
    return np.array([*shares, left])[::-1].copy()


def shares_in_loops(decay, steps):
    shares = np.zeros(steps + 1)
    for t in range(steps + 1):
        shares[t] = 1 if t == 0 else 1 - d_of(decay, t)
        for s in range(t + 1, steps + 1):
            shares[t] *= d_of(decay, s)
    return shares


def average_by(d):
    return {"update_average": lambda average, w, decay, t: w + (average - w) * d(decay, t)}


def shares_by(first, share):
    """share(d, t) of step t = 1, 2, ..., d[t - 1] being its d."""

    def shares_in_average(decay, steps):
        d = [d_of(decay, t) for t in range(1, steps + 1)]
        return np.array([first(d)] + [share(d, t) for t in range(1, steps + 1)])

    return {"shares_in_average": shares_in_average}


def average_in_place(average, w, decay, t):
    average *= d_of(decay, t)
    average += (1 - d_of(decay, t)) * w
    return average


def constant_shares(decay, steps):
    return np.array([decay**steps, *((1 - decay) * decay ** (steps - t) for t in range(1, steps + 1))])


WRONG[6] = [
    ("mostly new", average_by(lambda decay, t: 1 - d_of(decay, t)), "d and 1 - d are exchanged"),
    ("constant", average_by(lambda decay, t: decay), "The decay is the same from the first step on"),
    ("max", average_by(lambda decay, t: max(decay, t / (t + 10))), "It is the larger of the two, not the smaller"),
    ("no limit", average_by(lambda decay, t: t / (t + 10)), "d is t / (t + 10), without a limit"),
    ("TensorFlow's", average_by(lambda decay, t: min(decay, (t + 1) / (t + 10))), "d is (1 + t) / (10 + t)"),
    ("from step 0", average_by(lambda decay, t: d_of(decay, t - 1)), "Steps are counted from 0"),
    ("running mean", {"update_average": lambda a, w, decay, t: a + (w - a) / t}, "It is the plain mean of all weights"),
    (
        "grows",
        {"update_average": lambda a, w, decay, t: a * d_of(decay, t) + w},
        "The new weights are added with their full size",
    ),
    ("in place", {"update_average": average_in_place}, "An argument is changed"),
    ("half of each", {"update_average": lambda a, w, decay, t: (a + w) / 2}, "d_t is always one half"),
    ("the new weights", {"update_average": lambda a, w, decay, t: w.copy()}, "The average is the new weights alone"),
    (
        "no share of the start",
        {"shares_in_average": lambda decay, steps: shares_backwards(decay, steps)[1:].copy()},
        "The weights from before training have no share",
    ),
    (
        "newest first",
        {"shares_in_average": lambda decay, steps: shares_in_loops(decay, steps)[::-1].copy()},
        "The shares are in the order of the newest first",
    ),
    ("constant decay", {"shares_in_average": constant_shares}, "The decay is the same in all steps, in the shares"),
    (
        "its own d as well",
        shares_by(math.prod, lambda d, t: (1 - d[t - 1]) * math.prod(d[t - 1 :])),
        "A step's share is multiplied by its own d as well",
    ),
    (
        "the steps before",
        shares_by(math.prod, lambda d, t: (1 - d[t - 1]) * math.prod(d[: t - 1])),
        "A step's share is multiplied by the d of the steps before it",
    ),
    ("no fading", shares_by(math.prod, lambda d, t: 1 - d[t - 1]), "Steps do not fade"),
    (
        "a power of d",
        shares_by(math.prod, lambda d, t: (1 - d[t - 1]) * d[t - 1] ** (len(d) - t)),
        "d_t is raised to the power of the steps since",
    ),
    (
        "what is not left",
        shares_by(lambda d: 1 - math.prod(d), lambda d, t: (1 - d[t - 1]) * math.prod(d[t:])),
        "The weights from before training have a share of 1 - the others' products",
    ),
    ("made to sum to 1", shares_by(lambda d: 0.0, lambda d, t: (1 - d[t - 1]) * math.prod(d[t:]) / (1 - math.prod(d))), None),
    ("equal shares", shares_by(lambda d: 1 / (len(d) + 1), lambda d, t: 1 / (len(d) + 1)), "All weights have equal shares"),
]
RIGHT[6] = [
    ("a step towards w; running products", {"update_average": average_moves, "shares_in_average": shares_by_products}),
    ("entry by entry; unit vectors", {"update_average": average_entry_by_entry, "shares_in_average": shares_by_averaging}),
    ("tensordot; backwards", {"update_average": average_einsum, "shares_in_average": shares_backwards}),
    ("loops", {"shares_in_average": shares_in_loops}),
]

# ---- 7: an ensemble


def own_softmax(s):
    e = np.exp(s - np.max(s, axis=-1)[..., None])
    return e / np.sum(e, axis=-1)[..., None]


def probabilities_loop(scores):
    M, N, K = scores.shape
    p = np.zeros((N, K))
    for m in range(M):
        for n in range(N):
            largest = max(scores[m, n])
            e = [math.exp(s - largest) for s in scores[m, n]]
            p[n] += np.array(e) / sum(e) / M
    return p


def probabilities_einsum(scores):
    log_p = scores - np.logaddexp.reduce(scores, axis=2, keepdims=True)
    return np.einsum("mnk->nk", np.exp(log_p)) / len(scores)


def probabilities_running(scores):
    p = own_softmax(scores[0])
    for m in range(1, len(scores)):
        p = p + (own_softmax(scores[m]) - p) / (m + 1)
    return p


def scores_loop(scores):
    mean = np.zeros(scores.shape[1:])
    for of_model in scores:
        mean += of_model / len(scores)
    return own_softmax(mean)


def scores_geometric(scores):
    """The geometric mean of the probabilities, divided by its sum, in logarithms."""
    log_p = scores - np.logaddexp.reduce(scores, axis=2, keepdims=True)
    log_mean = log_p.sum(axis=0) / len(scores)
    return np.exp(log_mean - np.logaddexp.reduce(log_mean, axis=1, keepdims=True))


def scores_by_differences(scores):
    """p_k = 1 / sum over j of exp(s_j - s_k)."""
    mean = scores.mean(0)
    with np.errstate(over="ignore"):
        return 1 / np.exp(mean[:, None, :] - mean[:, :, None]).sum(axis=2)


def raw_softmax(s):
    e = np.exp(s)
    return e / e.sum(-1)[..., None]


def product_of_probabilities(scores):
    p = np.ones(scores.shape[1:])
    for of_model in scores:
        p = p * own_softmax(of_model) ** (1 / len(scores))
    return p


def over_models(scores):
    e = np.exp(scores - scores.max(axis=0))
    return (e / e.sum(axis=0)).mean(axis=0)


def over_samples(scores):
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    return (e / e.sum(axis=1, keepdims=True)).mean(axis=0)


def over_everything(scores):
    e = np.exp(scores - scores.max(axis=(1, 2), keepdims=True))
    return (e / e.sum(axis=(1, 2), keepdims=True)).mean(axis=0)


def vote(scores):
    p = np.zeros(scores.shape[1:])
    for of_model in scores:
        for n, row in enumerate(of_model):
            p[n, np.argmax(row)] += 1 / len(scores)
    return p


def shifted_by_all(scores):
    e = np.exp(scores - np.max(scores))
    return np.mean(e / e.sum(axis=2, keepdims=True), axis=0)


WRONG[7] = [
    ("mean first", {"mean_of_probabilities": scores_loop}, "Scores are averaged where probabilities should be"),
    ("softmax over models", {"mean_of_probabilities": over_models}, "Softmax runs over the models"),
    ("softmax over samples", {"mean_of_probabilities": over_samples}, "Softmax runs over the samples"),
    (
        "softmax over everything",
        {"mean_of_probabilities": over_everything},
        "Softmax runs over all numbers of a model together",
    ),
    ("mean over samples", {"mean_of_probabilities": lambda s: own_softmax(s).mean(1)}, "The mean runs over the samples"),
    ("sum", {"mean_of_probabilities": lambda s: sum(map(own_softmax, s))}, "The probabilities are added up"),
    ("vote", {"mean_of_probabilities": vote}, "The models vote"),
    ("product", {"mean_of_probabilities": product_of_probabilities}, "The probabilities are multiplied"),
    ("the first", {"mean_of_probabilities": lambda s: own_softmax(s[0])}, "Only the first model is asked"),
    (
        "no shift",
        {"mean_of_probabilities": lambda s: raw_softmax(s).mean(0)},
        "Scores of 1000 overflow, in the mean of probabilities",
    ),
    ("one shift", {"mean_of_probabilities": shifted_by_all}, "The largest score of all is subtracted everywhere"),
    ("the last", {"mean_of_probabilities": lambda s: own_softmax(s[-1])}, "Only the last model is asked"),
    ("classes", {"mean_of_probabilities": lambda s: own_softmax(s).mean(0).argmax(1)}, None),
    (
        "the largest",
        {"mean_of_probabilities": lambda s: own_softmax(s).max(0)},
        "The largest probability of the models is taken, not the mean",
    ),
    ("softmax first", {"mean_of_scores": probabilities_loop}, "Probabilities are averaged where scores should be"),
    ("no softmax", {"mean_of_scores": lambda s: np.sum(s, 0) / len(s)}, "The softmax of the mean score is missing"),
    ("sum of scores", {"mean_of_scores": lambda s: own_softmax(np.sum(s, 0))}, "The scores are added up, not averaged"),
    ("geometric", {"mean_of_scores": product_of_probabilities}, "The geometric mean is not divided by its sum"),
    (
        "softmax twice",
        {"mean_of_scores": lambda s: own_softmax(probabilities_loop(s))},
        "Softmax is taken a second time, of probabilities",
    ),
    (
        "softmax over samples, of the mean",
        {"mean_of_scores": lambda s: own_softmax(s.mean(0).T).T.copy()},
        "Softmax of the mean score runs over the samples",
    ),
    (
        "no shift of the mean",
        {"mean_of_scores": lambda s: raw_softmax(s.mean(0))},
        "Scores of 1000 overflow, in the mean of scores",
    ),
    (
        "median",
        {"mean_of_scores": lambda s: own_softmax(np.median(s, axis=0))},
        "The median of the scores is taken, not the mean",
    ),
]
RIGHT[7] = [
    ("loops", {"mean_of_probabilities": probabilities_loop, "mean_of_scores": scores_loop}),
    ("logarithms", {"mean_of_probabilities": probabilities_einsum, "mean_of_scores": scores_geometric}),
    ("a running mean", {"mean_of_probabilities": probabilities_running, "mean_of_scores": scores_by_differences}),
    (
        "the engine's softmax",
        {
            "mean_of_probabilities": lambda scores: np.mean([softmax(of_model) for of_model in scores], axis=0),
            "mean_of_scores": lambda scores: softmax(np.average(scores, axis=0)),
        },
    ),
]
