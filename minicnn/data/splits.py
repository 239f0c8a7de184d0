"""Dividing a collection into parts (training, validation, test) that have the same shares of every class."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .picture_set import PictureSet

FRACTIONS = {"train": 0.6, "val": 0.15, "test": 0.25}
TEST_FRACTION = 0.25  # of all pictures: Deitsch et al. 2019 train on 1,968 solar cells and test on 656
VAL_FRACTION = 0.15  # of the pictures that are not for testing
FEW_VALIDATION = 100  # pictures of the validation part, with fewer of which there is too little to choose by
LEAST_OF_CLASS = 10  # pictures of a class that thinning leaves: enough for every part
SMALL_PART = 300  # pictures: on as many, the standard error of an accuracy of 90 % is under 2 %


def are_few(learning: int) -> bool:
    """Whether a validation part, drawn from so many pictures to learn from, would be too small to choose by.

    >>> are_few(666), are_few(667)
    (True, False)
    """
    return VAL_FRACTION * learning < FEW_VALIDATION


def stratified_split(
    labels: np.ndarray,
    groups: np.ndarray | None = None,
    fractions: Mapping[str, float] = FRACTIONS,
    rng: np.random.Generator | int = 0,
) -> dict[str, np.ndarray]:
    """Divide N pictures at random into parts, each with the same share of every class, and of every group in it.

    Each part gets its fraction of every class, rounded to whole pictures, and at least one picture if the class has as many
    pictures as there are parts. Within a class, every group (cell type, say) is divided in the same proportion, to within a
    picture or two.

    Parameters
    ----------
    labels : (N,)
        Class of each picture.
    groups : (N,), optional
        A further property to stratify by.
    fractions : mapping from a part's name to its fraction
        Positive, with sum 1.
    rng : Generator or int
        Equal seeds give equal parts.

    Returns
    -------
    dict from a part's name to its sorted int64 indices; each of 0..N-1 is in exactly one part.

    Raises
    ------
    ValueError
        For labels and groups of different lengths, and fractions that are not positive with sum 1.

    Examples
    --------
    >>> parts = stratified_split(np.array([0] * 8 + [1] * 4), fractions={"train": 0.75, "test": 0.25})
    >>> {part: np.bincount(np.repeat([0, 1], [8, 4])[rows]).tolist() for part, rows in parts.items()}
    {'train': [6, 3], 'test': [2, 1]}
    """
    labels = np.asarray(labels)
    groups = np.zeros(len(labels)) if groups is None else np.asarray(groups)
    shares = np.array(list(fractions.values()), float)
    if labels.ndim != 1 or groups.shape != labels.shape:
        raise ValueError(f"expected one label and one group a picture, got shapes {labels.shape} and {groups.shape}")
    if len(shares) == 0 or shares.min() <= 0 or abs(shares.sum() - 1) > 1e-6:
        raise ValueError(f"the fractions must be positive with sum 1, got {dict(fractions)}")
    rng = np.random.default_rng(rng)
    part_of = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        members = members[np.argsort(groups[members], kind="stable")]  # group after group, in random order within each
        part_of[members] = _interleaved(_counts(len(members), shares))
    return {name: np.flatnonzero(part_of == part) for part, name in enumerate(fractions)}


def _counts(n: int, shares: np.ndarray) -> np.ndarray:
    """n pictures divided by the largest-remainder method, with at least one for each part if there are enough."""
    counts = np.floor(n * shares + 1e-9).astype(np.int64)
    remainders = n * shares - counts
    counts[np.argsort(-remainders, kind="stable")[: n - counts.sum()]] += 1
    while n >= len(shares) and counts.min() == 0:
        counts[counts.argmax()] -= 1
        counts[counts.argmin()] += 1
    return counts


def _interleaved(counts: np.ndarray) -> np.ndarray:
    """A sequence in which part k occurs counts[k] times, evenly spread: the next part is the one furthest behind its share."""
    n, placed = counts.sum(), np.zeros(len(counts))
    sequence = np.empty(n, np.int64)
    for i in range(n):
        behind = np.where(placed < counts, counts * (i + 1) / n - placed, -np.inf)
        sequence[i] = behind.argmax()
        placed[sequence[i]] += 1
    return sequence


def split_pictures(pictures: PictureSet, seed: int) -> dict[str, np.ndarray]:
    """Divide a collection into "train", "val" and "test"; parts that it has already are kept, the others are drawn at random.

    Parameters
    ----------
    pictures : PictureSet
        Its ``splits`` are kept, its ``groups`` shared out evenly.
    seed : int
        Equal seeds give equal parts.

    Returns
    -------
    dict from a part's name to its indices; the parts do not overlap, and each has its share of every class.
    """

    def draw(among: np.ndarray, part: str, fraction: float) -> tuple[np.ndarray, np.ndarray]:
        """(the rest, the part) of the pictures ``among``."""
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


def stratified_folds(y: np.ndarray, folds: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Divide N pictures into parts of about equal size, with each class spread evenly over them: the indices of each part.

    Unlike `stratified_split` it deals the classes out one after another, so that parts are equal where classes are smaller than
    the number of parts, too.
    """
    fold_of, start = np.empty(len(y), np.int64), 0
    for label in np.unique(y):
        members = rng.permutation(np.flatnonzero(y == label))
        fold_of[members] = (start + np.arange(len(members))) % folds
        start += len(members)  # the next class starts where this one ended, or the first parts would get all remainders
    return [np.flatnonzero(fold_of == fold) for fold in range(folds)]


