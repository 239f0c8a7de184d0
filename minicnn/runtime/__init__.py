"""The machine: cores, threads, parallel loops, memory, compilation, replay. The mathematics knows nothing of it.

`parallel` has what kernels call; `process` all that is kept at module level.
"""

from .workers import get_threads, set_threads

__all__ = ["get_threads", "set_threads"]
