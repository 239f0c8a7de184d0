"""The block that MobileNetV2 and EfficientNet are made of, for inference, in one go: widen, filter each channel, narrow.

It is ``textbook.conv2d_forward`` with 1x1 filters, ``textbook.depthwise_forward``, and 1x1 filters once more, each clipped.
Added are vectors, threads, and wide maps that never leave the cache:

h[n] = clip(w1 x[n] + b1)    (H, W, E)      1x1, E channels from C
d[n] = clip(w2 * h[n] + b2)  (OH, OW, E)    depthwise, see ``depthwise``
y[n] = clip(w3 d[n] + b3)    (OH, OW, F)    1x1, F channels from E, and + x[n] within the clip where there is a shortcut

E is several times C and F. One after another, these layers write and read the wide maps h and d as a whole, which no core's
cache can hold. Here a panel of channels of h is made at a time (see ``simd.products``), with zeros around it, and from it the
same channels of d. Where d would be too much for the cache, some rows of y are made at a time, and the rows of h that they
need. (Where the next rows of y begin, some rows of h are made twice.)

Threads share a picture without waiting for each other: each takes some rows of a large map; of a small one some of the
channels all the way, as each channel of h becomes one of d and y is a sum over them, and the parts of y are added up in the
end. The first step may be missing: then it is a depthwise and a pointwise convolution, of which MobileNet is made.

Sandler et al. 2018, "MobileNetV2: Inverted Residuals and Linear Bottlenecks", section 5, "memory efficient inference", takes
the wide maps some channels at a time for the same reason.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ...runtime.memory import workspace
from ...runtime.parallel import new_array, parallel_for, serial, threads_per_item
from ..elementwise import NO_CLIP
from ..geometry import ConvGeometry
from ..simd.products import pack_matrix, panels, vectors_at_once
from ..simd.vectors import VECTOR_WIDTH
from . import inverted_residual_loops as loops

NUMBERS_AT_ONCE = 1 << 17  # of d and of a panel of h: they stay in the core's second-level cache


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
    """The filters and biases of a range of the wide channels, packed into panels, flat: see `products.panels`.

    Attributes
    ----------
    panels_of_h, panels_of_y : int64 (panels, 5)
    filters : (w1, b1, w2, b2, w3, b3)
        b1, b2 and w2 (vectors, taps, VECTOR_WIDTH) in the order of the vectors of h. Without w1 there is no b1 either, and w2
        is (taps, E).
    """

    panels_of_h: np.ndarray
    panels_of_y: np.ndarray
    filters: tuple[np.ndarray, ...]


def _channel_slice(expand: Step | None, depthwise: Step, project: Step, channels: slice, is_whole: bool) -> ChannelSlice:
    """``is_whole`` if these are all channels; the bias and clip of y are added only where all are summed up."""
    (E, taps), F, dtype = depthwise.w[channels].shape, len(project.b), project.w.dtype
    of_h, of_y = panels(E, dtype), panels(F, dtype)
    w3, b3 = pack_matrix(project.w[:, channels], of_y), np.zeros(max(F, VECTOR_WIDTH), dtype)
    if is_whole:
        b3[:F] = project.b
    if expand is None:
        width, nothing = max(E, VECTOR_WIDTH), np.zeros(0, dtype)
        w2, b2 = np.zeros((taps, width), dtype), np.zeros(width, dtype)
        w2[:, :E], b2[:E] = depthwise.w.T, depthwise.b
        return ChannelSlice(of_h, of_y, (nothing, nothing, w2.reshape(-1), b2, w3, b3))
    w1, b1, b2 = (
        pack_matrix(some, of_h) for some in (expand.w[channels], expand.b[channels, None], depthwise.b[channels, None])
    )
    w2, before = pack_matrix(depthwise.w[channels], of_h).reshape(-1, VECTOR_WIDTH), 0
    for vectors in of_h[:, 0]:  # from (panel, taps, vectors) to (vectors, taps)
        some = w2[before * taps : (before + vectors) * taps]
        some[:] = some.reshape(taps, vectors, VECTOR_WIDTH).swapaxes(0, 1).reshape(some.shape)
        before += vectors
    return ChannelSlice(of_h, of_y, (w1, b1, w2.reshape(-1), b2, w3, b3))


def prepare(
    x_shape: tuple[int, ...],
    expand: Step | None,
    depthwise: Step,
    project: Step,
    geometry: ConvGeometry,
    shortcut: bool,
    packed_filters: dict[int, list[tuple[slice, ChannelSlice]]],
) -> Callable[[np.ndarray], np.ndarray]:
    """A function that returns y (N, OH, OW, F) of x (N, H, W, C), contiguous, by the equations above.

    Parameters
    ----------
    x_shape : (N, C, H, W)
    expand : Step, optional
        Without it, h is x.
    geometry : ConvGeometry
        Of the depthwise convolution on a map of x's height and width; without dilation.
    shortcut : bool
        Whether x, which then has y's shape, is added.
    packed_filters : dict
        A cache for these filters, which do not change any more: for each number of parts into which the wide channels were
        split, the filters of each part.
    """
    (N, C, H, W), E, F, dtype = x_shape, len(depthwise.w), len(project.b), project.w.dtype
    (OH, OW), (KH, KW), (sh, sw), (top, _, left, right) = geometry.count(H, W), geometry.kernel, geometry.stride, geometry.pads
    threads = threads_per_item(N)
    # of a large map with few channels, threads take some rows each, and there is nothing to be added up
    by_rows = min(threads, OH) if expand is None or OH * OW > E else 1
    parts = 1 if by_rows > 1 or expand is None else min(threads, E)
    if parts not in packed_filters:
        ranges = [slice(E * part // parts, E * (part + 1) // parts) for part in range(parts)]
        packed_filters[parts] = [_channel_slice(expand, depthwise, project, some, parts == 1) for some in ranges]
    slices = packed_filters[parts]
    clip1, clip2, clip3 = (depthwise if expand is None else expand).clip, depthwise.clip, project.clip
    clips = tuple(map(dtype.type, (*clip1, *clip2, *(clip3 if parts == 1 else NO_CLIP))))
    width_of_h = vectors_at_once(dtype) * VECTOR_WIDTH if expand else C
    columns = max(W + left + right, (OW - 1) * sw + KW)
    width_of_d = -(-E // (parts * VECTOR_WIDTH)) * VECTOR_WIDTH + VECTOR_WIDTH  # a power of 2 would put neighbours in one place
    most = max(NUMBERS_AT_ONCE // (OW * width_of_d + sh * columns * width_of_h), 1)
    rows_of_piece = -(-OH // by_rows)
    rows = -(-rows_of_piece // -(-rows_of_piece // most))
    sizes = H, W, C, F, KH, sh, sw, top, left, OW, rows, columns, width_of_h, width_of_d
    p, q = np.indices((KH, KW)).reshape(2, -1)
    offsets = (p * columns + q) * width_of_h
    size_of_h, size_of_d = ((rows - 1) * sh + KH) * columns * width_of_h, rows * OW * width_of_d
    pieces = [(part, OH * i // by_rows, OH * (i + 1) // by_rows) for part in range(parts) for i in range(by_rows)]
    nothing = np.zeros(0, dtype)

    def run(x: np.ndarray) -> np.ndarray:
        x_flat, y = x.reshape(N, H * W * C), new_array((N, OH, OW, F), dtype)
        products = y.reshape(1, N, OH * OW * F) if parts == 1 else new_array((parts, N, OH * OW * F), dtype)

        def body(start: int, stop: int) -> None:
            for number in range(start, stop):
                n, piece = divmod(number, len(pieces))
                part, first_row, last_row = pieces[piece]
                h, d = workspace("h", (size_of_h,), dtype), workspace("d", (size_of_d,), dtype)
                z = x_flat[n] if shortcut and parts == 1 else nothing
                loops.add_channels(
                    first_row, last_row, sizes, x_flat[n], *slices[part], clips, offsets, z, products[part, n], h, d
                )

        parallel_for(N * len(pieces), body)
        if parts > 1:
            clip = tuple(map(dtype.type, clip3))

            def collect(start: int, stop: int) -> None:
                for n in range(N):
                    loops.collect(products[:, n], project.b, clip, x_flat[n : n + shortcut], start * OW, stop * OW, y[n])

            with serial():  # as a loop, so that it can be recorded
                parallel_for(OH, collect)
        return y

    return run
