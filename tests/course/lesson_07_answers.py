"""Answers to the tasks of lesson 7: wrong ones as people write them, and right ones written differently from the solution.

``WRONG[task]`` has titles, the functions that take the place of the solution's, and the mistake that should be found in them;
``RIGHT[task]`` titles and functions.
"""

import math

import numpy as np

from minicnn import schedules
from minicnn.layers import Parameter
from minicnn.optim import LBFGS, SGD, AdaGrad, Adam, AdamW, Newton, RMSProp, clip_gradient_norm

WRONG, RIGHT = {}, {}


def by_optimizer(make, w, g, **state):
    """A step of an optimiser of minicnn: the weights, and what it remembers then."""
    parameter = Parameter(np.array(w))
    parameter.grad = np.array(g)
    optimizer = make({"w": parameter})
    optimizer.state["w"] = {name: np.array(value) if np.ndim(value) else value for name, value in state.items()}
    optimizer.step()
    return parameter.value, optimizer.state["w"]


# ---- momentum, and Nesterov's


def momentum_climbs(w, g, v, lr, mu):
    v = v * mu
    v = v + g
    w = w + v * lr
    return w, v


def momentum_rate_inside(w, g, v, lr, mu):
    new_v = np.empty_like(v)
    for i in np.ndindex(v.shape):
        new_v[i] = mu * v[i] + lr * g[i]
    return w - new_v, new_v


def momentum_of_sutskever(w, g, v, lr, mu):
    velocity = mu * v - lr * g
    return w + velocity, velocity


def momentum_average(w, g, v, lr, mu):
    new_v = np.average([v, g], axis=0, weights=[mu, 1 - mu])
    return w - lr * new_v, new_v


def momentum_old_velocity(w, g, v, lr, mu):
    new_w = w - lr * v
    return new_w, np.add(mu * v, g)


def momentum_follows_gradient(w, g, v, lr, mu):
    v = mu * v + g
    return w - lr * g, v


def momentum_in_place(w, g, v, lr, mu):
    v *= mu
    v += g
    return w - lr * v, v.copy()


def nesterov_climbs(w, g, v, lr, mu):
    v = mu * v + g
    return w + lr * g + lr * mu * v, v


def nesterov_with_old_velocity(w, g, v, lr, mu):
    step = g + mu * v
    return w - lr * step, mu * v + g


def nesterov_without_mu(w, g, v, lr, mu):
    new_v = mu * v + g
    w = w - lr * g
    return w - lr * new_v, new_v


def nesterov_without_gradient(w, g, v, lr, mu):
    v = g + mu * v
    return w - mu * lr * v, v


def nesterov_mu_at_gradient(w, g, v, lr, mu):
    v = g + v * mu
    return w - lr * (v + g * mu), v


def momentum_loops(w, g, v, lr, mu):
    new_w, new_v = w.copy(), v.copy()
    for i in np.ndindex(w.shape):
        new_v[i] = mu * v[i] + g[i]
        new_w[i] -= lr * new_v[i]
    return new_w, new_v


def nesterov_looking_ahead(w, g, v, lr, mu):
    """As momentum first, and then on from there: the velocity that is left, minus the one that was left before."""
    after = mu * v + g
    plain = w - lr * after
    return plain - lr * (mu * after) + lr * (mu * v), after


def nesterov_of_bengio(w, g, v, lr, mu):
    """Equation 7 of Bengio et al. 2012, with v = -lr velocity."""
    old = -lr * v
    return w + mu * mu * old - (1 + mu) * lr * g, mu * v + g


WRONG[1] = [
    ("climbing", {"momentum_step": momentum_climbs}, "The gradient is added: that climbs"),
    ("rate inside", {"momentum_step": momentum_rate_inside}, "The rate is inside the velocity"),
    (
        "Sutskever's variables",
        {"momentum_step": momentum_of_sutskever},
        "The velocity is of the sign, and has the rate, that it has in Sutskever's paper",
    ),
    (
        "an average",
        {"momentum_step": momentum_average},
        "The velocity is an average: the new gradient is multiplied by 1 - mu",
    ),
    ("step first", {"momentum_step": momentum_old_velocity}, "The step uses the old velocity"),
    (
        "along the gradient",
        {"momentum_step": momentum_follows_gradient},
        "The velocity is updated, but the step follows the gradient alone",
    ),
    ("plain", {"momentum_step": lambda w, g, v, lr, mu: (w - lr * g, 1.0 * g)}, "The velocity that was given is not used"),
    (
        "old v returned",
        {"momentum_step": lambda w, g, v, lr, mu: (w - lr * (g + mu * v), np.array(v))},
        "The old velocity is returned",
    ),
    ("v changed in place", {"momentum_step": momentum_in_place}, "An argument is changed"),
    ("weights alone", {"momentum_step": lambda w, g, v, lr, mu: w - lr * (g + mu * v)}, "Not as many results as asked for"),
    ("Nesterov climbing", {"nesterov_step": nesterov_climbs}, "Nesterov's step adds the gradient: that climbs"),
    ("Nesterov is momentum", {"nesterov_step": momentum_loops}, "Nesterov's step is the step with momentum"),
    ("old velocity ahead", {"nesterov_step": nesterov_with_old_velocity}, "Nesterov's step is the step with momentum"),
    ("no mu ahead", {"nesterov_step": nesterov_without_mu}, "In Nesterov's step the velocity is not multiplied by mu"),
    ("no gradient", {"nesterov_step": nesterov_without_gradient}, "In Nesterov's step the gradient itself is missing"),
    (
        "mu at the gradient",
        {"nesterov_step": nesterov_mu_at_gradient},
        "In Nesterov's step mu is at the gradient, not at the velocity",
    ),
]


