"""The advisor: measures pictures and a network, and says which way of transfer suits them, before anything is trained."""

from .advice import Advice
from .advise import advise

__all__ = ["Advice", "advise"]
