"""``minicnn transfer --resume``: an experiment that was broken off goes on, and ends with the numbers of the unbroken one."""

# ruff: noqa: F811  (fixtures of another file)

import json

import pytest
from test_experiment import cache, folder, model_file, results_in  # noqa: F401  (the first three are fixtures)

from minicnn.cli import main
from minicnn.experiment import unfinished
from minicnn.training.callbacks import Callback
from minicnn.training.checkpoint import Checkpoints
from minicnn.transfer import finetune


class Power(Callback):
    """Counts steps of all trainers, and fails before a certain one."""

    def __init__(self):
        self.steps, self.fails_at = 0, None

    def on_step_begin(self, run):
        if self.steps == self.fails_at:
            raise OSError("power")
        self.steps += 1


@pytest.fixture
def power(monkeypatch):
    power = Power()

    class Watched(finetune.Trainer):
        def __init__(self, *arguments, checkpoint, **options):
            super().__init__(*arguments, checkpoint=Checkpoints(checkpoint, seconds=0), callbacks=[power], **options)

    monkeypatch.setattr(finetune, "Trainer", Watched)
    return power


def transfer(folder, model_file, out, *more):
    words = ["--data", str(folder), "--model", str(model_file), "--out", str(out), "--quick", "--epochs", "2", "--seeds", "1"]
    return main(["transfer", *words, "--strategy", "svm", "--strategy", "finetune-more", *more])


def numbers(out):
    """The results without what time and place decide."""
    results = json.loads((out / "results.json").read_text())
    text = json.dumps([results["strategies"], results["recommendation"]])
    return json.loads(text, object_hook=lambda found: {k: v for k, v in found.items() if k not in ("seconds", "mean_seconds")})


def test_it_goes_on_in_the_second_phase_of_the_second_fold_and_ends_as_if_nothing_had_happened(
    folder, model_file, tmp_path, cache, power, capsys
):
    assert transfer(folder, model_file, tmp_path / "unbroken") == 0
    whole = power.steps
    assert whole == 4 * 2 * 2 * 3, "folds, phases, epochs, and batches of 45 pictures"
    assert not (tmp_path / "unbroken" / unfinished.FOLDER).exists()
    power.steps, power.fails_at = 0, 12 + 6 + 4
    assert transfer(folder, model_file, tmp_path / "broken") != 0
    assert "power" in capsys.readouterr().err and (tmp_path / "broken" / unfinished.FOLDER).is_dir()

    assert transfer(folder, model_file, tmp_path / "broken") != 0
    assert "holds a run that has not finished. To go on with it, add --resume" in capsys.readouterr().err
    assert transfer(folder, model_file, tmp_path / "broken", "--resume", "--balance") != 0
    assert "was begun with --balance not given, and now it is True" in capsys.readouterr().err

    power.steps, power.fails_at = 0, None
    assert transfer(folder, model_file, tmp_path / "broken", "--resume") == 0
    assert power.steps == whole - 22  # the others were done before
    assert numbers(tmp_path / "broken") == numbers(tmp_path / "unbroken")
    assert not (tmp_path / "broken" / unfinished.FOLDER).exists()
    assert transfer(folder, model_file, tmp_path / "broken", "--resume") != 0
    assert "has finished: there is nothing to go on with" in capsys.readouterr().err


def test_what_failed_before_any_training_leaves_no_checkpoints(tmp_path, model_file, cache, capsys):
    assert (
        main(["transfer", "--data", str(tmp_path / "nowhere"), "--model", str(model_file), "--out", str(tmp_path / "out")]) != 0
    )
    assert not (tmp_path / "out" / unfinished.FOLDER).exists()
