"""The names of ResNet-50 in ``keras.applications`` until 2018: "res2a_branch2a", "bn2a_branch2a", "fc1000".

They are those of the authors' Caffe files; the layout is Keras's.

Source: ``keras/applications/resnet50.py`` of Keras 2.1
"""

from __future__ import annotations

from ...models import Model
from .base import Source, Table
from .caffe import TABLES as CAFFE_TABLES
from .keras import KERAS, set_norms, stride_first


def _row(ours: str, theirs: str) -> tuple[str, str]:
    """Caffe's two layers of a norm, bn2a_branch1 and scale2a_branch1, are one here."""
    return ours, "|".join(f"bn{name}" for name in theirs.split("|")) if ours.endswith(".norm") else theirs


RESNET: Table = tuple(_row(ours, theirs) for ours, theirs in CAFFE_TABLES["resnet"])


def resnet(model: Model) -> None:
    """The stride in front, and the batch norm that Keras had by default."""
    stride_first(model)
    set_norms(model, eps=1e-3, momentum=0.01)


KERAS_OLD = Source(
    name="keras_old",
    tables={"resnet50": RESNET},
    recipe=KERAS.recipe,
    changes={"resnet": resnet},
    ignored=KERAS.ignored,
    linear=KERAS.linear,
    outputs_first=False,
    remarks={
        "resnet": "Under these names Keras had two forms of ResNet-50, which a file of weights alone does not tell apart: "
        "taken is the later one, with a padding of 3 in front of the first convolution and of 1 in front of the first pool. "
        "The earlier one pads the convolution as TensorFlow does, and the pool not at all. The file of model.save() says which "
        "it is."
    },
)
