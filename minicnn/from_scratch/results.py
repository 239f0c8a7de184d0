"""The results of a network that was trained from the beginning: what its report and its file say of it."""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from ..experiment.notes import positive_class
from ..experiment.results import METRICS, describe_mistakes, facts_about_data, facts_about_model, facts_about_run
from ..models.model import Model
from ..recipes import Recipe
from ..training.history import History
from ..training.trainer import Trainer
from ..transfer.metrics import classification_metrics, mean_and_std
from .data_sets import DataSet
from .settings import Settings

KEY = "from-scratch"


def results_of(
    *, settings: Settings, data: DataSet, model: Model, trainer: Trainer, history: History, scores: np.ndarray
) -> dict:
    """One dictionary that JSON can hold, of the form that `minicnn.experiment.report.write_report` takes.

    It is that of a comparison of strategies in which there is only one.

    Parameters
    ----------
    settings : Settings
    data : DataSet
    model : Model
        After training.
    trainer : Trainer
    history : History
    scores : (n, K)
        Of the test pictures.
    """
    pictures, recipe, test = data.pictures, settings.chosen_recipe(), data.parts["test"]
    positive = positive_class(pictures.classes, np.bincount(pictures.labels, minlength=len(pictures.classes)), None)
    record = {
        "seed": settings.seed,
        "val_accuracy": history.best["val_accuracy"],
        "seconds": sum(epoch["seconds"] for epoch in history.epochs),
        "phases": [
            {
                "title": f"{model.architecture} from scratch",
                "learning_rate": recipe.learning_rate,
                "history": history.epochs,
                "best_epoch": history.best_epoch,
            }
        ],
        **classification_metrics(pictures.labels[test], scores, positive),
        "mistakes": describe_mistakes(pictures, test, scores),
    }
    facts = facts_about_model(model)
    names = [name for name, layer in model.layers.items() if layer.parameters()]
    strategy = {
        "key": KEY,
        "title": f"{model.architecture} from scratch",
        "trained": f"{names[0]} to {names[-1]}",
        "trained_parameters": sum(p.value.size for p in model.parameters().values() if p.trainable),
        "total_parameters": facts["parameters"],
        "runs": [record],
        **{name: mean_and_std([record[name]]) for name in METRICS},
    }
    augmentation = trainer.augment.describe() if hasattr(trainer.augment, "describe") else "none"
    return {
        **facts_about_run(settings.command, "quick" if settings.quick else "default", record["seconds"]),
        "title": f"{model.architecture} trained on {pictures.name}",
        "recipe": in_words(settings.recipe_name, recipe, trainer),
        "data": facts_about_data(pictures, data.parts) | {"augmentation": augmentation},
        "model": facts,
        "f1_of": "macro average" if positive is None else pictures.classes[positive],
        "strategies": [strategy],
        "recommendation": {"key": KEY, "sentence": _sentence(record, history, len(test))},
        "model_file": "model.h5",
    }


def in_words(name: str, recipe: Recipe, trainer: Trainer) -> str:
    """The recipe as a reader of the report wants to know it.

    >>> from minicnn.models import lenet5
    >>> from minicnn.recipes import RECIPES
    >>> recipe = RECIPES["digits"]
    >>> in_words("digits", recipe, recipe.trainer(lenet5(), seed=0))
    'digits: SGD, 12 epochs in batches of 64, learning rate up to 0.05, weight decay 0.0005'
    """
    optimizers = getattr(trainer.optimizer, "optimizers", [trainer.optimizer])
    kinds = dict.fromkeys(type(optimizer).__name__ for optimizer in optimizers)
    words = [
        " and ".join(kinds),
        f"{recipe.epochs} epochs in batches of {recipe.batch_size}",
        f"learning rate up to {recipe.learning_rate:g}",
        f"weight decay {recipe.weight_decay:g}",
    ]
    if recipe.label_smoothing:
        words.append(f"label smoothing {recipe.label_smoothing:g}")
    if recipe.average:
        words.append(f"weights averaged with decay {recipe.average:g}")
    words += [field.name.replace("_", " ") for field in fields(recipe) if getattr(recipe, field.name) is True]
    return f"{name}: {', '.join(words)}"


def provenance(results: dict, settings: Settings) -> dict:
    """What the model's file says of where its weights come from."""
    record = results["strategies"][0]["runs"][0]
    data = results["data"]
    return {
        "source": f"trained from scratch on {data['name']}" + (f" ({data['source']})" if data["source"] else ""),
        "training": results["recipe"],
        "command": settings.command,
        "seed": settings.seed,
        "validation_accuracy": record["val_accuracy"],
        "test_accuracy": record["accuracy"],
    }


def _sentence(record: dict, history: History, tested: int) -> str:
    right = round(record["accuracy"] * tested)
    return (
        f"{right:,} of {tested:,} test pictures right, {100 * record['accuracy']:.2f} %. The network is that of epoch "
        f"{history.best_epoch} of {len(history.epochs)}, the best one on the validation pictures, "
        f"{100 * record['val_accuracy']:.2f} %."
    )
