"""Lesson 9: what is asked of each function, and the mistakes that people make in it.

The numbers and shapes are new each time; the cases are not. No two sizes are equal that could be mistaken for each other.
"""

import math
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from minicnn.course import Lesson, Mistake, Slip, Student, Task
from minicnn.course.expect import expect_array, expect_close, expect_gradients, expect_number, expect_several
from minicnn.course.workbench import BLUE, ORANGE, drawn_digits, find_data, save
from minicnn.data import load_mnist
from minicnn.gradcheck import check_function
from minicnn.kernels import textbook
from minicnn.layers import Concat, Conv2d, Flatten, Layer, Linear, MaxPool2d, Parameter, ReLU, Residual, Sequential
from minicnn.losses import SoftmaxCrossEntropy
from minicnn.optim import SGD

solution = Lesson(Path(__file__).resolve().parent).solution


def expect_count(name: str, got: object, expected: int) -> None:
    number = expect_number(name, got)
    if number != expected:
        raise Mistake(f"{name}: got {number:,.10g}, expected {expected:,}")


def expect_shape(name: str, got: object, expected: tuple[int, ...]) -> None:
    if not isinstance(got, (tuple, list, np.ndarray)):
        raise Mistake(f"{name} must be a tuple of {len(expected)} numbers, got a {type(got).__name__}")
    if tuple(got) != tuple(expected):
        raise Mistake(f"{name}: got {tuple(got)}, expected {tuple(expected)}")


def different(rng: np.random.Generator, least: int, most: int, count: int) -> list[int]:
    """So many whole numbers from least to most, no two of them equal."""
    return [int(n) for n in rng.permutation(np.arange(least, most + 1))[:count]]


# ---- Task 1: what a convolution costs


def check_conv_cost(student: Student, rng: np.random.Generator) -> None:
    for shape, F, kernel, stride, pad, groups, bias in convolutions(rng):
        conv = Conv2d(shape[0], F, kernel, stride, pad, groups=groups, bias=bias)
        case = f"of {F} filters {kernel} on {shape}, stride {stride}, pad {pad}, groups {groups}, bias {bias}"
        got = student.conv_cost(shape, F, kernel, stride, pad, groups, bias)
        output, parameters, multiply_adds = expect_several("conv_cost", got, "shape, parameters, multiply_adds")
        expect_shape(f"the output shape {case}", output, conv.output_shape((1, *shape))[1:])
        expect_count(f"the parameters {case}", parameters, size_of(conv))
        expect_count(f"the multiply-adds {case}", multiply_adds, conv.multiply_adds((1, *shape)))


def size_of(layer: Layer) -> int:
    return sum(parameter.value.size for parameter in layer.parameters().values())


def convolutions(rng: np.random.Generator) -> list[tuple]:
    """Arguments of conv_cost: with and without a border, a bias, groups; windows that end short of the last rows; depthwise."""
    cases = [(1, 0, 1, True), (2, 2, 1, False), (1, 1, 2, True), (3, 1, 3, False), (1, 2, 5, True)]
    drawn = []
    for stride, pad, groups, bias in cases:
        in_group, filters = different(rng, 2, 4, 2)
        C, F = groups * (1 if groups == 5 else in_group), groups * filters  # groups = C: the depthwise convolution
        kernel, output = different(rng, 2, 5, 2), different(rng, 3, 6, 2)
        over = rng.permutation([0, stride - 1])  # rows or columns that no window reaches
        H, W = (int((n - 1) * stride + k + rest - 2 * pad) for n, k, rest in zip(output, kernel, over, strict=True))
        if min(H, W) < 1 or H == W or H * W in (math.prod(output), 2 * math.prod(output)):  # or two mistakes look alike
            return convolutions(rng)
        drawn.append(((C, H, W), F, tuple(kernel), stride, pad, groups, bias))
    return drawn


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
)

# ---- Task 2: the table of a network


