"""Where trials run: in this process, or in several side by side. (On a cluster: `minicnn.runtime.cluster`.)

Each way of working is a block that calls a function on one task after the other, and yields results as they come:

    with Processes(4) as workers:
        for key, result in workers.completed(function, tasks):

where tasks are pairs of a key and the function's arguments. If the process died that ran a task, the result is a `WorkerDied`.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import pickle
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection, wait
from typing import Any

from ..errors import TrainingError
from ..runtime.cluster import REPEATS, Results, Task, WorkerDied


class ThisProcess:
    """One task after the other, here."""

    def __enter__(self) -> ThisProcess:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def completed(self, function: Callable, tasks: Iterable[Task]) -> Results:
        """Keys and results, in order."""
        for key, arguments in tasks:
            yield key, function(*arguments)


class Processes:
    """n tasks at a time, each in a process of its own; each process does one task after the other.

    Processes are started when they are first needed, anew and not as forks, so that they share nothing with this one. One that
    dies (killed because the memory is full, say) is replaced, and its task repeated, up to three times.

    Parameters
    ----------
    n : int

    Raises
    ------
    ValueError
        If a task cannot be sent to another process, or not be understood there: functions must be defined in a module.
    TrainingError
        If no process can be started.
    """

    def __init__(self, n: int):
        self.n = n

    def __enter__(self) -> Processes:
        self.idle: list[_Process] = []
        self.busy: dict[Connection, tuple[_Process, Any, bytes]] = {}
        return self

    def __exit__(self, *error: object) -> None:
        processes = self.idle + [process for process, _, _ in self.busy.values()]
        for process in processes:
            process.stop()

    def completed(self, function: Callable, tasks: Iterable[Task]) -> Results:
        """Keys and results, as they come."""
        waiting, tasks, deaths = deque(), iter(tasks), {}
        while True:
            while len(self.busy) < self.n and (task := waiting.popleft() if waiting else _next(function, tasks)):
                self._begin(*task)
            if not self.busy:
                return
            for connection in wait(list(self.busy)):
                process, key, message = self.busy.pop(connection)
                try:
                    result = process.answer()
                except (EOFError, OSError):
                    process.stop()
                    deaths[key] = deaths.get(key, 0) + 1
                    if deaths[key] <= REPEATS:
                        waiting.append((key, message))
                    else:
                        yield key, WorkerDied(deaths[key])
                else:
                    self.idle.append(process)
                    yield key, result

    def _begin(self, key: Any, message: bytes) -> None:
        process = self.idle.pop() if self.idle else _Process()
        process.send(message)
        self.busy[process.connection] = process, key, message


def _next(function: Callable, tasks: Iterator[Task]) -> tuple[Any, bytes] | None:
    """The key of the next task, and the message that tells a process what to do; None after the last."""
    for key, arguments in tasks:
        try:
            return key, pickle.dumps((function, arguments))
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise ValueError(
                f"this cannot be sent to another process: {error}. Define the objective at the top level of a module, as a "
                "function or a class; a lambda or a function within another cannot be imported there"
            ) from error
    return None


class _Process:
    """A process that does one task after the other, seen from here."""

    def __init__(self) -> None:
        spawn = multiprocessing.get_context("spawn")
        self.connection, there = spawn.Pipe()
        self.process = spawn.Process(target=_work, args=(there,), daemon=True)
        self.process.start()
        there.close()  # of this end there is only the process's own now: when the process dies, we read an end of file
        self.has_answered = False

    def send(self, message: bytes) -> None:
        """Begin a task. If the process is dead, `answer` will say so."""
        with contextlib.suppress(OSError):
            self.connection.send_bytes(message)

    def answer(self) -> Any:
        """The task's result; EOFError or another OSError if the process has died."""
        try:
            if not self.has_answered:
                self.connection.recv()  # that it is there
                self.has_answered = True
            failure, result = self.connection.recv()
        except (EOFError, OSError) as error:
            if self.has_answered:
                raise
            self.process.join()
            raise TrainingError(
                f"a new process cannot be started, it ended at once with exit code {self.process.exitcode}. A script that uses "
                'several processes does its work below `if __name__ == "__main__":`, because each of them imports the script'
            ) from error
        if failure:
            raise ValueError(
                f"another process cannot import the objective: {failure}. Define it in a module, in a file that can be "
                "imported from where this program was started"
            )
        return result

    def stop(self) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()


def _work(connection: Connection) -> None:
    """What a process does until nobody sends it tasks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever gives out the tasks
    try:
        connection.send("ready")
        while True:
            message = connection.recv_bytes()
            try:
                function, arguments = pickle.loads(message)
            except Exception as error:
                connection.send((f"{type(error).__name__}: {error}", None))
            else:
                connection.send((None, function(*arguments)))
    except (EOFError, OSError):
        pass
