"""LeNet-5, the network that read handwritten digits on cheques.

LeCun, Bottou, Bengio, Haffner 1998, "Gradient-Based Learning Applied to Document Recognition", section II.B and figure 2.
"""

from __future__ import annotations

import numpy as np

from ..data.preprocessing import Preprocessing
from ..initializers import msra, normal
from ..layers import (
    Conv2d,
    Flatten,
    Layer,
    Linear,
    MaxPool2d,
    ReLU,
)
from .blocks import Rng
from .model import HEAD_STD, Model
from .published import Family

MNIST = Preprocessing(size=(28, 28), fit="stretch", channels="L", mean=33.318, std=78.567)  # of its training pixels


def lenet5(num_classes: int = 10, include_top: bool = True, rng: Rng = None, *, in_channels: int = 1) -> Model:
    """LeNet-5 as it is built today, with the paper's names for its layers: 61,706 parameters with 10 classes.

    What differs from 1998:

    - c1 pads the 28 x 28 picture of MNIST by 2; the paper fed pictures that were 32 x 32.
    - ReLU; the paper: a scaled tanh, 1.7159 tanh(2x/3), after each subsampling.
    - s2 and s4 take the maximum of 2 x 2; the paper: their sum, times a trainable weight, plus a trainable bias.
    - c3 sees all six maps of s2; the paper: a table of which sees which, to break symmetry and save connections.
    - the output is linear, for a softmax; the paper: the distance to a drawing of each character (Euclidean RBF units).

    Input (N, 1, 28, 28): white strokes on black, as in MNIST. With ``include_top=False``, which leaves out flatten, f6, relu6
    and output, any (N, 1, H, W) from 28 x 28 on. With other ``in_channels`` how pictures are prepared is left open.

    >>> model = lenet5()
    >>> sum(parameter.value.size for parameter in model.parameters().values())
    61706
    """
    rng = np.random.default_rng(rng)
    layers: dict[str, Layer] = {
        "c1": Conv2d(in_channels, 6, 5, pad=2, rng=rng),  # 28 x 28 x 6
        "relu1": ReLU(),
        "s2": MaxPool2d(2),  # 14 x 14 x 6
        "c3": Conv2d(6, 16, 5, rng=rng),  # 10 x 10 x 16
        "relu3": ReLU(),
        "s4": MaxPool2d(2),  # 5 x 5 x 16
        "c5": Conv2d(16, 120, 5, rng=rng),  # 1 x 1 x 120: fully connected at this size, but a convolution at others
        "relu5": ReLU(),
    }
    if include_top:
        layers |= {
            "flatten": Flatten(),
            "f6": Linear(120, 84, initializer=msra, rng=rng),
            "relu6": ReLU(),
            # small, for scores that are nearly equal: training starts at a loss of about log(num_classes)
            "output": Linear(84, num_classes, initializer=normal(HEAD_STD), rng=rng),
        }
    return Model(
        layers,
        architecture="lenet5",
        input_shape=(in_channels, 28, 28),
        preprocessing=MNIST if in_channels == 1 else None,
    )


# ---- others' weights

LENET = Family(name="lenet", architectures=("lenet5",), preprocessing={"torchvision": MNIST})
