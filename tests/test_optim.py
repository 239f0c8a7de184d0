"""Optimisers: two steps worked by hand each, what they skip, and PyTorch's as the oracle."""

import numpy as np
import pytest
from test_gradients import public_types

from minicnn import optim
from minicnn.kernels.elementwise import SERIAL_BELOW_ELEMENTS
from minicnn.layers.base import Parameter
from minicnn.optim import SGD, Adam, AdamW, Optimizer


def parameter(*values, decays=True, dtype=np.float64):
    return Parameter(np.array(values, dtype), decays=decays)


def step(optimizer, gradients, factor=1.0):
    for parameter, gradient in zip(optimizer.parameters.values(), gradients, strict=True):
        parameter.grad = np.array(gradient, parameter.value.dtype)
    optimizer.step(factor)


def two_steps(optimizer_class, **options):
    """Start at w = 1; the gradients are 2 and then -1. The weight after each step."""
    weight = parameter(1.0)
    optimizer = optimizer_class({"w": weight}, **options)
    path = []
    for gradient in (2.0, -1.0):
        step(optimizer, [[gradient]])
        path.append(weight.value[0])
    return path


# ---- two steps worked by hand

# beta1 = 0.5, beta2 = 0.75.
# t = 1, g = 2:  m = 1, v = 1;  corrected 1/0.5 = 2 and 1/0.25 = 4;  2/sqrt(4) = 1
# t = 2, g = -1: m = 0.5 - 0.5 = 0, v = 0.75 + 0.25 = 1;  corrected 0 and 1/0.4375: no step at all
ADAM = {"learning_rate": 0.1, "beta1": 0.5, "beta2": 0.75, "eps": 0.0}

BY_HAND = {
    # 1 - 0.1*2 = 0.8;  0.8 - 0.1*(-1) = 0.9
    "sgd goes down the gradient": (SGD, {"learning_rate": 0.1}, [0.8, 0.9]),
    # g = 2 + 0.5*1 = 2.5: 1 - 0.25 = 0.75;  g = -1 + 0.5*0.75 = -0.625: 0.75 + 0.0625 = 0.8125
    "sgd: weight decay is part of the gradient": (SGD, {"learning_rate": 0.1, "weight_decay": 0.5}, [0.75, 0.8125]),
    # v = 2: 1 - 0.2 = 0.8;  v = 0.9*2 - 1 = 0.8: 0.8 - 0.08 = 0.72
    "momentum keeps moving": (SGD, {"learning_rate": 0.1, "momentum": 0.9}, [0.8, 0.72]),
    # v = 2: step 2 + 0.9*2 = 3.8: 1 - 0.38 = 0.62;  v = 0.8: step -1 + 0.9*0.8 = -0.28: 0.62 + 0.028 = 0.648
    "nesterov looks one step ahead": (SGD, {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True}, [0.62, 0.648]),
    "adam divides by the bias correction": (Adam, ADAM, [0.9, 0.9]),
    # beta1 = 0: m is the gradient. Second step: v = 1 as above, corrected 1/0.4375 = 16/7; -1/sqrt(16/7) = -sqrt(7)/4
    "adam counts steps from one": (Adam, ADAM | {"beta1": 0.0}, [0.9, 0.9 + 0.1 * np.sqrt(7) / 4]),
    # 2 / (2 + 0.5) = 0.8;  m is 0 in the second step, as above
    "adam adds eps outside the root": (Adam, ADAM | {"eps": 0.5}, [1 - 0.1 * 0.8, 1 - 0.1 * 0.8]),
    # g = 2 + 1*1 = 3: the first step has length lr whatever the gradient. Then g = -1 + 0.9 = -0.1:
    # m = 0.5*1.5 - 0.05 = 0.7, v = 0.75*2.25 + 0.25*0.01 = 1.69; (0.7/0.75) / sqrt(1.69/0.4375)
    "adam: weight decay goes through the moments": (
        Adam, ADAM | {"weight_decay": 1.0}, [0.9, 0.9 - 0.1 * (0.7 / 0.75) / np.sqrt(1.69 / 0.4375)]
    ),
    # 1 * (1 - 0.1*0.5) - 0.1 = 0.85;  0.85 * 0.95 - 0 = 0.8075
    "adamw shrinks the weight itself": (AdamW, ADAM | {"weight_decay": 0.5}, [0.85, 0.8075]),
}  # fmt: skip


@pytest.mark.parametrize(("optimizer_class", "options", "path"), BY_HAND.values(), ids=BY_HAND)
def test_two_steps_worked_by_hand(optimizer_class, options, path):
    assert two_steps(optimizer_class, **options) == pytest.approx(path)


