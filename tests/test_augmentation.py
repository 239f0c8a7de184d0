"""Augmentation: other pixels, the same thing to see."""

import doctest

import numpy as np
import pytest

from minicnn.data import augmentation, preprocessing, splits
from minicnn.data.augmentation import CELLS, PHOTOS, Augmentation


def batch(n: int = 64, height: int = 12, width: int = 12, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, height, width, channels), dtype=np.uint8)


def vary(pictures: np.ndarray, seed: int = 0, **changes) -> np.ndarray:
    varied = Augmentation(**changes)(pictures, np.random.default_rng(seed))
    assert varied.shape == pictures.shape and varied.dtype == np.uint8
    return varied


def which(varied: np.ndarray, variants: list[np.ndarray]) -> list[int]:
    """For each picture, which of its variants it became."""
    found = [
        [k for k, variant in enumerate(variants) if np.array_equal(picture, variant[i])] for i, picture in enumerate(varied)
    ]
    assert all(len(matches) == 1 for matches in found)
    return [matches[0] for matches in found]


def test_nothing_asked_for_is_nothing_done():
    pictures = batch()
    assert Augmentation()(pictures, np.random.default_rng(0)) is pictures
    assert Augmentation().describe() == "none"


@pytest.mark.parametrize("axis, name", [(2, "horizontal_flip"), (1, "vertical_flip")])
def test_flips_mirror_about_half_of_the_pictures(axis, name):
    pictures = batch(400, 5, 7)
    flipped = which(vary(pictures, **{name: True}), [pictures, np.flip(pictures, axis)])
    assert 150 < sum(flipped) < 250


def test_quarter_turns_are_all_equally_likely():
    pictures = batch(400, 6, 6)
    turns = np.bincount(which(vary(pictures, quarter_turns=True), [np.rot90(pictures, k, axes=(1, 2)) for k in range(4)]))
    assert len(turns) == 4 and turns.min() > 60


def test_flips_and_turns_together_reach_all_eight_symmetries():
    pictures = batch(200, 4, 4)
    variants = [np.rot90(side, k, axes=(1, 2)) for side in (pictures, pictures[:, :, ::-1]) for k in range(4)]
    assert set(which(vary(pictures, horizontal_flip=True, vertical_flip=True, quarter_turns=True), variants)) == set(range(8))


def test_quarter_turns_need_square_pictures():
    with pytest.raises(ValueError, match="6 x 8"):
        vary(batch(2, 6, 8), quarter_turns=True)


def test_shift_moves_the_picture_and_repeats_its_edge():
    pictures = batch(200, 10, 10)
    padded = np.pad(pictures, ((0, 0), (2, 2), (2, 2), (0, 0)), mode="edge")
    variants = [padded[:, 2 - down : 12 - down, 2 - right : 12 - right] for down in range(-2, 3) for right in range(-2, 3)]
    assert set(which(vary(pictures, shift=0.2), variants)) == set(range(25))


def test_windows_lie_inside_the_picture_and_are_enlarged():
    ramp = np.broadcast_to(np.arange(0, 240, 4, dtype=np.uint8)[None, None, :, None], (100, 60, 60, 3))
    varied = vary(ramp, min_scale=0.5).astype(float)
    slopes = (varied[:, 30, 50, 0] - varied[:, 30, 10, 0]) / 40  # 4 a pixel at full size, 2 at half of it
    assert 1.9 <= slopes.min() < 2.3 and 3.7 < slopes.max() <= 4.1
    starts = varied[:, 30, 0, 0]
    assert starts.min() < 10 and starts.max() > 60
    assert varied.max() <= 236


def test_brightness_multiplies():
    grey = np.full((300, 4, 4, 3), 100, np.uint8)
    levels = vary(grey, brightness=0.3)[:, 0, 0, 0]
    assert 70 <= levels.min() < 75 and 125 < levels.max() <= 130
    assert vary(np.full((50, 2, 2, 3), 250, np.uint8), brightness=0.5).max() == 255  # clipped, not wrapped around


def test_contrast_stretches_about_the_mean():
    half = np.full((300, 4, 4, 1), 60, np.uint8)
    half[:, :2] = 140
    varied = vary(half, contrast=0.5).astype(int)
    np.testing.assert_allclose(varied.mean((1, 2, 3)), 100, atol=1)
    spread = varied[:, 0, 0, 0] - varied[:, 3, 0, 0]
    assert 40 <= spread.min() < 45 and 115 < spread.max() <= 120


@pytest.mark.parametrize("preset", [PHOTOS, CELLS])
def test_presets_repeat_to_the_bit_and_leave_their_input_alone(preset):
    pictures = batch(8, 32, 32)
    before = pictures.copy()
    first, again, other = (preset(pictures, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(pictures, before)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert len({picture.tobytes() for picture in preset(np.repeat(pictures[:1], 8, 0), np.random.default_rng(0))}) == 8


def test_one_generator_gives_new_pictures_every_time():
    rng = np.random.default_rng(0)
    assert not np.array_equal(CELLS(batch(4), rng), CELLS(batch(4), rng))


@pytest.mark.parametrize("preset", [PHOTOS, CELLS])
def test_grey_pictures_with_and_without_a_channel_axis(preset):
    grey = batch(6, 20, 20, 1)
    with_axis, without = (preset(pictures, np.random.default_rng(0)) for pictures in (grey, grey[..., 0]))
    assert with_axis.shape == (6, 20, 20, 1)
    np.testing.assert_array_equal(with_axis[..., 0], without)
    colour = preset(np.repeat(grey, 3, axis=-1), np.random.default_rng(0))
    np.testing.assert_array_equal(colour, np.repeat(with_axis, 3, axis=-1))


def test_read_only_pictures_can_be_varied():
    pictures = batch(3)
    pictures.flags.writeable = False
    assert PHOTOS(pictures, np.random.default_rng(0)).flags.writeable


def test_what_is_symmetric_is_what_flips_and_turns_allow():
    assert CELLS.symmetry == "square" and PHOTOS.symmetry == "mirror"
    assert Augmentation(horizontal_flip=True, vertical_flip=True).symmetry == "flips"
    assert Augmentation(vertical_flip=True).symmetry == Augmentation().symmetry == "none"


def test_describe_is_one_line_for_reports():
    assert CELLS.describe().startswith("horizontal flips, vertical flips, quarter turns, shifts up to ")
    assert "windows of 70 to 100 % of the side" in PHOTOS.describe() and "\n" not in PHOTOS.describe()


@pytest.mark.parametrize("changes", [{"shift": 1.5}, {"shift": -0.1}, {"brightness": 1}, {"min_scale": 0}, {"min_scale": 1.2}])
def test_impossible_amounts_are_refused(changes):
    with pytest.raises(ValueError, match=next(iter(changes))):
        Augmentation(**changes)


def test_only_batches_of_8_bit_pictures():
    with pytest.raises(ValueError, match="uint8 pictures"):
        vary(batch().astype(np.float32), horizontal_flip=True)
    with pytest.raises(ValueError, match="uint8 pictures"):
        vary(batch()[0, 0], horizontal_flip=True)


def test_the_examples_of_this_room_are_true():
    for module in (augmentation, preprocessing, splits):
        result = doctest.testmod(module)
        assert result.attempted > 0 and result.failed == 0
