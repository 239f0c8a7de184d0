"""For inference only: a convolution, the batch norm after it and the ReLU after that, in one pass over memory.

In inference batch norm is a fixed scale and shift for each channel, s = gamma / sqrt(running_var + eps), which the filters can
take over:

norm(w * x + b) = s (w * x + b - running_mean) + beta = (s w) * x + (s (b - running_mean) + beta)

and ReLU is a limit on numbers that are being written anyway. Nothing is saved in arithmetic, but maps are written once instead
of three times, and memory is what small networks wait for. The three convolutions of an inverted residual block go further and
become one layer: their wide maps are not written to memory at all.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from ..kernels import inverted_residual
from ..kernels.algorithm import is_short_work
from ..kernels.conv import FixedFilters
from ..kernels.norm import NO_LIMITS
from ..kernels.prepared import Prepared
from ..kernels.threads import free_threads, gathered_loops, new_array, on_this_thread_if, parallel_for
from .activation import LIMITS
from .base import Layer, Parameter
from .containers import Concat, Residual, Sequential
from .conv import Conv2d
from .norm import BatchNorm2d
from .recorded import Recorder
from .side import SideHead


class FusedConv2d(Conv2d):
    """y = limit(w' * x + b'): a convolution that has taken over the batch norm and the activation that followed it.

    Parameters
    ----------
    conv : Conv2d
    norm : BatchNorm2d, optional
        Folded into w' and b' with its running statistics.
    limits : (low, high)
        (0, inf) for a ReLU, (0, 6) for a ReLU6.

    Its parameters are frozen, and training is refused: the batch norm that it would need is gone.
    """

    loops_only = True

    def __init__(self, conv: Conv2d, norm: BatchNorm2d | None = None, limits: tuple[float, float] = NO_LIMITS):
        super().__init__(**conv.config() | {"bias": True}, initializer=lambda shape, rng, dtype: conv.w.value)
        w, b = conv.w.value.astype(np.float64), 0.0 if conv.b is None else conv.b.value.astype(np.float64)
        if norm is not None:
            scale = norm.gamma.value / np.sqrt(norm.running_var.astype(np.float64) + norm.eps)
            w, b = w * scale[:, None, None, None], (b - norm.running_mean) * scale + norm.beta.value
        self.w.value = w.astype(conv.w.value.dtype)
        self.b.value = np.broadcast_to(b, self.out_channels).astype(conv.w.value.dtype)
        self.limits = limits
        self.freeze()
        self._convert(self.w.value.dtype)

    def forward(self, x: np.ndarray, y: np.ndarray | None = None) -> np.ndarray:
        """``y`` is a contiguous array for the result, where there is one already."""
        _refuse_training(self)
        convolve = self._filters.known(x)
        if convolve is None:
            self.check_input(x, ndim=4)
            convolve = self._filters.prepare(x, self.windows(x.shape))
        return convolve(x, y)

    def _convert(self, dtype: np.dtype) -> None:
        super()._convert(dtype)
        self._filters = FixedFilters(self.w.value, self.b.value, self.groups, self.limits)


class FusedConcat(Concat):
    """y = [F_1(x), F_2(x), ...] with convolutions as branches, as in SqueezeNet's fire modules.

    Each picture's go to their places in y at once, instead of maps of their own that are put together afterwards. Threads are
    given pictures or, if there is only one, the work of all branches at the same time.
    """

    loops_only = True

    def __init__(self, **branches: FusedConv2d):
        super().__init__(**branches)
        self._prepared = Prepared()

    def forward(self, x: np.ndarray) -> np.ndarray:
        _refuse_training(self)
        y_shape, is_short = self._prepared.get(x.shape) or self._prepare(x)
        if y_shape is None:
            return super().forward(x)
        y = new_array(y_shape, x.dtype)
        with on_this_thread_if(is_short):
            if len(x) == 1:
                with gathered_loops():
                    self._fill(y, x)
            else:
                parallel_for(len(x), lambda start, stop: [self._fill(y[n : n + 1], x[n : n + 1]) for n in range(start, stop)])
        return y

    def _prepare(self, x: np.ndarray) -> tuple[tuple[int, ...] | None, bool]:
        """y's shape, unless Concat has to say what is wrong, and whether the work is too short for several threads."""
        pictures = {conv.output_shape(x.shape)[2:] for conv in self.branches.values()}
        shape = self.output_shape(x.shape) if len(pictures) == 1 else None
        self._prepared[x.shape] = prepared = shape, is_short_work(self.multiply_adds(x.shape))
        return prepared

    def _fill(self, y: np.ndarray, x: np.ndarray) -> None:
        """y of one picture."""
        end = 0
        for conv in self.branches.values():
            begin, end = end, end + conv.out_channels
            conv.forward(x, y[:, begin:end])


