"""Lesson 16, exercise: look inside a network, and fool it.

Fill in the functions, and as often as you like run

    minicnn check 16

Each function is a few lines. Arrays are float64; do not change the arrays you are given, return new ones. A network gives
scores (N, K) for pictures (N, C, H, W), and is used like this:

    network.eval(backward=True)            inference that remembers what a backward pass needs (plain eval() does not)
    scores = network.forward(x)
    dx = network.backward(dscores)         belongs to this forward; dscores has the shape of the scores
    lower, upper = network.split(layer)    everything up to and including a layer, and everything above it; they work alike

Its mode you may change, its weights and statistics not.
N pictures, C channels, H x W pixels, K classes, h x w places in feature maps, D numbers in a code, Q queries.
"""

import numpy as np

from minicnn.layers import Sequential

# ---- Task 1: saliency


def saliency(network: Sequential, x: np.ndarray, k: np.ndarray) -> np.ndarray:
    """How much the score of a class changes with each pixel.

        S[n, i, j] = max over c of |d scores[n, k[n]] / d x[n, c, i, j]|

    The score is the number that comes out of the network, before any softmax. Each picture has a class of its own, k[n], which
    need not be the one that the network would answer. The network may come in train mode; a map must depend on its picture
    alone.

    x (N, C, H, W), k (N,) integers  ->  S (N, H, W), not scaled in any way

    To follow one score back, dscores is 1 for it and 0 for all others.
    """
    raise NotImplementedError("Lesson 16, task 1: saliency")


# ---- Task 2: Grad-CAM


def grad_cam(network: Sequential, layer: str, x: np.ndarray, k: np.ndarray) -> np.ndarray:
    """Which places in the feature maps A of a layer speak for a class.

        alpha[n, c] = mean over i, j of d scores[n, k[n]] / d A[n, c, i, j]
        G[n, i, j]  = max(0, sum over c of alpha[n, c] A[n, c, i, j])

    A is the output of the top-level layer of this name, feature maps (N, C', h, w); some of its numbers may be negative. The
    score is the one before the softmax. The network may come in train mode.

    x (N, C, H, W), k (N,) integers  ->  G (N, h, w), not scaled in any way
    """
    raise NotImplementedError("Lesson 16, task 2: grad_cam")


def upsample(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Maps enlarged to the size of the picture, by linear interpolation along the rows and along the columns.

    Row i of the large map lies at u in the small one, if pixels are little squares and both maps cover the same area:

        u = (i + 1/2) h / H - 1/2,  not below 0 and not above h - 1
        its value is (1 - t) times that of row a plus t times that of row b,  a = floor(u), b = min(a + 1, h - 1), t = u - a

    and columns likewise, with w and W.

    maps (N, h, w), size (H, W), at least as large  ->  (N, H, W)
    """
    raise NotImplementedError("Lesson 16, task 2: upsample")


# ---- Task 3: occlusion


def occlusion(network: Sequential, x: np.ndarray, k: int, side: int, stride: int, fill: np.ndarray) -> np.ndarray:
    """How far the probability of class k falls when a part of the picture is covered.

    The picture is divided into cells of stride x stride pixels, ceil(H / stride) rows of ceil(W / stride) cells; the last ones
    may hang over the edge. A square of side x side pixels, side >= stride, is laid over each cell in turn:

        its rows    are i stride - m  to  i stride - m + side - 1,     m = (side - stride) // 2
        its columns are j stride - m  to  j stride - m + side - 1

    as far as there are such rows and columns. There, each channel c is set to fill[c]; the rest of the picture is as it was.

        map[i, j] = p_k(x) - p_k(x with the square on cell i, j),      p = softmax(scores)

    It is negative where covering helps. The network comes in eval mode. You may use minicnn.losses.softmax.

    x (C, H, W), one picture; fill (C,)  ->  map (rows, columns)
    """
    raise NotImplementedError("Lesson 16, task 3: occlusion")


# ---- Task 4: a picture that fools the network


def fast_gradient_sign(
    network: Sequential, pixels: np.ndarray, mean: np.ndarray, std: np.ndarray, k: np.ndarray, step: float, targeted: bool
) -> np.ndarray:
    """Every pixel moved by one small step, so that the loss changes as much as it can (Goodfellow et al. 2015).

    The network does not see the pixels, from 0 to 255, but x = (pixels - mean[c]) / std[c], for each channel c.

        loss of picture n = - log softmax(scores[n])[k[n]]
        d = sign of d loss / d pixels,   which is 1, -1, or 0 where that derivative is exactly 0

        untargeted: k are the true classes, and the loss is to grow:    pixels + step d
        targeted:   k are the classes to be answered; it is to shrink:  pixels - step d

    The step is in units of pixels. What comes out is a picture again: no number below 0 or above 255 (not rounded). The network
    may come in train mode.

    pixels (N, C, H, W), mean, std (C,), k (N,) integers, step > 0  ->  new pixels (N, C, H, W)
    """
    raise NotImplementedError("Lesson 16, task 4: fast_gradient_sign")


# ---- Task 5: a map of codes by PCA


def pca(codes: np.ndarray, dimensions: int) -> tuple[np.ndarray, np.ndarray]:
    """The codes along the directions in which they vary most, and what share of their variance each of these has.

    With X = codes - their mean (that of each of the D numbers), and X = U S V^T its singular value decomposition, S falling:

        points   = the first columns of X V = U S
        share[j] = S[j]^2 / sum over all i of S[i]^2       (0 if all codes are alike, and the sum is 0)

    A singular vector may be turned round, V and -V. By our rule the number of largest absolute value in each column of the
    points is positive.

    codes (N, D), dimensions at most min(N, D)  ->  points (N, dimensions), share (dimensions,)
    """
    raise NotImplementedError("Lesson 16, task 5: pca")


# ---- Task 6: nearest neighbours


def nearest_neighbours(codes: np.ndarray, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k codes nearest to each query, the nearest first, without the query itself.

        distance(x, y) = 1 - x.y / (|x| |y|)       from 0, the same direction, to 2; a code of zeros is at distance 1 from all

    Queries are numbers of codes. Another code that equals the query is its neighbour, at distance 0; only the query itself is
    not. One query may well be found by another one.

    codes (N, D), queries (Q,) integers, k <= N - 1  ->  neighbours (Q, k) integers, distances (Q, k)
    """
    raise NotImplementedError("Lesson 16, task 6: nearest_neighbours")
