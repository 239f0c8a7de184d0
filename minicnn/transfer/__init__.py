"""Transfer learning step by step, as functions: codes, linear classifiers, surgery, fine-tuning, dense evaluation, advice.

`minicnn.experiment.experiment` puts the steps of the main job together; it is what ``minicnn transfer`` runs.
"""

from ..linear_model.calibration import calibrate
from ..linear_model.selection import choose_regularisation
from ..linear_model.softmax_regression import SoftmaxRegression
from ..linear_model.svm import LinearSVM
from .fc_to_conv import fc_to_conv, without_padding
from .feature_bank import build_feature_bank
from .features import extract_features, pool_features
from .finetune import Phase, fine_tune
from .learning_rates import discriminative_rates, set_learning_rates
from .metrics import measure
from .multi_crop import class_map, dense_probabilities, ten_crop_probabilities, ten_crops
from .sigmoid_head import to_one_sigmoid, with_small_head
from .surgery import default_layer, freeze_point, freeze_points, set_head, with_new_head
from .transferability import h_score, leep, logme
from .two_phase import linear_probe_then_fine_tune

__all__ = [
    "LinearSVM",
    "Phase",
    "SoftmaxRegression",
    "build_feature_bank",
    "calibrate",
    "choose_regularisation",
    "class_map",
    "default_layer",
    "dense_probabilities",
    "discriminative_rates",
    "extract_features",
    "fc_to_conv",
    "fine_tune",
    "freeze_point",
    "freeze_points",
    "h_score",
    "leep",
    "linear_probe_then_fine_tune",
    "logme",
    "measure",
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
