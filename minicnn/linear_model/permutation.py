"""Was anything learned at all? A test that compares an accuracy with those that relabelled pictures give."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .base import balanced_weights
from .cross_validation import FOLDS, RIDGES, checked, hat_matrices, held_out_right, repeated_folds

TESTED_BELOW = 100  # samples: with fewer, chance may look like learning
SIGNIFICANT = 0.05  # p-value, up to which an accuracy is no chance
PERMUTATIONS = 199  # the smallest p-value is 1/200, and one of 0.05 has a standard error of 0.015
ELEMENTS = 1 << 22  # of the hat matrices that are in memory at the same time: 32 MB


def permutation_test(
    x: np.ndarray,
    y: np.ndarray,
    permutations: int = PERMUTATIONS,
    rng: np.random.Generator | int = 0,
    folds: int = FOLDS,
    repeats: int | None = None,
    ridges: Sequence[float] = RIDGES,
    balanced: bool = False,
) -> float:
    """The p-value of a cross-validated accuracy: how probable one as high is if the codes tell nothing of the classes.

        p = (1 + #{permutations whose accuracy >= that of the true labels}) / (1 + permutations)

    where the accuracy is what `cross_validate` finds, with the best of the ridges chosen anew for each permutation. It is never
    0: the true labels are one of the orders they could have come in.

    The p-value is exact: whatever the codes, P(p <= a) <= a if the labels have nothing to do with them. For that, true and
    permuted labels have to be treated alike. The labels move *together with the folds*: folds that are stratified by the true
    labels and stayed in place would not be stratified by the permuted ones, whose training parts would then lack what the
    held-out parts have too much of, and relabelled pictures would look worse than they are: p <= 1/4 came out for a third of
    400 sets of 40 random codes of 5 features. To move labels and folds is to move the pictures, so that one hat matrix serves
    all permutations: H_ij becomes H_pi(i)pi(j), nothing is fitted again.

    Where classes are uneven, to name the largest one always is hard to surpass with any labels, and p is larger than it has to
    be; ``balanced`` does better.

    Parameters
    ----------
    x : (N, D)
        Codes.
    y : int (N,)
    permutations : int
        1 or more; the smallest possible p-value is 1 / (1 + permutations).
    rng : Generator or int
        Draws the folds, as in `cross_validate`, and then the permutations.
    folds, repeats, ridges, balanced
        See `cross_validate`. Balanced weights belong to the labels and move with them, so that each permutation takes an
        eigendecomposition of its own.

    Raises
    ------
    ValueError
        If x is not (N, D), there are not N labels, a code is not finite, or there is no permutation.
    DataError
        If there is one class only, or a class has a single picture.

    Ojala & Garriga 2010, "Permutation Tests for Studying Classifier Performance", JMLR 11, test 1 (definition 1 has p).

    >>> y = np.arange(30) % 2
    >>> permutation_test(np.random.default_rng(0).normal(size=(30, 4)) + 2 * y[:, None], y)
    0.005
    """
    x, y, counts = checked(x, y)
    if permutations < 1:
        raise ValueError(f"a permutation test takes one permutation or more, got {permutations}")
    rng = np.random.default_rng(rng)
    parts = repeated_folds(y, folds, repeats, rng)
    weights = balanced_weights(counts)[y] if balanced else None
    orders = np.stack([np.arange(len(y)), *(rng.permutation(len(y)) for _ in range(permutations))])
    hats = None if balanced else list(hat_matrices(x, ridges))
    accuracies = []
    for some in np.array_split(orders, min(len(orders), -(-orders.size * len(y) // ELEMENTS))):
        if balanced:
            moved = map(np.stack, zip(*(hat_matrices(x[order], ridges, weights) for order in some), strict=True))
        else:
            moved = (hat[some[:, :, None], some[:, None]] for hat in hats)
        accuracies.append(
            np.max([np.average(held_out_right(hat, y, parts, weights), axis=-1, weights=weights) for hat in moved], axis=0)
        )
    found, *permuted = np.concatenate(accuracies)
    return (1 + int(np.sum(np.array(permuted) >= found - 1e-12))) / (1 + permutations)
