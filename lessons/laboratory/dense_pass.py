"""How close a dense pass is to passes over crops, and what it costs: the measurements for fc_to_conv.py."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise

import numpy as np

from minicnn.layers import AdaptiveAvgPool2d, Flatten
from minicnn.models.model import Model
from minicnn.models.receptive_field import receptive_field
from minicnn.transfer.fc_to_conv import fc_to_conv, without_padding

OWN, WINDOWS, BARE, AROUND, ALONE = "own size", "windows", "crops, nothing padded", "with surroundings", "crop alone"
SIDE = 2  # crops along each side of the picture that equality is tested on
PIXELS_PER_BATCH = 500_000  # of all crops in it


def side_by_side(pictures: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Pictures (rows * columns, H, W) as one, (rows * H, columns * W)."""
    return np.block([[pictures[row * columns + column] for column in range(columns)] for row in range(rows)])


def equality(model: Model, digits: np.ndarray, seed: int) -> dict[str, float | list[int]]:
    """The largest difference between a dense pass and the passes that it replaces, as a share of the largest score.

    Parameters
    ----------
    model : Model
        In float64. If it sees grey it is shown the digits side by side, else noise.

    Returns
    -------
    dict with "size", the side of a crop and of a crop with its surroundings in pixels, and with the differences between
        OWN     the map at the network's own size, and its scores
        WINDOWS each element, and the output of the fully connected layers for that window of the last feature map
        BARE    each element, and the scores of the crop there, both without any padding
        AROUND  an element of the padded network, and the scores of the one without padding for the crop with its surroundings
        ALONE   an element of the padded network, and its scores of the crop there
    """
    dense, bare = fc_to_conv(model), without_padding(model)
    field = receptive_field(dense, model.input_shape)
    step, first = field.stride[0], field.first[0]
    own, around = model.input_shape[1], bare.input_shape[1]

    def picture(side: int) -> np.ndarray:
        if model.input_shape[0] == 3:
            return np.random.default_rng(seed).standard_normal((1, 3, side, side))
        n = -(-side // digits.shape[1])
        canvas = side_by_side(digits, n, n)[:side, :side]
        return model.preprocessing.normalise(canvas[None]).astype(np.float64)

    x = picture(own + step)
    maps = dense.forward(x)[:, :, :SIDE, :SIDE]
    crop = np.ascontiguousarray(x[:, :, :own, :own])
    found = {"size": [own, around], OWN: difference(dense.forward(crop)[:, :, 0, 0], model.forward(crop))}
    found[WINDOWS] = difference(maps, of_windows(model, x))
    found[ALONE] = difference(maps, of_places(model, x, step, own, own))

    before = -(first // step)  # elements, before the first whose receptive field is all in the picture
    start = first + before * step
    x = picture(start + around + step)
    inside = np.ascontiguousarray(x[:, :, start:, start:])
    crops = of_places(bare, inside, step, around, around)
    found[AROUND] = difference(dense.forward(x)[:, :, before : before + SIDE, before : before + SIDE], crops)
    found[BARE] = difference(fc_to_conv(bare).forward(inside)[:, :, :SIDE, :SIDE], crops)
    return found


def of_places(network, x: np.ndarray, step: int, height: int, width: int) -> np.ndarray:
    """The scores of a network for each of the first crops of a picture, as a map (1, K, SIDE, SIDE)."""
    places = [(i * step, j * step) for i in range(SIDE) for j in range(SIDE)]
    crops = [np.ascontiguousarray(x[:, :, top : top + height, left : left + width]) for top, left in places]
    return np.stack([network.forward(crop)[0] for crop in crops], axis=1).reshape(1, -1, SIDE, SIDE)


def of_windows(model: Model, x: np.ndarray) -> np.ndarray:
    """The output of the fully connected layers for each of the first windows of the last feature map."""
    above_maps = (Flatten, AdaptiveAvgPool2d)
    last = next(name for name, above in pairwise(model.layers) if isinstance(model.layers[above], above_maps))
    lower, upper = model.split(last)
    window = lower.output_shape((1, *model.input_shape))[2:]
    return of_places(upper, lower.forward(x), 1, *window)


def difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).max() / np.abs(b).max())


def cost(model: Model, dense: Model, side: int) -> dict[str, float]:
    """Multiply-adds and seconds of one dense pass over a picture, and of a pass for each of its crops, in batches."""
    C, own, _ = model.input_shape
    x = np.random.default_rng(0).standard_normal((1, C, side, side)).astype(np.float32)
    OH, OW = dense.output_shape(x.shape)[2:]
    step = (side - own) // max(OH - 1, 1)
    places = [(i * step, j * step) for i in range(OH) for j in range(OW)]
    batch_size = max(PIXELS_PER_BATCH // own**2, 1)

    def all_crops() -> None:
        for start in range(0, len(places), batch_size):
            crops = [x[0, :, top : top + own, left : left + own] for top, left in places[start : start + batch_size]]
            model.forward(np.stack(crops))

    return {
        "side": side,
        "crops": len(places),
        "multiply_adds": dense.multiply_adds(x.shape),
        "crop_multiply_adds": len(places) * model.multiply_adds((1, C, own, own)),
        "seconds": fastest(lambda: dense.forward(x)),
        "crop_seconds": fastest(all_crops),
    }


def fastest(run: Callable[[], object], times: int = 3) -> float:
    """Seconds of the fastest of several runs, after one that does not count."""
    run()
    seconds = []
    for _ in range(times):
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    return min(seconds)
