"""A fused network is the same function, for inference only."""

import copy
import pickle

import numpy as np
import pytest

from minicnn.inference.fused_layers import FusedConcat, FusedConv2d
from minicnn.inference.fusion import fuse
from minicnn.layers import (
    AuxiliaryHead,
    BatchNorm2d,
    Concat,
    Conv2d,
    Dropout,
    Flatten,
    LeakyReLU,
    Linear,
    MaxPool2d,
    ReLU,
    ReLU6,
    Residual,
    Sequential,
)
from minicnn.models import efficientnet_lite0, lenet5
from minicnn.models.strict import arrays_of
from minicnn.runtime import plans


def shake(layer):
    """Batch norms that are not at their neutral start."""
    rng = np.random.default_rng(1)
    for name, array in arrays_of(layer).items():
        if name.endswith(("gamma", "running_var")):
            array[...] = rng.uniform(0.5, 1.5, array.shape)
        elif name.endswith(("beta", "running_mean", ".b")):
            array[...] = rng.normal(0, 0.5, array.shape)
    return layer.eval()


def assert_same(net, x):
    y = net.forward(x)
    fused = fuse(net).forward(x)
    np.testing.assert_allclose(fused, y, atol=1e-5 * np.abs(y).max())


def test_batch_norm_and_limit_worked_by_hand():
    """x = 3, w = 2, b = 1: 7; norm (7 - 1) / sqrt(3 + 1) * 5 - 3 = 12; ReLU6 makes 6 of it, ReLU 12."""
    conv, norm = Conv2d(1, 1, 1), BatchNorm2d(1, eps=1.0)
    conv.w.value[...], conv.b.value[...] = 2, 1
    norm.gamma.value[...], norm.beta.value[...], norm.running_mean[...], norm.running_var[...] = 5, -3, 1, 3
    x = np.full((1, 1, 1, 1), 3, np.float32)
    assert fuse(Sequential(conv=conv, norm=norm)).forward(x).item() == pytest.approx(12)
    assert fuse(Sequential(conv=conv, norm=norm, relu=ReLU())).forward(x).item() == pytest.approx(12)
    assert fuse(Sequential(conv=conv, norm=norm, relu=ReLU6())).forward(x).item() == 6
    assert fuse(Sequential(conv=conv, norm=norm, relu=ReLU())).forward(-x).item() == 0


def test_every_kind_of_container_gives_what_it_gave():
    rng = np.random.default_rng(0)
    net = Sequential(
        first=Conv2d(3, 4, 3, stride=2, pad="same", rng=rng),
        leaky=LeakyReLU(),  # not one that is fused
        block=Residual(
            Sequential(conv=Conv2d(4, 8, 3, pad=1, bias=False, rng=rng), norm=BatchNorm2d(8), relu=ReLU()),
            Sequential(conv=Conv2d(4, 8, 1, rng=rng), norm=BatchNorm2d(8)),
        ),
        norm=BatchNorm2d(8),  # without a convolution right before it
        both=Concat(Conv2d(8, 2, 1, rng=rng), Sequential(relu=ReLU6(), conv=Conv2d(8, 8, 3, groups=8, pad=1, rng=rng))),
        pool=MaxPool2d(2),
        last=Conv2d(10, 3, 2, dilation=2, rng=rng),
        drop=Dropout(0.5),
    )
    assert_same(shake(net), rng.standard_normal((2, 3, 15, 12)).astype(np.float32))


@pytest.mark.parametrize("N", [1, 2])
@pytest.mark.parametrize("size", [7, 40], ids=["short", "shared between threads"])
def test_convolutions_side_by_side_become_one_layer(N, size):
    rng = np.random.default_rng(0)
    three = Sequential(conv=Conv2d(24, 40, 3, pad=1, rng=rng), norm=BatchNorm2d(40), relu=ReLU())
    five = Conv2d(24, 3, 5, pad=2, groups=3, rng=rng)
    depthwise = Conv2d(24, 24, 3, pad=1, groups=24, rng=rng)
    expand = Concat(one=Sequential(conv=Conv2d(24, 33, 1, rng=rng), relu=ReLU()), three=three, five=five, depthwise=depthwise)
    net = shake(Sequential(squeeze=Conv2d(3, 24, 1, rng=rng), expand=expand))
    x = rng.standard_normal((N, 3, size, size)).astype(np.float32)
    assert isinstance(fuse(net).layers["expand"], FusedConcat)
    assert_same(net, x)
    two_passes = fuse(net)  # the second with what the first has kept of the filters
    np.testing.assert_array_equal(two_passes.forward(x), two_passes.forward(x))


def test_branches_of_different_sizes_are_refused_when_fused_too():
    net = Sequential(expand=Concat(one=Conv2d(3, 2, 1), three=Conv2d(3, 2, 3)))
    for N in (1, 2):
        with pytest.raises(ValueError, match="branches may differ in channels only"):
            fuse(net).forward(np.ones((N, 3, 8, 8), np.float32))


