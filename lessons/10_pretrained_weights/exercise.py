"""Lesson 10, exercise: read a weights file by hand, and make its arrays those of a network.

Fill in the functions, and as often as you like run

    minicnn check 10

Each function is a few lines. Do not change the arrays you are given, and return new ones, not views of them. Where a
ValueError is asked for, its text is up to you: say what is wrong with the file.
N pictures, C channels, H x W pixels, K classes; KH x KW kernels, F filters.
"""

from collections.abc import Mapping, Sequence

import numpy as np

# ---- Task 1: a file, read by hand


def numbers(data: bytes, dtype: str, shape: Sequence[int]) -> np.ndarray:
    """Raw bytes as an array of this shape, little-endian, the last axis varying fastest.

        dtype   bytes a number   NumPy's type                          returned as
        "F64"         8          float64                               the same
        "F32"         4          float32                               the same
        "F16"         2          float16                               the same
        "BF16"        2          none: the upper two of the four       float32
                                 bytes of a float32, whose lower
                                 two bytes are 0
        "I64"         8          int64                                 the same
        "I32"         4          int32                                 the same
        "U8"          1          uint8                                 the same

    A shape without axes, [], is that of a single number; a shape may have a 0 in it, and then there are no bytes.

    ValueError: for any other dtype; if there are not just as many bytes as the shape needs.

    data, dtype, shape  ->  the array
    """
    raise NotImplementedError("Lesson 10, task 1: numbers")


