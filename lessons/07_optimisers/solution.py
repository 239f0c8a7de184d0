"""Lesson 7, solution: one way to write it. Try exercise.py first."""

import math
from collections.abc import Sequence

import numpy as np

# ---- Task 1: momentum, and Nesterov's


def momentum_step(w: np.ndarray, g: np.ndarray, v: np.ndarray, lr: float, mu: float) -> tuple[np.ndarray, np.ndarray]:
    """A step of gradient descent with momentum, from weights w with the gradient g.

        v <- mu v + g               the velocity: all gradients so far, older ones fading
        w <- w - lr v

    With mu = 0 that is plain SGD. Before the first step v is zero. The rate stands outside v.

    w, g, v of one shape, any  ->  the new w and the new v, of that shape
    """
    v = mu * v + g
    return w - lr * v, v


def nesterov_step(w: np.ndarray, g: np.ndarray, v: np.ndarray, lr: float, mu: float) -> tuple[np.ndarray, np.ndarray]:
    """The same with Nesterov's momentum, which looks ahead to where the velocity is about to go.

        v <- mu v + g
        w <- w - lr (g + mu v)      with the new v

    w, g, v of one shape, any  ->  the new w and the new v, of that shape
    """
    v = mu * v + g
    return w - lr * (g + mu * v), v


# ---- Task 2: a rate for each weight


def adagrad_step(w: np.ndarray, g: np.ndarray, cache: np.ndarray, lr: float, eps: float) -> tuple[np.ndarray, np.ndarray]:
    """A step of AdaGrad: the longer a weight's gradients were so far, the slower it goes.

        cache <- cache + g^2
        w <- w - lr g / (sqrt(cache) + eps)         with the new cache; element by element

    Before the first step cache is zero, and where all gradients were zero eps keeps 0 / 0 away.

    w, g, cache of one shape, any  ->  the new w and the new cache, of that shape
    """
    cache = cache + g**2
    return w - lr * g / (np.sqrt(cache) + eps), cache


def rmsprop_step(
    w: np.ndarray, g: np.ndarray, cache: np.ndarray, lr: float, decay: float, eps: float
) -> tuple[np.ndarray, np.ndarray]:
    """A step of RMSProp, whose cache forgets: a moving average in the place of a sum.

        cache <- decay cache + (1 - decay) g^2
        w <- w - lr g / (sqrt(cache) + eps)         with the new cache; element by element

    w, g, cache of one shape, any  ->  the new w and the new cache, of that shape
    """
    cache = decay * cache + (1 - decay) * g**2
    return w - lr * g / (np.sqrt(cache) + eps), cache


# ---- Task 3: Adam and AdamW


