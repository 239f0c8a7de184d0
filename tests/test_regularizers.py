"""Regularizers: penalties and their gradients by hand, numerically and by PyTorch; max norm; what a checkpoint keeps."""

import numpy as np
import pytest

from minicnn import regularizers
from minicnn.gradcheck import check_function
from minicnn.layers import BatchNorm2d, Conv2d, Flatten, Linear, Sequential
from minicnn.layers.base import Parameter
from minicnn.losses import MeanSquaredError
from minicnn.optim import SGD
from minicnn.regularizers import L1, L2, L2SP, ElasticNet, MaxNorm, Regularizer


def network():
    return Sequential(conv=Conv2d(1, 2, 3, rng=0), norm=BatchNorm2d(2), flatten=Flatten(), head=Linear(8, 3, rng=1))


def weight(*values):
    parameter = Parameter(np.array(values, np.float64))
    parameter.grad = np.zeros_like(parameter.value)
    return parameter


def pair():
    """Two weights, of which L2SP takes the second for new, moved away from where they started."""
    rng = np.random.default_rng(0)
    return {"body": weight(*rng.standard_normal((2, 3)) + 3), "head": weight(*rng.standard_normal(4) - 3)}


def moved(make):
    """The regularizer of a pair that has been trained since."""
    parameters = pair()
    regularizer = make(parameters)
    for parameter in parameters.values():
        parameter.value += np.linspace(0.5, 1, parameter.value.size).reshape(parameter.value.shape)
    return regularizer


PENALTIES = {
    "L1": lambda parameters: L1(parameters, 0.3),
    "L2": lambda parameters: L2(parameters, 0.3),
    "elastic net": lambda parameters: ElasticNet(parameters, 0.3, 0.2),
    "L2-SP": lambda parameters: L2SP(parameters, 0.3, 0.2, new=["head"]),
}


# ---- penalties


def test_penalties_by_hand():
    w = weight(3, -2, 0)
    for penalty, value, gradient in (
        (L1({"w": w}, 0.1), 0.5, [0.1, -0.1, 0]),
        (L2({"w": w}, 0.5), 3.25, [1.5, -1, 0]),
        (ElasticNet({"w": w}, 0.1, 0.5), 3.75, [1.6, -1.1, 0]),
    ):
        w.grad = np.array([10.0, 20, 30])
        assert penalty.value() == pytest.approx(value)
        penalty.add_gradients()
        np.testing.assert_allclose(w.grad, np.array([10, 20, 30]) + gradient)


def test_l2_sp_by_hand():
    body, head = weight(1, 2), weight(3, -1)
    penalty = L2SP({"body": body, "head": head}, alpha=0.1, beta=0.01, new="head")
    assert penalty.value() == pytest.approx(0.005 * 10)  # the body is where it started
    penalty.add_gradients()
    np.testing.assert_allclose(body.grad, 0)
    np.testing.assert_allclose(head.grad, [0.03, -0.01])
    body.value += [2, -1]  # in place, as optimisers do: w0 is a copy
    penalty.add_gradients()
    assert penalty.value() == pytest.approx(0.05 * 5 + 0.05)
    np.testing.assert_allclose(body.grad, [0.2, -0.1])


@pytest.mark.parametrize("make", PENALTIES.values(), ids=PENALTIES)
def test_the_gradient_of_a_penalty_is_its_derivative(make):
    penalty = moved(make)
    parameters = penalty.parameters

    def backward(dy):
        for parameter in parameters.values():
            parameter.grad = np.zeros_like(parameter.value)
        penalty.add_gradients()
        return {name: dy * parameter.grad for name, parameter in parameters.items()}

    def check(backward):
        arrays = {name: parameter.value for name, parameter in parameters.items()}
        return check_function(lambda **arrays: np.asarray(penalty.value()), backward, arrays)

    report = check(backward)
    assert report.ok, report
    assert report.kinks == 0
    assert not check(lambda dy: backward(2 * dy)).ok
    assert not check(lambda dy: backward(-dy)).ok


@pytest.mark.parametrize("make", PENALTIES.values(), ids=PENALTIES)
def test_pytorch_finds_the_same_gradients(make):
    torch = pytest.importorskip("torch")
    start, penalty = pair(), moved(make)
    w, v = (torch.from_numpy(penalty.parameters[name].value.copy()).requires_grad_() for name in ("body", "head"))
    w0 = torch.from_numpy(start["body"].value)
    theirs = {
        L1: lambda: 0.3 * (w.abs().sum() + v.abs().sum()),
        L2: lambda: 0.15 * (w.square().sum() + v.square().sum()),
        ElasticNet: lambda: 0.3 * (w.abs().sum() + v.abs().sum()) + 0.1 * (w.square().sum() + v.square().sum()),
        L2SP: lambda: 0.15 * (w - w0).square().sum() + 0.1 * v.square().sum(),
    }[type(penalty)]()
    theirs.backward()
    penalty.add_gradients()
    assert penalty.value() == pytest.approx(theirs.item(), rel=1e-12)
    for name, tensor in (("body", w), ("head", v)):
        np.testing.assert_allclose(penalty.parameters[name].grad, tensor.grad.numpy(), rtol=1e-12)


