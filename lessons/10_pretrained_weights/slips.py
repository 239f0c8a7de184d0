"""Lesson 10: the mistakes that people make in its exercise, each as the solution with one thing wrong."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable

import numpy as np
import solution
from PIL import Image, ImageOps

from minicnn.course import Slip

# ---- Task 1: a file, read by hand

TYPES = {"F64": "f8", "F32": "f4", "F16": "f2", "BF16": "u2", "I64": "i8", "I32": "i4", "U8": "u1"}


def widened(flat: np.ndarray) -> np.ndarray:
    return (flat.astype(np.uint32) << 16).view(np.float32)


def wrong_numbers(
    endian: str = "<",
    types: dict = TYPES,
    bfloat16: Callable = widened,
    shaped: Callable = lambda flat, shape: flat.reshape(shape),
    refuse: type = ValueError,
    cut: bool = False,
) -> dict:
    """numbers() with another byte order, other types, another reading of bfloat16, another shaping, or another refusal."""

    def numbers(data, dtype, shape):
        if dtype not in types:
            raise refuse(dtype)
        kind = np.dtype(endian + types[dtype])
        needed = int(np.prod(shape)) * kind.itemsize
        if len(data) != needed and not (cut and len(data) > needed):
            raise ValueError("not as many bytes as the shape needs")
        flat = np.frombuffer(data[:needed], kind)
        return shaped(bfloat16(flat) if dtype == "BF16" else flat, shape)

    return {"numbers": numbers}


def unpacked(data, dtype, shape):
    """Raises struct.error, which is no ValueError, where bytes are too many or too few."""
    if dtype not in TYPES:
        raise ValueError(dtype)
    codes = {"F64": "d", "F32": "f", "F16": "e", "BF16": "H", "I64": "q", "I32": "i", "U8": "B"}
    values = struct.unpack(f"<{int(np.prod(shape))}{codes[dtype]}", data)
    flat = np.array(values, TYPES[dtype])
    return (widened(flat) if dtype == "BF16" else flat).reshape(shape)


NUMBERS_SLIPS = (
    Slip(
        "The bytes of a number are taken in the wrong order",
        "Little-endian: the byte that counts least comes first. Is that what you tell NumPy, whatever the machine?",
        wrong_numbers(endian=">"),
        r"[\"']>|big|newbyteorder|byteswap|\[::-1\]",
    ),
    Slip(
        "bfloat16 is read as float16",
        "Both have 16 bits, but float16 has 5 bits of exponent, and bfloat16 has 8, as float32 does.",
        wrong_numbers(types=TYPES | {"BF16": "f2"}, bfloat16=lambda flat: flat.astype(np.float32)),
        r"f2|float16|BF16",
    ),
    Slip(
        "bfloat16 is read as whole numbers",
        "The 16 bits are a piece of a float32. What are the other 16, and how is the whole looked at as one?",
        wrong_numbers(bfloat16=lambda flat: flat.astype(np.float32)),
        r"u2|uint16|BF16",
    ),
    Slip(
        "The 16 bits of a bfloat16 become the lower half of a float32",
        "Its sign and exponent are those of the float32. Which half are they in, and what moves them there?",
        wrong_numbers(bfloat16=lambda flat: flat.astype(np.uint32).view(np.float32)),
        r"view|uint32|BF16",
    ),
    Slip(
        "A bfloat16 is shifted while it has only 16 bits",
        "Moved up by 16 places in a number of 16 bits, everything falls out at the top. Make room first.",
        wrong_numbers(bfloat16=lambda flat: (flat << 16).view(np.float32)),
        r"<<|\* ?65536|left_shift",
    ),
    Slip(
        "The first axis varies fastest",
        "Two numbers that are next to each other in the file are neighbours along which axis?",
        wrong_numbers(shaped=lambda flat, shape: flat.reshape(shape, order="F")),
        r"order|\.T\b|transpose|\[::-1\]",
    ),
    Slip(
        "The axes come in the opposite order",
        "The shape in the file is that of the array, first axis first.",
        wrong_numbers(shaped=lambda flat, shape: flat.reshape(shape[::-1])),
        r"\[::-1\]|reversed",
    ),
    Slip(
        "The shape is not used",
        "A file has numbers in a row. Only the shape says what rows and columns they make.",
        wrong_numbers(shaped=lambda flat, shape: flat),
        r"frombuffer|return",
    ),
    Slip(
        "A single number comes back as an array with an axis",
        "What is the shape of a single number, as NumPy has it?",
        wrong_numbers(shaped=lambda flat, shape: flat.reshape(shape or [1])),
        r"atleast_1d|\bor\b|len\(shape\)|if ",
    ),
    Slip(
        "Every type is read as float32",
        "The bytes are the same, whatever they mean. How many belong to a number of this type, and how are they to be taken?",
        wrong_numbers(
            types=dict.fromkeys(TYPES, "f4"),
            bfloat16=lambda flat: flat,
            shaped=lambda flat, shape: flat.reshape(shape),
        ),
        r"f4|float32",
    ),
    Slip(
        "Bytes that are too many are left over, and nobody is told",
        "A file in which an array has more bytes than its shape needs contradicts itself.",
        wrong_numbers(cut=True),
        r"count|\[:|prod",
    ),
    Slip(
        "A type that is not known raises a KeyError",
        "Whoever reads files catches one kind of error. Which was asked for?",
        wrong_numbers(refuse=KeyError),
        r"\[dtype\]",
    ),
    Slip(
        "A wrong number of bytes raises a struct.error",
        "struct has an error of its own, which is no ValueError. Who compares the number of bytes first, and raises?",
        {"numbers": unpacked},
        r"unpack",
    ),
)


def wrong_reader(
    endian: str = "little",
    start: Callable = lambda length: 8 + length,
    window: Callable = lambda begin, end: slice(begin, end),
    metadata: bool = False,
    one_after_another: bool = False,
    listed_order: bool = False,
    gaps: bool = False,
    overlaps: bool = False,
    rest: bool = False,
    sizes_only: bool = False,
    header_in_file: bool = True,
    numbers: Callable = solution.numbers,
) -> dict:
    """read_safetensors() with another place of its numbers, or with something that it does not check."""

    def read_safetensors(data):
        length = int.from_bytes(data[:8], endian)
        if header_in_file and len(data) < 8 + length:
            raise ValueError("the header is longer than the file")
        header, content = json.loads(data[8 : 8 + length]), data[start(length) :]
        if not metadata:
            header.pop("__metadata__", None)
        places = [tuple(entry["data_offsets"]) for entry in header.values()]
        size, place = len(data) - 8 - length, 0
        for begin, end in places if listed_order else sorted(places):
            if not sizes_only and ((begin > place and not gaps) or (begin < place and not overlaps)):
                raise ValueError("a gap or an overlap")
            place = place + end - begin if sizes_only else max(place, end)
        if place > size or (place < size and not rest):
            raise ValueError("not as many bytes as the arrays have")
        arrays, place = {}, 0
        for name, entry in header.items():
            begin, end = entry["data_offsets"]
            if one_after_another:
                begin, end = place, place + end - begin
            arrays[name] = numbers(content[window(begin, end)], entry["dtype"], entry["shape"])
            place = end
        return arrays

    return {"read_safetensors": read_safetensors}


READER_SLIPS = (
    Slip(
        "Offsets are counted from the beginning of the file",
        "Where is byte 0 of the numbers?",
        wrong_reader(start=lambda length: 0),
        r"offsets|data\[",
    ),
    Slip(
        "Offsets are counted from behind the first 8 bytes",
        "The header is there, too, before the numbers begin.",
        wrong_reader(start=lambda length: 8),
        r"offsets|8",
    ),
    Slip(
        "Offsets are counted from N, the length of the header, without the 8 bytes before it",
        "What is in front of the header?",
        wrong_reader(start=lambda length: length),
        r"offsets|data\[",
    ),
    Slip(
        "The length of the header is read in the wrong order of bytes",
        "Little-endian: the byte that counts least comes first. Print the length: can it be right?",
        wrong_reader(endian="big"),
        r"big|>",
    ),
    Slip(
        "The length of the header is read in the wrong order of bytes",
        "Little-endian: the byte that counts least comes first. Print the length: can it be right?",
        wrong_reader(endian="big", header_in_file=False),
        r"big|>",
    ),
    Slip(
        '"__metadata__" is taken for an array',
        "One name in the header is not that of an array, and has no shape.",
        wrong_reader(metadata=True),
        r"items\(\)|values\(\)|for ",
    ),
    Slip(
        "Arrays are taken one after another in the order of the header",
        "Each array says where its bytes are. The header may list it first and the file have it last.",
        wrong_reader(one_after_another=True),
        r"\+=|for ",
    ),
    Slip(
        "Arrays are refused that lie in another order than in the header",
        "A gap or an overlap shows when the arrays are looked at in the order of their places.",
        wrong_reader(listed_order=True),
        r"raise|!=",
    ),
    Slip(
        "The second offset is taken for a length",
        "data_offsets are a begin and an end.",
        wrong_reader(window=lambda begin, end: slice(begin, begin + end)),
        r"begin ?\+|start ?\+|\[0\] ?\+",
    ),
    Slip(
        "The byte at the second offset is read as well",
        "The end is not part of it, as in a slice of Python.",
        wrong_reader(window=lambda begin, end: slice(begin, end + 1)),
        r"\+ ?1",
    ),
    Slip(
        "The shapes in the header are not used",
        "numbers() takes a shape. Which one is it?",
        wrong_reader(numbers=lambda data, dtype, shape: solution.numbers(data, dtype, shape).ravel()),
        r"shape|numbers",
    ),
    Slip(
        "Only the number of bytes is compared, not where they lie",
        "One array may have a byte twice that another one lacks. In which order do gaps and overlaps show?",
        wrong_reader(sizes_only=True),
        r"sum|\+=",
    ),
    Slip(
        "Arrays that share bytes are read",
        "A byte belongs to one array. Go through the arrays in the order of their places: where must each begin?",
        wrong_reader(overlaps=True, gaps=True, rest=True),
        r"offsets|for ",
    ),
    Slip(
        "Arrays that share bytes are read",
        "A byte belongs to one array. Go through the arrays in the order of their places: where must each begin?",
        wrong_reader(overlaps=True),
        r"offsets|for |sorted",
    ),
    Slip(
        "Bytes between two arrays that belong to none are passed over",
        "Go through the arrays in the order of their places: where must each begin?",
        wrong_reader(gaps=True, rest=True),
        r"<|offsets|for ",
    ),
    Slip(
        "Bytes between two arrays that belong to none are passed over",
        "Go through the arrays in the order of their places: where must each begin?",
        wrong_reader(gaps=True),
        r"<|offsets|for ",
    ),
    Slip(
        "Bytes behind the last array are passed over",
        "Where must the last array end?",
        wrong_reader(rest=True),
        r"len\(|for ",
    ),
)

# ---- Task 2: from Keras's axes to ours


def new(array: np.ndarray) -> np.ndarray:
    return np.array(array, order="C")


def conv(change: Callable) -> dict:
    return {"conv_from_keras": lambda kernel: new(change(kernel))}


def depthwise(change: Callable) -> dict:
    return {"depthwise_from_keras": lambda kernel: new(change(kernel))}


def dense(rows: Callable, turned: bool = True) -> dict:
    """dense_from_keras() with rows in another order, where there is a map; ``turned`` says whether outputs come first."""

    def dense_from_keras(kernel, chw):
        kernel = kernel if chw is None else rows(kernel, *chw)
        return new(kernel.T if turned else kernel)

    return {"dense_from_keras": dense_from_keras}


def as_one_row(kernel: np.ndarray) -> np.ndarray:
    KH, KW, C, M = kernel.shape
    return kernel.transpose(2, 3, 0, 1).reshape(1, C * M, KH, KW)


def joined(kernel: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """Depthwise kernels with their first two axes, after this transposition, made one."""
    kernel = kernel.transpose(axes)
    return kernel.reshape(-1, 1, *kernel.shape[2:])


LAYOUT_SLIPS = (
    Slip(
        "Kernels are reshaped, not transposed",
        "reshape leaves the numbers in their row and cuts it elsewhere. What was axis 3 has to become axis 0.",
        conv(lambda k: k.reshape(*k.shape[:1:-1], *k.shape[:2])),
        r"reshape",
    ),
    Slip(
        "Channels come before filters",
        "Ours is (F, C, KH, KW). Where do F and C stand in Keras's?",
        conv(lambda k: k.transpose(2, 3, 0, 1)),
        r"2, ?3, ?0|moveaxis|rollaxis",
    ),
    Slip(
        "Rows and columns of the kernels are exchanged",
        "All four axes turned round is one exchange too many. In which order do KH and KW come in both?",
        conv(lambda k: k.transpose(3, 2, 1, 0)),
        r"\.T\b|3, ?2, ?1|transpose\(\)",
    ),
    Slip(
        "Kernels are turned round by half a turn",
        "Both compute a cross-correlation: no kernel is flipped.",
        conv(lambda k: k.transpose(3, 2, 0, 1)[..., ::-1, ::-1]),
        r"::-1|flip|rot90",
    ),
    Slip(
        "The layout stays Keras's",
        "Ours is (F, C, KH, KW).",
        conv(lambda k: k),
        r"return",
    ),
    Slip(
        "Only the last two axes change places",
        "Ours is (F, C, KH, KW). All four axes have another place there.",
        conv(lambda k: k.swapaxes(2, 3)),
        r"swapaxes|transpose",
    ),
    Slip(
        "Only the first and the last axis change places",
        "Ours is (F, C, KH, KW). After F comes C, not KW.",
        conv(lambda k: k.swapaxes(0, 3)),
        r"swapaxes|transpose",
    ),
    Slip(
        "Depthwise: the kernels are reshaped, not transposed",
        "reshape leaves the numbers in their row. KH and KW have to come last first.",
        depthwise(lambda k: k.reshape(-1, 1, *k.shape[:2])),
        r"reshape",
    ),
    Slip(
        "Depthwise: the outputs of one m lie together, not those of one channel",
        "Output number c * M + m: which of c and m varies faster?",
        depthwise(lambda k: joined(k, (3, 2, 0, 1))),
        r"3, ?2, ?0|range\(M\)",
    ),
    Slip(
        "Depthwise: rows and columns of the kernels are exchanged",
        "In which order do KH and KW come in both?",
        depthwise(lambda k: joined(k, (2, 3, 1, 0))),
        r"2, ?3, ?1|\.T\b",
    ),
    Slip(
        "Depthwise: rows and columns are exchanged, and m counts before the channel",
        "All four axes turned round is too much. Which of c and m varies faster, and in which order do KH and KW come?",
        depthwise(lambda k: joined(k, (3, 2, 1, 0))),
        r"3, ?2, ?1|\.T\b",
    ),
    Slip(
        "Depthwise: it is treated as an ordinary convolution",
        "Each kernel sees one channel, so that axis 1 has length 1; and channels and multiples are one axis, C * M.",
        depthwise(lambda k: k.transpose(3, 2, 0, 1)),
        r"transpose|conv_from_keras",
    ),
    Slip(
        "Depthwise: channels and multiples stay two axes",
        "The outputs are one axis, C * M, and each kernel sees one channel.",
        depthwise(lambda k: k.transpose(2, 3, 0, 1)),
        r"transpose",
    ),
    Slip(
        "Depthwise: the axis of length 1 is in front",
        "Ours is (outputs, channels that each of them sees, KH, KW).",
        depthwise(as_one_row),
        r"None|newaxis|expand_dims|reshape",
    ),
    Slip(
        "Dense: the inputs stay in Keras's order",
        "Input 1 of a flattened map is column 1 of channel 0 here, and channel 1 of the first pixel there.",
        dense(lambda k, C, H, W: k),
        r"\.T\b|transpose|return",
    ),
    Slip(
        "Dense: the inputs are put in order the wrong way round",
        "The rows come in the order (H, W, C). Give them these three axes first; then turn them to (C, H, W).",
        dense(lambda k, C, H, W: k.reshape(C, H, W, -1).transpose(1, 2, 0, 3).reshape(k.shape)),
        r"reshape\(C|1, ?2, ?0",
    ),
    Slip(
        "Dense: the rows are given the axes (C, H, W), which they do not have",
        "In Keras the channels vary fastest. Which axis of the three is the last, then?",
        dense(lambda k, C, H, W: k.reshape(C, H, W, -1).transpose(2, 0, 1, 3).reshape(k.shape)),
        r"reshape\(",
    ),
    Slip(
        "Dense: rows and columns of the map are exchanged",
        "Of a channel the rows come first, in Keras and here: i * W + j.",
        dense(lambda k, C, H, W: k.reshape(H, W, C, -1).transpose(2, 1, 0, 3).reshape(k.shape)),
        r"2, ?1, ?0",
    ),
    Slip(
        "Dense: the map is given its axes, and they are not turned",
        "reshape and reshape back leave everything in its place. What has to happen between them?",
        dense(lambda k, C, H, W: k.reshape(H, W, C, -1).reshape(C, H, W, -1).reshape(k.shape)),
        r"reshape",
    ),
    Slip(
        "Dense: inputs and outputs do not change places",
        "Keras has (inputs, outputs), and we have the outputs first.",
        dense(lambda k, C, H, W: k.reshape(H, W, C, -1).transpose(2, 0, 1, 3).reshape(k.shape), turned=False),
        r"return",
    ),
    Slip(
        "Dense: it is reshaped to (O, D), not transposed",
        "reshape leaves the numbers in their row. w[o, d] is kernel[d, o].",
        {"dense_from_keras": lambda kernel, chw: new(kernel.reshape(kernel.shape[::-1]))},
        r"reshape",
    ),
)

# ---- Task 3: a batch norm by three names


def wrong_norm(
    result: Callable = lambda gamma, beta, mean, var: (gamma, beta, mean, var),
    share: Callable = lambda factor: 1 / factor if factor else 0.0,
    var_share: Callable | None = None,
    missing_gamma: Callable | None = np.ones_like,
    missing_beta: Callable | None = np.zeros_like,
    blobs: tuple[str, str] = ("scale{}/0", "scale{}/1"),
    flat: Callable = np.ravel,
    with_bias: Callable = lambda gamma, beta, mean, bias, share: (beta, mean - bias),
) -> dict:
    """batch_norm_of() with other places for its arrays, another division by Caffe's number, or another use of the bias."""

    def batch_norm_of(arrays, name, source, bias):
        factor = 1.0
        if source == "caffe":
            mean, var, gamma, beta = (flat(arrays[key.format(name)]) for key in ("bn{}/0", "bn{}/1", blobs[0], blobs[1]))
            count = float(np.ravel(arrays[f"bn{name}/2"])[0])
            factor = share(count)
            mean, var = mean * factor, var * (var_share or share)(count)
        elif source == "keras":
            mean, var = arrays[f"{name}/moving_mean"], arrays[f"{name}/moving_variance"]
            gamma, beta = (
                arrays[key] if key in arrays or make is None else make(mean)
                for key, make in ((f"{name}/gamma", missing_gamma), (f"{name}/beta", missing_beta))
            )
        else:
            gamma, beta, mean, var = (arrays[f"{name}.{key}"] for key in ("weight", "bias", "running_mean", "running_var"))
        if bias is not None:
            beta, mean = with_bias(gamma, beta, mean, bias, factor)
        return result(gamma, beta, mean, var)

    return {"batch_norm_of": batch_norm_of}


