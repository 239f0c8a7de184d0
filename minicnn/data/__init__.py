"""Pictures: reading them, fitting them to a network's input, collections of them, splits and augmentation.

- ``pictures`` decodes a file, an array or a Pillow image to 8-bit RGB; ``preprocessing`` makes a network's input of it.
- ``picture_set`` is a labelled collection of pictures; ``folders`` opens a folder or a zip archive as one (``trees`` reads what
  is in it, ``layout`` decides what its folders are, ``names`` and ``pixel_range`` how names and 16-bit pixels are understood),
  ``cells`` the solar cells of the ELPV data set; ``mnist`` reads idx files. ``findings`` shows what was found.
- ``splits`` divides a collection into training, validation and test pictures.
- ``augmentation`` varies training pictures as ``minicnn transfer`` does; ``crops``, ``flips``, ``pca_jitter`` and ``cutout``
  are others, which ``compose`` joins. ``mixing`` mixes prepared pictures. ``per_sample`` draws each picture's random numbers.
"""

from .augmentation import CELLS, PHOTOS, Augmentation
from .cells import solar_cells
from .compose import Compose
from .crops import RandomCrop, RandomResizedCrop
from .cutout import Cutout
from .findings import findings_table
from .flips import AlternatingFlip
from .folders import PictureSet, open_pictures
from .mixing import Mixup
from .mnist import load_mnist, read_idx
from .pca_jitter import PCAJitter
from .per_sample import PerSampleGenerator
from .pictures import read_picture
from .preprocessing import Preprocessing
from .splits import stratified_split

__all__ = [
    "CELLS",
    "PHOTOS",
    "AlternatingFlip",
    "Augmentation",
    "Compose",
    "Cutout",
    "Mixup",
    "PCAJitter",
    "PerSampleGenerator",
    "PictureSet",
    "Preprocessing",
    "RandomCrop",
    "RandomResizedCrop",
    "findings_table",
    "load_mnist",
    "open_pictures",
    "read_idx",
    "read_picture",
    "solar_cells",
    "stratified_split",
]
