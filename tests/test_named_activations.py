"""``forward(x, layers=[...])``: what the named layers gave, from one pass that goes no further than it must."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from torch_parity import pictures, shaken

from minicnn.layers import (
    AuxiliaryHead,
    BatchNorm2d,
    Concat,
    Conv2d,
    Dropout,
    GlobalAvgPool2d,
    Linear,
    ReLU,
    Residual,
    Sequential,
)
from minicnn.models import Model, googlenet, mobilenet_v2, resnet18


def small():
    """A network with every kind of container, one in another."""
    rng = np.random.default_rng(0)

    def unit(inputs, outputs):
        return Sequential(conv=Conv2d(inputs, outputs, 3, pad=1, rng=rng), norm=BatchNorm2d(outputs), relu=ReLU())

    layers = {
        "stem": unit(3, 4),
        "block1": Residual(Sequential(first=unit(4, 8), second=unit(8, 6)), shortcut=Conv2d(4, 6, 1, rng=rng)),
        "block2": Sequential(both=Concat(left=unit(6, 3), right=Residual(unit(6, 6))), relu=ReLU()),
        "side": AuxiliaryHead(Sequential(pool=GlobalAvgPool2d(), scores=Linear(9, 5, rng=rng))),
        "drop": Dropout(0.5, rng=1),
        "pool": GlobalAvgPool2d(),
        "scores": Linear(9, 5, rng=rng),
    }
    return shaken(Model(layers, architecture="small", input_shape=(3, 9, 8)))


def watched(model, seen):
    """The same network, every layer of which writes down what it gives: the other way to find out."""

    def watch(path, layer):
        forward = layer.forward

        def and_write_down(x):
            seen.append((path, forward(x)))
            return seen[-1][1]

        layer.forward = and_write_down

    for path, layer in model.walk():
        if path:
            watch(path, layer)
    return model


def names_of(model):
    return [path for path, _ in model.walk() if path and not path.startswith("side.")]


# ---- what comes out


def test_the_activations_of_all_layers_at_once_are_what_the_layers_gave():
    seen, x = [], pictures(2, 3, 9, 8)
    scores = watched(small(), seen).forward(x)
    found = small().forward(x, layers=names_of(small()))
    assert len(found) == len(seen) == 31
    for path, y in seen:
        assert np.array_equal(found[path], y), path
    assert np.array_equal(found["scores"], scores)


@pytest.mark.parametrize("path", names_of(small()))
def test_one_layer_at_a_time_gives_the_same(path):
    model, x = small(), pictures(2, 3, 9, 8)
    assert np.array_equal(model.forward(x, [path])[path], model.forward(x, names_of(model))[path])
    assert np.array_equal(model.features(x, path), model.forward(x, path)[path])


def test_activations_come_in_the_order_in_which_they_were_asked_for():
    found = small().forward(pictures(1, 3, 9, 8), layers=["pool", "stem.conv", "block1", "stem.conv"])
    assert list(found) == ["pool", "stem.conv", "block1"]
    assert small().forward(pictures(1, 3, 9, 8), layers=[]) == {}


def test_without_names_the_answer_is_the_scores():
    model, x = small(), pictures(2, 3, 9, 8)
    assert np.array_equal(model.forward(x), model.forward(x, layers=None))
    assert np.array_equal(model.forward(x), model.forward(x, ["scores"])["scores"])


def test_real_networks_answer_for_layers_inside_their_blocks():
    x = pictures(1, 3, 33, 47)
    found = mobilenet_v2(7, rng=0).forward(x, layers=["block3", "block5.body.expand", "head"])
    assert {name: y.shape[1:] for name, y in found.items()} == {
        "block3": (32, 5, 6),
        "block5.body.expand": (192, 5, 6),
        "head": (1280, 2, 2),
    }
    found = resnet18(7, rng=0).forward(x, layers=["conv3_1.sum.shortcut", "conv3_1.sum"])
    assert {name: y.shape[1:] for name, y in found.items()} == {
        "conv3_1.sum.shortcut": (128, 5, 6),
        "conv3_1.sum": (128, 5, 6),
    }


def test_a_fused_network_has_the_layers_that_are_left():
    model, x = small(), pictures(2, 3, 9, 8)
    fused = model.fuse().forward(x, layers=["block1.body.first.relu", "pool"])
    for name, y in model.forward(x, layers=list(fused)).items():
        np.testing.assert_allclose(fused[name], y, atol=1e-5 * np.abs(y).max())


# ---- one pass, and no more than is needed


@pytest.mark.parametrize(
    ("asked", "last"),
    [
        (["stem"], "stem"),
        (["block1.body.first.conv", "stem"], "block1.body.first.conv"),
        (["block1.body"], "block1.body"),
        (["block2.both.left.norm", "block1"], "block2.both.left.norm"),
    ],
)
def test_the_pass_ends_at_the_last_layer_and_runs_none_twice(asked, last):
    seen, whole = [], []
    watched(small(), whole).forward(pictures(1, 3, 9, 8))
    watched(small(), seen).forward(pictures(1, 3, 9, 8), layers=asked)
    order, ran = [path for path, _ in whole], [path for path, _ in seen]
    single = {path for path, layer in small().walk() if not layer.children()}
    assert ran[-1] == last
    assert [path for path in ran if path in single] == [path for path in order[: order.index(last) + 1] if path in single]


def test_names_in_messages_stay_the_full_paths():
    model = small()
    before = [(path, layer.name) for path, layer in model.walk()]
    model.forward(pictures(1, 3, 9, 8), layers=["block2.both.right.body.conv"])
    assert [(path, layer.name) for path, layer in model.walk()] == before
    with pytest.raises(ValueError, match=r"Conv2d 'block1.body.first.conv' expects 4 channels"):
        model.layers["stem"].layers["conv"] = Conv2d(3, 5, 3)
        model.layers["stem"].layers["norm"] = BatchNorm2d(5)
        model.forward(pictures(1, 3, 9, 8), layers=["block1.body.first.relu"])


def test_two_threads_do_not_see_each_others_pictures():
    model, (a, b) = small(), (pictures(1, 3, 9, 8, seed=seed) for seed in (3, 4))
    alone = [model.forward(x, ["block2.both"])["block2.both"] for x in (a, b)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda i: model.forward((a, b)[i % 2], ["block2.both"])["block2.both"], range(40)))
    assert all(np.array_equal(y, alone[i % 2]) for i, y in enumerate(together))


# ---- modes


def test_in_training_the_layers_work_as_they_do_in_training():
    model, usual, x = small().train(), small().train(), pictures(4, 3, 9, 8)
    found = model.forward(x, layers=["scores"])["scores"]
    assert np.array_equal(found, usual.forward(x))  # the same statistics, the same units dropped
    assert all(np.array_equal(array, usual.state()[name]) for name, array in model.state().items())


def test_nothing_is_remembered_and_a_backward_is_refused():
    model, x = small().train(), pictures(4, 3, 9, 8)
    y = model.forward(x)
    model.forward(x, layers=["block1"])
    with pytest.raises(RuntimeError, match="needs a forward"):
        model.backward(np.ones_like(y))
    assert not any(layer._remembered for path, layer in model.walk() if path.startswith(("stem", "block1")))


def test_a_training_step_afterwards_is_as_if_nothing_had_been():
    model, usual, x = small().train(), small().train(), pictures(4, 3, 9, 8)
    for network in (model, usual):
        network.layers["drop"].p = 0.0
    model.forward(x, layers=["block1.body.second", "block2.relu"])
    for network in (model, usual):
        network.backward(np.ones_like(network.forward(x)))
    for name, parameter in usual.parameters().items():
        assert np.array_equal(model.parameters()[name].grad, parameter.grad), name


# ---- what is refused


def test_a_wrong_name_is_answered_with_the_ones_that_are_alike():
    model, x = small(), pictures(1, 3, 9, 8)
    with pytest.raises(ValueError, match=r"no layer 'block1.first' in small; did you mean block1.body.first[,?]"):
        model.forward(x, layers=["stem", "block1.first"])
    with pytest.raises(ValueError, match=r"no layer 'blok2'.*did you mean block2, block1"):
        model.features(x, "blok2")
    with pytest.raises(
        ValueError, match=r"no layer 'zzz' in small, which has stem, block1, block2, side, drop, pool, scores\."
    ):
        model.forward(x, layers="zzz")
    with pytest.raises(ValueError, match="no layer ''"):
        model.forward(x, layers=[""])


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_what_is_inside_a_side_head_does_not_run(mode):
    model = googlenet(3, rng=0)
    getattr(model, mode)()
    with pytest.raises(ValueError, match=r"aux1.head.conv did not run: what is inside an auxiliary head"):
        model.forward(pictures(2, 3, 65, 97), layers=["conv1", "aux1.head.conv"])
    assert list(model.forward(pictures(2, 3, 65, 97), layers=["aux1"])) == ["aux1"]