def by_division(factor: float) -> float:
    """What NumPy makes of 1 / 0."""
    with np.errstate(all="ignore"):
        return float(np.float64(1) / np.float64(factor))


NORM_SLIPS = (
    Slip(
        "gamma and beta have changed places",
        "PyTorch calls them weight and bias: gamma multiplies, beta is added.",
        wrong_norm(lambda gamma, beta, mean, var: (beta, gamma, mean, var)),
        r"gamma|beta|weight|bias",
    ),
    Slip(
        "Mean and variance have changed places",
        "Which of the two is never negative?",
        wrong_norm(lambda gamma, beta, mean, var: (gamma, beta, var, mean)),
        r"mean|var",
    ),
    Slip(
        "The statistics come before gamma and beta",
        "In which order are the four asked for?",
        wrong_norm(lambda gamma, beta, mean, var: (mean, var, gamma, beta)),
        r"return",
    ),
    Slip(
        "The standard deviation is returned, not the variance",
        "The root is taken by the layer itself, together with its eps.",
        wrong_norm(lambda gamma, beta, mean, var: (gamma, beta, mean, np.sqrt(var))),
        r"sqrt|\*\* ?0?\.5",
    ),
    Slip(
        "Caffe's sums are not divided",
        "What stands in bnNAME/2, and what are the other two without it?",
        wrong_norm(share=lambda factor: 1.0),
        r"/0|/1|ravel|squeeze",
    ),
    Slip(
        "Caffe's sums are multiplied by the number",
        "It says how much has been summed up. What makes a mean of a sum?",
        wrong_norm(share=lambda factor: factor),
        r"\*",
    ),
    Slip(
        "Of Caffe's sums only that of the means is divided",
        "The variances were summed up in the same way.",
        wrong_norm(var_share=lambda factor: 1.0),
        r"/1|var",
    ),
    Slip(
        "Of Caffe's sums only that of the variances is divided",
        "The means were summed up in the same way.",
        wrong_norm(share=lambda factor: 1.0, var_share=lambda factor: 1 / factor if factor else 0.0),
        r"/0|mean",
    ),
    Slip(
        "Caffe's variances are divided by the square of the number",
        "They are sums of variances: dividing once makes a mean of them.",
        wrong_norm(var_share=lambda factor: 1 / factor**2 if factor else 0.0),
        r"\*\* ?2|square",
    ),
    Slip(
        "Where Caffe's number is 0 it is divided by all the same",
        "Nothing has been summed up yet. What are mean and variance then?",
        wrong_norm(share=by_division),
        r"/ ?\w",
    ),
    Slip(
        "Where Caffe's number is 0 the sums are taken as they are",
        "Nothing has been summed up yet: whatever stands there has no weight.",
        wrong_norm(share=lambda factor: 1 / factor if factor else 1.0),
        r"if|or 1|where",
    ),
    Slip(
        "Where Caffe's number is 0 the variance is 1",
        "The task says what both are where nothing has been summed up.",
        wrong_norm(result=lambda gamma, beta, mean, var: (gamma, beta, mean, var if var.any() else np.ones_like(var))),
        r"ones|1\.0",
    ),
    Slip(
        "Caffe's gamma and beta are looked for in the layer with the statistics",
        "They are in a layer of their own.",
        wrong_norm(blobs=("bn{}/0", "bn{}/1")),
        r"bn",
    ),
    Slip(
        "Caffe's gamma and beta have changed places",
        "scaleNAME/0 multiplies.",
        wrong_norm(blobs=("scale{}/1", "scale{}/0")),
        r"scale",
    ),
    Slip(
        "Caffe's axes of length 1 are still there",
        "(1, 1, 1, C) is not (C,).",
        wrong_norm(flat=lambda array: array),
        r"arrays\[",
    ),
    Slip(
        "Keras without gamma raises a KeyError",
        "A layer made with scale=False has no such array.",
        wrong_norm(missing_gamma=None),
        r"/gamma",
    ),
    Slip(
        "Keras without beta raises a KeyError",
        "A layer made with center=False has no such array.",
        wrong_norm(missing_beta=None),
        r"/beta",
    ),
    Slip(
        "Where Keras has no gamma, it becomes 0",
        "Without gamma nothing is multiplied. By which number is that the same as multiplying?",
        wrong_norm(missing_gamma=np.zeros_like),
        r"zeros",
    ),
    Slip(
        "Where Keras has no beta, it becomes 1",
        "Without beta nothing is added.",
        wrong_norm(missing_beta=np.ones_like),
        r"ones",
    ),
    Slip(
        "The convolution's bias is not used",
        "The file's convolution adds it, and ours does not: where does it go?",
        wrong_norm(with_bias=lambda gamma, beta, mean, bias, share: (beta, mean)),
        r"bias|return",
    ),
    Slip(
        "The convolution's bias is added to the mean",
        "x + b - mean is x - (what?).",
        wrong_norm(with_bias=lambda gamma, beta, mean, bias, share: (beta, mean + bias)),
        r"\+",
    ),
    Slip(
        "The convolution's bias goes to beta",
        "beta is added after the division by the standard deviation, and the bias before it.",
        wrong_norm(with_bias=lambda gamma, beta, mean, bias, share: (beta + bias, mean)),
        r"beta",
    ),
    Slip(
        "The convolution's bias is taken off beta",
        "beta is added after the division by the standard deviation, and the bias before it.",
        wrong_norm(with_bias=lambda gamma, beta, mean, bias, share: (beta - bias, mean)),
        r"beta",
    ),
    Slip(
        "The bias is taken off both the mean and beta",
        "Once is enough: the norm sees x + b, takes its mean off, and does the rest as before.",
        wrong_norm(with_bias=lambda gamma, beta, mean, bias, share: (beta - bias, mean - bias)),
        r"bias",
    ),
    Slip(
        "The bias is divided by Caffe's number as well",
        "The number belongs to the sums. First make means of them, then subtract.",
        wrong_norm(with_bias=lambda gamma, beta, mean, bias, share: (beta, mean - bias * share)),
        r"bias",
    ),
)

