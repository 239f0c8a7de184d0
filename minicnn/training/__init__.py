"""Training a network: the loop, its record, and what to keep of it; and what to look at before, and meanwhile."""

from .history import History
from .learning_rate_range import RangeTest, range_test
from .monitors import LayerMonitor
from .sanity import SanityReport, sanity_check
from .trainer import Trainer

__all__ = ["History", "LayerMonitor", "RangeTest", "SanityReport", "Trainer", "range_test", "sanity_check"]
