"""How Numba compiles our loops: once, cached on disk, without checks of indices, and without Python's lock while they run.

``no_cfunc_wrapper`` leaves out the entry point for callers in C, of which there are none; that saves a tenth of the time that
compiling takes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

from numba import config, njit
from numba.core.caching import FunctionCache

# the files whose functions become part of loops in other files
SHARED = (
    "runtime/compilation.py",
    "kernels/convolution/depthwise_loops.py",
    "kernels/convolution/rows.py",
    "kernels/convolution/winograd_transforms.py",
    "kernels/simd/products.py",
    "kernels/simd/vectors.py",
)

_OPTIONS = {"nogil": True, "boundscheck": False, "error_model": "numpy", "no_cfunc_wrapper": True}


class _LoopCache(FunctionCache):
    """Numba's cache on disk compiles a loop again when its own file has changed; this one also when a shared file has."""

    def _index_key(self, signature, codegen):
        return *super()._index_key(signature, codegen), _shared_sources()


@cache
def _shared_sources() -> str:
    package, digest = Path(__file__).parents[1], hashlib.sha256()
    for name in SHARED:
        digest.update((package / name).read_bytes())
    return digest.hexdigest()


def _cached_on_disk(**options: object) -> Callable[[Callable], Callable]:
    """A decorator: compiles a function with ``options``, and takes it from disk if it was compiled in an earlier run."""

    def decorate(function: Callable) -> Callable:
        compiled = njit(**_OPTIONS, **options)(function)
        if not config.DISABLE_JIT:
            compiled._cache = _LoopCache(function)
        return compiled

    return decorate


# a multiplication and an addition may become one instruction
loop = _cached_on_disk(fastmath={"contract"})
# and sums of many terms may be taken in any order, or they could not be vectorised; NaN and infinity still pass through
sum_loop = _cached_on_disk(fastmath={"contract", "reassoc", "nsz"})
# copied into the caller: in a call of its own, each use would count references to each array anew
inlined = njit(**_OPTIONS, inline="always", fastmath={"contract"})
