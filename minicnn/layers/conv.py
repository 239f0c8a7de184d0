"""Convolution."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from ..initializers import Initializer, msra
from ..kernels.convolution import dispatch as kernels
from ..kernels.convolution.choice import ALGORITHMS, can_compute
from ..kernels.geometry import ConvGeometry, same_pads
from .arguments import is_whole, pair, sides
from .base import Layer, Parameter


class Conv2d(Layer):
    """Each filter slides over the picture and gives one number a place: how well what it sees there matches.

    y[n, f, i, j] = b[f] + sum over c, p, q of x_padded[n, c, i*sh + p*dh, j*sw + q*dw] * w[f, c, p, q]

    This is cross-correlation, which deep learning calls convolution: the filter is not flipped. With ``groups`` > 1 the
    channels are split into that many equal groups and each filter sees one group only; groups = in_channels = out_channels is
    the depthwise convolution of MobileNet.

    Backward, from dy = dL/dy, each sum over all n, i, j (and p, q) in which the product occurs:

    db[f] = sum of dy[n, f, i, j]
    dw[f, c, p, q] = sum of dy[n, f, i, j] * x_padded[n, c, i*sh + p*dh, j*sw + q*dw]
    dx_padded[n, c, i*sh + p*dh, j*sw + q*dw] += dy[n, f, i, j] * w[f, c, p, q]

    and dx is dx_padded without the padding: every place that read a pixel sends its share back there.

    Parameters
    ----------
    in_channels, out_channels : int
        C and F.
    kernel_size, stride, dilation : int or (int, int)
        (KH, KW), (sh, sw), (dh, dw), height first.
    pad : int, (int, int), ((int, int), (int, int)) or "same"
        Zeros around the picture: above and below, left and right; or ((above, below), (left, right)). "same"
        pads as TensorFlow does, so that OH = ceil(H / sh); where the padding is odd, bottom and right get one more.
    groups : int
        Must divide both numbers of channels.
    bias : bool
        Whether there is a b. Before a batch normalisation it would do nothing.
    initializer : function (shape, rng, dtype) -> array
        Of w; b starts at 0.
    rng : None, int or numpy.random.Generator
        Where the random numbers come from; an int is a seed.
    algorithm : str, optional
        Computes it in this way, where it can, instead of the one that is fastest: "reference" (the equation above as plain
        loops), "textbook" (im2col, in NumPy), "im2col", "direct", "winograd4", "winograd2", "pointwise" or "depthwise". The
        numbers agree but for rounding. It is an attribute that may be changed at any time, and is not saved with the model;
        `set_algorithm` sets it in a whole network. A step that an algorithm does not know is done as usual: "direct" has no dx.

    Input (N, C, H, W), output (N, F, OH, OW) with OH = floor((H + top + bottom - dh*(KH-1) - 1) / sh) + 1, OW likewise, both
    float32 or float64. Parameters w (F, C / groups, KH, KW) and b (F,).

    Raises
    ------
    ValueError
        If a number makes no sense, or the algorithm cannot compute such a convolution; in ``forward``, if the channels are not
        ours or the filter is larger than the padded picture; in ``backward``, if dy is not like y.
    TypeError
        In ``forward``, for anything but a float32 or float64 array of the layer's own dtype.

    Source: LeCun et al. 1998, "Gradient-Based Learning Applied to Document Recognition", section II.A; groups: Krizhevsky et
    al. 2012; dilation: Yu, Koltun 2016, "Multi-Scale Context Aggregation by Dilated Convolutions".

    >>> conv = Conv2d(3, 16, kernel_size=3, stride=2, pad="same")
    >>> conv.forward(np.zeros((8, 3, 224, 224), np.float32)).shape
    (8, 16, 112, 112)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        pad: int | tuple[int, int] | tuple[tuple[int, int], tuple[int, int]] | str = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        initializer: Initializer = msra,
        rng: np.random.Generator | int | None = None,
        algorithm: str | None = None,
    ):
        super().__init__()
        for what, value in (("in_channels", in_channels), ("out_channels", out_channels), ("groups", groups)):
            if not is_whole(value, 1):
                raise ValueError(f"Conv2d: {what} is a whole number of at least 1, got {value!r}")
        if in_channels % groups or out_channels % groups:
            raise ValueError(
                f"Conv2d: groups = {groups} must divide both in_channels = {in_channels} and out_channels = {out_channels}, "
                "as each group has its own equal share of both"
            )
        self.in_channels, self.out_channels, self.groups = int(in_channels), int(out_channels), int(groups)
        self.kernel_size = pair("Conv2d", "kernel_size", kernel_size, 1)
        self.stride = pair("Conv2d", "stride", stride, 1)
        self.dilation = pair("Conv2d", "dilation", dilation, 1)
        self.pad = sides("Conv2d", pad)
        self.algorithm = algorithm
        shape = (self.out_channels, self.in_channels // self.groups, *self.kernel_size)
        self.w = Parameter(initializer(shape, np.random.default_rng(rng), np.float32))
        self.b = Parameter(np.zeros(self.out_channels, np.float32), decays=False) if bias else None

    @property
    def algorithm(self) -> str | None:
        """What computes it; None: whatever is fastest."""
        return self._algorithm

    @algorithm.setter
    def algorithm(self, name: str | None) -> None:
        if name is not None and name not in ALGORITHMS:
            raise ValueError(f"there is no algorithm {name!r} for convolutions; there are {', '.join(ALGORITHMS)}")
        if name is not None and not self.can_use(name):
            raise ValueError(
                f"{self} cannot be computed by {name!r}: kernel {self.kernel_size}, stride {self.stride}, dilation "
                f"{self.dilation}, {self.in_channels} channels to {self.out_channels} in {self.groups} groups. Winograd's are "
                "for 3x3 with stride 1 and one group, 'pointwise' is for 1x1 with stride 1 and no padding, 'depthwise' for a "
                "filter a channel; 'im2col', 'direct', 'textbook' and 'reference' compute all"
            )
        self._algorithm = name

    def can_use(self, algorithm: str) -> bool:
        """Whether the algorithm can compute such a convolution."""
        geometry, _ = _place((0, 0) if self.pad == "same" else self.pad, (0, 0), self.kernel_size, self.stride, self.dilation)
        return can_compute(algorithm, geometry, self.groups, self.in_channels, self.out_channels)

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.check_input(x, ndim=4)
        geometry, b = self.geometry(x.shape), self.b.value if self.b else None
        y = kernels.conv2d_forward(x, self.w.value, b, *geometry[1:], self.groups, algorithm=self.algorithm)
        self.remember(x=x)
        return y

    def backward(self, dy: np.ndarray) -> np.ndarray | None:
        x = self.recall().x
        self.check_gradient(dy, self.output_shape(x.shape), x.dtype)
        kernel, *where = self.geometry(x.shape)
        if self.w.trainable:
            self.w.grad = kernels.conv2d_dw(dy, x, kernel, *where, self.groups, algorithm=self.algorithm)
        if self.b and self.b.trainable:
            self.b.grad = kernels.conv2d_db(dy)
        if not self.needs_dx:
            return None
        return kernels.conv2d_dx(dy, self.w.value, x.shape[2:], *where, self.groups, algorithm=self.algorithm)

    def geometry(self, input_shape: tuple[int, ...]) -> ConvGeometry:
        """Where the filters are applied to an input (N, C, H, W): kernel, stride, pads (top, bottom, left, right), dilation.

        Raises
        ------
        ValueError
            If the channels are not ours, or the filter is larger than the padded picture.
        """
        return self._place(input_shape)[0]

    def _place(self, input_shape: tuple[int, ...]) -> tuple[ConvGeometry, tuple[int, int]]:
        """The windows, and how many there are."""
        if len(input_shape) != 4:
            raise ValueError(f"{self} expects an input of shape (N, C, H, W), got {tuple(input_shape)}")
        _, C, *size = input_shape
        if self.in_channels != C:
            raise ValueError(
                f"{self} expects {self.in_channels} channels, got {C}: x {tuple(input_shape)}, w {self.w.value.shape}. "
                "Is x in NCHW order?"
            )
        geometry, count = _place(self.pad, tuple(size), self.kernel_size, self.stride, self.dilation)
        if min(count) < 1 or min(size) < 1:
            top, bottom, left, right = geometry.pads
            reach = [d * (k - 1) + 1 for d, k in zip(self.dilation, self.kernel_size, strict=True)]
            raise ValueError(
                f"{self}: the window, {reach[0]} x {reach[1]}, is larger than the padded picture, "
                f"{size[0] + top + bottom} x {size[1] + left + right}: x {tuple(input_shape)}, w {self.w.value.shape}. "
                "Use a larger picture or more padding"
            )
        return geometry, count

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        return (input_shape[0], self.out_channels, *self._place(input_shape)[1])

    def multiply_adds(self, input_shape: tuple[int, ...]) -> int:
        """One for each output element and each weight of its filter: N * OH * OW * F * C / groups * KH * KW."""
        N, _, OH, OW = self.output_shape(input_shape)
        return N * OH * OW * self.w.value.size

    def parameters(self) -> dict[str, Parameter]:
        return {"w": self.w} | ({"b": self.b} if self.b else {})

    def config(self) -> dict[str, Any]:
        return {
            "in_channels": self.in_channels,
            "out_channels": self.out_channels,
            "kernel_size": list(self.kernel_size),
            "stride": list(self.stride),
            "pad": self.pad if isinstance(self.pad, str) else [list(p) if isinstance(p, tuple) else p for p in self.pad],
            "dilation": list(self.dilation),
            "groups": self.groups,
            "bias": self.b is not None,
        }


@lru_cache(maxsize=1024)  # asked for several times in every pass, and always the same
def _place(pad: tuple | str, *axes: tuple[int, int]) -> tuple[ConvGeometry, tuple[int, int]]:
    """The windows for this padding, and how many; ``axes`` are size of the picture, kernel, stride, dilation, height first."""
    size, kernel, stride, dilation = axes
    if pad == "same":
        (top, bottom), (left, right) = (same_pads(*axis) for axis in zip(*axes, strict=True))
    else:
        (top, bottom), (left, right) = (side if isinstance(side, tuple) else (side, side) for side in pad)
    geometry = ConvGeometry(kernel, stride, (top, bottom, left, right), dilation)
    return geometry, geometry.count(*size)


def set_algorithm(network: Layer, algorithm: str | None) -> int:
    """Let every convolution in a network that the algorithm can compute be computed by it, and the others as usual.

    With "reference" a debugger steps through the definition inside a real network; None undoes it.

    Returns
    -------
    How many convolutions it is that use it now.

    Raises
    ------
    ValueError
        If there is no such algorithm.

    >>> from minicnn.models import resnet20
    >>> set_algorithm(resnet20(), "winograd2")
    17
    """
    if algorithm is not None and algorithm not in ALGORITHMS:
        raise ValueError(f"there is no algorithm {algorithm!r} for convolutions; there are {', '.join(ALGORITHMS)}")
    convolutions = [layer for _, layer in network.walk() if isinstance(layer, Conv2d)]
    for conv in convolutions:
        conv.algorithm = algorithm if algorithm is not None and conv.can_use(algorithm) else None
    return sum(conv.algorithm is not None for conv in convolutions)
