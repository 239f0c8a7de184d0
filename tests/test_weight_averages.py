"""Averages of weights: what is equal stays equal to the bit, what does not fit is refused, and a soup takes in what helps."""

from dataclasses import replace

import numpy as np
import pytest
from test_two_phase import PHASE, TRAIN, VAL, differences, pretrained, snapshot

from minicnn.data.augmentation import PHOTOS
from minicnn.models import lenet5
from minicnn.transfer.finetune import fine_tune
from minicnn.transfer.weight_averages import MeanOfWeights, greedy_soup, interpolated, put_weights, weights_of

NUMBERS = np.random.default_rng(0).standard_normal(1000, np.float32)


def mean_of(*networks):
    mean = MeanOfWeights()
    for weights in networks:
        mean.add(weights)
    return mean.weights


# ---- taking weights out and putting them in


def test_weights_are_copies_of_all_parameters_and_statistics():
    model = pretrained()
    weights = weights_of(model)
    assert set(weights) == set(model.parameters()) | set(model.state())
    assert {"block1.norm.gamma", "block1.norm.running_var", "classifier.b"} <= set(weights)
    before = snapshot(model)
    for array in weights.values():
        array += 1
    assert snapshot(model) == before
    put_weights(model, weights)
    assert differences(before, snapshot(model)) == set(before), "each has been written into its place"


def test_weights_are_written_where_the_optimiser_and_the_statistics_look_for_them():
    model = pretrained()
    mean, gamma = model.state()["block1.norm.running_mean"], model.parameters()["block1.norm.gamma"].value
    put_weights(model, {name: array + 1 for name, array in weights_of(model).items()})
    assert mean[0] == 1 and gamma[0] == 2


def without(weights, name):
    return {other: array for other, array in weights.items() if other != name}


@pytest.mark.parametrize(
    "change",
    [
        lambda weights: without(weights, "block2.conv.w"),
        lambda weights: without(weights, "block2.norm.running_mean"),
        lambda weights: weights | {"block3.conv.w": np.ones(3, np.float32)},
        lambda weights: weights | {"classifier.w": np.ones((2, 16), np.float32)},
        lambda weights: weights | {"classifier.b": np.ones((), np.float32)},  # would be broadcast to all five
        lambda weights: weights_of(lenet5()),
        lambda weights: {},
    ],
)
def test_other_networks_weights_are_refused_and_nothing_is_changed(change):
    model = pretrained()
    before = snapshot(model)
    ones = {name: np.ones_like(array) for name, array in weights_of(model).items()}
    with pytest.raises(ValueError, match="not those of this small: names or shapes differ"):
        put_weights(model, change(ones))
    assert not differences(before, snapshot(model))


# ---- the mean


def test_a_mean_worked_by_hand():
    networks = [{"w": np.array(w), "b": np.array([b])} for w, b in (([1.0, 9.0], 2.0), ([2.0, 9.0], 4.0), ([6.0, 0.0], 0.0))]
    mean = mean_of(*networks)
    assert mean["w"].tolist() == [3.0, 6.0] and mean["b"].tolist() == [2.0]
    assert networks[0]["w"].tolist() == [1.0, 9.0], "what went in is as it was"


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7])
def test_what_is_equal_in_all_networks_is_the_same_to_the_bit_in_their_mean(count):
    mean = mean_of(*({"w": NUMBERS} for _ in range(count)))["w"]
    assert mean.dtype == np.float32 and mean.tobytes() == NUMBERS.tobytes()


def test_a_sum_that_is_divided_would_not_leave_equal_weights_as_they_are():
    """A planted fault: the mean from its definition, whose rounding moves weights that were frozen."""
    assert ((NUMBERS + NUMBERS + NUMBERS) / np.float32(3) != NUMBERS).any()


def test_the_order_does_not_matter_but_for_rounding():
    networks = [{"w": np.random.default_rng(seed).standard_normal(50, np.float32)} for seed in range(4)]
    expected = np.mean([network["w"] for network in networks], axis=0)
    for order in ([0, 1, 2, 3], [3, 1, 0, 2]):
        np.testing.assert_allclose(mean_of(*(networks[i] for i in order))["w"], expected, atol=1e-6)


