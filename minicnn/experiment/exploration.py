"""The page beside the report, in which the model that is kept can be explored on test pictures: `minicnn.explorer`."""

from __future__ import annotations

from collections.abc import Callable

from ..explorer import explore
from ..pretrained import load
from .linear_classifiers import LINEAR_CLASSIFIERS
from .results import Run
from .task import TransferTask

FILE = "explore.html"


def write_page(task: TransferTask, strategy: str, run: Run, log: Callable[[str], None]) -> str | None:
    """Write ``explore.html`` for a run's model: its test pictures, mistakes first, beside the nearest training pictures.

    Returns
    -------
    The name of the file; None where there is none, as the mode makes none or it was stopped by Ctrl-C. A page of an earlier
    experiment is then removed.
    """
    path = task.settings.out / FILE
    path.unlink(missing_ok=True)
    if not task.preset.explored:
        return None
    model, parts, pictures = run.model, task.split(run.record["seed"]), task.pictures
    is_linear = strategy in LINEAR_CLASSIFIERS
    try:
        page = explore(
            model,
            pictures.subset(parts["test"]),
            training=pictures.subset(parts["train"]),
            training_codes=task.codes[parts["train"]] if is_linear else None,
            before=None if is_linear else load(task.settings.model),
            most=task.preset.explored,
            title=f"{model.architecture} transferred to {pictures.name}",
            progress=task.settings.progress,
        )
    except KeyboardInterrupt:
        log(f"stopped before {FILE} was made: minicnn explore makes it of the model")
        return None
    page.save(path)
    return FILE
