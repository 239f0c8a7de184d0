"""A network that is run again from a recording gives what it always gave, and is not run from one where that would be wrong."""

import copy
import os
import pickle
import threading
import time
from itertools import pairwise

import numpy as np
import pytest
from callers import call_from_threads

from minicnn import models
from minicnn.inference import replay
from minicnn.inference.fused_layers import FusedConcat, FusedConv2d, FusedInvertedResidual
from minicnn.inference.fusion import fuse
from minicnn.layers import (
    AvgPool2d,
    Concat,
    Conv2d,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    Layer,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    ReLU,
    ReLU6,
    Residual,
    Sequential,
    set_algorithm,
)
from minicnn.runtime import replay as runtime_replay
from minicnn.runtime.parallel import current, new_array, parallel_for, serial, using
from minicnn.runtime.replay import Recording, Tape, Taping
from minicnn.runtime.workers import get_threads, set_threads

PASSES = 3  # through the layers, then while they are recorded, then from the recording


@pytest.fixture(autouse=True)
def two_threads():
    before = get_threads()
    set_threads(2)
    yield
    set_threads(before)


def inputs(*shape, count=PASSES + 2, dtype=np.float32):
    return list(np.random.default_rng(0).standard_normal((count, *shape)).astype(dtype))


def unrecorded(net):
    """The same layers in a network that is never replayed."""
    return Sequential(**copy.deepcopy(net).layers)


def is_recorded(net):
    """Whether the next pass, with an input like the last, is from a recording of all layers."""
    recorded = net.replayer.of_thread.__dict__.get("recorded")
    return recorded is not None and len(recorded.steps) == len(net.layers)


def small_net(*layers, rng=0):
    rng = np.random.default_rng(rng)
    return fuse(Sequential(Conv2d(3, 8, 3, pad=1, rng=rng), ReLU(), *layers, Conv2d(8, 4, 1, rng=rng))).eval()


# ---- the same numbers


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize(
    ("build", "size"),
    [
        (models.squeezenet1_1, 65),
        (models.efficientnet_lite0, 64),
        (models.mobilenet_v2, 64),
        (models.resnet18, 64),
        (models.googlenet, 64),
    ],
)
def test_the_networks_of_the_zoo_give_the_same_to_the_bit(build, size, threads):
    set_threads(threads)
    net = build(num_classes=10, rng=0).eval().fuse()
    plain = unrecorded(net)
    for x in inputs(1, 3, size, size):
        before = x.copy()
        np.testing.assert_array_equal(net.forward(x), plain.forward(x))
        np.testing.assert_array_equal(x, before)
    assert net.replayer.of_thread.recorded.steps, "nothing was recorded"


def inverted(stride=1, width=48):
    return Residual(
        Sequential(
            *(Conv2d(8, width, 1, rng=1), ReLU6()),
            *(Conv2d(width, width, 3, stride=stride, pad=1, groups=width, rng=2), ReLU6()),
            Conv2d(width, 8, 1, rng=3),
        )
    )


EXAMPLES = {
    FusedConv2d: small_net(),
    FusedConcat: small_net(Concat(Conv2d(8, 4, 1, rng=1), Conv2d(8, 4, 3, pad=1, rng=2))),
    FusedInvertedResidual: small_net(inverted()),
    MaxPool2d: small_net(MaxPool2d(3, 2)),
    AvgPool2d: small_net(AvgPool2d(3, 2, pad=1)),
    GlobalAvgPool2d: fuse(Sequential(Conv2d(3, 8, 3), GlobalAvgPool2d())),
    ReLU: small_net(MaxPool2d(2), ReLU()),
    ReLU6: small_net(MaxPool2d(2), ReLU6()),
    LocalResponseNorm: small_net(LocalResponseNorm(3)),
    Dropout: small_net(Dropout(0.5)),
    Flatten: fuse(Sequential(Conv2d(3, 8, 3), Flatten())),
    Sequential: small_net(Sequential(MaxPool2d(2), Sequential())),
    Residual: small_net(Residual(Sequential(Conv2d(8, 8, 3, pad=1, rng=1), ReLU()), Conv2d(8, 8, 1, rng=2))),
    Concat: small_net(Concat(MaxPool2d(2), AvgPool2d(2)), Conv2d(16, 8, 1, rng=1)),
    replay.FusedNetwork: fuse(Sequential(small_net(), ReLU())),
}


def test_there_is_an_example_of_every_class_that_is_replayed():
    assert set(EXAMPLES) == replay.REPLAYABLE


