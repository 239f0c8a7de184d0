"""The course: its lessons have one form, its checker tells right from wrong and names the mistake, and nothing escapes it."""

import ast
import csv
import inspect
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import minicnn
from minicnn.cli import main
from minicnn.course import Lesson, Mistake, Student, Task, all_lessons, find_lesson
from minicnn.course.check import NOT_DONE, PASSED, WRONG, check_file, judge_functions
from minicnn.course.diagnose import diagnose
from minicnn.course.export import solutions_in
from minicnn.course.isolation import run_isolated
from minicnn.course.lesson import load_module
from minicnn.course.notebook import exercise_notebook, lesson_notebook, write_notebook
from minicnn.course.same import same
from minicnn.course.selftest import corpora, score
from minicnn.course.start import template
from minicnn.course.student import KNOWN_EVERYWHERE
from minicnn.errors import DataError
from minicnn.layers import BatchNorm2d, Linear, Sequential

LESSONS = [*all_lessons(), Lesson(template())]
NAMES = [lesson.folder.name for lesson in LESSONS]
SEEDS = range(1)  # one is enough: which cases a check has does not depend on the numbers
each_lesson = pytest.mark.parametrize("lesson", LESSONS, ids=NAMES)


# ---- the form of a lesson


@each_lesson
def test_a_solution_passes_its_checker(lesson):
    verdicts = list(check_file(lesson, lesson.folder / "solution.py", seed=0))
    assert [(v.title, v.reason) for v in verdicts if v.verdict != PASSED] == []


@each_lesson
def test_stubs_are_not_done_yet(lesson):
    assert {verdict.verdict for verdict in check_file(lesson, lesson.folder / "exercise.py", seed=0)} == {NOT_DONE}


@each_lesson
def test_exercise_and_solution_ask_for_the_same_functions(lesson):
    exercise = functions_of(load_module(lesson.folder / "exercise.py", "exercise"))
    for name, stub in exercise.items():
        answer = getattr(lesson.solution, name)
        assert inspect.signature(answer) == inspect.signature(stub) and answer.__doc__ == stub.__doc__
        with pytest.raises(NotImplementedError, match=rf"^Lesson {lesson.number}, task \d+: {name}$"):
            stub(*[None] * len(inspect.signature(stub).parameters))
    assert sorted(exercise) == sorted(name for task in lesson.tasks for name in task.functions)


def functions_of(module):
    return {n: f for n, f in inspect.getmembers(module, inspect.isfunction) if f.__module__ == module.__name__}


@each_lesson
def test_a_lesson_is_in_cells_says_what_comes_before_and_after_and_claims_what_it_measures(lesson):
    text = (lesson.folder / "lesson.py").read_text(encoding="utf-8")
    assert text.startswith(f"# %% [markdown]\n# # Lesson {lesson.number}. ")
    assert text.count("\n# %%") > 5
    prose = " ".join(line.removeprefix("#").strip() for line in text.splitlines() if line.startswith("#"))
    for part in ("**Before**", "**After**", "## What this lesson claims", "## Questions", "## Further reading", "## Next"):
        assert part in prose
    assert prose.count("<details>") == prose.count("</details>") == 3
    calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    claims = [node.args[0].value for node in calls if isinstance(node.func, ast.Name) and node.func.id == "claim"]
    assert len(claims) >= 4
    assert [sentence for sentence in claims if sentence not in prose] == []


@each_lesson
def test_every_task_has_hints_points_and_named_mistakes(lesson):
    for task in lesson.tasks:
        assert all(task.hints) and len(task.hints) == 3 and task.points >= 1
        assert len({slip.title for slip in task.slips}) >= 6  # several functions may make the same mistake
        assert all(slip.think and set(slip.functions) <= set(task.functions) for slip in task.slips)


# ---- the checker knows right from wrong, whatever the numbers, and names the mistake


@each_lesson
def test_wrong_answers_are_rejected_and_named_and_right_ones_accepted(lesson):
    ((_, answers),) = corpora([lesson])
    found = score(lesson, answers, SEEDS)
    assert (found.caught, found.right_accepted) == (found.planted, found.right_answers), found.misses
    assert found.is_good, found.misses


