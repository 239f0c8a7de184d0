"""Layers written out in plain NumPy, as in an exercise: forward, and a backward that is right unless a fault is named.

Each is a function of the fault's name that returns (forward, backward, arrays): what `minicnn.gradcheck.check_function` takes.
"""

import numpy as np

rng = np.random.default_rng(2015)


def some(*shape):
    """Different numbers, at least 0.01 apart and none within 0.005 of 0, in random order: no kinks and no ties."""
    size = int(np.prod(shape))
    return (rng.permutation(size) - size // 2 + 0.5).reshape(shape) * (4 / size if size > 400 else 0.013)


def linear(fault=""):
    x, w, b = some(5, 4), some(4, 4), some(4)

    def backward(dy):
        dx, dw, db = dy @ w, dy.T @ x, dy.sum(axis=0)
        if fault == "w not transposed":
            dx = dy @ w.T
        elif fault == "dw transposed":
            dw = dw.T
        elif fault == "dw from y":
            dw = dy.T @ (x @ w.T + b)
        elif fault == "dw of the last sample":
            dw = np.outer(dy[-1], x[-1])
        elif fault == "db per sample":
            db = dy.sum(axis=1)
        elif fault == "db not summed":
            db = dy
        elif fault == "db averaged":
            db = dy.mean(axis=0)
        elif fault == "db ignores dy":
            db = np.full(4, 5.0)
        elif fault == "dx ignores dy":
            dx = np.ones_like(dy) @ w
        elif fault == "dw adds the decay twice":
            dw = 2 * dw
        elif fault == "negative sign":
            dw = -dw
        elif fault == "dx lacks a feature":
            dx = dy[:, :3] @ w[:3]
        return {"x": dx, "w": dw, "b": db}

    return lambda x, w, b: x @ w.T + b, backward, {"x": x, "w": w, "b": b}


def square_batch_linear(fault=""):
    """As many samples as features: the wrong axis gives a gradient of the right shape."""
    x, w, b = some(4, 3), some(4, 3), some(4)

    def backward(dy):
        return {"x": dy @ w, "w": dy.T @ x, "b": dy.sum(axis=1 if fault == "db over the wrong axis" else 0)}

    return lambda x, w, b: x @ w.T + b, backward, {"x": x, "w": w, "b": b}


def elementwise(function, slope, x=None):
    def make(fault=""):
        values = some(4, 6) if x is None else x

        def backward(dy):
            return {"x": slope(values, function(values), dy, fault)}

        return lambda x: function(x), backward, {"x": values}

    return make


def relu_slope(x, y, dy, fault):
    return {
        "": dy * (x > 0),
        "mask of dy": dy * (dy > 0),
        "no mask": dy,
        "mask alone": (x > 0) * 1.0,
        "mask inverted": dy * (x < 0),
        "guided": dy * (x > 0) * (dy > 0),
        "returns y": y,
    }[fault]


def leaky_slope(x, y, dy, fault):
    right = np.where(x > 0, dy, 0.1 * dy)
    return {"": right, "as in relu": dy * (x > 0), "square": np.where(x > 0, dy, 0.01 * dy)}[fault]


def clip_slope(x, y, dy, fault):
    return {"": dy * (abs(x) < 0.1), "one side": dy * (x < 0.1)}[fault]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def sigmoid_slope(x, y, dy, fault):
    return {
        "": dy * y * (1 - y),
        "without 1 - y": dy * y,
        "without y": dy * (1 - y),
        "of x": dy * x * (1 - x),
        "twice": dy * (y * (1 - y)) ** 2,
        "no dy": y * (1 - y),
        "divided": dy / (y * (1 - y)),
    }[fault]


def tanh_slope(x, y, dy, fault):
    return {"": dy * (1 - y**2), "not squared": dy * (1 - y), "of x": dy * (1 - x**2), "without 1": -dy * y**2}[fault]


def soft(x, axis=1):
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def softmax_slope(x, y, dy, fault):
    return {
        "": y * (dy - (dy * y).sum(axis=1, keepdims=True)),
        "diagonal": dy * y * (1 - y),
        "no sum": dy * y,
        "wrong axis": y * (dy - (dy * y).sum(axis=0, keepdims=True)),
        "mean": y * (dy - (dy * y).mean(axis=1, keepdims=True)),
        "sum without y": y * (dy - dy.sum(axis=1, keepdims=True)),
    }[fault]


def taps(x, k, s, OH, OW):
    for p in range(k):
        for q in range(k):
            yield p, q, (slice(None), slice(None), slice(p, p + s * (OH - 1) + 1, s), slice(q, q + s * (OW - 1) + 1, s))


def convolution(stride=1, pad=1, square=False):
    def make(fault=""):
        C, F = (3, 3) if square else (2, 3)
        x, w, b = some(2, C, 6, 5) * 3, some(F, C, 3, 3), some(F)
        OH, OW = (6 + 2 * pad - 3) // stride + 1, (5 + 2 * pad - 3) // stride + 1

        def padded(x):
            return np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))

        def forward(x, w, b):
            y, xp = np.zeros((2, F, OH, OW)), padded(x)
            for p, q, at in taps(x, 3, stride, OH, OW):
                y += np.einsum("ncij,fc->nfij", xp[at], w[:, :, p, q])
            return y + b[:, None, None]

        def backward(dy):
            xp, dw, db = padded(x), np.zeros_like(w), dy.sum(axis=(0, 2, 3))
            dxp = np.zeros_like(xp)
            step = 1 if fault.startswith("stride ignored") else stride
            for p, q, at in taps(x, 3, step, OH, OW):
                dw[:, :, p, q] = np.einsum("nfij,ncij->fc", dy, xp[at])
                if fault == "drops a tap" and (p, q) == (2, 2):
                    continue
                kernel = w[:, :, 2 - p, 2 - q] if fault == "flipped" else w[:, :, p, q]
                kernel = kernel.T if fault == "channels swapped" else kernel
                share = np.einsum("nfij,fc->ncij", dy, kernel)
                dxp[at] = share if fault == "= in taps" else dxp[at] + share
            if fault in ("= in windows", "= in dw"):
                for i in range(OH):
                    for j in range(OW):
                        at = (slice(None), slice(None), slice(i * stride, i * stride + 3), slice(j * stride, j * stride + 3))
                        if fault == "= in windows":
                            dxp[at] = np.einsum("nf,fcpq->ncpq", dy[:, :, i, j], w)
                        else:
                            dw = np.einsum("nf,ncpq->fcpq", dy[:, :, i, j], xp[at])
            dx = dxp[:, :, pad : pad + 6, pad : pad + 5]
            if fault == "stride ignored in dx":
                dw = right(dy)["w"]
            elif fault == "stride ignored in dw":
                dx = right(dy)["x"]
            elif fault == "not cropped":
                dx = dxp
            elif fault == "cropped at the corner":
                dx = dxp[:, :, :6, :5]
            elif fault == "dw rotated":
                dw = dw[:, :, ::-1, ::-1]
            elif fault == "db without samples":
                db = dy.sum(axis=(2, 3))[0]
            elif fault == "db divided":
                db = db / (OH * OW)
            elif fault == "dw averaged":
                dw = dw / 2
            return {"x": dx, "w": dw, "b": db}

        def right(dy):
            xp, dxp, dw = padded(x), np.zeros_like(padded(x)), np.zeros_like(w)
            for p, q, at in taps(x, 3, stride, OH, OW):
                dxp[at] += np.einsum("nfij,fc->ncij", dy, w[:, :, p, q])
                dw[:, :, p, q] = np.einsum("nfij,ncij->fc", dy, xp[at])
            return {"x": dxp[:, :, pad : pad + 6, pad : pad + 5], "w": dw}

        return forward, backward, {"x": x, "w": w, "b": b}

    return make


