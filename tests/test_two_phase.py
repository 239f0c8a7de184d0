"""Linear probe, then fine-tuning: what each phase changes, what it must not, and what is computed once."""

from dataclasses import replace

import numpy as np
import pytest

from minicnn.data.augmentation import PHOTOS
from minicnn.data.preprocessing import Preprocessing
from minicnn.layers import (
    BatchNorm2d,
    Conv2d,
    Dropout,
    GlobalAvgPool2d,
    Linear,
    ReLU,
    Sequential,
)
from minicnn.models.model import Model
from minicnn.transfer import feature_bank, finetune, two_phase
from minicnn.transfer.finetune import Phase
from minicnn.transfer.novelty import codes_of, fit_novelty
from minicnn.transfer.two_phase import linear_probe_then_fine_tune

SIZE = 12


def pretrained():
    rng = np.random.default_rng(0)

    def block(channels, filters, stride):
        conv = Conv2d(channels, filters, 3, stride, "same", bias=False, rng=rng)
        return Sequential(conv=conv, norm=BatchNorm2d(filters), relu=ReLU())

    layers = {"block0": block(3, 8, 2), "block1": block(8, 12, 2), "block2": block(12, 16, 1), "pool": GlobalAvgPool2d()}
    layers |= {"dropout": Dropout(0.1), "classifier": Linear(16, 5, rng=rng)}
    preprocessing = Preprocessing(size=SIZE, mean=127.0, std=64.0)
    return Model(layers, architecture="small", input_shape=(3, SIZE, SIZE), preprocessing=preprocessing)


def stripes(n, seed):
    """n noisy pictures of stripes, half of them lying, half upright."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    waves = 90 * np.sin(np.arange(SIZE) * rng.uniform(0.9, 1.3, (n, 1)) + rng.uniform(0, 6, (n, 1)))
    x = np.where(y[:, None, None] == 1, waves[:, None, :], waves[:, :, None]) + 128 + rng.normal(0, 40, (n, SIZE, SIZE))
    return np.repeat(x.clip(0, 255).astype(np.uint8)[..., None], 3, axis=3), y


TRAIN, VAL = stripes(40, 1), stripes(20, 2)
PHASE = Phase("fine-tuning", "block0", epochs=3, learning_rate=0.01, views=1)


def snapshot(model):
    arrays = {name: parameter.value for name, parameter in model.parameters().items()} | model.state()
    return {name: array.tobytes() for name, array in arrays.items()}


def differences(before, after):
    """Names of what is in both and has any bit that is not the same."""
    return {name for name in before if before[name] != after[name]}


@pytest.fixture
def between(monkeypatch):
    """What the network was when the second phase began, seen on its way into ``fine_tune``."""
    seen = {}

    def spy(model, *arguments, **options):
        seen.update(arrays=snapshot(model), trainable={n for n, p in model.parameters().items() if p.trainable})
        seen["scores"] = model.eval().forward(model.preprocessing.normalise(VAL[0]))
        return finetune.fine_tune(model, *arguments, **options)

    monkeypatch.setattr(two_phase, "fine_tune", spy)
    return seen


def run(model=None, phase=PHASE, **options):
    options = {"progress": False, "log": lambda line: None} | options
    return linear_probe_then_fine_tune(model or pretrained(), TRAIN, VAL, ["lying", "upright"], phase, **options)


def test_the_probe_changes_the_head_alone_and_fine_tuning_what_is_not_frozen(between):
    model = pretrained()
    before = snapshot(model)
    tuned = run(model).model
    heads = {"classifier.w", "classifier.b"}
    assert differences(before, between["arrays"]) == heads
    assert between["trainable"] == heads
    changed = differences(between["arrays"], snapshot(tuned))
    assert changed == {name for name in before if not name.startswith("block0.")}
    assert not differences(before, snapshot(model)), "the pretrained network is as it was"


def test_the_comparison_notices_a_feature_that_moves_while_the_probe_is_trained(monkeypatch, between):
    """A planted fault: the probe's phase touches a running mean by one bit."""
    set_head = two_phase.set_head

    def careless(model, classifier, scale):
        set_head(model, classifier, scale)
        mean = model.state()["block1.norm.running_mean"]
        mean[0] = np.nextafter(mean[0], np.float32(1))

    model = pretrained()
    before = snapshot(model)
    monkeypatch.setattr(two_phase, "set_head", careless)
    run(model)
    assert differences(before, between["arrays"]) == {"classifier.w", "classifier.b", "block1.norm.running_mean"}


def test_the_second_phase_begins_with_what_the_probe_has_found(between):
    result = run()
    accuracy = (between["scores"].argmax(1) == VAL[1]).mean()
    assert accuracy == result.phases[0].val_accuracy == result.probe.point.val_accuracy > 0.5


