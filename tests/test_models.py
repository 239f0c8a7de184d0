"""What a Model is beyond its layers: pictures in, names out; frozen parts; new heads; a table."""

import copy
import pickle

import numpy as np
import pytest

import minicnn
from minicnn.data.preprocessing import Preprocessing
from minicnn.layers import (
    BatchNorm2d,
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
from minicnn.losses import SoftmaxCrossEntropy
from minicnn.models import Model, googlenet, lenet5, resnet20
from minicnn.models.model import PICTURES_WORTH_FUSING, FusedModel
from minicnn.models.strict import arrays_of
from minicnn.transfer.surgery import with_new_head


@pytest.fixture
def net():
    """Two convolutions, the second with a shortcut and batch norm, and a classifier inside a container."""
    rng = np.random.default_rng(0)
    layers = {
        "conv1": Conv2d(3, 4, 3, stride=2, pad=1, rng=rng),
        "block1": Residual(Sequential(conv=Conv2d(4, 4, 3, pad=1, bias=False, rng=rng), norm=BatchNorm2d(4), relu=ReLU())),
        "block10": Sequential(conv=Conv2d(4, 6, 1, rng=rng), relu=ReLU()),
        "pool": GlobalAvgPool2d(),
        "top": Sequential(dropout=Dropout(0.5, rng=0), classifier=Linear(6, 3, rng=rng)),
    }
    return Model(
        layers,
        architecture="small",
        input_shape=(3, 9, 8),
        preprocessing=Preprocessing(size=(9, 8), mean=127, std=64),
        classes=["cat", "dog", "cow"],
    )


@pytest.fixture
def picture():
    return np.random.default_rng(1).integers(0, 256, (20, 30, 3), dtype=np.uint8)


def frozen(model):
    return {name for name, parameter in model.parameters().items() if not parameter.trainable}


# ---- pictures


def test_scores_probabilities_labels_and_rankings_say_the_same(net, picture):
    pictures = [picture, np.roll(picture, 7, axis=1)]
    scores = net.eval().forward(net.preprocess(pictures))
    p = np.exp(scores.astype(np.float64)) / np.exp(scores.astype(np.float64)).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(net.decision_function(pictures), scores, rtol=1e-6)
    np.testing.assert_allclose(net.predict_proba(pictures), p, rtol=1e-5)
    assert net.predict(pictures).tolist() == [net.classes[k] for k in scores.argmax(axis=1)]
    for ranking, row in zip(net.top_classes(pictures, top=3), p, strict=True):
        assert [name for name, _ in ranking] == [net.classes[k] for k in np.argsort(-row)]
        assert [probability for _, probability in ranking] == pytest.approx(sorted(row, reverse=True), rel=1e-5)


def test_the_score_is_the_accuracy_for_names_and_for_numbers(net, picture):
    pictures = [np.roll(picture, i, axis=0) for i in range(4)]
    names = net.predict(pictures)
    wrong = [next(name for name in net.classes if name != names[0]), *names[1:]]
    assert net.score(pictures, names) == 1 and net.score(pictures, wrong) == 0.75
    numbers = [net.classes.index(name) for name in wrong]
    assert net.score(np.stack(pictures), numbers) == 0.75
    assert net.score(picture, names[0]) == 1
    net.classes = None
    assert net.score(pictures, numbers) == 0.75 and net.predict(pictures).dtype.kind == "i"


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["cat", "horse"], r"'horse': no classes of small; labels are the names cat, dog, cow, \.\.\. or the numbers"),
        ([0, 3], "3: no classes of small"),
        ([-1, 0], "-1: no classes of small"),
        ([0.0, 1.0], "0.0, 1.0: no classes"),
        (["cat"], r"a label for each of 2 pictures, at least one, got labels \(1,\)"),
    ],
)
def test_labels_that_are_no_classes_or_too_few_have_no_score(net, picture, labels, message):
    with pytest.raises(ValueError, match=message):
        net.score([picture, picture], labels)
    with pytest.raises(ValueError, match="0 pictures, at least one"):
        net.score([], [])


