"""What a training run is asked to do, looked at before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..layers.base import Layer
from ..optim import Optimizer
from ..regularizers import Regularizer
from ..schedules import ReduceOnPlateau, Schedule
from ..text import named
from .averaging import trained_arrays


def check_data(x: Sequence, y: Sequence, x_val: Sequence | None, y_val: Sequence | None):
    """y and y_val as arrays, if they fit x and x_val; a ValueError if not."""
    if (x_val is None) != (y_val is None):
        raise ValueError("validation needs both x_val and y_val, got only one of them")
    return targets_of(x, y, "x", "y"), None if x_val is None else targets_of(x_val, y_val, "x_val", "y_val")


def check_no_validation_is_needed(patience: int | None, schedule: Schedule) -> None:
    """A ValueError if something waits for the result of a validation."""
    if patience:
        raise ValueError(f"patience={patience} waits for a better validation: give x_val and y_val, or no patience")
    if isinstance(schedule, ReduceOnPlateau):
        raise ValueError("ReduceOnPlateau waits for the validation loss: give x_val and y_val, or another schedule")


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
            f"({named(missing, most=3)}); make it from model.parameters() after the last change of layers, and freeze what is "
            "not to be trained"
        )
    read_only = [name for name, array in trained_arrays(model).items() if not array.flags.writeable]
    if read_only:
        raise ValueError(
            f"training changes arrays in place, and {len(read_only)} of the model's are read-only "
            f"({named(read_only, most=3)}): of a file opened for reading, or another's memory. Give the model copies of them"
        )


def check_regularizer(model: Layer, regularizer: Regularizer) -> None:
    """A ValueError if the regularizer was made for parameters that are not the model's."""
    own = {id(parameter) for parameter in model.parameters().values()}
    others = [name for name, parameter in regularizer.parameters.items() if id(parameter) not in own]
    if others:
        raise ValueError(
            f"{type(regularizer).__name__} was made for {len(others)} parameters that the model does not have "
            f"({named(others, most=3)}); make it from model.parameters() after the last change of layers"
        )
