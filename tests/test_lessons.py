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

import lesson_1_answers
import lesson_2_answers
import numpy as np
import pytest
from checker_seeds import ANSWERS, false_verdicts, verdict_on
from lesson_files import LESSONS as FOLDER
from lesson_files import load

import checking  # isort: skip
import time_limit  # isort: skip

REPOSITORY = FOLDER.parent
LESSONS = sorted(path for path in FOLDER.glob("[0-9]*") if path.is_dir())
NAMES = [path.name for path in LESSONS]
TASKS = [pytest.param(answers, task, id=task) for answers in ANSWERS for task in answers.WRONG]
SEEDS = range(3)  # a few are enough: which cases a check has does not depend on the numbers


def run_checker(lesson: Path, *arguments: str | Path) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, str(lesson / "check.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)


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


# ---- answers that end the program, never come, cannot be stopped, or change what judges them


def judge_bad_and_good(folder: Path, answer: str, monkeypatch, seconds: float = 30) -> int:
    """The exit status of a checker of two tasks, the first answered by this statement, the second rightly."""
    (folder / "answers.py").write_text(f"import numpy as np\n\n\ndef bad():\n    {answer}\n\n\ndef good():\n    return 1\n")
    monkeypatch.setattr(sys, "argv", ["check.py", str(folder / "answers.py")])
    monkeypatch.setattr(time_limit, "SECONDS", seconds)
    tasks = {"bad": lambda student, rng: student.bad(), "good": lambda student, rng: student.good()}
    return checking.main(folder, "Lesson 0", tasks)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("import sys; sys.exit(0)", "exit()"),
        ("raise GeneratorExit", "GeneratorExit"),
        ("while True: pass", "loop that never ends"),
        ("import time; time.sleep(60)", "loop that never ends"),
        ("while True:\n        try: 1 / 0\n        except Exception: pass", "loop that never ends"),
        ("import checking; return [][len(checking.__name__)]", "IndexError"),
        ("import sys; sys.stdout.close(); return None", "returns nothing"),
        ("import os; os.system('true')", "starts another process"),
        ("import subprocess; subprocess.run(['true'])", "starts another process"),
        ("np.abs = len; return 1", "numpy.abs had been replaced"),
        ("import builtins; builtins.abs = len; return 1", "builtins.abs had been replaced"),
        ("import sys; sys.exit = print; return 1", "sys.exit had been replaced"),
        ("import checking; checking.expect_close = print; return 1", "checking.expect_close had been replaced"),
        ("from minicnn.gradcheck import Report; Report.ok = True; return 1", "Report.ok had been replaced"),
        ("return open('solution.py').read()", "reads solution.py"),
    ],
)
def test_an_answer_that_ends_the_program_never_comes_or_changes_its_judges_is_wrong_and_the_other_tasks_are_checked(
    answer, said, tmp_path, monkeypatch, capsys
):
    """An exit with status 0 would be a checker that is content; a loop without an end, one that never is."""
    before, threads = signal.getsignal(signal.SIGINT), threading.active_count()
    assert judge_bad_and_good(tmp_path, answer, monkeypatch, seconds=0.3 if "never ends" in said else 30) == 1
    printed = capsys.readouterr().out
    assert "WRONG" in printed and "1 of 2 tasks passed" in printed and said in " ".join(printed.split())
    assert signal.getsignal(signal.SIGINT) is before and threading.active_count() == threads
    assert np.abs(-1) == abs(-1) == 1 and callable(sys.exit)


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("import sys; sys.exit(0)", "exit()"),
        ("import numpy; numpy.abs = len", "numpy.abs had been replaced"),
        ("exec(open('solution.py').read())", "reads solution.py"),
        ("def f(:", "cannot read"),
    ],
)
def test_a_file_that_does_so_when_it_is_loaded_is_refused(statement, said, tmp_path, monkeypatch, capsys):
    (tmp_path / "answers.py").write_text(f"{statement}\n\n\ndef good():\n    return 1\n")
    monkeypatch.setattr(sys, "argv", ["check.py", str(tmp_path / "answers.py")])
    assert checking.main(tmp_path, "Lesson 0", {"good": lambda student, rng: student.good()}) == 1
    printed = capsys.readouterr().out
    assert said in " ".join(printed.split()) and "passed" not in printed
    assert np.abs(-1) == 1


