"""stratified_split: every part looks like the whole."""

import numpy as np
import pytest

from minicnn.data.picture_set import FileSource, PictureSet
from minicnn.data.splits import FRACTIONS, folds_of, split_pictures, stratified_folds, stratified_split, stratified_subset


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


# ---- folds


def with_groups(groups, *counts):
    pictures = collection(*counts)
    pictures.groups = np.resize(np.array(groups), len(pictures))
    return pictures


@pytest.mark.parametrize("count", [2, 3, 4, 7])
def test_each_picture_to_learn_from_is_held_out_once_and_no_test_picture_ever(count):
    pictures = collection(31, 18, 5)
    parts = split_pictures(pictures, 0)
    learning = np.sort(np.r_[parts["train"], parts["val"]])
    folds = folds_of(parts, pictures, count, 0)
    assert len(folds) == count
    np.testing.assert_array_equal(np.sort(np.concatenate([fold["val"] for fold in folds])), learning)
    for fold in folds:
        np.testing.assert_array_equal(np.sort(np.r_[fold["train"], fold["val"]]), learning)
        assert (np.diff(fold["train"]) > 0).all() and (np.diff(fold["val"]) > 0).all()


@pytest.mark.parametrize("count", [2, 4, 7])
def test_classes_and_groups_are_spread_evenly_over_folds(count):
    rng = np.random.default_rng(2)
    pictures = with_groups(rng.choice(["mono", "poly", "thin"], 200, p=[0.5, 0.4, 0.1]), 120, 60, 20)
    folds = [fold["val"] for fold in folds_of(split_pictures(pictures, 1), pictures, count, 1)]

    def spread(of):
        found = [np.count_nonzero(of[rows]) for rows in folds]
        return max(found) - min(found)

    assert spread(np.ones(200)) <= 1
    for label in range(3):
        assert spread(pictures.labels == label) <= 1
        for group in ("mono", "poly", "thin"):
            assert spread((pictures.labels == label) & (pictures.groups == group)) <= 1


def test_folds_without_groups_would_not_spread_them():
    """A planted fault: folds of the classes alone."""
    groups = np.array(["rare"] * 4 + ["usual"] * 36)
    pictures, parts = with_groups(groups, 40), {"train": np.arange(40), "val": np.arange(0)}
    with_them = [sum(groups[fold["val"]] == "rare") for fold in folds_of(parts, pictures, 4, 0)]
    pictures.groups = None
    without = [sum(groups[fold["val"]] == "rare") for fold in folds_of(parts, pictures, 4, 0)]
    assert with_them == [1, 1, 1, 1] != without


def test_a_class_of_a_single_picture_is_always_learned_from():
    pictures = collection(12, 1, 8)
    folds = folds_of({"train": np.arange(20), "val": np.array([20])}, pictures, 4, 0)
    assert all(12 in fold["train"] and 12 not in fold["val"] for fold in folds)
    assert sorted(np.concatenate([fold["val"] for fold in folds])) == [k for k in range(21) if k != 12]
    alone = folds_of({"train": np.arange(20), "val": np.array([20])}, pictures, 100, 0)
    assert len(alone) == 20 and all(12 in fold["train"] for fold in alone)


def test_a_class_of_two_pictures_is_held_out_one_by_one():
    folds = folds_of({"train": np.arange(13), "val": np.array([13])}, collection(12, 2), 4, 0)
    assert sorted(np.count_nonzero(fold["val"] >= 12) for fold in folds) == [0, 0, 1, 1]


@pytest.mark.parametrize("count", [9, 10, 1000])
def test_with_as_many_folds_as_pictures_or_more_each_is_held_out_alone(count):
    pictures = collection(5, 4)
    folds = folds_of({"train": np.array([8, 1, 2, 3, 0, 5]), "val": np.array([4, 7, 6])}, pictures, count, 0)
    assert [fold["val"].tolist() for fold in folds] == [[k] for k in range(9)]
    assert all(fold["train"].tolist() == [k for k in range(9) if k != fold["val"][0]] for fold in folds)


def test_equal_seeds_give_equal_folds_and_other_seeds_others():
    pictures = collection(30, 30)
    parts = split_pictures(pictures, 0)
    first, again, other = ([fold["val"].tolist() for fold in folds_of(parts, pictures, 4, seed)] for seed in (0, 0, 1))
    assert first == again != other


def test_what_cannot_be_divided_into_folds_is_refused():
    pictures = collection(1, 1, 1, 4)
    with pytest.raises(ValueError, match="2 folds or more, got 4 and 1"):
        folds_of({"train": np.arange(7), "val": np.arange(0)}, pictures, 1, 0)
    with pytest.raises(ValueError, match=r"2 pictures or more of their classes .* got 0 and 4"):
        folds_of({"train": np.arange(2), "val": np.array([2])}, pictures, 4, 0)


def test_classes_smaller_than_the_number_of_folds_do_not_all_go_into_the_first_ones():
    sizes = [len(rows) for rows in stratified_folds(np.repeat(np.arange(8), 3), 4, np.random.default_rng(0))]
    assert sizes == [6, 6, 6, 6]