def check_stack_costs(student: Student, rng: np.random.Generator) -> None:
    for shape, layers in stacks(rng):
        expected, totals = engine_table(shape, layers)
        got = student.stack_costs(shape, layers)
        table, total = expect_several("stack_costs", got, "table, totals")
        if not isinstance(table, (list, tuple)) or len(table) != len(layers):
            size = f" of {len(table)}" if isinstance(table, (list, tuple)) else ""
            got = f"a {type(table).__name__}{size}"
            raise Mistake(f"the table must be a list with a row for each of the {len(layers)} layers, got {got}")
        for number, (row, right) in enumerate(zip(table, expected, strict=True)):
            place = f"row {number} of the table, {layers[number]} after {(shape, *(r[0] for r in expected))[number]}:"
            output, parameters, multiply_adds = expect_several("a row of stack_costs", row, "shape, parameters, multiply_adds")
            expect_shape(f"{place} the shape", output, right[0])
            expect_count(f"{place} the parameters", parameters, right[1])
            expect_count(f"{place} the multiply-adds", multiply_adds, right[2])
        total = total.tolist() if isinstance(total, np.ndarray) else total
        total = expect_several("the totals of stack_costs", total, "values, parameters, multiply_adds")
        for name, number, right in zip(("values", "parameters", "multiply-adds"), total, totals, strict=True):
            expect_count(f"the total of the {name} of {len(layers)} layers on a picture {shape}", number, right)


def stacks(rng: np.random.Generator) -> list[tuple]:
    """A picture's shape and layers: all kinds of layers; strides, borders and a depthwise convolution; no fc at all."""
    H, W = 2 * int(rng.integers(8, 11)) + 1, 2 * int(rng.integers(8, 11))  # a pool of 2 x 2 leaves a row over, and no column
    C, F, M, K = different(rng, 3, 9, 4)
    whole = [("conv", 2 * F, 3, 1, 1, 1), ("pool", 2, 2), ("conv", 2 * M, 3, 1, 0, 2), ("pool", 3, 2), ("fc", 5 * K), ("fc", K)]
    thin = [("conv", 2 * C, 3, 2, 1, C), ("conv", F, 1, 1, 0, 1), ("fc", K)]
    bare = [("conv", F, 5, 1, 2, 1), ("pool", 3, 2), ("conv", M, 2, 2, 0, 1)]
    return [((C, H, W), whole), ((C, W, H), thin), ((C, H, W), bare)]


def engine_table(shape: tuple[int, int, int], layers: list[tuple]) -> tuple[list[tuple], tuple[int, int, int]]:
    """What the engine's own layers say of themselves."""
    table, shape = [], (1, *shape)
    for kind, *numbers in layers:
        if kind == "fc":
            layer = Sequential(Flatten(), Linear(math.prod(shape), numbers[0]))
        elif kind == "pool":
            layer = MaxPool2d(numbers[0], numbers[1])
        else:
            F, kernel, stride, pad, groups = numbers
            layer = Conv2d(shape[1], F, kernel, stride, pad, groups=groups)
        work, shape = layer.multiply_adds(shape), layer.output_shape(shape)
        table.append((tuple(int(n) for n in shape[1:]), size_of(layer), work))
    values = sum(math.prod(row[0]) for row in table)
    return table, (values, sum(row[1] for row in table), sum(row[2] for row in table))


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
)

# ---- Task 3: a residual block


def check_residual(student: Student, rng: np.random.Generator) -> None:
    cases = residual_cases(rng)
    outputs = []
    for x, w1, w2, ws in cases:
        block = residual_block(w1, w2, ws)
        y = block.forward(x)
        name = f"y (x {x.shape}, w1 {w1.shape}, {'the identity' if ws is None else f'ws {ws.shape}'})"
        expect_close(name, student.residual_forward(x, w1, w2, ws), y)
        outputs.append((block, rng.standard_normal(y.shape)))
    for case, (block, dy) in zip(cases[::-1], outputs[::-1], strict=True):  # not in the order of the forward passes
        residual_gradients(student, rng, case, block, dy)


def residual_cases(rng: np.random.Generator) -> list[tuple]:
    """x, w1, w2, ws: with the identity; with a projection that is square, and with one that is not."""
    N, C, M, F = different(rng, 4, 8, 4)

    def draw(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape)

    return [
        (draw(N, C), draw(M, C), draw(C, M), None),
        (draw(N, C), draw(M, C), draw(C, M), draw(C, C)),
        (draw(N, C), draw(M, C), draw(F, M), draw(F, C)),
    ]


