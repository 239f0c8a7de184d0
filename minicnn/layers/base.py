"""What all layers have in common: the contract, the parameters, and what is remembered between forward and backward."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np

from .receptive_field import ReceptiveField

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


class Parameter:
    """An array that training changes, together with its gradient.

    Attributes
    ----------
    value : ndarray, float32 or float64
        The weights themselves.
    grad : ndarray of the same shape and dtype, or None
        dL/dvalue, *assigned* (never accumulated) by the last ``backward``; None where it was not computed.
    trainable : bool
        False: frozen. The optimiser leaves the value as it is and ``backward`` does not compute ``grad``.
    learning_rate_multiplier : float
        This parameter's learning rate is the optimiser's times this number (less than 1 in fine-tuning).
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

    Neither changes its argument, which may lie in memory in any order; maps that are returned usually lie channels last
    (`minicnn.kernels.layout`). ``backward`` assigns the gradients of the layer's own parameters and returns the gradient
    with respect to ``x`` (None where it is not needed). It belongs to the latest ``forward`` and can be called once.

    A new layer writes ``forward``, ``backward`` and ``output_shape``. Where its forward pass contains multiply-adds it also
    writes ``multiply_adds``, and where its output is a map whose elements see windows of the picture, ``receptive_field``. It
    lists what it owns in ``parameters``, ``state`` and ``config``.

    Attributes
    ----------
    name : str
        Its path from the network's root (``"block3.depthwise"``), set by the containers, used in messages.
    training : bool
        The mode: ``train()`` or ``eval()``. Matters to dropout and batch normalisation.
    remembers : bool
        Whether ``forward`` keeps what ``backward`` will need: in training, not in inference (but see `eval`). In a container
        that need not return dx, it is False for the layers below the lowest trainable one.
    needs_dx : bool
        Whether ``backward`` must return the gradient with respect to the input. True, until somebody who does not use it sets
        it to False, as the Trainer does for the whole network; the containers then set it for the layers inside: False up to
        and including the lowest trainable one, below which nothing needs a gradient.
    is_identity_in_inference : bool
        Whether y = x in inference, as in dropout: such a layer, and whatever is inside it, matters to training only.
    """

    is_identity_in_inference = False

    def __init__(self) -> None:
        self.name = type(self).__name__
        self.training = False
        self.remembers = False
        self.needs_dx = True
        self._remembered: dict[str, Any] | None = None

    # ---- what a layer computes

    def forward(self, x: np.ndarray) -> np.ndarray:
        """The layer's output y.

        Raises
        ------
        TypeError
            If x is no NumPy array, or neither float32 nor float64, or not of the dtype of the layer's parameters.
        ValueError
            If x has not the shape that the layer expects.
        """
        raise NotImplementedError(f"{type(self).__name__} must write forward(x)")

    def backward(self, dy: np.ndarray) -> np.ndarray | None:
        """dx = dL/dx, given dy = dL/dy; the gradients of the layer's own parameters are assigned to their ``grad``.

        Raises
        ------
        RuntimeError
            If there was no ``forward`` before it that remembered anything.
        ValueError
            If dy is not an array of y's shape and dtype.
        """
        raise NotImplementedError(f"{type(self).__name__} must write backward(dy)")

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of ``forward``'s result for an input of this shape, both with N in front.

        Raises
        ------
        ValueError
            If the layer does not take inputs of this shape.
        """
        raise NotImplementedError(f"{type(self).__name__} must write output_shape(input_shape)")

    def multiply_adds(self, input_shape: tuple[int, ...]) -> int:
        """Multiply-add operations of one ``forward`` in inference, for an input of this shape, N in front.

        By custom only those of convolutions and matrix products are counted.
        """
        return 0

    def receptive_field(self, below: ReceptiveField, input_shape: tuple[int, ...]) -> ReceptiveField:
        """Which pixels of the picture an element of y sees, given that for the elements of x (``below``).

        Raises
        ------
        ValueError
            If y is no map in which each element sees a window of the picture.
        """
        raise ValueError(
            f"{self} gives no map in which each element sees a window of the picture; leave it out, with cut(), or make it a "
            "convolution, with minicnn.transfer.fc_to_conv.fc_to_conv"
        )

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
        """What is saved with the weights but not trained (running mean and variance), by name: the arrays themselves."""
        return {f"{name}.{key}": array for name, child in self.children().items() for key, array in child.state().items()}

    def config(self) -> dict[str, Any]:
        """The constructor's arguments: ``type(layer)(**layer.config())`` makes a layer like this one, with new weights.

        The values are what JSON can hold; in containers they are the layers inside, by name.
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

        With ``backward=True`` it remembers all the same, for gradients in this mode: gradient checks, saliency maps.
        """
        return self._set_mode(training=False, remembers=backward)

    def _set_mode(self, training: bool, remembers: bool) -> Layer:
        for _, layer in self.walk():
            layer.training, layer.remembers, layer.needs_dx = training, remembers, True
            layer._remembered = None
        return self

    # ---- freezing

    def freeze(self) -> Layer:
        """Parameters and statistics stay bit-identical through training: ``trainable`` becomes False. Returns the layer."""
        for parameter in self.parameters().values():
            parameter.trainable = False
            parameter.grad = None
        return self

    def unfreeze(self) -> Layer:
        """Parameters are trained again. Returns the layer."""
        for parameter in self.parameters().values():
            parameter.trainable = True
        return self

    @property
    def trainable(self) -> bool:
        """Whether any parameter in here is trained. Read at every step, so that a change takes effect at once."""
        return any(parameter.trainable for parameter in self.parameters().values())

    # ---- dtype and randomness

    def astype(self, dtype: np.dtype | type) -> Layer:
        """Convert parameters and state in place: float32 for work, float64 for gradient checks. Returns the layer.

        Raises
        ------
        TypeError
            For any other dtype.
        """
        dtype = np.dtype(dtype)
        if dtype not in FLOATS:
            raise TypeError(f"layers compute in float32 or float64, got {dtype}")
        for _, layer in self.walk():
            layer._convert(dtype)
        return self

    def _convert(self, dtype: np.dtype) -> None:
        """Convert what this layer itself owns, not the layers inside it; batch norm also converts its statistics."""
        if not self.children():
            for parameter in self.parameters().values():
                parameter.value = parameter.value.astype(dtype, copy=False)
                parameter.grad = None

    def seed(self, rng: np.random.Generator) -> Layer:
        """Give each layer that draws random numbers (dropout) its own generator, spawned from ``rng``. Returns the layer."""
        for _, layer in self.walk():
            if hasattr(layer, "rng"):
                layer.rng = rng.spawn(1)[0]
        return self

    # ---- between forward and backward

    def remember(self, **values: Any) -> None:
        """Keep values by name for ``backward``, if there will be one."""
        self._remembered = values if self.remembers else None

    def recall(self) -> SimpleNamespace:
        """The values that ``forward`` remembered; from now on they are remembered no more.

        Raises
        ------
        RuntimeError
            If there are none.
        """
        if self._remembered is None:
            raise RuntimeError(
                f"{self}: backward() needs a forward() just before it, in train() mode or in eval(backward=True). "
                "Inference and frozen lower layers remember nothing, and one backward() uses up what forward() remembered."
            )
        values, self._remembered = SimpleNamespace(**self._remembered), None
        return values

    # ---- checks shared by all

    def check_input(self, x: np.ndarray, ndim: int | None = None) -> None:
        """Refuse an x that no layer can work with, or that has not ``ndim`` axes.

        Raises
        ------
        TypeError, ValueError
            As ``forward`` says.
        """
        if not isinstance(x, np.ndarray):
            raise TypeError(f"{self} expects a NumPy array, got {type(x).__name__}")
        if x.dtype not in FLOATS:
            raise TypeError(f"{self} computes in float32 or float64, got {x.dtype}; convert with x.astype(np.float32)")
        if ndim is not None and x.ndim != ndim:
            layout = {2: "(N, D)", 4: "(N, C, H, W)"}[ndim]
            raise ValueError(f"{self} expects an input of shape {layout}, got {x.shape}")
        own = {} if self.children() else self.parameters()
        for key, parameter in own.items():
            if parameter.value.dtype != x.dtype:
                raise TypeError(
                    f"{self} holds {key} in {parameter.value.dtype} and got x in {x.dtype}; "
                    f"convert one of them: layer.astype(x.dtype) or x.astype({parameter.value.dtype})"
                )

    def check_gradient(self, dy: np.ndarray, y_shape: tuple[int, ...], dtype: np.dtype) -> None:
        """Refuse a dy that has not y's shape and dtype: compiled loops would read past its end.

        Raises
        ------
        ValueError
            If it has not.
        """
        if not isinstance(dy, np.ndarray) or dy.shape != tuple(y_shape) or dy.dtype != dtype:
            got = f"{dy.dtype} {dy.shape}" if isinstance(dy, np.ndarray) else type(dy).__name__
            raise ValueError(f"{self}: backward(dy) expects a dy like y, {dtype} {tuple(y_shape)}, got {got}")

    def __str__(self) -> str:
        type_name = type(self).__name__
        return type_name if self.name == type_name else f"{type_name} '{self.name}'"
