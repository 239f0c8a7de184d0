"""Linear classifiers on the codes of an experiment: the network stays as it is, and gets the classifier as its head."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from functools import partial

import numpy as np

from ..linear_model.base import LinearClassifier, class_scores
from ..linear_model.estimator import ConvergenceWarning
from ..linear_model.selection import REGULARISATION_PATH, RegularisationChoice, cross_validated_regularisation
from ..linear_model.softmax_regression import SoftmaxRegression
from ..linear_model.svm import LinearSVM
from ..transfer.surgery import below_classifier, set_head
from .held_out import HeldOut
from .task import TrainedRun, TransferTask

LINEAR_CLASSIFIERS: dict[str, type[LinearClassifier]] = {"svm": LinearSVM, "softmax": SoftmaxRegression}


def train_classifier(task: TransferTask, strategy: str, seed: int) -> TrainedRun:
    """A linear classifier on the codes, its regularisation chosen on what is held out; then fitted to that too.

    Parameters
    ----------
    task : TransferTask
    strategy : str
        A key of ``LINEAR_CLASSIFIERS``.
    seed : int
        Of the split.
    """
    started = time.perf_counter()
    folds, test = task.folds(seed, of_codes=True), task.split(seed)["test"]
    choice = choose_classifier(task, strategy, folds)
    rows = np.concatenate([fold["val"] for fold in folds])
    held_out, scale = HeldOut(rows, choice.held_out).calibrated(task.pictures.labels)
    model = task.model.copy()
    set_head(model, choice.final, scale)
    model.freeze(until=below_classifier(model)[-1])
    record = {
        "seconds": task.codes_seconds + time.perf_counter() - started,
        "chosen_regularisation": choice.point.regularisation,
        "regularisation_path": [vars(point) for point in choice.path],
    }
    test_scores = scale * class_scores(choice.final.decision_function(task.codes[test]))
    return TrainedRun(strategy, model, held_out, record, test_scores)


def choose_classifier(
    task: TransferTask, strategy: str, folds: Sequence[dict[str, np.ndarray]], path: Sequence[float] = REGULARISATION_PATH
) -> RegularisationChoice:
    """The classifiers of the folds, and the one of all pictures to learn from, with the regularisation that suits the folds."""
    classifier = LINEAR_CLASSIFIERS[strategy]
    make = partial(classifier, class_weight="balanced") if task.settings.balance else classifier
    learning = np.unique(np.concatenate([np.r_[fold["train"], fold["val"]] for fold in folds]))
    places = [(np.searchsorted(learning, fold["train"]), np.searchsorted(learning, fold["val"])) for fold in folds]
    with warnings.catch_warnings():
        # one that stops before its minimum is judged on what is held out like any other
        warnings.simplefilter("ignore", ConvergenceWarning)
        codes, labels = task.codes[learning], task.pictures.labels[learning]
        return cross_validated_regularisation(make, codes, labels, places, path, task.is_uneven)
