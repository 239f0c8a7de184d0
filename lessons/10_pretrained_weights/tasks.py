"""Lesson 10: what its exercise is checked for, offline, with new numbers and shapes each time.

The numbers differ from run to run; the cases do not. What could be mistaken for each other is different in all of them: no two
sizes are equal, arrays lie in another order than the header of their file lists them, mean and std differ between channels.
"""

from __future__ import annotations

import json
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from slips import (
    FIT_SLIPS,
    LAYOUT_SLIPS,
    MATCH_SLIPS,
    NORM_SLIPS,
    NORMALISE_SLIPS,
    NUMBERS_SLIPS,
    READER_SLIPS,
    TOP_SLIPS,
)

from minicnn.course import Mistake, Student, Task
from minicnn.course.expect import expect_close, expect_number, expect_several
from minicnn.layers import BatchNorm2d, Conv2d, Flatten, Linear
from minicnn.losses import softmax
from minicnn.models import Model


def sizes(rng: np.random.Generator, *among: int) -> list[int]:
    """Numbers in random order, no two of them equal."""
    return [int(n) for n in rng.permutation(among)]


def expect_same(name: str, got: Any, expected: np.ndarray) -> None:
    """`Mistake` unless an array has the same shape and the same numbers, in a type that holds all of them exactly."""
    if not isinstance(got, (np.ndarray, np.generic, list, tuple, int, float)):
        raise Mistake(f"{name} must be a NumPy array of shape {expected.shape}, got a {type(got).__name__}")
    try:
        got = np.asarray(got)
    except ValueError:
        raise Mistake(f"{name} must be a NumPy array of shape {expected.shape}, got lists of unequal lengths") from None
    if got.shape != expected.shape:
        hint = " Is it transposed?" if got.shape == expected.shape[::-1] else ""
        raise Mistake(f"{name} must have shape {expected.shape}, got {got.shape}.{hint}")
    if got.dtype.kind not in "biuf":
        raise Mistake(f"{name} must hold numbers, got {got.dtype}")
    if not np.array_equal(got, expected):
        with np.errstate(all="ignore"):  # wrong bits may make any number, or none
            values = np.nan_to_num(got.astype(np.float64))
        expect_close(name, values, expected.astype(np.float64), tolerance=0)
    if not np.can_cast(expected.dtype, got.dtype, "safe"):
        raise Mistake(f"{name} must be {expected.dtype}, which {got.dtype} cannot hold in full")


def expect_refused(what: str, function: Callable[..., Any], *arguments: Any) -> None:
    """`Mistake` unless the student's function raises a ValueError, which ``what`` is a reason for."""
    try:
        function(*arguments)
    except Mistake as mistake:
        cause = mistake.__cause__
        if cause is None:
            raise
        if not isinstance(cause, ValueError):
            raise Mistake(f"{what} must be refused with a ValueError, and {mistake}") from cause
    else:
        raise Mistake(f"{what} must be refused with a ValueError, and was read")


# ---- Task 1: a file, read by hand

STORED = {"F32": "<f4", "F64": "<f8", "F16": "<f2", "I64": "<i8", "I32": "<i4", "U8": "u1", "BF16": "<f4"}
WIDTHS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "U8": 1}


def stored(rng: np.random.Generator, dtype: str, shape: Sequence[int]) -> tuple[np.ndarray, bytes]:
    """Numbers that this type holds exactly, and their bytes."""
    kind = np.dtype(STORED[dtype])
    if kind.kind == "f":
        values = np.asarray(rng.standard_normal(shape) + 3 * rng.choice([-1, 1], shape)).astype(kind)
    else:
        values = np.asarray(rng.integers(1 if kind.kind == "u" else -(10**6), 250 if kind.kind == "u" else 10**6, shape))
        values = values.astype(kind)
    if dtype != "BF16":
        return values, values.tobytes()
    bits = np.ascontiguousarray(values).reshape(-1).view("<u4") & 0xFFFF0000
    return bits.view("<f4").reshape(shape), (bits >> 16).astype("<u2").tobytes()


def reading(student: Student, rng: np.random.Generator) -> None:
    """Numbers of all types; then files of several arrays; then what is not to be read."""
    for dtype in STORED:
        shape = sizes(rng, 2, 3, 5)
        expected, data = stored(rng, dtype, shape)
        expect_same(f"numbers() of {dtype}, shape {shape},", student.numbers(data, dtype, shape), expected)
    for shape in ([], [int(rng.integers(3, 9))], [0, 3]):
        expected, data = stored(rng, "F32", shape)
        expect_same(f"numbers() of F32, shape {shape},", student.numbers(data, "F32", shape), expected)
    shape = sizes(rng, 2, 3)
    _, data = stored(rng, "F32", shape)
    expect_refused("an array with too few bytes for its shape", student.numbers, data[:-4], "F32", shape)
    expect_refused("an array with a number more than its shape has", student.numbers, data + data[:4], "F32", shape)
    expect_refused("an array with half a number too many", student.numbers, data + data[:2], "F32", shape)
    expect_refused('an array of the type "F8_E4M3"', student.numbers, data, "F8_E4M3", shape)
    files(student, rng)


