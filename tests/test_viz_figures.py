"""The figures of minicnn.viz: what is on them, that nothing is cut off, and that they leave the caller's settings alone."""

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from drawn import frame_is_white, png_of

import minicnn
from minicnn import viz
from minicnn.data.preprocessing import Preprocessing
from minicnn.layers import Conv2d, GlobalAvgPool2d, Linear, MaxPool2d, ReLU
from minicnn.models import Model, lenet5

LONG = ["a class with a name that is far too long for any figure", "bee", "\N{LINEAR B SYLLABLE B008 A}"]


def eye(channels="RGB", classes=LONG):
    C = 1 if channels == "L" else 3
    layers = {
        "conv1": Conv2d(C, 6, 3, pad=1, rng=0),
        "relu1": ReLU(),
        "pool1": MaxPool2d(2),
        "conv2": Conv2d(6, 20, 3, pad=1, rng=1),
        "pool": GlobalAvgPool2d(),
        "scores": Linear(20, 3, rng=2),
    }
    preprocessing = Preprocessing(size=(24, 32), channels=channels, mean=120, std=60)
    return Model(layers, architecture="eye", input_shape=(C, 24, 32), preprocessing=preprocessing, classes=classes)


def pictures(n=3, size=(40, 50)):
    return list(np.random.default_rng(0).integers(0, 256, (n, *size, 3), dtype=np.uint8))


def codes(n=12):
    return np.random.default_rng(0).standard_normal((n, 5)), np.arange(n) % 3


def drawings():
    """Name -> (what draws it, the number of axes on it)."""
    x, labels = codes()
    found, distances = viz.nearest_neighbours(x, [0, 5], 4)
    many = pictures(12, (9, 30))
    scores = np.random.default_rng(1).standard_normal((12, 3))
    wrong = len(viz.confident_mistakes(labels, scores))
    return {
        "filters in colour": (lambda: viz.filters_figure(eye()), 1),
        "filters in grey": (lambda: viz.filters_figure(eye("L")), 1),
        "filters of many channels": (lambda: viz.filters_figure(eye(), "conv2"), 1),
        "feature maps": (lambda: viz.feature_maps_figure(eye(), pictures()[0]), 1 + 4),
        "some feature maps": (lambda: viz.feature_maps_figure(eye("L"), pictures()[0], "conv2", most=20, which="first"), 2),
        "saliency": (lambda: viz.saliency_figure(eye(), pictures()), 6),
        "saliency of one picture": (lambda: viz.saliency_figure(eye("L"), pictures()[0], "bee"), 2),
        "Grad-CAM": (lambda: viz.grad_cam_figure(eye(), pictures(), [0, 1, 2], layer="relu1"), 6),
        "occlusion": (lambda: viz.occlusion_figure(eye(classes=None), pictures(2), stride=8), 4),
        "heat": (lambda: viz.heatmaps_figure(pictures(2), {c: np.ones((2, 3, 4)) for c in "abc"}, ["x", "y"], "note " * 60), 8),
        "neighbours": (lambda: viz.neighbours_figure(many, [0, 5], found, distances, labels, LONG, "title"), 10),
        "plain neighbours": (lambda: viz.neighbours_figure(np.array(many), [0, 5], found), 10),
        "code map": (lambda: viz.code_map_figure(x[:, :2], labels, LONG, title="codes", axis_labels=("PC 1", "PC 2")), 1),
        "code map of pictures": (lambda: viz.code_map_figure(x[:, :2], labels, LONG, many), 1),
        "code map without classes": (lambda: viz.code_map_figure(x[:, :2]), 1),
        "mistakes": (lambda: viz.mistakes_figure(many, labels, scores, LONG, title="all of them"), wrong),
        "a single mistake": (lambda: viz.mistakes_figure(many, labels, scores, LONG, most=1), 1),
    }


@pytest.mark.parametrize("name", drawings())
def test_every_figure_is_whole_and_has_its_axes(name):
    draw, axes = drawings()[name]
    figure = draw()
    assert len(figure.axes) == axes
    assert frame_is_white(png_of(figure)), name
    assert plt.get_fignums() == []  # nothing is left open


def test_drawing_changes_no_setting_and_ignores_the_users():
    usual = png_of(viz.saliency_figure(eye(), pictures()))
    with matplotlib.rc_context({"text.usetex": True, "figure.facecolor": "black", "axes.grid": True, "image.cmap": "jet"}):
        before = dict(matplotlib.rcParams)
        figure = viz.saliency_figure(eye(), pictures())
        assert dict(matplotlib.rcParams) == before
    assert png_of(figure) == usual