def residual_block(w1: np.ndarray, w2: np.ndarray, ws: np.ndarray | None) -> Sequential:
    """The engine's."""
    body = Sequential(first=linear_of(w1), relu=ReLU(), second=linear_of(w2))
    shortcut = None if ws is None else linear_of(ws)
    return Sequential(sum=Residual(body, shortcut), relu=ReLU()).train()


def linear_of(w: np.ndarray) -> Linear:
    layer = Linear(*w.shape[::-1], bias=False).astype(np.float64)
    layer.w.value = w.copy()
    return layer


def residual_gradients(student: Student, rng: np.random.Generator, case: tuple, block: Sequential, dy: np.ndarray) -> None:
    x, w1, w2, ws = case
    arrays = {"x": x, "w1": w1, "w2": w2} | ({} if ws is None else {"ws": ws})
    expected = {"dx": block.backward(dy)}
    layers = [block.layers["sum"].body.layers["first"], block.layers["sum"].body.layers["second"], block.layers["sum"].shortcut]
    expected |= {f"d{name}": layer.w.grad for name, layer in zip(("w1", "w2", "ws"), layers, strict=True) if layer}
    got = expect_several("residual_backward", student.residual_backward(dy, x, w1, w2, ws), "dx, dw1, dw2, dws")
    if ws is None and got.pop() is not None:
        raise Mistake("where ws is None there is no projection, and nothing to return for it: dws must be None")

    def forward(x: np.ndarray, w1: np.ndarray, w2: np.ndarray, ws: np.ndarray | None = None) -> np.ndarray:
        return relu(relu(x @ w1.T) @ w2.T + (x if ws is None else x @ ws.T))

    def backward(dy: np.ndarray) -> dict:
        return dict(zip(arrays, student.residual_backward(dy, x, w1, w2, ws), strict=False))

    subject = f"residual_backward (x {x.shape}, w1 {w1.shape}, {'the identity' if ws is None else f'ws {ws.shape}'})"
    expect_gradients(
        subject, got, expected, lambda: check_function(forward, backward, arrays, subject=subject, elements=20, rng=rng)
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
)

# ---- Task 4: an Inception module


def check_inception(student: Student, rng: np.random.Generator) -> None:
    cases = inception_cases(rng)
    outputs = []
    for x, branches in cases:
        module = inception_module(x.shape[1], branches)
        y = module.forward(x)
        shapes = ", ".join(f"{reduce.shape} {expand.shape}" for reduce, expand in branches)
        expect_close(f"y (x {x.shape}, branches {shapes})", student.inception_forward(x, branches), y)
        outputs.append((module, rng.standard_normal(y.shape)))
    for (x, branches), (module, dy) in zip(cases, outputs, strict=True):
        inception_gradients(student, rng, x, branches, module, dy)


def inception_cases(rng: np.random.Generator) -> list[tuple]:
    """x and branches: two that are equally wide; three that are not; a single one."""
    N, C, R, F, H = different(rng, 2, 6, 5)
    W = H + 1

    def branch(reduced: int, filters: int) -> tuple[np.ndarray, np.ndarray]:
        return rng.standard_normal((reduced, C)), rng.standard_normal((filters, reduced))

    x = [rng.standard_normal((n, C, H, W)) for n in (N, N, 1)]
    widths = different(rng, 2, 5, 3)
    return [
        (x[0], [branch(R, F), branch(R, F)]),
        (x[1], [branch(r, f) for r, f in zip((F, R, N), widths, strict=True)]),
        (x[2], [branch(R, F)]),
    ]


def inception_module(channels: int, branches: list[tuple[np.ndarray, np.ndarray]]) -> Concat:
    """The engine's."""
    paths = []
    for reduce, expand in branches:
        convs = [Conv2d(*w.shape[::-1], 1, bias=False, algorithm="textbook").astype(np.float64) for w in (reduce, expand)]
        for conv, w in zip(convs, (reduce, expand), strict=True):
            conv.w.value = w[:, :, None, None].copy()
        paths.append(Sequential(reduce=convs[0], relu=ReLU(), expand=convs[1]))
    return Concat(*paths).train()


