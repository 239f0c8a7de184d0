"""Copies that were cropped, mirrored or saved with another brightness are found; other pictures of the same kind are not."""

import numpy as np
import pytest
from PIL import Image

from minicnn.transfer import near_duplicates
from minicnn.transfer.crop_matching import crop_correlation
from minicnn.transfer.near_duplicates import (
    LEAST_CORRELATION,
    NearDuplicates,
    find_near_duplicates,
    grouped,
    without_mean_picture,
)

SIDE = 96


def clouds(count, seed=0):
    """Smooth grey pictures uint8 (N, 96, 96, 3), all different."""
    coarse = np.random.default_rng(seed).integers(40, 200, (count, 7, 7), dtype=np.uint8)
    grey = [np.asarray(Image.fromarray(c).resize((SIDE, SIDE), Image.Resampling.BICUBIC)) for c in coarse]
    return np.repeat(np.stack(grey)[..., None], 3, axis=-1)


def cut(picture, share, x, y):
    """A part of the picture, at its size again; x and y are 0 at the left and the top, 1 at the right and the bottom."""
    side = SIDE * share
    left, top = x * (SIDE - side), y * (SIDE - side)
    box = (left, top, left + side, top + side)
    return np.asarray(Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.BICUBIC, box=box))


COPIES = {
    "the central 60 %": lambda picture: cut(picture, 0.6, 0.5, 0.5),
    "70 % out of a corner": lambda picture: cut(picture, 0.7, 1, 0),
    "mirrored": lambda picture: picture[:, ::-1],
    "a mirrored crop": lambda picture: cut(picture, 0.8, 0, 0.3)[:, ::-1],
    "darker and of less contrast": lambda picture: picture // 2 + 10,
    "turned by two degrees": lambda picture: cut(np.asarray(Image.fromarray(picture).rotate(2)), 0.93, 0.5, 0.5),
}


@pytest.mark.parametrize("kind", COPIES)
def test_a_copy_is_seen_in_its_original_and_not_in_others(kind):
    grey = [picture.mean(axis=2, dtype=np.float32) for picture in (*clouds(4), COPIES[kind](clouds(1)[0]))]
    assert crop_correlation(grey[0], grey[4]) == crop_correlation(grey[4], grey[0]) > LEAST_CORRELATION
    assert all(crop_correlation(other, grey[4]) < LEAST_CORRELATION for other in grey[1:4])


def test_a_crop_of_a_bright_corner_is_seen_in_the_whole():
    ramp = np.linspace(0, 400, SIDE, dtype=np.float32)
    whole = clouds(1)[0].mean(axis=2, dtype=np.float32) / 4 + ramp + ramp[:, None]
    assert crop_correlation(cut(whole, 0.65, 1, 1), whole) > 0.99
    assert crop_correlation(whole[::-1, ::-1], whole) < 0.3


def test_nothing_is_seen_in_a_picture_of_one_grey():
    assert crop_correlation(np.full((64, 64), 0.3, np.float32), np.random.default_rng(0).random((64, 64), np.float32)) < 0.01
    assert crop_correlation(np.zeros((64, 64), np.float32), np.zeros((64, 64), np.float32)) == 0


def test_a_part_that_hardly_varies_beside_the_rest_of_its_picture_shows_nothing():
    detail = np.random.default_rng(0).random((19, 19), np.float32)
    for contrast, is_seen in ((1, True), (0.01, False)):
        picture = np.random.default_rng(1).random((32, 32), np.float32)
        picture[13:, 13:] = 0.5 + contrast * (detail - 0.5)
        assert (crop_correlation(detail, picture) > 0.9) == is_seen


def codes(count, *close):
    """Codes (count, 40) that point anywhere, but those of the pairs in nearly the same direction."""
    rng = np.random.default_rng(1)
    found = rng.normal(size=(count, 40)).astype(np.float32)
    for a, b in close:
        found[b] = found[a] + 0.1 * rng.normal(size=40)
    return found


@pytest.mark.parametrize("kind", COPIES)
def test_copies_with_similar_codes_are_found(kind):
    pictures = np.concatenate([clouds(30), [COPIES[kind](clouds(30)[4])]])
    assert find_near_duplicates(codes(31, (4, 30), (5, 6)), pictures).pairs.tolist() == [[4, 30]]
    assert len(find_near_duplicates(codes(31), pictures).pairs) == 0


def test_where_all_codes_are_alike_a_pair_has_codes_that_are_closer_than_usual():
    pictures, alike = clouds(30), 2 + codes(30)
    pictures[10] = pictures[4]
    assert find_near_duplicates(alike, pictures).pairs.tolist() == []
    alike[10] = alike[4] + 0.1
    assert find_near_duplicates(alike, pictures).pairs.tolist() == [[4, 10]]


