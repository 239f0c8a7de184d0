"""Dependencies point one way: each room uses the floors below it, no two files import each other (docs/architecture.md)."""

import re
import sys
from itertools import combinations
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "docs"))
from architecture import FILES, FLOORS, arrows, imports, room_arrows, room_of, without_shortcuts  # noqa: E402

ARROWS = arrows()
KNOWS_NOTHING_OF = {"layers": {"runtime", "inference"}, "kernels": {"inference"}, "linear_model": {"layers", "models"}}
PAGE = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")


def floor(room: str) -> int:
    return next(i for i, rooms in enumerate(FLOORS) if room in rooms)


def test_every_room_has_a_floor_and_every_floor_has_rooms():
    assert {room_of(module) for module in ARROWS} == {room for rooms in FLOORS for room in rooms}


def test_no_arrow_runs_up():
    """Within a floor, rooms may use each other in one direction only, which the next test sees to."""
    up = [f"{m} -> {t}" for m, targets in ARROWS.items() for t in targets if floor(room_of(t)) > floor(room_of(m))]
    assert not up


def test_no_two_rooms_use_each_other():
    rooms = room_arrows()
    assert not [f"{a} <-> {b}" for a, b in combinations(rooms, 2) if b in rooms[a] and a in rooms[b]]


def test_no_two_files_import_each_other():
    assert not [f"{a} <-> {b}" for a, b in combinations(ARROWS, 2) if b in ARROWS[a] and a in ARROWS[b]]


def test_there_is_no_longer_way_round_either():
    """Each file can be understood after those that it imports. (A package's ``__init__`` only hands names on.)"""
    done, path = set(), []

    def visit(module: str) -> None:
        if module in done or FILES[module].name == "__init__.py":
            return
        assert module not in path, " -> ".join([*path[path.index(module) :], module])
        path.append(module)
        for target in sorted(ARROWS[module]):
            visit(target)
        done.add(path.pop())

    for module in sorted(ARROWS):
        visit(module)


@pytest.mark.parametrize("room", KNOWS_NOTHING_OF)
def test_speed_lives_behind_a_door(room):
    wrong = [f"{m} -> {t}" for m, targets in ARROWS.items() for t in targets if room_of(m) == room]
    assert not [arrow for arrow in wrong if room_of(arrow.split(" -> ")[1]) in KNOWS_NOTHING_OF[room]]


def test_an_arrow_that_runs_up_would_be_seen():
    assert "kernels.convolution.dispatch" in imports("layers.conv")  # imported as a name of a package
    assert "runtime.blas" in imports("kernels")  # by a package's __init__
    assert without_shortcuts({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == {"a": {"b"}, "b": {"c"}, "c": set()}


# ---- the page


def test_every_file_that_the_page_names_is_there():
    named = re.findall(r"`((?:minicnn|tests|docs|benchmarks|lessons)/[\w/]+(?:\.\w+)?)`", PAGE)
    assert len(named) > 20
    assert not [name for name in named if not (REPOSITORY / name).exists()]


def test_each_of_the_ten_ways_to_understand_something_is_three_files_at_most():
    ways = [line for line in PAGE.splitlines() if line.startswith("| **")]
    assert len(ways) >= 10
    for way in ways:
        assert 1 <= len(re.findall(r"`[\w/]+\.py`", way)) <= 3, way