def test_an_exit_that_nothing_can_catch_and_a_fork_are_wrong_too(tmp_path):
    """In a process of their own: where they are not held up, they end it, or go on in two."""
    for name, body in {"leaves": "_exit(0)", "forks": "return os.fork() + 1"}.items():
        (tmp_path / f"{name}.py").write_text(f"import os\nfrom os import _exit\n\n\ndef bad():\n    {body}\n")
    script = (
        "import sys, pathlib, checking\nfor name in ('leaves.py', 'forks.py'):\n    sys.argv = ['check.py', name]\n"
        "    print(checking.main(pathlib.Path(), 'Lesson 0', {'bad': lambda student, rng: student.bad()}), flush=True)"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(FOLDER), str(REPOSITORY)])}
    command = [sys.executable, "-c", script]
    result = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, cwd=tmp_path)
    printed = " ".join(result.stdout.split())
    assert printed.count("0 of 1 tasks passed. 1") == 2, result.stdout + result.stderr
    assert "exit()" in printed and "starts another process" in printed


def test_what_an_answer_prints_is_shown_beside_its_verdict_in_a_few_lines(tmp_path, monkeypatch, capsys):
    judge_bad_and_good(tmp_path, "[print('line', i) for i in range(1000)]; return 1", monkeypatch)
    printed = capsys.readouterr().out
    assert "2 of 2 tasks passed" in printed
    assert "line 0" in printed and "997 lines more" in printed and len(printed.splitlines()) < 15


def test_how_an_answer_sets_numpys_errors_is_no_matter_to_the_next_task(tmp_path, monkeypatch, capsys):
    before = np.geterr()
    tasks = {"bad": lambda student, rng: student.bad(), "good": lambda student, rng: student.good() + np.exp(-1000.0)}
    answers = "import numpy as np\n\n\ndef bad():\n    np.seterr(all='raise')\n    return 1\n\n\ndef good():\n    return 1\n"
    (tmp_path / "answers.py").write_text(answers)
    monkeypatch.setattr(sys, "argv", ["check.py", str(tmp_path / "answers.py")])
    assert checking.main(tmp_path, "Lesson 0", tasks) == 0, capsys.readouterr().out
    assert np.geterr() == before


def test_an_error_of_the_check_itself_ends_its_task_only(tmp_path, monkeypatch, capsys):
    (tmp_path / "answers.py").write_text("def good():\n    return 1\n")
    monkeypatch.setattr(sys, "argv", ["check.py", str(tmp_path / "answers.py")])
    tasks = {"bad": lambda student, rng: student.good() + "", "good": lambda student, rng: student.good()}
    assert checking.main(tmp_path, "Lesson 0", tasks) == 1
    printed = capsys.readouterr().out
    assert "broke off" in printed and "TypeError" in printed and "1 of 2 tasks passed" in printed


def test_ctrl_c_within_the_time_limit_is_still_ctrl_c():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in a shell's background is deaf to Ctrl-C
    try:
        with pytest.raises(KeyboardInterrupt), time_limit.time_limit("task 1"):
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    "endless",
    [
        "while True:\n    try: time.sleep(0.01)\n    except BaseException: pass",
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: time.sleep(0.01)",
    ],
    ids=["everything is caught", "interrupts are ignored"],
)
def test_what_cannot_be_interrupted_ends_the_check_with_a_failure(endless):
    body = endless.replace("\n", "\n    ")
    script = (
        "import signal, time, time_limit\ntime_limit.SECONDS = time_limit.GRACE = 0.3\n"
        f"with time_limit.time_limit('task 7'):\n    {body}\n"
    )
    environment = os.environ | {"PYTHONPATH": str(FOLDER)}
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, timeout=30)
    assert result.returncode == 1
    assert "task 7: WRONG, no answer within 0.3 seconds" in result.stdout and "cannot be interrupted" in result.stdout


