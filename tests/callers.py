"""Threads of the user's, all calling at the same time."""

import threading
from collections.abc import Callable


def call_from_threads(caller: Callable[[int], object], count: int = 4) -> None:
    """``caller(k)`` for k < count, each in a thread of its own, until all have come to their end."""
    threads = [threading.Thread(target=caller, args=(k,)) for k in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert not any(thread.is_alive() for thread in threads)