def test_a_branch_that_somebody_wants_to_see_stays():
    net = Sequential(expand=Concat(one=Conv2d(3, 2, 1), three=Sequential(conv=Conv2d(3, 2, 3, pad=1), relu=ReLU())))
    kept = fuse(net, keep=["expand.three.conv"])
    assert "expand.three.conv" in dict(kept.walk()) and type(kept.layers["expand"]) is Concat


def test_efficientnet_and_lenet_give_the_same_scores():
    rng = np.random.default_rng(0)
    assert_same(shake(efficientnet_lite0(5, rng=0)), rng.standard_normal((2, 3, 65, 50)).astype(np.float32))
    assert_same(shake(lenet5(rng=0)), rng.standard_normal((3, 1, 28, 28)).astype(np.float32))


def test_a_side_head_keeps_its_place_and_not_its_weights():
    rng = np.random.default_rng(0)
    head = Sequential(flatten=Flatten(), scores=Linear(4 * 5 * 5, 3, rng=rng))
    net = shake(Sequential(conv=Conv2d(2, 4, 3, rng=rng), relu=ReLU(), aux=AuxiliaryHead(head), last=Conv2d(4, 3, 1, rng=rng)))
    x = rng.standard_normal((2, 2, 7, 7)).astype(np.float32)
    fused = fuse(net)
    assert list(fused.layers) == ["relu", "aux", "last"] and not fused.layers["aux"].parameters()
    assert_same(net, x)
    np.testing.assert_array_equal(fused.split("aux")[0].forward(x), fused.split("relu")[0].forward(x))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))], ids=["copied", "pickled"])
def test_a_fused_network_that_has_run_can_be_copied(copied):
    """What it has prepared for its pictures stays behind: that belongs to its own arrays."""
    x = np.random.default_rng(0).standard_normal((1, 3, 33, 40), np.float32)
    fused = efficientnet_lite0(5, rng=0).eval().fuse()
    y = fused.forward(x)
    np.testing.assert_array_equal(copied(fused).forward(x), y)


def test_pictures_of_more_sizes_than_are_remembered(monkeypatch):
    monkeypatch.setattr(plans, "MAX_PLANS", 2)
    fused = efficientnet_lite0(5, rng=0).eval().fuse()
    pictures = [np.random.default_rng(n).standard_normal((1, 3, 32, 32 + 3 * n), np.float32) for n in range(4)]
    first = [fused.forward(x) for x in pictures]
    for x, y in zip(pictures, first, strict=True):
        np.testing.assert_array_equal(fused.forward(x), y)


def test_float64_stays_float64():
    net = shake(Sequential(conv=Conv2d(2, 3, 3), norm=BatchNorm2d(3))).astype(np.float64)
    x = np.random.default_rng(0).standard_normal((1, 2, 5, 5))
    y = fuse(net).forward(x)
    assert y.dtype == np.float64 and np.abs(y - net.forward(x)).max() < 1e-13


def test_the_output_at_a_name_is_the_same_as_before():
    model = shake(lenet5(rng=0))
    fused = model.fuse()
    x = np.random.default_rng(0).standard_normal((1, 1, 28, 28)).astype(np.float32)
    assert list(fused.layers)[:3] == ["relu1", "s2", "relu3"]
    np.testing.assert_allclose(fused.features(x, "relu1"), model.features(x, "relu1"), atol=1e-5)
    assert fused.architecture == "lenet5" and fused.preprocessing == model.preprocessing


def test_the_original_is_not_changed_and_does_not_change_the_copy():
    model = shake(lenet5(rng=0))
    before = {name: array.copy() for name, array in arrays_of(model).items()}
    fused = model.fuse()
    assert all(np.array_equal(array, before[name]) for name, array in arrays_of(model).items())
    x = np.ones((1, 1, 28, 28), np.float32)
    y = fused.forward(x)
    for array in arrays_of(model).values():
        array += 1
    assert np.array_equal(fused.forward(x), y)


@pytest.mark.parametrize("mode", [lambda net: net.train(), lambda net: net.eval(backward=True)], ids=["train", "backward"])
def test_training_a_fused_network_is_refused(mode):
    fused = fuse(Sequential(conv=Conv2d(1, 1, 1), norm=BatchNorm2d(1)))
    mode(fused)
    with pytest.raises(RuntimeError, match=r"FusedConv2d 'norm' is fused for inference.*train the network"):
        fused.forward(np.ones((1, 1, 2, 2), np.float32))


def test_fusing_twice_changes_nothing_more():
    net = shake(Sequential(conv=Conv2d(1, 2, 3), norm=BatchNorm2d(2), relu=ReLU()))
    x = np.random.default_rng(0).standard_normal((1, 1, 5, 5)).astype(np.float32)
    twice = fuse(fuse(net))
    assert isinstance(twice.layers["relu"], FusedConv2d)
    assert np.array_equal(twice.forward(x), fuse(net).forward(x))


def test_a_fused_network_is_not_saved(tmp_path):
    with pytest.raises(ValueError, match="FusedConv2d is not one of"):
        lenet5(rng=0).fuse().save(tmp_path / "fused.h5")
