"""Answers to the exercise of lesson 9: wrong ones as people write them, and right ones written differently from the solution.

``WRONG[task]`` has (title, functions, the slip that it is or None), ``RIGHT[task]`` (title, functions); the functions take the
place of the solution's.
"""

import math

import numpy as np

from minicnn.course import find_lesson
from minicnn.layers import Concat, Conv2d, Linear, MaxPool2d, ReLU, Residual, Sequential

solution = find_lesson("9").solution
WRONG, RIGHT = {}, {}

# ---- task 1: what a convolution costs


def conv_counted(input_shape, out_channels, kernel, stride, pad, groups, bias):
    """Window by window, and weight by weight."""
    C, H, W = input_shape
    rows = range(-pad, H + pad - kernel[0] + 1, stride)
    columns = range(-pad, W + pad - kernel[1] + 1, stride)
    parameters = work = 0
    for f in range(out_channels):
        seen = [c for c in range(C) if c * groups // C == f * groups // out_channels]
        parameters += len(seen) * kernel[0] * kernel[1] + bool(bias)
        work += len(seen) * kernel[0] * kernel[1] * len(rows) * len(columns)
    return [out_channels, len(rows), len(columns)], parameters, work


def conv_group_by_group(input_shape, out_channels, kernel, stride, pad, groups, bias):
    C, H, W = input_shape
    out = [np.floor((n + 2 * pad - k) / stride + 1) for n, k in zip((H, W), kernel, strict=True)]
    one_group = np.prod([C / groups, out_channels / groups, *kernel])
    weights = groups * one_group
    return np.array([out_channels, *out]), weights + out_channels * bias, float(weights * np.prod(out))


def conv_by_engine(input_shape, out_channels, kernel, stride, pad, groups, bias):
    conv = Conv2d(input_shape[0], out_channels, kernel, stride, pad, groups=groups, bias=bias)
    shape = (1, *input_shape)
    return conv.output_shape(shape)[1:], sum(p.value.size for p in conv.parameters().values()), conv.multiply_adds(shape)


def conv_groups_left_out(input_shape, out_channels, kernel, stride, pad, groups, bias):
    C, H, W = input_shape
    OH = (H + 2 * pad - kernel[0]) // stride + 1
    OW = (W + 2 * pad - kernel[1]) // stride + 1
    weights = np.prod((out_channels, C, *kernel))
    return (out_channels, OH, OW), weights + out_channels * bias, weights * OH * OW


def conv_divided_twice(input_shape, out_channels, kernel, stride, pad, groups, bias):
    shape, *_ = solution.conv_cost(input_shape, out_channels, kernel, stride, pad, groups, bias)
    per_group = (out_channels // groups) * (input_shape[0] // groups) * kernel[0] * kernel[1]
    return shape, per_group + bias * out_channels, per_group * shape[1] * shape[2]


def conv_with(change):
    """The right numbers, changed: change(shape, parameters, work, arguments)."""
    return {"conv_cost": lambda *arguments: change(*solution.conv_cost(*arguments), arguments)}


def conv_sized(side):
    """Another size of the output, with the multiply-adds that go with it."""

    def conv_cost(input_shape, out_channels, kernel, stride, pad, groups, bias):
        _, parameters, _ = solution.conv_cost(input_shape, out_channels, kernel, stride, pad, groups, bias)
        OH, OW = (side(n, k, stride, pad) for n, k in zip(input_shape[1:], kernel, strict=True))
        return (out_channels, OH, OW), parameters, (parameters - (out_channels if bias else 0)) * OH * OW

    return {"conv_cost": conv_cost}


def conv_of_one_filter(input_shape, out_channels, kernel, stride, pad, groups, bias):
    shape, _, _ = solution.conv_cost(input_shape, out_channels, kernel, stride, pad, groups, bias)
    weights = input_shape[0] // groups * kernel[0] * kernel[1]
    return shape, weights + (out_channels if bias else 0), weights * shape[1] * shape[2]


def conv_of_one_channel(input_shape, out_channels, kernel, stride, pad, groups, bias):
    shape, _, _ = solution.conv_cost(input_shape, out_channels, kernel, stride, pad, groups, bias)
    weights = out_channels * math.prod(kernel)
    return shape, weights + (out_channels if bias else 0), weights * math.prod(shape[1:])


WRONG[1] = [
    ("groups left out", {"conv_cost": conv_groups_left_out}, "the groups are left out"),
    ("groups twice", {"conv_cost": conv_divided_twice}, "the groups are divided by twice"),
    ("one filter", {"conv_cost": conv_of_one_filter}, "the weights of a single filter are counted"),
    ("one channel", {"conv_cost": conv_of_one_channel}, "a filter is taken to have a single channel"),
    (
        "always a bias",
        {"conv_cost": lambda *a: (lambda s, p, m: (s, p + (0 if a[6] else a[1]), m))(*solution.conv_cost(*a))},
        "the bias is always counted",
    ),
    ("never a bias", conv_with(lambda s, p, m, a: (s, p - a[1] if a[6] else p, m)), "the bias is never counted"),
    ("one bias", conv_with(lambda s, p, m, a: (s, p - a[1] + 1 if a[6] else p, m)), "the bias is counted once"),
    (
        "bias of each channel",
        conv_with(lambda s, p, m, a: (s, p - a[1] + a[0][0] if a[6] else p, m)),
        "there is a bias for each input channel",
    ),
    (
        "biases multiplied",
        conv_with(lambda s, p, m, a: (s, p, p * s[1] * s[2])),
        "the biases are counted among the multiply-adds",
    ),
    (
        "positions of the input",
        conv_with(lambda s, p, m, a: (s, p, m // (s[1] * s[2]) * a[0][1] * a[0][2])),
        "the multiply-adds are counted at the positions of the input",
    ),
    ("FLOPs", conv_with(lambda s, p, m, a: (s, p, m + m)), "a multiply-add is counted as two operations"),
    ("one position", conv_with(lambda s, p, m, a: (s, p, m // s[1] // s[2])), "the multiply-adds are those of one position"),
    (
        "border on one side",
        conv_sized(lambda n, k, stride, pad: 1 + (n + pad - k) // stride),
        "the border is added on one side only",
    ),
    (
        "rounded up",
        conv_sized(lambda n, k, stride, pad: -(-(n + 2 * pad - k) // stride) + 1),
        "the size of the output is rounded up",
    ),
    (
        "one too small",
        conv_sized(lambda n, k, stride, pad: (n + 2 * pad - k) // stride),
        "the size of the output is one too small",
    ),
    (
        "1 inside",
        conv_sized(lambda n, k, stride, pad: (n + 2 * pad - (k - 1)) // stride),
        "the 1 is added before dividing by the stride",
    ),
    (
        "groups multiply",
        conv_with(
            lambda s, p, m, a: (
                s,
                (p - a[1] * a[6]) * a[5] ** 2 + a[1] * a[6],
                m * a[5] ** 2,
            )
        ),
        "the groups multiply instead of dividing",
    ),
    (
        "height and width exchanged",
        conv_with(lambda s, p, m, a: ((s[0], s[2], s[1]), p, m)),
        "the output has width before height",
    ),
    ("channels last", conv_with(lambda s, p, m, a: ((s[1], s[2], s[0]), p, m)), "the channels come last in the output shape"),
    (
        "input channels",
        conv_with(lambda s, p, m, a: ((a[0][0], s[1], s[2]), p, m)),
        "the output has as many channels as the input",
    ),
    ("no shape", conv_with(lambda s, p, m, a: (p, m)), "Not as many results as asked for"),
    ("square filters", conv_with(lambda s, p, m, a: (s, p // a[2][1] * a[2][0], m)), None),
]
RIGHT[1] = [
    ("counted one by one", {"conv_cost": conv_counted}),
    ("group by group, in floats", {"conv_cost": conv_group_by_group}),
    ("asked of the engine", {"conv_cost": conv_by_engine}),
    ("a list", {"conv_cost": lambda *arguments: list(solution.conv_cost(*arguments))}),
]

# ---- task 2: the table of a network


def stack_by_engine(input_shape, layers):
    shape, table = (1, *input_shape), []
    for layer in layers:
        if layer[0] == "fc":
            made, shape = Linear(int(np.prod(shape)), layer[1]), (1, int(np.prod(shape)))
        elif layer[0] == "pool":
            made = MaxPool2d(*layer[1:])
        else:
            made = Conv2d(shape[1], *layer[1:5], groups=layer[5])
        parameters = sum(p.value.size for p in made.parameters().values())
        table.append((made.output_shape(shape)[1:], parameters, made.multiply_adds(shape)))
        shape = made.output_shape(shape)
    totals = np.array([[np.prod(s), p, m] for s, p, m in table]).sum(axis=0)
    return table, totals.tolist()


def stack_recursive(input_shape, layers):
    if not layers:
        return [], (0, 0, 0)
    kind, *n = layers[0]
    if kind == "conv":
        row = solution.conv_cost(input_shape, n[0], (n[1], n[1]), n[2], n[3], n[4], True)
    elif kind == "pool":
        shape, _, _ = solution.conv_cost(input_shape, input_shape[0], (n[0], n[0]), n[1], 0, 1, False)
        row = shape, 0, 0
    else:
        inputs = math.prod(input_shape)
        row = (n[0],), (inputs + 1) * n[0], inputs * n[0]
    table, totals = stack_recursive(row[0], layers[1:])
    own = math.prod(row[0]), row[1], row[2]
    return [row, *table], tuple(a + b for a, b in zip(own, totals, strict=True))


def stack_match(input_shape, layers):
    shape, table, total = input_shape, [], np.zeros(3)
    for layer in layers:
        match layer:
            case ("conv", F, k, s, p, g):
                C, H, W = shape
                shape = [F, 1 + (H + 2 * p - k) // s, 1 + (W + 2 * p - k) // s]
                row = [shape, F * (C // g * k * k + 1), shape[0] * shape[1] * shape[2] * (C // g) * k * k]
            case ("pool", k, s):
                C, H, W = shape
                shape = [C, len(range(0, H - k + 1, s)), len(range(0, W - k + 1, s))]
                row = [shape, 0, 0]
            case ("fc", M):
                D = int(np.prod(shape))
                shape = [M]
                row = [shape, M * D + M, M * D]
        table.append(row)
        total += [np.prod(shape), row[1], row[2]]
    return table, total


def stack_changed(change=lambda before, layer, row: row, totals=None, hand_on=lambda picture, row: row[0]):
    """Row by row of the solution, each changed: change(shape before, layer, row)."""

    def stack_costs(input_shape, layers):
        shape, rows = tuple(input_shape), []
        for layer in layers:
            (row,), _ = solution.stack_costs(shape, [layer])
            rows.append(change(shape, layer, row))
            shape = hand_on(input_shape, rows[-1])
        values = [math.prod(s) for s, _, _ in rows]
        n = sum(values) if totals is None else totals(values, layers, input_shape)
        return rows, (n, sum(p for _, p, _ in rows), sum(m for _, _, m in rows))

    return {"stack_costs": stack_costs}


def of_kind(kind, change):
    return lambda before, layer, row: change(before, layer, row) if layer[0] == kind else row


def fc_of_channels(before, layer, row):
    return row[0], (before[0] + 1) * layer[1], before[0] * layer[1]


def pool_as_conv(before, layer, row):
    k = layer[1]
    weights = before[0] * before[0] * k * k
    return row[0], weights + before[0], weights * math.prod(row[0][1:])


def pool_by_its_size(before, layer, row):
    k = layer[1]
    return (before[0], before[1] // k, before[2] // k), 0, 0


def pool_rounded_up(before, layer, row):
    _, k, s = layer
    return (before[0], *(int(np.ceil((n - k) / s)) + 1 for n in before[1:])), 0, 0


def conv_dense(before, layer, row):
    _, F, k, s, p, _ = layer
    return solution.conv_cost(before, F, (k, k), s, p, 1, True)


WRONG[2] = [
    ("groups left out", stack_changed(of_kind("conv", conv_dense)), "the groups of a convolution are left out"),
    (
        "convolutions without biases",
        stack_changed(of_kind("conv", lambda before, layer, row: (row[0], row[1] - row[0][0], row[2]))),
        "the biases of convolutions are left out",
    ),
    (
        "fully connected without biases",
        stack_changed(of_kind("fc", lambda before, layer, row: (row[0], row[2], row[2]))),
        "the biases of fully connected layers are left out",
    ),
    ("channels only", stack_changed(of_kind("fc", fc_of_channels)), "an fc is connected to the channels only"),
    (
        "fc: parameters for multiply-adds",
        stack_changed(of_kind("fc", lambda before, layer, row: (row[0], row[1], row[1]))),
        "the biases of an fc are counted among its multiply-adds",
    ),
    ("pools with weights", stack_changed(of_kind("pool", pool_as_conv)), "a pool is given weights, like a convolution"),
    (
        "pools that compute",
        stack_changed(of_kind("pool", lambda before, layer, row: (row[0], 0, layer[1] * layer[1] * math.prod(row[0])))),
        "the numbers that a pool looks at are counted as multiply-adds",
    ),
    (
        "pools that do not overlap",
        stack_changed(of_kind("pool", pool_by_its_size)),
        "a pool's stride is taken to be the size of its windows",
    ),
    ("rounded up", stack_changed(of_kind("pool", pool_rounded_up)), "the size of a pool's output is rounded up"),
    ("always the picture", stack_changed(hand_on=lambda picture, row: tuple(picture)), "every layer is given the picture"),
    (
        "with the picture",
        stack_changed(totals=lambda values, layers, picture: sum([math.prod(picture), *values])),
        "the values of the picture are counted",
    ),
    (
        "without pools",
        stack_changed(totals=lambda v, layers, _: sum(n for n, a in zip(v, layers, strict=True) if a[0] in ("conv", "fc"))),
        "the outputs of pools are left out of the values",
    ),
    ("the last map", stack_changed(totals=lambda values, *_: values[-1]), "only the last output's values are counted"),
    ("the largest map", stack_changed(totals=lambda values, *_: max(values)), "the largest output is taken for all the values"),
    (
        "an fc is a map",
        {
            "stack_costs": lambda shape, layers: (
                [((*s, 1, 1) if len(s) == 1 else s, p, m) for s, p, m in solution.stack_costs(shape, layers)[0]],
                solution.stack_costs(shape, layers)[1],
            )
        },
        None,
    ),
    (
        "no totals",
        {"stack_costs": lambda shape, layers: solution.stack_costs(shape, layers)[0]},
        "Not as many results as asked for",
    ),
    (
        "four layers",
        {"stack_costs": lambda shape, layers: solution.stack_costs(shape, layers[:4])},
        "only the first four layers are counted",
    ),
    (
        "4 bytes a value",
        stack_changed(totals=lambda values, *_: 4 * sum(values)),
        "the total of values is one of bytes",
    ),
]
RIGHT[2] = [
    ("asked of the engine", {"stack_costs": stack_by_engine}),
    ("recursive", {"stack_costs": stack_recursive}),
    ("by patterns, in lists", {"stack_costs": stack_match}),
]

# ---- task 3: a residual block


def residual_loops(x, w1, w2, ws):
    y = np.zeros((len(x), len(w2)))
    for n, row in enumerate(x):
        h = [max(float(weights @ row), 0.0) for weights in w1]
        for f in range(len(w2)):
            z = sum(w2[f, m] * h[m] for m in range(len(h)))
            z += row[f] if ws is None else sum(ws[f, c] * row[c] for c in range(len(row)))
            y[n, f] = z if z > 0 else 0
    return y


def residual_sample_by_sample(dy, x, w1, w2, ws):
    dx, dw1, dw2 = np.zeros_like(x), np.zeros_like(w1), np.zeros_like(w2)
    dws = None if ws is None else np.zeros_like(ws)
    for n in range(len(x)):
        h = w1 @ x[n]
        z = w2 @ (h * (h > 0)) + (x[n] if ws is None else ws @ x[n])
        dz = dy[n] * (z > 0)
        dh = (w2.T @ dz) * (h > 0)
        dw2 += np.outer(dz, h * (h > 0))
        dw1 += np.outer(dh, x[n])
        if ws is None:
            dx[n] = w1.T @ dh + dz
        else:
            dx[n] = w1.T @ dh + ws.T @ dz
            dws += np.outer(dz, x[n])
    return dx, dw1, dw2, dws


def residual_engine(w1, w2, ws):
    def linear(w):
        layer = Linear(w.shape[1], w.shape[0], bias=False).astype(np.float64)
        layer.w.value = w.copy()
        return layer

    layers = linear(w1), linear(w2), None if ws is None else linear(ws)
    return Sequential(Residual(Sequential(layers[0], ReLU(), layers[1]), layers[2]), ReLU()).train(), layers


def residual_forward_engine(x, w1, w2, ws):
    return residual_engine(w1, w2, ws)[0].forward(x)


def residual_backward_engine(dy, x, w1, w2, ws):
    block, layers = residual_engine(w1, w2, ws)
    block.forward(x)
    dx = block.backward(dy)
    return [dx, *(layer and layer.w.grad for layer in layers)]


def residual_forward_einsum(x, w1, w2, ws):
    h = np.einsum("nc,mc->nm", x, w1).clip(min=0)
    ws = np.eye(x.shape[1]) if ws is None else ws
    z = np.einsum("nm,fm->nf", h, w2) + np.einsum("nc,fc->nf", x, ws)
    return (np.abs(z) + z) / 2


def residual_backward_einsum(dy, x, w1, w2, ws):
    projection = np.eye(x.shape[1]) if ws is None else ws
    h = np.einsum("nc,mc->nm", x, w1)
    z = np.einsum("nm,fm->nf", np.where(h < 0, 0, h), w2) + x @ projection.T
    dz = np.multiply(dy, np.heaviside(z, 0))
    dh = np.einsum("nf,fm,nm->nm", dz, w2, np.heaviside(h, 0))
    dx = np.einsum("nm,mc->nc", dh, w1) + np.einsum("nf,fc->nc", dz, projection)
    dws = None if ws is None else np.einsum("nf,nc->fc", dz, x)
    return dx, np.einsum("nm,nc->mc", dh, x), np.einsum("nf,nm->fm", dz, np.where(h < 0, 0, h)), dws


def residual_as(finish, inner=lambda h: h * (h > 0), project=lambda x, ws: x if ws is None else (ws @ x.T).T):
    """A forward pass with another end: finish(body, shortcut)."""
    return {"residual_forward": lambda x, w1, w2, ws: finish((w2 @ inner(w1 @ x.T)).T, project(x, ws))}


def back(
    top=lambda dy, body, z: dy * (z > 0),
    inside=lambda d, h: d * (h > 0),
    together=lambda body, d, dy, ws: body + (d if ws is None else d @ ws),
    seen=lambda h: h * (h > 0),
    turned=False,
):
    """A backward pass with a part exchanged."""

    def residual_backward(dy, x, w1, w2, ws):
        h = np.dot(x, w1.T)
        body = np.dot(h * (h > 0), w2.T)
        d = top(dy, body, body + (x if ws is None else np.dot(x, ws.T)))
        dh = inside(np.dot(d, w2), h)
        weights = [np.dot(dh.T, x), np.dot(d.T, seen(h)), None if ws is None else np.dot(d.T, x)]
        if turned:
            weights = [w if w is None else w.T for w in weights]
        return together(np.dot(dh, w1), d, dy, ws), *weights

    return {"residual_backward": residual_backward}


class BlockThatRemembers:
    """A layer's habit: backward uses what the last forward pass kept."""

    def forward(self, x, w1, w2, ws):
        self.kept = x.copy(), w1.copy(), w2.copy(), None if ws is None else ws.copy()
        return solution.residual_forward(x, w1, w2, ws)

    def backward(self, dy, x, w1, w2, ws):
        return solution.residual_backward(dy, *self.kept)


remembering = BlockThatRemembers()
WRONG[3] = [
    ("no shortcut", residual_as(lambda body, shortcut: np.maximum(0, body)), "the shortcut is left out"),
    (
        "ReLU before the sum",
        residual_as(lambda body, shortcut: np.where(body > 0, body, 0) + shortcut),
        "the ReLU is applied to the body, before the sum",
    ),
    ("no ReLU at the end", residual_as(lambda body, shortcut: body + shortcut), "the last ReLU is left out"),
    (
        "linear inside",
        residual_as(lambda body, shortcut: np.maximum(body + shortcut, 0), inner=lambda h: 1 * h),
        "the ReLU inside the body is left out",
    ),
    (
        "x - F(x)",
        residual_as(lambda body, shortcut: np.maximum(shortcut - body, 0)),
        "body and shortcut are subtracted",
    ),
    (
        "always the identity",
        residual_as(lambda body, shortcut: np.maximum(body + shortcut, 0), project=lambda x, ws: x),
        "the projection is not used",
    ),
    (
        "x ws",
        residual_as(
            lambda body, shortcut: np.maximum(body + shortcut, 0), project=lambda x, ws: x if ws is None else x.dot(ws)
        ),
        "the projection is transposed",
    ),
    (
        "ReLU of the shortcut",
        residual_as(lambda body, shortcut: np.maximum(body, 0) + np.maximum(shortcut, 0)),
        "body and shortcut go through a ReLU each, before they are added",
    ),
    ("multiplied", residual_as(lambda body, shortcut: np.maximum(body * shortcut, 0)), "body and shortcut are multiplied"),
    ("dx of the body", back(together=lambda body, d, dy, ws: body), "dx lacks what comes through the shortcut"),
    (
        "dx of the shortcut",
        back(together=lambda body, d, dy, ws: d.copy() if ws is None else d @ ws),
        "dx lacks what comes through the body",
    ),
    (
        "dy through the shortcut",
        back(together=lambda body, d, dy, ws: body + (dy if ws is None else dy @ ws)),
        "the shortcut gets dy, not what the last ReLU leaves of it",
    ),
    ("dz = dy", back(top=lambda dy, body, z: 1 * dy), "the last ReLU is forgotten on the way back"),
    ("by the body's sign", back(top=lambda dy, body, z: dy * (body > 0)), "the last ReLU asks for the body alone"),
    ("no mask inside", back(inside=lambda d, h: d), "the ReLU inside the body is forgotten on the way back"),
    ("h in dw2", back(seen=lambda h: h), "dw2 is taken with h before its ReLU"),
    ("turned", back(turned=True), "the gradients of the weights are transposed"),
    (
        "the identity in all cases",
        back(together=lambda body, d, dy, ws: body + d),
        "on the way back the shortcut is an identity, even with ws",
    ),
    (
        "dws missing",
        {"residual_backward": lambda *arguments: solution.residual_backward(*arguments)[:3]},
        "Not as many results as asked for",
    ),
    (
        "dws of zeros without ws",
        {
            "residual_backward": lambda *arguments: tuple(
                np.zeros(1) if gradient is None else gradient for gradient in solution.residual_backward(*arguments)
            )
        },
        None,
    ),
    (
        "x of the last forward pass",
        {"residual_forward": remembering.forward, "residual_backward": remembering.backward},
        None,
    ),
    (
        "dy changed",
        {
            "residual_backward": lambda dy, *arguments: (
                np.multiply(dy, solution.residual_forward(*arguments) > 0, out=dy),
                solution.residual_backward(dy, *arguments),
            )[1]
        },
        "An argument is changed",
    ),
    (
        "means over the batch",
        {
            "residual_backward": lambda dy, x, *weights: (
                (gradients := solution.residual_backward(dy, x, *weights))[0],
                *(g if g is None else g / len(x) for g in gradients[1:]),
            )
        },
        "the gradients of the weights are means over the batch",
    ),
]
RIGHT[3] = [
    ("loops, sample by sample", {"residual_forward": residual_loops, "residual_backward": residual_sample_by_sample}),
    (
        "einsum, and the identity as a matrix",
        {"residual_forward": residual_forward_einsum, "residual_backward": residual_backward_einsum},
    ),
    ("the engine's", {"residual_forward": residual_forward_engine, "residual_backward": residual_backward_engine}),
    ("lists", {"residual_forward": lambda *arguments: solution.residual_forward(*arguments).tolist()}),
]

# ---- task 4: an Inception module


def as_rows(x):
    """(N, C, H, W) as pixels (N H W, C)."""
    return np.moveaxis(x, 1, -1).reshape(-1, x.shape[1])


def as_maps(rows, shape):
    N, _, H, W = shape
    return np.moveaxis(rows.reshape(N, H, W, -1), -1, 1)


def inception_by_rows(x, branches):
    rows = as_rows(x)
    parts = [np.maximum(rows @ reduce.T, 0) @ expand.T for reduce, expand in branches]
    return as_maps(np.hstack(parts), x.shape).copy()


def inception_backward_by_rows(dy, x, branches):
    rows, d = as_rows(x), as_rows(dy)
    ends = np.cumsum([len(expand) for _, expand in branches])
    dx, gradients = 0, []
    for (reduce, expand), part in zip(branches, np.hsplit(d, ends[:-1]), strict=True):
        h = rows @ reduce.T
        dh = (part @ expand) * (h > 0)
        gradients.append([dh.T @ rows, part.T @ (h * (h > 0))])
        dx = dx + dh @ reduce
    return as_maps(dx, x.shape).copy(), gradients


def inception_into_zeros(x, branches):
    y = np.zeros((len(x), sum(expand.shape[0] for _, expand in branches), *x.shape[2:]))
    at = 0
    for reduce, expand in branches:
        for n in range(len(x)):
            for i in range(x.shape[2]):
                for j in range(x.shape[3]):
                    h = reduce @ x[n, :, i, j]
                    h[h < 0] = 0
                    y[n, at : at + len(expand), i, j] = expand @ h
        at += len(expand)
    return y


def inception_backward_pixel_by_pixel(dy, x, branches):
    dx = np.zeros(x.shape)
    gradients = [(np.zeros(reduce.shape), np.zeros(expand.shape)) for reduce, expand in branches]
    for n, i, j in np.ndindex(len(x), *x.shape[2:]):
        pixel, start = x[n, :, i, j], 0
        for (reduce, expand), (dreduce, dexpand) in zip(branches, gradients, strict=True):
            d = dy[n, start : start + expand.shape[0], i, j]
            start += expand.shape[0]
            h = np.maximum(reduce @ pixel, 0)
            dh = (expand.T @ d) * (h > 0)
            dexpand += np.outer(d, h)
            dreduce += np.outer(dh, pixel)
            dx[n, :, i, j] += reduce.T @ dh
    return [dx, gradients]


def inception_engine(x, branches):
    paths = []
    for reduce, expand in branches:
        convs = [
            Conv2d(w.shape[1], w.shape[0], 1, bias=False, algorithm="textbook").astype(np.float64) for w in (reduce, expand)
        ]
        for conv, w in zip(convs, (reduce, expand), strict=True):
            conv.w.value = w.reshape(*w.shape, 1, 1).copy()
        paths.append(Sequential(convs[0], ReLU(), convs[1]))
    module = Concat(*paths).train()
    return module, module.forward(x)


def inception_backward_engine(dy, x, branches):
    module, _ = inception_engine(x, branches)
    dx = module.backward(dy)
    return dx, [tuple(path.layers[k].w.grad[:, :, 0, 0] for k in "02") for path in module.branches.values()]


def inception_as(join=lambda parts: np.concatenate(parts, axis=1), branch=lambda rows, r, e: np.maximum(rows @ r.T, 0) @ e.T):
    """A forward pass with branches joined in another way, or of another kind (pixels as rows)."""

    def inception_forward(x, branches):
        rows = as_rows(x)
        return join([as_maps(branch(rows, reduce, expand), x.shape).copy() for reduce, expand in branches])

    return {"inception_forward": inception_forward}


def inception_back(
    parts=lambda d, widths: np.split(d, np.cumsum(widths)[:-1], axis=1),
    inside=lambda d, h: d * (h > 0),
    together=sum,
    seen=lambda h: np.maximum(h, 0),
    finish=lambda pair, x: pair,
):
    """A backward pass with a part exchanged (pixels as rows)."""

    def inception_backward(dy, x, branches):
        rows, shares, gradients = as_rows(x), [], []
        for (reduce, expand), part in zip(branches, parts(dy, [len(e) for _, e in branches]), strict=True):
            h, d = rows @ reduce.T, as_rows(part)
            dh = inside(d @ expand, h)
            shares.append(as_maps(dh @ reduce, x.shape))
            gradients.append(finish((dh.T @ rows, d.T @ seen(h)), x))
        return np.array(together(shares)), gradients

    return {"inception_backward": inception_backward}


def from_the_start(d, widths):
    return [d[:, :width] for width in widths]


def equal_parts(d, widths):
    each = d.shape[1] // len(widths)
    return [d[:, k * each : (k + 1) * each] for k in range(len(widths))]


def from_the_end(d, widths):
    ends = d.shape[1] - np.cumsum([0, *widths])
    return [d[:, end - width : end] for end, width in zip(ends[:-1], widths, strict=True)]


WRONG[4] = [
    ("axis 0", inception_as(lambda parts: np.concatenate(parts)), "the branches are joined along the samples"),
    ("axis 2", inception_as(lambda parts: np.concatenate(parts, axis=-2)), "the branches are joined along the rows"),
    ("added up", inception_as(lambda parts: np.sum(parts, axis=0)), "the branches are added up"),
    (
        "linear",
        inception_as(branch=lambda rows, r, e: rows @ (e @ r).T),
        "the ReLU between the two convolutions is left out",
    ),
    (
        "ReLU at the end",
        inception_as(branch=lambda rows, r, e: np.maximum(rows @ r.T @ e.T, 0)),
        "the ReLU comes after the second convolution",
    ),
    (
        "two ReLUs",
        inception_as(branch=lambda rows, r, e: np.maximum(np.maximum(rows @ r.T, 0) @ e.T, 0)),
        "there is a ReLU after the second convolution, too",
    ),
    ("the other way round", inception_as(lambda parts: np.hstack(parts[::-1])), "the branches are joined in reverse order"),
    ("stacked", inception_as(lambda parts: np.stack(parts, axis=1)), "the branches are stacked along a new axis"),
    ("the first alone", inception_as(lambda parts: parts[0]), "only the first branch is there"),
    ("last dx", inception_back(together=lambda shares: shares.pop()), "dx is that of the last branch"),
    ("first dx", inception_back(together=lambda shares: shares[0]), "dx is that of the first branch"),
    ("mean dx", inception_back(together=lambda shares: np.mean(shares, axis=0)), "dx is a mean over the branches"),
    ("always from channel 0", inception_back(from_the_start), "every branch gets the first channels of dy"),
    ("equal parts", inception_back(equal_parts), "dy is split into equal parts"),
    ("from the end", inception_back(from_the_end), "dy is handed to the branches in reverse order"),
    ("no mask", inception_back(inside=lambda d, h: d), "the ReLU is forgotten on the way back"),
    ("h before its ReLU", inception_back(seen=lambda h: h), "dexpand is taken with what was there before the ReLU"),
    (
        "means over the batch",
        inception_back(finish=lambda pair, x: tuple(g / x.shape[0] for g in pair)),
        "the gradients of the weights are means over the batch",
    ),
    (
        "means over pixels",
        inception_back(finish=lambda pair, x: tuple(g / (x.shape[0] * x.shape[2] * x.shape[3]) for g in pair)),
        "the gradients of the weights are means over all pixels",
    ),
    (
        "transposed",
        inception_back(finish=lambda pair, x: tuple(np.transpose(g) for g in pair)),
        "the gradients of the weights are transposed",
    ),
    ("exchanged", inception_back(finish=lambda pair, x: pair[::-1]), "dreduce and dexpand are exchanged"),
    ("dx joined", inception_back(together=lambda shares: np.concatenate(shares, axis=1)), None),
    (
        "dx alone",
        {"inception_backward": lambda *arguments: solution.inception_backward(*arguments)[0]},
        "Not as many results as asked for",
    ),
    (
        "gradients in one list",
        {
            "inception_backward": lambda *arguments: (
                (result := solution.inception_backward(*arguments))[0],
                [gradient for pair in result[1] for gradient in pair],
            )
        },
        None,
    ),
    (
        "mask by x",
        {
            "inception_backward": lambda dy, x, branches: (
                solution.inception_backward(dy, x, branches)[0] * (x > 0),
                solution.inception_backward(dy, x, branches)[1],
            )
        },
        None,
    ),
]
RIGHT[4] = [
    ("pixels as rows", {"inception_forward": inception_by_rows, "inception_backward": inception_backward_by_rows}),
    (
        "pixel by pixel",
        {"inception_forward": inception_into_zeros, "inception_backward": inception_backward_pixel_by_pixel},
    ),
    (
        "the engine's",
        {
            "inception_forward": lambda x, branches: inception_engine(x, branches)[1],
            "inception_backward": inception_backward_engine,
        },
    ),
]

# ---- task 5: a depthwise separable block


def separable_by_engine(input_shape, out_channels, kernel, stride):
    (C, *_), shape = input_shape, (1, *input_shape)
    depthwise = Conv2d(C, C, kernel, stride, "same", groups=C, bias=False)
    pointwise = Conv2d(C, out_channels, 1, bias=False)
    block = Sequential(depthwise, pointwise)
    full = Conv2d(C, out_channels, kernel, stride, "same", bias=False)
    parameters = depthwise.w.value.size + pointwise.w.value.size
    return parameters, block.multiply_adds(shape), block.multiply_adds(shape) / full.multiply_adds(shape)


def separable_by_formula(input_shape, out_channels, kernel, stride):
    C, H, W = input_shape
    pixels = len(range(0, H, stride)) * len(range(0, W, stride))
    weights = C * (kernel * kernel + out_channels)
    return np.array(weights), np.float64(weights * pixels), 1 / out_channels + 1 / (kernel * kernel)


def separable_loops(input_shape, out_channels, kernel, stride):
    C, H, W = input_shape
    block = full = 0
    for _ in range(0, H, stride):
        for _ in range(0, W, stride):
            block += sum(kernel**2 for _ in range(C)) + sum(C for _ in range(out_channels))
            full += sum(C * kernel**2 for _ in range(out_channels))
    return [C * kernel**2 + C * out_channels, block, block / full]


def separable_of(
    first=lambda C, F, K: C * K**2,
    second=lambda C, F, K: F * C,
    where=lambda H, W, s: ((-(-H // s)) * (-(-W // s)),) * 2,
    share=None,
):
    """Two steps, each with its weights, at so many positions each."""

    def separable_cost(input_shape, out_channels, kernel, stride):
        C, H, W = input_shape
        a, b = first(C, out_channels, kernel), second(C, out_channels, kernel)
        at_first, at_second = where(H, W, stride)
        work = a * at_first + b * at_second
        right = -(-H // stride) * -(-W // stride)
        ratio = work / (kernel**2 * C * out_channels * right)
        return a + b, work, ratio if share is None else share(ratio, C, out_channels, kernel)

    return {"separable_cost": separable_cost}


def separable_rounded_down(input_shape, out_channels, kernel, stride):
    (C, H, W), F = input_shape, out_channels
    positions = (H // stride) * (W // stride)
    weights = C * kernel * kernel + C * F
    return weights, weights * positions, weights * positions / (C * F * kernel * kernel * positions)


WRONG[5] = [
    ("upside down", separable_of(share=lambda ratio, *_: 1 / ratio), "the ratio is upside down"),
    ("saved", separable_of(share=lambda ratio, *_: 1 - ratio), "the ratio is what is saved"),
    ("1 / C", separable_of(share=lambda ratio, C, F, K: 1 / C + 1 / K / K), "the ratio is 1 / C + 1 / K^2"),
    ("all channels", separable_of(lambda C, F, K: (C * K) ** 2), "the depthwise filters see all channels"),
    ("F filters", separable_of(lambda C, F, K: F * K**2), "there is a depthwise filter for each output channel"),
    ("1x1 only", separable_of(lambda C, F, K: 0), "the depthwise step is left out"),
    ("depthwise only", separable_of(second=lambda C, F, K: 0), "the 1x1 convolution is left out"),
    ("K x K twice", separable_of(second=lambda C, F, K: K * F * C * K), "the second convolution has K x K filters as well"),
    ("K weights", separable_of(lambda C, F, K: K * C), "a depthwise filter has K weights"),
    (
        "no stride",
        separable_of(where=lambda H, W, s: (H * W, H * W)),
        "both convolutions are counted at the positions of the input",
    ),
    (
        "depthwise without its stride",
        separable_of(where=lambda H, W, s: (W * H, math.ceil(H / s) * math.ceil(W / s))),
        "the depthwise step is counted at the positions of the input",
    ),
    (
        "1x1 before the stride",
        separable_of(where=lambda H, W, s: (math.ceil(H / s) * math.ceil(W / s), W * H)),
        "the 1x1 convolution is counted at the positions of the input",
    ),
    ("rounded down", {"separable_cost": separable_rounded_down}, "the size of the map is rounded down"),
    ("in percent", separable_of(share=lambda ratio, *_: 100 * ratio), "the ratio is in percent"),
    (
        "with biases",
        {
            "separable_cost": lambda shape, F, *rest: (
                (right := solution.separable_cost(shape, F, *rest))[0] + shape[0] + F,
                *right[1:],
            )
        },
        "biases are counted",
    ),
    ("1 / F only", separable_of(share=lambda ratio, C, F, K: 1 / F), "the ratio is 1 / F: the 1x1 convolution is left out"),
    (
        "1 / K^2 only",
        separable_of(share=lambda ratio, C, F, K: 1 / K**2),
        "the ratio is 1 / K^2: the depthwise step is left out",
    ),
]
RIGHT[5] = [
    ("asked of the engine", {"separable_cost": separable_by_engine}),
    ("by the formula of the paper", {"separable_cost": separable_by_formula}),
    ("loops", {"separable_cost": separable_loops}),
]

# ---- task 6: a fire module


def fire_by_engine(in_channels, squeezed, ones, threes, size):
    expand = Concat(Conv2d(squeezed, ones, 1), Conv2d(squeezed, threes, 3, pad=1))
    module, shape = Sequential(Conv2d(in_channels, squeezed, 1), expand), (1, in_channels, *size)
    parameters = sum(parameter.value.size for parameter in module.parameters().values())
    return module.output_shape(shape)[1], parameters, module.multiply_adds(shape)


def fire_by_conv_cost(in_channels, squeezed, ones, threes, size):
    squeeze = solution.conv_cost((in_channels, *size), squeezed, (1, 1), 1, 0, 1, True)
    small = solution.conv_cost(squeeze[0], ones, (1, 1), 1, 0, 1, True)
    large = solution.conv_cost(squeeze[0], threes, (3, 3), 1, 1, 1, True)
    return [small[0][0] + large[0][0], *np.sum([squeeze[1:], small[1:], large[1:]], axis=0)]


def fire_filter_by_filter(in_channels, squeezed, ones, threes, size):
    filters = [in_channels] * squeezed + [squeezed] * ones + [9 * squeezed] * threes
    H, W = size
    return ones + threes, float(sum(n + 1 for n in filters)), sum(filters) * H * W


def fire_of(filters, out=lambda s, a, b: a + b, biases=lambda s, a, b: s + a + b, at=lambda H, W: H * W, work_of_biases=0):
    """Three kinds of filters, as (weights of one, how many)."""

    def fire_cost(in_channels, squeezed, ones, threes, size):
        weights = sum(n * each for n, each in filters(in_channels, squeezed, ones, threes))
        n = biases(squeezed, ones, threes)
        return out(squeezed, ones, threes), weights + n, (weights + work_of_biases * n) * at(*size)

    return {"fire_cost": fire_cost}


def fire_filters(C, s, a, b):
    return (C, s), (s, a), (9 * s, b)


WRONG[6] = [
    ("no biases", fire_of(fire_filters, biases=lambda s, a, b: 0), "the biases are left out"),
    ("biases of what comes out", fire_of(fire_filters, biases=lambda s, a, b: b + a), "the biases of the squeeze are left out"),
    (
        "not squeezed",
        fire_of(lambda C, s, a, b: ((C, s), (C, a), (3 * 3 * C, b))),
        "the expanding filters see the channels before the squeeze",
    ),
    (
        "one after another",
        fire_of(lambda C, s, a, b: ((C, s), (s, a), (9 * a, b))),
        "the 3x3 filters see what the 1x1 filters give",
    ),
    (
        "all 1x1",
        fire_of(lambda C, s, a, b: ((C, s), (s, a + b))),
        "the 3x3 filters have one weight for each channel",
    ),
    (
        "3 weights",
        fire_of(lambda C, s, a, b: ((C, s), (s, a), (3 * s, b))),
        "the 3x3 filters have three weights for each channel",
    ),
    (
        "no squeeze",
        fire_of(lambda C, s, a, b: ((s, a), (9 * s, b)), biases=lambda s, a, b: a + b),
        "the squeeze is left out",
    ),
    ("3x3 squeeze", fire_of(lambda C, s, a, b: ((9 * C, s), (s, a), (9 * s, b))), "the squeeze is a 3x3 convolution"),
    (
        "all three come out",
        fire_of(fire_filters, out=lambda s, a, b: a + b + s),
        "the squeezed channels are counted among those that come out",
    ),
    (
        "the last comes out",
        fire_of(fire_filters, out=lambda s, a, b: b),
        "the channels that come out are those of the 3x3 filters",
    ),
    ("biases multiplied", fire_of(fire_filters, work_of_biases=1), "the biases are counted among the multiply-adds"),
    ("one pixel", fire_of(fire_filters, at=lambda H, W: 1), "the multiply-adds are those of one pixel"),
    ("a row of pixels", fire_of(fire_filters, at=lambda H, W: W), "the work is that of one row of pixels"),
    ("the 1x1 come out", fire_of(fire_filters, out=lambda s, a, b: a), "only the 1x1 filters' channels come out"),
    (
        "ones and threes exchanged",
        {"fire_cost": lambda C, s, a, b, size: solution.fire_cost(C, s, b, a, size)},
        "the two kinds of filters are exchanged",
    ),
    (
        "as many of each",
        {"fire_cost": lambda C, s, a, b, size: solution.fire_cost(C, s, a, a, size)},
        "there are as many 3x3 filters as 1x1 filters",
    ),
]
RIGHT[6] = [
    ("asked of the engine", {"fire_cost": fire_by_engine}),
    ("three convolutions", {"fire_cost": fire_by_conv_cost}),
    ("filter by filter", {"fire_cost": fire_filter_by_filter}),
]

# ---- task 7: an inverted residual


def cut(z):
    return np.minimum(np.maximum(z, 0), 6)


def inverted_in_place(x, expand, depthwise, project):
    h = x.copy()
    if expand is not None:
        h = expand(x)
        h[h < 0] = 0
        h[h > 6] = 6
    h = depthwise(h)
    np.clip(h, 0, 6, out=h)
    y = project(h)
    if y.shape == x.shape:
        y += x
    return y


def inverted_by_steps(x, expand, depthwise, project):
    steps = ([] if expand is None else [expand, cut]) + [depthwise, cut, project]
    y = x
    for step in steps:
        y = step(y)
    same = all(a == b for a, b in zip(x.shape, y.shape, strict=True))
    return np.add(y, x) if same else y


def inverted_with_medians(x, expand, depthwise, project):
    def relu6(z):
        return np.median([np.zeros_like(z), z, np.full_like(z, 6)], axis=0)

    h = relu6(expand(x)) if expand else x
    y = project(relu6(depthwise(h)))
    try:
        return sum([x, y])
    except ValueError:
        return y


def inverted_by_counts(x, expand, depthwise, project):
    h = x
    if expand:
        h = np.where(expand(x) > 6, 6.0, np.where(expand(x) > 0, expand(x), 0.0))
    wide = depthwise(h)
    y = project((np.abs(wide) - np.abs(wide - 6) + 6) / 2)
    return y + x if x.shape == y.shape else y


def inverted(
    before=lambda x: x,
    after_expand=cut,
    after_depthwise=cut,
    after_project=lambda y: y,
    unexpanded=lambda x: x,
    adds=lambda x, y, expand: x.shape == y.shape,
    after_sum=lambda z: z,
):
    """The block with an activation more or less, or another condition for the shortcut."""

    def inverted_residual(x, expand, depthwise, project):
        h = unexpanded(x) if expand is None else after_expand(expand(before(x)))
        y = after_project(project(after_depthwise(depthwise(h))))
        return after_sum(y + x) if adds(x, y, expand) else y

    return {"inverted_residual": inverted_residual}


def rectified(z):
    return z * (z > 0)


WRONG[7] = [
    ("ReLU", inverted(after_expand=rectified, after_depthwise=rectified), "the activation is ReLU, not ReLU6"),
    ("project activated", inverted(after_project=cut), "there is an activation after project"),
    ("sum activated", inverted(after_sum=cut), "there is an activation after the sum"),
    ("expand linear", inverted(after_expand=lambda z: z), "there is no activation after expand"),
    ("depthwise linear", inverted(after_depthwise=lambda z: z), "there is no activation after depthwise"),
    ("x activated without expand", inverted(unexpanded=cut), "x is cut off where there is no expand"),
    ("x activated", inverted(before=cut), "x is cut off before expand"),
    ("no shortcut", inverted(adds=lambda x, y, expand: False), "the shortcut is left out"),
    ("always a shortcut", inverted(adds=lambda x, y, expand: True), "the shortcut is added whatever the shapes are"),
    (
        "by channels",
        inverted(adds=lambda x, y, expand: x.shape[1] == y.shape[1]),
        "the shortcut asks for the channels alone",
    ),
    (
        "by size",
        inverted(adds=lambda x, y, expand: x.shape[-2:] == y.shape[-2:]),
        "the shortcut asks for the size alone",
    ),
    (
        "only if expanded",
        inverted(adds=lambda x, y, expand: expand is not None and x.shape == y.shape),
        "there is no shortcut where there is no expand",
    ),
    (
        "expand not optional",
        {"inverted_residual": lambda x, e, d, p: solution.inverted_residual(x, e, d, p) + 0 * e(x).mean()},
        None,
    ),
    (
        "cut at 1",
        inverted(after_expand=lambda z: np.clip(z, 0, 1), after_depthwise=lambda z: np.clip(z, 0, 1)),
        "the activation is cut at 1",
    ),
    ("ReLU after expand only", inverted(after_expand=rectified), "after the expansion there is a ReLU that is not cut at 6"),
    (
        "y alone changed",
        {"inverted_residual": lambda x, *steps: 2 * solution.inverted_residual(x, *steps)},
        "the result is doubled",
    ),
    (
        "x changed",
        {"inverted_residual": lambda x, *steps: np.add(x, 1, out=x).mean() + solution.inverted_residual(x, *steps)},
        "An argument is changed",
    ),
    (
        "depthwise left out",
        {"inverted_residual": lambda x, e, d, p: solution.inverted_residual(x, e, lambda h: h, p)},
        "the depthwise step is left out",
    ),
]
RIGHT[7] = [
    ("in place, on arrays of its own", {"inverted_residual": inverted_in_place}),
    ("a list of steps", {"inverted_residual": inverted_by_steps}),
    ("medians, and added where it can be", {"inverted_residual": inverted_with_medians}),
    ("from absolute values", {"inverted_residual": inverted_by_counts}),
]
