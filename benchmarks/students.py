"""Small layers in all the ways in which students of them write them: plain loops, the textbook's NumPy, minicnn, PyTorch.

Each is a forward pass of one small picture, for the sake of those who wait for the loops.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from scipy.signal import correlate2d
from threadpoolctl import threadpool_limits

from minicnn.kernels import reference, textbook
from minicnn.layers import BatchNorm2d, Conv2d, MaxPool2d

from .checks import largest_difference
from .rows import Settings
from .timing import interleaved

C, F, SIZE = 64, 64, 32  # channels in and out, height and width: 38 million multiply-adds in the convolution
SLOW = {"seven loops in Python", "loops over places, NumPy inside"}  # too slow to be repeated
WINDOW = (1, 1), (1, 1, 1, 1), (1, 1)  # stride, pads and dilation of the 3x3 filters

Ways = dict[str, Callable[[], np.ndarray]]


def table(settings: Settings) -> list[dict]:
    """A row for each layer and way: ``way``, ``layer``, ``ms`` (median milliseconds of a forward pass), ``times_ours``.

    The last is the way's time divided by that of "minicnn".

    Raises
    ------
    ValueError
        If one of the ways computes something else.
    """
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, C, SIZE, SIZE), np.float32)
    layers = {
        "3x3 convolution": convolution(x, rng.standard_normal((F, C, 3, 3), np.float32), settings.torch),
        "3x3 depthwise": depthwise(x, rng.standard_normal((C, 1, 3, 3), np.float32)),
        "2x2 max pooling": max_pooling(x),
        "batch norm, training": batch_norm(x),
    }
    with threadpool_limits(settings.threads, "blas"):  # NumPy's products; those of minicnn limit themselves
        return [row for layer, ways in layers.items() for row in _compare(layer, ways, settings.seconds)]


def _compare(layer: str, ways: Ways, seconds: float) -> list[dict]:
    times = {}
    for way, call in ways.items():
        start, y = time.perf_counter(), call()
        times[way] = 1000 * (time.perf_counter() - start)
        largest_difference(ways["minicnn"](), y)
    times |= interleaved({way: call for way, call in ways.items() if way not in SLOW}, seconds)
    return [{"way": way, "layer": layer, "ms": times[way], "times_ours": times[way] / times["minicnn"]} for way in ways]


def convolution(x: np.ndarray, w: np.ndarray, torch: bool) -> Ways:
    """A 3x3 convolution, with a padding of one pixel."""

    def ours(algorithm: str | None = None) -> Conv2d:
        conv = Conv2d(C, F, 3, pad=1, bias=False, algorithm=algorithm)
        conv.w.value = w
        return conv

    conv, direct, winograd2, winograd4 = map(ours, (None, "direct", "winograd2", "winograd4"))
    ways: Ways = {
        "seven loops in Python": lambda: reference.conv2d_forward(x, w, None, *WINDOW, 1),
        "loops over places, NumPy inside": lambda: loops_over_places(x, w),
        "scipy.signal.correlate2d, channel by channel": lambda: by_correlate2d(x, w),
        "textbook: im2col and one matrix product": lambda: textbook.conv2d_forward(x, w, None, *WINDOW, 1),
        "textbook: Winograd F(2x2, 3x3)": lambda: textbook.winograd_forward(x, w, None, WINDOW[1]),
        "minicnn: direct": lambda: direct.forward(x),
        "minicnn: Winograd, tiles of 2x2": lambda: winograd2.forward(x),
        "minicnn: Winograd, tiles of 4x4": lambda: winograd4.forward(x),
        "minicnn": lambda: conv.forward(x),
    }
    if torch:
        from torch import from_numpy

        from .torch_modules import inference_call
        from .torch_twin import twin

        module = inference_call(twin(conv, x.shape), from_numpy(x))
        ways["PyTorch"] = lambda: module().numpy()
    return ways


def depthwise(x: np.ndarray, w: np.ndarray) -> Ways:
    """A 3x3 depthwise convolution, with a padding of one pixel."""
    conv = Conv2d(C, C, 3, pad=1, groups=C, bias=False)
    conv.w.value = w
    return {
        "textbook: shifted adds": lambda: textbook.depthwise_forward(x, w, None, *WINDOW),
        "minicnn": lambda: conv.forward(x),
    }


def max_pooling(x: np.ndarray) -> Ways:
    """2x2 windows side by side, with the winners that the backward pass needs."""
    pool, size = MaxPool2d(2).train(), (SIZE // 2, SIZE // 2)
    return {
        "textbook: one tap after another": lambda: textbook.max_pool2d_forward(x, (2, 2), (2, 2), (0, 0, 0, 0), size)[0],
        "minicnn": lambda: pool.forward(x),
    }


def batch_norm(x: np.ndarray) -> Ways:
    """With the statistics of the batch."""
    norm = BatchNorm2d(C).train()
    return {
        "textbook: mean, variance, scale": lambda: textbook.batch_norm_forward(x, norm.gamma.value, norm.beta.value, norm.eps)[
            0
        ],
        "minicnn": lambda: norm.forward(x),
    }


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