def momentum_by_minicnn(w, g, v, lr, mu):
    new, state = by_optimizer(lambda p: SGD(p, lr, mu), w, g, v=v)
    return new, state.get("v", v) if mu else g.copy()


def nesterov_by_minicnn(w, g, v, lr, mu):
    new, state = by_optimizer(lambda p: SGD(p, lr, mu, nesterov=True), w, g, v=v)
    return new, state["v"]


RIGHT[1] = [
    ("loops", {"momentum_step": momentum_loops}),
    ("minicnn's", {"momentum_step": momentum_by_minicnn, "nesterov_step": nesterov_by_minicnn}),
    ("looking ahead, step by step", {"nesterov_step": nesterov_looking_ahead}),
    ("Bengio's equation", {"nesterov_step": nesterov_of_bengio}),
    (
        "a list, and matrix products",
        {
            "momentum_step": lambda w, g, v, lr, mu: [
                w - np.tensordot([lr, lr * mu], [g, v], 1),
                np.tensordot([1, mu], [g, v], 1),
            ]
        },
    ),
]

# ---- AdaGrad and RMSProp


def adagrad_loops(w, g, cache, lr, eps):
    new_w, new_cache = np.empty_like(w), np.empty_like(cache)
    for i in np.ndindex(w.shape):
        new_cache[i] = cache[i] + g[i] * g[i]
        new_w[i] = w[i] - lr * g[i] / (math.sqrt(new_cache[i]) + eps)
    return new_w, new_cache


def adagrad_no_root(w, g, cache, lr, eps):
    cache = cache + np.square(g)
    return w - lr * g / (eps + cache), cache


def adagrad_eps_inside(w, g, cache, lr, eps):
    cache = cache + g * g
    return w - lr * g * (cache + eps) ** -0.5, cache


def adagrad_no_eps(w, g, cache, lr, eps):
    cache = cache + g * g
    return w - lr * g / cache**0.5, cache


def adagrad_sizes(w, g, cache, lr, eps):
    cache = cache + abs(g)
    return w - lr * g / (cache**0.5 + eps), cache


def adagrad_signed(w, g, cache, lr, eps):
    cache = np.add(cache, g)
    with np.errstate(invalid="ignore"):
        return w - lr * g / (np.sqrt(cache) + eps), cache


def adagrad_old_cache(w, g, cache, lr, eps):
    w = w - lr * g / (np.sqrt(cache) + eps)
    cache = cache + g * g
    return w, cache


def adagrad_one_cache(w, g, cache, lr, eps):
    cache = cache + np.linalg.norm(g) ** 2
    return w - lr * g / (np.sqrt(cache) + eps), cache


def adagrad_climbs(w, g, cache, lr, eps):
    new_w, cache = adagrad_loops(w, g, cache, lr, eps)
    return w + (w - new_w), cache


def adagrad_cache_not_returned(w, g, cache, lr, eps):
    return adagrad_loops(w, g, cache, lr, eps)[0], np.array(cache)


def adagrad_in_place(w, g, cache, lr, eps):
    cache += g**2
    return w - lr * g / (np.sqrt(cache) + eps), cache.copy()


def rmsprop_family(keep, add, root=np.sqrt, sign=-1):
    """RMSProp with other shares of the old cache and of the new squares, and another root."""

    def rmsprop_step(w, g, cache, lr, decay, eps):
        cache = keep(decay) * cache + add(decay) * g * g
        return w + sign * lr * (g / (root(cache) + eps)), cache

    return {"rmsprop_step": rmsprop_step}


def one(decay):
    return 1.0


def share(decay):
    return decay


def rest(decay):
    return 1 - decay


def rmsprop_eps_inside(w, g, cache, lr, decay, eps):
    cache = decay * cache + (1 - decay) * g**2
    return w - lr * g / np.sqrt(cache + eps), cache


def rmsprop_old_cache(w, g, cache, lr, decay, eps):
    w = w - lr * g / (np.sqrt(cache) + eps)
    return w, decay * cache + (1 - decay) * g**2


WRONG[2] = [
    ("no root", {"adagrad_step": adagrad_no_root}, "AdaGrad divides by the cache, not by its root"),
    ("eps inside", {"adagrad_step": adagrad_eps_inside}, "AdaGrad has eps inside the root"),
    ("no eps", {"adagrad_step": adagrad_no_eps}, "AdaGrad lacks eps"),
    ("sizes", {"adagrad_step": adagrad_sizes}, "AdaGrad's cache adds up sizes, not squares"),
    ("signed", {"adagrad_step": adagrad_signed}, "AdaGrad's cache adds up the gradients themselves"),
    ("step first", {"adagrad_step": adagrad_old_cache}, "AdaGrad divides by the old cache"),
    (
        "one cache",
        {"adagrad_step": adagrad_one_cache},
        "AdaGrad has one cache for all weights: the squares are summed over the array",
    ),
    ("climbing", {"adagrad_step": adagrad_climbs}, "AdaGrad's step adds the gradient: that climbs"),
    ("old cache returned", {"adagrad_step": adagrad_cache_not_returned}, "AdaGrad returns the old cache"),
    ("cache changed in place", {"adagrad_step": adagrad_in_place}, "An argument is changed"),
    (
        "numbers rounded to integers",
        {"adagrad_step": lambda w, g, c, lr, eps: (w - lr * g / (np.sqrt(c + g**2) + eps), (c + g**2).astype(int))},
        "The result does not hold floats",
    ),
    ("nothing forgotten", rmsprop_family(one, one), "RMSProp forgets nothing: its cache is AdaGrad's"),
    ("shares exchanged", rmsprop_family(rest, share), "decay and 1 - decay are exchanged"),
    ("no share", rmsprop_family(share, one), "The new square is not multiplied by 1 - decay"),
    ("share squared", rmsprop_family(share, lambda d: (1 - d) ** 2), "1 - decay is squared with the gradient"),
    ("RMSProp, no root", rmsprop_family(share, rest, lambda c: c), "RMSProp divides by the cache, not by its root"),
    ("RMSProp, eps inside", {"rmsprop_step": rmsprop_eps_inside}, "RMSProp has eps inside the root"),
    ("RMSProp, step first", {"rmsprop_step": rmsprop_old_cache}, "RMSProp divides by the old cache"),
    ("RMSProp climbing", rmsprop_family(share, rest, sign=1), "RMSProp's step adds the gradient: that climbs"),
]


