"""Calibrating a model's novelty detector: where the codes of its training pictures lie, and how far away a code is foreign."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ..inference.batches import infer
from ..models.model import Model
from ..models.novelty import CodesAndScores, NoveltyDetector, unit_length
from .surgery import default_layer

REJECTED = 0.05  # of the pictures that belong to a class: the rate at which such detectors are usually compared
DIRECTIONS = 64  # with a variance of their own; with half or twice as many, no more strangers are caught
FOLDS = 5  # of the training pictures, where these calibrate too
MOST_DEVIATIONS = 1000  # more codes than this do not make the covariance better
MOST_LEFT_OUT = 10  # classes that play the stranger in turn
LEAST_VARIANCE = 1e-8  # of codes of length 1, where those of a class are all the same


def fit_novelty(
    model: Model,
    codes_train: np.ndarray,
    labels_train: np.ndarray,
    codes_val: np.ndarray,
    rejected: float = REJECTED,
    cross_fit: bool = False,
) -> NoveltyDetector:
    """A novelty detector for this model; as ``model.novelty`` it is saved with the model.

    The means of the classes and the covariance within them are those of the training codes (see `NoveltyDetector`). The
    threshold is from validation pictures, on which the network was not trained: with their N distances sorted, the one at place
    ceil((N + 1) (1 - rejected)). A further picture of the same kind is farther away with a probability of at most ``rejected``
    (conformal prediction, Vovk et al. 2005). With fewer pictures than that takes (19 for 0.05) the threshold is the greatest
    distance, and that probability 1 / (N + 1).

    Parameters
    ----------
    model : Model
        Which gives these codes, at `default_layer`.
    codes_train : float (N, D)
    labels_train : int (N,)
    codes_val : float (M, D)
    rejected : float
        Between 0 and 1.
    cross_fit : bool
        Calibrate on the training pictures as well, each with a detector that is fitted to four fifths of them without it. That
        makes the threshold much steadier where validation pictures are few. For a network that was not trained on these
        pictures; one that was has drawn their codes together.

    Raises
    ------
    ValueError
        For codes and labels that do not fit together, for none, and for another share.

    >>> from minicnn.models import lenet5
    >>> rng = np.random.default_rng(0)
    >>> codes, labels = 5 + rng.normal(size=(60, 84)), np.repeat([0, 1], 30)
    >>> detector = fit_novelty(lenet5(rng=0), codes[:40], labels[:40], codes[40:])
    >>> bool(detector.excess(rng.normal(size=(1, 84)))[0] > 1)
    True
    """
    codes_train, codes_val = np.asarray(codes_train, np.float64), np.asarray(codes_val, np.float64)
    labels_train = np.asarray(labels_train)
    if codes_train.ndim != 2 or codes_val.ndim != 2 or codes_train.shape[1] != codes_val.shape[1]:
        raise ValueError(f"expected codes (N, D) and (M, D), got {codes_train.shape} and {codes_val.shape}")
    if len(codes_val) == 0 or len(codes_train) == 0 or labels_train.shape != codes_train.shape[:1]:
        raise ValueError(
            f"expected training and validation codes and a label for each of the former, got {len(codes_train)} and "
            f"{len(codes_val)} codes, and labels {labels_train.shape}"
        )
    if not 0 < rejected < 1:
        raise ValueError(f"rejected is a share between 0 and 1, got {rejected}")
    layer = default_layer(model)
    detector = _uncalibrated(layer, codes_train, labels_train)
    distances = [detector.distances(codes_val)]
    folds = np.random.default_rng(0).permutation(len(codes_train)) % FOLDS
    for fold in range(min(FOLDS, len(codes_train))) if cross_fit and len(codes_train) > 1 else ():
        others = _uncalibrated(layer, codes_train[folds != fold], labels_train[folds != fold])
        distances.append(others.distances(codes_train[folds == fold]))
    ordered = np.sort(np.concatenate(distances))
    n = len(ordered)
    place = min(math.ceil((n + 1) * (1 - rejected)), n)
    return replace(detector, threshold=float(ordered[place - 1]), calibrated_on=n, rejected=(n + 1 - place) / (n + 1))


def left_out_classes(model: Model, codes: np.ndarray, labels: np.ndarray, parts: Mapping[str, np.ndarray]) -> dict[int, float]:
    """How many strangers are caught that are like the collection's own pictures: each class in turn plays the stranger.

    A detector is made without the class, and the share of the class's test pictures that it rejects is counted. Pictures of
    anything else are usually farther away, and caught more often. The codes must be of a network that was not trained on the
    class.

    Parameters
    ----------
    model : Model
        As in `fit_novelty`.
    codes : float (N, D)
        Of all pictures.
    labels : int (N,)
    parts : mapping
        Indices of the pictures in "train", "val" and "test".

    Returns
    -------
    dict from class to share
        Of at most ten classes, evenly spread, which have test pictures; empty for a single class.
    """
    candidates = np.unique(labels[parts["test"]])
    chosen = candidates[np.unique(np.linspace(0, len(candidates) - 1, MOST_LEFT_OUT).astype(int))] if len(candidates) else []
    shares = {}
    for stranger in chosen:
        train, val = (rows[labels[rows] != stranger] for rows in (parts["train"], parts["val"]))
        if len(train) and len(val):
            others = fit_novelty(model, codes[train], labels[train], codes[val], cross_fit=True)
            strangers = codes[parts["test"][labels[parts["test"]] == stranger]]
            shares[int(stranger)] = float(np.mean(others.excess(strangers) > 1))
    return shares


def codes_of(model: Model, pictures: np.ndarray, indices: np.ndarray, label: str | None = None) -> np.ndarray:
    """The codes (N, D), float32, as the detector of this model sees them: with the mean over its test-time views.

    Parameters
    ----------
    model : Model
    pictures : uint8 (N, H, W, C)
        As ``PictureSet.fitted`` gives them.
    indices : (M,)
        The pictures whose codes are wanted.
    label : str, optional
        Of a progress bar.
    """
    preprocessing = model.preprocessing
    network = CodesAndScores(model.fuse(), default_layer(model))
    both = infer(
        network,
        len(indices),
        lambda i: preprocessing.normalise(pictures[indices[i]]),
        label=label,
        views=preprocessing.test_time_views,
    )
    return both[:, : both.shape[1] - model.output_shape((1, *model.input_shape))[1]]


def _uncalibrated(layer: str, codes: np.ndarray, labels: np.ndarray) -> NoveltyDetector:
    """A detector whose threshold is still to be found."""
    codes = unit_length(codes)
    classes, rows = np.unique(labels, return_inverse=True)
    means = np.stack([codes[rows == k].mean(axis=0) for k in range(len(classes))])
    directions, variances, rest = _principal_components(codes - means[rows], len(classes))
    arrays = {"means": means, "directions": directions, "variances": variances}
    arrays = {name: array.astype(np.float32) for name, array in arrays.items()}
    return NoveltyDetector(layer, **arrays, rest=rest, threshold=0.0, calibrated_on=1, rejected=1.0)


def _principal_components(deviations: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray, float]:
    """The directions of the greatest variance (R, D), the variances in them (R,), and the mean variance in all others.

    From at most ``MOST_DEVIATIONS`` codes, drawn at random. The directions are half of those that the deviations from so many
    means can have, so that something is left for the others.
    """
    if len(deviations) > MOST_DEVIATIONS:
        deviations = np.random.default_rng(0).choice(deviations, MOST_DEVIATIONS, replace=False)
    n, width = deviations.shape
    r = max(min(DIRECTIONS, (n - classes) // 2, width - 1), 1)
    # the eigenvectors w of (deviations deviations^T) / n (N, N) give those of (deviations^T deviations) / n, deviations^T w
    variances, w = np.linalg.eigh(deviations @ deviations.T / n)
    variances, directions = variances[::-1][:r], (deviations.T @ w[:, ::-1][:, :r]).T
    rest = (np.square(deviations).sum() / n - variances.sum()) / max(width - r, 1)
    rest = max(float(rest), LEAST_VARIANCE)
    return unit_length(directions), np.maximum(variances, rest), rest
