"""A folder of submissions, judged: who has how many points, which mistakes, and who has written the same."""

from __future__ import annotations

import ast
import csv
import difflib
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from tqdm import tqdm

from ..cache import write_bytes
from ..errors import DataError
from .check import PASSED, Verdict, check_file
from .lesson import Lesson, find_lesson
from .notebook import as_script

NO_ANSWERS = {"lesson", "solution", "tasks", "slips", "answers"}  # what may lie beside an exercise
ALIKE = 0.9  # of the statements, names apart


@dataclass
class Submission:
    """A student's file for one lesson, and the verdicts on it.

    Attributes
    ----------
    student : str
        The name of the folder that it is in, or of the file.
    lesson : Lesson
    file : Path
    verdicts : list of Verdict
    """

    student: str
    lesson: Lesson
    file: Path
    verdicts: list[Verdict]

    @property
    def points(self) -> int:
        return sum(verdict.points for verdict in self.verdicts)

    @property
    def possible(self) -> int:
        return sum(task.points for task in self.lesson.tasks)


def grade(folder: Path, seed: int = 0) -> list[Submission]:
    """Judge all scripts and notebooks below a folder that belong to a lesson; each task runs in a process of its own.

    Raises
    ------
    DataError
        If there is none.
    """
    found = []
    files = [path for path in sorted(folder.rglob("*")) if path.suffix in (".py", ".ipynb") and path.stem not in NO_ANSWERS]
    for file in tqdm(files, unit=" files", delay=2, leave=False):
        try:
            lesson = find_lesson(str(file))
        except DataError:
            continue
        with as_script(file) as script:
            found.append(Submission(_student(file, folder, lesson), lesson, file, list(check_file(lesson, script, seed))))
    if not found:
        raise DataError(f"{folder} has no file of an exercise: expected STUDENT/exercise.py, or files that name their lesson")
    return found


def _student(file: Path, folder: Path, lesson: Lesson) -> str:
    """The first folder's name below the one of all; the file's own where it is in none but its lesson's."""
    parts = [part for part in file.relative_to(folder).parts[:-1] if part != lesson.folder.name]
    return parts[0] if parts else file.stem


def similar(submissions: Sequence[Submission]) -> list[tuple[Submission, Submission, float]]:
    """Pairs of different students' files for the same lesson whose statements are alike, names and order of tasks apart."""
    texts = {id(s): _skeleton(s.file) for s in submissions}
    pairs = []
    for a, b in combinations(submissions, 2):
        if a.lesson == b.lesson and a.student != b.student and min(len(texts[id(a)]), len(texts[id(b)])) > 5:
            share = difflib.SequenceMatcher(None, texts[id(a)], texts[id(b)], autojunk=False).ratio()
            if share >= ALIKE:
                pairs.append((a, b, share))
    return pairs


class _NamesAway(ast.NodeTransformer):
    """Variables lose their names, so that renaming does not hide a copy."""

    def visit_Name(self, node: ast.Name) -> ast.Name:  # named by ast
        return ast.copy_location(ast.Name("_", node.ctx), node)

    def visit_arg(self, node: ast.arg) -> ast.arg:
        return ast.copy_location(ast.arg("_"), node)


def _skeleton(file: Path) -> list[str]:
    """The statements of the functions that are not stubs, without names and docstrings."""
    try:
        with as_script(file) as script:
            tree = ast.parse(script.read_text(encoding="utf-8", errors="replace"))
    except SyntaxError:
        return []
    lines = []
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef) and not isinstance(function.body[-1], ast.Raise):
            body = function.body[1:] if ast.get_docstring(function) is not None else function.body
            lines += [line for node in body for line in ast.unparse(_NamesAway().visit(node)).splitlines()]
    return lines


def write_tables(submissions: Sequence[Submission], folder: Path) -> list[Path]:
    """``grades.csv`` and ``grades.html`` in a folder; returns their paths."""
    most = max(len(submission.verdicts) for submission in submissions)
    rows = [["student", "lesson", "points", "possible", "alike", *(f"task {n}" for n in range(1, most + 1))]]
    alike = similar(submissions)
    for submission in submissions:
        others = [b.student if a is submission else a.student for a, b, _ in alike if submission in (a, b)]
        words = [v.diagnosis or v.verdict for v in submission.verdicts]
        numbers = [str(submission.points), str(submission.possible)]
        rows.append([submission.student, submission.lesson.folder.name, *numbers, ", ".join(others), *words])
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    write_bytes(folder / "grades.csv", text.getvalue().encode())
    write_bytes(folder / "grades.html", _page(submissions, rows).encode())
    return [folder / "grades.csv", folder / "grades.html"]


STYLE = "body{font:15px sans-serif;margin:2em}td,th{padding:.3em .7em;text-align:left;border-bottom:1px solid #ddd}"


def _page(submissions: Sequence[Submission], rows: list[list[str]]) -> str:
    """A table; a task that is not passed tells its reason when the mouse is over it."""
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in rows[0])
    body = []
    for submission, row in zip(submissions, rows[1:], strict=True):
        cells = [f"<td>{html.escape(cell)}</td>" for cell in row[:5]]
        for verdict, cell in zip(submission.verdicts, row[5:], strict=False):
            reason = "" if verdict.verdict == PASSED else f' title="{html.escape(verdict.reason)}"'
            cells.append(f"<td{reason}>{html.escape(cell)}</td>")
        body.append(f"<tr>{''.join(cells)}</tr>")
    return (
        f'<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>Grades</title><style>{STYLE}</style>'
        f"<table><tr>{head}</tr>{''.join(body)}</table></html>\n"
    )
