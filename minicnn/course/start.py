"""Unpacking the lessons into a folder, to read and to work on."""

from __future__ import annotations

import shutil
from pathlib import Path

from .lesson import all_lessons

UNPACKED = ("lesson.py", "exercise.py")


def start(folder: Path) -> list[Path]:
    """Copy each lesson and its exercise to ``folder``; returns the lessons' folders.

    An exercise that is there already is somebody's work, and stays as it is; so does a lesson.
    """
    folders = []
    for lesson in all_lessons():
        target = folder / lesson.folder.name
        target.mkdir(parents=True, exist_ok=True)
        for name in UNPACKED:
            if not (target / name).exists():
                shutil.copyfile(lesson.folder / name, target / name)
        folders.append(target)
    return folders
