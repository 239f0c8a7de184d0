"""Answers to the tasks of lesson 5: wrong ones as people write them, and right ones written differently from the solution.

``WRONG[task]`` has (what it does, the functions that take the place of the solution's, the title of the slip that it is, or
None); ``RIGHT[task]`` has (how, the functions).
"""

import math

import numpy as np

from minicnn.course import find_lesson
from minicnn.inference.fused_layers import FusedConv2d
from minicnn.kernels import reference, textbook
from minicnn.layers import BatchNorm1d, BatchNorm2d, Conv2d, LocalResponseNorm

solution = find_lesson("5").solution
WRONG, RIGHT = {}, {}

# ---- 1: forward


def keras_momentum(x, gamma, beta, running_mean, running_var, momentum, eps):
    mu, var = np.mean(x, 0), np.var(x, 0)
    running_mean = momentum * running_mean + (1 - momentum) * mu
    running_var = momentum * running_var + (1 - momentum) * np.var(x, 0, ddof=1)
    return gamma * (x - mu) / np.sqrt(var + eps) + beta, running_mean, running_var


def biased_average(x, gamma, beta, running_mean, running_var, momentum, eps):
    mu, var = x.mean(0), x.var(0)
    out = (x - mu) / np.sqrt(var + eps) * gamma + beta
    return out, running_mean * (1 - momentum) + mu * momentum, running_var * (1 - momentum) + var * momentum


def unbiased_everywhere(x, gamma, beta, running_mean, running_var, momentum, eps):
    mu = x.sum(axis=0) / len(x)
    var = ((x - mu) ** 2).sum(axis=0) / (len(x) - 1)
    y = gamma * (x - mu) / np.sqrt(var + eps) + beta
    return y, (1 - momentum) * running_mean + momentum * mu, (1 - momentum) * running_var + momentum * var


def forward_with(normalise):
    """batchnorm_forward with this in place of (x - mean) / sqrt(variance + eps): a function of x, eps and the old averages."""

    def batchnorm_forward(x, gamma, beta, running_mean, running_var, momentum, eps):
        _, new_mean, new_var = solution.batchnorm_forward(x, gamma, beta, running_mean, running_var, momentum, eps)
        return gamma * normalise(x, eps, running_mean, running_var, new_mean, new_var) + beta, new_mean, new_var

    return {"batchnorm_forward": batchnorm_forward}


def over_features(x, gamma, beta, running_mean, running_var, momentum, eps):
    mean, std = np.mean(x, axis=1, keepdims=True), np.std(x, axis=1, keepdims=True, ddof=0)
    out = gamma * (x - mean) / np.sqrt(std**2 + eps) + beta
    unbiased = np.var(x, axis=1, keepdims=True, ddof=1)
    return out, (1 - momentum) * running_mean + momentum * mean, (1 - momentum) * running_var + momentum * unbiased


def over_features_flat(x, gamma, beta, running_mean, running_var, momentum, eps):
    mean, var = np.mean(x, -1), np.mean((x.T - np.mean(x, -1)) ** 2, 0)
    out = gamma * (x - mean) * (var + eps) ** -0.5 + beta
    var = var * x.shape[1] / (x.shape[1] - 1)
    return out, running_mean + momentum * (mean - running_mean), running_var + momentum * (var - running_var)


def one_for_all(x, gamma, beta, running_mean, running_var, momentum, eps):
    mean, n = x.mean(), x.size
    var = ((x - mean) ** 2).sum() / n
    y = gamma * ((x - mean) / math.sqrt(var + eps)) + beta
    return y, running_mean + momentum * (mean - running_mean), running_var + momentum * (var * n / (n - 1) - running_var)


def std_averaged(x, gamma, beta, running_mean, running_var, momentum, eps):
    y, new_mean, _ = solution.batchnorm_forward(x, gamma, beta, running_mean, running_var, momentum, eps)
    return y, new_mean, (1 - momentum) * running_var + momentum * np.std(x, axis=0, ddof=1)


def squares_minus_square(x, gamma, beta, running_mean, running_var, momentum, eps):
    """Right on paper, and for numbers near zero."""
    N, mean = len(x), x.mean(axis=0)
    var = np.maximum((x**2).mean(axis=0) - mean**2, 0)
    y = gamma * (x - mean) / np.sqrt(var + eps) + beta
    return y, (1 - momentum) * running_mean + momentum * mean, (1 - momentum) * running_var + momentum * var * N / (N - 1)


def in_place(x, gamma, beta, running_mean, running_var, momentum, eps):
    y, new_mean, new_var = solution.batchnorm_forward(x, gamma, beta, running_mean, running_var, momentum, eps)
    running_mean[:], running_var[:] = new_mean, new_var
    return y, new_mean, new_var


class Remembering:
    """A layer's habit: running averages of its own."""

    mean = var = None

    def forward(self, x, gamma, beta, running_mean, running_var, momentum, eps):
        if self.mean is None or self.mean.shape != running_mean.shape:
            self.mean, self.var = running_mean, running_var
        y, self.mean, self.var = solution.batchnorm_forward(x, gamma, beta, self.mean, self.var, momentum, eps)
        return y, self.mean.copy(), self.var.copy()


def constant_features_given_up(x, gamma, beta, running_mean, running_var, momentum, eps):
    y, new_mean, new_var = solution.batchnorm_forward(x, gamma, beta, running_mean, running_var, momentum, eps)
    return np.where(x.var(axis=0) > 0, y, 0.0), new_mean, new_var


def changed_forward(change):
    return {"batchnorm_forward": lambda *a: change(*solution.batchnorm_forward(*a), *a)}