def inception_gradients(
    student: Student, rng: np.random.Generator, x: np.ndarray, branches: list[tuple], module: Concat, dy: np.ndarray
) -> None:
    arrays = {"x": x}
    for k, (reduce, expand) in enumerate(branches):
        arrays |= {f"reduce of branch {k}": reduce, f"expand of branch {k}": expand}
    expected = {"dx": module.backward(dy)}
    for k, path in enumerate(module.branches.values()):
        expected |= {f"d{name} of branch {k}": path.layers[name].w.grad[:, :, 0, 0] for name in ("reduce", "expand")}

    def answer(dy: np.ndarray) -> list[np.ndarray]:
        dx, gradients = expect_several("inception_backward", student.inception_backward(dy, x, branches), "dx, gradients")
        if not isinstance(gradients, (list, tuple)) or len(gradients) != len(branches):
            raise Mistake(f"the second result must be a list with (dreduce, dexpand) for each of the {len(branches)} branches")
        pairs = [expect_several("a branch in inception_backward", pair, "dreduce, dexpand") for pair in gradients]
        return [dx, *(gradient for pair in pairs for gradient in pair)]

    def forward(**arrays: np.ndarray) -> np.ndarray:
        x, *weights = arrays.values()
        return np.concatenate([mix(e, relu(mix(r, x))) for r, e in zip(weights[::2], weights[1::2], strict=True)], axis=1)

    subject = f"inception_backward (x {x.shape}, {len(branches)} branches)"
    expect_gradients(
        subject,
        answer(dy),
        expected,
        lambda: check_function(
            forward, lambda dy: dict(zip(arrays, answer(dy), strict=True)), arrays, subject=subject, elements=20, rng=rng
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
)

# ---- Task 5: a depthwise separable block


def check_separable(student: Student, rng: np.random.Generator) -> None:
    sizes = [int(n) for n in rng.permutation([4, 5, 7, 8, 10, 11])[:4]]  # no 6, 9, 12, where two mistakes look alike
    for kernel, stride, odd in ((3, 1, 0), (5, 2, 1), (3, 2, 0), (1, 3, 1)):
        C, F, H, W = (int(n) for n in rng.permutation(sizes))
        H, W = stride * H + odd, stride * W + odd * (stride - 1)  # with odd, the stride divides neither
        depthwise = Conv2d(C, C, kernel, stride, "same", groups=C, bias=False)
        pointwise, full = Conv2d(C, F, 1, bias=False), Conv2d(C, F, kernel, stride, "same", bias=False)
        shape = 1, C, H, W
        work = depthwise.multiply_adds(shape) + pointwise.multiply_adds(depthwise.output_shape(shape))
        case = f"of a block of {C} to {F} channels, {kernel} x {kernel}, stride {stride}, on a map of {H} x {W}"
        got = student.separable_cost((C, H, W), F, kernel, stride)
        parameters, multiply_adds, ratio = expect_several("separable_cost", got, "parameters, multiply_adds, ratio")
        expect_count(f"the parameters {case}", parameters, size_of(depthwise) + size_of(pointwise))
        expect_count(f"the multiply-adds {case}", multiply_adds, work)
        expect_close(f"the ratio {case}", expect_number("the ratio", ratio), np.float64(work / full.multiply_adds(shape)))


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
)

# ---- Task 6: SqueezeNet's fire module


