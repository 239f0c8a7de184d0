# %% [markdown]
# # Lesson 10. Pretrained weights
#
# A file of weights is a list of arrays. What they mean is, for the most part, not in it: which array belongs to which layer,
# what its axes count, how the layers between them pad and divide, what a picture must be turned into before the first of them
# sees it, and what the thousand scores at the end are called. Whoever takes a network from somewhere else has to get all of it
# right. And here is the trouble: most mistakes raise no error. The network answers all the same, only worse.
#
# **Before**: convolution and its layout (lesson 3), batch normalisation in training and evaluation (lesson 5), architectures
# (lesson 9).
#
# **After**: you can read a weights file byte by byte, know the formats in which networks are handed on, bring arrays from one
# layout to another, and prepare a picture as a network was trained to see it. You have measured what it costs to get a detail
# wrong, and you know why a file of weights from a stranger can be a program, and what to do about it.
#
# Run it (`minicnn lesson 10`, with `--quick` for a first look), or open it as a notebook; figures go to `out/` beside it. Then
# do the exercise: `minicnn check 10`.

# %%
import io
import json
import pickle
import pickletools
import struct
import sys
import tempfile
import zipfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import h5py
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.cbook import get_sample_data
from matplotlib.patches import Rectangle
from PIL import Image
from tqdm import tqdm

import minicnn
from minicnn.course.workbench import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    QUICK,
    claim,
    drawn_digits,
    find_data,
    picture_grid,
    print_claims,
    save,
    section,
)
from minicnn.data import load_mnist
from minicnn.data.pictures import read_picture
from minicnn.errors import WeightsError
from minicnn.inference import fuse, infer
from minicnn.layers import BatchNorm2d, Conv2d, ReLU, ReLU6
from minicnn.losses import softmax
from minicnn.models.strict import arrays_of
from minicnn.pretrained import read_weights
from minicnn.pretrained.convert import convert
from minicnn.pretrained.entries import ENTRIES
from minicnn.pretrained.export import export
from minicnn.pretrained.registry import file_of
from minicnn.pretrained.writers import write_safetensors
from minicnn.pretrained.writers.protobuf_wire import content, message, text, whole_number

HERE = Path(globals().get("__file__", "lesson.py")).resolve().parent
rng = np.random.default_rng(10)
FILES = tempfile.TemporaryDirectory(prefix="lesson-10-")  # for the files that are written here
FOLDER = Path(FILES.name)

# %% [markdown]
# ## 1. A file, byte by byte
#
# We begin with the plainest format there is, safetensors, and with a network that comes with this project: LeNet-5, trained on
# MNIST. A safetensors file is
#
# - eight bytes: a whole number $N$, little-endian, that is with the byte that counts least in front;
# - $N$ bytes of JSON, the *header*: for each array its name, its type, its shape, and where its bytes are;
# - the numbers of all arrays, one array behind the other, and nothing else.
#
# Nothing in it can be run, and nothing is compressed: a program can fetch one array without reading the others.

# %%
section("1. A file, byte by byte")
lenet = minicnn.load("lenet5_mnist")
LAYERS = {"conv1": "c1", "conv2": "c3", "fc1": "c5", "fc2": "f6", "fc3": "output"}  # what PyTorch's tutorials call them


def in_pytorch_layout(model):
    """LeNet's arrays under the names, and in the shapes, that they have in most PyTorch code: c5 is fully connected there."""
    arrays = {}
    for theirs, ours in LAYERS.items():
        layer = model.layers[ours]
        w = layer.w.value
        arrays[f"{theirs}.weight"] = w.reshape(len(w), -1) if theirs == "fc1" else w
        arrays[f"{theirs}.bias"] = layer.b.value
    return arrays


arrays = in_pytorch_layout(lenet)
path = FOLDER / "lenet.safetensors"
write_safetensors(path, arrays, {"licence": "MIT"})
data = path.read_bytes()
length = int.from_bytes(data[:8], "little")
header = json.loads(data[8 : 8 + length])
print(f"{len(data):,} bytes; the first eight are {data[:8].hex(' ')}, the number {length}; then the header:")
print(f"{data[8 : 8 + 210].decode()} ...")
entry = header["conv1.bias"]
begin, end = (8 + length + offset for offset in entry["data_offsets"])
print(f"conv1.bias: {entry}; its bytes {begin} to {end} begin with {data[begin : begin + 8].hex(' ')}")
by_hand = np.frombuffer(data[begin:end], "<f4").reshape(entry["shape"])
print(f"as numbers {by_hand}; the same as in the network: {np.array_equal(by_hand, arrays['conv1.bias'])}")

# %% [markdown]
# A reader believes nothing that a file says of itself. What is cut off, what overlaps, what is too long for the file must be
# noticed *before* memory is asked for or numbers are used.

# %%


def refusal(path):
    """What the engine's reader says of a file; empty if it reads it."""
    try:
        read_weights(path)
    except WeightsError as error:
        return str(error)
    return ""


def with_header(change):
    """The file with something else in its header."""
    changed = json.loads(json.dumps(header))
    change(changed)
    words = json.dumps(changed, separators=(",", ":")).encode()
    return len(words).to_bytes(8, "little") + words + data[8 + length :]


bad = {
    "cut off": data[:-1000],
    "too long": data + b"1234",
    "a header longer than the file": (10**9).to_bytes(8, "little") + data[8:],
    "two arrays in one place": with_header(lambda h: h["fc3.bias"].update(data_offsets=[0, 40])),
    "a shape too large": with_header(lambda h: h["fc3.weight"].update(shape=[10, 85])),
    "bytes from before the file": with_header(lambda h: h["conv1.weight"].update(data_offsets=[-600, 0])),
}
refused = {}
for title, content_of_file in bad.items():
    broken = FOLDER / "broken.safetensors"
    broken.write_bytes(content_of_file)
    refused[title] = refusal(broken)
    print(f"{title:<30} {refused[title].removeprefix(str(broken) + ' ').split('. ')[0]}")
claim(
    "A safetensors file that is cut off, too long, or wrong about its own arrays is refused, each time.",
    f"{sum(map(bool, refused.values()))} of {len(bad)} refused",
    all(refused.values()),
)

# %% [markdown]
# ### Sixteen bits
#
# Networks are often handed on in 16 bits instead of 32: half the size, and hardly a difference in what they answer. There are
# two kinds. Both have a sign, an exponent $e$ and a fraction $f$ of $m$ bits, and stand for
#
# $$\pm 2^{e - \text{bias}} \, (1 + f / 2^m),$$
#
# with a bias of 127 where the exponent has 8 bits, and of 15 where it has 5.
#
# | | sign | exponent | fraction $m$ | largest | smallest normal number | rounded by at most |
# | --- | --- | --- | --- | --- | --- | --- |
# | float32 | 1 | 8 | 23 | $3 \cdot 10^{38}$ | $10^{-38}$ | $2^{-24}$ of the number |
# | float16 | 1 | 5 | 10 | 65504 | $6 \cdot 10^{-5}$ | $2^{-11}$ |
# | bfloat16 | 1 | 8 | 7 | $3 \cdot 10^{38}$ | $10^{-38}$ | $2^{-8}$ |
#
# (The smallest exponent stands for numbers with fewer digits and for 0, the largest for infinity and "not a number".)
#
# bfloat16 is the upper half of a float32, rounded. NumPy does not know the type, so a reader adds the lower half: two zero
# bytes, which in a little-endian file belong in front of the other two. float16 is eight times as fine, but its range is small:
# numbers below $6 \cdot 10^{-5}$ lose digits one after another, and those below $3 \cdot 10^{-8}$ become 0.
#
# Here are both, on the weights of EfficientNet-Lite0, which are real ones: a PyTorch file that a Python package carries.

