"""Two classes, one score: the same as two scores under a softmax, from the loss to the trained network's answers."""

import numpy as np
import pytest

import minicnn
from minicnn.data.augmentation import Augmentation
from minicnn.layers import Conv2d, Flatten, GlobalAvgPool2d, Linear, ReLU
from minicnn.losses import BinaryLogistic, SoftmaxCrossEntropy, softmax
from minicnn.models import Model, lenet5, squeezenet1_1
from minicnn.models.predictions import number_of_classes, probabilities, scores_of_classes
from minicnn.optim import SGD
from minicnn.transfer.finetune import Phase, fine_tune
from minicnn.transfer.sigmoid_head import loss_of, to_one_sigmoid, train_head, with_small_head

CLASSES = ["lying", "upright"]


def bars(n, seed=0):
    """Bright bars on noise, lying (0) or upright (1): uint8 (n, 28, 28, 1) and labels."""
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 60, (n, 28, 28, 1), dtype=np.uint8), np.arange(n) % 2
    for picture, label in zip(x, y, strict=True):
        across, along = rng.integers(4, 20), rng.integers(2, 8)
        bar = picture.swapaxes(0, 1) if label else picture
        bar[across : across + 4, along : along + 18] = 230
    return x, y


# ---- one score and two


def test_the_loss_of_the_difference_is_the_loss_of_two_scores():
    s, t = np.random.default_rng(0).normal(0, 3, (50, 2)), np.random.default_rng(1).integers(0, 2, 50)
    two, one = SoftmaxCrossEntropy(), BinaryLogistic()
    assert one.forward(s[:, 1] - s[:, 0], t) == pytest.approx(two.forward(s, t), rel=1e-12)
    d_one, d_two = one.backward(), two.backward()
    np.testing.assert_allclose(d_two[:, 1], d_one, rtol=1e-10)
    np.testing.assert_allclose(d_two[:, 0], -d_one, rtol=1e-10)


def test_the_sigmoid_of_the_difference_is_the_softmax():
    s = np.random.default_rng(0).normal(0, 3, (50, 2))
    np.testing.assert_allclose(probabilities(s[:, 1:] - s[:, :1]), softmax(s), rtol=1e-12)
    sigmoid = 1 / (1 + np.exp(-s[:, 0]))
    np.testing.assert_allclose(probabilities(s[:, 0]), np.stack([1 - sigmoid, sigmoid], axis=1), rtol=1e-10)


def test_scores_of_several_classes_stay_as_they_are():
    s = np.ones((4, 3), np.float32)
    assert scores_of_classes(s) is s
    assert scores_of_classes(np.ones((2, 1), np.float32)).dtype == np.float32
    assert [number_of_classes((1, k)) for k in (1, 2, 7)] == [2, 2, 7]
    with pytest.raises(ValueError, match=r"\(2, 1, 5\)"):
        scores_of_classes(np.ones((2, 1, 5)))


def test_two_scores_learn_twice_as_fast_as_their_difference():
    x, t = np.random.default_rng(0).standard_normal((20, 4)), np.arange(20) % 2
    two = Linear(4, 2, rng=0).astype(np.float64).train()
    one = Linear(4, 1, rng=0).astype(np.float64).train()
    one.w.value[...] = start = two.w.value[1:] - two.w.value[:1]
    for layer, loss in ((two, SoftmaxCrossEntropy()), (one, BinaryLogistic())):
        loss.forward(layer.forward(x), t)
        layer.backward(loss.backward())
        SGD(layer.parameters(), 0.1).step()
    np.testing.assert_allclose(two.w.value[1:] - two.w.value[:1] - start, 2 * (one.w.value - start), rtol=1e-10)


def test_one_score_can_say_what_two_have_said():
    two, (x, _) = lenet5(2, rng=0), bars(6)
    two.classes = CLASSES
    one, x = to_one_sigmoid(two), two.preprocess(x)
    assert one.eval().forward(x).shape == (6, 1) and two.eval().forward(x).shape == (6, 2)
    np.testing.assert_allclose(probabilities(one.forward(x)), probabilities(two.forward(x)), rtol=1e-5)
    assert one.architecture == "lenet5 with one sigmoid" and one.classes == CLASSES


def test_a_map_of_scores_becomes_a_map_of_one_score():
    layers = {"conv": Conv2d(1, 4, 3, rng=0), "relu": ReLU(), "scores": Conv2d(4, 2, 1, rng=1), "pool": GlobalAvgPool2d()}
    two, x = (
        Model(layers, architecture="maps", input_shape=(1, 6, 6)),
        np.random.default_rng(0).random((3, 1, 6, 6), np.float32),
    )
    np.testing.assert_allclose(probabilities(to_one_sigmoid(two).forward(x)), probabilities(two.forward(x)), rtol=1e-5)


def test_scores_that_are_not_linear_have_no_single_one():
    with pytest.raises(ValueError, match="there is a ReLU on them"):
        to_one_sigmoid(squeezenet1_1(2, rng=0))
    with pytest.raises(ValueError, match=r"two scores, \(1, 2\) for one picture; lenet5 gives \(1, 10\)"):
        to_one_sigmoid(lenet5(rng=0))


# ---- a network with one score


