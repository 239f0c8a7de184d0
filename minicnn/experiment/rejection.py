"""What ``minicnn predict --reject`` needs of the model that is kept, and what that is worth on the test part."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..transfer.novelty import codes_of, fit_novelty, left_out_classes
from .linear_classifiers import LINEAR_CLASSIFIERS
from .results import Run
from .task import TransferTask


def prepare_rejection(
    task: TransferTask, strategy: str, run: Run, log: Callable[[str], None], is_interrupted: bool = False
) -> dict | None:
    """Give a run's model its novelty detector, and measure how many test pictures and strangers that rejects.

    The full mode's last phase has drawn the codes of the validation pictures together: the share of test pictures that is
    rejected may then be greater than expected. Fine-tuned networks are run over the pictures once more for all this, but
    not after an interruption; one that comes meanwhile ends this alone.

    Parameters
    ----------
    task : TransferTask
    strategy : str
        By which the run was trained.
    run : Run
        Its model is changed: ``novelty``, and ``provenance``, which says how many test pictures are rejected.
    log : function
        Is called with each line that there is to say.
    is_interrupted : bool
        Whether the experiment was ended early.

    Returns
    -------
    dict or None
        "expected_rejected" and "test_rejected", shares of the pictures; "left_out_classes", for each class the share of its
        pictures that is rejected by a detector made without it. None where an interruption left no time for it.
    """
    model, labels, parts = run.model, task.pictures.labels, task.split(run.record["seed"])
    is_linear = strategy in LINEAR_CLASSIFIERS
    if is_linear:
        codes = {part: task.codes[rows] for part, rows in parts.items()}
    else:
        label = "codes for --reject" if task.settings.progress else None
        try:
            if is_interrupted:
                raise KeyboardInterrupt
            codes = {part: codes_of(model, task.fitted_for(model), rows, label) for part, rows in parts.items()}
        except KeyboardInterrupt:
            log("stopped before minicnn predict --reject was prepared: the model answers every picture with a class")
            return None
    detector = fit_novelty(model, codes["train"], labels[parts["train"]], codes["val"], cross_fit=is_linear)
    strangers = left_out_classes(task.model, task.codes, labels, parts)
    measured = {
        "expected_rejected": detector.rejected,
        "test_rejected": float(np.mean(detector.excess(codes["test"]) > 1)),
        "left_out_classes": {task.pictures.classes[k]: share for k, share in strangers.items()},
    }
    model.novelty = detector
    model.provenance["test pictures rejected"] = measured["test_rejected"]
    caught = f", and {100 * np.mean(list(strangers.values())):.0f} % of a class it was not shown" if strangers else ""
    log(f"minicnn predict --reject turns away {100 * measured['test_rejected']:.1f} % of the test pictures{caught}")
    return measured