def adagrad_by_minicnn(w, g, cache, lr, eps):
    new, state = by_optimizer(lambda p: AdaGrad(p, lr, eps), w, g, cache=cache)
    return new, state["cache"]


def rmsprop_by_minicnn(w, g, cache, lr, decay, eps):
    new, state = by_optimizer(lambda p: RMSProp(p, lr, decay, eps), w, g, cache=cache)
    return new, state["cache"]


def rmsprop_as_a_move(w, g, cache, lr, decay, eps):
    """The average as a move from the old towards the new."""
    cache = cache + (1 - decay) * (g * g - cache)
    rates = lr / (eps + np.power(cache, 0.5))
    return w - np.multiply(rates, g), cache


RIGHT[2] = [
    ("loops", {"adagrad_step": adagrad_loops}),
    ("minicnn's", {"adagrad_step": adagrad_by_minicnn, "rmsprop_step": rmsprop_by_minicnn}),
    ("a rate for each weight first", {"rmsprop_step": rmsprop_as_a_move}),
    ("hypot", {"adagrad_step": lambda w, g, c, lr, eps: [w - lr * g / (np.hypot(np.sqrt(c), g) + eps), np.square(g) + c]}),
    ("a family with right shares", rmsprop_family(share, rest)),
]

# ---- Adam and AdamW


def adam_family(
    count=lambda t: t + 1,
    m_shares=lambda b: (b, 1 - b),
    v_shares=lambda b: (b, 1 - b),
    correct_m=lambda b, t: 1 - b**t,
    correct_v=lambda b, t: 1 - b**t,
    squared=lambda g, m: g * g,
    divisor=lambda v, correction, eps: np.sqrt(v / correction) + eps,
    sign=-1.0,
    returned_t=lambda t: t + 1,
):
    """adam_step() in pieces, of which one can be another."""

    def adam_step(w, g, m, v, t, lr, beta1, beta2, eps):
        keep, add = m_shares(beta1)
        new_m = keep * m + add * g
        keep, add = v_shares(beta2)
        new_v = keep * v + add * squared(g, new_m)
        number = count(t)
        with np.errstate(all="ignore"):
            direction = new_m / np.float64(correct_m(beta1, number))
            step = direction / divisor(new_v, np.float64(correct_v(beta2, number)), eps)
        return w + sign * lr * step, new_m, new_v, returned_t(t)

    return {"adam_step": adam_step}


def uncorrected(beta, t):
    return 1.0


def adam_corrected_kept(w, g, m, v, t, lr, beta1, beta2, eps):
    t += 1
    m = (beta1 * m + (1 - beta1) * g) / (1 - beta1**t)
    v = (beta2 * v + (1 - beta2) * g**2) / (1 - beta2**t)
    return w - lr * m / (np.sqrt(v) + eps), m, v, t


def adam_betas_exchanged(w, g, m, v, t, lr, beta1, beta2, eps):
    return adam_family()["adam_step"](w, g, m, v, t, lr, beta2, beta1, eps)


def adam_division_by_zero(w, g, m, v, t, lr, beta1, beta2, eps):
    """Python's own numbers, which raise an error at t = 0, where NumPy's give infinity."""
    m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
    return w - lr * (1 / (1 - beta1**t)) * m / (np.sqrt(v * (1 / (1 - beta2**t))) + eps), m, v, t + 1


def adamw_family(before=lambda w, lr, wd: (1 - lr * wd) * w, after=lambda w, lr, wd: w, in_gradient=0.0):
    def adamw_step(w, g, m, v, t, lr, beta1, beta2, eps, wd):
        g = g + in_gradient * wd * w
        w, m, v, t = adam_family()["adam_step"](before(w, lr, wd), g, m, v, t, lr, beta1, beta2, eps)
        return after(w, lr, wd), m, v, t

    return {"adamw_step": adamw_step}


def unchanged(w, lr, wd):
    return w


