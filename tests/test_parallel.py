"""One pool of threads: who runs what, what is restored afterwards, and what happens when something goes wrong."""

import os
import sys
import threading
import time

import numpy as np
import pytest
from callers import call_from_threads
from threadpoolctl import threadpool_limits

from minicnn.runtime import worker
from minicnn.runtime.blas import Blas, loaded_blas
from minicnn.runtime.cores import usable_cores
from minicnn.runtime.memory import workspace
from minicnn.runtime.parallel import current, gathering, loop_threads, parallel_each, parallel_for, serial
from minicnn.runtime.process import process
from minicnn.runtime.workers import get_threads, set_threads


@pytest.fixture(autouse=True)
def two_threads():
    before = get_threads()
    set_threads(2)
    yield
    set_threads(before)


def blas_threads():
    """Of the libraries that were there when minicnn first looked: NumPy's among them, not what a later import brings along."""
    blas = loaded_blas()
    return [library.get_num_threads() for library in blas.per_process + blas.per_thread]


@pytest.mark.parametrize("n", [0, 1, 2, 3, 7, 100])
@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_tasks_are_contiguous_and_make_up_the_whole_range(n, count):
    set_threads(count)
    tasks = []
    parallel_for(n, lambda start, stop: tasks.append((start, stop)))
    assert sorted(i for start, stop in tasks for i in range(start, stop)) == list(range(n))
    assert len(tasks) == min(n, count)


def test_tasks_run_at_the_same_time_in_different_threads():
    meeting, seen = threading.Barrier(2, timeout=20), set()

    def body(start, stop):
        meeting.wait()  # would time out if one task came after the other
        seen.add(threading.get_ident())

    parallel_for(2, body)
    assert len(seen) == 2 and threading.get_ident() in seen


def test_gathered_loops_run_when_the_last_has_been_gathered():
    """The first task of each in one thread, the second of each in the other; a loop that is not deferrable runs at once."""
    ran = []

    def loop(name):
        return lambda start, stop: ran.append((name, start, stop, threading.get_ident()))

    with gathering():
        parallel_for(4, loop("a"), deferrable=True)
        parallel_for(1, loop("b"), deferrable=True)
        parallel_for(5, loop("c"), deferrable=True)
        assert not ran
        parallel_for(2, loop("not deferrable"))
        assert {name for name, *_ in ran} == {"not deferrable"}
    mine = [task[:3] for task in ran[2:] if task[3] == threading.get_ident()]
    others = [task[:3] for task in ran[2:] if task[3] != threading.get_ident()]
    assert mine == [("a", 0, 2), ("b", 0, 1), ("c", 0, 2)] and others == [("a", 2, 4), ("c", 2, 5)]
    ran.clear()
    parallel_for(2, loop("afterwards"), deferrable=True)
    assert len(ran) == 2


def test_after_an_exception_nothing_stays_gathered():
    def forbidden(start, stop):
        raise AssertionError("its caller failed")

    with pytest.raises(KeyError), gathering():
        parallel_for(4, forbidden, deferrable=True)
        raise KeyError
    with gathering():
        pass
    with pytest.raises(ZeroDivisionError), gathering():
        parallel_for(4, lambda start, stop: 1 / 0, deferrable=True)
    assert not current().defers_loops


def test_in_a_serial_block_nothing_is_gathered():
    ran = []
    with gathering(), serial():
        parallel_for(4, lambda start, stop: ran.append((start, stop)), deferrable=True)
        assert ran == [(0, 4)]
    assert ran == [(0, 4)]


def test_within_a_task_gathered_loops_run_where_they_are():
    done = []

    def body(start, stop):
        with gathering():
            parallel_for(3, lambda first, end: done.append((first, end)), deferrable=True)
        assert (0, 3) in done

    parallel_for(2, body)
    assert done == [(0, 3), (0, 3)]


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("n", [0, 1, 2, 7])
def test_each_item_is_taken_once(count, n):
    set_threads(count)
    taken = []
    parallel_each(range(10, 10 + n), taken.append)
    assert sorted(taken) == list(range(10, 10 + n))


