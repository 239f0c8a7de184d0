"""Layers on maps that lie channels last in memory, as kernels return them, and on maps in the order of their axes."""

import numpy as np
import pytest

import minicnn.layers
from minicnn.kernels import elementwise
from minicnn.kernels.layout import channel_rows, channels_first, channels_last, contiguous, from_channel_rows, is_channels_last
from minicnn.layers import (
    ELU,
    GELU,
    AdaptiveAvgPool2d,
    AuxiliaryHead,
    AvgPool2d,
    BatchNorm2d,
    Concat,
    Conv2d,
    Dropout,
    Flatten,
    FractionalMaxPool2d,
    GlobalAvgPool2d,
    Layer,
    LeakyReLU,
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

SHAPE = (3, 6, 7, 5)

LAYERS = {
    "ELU": lambda: ELU(),
    "GELU": lambda: GELU(),
    "AdaptiveAvgPool2d": lambda: AdaptiveAvgPool2d(3),
    "AuxiliaryHead": lambda: AuxiliaryHead(GlobalAvgPool2d()),
    "AvgPool2d": lambda: AvgPool2d(2, pad=1),
    "BatchNorm2d": lambda: BatchNorm2d(6),
    "Concat": lambda: Concat(ReLU(), Conv2d(6, 3, 3, pad=1, rng=0), Tanh()),
    "Conv2d": lambda: Conv2d(6, 4, 3, pad=1, rng=0),
    "Conv2d, 1x1": lambda: Conv2d(6, 4, 1, rng=0),
    "Conv2d, depthwise": lambda: Conv2d(6, 6, 3, stride=2, groups=6, rng=0),
    "Conv2d, in groups": lambda: Conv2d(6, 4, 3, stride=2, groups=2, rng=0),
    "Dropout": lambda: Dropout(0.4, rng=0),
    "Flatten": lambda: Flatten(),
    "FractionalMaxPool2d": lambda: FractionalMaxPool2d(1.4, rng=0),
    "GlobalAvgPool2d": lambda: GlobalAvgPool2d(),
    "LeakyReLU": lambda: LeakyReLU(),
    "LocalResponseNorm": lambda: LocalResponseNorm(3, alpha=2.0),
    "MaxPool2d": lambda: MaxPool2d(3, stride=2),
    "Maxout": lambda: Maxout(2),
    "PadChannels": lambda: PadChannels(1, 2),
    "ReLU": lambda: ReLU(),
    "ReLU6": lambda: ReLU6(),
    "Residual": lambda: Residual(BatchNorm2d(6), Tanh()),
    "Residual, identity": lambda: Residual(Sigmoid()),
    "Sequential": lambda: Sequential(Conv2d(6, 4, 3, rng=0), BatchNorm2d(4), ReLU(), MaxPool2d(2), Flatten()),
    "Sigmoid": lambda: Sigmoid(),
    "StochasticDepth": lambda: StochasticDepth(Tanh(), 0.9, rng=0),
    "StochasticDepth, left out": lambda: StochasticDepth(Tanh(), 1e-9, rng=0),
    "Tanh": lambda: Tanh(),
    "VanillaDropout": lambda: VanillaDropout(0.4, rng=0),
}
OF_ROWS = {"BatchNorm1d", "DropConnect", "Linear"}  # these take (N, D)
TO_ROWS = {"Flatten", "GlobalAvgPool2d", "Sequential"}
FROM_MAP_TO_MAP = [name for name in LAYERS if name.split(",")[0] not in TO_ROWS | {"StochasticDepth"}]

ORDERS = {"channels first": np.ascontiguousarray, "channels last": lambda x: channels_first(channels_last(x))}


def maps(dtype, shape=SHAPE):
    return 3 * np.random.default_rng(1).standard_normal(shape).astype(dtype)


def in_order(order, x):
    """x in this order of memory, if it is a map, and write-protected."""
    x = ORDERS[order](x) if x.ndim == 4 else x.copy()
    x.flags.writeable = False
    return x


def through(name, dtype, x_order, dy_order):
    """y, dx, and the gradients of all parameters."""
    layer = LAYERS[name]().astype(dtype).train()
    y = layer.forward(in_order(x_order, maps(dtype)))
    dx = layer.backward(in_order(dy_order, maps(dtype, y.shape)))
    return {"y": y, "dx": dx} | {key: parameter.grad for key, parameter in layer.parameters().items()}


def test_every_layer_is_tried():
    exported = {name for name in minicnn.layers.__all__ if isinstance(getattr(minicnn.layers, name), type)}
    layers = {name for name in exported if issubclass(getattr(minicnn.layers, name), Layer)} - {"Layer"}
    assert layers - OF_ROWS == {name.split(",")[0] for name in LAYERS}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", LAYERS)
def test_numbers_do_not_depend_on_the_order_in_memory_and_arguments_are_not_changed(name, dtype):
    expected = through(name, dtype, "channels first", "channels first")
    assert expected["dx"].shape == SHAPE
    for x_order in ORDERS:
        for dy_order in ORDERS:
            got = through(name, dtype, x_order, dy_order)
            assert got.keys() == expected.keys()
            for key, array in got.items():
                assert array.dtype == dtype
                atol = 1e-6 * np.abs(expected[key]).max()
                np.testing.assert_allclose(array, expected[key], rtol=1e-6, atol=atol, err_msg=f"{key}, {x_order}, {dy_order}")


@pytest.mark.parametrize("mode", ["inference", "frozen"])
@pytest.mark.parametrize("name", LAYERS)
def test_so_it_is_in_inference_and_frozen(name, mode):
    results = []
    for order in ORDERS:
        layer = LAYERS[name]()
        layer.eval() if mode == "inference" else layer.train().freeze()
        y = layer.forward(in_order(order, maps(np.float32)))
        dx = layer.backward(in_order(order, maps(np.float32, y.shape))) if mode == "frozen" else y
        results.append((y, dx))
    for first, last in zip(*results, strict=True):
        np.testing.assert_allclose(last, first, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", FROM_MAP_TO_MAP)
def test_what_comes_channels_last_leaves_so(name):
    """Or each layer would copy what the one before has turned round."""
    results = through(name, np.float32, "channels last", "channels last")
    assert is_channels_last(results["y"]) and is_channels_last(results["dx"])


@pytest.mark.parametrize("orders", [("channels last", "channels first"), ("channels first", "channels last")])
def test_of_two_orders_channels_last_prevails(orders):
    a, b = (in_order(order, maps(np.float32)) for order in orders)
    for result in (elementwise.add(a, b), elementwise.relu_backward(a, b), elementwise.join_channels([a, b])):
        assert is_channels_last(result)
    assert elementwise.add(*[in_order("channels first", a)] * 2).flags.c_contiguous


def test_rows_of_channels_are_views_of_maps_that_lie_channels_last():
    x, flat = in_order("channels last", maps(np.float32)), maps(np.float32, (4, 3))
    assert np.shares_memory(channel_rows(x), x) and np.shares_memory(channel_rows(flat), flat)
    for array in (x, in_order("channels first", x), flat):
        rows = channel_rows(array)
        assert rows.flags.c_contiguous and np.array_equal(from_channel_rows(rows, array.shape), array)


def test_what_is_contiguous_is_not_copied():
    x = maps(np.float32)
    assert contiguous(x) is x
    turned = contiguous(x.T)
    assert turned.flags.c_contiguous and np.array_equal(turned, x.T)
