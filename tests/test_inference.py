"""Running a network over many inputs: everything once, in order, and whatever the number of threads."""

import threading

import numpy as np
import pytest

from minicnn.data.preprocessing import Preprocessing
from minicnn.inference.batches import BATCH_PER_THREAD, infer, run_in_groups
from minicnn.inference.fusion import fuse
from minicnn.layers import Conv2d, Flatten, Linear, Sequential
from minicnn.runtime.workers import get_threads, set_threads


@pytest.fixture(autouse=True)
def threads_as_before():
    before = get_threads()
    yield
    set_threads(before)


def small_net():
    return fuse(Sequential(Conv2d(3, 5, 3, rng=0), Flatten(), Linear(5 * 36, 4, rng=0)))


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
@pytest.mark.parametrize("n", [1, 2, 7, 40])
def test_the_results_are_those_of_one_forward_pass_in_order(threads, n):
    set_threads(threads)
    net, x = small_net(), np.random.default_rng(0).standard_normal((n, 3, 8, 8)).astype(np.float32)
    seen = []
    y = infer(net, n, lambda i: seen.extend(i.tolist()) or x[i])
    np.testing.assert_allclose(y, net.forward(x), rtol=1e-5, atol=1e-5)
    assert sorted(seen) == list(range(n))


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_every_thread_gets_something_where_there_is_enough(threads):
    """As many samples as threads: one each, and all threads are in it at the same time."""
    set_threads(threads)
    meeting = threading.Barrier(threads, timeout=20)

    def run(indices):
        meeting.wait()
        return indices

    ((samples, results),) = run_in_groups(run, 0, threads)
    assert (samples.start, samples.stop) == (0, threads)
    assert [result.tolist() for result in results] == [[i] for i in range(threads)]


def test_samples_go_through_a_few_at_a_time():
    set_threads(2)
    groups = list(run_in_groups(lambda indices: indices, 3, 40))
    sizes = [len(result) for _, results in groups for result in results]
    assert max(sizes) == BATCH_PER_THREAD and np.concatenate([r for _, rs in groups for r in rs]).tolist() == list(range(3, 40))
    assert [samples.start for samples, _ in groups][1:] == [samples.stop for samples, _ in groups][:-1]


def test_of_several_views_the_mean_of_the_outputs_counts():
    net, x = small_net(), np.random.default_rng(0).standard_normal((7, 3, 8, 8)).astype(np.float32)
    y = infer(net, 7, lambda i: x[i], views=Preprocessing(size=8, symmetry="flips").test_time_views)
    flipped = [x, x[..., ::-1], x[..., ::-1, :], x[..., ::-1, ::-1]]
    np.testing.assert_allclose(y, np.mean([net.forward(view) for view in flipped], axis=0), rtol=1e-4, atol=1e-5)


def test_there_must_be_something_to_run_on():
    with pytest.raises(ValueError, match="n is 0"):
        infer(small_net(), 0, lambda i: i)
