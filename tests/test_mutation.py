"""Mutation testing is itself tested: which mutants there are of a small module, and which of them its tests kill."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from mutation import default_tests, describe, module_name, mutants_of

MODULE = '''\
"""Numbers."""


def clip(x: float, most: float = 4.0) -> float:
    """x, but no more than ``most``."""
    if x < 0:
        raise ValueError(f"at least {0}, got {-x}")
    return min(x, most)


def count(n: int) -> int:
    total = 0
    while total < n:
        total += 1
    return total
'''
TESTS = """
from numbers_of_ours import clip, count

def test_clip():
    assert clip(1, 3) == 1 and clip(4, 3) == 3

def test_count():
    assert count(3) == 3
"""


def changes(source):
    """(original line, mutated line) of each mutant."""
    lines = [describe(Path("a.py"), source, mutant).splitlines()[1:] for mutant in mutants_of(source)]
    return {(before.strip(" -"), after.strip().removeprefix("+ ")) for before, after in lines}


@pytest.mark.parametrize(
    ("source", "mutated"),
    [
        ("y = a + b", {"y = a - b"}),
        ("y = (a +\n  b) * c", {"y = (a -", "b) / c"}),
        ("y = a // 2", {"y = a * 2", "y = a // 3"}),
        ("y = -a", {"y = a"}),
        ("y = 0.5, 0.0, True", {"y = 1.0, 0.0, True", "y = 0.5, 1.0, True", "y = 0.5, 0.0, False"}),
        ("y = a <= b < c", {"y = a < b < c", "y = a <= b <= c"}),
        ("y = not a and b is not c", {"y = a and b is not c", "y = not a or b is not c", "y = not a and b is c"}),
        ("y = x[i:j]", {"y = x[(i) + 1:j]", "y = x[i:(j) + 1]"}),
        ("y = np.maximum(a, b)", {"y = np.minimum(a, b)"}),
        ("y = a if b else c", {"y = a if True else c", "y = a if False else c"}),
        ("y = [a for a in b if a]", {"y = [a for a in b if True]", "y = [a for a in b if False]"}),
        ("y += a", {"y -= a", "pass"}),
        ("self.x, y = a", {"pass"}),
        ("print(a)", {"pass"}),
        ("def f(a, *, b=1): return a", {"def f(a, *, b=2): return a", "def f(a, *, b=1): return None"}),
        ("é = 'ü'; y = a + b", {"é = 'ü'; y = a - b"}),
    ],
)
def test_a_mutant_differs_in_one_place(source, mutated):
    assert {after for _, after in changes(source)} == mutated


@pytest.mark.parametrize(
    "source",
    [
        '"""One + 1 = 2."""',
        "x: int | Literal[1]",
        "def f(x: Literal[1]) -> Literal[2]: pass",
        "@cache(1)\nclass A: pass",
        "raise ValueError(1 + 1)",
        "y = 'one' + f'{1 + 1}' + name",
        "if TYPE_CHECKING:\n  x = 1",
        "y = zip(a, b, strict=True)",
    ],
)
def test_texts_annotations_and_decorators_have_no_mutants(source):
    assert changes(source) <= {(source, "pass")}


def test_the_default_tests_a_module_are_found_by_its_name_or_its_packages_or_by_what_they_import(tmp_path):
    (tmp_path / "test_one.py").write_text("from room.two import thing")
    (tmp_path / "test_other.py").write_text("from room import Three")
    names = [
        [path.name for path in default_tests(f"room.{name}", "class Three: pass", tmp_path)] for name in ("one", "two", "x")
    ]
    assert names == [["test_one.py"], ["test_one.py"], ["test_other.py"]]
    assert default_tests("room.x", "", tmp_path) == []
    (tmp_path / "test_room.py").touch()
    assert [path.name for path in default_tests("room.two", "", tmp_path)] == ["test_room.py"]


def test_a_modules_name_begins_with_its_packages(tmp_path):
    inner = tmp_path / "outer" / "inner"
    inner.mkdir(parents=True)
    for folder in (inner, inner.parent):
        (folder / "__init__.py").touch()
    assert module_name(inner / "a.py") == ("outer.inner.a", tmp_path)
    assert module_name(inner / "__init__.py") == ("outer.inner", tmp_path)


@pytest.fixture(scope="module")
def mutated(tmp_path_factory):
    """What the program says about MODULE with TESTS, and about MODULE with tests that it fails."""
    if not hasattr(os, "fork"):
        pytest.skip("mutants run in forks")
    folder = tmp_path_factory.mktemp("mutated")
    (folder / "numbers_of_ours.py").write_text(MODULE)
    (folder / "test_passes.py").write_text(TESTS)
    (folder / "test_fails.py").write_text("from numbers_of_ours import clip\ndef test(): assert clip(1, 3) == 2")

    def run(tests, *options):
        command = [sys.executable, str(Path(__file__).with_name("mutation.py")), "numbers_of_ours.py", "--tests", tests]
        return subprocess.run([*command, *options], cwd=folder, capture_output=True, text=True, check=False)

    with_tests, without = run("test_passes.py", "--jobs", "2", "--seconds", "2"), run("test_fails.py")
    assert (folder / "numbers_of_ours.py").read_text() == MODULE
    return with_tests, without


def test_survivors_are_what_no_test_looks_at(mutated):
    done, _ = mutated
    assert done.returncode == 1, done.stderr
    survivors = set(done.stdout.split("numbers_of_ours.py:")[1:])
    assert (
        "4\n  - def clip(x: float, most: float = 4.0) -> float:\n  + def clip(x: float, most: float = 8.0) -> float:\n"
        in survivors
    )
    assert {survivor.partition("\n")[0] for survivor in survivors} == {
        "4",
        "6",
        "12",
    }  # the default, the error, and a count of 0
    assert "return min(x, most)\n  + return max(x, most)" not in done.stdout  # a failing test kills it
    assert "total += 1\n  + pass" not in done.stdout  # and the time limit a loop without end
    killed, all_of_them, survived = (int(word) for word in done.stdout.split("\n")[-2].split() if word.isdigit())
    assert killed + survived == all_of_them == len(mutants_of(MODULE)) and survived == len(survivors)


def test_tests_that_fail_anyway_say_nothing(mutated):
    _, done = mutated
    assert done.returncode == 1 and "killed" not in done.stdout
    assert "fails its tests as it is" in done.stderr
