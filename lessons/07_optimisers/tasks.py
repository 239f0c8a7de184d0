"""Lesson 7: the tasks of exercise.py, the mistakes that people make in them, and hints.

The numbers differ from run to run; the cases do not. An optimiser's step is asked for in the middle of a run first, where all
that it remembers is there and eps is so large that its place matters, and then at the start of a run, where all of it is zero.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.linalg import sqrtm

from minicnn import schedules
from minicnn.course import Mistake, Slip, Student, Task
from minicnn.course.expect import expect_close, expect_number, expect_several
from minicnn.layers import Parameter
from minicnn.optim import SGD, AdaGrad, Adam, AdamW, Newton, Optimizer, RMSProp, clip_gradient_norm

# ---- what the tasks of the optimisers share


def shapes(rng: np.random.Generator) -> list[tuple[int, ...]]:
    """Of a matrix, a vector and filters, no two axes of equal length."""
    n = [int(n) for n in rng.permutation([2, 3, 4, 5])]
    return [(n[0], n[1]), (n[2],), (n[3], n[2], n[1], n[0])]


def by_minicnn(
    make: Callable[[dict[str, Parameter]], Optimizer], w: np.ndarray, g: np.ndarray, state: dict[str, Any]
) -> tuple[np.ndarray, dict[str, Any]]:
    """The weights and the state after a step of an optimiser of minicnn that remembers ``state``."""
    weight = Parameter(w.copy())
    weight.grad = g.copy()
    optimizer = make({"w": weight})
    optimizer.state["w"] = {name: value.copy() if isinstance(value, np.ndarray) else value for name, value in state.items()}
    optimizer.step()
    return weight.value, optimizer.state["w"]


def expect_step(student: Student, name: str, parts: str, arguments: tuple, expected: tuple, when: str) -> None:
    """The student's step must give what is expected; what it remembers is compared before the weights, which follow from it."""
    got = expect_several(name, getattr(student, name)(*arguments), parts)
    for part, value, right in reversed(list(zip(parts.split(", "), got, expected, strict=True))):
        what = f"{part} of {name}() {when}"
        expect_close(what, expect_number(what, value) if np.ndim(right) == 0 else value, np.asarray(right, np.float64))


# ---- Task 1


def momentum(student: Student, rng: np.random.Generator) -> None:
    matrix, vector, filters = shapes(rng)
    for name, is_nesterov in (("momentum_step", False), ("nesterov_step", True)):
        cases = [
            (matrix, 1.0, rng.uniform(0.5, 0.8), "in the middle of a run"),
            (vector, 0.0, 0.9, "from v = 0"),
            (filters, 5.0, rng.uniform(0.85, 0.95), "of filters"),
        ]
        for shape, speed, mu, when in cases:
            lr = rng.uniform(0.05, 0.4)
            w, g, v = rng.standard_normal(shape), rng.standard_normal(shape), speed * rng.standard_normal(shape)
            new, state = by_minicnn(lambda p, lr=lr, mu=mu, n=is_nesterov: SGD(p, lr, mu, n), w, g, {"v": v})
            expect_step(student, name, "w, v", (w, g, v, lr, mu), (new, state["v"]), when)
    w, g, v = (rng.standard_normal(vector) for _ in range(3))
    plain = by_minicnn(lambda p: SGD(p, 0.1), w, g, {})[0]
    expect_step(student, "momentum_step", "w, v", (w, g, v, 0.1, 0.0), (plain, g), "with mu = 0, which is plain SGD,")


MOMENTUM = Task(
    "momentum, and Nesterov's",
    momentum,
    functions=("momentum_step", "nesterov_step"),
    slips=(
        Slip(
            "The gradient is added: that climbs",
            "The gradient points to where the loss grows. (The slides of the lecture have this sign, too.)",
            {"momentum_step": lambda w, g, v, lr, mu: (w + lr * (mu * v + g), mu * v + g)},
            r"w\s*\+=?",
        ),
        Slip(
            "Nesterov's step adds the gradient: that climbs",
            "It goes down like the step with momentum does.",
            {"nesterov_step": lambda w, g, v, lr, mu: (w + lr * (g + mu * (mu * v + g)), mu * v + g)},
            r"w\s*\+=?",
        ),
        Slip(
            "The rate is inside the velocity",
            "That is another convention, in which v is a length and not a gradient. Here v knows nothing of the rate, so "
            "that a schedule takes effect at once.",
            {"momentum_step": lambda w, g, v, lr, mu: (w - (mu * v + lr * g), mu * v + lr * g)},
            r"lr\s*\*\s*g|g\s*\*\s*lr",
        ),
        Slip(
            "The velocity is of the sign, and has the rate, that it has in Sutskever's paper",
            "There v <- mu v - lr g and w <- w + v: the same method in other variables. Here v is made of gradients alone.",
            {"momentum_step": lambda w, g, v, lr, mu: (w + mu * v - lr * g, mu * v - lr * g)},
            r"-\s*lr\s*\*\s*g",
        ),
        Slip(
            "The velocity is an average: the new gradient is multiplied by 1 - mu",
            "Adam does that with its m. Momentum adds gradients up; where they agree it gets 1 / (1 - mu) times as fast.",
            {
                "momentum_step": lambda w, g, v, lr, mu: (
                    w - lr * (mu * v + (1 - mu) * g),
                    mu * v + (1 - mu) * g,
                )
            },
            r"1\.?0?\s*-\s*mu",
        ),
        Slip(
            "The step uses the old velocity",
            "Which comes first, the new velocity or the step? The gradient of this step has a part in it.",
            {"momentum_step": lambda w, g, v, lr, mu: (w - lr * v, mu * v + g)},
            r"lr\s*\*\s*v|v\s*\*\s*lr",
        ),
        Slip(
            "The velocity is updated, but the step follows the gradient alone",
            "What is the velocity for? It is what moves the weights.",
            {"momentum_step": lambda w, g, v, lr, mu: (w - lr * g, mu * v + g)},
            r"lr\s*\*\s*g|g\s*\*\s*lr",
        ),
        Slip(
            "The velocity that was given is not used",
            "What the steps before have left is in v. A function that keeps nothing must take it from there.",
            {"momentum_step": lambda w, g, v, lr, mu: (w - lr * g, g.copy())},
        ),
        Slip(
            "The old velocity is returned",
            "The next step is given what this one returns.",
            {"momentum_step": lambda w, g, v, lr, mu: (w - lr * (mu * v + g), v.copy())},
            r"return",
        ),
        Slip(
            "Nesterov's step is the step with momentum",
            "Is mu multiplied by the new velocity, or by the old one? With the old one, g + mu v is the new velocity itself.",
            {"nesterov_step": lambda w, g, v, lr, mu: (w - lr * (mu * v + g), mu * v + g)},
            r"lr\s*\*",
        ),
        Slip(
            "In Nesterov's step the velocity is not multiplied by mu",
            "How much of the velocity will be left in the next step? That much of it lies ahead.",
            {"nesterov_step": lambda w, g, v, lr, mu: (w - lr * (g + mu * v + g), mu * v + g)},
            r"lr\s*\*",
        ),
        Slip(
            "In Nesterov's step the gradient itself is missing",
            "Looking ahead by mu v is one half of the step; the other half is where the gradient points now.",
            {"nesterov_step": lambda w, g, v, lr, mu: (w - lr * mu * (mu * v + g), mu * v + g)},
            r"lr\s*\*",
        ),
        Slip(
            "In Nesterov's step mu is at the gradient, not at the velocity",
            "Which of the two fades from step to step?",
            {"nesterov_step": lambda w, g, v, lr, mu: (w - lr * (mu * g + mu * v + g), mu * v + g)},
            r"mu\s*\*\s*g|g\s*\*\s*mu",
        ),
    ),
    hints=(
        "Each function needs two things: the new velocity, and the weights that follow from it. Both are returned.",
        "The velocity comes first, because the step uses the new one. Nesterov's step is the gradient and, beside it, the "
        "part of the new velocity that will be left in the next step.",
        "new_v = mu * v + g; then w - lr * new_v, or w - lr * (g + mu * new_v).",
    ),
    points=2,
)

