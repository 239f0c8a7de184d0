"""Lesson 8, exercise: write what keeps a network from learning its pictures by heart.

Fill in the functions, and as often as you like run

    minicnn check 8

Each function is a few lines. Arrays are float64; do not change the arrays you are given, return new ones. Random numbers come
in from outside, so that every answer can be checked.
N pictures (or samples), C channels, H x W pixels, K classes, F units, M models.
"""

import numpy as np

# ---- Task 1: penalties


def elastic_net(w: np.ndarray, lambda1: float, lambda2: float) -> tuple[float, np.ndarray]:
    """The elastic net penalty of weights, and its gradient.

        R     = lambda1 * sum of |w|  +  lambda2 / 2 * sum of w^2          (sums over all entries of w)
        dR/dw = lambda1 * sign(w)     +  lambda2 * w

    With lambda1 = 0 that is L2, weight decay; with lambda2 = 0 it is L1. At w = 0, where |w| has a kink, its derivative is 0 by
    our rule.

    w of any shape  ->  R (float), dR/dw of w's shape
    """
    raise NotImplementedError("Lesson 8, task 1: elastic_net")


# ---- Task 2: max norm


def max_norm(w: np.ndarray, c: float) -> np.ndarray:
    """Each unit's weights scaled back to length c, if they are longer; the others as they are.

        w[f] <- w[f] * min(1, c / |w[f]|)           |w[f]| = square root of the sum of squares of all weights of unit f

    The first axis counts the units: rows of a fully connected layer, w (F, D), or filters of a convolution, w (F, C, KH, KW);
    there may be any number of axes behind it. A unit whose weights are all 0 stays so.

    w (F, ...)  ->  the new weights, of the same shape
    """
    raise NotImplementedError("Lesson 8, task 2: max_norm")


# ---- Task 3: dropout, inverted and vanilla


def dropout_forward(x: np.ndarray, p: float, u: np.ndarray, training: bool) -> np.ndarray:
    """Inverted dropout: p is the probability of *dropping* a unit, u has a random number from [0, 1) for each.

        a unit is kept where u >= p
        in training    y = x / (1 - p) where it is kept, and 0 elsewhere
        in inference   y = x, as a new array

    x, u of any one shape, 0 <= p < 1  ->  y of that shape
    """
    raise NotImplementedError("Lesson 8, task 3: dropout_forward")


def dropout_backward(dy: np.ndarray, p: float, u: np.ndarray, training: bool) -> np.ndarray:
    """dx from dy, for the same p, u and training as in dropout_forward.

    y is x times a number that does not depend on x, entry by entry; dx is dy times that number.

    dy, u of any one shape  ->  dx of that shape
    """
    raise NotImplementedError("Lesson 8, task 3: dropout_backward")


def vanilla_dropout_forward(x: np.ndarray, p: float, u: np.ndarray, training: bool) -> np.ndarray:
    """Dropout as it was first published; p is the probability of dropping here, too, and a unit is kept where u >= p.

        in training    y = x where it is kept, and 0 elsewhere
        in inference   y = x times the mean that y has in training for x = 1

    x, u of any one shape  ->  y of that shape
    """
    raise NotImplementedError("Lesson 8, task 3: vanilla_dropout_forward")


# ---- Task 4: random crops and flips


def crop_and_flip(x: np.ndarray, pad: int, seeds: np.ndarray) -> np.ndarray:
    """Every picture moved by up to pad pixels, and mirrored left-right half of the time, by random numbers of its own.

    Of sample n, with a generator rng = np.random.default_rng(seeds[n]) that nobody else uses, drawn in this order:

        top, left = rng.integers(0, 2 * pad + 1, 2)
        mirrored  = rng.random() < 0.5

        xp = x with pad rows and columns more on all four sides: x reflected about its outermost pixels (np.pad, "reflect")
        y[n, c, i, j] = xp[n, c, top + i, left + j];  if mirrored, the columns of this crop are then turned round

    So a picture's changes depend on its seed alone, whatever batch it is in.

    x (N, C, H, W), pad from 0 to less than H and W, seeds (N,) integers  ->  y (N, C, H, W)
    """
    raise NotImplementedError("Lesson 8, task 4: crop_and_flip")


# ---- Task 5: mixup, and a loss for its targets


def mixup(x: np.ndarray, y: np.ndarray, classes: int, m: np.ndarray, partner: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each sample mixed with another one, and its target likewise.

        q[n, k]  = 1 if k = y[n], else 0                                  the target of sample n as probabilities
        x'[n]    = m[n] * x[n] + (1 - m[n]) * x[partner[n]]
        q'[n]    = m[n] * q[n] + (1 - m[n]) * q[partner[n]]

    x (N, ...) with any number of axes behind the first, y (N,) integers 0 to classes - 1, m (N,) from 0 to 1,
    partner (N,) numbers of samples  ->  x' of x's shape, q' (N, classes)
    """
    raise NotImplementedError("Lesson 8, task 5: mixup")


def soft_cross_entropy(scores: np.ndarray, q: np.ndarray) -> tuple[float, np.ndarray]:
    """Cross-entropy with targets that are probabilities, a mean over the samples, and its gradient.

        p    = softmax of each row of scores
        loss = -(1/N) sum over n, k of q[n, k] log p[n, k]
        dscores = (p - q) / N                                              (each row of q sums to 1)

    Scores of 1000 must work as well, as in lesson 1: subtract each row's largest, and write log p as a difference.

    scores, q (N, K)  ->  loss (float), dscores (N, K)
    """
    raise NotImplementedError("Lesson 8, task 5: soft_cross_entropy")


# ---- Task 6: an exponential average of weights


def update_average(average: np.ndarray, w: np.ndarray, decay: float, t: int) -> np.ndarray:
    """The average a_t after step t, from a_(t-1) and the weights w that step t has made.

        a_t = d_t a_(t-1) + (1 - d_t) w          d_t = min(decay, t / (t + 10)),   t = 1, 2, ...

    At first d_t is small, so that the weights from before training are soon forgotten; later it is decay.

    average, w of any one shape  ->  the new average, of that shape
    """
    raise NotImplementedError("Lesson 8, task 6: update_average")


def shares_in_average(decay: float, steps: int) -> np.ndarray:
    """How much of each of the weights there is in the average after so many steps.

    a_T is a weighted sum: shares[0] times the weights from before training, which a_0 is, plus shares[t] times those of step t,
    for t = 1 to T = steps. All shares together are 1.

    decay, steps >= 1  ->  shares (steps + 1,)
    """
    raise NotImplementedError("Lesson 8, task 6: shares_in_average")


# ---- Task 7: an ensemble


def mean_of_probabilities(scores: np.ndarray) -> np.ndarray:
    """What M models say together: the mean of their probabilities.

        p[n, k] = (1/M) sum over m of softmax(scores[m, n])[k]             softmax over the K classes

    You may use minicnn.losses.softmax, which takes its sums along the last axis. (Scores of 1000 must work.)

    scores (M, N, K), M models, N samples  ->  p (N, K)
    """
    raise NotImplementedError("Lesson 8, task 7: mean_of_probabilities")


def mean_of_scores(scores: np.ndarray) -> np.ndarray:
    """The other way to join them: the softmax of the mean of their scores.

        p[n, k] = softmax( (1/M) sum over m of scores[m, n] )[k]

    It is the geometric mean of their probabilities, divided by its sum over the classes.

    scores (M, N, K)  ->  p (N, K)
    """
    raise NotImplementedError("Lesson 8, task 7: mean_of_scores")