@pytest.mark.parametrize("shape", [(1, 3, 12, 12), (2, 3, 40, 41)], ids=["short", "shared between threads"])
@pytest.mark.parametrize("kind", EXAMPLES, ids=lambda kind: kind.__name__)
def test_every_class_that_is_replayed_gives_the_same_to_the_bit(kind, shape):
    net = copy.deepcopy(EXAMPLES[kind])
    assert any(type(layer) is kind for _, layer in net.walk())
    plain = unrecorded(net)
    for x in inputs(*shape):
        np.testing.assert_array_equal(net.forward(x), plain.forward(x))
    assert is_recorded(net)


def test_wide_channels_of_a_small_map_that_threads_share_are_summed_in_a_recording_as_well():
    net = small_net(inverted(width=200))
    plain = unrecorded(net)
    for x in inputs(1, 3, 9, 9):
        np.testing.assert_array_equal(net.forward(x), plain.forward(x))
    assert is_recorded(net)


def test_a_layer_that_does_not_compute_in_loops_would_be_seen(monkeypatch):
    """The tests above can fail: this one computes with NumPy what no recording repeats."""

    class Wrong(Layer):
        def forward(self, x):
            return x + np.float32(1)

        def output_shape(self, input_shape):
            return input_shape

    monkeypatch.setattr(replay, "REPLAYABLE", replay.REPLAYABLE | {Wrong})
    net = small_net(Wrong())
    plain = unrecorded(net)
    same = [np.array_equal(net.forward(x), plain.forward(x)) for x in inputs(1, 3, 12, 12)]
    assert same[:2] == [True, True] and not any(same[2:])


# ---- it is a recording that is run, and nothing is lost by it


def test_from_the_third_time_on_no_layer_is_asked():
    net, asked = small_net(MaxPool2d(2)), []
    x, *_ = inputs(1, 3, 12, 12)
    forward = MaxPool2d.forward
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MaxPool2d, "forward", lambda self, x: asked.append(len(asked)) or forward(self, x))
        for _ in range(2):
            net.forward(x)
        before = len(asked)
        net.forward(x)
    assert before and len(asked) == before


def test_a_result_is_the_callers_own():
    """The next pass writes over the network's maps, and not over what it has given away."""
    net = fuse(Sequential(Conv2d(3, 8, 3), Flatten()))
    results = [(x, net.forward(x)) for x in inputs(1, 3, 12, 12)]
    for x, y in results:
        np.testing.assert_array_equal(y, unrecorded(net).forward(x))
    assert not any(np.may_share_memory(a, b) for (_, a), (_, b) in pairwise(results))


def test_layers_above_those_that_can_be_recorded_run_as_usual():
    net = fuse(Sequential(Conv2d(3, 8, 3), Flatten(), Linear(8 * 100, 5, rng=0)))
    for x in inputs(1, 3, 12, 12):
        np.testing.assert_array_equal(net.forward(x), unrecorded(net).forward(x))
    assert len(net.replayer.of_thread.recorded.steps) == 2
    net.layers["2"].w.value *= 2  # its weights are not fixed
    net.layers["2"].b.value += 1
    x, *_ = inputs(1, 3, 12, 12)
    np.testing.assert_array_equal(net.forward(x), unrecorded(net).forward(x))


def test_another_shape_type_algorithm_or_number_of_threads_is_no_case_for_the_recording():
    net = small_net(MaxPool2d(2))
    double = copy.deepcopy(net).astype(np.float64)
    big, small = inputs(1, 3, 20, 20), inputs(2, 3, 12, 14)

    def check(x, net=net):
        np.testing.assert_array_equal(net.forward(x), unrecorded(net).forward(x))

    for x in big[:PASSES]:
        check(x)
    for x in (small[0], big[0], small[1], big[1]):
        check(x)
        assert not is_recorded(net)
    for x in small[:PASSES]:
        check(x)
    assert is_recorded(net)
    usual = net.forward(small[0])
    set_algorithm(net, "reference")  # which no network chooses by itself
    for x in small[:PASSES]:
        check(x)
    assert not np.array_equal(net.forward(small[0]), usual)  # other sums: the recording has not been run
    set_algorithm(net, None)
    np.testing.assert_array_equal(net.forward(small[0]), usual)
    set_threads(3)
    for x in small[:PASSES]:
        check(x)
    check(np.asfortranarray(small[0]))
    for x in big[:PASSES]:
        check(x.astype(np.float64), double)
        check(x[:0])


