"""Answers to the tasks of lesson 15: wrong ones as people write them, and right ones written differently from the solution.

``WRONG[task]`` has (title, functions, name of the mistake or None), ``RIGHT[task]`` (title, functions); the functions take the
place of the solution's.
"""

import copy
import math

import numpy as np
from scipy.linalg import cho_factor, cho_solve, svd

from minicnn.layers import BatchNorm2d
from minicnn.models import Model

WRONG, RIGHT = {}, {}

# ---- 1: CKA


def centring(N):
    return np.identity(N) - np.ones((N, N)) / N


def cka_with_H(x, y):
    """By the n x n matrices."""
    H = centring(len(x))
    K, L = (H @ z.astype(np.float64) @ z.astype(np.float64).T @ H for z in (x, y))
    below = np.sqrt(np.sum(K**2) * np.sum(L**2))
    if below == 0:
        return 0.0
    return np.sum(K * L) / below


def cka_in_loops(x, y):
    N = len(x)

    def centred(z):
        rows = [[float(value) for value in row] for row in z]
        means = [sum(column) / N for column in zip(*rows, strict=True)]
        return [[value - mean for value, mean in zip(row, means, strict=True)] for row in rows]

    def squared_norm(a, b):
        total = 0.0
        for i in range(len(a[0])):
            for j in range(len(b[0])):
                total += sum(a[n][i] * b[n][j] for n in range(N)) ** 2
        return total

    a, b = centred(x), centred(y)
    below = math.sqrt(squared_norm(a, a)) * math.sqrt(squared_norm(b, b))
    return squared_norm(a, b) / below if below else 0


def cka_by_singular_values(x, y):
    """|yc^T xc|^2 by the singular vectors of both: the sum of (s_i t_j u_i.v_j)^2."""
    u, s, _ = svd(np.float64(x) - np.float64(x).mean(0), full_matrices=False)
    v, t, _ = svd(np.float64(y) - np.float64(y).mean(0), full_matrices=False)
    if not s.any() or not t.any():
        return 0.0
    s, t = s / s[0], t / t[0]
    return np.array(np.sum((s[:, None] * (u.T @ v) * t) ** 2) / math.sqrt(np.sum(s**4) * np.sum(t**4)))


def cka_scaled_first(x, y):
    """Both brought to |x^T x| = 1 before they are compared."""
    parts = []
    for z in (x, y):
        z = z.astype(float)
        z = z - np.mean(z, axis=0, keepdims=True)
        size = np.linalg.norm(z)
        if size == 0:
            return np.float64(0)
        z /= size
        parts.append(z / np.sqrt(np.linalg.norm(z @ z.T)))
    return np.einsum("nd,ne,md,me->", parts[0], parts[1], parts[0], parts[1], optimize=True)


def kernel_by_means(K, L):
    def centred(M):
        M = M - M.mean(axis=1)[:, None]
        return M - M.mean(axis=0)

    a, b = centred(K).ravel(), centred(L).ravel()
    if not np.any(a) or not np.any(b):
        return 0
    return a @ b / (np.linalg.norm(a) * np.linalg.norm(b))


def kernel_by_trace(K, L):
    H = centring(len(K))
    hsic = lambda A, B: np.trace(A @ H @ B @ H) / (len(A) - 1) ** 2  # noqa: E731
    product = hsic(K, K) * hsic(L, L)
    return hsic(K, L) / math.sqrt(product) if product > 0 else 0.0


def kernel_one_side(K, L):
    """Centring one of them is enough in the numerator."""
    N = K.shape[0]
    Kc, Lc = np.empty((N, N)), np.empty((N, N))
    for M, C in ((K, Kc), (L, Lc)):
        total, row = M.sum() / N**2, [sum(M[n]) / N for n in range(N)]
        for n in range(N):
            for m in range(N):
                C[n, m] = M[n, m] - row[n] - row[m] + total
    below = (Kc**2).sum() * (Lc**2).sum()
    return float((Kc * L).sum() / below**0.5) if below else 0.0


def frobenius(A):
    return math.sqrt(np.einsum("ij,ij->", A, A))


def cka_of(x, y, above=lambda a: frobenius(a) ** 2, below=lambda p, q: frobenius(p) * frobenius(q)):
    """Of codes that are prepared already."""
    bottom = below(x.T.dot(x), y.T.dot(y))
    return above(y.T.dot(x)) / bottom if bottom else 0.0


def mean_free(z):
    return np.array([column - sum(column) / len(column) for column in np.float64(z).T]).T


def linear(function):
    return {"linear_cka": function}


def kernel(function):
    return {"kernel_cka": function}


def raw_gram(x, y):
    K, L = np.float64(x) @ np.float64(x).T, np.float64(y) @ np.float64(y).T
    bottom = np.sqrt((K * K).sum() * (L * L).sum())
    return (K * L).sum() / bottom


def cka_single_precision(x, y):
    x, y = x.astype("f4"), y.astype("f4")
    x, y = x - x.mean(0), y - y.mean(0)
    return np.linalg.norm(x.T @ y) ** 2 / (np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y))


def cka_with_epsilon(x, y):
    x, y = mean_free(x), mean_free(y)
    if np.allclose(x, 0) or np.allclose(y, 0):
        return 0.0
    return cka_of(x, y)


def cka_dividing(x, y):
    x, y = mean_free(x), mean_free(y)
    return np.sum((y.T @ x) ** 2) / np.sqrt(np.sum((x.T @ x) ** 2)) / np.sqrt(np.sum((y.T @ y) ** 2))


def cka_samples(x, y):
    x, y = mean_free(x), mean_free(y)
    return cka_of(x.T, y.T)


def cka_in_place(x, y):
    x -= x.mean(axis=0).astype(x.dtype)
    return cka_with_H(x, y)


def standardise(z):
    z = mean_free(z)
    return z / np.sqrt((z**2).mean(axis=0))


def cosine(a, b):
    bottom = np.linalg.norm(a) * np.linalg.norm(b)
    return np.vdot(a, b) / bottom if bottom else 0.0


def kernel_halfway(K, L):
    return cosine(centring(len(K)) @ K, centring(len(L)) @ L)


def kernel_overcentred(M):
    return M - np.mean(M, 0)[None] - np.mean(M, 1)[:, None]