WRONG[3] = [
    ("t not counted first", adam_family(count=lambda t: t), "The bias correction uses t before it is counted up"),
    (
        "the same in Python's numbers",
        {"adam_step": adam_division_by_zero},
        "The bias correction uses t before it is counted up",
    ),
    ("no correction", adam_family(correct_m=uncorrected, correct_v=uncorrected), "The bias correction is missing"),
    ("m corrected only", adam_family(correct_v=uncorrected), "Only m is corrected"),
    ("v corrected only", adam_family(correct_m=uncorrected), "Only v is corrected"),
    (
        "multiplied",
        adam_family(correct_m=lambda b, t: 1 / (1 - b**t), correct_v=lambda b, t: 1 / (1 - b**t)),
        "The correction multiplies by 1 - beta^t",
    ),
    (
        "corrected by the first step's factor",
        adam_family(correct_m=lambda b, t: 1 - b, correct_v=lambda b, t: 1 - b),
        "The correction divides by 1 - beta, whatever t is",
    ),
    ("corrected ones kept", {"adam_step": adam_corrected_kept}, "The corrected m and v are returned"),
    ("eps inside", adam_family(divisor=lambda v, c, eps: np.sqrt(v / c + eps)), "eps is inside the root"),
    (
        "eps of section 2",
        adam_family(divisor=lambda v, c, eps: (np.sqrt(v) + eps) / np.sqrt(c)),
        "eps is added to the root before that is corrected",
    ),
    ("no root", adam_family(divisor=lambda v, c, eps: v / c + eps), "The root of v is missing"),
    (
        "shares of m exchanged",
        adam_family(m_shares=lambda b: (1 - b, b)),
        "m takes the new gradient with beta, and the old ones with 1 - beta",
    ),
    ("m a sum", adam_family(m_shares=lambda b: (b, 1.0)), "m adds the gradient without its share of 1 - beta1"),
    ("betas exchanged", {"adam_step": adam_betas_exchanged}, "beta1 and beta2 are exchanged"),
    ("v of the gradient", adam_family(squared=lambda g, m: g), "v averages the gradient, not its square"),
    ("v of m", adam_family(squared=lambda g, m: m**2), "v averages the square of m, not of the gradient"),
    ("climbing", adam_family(sign=1.0), "The step adds: that climbs"),
    ("t stands still", adam_family(returned_t=lambda t: t), "The t that is returned has not been counted up"),
    (
        "t lost",
        {"adam_step": lambda *arguments: adam_family()["adam_step"](*arguments)[:3]},
        "Not as many results as asked for",
    ),
    (
        "L2 in the gradient",
        adamw_family(unchanged, in_gradient=1.0),
        "The decay is in the gradient: that is Adam with L2 regularisation",
    ),
    ("decay without the rate", adamw_family(lambda w, lr, wd: (1 - wd) * w), "The decay is not multiplied by the rate"),
    ("growing", adamw_family(lambda w, lr, wd: w * (1 + lr * wd)), "The weights grow instead of shrinking"),
    (
        "shrinking afterwards",
        adamw_family(unchanged, lambda w, lr, wd: w * (1 - lr * wd)),
        "The weights shrink after Adam's step",
    ),
    ("no decay", adamw_family(unchanged), "There is no decay"),
]


def adam_by_minicnn(w, g, m, v, t, lr, beta1, beta2, eps):
    new, state = by_optimizer(lambda p: Adam(p, lr, beta1, beta2, eps), w, g, t=t, m=m, v=v)
    return new, state["m"], state["v"], state["t"]


def adamw_by_minicnn(w, g, m, v, t, lr, beta1, beta2, eps, wd):
    new, state = by_optimizer(lambda p: AdamW(p, lr, beta1, beta2, eps, wd), w, g, t=t, m=m, v=v)
    return new, state["m"], state["v"], state["t"]


def adam_rate_corrected(w, g, m, v, t, lr, beta1, beta2, eps):
    """Both corrections in the rate, and eps multiplied to match."""
    m, v = m + (1 - beta1) * (g - m), v + (1 - beta2) * (g * g - v)
    root = math.sqrt(1 - beta2 ** (t + 1))
    return w - lr * root / (1 - beta1 ** (t + 1)) * m / (np.sqrt(v) + eps * root), m, v, np.int64(t + 1)


def adam_loops(w, g, m, v, t, lr, beta1, beta2, eps):
    new_w, new_m, new_v = np.zeros(w.shape), np.zeros(w.shape), np.zeros(w.shape)
    for i, _ in np.ndenumerate(w):
        new_m[i] = beta1 * m[i] + (1 - beta1) * g[i]
        new_v[i] = beta2 * v[i] + (1 - beta2) * g[i] ** 2
        step = new_m[i] / (1 - math.pow(beta1, t + 1)) / (math.sqrt(new_v[i] / (1 - math.pow(beta2, t + 1))) + eps)
        new_w[i] = w[i] - lr * step
    return new_w, new_m, new_v, t + 1


def adamw_with_decay_in_the_step(w, g, m, v, t, lr, beta1, beta2, eps, wd):
    m, v, t = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2, t + 1
    step = (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps) + wd * w
    return [w - lr * step, m, v, t]


RIGHT[3] = [
    ("minicnn's", {"adam_step": adam_by_minicnn, "adamw_step": adamw_by_minicnn}),
    ("corrections in the rate", {"adam_step": adam_rate_corrected}),
    ("loops", {"adam_step": adam_loops}),
    ("decay in the step, and a list", {"adamw_step": adamw_with_decay_in_the_step}),
]

# ---- a Newton step, and one off saddles


def newton_by_inverse(change=lambda H, damping: H + damping * np.identity(len(H)), sign=-1):
    return {"newton_step": lambda w, g, H, damping: w + sign * np.dot(np.linalg.inv(change(H, damping)), g)}


def newton_damped_everywhere(H, damping):
    damped = H.copy()
    for i in range(len(H)):
        for j in range(len(H)):
            damped[i, j] += damping
    return damped


def newton_multiplied(w, g, H, damping):
    return w - np.einsum("ij,j->i", H, g) - damping * g


def newton_of_the_diagonal(w, g, H, damping):
    return np.array([w[i] - g[i] / (H[i, i] + damping) for i in range(len(w))])