@each_lesson
def test_each_task_has_wrong_and_right_answers(lesson):
    ((_, answers),) = corpora([lesson])
    numbers = list(range(1, len(lesson.tasks) + 1))
    assert sorted(answers.WRONG) == sorted(answers.RIGHT) == numbers
    assert all(len(answers.WRONG[n]) >= 6 and len(answers.RIGHT[n]) >= 3 for n in numbers)
    for number, task in enumerate(lesson.tasks, start=1):
        titles = {slip.title for slip in task.slips} | set(KNOWN_EVERYWHERE)
        assert {slip for _, _, slip in answers.WRONG[number] if slip} <= titles


# ---- a small lesson, to see what the checker does with answers


STUBS = """
def double(x):
    raise NotImplementedError("Lesson 99, task 1: double")


def mean(x):
    raise NotImplementedError("Lesson 99, task 2: mean")
"""
SOLUTION = "def double(x):\n    return 2 * x\n\n\ndef mean(x):\n    return x.sum() / len(x)\n"
TASKS = """
import numpy as np
import solution
from minicnn.course import Mistake, Slip, Task
from minicnn.course.expect import expect_close, expect_number


def doubled(student, rng):
    x = rng.standard_normal(4)
    expect_close("y", student.double(x), 2 * x)


def averaged(student, rng):
    x = rng.standard_normal(5)
    expect_close("mean", expect_number("mean", student.mean(x)), x.mean())


TASKS = [
    Task("double", doubled, ("double",), (
        Slip("it is halved", "Which way round?", {"double": lambda x: x / 2}, where=r"/"),
        Slip("it is squared", "Try x = 3.", {"double": lambda x: x**2}),
    ), ("look", "think", "write"), points=2),
    Task("mean", averaged, ("mean",), (Slip("it is the sum", "Of how many?", {"mean": lambda x: x.sum()}),), ("a", "b", "c")),
]
FINALE = None
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lessons") / "99_small"
    folder.mkdir()
    for name, text in (("exercise", STUBS), ("solution", SOLUTION), ("tasks", TASKS), ("lesson", "# # Lesson 99. Small\n")):
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    return Lesson(folder)


def verdicts_on(small, tmp_path, double="return 2 * x", mean="return x.mean()", head="import numpy as np"):
    """The two verdicts on these two answers."""
    file = tmp_path / "answers.py"
    file.write_text(f"{head}\n\n\ndef double(x):\n    {double}\n\n\ndef mean(x):\n    {mean}\n", encoding="utf-8")
    return list(check_file(small, file, seed=0))


@pytest.mark.parametrize("double", ["return 2 * x", "return x + x", "return [2 * number for number in x]"])
@pytest.mark.parametrize("mean", ["return x.mean()", "return float(sum(x) / 5)", "return np.array(x.mean(), np.float32)"])
def test_right_answers_pass_with_their_points_in_any_reasonable_form(double, mean, small, tmp_path):
    assert [(v.verdict, v.points) for v in verdicts_on(small, tmp_path, double, mean)] == [(PASSED, 2), (PASSED, 1)]


def test_a_known_mistake_is_named_with_its_line_and_not_given_away(small, tmp_path):
    first, second = verdicts_on(small, tmp_path, "y = x\n    return y / 2.0")
    assert (first.verdict, first.points, first.diagnosis) == (WRONG, 0, "it is halved")
    assert "Look at line 6: `return y / 2.0`" in first.think and "Which way round?" in first.think
    assert second.verdict == PASSED


def test_the_line_named_is_a_statement_and_no_signature_docstring_or_comment(small, tmp_path):
    file = tmp_path / "answers.py"
    double = 'def double(\n    x,\n    /,\n):\n    """Not x / 2."""\n    y = x  # nor y / 2\n    return y / 2\n'
    file.write_text(f"{double}\n\ndef mean(x):\n    return x.mean()\n", encoding="utf-8")
    first, _ = check_file(small, file, seed=0)
    assert "Look at line 7: `return y / 2`" in first.think


def test_an_unknown_mistake_is_described_and_has_no_name(small, tmp_path):
    first, _ = verdicts_on(small, tmp_path, "return 3 * x")
    assert first.verdict == WRONG and first.diagnosis == "" and "4 of 4 values of y are wrong" in first.reason


def test_a_mistake_explains_all_calls_or_none(small):
    """Twice the number is its square for x = 2 alone: another call tells them apart."""
    task, solution = small.tasks[0], vars(small.solution)
    student = Student({"double": lambda x: x**2 if np.all(x == 2) else 3 * x})
    for x in (np.full(3, 2.0), np.full(3, 5.0)):
        student.double(x)
    assert diagnose(student.calls, {"double": solution["double"]}, task.slips, {}) is None


# ---- answers that end the program, never come, cannot be stopped, or change what judges them


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("import sys; sys.exit(0)", "exit()"),
        ("import os; os._exit(0)", "exit()"),
        ("raise GeneratorExit", "GeneratorExit"),
        ("return x.this_is_missing", "AttributeError in line 5"),
        ("return np.ones(1 << 40)", "more memory than a task may have"),
        ("return [bytearray(1 << 30) for _ in range(20)]", "more memory than a task may have"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV"),
        ("import os; os.system('true')", "starts another process"),
        ("import os; return os.fork() + x", "starts another process"),
        ("import subprocess; subprocess.run(['true'])", "starts another process"),
        ("np.abs = len; return 2 * x", "numpy.abs had been replaced"),
        ("import builtins; builtins.abs = len; return 2 * x", "builtins.abs had been replaced"),
        ("import sys; sys.exit = print; return 2 * x", "sys.exit had been replaced"),
        ("import minicnn.course.expect as e; e.expect_close = print; return 2 * x", "expect_close had been replaced"),
        ("from minicnn.gradcheck import Report; Report.ok = True; return 2 * x", "Report.ok had been replaced"),
        ("return open('solution.py').read()", "reads solution.py"),
        ("return input()", "EOFError"),
        ("import sys; sys.stdout.close(); return None", "returns nothing"),
        ("x *= 2; return x", "changes its argument"),
        ("return x[:]", "a view of it"),
        ("return [2 * x, 1]", "a list of 2 that is none"),
    ],
)
def test_an_answer_that_breaks_out_costs_its_own_task_only(answer, said, small, tmp_path):
    first, second = verdicts_on(small, tmp_path, answer)
    assert first.verdict == WRONG and said in first.reason
    assert second.verdict == PASSED
    assert np.abs(-1) == abs(-1) == 1 and callable(sys.exit)


@pytest.mark.parametrize(
    "endless",
    [
        "while True: pass",
        "import time; time.sleep(60)",
        "while True:\n        try: 1 / 0\n        except BaseException: pass",
        "import signal\n    signal.signal(signal.SIGINT, signal.SIG_IGN)\n    while True: pass",
        "while True: print('again and again')",
    ],
)
def test_a_loop_that_never_ends_costs_its_own_task_only(endless, small, tmp_path, monkeypatch):
    monkeypatch.setattr("minicnn.course.isolation.SECONDS", 1.0)
    first, second = verdicts_on(small, tmp_path, endless)
    assert first.verdict == WRONG and "loop that never ends" in first.reason and second.verdict == PASSED


@pytest.mark.parametrize(
    ("head", "said"),
    [
        ("import sys; sys.exit(0)", "exit()"),
        ("import numpy as np; np.abs = len", "numpy.abs had been replaced"),
        ("exec(open('solution.py').read())", "reads solution.py"),
        ("def f(:", "cannot read"),
        ("1 / 0", "ZeroDivisionError in line 1"),
    ],
)
def test_a_file_that_does_so_when_it_is_loaded_is_refused(head, said, small, tmp_path):
    for verdict in verdicts_on(small, tmp_path, head=head):
        assert verdict.verdict == WRONG and said in verdict.reason


def test_what_a_checks_own_object_raises_in_an_answer_is_said(tmp_path):
    folder = tmp_path / "98_calls"
    folder.mkdir()
    tasks = """