def test_l2_is_weight_decay():
    steps = []
    for decay, strength in ((0.1, 0.0), (0.0, 0.1)):
        model = network().astype(np.float64).train()
        optimizer, penalty = SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=decay), L2(model.parameters(), strength)
        loss, x = MeanSquaredError(), np.random.default_rng(0).standard_normal((4, 1, 4, 4))
        for _ in range(3):
            loss.forward(model.forward(x), np.ones((4, 3)))
            model.backward(loss.backward())
            penalty.add_gradients()
            optimizer.step()
            penalty.apply()
        steps.append({name: parameter.value for name, parameter in model.parameters().items()})
    for name, value in steps[0].items():
        np.testing.assert_allclose(steps[1][name], value, rtol=1e-12)


def test_weights_that_are_drawn_back_stay_near_the_pretrained_ones():
    w = weight(1.0, 2.0)
    penalty, optimizer = L2SP({"w": w}, alpha=1.0, beta=0.0), SGD({"w": w}, 0.1)
    for _ in range(200):
        w.grad = w.value - 5  # of (w - 5)^2 / 2
        penalty.add_gradients()
        optimizer.step()
    np.testing.assert_allclose(w.value, [3, 3.5])  # half way between


# ---- which parameters are meant


@pytest.mark.parametrize("make", PENALTIES.values(), ids=PENALTIES)
def test_biases_and_norms_and_frozen_weights_are_left_alone(make):
    model = network()
    parameters = model.parameters()
    penalty = make({name.replace("head.w", "head"): parameter for name, parameter in parameters.items()})
    for parameter in parameters.values():
        parameter.value += 1
        parameter.grad = np.zeros_like(parameter.value)
    penalty.add_gradients()
    assert [name for name, parameter in parameters.items() if parameter.grad.any()] == ["conv.w", "head.w"]
    assert all(parameter.grad.dtype == np.float32 for parameter in parameters.values())
    both = penalty.value()
    model.layers["conv"].freeze()  # read at every call
    penalty.add_gradients()
    assert parameters["conv.w"].grad is None
    assert 0 < penalty.value() < both


def test_a_trainable_weight_without_a_gradient_is_left_without():
    w = weight(1.0)
    w.grad = None
    L1({"w": w}, 1.0).add_gradients()
    assert w.grad is None


def test_the_arrays_that_backward_gave_are_not_changed():
    w = weight(1.0)
    given = w.grad
    L1({"w": w}, 1.0).add_gradients()
    assert given == 0 and w.grad == 1


def test_a_network_that_changes_its_dtype_keeps_its_penalty():
    w = weight(1.0, 2.0)
    penalty = L2SP({"w": w}, 1.0, 0.0)
    w.value = w.value.astype(np.float32) + 1
    w.grad = np.zeros(2, np.float32)
    penalty.add_gradients()
    assert w.grad.dtype == np.float32
    np.testing.assert_array_equal(w.grad, 1)


# ---- max norm


def test_only_units_that_are_too_long_are_scaled_back():
    w = weight([3, 4], [0.3, 0.4], [0, 2.5])
    array = w.value
    constraint = MaxNorm({"w": w}, 2.5)
    constraint.apply()
    assert w.value is array
    np.testing.assert_allclose(array, [[1.5, 2], [0.3, 0.4], [0, 2.5]])
    assert array[1, 0] == 0.3 and array[2, 1] == 2.5
    constraint.add_gradients()
    assert constraint.value() == 0 and not w.grad.any()


def test_max_norm_takes_whole_filters_of_trainable_weights():
    model = network()
    parameters = model.parameters()
    for parameter in parameters.values():
        parameter.value[...] = np.float32(2)
    MaxNorm(parameters, 3.0).apply()
    np.testing.assert_allclose(np.linalg.norm(parameters["conv.w"].value.reshape(2, 9), axis=1), 3, rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(parameters["head.w"].value, axis=1), 3, rtol=1e-6)
    assert all((parameter.value == 2).all() for parameter in parameters.values() if not parameter.decays)
    assert parameters["conv.w"].value.dtype == np.float32
    frozen = parameters["conv.w"].value.copy()
    model.layers["conv"].freeze()
    MaxNorm(parameters, 1.0).apply()
    np.testing.assert_array_equal(parameters["conv.w"].value, frozen)
    np.testing.assert_allclose(np.linalg.norm(parameters["head.w"].value, axis=1), 1, rtol=1e-6)


