"""A first convolution that need not be learned: filters that whiten the small patches of the training pictures."""

from __future__ import annotations

import numpy as np

from .arguments import pair
from .conv import Conv2d

PICTURES = 256  # at a time: their patches take KH KW times the memory of the pictures


def patch_whitening(x: np.ndarray, kernel_size: int | tuple[int, int] = 2, eps: float = 5e-4) -> np.ndarray:
    """Filters whose outputs are not correlated and have one variance, and the negatives of these filters.

    Let p be a patch of KH x KW pixels as D = C KH KW numbers, and S the covariance of all patches of the pictures, with
    eigenvectors u_k and eigenvalues l_k, largest first. The filters are

    w_k = u_k / sqrt(l_k + eps)   and   w_(D + k) = -w_k   for k < D

    The outputs w_k p, k < D, are not correlated, and their variances are l_k / (l_k + eps): 1, but for eps, which is in units
    of the pictures' variance and keeps directions of hardly any variance, mostly noise, from being blown up. Neighbouring
    pixels are nearly equal, so that in the pictures themselves brightness drowns everything else; now edges count as much, and
    the layers above learn faster. What a ReLU behind the filters takes from w_k p, it leaves of -w_k p.

    Jordan 2024, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU" (arXiv 2404.00498), section 3.1.

    Parameters
    ----------
    x : float32 or float64 (N, C, H, W)
        Training pictures as the network gets them, normalised; a few thousand do.
    kernel_size : int or (int, int)
        (KH, KW).
    eps : float, at least 0

    Returns
    -------
    x's dtype (2 C KH KW, C, KH, KW)

    Raises
    ------
    ValueError
        For other arrays, pictures smaller than a patch, numbers that are not finite, or an eps out of range; with eps = 0 also
        if the patches do not vary in all directions, as grey pictures with three channels.

    >>> x = np.array([0.0, 4, 0, 4]).reshape(1, 1, 2, 2)  # four patches of one pixel: variance 4, standard deviation 2
    >>> patch_whitening(x, kernel_size=1, eps=0).ravel()
    array([ 0.5, -0.5])
    """
    KH, KW = pair("patch_whitening", "kernel_size", kernel_size, 1)
    if x.ndim != 4 or x.dtype not in (np.float32, np.float64) or len(x) == 0 or x.shape[2] < KH or x.shape[3] < KW:
        raise ValueError(
            f"patch_whitening: expected float32 or float64 pictures (N, C, H, W) of at least {KH} x {KW} pixels, got {x.dtype} "
            f"{x.shape}"
        )
    if not 0 <= eps < np.inf:
        raise ValueError(f"patch_whitening: eps is added to variances, a number of at least 0, got {eps!r}")
    D, count = x.shape[1] * KH * KW, 0
    sums, products = np.zeros(D), np.zeros((D, D))
    for start in range(0, len(x), PICTURES):
        patches = np.lib.stride_tricks.sliding_window_view(x[start : start + PICTURES], (KH, KW), axis=(2, 3))
        patches = patches.transpose(0, 2, 3, 1, 4, 5).reshape(-1, D).astype(np.float64)
        count += len(patches)
        sums += patches.sum(axis=0)
        products += patches.T @ patches
    S = products / count - np.outer(sums, sums) / count**2
    if not np.isfinite(S).all():
        raise ValueError("patch_whitening: some of the pixels are not finite numbers; leave these pictures out")
    eigenvalues, U = np.linalg.eigh(S)  # smallest first, an eigenvector in each column
    if eps == 0 and eigenvalues[0] <= 1e-12 * eigenvalues[-1]:
        raise ValueError("patch_whitening: the patches do not vary in all directions, which only an eps above 0 can whiten")
    w = (U / np.sqrt(np.maximum(eigenvalues, 0) + eps)).T[::-1].reshape(D, x.shape[1], KH, KW)
    return np.concatenate([w, -w]).astype(x.dtype)


def whitening_conv(x: np.ndarray, kernel_size: int | tuple[int, int] = 2, eps: float = 5e-4) -> Conv2d:
    """A convolution with the filters of `patch_whitening`, which are frozen, and a bias, which is trained and starts at 0.

    Its filters stay as they are until the network is unfrozen as a whole. Arguments and errors are those of `patch_whitening`.

    >>> x = np.random.default_rng(0).normal(size=(100, 3, 8, 8)).astype(np.float32)
    >>> whitening_conv(x).forward(x).shape
    (100, 24, 7, 7)
    """
    w = patch_whitening(x, kernel_size, eps)
    conv = Conv2d(w.shape[1], w.shape[0], w.shape[2:]).astype(x.dtype)
    conv.w.value[:] = w
    conv.w.trainable = False
    return conv