def test_the_maps_of_a_recording_lie_in_two_buffers_by_turns():
    net = fuse(Sequential(*(Conv2d(3, 3, 3, pad=1, rng=i) for i in range(10))))
    for x in inputs(1, 3, 32, 32):
        np.testing.assert_array_equal(net.forward(x), unrecorded(net).forward(x))
    tape = Tape()
    with using(Taping(current(), tape)):
        for _ in range(10):
            tape.switch_buffer(x)
            new_array((3, 32, 32), np.float32)
    assert tape.size == 3 * 32 * 32 * 4
    double_buffered = Tape(tape.size)
    with using(Taping(current(), double_buffered)):
        made = [x]
        for _ in range(4):
            double_buffered.switch_buffer(made[-1])
            made.append(new_array((3, 32, 32), np.float32))
    assert not any(np.may_share_memory(a, b) for a, b in pairwise(made))
    assert np.may_share_memory(made[1], made[3]) and np.may_share_memory(made[2], made[4])


# ---- where it would be wrong


def test_who_watches_a_layer_sees_every_pass():
    net, seen = small_net(MaxPool2d(2)), []
    x, *_ = inputs(1, 3, 12, 12)
    for _ in range(PASSES):
        net.forward(x)
    pool = next(layer for _, layer in net.walk() if isinstance(layer, MaxPool2d))
    forward = pool.forward
    pool.forward = lambda x: seen.append(x) or forward(x)
    net.forward(x), net.forward(x)
    assert len(seen) == 2
    del pool.forward
    assert is_recorded(net)
    net.forward(x)
    assert len(seen) == 2


def test_dropout_that_drops_draws_anew_each_time():
    net = fuse(Sequential(Conv2d(3, 8, 3), Dropout(0.5)))
    x, *_ = inputs(1, 3, 12, 12)
    for _ in range(PASSES):
        net.forward(x)
    net.layers["1"].training = True
    assert not np.array_equal(net.forward(x), net.forward(x))


def test_a_class_that_is_derived_from_one_that_promises_has_promised_nothing():
    class Louder(MaxPool2d):
        def forward(self, x):
            return super().forward(x) * 2

    net = small_net(Louder(2))
    for x in inputs(1, 3, 12, 12):
        np.testing.assert_array_equal(net.forward(x), unrecorded(net).forward(x))
    assert len(net.replayer.of_thread.recorded.steps) == 1


def test_a_network_with_a_recording_of_its_own_inside_another_is_recorded_with_it():
    """Its loops must be in the other's recording, and not be run from its own while that is made."""
    inner, x = small_net(), inputs(1, 3, 12, 12)[0]
    for _ in range(PASSES):
        inner.forward(x)
    net = fuse(Sequential(Conv2d(3, 3, 1, rng=0)))
    net.append("inner", inner)
    for x in inputs(1, 3, 12, 12):
        expected = unrecorded(inner).forward(net.layers["0"].forward(x))
        np.testing.assert_array_equal(net.forward(x), expected)
    assert is_recorded(net)


def test_a_network_that_is_not_recorded_keeps_nothing_of_its_input():
    net = fuse(Sequential(Flatten(), Linear(12, 5, rng=0)))
    net.layers = {"1": net.layers["1"]}
    for x in inputs(2, 12):
        np.testing.assert_array_equal(net.forward(x), unrecorded(net).forward(x))
    assert net.replayer.of_thread.__dict__["recorded"] is None


def test_a_layer_that_is_exchanged_is_the_new_one():
    net = small_net(MaxPool2d(2))
    x, *_ = inputs(1, 3, 12, 12)
    for _ in range(PASSES):
        net.forward(x)
    name = next(name for name, layer in net.layers.items() if isinstance(layer, MaxPool2d))
    net.layers[name] = AvgPool2d(2)
    np.testing.assert_array_equal(net.forward(x), unrecorded(net).forward(x))


def test_large_networks_and_tasks_of_a_loop_are_not_recorded(monkeypatch):
    net = small_net()
    x, *_ = inputs(1, 3, 12, 12)
    with serial():
        for _ in range(PASSES):
            net.forward(x)
    assert not net.replayer.of_thread.__dict__
    monkeypatch.setattr(replay, "MAX_MULTIPLY_ADDS", net.multiply_adds(x.shape) - 1)
    for _ in range(PASSES):
        np.testing.assert_array_equal(net.forward(x), unrecorded(net).forward(x))
    assert not is_recorded(net)


