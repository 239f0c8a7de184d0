"""Lesson 17, exercise: what stands between a folder of pictures and a number that means something.

Fill in the functions, and as often as you like run

    minicnn check 17

Arrays are float64 where nothing else is said; do not change the arrays you are given, return new ones. N samples, K classes.
"""

import numpy as np

# ---- Task 1: copies


def difference_hash(picture: np.ndarray) -> np.ndarray:
    """64 bits that stay nearly the same when a picture is scaled, brightened or saved again.

    The grey picture is divided into 8 rows of 9 blocks of equal size; m[i, j] is the mean of block (i, j). The bits say where
    it becomes darker from left to right:

        bits[i, j] = m[i, j] > m[i, j + 1],   i = 0..7, j = 0..7

    picture (H, W), numbers of any type, H a multiple of 8 and W a multiple of 9  ->  bits bool (64,), row after row
    """
    raise NotImplementedError("Lesson 17, task 1: difference_hash")


def near_duplicates(hashes: np.ndarray, most: int) -> list[tuple[int, int]]:
    """All pairs (i, k), i < k, whose hashes differ in at most ``most`` bits, in the order of i and then of k.

    hashes bool (N, 64)  ->  list of pairs
    """
    raise NotImplementedError("Lesson 17, task 1: near_duplicates")


# ---- Task 2: a split that keeps together what belongs together


def split_by_group(labels: np.ndarray, groups: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Which samples are to test with: whole groups, and of each class about the same share.

    A group (copies of one picture, pictures of one plant) has a single class. For each class k = 0, 1, ..., K - 1, in
    turn: take the numbers of its groups, in ascending order, shuffle them with ``rng.permutation``, and put group after group
    into the test part, as long as it has fewer than share * N_k samples of the class, where N_k counts the class's samples.

    labels int (N,) from 0 to K - 1, groups int (N,), 0 < share < 1  ->  bool (N,), True for test samples
    """
    raise NotImplementedError("Lesson 17, task 2: split_by_group")


# ---- Task 3: what a test says


def confusion_matrix(y: np.ndarray, answers: np.ndarray, K: int) -> np.ndarray:
    """counts[k, j]: how many samples of class k were given the answer j.

    y int (N,), answers int (N,)  ->  int (K, K)
    """
    raise NotImplementedError("Lesson 17, task 3: confusion_matrix")


def summary(counts: np.ndarray) -> tuple[float, float, float]:
    """Accuracy, balanced accuracy and macro F1 of a confusion matrix.

    With hits h_k = counts[k, k], t_k samples of class k and a_k answers k:

        accuracy = sum of h_k / sum of t_k,   recall_k = h_k / t_k,   F1_k = 2 h_k / (t_k + a_k)

    Balanced accuracy and macro F1 are the means of recall_k and F1_k over the classes that have samples (t_k > 0).

    counts int (K, K)  ->  three numbers
    """
    raise NotImplementedError("Lesson 17, task 3: summary")


# ---- Task 4: how sure it is


def wilson_interval(right: int, n: int, z: float) -> tuple[float, float]:
    """Wilson's interval for the true share, when ``right`` of n were right.

    With p = right / n:

        (p + z^2 / 2n  -+  z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n)

    Returns the lower and the upper end.
    """
    raise NotImplementedError("Lesson 17, task 4: wilson_interval")


def sign_test(a: np.ndarray, b: np.ndarray) -> float:
    """How likely a difference at least as large is if two classifiers are equally good.

    Only the samples count that one of them got right and the other wrong. Of n such samples, u were right by a and n - u by b.
    If both are equally good, each is a toss of a coin, and

        p = 2 * sum over i = 0..min(u, n - u) of C(n, i) / 2^n,   but at most 1

    (1 if n = 0). ``math.comb`` gives C(n, i).

    a, b bool (N,): which samples each got right  ->  p
    """
    raise NotImplementedError("Lesson 17, task 4: sign_test")


# ---- Task 5: rare classes


def class_weights(y: np.ndarray, K: int) -> np.ndarray:
    """c_k = N / (K N_k), so that every class weighs the same and the weights of all samples add up to N.

    A class without samples gets the weight 0; K counts it all the same.

    y int (N,)  ->  c (K,)
    """
    raise NotImplementedError("Lesson 17, task 5: class_weights")


def weighted_softmax_loss(scores: np.ndarray, y: np.ndarray, c: np.ndarray) -> tuple[float, np.ndarray]:
    """Cross-entropy with a weight for each class, and its gradient with respect to the scores.

    With probabilities p = softmax(scores) along the rows, which no score may make overflow:

        L = sum over n of c[y_n] * (-log p[n, y_n]) / sum over n of c[y_n]
        dscores[n, k] = c[y_n] (p[n, k] - (1 if k = y_n else 0)) / sum over n of c[y_n]

    scores (N, K), y int (N,), c (K,)  ->  L, dscores (N, K)
    """
    raise NotImplementedError("Lesson 17, task 5: weighted_softmax_loss")


# ---- Task 6: when to say nothing


def calibration_error(probabilities: np.ndarray, y: np.ndarray, bins: int) -> float:
    """The expected calibration error of the answers.

    The answer to a sample is its most probable class, and the confidence that probability. Bin b = 0..bins - 1 has the samples
    with b / bins < confidence <= (b + 1) / bins, n_b of them:

        ECE = sum over b of n_b / N * |share of them that is right - their mean confidence|

    probabilities (N, K), y int (N,)  ->  a number
    """
    raise NotImplementedError("Lesson 17, task 6: calibration_error")


def accept(confidence: np.ndarray, right: np.ndarray, wanted: float) -> float:
    """The lowest threshold at which the accepted answers are good enough.

    Answers whose confidence is at least the threshold are accepted. Of all thresholds that are the confidence of some sample,
    find the lowest for which at least the share ``wanted`` of the accepted answers is right; infinity if there is none.

    confidence (N,), right bool (N,)  ->  the threshold
    """
    raise NotImplementedError("Lesson 17, task 6: accept")
