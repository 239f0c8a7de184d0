"""The block that MobileNetV2 and EfficientNet are made of, for inference, in one go: widen, filter each channel, narrow.

It is ``textbook.conv2d_forward`` with 1x1 filters, ``textbook.depthwise_forward``, and 1x1 filters once more, each clipped.
Added are vectors, threads, and wide maps that never leave the cache:

h[n] = clamp(w1 x[n] + b1)    (E, H, W)      1x1, E channels from C
d[n] = clamp(w2 * h[n] + b2)  (E, OH, OW)    depthwise, see ``depthwise``
y[n] = clamp(w3 d[n] + b3)    (F, OH, OW)    1x1, F channels from E, and + x[n] where there is a shortcut

E is several times C and F. One after another, these layers write and read the wide maps h and d as a whole, which no core's
cache can hold. Here two vectors of channels of h are made at a time, which go right into the padded pictures that the filters
read (see ``simd.vectors``, ``depthwise``), and from those the same channels of d, pixel by pixel, all channels side by side.
Where d would be too much for the cache, some rows of y are made at a time, and the rows of h that they need. (Where the next
rows of y begin, some rows of h are made twice.)

Threads share a picture without waiting for each other: each takes some rows of a large map; of a small one some of the
channels all the way, as each channel of h becomes one of d and y is a sum over them, and the parts of y are added up in the
end. The first step may be missing: then it is a depthwise and a pointwise convolution, of which MobileNet is made.

Sandler et al. 2018, "MobileNetV2: Inverted Residuals and Linear Bottlenecks", section 5, "memory efficient inference", takes
the wide maps some channels at a time for the same reason.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ...runtime.memory import workspace
from ...runtime.parallel import new_array, parallel_for, serial, threads_per_item
from ..geometry import ConvGeometry
from ..simd.layout import in_lanes, planes, starts
from ..simd.products import ROWS
from ..simd.vectors import LANES
from . import inverted_residual_loops as loops
from .depthwise import plan_forward
from .depthwise_loops import TILE as COLUMNS

TILE = 300_000  # elements of d, or of two vectors of h, at a time: they stay in the core's second-level cache


class Step(NamedTuple):
    """One of the three convolutions.

    Attributes
    ----------
    w : w1 (E, C), w2 (E, KH*KW) or w3 (F, E)
    b : (E,) or (F,)
    clip : (low, high)
        Of what comes out.
    """

    w: np.ndarray
    b: np.ndarray
    clip: tuple[float, float]


class ChannelSlice(NamedTuple):
    """The filters and biases of a range of the wide channels, packed into vectors of channels: see `layout.in_lanes`."""

    w1: np.ndarray
    b1: np.ndarray
    w2: np.ndarray
    b2: np.ndarray
    w3: np.ndarray


def _channel_slice(expand: Step | None, depthwise: Step, project: Step, channels: slice) -> ChannelSlice:
    by_channel = [] if expand is None else [expand.w[channels], expand.b[channels, None]]
    by_channel += [depthwise.w[channels], depthwise.b[channels, None], project.w[:, channels]]
    missing = [in_lanes(np.zeros((0, 1), depthwise.w.dtype))] * (5 - len(by_channel))
    return ChannelSlice(*missing, *map(in_lanes, by_channel))


@lru_cache(maxsize=256)
def _lay_out(geometry: ConvGeometry, H: int, W: int, width: int, F: int, count: int, most_numbers: int) -> tuple:
    """For ``count`` rows of y, made of ``width`` wide channels: what does not depend on the numbers.

    How many rows are made at a time; where the planes of x begin; places, pitch and offsets of the plan for the rows of h under
    them; where the planes of y begin, and its vectors; and how many numbers the vectors of h are.
    """
    (OH, OW), (KH, KW), (sh, _), (_, _, left, right) = geometry.count(H, W), geometry.kernel, geometry.stride, geometry.pads
    most = max(most_numbers // (OW * width + 2 * LANES * W * sh), 1)
    rows = -(-count // -(-count // most))
    plan = plan_forward(geometry._replace(pads=(0, 0, left, right)), (rows - 1) * sh + KH, W, LANES)
    of_x, of_y = starts(width, H * W), planes(F, OH * OW, rows * OW + ROWS)
    return rows, of_x, plan.x.places, plan.x.pitch, plan.offsets[: KH * KW], *of_y, plan.sizes[0] + LANES


def prepare(
    x_shape: tuple[int, ...],
    expand: Step | None,
    depthwise: Step,
    project: Step,
    geometry: ConvGeometry,
    shortcut: bool,
    packed_filters: dict[int, list[tuple[slice, ChannelSlice]]],
) -> Callable[[np.ndarray], np.ndarray]:
    """A function that returns y (N, F, OH, OW) of x (N, C, H, W), contiguous, by the equations above.

    Parameters
    ----------
    expand : Step, optional
        Without it, h is x.
    geometry : ConvGeometry
        Of the depthwise convolution on a map of x's height and width; without dilation.
    shortcut : bool
        Whether x, which then has y's shape, is added.
    packed_filters : dict
        A cache for these filters, which do not change any more: for each number of parts into which the wide channels were
        split, the range of channels and the filters of each part.
    """
    (N, C, H, W), E, F, dtype = x_shape, len(depthwise.w), len(project.b), project.w.dtype
    OH, OW = geometry.count(H, W)
    (KH, _), (sh, _), (top, _) = geometry.kernel, geometry.stride, geometry.origin
    threads = threads_per_item(N)
    # of a large map with few channels, threads take some rows each, and there is nothing to be added up
    by_rows = min(threads, OH) if OH * OW > E else 1
    parts = 1 if by_rows > 1 else min(threads, E)
    if parts not in packed_filters:
        ranges = [slice(E * part // parts, E * (part + 1) // parts) for part in range(parts)]
        packed_filters[parts] = [(channels, _channel_slice(expand, depthwise, project, channels)) for channels in ranges]
    steps = (depthwise, depthwise, project) if expand is None else (expand, depthwise, project)
    clips = [tuple(map(dtype.type, step.clip)) for step in steps]
    pieces = []
    for piece in range(parts * by_rows):
        rows_of_y = (OH * piece // by_rows, OH * (piece + 1) // by_rows) if by_rows > 1 else (0, OH)
        channels, (w1, b1, w2, b2, w3) = packed_filters[parts][0 if by_rows > 1 else piece]
        width = w3.shape[1] // LANES
        of_rows = rows_of_y[1] - rows_of_y[0]
        rows, x_rows, places, x_pitch, offsets, y_rows, y_places, size_h = _lay_out(geometry, H, W, width, F, of_rows, TILE)
        d_pitch = width + LANES  # a power of 2 would put neighbouring pixels into the same places of the cache
        how = (
            H, W, w1, b1, *clips[0], w2, b2, *clips[1], w3, F, KH, sh, top, OW, rows, x_rows, places, x_pitch, offsets,
            y_rows, y_places, d_pitch
        )  # fmt: skip
        spaces = {
            "x": (C, min((rows - 1) * sh + KH, H) * W + ROWS),
            "lanes x": (2, size_h),
            "d": ((rows * OW + max(ROWS, COLUMNS)) * d_pitch,),
            "lanes y": (2, len(y_places) * LANES),
        }
        pieces.append((slice(0, C) if expand else channels, rows_of_y, how, spaces))

    def run(x: np.ndarray) -> np.ndarray:
        x_flat, y = x.reshape(N, C, H * W), new_array((N, F, OH * OW), dtype)
        products = y[None] if parts == 1 else new_array((parts, N, F, OH * OW), dtype)

        def body(start: int, stop: int) -> None:
            for number in range(start, stop):
                n, piece = divmod(number, len(pieces))
                channels, rows_of_y, how, spaces = pieces[piece]
                product = products[0 if parts == 1 else piece, n]
                work = [workspace(use, shape, dtype) for use, shape in spaces.items()]
                # all of it in one call: between calls, threads would wait for each other to get Python's lock
                loops.add_channels(*rows_of_y, x_flat[n, channels], *how, *work, product.ravel())
                if parts == 1:
                    collect(n, *rows_of_y)

        def collect(n: int, first: int, last: int) -> None:
            loops.collect(products[:, n], project.b, *clips[2], x_flat[n : n + shortcut], first * OW, last * OW, y[n])

        parallel_for(N * len(pieces), body)
        if parts > 1:
            with serial():  # as a loop, so that it can be recorded
                parallel_for(OH, lambda first, last: [collect(n, first, last) for n in range(N)])
        return y.reshape(N, F, OH, OW)

    return run