# ---- Task 4: by name and by shape, or not at all


def wrong_match(
    taken_off: Callable = lambda theirs, all_have_it: theirs.removeprefix("module.") if all_have_it else theirs,
    fits: Callable = lambda array, shape: array.shape == shape,
    shaped: Callable = lambda array, shape: array,
    counters: Callable = lambda theirs: theirs.endswith(".num_batches_tracked"),
    misshapen_is: str = "misshapen",
    named_theirs: bool = False,
    key: Callable = lambda ours, theirs: ours,
    as_in_file: bool = True,
    raises: bool = False,
    by_order: bool = False,
    ordered: Callable = sorted,
) -> dict:
    """match() with another rule for names, shapes, counters, or for what goes into which of the lists."""

    def match(arrays, names, shapes):
        all_have_it = all(theirs.startswith("module.") for theirs in arrays)
        there = {taken_off(theirs, all_have_it): theirs for theirs in arrays}
        if by_order:
            there = dict(zip(names.values(), (name for name in arrays if not counters(name)), strict=False))
        found, missing, misshapen, used = {}, [], [], set()
        for ours, theirs in names.items():
            name = theirs if named_theirs else ours
            if theirs not in there:
                if raises:
                    raise KeyError(theirs)
                missing.append(name)
                continue
            array, shape = arrays[there[theirs]], tuple(shapes[ours])
            if fits(array, shape):
                found[key(ours, theirs)] = shaped(array, shape).astype(np.float32)
            elif misshapen_is in ("misshapen", "unexpected"):
                misshapen.append(name)
            elif misshapen_is == "missing":
                missing.append(name)
            if fits(array, shape) or misshapen_is != "unexpected":
                used.add(theirs)
        unexpected = [stored if as_in_file else theirs for theirs, stored in there.items() if theirs not in used]
        unexpected = [theirs for theirs in unexpected if not counters(theirs)]
        return found, ordered(missing), ordered(unexpected), ordered(misshapen)

    return {"match": match}