from minicnn.course import Task


def layer(x):
    raise ValueError("a layer takes floats")


TASKS = [Task("calls", lambda student, rng: student.call(layer), ("call",))]
FINALE = None
"""
    stub = 'def call(layer):\n    raise NotImplementedError("Lesson 98, task 1: call")\n'
    for name, text in (("tasks", tasks), ("exercise", stub), ("solution", stub), ("lesson", "# # Lesson 98. Calls\n")):
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    answer = tmp_path / "answer.py"
    answer.write_text("def call(layer):\n    return layer(1)\n", encoding="utf-8")
    (verdict,) = check_file(Lesson(folder), answer, seed=0)
    assert verdict.reason == "call() raised ValueError in line 2, `return layer(1)`: a layer takes floats"


def test_what_an_answer_prints_is_kept_in_a_few_lines(small, tmp_path):
    first, _ = verdicts_on(small, tmp_path, "[print('line', i) for i in range(1000)]; return 2 * x")
    assert first.verdict == PASSED
    assert first.printed.splitlines() == ["line 0", "line 1", "line 2", "... and 997 lines more"]


def test_how_an_answer_sets_numpys_errors_is_no_matter_to_the_next_task(small, tmp_path):
    assert [v.verdict for v in verdicts_on(small, tmp_path, "np.seterr(all='raise'); return 2 * x")] == [PASSED, PASSED]


def test_an_error_of_the_check_itself_is_said_to_be_one():
    task = Task("broken", lambda student, rng: student.f(1) + "", ("f",))
    assert "broke off" in judge_functions(task, {}, {"f": lambda x: x}).reason


def test_a_missing_function_is_not_done_yet():
    task = Task("f", lambda student, rng: student.f(1), ("f",))
    verdict = judge_functions(task, {}, {})
    assert verdict.verdict == NOT_DONE and "no function f()" in verdict.reason


def test_an_array_kept_from_call_to_call_is_noticed():
    kept = np.zeros(3)
    student = Student({"f": lambda x: np.add(kept, x, out=kept)})
    student.f(np.ones(3))
    with pytest.raises(Mistake, match="kept from call to call"):
        student.f(np.ones(3))


def test_what_runs_alone_gives_its_answer_and_its_failure():
    assert run_isolated(divmod, 7, 2).answer == (3, 1)
    started = time.monotonic()
    assert "within 0.2 seconds" in run_isolated(time.sleep, 30, seconds=0.2).failure
    assert time.monotonic() - started < 5


# ---- the same answer


def test_answers_are_the_same_up_to_rounding_and_containers():
    x = np.arange(6.0).reshape(2, 3)
    assert same((x, 1), [x + 1e-9, np.int64(1)]) and same({"a": x}, {"a": x.astype(np.float32)})
    assert same(np.array([np.nan, np.inf]), np.array([np.nan, np.inf])) and same(1.0, np.array(1.0))
    assert not same(x, x.T) and not same(x, x + 0.1) and not same(x, None) and not same((x,), (x, x))
    assert same([True, False], np.array([True, False])) and not same([1, 0], np.array([True, False]))
    assert same([[0, 1, 2], [3, 4, 5]], x) and not same([[0, 1], [2]], x)
    assert not same(True, 1) and not same(1e-12, 1.1e-12) and not same({"a": 1}, {"b": 1})
    assert same(ValueError("a"), ValueError("b")) and not same(ValueError(), 0)


def test_networks_are_the_same_if_all_that_can_be_set_is():
    def network():
        return Sequential(fc=Linear(3, 2, rng=0), norm=BatchNorm2d(2))

    assert same(network(), network())
    changes = [
        lambda net: net.freeze(),
        lambda net: net.eval(),
        lambda net: net.layers["fc"].w.value.__imul__(2),
        lambda net: net.layers["norm"].running_mean.__iadd__(1),
        lambda net: setattr(net.layers["fc"].b, "learning_rate_multiplier", 0.1),
        lambda net: net.append("more", Linear(2, 2)),
    ]
    for change in changes:
        other = network()
        change(other)
        assert not same(network().train(), other.train() if change is not changes[1] else other)


# ---- the commands


def test_lessons_are_found_by_number_name_and_file(tmp_path):
    second = find_lesson("2")
    assert second.number == 2 and find_lesson("backprop") == second == find_lesson(second.folder.name)
    assert find_lesson(str(second.folder / "exercise.py")) == second
    mine = tmp_path / "mine.py"
    mine.write_text('"""Lesson 2, exercise: my answers."""\n')
    assert find_lesson(str(mine)) == second
    for word, said in (("99", "is no lesson"), ("nothing.py", "there is no file"), ("zzz", "is no lesson")):
        with pytest.raises(DataError, match=said):
            find_lesson(word)


def test_check_prints_verdicts_and_writes_json(tmp_path, capsys):
    lesson, target = find_lesson("2"), tmp_path / "result.json"
    status = main(["check", str(lesson.folder / "solution.py"), "--task", "2", "--seed", "5", "--json", str(target)])
    printed = capsys.readouterr().out
    assert status == 0 and "1 of 1 tasks passed" in printed and "--seed 5" in printed
    content = json.loads(target.read_text())
    assert content["points"] == content["possible"] > 0 and content["tasks"][0]["verdict"] == PASSED


def test_stubs_are_told_how_to_begin(capsys):
    assert main(["check", "2", "--task", "1"]) == 1
    printed = capsys.readouterr().out
    assert "not done yet" in printed and "minicnn check 2 --task 1 --hint" in printed


def test_hints_come_one_after_another(capsys):
    hints = find_lesson("2").tasks[0].hints
    for step in (1, 2, 3):
        assert main(["check", "2", "--task", "1", "--hint", str(step)]) == 0
        printed = " ".join(capsys.readouterr().out.split())
        shown = [" ".join(text.split()) in printed for text in hints]
        assert shown == [i < step for i in range(3)] and (f"--hint {step + 1}" in printed) == (step < 3)


def test_lessons_are_listed_with_what_is_done(tmp_path, monkeypatch, capsys):
    def listed():
        assert main(["lessons"]) == 0
        printed = capsys.readouterr().out
        assert all(lesson.title in printed for lesson in all_lessons())
        (line,) = [line for line in printed.splitlines() if find_lesson("2").title in line]
        return line.partition(find_lesson("2").title)[2].strip()

    lesson = find_lesson("2")
    assert main(["course", "start", str(tmp_path)]) == 0
    monkeypatch.chdir(tmp_path)
    mine = tmp_path / lesson.folder.name / "exercise.py"
    assert listed() == "not begun"
    solution = (lesson.folder / "solution.py").read_text(encoding="utf-8")
    mine.write_text(solution, encoding="utf-8")
    assert listed() == "begun, not checked yet"
    for task in ("1", "2"):
        assert main(["check", "2", "--task", task]) == 0
    capsys.readouterr()
    assert listed() == f"2 of {len(lesson.tasks)} tasks passed"
    mine.write_text(solution.replace("x @ w.T + b", "x @ w.T - b"), encoding="utf-8")
    assert listed() == f"2 of {len(lesson.tasks)} tasks passed when it was last checked, changed since"
    assert main(["check", "2", "--task", "1"]) == 1
    capsys.readouterr()
    assert listed() == f"1 of {len(lesson.tasks)} tasks passed"
    mine.write_text("def linear_forward(:", encoding="utf-8")
    assert "changed since" in listed()


def test_without_a_lesson_all_that_is_begun_is_checked(small, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MINICNN_LESSONS", str(small.folder.parent))
    monkeypatch.chdir(tmp_path)
    assert main(["course", "start", str(tmp_path)]) == 0
    assert main(["check"]) == 1 and "no exercise has been begun" in capsys.readouterr().out
    mine = tmp_path / "99_small" / "exercise.py"
    mine.write_text(SOLUTION, encoding="utf-8")
    assert main(["check", "--json", str(tmp_path / "all.json")]) == 0
    printed = capsys.readouterr().out
    assert "1 exercise: 3 of 3 points" in printed and "Lesson 1," not in printed
    content = json.loads((tmp_path / "all.json").read_text())
    assert (content["points"], content["possible"], len(content["lessons"])) == (3, 3, 1)
    assert main(["check", "--task", "1"]) == 1 and "are about one lesson" in capsys.readouterr().err
    monkeypatch.chdir(mine.parent)
    assert main(["check", "--task", "1"]) == 0 and "1 of 1 tasks passed" in capsys.readouterr().out


def test_a_course_is_unpacked_without_solutions_and_never_over_somebodys_work(tmp_path, capsys):
    assert main(["course", "start", str(tmp_path / "mine")]) == 0
    files = sorted(path.name for path in (tmp_path / "mine").rglob("*") if path.is_file())
    assert set(files) == {"exercise.py", "lesson.py"} and len(files) == 2 * len(all_lessons())
    work = tmp_path / "mine" / NAMES[0] / "exercise.py"
    work.write_text("# mine\n")
    assert main(["course", "start", str(tmp_path / "mine")]) == 0
    assert work.read_text() == "# mine\n"


def test_what_there_is_not_is_said(capsys):
    assert main(["check", "99"]) == 1 and "is no lesson" in capsys.readouterr().err
    assert main(["check", "2", "--task", "99"]) == 1 and "has tasks 1 to" in capsys.readouterr().err


def test_the_checker_answers_at_once():
    """A check is something to be run after every line."""
    command = [sys.executable, "-m", "minicnn", "check", "2", "--task", "2"]
    assert subprocess.run(command, capture_output=True, timeout=60).returncode == 1


# ---- for teachers


def test_an_edition_for_students_has_lessons_and_stubs_and_no_solution(tmp_path, capsys):
    folder = tmp_path / "edition"
    assert main(["course", "export", str(folder)]) == 0
    names = {path.name for path in folder.rglob("*") if path.is_file()}
    assert names == {"README.md", "lesson.py", "exercise.py"}
    assert main(["course", "export", str(folder)]) == 1 and "is not empty" in capsys.readouterr().err


def test_a_solution_in_an_edition_is_noticed(tmp_path):
    assert list(solutions_in([])) == []
    for lesson in all_lessons():
        copied = tmp_path / lesson.folder.name / "exercise.py"
        copied.parent.mkdir()
        copied.write_text((lesson.folder / "solution.py").read_text(encoding="utf-8"), encoding="utf-8")
        found = list(solutions_in([copied]))
        assert any("is written out" in text for text in found) and any("has the solution of" in text for text in found)
    pytest.importorskip("jupytext")
    notebook = exercise_notebook(LESSONS[0])
    write_notebook(notebook, tmp_path / "exercise.ipynb")
    assert list(solutions_in([tmp_path / "exercise.ipynb"])) == []
    notebook.cells[3]["source"] = (LESSONS[0].folder / "solution.py").read_text(encoding="utf-8")
    write_notebook(notebook, tmp_path / "exercise.ipynb")
    assert len(list(solutions_in([tmp_path / "exercise.ipynb"]))) > 1
    tasks = tmp_path / "tasks.py"
    tasks.write_text("")
    assert list(solutions_in([tasks])) == [f"{tasks} is not for students"]


def submission(folder, student, lesson, text):
    file = folder / student / lesson.folder.name / "exercise.py"
    file.parent.mkdir(parents=True)
    file.write_text(text, encoding="utf-8")


def test_submissions_are_graded_and_copies_noticed(tmp_path, capsys):
    lesson = find_lesson("2")
    solution, stubs = ((lesson.folder / name).read_text(encoding="utf-8") for name in ("solution.py", "exercise.py"))
    submission(tmp_path, "ada", lesson, solution)
    submission(tmp_path, "bob", lesson, solution.replace("dscores", "gradient"))
    submission(tmp_path, "cyd", lesson, stubs)
    assert main(["course", "grade", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "alike: ada and bob" in printed and "cyd and" not in printed
    rows = list(csv.DictReader((tmp_path / "grades.csv").read_text(encoding="utf-8").splitlines()))
    full = [(row["student"], row["points"] == row["possible"]) for row in rows]
    assert full == [
        ("ada", True),
        ("bob", True),
        ("cyd", False),
    ]
    assert rows[2]["points"] == "0" and rows[2]["task 1"] == NOT_DONE and rows[0]["alike"] == "bob"
    assert "<table>" in (tmp_path / "grades.html").read_text(encoding="utf-8")
    (tmp_path / "empty").mkdir()
    assert main(["course", "grade", str(tmp_path / "empty")]) == 1


def test_submitted_notebooks_are_graded(tmp_path, capsys):
    pytest.importorskip("jupytext")
    lesson = find_lesson("2")
    notebook = exercise_notebook(lesson)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    file = tmp_path / "ada" / lesson.folder.name / "exercise.ipynb"
    file.parent.mkdir(parents=True)
    code[1]["source"] = "%matplotlib inline\n" + (lesson.folder / "solution.py").read_text(encoding="utf-8")
    for cell in code[3::2]:
        cell["source"] = "!pip list"
    write_notebook(notebook, file)
    assert main(["course", "grade", str(tmp_path)]) == 0
    (row,) = csv.DictReader((tmp_path / "grades.csv").read_text(encoding="utf-8").splitlines())
    assert row["student"] == "ada" and row["points"] == row["possible"]
    assert main(["check", str(file), "--task", "1"]) == 0
    file.write_text("no JSON")
    assert main(["check", str(file), "--task", "1"]) == 1
    assert "no notebook that can be read" in capsys.readouterr().err


def test_an_edition_in_notebooks_runs(tmp_path, monkeypatch):
    """All are converted; of these one lesson and one exercise run."""
    monkeypatch.setenv("MINICNN_LESSONS", str(template().parent))
    jupytext, nbclient = pytest.importorskip("jupytext"), pytest.importorskip("nbclient")
    lesson, folder = Lesson(template()), tmp_path / "edition"
    assert main(["course", "export", str(folder), "--notebooks"]) == 0
    assert {path.name for path in folder.glob("*/*.ipynb")} == {"lesson.ipynb", "exercise.ipynb"}
    for notebook, printed in (
        (lesson_notebook(lesson.folder / "lesson.py"), "holds"),
        (exercise_notebook(lesson), "not done yet"),
    ):
        nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
        assert printed in jupytext.writes(notebook, fmt="ipynb")


def test_a_lesson_of_ones_own_begins_with_one_that_works(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "own" / "42_my_lesson"
    assert main(["course", "new", str(folder)]) == 0 and "minicnn check 42" in capsys.readouterr().out
    monkeypatch.setenv("MINICNN_LESSONS", str(folder.parent))
    assert find_lesson("42").folder == folder and "99" not in (folder / "exercise.py").read_text(encoding="utf-8")
    assert main(["check", str(folder / "solution.py"), "--task", "1"]) == 0
    assert main(["check", str(folder / "exercise.py")]) == 1
    assert main(["course", "selftest", "--lesson", "42", "--seeds", "1"]) == 0
    capsys.readouterr()
    for name, said in (("own/42_my_lesson", "is there already"), ("own/mine", "is called NN_name"), ("own/1_x", "NN_name")):
        assert main(["course", "new", str(tmp_path / name)]) == 1 and said in capsys.readouterr().err
    begun = tmp_path / "twice" / "42_again"
    assert main(["course", "new", str(begun)]) == 0
    monkeypatch.setenv("MINICNN_LESSONS", f"{folder.parent}{os.pathsep}{begun.parent}")
    assert main(["lessons"]) == 1 and "are both lesson 42" in capsys.readouterr().err
    monkeypatch.setenv("MINICNN_LESSONS", str(tmp_path))
    assert main(["lessons"]) == 1 and "has no lesson" in capsys.readouterr().err


def test_a_cell_of_a_notebook_is_checked(capsys):
    lesson = find_lesson("2")
    assert minicnn.check("2.2", vars(lesson.solution)) and minicnn.check("relu_forward", vars(lesson.solution))
    assert not minicnn.check("relu_forward", {"relu_forward": np.abs})
    assert "That is |x|" in capsys.readouterr().out
    namespace = {"minicnn": minicnn, **{name: getattr(lesson.solution, name) for name in ("relu_forward", "relu_backward")}}
    exec("result = minicnn.check('2.2')", namespace)
    assert namespace["result"] is True
    assert not minicnn.check("2", {"relu_forward": np.abs}, seed=1)
    printed = capsys.readouterr().out
    assert "Lesson 2, seed 1" in printed and printed.count("not done yet") == len(lesson.tasks) - 1
    for word in ("2.99", "no_such_function", "0.1", "99", "2.", ".2"):
        with pytest.raises(DataError, match="is no task"):
            minicnn.check(word)


def test_a_lesson_that_is_passed_in_a_notebook_ends_as_in_a_file(small, tmp_path, monkeypatch):
    """What trains a network at the end gets the notebook's functions."""
    trained = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINICNN_LESSONS", str(small.folder.parent))
    monkeypatch.setattr(
        Lesson, "finale", property(lambda lesson: lambda functions, folder: trained.append((functions, folder)))
    )
    right = {"double": lambda x: 2 * x, "mean": np.mean}
    assert minicnn.check("99.1", right) and not minicnn.check("99", right | {"mean": np.sum}) and trained == []
    assert minicnn.check("99", right)
    ((functions, folder),) = trained
    assert functions["double"] is right["double"] and folder.is_dir()


