"""What every layer has in common: the contract, the parameters, and what is remembered between forward and backward."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


class Parameter:
    """An array that training changes, with the gradient that says how.

    Attributes
    ----------
    value : ndarray, float32 or float64
        The weights themselves.
    grad : ndarray of the same shape and dtype, or None
        dL/dvalue, *assigned* (never accumulated) by the last ``backward``; None where it was not computed.
    trainable : bool
        False: frozen. The optimiser leaves the value as it is and ``backward`` does not compute ``grad``.
    learning_rate_multiplier : float
        The optimiser's learning rate times this number is what this parameter gets (fine-tuning: less than 1).
    decays : bool
        Whether weight decay applies. By custom it does to weights, and not to biases, gamma and beta.
    """

    __slots__ = ("decays", "grad", "learning_rate_multiplier", "trainable", "value")

    def __init__(self, value: np.ndarray, decays: bool = True):
        self.value = value
        self.grad: np.ndarray | None = None
        self.trainable = True
        self.learning_rate_multiplier = 1.0
        self.decays = decays

    def __repr__(self) -> str:
        frozen = "" if self.trainable else ", frozen"
        return f"Parameter({self.value.shape}, {self.value.dtype}{frozen})"


class Layer:
    """The contract: ``y = layer.forward(x)`` and ``dx = layer.backward(dy)``.

    Neither changes its argument. ``backward`` assigns the gradients of the layer's own parameters and returns the gradient
    with respect to ``x`` (None where nobody needs it). It belongs to the latest ``forward`` and can be called once.

    A layer that computes something writes four methods, ``forward``, ``backward``, ``output_shape`` and (where it costs
    any) ``multiply_adds``, and lists what it owns in ``parameters``, ``state`` and ``config``.

    Attributes
    ----------
    name : str
        Its path from the network's root (``"block3.depthwise"``), set by the containers, used in messages.
    training : bool
        The mode: ``train()`` or ``eval()``. Matters to dropout and batch normalisation.
    remembers : bool
        Whether ``forward`` keeps what ``backward`` will need. True in training, False in inference; containers switch it
        off for the layers below the lowest trainable one.
    needs_dx : bool
        Whether ``backward`` must return the gradient of the input. Containers switch it off for the lowest trainable layer,
        below which nobody asks.
    """

    def __init__(self) -> None:
        self.name = type(self).__name__
        self.training = False
        self.remembers = False
        self.needs_dx = True
        self._remembered: dict[str, Any] | None = None

    # ---- what a layer computes

    def forward(self, x: np.ndarray) -> np.ndarray:
        raise NotImplementedError(f"{type(self).__name__} must write forward(x)")

    def backward(self, dy: np.ndarray) -> np.ndarray | None:
        raise NotImplementedError(f"{type(self).__name__} must write backward(dy)")

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of ``forward``'s result for an input of this shape, both with N in front."""
        raise NotImplementedError(f"{type(self).__name__} must write output_shape(input_shape)")

    def multiply_adds(self, input_shape: tuple[int, ...]) -> int:
        """Multiply-add operations of one ``forward`` on an input of this shape (convolutions and products only)."""
        return 0

    # ---- what a layer owns

    def children(self) -> dict[str, Layer]:
        """The layers inside this one, by name, in the order in which they run."""
        return {}

    def parameters(self) -> dict[str, Parameter]:
        """Parameters by name, in definition order: ``{"w": ..., "b": ...}``; in containers ``{"conv1.w": ...}``."""
        return {
            f"{name}.{key}": parameter
            for name, child in self.children().items()
            for key, parameter in child.parameters().items()
        }

    def state(self) -> dict[str, np.ndarray]:
        """What is saved with the weights but not trained (running mean and variance), by name; the live arrays."""
        return {f"{name}.{key}": array for name, child in self.children().items() for key, array in child.state().items()}

    def config(self) -> dict[str, Any]:
        """The constructor's arguments: ``type(layer)(**layer.config())`` has the same shape.

        They are what JSON can hold, or in containers the layers inside by name.
        """
        return {}

    def walk(self) -> Iterator[tuple[str, Layer]]:
        """Every layer inside this one with its path, parents before children; this one first, with path ''."""
        yield "", self
        for name, child in self.children().items():
            for path, layer in child.walk():
                yield (f"{name}.{path}" if path else name), layer

    # ---- modes

    def train(self) -> Layer:
        """Training mode: dropout drops, batch norm uses the batch's statistics, forward remembers. Returns the layer."""
        return self._set_mode(training=True, remembers=True)

    def eval(self, backward: bool = False) -> Layer:
        """Inference mode: deterministic, and nothing is remembered. Returns the layer.

        ``backward=True`` remembers all the same, for those who want gradients in this mode: gradient checks, saliency maps.
        """
        return self._set_mode(training=False, remembers=backward)

    def _set_mode(self, training: bool, remembers: bool) -> Layer:
        for _, layer in self.walk():
            layer.training, layer.remembers, layer.needs_dx = training, remembers, True
            layer._remembered = None
        return self

    # ---- freezing

    def freeze(self) -> Layer:
        """Frozen: parameters and statistics stay bit-identical through training. (`trainable` becomes False, not True.)"""
        for parameter in self.parameters().values():
            parameter.trainable = False
            parameter.grad = None
        return self

    def unfreeze(self) -> Layer:
        for parameter in self.parameters().values():
            parameter.trainable = True
        return self

    @property
    def trainable(self) -> bool:
        """Whether anything in here is trained. Read at every step, so a change takes effect at once."""
        return any(parameter.trainable for parameter in self.parameters().values())

    # ---- dtype and randomness

    def astype(self, dtype: np.dtype | type) -> Layer:
        """Convert parameters and state in place: float32 for work, float64 for gradient checks. Returns the layer."""
        dtype = np.dtype(dtype)
        if dtype not in FLOATS:
            raise TypeError(f"layers compute in float32 or float64, got {dtype}")
        for _, layer in self.walk():
            layer._convert(dtype)
        return self

    def _convert(self, dtype: np.dtype) -> None:
        """Convert what this very layer owns (not its children); batch norm also converts its statistics."""
        if not self.children():
            for parameter in self.parameters().values():
                parameter.value = parameter.value.astype(dtype, copy=False)
                parameter.grad = None

    def seed(self, rng: np.random.Generator) -> Layer:
        """Give every layer that draws random numbers (dropout) a generator of its own, derived from this one."""
        for _, layer in self.walk():
            if hasattr(layer, "rng"):
                layer.rng = rng.spawn(1)[0]
        return self

    # ---- between forward and backward

    def remember(self, **values: Any) -> None:
        """Keep named values for ``backward``, if there will be one."""
        self._remembered = values if self.remembers else None

    def recall(self) -> SimpleNamespace:
        """The values that ``forward`` remembered, which are let go with this call."""
        if self._remembered is None:
            raise RuntimeError(
                f"{self}: backward() needs a forward() just before it, in train() mode or in eval(backward=True). "
                "Inference and frozen lower layers remember nothing, and one backward() uses up what forward() remembered."
            )
        values, self._remembered = SimpleNamespace(**self._remembered), None
        return values

    # ---- checks shared by all

    def check_input(self, x: np.ndarray, ndim: int | None = None) -> None:
        """Refuse what no layer can work with, in a sentence."""
        if not isinstance(x, np.ndarray):
            raise TypeError(f"{self} expects a NumPy array, got {type(x).__name__}")
        if x.dtype not in FLOATS:
            raise TypeError(f"{self} computes in float32 or float64, got {x.dtype}; convert with x.astype(np.float32)")
        if ndim is not None and x.ndim != ndim:
            layout = {2: "(N, D)", 4: "(N, C, H, W)"}[ndim]
            raise ValueError(f"{self} expects an input of shape {layout}, got {x.shape}")
        for key, parameter in self.parameters().items() if not self.children() else ():
            if parameter.value.dtype != x.dtype:
                raise TypeError(
                    f"{self} holds {key} in {parameter.value.dtype} and got x in {x.dtype}; "
                    f"convert one of them: layer.astype(x.dtype) or x.astype({parameter.value.dtype})"
                )

    def check_gradient(self, dy: np.ndarray, y_shape: tuple[int, ...], dtype: np.dtype) -> None:
        """Refuse a dy that is not the gradient of this layer's y: the loops would read past its end."""
        if not isinstance(dy, np.ndarray) or dy.shape != tuple(y_shape) or dy.dtype != dtype:
            got = f"{dy.dtype} {dy.shape}" if isinstance(dy, np.ndarray) else type(dy).__name__
            raise ValueError(f"{self}: backward(dy) expects a dy like y, {dtype} {tuple(y_shape)}, got {got}")

    def __str__(self) -> str:
        kind = type(self).__name__
        return kind if self.name == kind else f"{kind} '{self.name}'"
