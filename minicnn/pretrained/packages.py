"""Data files that Python packages carry, found without importing the packages: importing is running their code."""

from __future__ import annotations

import importlib.util
from pathlib import Path


def package_file(module: str, file: str) -> Path | None:
    """Where a file inside an installed top-level package is; None if the package or the file is not there.

    >>> package_file("numpy", "__init__.py").name
    '__init__.py'
    >>> package_file("no_such_package", "weights.pth") is None
    True
    """
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):  # ValueError: a module of this name is loaded and does not say from where
        return None
    for folder in (spec and spec.submodule_search_locations) or ():
        path = Path(folder) / file
        if path.is_file():
            return path
    return None