MATCH_SLIPS = (
    Slip(
        "Arrays are taken in their order, not by their names",
        "Two files of the same network may list it in different orders, and many layers have the same shape.",
        wrong_match(by_order=True),
        r"zip|enumerate|list\(",
    ),
    Slip(
        '"module." is never taken off',
        "What is in front of every name where PyTorch's DataParallel has saved the file?",
        wrong_match(taken_off=lambda theirs, all_have_it: theirs),
        r"arrays",
    ),
    Slip(
        '"module." is taken off although not all names have it',
        "Where some names have it and some do not, it is part of a name.",
        wrong_match(taken_off=lambda theirs, all_have_it: theirs.removeprefix("module.")),
        r"module",
    ),
    Slip(
        "More letters are taken off than those of the prefix",
        "strip() and lstrip() take a set of letters, and go on as long as they meet one of them.",
        wrong_match(taken_off=lambda theirs, all_have_it: theirs.lstrip("module.") if all_have_it else theirs),
        r"strip\(",
    ),
    Slip(
        '"module." is taken out wherever it stands',
        "A layer inside may be called so, too. Only what is in front of the whole name is to go.",
        wrong_match(taken_off=lambda theirs, all_have_it: theirs.replace("module.", "") if all_have_it else theirs),
        r"replace|sub\(",
    ),
    Slip(
        "The first word of each name is taken off, whatever it is",
        'Only a prefix that is just "module." may go, and only where all names have it.',
        wrong_match(taken_off=lambda theirs, all_have_it: theirs.partition(".")[2]),
        r"split|partition|index",
    ),
    Slip(
        "An array with as many numbers in another shape is reshaped",
        "A transposed array has as many numbers, too, and would be scrambled.",
        wrong_match(fits=lambda array, shape: array.size == np.prod(shape), shaped=lambda a, shape: a.reshape(shape)),
        r"reshape|size",
    ),
    Slip(
        "An array with as many numbers in another shape counts as found",
        "The right number of numbers is not the right shape.",
        wrong_match(fits=lambda array, shape: array.size == np.prod(shape)),
        r"size|prod",
    ),
    Slip(
        "An array with as many axes counts as found",
        "The lengths of the axes have to be the same, and not only how many there are.",
        wrong_match(fits=lambda array, shape: array.ndim == len(shape)),
        r"ndim|len\(",
    ),
    Slip(
        "Shapes are not compared",
        "The name is right. Is the array?",
        wrong_match(fits=lambda array, shape: True),
        r"shapes|found",
    ),
    Slip(
        "An array of the wrong shape is called missing",
        "It is there. That it does not fit is another matter, and needs another cure.",
        wrong_match(misshapen_is="missing"),
        r"missing",
    ),
    Slip(
        "An array of the wrong shape is in none of the lists",
        "Whoever asks why the network is not complete must find it somewhere.",
        wrong_match(misshapen_is=""),
        r"shape",
    ),
    Slip(
        "An array of the wrong shape is called unexpected as well",
        "It was asked for, by its name.",
        wrong_match(misshapen_is="unexpected"),
        r"unexpected|used|found",
    ),
    Slip(
        "Counters are called unexpected",
        "num_batches_tracked is in every file with a batch norm, and no computation needs it.",
        wrong_match(counters=lambda theirs: False),
        r"unexpected",
    ),
    Slip(
        "Counters are told by letters anywhere in the name",
        "Only a name that ends so is that of a counter.",
        wrong_match(counters=lambda theirs: "num_batches_tracked" in theirs),
        r"in name|\bin\b",
    ),
    Slip(
        "Lists have the file's names of our arrays",
        "missing and misshapen are about our network, in our names.",
        wrong_match(named_theirs=True),
        r"append|missing|misshapen",
    ),
    Slip(
        "Arrays are found under the file's names",
        "Whoever fills the network looks for them under ours.",
        wrong_match(key=lambda ours, theirs: theirs),
        r"found\[",
    ),
    Slip(
        'Unexpected names have lost their "module."',
        "They are to be found in the file by whoever looks there: as they stand there.",
        wrong_match(as_in_file=False),
        r"unexpected",
    ),
    Slip(
        "A missing array raises a KeyError",
        "One that is missing is to be listed, together with all the others.",
        wrong_match(raises=True),
        r"arrays\[",
    ),
    Slip(
        "The lists are not sorted",
        "A list in the order of a dict or a set is another one each time.",
        wrong_match(ordered=list),
        r"return|append",
    ),
)