def test_whoever_is_free_takes_the_next_item():
    """One thread is held up by the first item; the other does all the rest meanwhile."""
    rest_is_done, taken = threading.Event(), {}

    def body(i):
        if i == 0:
            assert rest_is_done.wait(20)
        taken[i] = threading.get_ident()
        if len(taken) == 7:
            rest_is_done.set()

    parallel_each(range(8), body)
    assert sorted(taken) == list(range(8))
    assert taken[0] not in {ident for i, ident in taken.items() if i}


def test_items_within_a_task_are_taken_where_they_are():
    taken = []
    parallel_for(2, lambda start, stop: parallel_each(range(3), lambda i: taken.append((i, start))))
    assert sorted(taken) == [(i, start) for i in range(3) for start in range(2)]


def test_an_exception_in_one_item_reaches_the_caller_when_the_other_thread_has_done_the_rest():
    taken = []

    def body(i):
        if i == 0:
            raise ZeroDivisionError
        taken.append(i)

    with pytest.raises(ZeroDivisionError):
        parallel_each(range(5), body)
    assert sorted(taken) == [1, 2, 3, 4]


def test_with_a_single_thread_what_comes_after_an_exception_is_dropped():
    set_threads(1)
    taken = []

    def body(i):
        taken.append(i)
        1 / (i - 1)

    with pytest.raises(ZeroDivisionError):
        parallel_each(range(5), body)
    assert taken == [0, 1]


def test_a_loop_within_a_task_runs_where_it_is():
    seen = []

    def inner(start, stop):
        seen.append((threading.get_ident(), start, stop))

    def outer(start, stop):
        assert loop_threads() == 1
        parallel_for(10, inner)
        seen.append(threading.get_ident())

    parallel_for(2, outer)
    inner_calls = [call for call in seen if isinstance(call, tuple)]
    assert {ident for ident, _, _ in inner_calls} == {ident for ident in seen if isinstance(ident, int)}
    assert [call[1:] for call in inner_calls] == [(0, 10)] * 2
    assert loop_threads() == 2


@pytest.mark.parametrize("where", [0, 1])
def test_an_exception_in_any_task_reaches_the_caller_after_all_tasks_have_ended(where):
    ended = []

    def body(start, stop):
        if start == where:
            raise ZeroDivisionError(f"task {start}")
        ended.append(start)

    with pytest.raises(ZeroDivisionError, match=f"task {where}"):
        parallel_for(2, body)
    assert ended == [1 - where]
    done = []
    parallel_for(2, lambda start, stop: done.append(start))  # the pool is still good
    assert sorted(done) == [0, 1]


def test_blas_has_one_thread_inside_and_what_the_user_had_set_outside():
    inside = []
    for user in (1, 2):
        with threadpool_limits(user, user_api="blas"):
            before = blas_threads()
            parallel_for(2, lambda start, stop: inside.extend(blas_threads()))
            with pytest.raises(RuntimeError):
                parallel_for(2, lambda start, stop: (_ for _ in ()).throw(RuntimeError()))
            assert blas_threads() == before
    assert set(inside) == {1}


def test_several_threads_of_the_user_may_call_at_the_same_time():
    before, wrong = blas_threads(), []

    def caller(k):
        total = np.zeros(40)
        for _ in range(50):
            parallel_for(40, lambda start, stop: np.add(total[start:stop], k, out=total[start:stop]))
        if not (total == 50 * k).all():
            wrong.append(k)

    call_from_threads(caller)
    assert not wrong
    assert blas_threads() == before


def test_a_loop_begun_first_and_one_ended_last_by_different_threads_restore_blas_together():
    before, first_is_in, second_is_in = blas_threads(), threading.Event(), threading.Event()

    def first(start, stop):
        first_is_in.set()
        assert second_is_in.wait(20)

    def second(start, stop):
        second_is_in.set()
        other.join(20)  # ends after the first has

    other = threading.Thread(target=parallel_for, args=(1, first))
    other.start()
    assert first_is_in.wait(20)
    parallel_for(1, second)
    assert blas_threads() == before