# %%


def to_bfloat16(array):
    """float32, rounded to the nearest bfloat16; of two equally near ones that whose last bit is 0."""
    bits = np.ascontiguousarray(array, np.float32).view(np.uint32).astype(np.uint64)
    bits = bits + 0x7FFF + (bits >> 16 & 1)
    return (bits & 0xFFFF0000).astype(np.uint32).view(np.float32)


def to_float16(array):
    return array.astype(np.float16).astype(np.float32)


try:
    model = minicnn.load("efficientnet_lite0")
except WeightsError as error:
    sys.exit(f"This lesson needs the pretrained network. {error}")
weights = arrays_of(model)
everything = np.concatenate([array.ravel() for array in weights.values()])
everything = everything[everything != 0]
largest = np.abs(everything).max()
print(f"\nEfficientNet-Lite0: {len(weights)} arrays, {everything.size:,} numbers that are not 0, up to {largest:.0f}")
rounding = {}
for title, rounded in (("float16", to_float16), ("bfloat16", to_bfloat16)):
    error = np.abs(rounded(everything) - everything) / np.abs(everything)
    rounding[title] = float(np.median(error))
    print(f"{title:<9} relative error: median {rounding[title]:.1e}, largest {error.max():.1e}")
print(f"{np.mean(np.abs(everything) < 2.0**-14):.2%} of them are below 2^-14, where float16 loses digits")

figure, ax = plt.subplots(figsize=(9, 2.6))
value = np.float32(-0.1)
for row, (title, bits, (e, m)) in enumerate(
    (
        ("float32", int(value.view(np.uint32)), (8, 23)),
        ("float16", int(np.float16(value).view(np.uint16)), (5, 10)),
        ("bfloat16", int(to_bfloat16(value[None]).view(np.uint32)[0] >> 16), (8, 7)),
    )
):
    for place in range(1 + e + m):
        color = ORANGE if place == 0 else GREEN if place <= e else BLUE
        ax.add_patch(Rectangle((place, -row), 0.92, 0.8, color=color, alpha=0.35, lw=0))
        ax.text(place + 0.46, -row + 0.4, str(bits >> (e + m - place) & 1), ha="center", va="center", fontsize=8)
    ax.text(-0.4, -row + 0.4, title, ha="right", va="center")
ax.set(xlim=(-4.5, 32.5), ylim=(-2.3, 1.2), title=f"{value:g} in three types: sign, exponent, fraction")
ax.axis("off")
save(figure, HERE, "bits")

# %% [markdown]
# ## 2. The formats
#
# | format | begins with | names | kernels | can it run code? |
# | --- | --- | --- | --- | --- |
# | safetensors | a length, then `{` | any | as in PyTorch, mostly | no |
# | PyTorch since 1.6 | `PK`: a zip archive | `layer1.0.conv1.weight` | (F, C, KH, KW) | **yes**: a pickle |
# | PyTorch before ("legacy") | `80 02 8a 0a`: a pickle | the same | the same | **yes**: five pickles |
# | Keras `.h5` | `89 HDF` | `conv1/kernel` | (KH, KW, C, F) | if Keras builds a `Lambda` layer |
# | Keras 3 `.keras` | `PK`: zip of HDF5 and JSON | `layers/conv2d/vars/0` | (KH, KW, C, F) | the same |
# | Caffe `.caffemodel` | Protocol Buffers | numbers in named layers | (F, C, KH, KW) | no |
# | ONNX | Protocol Buffers | any; also the graph | (F, C, KH, KW) | no |
# | NumPy `.npz` | `PK`: zip of `.npy` | any | as its writer likes | **yes**, if it may hold objects |
#
# A fully connected layer is (outputs, inputs) in PyTorch, Caffe and here, and (inputs, outputs) in Keras.
#
# To see that they all say the same, we write LeNet-5 in each of them. For some there is a writer in the engine. Those of the
# others are short enough to stand here, and writing is how one really learns a format. (They are no toys: PyTorch and Keras
# load these weights. Only the `.keras` file's description of the network is cut down to names.)
#
# That of PyTorch deserves a look. A pickle is a *program* for a little machine with a stack. `said` gives the instructions
# that push a value; `fetch` pushes a function by its name; `call` calls it. So a tensor is the call
# `_rebuild_tensor_v2(storage, offset, shape, strides, ...)`, and the numbers lie beside the pickle.

# %%
section("2. One network in nine files")


def said(value):
    """The instructions of a pickle (protocol 2) that push a value; bytes are instructions already."""
    if isinstance(value, bytes):
        return value
    if value is None or value is False:
        return pickle.NONE if value is None else pickle.NEWFALSE
    if isinstance(value, str):
        return pickle.BINUNICODE + struct.pack("<I", len(value.encode())) + value.encode()
    if isinstance(value, int):
        return pickle.BININT + struct.pack("<i", value)
    return pickle.MARK + b"".join(map(said, value)) + pickle.TUPLE


def fetch(module, name):
    return pickle.GLOBAL + f"{module}\n{name}\n".encode()


def call(function, *arguments):
    return function + said(arguments) + pickle.REDUCE


def program(body):
    return pickle.PROTO + b"\x02" + body + pickle.STOP


def tensor(key, array, *more):
    """A window on storage number ``key``; legacy files say one thing ``more`` about a storage."""
    storage = said(("storage", fetch("torch", "FloatStorage"), key, "cpu", array.size, *more)) + pickle.BINPERSID
    strides = tuple(step // array.itemsize for step in array.strides)
    hooks = call(fetch("collections", "OrderedDict"))
    return call(fetch("torch._utils", "_rebuild_tensor_v2"), storage, 0, array.shape, strides, False, hooks)


def state_dict(arrays, *more):
    items = b"".join(said(name) + tensor(str(key), array, *more) for key, (name, array) in enumerate(arrays.items()))
    return program(pickle.EMPTY_DICT + pickle.MARK + items + pickle.SETITEMS)


def write_torch(path, instructions, arrays):
    """The zip archive of PyTorch since 1.6: the pickle, and each storage in a file of its own."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("net/data.pkl", instructions)
        archive.writestr("net/byteorder", "little")
        for key, array in enumerate(arrays.values()):
            archive.writestr(f"net/data/{key}", array.tobytes())
        archive.writestr("net/version", "3\n")


def write_legacy(path, arrays):
    """Five pickles, then the storages, each behind its number of elements."""
    first = (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True})
    pickles = [*(pickle.dumps(value, 2) for value in first), state_dict(arrays, None)]
    pickles.append(pickle.dumps([str(key) for key in range(len(arrays))], 2))
    path.write_bytes(b"".join(pickles) + b"".join(struct.pack("<q", a.size) + a.tobytes() for a in arrays.values()))


def in_keras_layout(name, array):
    """Channels last: (KH, KW, C, F), and (in, out), where the inputs of fc1 come in the order (H, W, C) of the map below."""
    if array.ndim == 4:
        return array.transpose(2, 3, 1, 0)
    if name == "fc1.weight":
        return array.reshape(120, 16, 5, 5).transpose(2, 3, 1, 0).reshape(400, 120)
    return array.T


def write_keras_old(path, arrays):
    """Keras 1 and 2: what there is stands in attributes, layer_names and weight_names."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.encode() for layer in LAYERS]
        for layer in LAYERS:
            group = file.create_group(layer)
            group.attrs["weight_names"] = [f"{layer}/kernel:0".encode(), f"{layer}/bias:0".encode()]
            for name, variable in (("kernel", "weight"), ("bias", "bias")):
                theirs = f"{layer}.{variable}"
                group.create_dataset(f"{layer}/{name}:0", data=in_keras_layout(theirs, arrays[theirs]))


def write_keras_new(path, arrays):
    """Keras 3: groups are called after classes, with numbers; the layers' own names are in the description."""
    memory, seen, layers = io.BytesIO(), Counter(), []
    with h5py.File(memory, "w") as file:
        for layer in LAYERS:
            kind, group = ("Conv2D", "conv2d") if layer.startswith("conv") else ("Dense", "dense")
            place = f"{group}_{seen[group]}" if seen[group] else group
            seen[group] += 1
            layers.append({"class_name": kind, "config": {"name": layer}})
            for number, variable in enumerate(("weight", "bias")):
                theirs = f"{layer}.{variable}"
                file.create_dataset(f"layers/{place}/vars/{number}", data=in_keras_layout(theirs, arrays[theirs]))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps({"class_name": "Sequential", "config": {"layers": layers}}))
        archive.writestr("model.weights.h5", memory.getvalue())


