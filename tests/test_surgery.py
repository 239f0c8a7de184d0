"""Cutting a network, freezing parts of it, and letting its layers learn at different rates."""

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
from minicnn.linear_model import SoftmaxRegression
from minicnn.losses import SoftmaxCrossEntropy
from minicnn.models import efficientnet_lite0, googlenet, lenet5, mobilenet_v1, resnet20, squeezenet1_1
from minicnn.models.model import Model
from minicnn.optim import SGD
from minicnn.training import Trainer
from minicnn.transfer.learning_rates import discriminative_rates, set_learning_rates
from minicnn.transfer.surgery import (
    below_classifier,
    default_layer,
    freeze_point,
    freeze_points,
    scale_scores,
    set_head,
    thirds,
    with_new_head,
)


def block(channels, filters, rng):
    return Sequential(conv=Conv2d(channels, filters, 3, pad=1, bias=False, rng=rng), norm=BatchNorm2d(filters), relu=ReLU())


@pytest.fixture
def model():
    rng = np.random.default_rng(0)
    layers = {"conv1": Conv2d(3, 4, 3, rng=rng), "norm1": BatchNorm2d(4), "relu1": ReLU(), "block2": block(4, 6, rng)}
    layers |= {"block3": Residual(block(6, 6, rng)), "pool": GlobalAvgPool2d(), "head": Linear(6, 3, rng=rng)}
    return Model(
        layers,
        architecture="small",
        input_shape=(3, 8, 8),
        preprocessing=Preprocessing(size=8, mean=127.0, std=64.0),
        classes=["cat", "dog", "cow"],
        provenance={"source": "nowhere"},
    )


X = np.random.default_rng(1).standard_normal((12, 3, 8, 8)).astype(np.float32)
Y = np.arange(12) % 3


def snapshot(model):
    """All weights and statistics, as bytes."""
    arrays = {name: parameter.value for name, parameter in model.parameters().items()} | model.state()
    return {name: array.tobytes() for name, array in arrays.items()}


def changed(before, model):
    """Names of the arrays with any bit that is not as it was."""
    return {name for name, value in snapshot(model).items() if value != before[name]}


def train(model):
    """Two epochs with all that could move a weight without a gradient: momentum, and decay."""
    optimizer = SGD(model.parameters(), 0.05, momentum=0.9, weight_decay=0.1)
    Trainer(model, SoftmaxCrossEntropy(), optimizer, epochs=2, batch_size=4, progress=False).fit(X, Y)


# ---- cutting


@pytest.mark.parametrize("layer", ["conv1", "relu1", "block3", "pool"])
def test_a_cut_network_gives_what_comes_out_at_that_layer(model, layer):
    lower = model.eval().cut(layer)
    assert list(lower.layers)[-1] == layer
    np.testing.assert_array_equal(lower.eval().forward(X), model.features(X, layer))


def test_a_cut_keeps_what_is_true_of_the_pictures_and_not_the_names_of_scores_it_has_lost(model):
    lower = model.cut("block3")
    assert lower.classes is None and lower.architecture == "small up to block3"
    assert lower.input_shape == model.input_shape and lower.preprocessing == model.preprocessing
    assert lower.provenance == {"source": "nowhere"}
    assert model.classes == ["cat", "dog", "cow"] and "head" in model.layers, "the network itself is as it was"


def test_a_cut_after_the_last_layer_is_a_copy_with_its_classes(model):
    whole = model.cut("head")
    assert whole.classes == model.classes and whole.architecture == "small"
    np.testing.assert_array_equal(whole.eval().forward(X), model.eval().forward(X))


def test_a_cut_shares_nothing_with_the_network(model):
    before = snapshot(model)
    for array in [p.value for p in model.cut("block3").parameters().values()] + list(model.cut("head").state().values()):
        array += 1
    assert not changed(before, model)


def test_a_cut_keeps_what_is_frozen_and_the_mode(model):
    lower = model.freeze(until="conv1").train().cut("block2")
    assert lower.training and not lower.layers["conv1"].trainable and lower.layers["norm1"].trainable
    lower.backward(np.ones_like(lower.forward(X)))
    assert lower.layers["conv1"].w.grad is None and lower.layers["block2"].layers["conv"].w.grad is not None


