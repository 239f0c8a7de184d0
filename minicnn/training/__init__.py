"""Training a network: the loop, its record, and what to keep of it."""

from .history import History
from .trainer import Trainer

__all__ = ["History", "Trainer"]