def check_fire(student: Student, rng: np.random.Generator) -> None:
    for equal in (False, True, False):  # in the paper both sorts of filters are equally many
        C, squeezed, ones, threes, H, W = fire_sizes(rng)
        threes = ones if equal else threes
        squeeze = Conv2d(C, squeezed, 1)
        expand = Concat(Conv2d(squeezed, ones, 1), Conv2d(squeezed, threes, 3, pad=1))
        module, shape = Sequential(squeeze, expand), (1, C, H, W)
        case = f"of a fire module of {C} channels to {squeezed}, then {ones} of 1x1 and {threes} of 3x3, on {H} x {W}"
        got = student.fire_cost(C, squeezed, ones, threes, (H, W))
        channels, parameters, multiply_adds = expect_several("fire_cost", got, "out_channels, parameters, multiply_adds")
        expect_count(f"the channels {case}", channels, module.output_shape(shape)[1])
        expect_count(f"the parameters {case}", parameters, size_of(module))
        expect_count(f"the multiply-adds {case}", multiply_adds, module.multiply_adds(shape))


def fire_sizes(rng: np.random.Generator) -> list[int]:
    """Six numbers with which no two mistakes look alike."""
    while True:
        sizes = different(rng, 3, 14, 6)
        if len({slip.functions["fire_cost"](*sizes[:4], tuple(sizes[4:])) for slip in FIRE_SLIPS}) == len(FIRE_SLIPS):
            return sizes


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
)

# ---- Task 7: an inverted residual


def check_inverted_residual(student: Student, rng: np.random.Generator) -> None:
    for title, x, (expand, depthwise, project) in inverted_cases(rng):
        h = x if expand is None else np.minimum(np.maximum(expand(x), 0), 6)
        y = project(np.minimum(np.maximum(depthwise(h), 0), 6))
        expected = x + y if y.shape == x.shape else y
        got = student.inverted_residual(x, expand, depthwise, project)
        expect_array(f"the result ({title}, x {x.shape})", np.asarray(got, np.float64), expected.shape)
        expect_close(f"the result ({title}, x {x.shape})", got, expected)


def inverted_cases(rng: np.random.Generator) -> list[tuple]:
    """Title, x and the three functions: with a shortcut; without one, for each reason; without an expansion."""
    N, C, F = different(rng, 2, 5, 3)
    H, W = 2 * int(rng.integers(2, 4)), 2 * int(rng.integers(4, 6))
    cases = []
    for title, filters, stride, expanded in (
        ("stride 1, as many channels", C, 1, True),
        ("stride 2, other channels", F, 2, True),
        ("stride 2, as many channels", C, 2, True),
        ("stride 1, other channels", F, 1, True),
        ("no expand, as many channels", C, 1, False),
        ("no expand, other channels", F, 1, False),
    ):
        cases.append((title, 2 * rng.standard_normal((N, C, H, W)), block_functions(rng, C, filters, stride, expanded)))
    return cases


def block_functions(rng: np.random.Generator, C: int, F: int, stride: int, expanded: bool) -> tuple:
    """expand, depthwise and project of C to F channels; what they give goes well below 0 and well above 6."""
    wide = 6 * C if expanded else C
    w_expand, w_project = 3 * rng.standard_normal((wide, C)), rng.standard_normal((F, wide))
    w_depthwise = 2 * rng.standard_normal((wide, 1, 3, 3))

    def depthwise(h: np.ndarray) -> np.ndarray:
        return textbook.depthwise_forward(h, w_depthwise, None, (stride, stride), (1, 1, 1, 1), (1, 1))

    return (lambda x: mix(w_expand, x)) if expanded else None, depthwise, lambda h: mix(w_project, h)


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
)


