"""Freed memory is used again, and not fetched from the system anew."""

import os
import subprocess
import sys

import numpy as np
import pytest
from callers import call_from_threads

from minicnn.inference.fusion import fuse
from minicnn.layers import Conv2d, Sequential
from minicnn.runtime import memory
from minicnn.runtime.memory import ROOMY, Pool, keep_freed_memory
from minicnn.runtime.parallel import PooledMemory, current, new_array, using

FAULTS = """
import resource
import sys
import numpy as np
if sys.argv[1] == "kept":
    import minicnn.runtime.parallel

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def pass_of_a_network():
    y = np.empty(10 << 20, np.float32)  # 40 MB: more than any threshold that glibc has
    y[:: 1024] = 1  # each page once

pass_of_a_network()
before = faults()
for _ in range(2):
    pass_of_a_network()
print(faults() - before)
"""


def page_faults(how: str, **environment: str) -> int:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    # without huge pages, so that each page counts by itself
    command = [sys.executable, "-c", FAULTS, how]
    out = subprocess.run(command, env=kept | {"NUMPY_MADVISE_HUGEPAGE": "0"} | environment, capture_output=True, text=True)
    assert out.returncode == 0, out.stderr
    return int(out.stdout)


@pytest.mark.skipif(not keep_freed_memory(), reason="the C library is not glibc, or the user has set its malloc otherwise")
def test_the_maps_of_the_next_pass_take_the_memory_of_the_last():
    assert page_faults("not kept") > 10_000  # 2 passes over 10,240 pages: else this test would show nothing
    assert page_faults("kept") < 1_000


@pytest.mark.skipif(not keep_freed_memory(), reason="the C library is not glibc, or the user has set its malloc otherwise")
def test_what_the_user_has_set_for_malloc_is_left_alone():
    assert page_faults("kept", MALLOC_MMAP_MAX_="65536", MALLOC_TRIM_THRESHOLD_="131072") > 10_000


# ---- memory of maps


@pytest.fixture
def pool(monkeypatch):
    monkeypatch.setattr(memory, "LARGE", 1000)
    return Pool()


def place(array):
    return array.__array_interface__["data"][0]


def test_what_one_large_array_leaves_the_next_gets(pool):
    first = pool.new_array((20, 50), np.float32)
    second, where = pool.new_array((1000,), np.float32), place(first)
    assert place(second) != where
    first[:] = second[:] = 1  # both can be written
    del first
    assert place(pool.new_array((10, 30), np.float64)) == where


def test_memory_is_not_lent_again_while_there_is_a_view_of_it(pool):
    whole = pool.new_array((20, 50), np.float32)
    row, where = whole[3], place(whole)
    del whole
    other = pool.new_array((20, 50), np.float32)
    assert not np.may_share_memory(row, other)
    del row
    assert place(pool.new_array((20, 50), np.float32)) == where


def test_the_smallest_memory_that_fits_is_lent_and_none_that_is_much_too_large(pool):
    large, small = (pool.new_array((n,), np.uint8) for n in (ROOMY * 3000, 4000))
    where = place(small)
    del large, small
    fitting = pool.new_array((3000,), np.uint8)
    assert place(fitting) == where
    del fitting
    too_small_for_large = pool.new_array((2999,), np.uint8)
    assert place(too_small_for_large) == where
    assert len(pool.free) == 1
    pool.new_array((2000,), np.uint8)  # the large one does not fit, and nothing goes for it
    assert sorted(map(len, pool.free)) == [2000, ROOMY * 3000]


def test_memory_that_is_too_small_goes_for_what_is_large_enough(pool):
    arrays = [pool.new_array((n,), np.uint8) for n in (2000, 3000)]
    del arrays
    larger = pool.new_array((4000,), np.uint8)
    assert list(map(len, pool.free)) == [2000]
    del larger
    assert sorted(map(len, pool.free)) == [2000, 4000]


def test_small_arrays_do_without_a_pool(pool):
    small = pool.new_array((10,), np.float32)
    del small
    assert not pool.free


def test_arrays_come_from_a_pool_where_it_is_said(pool):
    with using(PooledMemory(current(), pool)):
        inside = new_array((20, 50), np.float32)
    outside = new_array((20, 50), np.float32)
    del inside, outside
    assert len(pool.free) == 1


def test_a_fused_network_gives_results_that_its_next_pass_leaves_alone(pool):
    net, rng = fuse(Sequential(a=Conv2d(3, 8, 3, rng=0), b=Conv2d(8, 8, 3, rng=1))), np.random.default_rng(2)
    x = [rng.standard_normal((n, 3, 12, 12), np.float32) for n in (2, 3, 2, 4)]
    y = [net.forward(one) for one in x]
    for one, result in zip(x, y, strict=True):
        np.testing.assert_array_equal(fuse(net).forward(one), result)
    assert list(map(len, net.replayer.pool.free)) == [4 * 8 * 10 * 10 * 4]  # all but the results came back


def test_each_thread_has_a_pool_of_its_own(pool):
    net, x = fuse(Sequential(a=Conv2d(3, 8, 3, rng=0), b=Conv2d(8, 8, 3, rng=1))), np.ones((2, 3, 12, 12), np.float32)
    pools = []

    def run(_):
        for _ in range(20):
            net.forward(x)
        pools.append(net.replayer.pool.free)

    call_from_threads(run, 2)
    assert pools[0] is not pools[1]
