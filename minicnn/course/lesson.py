"""Which lessons there are, and where their files are."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from types import ModuleType

from ..errors import DataError
from .task import Task

FILES = ("lesson.py", "exercise.py", "solution.py", "tasks.py")
TITLE = re.compile(r"^# # Lesson (\d+)\. (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Lesson:
    """A lesson, which is a folder ``NN_name``.

    Attributes
    ----------
    folder : Path
        With ``lesson.py``, ``exercise.py`` (stubs), ``solution.py``, ``tasks.py`` (`minicnn.course.Task`s in ``TASKS``) and
        ``slips.py``, the mistakes that they know.
    """

    folder: Path

    def __reduce__(self) -> tuple:
        return Lesson, (self.folder,)  # without the modules, which cannot be sent to another process

    @property
    def number(self) -> int:
        return int(self.folder.name.partition("_")[0])

    @cached_property
    def title(self) -> str:
        """From the first line of ``lesson.py``."""
        found = TITLE.search((self.folder / "lesson.py").read_text(encoding="utf-8"))
        return found[2] if found else self.folder.name

    @cached_property
    def solution(self) -> ModuleType:
        return load_module(self.folder / "solution.py", f"minicnn_lesson_{self.number}_solution")

    @cached_property
    def checks(self) -> ModuleType:
        return load_module(self.folder / "tasks.py", f"minicnn_lesson_{self.number}_tasks")

    @property
    def tasks(self) -> list[Task]:
        """The exercise's `minicnn.course.Task`s, in their order."""
        return self.checks.TASKS

    def task(self, number: int) -> Task:
        """A task by its number, from 1.

        Raises
        ------
        ValueError
            If there is none.
        """
        if not 1 <= number <= len(self.tasks):
            raise ValueError(f"lesson {self.number} has tasks 1 to {len(self.tasks)}, not {number}")
        return self.tasks[number - 1]

    @property
    def finale(self) -> Callable[[dict, Path], None] | None:
        """What trains a network with a student's right functions, and says so: called with them and a folder for figures."""
        return self.checks.FINALE


def load_module(path: Path, name: str) -> ModuleType:
    """A file as a module; what lies beside it can be imported by it, and is forgotten then: each lesson has a "solution"."""
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    beside = {file.stem for file in path.parent.glob("*.py")}
    others = {name: sys.modules.pop(name) for name in beside & sys.modules.keys()}
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(path.parent))
        for stem in beside:
            sys.modules.pop(stem, None)
        sys.modules.update(others)
    return module


def lessons_folder() -> Path:
    """The package ``minicnn.lessons`` of an installation, or ``lessons`` in a checkout."""
    spec = importlib.util.find_spec("minicnn.lessons")
    if spec and spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    return Path(__file__).resolve().parents[2] / "lessons"


def all_lessons() -> list[Lesson]:
    """All of them, in their order: the course's, and those in the folders that ``MINICNN_LESSONS`` names.

    Raises
    ------
    DataError
        If such a folder has no lesson, or two lessons have the same number.
    """
    own = [Path(name) for name in os.environ.get("MINICNN_LESSONS", "").split(os.pathsep) if name]
    lessons = [lesson for folder in (lessons_folder(), *own) for lesson in _lessons_in(folder)]
    if empty := [str(folder) for folder in own if not _lessons_in(folder)]:
        expected = f"expected folders NN_name with {', '.join(FILES)}"
        raise DataError(f"MINICNN_LESSONS names {empty[0]}, which has no lesson: {expected}")
    lessons.sort(key=lambda lesson: lesson.number)
    for lesson, following in pairwise(lessons):
        if lesson.number == following.number:
            raise DataError(f"{lesson.folder} and {following.folder} are both lesson {lesson.number}: rename one of them")
    return lessons


def _lessons_in(folder: Path) -> list[Lesson]:
    found = sorted(folder.glob("[0-9][0-9]_*"))
    return [Lesson(path.resolve()) for path in found if all((path / name).exists() for name in FILES)]


def find_lesson(word: str) -> Lesson:
    """The lesson of a number, of a name or a part of it, or of an exercise's file.

    Raises
    ------
    DataError
        If it is not one, and only one, of the lessons.
    """
    lessons = all_lessons()
    if word.isdecimal():
        found = [lesson for lesson in lessons if lesson.number == int(word)]
    elif (path := Path(word)).suffix in (".py", ".ipynb"):
        found = _lesson_of_file(path, lessons)
    else:
        found = [lesson for lesson in lessons if word.strip("/") in (lesson.folder.name, str(lesson.folder))]
        found = found or [lesson for lesson in lessons if word.lower() in lesson.folder.name]
    if len(found) != 1:
        names = ", ".join(lesson.folder.name for lesson in found or lessons)
        what = "is no lesson, and no file of the exercise of one" if not found else "can be several lessons"
        raise DataError(f"{word} {what}; say one of {names}, or its number")
    return found[0]


def _lesson_of_file(path: Path, lessons: list[Lesson]) -> list[Lesson]:
    """By the folder that it is in, or the lesson that its first lines name ("Lesson 3, exercise: ...")."""
    if not path.is_file():
        raise DataError(f"there is no file {path}")
    by_folder = [lesson for lesson in lessons if lesson.folder.name == path.resolve().parent.name]
    named = re.search(r"Lesson (\d+)\b", path.read_text(encoding="utf-8", errors="replace")[:2000])
    return by_folder or [lesson for lesson in lessons if named and lesson.number == int(named[1])]
