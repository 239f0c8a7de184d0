"""Looking inside a network: the activations at named layers, from one forward pass."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable

import numpy as np

from ..layers import Layer, Sequential


def activations(network: Sequential, x: np.ndarray, names: Iterable[str]) -> dict[str, np.ndarray]:
    """The activations at the layers named, for the input x: by name, in the order of the names.

    The pass ends when the last of them has run. The layers work in the mode in which they are, but nothing is remembered for
    ``backward``.

    Parameters
    ----------
    network : Sequential
    x : float32 or float64, as ``network.forward`` takes it
    names : iterable of str
        Paths as in ``network.walk()``: ``"block3"``, ``"block3.body.expand"``.

    Raises
    ------
    ValueError
        For a name that is not there; it lists those that are most alike. And for a layer that does not run: those inside an
        auxiliary head run in training only.
    """
    names = list(names)
    check_names(network, names)
    missing, found = set(names), {}

    def report(path: str, y: np.ndarray) -> None:
        if path in missing:
            missing.remove(path)
            found[path] = y
            if not missing:
                raise _AllFound

    def probed(path: str, layer: Layer) -> _Probe:
        """The layer wrapped in a probe; its children as well, if the activations inside it are asked for."""
        if any(name.startswith(f"{path}.") for name in names):
            children = {key: probed(f"{path}.{key}", child) for key, child in layer.children().items()}
            opened = type(layer)(**layer.config() | children)
            opened.name = layer.name
            return _Probe(path, opened, report)
        return _Probe(path, layer, report)

    try:
        if names:
            Sequential(**{name: probed(name, layer) for name, layer in network.children().items()}).forward(x)
    except _AllFound:
        pass
    if missing:
        raise ValueError(
            f"{', '.join(sorted(missing))} did not run: what is inside an auxiliary head runs in training steps only"
        )
    return {name: found[name] for name in names}


def check_names(network: Layer, names: Iterable[str]) -> None:
    """Refuse names of layers that are not there."""
    paths = [path for path, _ in network.walk() if path]
    for name in names:
        if name in paths:
            continue
        same_block = [path for path in paths if path.split(".")[0] == name.split(".")[0]]
        alike = difflib.get_close_matches(name, same_block or paths, n=4)
        raise ValueError(
            f"there is no layer {name!r} in {getattr(network, 'architecture', network)}"
            + (f"; did you mean {', '.join(alike)}? " if alike else f", which has {', '.join(network.children())}. ")
            + "A layer inside another is named by its path, such as block3.body.expand; walk() gives all paths"
        )


class _Probe(Layer):
    """A wrapper around a layer: computes what the layer computes, and reports the output."""

    def __init__(self, path: str, layer: Layer, report: Callable[[str, np.ndarray], None]):
        super().__init__()
        self.path, self.layer, self.report = path, layer, report

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.layer.remembers = self.remembers  # False: there is no backward pass
        y = self.layer.forward(x)
        self.report(self.path, y)
        return y


class _AllFound(Exception):
    """All activations asked for are there: the rest of the network need not run."""
