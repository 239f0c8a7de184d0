"""Answers to the tasks of lesson 10: wrong ones as people write them, and right ones written differently from the solution.

``WRONG[task]`` lists (what it does, functions in place of the solution's, title of the slip that should be named or None);
``RIGHT[task]`` (how, functions).
"""

import io
import itertools
import json
import math
import struct

import numpy as np
from PIL import Image, ImageOps

WRONG, RIGHT = {}, {}

# ---- 1: a weights file, read by hand

CODES = {"F64": "d", "F32": "f", "F16": "e", "I64": "q", "I32": "i", "U8": "B"}


def of_bfloat16(data):
    """By the formula of the format: sign, exponent, seven bits of fraction."""
    values = []
    for (bits,) in struct.iter_unpack("<H", data):
        sign, exponent, fraction = -1.0 if bits >> 15 else 1.0, bits >> 7 & 0xFF, bits & 0x7F
        if exponent == 0:
            values.append(sign * fraction / 128 * 2.0**-126)
        else:
            values.append(sign * (1 + fraction / 128) * 2.0 ** (exponent - 127))
    return values


def numbers_by_struct(data, dtype, shape):
    if dtype == "BF16":
        if len(data) != 2 * math.prod(shape):
            raise ValueError("bytes")
        return np.array(of_bfloat16(data), np.float32).reshape(shape)
    if dtype not in CODES:
        raise ValueError(dtype)
    try:
        values = struct.unpack("<" + CODES[dtype] * math.prod(shape), data)
    except struct.error as error:
        raise ValueError("the number of bytes is wrong") from error
    return np.array(values, np.dtype(CODES[dtype])).reshape(shape)


def numbers_by_match(data, dtype, shape):
    match dtype:
        case "BF16":
            halves = np.zeros((len(data) // 2, 2), "<u2")
            halves[:, 1] = np.frombuffer(data, "<u2")
            return halves.view("<f4").ravel().reshape(shape)
        case "F64" | "F32" | "F16":
            return np.frombuffer(bytearray(data), f"<f{int(dtype[1:]) // 8}").reshape(shape)
        case "I64" | "I32":
            return np.frombuffer(bytearray(data), f"<i{int(dtype[1:]) // 8}").reshape(shape)
        case "U8":
            return np.array(list(data), np.uint8).reshape(shape)
    raise ValueError(f"no such type: {dtype}")


def numbers_by_ndarray(data, dtype, shape):
    """An array on top of the bytes; bfloat16 with two zero bytes put before each two."""
    known = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<f4", "I64": "<i8", "I32": "<i4", "U8": "|u1"}
    if dtype not in known:
        raise ValueError("unknown type")
    if dtype == "BF16":
        data = b"".join(b"\0\0" + data[i : i + 2] for i in range(0, len(data), 2))
    kind = np.dtype(known[dtype])
    if len(data) != kind.itemsize * math.prod(shape):
        raise ValueError("the bytes are not as many as the shape needs")
    return np.ndarray(tuple(shape), kind, data).copy()


def read_with_coverage(data):
    """Every byte is counted: each belongs to one array."""
    (n,) = struct.unpack_from("<Q", data)
    if n > len(data) - 8:
        raise ValueError("header")
    header = json.loads(data[8 : 8 + n].decode("utf-8").strip())
    body = data[8 + n :]
    covered = np.zeros(len(body), int)
    arrays = {}
    for name in header:
        if name == "__metadata__":
            continue
        begin, end = header[name]["data_offsets"]
        if not 0 <= begin <= end <= len(body):
            raise ValueError("outside")
        covered[begin:end] += 1
        arrays[name] = numbers_by_struct(body[begin:end], header[name]["dtype"], header[name]["shape"])
    if (covered != 1).any():
        raise ValueError("bytes that belong to none, or to two")
    return arrays


def read_in_stream(data):
    file = io.BytesIO(data)
    length = int.from_bytes(file.read(8), "little")
    text = file.read(length)
    if len(text) < length:
        raise ValueError("the file ends in its header")
    entries = [(v["data_offsets"], k, v) for k, v in json.loads(text).items() if k != "__metadata__"]
    arrays = {}
    for (begin, end), name, what in sorted(entries, key=lambda e: e[0]):
        if file.tell() - 8 - length != begin:
            raise ValueError(f"{name} is not where it should be")
        arrays[name] = numbers_by_match(file.read(end - begin), what["dtype"], what["shape"])
    if file.read(1):
        raise ValueError("there is more")
    return arrays


def parsed(data, order="little", base=None, skip=("__metadata__",)):
    """Header and numbers of a file, nothing checked but that the header is there."""
    n = int.from_bytes(data[:8], order)
    if len(data) < n + 8:
        raise ValueError("too short")
    header = {k: v for k, v in json.loads(data[8 : n + 8]).items() if k not in skip}
    return header, data[n + 8 if base is None else base(n) :], len(data) - n - 8


def sound(header, size, ordered=True):
    """Whether the arrays lie one behind the other."""
    spans = [tuple(v["data_offsets"]) for v in header.values()]
    ends = [0]
    for a, b in sorted(spans) if ordered else spans:
        if a != ends[-1]:
            return False
        ends.append(b)
    return ends[-1] == size


def reading(
    check=sound,
    get=lambda body, a, b: body[a:b],
    array=lambda body, v: numbers_by_match(body, v["dtype"], v["shape"]),
    **how,
):
    def read_safetensors(data):
        header, body, size = parsed(data, **how)
        if not check(header, size):
            raise ValueError("the arrays are not all of the file")
        return {k: array(get(body, *v["data_offsets"]), v) for k, v in header.items()}

    return {"read_safetensors": read_safetensors}


def spans_of(header):
    return sorted(tuple(v["data_offsets"]) for v in header.values())


def no_overlap(header, size):
    spans = spans_of(header)
    return all(first[1] <= second[0] for first, second in itertools.pairwise(spans))


def no_gap(header, size):
    reached = 0
    for a, b in spans_of(header):
        if a > reached:
            return False
        reached = max(reached, b)
    return reached == size


def same_number_of_bytes(header, size):
    return sum(b - a for a, b in spans_of(header)) == size


def in_a_row(header, size):
    return all(first[1] == second[0] for first, second in itertools.pairwise([(0, 0), *spans_of(header)]))


def sequential(data):
    header, body, size = parsed(data)
    if not sound(header, size):
        raise ValueError("holes")
    arrays, at = {}, 0
    for k, v in header.items():
        a, b = v["data_offsets"]
        arrays[k] = numbers_by_match(body[at : at + b - a], v["dtype"], v["shape"])
        at += b - a
    return arrays


def with_bfloat16(read):
    """numbers() with another idea of what a bfloat16 is."""

    def numbers(data, dtype, shape):
        if dtype != "BF16":
            return numbers_by_match(data, dtype, shape)
        if len(data) != 2 * math.prod(shape):
            raise ValueError("bytes")
        return np.asarray(read(data), np.float32).reshape(shape)

    return {"numbers": numbers}


def numbers_big(data, dtype, shape):
    known = {"F64": ">f8", "F32": ">f4", "F16": ">f2", "I64": ">i8", "I32": ">i4", "U8": "u1"}
    if dtype == "BF16":
        bits = np.frombuffer(data, ">u2").astype(np.uint32)
        return (bits * 65536).astype(np.uint32).view(np.float32).reshape(shape)
    if dtype not in known:
        raise ValueError("type")
    return np.frombuffer(data, known[dtype]).reshape(shape).copy()


def numbers_by_dict(data, dtype, shape):
    kind = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "U8": "u1"}[dtype]
    flat = np.frombuffer(data, kind)
    if dtype == "BF16":
        flat = np.left_shift(flat.astype("u4"), 16).view("f4")
    return flat.reshape(shape).copy()


def numbers_counted(data, dtype, shape):
    kind = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "U8": "u1"}.get(dtype)
    if kind is None:
        raise ValueError("type")
    if math.prod(shape) == 0:
        return numbers_by_match(data, dtype, shape)
    flat = np.frombuffer(data, kind, count=math.prod(shape))
    return (np.left_shift(flat.astype("u4"), 16).view("f4") if dtype == "BF16" else flat).reshape(shape).copy()


