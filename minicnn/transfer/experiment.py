"""The main job: one pretrained network, one collection of pictures, several ways to transfer, an honest comparison.

The test part of each split is looked at once, when a strategy is finished. Every choice before that (regularisation, epoch,
which strategy to recommend, which run to keep) is made on the validation part.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..data.picture_set import PictureSet
from ..data.splits import stratified_split
from ..errors import DataError
from ..inference import infer
from ..models.model import Model
from ..pretrained.store import save_model
from ..training import History
from .codes import below_classifier, default_layer, extract_features
from .finetune import MORE_FROZEN, UPPER_FROZEN, Phase, fine_tune, freeze_point, set_head, view_bank, with_new_head
from .linear import LinearClassifier, LinearSVM, SoftmaxRegression, calibrate, choose_regularisation
from .measures import confident_mistakes, measure
from .opening import open_job
from .report import write_report
from .results import results_of

TEST_FRACTION = 0.25  # of all pictures: Deitsch et al. 2019 train on 1,968 solar cells and test on 656
VAL_FRACTION = 0.15  # of the pictures that are not for testing

# From cheap to dear: of those that are about equally good, the first is recommended.
STRATEGIES = {
    "svm": "linear SVM on CNN codes",
    "softmax": "softmax classifier on CNN codes",
    "finetune-upper": "fine-tune the upper layers",
    "finetune-more": "then fine-tune more layers",
}


@dataclass(frozen=True)
class Effort:
    """How much work a mode does: seeds, and (epochs, views of each picture, learning rate of the head) for the two phases of
    fine-tuning. A single epoch of the second phase can only refine what the first has found, with a lower rate; ten can
    afford to leave it and find something better. ``frozen`` is the share of the multiply-adds that stays frozen from the second
    phase on. With so many epochs a fixed number of views is learned by heart (95 % of the training cells right, and validation
    stands still), so there each picture is varied anew each time (0 views).

    Only the full mode turns cells by quarters: that a turned cell is still a cell takes more than a few epochs to learn, and in
    four of them it costs more than it brings. And only the full mode takes the mean of a network's scores over all versions of
    a test picture that the augmentation holds for the same: with turned cells that is eight times the work.

    ``final`` has (epochs, learning rate, scale) of a last phase: once the best epoch is known, the network goes on from there,
    on training and validation pictures together (as the linear classifiers do), each varied anew each time. ``scale`` is how
    much larger the pictures get: what is a pixel wide, as a crack in a cell, is then seen (Touvron et al. 2019, "Fixing the
    train-test resolution discrepancy", which trains small and ends large).
    """

    linear_seeds: int
    finetune_seeds: int
    upper: tuple[int, int, float]
    more: tuple[int, int, float]
    frozen: float = MORE_FROZEN
    final: tuple[int, float, float] | None = None
    quarter_turns: bool = False
    all_versions: bool = False
    pictures: int | None = None


MODES = {
    "quick": Effort(2, 1, upper=(2, 1, 2e-3), more=(1, 1, 1e-3), pictures=600),
    "default": Effort(3, 1, upper=(4, 3, 2e-3), more=(1, 2, 1e-3)),
    "full": Effort(
        5,
        3,
        upper=(4, 4, 2e-3),
        more=(10, 0, 2e-3),
        frozen=0.1,
        final=(10, 1e-3, 1.34),
        quarter_turns=True,
        all_versions=True,
    ),
}


@dataclass
class Settings:
    """What ``minicnn transfer`` was asked for. None means: whatever the mode does."""

    data: str | None = None
    model: str = "efficientnet_lite0"
    strategies: tuple[str, ...] = tuple(STRATEGIES)
    layer: str | None = None
    seeds: int | None = None
    first_seed: int = 0
    epochs: int | None = None
    mode: str = "default"
    out: Path = Path("transfer-report")
    progress: bool = True
    command: str = "minicnn transfer"

    def __post_init__(self) -> None:
        unknown = [name for name in self.strategies if name not in STRATEGIES]
        if unknown or not self.strategies:
            raise ValueError(f"unknown strategy {', '.join(unknown) or '(none given)'}; choose from {', '.join(STRATEGIES)}")
        if self.mode not in MODES:
            raise ValueError(f"unknown mode {self.mode!r}; choose from {', '.join(MODES)}")


@dataclass
class Run:
    """One strategy on one split: what the report says about it, and the network it left."""

    record: dict
    model: Model


def split_pictures(pictures: PictureSet, seed: int) -> dict[str, np.ndarray]:
    """Indices of "train", "val" and "test": as the collection gives them where it does, else drawn, stratified by class."""

    def draw(among: np.ndarray, part: str, fraction: float) -> tuple[np.ndarray, np.ndarray]:
        groups = None if pictures.groups is None else pictures.groups[among]
        parts = stratified_split(pictures.labels[among], groups, {"rest": 1 - fraction, part: fraction}, seed)
        return among[parts["rest"]], among[parts[part]]

    given = dict(pictures.splits or {})
    if "test" in given:
        rest, test = given["train"], given["test"]
    else:
        rest, test = draw(given.get("train", np.arange(len(pictures))), "test", TEST_FRACTION)
    train, val = (rest, given["val"]) if "val" in given else draw(rest, "val", VAL_FRACTION)
    return {"train": train, "val": val, "test": test}


def some_of(pictures: PictureSet, most: int) -> PictureSet:
    """A stratified random subset, always the same."""
    share = most / len(pictures)
    parts = stratified_split(pictures.labels, pictures.groups, {"some": share, "rest": 1 - share}, 0)
    return pictures.subset(parts["some"])


class Experiment:
    """The main job step by step; ``run()`` takes all of them. Progress is told in lines given to ``say``."""

    def __init__(self, settings: Settings, say: Callable[[str], None] = print):
        self.settings, self.effort, self.say = settings, MODES[settings.mode], say
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
        bank = view_bank(model, banked[-1][0], max(views for _, views in banked), x_train, x_val, *how)
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


def make_writable(folder: Path) -> None:
    """Make the report's folder and write to it now: an hour of work must not end at a closed door."""
    probe = folder / ".write-probe"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise DataError(f"cannot write the report to {folder} ({error.strerror}); name another folder with --out") from error
