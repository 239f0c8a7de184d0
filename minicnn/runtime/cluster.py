"""Work on a cluster of machines: `dask.distributed` gives out the tasks, and repeats those of a lost worker.

The scheduler and the workers are started by hand (``dask scheduler``, and on each machine ``dask worker ADDRESS``), by a batch
system, or by ``distributed.LocalCluster``. All of them need the same version of minicnn; the package is the extra ``cluster``.

Rocklin 2015, "Dask: Parallel Computation with Blocked algorithms and Task Scheduling".
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distributed import Client, Future

REPEATS = 3  # of a task whose worker died: as many as distributed makes, unless its configuration says otherwise
TIMEOUT = 5  # seconds for a scheduler to answer

Task = tuple[Any, tuple]  # a key, and a function's arguments
Results = Generator[tuple[Any, Any], None, None]  # keys, and what the function returned


class WorkerDied(Exception):
    """A task was given up because the process that ran it died each time."""

    def __init__(self, times: int):
        super().__init__(f"the process that ran it died {times} times (was there too little memory?)")


class Cluster:
    """A block within which tasks run on a cluster.

    Parameters
    ----------
    address : str or distributed.Client
        Of the scheduler, such as ``"tcp://192.168.0.7:8786"``; or a client that is connected to it, which stays open.

    Raises
    ------
    ValueError
        If the package is not installed.
    ConnectionError
        If no scheduler answers there, the cluster goes away, or a task cannot run there (because a module is missing, say).

    >>> with Cluster("tcp://192.168.0.7:8786") as cluster:                    # doctest: +SKIP
    ...     results = dict(cluster.completed(pow, ((i, (i, 2)) for i in range(100))))
    """

    def __init__(self, address: str | Client):
        try:
            import distributed
        except ImportError as error:
            raise ValueError('work on a cluster needs the package distributed: pip install "minicnn[cluster]"') from error
        self.address = address
        self.is_ours = not isinstance(address, distributed.Client)

    def __enter__(self) -> Cluster:
        if not self.is_ours:
            self.client = self.address
        else:
            from distributed import Client
            from distributed.comm import resolve_address

            try:
                resolve_address(self.address)  # a client that was given nonsense would complain once more when it is deleted
                self.client = Client(self.address, timeout=TIMEOUT, set_as_default=False)
            except Exception as error:  # each way of being wrong has an exception of its own
                raise ConnectionError(
                    f"no scheduler of a cluster answers at {self.address} ({str(error) or type(error).__name__}); `dask "
                    "scheduler` starts one, and prints its address, such as tcp://192.168.0.7:8786"
                ) from error
        if not self.client.nthreads():
            warnings.warn(
                f"the cluster at {self.client.scheduler.address} has no workers yet; waiting for the first", stacklevel=3
            )
        return self

    def __exit__(self, *error: object) -> None:
        if self.is_ours:
            self.client.close()

    def shared(self, data: bytes) -> Future:
        """What stands for these bytes among a task's arguments; each worker gets them once."""
        return self._submit(bytes, data)

    def completed(self, function: Callable, tasks: Iterable[Task]) -> Results:
        """Keys and results, as they come; `WorkerDied` as the result of a task whose worker died each time.

        No more tasks are taken from ``tasks`` and sent than keep the workers busy. The function returns what goes wrong, if it
        is to be known here: an exception of its own ends the work.
        """
        from distributed import as_completed

        tasks, keys, coming = iter(tasks), {}, as_completed(loop=self.client.loop)
        try:
            while True:
                for key, arguments in _first(tasks, self._wanted() - len(keys)):
                    future = self._submit(function, *arguments)
                    keys[future] = key
                    coming.add(future)
                if not keys:
                    return
                future = next(coming)
                yield keys.pop(future), self._result(future)
        finally:
            self.client.cancel(list(keys))

    def _wanted(self) -> int:
        """How many tasks should be under way: two for each thread of a worker, so that none has to wait for the next."""
        return 2 * max(sum(self.client.nthreads().values()), 1)

    def _submit(self, function: Callable, *arguments: Any) -> Future:
        """Never an old result: equal tasks are tasks of their own."""
        import dask

        with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 GiB"}):  # pictures and weights are large
            return self.client.submit(function, *arguments, pure=False)

    def _result(self, future: Future) -> Any:
        from distributed import CancelledError, KilledWorker
        from distributed.comm import CommClosedError

        where = self.client.scheduler.address
        try:
            return future.result()
        except KilledWorker as error:
            return WorkerDied(error.allowed_failures + 1)
        except (CancelledError, CommClosedError) as error:
            raise ConnectionError(f"the cluster at {where} is gone; what was finished before is kept") from error
        except Exception as error:
            raise ConnectionError(
                f"the cluster at {where} cannot do its task: {error.__cause__ or error}. Scheduler and workers need the "
                "version of minicnn that is here, and all other modules of the task"
            ) from error


def _first(tasks: Iterator[Task], n: int) -> Iterator[Task]:
    """The next n tasks at most."""
    return (task for _, task in zip(range(n), tasks, strict=False))
