"""Lesson 1, solution: one way to write it. Try exercise.py first."""

import numpy as np

# ---- Task 1: the hinge loss of a multi-class SVM


def svm_loss(scores: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    """The right class must lead each other class by 1. The loss is a mean over the samples; beside it, its gradient.

        margin[n, k] = scores[n, k] - scores[n, y[n]] + 1                 for the wrong classes, k != y[n]
        loss         = 1/N sum over n, sum over k != y[n] of max(0, margin[n, k])

        dscores[n, k]    = 1/N for each wrong class with margin[n, k] > 0, otherwise 0
        dscores[n, y[n]] = -1/N times the number of such classes

    A margin of exactly 0 is no violation: it has no derivative, and by our rule it gives 0.

    scores (N, K), y (N,) integers 0..K-1  ->  loss (float), dscores (N, K)
    """
    samples = np.arange(len(y))
    margins = np.maximum(0, scores - scores[samples, y][:, None] + 1)
    margins[samples, y] = 0
    dscores = (margins > 0).astype(np.float64)
    dscores[samples, y] = -dscores.sum(axis=1)
    return float(margins.sum() / len(y)), dscores / len(y)


# ---- Task 2: the softmax loss


def softmax_loss(scores: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    """The cross-entropy of softmax's probabilities, a mean over the samples; beside it, its gradient.

        p[n, k] = exp(scores[n, k]) / sum over j of exp(scores[n, j])
        loss    = -1/N sum over n of log p[n, y[n]]

        dscores[n, k] = (p[n, k] - [k = y[n]]) / N                        ([...] is 1 where true, else 0)

    Scores of 1000 and -1000 must work as well: exp(1000) is infinite, but subtracting the same number from all scores of a
    sample changes nothing in p. And where p underflows to 0 its logarithm must not be taken: write log p as a difference.

    scores (N, K), y (N,) integers 0..K-1  ->  loss (float), dscores (N, K)
    """
    samples = np.arange(len(y))
    shifted = scores - scores.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    dscores = np.exp(log_p)
    dscores[samples, y] -= 1
    return float(-log_p[samples, y].mean()), dscores / len(y)


# ---- Task 3: two classes, one sigmoid output


def logistic_loss(scores: np.ndarray, t: np.ndarray) -> tuple[float, np.ndarray]:
    """The binary logistic loss, a mean over the samples; beside it, its gradient.

        p[n]  = 1 / (1 + exp(-scores[n]))                                 the probability of class 1
        loss  = -1/N sum over n of log p[n] where t[n] = 1, and of log(1 - p[n]) where t[n] = 0

        dscores[n] = (p[n] - t[n]) / N

    Scores of 1000 and -1000 must work as well. There p is 0 or 1 for a computer, and no logarithm of 0 must be taken. With
    z = scores where t = 0, and -scores where t = 1, a sample's loss is log(1 + exp(z)) = max(z, 0) + log(1 + exp(-|z|)).

    scores (N,), t (N,) integers 0 or 1  ->  loss (float), dscores (N,)
    """
    z = np.where(t == 1, -scores, scores)
    losses = np.maximum(z, 0) + np.log(1 + np.exp(-np.abs(z)))
    small = np.exp(-np.abs(scores))  # at most 1
    p = np.where(scores >= 0, 1, small) / (1 + small)
    return float(losses.mean()), (p - t) / len(t)


# ---- Task 4: preprocessing


def measure(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each feature over the training set.

        mean[d] = 1/N sum over n of x[n, d]
        std[d]  = square root of 1/N sum over n of (x[n, d] - mean[d])^2

    A feature that never varies has std 0, by which nobody can divide: give 1 for it.

    x (N, D), float64, or uint8 as pixels come from a file  ->  mean (D,), std (D,), float64
    """
    std = x.std(axis=0)
    return x.mean(axis=0), np.where(std == 0, 1, std)


def standardise(x: np.ndarray, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    """(x[n, d] - mean[d]) / std[d], with the mean and std that were measured on the training set, whatever x is.

    x (N, D), float64 or uint8; mean (D,), std (D,)  ->  (N, D), float64
    """
    return (x - mean) / std


# ---- Task 5: the step of gradient descent, with L2 regularisation


def l2_penalty(w: np.ndarray, strength: float) -> float:
    """What L2 regularisation adds to the loss: strength / 2 times the sum of all w[k, d]^2, where strength is
    the lesson's lambda. The bias has no part in it.

    w (K, D)  ->  float
    """
    return float(strength / 2 * (w * w).sum())


def gradient_step(
    w: np.ndarray, b: np.ndarray, x: np.ndarray, dscores: np.ndarray, learning_rate: float, strength: float
) -> tuple[np.ndarray, np.ndarray]:
    """Weights and bias after one step of gradient descent on (loss + l2_penalty(w, strength)).

    dscores is the gradient of the loss with respect to the scores x w^T + b, as the tasks above give it, with its 1/N. By the
    chain rule

        dw[k, d] = sum over n of dscores[n, k] x[n, d]  +  the derivative of the penalty with respect to w[k, d]
        db[k]    = sum over n of dscores[n, k]

    and the step goes against the gradient: new = old - learning_rate * gradient. (The lecture's slides add it. That climbs.)

    w (K, D), b (K,), x (N, D), dscores (N, K)  ->  new w (K, D), new b (K,)
    """
    dw = dscores.T @ x + strength * w
    db = dscores.sum(axis=0)
    return w - learning_rate * dw, b - learning_rate * db
