"""Checkpoints: a broken-off run ends as the unbroken one, to the bit; what does not fit is refused; nothing is lost."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from test_trainer import arrays, blobs, digest, make, network

from minicnn.errors import TrainingError
from minicnn.optim import Adam
from minicnn.schedules import ReduceOnPlateau
from minicnn.training import checkpoint as checkpoint_module
from minicnn.training.callbacks import Callback
from minicnn.training.checkpoint import Checkpoints, read_checkpoint, write_checkpoint

ROOT = Path(checkpoint_module.__file__).parents[2]


class BreakOff(Callback):
    """Ends the run with an error after so many steps, as a crash would."""

    def __init__(self, steps):
        self.steps = steps

    def on_step_end(self, run):
        if run.steps_done == self.steps:
            raise OSError("the power is gone")


def begin(folder, *, callbacks=(), resume=False, **options):
    """A run with everything that has a memory: dropout, batch norm, Adam, an average, a validation set."""
    model = network(dropout=0.4)
    optimizer = Adam(model.parameters(), 0.02)
    checkpoint = folder and Checkpoints(folder, seconds=0, keep=2)
    options = {"epochs": 3, "average": 0.9, "schedule": lambda p: 1 - p / 2, "checkpoint": checkpoint} | options
    return model, make(model, optimizer=optimizer, callbacks=callbacks, resume=resume, **options)


def fit(trainer):
    return trainer.fit(*blobs(30), *blobs(12, seed=5))


@pytest.fixture
def unbroken():
    model, trainer = begin(None)
    return digest(model), fit(trainer), digest(model)


def without_time(history):
    return [{key: value for key, value in record.items() if key != "seconds"} for record in history.epochs]


@pytest.mark.parametrize("steps", [1, 3, 4, 5, 8, 11])  # four batches an epoch
def test_a_run_that_was_broken_off_ends_as_the_unbroken_one_to_the_bit(tmp_path, unbroken, steps):
    _, expected_history, expected = unbroken
    _, broken = begin(tmp_path, callbacks=[BreakOff(steps)])
    with pytest.raises(OSError, match="power"):
        fit(broken)
    model, resumed = begin(tmp_path, resume=True, callbacks=[BreakOff(0)])
    history = fit(resumed)
    assert digest(model) == expected
    assert without_time(history) == without_time(expected_history) and history.best_epoch == expected_history.best_epoch


def test_a_run_with_checkpoints_is_the_run_without(tmp_path, unbroken):
    model, trainer = begin(tmp_path)
    fit(trainer)
    assert digest(model) == unbroken[2] != unbroken[0]


def test_a_finished_run_is_handed_back_without_another_step(tmp_path, unbroken):
    fit(begin(tmp_path)[1])
    model, again = begin(tmp_path, resume=True, callbacks=[BreakOff(12)])
    assert len(fit(again).epochs) == 3 and digest(model) == unbroken[2]


def test_each_of_two_callbacks_of_a_type_has_its_own_memory(tmp_path):
    class Counter(Callback):
        def __init__(self, by):
            self.by, self.count = by, 0

        def on_step_end(self, run):
            self.count += self.by

        def state(self):
            return {"count": self.count}

        def set_state(self, state):
            self.count = state["count"]

    with pytest.raises(OSError, match="power"):
        fit(begin(tmp_path, callbacks=[Counter(1), Counter(10), BreakOff(7)])[1])
    again = [Counter(1), Counter(10), BreakOff(0)]
    fit(begin(tmp_path, resume=True, callbacks=again)[1])
    assert [counter.count for counter in again[:2]] == [12, 120]


def test_a_plateau_is_remembered(tmp_path):
    def plateau(folder, **options):
        # a rate so low that nothing gets better: it halves after every epoch
        return begin(folder, schedule=ReduceOnPlateau(drop=0.5, patience=1, threshold=0.9), epochs=4, **options)

    model, unbroken = plateau(None)
    rates = [record["learning_rate"] for record in fit(unbroken).epochs]
    assert rates == pytest.approx([0.02, 0.02, 0.01, 0.005])
    with pytest.raises(OSError, match="power"):
        fit(plateau(tmp_path, callbacks=[BreakOff(13)])[1])
    resumed_model, resumed = plateau(tmp_path, resume=True)
    assert [record["learning_rate"] for record in fit(resumed).epochs] == rates and digest(resumed_model) == digest(model)


def test_the_gradient_of_a_batch_in_parts_is_that_of_the_batch():
    def change(**options):
        model = network(norm=False)
        make(model, epochs=1, batch_size=30, **options).fit(*blobs(30))
        return arrays(model)

    whole, parts = change(), change(accumulate=4)
    assert all(np.allclose(whole[name], parts[name], rtol=1e-5, atol=1e-6) for name in whole)


def test_a_clipped_gradient_makes_a_shorter_step():
    model, before = network(norm=False), arrays(network(norm=False))
    make(model, epochs=1, batch_size=30, clip=0.01, learning_rate=1.0).fit(*blobs(30))
    moved = np.sqrt(sum(np.square(array - before[name]).sum() for name, array in arrays(model).items()))
    assert moved == pytest.approx(0.01, rel=1e-3)


def test_the_newest_few_are_kept(tmp_path):
    fit(begin(tmp_path)[1])
    assert [path.name for path in Checkpoints(tmp_path).files()] == ["checkpoint-000000011.h5", "checkpoint-000000012.h5"]


def test_a_checkpoint_comes_back_as_it_was_written(tmp_path):
    content = {"a": {"b.w": np.arange(3.0), "n": np.int64(1)}, "empty": {}, "list": [1.5, "x", None, np.float32([2])]}
    content["no number"] = float("inf")
    write_checkpoint(tmp_path / "checkpoint.h5", content)
    back = read_checkpoint(tmp_path / "checkpoint.h5")
    assert back["empty"] == {} and back["list"][:3] == [1.5, "x", None] and back["a"]["n"] == 1
    assert back["no number"] == float("inf")
    assert back["a"]["b.w"].dtype == np.float64 and back["list"][3].dtype == np.float32
    np.testing.assert_array_equal(back["a"]["b.w"], [0, 1, 2])


def test_from_a_damaged_checkpoint_it_goes_back_to_the_one_before(tmp_path, unbroken, capsys):
    with pytest.raises(OSError, match="power"):
        fit(begin(tmp_path, callbacks=[BreakOff(7)])[1])
    newest = Checkpoints(tmp_path).files()[-1]
    newest.write_bytes(newest.read_bytes()[:-100])
    model, resumed = begin(tmp_path, resume=True)
    fit(resumed)
    assert digest(model) == unbroken[2]
    assert "damaged, truncated" in capsys.readouterr().err


def test_if_none_is_whole_that_is_said_and_nothing_is_begun(tmp_path):
    fit(begin(tmp_path)[1])
    for path in Checkpoints(tmp_path).files():
        path.write_bytes(b"not a checkpoint")
    model, resumed = begin(tmp_path, resume=True)
    before = arrays(model)
    with pytest.raises(TrainingError, match="none of the 2 checkpoints"):
        fit(resumed)
    assert all(np.array_equal(before[name], array) for name, array in arrays(model).items())


def test_the_checkpoints_of_a_run_are_never_overwritten_by_another(tmp_path):
    fit(begin(tmp_path)[1])
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(TrainingError, match="holds checkpoints of a run, the newest is checkpoint-000000012"):
        fit(begin(tmp_path)[1])
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("change", "words"),
    [({"epochs": 4}, "epochs was 3 there and is 4 here"), ({"seed": 1}, "seed was 0 there"), ({"batch_size": 9}, "batch_size")],
)
def test_a_checkpoint_of_a_run_with_other_settings_is_refused(tmp_path, change, words):
    fit(begin(tmp_path)[1])
    with pytest.raises(TrainingError, match=words):
        fit(begin(tmp_path, resume=True, **change)[1])


def test_a_checkpoint_of_another_model_or_of_other_data_is_refused(tmp_path):
    fit(begin(tmp_path)[1])
    other = network(norm=False)
    trainer = make(other, optimizer=Adam(other.parameters(), 0.02), epochs=3, average=0.9, checkpoint=tmp_path, resume=True)
    with pytest.raises(TrainingError, match=r"the layers was .*BatchNorm1d"):
        fit(trainer)
    x, y = blobs(30)
    for changed in ((x + 1, y), (x, (y + 1) % 3), (x[:-1], y[:-1])):
        with pytest.raises(TrainingError, match=r"hash of some samples|hash of the targets|number of samples"):
            begin(tmp_path, resume=True)[1].fit(*changed, *blobs(12, seed=5))


def test_a_checkpoint_of_a_newer_version_is_refused(tmp_path, monkeypatch):
    with monkeypatch.context() as future:
        future.setattr(checkpoint_module, "FORMAT_VERSION", 2)
        fit(begin(tmp_path)[1])
    with pytest.raises(TrainingError, match="written by a newer minicnn"):
        fit(begin(tmp_path, resume=True)[1])


def test_a_full_disk_costs_a_warning_and_neither_the_run_nor_the_checkpoints_before(tmp_path, unbroken, monkeypatch, capsys):
    written = checkpoint_module.write_sealed

    def full_after_five(path, kind, fill):
        if len(calls) >= 5:
            raise OSError(28, "No space left on device")
        calls.append(path)
        written(path, kind, fill)

    calls = []
    monkeypatch.setattr(checkpoint_module, "write_sealed", full_after_five)
    model, trainer = begin(tmp_path)
    fit(trainer)
    assert digest(model) == unbroken[2]
    assert "No space left on device" in capsys.readouterr().err
    assert Checkpoints(tmp_path).files() == calls[-2:]


def test_resume_needs_a_folder():
    with pytest.raises(ValueError, match="say in which folder"):
        begin(None, resume=True)


@pytest.mark.parametrize(("options", "words"), [({"seconds": -1}, "seconds"), ({"keep": 0}, "keep"), ({"keep": 1.5}, "keep")])
def test_constants_out_of_range_are_refused(tmp_path, options, words):
    with pytest.raises(ValueError, match=words):
        Checkpoints(tmp_path, **options)


# ---- when they are written, and into which folder


class Clock(Callback):
    """Takes the place of the module time: it goes on by a second with every step."""

    def __init__(self):
        self.seconds = 0

    def monotonic(self):
        return self.seconds

    def on_step_end(self, run):
        self.seconds += 1


def steps_written(folder, monkeypatch, *, seconds, callbacks=(), **options):
    clock, seen = Clock(), []
    monkeypatch.setattr(checkpoint_module, "time", clock)

    class Look(Checkpoints):
        def _write(self, run):
            seen.append(run.steps_done)
            super()._write(run)

    fit(begin(folder, checkpoint=Look(folder, seconds), callbacks=[clock, *callbacks], **options)[1])
    return seen


def test_one_is_written_when_the_latest_is_old_enough_and_one_at_the_end(tmp_path, monkeypatch):
    """Four steps an epoch, twelve in all."""
    assert steps_written(tmp_path / "a", monkeypatch, seconds=5) == [5, 10, 12]
    assert steps_written(tmp_path / "b", monkeypatch, seconds=4) == [4, 8, 12]
    assert steps_written(tmp_path / "c", monkeypatch, seconds=100) == [12]


def test_a_run_that_is_stopped_early_ends_with_a_checkpoint_too(tmp_path, monkeypatch):
    class Stop(Callback):
        def on_epoch_end(self, run):
            run.stopped = True

    assert steps_written(tmp_path, monkeypatch, seconds=100, callbacks=[Stop()]) == [4]
    assert len(fit(begin(tmp_path, resume=True, callbacks=[BreakOff(5)])[1]).epochs) == 1


def test_what_is_written_after_an_epochs_last_step_has_its_record(tmp_path, monkeypatch, unbroken):
    with pytest.raises(OSError, match="power"):
        steps_written(tmp_path, monkeypatch, seconds=4, callbacks=[BreakOff(6)])
    model, resumed = begin(tmp_path, resume=True)
    assert without_time(fit(resumed)) == without_time(unbroken[1]) and digest(model) == unbroken[2]


def test_what_a_killed_run_left_half_written_is_deleted_and_nothing_else(tmp_path):
    for name in (".checkpoint-000000004.h5.123.tmp", ".mine.tmp", "notes.txt"):
        (tmp_path / name).write_bytes(b"half")
    fit(begin(tmp_path)[1])
    assert {path.name for path in tmp_path.iterdir() if path.suffix != ".h5"} == {".mine.tmp", "notes.txt"}


def test_a_folder_is_made_with_those_above_it_and_may_be_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    make(network(), checkpoint="~/runs/first").fit(*blobs())
    assert len(list((tmp_path / "runs" / "first").glob("checkpoint-*.h5"))) == 1


def test_a_folder_that_cannot_be_is_refused_before_the_first_step(tmp_path):
    (tmp_path / "file").write_text("")
    model, trainer = begin(tmp_path / "file")
    before = digest(model)
    with pytest.raises(TrainingError, match=r"cannot be written to .*file .*; name another folder"):
        fit(trainer)
    assert digest(model) == before


def test_a_checkpoint_of_a_run_with_other_frozen_weights_or_another_first_or_last_sample_is_refused(tmp_path):
    def trainer(*, lower=1.0, frozen=True, **options):
        model = network(norm=False)
        if frozen:
            model.layers["lower"].freeze()
        model.layers["lower"].w.value *= lower
        return make(model, checkpoint=tmp_path, **options)

    x, y = blobs(30)
    trainer().fit(x, y)
    with pytest.raises(TrainingError, match="the hash of the frozen weights was"):
        trainer(lower=2.0, resume=True).fit(x, y)
    with pytest.raises(TrainingError, match=r"lower.w was float32 \(8, 4\), frozen there and is float32 \(8, 4\) here"):
        trainer(frozen=False, resume=True).fit(x, y)
    for changed in (0, 29):
        other = x.copy()
        other[changed] += 1
        with pytest.raises(TrainingError, match="the hash of some samples was"):
            trainer(resume=True).fit(other, y)
    assert len(trainer(resume=True).fit(x, y).epochs) == 3


VICTIM = """
import sys; sys.path.insert(0, {tests!r})
from test_checkpoint import begin, digest, fit
model, trainer = begin({folder!r}, resume=True, prepare=lambda x: __import__("time").sleep(0.005) or x)
print("begun", flush=True)
fit(trainer)
print(digest(model))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL on this system")
def test_a_run_that_is_killed_again_and_again_ends_as_the_unbroken_one(tmp_path, unbroken):
    code = VICTIM.format(tests=str(Path(__file__).parent), folder=str(tmp_path))
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "1"}
    rng = np.random.default_rng(0)
    for _ in range(3):
        victim = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment)
        victim.stdout.readline()
        time.sleep(rng.uniform(0.01, 0.15))
        victim.kill()
        victim.communicate()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.split()[-1] == unbroken[2]
    assert not list(tmp_path.glob(".*.tmp"))
