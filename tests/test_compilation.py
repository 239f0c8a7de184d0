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
from minicnn.runtime import compilation

pytestmark = pytest.mark.skipif(bool(config.DISABLE_JIT), reason="nothing is compiled with NUMBA_DISABLE_JIT")

LOOP = """
from minicnn.runtime.compilation import loop

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
        copy = tmp_path / "copied" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes((Path(minicnn.__file__).parent / name).read_bytes())
    monkeypatch.setattr(compilation, "__file__", str(tmp_path / "copied" / "runtime" / "compilation.py"))
    compilation._shared_sources.cache_clear()
    try:
        made()
        assert made() == (2, False)
        with open(tmp_path / "copied" / "kernels" / "simd" / "vectors.py", "a") as file:
            file.write("# changed\n")
        compilation._shared_sources.cache_clear()
        assert made() == (2, True)
    finally:
        compilation._shared_sources.cache_clear()


def test_the_shared_files_are_those_whose_functions_loops_of_other_files_use():
    """Found by looking into every loop of the library: neither one too few nor one too many stands in the list."""
    used = {home for module in _modules() for home in _used_of_others(module)}
    files = {f"{home.removeprefix('minicnn.').replace('.', '/')}.py" for home in used}
    assert files | {"runtime/compilation.py"} == set(compilation.SHARED)


def _modules() -> list[ModuleType]:
    rooms = [found.name for found in pkgutil.walk_packages(minicnn.__path__, "minicnn.")]
    return [importlib.import_module(name) for name in rooms if name.startswith(("minicnn.kernels.", "minicnn.runtime."))]


def _used_of_others(module: ModuleType) -> Iterator[str]:
    """The modules that the loops of this one have functions from."""
    loops = [value for value in vars(module).values() if hasattr(value, "py_func") and value.__module__ == module.__name__]
    for loop in loops:
        for name in loop.py_func.__code__.co_names:
            value = getattr(module, name, None)
            home = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
            if str(home).startswith("minicnn.") and home != module.__name__:
                yield home
