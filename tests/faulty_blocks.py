"""More layers and blocks with faults, as in ``faulty_layers``: shared weights, gates, attention, losses, casts."""

import numpy as np
from faulty_layers import rng, sigmoid, soft, some


def dilated(fault=""):
    """y = conv of 3x3 filters, dilation 2, padding 2."""
    x, w = some(2, 2, 6, 7), some(3, 2, 3, 3)

    def taps(pq, d):
        p, q = pq
        return (..., slice(p * d, p * d + 6), slice(q * d, q * d + 7))

    def forward(x, w):
        xp = np.pad(x, ((0, 0), (0, 0), (2, 2), (2, 2)))
        return sum(np.einsum("ncij,fc->nfij", xp[taps(pq, 2)], w[:, :, pq[0], pq[1]]) for pq in np.ndindex(3, 3))

    def backward(dy):
        xp, dw = np.pad(x, ((0, 0), (0, 0), (2, 2), (2, 2))), np.zeros_like(w)
        dxp = np.zeros_like(xp)
        for p, q in np.ndindex(3, 3):
            dw[:, :, p, q] = np.einsum("nfij,ncij->fc", dy, xp[taps((p, q), 1 if fault == "dw not dilated" else 2)])
            at = taps((p, q), 1 if fault == "dx not dilated" else 2)
            dxp[at] += np.einsum("nfij,fc->ncij", dy, w[:, :, p, q])
        return {"x": dxp[:, :, 2:8, 2:9], "w": dw}

    return forward, backward, {"x": x, "w": w}


def grouped(fault=""):
    """1x1 convolution in two groups of 2 channels and 3 filters."""
    x, w = some(2, 4, 5, 4), some(6, 2, 1, 1)

    def forward(x, w):
        return np.concatenate(
            [np.einsum("ncij,fc->nfij", x[:, 2 * g : 2 * g + 2], w[3 * g : 3 * g + 3, :, 0, 0]) for g in (0, 1)], axis=1
        )

    def backward(dy):
        dx, dw = np.zeros_like(x), np.zeros_like(w)
        for g in (0, 1):
            c, f = slice(2 * g, 2 * g + 2), slice(3 * g, 3 * g + 3)
            of_filters = slice(0, 3) if fault == "filters of the first group" else f
            dx[:, c] = np.einsum("nfij,fc->ncij", dy[:, f], w[of_filters, :, 0, 0])
            if fault == "groups swapped":
                dw[f, :, 0, 0] = np.einsum("nfij,ncij->fc", dy[:, f], x[:, 2 - 2 * g : 4 - 2 * g])
            else:
                dw[f, :, 0, 0] = np.einsum("nfij,ncij->fc", dy[:, f], x[:, c])
        return {"x": dx, "w": dw}

    return forward, backward, {"x": x, "w": w}


def transposed_convolution(fault=""):
    """Each pixel puts a 3x3 stamp on y, 2 pixels apart; w (C, F, 3, 3)."""
    x, w = some(2, 3, 4, 3), some(3, 2, 3, 3)

    def at(p, q):
        return (slice(None), slice(None), slice(p, p + 7, 2), slice(q, q + 5, 2))

    def forward(x, w):
        y = np.zeros((2, 2, 9, 7))
        for p, q in np.ndindex(3, 3):
            y[at(p, q)] += np.einsum("ncij,cf->nfij", x, w[:, :, p, q])
        return y

    def backward(dy):
        dx, dw = np.zeros_like(x), np.zeros_like(w)
        for p, q in np.ndindex(3, 3):
            kernel = w[:, :, 2 - p, 2 - q] if fault == "flipped" else w[:, :, p, q]
            share = np.einsum("nfij,cf->ncij", dy[at(p, q)], kernel)
            dx = share if fault == "=" else dx + share
            dw[:, :, p, q] = np.einsum("nfij,ncij->cf", dy[at(p, q)], x)
        return {"x": dx, "w": dw}

    return forward, backward, {"x": x, "w": w}


