"""Units with faults, as in ``faulty_layers``, that earlier versions of the checker gave a wrong cause for."""

import numpy as np
from faulty_layers import some


def maxout(fault=""):
    """The largest of three pieces; x (N, 3, C)."""
    x = some(4, 3, 5)

    def backward(dy):
        chosen = {"first": 0, "smallest": x.argmin(axis=1)}.get(fault, x.argmax(axis=1))
        return {"x": (np.arange(3)[:, None] == np.expand_dims(chosen, -2 if np.ndim(chosen) else 0)) * dy[:, None]}

    return lambda x: x.max(axis=1), backward, {"x": x}


def weight_norm(fault=""):
    """y = x w^T, w = g v / |v| with the length of each row: Salimans, Kingma 2016."""
    x, v, g = some(5, 4), some(3, 4) * 2 + 0.3, np.array([0.7, 1.3, 2.0])

    def lengths(v):
        return np.linalg.norm(v, axis=1, keepdims=True)

    def forward(x, v, g):
        return x @ (g[:, None] * v / lengths(v)).T

    def backward(dy):
        u, dw = v / lengths(v), dy.T @ x
        dg = (dw * u).sum(axis=1)
        w = v if fault == "v for w" else u if fault == "no g" else g[:, None] * u
        dv = g[:, None] / lengths(v) * (dw - u * dg[:, None])
        return {"x": dy @ w, "v": dv * lengths(v) if fault == "not divided" else dv, "g": dg}

    return forward, backward, {"x": x, "v": v, "g": g}


def group_norm(fault=""):
    """Two groups of two channels, and a gamma for each channel: Wu, He 2018."""
    x, gamma = some(2, 4, 3, 4) + 0.5, np.array([0.6, 1.4, -1.0, 2.0])

    def normalised(x):
        groups = x.reshape(2, 2, -1)
        return (groups - groups.mean(axis=2, keepdims=True)) / groups.std(axis=2, keepdims=True)

    def forward(x, gamma):
        return gamma[:, None, None] * normalised(x).reshape(x.shape)

    def backward(dy):
        xh, d = normalised(x), (gamma[:, None, None] * dy).reshape(2, 2, -1)
        through_mean, through_variance = d.mean(axis=2, keepdims=True), xh * (d * xh).mean(axis=2, keepdims=True)
        if fault == "no mean term":
            through_mean = 0
        elif fault == "no variance term":
            through_variance = 0
        elif fault == "mean over M - 1":
            through_mean *= 24 / 23
        dx = (d - through_mean - through_variance) / x.reshape(2, 2, -1).std(axis=2, keepdims=True)
        return {"x": dx.reshape(x.shape), "gamma": (dy * xh.reshape(x.shape)).sum(axis=(0, 2, 3))}

    return forward, backward, {"x": x, "gamma": gamma}


def multiclass_hinge(fault=""):
    """The sum of max(0, s_k - s_y + 1) over the wrong classes, the mean over the samples; a single sample violates twice."""
    s, labels = np.full((5, 4), -3.0) + some(5, 4), np.array([0, 2, 1, 3, 2])
    rows = np.arange(5)
    s[rows, labels] = [0.0, 0.1, 0.2, 0.3, 0.4]
    s[rows, [1, 0, 0, 1, 3]] = s[2, 3] = 0.15

    def margins(s):
        m = s - s[rows, labels][:, None] + 1
        m[rows, labels] = 0
        return np.maximum(m, 0)

    def backward(dy):
        ds = (margins(s) > 0) * 1.0
        violated = ds.sum(axis=1)
        ds[rows, labels] = {"counted once": -1, "right class forgotten": 0, "sign": violated}.get(fault, -violated)
        return {"s": ds * dy / 5}

    return lambda s: margins(s).sum() / 5, backward, {"s": s}


def two_layers(fault=""):
    """relu(x w + b) u, with units of both kinds, switched on and off."""
    x, w, b, u = some(6, 4), some(4, 4) * 3, some(4), some(4, 4) * 3

    def backward(dy):
        z = x @ w + b
        dh = dy @ (u if fault == "u not transposed" else u.T)
        dz = dh if fault == "no mask" else dh * (z > 0)
        dw = x.T @ (dh if fault == "dw without mask" else dz)
        db = dy.sum(axis=0) if fault == "db from dy" else dz.sum(axis=0)
        return {"x": dz @ w.T, "w": dw, "b": db, "u": np.maximum(z, 0).T @ dy}

    return lambda x, w, b, u: np.maximum(x @ w + b, 0) @ u, backward, {"x": x, "w": w, "b": b, "u": u}


def triplet(fault=""):
    """max(0, |a - p|^2 - |a - n|^2 + 0.3): Schroff, Kalenichenko, Philbin 2015."""
    a, p, n = (8 * some(5, 3) for _ in range(3))
    n[0] = a[0] + [2.0, 2.5, 3.0]  # so that this sample is right by the margin

    def forward(a, p, n):
        return np.maximum(((a - p) ** 2).sum(axis=1) - ((a - n) ** 2).sum(axis=1) + 0.3, 0)

    def backward(dy):
        d = 2 * (dy if fault == "no mask" else dy * (forward(a, p, n) > 0))[:, None]
        return {"a": d * (n - p), "p": d * (p - a), "n": d * (a - n)}

    return forward, backward, {"a": a, "p": p, "n": n}
