"""The loops: `reference` is the definition, `textbook` the lecture's algorithms in NumPy, the others compute the same fast."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TypeVar

from ..runtime.blas import one_blas_thread

Function = TypeVar("Function", bound=Callable)


def single_pass(function: Function) -> Function:
    """A decorator for functions that run many kernels one after another: BLAS is limited once, and not by each of them."""

    @wraps(function)
    def run(*arguments, **options):
        with one_blas_thread():
            return function(*arguments, **options)

    return run