def test_no_optimizer_is_left_out():
    types = public_types(optim, Optimizer)
    assert types == {optimizer_class for optimizer_class, _, _ in BY_HAND.values()}
    assert types == {type(make({"w": parameter(1.0)})) for make in MAKERS.values()}


# ---- against PyTorch


@pytest.mark.parametrize(
    ("ours", "theirs", "options"),
    [
        (SGD, "SGD", {}),
        (SGD, "SGD", {"weight_decay": 0.1}),
        (SGD, "SGD", {"momentum": 0.9, "weight_decay": 0.1}),
        (SGD, "SGD", {"momentum": 0.8, "nesterov": True, "weight_decay": 0.1}),
        (Adam, "Adam", {}),
        (Adam, "Adam", {"weight_decay": 0.1}),
        (AdamW, "AdamW", {"weight_decay": 0.3}),
    ],
)
def test_same_path_as_pytorch(ours, theirs, options):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    start = rng.normal(size=(5, 7))
    weight, tensor = Parameter(start.copy()), torch.tensor(start, requires_grad=True)
    our_optimizer = ours({"w": weight}, learning_rate=0.05, **options)
    their_optimizer = getattr(torch.optim, theirs)([tensor], lr=0.05, **options)
    for _ in range(8):
        gradient = rng.normal(size=start.shape)
        weight.grad, tensor.grad = gradient, torch.tensor(gradient)
        our_optimizer.step()
        their_optimizer.step()
        np.testing.assert_allclose(weight.value, tensor.detach().numpy(), rtol=1e-12)


# ---- which parameters, and how much of the rate each gets