def test_two_classes_may_share_one_score(picture):
    model = Model(
        {"pool": GlobalAvgPool2d(), "score": Linear(3, 1, rng=0)},
        architecture="one score",
        input_shape=(3, 9, 8),
        preprocessing=Preprocessing(size=(9, 8), mean=127, std=64),
        classes=["a", "b"],
    )
    (score,) = model.decision_function(picture).tolist()
    assert len(score) == 1
    expected = 1 / (1 + np.exp(-score[0]))
    np.testing.assert_allclose(model.predict_proba(picture), [[1 - expected, expected]], rtol=1e-5)
    assert model.score(picture, int(expected > 0.5)) == 1


def test_with_a_symmetry_a_turned_picture_has_the_same_probabilities(net, picture):
    net.preprocessing = Preprocessing(size=9, mean=127, std=64, symmetry="square")
    square = picture[:9, :9]
    straight, *turned = net.predict_proba([square, square[::-1], np.rot90(square)])
    for p in turned:
        assert p == pytest.approx(straight, abs=1e-6)
    net.preprocessing = Preprocessing(size=9, mean=127, std=64)
    plain = net.predict_proba([square, np.rot90(square)])
    assert plain[0] != pytest.approx(plain[1], abs=1e-6)


def test_one_picture_or_several_are_taken_and_no_more_classes_given_than_asked_for(net, picture):
    assert len(net.predict(picture)) == len(net.top_classes(picture)) == 1
    assert [len(ranking) for ranking in net.top_classes([picture] * 5, top=2)] == [2] * 5
    assert net.predict_proba(np.stack([picture] * 5)).shape == (5, 3)
    assert net.top_classes([]) == [] and net.predict([]).shape == (0,) and net.predict_proba([]).shape == (0, 3)


def test_many_pictures_get_what_each_of_them_gets(net, picture):
    pictures = [np.roll(picture, i, axis=0) for i in range(PICTURES_WORTH_FUSING)]
    together, alone = net.predict_proba(pictures), np.concatenate([net.predict_proba(one) for one in pictures])
    assert len(np.unique(alone, axis=0)) > 1
    np.testing.assert_allclose(together, alone, atol=1e-5)


@pytest.mark.parametrize("mode", [{"training": True, "remembers": True}, {"training": False, "remembers": True}])
def test_predictions_do_not_drop_units_and_leave_the_mode_as_it_was(net, picture, mode):
    net.train() if mode["training"] else net.eval(backward=True)
    assert np.array_equal(net.predict_proba(picture), net.predict_proba(picture))
    dropout = net.layers["top"].layers["dropout"]
    for layer in (net, dropout):
        assert {name: getattr(layer, name) for name in mode} == mode


def test_a_model_without_class_names_numbers_them(net, picture):
    net.classes = None
    assert {name for name, _ in net.top_classes(picture)[0]} == {"class 0", "class 1", "class 2"}


def test_a_model_without_preprocessing_says_what_is_missing(net, picture):
    net.preprocessing = None
    with pytest.raises(ValueError, match="small does not know how pictures are to be prepared"):
        net.predict(picture)


# ---- fused


def test_a_fused_model_predicts_the_same_is_not_fused_again_and_can_be_copied(net, picture, monkeypatch):
    pictures = [np.roll(picture, i, axis=0) for i in range(PICTURES_WORTH_FUSING)]
    expected, fused = net.predict_proba(pictures), net.fuse()
    assert isinstance(fused, FusedModel) and fused.config().keys() == net.config().keys()
    copies = [
        fused.copy(),
        copy.copy(fused),
        copy.deepcopy(fused),
        pickle.loads(pickle.dumps(fused)),
        FusedModel(**fused.config()),
    ]
    monkeypatch.setattr(Model, "fuse", lambda self: pytest.fail("fused again"))
    for model in [fused, *copies]:
        np.testing.assert_allclose(model.predict_proba(pictures), expected, atol=1e-6)
        for _ in range(3):  # recorded the second time, replayed the third
            np.testing.assert_allclose(model.predict_proba(picture), net.predict_proba(picture), atol=1e-6)
        assert model.predict(picture) == net.predict(picture) and model.classes == net.classes


def test_a_fused_model_shares_no_weights_with_the_model_or_its_copy(net):
    fused = net.fuse()
    other = fused.copy()
    for array in arrays_of(other).values():
        array += 1
    for model in (net, fused):
        assert all(np.isfinite(array).all() for array in arrays_of(model).values())
    for ours, theirs in zip(arrays_of(fused).values(), arrays_of(other).values(), strict=True):
        assert not np.array_equal(ours, theirs)


