"""Losses: one number for how wrong the scores are, and its gradient with respect to each score.

``value = loss.forward(scores, targets)``, then ``dscores = loss.backward()``. The value is the mean over the N samples of the
batch, so the gradient carries the factor 1/N.
"""

from __future__ import annotations

import numpy as np

from .kernels.softmax import softmax_cross_entropy
from .layers import AuxiliaryHead, Layer
from .layers.base import FLOATS


def softmax(scores: np.ndarray) -> np.ndarray:
    """Probabilities from scores: p_k = exp(s_k) / sum over j of exp(s_j), along the last axis.

    The largest score is subtracted first: the result is the same (a factor cancels), and exp cannot overflow.

    Parameters
    ----------
    scores : (..., K), float32 or float64

    Returns
    -------
    (..., K), the same dtype; each row sums to 1

    >>> softmax(np.array([1000.0, 1000.0]))
    array([0.5, 0.5])
    """
    p = np.exp(scores - scores.max(axis=-1, keepdims=True))
    p /= p.sum(axis=-1, keepdims=True)
    return p


def log_softmax(scores: np.ndarray) -> np.ndarray:
    """log p_k = s_k - log(sum over j of exp(s_j)), along the last axis, without overflow and without log(0).

    Shapes and dtypes as in ``softmax``.
    """
    shifted = scores - scores.max(axis=-1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return shifted


class Loss:
    """The contract: ``value = loss.forward(scores, targets)``, then once ``dscores = loss.backward()``.

    A new loss writes ``forward``, which also leaves the gradient in ``_dscores``, and where its targets are neither integers
    nor booleans that name classes, ``labels``.
    """

    def __init__(self) -> None:
        self._dscores: np.ndarray | None = None

    def forward(self, scores: np.ndarray, targets: np.ndarray) -> float:
        """The mean loss over the N samples of the batch.

        Raises
        ------
        TypeError
            If the scores are no float32 or float64 array, or the targets of a type that the loss does not take.
        ValueError
            If the batch is empty, shapes do not fit together, or a target is impossible.
        """
        raise NotImplementedError(f"{type(self).__name__} must write forward(scores, targets)")

    def labels(self, targets: np.ndarray) -> np.ndarray | None:
        """The right class of each sample according to the targets, to compute the accuracy; None where they name no classes."""
        return targets if targets.dtype.kind in "iub" else None

    def backward(self) -> np.ndarray:
        """The gradient of the latest ``forward`` with respect to its scores, of their shape and dtype.

        Raises
        ------
        RuntimeError
            If there was no ``forward`` before it, or ``backward`` was called already.
        """
        if self._dscores is None:
            raise RuntimeError(f"{type(self).__name__}: backward() needs a forward(scores, targets) just before it, once each")
        dscores, self._dscores = self._dscores, None
        return dscores


class SoftmaxCrossEntropy(Loss):
    """The negative log-probability of the right class: L = mean over n of -log p[n, t_n], with p = softmax(scores).

    dL/ds[n, k] = (p[n, k] - q[n, k]) / N, where q is 1 at the right class and 0 elsewhere. With label smoothing e the target
    is softer, q = 1 - e + e/K at the right class and e/K elsewhere, and L = mean over n of -sum over k of q[n, k] log p[n, k]
    (Szegedy et al. 2016, "Rethinking the Inception Architecture for Computer Vision", section 7).

    Where it is not certain which class is right (three experts looked, and one disagreed), the targets may be probabilities
    q[n, k] themselves, which are smoothed in the same way.

    With scores near zero, as in an untrained network, L is about log(K).

    Parameters
    ----------
    label_smoothing : float
        e above, 0 <= e < 1.
    class_weights : (K,), optional
        The loss of a sample counts as many times as the weight of its class says (of probabilities: c_n = sum over k of
        q[n, k] class_weights[k], q before smoothing): L = mean over n of c_n L_n. By default each counts once.

    Raises
    ------
    ValueError
        If ``label_smoothing`` is out of range or a class weight is no positive number; in ``forward``, as `Loss` says.

    >>> loss = SoftmaxCrossEntropy()
    >>> round(loss.forward(np.zeros((1, 10)), np.array([3])), 4)      # log(10)
    2.3026
    """

    def __init__(self, label_smoothing: float = 0.0, class_weights: np.ndarray | None = None):
        super().__init__()
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"label_smoothing is the share spread over all classes, 0 to below 1, got {label_smoothing}")
        self.label_smoothing = label_smoothing
        self.class_weights = None if class_weights is None else np.asarray(class_weights, np.float64)
        if self.class_weights is not None and not ((self.class_weights > 0) & np.isfinite(self.class_weights)).all():
            raise ValueError(f"class_weights are positive numbers, one a class, got {class_weights}")

    def forward(self, scores: np.ndarray, targets: np.ndarray) -> float:
        """Scores (N, K), float32 or float64; targets (N,), integer class numbers 0 to K-1, or (N, K), probabilities."""
        (_check_probabilities if _is_probabilities(targets) else _check_class_targets)(self, scores, targets)
        losses, self._dscores = softmax_cross_entropy(scores, targets, self.label_smoothing)
        if self.class_weights is not None:
            if self.class_weights.shape != scores.shape[1:]:
                raise ValueError(f"{self.class_weights.size} class weights do not fit scores of shape {scores.shape}")
            c = targets @ self.class_weights if _is_probabilities(targets) else self.class_weights[targets]
            losses, self._dscores = c * losses, c[:, None].astype(scores.dtype) * self._dscores
        return float(losses.mean(dtype=np.float64))

    def labels(self, targets: np.ndarray) -> np.ndarray | None:
        return targets.argmax(axis=1) if _is_probabilities(targets) else super().labels(targets)


