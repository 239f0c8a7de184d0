"""A call with many positional arguments cannot be read: beyond eight, arguments have names."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import minicnn

PACKAGE = Path(minicnn.__file__).parent
MOST = 8  # positional parameters, without self
COMPILED = {"loop", "sum_loop", "inlined", "intrinsic"}  # Numba's functions are handed arrays and numbers one by one


def too_long(source: str) -> Iterator[str]:
    """The functions with more positional parameters than that: their name, line, and how many there are."""
    tree = ast.parse(source)
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and _name(node) == "lower_builtin"]
    intrinsics = {_name(call.args[0]) for call in calls}  # compiled to instructions that stand elsewhere in the file
    for function in ast.walk(tree):
        if (
            not isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef))
            or COMPILED & set(map(_name, function.decorator_list))
            or function.name in intrinsics
        ):
            continue
        names = [argument.arg for argument in function.args.posonlyargs + function.args.args]
        count = len(names) - (names[:1] in (["self"], ["cls"]))
        if count > MOST:
            yield f"{function.name} in line {function.lineno}: {count}"


def _name(decorator: ast.expr) -> str:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")


def test_functions_have_eight_positional_parameters_at_most():
    found = {str(path.relative_to(PACKAGE)): list(too_long(path.read_text(encoding="utf-8"))) for path in PACKAGE.rglob("*.py")}
    assert not {path: functions for path, functions in found.items() if functions}, "let the others be keyword-only"


def test_a_function_with_nine_would_be_found():
    nine, eight = ", ".join("abcdefghi"), ", ".join("abcdefgh")
    assert list(too_long(f"def f({nine}): pass")) == ["f in line 1: 9"]
    assert list(too_long(f"class A:\n    def f(self, {nine}): pass")) == ["f in line 2: 9"]
    for allowed in (
        f"def f({eight}, *, i, j): pass",
        f"class A:\n    def f(self, {eight}): pass",
        f"@loop\ndef f({nine}): pass",
        f"def f({nine}): pass\n@lower_builtin(f, int)\ndef _f(): pass",
    ):
        assert not list(too_long(allowed))