def file_of(header: Mapping[str, Any], content: bytes, spaces: int = 0, length: int | None = None) -> bytes:
    """A safetensors file; ``length`` is what it says of its header, if that is not the truth."""
    text = json.dumps(header).encode() + b" " * spaces
    return (len(text) if length is None else length).to_bytes(8, "little") + text + content


def entry(dtype: str, shape: Sequence[int], begin: int, end: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


def laid_out(arrays: Mapping[str, tuple[str, np.ndarray, bytes]], order: Sequence[str]) -> tuple[dict[str, Any], bytes]:
    """Header, in the order of the mapping, and bytes, in the order that is given."""
    places, content = {}, b""
    for name in order:
        data = arrays[name][2]
        places[name] = len(content), len(content) + len(data)
        content += data
    return {name: entry(dtype, values.shape, *places[name]) for name, (dtype, values, _) in arrays.items()}, content


def judge_file(
    student: Student,
    arrays: Mapping[str, tuple[str, np.ndarray, bytes]],
    order: Sequence[str],
    metadata: Mapping[str, str] | None = None,
    spaces: int = 0,
) -> None:
    """A file with these arrays, in which they lie in this order."""
    header, content = laid_out(arrays, order)
    if metadata:
        header = {"__metadata__": metadata} | header
    got = student.read_safetensors(file_of(header, content, spaces))
    if not isinstance(got, Mapping):
        raise Mistake(f"read_safetensors() must return a dict of arrays by name, got a {type(got).__name__}")
    if set(got) != set(arrays):
        raise Mistake(f"read_safetensors() must return arrays named {sorted(arrays)}, got {sorted(map(str, got))}")
    for name, (dtype, expected, _) in arrays.items():
        expect_same(f"'{name}' ({dtype}, shape {expected.shape})", got[name], expected)


def files(student: Student, rng: np.random.Generator) -> None:
    shapes = {"conv.weight": sizes(rng, 2, 3, 4), "conv.bias": [2], "bn.weight": sizes(rng, 3, 5), "steps": [], "none": [0, 4]}
    types = dict(zip(shapes, ("F32", "F16", "BF16", "I64", "F32"), strict=True))
    arrays = {name: (types[name], *stored(rng, types[name], shape)) for name, shape in shapes.items()}
    names = list(arrays)
    judge_file(student, {"bn.weight": arrays["bn.weight"]}, ["bn.weight"])  # what a mistake makes of one, two and more differs
    judge_file(student, {name: arrays[name] for name in names[:2]}, names[:2])
    judge_file(student, arrays, names)
    judge_file(student, arrays, [names[i] for i in (2, 3, 0, 4, 1)], {"format": "pt", "made": "by hand"}, spaces=5)

    size = 24
    content = rng.integers(1, 255, 2 * size, dtype=np.uint8).tobytes()
    first, second = entry("F32", [2, 3], 0, size), entry("F32", [3, 2], size, 2 * size)
    sound = {"a": first, "b": second}

    def refused(what: str, header: Mapping[str, Any], content: bytes = content, length: int | None = None) -> None:
        expect_refused(f"a file {what}", student.read_safetensors, file_of(header, content, length=length))

    refused("whose end is missing", sound, content[:-4])
    refused("with an array whose shape needs another number of bytes", {"a": first, "b": second | {"shape": [3, 3]}})
    refused('with an array of the type "F8_E4M3"', {"a": first, "b": second | {"dtype": "F8_E4M3"}})
    refused("that says its header is longer than the file", sound, content, length=10**6)
    overlapping = {"b": entry("F32", [3, 2], size - 4, 2 * size - 4), "a": first}
    refused("in which two arrays share bytes", overlapping, content[:-4])
    later = {"b": entry("F32", [3, 2], size + 4, 2 * size + 4), "a": first}
    refused("with four bytes between two arrays that belong to none", later, content[:4] + content)
    third = entry("F32", [1], 2 * size, 2 * size + 4)
    both = {"c": third, "b": overlapping["b"], "a": first}
    refused("in which two arrays share as many bytes as nobody else has", both, content + content[:4])
    refused("with bytes behind the last array", sound, content + content[:8])


# ---- Task 2: from Keras's axes to ours


def layouts(student: Student, rng: np.random.Generator) -> None:
    """Kernels by the loops of the definition; a dense layer by its results on a map, in both orders."""
    KH, KW, C, F = sizes(rng, 2, 3, 4, 5)
    kernel = rng.standard_normal((KH, KW, C, F)).astype(np.float32)
    expected = np.empty((F, C, KH, KW), np.float32)
    for i, j, c, f in np.ndindex(kernel.shape):
        expected[f, c, i, j] = kernel[i, j, c, f]
    expect_close("w of conv_from_keras", student.conv_from_keras(kernel), expected)

    expected = np.empty((C * F, 1, KH, KW), np.float32)
    for i, j, c, m in np.ndindex(kernel.shape):
        expected[c * F + m, 0, i, j] = kernel[i, j, c, m]
    expect_close("w of depthwise_from_keras", student.depthwise_from_keras(kernel), expected)
    one = rng.standard_normal((KH, KW, C, 1)).astype(np.float32)
    by_channel = np.stack([one[:, :, c, 0] for c in range(C)])[:, None]
    expect_close("w of depthwise_from_keras, one kernel a channel,", student.depthwise_from_keras(one), by_channel)

    D, outputs = sizes(rng, 5, 7)
    rows = rng.standard_normal((D, outputs)).astype(np.float32)
    expect_close("w of dense_from_keras, chw None,", student.dense_from_keras(rows, None), np.array(rows.T, order="C"))
    C, H, W = sizes(rng, 2, 3, 4)
    rows = rng.standard_normal((C * H * W, outputs)).astype(np.float32)
    expected = np.empty((outputs, C * H * W), np.float32)
    for c, i, j in np.ndindex(C, H, W):
        expected[:, (c * H + i) * W + j] = rows[(i * W + j) * C + c]
    expect_close(f"w of dense_from_keras, chw {(C, H, W)},", student.dense_from_keras(rows, (C, H, W)), expected)


# ---- Task 3: a batch norm by three names


def norm_arrays(rng: np.random.Generator, C: int) -> dict[str, np.ndarray]:
    return {
        "gamma": rng.uniform(0.5, 2, C),
        "beta": rng.uniform(-2, -0.5, C),
        "mean": rng.uniform(2, 4, C),
        "var": rng.uniform(5, 9, C),
    }


def in_words_of(source: str, name: str, true: Mapping[str, np.ndarray], factor: float, axes: bool) -> dict[str, np.ndarray]:
    """The arrays under the source's names, as it keeps them."""
    if source == "pytorch":
        keys = {"gamma": "weight", "beta": "bias", "mean": "running_mean", "var": "running_var"}
        return {f"{name}.{keys[key]}": array for key, array in true.items()}
    if source == "keras":
        keys = {"gamma": "gamma", "beta": "beta", "mean": "moving_mean", "var": "moving_variance"}
        return {f"{name}/{keys[key]}": array for key, array in true.items()}

    def blob(array: np.ndarray) -> np.ndarray:
        return array.reshape(1, 1, 1, -1) if axes else array

    sums = {"0": blob(true["mean"] * factor), "1": blob(true["var"] * factor), "2": blob(np.array([factor]))}
    scale = {"0": blob(true["gamma"]), "1": blob(true["beta"])}
    return {f"bn{name}/{k}": array for k, array in sums.items()} | {f"scale{name}/{k}": array for k, array in scale.items()}


def norms(student: Student, rng: np.random.Generator) -> None:
    """Each source with and without a bias below; other layers lie in the same file."""
    names = {"pytorch": "layer1.0.bn1", "keras": "conv2_block1_1_bn", "caffe": "2a_branch1"}
    for source, name in names.items():
        cases = [(False, (), 1.0), (True, (), 1.0)]
        if source == "keras":
            cases += [(False, ("gamma",), 1.0), (True, ("beta",), 1.0), (False, ("gamma", "beta"), 1.0)]
        if source == "caffe":
            cases += [(False, (), 0.0)]
        for with_bias, without, weight in cases:
            C = int(rng.integers(3, 7))
            true = norm_arrays(rng, C)
            factor = rng.uniform(20, 90) if source == "caffe" else 1.0
            decoy = in_words_of(source, name.replace("1", "3"), norm_arrays(rng, C + 1), 3.0, axes=False)
            kept = {key: array for key, array in true.items() if key not in without}
            arrays = decoy | in_words_of(source, name, kept, factor, axes=with_bias)
            if weight == 0:
                arrays[f"bn{name}/2"] = np.zeros(1)
                true |= {"mean": np.zeros(C), "var": np.zeros(C)}
            bias = rng.uniform(0.5, 1.5, C) if with_bias else None
            left_out = f" without {' and '.join(without)}" if without else ""
            nothing_yet = ", bn/2 is 0" if weight == 0 else ""
            subject = f"{source}{left_out}{nothing_yet}, {'with' if with_bias else 'without'} a bias below"
            expected = {
                "gamma": np.ones(C) if "gamma" in without else true["gamma"],
                "beta": np.zeros(C) if "beta" in without else true["beta"],
                "running mean": true["mean"] if bias is None else true["mean"] - bias,
                "running variance": true["var"],
            }
            got = student.batch_norm_of(arrays, name, source, bias)
            got = expect_several("batch_norm_of", got, "gamma, beta, running_mean, running_var")
            for (key, right), array in zip(expected.items(), got, strict=True):
                expect_close(f"{key} ({subject})", array, right)


# ---- Task 4: by name and by shape, or not at all

NAMES = {  # ours -> theirs
    "conv1.w": "conv1.weight",
    "conv1.b": "conv1.bias",
    "norm1.gamma": "bn1.weight",
    "norm1.beta": "bn1.bias",
    "deep.w": "mode.module.weight",
    "old.b": "old.num_batches_tracked.bias",
    "fc.w": "fc.weight",
}


def network_of(rng: np.random.Generator) -> dict[str, tuple[int, ...]]:
    """A shape for each of our arrays; two of them have the same."""
    F, C, KH, KW, K = sizes(rng, 2, 3, 4, 5, 6)
    return {
        "conv1.w": (F, C, KH, KW),
        "conv1.b": (F,),
        "norm1.gamma": (F,),
        "norm1.beta": (F,),
        "deep.w": (K, F),
        "old.b": (K,),
        "fc.w": (K, C),
    }


def expect_lists(got: Sequence[Any], expected: Mapping[str, list[str]], where: str) -> None:
    for (kind, right), names in zip(expected.items(), got, strict=True):
        if not isinstance(names, (list, tuple)):
            raise Mistake(f"{kind} must be a list of names, got a {type(names).__name__}")
        if list(names) != right:
            hint = " Its names are right, and not sorted." if sorted(map(str, names)) == right else ""
            raise Mistake(f"{kind} ({where}) must be {right}, got {list(names)}.{hint}")


def matching(student: Student, rng: np.random.Generator) -> None:
    """All there; all with a prefix; only some with it; and then one of each thing that can be wrong."""
    shapes = network_of(rng)

    def made(prefix: str = "", leave: Sequence[str] = ()) -> dict[str, np.ndarray]:
        order = [ours for ours in rng.permutation(list(NAMES)[::-1]) if ours not in leave]
        return {prefix + NAMES[ours]: rng.standard_normal(shapes[ours]).astype(np.float16) for ours in order}

    def judge(arrays: Mapping[str, np.ndarray], where: str, names: Mapping[str, str] = NAMES, **lists: list[str]) -> None:
        prefix = "module." if all(name.startswith("module.") for name in arrays) else ""
        got = expect_several("match", student.match(arrays, names, shapes), "found, missing, unexpected, misshapen")
        lists = {"missing": [], "unexpected": [], "misshapen": []} | lists
        if not isinstance(got[0], Mapping):
            raise Mistake(f"found must be a dict of arrays by our names, got a {type(got[0]).__name__}")
        right = sorted(set(names) - set(lists["missing"]) - set(lists["misshapen"]))
        if sorted(map(str, got[0])) != right:
            raise Mistake(f"found ({where}) must have {right}, got {sorted(map(str, got[0]))}")
        for ours in right:
            expect_close(f"found['{ours}'] ({where})", got[0][ours], arrays[prefix + names[ours]].astype(np.float32))
            if np.asarray(got[0][ours]).dtype != np.float32:
                raise Mistake(f"found['{ours}'] must be float32, got {np.asarray(got[0][ours]).dtype}")
        expect_lists(got[1:], lists, where)

    judge(made(), "all arrays are there")
    judge(made("module."), 'all names begin with "module."')
    some = made(leave=["fc.w"])
    some["module.fc.weight"] = rng.standard_normal(shapes["fc.w"]).astype(np.float16)
    judge(some, 'one name begins with "module."', NAMES | {"fc.w": "module.fc.weight"})

    wrong = made("module.", leave=["norm1.gamma", "conv1.b"])
    wrong["module.fc.weight"] = wrong["module.fc.weight"].T.copy()
    wrong["module.mode.module.weight"] = np.ones(7, np.float16)
    wrong["module.bn1.bias"] = np.ones(1, np.float16)
    wrong["module.bn1.num_batches_tracked"] = np.array(4, np.int64)
    wrong["module.second.weight"], wrong["module.extra.bias"] = np.ones(3, np.float32), np.ones(2, np.float32)
    judge(
        wrong,
        "two arrays are missing, three have another shape, two are too many, one is a counter",
        missing=["conv1.b", "norm1.gamma"],
        unexpected=["module.extra.bias", "module.second.weight"],
        misshapen=["deep.w", "fc.w", "norm1.beta"],
    )
    also = made()
    also["stem.num_batches_tracked.weight"] = np.ones(2, np.float32)
    judge(also, "a name has the counters' in its middle", unexpected=["stem.num_batches_tracked.weight"])


# ---- Task 5: from a picture to an input


def a_picture(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """A coloured picture without sharp edges: a pixel's shift shows, a rounding of the filter does not."""
    few = rng.integers(0, 256, (8, 9, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(few).resize((width, height), Image.Resampling.BICUBIC)).copy()


def sides(rng: np.random.Generator, resize: int, low: float, high: float) -> tuple[int, int]:
    """A short and a long side. The long one becomes a number of pixels whose fraction is from low to high, and whose margins
    are halves."""
    while True:
        short = int(rng.integers(31, 45))
        long = int(rng.integers(short + 8, 2 * short))
        if low < (resize * long / short) % 1 < high and (resize * long // short - resize) % 2 == 0:
            return short, long


def preparing(student: Student, rng: np.random.Generator) -> None:
    """Pictures of all forms, then their numbers. All answers are there before the first is judged: many mistakes give the same
    on some pictures."""
    size = int(rng.integers(14, 18))
    cases = []
    for halves in (5, 3):  # margins of 2.5 and of 1.5
        resize = size + halves
        for fraction in ((0.15, 0.4), (0.6, 0.9)):
            short, long = sides(rng, resize, *fraction)
            cases += [(height, width, resize) for height, width in ((short, long), (long, short), (short, short))]
    cases += [(resize, resize + 4, resize), (*sides(rng, size, 0.6, 0.9), size)]
    pictures = [a_picture(rng, height, width) for height, width, _ in cases]
    answers = [student.fit(picture, resize, size) for picture, (*_, resize) in zip(pictures, cases, strict=True)]
    for picture, (*_, resize), got in zip(pictures, cases, answers, strict=True):
        expect_fitted(got, picture, resize, size)

    N, H, W = sizes(rng, 2, 4, 5)
    pictures = rng.integers(0, 256, (N, H, W, 3), dtype=np.uint8)
    pictures[0, 0, 0], pictures[0, 0, 1] = 0, 255
    mean, std = rng.permutation([0.3, 0.4, 0.55]), rng.permutation([0.2, 0.25, 0.35])
    mean, std = tuple(map(float, mean)), tuple(map(float, std))
    both = {order: student.normalise(pictures, order, mean, std) for order in ("RGB", "BGR")}
    for order, got in both.items():
        expected = np.empty((N, 3, H, W))
        for c, colour in enumerate(order):
            expected[:, c] = (pictures[..., "RGB".index(colour)] / 255 - mean[c]) / std[c]
        expect_close(f"x of normalise, order {order},", got, expected, tolerance=1e-5)
        if np.asarray(got).dtype != np.float32:
            raise Mistake(f"x of normalise must be float32, got {np.asarray(got).dtype}")


def expect_fitted(got: Any, picture: np.ndarray, resize: int, size: int) -> None:
    height, width = picture.shape[:2]
    short = min(height, width)
    tall, wide = resize * height // short, resize * width // short
    whole = np.asarray(Image.fromarray(picture).resize((wide, tall), Image.Resampling.BICUBIC))
    top, left = round((tall - size) / 2), round((wide - size) / 2)
    expected = whole[top : top + size, left : left + size]
    subject = f"fit of a picture of {height} x {width} (H x W), resize {resize}, size {size},"
    if not isinstance(got, np.ndarray) or got.shape != expected.shape:
        what = f"shape {got.shape}" if isinstance(got, np.ndarray) else f"a {type(got).__name__}"
        raise Mistake(f"{subject} must be an array of shape {expected.shape}, got {what}")
    if got.dtype != np.uint8:
        raise Mistake(f"{subject} must be uint8, got {got.dtype}")
    apart = np.abs(got.astype(np.int64) - expected)
    if (apart > 2).mean() > 0.01:  # who resamples the crop alone, or the rows first, rounds in another way
        i, j, c = (int(n) for n in np.unravel_index(apart.argmax(), apart.shape))
        raise Mistake(
            f"{int((apart > 2).sum())} of {apart.size} numbers of {subject} are wrong by more than 2; the worst is "
            f"[{i}, {j}, {c}]: got {got[i, j, c]}, expected {expected[i, j, c]}"
        )


# ---- Task 6: from scores to names

CLASSES = ("tench", "goldfish", "shark", "ray", "cock", "hen", "ostrich", "finch", "robin", "jay")


def ranking(student: Student, rng: np.random.Generator) -> None:
    """Scores as they come; the same for two classes; very large ones; more asked for than there are."""
    N, k = sizes(rng, 2, 3)
    K = int(rng.integers(6, 9))
    names = [str(name) for name in rng.permutation(CLASSES)[:K]]
    scores = spread(rng, N, K)
    ranked(student, scores, names, k, "scores of about 0")
    tied = spread(rng, N, K)
    a, b = sorted(int(c) for c in rng.choice(K, 2, replace=False))
    tied[:, a] = tied[:, b] = tied.max(axis=1)
    ranked(student, tied, names, k, f"classes {a} and {b} have the same score")
    ranked(student, 1000 + spread(rng, N, K), names, k, "scores of about 1000")
    ranked(student, spread(rng, N, K), names, K + 2, f"k larger than K = {K}")
    ranked(student, spread(rng, 1, K), names, 1, "one picture, k = 1")


def spread(rng: np.random.Generator, N: int, K: int) -> np.ndarray:
    """Scores that are well apart, so that no rounding changes their order."""
    return np.stack([rng.permutation(K) * 0.7 + rng.uniform(0, 0.3, K) - 2 for _ in range(N)])


def ranked(student: Student, scores: np.ndarray, names: list[str], k: int, what: str) -> None:
    p = softmax(scores)
    rows = student.top_classes(scores, names, k)
    N, K = scores.shape
    if not isinstance(rows, (list, tuple)) or len(rows) != N:
        got = f"{len(rows)} of them" if isinstance(rows, (list, tuple)) else f"a {type(rows).__name__}"
        raise Mistake(f"top_classes() must return {N} lists, one a picture ({what}); got {got}")
    for n, row in enumerate(rows):
        best = sorted(range(K), key=lambda c, n=n: (-scores[n, c], c))[:k]
        if not isinstance(row, (list, tuple)) or len(row) != len(best):
            got = f"{len(row)} items" if isinstance(row, (list, tuple)) else f"a {type(row).__name__}"
            raise Mistake(f"picture {n} ({what}): expected a list of {len(best)} pairs (name, p), got {got}")
        if any(not isinstance(pair, (list, tuple)) or len(pair) != 2 for pair in row):
            raise Mistake(f"picture {n} ({what}): expected pairs (name, p), got {row[0]!r}")
        listed, right = [pair[0] for pair in row], [names[c] for c in best]
        if listed != right:
            raise Mistake(
                f"picture {n} ({what}): expected the classes {right}, got {listed}; the scores are {in_text(scores[n])}"
            )
        for c, (_, probability) in zip(best, row, strict=True):
            subject = f"the probability of {names[c]!r}, picture {n} ({what})"
            expect_close(subject, expect_number(subject, probability), np.float64(p[n, c]))


def in_text(row: np.ndarray) -> str:
    return ", ".join(f"{score:.2f}" for score in row)


# ---- all tasks

TASKS = [
    Task(
        "a weights file, read by hand",
        reading,
        functions=("numbers", "read_safetensors"),
        slips=(*NUMBERS_SLIPS, *READER_SLIPS),
        hints=(
            "np.frombuffer makes a row of numbers of bytes, in any type and order of bytes; reshape does the rest, and refuses "
            "what does not fit. json.loads takes the bytes of the header as they are.",
            "A bfloat16 is the upper half of a float32: as uint32, moved up by 16 places, and looked at as float32. A file is "
            "sound if its arrays, in the order of their places, begin each where the one before ends, from 0 to the end.",
            '(np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32); int.from_bytes(data[:8], "little"); the '
            "numbers are data[8 + length :]; for begin, end in sorted(data_offsets of all): begin must be the end before.",
        ),
        points=4,
    ),
    Task(
        "from Keras's axes to ours",
        layouts,
        functions=("conv_from_keras", "depthwise_from_keras", "dense_from_keras"),
        slips=LAYOUT_SLIPS,
        hints=(
            "Write down the axes of both, and for each of ours which one of theirs it is: that is what transpose wants.",
            "reshape joins or splits axes that are neighbours, and moves no number; transpose moves axes. A flattened map is "
            "given its three axes again before these can be turned.",
            "kernel.transpose(3, 2, 0, 1); depthwise transpose(2, 3, 0, 1), then reshape(C * M, 1, KH, KW); dense "
            "kernel.reshape(H, W, C, -1).transpose(2, 0, 1, 3), back to (D, O), then .T. And .copy().",
        ),
        points=2,
    ),
    Task(
        "a batch norm by three names",
        norms,
        functions=("batch_norm_of",),
        slips=NORM_SLIPS,
        hints=(
            "Three cases, one for each source, and in each the four arrays by their names; the bias comes last, for all three.",
            "Of Caffe's, divide first: what is summed up is no mean yet. The norm computes with x + b - mean.",
            'f"{name}.running_mean"; arrays.get(f"{name}/gamma", np.ones_like(mean)); arrays[f"bn{name}/0"].ravel() / factor, '
            "if factor is not 0; then mean - bias.",
        ),
        points=2,
    ),
    Task(
        "by name and by shape, or not at all",
        matching,
        functions=("match",),
        slips=MATCH_SLIPS,
        hints=(
            "First find out whether there is a prefix: look at all names. Then a loop over our names fills three of the four.",
            "Sets make it short: what is asked for, what is there, what is found. removeprefix() takes off just these letters.",
            'all(name.startswith("module.") for name in arrays); wanted = {ours: prefix + theirs ...}; unexpected is '
            "set(arrays) - set(wanted.values()), without the counters.",
        ),
        points=2,
    ),
    Task(
        "from a picture to an input",
        preparing,
        functions=("fit", "normalise"),
        slips=(*FIT_SLIPS, *NORMALISE_SLIPS),
        hints=(
            "Draw a picture of 40 x 60 with resize 20 and size 16: how large is it after the first step, and where does the "
            "crop begin?",
            "Pillow's sizes are (width, height), shapes are (height, width). mean and std belong to the network's channels: "
            "turn the picture's round before you use them.",
            "Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC), then [top : top + size, left : left + "
            "size]. pictures[..., ::-1] for BGR; (v / 255 - mean) / std; transpose(0, 3, 1, 2) as float32.",
        ),
        points=3,
    ),
    Task(
        "from scores to names",
        ranking,
        functions=("top_classes",),
        slips=TOP_SLIPS,
        hints=(
            "Softmax first, along the classes; then the order of each row, the largest first; then names.",
            'np.argsort(-p) has the largest first, and with kind="stable" equal ones stay in their order.',
            'np.argsort(-p, axis=1, kind="stable")[:, :k], and a list of (names[c], float(p[n, c])) for each row.',
        ),
        points=2,
    ),
]

# ---- all of them together: a real network, out of a file, asked about photographs


def finale(functions: dict, out: Path) -> None:
    """A pretrained network goes through a file, and the student's functions ask it about photographs, beside the engine.

    EfficientNet-Lite0, from the package that carries it, is written by the engine's writer to a safetensors file, in Keras's
    layout and with Keras's names for its batch norms. The student's functions read it into a network with random weights.
    """
    from matplotlib.figure import Figure  # slow to load, and no check needs it

    import minicnn
    from minicnn.errors import WeightsError
    from minicnn.models import ARCHITECTURES
    from minicnn.models.strict import arrays_of, fill
    from minicnn.pretrained.writers import write_safetensors

    try:
        model = minicnn.load("efficientnet_lite0")
    except WeightsError:
        model = minicnn.load("lenet5_mnist")
    pictures, labels, what = finale_pictures(model)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "weights.safetensors"
        write_safetensors(file, keras_arrays(model), {"written_by": "the finale of lesson 10"})
        size = file.stat().st_size
        arrays = functions["read_safetensors"](file.read_bytes())
    network = ARCHITECTURES[model.architecture](rng=0)
    converted = student_arrays(functions, network, arrays)
    shapes = {name: array.shape for name, array in arrays_of(network).items()}
    found, missing, unexpected, misshapen = functions["match"](converted, {name: name for name in shapes}, shapes)
    if missing or unexpected or misshapen:
        print(f"of the file's arrays {missing + unexpected + misshapen} do not fit; the network is left as it was")
        return
    fill(network, found, str(file))

    x = model.preprocess(pictures)
    answers, expected = scores_of(network, student_inputs(functions, model, pictures)), scores_of(model, x)
    same_input = float(np.abs(scores_of(network, x) - expected).max())
    below = "the engine's answer" if labels is None else "the truth"
    if labels is None:
        labels = expected.argmax(axis=1)
        found_out = f"on {np.mean(answers.argmax(axis=1) == labels):.1%} of {len(labels)} {what} your answer is the engine's"
    else:
        yours, ours = (float((scores.argmax(axis=1) == labels).mean()) for scores in (answers, expected))
        found_out = f"{yours:.1%} of {len(labels)} {what} right with your preprocessing, {ours:.1%} with the engine's own"
    agreement = f"no score differs by more than {same_input:.0e}" if same_input else "all scores are the same to the bit"
    named = functions["top_classes"](answers, model.classes, 3)

    shown = np.linspace(0, len(pictures) - 1, 6).astype(int)
    figure = Figure(figsize=(11, 2.9), dpi=110, layout="tight")
    for ax, n in zip(figure.subplots(1, 6), shown, strict=True):
        ax.imshow(pictures[n])
        ax.set_title("\n".join(f"{name[:22]} {p:.0%}" for name, p in named[n]), fontsize=7)
        ax.set_xlabel(model.classes[labels[n]][:26], fontsize=7)
        ax.set(xticks=[], yticks=[])
    figure.suptitle(f"Your reader, your preprocessing, your names (below: {below})", fontsize=9)
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "finale.png")
    print(
        f"{model.architecture} from a safetensors file of {size / 1e6:.1f} MB ({len(arrays)} arrays in Keras's layout), "
        f"written by minicnn and read by your functions: {found_out}; given the same inputs, {agreement}. "
        f"Figure: {out / 'finale.png'}"
    )


def is_depthwise(layer: Conv2d) -> bool:
    return layer.groups == layer.in_channels > 1


def flattened_map(model: Model) -> tuple[int, int, int] | None:
    """(C, H, W) of the map that is flattened for the first fully connected layer; None if there is none."""
    shape: tuple[int, ...] = (1, *model.input_shape)
    for layer in model.layers.values():
        if isinstance(layer, Flatten):
            return shape[1:]
        shape = layer.output_shape(shape)
    return None


def keras_arrays(model: Model) -> dict[str, np.ndarray]:
    """The arrays of a model as Keras keeps them: axes of kernels, order of flattened inputs, names of batch norms."""
    arrays: dict[str, np.ndarray] = {}
    chw = flattened_map(model)
    for path, layer in model.walk():
        if isinstance(layer, Conv2d):
            w = layer.w.value
            if is_depthwise(layer):
                w = w.reshape(layer.in_channels, -1, *w.shape[2:]).transpose(2, 3, 0, 1)
                arrays[f"{path}/depthwise_kernel"] = w
            else:
                arrays[f"{path}/kernel"] = w.transpose(2, 3, 1, 0)
        elif isinstance(layer, Linear):
            w = layer.w.value
            arrays[f"{path}/kernel"] = w.reshape(len(w), *chw).transpose(2, 3, 1, 0).reshape(-1, len(w)) if chw else w.T
            chw = None
        elif isinstance(layer, BatchNorm2d):
            arrays |= {f"{path}/gamma": layer.gamma.value, f"{path}/beta": layer.beta.value}
            arrays |= {f"{path}/moving_mean": layer.running_mean, f"{path}/moving_variance": layer.running_var}
        if isinstance(layer, (Conv2d, Linear)) and layer.b is not None:
            arrays[f"{path}/bias"] = layer.b.value
    return arrays


def student_arrays(functions: dict, network: Model, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays of the file under our names and in our layout, by the student's functions."""
    converted: dict[str, np.ndarray] = {}
    chw = flattened_map(network)
    for path, layer in network.walk():
        if isinstance(layer, Conv2d) and is_depthwise(layer):
            converted[f"{path}.w"] = functions["depthwise_from_keras"](arrays[f"{path}/depthwise_kernel"])
        elif isinstance(layer, Conv2d):
            converted[f"{path}.w"] = functions["conv_from_keras"](arrays[f"{path}/kernel"])
        elif isinstance(layer, Linear):
            converted[f"{path}.w"] = functions["dense_from_keras"](arrays[f"{path}/kernel"], chw)
            chw = None
        elif isinstance(layer, BatchNorm2d):
            four = functions["batch_norm_of"](arrays, path, "keras", None)
            converted |= dict(zip((f"{path}.{name}" for name in layer.parameters() | layer.state()), four, strict=True))
        if isinstance(layer, (Conv2d, Linear)) and layer.b is not None:
            converted[f"{path}.b"] = arrays[f"{path}/bias"]
    return converted


def student_inputs(functions: dict, model: Model, pictures: Sequence[np.ndarray]) -> np.ndarray:
    """The network's input by the student's preprocessing; of a network for grey pictures the first of three equal channels."""
    wanted = model.preprocessing
    size = wanted.size[0]
    fitted = np.stack([functions["fit"](picture, wanted.resize or size, size) for picture in pictures])
    mean, std = ([value / 255 for value in np.broadcast_to(values, 3)] for values in (wanted.mean, wanted.std))
    return functions["normalise"](fitted, "RGB", mean, std)[:, : model.input_shape[0]]


def scores_of(network: Model, x: np.ndarray) -> np.ndarray:
    from minicnn.inference import fuse, infer

    return infer(fuse(network), len(x), lambda i: np.ascontiguousarray(x[i]), label="pictures")


def finale_pictures(model: Model) -> tuple[list[np.ndarray], np.ndarray | None, str]:
    """Pictures, uint8 (H, W, 3) each, the numbers of their classes if somebody knows them, and what they are."""
    from matplotlib.cbook import get_sample_data

    from minicnn.course.workbench import drawn_digits, find_data
    from minicnn.data.pictures import read_picture

    rng = np.random.default_rng(10)
    if model.architecture == "lenet5":
        digits, labels = drawn_digits(300, rng)
        return [np.repeat(digit[..., None], 3, axis=2) for digit in digits], labels, "drawn digits"
    if file := find_data("imagenet-250.zip"):
        with zipfile.ZipFile(file) as archive:
            names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))[::2]
            pictures = [read_picture(archive.read(name), name=name) for name in names]
        return pictures, np.array([int(Path(name).name.split("_")[0]) for name in names]), "pictures of ImageNet"
    photo = read_picture(get_sample_data("grace_hopper.jpg", asfileobj=False))
    crops = []
    for _ in range(60):
        height, width = (int(n * rng.uniform(0.6, 0.95)) for n in photo.shape[:2])
        top, left = (
            int(rng.integers(0, whole - part + 1)) for whole, part in zip(photo.shape[:2], (height, width), strict=True)
        )
        crops.append(photo[top : top + height, left : left + width].copy())
    return crops, None, "crops of matplotlib's photograph of Grace Hopper"


FINALE = finale