def test_pytorch_shortens_the_same_units():
    torch = pytest.importorskip("torch")
    w = np.random.default_rng(0).standard_normal((6, 2, 3, 3))
    parameter = Parameter(w.copy())
    MaxNorm({"w": parameter}, 4.0).apply()
    theirs = torch.renorm(torch.from_numpy(w), p=2, dim=0, maxnorm=4.0).numpy()
    shortened = np.linalg.norm(w.reshape(6, -1), axis=1) > 4
    assert shortened.any() and not shortened.all()
    np.testing.assert_allclose(parameter.value, theirs, rtol=1e-6)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_left_to_be_seen(broken):
    w = weight([broken, 7], [3, 4])
    MaxNorm({"w": w}, 1.0).apply()
    np.testing.assert_allclose(w.value, [[broken, 7], [0.6, 0.8]])


# ---- what a checkpoint keeps


def test_l2_sp_goes_on_from_a_checkpoint_towards_the_same_weights():
    before = moved(PENALTIES["L2-SP"])
    saved = before.state_dict()
    assert set(saved) == {"body"}
    np.testing.assert_array_equal(saved["body"], pair()["body"].value)
    resumed = L2SP(before.parameters, 0.3, 0.2, new=["head"])  # made of weights that have been trained
    assert resumed.value() < before.value()
    resumed.load_state_dict(saved)
    assert resumed.value() == before.value()
    saved["body"][...] = 0  # copies, both ways
    assert resumed.value() == before.value()
    resumed.state_dict()["body"][...] = 0
    assert resumed.value() == before.value()


def test_the_others_have_nothing_to_keep():
    for make in (*[PENALTIES[name] for name in ("L1", "L2", "elastic net")], lambda parameters: MaxNorm(parameters, 1.0)):
        regularizer = make(pair())
        assert regularizer.state_dict() == {}
        regularizer.load_state_dict({})
        with pytest.raises(ValueError, match="remembers 0 arrays, and the saved state holds 1; not in both: body"):
            regularizer.load_state_dict({"body": np.zeros(3)})


def test_a_state_that_does_not_fit_is_refused_and_changes_nothing():
    penalty = moved(PENALTIES["L2-SP"])
    before = penalty.value()
    for saved, says in (
        ({}, r"remembers 1 arrays, and the saved state holds 0; not in both: body\."),
        ({"body": np.zeros((2, 3)), "tail": np.zeros(1)}, r"holds 2; not in both: tail\."),
        ({"body": np.zeros((3, 2))}, r"w0 of body is \(2, 3\), and in the saved state \(3, 2\)"),
    ):
        with pytest.raises(ValueError, match=says):
            penalty.load_state_dict(saved)
        assert penalty.value() == before


# ---- what is refused


@pytest.mark.parametrize("wrong", [-0.1, np.nan, np.inf])
def test_strengths_out_of_range_are_refused(wrong):
    w = {"w": weight(1.0)}
    for make, says in (
        (lambda: L1(w, wrong), "L1: strength"),
        (lambda: L2(w, wrong), "L2: strength"),
        (lambda: ElasticNet(w, wrong, 0), "ElasticNet: lambda1"),
        (lambda: ElasticNet(w, 0, wrong), "ElasticNet: lambda2"),
        (lambda: L2SP(w, wrong, 0), "L2SP: alpha"),
        (lambda: L2SP(w, 0, wrong), "L2SP: beta"),
    ):
        with pytest.raises(ValueError, match=f"{says} says how strong the penalty is, a number from 0 up, got {wrong}"):
            make()
    with pytest.raises(ValueError, match="MaxNorm: c is the largest length"):
        MaxNorm(w, wrong)


def test_a_largest_length_of_zero_is_refused():
    with pytest.raises(ValueError, match="more than 0, got 0"):
        MaxNorm({"w": weight(1.0)}, 0)


def test_parameters_of_which_none_decays_are_refused():
    biases = {"b": Parameter(np.zeros(3), decays=False)}
    for parameters, count in (({}, 0), (biases, 1)):
        with pytest.raises(ValueError, match=rf"L1 got no parameters that decay \(of {count}\); give it model.parameters"):
            L1(parameters, 1.0)


def test_a_new_parameter_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match=r"new names parameters that are not there, classifier.w; there are body, head"):
        L2SP(pair(), 1.0, 1.0, new=["head", "classifier.w"])


def test_every_regularizer_is_tested_here():
    kinds = {kind for kind in vars(regularizers).values() if isinstance(kind, type) and issubclass(kind, Regularizer)}
    assert kinds == {Regularizer, MaxNorm} | {type(make(pair())) for make in PENALTIES.values()}