def newton_one_over_each(w, g, H, damping):
    return w - (1 / (H + damping * np.eye(len(g)))) @ g


def newton_inverse_damped(w, g, H, damping):
    return w - np.linalg.inv(H) @ g - damping * g


def saddle_free_family(curvature, vectors=lambda Q: Q, sign=-1):
    """In a loop over the eigenvectors."""

    def saddle_free_step(w, g, H, damping):
        eigenvalues, Q = np.linalg.eigh(H)
        new = w.copy()
        for value, q in zip(eigenvalues, vectors(Q).T, strict=True):
            new += sign * (q @ g) / curvature(value, damping) * q
        return new

    return {"saddle_free_step": saddle_free_step}


def saddle_free_elementwise(w, g, H, damping):
    return w - np.linalg.inv(np.sqrt(H * H) + damping * np.eye(len(w))) @ g


WRONG[4] = [
    ("climbing", newton_by_inverse(sign=1), "The step is added"),
    ("damping everywhere", newton_by_inverse(newton_damped_everywhere), "The damping is added to every element of H"),
    ("no damping", newton_by_inverse(lambda H, damping: H), "The damping is missing"),
    ("damping subtracted", newton_by_inverse(lambda H, d: H - d * np.identity(len(H))), "The damping is subtracted"),
    ("multiplied", {"newton_step": newton_multiplied}, "The gradient is multiplied by the matrix, not by its inverse"),
    ("the diagonal", {"newton_step": newton_of_the_diagonal}, "Only the diagonal of H is used"),
    (
        "one over each element",
        {"newton_step": newton_one_over_each},
        "The gradient is divided by H element by element, and summed up",
    ),
    (
        "damping of the inverse",
        {"newton_step": newton_inverse_damped},
        "The matrix is inverted, and then the damping is added to the inverse",
    ),
    (
        "a column",
        {"newton_step": lambda w, g, H, d: (w - np.linalg.solve(H + d * np.eye(len(w)), g))[:, None]},
        "The result has an axis of length 1 too many",
    ),
    ("signs kept", saddle_free_family(lambda e, d: e + d), "saddle_free_step keeps the signs: it is newton_step"),
    ("size of the sum", saddle_free_family(lambda e, d: abs(e + d)), "The size is taken after the damping is added"),
    ("negative ones zero", saddle_free_family(lambda e, d: max(e, 0.0) + d), "Negative curvatures are taken to be zero"),
    (
        "rows",
        saddle_free_family(lambda e, d: abs(e) + d, lambda Q: Q.T),
        "The rows of eigh's second result are taken for eigenvectors",
    ),
    ("elements", {"saddle_free_step": saddle_free_elementwise}, "The size is taken of each element of H"),
    ("no damping off saddles", saddle_free_family(lambda e, d: abs(e)), "saddle_free_step lacks the damping"),
    ("climbing off saddles", saddle_free_family(lambda e, d: abs(e) + d, sign=1), "saddle_free_step adds the step"),
    (
        "w changed",
        {"newton_step": lambda w, g, H, d: np.subtract(w, np.linalg.solve(H + d * np.eye(len(w)), g), out=w)},
        "An argument is changed",
    ),
]


def newton_by_minicnn(w, g, H, damping):
    weight = Parameter(w.copy())

    def evaluate():
        weight.grad = g
        return 0.0

    Newton({"w": weight}, damping=damping, hessian=lambda _: H).step(evaluate)
    return weight.value


def newton_by_least_squares(w, g, H, damping):
    return w + np.linalg.lstsq(H + np.diag([damping] * len(w)), -g, rcond=None)[0]


def newton_by_eigenvectors(w, g, H, damping):
    values, Q = np.linalg.eigh(H)
    return w - np.einsum("ij,j,kj,k->i", Q, 1 / (values + damping), Q, g)


def saddle_free_as_matrix(w, g, H, damping):
    values, Q = np.linalg.eigh(H)
    return w - np.linalg.solve(Q @ np.diag(np.abs(values)) @ Q.T + damping * np.eye(len(w)), g)


def saddle_free_by_svd(w, g, H, damping):
    """The singular values of a symmetric matrix are the sizes of its eigenvalues, its right singular vectors eigenvectors."""
    _, sizes, vectors = np.linalg.svd(H)
    return w - vectors.T @ ((vectors @ g) / (sizes + damping))


RIGHT[4] = [
    ("inverse", newton_by_inverse()),
    ("minicnn's", {"newton_step": newton_by_minicnn}),
    ("least squares", {"newton_step": newton_by_least_squares}),
    ("eigenvectors", {"newton_step": newton_by_eigenvectors}),
    ("one eigenvector after another", saddle_free_family(lambda e, d: abs(e) + d)),
    ("|H| as a matrix", {"saddle_free_step": saddle_free_as_matrix}),
    ("singular values", {"saddle_free_step": saddle_free_by_svd}),
]

# ---- the direction of L-BFGS


