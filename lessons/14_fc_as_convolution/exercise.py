"""Lesson 14, exercise: turn a network's fully connected layers into convolutions, and read what it then says.

Fill in the functions, and as often as you like run

    minicnn check 14

Each function is a few lines. Arrays are float64; do not change the arrays you are given, return new ones.
C channels, H x W places of a map or pixels of a picture, F units or filters, K classes, OH x OW cells of a map of scores.
"""

from collections.abc import Sequence

import numpy as np

# ---- Task 1: fully connected layers as convolutions


def linear_to_conv(w: np.ndarray, volume: tuple[int, int, int], order: str) -> np.ndarray:
    """The filters of the convolution that does what a fully connected layer does to a flattened volume.

    The layer computes s[f] = sum over d of w[f, d] v[d]. Its input v has the numbers of a volume x (C, H, W), in one of two
    orders:

        order "CHW"     v[(c H + i) W + j] = x[c, i, j]        channels first, as here and in PyTorch
        order "HWC"     v[(i W + j) C + c] = x[c, i, j]        channels last, as in Keras

    The convolution has filters of H x W, no padding, and one place in such a volume, where it computes

        s[f] = sum over c, i, j of filters[f, c, i, j] x[c, i, j]

    w (F, C H W), volume = (C, H, W), order "CHW" or "HWC"  ->  filters (F, C, H, W), a new array and not a view of w
    """
    raise NotImplementedError("Lesson 14, task 1: linear_to_conv")


def head_to_convs(
    head: Sequence[tuple[np.ndarray, np.ndarray]], volume: tuple[int, int, int], order: str
) -> list[tuple[np.ndarray, np.ndarray]]:
    """A whole head of fully connected layers (fc6, fc7, fc8) as convolutions.

    The first layer stands on a volume (C, H, W) that was flattened in this order, as in linear_to_conv; each further one
    stands on the outputs of the layer before it, of which a map has F at every place. (The ReLUs between them have no
    weights, and work on maps as on rows.)

    head: (w, b) of each layer, from below: w (F, D), b (F,)
    ->  (filters, b) of each, from below: filters (F, C, H, W) of the first layer, (F, D, 1, 1) of the others; b (F,)
    """
    raise NotImplementedError("Lesson 14, task 1: head_to_convs")


# ---- Task 2: how large the map is, and what its cells see


def dense_map(layers: Sequence[tuple[int, int, int]], crop: int, size: int) -> tuple[int, int, int, int, int]:
    """What a network with a converted head makes of a picture of another size, along one axis.

    The layers below the head are convolutions and pools (kernel, stride, pad), from the picture upwards. Each makes of n places

        floor((n + 2 pad - kernel) / stride) + 1

    and element i of its output sees the places i * stride - pad to i * stride - pad + kernel - 1 of its input. The network was
    made for pictures of `crop` pixels. Its first fully connected layer stands on all that these layers make of such a picture,
    and is now a convolution with a kernel just as long, of stride 1 and without padding. What follows has kernels of 1.

    layers (at least one), crop, size >= crop  ->  kernel, cells, step, first, last, all int:

        kernel      how long the kernel of the first converted layer is
        cells       how many cells the map of scores has, for a picture of `size` pixels
        step        how many pixels lie between what a cell sees and what the next one sees
        first, last the first and the last pixel that cell 0 sees, both included; with padding, first is negative
    """
    raise NotImplementedError("Lesson 14, task 2: dense_map")


# ---- Task 3: the crops that the cells stand for, and one answer from all of them


def crops_of_cells(x: np.ndarray, crop: tuple[int, int], step: int) -> np.ndarray:
    """The crops of a picture that the cells of the map stand for, where nothing is padded.

    The network was made for pictures of h x w pixels, and its strides multiply to `step`. Cell (i, j) has the scores of

        crops[i, j] = rows i * step to i * step + h - 1 and columns j * step to j * step + w - 1 of x

    and all that fit into the picture whole are wanted.

    x (C, H, W), crop = (h, w), step  ->  crops (OH, OW, C, h, w), a new array and not a view of x
    """
    raise NotImplementedError("Lesson 14, task 3: crops_of_cells")


def dense_prediction(maps: Sequence[np.ndarray]) -> np.ndarray:
    """One answer from M maps of scores of the same picture: at several sizes, of its mirror images.

        s[m, k] = mean over all cells i, j of maps[m][k, i, j]
        p[k]    = (1/M) sum over m of softmax(s[m])[k]                     softmax over the K classes

    So each map counts the same, however many cells it has. Scores of 1000 must work: subtract the largest before exp.

    maps: M arrays (K, OH, OW), each with its own OH and OW  ->  p (K,)
    """
    raise NotImplementedError("Lesson 14, task 3: dense_prediction")


# ---- Task 4: class activation maps


def class_activation_maps(x: np.ndarray, w: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The class activation maps of a network that ends in a global average and a linear classifier.

    It computes     z[c] = mean over i, j of x[c, i, j]      s[k] = b[k] + sum over c of w[k, c] z[c]
    and the maps    M[k, i, j] = b[k] + sum over c of w[k, c] x[c, i, j]

    have these scores as their means: s[k] = mean over i, j of M[k, i, j].

    x (C, H, W), the last feature map; w (K, C), b (K,), the classifier  ->  M (K, H, W)
    """
    raise NotImplementedError("Lesson 14, task 4: class_activation_maps")


def enlarge(m: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A map enlarged to the size of the picture, bilinearly.

    The middle of row r of the picture lies at y in units of the map's rows, whose middles are at 0, 1, ..., h - 1:

        y = (r + 1/2) h / H - 1/2, but not less than 0 and not more than h - 1
        y0 = floor(y),  t = y - y0,  y1 = y0 + 1, but not more than h - 1

    Columns likewise, with x, x0, x1 and u. Then

        out[r, c] = (1 - t) (1 - u) m[y0, x0] + (1 - t) u m[y0, x1] + t (1 - u) m[y1, x0] + t u m[y1, x1]

    m (h, w), size = (H, W), at least (h, w)  ->  (H, W)
    """
    raise NotImplementedError("Lesson 14, task 4: enlarge")


# ---- Task 5: what it costs


def dense_and_crops(
    channels: int,
    layers: Sequence[tuple[int, int, int, int]],
    head: Sequence[int],
    crop: tuple[int, int],
    size: tuple[int, int],
) -> tuple[int, int]:
    """Multiply-adds of one dense pass over a picture, and of the network for each of its crops, one after another.

    A layer below the head is (F, kernel, stride, pad), from the picture upwards. With F > 0 it is a convolution with F square
    filters on all channels of its input: F * (input channels) * kernel * kernel multiply-adds for each place of its *output*.
    With F = 0 it is a pool: it keeps the number of channels and costs nothing. Sizes of maps are as in dense_map, along both
    axes. The head's layers have head[0], head[1], ... outputs. The first stands on the whole volume that a crop (h, w) has
    become, each further one on the outputs of the one before; one multiply-add for each input and output.

    As convolutions the head's layers compute all this for every cell of the map. There are (last map of the picture - last map
    of a crop + 1) cells along each axis; each stands for a crop, which the network in its own form passes by itself. Biases and
    ReLUs cost nothing.

    channels of the picture, layers, head, crop = (h, w), size = (H, W)  ->  dense, crops, both int
    """
    raise NotImplementedError("Lesson 14, task 5: dense_and_crops")