def pooling(k=3, stride=2, kind="max"):
    def make(fault=""):
        x = some(2, 3, 7, 7)
        size = (7 - k) // stride + 1

        def windows(x):
            starts = [(i, j, i * stride, j * stride) for i in range(size) for j in range(size)]
            return [(i, j, x[:, :, top : top + k, left : left + k]) for i, j, top, left in starts]

        def forward(x):
            y = np.empty((2, 3, size, size))
            for i, j, window in windows(x):
                y[:, :, i, j] = window.max(axis=(2, 3)) if kind == "max" else window.mean(axis=(2, 3))
            return y

        def backward(dy):
            dx = np.zeros_like(x)
            for i, j, window in windows(x):
                top, left = (i, j) if fault == "stride ignored" else (i * stride, j * stride)
                at = (slice(None), slice(None), slice(top, top + k), slice(left, left + k))
                share = dy[:, :, i, j, None, None]
                mask = window == window.max(axis=(2, 3), keepdims=True)
                if (kind == "mean" and fault == "as max") or (kind == "max" and fault != "as average"):
                    mask = window == window.min(axis=(2, 3), keepdims=True) if fault == "smallest" else mask
                    share = share * (np.ones_like(mask) if fault == "all" else mask)
                elif fault != "not divided":
                    share = np.broadcast_to(share / k**2, window.shape)
                if fault == "=":
                    dx[at] = np.where(mask, share, dx[at]) if kind == "max" else share
                else:
                    dx[at] += share
            return {"x": dx}

        return forward, backward, {"x": x}

    return make


