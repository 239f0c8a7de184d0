"""stratified_split: every part looks like the whole."""

import numpy as np
import pytest

from minicnn.data.picture_set import FileSource, PictureSet
from minicnn.data.splits import FRACTIONS, split_pictures, stratified_split, stratified_subset


def test_each_picture_is_in_exactly_one_part():
    labels = np.random.default_rng(0).integers(0, 7, 500)
    parts = stratified_split(labels, labels % 3)
    assert list(parts) == ["train", "val", "test"]
    np.testing.assert_array_equal(np.sort(np.concatenate(list(parts.values()))), np.arange(500))
    for rows in parts.values():
        assert rows.dtype == np.int64 and (np.diff(rows) > 0).all()


def test_classes_and_groups_have_the_same_share_in_every_part():
    rng = np.random.default_rng(1)
    labels = rng.choice(4, 2000, p=[0.6, 0.3, 0.07, 0.03])
    groups = rng.choice(np.array(["mono", "poly", "thin"]), 2000, p=[0.5, 0.4, 0.1])
    parts = stratified_split(labels, groups, rng=5)
    for part, rows in parts.items():
        for label in range(4):
            of_class = labels == label
            assert abs(of_class[rows].sum() - FRACTIONS[part] * of_class.sum()) <= 1
            for group in ("mono", "poly", "thin"):
                of_both = of_class & (groups == group)
                assert abs(of_both[rows].sum() - FRACTIONS[part] * of_both.sum()) <= 2


def test_the_solar_cells_split_of_the_paper_has_656_test_cells():
    labels = np.repeat([0, 1], [1803, 821])
    groups = np.concatenate([np.repeat(["mono", "poly"], [705, 1098]), np.repeat(["mono", "poly"], [369, 452])])
    parts = stratified_split(labels, groups, {"train": 0.75, "test": 0.25})
    assert {part: len(rows) for part, rows in parts.items()} == {"train": 1968, "test": 656}


@pytest.mark.parametrize("n", range(3, 12))
def test_a_class_of_three_or_more_is_in_every_part(n):
    labels = np.repeat([0, 1], [100, n])
    for seed in range(5):
        parts = stratified_split(labels, rng=seed)
        assert all((labels[rows] == 1).any() for rows in parts.values())


def test_a_class_of_one_is_trained_on():
    labels = np.array([0] * 10 + [1])
    assert 10 in stratified_split(labels)["train"]


def test_equal_seeds_give_equal_parts_and_other_seeds_others():
    labels = np.arange(300) % 3
    first, again, other = (stratified_split(labels, rng=seed) for seed in (3, np.random.default_rng(3), 4))
    for part in first:
        np.testing.assert_array_equal(first[part], again[part])
    assert not np.array_equal(first["test"], other["test"])


def test_every_picture_is_tested_about_equally_often():
    labels, groups = np.repeat([0, 1], 20), np.tile(["a", "b", "b", "b"], 10)
    times = np.zeros(40)
    for seed in range(800):
        times[stratified_split(labels, groups, rng=seed)["test"]] += 1
    assert times.sum() == 800 * 10
    assert abs(times / 800 - 0.25).max() < 0.08  # 5 standard deviations of a fair draw


def test_names_and_fractions_are_the_callers():
    parts = stratified_split(np.zeros(10, int), fractions={"rest": 0.9, "val": 0.1})
    assert {part: len(rows) for part, rows in parts.items()} == {"rest": 9, "val": 1}
    for fractions in ({"a": 0.5, "b": 0.6}, {"a": 1.0, "b": 0.0}, {}):
        with pytest.raises(ValueError, match="sum 1"):
            stratified_split(np.zeros(4), fractions=fractions)
    with pytest.raises(ValueError, match="one group"):
        stratified_split(np.zeros(4), np.zeros(3))


# ---- fewer pictures, in a hurry


def collection(*counts: int, **parts: tuple[int, ...]) -> PictureSet:
    """So many pictures of each class; ``train=(5, 3), test=(2, 2)`` for one that comes with its parts."""
    labels = [np.repeat(np.arange(len(of_part)), of_part) for of_part in (parts.values() if parts else [counts])]
    ends = np.cumsum([len(of_part) for of_part in labels])
    splits = (
        {part: np.arange(end - len(rows), end) for part, end, rows in zip(parts, ends, labels, strict=True)} if parts else None
    )
    labels = np.concatenate(labels)
    sources = [FileSource(None, f"{i}.png") for i in range(len(labels))]
    return PictureSet("collection", [f"class {k}" for k in range(labels.max() + 1)], labels, sources, splits=splits)


def counts_of(pictures: PictureSet, part: str | None = None) -> list[int]:
    rows = slice(None) if part is None else pictures.splits[part]
    return np.bincount(pictures.labels[rows], minlength=len(pictures.classes)).tolist()


def test_thinning_takes_pictures_away_from_large_classes_only():
    few = stratified_subset(collection(2000, 5), 600)
    assert counts_of(few) == [595, 5] and len(few.findings.left_out) == 1 and "1405 of 2005" in few.findings.left_out[0]
    assert all(counts_of(few.subset(rows))[1] >= 1 for rows in split_pictures(few, 0).values())


def test_many_small_classes_are_not_thinned_at_all():
    assert counts_of(stratified_subset(collection(*[10] * 300), 600)) == [10] * 300


def test_large_classes_keep_their_shares():
    assert counts_of(stratified_subset(collection(4000, 2000, 12), 310)) == [200, 100, 10]


def test_small_given_parts_stay_as_they_are():
    few = stratified_subset(collection(train=(3000, 300), val=(40, 3), test=(150, 0)), 600)
    assert counts_of(few, "val") == [40, 3] and counts_of(few, "test") == [150, 0]
    assert sum(counts_of(few, "train")) == 600 - 43 - 150


def test_large_given_parts_are_thinned():
    few = stratified_subset(collection(train=(25_000, 25_000), test=(5000, 5000)), 600)
    assert {part: counts_of(few, part) for part in ("train", "test")} == {"train": [150, 150], "test": [150, 150]}


def test_a_set_that_is_small_enough_is_left_alone():
    pictures = collection(30, 30)
    assert stratified_subset(pictures, 60) is pictures
