"""Transfer learning step by step, as functions: CNN codes, heads and freezing, fine-tuning, dense evaluation, transferability.

`minicnn.linear_model` has the classifiers that are trained on codes; `minicnn.experiment` puts the steps of the main job
together, which ``minicnn transfer`` runs; `minicnn.advisor` says beforehand which strategy should suit some pictures.
"""

from .fc_to_conv import fc_to_conv, without_padding
from .feature_bank import FeatureBank, build_feature_bank
from .features import extract_features, pool_features
from .finetune import Phase, fine_tune
from .learning_rates import discriminative_rates, set_learning_rates
from .metrics import classification_metrics
from .multi_crop import class_map, dense_probabilities, ten_crop_probabilities, ten_crops
from .novelty import fit_novelty
from .sigmoid_head import to_one_sigmoid, with_small_head
from .strategies import STRATEGIES
from .surgery import default_layer, freeze_point, freeze_points, set_head, with_new_head
from .transferability import h_score, leep, logme
from .two_phase import linear_probe_then_fine_tune

__all__ = [
    "STRATEGIES",
    "FeatureBank",
    "Phase",
    "build_feature_bank",
    "class_map",
    "classification_metrics",
    "default_layer",
    "dense_probabilities",
    "discriminative_rates",
    "extract_features",
    "fc_to_conv",
    "fine_tune",
    "fit_novelty",
    "freeze_point",
    "freeze_points",
    "h_score",
    "leep",
    "linear_probe_then_fine_tune",
    "logme",
    "pool_features",
    "set_head",
    "set_learning_rates",
    "ten_crop_probabilities",
    "ten_crops",
    "to_one_sigmoid",
    "with_new_head",
    "with_small_head",
    "without_padding",
]