class SVMHinge(Loss):
    """The multi-class hinge loss: L = mean over n of sum over j != t of max(0, s_j - s_t + margin), t the right class.

    The loss of a sample is 0 once the score of the right class is higher than each other one by at least the margin. Each class
    that violates the margin gets the gradient 1/N, and the right class minus the number of violations / N; a term that is
    exactly at its kink adds 0.

    Weston & Watkins 1999, "Support Vector Machines for Multi-Class Pattern Recognition"; the form of the CS231n notes.

    Parameters
    ----------
    margin : float
        More than 0.

    Raises
    ------
    ValueError
        If ``margin`` is out of range; in ``forward``, as `Loss` says.

    >>> loss = SVMHinge()
    >>> loss.forward(np.array([[3.0, 5.0, -1.5]]), np.array([0]))       # max(0, 5 - 3 + 1) + max(0, -1.5 - 3 + 1)
    3.0
    >>> loss.backward()
    array([[-1.,  1.,  0.]])
    """

    def __init__(self, margin: float = 1.0):
        super().__init__()
        if not 0 < margin < np.inf:
            raise ValueError(f"SVMHinge's margin is the lead the right class must have, more than 0 (usually 1), got {margin}")
        self.margin = margin

    def forward(self, scores: np.ndarray, targets: np.ndarray) -> float:
        """Scores (N, K), float32 or float64; targets (N,), integer class numbers 0 to K-1."""
        _check_class_targets(self, scores, targets)
        N, rows = len(scores), np.arange(len(scores))
        margins = scores - scores[rows, targets][:, None] + scores.dtype.type(self.margin)
        margins[rows, targets] = 0
        np.maximum(margins, 0, out=margins)
        value = float(margins.sum(axis=1, dtype=np.float64).mean())
        dscores = np.sign(margins, out=margins)
        dscores[rows, targets] = -dscores.sum(axis=1)
        dscores /= N
        self._dscores = dscores
        return value


class BinaryLogistic(Loss):
    """Two classes, one score: L = mean over n of log(1 + exp(-s)) where the target is 1, log(1 + exp(s)) where it is 0.

    That is the cross-entropy of p = sigmoid(s), the probability of class 1, computed as
    max((1 - 2t) s, 0) + log(1 + exp(-|s|)), in which nothing overflows, and an infinite score on the right side costs nothing.
    dL/ds = (p - t) / N.

    Raises
    ------
    TypeError, ValueError
        In ``forward``, as `Loss` says.

    >>> loss = BinaryLogistic()
    >>> round(loss.forward(np.array([0.0, 1000.0]), np.array([1, 1])), 4)       # log(2) / 2
    0.3466
    """

    def forward(self, scores: np.ndarray, targets: np.ndarray) -> float:
        """Scores (N,) or (N, 1), float32 or float64; targets (N,) or of the scores' shape, each 0 or 1 (False or True)."""
        _check_scores(self, scores)
        targets = np.asarray(targets)
        if scores.ndim > 2 or scores.shape[1:] not in ((), (1,)) or targets.size != len(scores):
            raise ValueError(
                f"BinaryLogistic expects one score a sample, (N,) or (N, 1), and as many targets, got scores {scores.shape} "
                f"and targets {targets.shape}{_other_than_binary(scores, targets)}"
            )
        if targets.dtype.kind not in "biuf":
            raise TypeError(
                f"BinaryLogistic's targets are 0 or 1, got {targets.dtype}; of two names the one that means 1 makes them: "
                "(targets == name).astype(np.int64)"
            )
        if not np.isin(targets, (0, 1)).all():
            raise ValueError(f"BinaryLogistic's targets are 0 or 1, got {_first_few(targets)}")
        s, t = scores, targets.reshape(scores.shape).astype(scores.dtype)
        small = np.exp(-np.abs(s))  # at most 1, so it cannot overflow
        losses = np.maximum((1 - 2 * t) * s, 0) + np.log1p(small)
        p = np.where(s >= 0, s.dtype.type(1), small) / (1 + small)
        self._dscores = (p - t) / len(s)
        return float(losses.mean(dtype=np.float64))