def test_copies_are_found_where_every_picture_has_some():
    """As where somebody has stored three varied copies of each: the nearest neighbours are then copies themselves."""
    kinds, count = ("mirrored", "the central 60 %", "darker and of less contrast"), 20
    pictures = np.concatenate([clouds(count), *([COPIES[kind](picture) for picture in clouds(count)] for kind in kinds)])
    rng, originals = np.random.default_rng(2), codes(count)
    noise = [np.zeros_like(originals), *(share * rng.normal(size=originals.shape) for share in (0.01, 0.3, 0.3))]
    pairs = find_near_duplicates(np.concatenate([originals + n for n in noise]), pictures).pairs
    assert {(a, b) for a, b in pairs.tolist() if a < count} == {(i, i + k * count) for i in range(count) for k in (1, 2, 3)}


def test_what_all_pictures_show_makes_no_pair():
    """As in parts on a conveyor belt: the same outline, and details of their own."""
    outline = 20 * clouds(1)[0].astype(int)
    pictures = np.rint((outline + 2 * clouds(30, seed=1)) / 22).astype(np.uint8)
    grey = pictures.mean(axis=3, dtype=np.float32)
    assert crop_correlation(grey[2], grey[3]) > LEAST_CORRELATION
    assert len(find_near_duplicates(codes(30, (2, 3)), pictures).pairs) == 0


def test_of_too_many_pairs_the_most_similar_ones_are_compared(monkeypatch):
    pictures = clouds(30)
    pictures[10], pictures[20] = pictures[0], pictures[1]
    close = codes(30, (0, 10), (1, 20))
    close[10] = close[0] * 2  # the same direction
    assert find_near_duplicates(close, pictures).pairs.tolist() == [[0, 10], [1, 20]]
    monkeypatch.setattr(near_duplicates, "MOST_COMPARED", 1)
    assert find_near_duplicates(close, pictures).pairs.tolist() == [[0, 10]]


def test_pictures_of_every_shape_can_be_compared():
    for shape in ((5, 20, 40, 1), (5, 100, 150, 3), (5, 224, 224, 1)):
        pictures = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        pictures[4] = pictures[0]
        assert find_near_duplicates(codes(5, (0, 4)), pictures).pairs.tolist() == [[0, 4]]


@pytest.mark.parametrize(("side", "small"), [(40, 40), (127, 127), (128, 64), (200, 66)])
def test_large_pictures_are_compared_at_about_64_pixels(side, small):
    assert without_mean_picture(np.zeros((2, side, side, 3), np.uint8), np.array([1]))[1].shape == (small, small)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_among_fewer_than_three_pictures_nothing_is_usual_and_no_pair_stands_out(count):
    assert find_near_duplicates(np.ones((count, 40)), np.repeat(clouds(1), count, axis=0)).pairs.shape == (0, 2)


class Named:
    def file_name(self, k):
        return f"{k}.png"


PARTS = {"train": np.array([0, 1, 2, 6]), "val": np.array([3]), "test": np.array([4, 5])}


@pytest.mark.parametrize(
    ("pairs", "says"),
    [
        (
            [[0, 4], [1, 2], [5, 6], [1, 4], [0, 3]],
            "5 pairs of pictures look nearly the same, 4 of them in different parts (0.png = 4.png, 5.png = 6.png, 1.png = "
            "4.png and 1 more): 2 of the 2 test pictures have a copy that is trained on or validated with, and the test score",
        ),
        (
            [[0, 3]],
            "1 pair of pictures looks nearly the same, 1 of them in different parts (0.png = 3.png): the validation score",
        ),
        (
            [[1, 2], [2, 6]],
            "2 pairs of pictures look nearly the same (1.png = 2.png, 2.png = 6.png), all of them within one part",
        ),
    ],
)
def test_pairs_across_parts_make_a_score_too_good_and_others_do_no_harm(pairs, says):
    found = NearDuplicates(np.array(pairs))
    kept = found.sentence(Named(), PARTS, are_grouped=True)
    assert found.sentence(Named(), PARTS).startswith(says)
    assert "each pair is kept in one part (--group-duplicates)" in kept and "too good" not in kept


def test_a_picture_in_no_part_is_in_no_pair_across_parts():
    parts = {"train": np.array([0]), "val": np.empty(0, int), "test": np.array([1])}
    assert NearDuplicates(np.array([[1, 9], [0, 2], [0, 1], [7, 8]])).across(parts).tolist() == [[0, 1]]
    assert NearDuplicates().across(parts).shape == (0, 2)


def test_pairs_are_put_into_the_part_of_the_first_picture_of_their_group():
    together = grouped(PARTS, np.array([[0, 4], [4, 3], [2, 5]]))
    assert {name: rows.tolist() for name, rows in together.items()} == {"train": [0, 1, 2, 3, 4, 5, 6], "val": [], "test": []}
