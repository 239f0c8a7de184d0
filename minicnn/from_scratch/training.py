"""The job: open the pictures, train a network on them from the beginning, test it once, write model and report."""

from __future__ import annotations

from collections.abc import Callable

from ..cache import make_writable
from ..experiment import unfinished
from ..experiment.report import write_report
from ..models.model import Model, save_model
from ..training.checkpoint import Checkpoints
from ..training.history import History
from ..training.trainer import Trainer
from .data_sets import DataSet, open_data_set
from .live import LiveChart
from .results import provenance, results_of
from .settings import Settings

SAMPLE = 10_000  # pictures whose mean and standard deviation stand for those of all


def train(settings: Settings, log: Callable[[str], None] = print) -> dict | None:
    """Train a network as the settings say, and write ``model.h5``, ``report.html`` and ``results.json`` to ``settings.out``.

    The epoch that did best on the validation pictures is kept. The test pictures are looked at once, at the end.

    Parameters
    ----------
    settings : Settings
    log : function
        Is called with each text that there is to say.

    Returns
    -------
    dict or None
        The results; None after Ctrl-C, which leaves a checkpoint that ``resume`` goes on from.

    Raises
    ------
    DataError
        If there are no such pictures, or they cannot be learned from.
    TrainingError
        If the loss is no longer a number; if there is an unfinished run in the folder, and it is not the one to go on with.
    ValueError
        For an architecture that there is not, or that does not take these pictures.
    """
    make_writable(settings.out)
    folder = unfinished.begin(settings.out, settings.resume, settings.identity())
    checkpoints = Checkpoints(folder, settings.seconds_between_checkpoints)
    data = open_data_set(settings, log)
    model, trainer = prepare(settings, data, checkpoints, log)
    if settings.resume:
        files = checkpoints.files()
        log(f"going on from {files[-1]}" if files else "there is no checkpoint to go on from: the run begins")
    try:
        history = trainer.fit(*data.part("train"), *data.part("val"))
        if history.interrupted:
            raise KeyboardInterrupt
        results = _test(settings, data, model, trainer, history)
    except KeyboardInterrupt:
        log(_how_to_go_on(settings, checkpoints))
        return None
    save_model(model, settings.out / results["model_file"])
    write_report(results, settings.out, data.pictures)
    unfinished.end(folder, finished=True)
    return results


def prepare(settings: Settings, data: DataSet, checkpoints: Checkpoints, log: Callable[[str], None]) -> tuple[Model, Trainer]:
    """The network before its first step, and what trains it."""
    recipe = settings.chosen_recipe()
    model = recipe.network(data.training_sample(SAMPLE), data.pictures.classes, settings.seed, settings.architecture)
    model.preprocessing = data.pictures.preprocessed_by(model.preprocessing)
    trainer = recipe.trainer(
        model,
        settings.seed,
        callbacks=[LiveChart(log)],
        checkpoint=checkpoints,
        resume=settings.resume,
        progress=settings.progress,
        label=model.architecture,
    )
    count = sum(parameter.value.size for parameter in model.parameters().values())
    log(f"{model.architecture}, {count:,} parameters, from scratch by the recipe {settings.recipe_name}")
    return model, trainer


def _test(settings: Settings, data: DataSet, model: Model, trainer: Trainer, history: History) -> dict:
    """Look at the test pictures, this once; the model is told where its weights come from."""
    x_test, _ = data.part("test")
    scores = trainer.decision_function(x_test)
    results = results_of(settings=settings, data=data, model=model, trainer=trainer, history=history, scores=scores)
    model.provenance = provenance(results, settings)
    return results


def _how_to_go_on(settings: Settings, checkpoints: Checkpoints) -> str:
    if not checkpoints.files():
        every = settings.seconds_between_checkpoints
        return f"stopped; there is nothing to go on from yet, as the first checkpoint is written after {every:g} seconds"
    command = settings.command + ("" if settings.resume else " --resume")
    return f"stopped; to go on: {command}"