# ---- Task 2


def adaptive(student: Student, rng: np.random.Generator) -> None:
    matrix, vector, filters = shapes(rng)
    for name in ("adagrad_step", "rmsprop_step"):
        cases = [
            (matrix, 1.0, rng.uniform(0.2, 0.4), rng.uniform(0.6, 0.8), "in the middle of a run"),
            (vector, 0.0, 1e-8, 0.9, "from a cache of zeros, where one gradient is 0,"),
            (filters, 100.0, 1e-8, rng.uniform(0.9, 0.99), "of filters"),
        ]
        for shape, size, eps, decay, when in cases:
            w, g, lr = rng.standard_normal(shape), rng.standard_normal(shape), rng.uniform(0.05, 0.4)
            cache = size * rng.uniform(0.5, 2, shape)
            g.flat[0] *= size > 0
            is_adagrad = name == "adagrad_step"

            def make(p: dict, lr: float = lr, eps: float = eps, decay: float = decay, own: bool = is_adagrad) -> Optimizer:
                return AdaGrad(p, lr, eps) if own else RMSProp(p, lr, decay, eps)

            new, state = by_minicnn(make, w, g, {"cache": cache})
            constants = (lr, eps) if is_adagrad else (lr, decay, eps)
            expect_step(student, name, "w, cache", (w, g, cache, *constants), (new, state["cache"]), when)


def adagrad_slip(
    cache_of: Callable = lambda c, g: c + g**2, divisor: Callable = lambda c, eps: np.sqrt(c) + eps, sign: int = 1
) -> dict[str, Callable]:
    def adagrad_step(w, g, cache, lr, eps):
        new = cache_of(cache, g)
        return w - sign * lr * g / divisor(new, eps), new

    return {"adagrad_step": adagrad_step}


def rmsprop_slip(
    cache_of: Callable = lambda c, g, d: d * c + (1 - d) * g**2,
    divisor: Callable = lambda c, eps: np.sqrt(c) + eps,
    sign: int = 1,
) -> dict[str, Callable]:
    def rmsprop_step(w, g, cache, lr, decay, eps):
        new = cache_of(cache, g, decay)
        return w - sign * lr * g / divisor(new, eps), new

    return {"rmsprop_step": rmsprop_step}


ADAPTIVE = Task(
    "AdaGrad and RMSProp",
    adaptive,
    functions=("adagrad_step", "rmsprop_step"),
    slips=(
        Slip(
            "AdaGrad divides by the cache, not by its root",
            "The cache is made of squares. What has the unit of a gradient again?",
            adagrad_slip(divisor=lambda c, eps: c + eps),
            r"/",
        ),
        Slip(
            "AdaGrad has eps inside the root",
            "It is a convention, but one that shows while the cache is small. Here the root is taken first.",
            adagrad_slip(divisor=lambda c, eps: np.sqrt(c + eps)),
            r"eps",
        ),
        Slip(
            "AdaGrad lacks eps",
            "Where a weight has had no gradient yet, what is divided by what?",
            adagrad_slip(divisor=lambda c, eps: np.sqrt(c)),
            r"sqrt|\*\*",
        ),
        Slip(
            "AdaGrad's cache adds up sizes, not squares",
            "It is the root that makes a size of it again.",
            adagrad_slip(lambda c, g: c + np.abs(g)),
            r"abs",
        ),
        Slip(
            "AdaGrad's cache adds up the gradients themselves",
            "Gradients of opposite signs would cancel. What of them never does?",
            adagrad_slip(lambda c, g: c + g),
            r"cache",
        ),
        Slip(
            "AdaGrad divides by the old cache",
            "The gradient of this step belongs to those that count. Without it, what would the first step divide by?",
            {"adagrad_step": lambda w, g, cache, lr, eps: (w - lr * g / (np.sqrt(cache) + eps), cache + g**2)},
            r"/",
        ),
        Slip(
            "AdaGrad has one cache for all weights: the squares are summed over the array",
            "Each weight has a rate of its own; that is the point of it.",
            adagrad_slip(lambda c, g: c + (g**2).sum()),
            r"sum|norm|dot|@",
        ),
        Slip(
            "AdaGrad's step adds the gradient: that climbs",
            "Dividing by a root changes no sign; the step goes down.",
            adagrad_slip(sign=-1),
            r"w\s*\+=?",
        ),
        Slip(
            "AdaGrad returns the old cache",
            "The next step is given what this one returns.",
            {
                "adagrad_step": lambda w, g, cache, lr, eps: (
                    w - lr * g / (np.sqrt(cache + g**2) + eps),
                    cache.copy(),
                )
            },
            r"return",
        ),
        Slip(
            "RMSProp forgets nothing: its cache is AdaGrad's",
            "An average lets the old fade, by the factor decay in each step.",
            rmsprop_slip(lambda c, g, d: c + g**2),
            r"cache",
        ),
        Slip(
            "decay and 1 - decay are exchanged",
            "decay is near 1. Which should count for more, the one new gradient, or all of those before?",
            rmsprop_slip(lambda c, g, d: (1 - d) * c + d * g**2),
            r"decay",
        ),
        Slip(
            "The new square is not multiplied by 1 - decay",
            "In an average the shares add up to 1.",
            rmsprop_slip(lambda c, g, d: d * c + g**2),
            r"decay",
        ),
        Slip(
            "1 - decay is squared with the gradient",
            "What is squared: the gradient, or its share?",
            rmsprop_slip(lambda c, g, d: d * c + ((1 - d) * g) ** 2),
            r"decay",
        ),
        Slip(
            "RMSProp divides by the cache, not by its root",
            "The cache is made of squares. What has the unit of a gradient again?",
            rmsprop_slip(divisor=lambda c, eps: c + eps),
            r"/",
        ),
        Slip(
            "RMSProp has eps inside the root",
            "Keras does it so; here the root is taken first.",
            rmsprop_slip(divisor=lambda c, eps: np.sqrt(c + eps)),
            r"eps",
        ),
        Slip(
            "RMSProp divides by the old cache",
            "The gradient of this step belongs to those that count.",
            {
                "rmsprop_step": lambda w, g, cache, lr, decay, eps: (
                    w - lr * g / (np.sqrt(cache) + eps),
                    decay * cache + (1 - decay) * g**2,
                )
            },
            r"/",
        ),
        Slip(
            "RMSProp's step adds the gradient: that climbs",
            "Dividing by a root changes no sign; the step goes down.",
            rmsprop_slip(sign=-1),
            r"w\s*\+=?",
        ),
    ),
    hints=(
        "Both do the same with the cache once they have it. They differ in how this step's squares get into it.",
        "A sum of squares, or a moving average of them, for each element; its root is the size that this weight's gradients "
        "usually have. Divide by that size, and every weight's step has about the same length.",
        "cache + g**2, or decay * cache + (1 - decay) * g**2; then w - lr * g / (np.sqrt(new_cache) + eps).",
    ),
    points=2,
)