def model_of(score, classes=CLASSES):
    """One that gives this score to every picture."""
    model = Model(
        {"flatten": Flatten(), "score": Linear(784, 1)}, architecture="sigmoid", input_shape=(1, 28, 28), classes=classes
    )
    model.classifier.w.value[...], model.classifier.b.value[...] = 0, score
    model.preprocessing = lenet5().preprocessing
    return model


def test_predict_names_both_classes_with_p_and_one_minus_p():
    p = 1 / (1 + np.exp(-1.5))
    for score, expected in ((1.5, [("upright", p), ("lying", 1 - p)]), (-1.5, [("lying", p), ("upright", 1 - p)])):
        (answers,) = model_of(score).top_classes(bars(1)[0][0])
        assert [name for name, _ in answers] == [name for name, _ in expected]
        assert [value for _, value in answers] == pytest.approx([value for _, value in expected])
    (answers,) = model_of(1.5, classes=None).top_classes(bars(1)[0][0])
    assert [name for name, _ in answers] == ["class 1", "class 0"]


def test_a_network_with_one_score_survives_saving(tmp_path):
    model = model_of(0.7)
    model.save(tmp_path / "model.h5")
    again = minicnn.load(tmp_path / "model.h5")
    assert again.classes == CLASSES and again.top_classes(bars(2)[0][0]) == model.top_classes(bars(2)[0][0])


@pytest.mark.parametrize("classes", [["lying"], ["lying", "upright", "round"]])
def test_one_score_speaks_for_exactly_two_classes(classes):
    with pytest.raises(ValueError, match=r"gives scores \(1, 1\) for one picture"):
        model_of(0.0, classes)


# ---- the recipe


@pytest.mark.parametrize("outputs", [1, 2])
def test_bottleneck_features_then_fine_tuning(outputs):
    pretrained = minicnn.load("lenet5_mnist")
    before = {name: parameter.value.copy() for name, parameter in pretrained.parameters().items()}
    model = with_small_head(pretrained, CLASSES, outputs, hidden=16, rng=0)
    train, val, test = bars(48), bars(16, seed=1), bars(40, seed=2)
    loss = loss_of(model)
    assert isinstance(loss, BinaryLogistic if outputs == 1 else SoftmaxCrossEntropy)

    history = train_head(model, train, val, epochs=12, learning_rate=1e-2, progress=False)
    assert history.epochs[0]["loss"] < 1 and history.best["val_loss"] < 0.3
    shared = [name for name in model.parameters() if name in before]
    assert len(shared) == 8 and all(np.array_equal(model.parameters()[name].value, before[name]) for name in shared)

    phase = Phase("fine-tuning", "s4", epochs=2, learning_rate=1e-3, body_multiplier=1.0, views=2)
    history = fine_tune(model, phase, train, val, Augmentation(shift=0.05), progress=False, loss=loss)
    changed = {name for name in shared if not np.array_equal(model.parameters()[name].value, before[name])}
    assert changed == {"c5.w", "c5.b", "f6.w", "f6.b"}
    assert history.best["val_loss"] < 0.2
    assert model.score(*test) > 0.9
    assert all(np.array_equal(pretrained.parameters()[name].value, before[name]) for name in before)


def test_the_usual_rate_is_a_thousandth_on_batches_of_sixteen():
    weights = []
    for options in ({}, {"learning_rate": 1e-3, "batch_size": 16}):
        model = with_small_head(minicnn.load("lenet5_mnist"), CLASSES, 1, hidden=4, rng=0)
        train_head(model, bars(40), bars(16, seed=1), epochs=1, progress=False, **options)
        weights.append(model.parameters()["small_head.score.w"].value)
    np.testing.assert_array_equal(*weights)


def test_two_scores_without_a_bias_become_one_without():
    rng = np.random.default_rng(0)
    two = Model({"scores": Linear(4, 2, bias=False, rng=rng)}, architecture="line", input_shape=(4,), classes=CLASSES)
    x = rng.standard_normal((6, 4)).astype(np.float32)
    s = two.forward(x)
    np.testing.assert_allclose(to_one_sigmoid(two).forward(x)[:, 0], s[:, 1] - s[:, 0], rtol=1e-5, atol=1e-6)


def test_codes_that_are_maps_are_averaged_over_space():
    model = with_small_head(squeezenet1_1(rng=0), CLASSES, hidden=8, rng=0)
    assert list(model.layers)[-3:] == ["fire9", "codes", "small_head"]
    assert model.output_shape((1, 3, 63, 63)) == (1, 1) and model.classifier_name == "small_head.score"
    again = with_small_head(model, ["cat", "dog"], 2, hidden=4, rng=0)
    assert list(again.layers) == list(model.layers) and again.output_shape((1, 3, 63, 63)) == (1, 2)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: with_small_head(lenet5(), ["a", "b", "c"]), "two classes and 1 or 2 outputs"),
        (lambda: with_small_head(lenet5(), ["a", "a"]), "two classes"),
        (lambda: with_small_head(lenet5(), CLASSES, outputs=3), "and 3 outputs"),
        (lambda: train_head(lenet5(), bars(4), bars(4)), "lenet5 has no small head to train"),
    ],
)
def test_what_cannot_be_built_is_said(call, says):
    with pytest.raises(ValueError, match=says):
        call()
