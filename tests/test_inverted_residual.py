"""The inverted residual block in one go gives what its three convolutions give one after another."""

import numpy as np
import pytest

from minicnn.inference.fused_layers import FusedInvertedResidual
from minicnn.inference.fusion import fuse
from minicnn.kernels import reference
from minicnn.kernels.convolution import inverted_residual
from minicnn.kernels.geometry import ConvGeometry, same_pads
from minicnn.kernels.layout import channels_first, channels_last
from minicnn.kernels.simd.vectors import VECTOR_WIDTH
from minicnn.layers import (
    BatchNorm2d,
    Conv2d,
    ReLU,
    ReLU6,
    Residual,
    Sequential,
)
from minicnn.models import mobilenet_v2
from minicnn.models.mobilenet import separable
from minicnn.runtime.parallel import parallel_for
from minicnn.runtime.workers import get_threads, set_threads


@pytest.fixture(autouse=True)
def as_many_threads_afterwards():
    before = get_threads()
    yield
    set_threads(before)


def filters(rng, C, E, F, kernel, dtype=np.float64):
    """w1, b1, w2, b2, w3, b3 as convolutions have them."""
    shapes = (E, C, 1, 1), (E,), (E, 1, *kernel), (E,), (F, E, 1, 1), (F,)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def in_one_go(x, w1, b1, w2, b2, w3, b3, geometry, shortcut=False, clip=(0, 6), packed=None):
    flat = [w.reshape(len(w), -1) for w in (w1, w2, w3)]
    steps = (
        (flat[0], b1, clip),
        (flat[1], b2, clip),
        (flat[2], b3, (-50, 50)),
    )
    steps = [inverted_residual.Step(*step) for step in steps]
    run = inverted_residual.prepare(x.shape, *steps, geometry, shortcut, {} if packed is None else packed)
    return channels_first(run(channels_last(x)))


def one_after_another(x, w1, b1, w2, b2, w3, b3, geometry, shortcut=False, clip=(0, 6)):
    h = np.clip(reference.conv2d_forward(x, w1, b1, (1, 1), (0, 0, 0, 0), (1, 1), 1), *clip)
    d = np.clip(reference.conv2d_forward(h, w2, b2, *geometry[1:], len(w2)), *clip)
    y = reference.conv2d_forward(d, w3, b3, (1, 1), (0, 0, 0, 0), (1, 1), 1)
    return np.clip(y + x if shortcut else y, -50, 50)


def test_a_block_worked_by_hand():
    """One channel, two wide ones: h = (x, 10 - x) clipped to 0..6; each d is two neighbours' sum; y = d0 - d1 + 1 + x."""
    x = np.array([1.0, 5, 9]).reshape(1, 1, 1, 3)
    h = np.array([[1, 5, 6], [6, 5, 1]])
    d = np.minimum(h[:, :-1] + h[:, 1:], 6)  # ((6, 6), (6, 6))
    w1, b1 = np.array([1.0, -1]).reshape(2, 1, 1, 1), np.array([0.0, 10])
    w2, b2 = np.ones((2, 1, 1, 2)), np.zeros(2)
    w3, b3 = np.array([1.0, -1]).reshape(1, 2, 1, 1), np.array([1.0])
    y = in_one_go(x, w1, b1, w2, b2, w3, b3, ConvGeometry((1, 2), (1, 1), (0, 0, 0, 0), (1, 1)))
    np.testing.assert_array_equal(y.ravel(), d[0] - d[1] + 1)
    padded = in_one_go(x, w1, b1, w2, b2, w3, b3, ConvGeometry((1, 2), (1, 1), (0, 0, 0, 1), (1, 1)), shortcut=True)
    np.testing.assert_array_equal(padded.ravel(), [1 + 1, 1 + 5, 6 - 1 + 1 + 9])  # behind the last pixel there is a zero


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("kernel", [(3, 3), (5, 5), (3, 5), (2, 1), (7, 7), (1, 1)])
@pytest.mark.parametrize("stride", [(1, 1), (2, 2), (1, 2), (3, 1)])
def test_it_is_the_three_convolutions(kernel, stride, threads, monkeypatch):
    rng = np.random.default_rng(sum(kernel) * 10 + sum(stride))
    set_threads(threads)
    for N, C, E, F, H, W in [(1, 3, 8, 4, 9, 8), (2, 2, 5, 2, 6, 11), (3, 1, 2, 3, 7, 7)]:
        pads = [side for axis in zip((H, W), kernel, stride, strict=True) for side in same_pads(*axis, 1)]
        geometry = ConvGeometry(kernel, stride, tuple(pads), (1, 1))
        x, weights = rng.standard_normal((N, C, H, W)), filters(rng, C, E, F, kernel)
        expected = one_after_another(x, *weights, geometry)
        for tile in (1, 100, 10**6):  # elements of h: a row of y at a time, some, all
            monkeypatch.setattr(inverted_residual, "NUMBERS_AT_ONCE", tile)
            np.testing.assert_allclose(in_one_go(x, *weights, geometry), expected, atol=1e-12)


