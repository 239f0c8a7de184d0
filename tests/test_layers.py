"""What all layers have in common: parameters, modes, freezing, what is remembered, and which arguments are refused."""

import numpy as np
import pytest

from minicnn.layers import BatchNorm2d, Conv2d, Dropout, Layer, Linear, Parameter, ReLU, Sequential
from minicnn.layers.arguments import is_whole, padding, padding_of_sides, pair
from minicnn.layers.receptive_field import ReceptiveField

ROWS = np.ones((2, 3), np.float32)


def network():
    return Sequential(hidden=Linear(3, 4, rng=0), relu=ReLU(), drop=Dropout(), top=Sequential(scores=Linear(4, 2, rng=1)))


class Nothing(Layer):
    """A layer that writes nothing of the contract."""


# ---- parameters


def test_a_new_parameter_is_trained_at_the_optimisers_own_rate_and_decays():
    weights = Parameter(ROWS)
    assert weights.value is ROWS and weights.grad is None
    assert weights.trainable is True and weights.learning_rate_multiplier == 1 and weights.decays is True
    assert Parameter(ROWS, decays=False).decays is False


def test_a_parameter_shows_its_shape_its_dtype_and_whether_it_is_frozen():
    weights = Parameter(ROWS)
    assert repr(weights) == "Parameter((2, 3), float32)"
    weights.trainable = False
    assert repr(weights) == "Parameter((2, 3), float32, frozen)"


# ---- the contract


def test_a_layer_that_does_not_write_what_it_must_says_what():
    for call, missing in (
        (lambda: Nothing().forward(ROWS), r"Nothing must write forward\(x\)"),
        (lambda: Nothing().backward(ROWS), r"Nothing must write backward\(dy\)"),
        (lambda: Nothing().output_shape((2, 3)), r"Nothing must write output_shape\(input_shape\)"),
    ):
        with pytest.raises(NotImplementedError, match=missing):
            call()


def test_a_layer_owns_nothing_costs_nothing_and_makes_no_map_unless_it_says_so():
    layer = Nothing()
    assert layer.children() == layer.parameters() == layer.state() == layer.config() == {}
    assert layer.multiply_adds((2, 3)) == 0 and not layer.is_identity_in_inference and not layer.trainable
    with pytest.raises(ValueError, match="Nothing gives no map in which each element sees a window"):
        layer.receptive_field(ReceptiveField(), (2, 3))


def test_a_new_layer_is_in_inference_and_would_give_dx():
    layer = Nothing()
    assert (layer.name, layer.training, layer.remembers, layer.needs_dx) == ("Nothing", False, False, True)


def test_a_layer_calls_itself_by_its_type_and_in_a_network_also_by_its_path():
    net = network()
    assert str(net) == "Sequential" and str(Nothing()) == "Nothing"
    assert str(net.layers["top"].layers["scores"]) == "Linear 'top.scores'"


def test_a_walk_goes_through_parents_before_children_in_the_order_of_the_network():
    net = network()
    assert [path for path, _ in net.walk()] == ["", "hidden", "relu", "drop", "top", "top.scores"]
    assert dict(net.walk())[""] is net and dict(net.walk())["top.scores"] is net.layers["top"].layers["scores"]


# ---- modes, freezing, dtype, seeds


@pytest.mark.parametrize(
    ("switch", "training", "remembers"),
    [
        (lambda net: net.train(), True, True),
        (lambda net: net.eval(), False, False),
        (lambda net: net.eval(backward=True), False, True),
    ],
    ids=["train", "eval", "eval with backward"],
)
def test_a_mode_is_set_in_every_layer_and_what_was_remembered_is_forgotten(switch, training, remembers):
    net = network().train()
    net.needs_dx = False
    net.forward(ROWS)
    assert switch(net) is net
    for _, layer in net.walk():
        assert (layer.training, layer.remembers, layer.needs_dx) == (training, remembers, True)
        assert layer._remembered is None


def test_freezing_drops_the_gradients_and_can_be_undone():
    net = network().train()
    net.backward(net.forward(ROWS))
    parameters = net.parameters().values()
    assert net.trainable and all(parameter.grad is not None for parameter in parameters)
    assert net.freeze() is net and not net.trainable
    assert all(parameter.grad is None and not parameter.trainable for parameter in parameters)
    net.layers["hidden"].b.trainable = True
    assert net.trainable  # one parameter is enough
    assert net.unfreeze() is net and all(parameter.trainable for parameter in parameters)


def test_a_network_is_converted_in_place_without_its_gradients_and_computes_the_same():
    net = network().train()
    net.backward(net.forward(ROWS))
    parameters, y = net.parameters(), net.eval().forward(ROWS)
    assert net.astype(np.float64) is net and list(net.parameters().values()) == list(parameters.values())
    assert all(parameter.value.dtype == np.float64 and parameter.grad is None for parameter in parameters.values())
    np.testing.assert_allclose(net.forward(ROWS.astype(np.float64)), y, rtol=1e-6)
    with pytest.raises(TypeError, match="float32 or float64, got float16"):
        net.astype(np.float16)


def test_a_network_of_that_dtype_already_keeps_its_arrays():
    net = Sequential(norm=BatchNorm2d(3), conv=Conv2d(3, 2, 1))
    arrays = [parameter.value for parameter in net.parameters().values()] + list(net.state().values())
    net.astype(np.float32)
    after = [parameter.value for parameter in net.parameters().values()] + list(net.state().values())
    assert all(new is old for new, old in zip(after, arrays, strict=True))


