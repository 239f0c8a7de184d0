"""Networks inside other things: what training code puts before the names of a network's arrays, and beside them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

# Parts of a path that PyTorch's tools put in, anywhere: torch.compile, sharding, activation checkpoints, DeepSpeed.
PUT_IN = {"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module"}
AVERAGES = re.compile(r"(^|[._])(ema|swa|averaged?|shadow|target|teacher|encoder_k)([._]|$)", re.IGNORECASE)
# What belongs to training, and to no network: losses with weights of their own, measures of success.
HELPERS = re.compile(r"(\w*loss(_\w+)?|criterions?|crit|\w*metrics?|\w*_acc|\w*accuracy|confmat)[._].*", re.IGNORECASE)
# by Keras's Normalization they are numbered: mean, variance, and a count
STATISTICS = re.compile(r"(.*[._])?(mean|std|pixel_mean|pixel_std)|(.*/)?normalization\w*/(0|1|mean|variance)")
LEAST_SHARE = 0.2  # of a file's arrays: with fewer, what is behind a prefix is not a network but a part that looks like one
OUTSIDE = "^"  # begins the names of arrays that are not below the network's prefix


@dataclass(frozen=True)
class Wrapped:
    """The arrays of a file, those of the network under the names that it has by itself.

    Attributes
    ----------
    arrays : dict from name to array
        Of those below the prefix the names without it; the others' begin with ``OUTSIDE``.
    theirs : dict from name to name
        What each is called in the file.
    prefix : str
        What all names of the network begin with in the file; often nothing.
    rivals : list of str
        Other prefixes under which the file has a network as large.
    """

    arrays: dict[str, np.ndarray]
    theirs: dict[str, str]
    prefix: str
    rivals: list[str]


def unwrap(arrays: Mapping[str, np.ndarray], expected: Collection[str]) -> Wrapped:
    """Take off what stands before the names of a network.

    Parameters
    ----------
    arrays : mapping from name to array
        The file's.
    expected : collection of str
        Names that arrays of the network may have by itself. The prefix is the one behind which most of them are found.

    >>> one = np.ones(1)
    >>> wrapped = unwrap({"loss.weight": one, "model._orig_mod.fc.weight": one}, {"fc.weight"})
    >>> list(wrapped.arrays), wrapped.prefix
    (['^loss.weight', 'fc.weight'], 'model.')
    """
    bare = {name: _without_put_in(name) for name in arrays}
    if len(set(bare.values())) < len(bare):  # two would have one name
        bare = {name: name for name in arrays}
    found: dict[str, set[str]] = defaultdict(set)  # what stands before names of a network -> all names that have it there
    for name in bare.values():
        for prefix, rest in _cuts(name):
            if rest in expected:
                found[prefix].add(name)
    most = max(map(len, found.values()), default=0)
    least = LEAST_SHARE * len(bare)
    large = [prefix for prefix, names in found.items() if 2 * len(names) > most and (not prefix or len(names) > least)]
    prefix = min(large, key=lambda prefix: (bool(AVERAGES.search(prefix)), -len(found[prefix]), len(prefix)), default="")
    theirs = {
        name.removeprefix(prefix) if name.startswith(prefix) else f"{OUTSIDE}{name}": original
        for original, name in bare.items()
    }
    rivals = [other for other in large if found[other].isdisjoint(found[prefix])]
    return Wrapped({name: arrays[original] for name, original in theirs.items()}, theirs, prefix, rivals)


def _without_put_in(name: str) -> str:
    return ".".join(part for part in name.split(".") if part not in PUT_IN)


def _cuts(name: str) -> Iterator[tuple[str, str]]:
    """The name cut at each place where a part of the path may end, (what is before, what is behind)."""
    yield "", name
    for cut in re.finditer(r"[./]", name):
        yield name[: cut.end()], name[cut.end() :]


def is_helper(name: str, array: np.ndarray) -> bool:
    """Whether an array is none of a network's, in any architecture: a count, a loss's, or a measure's."""
    return array.ndim == 0 or bool(HELPERS.fullmatch(name.removeprefix(OUTSIDE)))


def is_statistic(name: str, array: np.ndarray) -> bool:
    """Whether an array may be the mean or standard deviation by which a network prepares its pictures itself."""
    return bool(STATISTICS.fullmatch(name.removeprefix(OUTSIDE))) and 1 <= array.size <= 4
