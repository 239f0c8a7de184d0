"""The page about the zoo, ``docs/zoo.md``: its tables and figures, made and measured here.

::

    python -m benchmarks.zoo                    # all of them; measures every network, which takes about ten minutes
    python -m benchmarks.zoo --no-times         # all but the table of times, in a few seconds
    python -m benchmarks.zoo --quick            # the times of three networks, roughly; printed, the page stays as it is
    python -m benchmarks.zoo --only ResNet      # the times of networks with this in their name; printed as well

What is between two comments of the page, ``<!-- NAME -->`` and ``<!-- end of NAME -->``, comes from here; the rest of it is
written by hand. Inference is measured as in `benchmarks.networks`: our networks fused, PyTorch's eager, in turns, each in its
fastest way, and both are checked to give the same scores. One network is in memory at a time.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from minicnn.cache import write_atomically

from .__main__ import settings_of
from .checks import largest_difference
from .children import ROOT
from .machine import describe
from .networks import calls_in_torch
from .pages import filled, markdown
from .rows import Settings
from .table import format_table
from .timing import race
from .workloads import inference_calls, settle
from .zoo_facts import NETWORKS, WINNERS, Network, accuracy_of, build, size_of

PAGE = ROOT / "docs" / "zoo.md"
COMMAND = "python -m benchmarks.zoo"
BATCH = 8
QUICK = ("squeezenet1_1", "mobilenet_v2", "resnet20")
SAME_WHEN_FUSED = "VGG, batch norm"  # a family that takes as long as VGG: in inference its batch norms are fused away
HEADINGS = {  # of the times, as they are printed
    "title": "inference",
    "ours_1": "ms, batch 1",
    "torch_1": "PyTorch",
    "ours_n": f"pictures/s, batch {BATCH}",
    "torch_n": "PyTorch",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns the exit status, 1 if a network could not be measured."""
    options = _parse(arguments)
    networks = [network for network in NETWORKS if _wanted(network, options)]
    if not networks:
        print(f"no network that is measured has {options.only!r} in its name; there are", file=sys.stderr)
        print(", ".join(network.title for network in NETWORKS if network.family != SAME_WHEN_FUSED), file=sys.stderr)
        return 2
    parts = {"winners": winners_table, "networks": networks_table}
    failures: list[str] = []
    if not options.no_times:
        settings = settings_of(options)
        rows = measured(networks, settings, failures)
        print(format_table(rows, HEADINGS))
        parts["times"] = lambda: times_table(rows, describe(settings.threads, settings.limits))
    if not (options.quick or options.only or failures):
        write_page(parts)
        print(f"written: {PAGE.relative_to(ROOT)} and its figures")
    for failure in failures:
        print(f"could not be measured, so that the page stays as it was: {failure}", file=sys.stderr)
    return 1 if failures else 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=COMMAND, description="Make docs/zoo.md, or print times of its networks.")
    parser.add_argument("--no-times", action="store_true", help="all of the page but the times, in a few seconds")
    parser.add_argument("--quick", action="store_true", help="times of three networks, roughly; the page stays as it is")
    parser.add_argument("--only", metavar="NAME", help="times of networks with NAME in their name; the page stays as it is")
    parser.add_argument("--threads", metavar="N", type=int, help="of both sides; as many as there are cores if not given")
    options = parser.parse_args(arguments)
    if options.no_times and (options.quick or options.only):
        parser.error("--quick and --only are about times; with --no-times there are none")
    if options.threads is not None and options.threads < 1:
        parser.error(f"--threads is a number of at least 1, got {options.threads}")
    return options


def _wanted(network: Network, options: argparse.Namespace) -> bool:
    if options.only:
        return network.family != SAME_WHEN_FUSED and options.only.lower() in network.title.lower()
    return network.name in QUICK if options.quick else network.family != SAME_WHEN_FUSED


def write_page(parts: dict[str, Callable[[], str]], page: Path = PAGE) -> None:
    """Fill these parts of the page, and draw its figures anew."""
    from .zoo_figures import accuracy_figure, history_figure

    text = page.read_text(encoding="utf-8")
    for name, make in parts.items():
        text = filled(text, name, make())
    folder = page.parent / "figures"
    folder.mkdir(exist_ok=True)
    for name, draw in (("zoo_history", history_figure), ("zoo_accuracy", accuracy_figure)):
        draw().savefig(folder / f"{name}.png")
    with write_atomically(page) as temporary:
        temporary.write_text(text, encoding="utf-8")


# ---- tables of facts and counts