class WithAuxiliaryHeads(Loss):
    """The loss of a network with auxiliary heads: L = loss(scores) + weight * sum over these heads of loss(their scores).

    The gradients of the heads' scores are left with the heads, where the network's ``backward`` finds them. In eval mode no
    head runs, and L is the loss of the network's scores alone: training losses are therefore higher than validation losses.

    Szegedy et al. 2015, "Going Deeper with Convolutions", section 5, where the weight is 0.3.

    Parameters
    ----------
    loss : Loss
        One that takes the mean over the samples, used for all of the scores.
    model : Layer
        Whose `minicnn.layers.AuxiliaryHead` layers are meant; its ``forward`` comes first.
    weight : float
        At least 0.

    Raises
    ------
    ValueError
        If ``weight`` is out of range; in ``forward``, also if a head's scores have not the shape of the network's.

    >>> from minicnn.layers import Linear, Sequential
    >>> model = Sequential(hidden=Linear(4, 3), auxiliary=AuxiliaryHead(Linear(3, 2)), scores=Linear(3, 2)).train()
    >>> loss = WithAuxiliaryHeads(SoftmaxCrossEntropy(), model)
    >>> x, targets = np.zeros((1, 4), np.float32), np.array([1])
    >>> round(loss.forward(model.forward(x), targets), 4)      # log(2) + 0.3 log(2): biases start at 0
    0.9011
    >>> model.backward(loss.backward()).shape
    (1, 4)
    """

    def __init__(self, loss: Loss, model: Layer, weight: float = 0.3):
        super().__init__()
        if not 0 <= weight < np.inf:
            raise ValueError(
                f"WithAuxiliaryHeads: the weight of the auxiliary heads' losses is a number of at least 0, got {weight}"
            )
        self.loss, self.model, self.weight = loss, model, weight
        self._gradients_of_heads: list[tuple[AuxiliaryHead, np.ndarray]] = []

    def forward(self, scores: np.ndarray, targets: np.ndarray) -> float:
        """Scores and targets as the loss takes them; the scores of the auxiliary heads must have the same shape."""
        value = self.loss.forward(scores, targets)
        self._dscores = self.loss.backward()
        self._gradients_of_heads = []
        for _, head in self.model.walk():
            if isinstance(head, AuxiliaryHead) and head.scores is not None:
                if head.scores.shape != scores.shape:
                    raise ValueError(
                        f"{head} gives scores {head.scores.shape} and the network {scores.shape}: after a change of classes "
                        "its head needs a new last layer as well, or build the network without auxiliary heads"
                    )
                value += self.weight * self.loss.forward(head.scores, targets)
                self._gradients_of_heads.append((head, self.weight * self.loss.backward()))
        return value

    def labels(self, targets: np.ndarray) -> np.ndarray | None:
        return self.loss.labels(targets)

    def backward(self) -> np.ndarray:
        """dL/dscores; each auxiliary head now has its ``dscores``."""
        dscores = super().backward()
        for head, gradient in self._gradients_of_heads:
            head.dscores = gradient
        self._gradients_of_heads = []
        return dscores


def _check_scores(loss: Loss, scores: np.ndarray) -> None:
    name = type(loss).__name__
    if not isinstance(scores, np.ndarray) or scores.dtype not in FLOATS:
        got = scores.dtype if isinstance(scores, np.ndarray) else type(scores).__name__
        raise TypeError(f"{name} expects scores as a float32 or float64 array, got {got}")
    if scores.ndim == 0 or scores.size == 0:
        raise ValueError(f"{name} takes the mean over a batch, and there is nothing in this one: scores {scores.shape}")