def read_safetensors(data: bytes) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file by name.

        bytes 0 to 7           N, the length of the header: a whole number, little-endian
        the next N bytes       the header: JSON, perhaps with spaces behind it,
                               {"__metadata__": {...},
                                "conv.weight": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ...}
        all that follows       the numbers of all arrays

    The bytes of an array are those from data_offsets[0] up to, and without, data_offsets[1]; they are counted from the end of
    the header. Arrays may lie there in another order than in the header. "__metadata__", which need not be there, is no array.

    ValueError, as a file that lies about itself must not be read: if the header does not fit into the file; for what numbers()
    refuses; unless the arrays together are all that follows the header, each byte of it in one array, without a gap, an overlap
    or a rest.

    data  ->  {name: array}, in any order
    """
    raise NotImplementedError("Lesson 10, task 1: read_safetensors")


# ---- Task 2: from Keras's axes to ours


def conv_from_keras(kernel: np.ndarray) -> np.ndarray:
    """The kernels of a convolution: w[f, c, i, j] = kernel[i, j, c, f].

    They are not flipped: Keras computes a cross-correlation, as we do.

    kernel (KH, KW, C, F)  ->  w (F, C, KH, KW), a new array
    """
    raise NotImplementedError("Lesson 10, task 2: conv_from_keras")


def depthwise_from_keras(kernel: np.ndarray) -> np.ndarray:
    """The kernels of a depthwise convolution, M of them for each channel: w[c * M + m, 0, i, j] = kernel[i, j, c, m].

    kernel (KH, KW, C, M)  ->  w (C * M, 1, KH, KW), a new array
    """
    raise NotImplementedError("Lesson 10, task 2: depthwise_from_keras")


def dense_from_keras(kernel: np.ndarray, chw: tuple[int, int, int] | None) -> np.ndarray:
    """The weights of a fully connected layer.

    Keras has a row for each input and a column for each output; we have it the other way round: w[o, d] = kernel[d, o].

    If the layer stands on a flattened map of chw = (C, H, W), the inputs come in another order, too. Keras flattens a map with
    the channels last, we with the channels first:

        input of channel c, row i, column j        number (i * W + j) * C + c in Keras        number (c * H + i) * W + j here

    chw is None where the layer stands on a row of numbers.

    kernel (D, O)  ->  w (O, D), a new array
    """
    raise NotImplementedError("Lesson 10, task 2: dense_from_keras")


# ---- Task 3: a batch norm by three names


def batch_norm_of(
    arrays: Mapping[str, np.ndarray], name: str, source: str, bias: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """gamma, beta, running mean and running variance of the batch norm that the source calls ``name``.

        source      gamma              beta                running mean                running variance
        "pytorch"   NAME.weight        NAME.bias           NAME.running_mean           NAME.running_var
        "keras"     NAME/gamma         NAME/beta           NAME/moving_mean            NAME/moving_variance
        "caffe"     scaleNAME/0        scaleNAME/1         bnNAME/0, divided by the    bnNAME/1, divided by the
                                                           one number in bnNAME/2      one number in bnNAME/2

    A layer of Keras may have been made without gamma, or without beta: then there is no such array, and gamma is 1 (beta is 0)
    in every channel. Caffe's arrays may have axes of length 1 in front, (1, 1, 1, C). Where its one number is 0, nothing has
    been summed up yet: mean and variance are 0.

    bias is that of the convolution below, (C,), where our network has a convolution without one; else None. The norm takes the
    mean off what the convolution gives, so that a bias there is the same as a mean that is smaller by it: return the running
    mean minus the bias.

    arrays  ->  gamma (C,), beta (C,), running_mean (C,), running_var (C,)
    """
    raise NotImplementedError("Lesson 10, task 3: batch_norm_of")


# ---- Task 4: by name and by shape, or not at all


def match(
    arrays: Mapping[str, np.ndarray], names: Mapping[str, str], shapes: Mapping[str, tuple[int, ...]]
) -> tuple[dict[str, np.ndarray], list[str], list[str], list[str]]:
    """Which arrays of a file are which of a network's, and what keeps them from fitting.

    names has for each of our arrays what it is called in the file, shapes the shape that it must have here. If *all* names in
    the file begin with "module." (PyTorch's DataParallel puts that in front), that is no part of them; if only some do, it is.

        found        {our name: array as float32} of those that are there, with the right shape
        missing      our names for which the file has no array
        unexpected   names in the file, as they stand there, of arrays that nobody asked for; but not those that end in
                     ".num_batches_tracked", which are counters that no computation needs
        misshapen    our names whose array is there with another shape; it is not reshaped, even where that would go

    The three lists are sorted. Nothing goes by the order in which arrays come.

    arrays, names, shapes  ->  found, missing, unexpected, misshapen
    """
    raise NotImplementedError("Lesson 10, task 4: match")


# ---- Task 5: from a picture to an input


def fit(picture: np.ndarray, resize: int, size: int) -> np.ndarray:
    """A picture with its short side resized, and the centre cut out.

        short, long = the shorter and the longer of H and W
        the short side becomes resize pixels, the long one resize * long // short        (H', W')
        top = round((H' - size) / 2), left = round((W' - size) / 2)                      with Python's round()

    Resize the whole picture with Pillow, Image.fromarray(picture).resize(..., Image.Resampling.BICUBIC), which wants the width
    first; then cut out size x size pixels from row top and column left on. resize is at least size.

    picture uint8 (H, W, 3)  ->  uint8 (size, size, 3), a new array
    """
    raise NotImplementedError("Lesson 10, task 5: fit")


def normalise(pictures: np.ndarray, order: str, mean: Sequence[float], std: Sequence[float]) -> np.ndarray:
    """Pictures as a network was trained to see them.

        x[n, c, i, j] = (v / 255 - mean[c]) / std[c]        v: channel c of pixel i, j of picture n

    Pictures are RGB. Channel c of the network is that of its order, "RGB" or "BGR": channel 0 of "BGR" is blue. mean and std
    are those of the network's channels, in *its* order, of pixels from 0 to 1.

    pictures uint8 (N, H, W, 3), mean and std of 3 numbers  ->  x float32 (N, 3, H, W)
    """
    raise NotImplementedError("Lesson 10, task 5: normalise")


# ---- Task 6: from scores to names


def top_classes(scores: np.ndarray, names: Sequence[str], k: int) -> list[list[tuple[str, float]]]:
    """For each picture the k most probable classes, the most probable first.

        p[n] = softmax(scores[n])       over all K classes; scores of 1000 must work, as in lesson 1

    Of classes that are equally probable the one with the smaller number comes first. Where k is larger than K, all K are
    listed.

    scores (N, K), names of the K classes  ->  N lists of (name, p)
    """
    raise NotImplementedError("Lesson 10, task 6: top_classes")
