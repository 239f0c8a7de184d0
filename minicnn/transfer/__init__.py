"""Transfer learning step by step, as functions: codes, linear classifiers, surgery, fine-tuning, dense evaluation, advice.

`minicnn.transfer.experiment` puts the steps of the main job together; it is what ``minicnn transfer`` runs.
"""

from .advisor import advise
from .codes import codes_of, default_layer, extract_features
from .dense import fc_to_conv, without_padding
from .finetune import Phase, fine_tune, freeze_point, freeze_points, set_head, view_bank, with_new_head
from .learning_rates import discriminative_rates, set_learning_rates
from .linear import LinearSVM, SoftmaxRegression, calibrate, choose_regularisation
from .many_views import class_map, dense_probabilities, ten_crop_probabilities, ten_crops
from .measures import measure
from .one_sigmoid import to_one_sigmoid, with_small_head
from .transferability import h_score, leep, logme
from .two_phase import linear_probe_then_fine_tune

__all__ = [
    "LinearSVM",
    "Phase",
    "SoftmaxRegression",
    "advise",
    "calibrate",
    "choose_regularisation",
    "class_map",
    "codes_of",
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
    "set_head",
    "set_learning_rates",
    "ten_crop_probabilities",
    "ten_crops",
    "to_one_sigmoid",
    "view_bank",
    "with_new_head",
    "with_small_head",
    "without_padding",
]