def test_seeds_go_to_the_layers_that_draw_and_to_no_other():
    net = Sequential(a=Dropout(), b=Sequential(c=Dropout(), d=ReLU()))
    assert net.seed(np.random.default_rng(5)) is net
    a, c = (dict(net.walk())[path].rng for path in ("a", "b.c"))
    expected = np.random.default_rng(5).spawn(2)
    assert [a.random(), c.random()] == [rng.random() for rng in expected]
    assert [path for path, layer in net.walk() if hasattr(layer, "rng")] == ["a", "b.c"]


# ---- between forward and backward


def test_what_is_remembered_is_handed_out_once_and_only_where_a_backward_will_come():
    layer = Nothing().train()
    layer.remember(x=3)
    assert layer.recall().x == 3
    with pytest.raises(RuntimeError, match=r"Nothing: backward\(\) needs a forward\(\) just before it"):
        layer.recall()
    layer.eval().remember(x=3)
    with pytest.raises(RuntimeError, match="Inference and frozen lower layers remember nothing"):
        layer.recall()


@pytest.mark.parametrize(
    ("x", "ndim", "error", "message"),
    [
        ([1.0], None, TypeError, "Linear expects a NumPy array, got list"),
        (np.ones((2, 3), np.float16), None, TypeError, "float32 or float64, got float16"),
        (np.ones((2, 3, 4), np.float32), 2, ValueError, r"shape \(N, D\), got \(2, 3, 4\)"),
        (ROWS, 4, ValueError, r"shape \(N, C, H, W\), got \(2, 3\)"),
        (np.ones((2, 3)), 2, TypeError, r"holds w in float32 and got x in float64; .* x.astype\(float32\)"),
    ],
)
def test_an_input_that_no_layer_can_work_with_is_refused(x, ndim, error, message):
    with pytest.raises(error, match=message):
        Linear(3, 2).check_input(x, ndim)


def test_other_inputs_pass_and_a_container_leaves_the_dtype_to_its_layers():
    Linear(3, 2).check_input(ROWS)
    Linear(3, 2).check_input(ROWS, ndim=2)
    network().check_input(ROWS.astype(np.float64))


@pytest.mark.parametrize(
    ("dy", "got"),
    [
        (np.ones((3, 2), np.float32), r"float32 \(3, 2\)"),
        (np.ones((2, 3)), r"float64 \(2, 3\)"),
        (np.ones((3, 2)), r"float64 \(3, 2\)"),
        ([[1.0] * 3] * 2, "list"),
    ],
)
def test_a_gradient_that_is_not_like_y_is_refused(dy, got):
    Nothing().check_gradient(ROWS, (2, 3), np.dtype(np.float32))
    with pytest.raises(ValueError, match=rf"expects a dy like y, float32 \(2, 3\), got {got}"):
        Nothing().check_gradient(dy, (2, 3), np.dtype(np.float32))


# ---- sizes among the arguments


def test_whole_numbers_are_integers_of_python_and_numpy():
    assert all(is_whole(value, 3) for value in (3, 4, np.int64(3), np.uint8(3)))
    assert not any(is_whole(value, 3) for value in (2, 3.0, np.float64(3), "3", None, np.int64(2)))
    assert not is_whole(True, 0)


def test_a_pair_is_height_and_width_or_one_number_for_both():
    assert pair("A", "b", 3, 1) == (3, 3)
    assert pair("A", "b", (1, 2), 1) == pair("A", "b", [1, 2], 1) == (1, 2)
    assert all(type(value) is int for value in pair("A", "b", (np.int64(1), np.int64(2)), 1))


@pytest.mark.parametrize("bad", [0, (0, 1), (1, 0), (1,), (1, 2, 3), 1.5, "1", None])
def test_what_is_no_pair_is_refused_with_what_was_expected(bad):
    with pytest.raises(ValueError, match=r"A: b is a whole number of at least 1, or a pair \(height, width\), got ") as error:
        pair("A", "b", bad, 1)
    assert str(error.value).endswith(f"got {bad!r}")


def test_padding_is_a_number_a_pair_or_same():
    assert [padding("A", pad) for pad in ("same", 0, (1, 2))] == ["same", (0, 0), (1, 2)]
    with pytest.raises(ValueError, match=r'A: pad is .* or "same", got \'valid\'; "valid" is pad=0'):
        padding("A", "valid")
    with pytest.raises(ValueError, match=r"A: pad is a whole number of at least 0, .* got -1"):
        padding("A", -1)


def test_padding_may_be_two_pairs_one_for_each_axis():
    assert padding_of_sides("A", ((1, 2), (3, 4))) == padding_of_sides("A", [[1, 2], [3, 4]]) == ((1, 2), (3, 4))
    assert [padding_of_sides("A", pad) for pad in ("same", 3, (1, 2))] == ["same", (3, 3), (1, 2)]
    for bad in (((1, -1), (0, 0)), ((0, 0), (1, 2, 3))):
        with pytest.raises(ValueError, match="A: pad of one axis is a whole number of at least 0"):
            padding_of_sides("A", bad)
    for bad in ((1, (2, 3)), ((1, 2), 3), ((1, 2), (3, 4), (5, 6))):
        with pytest.raises(ValueError, match="A: pad is a whole number of at least 0"):
            padding_of_sides("A", bad)
