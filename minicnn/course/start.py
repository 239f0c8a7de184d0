"""Unpacking the lessons into a folder, to read and to work on; and a lesson to make one's own from."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from ..errors import DataError
from .lesson import all_lessons, lessons_folder

UNPACKED = ("lesson.py", "exercise.py")
TEMPLATE = "99_template"


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


def template() -> Path:
    """The folder of a small lesson that has all a lesson needs."""
    return lessons_folder() / "template" / TEMPLATE


def begin_lesson(folder: Path) -> Path:
    """Copy the template to a new folder ``NN_name``, with this number in its texts; returns the folder.

    Raises
    ------
    DataError
        If the folder has another name, or is there already.
    """
    number = re.fullmatch(r"(\d\d)_\w+", folder.name)
    if not number:
        raise DataError(f"the folder of a lesson is called NN_name, two digits and a name, as 20_my_lesson; got {folder.name}")
    if folder.exists():
        raise DataError(f"{folder} is there already; a new lesson begins in a folder of its own")
    folder.mkdir(parents=True)
    for path in template().glob("*.py"):
        text = path.read_text(encoding="utf-8").replace(TEMPLATE, folder.name)
        text = re.sub(r"(?<![\d.])99(?![\d.])", str(int(number[1])), text)
        (folder / path.name).write_text(text, encoding="utf-8")
    return folder