MAKERS = {
    "SGD": lambda parameters: SGD(parameters, 0.1, weight_decay=0.1),
    "Nesterov": lambda parameters: SGD(parameters, 0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
    "Adam": lambda parameters: Adam(parameters, 0.1, weight_decay=0.1),
    "AdamW": lambda parameters: AdamW(parameters, 0.1, weight_decay=0.1),
}
EACH = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


@EACH
def test_frozen_parameters_stay_to_the_bit_and_the_flag_is_read_at_each_step(make):
    frozen, free = parameter(1.0, -0.0), parameter(1.0, -0.0)
    optimizer = make({"frozen": frozen, "free": free})
    frozen.trainable = False
    before = frozen.value.tobytes()
    for _ in range(3):
        step(optimizer, [[1.0, 2.0], [1.0, 2.0]])
    assert frozen.value.tobytes() == before and "frozen" not in optimizer.state
    after_three = free.value.copy()
    frozen.trainable, free.trainable = True, False
    step(optimizer, [[1.0, 2.0], [1.0, 2.0]])
    assert frozen.value.tobytes() != before
    assert free.value.tobytes() == after_three.tobytes()


def test_a_parameter_unfrozen_late_counts_its_own_steps():
    late, early = parameter(1.0), parameter(1.0)
    optimizer = Adam({"late": late, "early": early}, 0.1)
    late.trainable = False
    for _ in range(5):
        step(optimizer, [[2.0], [2.0]])
    late.trainable = True
    step(optimizer, [[2.0], [2.0]])
    assert late.value[0] == pytest.approx(0.9)


@EACH
def test_without_a_gradient_nothing_changes(make):
    weight = parameter(1.0)
    make({"w": weight}).step()
    assert weight.value[0] == 1.0


@EACH
def test_multiplier_and_factor_scale_the_rate(make):
    plain, slow = parameter(1.0), parameter(1.0)
    slow.learning_rate_multiplier = 0.25
    step(make({"plain": plain, "slow": slow}), [[2.0], [2.0]])
    assert 1 - slow.value[0] == pytest.approx(0.25 * (1 - plain.value[0]))

    scheduled = parameter(1.0)
    step(make({"w": scheduled}), [[2.0]], factor=0.25)
    assert scheduled.value[0] == slow.value[0]

    settable = parameter(1.0)
    optimizer = make({"w": settable})
    optimizer.learning_rate *= 0.25
    step(optimizer, [[2.0]])
    assert settable.value[0] == slow.value[0]


@EACH
def test_weight_decay_only_where_the_parameter_decays(make):
    weight, bias = parameter(4.0), parameter(4.0, decays=False)
    step(make({"w": weight, "b": bias}), [[0.0], [0.0]])
    assert weight.value[0] < 4.0
    assert bias.value[0] == 4.0


# ---- arrays


@EACH
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_change_in_place_and_state_has_their_dtype(make, dtype):
    weight = parameter(1.0, 2.0, dtype=dtype)
    array = weight.value
    optimizer = make({"w": weight})
    step(optimizer, [[1.0, 1.0]])
    gradient = weight.grad.copy()
    optimizer.step(np.float64(0.5))
    assert weight.value is array and array.dtype == dtype
    assert (array != [1.0, 2.0]).all()
    assert np.array_equal(weight.grad, gradient)
    assert all(value.dtype == dtype for value in optimizer.state["w"].values() if isinstance(value, np.ndarray))


@EACH
def test_large_and_oddly_laid_out_arrays_get_the_same_steps(make):
    rng = np.random.default_rng(1)
    start, gradient = rng.normal(size=(2, 2, 3, SERIAL_BELOW_ELEMENTS // 2 + 5))
    whole = Parameter(start.copy())
    turned = Parameter(np.asfortranarray(start))
    strided = Parameter(np.repeat(start, 2, axis=1)[:, ::2])
    small = Parameter(start[:1, :1, :7].copy())
    optimizer = make({"whole": whole, "turned": turned, "strided": strided, "small": small})
    for _ in range(2):
        whole.grad, turned.grad, strided.grad = gradient, gradient, np.asfortranarray(gradient)
        small.grad = gradient[:1, :1, :7]
        optimizer.step()
    assert np.array_equal(whole.value, turned.value)
    assert np.array_equal(whole.value, strided.value)
    assert np.array_equal(whole.value[:1, :1, :7], small.value)


@EACH
def test_a_quadratic_is_minimised(make):
    curvature = np.array([1.0, 10.0])
    weight = parameter(3.0, -2.0, decays=False)
    optimizer = make({"w": weight})
    for i in range(300):
        weight.grad = curvature * (weight.value - 1)
        optimizer.step(factor=1 - i / 300)
    np.testing.assert_allclose(weight.value, 1, atol=1e-3)


# ---- what is refused


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: SGD({}, 0.1), "got no parameters"),
        (lambda p: SGD(p, -0.1), "learning_rate must be a number from 0 up, got -0.1"),
        (lambda p: Adam(p, float("nan")), "learning_rate must be a number from 0 up, got nan"),
        (lambda p: AdamW(p, 0.1, weight_decay=-1), "weight_decay must be a number from 0 up, got -1"),
        (lambda p: SGD(p, 0.1, momentum=1.0), "momentum must be at least 0 and below 1, got 1.0"),
        (lambda p: SGD(p, 0.1, momentum=-0.1), "momentum must be"),
        (lambda p: SGD(p, 0.1, nesterov=True), "needs momentum above 0"),
        (lambda p: Adam(p, 0.1, beta2=1.0), "beta2 must be"),
        (lambda p: Adam(p, 0.1, eps=-1e-8), "eps must be"),
    ],
)
def test_impossible_constants_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make({"w": parameter(1.0)})


def test_a_gradient_of_another_shape_is_refused_by_name():
    weight = parameter(1.0, 2.0)
    optimizer = SGD({"conv1.b": weight}, 0.1)
    with pytest.raises(ValueError, match=r"conv1.b has shape \(2,\), its gradient \(1,\)"):
        step(optimizer, [[1.0]])


@EACH
def test_read_only_weights_are_refused_by_name_and_frozen_ones_do_not_matter(make):
    weight, other = parameter(1.0, 2.0), parameter(1.0, 2.0)
    weight.value.flags.writeable = False
    optimizer = make({"conv1.w": weight, "conv2.w": other})
    with pytest.raises(ValueError, match=r"conv1.w cannot be changed: its array is read-only .*parameter.value.copy\(\)"):
        step(optimizer, [[1.0, 1.0], [1.0, 1.0]])
    weight.trainable = False
    step(optimizer, [[1.0, 1.0], [1.0, 1.0]])
    assert other.value[0] < 1
    weight.trainable, weight.value = True, weight.value.copy()
    step(optimizer, [[1.0, 1.0], [1.0, 1.0]])
    assert weight.value[0] < 1


@EACH
def test_gradients_may_be_read_only(make):
    weight, plain = parameter(1.0, 2.0), parameter(1.0, 2.0)
    optimizer = make({"w": weight, "plain": plain})
    weight.grad, plain.grad = np.array([1.0, -1.0]), np.array([1.0, -1.0])
    weight.grad.flags.writeable = False
    optimizer.step()
    assert np.array_equal(weight.value, plain.value)