WRONG[1] = [
    ("momentum as in Keras", {"batchnorm_forward": keras_momentum}, "momentum is taken for the weight of the old average"),
    ("biased variance averaged", {"batchnorm_forward": biased_average}, "the running variance takes in the biased variance"),
    ("unbiased everywhere", {"batchnorm_forward": unbiased_everywhere}, "y is normalised by the unbiased variance"),
    (
        "eps outside the root",
        forward_with(lambda x, eps, *_: (x - x.mean(0)) / (x.std(0) + eps)),
        "eps is added to the standard deviation, not to the variance",
    ),
    ("no eps", forward_with(lambda x, eps, *_: (x - x.mean(0)) / x.std(0)), "eps is missing"),
    (
        "no root",
        forward_with(lambda x, eps, *_: (x - x.mean(0)) / (x.std(0) ** 2 + eps)),
        "x - mean is divided by the variance, not by its root",
    ),
    (
        "layer norm",
        {"batchnorm_forward": over_features},
        "mean and variance are those of each sample, over its features",
    ),
    (
        "layer norm, without keepdims",
        {"batchnorm_forward": over_features_flat},
        "mean and variance are those of a sample, over its features, and meet the features",
    ),
    ("one mean for all", {"batchnorm_forward": one_for_all}, "there is one mean and one variance for all features together"),
    (
        "old averages normalise",
        forward_with(lambda x, eps, mean, var, *_: (x - mean) / (var + eps) ** 0.5),
        "y is normalised by the running averages",
    ),
    (
        "new averages normalise",
        forward_with(lambda x, eps, _, __, mean, var: (x - mean) / (var + eps) ** 0.5),
        "y is normalised by the running averages, after they were moved",
    ),
    (
        "beta scaled",
        changed_forward(lambda y, m, v, x, gamma, beta, *_: (y - beta + gamma * beta, m, v)),
        "beta is scaled by gamma too",
    ),
    ("no gamma", changed_forward(lambda y, m, v, x, g, b, *_: ((y - b) / g + b, m, v)), "gamma is missing"),
    ("no beta", changed_forward(lambda y, m, v, x, g, b, *_: (y - b, m, v)), "beta is missing"),
    ("std averaged", {"batchnorm_forward": std_averaged}, "the standard deviation is averaged, not the variance"),
    (
        "eps averaged",
        changed_forward(lambda y, m, v, *a: (y, m, v + a[5] * a[6])),
        "eps is averaged into the running variance",
    ),
    (
        "this batch's statistics",
        changed_forward(lambda y, m, v, x, *_: (y, x.mean(axis=0), x.var(axis=0, ddof=1))),
        "the running averages are the statistics of this batch alone",
    ),
    (
        "averages as they were",
        changed_forward(lambda y, m, v, x, g, b, mean, var, *_: (y, mean * 1.0, var * 1.0)),
        "the running averages come back as they were",
    ),
    ("E[x^2] - E[x]^2", {"batchnorm_forward": squares_minus_square}, None),
    ("averages moved in place", {"batchnorm_forward": in_place}, "An argument is changed"),
    ("averages of its own", {"batchnorm_forward": Remembering().forward}, None),
    ("constant features set to 0", {"batchnorm_forward": constant_features_given_up}, None),
    ("y alone", {"batchnorm_forward": lambda *a: solution.batchnorm_forward(*a)[0]}, "Not as many results as asked for"),
    ("(1, D)", changed_forward(lambda y, m, v, *_: (y, m[None], v[None])), "The result has an axis of length 1 too many"),
]


def forward_loops(x, gamma, beta, running_mean, running_var, momentum, eps):
    N, D = x.shape
    y, new_mean, new_var = np.empty((N, D)), np.empty(D), np.empty(D)
    for d in range(D):
        mean = sum(x[n, d] for n in range(N)) / N
        total = sum((x[n, d] - mean) ** 2 for n in range(N))
        for n in range(N):
            y[n, d] = gamma[d] * (x[n, d] - mean) / math.sqrt(total / N + eps) + beta[d]
        new_mean[d] = running_mean[d] + momentum * (mean - running_mean[d])
        new_var[d] = running_var[d] + momentum * (total / (N - 1) - running_var[d])
    return [y, new_mean, new_var]


def forward_by_engine(x, gamma, beta, running_mean, running_var, momentum, eps):
    layer = BatchNorm1d(x.shape[1], eps, momentum).astype(np.float64).train()
    layer.gamma.value[:], layer.beta.value[:] = gamma, beta
    layer.running_mean[:], layer.running_var[:] = running_mean, running_var
    return layer.forward(x), layer.running_mean, layer.running_var


def forward_as_scale_and_shift(x, gamma, beta, running_mean, running_var, momentum, eps):
    mean, var = np.einsum("nd->d", x) / len(x), np.var(x, axis=0)
    scale = gamma * (var + eps) ** -0.5
    keep = 1.0 - momentum
    return (x - mean) * scale + beta, keep * running_mean + momentum * mean, keep * running_var + momentum * x.var(0, ddof=1)


def forward_welford(x, gamma, beta, running_mean, running_var, momentum, eps):
    """Mean and variance in one pass, sample by sample."""
    mean, m2 = np.zeros(x.shape[1]), np.zeros(x.shape[1])
    for n, row in enumerate(x, start=1):
        delta = row - mean
        mean = mean + delta / n
        m2 = m2 + delta * (row - mean)
    y = (x - mean) / np.sqrt(m2 / len(x) + eps)
    average = (1 - momentum) * np.stack([running_mean, running_var]) + momentum * np.stack([mean, m2 / (len(x) - 1)])
    return y * gamma + beta, average[0], average[1]


RIGHT[1] = [
    ("loops, and a list", {"batchnorm_forward": forward_loops}),
    ("the engine's layer", {"batchnorm_forward": forward_by_engine}),
    ("scale and shift", {"batchnorm_forward": forward_as_scale_and_shift}),
    ("Welford", {"batchnorm_forward": forward_welford}),
]

# ---- 2: backward, step by step


def kratzert(
    dy,
    x,
    gamma,
    eps,
    *,
    half=0.5,
    sign=-1.0,
    two=2.0,
    share=True,
    to_mean=1.0,
    to_variance=1.0,
    power=3,
    use_gamma=1,
    axis=0,
    ddof=0,
    mean_sign=-1,
):
    """Step by step with an inverse of the root, as in many blogs; its steps can be spoiled one by one."""
    N = x.shape[0]
    mu = 1.0 / N * np.sum(x, axis=0)
    xmu = x - mu
    var = 1.0 / (N - ddof) * np.sum(xmu**2, axis=0)
    ivar = 1.0 / np.sqrt(var + eps)
    xhat = xmu * ivar
    dbeta, dgamma = np.sum(dy, axis=axis), np.sum(dy * xhat, axis=axis)
    dxhat = dy * gamma if use_gamma else dy.copy()
    divar = np.sum(dxhat * xmu, axis=0)
    dvar = sign * half * ivar**power * divar
    dsq = 1.0 / (N if share in (True, "mean") else 1) * np.ones(x.shape) * dvar
    dxmu = dxhat * ivar + to_variance * two * xmu * dsq
    dmu = mean_sign * np.sum(dxmu, axis=0)
    part = N if share in (True, "variance") else 1
    dx = dxmu + to_mean * np.ones(x.shape) * dmu / part
    return dx, dgamma, dbeta, dvar, dmu


def blog(**how):
    return {"batchnorm_backward_steps": lambda dy, x, gamma, eps: kratzert(dy, x, gamma, eps, **how)}


def changed_steps(change):
    return {
        "batchnorm_backward_steps": lambda dy, x, gamma, eps: change(
            *solution.batchnorm_backward_steps(dy, x, gamma, eps), dy, x, gamma, eps
        )
    }


def x_for_c(dx, dgamma, dbeta, dvariance, dmean, dy, x, gamma, eps):
    s = np.sqrt(x.var(axis=0) + eps)
    dc = gamma * dy / s + 2 / len(x) * dvariance * x
    return dc + dmean / len(x), dgamma, dbeta, dvariance, dmean


