"""Preprocessing: the same picture gives the same numbers, everywhere, whatever its size and colours."""

import json

import numpy as np
import pytest
from PIL import Image

from minicnn.data.preprocessing import Preprocessing


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)


IMAGENET = Preprocessing(size=224, resize=256, mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))


def test_normalise_is_x_minus_mean_over_std_channels_first():
    pixels = np.zeros((2, 3, 4, 3), np.uint8)
    pixels[1, 2, 3] = (10, 20, 30)
    y = Preprocessing(size=(3, 4), mean=(1, 2, 3), std=(2, 4, 8)).normalise(pixels)
    assert y.shape == (2, 3, 3, 4) and y.dtype == np.float32 and y.flags.c_contiguous
    assert y[1, :, 2, 3].tolist() == [4.5, 4.5, 3.375]
    assert y[0, :, 0, 0].tolist() == [-0.5, -0.5, -0.375]


def test_bgr_swaps_the_channels_and_counts_the_mean_in_its_own_order():
    bgr = Preprocessing(size=1, channels="BGR", mean=(1, 2, 3))
    blue = np.array([[[0, 0, 255]]], np.uint8)
    assert bgr.fit_picture(blue).ravel().tolist() == [0, 0, 255]  # still RGB: it can be shown
    assert bgr(blue).ravel().tolist() == [254, -2, -3]


