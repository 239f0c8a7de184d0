"""Freed memory is used again, and not fetched from the system anew."""

import os
import subprocess
import sys

import pytest

from minicnn.kernels.memory import keep_freed_memory

FAULTS = """
import resource
import sys
import numpy as np
if sys.argv[1] == "kept":
    import minicnn.kernels.threads

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
