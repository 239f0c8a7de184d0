"""A student edition of the course: lessons and stubs, and a proof that no solution is in it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from ..cache import write_bytes
from ..errors import DataError
from .lesson import Lesson, all_lessons
from .notebook import code_of_notebook, exercise_notebook, lesson_notebook, write_notebook
from .progress import written_out
from .start import UNPACKED, start

WORDS = """# The course

Each folder is a lesson: read and run `lesson.py`, then write the functions in `exercise.py` and check them:

    pip install "minicnn[lessons]"
    minicnn lesson 1
    minicnn check 1

Run these in this folder. `minicnn check 1 --task 1 --hint` helps where you are stuck.
"""


def export(folder: Path, notebooks: bool = False) -> list[Path]:
    """Write a student edition to a new or empty folder; returns its files.

    Parameters
    ----------
    folder : Path
    notebooks : bool
        Lessons and exercises as notebooks as well.

    Raises
    ------
    DataError
        If there is something in the folder, or (which would be a fault of a lesson) a solution in what was written.
    """
    if folder.exists() and any(folder.iterdir()):
        raise DataError(f"{folder} is not empty; a student edition is written to a folder of its own")
    start(folder)
    write_bytes(folder / "README.md", WORDS.encode())
    for lesson in all_lessons() if notebooks else []:
        place = folder / lesson.folder.name
        write_notebook(lesson_notebook(place / "lesson.py"), place / "lesson.ipynb")
        write_notebook(exercise_notebook(lesson), place / "exercise.ipynb")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if given_away := list(solutions_in(files)):
        raise DataError(f"the edition is not clean: {'; '.join(given_away)}")
    return files


def solutions_in(files: list[Path]) -> Iterator[str]:
    """What must not be in a student edition, in words: files that it should not have, and functions that are written out.

    A function of an exercise may do nothing but raise NotImplementedError. No file may have the statements of a solution's
    function one after another, be it as a script or as a notebook.
    """
    answers = {
        f"{lesson.folder.name}: {name}": body for lesson in all_lessons() for name, body in _bodies(lesson) if "\n" in body
    }
    for path in files:
        if path.stem not in {"README", *(Path(name).stem for name in UNPACKED)}:
            yield f"{path} is not for students"
        text = path.read_text(encoding="utf-8")
        if path.suffix in (".py", ".ipynb"):
            code = code_of_notebook(path) if path.suffix == ".ipynb" else text
            text = "\n".join(_statements(ast.parse(code)))
            if path.stem == "exercise":
                yield from (f"{path}: {name}() is written out" for name in written_out(code))
        yield from (f"{path} has the solution of {name}" for name, body in answers.items() if body in text)


def _bodies(lesson: Lesson) -> Iterator[tuple[str, str]]:
    """Name and statements of each function of the solution."""
    tree = ast.parse((lesson.folder / "solution.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield node.name, "\n".join(_statements(node))


def _statements(node: ast.AST) -> Iterator[str]:
    """The lines of the code, in one form, without docstrings and comments."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.ClassDef):
            yield from _statements(child)
        elif isinstance(child, ast.stmt) and not (isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)):
            yield from ast.unparse(child).splitlines()