def test_a_fused_model_can_be_cut_and_looked_into_but_not_trained_or_saved(net, picture, tmp_path):
    fused, x = net.fuse(), net.eval().preprocess(picture)
    cut = fused.cut("block1")
    assert isinstance(cut, FusedModel) and list(cut.layers) == ["conv1", "block1"]
    np.testing.assert_allclose(cut.forward(x), net.features(x, "block1"), atol=1e-6)
    np.testing.assert_allclose(fused.features(x, "block1"), net.features(x, "block1"), atol=1e-6)
    assert fused.summary().splitlines()[-1] == net.summary().splitlines()[-1]
    with pytest.raises(ValueError, match=r"cannot be saved: .* is not one of minicnn\.layers"):
        fused.save(tmp_path / "fused.h5")
    assert not list(tmp_path.iterdir())
    with pytest.raises(RuntimeError, match="inference"):
        fused.train().forward(x)


# ---- names and layers


def test_class_names_must_be_as_many_as_scores(net):
    with pytest.raises(ValueError, match=r"scores \(1, 3\) for one picture, and 2 classes"):
        Model(net.layers, architecture="small", input_shape=(3, 9, 8), classes=["cat", "dog"])


def test_features_are_the_activations_at_a_layer(net, picture):
    x = net.eval().preprocess(picture)
    by_hand = net.layers["block1"].forward(net.layers["conv1"].forward(x))
    assert np.array_equal(net.features(x, "block1"), by_hand)
    with pytest.raises(ValueError, match="block1, block10"):
        net.features(x, "block2")


def test_a_network_without_its_top_has_no_classes_to_predict():
    model = lenet5(include_top=False)
    with pytest.raises(ValueError, match=r"lenet5 gives \(1, 120, 1, 1\) for one picture, not scores of classes"):
        model.predict(np.zeros((28, 28), np.uint8))


# ---- freezing


def test_freeze_until_includes_the_layer_and_all_below_it(net):
    net.freeze(until="block1")
    assert frozen(net) == {"conv1.w", "conv1.b", "block1.body.conv.w", "block1.body.norm.gamma", "block1.body.norm.beta"}


def test_freezing_by_path_means_whole_names(net):
    net.freeze(names=["block1", "top.classifier.b"])
    assert "block1.body.conv.w" in frozen(net) and "top.classifier.b" in frozen(net)
    assert not any(name.startswith("block10") for name in frozen(net))


def test_freeze_without_arguments_freezes_all_and_with_them_thaws_nothing(net):
    everything = set(net.parameters())
    assert frozen(net.freeze()) == everything
    assert frozen(net.freeze(until="conv1")) == everything
    net.unfreeze()
    assert frozen(net) == set()


@pytest.mark.parametrize("arguments", [{"until": "block2"}, {"names": ["conv1", "block"]}, {"names": "top.b"}])
def test_an_unknown_name_is_refused_with_the_names_there_are(net, arguments):
    with pytest.raises(ValueError, match="conv1, block1, block10, pool, top"):
        net.freeze(**arguments)
    assert frozen(net) == set()


def test_frozen_layers_are_bit_identical_after_training_steps_and_the_others_are_not(net):
    net.freeze(until="block1")
    before = {name: array.copy() for name, array in arrays_of(net).items()}
    net.train()
    x = np.random.default_rng(2).standard_normal((4, 3, 9, 8)).astype(np.float32)
    for _ in range(2):
        net.backward(np.ones_like(net.forward(x)))
        for parameter in net.parameters().values():
            if parameter.trainable:
                parameter.value -= 0.1 * parameter.grad
    changed = {name for name, array in arrays_of(net).items() if not np.array_equal(array, before[name])}
    assert changed == {"block10.conv.w", "block10.conv.b", "top.classifier.w", "top.classifier.b"}


# ---- heads and copies


def test_a_new_head_has_the_old_width_new_classes_and_starts_undecided(net):
    net.train()
    head = net.replace_head(["good", "bad"], rng=0)
    assert net.layers["top"].layers["classifier"] is head
    assert (head.in_features, head.out_features, head.name, head.training) == (6, 2, "top.classifier", True)
    assert head.w.value.std() == pytest.approx(0.01, rel=0.6) and not head.b.value.any()
    assert net.classes == ["good", "bad"] and net.output_shape((1, 3, 9, 8)) == (1, 2)