def along_features(dy, x, gamma, eps):
    """As if features and samples had changed places, and NumPy found nothing wrong with it."""
    N, c = len(x), x - np.mean(x, axis=1)
    s = (np.mean(c**2, axis=1) + eps) ** 0.5
    dxh = gamma * dy
    dvariance = -(dxh * c).sum(axis=1) / (2 * s**3)
    dc = dxh / s + 2 / N * dvariance * c
    dmean = -np.sum(dc, axis=1)
    return dc + dmean / N, np.sum(dy * (c / s), axis=1), np.sum(dy, axis=1), dvariance, dmean


WRONG[2] = [
    ("plus", blog(sign=1.0), "dvariance has the wrong sign"),
    ("power", blog(power=1), "dvariance has the power -1/2 in place of -3/2"),
    ("no half", blog(half=1.0), "dvariance lacks its factor 1/2"),
    ("no gamma", blog(use_gamma=0), "gamma is missing between dy and dxh"),
    ("no two", blog(two=1.0), "the 2 is missing on the way through the variance"),
    ("no 1/N of the mean", blog(share="mean"), "1/N is missing on the way through the mean"),
    ("no 1/N of the variance", blog(share="variance"), "1/N is missing on the way through the variance"),
    ("mean's way left out", blog(to_mean=0.0), "dmean has the right size but dx is given none of it"),
    ("mean's way with a minus", blog(to_mean=-1.0), "the way through the mean has the wrong sign in dx"),
    ("variance's way left out", blog(to_variance=0.0), "the way through the variance is missing from dx"),
    ("sums over features", blog(axis=1), "dgamma and dbeta are summed over the features, not over the samples"),
    (
        "as in inference",
        changed_steps(lambda dx, dg, db, dv, dm, dy, x, g, eps: (g * dy / np.sqrt(x.var(0) + eps), dg, db, dv, dm)),
        "mean and variance are treated as constants",
    ),
    (
        "dvariance from xh",
        changed_steps(
            lambda dx, dg, db, dv, dm, dy, x, g, eps: solution_with_dvariance(dy, x, g, eps, dv / np.sqrt(x.var(0) + eps))
        ),
        "dvariance is made from xh where c belongs",
    ),
    (
        "dvariance from dy",
        changed_steps(lambda dx, dg, db, dv, dm, dy, x, g, eps: solution_with_dvariance(dy, x, g, eps, dv / g)),
        "dvariance is made from dy, without gamma",
    ),
    ("no eps", {"batchnorm_backward_steps": lambda dy, x, g, eps: kratzert(dy, x, g, 0.0)}, "eps is missing"),
    (
        "means for gamma and beta",
        changed_steps(lambda dx, dg, db, dv, dm, dy, *_: (dx, dg / len(dy), db / len(dy), dv, dm)),
        "dgamma and dbeta are means over the batch",
    ),
    (
        "dgamma from x",
        changed_steps(lambda dx, dg, db, dv, dm, dy, x, *_: (dx, np.einsum("nd,nd->d", dy, x), db, dv, dm)),
        "dgamma is made from x, not from xh",
    ),
    ("unbiased", blog(ddof=1), "the variance is the unbiased one"),
    ("dmean and its way with a plus", blog(mean_sign=1), "dmean has the wrong sign"),
    (
        "everything along axis 1",
        {"batchnorm_backward_steps": along_features},
        "sums run over the features, not over the samples",
    ),
    ("dmean plus", changed_steps(lambda dx, dg, db, dv, dm, *_: (dx, dg, db, dv, -dm)), None),
    ("x for c", changed_steps(x_for_c), "x stands where c belongs, on the way through the variance"),
    ("three things", changed_steps(lambda dx, dg, db, *_: (dx, dg, db)), "Not as many results as asked for"),
    ("dmean and dvariance exchanged", changed_steps(lambda dx, dg, db, dv, dm, *_: (dx, dg, db, dm, dv)), None),
]


def solution_with_dvariance(dy, x, gamma, eps, dvariance):
    """The rest of the way back from another dvariance."""
    N, c = len(x), x - x.mean(axis=0)
    s = np.sqrt(c.var(axis=0) + eps)
    dc = gamma * dy / s + dvariance * c / N * 2
    dmean = -dc.sum(axis=0)
    return dc + dmean / N, (dy * c / s).sum(axis=0), dy.sum(axis=0), dvariance, dmean


def steps_loops(dy, x, gamma, eps):
    N, D = x.shape
    dx, dgamma, dbeta, dvariance, dmean = np.zeros((N, D)), np.zeros(D), np.zeros(D), np.zeros(D), np.zeros(D)
    for d in range(D):
        mean = sum(x[:, d]) / N
        c = [value - mean for value in x[:, d]]
        variance = sum(value * value for value in c) / N
        s = math.sqrt(variance + eps)
        for n in range(N):
            dbeta[d] += dy[n, d]
            dgamma[d] += dy[n, d] * c[n] / s
            dvariance[d] -= gamma[d] * dy[n, d] * c[n] / s**3 / 2
            dmean[d] -= gamma[d] * dy[n, d] / s
        for n in range(N):
            dx[n, d] = gamma[d] * dy[n, d] / s + dvariance[d] * 2 * c[n] / N + dmean[d] / N
    return dx, dgamma, dbeta, dvariance, dmean


def steps_by_jacobian(dy, x, gamma, eps):
    """A matrix of derivatives of xh by x for each feature."""
    N, D = x.shape
    c = x - x.mean(axis=0)
    s = np.sqrt((c * c).mean(axis=0) + eps)
    xh, dxh = c / s, dy * gamma
    dx = np.empty_like(x)
    for d in range(D):
        jacobian = (np.eye(N) - 1 / N - np.outer(xh[:, d], xh[:, d]) / N) / s[d]
        dx[:, d] = jacobian.T @ dxh[:, d]
    return [dx, np.einsum("nd,nd->d", dy, xh), dy.sum(0), -(dxh * c).sum(0) / (2 * s**3), -(dxh / s).sum(0)]


RIGHT[2] = [
    ("as in many blogs", blog()),
    ("loops, and the paper's sums", {"batchnorm_backward_steps": steps_loops}),
    ("Jacobians, and a list", {"batchnorm_backward_steps": steps_by_jacobian}),
    ("other memory layout", changed_steps(lambda dx, dg, db, dv, dm, *_: (np.asfortranarray(dx), dg, db, dv, dm))),
]

# ---- 3: backward, in closed form