def numbers_all_single(data, dtype, shape):
    if dtype not in (*CODES, "BF16"):
        raise ValueError("type")
    values = [v for (v,) in struct.iter_unpack("<f", data[: len(data) // 4 * 4])]
    if len(data) % 4 or len(values) != math.prod(shape):
        raise ValueError("bytes")
    return np.array(values, np.float32).reshape(shape)


def numbers_struct_error(data, dtype, shape):
    if dtype == "BF16":
        return numbers_by_struct(data, dtype, shape)
    if dtype not in CODES:
        raise ValueError("type")
    return np.array(struct.unpack(f"<{math.prod(shape)}{CODES[dtype]}", data), CODES[dtype]).reshape(shape)


def numbers_double(data, dtype, shape):
    return numbers_by_match(data, dtype, shape).astype(np.float32)


WRONG[1] = [
    ("big-endian everywhere", {"numbers": numbers_big}, "The bytes of a number are taken in the wrong order"),
    (
        "bfloat16 by struct's e",
        with_bfloat16(lambda d: [v for (v,) in struct.iter_unpack("<e", d)]),
        "bfloat16 is read as float16",
    ),
    (
        "bfloat16 as integers",
        with_bfloat16(lambda d: [d[i] + 256 * d[i + 1] for i in range(0, len(d), 2)]),
        "bfloat16 is read as whole numbers",
    ),
    (
        "zero bytes behind instead of before",
        with_bfloat16(lambda d: [struct.unpack("<f", d[i : i + 2] + b"\0\0")[0] for i in range(0, len(d), 2)]),
        "The 16 bits of a bfloat16 become the lower half of a float32",
    ),
    (
        "shifted as uint16",
        {
            "numbers": lambda d, t, s: (
                (np.frombuffer(d, np.uint16) << 16).view("f4").reshape(s) if t == "BF16" else numbers_by_match(d, t, s)
            )
        },
        "A bfloat16 is shifted while it has only 16 bits",
    ),
    (
        "columns first",
        {"numbers": lambda d, t, s: numbers_by_match(d, t, s[::-1]).T.copy()},
        "The first axis varies fastest",
    ),
    (
        "shape turned round",
        {"numbers": lambda d, t, s: numbers_by_struct(d, t, tuple(reversed(s)))},
        "The axes come in the opposite order",
    ),
    ("a row", {"numbers": lambda d, t, s: numbers_by_struct(d, t, s).flatten()}, "The shape is not used"),
    (
        "at least one axis",
        {"numbers": lambda d, t, s: np.atleast_1d(numbers_by_match(d, t, s))},
        "A single number comes back as an array with an axis",
    ),
    ("four bytes each", {"numbers": numbers_all_single}, "Every type is read as float32"),
    (
        "as many as needed",
        {"numbers": numbers_counted},
        "Bytes that are too many are left over, and nobody is told",
    ),
    ("looked up in a dict", {"numbers": numbers_by_dict}, "A type that is not known raises a KeyError"),
    ("struct.error", {"numbers": numbers_struct_error}, "A wrong number of bytes raises a struct.error"),
    ("float64 made float32", {"numbers": numbers_double}, None),
    ("offsets in the file", reading(base=lambda n: 0), "Offsets are counted from the beginning of the file"),
    ("offsets behind the length", reading(base=lambda n: 8), "Offsets are counted from behind the first 8 bytes"),
    (
        "n, not n + 8",
        reading(base=lambda n: n),
        "Offsets are counted from N, the length of the header, without the 8 bytes before it",
    ),
    (
        "length by >Q",
        reading(order="big"),
        "The length of the header is read in the wrong order of bytes",
    ),
    ("metadata and all", reading(skip=()), '"__metadata__" is taken for an array'),
    ("one after another", {"read_safetensors": sequential}, "Arrays are taken one after another in the order of the header"),
    (
        "must be in the header's order",
        reading(check=lambda h, n: sound(h, n, ordered=False)),
        "Arrays are refused that lie in another order than in the header",
    ),
    ("begin and length", reading(get=lambda body, a, b: body[a:][:b]), "The second offset is taken for a length"),
    (
        "end included",
        reading(get=lambda body, a, b: bytes(body[i] for i in range(a, min(b + 1, len(body))))),
        "The byte at the second offset is read as well",
    ),
    (
        "flat arrays",
        reading(array=lambda body, v: numbers_by_match(body, v["dtype"], v["shape"]).reshape(-1)),
        "The shapes in the header are not used",
    ),
    ("no check", reading(check=lambda h, n: True), "Arrays that share bytes are read"),
    (
        "only that the last one ends in the file",
        reading(check=lambda h, n: max(v["data_offsets"][1] for v in h.values()) <= n),
        "Arrays that share bytes are read",
    ),
    ("only gaps are looked for", reading(check=no_gap), "Arrays that share bytes are read"),
    ("only overlaps are looked for", reading(check=no_overlap), "Bytes between two arrays that belong to none are passed over"),
    (
        "overlaps, and the end",
        reading(check=lambda h, n: no_overlap(h, n) and spans_of(h)[-1][1] == n),
        "Bytes between two arrays that belong to none are passed over",
    ),
    ("sizes add up", reading(check=same_number_of_bytes), "Only the number of bytes is compared, not where they lie"),
    ("in a row, and then?", reading(check=in_a_row), "Bytes behind the last array are passed over"),
]
RIGHT[1] = [
    (
        "struct, and the formula of bfloat16; every byte counted",
        {"numbers": numbers_by_struct, "read_safetensors": read_with_coverage},
    ),
    ("match; a stream", {"numbers": numbers_by_match, "read_safetensors": read_in_stream}),
    ("an array on top of the bytes", {"numbers": numbers_by_ndarray, **reading()}),
    (
        "numbers of more bits than asked for",
        {"numbers": lambda d, t, s: (a := numbers_by_match(d, t, s)).astype("f8" if a.dtype.kind == "f" else "i8")},
    ),
]

# ---- 2: from Keras's axes to ours


def conv_loops(kernel):
    KH, KW, C, F = kernel.shape
    w = np.zeros((F, C, KH, KW), kernel.dtype)
    for f in range(F):
        for c in range(C):
            w[f, c] = kernel[:, :, c, f]
    return w


def depthwise_loops(kernel):
    KH, KW, C, M = kernel.shape
    w = np.zeros((C * M, 1, KH, KW), kernel.dtype)
    for c, m in itertools.product(range(C), range(M)):
        w[c * M + m, 0] = kernel[..., c, m]
    return w


def dense_loops(kernel, chw):
    D, O = kernel.shape  # noqa: E741
    w = np.zeros((O, D), kernel.dtype)
    for d in range(D):
        place = d
        if chw:
            C, H, W = chw
            i, j, c = np.unravel_index(d, (H, W, C))
            place = np.ravel_multi_index((c, i, j), (C, H, W))
        w[:, place] = kernel[d]
    return w


def dense_by_index(kernel, chw):
    if chw is None:
        return np.ascontiguousarray(np.swapaxes(kernel, 0, 1))
    C, H, W = chw
    order = np.arange(C * H * W).reshape(H, W, C).transpose(2, 0, 1).ravel()
    return kernel[order].T.copy()


def dense_einsum(kernel, chw):
    D, O = kernel.shape  # noqa: E741
    if chw is None:
        return np.einsum("do->od", kernel).copy()
    C, H, W = chw
    return np.einsum("hwco->ochw", kernel.reshape(H, W, C, O)).reshape(O, D).copy()


def dense_with(order):
    """The rows in the order that a function of (C, H, W) gives."""

    def dense_from_keras(kernel, chw):
        rows = np.arange(len(kernel)) if chw is None else np.asarray(order(*chw)).ravel()
        return np.ascontiguousarray(kernel[rows].T)

    return {"dense_from_keras": dense_from_keras}


def of(name, spec):
    """A layout function as an einsum, whose result is made contiguous."""
    return {name: lambda kernel: np.einsum(spec, kernel).copy()}


def depthwise_of(spec):
    def depthwise_from_keras(kernel):
        w = np.einsum(spec, kernel)
        return w.reshape(-1, 1, *w.shape[2:]).copy()

    return {"depthwise_from_keras": depthwise_from_keras}


WRONG[2] = [
    (
        "reshape",
        {"conv_from_keras": lambda k: np.array(k).reshape(k.shape[3], k.shape[2], k.shape[0], k.shape[1])},
        "Kernels are reshaped, not transposed",
    ),
    ("cfij", of("conv_from_keras", "ijcf->cfij"), "Channels come before filters"),
    ("T", {"conv_from_keras": lambda k: np.array(k.T, order="C")}, "Rows and columns of the kernels are exchanged"),
    (
        "convolution proper",
        {"conv_from_keras": lambda k: np.rot90(conv_loops(k), 2, axes=(2, 3)).copy()},
        "Kernels are turned round by half a turn",
    ),
    ("a copy", {"conv_from_keras": np.copy}, "The layout stays Keras's"),
    ("ijfc", of("conv_from_keras", "ijcf->ijfc"), "Only the last two axes change places"),
    ("fjci", of("conv_from_keras", "ijcf->fjci"), "Only the first and the last axis change places"),
    (
        "a view",
        {"conv_from_keras": lambda k: np.moveaxis(k, (3, 2), (0, 1))},
        "The result is an argument, or a view of it",
    ),
    (
        "depthwise, reshape",
        {"depthwise_from_keras": lambda k: k.flatten().reshape(k.shape[2] * k.shape[3], 1, k.shape[0], k.shape[1])},
        "Depthwise: the kernels are reshaped, not transposed",
    ),
    (
        "depthwise, m first",
        depthwise_of("ijcm->mcij"),
        "Depthwise: the outputs of one m lie together, not those of one channel",
    ),
    ("depthwise, ji", depthwise_of("ijcm->cmji"), "Depthwise: rows and columns of the kernels are exchanged"),
    (
        "depthwise, T",
        depthwise_of("ijcm->mcji"),
        "Depthwise: rows and columns are exchanged, and m counts before the channel",
    ),
    ("depthwise as conv", {"depthwise_from_keras": conv_loops}, "Depthwise: it is treated as an ordinary convolution"),
    ("depthwise, four axes", of("depthwise_from_keras", "ijcm->cmij"), "Depthwise: channels and multiples stay two axes"),
    (
        "depthwise, axis in front",
        {"depthwise_from_keras": lambda k: np.expand_dims(depthwise_loops(k)[:, 0], 0).copy()},
        "Depthwise: the axis of length 1 is in front",
    ),
    ("dense, only T", dense_with(lambda C, H, W: range(C * H * W)), "Dense: the inputs stay in Keras's order"),
    (
        "dense, the other way",
        dense_with(lambda C, H, W: [(c * H + i) * W + j for i in range(H) for j in range(W) for c in range(C)]),
        "Dense: the inputs are put in order the wrong way round",
    ),
    (
        "dense, chw axes",
        dense_with(lambda C, H, W: np.einsum("chw->wch", np.arange(C * H * W).reshape(C, H, W))),
        "Dense: the rows are given the axes (C, H, W), which they do not have",
    ),
    (
        "dense, columns first",
        dense_with(lambda C, H, W: [(i * W + j) * C + c for c in range(C) for j in range(W) for i in range(H)]),
        "Dense: rows and columns of the map are exchanged",
    ),
    (
        "dense, not turned",
        {"dense_from_keras": lambda k, chw: dense_loops(k, chw).T.copy()},
        "Dense: inputs and outputs do not change places",
    ),
    (
        "dense, reshaped",
        {"dense_from_keras": lambda k, chw: k.flatten().reshape(k.shape[1], k.shape[0])},
        "Dense: it is reshaped to (O, D), not transposed",
    ),
]
RIGHT[2] = [
    ("loops", {"conv_from_keras": conv_loops, "depthwise_from_keras": depthwise_loops, "dense_from_keras": dense_loops}),
    (
        "einsum",
        {**of("conv_from_keras", "ijcf->fcij"), **depthwise_of("ijcm->cmij"), "dense_from_keras": dense_einsum},
    ),
    (
        "moveaxis, stacks, an index",
        {
            "conv_from_keras": lambda k: np.ascontiguousarray(np.moveaxis(k, (3, 2), (0, 1))),
            "depthwise_from_keras": lambda k: np.stack(
                [k[:, :, c, m][None] for c in range(k.shape[2]) for m in range(k.shape[3])]
            ),
            "dense_from_keras": dense_by_index,
        },
    ),
]

# ---- 3: a batch norm by three names


def norm_by_table(arrays, name, source, bias):
    keys = {
        "pytorch": ("{}.weight", "{}.bias", "{}.running_mean", "{}.running_var"),
        "keras": ("{}/gamma", "{}/beta", "{}/moving_mean", "{}/moving_variance"),
        "caffe": ("scale{}/0", "scale{}/1", "bn{}/0", "bn{}/1"),
    }[source]
    four = [arrays.get(key.format(name)) for key in keys]
    C = four[3].size
    gamma, beta, mean, var = (
        np.full(C, usual, float) if array is None else np.array(array, float).reshape(C)
        for array, usual in zip(four, (1, 0, None, None), strict=True)
    )
    if source == "caffe":
        count = arrays[f"bn{name}/2"].item()
        mean, var = (np.zeros(C) if count == 0 else total / count for total in (mean, var))
    if bias is not None:
        mean = mean - bias
    return gamma, beta, mean, var


def norm_by_ifs(arrays, name, source, bias):
    if source == "pytorch":
        gamma, beta = arrays[name + ".weight"].copy(), arrays[name + ".bias"].copy()
        mean, var = arrays[name + ".running_mean"].copy(), arrays[name + ".running_var"].copy()
    elif source == "keras":
        mean, var = arrays[name + "/moving_mean"].copy(), arrays[name + "/moving_variance"].copy()
        gamma = arrays[name + "/gamma"] if name + "/gamma" in arrays else mean * 0 + 1
        beta = arrays[name + "/beta"] if name + "/beta" in arrays else mean * 0
    elif source == "caffe":
        factor = np.squeeze(arrays["bn" + name + "/2"])
        factor = 0 if factor == 0 else 1.0 / factor
        mean, var, gamma, beta = (
            factor_ * np.squeeze(arrays[key])
            for key, factor_ in (
                (f"bn{name}/0", factor),
                (f"bn{name}/1", factor),
                (f"scale{name}/0", 1),
                (f"scale{name}/1", 1),
            )
        )
    mean -= 0 if bias is None else bias
    return [gamma, beta, mean, var]


def norm_as_lists(arrays, name, source, bias):
    gamma, beta, mean, var = (list(map(float, part)) for part in norm_by_table(arrays, name, source, None))
    if bias is not None:
        mean = [m - b for m, b in zip(mean, bias, strict=True)]
    return gamma, beta, mean, var


def then(change):
    """The right answer, changed afterwards: change(gamma, beta, mean, var, arrays, name, source, bias)."""

    def batch_norm_of(arrays, name, source, bias):
        return change(*norm_by_table(arrays, name, source, bias), arrays, name, source, bias)

    return {"batch_norm_of": batch_norm_of}


def caffe_with(mean_of=lambda total, count: total / count, var_of=None, at_zero=lambda total: 0 * total):
    """Caffe's sums made into something else; at_zero says what they are where the number is 0."""
    var_of = var_of or mean_of

    def batch_norm_of(arrays, name, source, bias):
        if source != "caffe":
            return norm_by_ifs(arrays, name, source, bias)
        mean, var, count = (np.ravel(arrays[f"bn{name}/{k}"]) for k in "012")
        if count[0] == 0:
            mean, var = at_zero(mean), at_zero(var)
        else:
            mean, var = mean_of(mean, count[0]), var_of(var, count[0])
        if bias is not None:
            mean = mean - bias
        return np.ravel(arrays[f"scale{name}/0"]), np.ravel(arrays[f"scale{name}/1"]), mean, var

    return {"batch_norm_of": batch_norm_of}


def keras_with(gamma=None, beta=None):
    """What takes the place of an array that a Keras file does not have: a number, or a KeyError."""

    def batch_norm_of(arrays, name, source, bias):
        if source != "keras":
            return norm_by_ifs(arrays, name, source, bias)
        mean, var = arrays[f"{name}/moving_mean"], arrays[f"{name}/moving_variance"]
        parts = []
        for key, usual in (("gamma", gamma), ("beta", beta)):
            parts.append(arrays[f"{name}/{key}"] if usual is None or f"{name}/{key}" in arrays else np.full(len(mean), usual))
        return *parts, mean - (0.0 if bias is None else bias), var.copy()

    return {"batch_norm_of": batch_norm_of}


def divided_by_zero(total):
    with np.errstate(all="ignore"):
        return total / np.zeros(1)


def bias_divided_as_well(arrays, name, source, bias):
    gamma, beta, mean, var = norm_by_table(arrays, name, source, None)
    if bias is None:
        return gamma, beta, mean, var
    if source != "caffe":
        return gamma, beta, mean - bias, var
    count = float(arrays[f"bn{name}/2"].ravel()[0])
    return gamma, beta, (arrays[f"bn{name}/0"].ravel() - bias) / count, var


def blobs_of_one_layer(arrays, name, source, bias):
    gamma, beta, mean, var = norm_by_ifs(arrays, name, source, bias)
    if source == "caffe":
        gamma, beta = arrays[f"bn{name}/0"].ravel(), arrays[f"bn{name}/1"].ravel()
    return gamma, beta, mean, var


def blobs_with_axes(arrays, name, source, bias):
    if source != "caffe":
        return norm_by_ifs(arrays, name, source, bias)
    count = arrays[f"bn{name}/2"].item()
    mean, var = (arrays[f"bn{name}/{k}"] * (1 / count if count else 0.0) for k in (0, 1))
    return arrays[f"scale{name}/0"], arrays[f"scale{name}/1"], mean - (0 if bias is None else bias), var


def plus(gamma_by=0.0, beta_by=0.0, mean_by=0.0):
    """The bias, times these numbers, on top of what would be right without a bias."""

    def batch_norm_of(arrays, name, source, bias):
        gamma, beta, mean, var = norm_by_ifs(arrays, name, source, None)
        b = np.zeros(len(mean)) if bias is None else bias
        return gamma + gamma_by * b, beta + beta_by * b, mean + mean_by * b, var

    return {"batch_norm_of": batch_norm_of}


WRONG[3] = [
    ("beta, gamma", then(lambda g, b, m, v, *_: (b, g, m, v)), "gamma and beta have changed places"),
    ("var, mean", then(lambda g, b, m, v, *_: (g, b, v, m)), "Mean and variance have changed places"),
    ("statistics first", then(lambda g, b, m, v, *_: (m, v, g, b)), "The statistics come before gamma and beta"),
    ("std", then(lambda g, b, m, v, *_: (g, b, m, v**0.5)), "The standard deviation is returned, not the variance"),
    ("sums", caffe_with(lambda total, count: total), "Caffe's sums are not divided"),
    ("times", caffe_with(lambda total, count: total * count), "Caffe's sums are multiplied by the number"),
    ("only the mean", caffe_with(var_of=lambda total, count: total), "Of Caffe's sums only that of the means is divided"),
    (
        "only the variance",
        caffe_with(lambda total, count: total, lambda total, count: total / count),
        "Of Caffe's sums only that of the variances is divided",
    ),
    (
        "squared",
        caffe_with(var_of=lambda total, count: total / count / count),
        "Caffe's variances are divided by the square of the number",
    ),
    ("0 / 0", caffe_with(at_zero=divided_by_zero), "Where Caffe's number is 0 it is divided by all the same"),
    ("max(count, 1)", caffe_with(at_zero=lambda total: total), "Where Caffe's number is 0 the sums are taken as they are"),
    (
        "variance 1 at first",
        then(lambda g, b, m, v, *_: (g, b, m, np.where(v == 0, 1.0, v))),
        "Where Caffe's number is 0 the variance is 1",
    ),
    (
        "bn's blobs as gamma",
        {"batch_norm_of": blobs_of_one_layer},
        "Caffe's gamma and beta are looked for in the layer with the statistics",
    ),
    (
        "scale's blobs exchanged",
        then(lambda g, b, m, v, arrays, name, source, _: (b, g, m, v) if source == "caffe" else (g, b, m, v)),
        "Caffe's gamma and beta have changed places",
    ),
    ("four axes", {"batch_norm_of": blobs_with_axes}, "Caffe's axes of length 1 are still there"),
    ("gamma must be there", keras_with(gamma=None, beta=0.0), "Keras without gamma raises a KeyError"),
    ("beta must be there", keras_with(gamma=1.0, beta=None), "Keras without beta raises a KeyError"),
    ("both must be there", keras_with(), "Keras without gamma raises a KeyError"),
    ("no gamma: 0", keras_with(gamma=0.0, beta=0.0), "Where Keras has no gamma, it becomes 0"),
    ("no beta: 1", keras_with(gamma=1.0, beta=1.0), "Where Keras has no beta, it becomes 1"),
    ("bias forgotten", plus(), "The convolution's bias is not used"),
    ("mean + bias", plus(mean_by=1.0), "The convolution's bias is added to the mean"),
    ("beta + bias", plus(beta_by=1.0), "The convolution's bias goes to beta"),
    ("beta - bias", plus(beta_by=-1.0), "The convolution's bias is taken off beta"),
    ("both", plus(beta_by=-1.0, mean_by=-1.0), "The bias is taken off both the mean and beta"),
    (
        "bias among the sums",
        {"batch_norm_of": bias_divided_as_well},
        "The bias is divided by Caffe's number as well",
    ),
    ("three of the four", then(lambda g, b, m, v, *_: (g, b, m)), "Not as many results as asked for"),
]
RIGHT[3] = [
    ("a table of names", {"batch_norm_of": norm_by_table}),
    ("ifs, a list", {"batch_norm_of": norm_by_ifs}),
    ("lists of numbers", {"batch_norm_of": norm_as_lists}),
]

# ---- 4: by name and by shape, or not at all


def match_loop(arrays, names, shapes):
    prefix = True
    for theirs in arrays:
        if theirs[:7] != "module.":
            prefix = False
    found, missing, unexpected, misshapen = {}, [], [], []
    asked = []
    for ours in names:
        theirs = ("module." if prefix else "") + names[ours]
        asked.append(theirs)
        if theirs not in arrays:
            missing.append(ours)
        elif np.shape(arrays[theirs]) != tuple(shapes[ours]):
            misshapen.append(ours)
        else:
            found[ours] = np.array(arrays[theirs], dtype=np.float32)
    for theirs in arrays:
        if theirs not in asked and theirs.split(".")[-1] != "num_batches_tracked":
            unexpected.append(theirs)
    missing.sort()
    unexpected.sort()
    misshapen.sort()
    return found, missing, unexpected, misshapen


def match_inverted(arrays, names, shapes):
    """From the file's names to ours."""
    cut = 7 * all(theirs.startswith("module.") for theirs in arrays)
    ours_of = {theirs: ours for ours, theirs in names.items()}
    found, there, unexpected = {}, set(), set()
    for theirs, array in arrays.items():
        ours = ours_of.get(theirs[cut:])
        if ours is None:
            if not theirs.endswith(".num_batches_tracked"):
                unexpected.add(theirs)
            continue
        there.add(ours)
        if list(array.shape) == list(shapes[ours]):
            found[ours] = array.astype("f4")
    return [found, sorted(set(names) - there), sorted(unexpected), sorted(there - set(found))]


def match_comprehensions(arrays, names, shapes):
    whole = {k.removeprefix("module.") if all(n[:7] == "module." for n in arrays) else k: k for k in arrays}
    fits = {o: t in whole and arrays[whole[t]].shape == tuple(shapes[o]) for o, t in names.items()}
    return (
        {o: np.asarray(arrays[whole[names[o]]], np.float32) for o in names if fits[o]},
        sorted(o for o, t in names.items() if t not in whole),
        sorted(k for t, k in whole.items() if t not in names.values() and not k.endswith(".num_batches_tracked")),
        sorted(o for o, t in names.items() if t in whole and not fits[o]),
    )


def matcher(
    strip=lambda arrays: {k: (k[7:] if all(n.startswith("module.") for n in arrays) else k) for k in arrays},
    accept=lambda array, shape: tuple(array.shape) == tuple(shape),
    make=lambda array, shape: array,
    is_counter=lambda name: name.endswith(".num_batches_tracked"),
    finish=lambda found, missing, unexpected, misshapen, names: (
        found,
        sorted(missing),
        sorted(unexpected),
        sorted(misshapen),
    ),
):
    """The loop of a student, with a piece of it exchanged."""

    def match(arrays, names, shapes):
        plain = {short: long for long, short in strip(arrays).items()}
        found, missing, misshapen, asked = {}, [], [], set(names.values())
        for ours, theirs in names.items():
            if theirs not in plain:
                missing.append(ours)
                continue
            array = arrays[plain[theirs]]
            if accept(array, shapes[ours]):
                found[ours] = make(array, shapes[ours]).astype(np.float32)
            else:
                misshapen.append(ours)
        unexpected = [long for short, long in plain.items() if short not in asked and not is_counter(long)]
        return finish(found, missing, unexpected, misshapen, names)

    return {"match": match}


def match_by_order(arrays, names, shapes):
    kept = [array for name, array in arrays.items() if not name.endswith(".num_batches_tracked")]
    found, misshapen = {}, []
    for ours, array in zip(names, kept, strict=False):
        if array.shape == tuple(shapes[ours]):
            found[ours] = array.astype(np.float32)
        else:
            misshapen.append(ours)
    return found, [], [], sorted(misshapen)


def match_or_raise(arrays, names, shapes):
    prefix = "module." if all(n.startswith("module.") for n in arrays) else ""
    picked = {ours: arrays[prefix + theirs] for ours, theirs in names.items()}
    found = {ours: a.astype(np.float32) for ours, a in picked.items() if a.shape == tuple(shapes[ours])}
    rest = [n for n in arrays if n not in {prefix + t for t in names.values()} and not n.endswith(".num_batches_tracked")]
    return found, [], sorted(rest), sorted(set(picked) - set(found))


def half_precision(arrays, names, shapes):
    found, *lists = match_loop(arrays, names, shapes)
    return {ours: array.astype(np.float16) for ours, array in found.items()}, *lists


WRONG[4] = [
    ("zip", {"match": match_by_order}, "Arrays are taken in their order, not by their names"),
    ("no prefix known", matcher(strip=lambda a: {k: k for k in a}), '"module." is never taken off'),
    (
        "whenever it is there",
        matcher(strip=lambda a: {k: k[7:] if k[:7] == "module." else k for k in a}),
        '"module." is taken off although not all names have it',
    ),
    (
        "if any has it",
        matcher(strip=lambda a: {k: k.removeprefix("module.") if any(n.startswith("module.") for n in a) else k for k in a}),
        '"module." is taken off although not all names have it',
    ),
    (
        "lstrip",
        matcher(strip=lambda a: {k: k.lstrip("module.") if all(n.startswith("module.") for n in a) else k for k in a}),
        "More letters are taken off than those of the prefix",
    ),
    (
        "replace",
        matcher(strip=lambda a: {k: k.replace("module.", "") if all(n.startswith("module.") for n in a) else k for k in a}),
        '"module." is taken out wherever it stands',
    ),
    (
        "first word",
        matcher(strip=lambda a: {k: ".".join(k.split(".")[1:]) for k in a}),
        "The first word of each name is taken off, whatever it is",
    ),
    (
        "reshape",
        matcher(accept=lambda a, s: a.size == math.prod(s), make=lambda a, s: a.reshape(s)),
        "An array with as many numbers in another shape is reshaped",
    ),
    (
        "size",
        matcher(accept=lambda a, s: np.prod(a.shape) == np.prod(s)),
        "An array with as many numbers in another shape counts as found",
    ),
    ("ndim", matcher(accept=lambda a, s: a.ndim == len(s)), "An array with as many axes counts as found"),
    ("anything goes", matcher(accept=lambda a, s: True), "Shapes are not compared"),
    (
        "misshapen is missing",
        matcher(finish=lambda f, m, u, x, names: (f, sorted(m + x), sorted(u), [])),
        "An array of the wrong shape is called missing",
    ),
    (
        "misshapen is nowhere",
        matcher(finish=lambda f, m, u, x, names: (f, sorted(m), sorted(u), [])),
        "An array of the wrong shape is in none of the lists",
    ),
    (
        "misshapen is unexpected",
        matcher(
            finish=lambda f, m, u, x, names: (f, sorted(m), sorted(u + ["module." * bool(x) + names[o] for o in x]), sorted(x))
        ),
        "An array of the wrong shape is called unexpected as well",
    ),
    ("counters too", matcher(is_counter=lambda name: False), "Counters are called unexpected"),
    (
        "counters anywhere",
        matcher(is_counter=lambda name: ".num_batches_tracked" in name),
        "Counters are told by letters anywhere in the name",
    ),
    (
        "their names",
        matcher(
            finish=lambda f, m, u, x, names: (f, sorted(names[o] for o in m), sorted(u), sorted(names[o] for o in x)),
        ),
        "Lists have the file's names of our arrays",
    ),
    (
        "found under their names",
        matcher(
            finish=lambda f, m, u, x, names: ({names[o]: a for o, a in f.items()}, sorted(m), sorted(u), sorted(x)),
        ),
        "Arrays are found under the file's names",
    ),
    (
        "short names",
        matcher(finish=lambda f, m, u, x, names: (f, sorted(m), sorted(n.removeprefix("module.") for n in u), sorted(x))),
        'Unexpected names have lost their "module."',
    ),
    ("KeyError", {"match": match_or_raise}, "A missing array raises a KeyError"),
    ("as they come", matcher(finish=lambda f, m, u, x, names: (f, m, u, x)), "The lists are not sorted"),
    ("float16 stays", {"match": half_precision}, None),
]
RIGHT[4] = [
    ("a loop", {"match": match_loop}),
    ("from theirs to ours", {"match": match_inverted}),
    ("comprehensions", {"match": match_comprehensions}),
    ("the corpus's own", matcher()),
]

# ---- 5: from a picture to an input

BICUBIC = Image.Resampling.BICUBIC


def fit_image(picture, resize, size):
    """With Pillow alone."""
    image = Image.fromarray(picture)
    w, h = image.size
    w, h = (resize, int(resize * h / w)) if w <= h else (int(resize * w / h), resize)
    image = image.resize((w, h), BICUBIC)
    left, top = round((w - size) / 2.0), round((h - size) / 2.0)
    return np.array(image.crop((left, top, left + size, top + size)))


def fit_rotated(picture, resize, size):
    """Landscapes as portraits of their transposes."""
    H, W, _ = picture.shape
    if W > H:
        return fit_rotated(picture.swapaxes(0, 1).copy(), resize, size).swapaxes(0, 1).copy()
    tall = np.array(Image.fromarray(picture).resize((resize, resize * H // W), BICUBIC))
    edge, top = round((resize - size) / 2), round((len(tall) - size) / 2)
    return np.ascontiguousarray(tall[top:][:size, edge:][:, :size])


def fit_by_box(picture, resize, size):
    """Only the crop is resampled."""
    H, W = picture.shape[:2]
    s = min(H, W)
    h, w = resize * H // s, resize * W // s
    top, left = round((h - size) / 2), round((w - size) / 2)
    box = (left * W / w, top * H / h, (left + size) * W / w, (top + size) * H / h)
    return np.array(Image.fromarray(picture).resize((size, size), BICUBIC, box=box))


def normalise_loop(pictures, order, mean, std):
    N, H, W, _ = pictures.shape
    x = np.zeros((N, 3, H, W), np.float32)
    for c in range(3):
        source = c if order == "RGB" else 2 - c
        x[:, c] = (pictures[:, :, :, source] / 255 - mean[c]) / std[c]
    return x


def normalise_in_pixels(pictures, order, mean, std):
    """mean and std in units of 0 to 255, on channels first."""
    x = np.moveaxis(pictures.astype(np.float32), -1, 1)
    if order == "BGR":
        x = x[:, [2, 1, 0]]
    shape = (1, 3, 1, 1)
    return ((x - 255 * np.reshape(mean, shape)) / (255 * np.reshape(std, shape))).astype(np.float32)


def normalise_einsum(pictures, order, mean, std):
    turn = np.eye(3)[:: -1 if order == "BGR" else 1]
    v = np.einsum("nhwd,cd->nchw", pictures / 255.0, turn)
    scale = 1 / np.array(std)
    return np.float32(v * scale[None, :, None, None] - (np.array(mean) * scale)[None, :, None, None])


def fit_with(
    to=lambda h, w, r, s: (r * h // min(h, w), r * w // min(h, w)),
    corner=lambda h, w, s: (round((h - s) / 2), round((w - s) / 2)),
    side=lambda r, s: s,
    by=BICUBIC,
):
    def fit(picture, resize, size):
        image = Image.fromarray(picture)
        h, w = to(image.height, image.width, resize, size)
        image = image.resize((w, h), by)
        top, left = corner(h, w, size)
        end = side(resize, size)
        return np.array(image)[top : top + end, left : left + end].copy()

    return {"fit": fit}


def numbers_with(formula, turn=lambda p, order: p if order == "RGB" else p[:, :, :, [2, 1, 0]], axes=(0, 3, 1, 2)):
    """normalise() as a student's formula of v, mean and std, which broadcast along the last axis."""

    def normalise(pictures, order, mean, std):
        v = turn(pictures, order).astype(np.float64)
        x = formula(v, np.array(mean, np.float64), np.array(std, np.float64))
        return np.ascontiguousarray(np.transpose(x, axes)).astype(np.float32)

    return {"normalise": normalise}


def right_formula(v, mean, std):
    return v / (255 * std) - mean / std


def turned_at_the_end(pictures, order, mean, std):
    x = normalise_loop(pictures, "RGB", mean, std)
    return x if order == "RGB" else x[:, ::-1].copy()


def reshaped_only(pictures, order, mean, std):
    N, H, W, _ = pictures.shape
    p = pictures if order == "RGB" else pictures[..., ::-1]
    return right_formula(p, np.array(mean), np.array(std)).astype(np.float32).reshape(N, 3, H, W)


def own_statistics(pictures, order, mean, std):
    x = (pictures if order == "RGB" else np.flip(pictures, 3)) / 255
    x = (x - np.mean(x, axis=(0, 1, 2))) / np.std(x, axis=(0, 1, 2))
    return np.moveaxis(x, 3, 1).astype(np.float32)


WRONG[5] = [
    (
        "(h, w) to resize",
        fit_with(
            to=lambda h, w, r, s: (r * w // min(h, w), r * h // min(h, w)),
            corner=lambda h, w, s: (round((w - s) / 2), round((h - s) / 2)),
        ),
        "Width and height are exchanged where the picture is resized",
    ),
    ("stretched", fit_with(to=lambda h, w, r, s: (s, s)), "The picture is stretched to a square"),
    ("square of resize", fit_with(to=lambda h, w, r, s: (r, r)), "Both sides are resized to the same length"),
    (
        "long side",
        fit_with(to=lambda h, w, r, s: (r, r * w // h) if h > w else (r * h // w, r)),
        "The long side becomes resize pixels",
    ),
    (
        "short side to size",
        {"fit": lambda p, r, s: fit_image(p, s, s)},
        "The short side becomes size pixels",
    ),
    (
        "rounded",
        fit_with(to=lambda h, w, r, s: (int(r * h / min(h, w) + 0.5), int(r * w / min(h, w) + 0.5))),
        "The long side is rounded",
    ),
    (
        "ceil",
        fit_with(to=lambda h, w, r, s: (math.ceil(r * h / min(h, w)), math.ceil(r * w / min(h, w)))),
        "The long side is rounded up",
    ),
    ("//", fit_with(corner=lambda h, w, s: ((h - s) // 2, (w - s) // 2)), "Half a pixel of margin is cut off, not rounded"),
    (
        "int of the middle",
        fit_with(corner=lambda h, w, s: (int((h - s) / 2), int((w - s) / 2))),
        "Half a pixel of margin is cut off, not rounded",
    ),
    (
        "ceil of the middle",
        fit_with(corner=lambda h, w, s: (math.ceil((h - s) / 2), math.ceil((w - s) / 2))),
        "Half a pixel of margin is always rounded up",
    ),
    ("corner", fit_with(corner=lambda h, w, s: (0, 0)), "The upper left corner is cut out"),
    ("other corner", fit_with(corner=lambda h, w, s: (h - s, w - s)), "The lower right corner is cut out"),
    (
        "top and left",
        fit_with(corner=lambda h, w, s: (round((w - s) / 2), round((h - s) / 2))),
        "The margins at the top and at the left are exchanged",
    ),
    (
        "all of it",
        fit_with(corner=lambda h, w, s: (0, 0), side=lambda r, s: 10**6),
        "Nothing is cut out",
    ),
    (
        "short side cut",
        fit_with(corner=lambda h, w, s: (0, 0), side=lambda r, s: r),
        "The crop is as large as the short side",
    ),
    (
        "ImageOps.fit",
        {"fit": lambda p, r, s: np.array(ImageOps.fit(Image.fromarray(p), (s, s), BICUBIC))},
        "The picture is cropped before it is resized",
    ),
    (
        "square first",
        {
            "fit": lambda p, r, s: np.array(
                Image.fromarray(
                    p[
                        (t := round((p.shape[0] - (m := min(p.shape[:2]))) / 2)) : t + m,
                        (e := round((p.shape[1] - m) / 2)) : e + m,
                    ]
                ).resize((s, s), BICUBIC)
            )
        },
        "The picture is cropped before it is resized",
    ),
    ("bilinear", fit_with(by=Image.Resampling.BILINEAR), "The picture is resampled by another filter"),
    ("nearest", fit_with(by=Image.Resampling.NEAREST), "The picture is resampled by another filter"),
    ("Lanczos", fit_with(by=Image.Resampling.LANCZOS), "The picture is resampled by another filter"),
    ("BGR", {"fit": lambda p, r, s: fit_image(p, r, s)[:, :, ::-1].copy()}, "The channels are turned round already"),
    ("a float picture", {"fit": lambda p, r, s: fit_image(p, r, s) / 255}, "The pixels are divided by 255 already"),
    ("0 to 255", numbers_with(lambda v, m, s: (v - m) / s), "Pixels are not divided by 255"),
    ("256", numbers_with(lambda v, m, s: v / 256 / s - m / s), "Pixels are divided by 256"),
    (
        "mean, then 255",
        numbers_with(lambda v, m, s: (v - m) / (255 * s)),
        "The mean is subtracted before the division by 255",
    ),
    ("no mean", numbers_with(lambda v, m, s: v / (s * 255)), "The mean is not subtracted"),
    ("no std", numbers_with(lambda v, m, s: (v - 255 * m) / 255), "It is not divided by std"),
    ("times std", numbers_with(lambda v, m, s: s * (v / 255) - s * m), "It is multiplied by std"),
    ("variance", numbers_with(lambda v, m, s: right_formula(v, m, s) / s), "It is divided by the variance"),
    ("std first", numbers_with(lambda v, m, s: v / (255 * s) - m), "The mean is subtracted after the division by std"),
    ("own statistics", {"normalise": own_statistics}, "The mean and spread of these pictures are used"),
    ("always RGB", numbers_with(right_formula, turn=lambda p, order: p), 'The order "BGR" is not looked at'),
    ("always BGR", numbers_with(right_formula, turn=lambda p, order: np.flip(p, -1)), "Channels are always turned round"),
    (
        "the other one",
        numbers_with(right_formula, turn=lambda p, order: p if order == "BGR" else np.flip(p, -1)),
        "The orders are mistaken for each other",
    ),
    (
        "turned at the end",
        {"normalise": turned_at_the_end},
        "Channels are turned round after mean and std, which were then those of other channels",
    ),
    (
        "mirrored",
        numbers_with(right_formula, turn=lambda p, order: p if order == "RGB" else np.flip(p, 2)),
        "The picture is mirrored instead of its channels turned round",
    ),
    ("reshape", {"normalise": reshaped_only}, "Channels are brought first by reshape"),
    ("W before H", numbers_with(right_formula, axes=(0, 3, 2, 1)), "Rows and columns are exchanged"),
    ("channels last", numbers_with(right_formula, axes=(0, 1, 2, 3)), "Channels are still last"),
    ("float64", {"normalise": lambda p, o, m, s: normalise_loop(p, o, m, s).astype(np.float64)}, None),
]
RIGHT[5] = [
    ("Pillow's crop; a loop over channels", {"fit": fit_image, "normalise": normalise_loop}),
    ("transposed; units of 0 to 255", {"fit": fit_rotated, "normalise": normalise_in_pixels}),
    ("a box; einsum", {"fit": fit_by_box, "normalise": normalise_einsum}),
]

# ---- 6: from scores to names


def probabilities(row):
    largest = max(row)
    e = [math.exp(s - largest) for s in row]
    return [value / sum(e) for value in e]


def top_by_sorting(scores, names, k):
    answers = []
    for row in scores:
        pairs = list(zip(names, probabilities(row), strict=True))
        pairs.sort(key=lambda pair: -pair[1])
        answers.append(pairs[:k])
    return answers


def top_by_lexsort(scores, names, k):
    log_p = scores - np.logaddexp.reduce(scores, axis=1)[:, None]
    out = []
    for row in log_p:
        order = np.lexsort((np.arange(len(row)), -row))
        out.append([(names[c], np.exp(row[c])) for c in order[:k]])
    return out


def top_one_by_one(scores, names, k):
    """The largest, then the largest of the others, and so on; argmax takes the first of several."""
    rows = []
    for row in scores:
        p, row, found = probabilities(row), list(row), []
        for _ in range(min(k, len(row))):
            c = int(np.argmax(row))
            found.append([names[c], p[c]])
            row[c] = -np.inf
        rows.append(found)
    return rows


def top_with(
    p_of=lambda scores: np.array([probabilities(row) for row in scores]),
    key=lambda p, c: (-p, c),
    many=lambda k, K: k,
    item=lambda name, p, c: (name, p),
    label=lambda names, c: names[c],
):
    def top_classes(scores, names, k):
        answers = []
        for row in p_of(scores):
            chosen = sorted(range(len(row)), key=lambda c, row=row: key(row[c], c))[: many(k, len(row))]
            answers.append([item(label(names, c), float(row[c]), c) for c in chosen])
        return answers

    return {"top_classes": top_classes}


def plain_exp(scores):
    with np.errstate(all="ignore"):
        e = np.exp(scores)
        return e / np.sum(e, 1)[:, None]


def overflowing(scores, names, k):
    p = plain_exp(scores)
    return [[(names[c], p[n, c]) for c in np.argsort(-p[n], kind="stable")[:k]] for n in range(len(p))]


def overflowing_reversed(scores, names, k):
    p = plain_exp(scores)
    return [[(names[c], p[n, c]) for c in np.argsort(-scores[n], kind="stable")[:k]] for n in range(len(p))]


def out_of_range(scores, names, k):
    rows = top_by_sorting(scores, names, len(names))
    return [[row[i] for i in range(k)] for row in rows]


def renormalised(scores, names, k):
    rows = top_by_sorting(scores, names, k)
    return [[(name, p / sum(q for _, q in row)) for name, p in row] for row in rows]


WRONG[6] = [
    ("ascending", top_with(key=lambda p, c: (p, c)), "The least probable classes are listed"),
    (
        "the last k of an ascending order",
        {"top_classes": lambda s, n, k: [row[::-1] for row in top_by_sorting(s, n, k)]},
        "The right classes are listed from the k-th to the first",
    ),
    ("ties the other way", top_with(key=lambda p, c: (-p, -c)), "Of equally probable classes the last one comes first"),
    ("no shift", {"top_classes": overflowing}, "Scores of 1000 overflow"),
    ("no shift, ranked by scores", {"top_classes": overflowing_reversed}, "Scores of 1000 overflow"),
    ("scores", top_with(p_of=lambda s: s), "Scores are listed, not probabilities"),
    (
        "softmax over pictures",
        top_with(p_of=lambda s: np.array([probabilities(column) for column in s.T]).T),
        "Softmax runs over the pictures",
    ),
    (
        "softmax over everything",
        top_with(p_of=lambda s: np.reshape(probabilities(list(s.ravel())), s.shape)),
        "Softmax runs over all pictures together",
    ),
    ("sum to 1 among k", {"top_classes": renormalised}, "The probabilities of those listed are made to sum to 1"),
    (
        "sigmoids",
        top_with(p_of=lambda s: np.where(s > 0, 1 / (1 + np.exp(-np.abs(s))), 1 - 1 / (1 + np.exp(-np.abs(s))))),
        "Each class has a sigmoid of its own",
    ),
    (
        "percent",
        top_with(item=lambda name, p, c: (name, 100 * p)),
        "Probabilities are in percent",
    ),
    (
        "logarithms",
        top_with(p_of=lambda s: s - np.logaddexp.reduce(s, axis=1)[:, None]),
        "Logarithms of the probabilities are listed",
    ),
    ("one too low", top_with(label=lambda names, c: names[c - 1]), "Names are shifted by one"),
    ("one too high", top_with(label=lambda names, c: names[c + 1]), "Names are shifted by one"),
    ("numbers", top_with(item=lambda name, p, c: (c, p)), "Numbers of classes are listed, not names"),
    ("p first", top_with(item=lambda name, p, c: (p, name)), "The probability comes before the name"),
    ("names only", top_with(item=lambda name, p, c: name), "Names alone are listed"),
    ("first picture", {"top_classes": lambda s, n, k: top_by_sorting(s, n, k)[0]}, "Only the first picture is answered"),
    ("IndexError", {"top_classes": out_of_range}, "A k larger than the number of classes raises an error"),
    ("k - 1", {"top_classes": lambda s, n, k: top_by_sorting(s, n, min(k, len(n)) - 1)}, "One class too few is listed"),
    ("rounded", top_with(item=lambda name, p, c: (name, round(p, 2))), "Probabilities are rounded"),
]
RIGHT[6] = [
    ("sorted pairs", {"top_classes": top_by_sorting}),
    ("lexsort, logarithms", {"top_classes": top_by_lexsort}),
    ("one by one, lists", {"top_classes": top_one_by_one}),
    ("the corpus's own", top_with()),
]
