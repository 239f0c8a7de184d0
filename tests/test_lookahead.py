"""Lookahead: every k steps the weights go back to an average of where they have been."""

import numpy as np
import pytest
from test_trainer import arrays, blobs, make, network

from minicnn.layers import Linear
from minicnn.losses import Loss
from minicnn.optim import SGD
from minicnn.training import Trainer
from minicnn.training.callbacks import Callback
from minicnn.training.checkpoint import Checkpoints
from minicnn.training.lookahead import Lookahead, rising_decay


class Pull(Loss):
    """Whose gradient is -1 for each score: a step of rate 1 adds 1 to a weight whose input is 1."""

    def forward(self, scores, targets):
        self.shape = scores.shape
        return 0.0

    def backward(self):
        return -np.ones(self.shape, np.float32)

    def labels(self, targets):
        return None


def test_two_steps_ahead_and_half_the_way_back_by_hand():
    model, seen = Linear(1, 1, bias=False, rng=0), []
    model.w.value[...] = 0

    class Look(Callback):
        def on_step_end(self, run):
            seen.append(float(model.w.value[0, 0]))

    callbacks = [Lookahead(k=2, decay=lambda p: 0.5), Look()]
    trainer = Trainer(model, Pull(), SGD(model.parameters(), 1.0), epochs=1, batch_size=1, callbacks=callbacks, progress=False)
    trainer.fit(np.ones((5, 1), np.float32), np.zeros(5, int))
    # 1, then 2 of which half; on to 2, then 3 and half the way back to 1; 3, and as the run ends, half the way back to 2
    assert seen == [1, 1, 2, 2, 2.5]


def test_a_decay_of_zero_changes_nothing_and_of_one_everything():
    start, free, still, ahead = (network() for _ in range(4))
    make(free).fit(*blobs())
    make(ahead, callbacks=[Lookahead(decay=lambda p: 0.0)]).fit(*blobs())
    make(still, callbacks=[Lookahead(k=2, decay=lambda p: 1.0)]).fit(*blobs())
    assert all((a == b).all() for a, b in zip(arrays(free).values(), arrays(ahead).values(), strict=True))
    assert all((a == b).all() for a, b in zip(arrays(start).values(), arrays(still).values(), strict=True))


def test_the_papers_decay_rises_from_nothing():
    assert rising_decay(0) == 0 and rising_decay(1) == pytest.approx(0.774, abs=1e-3)


def test_a_resumed_run_looks_back_to_the_same_weights(tmp_path):
    class Stop(Callback):
        def on_step_end(self, run):
            if run.steps_done == 7:
                raise OSError("power")

    def trained(**options):
        model = network()
        make(model, callbacks=[Lookahead(k=3, decay=lambda p: 0.5), *options.pop("also", [])], **options).fit(*blobs())
        return arrays(model)

    unbroken = trained()
    with pytest.raises(OSError, match="power"):
        trained(checkpoint=Checkpoints(tmp_path, seconds=0), also=[Stop()])
    resumed = trained(checkpoint=tmp_path, resume=True)
    assert all((unbroken[name] == resumed[name]).all() for name in unbroken)


@pytest.mark.parametrize("k", [0, 1.5])
def test_a_senseless_k_is_refused(k):
    with pytest.raises(ValueError, match="whole number from 1 up, got"):
        Lookahead(k=k)
