"""The first part of an experiment: open pictures and network, say what was found, compute the codes, and look at the pictures.

What is known without computing is said first: a user who sees that a folder was misunderstood need not wait for the rest.
"""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ..data.augmentation import Augmentation, parse_augmentation
from ..data.findings import findings_table
from ..data.picture_set import PictureSet
from ..data.splits import split_pictures, stratified_subset
from ..linear_model.permutation import SIGNIFICANT, TESTED_BELOW, permutation_test
from ..models.model import Model
from ..transfer.features import extract_features
from ..transfer.learning_rates import parameters_of
from ..transfer.metrics import are_uneven
from ..transfer.mirrored import compare_mirrored
from ..transfer.near_duplicates import find_near_duplicates
from ..transfer.setup import set_up
from ..transfer.similarity import SIMILAR_SHIFT
from ..transfer.surgery import default_layer, with_new_head
from .notes import collection_notes, positive_class
from .presets import PRESETS, Settings
from .table import COLUMNS
from .task import TransferTask


def prepare(settings: Settings, log: Callable[[str], None]) -> TransferTask:
    """Open the pictures and the network, fit the pictures to its input, and extract their codes.

    Parameters
    ----------
    settings : Settings
    log : function
        Is called with each line that there is to say.

    Raises
    ------
    DataError
        For pictures that nothing can be learned from.
    ValueError
        For a class or a layer that is not there.
    """
    model, pictures, usual = set_up(settings.data, settings.model, settings.out)
    augmentation = training_augmentation(settings, usual)
    if most := PRESETS[settings.mode].pictures:
        pictures = stratified_subset(pictures, most)
    counts = np.bincount(pictures.labels, minlength=len(pictures.classes))
    is_uneven, positive = are_uneven(counts), positive_class(pictures.classes, counts, settings.positive)
    _say_what_was_found(pictures, settings, augmentation, positive, log)

    known = len(pictures.findings.left_out)
    fitted, pictures = pictures.fitted(model.preprocessing, settings.progress)
    for note in pictures.findings.left_out[known:]:
        _say(f"left out: {note}", log)

    layer = settings.layer or default_layer(model)
    with_head = with_new_head(model, layer, pictures.classes)
    started = time.perf_counter()
    codes = extract_features(model, fitted, layer, progress=settings.progress, cluster=settings.cluster)
    seconds = time.perf_counter() - started
    log(
        f"CNN codes at '{layer}': {codes.shape[1]} numbers a picture, "
        f"{len(codes)} pictures in {seconds:.1f} s ({len(codes) / seconds:.0f} a second)"
    )
    task = TransferTask(
        settings=settings,
        pictures=pictures,
        model=with_head,
        parameters=parameters_of(model),
        codes=codes,
        codes_seconds=seconds,
        fitted={model.preprocessing.size: fitted},
        augmentation=augmentation,
        is_uneven=is_uneven,
        positive=positive,
    )
    _ask_whether_anything_can_be_learned(task, log)
    _say_why_norms_are_trained(task, log)
    # each solar cell was photographed once, and mirrored it is as functional as before
    if settings.data is not None or settings.group_duplicates:
        _look_for_duplicates(task, fitted, log)
    if settings.data is not None and settings.fine_tunes:
        _look_at_flips(task, model, fitted, log)
    return task


def training_augmentation(settings: Settings, usual: Augmentation) -> Augmentation:
    """What is asked for, else what is usual for such pictures, as far as the mode has the epochs for it."""
    augmentation = replace(usual, quarter_turns=usual.quarter_turns and PRESETS[settings.mode].quarter_turns)
    if settings.augment is not None:
        augmentation = parse_augmentation(settings.augment)
    return augmentation if settings.flips else augmentation.without_flips()


def describe_augmentation(settings: Settings, augmentation: Augmentation) -> str:
    """How training pictures are varied; linear classifiers, and the quick mode, take them as they are."""
    preset = PRESETS[settings.mode]
    if not settings.fine_tunes:
        return "none, as only linear classifiers are trained"
    if preset.upper.views == preset.more.views == 1:
        return f"none in the {settings.mode} mode"
    return augmentation.describe()


