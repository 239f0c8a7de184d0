"""Pictures: reading them, fitting them to a network's input, sets of them, splits and augmentation."""

from .augmentation import CELLS, PHOTOS, Augmentation
from .cells import solar_cells
from .folders import PictureSet, open_pictures
from .mnist import load_mnist, read_idx
from .pictures import read_picture
from .preprocessing import Preprocessing
from .splits import stratified_split

__all__ = [
    "CELLS",
    "PHOTOS",
    "Augmentation",
    "PictureSet",
    "Preprocessing",
    "load_mnist",
    "open_pictures",
    "read_idx",
    "read_picture",
    "solar_cells",
    "stratified_split",
]
