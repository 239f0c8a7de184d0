"""``python -m benchmarks``: measures, prints each table when it is done, and saves everything if asked to."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from tqdm import tqdm

from minicnn.runtime.workers import get_threads, set_threads

from . import accuracy, augmentation, layers, networks, outliers, processors, startup, students
from .limits import measure_limits
from .machine import describe, older_baselines, summary_of, torch_is_here
from .rows import COLUMNS, Case, Row, Settings, make_row
from .summary import summarise
from .table import HEADINGS, format_table

GROUPS = (layers, networks, startup)
TABLES: dict[str, Callable[[Settings], list[dict[str, Any]]]] = {  # with columns of their own
    "students": students.table,
    "accuracy": accuracy.table,
    "outliers": outliers.table,
    "augmentation": augmentation.table,
}
SECONDS, QUICK_SECONDS = 0.7, 0.1  # of each side, in each row
LEGEND = (
    "ratio: PyTorch's / ours, above 1 is in our favour",
    "of limit: the time that the definition's operations take at the FMA peak, or inputs, weights and outputs at the memory's",
    "bandwidth, whichever is longer, / our time; above 1 where Winograd does fewer operations or data is still in a cache",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns the exit status, 1 if something could not be measured."""
    options = _parse(arguments)
    cases = [case for group in GROUPS for case in group.cases() if _wanted(options.only, case.group, case.name)]
    tables = [name for name in TABLES if _wanted(options.only, name)]
    if not cases and not tables:
        groups = ", ".join([group.GROUP for group in GROUPS] + list(TABLES))
        print(f"nothing has {options.only!r} in its name; there are the groups {groups}, and rows like", file=sys.stderr)
        print("'VGG-16 inference, batch 1' or '3x3 64-64 at 224x224, batch 1, forward'", file=sys.stderr)
        return 2
    chosen = [case for case in cases if case.quick or not options.quick] or cases
    settings = settings_of(options)
    results: dict[str, Any] = {
        "machine": describe(settings.threads, settings.limits),
        "quick": options.quick,
        "complete": not (options.quick or options.only),
        "columns": COLUMNS,
    }
    results["notes"] = _notes(settings, len(cases) - len(chosen)) + older_baselines(results["machine"]["versions"])
    print(_introduction(results))
    rows, failures = results.setdefault("rows", []), []
    try:
        for group, members in groupby(chosen, key=lambda case: case.group):
            fresh = _measure(list(members), settings, rows, failures)
            print(f"\n{format_table(fresh, HEADINGS[group])}")
        for name in tables:
            try:
                results[name] = TABLES[name](settings)
                print(f"\n{format_table(results[name], HEADINGS[name])}")
            except Exception as error:  # the rows above are still to be saved
                failures.append(f"{name}: {type(error).__name__}: {error}")
    except KeyboardInterrupt:
        results["complete"] = False
        results["notes"].append("interrupted: what comes after the last row was not measured")
        print("\ninterrupted; what was measured so far:")
    results["summary"] = summarise(rows)
    if results["summary"]:
        print(f"\n{format_table(results['summary'], HEADINGS['summary'])}")
    _save(results, options)
    for failure in failures:
        print(f"could not be measured: {failure}", file=sys.stderr)
    return 1 if failures else 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure minicnn, and PyTorch beside it where it is installed."
    )
    parser.add_argument("--quick", action="store_true", help="the essentials, in about three minutes instead of forty")
    parser.add_argument("--only", metavar="NAME", help="only groups and rows with NAME in their name, in capitals or not")
    parser.add_argument("--json", metavar="FILE", type=Path, help="save the results, with the machine they were measured on")
    parser.add_argument("--keep", action="store_true", help="save the results as this kind of processor's, for docs/speed.md")
    parser.add_argument("--threads", metavar="N", type=int, help="of both sides; as many as there are cores if not given")
    options = parser.parse_args(arguments)
    if options.threads is not None and options.threads < 1:
        parser.error(f"--threads is a number of at least 1, got {options.threads}")
    if options.keep and (options.quick or options.only):
        parser.error("--keep is for the results of a full run: leave out --quick and --only")
    return options


def _wanted(only: str | None, *names: str) -> bool:
    return only is None or any(only.lower() in name.lower() for name in names)


def settings_of(options: argparse.Namespace) -> Settings:
    if options.threads:
        set_threads(options.threads)
    threads, torch = get_threads(), torch_is_here()
    if torch:
        import torch as engine

        engine.set_num_threads(threads)
    seconds = QUICK_SECONDS if options.quick else SECONDS
    return Settings(options.quick, threads, seconds, measure_limits(threads, 5 if options.quick else 20), torch)


def _notes(settings: Settings, left_out: int) -> list[str]:
    notes = []
    if not settings.torch:
        notes.append("PyTorch is not installed, so that there is nothing to compare with (pip install torch)")
    if settings.quick:
        notes.append(f"measured with --quick: times are rough, and {left_out} rows were left out that a full run has")
    return notes


def _introduction(results: dict[str, Any]) -> str:
    machine = results["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items() if version)
    return "\n".join([summary_of(machine), versions, *results["notes"], *LEGEND])


def _measure(cases: list[Case], settings: Settings, rows: list[Row], failures: list[str]) -> list[Row]:
    """Measure rows of one group, adding them to ``rows`` one by one; what fails is a row as well, which says why."""
    before = len(rows)
    with tqdm(cases, unit="row", leave=False) as bar:
        for case in bar:
            bar.set_description(case.name)
            try:
                rows.append(case.measure(settings))
            except Exception as error:  # one row that fails must not take the others with it
                reason = f"{type(error).__name__}: {error}"
                rows.append(make_row(case.group, case.name, note=f"failed: {reason}"))
                failures.append(f"{case.name}: {reason}")
    return rows[before:]


def _save(results: dict[str, Any], options: argparse.Namespace) -> None:
    if options.json:
        processors.save(results, options.json)
        print(f"\nsaved in {options.json}")
    if options.keep and results["complete"]:
        print(f"\nkept in {processors.keep(results)}")
        processors.write_page()
    if not (options.json or options.keep):
        print("\n--json FILE would save this")


if __name__ == "__main__":
    sys.exit(main())
