"""SqueezeNet is the network of its authors, and computes what PyTorch computes from the same weights."""

import json

import numpy as np
import pytest
from PIL import Image
from torch_parity import (
    assert_fusing_changes_nothing,
    assert_same_gradient_in_float32,
    assert_same_gradients,
    assert_same_scores,
    in_torch,
    pictures,
    shaken,
)

import minicnn
from minicnn.cli import main
from minicnn.data.folders import open_pictures
from minicnn.data.preprocessing import Preprocessing
from minicnn.linear_model.base import class_scores
from minicnn.linear_model.softmax_regression import SoftmaxRegression
from minicnn.models import squeezenet1_0, squeezenet1_1
from minicnn.transfer.features import extract_features
from minicnn.transfer.surgery import default_layer, freeze_points, set_head, with_new_head

BOTH = pytest.mark.parametrize("build", [squeezenet1_0, squeezenet1_1], ids=lambda build: build.__name__)


def by_torch(build, num_classes):
    return in_torch().squeezenet(build.__name__.removeprefix("squeezenet"), num_classes)


@pytest.fixture
def shaken_up():
    """Random weights, and scores that are not mostly cut off at zero by the last ReLU."""

    def build_it(build):
        model = shaken(build(7, rng=0))
        model.layers["conv10"].layers["conv"].w.value *= 10
        return model

    return build_it


# ---- the architecture


@pytest.mark.parametrize(
    ("build", "pools", "sizes"), [(squeezenet1_0, "148", [113 - 2, 55, 27, 13]), (squeezenet1_1, "135", [113, 56, 28, 14])]
)
def test_pools_round_up_on_a_picture_of_227(build, pools, sizes):
    """Version 1.0 then has the maps of the paper's table 1, version 1.1 those of the authors' Caffe network."""
    model, shape, maps = build(), (1, 3, 227, 227), {}
    for name, layer in model.layers.items():
        shape = layer.output_shape(shape)
        maps[name] = shape
    assert [maps[name][2] for name in ("conv1", *(f"pool{i}" for i in pools))] == sizes
    assert maps["conv10"][1:] == (1000, sizes[-1], sizes[-1]) and maps["pool10"] == (1, 1000)


def test_no_score_is_below_zero():
    y = squeezenet1_1(rng=0).eval().forward(pictures(1, 3, 65, 97))
    assert y.min() == 0 < y.max()


# ---- against PyTorch


@BOTH
def test_random_weights_give_the_scores_of_pytorch_at_odd_sizes(build, shaken_up):
    theirs, model, x = by_torch(build, 7), shaken_up(build), pictures(2, 3, 65, 97)
    assert_same_scores(model, theirs, x)
    assert_fusing_changes_nothing(model, x)


@pytest.mark.parametrize("assert_same", [assert_same_gradients, assert_same_gradient_in_float32])
def test_a_training_step_gives_the_gradients_of_pytorch(shaken_up, assert_same):
    theirs = by_torch(squeezenet1_1, 7)
    assert_same(shaken_up(squeezenet1_1), theirs, (3, 3, 65, 50))


def test_a_saved_squeezenet_is_the_same_network(tmp_path, shaken_up):
    model, x = shaken_up(squeezenet1_1), pictures(1, 3, 40, 33)
    model.save(tmp_path / "squeezenet.h5")
    assert np.array_equal(minicnn.load(tmp_path / "squeezenet.h5").forward(x), model.forward(x))


# ---- transfer


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Twenty dark and twenty bright pictures of noise."""
    monkeypatch.setenv("MINICNN_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(5)
    for name, brightness in (("bright", 180), ("dark", 80)):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for i in range(20):
            picture = rng.normal(brightness, 30, (40, 44, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(picture).save(tmp_path / "pictures" / name / f"{i:02}.png")
    return tmp_path / "pictures"


@pytest.fixture
def pretrained():
    """On nothing, but with everything a trained network has."""
    model = squeezenet1_1(5, rng=0).eval()
    model.preprocessing, model.input_shape = Preprocessing(size=(40, 44), mean=127.0, std=64.0), (3, 40, 44)
    return model


def test_its_codes_are_the_averages_of_the_last_fire_module(pretrained, folder):
    fitted, _ = open_pictures(folder).fitted(pretrained.preprocessing, progress=False)
    codes = extract_features(pretrained, fitted, progress=False)
    maps = pretrained.features(pretrained.preprocessing.normalise(fitted), "fire9")
    assert default_layer(pretrained) == "fire9" and codes.shape == (40, 512)
    np.testing.assert_allclose(codes, maps.mean(axis=(2, 3)), rtol=1e-4, atol=1e-6)


def test_a_linear_classifier_of_the_codes_becomes_its_last_convolution(pretrained, folder):
    fitted, opened = open_pictures(folder).fitted(pretrained.preprocessing, progress=False)
    codes = extract_features(pretrained, fitted, progress=False)
    classifier = SoftmaxRegression().fit(codes, opened.labels)
    model = with_new_head(pretrained, "fire9", opened.classes)
    set_head(model, classifier)
    scores = model.eval().forward(model.preprocessing.normalise(fitted))
    assert scores.min() < 0, "no ReLU cuts them off"
    np.testing.assert_allclose(scores, class_scores(classifier.decision_function(codes)), rtol=1e-3, atol=1e-3)


def test_the_cuts_for_fine_tuning_are_below_the_classifier(pretrained):
    """conv10, the classifier, has a quarter of all multiply-adds; were they counted, the first cut would be after fire8."""
    assert freeze_points(squeezenet1_1()) == ("fire5", "fire3")


def test_the_command_transfers_it_and_the_saved_network_predicts(pretrained, folder, tmp_path, capsys):
    pretrained.save(tmp_path / "squeezenet.h5")
    arguments = ["--data", str(folder), "--model", str(tmp_path / "squeezenet.h5"), "--out", str(tmp_path / "report")]
    assert main(["transfer", *arguments, "--quick", "--seeds", "1"]) == 0
    results = json.loads((tmp_path / "report" / "results.json").read_text())
    assert [strategy["key"] for strategy in results["strategies"]] == ["svm", "softmax", "finetune-upper"]
    accuracies = {strategy["key"]: strategy["runs"][0]["accuracy"] for strategy in results["strategies"]}
    assert min(accuracies["svm"], accuracies["softmax"]) == 1, accuracies
    model = minicnn.load(tmp_path / "report" / "model.h5")
    assert list(model.layers["conv10"].layers) == ["conv"] and model.classes == ["bright", "dark"]
    assert model.predict(folder / "dark" / "03.png").tolist() == ["dark"]
