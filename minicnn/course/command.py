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
from . import progress, report
from .check import PASSED, Verdict, check_file, load_answers, new_seed
from .export import export
from .grade import grade, similar, write_tables
from .lesson import Lesson, all_lessons, find_lesson
from .notebook import as_script, lesson_notebook, write_notebook
from .selftest import selftest
from .start import begin_lesson, start

SECONDS_BETWEEN_LOOKS = 0.5


def check(arguments: argparse.Namespace) -> int:
    """Judge a file, or all exercises that have been begun; returns 0 only where every task is passed."""
    lesson = find_lesson(arguments.lesson) if arguments.lesson else lesson_of_current_folder()
    if lesson is None:
        return check_all(arguments)
    if arguments.hint:
        return hint(lesson, arguments.task or 1, arguments.hint)
    is_file = (arguments.lesson or "").endswith((".py", ".ipynb"))
    file = Path(arguments.lesson) if is_file else exercise_of(lesson)
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
    """A check, written where ``--json`` says, and followed by what the right functions do in a real network."""
    content = judge(lesson, file, arguments)
    if arguments.json:
        _write_json(arguments.json, content)
    passed = all(task["verdict"] == PASSED for task in content["tasks"])
    if passed and not arguments.task and lesson.finale:
        with as_script(file) as script:
            lesson.finale(load_answers(script), out_folder(file))
    return 0 if passed else 1


def check_all(arguments: argparse.Namespace) -> int:
    """A check of each exercise that has been begun."""
    if arguments.task or arguments.hint or arguments.watch:
        raise DataError("--task, --hint and --watch are about one lesson: say which, for example minicnn check 2 --task 1")
    begun = [(lesson, file) for lesson in all_lessons() if progress.is_begun(file := exercise_of(lesson))]
    if not begun:
        first = all_lessons()[0].number
        print(f"no exercise has been begun here; begin with: minicnn lesson {first}, then minicnn check {first} --hint")
        return 1
    results = [judge(lesson, file, arguments) for lesson, file in begun]
    points, possible = (sum(content[name] for content in results) for name in ("points", "possible"))
    print(f"\n{len(begun)} exercise{'s' * (len(begun) != 1)}: {points} of {possible} points")
    if arguments.json:
        _write_json(arguments.json, {"points": points, "possible": possible, "lessons": results})
    return 0 if points == possible else 1


def judge(lesson: Lesson, file: Path, arguments: argparse.Namespace) -> dict:
    """Check a file and print the verdicts as they come; returns them for JSON."""
    seed = new_seed() if arguments.seed is None else arguments.seed
    print(report.heading(lesson, file, seed), flush=True)
    numbers = [arguments.task] if arguments.task else range(1, len(lesson.tasks) + 1)
    possible = sum(lesson.task(number).points for number in numbers)
    verdicts: list[Verdict] = []
    with as_script(file) as script:
        for verdict in check_file(lesson, script, seed, numbers):
            verdicts.append(verdict)
            print(report.describe(verdict), flush=True)
    progress.remember(file, verdicts)
    print(report.summary(verdicts, possible))
    if words := report.next_step(lesson, verdicts):
        print(words)
    return report.as_dict(lesson, file, seed, verdicts, possible)


def _write_json(target: Path, content: dict) -> None:
    write_bytes(target, json.dumps(content, indent=1).encode() + b"\n")


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


def lesson_of_current_folder() -> Lesson | None:
    """The lesson whose folder this is, if it is one."""
    return next((lesson for lesson in all_lessons() if lesson.folder.name == Path.cwd().name), None)


def out_folder(file: Path) -> Path:
    """Where figures go that belong to an exercise."""
    folder = file.resolve().parent / "out"
    folder.mkdir(exist_ok=True)
    return folder


def lessons(arguments: argparse.Namespace) -> int:
    """All lessons, and how far their exercises are."""
    found = all_lessons()
    width = max(len(lesson.title) for lesson in found)
    for lesson in found:
        print(f"{lesson.number:>3}  {lesson.title:<{width}}  {progress.describe(lesson, exercise_of(lesson))}")
    print("\nminicnn lesson 1 runs a lesson, minicnn check 1 judges its exercise;", end=" ")
    print("minicnn course start DIR unpacks all of them to work on")
    return 0


def lesson(arguments: argparse.Namespace) -> int:
    """Run a lesson, or open it as a notebook."""
    found = find_lesson(arguments.lesson)
    script = exercise_of(found).with_name("lesson.py")
    if not arguments.notebook:
        options = ["--quick"] * arguments.quick + (["--data", arguments.data] if arguments.data else [])
        return subprocess.run([sys.executable, str(script), *options]).returncode
    path = script.with_suffix(".ipynb")
    write_notebook(lesson_notebook(script), path)
    print(f"{path}\nopen it: jupyter lab {path}")
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


def _new(arguments: argparse.Namespace) -> int:
    folder = begin_lesson(arguments.folder)
    print(f"{folder}: a lesson that works, to be made into yours")
    print(f"MINICNN_LESSONS={folder.parent} minicnn check {int(folder.name[:2])}")
    return 0


ACTIONS = {"start": _start, "new": _new, "selftest": _selftest, "export": _export, "grade": _grade}
