"""Preprocessing that is fitted to the training set: zero mean, unit variance, principal components, whitening.

It is measured on the training set alone; validation and test data then go through the same numbers.

CS231n, "Neural Networks Part 2: Setting up the Data and the Loss", section "Data Preprocessing".
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

ROWS = 1024  # at a time, so that a set of 8-bit pictures is never there in float64 as a whole
ROUNDING = 1e-12  # of a mean: what deviates from it by less does not vary


class Standardization:
    """Zero mean and unit variance: y = (x - mean) / std, each feature or each channel with its own mean and std.

    A feature that never varies has y = 0.

    Parameters
    ----------
    per : "feature" or "channel"
        "feature": all N samples have a mean for each of their numbers, the mean picture. "channel": a mean for each channel of
        (N, C, H, W), over all samples and pixels, as most networks for pictures have it; then pictures of other sizes fit too.
    unit_variance : bool
        False: y = x - mean.

    Attributes
    ----------
    mean, std : float64
        After `fit`, of x's shape without N; per channel (C, 1, 1). The std of what never varies is 1.

    Raises
    ------
    ValueError
        For another ``per``; for data that it cannot be fitted to, or that has another shape than what it was fitted to.

    >>> standardize = Standardization().fit(np.array([[1.0, 5], [3, 5]]))
    >>> standardize(np.array([[5.0, 5]]))
    array([[3., 0.]])
    """

    def __init__(self, per: str = "feature", unit_variance: bool = True):
        if per not in ("feature", "channel"):
            raise ValueError(f"Standardization: per is 'feature' or 'channel', got {per!r}")
        self.per, self.unit_variance = per, unit_variance

    def fit(self, x: np.ndarray) -> Standardization:
        """Measure mean and std of training data x (N, ...). Returns itself."""
        _check_data("Standardization", x)
        if self.per == "channel" and x.ndim != 4:
            raise ValueError(f"Standardization: per='channel' expects pictures (N, C, H, W), got {x.shape}")
        mean = _mean(x)
        variance = sum(((rows - mean) ** 2).sum(axis=0) for rows in _rows(x)) / len(x)
        mean, variance = mean.reshape(x.shape[1:]), variance.reshape(x.shape[1:])
        if self.per == "channel":  # within pixels, and between them
            of_pixels, mean = mean, mean.mean(axis=(1, 2), keepdims=True)
            variance = (variance + (of_pixels - mean) ** 2).mean(axis=(1, 2), keepdims=True)
        varies = variance > (ROUNDING * mean) ** 2
        self.mean, self.std = mean, np.where(varies & self.unit_variance, np.sqrt(variance), 1.0)
        self._shape = x.shape[1:] if self.per == "feature" else (x.shape[1], None, None)  # pictures of any size
        return self

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """y, in x's dtype; float32 for integers."""
        x = _floats(self, x, getattr(self, "_shape", None))
        return (x - self.mean.astype(x.dtype)) / self.std.astype(x.dtype)

    def inverse(self, y: np.ndarray) -> np.ndarray:
        """The x that gives y."""
        y = _floats(self, y, getattr(self, "_shape", None))
        return y * self.std.astype(y.dtype) + self.mean.astype(y.dtype)


class PCA:
    """Principal components: y = U^T (x - mean), coordinates that are not correlated; of which the largest K may do.

    The covariance of the training data, C = sum over n of (x_n - mean) (x_n - mean)^T / N, has the eigenvectors U, one in each
    column, and the eigenvalues l, which are the variances of the y_k, largest first.

    Whitening also gives all of them the same variance: y_k = u_k^T (x - mean) / sqrt(l_k + eps). Then the covariance of y is
    the unit matrix, but for eps: it keeps directions of hardly any variance, which are mostly noise, from being blown up, as
    their variance becomes l / (l + eps). It is in units of x's variance: 1e-5 suits pixels of 0 to 1 or standardised ones; for
    pixels of 0 to 255 multiply it by 255^2.

    Parameters
    ----------
    components : int, optional
        K; by default all, D.
    whiten : bool
    eps : float, at least 0
        Matters to whitening only.

    Attributes
    ----------
    mean : float64 (D,)
    eigenvalues : float64 (K,)
    eigenvectors : float64 (D, K)
        Of length 1, their largest elements positive.

    Raises
    ------
    ValueError
        For constants out of range; for data that it cannot be fitted to, or that has another shape than what it was fitted to;
        if eps is 0 and a direction that is to be whitened has no variance.

    Pearson 1901; CS231n, as above, "PCA and Whitening".

    >>> x = np.array([[6.0, 8], [-6, -8], [4, -3], [-4, 3]])  # along (3, 4) the variance is 50, along (4, -3) 12.5
    >>> PCA().fit(x)(x[:2]).round(6)
    array([[ 10., 0.],
           [-10., 0.]])
    >>> PCA(components=1, whiten=True, eps=14).fit(x)(x[:2]).round(6)  # 10 / sqrt(50 + 14)
    array([[ 1.25],
           [-1.25]])
    """

    def __init__(self, components: int | None = None, whiten: bool = False, eps: float = 1e-5):
        if components is not None and components < 1:
            raise ValueError(f"PCA: components is at least 1, got {components}")
        _check_eps("PCA", eps)
        self.components, self.whiten, self.eps = components, whiten, eps

    def fit(self, x: np.ndarray) -> PCA:
        """Find the components of training data x (N, ...), each sample taken as D numbers. Returns itself."""
        _check_data("PCA", x)
        self.mean = _mean(x)
        D, K = self.mean.size, self.components or self.mean.size
        if K > D:
            raise ValueError(f"PCA: {self.components} components of data that has {D} numbers a sample; ask for {D} at most")
        covariance = np.zeros((D, D))
        for rows in _rows(x):
            rows = rows - self.mean
            covariance += rows.T @ rows
        eigenvalues, U = np.linalg.eigh(covariance / len(x))  # smallest first
        largest = U[np.abs(U).argmax(axis=0), range(D)]
        self.eigenvalues, self.eigenvectors = np.maximum(eigenvalues[::-1], 0)[:K], (U * np.sign(largest))[:, ::-1][:, :K]
        rank = np.count_nonzero(self.eigenvalues > D * np.finfo(np.float64).eps * self.eigenvalues[0])
        if self.whiten and self.eps == 0 and rank < K:
            raise ValueError(
                f"PCA: {K} components cannot be whitened with eps=0, because the data varies in {rank} directions only; give "
                f"eps > 0, or ask for {rank} components at most"
            )
        self._shape = x.shape[1:]
        return self

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """y (N, K), in x's dtype; float32 for integers."""
        x = _floats(self, x, getattr(self, "_shape", None))
        return (x.reshape(len(x), -1) - self.mean.astype(x.dtype)) @ (self.eigenvectors / self._scale()).astype(x.dtype)

    def inverse(self, y: np.ndarray) -> np.ndarray:
        """The x (N, ...) that gives y (N, K); of several, the one nearest to the mean, for what was left out is lost."""
        y = _floats(self, y, self.eigenvalues.shape if hasattr(self, "_shape") else None)
        x = y @ (self.eigenvectors * self._scale()).T.astype(y.dtype) + self.mean.astype(y.dtype)
        return x.reshape(len(y), *self._shape)

    def _scale(self) -> np.ndarray:
        """What each coordinate is divided by."""
        return np.sqrt(self.eigenvalues + self.eps) if self.whiten else np.ones_like(self.eigenvalues)