@pytest.mark.parametrize("tile", [1, 10**6])
def test_more_padding_than_filter(tile, monkeypatch):
    """Whole rows of y lie on padding."""
    monkeypatch.setattr(inverted_residual, "NUMBERS_AT_ONCE", tile)
    rng, geometry = np.random.default_rng(0), ConvGeometry((3, 3), (1, 1), (4, 5, 6, 4), (1, 1))
    x, weights = rng.standard_normal((1, 2, 2, 3)), filters(rng, 2, 6, 2, (3, 3))
    np.testing.assert_allclose(in_one_go(x, *weights, geometry), one_after_another(x, *weights, geometry), atol=1e-12)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_shortcut_is_added_before_the_limits(threads):
    set_threads(threads)
    rng, geometry = np.random.default_rng(0), ConvGeometry((3, 3), (1, 1), (1, 1, 1, 1), (1, 1))
    x, weights = 40 * rng.standard_normal((2, 4, 5, 5)), filters(rng, 4, 12, 4, (3, 3))
    y = in_one_go(x, *weights, geometry, shortcut=True)
    np.testing.assert_allclose(y, one_after_another(x, *weights, geometry, shortcut=True), atol=1e-12)
    assert np.abs(y).max() == 50


def test_nan_and_infinity_pass_through():
    rng, geometry = np.random.default_rng(0), ConvGeometry((3, 3), (1, 1), (1, 1, 1, 1), (1, 1))
    x, weights = rng.standard_normal((1, 2, 9, 9)), filters(rng, 2, 8, 2, (3, 3))
    x[0, 0, 4, 4] = np.nan
    y = in_one_go(x, *weights, geometry)
    assert np.isnan(y[0, :, 3:6, 3:6]).all() and np.isfinite(y[0, :, :3]).all()


def test_an_empty_batch_and_float32():
    rng, geometry = np.random.default_rng(0), ConvGeometry((3, 3), (2, 2), (0, 1, 0, 1), (1, 1))
    weights = filters(rng, 2, 8, 3, (3, 3), np.float32)
    assert in_one_go(np.zeros((0, 2, 8, 8), np.float32), *weights, geometry).shape == (0, 3, 4, 4)
    x = rng.standard_normal((2, 2, 8, 8)).astype(np.float32)
    y = in_one_go(x, *weights, geometry)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, one_after_another(x, *weights, geometry), atol=1e-4)


def test_packed_filters_are_kept_for_each_number_of_threads():
    rng, geometry = np.random.default_rng(0), ConvGeometry((3, 3), (1, 1), (1, 1, 1, 1), (1, 1))
    x, weights, packed = rng.standard_normal((1, 2, 2, 3)), filters(rng, 2, 8, 2, (3, 3)), {}
    for threads in (1, 3, 2, 3, 1):
        set_threads(threads)
        y = in_one_go(x, *weights, geometry, packed=packed)
        np.testing.assert_allclose(y, one_after_another(x, *weights, geometry), atol=1e-12)
    assert sorted(packed) == [1, 2, 3] and [len(part.filters[4]) // VECTOR_WIDTH for part in packed[3]] == [2, 3, 3]


def test_within_a_task_of_another_loop_it_runs_where_it_is():
    rng, geometry = np.random.default_rng(0), ConvGeometry((3, 3), (1, 1), (1, 1, 1, 1), (1, 1))
    x, weights = rng.standard_normal((4, 8, 20, 20)), filters(rng, 8, 300, 8, (3, 3))
    expected, y = in_one_go(x, *weights, geometry), np.empty((4, 8, 20, 20))

    def body(start, stop):
        for n in range(start, stop):
            y[n] = in_one_go(x[n : n + 1], *weights, geometry)[0]

    set_threads(2)
    parallel_for(4, body)
    np.testing.assert_allclose(y, expected, atol=1e-12)


# ---- which blocks become one layer


def block(E=24, activation=ReLU6, dilation=1, pad="same"):
    rng = np.random.default_rng(0)
    return Sequential(
        expand=Sequential(conv=Conv2d(4, E, 1, rng=rng), norm=BatchNorm2d(E), relu=activation()),
        depthwise=Sequential(conv=Conv2d(E, E, 3, 1, pad, dilation, groups=E, rng=rng), norm=BatchNorm2d(E), relu=activation()),
        project=Sequential(conv=Conv2d(E, 4, 1, rng=rng), norm=BatchNorm2d(4)),
    )


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("E", "F", "H", "W"), [(3, 2, 5, 9), (20, 5, 2, 3), (37, 40, 8, 6)])
def test_without_the_first_convolution_the_filters_see_the_input(E, F, H, W, stride, threads):
    set_threads(threads)
    rng, geometry = np.random.default_rng(E), ConvGeometry((3, 3), (stride, stride), (1, 1, 1, 1), (1, 1))
    x, (_, _, w2, b2, w3, b3) = rng.standard_normal((2, E, H, W)), filters(rng, 1, E, F, (3, 3))
    steps = [inverted_residual.Step(w.reshape(len(w), -1), b, (0, 6)) for w, b in ((w2, b2), (w3, b3))]
    d = np.clip(reference.conv2d_forward(x, w2, b2, *geometry[1:], E), 0, 6)
    expected = np.clip(reference.conv2d_forward(d, w3, b3, (1, 1), (0, 0, 0, 0), (1, 1), 1), 0, 6)
    for batch in (x, x[:1]):
        run = inverted_residual.prepare(batch.shape, None, *steps, geometry, False, {})
        y = channels_first(run(channels_last(batch)))
        np.testing.assert_allclose(y, expected[: len(batch)], atol=1e-12)


