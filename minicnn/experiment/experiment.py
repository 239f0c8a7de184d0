"""The main job: one pretrained network, one collection of pictures, several ways to transfer, an honest comparison.

The test part of each split is looked at once, when a strategy is finished. Every choice before that (regularisation, epoch,
which strategy to recommend, which run to keep) is made on the validation part.
"""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from ..cache import make_writable
from ..data.augmentation import parse_augmentation
from ..data.findings import findings_table, named
from ..data.splits import split_pictures, stratified_subset
from ..inference.batches import infer
from ..linear_model.base import LinearClassifier, balanced_weights, class_scores
from ..linear_model.calibration import calibrate
from ..linear_model.selection import choose_regularisation
from ..linear_model.softmax_regression import SoftmaxRegression
from ..linear_model.svm import LinearSVM
from ..losses import SoftmaxCrossEntropy
from ..models.model import Model, save_model
from ..training import History
from ..transfer.feature_bank import build_feature_bank
from ..transfer.features import extract_features
from ..transfer.finetune import Phase, fine_tune
from ..transfer.metrics import are_uneven, classification_metrics, confusion_matrix
from ..transfer.mirrored import compare_mirrored
from ..transfer.near_duplicates import NearDuplicates, find_near_duplicates, grouped
from ..transfer.novelty import codes_of, fit_novelty, left_out_classes
from ..transfer.setup import set_up
from ..transfer.strategies import STRATEGIES, TRANSFERABLE
from ..transfer.surgery import UPPER_FROZEN, below_classifier, default_layer, freeze_point, set_head, with_new_head
from .presets import PRESETS, Settings
from .report import write_report
from .results import Run, describe_mistakes, results_of, validation_score
from .table import COLUMNS

LINEAR_CLASSIFIERS: dict[str, type[LinearClassifier]] = {"svm": LinearSVM, "softmax": SoftmaxRegression}
FEW_TESTED = 5  # pictures of a class; one more or less that is recognised is then 20 points and more
FINE_TUNING = ("finetune-upper", "finetune-more")