def _say_what_was_found(
    pictures: PictureSet, settings: Settings, augmentation: Augmentation, positive: int | None, log: Callable[[str], None]
) -> None:
    """Classes with their counts in each part, what was left out and assumed."""
    parts = split_pictures(pictures, settings.first_seed)
    pictures.findings.notes += collection_notes(pictures, parts, settings, positive)
    log(f"{len(pictures)} pictures of {len(pictures.classes)} classes: {pictures.name}")
    log(findings_table(pictures, parts))
    _say(f"augmentation of training pictures: {describe_augmentation(settings, augmentation)}", log)


def _ask_whether_anything_can_be_learned(task: TransferTask, log: Callable[[str], None]) -> None:
    """With fewer than a hundred pictures to learn from, an accuracy may be chance: compare it with that of other labels."""
    parts = task.split(task.settings.first_seed)
    learning = np.r_[parts["train"], parts["val"]]
    labels = task.pictures.labels[learning]
    counts = np.unique(labels, return_counts=True)[1]
    if len(learning) >= TESTED_BELOW or len(counts) < 2 or counts.min() < 2:
        return
    p = permutation_test(task.codes[learning], labels, balanced=task.is_uneven)
    found = "the codes tell the classes apart" if p < SIGNIFICANT else "that the codes tell the classes apart may be chance"
    share = (
        f"{len(learning)} pictures to learn from: {found}: labels drawn at random are told apart as well with a probability of"
    )
    _add_note(task, f"{share} {p:.2g} (permutation test, one linear classifier, cross-validated)", log)


def _say_why_norms_are_trained(task: TransferTask, log: Callable[[str], None]) -> None:
    """Where that is not what was asked for, but what suits the pictures."""
    if task.settings.strategies is None and "norms" in task.strategies:
        far = f"channels' statistics shifted by {task.shift:.3f} nats in the median, where up to {SIMILAR_SHIFT} is similar"
        found = f"few pictures, and unlike those of the pretraining ({far}): the batch norms of all layers are fine-tuned"
        _add_note(task, f"{found} (--strategy finetune-upper: the upper layers, in a third of the time)", log)


def _look_for_duplicates(task: TransferTask, fitted: np.ndarray, log: Callable[[str], None]) -> None:
    """Say how many test or validation pictures are nearly the same as others in another part."""
    task.near_duplicates = find_near_duplicates(task.codes, fitted)
    if len(task.near_duplicates.pairs):
        parts = task.split(task.settings.first_seed)
        _add_note(task, task.near_duplicates.sentence(task.pictures, parts, task.settings.group_duplicates), log)


def _look_at_flips(task: TransferTask, model: Model, fitted: np.ndarray, log: Callable[[str], None]) -> None:
    """Leave flips out where mirrored pictures look like another class; if they were asked for, say so only."""
    if not task.augmentation.horizontal_flip:
        return
    parts = task.split(task.settings.first_seed)
    among = np.r_[parts["train"], parts["val"]]
    found = compare_mirrored(model, fitted, task.pictures.labels, among, task.pictures.classes)
    if found is None or not found.looks_like_another_class:
        return
    if task.settings.augment is None:
        task.augmentation = task.augmentation.without_flips()
        outcome = "so training pictures are not mirrored (--augment flip,... would mirror them all the same)"
    else:
        outcome = "they are mirrored, as --augment says; --no-flip leaves that out"
    _add_note(task, f"{found.sentence()}: {outcome}", log)


def _add_note(task: TransferTask, note: str, log: Callable[[str], None]) -> None:
    task.pictures.findings.notes.append(note)
    _say(f"note: {note}", log)


def _say(text: str, log: Callable[[str], None]) -> None:
    """Log a sentence in lines that fit a terminal."""
    log(textwrap.fill(text, COLUMNS, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False))
