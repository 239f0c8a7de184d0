"""What the processor can do at most: how fast it multiplies and adds in registers, and how fast it reads memory.

These are the two limits of a roofline: nothing that needs so many operations and so many bytes can be faster than the slower
of both. They are measured in loops of our own, of explicit vectors, with one thread and with as many as the benchmark has.

The loop of arithmetic is ``sum = sum * factor + term``, for so many sums that each waits for its own last result while the
others keep the processor busy, and so few that all stay in registers. The loop of memory adds up an array that is many times
as large as the last cache. Reading is the fastest that memory can do; what also writes stays below it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from minicnn.kernels.simd.products import HAS_AVX512
from minicnn.kernels.simd.vectors import VECTOR_WIDTH, add, load, multiply_add, spread, store
from minicnn.runtime.compilation import inlined, loop
from minicnn.runtime.parallel import parallel_for

from .rows import Limits

GROUP_OF_SUMS = 6
# with AVX-512 a sum is one of 32 registers, otherwise two of 16 or four of 32
SUMS = (2 if HAS_AVX512 else 1) * GROUP_OF_SUMS
ROUNDS = 3_000_000  # about ten milliseconds
CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
TIMES_THE_CACHE = 8
LEAST_BYTES, MOST_BYTES = 2**28, 2**30  # of the array that is read


def measure_limits(threads: int, repetitions: int) -> Limits:
    """The fastest of so many repetitions each; ``threads`` is how many the thread pool has."""
    return Limits(
        _gflops(threads, repetitions),
        _gflops(1, repetitions),
        *_bandwidths(threads, repetitions),
    )


def _gflops(threads: int, repetitions: int) -> float:
    """10^9 operations a second, two for each multiply-add."""
    start = np.linspace(0, 1, SUMS * VECTOR_WIDTH, dtype=np.float32)
    result = np.empty((threads, SUMS * VECTOR_WIDTH), np.float32)

    def body(first: int, last: int) -> None:
        for k in range(first, last):
            multiply_and_add(start, ROUNDS, np.float32(0.5), np.float32(1), result[k])

    seconds = _fastest(_split(threads, threads, body), repetitions)
    return threads * ROUNDS * SUMS * VECTOR_WIDTH * 2 / seconds / 1e9


def _bandwidths(threads: int, repetitions: int) -> tuple[float, float]:
    """10^9 bytes read a second, with all threads and with one."""
    step = 4 * VECTOR_WIDTH
    blocks = min(max(TIMES_THE_CACHE * last_cache_bytes(), LEAST_BYTES), MOST_BYTES) // (4 * step)
    x, total = np.empty(blocks * step, np.float32), np.empty(VECTOR_WIDTH, np.float32)

    def fill(first: int, last: int) -> None:  # a page lies where the thread runs that wrote it first
        x[first * step : last * step] = 1

    def body(first: int, last: int) -> None:
        add_up(x[first * step : last * step], total)

    parallel_for(blocks, fill)
    together, alone = (_fastest(_split(blocks, count, body), repetitions) for count in (threads, 1))
    return x.nbytes / together / 1e9, x.nbytes / alone / 1e9


def _split(n: int, threads: int, body: Callable[[int, int], None]) -> Callable[[], None]:
    """The loop over range(n) on all threads, or in the calling one."""
    return (lambda: parallel_for(n, body)) if threads > 1 else (lambda: body(0, n))


def _fastest(call: Callable[[], object], times: int) -> float:
    """Seconds of the fastest of so many calls, after one that does not count."""
    call()
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def last_cache_bytes(caches: Path = CACHES) -> int:
    """Size of the largest cache of the first core, as Linux tells it; 0 where it is not known."""
    sizes = [file.read_text().strip() for file in caches.glob("index*/size")]
    return max((int(size[:-1]) * {"K": 2**10, "M": 2**20}[size[-1]] for size in sizes), default=0)


# ---- the loops


@inlined
def _advance(sums, factor, term):
    """sum * factor + term for each of the sums, vectors."""
    a, b, c, d, e, f = sums
    a, b, c = multiply_add(a, factor, term), multiply_add(b, factor, term), multiply_add(c, factor, term)
    d, e, f = multiply_add(d, factor, term), multiply_add(e, factor, term), multiply_add(f, factor, term)
    return a, b, c, d, e, f


@inlined
def _load_group(x, at):
    """As many vectors as a group of sums has, from x[at] on."""
    a, b, c = load(x, at), load(x, at + VECTOR_WIDTH), load(x, at + 2 * VECTOR_WIDTH)
    d, e, f = load(x, at + 3 * VECTOR_WIDTH), load(x, at + 4 * VECTOR_WIDTH), load(x, at + 5 * VECTOR_WIDTH)
    return a, b, c, d, e, f


@inlined
def _store_group(sums, y, at):
    """The group of sums to y, from y[at] on."""
    a, b, c, d, e, f = sums
    store(a, y, at)
    store(b, y, at + VECTOR_WIDTH)
    store(c, y, at + 2 * VECTOR_WIDTH)
    store(d, y, at + 3 * VECTOR_WIDTH)
    store(e, y, at + 4 * VECTOR_WIDTH)
    store(f, y, at + 5 * VECTOR_WIDTH)


@loop
def multiply_and_add(start, rounds, factor, term, result):
    """result = start, after so many rounds of result = result * factor + term; start and result are SUMS vectors, flat."""
    factor, term = spread(factor), spread(term)
    sums = _load_group(start, 0)
    if SUMS > GROUP_OF_SUMS:  # known when this is compiled
        others = _load_group(start, GROUP_OF_SUMS * VECTOR_WIDTH)
        for _ in range(rounds):
            sums, others = _advance(sums, factor, term), _advance(others, factor, term)
        _store_group(others, result, GROUP_OF_SUMS * VECTOR_WIDTH)
    else:
        for _ in range(rounds):
            sums = _advance(sums, factor, term)
    _store_group(sums, result, 0)


@loop
def add_up(x, total):
    """total[lane] = sum of x[lane + k*VECTOR_WIDTH] over k; the length of x is a multiple of 4 * VECTOR_WIDTH."""
    zero = spread(x.dtype.type(0))
    a, b, c, d = zero, zero, zero, zero
    for at in range(0, len(x), 4 * VECTOR_WIDTH):
        a, b = add(a, load(x, at)), add(b, load(x, at + VECTOR_WIDTH))
        c, d = add(c, load(x, at + 2 * VECTOR_WIDTH)), add(d, load(x, at + 3 * VECTOR_WIDTH))
    store(add(add(a, b), add(c, d)), total, 0)
