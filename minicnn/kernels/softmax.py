"""Softmax cross-entropy, the losses and their gradient in one pass over the scores: threads take whole samples.

The equations are in ``minicnn.losses.SoftmaxCrossEntropy``, in the same letters.
"""

from __future__ import annotations

import numpy as np

from ..runtime.parallel import parallel_for, serial_if
from .elementwise import SERIAL_BELOW_ELEMENTS


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
        s, t, z = scores[start:stop], targets[start:stop], dscores[start:stop]
        right = np.arange(len(t)), t
        np.subtract(s, s.max(axis=1, keepdims=True), out=z)
        qz = (1 - e) * (np.einsum("nk,nk->n", t, z) if are_probabilities else z[right])
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
