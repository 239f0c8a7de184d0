"""Codes on a plane: principal components, and t-SNE.

Both place N codes of D numbers on a plane. PCA is linear: it keeps the directions in which the codes vary most. t-SNE keeps
neighbourhoods: codes that are near each other get points that are near each other, but distances between groups of points mean
little.
"""

from __future__ import annotations

import numpy as np
from tqdm import tqdm

MAX_CODES = 3000  # t-SNE here compares all pairs of codes, N^2 numbers in every step
EXAGGERATION, EXAGGERATED_STEPS = 4.0, 250


def pca(codes: np.ndarray, dimensions: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Principal component analysis: the codes along the directions in which they vary most.

    With the mean subtracted, X = U S V^T (singular value decomposition); the rows of V^T are the principal components, and
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
        The fraction of the variance that each component explains.

    Raises
    ------
    ValueError
        For fewer than two codes, NaN or infinity among them, or more dimensions than they have components.

    Pearson 1901; Bishop 2006, section 12.1.

    >>> points, share = pca(np.array([[0.0, 0, 1], [3, 4, 1], [9, 12, 1]]))
    >>> points[:, 0].round(3), share.round(3)
    (array([-6.667, -1.667,  8.333]), array([1., 0.]))
    """
    x = _validated(codes)
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
    """t-SNE: a map of the codes on the plane in which neighbours stay neighbours; computed exactly, for up to 3,000 codes.

    p[i, j] says how close neighbours codes i and j are (see `affinities`), and q[i, j] the same of points i and j in the plane:

    q[i, j] = t[i, j] / sum over k != l of t[k, l],   t[i, j] = 1 / (1 + |y_i - y_j|^2)

    The points minimise KL(P || Q) = sum over i != j of p[i, j] log(p[i, j] / q[i, j]) by gradient descent with momentum and a
    gain for each coordinate that grows while its gradient keeps its sign. In the first 250 steps the momentum is 0.5, later
    0.8, and p is multiplied by 4 ("early exaggeration"), which gathers the groups. Points start at the first two principal
    components, scaled down (Kobak, Berens 2019), and not at random, so that the same codes always give the same map.

    Parameters
    ----------
    codes : (N, D), N at least 8
    perplexity : float, optional
        The effective number of neighbours of each code, at most (N - 1) / 3; by default 30, or less for few codes.
    steps : int
    progress : bool
        Show a bar when this takes over two seconds.

    Returns
    -------
    points : float64 (N, 2)
        Their scale has no meaning.
    KL : float
        In nats; the lower, the better the map agrees with P. Comparable only for the same codes and perplexity.

    van der Maaten, Hinton 2008, "Visualizing Data using t-SNE", JMLR 9: algorithm 1 and section 3.4. Two choices are newer than
    the paper: the start, and a learning rate that grows with N, here N / 4 (Belkina et al. 2019, Nature Communications 10).

    Raises
    ------
    ValueError
        For too few or too many codes, or a perplexity that does not fit their number.
    """
    x = _validated(codes)
    N = len(x)
    if not 8 <= N <= MAX_CODES:
        raise ValueError(f"tsne compares all pairs of codes and takes 8 to {MAX_CODES} of them, got {N}; draw some at random")
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
    """How close neighbours codes are: p[i, j] = (p_j|i + p_i|j) / 2N, (N, N), symmetric, with sum 1 and a diagonal of zeros,

    p_j|i = exp(-b_i |x_i - x_j|^2) / sum over k != i of exp(-b_i |x_i - x_k|^2)

    where b_i is found by bisection, such that 2^(entropy of p_.|i in bits), the effective number of neighbours of i, is the
    perplexity. So the bell curve of a code is narrow where codes are dense and wide where they are sparse. Equations 1 and 2 of
    the paper, section 2.
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
        too_wide = entropy > np.log(perplexity)  # too many neighbours: b must grow
        low, high = np.where(too_wide, b, low), np.where(too_wide, high, b)
        b = np.where(np.isinf(high), 2 * b, (low + high) / 2)
    full = np.zeros((N, N))
    full[off] = p.ravel()
    return (full + full.T) / (2 * N)


def kl_and_gradient(p: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    """KL(P || Q) and its gradient, dKL/dy_i = 4 sum over j of (p[i, j] - q[i, j]) t[i, j] (y_i - y_j): equation 5 of the paper.

    During early exaggeration P is multiplied by 4, and only the attraction between points becomes stronger.
    """
    t = 1 / (1 + _squared_distances(y))
    np.fill_diagonal(t, 0)
    q = np.maximum(t / t.sum(), 1e-300)
    w = (p - q) * t
    gradient = 4 * (w.sum(axis=1, keepdims=True) * y - w @ y)
    positive = p > 0
    return float((p[positive] * np.log(p[positive] / q[positive])).sum()), gradient


def _squared_distances(x: np.ndarray) -> np.ndarray:
    """|x_i - x_j|^2 = |x_i|^2 + |x_j|^2 - 2 x_i.x_j, (N, N)."""
    squares = (x * x).sum(axis=1)
    d = squares[:, None] + squares - 2 * (x @ x.T)
    np.fill_diagonal(d, 0)
    return np.maximum(d, 0)


def _validated(codes: np.ndarray) -> np.ndarray:
    codes = np.asarray(codes, np.float64)
    if codes.ndim != 2 or len(codes) < 2:
        raise ValueError(f"expected codes (N, D) of two pictures or more, got {codes.shape}")
    if not np.isfinite(codes).all():
        raise ValueError("the codes contain NaN or infinity: look at the pictures and the network that made them")
    return codes
