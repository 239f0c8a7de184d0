"""Averages over weights: worked by hand, restored to the bit, with running statistics, and what the Trainer does with them."""

import numpy as np
import pytest

from minicnn.layers import BatchNorm1d, Linear, ReLU, Sequential
from minicnn.losses import SoftmaxCrossEntropy
from minicnn.optim import SGD
from minicnn.training import Trainer
from minicnn.training.averaging import WeightAverage, trained_arrays


def network():
    return Sequential(lower=Linear(4, 8, rng=1), norm=BatchNorm1d(8), relu=ReLU(), upper=Linear(8, 3, rng=2))


def copies(model):
    return {name: array.copy() for name, array in trained_arrays(model).items()}


def equal(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def data(n=40):
    rng = np.random.default_rng(0)
    y = np.arange(n) % 3
    return (np.eye(3, 4)[y] * 2 + rng.standard_normal((n, 4))).astype(np.float32), y


def test_three_steps_by_hand():
    # a0 = 0; d = 1/11, 2/12, then 1/5 (the decay, below 3/13)
    layer = Linear(1, 1, bias=False, rng=0)
    layer.w.value[...] = 0
    average = WeightAverage(layer, decay=0.2)
    a = 0.0
    for weight, d in ((11.0, 1 / 11), (-6.0, 2 / 12), (5.0, 0.2)):
        layer.w.value[...] = weight
        average.update()
        a = d * a + (1 - d) * weight
    with average.in_place():
        assert layer.w.value[0, 0] == pytest.approx(a)
    assert layer.w.value[0, 0] == 5


def test_the_models_own_weights_come_back_to_the_bit_even_after_an_error():
    model = network()
    average = WeightAverage(model, 0.9)
    for array in trained_arrays(model).values():
        array += 1
    average.update()
    own = copies(model)
    with pytest.raises(KeyError), average.in_place():
        assert not equal(own, copies(model))
        raise KeyError
    assert equal(own, copies(model))


def test_running_statistics_are_averaged_and_frozen_weights_are_left_out():
    model = network()
    model.layers["lower"].freeze()
    names = set(trained_arrays(model))
    assert {"norm.running_mean", "norm.running_var", "norm.gamma", "upper.w"} <= names
    assert "lower.w" not in names


@pytest.mark.parametrize("decay", [-0.1, 1.0, 1, 2, np.nan])
def test_a_decay_that_is_none_is_refused(decay):
    with pytest.raises(ValueError, match="0 to below 1"):
        WeightAverage(network(), decay)
    model = network()
    with pytest.raises(ValueError, match="average is the decay of an average of weights"):
        Trainer(model, SoftmaxCrossEntropy(), SGD(model.parameters(), 0.1), epochs=1, average=decay)


def test_with_a_decay_of_0_the_average_is_the_latest_weights():
    model = network()
    average = WeightAverage(model, 0)
    for _ in range(3):
        for array in trained_arrays(model).values():
            array += 1
        average.update()
    own = copies(model)
    with average.in_place():
        assert equal(own, copies(model))


def test_the_largest_decay_below_1_is_taken_and_begins_with_the_early_weights():
    # d is t / (t + 10) for as long as that is smaller: after the first step 1/11 of the old and 10/11 of the new weight
    layer = Linear(1, 1, bias=False, rng=0)
    layer.w.value[...] = 0
    average = WeightAverage(layer, np.nextafter(1, 0))
    layer.w.value[...] = 11
    average.update()
    with average.in_place():
        assert layer.w.value[0, 0] == pytest.approx(10)


def fitted(average, epochs=4, **options):
    x, y = data()
    model = network()
    optimizer = SGD(model.parameters(), 0.3, momentum=0.9)
    trainer = Trainer(model, SoftmaxCrossEntropy(), optimizer, epochs=epochs, batch_size=4, average=average, progress=False)
    history = trainer.fit(x, y, *options.get("val", ()))
    return model, history


def test_a_trainer_that_averages_ends_with_the_average_and_trains_as_ever():
    plain, history = fitted(0.0)
    averaged, same = fitted(0.9)
    assert not equal(copies(plain), copies(averaged))
    # what it was trained with on the way is not touched by the averaging: the training loss is the same to the bit
    assert [epoch["loss"] for epoch in history.epochs] == [epoch["loss"] for epoch in same.epochs]


def test_what_is_validated_is_what_is_kept():
    x, y = data()
    model, history = fitted(0.9, val=(x[::2], y[::2]))
    loss = SoftmaxCrossEntropy().forward(model.eval().forward(x[::2]), y[::2])
    assert loss == pytest.approx(history.best["val_loss"], rel=1e-5)


def test_the_average_is_less_noisy_than_the_last_weights():
    # gradients of single samples at a constant rate: the weights keep jumping, their average hardly does
    x, y = data(60)
    apart = []
    for average in (0.0, 0.98):
        results = []
        for seed in range(6):
            model = Sequential(scores=Linear(4, 3, rng=0))
            optimizer = SGD(model.parameters(), 0.3)
            trainer = Trainer(
                model, SoftmaxCrossEntropy(), optimizer, epochs=5, batch_size=1, average=average, seed=seed, progress=False
            )
            trainer.fit(x, y)
            results.append(model.layers["scores"].w.value.copy())
        apart.append(np.std(results, axis=0).mean())
    assert apart[1] < 0.7 * apart[0]
