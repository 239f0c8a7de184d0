"""Local response normalisation: by hand, its window, its gradient, and what other frameworks make of it."""

import os
import subprocess
import sys

import numpy as np
import pytest

from minicnn.gradcheck import check_layer
from minicnn.kernels import lrn, reference
from minicnn.layers import LocalResponseNorm
from minicnn.runtime.workers import get_threads, set_threads

PICTURES = np.random.default_rng(0).standard_normal((2, 7, 3, 4))
STRONG = {"size": 5, "alpha": 2.0, "beta": 0.75, "k": 1.5}  # with 1e-4, hardly anything would come through the scales


def column(*values):
    """One pixel with so many channels."""
    return np.array(values, np.float64).reshape(1, -1, 1, 1)


def test_forward_and_backward_by_hand():
    # alpha / size = 1: scales 11 + 9 + 16, 11 + 9 + 16 + 0, 11 + 16 + 0; roots 6, 6, sqrt(27)
    layer = LocalResponseNorm(3, alpha=3.0, beta=0.5, k=11.0).train()
    assert np.allclose(layer.forward(column(3, 4, 0)).ravel(), [3 / 6, 4 / 6, 0])
    # only y[0] counts: dx[0] = 1/6 - 3 * 3 / 6^3, dx[1] = -4 * 3 / 6^3, and channel 2 is not in its window
    assert np.allclose(layer.backward(column(1, 0, 0)).ravel(), [1 / 6 - 9 / 216, -12 / 216, 0])


def test_the_window_reaches_half_its_size_to_both_sides_and_ends_with_the_channels():
    x = column(1e-6, 1e-6, 1e-6, 1, 1e-6, 1e-6, 1e-6)
    for size, reached in ((1, [3]), (3, [2, 3, 4]), (5, [1, 2, 3, 4, 5]), (9, range(7))):
        scales = x / LocalResponseNorm(size, alpha=size, beta=1, k=1).forward(x)
        assert np.flatnonzero(scales.ravel().round() == 2).tolist() == list(reached)


def test_the_papers_constants_are_those_of_the_docstring():
    """Section 3.3: b = a / (2 + 1e-4 * sum of a^2 over five channels)^0.75, with no division by five."""
    x = 100 * PICTURES
    y = LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0).forward(x)
    sums = sum(x[:, m] ** 2 for m in range(1, 6))
    assert np.allclose(y[:, 3], x[:, 3] / (2 + 1e-4 * sums) ** 0.75)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_fast_kernels_agree_with_the_reference_loops(dtype):
    rng = np.random.default_rng(5)
    tolerance = 3e-6 if dtype == np.float32 else 1e-13
    shapes = [(1, 1, 1, 1), (0, 3, 2, 2), *(tuple(rng.integers(1, high) for high in (4, 12, 8, 8)) for _ in range(12))]
    shapes += [(1, 3, 16, 17), (1, 6, 1, 600)]  # more than one block of pixels
    for shape in shapes:
        x, dy = (rng.standard_normal(shape).astype(dtype) for _ in range(2))
        size, beta = int(rng.choice([1, 3, 5, 7, 31])), float(rng.choice([0, 0.5, 0.75, 1.3]))
        arguments = (x, size, float(rng.uniform(0, 5)), beta, float(rng.uniform(0.1, 3)))
        pairs = [(module.local_response_norm_forward(*arguments)) for module in (lrn, reference)]
        pairs += [(module.local_response_norm_backward(dy, *arguments)) for module in (lrn, reference)]
        for fast, slow in (pairs[:2], pairs[2:]):
            assert fast.dtype == dtype and fast.shape == shape
            np.testing.assert_allclose(fast, slow, atol=tolerance * max(1, np.abs(slow).max(initial=0)))


def test_any_number_of_threads_gives_the_same_bits():
    rng, results, before = np.random.default_rng(1), [], get_threads()
    x, dy = (rng.standard_normal((3, 10, 25, 31)).astype(np.float32) for _ in range(2))
    try:
        for count in (1, 2, 3):
            set_threads(count)
            layer = LocalResponseNorm(**STRONG).train()
            results.append((layer.forward(x).tobytes(), layer.backward(dy).tobytes()))
    finally:
        set_threads(before)
    assert results[0] == results[1] == results[2]


def test_loops_give_the_same_without_the_compiler():
    code = (
        "import numpy as np\n"
        "from minicnn.layers import LocalResponseNorm\n"
        "x = np.random.default_rng(0).standard_normal((2, 6, 3, 4))\n"
        "layer = LocalResponseNorm(5, 2.0).train()\n"
        "y = layer.forward(x)\n"
        "print(repr(float((y * np.cos(x)).sum())), repr(float((layer.backward(np.sin(3 * x)) * x).sum())))\n"
    )
    outputs = []
    for disabled in ("0", "1"):
        environment = os.environ | {"NUMBA_DISABLE_JIT": disabled}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        outputs.append([float(word) for word in done.stdout.split()])
    assert len(outputs[0]) == 2
    np.testing.assert_allclose(outputs[0], outputs[1], rtol=1e-12)


# ---- its gradient


@pytest.mark.parametrize("beta", [0.75, 0.6, 2.0])
@pytest.mark.parametrize("mode", ["train", "eval", "frozen"])
def test_the_gradient_is_exact_in_every_mode(beta, mode):
    layer = LocalResponseNorm(**STRONG | {"beta": beta})
    if mode == "frozen":
        layer.freeze()
    report = check_layer(layer, PICTURES, training=mode != "eval")
    assert report.ok, report


