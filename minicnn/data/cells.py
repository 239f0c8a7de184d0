"""The 2,624 solar cells of the ELPV data set, read from the installed package ``elpv-dataset`` without running its code."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np

from ..errors import DataError
from .picture_set import FileSource, PictureSet

CLASSES = ("functional", "defective")
SOURCE = "https://github.com/zae-bayern/elpv-dataset"
LICENCE = "CC BY-NC-SA 4.0 (the pictures)"
CITATION = (
    "Deitsch et al. 2019, Automatic classification of defective photovoltaic module cells in electroluminescence images, "
    "Solar Energy 185, 455-468, doi 10.1016/j.solener.2019.02.067; Buerhop-Lutz et al. 2018, A Benchmark for Visual "
    "Identification of Defective Solar Cells in Electroluminescence Imagery, EU PVSEC, doi 10.4229/35thEUPVSEC20182018-5CV.3.15"
)


def solar_cells() -> PictureSet:
    """Electroluminescence pictures of solar cells, functional or defective, 300x300 grey.

    Experts gave each cell a defect probability of 0, 1/3, 2/3 or 1. As in Deitsch et al. 2019, a cell with more than 0.5 counts
    as defective; ``probabilities`` holds the experts' numbers. ``groups`` is the cell type, "mono" or "poly" (crystalline).

    Raises
    ------
    DataError
        If the package is not installed, or its files are not as expected.
    """
    folder = _package_folder() / "data"
    table = folder / "labels.csv"
    try:
        rows = [line.split() for line in table.read_text(encoding="utf-8").splitlines() if line.strip()]
    except OSError as error:
        raise DataError(
            f"{table} cannot be read: {error.strerror}; install again: pip install --force-reinstall elpv-dataset"
        ) from error
    defective, groups, sources = [], [], []
    for number, row in enumerate(rows, 1):
        try:
            name, probability, cell_type = row
            defective.append(float(probability))
        except ValueError:
            raise DataError(
                f"{table}, line {number}: expected a path, a probability and a cell type, got {' '.join(row)!r}"
            ) from None
        groups.append(cell_type)
        sources.append(FileSource(folder / name, name))
    missing = [source.name for source in sources if not source.path.is_file()]
    if missing or not rows:
        raise DataError(
            f"{folder} lacks {len(missing)} of {len(rows)} pictures; install again: pip install --force-reinstall elpv-dataset"
        )
    return PictureSet(
        "solar cells (elpv-dataset)",
        CLASSES,
        [int(probability > 0.5) for probability in defective],
        sources,
        probabilities=np.stack([1 - np.array(defective), defective], axis=1),
        groups=np.array(groups),
        source=SOURCE,
        licence=LICENCE,
        citation=CITATION,
    )


def _package_folder() -> Path:
    """Where ``elpv-dataset`` is installed."""
    spec = importlib.util.find_spec("elpv_dataset")
    if spec is None or not spec.submodule_search_locations:
        raise DataError(
            "the solar-cell pictures come with the package elpv-dataset (90 MB), which is not installed; "
            'install it with: pip install "minicnn[demo]"'
        )
    return Path(spec.submodule_search_locations[0])