def folds_of(parts: Mapping[str, np.ndarray], pictures: PictureSet, folds: int, seed: int) -> list[dict[str, np.ndarray]]:
    """Pictures to learn from in ``folds`` ways: in each, another share of them is "val", and the others are "train".

    Together the "val" parts are the pictures of the "train" and "val" part of ``parts``, each once, and each has its share of
    every class and group. With as many folds as pictures, each is held out alone. A class of a single picture is never held
    out: there would be nothing to learn it from.

    Parameters
    ----------
    parts : mapping
        As `split_pictures` gives them.
    pictures : PictureSet
    folds : int
        2 or more; with more than there are pictures, there is one for each.
    seed : int

    Raises
    ------
    ValueError
        For fewer folds, or no class of two pictures.
    """
    learning = np.sort(np.r_[parts["train"], parts["val"]])
    alone = np.bincount(pictures.labels[learning], minlength=len(pictures.classes))[pictures.labels[learning]] == 1
    learning, always = learning[~alone], learning[alone]
    if folds < 2 or len(learning) < 2:
        raise ValueError(
            f"2 pictures or more of their classes can be divided into 2 folds or more, got {len(learning)} and {folds}"
        )
    if folds >= len(learning):
        held_out = list(learning[:, None])
    else:
        kinds = pictures.labels[learning]
        if pictures.groups is not None:  # each group of a class is a class of its own here
            kinds = np.unique(
                np.stack([kinds.astype(str), pictures.groups[learning].astype(str)]), axis=1, return_inverse=True
            )[1]
        held_out = [learning[rows] for rows in stratified_folds(kinds.ravel(), folds, np.random.default_rng(seed))]
    return [{"train": np.sort(np.r_[np.setdiff1d(learning, rows), always]), "val": rows} for rows in held_out]


def stratified_subset(pictures: PictureSet, most: int) -> PictureSet:
    """About ``most`` pictures of a larger collection, drawn at random within each class; the same ones every time.

    Pictures are taken away from large classes of large parts only: a class keeps ten pictures in each part, or all that it
    has, and given validation and test parts of up to 300 pictures are kept as they are. Where there are many classes, more
    than ``most`` pictures may remain. A finding says what was taken away.
    """
    if len(pictures) <= most:
        return pictures
    parts = pictures.splits or {"train": np.arange(len(pictures))}
    share = most / len(pictures)
    budgets = {part: min(len(rows), max(SMALL_PART, round(share * len(rows)))) for part, rows in parts.items()}
    others = sum(budgets[part] for part in parts if part != "train")
    budgets["train"] = min(len(parts["train"]), max(most - others, most // 2))
    kept = np.concatenate([_thinned(pictures, rows, budgets[part]) for part, rows in parts.items()])
    subset = pictures.subset(np.sort(kept))
    if len(subset) < len(pictures):
        subset.findings.left_out.append(
            f"{len(pictures) - len(subset)} of {len(pictures)} pictures, to save time: drawn at random from large classes "
            "(a class keeps ten pictures in each part at least)"
        )
    return subset


def _thinned(pictures: PictureSet, rows: np.ndarray, budget: int) -> np.ndarray:
    """About ``budget`` of these pictures: of each class the same share, but ten at least, or all that it has."""
    labels = pictures.labels[rows]
    counts = np.bincount(labels, minlength=len(pictures.classes))
    least = np.minimum(counts, LEAST_OF_CLASS)
    is_large = counts > least
    while True:  # classes whose share is less than the least are set aside, and the others share what is left
        share = (budget - least[~is_large].sum()) / max(counts[is_large].sum(), 1)
        too_small = is_large & (share * counts < least)
        if not too_small.any():
            break
        is_large &= ~too_small
    wanted = np.where(is_large, np.minimum(np.rint(share * counts).astype(np.int64), counts), least)
    kept, rng = [], np.random.default_rng(0)
    for k in np.flatnonzero(counts):
        members = rows[labels == k]
        if wanted[k] < counts[k]:
            groups = None if pictures.groups is None else pictures.groups[members]
            fraction = wanted[k] / counts[k]
            fractions = {"kept": fraction, "rest": 1 - fraction}
            members = members[stratified_split(pictures.labels[members], groups, fractions, rng)["kept"]]
        kept.append(members)
    return np.concatenate(kept)
