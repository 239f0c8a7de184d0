"""Looking inside a network, the numbers: each against another way to get it."""

import math

import numpy as np
import pytest

from minicnn import viz
from minicnn.data.preprocessing import Preprocessing
from minicnn.layers import (
    AuxiliaryHead,
    BatchNorm2d,
    Concat,
    Conv2d,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    Linear,
    MaxPool2d,
    ReLU,
    Residual,
    Sequential,
)
from minicnn.losses import softmax
from minicnn.models import (
    Model,
    cifar_net,
    googlenet,
    lenet5,
    mobilenet_v2,
    resnet20,
    squeezenet1_1,
)
from minicnn.viz.hooks import layers_with_maps

CLASSES = ["ant", "bee", "cat"]


def small(outputs=3, seed=0):
    """A network with every kind of container, in float64, whose batch norms have seen something."""
    rng = np.random.default_rng(seed)

    def unit(inputs, filters):
        return Sequential(conv=Conv2d(inputs, filters, 3, pad=1, rng=rng), norm=BatchNorm2d(filters), relu=ReLU())

    layers = {
        "stem": unit(3, 4),
        "pool1": MaxPool2d(2),
        "block": Residual(unit(4, 5), shortcut=Conv2d(4, 5, 1, rng=rng)),
        "side": AuxiliaryHead(Sequential(pool=GlobalAvgPool2d(), scores=Linear(5, outputs, rng=rng))),
        "both": Concat(left=unit(5, 3), right=unit(5, 4)),
        "drop": Dropout(0.5, rng=1),
        "pool": GlobalAvgPool2d(),
        "scores": Linear(7, outputs, rng=rng),
    }
    model = Model(layers, architecture="small", input_shape=(3, 8, 10), classes=CLASSES if outputs == 3 else ["no", "yes"])
    for array in model.state().values():
        array[...] = rng.uniform(0.5, 1.5, array.shape)
    return model.astype(np.float64)


def pictures(n=2, shape=(3, 8, 10), seed=3):
    return np.random.default_rng(seed).standard_normal((n, *shape))


def numeric_gradient(f, x, step=1e-6):
    """Of f, which gives a number for each of several pictures (M, C, H, W), at one picture x (C, H, W)."""
    steps = step * np.eye(x.size).reshape(x.size, *x.shape)
    return ((f(x + steps) - f(x - steps)) / (2 * step)).reshape(x.shape)


# ---- saliency


def test_saliency_is_the_largest_numeric_derivative_over_the_channels():
    model, x = small(), pictures()
    found = viz.saliency(model, x, classes=["cat", "ant"])
    for n, k in enumerate((2, 0)):
        gradient = numeric_gradient(lambda x, k=k: model.eval().forward(x)[:, k], x[n])
        np.testing.assert_allclose(found[n], np.abs(gradient).max(axis=0), rtol=1e-5, atol=1e-9)


def test_without_a_class_the_most_probable_one_is_asked_about():
    model, x = small(), pictures(6)
    k = model.eval().forward(x).argmax(1)
    assert np.array_equal(viz.saliency(model, x), viz.saliency(model, x, classes=k))
    assert np.array_equal(viz.grad_cam(model, x), viz.grad_cam(model, x, classes=[CLASSES[i] for i in k]))


def test_of_a_single_score_both_classes_can_be_asked_about():
    model, x = small(outputs=1), pictures(2)
    assert np.array_equal(viz.saliency(model, x, "no"), viz.saliency(model, x, "yes"))  # one falls as the other rises
    yes, no = (viz.grad_cam(model, x, k) for k in (1, 0))
    assert yes.any() and no.any() and not (yes * no).any()  # what speaks for one speaks against the other


@pytest.mark.parametrize(
    "look", [viz.saliency, viz.grad_cam, viz.feature_maps, lambda model, x: viz.occlusion(model, x, stride=4)]
)
def test_looking_changes_nothing(look):
    model = small().train()
    model.freeze(until="pool1")
    model.layers["both"].eval()
    model.classifier.w.grad = kept = np.ones_like(model.classifier.w.value)
    arrays = {name: parameter.value.copy() for name, parameter in model.parameters().items()} | {
        name: array.copy() for name, array in model.state().items()
    }

    def modes():
        return [(layer.training, layer.remembers, layer.needs_dx) for _, layer in model.walk()]

    before, trainable = modes(), [parameter.trainable for parameter in model.parameters().values()]
    x = pictures(1)
    look(model, x)
    assert modes() == before and [parameter.trainable for parameter in model.parameters().values()] == trainable
    assert [name for name, parameter in model.parameters().items() if parameter.grad is not None] == ["scores.w"]
    assert model.classifier.w.grad is kept and (kept == 1).all()
    for name, array in ({n: p.value for n, p in model.parameters().items()} | model.state()).items():
        assert np.array_equal(array, arrays[name]), name
    assert np.array_equal(x, pictures(1))
    assert "forward" not in vars(model.layers["both"]) and "backward" not in vars(model.layers["both"])