def write_caffe(path, arrays):
    """Messages in messages: field 100 of a network is a layer, 7 of that a blob, 7 and 5 of that its shape and numbers."""

    def blob(array):
        shape = [piece for axis in array.shape for piece in whole_number(1, axis)]
        return message(7, message(7, shape), content(5, array.tobytes()))

    pieces = text(1, "LeNet")
    for layer in LAYERS:
        kind = text(2, "Convolution" if layer.startswith("conv") else "InnerProduct")
        pieces += message(100, text(1, layer), kind, *(blob(arrays[f"{layer}.{name}"]) for name in ("weight", "bias")))
    path.write_bytes(b"".join(pieces))


arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
write_safetensors(FOLDER / "lenet.safetensors", arrays, {})
np.savez(FOLDER / "lenet.npz", **arrays)
write_torch(FOLDER / "lenet.pth", state_dict(arrays), arrays)
write_legacy(FOLDER / "legacy.pth", arrays)
write_keras_old(FOLDER / "lenet.h5", arrays)
write_keras_new(FOLDER / "lenet.keras", arrays)
write_caffe(FOLDER / "lenet.caffemodel", arrays)
export(lenet, FOLDER / "lenet.onnx", "onnx")
lenet.save(FOLDER / "ours.h5")

# %% [markdown]
# Now all of them are read. The engine tells a format by its first bytes, not by its suffix, and gives the arrays as they are
# in the file. Then each is brought into one layout: axes turned, and the 400 inputs of the first fully connected layer put in
# another order where they stand on a map with the channels last,
#
# $$w[f, c, i, j] = k[i, j, c, f], \qquad
# \underbrace{(c \, H + i) \, W + j}_{\text{input } (c, i, j) \text{ here}} \;\leftrightarrow\;
# \underbrace{(i \, W + j) \, C + c}_{\text{in Keras}} .$$

# %%


def in_our_layout(found, keras):
    """The five weights and biases, whatever the file calls them, under PyTorch's names and in our layout."""
    result = {}
    for layer in LAYERS:
        w, b = (found[name] for name in found if name.replace("/", ".").split(".")[0] == layer)  # weights come first in all
        if keras and w.ndim == 4:
            w = w.transpose(3, 2, 0, 1)
        elif keras and layer == "fc1":
            w = w.reshape(5, 5, 16, 120).transpose(3, 2, 0, 1).reshape(120, 400)
        elif keras:
            w = w.T
        # ONNX has LeNet's c5 as the convolution that it is here
        result |= {f"{layer}.weight": w.reshape(len(w), -1) if layer == "fc1" else w, f"{layer}.bias": b}
    return result


equal = {}
for file in ("safetensors", "npz", "pth", "legacy.pth", "h5", "keras", "caffemodel", "onnx"):
    path = FOLDER / (file if "." in file else f"lenet.{file}")
    found = read_weights(path)
    ours = in_our_layout(found, keras=file in ("h5", "keras"))
    equal[file] = all(np.array_equal(ours[name], arrays[name]) for name in arrays)
    kernel, flat = (next(name for name in found if name.startswith(layer)) for layer in ("conv2", "fc1"))
    begins = path.read_bytes()[:4].hex(" ")
    print(f"{path.name:<18} begins {begins}: {kernel} {found[kernel].shape}, {flat} {found[flat].shape}")
ours = in_pytorch_layout(minicnn.load(FOLDER / "ours.h5"))
equal["ours.h5"] = all(np.array_equal(array, arrays[name]) for name, array in ours.items())
print(f"ours.h5            begins {(FOLDER / 'ours.h5').read_bytes()[:4].hex(' ')}: names and layout of this project")
claim(
    "One network in nine files of nine kinds: brought into one layout, all numbers are equal to the bit.",
    f"{sum(equal.values())} of {len(equal)}",
    all(equal.values()),
)

# %% [markdown]
# ## 3. Names and shapes
#
# Which array is which is told by its name. Every project has its own, so that a converter is, for the most part, a table.
# Batch normalisation is the worst case: four arrays of one shape, and three vocabularies.
#
# | here | PyTorch | Keras | Caffe |
# | --- | --- | --- | --- |
# | `gamma` | `weight` | `gamma` | blob 0 of a layer Scale above |
# | `beta` | `bias` | `beta` | blob 1 of the Scale |
# | `running_mean` | `running_mean` | `moving_mean` | blob 0 of BatchNorm, divided by blob 2 |
# | `running_var` | `running_var` | `moving_variance` | blob 1 of BatchNorm, divided by blob 2 |
# | `eps` | not in the file; 1e-5 | not among the weights; 1e-3 unless the model says otherwise | not in the file; 1e-5 |
#
# (Caffe sums its statistics up and keeps the sum of the weights beside them. PyTorch has a fifth array, `num_batches_tracked`,
# which no computation of a trained network needs. And `momentum` is the weight of the *new* batch in PyTorch and here, but of
# the *old* average in Keras.) If the convolution below has a bias $b$ and ours has none, nothing is lost: the norm takes a
# mean away, so that $m - b$ in the place of $m$ does the same.
#
# Do shapes not show whether arrays are in their right places? Let us look at those of EfficientNet-Lite0, and into the
# published file from which it was converted. A tensor of PyTorch is a window on a row of numbers:
#
# $$\text{element } (i, j, \dots) \text{ is number}\quad \text{offset} + \text{stride}_0 \, i + \text{stride}_1 \, j + \cdots$$
#
# Look at the strides of the first one. Neighbours in memory are numbers of different *filters*: that is TensorFlow's layout,
# (KH, KW, C, F), since these weights were trained there.

