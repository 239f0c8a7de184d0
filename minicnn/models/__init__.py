"""Networks, one family a file, each reading like its paper's table."""

from .efficientnet import efficientnet_lite0
from .lenet import lenet5
from .model import Model

__all__ = ["Model", "efficientnet_lite0", "lenet5"]
