"""Optimisers of single weights: two steps worked by hand each, what they skip, and PyTorch's as the oracle; what all save."""

import copy
import inspect

import numpy as np
import pytest
from test_gradients import public_types

from minicnn import optim
from minicnn.kernels.elementwise import SERIAL_BELOW_ELEMENTS
from minicnn.layers.base import Parameter
from minicnn.optim import LBFGS, SGD, AdaGrad, Adam, AdamW, FullBatchOptimizer, Muon, Newton, Optimizer, OptimizerGroup, RMSProp


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
    # cache = 4: 1 - 0.1*2/2 = 0.9;  cache = 4 + 1 = 5: 0.9 + 0.1/sqrt(5)
    "adagrad divides by the length of all gradients": (AdaGrad, {"learning_rate": 0.1}, [0.9, 0.9 + 0.1 / np.sqrt(5)]),
    # 2 / (2 + 0.5) = 0.8: 0.92;  0.92 + 0.1/(sqrt(5) + 0.5)
    "adagrad adds eps outside the root": (
        AdaGrad, {"learning_rate": 0.1, "eps": 0.5}, [0.92, 0.92 + 0.1 / (np.sqrt(5) + 0.5)]
    ),
    # g = 2 + 1*1 = 3, cache = 9: 0.9;  g = -1 + 0.9 = -0.1, cache = 9.01: 0.9 + 0.01/sqrt(9.01)
    "adagrad: weight decay is part of the gradient": (
        AdaGrad, {"learning_rate": 0.1, "weight_decay": 1.0}, [0.9, 0.9 + 0.01 / np.sqrt(9.01)]
    ),
    # cache = 0.25*4 = 1: 1 - 0.1*2/1 = 0.8;  cache = 0.75 + 0.25 = 1: 0.8 + 0.1*1/1 = 0.9
    "rmsprop forgets": (RMSProp, {"learning_rate": 0.1, "decay": 0.75}, [0.8, 0.9]),
    # 2 / (1 + 0.25) = 1.6: 0.84;  1 / 1.25 = 0.8: 0.92
    "rmsprop adds eps outside the root": (RMSProp, {"learning_rate": 0.1, "decay": 0.75, "eps": 0.25}, [0.84, 0.92]),
    # g = 3, cache = 0.25*9 = 2.25: 1 - 0.1*3/1.5 = 0.8;  g = -1 + 0.8 = -0.2, cache = 1.6875 + 0.01: 0.8 + 0.02/sqrt(1.6975)
    "rmsprop: weight decay is part of the gradient": (
        RMSProp, {"learning_rate": 0.1, "decay": 0.75, "weight_decay": 1.0}, [0.8, 0.8 + 0.02 / np.sqrt(1.6975)]
    ),
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
    with_files_of_their_own = {LBFGS, FullBatchOptimizer, Muon, Newton, OptimizerGroup}
    assert types - with_files_of_their_own == {optimizer_class for optimizer_class, _, _ in BY_HAND.values()}
    assert types - with_files_of_their_own == {type(make({"w": parameter(1.0)})) for make in MAKERS.values()}


def test_without_being_told_the_constants_are_those_of_the_sources():
    def defaults(optimizer_class):
        arguments = inspect.signature(optimizer_class).parameters.values()
        return {argument.name: argument.default for argument in arguments if argument.default is not argument.empty}

    adam = {"learning_rate": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0}
    assert defaults(SGD) == {"momentum": 0.0, "nesterov": False, "weight_decay": 0.0}
    assert defaults(AdaGrad) == {"learning_rate": 1e-2, "eps": 1e-10, "weight_decay": 0.0}
    assert defaults(RMSProp) == {"learning_rate": 1e-3, "decay": 0.9, "eps": 1e-8, "weight_decay": 0.0}
    assert defaults(Adam) == adam
    assert defaults(AdamW) == adam | {"weight_decay": 0.01}
    assert defaults(Muon) == {"learning_rate": 0.02, "momentum": 0.95, "weight_decay": 0.0, "iterations": 5}
    assert defaults(LBFGS) == {"learning_rate": 1.0, "memory": 10, "tolerance": 1e-7}
    assert defaults(Newton) == {"learning_rate": 1.0, "damping": 0.0, "hessian": None}


