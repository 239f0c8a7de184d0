"""Containers: the chain rule through them, names, and what freezing saves and leaves alone."""

import numpy as np
import pytest

from minicnn.gradcheck import check_layer
from minicnn.kernels.elementwise import join_channels
from minicnn.layers import (
    BatchNorm1d,
    Concat,
    Conv2d,
    Dropout,
    Flatten,
    Layer,
    Linear,
    ReLU,
    Residual,
    Sequential,
)

ROWS = np.random.default_rng(0).standard_normal((5, 4))
PICTURES = np.random.default_rng(1).standard_normal((2, 3, 5, 6))


class Spy(Layer):
    """y = factor * x, with a count of its calls and of what was asked of it."""

    def __init__(self, factor=1.0):
        super().__init__()
        self.factor, self.forwards, self.backwards = factor, 0, 0

    def forward(self, x):
        self.forwards += 1
        self.remember()
        return self.factor * x

    def backward(self, dy):
        self.backwards += 1
        self.recall()
        return self.factor * dy

    def output_shape(self, input_shape):
        return tuple(input_shape)


def linear(seed, features=4):
    return Linear(4, features, rng=seed).astype(np.float64)


def three_layers():
    """Linear layers a, b, c with a spy below each."""
    return Sequential(
        spy_a=Spy(), a=linear(1), spy_b=Spy(), b=linear(2), norm=BatchNorm1d(4).astype("f8"), spy_c=Spy(), c=linear(3)
    )


def step(net, rate=0.1):
    """One step of gradient descent on L = sum(y^2) / 2, the way the trainer does it."""
    net.train()
    net.needs_dx = False
    y = net.forward(ROWS)
    assert net.backward(y) is None
    for parameter in net.parameters().values():
        if parameter.trainable and parameter.grad is not None:
            parameter.value -= rate * parameter.grad


def snapshot(layer):
    values = {name: parameter.value for name, parameter in layer.parameters().items()} | layer.state()
    return {name: array.tobytes() for name, array in values.items()}


# ---- what they compute


def test_a_sequence_by_hand():
    net = Sequential(Spy(2), Spy(3), Spy(-1)).train()
    assert np.array_equal(net.forward(ROWS), -6 * ROWS)
    assert np.array_equal(net.backward(ROWS), -6 * ROWS)


def test_an_empty_sequence_is_the_identity():
    net = Sequential().train()
    assert np.array_equal(net.forward(ROWS), ROWS)
    assert np.array_equal(net.backward(ROWS), ROWS)
    assert net.output_shape((5, 4)) == (5, 4)


def test_a_shortcut_by_hand():
    block = Residual(Spy(2)).train()
    assert np.allclose(block.forward(ROWS), 3 * ROWS)
    assert np.allclose(block.backward(ROWS), 3 * ROWS)
    block = Residual(Spy(2), shortcut=Spy(10)).train()
    assert np.allclose(block.forward(ROWS), 12 * ROWS)
    assert np.allclose(block.backward(ROWS), 12 * ROWS)


def test_branches_by_hand():
    block = Concat(Spy(2), Spy(10), three=Spy(-1)).train()
    y = block.forward(PICTURES)
    assert np.array_equal(y, np.concatenate([2 * PICTURES, 10 * PICTURES, -PICTURES], axis=1))
    dy = np.concatenate([np.full_like(PICTURES, value) for value in (1, 0.1, 7)], axis=1)
    assert np.allclose(block.backward(dy), 2 * 1 + 10 * 0.1 - 7)
    assert block.output_shape(PICTURES.shape) == y.shape


