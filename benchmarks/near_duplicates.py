"""How many altered copies of pictures ``minicnn transfer`` notices, and how many different pictures it takes for copies.

::

    python -m benchmarks.near_duplicates [--data PICTURES] [--model NAME] [--every N]

PICTURES is a folder or a zip archive with a folder for each class; by default ants-bees.zip in the folder that MINICNN_DATA
names. Every N-th picture is copied and altered, and the copies are put beside all pictures. A copy is found if it makes a pair
with its original. A pair of two different pictures is false, unless it is a pair without any copies as well: such pairs are
listed, as a collection may have copies of its own, which only a person can tell.
"""

from __future__ import annotations

import argparse
import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from minicnn.data.picture_set import PictureSet
from minicnn.experiment.presets import Settings
from minicnn.models.model import Model
from minicnn.transfer.crop_matching import crop_correlation
from minicnn.transfer.features import extract_features
from minicnn.transfer.near_duplicates import LEAST_CORRELATION, find_near_duplicates, without_mean_picture
from minicnn.transfer.setup import set_up

from .table import format_table

EVERY = 3
HEADINGS = {
    "alteration": "copies that are",
    "copies": "copies",
    "found": "found",
    "found_among_pairs": "found where all have a copy",
    "matched": "found by crop_matching alone",
    "false_pairs": "false pairs",
}


def _resaved(picture: Image.Image) -> Image.Image:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=30)
    return Image.open(file).convert("RGB")


def _smaller(picture: Image.Image) -> Image.Image:
    return picture.resize([max(side // 2, 1) for side in picture.size], Image.Resampling.BICUBIC)


def _cropped(share: float, x: float = 0.5, y: float = 0.5) -> Callable[[Image.Image], Image.Image]:
    """Cuts out this share of each side; x = y = 0 is the part at the top left, 0.5 the middle."""

    def crop(picture: Image.Image) -> Image.Image:
        width, height = (max(round(share * side), 1) for side in picture.size)
        left, top = round(x * (picture.width - width)), round(y * (picture.height - height))
        return picture.crop((left, top, left + width, top + height))

    return crop


def _turned(degrees: float) -> Callable[[Image.Image], Image.Image]:
    """Turns about the middle, with black in the corners."""
    return lambda picture: picture.rotate(degrees, Image.Resampling.BICUBIC)


ALTERATIONS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "saved again, JPEG quality 30": _resaved,
    "half as large": _smaller,
    "mirrored": lambda picture: picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "the central 80 % of each side": _cropped(0.8),
    "the central 70 %": _cropped(0.7),
    "the central 60 %": _cropped(0.6),
    "70 % out of a corner": _cropped(0.7, 0, 0),
    "turned by 2 degrees": _turned(2),
    "turned by 5 degrees": _turned(5),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.near_duplicates", description=__doc__.split("\n")[0])
    parser.add_argument("--data", help="a folder or a zip archive (ants-bees.zip in the folder that MINICNN_DATA names)")
    parser.add_argument("--model", default=Settings.model, help="whose codes are compared (%(default)s)")
    parser.add_argument("--every", metavar="N", type=int, default=EVERY, help="copy every N-th picture (%(default)s)")
    options = parser.parse_args(arguments)
    if options.every < 1:
        parser.error(f"--every is a whole number of at least 1, got {options.every}")
    data = options.data or os.path.join(os.environ.get("MINICNN_DATA", ""), "ants-bees.zip")
    if not Path(data).exists():
        parser.error(f"{data} is not there; --data names a folder or a zip archive of pictures")
    model, pictures, _ = set_up(data, options.model)
    rows, without_copies = measure(model, pictures, options.every)
    print(f"{len(pictures)} pictures: {pictures.name}; codes of {options.model}")
    print(format_table(rows, HEADINGS))
    print(f"pairs without any copies: {len(without_copies)}")
    for a, b in without_copies:
        print(f"  {a} = {b}")
    return 0


def measure(model: Model, pictures: PictureSet, every: int = EVERY) -> tuple[list[dict[str, Any]], list[tuple[str, str]]]:
    """A row for each alteration, and the pairs that are found without any copies, by their names.

    In a row stand ``alteration``; the number of ``copies``; how many are ``found``; how many are ``found_among_pairs``, among
    the copied pictures and their copies only; how many are ``matched``, whatever their codes; and the ``false_pairs``.
    """
    fitted, pictures = pictures.fitted(model.preprocessing)
    codes, copied = extract_features(model, fitted), np.arange(0, len(fitted), every)
    before = find_near_duplicates(codes, fitted).pairs
    rows = []
    for alteration, alter in ALTERATIONS.items():
        altered = [np.asarray(alter(Image.fromarray(pictures.picture(i)))) for i in copied]
        copies = np.stack([_with_channels(model.preprocessing.fit_picture(picture), fitted.shape[-1]) for picture in altered])
        copies_codes = extract_features(model, copies)
        found, others = _found(codes, copies_codes, fitted, copies, copied)
        among_pairs, _ = _found(codes[copied], copies_codes, fitted[copied], copies, np.arange(len(copied)))
        rows.append(
            {
                "alteration": alteration,
                "copies": len(copied),
                "found": found,
                "found_among_pairs": among_pairs,
                "matched": _matched(fitted, copies, copied),
                "false_pairs": len(others - set(map(tuple, before.tolist()))),
            }
        )
    return rows, [(pictures.file_name(a), pictures.file_name(b)) for a, b in before]


def _found(
    codes: np.ndarray, copies_codes: np.ndarray, fitted: np.ndarray, copies: np.ndarray, copied: np.ndarray
) -> tuple[int, set[tuple[int, int]]]:
    """How many copies are found beside all pictures, and all pairs of different pictures, by the numbers of the originals."""
    pairs = find_near_duplicates(np.concatenate([codes, copies_codes]), np.concatenate([fitted, copies])).pairs
    originals = np.sort(np.r_[np.arange(len(codes)), copied][pairs], axis=1)
    is_copy = originals[:, 0] == originals[:, 1]
    return int(np.count_nonzero(is_copy)), set(map(tuple, originals[~is_copy].tolist()))


def _matched(fitted: np.ndarray, copies: np.ndarray, copied: np.ndarray) -> int:
    """How many copies are seen in their original, or the other way round, whatever their codes."""
    grey = without_mean_picture(np.concatenate([fitted, copies]), np.arange(len(fitted) + len(copies)))
    return sum(crop_correlation(grey[i], grey[len(fitted) + k]) >= LEAST_CORRELATION for k, i in enumerate(copied))


def _with_channels(picture: np.ndarray, channels: int) -> np.ndarray:
    """A picture (H, W, C) with one channel where the others have one, as all of them are grey."""
    return picture[..., :channels]


if __name__ == "__main__":
    raise SystemExit(main())
