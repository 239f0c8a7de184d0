"""Lesson 9: the mistakes that people make in its exercise, as functions that make them."""

import math
from pathlib import Path

import numpy as np

from minicnn.course import Lesson, Slip

solution = Lesson(Path(__file__).resolve().parent).solution


def conv_cost_by(
    weights=lambda C, F, KH, KW, groups: F * (C // groups) * KH * KW,
    side=lambda size, k, stride, pad: (size + 2 * pad - k) // stride + 1,
    biases=lambda C, F, bias: F if bias else 0,
    work=lambda weights, parameters, shape, positions: weights * positions,
):
    """conv_cost() with one of its parts exchanged."""

    def conv_cost(input_shape, out_channels, kernel, stride, pad, groups, bias):
        (C, H, W), (KH, KW), F = input_shape, kernel, out_channels
        OH, OW = side(H, KH, stride, pad), side(W, KW, stride, pad)
        n = weights(C, F, KH, KW, groups)
        parameters = n + biases(C, F, bias)
        return (F, OH, OW), parameters, work(n, parameters, input_shape, OH * OW)

    return {"conv_cost": conv_cost}


CONV_SLIPS = (
    Slip(
        "the groups are left out",
        "With 2 groups, how many of the channels does one filter see? Its weights are as many.",
        conv_cost_by(lambda C, F, KH, KW, groups: F * C * KH * KW),
        where=r"\bC\b.*\*|in_channels.*\*|input_shape\[0\]",
    ),
    Slip(
        "the groups are divided by twice",
        "A filter sees fewer channels, but there are still F filters: each group has F / groups of them, and there are as many "
        "groups as that divides by.",
        conv_cost_by(lambda C, F, KH, KW, groups: F // groups * (C // groups) * KH * KW),
        where=r"groups",
    ),
    Slip(
        "the groups multiply instead of dividing",
        "More groups mean that a filter sees fewer channels, not more.",
        conv_cost_by(lambda C, F, KH, KW, groups: F * C * groups * KH * KW),
        where=r"\*\s*groups",
    ),
    Slip(
        "the weights of a single filter are counted",
        "How many filters are there, each with weights of its own?",
        conv_cost_by(lambda C, F, KH, KW, groups: (C // groups) * KH * KW),
    ),
    Slip(
        "a filter is taken to have a single channel",
        "Only in a depthwise convolution does a filter see one channel; elsewhere it has KH x KW weights for each of those "
        "that it sees.",
        conv_cost_by(lambda C, F, KH, KW, groups: F * KH * KW),
    ),
    Slip(
        "the bias is always counted",
        "There is an argument that says whether there is a bias.",
        conv_cost_by(biases=lambda C, F, bias: F),
    ),
    Slip(
        "the bias is never counted",
        "Where there is a bias, it is a parameter too.",
        conv_cost_by(biases=lambda C, F, bias: 0),
    ),
    Slip(
        "the bias is counted once",
        "Has the layer one bias, or each filter one of its own?",
        conv_cost_by(biases=lambda C, F, bias: int(bias)),
        where=r"\+\s*(1|bias)\b|\bint\(bias\)",
    ),
    Slip(
        "there is a bias for each input channel",
        "A bias is added to an output. How many maps come out?",
        conv_cost_by(biases=lambda C, F, bias: C if bias else 0),
    ),
    Slip(
        "the biases are counted among the multiply-adds",
        "A bias is added, and multiplied with nothing: by custom only the weights count.",
        conv_cost_by(work=lambda weights, parameters, shape, positions: parameters * positions),
        where=r"(parameters|params)\s*\*|\*\s*(parameters|params)",
    ),
    Slip(
        "the multiply-adds are counted at the positions of the input",
        "A filter computes one number for each place where it lies. How many places are there?",
        conv_cost_by(work=lambda weights, parameters, shape, positions: weights * shape[1] * shape[2]),
        where=r"\*\s*H\s*\*\s*W|\*\s*W\s*\*\s*H",
    ),
    Slip(
        "a multiply-add is counted as two operations",
        "A multiplication and the addition of its product are one multiply-add. (Two floating-point operations, FLOPs; some "
        "papers count those.)",
        conv_cost_by(work=lambda weights, parameters, shape, positions: 2 * weights * positions),
        where=r"\b2\s*\*\s*(?!pad)",
    ),
    Slip(
        "the multiply-adds are those of one position",
        "The same weights are used again at every position of the filter.",
        conv_cost_by(work=lambda weights, parameters, shape, positions: weights),
    ),
    Slip(
        "the border is added on one side only",
        "`pad` rows come above the picture, and as many below it.",
        conv_cost_by(side=lambda size, k, stride, pad: (size + pad - k) // stride + 1),
        where=r"\+\s*pad",
    ),
    Slip(
        "the size of the output is rounded up",
        "Windows that would reach beyond the border are left out.",
        conv_cost_by(side=lambda size, k, stride, pad: math.ceil((size + 2 * pad - k) / stride) + 1),
        where=r"ceil|round",
    ),
    Slip(
        "the size of the output is one too small",
        "Count the windows of a filter that is as large as the picture.",
        conv_cost_by(side=lambda size, k, stride, pad: (size + 2 * pad - k) // stride),
        where=r"//\s*stride",
    ),
    Slip(
        "the 1 is added before dividing by the stride",
        "The first window is there whatever the stride is: it is not one of the steps that the division counts.",
        conv_cost_by(side=lambda size, k, stride, pad: (size + 2 * pad - k + 1) // stride),
        where=r"\+\s*1\s*\)\s*//",
    ),
    Slip(
        "the output has width before height",
        "Shapes are (channels, height, width).",
        {"conv_cost": lambda *a: ((r := solution.conv_cost(*a))[0][:1] + r[0][:0:-1], *r[1:])},
    ),
    Slip(
        "the channels come last in the output shape",
        "Shapes are (channels, height, width).",
        {"conv_cost": lambda *a: ((r := solution.conv_cost(*a))[0][1:] + r[0][:1], *r[1:])},
    ),
    Slip(
        "the output has as many channels as the input",
        "Each filter gives one map.",
        {"conv_cost": lambda shape, *rest: ((shape[0], *(r := solution.conv_cost(shape, *rest))[0][1:]), *r[1:])},
    ),
)


def layer_cost(shape: tuple, layer: tuple) -> tuple[tuple, int, int]:
    """The solution's row of one layer."""
    return solution.stack_costs(shape, [layer])[0][0]


def totals_of(shape: tuple, layers: list[tuple], table: list[tuple]) -> tuple[int, int, int]:
    values = sum(math.prod(row[0]) for row in table)
    return values, sum(row[1] for row in table), sum(row[2] for row in table)


def stack_by(row=layer_cost, totals=totals_of, after=lambda before, output: output):
    """stack_costs() with another row(shape, layer), other totals, or another input for the layer after."""

    def stack_costs(input_shape, layers):
        shape, table = tuple(input_shape), []
        for layer in layers:
            table.append(row(shape, layer))
            shape = after(shape, table[-1][0])
        return table, totals(tuple(input_shape), layers, table)

    return {"stack_costs": stack_costs}


def row_if(kind, change):
    """layer_cost() with the row of one kind of layer changed: change(shape, layer, row)."""

    def row(shape, layer):
        right = layer_cost(shape, layer)
        return change(shape, layer, right) if layer[0] == kind else right

    return row


STACK_SLIPS = (
    Slip(
        "the groups of a convolution are left out",
        "The last number of a convolution says how many groups there are: a filter sees only the channels of its own.",
        stack_by(row_if("conv", lambda shape, layer, row: layer_cost(shape, (*layer[:5], 1)))),
    ),
    Slip(
        "the biases of convolutions are left out",
        "Each filter has a bias here; so has each output of an fc.",
        stack_by(row_if("conv", lambda shape, layer, row: (row[0], row[1] - layer[1], row[2]))),
    ),
    Slip(
        "the biases of fully connected layers are left out",
        "Each output of an fc has a bias; so has each filter of a convolution.",
        stack_by(row_if("fc", lambda shape, layer, row: (row[0], row[1] - layer[1], row[2]))),
    ),
    Slip(
        "an fc is connected to the channels only",
        "An fc sees every number of the map below, at every pixel: C H W of them.",
        stack_by(row_if("fc", lambda shape, layer, row: (row[0], layer[1] * (shape[0] + 1), layer[1] * shape[0]))),
        where=r"\[0\]|\bC\b",
    ),
    Slip(
        "the biases of an fc are counted among its multiply-adds",
        "A bias is added, and multiplied with nothing.",
        stack_by(row_if("fc", lambda shape, layer, row: (row[0], row[1], row[1]))),
    ),
    Slip(
        "a pool is given weights, like a convolution",
        "What could be learned in a maximum or a mean?",
        stack_by(row_if("pool", lambda shape, layer, row: layer_cost(shape, ("conv", shape[0], *layer[1:], 0, 1)))),
    ),
    Slip(
        "the numbers that a pool looks at are counted as multiply-adds",
        "A pool compares or adds. By custom only convolutions and matrix products count.",
        stack_by(row_if("pool", lambda shape, layer, row: (row[0], 0, math.prod(row[0]) * layer[1] ** 2))),
    ),
    Slip(
        "a pool's stride is taken to be the size of its windows",
        "AlexNet's pools overlap: windows of 3 x 3, two pixels apart. The stride is the second number.",
        stack_by(row_if("pool", lambda shape, layer, row: layer_cost(shape, (*layer[:2], layer[1])))),
        where=r"//",
    ),
    Slip(
        "the size of a pool's output is rounded up",
        "Windows that would reach beyond the map are left out, as in a convolution.",
        stack_by(
            row_if("pool", lambda s, layer, row: ((s[0], *(math.ceil((n - layer[1]) / layer[2]) + 1 for n in s[1:])), 0, 0))
        ),
        where=r"ceil|round",
    ),
    Slip(
        "every layer is given the picture",
        "A layer works on what the one before it has put out: hand the shape on.",
        stack_by(after=lambda before, output: before),
    ),
    Slip(
        "the values of the picture are counted",
        "The sum is over outputs of layers; the picture is none.",
        stack_by(
            totals=lambda shape, layers, table: (
                math.prod(shape) + totals_of(shape, layers, table)[0],
                *totals_of(shape, layers, table)[1:],
            )
        ),
    ),
    Slip(
        "the outputs of pools are left out of the values",
        "The layer above a pool needs the pool's output for its own gradient.",
        stack_by(
            totals=lambda shape, layers, table: (
                sum(math.prod(row[0]) for row, layer in zip(table, layers, strict=True) if layer[0] != "pool"),
                *totals_of(shape, layers, table)[1:],
            )
        ),
    ),
    Slip(
        "only the last output's values are counted",
        "All the maps are needed on the way back, not only the one on top.",
        stack_by(
            totals=lambda shape, layers, table: (math.prod(table[-1][0]), *totals_of(shape, layers, table)[1:]),
        ),
    ),
    Slip(
        "the largest output is taken for all the values",
        "In inference a map can be thrown away once it has been used. In training all of them are kept.",
        stack_by(
            totals=lambda shape, layers, table: (
                max(math.prod(row[0]) for row in table),
                *totals_of(shape, layers, table)[1:],
            )
        ),
        where=r"max",
    ),
    Slip(
        "only the first four layers are counted",
        "The stack may have any number of layers.",
        {"stack_costs": lambda shape, layers: solution.stack_costs(shape, layers[:4])},
        r"\[:4\]|range\(4",
    ),
    Slip(
        "the total of values is one of bytes",
        "Values are counted, not bytes.",
        stack_by(
            totals=lambda shape, layers, table: (4 * totals_of(shape, layers, table)[0], *totals_of(shape, layers, table)[1:])
        ),
        r"4 ?\*|\* ?4",
    ),
)


def relu(z: np.ndarray) -> np.ndarray:
    return np.maximum(z, 0)


def residual_forward_by(finish=lambda body, shortcut: relu(body + shortcut), inner=relu, shortcut=None):
    """residual_forward() with another end, another activation inside, or another shortcut(x, ws)."""

    def residual_forward(x, w1, w2, ws):
        through = (x if ws is None else x @ ws.T) if shortcut is None else shortcut(x, ws)
        return finish(inner(x @ w1.T) @ w2.T, through)

    return {"residual_forward": residual_forward}


def residual_backward_by(
    dz=lambda dy, body, through: np.where(body + through > 0, dy, 0),
    dh=lambda d, h: np.where(h > 0, d, 0),
    dx=lambda body, through, dy: body + through,
    hidden=relu,
    dw=lambda gradient: gradient,
):
    """residual_backward() with one of its parts exchanged."""

    def residual_backward(dy, x, w1, w2, ws):
        h = x @ w1.T
        d = dz(dy, relu(h) @ w2.T, x if ws is None else x @ ws.T)
        d_hidden = dh(d @ w2, h)
        through = d if ws is None else d @ ws
        through_unmasked = dy if ws is None else dy @ ws
        dws = None if ws is None else dw(d.T @ x)
        return dx(d_hidden @ w1, through, through_unmasked), dw(d_hidden.T @ x), dw(d.T @ hidden(h)), dws

    return {"residual_backward": residual_backward}


def identity_back(dy, x, w1, w2, ws):
    """dx as if the shortcut were the identity."""
    dx, *others = solution.residual_backward(dy, x, w1, w2, ws)
    through = x if ws is None else x @ ws.T
    d = np.where(relu(x @ w1.T) @ w2.T + through > 0, dy, 0)
    return (dx, *others) if ws is None else (dx - d @ ws + d, *others)


RESIDUAL_SLIPS = (
    Slip(
        "the shortcut is left out",
        "y = relu(F(x) + S(x)) has two summands. Without the second it is an ordinary network.",
        residual_forward_by(lambda body, shortcut: relu(body)),
    ),
    Slip(
        "the ReLU is applied to the body, before the sum",
        "The last ReLU comes after the addition: what the body adds may be negative, or the block could take nothing away.",
        residual_forward_by(lambda body, shortcut: relu(body) + shortcut),
        where=r"\+",
    ),
    Slip(
        "the last ReLU is left out",
        "There are two ReLUs: one inside the body, and one behind the sum.",
        residual_forward_by(lambda body, shortcut: body + shortcut),
        where=r"return",
    ),
    Slip(
        "the ReLU inside the body is left out",
        "Without an activation between them two matrices are no more than one.",
        residual_forward_by(inner=lambda h: h),
    ),
    Slip(
        "body and shortcut are subtracted",
        "The block computes what is to be added to x.",
        residual_forward_by(lambda body, shortcut: relu(shortcut - body)),
        where=r"-",
    ),
    Slip(
        "the projection is not used",
        "Where a ws is given, the shortcut is x ws^T, even if the shapes would let x pass.",
        residual_forward_by(shortcut=lambda x, ws: x),
    ),
    Slip(
        "the projection is transposed",
        "Row f of ws has a weight for each channel of x, as the rows of w1 do.",
        residual_forward_by(shortcut=lambda x, ws: x if ws is None else x @ ws),
        where=r"@\s*ws\b(?!\.T)",
    ),
    Slip(
        "dx lacks what comes through the shortcut",
        "x goes two ways to y. Its gradient is the sum of what comes back on both.",
        residual_backward_by(dx=lambda body, through, dy: body),
    ),
    Slip(
        "dx lacks what comes through the body",
        "x goes two ways to y. Its gradient is the sum of what comes back on both.",
        residual_backward_by(dx=lambda body, through, dy: through),
    ),
    Slip(
        "the shortcut gets dy, not what the last ReLU leaves of it",
        "The last ReLU lies above the sum: it holds back the gradient of both summands.",
        residual_backward_by(dx=lambda body, through, dy: body + dy),
        where=r"\bdy\b",
    ),
    Slip(
        "the last ReLU is forgotten on the way back",
        "Where z is not above 0, y is 0 whatever z is. Which gradient has z there?",
        residual_backward_by(dz=lambda dy, body, through: dy),
    ),
    Slip(
        "the last ReLU asks for the body alone",
        "The last ReLU was applied to the sum: it is the sum's sign that counts.",
        residual_backward_by(dz=lambda dy, body, through: np.where(body > 0, dy, 0)),
        where=r">\s*0",
    ),
    Slip(
        "the ReLU inside the body is forgotten on the way back",
        "h was cut off at 0 on the way up. What gradient has an h below 0?",
        residual_backward_by(dh=lambda d, h: d),
    ),
    Slip(
        "dw2 is taken with h before its ReLU",
        "w2 was multiplied with relu(h). The gradient of a factor is the other factor, as it was in the product.",
        residual_backward_by(hidden=lambda h: h),
    ),
    Slip(
        "the gradients of the weights are transposed",
        "A gradient has the shape of what it belongs to.",
        residual_backward_by(dw=np.transpose),
        where=r"x\.T\s*@",
    ),
    Slip(
        "body and shortcut go through a ReLU each, before they are added",
        "First the sum, then one ReLU of it.",
        residual_forward_by(lambda body, shortcut: relu(body) + relu(shortcut)),
        r"maximum|relu",
    ),
    Slip(
        "body and shortcut are multiplied",
        "y = max(0, body + shortcut): what would become of an identity that is multiplied by a body near 0?",
        residual_forward_by(lambda body, shortcut: relu(body * shortcut)),
        r"\*",
    ),
    Slip(
        "on the way back the shortcut is an identity, even with ws",
        "What came through ws goes back through ws.",
        {"residual_backward": identity_back},
    ),
    Slip(
        "the gradients of the weights are means over the batch",
        "The mean is taken once, in the loss; dy has its 1/N already.",
        {
            "residual_backward": lambda dy, x, *ws: (
                (g := solution.residual_backward(dy, x, *ws))[0],
                *(None if d is None else d / len(x) for d in g[1:]),
            )
        },
        r"len|mean",
    ),
)


def mix(w: np.ndarray, x: np.ndarray) -> np.ndarray:
    """A 1x1 convolution."""
    return np.einsum("rc,nchw->nrhw", w, x)


def inception_forward_by(part=lambda reduce, expand, x: mix(expand, relu(mix(reduce, x))), join=lambda p: np.concatenate(p, 1)):
    def inception_forward(x, branches):
        return join([part(reduce, expand, x) for reduce, expand in branches])

    return {"inception_forward": inception_forward}


def own_channels(dy: np.ndarray, branches: list[tuple]) -> list[np.ndarray]:
    return np.split(dy, np.cumsum([len(expand) for _, expand in branches])[:-1], axis=1)


def inception_backward_by(
    split=own_channels,
    mask=lambda dh, h: np.where(h > 0, dh, 0),
    hidden=relu,
    total=sum,
    scale=lambda gradient, x: gradient,
    order=lambda gradients: gradients,
):
    """inception_backward() with one of its parts exchanged."""

    def inception_backward(dy, x, branches):
        shares, gradients = [], []
        for (reduce, expand), dy_k in zip(branches, split(dy, branches), strict=True):
            h = mix(reduce, x)
            dh = mask(mix(expand.T, dy_k), h)
            shares.append(mix(reduce.T, dh))
            pair = np.einsum("nrhw,nchw->rc", dh, x), np.einsum("nfhw,nrhw->fr", dy_k, hidden(h))
            gradients.append(tuple(scale(gradient, x) for gradient in pair))
        return total(shares), order(gradients)

    return {"inception_backward": inception_backward}


INCEPTION_SLIPS = (
    Slip(
        "the branches are joined along the samples",
        "Which axis counts channels? N must stay what it was.",
        inception_forward_by(join=lambda parts: np.concatenate(parts, axis=0)),
        where=r"concatenate|stack",
    ),
    Slip(
        "the branches are joined along the rows",
        "Which axis counts channels? The map must stay H x W.",
        inception_forward_by(join=lambda parts: np.concatenate(parts, axis=2)),
        where=r"concatenate|stack",
    ),
    Slip(
        "the branches are added up",
        "That is what a residual block does with its two ways. Here each branch keeps channels of its own.",
        inception_forward_by(join=sum),
        where=r"sum|\+=",
    ),
    Slip(
        "the ReLU between the two convolutions is left out",
        "Without it the two 1x1 convolutions are no more than a single one.",
        inception_forward_by(lambda reduce, expand, x: mix(expand, mix(reduce, x))),
    ),
    Slip(
        "the ReLU comes after the second convolution",
        "It stands between the two: h is what has been reduced and cut off at 0.",
        inception_forward_by(lambda reduce, expand, x: relu(mix(expand, mix(reduce, x)))),
    ),
    Slip(
        "there is a ReLU after the second convolution, too",
        "In this module what comes out of a branch is not cut off: only h is.",
        inception_forward_by(lambda reduce, expand, x: relu(mix(expand, relu(mix(reduce, x))))),
    ),
    Slip(
        "the branches are joined in reverse order",
        "The first branch's channels come first.",
        inception_forward_by(join=lambda parts: np.concatenate(parts[::-1], axis=1)),
    ),
    Slip(
        "dx is that of the last branch",
        "x went into every branch, and has a share in each output. Does a branch's dx take the place of the one before?",
        inception_backward_by(total=lambda shares: shares[-1]),
        where=r"dx\s*=",
    ),
    Slip(
        "dx is that of the first branch",
        "x went into every branch, and has a share in each one's output.",
        inception_backward_by(total=lambda shares: shares[0]),
    ),
    Slip(
        "dx is a mean over the branches",
        "Where a variable is used several times, what comes back adds up.",
        inception_backward_by(total=lambda shares: sum(shares) / len(shares)),
        where=r"mean|/",
    ),
    Slip(
        "every branch gets the first channels of dy",
        "The second branch's channels begin where those of the first end.",
        inception_backward_by(split=lambda dy, branches: [dy[:, : len(expand)] for _, expand in branches]),
        where=r"dy\[:,\s*:",
    ),
    Slip(
        "dy is split into equal parts",
        "Branches may differ in how many channels they give: look at each one's expand.",
        inception_backward_by(split=lambda dy, branches: np.split(dy, len(branches), axis=1)),
        where=r"split",
    ),
    Slip(
        "dy is handed to the branches in reverse order",
        "The first branch's channels came first in y.",
        inception_backward_by(split=lambda dy, branches: own_channels(dy, branches[::-1])[::-1]),
    ),
    Slip(
        "the ReLU is forgotten on the way back",
        "Where h was cut off at 0 no gradient passes.",
        inception_backward_by(mask=lambda dh, h: dh),
    ),
    Slip(
        "dexpand is taken with what was there before the ReLU",
        "expand was multiplied with h after its ReLU.",
        inception_backward_by(hidden=lambda h: h),
    ),
    Slip(
        "the gradients of the weights are means over the batch",
        "Every picture and pixel that a weight was used for hands it a share: that is a sum. Where the loss is a mean, dy has "
        "its 1 / N already.",
        inception_backward_by(scale=lambda gradient, x: gradient / len(x)),
        where=r"/|mean",
    ),
    Slip(
        "the gradients of the weights are means over all pixels",
        "Every picture and pixel that a weight was used for hands it a share: that is a sum.",
        inception_backward_by(scale=lambda gradient, x: gradient / x[:, 0].size),
        where=r"/|mean",
    ),
    Slip(
        "the gradients of the weights are transposed",
        "A gradient has the shape of what it belongs to.",
        inception_backward_by(scale=lambda gradient, x: gradient.T),
    ),
    Slip(
        "dreduce and dexpand are exchanged",
        "The branches are pairs (reduce, expand), and so are their gradients.",
        inception_backward_by(order=lambda gradients: [pair[::-1] for pair in gradients]),
    ),
    Slip(
        "the branches are stacked along a new axis",
        "Their channels lie one behind the other, along the axis of channels.",
        inception_forward_by(join=lambda parts: np.stack(parts, 1)),
        r"stack",
    ),
    Slip(
        "only the first branch is there",
        "All branches see x; their channels lie one behind the other.",
        inception_forward_by(join=lambda parts: parts[0]),
        r"\[0\]",
    ),
)


def separable_by(
    depthwise=lambda C, F, K: C * K * K,
    pointwise=lambda C, F, K: C * F,
    positions=lambda H, W, OH, OW: (OH * OW, OH * OW),
    side=lambda size, stride: math.ceil(size / stride),
    ratio=lambda work, full, C, F, K: work / full,
):
    """separable_cost() with one of its parts exchanged; positions are those of the depthwise step and of the 1x1."""

    def separable_cost(input_shape, out_channels, kernel, stride):
        (C, H, W), F, K = input_shape, out_channels, kernel
        OH, OW = side(H, stride), side(W, stride)
        first, second = positions(H, W, OH, OW)
        a, b = depthwise(C, F, K), pointwise(C, F, K)
        work = a * first + b * second
        return a + b, work, ratio(work, C * F * K * K * OH * OW, C, F, K)

    return {"separable_cost": separable_cost}


SEPARABLE_SLIPS = (
    Slip(
        "the ratio is upside down",
        "It is the block's share of the full convolution's work. Is it more or less than 1?",
        separable_by(ratio=lambda work, full, C, F, K: full / work),
        where=r"ratio|return.*/",
    ),
    Slip(
        "the ratio is what is saved",
        "It is the share that remains, not the one that is saved.",
        separable_by(ratio=lambda work, full, C, F, K: 1 - work / full),
        where=r"1\s*-",
    ),
    Slip(
        "the ratio is 1 / C + 1 / K^2",
        "Write both costs out and divide. Of the two numbers of channels, which one is left?",
        separable_by(ratio=lambda work, full, C, F, K: 1 / C + 1 / K**2),
        where=r"1\s*/",
    ),
    Slip(
        "the depthwise filters see all channels",
        "In a depthwise convolution a filter sees its own channel only: K x K weights.",
        separable_by(depthwise=lambda C, F, K: C * C * K * K),
    ),
    Slip(
        "there is a depthwise filter for each output channel",
        "The depthwise step keeps the number of channels: a filter for each channel that comes in.",
        separable_by(depthwise=lambda C, F, K: F * K * K),
    ),
    Slip(
        "the depthwise step is left out",
        "The block is two convolutions.",
        separable_by(depthwise=lambda C, F, K: 0),
    ),
    Slip(
        "the 1x1 convolution is left out",
        "The depthwise step does not mix channels. What does, and what does that cost?",
        separable_by(pointwise=lambda C, F, K: 0),
    ),
    Slip(
        "the second convolution has K x K filters as well",
        "It looks at one pixel at a time.",
        separable_by(pointwise=lambda C, F, K: C * F * K * K),
    ),
    Slip(
        "a depthwise filter has K weights",
        "It is as high as it is wide.",
        separable_by(depthwise=lambda C, F, K: C * K),
    ),
    Slip(
        "both convolutions are counted at the positions of the input",
        "With a stride of 2 there are half as many windows in each direction.",
        separable_by(positions=lambda H, W, OH, OW: (H * W, H * W)),
        where=r"H\s*\*\s*W",
    ),
    Slip(
        "the depthwise step is counted at the positions of the input",
        "The stride is in the depthwise step: how many windows does it have?",
        separable_by(positions=lambda H, W, OH, OW: (H * W, OH * OW)),
        where=r"H\s*\*\s*W",
    ),
    Slip(
        "the 1x1 convolution is counted at the positions of the input",
        "It comes after the depthwise step, which has made the map smaller.",
        separable_by(positions=lambda H, W, OH, OW: (OH * OW, H * W)),
        where=r"H\s*\*\s*W",
    ),
    Slip(
        "the size of the map is rounded down",
        "With this border OH = ceil(H / stride): a map of 7 becomes one of 4.",
        separable_by(side=lambda size, stride: size // stride),
        where=r"//",
    ),
    Slip(
        "the ratio is in percent",
        "A share, not a percentage.",
        separable_by(ratio=lambda work, full, C, F, K: 100 * work / full),
        r"100",
    ),
    Slip(
        "biases are counted",
        "These layers have none: batch norm has its own.",
        {"separable_cost": lambda shape, F, *rest: ((r := solution.separable_cost(shape, F, *rest))[0] + shape[0] + F, *r[1:])},
        r"\+",
    ),
    Slip(
        "the ratio is 1 / F: the 1x1 convolution is left out",
        "Both steps cost something.",
        separable_by(ratio=lambda work, full, C, F, K: 1 / F),
        r"1 ?/",
    ),
    Slip(
        "the ratio is 1 / K^2: the depthwise step is left out",
        "Both steps cost something.",
        separable_by(ratio=lambda work, full, C, F, K: 1 / K**2),
        r"1 ?/",
    ),
)


def fire_by(
    squeeze=lambda C, s: C * s,
    small=lambda C, s, a, b: s * a,
    large=lambda C, s, a, b: 9 * s * b,
    biases=lambda s, a, b: s + a + b,
    channels=lambda s, a, b: a + b,
    work=lambda weights, biases, H, W: weights * H * W,
):
    """fire_cost() with one of its parts exchanged."""

    def fire_cost(in_channels, squeezed, ones, threes, size):
        weights = squeeze(in_channels, squeezed)
        weights += small(in_channels, squeezed, ones, threes) + large(in_channels, squeezed, ones, threes)
        n = biases(squeezed, ones, threes)
        return channels(squeezed, ones, threes), weights + n, work(weights, n, *size)

    return {"fire_cost": fire_cost}


FIRE_SLIPS = (
    Slip(
        "the biases are left out",
        "All three convolutions have biases, one for each filter.",
        fire_by(biases=lambda s, a, b: 0),
    ),
    Slip(
        "the biases of the squeeze are left out",
        "How many filters have the three convolutions together?",
        fire_by(biases=lambda s, a, b: a + b),
    ),
    Slip(
        "the expanding filters see the channels before the squeeze",
        "That they see only a few channels is the whole trick.",
        fire_by(small=lambda C, s, a, b: C * a, large=lambda C, s, a, b: 9 * C * b),
        where=r"9|in_channels",
    ),
    Slip(
        "the 3x3 filters see what the 1x1 filters give",
        "The two stand side by side, both behind the squeeze.",
        fire_by(large=lambda C, s, a, b: 9 * a * b),
        where=r"ones\s*\*\s*threes|threes\s*\*\s*ones",
    ),
    Slip(
        "the two kinds of filters are exchanged",
        "Which of the two look at nine pixels?",
        fire_by(small=lambda C, s, a, b: 9 * s * a, large=lambda C, s, a, b: s * b),
        where=r"9\s*\*.*ones|ones\s*\*\s*9",
    ),
    Slip(
        "the 3x3 filters have one weight for each channel",
        "A 3x3 filter looks at nine pixels.",
        fire_by(large=lambda C, s, a, b: s * b),
    ),
    Slip(
        "the 3x3 filters have three weights for each channel",
        "A 3x3 filter looks at nine pixels.",
        fire_by(large=lambda C, s, a, b: 3 * s * b),
        where=r"\b3\s*\*|\*\s*3\b(?!\s*\*\s*3)",
    ),
    Slip(
        "the squeeze is left out",
        "The squeezing convolution has weights, too.",
        fire_by(squeeze=lambda C, s: 0, biases=lambda s, a, b: a + b),
    ),
    Slip(
        "the squeeze is a 3x3 convolution",
        "The squeeze looks at one pixel at a time: it must be cheap, as it sees all the channels.",
        fire_by(squeeze=lambda C, s: 9 * C * s),
    ),
    Slip(
        "the squeezed channels are counted among those that come out",
        "What is joined at the end are the two expanding convolutions.",
        fire_by(channels=lambda s, a, b: s + a + b),
    ),
    Slip(
        "the channels that come out are those of the 3x3 filters",
        "Side by side and joined: the channels of both come out.",
        fire_by(channels=lambda s, a, b: b),
    ),
    Slip(
        "the biases are counted among the multiply-adds",
        "A bias is added, and multiplied with nothing.",
        fire_by(work=lambda weights, biases, H, W: (weights + biases) * H * W),
    ),
    Slip(
        "the multiply-adds are those of one pixel",
        "Every weight is used again at each of the H x W pixels.",
        fire_by(work=lambda weights, biases, H, W: weights),
    ),
    Slip(
        "the work is that of one row of pixels",
        "H times W places.",
        fire_by(work=lambda weights, biases, H, W: weights * W),
    ),
    Slip(
        "only the 1x1 filters' channels come out",
        "Both kinds are joined.",
        fire_by(channels=lambda s, a, b: a),
    ),
    Slip(
        "there are as many 3x3 filters as 1x1 filters",
        "Two numbers are given, ones and threes.",
        {"fire_cost": lambda C, s, a, b, size: solution.fire_cost(C, s, a, a, size)},
    ),
)


def relu6(z: np.ndarray) -> np.ndarray:
    return np.clip(z, 0, 6)


def inverted_by(
    first=lambda x, expand: x if expand is None else relu6(expand(x)),
    second=lambda h, depthwise: relu6(depthwise(h)),
    third=lambda h, project: project(h),
    finish=lambda x, y: x + y if x.shape == y.shape else y,
):
    """inverted_residual() with one of its steps exchanged."""

    def inverted_residual(x, expand, depthwise, project):
        return finish(x, third(second(first(x, expand), depthwise), project))

    return {"inverted_residual": inverted_residual}


INVERTED_SLIPS = (
    Slip(
        "the activation is ReLU, not ReLU6",
        "ReLU6 is cut off at both ends.",
        inverted_by(lambda x, expand: x if expand is None else relu(expand(x)), lambda h, depthwise: relu(depthwise(h))),
        where=r"maximum|clip",
    ),
    Slip(
        "there is an activation after project",
        "Between blocks there are few channels, and a ReLU there loses what they carry: that is why this bottleneck is linear.",
        inverted_by(third=lambda h, project: relu6(project(h))),
        where=r"project",
    ),
    Slip(
        "there is an activation after the sum",
        "ResNet has a ReLU there. Here nothing is cut off between blocks.",
        inverted_by(finish=lambda x, y: relu6(x + y) if x.shape == y.shape else y),
        where=r"\+",
    ),
    Slip(
        "there is no activation after expand",
        "Two convolutions in a row without an activation: the second one could be merged into the first.",
        inverted_by(lambda x, expand: x if expand is None else expand(x)),
    ),
    Slip(
        "there is no activation after depthwise",
        "There are two activations in the block, one after each of the wide convolutions.",
        inverted_by(second=lambda h, depthwise: depthwise(h)),
    ),
    Slip(
        "x is cut off where there is no expand",
        "Without an expand, h is x as it is: what comes from the block before has negative values, and they matter.",
        inverted_by(lambda x, expand: relu6(x if expand is None else expand(x))),
        where=r"None",
    ),
    Slip(
        "x is cut off before expand",
        "The activation comes after the convolution. What comes from the block before has negative values, and they matter.",
        inverted_by(lambda x, expand: x if expand is None else relu6(expand(relu6(x)))),
    ),
    Slip(
        "the shortcut is left out",
        "Where the shapes are equal the input is added: it is a residual block.",
        inverted_by(finish=lambda x, y: y),
        where=r"return",
    ),
    Slip(
        "the shortcut is added whatever the shapes are",
        "With a stride, or with other channels, x and y cannot be added; MobileNetV2 then has no shortcut.",
        inverted_by(finish=lambda x, y: x + y),
        where=r"\+",
    ),
    Slip(
        "the shortcut asks for the channels alone",
        "With a stride of 2 y is smaller than x, though it may have as many channels.",
        inverted_by(finish=lambda x, y: x + y if x.shape[1] == y.shape[1] else y),
        where=r"shape\[1\]|shape\[:2\]",
    ),
    Slip(
        "the shortcut asks for the size alone",
        "With other channels y has another shape than x, though the map may be as large.",
        inverted_by(finish=lambda x, y: x + y if x.shape[2:] == y.shape[2:] else y),
        where=r"shape\[2:\]|shape\[2\]|shape\[-",
    ),
    Slip(
        "there is no shortcut where there is no expand",
        "Whether x is added depends on the shapes only.",
        {
            "inverted_residual": lambda x, expand, depthwise, project: inverted_by(
                finish=lambda x, y: x + y if expand is not None and x.shape == y.shape else y
            )["inverted_residual"](x, expand, depthwise, project)
        },
        where=r"None",
    ),
    Slip(
        "the activation is cut at 1",
        "ReLU6 is cut at 6.",
        inverted_by(
            first=lambda x, expand: x if expand is None else np.clip(expand(x), 0, 1),
            second=lambda h, depthwise: np.clip(depthwise(h), 0, 1),
        ),
        r"\b1\b",
    ),
    Slip(
        "after the expansion there is a ReLU that is not cut at 6",
        "ReLU6 in both places.",
        inverted_by(first=lambda x, expand: x if expand is None else relu(expand(x))),
        r"maximum",
    ),
    Slip(
        "the depthwise step is left out",
        "Three steps: widen, filter each channel, narrow.",
        inverted_by(second=lambda h, depthwise: relu6(h)),
    ),
    Slip(
        "the result is doubled",
        "x is added once.",
        inverted_by(finish=lambda x, y: 2 * (x + y if x.shape == y.shape else y)),
        r"2 ?\*",
    ),
)