# %%
section("3. Names and shapes")
shapes = Counter(array.shape for array in weights.values())
twins = sum(count for count in shapes.values() if count > 1)
kernels = [array for array in weights.values() if array.ndim == 4]
square = sum(array.shape[2] == array.shape[3] for array in kernels)
(most, times), *_ = shapes.most_common(1)
print(f"of {len(weights)} arrays {twins} have a shape that another one has, too; {times} are {most}")
print(f"{square} of the {len(kernels)} kernels are as high as wide: exchanging rows and columns fits in all of these")
file = file_of(ENTRIES["efficientnet_lite0"])
with open(file, "rb") as pickles:
    instructions = [list(pickletools.genops(pickles)) for _ in range(4)][3]
fetched = [argument for instruction, argument, _ in instructions if instruction.name == "GLOBAL"]
print(f"\n{file.name}: a program of {len(instructions):,} instructions, which fetches {', '.join(fetched)}")
print("it begins: " + " ".join(f"{i.name} {'' if a is None else a}".strip() + ";" for i, a, _ in instructions[:12]))
place = [i.name for i, _, _ in instructions].index("BINPERSID")  # a storage; then offset, shape and strides of the tensor
offset, *both = [number for i, number, _ in instructions[place : place + 20] if i.name.startswith("BININT")]
print(f"the first tensor: offset {offset}, shape {tuple(both[:4])}, strides {tuple(both[4:8])}")
_, record = convert(file, "efficientnet_lite0")
print("\n" + "\n".join(str(record).splitlines()[:7]) + "\n...")
claim(
    "Most arrays of a real network have the shape of some other one, so that a wrong place need not show.",
    f"{twins} of {len(weights)}",
    twins > 0.8 * len(weights),
)

# %% [markdown]
# So arrays are matched **by name, and then compared by shape; never by order**, and what does not fit is an error that lists
# everything that is missing, too much or misshapen. In the exercise you write that.
#
# What do mistakes in the layout do? LeNet-5 is small enough to try them all: on digits of MNIST, or on drawn ones where the
# set is not here. Every one of the following fits the network without complaint.

# %%
if folder := find_data("mnist"):
    *_, digits, digit_labels = load_mnist(folder)
    print("\ndigits: MNIST's test set")
else:
    digits, digit_labels = drawn_digits(4000, rng)
    print("\ndigits: there is no mnist/ in the folder that MINICNN_DATA names; these are drawn with a font")
digits, digit_labels = digits[: 500 if QUICK else 4000], digit_labels[: 500 if QUICK else 4000]


def answers_of_lenet(network=lenet, pictures=digits, prepare=lenet.preprocessing.normalise):
    x = prepare(pictures)
    return infer(network, len(x), lambda i: x[i]).argmax(axis=1)


def lenet_with(**changes):
    """A copy of LeNet with other weights in some layers: changes by layer, functions of w."""
    network = lenet.copy()
    for name, change in changes.items():
        w = network.layers[name].w.value
        w[...] = np.array(change(w))
    return network


def rows_in_keras_order(w):
    """c5's inputs as they come in a Keras file, taken for ours."""
    return w.transpose(0, 2, 3, 1).reshape(w.shape)


def side_by_side(w):
    return w.swapaxes(2, 3)


def half_a_turn(w):
    return w[..., ::-1, ::-1]


layouts = {
    "as it should be": {},
    "flattened map in another order": {"c5": rows_in_keras_order},
    "kernels: rows and columns exchanged": {"c1": side_by_side, "c3": side_by_side, "c5": side_by_side},
    "kernels turned by half a turn": {"c1": half_a_turn, "c3": half_a_turn, "c5": half_a_turn},
    "first kernels only: rows and columns": {"c1": side_by_side},
    "kernels reshaped, not transposed": {"c3": lambda w: w.transpose(2, 3, 1, 0).reshape(w.shape)},
}
of_layout = {
    title: float(np.mean(answers_of_lenet(lenet_with(**changes)) == digit_labels)) for title, changes in layouts.items()
}
for title, accuracy in of_layout.items():
    print(f"{title:<38} {accuracy:>6.1%} of the digits right")
exchanged = lenet_with(**layouts["kernels: rows and columns exchanged"])
x = lenet.preprocessing.normalise(digits[:200])
turned = np.ascontiguousarray(x.swapaxes(2, 3))
apart = float(np.abs(exchanged.forward(x) - lenet.forward(turned)).max())
claim(
    "With the inputs of a flattened map in another framework's order, every array fits, and most digits are wrong.",
    f"{of_layout['flattened map in another order']:.1%} right, {of_layout['as it should be']:.1%} in the right order",
    of_layout["flattened map in another order"] < 0.5 * of_layout["as it should be"],
)
claim(
    "A network whose kernels all have rows and columns exchanged scores a picture as the right network scores its transpose.",
    f"scores differ by up to {apart:.0e}",
    apart < 1e-3,
)

# %% [markdown]
# The last claim says what this mistake amounts to. A transposed picture is the picture mirrored about its diagonal. Digits are
# something else then. But many things in photographs, turned and mirrored, still look like themselves: a flower, a texture, a
# pot from above. There the network becomes worse, not useless (section 5), and worse is easily put down to something else.
#
# ## 4. From a picture to numbers
#
# A photograph has any size, and pixels of 0 to 255; the network wants (N, 3, H, W) of the kind that it was trained on. In
# between lie, in this order: decode it to RGB, the right way up; resize its short side to so many pixels, by such a filter;
# cut the centre out; bring the channels first, in the network's order; and
#
# $$x = \frac{v / 255 - m}{s} = \frac{v - 255 m}{255 s} .$$
#
# Both forms are in use, and putting the mean of the one into the other is a classic mistake. The usual conventions:
#
# | weights of | channels | range and mean |
# | --- | --- | --- |
# | torchvision | RGB | $v/255$, minus (0.485, 0.456, 0.406), divided by (0.229, 0.224, 0.225) |
# | Keras, "tf" (MobileNet, Inception) | RGB | $v/127.5 - 1$ |
# | Keras, "caffe" (VGG, ResNet), and Caffe | **BGR** | $v$ minus (103.939, 116.779, 123.68), in the order BGR |
# | EfficientNet-Lite, from TensorFlow | RGB | $(v - 127)/128$ |
#
# Here the preprocessing is a part of the model, and is stored in its file. This is what it does to a photograph that comes
# with matplotlib, a portrait of Grace Hopper, and what the network says.

# %%
section("4. A photograph")
print(f"preprocessing: {model.preprocessing.describe()}")
photo_path = get_sample_data("grace_hopper.jpg", asfileobj=False)
photo = read_picture(photo_path)
height, width = photo.shape[:2]
wanted = model.preprocessing
fitted = wanted.fit_picture(photo)
x = wanted.normalise(fitted[None])
print(f"{photo.shape} {photo.dtype} -> {fitted.shape} {fitted.dtype} -> {x.shape} {x.dtype}", end=", ")
print(f"from {x.min():.2f} to {x.max():.2f}")
top = model.top_classes([photo], top=5)[0]
for name, p in top:
    print(f"{name:<24} {p:.1%}")
