"""For inference only: a convolution, the batch norm after it and the ReLU after that, in one pass over memory.

In inference batch norm is a fixed scale and shift of each channel, which filters and bias can take over:

norm(w * x + b) = s (w * x + b - running_mean) + beta = (s w) * x + (s (b - running_mean) + beta)

with s = gamma / sqrt(running_var + eps). ReLU clips numbers that are being written anyway. That saves no arithmetic worth
mentioning, but maps are written once instead of three times, and memory is what small networks wait for. The three
convolutions of an inverted residual block go further and become one layer: their wide maps are not written to memory at all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..kernels.convolution import inverted_residual
from ..kernels.convolution.choice import is_short_work
from ..kernels.convolution.dispatch import PlannedConvolution
from ..kernels.elementwise import NO_CLIP
from ..kernels.layout import channels_first, channels_last
from ..layers.base import Layer, Parameter
from ..layers.containers import Concat, Sequential
from ..layers.conv import Conv2d
from ..layers.norm import BatchNorm2d
from ..runtime.parallel import gathering, new_array, parallel_for, serial_if
from ..runtime.plans import PlanCache, plan_key


class FusedConv2d(Conv2d):
    """A convolution that has taken over the batch norm and the activation above it: y = min(max(w' * x + b', low), high).

    Its parameters are frozen, and training is refused: the batch norm that it would need is gone.

    Parameters
    ----------
    conv : Conv2d
    norm : BatchNorm2d, optional
        Folded into w' and b' with its running statistics.
    clip : (low, high)
        (0, inf) for a ReLU, (0, 6) for a ReLU6.
    """

    def __init__(self, conv: Conv2d, norm: BatchNorm2d | None = None, clip: tuple[float, float] = NO_CLIP):
        own = {"bias": True, "initializer": lambda shape, rng, dtype: conv.w.value, "algorithm": conv.algorithm}
        super().__init__(**conv.config() | own)
        w, b = conv.w.value.astype(np.float64), 0.0 if conv.b is None else conv.b.value.astype(np.float64)
        if norm is not None:
            scale = norm.gamma.value / np.sqrt(norm.running_var.astype(np.float64) + norm.eps)
            w, b = w * scale[:, None, None, None], (b - norm.running_mean) * scale + norm.beta.value
        side_by_side = np.ascontiguousarray(w.transpose(2, 3, 1, 0), conv.w.value.dtype)  # as vectors of filters want them
        self.w.value = side_by_side.transpose(3, 2, 0, 1)
        self.b.value = np.broadcast_to(b, self.out_channels).astype(conv.w.value.dtype)
        self.clip = clip
        self.freeze()
        self._convert(self.w.value.dtype)

    def forward(self, x: np.ndarray, maps: np.ndarray | None = None, first: int = 0) -> np.ndarray:
        """With ``maps`` (N, OH, OW, channels), y becomes their channels from ``first`` on: `PlannedConvolution.plan`."""
        _refuse_training(self)
        convolve = self._planned.cached_plan(x)
        if convolve is None:
            self.check_input(x, ndim=4)
            convolve = self._planned.plan(x, self.geometry(x.shape))
        return convolve(x, maps, first)

    @Conv2d.algorithm.setter
    def algorithm(self, name: str | None) -> None:
        Conv2d.algorithm.fset(self, name)
        self._plan_anew()

    def _convert(self, dtype: np.dtype) -> None:
        super()._convert(dtype)
        self._plan_anew()

    def _plan_anew(self) -> None:
        if hasattr(self, "clip"):  # not before this layer's constructor has set it, while Conv2d's is at work
            self._planned = PlannedConvolution(self.w.value, self.b.value, self.groups, self.clip, self.algorithm)


class FusedConcat(Concat):
    """Convolutions side by side, as in SqueezeNet's fire modules: y = [F_1(x), F_2(x), ...], joined along the channels.

    Each branch writes its channels of y, instead of a map of its own that is copied afterwards. With several pictures, threads
    take whole pictures; of a single one, they share the work of all branches, whose loops run together.
    """

    def __init__(self, **branches: FusedConv2d):
        super().__init__(**branches)
        self._plans = PlanCache()

    def forward(self, x: np.ndarray) -> np.ndarray:
        _refuse_training(self)
        y_shape, is_short = self._plans.get(plan_key(x)) or self._plan(x)
        if y_shape is None:
            return super().forward(x)
        N, C, H, W = y_shape
        x, maps = channels_last(x), new_array((N, H, W, C), x.dtype)
        with serial_if(is_short):
            if N == 1:
                with gathering():
                    self._fill(maps, x)
            else:
                parallel_for(N, lambda start, stop: [self._fill(maps[n : n + 1], x[n : n + 1]) for n in range(start, stop)])
        return channels_first(maps)

    def _plan(self, x: np.ndarray) -> tuple[tuple[int, ...] | None, bool]:
        """The shape of y, and whether the work is too short for several threads.

        No shape if the branches' maps differ in size: then Concat's own ``forward`` says what is wrong.
        """
        map_sizes = {conv.output_shape(x.shape)[2:] for conv in self.branches.values()}
        shape = self.output_shape(x.shape) if len(map_sizes) == 1 else None
        self._plans[plan_key(x)] = plan = shape, is_short_work(self.multiply_adds(x.shape))
        return plan

    def _fill(self, maps: np.ndarray, x: np.ndarray) -> None:
        """Write the maps (1, H, W, C_1 + C_2 + ...) of one picture x, both channels last."""
        first = 0
        for conv in self.branches.values():
            conv.forward(channels_first(x), maps, first)
            first += conv.out_channels


class FusedInvertedResidual(Layer):
    """An inverted residual block in one kernel, ``kernels.convolution.inverted_residual``: y = project(depthwise(expand(x))).

    With a shortcut x is added, and ``project`` clips nothing.

    Parameters
    ----------
    *convolutions : FusedConv2d
        Expand (1x1; it may be missing), depthwise (without dilation) and project (1x1).
    shortcut : bool
        Whether x is added to y.
    """

    def __init__(self, *convolutions: FusedConv2d, shortcut: bool = False):
        super().__init__()
        names = ("expand", "depthwise", "project")[-len(convolutions) :]
        self.body, self.shortcut = Sequential(**dict(zip(names, convolutions, strict=True))), shortcut
        self._packed_filters: dict[int, list[tuple[slice, inverted_residual.ChannelSlice]]] = {}
        self._plans = PlanCache()

    def forward(self, x: np.ndarray) -> np.ndarray:
        _refuse_training(self)
        is_short, run = self._plans.get(plan_key(x)) or self._plan(x)
        with serial_if(is_short):
            return channels_first(run(channels_last(x)))

    def _plan(self, x: np.ndarray) -> tuple[bool, Callable[[np.ndarray], np.ndarray]]:
        """Whether the work is too short for several threads, and the function from x to y."""
        *expand, depthwise, _ = convolutions = list(self.body.layers.values())
        convolutions[0].check_input(x, ndim=4)
        wide = expand[0].output_shape(x.shape) if expand else x.shape
        is_short = is_short_work(self.multiply_adds(x.shape))
        steps = [] if expand else [None]
        for conv in convolutions:
            w = conv.w.value.reshape(len(conv.w.value), -1)
            steps.append(inverted_residual.Step(w, conv.b.value, conv.clip))
        with serial_if(is_short):
            run = inverted_residual.prepare(x.shape, *steps, depthwise.geometry(wide), self.shortcut, self._packed_filters)
        self._plans[plan_key(x)] = plan = is_short, run
        return plan

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
        self._packed_filters, self._plans = {}, PlanCache()


def _refuse_training(layer: Layer) -> None:
    if layer.training or layer.remembers:
        raise RuntimeError(f"{layer} is fused for inference and has no backward; train the network that it was fused from")
