"""What a reader gives: arrays by name, with what else the file says of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np


class NamedArrays(dict[str, np.ndarray]):
    """Arrays by name.

    Attributes
    ----------
    notes : list of str
        Sentences about which of the file's arrays they are.
    metadata : dict from str to str
        What the program that wrote the file put beside them; whatever is not a text is left out.
    beside : list of Path
        Other files in which some of the numbers are.
    """

    def __init__(
        self, arrays: Mapping[str, np.ndarray], notes: Sequence[str] = (), metadata: Any = None, beside: Sequence[Path] = ()
    ):
        super().__init__(arrays)
        self.notes, self.beside = list(notes), list(beside)
        entries = metadata.items() if isinstance(metadata, dict) else ()
        self.metadata = {key: text for key, text in entries if isinstance(key, str) and isinstance(text, str)}
