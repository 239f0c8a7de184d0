"""The block that MobileNetV2 and EfficientNet are made of, for inference, in one go: widen, filter each channel, narrow.

h[n] = clamp(w1 x[n] + b1)    (E, H, W)      1x1, E channels from C
d[n] = clamp(w2 * h[n] + b2)  (E, OH, OW)    depthwise, see ``depthwise``
y[n] = clamp(w3 d[n] + b3)    (F, OH, OW)    1x1, F channels from E, and + x[n] where there is a shortcut

E is several times C and F. One after another, these layers write and read the wide maps h and d as a whole, which no core's
cache can hold. Here some rows of y are made at a time: just the rows of h that they need, which the cache still holds when the
filters come to them, and from those the rows of d. (Where the next rows of y begin, the filters' height in rows of h is made
twice.) h and d exist with the channels last, so that vectors run along the channels. x and y need not: a matrix product takes
either factor transposed.

As each channel of h becomes one of d, and y is a sum over them, threads can also share a picture without waiting for each
other: each takes some of the channels all the way, and the parts of y are added up in the end.

Sandler et al. 2018, "MobileNetV2: Inverted Residuals and Linear Bottlenecks", section 5, "memory efficient inference", takes
the wide maps some channels at a time for the same reason.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from . import inverted_residual_loops as loops
from .threads import parallel_for, threads_per_sample, workspace
from .windows import Windows

LINE = 512  # numbers that the depthwise filters make at a time, channels times pixels: so that starting a loop costs little
TILE = 2**18  # elements of h at a time; with fewer, the matrix products are too small to be quick


class Step(NamedTuple):
    """One of the three convolutions: filters, bias, and the limits of what comes out.

    ``w`` is w1 (E, C), w2 transposed (KH*KW, E) or w3 transposed (E, F).
    """

    w: np.ndarray
    b: np.ndarray
    limits: tuple[float, float]


class Share(NamedTuple):
    """What some of the wide channels take: w1 and b1; w2 and b2, over and over as for neighbouring pixels; w3."""

    w1: np.ndarray
    b1: np.ndarray
    w2: np.ndarray
    b2: np.ndarray
    w3: np.ndarray


def _share(expand: Step, depthwise: Step, project: Step, part: int, parts: int) -> Share:
    E = len(expand.w)
    channels = slice(E * part // parts, E * (part + 1) // parts)
    pixels = max(LINE // (channels.stop - channels.start), 1)
    w2, b2 = np.tile(depthwise.w[:, channels], (1, pixels)), np.tile(depthwise.b[channels], pixels)
    return Share(expand.w[channels], expand.b[channels], w2, b2, project.w[channels])


def forward(
    x: np.ndarray,
    expand: Step,
    depthwise: Step,
    project: Step,
    windows: Windows,
    shortcut: bool,
    kept: dict[int, list[Share]],
) -> np.ndarray:
    """y (N, F, OH, OW) of x (N, C, H, W), by the equations above.

    Parameters
    ----------
    windows : Windows
        Of the depthwise convolution on a map of x's height and width; without dilation.
    shortcut : bool
        Whether x, which then has y's shape, is added.
    kept : dict
        Belongs to these filters, which do not change any more: what threads get of them stays there for the next call.
    """
    x = np.ascontiguousarray(x)
    (N, C, H, W), E, F = x.shape, len(expand.w), len(project.b)
    OH, OW = windows.count(H, W)
    (KH, KW), (sh, sw), (top, left) = windows.kernel, windows.stride, windows.origin
    parts = min(threads_per_sample(N), E)
    if parts not in kept:
        kept[parts] = [_share(expand, depthwise, project, part, parts) for part in range(parts)]
    x_flat, y = x.reshape(N, C, H * W), np.empty((N, F, OH * OW), x.dtype)
    products = y[None] if parts == 1 else np.empty((parts, N, F, OH * OW), x.dtype)
    limits = [tuple(map(x.dtype.type, step.limits)) for step in (expand, depthwise, project)]

    def add_channels(n: int, part: int) -> None:
        w1, b1, w2, b2, w3 = kept[parts][part]
        width = len(w1)
        rows = min(max(TILE // (W * width * sh), 1), OH)  # of y at a time
        pixels = min((rows - 1) * sh + KH, H) * W  # of h under them
        tile_x, tile_y = workspace("x", (C * pixels,), x.dtype), workspace("y", (F * rows * OW,), x.dtype)
        h, d = workspace("h", (pixels * width,), x.dtype), workspace("d", (rows * OW * width,), x.dtype)
        # all of it in one call: between calls, threads would wait for each other to get Python's lock
        loops.add_channels(
            x_flat[n], H, W, w1, b1, *limits[0], w2, b2, *limits[1], w3, KH, KW, sh, sw, top, left, OW, rows,
            tile_x, h, d, tile_y, products[part, n]
        )  # fmt: skip

    def collect(n: int) -> None:
        loops.collect(products[:, n], project.b, *limits[2], x_flat[n : n + shortcut], y[n])

    def body(start: int, stop: int) -> None:
        for piece in range(start, stop):
            n, part = divmod(piece, parts)
            add_channels(n, part)
            if parts == 1:
                collect(n)

    parallel_for(N * parts, body)
    if parts > 1:
        for n in range(N):
            collect(n)
    return y.reshape(N, F, OH, OW)