def normalisation(axes, ndim):
    def make(fault=""):
        x = 1 + some(*{2: (7, 6), 4: (3, 2, 3, 4)}[ndim]) * 3
        shape = tuple(1 if axis in axes else n for axis, n in enumerate(x.shape))
        gamma, beta = rng.uniform(0.5, 2, x.shape[1]), some(x.shape[1])
        spread = (-1,) + (1,) * (ndim - 2)
        g = gamma.reshape(spread)
        M = x.size // int(np.prod(shape))

        def forward(x, gamma, beta):
            mean, var = x.mean(axis=axes, keepdims=True), x.var(axis=axes, keepdims=True)
            xh = (x - mean) / np.sqrt(var + 1e-5)
            return gamma.reshape(spread) * xh + beta.reshape(spread)

        def backward(dy):
            mean, std = x.mean(axis=axes, keepdims=True), np.sqrt(x.var(axis=axes, keepdims=True) + 1e-5)
            xh = (x - mean) / std
            rest = tuple(axis for axis in range(ndim) if axis != 1)
            dgamma, dbeta, d = (dy * xh).sum(axis=rest), dy.sum(axis=rest), dy * g
            through_mean, through_var = d.mean(axis=axes, keepdims=True), xh * (d * xh).mean(axis=axes, keepdims=True)
            if fault == "sums for means":
                through_mean, through_var = M * through_mean, M * through_var
            elif fault == "sum for the mean":
                through_mean = M * through_mean
            elif fault == "no mean term":
                through_mean = 0
            elif fault == "no variance term":
                through_var = 0
            elif fault == "statistics as constants":
                through_mean = through_var = 0
            elif fault == "variance term with a wrong sign":
                through_var = -through_var
            dx = (d - through_mean - through_var) / std
            if fault == "no gamma":
                dx = dx / g
            elif fault == "not divided by std":
                dx = dx * std
            elif fault == "dgamma without x-hat":
                dgamma = dy.sum(axis=rest)
            elif fault == "dgamma with x":
                dgamma = (dy * x).sum(axis=rest)
            elif fault == "dgamma with y":
                dgamma = (dy * forward(x, gamma, beta)).sum(axis=rest)
            elif fault == "dbeta with x-hat":
                dbeta = dgamma
            elif fault == "dbeta averaged":
                dbeta = dy.mean(axis=rest)
            return {"x": dx, "gamma": dgamma, "beta": dbeta}

        return forward, backward, {"x": x, "gamma": gamma, "beta": beta}

    return make


def residual(fault=""):
    x, w = some(5, 4), some(4, 4) * 3 + np.pi / 1000  # no sum of products is 0, the kink

    def backward(dy):
        inner = dy * (x @ w > 0)
        dx, dw = dy + inner @ w.T, x.T @ inner
        if fault == "no shortcut":
            dx = inner @ w.T
        elif fault == "shortcut alone":
            dx = dy
        elif fault == "shortcut twice":
            dx = 2 * dy + inner @ w.T
        return {"x": dx, "w": dw}

    return lambda x, w: x + np.maximum(x @ w, 0), backward, {"x": x, "w": w}


def concatenation(fault=""):
    x, v, w = some(5, 4), some(4, 3), some(4, 2)

    def backward(dy):
        dx = dy[:, :3] @ v.T + dy[:, 3:] @ w.T
        if fault == "one branch":
            dx = dy[:, :3] @ v.T
        return {"x": dx, "v": x.T @ dy[:, :3], "w": x.T @ dy[:, 3:]}

    return lambda x, v, w: np.concatenate([x @ v, x @ w], axis=1), backward, {"x": x, "v": v, "w": w}


def embedding(fault=""):
    table, words = some(6, 3), np.array([[0, 2, 2], [5, 2, 0]])

    def backward(dy):
        d = np.zeros_like(table)
        if fault == "=":
            d[words] = dy
        elif fault == "+= with repeated indices":
            d[words] += dy
        else:
            np.add.at(d, words, dy)
        return {"table": d}

    return lambda table: table[words], backward, {"table": table}


