"""Muon: two steps worked by hand, singular values near 1, an independent loop, and PyTorch's as the oracle."""

import numpy as np
import pytest

from minicnn.layers import BatchNorm2d, Conv2d, Flatten, Linear, ReLU, Sequential
from minicnn.layers.base import Parameter
from minicnn.losses import SoftmaxCrossEntropy
from minicnn.optim import AdamW, Muon, OptimizerGroup, split_for_muon
from minicnn.optim.muon import newton_schulz
from minicnn.training import Trainer

A, B, C = 3.4445, -4.7750, 2.0315


def matrix(*rows, dtype=np.float64, decays=True):
    return Parameter(np.array(rows, dtype), decays=decays)


def step(optimizer, gradient):
    for parameter in optimizer.parameters.values():
        parameter.grad = np.array(gradient, parameter.value.dtype)
    optimizer.step()


def test_two_steps_worked_by_hand():
    """One iteration takes the matrix (1) to (a + b + c) = (0.701).

    mu = 0.5. g = 2: B = 2, G = 2 + 1 = 3, O = 0.701.  g = -1.2: B = 1 - 1.2 = -0.2, G = -1.2 - 0.1 = -1.3, O = -0.701.
    """
    weight = matrix([1.0])
    optimizer = Muon({"w": weight}, learning_rate=0.1, momentum=0.5, iterations=1)
    step(optimizer, [[2.0]])
    assert weight.value[0, 0] == pytest.approx(1 - 0.0701)
    step(optimizer, [[-1.2]])
    assert weight.value[0, 0] == pytest.approx(1)


def test_the_gradient_counts_once_more_than_its_part_of_the_momentum():
    """mu = 0.5. g = 2: B = 2.  g = -0.8: B = 0.2, G = -0.8 + 0.1 < 0, while the momentum alone still points the other way."""
    weight = matrix([1.0])
    optimizer = Muon({"w": weight}, learning_rate=0.1, momentum=0.5, iterations=1)
    step(optimizer, [[2.0]])
    step(optimizer, [[-0.8]])
    assert optimizer.state["w"]["B"][0, 0] == pytest.approx(0.2)
    assert weight.value[0, 0] == pytest.approx(1)


def test_weights_decay_by_themselves_where_the_parameter_decays():
    weight, other = matrix([1.0]), matrix([1.0], decays=False)
    optimizer = Muon({"w": weight, "other": other}, learning_rate=0.1, weight_decay=0.5, iterations=1)
    step(optimizer, [[2.0]])
    assert weight.value[0, 0] == pytest.approx(1 - 0.05 - 0.0701)
    assert other.value[0, 0] == pytest.approx(1 - 0.0701)


def test_steps_of_tall_matrices_are_longer_by_the_root_of_rows_over_columns():
    tall, wide = matrix(*[[0.0]] * 4), matrix([0.0] * 4)
    step(Muon({"w": tall}, learning_rate=1.0, iterations=1), np.ones((4, 1)))
    step(Muon({"w": wide}, learning_rate=1.0, iterations=1), np.ones((1, 4)))
    np.testing.assert_allclose(wide.value, -0.701 / 2, rtol=1e-6)  # the vector (1, 1, 1, 1) / 2 has the length 1
    np.testing.assert_allclose(tall.value, -0.701 / 2 * 2, rtol=1e-6)


# ---- Newton and Schulz's iteration


def test_an_iteration_is_the_papers_polynomial_of_the_singular_values():
    """Of diag(3, 4), 0.6 and 0.8 after it is divided by its norm 5."""
    s = np.array([0.6, 0.8])
    for iterations in (1, 2, 3):
        s = A * s + B * s**3 + C * s**5
        np.testing.assert_allclose(newton_schulz(np.diag([3.0, 4.0]), iterations), np.diag(s), rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [(16, 16), (8, 75), (75, 8), (1, 9), (9, 1)])
def test_five_iterations_bring_singular_values_near_one_and_leave_the_directions(size, dtype):
    G = np.random.default_rng(0).normal(size=size)
    U, S, V = np.linalg.svd(G, full_matrices=False)
    G = ((U * np.linspace(1, 0.1, len(S))) @ V * 1000).astype(dtype)
    O = newton_schulz(G)  # noqa: E741
    assert O.shape == G.shape and O.dtype == dtype
    assert np.array_equal(O, newton_schulz(G, iterations=5))
    S = np.linalg.svd(O, compute_uv=False)
    assert S.min() > 0.68 and S.max() < 1.14
    inner = U.T @ O @ V.T
    np.testing.assert_allclose(inner, np.diag(np.diag(inner)), atol=1e-4 if dtype == np.float32 else 1e-12)


def test_nothing_is_made_of_nothing():
    assert np.array_equal(newton_schulz(np.zeros((3, 4))), np.zeros((3, 4)))


# ---- oracles