# ---- Task 3


def adam(student: Student, rng: np.random.Generator) -> None:
    matrix, vector, filters = shapes(rng)
    for name in ("adam_step", "adamw_step"):
        cases = [
            (matrix, int(rng.integers(2, 6)), 1.0, rng.uniform(0.2, 0.4), 0.8, 0.9, "in the middle of a run"),
            (vector, 0, 0.0, 1e-8, 0.9, 0.999, "at the first step, t = 0 before it,"),
            (filters, int(rng.integers(50, 500)), 10.0, 1e-8, 0.9, 0.99, "after many steps"),
        ]
        for shape, t, size, eps, beta1, beta2, when in cases:
            w, g, m = rng.standard_normal(shape), rng.standard_normal(shape), size * rng.standard_normal(shape)
            v, lr, wd = size**2 * rng.uniform(0.5, 2, shape), rng.uniform(0.05, 0.4), rng.uniform(0.2, 0.5)
            constants = (lr, beta1, beta2, eps) + ((wd,) if name == "adamw_step" else ())

            def make(p: dict, constants: tuple = constants, plain: bool = name == "adam_step") -> Optimizer:
                return Adam(p, *constants) if plain else AdamW(p, *constants)

            new, state = by_minicnn(make, w, g, {"t": t, "m": m, "v": v})
            expected = (new, state["m"], state["v"], float(t + 1))
            expect_step(student, name, "w, m, v, t", (w, g, m, v, t, *constants), expected, when)


def adam_slip(
    step: Callable = lambda m, v, b1, b2, eps: m / (1 - b1) / (np.sqrt(v / (1 - b2)) + eps),
    m_of: Callable = lambda m, g, b1, b2: b1 * m + (1 - b1) * g,
    v_of: Callable = lambda v, g, b1, b2: b2 * v + (1 - b2) * g**2,
    later: int = 1,
    sign: int = 1,
    t_of: Callable = lambda t: t + 1,
) -> dict[str, Callable]:
    """adam_step() with one thing changed; b1 and b2 are beta^t in ``step``."""

    def adam_step(w, g, m, v, t, lr, beta1, beta2, eps):
        m, v = m_of(m, g, beta1, beta2), v_of(v, g, beta1, beta2)
        return w - sign * lr * step(m, v, beta1 ** (t + later), beta2 ** (t + later), eps), m, v, t_of(t)

    return {"adam_step": adam_step}


def adamw_slip(before: Callable, after: Callable = lambda w, lr, wd: w, in_gradient: bool = False) -> dict[str, Callable]:
    """adamw_step() with the weights changed otherwise ``before`` Adam's step, or changed ``after`` it."""
    right = adam_slip()["adam_step"]

    def adamw_step(w, g, m, v, t, lr, beta1, beta2, eps, wd):
        gradient = g + wd * w if in_gradient else g
        new, m, v, t = right(before(w, lr, wd), gradient, m, v, t, lr, beta1, beta2, eps)
        return after(new, lr, wd), m, v, t

    return {"adamw_step": adamw_step}


def corrected_moments_kept(w, g, m, v, t, lr, beta1, beta2, eps):
    t = t + 1
    m, v = (beta1 * m + (1 - beta1) * g) / (1 - beta1**t), (beta2 * v + (1 - beta2) * g**2) / (1 - beta2**t)
    return w - lr * m / (np.sqrt(v) + eps), m, v, t


ADAM = Task(
    "Adam and AdamW",
    adam,
    functions=("adam_step", "adamw_step"),
    slips=(
        Slip(
            "The bias correction uses t before it is counted up",
            "Put t = 0 into 1 - beta^t. The pseudo-code counts from 1: the first step is number 1.",
            adam_slip(later=0),
            r"\*\*\s*t\b|pow",
        ),
        Slip(
            "The bias correction is missing",
            "m and v begin at zero. After one step, how much of g is in m, and how much of g^2 in v?",
            adam_slip(lambda m, v, b1, b2, eps: m / (np.sqrt(v) + eps)),
            r"sqrt",
        ),
        Slip(
            "Only m is corrected",
            "v begins at zero as well, and has more to make up for.",
            adam_slip(lambda m, v, b1, b2, eps: m / (1 - b1) / (np.sqrt(v) + eps)),
            r"sqrt",
        ),
        Slip(
            "Only v is corrected",
            "m begins at zero as well.",
            adam_slip(lambda m, v, b1, b2, eps: m / (np.sqrt(v / (1 - b2)) + eps)),
            r"sqrt",
        ),
        Slip(
            "The correction multiplies by 1 - beta^t",
            "m and v are too small at first. Must they get smaller still?",
            adam_slip(lambda m, v, b1, b2, eps: m * (1 - b1) / (np.sqrt(v * (1 - b2)) + eps)),
            r"\*\s*\(\s*1",
        ),
        Slip(
            "The correction divides by 1 - beta, whatever t is",
            "How wrong m is depends on how many steps there were. After very many, nothing is to be corrected.",
            {
                "adam_step": lambda w, g, m, v, t, lr, beta1, beta2, eps: (
                    w
                    - lr
                    * ((beta1 * m + (1 - beta1) * g) / (1 - beta1))
                    / (np.sqrt((beta2 * v + (1 - beta2) * g**2) / (1 - beta2)) + eps),
                    beta1 * m + (1 - beta1) * g,
                    beta2 * v + (1 - beta2) * g**2,
                    t + 1,
                )
            },
            r"/\s*\(\s*1",
        ),
        Slip(
            "The corrected m and v are returned",
            "What is returned goes into the next step, which corrects it again.",
            {"adam_step": corrected_moments_kept},
            r"return",
        ),
        Slip(
            "eps is inside the root",
            "Here the root is taken first.",
            adam_slip(lambda m, v, b1, b2, eps: m / (1 - b1) / np.sqrt(v / (1 - b2) + eps)),
            r"eps",
        ),
        Slip(
            "eps is added to the root before that is corrected",
            "Section 2 of the paper has such a form, with another eps. Here it is added to the corrected root.",
            adam_slip(lambda m, v, b1, b2, eps: np.sqrt(1 - b2) / (1 - b1) * m / (np.sqrt(v) + eps)),
            r"eps",
        ),
        Slip(
            "The root of v is missing",
            "v is an average of squares. What has the unit of m?",
            adam_slip(lambda m, v, b1, b2, eps: m / (1 - b1) / (v / (1 - b2) + eps)),
            r"eps",
        ),
        Slip(
            "m takes the new gradient with beta, and the old ones with 1 - beta",
            "beta1 is near 1. Which should count for more, one new gradient, or all of those before?",
            adam_slip(m_of=lambda m, g, b1, b2: (1 - b1) * m + b1 * g),
            r"beta1",
        ),
        Slip(
            "m adds the gradient without its share of 1 - beta1",
            "In an average the shares add up to 1.",
            adam_slip(m_of=lambda m, g, b1, b2: b1 * m + g),
            r"beta1",
        ),
        Slip(
            "beta1 and beta2 are exchanged",
            "Which of the two belongs to m, and which to v?",
            {
                "adam_step": lambda w, g, m, v, t, lr, beta1, beta2, eps: adam_slip()["adam_step"](
                    w, g, m, v, t, lr, beta2, beta1, eps
                )
            },
            r"beta2",
        ),
        Slip(
            "v averages the gradient, not its square",
            "v is to say how large gradients are, whatever their signs.",
            adam_slip(v_of=lambda v, g, b1, b2: b2 * v + (1 - b2) * g),
            r"beta2",
        ),
        Slip(
            "v averages the square of m, not of the gradient",
            "Both m and v are fed with the gradient of this step.",
            {
                "adam_step": lambda w, g, m, v, t, lr, beta1, beta2, eps: adam_slip(
                    v_of=lambda v, _, b1, b2: b2 * v + (1 - b2) * (b1 * m + (1 - b1) * g) ** 2
                )["adam_step"](w, g, m, v, t, lr, beta1, beta2, eps)
            },
            r"beta2",
        ),
        Slip(
            "The step adds: that climbs",
            "m points to where the loss grows.",
            adam_slip(sign=-1),
            r"w\s*\+=?",
        ),
        Slip(
            "The t that is returned has not been counted up",
            "The next step is given what this one returns.",
            adam_slip(t_of=lambda t: t),
            r"return",
        ),
        Slip(
            "The decay is in the gradient: that is Adam with L2 regularisation",
            "There it passes through the division by the root of v, and weights with large gradients hardly decay. Here it is "
            "to be kept out of that.",
            adamw_slip(lambda w, lr, wd: w, in_gradient=True),
            r"wd",
        ),
        Slip(
            "The decay is not multiplied by the rate",
            "By what share do the weights shrink in a step? (The paper's own decay is that; here, as in PyTorch, it is lr wd.)",
            adamw_slip(lambda w, lr, wd: w - wd * w),
            r"wd",
        ),
        Slip(
            "The weights grow instead of shrinking",
            "Decay draws them towards zero.",
            adamw_slip(lambda w, lr, wd: w + lr * wd * w),
            r"wd",
        ),
        Slip(
            "The weights shrink after Adam's step",
            "Which weights is it that shrink, those before the step or those after it?",
            adamw_slip(lambda w, lr, wd: w, lambda w, lr, wd: w - lr * wd * w),
            r"wd",
        ),
        Slip(
            "There is no decay",
            "wd is an argument of adamw_step that must have an effect.",
            adamw_slip(lambda w, lr, wd: w),
        ),
    ),
    hints=(
        "Follow the five lines of the docstring in their order, and keep m and v apart from their corrected forms.",
        "m and v are moving averages that begin at zero; dividing by 1 - beta^t, with t = 1 in the first step, makes up for "
        "it. AdamW is a function of two lines, if the second is a call of your own adam_step.",
        "t = t + 1; m = beta1 * m + (1 - beta1) * g; v likewise with beta2 and g**2; the step is "
        "lr * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps). AdamW: the same from w - lr * wd * w.",
    ),
    points=3,
)

