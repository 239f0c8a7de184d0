"""Saliency and Grad-CAM: where in a picture the score of a class comes from, by its gradient."""

from __future__ import annotations

import numpy as np

from ..models import Model
from .hooks import (
    Arrived,
    Classes,
    class_numbers,
    for_gradients,
    layer_of,
    layers_with_maps,
    most_probable,
    one_at_class,
    watched,
)

AT_ONCE = 4  # pictures: a backward pass keeps every map of each of them in memory


def saliency(model: Model, x: np.ndarray, classes: Classes = None) -> np.ndarray:
    """How much the score of a class changes with each pixel: S[n, i, j] = max over c of |d score_k / d x[n, c, i, j]|.

    The score s_k before the softmax, not the probability: that could rise because other classes fall.

    Parameters
    ----------
    model : Model
        In any mode; it is left as it was. What is frozen plays no part.
    x : float32 or float64 (N, C, H, W)
        As ``model.preprocess`` gives it. The derivative is with respect to these numbers, not to the pixels of 0 to 255.
    classes : int, str, one of these for each picture, or None
        k above, by number or by name; None: for each picture its most probable class.

    Returns
    -------
    (N, H, W) of x's dtype, at least 0

    Simonyan, Vedaldi, Zisserman 2014, "Deep Inside Convolutional Networks" (arXiv 1312.6034), section 3.

    >>> from minicnn.layers import Flatten, Linear
    >>> model = Model({"flatten": Flatten(), "scores": Linear(4, 2)}, architecture="tiny", input_shape=(1, 2, 2))
    >>> model.classifier.w.value[1] = [0, 1, -2, 3]
    >>> saliency(model, np.ones((1, 1, 2, 2), np.float32), classes=1)
    array([[[0., 1.],
            [2., 3.]]], dtype=float32)
    """
    numbers, parts = class_numbers(model, x, classes), []
    with for_gradients(model):
        for start in range(0, len(x), AT_ONCE):
            scores = model.forward(x[start : start + AT_ONCE])
            k = most_probable(scores) if numbers is None else numbers[start : start + AT_ONCE]
            parts.append(np.abs(model.backward(one_at_class(scores, k))).max(axis=1))
    return np.concatenate(parts)


def grad_cam(model: Model, x: np.ndarray, classes: Classes = None, layer: str | None = None) -> np.ndarray:
    """Which places of a layer's maps A speak for a class: ReLU(sum over c of alpha_c A_c), with weights from the gradient,

    alpha_c = mean over i, j of d score_k / d A[c, i, j]

    Where global average pooling and a linear layer follow, alpha_c = w[k, c] / (H W), and this is the class activation map of
    Zhou et al. 2016 (arXiv 1512.04150) but for the factor H W and the ReLU. Grad-CAM works for any layers above.

    Parameters
    ----------
    model, x, classes : see `saliency`
    layer : str, optional
        A path, as ``model.walk()`` gives them, of a layer that gives maps. By default the last top-level one whose maps have
        more than one place: the most specific features that still say where.

    Returns
    -------
    (N, h, w) of x's dtype, at least 0; h x w is the size of the layer's maps. See `minicnn.viz.upsampled`.

    Selvaraju et al. 2017, "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization"
    (arXiv 1610.02391), equations 1 and 2.

    Raises
    ------
    ValueError
        For a layer that is not there or gives no maps, and for a network that has none.
    """
    numbers, parts = class_numbers(model, x, classes), []
    layer = layer or _last_with_maps(model, x.shape)
    inner = layer_of(model, layer)
    with for_gradients(model), watched(inner) as seen:
        for start in range(0, len(x), AT_ONCE):
            scores = model.forward(x[start : start + AT_ONCE])
            if seen.y is None or seen.y.ndim != 4 or seen.y.shape[2] * seen.y.shape[3] == 1:
                gives = "does not run in inference" if seen.y is None else f"gives {seen.y.shape}"
                raise ValueError(
                    f"Grad-CAM needs a layer that gives maps (N, C, H, W) of more than one place; {layer!r} {gives}. "
                    f"Choose one of {', '.join(layers_with_maps(model, x.shape))}, or a layer inside"
                )
            k = most_probable(scores) if numbers is None else numbers[start : start + AT_ONCE]
            try:
                model.backward(one_at_class(scores, k))
            except Arrived:
                alpha = seen.dy.mean(axis=(2, 3))
                parts.append(np.maximum(np.einsum("nc,nchw->nhw", alpha, seen.y), 0))
    return np.concatenate(parts)


def _last_with_maps(model: Model, input_shape: tuple[int, ...]) -> str:
    names = list(layers_with_maps(model, input_shape))
    if not names:
        raise ValueError(f"no layer of {model.architecture} gives maps of more than one place, which Grad-CAM needs")
    return names[-1]