def test_looking_in_train_mode_shows_what_inference_does():
    model, x = small(), pictures()
    expected = viz.saliency(model.eval(), x), viz.grad_cam(model, x)
    assert np.array_equal(viz.saliency(model.train(), x), expected[0])
    assert np.array_equal(viz.grad_cam(model, x), expected[1])


def test_a_network_that_is_left_alone_after_an_error_is_in_its_old_mode():
    model = small().train()
    with pytest.raises(ValueError, match="maps"):
        viz.grad_cam(model, pictures(), layer="pool")
    assert model.training and all(parameter.trainable for parameter in model.parameters().values())
    assert "forward" not in vars(model.layers["pool"])


# ---- Grad-CAM


def test_grad_cam_is_the_class_activation_map_where_global_pooling_and_a_linear_layer_follow():
    model, x = small(), pictures(3)
    maps = model.eval().forward(x, layers="both")["both"]
    for k in range(3):
        class_activation_map = np.einsum("c,nchw->nhw", model.classifier.w.value[k], maps)
        expected = np.maximum(class_activation_map, 0) / (4 * 5)
        np.testing.assert_allclose(viz.grad_cam(model, x, k), expected, rtol=1e-12, atol=1e-15)
        assert expected.any()


def test_grad_cam_of_a_layer_inside_a_block_has_the_numeric_derivatives_as_weights():
    model, x = small().eval(), pictures(1)
    relu = model.layers["block"].body.layers["relu"]
    A, k = model.forward(x, layers="block.body.relu")["block.body.relu"], 1

    def score(maps):
        relu.forward = lambda x: maps
        try:
            return model.forward(np.repeat(x, len(maps), axis=0))[:, k]
        finally:
            del relu.forward

    alpha = numeric_gradient(score, A[0]).mean(axis=(1, 2))
    expected = np.maximum(np.einsum("c,nchw->nhw", alpha, A), 0)
    np.testing.assert_allclose(viz.grad_cam(model, x, k, layer="block.body.relu"), expected, rtol=1e-5, atol=1e-9)


def test_grad_cam_takes_the_last_maps_of_more_than_one_place():
    model, x = lenet5(rng=0), np.random.default_rng(0).random((2, 1, 28, 28), np.float32)
    assert list(layers_with_maps(model, x.shape)) == ["c1", "relu1", "s2", "c3", "relu3", "s4"]
    assert viz.grad_cam(model, x).shape == (2, 5, 5)
    assert np.array_equal(viz.grad_cam(model, x), viz.grad_cam(model, x, layer="s4"))


def test_many_pictures_at_once_are_seen_one_by_one():
    model, x = small(), pictures(7)
    for look in (viz.saliency, viz.grad_cam):
        together = look(model, x)
        for n in range(7):
            np.testing.assert_allclose(together[n], look(model, x[n : n + 1])[0], rtol=1e-12)


@pytest.mark.parametrize(
    ("build", "shape"),
    [
        (squeezenet1_1, (3, 63, 63)),
        (googlenet, (3, 64, 64)),
        (mobilenet_v2, (3, 64, 48)),
        (resnet20, (3, 32, 32)),
        (cifar_net, (3, 32, 32)),
    ],
)
def test_networks_of_the_zoo_can_be_looked_into(build, shape):
    model, x = build(5, rng=0), np.random.default_rng(0).standard_normal((1, *shape)).astype(np.float32)
    assert viz.saliency(model, x, 3).shape == (1, *shape[1:])
    assert viz.saliency(model, x, 3).max() > 0
    last = list(layers_with_maps(model, x.shape).values())[-1]
    assert viz.grad_cam(model, x, 3).shape == (1, *last[1:])
    assert viz.feature_maps(model, x, most=2).keys() <= layers_with_maps(model, x.shape).keys()
    assert viz.occlusion(model, x, 3, patch_size=16, stride=16)[0].min() > 0


# ---- occlusion


@pytest.mark.parametrize("patch", [5, 6])
def test_occlusion_covers_one_cell_after_the_other(patch):
    model, x = small().eval(), pictures(2)
    covered, uncovered = viz.occlusion(model, x, classes=[1, 2], patch_size=patch, stride=3, progress=False)
    p = softmax(model.forward(x))
    np.testing.assert_allclose(uncovered, [p[0, 1], p[1, 2]], rtol=1e-12)
    assert covered.shape == (2, 3, 4)
    for n, k in enumerate((1, 2)):
        for row in range(3):
            for column in range(4):
                y, x_ = np.mgrid[:8, :10]
                # the patch has its centre in the middle of the cell, or half a pixel above and to the left of it
                top, left = (math.floor(3 * (i + 0.5) - patch / 2) for i in (row, column))
                grey = (y >= top) & (y < top + patch) & (x_ >= left) & (x_ < left + patch)
                expected = softmax(model.forward(np.where(grey, 0, x[n])[None]))[0, k]
                assert covered[n, row, column] == pytest.approx(expected, rel=1e-12), (n, row, column)