# ---- Task 4


def newton(student: Student, rng: np.random.Generator) -> None:
    for D, damping in ((int(rng.integers(3, 7)), rng.uniform(0.3, 0.7)), (1, 0.5), (4, 0.0)):
        w, g, H = a_saddle(rng, D)
        weight = Parameter(w.copy())

        def evaluate(weight: Parameter = weight, g: np.ndarray = g) -> float:
            weight.grad = g.copy()
            return 0.0

        Newton({"w": weight}, damping=damping, hessian=lambda _, H=H: H).step(evaluate)
        what = f"w of newton_step() ({D} weight{'s' * (D > 1)}, damping {damping:.2g})"
        expect_close(what, student.newton_step(w, g, H, damping), weight.value)
    for D, damping in ((int(rng.integers(3, 7)), rng.uniform(0.3, 0.7)), (1, 0.5), (4, 0.0)):
        w, g, H = a_saddle(rng, D)
        size = np.real(sqrtm(H @ H))  # |H|, without its eigenvectors
        expected = w - np.linalg.inv(size + damping * np.eye(D)) @ g
        what = f"w of saddle_free_step() ({D} weight{'s' * (D > 1)}, damping {damping:.2g})"
        expect_close(what, student.saddle_free_step(w, g, H, damping), expected)


