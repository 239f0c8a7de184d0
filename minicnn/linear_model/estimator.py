"""scikit-learn's conventions for classifiers, without scikit-learn: parameters, checks of arguments, exceptions.

With them the classifiers of this package work in its pipelines, its grid search and its cross-validation, and `check_estimator`
finds no fault. Buitinck et al. 2013, "API design for machine learning software: experiences from the scikit-learn project".
"""

from __future__ import annotations

import inspect
import sys
import warnings
from typing import Any

import numpy as np
from scipy.sparse import issparse

from ..errors import DataError


class NotFittedError(ValueError, AttributeError):
    """A classifier was used before it was trained."""


class DataConversionWarning(UserWarning):
    """An argument could be used only after it was converted."""


class ConvergenceWarning(UserWarning):
    """Training ended before it had converged."""


def as_in_scikit_learn(ours: type) -> type:
    """scikit-learn's class of the same name if the program has loaded it, so that its ``except`` clauses match; else ours."""
    return getattr(sys.modules.get("sklearn.exceptions"), ours.__name__, ours)


class Estimator:
    """Parameters are the constructor's arguments, kept as attributes of the same names; what ``fit`` finds ends in ``_``."""

    _estimator_type = "classifier"  # how scikit-learn before 1.6 asks

    @classmethod
    def _parameter_names(cls) -> list[str]:
        return [name for name in inspect.signature(cls.__init__).parameters if name != "self"]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The constructor's arguments by name. ``deep`` has no effect: none of them has parameters of its own."""
        return {name: getattr(self, name) for name in self._parameter_names()}

    def set_params(self, **parameters: Any) -> Estimator:
        """Change some of the constructor's arguments; they take effect in the next ``fit``. Returns the estimator."""
        names = self._parameter_names()
        if unknown := [name for name in parameters if name not in names]:
            raise ValueError(f"{type(self).__name__} has no parameter {', '.join(unknown)}; it has {', '.join(names)}")
        for name, value in parameters.items():
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        defaults = inspect.signature(type(self).__init__).parameters
        changed = {name: value for name, value in self.get_params().items() if value != defaults[name].default}
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in changed.items())})"

    def __sklearn_tags__(self) -> Any:
        """How scikit-learn from 1.6 on asks; only it calls this, so that it can be imported here."""
        from sklearn.utils import ClassifierTags, Tags, TargetTags

        return Tags(estimator_type="classifier", target_tags=TargetTags(required=True), classifier_tags=ClassifierTags())

    def _checked_codes(self, x: Any, features: int | None = None) -> np.ndarray:
        """x as a float32 or float64 array (N, D) of finite numbers, with D as given."""
        name = type(self).__name__
        if issparse(x):
            raise TypeError(f"{name} does not take sparse matrices, as codes are dense; convert with x.toarray()")
        x = np.asarray(x)
        if x.dtype.kind == "c":
            raise ValueError(f"Complex data not supported: {name} takes real codes, got {x.dtype}")
        if x.dtype not in (np.float32, np.float64):
            x = x.astype(np.float64)  # raises TypeError or ValueError for what is not a number
        if x.ndim != 2:
            raise ValueError(
                f"{name} expects codes (N, D), got an array of shape {x.shape}. Reshape your data: a single code is "
                "x.reshape(1, -1), and feature maps become codes when they are averaged over space"
            )
        if features is not None and x.shape[1] != features:
            raise ValueError(f"X has {x.shape[1]} features, but {name} is expecting {features} features as input")
        if 0 in x.shape:
            axis = "sample(s)" if len(x) == 0 else "feature(s)"
            raise ValueError(f"found array with 0 {axis} (shape={x.shape}) while a minimum of 1 is required by {name}")
        if not np.isfinite(x).all():
            raise ValueError("the codes contain NaN or infinity (inf): look at the pictures and the network that made them")
        return x

    def _checked_labels(self, y: Any, samples: int) -> tuple[np.ndarray, np.ndarray]:
        """The classes, sorted, and each label's number among them, int64 (N,)."""
        name = type(self).__name__
        if y is None:
            raise ValueError(f"{name} requires y to be passed, but the target y is None")
        y = np.asarray(y)
        if y.ndim == 2 and y.shape[1] == 1:
            message = f"A column-vector y was passed when a 1d array was expected: {y.shape}, taken as ({len(y)},)"
            warnings.warn(message, as_in_scikit_learn(DataConversionWarning), stacklevel=3)
            y = y[:, 0]
        if y.shape != (samples,):
            raise ValueError(f"y should be a 1d array with a label for each of the {samples} codes, got one of shape {y.shape}")
        if y.dtype.kind in "fc" and not (np.isfinite(y).all() and (y == np.rint(y.real)).all()):
            raise ValueError(f"Unknown label type: continuous. {name} learns classes, got {y.dtype} such as {y[0]}")
        try:
            classes, numbers = np.unique(y, return_inverse=True)
        except TypeError as error:
            raise TypeError(f"{name}'s labels must all be of one type, so that they can be sorted: {error}") from error
        if len(classes) < 2:
            raise DataError(
                f"a classifier needs two classes or more, and there is one class in y: {samples} times {classes[0]}"
            )
        return classes, numbers.reshape(-1).astype(np.int64)

    def _check_fitted(self) -> None:
        if not hasattr(self, "coef_"):
            message = f"this {type(self).__name__} is not trained yet: call fit(codes, labels) first"
            raise as_in_scikit_learn(NotFittedError)(message)
