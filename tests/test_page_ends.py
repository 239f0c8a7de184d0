"""No kernel of a convolution reads or writes beyond its arrays: each lies at the edge of a page that must not be touched.

Whoever touches that page is killed by the system. So all of it runs in a process of its own, twice: once in ordinary memory,
which compiles what is to be compiled, and once with every array of NumPy's, every map and every workspace at such an edge.
"""

import os
import signal
import subprocess
import sys

import pytest

SCRIPT = '''
import ctypes, faulthandler, math, mmap, sys
import numpy as np
faulthandler.enable()
SIDE, libc = sys.argv[1], ctypes.CDLL(None, use_errno=True)
libc.mprotect.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
PAGE, NOTHING, NAN = mmap.PAGESIZE, 0, 255


def edge(size):
    """So many bytes, all of them 255, directly before a page that must not be touched, or after it."""
    size = int(size)
    room = -(-max(size, 1) // PAGE) * PAGE
    memory = mmap.mmap(-1, room + PAGE)
    flat = np.frombuffer(memory, np.uint8)
    flat[:] = NAN
    forbidden = flat.ctypes.data + (room if SIDE == "end" else 0)
    assert libc.mprotect(forbidden, PAGE, NOTHING) == 0
    return flat[room - size : room] if SIDE == "end" else flat[PAGE : PAGE + size]


def empty(shape, dtype=float, order="C", **_):
    shape, dtype = (shape,) if np.ndim(shape) == 0 else tuple(shape), np.dtype(dtype)
    if dtype.hasobject:
        return np_empty(shape, dtype)
    return edge(math.prod(shape) * dtype.itemsize).view(dtype).reshape(shape)


def zeros(shape, dtype=float, order="C", **_):
    array = empty(shape, dtype)
    array[...] = 0
    return array


def at_edge(array):
    """The same numbers in the same order of memory, at an edge."""
    order = np.argsort([-stride for stride in array.strides], kind="stable")
    copy = empty([array.shape[axis] for axis in order], array.dtype).transpose(np.argsort(order))
    copy[...] = array
    return copy


class NewWorkspaces(dict):
    """Each that is asked for is new."""

    def get(self, key):
        return None


from minicnn.kernels import textbook
from minicnn.kernels.convolution import choice, depthwise, direct, inverted_residual, winograd
from minicnn.kernels.convolution import dispatch as conv
from minicnn.kernels.geometry import ConvGeometry
from minicnn.runtime import memory
from minicnn.runtime.process import thread
from minicnn.runtime.workers import set_threads

set_threads(1)
np_empty, np_zeros, aligned, workspaces = np.empty, np.zeros, memory.aligned, thread.workspaces


def guarded(is_guarded):
    np.empty, np.zeros = (empty, zeros) if is_guarded else (np_empty, np_zeros)
    memory.aligned = empty if is_guarded else aligned
    thread.workspaces = NewWorkspaces() if is_guarded else workspaces


def all_steps(name, x, w, b, how):
    """y in the middle of more channels and at either end of them, and gradients."""
    F, planned = len(w), conv.PlannedConvolution(w, b, how[-1], (-9, 9), name)
    geometry = ConvGeometry(w.shape[2:], *how[:3])
    y = conv.conv2d_forward(x, w, b, *how, clip=(-9, 9), algorithm=name)
    for more, first in ((0, 0), (3, 0), (3, 3), (9, 4)):
        maps = np.empty((len(x), *y.shape[2:], F + more), x.dtype)
        np.testing.assert_array_equal(planned.plan(x, geometry)(x, maps, first), y)
    dy = np.ascontiguousarray(y.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    dx = conv.conv2d_dx(dy, w, x.shape[2:], *how, algorithm=name)
    return y, dx, conv.conv2d_dw(dy, x, w.shape[2:], *how, algorithm=name), conv.conv2d_db(dy)


def block(x, w1, b1, w2, b2, w3, b3):
    flat = [w.reshape(len(w), -1) for w in (w1, w2, w3)]
    steps = [inverted_residual.Step(w, b, (-9, 9)) for w, b in zip(flat, (b1, b2, b3))]
    geometry, x = ConvGeometry((3, 3), (2, 1), (0, 1, 1, 1), (1, 1)), np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    N, H, W, C = x.shape
    yield inverted_residual.prepare((N, C, H, W), *steps, geometry, False, {})(x)
    if C == len(w2):
        yield inverted_residual.prepare((N, C, H, W), None, *steps[1:], geometry, False, {})(x)


def cases(dtype):
    rng = np.random.default_rng(0)
    some = lambda *shape: rng.standard_normal(shape).astype(dtype)
    for C, F in ((1, 1), (3, 5), (5, 17), (16, 16), (17, 40), (2, 70)):
        for size, kernel, stride, pads in (
            ((5, 6), (3, 3), (1, 1), (1, 1, 1, 1)), ((5, 6), (2, 3), (2, 1), (0, 0, 0, 0)),
            ((3, 7), (1, 1), (1, 1), (0, 0, 0, 0)),
            ((1, 1), (1, 1), (1, 1), (0, 0, 0, 0)), ((4, 4), (2, 2), (3, 3), (3, 4, 5, 2)),
        ):
            for groups in (1, 2):
                how = stride, pads, (1, 1), groups
                yield "direct", some(2, groups * C, *size), some(groups * F, C, *kernel), some(groups * F), how
            how = stride, pads, (1, 1), F
            yield "depthwise", some(2, F, *size), some(F, 1, *kernel), some(F), how
        for size, pads in (((5, 6), (1, 1, 1, 1)), ((6, 6), (0, 0, 0, 0)), ((1, 2), (3, 2, 1, 3))):
            for name in ("winograd2", "winograd4"):
                yield name, some(2, C, *size), some(F, C, 3, 3), some(F), ((1, 1), pads, (1, 1), 1)
        yield "block", some(1, C, 5, 6), some(F, C, 1, 1), some(F), some(F, 1, 3, 3), some(F), some(C, F, 1, 1), some(C)


def limits(seed):
    """Every third case in small pieces, and every third with sums in parts."""
    small, parts = seed % 3 == 1, seed % 3 == 2
    direct.NUMBERS_PER_PIECE = depthwise.NUMBERS_PER_PIECE = 1 if small else 1 << 16
    direct.NUMBERS_PER_PART = 128 if parts else 1 << 15
    direct.SMALL_GRADIENT = 0 if parts else 1 << 16
    direct.PIXELS_PER_SUM = 1 if small else 128
    winograd.TILES_PER_BLOCK, winograd.NARROW = (1, 1 << 15) if small else (1 << 20, 0) if parts else (32, 1 << 15)
    winograd.NUMBERS_PER_BLOCK = 1 if small else 1 << 17
    inverted_residual.NUMBERS_AT_ONCE = 1 if small else 1 << 17
    direct._divide.cache_clear()


if len(sys.argv) > 2:
    eight = edge(8)
    ctypes.string_at(eight.ctypes.data + int(sys.argv[2]), 1)
    sys.exit()
for dtype in (np.float32, np.float64):
    for seed, (name, *arrays) in enumerate(cases(dtype)):
        how = arrays.pop() if name != "block" else None
        if seed % 2:  # as a layer hands maps on
            arrays[0] = np.ascontiguousarray(arrays[0].transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
        limits(seed)
        results = []
        for is_guarded in (False, True):
            guarded(is_guarded)
            some = [at_edge(array) for array in arrays] if is_guarded else arrays
            print(dtype.__name__, seed, name, is_guarded, *(array.shape for array in arrays), how, file=sys.stderr)
            results.append(list(block(*some)) if name == "block" else all_steps(name, *some, how))
            guarded(False)
        for plain, at_edges in zip(*results):
            np.testing.assert_array_equal(at_edges, plain)
print(seed)
'''


pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="pages are protected by Linux's mprotect"),
    pytest.mark.skipif(bool(os.environ.get("NUMBA_DISABLE_JIT")), reason="Python checks indices by itself"),
]


def run(side, *touched):
    """In a process of its own; if a byte is to be ``touched``, counted from the first of an array of eight, then that alone."""
    command = [sys.executable, "-c", SCRIPT, side, *map(str, touched)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600)


@pytest.mark.parametrize("side", ["end", "beginning"])
def test_no_convolution_reads_or_writes_beyond_its_arrays(side):
    result = run(side)
    assert result.returncode == 0, result.stderr[-3000:]
    assert int(result.stdout) > 100  # cases


def test_who_touches_the_page_is_killed():
    assert [run("end", byte).returncode for byte in (7, 8)] == [0, -signal.SIGSEGV]
    assert [run("beginning", byte).returncode for byte in (0, -1)] == [0, -signal.SIGSEGV]