def test_wrong_inputs_are_still_refused():
    net = small_net()
    x, *_ = inputs(1, 3, 12, 12)
    for _ in range(PASSES):
        net.forward(x)
    for wrong, error in ((x[0], ValueError), (x.astype(np.float64), TypeError), (x.tolist(), TypeError)):
        for _ in range(PASSES):
            with pytest.raises(error):
                net.forward(wrong)
    np.testing.assert_array_equal(net.forward(x), unrecorded(net).forward(x))


def test_a_copy_and_what_is_loaded_from_a_pickle_begin_without_a_recording():
    net = small_net()
    x, *_ = inputs(1, 3, 12, 12)
    for _ in range(PASSES):
        y = net.forward(x)
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert not other.replayer.of_thread.__dict__
        for _ in range(PASSES):
            np.testing.assert_array_equal(other.forward(x), y)
    lower, _ = net.split("1")
    assert lower.replayer is not net.replayer


# ---- threads


def test_several_threads_of_the_user_may_use_one_network():
    net = small_net(MaxPool2d(2), inverted())
    xs = inputs(1, 3, 24, 24, count=4)
    expected, wrong = [unrecorded(net).forward(x) for x in xs], []

    def caller(k):
        for _ in range(30):
            if not np.array_equal(net.forward(xs[k]), expected[k]):
                wrong.append(k)

    call_from_threads(caller)
    assert not wrong


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_runs_the_recording_with_threads_of_its_own():
    net = small_net(MaxPool2d(2))
    x, *_ = inputs(1, 3, 24, 24)
    for _ in range(PASSES):
        y = net.forward(x)
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if np.array_equal(net.forward(x), y) else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def three_loops(ran, pause=0.0):
    """Each notes (loop, start of the task); the first task of the second is slow."""

    def loop(number):
        def body(start, stop):
            if number == 1 and start == 0:
                time.sleep(pause)
            ran.append((number, start))

        return body

    tape = Tape()
    with using(Taping(current(), tape)):
        for number in range(3):
            parallel_for(2, loop(number))
    ran.clear()
    return Recording(tape.loops)


@pytest.mark.parametrize("spins", [True, False], ids=["spinning", "asleep at once"])
def test_no_thread_begins_a_loop_before_all_have_done_the_one_before(spins, monkeypatch):
    if not spins:

        def barrier(done, me, number, patience, pause, clock):
            done[me, 0] = number
            return bool((done[:, 0] >= number).all())

        monkeypatch.setattr(runtime_replay, "barrier", barrier)
    ran = []
    play = three_loops(ran, pause=0.01)
    for _ in range(5):
        assert play.run()
        assert [number for number, _ in ran] == [0, 0, 1, 1, 2, 2]
        assert sorted(ran) == [(number, start) for number in range(3) for start in range(2)]
        ran.clear()


@pytest.mark.parametrize("where", [0, 1])
@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_what_goes_wrong_in_one_thread_keeps_no_other_waiting(where, error):
    should_fail, ran = [], []

    def body(start, stop):
        if should_fail and start == where:
            raise error
        ran.append(start)

    tape = Tape()
    with using(Taping(current(), tape)):
        for _ in range(3):
            parallel_for(2, body)
    play = Recording(tape.loops)
    should_fail.append(True)
    with pytest.raises(error):
        play.run()
    should_fail.clear()
    ran.clear()
    assert play.run()
    assert sorted(ran) == [0, 0, 0, 1, 1, 1]


def test_while_another_thread_has_the_pool_nothing_is_run_from_the_recording():
    ran, begun, end = [], threading.Event(), threading.Event()
    play = three_loops(ran)

    def occupy(start, stop):
        if start == 0:
            begun.set()
            assert end.wait(20)

    other = threading.Thread(target=parallel_for, args=(2, occupy))
    other.start()
    assert begun.wait(20)
    assert not play.run()
    assert not ran
    end.set()
    other.join(20)
    assert play.run()
    assert len(ran) == 6


def test_loops_within_a_task_are_part_of_it():
    """They are not recorded themselves, and their results are not in the memory of the tape."""
    tape, made = Tape(64), []

    def inner(start, stop):
        made.append(new_array((4,), np.float32))

    with using(Taping(current(), tape)):
        parallel_for(2, lambda start, stop: parallel_for(3, inner))
    assert len(tape.loops) == 1 and len(made) == 2
    assert not any(np.may_share_memory(array, buffer) for array in made for buffer in tape.buffers)