figure, (left, middle, right) = plt.subplots(1, 3, figsize=(10.5, 3.6), layout="tight", width_ratios=(0.8, 1, 1.2))
left.imshow(photo)
scale = min(height, width) / wanted.resize  # pixels of the photograph for one of the resized one
side = wanted.size[0] * scale
corner = (width - side) / 2, (height - side) / 2
left.add_patch(Rectangle(corner, side, side, fill=False, color=ORANGE, lw=2))
left.set(title=f"{height} x {width}, and the crop: {wanted.size[0]}\nof a short side of {wanted.resize}", xticks=[], yticks=[])
middle.imshow(fitted)
middle.set(title=f"what the network is shown\n{fitted.shape[0]} x {fitted.shape[1]}", xticks=[], yticks=[])
right.barh(range(5), [p for _, p in top], color=BLUE)
right.set_yticks(range(5), [name for name, _ in top])
right.invert_yaxis()
right.set(xlabel="probability", title="what it says")
save(figure, HERE, "photograph")

# %% [markdown]
# What would be right here? "Military uniform" is one of ImageNet's thousand classes, and "person" is none. Whatever it is
# shown, the network answers with one of the thousand, and its probabilities always sum to 1.
#
# ## 5. One detail off
#
# Now the main measurement. We take pictures of ImageNet and change one detail at a time, in what the network is fed or in the
# network itself, as a careless conversion would. How many of the pictures are still named right?
#
# Where these pictures are not here, random crops of the photograph take their place. Nobody has written down what is right for
# them, so there "right" means: the same answer as when nothing was wrong. Numbers are lower then, as the network is unsure of
# this photograph and the least change tips it.
#
# (The pictures are most probably among those that the network was trained on. For a comparison of one and the same network
# with itself that does not matter; as an estimate of its accuracy it would be of no use.)

# %%
section("5. One detail off")


def random_crops(n):
    """Random windows of the photograph, 60 to 95 % of each side."""
    windows = []
    for _ in range(n):
        h, w = (int(side * rng.uniform(0.6, 0.95)) for side in photo.shape[:2])
        i, j = int(rng.integers(0, photo.shape[0] - h + 1)), int(rng.integers(0, photo.shape[1] - w + 1))
        windows.append(photo[i : i + h, j : j + w].copy())
    return windows


labels = None
if archive_path := find_data("imagenet-250.zip"):
    with zipfile.ZipFile(archive_path) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))[:: 10 if QUICK else 2]
        pictures = [read_picture(archive.read(name), name=name) for name in names]
    labels = np.array([int(Path(name).name.split("_")[0]) for name in names])
    print(f"{len(pictures)} pictures of ImageNet")
else:
    pictures = random_crops(20 if QUICK else 60)
    print(f"there is no imagenet-250.zip in the folder that MINICNN_DATA names: {len(pictures)} crops of the photograph")


def scores_of(network, x):
    return infer(fuse(network), len(x), lambda i: x[i])


pixels = np.stack([wanted.fit_picture(picture) for picture in pictures])  # uint8 (N, 224, 224, 3)
correct = wanted.normalise(pixels)
reference = scores_of(model, correct)
labels = reference.argmax(axis=1) if labels is None else labels


def channels_first(x):
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2), np.float32)


def fitted_by(preprocessing):
    return wanted.normalise(np.stack([preprocessing.fit_picture(picture) for picture in pictures]))


def shrunk(side):
    return np.stack([np.asarray(Image.fromarray(p).resize((side, side), Image.Resampling.BICUBIC)) for p in pixels])


v = pixels.astype(np.float32)
MEAN, STD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
inputs = {
    "mirrored": lambda: wanted.normalise(pixels[:, :, ::-1]),
    "scaled to 0..1, mean and std left out": lambda: channels_first(v / 255),
    "red and blue exchanged": lambda: wanted.normalise(pixels[..., ::-1]),
    "torchvision's mean and std": lambda: channels_first((v / 255 - MEAN) / STD),
    "stretched, not cropped": lambda: fitted_by(replace(wanted, fit="stretch", resize=None)),
    "mean not subtracted": lambda: channels_first(v / 128),
    "shrunk to half the size": lambda: wanted.normalise(shrunk(112)),
    "upside down": lambda: wanted.normalise(pixels[:, ::-1]),
    "rows and columns exchanged": lambda: wanted.normalise(pixels.swapaxes(1, 2)),
    "0..255 as they are": lambda: channels_first(v),
    "scaled to 0..1, then minus 127, by 128": lambda: channels_first((v / 255 - 127) / 128),
    "channels brought first by reshape": lambda: np.ascontiguousarray((v - 127) / 128).reshape(correct.shape),
}


def changed(change):
    """A copy of the network, every layer of it handed to change(layer)."""
    network = model.copy()
    for _, layer in network.walk():
        change(layer)
    return network


def small_eps(layer):
    if isinstance(layer, BatchNorm2d):
        layer.eps = 1e-5


