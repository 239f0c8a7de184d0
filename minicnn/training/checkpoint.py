"""Checkpoints: the whole state of a training run in a file, so that a run that was killed can go on.

A checkpoint holds all that the next steps depend on: the weights and statistics, the optimiser's state, the average of the
weights, every random generator (order of the samples, augmentation, dropout), the position in the epoch, the callbacks'
memory, the best epoch so far, the history. The resumed run then computes what the unbroken one would have computed, to the bit,
on the same processor with the same number of threads.

```
(first 512 bytes)   a line of text, the seal: the SHA-256 of everything after it, see minicnn/sealed.py
/                   attributes: format_version, written_by
/run                JSON: all numbers and texts
/arrays/...         the arrays, by the path under which /run mentions them
```
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from .. import __version__
from ..errors import TrainingError
from ..layers.base import Layer
from ..sealed import SealError, check_seal, write_sealed
from .callbacks import Callback
from .run import Run

FORMAT_VERSION = 1
PATTERN = "checkpoint-*.h5"
ARRAY = "array at"  # the key that stands for an array in the JSON text


class Checkpoints(Callback):
    """Writes checkpoints into a folder and reads them.

    A file is there whole or not at all, whatever happens while it is written. If one cannot be written, because the disk is
    full, say, a warning is printed, the ones before stay, and the run goes on.

    Parameters
    ----------
    folder : path
        Of one run. It is made if it is not there; ``~`` stands for the home folder.
    seconds : float
        After a step or an epoch a checkpoint is written if the latest is at least this old; and at the end of the run.
    keep : int
        How many of the newest stay.

    Raises
    ------
    ValueError
        If ``seconds`` is negative or ``keep`` is not a whole number from 1 up.
    """

    def __init__(self, folder: str | os.PathLike, seconds: float = 30.0, keep: int = 3):
        if not seconds >= 0:
            raise ValueError(f"Checkpoints: seconds between two checkpoints must be a number from 0 up, got {seconds}")
        if not (isinstance(keep, int) and keep >= 1):
            raise ValueError(f"Checkpoints: keep is how many of the newest stay, a whole number from 1 up, got {keep}")
        self.folder = Path(os.path.expanduser(folder))
        self.seconds, self.keep = seconds, keep

    def files(self) -> list[Path]:
        """The checkpoints in the folder, the newest last."""
        return sorted(self.folder.glob(PATTERN))

    # ---- the beginning of a run

    def begin(self, run: Run, callbacks: Sequence[Callback], settings: Mapping[str, Any], resume: bool) -> None:
        """Make the folder ready, and put the run where the newest checkpoint was, if there is one and ``resume`` says so.

        Parameters
        ----------
        run : Run
            Before its first step.
        callbacks : sequence of Callback
            Whose state belongs to the run's.
        settings : mapping
            What the run was begun with, in numbers and words (`describe` gives the model's and the data's part): a checkpoint
            of a run that was begun with anything else is refused.

        Raises
        ------
        TrainingError
            If there are checkpoints and ``resume`` is False; if none of them is whole; if they are of another run, or of a
            newer version; if the folder cannot be written.
        """
        self._callbacks, self._settings = list(callbacks), dict(settings)
        self._written = time.monotonic()
        self._make_folder()
        files = self.files()
        if files and not resume:
            raise TrainingError(
                f"{self.folder} holds checkpoints of a run, the newest is {files[-1].name}. To go on from there, resume=True; "
                "to begin anew, name another folder, or delete them"
            )
        if files:
            self._restore(run, *self._newest(files))

    def _make_folder(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for left_over in self.folder.glob(f".{PATTERN}.*.tmp"):  # of a run that was killed while it wrote
                left_over.unlink()
        except OSError as error:
            raise TrainingError(
                f"checkpoints cannot be written to {self.folder} ({error.strerror}); name another folder"
            ) from error

    def _newest(self, files: Sequence[Path]) -> tuple[Path, dict[str, Any]]:
        """The newest file that is whole, and its content."""
        for path in reversed(files):
            try:
                return path, read_checkpoint(path)
            except SealError as error:
                reason = str(error)
                print(f"{reason}; looking for the checkpoint before it", file=sys.stderr)
        raise TrainingError(
            f"none of the {len(files)} checkpoints in {self.folder} is whole ({reason}); begin anew in another folder"
        )

    def _restore(self, run: Run, path: Path, saved: dict[str, Any]) -> None:
        theirs = saved["settings"]
        for what in [*self._settings, *theirs]:
            if theirs.get(what) != self._settings.get(what):
                then, now = (settings.get(what, "not there") for settings in (theirs, self._settings))
                raise TrainingError(
                    f"{path} is a checkpoint of another run: {what} was {then} there and is {now} here. Resume with what that "
                    "run was begun with, or begin a new one in another folder"
                )
        run.set_state(saved["run"])
        for name, callback in self._named_callbacks().items():
            if name in saved["callbacks"]:
                callback.set_state(saved["callbacks"][name])

    def _named_callbacks(self) -> dict[str, Callback]:
        """By their place and type: there may be several of a type."""
        return {f"{i} {type(callback).__name__}": callback for i, callback in enumerate(self._callbacks)}

    # ---- during the run

    def on_step_end(self, run: Run) -> None:
        if run.step < run.steps_per_epoch and self._is_due():  # after the last step the epoch's end comes next
            self._write(run)

    def on_epoch_end(self, run: Run) -> None:
        if self._is_due() or run.stopped or run.epoch == run.epochs:
            self._write(run)

    def _is_due(self) -> bool:
        return time.monotonic() - self._written >= self.seconds

    def _write(self, run: Run) -> None:
        content = {
            "settings": self._settings,
            "run": run.state(),
            "callbacks": {name: state for name, callback in self._named_callbacks().items() if (state := callback.state())},
        }
        try:
            write_checkpoint(self.folder / f"checkpoint-{run.steps_done:09d}.h5", content)
            for path in self.files()[: -self.keep]:
                path.unlink()
        except OSError as error:
            print(f"warning: {error.strerror or error} ({self.folder}). Training goes on without", file=sys.stderr)
        self._written = time.monotonic()


def describe(model: Layer, x: Sequence, y: np.ndarray, prepare: Callable) -> dict[str, str]:
    """The model's and the data's part of a run's settings: shapes and dtypes, and hashes where only equality matters.

    Of the frozen weights and the targets the hash is of all; of the samples, of sixteen that are spread evenly, as ``prepare``
    gives them.
    """
    settings, frozen = {}, hashlib.sha256()
    for name, parameter in model.parameters().items():
        settings[name] = f"{parameter.value.dtype} {parameter.value.shape}" + ("" if parameter.trainable else ", frozen")
        if not parameter.trainable:
            frozen.update(np.ascontiguousarray(parameter.value).tobytes())
    few = np.unique(np.linspace(0, len(x) - 1, 16).astype(np.int64))
    return settings | {
        "the layers": ", ".join(f"{path or 'network'}: {type(layer).__name__}" for path, layer in model.walk()),
        "the hash of the frozen weights": frozen.hexdigest()[:16],
        "the number of samples": str(len(x)),
        "the hash of some samples": _hash_of(prepare(x[few])),
        "the hash of the targets": _hash_of(y),
    }


def _hash_of(array: np.ndarray) -> str:
    array = np.ascontiguousarray(array)
    return hashlib.sha256(f"{array.dtype} {array.shape}".encode() + array.tobytes()).hexdigest()[:16]


# ---- files


def write_checkpoint(path: str | os.PathLike, content: dict[str, Any]) -> None:
    """A nested dict of arrays and of what JSON can hold, in a sealed file that appears whole or not at all.

    Raises
    ------
    OSError
        If it cannot be written; what was there before is untouched.
    """

    def fill(file: h5py.File) -> None:
        file.attrs["format_version"], file.attrs["written_by"] = FORMAT_VERSION, f"minicnn {__version__}"
        arrays: dict[str, np.ndarray] = {}
        text = json.dumps(_without_arrays(content, "arrays", arrays), allow_nan=True)
        file.create_dataset("run", data=np.bytes_(text.encode()))
        for name, array in arrays.items():
            file.create_dataset(name, data=array)

    write_sealed(path, "checkpoint", fill)


def read_checkpoint(path: str | os.PathLike) -> dict[str, Any]:
    """What `write_checkpoint` was given.

    Raises
    ------
    SealError
        If it is no checkpoint, or not whole.
    TrainingError
        If it is of a newer version.
    """
    check_seal(path, "checkpoint")
    with h5py.File(path, "r") as file:
        version = int(file.attrs["format_version"])
        if version > FORMAT_VERSION:
            raise TrainingError(
                f"{path} was written by a newer minicnn ({file.attrs['written_by']}, format {version}; this one reads up to "
                f"{FORMAT_VERSION}); update minicnn"
            )
        return _with_arrays(json.loads(bytes(file["run"][()]).decode()), file)


def _without_arrays(tree: Any, path: str, arrays: dict[str, np.ndarray]) -> Any:
    """The tree with a mention in the place of each array, which goes to ``arrays``."""
    if isinstance(tree, np.ndarray):
        arrays[path] = tree
        return {ARRAY: path}
    if isinstance(tree, Mapping):
        return {key: _without_arrays(value, f"{path}/{key}", arrays) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return [_without_arrays(value, f"{path}/{i}", arrays) for i, value in enumerate(tree)]
    return tree.item() if isinstance(tree, np.generic) else tree


def _with_arrays(tree: Any, file: h5py.File) -> Any:
    if isinstance(tree, dict):
        return file[tree[ARRAY]][()] if set(tree) == {ARRAY} else {key: _with_arrays(v, file) for key, v in tree.items()}
    return [_with_arrays(value, file) for value in tree] if isinstance(tree, list) else tree
