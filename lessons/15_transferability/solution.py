"""Lesson 15, solution: one way to write it. Try exercise.py first."""

import copy
from collections.abc import Callable, Sequence

import numpy as np

from minicnn.models import Model

# ---- Task 1: how alike two representations are


def linear_cka(x: np.ndarray, y: np.ndarray) -> float:
    """Linear CKA of two representations of the same N samples, by their features: from 0 (nothing in common) to 1.

        xc, yc = x and y, with the mean of each column subtracted
        CKA    = |yc^T xc|^2 / (|xc^T xc| |yc^T yc|)         |A| = square root of the sum of the squares of all entries of A

    It must not depend on the size of the numbers: codes of 1e15, or of 1e-15, have the CKA that they would have near 1. So
    convert to float64 first; float32 ends at 1e38, and here a code is taken to the fourth power. Where all rows of x are equal,
    or all rows of y, nothing varies, and by our rule the CKA is 0.

    x (N, D), y (N, E), row n of both is sample n, float32 or float64  ->  float
    """
    xc, yc = (z - z.mean(axis=0) for z in (np.asarray(x, np.float64), np.asarray(y, np.float64)))
    norms = np.linalg.norm(xc.T @ xc) * np.linalg.norm(yc.T @ yc)
    return float(np.linalg.norm(yc.T @ xc) ** 2 / norms) if norms > 0 else 0.0


def kernel_cka(K: np.ndarray, L: np.ndarray) -> float:
    """CKA by similarities: K[n, m] says how alike samples n and m are in one representation, L[n, m] in the other.

        Kc = H K H,   Lc = H L H,   H = I - (1/N) J          I the identity and J the matrix of ones, both N x N
        CKA = (sum over n, m of Kc[n, m] Lc[n, m]) / sqrt( (sum of all Kc^2) (sum of all Lc^2) )

    In Kc the mean of each row is 0, and so is that of each column. For K = x x^T and L = y y^T it is linear_cka(x, y); but K
    may come from any kernel. Where Kc or Lc is all 0, the CKA is 0 by our rule.

    K, L (N, N), symmetric, float64  ->  float
    """
    Kc, Lc = (M - M.mean(axis=0) - M.mean(axis=1, keepdims=True) + M.mean() for M in (K, L))
    norms = np.linalg.norm(Kc) * np.linalg.norm(Lc)
    return float((Kc * Lc).sum() / norms) if norms > 0 else 0.0


# ---- Task 2: linear probes, layer by layer