def a_saddle(rng: np.random.Generator, D: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """w, g, and a Hessian with curvatures of both signs (a negative one, if there is only one), none near 0 or -damping."""
    Q = np.linalg.qr(rng.standard_normal((D, D)))[0]
    signs = np.where(np.arange(D) % 2, 1, -1)
    H = (Q * (signs * rng.permutation(np.arange(1, D + 1) + rng.uniform(0.2, 0.5, D)))) @ Q.T
    return rng.standard_normal(D), rng.standard_normal(D), (H + H.T) / 2


def newton_by(matrix: Callable) -> dict[str, Callable]:
    """newton_step() with another matrix in the place of H + damping I."""
    return {"newton_step": lambda w, g, H, damping: w - np.linalg.solve(matrix(H, damping), g)}


def saddle_free_by(curvature: Callable, columns: bool = True) -> dict[str, Callable]:
    """saddle_free_step() with another divisor for each eigenvalue, or with rows taken for eigenvectors."""

    def saddle_free_step(w, g, H, damping):
        eigenvalues, Q = np.linalg.eigh(H)
        Q = Q if columns else Q.T
        return w - Q @ (Q.T @ g / curvature(eigenvalues, damping))

    return {"saddle_free_step": saddle_free_step}


NEWTON = Task(
    "a Newton step, damped, and one off saddles",
    newton,
    functions=("newton_step", "saddle_free_step"),
    slips=(
        Slip(
            "The step is added",
            "Take one weight and L = w^2 / 2: g is w and H is 1. Where is the minimum?",
            {"newton_step": lambda w, g, H, damping: w + np.linalg.solve(H + damping * np.eye(len(w)), g)},
            r"w\s*\+=?",
        ),
        Slip(
            "The damping is added to every element of H",
            "damping I is a matrix with zeros off its diagonal.",
            newton_by(lambda H, damping: H + damping),
            r"H\s*\+\s*damping|damping\s*\+\s*H",
        ),
        Slip(
            "The damping is missing",
            "Where H is nearly singular the step gets very long without it.",
            newton_by(lambda H, damping: H),
            r"solve|inv",
        ),
        Slip(
            "The damping is subtracted",
            "Damping makes every curvature larger, and so the step shorter.",
            newton_by(lambda H, damping: H - damping * np.eye(len(H))),
            r"-\s*damping",
        ),
        Slip(
            "The gradient is multiplied by the matrix, not by its inverse",
            "Where the curvature is large, is the minimum near or far?",
            {"newton_step": lambda w, g, H, damping: w - (H + damping * np.eye(len(w))) @ g},
            r"@|dot|matmul",
        ),
        Slip(
            "Only the diagonal of H is used",
            "The axes of the valley are not those of the weights: the other elements say how it is turned.",
            {"newton_step": lambda w, g, H, damping: w - g / (np.diag(H) + damping)},
            r"diag",
        ),
        Slip(
            "The gradient is divided by H element by element, and summed up",
            "An inverse matrix has other elements than one over those of the matrix.",
            {"newton_step": lambda w, g, H, damping: w - (g / (H + damping * np.eye(len(w)))).sum(axis=1)},
            r"/",
        ),
        Slip(
            "The matrix is inverted, and then the damping is added to the inverse",
            "What is damped is the curvature.",
            {"newton_step": lambda w, g, H, damping: w - (np.linalg.inv(H) + damping * np.eye(len(w))) @ g},
            r"inv",
        ),
        Slip(
            "saddle_free_step keeps the signs: it is newton_step",
            "Along an eigenvector of negative curvature, which way does Newton's step go?",
            saddle_free_by(lambda e, damping: e + damping),
            r"eig",
        ),
        Slip(
            "The size is taken after the damping is added",
            "damping must make each divisor larger. What does it do to a curvature that is negative?",
            saddle_free_by(lambda e, damping: np.abs(e + damping)),
            r"abs",
        ),
        Slip(
            "Negative curvatures are taken to be zero",
            "Then the step along them has the length of 1 over the damping, however strongly the loss bends.",
            saddle_free_by(lambda e, damping: np.maximum(e, 0) + damping),
            r"max|clip|where",
        ),
        Slip(
            "The rows of eigh's second result are taken for eigenvectors",
            "Read its documentation: of what is column i the eigenvector?",
            saddle_free_by(lambda e, damping: np.abs(e) + damping, columns=False),
            r"\.T|@",
        ),
        Slip(
            "The size is taken of each element of H",
            "|H| has the eigenvectors of H, and the sizes of its eigenvalues.",
            {"saddle_free_step": lambda w, g, H, damping: w - np.linalg.solve(np.abs(H) + damping * np.eye(len(w)), g)},
            r"abs",
        ),
        Slip(
            "saddle_free_step lacks the damping",
            "Where a curvature is nearly zero the step gets very long without it.",
            saddle_free_by(lambda e, damping: np.abs(e)),
            r"abs",
        ),
        Slip(
            "saddle_free_step adds the step",
            "The gradient points to where the loss grows, and |H| changes no sign.",
            {
                "saddle_free_step": lambda w, g, H, damping: (
                    2 * w - saddle_free_by(lambda e, d: np.abs(e) + d)["saddle_free_step"](w, g, H, damping)
                )
            },
            r"w\s*\+=?",
        ),
    ),
    hints=(
        "Both are one system of linear equations: a matrix times the step is the gradient.",
        "np.eye(D) is I. In the basis of the eigenvectors a matrix is just its eigenvalues: Q.T @ g are the components of the "
        "gradient there, each is divided by its own number, and Q @ leads back.",
        "w - np.linalg.solve(H + damping * np.eye(len(w)), g); and with eigenvalues, Q = np.linalg.eigh(H): "
        "w - Q @ (Q.T @ g / (np.abs(eigenvalues) + damping)).",
    ),
    points=2,
)

# ---- Task 5


def lbfgs(student: Student, rng: np.random.Generator) -> None:
    D = int(rng.integers(5, 8))
    for m, remembered in ((4, "four steps"), (0, "no steps"), (1, "one step"), (D + 2, "many steps")):
        Q = np.linalg.qr(rng.standard_normal((D, D)))[0]
        A = (Q * rng.uniform(0.5, 8, D)) @ Q.T
        S, g = rng.standard_normal((m, D)), rng.standard_normal(D)
        Y = S @ A
        expected = -inverse_hessian(S, Y, D) @ g
        expect_close(f"the direction ({D} weights, {remembered} remembered)", student.lbfgs_direction(g, S, Y), expected)


def inverse_hessian(S: np.ndarray, Y: np.ndarray, D: int) -> np.ndarray:
    """H as a matrix, by the formula of BFGS, pair after pair (Nocedal and Wright, equation 7.16)."""
    H = np.eye(D)
    if len(S):
        H *= (S[-1] @ Y[-1]) / (Y[-1] @ Y[-1])
    for s, y in zip(S, Y, strict=True):
        rho = 1 / (y @ s)
        V = np.eye(D) - rho * np.outer(y, s)
        H = V.T @ H @ V + rho * np.outer(s, s)
    return H


def lbfgs_by(
    first: Callable = lambda m: range(m - 1, -1, -1),
    second: Callable = lambda m: range(m),
    gamma: Callable = lambda S, Y: S[-1] @ Y[-1] / (Y[-1] @ Y[-1]),
    rho: Callable = lambda s, y: 1 / (y @ s),
    alpha_of: Callable = lambda s, y, q: s @ q,
    beta_of: Callable = lambda s, y, r: y @ r,
    away: Callable = lambda s, y: y,
    back: Callable = lambda alpha, beta, s, y: (alpha - beta) * s,
    sign: int = -1,
) -> dict[str, Callable]:
    """lbfgs_direction() with one thing changed."""

    def lbfgs_direction(g, S, Y):
        m, q, alpha = len(S), g.copy(), {}
        for i in first(m):
            alpha[i] = rho(S[i], Y[i]) * alpha_of(S[i], Y[i], q)
            q = q - alpha[i] * away(S[i], Y[i])
        r = gamma(S, Y) * q if m else q
        for i in second(m):
            r = r + back(alpha[i], rho(S[i], Y[i]) * beta_of(S[i], Y[i], r), S[i], Y[i])
        return sign * r

    return {"lbfgs_direction": lbfgs_direction}


def alphas_in_the_wrong_order(g, S, Y):
    q, alphas = g.copy(), []
    for s, y in zip(S[::-1], Y[::-1], strict=True):
        alphas.append(s @ q / (y @ s))
        q = q - alphas[-1] * y
    r = q * (S[-1] @ Y[-1]) / (Y[-1] @ Y[-1]) if len(S) else q
    for s, y, alpha in zip(S, Y, alphas, strict=True):
        r = r + (alpha - y @ r / (y @ s)) * s
    return -r


LBFGS_TASK = Task(
    "the direction of L-BFGS",
    lbfgs,
    functions=("lbfgs_direction",),
    slips=(
        Slip(
            "The minus is missing: that direction climbs",
            "r is H g. With H the identity, which way would that be?",
            lbfgs_by(sign=1),
            r"return",
        ),
        Slip(
            "The first loop runs from the earliest step to the latest",
            "The two loops run in opposite directions; the first one begins with the latest step.",
            lbfgs_by(first=range),
            r"for ",
        ),
        Slip(
            "The second loop runs from the latest step to the earliest",
            "The two loops run in opposite directions; the second one ends with the latest step.",
            lbfgs_by(second=lambda m: range(m - 1, -1, -1)),
            r"for ",
        ),
        Slip(
            "Both loops run the wrong way round",
            "Row 0 is the earliest step, and the last row the latest.",
            lbfgs_by(first=range, second=lambda m: range(m - 1, -1, -1)),
            r"for ",
        ),
        Slip(
            "gamma is missing between the loops",
            "Without any pairs H is a multiple of the identity. How large a one, says the latest step.",
            lbfgs_by(gamma=lambda S, Y: 1.0),
            r"for ",
        ),
        Slip(
            "gamma is upside down",
            "It stands for an inverse curvature: y is about the curvature times s.",
            lbfgs_by(gamma=lambda S, Y: Y[-1] @ Y[-1] / (S[-1] @ Y[-1])),
            r"gamma|\[-1\]",
        ),
        Slip(
            "gamma is s^T s / s^T y",
            "That is another well-known guess of the inverse curvature; here it is divided by y^T y.",
            lbfgs_by(gamma=lambda S, Y: S[-1] @ S[-1] / (S[-1] @ Y[-1])),
            r"gamma|\[-1\]",
        ),
        Slip(
            "gamma is of the earliest step",
            "Which of the steps knows the curvature here best?",
            lbfgs_by(gamma=lambda S, Y: S[0] @ Y[0] / (Y[0] @ Y[0])),
            r"\[0\]",
        ),
        Slip(
            "rho is y^T s, not one over it",
            "alpha s must have the length of a step, whatever the unit of the loss is.",
            lbfgs_by(rho=lambda s, y: y @ s),
            r"rho",
        ),
        Slip(
            "rho is one over y^T y",
            "What of two different vectors is in rho?",
            lbfgs_by(rho=lambda s, y: 1 / (y @ y)),
            r"rho|/",
        ),
        Slip(
            "In the first loop s is subtracted from q",
            "q is a gradient. Which of s and y is made of gradients?",
            lbfgs_by(away=lambda s, y: s),
            r"q\s*(-=|=)",
        ),
        Slip(
            "alpha is taken with y",
            "q is a gradient, and alpha asks for its slope along a step of the weights.",
            lbfgs_by(alpha_of=lambda s, y, q: y @ q),
            r"alpha",
        ),
        Slip(
            "beta is taken with s",
            "r is a step of the weights, and beta asks what the change of the gradient along it is.",
            lbfgs_by(beta_of=lambda s, y, r: s @ r),
            r"beta",
        ),
        Slip(
            "In the second loop y is added to r",
            "r is a step of the weights. Which of s and y is made of those?",
            lbfgs_by(back=lambda alpha, beta, s, y: (alpha - beta) * y),
            r"r\s*(\+=|=)",
        ),
        Slip(
            "In the second loop beta - alpha is added",
            "With H g = alpha s in mind: which of the two is what r still lacks?",
            lbfgs_by(back=lambda alpha, beta, s, y: (beta - alpha) * s),
            r"beta",
        ),
        Slip(
            "The second loop lacks beta",
            "What r has along s already must not be added a second time.",
            lbfgs_by(back=lambda alpha, beta, s, y: alpha * s),
            r"alpha",
        ),
        Slip(
            "The second loop meets the alphas in the order of the first",
            "Each alpha belongs to one pair. The loops run in opposite directions: where is the alpha of the earliest pair?",
            {"lbfgs_direction": alphas_in_the_wrong_order},
            r"alpha",
        ),
    ),
    hints=(
        "S[i] and Y[i] are s_i and y_i, and row -1 is the latest step. What if there is no row at all?",
        "The first loop takes out of the gradient what the remembered steps explain, the latest first, and keeps each alpha. "
        "gamma turns what is left into a step. The second loop puts back, the earliest first, what is known exactly.",
        "alpha[i] = S[i] @ q / (Y[i] @ S[i]); q = q - alpha[i] * Y[i] with i from m - 1 down to 0; "
        "r = q * (S[-1] @ Y[-1]) / (Y[-1] @ Y[-1]); r = r + (alpha[i] - Y[i] @ r / (Y[i] @ S[i])) * S[i] with i from 0 up; -r.",
    ),
    points=3,
)

# ---- Task 6


def schedule(student: Student, rng: np.random.Generator) -> None:
    drops, factor = tuple(np.sort(rng.uniform([0.1, 0.4, 0.7], [0.3, 0.6, 0.9])).tolist()), rng.uniform(0.2, 0.6)
    right = schedules.step(drops, factor)
    for p in ((drops[2] + 1) / 2, drops[1], drops[0], drops[0] / 2, 0.0, 1.0):
        expect_factor("step_schedule", student.step_schedule(p, drops, factor), right(p), f"p = {p:.3f}, drops at {drops}")
    expect_factor("step_schedule", student.step_schedule(0.5, (), factor), 1.0, "no drops")
    warmup, final = rng.uniform(0.15, 0.3), rng.uniform(0.1, 0.2)
    cases = [(rng.uniform(0.4, 0.9), warmup, final), (warmup / 3, warmup, final), (warmup, warmup, final), (0.0, warmup, final)]
    cases += [(1.0, warmup, final), (rng.uniform(0.2, 0.9), 0.0, 0.0), (0.0, 0.0, final)]
    for p, warmup, final in cases:
        right = schedules.cosine(warmup, final)
        when = f"p = {p:.3f}, warmup = {warmup:.3f}, final = {final:.3f}"
        expect_factor("cosine_schedule", student.cosine_schedule(p, warmup, final), right(p), when)
    for p, k in ((rng.uniform(0.2, 0.8), rng.uniform(2, 20)), (0.0, 9.0), (1.0, 9.0), (0.5, 0.0)):
        right = schedules.one_over_t(k)
        expect_factor("one_over_t_schedule", student.one_over_t_schedule(p, k), right(p), f"p = {p:.3f}, k = {k:.3f}")


def expect_factor(name: str, got: Any, right: float, when: str) -> None:
    expect_close(f"{name}() at {when}", expect_number(f"{name}() at {when}", got), np.float64(right))


def cosine_by(wave: Callable, rise: Callable = lambda p, warmup, final: p / warmup) -> dict[str, Callable]:
    """cosine_schedule() with another function after the warm-up, or another rise."""

    def cosine_schedule(p, warmup, final):
        return rise(p, warmup, final) if p < warmup else wave(p, warmup, final)

    return {"cosine_schedule": cosine_schedule}


def falling(q: float, final: float) -> float:
    return final + (1 - final) * (1 + np.cos(np.pi * q)) / 2


SCHEDULES = Task(
    "schedules: step, cosine with warm-up, 1/t",
    schedule,
    functions=("step_schedule", "cosine_schedule", "one_over_t_schedule"),
    slips=(
        Slip(
            "A drop takes effect only after its moment",
            "At p = 0.5 a drop at 0.5 has happened.",
            {"step_schedule": lambda p, drops, factor: factor ** sum(drop < p for drop in drops)},
            r"<|>",
        ),
        Slip(
            "The factor is applied once, however many drops there were",
            "Each drop multiplies the rate again.",
            {"step_schedule": lambda p, drops, factor: factor if any(drop <= p for drop in drops) else 1.0},
            r"factor",
        ),
        Slip(
            "The factor is multiplied by the number of drops, not raised to it",
            "Two drops by 0.1 leave 0.01.",
            {
                "step_schedule": lambda p, drops, factor: (
                    factor * sum(d <= p for d in drops) if any(d <= p for d in drops) else 1.0
                )
            },
            r"\*",
        ),
        Slip(
            "The drops that are still to come are counted",
            "How many have there been at the beginning of the run?",
            {"step_schedule": lambda p, drops, factor: factor ** sum(drop > p for drop in drops)},
            r"<|>",
        ),
        Slip(
            "Each drop subtracts the factor",
            "A rate falls by a proportion; it would be negative soon.",
            {"step_schedule": lambda p, drops, factor: 1 - factor * sum(drop <= p for drop in drops)},
            r"-",
        ),
        Slip(
            "The wave runs over the whole run, not over what follows the warm-up",
            "Where on the wave must it be right at the end of the warm-up, for the rate not to jump?",
            cosine_by(lambda p, warmup, final: falling(p, final)),
            r"cos",
        ),
        Slip(
            "The wave begins after the warm-up, but is not compressed into what is left",
            "At p = 1 it must have come to its end. What must p - warmup be divided by?",
            cosine_by(lambda p, warmup, final: falling(p - warmup, final)),
            r"-\s*warmup",
        ),
        Slip(
            "p - warmup is divided by warmup",
            "How long is what follows the warm-up?",
            cosine_by(lambda p, warmup, final: falling((p - warmup) / warmup if warmup else p, final)),
            r"/\s*warmup",
        ),
        Slip(
            "The wave is twice as high: 1 + cos lies between 0 and 2",
            "What must come out at the top of the wave?",
            cosine_by(lambda p, warmup, final: 2 * falling((p - warmup) / (1 - warmup), final) - final),
            r"cos",
        ),
        Slip(
            "The wave is as high as ever, and `final` is added",
            "At the top 1 must come out, and `final` at the bottom: how high is the wave?",
            cosine_by(lambda p, warmup, final: final + falling((p - warmup) / (1 - warmup), 0)),
            r"final",
        ),
        Slip(
            "The wave falls to zero, whatever `final` is",
            "What is to come out at p = 1?",
            cosine_by(lambda p, warmup, final: falling((p - warmup) / (1 - warmup), 0)),
            r"cos",
        ),
        Slip(
            "It is a quarter of a wave",
            "Half a cosine wave goes from 1 down to -1, and flattens out at both ends.",
            cosine_by(lambda p, warmup, final: final + (1 - final) * np.cos(np.pi / 2 * (p - warmup) / (1 - warmup))),
            r"cos",
        ),
        Slip(
            "There is no warm-up: it begins at 1",
            "What is p = 0 to give, if there is a warm-up?",
            cosine_by(lambda p, warmup, final: falling((p - warmup) / (1 - warmup), final), lambda p, warmup, final: 1.0),
            r"warmup",
        ),
        Slip(
            "There is no warm-up: the wave is used before it as well",
            "Where p is below warmup, another line applies.",
            {"cosine_schedule": lambda p, warmup, final: falling((p - warmup) / (1 - warmup), final)},
            r"cos",
        ),
        Slip(
            "Without a warm-up, p = 0 is divided by zero",
            "With warmup = 0, is p = 0 in the rise, or after it? Look at the comparison.",
            {
                "cosine_schedule": lambda p, warmup, final: (
                    p / warmup if p <= warmup else falling((p - warmup) / (1 - warmup), final)
                )
            },
            r"<=",
        ),
        Slip(
            "The warm-up rises from `final`",
            "It rises from 0, in a straight line.",
            cosine_by(
                lambda p, warmup, final: falling((p - warmup) / (1 - warmup), final),
                lambda p, warmup, final: final + (1 - final) * p / warmup,
            ),
            r"warmup",
        ),
        Slip(
            "It falls exponentially: 1 / (1 + k)^p",
            "That has the same ends, but falls by equal proportions. In 1/t it is p that k multiplies.",
            {"one_over_t_schedule": lambda p, k: (1 + k) ** -p},
            r"\*\*",
        ),
        Slip(
            "The 1 in the divisor is missing",
            "What comes out at p = 0?",
            {"one_over_t_schedule": lambda p, k: 1 / (k * p) if k * p else float("inf")},
            r"/",
        ),
        Slip(
            "It falls in a straight line to 1 / (1 + k)",
            "That has the same ends; 1/t falls fast at first.",
            {"one_over_t_schedule": lambda p, k: 1 - p * k / (1 + k)},
            r"-",
        ),
        Slip(
            "It is the root of 1/t",
            "There is no root in 1 / (1 + k p).",
            {"one_over_t_schedule": lambda p, k: 1 / np.sqrt(1 + k * p)},
            r"sqrt|0\.5",
        ),
    ),
    hints=(
        "Each function returns one number, by which the rate is multiplied. Try p = 0, p = 1, and the moments of a change.",
        "Count drops with <=. A cosine that is shifted and scaled to go from 1 to `final` while q goes from 0 to 1; and q is "
        "the share that has passed of 1 - warmup.",
        "factor ** (how many drops are <= p); p / warmup if p < warmup, else final + (1 - final) * (1 + np.cos(np.pi * q)) / 2 "
        "with q = (p - warmup) / (1 - warmup); 1 / (1 + k * p).",
    ),
    points=2,
)

# ---- Task 7


def clipping(student: Student, rng: np.random.Generator) -> None:
    sizes, matrix_vector_filters = rng.permutation([0.5, 1.5, 3.0]), shapes(rng)
    gradients = [size * rng.standard_normal(shape) for size, shape in zip(sizes, matrix_vector_filters, strict=True)]
    norms = [float(np.linalg.norm(g)) for g in gradients]
    together = float(np.sqrt(np.square(norms).sum()))
    shortest = min(float(np.abs(g).max()) for g in gradients)
    expect_clipped(student, gradients, 0.1 * shortest, "too long, each array by itself")
    expect_clipped(student, gradients, 1.5 * together, "short enough")
    expect_clipped(student, gradients, (max(norms) + together) / 2, "too long, though none of the arrays is so by itself")
    expect_clipped(student, [1e-3 * g for g in gradients], 1.0, "very short")
    expect_clipped(student, [np.zeros(3), np.zeros((2, 2))], 1.0, "all zero")
    expect_clipped(student, [100 * rng.standard_normal(4)], 5.0, "a single array")


def expect_clipped(student: Student, gradients: list[np.ndarray], largest: float, what: str) -> None:
    parameters = {str(i): Parameter(np.zeros_like(g)) for i, g in enumerate(gradients)}
    for parameter, g in zip(parameters.values(), gradients, strict=True):
        parameter.grad = g.copy()
    clip_gradient_norm(parameters, largest)
    answer = student.clip_gradients(gradients, largest)
    names = [f"array {i}" for i in range(len(gradients))]
    if not isinstance(answer, (list, tuple)):
        raise Mistake(f"clip_gradients() must return a list of {len(gradients)} arrays, got a {type(answer).__name__}")
    got = expect_several("clip_gradients", answer, ", ".join(names))
    for name, g, parameter in zip(names, got, parameters.values(), strict=True):
        expect_close(f"{name} of clip_gradients() (gradients {what})", g, parameter.grad)


def scaled_by(factor: Callable) -> dict[str, Callable]:
    """clip_gradients() with another factor, of the norm and ``largest``."""

    def clip_gradients(gradients, largest):
        norm = np.sqrt(sum((g**2).sum() for g in gradients))
        return [factor(norm, largest) * g for g in gradients]

    return {"clip_gradients": clip_gradients}


def clipped_by(norm_of: Callable) -> dict[str, Callable]:
    """clip_gradients() with something else for the norm."""

    def clip_gradients(gradients, largest):
        norm = norm_of(gradients)
        return [g * (largest / norm if norm > largest else 1.0) for g in gradients]

    return {"clip_gradients": clip_gradients}


CLIPPING = Task(
    "gradient clipping by the global norm",
    clipping,
    functions=("clip_gradients",),
    slips=(
        Slip(
            "Each array is clipped by its own norm",
            "Then the arrays shrink by different factors, and the step points elsewhere. One norm, of all arrays together.",
            {
                "clip_gradients": lambda gradients, largest: [
                    g * (largest / np.linalg.norm(g) if np.linalg.norm(g) > largest else 1.0) for g in gradients
                ]
            },
            r"norm|sqrt",
        ),
        Slip(
            "Each element is clipped",
            "That turns the step. The direction is to stay: all elements shrink by one factor.",
            {"clip_gradients": lambda gradients, largest: [np.clip(g, -largest, largest) for g in gradients]},
            r"clip\(|minimum|where",
        ),
        Slip(
            "Short gradients are lengthened",
            "Only what is longer than `largest` is to be changed.",
            scaled_by(lambda norm, largest: largest / norm if norm else 1.0),
            r"/",
        ),
        Slip(
            "A norm of zero is divided by",
            "Gradients may all be zero. When is there anything to divide at all?",
            scaled_by(lambda norm, largest: min(1.0, largest / float(norm))),
            r"/",
        ),
        Slip(
            "Those that are short are scaled, and those that are long are not",
            "Which way round does the comparison have to be?",
            scaled_by(lambda norm, largest: largest / norm if 0 < norm < largest else 1.0),
            r"<|>",
        ),
        Slip(
            "Long gradients are scaled to the length 1",
            "How long may they be at most?",
            scaled_by(lambda norm, largest: 1 / norm if norm > largest else 1.0),
            r"/",
        ),
        Slip(
            "The factor is upside down",
            "Is it to make long gradients longer?",
            scaled_by(lambda norm, largest: norm / largest if norm > largest else 1.0),
            r"/",
        ),
        Slip(
            "The root is missing: the norm is the sum of the squares",
            "Twice as long gradients must have twice the norm.",
            clipped_by(lambda gradients: sum((g**2).sum() for g in gradients)),
            r"\*\*\s*2|square|vdot",
        ),
        Slip(
            "The norms of the arrays are added up",
            "Pythagoras: of lengths along different axes, what is it that adds up?",
            clipped_by(lambda gradients: sum(np.linalg.norm(g) for g in gradients)),
            r"norm",
        ),
        Slip(
            "The norm is that of the longest array",
            "All the arrays together are one vector.",
            clipped_by(lambda gradients: max(np.linalg.norm(g) for g in gradients)),
            r"max",
        ),
        Slip(
            "The norm is the mean square: it is divided by the number of elements",
            "The length of a vector is a sum over its elements, not a mean.",
            clipped_by(lambda gradients: np.sqrt(np.mean(np.concatenate([g.ravel() for g in gradients]) ** 2))),
            r"mean|size",
        ),
        Slip(
            "The norm adds up sizes, not squares",
            "That is another norm; this one is the length by Pythagoras.",
            clipped_by(lambda gradients: sum(np.abs(g).sum() for g in gradients)),
            r"abs",
        ),
    ),
    hints=(
        "First one number, the norm of all arrays together; then one factor, the same for all of them.",
        "Squares add up over elements and over arrays, and then comes one root. The factor is 1 unless the norm is too large; "
        "so nothing is ever divided by a norm of 0.",
        "norm = np.sqrt(sum((g**2).sum() for g in gradients)); factor = largest / norm if norm > largest else 1.0; "
        "[factor * g for g in gradients].",
    ),
    points=1,
)

TASKS = [MOMENTUM, ADAPTIVE, ADAM, NEWTON, LBFGS_TASK, SCHEDULES, CLIPPING]

# ---- when all are passed: the student's optimisers train a network

STEPS, BATCH = 150, 64


def finale(functions: dict[str, Callable], out: Path) -> None:
    """A small network, trained with the student's steps and with minicnn's, from equal weights on equal batches."""
    import matplotlib.pyplot as plt

    from minicnn.course.workbench import BLUE, INK, drawn_digits, find_data
    from minicnn.data import load_mnist

    rng = np.random.default_rng(7)
    folder = find_data("mnist")
    pictures, labels = load_mnist(folder)[:2] if folder else drawn_digits(2000, rng)
    chosen = rng.permutation(len(pictures))[:2000]
    x, labels = pictures[chosen].reshape(len(chosen), -1) / 255.0 - 0.1, labels[chosen]

    figure, axes = plt.subplots(1, 5, figsize=(12, 2.6), sharey=True)
    furthest = 0.0
    for ax, (title, ours, state, step) in zip(axes, rivals(functions), strict=True):
        theirs = trained(x, labels, functions, state, step)
        reference = trained_by_minicnn(x, labels, ours)
        furthest = max(furthest, float(np.abs(np.subtract(theirs, reference)).max()))
        ax.plot(reference, color=INK, lw=3, alpha=0.25, label="minicnn's")
        ax.plot(theirs, color=BLUE, lw=1, label="yours")
        ax.set(title=title, xlabel="step")
    axes[0].set_ylabel("loss of the batch")
    axes[0].legend()
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "finale.png")
    plt.close(figure)
    print(
        f"Your five optimisers, with clipped gradients and a cosine schedule, trained a network on {len(x)} "
        f"{'digits' if folder else 'drawn digits'} beside minicnn's: their losses differ by {furthest:.0e} at most. "
        f"See {out / 'finale.png'}"
    )