WRONG[1] = [
    ("not centred, by Gram matrices", linear(raw_gram), "The columns of x and y are not centred"),
    (
        "not centred, by features",
        linear(lambda x, y: cka_of(x.astype(float), y.astype(float))),
        "The columns of x and y are not centred",
    ),
    ("only x centred", linear(lambda x, y: cka_of(mean_free(x), np.float64(y))), "Only x is centred"),
    ("only y centred", linear(lambda x, y: cka_of(np.float64(x), mean_free(y))), "Only y is centred"),
    (
        "rows centred",
        linear(lambda x, y: cka_of(mean_free(x.T).T, mean_free(y.T).T)),
        "The rows are centred, and not the columns",
    ),
    (
        "overall mean",
        linear(lambda x, y: cka_of(np.float64(x) - np.mean(np.float64(x)), np.float64(y) - np.average(np.float64(y)))),
        "One mean is subtracted from everything",
    ),
    ("z scores", linear(lambda x, y: cka_of(standardise(x), standardise(y))), "The columns are standardised as well"),
    (
        "numerator without square",
        linear(lambda x, y: cka_of(mean_free(x), mean_free(y), above=frobenius)),
        "The norm in the numerator is not squared",
    ),
    ("root of it", linear(lambda x, y: math.sqrt(cka_with_H(x, y))), "It is the square root of CKA"),
    (
        "lengths of x and y below",
        linear(lambda x, y: cka_of(mean_free(x), mean_free(y), below=lambda p, q: np.trace(p) * np.trace(q))),
        "The denominator has |x|^2 |y|^2 in place of |x^T x| |y^T y|",
    ),
    (
        "sums of squares below",
        linear(lambda x, y: cka_of(mean_free(x), mean_free(y), below=lambda p, q: np.sum(p**2) * np.sum(q**2))),
        "The norms in the denominator are squared",
    ),
    (
        "spectral norms",
        linear(
            lambda x, y: cka_of(
                mean_free(x),
                mean_free(y),
                above=lambda a: svd(a, compute_uv=False)[0] ** 2,
                below=lambda p, q: np.linalg.eigvalsh(p)[-1] * np.linalg.eigvalsh(q)[-1],
            )
        ),
        "The norm of a matrix is its largest singular value",
    ),
    (
        "nuclear norms",
        linear(
            lambda x, y: cka_of(
                mean_free(x),
                mean_free(y),
                above=lambda a: np.sum(svd(a, compute_uv=False)) ** 2,
                below=lambda p, q: np.trace(p) * np.trace(q),
            )
        ),
        "The norm of a matrix is the sum of its singular values",
    ),
    ("axes confused", linear(cka_samples), "The products run over the features, and not over the samples"),
    ("float32", linear(cka_single_precision), "It is computed in float32"),
    ("allclose", linear(cka_with_epsilon), "Small codes are taken for codes that do not vary"),
    ("0 / 0", linear(cka_dividing), "A representation that does not vary gives NaN"),
    ("in place", linear(cka_in_place), "An argument is changed"),
    ("matrix of cosines", linear(lambda x, y: np.abs(np.corrcoef(x.T, y.T)).mean()), None),
    ("kernels as they come", kernel(cosine), "The kernels are not centred"),
    ("H on one side", kernel(kernel_halfway), "The kernels are centred along one axis only"),
    (
        "H on the other side only",
        kernel(lambda K, L: cosine(K @ centring(len(K)), L @ centring(len(L)))),
        "The kernels are centred along one axis only",
    ),
    (
        "overall mean of kernels",
        kernel(lambda K, L: cosine(K - np.average(K), L - np.average(L))),
        "One mean is subtracted from the whole kernel",
    ),
    (
        "rows and columns, nothing back",
        kernel(lambda K, L: cosine(kernel_overcentred(K), kernel_overcentred(L))),
        "The mean of the whole kernel is not added again",
    ),
    (
        "total subtracted once more",
        kernel(lambda K, L: cosine(kernel_overcentred(K) - K.mean(), kernel_overcentred(L) - L.mean())),
        "The mean of the whole kernel is subtracted, not added",
    ),
    (
        "only K",
        kernel(lambda K, L: cosine(centring(len(K)) @ K @ centring(len(K)), L)),
        "Only K is centred",
    ),
    (
        "only L",
        kernel(lambda K, L: cosine(K, centring(len(L)) @ L @ centring(len(L)))),
        "Only L is centred",
    ),
    (
        "ones not divided",
        kernel(lambda K, L: cosine(*((H := np.identity(len(K)) - np.ones(K.shape)).dot(M).dot(H) for M in (K, L)))),
        "H is I - J, without the division by N",
    ),
    (
        "hsic without root",
        kernel(
            lambda K, L: (
                np.trace(K @ (H := centring(len(K))) @ L @ H) / (np.trace(K @ H @ K @ H) * np.trace(L @ H @ L @ H) or 1.0)
            )
        ),
        "There is no square root in the denominator",
    ),
    ("squared", kernel(lambda K, L: kernel_by_trace(K, L) ** 2), "It is the square of CKA"),
    (
        "product of the diagonals",
        kernel(
            lambda K, L: cosine(
                np.diag(centring(len(K)) @ K @ centring(len(K))), np.diag(centring(len(L)) @ L @ centring(len(L)))
            )
        ),
        "Only the diagonals are summed",
    ),
    (
        "traces below",
        kernel(lambda K, L: np.trace(K @ (H := centring(len(K))) @ L @ H) / (np.trace(H @ K @ H) * np.trace(H @ L @ H) or 1.0)),
        "The denominator has the traces of the kernels",
    ),
    (
        "0 / 0 of kernels",
        kernel(lambda K, L: np.corrcoef(kernel_overcentred(K).ravel(), kernel_overcentred(L).ravel())[0, 1]),
        "A kernel that does not vary gives NaN",
    ),
]
RIGHT[1] = [
    ("by kernels; rows, then columns", {"linear_cka": cka_with_H, "kernel_cka": kernel_by_means}),
    ("loops; HSIC by traces", {"linear_cka": cka_in_loops, "kernel_cka": kernel_by_trace}),
    ("singular values; one side centred", {"linear_cka": cka_by_singular_values, "kernel_cka": kernel_one_side}),
    ("scaled first, einsum", {"linear_cka": cka_scaled_first}),
]

# ---- 2: probes


def one_hot(y, classes, low=0.0):
    q = np.full((len(y), classes), low)
    for n, label in enumerate(y):
        q[n, label] = 1
    return q


def solve_ridge(x, q, penalty):
    """w (K, D) by Cholesky, for codes and targets as they are given."""
    A = x.T @ x + np.diag(np.broadcast_to(penalty, x.shape[1]))
    return cho_solve(cho_factor(A), x.T @ q).T


