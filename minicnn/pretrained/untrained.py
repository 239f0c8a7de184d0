"""Networks before they have weights: all sizes and no numbers, to be compared with what is in a file."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import WeightsError
from ..models import ARCHITECTURES, Model
from .matching import Match
from .names import SOURCES, Source
from .names.base import Table

ZERO = np.zeros(())


class NoRandomness(np.random.Generator):
    """In the place of the random start of a network whose weights are read from a file anyway: all zeros, in no time."""

    def __init__(self) -> None:
        super().__init__(np.random.PCG64(0))

    def standard_normal(self, size=None, dtype=np.float64, out=None):
        return ZERO  # which fills any row that it is put into


def untrained(form: str, build: Mapping[str, Any]) -> Model:
    """The network, its weights all 0."""
    takes = inspect.signature(ARCHITECTURES[form]).parameters
    if wrong := [name for name in build if name not in takes]:
        raise WeightsError(f"{form} has no {', '.join(wrong)}; it takes {', '.join(takes)}")
    auxiliary = {"aux": False} if "aux" in takes else {}  # auxiliary heads run in training only
    return ARCHITECTURES[form](**auxiliary | dict(build), rng=NoRandomness())


def as_wide(
    form: str, build: Mapping[str, Any], arrays: Mapping[str, np.ndarray], source: Source, table: Table
) -> dict[str, Any]:
    """The arguments with the width that the arrays have, if the architecture has several and they say another one."""
    if "width" not in inspect.signature(ARCHITECTURES[form]).parameters or "width" in build:
        return dict(build)
    widths = Match(untrained(form, build), arrays, source, table).other_widths()
    builds = [dict(build), *({**build, "width": width} for width in widths)]  # of equally good ones, the usual one
    return max(builds, key=lambda build: _fitting(form, build, arrays, source, table))


def _fitting(form: str, build: Mapping[str, Any], arrays: Mapping[str, np.ndarray], source: Source, table: Table) -> int:
    """How many arrays fit a network that is built so."""
    try:
        return Match(untrained(form, build), arrays, source, table).fitting()
    except ValueError:  # a width at which a layer has no channel left
        return 0


def form_of(source: Source, architecture: str) -> tuple[str, Table | None]:
    """Our architecture for what a source calls by this name, and the table of its names, if there is one."""
    form = source.forms.get(architecture, architecture)
    return form, source.table_of(form)


def expected_names(model: Model, source: Source, table: Table) -> set[str]:
    """All names that the arrays of a network may have in files of a source."""
    recipes = Match(model, {}, source, table).recipes.values()
    return {name for recipe in recipes for names in recipe.names for name in names}


def convertible(*sources: Source) -> list[str]:
    """The architectures for which the names of a source are known: of those given, or of any."""
    return [name for name in ARCHITECTURES if any(form_of(source, name)[1] for source in sources or SOURCES.values())]
