"""Nearest neighbours: which pictures have similar codes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from .panels import hide_axes, picture_at, show_picture
from .style import INK, TRAIN, VAL, WIDTH, class_labels, styled

METRICS = ("cosine", "euclidean")


def nearest_neighbours(
    codes: np.ndarray, queries: Sequence[int], k: int = 5, metric: str = "cosine", among: Sequence[int] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The k codes nearest to each query, the nearest first, without the query itself.

    Parameters
    ----------
    codes : (N, D)
    queries : (Q,) int
        Indices of the codes whose neighbours are wanted.
    k : int
        The number of neighbours.
    metric : "cosine" or "euclidean"
        The distance of x and y: 1 - x.y / (|x| |y|), from 0 (the same direction) to 2, whatever the lengths; or |x - y|.
    among : (M,) int, optional
        Indices of the codes that may be found (those of the training pictures, say); by default all.

    Returns
    -------
    neighbours : int64 (Q, k)
        Indices into ``codes``.
    distances : float64 (Q, k)
        Ascending.

    Raises
    ------
    ValueError
        For codes that are not (N, D), another metric, or a k larger than the number of codes that may be found.

    >>> codes = np.array([[1.0, 0], [2, 0.1], [0, 1], [5, 5]])
    >>> nearest_neighbours(codes, [0], k=2)[0], nearest_neighbours(codes, [0], k=2, metric="euclidean")[0]
    (array([[1, 3]]), array([[1, 2]]))
    """
    codes = np.asarray(codes, np.float64)
    if codes.ndim != 2:
        raise ValueError(f"nearest_neighbours expects codes (N, D), got {codes.shape}")
    if metric not in METRICS:
        raise ValueError(f"metric is one of {', '.join(map(repr, METRICS))}, got {metric!r}")
    queries = np.asarray(queries, np.int64)
    among = np.arange(len(codes)) if among is None else np.asarray(among, np.int64)
    most = min((int((among != query).sum()) for query in queries), default=0)
    if not 1 <= k <= most:
        raise ValueError(f"k is the number of neighbours, 1 to {most} here, got {k}")
    if metric == "cosine":
        codes = codes / np.maximum(np.linalg.norm(codes, axis=1, keepdims=True), 1e-300)
        distances = 1 - codes[queries] @ codes[among].T
    else:
        distances = np.stack([np.linalg.norm(codes[among] - codes[query], axis=1) for query in queries])
    distances[among == queries[:, None]] = np.inf
    order = np.argsort(distances, axis=1, kind="stable")[:, :k]
    return among[order], np.maximum(np.take_along_axis(distances, order, axis=1), 0)


def share_of_same_class(labels: np.ndarray, queries: Sequence[int], neighbours: np.ndarray) -> float:
    """The fraction of all Q x k neighbours that have the class of their query (precision at k).

    >>> share_of_same_class(np.array([0, 0, 1]), [0], np.array([[1, 2]]))
    0.5
    """
    return float((labels[neighbours] == labels[np.asarray(queries)][:, None]).mean())


@styled
def neighbours_figure(
    pictures: Any,
    queries: Sequence[int],
    neighbours: np.ndarray,
    distances: np.ndarray | None = None,
    labels: np.ndarray | None = None,
    classes: Sequence[str] | None = None,
    title: str = "",
) -> Figure:
    """A row for each query: its picture, then its neighbours as `nearest_neighbours` gives them.

    Parameters
    ----------
    pictures : PictureSet, or uint8 (N, H, W, C), or a list of N pictures
    queries, neighbours, distances : (Q,), (Q, k), (Q, k)
    labels, classes : (N,) and their names, optional
        With these, each picture has the name of its class below it. Neighbours of the query's class have a solid blue frame,
        others a dashed orange one.

    Raises
    ------
    ValueError
        Where the numbers of queries, neighbours and distances differ.
    """
    Q, k = neighbours.shape
    if len(queries) != Q or (distances is not None and distances.shape != (Q, k)):
        got = None if distances is None else distances.shape
        raise ValueError(f"expected {Q} queries and distances {Q, k} for neighbours {Q, k}, got {len(queries)} and {got}")
    names = None if labels is None else class_labels(classes or map(str, range(int(labels.max()) + 1)), 13)
    side = WIDTH / (k + 1)
    texts = (names is not None) + (distances is not None)
    figure = Figure(figsize=(WIDTH, (side + 0.04 + 0.15 * texts) * Q + 0.25 + (0.25 if title else 0)))
    grid = figure.subplots(Q, k + 1, squeeze=False)
    for q, (row, query) in enumerate(zip(grid, queries, strict=True)):
        for column, (axes, i) in enumerate(zip(row, [query, *neighbours[q]], strict=True)):
            hide_axes(axes)
            show_picture(axes, picture_at(pictures, int(i)))
            lines = [] if names is None else [names[labels[i]]]
            if column == 0:
                axes.spines[:].set(visible=True, color=INK, linewidth=1)
            else:
                lines += [] if distances is None else [f"{distances[q, column - 1]:.2f}"]
                if names is not None:
                    same = labels[i] == labels[query]
                    frame = {"color": TRAIN, "linestyle": "-"} if same else {"color": VAL, "linestyle": (0, (3, 2))}
                    axes.spines[:].set(visible=True, linewidth=2, **frame)
            axes.set_xlabel("\n".join(lines), size=7.5, labelpad=3)
    grid[0, 0].set_title("query", size=8.5, pad=4)
    grid[0, 1].set_title("nearest", size=8.5, pad=4)
    if title:
        figure.suptitle(title, x=0.01, ha="left", size=9.5)
    return figure
