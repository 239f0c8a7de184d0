"""Convolution: what it computes, its parameters and its shapes.

The arithmetic is in ``minicnn.kernels``: ``reference`` has the equations as plain loops, ``textbook`` the lecture's algorithms
in NumPy. Of the fast algorithms in ``convolution``, ``choice`` chooses one and ``dispatch`` calls it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from ..initializers import Initializer, msra
from ..kernels.convolution import dispatch as kernels
from ..kernels.convolution.choice import ALGORITHMS, can_compute
from ..kernels.geometry import ConvGeometry, same_pads
from .arguments import is_whole, padding_of_sides, pair
from .base import Layer, Parameter
from .receptive_field import ReceptiveField


class Conv2d(Layer):
    """Filters slide over the picture. At each position a filter computes one number: how well the patch under it matches it.

    y[n, f, i, j] = b[f] + sum over c, p, q of x_padded[n, c0 + c, i*sh + p*dil_h, j*sw + q*dil_w] * w[f, c, p, q]

    for each sample n, filter f and position (i, j) of the output: i < OH, j < OW. The sum runs over the places (p, q) in the
    filter, p < KH, q < KW, and over the channels c < C / groups that it sees. The stride is (sh, sw), the dilation
    (dil_h, dil_w), and x_padded is x with zeros around each picture.

    With ``groups`` > 1 channels and filters are split into that many equal groups, and a filter sees the channels of its own
    group only: c0 = floor(f / (F / groups)) * C / groups is the first of them. groups = in_channels = out_channels is the
    depthwise convolution of MobileNet.

    This is cross-correlation, which deep learning calls convolution: the filter is not flipped.

    Backward, from dy = dL/dy:

    db[f] = sum over n, i, j of dy[n, f, i, j]
    dw[f, c, p, q] = sum over n, i, j of dy[n, f, i, j] * x_padded[n, c0 + c, i*sh + p*dil_h, j*sw + q*dil_w]
    dx_padded[n, c0 + c, i*sh + p*dil_h, j*sw + q*dil_w] += dy[n, f, i, j] * w[f, c, p, q]   for all n, f, i, j, c, p, q

    and dx is dx_padded without the padding: every output that read a pixel sends its share of the gradient back to it.

    Parameters
    ----------
    in_channels, out_channels : int
        C and F, the number of filters.
    kernel_size, stride, dilation : int or (int, int)
        (KH, KW), (sh, sw), (dil_h, dil_w), height first.
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
        How to compute it, if not in the fastest way: "reference" (the equations above as plain loops), "textbook" (im2col in
        NumPy), "direct", "winograd4", "winograd2" or "depthwise". For finite numbers the results are equal up to rounding. With
        an infinite or NaN pixel they are not: Winograd's algorithms, which are often the fastest, may give NaN in neighbouring
        outputs too, and so may finite inputs beyond a hundredth of float32's range, as sums of them overflow. Beside a pixel a
        million times larger than the others, outputs that do not see it may be off by some tenths of what the others add to
        them ("winograd4"). "direct" does none of this. It is an attribute that may be changed at any time, and is not saved
        with the model; `set_algorithm` sets it in a whole network. If the algorithm cannot compute this convolution at all,
        ValueError is raised.

    Input (N, C, H, W), output (N, F, OH, OW) with OH = floor((H + top + bottom - dil_h*(KH-1) - 1) / sh) + 1, OW likewise, both
    float32 or float64. Parameters w (F, C / groups, KH, KW) and b (F,).

    Raises
    ------
    ValueError
        If an argument makes no sense, or the algorithm cannot compute this convolution; in ``forward``, if x has another number
        of channels, its pictures are empty, or the filter is larger than the padded picture; in ``backward``, if dy has not y's
        shape and dtype.
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
        for name, value in (("in_channels", in_channels), ("out_channels", out_channels), ("groups", groups)):
            if not is_whole(value, 1):
                raise ValueError(f"Conv2d: {name} is a whole number of at least 1, got {value!r}")
        if in_channels % groups or out_channels % groups:
            raise ValueError(
                f"Conv2d: groups = {groups} must divide both in_channels = {in_channels} and out_channels = {out_channels}, "
                "as each group has its own equal share of both"
            )
        self.in_channels, self.out_channels, self.groups = int(in_channels), int(out_channels), int(groups)
        self.kernel_size = pair("Conv2d", "kernel_size", kernel_size, 1)
        self.stride = pair("Conv2d", "stride", stride, 1)
        self.dilation = pair("Conv2d", "dilation", dilation, 1)
        self.pad = padding_of_sides("Conv2d", pad)
        self.algorithm = algorithm
        shape = (self.out_channels, self.in_channels // self.groups, *self.kernel_size)
        self.w = Parameter(initializer(shape, np.random.default_rng(rng), np.float32))
        self.b = Parameter(np.zeros(self.out_channels, np.float32), decays=False) if bias else None

    @property
    def algorithm(self) -> str | None:
        """The algorithm that was asked for; None: whichever is fastest."""
        return self._algorithm

    @algorithm.setter
    def algorithm(self, name: str | None) -> None:
        _check_algorithm(name)
        if name is not None and not self.can_use(name):
            raise ValueError(
                f"{self} cannot be computed by {name!r}: kernel {self.kernel_size}, stride {self.stride}, dilation "
                f"{self.dilation}, pad {self.pad}, {self.in_channels} channels to {self.out_channels}, groups {self.groups}. "
                "'winograd4' and 'winograd2' are for 3x3 filters with stride, dilation and groups 1, 'depthwise' for one "
                "filter a channel; 'direct', 'textbook' and 'reference' compute all"
            )
        self._algorithm = name

    def can_use(self, algorithm: str) -> bool:
        """Whether the algorithm can compute this convolution."""
        geometry, _ = _padded_geometry(self.pad, (1, 1), self.kernel_size, self.stride, self.dilation)
        return can_compute(algorithm, geometry, self.groups, self.in_channels, self.out_channels)

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.check_input(x, ndim=4)
        _, stride, pads, dilation = self.geometry(x.shape)
        w, b = self.w.value, self.b.value if self.b else None
        # through dispatch.py and choice.py to a fast algorithm; algorithm="reference" goes straight to the definition
        y = kernels.conv2d_forward(x, w, b, stride, pads, dilation, self.groups, algorithm=self.algorithm)
        self.remember(x=x)
        return y

    def backward(self, dy: np.ndarray) -> np.ndarray | None:
        x, w = self.recall().x, self.w.value
        self.check_gradient(dy, self.output_shape(x.shape), x.dtype)
        kernel, stride, pads, dilation = self.geometry(x.shape)
        if self.w.trainable:
            self.w.grad = kernels.conv2d_dw(dy, x, kernel, stride, pads, dilation, self.groups, algorithm=self.algorithm)
        if self.b and self.b.trainable:
            self.b.grad = kernels.conv2d_db(dy)
        if not self.needs_dx:
            return None
        return kernels.conv2d_dx(dy, w, x.shape[2:], stride, pads, dilation, self.groups, algorithm=self.algorithm)

    def geometry(self, input_shape: tuple[int, ...]) -> ConvGeometry:
        """Kernel, stride, pads (top, bottom, left, right) and dilation for an input (N, C, H, W).

        Raises
        ------
        ValueError
            If the input has another number of channels, or the picture is empty or, padded, smaller than the filter.
        """
        return self._geometry_and_size(input_shape)[0]

    def _geometry_and_size(self, input_shape: tuple[int, ...]) -> tuple[ConvGeometry, tuple[int, int]]:
        """The geometry, and (OH, OW)."""
        if len(input_shape) != 4:
            raise ValueError(f"{self} expects an input of shape (N, C, H, W), got {tuple(input_shape)}")
        _, C, H, W = input_shape
        if self.in_channels != C:
            raise ValueError(
                f"{self} expects {self.in_channels} channels, got {C}: x {tuple(input_shape)}, w {self.w.value.shape}. "
                "Is x in NCHW order?"
            )
        if min(H, W) < 1:
            raise ValueError(f"{self}: a picture of {H} x {W} has no pixels: x {tuple(input_shape)}. Use a larger picture")
        geometry, output_size = _padded_geometry(self.pad, (H, W), self.kernel_size, self.stride, self.dilation)
        if min(output_size) < 1:
            top, bottom, left, right = geometry.pads
            window = [d * (k - 1) + 1 for d, k in zip(self.dilation, self.kernel_size, strict=True)]
            raise ValueError(
                f"{self}: the window, {window[0]} x {window[1]}, is larger than the padded picture, "
                f"{H + top + bottom} x {W + left + right}: x {tuple(input_shape)}, w {self.w.value.shape}. "
                "Use a larger picture or more padding"
            )
        return geometry, output_size

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        return (input_shape[0], self.out_channels, *self._geometry_and_size(input_shape)[1])

    def multiply_adds(self, input_shape: tuple[int, ...]) -> int:
        """One for each output element and each weight of its filter: N * OH * OW * F * C / groups * KH * KW."""
        N, _, OH, OW = self.output_shape(input_shape)
        return N * OH * OW * self.w.value.size

    def receptive_field(self, below: ReceptiveField, input_shape: tuple[int, ...]) -> ReceptiveField:
        return below.through(self.geometry(input_shape))

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


@lru_cache(maxsize=1024)  # every pass asks several times, and always for the same few
def _padded_geometry(
    pad: tuple | str, input_size: tuple[int, int], kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int]
) -> tuple[ConvGeometry, tuple[int, int]]:
    """The geometry of a convolution with this padding for inputs of this size (H, W), and the size (OH, OW) of its output."""
    if pad == "same":
        (top, bottom), (left, right) = (same_pads(*axis) for axis in zip(input_size, kernel, stride, dilation, strict=True))
    else:
        (top, bottom), (left, right) = (side if isinstance(side, tuple) else (side, side) for side in pad)
    geometry = ConvGeometry(kernel, stride, (top, bottom, left, right), dilation)
    return geometry, geometry.count(*input_size)


def set_algorithm(network: Layer, algorithm: str | None) -> int:
    """Let this algorithm compute all convolutions of a network that it can; the others are computed as usual.

    With "reference" a debugger steps through the definition inside a real network. None undoes it.

    Parameters
    ----------
    network : Layer
    algorithm : str or None
        As for `Conv2d`.

    Returns
    -------
    count : int
        How many convolutions use the algorithm now.

    Raises
    ------
    ValueError
        If there is no such algorithm.

    >>> from minicnn.models import resnet20
    >>> set_algorithm(resnet20(), "winograd2")
    17
    """
    _check_algorithm(algorithm)
    convolutions = [layer for _, layer in network.walk() if isinstance(layer, Conv2d)]
    for conv in convolutions:
        conv.algorithm = algorithm if algorithm is not None and conv.can_use(algorithm) else None
    return sum(conv.algorithm is not None for conv in convolutions)


def _check_algorithm(name: str | None) -> None:
    if name is not None and name not in ALGORITHMS:
        raise ValueError(f"there is no algorithm {name!r} for convolutions; there are {', '.join(ALGORITHMS)}")
