"""The files of Hugging Face's safetensors, ``.safetensors``; `minicnn.pretrained.readers.safetensors_files` says what they are.

Source: https://github.com/huggingface/safetensors (section "Format")
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping

import numpy as np

from ...cache import write_atomically
from ..readers.safetensors_files import METADATA

ALIGNMENT = 8  # bytes; the header is filled up with spaces, so that the numbers begin at a multiple


def write_safetensors(path: str | os.PathLike, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
    """Write float32 arrays by name; a file that is there is replaced in one step at the end.

    Parameters
    ----------
    path : path
    arrays : mapping from name to float32 array
    metadata : mapping
        Any texts.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    header: dict[str, object] = {METADATA: dict(metadata)}
    end = 0
    for name, array in arrays.items():
        begin, end = end, end + array.nbytes
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    with write_atomically(path) as temporary, open(temporary, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for array in arrays.values():
            file.write(np.ascontiguousarray(array, "<f4").tobytes())