def test_side_heads_go_with_the_classes(model):
    network = googlenet(num_classes=5, rng=0)
    assert not [name for name in network.cut("inception_4e").layers if name.startswith("aux")]
    assert "aux1" in network.cut("fc").layers, "nothing is lost where nothing is cut off"


def test_a_cut_inside_a_block_is_refused_with_help(model):
    with pytest.raises(ValueError, match=r"'block3.body' is inside 'block3'.*cut\('block3'\).*features\(x, 'block3.body'\)"):
        model.cut("block3.body")
    with pytest.raises(ValueError, match=r"no layer 'block9'.*conv1, norm1, relu1, block2, block3, pool, head"):
        model.cut("block9")
    with pytest.raises(ValueError, match=r"no layer 'block9.body'"):
        model.cut("block9.body")


def test_a_cut_network_can_be_saved_and_given_a_head(model, tmp_path):
    lower = model.cut("block2").eval()
    lower.save(tmp_path / "lower.h5")
    np.testing.assert_array_equal(minicnn.load(tmp_path / "lower.h5").forward(X), lower.forward(X))
    new = with_new_head(model, "block2", ["ant", "bee"]).eval()
    np.testing.assert_allclose(new.features(X, "codes"), lower.forward(X).mean(axis=(2, 3)), rtol=1e-5)


def test_a_new_head_at_the_usual_layer_replaces_the_old_one_and_is_made_by_a_seed(model):
    before = snapshot(model)
    new, again = (with_new_head(model, "pool", ["ant", "bee"]).eval() for _ in range(2))
    assert new.classes == ["ant", "bee"] and list(new.layers) == list(model.layers)
    np.testing.assert_array_equal(new.features(X, "pool"), model.eval().features(X, "pool"))
    for one, other in ((new, again), (with_new_head(model, "block2", ["a", "b"]), with_new_head(model, "block2", ["a", "b"]))):
        assert snapshot(one) == snapshot(other)
    assert not changed(before, model)


def test_a_head_that_is_set_gives_the_scores_of_its_classifier(model):
    codes = model.eval().features(X, "pool")
    classifier = SoftmaxRegression().fit(codes, Y)
    set_head(model, classifier, scale=0.5)
    np.testing.assert_allclose(model.forward(X), 0.5 * (codes @ classifier.w.T + classifier.b), rtol=1e-4, atol=1e-5)
    model.layers["head"] = Linear(6, 3, bias=False, rng=0)
    with pytest.raises(ValueError, match=r"weights \(3, 6\) and no biases"):
        set_head(model, classifier)


def test_a_freeze_point_is_the_lowest_layer_by_which_that_share_of_the_work_is_done():
    layers = {"a": Conv2d(1, 2, 1, bias=False), "b": Conv2d(2, 2, 1, bias=False), "c": Conv2d(2, 1, 1, bias=False)}
    layers |= {"pool": GlobalAvgPool2d(), "scores": Linear(1, 2)}
    network = Model(layers, architecture="1 to 2 to 1", input_shape=(1, 4, 4))  # multiply-adds 32, 64 and 32
    found = [freeze_point(network, share) for share in (0, 0.25, 0.26, 0.75, 0.76, 1)]
    assert found == ["a", "a", "b", "b", "c", "c"]


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda model: freeze_point(model, 1.5), "a number from 0 to 1, got 1.5"),
        (lambda model: freeze_points(model.cut("pool")), "small up to pool has no classifier"),
        (lambda model: default_layer(headless()), "head of one layer has no layer below its classifier 'head.scores'"),
        (lambda model: default_layer(headless(drop=Dropout(0.5))), "nothing but dropout below its classifier"),
        (lambda model: with_new_head(model, "block7", ["ant", "bee"]), "block7"),
        (lambda model: set_head(model, SoftmaxRegression().fit(X[:, 0, 0], Y)), r"\(3, 8\).* do not fit .* weights \(3, 6\)"),
        (lambda model: set_head(model, SoftmaxRegression()), "not trained yet"),
    ],
)
def test_what_cannot_be_cut_frozen_or_put_on_top_is_said_in_a_sentence(model, ask, message):
    before = snapshot(model)
    with pytest.raises(ValueError, match=message):
        ask(model)
    assert not changed(before, model)


