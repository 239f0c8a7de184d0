"""Ten crops, dense evaluation, and maps of the answers."""

import numpy as np
import pytest
from PIL import Image

from minicnn.data.preprocessing import Preprocessing
from minicnn.layers import (
    Conv2d,
    Flatten,
    GlobalAvgPool2d,
    Linear,
    MaxPool2d,
    ReLU,
)
from minicnn.losses import softmax
from minicnn.models import lenet5
from minicnn.models.model import Model
from minicnn.transfer.fc_to_conv import fc_to_conv
from minicnn.transfer.multi_crop import class_map, dense_probabilities, ten_crop_probabilities, ten_crops
from minicnn.viz.class_map import class_map_figure


@pytest.fixture
def model():
    """No padding, total stride 4, crops of 12 x 12."""
    rng = np.random.default_rng(0)
    layers = {"conv": Conv2d(3, 5, 2, stride=2, rng=rng), "relu": ReLU(), "pool": MaxPool2d(2), "flatten": Flatten()}
    layers |= {"scores": Linear(45, 4, rng=rng)}
    preprocessing = Preprocessing(size=12, resize=16, mean=(100.0, 120.0, 140.0), std=60.0)
    return Model(layers, architecture="small", input_shape=(3, 12, 12), preprocessing=preprocessing)


def pictures(*sizes):
    return [np.random.default_rng(i).integers(0, 256, (*size, 3), dtype=np.uint8) for i, size in enumerate(sizes)]


def test_ten_crops_are_the_corners_the_centre_and_their_mirror_images():
    pixels = np.arange(5 * 7).reshape(5, 7, 1)
    crops = ten_crops(pixels, (3, 3))
    assert crops.shape == (10, 3, 3, 1)
    assert crops[:5, 0, 0, 0].tolist() == [0, 4, 14, 18, 9]
    np.testing.assert_array_equal(crops[5:], crops[:5, :, ::-1])
    with pytest.raises(ValueError, match="6 x 3 do not fit into a picture of 5 x 7"):
        ten_crops(pixels, (6, 3))


def test_ten_crop_probabilities_are_the_mean_over_the_crops(model):
    several = pictures((16, 24), (20, 16), (16, 16))
    found = ten_crop_probabilities(model, several, progress=False)
    assert found.shape == (3, 4)
    for picture, p in zip(several, found, strict=True):
        x = model.preprocessing.normalise(ten_crops(picture, (12, 12)))
        np.testing.assert_allclose(p, softmax(model.eval().forward(x)).mean(axis=0), rtol=1e-4)
    assert not np.allclose(found, ten_crop_probabilities(model, several, short_side=14, progress=False), rtol=1e-3)


def test_before_it_is_cropped_a_picture_gets_the_size_of_the_preprocessing_or_an_eighth_more_than_the_crops(model):
    def of(short_side=None):
        return ten_crop_probabilities(model, pictures((40, 30)), short_side, progress=False)

    np.testing.assert_array_equal(of(), of(16))
    model.preprocessing = Preprocessing(size=12, mean=(100.0, 120.0, 140.0), std=60.0)
    np.testing.assert_array_equal(of(), of(13))
    assert not np.allclose(of(), of(16), rtol=1e-3)


def test_dense_probabilities_average_the_scores_over_the_crops_then_the_probabilities_over_sizes_and_mirrors(model):
    several = pictures((16, 24), (20, 16), (16, 20), (16, 16))
    found = dense_probabilities(model, several, short_sides=(16,), mirror=True, progress=False)
    for picture, p in zip(several, found, strict=True):
        views = []
        for pixels in (picture, picture[:, ::-1]):
            tops, lefts = range(0, picture.shape[0] - 11, 4), range(0, picture.shape[1] - 11, 4)
            crops = np.stack([pixels[top : top + 12, left : left + 12] for top in tops for left in lefts])
            scores = model.eval().forward(model.preprocessing.normalise(crops))
            views.append(softmax(scores.mean(axis=0, keepdims=True))[0])
        np.testing.assert_allclose(p, np.mean(views, axis=0), rtol=1e-4)
    one, other, both = (dense_probabilities(model, several, sides, progress=False) for sides in ((16,), (21,), (16, 21)))
    np.testing.assert_allclose(both, (one + other) / 2, rtol=1e-5)
    assert not np.allclose(one, other, rtol=1e-3)
    np.testing.assert_array_equal(dense_probabilities(fc_to_conv(model), several, (16,), progress=False), one)