def stretched(dy, xh, gamma, std, *, mean=1, variance=1, scale=None, norm=None):
    """dx = gamma / (N std) (N dy - sum of dy - xh sum of dy xh), as in many blogs."""
    N = dy.shape[0]
    dbeta, dgamma = np.sum(dy, axis=0), np.sum(dy * xh, axis=0)
    norm = N if norm is None else norm
    dx = (gamma / std if scale is None else scale) / norm * (N * dy - mean * dbeta - variance * xh * dgamma)
    return dx, dgamma, dbeta


def short(**how):
    return {"batchnorm_backward": lambda dy, xh, gamma, std: stretched(dy, xh, gamma, std, **how)}


def changed_short(change):
    return {
        "batchnorm_backward": lambda dy, xh, gamma, std: change(
            *solution.batchnorm_backward(dy, xh, gamma, std), dy, xh, gamma, std
        )
    }


def by_parts(dx):
    """batchnorm_backward with another equation for dx."""
    return changed_short(lambda _, dgamma, dbeta, dy, xh, gamma, std: (dx(dy, xh, gamma, std), dgamma, dbeta))


WRONG[3] = [
    ("no variance", short(variance=0), "the term of the variance is missing"),
    ("no mean", short(mean=0), "the term of the mean is missing"),
    ("neither", short(mean=0, variance=0), "mean and variance are treated as constants"),
    ("variance added", short(variance=-1), "the term of the variance has the wrong sign"),
    ("both added", short(mean=-1, variance=-1), "both terms are added, not taken away"),
    (
        "sums",
        by_parts(lambda dy, xh, gamma, std: gamma / std * (dy - dy.sum(0) - xh * (xh * dy).sum(0))),
        "sums stand where means belong",
    ),
    (
        "one sum",
        by_parts(lambda dy, xh, gamma, std: gamma / std * (dy - dy.mean(0) - xh * (xh * dy).sum(0))),
        "only one of the two terms is divided by N",
    ),
    (
        "no xh",
        by_parts(lambda dy, xh, gamma, std: gamma * (dy - np.mean(dy, 0) - np.mean(dy * xh, 0)) / std),
        "xh is missing in the last term",
    ),
    (
        "product of means",
        by_parts(lambda dy, xh, gamma, std: gamma * (dy - dy.mean(0) - xh**2 * dy.mean(0)) / std),
        "the last term is xh times the mean of dy, times xh",
    ),
    ("no gamma", changed_short(lambda dx, dg, db, dy, xh, gamma, std: (dx / gamma, dg, db)), "gamma is missing in dx"),
    (
        "bracket forgotten",
        by_parts(lambda dy, xh, gamma, std: dy * gamma / std - dy.mean(0) - xh * (dy * xh).mean(0)),
        "gamma and std multiply the first term only",
    ),
    (
        "divided by the variance",
        changed_short(lambda dx, dg, db, dy, xh, gamma, std: (dx / std, dg, db)),
        "dx is divided by the variance, not by std",
    ),
    (
        "multiplied by std",
        changed_short(lambda dx, dg, db, dy, xh, gamma, std: (dx * std * std, dg, db)),
        "dx is multiplied by std",
    ),
    ("N times", short(norm=1), "dx is N times too large"),
    (
        "means for gamma and beta",
        changed_short(lambda dx, dg, db, dy, *_: (dx, dg / len(dy), np.average(dy, axis=0))),
        "dgamma and dbeta are means over the batch",
    ),
    (
        "dgamma with gamma",
        changed_short(lambda dx, dg, db, dy, xh, gamma, std: (dx, dg * gamma, db)),
        "dgamma has gamma in it",
    ),
    (
        "mean of all",
        by_parts(lambda dy, xh, gamma, std: gamma / std * (dy - np.mean(dy) - xh * np.mean(dy * xh))),
        "means are over all of dy, not for each feature",
    ),
    (
        "axis 1",
        {
            "batchnorm_backward": lambda dy, xh, gamma, std: (
                gamma / std * (dy - dy.mean(1)[:, None] - xh * (dy * xh).mean(1)[:, None]),
                np.einsum("nd,nd->n", dy, xh),
                np.einsum("nd->n", dy),
            )
        },
        "means and sums run over the features, not over the samples",
    ),
    ("dgamma and dbeta exchanged", changed_short(lambda dx, dg, db, *_: (dx, db, dg)), None),
    ("dbeta one number", changed_short(lambda dx, dg, db, *_: (dx, dg, db.sum())), None),
    (
        "dy changed",
        changed_short(lambda dx, dg, db, dy, *_: (dx, dg, np.multiply(dy, 2, out=dy).sum(0) / 2)),
        "An argument is changed",
    ),
]


def by_projection(dy, xh, gamma, std):
    """dx as what is left when the parts along 1 and along xh are taken away one after the other, but for eps."""
    N, dx = len(dy), np.empty_like(dy)
    one = np.ones(N) / math.sqrt(N)
    for d in range(dy.shape[1]):
        g = dy[:, d] - one * (one @ dy[:, d])
        dx[:, d] = gamma[d] / std[d] * (g - xh[:, d] * (xh[:, d] @ dy[:, d]) / N)
    return dx, (dy * xh).sum(axis=0), dy.sum(axis=0)


def by_loops(dy, xh, gamma, std):
    N, D = dy.shape
    dx, dgamma, dbeta = np.empty((N, D)), np.zeros(D), np.zeros(D)
    for n, d in np.ndindex(N, D):
        dbeta[d] += dy[n, d]
        dgamma[d] += dy[n, d] * xh[n, d]
    for n, d in np.ndindex(N, D):
        dx[n, d] = (dy[n, d] - dbeta[d] / N - xh[n, d] * dgamma[d] / N) * gamma[d] / std[d]
    return [dx, dgamma, dbeta]


def by_dxh(dy, xh, gamma, std):
    dxh = gamma * dy
    dx = (dxh - np.mean(dxh, axis=0) - xh * np.einsum("nd,nd->d", dxh, xh) / len(xh)) / std
    return dx, np.einsum("nd,nd->d", dy, xh), np.add.reduce(dy)


RIGHT[3] = [
    ("N dy - sums", short()),
    ("projections", {"batchnorm_backward": by_projection}),
    ("loops", {"batchnorm_backward": by_loops}),
    ("from dxh", {"batchnorm_backward": by_dxh}),
]

# ---- 4: frozen


def frozen_y(y):
    return {"frozen_forward": y}


def changed_frozen(change):
    return {
        "frozen_backward": lambda dy, x, gamma, mean, var, eps: change(
            *solution.frozen_backward(dy, x, gamma, mean, var, eps), dy, x, gamma, mean, var, eps
        )
    }


def trained_dx(dx, dgamma, dbeta, dy, x, gamma, mean, var, eps):
    N, xh = len(x), (x - mean) / np.sqrt(var + eps)
    return gamma / np.sqrt(var + eps) / N * (N * dy - dbeta - xh * dgamma), dgamma, dbeta


