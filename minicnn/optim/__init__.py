"""Optimisers: what to do with the gradients.

- ``sgd``: plain, with momentum, with Nesterov's; ``adaptive``: a rate for each weight (AdaGrad, RMSProp, Adam, AdamW).
- ``muon``: orthogonal steps for filters and matrices; ``group``: several optimisers as one, Muon and AdamW, say.
- ``lbfgs`` (with its ``line_search``) and ``newton``: for a loss of *all* samples, without the noise of batches. They are given
  a function that computes it; ``full_batch`` has what they share.
- ``clipping`` and ``accumulation``: what is done to gradients before the step.

All of them change the parameters in place and skip those that are frozen (``Parameter.trainable`` is read at every step) or
have no gradient. They multiply the learning rate by each parameter's ``learning_rate_multiplier``, and weight decay applies
only where ``Parameter.decays``. In the equations g is dL/dw, lr the rate for this step and parameter, and wd the weight decay.
"""

from .accumulation import GradientAccumulator
from .adaptive import AdaGrad, Adam, AdamW, RMSProp
from .base import Optimizer
from .clipping import clip_gradient_norm
from .full_batch import FullBatchOptimizer
from .group import OptimizerGroup
from .lbfgs import LBFGS
from .muon import Muon, split_for_muon
from .newton import Newton
from .sgd import SGD

__all__ = [
    "LBFGS",
    "SGD",
    "AdaGrad",
    "Adam",
    "AdamW",
    "FullBatchOptimizer",
    "GradientAccumulator",
    "Muon",
    "Newton",
    "Optimizer",
    "OptimizerGroup",
    "RMSProp",
    "clip_gradient_norm",
    "split_for_muon",
]
