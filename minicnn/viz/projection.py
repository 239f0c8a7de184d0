"""Codes on a plane: principal components, and t-SNE.

Both place N codes of D numbers on a plane. PCA is linear: it keeps the directions in which the codes differ most. t-SNE keeps
neighbours: who is near whom in the plane is to say who is near whom among the codes; distances between groups say little.
"""

from __future__ import annotations

import numpy as np
from tqdm import tqdm

MOST = 3000  # codes: t-SNE here compares each with each, N^2 numbers in every step
EXAGGERATION, EXAGGERATED_STEPS = 4.0, 250


def pca(codes: np.ndarray, dimensions: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """The codes along the directions in which they vary most.

    With the mean taken off, X = U S V^T (singular value decomposition); the rows of V^T are the principal components, and
    X V = U S are the coordinates. Component k explains the share s_k^2 / sum over j of s_j^2 of the variance. Signs are chosen
    so that in each component the largest coordinate is positive.

    Parameters
    ----------
    codes : (N, D), N at least 2
    dimensions : int
        At most min(N, D).

    Returns
    -------
    points : float64 (N, dimensions)
    share : float64 (dimensions,)

    Pearson 1901; Bishop 2006, section 12.1.

    >>> points, share = pca(np.array([[0.0, 0, 1], [3, 4, 1], [9, 12, 1]]))
    >>> points[:, 0].round(3), share.round(3)
    (array([-6.667, -1.667,  8.333]), array([1., 0.]))
    """
    x = _checked(codes)
    if not 1 <= dimensions <= min(x.shape):
        raise ValueError(f"pca: {len(x)} codes of {x.shape[1]} numbers have 1 to {min(x.shape)} components, not {dimensions}")
    U, S, _ = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    points = U[:, :dimensions] * S[:dimensions]
    largest = points[np.abs(points).argmax(axis=0), np.arange(dimensions)]
    total = (S**2).sum()
    return points * np.where(largest < 0, -1, 1), S[:dimensions] ** 2 / (total or 1.0)


def tsne(
    codes: np.ndarray, perplexity: float | None = None, steps: int = 1000, progress: bool = True
) -> tuple[np.ndarray, float]:
    """A plane map of the codes in which neighbours stay neighbours, by t-SNE; exact, for up to 3,000 codes.

    p[i, j] says how much codes i and j are neighbours (see `affinities`), q[i, j] the same of points i and j in the plane:

    q[i, j] = t[i, j] / sum over k != l of t[k, l],   t[i, j] = 1 / (1 + |y_i - y_j|^2)

    The points minimise KL(P || Q) = sum over i != j of p[i, j] log(p[i, j] / q[i, j]) by gradient descent with momentum and a
    gain for each coordinate that grows while its gradient keeps its sign. In the first 250 steps the momentum is 0.5, later
    0.8, and p is taken 4 times larger, which gathers the groups. Points start at the first two principal components, made
    small (Kobak, Berens 2019), so that nothing is left to chance: the same codes give the same map.

    Parameters
    ----------
    codes : (N, D), N at least 8
    perplexity : float, optional
        About how many neighbours each code has, at most (N - 1) / 3; by default 30, or fewer for few codes.
    steps : int
    progress : bool
        Show a bar when this takes over two seconds.

    Returns
    -------
    points : float64 (N, 2)
        Their unit means nothing.
    KL : float
        In nats; lower is truer to P. Comparable for the same codes and perplexity only.

    van der Maaten, Hinton 2008, "Visualizing Data using t-SNE", JMLR 9: algorithm 1 and section 3.4. Two things are later
    custom: the start, and a learning rate that grows with N, here N / 4 (Belkina et al. 2019, Nature Communications 10).

    Raises
    ------
    ValueError
        For too few or too many codes, or a perplexity that does not fit their number.
    """
    x = _checked(codes)
    N = len(x)
    if not 8 <= N <= MOST:
        raise ValueError(f"tsne compares each code with each and takes 8 to {MOST} of them, got {N}; draw some at random")
    perplexity = min(30.0, (N - 1) / 3) if perplexity is None else perplexity
    if not 1 < perplexity <= (N - 1) / 3:
        raise ValueError(f"tsne: the perplexity of {N} codes is more than 1 and at most {(N - 1) / 3:.0f}, got {perplexity}")
    p = affinities(x, perplexity)
    y = pca(x)[0]
    y *= 1e-4 / max(y[:, 0].std(), 1e-300)
    velocity, gains = np.zeros_like(y), np.ones_like(y)
    for step in tqdm(range(steps), "t-SNE", unit=" steps", delay=2, leave=False, disable=not progress):
        early = step < EXAGGERATED_STEPS
        _, gradient = kl_and_gradient(EXAGGERATION * p if early else p, y)
        gains = np.where(gradient * velocity < 0, gains + 0.2, 0.8 * gains).clip(0.01)
        velocity = (0.5 if early else 0.8) * velocity - N / 4 * gains * gradient
        y = y + velocity
        y -= y.mean(axis=0)
    return y, kl_and_gradient(p, y)[0]


def affinities(codes: np.ndarray, perplexity: float) -> np.ndarray:
    """How much codes are neighbours: p[i, j] = (p_j|i + p_i|j) / 2N, (N, N), symmetric, with sum 1 and zeros on the diagonal,

    p_j|i = exp(-b_i |x_i - x_j|^2) / sum over k != i of exp(-b_i |x_i - x_k|^2)

    where b_i, found by bisection, is such that 2^(entropy of p_.|i in bits), the effective number of i's neighbours, is the
    perplexity: codes in a crowd have a narrower view than codes on their own. Equations 1 and 2 of the paper, section 2.
    """
    d = _squared_distances(codes.astype(np.float64))
    N, off = len(d), ~np.eye(len(d), dtype=bool)
    d = d[off].reshape(N, N - 1)
    d = (d - d.min(axis=1, keepdims=True)) / max(d.mean(), 1e-300)  # p_j|i is the same, b_i is a plain number, and exp is safe
    b, low, high = np.ones((N, 1)), np.zeros((N, 1)), np.full((N, 1), np.inf)
    for _ in range(64):
        p = np.exp(-b * d)
        total = p.sum(axis=1, keepdims=True)
        p /= total
        entropy = np.log(total) + b * (p * d).sum(axis=1, keepdims=True)
        crowded = entropy > np.log(perplexity)  # too many neighbours: look closer
        low, high = np.where(crowded, b, low), np.where(crowded, high, b)
        b = np.where(np.isinf(high), 2 * b, (low + high) / 2)
    full = np.zeros((N, N))
    full[off] = p.ravel()
    return (full + full.T) / (2 * N)


def kl_and_gradient(p: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    """KL(P || Q) and its gradient, dKL/dy_i = 4 sum over j of (p[i, j] - q[i, j]) t[i, j] (y_i - y_j): equation 5 of the paper.

    Where P does not sum to 1 (early exaggeration) the gradient is that of the attraction made stronger.
    """
    t = 1 / (1 + _squared_distances(y))
    np.fill_diagonal(t, 0)
    q = np.maximum(t / t.sum(), 1e-300)
    w = (p - q) * t
    gradient = 4 * (w.sum(axis=1, keepdims=True) * y - w @ y)
    is_some = p > 0
    return float((p[is_some] * np.log(p[is_some] / q[is_some])).sum()), gradient


def _squared_distances(x: np.ndarray) -> np.ndarray:
    """|x_i - x_j|^2 = |x_i|^2 + |x_j|^2 - 2 x_i.x_j, (N, N)."""
    squares = (x * x).sum(axis=1)
    d = squares[:, None] + squares - 2 * (x @ x.T)
    np.fill_diagonal(d, 0)
    return np.maximum(d, 0)


def _checked(codes: np.ndarray) -> np.ndarray:
    codes = np.asarray(codes, np.float64)
    if codes.ndim != 2 or len(codes) < 2:
        raise ValueError(f"expected codes (N, D) of two pictures or more, got {codes.shape}")
    if not np.isfinite(codes).all():
        raise ValueError("the codes contain NaN or infinity: look at the pictures and the network that made them")
    return codes