def two_loops(
    latest_first=lambda pairs: pairs[::-1],
    earliest_first=lambda pairs: pairs,
    gamma=lambda S, Y: np.vdot(S[-1], Y[-1]) / np.vdot(Y[-1], Y[-1]),
    rho=lambda s, y: 1.0 / np.vdot(s, y),
    alpha=lambda s, y, q: np.vdot(s, q),
    beta=lambda s, y, r: np.vdot(y, r),
    taken=lambda s, y: y,
    given=lambda s, y, a, b: s * (a - b),
    sign=-1.0,
):
    """Over a list of pairs with their number."""

    def lbfgs_direction(g, S, Y):
        pairs = list(enumerate(zip(S, Y, strict=True)))
        q, alphas = np.array(g), {}
        for i, (s, y) in latest_first(pairs):
            alphas[i] = rho(s, y) * alpha(s, y, q)
            q = q - alphas[i] * taken(s, y)
        r = q * gamma(S, Y) if pairs else q
        for i, (s, y) in earliest_first(pairs):
            r = r + given(s, y, alphas[i], rho(s, y) * beta(s, y, r))
        return sign * r

    return {"lbfgs_direction": lbfgs_direction}


def backwards(pairs):
    return pairs[::-1]


def forwards(pairs):
    return pairs


def alphas_in_a_list(g, S, Y):
    q, alphas = g.copy(), []
    for i in range(len(S) - 1, -1, -1):
        alphas.append(np.dot(S[i], q) / np.dot(S[i], Y[i]))
        q -= alphas[-1] * Y[i]
    if len(S):
        q *= np.dot(S[-1], Y[-1]) / np.dot(Y[-1], Y[-1])
    for i in range(len(S)):
        q += (alphas[i] - np.dot(Y[i], q) / np.dot(S[i], Y[i])) * S[i]
    return -q


def gradient_in_place(g, S, Y):
    q = g
    alphas = np.zeros(len(S))
    for i in range(len(S))[::-1]:
        alphas[i] = S[i] @ q / (S[i] @ Y[i])
        q -= alphas[i] * Y[i]
    return two_loops()["lbfgs_direction"](g, S, Y)


def fails_without_steps(g, S, Y):
    last = S[-1] @ Y[-1]
    return two_loops(gamma=lambda S, Y: last / (Y[-1] @ Y[-1]))["lbfgs_direction"](g, S, Y)


WRONG[5] = [
    ("climbing", two_loops(sign=1.0), "The minus is missing: that direction climbs"),
    ("first loop reversed", two_loops(latest_first=forwards), "The first loop runs from the earliest step to the latest"),
    ("second loop reversed", two_loops(earliest_first=backwards), "The second loop runs from the latest step to the earliest"),
    ("both reversed", two_loops(forwards, backwards), "Both loops run the wrong way round"),
    ("no gamma", two_loops(gamma=lambda S, Y: 1.0), "gamma is missing between the loops"),
    ("gamma upside down", two_loops(gamma=lambda S, Y: (Y[-1] ** 2).sum() / (S[-1] * Y[-1]).sum()), "gamma is upside down"),
    ("the other gamma", two_loops(gamma=lambda S, Y: (S[-1] ** 2).sum() / (S[-1] * Y[-1]).sum()), "gamma is s^T s / s^T y"),
    (
        "the earliest gamma",
        two_loops(gamma=lambda S, Y: (S[0] * Y[0]).sum() / (Y[0] ** 2).sum()),
        "gamma is of the earliest step",
    ),
    ("rho upside down", two_loops(rho=lambda s, y: (s * y).sum()), "rho is y^T s, not one over it"),
    ("rho of y alone", two_loops(rho=lambda s, y: 1 / (y * y).sum()), "rho is one over y^T y"),
    ("s taken", two_loops(taken=lambda s, y: s), "In the first loop s is subtracted from q"),
    ("alpha with y", two_loops(alpha=lambda s, y, q: y @ q), "alpha is taken with y"),
    ("beta with s", two_loops(beta=lambda s, y, r: s @ r), "beta is taken with s"),
    ("y given", two_loops(given=lambda s, y, a, b: (a - b) * y), "In the second loop y is added to r"),
    ("beta minus alpha", two_loops(given=lambda s, y, a, b: b * s - a * s), "In the second loop beta - alpha is added"),
    ("no beta", two_loops(given=lambda s, y, a, b: a * s), "The second loop lacks beta"),
    ("alphas in a list", {"lbfgs_direction": alphas_in_a_list}, "The second loop meets the alphas in the order of the first"),
    ("g changed", {"lbfgs_direction": gradient_in_place}, "An argument is changed"),
    ("no steps, no answer", {"lbfgs_direction": fails_without_steps}, "With no steps remembered it breaks off"),
    (
        "the gradient itself",
        {"lbfgs_direction": lambda g, S, Y: -g},
        "The remembered steps have no effect: it is minus the gradient",
    ),
]


def by_matrices(g, S, Y):
    """BFGS with H as a matrix."""
    identity = np.eye(len(g))
    H = identity * (S[-1] @ Y[-1]) / (Y[-1] @ Y[-1]) if len(S) else identity
    for s, y in zip(S, Y, strict=True):
        left = identity - np.outer(s, y) / (s @ y)
        H = left @ H @ left.T + np.outer(s, s) / (s @ y)
    return -(H @ g)


def recursive(g, S, Y):
    """H of m pairs in terms of H of the m - 1 pairs before, with the latest pair's gamma throughout."""
    gamma = S[-1] @ Y[-1] / (Y[-1] @ Y[-1]) if len(S) else 1.0

    def product(q, m):
        if m == 0:
            return gamma * q
        s, y = S[m - 1], Y[m - 1]
        alpha = (s @ q) / (s @ y)
        r = product(q - alpha * y, m - 1)
        return r + (alpha - (y @ r) / (s @ y)) * s

    return -product(g, len(S))


