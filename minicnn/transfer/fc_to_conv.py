"""Fully connected layers as convolutions, so that a network for pictures of one size runs over larger ones.

A row of weights of a fully connected layer above a volume of 512 x 7 x 7 is a filter of 512 channels and 7 x 7 taps. It fits
into that volume in one place. In a larger volume it fits in many, and gives at each the network's scores for that part of the
picture: one pass instead of many crops, which have most of their convolutions in common. The filter must not be padded, or it
would give scores for windows that are partly outside.

Where the map equals what, as `tests/test_fc_to_conv.py` checks:

- At the network's own size the map is 1 x 1 and holds the network's scores.
- At any size, each element of the map is the output of the fully connected layers for the window of the last feature map at
  this place.
- If no convolution and no pool is padded, each element is the network's score for the crop at this place, at steps of the total
  stride (``receptive_field(...).stride``). There may be additional elements at the end, for crops that reach over the edge:
  where pools round up, or the network makes no use of a crop's last rows.
- If some are padded, as in VGG and AlexNet, it is not. A crop alone has zeros around it, in every layer; in the larger picture
  its neighbours are there. What equals the element then is the score for the crop *with its surroundings*, which
  `without_padding` gives: for VGG-16's crop of 224 x 224 these are 404 x 404 pixels.

Sermanet et al. 2014, "OverFeat" (arXiv 1312.6229), section 3.5; Long, Shelhamer, Darrell 2015, "Fully Convolutional Networks
for Semantic Segmentation" (arXiv 1411.4038), section 3.1; CS231n's notes, "Converting FC layers to CONV layers".
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

from ..layers import (
    AdaptiveAvgPool2d,
    AuxiliaryHead,
    AvgPool2d,
    BatchNorm1d,
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    Layer,
    Linear,
    Parameter,
    Sequential,
)
from ..layers.activation import Activation
from ..layers.pool import Pool2d
from ..models.model import Model
from ..models.receptive_field import receptive_field


def fc_to_conv(model: Model) -> Model:
    """The same network with convolutions in place of its fully connected layers: it gives maps of scores (N, K, OH, OW).

    - Flatten, Linear: a Conv2d with a kernel as large as the volume that was flattened, and no padding. The Linear layers after
      it become 1x1 convolutions, and BatchNorm1d among them BatchNorm2d.
    - AdaptiveAvgPool2d below Flatten: left out if it changes nothing at the network's own size, an AvgPool2d if its windows are
      equal and side by side. Other windows are no convolution.
    - GlobalAvgPool2d right below or above the classifier: left out. Averaging and classifying are both linear and can change
      places, so that the average of the map *is* the network's scores, at every size (Zhou et al. 2016, "Learning Deep Features
      for Discriminative Localization", section 2, the class activation map). Elements of this map depend on their receptive
      field, not on a crop.

    Auxiliary heads, which run in training only, are left out. All other layers are this network's own, as with ``split``, and
    the new filters are views of its weights: nothing is copied, and training one network trains the other. (``.copy()``
    separates them.)

    Parameters
    ----------
    model : Model
        float32 or float64; its input_shape is the size it was made for.

    Raises
    ------
    ValueError
        If there is nothing to convert, or something that convolutions cannot do.

    >>> from minicnn.models import lenet5
    >>> dense = fc_to_conv(lenet5())
    >>> dense.output_shape((1, 1, 28, 28)), dense.output_shape((1, 1, 28, 56))
    ((1, 10, 1, 1), (1, 10, 1, 8))
    """
    conversion = _Conversion((1, *model.input_shape))
    layers = conversion.layers_of(model)
    if conversion.volume is None:
        raise ValueError(
            f"{model.architecture} has no Flatten and no GlobalAvgPool2d, and so gives maps already; its layers are "
            f"{', '.join(model.layers)}. Was it built with include_top=False?"
        )
    dense = Model(**model.config() | {"layers": layers, "architecture": f"{model.architecture} as convolutions"})
    return dense.train() if model.training else dense.eval()


def without_padding(model: Model) -> Model:
    """The network without any padding, for a crop together with its surroundings: input_shape grows by what the padding was.

    A padded network sees zeros around a crop; this one sees the pixels that are really there. Converted by `fc_to_conv` it
    gives its own scores for every crop of any picture. LeNet-5 gets the 32 x 32 pixels of its paper that way, AlexNet 355 x
    355, VGG-16 404 x 404. The scores differ from those of the padded network, which the weights were trained for.

    Convolutions and pools that were padded are new ones on the same parameters; all other layers are this network's own. It has
    no preprocessing: the caller has to cut out the crop with its surroundings.

    Raises
    ------
    ValueError
        For padding in branches, which need it to keep one size; and as in ``fc_to_conv``.

    >>> from minicnn.models import lenet5
    >>> without_padding(lenet5()).input_shape
    (1, 32, 32)
    """
    dense = fc_to_conv(model)
    OH, OW = dense.output_shape((1, *model.input_shape))[2:]
    size = receptive_field(dense, model.input_shape).size(OH, OW)
    unpadded = {
        "layers": _unpadded(model).layers,
        "architecture": f"{model.architecture} without padding",
        "input_shape": (model.input_shape[0], *size),
        "preprocessing": None,
    }
    grown = Model(**model.config() | unpadded)
    return grown.train() if model.training else grown.eval()


class _Conversion:
    """Converts the layers in the order in which they run.

    Attributes
    ----------
    shape : tuple
        Of the original's output so far, for one picture of its own size.
    volume : (C, H, W) or None
        The input of the next Linear layer, once the flattening (or the average) has been passed.
    average : Layer or None
        The GlobalAvgPool2d that was left out.
    """

    def __init__(self, input_shape: tuple[int, ...]):
        self.shape = input_shape
        self.volume: tuple[int, ...] | None = None
        self.average: Layer | None = None

    def layers_of(self, network: Sequential) -> dict[str, Layer]:
        converted = {name: self.converted(layer) for name, layer in network.layers.items()}
        return {name: layer for name, layer in converted.items() if layer is not None}

    def converted(self, layer: Layer) -> Layer | None:
        """The layer's replacement; None if it is left out."""
        if isinstance(layer, Sequential):
            inside = self.layers_of(layer)
            unchanged = list(inside.values()) == list(layer.layers.values())
            return layer if unchanged else Sequential(**inside) if inside else None
        before, self.shape = self.shape, layer.output_shape(self.shape)
        if isinstance(layer, AuxiliaryHead):
            return None
        if isinstance(layer, Flatten):
            self.volume = self.volume or before[1:]
            return None
        if self.volume is not None:
            return self._above(layer)
        if isinstance(layer, GlobalAvgPool2d):
            self.volume, self.average = (before[1], 1, 1), layer
            return None
        if isinstance(layer, AdaptiveAvgPool2d):
            return _windows_side_by_side(layer, before)
        return layer

    def _above(self, layer: Layer) -> Layer:
        """A layer above the flattening."""
        if isinstance(layer, Linear):
            conv = _as_convolution(layer, self.volume)
            self.volume = (layer.out_features, 1, 1)
            return conv
        if isinstance(layer, Activation) and self.average is not None:
            raise ValueError(
                f"{layer}, which is not linear, is above the average {self.average}, and the two cannot change places: only "
                "a classifier right on the average can become a convolution below it"
            )
        if isinstance(layer, (Activation, Dropout)):
            return layer
        if isinstance(layer, BatchNorm1d) and self.volume[1:] == (1, 1):
            return _over_maps(layer)
        raise ValueError(f"{layer} is above a flattened volume, {self.volume}, and no convolution does the same at every place")