# ---- the checkers know right from wrong, whatever the numbers


@pytest.mark.parametrize(("answers", "task"), TASKS)
def test_wrong_answers_are_rejected_and_right_ones_accepted_whatever_the_numbers(answers, task):
    assert {title: seeds for title, seeds in false_verdicts(answers, task, SEEDS) if seeds} == {}


def test_each_task_has_wrong_and_right_answers():
    for answers in ANSWERS:
        number = len(stubs(answers.LESSON)[1])
        assert len(answers.WRONG) == len(answers.RIGHT) == number
        assert answers.WRONG.keys() == answers.RIGHT.keys()


def test_a_false_verdict_is_counted(monkeypatch):
    wrong = {"linear": {"the solution, called wrong": {}}}
    monkeypatch.setattr(lesson_1_answers, "WRONG", wrong)
    monkeypatch.setattr(lesson_1_answers, "RIGHT", {"linear": {"no bias": {"linear_forward": lambda x, w, b: x @ w.T}}})
    counted = dict(false_verdicts(lesson_1_answers, "linear", SEEDS))
    everyone = list(SEEDS)
    assert counted == {"wrong: the solution, called wrong": everyone, "right: the solution": [], "right: no bias": everyone}


# ---- the checkers name the usual mistakes


@pytest.mark.parametrize(
    ("answers", "task", "title", "words"),
    [
        (lesson_1_answers, "linear", "bias forgotten", "bias forgotten"),
        (lesson_1_answers, "linear", "dw transposed", "transposed"),
        (lesson_1_answers, "linear", "dw a mean over the batch", "batch size"),
        (lesson_1_answers, "linear", "db missing", "3 things"),
        (lesson_1_answers, "linear", "x of the last forward pass", "what linear_forward() kept"),
        (lesson_1_answers, "linear", "y always the same array", "kept from call to call"),
        (lesson_1_answers, "relu", "dx without dy", "relu_backward"),
        (lesson_1_answers, "relu", "dx = dy at x = 0", "at x = 0"),
        (lesson_1_answers, "relu", "x changed", "changes its argument"),
        (lesson_1_answers, "relu", "nothing returned", "return"),
        (lesson_1_answers, "relu", "an error", "IndexError"),
        (lesson_1_answers, "relu", "x itself if nothing is negative", "or a view of it"),
        (lesson_1_answers, "softmax", "no shift", "1000"),
        (lesson_1_answers, "softmax", "the largest score of all subtracted", "each sample's own largest score"),
        (lesson_1_answers, "softmax", "sums instead of means", "mean"),
        (lesson_1_answers, "softmax", "gradient not divided by N", "batch size"),
        (lesson_1_answers, "convolution_forward", "filter flipped", "flipped"),
        (lesson_1_answers, "convolution_backward", "dw of a flipped filter", "rotated by 180"),
        (lesson_1_answers, "convolution_backward", "dx not cropped", "not cropped"),
        (lesson_1_answers, "convolution_backward", "dx cropped with [pad:-pad]", "[pad:-pad] takes nothing"),
        (lesson_1_answers, "fault_finding", "r of ones", "at random"),
        (lesson_1_answers, "fault_finding", "no difference is large", "NaN is neither larger nor smaller"),
        (lesson_1_answers, "fault_finding", "always yes", "was called right"),
        (lesson_1_answers, "fault_finding", "always no", "was called faulty"),
        (lesson_2_answers, "codes", "train mode", "eval()"),
        (lesson_2_answers, "standardising", "each by itself", "own mean and std"),
        (lesson_2_answers, "codes", "rest thrown away", "another network behind"),
        (lesson_2_answers, "choosing", "the test part in spite of it all", "pictures of the test part"),
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