# ---- against PyTorch


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 1e-4)])
@pytest.mark.parametrize(
    ("ours", "theirs", "options", "their_options"),
    [
        (SGD, "SGD", {}, {}),
        (SGD, "SGD", {"momentum": 0.9, "weight_decay": 0.1}, {}),
        (SGD, "SGD", {"momentum": 0.8, "nesterov": True, "weight_decay": 0.1}, {}),
        (AdaGrad, "Adagrad", {}, {}),
        (AdaGrad, "Adagrad", {"eps": 1e-3, "weight_decay": 0.1}, {}),
        (RMSProp, "RMSprop", {}, {"alpha": 0.9}),
        (RMSProp, "RMSprop", {"decay": 0.99, "eps": 1e-3, "weight_decay": 0.1}, {"alpha": 0.99}),
        (Adam, "Adam", {}, {}),
        (Adam, "Adam", {"weight_decay": 0.1}, {}),
        (AdamW, "AdamW", {"weight_decay": 0.3}, {}),
    ],
)
def test_a_hundred_steps_are_pytorchs(ours, theirs, options, their_options, dtype, tolerance):
    """With weight decay, a schedule, a parameter with a rate of its own, one that does not decay, and one that is frozen."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    start = {name: rng.normal(size=(5, 7)).astype(dtype) for name in ("plain", "slow", "bias", "frozen")}
    parameters = {name: Parameter(array.copy(), decays=name != "bias") for name, array in start.items()}
    tensors = {name: torch.tensor(array, requires_grad=name != "frozen") for name, array in start.items()}
    parameters["slow"].learning_rate_multiplier, parameters["frozen"].trainable = 0.25, False
    our_optimizer = ours(parameters, learning_rate=0.05, **options)
    groups = [
        {"params": [tensors["plain"]], "lr": 0.05},
        {"params": [tensors["slow"]], "lr": 0.05 * 0.25},
        {"params": [tensors["bias"]], "lr": 0.05, "weight_decay": 0.0},
    ]
    their_options = their_options | {key: value for key, value in options.items() if key != "decay"}
    their_optimizer = getattr(torch.optim, theirs)(groups, **their_options)
    their_schedule = torch.optim.lr_scheduler.LambdaLR(their_optimizer, lambda step: 1 - step / 200)
    for i in range(100):
        for name, parameter in parameters.items():
            gradient = rng.normal(size=(5, 7)).astype(dtype)
            parameter.grad, tensors[name].grad = gradient, torch.tensor(gradient)
        our_optimizer.step(factor=1 - i / 200)
        their_optimizer.step()
        their_schedule.step()
    for name, parameter in parameters.items():
        np.testing.assert_allclose(parameter.value, tensors[name].detach().numpy(), rtol=tolerance, atol=tolerance / 10)
        assert np.array_equal(parameter.value, start[name]) == (name == "frozen")


# ---- which parameters, and how much of the rate each gets

MAKERS = {
    "SGD": lambda parameters: SGD(parameters, 0.1, weight_decay=0.1),
    "Nesterov": lambda parameters: SGD(parameters, 0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
    "AdaGrad": lambda parameters: AdaGrad(parameters, 0.5, weight_decay=0.1),
    "RMSProp": lambda parameters: RMSProp(parameters, 0.1, weight_decay=0.1),
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
    settable.grad = np.array([2.0])
    optimizer.step()
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
        (lambda p: AdaGrad(p, eps=-1e-8), "AdaGrad: eps must be a number from 0 up, got -1e-08"),
        (lambda p: RMSProp(p, decay=1.0), "decay must be at least 0 and below 1, got 1.0"),
        (lambda p: RMSProp(p, eps=float("inf")), "eps must be"),
        (lambda p: Adam(p, 0.1, beta1=-0.1), "beta1 must be"),
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


def test_a_new_optimiser_is_told_what_to_write():
    class Nothing(Optimizer):
        pass

    class Half(Optimizer):
        def _new_state(self, weights):
            return {}

    for optimizer_class, missing in ((Nothing, "_new_state"), (Half, "_update")):
        with pytest.raises(NotImplementedError, match=f"{optimizer_class.__name__} must write {missing}"):
            step(optimizer_class({"w": parameter(1.0)}, 0.1, 0.0), [[1.0]])


def test_a_step_that_is_refused_changes_no_parameter_at_all():
    first, second = parameter(1.0), parameter(1.0, 2.0)
    optimizer = Adam({"first": first, "second": second}, 0.1)
    with pytest.raises(ValueError, match="second has shape"):
        step(optimizer, [[1.0], [1.0]])
    assert first.value[0] == 1 and optimizer.state == {}


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
    weight.grad = plain.grad = np.broadcast_to(1.0, 2)  # a single number, seen as two
    optimizer.step()
    assert np.array_equal(weight.value, plain.value) and weight.value[0] < 1


def test_plain_gradient_descent_needs_no_memory():
    weight = parameter(1.0)
    optimizer = SGD({"w": weight}, 0.1)
    step(optimizer, [[2.0]])
    assert optimizer.state == {"w": {}}


# ---- going on from a saved state

SAVED = MAKERS | {
    "Muon": lambda parameters: Muon({name: p for name, p in parameters.items() if p.value.ndim > 1}, 0.1),
    "Muon and AdamW": lambda parameters: OptimizerGroup(
        [Muon({"w": parameters["w"]}, 0.1), AdamW({"b": parameters["b"], "late": parameters["late"]}, 0.01)]
    ),
}


def network(dtype=np.float32):
    rng = np.random.default_rng(3)
    return {name: Parameter(rng.normal(size=size).astype(dtype)) for name, size in (("w", (4, 6)), ("b", (4,)), ("late", (3,)))}


def run(optimizer, parameters, steps):
    """Steps with numbers: the gradients of each are always the same. "late" is frozen until step 6."""
    for i in steps:
        rng = np.random.default_rng(100 + i)
        parameters["late"].trainable = i >= 6
        for parameter in parameters.values():
            parameter.grad = rng.normal(size=parameter.value.shape).astype(parameter.value.dtype)
        optimizer.step(factor=1 - i / 20)


@pytest.mark.parametrize("make", SAVED.values(), ids=SAVED)
def test_a_run_that_was_saved_goes_on_to_the_bit(make):
    whole, first_half = network(), network()
    run(make(whole), whole, range(10))
    before_the_break = make(first_half)
    run(before_the_break, first_half, range(5))
    saved = before_the_break.state_dict()
    second_half = {name: Parameter(p.value.copy()) for name, p in first_half.items()}
    run(before_the_break, first_half, range(5, 10))  # does not change what was saved
    after_the_break = make(second_half)
    after_the_break.load_state_dict(saved)
    run(after_the_break, second_half, range(5, 10))
    for name, parameter in whole.items():
        assert parameter.value.tobytes() == second_half[name].value.tobytes() == first_half[name].value.tobytes()


def leaves(saved):
    return [leaf for value in saved.values() for leaf in (leaves(value) if isinstance(value, dict) else [value])]


@pytest.mark.parametrize("make", SAVED.values(), ids=SAVED)
def test_a_saved_state_is_made_of_what_a_file_can_hold(make):
    parameters = network()
    optimizer = make(parameters)
    run(optimizer, parameters, range(2))
    assert {type(leaf) for leaf in leaves(optimizer.state_dict())} <= {str, bool, int, float, np.ndarray}


def test_numbers_may_come_back_from_a_file_as_arrays():
    parameters = network()
    optimizer = Adam(parameters, 0.1)
    run(optimizer, parameters, range(3))
    saved = optimizer.state_dict()
    saved["constants"] = {name: np.asarray(value) for name, value in saved["constants"].items()}
    for entry in saved["state"].values():
        entry["t"] = np.asarray(entry["t"])
    again = Adam(parameters, 0.1)
    again.load_state_dict(saved)
    assert again.state["w"]["t"] == 3 and isinstance(again.state["w"]["t"], int)


def test_a_saved_state_is_a_copy_both_ways():
    parameters = network()
    optimizer = SGD(parameters, 0.1, momentum=0.9)
    run(optimizer, parameters, range(1))
    saved = optimizer.state_dict()
    optimizer.load_state_dict(saved)
    kept = copy.deepcopy(saved)
    run(optimizer, parameters, range(1, 3))
    assert np.array_equal(saved["state"]["w"]["v"], kept["state"]["w"]["v"])
    assert not np.array_equal(saved["state"]["w"]["v"], optimizer.state["w"]["v"])


def with_changes(saved, *path_and_value):
    *path, last, value = path_and_value
    changed = place = copy.deepcopy(saved)
    for key in path:
        place = place[key]
    place[last] = value
    return changed


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: 3, "Adam goes on from what the state_dict.. of Adam returned, got int that is none"),
        (lambda s: {"optimizer": "Adam"}, "got dict that is none"),
        (lambda s: SGD(network(), 0.1).state_dict(), "got the state of SGD"),
        (lambda s: with_changes(s, "constants", "beta1", 0.8), "Adam has beta1=0.9, and the saved state .* beta1=0.8"),
        (lambda s: with_changes(s, "constants", "learning_rate", 0.2), "has learning_rate=0.1, .* learning_rate=0.2"),
        (lambda s: with_changes(s, "constants", "gamma", 1.0), "has gamma=None, and .* gamma=1.0"),
        (lambda s: with_changes(s, "state", "other.w", {}), "1 parameters that Adam was not given, other.w; make it from"),
        (lambda s: with_changes(s, "state", "w", {"v": np.zeros(3)}), r"of w the state holds \['m', 't', 'v'\], .* \['v'\]"),
        (lambda s: with_changes(s, "state", "w", "m", np.zeros((4, 5), np.float32)), r"m of w is float32 .*\(4, 5\)"),
        (lambda s: with_changes(s, "state", "w", "v", np.zeros((4, 6))), r"v of w is float32 \(4, 6\), .* float64 \(4, 6\)"),
    ],
)  # fmt: skip
def test_a_state_that_does_not_fit_is_refused_and_nothing_changes(change, message):
    parameters = network()
    optimizer = Adam(parameters, 0.1)
    run(optimizer, parameters, range(2))
    before = optimizer.state_dict()
    with pytest.raises(ValueError, match=message):
        optimizer.load_state_dict(change(before))
    after = optimizer.state_dict()
    assert after["constants"] == before["constants"]
    for name, entry in before["state"].items():
        assert all(np.array_equal(entry[key], after["state"][name][key]) for key in entry)


# ---- several as one


def test_each_of_a_group_changes_its_own_parameters_by_the_same_schedule():
    parameters, alone = network(), network()
    sgd, adam = SGD({"w": parameters["w"]}, 0.1), Adam({"b": parameters["b"], "late": parameters["late"]}, 0.01)
    group = OptimizerGroup([sgd, adam])
    run(group, parameters, range(8))
    run(SGD({"w": alone["w"]}, 0.1), alone, range(8))
    run(Adam({"b": alone["b"], "late": alone["late"]}, 0.01), alone, range(8))
    assert all(np.array_equal(parameters[name].value, alone[name].value) for name in parameters)
    assert list(group.parameters) == ["w", "b", "late"]
    assert group.learning_rate == 0.1
    sgd.learning_rate = 0.3
    assert group.learning_rate == 0.3
    before = parameters["w"].value.copy()
    group.step()  # at the full rate of each
    np.testing.assert_allclose(parameters["w"].value, before - np.float32(0.3) * parameters["w"].grad, rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: [], "got no optimisers"),
        (lambda p: [SGD(p, 0.1), Adam({"b": p["b"]})], "a parameter belongs to one optimiser, and two have b"),
        (lambda p: [SGD({"w": p["w"]}, 0.1), Adam({"w": p["b"]})], "two have w"),
        (lambda p: [SGD({"w": p["w"]}, 0.1), Adam({"v": p["w"]})], "two have the same one under two names"),
        (lambda p: [OptimizerGroup([SGD(p, 0.1)])], "step on a batch, such as Muon and AdamW, got OptimizerGroup"),
        (lambda p: [LBFGS(p)], "got LBFGS"),
    ],
)
def test_groups_that_cannot_be_are_refused(make, message):
    parameters = network()
    with pytest.raises(ValueError, match=message):
        OptimizerGroup(make(parameters))


def test_a_group_is_restored_as_a_whole_or_not_at_all():
    parameters = network()
    group = OptimizerGroup([SGD({"w": parameters["w"]}, 0.1, momentum=0.9), Adam({"b": parameters["b"]})])
    run(group, parameters, range(2))
    wrong = with_changes(group.state_dict(), "1", "constants", "eps", 1.0)
    before = group.optimizers[0].state["w"]["v"]
    with pytest.raises(ValueError, match="Adam has eps=1e-08"):
        group.load_state_dict(wrong)
    assert group.optimizers[0].state["w"]["v"] is before
    with pytest.raises(ValueError, match=r"of a group of 2, got one with \['0'\]"):
        group.load_state_dict({"0": wrong["0"]})
    with pytest.raises(ValueError, match="of a group of 2, got NoneType"):
        group.load_state_dict(None)
