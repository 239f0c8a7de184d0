"""The learning-rate range test: what it measures on curves that are known, when it ends, and that it changes nothing."""

import math

import numpy as np
import pytest
from drawn import frame_is_white, png_of

from minicnn.errors import TrainingError
from minicnn.layers import BatchNorm1d, Dropout, Linear, ReLU, Sequential
from minicnn.losses import Loss, SoftmaxCrossEntropy
from minicnn.optim import SGD, Adam, OptimizerGroup
from minicnn.regularizers import L2
from minicnn.schedules import cosine
from minicnn.training import RangeTest, Trainer, range_test
from minicnn.training.callbacks import Callback
from minicnn.viz import range_test_figure

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 4)).astype(np.float32)
Y = (X[:, 0] + X[:, 1] > 0).astype(np.int64)


def network():
    return Sequential(
        lower=Linear(4, 8, rng=1), norm=BatchNorm1d(8), relu=ReLU(), drop=Dropout(0.2, rng=3), upper=Linear(8, 2, rng=2)
    )


def trainer_of(model=None, optimizer=None, loss=None, **options):
    model = model or network()
    return Trainer(
        model, loss or SoftmaxCrossEntropy(), optimizer or SGD(model.parameters(), 0.5, momentum=0.9), epochs=3, **options
    )


def recorded(losses, low=1e-6, high=1.0):
    result = RangeTest()
    for rate, loss in zip(np.geomspace(low, high, len(losses)), losses, strict=True):
        result.add(float(rate), float(loss))
    return result


# ---- what can be read off a curve


def test_the_average_is_that_of_nine_losses_at_the_rate_in_their_middle():
    losses = RNG.uniform(1, 2, 30)
    result = recorded(losses)
    rates, averages = result.averages()
    assert len(rates) == len(averages) == 30 - 8
    assert rates[7] == result.rates[11] and averages[7] == pytest.approx(losses[7:16].mean())


def test_the_steepest_fall_is_found_where_it_is():
    steps = np.arange(100)
    losses = 2 - 1 / (1 + np.exp(-(steps - 60) / 4))  # falls from 2 to 1 around step 60
    result = recorded(losses)
    assert result.rates.index(result.steepest) == pytest.approx(60, abs=1)
    noisy = recorded(losses + 0.02 * np.random.default_rng(1).normal(size=100))
    assert noisy.rates.index(noisy.steepest) == pytest.approx(60, abs=5)


def test_a_fall_after_the_lowest_point_does_not_count():
    losses = np.concatenate([np.linspace(2, 1, 40), np.full(10, 3.0), np.linspace(3, 1.5, 5), np.full(20, 1.5)])
    result = recorded(losses)
    assert not result.exploded
    assert result.rates.index(result.steepest) < 40


def test_an_explosion_is_an_average_four_times_the_lowest():
    result = recorded([1.0] * 20)
    for _ in range(3):
        result.add(1.0, 10.0)  # averages 2, 3, and 4: not yet more
    assert not result.exploded and result.tenth_of_explosion is None
    result.add(5.0, 10.0)
    assert result.exploded and result.tenth_of_explosion == 0.5


def test_the_suggestion_is_the_lower_of_the_two_and_none_where_nothing_is_learned():
    falling = np.concatenate([np.full(20, 2.0), np.linspace(2, 1, 20)])
    result = recorded(falling, 1e-4, 1e-2)
    assert result.suggestion == result.steepest and "did not explode" in result.text()
    for _ in range(9):
        result.add(result.steepest * 5, 100.0)
    assert result.suggestion == result.tenth_of_explosion == pytest.approx(result.steepest / 2)
    flat = recorded(1 + 0.01 * RNG.uniform(size=50))
    assert flat.steepest is flat.suggestion is None
    assert "the loss never falls" in flat.text() and "sanity_check" in flat.text()


# ---- the run


def test_the_rate_grows_by_equal_proportions():
    result = range_test(trainer_of(batch_size=40), X, Y, low=1e-5, high=1e-1, steps=41)
    assert result.rates == pytest.approx([1e-5 * 10 ** (i / 10) for i in range(41)])
    assert len(result.losses) == 41 and not result.exploded


def test_a_rate_that_it_suggests_trains_better_than_one_far_below_or_above():
    model = Sequential(lower=Linear(4, 8, rng=1), relu=ReLU(), upper=Linear(8, 2, rng=2))
    start = {name: parameter.value.copy() for name, parameter in model.parameters().items()}
    rate = range_test(trainer_of(model, batch_size=20), X, Y, low=1e-5, high=1e3).suggestion
    final = []
    for factor in (1e-3, 1.0, 1e3):
        for name, parameter in model.parameters().items():
            parameter.value[...] = start[name]
        optimizer = SGD(model.parameters(), rate * factor, momentum=0.9)
        final.append(trainer_of(model, optimizer, batch_size=20).fit(X, Y).epochs[-1]["loss"])
    assert final[1] < min(final[0], final[2])


