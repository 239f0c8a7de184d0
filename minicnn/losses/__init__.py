"""Losses: one number for how wrong the scores are, and its gradient with respect to each score.

``value = loss.forward(scores, targets)``, then ``dscores = loss.backward()``. The value is the mean over the N samples of the
batch, so the gradient carries the factor 1/N.

| a sample has | scores | targets | loss |
| --- | --- | --- | --- |
| one class of K | (N, K) | (N,) numbers, or (N, K) probabilities | `SoftmaxCrossEntropy`, or `SVMHinge` (numbers alone) |
| one class of two, by one score | (N,) or (N, 1) | 0 or 1 | `BinaryLogistic` |
| any number of K labels | (N, K) | (N, K), each from 0 to 1 | `SigmoidCrossEntropy` |
| values to predict (regression) | (N, ...) | the same shape | `MeanSquaredError` |
"""

from .auxiliary import WithAuxiliaryHeads
from .base import Loss
from .cross_entropy import SoftmaxCrossEntropy, log_softmax, softmax
from .hinge import SVMHinge
from .sigmoid import BinaryLogistic, SigmoidCrossEntropy
from .squared_error import MeanSquaredError

__all__ = [
    "BinaryLogistic",
    "Loss",
    "MeanSquaredError",
    "SVMHinge",
    "SigmoidCrossEntropy",
    "SoftmaxCrossEntropy",
    "WithAuxiliaryHeads",
    "log_softmax",
    "softmax",
]