def test_occlusion_finds_the_only_pixel_that_matters():
    model = Model({"flatten": Flatten(), "scores": Linear(36, 2)}, architecture="eye", input_shape=(1, 6, 6))
    model.classifier.w.value[...] = 0
    model.classifier.w.value[1, 2 * 6 + 4] = 3  # row 2, column 4
    covered, uncovered = viz.occlusion(model, np.ones((1, 1, 6, 6), np.float32), 1, patch_size=2, stride=2)
    assert uncovered == pytest.approx(1 / (1 + np.exp(-3)))
    expected = np.full((3, 3), uncovered[0])
    expected[1, 2] = 0.5
    np.testing.assert_allclose(covered[0], expected, rtol=1e-6)


# ---- feature maps and filters


def test_feature_maps_are_the_activations_that_vary_most():
    model, x = small(), pictures(1)
    found = viz.feature_maps(model, x, ["block", "stem.norm"], most=3)
    for name in ("block", "stem.norm"):
        y = model.eval().forward(x, layers=name)[name][0]
        order = np.argsort(-y.std(axis=(1, 2)))[:3]
        assert found[name].shape == y.shape and found[name].channels.tolist() == order.tolist()
        assert np.array_equal(found[name].maps, y[order])
    assert viz.feature_maps(model, x, "both", most=2, which="first")["both"].channels.tolist() == [0, 1]


def test_feature_maps_go_from_the_first_layer_to_the_last_with_maps():
    assert list(viz.feature_maps(small(), pictures(1))) == ["stem", "pool1", "block", "both"]
    deep = Model({f"conv{k}": Conv2d(1, 1, 3, pad=1, rng=k) for k in range(20)}, architecture="deep", input_shape=(1, 4, 4))
    names = list(viz.feature_maps(deep, np.ones((1, 1, 4, 4), np.float32)))
    assert len(names) == 8 and names[0] == "conv0" and names[-1] == "conv19"


def test_filters_are_on_one_scale_with_grey_for_zero():
    model = small()
    w = model.layers["stem"].layers["conv"].w.value
    path, v, m = viz.filter_pictures(model)
    assert path == "stem.conv" and v.shape == (4, 3, 3, 3) and m == np.abs(w).max()
    np.testing.assert_allclose((v - 0.5) * 2 * m, w, atol=1e-12)
    assert v.min() >= 0 and v.max() <= 1 and 1.0 in (v.max(), 1 - v.min())
    assert viz.filter_pictures(model, "block")[0] == "block.body.conv"


def test_filters_of_a_network_that_takes_bgr_are_shown_in_rgb():
    model = squeezenet1_1(5, rng=0)
    rgb = viz.filter_pictures(model)[1]
    model.preprocessing = Preprocessing(size=(63, 63), channels="BGR")
    assert np.array_equal(viz.filter_pictures(model)[1], rgb[:, ::-1])
    deeper = "fire2.squeeze.conv"  # what it looks at is no picture
    assert viz.filter_pictures(model, deeper)[1].shape == (16, 64, 1, 1)


# ---- what cannot be done


@pytest.mark.parametrize(
    ("look", "says"),
    [
        (lambda model, x: viz.saliency(model, x, "dog"), "no class 'dog'; its 3 classes are ant, bee, cat"),
        (lambda model, x: viz.saliency(model, x, 3), "classes 0 to 2, got 3"),
        (lambda model, x: viz.saliency(model, x, [0, 1, 2]), "got 3 classes and 2 pictures"),
        (lambda model, x: viz.saliency(model, x[0]), r"expected an input \(N, C, H, W\)"),
        (lambda model, x: viz.grad_cam(model, x, layer="blok"), "no layer 'blok' in small; did you mean block"),
        (
            lambda model, x: viz.grad_cam(model, x, layer="pool"),
            r"'pool' gives \(2, 7\). Choose one of stem, pool1, block, both",
        ),
        (lambda model, x: viz.grad_cam(model, x, layer="side.head.pool"), "does not run in inference"),
        (lambda model, x: viz.saliency(small_without_top(), x), "include_top=False"),
        (lambda model, x: viz.occlusion(model, x, patch_size=9), "pixels from 1 to the picture's short side, 8; got 9"),
        (lambda model, x: viz.occlusion(model, x, stride=0), "stride is a number of pixels"),
        (lambda model, x: viz.feature_maps(model, x), "one picture at a time"),
        (lambda model, x: viz.feature_maps(model, x[:1], "pool"), "no maps"),
        (lambda model, x: viz.feature_maps(model, x[:1], "nowhere"), "no layer 'nowhere'"),
        (lambda model, x: viz.feature_maps(model, x[:1], which="best"), "'active' or 'first'"),
        (lambda model, x: viz.filter_pictures(model, "scores"), "no convolution in scores"),
        (lambda model, x: viz.grad_cam(flat(), x), "no layer of flat gives feature maps of more than one pixel"),
    ],
)
def test_what_cannot_be_shown_is_said(look, says):
    with pytest.raises(ValueError, match=says):
        look(small(), pictures())


def small_without_top():
    model = small()
    return Model({"stem": model.layers["stem"]}, architecture="small", input_shape=(3, 8, 10))


def flat():
    layers = {"flatten": Flatten(), "scores": Linear(240, 3, rng=0)}
    return Model(layers, architecture="flat", input_shape=(3, 8, 10)).astype(np.float64)
