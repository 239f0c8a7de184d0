"""How similar new pictures are, for the network, to those it was trained on; without a single one of those.

Two things in a network tell of its training pictures. Batch norm keeps each channel's mean and variance over them: on other
pictures the same channels have others. And a classifier that is right in 75 % of cases is about 75 % confident on average for
pictures of the kind it was trained on, and less for others.

The first is the more reliable one. Confidence fails with few classes: a network for CIFAR-10's ten is 76 % confident about
which of them a handwritten digit shows, and 93 % for its own pictures; with a thousand classes it is easier to see that none
fits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..layers.norm import BatchNorm
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

PICTURES = 32  # for the channels' statistics; more change the third digit
BATCH = 4  # pictures; the outputs of all batch norms for them are in memory at the same time


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
        """Whether the pictures count as similar; None if neither measure is reliable here."""
        if self.shift is not None:
            return self.shift <= SIMILAR_SHIFT
        if self.confidence is not None and self.usual and self.classes >= FEWEST_CLASSES:
            return self.confidence >= SIMILAR_CONFIDENCE * self.usual
        return None

    def sentences(self) -> list[str]:
        """A sentence for each measure."""
        sentences = []
        if self.shift is not None:
            verdict = "similar" if self.similar else "different"
            sentences.append(
                f"Batch norm remembers the old pictures: on these, the channels' statistics differ from the old ones by "
                f"{self.shift:.3f} nats in the median, which is {verdict} (up to {SIMILAR_SHIFT} is similar)."
            )
        if self.confidence is not None:
            usual = f"; of pictures of its own kind it is {100 * self.usual:.0f} % sure" if self.usual else ""
            sentences.append(f"The old classifier is {100 * self.confidence:.0f} % sure of its answers on average{usual}.")
        return sentences


def measure_similarity(model: Model, fitted: np.ndarray, probabilities: np.ndarray | None) -> Similarity:
    """Both measures, for pictures in random order.

    Parameters
    ----------
    model : Model
    fitted : uint8 (N, H, W, C)
        As ``PictureSet.fitted`` gives them; the first 32 are used for the channels' statistics.
    probabilities : (N, Z) or None
        Of the old classifier, for all of them.
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
        It runs in eval mode, and its mode is restored.
    pictures : uint8 (N, H, W, C), two or more
        As ``PictureSet.fitted`` gives them.

    Raises
    ------
    ValueError
        For fewer than two pictures.
    """
    training_only = tuple(f"{name}." for name, layer in model.layers.items() if layer.is_identity_in_inference)
    norms = {
        path: layer
        for path, layer in model.walk()
        if isinstance(layer, BatchNorm) and not path.startswith(training_only) and _has_scale(layer).any()
    }
    if not norms:
        return None
    if len(pictures) < 2:
        raise ValueError(f"how a channel varies takes two pictures or more, got {len(pictures)}")
    was_training = model.training
    model.eval()
    means: dict[str, list] = {path: [] for path in norms}  # of each picture and channel
    squares: dict[str, list] = {path: [] for path in norms}
    for first in range(0, len(pictures), BATCH):
        x = model.preprocessing.normalise(pictures[first : first + BATCH])
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
        # batch norm divided by sqrt(variance + eps), so that eps is missing in the variance of its output
        v = square - m * m + norm.eps / (norm.running_var + norm.eps)
        by_chance = m_i.var(0, ddof=1) / len(m_i)
        divergence = 0.5 * (v + np.maximum(m * m - by_chance, 0) - 1 - np.log(np.maximum(v, 1e-12)))
        divergences.append(divergence[_has_scale(norm)])
    return float(np.median(np.concatenate(divergences)))


def _normalised(norm: BatchNorm, y: np.ndarray) -> np.ndarray:
    """The normalised values before batch norm scaled and shifted them, for its output y (N, C, H W): (y - beta) / gamma."""
    gamma = np.where(_has_scale(norm), norm.gamma.value, 1)
    return (y.astype(np.float64) - norm.beta.value[:, None]) / gamma[:, None]


def _has_scale(norm: BatchNorm) -> np.ndarray:
    """The channels whose output depends on the input, bool (C,): with gamma = 0 the output is beta."""
    return np.abs(norm.gamma.value) > 1e-6


def usual_confidence(model: Model) -> float | None:
    """The mean confidence of the network on pictures of its own kind: as measured, else its accuracy, which is about the same.

    The two are equal for a calibrated network, and large networks are a little too confident
    (Guo et al. 2017, "On Calibration of Modern Neural Networks").
    """
    if model.architecture in USUAL_CONFIDENCE:
        return USUAL_CONFIDENCE[model.architecture]
    published = model.provenance.get("published_top1")
    return published / 100 if published else model.provenance.get("test_accuracy")