def ridge_in_dual_form(x, y, classes, strength):
    """N x N: w = qc^T (xc xc^T + N strength I)^-1 xc."""
    N, q = len(x), one_hot(y, classes)
    xc, qc = x - x.mean(0), q - q.mean(0)
    w = np.linalg.solve(xc @ xc.T + N * strength * np.identity(N), qc).T @ xc
    return w, q.mean(0) - w @ x.mean(0)


def ridge_by_svd(x, y, classes, strength):
    q = (np.arange(classes) == y[:, None]) * 1.0
    xm, qm = np.average(x, axis=0), np.average(q, axis=0)
    u, s, vt = svd(x - xm, full_matrices=False)
    w = ((u.T @ (q - qm)).T * (s / (s**2 + len(x) * strength))) @ vt
    return [w, qm - (w * xm).sum(axis=1)]


def ridge_with_rows_more(x, y, classes, strength):
    """Least squares with D rows more, and class by class."""
    N, D = x.shape
    xm, w, b = x.mean(axis=0), [], []
    A = np.vstack([x - xm, math.sqrt(N * strength) * np.eye(D)])
    for k in range(classes):
        t = (y == k).astype(float)
        row = np.linalg.lstsq(A, np.concatenate([t - t.mean(), np.zeros(D)]), rcond=None)[0]
        w.append(row)
        b.append(t.mean() - row @ xm)
    return np.array(w), np.array(b)


def ridge_with_ones(x, y, classes, strength):
    N, D = x.shape
    Z = np.hstack([x, np.ones((N, 1))])
    P = N * strength * np.eye(D + 1)
    P[D, D] = 0
    theta = np.linalg.inv(Z.T @ Z + P) @ Z.T @ one_hot(y, classes)
    return theta[:D].T.copy(), theta[D].copy()


def ridge(low=0.0, penalty=lambda N, D, s: N * s, centre=True, bias=lambda qm, w, xm: qm - w @ xm):
    def ridge_probe(x, y, classes, strength):
        q, xm = one_hot(y, classes, low), x.mean(axis=0)
        w = solve_ridge(x - xm if centre else x, q - q.mean(axis=0), penalty(*x.shape, strength))
        return w, bias(q.mean(axis=0), w, xm)

    return {"ridge_probe": ridge_probe}


def ridge_ones_penalised(x, y, classes, strength):
    Z = np.c_[np.ones(len(x)), x]
    theta = solve_ridge(Z, one_hot(y, classes), len(x) * strength)
    return theta[:, 1:].copy(), theta[:, 0].copy()


def ridge_no_bias(x, y, classes, strength):
    return solve_ridge(x, one_hot(y, classes), len(x) * strength), np.zeros(classes)


def ridge_least_squares(x, y, classes, strength):
    q = one_hot(y, classes)
    w = np.linalg.lstsq(x - x.mean(0), q - q.mean(0), rcond=None)[0].T
    return w, q.mean(0) - w @ x.mean(0)


def ridge_max_label(x, y, classes, strength):
    return ridge_in_dual_form(x, y, max(y) + 1, strength)


def ridge_unique(x, y, classes, strength):
    there = np.unique(y)
    return ridge_by_svd(x, np.searchsorted(there, y), len(there), strength)


def ridge_z_scores(x, y, classes, strength):
    z = (x - np.mean(x, 0)) / np.std(x, 0)
    w = solve_ridge(z, one_hot(y, classes) - one_hot(y, classes).mean(0), len(x) * strength)
    return w, one_hot(y, classes).mean(0)


def ridge_full_matrix(x, y, classes, strength):
    q, N = one_hot(y, classes), len(x)
    xc = x - x.mean(0)
    w = np.linalg.solve(xc.T @ xc + N * strength, xc.T @ (q - q.mean(0))).T
    return w, q.mean(0) - w @ x.mean(0)


def ridge_mean_on_one_side(x, y, classes, strength):
    """(xc^T xc + N s I)^-1 xc^T qc / N."""
    w, _ = ridge_with_rows_more(x, y, classes, strength)
    w = w / x.shape[0]
    return w, one_hot(y, classes).mean(0) - w @ x.mean(0)


def curve(
    probe=ridge_in_dual_form,
    sees=lambda train, val, test: train,
    judge=lambda train, val, test: val,
    better=lambda new, old: new[0] > old[0] or (new[0] == old[0] and new[1] > old[1]),
    report=lambda train, val, test: test,
    again=None,
    finish=lambda chosen, accuracies: (np.array(chosen), np.array(accuracies)),
):
    """probe_curve() by a running best; tuples are (accuracy of the judging samples, strength, probe)."""

    def probe_curve(codes, y, train, val, test, classes, strengths):
        def share(w, b, x, rows):
            return sum(int(np.argmax(w @ x[n] + b)) == y[n] for n in rows) / len(rows)

        chosen, accuracies = [], []
        parts = train, val, test
        for x in codes:
            best = None
            for strength in strengths:
                rows = sees(*parts)
                w, b = probe(x[rows], y[rows], classes, strength)
                new = share(w, b, x, judge(*parts)), strength, (w, b)
                if best is None or better(new, best):
                    best = new
            w, b = probe(x[again(*parts)], y[again(*parts)], classes, best[1]) if again else best[2]
            chosen.append(best[1])
            accuracies.append(share(w, b, x, report(*parts)))
        return finish(chosen, accuracies)

    return {"probe_curve": probe_curve}


def both(train, val, test):
    return np.r_[train, val]


def curve_with_tables(codes, y, train, val, test, classes, strengths):
    table = np.zeros((2, len(codes), len(strengths)))
    for i, x in enumerate(codes):
        for j, strength in enumerate(strengths):
            w, b = ridge_with_ones(x[train], y[train], classes, strength)
            for part, rows in enumerate((val, test)):
                table[part, i, j] = np.mean(np.argmax(x[rows] @ w.T + b, axis=-1) == y[rows])
    order = np.argsort(strengths)[::-1]
    columns = order[table[0][:, order].argmax(axis=1)]
    return np.take(strengths, columns), table[1][np.arange(len(codes)), columns]


def curve_by_sorting(codes, y, train, val, test, classes, strengths):
    results = []
    for x in codes:
        candidates = []
        for strength in strengths:
            w, b = ridge_by_svd(x[train], y[train], classes, strength)
            right = [np.argmax(w @ code + b) == label for code, label in zip(x, y, strict=True)]
            candidates.append((sum(right[n] for n in val), strength, sum(right[n] for n in test) / len(test)))
        results.append(sorted(candidates)[-1][1:])
    return list(map(list, zip(*results, strict=True)))


