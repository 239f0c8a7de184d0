"""Mixup: train on pictures between pictures, with targets between their targets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv

from .compose import Rng


@dataclass(frozen=True)
class Mixup:
    """Mixes each sample with another one of its batch: x' = m x_i + (1 - m) x_j and q' = m q_i + (1 - m) q_j.

    q are probabilities of the classes, 1 for the right one; the loss must take such soft targets, as `SoftmaxCrossEntropy`
    does. m is drawn for each sample from the Beta distribution with both parameters alpha: near 0 and 1 mostly if alpha is
    small, uniform if it is 1. The partners j are the batch in a random circle, so that every sample is used twice, never with
    itself (unless it is alone). With a `PerSampleGenerator` m depends on the sample and the epoch alone; the partner depends
    on the batch as well, as it must.

    Zhang et al. 2018, "mixup: Beyond Empirical Risk Minimization", section 2 (where m is lambda).

    Parameters
    ----------
    alpha : float
        More than 0; in the paper 0.2 for ImageNet and 1 for CIFAR-10.
    classes : int, optional
        How many there are, for targets that are class numbers.

    Raises
    ------
    ValueError
        If alpha is not positive or classes not at least 1; in a call, for arrays that do not fit.

    >>> x, labels = np.array([[0.0], [1.0]]), np.array([0, 1])
    >>> mixed, q = Mixup(alpha=1, classes=2)(x, labels, np.random.default_rng(0))
    >>> np.allclose(mixed[:, 0], q[:, 1])                     # how much of sample 1 there is in each
    True
    """

    alpha: float
    classes: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.alpha < np.inf:
            raise ValueError(f"Mixup's alpha is more than 0, got {self.alpha}; for no mixing leave it out")
        if self.classes is not None and (not isinstance(self.classes, (int, np.integer)) or self.classes < 1):
            raise ValueError(f"Mixup: classes is how many there are, at least 1, got {self.classes!r}")

    def __call__(self, x: np.ndarray, targets: np.ndarray, rng: Rng) -> tuple[np.ndarray, np.ndarray]:
        """The mixed samples and targets; the arguments are not changed.

        Parameters
        ----------
        x : float32 or float64 (N, ...)
        targets : class numbers, int (N,), or probabilities, float (N, K)
        rng : PerSampleGenerator or Generator

        Returns
        -------
        x' : of x's shape and dtype
        q' : float (N, K), of x's dtype for class numbers, else of the targets'
        """
        q = self._probabilities(x, targets)
        n = len(x)
        m = betaincinv(self.alpha, self.alpha, rng.random(n))  # of uniform numbers: Beta-distributed ones
        circle = np.argsort(rng.random(n))
        partner = np.empty(n, np.intp)
        partner[circle] = np.roll(circle, 1)
        return tuple(_between(values, values[partner], m) for values in (x, q))

    def _probabilities(self, x: np.ndarray, targets: np.ndarray) -> np.ndarray:
        if x.dtype.kind != "f":
            raise ValueError(f"Mixup mixes what is prepared, floating-point numbers, got {x.dtype} {x.shape}")
        if len(targets) != len(x):
            raise ValueError(f"each sample needs one target: got x {x.shape} and targets {targets.shape}")
        if targets.ndim == 2 and targets.dtype.kind == "f":
            return targets
        if targets.ndim != 1 or targets.dtype.kind not in "iu":
            raise ValueError(
                f"Mixup takes class numbers (N,) or probabilities (N, K) as targets, got {targets.dtype} {targets.shape}"
            )
        if self.classes is None:
            raise ValueError("Mixup makes probabilities of class numbers, and must know how many classes there are: classes=K")
        if len(targets) and not 0 <= targets.min() <= targets.max() < self.classes:
            raise ValueError(f"class numbers are from 0 to {self.classes - 1}, got {targets.min()} to {targets.max()}")
        return np.eye(self.classes, dtype=x.dtype)[targets]


def _between(values: np.ndarray, others: np.ndarray, m: np.ndarray) -> np.ndarray:
    """m values + (1 - m) others, with one m a sample."""
    m = m.astype(values.dtype).reshape(-1, *[1] * (values.ndim - 1))
    return m * values + (1 - m) * others
