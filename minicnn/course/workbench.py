"""The code that all lessons share: data, figures, claims, and digits for those who have no MNIST."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from ..explorer import Page

IN_NOTEBOOK = "ipykernel" in sys.modules
if not IN_NOTEBOOK:
    plt.switch_backend("Agg")  # a script draws into files; it needs no window

CHECKOUT = Path(__file__).resolve().parents[2]  # the repository, if this is not an installation
QUICK = "--quick" in sys.argv  # less data and fewer epochs: shows that all of it works
INK, BLUE, ORANGE, GREEN, GREY = "#222222", "#2a6fbb", "#d9722b", "#3b8f4f", "#8a8a8a"

plt.rcParams.update(
    {
        "figure.dpi": 110,
        "savefig.bbox": "tight",
        "font.size": 10,
        "axes.titlesize": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.prop_cycle": plt.cycler(color=[BLUE, ORANGE, GREEN, GREY]),
        "legend.frameon": False,
        "image.cmap": "gray",
    }
)


def section(title: str) -> None:
    """A heading in what the script prints."""
    print(f"\n{title}\n{'-' * len(title)}")


def save(figure: plt.Figure, lesson: Path, name: str) -> None:
    """Write the figure to ``LESSON/out/NAME.png`` and say so; a notebook shows it as well."""
    path = _in_out(lesson, f"{name}.png")
    figure.savefig(path)
    print(f"figure: {_shortest(path)}")
    if not IN_NOTEBOOK:
        plt.close(figure)


def save_page(page: Page, lesson: Path, name: str) -> None:
    """Write an explorer's page to ``LESSON/out/NAME.html`` and say so."""
    path = page.save(_in_out(lesson, f"{name}.html"))
    print(f"to open in a browser: {_shortest(path)}")


def _in_out(lesson: Path, name: str) -> Path:
    folder = lesson / "out"
    folder.mkdir(exist_ok=True)
    return folder / name


def _shortest(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


@dataclass(frozen=True)
class Claim:
    """A sentence of the lesson's text, what was measured, and whether that bears it out."""

    sentence: str
    measured: str
    holds: bool


_claims: list[Claim] = []


def claim(sentence: str, measured: str, holds: bool) -> None:
    """Say what was measured for a sentence that stands word for word under "What this lesson claims".

    >>> claim("Two and two are four.", f"{2 + 2}", 2 + 2 == 4)
    """
    _claims.append(Claim(sentence, measured, bool(holds)))


def print_claims() -> None:
    """All claims with what was measured, at the end of a lesson. In its normal form, one that does not hold is an error."""
    section("What this lesson claims")
    for each in _claims:
        print(f"{'holds ' if each.holds else 'FAILS '} {each.sentence}  [{each.measured}]")
    failed = [each.sentence for each in _claims if not each.holds]
    if failed and not QUICK and not IN_NOTEBOOK:
        raise SystemExit(f"{len(failed)} of {len(_claims)} claims do not hold here")


def find_data(name: str) -> Path | None:
    """A file or folder of that name in the folder that ``MINICNN_DATA`` names, or in ``../shared/data`` of a checkout."""
    folders = [Path(os.environ["MINICNN_DATA"])] if "MINICNN_DATA" in os.environ else []
    for folder in [*folders, CHECKOUT.parent / "shared" / "data"]:
        if (folder / name).exists():
            return folder / name
    return None


def drawn_digits(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Digits drawn with a font: each a little larger or smaller, turned, moved and noisy. Far easier than handwriting.

    Returns pictures uint8 (n, 28, 28), white on black, and labels int64 (n,).
    """
    font, labels = ImageFont.load_default(), rng.integers(0, 10, n)
    pictures = np.empty((n, 28, 28), np.uint8)
    for picture, label in zip(pictures, labels, strict=True):
        small = Image.new("L", (14, 14))
        ImageDraw.Draw(small).text((4, 1), str(label), fill=255, font=font)
        box = small.getbbox()
        width, height = rng.integers(10, 16), rng.integers(16, 22)
        glyph = small.crop(box).resize((int(width), int(height)), Image.Resampling.BICUBIC)
        canvas = Image.new("L", (28, 28))
        canvas.paste(glyph, (int(rng.integers(2, 26 - width)), int(rng.integers(2, 26 - height))))
        turned = np.asarray(canvas.rotate(rng.uniform(-15, 15), Image.Resampling.BILINEAR), np.float64)
        picture[...] = np.clip(turned + 20 * rng.standard_normal((28, 28)), 0, 255)
    return pictures, labels


def picture_grid(rows: int, columns: int, size: float = 1.0) -> tuple[plt.Figure, np.ndarray]:
    """A figure for pictures: rows x columns axes (2-d array) without ticks or frames, each ``size`` inches wide."""
    figure, axes = plt.subplots(rows, columns, figsize=(size * columns, size * rows), squeeze=False)
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
        for side in ax.spines.values():
            side.set_visible(False)
    return figure, axes
