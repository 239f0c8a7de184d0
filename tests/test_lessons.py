"""The exercises of the lessons: their checkers pass the solutions, fail the stubs, and name the usual mistakes.

What is wrong is called wrong, and what is right is called right, whatever the numbers: `lesson_1_answers` and
`lesson_2_answers` have the answers.
"""

import inspect
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import lesson_1_answers
import lesson_2_answers
import numpy as np
import pytest
from lesson_files import LESSONS as FOLDER
from lesson_files import load

import checking  # isort: skip

REPOSITORY = FOLDER.parent
LESSONS = sorted(path for path in FOLDER.glob("[0-9]*") if path.is_dir())
NAMES = [path.name for path in LESSONS]
ANSWERS = [lesson_1_answers, lesson_2_answers]
CHECKS = {answers: load(answers.LESSON / "check.py") for answers in ANSWERS}
TASKS = [pytest.param(answers, task, id=task) for answers in ANSWERS for task in answers.WRONG]
SEEDS = range(3)  # a few are enough: which cases a check has does not depend on the numbers


def run_checker(lesson: Path, *arguments: str | Path) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, str(lesson / "check.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)


def verdict_on(answers, task: str, functions: dict, seed: int = 0) -> str:
    """What the check of a task says of the solution with some functions replaced by others; '' if it is content."""
    assert functions.keys() <= vars(answers.solution).keys()
    student = checking.Student(SimpleNamespace(**vars(answers.solution) | functions))
    try:
        getattr(CHECKS[answers], task)(student, np.random.default_rng(seed))
    except checking.Mistake as mistake:
        return str(mistake)
    return ""


# ---- the form of a lesson


@pytest.mark.parametrize("lesson", LESSONS, ids=NAMES)
def test_a_solution_passes_its_checker(lesson):
    result = run_checker(lesson, lesson / "solution.py")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "WRONG" not in result.stdout and "not done yet" not in result.stdout


@pytest.mark.parametrize("lesson", LESSONS, ids=NAMES)
def test_stubs_fail_their_checker_as_not_done_yet(lesson):
    result = run_checker(lesson)
    assert result.returncode == 1, result.stdout + result.stderr
    assert "passed\n" not in result.stdout and "WRONG" not in result.stdout
    assert result.stdout.count("not done yet") == len(stubs(lesson)[1])
    assert not result.stderr


@pytest.mark.parametrize("lesson", LESSONS, ids=NAMES)
def test_exercise_and_solution_ask_for_the_same_functions(lesson):
    (exercise, _), solution = stubs(lesson), load(lesson / "solution.py")
    for name, function in exercise.items():
        answer = getattr(solution, name)
        assert inspect.signature(answer) == inspect.signature(function)
        assert answer.__doc__ == function.__doc__


@pytest.mark.parametrize("lesson", LESSONS, ids=NAMES)
def test_a_lesson_is_in_percent_cells_and_has_the_files_that_belong_to_it(lesson):
    text = (lesson / "lesson.py").read_text(encoding="utf-8")
    assert text.startswith("# %% [markdown]\n# # Lesson ")
    assert text.count("\n# %%") > 5
    assert {"lesson.py", "exercise.py", "check.py", "solution.py"} <= {path.name for path in lesson.iterdir()}


def stubs(lesson: Path) -> tuple[dict, set[str]]:
    """The exercise's functions by name, and the titles of its tasks ("Lesson 1, task 2") that their stubs raise."""
    module = load(lesson / "exercise.py")
    functions = {n: f for n, f in inspect.getmembers(module, inspect.isfunction) if f.__module__ == module.__name__}
    tasks = set()
    for function in functions.values():
        with pytest.raises(NotImplementedError, match=r"^Lesson \d+, task \d+: ") as caught:
            function(*[None] * len(inspect.signature(function).parameters))
        tasks.add(str(caught.value).split(":")[0])
    return functions, tasks


# ---- answers that end the program, never come, or cannot be stopped


def judge_bad_and_good(folder: Path, answer: str, monkeypatch) -> int:
    """The exit status of a checker of two tasks, the first answered by this statement, the second rightly."""
    (folder / "answers.py").write_text(f"def bad():\n    {answer}\n\n\ndef good():\n    return 1\n")
    monkeypatch.setattr(sys, "argv", ["check.py", str(folder / "answers.py")])
    monkeypatch.setattr(checking, "SECONDS", 0.3)
    tasks = {"bad": lambda student, rng: student.bad(), "good": lambda student, rng: student.good()}
    return checking.main(folder, "Lesson 0", tasks)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("import sys; sys.exit(0)", "exit()"),
        ("while True: pass", "loop that never ends"),
        ("while True:\n        try: 1 / 0\n        except Exception: pass", "loop that never ends"),
        ("import checking; return [][checking.SECONDS]", "TypeError"),
    ],
    ids=["exit", "a loop", "a loop that catches exceptions", "an error"],
)
def test_an_answer_that_ends_the_program_or_never_comes_is_wrong_and_the_other_tasks_are_checked(
    answer, said, tmp_path, monkeypatch, capsys
):
    """An exit with status 0 would be a checker that is content; a loop without an end, one that never is."""
    before, threads = signal.getsignal(signal.SIGINT), threading.active_count()
    assert judge_bad_and_good(tmp_path, answer, monkeypatch) == 1
    printed = capsys.readouterr().out
    assert "WRONG" in printed and "1 of 2 tasks passed" in printed and said in printed
    assert signal.getsignal(signal.SIGINT) is before and threading.active_count() == threads