class Selection:
    """Some of the pictures, in memory only while they are used: ``selection[i]`` is ``pictures[indices[i]]``."""

    def __init__(self, pictures: np.ndarray, indices: np.ndarray):
        self.pictures, self.indices = pictures, indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, key: int | slice | np.ndarray) -> np.ndarray:
        return self.pictures[self.indices[key]]


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
    is_uneven : bool
        Whether some class has far more pictures than another one; what is best is then chosen by balanced accuracy.
    positive : int or None
        The class whose F1 is reported; None: the mean over all classes.
    near_duplicates : NearDuplicates
        Pairs of pictures that are nearly the same.
    """

    def __init__(self, settings: Settings, log: Callable[[str], None] = print):
        self.settings, self.preset, self.log = settings, PRESETS[settings.mode], log
        self.runs: dict[str, list[Run]] = {key: [] for key in TRANSFERABLE if key in settings.strategies}
        self.started = time.perf_counter()
        self.interrupted = False
        self.near_duplicates = NearDuplicates()

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
        model, pictures, augmentation = set_up(settings.data, settings.model, settings.out)
        augmentation = replace(augmentation, quarter_turns=augmentation.quarter_turns and preset.quarter_turns)
        if settings.augment is not None:
            augmentation = parse_augmentation(settings.augment)
        self.augmentation = augmentation if settings.flips else augmentation.without_flips()
        if preset.pictures:
            pictures = stratified_subset(pictures, preset.pictures)
        self.pictures = pictures
        self.say_what_was_found()

        known = len(pictures.findings.left_out)
        fitted, self.pictures = pictures.fitted(model.preprocessing, settings.progress)
        for note in self.pictures.findings.left_out[known:]:
            self.say(f"left out: {note}")
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
        # each solar cell was photographed once, and mirrored it is as functional as before
        if settings.data is not None or settings.group_duplicates:
            self.look_for_duplicates(fitted)
        if settings.data is not None and any(key in self.runs for key in FINE_TUNING):
            self.look_at_flips(model, fitted)

    def say_what_was_found(self) -> None:
        """Classes with their counts in each part, what was left out and assumed: before anything is computed."""
        pictures, settings = self.pictures, self.settings
        parts = split_pictures(pictures, settings.first_seed)
        counts = np.bincount(pictures.labels, minlength=len(pictures.classes))
        self.is_uneven = are_uneven(counts)
        self.positive = positive_class(pictures.classes, counts, settings.positive)
        notes = pictures.findings.notes
        for part, purpose, effect in (
            ("test", "test", "no number in the results speaks of them"),
            ("val", "validate", "they have no say in what is chosen"),
        ):
            missing = np.setdiff1d(np.arange(len(counts)), pictures.labels[parts[part]])
            if len(missing):
                names = named([repr(pictures.classes[k]) for k in missing])
                notes.append(f"{len(missing)} of {len(counts)} classes have no pictures to {purpose}: {names}; {effect}")
        tested = np.bincount(pictures.labels[parts["test"]], minlength=len(counts))
        if len(few := np.flatnonzero((tested > 0) & (tested < FEW_TESTED))):
            names = named([f"{pictures.classes[k]!r} ({tested[k]})" for k in few])
            notes.append(f"fewer than {FEW_TESTED} test pictures of {names}: how well they are recognised is hardly measured")
        if self.is_uneven:
            how = "each class has the same say (--balance)" if settings.balance else "--balance gives each class the same say"
            notes.append(
                f"the classes are uneven, {counts[counts > 0].min()} to {counts.max()} pictures: strategies are compared by "
                f"balanced accuracy, the mean over classes of the share that is recognised; {how}"
            )
        if self.positive is not None:
            other = "" if settings.positive else "; --positive NAME chooses another one"
            notes.append(f"F1 is of the class {pictures.classes[self.positive]!r}{other}")
        self.log(f"{len(pictures)} pictures of {len(counts)} classes: {pictures.name}")
        self.log(findings_table(pictures, parts))
        self.say(f"augmentation of training pictures: {self.described_augmentation()}")

    def say(self, text: str) -> None:
        """Log a sentence in lines that fit a terminal."""
        self.log(textwrap.fill(text, COLUMNS, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False))

    def described_augmentation(self) -> str:
        """How training pictures are varied; linear classifiers, and the quick mode, take them as they are."""
        if not any(key in self.runs for key in FINE_TUNING):
            return "none, as only linear classifiers are trained"
        if self.preset.upper.views == self.preset.more.views == 1:
            return f"none in the {self.settings.mode} mode"
        return self.augmentation.describe()

    def look_for_duplicates(self, fitted: np.ndarray) -> None:
        """Say how many test or validation pictures are nearly the same as others in another part."""
        self.near_duplicates = find_near_duplicates(self.codes, fitted)
        if not len(self.near_duplicates.pairs):
            return
        parts = self.split(self.settings.first_seed)
        note = self.near_duplicates.sentence(self.pictures, parts, self.settings.group_duplicates)
        self.pictures.findings.notes.append(note)
        self.say(f"note: {note}")

    def look_at_flips(self, model: Model, fitted: np.ndarray) -> None:
        """Leave flips out where mirrored pictures look like another class; if they were asked for, say so only."""
        if not self.augmentation.horizontal_flip:
            return
        parts = self.split(self.settings.first_seed)
        among = np.r_[parts["train"], parts["val"]]
        found = compare_mirrored(model, fitted, self.pictures.labels, among, self.pictures.classes)
        if found is None or not found.looks_like_another_class:
            return
        if self.settings.augment is None:
            self.augmentation = self.augmentation.without_flips()
            outcome = "so training pictures are not mirrored (--augment flip,... would mirror them all the same)"
        else:
            outcome = "they are mirrored, as --augment says; --no-flip leaves that out"
        note = f"{found.sentence()}: {outcome}"
        self.pictures.findings.notes.append(note)
        self.say(f"note: {note}")

    def split(self, seed: int) -> dict[str, np.ndarray]:
        """The parts that this seed draws; with ``group_duplicates``, pictures that are nearly the same are in one part."""
        parts = split_pictures(self.pictures, seed)
        return grouped(parts, self.near_duplicates.pairs) if self.settings.group_duplicates else parts

    def fitted_for(self, model: Model) -> np.ndarray:
        """All pictures at this network's input size, uint8 (N, H, W, C)."""
        size = model.preprocessing.size
        if size not in self.fitted_at:
            self.fitted_at[size], _ = self.pictures.fitted(model.preprocessing, self.settings.progress)
        return self.fitted_at[size]

    # ---- for each seed: train, choose, test

    def run_seed(self, seed: int) -> None:
        """All strategies on the split that this seed draws; fine-tuning, which takes longer, on the first seeds only."""
        self.parts = self.split(seed)
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
        make = partial(classifier, class_weight="balanced") if self.settings.balance else classifier
        x, x_val = self.codes[train], self.codes[val]
        choice = choose_regularisation(make, x, y[train], x_val, y[val], balanced=self.is_uneven)
        scale = calibrate(choice.fitted, x_val, y[val])
        model = self.base.copy()
        set_head(model, choice.final, scale)
        model.freeze(until=below_classifier(model)[-1])
        record = {
            "val_accuracy": choice.point.val_accuracy,
            "seconds": self.codes_seconds + time.perf_counter() - started,
            "chosen_regularisation": choice.point.regularisation,
            "regularisation_path": [vars(point) for point in choice.path],
        }
        if self.is_uneven:
            predicted = choice.fitted.predict(x_val)
            record["val_confusion"] = confusion_matrix(y[val], predicted, len(self.pictures.classes)).tolist()
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
        x_train, x_val = Selection(self.fitted_for(model), train), Selection(self.fitted_for(model), val)
        y_train, y_val = self.pictures.targets[train], self.pictures.labels[val]
        options = {"augmentation": self.augmentation, "seed": seed, "progress": self.settings.progress}

        # one feature bank for all phases that have views, at the layer up to which the last of them is frozen
        phases = self.phases(model)
        banked = [phase for phase in phases.values() if phase.views]
        views, started = max(phase.views for phase in banked), time.perf_counter()
        bank = build_feature_bank(model, banked[-1].freeze_until, views, x_train, x_val, **options)
        seconds = time.perf_counter() - started

        phase_records: list[dict] = []
        for key, phase in phases.items():
            started = time.perf_counter()
            history = fine_tune(model, phase, (x_train, y_train), (x_val, y_val), **options, bank=bank, loss=self.loss(phase))
            seconds += time.perf_counter() - started
            phase_records.append(phase.record(history))
            if key in self.runs and history.best:
                val_accuracy, val_confusion = history.best["val_accuracy"], {}
                if self.preset.test_time_views or self.is_uneven:
                    predicted = self.scores(model, x_val, "validation").argmax(1)
                    val_accuracy = float(np.mean(predicted == y_val))
                if self.is_uneven:
                    confusion = confusion_matrix(y_val, predicted, len(self.pictures.classes))
                    val_confusion = {"val_confusion": confusion.tolist()}
                if key == "finetune-more" and self.preset.final and not history.interrupted:
                    # it learns from the validation pictures too: val_accuracy stays the one measured before
                    started = time.perf_counter()
                    final, history = self.train_finally(model, phase.freeze_until, seed)
                    phase_records.append(final.record(history))
                    seconds += time.perf_counter() - started
                record = {"val_accuracy": val_accuracy, **val_confusion, "seconds": seconds, "phases": list(phase_records)}
                x_test = Selection(self.fitted_for(model), test)
                self.finish(key, seed, model.copy(), self.scores(model, x_test, "test"), record)
            if history.interrupted:
                raise KeyboardInterrupt

    def loss(self, phase: Phase) -> SoftmaxCrossEntropy:
        """The loss of fine-tuning: with ``balance``, small classes count more."""
        counts = np.bincount(self.pictures.labels[self.parts["train"]], minlength=len(self.pictures.classes))
        return SoftmaxCrossEntropy(phase.label_smoothing, balanced_weights(counts) if self.settings.balance else None)

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
        pictures = Selection(self.fitted_for(model), learning), self.pictures.targets[learning]
        options = {"seed": seed, "progress": self.settings.progress, "loss": self.loss(phase)}
        return phase, fine_tune(model, phase, pictures, None, self.augmentation, **options)

    def scores(self, model: Model, pictures: Selection, label: str) -> np.ndarray:
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
        record = {"seed": seed} | record | classification_metrics(self.pictures.labels[test], scores, self.positive)
        record["mistakes"] = describe_mistakes(self.pictures, test, scores)
        self.runs[key].append(Run(record, model))
        val, accuracy, balanced = 100 * validation_score(record)[0], 100 * record["accuracy"], record["balanced_accuracy"]
        kind = "balanced " if self.is_uneven else ""
        tested = f"test {accuracy:.1f} %" + (f", balanced {100 * balanced:.1f} %" if kind and balanced is not None else "")
        self.log(f"seed {seed}  {STRATEGIES[key]:<34} validation {kind}{val:.1f} %   {tested}")

    # ---- at the end: the report and the model

    def save(self) -> dict:
        """Write report and model; the model is the recommended strategy's run that did best on its validation part."""
        results = results_of(
            settings=self.settings,
            model=self.base,
            pictures=self.pictures,
            augmentation=self.described_augmentation(),
            positive=self.positive,
            near_duplicates=self.near_duplicates,
            parts=self.parts,
            runs=self.runs,
            seconds=time.perf_counter() - self.started,
            interrupted=self.interrupted,
        )
        key = results["recommendation"]["key"]
        chosen = max(self.runs[key], key=lambda run: validation_score(run.record)[0])
        chosen.model.provenance = dict(chosen.model.provenance or {}) | {
            "transferred to": self.pictures.name,
            "strategy": STRATEGIES[key],
            "seed": chosen.record["seed"],
            "test accuracy": chosen.record["accuracy"],
        }
        results["novelty"] = self.fit_novelty(key, chosen)
        try:
            save_model(chosen.model, self.settings.out / results["model_file"])
        finally:  # if the model does not fit on the disk, the results are written all the same
            write_report(results, self.settings.out, self.pictures)
        return results

    def fit_novelty(self, key: str, run: Run) -> dict | None:
        """Give a run's model what ``minicnn predict --reject`` needs, and measure on the test part what that is worth.

        The full mode's last phase has drawn the codes of the validation pictures together: the share of test pictures that is
        rejected may then be greater than expected. Fine-tuned networks are run over the pictures once more for all this, but
        not after an interruption; one that comes meanwhile ends this alone.
        """
        model, labels, parts = run.model, self.pictures.labels, self.split(run.record["seed"])
        if key in LINEAR_CLASSIFIERS:
            codes = {part: self.codes[rows] for part, rows in parts.items()}
        else:
            label = "codes for --reject" if self.settings.progress else None
            try:
                if self.interrupted:
                    raise KeyboardInterrupt
                codes = {part: codes_of(model, self.fitted_for(model), rows, label) for part, rows in parts.items()}
            except KeyboardInterrupt:
                self.log("stopped before minicnn predict --reject was prepared: the model answers every picture with a class")
                return None
        detector = model.novelty = fit_novelty(
            model, codes["train"], labels[parts["train"]], codes["val"], cross_fit=key in LINEAR_CLASSIFIERS
        )
        strangers = left_out_classes(self.base, self.codes, labels, parts)
        measured = {
            "expected_rejected": detector.rejected,
            "test_rejected": float(np.mean(detector.excess(codes["test"]) > 1)),
            "left_out_classes": {self.pictures.classes[k]: share for k, share in strangers.items()},
        }
        model.provenance["test pictures rejected"] = measured["test_rejected"]
        caught = f", and {100 * np.mean(list(strangers.values())):.0f} % of a class it was not shown" if strangers else ""
        self.log(f"minicnn predict --reject turns away {100 * measured['test_rejected']:.1f} % of the test pictures{caught}")
        return measured


def positive_class(classes: Sequence[str], counts: np.ndarray, name: str | None) -> int | None:
    """The number of the class whose F1 is reported, None for the mean over all.

    Of two classes it is the one that was named, else the smaller one if they are uneven, else the second.

    Raises
    ------
    ValueError
        For a name that no class has.
    """
    if name is not None:
        if name not in classes:
            raise ValueError(f"--positive {name}: there is no such class; the classes are {named(classes, 20)}")
        return list(classes).index(name)
    if len(classes) != 2:
        return None
    return int(np.argmin(counts)) if are_uneven(counts) else 1


def accepts(model: Model, size: tuple[int, int]) -> bool:
    """Whether the network gives scores for pictures of this size as well; with a Flatten in it, it does not."""
    try:
        return len(model.output_shape((1, model.input_shape[0], *size))) == 2
    except ValueError:
        return False
