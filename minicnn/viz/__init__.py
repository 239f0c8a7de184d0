"""Looking inside a network: what it looks for, what it sees, where its answer comes from, and which pictures are alike to it.

- ``filters``: the filters of a convolution as pictures.
- ``feature_maps``: what becomes of one picture, layer by layer.
- ``attribution`` (saliency, Grad-CAM) and ``occlusion``: which parts of a picture the score of a class depends on;
  ``heatmaps`` draws them over the picture.
- ``class_map``: a map of class probabilities from a network that is run over a larger picture.
- ``neighbours``, ``projection`` (PCA, t-SNE) and ``code_map``: which pictures have similar codes.
- ``mistakes``: the wrong answers of which the network was most certain.
- ``schedules``, ``learning_rate_range``, ``monitoring`` and ``initialization``: learning rates; layers before and in training.
- ``search``: trials of a search for hyperparameters.

Each ``..._figure`` function returns a `matplotlib.figure.Figure`; the others return the same numbers as arrays. Figures are
drawn in this package's own style, open no window and leave pyplot and its settings alone; ``figure.savefig("name.png")`` writes
one. ``hooks``, ``panels`` and ``style`` hold what several of these modules share.
"""

from ..models.predictions import confident_mistakes
from .attribution import grad_cam, saliency
from .class_map import class_map_figure
from .code_map import code_map_figure
from .feature_maps import feature_maps, feature_maps_figure
from .filters import filter_pictures, filters_figure
from .heatmaps import grad_cam_figure, heatmaps_figure, occlusion_figure, saliency_figure, upsample
from .initialization import initialization_figure
from .learning_rate_range import range_test_figure
from .mistakes import mistakes_figure
from .monitoring import monitoring_figure
from .neighbours import nearest_neighbours, neighbours_figure, share_of_same_class
from .occlusion import occlusion
from .projection import pca, tsne
from .schedules import schedules_figure
from .search import random_against_grid_figure, search_figure

__all__ = [
    "class_map_figure",
    "code_map_figure",
    "confident_mistakes",
    "feature_maps",
    "feature_maps_figure",
    "filter_pictures",
    "filters_figure",
    "grad_cam",
    "grad_cam_figure",
    "heatmaps_figure",
    "initialization_figure",
    "mistakes_figure",
    "monitoring_figure",
    "nearest_neighbours",
    "neighbours_figure",
    "occlusion",
    "occlusion_figure",
    "pca",
    "random_against_grid_figure",
    "range_test_figure",
    "saliency",
    "saliency_figure",
    "schedules_figure",
    "search_figure",
    "share_of_same_class",
    "tsne",
    "upsample",
]
