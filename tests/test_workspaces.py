"""Memory that is lent for a while, and used again: nobody reads what is no longer theirs."""

import numpy as np
import pytest
from callers import call_from_threads
from strict_workspaces import strict_workspaces

from minicnn import models
from minicnn.inference.fusion import fuse
from minicnn.kernels.convolution import winograd
from minicnn.layers import Concat, Conv2d, Sequential
from minicnn.losses import SoftmaxCrossEntropy
from minicnn.runtime.memory import workspace
from minicnn.runtime.parallel import gathering, parallel_for
from minicnn.runtime.workers import get_threads, set_threads


@pytest.fixture(autouse=True)
def two_threads():
    before = get_threads()
    set_threads(2)
    yield
    set_threads(before)


def test_weight_gradients_beside_other_threads_are_those_of_one_alone():
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal((2, 8, 16, 32, 32)).astype(np.float32)

    def gradient():
        conv = Conv2d(16, 16, 3, pad=1, rng=0).train()
        conv.forward(x)
        conv.backward(dy)
        return conv.w.grad

    alone, wrong = gradient(), []
    call_from_threads(lambda k: wrong.extend(k for _ in range(25) if not np.array_equal(gradient(), alone)), count=3)
    assert not wrong


def test_wide_branches_side_by_side_each_have_filters_of_their_own():
    branches = Sequential(both=Concat(Conv2d(180, 180, 3, pad=1, rng=0), Conv2d(180, 180, 3, pad=1, rng=1)))
    x = np.random.default_rng(0).standard_normal((1, 180, 32, 32)).astype(np.float32)
    y, fused = branches.eval().forward(x), fuse(branches)
    for _ in range(4):
        np.testing.assert_allclose(fused.forward(x), y, atol=1e-4)


# ---- under a runtime that spoils what may not be read any more


NETWORKS = {"resnet20": 16, "squeezenet1_1": 49, "mobilenet_v2": 40, "googlenet_torchvision": 40, "alexnet_torchvision": 64}


def passes(name, size):
    """Scores of the network and of its fused copy, a loss, and all gradients."""
    rng = np.random.default_rng(0)
    net = models.ARCHITECTURES[name](num_classes=5, rng=0)
    one, several = rng.standard_normal((1, 3, size, size), np.float32), rng.standard_normal((3, 3, size, size), np.float32)
    fused = net.eval().fuse()
    results = [net.forward(one), fused.forward(one), fused.forward(one), fused.forward(several)]
    loss, scores = SoftmaxCrossEntropy(), net.train().seed(np.random.default_rng(1)).forward(several)
    results.append(np.array(loss.forward(scores, np.arange(3))))
    results.append(net.backward(loss.backward()))
    return results + [parameter.grad for parameter in net.parameters().values()]


@pytest.mark.parametrize(("name", "size"), NETWORKS.items())
def test_networks_compute_the_same_to_the_bit_where_workspaces_are_spoilt_and_tasks_shuffled(name, size):
    usual = passes(name, size)
    with strict_workspaces():
        strict = passes(name, size)
    for expected, found in zip(usual, strict, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_several_threads_may_train_at_once_where_workspaces_are_spoilt():
    expected, wrong = passes("resnet20", 16), []

    def train(k):
        for _ in range(3):
            if not all(map(np.array_equal, passes("resnet20", 16), expected)):
                wrong.append(k)

    with strict_workspaces():
        call_from_threads(train, 3)
    assert not wrong


def test_who_reads_a_workspace_after_the_task_that_asked_for_it_reads_nan():
    def ones():
        held = []

        def body(start, stop):
            held.append(workspace("test", (4,), np.float32))
            held[-1][:] = 1

        parallel_for(2, body)
        return held

    assert (np.array(ones()) == 1).all()
    with strict_workspaces():
        assert np.isnan(ones()).all()


def test_who_asks_twice_within_loops_that_are_put_off_reads_nan():
    def sums():
        y = np.zeros((2, 3), np.float32)
        with gathering():
            for i in range(2):
                x = workspace("test", (3,), np.float32)
                x[:] = i + 1
                parallel_for(3, lambda start, stop, x=x, i=i: np.copyto(y[i, start:stop], x[start:stop]), deferrable=True)
        return y

    assert sums().tolist() == [[2, 2, 2], [2, 2, 2]]  # the first of these is wrong, and nobody would know
    with strict_workspaces():
        assert np.isnan(sums()[0]).all() and (sums()[1] == 2).all()


def test_filters_in_a_workspace_under_loops_that_are_put_off_are_noticed(monkeypatch):
    """Fused branches as they once were: all of their loops were put off, whatever they read."""
    branches = Sequential(both=Concat(Conv2d(180, 180, 3, pad=1, rng=0), Conv2d(180, 180, 3, pad=1, rng=1)))
    x = np.random.default_rng(0).standard_normal((1, 180, 32, 32)).astype(np.float32)
    monkeypatch.setattr(
        winograd, "parallel_for", lambda n, body, deferrable=None: parallel_for(n, body, deferrable is not None)
    )
    with strict_workspaces():
        assert np.isnan(fuse(branches).forward(x)).any()


def test_a_task_that_asks_for_what_its_caller_still_needs_is_noticed(monkeypatch):
    """Weight gradients as they once were when a thread had to do the tasks of all: each summed up over the one before."""
    x, dy = np.random.default_rng(0).standard_normal((2, 8, 16, 32, 32)).astype(np.float32)

    def gradient():
        conv = Conv2d(16, 16, 3, pad=1, rng=0).train()
        conv.forward(x)
        conv.backward(dy)
        return conv.w.grad

    def asks_again(n, body, **options):
        parallel_for(n, lambda start, stop: (body(start, stop), workspace("winograd dU", (1,), dy.dtype)), **options)

    monkeypatch.setattr(winograd, "parallel_for", asks_again)
    with strict_workspaces():
        assert np.isnan(gradient()).any()
