"""Runs that were killed or stopped: their checkpoints lie beside the report to come, until the run has finished."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from ..cache import write_bytes
from ..errors import TrainingError
from ..training.checkpoint import Checkpoints
from .settings import Settings

SETTINGS = "settings.json"  # beside the checkpoints: what the run was begun with


def begin(settings: Settings) -> Checkpoints:
    """The checkpoints of a new run, or of the unfinished one in the same folder.

    Raises
    ------
    TrainingError
        If there is an unfinished run and it is not to be resumed, or it was begun with something else; if a finished one is to
        be resumed.
    """
    checkpoints = Checkpoints(settings.out / "checkpoints", settings.seconds_between_checkpoints)
    started = bool(checkpoints.files())
    if started and not settings.resume:
        raise TrainingError(
            f"{settings.out} holds a run that has not finished. To go on with it, add --resume; to begin anew, delete "
            f"{checkpoints.folder}, or name another folder with --out"
        )
    if started:
        _check_settings(settings, checkpoints.folder / SETTINGS)
    elif settings.resume and (settings.out / "model.h5").exists():
        raise TrainingError(
            f"the run in {settings.out} has finished: there is nothing to go on with. Without --resume it is made anew, and "
            "replaces that one"
        )
    write_bytes(checkpoints.folder / SETTINGS, json.dumps(settings.identity(), indent=1).encode())
    return checkpoints


def _check_settings(settings: Settings, file: Path) -> None:
    """Compare what the run was begun with and what is asked for now."""
    try:
        theirs = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return  # lost or damaged; the checkpoints themselves know most of it
    for option, now in settings.identity().items():
        if (then := theirs.get(option, now)) != now:
            raise TrainingError(
                f"the run in {settings.out} was begun with {option} {then}, and now it is {now}; resume with the options that "
                "it was begun with, or name another folder with --out"
            )


def remove(checkpoints: Checkpoints) -> None:
    """After the run has finished."""
    for file in [*checkpoints.files(), checkpoints.folder / SETTINGS]:
        file.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # somebody else's files are in it
        checkpoints.folder.rmdir()