def rivals(f: dict[str, Callable]) -> list[tuple]:
    """Title, minicnn's optimiser, and the student's: how many arrays it remembers, and a step with them."""
    return [
        ("momentum", lambda p: SGD(p, 0.1, 0.9), 1, lambda w, g, s, t, r: f["momentum_step"](w, g, *s, 0.1 * r, 0.9)),
        ("Nesterov", lambda p: SGD(p, 0.1, 0.9, True), 1, lambda w, g, s, t, r: f["nesterov_step"](w, g, *s, 0.1 * r, 0.9)),
        ("AdaGrad", lambda p: AdaGrad(p, 0.02), 1, lambda w, g, s, t, r: f["adagrad_step"](w, g, *s, 0.02 * r, 1e-10)),
        ("RMSProp", lambda p: RMSProp(p, 2e-3), 1, lambda w, g, s, t, r: f["rmsprop_step"](w, g, *s, 2e-3 * r, 0.9, 1e-8)),
        (
            "AdamW",
            lambda p: AdamW(p, 3e-3),
            2,
            lambda w, g, s, t, r: f["adamw_step"](w, g, *s, t, 3e-3 * r, 0.9, 0.999, 1e-8, 0.01)[:3],
        ),
    ]


def start() -> list[np.ndarray]:
    """The weights of two layers without biases, for minicnn's optimisers and the student's."""
    rng = np.random.default_rng(0)
    return [0.05 * rng.standard_normal((48, 784)), 0.1 * rng.standard_normal((10, 48))]


