"""Augmentation: other pixels, the same thing to see."""

import doctest

import numpy as np
import pytest

from minicnn.data import augmentation, preprocessing, splits
from minicnn.data.augmentation import CELLS, PHOTOS, Augmentation, parse_augmentation
from minicnn.data.compose import Compose
from minicnn.data.crops import RandomCrop, RandomResizedCrop
from minicnn.data.cutout import Cutout
from minicnn.data.flips import AlternatingFlip
from minicnn.data.pca_jitter import PCAJitter
from minicnn.data.per_sample import PerSampleGenerator


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


def test_saturation_stretches_colours_about_their_grey():
    orange = np.broadcast_to(np.array([200, 120, 40], np.uint8), (300, 2, 2, 3))
    varied = vary(orange, saturation=0.5).astype(float)[:, 0, 0]
    grey = 0.299 * 200 + 0.587 * 120 + 0.114 * 40
    np.testing.assert_allclose(varied @ [0.299, 0.587, 0.114], grey, atol=1)
    spread = varied[:, 0] - varied[:, 2]
    assert 80 <= spread.min() < 90 and 230 < spread.max() <= 240
    assert set(vary(np.full((9, 2, 2, 3), 77, np.uint8), saturation=0.9).flat) == {77}
    assert vary(np.broadcast_to(np.array([255, 0, 0], np.uint8), (50, 2, 2, 3)), saturation=0.9).max() == 255


def test_saturation_is_a_word_and_draws_nothing_where_it_is_not_asked_for():
    assert parse_augmentation("flip,saturation=0.3") == Augmentation(horizontal_flip=True, saturation=0.3)
    assert parse_augmentation("saturation=0.3").describe() == "saturation up to 30 % more or less"
    rng, expected = np.random.default_rng(0), np.random.default_rng(0)
    PHOTOS(batch(4), rng)
    for draws in (4, 8, 8, 8):
        expected.uniform(0, 1, draws)
    expected.integers(0, 4, 4)
    expected.uniform(0, 1, 8)
    assert rng.random() == expected.random(), "runs with a seed give what they gave before there was saturation"


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


@pytest.mark.parametrize(
    "changes", [{"shift": 1.5}, {"shift": -0.1}, {"brightness": 1}, {"min_scale": 0}, {"min_scale": 1.2}, {"saturation": 1}]
)
def test_impossible_amounts_are_refused(changes):
    with pytest.raises(ValueError, match=next(iter(changes))):
        Augmentation(**changes)


def test_only_batches_of_8_bit_pictures():
    with pytest.raises(ValueError, match="uint8 pictures"):
        vary(batch().astype(np.float32), horizontal_flip=True)
    with pytest.raises(ValueError, match="uint8 pictures"):
        vary(batch()[0, 0], horizontal_flip=True)


# ---- each picture's changes are its own

KINDS = {
    "nothing": Augmentation(),
    "PHOTOS": PHOTOS,
    "CELLS": CELLS,
    "colour jitter": Augmentation(brightness=0.4, contrast=0.4, saturation=0.4),
    "translation": RandomCrop(pad=3),
    "crop": RandomCrop((8, 9)),
    "padded crop": RandomCrop(14, pad=4),
    "resized crop": RandomResizedCrop(10),
    "alternating flip": AlternatingFlip(),
    "PCA jitter": PCAJitter(batch(), std=2.0),
    "cutout": Cutout(5, fill=(1, 2, 3)),
    "all in a row": Compose(AlternatingFlip(), RandomCrop(pad=2), PHOTOS, PCAJitter(batch(), std=2.0), Cutout(4)),
}
GREY = [name for name in KINDS if name not in ("PCA jitter", "cutout", "all in a row")]


def drawn(indices, seed=0, epoch=1):
    return PerSampleGenerator(seed, epoch, np.asarray(indices))


@pytest.mark.parametrize("kind", KINDS)
def test_batches_order_and_neighbours_do_not_matter(kind):
    pictures, augment = batch(20), KINDS[kind]
    whole = augment(pictures, drawn(range(20)))
    order = np.random.default_rng(1).permutation(20)
    np.testing.assert_array_equal(augment(pictures[order], drawn(order)), whole[order])
    for size in (1, 7):
        parts = [np.arange(20)[first : first + size] for first in range(0, 20, size)]
        np.testing.assert_array_equal(np.concatenate([augment(pictures[part], drawn(part)) for part in parts]), whole)