def curve_shared_choice(codes, y, train, val, test, classes, strengths):
    best, total = None, -1
    for strength in sorted(strengths)[::-1]:
        probes = [ridge_with_ones(x[train], y[train], classes, strength) for x in codes]
        on_val = np.mean([np.mean((x[val] @ w.T + b).argmax(1) == y[val]) for x, (w, b) in zip(codes, probes, strict=True)])
        if on_val > total:
            best, total = (strength, probes), on_val
    tested = [np.mean((x[test] @ w.T + b).argmax(1) == y[test]) for x, (w, b) in zip(codes, best[1], strict=True)]
    return np.full(len(codes), best[0]), np.array(tested)


def curve_on_everything(codes, y, train, val, test, classes, strengths):
    N = len(y)
    return curve(sees=lambda *parts: range(N))["probe_curve"](codes, y, train, val, test, classes, strengths)


def curve_of_all_samples(codes, y, train, val, test, classes, strengths):
    N = len(y)
    return curve(report=lambda *parts: range(N))["probe_curve"](codes, y, train, val, test, classes, strengths)


def curve_in_place(codes, y, train, val, test, classes, strengths):
    for x in codes:
        x -= x[train].mean(axis=0)
    return curve_with_tables(codes, y, train, val, test, classes, strengths)


def curve_counts(codes, y, train, val, test, classes, strengths):
    chosen, accuracies = curve_with_tables(codes, y, train, val, test, classes, strengths)
    return chosen, accuracies * len(test)


WRONG[2] = [
    ("strength alone", ridge(penalty=lambda N, D, s: s), "The strength is not multiplied by N"),
    ("strength / N", ridge(penalty=lambda N, D, s: s / N), "The strength is divided by N"),
    ("half", ridge(penalty=lambda N, D, s: N * s * 0.5), "The strength is halved"),
    ("twice", ridge(penalty=lambda N, D, s: (N + N) * s), "The strength is doubled"),
    ("times D", ridge(penalty=lambda N, D, s: D * s), "The strength is multiplied by the number of features"),
    ("no identity", {"ridge_probe": ridge_full_matrix}, "The penalty is added to all entries, and not to the diagonal"),
    ("lstsq", {"ridge_probe": ridge_least_squares}, "There is no penalty"),
    ("column of ones, all penalised", {"ridge_probe": ridge_ones_penalised}, "The bias is penalised, too"),
    ("no bias", {"ridge_probe": ridge_no_bias}, "There is no bias, and nothing is centred"),
    ("w from raw codes", ridge(centre=False, bias=lambda qm, w, xm: +qm), "The codes are not centred"),
    ("b is the mean target", ridge(bias=lambda qm, w, xm: 1.0 * qm), "The bias leaves out w times the mean code"),
    ("b with a plus", ridge(bias=lambda qm, w, xm: (w * xm).sum(1) + qm), "The bias adds w times the mean code"),
    ("b without targets", ridge(bias=lambda qm, w, xm: -(w @ xm)), "The bias leaves out the mean of the targets"),
    ("targets of both signs", ridge(low=-1.0), "The targets are 1 and -1"),
    ("max label", {"ridge_probe": ridge_max_label}, "There are only as many classes as the largest label says"),
    ("labels that occur", {"ridge_probe": ridge_unique}, "There are only as many classes as occur"),
    (
        "columns are classes",
        {"ridge_probe": lambda x, y, K, s: ((r := ridge_with_ones(x, y, K, s))[0].T.copy(), r[1])},
        "w is transposed",
    ),
    ("z scores", {"ridge_probe": ridge_z_scores}, "The codes are standardised, and w fits those only"),
    ("1 / N twice", {"ridge_probe": ridge_mean_on_one_side}, "w is divided by N once too often"),
    ("w alone", {"ridge_probe": lambda x, y, K, s: ridge_by_svd(x, y, K, s)[0]}, "Not as many results as asked for"),
    ("test decides", curve(judge=lambda train, val, test: test), "The strength is chosen by the test samples"),
    ("training decides", curve(judge=lambda train, val, test: train), "The strength is chosen by the training samples"),
    (
        "weak wins",
        curve(better=lambda new, old: new[0] > old[0] or (new[0] == old[0] and new[1] < old[1])),
        "Of strengths that are equally good, the weakest is chosen",
    ),
    (
        "first wins",
        curve(better=lambda new, old: new[0] > old[0]),
        "Of strengths that are equally good, the first of the list is chosen",
    ),
    (
        "last wins",
        curve(better=lambda new, old: new[0] >= old[0]),
        "Of strengths that are equally good, the last of the list is chosen",
    ),
    (
        "minimum of accuracies",
        curve(better=lambda new, old: (-new[0], new[1]) > (-old[0], old[1])),
        "The worst strength is chosen",
    ),
    ("trained again", curve(again=both), "The probe is trained again, on training and validation samples"),
    ("trained on both", curve(sees=both), "All probes are trained on training and validation samples"),
    ("trained on all", {"probe_curve": curve_on_everything}, "The probes are trained on all samples"),
    (
        "validation accuracies",
        curve(report=lambda train, val, test: val),
        "The accuracies are those on the validation samples",
    ),
    (
        "training accuracies",
        curve(report=lambda train, val, test: train),
        "The accuracies are those on the training samples",
    ),
    ("accuracies of all", {"probe_curve": curve_of_all_samples}, "The accuracies are those on all samples together"),
    (
        "errors",
        curve(ridge_by_svd, finish=lambda chosen, accuracies: (np.array(chosen), 1 - np.array(accuracies))),
        "It is the share of mistakes",
    ),
    ("counts", {"probe_curve": curve_counts}, "It is the number of right answers"),
    ("a choice for all", {"probe_curve": curve_shared_choice}, "One strength is chosen for all layers together"),
    (
        "order",
        curve(finish=lambda chosen, accuracies: [np.array(accuracies), np.array(chosen)]),
        "The two results come back in the wrong order",
    ),
    ("codes centred in place", {"probe_curve": curve_in_place}, "An argument is changed"),
]
RIGHT[2] = [
    ("N x N; running best, sample by sample", {"ridge_probe": ridge_in_dual_form, **curve()}),
    ("singular values; tables", {"ridge_probe": ridge_by_svd, "probe_curve": curve_with_tables}),
    ("rows more, class by class; sorted lists", {"ridge_probe": ridge_with_rows_more, "probe_curve": curve_by_sorting}),
    ("column of ones, not penalised", {"ridge_probe": ridge_with_ones}),
]

# ---- 3: transfer


