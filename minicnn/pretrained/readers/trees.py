"""Which dict of a pickled checkpoint has the network's weights: training scripts put them at the top, or somewhere inside.

Beside them may be anything: an optimiser's memory, counters, settings, a second network whose weights are a running average.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ...text import named
from .opening import Unsuitable
from .pickle_machine import Inert

DEEPEST = 4  # dicts in each other, counted from the top, in which weights are looked for
MOST_DICTS = 10_000  # looked at in one file
OPTIMIZERS = re.compile(r"optim|sched|scaler|callback|loops|(^|_)opt($|_)", re.IGNORECASE)
AVERAGES = re.compile(
    r"(^|_)(ema|swa|avg|averaged?|shadow|target|teacher)($|_)", re.IGNORECASE
)  # of the weights that are trained
HEADS = re.compile(r"(.*_)?(head|classifier|fc|linear|logits)", re.IGNORECASE)

Path = tuple[str, ...]


def find_weights(tree: Any, is_weight: Callable[[Any], bool]) -> tuple[dict[str, Any], list[str]]:
    """The dict in the tree that has a network's weights by name, and what is to be said about the choice.

    It is the one with the most weights; of several with about as many, one that is not an average over training, then the
    first. A dict beside it that is called a head belongs to it; names then begin with those of the two dicts. Lists of weights
    count as well: "NAME/0", "NAME/1", ....

    Parameters
    ----------
    tree : what a pickle holds
    is_weight : function
        Whether a value in a dict is one of the weights.

    Raises
    ------
    Unsuitable
        If there are none; it says what there is.
    """
    groups = {path: weights for path, group in _dicts(tree) if (weights := dict(_weights(group, is_weight)))}
    networks = {path: group for path, group in groups.items() if not any(OPTIMIZERS.search(word) for word in path)}
    if not networks:
        raise Unsuitable(f"has no weights by name: {_contents(tree)}. {_advice(tree)}")
    most = max(map(len, networks.values()))
    large = [path for path, group in networks.items() if 2 * len(group) >= most]
    is_average = {path: any(AVERAGES.search(word) for word in path) for path in large}
    chosen = min(large, key=lambda path: (is_average[path], -len(networks[path])))

    parts = {chosen: networks[chosen]}
    parts |= {
        path: group
        for path, group in networks.items()
        if chosen and path[:-1] == chosen[:-1] and HEADS.fullmatch(path[-1]) and path not in large
    }
    others = [f"{_called(path)} ({len(group)})" for path, group in networks.items() if path not in parts]
    notes = []
    if others:
        notes = [
            f"The weights under {' and '.join(map(_called, parts))} were taken ({sum(map(len, parts.values()))} arrays), not "
            f"those under {named(others)}."
        ]
    if len(parts) == 1:
        return networks[chosen], notes
    return {f"{path[-1]}.{name}": weight for path, group in parts.items() for name, weight in group.items()}, notes


def _called(path: Path) -> str:
    return f"'{'.'.join(path)[:80]}'" if path else "the top"


def _dicts(tree: Any) -> Iterator[tuple[Path, dict]]:
    """All dicts in the tree with the keys (in a list: the places) that lead to them, those at the top first; each once."""
    level: list[tuple[Path, Any]] = [((), tree)]
    seen: set[int] = set()
    for _ in range(DEEPEST):
        below = []
        for path, value in level:
            if id(value) in seen or len(seen) >= MOST_DICTS:
                continue
            seen.add(id(value))
            if isinstance(value, dict):
                yield path, value
            below += [((*path, str(key)), inner) for key, inner in _items(value) if isinstance(inner, (dict, list, tuple))]
        level = below


def _items(value: Any) -> Iterable[tuple[Any, Any]]:
    """What is in a dict under a name, or in a list."""
    if isinstance(value, dict):
        return [(key, inner) for key, inner in value.items() if isinstance(key, str)]
    return enumerate(value) if isinstance(value, (list, tuple)) else ()


def _weights(group: dict, is_weight: Callable[[Any], bool]) -> Iterator[tuple[str, Any]]:
    for key, value in group.items():
        if not isinstance(key, str):
            continue
        if is_weight(value):
            yield key, value
        elif isinstance(value, (list, tuple)) and value and all(map(is_weight, value)):
            yield from ((f"{key}/{k}", item) for k, item in enumerate(value))


def _contents(tree: Any) -> str:
    if isinstance(tree, Inert):
        return f"it is an object of the class {tree.name[:200]}"
    if not isinstance(tree, dict):
        return f"it is a {type(tree).__name__.lstrip('_').lower()}"
    entries = [
        f"{str(key)[:40]}{f' (an object of the class {value.name[:100]})' if isinstance(value, Inert) else ''}"
        for key, value in list(tree.items())[:10]
    ]
    return f"what it has is {', '.join(entries)}" if entries else "it is an empty dict"


def _advice(tree: Any) -> str:
    """What to do about a file without weights: objects are not run, and their weights must be saved by themselves."""
    values = [tree, *tree.values()] if isinstance(tree, dict) else [tree]
    if any(isinstance(value, Inert) for value in values):
        return (
            "Objects are code, of which nothing was run. Load it where it was made, and save its weights by themselves: "
            "torch.save(model.state_dict(), path)"
        )
    return "Save the weights of a network by name: torch.save(model.state_dict(), path)"
