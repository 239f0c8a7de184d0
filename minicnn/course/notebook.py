"""The course in notebooks: a check in a cell, ``minicnn.check("relu_forward")``, and lessons and exercises as notebooks."""

from __future__ import annotations

import ast
import importlib
import inspect
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ..cache import write_bytes
from ..errors import DataError
from . import report
from .check import PASSED, judge_functions, new_seed
from .lesson import Lesson, all_lessons

if TYPE_CHECKING:
    from nbformat import NotebookNode


def check(task: str, functions: Mapping[str, Any] | None = None, seed: int | None = None) -> bool:
    """Judge one task, or all of a lesson, with the functions that the notebook has defined so far, and print the verdicts.

    A lesson that is passed is followed by its last step: the functions train a network.

    Parameters
    ----------
    task : str
        "2.3" for task 3 of lesson 2, a function that it asks for, or "2" for the whole lesson.
    functions : dict, optional
        By name; by default all that is defined where this is called.
    seed : int, optional
        Of the numbers; new ones each time by default.

    Returns
    -------
    bool
        Whether all of it is passed.

    Raises
    ------
    DataError
        If there is no such task or lesson.
    """
    lesson, numbers = find_tasks(str(task))
    found = inspect.currentframe().f_back.f_globals if functions is None else functions
    seed = new_seed() if seed is None else seed
    print(f"Lesson {lesson.number}, seed {seed}")
    verdicts = []
    for number in numbers:
        verdicts.append(judge_functions(lesson.task(number), vars(lesson.solution), found, number, seed))
        print(report.describe(verdicts[-1]))
    passed = all(verdict.verdict == PASSED for verdict in verdicts)
    if passed and len(numbers) == len(lesson.tasks) > 1 and lesson.finale:
        folder = Path("out")
        folder.mkdir(exist_ok=True)
        lesson.finale(dict(found), folder)
    return passed


def find_tasks(word: str) -> tuple[Lesson, list[int]]:
    """Lesson and numbers of tasks, by "LESSON.TASK", by a function that a task asks for, or by "LESSON" for all of them."""
    lessons = all_lessons()
    if word.replace(".", "", 1).isdecimal() and not word.startswith(".") and not word.endswith("."):
        number, _, task = word.partition(".")
        found = [
            (lesson, [i for i in range(1, len(lesson.tasks) + 1) if not task or i == int(task)])
            for lesson in lessons
            if lesson.number == int(number)
        ]
    else:
        found = [(lesson, [i]) for lesson in lessons for i, t in enumerate(lesson.tasks, start=1) if word in t.functions]
    found = [(lesson, numbers) for lesson, numbers in found if numbers]
    if len(found) != 1:
        choices = ", ".join(f"{lesson.number}.{numbers[0]}" for lesson, numbers in found)
        said = f"is asked for in several tasks: say one of {choices}" if found else "is no task, and no function of one"
        raise DataError(f'{word} {said}; a task is, for example, "2.1", and "2" is all of lesson 2')
    return found[0]


# ---- notebooks as files


def lesson_notebook(script: Path) -> NotebookNode:
    """A lesson's percent cells as a notebook."""
    return _library("jupytext").read(script)


def exercise_notebook(lesson: Lesson) -> NotebookNode:
    """A lesson's stubs as a notebook: a cell for each task, and below it one that checks it."""
    new = _library("nbformat").v4
    source = (lesson.folder / "exercise.py").read_text(encoding="utf-8")
    tree = ast.parse(source)
    asked = {name for task in lesson.tasks for name in task.functions}
    stubs = {node.name: ast.get_source_segment(source, node) for node in tree.body if getattr(node, "name", "") in asked}
    others = [ast.get_source_segment(source, node) for node in tree.body[1:] if getattr(node, "name", "") not in asked]
    cells = [
        new.new_markdown_cell(f"# {ast.get_docstring(tree)}"),
        new.new_code_cell("\n".join(["import minicnn", *others])),
    ]
    for number, task in enumerate(lesson.tasks, start=1):
        cells += [
            new.new_markdown_cell(f"## Task {number}: {task.title}"),
            new.new_code_cell("\n\n\n".join(stubs[name] for name in task.functions)),
            new.new_code_cell(f'minicnn.check("{lesson.number}.{number}")'),
        ]
    cells += [
        new.new_markdown_cell("## All of it\n\nWhen everything is right, your functions train a network."),
        new.new_code_cell(f'minicnn.check("{lesson.number}")'),
    ]
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"  # nbformat's are drawn at random: the same course would be another file each time
    return new.new_notebook(cells=cells)


def write_notebook(notebook: NotebookNode, path: Path) -> None:
    """Write it as a file, whole or not at all."""
    write_bytes(path, _library("nbformat").writes(notebook, version=4).encode() + b"\n")


def code_of_notebook(path: Path) -> str:
    """The code cells of a notebook as one script, without commands to Jupyter and without checks.

    Raises
    ------
    DataError
        If it is no notebook.
    """
    library = _library("nbformat")
    try:
        notebook = library.read(path, as_version=4)
    except (library.reader.NotJSONError, library.ValidationError, AttributeError, KeyError) as error:
        raise DataError(f"{path} is no notebook that can be read: {str(error).splitlines()[0]}") from error
    lines = "\n\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code").splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith(("%", "!", "minicnn.check("))) + "\n"


@contextmanager
def as_script(file: Path) -> Iterator[Path]:
    """The file, or while this lasts a script with the code of the notebook that it is."""
    if file.suffix != ".ipynb":
        yield file
        return
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / f"{file.stem}.py"
        script.write_text(code_of_notebook(file), encoding="utf-8")
        yield script


def _library(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise DataError(f"notebooks need {name}, which is not installed: pip install 'minicnn[lessons]'") from error
