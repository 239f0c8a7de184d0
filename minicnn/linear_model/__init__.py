"""Linear classifiers that follow scikit-learn's conventions, for CNN codes and anything else that is rows of numbers."""

from .base import LinearClassifier, class_scores
from .calibration import calibrate
from .cross_validation import CrossValidation, cross_validate
from .nearest_neighbours import knn_accuracy
from .permutation import permutation_test
from .selection import RegularisationChoice, choose_regularisation
from .softmax_regression import SoftmaxRegression
from .svm import LinearSVM

__all__ = [
    "CrossValidation",
    "LinearClassifier",
    "LinearSVM",
    "RegularisationChoice",
    "SoftmaxRegression",
    "calibrate",
    "choose_regularisation",
    "class_scores",
    "cross_validate",
    "knn_accuracy",
    "permutation_test",
]
