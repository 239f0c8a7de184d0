"""Whether mirrored pictures still look like their own class: arrows to the left, mirrored, are arrows to the right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..data.splits import stratified_folds
from ..linear_model.softmax_regression import SoftmaxRegression
from ..models.model import Model
from .features import extract_features

MOST = 400  # pictures that are looked at
LOST = 0.1  # share of the pictures that are recognised less when mirrored, from which on flips do more harm than good
SURE = 3.0  # standard errors


@dataclass(frozen=True)
class Mirrored:
    """How well pictures are recognised as they are, and mirrored.

    Attributes
    ----------
    plain, mirrored : float
        Accuracy of a classifier that was trained on other pictures, none of them mirrored.
    difference_error : float
        The standard error of the difference.
    taken_for : (str, str) or None
        The class whose mirrored pictures are most often taken for another one, and that other class.
    """

    plain: float
    mirrored: float
    difference_error: float
    taken_for: tuple[str, str] | None

    @property
    def looks_like_another_class(self) -> bool:
        return self.plain - self.mirrored > max(LOST, SURE * self.difference_error)

    def sentence(self) -> str:
        example = f"; mirrored {self.taken_for[0]!r} mostly look like {self.taken_for[1]!r}" if self.taken_for else ""
        return (
            f"mirrored pictures look like other classes: {100 * self.plain:.0f} % of the pictures are recognised as "
            f"they are and {100 * self.mirrored:.0f} % mirrored{example}"
        )


def compare_mirrored(
    model: Model, fitted: np.ndarray, labels: np.ndarray, among: np.ndarray, classes: list[str]
) -> Mirrored | None:
    """Classify pictures and their mirror images by their codes, in two halves, each by a classifier of the other half.

    Parameters
    ----------
    model : Model
    fitted : uint8 (N, H, W, C)
    labels : int (N,)
    among : int
        Indices of the pictures to look at: those to learn from, never the test part.
    classes : list of str

    Returns
    -------
    Mirrored, or None where a class has a single picture, so that there is nothing to compare.
    """
    rng = np.random.default_rng(0)
    among = np.sort(rng.permutation(among)[:MOST])
    y = labels[among]
    if np.bincount(y)[np.unique(y)].min() < 2 or len(np.unique(y)) < 2:
        return None
    halves = stratified_folds(y, 2, rng)
    as_they_are = np.stack([np.array(fitted[i]) for i in among])  # one by one: they may be on disk
    x = extract_features(model, as_they_are, progress=False)
    x_mirrored = extract_features(model, np.ascontiguousarray(as_they_are[:, :, ::-1]), progress=False)
    plain, mirrored = np.empty(len(y), np.int64), np.empty(len(y), np.int64)
    for learned, asked in (halves, halves[::-1]):
        classifier = SoftmaxRegression(0.1).fit(x[learned], y[learned])
        plain[asked] = classifier.predict(x[asked])
        mirrored[asked] = classifier.predict(x_mirrored[asked])
    difference = (plain == y).astype(float) - (mirrored == y)
    taken = np.zeros((len(classes), len(classes)))
    np.add.at(taken, (y, mirrored), 1)
    np.add.at(taken, (y, plain), -1)
    np.fill_diagonal(taken, 0)
    i, j = np.unravel_index(taken.argmax(), taken.shape)
    return Mirrored(
        float(np.mean(plain == y)),
        float(np.mean(mirrored == y)),
        float(difference.std(ddof=1) / np.sqrt(len(y))),
        (classes[i], classes[j]) if taken[i, j] > 0 else None,
    )