def test_a_depthwise_and_a_pointwise_convolution_become_one_layer():
    net = Sequential(block=separable(24, 40, 2, rng=0)).eval()
    fused, x = fuse(net), np.random.default_rng(0).standard_normal((2, 24, 9, 8), np.float32)
    assert isinstance(fused.layers["block"], FusedInvertedResidual)
    np.testing.assert_allclose(fused.forward(x), net.forward(x), atol=1e-5)


@pytest.mark.parametrize("activation", [ReLU, ReLU6])
def test_a_block_becomes_one_layer_with_the_same_output(activation):
    net = Sequential(first=block(activation=activation), second=Residual(block(activation=activation))).eval()
    x = np.random.default_rng(1).standard_normal((2, 4, 9, 7)).astype(np.float32)
    fused = fuse(net)
    assert [type(layer) for layer in fused.layers.values()] == [FusedInvertedResidual] * 2
    assert [layer.shortcut for layer in fused.layers.values()] == [False, True]
    np.testing.assert_allclose(fused.forward(x), net.forward(x), atol=1e-4)
    assert fused.output_shape(x.shape) == x.shape and fused.multiply_adds(x.shape) == net.multiply_adds(x.shape)
    assert sum(p.value.size for p in fused.parameters().values()) == 2 * (24 * (4 + 1) + 24 * (9 + 1) + 4 * (24 + 1))
    fused.astype(np.float64)
    np.testing.assert_allclose(
        fused.forward(x.astype(np.float64)), net.astype(np.float64).forward(x.astype(np.float64)), atol=1e-4
    )


@pytest.mark.parametrize(
    "other",
    [
        block(dilation=2),
        Residual(block(), Conv2d(4, 4, 1)),
        Sequential(block=block(), relu=ReLU()),
    ],
    ids=["dilated", "shortcut with a layer", "more than a block"],
)
def test_other_blocks_stay_as_they_are(other):
    net = Sequential(block=other).eval()
    assert not isinstance(fuse(net).layers["block"], FusedInvertedResidual)
    x = np.random.default_rng(1).standard_normal((1, 4, 6, 6)).astype(np.float32)
    np.testing.assert_allclose(fuse(net).forward(x), net.forward(x), atol=1e-4)


def test_a_layer_that_somebody_wants_to_see_is_still_there():
    net = Sequential(block=Residual(block())).eval()
    kept = fuse(net, keep=["block.body.depthwise"])
    assert "block.body.depthwise" in dict(kept.walk())
    assert isinstance(fuse(net, keep=["block"]).layers["block"], FusedInvertedResidual)


def test_it_refuses_training_and_wrong_inputs_in_a_sentence():
    fused = fuse(Sequential(block=block()))
    with pytest.raises(ValueError, match="expects 4 channels, got 3"):
        fused.forward(np.zeros((1, 3, 6, 6), np.float32))
    with pytest.raises(TypeError, match="float64"):
        fused.forward(np.zeros((1, 4, 6, 6)))
    fused.train()
    with pytest.raises(RuntimeError, match=r"FusedInvertedResidual 'block' is fused for inference.*train the network"):
        fused.forward(np.zeros((1, 4, 6, 6), np.float32))


def test_mobilenet_gives_the_same_scores_at_odd_sizes():
    model = mobilenet_v2(num_classes=3, rng=0).eval()
    x = np.random.default_rng(0).standard_normal((2, 3, 75, 90)).astype(np.float32)
    y = model.forward(x)
    np.testing.assert_allclose(model.fuse().forward(x), y, atol=2e-5 * np.abs(y).max())
