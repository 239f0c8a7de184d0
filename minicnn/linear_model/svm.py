"""Linear support vector machines of several classes."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..runtime.parallel import parallel_for
from .base import LinearClassifier
from .dual_coordinate_descent import CrammerSinger, DualProblem, Hinge, Minimum
from .lbfgs import lbfgs


class LinearSVM(LinearClassifier):
    """A linear support vector machine.

    ==================  =====================================================================================
    loss                of one sample
    ==================  =====================================================================================
    "squared_hinge"     sum over k of max(0, 1 - t_k s_k)^2, with t_k = 1 for k = y, else -1: one against the rest
    "hinge"             sum over k of max(0, 1 - t_k s_k)
    "crammer_singer"    max over k of (s_k + [k != y]) - s_y: the right class must lead each other one by 1
    ==================  =====================================================================================

    One against the rest is a problem of its own for each class. Two classes are one problem seen from both sides, with what
    ``decision_function`` gives for s and ``coef_`` for w; in "crammer_singer" that is s_1 - s_0, and w is (K, D) as ever.
    scikit-learn's ``LinearSVC`` finds the same with C = 1 / (lambda N), but for the bias, which it regularises like a weight.

    Parameters
    ----------
    loss : str
        The default punishes large violations more, and is what "linear SVM" mostly means (Fan et al. 2008, LIBLINEAR).
    solver : "dual" or "lbfgs"
        "dual" is dual coordinate descent, see that module. The squared hinge is smooth, so that "lbfgs", which
        trains all classes at once, can minimise it too: to the same solution, on codes several times slower.
    regularisation, standardise, fit_intercept, tolerance, max_iterations, class_weight : as in `LinearClassifier`
        lambda must be above 0 for "dual".

    Attributes are those of `LinearClassifier`.

    >>> x, y = np.array([[0.0], [1.0], [3.0], [4.0]]), np.array([7, 7, 9, 9])
    >>> svm = LinearSVM(0.01, "hinge", standardise=False).fit(x, y)     # the widest gap lies between 1 and 3
    >>> svm.coef_.round(2), svm.intercept_.round(2), svm.predict([[1.9], [2.1]])
    (array([[1.]]), array([-2.]), array([7, 9]))
    """

    def __init__(
        self,
        regularisation: float = 1e-2,
        loss: str = "squared_hinge",
        solver: str = "dual",
        standardise: bool = True,
        fit_intercept: bool = True,
        tolerance: float = 1e-3,
        max_iterations: int = 2000,
        class_weight: str | dict | None = None,
    ):
        super().__init__(regularisation, standardise, fit_intercept, tolerance, max_iterations, class_weight)
        self.loss = loss
        self.solver = solver

    def _check_parameters(self) -> None:
        super()._check_parameters()
        solvers = {"squared_hinge": ("dual", "lbfgs"), "hinge": ("dual",), "crammer_singer": ("dual",)}
        if self.loss not in solvers:
            raise ValueError(f"LinearSVM's loss is one of {', '.join(map(repr, solvers))}, got {self.loss!r}")
        if self.solver not in solvers[self.loss]:
            known = " or ".join(map(repr, solvers[self.loss]))
            raise ValueError(f"with loss={self.loss!r} LinearSVM's solver is {known}, got {self.solver!r}")
        if self.solver == "dual" and not self.regularisation:
            raise ValueError("regularisation=0 leaves the dual problem without bounds; give LinearSVM one above 0")

    def _minimise(self, z: np.ndarray, y: np.ndarray, c: np.ndarray, start: tuple[np.ndarray, np.ndarray] | None) -> Minimum:
        K, squared = int(y.max()) + 1, self.loss == "squared_hinge"
        if self.loss == "crammer_singer":
            return self._solve(CrammerSinger(z, y, K, self.regularisation, self.fit_intercept, c), 0)
        # t (N, rows): 1 for the samples of the class, -1 for the rest; of two classes the second is enough
        t = np.where(y[:, None] == (np.arange(K) if K > 2 else 1), 1.0, -1.0)
        if self.solver == "lbfgs":
            if start is not None and K == 2:
                start = start[0][1:] - start[0][:1], start[1][1:] - start[1][:1]
            return lbfgs(
                z,
                lambda scores: squared_hinge(scores, t, c[:, None]),
                rows=t.shape[1],
                regularisation=self.regularisation,
                intercept=self.fit_intercept,
                tolerance=self.tolerance,
                max_iterations=self.max_iterations,
                start=start,
            )

        found: list[Any] = [None] * t.shape[1]

        def body(first: int, last: int) -> None:
            for k in range(first, last):
                problem = Hinge(z, np.ascontiguousarray(t[:, k]), self.regularisation, squared, self.fit_intercept, c)
                found[k] = self._solve(problem, k)

        parallel_for(len(found), body)
        return Minimum(
            np.concatenate([minimum.w for minimum in found]),
            np.concatenate([minimum.b for minimum in found]),
            sum(minimum.objective for minimum in found),
            sum(minimum.gap for minimum in found),
            max(minimum.iterations for minimum in found),
        )

    def _solve(self, problem: DualProblem, seed: int) -> Minimum:
        """Solve it with a random order of the samples, the same every time; the minimum does not depend on it."""
        return problem.solve(self.tolerance, self.max_iterations, np.random.default_rng(seed))


def squared_hinge(scores: np.ndarray, t: np.ndarray, c: np.ndarray | float = 1.0) -> tuple[float, np.ndarray]:
    """The mean over n of c_n sum over k of max(0, 1 - t_nk s_nk)^2, and its gradient.

    Scores and t (= +-1) are (N, K), the weights c are (N, 1) or one number, all float64.

    >>> squared_hinge(np.array([[-0.5, 2.0]]), np.array([[-1.0, 1.0]]))     # 0.5^2; -2 * -1 * 0.5
    (0.25, array([[ 1., -0.]]))
    """
    slack = np.maximum(0, 1 - t * scores)
    return float((c * np.square(slack)).sum() / len(slack)), -2 * c * t * slack / len(slack)