def batch_dgamma(dx, dgamma, dbeta, dy, x, gamma, mean, var, eps):
    centred = x - np.mean(x, axis=0)
    return dx, np.sum(dy * centred / np.sqrt(np.mean(centred**2, axis=0) + eps), axis=0), dbeta


WRONG[4] = [
    (
        "the batch's statistics",
        frozen_y(lambda x, g, b, m, v, eps: solution.batchnorm_forward(np.repeat(x, 2, 0), g, b, m, v, 0.1, eps)[0][::2]),
        "y is normalised by the statistics of the batch",
    ),
    ("no eps", frozen_y(lambda x, g, b, m, v, eps: g * (x - m) / v**0.5 + b), "eps is missing in the forward pass"),
    (
        "eps outside",
        frozen_y(lambda x, g, b, m, v, eps: g * (x - m) / (v**0.5 + eps) + b),
        "eps is added to the standard deviation, not to the variance",
    ),
    (
        "no root",
        frozen_y(lambda x, g, b, m, v, eps: g * (x - m) / (v + eps) + b),
        "x - running_mean is divided by the variance, not by its root",
    ),
    ("bare xh", frozen_y(lambda x, g, b, m, v, eps: (x - m) / np.sqrt(v + eps)), "gamma or beta is missing in y"),
    ("no beta", frozen_y(lambda x, g, b, m, v, eps: (x - m) / np.sqrt(v + eps) * g), "beta is missing in y"),
    ("mean added", frozen_y(lambda x, g, b, m, v, eps: g * (x + m) / np.sqrt(v + eps) + b), None),
    ("as in training", changed_frozen(trained_dx), "dx has the terms of training, through mean and variance"),
    (
        "mean's term",
        changed_frozen(lambda dx, dg, db, *_: (dx - dx.mean(axis=0), dg, db)),
        "dx has the term of training through the mean",
    ),
    ("no gamma", changed_frozen(lambda dx, dg, db, dy, x, g, *_: (dx / g, dg, db)), "gamma is missing in dx"),
    ("no std", changed_frozen(lambda dx, dg, db, dy, x, g, *_: (dy * g, dg, db)), "std is missing in dx"),
    (
        "divided by the variance",
        changed_frozen(lambda dx, dg, db, dy, x, g, m, v, eps: (dy * g / (v + eps), dg, db)),
        "dx is divided by the variance, not by its root",
    ),
    (
        "no eps in backward",
        {"frozen_backward": lambda dy, x, g, m, v, eps: solution.frozen_backward(dy, x, g, m, v, 0.0)},
        "eps is missing in the backward pass",
    ),
    ("the batch's xh", changed_frozen(batch_dgamma), "dgamma is made from the batch's own xh"),
    (
        "dgamma from x",
        changed_frozen(lambda dx, dg, db, dy, x, *_: (dx, (x * dy).sum(0), db)),
        "dgamma is made from x, not from xh",
    ),
    (
        "dgamma from x - mean",
        changed_frozen(lambda dx, dg, db, dy, x, g, m, *_: (dx, ((x - m) * dy).sum(0), db)),
        "dgamma is made from x - running_mean, without the division",
    ),
    (
        "nothing to train",
        changed_frozen(lambda dx, dg, db, *_: (dx, np.zeros(len(dg)), np.zeros(len(db)))),
        "dgamma and dbeta are zero",
    ),
    (
        "means",
        changed_frozen(lambda dx, dg, db, dy, *_: (dx, dg / len(dy), db / len(dy))),
        "dgamma and dbeta are means over the batch",
    ),
    ("dx alone", {"frozen_backward": lambda *a: solution.frozen_backward(*a)[0]}, "Not as many results as asked for"),
    ("dy itself", changed_frozen(lambda dx, dg, db, dy, *_: (dy, dg, db)), "The result is an argument, or a view of it"),
]


def frozen_backward_by_engine(dy, x, gamma, mean, var, eps):
    layer = BatchNorm1d(x.shape[1], eps).astype(np.float64).eval(backward=True)
    layer.gamma.value[:], layer.running_mean[:], layer.running_var[:] = gamma, mean, var
    layer.forward(x)
    return layer.backward(dy), layer.gamma.grad, layer.beta.grad


def frozen_forward_loops(x, gamma, beta, mean, var, eps):
    y = np.empty(x.shape)
    for n, d in np.ndindex(x.shape):
        y[n, d] = gamma[d] * (x[n, d] - mean[d]) / math.sqrt(var[d] + eps) + beta[d]
    return y


RIGHT[4] = [
    ("loops, and the engine", {"frozen_forward": frozen_forward_loops, "frozen_backward": frozen_backward_by_engine}),
    (
        "a scale and a shift",
        {
            "frozen_forward": lambda x, g, b, m, v, eps: x * (g * (v + eps) ** -0.5) + (b - m * g * (v + eps) ** -0.5),
            "frozen_backward": lambda dy, x, g, m, v, eps: [
                dy * (g * (v + eps) ** -0.5),
                np.einsum("nd,nd,d->d", dy, x - m, (v + eps) ** -0.5),
                np.ones(len(dy)) @ dy,
            ],
        },
    ),
    (
        "the reference kernels",
        {
            "frozen_forward": reference.running_norm_forward,
            "frozen_backward": reference.running_norm_backward,
        },
    ),
]

# ---- 5: pictures


def flat(x):
    return x.transpose(0, 2, 3, 1).reshape(-1, x.shape[1])


def unflat(rows, x):
    N, C, H, W = x.shape
    return rows.reshape(N, H, W, C).transpose(0, 3, 1, 2)


def over(axes):
    """batchnorm2d_forward with statistics over these axes."""

    def batchnorm2d_forward(x, gamma, beta, eps):
        mu, var = np.mean(x, axis=axes, keepdims=True), np.var(x, axis=axes, keepdims=True)
        y = gamma.reshape(1, -1, 1, 1) * (x - mu) / np.sqrt(var + eps) + beta.reshape(1, -1, 1, 1)
        return y, np.mean(x, axis=axes), np.var(x, axis=axes)

    return {"batchnorm2d_forward": batchnorm2d_forward}


def changed_2d(change):
    return {"batchnorm2d_forward": lambda x, g, b, eps: change(*solution.batchnorm2d_forward(x, g, b, eps), x, g, b, eps)}


def broadcast_by_chance(x, gamma, beta, eps):
    mean, var = x.mean(axis=(0, 2, 3)), x.var(axis=(0, 2, 3))
    return gamma * (x - mean) / np.sqrt(var + eps) + beta, mean, var


def gamma_by_chance(x, gamma, beta, eps):
    mean, var = x.mean(axis=(0, 2, 3)), x.var(axis=(0, 2, 3))
    xh = (x - mean[None, :, None, None]) / np.sqrt(var + eps)[None, :, None, None]
    return gamma * xh + beta, mean, var


