"""Adaptive average pooling: its windows, its gradient, and that PyTorch has the same ones."""

import json

import numpy as np
import pytest

from minicnn.gradcheck import check_layer
from minicnn.layers import AdaptiveAvgPool2d

PICTURES = np.random.default_rng(0).standard_normal((2, 3, 7, 5))


def test_forward_and_backward_by_hand():
    pool = AdaptiveAvgPool2d((1, 2)).train()
    x = np.array([[1.0, 2, 3], [4, 5, 6]]).reshape(1, 1, 2, 3)  # columns 0 and 1, columns 1 and 2
    assert pool.forward(x).ravel().tolist() == [3, 4]
    dx = pool.backward(np.array([4.0, 40]).reshape(1, 1, 1, 2))
    assert dx[0, 0].tolist() == [[1, 11, 10], [1, 11, 10]]


def test_a_map_of_that_size_already_stays_as_it_is():
    x = PICTURES.copy()
    x[0, 0, 0, 0] = np.inf
    pool = AdaptiveAvgPool2d((7, 5)).train()
    assert np.array_equal(pool.forward(x), x)
    assert np.array_equal(pool.backward(x), x)


@pytest.mark.parametrize("size", [1, (3, 2), (7, 5), (4, 9)])
def test_the_gradient_is_exact(size):
    report = check_layer(AdaptiveAvgPool2d(size), PICTURES)
    assert report.ok, report


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_pytorch_gives_the_same_from_any_size_to_any_other(dtype):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(1)
    for _ in range(20):
        shape, size = tuple(rng.integers(1, 16, 4)), tuple(int(n) for n in rng.integers(1, 9, 2))
        x, dy = rng.standard_normal(shape).astype(dtype), rng.standard_normal((*shape[:2], *size)).astype(dtype)
        there = torch.from_numpy(x).requires_grad_()
        y = torch.nn.AdaptiveAvgPool2d(size)(there)
        y.backward(torch.from_numpy(dy))
        pool = AdaptiveAvgPool2d(size).train()
        ours = pool.forward(x)
        assert ours.dtype == dtype and ours.shape == pool.output_shape(shape)
        np.testing.assert_allclose(ours, y.detach().numpy(), atol=1e-6)
        np.testing.assert_allclose(pool.backward(dy), there.grad.numpy(), atol=2e-6)


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match=r"output_size is a whole number of at least 1, .*got 0"):
        AdaptiveAvgPool2d(0)
    with pytest.raises(ValueError, match=r"expects an input of shape \(N, C, H, W\).*got \(1, 2, 0, 3\)"):
        AdaptiveAvgPool2d(2).forward(np.zeros((1, 2, 0, 3), np.float32))
    with pytest.raises(TypeError, match="float32 or float64, got int64"):
        AdaptiveAvgPool2d(2).forward(np.zeros((1, 2, 3, 3), np.int64))
    pool = AdaptiveAvgPool2d(2).train()
    pool.forward(PICTURES)
    with pytest.raises(ValueError, match="expects a dy like y"):
        pool.backward(PICTURES)


def test_its_config_makes_it_again():
    assert AdaptiveAvgPool2d(**json.loads(json.dumps(AdaptiveAvgPool2d((3, 2)).config()))).output_size == (3, 2)
