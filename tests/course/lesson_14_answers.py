"""Answers to the tasks of lesson 14: wrong ones as people write them, and right ones written differently from the solution.

``WRONG[task]`` lists (what it does, functions in place of the solution's, title of the slip that should be named or None);
``RIGHT[task]`` (how, functions).
"""

import math

import numpy as np
from numpy.lib.stride_tricks import as_strided, sliding_window_view
from PIL import Image
from scipy import ndimage
from scipy.special import softmax

WRONG, RIGHT = {}, {}
VIEW, COUNT = "The result is an argument, or a view of it", "Not as many results as asked for"

# ---- 1: filters


def filters_loop(w, volume, order):
    C, H, W = volume
    filters = np.zeros((len(w), C, H, W))
    for f in range(len(w)):
        d = 0
        if order == "CHW":
            for c in range(C):
                for i in range(H):
                    for j in range(W):
                        filters[f, c, i, j] = w[f, d]
                        d += 1
        else:
            for i in range(H):
                for j in range(W):
                    for c in range(C):
                        filters[f, c, i, j] = w[f, d]
                        d += 1
    return filters


def filters_einsum(w, volume, order):
    C, H, W = volume
    if order == "CHW":
        return np.array(w).reshape(w.shape[0], *volume)
    return np.einsum("fijc->fcij", w.reshape(len(w), H, W, C)) + 0


def filters_by_numbers(w, volume, order):
    C, H, W = volume
    c, i, j = np.indices(volume)
    return w[:, (c * H + i) * W + j if order == "CHW" else (i * W + j) * C + c]


def filters_moved(w, volume, order):
    if order == "HWC":
        return np.moveaxis(w.reshape(-1, volume[1], volume[2], volume[0]), 3, 1).copy()
    return np.copy(w).reshape((-1, *volume))


def filters_unit_by_unit(w, volume, order):
    C, H, W = volume
    if order == "CHW":
        return [row.reshape(volume).tolist() for row in w]
    return [np.dstack([np.zeros((H, W, 0)), row.reshape(H, W, C)]).transpose(2, 0, 1).tolist() for row in w]


def of_order(first, last):
    """Two ways to reshape, for channels first and last; copied, so that no view comes back."""
    return {"linear_to_conv": lambda w, v, order: np.array((first if order == "CHW" else last)(w, *v))}


def chw(w, C, H, W):
    return w.reshape(len(w), C, H, W)


def hwc(w, C, H, W):
    return np.rollaxis(w.reshape(len(w), H, W, C), 3, 1)


def head_loop(head, volume, order, *, first=filters_loop, upper=lambda w: w.reshape(*w.shape, 1, 1), bias=np.copy):
    convs = []
    for w, b in head:
        convs.append((first(w, volume, order) if not convs else np.array(upper(w)), bias(b)))
    return convs


def head_with(**options):
    return {"head_to_convs": lambda head, volume, order: head_loop(head, volume, order, **options)}


def head_then(change):
    return {"head_to_convs": lambda head, volume, order: change(head_loop(head, volume, order, first=filters_moved))}


def head_by_volumes(head, volume, order):
    """The shape of what each layer stands on is carried along."""
    convs = ()
    for w, b in head:
        convs += ([filters_by_numbers(w, volume, order), list(b)],)
        volume, order = (len(w), 1, 1), "CHW"
    return convs


def head_expanded(head, volume, order):
    lowest = filters_einsum(head[0][0], volume, order)
    return [(lowest, head[0][1].copy())] + [(np.expand_dims(w, (2, 3)).copy(), b + 0) for w, b in head[1:]]


def head_all_on_the_volume(head, volume, order):
    return [(filters_einsum(w, volume, order), b.copy()) for w, b in head]


def biases_over_places(head, volume, order):
    places = volume[1] * volume[2]
    return head_loop(head, volume, order, bias=lambda b: b / places)


def spread_over_the_kernel(head, volume, order):
    convs = head_loop(head, volume, order)
    return [convs[0]] + [(w * np.ones((1, 1, volume[1], volume[2])), b) for w, b in convs[1:]]


