"""Whether one picture is a crop of another one, or of its mirror image: normalised cross-correlation at several sizes.

Shrunk to n x n, a picture t is laid on every place of the other one, which is S x S. With the part p of that one below it, and
both less their means, the correlation is

    r = sum(t p) / sqrt(sum(t^2) sum(p^2))

(template matching; Lewis 1995, "Fast Normalized Cross-Correlation"). For a picture that was cut out of the other one, n / S
of it along each side, r is nearly 1 at its place, whatever the brightness and the contrast.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

SIDE = 32  # S, pixels
SMALLEST = 19  # pixels of the smallest crop that is looked for, 60 % of each side
FLAT = 1e-3  # what varies by less than this share of the whole shows nothing


def crop_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """The greatest r of one picture on a part of the other one, either way round, over all sizes and places, mirrored or not.

    Parameters
    ----------
    a, b : float32 (H, W)
        Grey pictures, of at least about 32 x 32 pixels.

    >>> picture = np.random.default_rng(0).random((64, 64), np.float32)
    >>> crop_correlation(picture, 3 - 2 * picture[8:, :56]) < 0.5, crop_correlation(picture, 3 + 2 * picture[8:, 55::-1]) > 0.9
    (True, True)
    """
    return max(_best_place(a, b), _best_place(b, a))


def _best_place(template: np.ndarray, picture: np.ndarray) -> float:
    """The greatest r of the template on a part of the picture."""
    whole = _resized(picture, SIDE)
    whole = whole - whole.mean()
    sizes = range(SMALLEST, SIDE + 1)
    padded = np.zeros((len(sizes), 2, SIDE, SIDE), np.float32)
    for k, n in enumerate(sizes):
        t = _resized(template, n)
        length, t = float(np.linalg.norm(t)), t - t.mean()
        t /= max(float(np.linalg.norm(t)), FLAT * length, 1e-12)
        padded[k, :, :n, :n] = t, t[:, ::-1]
    # sum(t p) at every place by the correlation theorem; where the template lies within the picture, nothing wraps around
    products = np.fft.irfft2(np.conj(np.fft.rfft2(padded)) * np.fft.rfft2(whole), (SIDE, SIDE))
    best, least = 0.0, FLAT * float(np.square(whole).sum())
    sums, squares = _running_sums(whole), _running_sums(np.square(whole))
    for n, product in zip(sizes, products, strict=True):
        spread = _sums_of_parts(squares, n) - np.square(_sums_of_parts(sums, n)) / n**2  # sum(p^2) of p less its mean
        r = product[:, : SIDE - n + 1, : SIDE - n + 1] / np.sqrt(np.maximum(spread, max(least, 1e-12)))
        best = max(best, float(r.max()))
    return best


def _resized(picture: np.ndarray, side: int) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.BOX))


def _running_sums(x: np.ndarray) -> np.ndarray:
    """The sum of all that is above and to the left of each corner between pixels, (S + 1, S + 1)."""
    return np.pad(x.astype(np.float64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))


def _sums_of_parts(sums: np.ndarray, n: int) -> np.ndarray:
    """The sum over each part of n x n pixels, (S - n + 1, S - n + 1), from running sums."""
    return sums[n:, n:] - sums[:-n, n:] - sums[n:, :-n] + sums[:-n, :-n]
