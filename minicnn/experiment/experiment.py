"""The main job: one pretrained network, one collection of pictures, several ways to transfer, an honest comparison.

The test part of each split is looked at once, when a strategy is finished. Every choice before that (regularisation, epoch,
which strategy to recommend, which run to keep) is made on the validation part.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ..cache import make_writable
from ..data.splits import split_pictures, stratified_subset
from ..inference.batches import infer
from ..linear_model.base import LinearClassifier, class_scores
from ..linear_model.calibration import calibrate
from ..linear_model.selection import choose_regularisation
from ..linear_model.softmax_regression import SoftmaxRegression
from ..linear_model.svm import LinearSVM
from ..models.model import Model, save_model
from ..training import History
from ..transfer.feature_bank import build_feature_bank
from ..transfer.features import extract_features
from ..transfer.finetune import Phase, fine_tune
from ..transfer.metrics import classification_metrics
from ..transfer.setup import set_up
from ..transfer.strategies import STRATEGIES, TRANSFERABLE
from ..transfer.surgery import UPPER_FROZEN, below_classifier, default_layer, freeze_point, set_head, with_new_head
from .presets import PRESETS, Settings
from .report import write_report
from .results import Run, describe_mistakes, results_of

LINEAR_CLASSIFIERS: dict[str, type[LinearClassifier]] = {"svm": LinearSVM, "softmax": SoftmaxRegression}
FINE_TUNING = ("finetune-upper", "finetune-more")


class Experiment:
    """The main job step by step; ``run()`` takes all steps.

    Parameters
    ----------
    settings : Settings
    log : function
        Is called with a line of text whenever there is progress to report.

    Attributes
    ----------
    preset : Preset
        How much work the mode does.
    runs : dict
        For each strategy the finished runs, one a seed.
    pictures : PictureSet
    base : Model
        The pretrained network with a new head; every run starts from a copy.
    codes : float32 (N, D)
        Of all pictures, at the layer below the new head.
    parts : dict
        Indices of the pictures in the "train", "val" and "test" part, as the current seed draws them.
    """

    def __init__(self, settings: Settings, log: Callable[[str], None] = print):
        self.settings, self.preset, self.log = settings, PRESETS[settings.mode], log
        self.runs: dict[str, list[Run]] = {key: [] for key in TRANSFERABLE if key in settings.strategies}
        self.started = time.perf_counter()
        self.interrupted = False

    def run(self) -> dict:
        """Take all steps and return the results.

        If Ctrl-C or an error ends it early, the runs that have finished by then are saved and reported all the same; an error
        is then raised.
        """
        make_writable(self.settings.out)
        try:
            self.prepare()
            for number in range(self.settings.seeds or self.preset.linear_seeds):
                self.run_seed(self.settings.first_seed + number)
        except BaseException as error:
            if not any(self.runs.values()):
                raise
            self.interrupted = True
            if not isinstance(error, KeyboardInterrupt):
                self.save()
                self.log(f"stopped by an error; what had finished by then is in {self.settings.out}")
                raise
        return self.save()

    # ---- once: pictures, network, codes

    def prepare(self) -> None:
        """Open the pictures and the network, fit the pictures to its input, and extract their codes."""
        settings, preset = self.settings, self.preset
        model, pictures, augmentation = set_up(settings.data, settings.model)
        self.augmentation = replace(augmentation, quarter_turns=augmentation.quarter_turns and preset.quarter_turns)
        if preset.pictures and len(pictures) > preset.pictures:
            note = f"{settings.mode} mode: {preset.pictures} of the {len(pictures)} pictures, drawn at random within each class"
            pictures = stratified_subset(pictures, preset.pictures)
            pictures.notes.append(note)
        self.log(f"{len(pictures)} pictures of {len(pictures.classes)} classes: {pictures.name}")

        fitted, self.pictures = pictures.fitted(model.preprocessing, settings.progress)
        self.fitted_at = {model.preprocessing.size: fitted}
        layer = settings.layer or default_layer(model)
        self.base = with_new_head(model, layer, self.pictures.classes)

        started = time.perf_counter()
        self.codes = extract_features(model, fitted, layer, progress=settings.progress)
        self.codes_seconds = time.perf_counter() - started
        self.log(
            f"CNN codes at '{layer}': {self.codes.shape[1]} numbers a picture, "
            f"{len(self.codes)} pictures in {self.codes_seconds:.1f} s ({len(self.codes) / self.codes_seconds:.0f} a second)"
        )

    def fitted_for(self, model: Model) -> np.ndarray:
        """All pictures at this network's input size, uint8 (N, H, W, C)."""
        size = model.preprocessing.size
        if size not in self.fitted_at:
            self.fitted_at[size], _ = self.pictures.fitted(model.preprocessing, self.settings.progress)
        return self.fitted_at[size]

    # ---- for each seed: train, choose, test

    def run_seed(self, seed: int) -> None:
        """All strategies on the split that this seed draws; fine-tuning, which takes longer, on the first seeds only."""
        self.parts = split_pictures(self.pictures, seed)
        for key, classifier in LINEAR_CLASSIFIERS.items():
            if key in self.runs:
                self.train_classifier(key, classifier, seed)
        finetune_seeds = self.settings.seeds or self.preset.finetune_seeds
        if seed < self.settings.first_seed + finetune_seeds and any(key in self.runs for key in FINE_TUNING):
            self.train_layers(seed)

    def train_classifier(self, key: str, classifier: type[LinearClassifier], seed: int) -> None:
        """A linear classifier on the codes; its network is the pretrained one with the classifier as its head."""
        y, (train, val, test) = self.pictures.labels, self.parts.values()
        started = time.perf_counter()
        choice = choose_regularisation(classifier, self.codes[train], y[train], self.codes[val], y[val])
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
        scores = scale * class_scores(choice.final.decision_function(self.codes[test]))
        self.finish(key, seed, model, scores, record)

    def train_layers(self, seed: int) -> None:
        """Fine-tuning: a new head is trained together with the upper layers, and then, starting from there, with more layers.

        Each of the two phases is a strategy of its own. In the full mode a last phase, without validation, follows the second.
        """
        train, val, test = self.parts.values()
        model = self.base.copy()
        model.replace_head(self.pictures.classes, rng=seed)
        if self.preset.test_time_views:
            model.preprocessing = replace(model.preprocessing, symmetry=self.augmentation.symmetry)
        x_train, x_val = self.fitted_for(model)[train], self.fitted_for(model)[val]
        y_train, y_val = self.pictures.targets[train], self.pictures.labels[val]
        options = {"augmentation": self.augmentation, "seed": seed, "progress": self.settings.progress}

        # one feature bank for both phases, at the layer up to which both are frozen
        phases = self.phases(model)
        banked = [phase for phase in phases.values() if phase.views]
        views, started = max(phase.views for phase in banked), time.perf_counter()
        bank = build_feature_bank(model, banked[-1].freeze_until, views, x_train, x_val, **options)
        seconds = time.perf_counter() - started

        finished: list[dict] = []
        for key, phase in phases.items():
            started = time.perf_counter()
            history = fine_tune(model, phase, (x_train, y_train), (x_val, y_val), **options, bank=bank)
            seconds += time.perf_counter() - started
            finished.append(phase.record(history))
            if key in self.runs and history.best:
                val_accuracy = history.best["val_accuracy"]
                if self.preset.test_time_views:
                    val_accuracy = float(np.mean(self.scores(model, x_val, "validation").argmax(1) == y_val))
                if key == "finetune-more" and self.preset.final and not history.interrupted:
                    # it learns from the validation pictures too: the accuracy on them is that of before
                    started = time.perf_counter()
                    final, history = self.train_finally(model, phase.freeze_until, seed)
                    finished.append(final.record(history))
                    seconds += time.perf_counter() - started
                record = {"val_accuracy": val_accuracy, "seconds": seconds, "phases": list(finished)}
                x_test = self.fitted_for(model)[test]
                self.finish(key, seed, model.copy(), self.scores(model, x_test, "test"), record)
            if history.interrupted:
                raise KeyboardInterrupt

    def phases(self, model: Model) -> dict[str, Phase]:
        """The phases of fine-tuning by strategy: "finetune-more" begins with that of "finetune-upper", asked for or not."""
        stages = {
            "finetune-upper": (self.preset.upper, UPPER_FROZEN),
            "finetune-more": (self.preset.more, self.preset.frozen),
        }
        if "finetune-more" not in self.runs:
            del stages["finetune-more"]
        return {
            key: Phase(
                STRATEGIES[key],
                freeze_until=freeze_point(model, frozen),
                epochs=self.settings.epochs or stage.epochs,
                learning_rate=stage.learning_rate,
                views=stage.views,
            )
            for key, (stage, frozen) in stages.items()
        }

    def train_finally(self, model: Model, freeze_until: str, seed: int) -> tuple[Phase, History]:
        """Train further, on training and validation pictures together and at a larger size, which the model then keeps."""
        epochs, learning_rate, scale = self.preset.final
        title, larger = "on validation pictures too", model.preprocessing.scaled(scale)
        if accepts(model, larger.size):
            model.preprocessing, model.input_shape = larger, (model.input_shape[0], *larger.size)
            title += ", {}x{}".format(*larger.size)
        else:
            self.log(f"{model.architecture} takes pictures of one size only: they stay as they are in the last phase")
        phase = Phase(title, freeze_until, self.settings.epochs or epochs, learning_rate, views=0)
        learning = np.r_[self.parts["train"], self.parts["val"]]
        pictures = self.fitted_for(model)[learning], self.pictures.targets[learning]
        return phase, fine_tune(model, phase, pictures, None, self.augmentation, seed=seed, progress=self.settings.progress)

    def scores(self, model: Model, pictures: np.ndarray, label: str) -> np.ndarray:
        """The network's scores (N, classes) of pictures as ``PictureSet.fitted`` gives them."""
        network, preprocessing = model.fuse(), model.preprocessing
        return infer(
            network,
            len(pictures),
            lambda i: preprocessing.normalise(pictures[i]),
            label=label if self.settings.progress else None,
            views=preprocessing.test_time_views,
        )

    def finish(self, key: str, seed: int, model: Model, scores: np.ndarray, record: dict) -> None:
        """Test a finished run by its scores (N, classes) of the test pictures, this once, and keep it."""
        test = self.parts["test"]
        record = {"seed": seed} | record | classification_metrics(self.pictures.labels[test], scores)
        record["mistakes"] = describe_mistakes(self.pictures, test, scores)
        self.runs[key].append(Run(record, model))
        val, accuracy = 100 * record["val_accuracy"], 100 * record["accuracy"]
        self.log(f"seed {seed}  {STRATEGIES[key]:<34} validation {val:.1f} %   test {accuracy:.1f} %")

    # ---- at the end: the report and the model

    def save(self) -> dict:
        """Write report and model; the model is the recommended strategy's run that did best on its validation part."""
        results = results_of(
            settings=self.settings,
            model=self.base,
            pictures=self.pictures,
            augmentation=self.augmentation,
            parts=self.parts,
            runs=self.runs,
            seconds=time.perf_counter() - self.started,
            interrupted=self.interrupted,
        )
        key = results["recommendation"]["key"]
        chosen = max(self.runs[key], key=lambda run: run.record["val_accuracy"])
        chosen.model.provenance = dict(chosen.model.provenance or {}) | {
            "transferred to": self.pictures.name,
            "strategy": STRATEGIES[key],
            "seed": chosen.record["seed"],
            "test accuracy": chosen.record["accuracy"],
        }
        try:
            save_model(chosen.model, self.settings.out / results["model_file"])
        finally:  # if the model does not fit on the disk, the results are written all the same
            write_report(results, self.settings.out, self.pictures)
        return results


def accepts(model: Model, size: tuple[int, int]) -> bool:
    """Whether the network gives scores for pictures of this size as well; with a Flatten in it, it does not."""
    try:
        return len(model.output_shape((1, model.input_shape[0], *size))) == 2
    except ValueError:
        return False