def test_an_augmentation_that_looks_at_its_neighbours_would_be_seen():
    def leaky(pictures, rng):
        return np.roll(pictures, int(rng.integers(0, 2, len(pictures))[0]), axis=2)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(AssertionError):
        patch.setitem(KINDS, "leaky", leaky)
        test_batches_order_and_neighbours_do_not_matter("leaky")


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "nothing"])
def test_seed_epoch_and_number_decide_and_the_input_is_left_alone(kind):
    pictures, augment = batch(20), KINDS[kind]
    before = pictures.copy()
    pictures.flags.writeable = False
    first = augment(pictures, drawn(range(20)))
    np.testing.assert_array_equal(pictures, before)
    assert first.dtype == np.uint8 and first.flags.writeable and not np.shares_memory(first, pictures)
    np.testing.assert_array_equal(augment(pictures, drawn(range(20))), first)
    for other in (drawn(range(20), epoch=2), drawn(range(20), seed=1), drawn(range(20, 40))):
        assert not np.array_equal(augment(pictures, other), first)


@pytest.mark.parametrize("kind", GREY)
def test_grey_pictures_are_varied_as_colour_ones(kind):
    augment, grey = KINDS[kind], batch(6, channels=1)
    with_axis = augment(grey, drawn(range(6)))
    np.testing.assert_array_equal(augment(grey[..., 0], drawn(range(6))), with_axis[..., 0])
    colour = augment(np.repeat(grey, 3, axis=-1), drawn(range(6)))
    assert abs(colour.astype(int) - with_axis).max() <= (1 if kind == "colour jitter" else 0)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "nothing"])
def test_all_refuse_what_is_no_batch_of_8_bit_pictures(kind):
    for wrong in (batch().astype(np.float32), batch()[0, 0]):
        with pytest.raises(ValueError, match="uint8 pictures"):
            KINDS[kind](wrong, drawn(range(len(wrong))))


def test_one_after_another_is_in_this_order():
    pictures, rng = batch(5), drawn(range(5))
    flipped = AlternatingFlip()(pictures, rng)
    np.testing.assert_array_equal(Compose(AlternatingFlip(), Cutout(3))(pictures, drawn(range(5))), Cutout(3)(flipped, rng))
    assert Compose()(pictures, rng) is pictures and Compose().describe() == "none"
    assert Compose(Cutout(3), CELLS).describe() == f"squares of 3 x 3 pixels hidden, {CELLS.describe()}"


# ---- flips in every other epoch


def test_alternating_flips_begin_at_random_and_change_sides_every_epoch():
    pictures = batch(400, 5, 7)
    variants = [pictures, pictures[:, :, ::-1]]
    sides = np.array([which(AlternatingFlip()(pictures, drawn(range(400), epoch=epoch)), variants) for epoch in (1, 2, 3, 4)])
    assert 150 < sides[0].sum() < 250
    assert (sides[1:] != sides[:-1]).all()
    again = which(AlternatingFlip()(pictures, drawn(range(400), seed=1)), variants)
    assert 100 < (sides[0] != again).sum() < 300


def test_alternating_flips_need_to_know_the_epoch():
    with pytest.raises(TypeError, match="the epoch and which picture is which"):
        AlternatingFlip()(batch(), np.random.default_rng(0))


# ---- the colours of AlexNet


def test_pca_jitter_by_hand():
    """Half of the pixels (10, 20, 30), half (40, 60, 30): they vary along (30, 40, 0) / 50, with variance (25 / 255)^2."""
    pictures = np.zeros((2, 1, 1, 3), np.uint8)
    pictures[:] = np.array([[10, 20, 30], [40, 60, 30]], np.uint8)[:, None, None]
    jitter = PCAJitter(pictures, std=10.0)
    np.testing.assert_allclose(jitter.eigenvalues, [(25 / 255) ** 2, 0, 0], atol=1e-15)
    np.testing.assert_allclose(jitter.eigenvectors[:, 0], [0.6, 0.8, 0], atol=1e-12)
    a = drawn([0]).normal(0, 10, (1, 3))[0, 0]
    expected = 100 + np.rint(255 * a * (25 / 255) ** 2 * np.array([0.6, 0.8, 0]))
    np.testing.assert_array_equal(jitter(np.full((1, 2, 2, 3), 100, np.uint8), drawn([0]))[0, 1, 1], expected)