def _other_than_binary(scores: np.ndarray, targets: np.ndarray) -> str:
    """Which loss is meant where there are several scores a sample; '' where that is not the question."""
    if scores.ndim != 2 or scores.shape[1] < 2:
        return ""
    if targets.shape != scores.shape:
        return "; for one class a sample, with a score for each class, use SoftmaxCrossEntropy"
    if _is_one_hot(targets):
        return "; for one class a sample, as these are, use SoftmaxCrossEntropy with targets.argmax(axis=1)"
    return (
        "; with several labels a sample, each score is a question of its own: give it scores.reshape(-1) and "
        "targets.reshape(-1), and the network backward().reshape(scores.shape). (Not SoftmaxCrossEntropy: for it just one "
        "label is right)"
    )


def _is_one_hot(targets: np.ndarray) -> bool:
    """Whether each row has a single 1, and 0 elsewhere."""
    is_number = targets.ndim == 2 and targets.dtype.kind in "biuf"
    return bool(is_number and np.isin(targets, (0, 1)).all() and (targets.sum(axis=1) == 1).all())


def _is_probabilities(targets: np.ndarray) -> bool:
    return isinstance(targets, np.ndarray) and targets.ndim == 2 and targets.dtype.kind == "f"


def _check_probabilities(loss: Loss, scores: np.ndarray, targets: np.ndarray) -> None:
    name = type(loss).__name__
    _check_scores(loss, scores)
    if targets.shape != scores.shape:
        raise ValueError(f"{name} expects a probability for each score, {scores.shape}, got targets {targets.shape}")
    sums = targets.sum(axis=1, dtype=np.float64)
    digits = 1e-4 if targets.dtype in FLOATS else 2e-3  # float16 has three
    if not (targets >= 0).all() or not np.allclose(sums, 1, atol=digits):
        worst = int(np.abs(sums - 1).argmax())
        raise ValueError(
            f"{name} expects rows of probabilities, 0 or more and 1 in sum; row {worst} of targets is {targets[worst]}. "
            "Class numbers are given as integers (N,)"
        )


def _check_class_targets(loss: Loss, scores: np.ndarray, targets: np.ndarray) -> None:
    name = type(loss).__name__
    _check_scores(loss, scores)
    if scores.ndim != 2:
        raise ValueError(f"{name} expects scores of shape (N, K), a row a sample and a column a class, got {scores.shape}")
    if not isinstance(targets, np.ndarray) or targets.dtype.kind not in "iu":
        got = f"{targets.dtype} {targets.shape}" if isinstance(targets, np.ndarray) else type(targets).__name__
        raise TypeError(f"{name} expects targets as an array of integer class numbers, got {got}; {_how_to_number(targets)}")
    if targets.shape != scores.shape[:1]:
        advice = ""
        if targets.shape == (*scores.shape[:1], 1):
            advice = "; take them out of their column with targets[:, 0]"
        elif _is_one_hot(targets):
            advice = "; convert one-hot rows with targets.argmax(axis=1)"
        elif targets.shape == scores.shape:
            advice = "; a loss for several labels a sample is BinaryLogistic, with both arrays flattened"
        raise ValueError(f"{name} expects one target a sample, {scores.shape[:1]}, got targets {targets.shape}{advice}")
    K = scores.shape[1]
    outside = (targets < 0) | (targets >= K)
    if outside.any():
        raise ValueError(
            f"{name}: {K} scores a sample mean classes 0 to {K - 1}, got targets {_first_few(targets[outside])}. "
            "Count classes from 0; or does the network's last layer have too few outputs?"
        )


def _how_to_number(targets: object) -> str:
    """How to make class numbers of something else."""
    if not isinstance(targets, np.ndarray):
        return "convert with np.asarray(targets)"
    if targets.dtype.kind in "USO":
        return "number the names with classes, targets = np.unique(targets, return_inverse=True)"
    if targets.ndim == 2:
        one_hot = "one-hot rows" if _is_one_hot(targets) else "rows, if the class is where the largest value is,"
        return f"convert {one_hot} with targets.argmax(axis=1)"
    if targets.dtype.kind == "f" and not (targets == np.round(targets)).all():
        return "these are not whole numbers, and so name no classes"
    return "convert with targets.astype(np.int64)"


def _first_few(values: np.ndarray) -> str:
    """The lowest of the values, each once, for a message."""
    different = np.unique(values)
    return ", ".join(str(value) for value in different[:5]) + (", ..." if len(different) > 5 else "")
