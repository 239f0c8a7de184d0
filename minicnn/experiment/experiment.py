"""The main job: one pretrained network, one collection of pictures, several ways to transfer, an honest comparison.

The test part of each split is looked at once, when a strategy is finished. Every choice before that (regularisation, epoch,
which strategy to recommend, which run to keep) is made on the validation part.

What is done once is in `minicnn.experiment.preparation`; what is done for each split in `minicnn.experiment.linear_classifiers`
and `minicnn.experiment.fine_tuning`; and here, what is made of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from ..cache import make_writable
from ..models.model import save_model
from ..transfer.metrics import classification_metrics
from ..transfer.strategies import STRATEGIES
from . import unfinished
from .exploration import write_page
from .fine_tuning import train_layers
from .linear_classifiers import LINEAR_CLASSIFIERS, train_classifier
from .preparation import describe_augmentation, prepare
from .presets import PRESETS, Settings
from .rejection import prepare_rejection
from .report import write_report
from .results import Run, describe_mistakes, results_of, validation_score
from .task import TrainedRun, TransferTask


class Experiment:
    """The main job step by step; ``run()`` takes all steps.

    Parameters
    ----------
    settings : Settings
    log : function
        Is called with a line of text whenever there is progress to report.

    Attributes
    ----------
    settings : Settings
    log : function
    runs : dict
        For each strategy that is carried out the finished runs, one a seed; from `prepare` on.
    interrupted : bool
        Whether it was ended early, by Ctrl-C or by an error.
    started : float
        When this object was made, in seconds of `time.perf_counter`.
    task : TransferTask
        Pictures, network and codes; from `prepare` on.
    parts : dict
        Indices of the pictures in the "train", "val" and "test" part, as the current seed draws them; from `run_seed` on.
    """

    task: TransferTask
    parts: dict[str, np.ndarray]

    def __init__(self, settings: Settings, log: Callable[[str], None] = print):
        self.settings, self.log = settings, log
        self.runs: dict[str, list[Run]] = {}
        self.interrupted = False
        self.started = time.perf_counter()

    def run(self) -> dict:
        """Take all steps and return the results.

        If Ctrl-C or an error ends it early, the runs that have finished by then are saved and reported all the same; an error
        is then raised. Checkpoints of fine-tuning stay until it has finished.
        """
        make_writable(self.settings.out)
        folder = unfinished.begin(self.settings.out, self.settings.resume, self.settings.identity())
        finished = False
        try:
            results = self._all_steps()
            finished = not self.interrupted
        finally:
            unfinished.end(folder, finished)
        return results

    def _all_steps(self) -> dict:
        try:
            self.prepare()
            for number in range(self.settings.seeds or PRESETS[self.settings.mode].linear_seeds):
                self.run_seed(self.settings.first_seed + number)
        except KeyboardInterrupt:
            if not any(self.runs.values()):
                raise
            self.interrupted = True
        except BaseException:
            if any(self.runs.values()):
                self.interrupted = True
                self._save_after_error()
            raise
        return self.save()

    def prepare(self) -> None:
        """Open the pictures and the network, say what was found, and extract the codes."""
        self.task = prepare(self.settings, self.log)
        self.runs = {strategy: [] for strategy in self.task.strategies}

    def run_seed(self, seed: int) -> None:
        """All strategies on the split that this seed draws; fine-tuning, which takes longer, on the first seeds only."""
        self.parts = self.task.split(seed)
        for strategy in LINEAR_CLASSIFIERS:
            if strategy in self.runs:
                self.test(train_classifier(self.task, strategy, seed), seed)
        finetune_seeds = self.settings.seeds or self.task.preset.finetune_seeds
        if set(self.runs) - set(LINEAR_CLASSIFIERS) and seed < self.settings.first_seed + finetune_seeds:
            for trained in train_layers(self.task, seed, self.log):
                self.test(trained, seed)

    def test(self, trained: TrainedRun, seed: int) -> None:
        """Test a run by its scores of the test pictures, this once, and keep it."""
        test, pictures = self.parts["test"], self.task.pictures
        metrics = classification_metrics(pictures.labels[test], trained.test_scores, self.task.positive)
        record = {"seed": seed} | trained.record | trained.held_out.record(pictures.labels, self.task.is_uneven) | metrics
        record["mistakes"] = describe_mistakes(pictures, test, trained.test_scores)
        self.runs[trained.strategy].append(Run(record, trained.model))
        val, accuracy, balanced = 100 * validation_score(record)[0], 100 * record["accuracy"], record["balanced_accuracy"]
        kind = "balanced " if self.task.is_uneven else ""
        tested = f"test {accuracy:.1f} %" + (f", balanced {100 * balanced:.1f} %" if kind and balanced is not None else "")
        self.log(f"seed {seed}  {STRATEGIES[trained.strategy]:<34} validation {kind}{val:.1f} %   {tested}")

    def save(self) -> dict:
        """Write report and model; the model is the recommended strategy's run that did best on its validation part."""
        task = self.task
        results = results_of(
            settings=self.settings,
            model=task.model,
            pictures=task.pictures,
            augmentation=describe_augmentation(self.settings, task.augmentation),
            positive=task.positive,
            near_duplicates=task.near_duplicates,
            parts=self.parts,
            runs=self.runs,
            seconds=time.perf_counter() - self.started,
            interrupted=self.interrupted,
        )
        key = results["recommendation"]["key"]
        chosen = max(self.runs[key], key=lambda run: validation_score(run.record)[0])
        chosen.model.provenance = dict(chosen.model.provenance or {}) | {
            "transferred to": task.pictures.name,
            "strategy": STRATEGIES[key],
            "seed": chosen.record["seed"],
            "test accuracy": chosen.record["accuracy"],
        }
        results["novelty"] = prepare_rejection(task, key, chosen, self.log, self.interrupted)
        try:
            save_model(chosen.model, self.settings.out / results["model_file"])
            results["explorer"] = None if self.interrupted else write_page(task, key, chosen, self.log)
        finally:  # if the model does not fit on the disk, the results are written all the same
            write_report(results, self.settings.out, task.pictures)
        return results

    def _save_after_error(self) -> None:
        """Save what had finished; if that fails as well, say so, so that the first error is the one that is raised."""
        try:
            self.save()
        except Exception as error:
            self.log(f"stopped by an error; what had finished by then could not be saved: {error}")
        else:
            self.log(f"stopped by an error; what had finished by then is in {self.settings.out}")