WRONG[1] = [
    ("order not looked at", of_order(chw, chw), "All weights are read as channels first"),
    (
        "order not looked at, Keras",
        {"linear_to_conv": lambda w, v, order: filters_loop(w, v, "HWC")},
        "All weights are read as channels last",
    ),
    ("if the wrong way round", of_order(hwc, chw), "The two orders are exchanged"),
    (
        "compares with lower case",
        {"linear_to_conv": lambda w, v, order: filters_by_numbers(w, v, "CHW" if order == "chw" else "HWC")},
        "All weights are read as channels last",
    ),
    (
        "W and H the wrong way round, channels last",
        of_order(chw, lambda w, C, H, W: w.reshape(-1, W, H, C).swapaxes(1, 3)),
        "Rows and columns are exchanged in the filters of channels last",
    ),
    (
        "W and H the wrong way round, channels first",
        of_order(lambda w, C, H, W: w.reshape(-1, C, W, H).swapaxes(2, 3), hwc),
        "Rows and columns are exchanged in the filters of channels first",
    ),
    (
        "columns first throughout",
        {
            "linear_to_conv": lambda w, v, order: np.swapaxes(filters_by_numbers(w, (v[0], v[2], v[1]), order), 2, 3).copy(),
        },
        "Rows and columns are exchanged in the filters of both orders",
    ),
    (
        "reshaped only",
        of_order(chw, lambda w, C, H, W: w.reshape(-1, H, W, C)),
        "The filters of channels last keep their channels in the last axis",
    ),
    (
        "transpose(0, 2, 3, 1)",
        of_order(chw, lambda w, C, H, W: w.reshape(-1, H, W, C).transpose(0, 2, 3, 1)),
        "The axes of channels last are turned the wrong way: C stands where H was",
    ),
    (
        "swapaxes(1, 3)",
        of_order(chw, lambda w, C, H, W: w.reshape(-1, H, W, C).swapaxes(1, 3)),
        "The axes of channels last come out as (F, C, W, H)",
    ),
    (
        "reshaped, then turned",
        of_order(chw, lambda w, C, H, W: np.moveaxis(w.reshape(-1, C, H, W), 1, -1)),
        "The weights of channels last are reshaped to (F, C, H, W) first, and turned afterwards",
    ),
    (
        "permuted like pictures",
        of_order(chw, lambda w, C, H, W: w.reshape(-1, C, H, W).transpose(0, 2, 3, 1).reshape(-1, C, H, W)),
        "The weights of channels last are turned as if they had to become channels last, and reshaped",
    ),
    (
        "flipped like a mathematician",
        {"linear_to_conv": lambda w, v, order: np.flip(filters_loop(w, v, order), (2, 3)).copy()},
        "The filters are flipped",
    ),
    (
        "(D, F), as Keras has it",
        of_order(
            lambda w, C, H, W: w.reshape(C, H, W, -1).transpose(3, 0, 1, 2),
            lambda w, C, H, W: w.reshape(H, W, C, -1).transpose(3, 2, 0, 1),
        ),
        "A column of w is taken for a unit",
    ),
    (
        "HWIO",
        {"linear_to_conv": lambda w, v, order: np.transpose(filters_loop(w, v, order), (2, 3, 1, 0)).copy()},
        "The filters are laid out as TensorFlow has them, (H, W, C, F)",
    ),
    (
        "averaged",
        {"linear_to_conv": lambda w, v, order: filters_einsum(w, v, order) / np.prod(v[1:])},
        "The weights are divided by the number of places",
    ),
    ("a view", {"linear_to_conv": lambda w, v, order: chw(w, *v) if order == "CHW" else hwc(w, *v)}, VIEW),
    (
        "upper layers reshaped to their own shape",
        head_with(upper=lambda w: w),
        "The upper layers of the head are left as matrices",
    ),
    ("fc6 only", head_then(lambda convs: [convs[0]]), "Only the first layer of the head is there"),
    (
        "inserted in front",
        head_then(lambda convs: list(reversed(convs))),
        "The layers of the head come from top to bottom",
    ),
    (
        "transposed above",
        head_with(upper=lambda w: np.expand_dims(w.T, (-1, -2))),
        "The filters of the upper layers have inputs and outputs exchanged",
    ),
    (
        "new axes in front",
        head_with(upper=lambda w: w.reshape(1, 1, *w.shape)),
        "The axes of length 1 stand in front in the upper layers",
    ),
    (
        "HWIO above",
        head_with(upper=lambda w: w.transpose()[np.newaxis, np.newaxis]),
        "The upper layers are laid out as TensorFlow has them, (1, 1, D, F)",
    ),
    (
        "a large kernel above, too",
        {"head_to_convs": spread_over_the_kernel},
        "The upper layers have filters of H x W too",
    ),
    (
        "head of channels first",
        head_with(first=lambda w, v, order: w.copy().reshape(-1, *v)),
        "The first layer of the head is read as channels first, whatever the order is",
    ),
    (
        "head of channels last",
        head_with(first=lambda w, v, order: filters_moved(w, v, "HWC")),
        "The first layer of the head is read as channels last, whatever the order is",
    ),
    ("no biases", head_with(bias=np.zeros_like), "The biases are zeros"),
    ("filters alone", head_then(lambda convs: [w for w, _ in convs]), "The biases are left out"),
    (
        "biases as maps",
        head_then(lambda convs: [(w, b.reshape(-1, 1, 1)) for w, b in convs]),
        "The biases have axes of length 1 behind them",
    ),
    ("biases divided", {"head_to_convs": biases_over_places}, "The biases are divided by the number of places"),
    ("b, w", head_then(lambda convs: [(b, w) for w, b in convs]), "Filters and biases have changed places"),
    ("all on the volume", {"head_to_convs": head_all_on_the_volume}, "Every layer of the head is taken to stand on the volume"),
]
RIGHT[1] = [
    ("loops with a counter", {"linear_to_conv": filters_loop, "head_to_convs": head_loop}),
    ("einsum, expand_dims", {"linear_to_conv": filters_einsum, "head_to_convs": head_expanded}),
    ("numbers of the inputs; shapes carried along", {"linear_to_conv": filters_by_numbers, "head_to_convs": head_by_volumes}),
    ("moveaxis", {"linear_to_conv": filters_moved}),
    ("lists, unit by unit", {"linear_to_conv": filters_unit_by_unit}),
]

# ---- 2: sizes and windows


def map_recursive(layers, crop, size):
    def length(n, rest):
        if not rest:
            return n
        (k, s, p), *rest = rest
        return length(math.floor((n + 2 * p - k) / s) + 1, rest)

    def seen(first, last, rest):
        """From a window of the map above down to the picture."""
        if not rest:
            return first, last
        *rest, (k, s, p) = rest
        return seen(first * s - p, last * s - p + k - 1, rest)

    kernel = length(crop, layers)
    first, last = seen(0, kernel - 1, layers)
    return kernel, length(size, layers) - kernel + 1, math.prod(s for _, s, _ in layers), first, last


def map_by_counting(layers, crop, size):
    """The pixels that each element sees, as pairs, one after another."""

    def windows(n):
        ends = [(i, i) for i in range(-200, n + 200)]
        zero, count = 200, n
        for k, s, p in layers:
            starts = range((zero - p) % s, len(ends) - k + 1, s)
            zero, count = starts.index(zero - p), len(range(-p, count + p - k + 1, s))
            ends = [(ends[i][0], ends[i + k - 1][1]) for i in starts]
        return ends[zero : zero + count]

    kernel = len(windows(crop))
    elements = windows(size)
    cells = [(elements[i][0], elements[i + kernel - 1][1]) for i in range(len(elements) - kernel + 1)]
    second = windows(size + 1000)[1][0]
    return [kernel, len(cells), second - elements[0][0], *cells[0]]


def map_numpy(layers, crop, size):
    table = np.array(layers).T
    kernels, strides, pads = table
    below = np.concatenate([[1], np.cumprod(strides)])
    first = -(below[:-1] * pads).sum()
    lengths = np.array([crop, size])
    for k, s, p in table.T:
        lengths = (lengths + 2 * p - k) // s + 1
    reach = (below[:-1] * (kernels - 1)).sum() + below[-1] * (lengths[0] - 1)
    return np.array([lengths[0], lengths[1] - lengths[0] + 1, below[-1], first, first + reach])


def map_with_the_head_as_a_layer(layers, crop, size):
    for k, s, p in layers:
        crop = (crop - k + 2 * p + s) // s
    jump, start, field = 1, 0, 1
    for k, s, p in [*layers, (crop, 1, 0)]:
        size = (size - k + 2 * p + s) // s
        start -= p * jump
        field += (k - 1) * jump
        jump *= s
    return crop, size, jump, start, start + field - 1


def walk(
    layers, crop, size, *, length=None, jump=lambda j, s: j * s, grow=lambda j, k, s: (k - 1) * j, move=lambda p, j, s: p * j
):
    """A student's loop: field and start, with parts that can go wrong."""
    length = length or (lambda n, k, s, p: int((n + 2 * p - k) / s) + 1)
    j, start, field = 1, 0, 1
    for k, s, p in layers:
        crop, size = length(crop, k, s, p), length(size, k, s, p)
        start, field = start - move(p, j, s), field + grow(j, k, s)
        j = jump(j, s)
    field += (crop - 1) * j
    return crop, size - crop + 1, j, start, start + field - 1


def walk_with(**options):
    return {"dense_map": lambda layers, crop, size: walk(layers, crop, size, **options)}


def map_then(change):
    return {"dense_map": lambda layers, crop, size: change(*map_with_the_head_as_a_layer(layers, crop, size))}


