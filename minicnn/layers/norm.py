"""Batch normalisation."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..kernels import norm as kernels
from ..kernels.elementwise import NO_CLIP
from .arguments import is_whole
from .base import Layer, Parameter
from .receptive_field import ReceptiveField


class BatchNorm(Layer):
    """Each channel is shifted and scaled to mean beta and standard deviation |gamma| (up to eps).

    In training the mean and the variance are those of the batch, for each channel over its M values (all samples and pixels):

    mean = sum of x / M;  variance = sum of (x - mean)^2 / M;  xh = (x - mean) / sqrt(variance + eps);  y = gamma * xh + beta

    and from dy = dL/dy:

    dbeta = sum of dy;  dgamma = sum of dy * xh
    dx = gamma / sqrt(variance + eps) * (dy - dbeta / M - xh * dgamma / M)

    (The second term of dx comes through the mean, the third through the variance: every x moves both.) Sums and statistics are
    a channel's own. Running averages of the statistics are kept for inference:

    running = (1 - momentum) * running + momentum * batch

    so ``momentum`` is the weight of the *new* batch, as in PyTorch; in Caffe, Keras and the lecture's code it is the weight of
    the old average, 1 minus ours. As in PyTorch too, the variance that normalises is the biased one (divided by M), the one
    that enters ``running_var`` the unbiased one (divided by M - 1).

    In eval mode the running statistics take the place of the batch's. They are constants then, so that
    dx = dy * gamma / sqrt(running_var + eps), exactly.

    *Frozen* (neither gamma nor beta is trainable) means: running statistics are used and kept as they are, in train mode as
    well. Otherwise a frozen network would still change with the data that passes through it. ``frozen_statistics = True`` does
    the same where gamma and beta are trained: for fine-tuning with few pictures, whose batches say less about a channel than
    what the network has seen in its pretraining.

    Parameters
    ----------
    num_features : int
        C.
    eps : float
        Keeps the root away from zero where a channel is constant.
    momentum : float
        The weight of the new batch in the running averages, 0 to 1.

    float32 or float64; the statistics of the batch are summed in float64. Parameters gamma and beta (C,), which start at 1 and
    0 and do not decay; state running_mean and running_var (C,), which start at 0 and 1.

    Raises
    ------
    ValueError
        If an argument makes no sense; in ``forward``, if the number of channels is another, or in training if a channel has one
        value only, which has no variance.

    Source: Ioffe, Szegedy 2015, "Batch Normalization: Accelerating Deep Network Training by Reducing Internal Covariate Shift",
    algorithm 1 and section 3.1; for pictures section 3.2.
    """

    ndim: int

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1):
        super().__init__()
        if not is_whole(num_features, 1):
            raise ValueError(f"{self}: num_features is the number of channels, at least 1, got {num_features!r}")
        if not eps > 0:
            raise ValueError(f"{self}: eps keeps the variance away from 0 and must be more than 0, got {eps}")
        if not 0 <= momentum <= 1:
            raise ValueError(f"{self}: momentum is the new batch's weight in the running statistics, 0 to 1, got {momentum}")
        self.num_features, self.eps, self.momentum = int(num_features), float(eps), float(momentum)
        self.gamma = Parameter(np.ones(self.num_features, np.float32), decays=False)
        self.beta = Parameter(np.zeros(self.num_features, np.float32), decays=False)
        self.running_mean = np.zeros(self.num_features, np.float32)
        self.running_var = np.ones(self.num_features, np.float32)
        self.frozen_statistics = False

    @property
    def uses_batch_statistics(self) -> bool:
        """Whether mean and variance are those of the batch: in training, unless they or the whole layer are frozen."""
        return self.training and self.trainable and not self.frozen_statistics

    def forward(self, x: np.ndarray) -> np.ndarray:
        return self.forward_clipped(x, NO_CLIP)

    def backward(self, dy: np.ndarray) -> np.ndarray | None:
        return self.backward_clipped(dy, None, NO_CLIP)

    def forward_clipped(self, x: np.ndarray, clip: tuple[float, float]) -> np.ndarray:
        """y = min(max(forward(x), low), high) for ``clip`` = (low, high), in the loop that normalises: for `NormActivation`."""
        self.check_input(x, self.ndim)
        self.output_shape(x.shape)
        gamma, beta, uses_batch_statistics = self.gamma.value, self.beta.value, self.uses_batch_statistics
        if uses_batch_statistics:
            self._check_several_values(x)
            y, mean, variance = kernels.batch_norm_forward(x, gamma, beta, self.eps, clip)
            self._update_running_statistics(mean, variance, M=x.size // self.num_features)
        else:
            mean, variance = self.running_mean.copy(), self.running_var.copy()
            y = kernels.running_norm_forward(x, gamma, beta, mean, variance, self.eps, clip)
        self.remember(
            x=x if uses_batch_statistics or self.trainable else None,  # frozen, dx is dy times a constant
            mean=mean,
            variance=variance,
            uses_batch_statistics=uses_batch_statistics,
            shape=x.shape,
            dtype=x.dtype,
        )
        return y

    def backward_clipped(self, dy: np.ndarray, y: np.ndarray | None, clip: tuple[float, float]) -> np.ndarray | None:
        """dx, where y is what ``forward_clipped(x, clip)`` returned: dy passes where y is strictly between the limits.

        For the statistics of the batch. ``backward``, for any, is this with y = None: nothing was clipped.
        """
        saved, gamma = self.recall(), self.gamma.value
        self.check_gradient(dy, saved.shape, saved.dtype)
        if saved.x is None:
            return kernels.running_norm_dx(dy, gamma, saved.variance, self.eps) if self.needs_dx else None
        inputs = saved.x, gamma, saved.mean, saved.variance, self.eps
        if saved.uses_batch_statistics:
            dx, dgamma, dbeta = kernels.batch_norm_backward(dy, *inputs, needs_dx=self.needs_dx, y=y, clip=clip)
        else:
            dx, dgamma, dbeta = kernels.running_norm_backward(dy, *inputs, needs_dx=self.needs_dx)
        if self.gamma.trainable:
            self.gamma.grad = dgamma
        if self.beta.trainable:
            self.beta.grad = dbeta
        return dx

    def _check_several_values(self, x: np.ndarray) -> None:
        if x.size // self.num_features < 2:
            raise ValueError(
                f"{self} has a single value a channel to take the variance of in training: x {x.shape}. "
                "Use larger batches (drop a last batch of one), eval mode, or freeze the layer"
            )

    def _update_running_statistics(self, mean: np.ndarray, variance: np.ndarray, M: int) -> None:
        """Take in those of a batch with M values a channel; its variance was divided by M and here is to be by M - 1."""
        for running, batch in ((self.running_mean, mean), (self.running_var, variance * (M / (M - 1)))):
            running[...] = (1 - self.momentum) * running + self.momentum * batch  # in place: state() hands out the array

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        if len(input_shape) != self.ndim or input_shape[1] != self.num_features:
            C = self.num_features
            layout = f"(N, {C}, H, W), got {tuple(input_shape)}. Is x in NCHW order?"
            if self.ndim == 2:
                layout = f"(N, {C}), got {tuple(input_shape)}. num_features is the width of the layer below"
            raise ValueError(f"{self} expects an input of shape {layout}")
        return tuple(input_shape)

    def parameters(self) -> dict[str, Parameter]:
        return {"gamma": self.gamma, "beta": self.beta}

    def state(self) -> dict[str, np.ndarray]:
        return {"running_mean": self.running_mean, "running_var": self.running_var}

    def config(self) -> dict[str, Any]:
        return {"num_features": self.num_features, "eps": self.eps, "momentum": self.momentum}

    def _convert(self, dtype: np.dtype) -> None:
        super()._convert(dtype)
        self.running_mean = self.running_mean.astype(dtype, copy=False)
        self.running_var = self.running_var.astype(dtype, copy=False)


class BatchNorm1d(BatchNorm):
    """Batch normalisation of rows of features: input and output (N, C), statistics over the N samples. See ``BatchNorm``.

    >>> BatchNorm1d(1).train().forward(np.array([[1.0], [3.0]], np.float32)).round(3)
    array([[-1.],
           [ 1.]], dtype=float32)
    """

    ndim = 2


class BatchNorm2d(BatchNorm):
    """Batch normalisation of maps: input and output (N, C, H, W), statistics over all N * H * W values of a channel.

    See ``BatchNorm``.

    >>> layer = BatchNorm2d(3)
    >>> list(layer.parameters()), list(layer.state())
    (['gamma', 'beta'], ['running_mean', 'running_var'])
    """

    ndim = 4

    def receptive_field(self, below: ReceptiveField, input_shape: tuple[int, ...]) -> ReceptiveField:
        return below
