"""Lesson 7: the mistakes that people make in its exercise, as functions that make them."""

from collections.abc import Callable

import numpy as np

from minicnn.course import Slip

# ---- Task 1: momentum, and Nesterov's

MOMENTUM_SLIPS = (
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
        "That is another convention, in which v is a length and not a gradient. Here v knows nothing of the rate, so that a "
        "schedule takes effect at once.",
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
        {"momentum_step": lambda w, g, v, lr, mu: (w - lr * (mu * v + (1 - mu) * g), mu * v + (1 - mu) * g)},
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
)

# ---- Task 2: a rate for each weight


def adagrad_by(
    cache_of: Callable = lambda c, g: c + g**2, divisor: Callable = lambda c, eps: np.sqrt(c) + eps, sign: int = 1
) -> dict[str, Callable]:
    def adagrad_step(w, g, cache, lr, eps):
        new = cache_of(cache, g)
        return w - sign * lr * g / divisor(new, eps), new

    return {"adagrad_step": adagrad_step}


def rmsprop_by(
    cache_of: Callable = lambda c, g, d: d * c + (1 - d) * g**2,
    divisor: Callable = lambda c, eps: np.sqrt(c) + eps,
    sign: int = 1,
) -> dict[str, Callable]:
    def rmsprop_step(w, g, cache, lr, decay, eps):
        new = cache_of(cache, g, decay)
        return w - sign * lr * g / divisor(new, eps), new

    return {"rmsprop_step": rmsprop_step}


ADAPTIVE_SLIPS = (
    Slip(
        "AdaGrad divides by the cache, not by its root",
        "The cache is made of squares. What has the unit of a gradient again?",
        adagrad_by(divisor=lambda c, eps: c + eps),
        r"/",
    ),
    Slip(
        "AdaGrad has eps inside the root",
        "It is a convention, but one that shows while the cache is small. Here the root is taken first.",
        adagrad_by(divisor=lambda c, eps: np.sqrt(c + eps)),
        r"eps",
    ),
    Slip(
        "AdaGrad lacks eps",
        "Where a weight has had no gradient yet, what is divided by what?",
        adagrad_by(divisor=lambda c, eps: np.sqrt(c)),
        r"sqrt|\*\*",
    ),
    Slip(
        "AdaGrad's cache adds up sizes, not squares",
        "It is the root that makes a size of it again.",
        adagrad_by(lambda c, g: c + np.abs(g)),
        r"abs",
    ),
    Slip(
        "AdaGrad's cache adds up the gradients themselves",
        "Gradients of opposite signs would cancel. What of them never does?",
        adagrad_by(lambda c, g: c + g),
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
        adagrad_by(lambda c, g: c + (g**2).sum()),
        r"sum|norm|dot|@",
    ),
    Slip(
        "AdaGrad's step adds the gradient: that climbs",
        "Dividing by a root changes no sign; the step goes down.",
        adagrad_by(sign=-1),
        r"w\s*\+=?",
    ),
    Slip(
        "AdaGrad returns the old cache",
        "The next step is given what this one returns.",
        {"adagrad_step": lambda w, g, cache, lr, eps: (w - lr * g / (np.sqrt(cache + g**2) + eps), cache.copy())},
        r"return",
    ),
    Slip(
        "RMSProp forgets nothing: its cache is AdaGrad's",
        "An average lets the old fade, by the factor decay in each step.",
        rmsprop_by(lambda c, g, d: c + g**2),
        r"cache",
    ),
    Slip(
        "decay and 1 - decay are exchanged",
        "decay is near 1. Which should count for more, the one new gradient, or all of those before?",
        rmsprop_by(lambda c, g, d: (1 - d) * c + d * g**2),
        r"decay",
    ),
    Slip(
        "The new square is not multiplied by 1 - decay",
        "In an average the shares add up to 1.",
        rmsprop_by(lambda c, g, d: d * c + g**2),
        r"decay",
    ),
    Slip(
        "1 - decay is squared with the gradient",
        "What is squared: the gradient, or its share?",
        rmsprop_by(lambda c, g, d: d * c + ((1 - d) * g) ** 2),
        r"decay",
    ),
    Slip(
        "RMSProp divides by the cache, not by its root",
        "The cache is made of squares. What has the unit of a gradient again?",
        rmsprop_by(divisor=lambda c, eps: c + eps),
        r"/",
    ),
    Slip(
        "RMSProp has eps inside the root",
        "Keras does it so; here the root is taken first.",
        rmsprop_by(divisor=lambda c, eps: np.sqrt(c + eps)),
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
        rmsprop_by(sign=-1),
        r"w\s*\+=?",
    ),
)