class FusedInvertedResidual(Layer):
    """y = project(depthwise(expand(x))), and + x where there is a shortcut: see ``kernels.inverted_residual``.

    Parameters
    ----------
    *convolutions : FusedConv2d
        1x1 or nothing, one filter a channel without dilation, and 1x1.
    shortcut : bool
    """

    loops_only = True

    def __init__(self, *convolutions: FusedConv2d, shortcut: bool = False):
        super().__init__()
        names = ("expand", "depthwise", "project")[-len(convolutions) :]
        self.body, self.shortcut = Sequential(**dict(zip(names, convolutions, strict=True))), shortcut
        self._kept: dict[int, list[tuple[slice, inverted_residual.Share]]] = {}
        self._prepared = Prepared()

    def forward(self, x: np.ndarray) -> np.ndarray:
        _refuse_training(self)
        kind = (x.shape, x.dtype, free_threads()) if type(x) is np.ndarray else None
        is_short, run = self._prepared.get(kind) or self._prepare(x, kind)
        with on_this_thread_if(is_short):
            return run(np.ascontiguousarray(x))

    def _prepare(self, x: np.ndarray, kind: tuple | None) -> tuple[bool, Callable[[np.ndarray], np.ndarray]]:
        """Whether the work is too short for several threads, and the function that does it."""
        *expand, depthwise, _ = convolutions = list(self.body.layers.values())
        convolutions[0].check_input(x, ndim=4)
        wide = expand[0].output_shape(x.shape) if expand else x.shape
        is_short = is_short_work(self.multiply_adds(x.shape))
        steps = [] if expand else [None]
        for conv in convolutions:
            w = conv.w.value.reshape(len(conv.w.value), -1)
            steps.append(inverted_residual.Step(w, conv.b.value, conv.limits))
        with on_this_thread_if(is_short):
            run = inverted_residual.prepare(x.shape, *steps, depthwise.windows(wide), self.shortcut, self._kept)
        self._prepared[kind] = prepared = is_short, run
        return prepared

    def parameters(self) -> dict[str, Parameter]:
        return self.body.parameters()

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        return self.body.output_shape(input_shape)

    def multiply_adds(self, input_shape: tuple[int, ...]) -> int:
        return self.body.multiply_adds(input_shape)

    def config(self) -> dict[str, Any]:
        return self.body.config() | {"shortcut": self.shortcut}

    def _convert(self, dtype: np.dtype) -> None:
        self.body.astype(dtype)
        self._kept, self._prepared = {}, Prepared()


def _refuse_training(layer: Layer) -> None:
    if layer.training or layer.remembers:
        raise RuntimeError(f"{layer} is fused for inference and has no backward; train the network that it was fused from")


def fuse(layer: Layer, keep: Iterable[str] = ()) -> Layer:
    """A copy for inference in which each Conv2d, with a BatchNorm2d and a ReLU or ReLU6 right after it, is one layer.

    What was fused has the name of the last of its layers, so that the output at a name is the same as before. A container
    with an inverted residual block and nothing else becomes one layer with the container's name. All weights are the copy's
    own: later changes of the original do not reach it. Of a side head, which runs in training only, nothing is left
    but its place.

    Parameters
    ----------
    keep : paths of layers, as in ``layer.walk()``
        Somebody wants to see what they give: they take over nothing that follows them, so that they are still there.

    >>> from minicnn.layers import GlobalAvgPool2d, ReLU
    >>> net = Sequential(conv=Conv2d(3, 8, 3), norm=BatchNorm2d(8), relu=ReLU(), pool=GlobalAvgPool2d())
    >>> list(fuse(net).children()), list(fuse(net, keep=["norm"]).children())
    (['relu', 'pool'], ['norm', 'relu', 'pool'])
    """
    fused = _fused(layer, list(keep)).eval()
    if isinstance(fused, Sequential):
        fused.recorder = Recorder()
    return fused


def _fused(layer: Layer, keep: list[str]) -> Layer:
    def inside(name: str) -> list[str]:
        return [path[len(name) + 1 :] for path in keep if path.startswith(f"{name}.")]

    if isinstance(layer, (Residual, Concat)):
        kind = Residual if isinstance(layer, Residual) else Concat
        return kind(**{name: _fused(branch, inside(name)) for name, branch in layer.children().items()})
    if isinstance(layer, SideHead):
        return Sequential()
    if isinstance(layer, Conv2d):
        return copy.deepcopy(layer) if isinstance(layer, FusedConv2d) else FusedConv2d(layer)
    if not isinstance(layer, Sequential):
        return copy.deepcopy(layer)

    fused, rest = Sequential(), list(layer.layers.items())
    while rest:
        name, first = rest.pop(0)
        if type(first) is not Conv2d:
            within = inside(name)
            child = _fused(first, within)
            fused.append(name, child if within else _as_one_layer(child))
            continue
        norm, limits = None, NO_LIMITS
        if rest and name not in keep and isinstance(rest[0][1], BatchNorm2d):
            name, norm = rest.pop(0)
        if rest and name not in keep and type(rest[0][1]) in LIMITS:
            name, activation = rest.pop(0)
            limits = LIMITS[type(activation)]
        fused.append(name, FusedConv2d(first, norm, limits))
    return fused


def _as_one_layer(layer: Layer) -> Layer:
    """One layer in the place of a fused inverted residual block, or of convolutions side by side; anything else as it is."""
    if isinstance(layer, Concat):
        branches = {name: list(_in_a_row(branch)) for name, branch in layer.branches.items()}
        if all(len(inner) == 1 and isinstance(inner[0], FusedConv2d) for inner in branches.values()):
            return FusedConcat(**{name: conv for name, (conv,) in branches.items()})
        return layer
    shortcut = isinstance(layer, Residual) and layer.shortcut is None
    convolutions = list(_in_a_row(layer.body if shortcut else layer))
    if len(convolutions) not in (2, 3) or not all(type(conv) is FusedConv2d for conv in convolutions):
        return layer
    *expand, depthwise, project = convolutions
    plain = all(conv.groups == 1 and conv.windows((1, conv.in_channels, 1, 1)).is_pointwise for conv in (*expand, project))
    by_channel = depthwise.groups == depthwise.in_channels == depthwise.out_channels and depthwise.dilation == (1, 1)
    return FusedInvertedResidual(*convolutions, shortcut=shortcut) if plain and by_channel else layer


def _in_a_row(layer: Layer) -> Iterator[Layer]:
    """The layers that run one after another in here, through containers inside containers."""
    if isinstance(layer, Sequential):
        for child in layer.layers.values():
            yield from _in_a_row(child)
    else:
        yield layer
