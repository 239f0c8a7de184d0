"""Mirrored training pictures that look like another class are noticed; and what cannot be compared is not."""

import numpy as np
import pytest
from test_novelty import tiny

from minicnn.transfer.mirrored import compare_mirrored


def halves(n=24):
    """Bright on the left (class 0) or on the right (class 1): uint8 (n, 8, 8, 3), labels."""
    rng = np.random.default_rng(0)
    labels = np.arange(n) % 2
    pictures = rng.integers(0, 60, (n, 8, 8, 3))
    for picture, label in zip(pictures, labels, strict=True):
        picture[:, 4 * label : 4 * label + 4] += 180
    return pictures.astype(np.uint8), labels


def compare(pictures, labels, among=None):
    model = tiny()
    among = np.arange(len(labels)) if among is None else among
    return compare_mirrored(model, pictures, labels, among, ["left", "right"])


@pytest.mark.parametrize("labels", [[0] * 8, [0] * 7 + [1]])
def test_where_a_class_has_one_picture_or_there_is_one_class_nothing_is_compared(labels):
    pictures, _ = halves(8)
    assert compare(pictures, np.array(labels)) is None


def test_two_pictures_of_each_class_are_enough():
    pictures, labels = halves(4)
    assert compare(pictures, labels) is not None
