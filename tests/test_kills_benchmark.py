"""The command that kills trainings: what its trials compare."""

from benchmarks import kills


def test_a_finished_training_is_handed_back_with_the_same_digest(tmp_path, monkeypatch):
    monkeypatch.setattr(kills, "EPOCHS", 2)
    kills.train_in(tmp_path)
    digest = (tmp_path / kills.DONE).read_text()
    (tmp_path / kills.DONE).unlink()
    kills.train_in(tmp_path)
    assert (tmp_path / kills.DONE).read_text() == digest and len(digest) == 64


def test_one_run_that_ends_otherwise_is_a_failure(monkeypatch, capsys):
    monkeypatch.setattr(kills, "unbroken", lambda folder: ("a" * 64, 0.0))
    same = iter([True, False])
    monkeypatch.setattr(kills, "kill_and_resume", lambda *_: {"killed": True, "while_writing": False, "same": next(same)})
    assert kills.main(["--kills", "2"]) == 1
    assert (
        "2 killed while they ran, 0 of them while a checkpoint was written; 1 of 2 ended bit-identical"
        in capsys.readouterr().out
    )
