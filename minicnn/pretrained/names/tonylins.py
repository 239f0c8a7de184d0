"""The names of MobileNetV2 in J. Lin's pytorch-mobilenet-v2, which torchvision's are derived from and many others use.

A block is one nn.Sequential there, in which all layers are counted; torchvision has one in another.

Source: ``MobileNetV2.py`` of https://github.com/tonylins/pytorch-mobilenet-v2
"""

from __future__ import annotations

from .base import Source, Table
from .torchvision import COUNTERS, recipe, unit

MOBILENET_V2: Table = (
    *unit("stem", "features.0.", "0", "1"),
    *unit("block0.depthwise", "features.1.conv.", "0", "1"),
    *unit("block0.project", "features.1.conv.", "3", "4"),
    *(
        row
        for block in ("block{n}", "block{n}.body")  # without a shortcut, and with one
        for part, conv, norm in (("expand", "0", "1"), ("depthwise", "3", "4"), ("project", "6", "7"))
        for row in unit(f"{block}.{part}", "features.{n+1}.conv.", conv, norm)
    ),
    ("head.conv", "conv.0|features.18.0"),
    ("head.norm", "conv.1|features.18.1"),
    ("classifier", "classifier|classifier.1"),
)

TONYLINS = Source(
    name="tonylins",
    tables={"mobilenet_v2": MOBILENET_V2},
    recipe=recipe,
    ignored=COUNTERS,
    linear=((".weight", ".bias"),),
)