@pytest.mark.parametrize("training", [True, False])
def test_gradients_through_nested_containers_match_numeric_ones(training):
    def conv(channels, filters, size):
        return Conv2d(channels, filters, size, pad=size // 2, rng=size)

    net = Sequential(
        stem=conv(3, 4, 3),
        block=Residual(Sequential(conv(4, 4, 3), ReLU(), conv(4, 4, 1)), shortcut=conv(4, 4, 1)),
        inception=Concat(one=conv(4, 2, 1), three=Sequential(conv(4, 3, 1), ReLU(), conv(3, 2, 3)), same=Sequential()),
        again=Residual(conv(8, 8, 1)),
        flat=Flatten(),
        drop=Dropout(0.3, rng=5),
        scores=Linear(8 * 30, 3, rng=1),
    ).astype(np.float64)
    report = check_layer(net, PICTURES, training=training, elements=40)
    assert report.ok, report
    assert len(report.arrays) == 1 + len(net.parameters())
    assert net.output_shape(PICTURES.shape) == (2, 3)


def test_arguments_are_not_touched():
    net = Sequential(Residual(Sequential()), Concat(Sequential(), Residual(Spy(2)))).train()
    x, dy = PICTURES.copy(), np.ones((2, 6, 5, 6))
    net.forward(x)
    net.backward(dy)
    assert np.array_equal(x, PICTURES) and (dy == 1).all()


# ---- names


def test_paths_lead_from_the_root():
    net = Sequential(
        block=Residual(Sequential(conv=Conv2d(3, 3, 1), relu=ReLU()), shortcut=Conv2d(3, 3, 1)), mix=Concat(a=ReLU())
    )
    assert list(net.parameters()) == ["block.body.conv.w", "block.body.conv.b", "block.shortcut.w", "block.shortcut.b"]
    assert net.layers["block"].body.layers["conv"].name == "block.body.conv"
    assert [path for path, _ in net.walk()] == [
        "", "block", "block.body", "block.body.conv", "block.body.relu", "block.shortcut", "mix", "mix.a"
    ]  # fmt: skip
    with pytest.raises(ValueError, match=r"Conv2d 'block.shortcut' expects 3 channels"):
        net.layers["block"].shortcut.forward(np.zeros((1, 2, 4, 4), np.float32))


def test_names_must_be_new_and_without_dots():
    net = Sequential(a=ReLU())
    for name in ("a", "b.c"):
        with pytest.raises(ValueError, match="a layer's name must be new and without a dot"):
            net.append(name, ReLU())
    with pytest.raises(TypeError, match="holds layers; 'f' is of type function"):
        net.append("f", lambda x: x)


def test_every_branch_is_a_layer_with_a_name_of_its_own_without_dots():
    for names in (("0",), ("a.b",)):
        with pytest.raises(ValueError, match="Concat: a layer's name must be new and without a dot"):
            Concat(ReLU(), **dict.fromkeys(names, ReLU()))
    with pytest.raises(TypeError, match="Concat holds layers; '1' is of type int"):
        Concat(ReLU(), 3)


def test_both_paths_of_a_shortcut_block_are_layers():
    with pytest.raises(TypeError, match="Residual holds layers; 'body' is of type NoneType"):
        Residual(None)
    with pytest.raises(TypeError, match="Residual holds layers; 'shortcut' is of type str"):
        Residual(ReLU(), "identity")


def test_halves_share_their_layers_with_the_whole():
    net = three_layers().eval()
    lower, upper = net.split("b")
    assert list(lower.children()) == ["spy_a", "a", "spy_b", "b"] and list(upper.children()) == ["norm", "spy_c", "c"]
    assert np.array_equal(upper.forward(lower.forward(ROWS)), net.forward(ROWS))
    upper.layers["c"].b.value += 1
    assert np.array_equal(upper.forward(lower.forward(ROWS)), net.forward(ROWS))
    with pytest.raises(ValueError, match="no layer 'z' to cut after; the layers here are spy_a, a,"):
        net.split("z")


def test_branches_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"the body gives \(5, 3\) and the shortcut \(5, 4\)"):
        Residual(linear(1, features=3)).forward(ROWS)
    for kernel in (3, (3, 1), (1, 3)):
        with pytest.raises(ValueError, match="branches may differ in channels only"):
            Concat(Conv2d(3, 2, 1), Conv2d(3, 2, kernel)).forward(PICTURES.astype(np.float32))
    with pytest.raises(ValueError, match="at least one branch"):
        Concat()


# ---- freezing


