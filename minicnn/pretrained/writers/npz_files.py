"""NumPy's archives of arrays, ``.npz``, with what else is known of them in an entry of JSON."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping

import numpy as np

from ...cache import write_atomically
from ..readers.npz_files import METADATA


def write_npz(path: str | os.PathLike, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
    """Write arrays by name; a file that is there is replaced in one step at the end.

    The metadata is the entry ``metadata.json``, of which ``numpy.load(path)["metadata.json"]`` gives the bytes.

    Parameters
    ----------
    path : path
    arrays : mapping from name to array
    metadata : mapping
        Any texts.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    with write_atomically(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
        archive.writestr(METADATA, json.dumps(dict(metadata), indent=1))
