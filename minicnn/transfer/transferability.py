"""How well will a network's codes serve another task? Scores from one forward pass, without training the network.

Three scores of the literature, each a number that is higher for codes (or probabilities) that should serve better:

- LEEP asks the old classifier: how well do its answers predict the new labels?
- LogME asks a Bayesian linear model: how probable are the new labels under the codes, all linear functions of them weighed?
- H-score asks the covariances: how much of the codes' spread lies between the classes?

They compare layers or networks on the same pictures. They do not say what accuracy to expect, and on pictures unlike those of
the pretraining they are known to mislead: `minicnn.linear_model.cross_validation` has what they are to be checked against.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import solve

MAX_ITERATIONS = 1000  # of LogME's fixed point; most data sets need a few dozen
TOLERANCE = 1e-9  # relative change of the evidence at which that ends


def leep(probabilities: np.ndarray, y: np.ndarray) -> float:
    """Log expected empirical prediction: how well the old classes' probabilities predict the new labels.

        P(k, z) = (1/N) sum over i with y_i = k of p_iz        P(k | z) = P(k, z) / sum_k P(k, z)
        LEEP    = (1/N) sum_i log( sum_z P(y_i | z) p_iz )

    with p_iz the source network's probability of its class z for picture i. It is at most 0, which it is where each old class
    that is ever named goes with one new class; and at least the mean log frequency of the classes, which it is where all
    pictures get the same answer.

    Nguyen, Hassner, Seeger, Archambeau 2020, "LEEP: A New Measure to Evaluate Transferability of Learned Representations",
    ICML, section 3.

    Parameters
    ----------
    probabilities : (N, Z)
        Of the source classes, rows of sum 1.
    y : int (N,)
        New labels, 0..K-1; a class that no picture has is left out.

    Returns
    -------
    float, in nats per picture

    >>> round(leep(np.array([[0.9, 0.1], [0.9, 0.1], [0.1, 0.9]]), np.array([0, 0, 1])), 4)
    -0.1919
    """
    p, y = _checked(probabilities, y)
    if p.min() < 0 or not np.allclose(p.sum(1), 1, atol=1e-4):
        raise ValueError("LEEP takes probabilities, whose rows have sum 1; were these scores? Then apply softmax first")
    joint = _one_hot(y).T @ p  # N P(k, z)
    conditional = joint / np.maximum(joint.sum(0), np.finfo(float).tiny)
    expected = (conditional[y] * p).sum(1)
    return float(np.log(expected).mean())


def logme(codes: np.ndarray, y: np.ndarray) -> float:
    """Log of the maximum evidence of a Bayesian linear model on the codes, per picture, the mean over the classes.

    Of each class a target t (1 where a picture is of the class, else 0) is modelled as t = F w + noise, w ~ N(0, 1/alpha) and
    noise ~ N(0, 1/beta). With the weights integrated out, and s_j, U the singular values and left vectors of F = U S V^T:

        log p(t | F, alpha, beta) = N/2 log(beta / 2 pi) - 1/2 sum_j log(1 + s_j^2 beta/alpha)
                                    - beta/2 ||F m - t||^2 - alpha/2 ||m||^2

    with the mean weights m = V (s_j z_j / (s_j^2 + alpha/beta)) and z = U^T t, is maximised over alpha and beta by MacKay's
    fixed point, with gamma the number of weights that the data decide:

        gamma = sum_j s_j^2 / (s_j^2 + alpha/beta)      alpha = gamma / ||m||^2      beta = (N - gamma) / ||F m - t||^2

    You, Liu, Wang, Long 2021, "LogME: Practical Assessment of Pre-trained Models for Transfer Learning", ICML, algorithm 1, and
    for the form with the singular values their 2022 journal version, JMLR 23, section 4.4.

    Parameters
    ----------
    codes : (N, D)
    y : int (N,)
        Labels, 0..K-1; a class that no picture has is left out.

    Returns
    -------
    float, in nats per picture; it can have either sign, being the log of a density.
    """
    F, y = _checked(codes, y)
    targets = _one_hot(y)
    U, s, _ = np.linalg.svd(F, full_matrices=False)
    z = U.T @ targets
    squares = s * s
    outside = np.maximum((targets * targets).sum(0) - (z * z).sum(0), 0)  # ||t||^2 beyond what F can reach
    return float(np.mean([_max_log_evidence(squares, z[:, k] ** 2, outside[k], len(y)) for k in range(z.shape[1])]) / len(y))


def _max_log_evidence(squares: np.ndarray, energies: np.ndarray, outside: float, N: int) -> float:
    """The maximum over alpha and beta for one target; ``energies`` are z_j^2.

    The fixed point moves the ratio alpha/beta. Of each ratio the best beta is known, N / (||F m - t||^2 + ratio ||m||^2), so
    that the evidence can be watched as a function of the ratio alone.
    """
    # where codes fit the labels exactly the noise goes to 0, and the ratio with it
    smallest = 1e-12 * (squares.max() or 1.0)
    ratio, best = max(float(squares.mean()), smallest), -np.inf
    for _ in range(MAX_ITERATIONS):
        shrunk = squares + ratio
        residual = outside + float((energies * (ratio / shrunk) ** 2).sum())
        m_squared = float((energies * squares / shrunk**2).sum())
        beta = N / max(residual + ratio * m_squared, np.finfo(float).tiny)
        evidence = 0.5 * (N * np.log(beta / (2 * np.pi)) - np.log1p(squares / ratio).sum() - N)
        if evidence - best <= TOLERANCE * abs(evidence):
            return max(evidence, best)
        best = evidence
        gamma = float((squares / shrunk).sum())
        if m_squared == 0:  # codes that say nothing of this class
            return best
        ratio = max(gamma / m_squared * residual / (N - gamma), smallest)
    return best


def h_score(codes: np.ndarray, y: np.ndarray, shrinkage: float | None = None) -> float:
    """The share of the codes' spread that lies between the classes, summed over all directions; at most K - 1.

        H = trace( cov(F)^-1 cov(E[F | y]) )

    With more features than pictures cov(F) has no inverse, and with nearly as many a noisy one: then every labelling, a random
    one too, scores near K - 1. The estimate is therefore shrunk towards a multiple of the identity, and both covariances alike:

        H_a = (1 - a) trace( ((1 - a) cov(F) + a mean variance I)^-1 cov(E[F | y]) )

    with the a of Ledoit & Wolf 2004 (equation 14), which expects the least squared error of the covariance.

    Bao et al. 2019, "An Information-Theoretic Approach to Transferability in Task Transfer Learning", ICIP, definition 2;
    Ibrahim, Ponomareva, Mazumder 2022, "Newer is not always better", ECML, section 4 (the shrunken form).

    Parameters
    ----------
    codes : (N, D)
    y : int (N,)
    shrinkage : 0 to 1, optional
        a above; by default Ledoit and Wolf's. 0 is the plain score, which does not change when the codes are mapped by an
        invertible matrix.

    Raises
    ------
    ValueError
        For ``shrinkage=0`` where the covariance has no inverse.
    """
    F, y = _checked(codes, y)
    F = F - F.mean(0)
    N, D = F.shape
    cov = F.T @ F / N
    if shrinkage is None:
        shrinkage = ledoit_wolf(F, cov)
    elif not 0 <= shrinkage <= 1:
        raise ValueError(f"shrinkage is a share from 0 to 1, got {shrinkage}")
    spread = np.trace(cov) / D
    if spread == 0 or shrinkage == 1:  # all codes are equal, or the estimate of how they vary is worth nothing
        return 0.0
    means = _one_hot(y).T @ F / np.sqrt(np.bincount(y) * N)[:, None]  # cov(E[F | y]) = means^T means
    cov *= 1 - shrinkage
    cov[np.diag_indices(D)] += shrinkage * spread
    if shrinkage == 0 and np.linalg.matrix_rank(cov, hermitian=True) < D:
        raise ValueError(
            f"the covariance of {N} codes of {D} features has no inverse, and the plain H-score needs it; "
            "leave shrinkage to its default, or use more pictures than features"
        )
    return float((1 - shrinkage) * (means * solve(cov, means.T, assume_a="pos").T).sum())


def ledoit_wolf(F: np.ndarray, cov: np.ndarray) -> float:
    """How much of a covariance estimate to replace by a multiple of the identity, from 0 to 1.

        a = min(1, b^2 / d^2),   d^2 = ||cov - mu I||^2,   b^2 = (1/N^2) sum_i ||f_i f_i^T - cov||^2,   mu = trace(cov) / D

    Ledoit, Wolf 2004, "A well-conditioned estimator for large-dimensional covariance matrices", lemma 3.2 to 3.4.

    Parameters
    ----------
    F : (N, D), of mean zero
    cov : (D, D), F^T F / N
    """
    N, D = F.shape
    size = float((cov * cov).sum())
    d2 = size - np.trace(cov) ** 2 / D
    b2 = (float(((F * F).sum(1) ** 2).mean()) - size) / N
    return 0.0 if d2 <= 0 else float(np.clip(b2 / d2, 0, 1))  # 0: cov is mu I already, as for a single feature


def _one_hot(y: np.ndarray) -> np.ndarray:
    return np.eye(int(y.max()) + 1)[y]


def _checked(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both as they are needed: float64 (N, D), and int (N,) with two classes or more, numbered without gaps."""
    x, y = np.asarray(x, np.float64), np.asarray(y)
    if x.ndim != 2 or y.shape != x.shape[:1] or len(y) == 0:
        raise ValueError(f"expected an array (N, D) with N labels, got {x.shape} and {y.shape}")
    if y.dtype.kind not in "iu" or y.min() < 0:
        raise ValueError(f"labels are class numbers 0..K-1, got {y.dtype} from {y.min()}")
    if len(np.unique(y)) < 2:
        raise ValueError(f"how well classes can be told apart needs two of them, all {len(y)} labels are {y[0]}")
    if not np.isfinite(x).all():
        raise ValueError("there is a NaN or an infinity among the numbers: look at the pictures and the network that made them")
    return x, np.unique(y, return_inverse=True)[1]
