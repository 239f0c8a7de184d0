"""How Numba compiles our loops: once, kept on disk, without tests of indices, and free of Python's lock while they run.

``no_cfunc_wrapper`` leaves out what makes each of them callable from C, which nobody does. It takes a tenth of the time of
compiling.
"""

from __future__ import annotations

from numba import njit

_how = {"nogil": True, "boundscheck": False, "error_model": "numpy", "no_cfunc_wrapper": True}

# a multiplication and an addition may become one instruction
loop = njit(**_how, cache=True, fastmath={"contract"})
# and sums of many terms may be taken in any order, or they could not be vectorised; NaN and infinity still pass through
sum_loop = njit(**_how, cache=True, fastmath={"contract", "reassoc", "nsz"})
# written into the caller: a call for each of its uses would count anew who uses each of its arrays
inlined = njit(**_how, inline="always", fastmath={"contract"})