def test_what_is_drawn_is_what_the_numbers_say():
    figure = viz.filters_figure(eye())
    drawn, (_, v, m) = figure.axes[0].images[0].get_array(), viz.filter_pictures(eye())
    np.testing.assert_allclose(drawn[:3, :3], v[0].transpose(1, 2, 0), rtol=1e-6)
    assert f"{m:.2g}" in figure.get_supxlabel()
    model = eye()
    titles = [axes.get_title(loc="left") for axes in viz.feature_maps_figure(model, pictures()[0]).axes]
    channels = viz.feature_maps(model, model.preprocess(pictures()[:1]))["pool1"].channels
    assert titles[3].startswith(f"pool1: 6 x 12 x 16; channels {', '.join(map(str, channels))}; black ")


def test_titles_say_the_class_and_its_probability():
    model = eye(classes=["ant", "bee", "cat"])
    figure = viz.grad_cam_figure(model, pictures(2), classes=["bee", "cat"])
    p = [dict(answers) for answers in model.top_classes(pictures(2))]
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == [f"bee {100 * p[0]['bee']:.0f} %", "Grad-CAM", f"cat {100 * p[1]['cat']:.0f} %", ""]
    covered, _ = viz.occlusion(model, model.preprocess(pictures(1)), "ant", patch_size=8, stride=8)
    title = viz.occlusion_figure(model, pictures(1), "ant", patch_size=8, stride=8).axes[0].get_title(loc="left")
    assert title == f"ant {100 * p[0]['ant']:.0f} %\nat worst {100 * covered.min():.0f} %"


def test_neighbours_of_the_same_class_are_framed_otherwise_than_others():
    _, labels = codes()
    found = np.array([[3, 1]])
    figure = viz.neighbours_figure(pictures(12), [0], found, labels=labels, classes=["ant", "bee", "cat"])
    same, other = (axes.spines["left"] for axes in figure.axes[1:])
    assert labels[3] == labels[0] != labels[1]
    assert same.get_edgecolor() != other.get_edgecolor() and same.get_linestyle() != other.get_linestyle()
    assert [axes.get_xlabel() for axes in figure.axes] == ["ant", "ant", "bee"]


def test_thumbnails_do_not_cover_each_other():
    points = np.array([[0.0, 0], [0.01, 0], [1, 1], [1, 1.01], [0, 1]])
    figure = viz.code_map_figure(points, pictures=pictures(5))
    places = [artist.xy for artist in figure.axes[0].artists]
    assert np.array_equal(places, points[[0, 2, 4]])


def test_heat_is_brightest_where_the_map_is():
    heat = np.zeros((1, 4, 4))
    heat[0, 1, 2] = 5
    figure = viz.heatmaps_figure([np.zeros((32, 32, 3), np.uint8)], {"heat": heat})
    drawn = figure.axes[1].images[0].get_array().sum(axis=2)
    y, x = np.unravel_index(drawn.argmax(), drawn.shape)
    assert 8 <= y < 16 and 16 <= x < 24
    flat = viz.upsample(np.full((1, 3, 5), 7.0), (9, 11))
    assert flat.shape == (1, 9, 11) and np.allclose(flat, 7)


def test_a_trained_network_of_digits_can_be_looked_into():
    model = minicnn.load("lenet5_mnist")
    seven = np.zeros((28, 28), np.uint8)
    seven[5:8, 6:22] = 255
    for row in range(8, 24):
        seven[row, 20 - (row - 8) // 2 : 23 - (row - 8) // 2] = 255
    assert model.predict(seven).tolist() == ["7"]
    for draw in (viz.saliency_figure, viz.grad_cam_figure, viz.occlusion_figure):
        assert draw(model, seven).axes[0].get_title(loc="left").startswith("7 ")


@pytest.mark.parametrize(
    ("draw", "says"),
    [
        (lambda: viz.saliency_figure(eye(), []), "no picture to draw"),
        (lambda: viz.saliency_figure(Model(eye().layers, architecture="eye"), pictures()), "how pictures are to be prepared"),
        (lambda: viz.feature_maps_figure(eye(), pictures()), "one picture at a time"),
        (lambda: viz.filters_figure(eye(), "conv3"), "no layer 'conv3' in eye; did you mean conv"),
        (lambda: viz.heatmaps_figure(pictures(2), {"heat": np.ones((3, 4, 4))}), r"heatmaps of shape \(2, h, w\)"),
        (lambda: viz.neighbours_figure(pictures(), [0], np.zeros((2, 3), int)), "expected 2 queries"),
        (lambda: viz.code_map_figure(np.ones((3, 3))), r"expects points \(N, 2\)"),
        (lambda: viz.mistakes_figure(pictures(), np.array([0, 1]), np.eye(2), ["a", "b"]), "all 2 answers are right"),
    ],
)
def test_what_cannot_be_drawn_is_said(draw, says):
    with pytest.raises(ValueError, match=says):
        draw()


def test_lenet_has_filters_too():
    assert viz.filters_figure(lenet5(rng=0)).axes[0].get_title(loc="left") == "lenet5, c1: 6 filters of 5 x 5, 1 channel"
