"""timm's names for networks that torchvision calls otherwise, or does not have: MobileNetV2 and EfficientNet-Lite.

Blocks are counted within stages, "blocks.2.0", where others count them through. Its ResNets and VGGs have
torchvision's names.

The networks are described in ``timm/models/efficientnet.py`` of https://github.com/huggingface/pytorch-image-models.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...models.efficientnet import LITE, blocks_of_stages
from ...models.mobilenet import V2_STAGES
from .base import Source, Table
from .torchvision import COUNTERS, recipe, unit


def _table(counts: Sequence[int]) -> Table:
    """The rows of a network with so many blocks in its stages; the first has no convolution that widens."""
    rows = [*unit("stem", "", "conv_stem", "bn1"), *unit("head", "", "conv_head", "bn2"), ("classifier", "classifier")]
    places = [(stage, i) for stage, count in enumerate(counts) for i in range(count)]
    for n, (stage, i) in enumerate(places):
        parts = {"expand": ("conv_pw", "bn1"), "depthwise": ("conv_dw", "bn2"), "project": ("conv_pwl", "bn3")}
        if n == 0:
            parts = {"depthwise": ("conv_dw", "bn1"), "project": ("conv_pw", "bn2")}
        for block in (f"block{n}", f"block{n}.body"):  # without a shortcut, and with one
            for part, (conv, norm) in parts.items():
                rows += unit(f"{block}.{part}", f"blocks.{stage}.{i}.", conv, norm)
    return tuple(rows)


TIMM = Source(
    name="timm",
    tables={
        "mobilenet_v2": _table([blocks for _, _, blocks, _ in V2_STAGES]),
        **{f"efficientnet_lite{variant}": _table(blocks_of_stages(variant)) for variant in range(len(LITE))},
    },
    recipe=recipe,
    ignored=COUNTERS,
    linear=((".weight", ".bias"),),
    remarks={
        "efficientnet": "taken for timm's tf_efficientnet_lite. Its efficientnet_lite, without tf, has the same names, but "
        "pads evenly, has an eps of 1e-5 in its batch norms and prepares pictures as torchvision does: that is another network."
    },
)
