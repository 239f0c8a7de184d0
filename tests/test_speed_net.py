"""The network of the speed run is what the paper says, begins as an identity, and computes what PyTorch computes."""

import numpy as np
import pytest
from torch_parity import assert_same_gradients, assert_same_scores, pictures, shaken

from minicnn.initializers import dirac
from minicnn.models import speed_net


def by_torch(num_classes):
    nn = pytest.importorskip("torch").nn

    def block(before, after):
        return [
            nn.Conv2d(before, after, 3, padding=1, bias=False), nn.MaxPool2d(2), nn.BatchNorm2d(after), nn.GELU("tanh"),
            nn.Conv2d(after, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.GELU("tanh"),
        ]  # fmt: skip

    blocks = [layer for before, after in ((24, 64), (64, 256), (256, 256)) for layer in block(before, after)]
    return nn.Sequential(
        nn.Conv2d(3, 24, 2), nn.GELU("tanh"), *blocks, nn.MaxPool2d(3), nn.Flatten(), nn.Linear(256, num_classes, bias=False)
    )


def test_it_has_the_parameters_of_the_paper_and_multiply_adds_worked_by_hand():
    model = speed_net()
    assert sum(parameter.value.size for parameter in model.parameters().values()) == 1_972_792
    filters = [24 * 12, 9 * 24 * 64, 9 * 64 * 64, 9 * 64 * 256, 9 * 256 * 256, 9 * 256 * 256, 9 * 256 * 256, 2560]
    places = [31 * 31, 31 * 31, 15 * 15, 15 * 15, 7 * 7, 7 * 7, 3 * 3, 1]
    assert model.multiply_adds((1, 3, 32, 32)) == np.dot(filters, places)


def test_random_weights_give_the_scores_of_pytorch():
    assert_same_scores(shaken(speed_net(rng=0)), by_torch(10), pictures(3, 3, 32, 32))


def test_gradients_are_those_of_pytorch():
    model = shaken(speed_net(rng=1))  # with 0, the largest two of a pooling window differ by rounding alone
    model.unfreeze()
    assert_same_gradients(model, by_torch(10), (4, 3, 32, 32))


def test_gammas_stay_as_they_are():
    frozen = [name for name, parameter in speed_net().parameters().items() if not parameter.trainable]
    assert frozen == [f"block{i}.norm{j}.gamma" for i in (1, 2, 3) for j in (1, 2)]


def test_a_dirac_convolution_hands_its_channels_on():
    from minicnn.layers import Conv2d

    x = pictures(2, 4, 5, 6)
    same, wider = (Conv2d(4, f, 3, pad=1, bias=False, initializer=dirac, rng=0).forward(x) for f in (4, 7))
    np.testing.assert_allclose(same, x, atol=1e-6)
    np.testing.assert_allclose(wider[:, :4], x, atol=1e-6)
    narrower = Conv2d(4, 2, 3, pad=1, bias=False, initializer=dirac, rng=0).forward(x)
    np.testing.assert_allclose(narrower, x[:, :2], atol=1e-6)


def test_filters_beyond_the_channels_are_uniform_with_pytorchs_bound():
    w = dirac((500, 40, 3, 3), np.random.default_rng(0), np.float64)[40:]
    bound = 1 / np.sqrt(360)
    assert abs(w).max() < bound and abs(w.var() / (bound**2 / 3) - 1) < 0.02


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 2, 2), (4, 4, 3, 2)])
def test_filters_without_a_middle_are_refused(shape):
    with pytest.raises(ValueError, match=r"have a middle, KH and KW odd, got \("):
        dirac(shape, np.random.default_rng(0))