def winners_table() -> str:
    """Who won each year's ImageNet challenge."""
    rows = []
    for winner in WINNERS:
        team = winner.team if winner.name == winner.team else f"{winner.name} ({winner.team})"
        rows.append([str(winner.year), team, f"{winner.error:g}", winner.method, winner.source])
    return markdown(["year", "first", "top-5 error %", "how", "source"], rows, numbers=[2])


def networks_table() -> str:
    """Each network: its year, its place in the challenge, its size, and its published accuracy."""
    rows = []
    for network in NETWORKS:
        size, accuracy = size_of(network.name), accuracy_of(network.name)
        data = "" if accuracy.data == "ImageNet" else f" ({accuracy.data})"
        rows.append([
            network.title,
            str(network.year),
            network.place or "-",
            f"{size.picture[1]} x {size.picture[2]}",
            f"{size.parameters:,}",
            millions(size.multiply_adds),
            f"{accuracy.top1:.1f}{data}",
            "-" if accuracy.top5 is None else f"{accuracy.top5:.1f}",
            f"`{accuracy.weights}`" if accuracy.weights else "-",
        ])  # fmt: skip
    heading = ["network", "year", "ILSVRC, top-5 error", "picture", "parameters", "multiply-adds"]
    heading += ["top-1 %", "top-5 %", "weights"]
    return markdown(heading, rows, numbers=[4, 5, 6, 7])


def millions(number: int) -> str:
    """To three digits or to the million.

    >>> millions(416_520), millions(40_551_040), millions(15_470_264_320)
    ('0.417 M', '40.6 M', '15,470 M')
    """
    return f"{number / 1e6:.3g} M" if number < 1e9 else f"{number / 1e6:,.0f} M"


# ---- times


def measured(networks: Sequence[Network], settings: Settings, failures: list[str]) -> list[dict[str, Any]]:
    """A row for each network; what fails is left out, and listed in ``failures``."""
    rows = []
    with tqdm(networks, unit="network", leave=False) as bar:
        for network in bar:
            bar.set_description(network.title)
            try:
                rows.append({"title": network.title, "name": network.name} | times_of(network.name, settings))
            except Exception as error:  # the others are still to be measured
                failures.append(f"{network.title}: {type(error).__name__}: {error}")
    return rows


def times_of(name: str, settings: Settings) -> dict[str, float]:
    """``ours_1`` and ``torch_1``, milliseconds for one picture alone; ``ours_n`` and ``torch_n``, pictures a second of many.

    PyTorch's are missing where it is not installed.
    """
    rng, model = np.random.default_rng(1), build(name)
    settle(model, rng.standard_normal((2, *model.input_shape), np.float32))
    one, many = (rng.standard_normal((n, *model.input_shape), np.float32) for n in (1, BATCH))
    fused, module = model.fuse(), None
    if settings.torch:
        from .torch_twin import twin

        module = twin(model, one.shape)
    del model
    row: dict[str, float] = {}
    for x, which in ((one, "1"), (many, "n")):
        torch = calls_in_torch(module, x, None, training=False) if module else {}
        if torch:
            largest_difference(fused.forward(x), next(iter(torch.values()))())
        columns = race(inference_calls(fused, x), torch, settings.seconds)
        for side in ("ours", "torch"):
            if f"{side}_ms" in columns:
                ms = columns[f"{side}_ms"]
                row[f"{side}_{which}"] = ms if which == "1" else 1000 * len(x) / ms
    return row


def times_table(rows: Sequence[dict[str, Any]], machine: dict[str, Any]) -> str:
    """The times, and on what they were measured."""
    cells = []
    for row in rows:
        per_second = size_of(row["name"]).multiply_adds * row["ours_n"] / 1e9
        cells.append([row["title"], *(_number(row.get(column)) for column in list(HEADINGS)[1:]), _number(per_second)])
    heading = ["network", "ms, one picture", "PyTorch", f"pictures a second, {BATCH} at once", "PyTorch"]
    heading.append("10^9 multiply-adds a second")
    torch = machine["versions"]["torch"]
    measured_on = (
        f"`{COMMAND}`, {machine['date'].split(' ')[0]}: {machine['processor']}, {machine['threads']} threads, "
        f"{machine['limits']['gflops'] / 2:.0f} * 10^9 multiply-adds a second at most; "
        + (f"PyTorch {torch}." if torch else "PyTorch is not installed.")
    )
    return f"{measured_on}\n\n{markdown(heading, cells, numbers=[1, 2, 3, 4, 5])}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    sys.exit(main())
