"""Every layer type and every loss against numeric gradients, below 1e-6 in float64: in train mode, in eval mode, and frozen.

And what else every layer promises: it refuses an x of whole numbers and a dy that is not like y, states what it costs and which
shape it gives, and can be made again from its config.

Pictures hold values that are all different and at least 0.01 apart, so that no step of the check crosses a tie or a kink.
"""

import copy

import numpy as np
import pytest

from minicnn import layers, losses
from minicnn.gradcheck import check_layer, check_loss
from minicnn.layers import (
    ELU,
    GELU,
    AdaptiveAvgPool2d,
    AuxiliaryHead,
    AvgPool2d,
    BatchNorm1d,
    BatchNorm2d,
    Concat,
    Conv2d,
    DropConnect,
    Dropout,
    Flatten,
    FractionalMaxPool2d,
    GlobalAvgPool2d,
    Layer,
    LeakyReLU,
    Linear,
    LocalResponseNorm,
    Maxout,
    MaxPool2d,
    PadChannels,
    ReLU,
    ReLU6,
    Residual,
    Sequential,
    Sigmoid,
    StochasticDepth,
    Tanh,
    VanillaDropout,
)
from minicnn.losses import (
    BinaryLogistic,
    Loss,
    MeanSquaredError,
    SigmoidCrossEntropy,
    SoftmaxCrossEntropy,
    SVMHinge,
    WithAuxiliaryHeads,
    softmax,
)