def test_the_directions_are_those_of_the_covariance_matrix_however_many_pictures():
    pictures = batch(600, 3, 3)
    pictures[..., 1] = pictures[..., 0] // 2 + pictures[..., 2] // 4
    jitter = PCAJitter(pictures)
    covariance = np.cov(pictures.reshape(-1, 3).T / 255, bias=True)
    np.testing.assert_allclose(jitter.eigenvectors * jitter.eigenvalues @ jitter.eigenvectors.T, covariance, atol=1e-12)
    np.testing.assert_allclose(jitter.eigenvectors.T @ jitter.eigenvectors, np.eye(3), atol=1e-12)
    assert (np.diff(jitter.eigenvalues) <= 0).all() and (np.abs(jitter.eigenvectors).max(0) == jitter.eigenvectors.max(0)).all()


def test_pca_jitter_gives_all_pixels_one_colour_more_of_the_stated_spread_and_clips():
    pictures = batch(64)
    jitter = PCAJitter(pictures, std=0.5)
    grey = np.full((2000, 2, 2, 3), 127, np.uint8)
    colours = jitter(grey, drawn(range(2000))).astype(float) - 127
    assert (colours == colours[:, :1, :1]).all()
    along = colours[:, 0, 0] @ jitter.eigenvectors
    np.testing.assert_allclose(along.std(axis=0), np.hypot(255 * 0.5 * jitter.eigenvalues, 12**-0.5), rtol=0.06)
    extreme = PCAJitter(pictures, std=1e6)(grey, drawn(range(2000)))
    assert extreme.min() == 0 and extreme.max() == 255
    np.testing.assert_array_equal(PCAJitter(pictures, std=0)(grey, drawn(range(2000))), grey)


def test_pca_jitter_is_for_colours():
    for wrong in (batch(channels=1), batch()[..., 0], batch()[:0]):
        with pytest.raises(ValueError, match=r"\(N, H, W, 3\)|no pixels"):
            PCAJitter(wrong)
    with pytest.raises(ValueError, match="standard deviation, at least 0"):
        PCAJitter(batch(), std=-1)
    with pytest.raises(ValueError, match="for colour pictures"):
        KINDS["PCA jitter"](batch(channels=1), drawn(range(64)))


# ---- cutout


def test_cutout_hides_a_square_around_every_pixel_equally_often():
    size, pictures = 3, np.full((4000, 6, 5), 9, np.uint8)
    hidden = Cutout(size, fill=0)(pictures, drawn(range(4000))) == 0
    assert set(hidden.sum(axis=(1, 2))) == {4, 6, 9}, "at corners, at edges and inside"
    corners = (hidden[:, :2, :2].all(axis=(1, 2)) & (hidden.sum(axis=(1, 2)) == 4)).mean()
    assert corners == pytest.approx(1 / 30, abs=0.01)
    assert hidden[:, 3, 2].mean() == pytest.approx(9 / 30, abs=0.03)


def test_cutout_fills_each_channel_with_its_value_and_may_hide_everything():
    varied = Cutout(100, fill=(1, 2, 3))(batch(), drawn(range(64)))
    assert (varied == [1, 2, 3]).all()
    varied = Cutout(1, fill=7)(np.zeros((50, 4, 4, 3), np.uint8), drawn(range(50)))
    assert (varied.sum(axis=(1, 2, 3)) == 21).all()


@pytest.mark.parametrize("arguments", [{"size": 0}, {"size": 2.5}, {"size": 3, "fill": 256}, {"size": 3, "fill": 0.5}])
def test_impossible_squares_are_refused(arguments):
    with pytest.raises(ValueError, match=list(arguments)[-1]):
        Cutout(**arguments)
    with pytest.raises(ValueError, match="fills 3 channels"):
        KINDS["cutout"](batch(channels=1), drawn(range(64)))


def test_the_examples_of_this_room_are_true():
    for module in (augmentation, preprocessing, splits):
        result = doctest.testmod(module)
        assert result.attempted > 0 and result.failed == 0