def test_a_new_head_repeats_for_a_seed_and_can_be_without_names(net):
    other = net.copy()
    assert np.array_equal(net.replace_head(4, rng=7).w.value, other.replace_head(4, rng=7).w.value)
    assert net.classes is None


def test_a_top_level_classifier_is_replaced_in_its_place():
    model = lenet5(rng=0)
    assert model.classifier_name == "output"
    model.replace_head(3)
    assert list(model.layers)[-1] == "output" and model.layers["output"].out_features == 3


@pytest.mark.parametrize("classes", ["cats", ["a", "a"]])
def test_class_names_of_a_head_must_be_a_list_of_different_names(net, classes):
    with pytest.raises(ValueError, match="names that differ"):
        net.replace_head(classes)


@pytest.fixture
def map_of_scores():
    """A network whose classifier is a 1x1 convolution, with a ReLU that cuts scores off, under an average."""
    top = Sequential(conv=Conv2d(4, 3, 1, bias=False, rng=0), relu=ReLU())
    layers = {"conv1": Conv2d(1, 4, 3, rng=0), "relu1": ReLU(), "top": top, "pool": GlobalAvgPool2d(), "flatten": Flatten()}
    return Model(layers, architecture="map of scores", input_shape=(1, 6, 6))


def test_a_1x1_convolution_under_an_average_is_a_classifier(map_of_scores):
    assert map_of_scores.classifier_name == "top.conv"
    head = map_of_scores.replace_head(["a", "b"], rng=0)
    assert head is map_of_scores.classifier is map_of_scores.layers["top"].layers["conv"]
    assert (head.in_channels, head.out_channels, head.kernel_size, head.name) == (4, 2, (1, 1), "top.conv")
    assert head.w.value.std() == pytest.approx(0.01, rel=0.6) and not head.b.value.any()
    assert map_of_scores.output_shape((5, 1, 6, 9)) == (5, 2)


def test_the_relu_after_a_new_head_is_gone_and_its_scores_are_linear_in_the_averaged_map(map_of_scores):
    head = map_of_scores.replace_head(2, rng=0)
    assert list(map_of_scores.layers["top"].layers) == ["conv"]
    assert isinstance(map_of_scores.layers["relu1"], ReLU)
    head.b.value[...] = (-1, 1)
    x = np.random.default_rng(0).standard_normal((3, 1, 6, 6)).astype(np.float32)
    codes = map_of_scores.forward(x, ["relu1"])["relu1"].mean(axis=(2, 3))
    expected = codes @ head.w.value[:, :, 0, 0].T + head.b.value
    assert expected.min() < 0
    np.testing.assert_allclose(map_of_scores.forward(x), expected, atol=1e-6)


def test_auxiliary_heads_go_with_the_old_classes():
    model = googlenet(10, rng=0)
    assert model.classifier_name == "fc" and model.classifier.out_features == 10
    model.replace_head(3)
    assert "aux1" not in model.layers and "aux2" not in model.layers
    assert model.train().forward(np.zeros((2, 3, 65, 97), np.float32)).shape == (2, 3)
    lower = with_new_head(googlenet(10, rng=0), "inception_4e", ["a", "b"])
    assert "aux1" not in lower.layers and list(lower.layers)[-3:] == ["inception_4e", "codes", "classifier"]


@pytest.mark.parametrize(
    "layers",
    [
        {"conv": Conv2d(1, 2, 1), "pool": MaxPool2d(2)},
        {"conv": Conv2d(1, 2, 3), "pool": GlobalAvgPool2d()},
        {"scores": Linear(4, 2), "block": Residual(Sequential(fc=Linear(2, 2)))},
        {"conv": Conv2d(1, 2, 1), "norm": BatchNorm2d(2), "pool": GlobalAvgPool2d()},
    ],
    ids=["no average", "no 1x1", "in a branch", "normalised"],
)
def test_a_network_that_ends_in_anything_else_has_no_head_to_replace(layers):
    model = Model(layers, architecture="headless")
    with pytest.raises(ValueError, match=r"headless has no classifier: .* include_top=False"):
        model.replace_head(2)
    with pytest.raises(ValueError, match="resnet20 has no classifier"):
        _ = resnet20(include_top=False).classifier


def test_a_copy_shares_nothing(net):
    other = net.copy()
    for array in arrays_of(other).values():
        array += 1
    other.classes.append("horse")
    other.freeze()
    assert net.classes == ["cat", "dog", "cow"] and frozen(net) == set()
    assert all(not np.array_equal(a, b) for a, b in zip(arrays_of(net).values(), arrays_of(other).values(), strict=True))


