"""Lesson 11, for the checker of task 4: codes, and classifiers whose accuracy on each part is known beforehand."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from minicnn.course import Mistake


class Trial:
    """Codes and labels in three parts, and a fit() of which it is known beforehand how many mistakes its classifiers make.

    So each part likes another strength best. Validation likes the second strongest and the one below it equally well, training
    the weakest, the test part the strongest; those two together, training and validation together, and the test part asked
    between the two that are equally good, all say something else than the right answer. And no other accuracy is equal to that
    of the last classifier on the test part.
    """

    SIZES: ClassVar = {"train": 23, "val": 17, "test": 19}
    TRAINED_ON_TRAIN: ClassVar = {
        "train": (0, 2, 8, 10),
        "val": (6, 3, 3, 5),
        "test": (9, 4, 7, 1),
    }  # mistakes, by growing strength
    TRAINED_ON_BOTH: ClassVar = {"train": (0, 1, 6, 9), "val": (0, 1, 4, 6), "test": (8, 3, 5, 2)}
    BEST = 2

    def __init__(self, rng: np.random.Generator):
        self.strengths = tuple(float(s) for s in 10.0 ** np.sort(rng.choice(np.arange(-5, 4), 4, replace=False)))
        self.best = self.strengths[self.BEST]
        self.part_of = np.repeat(list(self.SIZES), list(self.SIZES.values()))
        self.x = rng.standard_normal((len(self.part_of), 12))
        self.y = rng.permutation(np.arange(len(self.x)) % 2)
        self.parts = {part: (self.x[self.part_of == part], self.y[self.part_of == part]) for part in self.SIZES}
        self.train, self.both = self.rows_of("train"), self.rows_of("train") + self.rows_of("val")
        self.after_train = self._predictions(self.TRAINED_ON_TRAIN, rng)
        self.after_both = self._predictions(self.TRAINED_ON_BOTH, rng)
        self.fits: list[tuple[list[int], float]] = []
        self.complaint: Mistake | None = None  # the last one, for those who catch it

    def rows_of(self, part: str) -> list[int]:
        return np.flatnonzero(self.part_of == part).tolist()

    def _predictions(self, mistakes: dict[str, tuple[int, ...]], rng: np.random.Generator) -> dict[float, np.ndarray]:
        """A label for each row, by strength: the right one but for so many, anywhere in each part."""
        predictions = {}
        for i, strength in enumerate(self.strengths):
            predictions[strength] = self.y.copy()
            for part, numbers in mistakes.items():
                wrong = rng.permutation(self.rows_of(part))[: numbers[i]]
                predictions[strength][wrong] = 1 - self.y[wrong]
        return predictions

    def which(self, x: np.ndarray) -> np.ndarray:
        """The numbers of the rows that these codes are."""
        x = np.asarray(x)
        if x.ndim != 2 or x.shape[1] != self.x.shape[1] or not len(x):
            raise self._complaint(f"fit() and score() take codes of shape (N, {self.x.shape[1]}), got {x.shape}")
        distances = np.abs(x[:, None] - self.x).max(axis=2)
        if distances.min(axis=1).max() > 1e-4:
            raise self._complaint("fit() and score() were given codes of none of the three parts: leave the codes as they are")
        return distances.argmin(axis=1)

    def fit(self, x: np.ndarray, y: np.ndarray, regularisation: float) -> Classifier:
        rows = self.which(x)
        if "test" in self.part_of[rows]:
            raise self._complaint("fit() was given pictures of the test part: nothing trained on them can be tested on them")
        if not np.array_equal(y, self.y[rows]):
            raise self._complaint("fit() was given labels that are not those of its codes: are they joined in another order?")
        if regularisation not in self.strengths:
            raise self._complaint(f"fit() was given the regularisation {regularisation}, not in the path {self.strengths}")
        self.fits.append((sorted(rows.tolist()), float(regularisation)))
        predictions = self.after_both if "val" in self.part_of[rows] else self.after_train
        return Classifier(self, predictions[float(regularisation)])

    def _complaint(self, sentence: str) -> Mistake:
        self.complaint = Mistake(sentence)
        return self.complaint

    def accuracy(self, part: str, strength: float, both: bool = False) -> float:
        rows, predictions = self.rows_of(part), self.after_both if both else self.after_train
        return float(np.mean(predictions[strength][rows] == self.y[rows]))


class Classifier:
    """What `Trial.fit` gives: it has a prediction for each picture of the three parts."""

    def __init__(self, trial: Trial, predictions: np.ndarray):
        self.trial, self.predictions = trial, predictions

    def predict(self, x: np.ndarray) -> np.ndarray:
        return self.predictions[self.trial.which(x)]

    def score(self, x: np.ndarray, y: np.ndarray) -> float:
        return float(np.mean(self.predict(x) == np.asarray(y)))
