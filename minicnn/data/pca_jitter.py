"""AlexNet's colour jitter: shift all colours of a picture along the directions in which colours vary."""

from __future__ import annotations

import numpy as np

from .compose import Rng, check_pictures

CHUNK = 256  # pictures at a time


class PCAJitter:
    """Adds one random colour to all pixels of a picture: x' = x + sum over i of a_i l_i p_i, with a_i normal of mean 0.

    p_i and l_i are the eigenvectors and eigenvalues of the 3 x 3 covariance matrix of the training set's pixels, with values of
    0 to 1 (an eigenvalue is a square, so that the unit matters). A picture mostly becomes lighter or darker, and a little
    warmer or colder, as the light that falls on things does. The result is rounded and clipped to 0..255.

    Krizhevsky, Sutskever, Hinton 2012, "ImageNet Classification with Deep Convolutional Neural Networks", section 4.1.

    Parameters
    ----------
    pictures : uint8 (N, H, W, 3)
        The training set, from whose pixels the l_i and p_i are computed.
    std : float
        Standard deviation of the a_i.

    Attributes
    ----------
    eigenvalues : float64 (3,)
        The l_i, largest first.
    eigenvectors : float64 (3, 3)
        A p_i in each column, of length 1, its largest component positive.
    std : float

    Raises
    ------
    ValueError
        For other arrays, or a ``std`` that is negative or no number.

    >>> blue = np.zeros((2, 1, 1, 3), np.uint8)
    >>> blue[1, ..., 2] = 255                                # one black pixel, one blue one: the covariance is 1/4, blue alone
    >>> jitter = PCAJitter(blue)
    >>> jitter.eigenvalues, jitter.eigenvectors[:, 0]
    (array([0.25, 0.  , 0.  ]), array([0., 0., 1.]))
    """

    def __init__(self, pictures: np.ndarray, std: float = 0.1):
        _check_colours(pictures)
        if not 0 <= std < np.inf:
            raise ValueError(f"std={std!r}: expected a standard deviation, at least 0")
        if pictures.size == 0:
            raise ValueError("PCAJitter computes how colours vary in the training set, and there are no pixels")
        sums, products = np.zeros(3), np.zeros((3, 3))
        for start in range(0, len(pictures), CHUNK):
            pixels = pictures[start : start + CHUNK].reshape(-1, 3) / 255
            sums += pixels.sum(axis=0)
            products += pixels.T @ pixels
        count = pictures.size / 3
        values, vectors = np.linalg.eigh(products / count - np.outer(sums, sums) / count**2)  # smallest first
        signs = np.sign(vectors[np.abs(vectors).argmax(axis=0), range(3)])
        self.eigenvalues, self.eigenvectors = np.maximum(values[::-1], 0), (vectors * signs)[:, ::-1]
        self.std = std

    def __call__(self, pictures: np.ndarray, rng: Rng) -> np.ndarray:
        """uint8 pictures (N, H, W, 3); returns new ones."""
        _check_colours(pictures)
        a = rng.normal(0, self.std, (len(pictures), 3))
        colours = np.rint(255 * (a * self.eigenvalues) @ self.eigenvectors.T)
        colours = np.clip(colours, -255, 255).astype(np.int16)
        return np.clip(pictures + colours[:, None, None], 0, 255).astype(np.uint8)

    def describe(self) -> str:
        """One line for reports."""
        return f"colours shifted along their principal components, standard deviation {self.std:g}"


def _check_colours(pictures: np.ndarray) -> None:
    check_pictures(pictures)
    if pictures.shape[3:] != (3,):
        raise ValueError(f"PCAJitter is for colour pictures (N, H, W, 3), got {pictures.shape}")
