"""Random crops: which windows there are, how often, and what comes in at the edge."""

import numpy as np
import pytest

from minicnn.data.crops import RandomCrop, RandomResizedCrop
from minicnn.data.per_sample import PerSampleGenerator


def drawn(n):
    return PerSampleGenerator(0, 1, np.arange(n))


def numbered(n, height, width):
    """n copies of a picture in which each pixel has a value of its own."""
    return np.broadcast_to(np.arange(height * width, dtype=np.uint8).reshape(1, height, width), (n, height, width))


# ---- windows as they are


def test_by_hand():
    """1 2 3 with one reflected pixel on each side is 2 1 2 3 2, in which there are three windows."""
    picture = np.broadcast_to(np.array([[1, 2, 3]] * 2, np.uint8), (600, 2, 3))
    found, counts = np.unique(RandomCrop(pad=1)(picture, drawn(600))[:, 0], axis=0, return_counts=True)
    assert found.tolist() == [[1, 2, 3], [2, 1, 2], [2, 3, 2]]
    assert counts.min() > 150


def test_all_windows_are_equally_likely():
    crops = RandomCrop((3, 2))(numbered(6000, 5, 6), drawn(6000))
    assert crops.shape == (6000, 3, 2)
    corners, counts = np.unique(crops[:, 0, 0], return_counts=True)
    assert corners.tolist() == [6 * row + column for row in range(3) for column in range(5)]
    assert counts.min() > 320 and counts.max() < 480
    assert (crops - crops[:, :1, :1] == [[0, 1], [6, 7], [12, 13]]).all()


def test_translations_reach_every_place_up_to_k_pixels_and_no_further():
    pictures = np.random.default_rng(0).integers(0, 256, (500, 6, 6, 3), dtype=np.uint8)
    padded = np.pad(pictures, ((0, 0), (2, 2), (2, 2), (0, 0)), mode="reflect")
    places = {(top, left): padded[:, top : top + 6, left : left + 6] for top in range(5) for left in range(5)}
    moved = RandomCrop(pad=2)(pictures, drawn(500))
    found = [next(at for at, windows in places.items() if np.array_equal(windows[i], moved[i])) for i in range(500)]
    assert set(found) == set(places)


def test_the_whole_picture_is_a_window_too():
    pictures = numbered(3, 5, 6)
    np.testing.assert_array_equal(RandomCrop((5, 6))(pictures, drawn(3)), pictures)
    assert RandomCrop((9, 10), pad=2)(pictures, drawn(3)).shape == (3, 9, 10)


@pytest.mark.parametrize("arguments", [{"size": 0}, {"size": (3,)}, {"size": 2.5}, {"pad": -1}, {"pad": 1.5}])
def test_impossible_crops_are_refused(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        RandomCrop(**arguments)


@pytest.mark.parametrize("arguments", [{"size": 6}, {"size": (10, 4), "pad": 2}, {"pad": 5}])
def test_windows_must_lie_in_the_padded_picture(arguments):
    with pytest.raises(ValueError, match=r"pictures of 5 x 6 with \d reflected pixels on each side have no windows of"):
        RandomCrop(**arguments)(numbered(2, 5, 6), drawn(2))


# ---- windows, resized


def windows(n=3000, side=240, **arguments):
    """Area, aspect ratio and middle (row, column) of the windows, in units of the picture's, read off two ramps."""
    ramp = np.linspace(0, 255, side).astype(np.uint8)
    pictures = np.stack(np.meshgrid(ramp, ramp, indexing="ij"), axis=-1)
    pictures = np.concatenate([pictures, pictures[..., :1]], axis=-1)[None].repeat(n, 0)
    small = RandomResizedCrop(9, **arguments)(pictures, drawn(n)).astype(float) / 255
    height = (small[:, 7, 4, 0] - small[:, 1, 4, 0]) * 9 / 6
    width = (small[:, 4, 7, 1] - small[:, 4, 1, 1]) * 9 / 6
    return height * width, width / height, small[:, 4, 4, :2]


def test_areas_are_uniform_and_aspects_are_uniform_in_their_logarithm():
    area, aspect, _ = windows(n=1000, area=(0.2, 0.5), aspect=(0.5, 2.0))
    assert area.min() == pytest.approx(0.2, abs=0.02) and area.max() == pytest.approx(0.5, abs=0.03)
    assert area.mean() == pytest.approx(0.35, abs=0.01)
    assert aspect.min() == pytest.approx(0.5, abs=0.03) and aspect.max() == pytest.approx(2, abs=0.1)
    assert np.log(aspect).mean() == pytest.approx(0, abs=0.05) and (aspect > 1).mean() == pytest.approx(0.5, abs=0.06)


def test_windows_lie_everywhere_in_the_picture_and_nowhere_outside():
    _, _, middle = windows(n=1000, area=(0.25, 0.25), aspect=(1.0, 1.0))
    np.testing.assert_allclose(middle.mean(axis=0), 0.5, atol=0.03)
    np.testing.assert_allclose(middle.min(axis=0), 0.25, atol=0.02)
    np.testing.assert_allclose(middle.max(axis=0), 0.75, atol=0.02)


def test_a_side_that_would_be_longer_than_the_picture_is_as_long_as_it():
    area, aspect, _ = windows(n=50, area=(1.0, 1.0), aspect=(2.0, 2.0))
    np.testing.assert_allclose(area, 0.5**0.5, atol=0.02)
    np.testing.assert_allclose(aspect, 2**0.5, atol=0.03)


def test_the_whole_picture_at_its_own_size_is_the_picture():
    pictures = np.random.default_rng(0).integers(0, 256, (4, 9, 12, 3), dtype=np.uint8)
    np.testing.assert_array_equal(RandomResizedCrop(area=(1, 1), aspect=(1, 1))(pictures, drawn(4)), pictures)
    assert RandomResizedCrop((5, 7))(pictures, drawn(4)).shape == (4, 5, 7, 3)


def test_windows_are_resampled_bilinearly():
    """Two pixels to four: centres at 1/4, 3/4, 5/4 and 7/4 pixels."""
    picture = np.array([[[0, 100], [0, 100]]], np.uint8)
    resized = RandomResizedCrop((2, 4), area=(1, 1), aspect=(1, 1))(picture, drawn(1))
    assert resized[0, 0].tolist() == [0, 25, 75, 100]


@pytest.mark.parametrize(
    "arguments", [{"area": (0, 1)}, {"area": (0.5, 1.1)}, {"area": (0.9, 0.5)}, {"aspect": (0, 1)}, {"size": -1}]
)
def test_impossible_ranges_are_refused(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        RandomResizedCrop(**arguments)


def test_describe_is_one_line_for_reports():
    assert RandomCrop(pad=2).describe() == "reflected translations by up to 2 pixels"
    assert RandomCrop(28, pad=2).describe() == "random crops of 28 x 28 of pictures padded by 2 reflected pixels"
    assert RandomResizedCrop().describe() == "windows of 8 to 100 % of the area, 0.75 to 1.3 times as wide as high"
