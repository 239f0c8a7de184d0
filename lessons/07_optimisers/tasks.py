"""Lesson 7: what its exercise is checked for, offline, with new numbers and shapes each time.

The numbers differ from run to run; the cases do not. An optimiser's step is asked for in the middle of a run first, where all
that it remembers is there and eps is so large that its place matters, and then at the start of a run, where all of it is zero.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.linalg import sqrtm
from slips import ADAM_SLIPS, ADAPTIVE_SLIPS, CLIPPING_SLIPS, LBFGS_SLIPS, MOMENTUM_SLIPS, NEWTON_SLIPS, SCHEDULE_SLIPS

from minicnn import schedules
from minicnn.course import Mistake, Student, Task
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


# ---- Task 1: momentum, and Nesterov's


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


# ---- Task 2: a rate for each weight


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


# ---- Task 3: Adam and AdamW


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


# ---- Task 4: Newton's step, damped, and one that leaves saddles


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


# ---- Task 5: the direction of L-BFGS


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


# ---- Task 6: schedules


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


# ---- Task 7: gradient clipping


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


# ---- all tasks

TASKS = [
    Task(
        "momentum, and Nesterov's",
        momentum,
        functions=("momentum_step", "nesterov_step"),
        slips=MOMENTUM_SLIPS,
        hints=(
            "Each function needs two things: the new velocity, and the weights that follow from it. Both are returned.",
            "The velocity comes first, because the step uses the new one. Nesterov's step is the gradient and, beside it, the "
            "part of the new velocity that will be left in the next step.",
            "new_v = mu * v + g; then w - lr * new_v, or w - lr * (g + mu * new_v).",
        ),
        points=2,
    ),
    Task(
        "AdaGrad and RMSProp",
        adaptive,
        functions=("adagrad_step", "rmsprop_step"),
        slips=ADAPTIVE_SLIPS,
        hints=(
            "Both do the same with the cache once they have it. They differ in how this step's squares get into it.",
            "A sum of squares, or a moving average of them, for each element; its root is the size that this weight's "
            "gradients usually have. Divide by that size, and every weight's step has about the same length.",
            "cache + g**2, or decay * cache + (1 - decay) * g**2; then w - lr * g / (np.sqrt(new_cache) + eps).",
        ),
        points=2,
    ),
    Task(
        "Adam and AdamW",
        adam,
        functions=("adam_step", "adamw_step"),
        slips=ADAM_SLIPS,
        hints=(
            "Follow the five lines of the docstring in their order, and keep m and v apart from their corrected forms.",
            "m and v are moving averages that begin at zero; dividing by 1 - beta^t, with t = 1 in the first step, makes up "
            "for it. AdamW is a function of two lines, if the second is a call of your own adam_step.",
            "t = t + 1; m = beta1 * m + (1 - beta1) * g; v likewise with beta2 and g**2; the step is "
            "lr * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps). AdamW: the same from w - lr * wd * w.",
        ),
        points=3,
    ),
    Task(
        "a Newton step, damped, and one off saddles",
        newton,
        functions=("newton_step", "saddle_free_step"),
        slips=NEWTON_SLIPS,
        hints=(
            "Both are one system of linear equations: a matrix times the step is the gradient.",
            "np.eye(D) is I. In the basis of the eigenvectors a matrix is just its eigenvalues: Q.T @ g are the components of "
            "the gradient there, each is divided by its own number, and Q @ leads back.",
            "w - np.linalg.solve(H + damping * np.eye(len(w)), g); and with eigenvalues, Q = np.linalg.eigh(H): "
            "w - Q @ (Q.T @ g / (np.abs(eigenvalues) + damping)).",
        ),
        points=2,
    ),
    Task(
        "the direction of L-BFGS",
        lbfgs,
        functions=("lbfgs_direction",),
        slips=LBFGS_SLIPS,
        hints=(
            "S[i] and Y[i] are s_i and y_i, and row -1 is the latest step. What if there is no row at all?",
            "The first loop takes out of the gradient what the remembered steps explain, the latest first, and keeps each "
            "alpha. gamma turns what is left into a step. The second loop puts back, the earliest first, what is known "
            "exactly.",
            "alpha[i] = S[i] @ q / (Y[i] @ S[i]); q = q - alpha[i] * Y[i] with i from m - 1 down to 0; "
            "r = q * (S[-1] @ Y[-1]) / (Y[-1] @ Y[-1]); "
            "r = r + (alpha[i] - Y[i] @ r / (Y[i] @ S[i])) * S[i] with i from 0 up; -r.",
        ),
        points=3,
    ),
    Task(
        "schedules: step, cosine with warm-up, 1/t",
        schedule,
        functions=("step_schedule", "cosine_schedule", "one_over_t_schedule"),
        slips=SCHEDULE_SLIPS,
        hints=(
            "Each function returns one number, by which the rate is multiplied. Try p = 0, p = 1, and the moments of a change.",
            "Count drops with <=. A cosine that is shifted and scaled to go from 1 to `final` while q goes from 0 to 1; and q "
            "is the share that has passed of 1 - warmup.",
            "factor ** (how many drops are <= p); p / warmup if p < warmup, else "
            "final + (1 - final) * (1 + np.cos(np.pi * q)) / 2 with q = (p - warmup) / (1 - warmup); 1 / (1 + k * p).",
        ),
        points=2,
    ),
    Task(
        "gradient clipping by the global norm",
        clipping,
        functions=("clip_gradients",),
        slips=CLIPPING_SLIPS,
        hints=(
            "First one number, the norm of all arrays together; then one factor, the same for all of them.",
            "Squares add up over elements and over arrays, and then comes one root. The factor is 1 unless the norm is too "
            "large; so nothing is ever divided by a norm of 0.",
            "norm = np.sqrt(sum((g**2).sum() for g in gradients)); factor = largest / norm if norm > largest else 1.0; "
            "[factor * g for g in gradients].",
        ),
        points=1,
    ),
]

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