# ---- Task 3: Adam and AdamW


def adam_by(
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


def adamw_by(before: Callable, after: Callable = lambda w, lr, wd: w, in_gradient: bool = False) -> dict[str, Callable]:
    """adamw_step() with the weights changed otherwise ``before`` Adam's step, or changed ``after`` it."""
    right = adam_by()["adam_step"]

    def adamw_step(w, g, m, v, t, lr, beta1, beta2, eps, wd):
        gradient = g + wd * w if in_gradient else g
        new, m, v, t = right(before(w, lr, wd), gradient, m, v, t, lr, beta1, beta2, eps)
        return after(new, lr, wd), m, v, t

    return {"adamw_step": adamw_step}


def corrected_moments_kept(w, g, m, v, t, lr, beta1, beta2, eps):
    t = t + 1
    m, v = (beta1 * m + (1 - beta1) * g) / (1 - beta1**t), (beta2 * v + (1 - beta2) * g**2) / (1 - beta2**t)
    return w - lr * m / (np.sqrt(v) + eps), m, v, t


ADAM_SLIPS = (
    Slip(
        "The bias correction uses t before it is counted up",
        "Put t = 0 into 1 - beta^t. The pseudo-code counts from 1: the first step is number 1.",
        adam_by(later=0),
        r"\*\*\s*t\b|pow",
    ),
    Slip(
        "The bias correction is missing",
        "m and v begin at zero. After one step, how much of g is in m, and how much of g^2 in v?",
        adam_by(lambda m, v, b1, b2, eps: m / (np.sqrt(v) + eps)),
        r"sqrt",
    ),
    Slip(
        "Only m is corrected",
        "v begins at zero as well, and has more to make up for.",
        adam_by(lambda m, v, b1, b2, eps: m / (1 - b1) / (np.sqrt(v) + eps)),
        r"sqrt",
    ),
    Slip(
        "Only v is corrected",
        "m begins at zero as well.",
        adam_by(lambda m, v, b1, b2, eps: m / (np.sqrt(v / (1 - b2)) + eps)),
        r"sqrt",
    ),
    Slip(
        "The correction multiplies by 1 - beta^t",
        "m and v are too small at first. Must they get smaller still?",
        adam_by(lambda m, v, b1, b2, eps: m * (1 - b1) / (np.sqrt(v * (1 - b2)) + eps)),
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
        adam_by(lambda m, v, b1, b2, eps: m / (1 - b1) / np.sqrt(v / (1 - b2) + eps)),
        r"eps",
    ),
    Slip(
        "eps is added to the root before that is corrected",
        "Section 2 of the paper has such a form, with another eps. Here it is added to the corrected root.",
        adam_by(lambda m, v, b1, b2, eps: np.sqrt(1 - b2) / (1 - b1) * m / (np.sqrt(v) + eps)),
        r"eps",
    ),
    Slip(
        "The root of v is missing",
        "v is an average of squares. What has the unit of m?",
        adam_by(lambda m, v, b1, b2, eps: m / (1 - b1) / (v / (1 - b2) + eps)),
        r"eps",
    ),
    Slip(
        "m takes the new gradient with beta, and the old ones with 1 - beta",
        "beta1 is near 1. Which should count for more, one new gradient, or all of those before?",
        adam_by(m_of=lambda m, g, b1, b2: (1 - b1) * m + b1 * g),
        r"beta1",
    ),
    Slip(
        "m adds the gradient without its share of 1 - beta1",
        "In an average the shares add up to 1.",
        adam_by(m_of=lambda m, g, b1, b2: b1 * m + g),
        r"beta1",
    ),
    Slip(
        "beta1 and beta2 are exchanged",
        "Which of the two belongs to m, and which to v?",
        {
            "adam_step": lambda w, g, m, v, t, lr, beta1, beta2, eps: adam_by()["adam_step"](
                w, g, m, v, t, lr, beta2, beta1, eps
            )
        },
        r"beta2",
    ),
    Slip(
        "v averages the gradient, not its square",
        "v is to say how large gradients are, whatever their signs.",
        adam_by(v_of=lambda v, g, b1, b2: b2 * v + (1 - b2) * g),
        r"beta2",
    ),
    Slip(
        "v averages the square of m, not of the gradient",
        "Both m and v are fed with the gradient of this step.",
        {
            "adam_step": lambda w, g, m, v, t, lr, beta1, beta2, eps: adam_by(
                v_of=lambda v, _, b1, b2: b2 * v + (1 - b2) * (b1 * m + (1 - b1) * g) ** 2
            )["adam_step"](w, g, m, v, t, lr, beta1, beta2, eps)
        },
        r"beta2",
    ),
    Slip(
        "The step adds: that climbs",
        "m points to where the loss grows.",
        adam_by(sign=-1),
        r"w\s*\+=?",
    ),
    Slip(
        "The t that is returned has not been counted up",
        "The next step is given what this one returns.",
        adam_by(t_of=lambda t: t),
        r"return",
    ),
    Slip(
        "The decay is in the gradient: that is Adam with L2 regularisation",
        "There it passes through the division by the root of v, and weights with large gradients hardly decay. Here it is to "
        "be kept out of that.",
        adamw_by(lambda w, lr, wd: w, in_gradient=True),
        r"wd",
    ),
    Slip(
        "The decay is not multiplied by the rate",
        "By what share do the weights shrink in a step? (The paper's own decay is that; here, as in PyTorch, it is lr wd.)",
        adamw_by(lambda w, lr, wd: w - wd * w),
        r"wd",
    ),
    Slip(
        "The weights grow instead of shrinking",
        "Decay draws them towards zero.",
        adamw_by(lambda w, lr, wd: w + lr * wd * w),
        r"wd",
    ),
    Slip(
        "The weights shrink after Adam's step",
        "Which weights is it that shrink, those before the step or those after it?",
        adamw_by(lambda w, lr, wd: w, lambda w, lr, wd: w - lr * wd * w),
        r"wd",
    ),
    Slip(
        "There is no decay",
        "wd is an argument of adamw_step that must have an effect.",
        adamw_by(lambda w, lr, wd: w),
    ),
)

# ---- Task 4: Newton's step, damped, and one that leaves saddles


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


NEWTON_SLIPS = (
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
)

# ---- Task 5: the direction of L-BFGS


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
    unremembered: Callable = lambda g, S, Y: g,
) -> dict[str, Callable]:
    """lbfgs_direction() with one thing changed."""

    def lbfgs_direction(g, S, Y):
        m, q, alpha = len(S), g.copy(), {}
        for i in first(m):
            alpha[i] = rho(S[i], Y[i]) * alpha_of(S[i], Y[i], q)
            q = q - alpha[i] * away(S[i], Y[i])
        r = gamma(S, Y) * q if m else unremembered(q, S, Y)
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


