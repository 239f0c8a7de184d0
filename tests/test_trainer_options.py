"""What the Trainer does with the pictures of a batch (augment, mix) and with the weights after a step (regularizers)."""

import numpy as np
import pytest
from test_trainer import arrays, blobs, make, network

from minicnn.data import Mixup, PerSampleGenerator
from minicnn.losses import SoftmaxCrossEntropy
from minicnn.optim import SGD
from minicnn.regularizers import L1, L2, L2SP, MaxNorm
from minicnn.schedules import ReduceOnPlateau
from minicnn.training.callbacks import Callback
from minicnn.training.checkpoint import Checkpoints


def what_each_sample_got(**options):
    """By (epoch, sample), the noise that the augmentation added; a sample is its number in the last column."""
    got = {}

    def augment(x, rng):
        noise = rng.normal(size=(len(x), 1))
        got.update({(rng.epoch, int(row[0])): value for row, value in zip(x, noise[:, 0], strict=True)})
        return x

    _, y = blobs(24)
    x = np.arange(24, dtype=np.float32)[:, None] * np.ones(4, np.float32)
    make(network(), augment=augment, prepare=lambda x: x / 100, epochs=2, **options).fit(x, y)
    return got


def test_what_a_sample_gets_depends_on_neither_the_batch_size_nor_the_parts_of_a_batch():
    one = what_each_sample_got(batch_size=4)
    assert len(set(one.values())) == 48  # two epochs, two different numbers for each sample
    assert one == what_each_sample_got(batch_size=12) == what_each_sample_got(batch_size=8, accumulate=3)
    assert one != what_each_sample_got(batch_size=4, seed=1)


def test_mixing_comes_last_and_the_loss_takes_its_targets():
    seen = []

    class Watched(SoftmaxCrossEntropy):
        def forward(self, scores, targets):
            seen.append(targets)
            return super().forward(scores, targets)

    x, y = blobs(24)
    mix = Mixup(alpha=1.0, classes=3)
    make(network(), loss=Watched(), mix=mix, epochs=1, batch_size=24).fit(x, y, x, y)
    mixed, validated = seen
    rng = PerSampleGenerator(seed=0, epoch=1, indices=np.arange(24))
    np.testing.assert_array_equal(mixed, mix(x, y, rng)[1])
    np.testing.assert_array_equal(validated, y)  # validation pictures are not mixed


def test_an_l2_penalty_trains_as_weight_decay_does():
    decayed, penalised = network(norm=False), network(norm=False)
    optimizer = SGD(decayed.parameters(), 0.1, momentum=0.9, weight_decay=0.05)
    make(decayed, optimizer=optimizer).fit(*blobs())
    make(penalised, regularizer=L2(penalised.parameters(), 0.05)).fit(*blobs())
    free = network(norm=False)
    make(free).fit(*blobs())
    assert all(np.allclose(a, b, rtol=1e-4, atol=1e-6) for a, b in zip(*map(values, (decayed, penalised)), strict=True))
    assert not all(np.allclose(a, b, rtol=1e-2) for a, b in zip(*map(values, (free, penalised)), strict=True))


def values(model):
    return [array for _, array in sorted(arrays(model).items())]


def test_a_penalty_is_added_once_to_a_gradient_in_parts_and_before_it_is_clipped():
    def first_gradient(**options):
        model, gradients = network(norm=False), {}

        class Look(Callback):
            def on_gradients(self, run):
                gradients.update({name: p.grad.copy() for name, p in model.parameters().items()})

        penalty = L1(model.parameters(), 10.0)
        make(model, epochs=1, batch_size=30, regularizer=penalty, callbacks=[Look()], learning_rate=1e-9, **options).fit(
            *blobs()
        )
        return gradients

    whole, parts, clipped = first_gradient(), first_gradient(accumulate=3), first_gradient(clip=0.5)
    for name, gradient in whole.items():
        np.testing.assert_allclose(parts[name], gradient, rtol=1e-4, atol=1e-5)
    assert np.sqrt(sum(np.square(g).sum() for g in clipped.values())) == pytest.approx(0.5, rel=1e-4)
    assert abs(whole["lower.w"]).min() > 9  # 10 sign(w), and what the data say


def test_max_norm_holds_after_every_step():
    model, norms = network(norm=False), []

    class Look(Callback):
        def on_step_end(self, run):
            norms.append(np.linalg.norm(model.parameters()["upper.w"].value, axis=1).max())

    make(model, regularizer=MaxNorm(model.parameters(), 0.7), callbacks=[Look()], learning_rate=0.5).fit(*blobs())
    assert max(norms) == pytest.approx(0.7, rel=1e-5) and len(norms) == 12


def test_the_loss_in_the_record_is_without_the_penalty():
    def first_loss(strength):
        model = network(norm=False)
        return (
            make(model, epochs=1, batch_size=30, regularizer=L2(model.parameters(), strength)).fit(*blobs()).epochs[0]["loss"]
        )

    assert first_loss(0.0) == first_loss(5.0)


def test_a_resumed_run_is_drawn_to_the_same_pretrained_weights(tmp_path):
    class Stop(Callback):
        def on_step_end(self, run):
            if run.steps_done == 9:
                raise OSError("power")

    def trained(start=1.0, **options):
        model = network(norm=False)
        for parameter in model.parameters().values():
            parameter.value *= start
        make(model, epochs=4, regularizer=L2SP(model.parameters(), alpha=1.0, beta=0.0), **options).fit(*blobs())
        return arrays(model)

    unbroken = trained()
    with pytest.raises(OSError, match="power"):
        trained(checkpoint=Checkpoints(tmp_path, seconds=0), callbacks=[Stop()])
    resumed = trained(start=2.0, checkpoint=tmp_path, resume=True)  # made anew, from weights that are not the pretrained ones
    assert all((unbroken[name] == resumed[name]).all() for name in unbroken)


def test_a_regularizer_of_another_model_is_refused():
    model = network()
    with pytest.raises(
        ValueError, match=r"L2 was made for \d+ parameters that the model does not have \(lower.w.*make it from"
    ):
        make(model, regularizer=L2(network().parameters(), 0.1)).fit(*blobs())


def test_a_schedule_that_waits_for_the_validation_needs_one():
    with pytest.raises(ValueError, match="ReduceOnPlateau waits for the validation loss"):
        make(network(), schedule=ReduceOnPlateau()).fit(*blobs())
