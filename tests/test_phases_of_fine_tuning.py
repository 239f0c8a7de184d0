"""A phase of fine-tuning: what it trains and what it leaves alone, how strongly weights are drawn back, and which pictures."""

from dataclasses import replace

import numpy as np
import pytest
from test_two_phase import PHASE, TRAIN, VAL, differences, pretrained, snapshot

from minicnn.layers import Linear, ReLU
from minicnn.models import lenet5
from minicnn.models.model import Model
from minicnn.transfer import finetune
from minicnn.transfer.feature_bank import build_feature_bank
from minicnn.transfer.finetune import Phase, choose_trained, fine_tune
from minicnn.transfer.two_phase import NO_AUGMENTATION
from minicnn.transfer.weight_averages import weights_of

WHOLE = replace(PHASE, freeze_until=None, views=0, epochs=1, frozen_statistics=True)
HEAD = {"classifier.w", "classifier.b"}
NORMS = {f"block{i}.norm.{name}" for i in range(3) for name in ("gamma", "beta")}
BETAS = {f"block{i}.norm.beta" for i in range(3)}
FILTERS = {f"block{i}.conv.w" for i in range(3)}
STATISTICS = {f"block{i}.norm.{name}" for i in range(3) for name in ("running_mean", "running_var")}


def of_block(number, names):
    return {name for name in names if name.startswith(f"block{number}.")}


CHOICES = [
    ({}, FILTERS | NORMS | HEAD),
    ({"trained": "norms"}, NORMS | HEAD),
    ({"trained": "biases"}, BETAS | HEAD),
    ({"trained": "norms", "freeze_until": "block1"}, of_block(2, NORMS) | HEAD),
    ({"train_until": "block1"}, of_block(0, FILTERS | NORMS) | of_block(1, FILTERS | NORMS)),
    ({"freeze_until": "block0", "train_until": "block1"}, of_block(1, FILTERS | NORMS)),  # a third in the middle
    ({"freeze_until": "block0", "train_until": "block1", "trained": "biases"}, {"block1.norm.beta"}),
    ({"train_until": "classifier"}, FILTERS | NORMS | HEAD),
]


def trainable(model):
    return {name for name, parameter in model.parameters().items() if parameter.trainable}


def tune(model=None, phase=WHOLE, **options):
    model = model or pretrained()
    fine_tune(model, phase, TRAIN, VAL, NO_AUGMENTATION, progress=False, **options)
    return model


# ---- what is trained


def test_a_frozen_part_that_runs_again_each_time_gives_what_a_bank_of_it_gives(monkeypatch):
    """The bank has half precision, and a fused network rounds otherwise: the two end near each other, far from the start."""
    phase, original, fused = replace(WHOLE, freeze_until="block1", epochs=3), finetune.fuse, []
    monkeypatch.setattr(finetune, "fuse", lambda layer: fused.append([*layer.layers]) or original(layer))
    anew, start = tune(phase=phase), weights_of(pretrained())
    banked = tune(phase=replace(phase, views=1))
    assert fused == [["block0", "block1"]], "nothing of it is trained, and nothing of it runs as in training"
    for name, array in weights_of(banked).items():
        moved = np.abs(array - start[name]).max()
        assert np.abs(weights_of(anew)[name] - array).max() <= 0.02 * moved, name
    assert any(array.tobytes() != start[name].tobytes() for name, array in weights_of(anew).items())


@pytest.mark.parametrize(("options", "expected"), CHOICES)
def test_a_phase_trains_what_it_says_and_all_else_is_frozen(options, expected):
    model = pretrained().freeze(until="block1")  # by an earlier phase
    choose_trained(model, replace(WHOLE, **options))
    assert trainable(model) == expected


@pytest.mark.parametrize(("options", "expected"), CHOICES)
def test_what_is_not_trained_stays_the_same_to_the_bit_and_all_else_moves(options, expected):
    model = pretrained()
    before = snapshot(model)
    tune(model, replace(WHOLE, **options))
    assert differences(before, snapshot(model)) == expected


def test_statistics_move_with_the_pictures_only_where_they_are_not_frozen():
    before = snapshot(pretrained())
    for options, moved in (
        ({}, STATISTICS),
        ({"trained": "norms"}, STATISTICS),
        ({"train_until": "block1"}, STATISTICS - of_block(2, STATISTICS)),
        ({"freeze_until": "block0"}, STATISTICS - of_block(0, STATISTICS)),
    ):
        phase = replace(WHOLE, frozen_statistics=False, **options)
        assert differences(before, snapshot(tune(phase=phase))) & STATISTICS == moved
    usual = tune(tune(phase=WHOLE), replace(WHOLE, frozen_statistics=False))
    assert differences(before, snapshot(usual)) >= STATISTICS, "a phase that froze them has not frozen them for good"


def test_the_comparison_notices_a_filter_that_moves_while_batch_norms_are_trained(monkeypatch):
    """A planted fault: a phase of batch norms that trains a filter as well."""

    def careless(model, phase):
        choose_trained(model, phase)
        model.parameters()["block1.conv.w"].trainable = True

    before = snapshot(pretrained())
    monkeypatch.setattr(finetune, "choose_trained", careless)
    assert differences(before, snapshot(tune(phase=replace(WHOLE, trained="norms")))) == NORMS | HEAD | {"block1.conv.w"}


def test_biases_of_convolutions_and_linear_layers_are_biases():
    model = lenet5()
    choose_trained(model, Phase("biases", None, 1, 1e-3, trained="biases"))
    assert trainable(model) == {"c1.b", "c3.b", "c5.b", "f6.b", "output.b", "output.w"}, "and the head as a whole"


