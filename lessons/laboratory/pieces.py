"""Work in pieces: each finished piece is kept on disk, and as many run at a time as there are cores.

Small networks gain little from a second thread within a layer, so that two trainings side by side, on one thread each, are done
sooner than one after the other on two. A run that was cut off goes on where it was: a piece that is on disk is not computed
again. To have it computed again, delete its file, or ``laboratory`` in the cache folder.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import multiprocessing.connection
import os
import threading
import time
from collections.abc import Callable, Hashable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field, is_dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from threadpoolctl import threadpool_limits

from minicnn.cache import cache_folder, write_atomically
from minicnn.runtime.workers import get_threads, set_threads


def digest_of(modules: Iterable[ModuleType]) -> str:
    """8 digits that change with these modules' code: as an argument, they keep a piece from being used after such a change."""
    return hashlib.sha256(b"".join(Path(module.__file__).read_bytes() for module in modules)).hexdigest()[:8]


@dataclass(frozen=True)
class Piece:
    """A call of a function, whose result is a dictionary that JSON can hold.

    Attributes
    ----------
    title : str
        What to call it while it is at work.
    compute : function
        At the top level of a module, so that another process can find it.
    arguments : dict
        Its keyword arguments: numbers, texts, tuples of them, dataclasses of them. They are the whole recipe, and the key under
        which the result is kept.
    """

    title: str
    compute: Callable[..., dict]
    arguments: dict[str, Any]

    @property
    def path(self) -> Path:
        """Where the result is kept."""
        recipe = {"function": self.compute.__qualname__} | self.arguments
        digest = hashlib.sha256(json.dumps(recipe, sort_keys=True, default=_as_json).encode()).hexdigest()
        return cache_folder() / "laboratory" / f"{self.compute.__qualname__}-{digest[:24]}.json"

    def finished(self) -> dict | None:
        """The result, where it is kept already."""
        try:
            return json.loads(self.path.read_text(encoding="utf-8"))["result"]
        except (OSError, ValueError, KeyError):  # not there, or damaged
            return None

    def run(self) -> dict:
        """Compute the result and keep it. Its ``"piece_seconds"`` say how long that took."""
        started = time.perf_counter()
        result = self.compute(**self.arguments)
        result = json.loads(json.dumps(result)) | {"piece_seconds": round(time.perf_counter() - started, 2)}
        kept = {"title": self.title, "recipe": json.loads(json.dumps(self.arguments, default=_as_json)), "result": result}
        with write_atomically(self.path) as temporary:
            temporary.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
        return result


def piece(title: str, compute: Callable[..., dict], **arguments: Any) -> Piece:
    """The call ``compute(**arguments)`` as a piece of work."""
    return Piece(title, compute, arguments)


@dataclass
class Workshop:
    """Runs pieces and counts what they took.

    Attributes
    ----------
    workers : int
        Processes that work at the same time, one thread each; 1: this process alone, with all its threads.
    seconds : float
        Of all pieces that were asked for, also those that an earlier run has left: what they took on one core.
    found, computed : int
        How many pieces were there, and how many had to be computed.
    """

    workers: int = field(default_factory=get_threads)
    seconds: float = 0.0
    found: int = 0
    computed: int = 0

    def run(self, pieces: Iterable[Piece], show: Callable[[dict], str] = lambda result: "") -> list[dict]:
        """The results of all pieces, in their order; a line is printed for each one that had to be computed."""
        pieces = list(pieces)
        results: list[dict | None] = [piece.finished() for piece in pieces]
        missing = [number for number, result in enumerate(results) if result is None]
        self.found += len(pieces) - len(missing)
        for done, (number, result) in enumerate(self._computed(pieces, missing), 1):
            results[number] = result
            self.computed += 1
            line = f"{pieces[number].title}: {show(result)}".rstrip(": ")
            print(f"[{done}/{len(missing)}] {line}  ({result['piece_seconds']:.0f} s)", flush=True)
        self.seconds += sum(result["piece_seconds"] for result in results)
        return results

    def run_lists(
        self, work: dict[Hashable, list[Piece]], show: Callable[[dict], str] = lambda result: ""
    ) -> dict[Hashable, list[dict]]:
        """The results of pieces that are in lists in a dictionary, in the same form."""
        results = iter(self.run([piece for pieces in work.values() for piece in pieces], show))
        return {key: [next(results) for _ in pieces] for key, pieces in work.items()}

    def _computed(self, pieces: list[Piece], missing: list[int]) -> Iterator[tuple[int, dict]]:
        """(number, result) of each missing piece, as they are finished."""
        workers = min(self.workers, len(missing))
        if workers <= 1:
            yield from ((number, pieces[number].run()) for number in missing)
            return
        # new processes rather than forked ones: a fork in the middle of other threads' work inherits their locks
        processes = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _begin_worker)
        try:
            waiting = {processes.submit(pieces[number].run): number for number in missing}
            for future in as_completed(waiting):
                yield waiting[future], future.result()
        finally:
            processes.shutdown(cancel_futures=True)

    def describe(self) -> str:
        """For the page: how long the pieces took, and how they were run."""
        were = "was" if self.found == 1 else "were"
        share = f" {self.found} of the {self.found + self.computed} {were} there from an earlier run." if self.found else ""
        return (
            f"{self.found + self.computed} trainings and classifiers, {self.seconds / 60:.0f} minutes of one core in all, "
            f"up to {self.workers} at a time with one thread each.{share}"
        )


def _begin_worker() -> None:
    """One thread for this process; and it ends when the one that started it is gone: killed, that one tells nobody to stop.

    SciPy has a BLAS of its own, which is to be loaded before it can be told: two processes with as many BLAS threads each as
    there are cores would mostly wait for each other.
    """
    set_threads(1)
    import scipy.linalg  # noqa: F401

    threadpool_limits(1, "blas")
    parent = multiprocessing.parent_process().sentinel

    def watch() -> None:
        multiprocessing.connection.wait([parent])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _as_json(value: Any) -> Any:
    if is_dataclass(value):
        return asdict(value)
    raise TypeError(f"a recipe is made of numbers, texts and dataclasses of them, got {type(value).__name__}")