def test_scores_are_scaled_in_the_classifier_and_answers_stay(model):
    scores, before = model.eval().forward(X), snapshot(model)
    scale_scores(model, 2.5)
    np.testing.assert_allclose(model.forward(X), 2.5 * scores, rtol=1e-5, atol=1e-6)
    assert changed(before, model) <= {"head.w", "head.b"} and "head.w" in changed(before, model)
    assert model.parameters()["head.w"].value.dtype == np.float32


def test_thirds_are_three_parts_of_the_layers_that_learn_below_the_head(model):
    assert thirds(model) == ((None, "conv1"), ("conv1", "block2"), ("block2", "block3"))  # of conv1, norm1, block2, block3


@pytest.mark.parametrize("architecture", [lenet5, resnet20, squeezenet1_1, mobilenet_v1, efficientnet_lite0])
def test_the_thirds_of_a_network_follow_each_other_and_are_about_equal(architecture):
    network = architecture()
    (start, low), (after_low, middle), (after_middle, high) = thirds(network)
    names = [name for name in below_classifier(network) if network.layers[name].parameters()]
    assert start is None and after_low == low and after_middle == middle and high == names[-1]
    sizes = np.diff([0, *(names.index(name) + 1 for name in (low, middle, high))])
    assert sizes.min() >= 1 and sizes.max() - sizes.min() <= 1 and sizes.sum() == len(names)
    assert network.classifier_name.split(".")[0] not in names


def test_fewer_than_three_layers_have_no_thirds():
    layers = {
        "conv": Conv2d(1, 2, 3),
        "relu": ReLU(),
        "conv2": Conv2d(2, 2, 3),
        "pool": GlobalAvgPool2d(),
        "head": Linear(2, 2),
    }
    network = Model(layers, architecture="shallow", input_shape=(1, 8, 8))
    with pytest.raises(ValueError, match=r"shallow has 2 layers to train below its classifier \(conv, conv2\), too few"):
        thirds(network)
    with pytest.raises(ValueError, match="shallow up to pool has no classifier"):
        thirds(network.cut("pool"))


def headless(**below):
    """Nothing but a classifier on pixels, and what is given below it."""
    layers = below | {"head": Sequential(flatten=Flatten(), scores=Linear(12, 2, rng=0))}
    return Model(layers, architecture="head of one layer", input_shape=(3, 2, 2))


# ---- freezing


@pytest.mark.parametrize(
    ("arguments", "frozen"),
    [
        ({"until": "block2"}, ["conv1", "norm1", "block2"]),
        ({"names": ["block2", "head"]}, ["block2", "head"]),
        ({"names": "block3.body.norm"}, ["block3.body.norm"]),
        ({"until": "norm1", "names": "block3.body.conv"}, ["conv1", "norm1", "block3.body.conv"]),
    ],
)
def test_what_is_frozen_is_the_same_to_the_bit_after_training_and_nothing_else_is(model, arguments, frozen):
    model.freeze(**arguments)
    before = snapshot(model)
    train(model)
    expected = {name for name in before if not any(name.startswith(f"{path}.") for path in frozen)}
    assert changed(before, model) == expected


def test_the_comparison_notices_a_statistic_that_moves(model):
    """A planted fault: frozen batch norm that goes on averaging, as in other libraries."""
    model.freeze(until="block2")
    before = snapshot(model)
    train(model)
    assert "norm1.running_mean" not in changed(before, model)
    model.layers["norm1"].running_mean[2] = np.nextafter(model.layers["norm1"].running_mean[2], np.float32(9))
    assert "norm1.running_mean" in changed(before, model)


def test_what_is_frozen_is_visible_in_the_summary(model):
    table = model.freeze(until="norm1", names="block3.body.conv").summary()
    lines = {line.split()[0]: line.split()[-1] for line in table.splitlines()}
    assert [lines[name] for name in ("conv1", "norm1", "block2", "block3", "pool", "head")] == [
        "frozen", "frozen", "yes", "partly", "-", "yes"
    ]  # fmt: skip


# ---- learning rates


