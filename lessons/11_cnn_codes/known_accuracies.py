"""Lesson 11, for the checker of task 5: codes, and classifiers whose accuracy on each part is known beforehand."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from minicnn.course import Mistake


class Refused(Exception):
    """What fit() and score() do not take. Each reason is a class of its own, so that mistakes can be told apart by it."""


class NotTheseCodes(Refused):
    pass


class NotTheTestPart(Refused):
    pass


class NotTheseLabels(Refused):
    pass


class NotThisStrength(Refused):
    pass


class Trial:
    """Codes and labels in three parts, and a fit() of which it is known beforehand how many mistakes its classifiers make.

    So each part likes another strength best. Validation likes the second strongest and the one below it equally well, training
    the weakest, the test part the strongest; training and validation together, validation and test together, and the test part
    asked between the two that are equally good, all say something else than the right answer. And no other accuracy is equal to
    that of the last classifier on the test part.
    """

    SIZES: ClassVar = {"train": 23, "val": 17, "test": 19}
    TRAINED_ON_TRAIN: ClassVar = {
        "train": (0, 1, 5, 8, 10),
        "val": (6, 4, 3, 3, 5),
        "test": (9, 4, 5, 7, 1),
    }  # mistakes, by growing strength
    TRAINED_ON_BOTH: ClassVar = {"train": (0, 1, 2, 6, 9), "val": (0, 1, 2, 4, 6), "test": (8, 6, 3, 5, 2)}
    TRAINED_ON_VAL: ClassVar = {"train": (3, 4, 7, 9, 11), "val": (0, 0, 1, 5, 7), "test": (11, 10, 9, 6, 4)}
    BEST = 3

    def __init__(self, rng: np.random.Generator):
        exponents = np.sort(rng.choice(np.arange(-5, 4), len(self.TRAINED_ON_TRAIN["train"]), replace=False))
        self.strengths = tuple(float(s) for s in 10.0**exponents)
        self.best = self.strengths[self.BEST]
        self.part_of = np.repeat(list(self.SIZES), list(self.SIZES.values()))
        self.x = rng.standard_normal((len(self.part_of), 12))
        self.y = rng.permutation(np.arange(len(self.x)) % 2)
        self.parts = {part: (self.x[self.part_of == part], self.y[self.part_of == part]) for part in self.SIZES}
        self.train, self.both = self.rows_of("train"), self.rows_of("train") + self.rows_of("val")
        self.after_train = self._predictions(self.TRAINED_ON_TRAIN, rng)
        self.after_both = self._predictions(self.TRAINED_ON_BOTH, rng)
        self.after_val = self._predictions(self.TRAINED_ON_VAL, rng)
        self.fits: list[tuple[list[int], float]] = []
        self.refused: Refused | None = None  # the last time, for those who catch it

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
            raise self._no(NotTheseCodes(f"fit() and score() take codes of shape (N, {self.x.shape[1]}), got {x.shape}"))
        distances = np.abs(x[:, None] - self.x).max(axis=2)
        if distances.min(axis=1).max() > 1e-4:
            sentence = "fit() and score() were given codes of none of the three parts: leave the codes as they are"
            raise self._no(NotTheseCodes(sentence))
        return distances.argmin(axis=1)

    def fit(self, x: np.ndarray, y: np.ndarray, regularisation: float) -> Classifier:
        rows = self.which(x)
        if "test" in self.part_of[rows]:
            sentence = "fit() was given pictures of the test part: nothing trained on them can be tested on them"
            raise self._no(NotTheTestPart(sentence))
        if not np.array_equal(y, self.y[rows]):
            sentence = "fit() was given labels that are not those of its codes: are they joined in another order?"
            raise self._no(NotTheseLabels(sentence))
        if regularisation not in self.strengths:
            sentence = f"fit() was given the regularisation {regularisation}, not in the path {self.strengths}"
            raise self._no(NotThisStrength(sentence))
        self.fits.append((sorted(rows.tolist()), float(regularisation)))
        has_train, has_val = (part in self.part_of[rows] for part in ("train", "val"))
        predictions = self.after_train if not has_val else self.after_both if has_train else self.after_val
        return Classifier(self, predictions[float(regularisation)])

    def _no(self, reason: Refused) -> Refused:
        self.refused = reason
        return reason

    def expect_nothing_refused(self) -> None:
        """`Mistake` where fit() or score() refused something and nobody said so."""
        if self.refused:
            raise Mistake(str(self.refused))

    def accuracy(self, part: str, strength: float, both: bool = False) -> float:
        rows, predictions = self.rows_of(part), self.after_both if both else self.after_train
        return float(np.mean(predictions[strength][rows] == self.y[rows]))


class Classifier:
    """What `Trial.fit` gives: it has a prediction for each picture of the three parts."""

    def __init__(self, trial: Trial, predictions: np.ndarray):
        self.trial, self.predictions = trial, predictions

    def __eq__(self, other: object) -> bool:  # for answers that return it
        return isinstance(other, Classifier) and np.array_equal(self.predictions, other.predictions)

    def predict(self, x: np.ndarray) -> np.ndarray:
        return self.predictions[self.trial.which(x)]

    def score(self, x: np.ndarray, y: np.ndarray) -> float:
        return float(np.mean(self.predict(x) == np.asarray(y)))