def map_knowing(change):
    return {
        "dense_map": lambda layers, crop, size: change(*map_recursive(layers, crop, size), layers, crop, size),
    }


def last_without_padding(layers, crop, size):
    """last is moved by no padding, first is."""
    k, cells, step, first, last = map_numpy(layers, crop, size)
    return k, cells, step, first, last - first


def field_of_the_last_map(layers, crop, size):
    kernel, cells, step, first, last = map_numpy(layers, crop, size)
    return kernel, cells, step, first, last - (kernel - 1) * step


def kernel_by_division(layers, crop, size):
    _, _, step, first, last = field_of_the_last_map(layers, crop, size)
    kernel = int(crop / step)
    for k, s, p in layers:
        size = (size + 2 * p - k) // s + 1
    return kernel, size - kernel + 1, step, first, last + (kernel - 1) * step


def own_stride_first(layers, crop, size):
    j, first, last, kernel = 1, 0, 0, crop
    for k, s, p in layers:
        kernel, size = (kernel + 2 * p - k) // s + 1, (size + 2 * p - k) // s + 1
        j *= s
        first -= p * j
        last += (k - 1 - p) * j
    return kernel, size - kernel + 1, j, first, last + (kernel - 1) * j


WRONG[2] = [
    (
        "fence posts",
        map_then(lambda kernel, cells, *rest: (kernel, cells - 1, *rest)),
        "The 1 is missing in the number of cells",
    ),
    (
        "the last map is the answer",
        map_then(lambda kernel, cells, *rest: (kernel, cells + kernel - 1, *rest)),
        "Each element of the last map is taken for a cell",
    ),
    (
        "the head hops",
        map_then(lambda kernel, cells, *rest: (kernel, (cells + kernel - 1) // kernel, *rest)),
        "The windows of the head lie side by side",
    ),
    (
        "crops that fit",
        map_knowing(lambda k, n, s, a, z, layers, crop, size: (k, len(range(0, size - crop + 1, s)), s, a, z)),
        "The cells are counted as crops that fit into the picture",
    ),
    (
        "crops that fit, fence posts",
        map_knowing(lambda k, n, s, a, z, layers, crop, size: (k, int((size - crop) / s), s, a, z)),
        "The cells are counted as crops that fit into the picture, and one is missing",
    ),
    (
        "windows that fit",
        map_knowing(lambda k, n, s, a, z, layers, crop, size: (k, len(range(0, size - (z - a), s)), s, a, z)),
        "The cells are counted as windows that lie within the picture",
    ),
    (
        "7 = 224 / 32",
        {"dense_map": kernel_by_division},
        "The kernel is taken for the crop divided by the strides",
    ),
    (
        "the head on the whole large map",
        {
            "dense_map": lambda layers, crop, size: map_with_the_head_as_a_layer(layers, size, size),
        },
        "The kernel is that of the large picture",
    ),
    (
        "field of pool5",
        {"dense_map": field_of_the_last_map},
        "The window is that of an element of the last map, not of a cell",
    ),
    (
        "head in pixels",
        {
            "dense_map": lambda layers, crop, size: (
                (m := field_of_the_last_map(layers, crop, size))[0],
                m[1],
                m[2],
                m[3],
                m[4] + m[0] - 1,
            )
        },
        "The head widens the window by a pixel for each element",
    ),
    (
        "head times step",
        map_then(lambda kernel, cells, step, a, z: (kernel, cells, step, a, z + step)),
        "The head widens the window by its whole kernel",
    ),
    (
        "0 to 223",
        map_knowing(lambda k, n, s, a, z, layers, crop, size: [k, n, s, 0, crop - 1]),
        "The window is taken for the crop",
    ),
    (
        "-p to 223 - p",
        map_knowing(lambda k, n, s, a, z, layers, crop, size: [k, n, s, a, a + crop - 1]),
        "The window is as long as the crop, moved by the padding",
    ),
    (
        "clipped",
        map_knowing(lambda k, n, s, a, z, layers, crop, size: [k, n, s, *np.clip([a, z], 0, size - 1).tolist()]),
        "The window is cut off at the edge of the picture",
    ),
    ("padding as a positive number", map_then(lambda k, n, s, a, z: (k, n, s, abs(a), z)), "first has the wrong sign"),
    (
        "size of the field",
        map_then(lambda k, n, s, a, z: (k, n, s, a, z - a + 1)),
        "The length of the window is given in the place of its last pixel",
    ),
    ("half open", map_then(lambda k, n, s, a, z: (k, n, s, a, z + 1)), "last is the first pixel that is not seen any more"),
    ("stride of the last layer", walk_with(jump=lambda j, s: s), "step is the stride of the last layer"),
    ("j += s", walk_with(jump=lambda j, s: j + s), "Strides are added, not multiplied"),
    ("j *= s first", {"dense_map": own_stride_first}, "A layer's own stride widens its window already"),
    (
        "no jump in the field",
        walk_with(grow=lambda j, k, s: k - 1, move=lambda p, j, s: p),
        "The window grows as if no layer below had a stride",
    ),
    ("k * j", walk_with(grow=lambda j, k, s: k * j), "Each layer widens the window by its kernel, not by one less"),
    ("padding in pixels", walk_with(move=lambda p, j, s: p), "Padding is counted in pixels, whatever lies below"),
    ("no padding in the field", walk_with(move=lambda p, j, s: 0), "Padding does not move the window"),
    ("last not moved", {"dense_map": last_without_padding}, "Padding moves the beginning of the window, and not its end"),
    ("steps, not places", walk_with(length=lambda n, k, s, p: (n + 2 * p - k) // s), "The 1 is missing in the size of a map"),
    (
        "one border",
        walk_with(length=lambda n, k, s, p: (n + p - k) // s + 1),
        "Padding counts on one side only in the size of a map",
    ),
    (
        "no border",
        walk_with(length=lambda n, k, s, p: len(range(0, n - k + 1, s))),
        "Padding does not count in the size of a map",
    ),
    (
        "ceil",
        walk_with(length=lambda n, k, s, p: math.ceil((n + 2 * p - k) / s) + 1),
        "The sizes of maps are rounded up",
    ),
    ("n / s", walk_with(length=lambda n, k, s, p: n // s), "The kernel does not count in the size of a map"),
    (
        "from the top down",
        {"dense_map": lambda layers, crop, size: walk(list(reversed(layers)), crop, size)},
        "The layers are gone through from the last to the first",
    ),
    ("four things", map_then(lambda *parts: parts[1:]), COUNT),
]
RIGHT[2] = [
    ("recursion, windows from the top down", {"dense_map": map_recursive}),
    ("counted on lists", {"dense_map": map_by_counting}),
    ("cumulative products, an array", {"dense_map": map_numpy}),
    ("the head as one more layer", {"dense_map": map_with_the_head_as_a_layer}),
    ("field and start", {"dense_map": walk}),
]

# ---- 3: crops, and one answer


def crops_loop(x, crop, step):
    (C, H, W), (h, w) = x.shape, crop
    OH, OW = 1 + (H - h) // step, 1 + (W - w) // step
    crops = np.zeros((OH, OW, C, h, w))
    for i in range(OH):
        for j in range(OW):
            for c in range(C):
                crops[i, j, c] = x[c, i * step : i * step + h, j * step : j * step + w]
    return crops


def crops_of_views(x, crop, step):
    return sliding_window_view(x, crop, axis=(1, 2))[:, ::step, ::step].transpose(1, 2, 0, 3, 4).copy()


def crops_strided(x, crop, step):
    x = np.ascontiguousarray(x)
    (C, H, W), (h, w), (a, b, c) = x.shape, crop, x.strides
    shape = (H - h) // step + 1, (W - w) // step + 1, C, h, w
    return np.array(as_strided(x, shape, (b * step, c * step, a, b, c)))


def crops_by_index(x, crop, step):
    rows = np.arange(0, x.shape[1] - crop[0] + 1, step)[:, None] + np.arange(crop[0])
    columns = np.arange(0, x.shape[2] - crop[1] + 1, step)[:, None] + np.arange(crop[1])
    return x[:, rows[:, None, :, None], columns[None, :, None, :]].transpose(1, 2, 0, 3, 4).copy()


def crops_list(x, crop, step):
    out, top = [], 0
    while top + crop[0] <= x.shape[1]:
        row, left = [], 0
        while left + crop[1] <= x.shape[2]:
            row.append(x[:, top : top + crop[0], left : left + crop[1]].tolist())
            left += step
        out.append(row)
        top += step
    return out


def crops_at(tops, lefts, x, crop):
    """Those that begin at these rows and columns, as a list of lists; zeros beyond the picture."""
    far = 2 * max(crop) + 8
    xp = np.pad(x, ((0, 0), (far, far), (far, far)))
    return np.stack([np.stack([xp[:, t + far : t + far + crop[0], s + far : s + far + crop[1]] for s in lefts]) for t in tops])


def beginning_at(rule):
    """Crops that begin where the rule (side, crop's side, step) says, along both axes."""
    return {
        "crops_of_cells": lambda x, crop, step: crops_at(
            rule(x.shape[1], crop[0], step), rule(x.shape[2], crop[1], step), x, crop
        )
    }


def prediction_loop(maps):
    total = np.zeros(maps[0].shape[0])
    for scores in maps:
        K, OH, OW = scores.shape
        s = [sum(scores[k, i, j] for i in range(OH) for j in range(OW)) / (OH * OW) for k in range(K)]
        e = [math.exp(value - max(s)) for value in s]
        total += np.array(e) / sum(e)
    return total / len(maps)


def prediction_scipy(maps):
    return np.mean([softmax(np.einsum("kij->k", m) / m[0].size) for m in maps], axis=0)


def prediction_logs(maps):
    s = np.array([np.average(m.reshape(len(m), -1), axis=1) for m in maps])
    return np.exp(s - np.logaddexp.reduce(s, axis=1, keepdims=True)).mean(0)


def prediction_matrix(maps):
    s = np.vstack([np.apply_over_axes(np.mean, m, (1, 2)).ravel() for m in maps])
    e = np.exp(s - s.max(1)[:, None])
    return list(np.ones(len(maps)) / len(maps) @ (e / e.sum(1)[:, None]))


def each_map(answer, join=lambda p: np.mean(p, axis=0)):
    return {"dense_prediction": lambda maps: join([answer(m) for m in maps])}


def flat(m):
    return m.reshape(m.shape[0], -1)


def plain_softmax(s):
    return np.exp(s) / np.sum(np.exp(s))


def one_largest(maps):
    s = np.stack([flat(m).mean(1) for m in maps])
    e = np.exp(s - np.max(s))
    return np.mean(e / e.sum(axis=-1)[:, None], axis=0)


def one_sum(maps):
    s = np.stack([flat(m).mean(1) for m in maps])
    return np.mean(softmax(s, axis=None), axis=0)


def weighted(maps):
    """Each map by its number of cells."""
    cells = [m[0].size for m in maps]
    return softmax(sum(n * flat(m).mean(1) for n, m in zip(cells, maps, strict=True)) / sum(cells))


def geometric(maps):
    logs = sum(np.log(softmax(flat(m).mean(1))) for m in maps)
    return softmax(logs)


def counted_votes(maps):
    p = np.zeros(len(maps[0]))
    for m in maps:
        p[np.argmax(m.mean((1, 2)))] += 1 / len(maps)
    return p


WRONG[3] = [
    (
        "range one too short",
        beginning_at(lambda n, k, s: list(range(0, n - k, s))),
        "The last row and the last column of crops are missing",
    ),
    (
        "every window",
        {"crops_of_cells": lambda x, crop, step: crops_of_views(x, crop, 1)},
        "There is a crop at every pixel",
    ),
    (
        "right number, wrong places",
        beginning_at(lambda n, k, s: np.arange((n - k) // s + 1)),
        "As many crops as there are steps, but one pixel apart",
    ),
    ("tiles", beginning_at(lambda n, k, s: [k * i for i in range(n // k)]), "The crops lie side by side"),
    ("over the edge", beginning_at(lambda n, k, s: range(0, n, s)), "Crops hang over the edge, filled with zeros"),
    (
        "ceil",
        beginning_at(lambda n, k, s: s * np.arange(math.ceil((n - k) / s) + 1)),
        "The number of crops is rounded up",
    ),
    (
        "one more at the edge",
        beginning_at(lambda n, k, s: [*range(0, n - k, s), n - k]),
        "One more crop ends with the picture",
    ),
    (
        "linspace",
        beginning_at(lambda n, k, s: np.rint(np.linspace(0, n - k, 1 + (n - k) // s)).astype(int)),
        "The crops are spread evenly from edge to edge",
    ),
    (
        "centred",
        beginning_at(lambda n, k, s: [i - k // 2 for i in range(0, n - k + 1, s)]),
        "The crops lie around the places i * step",
    ),
    (
        "(w, h)",
        {"crops_of_cells": lambda x, crop, step: crops_loop(x, (crop[1], crop[0]), step)},
        "Height and width of the crop are exchanged",
    ),
    (
        "h for both",
        {"crops_of_cells": lambda x, crop, step: crops_list(x, (crop[0], crop[0]), step)},
        "The crops are square",
    ),
    (
        "columns in the outer loop",
        {"crops_of_cells": lambda x, crop, step: crops_by_index(x, crop, step).transpose(1, 0, 2, 3, 4).copy()},
        "The columns of the map come first",
    ),
    (
        "one list",
        {"crops_of_cells": lambda x, crop, step: np.array([c for row in crops_list(x, crop, step) for c in row])},
        "The crops are in one long row",
    ),
    (
        "views as they come",
        {"crops_of_cells": lambda x, crop, step: sliding_window_view(x, crop, (1, 2))[:, ::step, ::step].copy()},
        "The channels come first",
    ),
    (
        "pictures as Pillow has them",
        {"crops_of_cells": lambda x, crop, step: crops_loop(x, crop, step).transpose(0, 1, 3, 4, 2).copy()},
        "The channels come last",
    ),
    (
        "rows in steps",
        {"crops_of_cells": lambda x, crop, step: sliding_window_view(x, (len(x), *crop))[0, ::step].copy()},
        "The step counts along the rows of the map only",
    ),
    (
        "counted from 1",
        beginning_at(lambda n, k, s: [i * s for i in range(1, (n - k) // s + 1)]),
        "The first crop is missing",
    ),
    ("a view", {"crops_of_cells": lambda x, crop, step: sliding_window_view(x, (len(x), *crop))[0, ::step, ::step]}, VIEW),
    (
        "softmax of cells",
        each_map(lambda m: softmax(flat(m), axis=0).mean(1)),
        "Softmax is taken of every cell, and then the mean",
    ),
    (
        "max over cells",
        each_map(lambda m: softmax(np.amax(m, (1, 2)))),
        "The largest score of a map is taken, and not its mean",
    ),
    ("by cells", {"dense_prediction": weighted}, "The cells of all maps are thrown together"),
    (
        "weights by cells",
        {
            "dense_prediction": lambda maps: (
                sum(m[0].size * softmax(m.mean((1, 2))) for m in maps) / sum(m.shape[1] * m.shape[2] for m in maps)
            )
        },
        "A map counts by its number of cells",
    ),
    (
        "softmax of all cells",
        {"dense_prediction": lambda maps: softmax(np.hstack([flat(m) for m in maps]), axis=0).mean(1)},
        "Softmax is taken of every cell, and all of them are thrown together",
    ),
    (
        "softmax at the end",
        each_map(lambda m: flat(m).mean(1), lambda s: softmax(sum(s) / len(s))),
        "The scores are averaged over the maps, too, and softmax comes at the end",
    ),
    ("logs added", {"dense_prediction": geometric}, "The probabilities of the maps are multiplied"),
    ("sums of scores", each_map(lambda m: softmax(flat(m).sum(1))), "The scores are added up over the cells, not averaged"),
    (
        "sums of probabilities",
        each_map(lambda m: softmax(m.mean(1).mean(1)), sum),
        "The probabilities are added up over the maps, not averaged",
    ),
    ("no softmax", each_map(lambda m: m.mean(2).mean(1)), "Scores come back, not probabilities"),
    ("return in the loop", {"dense_prediction": lambda maps: prediction_loop(maps[:1])}, "Only the first map is asked"),
    ("majority", {"dense_prediction": counted_votes}, "The maps vote"),
    ("softmax of the whole table", {"dense_prediction": one_sum}, "Softmax runs over all maps together"),
    (
        "one largest for all",
        {"dense_prediction": one_largest},
        "The largest score of all maps is subtracted everywhere",
    ),
    ("no shift", each_map(lambda m: plain_softmax(flat(m).mean(1))), "Scores of 1000 overflow"),
]
RIGHT[3] = [
    ("loops", {"crops_of_cells": crops_loop, "dense_prediction": prediction_loop}),
    ("views, scipy", {"crops_of_cells": crops_of_views, "dense_prediction": prediction_scipy}),
    ("as_strided, logarithms", {"crops_of_cells": crops_strided, "dense_prediction": prediction_logs}),
    ("indices, matrices, a list", {"crops_of_cells": crops_by_index, "dense_prediction": prediction_matrix}),
    ("lists", {"crops_of_cells": crops_list}),
]

# ---- 4: activation maps


def cam_loop(x, w, b):
    (C, H, W), K = x.shape, len(w)
    M = np.zeros((K, H, W))
    for k in range(K):
        M[k] = b[k]
        for c in range(C):
            M[k] += w[k, c] * x[c]
    return M


def cam_product(x, w, b):
    C, H, W = x.shape
    return (w @ x.reshape(C, H * W) + b.reshape(-1, 1)).reshape(-1, H, W)


def cam_tensordot(x, w, b):
    return np.tensordot(w, x, 1) + np.expand_dims(b, (1, 2))


def cam_with_a_one(x, w, b):
    """The bias as the weight of one more channel, which is 1 everywhere."""
    return np.einsum("kc,cij->kij", np.column_stack([w, b]), np.concatenate([x, np.ones_like(x[:1])]))


def cam_place_by_place(x, w, b):
    return np.stack([np.stack([w.dot(x[:, i, j]) + b for j in range(x.shape[2])], 1) for i in range(x.shape[1])], 1)


def cam_then(change):
    return {"class_activation_maps": lambda x, w, b: change(cam_product(x, w, b), x, w, b)}


def drawn(M):
    return np.array([(m - np.min(m)) / np.ptp(m) if np.ptp(m) else m * np.nan for m in M])


def enlarge_loop(m, size):
    (h, w), (H, W) = m.shape, size
    out = np.zeros(size)
    for r in range(H):
        y = min(max((r + 0.5) * h / H - 0.5, 0), h - 1)
        y0 = int(y)
        y1, t = min(y0 + 1, h - 1), y - y0
        for c in range(W):
            x = min(max((c + 0.5) * w / W - 0.5, 0), w - 1)
            x0 = int(x)
            x1, u = min(x0 + 1, w - 1), x - x0
            out[r, c] = (1 - t) * ((1 - u) * m[y0, x0] + u * m[y0, x1]) + t * ((1 - u) * m[y1, x0] + u * m[y1, x1])
    return out


def middles(n, N):
    return (np.arange(n) + 0.5) * N / n


def enlarge_interp(m, size, places=lambda N: np.arange(N) + 0.5, middles=middles):
    """np.interp along one axis, then along the other; it keeps the outermost value by itself."""
    (h, w), (H, W) = m.shape, size
    tall = np.stack([np.interp(places(H), middles(h, H), column) for column in m.T], axis=1)
    return np.stack([np.interp(places(W), middles(w, W), row) for row in tall])


def enlarge_pillow(m, size):
    picture = Image.fromarray(m.astype(np.float32)).resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(picture, np.float64)


def enlarge_edges(m, size):
    """One row and column more at each edge, so that nothing needs to be limited."""
    padded = np.pad(m, 1, mode="edge")
    at = [(np.arange(N) + 0.5) * n / N + 0.5 for n, N in zip(m.shape, size, strict=True)]
    (y0, x0), (t, u) = (np.floor(a).astype(int) for a in at), (a % 1 for a in at)
    t, (y0, x0) = t[:, None], (y0, x0)
    return (
        padded[np.ix_(y0, x0)] * (1 - t) * (1 - u)
        + padded[np.ix_(y0, x0 + 1)] * (1 - t) * u
        + padded[np.ix_(y0 + 1, x0)] * t * (1 - u)
        + padded[np.ix_(y0 + 1, x0 + 1)] * t * u
    )


def enlarge_hats(m, size):
    """Each value spreads a hat around its middle."""

    def hats(n, N):
        at = np.clip((np.arange(N) + 0.5) * n / N - 0.5, 0, n - 1)
        return np.maximum(0, 1 - np.abs(at[:, None] - np.arange(n)))

    return hats(m.shape[0], size[0]) @ m @ hats(m.shape[1], size[1]).T


def at_places(rule, order=1, mode="nearest"):
    """scipy's interpolation at the places of a rule (N, n)."""

    def enlarge(m, size):
        at = np.meshgrid(*(rule(N, n) for N, n in zip(size, m.shape, strict=True)), indexing="ij")
        return ndimage.map_coordinates(m, at, order=order, mode=mode)

    return {"enlarge": enlarge}


def enlarge_with(between):
    """A student's function for one axis, used for both: between(n, N) -> y0, y1, t."""

    def enlarge(m, size):
        y0, y1, t = between(m.shape[0], size[0])
        x0, x1, u = between(m.shape[1], size[1])
        t, u = np.reshape(t, (-1, 1)), np.asarray(u)
        top = m[y0][:, x0] * (1 - u) + m[y0][:, x1] * u
        bottom = m[y1][:, x0] * (1 - u) + m[y1][:, x1] * u
        return top * (1 - t) + bottom * t

    return {"enlarge": enlarge}


def limited(n, N):
    y = np.minimum(np.maximum((np.arange(N) + 0.5) / N * n - 0.5, 0), n - 1)
    y0 = y.astype(int)
    return y0, np.where(y0 + 1 < n, y0 + 1, n - 1), y - y0


def unlimited_below(n, N):
    """Nothing limits y; floor(-0.25) is -1, which is an index."""
    y = (np.arange(N) + 0.5) / N * n - 0.5
    y0 = np.floor(y).astype(int)
    return y0, (y0 + 1) % n, y - y0


def going_on(n, N):
    y = (np.arange(N) + 0.5) / N * n - 0.5
    y0 = np.array([min(max(int(np.floor(v)), 0), max(n - 2, 0)) for v in y])
    return y0, np.minimum(y0 + 1, n - 1), y - y0


def repeated(m, size):
    (h, w), (H, W) = m.shape, size
    return np.kron(m, np.ones((H // h, W // w)))


def blocks(m, size):
    (h, w), (H, W) = m.shape, size
    return np.array([[m[int(r * h / H + 1e-9), int(c * w / W + 1e-9)] for c in range(W)] for r in range(H)])


def rows_only(m, size):
    y0, y1, t = limited(m.shape[0], size[0])
    rows = m[y0] * (1 - t)[:, None] + m[y1] * t[:, None]
    return rows[:, [int((c + 0.5) * m.shape[1] / size[1]) for c in range(size[1])]]


def zeros_beyond(m, size):
    padded = np.zeros((m.shape[0] + 2, m.shape[1] + 2))
    padded[1:-1, 1:-1] = m
    at = np.meshgrid(*((np.arange(N) + 0.5) * n / N + 0.5 for N, n in zip(size, m.shape, strict=True)), indexing="ij")
    return ndimage.map_coordinates(padded, at, order=1)


WRONG[4] = [
    ("w x only", cam_then(lambda M, x, w, b: np.tensordot(w, x, 1)), "The bias is left out of the maps"),
    (
        "b shared out",
        cam_then(lambda M, x, w, b: M - b[:, None, None] + b[:, None, None] / (M.shape[1] * M.shape[2])),
        "The bias is divided by the number of places",
    ),
    ("shares", cam_then(lambda M, x, w, b: M / M[0].size), "The maps are divided by the number of places"),
    (
        "w x / HW + b",
        cam_then(lambda M, x, w, b: cam_loop(x / x[0].size, w, b)),
        "The parts of the feature maps are divided by the number of places, and the bias is not",
    ),
    (
        "mean over channels",
        {"class_activation_maps": lambda x, w, b: (w[:, :, None, None] * x).mean(axis=1) + b[:, None, None]},
        "The channels are averaged, not added up",
    ),
    ("relu", cam_then(lambda M, x, w, b: M * (M > 0)), "Negative values are cut off"),
    (
        "Grad-CAM",
        cam_then(lambda M, x, w, b: np.clip(np.einsum("kc,cij->kij", w, x), 0, None)),
        "Negative values are cut off, and the bias is left out",
    ),
    ("scaled for drawing", cam_then(lambda M, x, w, b: drawn(M)), "Each map is scaled to 0 to 1"),
    ("probabilities", cam_then(lambda M, x, w, b: softmax(M, axis=0)), "Softmax is taken over the classes at each place"),
    ("scores", {"class_activation_maps": lambda x, w, b: w @ x.mean((1, 2)) + b}, "The scores come back, not maps of them"),
    (
        "|w|",
        {"class_activation_maps": lambda x, w, b: cam_loop(x, np.sqrt(w**2), b)},
        "The sizes of the weights are used, without their signs",
    ),
    (
        "what speaks for it",
        {"class_activation_maps": lambda x, w, b: cam_tensordot(x, np.where(w > 0, w, 0), b)},
        "Channels with negative weights are left out",
    ),
    (
        "x.T",
        {"class_activation_maps": lambda x, w, b: x.transpose(1, 2, 0) @ w.T + b},
        "The classes come last",
    ),
    (
        "x.T.T",
        {"class_activation_maps": lambda x, w, b: np.array((x.T @ w.T + b).transpose(2, 0, 1))},
        "Rows and columns of the maps are exchanged",
    ),
    ("corners", at_places(lambda N, n: np.linspace(0, n - 1, N)), "Corners are laid on corners"),
    (
        "r (h - 1) / (H - 1)",
        {"enlarge": lambda m, size: enlarge_interp(m, size, np.arange, lambda n, N: np.linspace(0, N - 1, n))},
        "Corners are laid on corners",
    ),
    (
        "r (h - 1) / H",
        at_places(lambda N, n: np.linspace(0, n - 1, N, endpoint=False)),
        "y goes in steps of (h - 1) / H from the first corner",
    ),
    ("r h / H", at_places(lambda N, n: np.arange(N) / N * n), "The halves are missing in y"),
    (
        "(r + 1/2) h / H",
        at_places(lambda N, n: middles(N, n)),
        "One half is missing: the middles of the map's rows are at 0, 1, 2",
    ),
    ("order 0", at_places(lambda N, n: middles(N, n) - 0.5, order=0), "The nearest value is taken"),
    ("int(r h / H)", {"enlarge": blocks}, "Values are repeated in blocks"),
    ("kron", {"enlarge": repeated}, "Each value is repeated as often as the map's side goes into the picture's"),
    (
        "t for 1 - t",
        enlarge_with(lambda n, N: (limited(n, N)[1], limited(n, N)[0], limited(n, N)[2])),
        "The two neighbours have exchanged their shares",
    ),
    ("halves", enlarge_with(lambda n, N: (*limited(n, N)[:2], np.full(N, 0.5))), "Both neighbours count one half"),
    (
        "(W, H)",
        {"enlarge": lambda m, size: enlarge_hats(m, (size[1], size[0]))},
        "Height and width of the picture are exchanged",
    ),
    ("one axis", {"enlarge": rows_only}, "Only the rows are interpolated"),
    ("going on", enlarge_with(going_on), "Beyond the outermost middles the line goes on"),
    ("index -1", enlarge_with(unlimited_below), "The edges are mixed with the opposite side of the map"),
    ("zeros beyond", {"enlarge": zeros_beyond}, "The map is surrounded by zeros"),
]
RIGHT[4] = [
    ("loops", {"class_activation_maps": cam_loop, "enlarge": enlarge_loop}),
    ("a matrix product, hats", {"class_activation_maps": cam_product, "enlarge": enlarge_hats}),
    ("tensordot, np.interp", {"class_activation_maps": cam_tensordot, "enlarge": enlarge_interp}),
    ("a channel of ones, Pillow", {"class_activation_maps": cam_with_a_one, "enlarge": enlarge_pillow}),
    ("place by place, edges repeated", {"class_activation_maps": cam_place_by_place, "enlarge": enlarge_edges}),
    ("a function for an axis", enlarge_with(limited)),
]

# ---- 5: costs


def shapes_of(channels, layers, size, out=lambda n, k, s, p: (n + 2 * p - k) // s + 1):
    """(C, H, W) before the first layer and after each."""
    shapes = [(channels, *size)]
    for F, k, s, p in layers:
        C, H, W = shapes[-1]
        shapes.append((F if F else C, out(H, k, s, p), out(W, k, s, p)))
    return shapes


def cost_of_shapes(layers, shapes, each=lambda F, C, k, at: F * C * k**2 * at[1] * at[2]):
    return sum(
        each(F, before[0], k, after) for (F, k, _, _), before, after in zip(layers, shapes[:-1], shapes[1:], strict=True)
    )


def two_passes(channels, layers, head, crop, size):
    small, large = (shapes_of(channels, layers, s) for s in (crop, size))
    upper = sum(a * b for a, b in zip([math.prod(small[-1]), *head], head, strict=False))
    OH, OW = large[-1][1] - small[-1][1] + 1, large[-1][2] - small[-1][2] + 1
    return cost_of_shapes(layers, large) + OH * OW * upper, OH * OW * (cost_of_shapes(layers, small) + upper)


def by_running(channels, layers, head, crop, size):
    """The head as convolutions among the others; then everything is counted the same way."""

    def run(H, W, window):
        C, total = channels, 0
        for F, k, s, p in layers:
            H, W = 1 + (H + 2 * p - k) // s, 1 + (W + 2 * p - k) // s
            if F:
                total += H * W * k * k * C * F
                C = F
        kh, kw = window or (H, W)
        for n, units in enumerate(head):
            if n == 0:
                H, W, inputs = H - kh + 1, W - kw + 1, C * kh * kw
            total += H * W * inputs * units
            inputs = units
        return total, H * W, (kh, kw)

    one, _, window = run(*crop, None)
    dense, cells, _ = run(*size, window)
    return np.int64(dense), cells * one


def by_arrays(channels, layers, head, crop, size):
    sides, C, work = np.array([crop, size]), channels, np.zeros(2, int)
    for F, k, s, p in layers:
        sides = (sides + 2 * p - k) // s + 1
        if F > 0:
            work += sides.prod(axis=1) * F * C * k * k
            C = F
    cells = (sides[1] - sides[0] + 1).prod()
    units = np.array([C * sides[0].prod(), *head])
    upper = (units[1:] * units[:-1]).sum()
    return [work[1] + cells * upper, cells * (work[0] + upper)]


def by_recursion(channels, layers, head, crop, size):
    def below(C, sides, rest):
        if not rest:
            return 0, C, sides
        F, k, s, p = rest[0]
        sides = [(n + 2 * p - k) // s + 1 for n in sides]
        work, *volume = below(F or C, sides, rest[1:])
        return work + F * C * k * k * math.prod(sides), *volume

    def above(inputs, rest):
        return inputs * rest[0] + above(rest[0], rest[1:]) if rest else 0

    of_crop, C, small = below(channels, list(crop), layers)
    of_picture, _, large = below(channels, list(size), layers)
    upper = above(C * math.prod(small), list(head))
    cells = math.prod(b - a + 1 for a, b in zip(small, large, strict=True))
    return of_picture + upper * cells, (of_crop + upper) * cells


def costs_with(out=None, each=None, cells=None, first=math.prod, later=None, join=None):
    """An answer in parts: size of a map, cost of a layer, cells, inputs of the head's layers, and the sum of it all."""

    def answer(channels, layers, head, crop, size):
        options = {"out": out} if out else {}
        small, large = (shapes_of(channels, layers, s, **options) for s in (crop, size))
        costs = [cost_of_shapes(layers, shapes, **({"each": each} if each else {})) for shapes in (small, large)]
        inputs = [first(small[-1]), *head[:-1]]
        if later:
            inputs = [inputs[0], *(later(inputs[0], n) for n in inputs[1:])]
        upper = sum(a * b for a, b in zip(inputs, head, strict=True))
        step = math.prod(s for _, _, s, _ in layers)
        n = cells(small[-1][1:], large[-1][1:], crop, size, step) if cells else None
        n = n if cells else math.prod(b - a + 1 for a, b in zip(small[-1][1:], large[-1][1:], strict=True))
        if join:
            return join(costs[0], costs[1], upper, n)
        return costs[1] + n * upper, n * (costs[0] + upper)

    return {"dense_and_crops": answer}


def per_axis(rule):
    """A number of cells from a rule for one axis: (last map of the crop, of the picture, crop, size, step)."""
    return lambda small, large, crop, size, step: math.prod(
        rule(a, b, c, n, step) for a, b, c, n in zip(small, large, crop, size, strict=True)
    )


def at_the_input(channels, layers, head, crop, size):
    small, large = (shapes_of(channels, layers, s) for s in (crop, size))
    works = []
    for shapes in (small, large):
        works.append(sum(F * C * k * k * H * W for (F, k, _, _), (C, H, W) in zip(layers, shapes[:-1], strict=True)))
    upper = sum(a * b for a, b in zip([math.prod(small[-1]), *head], head, strict=False))
    n = (large[-1][1] - small[-1][1] + 1) * (large[-1][2] - small[-1][2] + 1)
    return works[1] + n * upper, n * (works[0] + upper)


def lost_channels(kept):
    """After a pool the variable of the channels is F, or 1."""

    def answer(channels, layers, head, crop, size):
        def run(sides):
            C, work = channels, 0
            for F, k, s, p in layers:
                sides = [(n + 2 * p - k) // s + 1 for n in sides]
                work += math.prod(sides) * F * C * k * k
                C = kept(F)
            return work, C, sides

        (one, C, small), (dense, _, large) = run(crop), run(size)
        upper, inputs = 0, C * math.prod(small)
        for units in head:
            upper, inputs = upper + inputs * units, units
        n = math.prod(b - a + 1 for a, b in zip(small, large, strict=True))
        return dense + n * upper, n * (one + upper)

    return {"dense_and_crops": answer}


def always_the_picture(channels, layers, head, crop, size):
    def each(F, C, k, after):
        return F * channels * k * k * after[1] * after[2]

    return costs_with(each=each)["dense_and_crops"](channels, layers, head, crop, size)


def with_biases(channels, layers, head, crop, size):
    small, large = (shapes_of(channels, layers, s) for s in (crop, size))

    def each(F, C, k, after):
        return F * (C * k * k + 1) * after[1] * after[2]

    upper = sum((a + 1) * b for a, b in zip([math.prod(small[-1]), *head], head, strict=False))
    n = (large[-1][1] - small[-1][1] + 1) * (large[-1][2] - small[-1][2] + 1)
    return cost_of_shapes(layers, large, each) + n * upper, n * (cost_of_shapes(layers, small, each) + upper)


WRONG[5] = [
    (
        "head once",
        costs_with(join=lambda one, all_, upper, n: (all_ + upper, n * (one + upper))),
        "The head is counted once in the dense pass",
    ),
    (
        "everything for every cell",
        costs_with(join=lambda one, all_, upper, n: (n * (all_ + upper), n * (one + upper))),
        "The layers below the head are counted for every cell in the dense pass",
    ),
    (
        "one crop",
        costs_with(join=lambda one, all_, upper, n: (all_ + n * upper, one + upper)),
        "One crop is counted, not all of them",
    ),
    (
        "convolutions shared by the crops",
        costs_with(join=lambda one, all_, upper, n: (all_ + n * upper, one + n * upper)),
        "The crops share what is below the head",
    ),
    (
        "crops without a head",
        costs_with(join=lambda one, all_, upper, n: (all_ + n * upper, n * one)),
        "The head is left out of the crops",
    ),
    ("convolutions only", costs_with(join=lambda one, all_, upper, n: (all_, n * one)), "The head is left out"),
    (
        "crops first",
        {"dense_and_crops": lambda *case: by_recursion(*case)[::-1]},
        "The two numbers are exchanged",
    ),
    (
        "flops",
        {"dense_and_crops": lambda *case: [2 * n for n in by_arrays(*case)]},
        "Multiplications and additions are counted separately",
    ),
    ("tiles", costs_with(cells=per_axis(lambda a, b, c, n, s: n // c)), "The crops are counted side by side"),
    (
        "the whole last map",
        costs_with(cells=per_axis(lambda a, b, c, n, s: b)),
        "Each element of the last map is taken for a cell",
    ),
    ("at every pixel", costs_with(cells=per_axis(lambda a, b, c, n, s: n - c + 1)), "A cell is counted for every pixel"),
    ("fence posts", costs_with(cells=per_axis(lambda a, b, c, n, s: b - a)), "The 1 is missing in the number of cells"),
    ("the head hops", costs_with(cells=per_axis(lambda a, b, c, n, s: b // a)), "The windows of the head lie side by side"),
    (
        "crops that fit",
        costs_with(cells=per_axis(lambda a, b, c, n, s: len(range(0, n - c + 1, s)))),
        "The cells are counted as crops that fit into the picture",
    ),
    (
        "square",
        costs_with(cells=lambda small, large, crop, size, step: (large[0] - small[0] + 1) ** 2),
        "The map is taken to have as many columns as rows of cells",
    ),
    ("places of the input", {"dense_and_crops": at_the_input}, "A convolution is counted at the places of its input"),
    (
        "k",
        costs_with(each=lambda F, C, k, at: F * C * k * at[1] * at[2]),
        "The kernel counts once, not squared",
    ),
    ("no channels", costs_with(each=lambda F, C, k, at: F * k * k * at[1] * at[2]), "A filter sees one channel only"),
    (
        "channels of the picture",
        {"dense_and_crops": always_the_picture},
        "Every convolution is taken to see the channels of the picture",
    ),
    (
        "pools by window",
        costs_with(each=lambda F, C, k, at: (F * C or C) * k * k * at[1] * at[2]),
        "Pools are counted like convolutions",
    ),
    (
        "pools by channels",
        costs_with(each=lambda F, C, k, at: (F or C) * C * k * k * at[1] * at[2]),
        "Pools are counted like convolutions on all channels",
    ),
    ("C = F", lost_channels(lambda F: F), "After a pool there are no channels left"),
    ("C = max(F, 1)", lost_channels(lambda F: max(F, 1)), "After a pool there is one channel left"),
    ("biases", {"dense_and_crops": with_biases}, "Biases are counted"),
    (
        "averaged before the head",
        costs_with(first=lambda volume: volume[0]),
        "The first layer of the head has one input for each channel only",
    ),
    (
        "h w inputs",
        costs_with(first=lambda volume: volume[1] * volume[2]),
        "The first layer of the head does not see the channels",
    ),
    (
        "all from the volume",
        costs_with(later=lambda lowest, units: lowest),
        "Every layer of the head stands on the volume",
    ),
    (
        "no border",
        costs_with(out=lambda n, k, s, p: (n - k + s) // s),
        "Padding does not count in the size of a map",
    ),
    (
        "one border",
        costs_with(out=lambda n, k, s, p: 1 + (n + p - k) // s),
        "Padding counts on one side only in the size of a map",
    ),
    ("steps", costs_with(out=lambda n, k, s, p: (n + 2 * p - k) // s), "The 1 is missing in the size of a map"),
    ("ceil", costs_with(out=lambda n, k, s, p: math.ceil((n + 2 * p - k) / s) + 1), "The sizes of maps are rounded up"),
    ("a ratio", {"dense_and_crops": lambda *case: two_passes(*case)[1] / two_passes(*case)[0]}, COUNT),
]
RIGHT[5] = [
    ("shapes first", {"dense_and_crops": two_passes}),
    ("the head among the convolutions", {"dense_and_crops": by_running}),
    ("arrays", {"dense_and_crops": by_arrays}),
    ("recursion", {"dense_and_crops": by_recursion}),
    ("in parts", costs_with()),
]
