"""False verdicts of the lessons' checkers, counted over many seeds.

A checker draws new numbers and shapes each time, so an answer might be called right with some of them and wrong with
others. This runs every answer of the corpus (`lesson_1_answers`, `lesson_2_answers`) with so many seeds, and prints for each
how often a wrong one was called right, or a right one wrong. The exit status is 0 only where that never happened.

    python tests/checker_seeds.py
    python tests/checker_seeds.py --seeds 1000 --tasks relu softmax

200 seeds of all tasks take some minutes; the tests run three.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import patch

import lesson_1_answers
import lesson_2_answers
import numpy as np
from lesson_files import load

from minicnn.gradcheck import Report

import checking  # isort: skip

ANSWERS = [lesson_1_answers, lesson_2_answers]
CHECKS = {answers: load(answers.LESSON / "check.py") for answers in ANSWERS}


def verdict_on(answers: ModuleType, task: str, functions: dict, seed: int = 0) -> str:
    """What the check of a task says of the solution with some functions replaced by others; '' if it is content."""
    assert functions.keys() <= vars(answers.solution).keys()
    student = checking.Student(SimpleNamespace(**vars(answers.solution) | functions))
    try:
        getattr(CHECKS[answers], task)(student, np.random.default_rng(seed))
    except checking.Mistake as mistake:
        return str(mistake)
    return ""


def false_verdicts(answers: ModuleType, task: str, seeds: Iterable[int]) -> Iterator[tuple[str, list[int]]]:
    """Of each answer to a task, what it is ("wrong: bias forgotten") and the seeds with which it is called the opposite."""
    with patch.object(CHECKS[answers], "check_function", without_words):
        for title, functions in answers.WRONG[task].items():
            yield f"wrong: {title}", [seed for seed in seeds if not verdict_on(answers, task, functions, seed)]
        for title, functions in ({"the solution": {}} | answers.RIGHT[task]).items():
            yield f"right: {title}", [seed for seed in seeds if verdict_on(answers, task, functions, seed)]


def without_words(*arguments: Any, **options: Any) -> Report:
    """In place of a gradient check, which takes most of the time to find words for what is wrong, and changes no verdict."""
    return Report("", 0.0)


def main() -> int:
    parser = argparse.ArgumentParser(description="Count the false verdicts of the lessons' checkers.")
    parser.add_argument("--seeds", type=int, default=200, help="how many, from 0 (default: %(default)s)")
    parser.add_argument("--tasks", nargs="+", help="only these, by the names of their check functions")
    options = parser.parse_args()
    answers_given = falsely_judged = 0
    for answers in ANSWERS:
        for task in answers.WRONG:
            if options.tasks and task not in options.tasks:
                continue
            for title, false in false_verdicts(answers, task, range(options.seeds)):
                answers_given, falsely_judged = answers_given + 1, falsely_judged + bool(false)
                seeds = f"  with seeds {', '.join(map(str, false[:5]))}{' ...' if len(false) > 5 else ''}" if false else ""
                print(f"{task:<22} {title:<60} {len(false):>4} of {options.seeds} false{seeds}", flush=True)
    print(f"\n{answers_given} answers, {options.seeds} seeds each: {falsely_judged} with a false verdict")
    return 1 if falsely_judged else 0


if __name__ == "__main__":
    sys.exit(main())
