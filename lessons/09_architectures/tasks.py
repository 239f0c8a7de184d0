"""Lesson 9: what is asked of each function, and the mistakes that people make in it.

The numbers and shapes are new each time; the cases are not. No two sizes are equal that could be mistaken for each other.
"""

import math
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from slips import (
    CONV_SLIPS,
    FIRE_SLIPS,
    INCEPTION_SLIPS,
    INVERTED_SLIPS,
    RESIDUAL_SLIPS,
    SEPARABLE_SLIPS,
    STACK_SLIPS,
    mix,
    relu,
)

from minicnn.course import Mistake, Student, Task
from minicnn.course.expect import expect_array, expect_close, expect_gradients, expect_number, expect_several
from minicnn.course.workbench import BLUE, ORANGE, drawn_digits, find_data, save
from minicnn.data import load_mnist
from minicnn.gradcheck import check_function
from minicnn.kernels import textbook
from minicnn.layers import Concat, Conv2d, Flatten, Layer, Linear, MaxPool2d, Parameter, ReLU, Residual, Sequential
from minicnn.losses import SoftmaxCrossEntropy
from minicnn.optim import SGD


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