def test_the_frozen_part_runs_once_over_each_picture_for_both_phases_and_all_epochs(monkeypatch):
    runs = []
    infer = feature_bank.infer

    def counted(layer, n, *arguments, **options):
        runs.append((next(iter(layer.children())), n))
        return infer(layer, n, *arguments, **options)

    monkeypatch.setattr(feature_bank, "infer", counted)
    run()
    assert runs == [("block0", 60), ("block1", 60)], "up to the cut, and from there to the codes"
    runs.clear()
    run(phase=Phase("fine-tuning", "block0", epochs=3, learning_rate=0.01, views=3), augmentation=PHOTOS)
    assert runs == [("block0", 60 + 2 * 40), ("block1", 60)], "each augmented view once, and only plain ones for the probe"


@pytest.mark.parametrize("views", [0, 3])
def test_a_bank_gives_no_more_views_than_it_has(views):
    bank = feature_bank.build_feature_bank(pretrained(), "block0", 2, TRAIN[0], VAL[0], PHOTOS, 0, progress=False)
    with pytest.raises(ValueError, match=f"'block0' has 2 views of each picture, asked for were {views}"):
        bank.up_to(pretrained(), "block1", views, progress=False)


def test_pictures_may_be_varied_anew_in_each_epoch():
    result = run(phase=Phase("fine-tuning", "block0", epochs=2, learning_rate=0.01, views=0), augmentation=PHOTOS)
    assert len(result.history.epochs) == 2 and result.phases[1].trained == "block1 to classifier"


def test_each_phase_is_told_when_it_ends():
    lines = []
    result = run(log=lines.append)
    assert result.table().splitlines() == lines and len(lines) == 3
    assert lines[0].split() == ["phase", "trained", "parameters", "learning", "rate", "validation", "time"]
    assert lines[1].startswith("linear probe    classifier ") and " 34 " in lines[1]
    assert lines[2].startswith("fine-tuning     block1 to classifier ") and " 0.0025 to 0.01 " in lines[2]
    assert " 2.7 k " in lines[2]
    probe, tuned = result.phases
    assert tuned.val_accuracy == result.history.best["val_accuracy"]
    assert f"{100 * probe.val_accuracy:.1f} %" in lines[1] and f"{100 * tuned.val_accuracy:.1f} %" in lines[2]


def test_a_phase_that_was_interrupted_has_a_row_without_an_accuracy():
    row = two_phase.PhaseRow("fine-tuning", "block1 to classifier", 2700, "0.01", None, 1.0)
    assert str(row).split()[-3:] == ["-", "1.0", "s"]


def test_fine_tuning_takes_the_novelty_detector_of_the_weights_before_away():
    model = pretrained()
    codes = codes_of(model, TRAIN[0], np.arange(40))
    model.novelty = fit_novelty(model, codes, TRAIN[1], codes)
    finetune.fine_tune(model, replace(PHASE, epochs=1), TRAIN, VAL, two_phase.NO_AUGMENTATION, seed=0, progress=False)
    assert model.novelty is None


def test_only_batch_norms_that_are_trained_follow_the_new_pictures_faster():
    model = pretrained()
    before = model.layers["block0"].layers["norm"].momentum
    phase = replace(PHASE, epochs=1, norm_momentum=0.37)
    finetune.fine_tune(model, phase, TRAIN, VAL, two_phase.NO_AUGMENTATION, progress=False)
    assert [model.layers[f"block{i}"].layers["norm"].momentum for i in range(3)] == [before, 0.37, 0.37]


def test_without_validation_pictures_the_last_epoch_is_kept():
    model = pretrained()
    history = finetune.fine_tune(model, replace(PHASE, epochs=2), TRAIN, None, two_phase.NO_AUGMENTATION, progress=False)
    assert history.best_epoch == 2 and history.epochs[-1]["val_loss"] is None


def test_by_default_the_upper_layers_learn_at_one_small_rate():
    result = run(phase=None)
    assert {parameter.learning_rate_multiplier for parameter in result.model.parameters().values()} == {1.0}
    assert result.phases[1].learning_rate == "0.0003"
    assert not result.model.layers["block2"].trainable and len(result.history.epochs) == 5  # the upper ones: three fifths


def test_it_learns_and_repeats_for_a_seed():
    first, second = run(), run()
    assert first.phases[1].val_accuracy >= 0.9
    assert snapshot(first.model) == snapshot(second.model)
    assert first.model.classes == ["lying", "upright"]


@pytest.mark.parametrize("layer", ["pool", "dropout", "classifier"])
def test_a_phase_that_leaves_nothing_to_fine_tune_is_refused(layer):
    with pytest.raises(ValueError, match=f"frozen until '{layer}' only the head is left.*below 'pool'"):
        run(phase=Phase("fine-tuning", layer, epochs=1, learning_rate=0.01, views=1))


def test_a_layer_that_is_not_there_is_refused_with_the_layers_there_are():
    with pytest.raises(ValueError, match=r"no layer 'block9'.*block0, block1, block2"):
        run(phase=Phase("fine-tuning", "block9", epochs=1, learning_rate=0.01, views=1))
