"""Matrix products on all threads, by the rule of ``threads``: our threads split the work, BLAS gets one thread in each."""

from __future__ import annotations

import numpy as np

from .threads import parallel_for


def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a b, (M, K) times (K, L), split along the longer side of the result: few samples with many features, or the reverse."""
    (M, _), L = a.shape, b.shape[1]
    result = np.empty((M, L), np.result_type(a, b))

    def rows(start: int, stop: int) -> None:
        np.matmul(a[start:stop], b, out=result[start:stop])

    def columns(start: int, stop: int) -> None:
        np.matmul(a, b[:, start:stop], out=result[:, start:stop])

    if M >= L:
        parallel_for(M, rows)
    else:
        parallel_for(L, columns)
    return result
