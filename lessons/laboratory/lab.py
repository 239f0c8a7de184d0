"""What the experiments of the laboratory share: their arguments, intervals over seeds, and the page each one leaves."""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import t as student_t

from minicnn.course.workbench import find_data
from minicnn.runtime.workers import get_threads

LABORATORY = Path(__file__).resolve().parent


@dataclass
class Experiment:
    """One experiment of the laboratory, from its arguments to the page it writes.

    Attributes
    ----------
    name : str
        The script's name without ``.py``; files are called after it.
    quick : bool
        Less than two minutes: fewer pictures, epochs and seeds. Shows that everything works; its numbers mean little.
    seeds : range
        What is drawn at random is drawn once for each of them.
    out : Path
        The folder where results go.
    """

    name: str
    title: str
    quick: bool
    seeds: range
    out: Path
    started: float = field(default_factory=time.perf_counter)
    figures: list[tuple[str, str]] = field(default_factory=list)
    passages: list[str] = field(default_factory=list)

    @classmethod
    def from_arguments(
        cls, script: str, title: str, seeds: int = 3, quick_seeds: int = 1, argv: Sequence[str] | None = None
    ) -> Experiment:
        """Read ``--quick``, ``--seeds N`` and ``--out FOLDER`` for the script ``__file__``."""
        name = Path(script).stem
        parser = argparse.ArgumentParser(prog=f"{name}.py", description=title)
        parser.add_argument("--quick", action="store_true", help="under two minutes: fewer pictures, epochs and seeds")
        parser.add_argument(
            "--seeds", type=int, metavar="N", help=f"random repetitions (default: {seeds}, quick {quick_seeds})"
        )
        parser.add_argument("--out", type=Path, default=LABORATORY / "out", metavar="FOLDER", help="where results go")
        arguments = parser.parse_args(argv)
        number = arguments.seeds or (quick_seeds if arguments.quick else seeds)
        if number < 1:
            parser.error(f"--seeds must be at least 1, got {number}")
        arguments.out.mkdir(parents=True, exist_ok=True)
        print(f"{title}{' (quick)' if arguments.quick else ''}")
        return cls(name, title, arguments.quick, range(number), arguments.out)

    def data(self, name: str) -> Path:
        """A file or folder of real data; or the end of the script, with a sentence that says what is missing."""
        path = find_data(name)
        if path is None:
            sys.exit(f"{self.name}: there is no {name}; put it into a folder and name that folder in MINICNN_DATA")
        return path

    def text(self, text: str) -> None:
        """A passage (Markdown) for the page, printed as well."""
        print(f"\n{text}")
        self.passages.append(text)

    def table(self, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """A table for the page, printed as well. Cells are shown as ``str`` gives them."""
        lines = [list(map(str, header)), ["---"] * len(header), *(list(map(str, row)) for row in rows)]
        self.text("\n".join("| " + " | ".join(line) + " |" for line in lines))

    def figure(self, figure: plt.Figure, caption: str, name: str = "", shows_data: bool = False) -> None:
        """Save a figure as ``NAME.png``, or ``NAME_name.png`` where there are several.

        One that ``shows_data``, pictures or weights that are others' work, is saved as well, but the page only says so: pages
        are kept in the repository, others' pictures are not.
        """
        file = f"{self.name}_{name}.png" if name else f"{self.name}.png"
        figure.savefig(self.out / file)
        plt.close(figure)
        kept, drawn_anew = f"![{caption}]({file})", f"*{caption}: `{file}`, which the command draws; not kept here.*"
        self.passages.append(drawn_anew if shows_data else kept)
        self.figures.append((file, caption))

    def finish(self, results: dict[str, Any]) -> None:
        """Write the page ``NAME.md`` and the numbers ``NAME.json``, and say where."""
        seconds = time.perf_counter() - self.started
        command = (
            f"python lessons/laboratory/{self.name}.py" + (" --quick" if self.quick else "") + f" --seeds {len(self.seeds)}"
        )
        facts = {
            "command": command,
            "seeds": list(self.seeds),
            "date": date.today().isoformat(),
            "hardware": hardware(),
            "seconds": round(seconds, 1),
        }
        origin = f"`{command}`, {facts['date']}, {facts['hardware']}, {seconds / 60:.1f} minutes."
        page = "\n\n".join([f"# {self.title}", origin, *self.passages])
        (self.out / f"{self.name}.md").write_text(page + "\n", encoding="utf-8")
        (self.out / f"{self.name}.json").write_text(json.dumps(facts | {"results": results}, indent=1) + "\n", encoding="utf-8")
        print(f"\n{seconds:.0f} s. Page, figures and numbers: {self.out / self.name}.md, .png, .json")


def hardware() -> str:
    """The processor and how many threads are used."""
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return f"{model}, {get_threads()} threads"


def mean_and_interval(values: Sequence[float]) -> tuple[float, float]:
    """The mean, and half the width of its 95 % confidence interval by Student's t: t(0.975, n - 1) s / sqrt(n).

    A single value has no interval: the second number is then NaN.

    >>> mean, half = mean_and_interval([1.0, 2.0, 3.0])
    >>> round(mean, 3), round(half, 3)
    (2.0, 2.484)
    """
    values = np.asarray(values, float)
    n = len(values)
    half = float(student_t.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n)) if n > 1 else float("nan")
    return float(values.mean()), half


def percent(values: Sequence[float]) -> str:
    """Fractions as "87.3 ± 1.2" (mean and 95 % interval, in per cent); without an interval where there is one value.

    >>> percent([0.5])
    '50.0'
    """
    mean, half = mean_and_interval(values)
    return f"{100 * mean:.1f}" + ("" if np.isnan(half) else f" ± {100 * half:.1f}")
