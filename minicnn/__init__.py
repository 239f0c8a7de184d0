"""minicnn: convolutional networks written by hand, and how to transfer a pretrained one to your own pictures.

>>> import minicnn
>>> model = minicnn.load("efficientnet_lite0")          # doctest: +SKIP
>>> scores = model.forward(model.preprocess("cat.jpg"))   # doctest: +SKIP
>>> print(model.summary())                                # doctest: +SKIP

The rooms of the library are there by name. They are imported when they are first asked for, so that ``import minicnn`` itself
takes no time:

>>> net = minicnn.layers.Sequential(hidden=minicnn.layers.Linear(4, 3), relu=minicnn.layers.ReLU())
>>> net.output_shape((8, 4))
(8, 3)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = [
    "Model",
    "advisor",
    "check",
    "course",
    "data",
    "errors",
    "experiment",
    "explorer",
    "from_scratch",
    "gradcheck",
    "inference",
    "initializers",
    "kernels",
    "layers",
    "linear_model",
    "load",
    "losses",
    "models",
    "optim",
    "pretrained",
    "recipes",
    "regularizers",
    "runtime",
    "schedules",
    "search",
    "training",
    "transfer",
    "viz",
]
_HOMES = {"load": "pretrained", "Model": "models", "check": "course.notebook"}  # of the names that are no rooms

if TYPE_CHECKING:  # for editors, which do not run what is below
    from . import (
        advisor,
        course,
        data,
        errors,
        experiment,
        explorer,
        from_scratch,
        gradcheck,
        inference,
        initializers,
        kernels,
        layers,
        linear_model,
        losses,
        models,
        optim,
        pretrained,
        recipes,
        regularizers,
        runtime,
        schedules,
        search,
        training,
        transfer,
        viz,
    )
    from .course.notebook import check
    from .models import Model
    from .pretrained import load


def __getattr__(name: str) -> Any:
    """A room, or one of the names above, when it is first asked for (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    room = importlib.import_module(f".{_HOMES.get(name, name)}", __name__)
    globals()[name] = value = getattr(room, name) if name in _HOMES else room
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