def convolution_1d(fault=""):
    """Causal: y[t] = sum of w[k] x[t - k]; x (N, C, T)."""
    x, w = some(3, 2, 8), some(4, 2, 3)

    def shifted(x, k):
        return np.pad(x, ((0, 0), (0, 0), (k, 0)))[:, :, : x.shape[2]]

    def forward(x, w):
        return sum(np.einsum("nct,fc->nft", shifted(x, k), w[:, :, k]) for k in range(3))

    def backward(dy):
        dx, dw = np.zeros_like(x), np.zeros_like(w)
        for k in range(3):
            back = np.pad(dy, ((0, 0), (0, 0), (0, k)))[:, :, k:]
            kernel = w[:, :, 2 - k] if fault == "flipped" else w[:, :, k]
            dx += np.einsum("nft,fc->nct", shifted(dy, k) if fault == "into the future" else back, kernel)
            dw[:, :, k] = np.einsum("nft,nct->fc", dy, shifted(x, k))
        return {"x": dx, "w": dw}

    return forward, backward, {"x": x, "w": w}


def norm_in_eval(fault=""):
    x, gamma = 1 + some(7, 4), rng.uniform(0.5, 2, 4)
    mean, var = np.linspace(0.5, 1.5, 4), np.linspace(0.05, 0.4, 4)

    def backward(dy):
        std = np.sqrt(var + (0 if fault == "no eps" else 0.01))
        dx = dy * gamma / std
        if fault == "as in training":
            xh = (x - x.mean(axis=0)) / x.std(axis=0)
            d = dy * gamma
            dx = (d - d.mean(axis=0) - xh * (d * xh).mean(axis=0)) / x.std(axis=0)
        elif fault == "var for std":
            dx = dy * gamma / (var + 0.01)
        return {"x": dx, "gamma": (dy * (x - mean) / np.sqrt(var + 0.01)).sum(axis=0)}

    return lambda x, gamma: gamma * (x - mean) / np.sqrt(var + 0.01), backward, {"x": x, "gamma": gamma}


def norm_in_training(fault=""):
    x, gamma = 1 + 3 * some(7, 4), rng.uniform(0.5, 2, 4)

    def backward(dy):
        std = np.sqrt(x.var(axis=0, ddof=1 if fault == "unbiased" else 0) + (0 if fault == "no eps" else 0.01))
        xh, d = (x - x.mean(axis=0)) / std, dy * gamma
        dx = (d - d.mean(axis=0) - xh * (d * xh).mean(axis=0)) / std
        return {"x": dx, "gamma": (dy * (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 0.01)).sum(axis=0)}

    return lambda x, gamma: gamma * (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 0.01), backward, {"x": x, "gamma": gamma}


def rms_norm(fault=""):
    x, g = some(5, 6), rng.uniform(0.5, 2, 6)

    def rms(x):
        return np.sqrt((x**2).mean(axis=1, keepdims=True) + 1e-5)

    def backward(dy):
        d = dy * g
        through = x * (d * x).mean(axis=1, keepdims=True) / rms(x) ** 3
        dx = d / rms(x) - through * {"": 1, "rms as a constant": 0, "sum for mean": 6}[fault]
        return {"x": dx, "g": (dy * x / rms(x)).sum(axis=0)}

    return lambda x, g: g * x / rms(x), backward, {"x": x, "g": g}


def unit_length(fault=""):
    x = some(5, 4)

    def backward(dy):
        n = np.linalg.norm(x, axis=1, keepdims=True)
        y = x / n
        dx = {"": (dy - y * (dy * y).sum(axis=1, keepdims=True)) / n, "length as a constant": dy / n}[fault]
        return {"x": dx}

    return lambda x: x / np.linalg.norm(x, axis=1, keepdims=True), backward, {"x": x}


def log_softmax(fault=""):
    x = 8 * some(4, 6)

    def backward(dy):
        y = np.log(soft(x))
        total = dy.sum(axis=1, keepdims=True)
        return {"x": {"": dy - np.exp(y) * total, "y for p": dy - y * total, "dy for its sum": dy - np.exp(y) * dy}[fault]}

    return lambda x: np.log(soft(x)), backward, {"x": x}