# ---- Task 5: from a picture to an input


def resized(picture: np.ndarray, height: int, width: int, by: Image.Resampling = Image.Resampling.BICUBIC) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).resize((width, height), by))


def wrong_fit(
    sides: Callable = lambda h, w, resize, size: (resize * h // min(h, w), resize * w // min(h, w)),
    margin: Callable = lambda side, size: round((side - size) / 2),
    by: Image.Resampling = Image.Resampling.BICUBIC,
    exchanged: bool = False,
    corner: Callable = lambda top, left: (top, left),
    cut: Callable = lambda resize, size: size,
    finish: Callable = lambda picture: picture,
) -> dict:
    """fit() with other sides, margins, or another way of resampling."""

    def fit(picture, resize, size):
        height, width = sides(*picture.shape[:2], resize, size)
        new = resized(picture, width, height, by) if exchanged else resized(picture, height, width, by)
        top, left = corner(margin(height, size), margin(width, size))
        size = cut(resize, size)
        return finish(new[top : top + size, left : left + size]).copy()

    return {"fit": fit}


def cropped_first(picture, resize, size):
    """The square in the middle is cut out, and brought to the size."""
    side = min(picture.shape[:2])
    top, left = (round((n - side) / 2) for n in picture.shape[:2])
    return resized(picture[top : top + side, left : left + side].copy(), size, size).copy()


FIT_SLIPS = (
    Slip(
        "Width and height are exchanged where the picture is resized",
        "Pillow wants the width first, and a shape has the height first.",
        wrong_fit(exchanged=True),
        r"resize\(",
    ),
    Slip(
        "The picture is stretched to a square",
        "A circle has to stay a circle. By the same factor for both sides: which one?",
        wrong_fit(sides=lambda h, w, resize, size: (size, size)),
        r"resize\(",
    ),
    Slip(
        "Both sides are resized to the same length",
        "A circle has to stay a circle. By the same factor for both sides: which one?",
        wrong_fit(sides=lambda h, w, resize, size: (resize, resize)),
        r"resize\(",
    ),
    Slip(
        "The long side becomes resize pixels",
        "Which side has to be at least as long as the crop?",
        wrong_fit(sides=lambda h, w, resize, size: (resize * h // max(h, w), resize * w // max(h, w))),
        r"max",
    ),
    Slip(
        "The short side becomes size pixels",
        "resize is larger than size: what is cut off at all four sides is a margin.",
        wrong_fit(sides=lambda h, w, resize, size: (size * h // min(h, w), size * w // min(h, w))),
        r"size \*|\* size|size /",
    ),
    Slip(
        "The long side is rounded",
        "It is cut off to whole pixels, as // does.",
        wrong_fit(sides=lambda h, w, resize, size: (round(resize * h / min(h, w)), round(resize * w / min(h, w)))),
        r"round|rint|\+ ?0\.5",
    ),
    Slip(
        "The long side is rounded up",
        "It is cut off to whole pixels, as // does.",
        wrong_fit(sides=lambda h, w, resize, size: (-(-resize * h // min(h, w)), -(-resize * w // min(h, w)))),
        r"ceil|-\(?-",
    ),
    Slip(
        "Half a pixel of margin is cut off, not rounded",
        "round(1.5) is 2, and 3 // 2 is 1: the crop is then another one, by a pixel.",
        wrong_fit(margin=lambda side, size: (side - size) // 2),
        r"// ?2|int\(",
    ),
    Slip(
        "Half a pixel of margin is always rounded up",
        "Python's round() takes halves to the even number.",
        wrong_fit(margin=lambda side, size: (side - size + 1) // 2),
        r"ceil|\+ ?1|\+ ?0\.5",
    ),
    Slip(
        "The upper left corner is cut out",
        "The same margin is to be left on both sides.",
        wrong_fit(margin=lambda side, size: 0),
        r"\[: ?size",
    ),
    Slip(
        "The lower right corner is cut out",
        "The same margin is to be left on both sides.",
        wrong_fit(margin=lambda side, size: side - size),
        r"-",
    ),
    Slip(
        "The margins at the top and at the left are exchanged",
        "The first axis counts rows: it begins at the top.",
        wrong_fit(corner=lambda top, left: (left, top)),
        r"left|top",
    ),
    Slip(
        "Nothing is cut out",
        "The result is size pixels high and wide.",
        wrong_fit(margin=lambda side, size: 0, cut=lambda resize, size: 10**6),
        r"return",
    ),
    Slip(
        "The crop is as large as the short side",
        "resize and size are two numbers.",
        wrong_fit(margin=lambda side, size: 0, cut=lambda resize, size: resize),
        r"\+ resize",
    ),
    Slip(
        "The picture is cropped before it is resized",
        "A crop of the whole short side, shrunk to size, shows more than the one that was asked for.",
        {"fit": cropped_first},
        r"min",
    ),
    Slip(
        "The picture is cropped before it is resized",
        "A crop of the whole short side, shrunk to size, shows more than the one that was asked for.",
        {"fit": lambda picture, resize, size: np.array(ImageOps.fit(Image.fromarray(picture), (size, size)))},
        r"fit\(",
    ),
    Slip(
        "The pixels are divided by 255 already",
        "They stay whole numbers from 0 to 255 here. What the network wants is the next function's business.",
        wrong_fit(finish=lambda picture: picture / 255),
        r"255",
    ),
    Slip(
        "The picture is resampled by another filter",
        "Which of Pillow's filters was asked for? A network's weights were trained with one of them.",
        wrong_fit(by=Image.Resampling.BILINEAR),
        r"resize\(",
    ),
    Slip(
        "The picture is resampled by another filter",
        "Which of Pillow's filters was asked for? A network's weights were trained with one of them.",
        wrong_fit(by=Image.Resampling.NEAREST),
        r"resize\(",
    ),
    Slip(
        "The picture is resampled by another filter",
        "Which of Pillow's filters was asked for? A network's weights were trained with one of them.",
        wrong_fit(by=Image.Resampling.LANCZOS),
        r"resize\(",
    ),
    Slip(
        "The channels are turned round already",
        "The picture stays RGB here. What the network wants is the next function's business.",
        wrong_fit(finish=lambda picture: picture[..., ::-1]),
        r"::-1",
    ),
)


def wrong_normalise(
    scaled: Callable = lambda v, mean, std: (v / 255 - mean) / std,
    channels: Callable = lambda pictures, order: pictures[..., ::-1] if order == "BGR" else pictures,
    after: Callable = lambda x, order: x,
    moved: Callable = lambda x: x.transpose(0, 3, 1, 2),
) -> dict:
    """normalise() with another formula, another order of channels, or another way to bring them first."""

    def normalise(pictures, order, mean, std):
        x = scaled(channels(pictures, order).astype(np.float64), np.asarray(mean), np.asarray(std))
        return np.ascontiguousarray(moved(after(x, order)), np.float32)

    return {"normalise": normalise}


def only_reshaped(x: np.ndarray) -> np.ndarray:
    N, H, W, C = x.shape
    return x.reshape(N, C, H, W)


NORMALISE_SLIPS = (
    Slip(
        "Pixels are not divided by 255",
        "mean and std are those of pixels from 0 to 1, and these are from 0 to 255.",
        wrong_normalise(lambda v, mean, std: (v - mean) / std),
        r"mean|std",
    ),
    Slip(
        "Pixels are divided by 256",
        "The largest of them is 255, and has to become 1.",
        wrong_normalise(lambda v, mean, std: (v / 256 - mean) / std),
        r"256",
    ),
    Slip(
        "The mean is subtracted before the division by 255",
        "It is the mean of pixels from 0 to 1. When are they that?",
        wrong_normalise(lambda v, mean, std: (v - mean) / 255 / std),
        r"255",
    ),
    Slip(
        "The mean is not subtracted",
        "A network that was trained on inputs around 0 sees only positive ones.",
        wrong_normalise(lambda v, mean, std: v / 255 / std),
        r"std",
    ),
    Slip(
        "It is not divided by std",
        "What is the argument std for?",
        wrong_normalise(lambda v, mean, std: v / 255 - mean),
        r"mean",
    ),
    Slip(
        "It is multiplied by std",
        "After it, the inputs of all channels have about the same spread. Which operation makes it so?",
        wrong_normalise(lambda v, mean, std: (v / 255 - mean) * std),
        r"\* ?std|\* ?np",
    ),
    Slip(
        "It is divided by the variance",
        "std is the standard deviation already.",
        wrong_normalise(lambda v, mean, std: (v / 255 - mean) / std**2),
        r"\*\* ?2|std ?\* ?std",
    ),
    Slip(
        "The mean is subtracted after the division by std",
        "First the mean, then the spread: (v - mean) / std is not v / std - mean.",
        wrong_normalise(lambda v, mean, std: v / 255 / std - mean),
        r"mean",
    ),
    Slip(
        "The mean and spread of these pictures are used",
        "The network knows the statistics of what it was trained on, and wants these, whatever the pictures.",
        wrong_normalise(lambda v, mean, std: (v / 255 - (v / 255).mean((0, 1, 2))) / (v / 255).std((0, 1, 2))),
        r"\.mean\(|\.std\(",
    ),
    Slip(
        'The order "BGR" is not looked at',
        "Channel 0 of such a network is blue.",
        wrong_normalise(channels=lambda pictures, order: pictures),
        r"pictures",
    ),
    Slip(
        "Channels are always turned round",
        "Pictures come as RGB, and some networks want just that.",
        wrong_normalise(channels=lambda pictures, order: pictures[..., ::-1]),
        r"::-1",
    ),
    Slip(
        "The orders are mistaken for each other",
        "Pictures come as RGB. Which of the two orders leaves them as they are?",
        wrong_normalise(channels=lambda pictures, order: pictures[..., ::-1] if order == "RGB" else pictures),
        r"RGB",
    ),
    Slip(
        "Channels are turned round after mean and std, which were then those of other channels",
        'mean[0] belongs to channel 0 of the network. Of "BGR", that is blue.',
        wrong_normalise(
            channels=lambda pictures, order: pictures, after=lambda x, order: x[..., ::-1] if order == "BGR" else x
        ),
        r"::-1",
    ),
    Slip(
        "The picture is mirrored instead of its channels turned round",
        "Which axis of (N, H, W, 3) counts the channels?",
        wrong_normalise(channels=lambda pictures, order: pictures[:, :, ::-1] if order == "BGR" else pictures),
        r"::-1",
    ),
    Slip(
        "Channels are brought first by reshape",
        "reshape leaves the numbers in their row, and cuts pixels apart. Axes are moved by transpose.",
        wrong_normalise(moved=only_reshaped),
        r"reshape",
    ),
    Slip(
        "Rows and columns are exchanged",
        "(N, H, W, 3) becomes (N, 3, H, W): H before W.",
        wrong_normalise(moved=lambda x: x.transpose(0, 3, 2, 1)),
        r"0, ?3, ?2|\.T\b|swapaxes",
    ),
    Slip(
        "Channels are still last",
        "Our networks want (N, 3, H, W).",
        wrong_normalise(moved=lambda x: x),
        r"return",
    ),
)

# ---- Task 6: from scores to names


def softmax(scores: np.ndarray, axis: int | None = 1, shifted: bool = True) -> np.ndarray:
    p = np.exp(scores - scores.max(axis=axis, keepdims=True) if shifted else scores)
    return p / p.sum(axis=axis, keepdims=True)


def in_order(p: np.ndarray) -> np.ndarray:
    return np.argsort(-p, axis=1, kind="stable")


def wrong_top(
    probability: Callable = softmax,
    order: Callable = in_order,
    limit: Callable = lambda k, K: min(k, K),
    name: Callable = lambda names, c: names[c],
    final: Callable = lambda rows: rows,
    pair: Callable = lambda name, p: (name, p),
) -> dict:
    """top_classes() with other probabilities, another order, other names, or another form of what it returns."""

    def top_classes(scores, names, k):
        p = probability(scores)
        best = order(scores if np.isnan(p).any() else p)
        rows = [
            [pair(name(names, best[n, i]), float(p[n, best[n, i]])) for i in range(limit(k, best.shape[1]))]
            for n in range(len(scores))
        ]
        return final(rows)

    return {"top_classes": top_classes}


def nans_in_order(scores: np.ndarray, names, k: int) -> list:
    """exp() of 1000 is infinite; infinity divided by infinity is no number, and NaNs are sorted behind everything."""
    p = softmax(scores, shifted=False)
    best = np.argsort(-p, axis=1, kind="stable")[:, :k]
    return [[(names[c], float(p[n, c])) for c in chosen] for n, chosen in enumerate(best)]


def nans_backwards(scores: np.ndarray, names, k: int) -> list:
    p = softmax(scores, shifted=False)
    best = np.argsort(p, axis=1)[:, ::-1][:, :k]
    return [[(names[c], float(p[n, c])) for c in chosen] for n, chosen in enumerate(best)]


def made_to_sum(rows: list) -> list:
    return [[(name, p / sum(p for _, p in row)) for name, p in row] for row in rows]


OVERFLOW = (
    "Scores of 1000 overflow",
    "Subtract each row's largest score first; it changes nothing in the probabilities.",
)
TIES = (
    "Of equally probable classes the last one comes first",
    "A sort turned round turns ties round, too. Sort what makes the largest come first by itself.",
)
TOP_SLIPS = (
    Slip(
        "The least probable classes are listed",
        "In which order does argsort sort?",
        wrong_top(order=lambda p: np.argsort(p, axis=1, kind="stable")),
        r"argsort|sort",
    ),
    Slip(
        "The right classes are listed from the k-th to the first",
        "The last of a growing order is the most probable: it comes first in the list.",
        wrong_top(final=lambda rows: [row[::-1] for row in rows]),
        r"\[-k|argsort|argpartition",
    ),
    Slip(
        *TIES,
        wrong_top(order=lambda p: np.argsort(p, axis=1, kind="stable")[:, ::-1]),
        r"::-1|reverse",
    ),
    Slip(*OVERFLOW, wrong_top(probability=lambda s: softmax(s, shifted=False)), r"exp"),
    Slip(*OVERFLOW, {"top_classes": nans_in_order}, r"exp"),
    Slip(*OVERFLOW, {"top_classes": nans_backwards}, r"exp"),
    Slip(
        "Scores are listed, not probabilities",
        "Probabilities are between 0 and 1, and those of all classes sum to 1.",
        wrong_top(probability=lambda s: s.astype(np.float64)),
        r"scores",
    ),
    Slip(
        "Softmax runs over the pictures",
        "The probabilities of one picture's classes sum to 1. Which axis counts the classes?",
        wrong_top(probability=lambda s: softmax(s, axis=0)),
        r"axis ?= ?0|softmax",
    ),
    Slip(
        "Softmax runs over all pictures together",
        "The probabilities of one picture's classes sum to 1, whatever pictures come with it.",
        wrong_top(probability=lambda s: softmax(s, axis=None)),
        r"sum\(\)|exp",
    ),
    Slip(
        "The probabilities of those listed are made to sum to 1",
        "What is not listed is not impossible. Divide by the sum over all classes.",
        wrong_top(final=made_to_sum),
        r"sum",
    ),
    Slip(
        "Each class has a sigmoid of its own",
        "The classes exclude each other: their probabilities sum to 1.",
        wrong_top(probability=lambda s: 1 / (1 + np.exp(-np.clip(s, -700, None)))),
        r"exp|1 ?/",
    ),
    Slip(
        "Probabilities are in percent",
        "A probability is a number from 0 to 1.",
        wrong_top(probability=lambda s: 100 * softmax(s)),
        r"100",
    ),
    Slip(
        "Probabilities are rounded",
        "To round is for whoever prints them.",
        wrong_top(pair=lambda name, p: (name, round(p, 2))),
        r"round",
    ),
    Slip(
        "Logarithms of the probabilities are listed",
        "exp() is still to be taken.",
        wrong_top(probability=lambda s: np.log(softmax(s.astype(np.float64)) + 1e-320)),
        r"log",
    ),
    Slip(
        "Logarithms of the probabilities are listed",
        "exp() is still to be taken.",
        wrong_top(probability=lambda s: s - np.logaddexp.reduce(s.astype(np.float64), axis=1, keepdims=True)),
        r"log",
    ),
    Slip(
        "Names are shifted by one",
        "Class 0 has the first name of the list.",
        wrong_top(name=lambda names, c: names[c - 1]),
        r"- ?1",
    ),
    Slip(
        "Names are shifted by one",
        "Class 0 has the first name of the list.",
        wrong_top(name=lambda names, c: names[c + 1]),
        r"\+ ?1",
    ),
    Slip(
        "Numbers of classes are listed, not names",
        "What is the argument names for?",
        wrong_top(name=lambda names, c: int(c)),
        r"\(",
    ),
    Slip(
        "The probability comes before the name",
        "(name, p), in this order.",
        wrong_top(pair=lambda name, p: (p, name)),
        r"\(",
    ),
    Slip(
        "Names alone are listed",
        "Each class comes with its probability.",
        wrong_top(pair=lambda name, p: name),
        r"names\[",
    ),
    Slip(
        "Only the first picture is answered",
        "There are N of them, and N lists.",
        wrong_top(final=lambda rows: rows[0]),
        r"\[0\]",
    ),
    Slip(
        "A k larger than the number of classes raises an error",
        "There are no more than K classes: what is listed then?",
        wrong_top(limit=lambda k, K: k),
        r"range\(k\)",
    ),
    Slip(
        "One class too few is listed",
        "How many items has a slice up to k - 1?",
        wrong_top(limit=lambda k, K: min(k, K) - 1),
        r"- ?1|range\(1",
    ),
)