def loop_in_the_papers_letters(w, gradients, eta, mu, weight_decay):
    """Filters (F, C, k, k), in float64, by the singular values instead of by products of matrices."""
    theta, momentum = w.reshape(len(w), -1).copy(), 0
    for g in gradients:
        g = g.reshape(theta.shape)
        momentum = mu * momentum + g
        U, S, V = np.linalg.svd(g + mu * momentum, full_matrices=False)
        S = S / (np.sqrt((S**2).sum()) + 1e-7)
        for _ in range(5):
            S = A * S + B * S**3 + C * S**5
        stretch = np.sqrt(theta.shape[0] / theta.shape[1]) if theta.shape[0] > theta.shape[1] else 1.0
        theta = theta - eta * weight_decay * theta - eta * stretch * (U * S) @ V
    return theta.reshape(w.shape)


@pytest.mark.parametrize("size", [(6, 2, 3, 3), (12, 3, 1, 1), (5, 8)])
def test_a_hundred_steps_are_those_of_an_independent_loop(size):
    rng = np.random.default_rng(1)
    start, gradients = rng.normal(size=size), rng.normal(size=(100, *size))
    weight = Parameter(start.copy())
    optimizer = Muon({"w": weight}, 0.05, momentum=0.9, weight_decay=0.1)
    for gradient in gradients:
        step(optimizer, gradient)
    np.testing.assert_allclose(weight.value, loop_in_the_papers_letters(start, gradients, 0.05, 0.9, 0.1), rtol=1e-9)


@pytest.mark.parametrize("size", [(6, 18), (18, 6)])
def test_the_path_is_pytorchs_as_far_as_its_three_digits_go(size):
    torch = pytest.importorskip("torch")
    if not hasattr(torch.optim, "Muon"):
        pytest.skip("this PyTorch has no Muon")
    rng = np.random.default_rng(2)
    start = rng.normal(size=size).astype(np.float32)
    weight, tensor = Parameter(start.copy()), torch.tensor(start.copy(), requires_grad=True)
    ours = Muon({"w": weight}, 0.02, weight_decay=0.1)
    theirs = torch.optim.Muon([tensor], lr=0.02, momentum=0.95, weight_decay=0.1)
    for _ in range(100):
        gradient = rng.normal(size=size).astype(np.float32)
        tensor.grad = torch.tensor(gradient)
        step(ours, gradient)
        theirs.step()
    moved = np.linalg.norm(weight.value - start)
    assert np.linalg.norm(weight.value - tensor.detach().numpy()) < 0.02 * moved  # it computes in bfloat16


# ---- which parameters


def test_frozen_filters_stay_and_multipliers_scale_the_step():
    frozen, plain, slow = matrix([1.0]), matrix([1.0]), matrix([1.0])
    frozen.trainable, slow.learning_rate_multiplier = False, 0.25
    step(Muon({"frozen": frozen, "plain": plain, "slow": slow}, 0.1), [[2.0]])
    assert frozen.value[0, 0] == 1
    assert 1 - slow.value[0, 0] == pytest.approx(0.25 * (1 - plain.value[0, 0])) and plain.value[0, 0] < 1


def test_vectors_are_refused_and_the_way_out_is_named():
    with pytest.raises(ValueError, match=r"2 of its parameters have fewer than two axes \(b, gamma\); split_for_muon"):
        Muon({"w": matrix([1.0]), "b": Parameter(np.zeros(3)), "gamma": Parameter(np.zeros(3))})


@pytest.mark.parametrize("iterations", [0, 2.5])
def test_other_numbers_of_iterations_are_refused(iterations):
    with pytest.raises(ValueError, match=f"iterations must be a whole number from 1 up, got {iterations}"):
        Muon({"w": matrix([1.0])}, iterations=iterations)


@pytest.mark.parametrize(("constant", "value"), [("momentum", 1.0), ("learning_rate", -1.0), ("weight_decay", -1.0)])
def test_other_impossible_constants_are_refused(constant, value):
    with pytest.raises(ValueError, match=f"Muon: {constant} must be"):
        Muon({"w": matrix([1.0])}, **{constant: value})


def test_an_unknown_name_is_not_passed_over_when_parameters_are_parted():
    with pytest.raises(ValueError, match=r"there is no conv9.w among conv1.w, conv1.b"):
        split_for_muon({"conv1.w": matrix([1.0]), "conv1.b": Parameter(np.zeros(1))}, others=["conv9.w"])


def test_a_network_learns_with_muon_on_its_filters_and_adamw_on_the_rest():
    rng = np.random.default_rng(0)
    pictures = rng.normal(size=(64, 1, 8, 8)).astype(np.float32)
    pictures[::2, :, :4] += 1
    labels = (np.arange(64) % 2 == 0).astype(int)
    layers = {"conv1": Conv2d(1, 8, 3, rng=0), "norm": BatchNorm2d(8), "relu": ReLU(), "conv2": Conv2d(8, 8, 3, rng=1)}
    net = Sequential(**layers, flatten=Flatten(), scores=Linear(8 * 4 * 4, 2, rng=2))
    filters, others = split_for_muon(net.parameters(), others=["conv1.w", "scores.w"])
    assert list(filters) == ["conv2.w"] and filters.keys() | others.keys() == net.parameters().keys()
    optimizer = OptimizerGroup([Muon(filters), AdamW(others)])
    history = Trainer(net, SoftmaxCrossEntropy(), optimizer, epochs=10, progress=False).fit(pictures, labels)
    assert history.epochs[-1]["train_accuracy"] > 0.9
    assert history.epochs[-1]["learning_rate"] == pytest.approx(0.02)
