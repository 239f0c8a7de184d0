"""Memory that is lent for a while, and used again: nobody reads what is no longer theirs."""

import numpy as np
import pytest
from callers import call_from_threads

from minicnn.inference.fusion import fuse
from minicnn.layers import Concat, Conv2d, Sequential
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