TASKS = [
    Task(
        "what a convolution costs",
        check_conv_cost,
        functions=("conv_cost",),
        slips=CONV_SLIPS,
        hints=(
            "Draw one filter: how many numbers has it, and how often is it laid down?",
            "The weights are an array (F, C / groups, KH, KW). Each is multiplied once at every position of the output, and "
            "positions there are OH x OW.",
            "weights = F * (C // groups) * KH * KW;  parameters: F more, with a bias;  multiply-adds = weights * OH * OW",
        ),
        points=2,
    ),
    Task(
        "the table of a network",
        check_stack_costs,
        functions=("stack_costs",),
        slips=STACK_SLIPS,
        hints=(
            "Go through the layers with a loop, and keep one thing from turn to turn. Which?",
            "Keep the shape that the layer before has put out. An fc does not care about rows and columns: a weight for each "
            "number that comes in, math.prod(shape) of them, and each output.",
            "for kind, *numbers in layers: make a row (shape, parameters, multiply_adds), append it, keep the shape. "
            "The values are the sum of math.prod(shape) over all rows",
        ),
        points=2,
    ),
    Task(
        "a residual block, forward and backward",
        check_residual,
        functions=("residual_forward", "residual_backward"),
        slips=RESIDUAL_SLIPS,
        hints=(
            "Give the numbers in between names: h, the body, the shortcut, their sum z. Then go back through them one by one.",
            "Whatever the gradient of z is, body and shortcut both get it. x is used twice, so its two gradients add up. "
            "A ReLU lets the gradient through where its input was above 0.",
            "dz = np.where(z > 0, dy, 0);  dh = np.where(h > 0, dz @ w2, 0);  dx = dh @ w1 plus dz, or plus dz @ ws",
        ),
        points=3,
    ),
    Task(
        "an Inception module, forward and backward",
        check_inception,
        functions=("inception_forward", "inception_backward"),
        slips=INCEPTION_SLIPS,
        hints=(
            "Each branch is a small network of its own. What is joined on the way up is cut apart on the way back.",
            'np.einsum("rc,nchw->nrhw", reduce, x) is the 1x1 convolution. Backward, keep count of which channel of dy the '
            "next branch begins with; dx starts at zeros, and every branch adds to it.",
            "dy_k = dy[:, first : first + len(expand)];  dh = np.where(h > 0, expand^T dy_k, 0);  dx += reduce^T dh",
        ),
        points=3,
    ),
    Task(
        "what a depthwise separable block costs",
        check_separable,
        functions=("separable_cost",),
        slips=SEPARABLE_SLIPS,
        hints=(
            "Write down the shapes of the weights of both convolutions.",
            "Depthwise: C filters of K x K. Then 1x1: F filters of C. Both work on the map that the stride has made smaller.",
            "parameters = C K^2 + C F; multiply-adds = that times ceil(H / stride) ceil(W / stride); the full convolution has "
            "C F K^2 weights at the same positions",
        ),
    ),
    Task(
        "what a fire module costs",
        check_fire,
        functions=("fire_cost",),
        slips=FIRE_SLIPS,
        hints=(
            "Three convolutions: what does each see, and how many filters has it?",
            "Squeeze: in_channels to squeezed, 1x1. The two others see `squeezed` channels; what they give lies side by side.",
            "weights = in_channels * squeezed + squeezed * ones + 9 * squeezed * threes; a bias for each of the filters",
        ),
    ),
    Task(
        "an inverted residual",
        check_inverted_residual,
        functions=("inverted_residual",),
        slips=INVERTED_SLIPS,
        hints=(
            "Call the three functions one after another. After which of them is there an activation?",
            "After expand and after depthwise, not after project. When to add x is decided by comparing two shapes.",
            "h = np.clip(expand(x), 0, 6) or x; y = project(np.clip(depthwise(h), 0, 6)); x + y if y.shape == x.shape, else y",
        ),
        points=2,
    ),
]


# ---- all of it at work


class StudentsInception(Layer):
    """The student's Inception module as a layer of the engine."""

    def __init__(self, functions: dict, branches: list[tuple[np.ndarray, np.ndarray]]):
        super().__init__()
        self.functions = functions
        self.pairs = [(Parameter(reduce.copy()), Parameter(expand.copy())) for reduce, expand in branches]

    def values(self) -> list[tuple[np.ndarray, np.ndarray]]:
        return [(reduce.value, expand.value) for reduce, expand in self.pairs]

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.remember(x=x)
        return np.asarray(self.functions["inception_forward"](x, self.values()))

    def backward(self, dy: np.ndarray) -> np.ndarray:
        dx, gradients = self.functions["inception_backward"](dy, self.recall().x, self.values())
        for pair, gradient in zip(self.pairs, gradients, strict=True):
            pair[0].grad, pair[1].grad = map(np.asarray, gradient)
        return np.asarray(dx)

    def parameters(self) -> dict[str, Parameter]:
        named = {}
        for k, (reduce, expand) in enumerate(self.pairs):
            named |= {f"reduce{k}": reduce, f"expand{k}": expand}
        return named


