"""The advisor: measures pictures and a network, and says which way of transfer suits them, before anything is trained.

Of several networks, it also says which one.
"""

from .advice import Advice
from .advise import advise
from .networks import Comparison, compare_networks

__all__ = ["Advice", "Comparison", "advise", "compare_networks"]