# ---- the pages about the course


PAGES = Path(__file__).resolve().parents[1] / "lessons"


def claims_of(lesson):
    """The sentences that a lesson measures something for."""
    tree = ast.parse((lesson.folder / "lesson.py").read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "claim"]
    return {call.args[0].value for call in calls}


def test_every_subject_of_the_curriculum_has_a_lesson_and_a_claim_that_is_measured_there():
    page = (PAGES / "README.md").read_text(encoding="utf-8").partition("## What the course covers")[2]
    rows = [line.strip("|").split("|") for line in page.splitlines() if line.startswith("| ")]
    rows = [[cell.strip() for cell in row] for row in rows if row[1].strip().startswith("[")]
    assert len(rows) >= 32
    measured = {lesson.number: claims_of(lesson) for lesson in all_lessons()}
    covered = set()
    for _, link, claim in rows:
        number, file = re.fullmatch(r"\[(\d+)\]\((.+)\)", link).groups()
        assert (PAGES / file).is_file() and int(file[:2]) == int(number), link
        assert claim in measured[int(number)], f"lesson {number} does not claim: {claim}"
        covered.add(int(number))
    assert covered == set(measured)


def test_every_lesson_is_on_the_page_of_the_course():
    page = (PAGES / "README.md").read_text(encoding="utf-8")
    for lesson in all_lessons():
        assert f"| {lesson.number} | [{lesson.title}]({lesson.folder.name}/lesson.py) |" in page


def test_every_term_of_the_glossary_stands_in_the_lesson_that_introduces_it():
    page = (PAGES / "glossary.md").read_text(encoding="utf-8")
    entries = re.findall(r"^- \*\*(.+?)\*\* \(\[lesson (\d+)\]\((.+?)\)\): (.+)$", page, re.MULTILINE)
    terms = [entry[0] for entry in entries]
    assert len(terms) >= 100 and terms == sorted(terms, key=str.lower) and len(set(terms)) == len(terms)
    assert len(entries) == page.count("\n- ")
    for term, number, file, _ in entries:
        lesson = find_lesson(number)
        assert file == f"{lesson.folder.name}/lesson.py"
        text = (lesson.folder / "lesson.py").read_text(encoding="utf-8")
        words = " ".join(line.strip("# ") for line in text.splitlines()).replace("*", "").lower()
        assert term.lower() in words, f"{term} is not in lesson {number}"