LBFGS_SLIPS = (
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
    Slip(
        "The remembered steps have no effect: it is minus the gradient",
        "That is right before the first step. What do S and Y say of the curvature after it?",
        {"lbfgs_direction": lambda g, S, Y: -g},
        r"return",
    ),
    Slip(
        "With no steps remembered it breaks off",
        "Then there is no latest step to take gamma from.",
        lbfgs_by(unremembered=lambda g, S, Y: S[-1]),
        r"\[-1\]",
    ),
)

# ---- Task 6: schedules


def cosine_by(wave: Callable, rise: Callable = lambda p, warmup, final: p / warmup) -> dict[str, Callable]:
    """cosine_schedule() with another function after the warm-up, or another rise."""

    def cosine_schedule(p, warmup, final):
        return rise(p, warmup, final) if p < warmup else wave(p, warmup, final)

    return {"cosine_schedule": cosine_schedule}


def falling(q: float, final: float) -> float:
    return final + (1 - final) * (1 + np.cos(np.pi * q)) / 2


SCHEDULE_SLIPS = (
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
        {"step_schedule": lambda p, drops, factor: factor * sum(d <= p for d in drops) if any(d <= p for d in drops) else 1.0},
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
)

# ---- Task 7: gradient clipping


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


CLIPPING_SLIPS = (
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
)
