"""How much new pictures look, to the network, like those it was trained on; without a single one of those.

Two things that a network carries with it remember its training pictures. Batch norm keeps each channel's mean and variance over
them: on other pictures the same channels have others. And a classifier that is right in 75 % of cases is about 75 % sure on
average of what it knows, and less of what it does not know.

The first is the one to trust. Confidence fails with few classes: a network for CIFAR-10's ten is 76 % sure of which of them a
handwritten digit is, and 93 % of its own pictures; of a thousand classes it is easier to see that none fits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..layers import AuxiliaryHead, BatchNorm1d, BatchNorm2d
from ..models.model import Model

# Where "similar" ends. Shifts as lessons/laboratory/advisor.py measures them: with EfficientNet-Lite0, ImageNet's own pictures
# 0.01, ants and bees 0.02, CIFAR-10 enlarged 0.14, digits 0.26, solar cells 0.3; with ResNet-20 for CIFAR-10, its own pictures
# 0.01, ants and bees at that size 0.01, Fashion-MNIST 0.05, digits 0.07, solar cells 0.2.
SIMILAR_SHIFT = 0.035

# The same for confidence, as a share of the usual one: ants and bees have 0.9 of it, on both networks for ImageNet that were
# measured, and all that is different less than half.
SIMILAR_CONFIDENCE = 0.7
FEWEST_CLASSES = 100  # of the old classifier, for its confidence to say anything

# Mean highest probability on ImageNet pictures: the 250 of the development data, measured by lessons/laboratory/advisor.py.
USUAL_CONFIDENCE = {"efficientnet_lite0": 0.73, "squeezenet1_1": 0.62}

PICTURES = 32  # more change the third digit
AT_ONCE = 4  # what comes out of all batch norms is held at the same time


@dataclass(frozen=True)
class Similarity:
    """How the pictures compare with those of the pretraining.

    Attributes
    ----------
    shift : float or None
        See ``norm_shift``; None without batch norm.
    confidence : float or None
        Mean highest probability that the old classifier gives; None without a classifier.
    usual : float or None
        The same on pictures of its own kind, where that is known.
    classes : int
        Of the old classifier.
    """

    shift: float | None
    confidence: float | None = None
    usual: float | None = None
    classes: int = 0

    @property
    def similar(self) -> bool | None:
        """Whether the pictures count as similar; None where nothing that can be trusted says so."""
        if self.shift is not None:
            return self.shift <= SIMILAR_SHIFT
        if self.confidence is not None and self.usual and self.classes >= FEWEST_CLASSES:
            return self.confidence >= SIMILAR_CONFIDENCE * self.usual
        return None

    def words(self) -> list[str]:
        """A sentence for each measure."""
        said = []
        if self.shift is not None:
            verdict = "similar" if self.similar else "different"
            said.append(
                f"Batch norm remembers the old pictures: on these, the channels' statistics differ from the old ones by "
                f"{self.shift:.3f} nats in the median, which is {verdict} (up to {SIMILAR_SHIFT} is similar)."
            )
        if self.confidence is not None:
            usual = f"; of pictures of its own kind it is {100 * self.usual:.0f} % sure" if self.usual else ""
            said.append(f"The old classifier is {100 * self.confidence:.0f} % sure of its answers on average{usual}.")
        return said


def measure_similarity(model: Model, fitted: np.ndarray, probabilities: np.ndarray | None) -> Similarity:
    """All of it, of pictures in random order.

    Parameters
    ----------
    model : Model
    fitted : uint8 (N, H, W, C)
        As ``PictureSet.fitted`` gives them; the first 32 are enough for the channels' statistics.
    probabilities : (N, Z) or None
        The old classifier's, of all of them.
    """
    shift = norm_shift(model, fitted[:PICTURES])
    if probabilities is None:
        return Similarity(shift)
    return Similarity(shift, float(probabilities.max(1).mean()), usual_confidence(model), probabilities.shape[1])


def norm_shift(model: Model, pictures: np.ndarray) -> float | None:
    """How far the channels' statistics are from those that batch norm remembers; None for a network without batch norm.

    A channel is normalised to mean 0 and variance 1 on the training pictures. On others it has mean m and variance v, and

        KL = 1/2 (v + m^2 - 1 - log v)

    is the Kullback-Leibler divergence between two Gaussians with these moments, in nats. The median over all channels of all
    batch norms is returned: a few channels that never vary would rule the mean. m^2 is corrected for what chance adds, the
    variance of the pictures' own means divided by their number.

    That statistics in batch norm tell one collection of pictures from another: Li et al. 2016, "Revisiting Batch Normalization
    For Practical Domain Adaptation" (arXiv 1603.04779), section 3.1.

    Parameters
    ----------
    model : Model
        In whatever mode; eval mode is what counts.
    pictures : uint8 (N, H, W, C), two or more
        As ``PictureSet.fitted`` gives them.
    """
    aside = tuple(
        f"{name}." for name, layer in model.layers.items() if isinstance(layer, AuxiliaryHead)
    )  # runs in training only
    norms = {
        path: layer
        for path, layer in model.walk()
        if isinstance(layer, (BatchNorm1d, BatchNorm2d)) and not path.startswith(aside) and _has_scale(layer).any()
    }
    if not norms:
        return None
    if len(pictures) < 2:
        raise ValueError(f"how a channel varies takes two pictures or more, got {len(pictures)}")
    was_training = model.training
    model.eval()
    means: dict[str, list] = {path: [] for path in norms}  # of each picture and channel
    squares: dict[str, list] = {path: [] for path in norms}
    for first in range(0, len(pictures), AT_ONCE):
        x = model.preprocessing.normalise(pictures[first : first + AT_ONCE])
        for path, y in model.forward(x, norms).items():
            normalised = _normalised(norms[path], y.reshape(*y.shape[:2], -1))
            means[path].append(normalised.mean(2))
            squares[path].append((normalised * normalised).mean(2))
    if was_training:
        model.train()
    divergences = []
    for path, norm in norms.items():
        m_i, square = np.concatenate(means[path]), np.concatenate(squares[path]).mean(0)
        m = m_i.mean(0)
        # eps was part of the variance when batch norm divided by it, and is missing in what came out
        v = square - m * m + norm.eps / (norm.running_var + norm.eps)
        by_chance = m_i.var(0, ddof=1) / len(m_i)
        divergence = 0.5 * (v + np.maximum(m * m - by_chance, 0) - 1 - np.log(np.maximum(v, 1e-12)))
        divergences.append(divergence[_has_scale(norm)])
    return float(np.median(np.concatenate(divergences)))


def _normalised(norm: BatchNorm1d | BatchNorm2d, y: np.ndarray) -> np.ndarray:
    """What batch norm had before it scaled and moved, for y (N, C, places): (y - beta) / gamma."""
    gamma = np.where(_has_scale(norm), norm.gamma.value, 1)
    return (y.astype(np.float64) - norm.beta.value[:, None]) / gamma[:, None]


def _has_scale(norm: BatchNorm1d | BatchNorm2d) -> np.ndarray:
    """Channels (C,) that anything is left of: where gamma is 0, beta is all that comes out."""
    return np.abs(norm.gamma.value) > 1e-6


def usual_confidence(model: Model) -> float | None:
    """How sure the network is of pictures of its own kind: as measured, else its accuracy, which is about the same.

    That a network is as sure as it is often right is what calibration means, and large networks are a little too sure
    (Guo et al. 2017, "On Calibration of Modern Neural Networks").
    """
    if model.architecture in USUAL_CONFIDENCE:
        return USUAL_CONFIDENCE[model.architecture]
    published = model.provenance.get("published_top1")
    return published / 100 if published else model.provenance.get("test_accuracy")
