"""The main job: one pretrained network, one collection of pictures, several ways to transfer, an honest comparison.

The test part of each split is looked at once, when a strategy is finished. Every choice before that (regularisation, epoch,
which strategy to recommend, which run to keep) is made on the validation part.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ..cache import make_writable
from ..data.splits import some_of, split_pictures
from ..inference.batches import infer
from ..linear_model.base import LinearClassifier
from ..linear_model.calibration import calibrate
from ..linear_model.selection import choose_regularisation
from ..linear_model.softmax_regression import SoftmaxRegression
from ..linear_model.svm import LinearSVM
from ..models.model import Model
from ..models.store import save_model
from ..training import History
from ..transfer.feature_bank import build_feature_bank
from ..transfer.features import extract_features
from ..transfer.finetune import Phase, fine_tune
from ..transfer.metrics import confident_mistakes, measure
from ..transfer.setup import open_job
from ..transfer.surgery import UPPER_FROZEN, below_classifier, default_layer, freeze_point, set_head, with_new_head
from .presets import PRESETS, STRATEGIES, Settings
from .report import write_report
from .results import results_of


@dataclass
class Run:
    """One strategy on one split: what the report says about it, and the network it left."""

    record: dict
    model: Model


class Experiment:
    """The main job step by step; ``run()`` takes all of them. Progress is told in lines given to ``say``."""

    def __init__(self, settings: Settings, say: Callable[[str], None] = print):
        self.settings, self.effort, self.say = settings, PRESETS[settings.mode], say
        self.runs: dict[str, list[Run]] = {key: [] for key in STRATEGIES if key in settings.strategies}
        self.started = time.perf_counter()
        self.interrupted = False

    def run(self) -> dict:
        """Everything; returns the results. Ctrl-C ends it early: what is finished by then is saved and reported.

        So it is when something goes wrong in the middle, before the error goes on to the caller.
        """
        make_writable(self.settings.out)
        try:
            self.prepare()
            for number in range(self.settings.seeds or self.effort.linear_seeds):
                self.run_seed(self.settings.first_seed + number)
        except BaseException as error:
            if not any(self.runs.values()):
                raise
            self.interrupted = True
            if not isinstance(error, KeyboardInterrupt):
                self.save()
                self.say(f"stopped by an error; what had finished by then is in {self.settings.out}")
                raise
        return self.save()

    def prepare(self) -> None:
        """Open pictures and network, fit the pictures to its input, compute the codes."""
        settings, mode = self.settings, self.effort
        model, pictures, augmentation = open_job(settings.data, settings.model)
        self.augmentation = replace(augmentation, quarter_turns=augmentation.quarter_turns and mode.quarter_turns)
        if mode.pictures and len(pictures) > mode.pictures:
            note = f"{settings.mode} mode: {mode.pictures} of the {len(pictures)} pictures, drawn at random within each class"
            pictures = some_of(pictures, mode.pictures)
            pictures.notes.append(note)
        self.say(f"{len(pictures)} pictures of {len(pictures.classes)} classes: {pictures.name}")

        fitted, self.pictures = pictures.fitted(model.preprocessing, settings.progress)
        self.fitted_at = {model.preprocessing.size: fitted}
        layer = settings.layer or default_layer(model)
        self.base = with_new_head(model, layer, self.pictures.classes)
        started = time.perf_counter()
        self.codes = extract_features(model, fitted, layer, progress=settings.progress)
        self.codes_seconds = time.perf_counter() - started
        self.say(
            f"CNN codes at '{layer}': {self.codes.shape[1]} numbers a picture, "
            f"{len(self.codes)} pictures in {self.codes_seconds:.1f} s ({len(self.codes) / self.codes_seconds:.0f} a second)"
        )

    def run_seed(self, seed: int) -> None:
        """All strategies on the split that this seed draws."""
        self.parts = split_pictures(self.pictures, seed)
        for key, kind in (("svm", LinearSVM), ("softmax", SoftmaxRegression)):
            if key in self.runs:
                self.linear(key, kind, seed)
        tuned = self.settings.first_seed + (self.settings.seeds or self.effort.finetune_seeds)
        if seed < tuned and any("finetune" in key for key in self.runs):
            self.fine_tuning(seed)

    def linear(self, key: str, kind: type[LinearClassifier], seed: int) -> None:
        """A linear classifier on the codes; its network is the pretrained one with the classifier as its head."""
        y, (train, val, test) = self.pictures.labels, self.parts.values()
        started = time.perf_counter()
        choice = choose_regularisation(kind, self.codes[train], y[train], self.codes[val], y[val])
        scale = calibrate(choice.fitted, self.codes[val], y[val])
        model = self.base.copy()
        set_head(model, choice.final, scale)
        model.freeze(until=below_classifier(model)[-1])
        record = {
            "val_accuracy": choice.point.val_accuracy,
            "seconds": self.codes_seconds + time.perf_counter() - started,
            "chosen_regularisation": choice.point.regularisation,
            "regularisation_path": [vars(point) for point in choice.path],
        }
        self.finish(key, seed, model, scale * choice.final.scores(self.codes[test]), record)

    def fine_tuning(self, seed: int) -> None:
        """A new head, trained together with the upper layers; then more layers, from there on."""
        train, val, test = self.parts.values()
        x_train, x_val = (self.fitted_for(self.base)[part] for part in (train, val))
        y_train, y_val = self.pictures.targets[train], self.pictures.labels[val]
        model = self.base.copy()
        model.replace_head(self.pictures.classes, rng=seed)
        if self.effort.all_versions:
            model.preprocessing = replace(model.preprocessing, symmetry=self.augmentation.symmetry)
        phases, seconds = [], 0.0
        upper, more = freeze_point(model, UPPER_FROZEN), freeze_point(model, self.effort.frozen)
        plan = {"finetune-upper": (upper, *self.effort.upper), "finetune-more": (more, *self.effort.more)}
        if "finetune-more" not in self.runs:
            del plan["finetune-more"]
        banked = [(layer, views) for layer, _, views, _ in plan.values() if views]
        started = time.perf_counter()
        how = self.augmentation, seed, self.settings.progress
        bank = build_feature_bank(model, banked[-1][0], max(views for _, views in banked), x_train, x_val, *how)
        seconds += time.perf_counter() - started
        for key, (freeze_until, epochs, views, learning_rate) in plan.items():
            phase = Phase(STRATEGIES[key], freeze_until, self.settings.epochs or epochs, learning_rate, views=views)
            started = time.perf_counter()
            history = fine_tune(model, phase, (x_train, y_train), (x_val, y_val), *how, bank)
            seconds += time.perf_counter() - started
            phases.append(phase.record(history))
            if key in self.runs and history.best:
                val_accuracy = history.best["val_accuracy"]
                if self.effort.all_versions:
                    val_accuracy = float(np.mean(self.scores(model, x_val, "validation").argmax(1) == y_val))
                if key == "finetune-more" and self.effort.final and not history.interrupted:
                    started = time.perf_counter()
                    phase, history = self.final_phase(model, more, seed)
                    phases.append(phase.record(history))
                    seconds += time.perf_counter() - started
                record = {"val_accuracy": val_accuracy, "seconds": seconds, "phases": list(phases)}
                x_test = self.fitted_for(model)[test]
                self.finish(key, seed, model.copy(), self.scores(model, x_test, "test"), record)
            if history.interrupted:
                raise KeyboardInterrupt

    def final_phase(self, model: Model, freeze_until: str, seed: int) -> tuple[Phase, History]:
        """Go on with training and validation pictures together, and with larger ones; the model wants such from then on."""
        epochs, learning_rate, scale = self.effort.final
        title, larger = "on validation pictures too", model.preprocessing.scaled(scale)
        if takes(model, larger.size):
            model.preprocessing, model.input_shape = larger, (model.input_shape[0], *larger.size)
            title += ", {}x{}".format(*larger.size)
        else:
            self.say(f"{model.architecture} takes pictures of one size only: they stay as they are in the last phase")
        phase = Phase(title, freeze_until, self.settings.epochs or epochs, learning_rate, views=0)
        learning = np.r_[self.parts["train"], self.parts["val"]]
        pictures = self.fitted_for(model)[learning], self.pictures.targets[learning]
        return phase, fine_tune(model, phase, pictures, None, self.augmentation, seed, self.settings.progress)

    def fitted_for(self, model: Model) -> np.ndarray:
        """All pictures at the size that this network wants, uint8 (N, H, W, C)."""
        size = model.preprocessing.size
        if size not in self.fitted_at:
            self.fitted_at[size], _ = self.pictures.fitted(model.preprocessing, self.settings.progress)
        return self.fitted_at[size]

    def scores(self, model: Model, pictures: np.ndarray, label: str) -> np.ndarray:
        """The network's scores (N, classes) of pictures as ``PictureSet.fitted`` gives them."""
        fused, how = model.fuse(), model.preprocessing
        label = label if self.settings.progress else None
        return infer(fused, len(pictures), lambda i: how.normalise(pictures[i]), label=label, versions=how.versions)

    def finish(self, key: str, seed: int, model: Model, scores: np.ndarray, record: dict) -> None:
        """Test a finished run, this once, and keep it."""
        test = self.parts["test"]
        record = {"seed": seed} | record | measure(self.pictures.labels[test], scores)
        record["mistakes"] = confident_mistakes(self.pictures, test, scores)
        self.runs[key].append(Run(record, model))
        val, accuracy = 100 * record["val_accuracy"], 100 * record["accuracy"]
        self.say(f"seed {seed}  {STRATEGIES[key]:<34} validation {val:.1f} %   test {accuracy:.1f} %")

    def save(self) -> dict:
        """Write report and model; the model is the recommended strategy's run that did best on its validation part."""
        results = results_of(self, STRATEGIES)
        runs = self.runs[results["recommendation"]["key"]]
        chosen = max(runs, key=lambda run: run.record["val_accuracy"])
        chosen.model.provenance = dict(chosen.model.provenance or {}) | {
            "transferred to": self.pictures.name,
            "strategy": STRATEGIES[results["recommendation"]["key"]],
            "seed": chosen.record["seed"],
            "test accuracy": chosen.record["accuracy"],
        }
        try:
            save_model(chosen.model, self.settings.out / results["model_file"])
        finally:  # a model that does not fit on the disk must not take the results with it
            write_report(results, self.settings.out, self.pictures)
        return results


def takes(model: Model, size: tuple[int, int]) -> bool:
    """Whether a network gives scores for pictures of this size, too; with a Flatten in it, it does not."""
    try:
        return len(model.output_shape((1, model.input_shape[0], *size))) == 2
    except ValueError:
        return False
