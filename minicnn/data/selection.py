"""Some of the pictures of an array, without a copy of them."""

from __future__ import annotations

import numpy as np


class Selection:
    """Some of the pictures, in memory only while they are used: ``selection[i]`` is ``pictures[indices[i]]``."""

    def __init__(self, pictures: np.ndarray, indices: np.ndarray):
        self.pictures, self.indices = pictures, indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, key: int | slice | np.ndarray) -> np.ndarray:
        return self.pictures[self.indices[key]]
