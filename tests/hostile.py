"""Weights files made wrong on purpose, and what every reader must do with them; also the net whose files are made wrong.

A reader may return arrays or raise a WeightsError. It must not raise anything else, take long, take memory out of proportion to
the file, open another file, or start a program.
"""

import io
import random
import sys
import time
import tracemalloc
import zipfile
from contextlib import contextmanager

import numpy as np

from minicnn.errors import WeightsError

MANY = 2000  # mutated files a format
SECONDS = 2.0  # of work on one file of some kilobytes; it takes a millisecond
ALWAYS_FINE, TIMES = 2 << 20, 16  # bytes of memory that a reader may take: so many, and so many times the file
EXTREMES = (0, 1, 0x7F, 0xFF, 0xFFFF, 1 << 31, (1 << 32) - 1, 1 << 40, 1 << 62, 1 << 63, (1 << 64) - 1)
FORBIDDEN = (
    "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "os.startfile", "subprocess.", "socket.", "pickle.",
    "ctypes.", "webbrowser.", "shutil.", "os.remove", "os.rename", "os.mkdir", "os.chmod",
)  # fmt: skip


def small_net():
    """Arrays of a small net by PyTorch's names, in PyTorch's layout, float32: no kernel is symmetric, no two arrays are alike.

    A convolution, batch norm, a depthwise and a grouped convolution, and a linear layer on what is flattened (4 x 3 x 2).
    """
    rng = np.random.default_rng(0)
    shapes = {
        "conv.weight": (5, 3, 3, 2), "conv.bias": (5,),
        "bn.weight": (5,), "bn.bias": (5,), "bn.running_mean": (5,), "bn.running_var": (5,),
        "depthwise.weight": (5, 1, 2, 3),
        "pointwise.weight": (10, 5, 1, 1), "grouped.weight": (4, 5, 2, 2), "grouped.bias": (4,),
        "fc.weight": (6, 24), "fc.bias": (6,),
    }  # fmt: skip
    arrays = {name: rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}
    return arrays | {"bn.running_var": rng.uniform(0.5, 1.5, 5).astype(np.float32)}


def assert_same_arrays(arrays, expected):
    """Names, order, types, shapes, bits; and memory of their own."""
    assert list(arrays) == list(expected)
    for name, array in arrays.items():
        other = np.asarray(expected[name])
        assert (array.dtype, array.shape) == (other.dtype, other.shape), name
        assert array.tobytes() == other.tobytes(), name
        assert array.flags.c_contiguous and array.flags.writeable and array.dtype.isnative, name
    for name, array in arrays.items():
        assert not any(np.shares_memory(array, other) for key, other in arrays.items() if key != name), name


def varint(value):
    """A whole number as Protocol Buffers write it."""
    groups = [value >> shift & 0x7F for shift in range(0, max(value.bit_length(), 1), 7)]
    return bytes([group | 0x80 for group in groups[:-1]] + groups[-1:])


# ---- making files wrong


def truncated(whole, step=1):
    """The file cut off after every ``step`` bytes, and just before its end."""
    return [whole[:end] for end in (*range(0, len(whole), step), len(whole) - 1)]


def mutated(whole, count, seed=0, start=0, end=None, skip_zeros=False):
    """So many files with up to four wrong places between bytes ``start`` and ``end``; where most bytes are 0, not in those."""
    rng = random.Random(seed)
    places = range(start, len(whole) if end is None else end)
    if skip_zeros:
        places = [at for at in places if whole[at]]
    for _ in range(count):
        data = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            at = min(rng.choice(places), len(data) - 1)
            length = rng.randint(1, 30)
            match rng.randrange(8):
                case 0 | 1:
                    data[at] ^= 1 << rng.randrange(8)
                case 2:
                    data[at] = rng.randrange(256)
                case 3:
                    width = rng.choice((1, 2, 4, 8))
                    at -= at % width
                    data[at : at + width] = (rng.choice(EXTREMES) % (1 << 8 * width)).to_bytes(width, "little")
                case 4:
                    del data[at : at + length]
                case 5:
                    data[at:at] = data[at : at + length]
                case 6:
                    data[at : at + length] = bytes(length)
                case 7:
                    other = min(rng.choice(places), len(data) - 1)
                    data[at : at + length] = data[other : other + length]
        yield bytes(data)


def entry_of(whole, name):
    """The content of one entry of a zip archive, given as bytes."""
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        return archive.read(name)


def with_entry(whole, name, content, compression=zipfile.ZIP_STORED):
    """The archive with another content of this entry, and a checksum that fits it."""
    changed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole)) as old, zipfile.ZipFile(changed, "w", compression) as new:
        for entry in old.namelist():
            new.writestr(entry, content if entry == name else old.read(entry))
        if name not in old.namelist():
            new.writestr(name, content)
    return changed.getvalue()


# ---- what a reader does with them


def assert_only_refuses(read, path, files):
    """Read every file; return how many were refused. Anything but arrays or a WeightsError, or too much of anything, fails."""
    refused = 0
    tracemalloc.start()
    try:
        with open(path, "wb", buffering=0) as file:
            for k, data in enumerate(files):
                file.seek(0)
                file.write(data)
                file.truncate()  # afterwards: some file systems take their time for a file that is emptied and written anew
                with modest(path, len(data)):
                    try:
                        arrays = read(path)
                    except WeightsError as error:
                        assert str(path) in str(error) and len(str(error)) < 2000, k
                        refused += 1
                    else:
                        assert all(isinstance(array, np.ndarray) for array in arrays.values()), k
    finally:
        tracemalloc.stop()
    return refused


@contextmanager
def modest(path, size, always_fine=ALWAYS_FINE, times=TIMES):
    """Inside, a file of so many bytes may be read: quickly, with little memory, and without any effect on the world."""
    own = not tracemalloc.is_tracing()
    if own:
        tracemalloc.start()
    _watched.append(str(path))
    _events.clear()
    try:
        tracemalloc.reset_peak()
        before, start = tracemalloc.get_traced_memory()[0], time.process_time()
        yield
        seconds, peak = time.process_time() - start, tracemalloc.get_traced_memory()[1] - before
    finally:
        _watched.clear()
        if own:
            tracemalloc.stop()
    assert seconds < SECONDS
    assert peak < always_fine + times * size, f"{peak} bytes of memory for a file of {size}"
    assert not _events


_watched, _events = [], []


def _watch(event, arguments):
    """Notes what a reader has no business to do; Python calls it for everything that touches the world outside."""
    if not _watched:
        return
    opens_another = (
        event == "open"
        and str(arguments[0]) not in _watched
        and (str(arguments[1] or "r") not in ("r", "rb") or not str(arguments[0]).endswith((".py", ".pyc")))
    )
    if opens_another or event.startswith(FORBIDDEN):
        _events.append((event, str(arguments)[:200]))


sys.addaudithook(_watch)
