"""Attribution by gradients: which parts of a picture the score of a class depends on.

`saliency` is the gradient of the score with respect to the pixels; `grad_cam` weights the feature maps of a layer by the
gradient with respect to them.
"""

from __future__ import annotations

import numpy as np

from ..kernels.pool import global_avg_pool_forward
from ..models import Model
from .hooks import (
    Classes,
    GradientReached,
    capture,
    class_indices,
    class_score_gradient,
    find_layer,
    input_gradient_mode,
    layers_with_maps,
    most_probable,
)

BATCH_SIZE = 4  # pictures; a backward pass keeps all feature maps of each of them in memory


def saliency(model: Model, x: np.ndarray, classes: Classes = None) -> np.ndarray:
    """How much the score of a class changes with each pixel: S[n, i, j] = max over c of |d score_k / d x[n, c, i, j]|.

    The score s_k is the one before the softmax. The probability would also rise when the scores of other classes fall.

    Parameters
    ----------
    model : Model
        In any mode, with any layers frozen; all of that is afterwards as it was.
    x : float32 or float64 (N, C, H, W)
        As ``model.preprocess`` gives it. The derivative is with respect to these numbers, not to the pixels from 0 to 255.
    classes : int, str, one of these for each picture, or None
        The class k above, by index or by name. None: for each picture its most probable class.

    Returns
    -------
    (N, H, W) of x's dtype, at least 0

    Raises
    ------
    ValueError
        For a class that the model does not have, or another number of classes than pictures.

    Simonyan, Vedaldi, Zisserman 2014, "Deep Inside Convolutional Networks" (arXiv 1312.6034), section 3.

    >>> from minicnn.layers import Flatten, Linear
    >>> model = Model({"flatten": Flatten(), "scores": Linear(4, 2)}, architecture="tiny", input_shape=(1, 2, 2))
    >>> model.classifier.w.value[1] = [0, 1, -2, 3]
    >>> saliency(model, np.ones((1, 1, 2, 2), np.float32), classes=1)
    array([[[0., 1.],
            [2., 3.]]], dtype=float32)
    """
    indices, maps = class_indices(model, x, classes), []
    with input_gradient_mode(model):
        for start in range(0, len(x), BATCH_SIZE):
            scores = model.forward(x[start : start + BATCH_SIZE])
            k = most_probable(scores) if indices is None else indices[start : start + BATCH_SIZE]
            dx = model.backward(class_score_gradient(scores, k))
            maps.append(np.abs(dx).max(axis=1))
    return np.concatenate(maps)


def grad_cam(model: Model, x: np.ndarray, classes: Classes = None, layer: str | None = None) -> np.ndarray:
    """Which positions in a layer's feature maps A raise the score of a class: ReLU(sum over c of alpha_c A_c), where

    alpha_c = mean over i, j of d score_k / d A[c, i, j]

    Where global average pooling and a linear layer follow, alpha_c = w[k, c] / (H W), and this is the class activation map of
    Zhou et al. 2016 (arXiv 1512.04150) apart from the factor 1 / (H W) and the ReLU. Grad-CAM works with any layers above.

    Parameters
    ----------
    model, x, classes : see `saliency`
    layer : str, optional
        The path, as ``model.walk()`` gives it, of a layer whose output is feature maps. By default the last top-level layer
        with maps of more than one pixel: the most specific features that still have a position.

    Returns
    -------
    (N, h, w) of x's dtype, at least 0; h x w is the size of the layer's maps. `minicnn.viz.upsample` enlarges them.

    Selvaraju et al. 2017, "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization"
    (arXiv 1610.02391), equations 1 and 2.

    Raises
    ------
    ValueError
        For a layer that does not exist or whose output is not feature maps, for a network without feature maps, and for
        classes as in `saliency`.
    """
    indices, maps = class_indices(model, x, classes), []
    layer = layer or _last_with_maps(model, x.shape)
    with input_gradient_mode(model), capture(find_layer(model, layer)) as captured:
        for start in range(0, len(x), BATCH_SIZE):
            scores = model.forward(x[start : start + BATCH_SIZE])
            A = captured.y
            if A is None or A.ndim != 4 or A.shape[2] * A.shape[3] == 1:
                gives = "does not run in inference" if A is None else f"gives {A.shape}"
                raise ValueError(
                    f"Grad-CAM needs a layer that gives feature maps (N, C, H, W) of more than one pixel; {layer!r} {gives}. "
                    f"Choose one of {', '.join(layers_with_maps(model, x.shape))}, or a layer inside one of them"
                )
            k = most_probable(scores) if indices is None else indices[start : start + BATCH_SIZE]
            try:
                model.backward(class_score_gradient(scores, k))
            except GradientReached:
                alpha = global_avg_pool_forward(captured.dy)
                maps.append(np.maximum(np.einsum("nc,nchw->nhw", alpha, A), 0))
    return np.concatenate(maps)


def _last_with_maps(model: Model, input_shape: tuple[int, ...]) -> str:
    names = list(layers_with_maps(model, input_shape))
    if not names:
        raise ValueError(f"no layer of {model.architecture} gives feature maps of more than one pixel, which Grad-CAM needs")
    return names[-1]
