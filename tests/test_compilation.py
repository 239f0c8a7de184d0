"""What Numba keeps on disk: used again, but not once something that became part of it has changed."""

from __future__ import annotations

import importlib.util
import pkgutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numba import config

import minicnn.kernels
from minicnn.kernels import compilation

pytestmark = pytest.mark.skipif(bool(config.DISABLE_JIT), reason="nothing is compiled with NUMBA_DISABLE_JIT")

LOOP = """
from minicnn.kernels.compilation import loop

@loop
def double(x):
    for i in range(len(x)):
        x[i] = {factor} * x[i]
"""


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], tuple[float, bool]]:
    """A function of a factor: a file with a loop is written and imported anew; what 1 becomes, and whether it was compiled."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(factor: int = 2) -> tuple[float, bool]:
        (tmp_path / "a_loop.py").write_text(LOOP.format(factor=factor))
        spec = importlib.util.spec_from_file_location("a_loop", tmp_path / "a_loop.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        x = np.ones(1)
        module.double(x)
        return float(x[0]), bool(module.double.stats.cache_misses)

    return make


def test_a_loop_is_compiled_once(made):
    assert made() == (2, True)
    assert made() == (2, False)


def test_a_loop_is_compiled_again_when_its_file_has_changed(made):
    made(2)
    assert made(3) == (3, True)


def test_a_loop_is_compiled_again_when_a_shared_file_has_changed(made, tmp_path, monkeypatch):
    for name in compilation.SHARED:
        (tmp_path / name).write_bytes((Path(compilation.__file__).parent / name).read_bytes())
    monkeypatch.setattr(compilation, "__file__", str(tmp_path / "compilation.py"))
    compilation._shared_sources.cache_clear()
    try:
        made()
        assert made() == (2, False)
        with open(tmp_path / "lanes.py", "a") as file:
            file.write("# changed\n")
        compilation._shared_sources.cache_clear()
        assert made() == (2, True)
    finally:
        compilation._shared_sources.cache_clear()


def test_all_that_loops_use_of_other_files_is_in_shared_files():
    shared = {f"minicnn.kernels.{Path(name).stem}" for name in compilation.SHARED}
    found = {(module.__name__, name) for module in _modules() for name in _used_of_others(module)}
    # or this test would not see anything
    assert ("minicnn.kernels.pool", "minicnn.kernels.lanes_loops") in found
    assert ("minicnn.kernels.winograd_loops", "minicnn.kernels.winograd_transforms") in found
    assert {name for _, name in found} <= shared


def _modules() -> list[ModuleType]:
    names = [found.name for found in pkgutil.iter_modules(minicnn.kernels.__path__)]
    return [importlib.import_module(f"minicnn.kernels.{name}") for name in names]


def _used_of_others(module: ModuleType) -> Iterator[str]:
    """The modules that the loops of this one have functions from."""
    loops = [value for value in vars(module).values() if hasattr(value, "py_func") and value.__module__ == module.__name__]
    for loop in loops:
        for name in loop.py_func.__code__.co_names:
            value = getattr(module, name, None)
            home = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
            if str(home).startswith("minicnn.") and home != module.__name__:
                yield home
