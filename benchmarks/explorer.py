"""What the explorer's page costs: seconds to make, megabytes, and in the browser the time to the first picture, and memory.

::

    python -m benchmarks.explorer [--pictures N] [--networks NAME ...]

LeNet-5 on digits, EfficientNet-Lite0 on ants and bees, and VGG-16 with random weights on three of these pictures; the data are
those in the folder that MINICNN_DATA names. The browser is headless Chromium, driven by Playwright. The time to the first
picture is from the opening of the file until the first view is drawn; a forward pass computes all values of one picture. Memory
is what the page's process has in RAM after that (Linux only).
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

import minicnn
from minicnn import models
from minicnn.data import load_mnist
from minicnn.data.folders import open_pictures
from minicnn.experiment.results import cpu_name
from minicnn.explorer import Page, explore

from .table import format_table

HEADINGS = {
    "network": "network",
    "pictures": "pictures",
    "made": "made in s",
    "size": "MB",
    "first": "first picture after s",
    "forward": "forward pass s",
    "memory": "memory MB",
}


def lenet5(pictures: int) -> tuple[Page, int]:
    _, _, x, y = load_mnist()
    return explore(minicnn.load("lenet5_mnist"), x[:1000], y[:1000], most=pictures, progress=False), pictures


def efficientnet_lite0(pictures: int) -> tuple[Page, int]:
    model = minicnn.load("efficientnet_lite0")
    few = _ants_and_bees(pictures)
    return explore(model, few, most=pictures, progress=False), pictures


def vgg16(pictures: int) -> tuple[Page, int]:
    model = models.vgg16(rng=0)
    model.preprocessing = minicnn.load("efficientnet_lite0").preprocessing
    few = _ants_and_bees(min(pictures, 3))
    return explore(model, few, progress=False), len(few)


def _ants_and_bees(number: int):
    collection = open_pictures(Path(os.environ["MINICNN_DATA"]) / "ants-bees.zip")
    return collection.subset(np.linspace(0, len(collection) - 1, number).astype(int))


NETWORKS: dict[str, Callable[[int], tuple[Page, int]]] = {
    "lenet5": lenet5,
    "efficientnet_lite0": efficientnet_lite0,
    "vgg16": vgg16,
}


def measure(name: str, pictures: int, folder: Path) -> dict[str, object]:
    """One row of the table."""
    started = time.perf_counter()
    page, shown = NETWORKS[name](pictures)
    made = time.perf_counter() - started
    file = page.save(folder / f"{name}.html")
    return {
        "network": name,
        "pictures": shown,
        "made": f"{made:.1f}",
        "size": f"{file.stat().st_size / 1e6:.1f}",
        **in_the_browser(file),
    }


def in_the_browser(file: Path) -> dict[str, str]:
    from playwright.sync_api import sync_playwright

    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with sync_playwright() as playwright:
        executable = found or playwright.chromium.executable_path
        with playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"]) as browser:
            page = browser.new_page()
            page.set_default_timeout(600_000)
            started = time.perf_counter()
            page.goto(file.as_uri())
            page.wait_for_selector("html[data-ready]")
            page.evaluate("() => new Promise(requestAnimationFrame)")
            first = time.perf_counter() - started
            started = time.perf_counter()
            page.evaluate("async () => { for (const k of App.data.nodes.keys()) await App.values(k); }")
            forward = time.perf_counter() - started
            return {"first": f"{first:.1f}", "forward": f"{forward:.1f}", "memory": f"{renderer_memory() / 1e6:.0f}"}


def renderer_memory() -> int:
    """Bytes in RAM of the largest process that renders a page; 0 where /proc does not tell."""
    largest = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if b"--type=renderer" in (process / "cmdline").read_bytes():
                pages = int((process / "statm").read_text().split()[1])
                largest = max(largest, pages * os.sysconf("SC_PAGE_SIZE"))
        except OSError:  # it has ended meanwhile
            continue
    return largest


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.explorer", description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=24, metavar="N", help="in a page (default: %(default)s)")
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS), metavar="NAME")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        rows = [measure(name, options.pictures, Path(folder)) for name in options.networks]
    print(format_table(rows, HEADINGS))
    print(f"\n({cpu_name()})")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
