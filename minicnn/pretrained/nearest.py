"""Names as people write them: "ResNet-18" for "resnet18", and what was probably meant by "resnet19"."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable


def known_as(name: str, known: Iterable[str]) -> str | None:
    """The known name that is this one but for capitals, hyphens, dots and spaces; None if there is none.

    >>> known_as("ResNet-18", ["resnet18", "vgg16_bn"]), known_as("vgg16bn", ["resnet18", "vgg16_bn"])
    ('resnet18', 'vgg16_bn')
    """
    names = list(known)
    return name if name in names else {_letters(known): known for known in names}.get(_letters(name))


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A question to end an error with, " Did you mean ...?"; empty if no known name is like it.

    >>> did_you_mean("mobilenet", ["mobilenet_v1", "mobilenet_v2", "vgg16"])
    " Did you mean 'mobilenet_v1' or 'mobilenet_v2'?"
    """
    names = {_letters(known): known for known in known}
    wanted = _letters(name)
    begin = [letters for letters in names if wanted and letters.startswith(wanted)]
    close = begin or difflib.get_close_matches(wanted, names, n=2, cutoff=0.75)
    return f" Did you mean {' or '.join(repr(names[letters]) for letters in close[:3])}?" if close else ""


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