def by_minicnn(g, S, Y):
    """The direction of minicnn.optim, which has these steps in its memory."""
    weight = Parameter(np.zeros_like(g))
    optimizer = LBFGS({"w": weight}, memory=max(1, len(S)))
    weight.grad = g.copy()
    if len(S):
        optimizer.state["w"] = {"t": len(S), "s": S.copy(), "y": Y.copy()}
    objective = optimizer._objective(lambda: 0.0)
    return -optimizer._inverse_hessian_times(g, objective)


RIGHT[5] = [
    ("pairs", two_loops()),
    ("matrices", {"lbfgs_direction": by_matrices}),
    ("recursion", {"lbfgs_direction": recursive}),
    ("minicnn's", {"lbfgs_direction": by_minicnn}),
]

# ---- schedules


def wave(q, final):
    return final + 0.5 * (1 - final) * (1 + math.cos(math.pi * q))


def after_warmup(formula, rise=lambda p, warmup, final: p / warmup, is_rising=lambda p, warmup: p < warmup):
    def cosine_schedule(p, warmup, final):
        if is_rising(p, warmup):
            return rise(p, warmup, final)
        return formula(p, warmup, final)

    return {"cosine_schedule": cosine_schedule}


def right_wave(p, warmup, final):
    return wave((p - warmup) / (1 - warmup), final)


def step_by(count, combine=lambda factor, n: factor**n):
    return {"step_schedule": lambda p, drops, factor: combine(factor, count(p, drops))}


def passed(p, drops):
    return len([drop for drop in drops if drop <= p])


def step_strict(p, drops, factor):
    rate = 1.0
    for drop in drops:
        if p > drop:
            rate *= factor
    return rate


def step_once(p, drops, factor):
    for drop in drops:
        if p >= drop:
            return factor
    return 1.0


WRONG[6] = [
    ("strictly after", {"step_schedule": step_strict}, "A drop takes effect only after its moment"),
    ("once", {"step_schedule": step_once}, "The factor is applied once, however many drops there were"),
    (
        "multiplied by the number",
        step_by(passed, lambda factor, n: factor * n if n else 1.0),
        "The factor is multiplied by the number of drops, not raised to it",
    ),
    ("still to come", step_by(lambda p, drops: len(drops) - passed(p, drops)), "The drops that are still to come are counted"),
    ("subtracted", step_by(passed, lambda factor, n: 1 - n * factor), "Each drop subtracts the factor"),
    ("an array", {"step_schedule": lambda p, drops, factor: np.full(2, factor)}, "An array came where a number belongs"),
    (
        "over the whole run",
        after_warmup(lambda p, warmup, final: wave(p, final)),
        "The wave runs over the whole run, not over what follows the warm-up",
    ),
    (
        "shifted only",
        after_warmup(lambda p, warmup, final: wave(p - warmup, final)),
        "The wave begins after the warm-up, but is not compressed into what is left",
    ),
    (
        "divided by warmup",
        after_warmup(lambda p, warmup, final: wave((p - warmup) / warmup if warmup > 0 else p, final)),
        "p - warmup is divided by warmup",
    ),
    (
        "twice as high",
        after_warmup(lambda p, warmup, final: final + (1 - final) * (1 + np.cos(np.pi * (p - warmup) / (1 - warmup)))),
        "The wave is twice as high: 1 + cos lies between 0 and 2",
    ),
    (
        "final added",
        after_warmup(lambda p, warmup, final: right_wave(p, warmup, 0) + final),
        "The wave is as high as ever, and `final` is added",
    ),
    ("to zero", after_warmup(lambda p, warmup, final: right_wave(p, warmup, 0)), "The wave falls to zero, whatever `final` is"),
    (
        "a quarter",
        after_warmup(lambda p, warmup, final: final + (1 - final) * math.cos(0.5 * math.pi * (p - warmup) / (1 - warmup))),
        "It is a quarter of a wave",
    ),
    ("no rise", after_warmup(right_wave, lambda p, warmup, final: 1), "There is no warm-up: it begins at 1"),
    ("one line", {"cosine_schedule": right_wave}, "There is no warm-up: the wave is used before it as well"),
    (
        "<= and no warm-up",
        after_warmup(right_wave, is_rising=lambda p, warmup: p <= warmup),
        "Without a warm-up, p = 0 is divided by zero",
    ),
    (
        "rising from final",
        after_warmup(right_wave, lambda p, warmup, final: final + p / warmup * (1 - final)),
        "The warm-up rises from `final`",
    ),
    (
        "exponential",
        {"one_over_t_schedule": lambda p, k: math.exp(-p * math.log1p(k))},
        "It falls exponentially: 1 / (1 + k)^p",
    ),
    (
        "no 1",
        {"one_over_t_schedule": lambda p, k: 1 / (k * p) if p > 0 and k > 0 else math.inf},
        "The 1 in the divisor is missing",
    ),
    ("a line", {"one_over_t_schedule": lambda p, k: (1 - p) + p / (1 + k)}, "It falls in a straight line to 1 / (1 + k)"),
    ("a root", {"one_over_t_schedule": lambda p, k: (1 + k * p) ** -0.5}, "It is the root of 1/t"),
]


def step_loop(p, drops, factor):
    rate = 1
    for drop in drops:
        rate = rate * factor if p >= drop else rate
    return rate


def step_searched(p, drops, factor):
    return np.power(factor, float(np.searchsorted(np.array(drops, float), p, side="right")))


def cosine_by_half_angle(p, warmup, final):
    """(1 + cos a) / 2 is cos(a / 2)^2; a list of all moments, looked up at one."""
    if warmup > p:
        return np.interp(p, [0, warmup], [0, 1])
    q = 1 - (1 - p) / (1 - warmup)
    return np.asarray(final + (1 - final) * np.cos(np.pi * q / 2) ** 2)


