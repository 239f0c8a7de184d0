"""Linear classifiers by scikit-learn's conventions, for CNN codes and anything else that is rows of numbers."""

from .calibration import calibrate
from .selection import choose_regularisation
from .softmax_regression import SoftmaxRegression
from .svm import LinearSVM

__all__ = ["LinearSVM", "SoftmaxRegression", "calibrate", "choose_regularisation"]
