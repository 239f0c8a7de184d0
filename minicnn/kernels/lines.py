"""Padded planes of a picture in long lines, for convolutions that are sums of shifted lines.

With a padded plane laid out row after row ("pitch" elements each), shifting it by (p, q) is starting p*pitch + q elements
later: a loop that the processor's vector unit can run over all rows without stopping at their ends. The last elements of each
row of a sum mix two rows of the picture; they are left out when it is copied from its line. A stride of (sh, sw) deals the rows
and columns out to sh * sw lines (its phases), so that neighbours in the output are neighbours in a line again.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from .windows import Windows


class Lines(NamedTuple):
    """How padded planes are laid out in lines, for one kind of windows.

    Attributes
    ----------
    phases : (sh, sw)
        Padded row r lies in phase r % sh, as its row r // sh; columns likewise.
    shape : (rows, pitch)
        Of the line of one phase of one plane.
    phase, shift : int64 (KH*KW,)
        For each tap, the phase that it reads (a number below sh * sw) and where in that line it starts.
    """

    phases: tuple[int, int]
    shape: tuple[int, int]
    phase: np.ndarray
    shift: np.ndarray


@lru_cache(maxsize=256)
def lay_out(windows: Windows, OH: int, OW: int) -> Lines:
    """The lines for these windows."""
    (KH, KW), (sh, sw), _, (dh, dw) = windows
    rows, pitch = OH + (KH - 1) * dh // sh, OW + (KW - 1) * dw // sw
    p, q = np.divmod(np.arange(KH * KW), KW)
    phase = p * dh % sh * sw + q * dw % sw
    shift = p * dh // sh * pitch + q * dw // sw
    return Lines((sh, sw), (rows, pitch), phase, shift)
