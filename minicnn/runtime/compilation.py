"""How Numba compiles our loops: once, kept on disk, without tests of indices, and free of Python's lock while they run.

``no_cfunc_wrapper`` leaves out what makes each of them callable from C, which nobody does. It takes a tenth of the time of
compiling.
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
    "kernels/simd/layout.py",
    "kernels/simd/products.py",
    "kernels/simd/vectors.py",
)

_how = {"nogil": True, "boundscheck": False, "error_model": "numpy", "no_cfunc_wrapper": True}


class _LoopCache(FunctionCache):
    """Numba's cache on disk, which compiles a loop again when its file has changed, and here also when a shared one has."""

    def _index_key(self, signature, codegen):
        return *super()._index_key(signature, codegen), _shared_sources()


@cache
def _shared_sources() -> str:
    package, digest = Path(__file__).parents[1], hashlib.sha256()
    for name in SHARED:
        digest.update((package / name).read_bytes())
    return digest.hexdigest()


def _kept_on_disk(**options: object) -> Callable[[Callable], Callable]:
    def decorate(function: Callable) -> Callable:
        compiled = njit(**_how, **options)(function)
        if not config.DISABLE_JIT:
            compiled._cache = _LoopCache(function)
        return compiled

    return decorate


# a multiplication and an addition may become one instruction
loop = _kept_on_disk(fastmath={"contract"})
# and sums of many terms may be taken in any order, or they could not be vectorised; NaN and infinity still pass through
sum_loop = _kept_on_disk(fastmath={"contract", "reassoc", "nsz"})
# written into the caller: a call for each of its uses would count anew who uses each of its arrays
inlined = njit(**_how, inline="always", fastmath={"contract"})
