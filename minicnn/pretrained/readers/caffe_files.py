"""The weights of a Caffe network, ``.caffemodel``.

A Protocol Buffers message NetParameter, in it a LayerParameter for each layer (or, before 2014, a V1LayerParameter), in it the
layer's arrays, BlobProtos, without names of their own: blob 0 of a convolution is its kernels (F, C/groups, KH, KW), blob 1 its
biases. Of a BatchNorm blob 0 is the mean and 1 the variance, both still to be divided by the single number in blob 2; scale and
shift are in a layer of their own, Scale.

Source: ``src/caffe/proto/caffe.proto`` of https://github.com/BVLC/caffe (field numbers and types)
"""

from __future__ import annotations

import os

import numpy as np

from .opening import Damaged, Unsuitable, add, weights_file
from .protobuf_wire import (
    fields,
    integer,
    integers,
    joined,
    nested,
    text,
)
from .raw_numbers import array_of

NET_V1_LAYER, NET_LAYER = 2, 100
# of a layer: the fields with its name and its blobs
LAYER = {NET_LAYER: (1, 7), NET_V1_LAYER: (4, 6)}
V1_LAYER_OLDER = 1  # a layer in the form of 2013 inside one of 2014
BLOB_LEGACY_SHAPE = (1, 2, 3, 4)  # num, channels, height, width
BLOB_FLOATS, BLOB_SHAPE, BLOB_DOUBLES = 5, 7, 8
SHAPE_DIM = 1


def read_caffe(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The blobs of a Caffe network, "LAYER/0", "LAYER/1", ... in the file's order, float32 or float64.

    Shapes are those of the file. Old files give every blob four axes, (num, channels, height, width): a bias of 64 numbers is
    (1, 1, 1, 64), the weights of a fully connected layer are (1, 1, outputs, inputs).

    Raises
    ------
    WeightsError
        If the file is not there, damaged, truncated, of another kind, or older than Caffe's V1 layers.
    """
    with weights_file(path, "a Caffe network") as file:
        arrays: dict[str, np.ndarray] = {}
        for number, layer in fields(memoryview(file.read())):
            if number in LAYER:
                _add_layer(arrays, nested(layer), *LAYER[number], is_v1=number == NET_V1_LAYER)
        if not arrays:
            raise Unsuitable(
                "is no Caffe network with weights: none of its layers has blobs. Take the .caffemodel that training has saved"
            )
        return arrays


def _add_layer(arrays: dict[str, np.ndarray], layer: memoryview, name_field: int, blob_field: int, is_v1: bool) -> None:
    """Put the blobs of one layer among the arrays."""
    name, blobs = "", []
    for number, value in fields(layer):
        if number == name_field:
            name = text(value)
        elif number == blob_field:
            blobs.append(nested(value))
        elif is_v1 and number == V1_LAYER_OLDER:
            raise Damaged("has layers in the form of 2013; Caffe's tool upgrade_net_proto_binary brings it up to date")
    for k, blob in enumerate(blobs):
        key = f"{name}/{k}"
        add(arrays, key, _blob(blob, key))


def _blob(message: memoryview, name: str) -> np.ndarray:
    """The array of a BlobProto."""
    legacy: dict[int, int] = {}
    shape: list[int] | None = None
    floats, doubles = [], []
    for number, value in fields(message):
        if number in BLOB_LEGACY_SHAPE:
            legacy[number] = integer(value)
        elif number == BLOB_SHAPE:
            shape = [] if shape is None else shape
            for part, dims in fields(nested(value)):
                if part == SHAPE_DIM:
                    shape += integers(dims).tolist()
        elif number == BLOB_FLOATS:
            floats.append(value)
        elif number == BLOB_DOUBLES:
            doubles.append(value)
    if shape is None:
        shape = [legacy.get(number, 0) for number in BLOB_LEGACY_SHAPE]
    if floats and doubles:
        raise Damaged(f"has the numbers of {name[:200]!r} twice, in single and in double precision")
    return array_of(joined(floats or doubles), "f8" if doubles else "f4", shape, name)