class WithoutNeighbours(LocalResponseNorm):
    """Takes the scales for constants."""

    def backward(self, dy):
        x = self.recall().x
        return dy * self.forward(x) / x


class OnlyItsOwnScale(LocalResponseNorm):
    """Forgets that x is in its neighbours' scales, too."""

    def backward(self, dy):
        x = self.recall().x
        y = self.forward(x)
        scale = (x / y) ** (1 / self.beta)
        return dy * y / x - 2 * self.alpha / self.size * self.beta * x * dy * y / scale


class AlphaNotDivided(LocalResponseNorm):
    def backward(self, dy):
        self.alpha *= self.size
        dx = super().backward(dy)
        self.alpha /= self.size
        return dx


@pytest.mark.parametrize("faulty_layer", [WithoutNeighbours, OnlyItsOwnScale, AlphaNotDivided])
def test_planted_faults_fail_the_gradient_check(faulty_layer):
    assert not check_layer(faulty_layer(**STRONG), PICTURES).ok


def test_training_and_inference_do_the_same_and_inference_remembers_nothing():
    layer = LocalResponseNorm(**STRONG)
    y = layer.train().forward(PICTURES)
    assert np.array_equal(layer.eval().forward(PICTURES), y)
    with pytest.raises(RuntimeError, match="needs a forward"):
        layer.backward(y)


# ---- numbers that are not harmless


def test_one_value_that_is_not_finite_reaches_its_neighbours_only():
    x = np.random.default_rng(2).standard_normal((2, 9, 3, 3)).astype(np.float32)
    clean = LocalResponseNorm(3).forward(x)
    for bad in (np.nan, np.inf, 1e30):
        x[0, 4, 1, 1] = bad
        y = LocalResponseNorm(3).forward(x)
        spoilt = y != clean
        assert spoilt[0, 3:6, 1, 1].all() and spoilt.sum() == 3


def test_a_large_value_leaves_no_trace_in_channels_out_of_its_reach():
    x = np.full((1, 12, 1, 1), 0.5, np.float32)
    clean = LocalResponseNorm(**STRONG).forward(x)
    x[0, 2] = 1e6
    assert np.array_equal(LocalResponseNorm(**STRONG).forward(x)[0, 5:], clean[0, 5:])


def test_arrays_that_are_not_contiguous_are_read_right():
    x, dy = PICTURES.transpose(0, 1, 3, 2), np.cos(PICTURES).transpose(0, 1, 3, 2)
    layer = LocalResponseNorm(**STRONG).train()
    y, dx = layer.forward(x), layer.backward(dy)
    assert np.array_equal(layer.forward(x.copy()), y)
    assert np.array_equal(layer.backward(dy.copy()), dx)


def test_what_makes_no_sense_is_refused():
    for arguments, message in (
        ({"size": 4}, "odd number of channels, so that the window has a middle, got 4"),
        ({"size": 0}, "odd number"),
        ({"size": 5.0}, "odd number"),
        ({"alpha": -1}, "alpha is a number of at least 0, got -1"),
        ({"beta": float("nan")}, "beta is a number of at least 0, got nan"),
        ({"k": 0}, "k keeps the scale away from 0"),
    ):
        with pytest.raises(ValueError, match=message):
            LocalResponseNorm(**arguments)
    layer = LocalResponseNorm()
    with pytest.raises(ValueError, match=r"shape \(N, C, H, W\), got \(3, 4\)"):
        layer.forward(np.zeros((3, 4), np.float32))
    with pytest.raises(ValueError, match=r"\(N, C, H, W\), got \(3, 4\)"):
        layer.output_shape((3, 4))
    layer.train().forward(np.zeros((1, 2, 3, 4), np.float32))
    with pytest.raises(ValueError, match="expects a dy like y"):
        layer.backward(np.zeros((1, 2, 4, 3), np.float32))


def test_alpha_and_beta_may_be_zero_and_nothing_is_infinite():
    assert np.array_equal(LocalResponseNorm(3, alpha=0).forward(PICTURES), PICTURES)
    assert np.array_equal(LocalResponseNorm(3, beta=0, k=0.5).forward(PICTURES), PICTURES)
    for name in ("alpha", "beta", "k"):
        with pytest.raises(ValueError, match=f"{name} .* got inf"):
            LocalResponseNorm(**{name: np.inf})


# ---- other frameworks


@pytest.mark.parametrize("size", [1, 3, 5])
def test_pytorch_gives_the_same(size):
    torch = pytest.importorskip("torch")
    ours = LocalResponseNorm(**STRONG | {"size": size}).train()
    theirs = torch.nn.LocalResponseNorm(size, alpha=2.0, beta=0.75, k=1.5)
    x, dy = torch.from_numpy(PICTURES).requires_grad_(), np.cos(PICTURES)
    y = theirs(x)
    y.backward(torch.from_numpy(dy))
    np.testing.assert_allclose(ours.forward(PICTURES), y.detach().numpy(), atol=1e-13)
    np.testing.assert_allclose(ours.backward(dy), x.grad.numpy(), atol=1e-13)


def test_the_operator_of_onnx_is_the_same():
    """With the defaults of both. As many pictures as channels: onnx's reference implementation takes the one for the other."""
    helper = pytest.importorskip("onnx").helper
    evaluator = pytest.importorskip("onnx.reference").ReferenceEvaluator(helper.make_node("LRN", ["x"], ["y"], size=5))
    x = 100 * np.random.default_rng(3).standard_normal((6, 6, 2, 3)).astype(np.float32)
    np.testing.assert_allclose(LocalResponseNorm(5).forward(x), evaluator.run(None, {"x": x})[0], rtol=1e-5)
