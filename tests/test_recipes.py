"""Recipes train what they say, as they say; and the speed run in PyTorch is the same run."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from minicnn.recipes import RECIPES, USUAL, AdamWRecipe, MuonSpeedRun, Recipe, SpeedRun
from minicnn.recipes.base import build, preprocessing_of
from minicnn.recipes.speed_run import six_view_scores
from minicnn.training.callbacks import Callback

CLASSES = [str(digit) for digit in range(10)]


def pictures(n=60, side=32, channels=3, seed=0):
    """Noise with a bright bar whose place tells the class, uint8 (n, side, side, channels), and the classes."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 10
    x = rng.integers(0, 60, (n, side, side, channels))
    for picture, k in zip(x, y, strict=True):
        picture[2 * k : 2 * k + 4] += 150
    return x.astype(np.uint8), y


# ---- all of them


def test_training_pictures_are_prepared_to_mean_zero_and_variance_one():
    x, _ = pictures()
    x[..., 1] //= 3
    prepared = preprocessing_of(x).normalise(x)
    np.testing.assert_allclose(prepared.mean(axis=(0, 2, 3), dtype=np.float64), 0, atol=1e-5)
    np.testing.assert_allclose(prepared.std(axis=(0, 2, 3), dtype=np.float64), 1, atol=1e-5)
    assert preprocessing_of(x[..., :1]).channels == "L"


def test_a_channel_that_never_varies_is_not_divided_by_zero():
    assert preprocessing_of(np.full((3, 4, 4, 1), 7, np.uint8)).std == (1.0,)


@pytest.mark.parametrize("recipe", [Recipe("lenet5", 12, 10, learning_rate=0.01), AdamWRecipe("lenet5", 12, 10)])
def test_a_plain_recipe_learns(recipe):
    x, y = pictures(side=28, channels=1)
    model = recipe.network(x, CLASSES, seed=0)
    history = recipe.trainer(model, seed=0, progress=False).fit(x, y)
    assert model.classes == CLASSES and history.epochs[-1]["loss"] < 0.7 * history.epochs[0]["loss"]


@pytest.mark.parametrize("name", RECIPES)
def test_each_named_recipe_builds_its_network_and_trainer(name):
    recipe = RECIPES[name]
    x, _ = pictures(20, *((28, 1) if recipe.architecture == "lenet5" else (32, 3)))
    model = recipe.network(x, CLASSES, seed=0)
    trainer = recipe.trainer(model, seed=0)
    assert model.architecture == recipe.architecture and trainer.epochs == recipe.epochs
    varied = trainer.augment(x, np.random.default_rng(0)) if "speed-run" not in name else x
    assert varied.shape == x.shape and model.forward(trainer.prepare(varied)).shape == (20, 10)


def test_a_recipe_may_drop_less_than_the_architecture_does():
    x = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), np.uint8)
    dropped = {recipe: RECIPES[recipe].network(x, ["a", "b"], seed=0).layers["drop4"].p for recipe in ("clothes", "objects")}
    assert dropped == {"clothes": 0.5, "objects": 0.2}


def test_the_usual_recipes_are_there():
    assert set(USUAL.values()) <= set(RECIPES)


def test_an_architecture_that_does_not_fit_the_pictures_is_refused():
    with pytest.raises(ValueError, match="lenet5 does not take pictures of 20 x 20 with 3 channels"):
        build("lenet5", 10, (20, 20, 3), seed=0)
    with pytest.raises(ValueError, match="there is no architecture 'vgg99'; there are alexnet"):
        Recipe("vgg99").network(pictures()[0], CLASSES, seed=0)
    with pytest.raises(ValueError, match="speed-run is for speed_net, got lenet5"):
        SpeedRun().network(pictures()[0], CLASSES, seed=0, architecture="lenet5")


@pytest.mark.parametrize("channels", [1, 3])
def test_networks_are_built_for_the_channels_of_the_pictures(channels):
    for name in ("vgg_small", "speed_net", "resnet20"):
        assert build(name, 5, (32, 32, channels), seed=0).input_shape == (channels, 32, 32)


# ---- the speed run

SMALL = SpeedRun(epochs=5, batch_size=20, lookahead=False)


@pytest.fixture(scope="module")
def trained():
    x, y = pictures()
    model = SMALL.network(x, CLASSES, seed=0)
    before = {name: p.value.copy() for name, p in model.parameters().items()}
    biases = []

    class Look(Callback):
        def on_epoch_end(self, run):
            biases.append(model.layers["whiten"].b.value.copy())

    SMALL.trainer(model, seed=0, progress=False, callbacks=[Look()]).fit(x, y)
    return model, before, biases


def test_the_whitening_stays_and_its_bias_is_trained_for_three_epochs(trained):
    model, before, (_, second, third, fourth, last) = trained
    np.testing.assert_array_equal(model.layers["whiten"].w.value, before["whiten.w"])
    assert not np.array_equal(second, third)
    np.testing.assert_array_equal(fourth, last)