class StudentsResidual(Layer):
    """The student's residual block as a layer of the engine."""

    def __init__(self, functions: dict, w1: np.ndarray, w2: np.ndarray, ws: np.ndarray | None):
        super().__init__()
        self.functions = functions
        self.weights = [None if w is None else Parameter(w.copy()) for w in (w1, w2, ws)]

    def values(self) -> list[np.ndarray | None]:
        return [w and w.value for w in self.weights]

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.remember(x=x)
        return np.asarray(self.functions["residual_forward"](x, *self.values()))

    def backward(self, dy: np.ndarray) -> np.ndarray:
        dx, *gradients = self.functions["residual_backward"](dy, self.recall().x, *self.values())
        for weight, gradient in zip(self.weights, gradients, strict=True):
            if weight is not None:
                weight.grad = np.asarray(gradient)
        return np.asarray(dx)

    def parameters(self) -> dict[str, Parameter]:
        return {name: w for name, w in zip(("w1", "w2", "ws"), self.weights, strict=True) if w is not None}


def finale(functions: dict, out: Path) -> None:
    """Train a network of the student's blocks on digits, and the engine's twin with the same start beside it."""
    rng = np.random.default_rng(9)
    folder = find_data("mnist")
    pictures, labels, *_ = load_mnist(folder) if folder else drawn_digits(4000, rng)
    chosen = rng.permutation(len(pictures))[:2500]
    x = pictures[chosen].reshape(-1, 1, 14, 2, 14, 2).mean(axis=(3, 5))
    x, y = (x - x.mean()) / x.std(), labels[chosen]

    def draw(outputs: int, inputs: int) -> np.ndarray:
        return rng.standard_normal((outputs, inputs)) * math.sqrt(2 / inputs)

    branches = [(draw(4, 8), draw(8, 4)), (draw(6, 8), draw(12, 6))]
    blocks = [(draw(48, 980), draw(48, 48), draw(48, 980)), *((draw(48, 48), 0.3 * draw(48, 48), None) for _ in range(4))]
    inceptions = StudentsInception(functions, branches), inception_module(8, branches)
    theirs, ours = (
        Sequential(
            stem=Conv2d(1, 8, 5, stride=2, pad=2, rng=1, algorithm="textbook").astype(np.float64),
            relu=ReLU(),
            inception=inception,
            flatten=Flatten(),
            **{f"block{k}": make(*block) for k, block in enumerate(blocks)},
            scores=Linear(48, 10, rng=2).astype(np.float64),
        ).train()
        for inception, make in zip(inceptions, (lambda *w: StudentsResidual(functions, *w), residual_block), strict=True)
    )
    loss, losses = SoftmaxCrossEntropy(), []
    optimizers = [SGD(network.parameters(), 0.003, momentum=0.9) for network in (theirs, ours)]
    for _ in range(4):
        order = rng.permutation(2000)
        for start in range(0, 2000, 25):
            rows, both = order[start : start + 25], []
            for network, optimizer in zip((theirs, ours), optimizers, strict=True):
                both.append(loss.forward(network.forward(x[rows]), y[rows]))
                network.backward(loss.backward())
                optimizer.step()
            losses.append(both)
    accuracy = np.mean(theirs.eval().forward(x[2000:]).argmax(axis=1) == y[2000:])
    figure, ax = plt.subplots(figsize=(6, 3.2))
    for curve, color, width, label in zip(
        np.transpose(losses), (ORANGE, BLUE), (4, 1), ("your blocks", "minicnn's blocks"), strict=True
    ):
        ax.plot(curve, color=color, lw=width, label=label)
    ax.set(xlabel="step", ylabel="loss", title=f"A small network of your blocks reads {accuracy:.0%} of new digits")
    ax.legend()
    save(figure, out.parent, "finale")
    apart = max(abs(a - b) for a, b in losses)
    print(f"a network of your blocks reads {accuracy:.1%} of 500 new digits; its losses and its twin's differ by {apart:.0e}")


FINALE = finale