def even_padding(layer):
    if isinstance(layer, Conv2d) and layer.kernel_size[0] > 1:
        layer.pad = (layer.kernel_size[0] // 2,) * 2


def relu_for_relu6(layer):
    for name, child in layer.children().items():
        if isinstance(child, ReLU6):
            layer.layers[name] = ReLU()


def transposed_kernels(layer):
    if isinstance(layer, Conv2d):
        layer.w.value[...] = layer.w.value.swapaxes(2, 3).copy()


def flipped_kernels(layer):
    if isinstance(layer, Conv2d):
        layer.w.value[...] = layer.w.value[..., ::-1, ::-1].copy()


def no_strides(layer):
    """The file keeps kernels as TensorFlow does, and says so by strides. Here its numbers are taken in their order."""
    if isinstance(layer, Conv2d):
        layer.w.value[...] = layer.w.value.transpose(2, 3, 1, 0).reshape(layer.w.value.shape)


def gamma_for_beta(layer):
    if isinstance(layer, BatchNorm2d):
        layer.gamma.value, layer.beta.value = layer.beta.value, layer.gamma.value


def deviation_for_variance(layer):
    if isinstance(layer, BatchNorm2d):
        layer.running_var[...] = np.sqrt(layer.running_var)


def undivided_sums(layer):
    """Caffe's statistics before the division by their weight: with its usual fraction of 0.999 that comes near 1000."""
    if isinstance(layer, BatchNorm2d):
        layer.running_mean *= 999.98
        layer.running_var *= 999.98


networks = {
    "eps 1e-5 for 1e-3": small_eps,
    "padding alike on both sides": even_padding,
    "ReLU for ReLU6": relu_for_relu6,
    "kernels turned by half a turn": flipped_kernels,
    "kernels: rows and columns exchanged": transposed_kernels,
    "gamma and beta exchanged": gamma_for_beta,
    "strides in the file not honoured": no_strides,
    "standard deviation for variance": deviation_for_variance,
    "Caffe's sums not divided": undivided_sums,
}


def share_right(scores):
    return float((scores.argmax(axis=1) == labels).mean())


def confidence(scores):
    """The mean probability of the most probable class."""
    return float(softmax(scores.astype(np.float64)).max(axis=1).mean())


results = {"nothing": (share_right(reference), confidence(reference))}
kept = {}
for title, make in tqdm(inputs.items(), desc="inputs", delay=2, leave=False):
    kept[title] = scores_of(model, make())
for title, change in tqdm(networks.items(), desc="networks", delay=2, leave=False):
    kept[title] = scores_of(changed(change), correct)
results |= {title: (share_right(scores), confidence(scores)) for title, scores in kept.items()}
results["names shifted by one"] = float((reference.argmax(axis=1) + 1 == labels).mean()), confidence(reference)
print(f"{'what is off':<42} {'right':>7} {'points lost':>12} {'sure of itself':>15}")
best = results["nothing"][0]
for title, (accuracy, sure) in results.items():
    print(f"{title:<42} {accuracy:>7.1%} {100 * (best - accuracy):>12.1f} {sure:>15.2f}")

groups = ((BLUE, list(inputs)), (ORANGE, [*networks, "names shifted by one"]))
rows = [("nothing", GREY)] + [
    (title, color) for color, titles in groups for title in sorted(titles, key=lambda title: -results[title][0])
]
figure, ax = plt.subplots(figsize=(8.4, 6.2), layout="tight")
ax.barh(range(len(rows)), [100 * results[title][0] for title, _ in rows], color=[color for _, color in rows], height=0.7)
sure = [100 * results[title][1] for title, _ in rows]
ax.plot(sure, range(len(rows)), "D", color=INK, ms=3.5, label="how sure it is, mean %")
ax.axvline(100 * best, color=GREY, lw=0.8, ls="--")
ax.set_yticks(range(len(rows)), [title for title, _ in rows], fontsize=8)
ax.invert_yaxis()
ax.set(xlabel="named right, %", title="One detail off: in the input (blue), in the network (orange)")
ax.legend(loc="lower center", fontsize=8)
save(figure, HERE, "one_detail_off")

shown = [0, len(pixels) // 2, len(pixels) - 1]
views = {
    "as it should be": pixels,
    "red and blue": pixels[..., ::-1],
    "stretched": np.stack([replace(wanted, fit="stretch", resize=None).fit_picture(pictures[n]) for n in shown]),
    "rows and columns": pixels.swapaxes(1, 2),
    "reshape": pixels.reshape(len(pixels), 3, 224, 224).transpose(0, 2, 3, 1),
}
figure, axes = picture_grid(3, len(views), 1.5)
for row, n in enumerate(shown):
    for ax, (title, of_view) in zip(axes[row], views.items(), strict=True):
        ax.imshow(of_view[row if title == "stretched" else n])
        if row == 0:
            ax.set_title(title, fontsize=9)
figure.suptitle("What the network is shown when one detail is off", y=0.97)
save(figure, HERE, "what_it_sees")


def lost(title):
    return 100 * (best - results[title][0])


usual = ("red and blue exchanged", "torchvision's mean and std", "mean not subtracted")
claim(
    "Red and blue exchanged, another network's mean and std, the mean not subtracted: each costs right answers.",
    "; ".join(f"{title}: {lost(title):.1f} points" for title in usual),
    all(lost(title) > 1.5 for title in usual),
)
blind = "scaled to 0..1, then minus 127, by 128"
claim(
    "Pixels that are scaled to 0..1 before a mean of 127 is subtracted leave the network blind.",
    f"{results[blind][0]:.1%} right",
    results[blind][0] < 0.05,
)
claim(
    "A picture upside down is recognised less often than a mirrored one.",
    f"{results['upside down'][0]:.1%} and {results['mirrored'][0]:.1%}",
    results["upside down"][0] < results["mirrored"][0] - 0.1,
)
claim(
    "Shrunk to half the size, pictures are named right less often, and the network is surer of its answers.",
    f"{results['shrunk to half the size'][0]:.1%} and {best:.1%} right, mean certainty "
    f"{results['shrunk to half the size'][1]:.2f} and {results['nothing'][1]:.2f}",
    lost("shrunk to half the size") > 10 and results["shrunk to half the size"][1] > results["nothing"][1] + 0.02,
)
claim(
    "An eps a hundred times too small changes fewer answers than a pixel of padding too many on the left and at the top.",
    f"{np.mean(kept['eps 1e-5 for 1e-3'].argmax(1) != reference.argmax(1)):.1%} and "
    f"{np.mean(kept['padding alike on both sides'].argmax(1) != reference.argmax(1)):.1%} of the answers",
    np.mean(kept["eps 1e-5 for 1e-3"].argmax(1) != reference.argmax(1))
    < np.mean(kept["padding alike on both sides"].argmax(1) != reference.argmax(1)),
)
ruinous = (
    "gamma and beta exchanged",
    "standard deviation for variance",
    "Caffe's sums not divided",
    "strides in the file not honoured",
)
claim(
    "Gamma and beta exchanged, a wrong variance, kernels taken in the wrong order: nothing is left, and yet all arrays fit.",
    ", ".join(f"{results[title][0]:.1%}" for title in ruinous) + " right",
    all(results[title][0] < 0.05 for title in ruinous),
)
claim(
    "Names shifted by one make nearly every answer wrong, from a network that is as good as before.",
    f"{results['names shifted by one'][0]:.1%} right",
    results["names shifted by one"][0] < 0.05,
)

# %% [markdown]
# Read the table from the top. What ruins everything is harmless, in the end: somebody notices. Dangerous are the details that
# cost a few points, for nobody knows what the accuracy should have been. And certainty is no guide: some of the worst mistakes
# leave the network nearly as sure of itself as before, and pictures shrunk to half the size make it surer.
#
# Some are worth a thought:
#
# - *Scaled to 0..1, mean and std left out* costs less than one would think, by luck. With $u = v/255$ the network wants about
#   $2u - 1$ and gets $u$: a paler and brighter picture, and of such it has seen many. Where the right mean and std are others,
#   so is the price.
# - *Padding.* At stride 2 the pixels of padding may be odd in number. TensorFlow then has one more on the right and below than
#   on the left and at the top, PyTorch as many on all sides. With the other padding each such layer looks a pixel beside where
#   it was trained to look, and the shifts add up from layer to layer.
# - *eps* matters where a channel's variance is near it. The normalised value is $(x - m) / \sqrt{v + \text{eps}}$: for
#   $v \gg 10^{-3}$ both values of eps are as good as 0.
# - *Strides.* The tensors of this PyTorch file are windows on memory that TensorFlow had laid out: the last axis of a shape
#   need not be the one that varies fastest. A file says so, and a reader that does not listen reads noise.
# - *Names.* Some lists of ImageNet's classes have a thousand names; others begin with "background" and have 1001.
#
# ### Batch norm in training mode
#
# PyTorch creates networks in training mode, and `load_state_dict` leaves them there: who forgets `eval()` gets the statistics
# of the batch in the place of the running ones. (Here, a loaded model is in inference mode.) Then the answer to a picture
# depends on the company it is in. We show the same pictures twice, in batches that are put together in two ways; dropout is
# switched off, so that nothing else is random.

# %%
section("5b. Batch norm in training mode")
few = min(len(correct), 24 if QUICK else 96) // 8 * 8


def in_training_mode(order, batch=8):
    network = model.copy().train()
    network.layers["dropout"].eval()
    said_of = np.empty(few, np.int64)
    for i in range(0, few, batch):
        chosen = order[i : i + batch]
        said_of[chosen] = network.forward(correct[chosen]).argmax(axis=1)
    return said_of


first, second = in_training_mode(np.arange(few)), in_training_mode(np.random.default_rng(1).permutation(few))
differ, agree = float(np.mean(first != second)), float(np.mean(first == labels[:few]))
otherwise = float(np.mean(reference[:few].argmax(axis=1) == labels[:few]))
print(f"batches of 8: {differ:.1%} of {few} answers change with the company; {agree:.1%} right, in eval mode {otherwise:.1%}")
claim(
    "In training mode the answer to a picture depends on the pictures beside it, and fewer are right.",
    f"{differ:.1%} of the answers change; {agree:.1%} right, {otherwise:.1%} in inference mode",
    differ > 0.1 and agree < otherwise - 0.1,
)

# %% [markdown]
# ### Sixteen bits, once more
#
# Rounding the weights is a change of detail, too. How many answers does it change?

# %%
section("5c. Sixteen bits")


def rounded_network(rounded):
    network = model.copy()
    for array in arrays_of(network).values():
        array[...] = rounded(array)
    return network


stays = {}
for title, rounded in (("float16", to_float16), ("bfloat16", to_bfloat16)):
    scores = scores_of(rounded_network(rounded), correct)
    stays[title] = float(np.mean(scores.argmax(1) == reference.argmax(1)))
    print(f"all arrays rounded to {title:<9} {stays[title]:.1%} of the answers stay, {share_right(scores):.1%} right", end="")
    print(f"; scores move by {np.abs(scores - reference).mean():.1e} on average")
claim(
    "bfloat16 rounds weights several times as coarsely as float16, and with both nearly all answers stay.",
    f"median errors {rounding['bfloat16']:.1e} and {rounding['float16']:.1e}; "
    f"{stays['bfloat16']:.1%} and {stays['float16']:.1%} of the answers stay",
    rounding["bfloat16"] > 4 * rounding["float16"] and min(stays.values()) > 0.85,
)

# %% [markdown]
# ### Digits
#
# A common disappointment with a network for digits: it was trained on white strokes on black, with a margin, and is shown what
# a pen leaves on paper.

# %%
section("5d. Digits")
mean, std = lenet.preprocessing.mean[0], lenet.preprocessing.std[0]
no_margin = np.stack([np.asarray(Image.fromarray(p).crop((4, 4, 24, 24)).resize((28, 28))) for p in digits])
small = np.zeros_like(digits)
small[:, 7:21, 7:21] = np.stack([np.asarray(Image.fromarray(p).resize((14, 14), Image.Resampling.BOX)) for p in digits])
of_digits = {
    "as it should be": answers_of_lenet(),
    "black on white": answers_of_lenet(pictures=255 - digits),
    "scaled to 0..1 before mean and std": answers_of_lenet(prepare=lambda p: np.float32((p[:, None] / 255 - mean) / std)),
    "mean not subtracted": answers_of_lenet(prepare=lambda p: np.float32(p[:, None] / std)),
    "no margin": answers_of_lenet(pictures=no_margin),
    "half as large": answers_of_lenet(pictures=small),
    "mirrored": answers_of_lenet(pictures=np.ascontiguousarray(digits[:, :, ::-1])),
}
of_digits = {title: float(np.mean(answers == digit_labels)) for title, answers in of_digits.items()}
for title, accuracy in of_digits.items():
    print(f"{title:<38} {accuracy:>6.1%} of the digits right")
claim(
    "LeNet-5, trained on white digits on black, gets far fewer right when they are black on white.",
    f"{of_digits['black on white']:.1%} and {of_digits['as it should be']:.1%}",
    of_digits["black on white"] < of_digits["as it should be"] - 0.3,
)

# %% [markdown]
# ## 6. A pickle is a program
#
# In section 2 we wrote instructions that call `torch._utils._rebuild_tensor_v2`. Nothing in the format says that it has to be
# this function. Here is a file in which the call is another one: it makes a folder. It could as well delete one, or send your
# keys somewhere. Python's `pickle.load` obeys, and so did `torch.load`, unless told otherwise, before version 2.6.

# %%
section("6. A pickle is a program")
trap = FOLDER / "made-by-loading-a-file"
write_torch(FOLDER / "trap.pth", program(call(fetch("os", "mkdir"), str(trap))), {})
with zipfile.ZipFile(FOLDER / "trap.pth") as archive:
    inside = archive.read("net/data.pkl")
print(inside)
said_by_reader = refusal(FOLDER / "trap.pth")
after_reader = trap.exists()
print(f"our reader: {said_by_reader.removeprefix(str(FOLDER) + '/')}\nis the folder there? {after_reader}")
pickle.loads(inside)
after_pickle = trap.exists()
print(f"pickle.loads: is the folder there? {after_pickle}")
claim(
    "Loading a pickle runs what is in it; our reader refuses the same file, and runs nothing.",
    f"a folder was made by pickle.loads: {after_pickle}; by our reader: {after_reader}, which refuses: {bool(said_by_reader)}",
    after_pickle and not after_reader and "os.mkdir" in said_by_reader,
)

# %% [markdown]
# What the engine does instead (`minicnn/pretrained/readers/pickle_machine.py`): it has a stack machine of its own, which knows
# the instructions that plain data needs and no others. It can neither import nor call anything. A name that the program asks
# for is looked up in a short table, where `_rebuild_tensor_v2` stands for a function of *ours* that notes storage, shape
# and strides. All other names become objects that do nothing, so that settings beside the weights do no harm; and names by
# which pickles run programs make it refuse the file. You have seen in section 3 how little a real file asks for: four names.
#
# Other formats are better, but not by nature harmless. Keras's `Lambda` layers are stored as compiled Python code, which Keras
# would run in building the model (newer versions refuse unless their safe mode is switched off). An `.npz` may hold pickled
# objects (NumPy refuses them by default since 1.16.3). ONNX may name other files to fetch numbers from. And any length in any
# file may be a lie, as in section 1.
#
# Two habits: take weights from those who made them, and compare the SHA-256 of the file with the one that they publish. A hash
# protects against a damaged or exchanged file. It does not make a stranger's program yours.
#
# ## 7. A file that knows how it is to be used
#
# What goes wrong in section 5 goes wrong because it is kept elsewhere: in a README, in somebody's head. This project's own
# files carry it with them. They are HDF5, with the layers and their constants (padding, eps, strides), the preprocessing, the
# names of the classes, the source and the licence; a model is loaded by that alone, without the code that once built it. In
# front of the HDF5 stand 512 bytes of text with the SHA-256 of the rest, so that a single flipped bit is noticed. (That is why
# `ours.h5` above does not begin with `89 HDF`.)

# %%
section("7. This project's file")
path = FOLDER / "efficientnet.h5"
model.save(path)
with h5py.File(path, "r") as file:
    print(f"attributes: {', '.join(f'{name} = {value}' for name, value in file.attrs.items())}")
    for name in ("preprocessing", "classes", "layers"):
        print(f"{name}: {bytes(file[name][()]).decode()[:100]} ...")
    print(f"parameters: {sum(1 for _ in file['parameters'])}, state: {sum(1 for _ in file['state'])}")
again = minicnn.load(path)
same_scores = np.array_equal(again.forward(correct[:4]), model.forward(correct[:4]))
same_facts = (again.preprocessing, again.classes) == (model.preprocessing, model.classes)
for name in ("source", "source_file", "licence", "published_top1", "source_sha256"):
    print(f"{name}: {again.provenance[name]}")
claim(
    "Saved and loaded again, a model has the same scores to the bit, with preprocessing, class names, source and licence.",
    f"scores equal: {same_scores}; preprocessing and names equal: {same_facts}; licence: {again.provenance['licence']}",
    same_scores and same_facts and bool(again.provenance["licence"]) and bool(again.provenance["source"]),
)
damaged = bytearray(path.read_bytes())
damaged[len(damaged) // 2] ^= 1
(FOLDER / "damaged.h5").write_bytes(damaged)
try:
    minicnn.load(FOLDER / "damaged.h5")
except WeightsError as error:
    print(f"one bit flipped: {str(error).removeprefix(str(FOLDER) + '/')[:100]}")

# %% [markdown]
# Such a file is made of any of the formats above by `minicnn weights convert checkpoint.pth --arch resnet50 --out mine.h5`,
# which prints what went where and what it had to assume. If you have the ResNet-20 for CIFAR-10 of Y. Idelbayev, a legacy
# PyTorch file whose names all begin with `module.`, and CIFAR-10, here is that too.

# %%
checkpoint, cifar = find_data("cifar10-resnet20-12fca82f.th"), find_data("cifar10-jpeg.zip")
if checkpoint and cifar:
    resnet, record = convert(checkpoint, "resnet20")
    print("\n".join(str(record).splitlines()[:3]) + "\n...")
    published = ENTRIES["resnet20"]
    resnet.classes, resnet.preprocessing = list(published.classes), resnet.preprocessing or published.preprocessing
    with zipfile.ZipFile(cifar) as archive:
        names = sorted(name for name in archive.namelist() if name.startswith("test/"))[:: 50 if QUICK else 10]
        small_pictures = [archive.read(name) for name in names]
    answers = np.array([resnet.classes.index(name.split("/")[1]) for name in names])
    x = resnet.preprocess(small_pictures)
    accuracy = float(np.mean(infer(resnet, len(x), lambda i: x[i]).argmax(axis=1) == answers))
    print(f"{accuracy:.1%} of {len(x)} test pictures right, {published.top1} % were published for the lossless ones:", end=" ")
    print("these are JPEG files, most likely the detail that is off")
else:
    print("\nResNet-20 and CIFAR-10 are not both in the folder that MINICNN_DATA names; left out")

# %% [markdown]
# ## What to do with a file from elsewhere
#
# 1. Who made it, under which licence, and is its hash the published one? Read it without running it.
# 2. Match by name, compare shapes, refuse what does not fit. Keep a list of what was left out.
# 3. Find the constants that the file does not have: eps, padding, strides, rounding of pools, activations.
# 4. Find how pictures are prepared, in the code that trained it. Store that with the weights.
# 5. Compare the *scores* with those of the original program for the same input, to 1e-4, at best also those of layers between.
#    If you cannot run the original, measure the accuracy on pictures of its classes, and compare it with the published one.
#
# The fifth is the only test that sees everything. For the engine's converters that is done in `tests/`, against PyTorch, Keras
# and ONNX; what the networks of the zoo reach is in `docs/zoo.md`.
#
# ## What this lesson claims
#
# - A safetensors file that is cut off, too long, or wrong about its own arrays is refused, each time.
# - One network in nine files of nine kinds: brought into one layout, all numbers are equal to the bit.
# - Most arrays of a real network have the shape of some other one, so that a wrong place need not show.
# - With the inputs of a flattened map in another framework's order, every array fits, and most digits are wrong.
# - A network whose kernels all have rows and columns exchanged scores a picture as the right network scores its transpose.
# - Red and blue exchanged, another network's mean and std, the mean not subtracted: each costs right answers.
# - Pixels that are scaled to 0..1 before a mean of 127 is subtracted leave the network blind.
# - A picture upside down is recognised less often than a mirrored one.
# - Shrunk to half the size, pictures are named right less often, and the network is surer of its answers.
# - An eps a hundred times too small changes fewer answers than a pixel of padding too many on the left and at the top.
# - Gamma and beta exchanged, a wrong variance, kernels taken in the wrong order: nothing is left, and yet all arrays fit.
# - Names shifted by one make nearly every answer wrong, from a network that is as good as before.
# - In training mode the answer to a picture depends on the pictures beside it, and fewer are right.
# - bfloat16 rounds weights several times as coarsely as float16, and with both nearly all answers stay.
# - LeNet-5, trained on white digits on black, gets far fewer right when they are black on white.
# - Loading a pickle runs what is in it; our reader refuses the same file, and runs nothing.
# - Saved and loaded again, a model has the same scores to the bit, with preprocessing, class names, source and licence.

# %%
print_claims()
FILES.cleanup()

# %% [markdown]
# ## Questions
#
# **1.** A colleague has converted VGG-16 from Keras to PyTorch. All shapes fit. The first block of feature maps is equal to
# that of the original, the last one, 7 x 7 x 512, is equal, and the scores are nonsense. Where do you look, and why is it the
# only place in this network where that can happen?
#
# <details><summary>Answer</summary>
#
# At the first fully connected layer. Its 25,088 inputs are a flattened map, which Keras reads with the channels last and
# PyTorch with the channels first: its rows have to be put in another order. A convolution keeps channels, rows and columns as
# axes of their own, and the layers above get a row of numbers whose order is that of the weights below. In a network with a
# global average in front of its classifier (ResNet, MobileNet, EfficientNet) there is no such place.
#
# </details>
#
# **2.** The preprocessing of a network is $(v/255 - m)/s$ for each channel. Can it be moved into the first convolution, so
# that the network takes pixels of 0 to 255 as they are? What about the padding of that convolution?
#
# <details><summary>Answer</summary>
#
# It is linear in each channel, $x_c = a_c v_c + b_c$ with $a_c = 1/(255 s_c)$ and $b_c = -m_c/s_c$. So kernels
# $w'[f, c] = a_c\, w[f, c]$ and a bias $b'[f] = b[f] + \sum_{c,i,j} w[f, c, i, j]\, b_c$ do the same where a window lies
# inside of the picture. At the edge they do not: padding with zeros of $x$ means padding with the mean colour $255 m_c$ of $v$,
# and the moved form pads with black. One would have to pad with that colour.
#
# </details>
#
# **3.** You load weights, and of 100 pictures that you have labelled 71 are named right, where 75 % were published. Is a detail
# off?
#
# <details><summary>Answer</summary>
#
# It cannot be told: the standard error of a share of 0.75 on 100 pictures is $\sqrt{0.75 \cdot 0.25 / 100}$, above 4 points,
# and your pictures need not be like those of the test set. A detail may well cost less than that. Comparing the scores of *one*
# picture with those of the original program, digit by digit, tells more than a thousand labelled pictures.
#
# </details>
#
# ## Further reading
#
# - Hugging Face, safetensors: the section "Format" of its README is all of the specification.
# - Python's documentation of `pickle` (its first warning), and of `pickletools`, whose source explains every instruction.
# - PyTorch's documentation, "Serialization semantics", and `torch/serialization.py`: both formats, and `weights_only`.
# - Jia et al. 2014, "Caffe: Convolutional Architecture for Fast Feature Embedding"; `src/caffe/proto/caffe.proto` is its
#   format.
# - Tan, Le 2019, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", table 1: EfficientNet-B0, of which
#   Lite0 is a variant (ReLU6 in place of swish, no squeeze-and-excitation).
# - Ioffe, Szegedy 2015, "Batch Normalization", section 3.1: training and inference.
# - Recht et al. 2019, "Do ImageNet Classifiers Generalize to ImageNet?": how much an accuracy moves when only the pictures are
#   new.
#
# ## Next
#
# The exercise: fill in `exercise.py`, and run `minicnn check 10` as often as you like; it says what is wrong, and `minicnn
# check 10 --task 3 --hint` gives a hint. When all is right, your functions read a real network out of a file and name
# photographs with it, beside the engine. Then lesson 11: what a pretrained network knows about pictures that it has never
# seen.
