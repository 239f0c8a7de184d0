"""A row of ``x_padded[at]`` in ``textbook.im2col``: padded, and thinned out by the stride. Inlined into loops of other files.

The textbook slices the padded picture anew for each tap. Here a row is dealt out once, like cards, to as many phases as the
stride has: phase b holds the elements j*sw + b, so that every tap is a contiguous part of a phase.
"""

from __future__ import annotations

from ...runtime.compilation import inlined


@inlined
def _deal(row, phases, first, i, sw):
    """phases[first + b, i, j] = row[j*sw + b] for b < sw"""
    pitch = phases.shape[2]
    if sw == 2:
        even, odd = phases[first, i], phases[first + 1, i]
        for j in range(pitch):
            even[j] = row[2 * j]
            odd[j] = row[2 * j + 1]
    else:
        for b in range(sw):
            phase = phases[first + b, i]
            for j in range(pitch):
                phase[j] = row[j * sw + b]


@inlined
def pad_and_deal(source, left, reached, padded, phases, sw):
    """The row, as far as it is ``reached``, put into padded behind ``left`` zeros, and from there into the phases."""
    target = padded[left:]
    for j in range(reached):
        target[j] = source[j]
    _deal(padded, phases, 0, 0, sw)