def _as_convolution(layer: Linear, volume: Sequence[int]) -> Conv2d:
    """The convolution whose filters are the rows of a fully connected layer above a volume (C, H, W)."""
    C, *kernel = volume
    w = layer.w.value.reshape(layer.out_features, C, *kernel)
    conv = Conv2d(C, layer.out_features, kernel, initializer=lambda shape, rng, dtype: w)
    conv.w, conv.b = _view(layer.w, w.shape), layer.b
    return conv


def _view(parameter: Parameter, shape: tuple[int, ...]) -> Parameter:
    view = Parameter(parameter.value.reshape(shape), parameter.decays)
    view.trainable, view.learning_rate_multiplier = parameter.trainable, parameter.learning_rate_multiplier
    return view


def _over_maps(layer: BatchNorm1d) -> BatchNorm2d:
    norm = BatchNorm2d(**layer.config())
    norm.gamma, norm.beta = layer.gamma, layer.beta
    norm.running_mean, norm.running_var = layer.running_mean, layer.running_var
    return norm


def _windows_side_by_side(layer: AdaptiveAvgPool2d, input_shape: tuple[int, ...]) -> Layer | None:
    """The pool that averages the same windows at the network's own size, and goes on beyond it."""
    size, output = input_shape[2:], layer.output_size
    if any(length % number for length, number in zip(size, output, strict=True)):
        raise ValueError(
            f"{layer} makes {output[0]} x {output[1]} of {size[0]} x {size[1]} with windows that overlap, and no pool does the "
            "same over a larger map. Give the model an input_shape at which its windows are equal and side by side"
        )
    kernel = tuple(length // number for length, number in zip(size, output, strict=True))
    return None if math.prod(kernel) == 1 else AvgPool2d(kernel)


def _unpadded(network: Sequential) -> Sequential:
    """The same layers, convolutions and pools without their padding."""
    layers: dict[str, Layer] = {}
    for name, layer in network.layers.items():
        if isinstance(layer, Sequential):
            layers[name] = _unpadded(layer)
        elif isinstance(layer, (Conv2d, Pool2d)):
            layers[name] = copy.copy(layer)  # on the same parameters
            layers[name].pad = (0, 0)
        elif any(isinstance(inner, (Conv2d, Pool2d)) for _, inner in layer.walk()):
            raise ValueError(f"{layer} has branches, which need their padding to come out at one size; it cannot be taken off")
        else:
            layers[name] = layer
    return Sequential(**layers)
