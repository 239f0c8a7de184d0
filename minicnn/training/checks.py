"""What a training run is asked to do, looked at before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..layers.base import Layer
from ..optim import Optimizer
from .averaging import trained_arrays


def check_data(x: Sequence, y: Sequence, x_val: Sequence | None, y_val: Sequence | None, patience: int | None):
    """y and y_val as arrays, if they fit x and x_val; a ValueError if not."""
    if (x_val is None) != (y_val is None):
        raise ValueError("validation needs both x_val and y_val, got only one of them")
    if patience and x_val is None:
        raise ValueError(f"patience={patience} waits for a better validation: give x_val and y_val, or no patience")
    return targets_of(x, y, "x", "y"), None if x_val is None else targets_of(x_val, y_val, "x_val", "y_val")


def targets_of(x: Sequence, y: Sequence, x_name: str, y_name: str) -> np.ndarray:
    """y as an array, if it fits x."""
    y = np.asarray(y)
    if len(x) == 0:
        raise ValueError(f"{x_name} is empty; at least one sample is needed")
    if y.shape[:1] != (len(x),):
        raise ValueError(f"each sample needs one target: {x_name} holds {len(x)} samples, {y_name} has shape {y.shape}")
    return y


def check_trainable(model: Layer, optimizer: Optimizer) -> None:
    """A ValueError if there is nothing to train, if the optimiser was made for other parameters, or arrays are read-only."""
    optimised = {id(parameter) for parameter in optimizer.parameters.values()}
    trainable = {name: parameter for name, parameter in model.parameters().items() if parameter.trainable}
    if not trainable:
        raise ValueError(f"nothing in {model} is trainable: unfreeze() some of it, or put a new head on top")
    missing = [name for name, parameter in trainable.items() if id(parameter) not in optimised]
    if missing:
        raise ValueError(
            f"the optimiser was not given {len(missing)} of the model's {len(trainable)} trainable parameters "
            f"({_first_few(missing)}); make it from model.parameters() after the last change of layers, and freeze what is not "
            "to be trained"
        )
    read_only = [name for name, array in trained_arrays(model).items() if not array.flags.writeable]
    if read_only:
        raise ValueError(
            f"training changes arrays in place, and {len(read_only)} of the model's are read-only ({_first_few(read_only)}): "
            "of a file opened for reading, or another's memory. Give the model copies of them"
        )


def _first_few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