# ---- the table


def test_summary_shows_what_is_frozen_and_adds_up(net):
    net.freeze(names=["conv1", "block1.body.norm"])
    table = net.summary()
    line = {text.split()[0]: text.split() for text in table.splitlines()[3:8]}
    assert line["conv1"] == ["conv1", "Conv2d", *["4", "x", "5", "x", "4"], "112", "2,160", "frozen"]
    assert line["block1"][-1] == "partly" and line["block10"][-1] == "yes" and line["pool"][-1] == "-"
    total = sum(parameter.value.size for parameter in net.parameters().values())
    assert total == 112 + 144 + 8 + 30 + 21
    assert f"parameters: {total} (195 trainable, 120 frozen)" in table
    assert f"multiply-adds for one picture: {2160 + 144 * 20 + 24 * 20 + 18:,}" in table


def test_a_deeper_summary_opens_the_blocks_and_counts_the_same(net):
    flat, deep = net.summary(), net.summary(depth=3)
    assert "block1.body.norm" in deep and "block1.body.norm" not in flat
    assert flat.splitlines()[-2:] == deep.splitlines()[-2:]
    assert "block1.body.conv" in deep and deep.index("block1.body.conv") < deep.index("block10.conv")
    with pytest.raises(ValueError, match="depth is at least 1"):
        net.summary(depth=0)


def test_summary_follows_another_input_size(net):
    assert "4 x 32 x 32" in net.summary(input_shape=(3, 64, 64))


# ---- LeNet-5


def test_lenet5_has_the_shapes_of_the_papers_figure():
    model = lenet5(rng=0)
    x, shapes = np.zeros((2, 1, 28, 28), np.float32), {}
    for name, layer in model.layers.items():
        x = layer.forward(x)
        shapes[name] = x.shape[1:]
    assert shapes["c1"] == (6, 28, 28) and shapes["s2"] == (6, 14, 14)
    assert shapes["c3"] == (16, 10, 10) and shapes["s4"] == (16, 5, 5)
    assert shapes["c5"] == (120, 1, 1) and shapes["f6"] == (84,) and shapes["output"] == (10,)


def test_lenet5_has_the_papers_numbers_of_weights_where_it_follows_the_paper():
    parameters = lenet5().parameters()
    count = {}
    for name, parameter in parameters.items():
        layer = name.split(".")[0]
        count[layer] = count.get(layer, 0) + parameter.value.size
    assert count == {"c1": 156, "c3": 2416, "c5": 48120, "f6": 10164, "output": 850}  # c3 in 1998: 1,516, with its table


def test_lenet5_repeats_for_a_seed():
    first, second, other = lenet5(rng=3), lenet5(rng=3), lenet5(rng=4)
    assert np.array_equal(first.layers["f6"].w.value, second.layers["f6"].w.value)
    assert not np.array_equal(first.layers["f6"].w.value, other.layers["f6"].w.value)


@pytest.mark.parametrize("seed", range(3))
def test_lenet5_starts_at_the_loss_of_guessing(seed):
    """log(10): on digits as they are normalised, zero on average with a variance of one, no class is preferred at first."""
    x = np.random.default_rng(seed).standard_normal((50, 1, 28, 28)).astype(np.float32)
    scores = lenet5(rng=seed).forward(x)
    assert SoftmaxCrossEntropy().forward(scores, np.arange(50) % 10) == pytest.approx(np.log(10), abs=0.05)


def test_lenet5_takes_a_picture_in_colour():
    (ranking,) = lenet5(rng=0).top_classes(np.zeros((40, 30, 3), np.uint8), top=10)
    assert sum(probability for _, probability in ranking) == pytest.approx(1, abs=1e-5)


def test_a_network_without_its_top_can_be_saved(tmp_path):
    model = resnet20(include_top=False, rng=0).eval()
    model.save(tmp_path / "maps.h5")
    x = np.random.default_rng(0).standard_normal((1, 3, 33, 40)).astype(np.float32)
    assert np.array_equal(minicnn.load(tmp_path / "maps.h5").forward(x), model.forward(x))


def test_a_model_can_be_built_again_from_its_config(net):
    again = Model(**net.config())
    assert again.architecture == "small" and again.classes == net.classes and list(again.layers) == list(net.layers)
