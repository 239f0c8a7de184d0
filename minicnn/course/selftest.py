"""How good the checker is, measured: answers that are known to be wrong or right, and what it says of them.

The corpus has a file ``lesson_NN_answers.py`` for each lesson, with ``WRONG[task number]``, a list of (title, functions, name
of the mistake that it is, or None), and ``RIGHT[task number]``, a list of (title, functions). The functions take
the place of the solution's. It stands in the repository, ``tests/course``, and is no part of an installation; a lesson of one's
own has it beside its other files, as ``answers.py``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from ..cache import write_bytes
from ..errors import DataError
from .check import PASSED, WRONG, judge_functions
from .lesson import Lesson, all_lessons, find_lesson, load_module

CORPUS = Path(__file__).resolve().parents[2] / "tests" / "course"
COUNTS = ("planted", "caught", "diagnosed", "misdiagnosed", "right_answers", "right_accepted")


@dataclass
class Score:
    """Counts over answers and seeds, and the misses by name.

    ``diagnosed`` counts wrong answers that were named as the mistake that they are, ``misdiagnosed`` those that were named as
    another.
    """

    planted: int = 0
    caught: int = 0
    diagnosed: int = 0
    misdiagnosed: int = 0
    right_answers: int = 0
    right_accepted: int = 0
    misses: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        """Whether no right answer is rejected, nearly all wrong ones are caught, most are named, and hardly one wrongly."""
        return (
            self.right_accepted == self.right_answers
            and self.caught >= 0.98 * self.planted
            and self.diagnosed >= 0.9 * self.planted
            and self.misdiagnosed <= 0.02 * self.planted
        )

    def counts(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in COUNTS}

    def add(self, other: Score) -> None:
        for name, count in other.counts().items():
            setattr(self, name, getattr(self, name) + count)
        self.misses += other.misses


def score(lesson: Lesson, answers: object, seeds: Iterable[int]) -> Score:
    """What the checker of a lesson says of all answers to it, with each of the seeds."""
    total = Score()
    for number in answers.WRONG:
        for seed in seeds:
            total.add(_score_of_task(lesson, answers, number, seed))
    total.misses = list(dict.fromkeys(total.misses))
    return total


def _score_of_task(lesson: Lesson, answers: object, number: int, seed: int) -> Score:
    task, solution, counts = lesson.task(number), vars(lesson.solution), Score()
    place = f"lesson {lesson.number}, task {number}"
    for title, functions, slip in answers.WRONG[number]:
        verdict = judge_functions(task, solution, {**solution, **functions}, number, seed)
        counts.planted += 1
        counts.caught += verdict.verdict == WRONG
        counts.diagnosed += slip is not None and verdict.diagnosis == slip
        counts.misdiagnosed += bool(verdict.diagnosis) and verdict.diagnosis != slip
        if verdict.verdict != WRONG:
            counts.misses.append(f"{place}: not caught: {title}")
        elif slip is None or verdict.diagnosis != slip:
            said = f"named {verdict.diagnosis!r}" if verdict.diagnosis else "not named"
            counts.misses.append(f"{place}: {title}: {said}" + (f", is {slip!r}" if slip else ""))
    for title, functions in [("the solution", {}), *answers.RIGHT[number]]:
        verdict = judge_functions(task, solution, {**solution, **functions}, number, seed)
        counts.right_answers += 1
        counts.right_accepted += verdict.verdict == PASSED
        if verdict.verdict != PASSED:
            counts.misses.append(f"{place}: right answer rejected: {title}: {verdict.reason}")
    return counts


def corpora(lessons: Iterable[Lesson]) -> Iterator[tuple[Lesson, object]]:
    """Each lesson with its corpus.

    Raises
    ------
    DataError
        If there is none: an installation does not have it.
    """
    for lesson in lessons:
        own, file = lesson.folder / "answers.py", CORPUS / f"lesson_{lesson.number:02}_answers.py"
        file = own if own.exists() else file
        if not file.exists():
            raise DataError(f"there is no {file}: the corpus is in the repository only, not in an installation")
        yield lesson, load_module(file, file.stem)


def selftest(word: str | None, seeds: int, target: Path | None) -> int:
    """Print the score of each lesson and of all, and the misses by name; returns 0 where every lesson is good enough."""
    lessons = [find_lesson(word)] if word else all_lessons()
    print(f"{'':<34}" + "".join(f"{name:>16}" for name in COUNTS))
    total, rows, status = Score(), {}, 0
    for lesson, answers in tqdm(list(corpora(lessons)), unit=" lessons", delay=2, leave=False, file=sys.stderr):
        found = score(lesson, answers, range(seeds))
        rows[lesson.folder.name] = found.counts()
        tqdm.write(_row(lesson.folder.name, found), file=sys.stdout)
        total.add(found)
        status = status if found.is_good else 1
    print(_row("all", total))
    for miss in total.misses:
        print(miss)
    if target:
        rows["all"] = total.counts() | {"misses": total.misses}
        write_bytes(target, json.dumps(rows, indent=1).encode() + b"\n")
    return status


def _row(title: str, counts: Score) -> str:
    return f"{title:<34}" + "".join(f"{getattr(counts, name):>16,}" for name in COUNTS)
