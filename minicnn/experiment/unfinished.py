"""Runs that were killed or stopped: their checkpoints lie beside the report to come, until the run has finished."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path

from ..cache import write_bytes
from ..errors import TrainingError
from ..training.checkpoint import PATTERN

FOLDER = "checkpoints"
SETTINGS = "settings.json"  # in it: what the run was begun with


def begin(out: Path, resume: bool, identity: Mapping[str, str]) -> Path:
    """The folder for the checkpoints of a new run, or of the unfinished one in ``out``.

    Parameters
    ----------
    out : Path
        Where model and report will be.
    resume : bool
        Whether to go on with an unfinished run.
    identity : mapping
        By option, all that two runs must have in common so that one can go on with the other.

    Raises
    ------
    TrainingError
        If there is an unfinished run and it is not to be resumed, or it was begun with something else; if a finished one is to
        be resumed.
    """
    folder = out / FOLDER
    started = any(folder.rglob(PATTERN))
    if started and not resume:
        raise TrainingError(
            f"{out} holds a run that has not finished. To go on with it, add --resume; to begin anew, delete {folder}, or name "
            "another folder with --out"
        )
    if started:
        _check_identity(out, folder / SETTINGS, identity)
    elif resume and (out / "model.h5").exists():
        raise TrainingError(
            f"the run in {out} has finished: there is nothing to go on with. Without --resume it is made anew, and replaces "
            "that one"
        )
    write_bytes(folder / SETTINGS, json.dumps(dict(identity), indent=1).encode())
    return folder


def _check_identity(out: Path, file: Path, identity: Mapping[str, str]) -> None:
    """Compare what the run was begun with and what is asked for now."""
    try:
        theirs = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return  # lost or damaged; the checkpoints themselves know most of it
    for option, now in identity.items():
        if (then := theirs.get(option, now)) != now:
            raise TrainingError(
                f"the run in {out} was begun with {option} {then}, and now it is {now}; resume with the options that it was "
                "begun with, or name another folder with --out"
            )


def end(folder: Path, finished: bool) -> None:
    """Remove checkpoints and settings after a run that has finished, or that left nothing to go on with; others' files stay."""
    if not finished and any(folder.rglob(PATTERN)):
        return
    for file in [*folder.rglob(PATTERN), folder / SETTINGS]:
        file.unlink(missing_ok=True)
    inside = sorted((path for path in folder.rglob("*") if path.is_dir()), reverse=True)  # what is within goes first
    for inner in [*inside, folder]:
        with contextlib.suppress(OSError):  # somebody else's files are in it
            inner.rmdir()
