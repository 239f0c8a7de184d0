"""Muon: momentum whose step is made orthogonal, for filters and matrices."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..kernels.linear import product
from ..layers.base import Parameter
from .base import Optimizer

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # a, b and c: chosen to be steep at 0, so that small singular values grow fast
EPS = 1e-7


class Muon(Optimizer):
    """Momentum, orthogonalised by Newton and Schulz's iteration ("MomentUm Orthogonalized by Newton-Schulz").

    ::

        B <- mu B + g
        G = g + mu B                                           Nesterov's form
        O = NewtonSchulz(G)                                    of G as a matrix (rows, columns): see `newton_schulz`
        w <- w - lr wd w                                       decoupled, as in AdamW
        w <- w - lr sqrt(max(1, rows / columns)) O

    A convolution's filters (F, C, k, k) are a matrix of F rows and C k k columns. The gradient of a matrix is dominated by a
    few directions; O has the same directions with singular values near 1, so that the rare ones are learned as fast. Its size
    does not depend on the gradient's: lr is how far a step turns the filters. (With more rows than columns, the factor makes
    up for each column having the length 1 and each row less.)

    It is meant for what is inside the network. Biases, gamma and beta, the first convolution and the classifier belong to
    another optimiser, see `split_for_muon` and `OptimizerGroup`.

    Raises
    ------
    ValueError
        As in `Optimizer`; parameters of fewer than two axes; momentum outside [0, 1); fewer than 1 iterations.

    Jordan, Jin, Boza, You, Cesista, Newhouse and Bernstein 2024, "Muon: An optimizer for hidden layers in neural networks",
    kellerjordan.github.io/posts/muon (without weight decay).

    >>> weight = Parameter(np.zeros((2, 2)))
    >>> optimizer = Muon({"w": weight}, learning_rate=1.0, momentum=0.0)
    >>> weight.grad = np.array([[1000.0, 0.0], [0.0, 100.0]])
    >>> optimizer.step()
    >>> -weight.value.round(2) + 0.0  # both directions, though one gradient is ten times the other
    array([[0.7 , 0.  ],
           [0.  , 0.71]])
    """

    def __init__(
        self,
        parameters: dict[str, Parameter],
        learning_rate: float = 0.02,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        iterations: int = 5,
    ):
        super().__init__(parameters, learning_rate, weight_decay)
        self.momentum, self.iterations = self._fraction("momentum", momentum), self._count("iterations", iterations)
        flat = [name for name, parameter in parameters.items() if parameter.value.ndim < 2]
        if flat:
            raise ValueError(
                f"Muon takes filters and matrices, and {len(flat)} of its parameters have fewer than two axes "
                f"({', '.join(flat[:3])}); split_for_muon() parts them, and OptimizerGroup([Muon(...), AdamW(...)]) trains both"
            )

    def _new_state(self, weights: np.ndarray) -> dict[str, Any]:
        return {"B": np.zeros_like(weights)}

    def _update(self, weights: np.ndarray, gradient: np.ndarray, state: dict[str, Any], lr: float, wd: float) -> None:
        B = state["B"]
        B *= self.momentum
        B += gradient
        G = gradient + self.momentum * B
        O = newton_schulz(G.reshape(len(G), -1), self.iterations)  # noqa: E741  the letter of the paper
        rows, columns = O.shape
        weights *= 1 - lr * wd
        weights -= lr * max(1, rows / columns) ** 0.5 * O.reshape(weights.shape)


def newton_schulz(G: np.ndarray, iterations: int = 5) -> np.ndarray:
    """G = U S V^T with its singular values brought near 1: about U V^T, the nearest (half-)orthogonal matrix.

    ::

        X = G / (|G| + eps)                    of Frobenius norm 1, so that no singular value is above 1
        A = X X^T
        X <- a X + (b A + c A^2) X             iterations times

    An iteration is a polynomial of X's singular values, s <- a s + b s^3 + c s^5, because U and V pass through it. After five
    with (a, b, c) = (3.4445, -4.7750, 2.0315), those that were at least a hundredth of |G| lie between 0.68 and 1.14: closer to
    1 is not needed, and would cost more.

    Parameters
    ----------
    G : (rows, columns), float32 or float64
    iterations : int

    Returns
    -------
    (rows, columns), of G's dtype
        Zero where G is zero.

    The source is `Muon`'s; it computes in bfloat16.

    >>> np.linalg.svd(newton_schulz(np.diag([3.0, 4.0]), iterations=1))[1].round(6)  # of 0.6 and 0.8
    array([1.193269, 0.976482])
    """
    a, b, c = COEFFICIENTS
    X = G / (np.linalg.norm(G) + EPS)
    is_tall = len(X) > X.shape[1]
    X = X.T if is_tall else X  # A is then the smaller of the two products
    for _ in range(iterations):
        A = product(X, X.T)
        X = a * X + product(b * A + c * product(A, A), X)
    return X.T if is_tall else X


def split_for_muon(
    parameters: dict[str, Parameter], others: Iterable[str] = ()
) -> tuple[dict[str, Parameter], dict[str, Parameter]]:
    """Part a model's parameters into those for `Muon` and the rest, for another optimiser.

    Parameters
    ----------
    parameters : dict of name to Parameter
    others : names
        What belongs to the rest besides all that has fewer than two axes: the first convolution and the classifier, by custom.

    Raises
    ------
    ValueError
        If a name is not among the parameters.

    >>> from minicnn.layers import Conv2d, Linear, Sequential
    >>> from minicnn.optim import AdamW, OptimizerGroup
    >>> net = Sequential(first=Conv2d(3, 8, 3), second=Conv2d(8, 8, 3), scores=Linear(8, 2))
    >>> filters, others = split_for_muon(net.parameters(), others=["first.w", "scores.w"])
    >>> list(filters), list(others)
    (['second.w'], ['first.w', 'first.b', 'second.b', 'scores.w', 'scores.b'])
    >>> optimizer = OptimizerGroup([Muon(filters, learning_rate=0.02), AdamW(others, learning_rate=1e-3)])
    """
    others = set(others)
    unknown = others - parameters.keys()
    if unknown:
        raise ValueError(f"split_for_muon: there is no {', '.join(sorted(unknown))} among {', '.join(parameters)}")
    is_other = {name: name in others or parameter.value.ndim < 2 for name, parameter in parameters.items()}
    filters = {name: parameter for name, parameter in parameters.items() if not is_other[name]}
    return filters, {name: parameter for name, parameter in parameters.items() if is_other[name]}
