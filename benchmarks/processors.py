"""Results of each kind of processor, kept in ``docs/benchmarks/``, and side by side in ``docs/speed.md``.

::

    python -m benchmarks --keep                 # measures everything, keeps it as this kind's, and writes the page anew
    python -m benchmarks.processors FILE ...    # the same with results of ``--json FILE`` from other machines
    python -m benchmarks.processors             # the page alone, from what is kept

What is between ``<!-- processors -->`` and ``<!-- end of processors -->`` of the page comes from here. A kind is a processor's
name, its microarchitecture and the vectors that were used; newer results of a kind take the place of older ones.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from minicnn.cache import write_atomically

from .children import ROOT
from .pages import filled, markdown
from .summary import TARGETS, summarise

FOLDER, PAGE = ROOT / "docs" / "benchmarks", ROOT / "docs" / "speed.md"
MARKS = {"aim": "++", "yes": "+", "no": "-", None: ""}
LEGEND = (
    "PyTorch's time or memory / ours, unless it says otherwise, the lowest of several rows unless it says mean; "
    "+: reached, ++: the aim as well, -: not reached."
)
BASELINES = {"torch": "PyTorch", "onnxruntime": "ONNX Runtime", "openvino": "OpenVINO", "numpy": "NumPy", "numba": "Numba"}

Results = dict[str, Any]  # what ``python -m benchmarks`` saves


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.processors", description=__doc__.splitlines()[0])
    parser.add_argument("files", metavar="FILE", type=Path, nargs="*", help="results to keep, of a full run with --json")
    for file in parser.parse_args(arguments).files:
        print(f"kept: {keep(json.loads(file.read_text(encoding='utf-8')))}")
    write_page()
    return 0


def keep(results: Results, folder: Path = FOLDER) -> Path:
    """Save results as those of their kind of processor; gives the file.

    Raises
    ------
    ValueError
        If they are not complete: those of a full run should not be lost for them.
    """
    if not results["complete"]:
        raise ValueError("only the results of a full run are kept, without --quick and --only, and not interrupted")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{slug(results['machine'])}.json"
    save(results, path)
    return path


def save(results: Results, path: Path) -> None:
    """Write results to a file, completely or not at all."""
    with write_atomically(path) as temporary:
        temporary.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def write_page(page: Path = PAGE, folder: Path = FOLDER) -> None:
    """Fill the page's table with what is kept in the folder."""
    text = filled(page.read_text(encoding="utf-8"), "processors", processors_table(kept(folder)))
    with write_atomically(page) as temporary:
        temporary.write_text(text, encoding="utf-8")


def kept(folder: Path = FOLDER) -> list[Results]:
    """All results in the folder, in the order of the files' names."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]


def slug(machine: dict[str, Any]) -> str:
    """The name of a kind of processor in the name of a file.

    >>> xeon = {"processor": "Intel(R) Xeon(R) Gold 6226 CPU @ 2.70GHz", "microarchitecture": "cascadelake"}
    >>> slug(xeon | {"vectors": "AVX-512"})
    'intel-xeon-gold-6226-cascadelake-avx-512'
    """
    words = f"{_short_name(machine)} {machine['microarchitecture']} {machine['vectors']}"
    return "-".join(re.findall("[a-z0-9]+", words.lower()))


def _short_name(machine: dict[str, Any]) -> str:
    """The processor's name without trademarks and clock rate."""
    return " ".join(re.sub(r"\((R|TM)\)|\bCPU\b|@.*", " ", machine["processor"]).split())


def processors_table(all_results: Sequence[Results]) -> str:
    """A column for each kind of processor: what it is, and what was measured against each target; "" without results."""
    if not all_results:
        return ""
    machines = [results["machine"] for results in all_results]
    facts = {
        "measured on": [machine["date"].split(" ")[0] for machine in machines],
        "threads": [str(machine["threads"]) for machine in machines],
        "FMA, GFLOP/s, one thread / all": [_pair(machine, "gflops") for machine in machines],
        "memory, GB/s, one thread / all": [_pair(machine, "bandwidth") for machine in machines],
    } | {title: [machine["versions"].get(name) or "" for machine in machines] for name, title in BASELINES.items()}
    rows = [[what, "", "", *cells] for what, cells in facts.items()]
    summaries = [{line["what"]: line for line in summarise(results["rows"])} for results in all_results]
    for what, target in TARGETS.items():
        if any(what in summary for summary in summaries):
            bars = ["" if bar is None else f"{bar:g}" for bar in (target.least, target.aim)]
            rows.append([what, *bars, *(_measured(summary.get(what)) for summary in summaries)])
    names = [f"{_short_name(machine)} ({machine['microarchitecture']}, {machine['vectors']})" for machine in machines]
    heading = ["what", "at least", "aim", *names]
    return f"{markdown(heading, rows, numbers=range(1, len(heading)))}\n\n{LEGEND}"


def _pair(machine: dict[str, Any], limit: str) -> str:
    return f"{machine['limits'][f'{limit}_one_thread']:.0f} / {machine['limits'][limit]:.0f}"


def _measured(line: dict[str, Any] | None) -> str:
    return f"{line['measured']:.3g} {MARKS[line['met']]}".strip() if line else ""


if __name__ == "__main__":
    sys.exit(main())
