"""Softmax cross-entropy, the losses and their gradient in one pass over the scores: threads take whole samples.

The equations are in ``minicnn.losses.SoftmaxCrossEntropy``, in the same letters.
"""

from __future__ import annotations

import numpy as np

from ..runtime.parallel import parallel_for, serial_if
from .elementwise import SERIAL_BELOW_ELEMENTS


def below_largest(s: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """z = s - max s along the last axis: softmax(z) = softmax(s), and exp(z) is at most 1.

    A score of -inf gives z = -inf. A single +inf is infinitely far above the others: its z is 0, and theirs -inf. Where there
    are several, or all scores are -inf, no differences are defined, and z is NaN.
    """
    largest = s.max(axis=-1, keepdims=True)
    with np.errstate(invalid="ignore"):  # inf - inf
        z = np.subtract(s, largest, out=out)
    if np.isposinf(largest).any():
        infinite = np.isposinf(s)
        z[infinite & (infinite.sum(axis=-1, keepdims=True) == 1)] = 0
    return z


def softmax_cross_entropy(scores: np.ndarray, targets: np.ndarray, label_smoothing: float) -> tuple[np.ndarray, np.ndarray]:
    """The loss of each sample (N,), and the gradient of their mean with respect to the scores (N, K), of the scores' dtype.

    Parameters
    ----------
    scores : (N, K), float32 or float64
    targets : (N,), class numbers 0 to K-1; or (N, K), probabilities
    label_smoothing : float
        e in the equations.
    """
    (N, K), e = scores.shape, label_smoothing
    losses, dscores = np.empty(N, scores.dtype), np.empty_like(scores)
    are_probabilities = targets.ndim == 2

    def samples(start: int, stop: int) -> None:
        """With z = s - max s: L = log(sum of exp z) - sum of q z, as the q of a sample are 1 in sum."""
        s, t = scores[start:stop], targets[start:stop]
        z = below_largest(s, out=dscores[start:stop])
        right = np.arange(len(t)), t
        if are_probabilities:
            t = t.astype(s.dtype, copy=False)
            qz = (1 - e) * np.einsum("nk,nk->n", t, np.where(t > 0, z, 0))  # of 0 log 0, the limit, which is 0
        else:
            qz = (1 - e) * z[right]
        if e:
            qz += e / K * z.sum(axis=1)
        exp_z = np.exp(z, out=z)
        total = exp_z.sum(axis=1)
        losses[start:stop] = np.log(total) - qz
        dz = np.multiply(exp_z, (1 / (N * total))[:, None], out=z)  # p / N, from which q / N is subtracted now
        if are_probabilities:
            dz -= (1 - e) / N * t
        else:
            dz[right] -= (1 - e) / N
        if e:
            dz -= e / K / N

    with serial_if(scores.size < SERIAL_BELOW_ELEMENTS):
        parallel_for(N, samples)
    return losses, dscores
