"""What ``minicnn check``, ``minicnn lessons``, ``minicnn lesson`` and ``minicnn course`` do."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from ..cache import write_bytes
from ..errors import DataError
from . import report
from .check import PASSED, Verdict, check_file, load_answers, new_seed
from .export import export
from .grade import grade, similar, write_tables
from .lesson import Lesson, all_lessons, find_lesson
from .selftest import selftest
from .start import start

SECONDS_BETWEEN_LOOKS = 0.5


def check(arguments: argparse.Namespace) -> int:
    """Judge a file; returns 0 only where every task is passed."""
    lesson = find_lesson(arguments.lesson)
    if arguments.hint:
        return hint(lesson, arguments.task or 1, arguments.hint)
    file = Path(arguments.lesson) if arguments.lesson.endswith(".py") else exercise_of(lesson)
    if not arguments.watch:
        return check_once(lesson, file, arguments)
    status, seen = 1, None
    try:
        while True:
            if (changed := file.stat().st_mtime_ns if file.exists() else None) != seen:
                seen, status = changed, check_once(lesson, file, arguments)
                print("\nwaiting for the file to be saved again (Ctrl-C ends this)", flush=True)
            time.sleep(SECONDS_BETWEEN_LOOKS)
    except KeyboardInterrupt:
        return status


def check_once(lesson: Lesson, file: Path, arguments: argparse.Namespace) -> int:
    """A check, printed as it goes, and written where ``--json`` says."""
    seed = new_seed() if arguments.seed is None else arguments.seed
    print(report.heading(lesson, file, seed), flush=True)
    numbers = [arguments.task] if arguments.task else range(1, len(lesson.tasks) + 1)
    possible = sum(lesson.task(number).points for number in numbers)
    verdicts: list[Verdict] = []
    for verdict in check_file(lesson, file, seed, numbers):
        verdicts.append(verdict)
        print(report.describe(verdict), flush=True)
    print(report.summary(verdicts, possible))
    if arguments.json:
        content = report.as_dict(lesson, file, seed, verdicts, possible)
        write_bytes(arguments.json, json.dumps(content, indent=1).encode() + b"\n")
    passed = all(verdict.verdict == PASSED for verdict in verdicts)
    if passed and not arguments.task and lesson.finale:
        lesson.finale(load_answers(file), out_folder(file))
    elif words := report.next_step(lesson, verdicts):
        print(words)
    return 0 if passed else 1


def hint(lesson: Lesson, number: int, step: int) -> int:
    """Print the hints for a task up to a step."""
    task = lesson.task(number)
    print(f"Lesson {lesson.number}, task {number}, {task.title}")
    for i, text in enumerate(task.hints[:step], start=1):
        print(report.indented(f"{i}. {text}"))
    if step < len(task.hints):
        print(f"\nThe next one: minicnn check {lesson.number} --task {number} --hint {step + 1}")
    return 0


def exercise_of(lesson: Lesson) -> Path:
    """The exercise to work on: in or below the current folder if it has been unpacked there, else where the lesson is."""
    name = lesson.folder.name
    here = [Path()] if Path.cwd().name == name else []
    folders = [*here, Path(name), Path("lessons") / name, lesson.folder]
    return next(folder for folder in folders if (folder / "exercise.py").exists()) / "exercise.py"


def out_folder(file: Path) -> Path:
    """Where figures go that belong to an exercise."""
    folder = file.resolve().parent / "out"
    folder.mkdir(exist_ok=True)
    return folder


def lessons(arguments: argparse.Namespace) -> int:
    """All lessons."""
    for lesson in all_lessons():
        print(f"{lesson.number:>3}  {lesson.title}  ({len(lesson.tasks)} tasks: minicnn check {lesson.number})")
    print("\nminicnn lesson 1 runs a lesson; minicnn course start DIR unpacks all of them to work on")
    return 0


def lesson(arguments: argparse.Namespace) -> int:
    """Run a lesson, or open it as a notebook."""
    found = find_lesson(arguments.lesson)
    script = exercise_of(found).with_name("lesson.py")
    if not arguments.notebook:
        return subprocess.run([sys.executable, str(script), *(["--quick"] if arguments.quick else [])]).returncode
    notebook = script.with_suffix(".ipynb")
    try:
        import jupytext
    except ImportError as error:
        raise DataError("a notebook is made with jupytext, which is not installed: pip install 'minicnn[lessons]'") from error
    jupytext.write(jupytext.read(script), notebook)
    print(f"{notebook}\nopen it: jupyter lab {notebook}")
    return 0


def course(arguments: argparse.Namespace) -> int:
    """Unpack the course, measure its checker, write an edition for students, or judge their submissions."""
    return ACTIONS[arguments.action](arguments)


def _start(arguments: argparse.Namespace) -> int:
    for path in start(arguments.folder):
        print(path)
    print(f"\nbegin with: cd {arguments.folder}; minicnn lesson {all_lessons()[0].number}")
    return 0


def _selftest(arguments: argparse.Namespace) -> int:
    return selftest(arguments.lesson, arguments.seeds, arguments.json)


def _export(arguments: argparse.Namespace) -> int:
    files = export(arguments.folder, arguments.notebooks)
    print(f"{arguments.folder}: {len(files)} files, no solution among them")
    return 0


def _grade(arguments: argparse.Namespace) -> int:
    submissions = grade(arguments.folder, arguments.seed)
    for submission in submissions:
        points = f"{submission.points}/{submission.possible}"
        print(f"{submission.student:<24} {submission.lesson.folder.name:<34} {points:>7}")
    for a, b, share in similar(submissions):
        print(f"alike: {a.student} and {b.student}, {a.lesson.folder.name} ({share:.0%} of the statements)")
    for path in write_tables(submissions, arguments.out or arguments.folder):
        print(path)
    return 0


ACTIONS = {"start": _start, "selftest": _selftest, "export": _export, "grade": _grade}
