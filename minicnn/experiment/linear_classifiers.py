"""Linear classifiers on the codes of an experiment: the network stays as it is, and gets the classifier as its head."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from functools import partial

import numpy as np

from ..linear_model.base import LinearClassifier, class_scores
from ..linear_model.calibration import calibrate
from ..linear_model.estimator import ConvergenceWarning
from ..linear_model.selection import choose_regularisation
from ..linear_model.softmax_regression import SoftmaxRegression
from ..linear_model.svm import LinearSVM
from ..transfer.metrics import confusion_matrix
from ..transfer.surgery import below_classifier, set_head
from .task import TrainedRun, TransferTask

LINEAR_CLASSIFIERS: dict[str, type[LinearClassifier]] = {"svm": LinearSVM, "softmax": SoftmaxRegression}


def train_classifier(task: TransferTask, strategy: str, parts: Mapping[str, np.ndarray]) -> TrainedRun:
    """A linear classifier on the codes, its regularisation chosen on validation pictures; then fitted to these too.

    Parameters
    ----------
    task : TransferTask
    strategy : str
        A key of ``LINEAR_CLASSIFIERS``.
    parts : mapping
        Indices of the pictures in "train", "val" and "test".
    """
    started = time.perf_counter()
    classifier = LINEAR_CLASSIFIERS[strategy]
    make = partial(classifier, class_weight="balanced") if task.settings.balance else classifier
    x, y = task.codes[parts["train"]], task.pictures.labels[parts["train"]]
    x_val, y_val = task.codes[parts["val"]], task.pictures.labels[parts["val"]]
    with warnings.catch_warnings():
        # one that stops before its minimum is judged on the validation pictures like any other
        warnings.simplefilter("ignore", ConvergenceWarning)
        choice = choose_regularisation(make, x, y, x_val, y_val, balanced=task.is_uneven)
    scale = calibrate(choice.fitted, x_val, y_val)
    model = task.model.copy()
    set_head(model, choice.final, scale)
    model.freeze(until=below_classifier(model)[-1])
    record = {
        "val_accuracy": choice.point.val_accuracy,
        "seconds": task.codes_seconds + time.perf_counter() - started,
        "chosen_regularisation": choice.point.regularisation,
        "regularisation_path": [vars(point) for point in choice.path],
    }
    if task.is_uneven:
        predicted = choice.fitted.predict(x_val)
        record["val_confusion"] = confusion_matrix(y_val, predicted, len(task.pictures.classes)).tolist()
    test_scores = scale * class_scores(choice.final.decision_function(task.codes[parts["test"]]))
    return TrainedRun(strategy, model, test_scores, record)