def adam_step(
    w: np.ndarray,
    g: np.ndarray,
    m: np.ndarray,
    v: np.ndarray,
    t: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """A step of Adam: a moving average of the gradient over the root of one of its square, both corrected for their start.

        t <- t + 1
        m <- beta1 m + (1 - beta1) g
        v <- beta2 v + (1 - beta2) g^2
        w <- w - lr (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)

    t is given as the number of steps that were taken before this one: 0 before the first, with m and v zero. What is returned
    as m and v goes into the next step, so it is not the corrected one. (The paper's t starts at 0 as well, and its loop adds 1
    first. Correct with 1 - beta^0, and you divide by zero.)

    w, g, m, v of one shape, any; t an integer  ->  the new w, m, v, of that shape, and the new t
    """
    t = t + 1
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_corrected, v_corrected = m / (1 - beta1**t), v / (1 - beta2**t)
    return w - lr * m_corrected / (np.sqrt(v_corrected) + eps), m, v, t


def adamw_step(
    w: np.ndarray,
    g: np.ndarray,
    m: np.ndarray,
    v: np.ndarray,
    t: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    wd: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """A step of AdamW: the weights shrink by lr wd of their size, and then comes Adam's step, which knows nothing of that.

        w <- w - lr wd w
        then Adam's step, with g alone

    w, g, m, v of one shape, any; t an integer  ->  the new w, m, v, of that shape, and the new t
    """
    return adam_step(w - lr * wd * w, g, m, v, t, lr, beta1, beta2, eps)


# ---- Task 4: Newton's step, damped, and one that leaves saddles


def newton_step(w: np.ndarray, g: np.ndarray, H: np.ndarray, damping: float) -> np.ndarray:
    """Newton's step: to where the parabola with this gradient and Hessian has its gradient zero.

        w <- w - (H + damping I)^-1 g

    Solve (H + damping I) d = g for d: np.linalg.solve does it without an inverse.

    w, g (D,), H (D, D), symmetric  ->  the new w (D,)
    """
    return w - np.linalg.solve(H + damping * np.eye(len(w)), g)


def saddle_free_step(w: np.ndarray, g: np.ndarray, H: np.ndarray, damping: float) -> np.ndarray:
    """Newton's step with the size of each curvature, but never its sign: it goes down along every eigenvector.

        H = sum over i of lambda_i q_i q_i^T            eigenvalues, and eigenvectors of length 1
        |H| = sum over i of |lambda_i| q_i q_i^T
        w <- w - (|H| + damping I)^-1 g

    np.linalg.eigh(H) returns the eigenvalues (D,), and the eigenvectors as the *columns* of an array (D, D).

    w, g (D,), H (D, D), symmetric  ->  the new w (D,)
    """
    eigenvalues, Q = np.linalg.eigh(H)
    return w - Q @ (Q.T @ g / (np.abs(eigenvalues) + damping))


# ---- Task 5: the direction of L-BFGS


def lbfgs_direction(g: np.ndarray, S: np.ndarray, Y: np.ndarray) -> np.ndarray:
    """Where L-BFGS goes: -B g, with B a guess at the inverse Hessian, from the last m steps. B itself is never built.

        rho_i = 1 / (y_i^T s_i)
        q <- g
        for i from the latest step to the earliest:     alpha_i = rho_i s_i^T q ;   q <- q - alpha_i y_i
        r <- gamma q                                    gamma = s^T y / (y^T y) of the latest step
        for i from the earliest step to the latest:     beta = rho_i y_i^T r ;      r <- r + (alpha_i - beta) s_i
        the direction is -r

    With no steps remembered (m = 0) gamma is 1, and the direction -g.

    g (D,), S (m, D), the changes of the weights, Y (m, D), those of the gradient, the earliest first  ->  direction (D,)
    """
    q, alpha = g.copy(), np.zeros(len(S))
    for i in reversed(range(len(S))):
        alpha[i] = S[i] @ q / (Y[i] @ S[i])
        q -= alpha[i] * Y[i]
    r = q * (S[-1] @ Y[-1] / (Y[-1] @ Y[-1])) if len(S) else q
    for i in range(len(S)):
        beta = Y[i] @ r / (Y[i] @ S[i])
        r = r + (alpha[i] - beta) * S[i]
    return -r


# ---- Task 6: schedules


def step_schedule(p: float, drops: Sequence[float], factor: float) -> float:
    """What the rate is multiplied by after the share p of a run, p from 0 to 1: factor for each drop at or before p.

    p = 0.7 with drops (0.5, 0.6, 0.9) gives factor^2, p = 0.5 gives factor, and p = 0.2 gives 1.

    p, drops (ascending), factor  ->  a number
    """
    return factor ** sum(drop <= p for drop in drops)


def cosine_schedule(p: float, warmup: float, final: float) -> float:
    """A straight rise from 0 to 1, and then half a cosine wave from 1 down to `final`.

        p < warmup      p / warmup
        otherwise       final + (1 - final) (1 + cos(pi q)) / 2         q: the share that has passed of what follows warm-up

    so q is 0 at p = warmup, and 1 at p = 1. With warmup = 0 there is no rise: 1 at p = 0.

    p from 0 to 1, warmup from 0 to below 1, final  ->  a number
    """
    if p < warmup:
        return p / warmup
    q = (p - warmup) / (1 - warmup)
    return final + (1 - final) * (1 + math.cos(math.pi * q)) / 2


def one_over_t_schedule(p: float, k: float) -> float:
    """Fast at first, then ever more slowly: 1 / (1 + k p).

    p from 0 to 1, k >= 0  ->  a number
    """
    return 1 / (1 + k * p)


# ---- Task 7: gradient clipping


def clip_gradients(gradients: Sequence[np.ndarray], largest: float) -> list[np.ndarray]:
    """All gradients of a network shrunk by one factor, so that together they are at most `largest` long.

        norm = sqrt( sum of the squares of all elements of all arrays )
        g <- g largest / norm       for every array, if norm > largest; otherwise as they are

    The direction stays: that is why it is one factor for all. All gradients may be zero.

    arrays of any shapes  ->  a list of as many new arrays, of the same shapes in the same order (copies, if nothing is clipped)
    """
    norm = math.sqrt(sum((g**2).sum() for g in gradients))
    factor = largest / norm if norm > largest else 1.0
    return [factor * g for g in gradients]