def test_the_root_wants_no_dx_in_training_and_everything_trains():
    net = three_layers()
    before = snapshot(net)
    step(net)
    assert not {name for name, value in snapshot(net).items() if value == before[name]}
    assert [net.layers[f"spy_{name}"].backwards for name in "abc"] == [0, 1, 1]


def test_frozen_lower_layers_stay_the_same_to_the_bit_and_are_not_visited():
    net = three_layers()
    for name in ("a", "b", "norm"):
        net.layers[name].freeze()
    before = snapshot(net)
    for _ in range(3):
        step(net)
    changed = {name for name, value in snapshot(net).items() if value != before[name]}
    assert changed == {"c.w", "c.b"}
    assert [net.layers[f"spy_{name}"].backwards for name in "abc"] == [0, 0, 0]
    assert [net.layers[f"spy_{name}"].forwards for name in "abc"] == [3, 3, 3]
    assert all(net.layers[name].parameters()["w"].grad is None for name in "ab")


def test_frozen_lower_layers_remember_nothing():
    net = three_layers()
    for name in ("a", "b", "norm"):
        net.layers[name].freeze()
    net.train()
    net.needs_dx = False
    net.forward(ROWS)
    assert [name for name, layer in net.layers.items() if layer._remembered is not None] == ["c"]


def test_a_frozen_layer_in_the_middle_still_hands_the_gradient_down():
    net = three_layers()
    for name in ("b", "norm"):
        net.layers[name].freeze()
    before = snapshot(net)
    step(net)
    changed = {name for name, value in snapshot(net).items() if value != before[name]}
    assert changed == {"a.w", "a.b", "c.w", "c.b"}
    assert [net.layers[f"spy_{name}"].backwards for name in "abc"] == [0, 1, 1]
    report = check_layer(net, ROWS)
    assert report.ok, report
    assert [check.name for check in report.arrays] == ["x", "a.w", "a.b", "c.w", "c.b"]


def test_freezing_and_thawing_take_effect_at_the_next_step():
    net = three_layers()
    net.freeze()
    before = snapshot(net)
    step(net)
    assert snapshot(net) == before
    net.layers["a"].unfreeze()
    step(net)
    assert {name for name, value in snapshot(net).items() if value != before[name]} == {"a.w", "a.b"}


def test_in_a_block_only_the_branches_that_train_are_visited():
    for container in (Residual, Concat):
        frozen, trained = Sequential(spy=Spy(), fc=linear(1)).freeze(), Sequential(spy=Spy(), fc=linear(2))
        net = Sequential(block=container(frozen, trained), top=Spy())
        step(net)
        assert frozen.layers["spy"].backwards == trained.layers["spy"].backwards == 0  # nothing below them wants dx
        assert frozen.layers["fc"].w.grad is None
        assert trained.layers["fc"].w.grad is not None


def test_a_frozen_block_above_a_trainable_layer_hands_the_gradient_down():
    for block in (Residual(Sequential(linear(1), ReLU())), Residual(linear(1), linear(2)), Concat(linear(1), linear(2))):
        net = Sequential(below=linear(3), block=block.freeze())
        step(net)
        assert np.abs(net.layers["below"].w.grad).max() > 0
        report = check_layer(net, ROWS)
        assert report.ok, report


def test_all_frozen_costs_no_backward_pass():
    spy = Spy()
    net = Sequential(a=linear(1), spy=spy, block=Residual(linear(2)), mix=Concat(linear(3))).freeze()
    step(net)
    assert spy.backwards == 0


# ---- modes, and backward without forward


@pytest.mark.parametrize(
    "net",
    [Sequential(linear(1), ReLU()), Residual(linear(1)), Residual(linear(1), linear(2)), Concat(linear(1), linear(2))],
    ids=str,
)
def test_backward_without_a_forward_that_remembers_is_an_error(net):
    net.eval()
    dy = np.ones_like(net.forward(ROWS))
    with pytest.raises(RuntimeError, match=r"backward\(\) needs a forward\(\) just before it"):
        net.backward(dy)
    net.train()
    with pytest.raises(RuntimeError, match="just before it"):
        net.backward(dy)
    net.forward(ROWS)
    net.backward(dy)
    with pytest.raises(RuntimeError, match="just before it"):
        net.backward(dy)


