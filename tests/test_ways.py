"""The strategies that train layers, as data: their phases, what is made of the networks at their end, and which is taken."""

from itertools import pairwise

import numpy as np
import pytest
from test_experiment import small_model

from minicnn.experiment.presets import PRESETS, Settings
from minicnn.experiment.ways import (
    HALFWAY,
    all_means,
    best_soup,
    first_unless_surely_worse,
    halfway,
    itself,
    least,
    mixed_with_the_start,
    or_halfway,
    ways_of,
)
from minicnn.transfer.finetune import choose_trained
from minicnn.transfer.learning_rates import SMALL
from minicnn.transfer.strategies import FINE_TUNING, LINEAR, STRATEGIES, TRANSFERABLE
from minicnn.transfer.surgery import freeze_points, thirds

START = {"w": np.array([0.0, 8.0]), "frozen": np.array([1.0])}
ENDS = {
    "a": {"w": np.array([4.0, 0.0]), "frozen": np.array([1.0])},
    "b": {"w": np.array([8.0, 0.0]), "frozen": np.array([1.0])},
    "c": {"w": np.array([0.0, 3.0]), "frozen": np.array([1.0])},
}


def ways(*strategies, mode="default", parameters=SMALL, epochs=None, are_few=True):
    return ways_of(strategies or FINE_TUNING, PRESETS[mode], small_model(), parameters, epochs, are_few)


def numbers(networks):
    return {name: weights["w"].tolist() for name, weights in networks.items()}


# ---- what is made of the networks


def test_networks_are_made_of_the_start_and_the_ends():
    assert itself(START, ENDS) is ENDS
    moved = {"a": [2, 4], "b": [4, 4], "c": [0, 5.5]}
    assert numbers(halfway(START, ENDS)) == {name + HALFWAY: w for name, w in moved.items()} | numbers(ENDS)
    assert list(or_halfway(START, ENDS)) == [*ENDS, *(name + HALFWAY for name in ENDS)], "the ends come first"
    assert numbers(or_halfway(START, ENDS)) == numbers(halfway(START, ENDS))
    mixed = mixed_with_the_start(START, {"upper": ENDS["a"]})
    assert numbers(mixed) == {"0.25": [1, 6], "0.5": [2, 4], "0.75": [3, 2], "1": [4, 0]}
    assert all(weights["frozen"] == 1 for weights in mixed.values())


def test_means_are_of_each_choice_of_networks_and_named_after_them():
    assert numbers(all_means(START, ENDS)) == {
        "a": [4, 0], "b": [8, 0], "c": [0, 3],
        "a + b": [6, 0], "a + c": [2, 1.5], "b + c": [4, 1.5],
        "a + b + c": [4, 1],
    }  # fmt: skip


# ---- which is taken


def test_the_network_with_the_lowest_loss_is_taken_and_of_equals_the_first():
    losses = {"lower": [0.4, 0.6], "middle": [0.5, 0.3], "upper": [0.4, 0.4]}
    assert least({name: np.array(values) for name, values in losses.items()}) == "middle"


@pytest.mark.parametrize(
    ("later", "taken"),
    [
        ([0.9, 1.1, 1.0, 1.0], "first"),  # as good
        ([0.4, 1.4, 0.9, 0.9], "first"),  # lower by 0.1; one standard error is 0.18
        ([0.9, 0.9, 0.9, 0.8], "later"),  # lower by 0.125; one standard error is 0.02
        ([1.5, 1.5, 1.5, 1.5], "first"),
    ],
)
def test_the_first_is_taken_unless_it_is_worse_by_more_than_a_standard_error(later, taken):
    assert first_unless_surely_worse({"first": np.ones(4), "later": np.array(later)}) == taken


@pytest.mark.parametrize(
    ("losses", "taken"),
    [
        # b is the best alone; with a it is better, and c makes it worse: the greedy soup, unless the uniform one is better
        ({"a": 2, "b": 1, "c": 3, "a + b": 0.5, "a + c": 9, "b + c": 9, "a + b + c": 0.7}, "a + b"),
        ({"a": 2, "b": 1, "c": 3, "a + b": 1.1, "a + c": 9, "b + c": 1.2, "a + b + c": 0.7}, "a + b + c"),
        ({"a": 2, "b": 1, "c": 3, "a + b": 1.1, "a + c": 9, "b + c": 1.2, "a + b + c": 1.1}, "b"),
        # the mean of all is as good as the greedy one: then that, which the validation pictures have chosen less from
        ({"a": 1, "b": 1, "c": 1, "a + b": 1, "a + c": 1, "b + c": 1, "a + b + c": 1}, "a + b + c"),
        # a + c is the best of all, and neither of the two soups: who takes the lowest of seven losses takes the luckiest
        ({"a": 2, "b": 1, "c": 3, "a + b": 1.1, "a + c": 0.1, "b + c": 1.2, "a + b + c": 1.1}, "b"),
    ],
)
def test_a_soup_is_greedy_or_uniform(losses, taken):
    assert best_soup({name: np.full(5, float(loss)) for name, loss in losses.items()}) == taken


# ---- which phases


def test_only_what_is_asked_for_is_made_in_the_order_of_what_it_costs():
    assert tuple(ways()) == FINE_TUNING == TRANSFERABLE[len(LINEAR) :]
    assert tuple(ways("soup", "biases")) == ("biases", "soup")
    assert ways("svm") == {}
    assert all(strategy in STRATEGIES for strategy in TRANSFERABLE)