def moved(build, freeze):
    """transfer_curve() of two steps: build(source, fresh, n) gives the network, freeze(network, n, frozen) sets its flags."""

    def transfer_curve(source, fresh, depths, frozen, train):
        results = []
        for n in depths:
            network = build(source, fresh, n)
            freeze(network, n, frozen)
            results.append(train(network))
        return np.array(results)

    return {"transfer_curve": transfer_curve}


def by_arrays(source, fresh, n, which=lambda name: True, state=True):
    """A copy of fresh into whose arrays source's numbers are written."""
    network = fresh.copy()
    for name in list(network.layers)[:n]:
        new, old = network.layers[name], source.layers[name]
        for key, parameter in new.parameters().items():
            if which(key):
                parameter.value[...] = old.parameters()[key].value
        if state:
            for key, array in new.state().items():
                np.copyto(array, old.state()[key])
    return network


def anew(source, fresh, n):
    layers = {name: (source if i < n else fresh).layers[name] for i, name in enumerate(fresh.layers)}
    return Model(copy.deepcopy(layers), architecture=fresh.architecture, input_shape=fresh.input_shape)


def by_halves(source, fresh, n):
    names = list(fresh.layers)
    if n == 0:
        return copy.deepcopy(fresh)
    lower, upper = source.split(names[n - 1])[0], fresh.split(names[n - 1])[1]
    both = copy.deepcopy(lower.layers) | copy.deepcopy(upper.layers)
    return Model(both, architecture="put together", input_shape=fresh.input_shape)


def freeze_until(network, n, frozen):
    network.unfreeze()
    if frozen and n > 0:
        network.freeze(until=list(network.layers)[n - 1])


def freeze_by_layers(network, n, frozen):
    for place, layer in enumerate(network.layers.values()):
        layer.unfreeze()
        if frozen and place < n:
            layer.freeze()


def freeze_by_paths(network, n, frozen):
    lower = set(list(network.layers)[:n])
    for path, parameter in network.parameters().items():
        parameter.trainable = path.partition(".")[0] not in lower or not frozen


def freeze_without_unfreezing(network, n, frozen):
    if frozen and n:
        network.freeze(until=list(network.layers)[n - 1])


def freeze_until_minus_one(network, n, frozen):
    network.unfreeze()
    if frozen:
        network.freeze(until=list(network.layers)[n - 1])


def freeze_prefixes(network, n, frozen):
    network.unfreeze()
    if frozen:
        for path, parameter in network.parameters().items():
            parameter.trainable = not path.startswith(tuple(list(network.layers)[:n]))


def freeze_other_way(network, n, frozen):
    freeze_by_layers(network, n, frozen)
    for parameter in network.parameters().values():
        parameter.trainable = not parameter.trainable


def freeze_w(network, n, frozen):
    network.unfreeze()
    if frozen:
        for name in list(network.layers)[:n]:
            for path, parameter in network.layers[name].parameters().items():
                if path == "w" or path.endswith(".w"):
                    parameter.trainable = False


def assigned_layers(source, fresh, n):
    network = fresh.copy()
    for name in list(source.layers)[:n]:
        network.layers[name] = source.layers[name]
    return network


def assigned_values(source, fresh, n):
    network = by_arrays(source, fresh, n)
    for name in list(source.layers)[:n]:
        for key, parameter in source.layers[name].parameters().items():
            network.layers[name].parameters()[key].value = parameter.value
    return network


def in_fresh_itself(source, fresh, n):
    for name in list(source.layers)[:n]:
        fresh.layers[name] = source.copy().layers[name]
    return fresh


def shared_top(source, fresh, n):
    names = list(fresh.layers)
    layers = {name: copy.deepcopy(source.layers[name]) if i < n else fresh.layers[name] for i, name in enumerate(names)}
    return Model(layers, architecture="half shared", input_shape=fresh.input_shape)


def forgotten_statistics(source, fresh, n):
    network = anew(source, fresh, n)
    for name in list(network.layers)[:n]:
        for _, layer in network.layers[name].walk():
            if isinstance(layer, BatchNorm2d):
                layer.running_mean = np.zeros_like(layer.running_mean)
                layer.running_var = np.ones_like(layer.running_var)
    return network


def of_source_throughout(source, fresh, n):
    return copy.deepcopy(source)


def one_for_all(source, fresh, depths, frozen, train):
    network, results = copy.deepcopy(fresh), []
    for n in depths:
        for name in list(network.layers)[:n]:
            network.layers[name] = copy.deepcopy(source.layers[name])
        freeze_by_layers(network, n, frozen)
        results.append(train(network))
    return np.array(results)


def growing(source, fresh, depths, frozen, train):
    return moved(anew, freeze_until)["transfer_curve"](source, fresh, sorted(depths), frozen, train)


def enumerated(source, fresh, depths, frozen, train):
    results = np.zeros(len(depths))
    for n, _ in enumerate(depths):
        network = anew(source, fresh, n)
        freeze_by_paths(network, n, frozen)
        results[n] = train(network)
    return results


def ever_frozen(network, n, frozen):
    freeze_until(network, n, True)


def never_frozen(network, n, frozen):
    freeze_by_paths(network, n, False)


def all_frozen(network, n, frozen):
    network.unfreeze()
    if frozen:
        network.freeze()


def trained_in_source(source, fresh, depths, frozen, train):
    """The new upper layers are put on source itself."""
    results = []
    for n in depths:
        network = Model(
            {name: (source if i < n else fresh.copy()).layers[name] for i, name in enumerate(fresh.layers)},
            architecture="on source",
            input_shape=fresh.input_shape,
        )
        freeze_until(network, n, frozen)
        results.append(train(network))
    return np.array(results)


def trained_and_forgotten(source, fresh, depths, frozen, train):
    for n in depths:
        network = by_arrays(source, fresh, n)
        freeze_until(network, n, frozen)
        train(network)


