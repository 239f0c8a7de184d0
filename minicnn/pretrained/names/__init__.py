"""What other projects call the layers of networks that are also ours, and how they lay out their arrays.

Each source of weights has a module: ``torchvision`` (with the PyTorch projects whose names are alike), ``timm``, ``tonylins``,
``keras``, ``keras_old``, ``caffe``.
It says three things: which of their layers is which of ours (a table for each family of networks), which of their arrays make
one of ours (a ``Recipe``), and what in a network of ours must be otherwise for the numbers to come out the same. How
a source prepares pictures stands with the architecture, in its `minicnn.models.published.Family`.
"""

from .base import Recipe, Source, family_of
from .caffe import CAFFE
from .keras import KERAS
from .keras_old import KERAS_OLD
from .timm import TIMM
from .tonylins import TONYLINS
from .torchvision import TORCHVISION

SOURCES: dict[str, Source] = {source.name: source for source in (TORCHVISION, TIMM, TONYLINS, KERAS, KERAS_OLD, CAFFE)}

__all__ = ["CAFFE", "KERAS", "KERAS_OLD", "SOURCES", "TIMM", "TONYLINS", "TORCHVISION", "Recipe", "Source", "family_of"]
