"""A study's folder: what the study is, and a line for each trial that is finished, so that a killed study goes on.

- ``study.json``: the objective's name, the space, the seed, and what else results depend on.
- ``trials.jsonl``: a line of JSON a trial, in the order in which they finished, each on the disk before the next begins.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..cache import write_bytes
from ..errors import TrainingError
from .trial import Trial

try:
    import fcntl
except ImportError:  # not on Windows: there, nobody notices two processes with one folder
    fcntl = None

STUDY, TRIALS = "study.json", "trials.jsonl"


class Journal:
    """The finished trials of a study, in a folder or, without one, in memory only.

    What is in the folder is read at once. Trials are added within a ``with`` block, during which no other process can add any.

    Parameters
    ----------
    folder : path or None
        It is made when the first block begins; ``~`` stands for the home folder.
    study : mapping
        Texts and numbers that tell this study from another one.

    Attributes
    ----------
    finished : dict of int to Trial
        By their numbers.

    Raises
    ------
    TrainingError
        If the folder holds another study, or a damaged file.
    """

    def __init__(self, folder: str | os.PathLike | None, study: Mapping[str, Any]):
        self.folder = None if folder is None else Path(os.path.expanduser(folder))
        self.study = json.loads(json.dumps(study))  # as it will be read from the file
        self.finished: dict[int, Trial] = {}
        if self.folder is not None and (self.folder / STUDY).exists():
            self._check_study()
            self._read()

    def __enter__(self) -> Journal:
        if self.folder is None:
            return self
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._file = open(self.folder / TRIALS, "ab")
        except OSError as error:
            raise TrainingError(f"a study cannot be kept in {self.folder} ({error.strerror}); name another folder") from error
        try:
            self._lock()
            if not (self.folder / STUDY).exists():
                write_bytes(self.folder / STUDY, json.dumps(self.study, indent=2).encode())
            self._check_study()
            self._file.truncate(self._read())
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        if self.folder is not None:
            self._file.close()

    def add(self, trial: Trial) -> None:
        """Keep a finished trial; when this returns, it is on the disk."""
        self.finished[trial.number] = trial
        if self.folder is not None:
            self._file.write(json.dumps(asdict(trial)).encode() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())

    # ---- the files

    def _lock(self) -> None:
        if fcntl:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # let go when the file is closed, or the process killed
            except BlockingIOError as error:
                raise TrainingError(f"another process is running the study in {self.folder}; wait for it to end") from error

    def _check_study(self) -> None:
        path = self.folder / STUDY
        try:
            there = json.loads(path.read_bytes())
        except ValueError as error:
            raise TrainingError(f"{path} is damaged ({error}); delete the folder, or name another one") from error
        different = [key for key in self.study if there.get(key) != self.study[key]]
        if different:
            key = different[0]
            raise TrainingError(
                f"{self.folder} holds another study, with another {key}: {there.get(key)} there, {self.study[key]} here. To go "
                "on with it, begin it as it was begun; for a new study, name another folder"
            )

    def _read(self) -> int:
        """Read all finished trials. Returns the bytes that they take up: what follows was cut off when a process was killed."""
        path = self.folder / TRIALS
        content = path.read_bytes() if path.exists() else b""
        *lines, rest = content.split(b"\n")
        for i, line in enumerate(lines):
            try:
                trial = Trial(**json.loads(line))
            except (ValueError, TypeError) as error:
                raise TrainingError(
                    f"line {i + 1} of {path} is damaged ({error}); delete this line, and the trial will be repeated"
                ) from error
            self.finished[trial.number] = trial
        return len(content) - len(rest)
