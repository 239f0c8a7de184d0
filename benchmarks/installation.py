"""How many megabytes a package and everything that it depends on take on the disk."""

from __future__ import annotations

import configparser
import importlib.metadata
from pathlib import Path

from packaging.requirements import Requirement

from .children import ROOT


def installed_megabytes(package: str) -> float:
    """Size of the files of an installed package and its dependencies, in 10^6 bytes; extras are left out.

    minicnn is measured where it lies, in the repository, as it need not be installed for the benchmarks.

    >>> installed_megabytes("matplotlib") > installed_megabytes("numpy")
    True
    """
    if package != "minicnn":
        return sum(_bytes_of(name) for name in _closure([package])) / 1e6
    own = sum(file.stat().st_size for folder in ("minicnn", "weights") for file in (ROOT / folder).rglob("*") if file.is_file())
    settings = configparser.ConfigParser(interpolation=None)
    settings.read(ROOT / "setup.cfg")
    needed = [Requirement(line).name for line in settings["options"]["install_requires"].split("\n") if line]
    return (own + sum(_bytes_of(name) for name in _closure(needed))) / 1e6


def _closure(packages: list[str]) -> set[str]:
    """These packages and all that they need, as far as they are installed."""
    found: set[str] = set()
    waiting = list(packages)
    while waiting:
        name = waiting.pop().lower().replace("_", "-")
        if name in found:
            continue
        try:
            requirements = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue  # needed on other platforms only, or left out by whoever installed it
        found.add(name)
        for requirement in map(Requirement, requirements):
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    return found


def _bytes_of(package: str) -> int:
    paths = {Path(file.locate()).resolve() for file in importlib.metadata.files(package) or []}
    return sum(path.stat().st_size for path in paths if path.is_file())