def loss_and_gradients(weights: list[np.ndarray], x: np.ndarray, labels: np.ndarray) -> tuple[float, list[np.ndarray]]:
    hidden = np.maximum(x @ weights[0].T, 0)
    scores = hidden @ weights[1].T
    scores = scores - scores.max(axis=1, keepdims=True)
    p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    loss = -float(np.log(p[np.arange(len(x)), labels]).mean())
    p[np.arange(len(x)), labels] -= 1
    dhidden = (p @ weights[1]) * (hidden > 0)
    return loss, [dhidden.T @ x / len(x), p.T @ hidden / len(x)]


def batches(n: int) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [rng.permutation(n)[:BATCH] for _ in range(STEPS)]


def trained(x: np.ndarray, labels: np.ndarray, functions: dict[str, Callable], arrays: int, step: Callable) -> list[float]:
    """The losses of the batches, with the student's steps, clipping and schedule."""
    weights, losses = start(), []
    state = [[np.zeros_like(w)] * arrays for w in weights]
    for t, batch in enumerate(batches(len(x))):
        loss, gradients = loss_and_gradients(weights, x[batch], labels[batch])
        gradients = functions["clip_gradients"](gradients, 1.0)
        factor = functions["cosine_schedule"]((t + 0.5) / STEPS, 0.1, 0.0)
        for i, g in enumerate(gradients):
            weights[i], *state[i] = step(weights[i], g, state[i], t, factor)
        losses.append(loss)
    return losses


def trained_by_minicnn(x: np.ndarray, labels: np.ndarray, make: Callable) -> list[float]:
    """The same with minicnn's."""
    parameters, losses, schedule = {str(i): Parameter(w) for i, w in enumerate(start())}, [], schedules.cosine(0.1)
    optimizer = make(parameters)
    for t, batch in enumerate(batches(len(x))):
        loss, gradients = loss_and_gradients([p.value for p in parameters.values()], x[batch], labels[batch])
        for parameter, g in zip(parameters.values(), gradients, strict=True):
            parameter.grad = g
        clip_gradient_norm(parameters, 1.0)
        optimizer.step(schedule((t + 0.5) / STEPS))
        losses.append(loss)
    return losses


FINALE = finale
