"""Matrix products: ``a @ b`` of NumPy, split over our own threads, while BLAS has one thread in each; see ``runtime.blas``."""

from __future__ import annotations

import numpy as np

from ..runtime.parallel import parallel_for, serial_if
from .convolution.choice import is_short_work

MEMORY_BOUND_ROWS = 4  # of a; with fewer, a product takes as long as with this many: it waits for b to come from the memory


def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a @ b, (M, K) times (K, L), split along the longer side of the result: there may be many samples, or many features."""
    (M, K), L = a.shape, b.shape[1]
    result = np.empty((M, L), np.result_type(a, b))

    def rows(start: int, stop: int) -> None:
        np.matmul(a[start:stop], b, out=result[start:stop])

    def columns(start: int, stop: int) -> None:
        if M == 1:  # np.matmul would hold Python's lock meanwhile, and the other threads would wait for it
            np.dot(b[:, start:stop].T, a[0], out=result[0, start:stop])
        else:
            np.matmul(a, b[:, start:stop], out=result[:, start:stop])

    with serial_if(is_short_work(max(M, MEMORY_BOUND_ROWS) * K * L)):
        if M >= L:
            parallel_for(M, rows)
        else:
            parallel_for(L, columns)
    return result
