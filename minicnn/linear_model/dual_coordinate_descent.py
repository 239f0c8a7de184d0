"""Support vector machines by dual coordinate descent: one training sample at a time, each step exact, no learning rate.

In the letters of the loops, with N samples x_i and scores s_i = w x_i + b. **Hinge** (p = 1) and **squared hinge** (p = 2), one
class against the rest, t_i = 1 or -1; c_i is the weight of a sample:

    P(w, b) = lambda/2 |w|^2 + 1/N sum_i c_i max(0, 1 - t_i s_i)^p
    w = 1/(lambda N) sum_i a_i t_i x_i,     0 <= a_i <= c_i  (p = 1),     0 <= a_i  (p = 2)

**Crammer-Singer**, all K classes at once, with e_ik = 0 for the right class k = y_i and 1 for the others:

    P(w, b) = lambda/2 |w|^2 + 1/N sum_i c_i (max_k (s_ik + e_ik) - s_iy)
    w_k = 1/(lambda N) sum_i (c_i [k = y_i] - p_ik) x_i,     p_ik >= 0,  sum_k p_ik = c_i

A sample pulls at w with a force a_i, or c_i [k = y_i] - p_ik: none where it is right by the margin, at most c_i where it is
not. (Softmax regression obeys the same law, with c_i times its probabilities for p_ik, which are never quite 0 or c_i.) The
dual problem is to find the forces. The best force of one sample while all others stay as they are is known in closed form, and
w follows in D steps. Sweeps over the samples, each in a new random order, converge linearly.

**Gap.** For given b the dual's value is a lower bound of P, and what lies between is a sum over samples of terms >= 0, zero
where a force fits the score:

    gap = 1/N sum_i c_i max(0, m_i)^p - a_i m_i + (p - 1) a_i^2 / (4 c_i),     m_i = 1 - t_i s_i
    gap = 1/N sum_i c_i max_k v_ik - sum_k p_ik v_ik,                          v_ik = s_ik + e_ik

**Bias.** b is not regularised, so at the minimum the forces on it balance: sum_i a_i t_i = 0, or sum_i c_i [k = y_i] - p_ik
= 0.
The step of a single sample could never keep such a sum. So b is tied to where it was by a spring, lambda/2 (b - b_before)^2/r,
which makes it one more weight, on a feature that is always sqrt(r). Every few sweeps b_before moves to b, and the spring is
weakened where the imbalance is what is left (the method of multipliers, Bertsekas 1982). If the best bias is within 1 (the
margin) of b, P is at most gap + |imbalance| above its minimum, with the imbalance 1/N of that sum; this is the stopping rule.

Hsieh et al. 2008, "A Dual Coordinate Descent Method for Large-scale Linear SVM", algorithms 1 and 3. Crammer & Singer 2001, "On
the Algorithmic Implementation of Multiclass Kernel-based Vector Machines". Keerthi et al. 2008, "A Sequential Dual Method for
Large Scale Multi-Class Linear SVMs", section 3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..runtime.compilation import sum_loop

SWEEPS = 10  # after which the gap is computed, which costs about half a sweep


@dataclass
class Minimum:
    """The solution that a solver has reached.

    Attributes
    ----------
    w, b : float64 (rows, D), (rows,)
    objective : float
        P(w, b).
    gap : float
        How far above the least possible value that is at most.
    iterations : int
        Sweeps over the samples, or steps of L-BFGS.
    """

    w: np.ndarray
    b: np.ndarray
    objective: float
    gap: float
    iterations: int


class DualProblem:
    """What the two problems share: w and b, which follow the forces, the spring of the bias, and the sweeps.

    All forces are zero in the beginning.

    Parameters
    ----------
    x : float32 or float64 (N, D), contiguous
    regularisation : float
        lambda, above 0.
    rows : int
        1, or K for Crammer-Singer.
    intercept : bool
        False: b stays 0.
    """

    def __init__(self, x: np.ndarray, regularisation: float, rows: int, intercept: bool):
        self.x, self.regularisation = x, regularisation
        self.scale = 1 / (regularisation * len(x))
        squared_norms = np.einsum("nd,nd->n", x, x, dtype=np.float64)
        mean = squared_norms.mean() or 1.0
        self.squared_norms = np.maximum(squared_norms, 1e-6 * mean)  # a sample that is all zeros: no division by zero
        self.r = mean / 8 if intercept else 0.0
        self.w, self.b = np.zeros((rows, x.shape[1])), np.zeros(rows)

    def sweep(self, order: np.ndarray) -> None:
        """One exact step for each of these samples, in this order."""
        raise NotImplementedError

    def pulls(self) -> np.ndarray:
        """(N, rows): a_i t_i, or c_i [k = y_i] - p_ik."""
        raise NotImplementedError

    def losses_and_gaps(self, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of each sample its loss and its term of the gap."""
        raise NotImplementedError

    def violations(self, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of each sample how far its optimality condition is violated, and how firmly it sits at a bound (0: it does not)."""
        raise NotImplementedError

    def solve(self, tolerance: float, max_sweeps: int, rng: np.random.Generator) -> Minimum:
        """Sweep until gap + |imbalance| <= tolerance * P, or ``max_sweeps``.

        Samples whose force is firmly at a bound, zero or c_i, are left out of the sweeps until the gap is computed again. That
        is always done for all samples, so that leaving some out can cost time but no accuracy. Hsieh et al., section 3.2.
        """
        active, sweeps = np.arange(len(self.x)), 0
        while True:
            for _ in range(min(SWEEPS, max_sweeps - sweeps)):
                self.sweep(rng.permutation(active))
                sweeps += 1
            scores = (self.x @ self.w.T.astype(self.x.dtype)).astype(np.float64) + self.b
            losses, gaps = self.losses_and_gaps(scores)
            objective = losses.mean() + 0.5 * self.regularisation * np.square(self.w).sum()
            imbalance = self.pulls().mean(axis=0) if self.r else np.zeros_like(self.b)
            gap, left = abs(gaps.mean()), np.abs(imbalance).sum()  # rounding can take a mean of zeros below 0
            if gap + left <= tolerance * objective or sweeps >= max_sweeps:
                return Minimum(self.w, self.b, float(objective), float(gap + left), sweeps)
            violation, firmness = self.violations(scores)
            active = np.flatnonzero(firmness <= violation.max())
            if left > gap:
                self.r *= 2
            self.b += self.r / self.regularisation * imbalance  # the spring's other end moves to where b is


class Hinge(DualProblem):
    """One class against the rest, with the hinge or its square.

    Parameters
    ----------
    t : float64 (N,)
        1 for the samples of the class, -1 for the rest.
    squared : bool
    c : float64 (N,), optional
        Weights of the samples, above 0; by default 1.

    >>> x, t = np.array([[2.0], [0.0]]), np.array([1.0, -1.0])
    >>> found = Hinge(x, t, 0.1).solve(1e-9, 1000, np.random.default_rng(0))      # margins of 1 at x = 0 and x = 2: w = 1
    >>> found.w.round(6), found.b.round(6), round(found.objective, 6)
    (array([[1.]]), array([-1.]), 0.05)
    """

    def __init__(
        self,
        x: np.ndarray,
        t: np.ndarray,
        regularisation: float,
        squared: bool = False,
        intercept: bool = True,
        c: np.ndarray | None = None,
    ):
        super().__init__(x, regularisation, 1, intercept)
        self.t, self.squared, self.a = t, squared, np.zeros(len(x))
        self.c = np.ones(len(x)) if c is None else c
        self.most = np.full(len(x), np.inf) if squared else self.c
        self.half = 0.5 / self.c if squared else np.zeros(len(x))

    def sweep(self, order: np.ndarray) -> None:
        _sweep_hinge(
            order, self.x, self.t, self.squared_norms, self.scale, self.r, self.most, self.half, self.a, self.w[0], self.b
        )

    def pulls(self) -> np.ndarray:
        return (self.a * self.t)[:, None]

    def losses_and_gaps(self, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        m, p = 1 - self.t * scores[:, 0], 2 if self.squared else 1
        losses = self.c * np.maximum(0, m) ** p
        return losses, losses - self.a * m + (p - 1) * self.a**2 / (4 * self.c)

    def violations(self, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        gradient = self.t * scores[:, 0] - 1 + self.half * self.a  # of the dual, to be descended
        outwards = np.where(self.a <= 0, gradient, np.where(self.a >= self.most, -gradient, 0))
        return np.abs(np.where(outwards > 0, 0, gradient)), np.maximum(outwards, 0)


class CrammerSinger(DualProblem):
    """All classes at once: the right one must lead the best of the others by the margin.

    Parameters
    ----------
    y : int64 (N,)
        Class numbers 0 to K-1.
    classes : int
        K.
    c : float64 (N,), optional
        Weights of the samples, above 0; by default 1.

    >>> x, y = np.array([[2.0], [0.0]]), np.array([1, 0])
    >>> found = CrammerSinger(x, y, 2, 0.1).solve(1e-9, 1000, np.random.default_rng(0))      # s_1 - s_0 = x - 1
    >>> found.w.round(6).tolist(), found.b.round(6).tolist()
    ([[-0.5], [0.5]], [0.5, -0.5])
    """

    def __init__(
        self,
        x: np.ndarray,
        y: np.ndarray,
        classes: int,
        regularisation: float,
        intercept: bool = True,
        c: np.ndarray | None = None,
    ):
        super().__init__(x, regularisation, classes, intercept)
        self.y, self.right = y, np.eye(classes)[y]
        self.c = np.ones(len(x)) if c is None else c
        self.p = self.c[:, None] * self.right

    def sweep(self, order: np.ndarray) -> None:
        _sweep_crammer_singer(order, self.x, self.y, self.c, self.squared_norms, self.scale, self.r, self.p, self.w, self.b)

    def pulls(self) -> np.ndarray:
        return self.c[:, None] * self.right - self.p

    def losses_and_gaps(self, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        v = scores + 1 - self.right
        most = v.max(axis=1)
        return self.c * (most - (scores * self.right).sum(axis=1)), self.c * most - (self.p * v).sum(axis=1)

    def violations(self, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        v = scores + 1 - self.right
        in_use = np.where(self.p > 0, v, np.inf).min(axis=1)  # the least of those that have a share of p
        corner = self.p.max(axis=1) == self.c  # a single class has all
        others = np.where(self.p > 0, -np.inf, v).max(axis=1)
        return v.max(axis=1) - in_use, np.where(corner, np.maximum(in_use - others, 0), 0)


@sum_loop
def _sweep_hinge(order, x, t, squared_norms, scale, r, most, half, a, w, b):
    """a_i <- a_i - gradient / curvature, held within [0, most_i]; ``half_i``: 1/(2 c_i) for the squared hinge, else 0."""
    D = w.size
    for i in order:
        x_i = x[i]
        s = b[0]
        for d in range(D):
            s += w[d] * x_i[d]
        gradient = t[i] * s - 1 + half[i] * a[i]
        new = min(max(a[i] - gradient / (scale * (squared_norms[i] + r) + half[i]), 0.0), most[i])
        if new != a[i]:
            step = scale * (new - a[i]) * t[i]
            a[i] = new
            for d in range(D):
                w[d] += step * x_i[d]
            b[0] += step * r


@sum_loop
def _sweep_crammer_singer(order, x, y, c, squared_norms, scale, r, p, w, b):
    """p_i <- the point of the simplex {p >= 0, sum p = c_i} that is nearest to p_i + v_i / curvature."""
    K, D = w.shape
    v = np.empty(K)
    for i in order:
        x_i, p_i = x[i], p[i]
        curvature = scale * (squared_norms[i] + r)
        for k in range(K):
            w_k, s = w[k], b[k]
            for d in range(D):
                s += w_k[d] * x_i[d]
            if k != y[i]:
                s += 1
            v[k] = p_i[k] + s / curvature
        _to_simplex(v, c[i])
        for k in range(K):
            if v[k] != p_i[k]:
                step, w_k = scale * (p_i[k] - v[k]), w[k]
                p_i[k] = v[k]
                for d in range(D):
                    w_k[d] += step * x_i[d]
                b[k] += step * r


@sum_loop
def _to_simplex(v, size):
    """v_k <- max(0, v_k - tau), with the tau for which they sum to ``size``. Michelot 1986.

    The tau for which all entries would stay above zero is too small. Entries that are not above it become zero, and tau is
    computed again without them, until none is left out.
    """
    total, count = v.sum(), v.size
    tau = (total - size) / count
    while True:
        total, left = 0.0, 0
        for k in range(v.size):
            if v[k] > tau:
                total += v[k]
                left += 1
        if left >= count:  # more: one that is at tau to the last digit came back
            break
        count, tau = left, (total - size) / left
    for k in range(v.size):
        v[k] = max(0.0, v[k] - tau)