def dropout(fault=""):
    x = some(4, 6)
    mask = np.random.default_rng(3).random(x.shape) > 0.4

    def backward(dy):
        dx = dy * mask / 0.6
        return {"x": {"": dx, "no mask": dy / 0.6, "no scale": dy * mask, "neither": dy, "inverted": dy * ~mask / 0.6}[fault]}

    return lambda x: x * mask / 0.6, backward, {"x": x}


def flatten(fault=""):
    x = some(2, 3, 4, 2)

    def backward(dy):
        return {"x": dy.reshape(2, 4, 2, 3).transpose(0, 3, 1, 2) if fault == "channels last" else dy.reshape(x.shape)}

    return lambda x: x.reshape(2, -1), backward, {"x": x}


def penalised(fault=""):
    """The squared error of a linear model, with weight decay."""
    x, w, t = some(5, 4), some(4, 3), some(5, 3)

    def backward(dy):
        dw = 2 * x.T @ (x @ w - t) + 0.2 * w
        return {"w": dy * {"": dw, "no decay": dw - 0.2 * w, "half the decay": dw - 0.1 * w, "no 2": dw / 2}[fault]}

    return lambda w: np.sum((x @ w - t) ** 2) + 0.1 * np.sum(w**2), backward, {"w": w}


def recurrent(fault=""):
    x, u = some(5, 4), some(4, 4) * 5

    def states(x, u):
        h = [np.zeros((5, 4))]
        for _ in range(3):
            h.append(np.tanh(h[-1] @ u + x))
        return h

    def backward(dy):
        h, dx, du = states(x, u), np.zeros_like(x), np.zeros_like(u)
        for t in range(3, 0, -1):
            d = dy * (1 - h[t] ** 2)
            dx, du, dy = dx + d, du + h[t - 1].T @ d, d @ u.T
            if fault == "one step back":
                break
        return {"x": dx, "u": du}

    return lambda x, u: states(x, u)[-1], backward, {"x": x, "u": u}


def projected(fault=""):
    """A residual block with a projection in its shortcut."""
    x, p, w = some(5, 4), some(4, 3), some(4, 3) * 3 + np.pi / 1000

    def backward(dy):
        inner = dy * (x @ w > 0)
        dx = inner @ w.T + (0 if fault == "no shortcut" else dy @ p.T)
        return {"x": dx, "p": x.T @ dy, "w": x.T @ inner}

    return lambda x, p, w: x @ p + np.maximum(x @ w, 0), backward, {"x": x, "p": p, "w": w}


def swish_slope(x, y, dy, fault):
    return dy * (sigmoid(x) + (0 if fault == "product rule" else y * (1 - sigmoid(x))))


def cross_entropy(fault=""):
    scores, targets = some(5, 4), np.array([0, 3, 1, 1, 2])

    def backward(dy):
        p = soft(scores)
        d = p - np.eye(4)[targets]
        d = {"": d, "summed": 5 * d, "p alone": p, "sign": -d}[fault]
        return {"scores": d / 5 * dy}

    return lambda scores: -np.log(soft(scores)[np.arange(5), targets]).mean(), backward, {"scores": scores}


relu = elementwise(lambda x: np.maximum(x, 0), relu_slope)
leaky = elementwise(lambda x: np.where(x > 0, x, 0.1 * x), leaky_slope)
clip = elementwise(lambda x: np.clip(x, -0.1, 0.1), clip_slope)
logistic = elementwise(sigmoid, sigmoid_slope, 8 * some(4, 6))
tanh = elementwise(np.tanh, tanh_slope, 8 * some(4, 6))
softmax = elementwise(soft, softmax_slope, 8 * some(4, 6))
softmax_square = elementwise(soft, softmax_slope, 8 * some(5, 5))
swish = elementwise(lambda x: x * sigmoid(x), swish_slope, 8 * some(4, 6))
plain, strided, valid, square = convolution(), convolution(2, 1), convolution(1, 0), convolution(square=True)
max_pool, max_pool_apart, mean_pool = pooling(), pooling(2, 2), pooling(3, 2, "mean")
batch_norm, batch_norm_2d, layer_norm = normalisation((0,), 2), normalisation((0, 2, 3), 4), normalisation((1,), 2)
instance_norm = normalisation((2, 3), 4)