def test_gammas_stay_one_and_betas_move(trained):
    parameters = trained[0].parameters()
    assert all((p.value == 1).all() for name, p in parameters.items() if name.endswith(".gamma"))
    assert all((p.value != 0).any() for name, p in parameters.items() if name.endswith(".beta"))


def test_whitened_pictures_are_not_correlated():
    x, _ = pictures(200)
    model = SpeedRun().network(x, CLASSES, seed=0)
    maps = model.layers["whiten"].forward(model.preprocessing.normalise(x))[:, :12]
    outputs = maps.transpose(1, 0, 2, 3).reshape(12, -1)
    covariance = np.cov(outputs)
    np.testing.assert_allclose(covariance, np.diag(np.diag(covariance)), atol=1e-3)
    np.testing.assert_allclose(np.diag(covariance), 1, atol=0.02)


def test_rates_and_decays_of_the_groups():
    model = SpeedRun().network(pictures()[0], CLASSES, seed=0)
    others, betas, head = SpeedRun(learning_rate=2.0, weight_decay=0.01).optimizer(model).optimizers
    assert (others.learning_rate, betas.learning_rate) == (2.0, 128.0)
    assert head.learning_rate == pytest.approx(2 / 81)
    for group in (others, betas, head):
        assert group.learning_rate * group.weight_decay == pytest.approx(0.02)
        assert group.momentum == 0.85 and group.nesterov
    assert len(betas.parameters) == 6 and list(head.parameters) == ["fc.w"]
    assert replace(SpeedRun(), fast_biases=False).optimizer(model).optimizers[1].learning_rate == 1.5


def test_muon_has_the_filters_and_sgd_what_else_there_is():
    model = MuonSpeedRun().network(pictures()[0], CLASSES, seed=0)
    muon, biases, head = MuonSpeedRun().optimizer(model).optimizers
    assert list(muon.parameters) == [f"block{i}.conv{j}.w" for i in (1, 2, 3) for j in (1, 2)]
    assert set(biases.parameters) >= {"whiten.b", "block1.norm1.beta"} and list(head.parameters) == ["fc.w"]
    assert len(muon.parameters) + len(biases.parameters) + 1 == len(model.parameters())
    for group in (biases, head):
        assert group.learning_rate * group.weight_decay == pytest.approx(0.004)


def test_with_muon_filters_keep_their_lengths_and_the_run_learns():
    x, y = pictures()
    recipe = MuonSpeedRun(epochs=5, batch_size=20, learning_rate=0.1)
    model, lengths = recipe.network(x, CLASSES, seed=0), []

    class Look(Callback):
        def on_gradients(self, run):
            lengths.append(
                [
                    np.linalg.norm(p.value) / len(p.value) ** 0.5
                    for p in recipe.optimizer(model).optimizers[0].parameters.values()
                ]
            )

    history = recipe.trainer(model, seed=0, progress=False, callbacks=[Look()]).fit(x, y)
    np.testing.assert_allclose(lengths, 1, rtol=1e-5)
    assert len(lengths) == 15 and history.epochs[-1]["loss"] < 0.9 * history.epochs[0]["loss"]


def test_each_ingredient_can_be_left_out():
    x, _ = pictures()
    full, bare = SpeedRun(), SpeedRun(whitening=False, dirac=False, lookahead=False, alternating_flip=False)
    assert full.network(x, CLASSES, 0).parameters()["block1.conv2.w"].value[3, 3, 1, 1] == 1
    model = bare.network(x, CLASSES, 0)
    assert model.parameters()["block1.conv2.w"].value[3, 3, 1, 1] != 1 and model.layers["whiten"].w.trainable
    assert len(bare.trainer(model, 0).callbacks) == 0 and len(full.trainer(full.network(x, CLASSES, 0), 0).callbacks) == 2
    assert "every other epoch" not in bare.trainer(model, 0).augment.describe()


def test_six_views_are_weighted_as_the_paper_has_it():
    x = np.arange(9, dtype=np.float64).reshape(1, 1, 3, 3)
    left_column = six_view_scores(lambda view: view[:, 0, 0, :1], x)
    # top-left pixels: 0; mirrored 2; moved down-right what came in by reflection: 4, mirrored 4; moved up-left: 4, mirrored 4
    assert left_column == pytest.approx((0 + 2) / 4 + (4 + 4) / 8 + (4 + 4) / 8)


def test_pytorch_runs_the_same_recipe():
    pytest.importorskip("torch")
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from benchmarks.cifar_speedrun import train_here, train_with_pytorch

    x, y = pictures(40)
    recipe = SpeedRun(epochs=2, batch_size=20, learning_rate=0.3)
    model = recipe.network(x, CLASSES, seed=3)
    batch = model.preprocessing.normalise(x)
    ours, theirs = (train(recipe, model, x, y, 3)(batch) for train in (train_here, train_with_pytorch))
    moved = abs(ours - model.eval().forward(batch)).max()
    assert moved > 0.02 and abs(ours - theirs).max() < 0.05 * moved