WRONG[3] = [
    (
        "layers assigned",
        moved(assigned_layers, freeze_until),
        "The layers of source are put in themselves, not copies of them",
    ),
    (
        "upper layers put on source",
        {"transfer_curve": trained_in_source},
        "The layers of source are put in themselves, not copies of them",
    ),
    (
        "values assigned",
        moved(assigned_values, freeze_by_layers),
        "The weights are those of source themselves, not copies of them",
    ),
    ("fresh used up", moved(in_fresh_itself, freeze_by_paths), "The same network is trained again and again"),
    ("made before the loop", {"transfer_curve": one_for_all}, "The same network is trained again and again"),
    (
        "upper layers shared",
        moved(shared_top, freeze_by_layers),
        "The upper layers are those of fresh themselves, not copies of them",
    ),
    (
        "parameters only",
        moved(lambda source, fresh, n: by_arrays(source, fresh, n, state=False), freeze_until),
        "The running statistics are left behind",
    ),
    ("statistics set back", moved(forgotten_statistics, freeze_by_paths), "The running statistics are set back"),
    (
        "w and statistics",
        moved(lambda source, fresh, n: by_arrays(source, fresh, n, lambda key: key[-1] == "w"), freeze_until),
        "Only the weights w come along",
    ),
    (
        "w alone",
        moved(lambda source, fresh, n: by_arrays(source, fresh, n, lambda key: key[-1] == "w", False), freeze_by_layers),
        "Only the weights w come along, without the statistics",
    ),
    (
        "a layer too many",
        moved(lambda source, fresh, n: anew(source, fresh, n + 1), freeze_until),
        "One layer too many is copied",
    ),
    (
        "a layer too few",
        moved(lambda source, fresh, n: by_arrays(source, fresh, max(n - 1, 0)), freeze_by_paths),
        "One layer too few is copied",
    ),
    (
        "all but the classifier",
        moved(lambda source, fresh, n: anew(source, fresh, len(fresh.layers) - 1), freeze_by_layers),
        "All layers but the last are copied, whatever n is",
    ),
    ("nothing copied", moved(lambda source, fresh, n: fresh.copy(), freeze_by_layers), "No layer is copied"),
    ("source copied", moved(of_source_throughout, freeze_until), "The upper layers are source's, too"),
    ("flags reversed", moved(anew, freeze_other_way), "Frozen and trainable are exchanged"),
    ("no unfreeze()", moved(anew, freeze_without_unfreezing), "What was frozen before stays frozen"),
    (
        "no unfreeze(), arrays written",
        moved(by_halves, freeze_without_unfreezing),
        "What was frozen before stays frozen",
    ),
    ("frozen in any case", moved(by_halves, ever_frozen), "The first layers are frozen even where that was not asked for"),
    ("never frozen", moved(by_arrays, never_frozen), "Nothing is frozen"),
    ("all of it frozen", moved(by_halves, all_frozen), "Everything is frozen"),
    ("names[n - 1]", moved(by_arrays, freeze_until_minus_one), "With n = 0 everything is frozen"),
    (
        "one too few frozen",
        moved(anew, lambda network, n, frozen: freeze_by_layers(network, n - 1, frozen)),
        "One layer too few is frozen",
    ),
    (
        "one too many frozen",
        moved(anew, lambda network, n, frozen: freeze_by_paths(network, n + 1, frozen)),
        "One layer too many is frozen",
    ),
    (
        "names by their beginnings",
        moved(anew, freeze_prefixes),
        "Layers are frozen whose names only begin like those of the first",
    ),
    ("w frozen", moved(by_halves, freeze_w), "Only the weights w are frozen"),
    ("sorted", {"transfer_curve": growing}, "The depths are taken in another order"),
    ("enumerate", {"transfer_curve": enumerated}, "The depths are taken for 0, 1, 2, ..."),
    ("no return", {"transfer_curve": trained_and_forgotten}, "Nothing is returned"),
]
RIGHT[3] = [
    ("written into the arrays of a copy", moved(by_arrays, freeze_until)),
    ("a new Model of copied layers", moved(anew, freeze_by_layers)),
    ("two halves", moved(by_halves, freeze_by_paths)),
]

# ---- 4: gains


def gain_in_loops(accuracies, baseline):
    S, L = accuracies.shape
    mean, error = np.zeros(L), np.zeros(L)
    for depth in range(L):
        g = [accuracies[s, depth] - baseline[s] for s in range(S)]
        mean[depth] = sum(g) / S
        error[depth] = math.sqrt(sum((value - mean[depth]) ** 2 for value in g) / (S - 1)) / math.sqrt(S)
    return mean, error


def gain_by_covariance(accuracies, baseline):
    """The variance of a difference: var a + var b - 2 cov(a, b)."""
    S = len(baseline)
    mean, error = [], []
    for column in accuracies.T:
        covariance = np.cov(column, baseline)
        mean.append(column.mean() - baseline.mean())
        error.append(np.sqrt((covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]) / S))
    return mean, error


def gain_transposed(accuracies, baseline):
    g = (accuracies.T - baseline).T
    spread = np.square(g - np.mean(g, axis=0)).sum(axis=0)
    return g.sum(axis=0) / len(g), np.sqrt(spread / (len(g) * (len(g) - 1)))


def gain(change_mean=lambda m: m, error=None, difference=lambda a, b: (a.T - b).T):
    def paired_gain(accuracies, baseline):
        g = difference(accuracies, baseline)
        S = g.shape[0]
        deviations = np.sum((g - g.mean(0)) ** 2, axis=0)
        return change_mean(np.sum(g, axis=0) / S), error(deviations, S, g) if error else np.sqrt(deviations / (S - 1) / S)

    return {"paired_gain": paired_gain}


def gain_unpaired(accuracies, baseline):
    S = len(baseline)
    variances = np.var(accuracies, axis=0, ddof=1) / S + np.var(baseline, ddof=1) / S
    return gain_in_loops(accuracies, baseline)[0], np.sqrt(variances)


def gain_of_accuracies(accuracies, baseline):
    S = len(accuracies)
    spread = np.array([math.sqrt(np.var(column, ddof=1) / S) for column in accuracies.T])
    return accuracies.mean(0) - baseline.mean(), spread


def gain_by_depth(accuracies, baseline):
    g = np.array([row - value for row, value in zip(accuracies, baseline, strict=True)])
    return np.average(g, axis=1), g.std(axis=1, ddof=1) / math.sqrt(g.shape[1])


def gain_in_place(accuracies, baseline):
    accuracies -= baseline.reshape(-1, 1)
    return accuracies.mean(0), accuracies.std(0, ddof=1) / len(accuracies) ** 0.5


def share_in_loops(transferred, own, random):
    S, L = own.shape
    share = []
    for depth in range(L):
        possible = sum(own[s, depth] - random[s, depth] for s in range(S)) / S
        gained = sum(transferred[s, depth] - random[s, depth] for s in range(S)) / S
        share.append(gained / possible if possible > 0 else float("nan"))
    return np.array(share)


def share_with_masks(transferred, own, random):
    t, o, r = (curve.mean(0) for curve in (transferred, own, random))
    share = (t - r) / np.where(o > r, o - r, 1)
    share[o <= r] = np.nan
    return share


