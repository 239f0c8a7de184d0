"""Batch normalisation."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..kernels import norm as kernels
from .base import Layer, Parameter


class BatchNorm(Layer):
    """Each channel is shifted and scaled to mean beta and standard deviation gamma.

    In training the mean and the variance are those of the batch, for each channel c over its M values (samples and places):

    mean = sum of x / M;  variance = sum of (x - mean)^2 / M;  xh = (x - mean) / sqrt(variance + eps);  y = gamma * xh + beta

    and from dy = dL/dy:

    dbeta = sum of dy;  dgamma = sum of dy * xh
    dx = gamma / sqrt(variance + eps) * (dy - dbeta / M - xh * dgamma / M)

    (The second term of dx comes through the mean, the third through the variance: every x moves both.) Meanwhile the averages
    for later are kept up:

    running = (1 - momentum) * running + momentum * batch

    so ``momentum`` is the weight of the *new* batch, as in PyTorch; in Caffe, Keras and the lecture's code it is the weight of
    the old average, 1 minus ours. As in PyTorch too, the variance that normalises is the biased one (divided by M), the one
    that enters ``running_var`` the unbiased one (divided by M - 1).

    In eval mode the running statistics take the place of the batch's. They are constants then, so that
    dx = dy * gamma / sqrt(running_var + eps), exactly.

    *Frozen* (neither gamma nor beta is trainable) means: running statistics are used and kept as they are, in train mode as
    well. Otherwise a frozen network would still change with the data that passes through it.

    Parameters
    ----------
    num_features : int
        C.
    eps : float
        Keeps the root away from zero.
    momentum : float
        Above, 0 to 1.

    float32 or float64; the statistics of the batch are summed in float64. Parameters gamma and beta (C,), which start at 1 and
    0 and do not decay; state running_mean and running_var (C,), which start at 0 and 1.

    Raises
    ------
    ValueError
        If the number of channels is another, or in training if a channel has one value only, which has no variance.

    Source: Ioffe, Szegedy 2015, "Batch Normalization: Accelerating Deep Network Training by Reducing Internal Covariate Shift",
    algorithm 1 and section 3.1; for pictures section 3.2.
    """

    ndim: int

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1):
        super().__init__()
        if not isinstance(num_features, (int, np.integer)) or isinstance(num_features, bool) or num_features < 1:
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

    @property
    def uses_batch_statistics(self) -> bool:
        """Whether mean and variance are those of the batch: in training, unless frozen."""
        return self.training and self.trainable

    def forward(self, x: np.ndarray) -> np.ndarray:
        return self.normalise(x)

    def backward(self, dy: np.ndarray) -> np.ndarray | None:
        return self.gradients(dy)

    def normalise(self, x: np.ndarray, clip: tuple[float, float] = kernels.NO_CLIP) -> np.ndarray:
        """``forward``; and y = min(max(y, low), high) in the same pass, for `NormActivation`."""
        self.check_input(x, self.ndim)
        self.output_shape(x.shape)
        gamma, beta = self.gamma.value, self.beta.value
        if self.uses_batch_statistics:
            M = x.size // self.num_features
            if M < 2:
                raise ValueError(
                    f"{self} has a single value a channel to take the variance of in training: x {x.shape}. "
                    "Use larger batches (drop a last batch of one), eval mode, or freeze the layer"
                )
            y, mean, variance = kernels.batch_norm_forward(x, gamma, beta, self.eps, clip)
            self._update_running("running_mean", mean)
            self._update_running("running_var", variance * (M / (M - 1)))
            self.remember(x=x, mean=mean, variance=variance, of_the_batch=True)
            return y
        y = kernels.running_norm_forward(x, gamma, beta, self.running_mean, self.running_var, self.eps, clip)
        # frozen, the gradient of x is a constant times dy, and x need not be kept
        mean, variance = self.running_mean.copy(), self.running_var.copy()
        self.remember(x=x if self.trainable else None, mean=mean, variance=variance, of_the_batch=False, shape=x.shape)
        return y

    def gradients(
        self, dy: np.ndarray, y: np.ndarray | None = None, clip: tuple[float, float] = kernels.NO_CLIP
    ) -> np.ndarray | None:
        """``backward``; with ``y`` and ``clip``, dy is the gradient of the y that ``normalise`` gave with this clip."""
        saved, gamma = self.recall(), self.gamma.value
        self.check_gradient(dy, saved.shape if saved.x is None else saved.x.shape, gamma.dtype)
        if saved.x is None:
            return kernels.running_norm_dx(dy, gamma, saved.variance, self.eps) if self.needs_dx else None
        normalised = saved.x, gamma, saved.mean, saved.variance, self.eps
        if saved.of_the_batch:
            dx, dgamma, dbeta = kernels.batch_norm_backward(dy, *normalised, self.needs_dx, y=y, clip=clip)
        else:
            dx, dgamma, dbeta = kernels.running_norm_backward(dy, *normalised, self.needs_dx)
        if self.gamma.trainable:
            self.gamma.grad = dgamma
        if self.beta.trainable:
            self.beta.grad = dbeta
        return dx

    def _update_running(self, name: str, batch: np.ndarray) -> None:
        running = getattr(self, name)  # in place: state() hands out the live array
        running[...] = (1 - self.momentum) * running + self.momentum * batch

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        if len(input_shape) != self.ndim or input_shape[1] != self.num_features:
            layout = {2: "(N, {})", 4: "(N, {}, H, W)"}[self.ndim].format(self.num_features)
            raise ValueError(f"{self} expects an input of shape {layout}, got {tuple(input_shape)}. Is x in NCHW order?")
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
    """Batch normalisation of pictures: input and output (N, C, H, W), statistics over all N * H * W places of a channel.

    See ``BatchNorm``.

    >>> layer = BatchNorm2d(3)
    >>> list(layer.parameters()), list(layer.state())
    (['gamma', 'beta'], ['running_mean', 'running_var'])
    """

    ndim = 4