def log_sum_exp(fault=""):
    x = 8 * some(4, 6)

    def backward(dy):
        p = np.exp(x) if fault == "not divided" else soft(x)
        if fault == "as max":
            p = x == x.max(axis=1, keepdims=True)
        return {"x": p * dy[:, None]}

    return lambda x: np.log(np.exp(x).sum(axis=1)), backward, {"x": x}


def tempered(fault=""):
    x = 3 * some(4, 6)

    def backward(dy):
        y = soft(x / 5)
        dx = y * (dy - (dy * y).sum(axis=1, keepdims=True))
        return {"x": dx if fault == "no temperature" else dx / 5}

    return lambda x: soft(x / 5), backward, {"x": x}


def global_average(fault=""):
    x = some(2, 3, 4, 5)

    def backward(dy):
        return {"x": np.broadcast_to(dy[:, :, None, None] / {"": 20, "sum": 1, "rows only": 4}[fault], x.shape)}

    return lambda x: x.mean(axis=(2, 3)), backward, {"x": x}


def upsampling(fault=""):
    x = some(2, 3, 4, 3)

    def backward(dy):
        blocks = dy.reshape(2, 3, 4, 2, 3, 2)
        return {
            "x": {"": blocks.sum(axis=(3, 5)), "mean": blocks.mean(axis=(3, 5)), "one of four": blocks[:, :, :, 0, :, 0]}[fault]
        }

    return lambda x: x.repeat(2, axis=2).repeat(2, axis=3), backward, {"x": x}


def scaled_residual(fault=""):
    """y = x + a tanh(x w)."""
    x, w, a = some(5, 4), 5 * some(4, 4), np.array([0.3])

    def backward(dy):
        h = np.tanh(x @ w)
        d = a * dy * (1 - h**2)
        if fault == "a forgotten":
            d = d / a
        return {
            "x": dy + d @ w.T,
            "w": x.T @ (a * dy * (1 - h**2)),
            "a": np.array([(dy * (x if fault == "da from x" else h)).sum()]),
        }

    return lambda x, w, a: x + a * np.tanh(x @ w), backward, {"x": x, "w": w, "a": a}


def gated(fault=""):
    """y = u s(v), with u and v the halves of x."""
    x = 5 * some(4, 6)

    def backward(dy):
        u, s = x[:, :3], sigmoid(x[:, 3:])
        du, dv = dy * s, dy * u * s * (1 - s)
        if fault == "gate alone":
            du = dy
        elif fault == "dv without u":
            dv = dy * s * (1 - s)
        return {"x": np.concatenate([dv, du] if fault == "halves swapped" else [du, dv], axis=1)}

    return lambda x: x[:, :3] * sigmoid(x[:, 3:]), backward, {"x": x}


def squeeze_excite(fault=""):
    """y = x s(w mean of x), a gate for each channel."""
    x, w = some(2, 3, 4, 3), 40 * some(3, 3)

    def gate(x, w):
        return sigmoid(x.mean(axis=(2, 3)) @ w)

    def backward(dy):
        s = gate(x, w)
        d = (dy * x).sum(axis=(2, 3)) * s * (1 - s)
        dx = dy * s[:, :, None, None] + (0 if fault == "gate as a constant" else (d @ w.T)[:, :, None, None] / 12)
        if fault == "gate alone":
            dx = np.broadcast_to((d @ w.T)[:, :, None, None] / 12, x.shape)
        return {"x": dx, "w": x.mean(axis=(2, 3)).T @ d}

    return lambda x, w: x * gate(x, w)[:, :, None, None], backward, {"x": x, "w": w}