def test_luma_of_grey_is_the_grey_itself_and_green_counts_most():
    grey = Preprocessing(size=2, channels="L")
    assert grey(np.full((2, 2, 3), 77, np.uint8)).tolist() == [[[[77, 77], [77, 77]]]]
    primaries = [grey(np.full((2, 2, 3), colour, np.uint8)).max() for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
    np.testing.assert_allclose(primaries, [0.299 * 255, 0.587 * 255, 0.114 * 255], atol=0.51)


def test_grey_pictures_kept_with_one_channel_give_the_same_input_as_with_three():
    grey = noise(8, 8)[None, ..., :1]
    for channels in ("RGB", "BGR"):
        preprocessing = Preprocessing(size=8, channels=channels, mean=(1, 2, 3), std=(4, 5, 6))
        np.testing.assert_array_equal(preprocessing.normalise(grey), preprocessing.normalise(np.repeat(grey, 3, axis=-1)))
        np.testing.assert_array_equal(preprocessing.normalise(grey), preprocessing.normalise(grey[..., 0]))


def test_a_picture_whose_short_side_fits_is_cropped_and_not_resampled():
    picture = noise(256, 300)
    np.testing.assert_array_equal(IMAGENET.fit_picture(picture), picture[16:240, 38:262])
    np.testing.assert_array_equal(Preprocessing(size=224).fit_picture(noise(300, 224)), noise(300, 224)[38:262])


@pytest.mark.parametrize("height, width", [(500, 375), (375, 500), (257, 256), (100, 180), (301, 299)])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_crop_equals_resizing_the_whole_picture_and_then_cropping(height, width, interpolation):
    small = Image.fromarray(noise(10, 12)).resize((width, height), Image.Resampling.BICUBIC)
    new_height, new_width = 256 * height // min(height, width), 256 * width // min(height, width)
    whole = np.asarray(small.resize((new_width, new_height), getattr(Image.Resampling, interpolation.upper())))
    top, left = round((new_height - 224) / 2), round((new_width - 224) / 2)
    seen = Preprocessing(size=224, resize=256, interpolation=interpolation).fit_picture(small)
    assert np.abs(seen.astype(int) - whole[top : top + 224, left : left + 224]).max() <= 1


@pytest.mark.parametrize("shape", [(1, 1), (3, 20_000), (20_000, 1), (1, 2), (223, 225), (4_000, 5_000)])
@pytest.mark.parametrize("preprocessing", [IMAGENET, Preprocessing(size=(30, 50)), Preprocessing(size=(50, 30), fit="stretch")])
def test_pictures_of_any_size_are_fitted(shape, preprocessing):
    fitted = preprocessing.fit_picture(np.full((*shape, 3), 9, np.uint8))
    assert fitted.shape == (*preprocessing.size, 3) and (fitted == 9).all()


def test_the_centre_of_an_elongated_picture_is_what_remains():
    strip = np.zeros((4, 4000), np.uint8)
    strip[:, 1990:2010] = 255
    fitted = Preprocessing(size=8).fit_picture(strip)
    assert (fitted == 255).all()


def test_stretch_keeps_all_of_the_picture():
    picture = np.zeros((10, 40, 3), np.uint8)
    picture[:, 20:] = 255
    fitted = Preprocessing(size=20, fit="stretch").fit_picture(picture)
    assert (fitted[:, :9] == 0).all() and (fitted[:, 11:] == 255).all()
    np.testing.assert_array_equal(Preprocessing(size=(10, 40), fit="stretch").fit_picture(picture), picture)


def test_shrinking_averages_a_fine_pattern_instead_of_sampling_it():
    checks = np.indices((512, 512)).sum(0) % 2 * np.uint8(255)
    fitted = Preprocessing(size=64).fit_picture(checks.astype(np.uint8))
    assert abs(fitted.astype(float) - 127.5).max() < 3


def test_one_picture_a_list_and_a_batch():
    pictures = [noise(300, 260), noise(256, 256)]
    x = IMAGENET(pictures)
    assert x.shape == (2, 3, 224, 224)
    np.testing.assert_array_equal(IMAGENET(pictures[1]), x[1:])
    np.testing.assert_array_equal(IMAGENET(np.stack([pictures[1]] * 2))[0], x[1])
    assert IMAGENET([]).shape == (0, 3, 224, 224)


def test_through_json_and_back():
    again = Preprocessing.from_dict(json.loads(json.dumps(IMAGENET.to_dict())))
    assert again == IMAGENET and hash(again) == hash(IMAGENET) and again.key() == IMAGENET.key()
    mirrored = Preprocessing.from_dict({"size": [8, 8], "symmetry": "mirror"})  # as saved models have it
    assert mirrored.symmetry == "mirror" and len(mirrored.test_time_views(np.zeros((1, 3, 8, 8)))) == 2
    with pytest.raises(ValueError, match="colour"):
        Preprocessing.from_dict({"size": [1, 1], "colour": "RGB"})
    with pytest.raises(ValueError, match="size"):
        Preprocessing.from_dict({"mean": [1, 2, 3]})


def test_the_key_is_the_same_on_every_machine_and_changes_with_any_field():
    assert Preprocessing(size=(2, 3)).key() == Preprocessing(size=[2, 3], mean=(0, 0, 0)).key() == "bd5a1fcab27d449c"
    keys = {Preprocessing(size=8, **change).key() for change in (
        {}, {"resize": 9}, {"fit": "stretch"}, {"channels": "BGR"}, {"mean": 1}, {"std": 2}, {"interpolation": "bicubic"},
        {"symmetry": "mirror"}, {"exposure": "even"}
    )}  # fmt: skip
    assert len(keys) == 9


def test_even_exposure_worked_by_hand():
    """Greys 10, 20, 30, 40: mean 25, standard deviation sqrt(125) = 11.18, so 40 / 11.18 = 3.578 for each step of one."""
    picture = np.array([[10, 20], [30, 40]], np.uint8)
    even = Preprocessing(size=2, fit="stretch", channels="L", exposure="even")
    assert even.fit_picture(picture)[..., 0].tolist() == [[73, 109], [145, 181]]  # 127 - 53.67, - 17.89, + 17.89, + 53.67
    assert even.fit_picture(np.full((2, 2), 9, np.uint8))[..., 0].tolist() == [[127, 127], [127, 127]]


def test_with_even_exposure_a_darker_flatter_picture_is_the_same_picture():
    bright = noise(64, 64).astype(np.float64)
    dark = (0.5 * bright + 10).astype(np.uint8)
    even = Preprocessing(size=32, exposure="even")
    a, b = (even.fit_picture(picture.astype(np.uint8)).astype(int) for picture in (bright, dark))
    assert np.abs(a - b).max() <= 4  # rounded twice
    assert abs(a.mean() - 127) < 1 and abs(a.std() - 40) < 1
    kept = Preprocessing(size=32).fit_picture(dark)
    assert abs(int(kept.mean()) - 127) > 20
    assert "even exposure" in even.describe() and "exposure" not in Preprocessing(size=32).describe()


def test_even_exposure_keeps_colours_apart():
    """One mean and one deviation for the whole picture: a red one stays red."""
    picture = np.zeros((8, 8, 3), np.uint8)
    picture[:4] = 200, 20, 20
    fitted = Preprocessing(size=8, fit="stretch", exposure="even").fit_picture(picture)
    assert fitted[0, 0, 0] > fitted[0, 0, 1] + 50


@pytest.mark.parametrize("symmetry, count", [("none", 1), ("mirror", 2), ("flips", 4), ("square", 8)])
def test_the_views_of_a_picture_are_all_different_and_those_of_its_mirror_image_are_the_same(symmetry, count):
    preprocessing = Preprocessing(size=3, symmetry=symmetry)
    x = np.random.default_rng(0).standard_normal((2, 3, 3, 3)).astype(np.float32)
    views = preprocessing.test_time_views(x)
    np.testing.assert_array_equal(views[0], x)
    assert len({view.tobytes() for view in views}) == count
    if symmetry != "none":
        of_mirror_image = preprocessing.test_time_views(x[..., ::-1])
        assert {view.tobytes() for view in of_mirror_image} == {view.tobytes() for view in views}
    assert f"{count} flipped" in preprocessing.describe() or symmetry == "none"


def test_describe_is_one_line():
    assert IMAGENET.describe() == (
        "short side 256, centre crop 224x224, RGB, (x - [123.675, 116.28, 103.53]) / [58.395, 57.12, 57.375], bilinear"
    )
    assert Preprocessing(size=(28, 30), fit="stretch", channels="L").describe().startswith("stretched to 30x28, L")


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"size": 0}, "size"),
        ({"size": (1, 2, 3)}, "size"),
        ({"size": 224, "resize": 200}, "cover"),
        ({"size": 224, "resize": 256, "fit": "stretch"}, "stretch"),
        ({"size": 224, "fit": "pad"}, "'pad'"),
        ({"size": 224, "channels": "RGBA"}, "'RGBA'"),
        ({"size": 224, "interpolation": "nearest"}, "'nearest'"),
        ({"size": 224, "exposure": "auto"}, "'auto'"),
        ({"size": 224, "symmetry": "turns"}, "'turns'"),
        ({"size": (224, 225), "symmetry": "square"}, "quarters"),
        ({"size": 224, "mean": (1, 2)}, "expected 3"),
        ({"size": 224, "mean": float("nan")}, "finite"),
        ({"size": 224, "std": (0.229, 0.224, 0.225)}, "multiply both by 255"),
        ({"size": 224, "std": 0}, "std"),
    ],
)
def test_fields_that_do_not_fit_together_are_refused(fields, words):
    with pytest.raises(ValueError, match=words):
        Preprocessing(**fields)


@pytest.mark.parametrize("pixels", [np.zeros((2, 3, 8, 8), np.uint8), np.zeros((2, 8, 8, 3), np.float32), np.zeros((8, 8))])
def test_normalise_refuses_what_is_not_a_batch_of_8_bit_pictures(pixels):
    with pytest.raises(ValueError, match=r"uint8 pictures \(N, H, W, 3\)"):
        IMAGENET.normalise(pixels)


def test_normalise_does_not_change_its_argument():
    pixels = noise(4, 4)[None]
    before = pixels.copy()
    Preprocessing(size=4, mean=5, std=7).normalise(pixels)
    np.testing.assert_array_equal(pixels, before)