class LibraryOnOpenMP:
    """Stands for a BLAS that keeps its number of threads for each calling thread."""

    def __init__(self):
        self.numbers = threading.local()

    def get_num_threads(self):
        return getattr(self.numbers, "n", 8)

    def set_num_threads(self, n):
        self.numbers.n = n


def test_a_blas_with_a_setting_for_each_thread_is_limited_in_each_thread(monkeypatch):
    library, inside = LibraryOnOpenMP(), []
    blas = Blas()
    blas.per_thread, blas.per_process = [library], []
    monkeypatch.setattr(process, "blas", blas)
    monkeypatch.setattr(process, "workers", [])  # a new pool, whose threads have not begun
    meeting = threading.Barrier(2, timeout=20)
    for _ in range(2):
        parallel_for(2, lambda start, stop: (meeting.wait(), inside.append(library.get_num_threads())))
    assert inside == [1] * 4 and library.get_num_threads() == 8


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Python warns of forking with threads around: that is what we test
def test_a_forked_child_makes_its_own_pool():
    parallel_for(2, lambda start, stop: None)
    child = os.fork()
    if child == 0:
        try:
            seen = set()
            meeting = threading.Barrier(2, timeout=20)
            parallel_for(2, lambda start, stop: (meeting.wait(), seen.add(threading.get_ident())))
            os._exit(0 if len(seen) == 2 else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("n", [0, -1, 1.5, "2", True, None])
def test_a_senseless_number_of_threads_is_refused(n):
    with pytest.raises(ValueError, match="at least 1"):
        set_threads(n)
    assert get_threads() == 2


def test_the_number_of_threads_starts_as_the_number_of_usable_cores():
    usable = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()
    assert usable_cores() == usable


def test_a_workspace_is_used_again_and_belongs_to_one_thread():
    first = workspace("test", (4, 5), np.float32)
    assert first.shape == (4, 5) and first.dtype == np.float32
    assert np.shares_memory(first, workspace("test", (10,), np.float32))
    assert not np.shares_memory(first, workspace("other", (4, 5), np.float32))
    assert not np.shares_memory(first, workspace("test", (4, 5), np.float64))
    assert workspace("test", (100,), np.float32).size == 100
    theirs = []
    thread = threading.Thread(target=lambda: theirs.append(workspace("test", (4, 5), np.float32)))
    thread.start()
    thread.join()
    assert not np.shares_memory(workspace("test", (4, 5), np.float32), theirs[0])


def test_workers_that_have_fallen_asleep_wake_up_and_those_awake_lose_nothing():
    done = []
    for i in range(300):
        if i % 100 == 0:
            time.sleep(0.05)  # longer than a worker spins
        parallel_for(2, lambda start, stop, i=i: done.append((i, start)))
    assert sorted(done) == [(i, start) for i in range(300) for start in (0, 1)]


@pytest.mark.skipif(
    not hasattr(worker.spin_until, "py_func"), reason="without compiled loops on Linux, threads fall asleep at once"
)
def test_spinning_ends_by_the_clock():
    """A turn may take milliseconds where others want the core: a number of turns would be no limit."""
    number, clock = np.zeros(1, np.int64), np.zeros(2, np.int64)
    assert worker.spin_until(number, 0, 0, 0, clock)
    begun = time.monotonic_ns()
    assert not worker.spin_until(number, 1, 2_000_000, 0, clock)
    assert time.monotonic_ns() - begun >= 2_000_000
    raise_it = threading.Timer(0.05, lambda: number.__setitem__(0, 1))
    raise_it.start()
    assert worker.spin_until(number, 1, 20_000_000_000, 1_000_000, clock)
    raise_it.join()


def test_a_long_task_is_waited_for():
    """Its caller falls asleep meanwhile."""
    ended = []

    def body(start, stop):
        time.sleep(0.05 * start)
        ended.append(start)

    parallel_for(2, body)
    assert ended == [0, 1]
