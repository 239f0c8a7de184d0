"""One layer in all the ways that people write it who learn how it works, beside ours and PyTorch's.

It is small, a 3x3 convolution of one picture, for the sake of those who wait for the loops.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.signal import correlate2d
from threadpoolctl import threadpool_limits

from minicnn.kernels.reference import conv2d_forward
from minicnn.layers import Conv2d

from .checks import largest_difference
from .rows import Settings
from .timing import interleaved

C, F, SIZE = 64, 64, 32  # channels in and out, height and width: 38 million multiply-adds
SLOW = {"seven loops in Python", "loops over places, NumPy inside"}  # too slow to be done often


def table(settings: Settings) -> list[dict]:
    """A row for each way: ``way``, ``ms`` (median milliseconds of a forward pass), ``times_ours`` (how many of ours that is).

    Raises
    ------
    ValueError
        If one of the ways computes something else.
    """
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((1, C, SIZE, SIZE), np.float32), rng.standard_normal((F, C, 3, 3), np.float32)
    conv = Conv2d(C, F, 3, pad=1, bias=False)
    conv.w.value = w
    ways: dict[str, Callable[[], np.ndarray]] = {
        "seven loops in Python": lambda: conv2d_forward(x, w, None, (1, 1), (1, 1, 1, 1), (1, 1), 1),
        "loops over places, NumPy inside": lambda: loops_over_places(x, w),
        "scipy.signal.correlate2d, channel by channel": lambda: by_correlate2d(x, w),
        "NumPy: im2col and one matrix product": lambda: by_im2col(x, w),
        "minicnn: im2col in blocks that stay in cache": lambda: by("im2col"),
        "minicnn: Winograd, tiles of 2x2": lambda: by("winograd2"),
        "minicnn: Winograd, tiles of 4x4": lambda: by("winograd4"),
        "minicnn": lambda: conv.forward(x),
    }

    def by(algorithm: str) -> np.ndarray:
        chosen = Conv2d(C, F, 3, pad=1, bias=False, algorithm=algorithm)
        chosen.w.value = w
        return chosen.forward(x)

    if settings.torch:
        import torch

        from .torch_modules import inference_call
        from .torch_twin import twin

        module = inference_call(twin(conv, x.shape), torch.from_numpy(x))
        ways["PyTorch"] = lambda: module().numpy()
    times = {}
    with threadpool_limits(settings.threads, "blas"):  # NumPy's products; those of minicnn limit themselves
        for way, call in ways.items():
            start, y = time.perf_counter(), call()
            times[way] = 1000 * (time.perf_counter() - start)
            largest_difference(conv.forward(x), y)
        times |= interleaved({way: call for way, call in ways.items() if way not in SLOW}, settings.seconds)
    return [{"way": way, "ms": times[way], "times_ours": times[way] / times["minicnn"]} for way in ways]


def loops_over_places(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """As in many a course's solution: a window at a time, multiplied with a filter and summed by NumPy."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    (N, _, H, W), F = x.shape, len(w)
    y = np.empty((N, F, H, W), x.dtype)
    for n in range(N):
        for f in range(F):
            for i in range(H):
                for j in range(W):
                    y[n, f, i, j] = np.sum(padded[n, :, i : i + 3, j : j + 3] * w[f])
    return y


def by_correlate2d(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """SciPy for each pair of channels, summed over the channels of the picture."""
    return np.stack([[sum(correlate2d(x[n, c], w[f, c], "same") for c in range(C)) for f in range(F)] for n in range(len(x))])


def by_im2col(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """All windows copied into the columns of a matrix, and one product."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = sliding_window_view(padded, (3, 3), axis=(2, 3))  # (N, C, H, W, 3, 3), a view
    columns = windows.transpose(0, 1, 4, 5, 2, 3).reshape(len(x), C * 9, SIZE * SIZE)
    return (w.reshape(F, C * 9) @ columns).reshape(len(x), F, SIZE, SIZE)