def ridge_probe(x: np.ndarray, y: np.ndarray, classes: int, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """A linear classifier of codes by least squares, in closed form: the minimum over w and b of

        (1/N) sum over n of |w x[n] + b - q[n]|^2  +  strength * (sum of all w^2)          q[n, k] = 1 if k = y[n], else 0

    The bias is not penalised. Where the derivatives are 0, with xm and qm the means of x and q over the samples, and with xc
    and qc what is left when they are subtracted:

        w = qc^T xc (xc^T xc + N strength I)^-1          I the D x D identity
        b = qm - w xm

    There may be more features than samples, and classes that no sample has: they have a row of w and an entry of b like others.

    x (N, D), y (N,) integers 0 to classes - 1, strength > 0  ->  w (classes, D), b (classes,)
    """
    N, D = x.shape
    q = np.eye(classes)[y]
    xm, qm = x.mean(axis=0), q.mean(axis=0)
    xc, qc = x - xm, q - qm
    w = np.linalg.solve(xc.T @ xc + N * strength * np.eye(D), xc.T @ qc).T
    return w, qm - w @ xm


def probe_curve(
    codes: Sequence[np.ndarray],
    y: np.ndarray,
    train: np.ndarray,
    val: np.ndarray,
    test: np.ndarray,
    classes: int,
    strengths: Sequence[float],
) -> tuple[np.ndarray, np.ndarray]:
    """What a linear probe can read from each layer: the strengths chosen, and the accuracies on the test samples.

    For each layer by itself:

    1. Train a probe (ridge_probe) on the training samples with each of the strengths.
    2. Choose the one with the highest accuracy on the validation samples; where several are equally good, the strongest.
    3. The accuracy on the test samples of that probe, as it is: it is not trained again.

    An answer is the class with the highest score, w x + b. The test samples have no say in the choice.

    codes: for each layer the codes (N, D) of all N samples, D differs from layer to layer; y (N,) integers; train, val and
    test: the numbers of the samples in each part; strengths: several, in any order  ->  chosen (L,), accuracies (L,) for L
    layers
    """
    chosen, accuracies = [], []
    for x in codes:
        best, most, tested = 0.0, -1.0, 0.0
        for strength in sorted(strengths, reverse=True):
            w, b = ridge_probe(x[train], y[train], classes, strength)
            right = (x @ w.T + b).argmax(axis=1) == y
            if right[val].mean() > most:
                best, most, tested = strength, right[val].mean(), right[test].mean()
        chosen.append(best)
        accuracies.append(tested)
    return np.array(chosen, float), np.array(accuracies, float)


# ---- Task 3: transfer of the first n layers


def transfer_curve(
    source: Model, fresh: Model, depths: Sequence[int], frozen: bool, train: Callable[[Model], float]
) -> np.ndarray:
    """Accuracy by number of transferred layers: for each n in depths, a new network is put together, and trained.

    The first n layers of the new network are those of source, the others those of fresh. Both have top-level layers
    (network.layers, in order) of the same names; they differ in their weights, and in the number of classes, which is fresh's.
    Of the first n layers all comes along: weights, and the running statistics of batch norms.

    frozen: the parameters in the first n layers are frozen (trainable = False), and all others are trainable. Otherwise all
    are trainable. It does not matter what was frozen in source or in fresh.

    train(network) trains a network in place, and returns its accuracy. The networks must not share anything with each other,
    nor with source and fresh: these stay as they are, and each training begins from them anew.

    source, fresh: networks; depths: several n, in any order, from 0 to fewer than all layers
        ->  the accuracies, one for each n, in the order of depths

    Useful: copy.deepcopy, and parameter.trainable for the values of layer.parameters().
    """
    accuracies = []
    for n in depths:
        network = copy.deepcopy(fresh)
        for i, name in enumerate(network.layers):
            if i < n:
                network.layers[name] = copy.deepcopy(source.layers[name])
            for parameter in network.layers[name].parameters().values():
                parameter.trainable = not (frozen and i < n)
        accuracies.append(train(network))
    return np.array(accuracies, float)


# ---- Task 4: gains over a baseline


def paired_gain(accuracies: np.ndarray, baseline: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How much better than the baseline, at each of L depths, and how sure that is.

    Seed s decided the same things for accuracies[s] and baseline[s]: which classes, which pictures. So they are compared seed
    by seed, and only then averaged:

        g[s, l]  = accuracies[s, l] - baseline[s]
        mean[l]  = (1/S) sum over s of g[s, l]
        error[l] = sqrt( sum over s of (g[s, l] - mean[l])^2 / (S - 1) ) / sqrt(S)         the standard error of that mean

    accuracies (S, L), baseline (S,), S at least 2  ->  mean (L,), error (L,)
    """
    g = accuracies - baseline[:, None]
    return g.mean(axis=0), g.std(axis=0, ddof=1) / np.sqrt(len(g))


def share_kept(transferred: np.ndarray, own: np.ndarray, random: np.ndarray) -> np.ndarray:
    """Of what a task's own layers are worth more than random ones, how much transferred layers keep, at each of L depths.

        share[l] = mean over s of (transferred - random)[s, l]  /  mean over s of (own - random)[s, l]

    It is 1 where transferred layers are as good as own ones, 0 where they are as good as random ones, and below 0 where they
    are worse than random. Where own layers are, on average, no better than random ones, there is nothing to keep: NaN.

    transferred, own, random (S, L)  ->  share (L,)
    """
    gained, possible = (transferred - random).mean(axis=0), (own - random).mean(axis=0)
    share = np.full(len(possible), np.nan)
    np.divide(gained, possible, out=share, where=possible > 0)
    return share


# ---- Task 5: where layers become specific


def layers_for_free(accuracies: np.ndarray) -> int:
    """How many layers can be copied and frozen without a loss that one could be sure of: the one-standard-error rule.

    Column n is for n copied layers, n = 0 to L. With mean[n] and error[n], the mean over the seeds and its standard error (as
    in paired_gain), and with best, the n of the highest mean:

        the largest n with  mean[n] >= mean[best] - error[best]

    accuracies (S, L + 1), S at least 2  ->  n (int), 0 to L
    """
    mean, error = accuracies.mean(axis=0), accuracies.std(axis=0, ddof=1) / np.sqrt(len(accuracies))
    best = mean.argmax()
    return int(np.flatnonzero(mean >= mean[best] - error[best]).max())


def first_specific_layer(own: np.ndarray, other: np.ndarray) -> int:
    """From which layer on frozen layers of the other task are worse than frozen layers of the own one.

    Column l is for l + 1 copied layers. With the differences of each seed, d = own - other, and their mean and standard error
    over the seeds at each depth (as in paired_gain): n copied layers are specific if mean > error there. The answer is the
    lowest n from 1 to L such that n and all above it are specific; and L + 1 if not even all L layers are.

    own, other (S, L), S at least 2  ->  n (int), 1 to L + 1
    """
    d = own - other
    is_specific = d.mean(axis=0) > d.std(axis=0, ddof=1) / np.sqrt(len(d))
    n = len(is_specific) + 1
    while n > 1 and is_specific[n - 2]:
        n -= 1
    return n