def test_each_layer_moves_by_its_own_learning_rate(model):
    set_learning_rates(model, {"block2": 0.1, "head": 2, "head.b": 0.5, "block3.body.conv": 0.25})
    before = {name: parameter.value.copy() for name, parameter in model.parameters().items()}
    loss = SoftmaxCrossEntropy()
    loss.forward(model.train().forward(X), Y)
    model.backward(loss.backward())
    SGD(model.parameters(), 0.01).step()
    factors = {"block2": 0.1, "head.w": 2, "head.b": 0.5, "block3.body.conv": 0.25}
    for name, parameter in model.parameters().items():
        factor = next((number for path, number in factors.items() if name.startswith(path)), 1)
        np.testing.assert_allclose(parameter.value, before[name] - 0.01 * factor * parameter.grad, atol=1e-7)


def test_a_longer_path_overrules_a_shorter_one_whatever_their_order(model):
    for multipliers in ({"block3": 0.1, "block3.body.norm": 0.5}, {"block3.body.norm": 0.5, "block3": 0.1}):
        set_learning_rates(model, multipliers)
        parameters = model.parameters()
        assert parameters["block3.body.norm.gamma"].learning_rate_multiplier == 0.5
        assert parameters["block3.body.conv.w"].learning_rate_multiplier == 0.1


def test_what_is_not_named_keeps_its_rate(model):
    set_learning_rates(model, {"conv1": 0.1})
    set_learning_rates(model, {"head": 3})
    rates = {name: parameter.learning_rate_multiplier for name, parameter in model.parameters().items()}
    assert rates["conv1.w"] == 0.1 and rates["head.w"] == 3 and rates["norm1.gamma"] == 1


def test_rates_fall_geometrically_from_the_head_down_and_batch_norm_goes_with_its_convolution(model):
    rates = discriminative_rates(model, decay=0.5)
    assert rates == {"conv1": 0.125, "norm1": 0.125, "block2": 0.25, "block3": 0.5, "head": 1.0}
    assert list(rates) == ["conv1", "norm1", "block2", "block3", "head"]
    assert {name: p.learning_rate_multiplier for name, p in model.parameters().items() if name.endswith("gamma")} == {
        "norm1.gamma": 0.125, "block2.norm.gamma": 0.25, "block3.body.norm.gamma": 0.5
    }  # fmt: skip
    assert discriminative_rates(model)["block3"] == pytest.approx(1 / 2.6)


@pytest.mark.parametrize(
    ("multipliers", "message"),
    [
        ({"block": 0.1}, "nothing to learn at 'block' in small; .* conv1, norm1, block2, block3, head"),
        ({"pool": 0.1}, "nothing to learn at 'pool'"),
        ({"head": 0}, r"above 0, got 0; to keep it as it is, model.freeze\(names='head'\)"),
        ({"head": float("nan")}, "got nan"),
        ({"head": float("inf")}, "got inf"),
    ],
)
def test_rates_that_make_no_sense_are_refused_and_change_nothing(model, multipliers, message):
    with pytest.raises(ValueError, match=message):
        set_learning_rates(model, {"conv1": 0.5} | multipliers)
    assert {parameter.learning_rate_multiplier for parameter in model.parameters().values()} == {1.0}


@pytest.mark.parametrize("decay", [0, -1, 1.1, float("nan")])
def test_a_decay_is_a_share(model, decay):
    with pytest.raises(ValueError, match="above 0 to 1"):
        discriminative_rates(model, decay)


def test_the_summary_shows_rates_as_soon_as_they_differ(model):
    assert "learning rate" not in model.summary()
    set_learning_rates(model, {"block2": 0.1, "block3.body.norm": 0.25})
    model.freeze(until="norm1")
    table = model.summary().splitlines()
    lines = {line.split()[0]: line for line in table}
    assert table[1].endswith("learning rate")
    assert lines["conv1"].endswith("frozen     -") and lines["pool"].endswith("-          -")
    assert lines["block2"].endswith("x 0.1") and lines["block3"].endswith("x 0.25 to 1") and lines["head"].endswith("x 1")


def test_rates_of_a_network_with_dropout_and_pools_are_those_of_its_weights():
    assert list(discriminative_rates(lenet5(), 0.5).values()) == [0.0625, 0.125, 0.25, 0.5, 1.0]
    layers = {"flatten": Flatten(), "fc": Linear(16, 4, rng=0), "drop": Dropout(0.5), "out": Linear(4, 2, rng=0)}
    plain = Model({"pool": MaxPool2d(2), **layers}, architecture="plain", input_shape=(1, 8, 8))
    assert discriminative_rates(plain, 0.1) == {"fc": 0.1, "out": 1.0}
