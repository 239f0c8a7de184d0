"""Our networks beside the same ones written in PyTorch: weights carried over, scores and gradients compared."""

import importlib

import numpy as np
import pytest

from minicnn.layers import Dropout, Layer
from minicnn.losses import SoftmaxCrossEntropy
from minicnn.models.strict import arrays_of

# EfficientNet-Lite 0 to 4: blocks and channels of each stage, dropout
LITE = {
    0: ([1, 2, 2, 3, 3, 4, 1], [16, 24, 40, 80, 112, 192, 320], 0.2),
    1: ([1, 3, 3, 4, 4, 5, 1], [16, 24, 40, 80, 112, 192, 320], 0.2),
    2: ([1, 3, 3, 4, 4, 5, 1], [16, 24, 48, 88, 120, 208, 352], 0.3),  # 1.1 times those above, to the nearest multiple of 8
    3: ([1, 3, 3, 5, 5, 6, 1], [24, 32, 48, 96, 136, 232, 384], 0.3),
    4: ([1, 4, 4, 6, 6, 8, 1], [24, 32, 56, 112, 160, 272, 448], 0.3),
}
NAMES = {"w": "weight", "b": "bias", "gamma": "weight", "beta": "bias"}  # running_mean and running_var are called so in both


def in_torch(module="torch_zoo"):
    """The test module with networks in PyTorch; the test that asks for it is skipped where PyTorch is not installed."""
    pytest.importorskip("torch", reason="PyTorch is asked whether it gets the same numbers")
    return importlib.import_module(module)


def shaken(model):
    """Batch norms and biases that are not at their neutral start."""
    rng = np.random.default_rng(1)
    for name, array in arrays_of(model).items():
        if name.endswith(("gamma", "running_var")):
            array[...] = rng.uniform(0.5, 1.5, array.shape)
        elif name.endswith(("beta", "running_mean", ".b")):
            array[...] = rng.normal(0, 0.2, array.shape)
    return model.eval()


def pictures(*shape, seed=2):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def pairs(model, module):
    """(our path, our layer, PyTorch's layer) of all layers with weights, in the order in which both define them.

    They must be as many, of the same kinds, with arrays of the same shapes.
    """
    ours = [(path, layer) for path, layer in model.walk() if not layer.children() and layer.parameters()]
    theirs = [layer for layer in module.modules() if not [*layer.children()] and [*layer.parameters()]]
    for (path, layer), other in zip(ours, theirs, strict=True):
        assert type(layer).__name__ == type(other).__name__, path
        assert len(layer.parameters()) == len([*other.parameters()]), path
        for name, array in arrays_of(layer).items():
            assert array.shape == tuple(getattr(other, NAMES.get(name, name)).shape), f"{path}.{name}"
        yield path, layer, other


def with_our_weights(model: Layer, module, dtype=None):
    """The module with the weights and statistics of the model, in its mode, dropout switched off in both."""
    import torch

    ours = [layer for _, layer in model.walk() if isinstance(layer, Dropout)]
    theirs = [layer for layer in module.modules() if isinstance(layer, torch.nn.Dropout)]
    assert [layer.p for layer in ours] == [layer.p for layer in theirs]
    for layer in ours + theirs:
        layer.p = 0.0
    for _, layer, other in pairs(model, module):
        for name, array in arrays_of(layer).items():
            getattr(other, NAMES.get(name, name)).data = torch.from_numpy(array.astype(dtype or array.dtype))
    return module.train(model.training)


def assert_same_scores(model, module, x):
    """With random weights scores may have any size: differences are measured against the largest."""
    import torch

    ours = model.eval().forward(x)
    with torch.no_grad():
        theirs = with_our_weights(model, module)(torch.from_numpy(x)).numpy()
    assert np.ptp(theirs) > 0.01
    np.testing.assert_allclose(ours, theirs, atol=1e-4 * np.abs(theirs).max())


def gradients(model, module, x):
    """(name, our gradient, PyTorch's) of all parameters after one step of training under the softmax cross-entropy.

    With the statistics of the batch; ours in the dtype of x, PyTorch's in float64.
    """
    import torch

    labels = np.arange(len(x)) % 3
    model.astype(x.dtype).train()
    with_our_weights(model, module, np.float64).zero_grad()
    scores = module(torch.from_numpy(x.astype(np.float64)))
    torch.nn.functional.cross_entropy(scores, torch.from_numpy(labels)).backward()
    loss = SoftmaxCrossEntropy()
    loss.forward(model.forward(x), labels)
    model.backward(loss.backward())
    return [
        (f"{path}.{name}", parameter.grad, getattr(other, NAMES[name]).grad.numpy())
        for path, layer, other in pairs(model, module)
        for name, parameter in layer.parameters().items()
    ]


def assert_same_gradients(model, module, shape):
    """In float64: every one of them, to 1e-8 of its largest element."""
    found = gradients(model, module, pictures(*shape).astype(np.float64))
    largest = max(np.abs(theirs).max() for _, _, theirs in found)
    rounding = 1e-13 * largest  # all there is of a bias before a batch norm, which takes it away again
    assert np.abs(found[0][2]).max() > 1e-4 * largest
    for name, ours, theirs in found:
        assert np.abs(ours - theirs).max() < 1e-8 * np.abs(theirs).max() + rounding, name


def assert_same_gradient_in_float32(model, module, shape):
    """Of the first layer's weights, which has come through all others: to 1e-4 of its largest element, in one batch of three.

    In some batches rounding puts one activation on the other side of ReLU's kink, or lets another one win a pool, and gradients
    jump by a percent. That happens to PyTorch's float32 as often. A wrong computation would be wrong in all batches.
    """
    errors = []
    for seed in range(3):
        _, ours, theirs = gradients(model, module, pictures(*shape, seed=seed))[0]
        errors.append(np.abs(ours - theirs).max() / np.abs(theirs).max())
        if errors[-1] < 1e-4:
            return
    raise AssertionError(f"relative errors {errors}")


def assert_fusing_changes_nothing(model, x):
    """In float64 to the last digits; in float32 up to rounding, of which in a deep network each of both has up to 2e-5."""
    for dtype, tolerance in ((np.float32, 5e-5), (np.float64, 1e-12)):
        model.astype(dtype)
        y = model.eval().forward(x.astype(dtype))
        np.testing.assert_allclose(model.fuse().forward(x.astype(dtype)), y, atol=tolerance * np.abs(y).max())