def test_at_its_own_size_and_without_mirrors_dense_is_what_predict_says(model):
    model.preprocessing = Preprocessing(size=12, mean=(100.0, 120.0, 140.0), std=60.0)
    (picture,) = pictures((12, 12))
    answer = dict(model.top_classes(picture, top=4)[0])
    p = dense_probabilities(model, [picture], (12,), mirror=False, progress=False)[0]
    assert {f"class {k}": pytest.approx(value, rel=1e-5) for k, value in enumerate(p)} == answer


def test_a_pool_at_the_end_gives_the_networks_own_answer_at_any_size():
    rng = np.random.default_rng(0)
    layers = {"conv": Conv2d(3, 5, 3, rng=rng), "relu": ReLU(), "pool": GlobalAvgPool2d(), "scores": Linear(5, 3, rng=rng)}
    model = Model(layers, architecture="averaging", input_shape=(3, 8, 8), preprocessing=Preprocessing(size=8, std=64.0)).eval()
    (picture,) = pictures((20, 30))
    p = dense_probabilities(model, [picture], (20,), mirror=False, progress=False)
    np.testing.assert_allclose(p, softmax(model.forward(model.preprocessing.normalise(picture[None]))), rtol=1e-4)


def test_a_class_map_lies_over_the_crops_it_speaks_of(model):
    (picture,) = pictures((17, 28))
    found = class_map(model, picture)
    assert found.picture.shape == (17, 28, 3) and found.scores.shape == (4, 2, 5)
    crop = model.preprocessing.normalise(picture[None, 4:16, 8:20])
    np.testing.assert_allclose(found.scores[:, 1, 2], model.eval().forward(crop)[0], rtol=1e-4)
    left, right, bottom, top = found.extent
    assert (left + 2.5 * 4, top + 1.5 * 4) == (8 + 6, 4 + 6), "an element's middle is its crop's"
    assert (right - left, bottom - top) == (5 * 4, 2 * 4)


def test_a_class_map_of_a_resized_picture_and_of_a_grey_one(model):
    (picture,) = pictures((17, 34))
    assert class_map(model, Image.fromarray(picture), short_side=34).picture.shape == (34, 68, 3)
    found = class_map(lenet5(rng=0), picture.repeat(2, axis=0))
    assert found.picture.shape == (34, 34, 1) and found.scores.shape == (10, 2, 2)
    assert found.extent == (12.0, 20.0, 20.0, 12.0)


def test_what_is_missing_is_said(model):
    with pytest.raises(ValueError, match="one size or more"):
        dense_probabilities(model, pictures((16, 16)), ())
    with pytest.raises(ValueError, match="no pictures"):
        ten_crop_probabilities(model, [])
    with pytest.raises(ValueError, match="larger than the padded picture"):
        dense_probabilities(model, pictures((16, 16)), (6,), progress=False)
    model.preprocessing = None
    with pytest.raises(ValueError, match="does not say how pictures become its input"):
        class_map(model, pictures((16, 16))[0])


def test_the_figure_shows_the_picture_and_each_map_where_it_lies():
    (picture,) = pictures((20, 30))
    maps = {"cat": np.arange(6.0).reshape(2, 3), "dog": np.ones((2, 3)), "cow": np.zeros((2, 3))}
    figure = class_map_figure(picture, maps, extent=(2, 26, 18, 2), label="score", note="a note")
    panels = [axes for axes in figure.axes if axes.get_images()]
    assert [axes.get_title(loc="left") for axes in panels] == ["", "cat", "dog", "cow"]
    drawn = panels[1].get_images()[1]
    np.testing.assert_array_equal(drawn.get_array(), maps["cat"])
    assert drawn.get_extent() == [2, 26, 18, 2] and drawn.get_clim() == (0, 5) == panels[2].get_images()[1].get_clim()
    assert panels[1].get_xlim() == (0, 30) and panels[1].get_ylim() == (20, 0)
    figure.canvas.draw()
    class_map_figure(picture[..., :1], {"only": np.ones((4, 4))}).canvas.draw()
    with pytest.raises(ValueError, match=r"'cat': \(3,\)"):
        class_map_figure(picture, {"cat": np.ones(3)})
    with pytest.raises(ValueError, match="one map"):
        class_map_figure(picture, {})