def distinct(*shape):
    """Different multiples of 0.01 in random order, between them and 0 at least 0.005."""
    size = int(np.prod(shape))
    return (np.random.default_rng(3).permutation(size) - size // 2 + 0.5).reshape(shape) * 0.01


PICTURES, ROWS = distinct(2, 4, 7, 6), distinct(6, 5)

CASES = {
    "Conv2d": (Conv2d(4, 3, 3, rng=0), PICTURES),
    "Conv2d without bias": (Conv2d(4, 3, (2, 3), bias=False, rng=0), PICTURES),
    "Conv2d 1x1": (Conv2d(4, 5, 1, rng=0), PICTURES),
    "Conv2d padded": (Conv2d(4, 3, 3, pad=(2, 1), rng=0), PICTURES),
    "Conv2d with stride": (Conv2d(4, 3, 3, stride=(2, 3), pad=1, rng=0), PICTURES),
    "Conv2d same, uneven": (Conv2d(4, 3, (4, 3), stride=2, pad="same", rng=0), PICTURES),
    "Conv2d dilated": (Conv2d(4, 3, 3, pad=2, dilation=2, rng=0), PICTURES),
    "Conv2d in groups": (Conv2d(4, 6, 3, stride=2, pad=1, groups=2, rng=0), PICTURES),
    "Conv2d depthwise": (Conv2d(4, 4, 3, pad=1, groups=4, rng=0), PICTURES),
    "Conv2d depthwise with stride": (Conv2d(4, 4, 5, stride=2, pad="same", groups=4, bias=False, rng=0), PICTURES),
    "Conv2d depthwise with multiplier": (Conv2d(4, 8, 3, dilation=(1, 2), groups=4, rng=0), PICTURES),
    "Linear": (Linear(5, 3, rng=0), ROWS),
    "Linear without bias": (Linear(5, 3, bias=False, rng=0), ROWS),
    "Flatten": (Flatten(), PICTURES),
    "MaxPool2d": (MaxPool2d(2), PICTURES),
    "MaxPool2d overlapping, ceil": (MaxPool2d(3, 2, pad=1, ceil_mode=True), PICTURES),
    "MaxPool2d same": (MaxPool2d((2, 3), 2, pad="same"), PICTURES),
    "AvgPool2d": (AvgPool2d(3, 2, pad=1), PICTURES),
    "AvgPool2d with padding counted, ceil": (AvgPool2d(3, 2, pad=1, ceil_mode=True, count_include_pad=True), PICTURES),
    "AdaptiveAvgPool2d": (AdaptiveAvgPool2d((3, 4)), PICTURES),
    "PadChannels": (PadChannels(1, 2), PICTURES),
    "GlobalAvgPool2d": (GlobalAvgPool2d(), PICTURES),
    "BatchNorm1d": (BatchNorm1d(5), ROWS),
    "BatchNorm2d": (BatchNorm2d(4), PICTURES),
    "LocalResponseNorm": (LocalResponseNorm(3, alpha=2.0), PICTURES),
    "LocalResponseNorm, wide, another power": (LocalResponseNorm(9, alpha=5.0, beta=0.4, k=2.0), PICTURES),
    "ReLU": (ReLU(), PICTURES),
    "ReLU6": (ReLU6(), 5 * PICTURES),
    "LeakyReLU": (LeakyReLU(0.1), PICTURES),
    "ELU": (ELU(0.7), PICTURES),
    "GELU": (GELU(), PICTURES),
    "Sigmoid": (Sigmoid(), PICTURES),
    "Tanh": (Tanh(), PICTURES),
    "Dropout": (Dropout(0.4, rng=0), PICTURES),
    "VanillaDropout": (VanillaDropout(0.4, rng=0), PICTURES),
    "DropConnect": (DropConnect(5, 3, p=0.4, rng=0), ROWS),
    "StochasticDepth": (Residual(StochasticDepth(Conv2d(4, 4, 3, pad=1, rng=0), 0.7, rng=0)), PICTURES),
    "FractionalMaxPool2d": (FractionalMaxPool2d(1.4, rng=0), PICTURES),
    "FractionalMaxPool2d at random, side by side": (FractionalMaxPool2d(1.4, False, "random", rng=0), PICTURES),
    "Maxout": (Maxout(2), PICTURES),
    "Sequential": (Sequential(Linear(5, 4, rng=0), Tanh(), Dropout(0.3, rng=1), Linear(4, 3, rng=2)), ROWS),
    "Residual": (Residual(Sequential(Conv2d(4, 4, 3, pad=1, rng=0), BatchNorm2d(4), Tanh())), PICTURES),
    "Residual with projection": (Residual(Conv2d(4, 3, 3, 2, 1, rng=0), Conv2d(4, 3, 1, 2, rng=1)), PICTURES),
    "Concat": (Concat(Conv2d(4, 2, 1, rng=0), Sequential(BatchNorm2d(4), Conv2d(4, 3, 3, pad=1, rng=1)), ELU()), PICTURES),
    "AuxiliaryHead that no loss looks at": (AuxiliaryHead(Sequential(Flatten(), Linear(168, 3, rng=0))), PICTURES),
    "a small network": (
        Sequential(
            conv=Conv2d(4, 6, 3, pad="same", bias=False, rng=0),
            norm=BatchNorm2d(6),
            relu=ReLU(),
            pool=MaxPool2d(2),
            mobile=Residual(Sequential(Conv2d(6, 6, 3, pad=1, groups=6, rng=1), ReLU6(), Conv2d(6, 6, 1, rng=2))),
            average=GlobalAvgPool2d(),
            dropout=Dropout(0.3, rng=3),
            scores=Linear(6, 3, rng=4),
        ),
        PICTURES,
    ),
}  # fmt: skip


def settled(layer):
    """float64, with statistics that are not the ones of a new layer."""
    layer.astype(np.float64).unfreeze()
    for name, array in layer.state().items():
        array[:] = np.linspace(0.5, 1.5, array.size) if name.endswith("var") else np.linspace(-0.2, 0.3, array.size)
    return layer


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("mode", ["train", "eval", "frozen"])
def test_gradients_match_numeric_ones(case, mode):
    layer, x = CASES[case]
    settled(layer)
    if mode == "frozen":
        layer.freeze()
    report = check_layer(layer, x, training=mode != "eval", elements=40)
    assert report.ok, report
    assert report.max_error < 1e-6
    assert report.kinks == 0
    assert len(report.arrays) == 1 + (0 if mode == "frozen" else len(layer.parameters()))


def public_types(module, base):
    """The classes in a module that are derived from another one."""
    names = getattr(module, "__all__", [name for name in vars(module) if not name.startswith("_")])
    public = [value for value in (getattr(module, name) for name in names) if isinstance(value, type)]
    return {public_type for public_type in public if issubclass(public_type, base) and public_type is not base}


def test_no_layer_type_is_left_out():
    assert public_types(layers, Layer) <= {type(inner) for layer, _ in CASES.values() for _, inner in layer.walk()}


@pytest.mark.parametrize("mode", ["train", "eval", "frozen"])
@pytest.mark.parametrize("case", CASES)
def test_a_dy_that_is_not_like_y_is_refused(case, mode):
    layer, x = copy.deepcopy(CASES[case][0]).astype(np.float32).unfreeze(), CASES[case][1].astype(np.float32)
    if mode == "frozen":
        layer.freeze()
    layer.eval(backward=True) if mode == "eval" else layer.train()
    y = layer.forward(x)
    for dy in (y.astype(np.float64), y[:-1], y[:, :-1], y.ravel(), y[None], y.tolist()):
        layer.forward(x)
        with pytest.raises(ValueError, match=r"backward\(dy\) expects a dy like y, float32"):
            layer.backward(dy)
    layer.forward(x)
    dx = layer.backward(y)
    assert dx.dtype == np.float32 and dx.shape == x.shape
    assert all(parameter.grad is None or parameter.grad.dtype == np.float32 for parameter in layer.parameters().values())


@pytest.mark.parametrize("case", CASES)
def test_a_layer_with_filters_or_a_matrix_of_weights_states_what_it_costs(case):
    layer, x = CASES[case]
    multiplies = any(parameter.value.ndim > 1 for parameter in layer.parameters().values())
    assert (layer.multiply_adds(x.shape) > 0) == (multiplies and not layer.is_identity_in_inference)


@pytest.mark.parametrize("case", CASES)
def test_a_layer_says_whether_it_is_the_identity_in_inference(case):
    layer, x = copy.deepcopy(CASES[case][0]).astype(np.float64).eval(), CASES[case][1]
    assert (layer.forward(x) is x) == layer.is_identity_in_inference


WITH_PARAMETERS = [name for name, (layer, _) in CASES.items() if layer.parameters()]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("case", WITH_PARAMETERS)
def test_a_layer_that_need_not_return_dx_returns_none_and_has_the_same_gradients(case, training):
    layer, x = copy.deepcopy(CASES[case][0]).astype(np.float32).unfreeze(), CASES[case][1].astype(np.float32)
    gradients = []
    for needs_dx in (True, False):
        layer.seed(np.random.default_rng(0))
        layer.train() if training else layer.eval(backward=True)
        layer.needs_dx = needs_dx
        dx = layer.backward(np.cos(layer.forward(x)))
        assert (dx is not None) == needs_dx
        gradients.append([parameter.grad for parameter in layer.parameters().values()])
    for whole, alone in zip(*gradients, strict=True):
        np.testing.assert_allclose(alone, whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("case", WITH_PARAMETERS)
def test_a_frozen_parameter_gets_no_gradient_and_all_others_do(case):
    layer, x = copy.deepcopy(CASES[case][0]).astype(np.float32), CASES[case][1].astype(np.float32)
    for frozen in layer.parameters().values():
        layer.freeze().unfreeze().train()
        frozen.trainable = False
        layer.backward(layer.forward(x))
        assert all((parameter.grad is None) == (parameter is frozen) for parameter in layer.parameters().values())


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("case", CASES)
def test_an_x_of_whole_numbers_is_refused(case, mode):
    layer, x = copy.deepcopy(CASES[case][0]).astype(np.float32), CASES[case][1]
    layer.train() if mode == "train" else layer.eval()
    with pytest.raises(TypeError, match="float32 or float64, got int64"):
        layer.forward(np.ones(x.shape, np.int64))


@pytest.mark.parametrize("case", CASES)
def test_a_layer_states_the_shape_of_what_it_gives(case):
    layer, x = CASES[case]
    assert layer.output_shape(x.shape) == settled(layer).eval().forward(x).shape


@pytest.mark.parametrize("case", CASES)
def test_a_config_makes_a_layer_like_it(case):
    layer, x = CASES[case]
    twin = type(layer)(**layer.config())
    assert twin.config() == layer.config() and list(twin.parameters()) == list(layer.parameters())
    assert twin.output_shape(x.shape) == layer.output_shape(x.shape)
    assert twin.multiply_adds(x.shape) == layer.multiply_adds(x.shape)


# ---- losses


def after_a_pass_of_an_auxiliary_head():
    """A network whose head has scores for ROWS."""
    network = Sequential(auxiliary=AuxiliaryHead(Linear(5, 5, rng=0))).astype(np.float64).train()
    network.forward(ROWS)
    return network


CLASSES = np.arange(6) % 5
LOSSES = [
    (SoftmaxCrossEntropy(), ROWS, CLASSES),
    (SoftmaxCrossEntropy(label_smoothing=0.1), ROWS, CLASSES),
    (SoftmaxCrossEntropy(label_smoothing=0.1), ROWS, softmax(50 * ROWS[::-1])),
    (SVMHinge(), ROWS, CLASSES),
    (SVMHinge(margin=0.5), ROWS, CLASSES),
    (BinaryLogistic(), ROWS[:, :1], np.arange(6) % 2),
    (SigmoidCrossEntropy(), ROWS, (ROWS[::-1] > 0).astype(int)),
    (MeanSquaredError(), ROWS, 2 * ROWS[::-1]),
    (WithAuxiliaryHeads(SoftmaxCrossEntropy(), after_a_pass_of_an_auxiliary_head()), ROWS, CLASSES),
]


@pytest.mark.parametrize(("loss", "scores", "targets"), LOSSES, ids=[type(loss).__name__ for loss, _, _ in LOSSES])
@pytest.mark.parametrize("scale", [1, 30])
def test_gradients_of_losses_match_numeric_ones(loss, scores, targets, scale):
    report = check_loss(loss, scale * scores, targets)
    assert report.ok, report
    assert report.kinks == 0


def test_no_loss_is_left_out():
    assert public_types(losses, Loss) == {type(loss) for loss, _, _ in LOSSES}


def test_a_network_under_a_loss_goes_down_its_gradient():
    net, x = settled(CASES["a small network"][0]).eval(backward=True), PICTURES
    loss, targets = SoftmaxCrossEntropy(), np.array([0, 2])
    before = loss.forward(net.forward(x), targets)
    net.backward(loss.backward())
    slope = sum(np.sum(parameter.grad**2) for parameter in net.parameters().values())
    step = 1e-6
    for parameter in net.parameters().values():
        parameter.value -= step * parameter.grad
    after = loss.forward(net.forward(x), targets)
    assert (before - after) / step == pytest.approx(slope, rel=1e-3)
