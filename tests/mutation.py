"""Mutation testing: which mistakes in a module would the tests not notice?

A test suite that passes says little by itself: it might check nothing. So plant mistakes and see whether the tests fail. A
*mutant* is the module with one small change, of a kind that people make: ``+`` for ``-``, ``<`` for ``<=``, a constant that is
one too large, a condition that always or never holds, a statement left out, a missing ``not`` or minus sign. If a test fails
(or crashes, or takes far too long), the mutant is *killed*. A mutant that *survives* shows one of two things:

- a hole: no test looks at what this place does. Write the test that does;
- an *equivalent* mutant, which computes the same as the original: ``x > 0`` and ``x >= 0`` where both ways give 0, or a
  size below which a loop runs on one thread. No test can kill it, so judge each survivor, and do not hunt for 100 %.

DeMillo, Lipton, Sayward 1978, "Hints on Test Data Selection: Help for the Practicing Programmer".

    python tests/mutation.py minicnn/losses/sigmoid.py
    python tests/mutation.py minicnn/layers/conv.py --tests tests/test_conv.py tests/test_gradients.py --sample 50 --jobs 2

Survivors are printed, the original line above the mutated one; the exit status is 1 if there are any.

The tests are those in the file named after the module, or else after its package, or else in the files that import something
of the module. ``--tests`` names others: those that a reader of the module would expect to notice. What a test starts as a
program of its own runs the original.

No file is changed: each mutant runs in a fork of this process, in which importing the module gives the mutated source. (So
this needs a system that can fork.) Its Numba loops are compiled anew; the cache of the originals would hide the change. A
mutant runs with your rights: think twice before you mutate code that deletes files.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import math
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from importlib.machinery import SourceFileLoader
from importlib.util import spec_from_file_location
from itertools import accumulate, pairwise
from pathlib import Path
from typing import NamedTuple

import pytest
from tqdm import tqdm

# imported once, before the forks, if the tests need them
SLOW_IMPORTS = ("numpy", "numba", "scipy.special", "scipy.optimize", "h5py", "PIL.Image", "matplotlib.pyplot", "torch")
SLOW_IMPORTS += ("torch._dynamo", "torch.optim.lr_scheduler")  # which PyTorch's optimisers import at their first step

# what stands between two operands, and what is put in its place
OPERATORS = {ast.Add: ("+", "-"), ast.Sub: ("-", "+"), ast.Mult: ("*", "/"), ast.Div: ("/", "*"), ast.FloorDiv: ("//", "*")}
OPERATORS |= {ast.Mod: ("%", "//"), ast.Pow: ("**", "*"), ast.BitAnd: ("&", "|"), ast.BitOr: ("|", "&")}
OPERATORS |= {ast.LShift: ("<<", ">>"), ast.RShift: (">>", "<<"), ast.And: ("and", "or"), ast.Or: ("or", "and")}
OPERATORS |= {ast.Lt: ("<", "<="), ast.LtE: ("<=", "<"), ast.Gt: (">", ">="), ast.GtE: (">=", ">")}
OPERATORS |= {ast.Eq: ("==", "!="), ast.NotEq: ("!=", "=="), ast.In: ("in", "not in"), ast.NotIn: ("not in", "in")}
OPERATORS |= {ast.Is: ("is", "is not"), ast.IsNot: ("is not", "is"), ast.Not: ("not ", ""), ast.USub: ("-", "")}
FUNCTIONS = {"min": "max", "minimum": "maximum", "argmin": "argmax", "any": "all", "floor": "ceil"}
FUNCTIONS |= {new: old for old, new in FUNCTIONS.items()}


class Mutant(NamedTuple):
    """The source with the bytes from ``start`` to ``end`` replaced by ``text``."""

    start: int
    end: int
    text: str

    def of(self, source: str) -> str:
        encoded = source.encode()
        return (encoded[: self.start] + self.text.encode() + encoded[self.end :]).decode()


def mutants_of(source: str) -> list[Mutant]:
    """All mutants of a module, without those that differ from it, or from one before, in nothing but the text."""
    tree, text = ast.parse(source), source.encode()
    starts = [0, *accumulate(len(line) for line in text.splitlines(keepends=True))]
    seen, mutants = {ast.dump(tree)}, []
    for mutant in sorted(mutant for node in places(tree) for mutant in mutants_at(node, text, starts)):
        with suppress(SyntaxError):
            dump = ast.dump(ast.parse(mutant.of(source)))
            if dump not in seen:
                seen.add(dump)
                mutants.append(mutant)
    return mutants


def places(node: ast.AST) -> Iterator[ast.AST]:
    """What is inside a node, but not docstrings, annotations, decorators and the texts of messages."""
    match node:
        case ast.FunctionDef():
            children = [*node.args.defaults, *filter(None, node.args.kw_defaults), *node.body]
        case ast.ClassDef():
            children = node.body
        case ast.AnnAssign():
            children = [node.value] if node.value else []
        case ast.If(body=[ast.Raise()], orelse=[]):  # without the error: the condition never holds, which is a mutant itself
            children = [node.test]
        case ast.Raise() | ast.JoinedStr() | ast.keyword(arg="strict"):  # zip(..., strict=True) only guards against mistakes
            children = []
        case _:
            children = ast.iter_child_nodes(node)
    for child in children:
        if not isinstance(child, ast.If) or ast.unparse(child.test) not in ("TYPE_CHECKING", "__name__ == '__main__'"):
            yield child
            yield from places(child)


def is_text(node: ast.expr) -> bool:
    """Whether this is a string in the source, or made of one with operators: part of a message, or a path."""
    if isinstance(node, ast.BinOp):
        return is_text(node.left) or is_text(node.right)
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def mutants_at(node: ast.AST, source: bytes, starts: list[int]) -> Iterator[Mutant]:
    """The mutants of one place; ``starts`` are the bytes at which the lines begin."""

    def start(node: ast.AST) -> int:
        return starts[node.lineno - 1] + node.col_offset

    def end(node: ast.AST) -> int:
        return starts[node.end_lineno - 1] + node.end_col_offset

    def replace(node: ast.AST, *texts: str) -> Iterator[Mutant]:
        yield from (Mutant(start(node), end(node), text) for text in texts)

    def swap(first: int, last: int, operator: ast.AST) -> Iterator[Mutant]:
        """Another operator in the bytes from ``first`` to ``last``, which are between two operands, or before one."""
        old, new = OPERATORS.get(type(operator), ("", ""))
        if old and (at := source.find(old.encode(), first, last)) >= 0:
            yield Mutant(at, at + len(old), new)

    match node:
        case ast.BinOp() if not is_text(node):
            yield from swap(end(node.left), start(node.right), node.op)
        case ast.BoolOp():
            for left, right in pairwise(node.values):
                yield from swap(end(left), start(right), node.op)
        case ast.Compare():
            for (left, right), operator in zip(pairwise([node.left, *node.comparators]), node.ops, strict=True):
                yield from swap(end(left), start(right), operator)
        case ast.UnaryOp():
            yield from swap(start(node), start(node.operand), node.op)
        case ast.Constant(value=bool()):
            yield from replace(node, str(not node.value))
        case ast.Constant(value=int()):
            yield from replace(node, str(node.value + 1))
        case ast.Constant(value=float()):
            yield from replace(node, str(node.value * 2 or 1.0))
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in FUNCTIONS:
            yield Mutant(end(node.func) - len(name), end(node.func), FUNCTIONS[name])
        case ast.Slice():
            for bound in filter(None, (node.lower, node.upper)):
                if not isinstance(bound, ast.Constant):
                    yield from replace(bound, f"({source[start(bound) : end(bound)].decode()}) + 1")
        case ast.If() | ast.IfExp():
            yield from replace(node.test, "True", "False")
        case ast.comprehension():
            for condition in node.ifs:
                yield from replace(condition, "True", "False")
        case ast.AugAssign():
            yield from replace(node, "pass")
            yield from swap(end(node.target), start(node.value), node.op)
        case ast.Raise() | ast.Expr(value=ast.Call()):
            yield from replace(node, "pass")
        case ast.Assign(
            targets=[ast.Attribute() | ast.Subscript() | ast.Tuple(elts=[ast.Attribute() | ast.Subscript(), *_]), *_]
        ):
            yield from replace(node, "pass")
        case ast.Return(value=ast.expr()):
            yield from replace(node.value, "None")


def describe(path: Path, source: str, mutant: Mutant) -> str:
    """``file:line``, the original line and the mutated one."""
    line = source.encode()[: mutant.start].count(b"\n")
    before, after = source.splitlines()[line].strip(), mutant.of(source).splitlines()[line].strip()
    return f"{path}:{line + 1}\n  - {before}\n  + {after}"


# ---- which tests


def module_name(path: Path) -> tuple[str, Path]:
    """The name under which a file is imported, and the folder from which."""
    parts, folder = ([] if path.stem == "__init__" else [path.stem]), path.parent
    while (folder / "__init__.py").exists():
        parts, folder = [folder.name, *parts], folder.parent
    return ".".join(parts), folder


def default_tests(module: str, source: str, folder: Path) -> list[Path]:
    """The test files in ``folder`` that concern a module; see the top of this file."""
    package, _, stem = module.rpartition(".")
    for named in (folder / f"test_{stem}.py", folder / f"test_{package.rpartition('.')[2]}.py"):
        if named.exists():
            return [named]
    defined = {f"{package}.{getattr(node, 'name', None)}" for node in ast.parse(source).body}
    imported = {path: set(imports_of(path)) for path in sorted(folder.glob("test_*.py"))}
    by_path = [path for path, names in imported.items() if any(f"{name}.".startswith(f"{module}.") for name in names)]
    return by_path or [path for path, names in imported.items() if names & defined]


def imports_of(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


# ---- running them


class MutantLoader(SourceFileLoader):
    """Loads a module from another file than its own; beside it Numba then keeps what it compiles."""

    def __init__(self, name: str, path: Path, mutated: Path):
        super().__init__(name, str(path))
        self.mutated = mutated

    def get_code(self, fullname: str):
        return compile(self.mutated.read_bytes(), str(self.mutated), "exec", dont_inherit=True)

    def find_spec(self, fullname: str, path: object = None, target: object = None):
        return spec_from_file_location(fullname, self.path, loader=self) if fullname == self.name else None


class Laboratory:
    """Runs the tests of one module on its mutants, each in a process of its own."""

    def __init__(self, path: Path, tests: list[Path], scratch: Path):
        self.path, self.tests, self.scratch = path, tests, scratch
        self.name, self.root = module_name(path)
        self.limit, self.count = math.inf, 0

    def results(self, sources: Iterable[str], jobs: int = 1) -> Iterator[tuple[str, bool]]:
        """Each source of the module and whether it passes the tests, as soon as it is known; ``jobs`` at a time."""
        waiting, running = iter(sources), {}
        try:
            while True:
                while len(running) < jobs and (source := next(waiting, None)) is not None:
                    running[self._start(source)] = source, time.monotonic() + self.limit
                if not running:
                    return
                time.sleep(0.02)
                for process, (source, end) in list(running.items()):
                    ended, status = os.waitpid(process, os.WNOHANG)
                    if ended or time.monotonic() > end:
                        del running[process]
                        stop(process, wait=not ended)
                        yield source, bool(ended) and status == 0
        finally:
            for process in running:
                stop(process, wait=True)

    def _start(self, source: str) -> int:
        self.count += 1
        folder = self.scratch / str(self.count)
        folder.mkdir()
        (folder / self.path.name).write_text(source, encoding="utf-8")
        process = os.fork()
        if process == 0:
            self._run_tests_and_exit(folder)
        return process

    def _run_tests_and_exit(self, folder: Path) -> None:
        status = 3
        try:
            os.setsid()  # so that what it starts can be stopped with it
            output = os.open(folder / "output", os.O_WRONLY | os.O_CREAT)
            for stream in (1, 2):
                os.dup2(output, stream)
            sys.path.insert(0, str(self.root))
            sys.meta_path.insert(0, MutantLoader(self.name, self.path, folder / self.path.name))
            if self._is_part_of_other_loops():
                importlib.import_module("numba").config.CACHE_DIR = str(folder)
            options = ["-x", "-q", "-p", "no:cacheprovider", f"--basetemp={folder / 'tmp'}"]
            status = int(pytest.main([*options, *map(str, self.tests)]))
            (folder / "imported").write_text("\n".join(list(sys.modules)))
        finally:
            os._exit(status)

    def _is_part_of_other_loops(self) -> bool:
        if not self.name.startswith("minicnn."):
            return False
        from minicnn.runtime.compilation import SHARED

        return self.path.relative_to(self.root / "minicnn").as_posix() in SHARED

    def prepare(self, source: str, seconds: float | None) -> None:
        """Run the tests on the original, to see how long a mutant may take and what to import before the forks."""
        for _ in range(2):  # the second time with all other loops compiled and the slow packages imported
            started = time.monotonic()
            self.check(source)
            imported = (self.scratch / str(self.count) / "imported").read_text().split()
            for name in SLOW_IMPORTS:
                if name in imported:
                    importlib.import_module(name)
        self.limit = seconds or 10 + 5 * (time.monotonic() - started)

    def check(self, source: str) -> None:
        """The original must pass the tests, or its mutants do not fail because of what was changed in them."""
        if list(self.results([source])) != [(source, True)]:
            output = (self.scratch / str(self.count) / "output").read_text(errors="replace")
            raise SystemExit(f"{output[-3000:]}\n{self.path} fails its tests as it is: they say nothing about mutants of it")


def stop(process: int, wait: bool) -> None:
    """Stop what a process has started, and itself."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process, signal.SIGKILL)
    if wait:
        os.waitpid(process, 0)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Which mistakes in a module would its tests not notice?")
    parser.add_argument("module", type=Path, help="a file, such as minicnn/losses/sigmoid.py")
    parser.add_argument("--tests", type=Path, nargs="+", help="test files (default: those that concern the module)")
    parser.add_argument("--sample", type=int, help="so many mutants, drawn at random (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="of the draw (default: 0)")
    parser.add_argument("--seconds", type=float, help="time for a mutant (default: five times the original's, and 10 more)")
    parser.add_argument("--jobs", type=int, default=1, help="mutants at a time (default: 1; the tests themselves use threads)")
    options = parser.parse_args(arguments)
    if not hasattr(os, "fork"):
        raise SystemExit("mutation.py needs a system that can fork (Linux, macOS): each mutant runs in a fork of this process")
    path = options.module.resolve()
    if path.suffix != ".py" or not path.is_file():
        raise SystemExit(f"{options.module} is no Python file")
    source, name = path.read_text(encoding="utf-8"), module_name(path)[0]
    tests = [test.resolve() for test in options.tests or default_tests(name, source, Path(__file__).resolve().parent)]
    if not tests:
        raise SystemExit(f"no test file imports {name}; name the tests to run: --tests FILE ...")
    mutants = mutants_of(source)
    if options.sample is not None and options.sample < len(mutants):
        mutants = sorted(random.Random(options.seed).sample(mutants, options.sample))
    print(f"{len(mutants)} mutants of {name}, tested by {', '.join(test.name for test in tests)}", flush=True)
    mutant_of = {mutant.of(source): mutant for mutant in mutants}
    survivors = 0
    with tempfile.TemporaryDirectory(prefix="mutation") as scratch:
        laboratory = Laboratory(path, tests, Path(scratch))
        laboratory.prepare(source, options.seconds)
        for mutated, survived in tqdm(laboratory.results(mutant_of, options.jobs), total=len(mutants), unit=" mutants"):
            if survived:
                survivors += 1
                tqdm.write(describe(options.module, source, mutant_of[mutated]))
        laboratory.check(source)  # the tests, or what the module uses, may have been changed meanwhile
    print(f"{len(mutants) - survivors} of {len(mutants)} mutants of {name} killed, {survivors} survived")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