def test_without_batch_norms_a_phase_of_batch_norms_trains_the_head():
    model = lenet5()
    choose_trained(model, Phase("norms", None, 1, 1e-3, trained="norms"))
    assert trainable(model) == {"output.b", "output.w"}


@pytest.mark.parametrize(
    "options",
    [
        {"freeze_until": "classifier"},
        {"freeze_until": "block1", "train_until": "block0"},
        {"freeze_until": "block1", "train_until": "block1"},
        {"freeze_until": "block2", "train_until": "pool"},
    ],
)
def test_a_phase_that_leaves_nothing_to_train_is_refused(options):
    with pytest.raises(ValueError, match=r"nothing is left to train in small: frozen until '\w+', trained until"):
        choose_trained(pretrained(), replace(WHOLE, **options))


def test_a_part_without_batch_norms_has_none_to_train():
    layers = {"one": Linear(4, 4, rng=0), "relu": ReLU(), "two": Linear(4, 4, rng=0), "head": Linear(4, 2, rng=0)}
    model = Model(layers, architecture="plain", input_shape=(4,))
    with pytest.raises(ValueError, match=r"nothing is left to train in plain.* trained until 'two', of these 'norms'"):
        choose_trained(model, Phase("norms", None, 1, 1e-3, train_until="two", trained="norms"))


@pytest.mark.parametrize("place", ["freeze_until", "train_until"])
def test_a_layer_that_is_not_there_is_named_with_those_that_are(place):
    with pytest.raises(ValueError, match=r"there is no 'block9' to .*small has block0, block1, block2, pool"):
        choose_trained(pretrained(), replace(WHOLE, **{place: "block9"}))


def test_what_cannot_be_trained_is_refused_when_the_phase_is_made():
    with pytest.raises(ValueError, match="a phase trains all, norms, biases; got trained='filters'"):
        replace(WHOLE, trained="filters")


def test_a_record_says_what_was_trained():
    model = pretrained()
    phase = replace(WHOLE, freeze_until="block0", train_until="block1", trained="norms")
    record = phase.record(fine_tune(model, phase, TRAIN, VAL, NO_AUGMENTATION, progress=False))
    assert [record[key] for key in ("frozen_until", "trained_until", "trained")] == ["block0", "block1", "norms"]


# ---- back to the start


def test_a_strong_pull_ends_nearer_to_the_start_than_none():
    start = weights_of(pretrained())

    def distance(pull):
        end = weights_of(tune(phase=replace(WHOLE, epochs=3, learning_rate=0.003, pull=pull)))
        return np.sqrt(sum(((end[name] - start[name]) ** 2).sum() for name in start))

    free, weak, strong = distance(0.0), distance(0.1), distance(10.0)
    assert strong < weak < free and strong < 0.75 * free


def test_a_pull_takes_the_place_of_weight_decay(monkeypatch):
    made = []

    class Watched(finetune.AdamW):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            made.append(options["weight_decay"])

    monkeypatch.setattr(finetune, "AdamW", Watched)
    for pull in (0.0, 0.1):
        tune(phase=replace(WHOLE, weight_decay=0.03, pull=pull))
    assert made == [0.03, 0.0]


# ---- pictures of a bank


def test_rows_say_where_in_the_bank_each_picture_is():
    phase, order = replace(PHASE, epochs=2), np.random.default_rng(3).permutation(60)
    pictures = np.concatenate([TRAIN[0], VAL[0]])
    place = np.empty(60, int)
    place[order] = np.arange(60)
    bank = build_feature_bank(pretrained(), "block0", 1, pictures[order], pictures[:0], NO_AUGMENTATION, 0, progress=False)
    in_order, by_rows, by_chance = pretrained(), pretrained(), pretrained()
    tune(in_order, phase)
    tune(by_rows, phase, bank=bank, rows=(place[:40], place[40:]))
    assert snapshot(by_rows) == snapshot(in_order)
    tune(by_chance, phase, bank=bank)
    assert snapshot(by_chance) != snapshot(in_order), "other pictures under these labels teach something else"


def test_any_pictures_of_a_bank_of_training_pictures_may_be_held_out(monkeypatch):
    bank = build_feature_bank(pretrained(), "block0", 3, TRAIN[0], TRAIN[0][:0], NO_AUGMENTATION, 0, progress=False)
    seen = {"trained": [], "validated": []}
    held_out = np.arange(0, 40, 4)
    learning = np.setdiff1d(np.arange(40), held_out)

    class Watched(finetune.Trainer):
        def fit(self, x, y, x_val, y_val):
            seen["validated"], seen["labels"] = x_val, (y, y_val)
            augment = self.augment
            self.augment = lambda rows, rng: seen["trained"].append(augment(rows, rng)) or seen["trained"][-1]
            return super().fit(x, y, x_val, y_val)

    monkeypatch.setattr(finetune, "Trainer", Watched)
    x, y = TRAIN
    parts = (x[learning], y[learning]), (x[held_out], y[held_out])
    phase = replace(PHASE, views=3, epochs=4)
    fine_tune(pretrained(), phase, *parts, NO_AUGMENTATION, progress=False, bank=bank, rows=(learning, held_out))
    trained = np.concatenate(seen["trained"])
    assert set(trained % 40) == set(learning) and trained.max() >= 40, "all views, and none of a picture that is held out"
    np.testing.assert_array_equal(seen["validated"], held_out)
