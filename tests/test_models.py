"""What a Model is beyond its layers: pictures in, names out; frozen parts; new heads; a table."""

import numpy as np
import pytest

from minicnn.data.preprocessing import Preprocessing
from minicnn.layers import BatchNorm2d, Conv2d, Dropout, GlobalAvgPool2d, Linear, ReLU, Residual, Sequential
from minicnn.models import Model, lenet5
from minicnn.pretrained.strict import arrays_of


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


def test_predict_ranks_the_classes_by_the_softmax_of_the_scores(net, picture):
    scores = net.eval().forward(net.preprocess(picture))[0].astype(np.float64)
    p = np.exp(scores) / np.exp(scores).sum()
    (answer,) = net.predict(picture, top=3)
    assert [name for name, _ in answer] == [net.classes[k] for k in np.argsort(-p)]
    assert [probability for _, probability in answer] == pytest.approx(sorted(p, reverse=True), rel=1e-5)


def test_predict_takes_one_picture_or_several_and_no_more_classes_than_asked_for(net, picture):
    assert len(net.predict(picture)) == 1
    assert [len(answer) for answer in net.predict([picture] * 5, top=2)] == [2] * 5
    assert net.predict([]) == []


def test_predict_does_not_drop_units_and_leaves_the_mode_as_it_was(net, picture):
    net.train()
    assert net.predict(picture) == net.predict(picture)
    assert net.training and net.layers["top"].layers["dropout"].training


def test_a_model_without_class_names_numbers_them(net, picture):
    net.classes = None
    assert {name for name, _ in net.predict(picture)[0]} == {"class 0", "class 1", "class 2"}


def test_a_model_without_preprocessing_says_what_is_missing(net, picture):
    net.preprocessing = None
    with pytest.raises(ValueError, match="small does not know how pictures are to be prepared"):
        net.predict(picture)


def test_class_names_must_be_as_many_as_scores(net):
    with pytest.raises(ValueError, match=r"scores \(1, 3\) for one picture, and 2 classes"):
        Model(net.layers, architecture="small", input_shape=(3, 9, 8), classes=["cat", "dog"])


def test_features_are_the_activations_at_a_layer(net, picture):
    x = net.eval().preprocess(picture)
    by_hand = net.layers["block1"].forward(net.layers["conv1"].forward(x))
    assert np.array_equal(net.features(x, "block1"), by_hand)
    with pytest.raises(ValueError, match="conv1, block1, block10"):
        net.features(x, "block2")


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


def test_a_network_without_a_linear_layer_has_no_head_to_replace():
    model = Model({"conv": Conv2d(1, 2, 1), "pool": GlobalAvgPool2d()}, architecture="headless")
    with pytest.raises(ValueError, match="headless has no Linear layer"):
        model.replace_head(2)


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


def test_lenet5_takes_a_picture_in_colour():
    (answer,) = lenet5(rng=0).predict(np.zeros((40, 30, 3), np.uint8), top=10)
    assert sum(probability for _, probability in answer) == pytest.approx(1, abs=1e-5)


def test_a_model_can_be_built_again_from_its_config(net):
    again = Model(**net.config())
    assert again.architecture == "small" and again.classes == net.classes and list(again.layers) == list(net.layers)
