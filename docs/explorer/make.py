"""The pictures of ``docs/explorer.md``: three views of LeNet-5 on digits that are drawn with a font.

::

    python docs/explorer/make.py [--out FOLDER]

Needs Chromium, and Playwright to drive it.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from playwright.sync_api import Page, sync_playwright

import minicnn
from minicnn.course.workbench import drawn_digits
from minicnn.explorer import explore

FIGURES = Path(__file__).resolve().parents[1] / "figures"
SIZE = {"width": 1000, "height": 760}


def mistakes(page: Page) -> None:
    """As it opens."""


def picture(page: Page) -> None:
    """The surest mistake, with the map of what it depends on."""
    page.evaluate("App.go({ view: 'picture', picture: 0 })")
    page.get_by_label("occlusion").check()


def neuron(page: Page) -> None:
    """A number of the second convolution."""
    page.evaluate(
        "App.go({ view: 'neuron', picture: 0, node: App.data.nodes.findIndex((n) => n.path === 'c3'), at: [2, 5, 5] })"
    )
    page.wait_for_selector("#neuron .sums")


VIEWS = (mistakes, picture, neuron)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="docs/explorer/make.py", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=FIGURES, metavar="FOLDER", help="(default: docs/figures)")
    options = parser.parse_args(arguments)
    pictures, labels = drawn_digits(400, np.random.default_rng(0))
    known, known_labels = drawn_digits(400, np.random.default_rng(1))
    model = minicnn.load("lenet5_mnist")
    page = explore(model, pictures, labels, training=known, training_labels=known_labels, title="LeNet-5 on drawn digits")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        file = page.save(Path(folder) / "page.html")
        executable = shutil.which("chromium") or playwright.chromium.executable_path
        with playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"]) as browser:
            for view in VIEWS:
                opened = browser.new_page(viewport=SIZE)
                opened.goto(file.as_uri())
                opened.wait_for_selector("html[data-ready]")
                view(opened)
                opened.wait_for_selector("#progress", state="hidden")
                opened.wait_for_timeout(500)  # milliseconds: until it is painted
                path = options.out / f"explorer_{view.__name__}.png"
                opened.screenshot(path=path)
                opened.close()
                print(path)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