def share_as_list(transferred, own, random):
    sums = [np.sum(transferred - random, axis=0), np.sum(own - random, axis=0)]
    with np.errstate(all="ignore"):
        quotient = np.divide(*sums)
    return [q if d > 0 else np.nan for q, d in zip(quotient, sums[1], strict=True)]


def share(quotient, empty=np.nan, is_empty=lambda o, r: o.mean(0) <= r.mean(0)):
    def share_kept(transferred, own, random):
        with np.errstate(all="ignore"):
            result = quotient(transferred, own, random)
        result[is_empty(own, random)] = empty
        return result

    return {"share_kept": share_kept}


def gained_share(t, o, r):
    return (t.mean(0) - r.mean(0)) / (o.mean(0) - r.mean(0))


def no_entry(o, r):
    return np.zeros(o.shape[1], bool)


def share_by_seeds(transferred, own, random):
    """Means over the depths."""
    t, o, r = (np.average(curve, axis=1) for curve in (transferred, own, random))
    return np.array([(a - c) / (b - c) if b > c else math.nan for a, b, c in zip(t, o, r, strict=True)])


WRONG[4] = [
    ("two samples", {"paired_gain": gain_unpaired}, "The error is that of two independent means"),
    (
        "error of one of them",
        {"paired_gain": gain_of_accuracies},
        "The error is that of the accuracies, and not of the differences",
    ),
    (
        "mean of the baseline",
        gain(difference=lambda a, b: a - sum(b) / len(b)),
        "The error is that of the accuracies, and not of the differences",
    ),
    ("divided by S", gain(error=lambda d, S, g: np.sqrt(d / S / S)), "The squares are divided by S, and not by S - 1"),
    ("spread", gain(error=lambda d, S, g: np.sqrt(d / (S - 1))), "The error is the standard deviation of the seeds"),
    (
        "by S in place of its root",
        gain(error=lambda d, S, g: np.sqrt(d / (S - 1)) / S),
        "The standard deviation is divided by S, and not by its root",
    ),
    (
        "root of L",
        gain(error=lambda d, S, g: np.sqrt(d / (S - 1) / len(g[0]))),
        "The error is divided by the root of the number of depths",
    ),
    (
        "S - 1 twice",
        gain(error=lambda d, S, g: np.sqrt(d) / (S - 1)),
        "The standard deviation is divided by the root of S - 1, and not of S",
    ),
    ("variance", gain(error=lambda d, S, g: d / (S - 1) / S), "The error is the variance of the mean, without the root"),
    (
        "95 %",
        gain(error=lambda d, S, g: 1.96 * np.sqrt(d / (S - 1) / S)),
        "The error is half of the 95 % interval",
    ),
    ("two errors", gain(error=lambda d, S, g: 2 * np.sqrt(d / (S - 1) / S)), "The error is half of the 95 % interval"),
    ("baseline minus accuracies", gain(difference=lambda a, b: (b - a.T).T), "The gain has the wrong sign"),
    ("relative", gain(difference=lambda a, b: (a.T / b - 1).T), "The gain is a share of the baseline"),
    ("by seeds", {"paired_gain": gain_by_depth}, "The means run over the depths"),
    (
        "median of seeds",
        {
            "paired_gain": lambda a, b: (
                np.array(
                    [
                        sorted(c)[len(c) // 2] if len(c) % 2 else sum(sorted(c)[len(c) // 2 - 1 : len(c) // 2 + 1]) / 2
                        for c in (a.T - b)
                    ]
                ),
                gain_transposed(a, b)[1],
            )
        },
        "The mean is a median",
    ),
    (
        "broadcast as it comes",
        {"paired_gain": lambda a, b: ((a - b).mean(0), (a - b).std(0, ddof=1) / np.sqrt(len(a)))},
        "Baseline and accuracies are subtracted along the wrong axis",
    ),
    ("in place", {"paired_gain": gain_in_place}, "An argument is changed"),
    ("mean alone", {"paired_gain": lambda a, b: gain_in_loops(a, b)[0]}, "Not as many results as asked for"),
    (
        "ratios seed by seed",
        share(lambda t, o, r: np.array([sum(c) / len(c) for c in ((t - r) / (o - r)).T])),
        "It is the mean of the ratios, and not the ratio of the means",
    ),
    ("t / o", share(lambda t, o, r: t.sum(0) / o.sum(0)), "The random baseline is not subtracted"),
    ("(t - r) / o", share(lambda t, o, r: (t.mean(0) - r.mean(0)) / o.mean(0)), "The random baseline is subtracted above only"),
    ("t / (o - r)", share(lambda t, o, r: t.sum(0) / (o - r).sum(0)), "The random baseline is subtracted below only"),
    ("upside down", share(lambda t, o, r: 1 / gained_share(t, o, r)), "Numerator and denominator are exchanged"),
    ("lost", share(lambda t, o, r: 1 - gained_share(t, o, r)), "It is the share that is lost"),
    (
        "between 0 and 1",
        share(lambda t, o, r: np.minimum(1, np.maximum(0, gained_share(t, o, r)))),
        "The share is cut off at 0 and 1",
    ),
    ("not below 0", share(lambda t, o, r: np.maximum(0, gained_share(t, o, r))), "The share is cut off at 0"),
    ("no NaN", share(gained_share, is_empty=no_entry), "Where there is nothing to keep, it is divided all the same"),
    (
        "NaN at 0 only",
        share(gained_share, is_empty=lambda o, r: np.all(o == r, axis=0)),
        "Only where own and random layers are equal is the share NaN",
    ),
    ("0 for NaN", share(gained_share, empty=0), "Where there is nothing to keep, the share is 0"),
    ("by seeds, share", {"share_kept": share_by_seeds}, "The means run over the depths"),
]
RIGHT[4] = [
    ("loops", {"paired_gain": gain_in_loops, "share_kept": share_in_loops}),
    ("covariances, lists; masks", {"paired_gain": gain_by_covariance, "share_kept": share_with_masks}),
    ("transposed; sums, a list", {"paired_gain": gain_transposed, "share_kept": share_as_list}),
]

# ---- 5: where layers become specific


def summary(columns):
    """Means and standard errors of (S, L), in lists."""
    S = len(columns)
    means = [sum(column) / S for column in columns.T]
    errors = [math.sqrt(sum((v - m) ** 2 for v in c) / (S - 1) / S) for c, m in zip(columns.T, means, strict=True)]
    return means, errors


def free_from_above(accuracies):
    means, errors = summary(accuracies)
    best = max(range(len(means)), key=lambda n: means[n])
    for n in reversed(range(len(means))):
        if not means[n] < means[best] - errors[best]:
            return n


def free_with_where(accuracies):
    means, errors = (np.array(part) for part in summary(accuracies))
    bound = (means - errors)[np.argmax(means)]
    return np.where(means >= bound)[0][-1]


def free_reversed(accuracies):
    m = np.mean(accuracies, axis=0)
    e = np.sqrt(np.var(accuracies, axis=0, ddof=1) / accuracies.shape[0])
    good = m + e[m.argmax()] >= m.max()
    return float(len(m) - 1 - np.argmax(good[::-1]))


def specific_from_above(own, other):
    means, errors = summary(own - other)
    answer = len(means) + 1
    for n in range(len(means), 0, -1):
        if means[n - 1] <= errors[n - 1]:
            break
        answer = n
    return answer


def specific_accumulated(own, other):
    d = np.subtract(own, other)
    specific = d.mean(0) / np.maximum(d.std(0, ddof=1) / math.sqrt(len(d)), 1e-300) > 1
    return 1 + len(specific) - int(np.cumprod(specific[::-1]).sum())


def specific_last_failure(own, other):
    means, errors = summary(own - other)
    return max([n + 1 for n, (m, e) in enumerate(zip(means, errors, strict=True)) if not m > e], default=0) + 1


def free(
    bound=lambda m, e, best: m[best] - e[best], scale=1.0, choose=lambda good: good[-1], passes=lambda m, bound: m >= bound
):
    def layers_for_free(accuracies):
        m, e = (np.array(part) for part in summary(accuracies))
        e = e * (scale(len(accuracies)) if callable(scale) else scale)
        limit = bound(m, e, int(np.argmax(m)))
        limits = np.broadcast_to(limit, m.shape)
        return choose([n for n in range(len(m)) if passes(m[n], limits[n])])

    return {"layers_for_free": layers_for_free}


def free_walking(accuracies):
    m, e = summary(accuracies)
    best = m.index(max(m))
    bound = m[best] - e[best]
    n = next(i for i in range(len(m)) if m[i] >= bound)
    while n < len(m) - 1 and m[n + 1] >= bound:
        n += 1
    return n


def specific(score=lambda m, e: m > e, scale=1.0, sign=1, start=None, last=0, offset=0):
    def first_specific_layer(own, other):
        m, e = (np.array(part) for part in summary(sign * (own - other)))
        e = e * (scale(len(own)) if callable(scale) else scale)
        n = len(m)
        while n > 0 and score(m[n - 1], e[n - 1]):
            n -= 1
        return min(n + 1, len(m) + 1 - last) + offset

    return {"first_specific_layer": first_specific_layer}


def specific_first_of_all(own, other):
    means, errors = summary(own - other)
    for n, (m, e) in enumerate(zip(means, errors, strict=True), start=1):
        if m > e:
            return n
    return len(means) + 1


def specific_counted(own, other):
    means, errors = summary(own - other)
    return 1 + sum(m <= e for m, e in zip(means, errors, strict=True))


def specific_unpaired(own, other):
    a, b = summary(own), summary(other)
    answer = len(a[0]) + 1
    for n in range(len(a[0]), 0, -1):
        if a[0][n - 1] - b[0][n - 1] <= math.hypot(a[1][n - 1], b[1][n - 1]):
            break
        answer = n
    return answer


WRONG[5] = [
    (
        "argmax",
        {"layers_for_free": lambda a: max(range(a.shape[1]), key=lambda n: a[:, n].sum())},
        "It is the n of the highest mean",
    ),
    ("lowest", free(choose=lambda good: good[0]), "It is the smallest n that is good enough"),
    ("walked up", {"layers_for_free": free_walking}, "It ends at the first n that is not good enough"),
    ("counted", free(choose=len), "It counts how many n are good enough"),
    ("one more", free(choose=lambda good: good[-1] + 1), "It is one more than the largest n"),
    ("own errors", free(bound=lambda m, e, best: m[best] - e), "The bound uses the error of each n, and not that of the best"),
    ("spread", free(scale=math.sqrt), "The bound is the best mean less the standard deviation of the seeds"),
    ("ddof 0", free(scale=lambda S: math.sqrt((S - 1) / S)), "The error in the bound divides by S, and not by S - 1"),
    ("two errors", free(scale=2), "The bound is the best mean less two errors"),
    (
        "plus",
        free(bound=lambda m, e, best: m[best] + e[best], choose=lambda good: good[-1] if good else 0),
        "The bound is the best mean plus its error",
    ),
    ("from n = 0", free(bound=lambda m, e, best: m[0] - e[0]), "The bound is taken from n = 0, and not from the best"),
    (
        "strict",
        {
            "layers_for_free": lambda a: int(
                np.nonzero((m := a.mean(0)) > m.max() - (a.std(0, ddof=1) / len(a) ** 0.5)[m.argmax()])[0].max()
            )
        },
        "A mean that is just at the bound does not count",
    ),
    (
        "first of all",
        {"first_specific_layer": specific_first_of_all},
        "It is the first layer that is specific, whatever lies above it",
    ),
    ("from 0", specific(offset=-1), "Layers are counted from 0"),
    ("L at most", specific(last=1), "Where not even the top layer is specific, the answer is L"),
    (
        "counted, not specific",
        {"first_specific_layer": specific_counted},
        "It is one more than the number of layers that are not specific",
    ),
    ("above 0", specific(lambda m, e: m > 0), "Any difference above 0 counts"),
    ("spread of the seeds", specific(scale=math.sqrt), "The difference must exceed the standard deviation of the seeds"),
    (
        "divided by S",
        specific(scale=lambda S: math.sqrt(1 - 1 / S)),
        "The error of the difference divides by S, and not by S - 1",
    ),
    ("two errors above", specific(scale=2.0), "The difference must exceed two errors"),
    ("hypot", {"first_specific_layer": specific_unpaired}, "The error is that of two independent means"),
    ("other - own", specific(sign=-1), "Own and other layers are exchanged"),
    ("both signs", specific(lambda m, e: abs(m) > e), "Better layers count as specific as well"),
    ("at its error", specific(lambda m, e: m >= e), "A difference that is just its error counts"),
]
RIGHT[5] = [
    ("from above, lists", {"layers_for_free": free_from_above, "first_specific_layer": specific_from_above}),
    ("np.where; running products", {"layers_for_free": free_with_where, "first_specific_layer": specific_accumulated}),
    (
        "reversed, a float; the last that fails",
        {"layers_for_free": free_reversed, "first_specific_layer": specific_last_failure},
    ),
]
