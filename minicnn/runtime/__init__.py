"""The machine: cores, threads, parallel loops, memory, compilation, replay. The mathematics knows nothing of it.

Kernels call what is in `parallel` and `memory`; whatever has to stand at module level is in `process`.
"""

from .workers import get_threads, set_threads

__all__ = ["get_threads", "set_threads"]
