"""Widen, filter each channel, narrow: the three convolutions of an inverted residual block in one sweep, for inference.

h = clamp(w_e x + b_e)   (E, H*W)    1x1, to the many channels of the middle
d = clamp(b_d + w_d * h) (E, OH*OW)  depthwise
y = b_p + w_p d          (F, OH*OW)  1x1, a sum over the channels of the middle

No channel of the middle needs another one before that sum. A few of them at a time therefore go through all three steps while
they are in the core's cache, and the wide maps, which are most of the network's memory traffic, are never written to memory.

Sandler et al. 2018, "MobileNetV2: Inverted Residuals and Linear Bottlenecks", section 5.1 (memory efficient inference).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from . import conv_loops as loops
from . import depthwise
from .threads import free_threads, parallel_for, workspace
from .windows import Windows

MIDDLE = 1 << 17  # elements of h at a time: with d, 1 MB or less in float32, about what a core's second-level cache holds


class Filters(NamedTuple):
    """One of the three convolutions: w (F, C / groups, KH, KW) and b (F,) contiguous, and the limits of what comes out."""

    w: np.ndarray
    b: np.ndarray
    low: float
    high: float


def forward(x: np.ndarray, expand: Filters, middle: Filters, windows: Windows, project: Filters, y: np.ndarray) -> None:
    """Fill y (N, F, OH, OW) from x (N, C, H, W), contiguous; ``windows`` are those of the depthwise convolution."""
    (N, C, H, W), (F, OH, OW), E = x.shape, y.shape[1:], len(expand.w)
    w_e, w_p = expand.w.reshape(E, C), project.w.reshape(F, E)
    parts = min(-(-free_threads() // max(N, 1)), E)  # a small batch keeps all threads busy by channels of the middle
    size = max(MIDDLE // (H * W), 16)
    sums = np.empty((N, parts, F, OH * OW), x.dtype) if parts > 1 else y.reshape(N, 1, F, OH * OW)

    def body(start: int, stop: int) -> None:
        for piece in range(start, stop):
            n, part = divmod(piece, parts)
            first, last = E * part // parts, E * (part + 1) // parts
            for begin in range(first, last, size):
                channels = slice(begin, min(begin + size, last))
                h = workspace("wide", (channels.stop - begin, H * W), x.dtype)
                np.matmul(w_e[channels], x[n].reshape(C, H * W), out=h)
                loops.finish(h, expand.b[channels], expand.low, expand.high)
                d = workspace("filtered", (1, len(h), OH, OW), x.dtype)
                h = h.reshape(1, -1, H, W)
                depthwise.forward(h, middle.w[channels], middle.b[channels], windows, middle.low, middle.high, d)
                share = sums[n, part] if begin == first else workspace("product", (F, OH * OW), x.dtype)
                np.matmul(w_p[:, channels], d.reshape(-1, OH * OW), out=share)
                if begin > first:
                    sums[n, part] += share
            if parts == 1:
                loops.finish(sums[n, 0], project.b, project.low, project.high)

    parallel_for(N * parts, body)
    if parts > 1:
        np.sum(sums, axis=1, out=y.reshape(N, F, OH * OW))
        for n in range(N):
            loops.finish(y[n].reshape(F, OH * OW), project.b, project.low, project.high)