def test_the_upper_layers_then_more_of_them():
    upper, more = freeze_points(small_model())
    made = ways("finetune-upper", "finetune-more", "interpolate")
    assert [phase.freeze_until for phase in made["finetune-more"].trials["more"]] == [upper, more]
    first = made["finetune-more"].trials["more"][:1]
    assert first == made["finetune-upper"].trials["upper"] == made["interpolate"].trials["upper"], "trained once for all three"
    assert hash(first) == hash(made["interpolate"].trials["upper"])


def test_few_numbers_learn_faster_and_each_picture_is_varied_anew():
    made = ways("norms", "biases", "finetune-upper")
    usual = made["finetune-upper"].trials["upper"][0].learning_rate
    for strategy in ("norms", "biases"):
        (phase,) = made[strategy].trials[strategy]
        assert (phase.trained, phase.freeze_until) == (strategy, None) and phase.views > 1
        assert phase.learning_rate == pytest.approx(10 * usual)


def test_each_third_is_trained_alone():
    trials = ways("surgical")["surgical"].trials
    assert list(trials) == ["lower", "middle", "upper"]
    trained = []
    for (phase,), place in zip(trials.values(), thirds(small_model()), strict=True):
        assert (phase.freeze_until, phase.train_until) == place
        model = small_model()
        choose_trained(model, phase)
        trained.append({name for name, parameter in model.parameters().items() if parameter.trainable})
    assert all(not low & high for low, high in pairwise(trained))
    assert set.union(*trained) == {name for name in small_model().parameters() if not name.startswith("classifier")}


def test_a_soup_is_of_three_learning_rates_a_third_to_three_times_the_usual():
    made = ways("soup", "finetune-upper")
    (usual,) = made["finetune-upper"].trials["upper"]
    rates = [phase.learning_rate / usual.learning_rate for (phase,) in made["soup"].trials.values()]
    assert rates == pytest.approx([1 / 3, 1, 3])
    assert (usual,) in made["soup"].trials.values(), "and the usual one is trained once for both"
    assert list(made["soup"].trials) == ["rate x 0.33", "rate x 1", "rate x 3"]


@pytest.mark.parametrize("are_few", [True, False])
def test_few_pictures_go_half_of_the_way_and_only_many_move_statistics_where_they_train_more_layers(are_few):
    made = ways(are_few=are_few)
    phases = [phase for way in made.values() for trial in way.trials.values() for phase in trial]
    assert {phase.frozen_statistics for phase in phases} == ({True} if are_few else {True, False})
    assert [phase.frozen_statistics for phase in made["finetune-more"].trials["more"]] == [True, are_few]
    usual = (halfway, first_unless_surely_worse) if are_few else (itself, least)
    for strategy in ("finetune-upper", "finetune-more"):
        assert (made[strategy].make, made[strategy].choose) == usual
    assert made["surgical"].make is made["biases"].make is itself
    norms = (or_halfway, first_unless_surely_worse) if are_few else (itself, least)
    assert (made["norms"].make, made["norms"].choose) == norms


@pytest.mark.parametrize("mode", PRESETS)
def test_every_phase_begins_gently_at_the_probe(mode):
    for way in ways(mode=mode, epochs=7).values():
        for trial in way.trials.values():
            for phase in trial:
                assert phase.epochs == 7 and phase.title in STRATEGIES.values()
                assert (phase.body_multiplier, phase.pull) == (1.0, PRESETS[mode].pull)
    epochs = [phase.epochs for phase in ways("finetune-more", mode=mode)["finetune-more"].trials["more"]]
    assert epochs == [PRESETS[mode].upper.epochs, PRESETS[mode].more.epochs]


def test_where_pictures_are_many_the_head_learns_four_times_faster_and_the_layers_below_as_fast():
    few, many = ways(are_few=True), ways(are_few=False)
    for strategy, way in few.items():
        for name, trial in way.trials.items():
            for other, phase in zip(trial, many[strategy].trials[name], strict=True):
                assert phase.learning_rate == pytest.approx(4 * other.learning_rate)
                assert phase.learning_rate * phase.body_multiplier == pytest.approx(other.learning_rate)


# ---- asking for them


@pytest.mark.parametrize("strategies", [("magic",), ("svm", "magic"), ("finetune-all",), ("scratch",), ()])
def test_an_unknown_strategy_is_refused_with_those_there_are(strategies):
    with pytest.raises(ValueError, match=f"^unknown strategy .*; choose from {', '.join(TRANSFERABLE)}$"):
        Settings(strategies=strategies)


@pytest.mark.parametrize("are_few", [True, False])
def test_small_networks_learn_five_times_faster_six_times_as_long_and_do_not_go_back(are_few):
    large = ways()["finetune-more"].trials["more"]
    made = ways(parameters=SMALL - 1, are_few=are_few)
    small = made["finetune-more"].trials["more"]
    for a, b in zip(small, large, strict=True):
        assert a.learning_rate == pytest.approx(5 * b.learning_rate) and a.body_multiplier == b.body_multiplier
        assert a.epochs == 6 * b.epochs
    assert (made["finetune-upper"].make, made["finetune-upper"].choose) == (itself, least)
    assert ways(parameters=SMALL - 1, are_few=are_few, epochs=7)["finetune-upper"].trials["upper"][0].epochs == 7