RIGHT[6] = [
    ("a loop", {"step_schedule": step_loop}),
    ("searched", {"step_schedule": step_searched}),
    ("half the angle, and an array of no axes", {"cosine_schedule": cosine_by_half_angle}),
    (
        "minicnn's",
        {
            "step_schedule": lambda p, drops, factor: schedules.step(drops, factor)(p),
            "cosine_schedule": lambda p, warmup, final: schedules.cosine(warmup, final)(p),
            "one_over_t_schedule": lambda p, k: schedules.one_over_t(k)(p),
        },
    ),
    ("<=, where there is a warm-up", after_warmup(right_wave, is_rising=lambda p, warmup: warmup > 0 and p <= warmup)),
    ("a power", {"one_over_t_schedule": lambda p, k: np.power(1 + k * p, -1.0)}),
]

# ---- gradient clipping


def clipped_with(norm_of, factor=lambda norm, largest: largest / norm if norm > largest else 1.0):
    def clip_gradients(gradients, largest):
        clipped = []
        for g in gradients:
            clipped.append(np.multiply(g, factor(norm_of(gradients), largest)))
        return clipped

    return {"clip_gradients": clip_gradients}


def norm_in_loops(gradients):
    total = 0.0
    for g in gradients:
        for element in g.flat:
            total += element * element
    return math.sqrt(total)


def each_by_itself(gradients, largest):
    clipped = []
    for g in gradients:
        norm = np.sqrt(np.square(g).sum())
        clipped.append(g * largest / norm if norm > largest else g.copy())
    return clipped


def each_element(gradients, largest):
    return [np.minimum(np.maximum(g, -largest), largest) for g in gradients]


def in_place(gradients, largest):
    norm = norm_in_loops(gradients)
    for g in gradients:
        g *= min(1.0, largest / norm) if norm else 1.0
    return [g.copy() for g in gradients]


def the_same_if_short(gradients, largest):
    norm = norm_in_loops(gradients)
    return [g * (largest / norm) for g in gradients] if norm > largest else gradients


WRONG[7] = [
    ("each array by itself", {"clip_gradients": each_by_itself}, "Each array is clipped by its own norm"),
    ("each element", {"clip_gradients": each_element}, "Each element is clipped"),
    (
        "always scaled",
        clipped_with(norm_in_loops, lambda norm, largest: largest / norm if norm > 0 else 1),
        "Short gradients are lengthened",
    ),
    (
        "divided by zero",
        clipped_with(norm_in_loops, lambda norm, largest: min(largest / norm, 1)),
        "A norm of zero is divided by",
    ),
    (
        "compared the wrong way",
        clipped_with(norm_in_loops, lambda norm, largest: 1.0 if norm >= largest or norm == 0 else largest / norm),
        "Those that are short are scaled, and those that are long are not",
    ),
    (
        "to the length 1",
        clipped_with(norm_in_loops, lambda norm, largest: 1 / norm if norm > largest else 1),
        "Long gradients are scaled to the length 1",
    ),
    ("upside down", clipped_with(norm_in_loops, lambda norm, largest: max(norm / largest, 1)), "The factor is upside down"),
    ("no root", clipped_with(lambda gs: norm_in_loops(gs) ** 2), "The root is missing: the norm is the sum of the squares"),
    (
        "norms added",
        clipped_with(lambda gs: np.sum([norm_in_loops([g]) for g in gs])),
        "The norms of the arrays are added up",
    ),
    ("longest", clipped_with(lambda gs: np.max([norm_in_loops([g]) for g in gs])), "The norm is that of the longest array"),
    (
        "mean square",
        clipped_with(lambda gs: norm_in_loops(gs) / math.sqrt(sum(g.size for g in gs))),
        "The norm is the mean square: it is divided by the number of elements",
    ),
    ("sizes", clipped_with(lambda gs: sum(np.abs(g).sum() for g in gs)), "The norm adds up sizes, not squares"),
    ("changed in place", {"clip_gradients": in_place}, "An argument is changed"),
    ("the same arrays if short", {"clip_gradients": the_same_if_short}, "The result is an argument, or a view of it"),
    ("one array", {"clip_gradients": lambda gs, largest: np.concatenate([g.ravel() for g in gs])}, None),
]


def clipped_flat(gradients, largest):
    """All as one vector, and back."""
    flat = np.concatenate([g.ravel() for g in gradients])
    length = np.linalg.norm(flat)
    flat = flat if length <= largest else flat / length * largest
    ends = np.cumsum([g.size for g in gradients])
    pieces = np.split(flat, ends[:-1])
    return tuple(piece.reshape(g.shape).copy() for piece, g in zip(pieces, gradients, strict=True))


def clipped_by_minicnn(gradients, largest):
    parameters = {i: Parameter(np.zeros(g.shape)) for i, g in enumerate(gradients)}
    for i, g in enumerate(gradients):
        parameters[i].grad = g.copy()
    clip_gradient_norm(parameters, largest)
    return [parameter.grad for parameter in parameters.values()]


RIGHT[7] = [
    ("loops", clipped_with(norm_in_loops)),
    ("one vector, and a tuple", {"clip_gradients": clipped_flat}),
    ("minicnn's", {"clip_gradients": clipped_by_minicnn}),
    ("PyTorch's, with its 1e-6", clipped_with(norm_in_loops, lambda norm, largest: min(1.0, largest / (norm + 1e-6)))),
    ("hypot", clipped_with(lambda gs: math.hypot(*(np.linalg.norm(g) for g in gs)))),
]