def test_it_ends_where_the_loss_explodes_even_if_no_number_is_left():
    result = range_test(trainer_of(batch_size=20), X, Y, low=1e-3, high=1e30)
    assert result.exploded and len(result.rates) < 100
    model = Sequential(lower=Linear(4, 8, rng=1), upper=Linear(8, 2, rng=2))
    sudden = range_test(trainer_of(model, batch_size=20), X, Y, low=1e-3, high=1e37, steps=20)
    assert sudden.exploded and "broke down" in sudden.ended_by
    assert sudden.tenth_of_explosion == sudden.rates[-1] / 10


def test_neither_the_trainer_nor_its_model_changes(tmp_path):
    class Forbidden(Callback):
        def on_fit_begin(self, run):
            raise AssertionError("the user's callbacks belong to the user's run")

    model = network()
    optimizer = Adam(model.parameters(), 0.01)
    trainer = trainer_of(
        model, optimizer, regularizer=L2(model.parameters(), 0.1), callbacks=[Forbidden()], checkpoint=tmp_path / "run",
        schedule=cosine(), average=0.9, patience=2,
    )  # fmt: skip

    def everything():
        arrays = [p.value.tobytes() for p in model.parameters().values()] + [a.tobytes() for a in model.state().values()]
        settings = {name: id(value) for name, value in vars(trainer).items()}
        return arrays, settings, optimizer.state_dict(), model.training, model.layers["drop"].rng.bit_generator.state

    before = everything()
    first, second = (range_test(trainer, X, Y, steps=20) for _ in range(2))
    assert everything() == before and not (tmp_path / "run").exists()
    assert first == second


def test_it_takes_the_steps_that_the_trainer_would_take():
    """At a rate that is nearly constant, the losses are those of a run at that rate."""

    class Losses(Callback):
        def __init__(self):
            self.values = []

        def on_step_end(self, run):
            self.values.append(run.loss)

    def options(model):
        return {
            "batch_size": 30,
            "clip": 0.1,
            "accumulate": 2,
            "augment": lambda x, rng: 1.1 * x,
            "regularizer": L2(model.parameters(), 0.1),
        }

    model, kept = network(), Losses()
    result = range_test(trainer_of(model, **options(model)), X, Y, low=0.5, high=0.5000001, steps=24)
    Trainer(
        model, SoftmaxCrossEntropy(), SGD(model.parameters(), 0.5, momentum=0.9), epochs=6, callbacks=[kept], **options(model)
    ).fit(X, Y)
    assert result.losses == pytest.approx(kept.values, rel=1e-4)


def test_optimisers_of_a_group_keep_their_proportions():
    model = network()
    names = list(model.parameters())
    halves = [{name: model.parameters()[name] for name in part} for part in (names[:4], names[4:])]
    group = OptimizerGroup([SGD(halves[0], 0.1), SGD(halves[1], 0.3)])
    result = range_test(trainer_of(model, group), X, Y, low=1e-4, high=1e-2, steps=20)
    assert result.rates[0] == pytest.approx(1e-4) and result.rates[-1] == pytest.approx(1e-2)


def test_bad_arguments_and_data_are_refused():
    for low, high in ((0, 1), (1, 1), (1e-3, math.inf), (-1, 1)):
        with pytest.raises(ValueError, match="rates rise from low, above 0, to a higher one, got"):
            range_test(trainer_of(), X, Y, low=low, high=high)
    with pytest.raises(ValueError, match="at least 20 steps, got 19"):
        range_test(trainer_of(), X, Y, steps=19)
    model = network()
    with pytest.raises(ValueError, match="base rate, and it is 0"):
        range_test(trainer_of(model, SGD(model.parameters(), 0.0)), X, Y)
    with pytest.raises(TrainingError, match=r"range test broke down in epoch 1, step 1 .* the batch itself"):
        range_test(trainer_of(), X * np.nan, Y)


# ---- the figure


def test_the_figure_shows_the_losses_their_average_and_both_rates():
    losses = np.concatenate([np.full(20, 2.0), np.linspace(2, 1, 20), [30.0] * 3])
    result = recorded(losses)
    figure = range_test_figure(result)
    (axes,) = figure.axes
    dots, line, steepest, tenth = axes.lines
    np.testing.assert_array_equal(dots.get_ydata(), losses)
    np.testing.assert_array_equal(line.get_ydata(), result.averages()[1])
    assert steepest.get_xdata()[0] == result.steepest and tenth.get_xdata()[0] == result.tenth_of_explosion
    assert axes.get_xscale() == "log" and axes.get_ylim()[1] < 3
    assert frame_is_white(png_of(figure))


def test_the_figure_of_a_flat_curve_has_no_rates_and_that_of_none_is_refused():
    assert len(range_test_figure(recorded(1 + 0.01 * RNG.uniform(size=50))).axes[0].lines) == 2
    with pytest.raises(ValueError, match="ended after 8 steps, too few for a curve"):
        range_test_figure(recorded([1.0] * 8))


def test_a_custom_loss_can_be_tested_too():
    class Twice(Loss):
        def __init__(self):
            super().__init__()
            self.inner = SoftmaxCrossEntropy()

        def forward(self, scores, targets):
            value = 2 * self.inner.forward(scores, targets)
            self._dscores = 2 * self.inner.backward()
            return value

    assert range_test(trainer_of(loss=Twice()), X, Y, steps=20).losses[0] > 1