def test_an_error_of_the_check_itself_ends_its_task_only(tmp_path, monkeypatch, capsys):
    (tmp_path / "answers.py").write_text("def good():\n    return 1\n")
    monkeypatch.setattr(sys, "argv", ["check.py", str(tmp_path / "answers.py")])
    tasks = {"bad": lambda student, rng: student.good() + "", "good": lambda student, rng: student.good()}
    assert checking.main(tmp_path, "Lesson 0", tasks) == 1
    printed = capsys.readouterr().out
    assert "broke off" in printed and "TypeError" in printed and "1 of 2 tasks passed" in printed


def test_ctrl_c_within_the_time_limit_is_still_ctrl_c():
    with pytest.raises(KeyboardInterrupt), checking.time_limit():
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize(
    "endless", ["while True:\n    try: time.sleep(0.01)\n    except BaseException: pass", "time.sleep(60)"]
)
def test_what_cannot_be_interrupted_ends_the_check_with_a_failure(endless):
    body = endless.replace("\n", "\n    ")
    script = f"import time, checking\nchecking.SECONDS = checking.GRACE = 0.3\nwith checking.time_limit():\n    {body}\n"
    environment = os.environ | {"PYTHONPATH": str(FOLDER)}
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, timeout=30)
    assert result.returncode == 1
    assert "no answer within 0.3 seconds" in result.stdout and "cannot be interrupted" in result.stdout


# ---- the checkers know right from wrong, whatever the numbers


@pytest.mark.parametrize(("answers", "task"), TASKS)
def test_wrong_answers_are_rejected_whatever_the_numbers(answers, task):
    accepted = [
        (title, seed)
        for title, functions in answers.WRONG[task].items()
        for seed in SEEDS
        if not verdict_on(answers, task, functions, seed)
    ]
    assert not accepted


@pytest.mark.parametrize(("answers", "task"), TASKS)
def test_right_answers_are_accepted_whatever_the_numbers(answers, task):
    rejected = [
        (title, seed, verdict)
        for title, functions in ({"the solution": {}} | answers.RIGHT[task]).items()
        for seed in SEEDS
        if (verdict := verdict_on(answers, task, functions, seed))
    ]
    assert not rejected


def test_each_task_has_wrong_and_right_answers():
    for answers in ANSWERS:
        number = len(stubs(answers.LESSON)[1])
        assert len(answers.WRONG) == len(answers.RIGHT) == number
        assert answers.WRONG.keys() == answers.RIGHT.keys()


# ---- the checkers name the usual mistakes


@pytest.mark.parametrize(
    ("answers", "task", "title", "words"),
    [
        (lesson_1_answers, "linear", "bias forgotten", "bias forgotten"),
        (lesson_1_answers, "linear", "dw transposed", "transposed"),
        (lesson_1_answers, "linear", "dw a mean over the batch", "batch size"),
        (lesson_1_answers, "linear", "db missing", "3 things"),
        (lesson_1_answers, "relu", "dx without dy", "relu_backward"),
        (lesson_1_answers, "relu", "dx = dy at x = 0", "at x = 0"),
        (lesson_1_answers, "relu", "x changed", "changes its argument"),
        (lesson_1_answers, "relu", "nothing returned", "return"),
        (lesson_1_answers, "relu", "an error", "IndexError"),
        (lesson_1_answers, "softmax", "no shift", "1000"),
        (lesson_1_answers, "softmax", "the largest score of all subtracted", "each sample's own largest score"),
        (lesson_1_answers, "softmax", "sums instead of means", "mean"),
        (lesson_1_answers, "softmax", "gradient not divided by N", "batch size"),
        (lesson_1_answers, "convolution_forward", "filter flipped", "flipped"),
        (lesson_1_answers, "convolution_backward", "dw of a flipped filter", "rotated by 180"),
        (lesson_1_answers, "convolution_backward", "dx not cropped", "not cropped"),
        (lesson_1_answers, "convolution_backward", "dx cropped with [pad:-pad]", "[pad:-pad] takes nothing"),
        (lesson_1_answers, "fault_finding", "r of ones", "at random"),
        (lesson_1_answers, "fault_finding", "always yes", "was called right"),
        (lesson_1_answers, "fault_finding", "always no", "was called faulty"),
        (lesson_2_answers, "codes", "train mode", "eval()"),
        (lesson_2_answers, "standardising", "each by itself", "own mean and std"),
        (lesson_2_answers, "choosing", "by the test part", "test part has a say"),
        (lesson_2_answers, "choosing", "by the training part", "training part"),
        (lesson_2_answers, "choosing", "not trained again", "together"),
        (lesson_2_answers, "choosing", "validation accuracy", "accuracy on the validation part"),
        (lesson_2_answers, "head_and_freeze", "the wrong way round", "wrong way round"),
        (lesson_2_answers, "head_and_freeze", "frozen before, and still", "unfreeze"),
        (lesson_2_answers, "learning_rates", "names that begin alike", "begins like"),
    ],
)
def test_a_usual_mistake_is_named(answers, task, title, words):
    assert words in verdict_on(answers, task, answers.WRONG[task][title])