def test_a_mean_is_of_networks_with_the_same_layers():
    mean = MeanOfWeights()
    mean.add({"w": NUMBERS, "b": NUMBERS})
    with pytest.raises(ValueError, match="networks with the same layers"):
        mean.add({"w": NUMBERS})
    assert mean.networks == 1 and mean.weights["w"].tobytes() == NUMBERS.tobytes()


def test_the_mean_of_two_fine_tuned_networks_has_the_frozen_part_of_both_to_the_bit():
    start, ends = pretrained(), []
    for seed in (1, 2):
        model = pretrained()
        fine_tune(model, replace(PHASE, epochs=1, views=2), TRAIN, VAL, PHOTOS, seed=seed, progress=False)
        ends.append(weights_of(model))
    model = pretrained()
    put_weights(model, mean_of(*ends))
    moved = differences(snapshot(start), snapshot(model))
    assert moved == {name for name in snapshot(start) if not name.startswith("block0.")}
    for name in ("block1.conv.w", "block2.norm.running_var", "classifier.w"):
        assert (ends[0][name] != ends[1][name]).any()
        np.testing.assert_allclose(weights_of(model)[name], (ends[0][name] + ends[1][name]) / 2, rtol=1e-5, atol=1e-7)


# ---- the line from the start to the end


def test_interpolation_at_0_is_the_start_and_at_1_the_end():
    start, end = {"w": NUMBERS, "frozen": NUMBERS}, {"w": NUMBERS[::-1].copy(), "frozen": NUMBERS}
    assert interpolated(start, end, 0)["w"].tobytes() == start["w"].tobytes()
    np.testing.assert_allclose(interpolated(start, end, 1)["w"], end["w"], atol=1e-6)
    for alpha in (0, 0.25, 0.7, 1):
        between = interpolated(start, end, alpha)
        assert between["w"].dtype == np.float32
        assert between["frozen"].tobytes() == NUMBERS.tobytes(), "what has not moved stays where it is, to the bit"
    np.testing.assert_allclose(interpolated(start, end, 0.75)["w"], 0.25 * start["w"] + 0.75 * end["w"], atol=1e-6)


# ---- the greedy soup

# the best is b; with a it gets better; c on top makes it worse; d makes no difference
LOSSES = {
    ("a",): 2.0, ("b",): 1.0, ("c",): 3.0, ("d",): 4.0,
    ("a", "b"): 0.5, ("b", "c"): 0.9, ("b", "d"): 1.0,
    ("a", "b", "c"): 0.8, ("a", "b", "d"): 0.5,
}  # fmt: skip


def test_a_greedy_soup_worked_by_hand():
    asked = []

    def loss(names):
        asked.append(names)
        return LOSSES[names]

    assert greedy_soup(loss, "abcd") == ("a", "b", "d"), "one that makes no difference is taken in"
    assert set(asked) == {("a",), ("b",), ("c",), ("d",), ("a", "b"), ("a", "b", "c"), ("a", "b", "d")}


def test_a_soup_that_is_compared_with_the_best_network_alone_takes_in_too_much():
    """A planted fault: each mean is compared with the best network, and not with the soup so far."""

    def careless(loss, names):
        first, *others = sorted(names, key=lambda name: loss((name,)))
        chosen = (first,)
        for name in others:
            larger = tuple(one for one in names if one in (*chosen, name))
            if loss(larger) <= loss((first,)):
                chosen = larger
        return chosen

    assert careless(LOSSES.get, "abc") == ("a", "b", "c") != greedy_soup(LOSSES.get, "abc") == ("a", "b")


def test_where_no_mean_is_better_the_best_network_stays_alone():
    losses = {("a",): 1.0, ("b",): 1.5, ("a", "b"): 1.01}
    assert greedy_soup(losses.get, ["a", "b"]) == ("a",)
    assert greedy_soup({("a",): 1.0}.get, ["a"]) == ("a",)