def backward_2d(dy, x, gamma, eps, M=lambda dy: dy.size / dy.shape[1], mean=1, variance=1, use_gamma=True):
    xc = x - x.mean(axis=(0, 2, 3), keepdims=True)
    std = np.sqrt((xc**2).mean(axis=(0, 2, 3), keepdims=True) + eps)
    xh, m = xc / std, M(dy)
    dbeta, dgamma = np.einsum("nchw->c", dy), np.einsum("nchw,nchw->c", dy, xh)
    inner = dy - mean * dbeta[:, None, None] / m - variance * xh * dgamma[:, None, None] / m
    return (gamma.reshape(-1, 1, 1) if use_gamma else 1.0) / std * inner, dgamma, dbeta


def with_2d(**how):
    return {"batchnorm2d_backward": lambda dy, x, gamma, eps: backward_2d(dy, x, gamma, eps, **how)}


def changed_backward_2d(change):
    return {"batchnorm2d_backward": lambda dy, x, g, eps: change(*solution.batchnorm2d_backward(dy, x, g, eps), dy, x, g, eps)}


def instance_backward(dy, x, gamma, eps):
    mean, var = x.mean((2, 3), keepdims=True), x.var((2, 3), keepdims=True)
    xh = (x - mean) / np.sqrt(var + eps)
    dxh = dy * gamma[None, :, None, None]
    dx = dxh - dxh.mean((2, 3), keepdims=True) - xh * (dxh * xh).mean((2, 3), keepdims=True)
    return dx / np.sqrt(var + eps), (dy * xh).sum((0, 2, 3)), dy.sum((0, 2, 3))


PER_PICTURE = "in the backward pass each picture is normalised by itself"
WRONG[5] = [
    ("instance norm", over((2, 3)), "each picture is normalised by itself"),
    ("over the pictures only", over(0), "each pixel is normalised by itself, over the pictures"),
    ("layer norm", over((1, 2, 3)), "each picture is normalised over all its channels"),
    ("over everything", over((0, 1, 2, 3)), "the channels are normalised together"),
    ("axes miscounted", over((0, 1, 2)), "the sums run over the channels, and the columns stay"),
    (
        "broadcast by chance",
        {"batchnorm2d_forward": broadcast_by_chance},
        "mean, variance, gamma and beta meet the columns, not the channels",
    ),
    ("gamma by chance", {"batchnorm2d_forward": gamma_by_chance}, "gamma and beta meet the columns, not the channels"),
    (
        "no eps",
        changed_2d(lambda y, m, v, x, g, b, eps: (solution.batchnorm2d_forward(x, g, b, 0.0)[0], m, v)),
        "eps is missing in the forward pass",
    ),
    (
        "eps outside",
        changed_2d(
            lambda y, m, v, x, g, b, eps: (
                g[:, None, None] * (x - m[:, None, None]) / (np.sqrt(v) + eps)[:, None, None] + b[:, None, None],
                m,
                v,
            )
        ),
        "eps is added to the standard deviation, not to the variance",
    ),
    (
        "unbiased",
        changed_2d(
            lambda y, m, v, x, g, b, eps: (
                unflat(g * (flat(x) - m) / np.sqrt(flat(x).var(0, ddof=1) + eps) + b, x),
                m,
                flat(x).var(0, ddof=1),
            )
        ),
        "the variance is the unbiased one",
    ),
    ("eps returned", changed_2d(lambda y, m, v, x, g, b, eps: (y, m, v + eps)), "the variance that comes back has eps in it"),
    ("M = N", with_2d(M=len), "the two terms of dx are divided by N, not by N H W"),
    (
        "M = H W",
        with_2d(M=lambda dy: np.prod(dy.shape[2:])),
        "the two terms of dx are divided by H W, not by N H W",
    ),
    ("M = size", with_2d(M=np.size), "the two terms of dx are divided by the size of the whole array"),
    ("sums", with_2d(M=lambda dy: 1.0), "the two terms of dx are sums, not means"),
    ("no variance", with_2d(variance=0), "the term of the variance is missing"),
    ("no mean", with_2d(mean=0), "the term of the mean is missing"),
    ("as in inference", with_2d(mean=0, variance=0), "mean and variance are treated as constants"),
    ("no gamma", with_2d(use_gamma=False), "gamma is missing in dx"),
    (
        "gamma by chance in dx",
        changed_backward_2d(lambda dx, dg, db, dy, x, g, eps: (dx / g[:, None, None] * g, dg, db)),
        "gamma meets the columns, not the channels, in dx",
    ),
    (
        "no eps in backward",
        {"batchnorm2d_backward": lambda dy, x, g, eps: backward_2d(dy, x, g, 0.0)},
        "eps is missing in the backward pass",
    ),
    (
        "means",
        changed_backward_2d(
            lambda dx, dg, db, dy, *_: (dx, dg / (dy.size / len(dg)), dy.mean(axis=(0, 2, 3))),
        ),
        "dgamma and dbeta are means",
    ),
    (
        "an axis kept",
        changed_backward_2d(
            lambda dx, dg, db, dy, x, g, eps: (
                dx,
                (dy * solution.batchnorm2d_forward(x, np.ones_like(g), np.zeros_like(g), eps)[0]).sum((2, 3)),
                dy.sum((2, 3)),
            )
        ),
        "dgamma and dbeta keep an axis of their pictures",
    ),
    ("instance norm, backward", {"batchnorm2d_backward": instance_backward}, PER_PICTURE),
    ("y alone", {"batchnorm2d_forward": lambda *a: solution.batchnorm2d_forward(*a)[0]}, "Not as many results as asked for"),
    ("N - 1 pictures", changed_2d(lambda y, m, v, *_: (np.vstack([y[:-1], 0 * y[-1:]]), m, v)), None),
    (
        "keepdims",
        changed_2d(lambda y, m, v, *_: (y, m[None, :, None, None], v[None, :, None, None])),
        "The result has an axis of length 1 too many",
    ),
]


def pictures_as_rows(x, gamma, beta, eps):
    rows = flat(x)
    mean, var = rows.mean(axis=0), rows.var(axis=0)
    return unflat(gamma * (rows - mean) / np.sqrt(var + eps) + beta, x), mean, var


def pictures_as_rows_backward(dy, x, gamma, eps):
    dx, dgamma, dbeta, *_ = solution.batchnorm_backward_steps(flat(dy), flat(x), gamma, eps)
    return unflat(dx, x), dgamma, dbeta


def channel_by_channel(x, gamma, beta, eps):
    y, mean, var = np.empty_like(x), np.empty(x.shape[1]), np.empty(x.shape[1])
    for c in range(x.shape[1]):
        mean[c], var[c] = x[:, c].mean(), x[:, c].var()
        y[:, c] = gamma[c] * (x[:, c] - mean[c]) / math.sqrt(var[c] + eps) + beta[c]
    return [y, mean, var]


