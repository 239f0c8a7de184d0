"""Pictures: reading them, fitting them to a network's input, collections of them, splits and augmentation.

- ``pictures`` decodes a file, an array or a Pillow image to 8-bit RGB; ``preprocessing`` makes a network's input of it.
- ``picture_set`` is a labelled collection of pictures; ``folders`` opens a folder or a zip archive as one (``trees`` reads what
  is in it, ``layout`` decides what its folders are, ``names`` and ``pixel_range`` how names and 16-bit pixels are understood),
  ``cells`` the solar cells of the ELPV data set. ``findings`` shows what was found. ``streaming`` decodes pictures as they are
  asked for, where all of them would be too many.
- ``mnist`` has MNIST and Fashion-MNIST, ``cifar10`` CIFAR-10 (``cifar10_batches`` its official files, ``cifar10_jpeg`` JPEGs);
  ``data_sets`` says where they look.
- ``splits`` divides a collection into training, validation and test pictures.
- ``augmentation`` varies training pictures as ``minicnn transfer`` does; ``crops``, ``flips``, ``pca_jitter`` and ``cutout``
  are others, which ``compose`` joins. ``mixing`` mixes prepared pictures. ``per_sample`` draws each picture's random numbers.
- ``whitening`` is preprocessing that is fitted to the training set: zero mean, unit variance, principal components, whitening.
"""

from .augmentation import CELLS, PHOTOS, Augmentation
from .cells import solar_cells
from .cifar10 import CIFAR10_CLASSES, find_cifar10, load_cifar10
from .compose import Compose
from .crops import RandomCrop, RandomResizedCrop
from .cutout import Cutout
from .findings import findings_table
from .flips import AlternatingFlip
from .folders import PictureSet, open_pictures
from .mixing import Mixup
from .mnist import FASHION_MNIST_CLASSES, MNIST_CLASSES, load_fashion_mnist, load_mnist, read_idx
from .pca_jitter import PCAJitter
from .per_sample import PerSampleGenerator
from .pictures import read_picture
from .preprocessing import Preprocessing
from .splits import stratified_split
from .streaming import PictureStream
from .whitening import PCA, ZCA, Standardization

__all__ = [
    "CELLS",
    "CIFAR10_CLASSES",
    "FASHION_MNIST_CLASSES",
    "MNIST_CLASSES",
    "PCA",
    "PHOTOS",
    "ZCA",
    "AlternatingFlip",
    "Augmentation",
    "Compose",
    "Cutout",
    "Mixup",
    "PCAJitter",
    "PerSampleGenerator",
    "PictureSet",
    "PictureStream",
    "Preprocessing",
    "RandomCrop",
    "RandomResizedCrop",
    "Standardization",
    "find_cifar10",
    "findings_table",
    "load_cifar10",
    "load_fashion_mnist",
    "load_mnist",
    "open_pictures",
    "read_idx",
    "read_picture",
    "solar_cells",
    "stratified_split",
]
