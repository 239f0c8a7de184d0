"""Pictures made very small, as rows of numbers that can be compared without a network."""

from __future__ import annotations

import numpy as np


def small_pixels(fitted: np.ndarray, side: int) -> np.ndarray:
    """Pictures uint8 (N, H, W, C) averaged over blocks to about side x side, as rows (N, D) float32.

    A picture of H < 2 side keeps its rows, one of W < 2 side its columns.
    """
    N, H, W, C = fitted.shape
    height, width = max(H // side, 1), max(W // side, 1)
    cut = fitted[:, : H // height * height, : W // width * width]
    blocks = cut.reshape(N, H // height, height, W // width, width, C).mean((2, 4), dtype=np.float32)
    return blocks.reshape(N, -1)