class ZCA:
    """Whitened data turned back to where it was: y = U diag(1 / sqrt(l + eps)) U^T (x - mean), a picture for a picture.

    Of all ways to whiten, which differ by a rotation, this one changes x the least ("zero-phase component analysis"): whitened
    pictures still look like pictures, with their edges stressed. U, l and eps are as in `PCA`. For pictures choose eps by their
    look: with too small a one, there is nothing but noise.

    Parameters
    ----------
    eps : float, at least 0

    Attributes
    ----------
    pca : PCA
        After `fit`: the whitening before it is turned back.

    Raises
    ------
    ValueError
        As `PCA` with ``whiten=True`` does.

    Bell, Sejnowski 1997, "The 'Independent Components' of Natural Scenes are Edge Filters"; Krizhevsky 2009, "Learning Multiple
    Layers of Features from Tiny Images", appendix A.

    >>> x = np.array([[6.0, 8], [-6, -8], [4, -3], [-4, 3]])
    >>> ZCA(eps=0).fit(x)(x[:1]).round(3)  # 10 / sqrt(50) along (3, 4) / 5
    array([[0.849, 1.131]])
    """

    def __init__(self, eps: float = 1e-5):
        _check_eps("ZCA", eps)
        self.eps = eps

    def fit(self, x: np.ndarray) -> ZCA:
        """Find the directions of training data x (N, ...), each sample taken as D numbers. Returns itself."""
        self.pca = PCA(whiten=True, eps=self.eps).fit(x)
        return self

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """y, of x's shape and dtype; float32 for integers."""
        y = self._fitted()(x)
        return (y @ self.pca.eigenvectors.T.astype(y.dtype)).reshape(x.shape)

    def inverse(self, y: np.ndarray) -> np.ndarray:
        """The x that gives y."""
        y = _floats(self, y, self._fitted()._shape)
        return self.pca.inverse(y.reshape(len(y), -1) @ self.pca.eigenvectors.astype(y.dtype))

    def _fitted(self) -> PCA:
        if not hasattr(self, "pca"):
            raise _not_fitted(self)
        return self.pca


# ---- what all of them do


def _check_eps(name: str, eps: float) -> None:
    if not 0 <= eps < np.inf:
        raise ValueError(f"{name}: eps is added to variances, a number of at least 0, got {eps!r}")


def _check_data(name: str, x: np.ndarray) -> None:
    if x.ndim < 2 or x.size == 0:
        raise ValueError(f"{name}: expected samples (N, ...), at least one number in each, got shape {x.shape}")
    if not all(np.isfinite(rows).all() for rows in _rows(x)):
        raise ValueError(f"{name}: some of the data is not a finite number; leave these samples out")


def _rows(x: np.ndarray) -> Iterator[np.ndarray]:
    """The samples as rows of float64, some at a time."""
    for start in range(0, len(x), ROWS):
        rows = x[start : start + ROWS]
        yield rows.reshape(len(rows), -1).astype(np.float64)


def _mean(x: np.ndarray) -> np.ndarray:
    return sum(rows.sum(axis=0) for rows in _rows(x)) / len(x)


def _floats(fitted: Standardization | PCA | ZCA, x: np.ndarray, shape: tuple[int | None, ...] | None) -> np.ndarray:
    """x in floating point, if its samples have the shape that was fitted, in which None stands for any length."""
    if shape is None:
        raise _not_fitted(fitted)
    if x.ndim != 1 + len(shape) or any(length not in (None, n) for length, n in zip(shape, x.shape[1:], strict=True)):
        expected = ", ".join(["N", *("any" if length is None else str(length) for length in shape)])
        raise ValueError(f"{type(fitted).__name__}: it was fitted to ({expected}), got {x.shape}")
    return x if x.dtype in (np.float32, np.float64) else x.astype(np.float32)


def _not_fitted(unfitted: Standardization | PCA | ZCA) -> ValueError:
    return ValueError(f"{type(unfitted).__name__}: call fit(x) with the training data first")