def attention(fault=""):
    """y = softmax(q k^T / 2) v."""
    q, k, v = 5 * some(5, 4), 5 * some(5, 4), some(5, 3)

    def backward(dy):
        a = soft(q @ k.T / 2)
        da = dy @ v.T
        ds = a * (da - (da * a).sum(axis=1, keepdims=True)) / 2
        if fault == "no sum":
            ds = a * da / 2
        dq, dk = ds @ k, (ds if fault == "dk not transposed" else ds.T) @ q
        if fault == "no scale":
            dq = 2 * dq
        return {"q": dq, "k": dk, "v": (a if fault == "dv not transposed" else a.T) @ dy}

    return lambda q, k, v: soft(q @ k.T / 2) @ v, backward, {"q": q, "k": k, "v": v}


def gram(fault=""):
    x = some(5, 4)
    return lambda x: x @ x.T, lambda dy: {"x": dy @ x if fault == "one factor" else (dy + dy.T) @ x}, {"x": x}


def bilinear(fault=""):
    """y = x * (x w)."""
    x, w = some(5, 4), some(4, 4)

    def backward(dy):
        dx = dy * (x @ w) + (0 if fault == "one factor" else (dy * x) @ w.T)
        return {"x": dx, "w": x.T @ (dy * x)}

    return lambda x, w: x * (x @ w), backward, {"x": x, "w": w}


def tied(fault=""):
    """An autoencoder, y = tanh(x w) w^T."""
    x, w = 3 * some(5, 4), 3 * some(4, 3)

    def backward(dy):
        h = np.tanh(x @ w)
        d = dy @ w * (1 - h**2)
        encoder, decoder = x.T @ d, dy.T @ h
        return {"x": d @ w.T, "w": {"": encoder + decoder, "encoder alone": encoder, "decoder alone": decoder}[fault]}

    return lambda x, w: np.tanh(x @ w) @ w.T, backward, {"x": x, "w": w}


def mean_square(fault=""):
    x, t = some(5, 4), some(5, 4)

    def backward(dy):
        return {"x": 2 * (x - t) / {"": 20, "by N": 5, "no 2": 40}[fault] * dy}

    return lambda x: ((x - t) ** 2).mean(), backward, {"x": x}


def huber(fault=""):
    x = 20 * some(5, 4)

    def backward(dy):
        inner = abs(x) < 1
        return {
            "x": {
                "": np.where(inner, x, np.sign(x)),
                "no clip": x,
                "no sign": np.where(inner, x, 1),
                "zero outside": x * inner,
            }[fault]
            / 20
            * dy
        }

    return lambda x: np.where(abs(x) < 1, x**2 / 2, abs(x) - 0.5).mean(), backward, {"x": x}


def tanh_then_relu(fault=""):
    """The second layer writes into the array that the first one keeps."""
    x = 20 * some(4, 6)

    def backward(dy):
        kept = np.tanh(x)
        d = dy * (kept > 0)
        if fault == "forward overwrote what was kept":
            kept = d
        return {"x": d * (1 - kept**2)}

    return lambda x: np.maximum(np.tanh(x), 0), backward, {"x": x}


def rounded(fault=""):
    x = 8 * some(4, 6)

    def backward(dy):
        dx = 3 * x**2 * dy
        return {
            "x": {"": dx, "float32": dx.astype(np.float32), "float16": dx.astype(np.float16), "integers": dx.astype(int)}[fault]
        }

    return lambda x: x**3, backward, {"x": x}


def prelu(fault=""):
    x, a = some(6, 4), rng.uniform(0.1, 0.3, 4)

    def backward(dy):
        da = (dy * (x if fault == "da without mask" else np.minimum(x, 0))).sum(axis=0)
        return {"x": dy * np.where(x > 0, 1, a), "a": da.sum() * np.ones(4) if fault == "da summed over all" else da}

    return lambda x, a: np.where(x > 0, x, a * x), backward, {"x": x, "a": a}


def cumulative(fault=""):
    x = some(4, 6)

    def backward(dy):
        return {"x": np.cumsum(dy, axis=1) if fault == "forwards" else np.cumsum(dy[:, ::-1], axis=1)[:, ::-1]}

    return lambda x: np.cumsum(x, axis=1), backward, {"x": x}
