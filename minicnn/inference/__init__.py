"""Networks that only answer: fused layers, loops replayed without Python between them, many pictures at a time."""

from .batches import infer, run_in_groups
from .fusion import fuse

__all__ = ["fuse", "infer", "run_in_groups"]