def pictures_backward_by_engine(dy, x, gamma, eps):
    layer = BatchNorm2d(x.shape[1], eps).astype(np.float64).train()
    layer.gamma.value[:] = gamma
    layer.forward(x)
    return layer.backward(dy), layer.gamma.grad, layer.beta.grad


RIGHT[5] = [
    ("as rows", {"batchnorm2d_forward": pictures_as_rows, "batchnorm2d_backward": pictures_as_rows_backward}),
    (
        "channel by channel, and the engine",
        {"batchnorm2d_forward": channel_by_channel, "batchnorm2d_backward": pictures_backward_by_engine},
    ),
    ("einsum", with_2d()),
    ("textbook", {"batchnorm2d_forward": textbook.batch_norm_forward}),
]

# ---- 6: folding


def folded_with(w2=None, b2=None, scale=None):
    """fold with another w2(w, s), another b2(b, beta, mean, s), or another scale(gamma, var, eps)."""

    def fold(w, b, gamma, beta, mean, var, eps):
        s = scale(gamma, var, eps) if scale else gamma / np.sqrt(var + eps)
        return (
            w2(w, s) if w2 else w * s.reshape(-1, 1, 1, 1),
            b2(b, beta, mean, s) if b2 else beta + (b - mean) * s,
        )

    return {"fold": fold}


WRONG[6] = [
    ("bias lost", folded_with(b2=lambda b, beta, mean, s: beta - mean * s), "the convolution's own bias is lost"),
    ("bias beside", folded_with(b2=lambda b, beta, mean, s: b + beta - mean * s), "the convolution's own bias is not scaled"),
    (
        "mean added",
        folded_with(b2=lambda b, beta, mean, s: beta + (b + mean) * s),
        "the running mean is added, not subtracted",
    ),
    ("mean beside", folded_with(b2=lambda b, beta, mean, s: beta + b * s - mean), "the running mean is not scaled"),
    ("no mean", folded_with(b2=lambda b, beta, mean, s: beta + b * s), "the running mean is missing"),
    ("beta within", folded_with(b2=lambda b, beta, mean, s: (beta + b - mean) * s), "beta is scaled too"),
    ("no beta", folded_with(b2=lambda b, beta, mean, s: (b - mean) * s), "beta is missing"),
    ("input channels", folded_with(lambda w, s: w * s.reshape(1, -1, 1, 1)), "the filters are scaled by input channel"),
    ("columns", folded_with(lambda w, s: s * w), "the filters are scaled by the columns of the filter"),
    ("w as it was", folded_with(lambda w, s: 1.0 * w), "w is not scaled"),
    ("no gamma", folded_with(scale=lambda gamma, var, eps: (var + eps) ** -0.5), "gamma is missing"),
    ("no eps", folded_with(scale=lambda gamma, var, eps: gamma * var**-0.5), "eps is missing"),
    (
        "eps outside",
        folded_with(scale=lambda gamma, var, eps: gamma / (var**0.5 + eps)),
        "eps is added to the standard deviation, not to the variance",
    ),
    (
        "no root",
        folded_with(scale=lambda gamma, var, eps: gamma / (var + eps)),
        "it is divided by the variance, not by its root",
    ),
    (
        "multiplied",
        folded_with(scale=lambda gamma, var, eps: gamma * (var + eps) ** 0.5),
        "it is multiplied by the root, not divided",
    ),
    ("rows", folded_with(lambda w, s: w * s.reshape(1, 1, -1, 1)), None),
    ("w itself", folded_with(lambda w, s: w), "w is not scaled"),
    ("scaled in place", folded_with(lambda w, s: np.multiply(w, s.reshape(-1, 1, 1, 1), out=w)), "An argument is changed"),
]


def fold_loops(w, b, gamma, beta, mean, var, eps):
    w2, b2 = np.zeros(w.shape), np.zeros(len(w))
    for f in range(len(w)):
        s = gamma[f] / math.sqrt(var[f] + eps)
        w2[f] = s * w[f]
        b2[f] = s * b[f] - s * mean[f] + beta[f]
    return w2, b2


def fold_by_engine(w, b, gamma, beta, mean, var, eps):
    F, C, KH, KW = w.shape
    conv, norm = Conv2d(C, F, (KH, KW)).astype(np.float64), BatchNorm2d(F, eps).astype(np.float64)
    conv.w.value, conv.b.value = w.copy(), b.copy()
    norm.gamma.value[:], norm.beta.value[:], norm.running_mean[:], norm.running_var[:] = gamma, beta, mean, var
    fused = FusedConv2d(conv, norm)
    return fused.w.value, fused.b.value


RIGHT[6] = [
    ("loops", {"fold": fold_loops}),
    ("the engine's", {"fold": fold_by_engine}),
    ("einsum", folded_with(lambda w, s: np.einsum("fcpq,f->fcpq", w, s))),
    (
        "axes moved, and a list",
        {"fold": lambda w, b, g, beta, m, v, eps: [(w.T * (g / (v + eps) ** 0.5)).T, beta + g * (b - m) * (v + eps) ** -0.5]},
    ),
]

# ---- 7: local response normalisation


def sums(values, lower, upper):
    """Sums over the channels from c + lower to c + upper, by loops."""
    total = np.zeros_like(values)
    C = values.shape[1]
    for c in range(C):
        for m in range(max(0, c + lower), min(C - 1, c + upper) + 1):
            total[:, c] += values[:, m]
    return total


