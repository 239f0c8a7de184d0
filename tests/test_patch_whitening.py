"""The frozen first convolution, whose filters whiten patches."""

import numpy as np
import pytest

from minicnn.gradcheck import check_layer
from minicnn.layers import Flatten, Linear, ReLU, Sequential, patch_whitening, whitening_conv
from minicnn.losses import SoftmaxCrossEntropy
from minicnn.optim import SGD
from minicnn.training import Trainer


@pytest.fixture(scope="module")
def pictures():
    """More than one chunk of pictures whose neighbouring pixels and channels are alike."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(300, 3, 9, 8))
    smooth = noise[:, :, 1:, 1:] + noise[:, :, :-1, 1:] + noise[:, :, 1:, :-1]
    return 0.1 * smooth + rng.normal(size=(300, 1, 8, 7)) + [[[0.3]], [[0]], [[-0.3]]]


def test_a_pair_of_pixels_by_hand():
    """Patches (a, b) of 1 x 2 pixels: (3, 3), (-3, -3), (1, -1), (-1, 1). Along (1, 1) / sqrt(2) their variance is
    2 * 18 / 4 = 9, along (1, -1) / sqrt(2) it is 2 * 2 / 4 = 1."""
    x = np.array([[3.0, 3], [-3, -3], [1, -1], [-1, 1]]).reshape(4, 1, 1, 2)
    for eps, lengths in ((0, (1 / 3, 1)), (16, (1 / 5, 1 / 17**0.5))):
        w = patch_whitening(x, kernel_size=(1, 2), eps=eps)
        assert w.shape == (4, 1, 1, 2)
        np.testing.assert_allclose(np.abs(w[0]), [[[lengths[0] / 2**0.5] * 2]])
        np.testing.assert_allclose(np.abs(w[1]), [[[lengths[1] / 2**0.5] * 2]])
        assert w[0, 0, 0].prod() > 0 > w[1, 0, 0].prod()
        np.testing.assert_array_equal(w[2:], -w[:2])


def test_patches_that_went_through_the_filters_have_the_unit_matrix_as_their_covariance(pictures):
    conv = whitening_conv(pictures, eps=0)
    y = conv.forward(pictures)
    assert conv.w.value.shape == (24, 3, 2, 2) and y.shape == (300, 24, 7, 6)
    np.testing.assert_allclose(np.cov(y[:, :12].swapaxes(0, 1).reshape(12, -1), bias=True), np.eye(12), atol=1e-9)
    np.testing.assert_allclose(y[:, 12:], -y[:, :12])
    variances = patch_whitening(pictures, eps=1e6)[:12].reshape(12, -1)  # all filters of one length: their order shows
    order = np.cov(variances @ _patches(pictures), bias=True).diagonal()
    assert (np.diff(order) < 0).all()


def _patches(x):
    windows = [x[:, :, p : p + 7, q : q + 6] for p in range(2) for q in range(2)]
    return np.stack(windows, axis=2).transpose(1, 2, 0, 3, 4).reshape(12, -1)


def test_the_filters_stay_as_they_are_while_the_bias_is_trained(pictures):
    x = pictures.astype(np.float32)
    conv = whitening_conv(x)
    filters = conv.w.value.copy()
    net = Sequential(whiten=conv, relu=ReLU(), flatten=Flatten(), scores=Linear(24 * 7 * 6, 2, rng=0))
    trainer = Trainer(net, SoftmaxCrossEntropy(), SGD(net.parameters(), 0.1, weight_decay=0.1), epochs=1, progress=False)
    trainer.fit(x, np.arange(300) % 2)
    assert conv.w.value.dtype == np.float32
    np.testing.assert_array_equal(conv.w.value, filters)
    assert conv.b.value.any() and not conv.w.trainable


def test_its_gradients_are_right(pictures):
    report = check_layer(whitening_conv(pictures), pictures[:2])
    assert report.ok, report


@pytest.mark.parametrize(
    "change, words",
    [
        ({"x": np.zeros((4, 3, 8, 8), np.uint8)}, r"expected float32 or float64 pictures .* got uint8"),
        ({"x": np.zeros((4, 3, 1, 8))}, r"at least 2 x 2 pixels, got float64 \(4, 3, 1, 8\)"),
        ({"x": np.zeros((0, 3, 8, 8))}, "got float64"),
        ({"x": np.full((4, 3, 8, 8), np.nan)}, "not finite"),
        (
            {"x": np.repeat(np.random.default_rng(0).normal(size=(4, 1, 8, 8)), 3, axis=1), "eps": 0},
            "do not vary in all directions",
        ),
        ({"eps": -1}, "eps is added to variances"),
        ({"kernel_size": 0}, "kernel_size"),
    ],
)
def test_what_cannot_be_whitened_is_refused(pictures, change, words):
    with pytest.raises(ValueError, match=words):
        patch_whitening(**{"x": pictures} | change)
