"""Lesson 1, exercise: write a linear classifier: two losses for many classes, one for two, preprocessing, and the step.

Fill in the functions, and as often as you like run

    minicnn check 1

Each function is a few lines. Arrays are float64 unless it says otherwise; do not change the arrays you are given, return new
ones. N samples, D inputs (pixels), K classes. The scores are x w^T + b: a row of w, and a number of b, for each class.
"""

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
    raise NotImplementedError("Lesson 1, task 1: svm_loss")


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
    raise NotImplementedError("Lesson 1, task 2: softmax_loss")


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
    raise NotImplementedError("Lesson 1, task 3: logistic_loss")


# ---- Task 4: preprocessing


def measure(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each feature over the training set.

        mean[d] = 1/N sum over n of x[n, d]
        std[d]  = square root of 1/N sum over n of (x[n, d] - mean[d])^2

    A feature that never varies has std 0, by which nobody can divide: give 1 for it.

    x (N, D), float64, or uint8 as pixels come from a file  ->  mean (D,), std (D,), float64
    """
    raise NotImplementedError("Lesson 1, task 4: measure")


def standardise(x: np.ndarray, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    """(x[n, d] - mean[d]) / std[d], with the mean and std that were measured on the training set, whatever x is.

    x (N, D), float64 or uint8; mean (D,), std (D,)  ->  (N, D), float64
    """
    raise NotImplementedError("Lesson 1, task 4: standardise")


# ---- Task 5: the step of gradient descent, with L2 regularisation


def l2_penalty(w: np.ndarray, strength: float) -> float:
    """What L2 regularisation adds to the loss: strength / 2 times the sum of all w[k, d]^2, where strength is
    the lesson's lambda. The bias has no part in it.

    w (K, D)  ->  float
    """
    raise NotImplementedError("Lesson 1, task 5: l2_penalty")


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
    raise NotImplementedError("Lesson 1, task 5: gradient_step")
