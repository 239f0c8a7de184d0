"""The report of a transfer experiment: a table for the terminal, a page for the browser, figures, and the numbers as JSON.

Everything is made from one dictionary, `results`, and the pictures that the mistakes are shown from. Beside what the table
prints it holds, per strategy and seed, confusion matrix, regularisation path or training history, and the worst mistakes;
``results.json`` is that dictionary, so that every figure can be drawn again from it.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

from ..cache import write_bytes
from .figures import FIGURES, draw
from .html import html
from .table import table

__all__ = ["table", "write_report"]


def write_report(results: dict, folder: Path, pictures) -> Path:
    """Write ``results.json``, the figures as PNG, and ``report.html``, which holds all of it in one file and opens offline.

    The numbers are written first: if a figure cannot be drawn or the disk is full, the experiment is not lost. Each file
    appears complete or not at all; figures of an earlier report in the same folder that this one does not have are removed.

    Parameters
    ----------
    results : dict
        Of the experiment (see `minicnn.experiment.results`): strings, numbers, lists and dictionaries.
    folder : Path
        Made if it is not there.
    pictures : PictureSet
        Whose ``picture(i)``, uint8 (H, W, 3), the mistakes are drawn from.

    Returns
    -------
    Path of ``report.html``.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(_strict(results), indent=1, ensure_ascii=False, allow_nan=False)
    write_bytes(folder / "results.json", text.encode("utf-8", "backslashreplace") + b"\n")
    drawings = draw(results, pictures)
    for drawing in drawings:
        write_bytes(folder / f"{drawing.name}.png", drawing.png)
    for name in FIGURES.keys() - {drawing.name for drawing in drawings}:
        (folder / f"{name}.png").unlink(missing_ok=True)
    write_bytes(folder / "report.html", html(results, drawings).encode("utf-8", "replace"))
    return folder / "report.html"


def _strict(value):
    """The same for strict JSON, which has no NaN and no infinity: null in their place."""
    if isinstance(value, dict):
        return {key: _strict(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_strict(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
