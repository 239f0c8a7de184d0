"""The published weights that ``minicnn.load`` knows by name: those of all families, publisher by publisher.

The facts stand in the files of the architectures, `minicnn.models.vgg` and the others; what they mean is said in
`minicnn.models.published`.
"""

from __future__ import annotations

from ..models import FAMILIES
from ..models.published import Entry

PUBLISHERS = ("PyPI", "torchvision", "keras", "caffe")  # in the order in which their weights are listed; others follow


def _place(entry: Entry) -> int:
    return PUBLISHERS.index(entry.publisher) if entry.publisher in PUBLISHERS else len(PUBLISHERS)


ENTRIES: dict[str, Entry] = {
    entry.name: entry for entry in sorted((entry for family in FAMILIES.values() for entry in family.weights), key=_place)
}