def test_eval_with_backward_gives_gradients_without_training_behaviour():
    net = Sequential(norm=BatchNorm1d(4).astype("f8"), drop=Dropout(0.5, rng=0), top=linear(1))
    before = snapshot(net)
    inference = net.eval().forward(ROWS)
    assert np.array_equal(net.eval(backward=True).forward(ROWS), inference)
    assert net.backward(np.ones_like(inference)).shape == ROWS.shape
    assert net.layers["top"].w.grad is not None
    assert snapshot(net) == before


def test_modes_reach_the_innermost_layer():
    net = Sequential(block=Residual(Concat(a=Sequential(drop=Dropout(0.5)))))
    innermost = net.layers["block"].body.branches["a"].layers["drop"]
    for mode, expected in ((net.train, True), (net.eval, False)):
        mode()
        assert innermost.training is expected


@pytest.mark.parametrize("N", [0, 1, 3])
@pytest.mark.parametrize("size", [1, 60])
def test_branches_are_joined_in_their_order_whether_threads_share_the_copy_or_not(N, size):
    parts = [np.random.default_rng(c).standard_normal((N, c, size, size)) for c in (3, 1, 8)]
    np.testing.assert_array_equal(join_channels(parts), np.concatenate(parts, axis=1))


@pytest.mark.parametrize("mode", ["train", "eval", "eval with backward"])
def test_halves_are_in_the_mode_of_the_whole(mode):
    net = three_layers()
    net.train() if mode == "train" else net.eval(backward=mode == "eval with backward")
    for half in net.split("b"):
        assert (half.training, half.remembers) == (mode == "train", mode != "eval")


# ---- what they say about themselves


def containers():
    """Each container with two layers, for rows of 4 numbers."""
    return [Sequential(a=linear(1), b=linear(2)), Residual(linear(1), linear(2)), Concat(a=linear(1), b=linear(2))]


@pytest.mark.parametrize("net", containers(), ids=str)
def test_a_container_costs_what_its_layers_cost(net):
    assert net.multiply_adds((5, 4)) == 2 * 5 * 16


@pytest.mark.parametrize("net", [*containers(), Residual(linear(1))], ids=str)
def test_its_config_holds_its_layers_and_makes_it_again(net):
    twin = type(net)(**net.config())
    assert twin.children() == net.children()
    assert np.array_equal(twin.forward(ROWS), net.forward(ROWS))


def test_layers_are_named_as_soon_as_they_are_inside():
    for net, path in ((Residual(Sequential(fc=linear(1))), "body"), (Sequential(a=Sequential(fc=linear(1))), "a")):
        inner = net.children()[path]
        assert [inner.name, inner.layers["fc"].name] == [path, f"{path}.fc"]


def test_of_one_branch_the_shape_is_the_branchs():
    assert Concat(linear(1, features=3)).output_shape((5, 4)) == (5, 3)


@pytest.mark.parametrize("net", containers(), ids=str)
def test_a_dy_that_is_not_like_y_is_refused(net):
    y = net.train().forward(ROWS)
    with pytest.raises(ValueError, match=f"{net}: .*expects a dy like y"):
        net.backward(y.T.copy())


@pytest.mark.parametrize("net", containers(), ids=str)
def test_a_container_that_need_not_return_dx_returns_none(net):
    net.train().needs_dx = False
    dy = np.ones_like(net.forward(ROWS))
    assert net.backward(dy) is None
    assert all(parameter.grad is not None for parameter in net.parameters().values())


@pytest.mark.parametrize("net", containers(), ids=str)
def test_where_a_container_remembers_nothing_its_layers_do_not_either(net):
    def remember():
        return [layer.name for _, layer in net.walk() if layer._remembered is not None]

    net.eval().forward(ROWS)
    assert remember() == []
    above = linear(3, features=2) if not isinstance(net, Concat) else Linear(8, 2, rng=3).astype(np.float64)
    whole = Sequential(below=net.freeze(), above=above).train()
    whole.needs_dx = False
    whole.forward(ROWS)
    assert remember() == []