def centred_sums(values, size):
    return sums(values, -(size // 2), size // 2)


def response(scale=None, power=None):
    """lrn_forward with another scale(x, size, alpha, k), or another last line power(x, scale, beta)."""

    def lrn_forward(x, size, alpha, beta, k):
        s = scale(x, size, alpha, k) if scale else k + alpha / size * centred_sums(x * x, size)
        return power(x, s, beta) if power else x * s**-beta

    return {"lrn_forward": lrn_forward}


def response_backward(others):
    """lrn_backward with this subtracted from dy / scale^beta: others(dy, x, scale, size, alpha, beta)."""

    def lrn_backward(dy, x, size, alpha, beta, k):
        scale = k + alpha / size * centred_sums(x * x, size)
        return dy * scale**-beta - others(dy, x, scale, size, alpha, beta)

    return {"lrn_backward": lrn_backward}


def back(dy, x, scale, size, alpha, beta):
    return 2 * alpha / size * beta * x * centred_sums(dy * x * scale ** (-beta - 1), size)


def rolled(values, size):
    total, half = np.zeros_like(values), size // 2
    for shift in range(-half, half + 1):
        total = total + np.roll(values, shift, axis=1)
    return total


def divided_by_power(x, scale, beta):
    with np.errstate(invalid="ignore"):
        return x / np.power(scale, beta)


WRONG[7] = [
    (
        "alpha as in the paper",
        response(lambda x, size, alpha, k: k + alpha * centred_sums(x * x, size)),
        "alpha is not divided by the size",
    ),
    (
        "not squared",
        response(lambda x, size, alpha, k: k + alpha / size * centred_sums(x, size), divided_by_power),
        "the responses are not squared",
    ),
    (
        "channels below only",
        response(lambda x, size, alpha, k: k + alpha / size * sums(x**2, -(size // 2), 0)),
        "the window has only the channels up to c",
    ),
    (
        "last one missing",
        response(lambda x, size, alpha, k: k + alpha / size * sums(x**2, -(size // 2), size // 2 - 1)),
        "the window lacks its last channel",
    ),
    (
        "whole sizes",
        response(lambda x, size, alpha, k: k + alpha / size * sums(x**2, -size, size)),
        "the window reaches out a whole size on either side",
    ),
    (
        "begins at c",
        response(lambda x, size, alpha, k: k + alpha / size * sums(x**2, 0, size - 1)),
        "the window begins at c",
    ),
    (
        "rolled",
        response(lambda x, size, alpha, k: k + alpha / size * rolled(x**2, size)),
        "the first channel is a neighbour of the last",
    ),
    (
        "columns",
        response(lambda x, size, alpha, k: k + alpha / size * np.moveaxis(centred_sums(np.moveaxis(x * x, 3, 1), size), 1, 3)),
        "the window runs over the columns of the picture",
    ),
    (
        "k = 1",
        response(lambda x, size, alpha, k: 1.0 + alpha / size * centred_sums(x * x, size)),
        "k is missing, or taken for 1",
    ),
    ("no exponent", response(power=lambda x, s, beta: x / s), "the exponent is missing"),
    ("multiplied", response(power=lambda x, s, beta: x * s**beta), "x is multiplied by scale^beta"),
    ("first term", response_backward(lambda *a: 0.0), "dx has the first term only"),
    ("added", response_backward(lambda *a: -back(*a)), "the second term is added, not subtracted"),
    ("no two", response_backward(lambda *a: back(*a) / 2), "the 2 is missing in the second term"),
    (
        "no beta",
        response_backward(lambda dy, x, s, size, alpha, beta: back(dy, x, s, size, alpha, beta) / beta),
        "beta is missing in the second term",
    ),
    (
        "alpha as in the paper, backward",
        response_backward(lambda dy, x, s, size, alpha, beta: size * back(dy, x, s, size, alpha, beta)),
        "alpha is not divided by the size, in the second term",
    ),
    (
        "exponent beta",
        response_backward(
            lambda dy, x, s, size, alpha, beta: 2 * alpha / size * beta * x * centred_sums(dy * x / s**beta, size)
        ),
        "the exponent in the second term is beta, not beta + 1",
    ),
    (
        "its own y only",
        response_backward(lambda dy, x, s, size, alpha, beta: 2 * alpha / size * beta * x**2 * dy * s ** (-1 - beta)),
        "the second term goes to x[m] from y[m] alone",
    ),
    (
        "x squared",
        response_backward(
            lambda dy, x, s, size, alpha, beta: 2 * alpha / size * beta * centred_sums(dy * x * x * s ** (-1 - beta), size)
        ),
        "x[m] and x[c] are taken for the same in the second term",
    ),
    (
        "dy before the sum",
        response_backward(
            lambda dy, x, s, size, alpha, beta: 2 * alpha / size * beta * x * dy * centred_sums(x * s ** (-1 - beta), size)
        ),
        "dy of channel m stands before the sum, where each dy[c] belongs into it",
    ),
    (
        "scale before the sum",
        response_backward(
            lambda dy, x, s, size, alpha, beta: 2 * alpha / size * beta * x * s ** (-1 - beta) * centred_sums(dy * x, size)
        ),
        "the scale of channel m divides the sum, where each neighbour's own belongs into it",
    ),
    (
        "rolled, backward",
        response_backward(
            lambda dy, x, s, size, alpha, beta: 2 * alpha / size * beta * x * rolled(dy * x * s ** (-1 - beta), size)
        ),
        "the first channel is a neighbour of the last, in the backward pass",
    ),
    ("first channel only", {"lrn_forward": lambda x, *a: np.repeat(solution.lrn_forward(x[:, :1], *a), x.shape[1], 1)}, None),
]


def lrn_by_padding(x, size, alpha, beta, k):
    half = size // 2
    squares = np.pad(x**2, ((0, 0), (half, half), (0, 0), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(squares, size, axis=1)
    return x / (k + alpha * windows.mean(axis=-1)) ** beta


def lrn_by_matrix(x, size, alpha, beta, k):
    """A band of ones says which channels are neighbours."""
    c = np.arange(x.shape[1])
    band = (abs(c[:, None] - c) <= size // 2).astype(float)
    return x / (k + alpha / size * np.einsum("cm,nmhw->nchw", band, x * x)) ** beta


def lrn_backward_by_matrix(dy, x, size, alpha, beta, k):
    c = np.arange(x.shape[1])
    band = (abs(c[:, None] - c) <= size // 2).astype(float)
    scale = k + alpha / size * np.einsum("cm,nmhw->nchw", band, x * x)
    y = x / scale**beta
    return dy / scale**beta - 2 * alpha * beta / size * x * np.einsum("cm,nchw->nmhw", band, dy * y / scale)


def lrn_backward_loops(dy, x, size, alpha, beta, k):
    dx, C = np.zeros(x.shape), x.shape[1]
    for n, c, h, w in np.ndindex(x.shape):
        window = range(max(0, c - size // 2), min(C, c + size // 2 + 1))
        scale = k + alpha / size * sum(x[n, m, h, w] ** 2 for m in window)
        dx[n, c, h, w] += dy[n, c, h, w] * scale**-beta
        for m in window:
            dx[n, m, h, w] -= dy[n, c, h, w] * x[n, c, h, w] * beta * scale ** (-beta - 1) * alpha / size * 2 * x[n, m, h, w]
    return dx


def lrn_backward_by_engine(dy, x, size, alpha, beta, k):
    layer = LocalResponseNorm(size, alpha, beta, k).train()
    layer.forward(x)
    return layer.backward(dy)


RIGHT[7] = [
    ("padding and windows, and loops", {"lrn_forward": lrn_by_padding, "lrn_backward": lrn_backward_loops}),
    ("a band matrix", {"lrn_forward": lrn_by_matrix, "lrn_backward": lrn_backward_by_matrix}),
    ("the engine's", {"lrn_backward": lrn_backward_by_engine}),
    ("loops over channels", response() | response_backward(back)),
]
