"""Pictures that are nearly the same: copies that were saved again, made smaller, cropped or mirrored, neighbours in a video.

A copy in the test part is a picture that was trained on, and makes the test score too good. Files of equal content are found
when they are opened (`minicnn.data.folders`); these here are equal for a network and for the eye only. Two pictures count as
nearly the same if their codes point in nearly the same direction, far closer than codes of neighbours usually are in this
collection, and if one is seen in the other one, or in its mirror image, when the mean picture is taken from both
(`minicnn.transfer.crop_matching`): pictures of one kind have similar codes, but not the same light and dark at one place.

Of 80 altered copies beside the 397 pictures of ants and bees, with the codes of EfficientNet-Lite0, so many are found: 78 saved
again as JPEG of quality 30, 65 half as large, 77 mirrored, 78 and 77 cropped to the central 80 and 70 % of each side, 66 turned
by 2 degrees; 44 cropped to the central 60 %. Mostly missed are those turned by 5 degrees (10 are found) and crops of 70 % out
of a corner (8), of which the network sees another part. Where every picture has a copy, as many are found or more. No pair of
different pictures is taken for copies (``python -m benchmarks.near_duplicates --every 5``, 2026-11-29); where all pictures look
alike some are: 33 pairs of 250 pictures of clothes (Fashion-MNIST), 11 of 328 solar cells. Of a picture with more than nine
copies, as in a long video, fewer are found.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ..data.picture_set import PictureSet
from ..data.small_pixels import small_pixels
from ..models.novelty import unit_length
from ..text import named
from .crop_matching import crop_correlation

LEAST_COSINE = 0.65  # of the codes
# 1 - cosine is at most this times that of a usual picture and its tenth neighbour: where each picture has copies, the nearest
# neighbours are these, and say nothing about different pictures
CLOSER = 0.6
# of the one picture with its place in the other: crops of 60 % and more have 0.93 to 1, different pictures of ants and bees at
# most 0.83; among 525 solar cells, which all look alike, 19 pairs have more
LEAST_CORRELATION = 0.93
SIDE = 64  # pixels, of the grey pictures that are compared
SEVERAL = 500  # pictures, of which the mean picture is computed
MOST_COMPARED = 5000  # pairs, those with the most similar codes, that are looked at: some milliseconds each
NEIGHBOURS = 10  # of a picture that are looked at
ROWS = 512  # of the matrix of cosines at a time


@dataclass(frozen=True)
class NearDuplicates:
    """Pairs of pictures that are nearly the same.

    Attributes
    ----------
    pairs : int64 (P, 2)
        Indices of both pictures, the lower one first; the most similar pair first.
    """

    pairs: np.ndarray = field(default_factory=lambda: np.empty((0, 2), np.int64))

    def across(self, parts: Mapping[str, np.ndarray]) -> np.ndarray:
        """Those of the pairs whose pictures are in different parts, (P, 2)."""
        part_of = {row: name for name, rows in parts.items() for row in rows.tolist()}
        differ = [a in part_of and b in part_of and part_of[a] != part_of[b] for a, b in self.pairs.tolist()]
        return self.pairs[np.array(differ, bool)]

    def sentence(self, pictures: PictureSet, parts: Mapping[str, np.ndarray], are_grouped: bool = False) -> str:
        """How many there are, with examples, and what that means for the test."""
        across = self.across(parts)
        shown = across if len(across) else self.pairs
        examples = named([f"{pictures.file_name(a)} = {pictures.file_name(b)}" for a, b in shown], 3)
        count = len(self.pairs)
        text = f"{count} pair{'s' * (count > 1)} of pictures {'look' if count > 1 else 'looks'} nearly the same"
        if are_grouped:
            sizes = ", ".join(f"{len(rows)} {part}" for part, rows in parts.items())
            return f"{text} ({examples}); each pair is kept in one part (--group-duplicates), which makes {sizes} pictures"
        if not len(across):
            return f"{text} ({examples}), all of them within one part"
        tested = len(np.intersect1d(across, parts["test"]))
        harm = (
            f"{tested} of the {len(parts['test'])} test pictures {'have' if tested > 1 else 'has'} a copy that is trained on "
            "or validated with, and the test score is too good by that"
            if tested
            else "the validation score is too good by that"
        )
        text += f", {len(across)} of them in different parts ({examples})"
        return f"{text}: {harm}; --group-duplicates keeps copies in one part"


def find_near_duplicates(codes: np.ndarray, fitted: np.ndarray) -> NearDuplicates:
    """All pairs among N pictures that are nearly the same.

    Parameters
    ----------
    codes : (N, D)
        CNN codes.
    fitted : uint8 (N, H, W, C)
        The pictures at one size.
    """
    if len(codes) < 3:
        return NearDuplicates()
    directions = unit_length(codes)
    count = min(NEIGHBOURS, len(codes) - 1)
    neighbours, cosines = np.empty((len(codes), count), np.int64), np.empty((len(codes), count))
    for start in range(0, len(codes), ROWS):
        block = directions[start : start + ROWS] @ directions.T
        block[np.arange(len(block)), start + np.arange(len(block))] = -1
        nearest = np.argpartition(-block, count - 1, axis=1)[:, :count]
        neighbours[start : start + ROWS] = nearest
        cosines[start : start + ROWS] = np.take_along_axis(block, nearest, axis=1)
    usual = float(np.median(cosines.min(axis=1)))
    i, k = np.nonzero(cosines >= max(LEAST_COSINE, 1 - CLOSER * (1 - usual)))
    pairs = np.unique(np.sort(np.stack([i, neighbours[i, k]], axis=1), axis=1), axis=0)
    cosine = np.einsum("pd,pd->p", directions[pairs[:, 0]], directions[pairs[:, 1]])
    pairs = pairs[np.argsort(-cosine, kind="stable")[:MOST_COMPARED]]
    grey = without_mean_picture(fitted, np.unique(pairs))
    alike = np.array([crop_correlation(grey[a], grey[b]) >= LEAST_CORRELATION for a, b in pairs], bool)
    return NearDuplicates(pairs[alike])


def without_mean_picture(fitted: np.ndarray, rows: np.ndarray) -> dict[int, np.ndarray]:
    """Some of the pictures uint8 (N, H, W, C) as `crop_correlation` compares them: grey, small, less the mean picture."""
    mean = np.mean([_small(fitted[k]) for k in range(0, len(fitted), -(-len(fitted) // SEVERAL))], axis=0)
    return {k: _small(fitted[k]) - mean for k in rows}


def grouped(parts: Mapping[str, np.ndarray], pairs: np.ndarray) -> dict[str, np.ndarray]:
    """The parts with pictures that are nearly the same in one of them: that of the first of each group.

    >>> parts = {"train": np.array([0, 1, 4]), "val": np.array([2]), "test": np.array([3, 5])}
    >>> {name: rows.tolist() for name, rows in grouped(parts, np.array([[0, 5], [2, 5]])).items()}
    {'train': [0, 1, 2, 4, 5], 'val': [], 'test': [3]}
    """
    part_of = {int(row): name for name, rows in parts.items() for row in rows}
    leader = {row: row for row in part_of}

    def first_of(row: int) -> int:
        while leader[row] != row:
            row = leader[row]
        return row

    for a, b in pairs:
        low, high = sorted((first_of(int(a)), first_of(int(b))))
        leader[high] = low
    return {name: np.array([row for row in sorted(part_of) if part_of[first_of(row)] == name], np.int64) for name in parts}


def _small(picture: np.ndarray) -> np.ndarray:
    """The picture in grey, about 64 x 64, with mean 0 and length 1; all zeros where it is one grey."""
    H, W, C = picture.shape
    grey = small_pixels(picture[None], SIDE).reshape(H // max(H // SIDE, 1), W // max(W // SIDE, 1), C).mean(axis=2)
    grey -= grey.mean()
    return grey / max(float(np.linalg.norm(grey)), 1e-6)
