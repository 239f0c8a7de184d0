"""``import minicnn``: instant, light, and all rooms behind it."""

import importlib
import pkgutil
import subprocess
import sys

import pytest

import minicnn


def in_a_new_process(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120).stdout.strip()


def test_importing_minicnn_imports_nothing_large():
    loaded = "import sys, minicnn; print([name for name in ('numpy', 'numba', 'scipy', 'h5py', 'PIL') if name in sys.modules])"
    assert in_a_new_process(loaded) == "[]"


def test_a_layer_needs_neither_pictures_nor_files_nor_figures():
    loaded = "print([name for name in ('h5py', 'PIL', 'matplotlib') if name in sys.modules])"
    assert in_a_new_process(f"import sys, minicnn; minicnn.layers.Conv2d(3, 4, 3); {loaded}") == "[]"


@pytest.mark.parametrize("name", minicnn.__all__)
def test_every_name_works_and_completes_without_an_import_of_its_own(name):
    assert name in in_a_new_process(f"import minicnn; minicnn.{name}; print(minicnn.{name}.__name__, dir(minicnn))")


def test_no_room_is_left_out():
    rooms = {found.name for found in pkgutil.iter_modules(minicnn.__path__)} - {
        "__main__",
        "cli",
        "cache",
        "hashes",
        "sealed",
        "text",
    }  # nobody outside needs these
    assert rooms - {"lessons", "weights"} <= set(minicnn.__all__)


@pytest.mark.parametrize("room", [name for name in minicnn.__all__ if name not in ("check", "load", "Model")])
def test_what_a_room_exports_is_there(room):
    module = importlib.import_module(f"minicnn.{room}")
    assert all(hasattr(module, name) for name in getattr(module, "__all__", ()))


def test_an_unknown_name_is_an_error_that_lists_those_there_are():
    with pytest.raises(AttributeError, match=r"no attribute 'layer'; it has .*layers"):
        minicnn.layer  # noqa: B018
