"""The benchmark measures what it says, on tiny things; how fast they are is nobody's business here."""

import doctest
import importlib.util
import json
import subprocess
import sys
from collections import Counter
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from minicnn import layers as ours
from minicnn import models
from minicnn.kernels.simd.vectors import VECTOR_WIDTH
from minicnn.runtime.workers import get_threads

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import __main__ as command
from benchmarks import (
    accuracy,
    engines,
    limits,
    machine,
    memory,
    networks,
    outliers,
    recipe,
    rows,
    scaling,
    shapes,
    students,
    table,
    timing,
    workloads,
)
from benchmarks.checks import largest_difference
from benchmarks.children import in_new_process
from benchmarks.engines import ENGINES
from benchmarks.installation import installed_megabytes
from benchmarks.layers import LayerRun
from benchmarks.memory import STATUS, memory_columns, peak_while
from benchmarks.rows import COLUMNS, Case, Limits, Settings, geometric_mean, make_row
from benchmarks.summary import TARGETS, summarise
from benchmarks.table import HEADINGS, format_table
from benchmarks.workloads import WORKLOADS, Workload

REPOSITORY = Path(__file__).resolve().parents[1]
HAS_TORCH = importlib.util.find_spec("torch") is not None
LIMITS = Limits(gflops=100.0, gflops_one_thread=50.0, bandwidth=10.0, bandwidth_one_thread=5.0)
SETTINGS = Settings(quick=True, threads=1, seconds=1e-3, limits=LIMITS, torch=HAS_TORCH)
TINY = LayerRun(partial(ours.Conv2d, 4, 8, 3, pad=1, rng=0), (2, 4, 9, 7), "forward + backward", ["made up"])


@pytest.fixture
def run(monkeypatch, tmp_path):
    """The command on some cases of its group "layers" instead of all that there are; gives exit status and saved results."""
    monkeypatch.setattr(command, "TABLES", {})
    monkeypatch.setattr(command, "measure_limits", lambda threads, repetitions: LIMITS)

    def run(cases, *arguments):
        monkeypatch.setattr(command, "GROUPS", [SimpleNamespace(GROUP="layers", cases=lambda: cases)])
        path = tmp_path / "results.json"
        status = command.main([*arguments, "--json", str(path)])
        return status, json.loads(path.read_text()) if path.exists() else None

    threads = None
    if HAS_TORCH:
        import torch

        threads = torch.get_num_threads()
    yield run
    if threads:
        torch.set_num_threads(threads)


# ---- the command


def test_a_row_has_every_column_and_times_of_both_sides(run, capsys):
    status, results = run([TINY.case("tiny", quick=True)], "--quick", "--only", "TINY, batch 2")
    (row,) = results["rows"]
    assert status == 0 and list(row) == list(COLUMNS) and row["name"] == "tiny, batch 2, forward + backward"
    assert row["ours_ms"] > 0 and row["gflops"] == pytest.approx(2 * 3 * 2 * 8 * 4 * 9 * 63 / row["ours_ms"] / 1e6)
    moved = 4 * (2 * 2 * 4 * 63 + 2 * 8 * 4 * 9 + 2 * 8 + 2 * 2 * 8 * 63)  # x, filters, biases, y, and the gradient of each
    assert row["moved_mb"] == pytest.approx(moved / 1e6) and row["limit"] == "arithmetic"
    assert row["share_of_limit"] == pytest.approx(row["gflops"] / 100)
    if HAS_TORCH:
        assert row["torch_ms"] > 0 and row["ratio"] == pytest.approx(row["torch_ms"] / row["ours_ms"])
        assert row["difference"] < 1e-5 and row["torch_how"] in ("NCHW", "channels_last")
    assert results["machine"]["processor"] and results["machine"]["versions"]["numpy"] == np.__version__
    assert "tiny, batch 2" in capsys.readouterr().out


def test_without_torch_our_columns_are_there_and_a_note_says_why_the_others_are_not(run, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch", None)
    status, results = run([TINY.case("tiny", quick=True)], "--quick")
    (row,) = results["rows"]
    assert status == 0 and row["ours_ms"] > 0 and row["torch_ms"] is None and row["ratio"] is None
    assert "PyTorch is not installed" in results["notes"][0] and "PyTorch is not installed" in capsys.readouterr().out


def test_a_row_that_fails_says_so_and_the_others_are_measured(run, capsys):
    def broken(settings):
        raise ValueError("too cold today")

    status, results = run([Case("layers", "broken", broken), TINY.case("tiny", quick=True)], "--quick")
    assert status == 1 and results["rows"][0]["note"] == "failed: ValueError: too cold today"
    assert results["rows"][0]["ours_ms"] is None and results["rows"][1]["ours_ms"] > 0
    assert "broken" in capsys.readouterr().err


def test_quick_leaves_out_what_is_not_essential_unless_it_is_all_that_was_asked_for(run):
    cases = [
        Case("layers", name, lambda settings, name=name: make_row("layers", name), quick)
        for name, quick in (("a", True), ("b", False))
    ]
    assert [row["name"] for row in run(cases, "--quick")[1]["rows"]] == ["a"]
    assert [row["name"] for row in run(cases, "--quick", "--only", "b")[1]["rows"]] == ["b"]
    assert [row["name"] for row in run(cases)[1]["rows"]] == ["a", "b"]


def test_a_name_that_nothing_has_is_an_error_that_says_what_there_is(run, capsys):
    status, results = run([TINY.case("tiny", quick=True)], "--only", "alexnet")
    assert status == 2 and results is None and "'alexnet'" in capsys.readouterr().err


def test_a_full_run_is_kept_and_shown_on_the_page_and_an_interrupted_one_is_not(run, monkeypatch):
    def interrupt(settings):
        raise KeyboardInterrupt

    done = []
    monkeypatch.setattr(command.processors, "keep", lambda results: done.append(results["rows"]))
    monkeypatch.setattr(command.processors, "write_page", lambda: done.append("page"))
    whole = Case("layers", "whole", lambda settings: make_row("layers", "whole"))
    _, results = run([whole], "--keep")
    assert done == [results["rows"], "page"] and results["complete"]
    assert not run([whole, Case("layers", "the next", interrupt)], "--keep")[1]["complete"] and len(done) == 2


def test_an_interrupted_run_saves_what_it_has(run):
    def interrupt(settings):
        raise KeyboardInterrupt

    _, results = run([TINY.case("tiny", quick=True), Case("layers", "the next", interrupt)], "--quick")
    assert len(results["rows"]) == 1 and "interrupted" in results["notes"][-1]


# ---- rows, means, tables


def test_twice_as_fast_here_and_half_as_fast_there_is_no_gain():
    assert geometric_mean([2.0, 0.5]) == pytest.approx(1) and geometric_mean([1.0, 8.0]) == pytest.approx(8**0.5)


def test_ratios_are_torch_over_ours_and_missing_where_either_is():
    row = make_row("networks", "a", ours_ms=2.0, torch_ms=5.0, ours_peak_mb=100.0, torch_peak_mb=150.0, ours_extra_mb=10.0)
    assert (row["ratio"], row["memory_ratio"], row["extra_ratio"]) == (2.5, 1.5, None)
    with pytest.raises(ValueError, match="no column seconds"):
        make_row("networks", "a", seconds=1)


def test_the_summary_takes_the_rows_that_the_targets_are_about():
    def layer(name, ratio, networks):
        return make_row("layers", name, ours_ms=1.0, torch_ms=ratio, networks=networks)

    def inference(name, ratio, onnxruntime, openvino=None, **columns):
        others = {"onnxruntime_ms": onnxruntime, "openvino_ms": openvino}
        return make_row("networks", f"{name} inference, batch 1", ours_ms=1.0, torch_ms=ratio, **others, **columns)

    measured = [
        layer("3x3 64-64 at 32x32, batch 64, forward", 4.0, ["CIFAR net"]),
        layer("3x3 64-64 at 224x224, batch 1, forward", 1.0, ["VGG-16"]),
        layer("3x3/2 64-64 at 56x56, batch 1, forward", 9.0, ["VGG-16"]),
        layer("3x3 depthwise 64 at 56x56, batch 1, forward", 9.0, ["MobileNetV2"]),
        layer("3x3 64-64 at 32x32, batch 64, forward + backward", 0.5, ["CIFAR net"]),
        inference("VGG-16", 1.9, 1.0, ours_peak_mb=2.0, torch_peak_mb=1.0),
        make_row("networks", "VGG-16 inference, batch 8", ours_ms=1.0, torch_ms=1.4, ours_peak_mb=1.0, torch_peak_mb=8.0),
        make_row("networks", "ResNet-18 inference, batch 1", note="failed"),
        inference("MobileNetV2", 2.0, 0.25, 3.0),
        make_row("networks", "CIFAR net training step, batch 64", ours_ms=1.0, torch_ms=2.0),
        make_row("networks", "ResNet-18 for CIFAR training step, batch 64", ours_ms=1.0, torch_ms=1.7),
        make_row("startup", "first CIFAR net training step, batch 64, cold cache", ours_ms=9_000.0),
        make_row("startup", "first CIFAR net training step, batch 64, warm cache", ours_ms=1_600.0),
    ]
    lines = {line["what"]: line for line in summarise(measured)}
    results = {what: (pytest.approx(line["measured"]), line["rows"], line["met"]) for what, line in lines.items()}
    assert results == {
        "3x3 layers at stride 1, forward, mean": (2, 2, "aim"),
        "3x3 layers at stride 1, forward + backward, mean": (0.5, 1, "no"),
        "VGG-16 inference": (1.4, 2, "no"),  # on average it would do, at batch 8 it does not
        "CIFAR net and ResNet-18 for CIFAR, training step": (1.7, 2, "yes"),
        "EfficientNet-Lite0 and MobileNetV2 inference": (2, 1, "yes"),
        "every layer alone": (0.5, 5, "no"),
        "ONNX Runtime / ours, all inference, mean": (0.5, 2, "no"),
        "ONNX Runtime / ours, all inference, lowest": (0.25, 2, "no"),
        "OpenVINO / ours, all inference, mean": (3, 1, None),
        "OpenVINO / ours, all inference, lowest": (3, 1, None),
        "peak memory, lowest": (0.5, 2, "no"),
        "peak memory, mean": (2, 2, "aim"),
        "first CIFAR net training step, nothing compiled, seconds at most": (9, 1, "aim"),
        "first CIFAR net training step, compiled before, seconds at most": (1.6, 1, "no"),
    }


def test_every_target_is_about_rows_that_there_are(without_vgg):
    everything = [make_row(case.group, case.name) for group in command.GROUPS for case in group.cases()]
    count = {what: sum(map(target.concerns, everything)) for what, target in TARGETS.items()}
    assert min(count.values()) > 0
    assert count["VGG-16 inference"] == 3 and count["ONNX Runtime / ours, all inference, mean"] == 11
    assert count["EfficientNet-Lite0 and MobileNetV2 inference"] == count["ResNet-18 and SqueezeNet v1.1 inference"] == 4


def test_a_table_shows_what_is_missing_and_a_common_note_once():
    same = [make_row("layers", name, ours_ms=1.5, note="cold") for name in ("one", "two")]
    text = format_table(same, HEADINGS["layers"])
    assert text.splitlines()[2].split() == ["one", "1.5", "-", "-", "-", "-", "-", "-", "-"]
    assert text.splitlines()[-1] == "2 rows: cold"


@pytest.mark.parametrize("module", [machine, rows, table, timing])
def test_examples(module):
    assert doctest.testmod(module).failed == 0


def test_nobody_is_timed_while_threads_of_the_last_side_are_busy(monkeypatch):
    clock, busy = [0.0], iter([0.03, 0.03, 0.0005, 1.0])

    def sleep(seconds):
        clock[0] += next(busy)

    monkeypatch.setattr(timing.time, "sleep", sleep)
    monkeypatch.setattr(timing.time, "process_time", lambda: clock[0])
    timing._rest()
    assert list(busy) == [1.0]


def test_sides_take_turns_and_the_first_call_of_a_block_does_not_count(monkeypatch):
    clock, calls = [0.0], []

    def side(name, first, later):
        def call():
            clock[0] += first if calls[-1:] != [name] else later
            calls.append(name)

        return call

    monkeypatch.setattr(timing.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock[0])
    times = timing.interleaved({"a": side("a", 0.09, 0.01), "b": side("b", 0.09, 0.02)}, seconds=0.2)
    assert times == {"a": pytest.approx(10), "b": pytest.approx(20)}
    blocks = "".join(calls[4:]).replace("ab", "a b").replace("ba", "b a").split()
    assert [block[0] for block in blocks] == ["a", "b"] * 5 and {len(block) for block in blocks} == {5, 3}


def test_where_a_side_has_several_ways_the_fastest_counts_and_is_named(monkeypatch):
    times = {("ours", "forward"): 3.0, ("ours", "infer"): 2.0, ("torch", ""): 5.0, ("openvino", ""): 4.0}
    monkeypatch.setattr(timing, "interleaved", lambda sides, seconds: {side: times[side] for side in sides})
    columns = timing.race({"forward": None, "infer": None}, {"": None}, 1.0, {"openvino": None})
    assert columns == {"ours_ms": 2.0, "ours_how": "infer", "torch_ms": 5.0, "openvino_ms": 4.0}


# ---- what is measured


def test_convolutions_are_found_with_the_shape_that_they_meet():
    block = ours.Residual(
        ours.Sequential(a=ours.Conv2d(8, 8, 3, stride=2, pad="same", groups=8), b=ours.Conv2d(8, 16, 1)),
        ours.Conv2d(8, 16, 1, stride=2),
    )
    net = ours.Sequential(stem=ours.Conv2d(3, 8, 3, pad=1), pool=ours.MaxPool2d(2), block=block)
    names = [shapes.describe(conv, shape) for conv, shape in shapes.convolutions(net, (1, 3, 32, 32))]
    assert names == [
        "3x3 3-8 at 32x32",
        "3x3/2 depthwise 8 at 16x16 padding 0 1 0 1",
        "1x1 8-16 at 8x8",
        "1x1/2 8-16 at 16x16",
    ]


@pytest.fixture
def without_vgg(monkeypatch):
    """Its 138 million weights take seconds to draw."""
    monkeypatch.setattr(shapes, "LARGE", tuple(name for name in shapes.LARGE if name != "VGG-16"))
    shapes.all_convolutions.cache_clear()
    yield
    shapes.all_convolutions.cache_clear()


def test_every_row_has_a_name_of_its_own(without_vgg):
    names = [case.name for group in command.GROUPS for case in group.cases()]
    assert len(names) == len(set(names)) > 150
    assert {"3x3 64-64 at 56x56, batch 1, forward", "3x3 256-256 at 8x8, batch 64, forward + backward"} < set(names)
    assert {workload.name for workload in WORKLOADS} < set(names)


def test_results_that_are_not_the_same_are_refused():
    assert largest_difference(np.array([1.0, 4.0]), np.array([1.0, 4.0004])) == pytest.approx(1e-4)
    for other in ([1.0, 4.1], [1.0, np.nan]):
        with pytest.raises(ValueError, match="do not compute the same"):
            largest_difference(np.array([1.0, 4.0]), np.array(other))


def test_students_ways_all_compute_the_same(monkeypatch):
    for name, value in {"C": 2, "F": 3, "SIZE": 5}.items():
        monkeypatch.setattr(students, name, value)
    ways = students.table(SETTINGS)  # which compares them
    count = Counter(row["layer"] for row in ways)
    assert count == {"3x3 convolution": 9 + HAS_TORCH, "3x3 depthwise": 2, "2x2 max pooling": 2, "batch norm, training": 2}
    assert all(set(row) == set(HEADINGS["students"]) and row["ms"] > 0 for row in ways)
    assert [row["times_ours"] for row in ways if row["way"] == "minicnn"] == [1] * 4


def test_one_bad_pixel_reaches_further_in_winograds_tiles_than_in_the_definition(monkeypatch):
    monkeypatch.setattr(outliers, "PLACES", range(4, 6))
    rows = {row["algorithm"]: row for row in outliers.table(SETTINGS)}
    assert set(rows["direct"]) == set(table.HEADINGS["outliers"])
    assert rows["direct"]["nan_outputs"] == 9 < rows["winograd4"]["nan_outputs"]
    assert rows["direct"]["error"] < 1e-5 < rows["winograd4"]["error"]
    assert rows["direct"]["finite_up_to"] == 1 < rows["winograd2"]["finite_up_to"] < rows["winograd4"]["finite_up_to"]


def test_rounding_of_every_algorithm_is_small_and_not_zero(monkeypatch):
    config = ours.Conv2d(16, 16, 3, pad=1).config()
    tiny = [shapes.Found("tiny", config, (16, 8, 8), False, ["CIFAR net"])]
    monkeypatch.setattr(accuracy, "all_convolutions", lambda: tiny)
    errors = {row.pop("algorithm"): row for row in accuracy.table(SETTINGS)}
    assert set(errors) == {"winograd4", "winograd2", "direct"} | ({"PyTorch"} if HAS_TORCH else set())
    for row in errors.values():
        assert row.pop("layer") == "tiny, batch 64"
        assert all(0 < error < 1e-4 for error in row.values()) and row["y_rms"] < row["y_max"]
    assert set(errors["direct"]) == {"y_max", "y_rms", "dw_max", "dw_rms", "dx_max", "dx_rms"}
    assert errors["direct"]["y_rms"] < errors["winograd4"]["y_rms"]


@pytest.mark.skipif(not STATUS.exists(), reason="memory is measured on Linux only")
def test_an_array_that_lives_during_the_work_is_in_the_peak():
    np.ones(5_000_000)  # an earlier peak, which does not count
    peak = peak_while(lambda: np.ones(10_000_000))
    assert 75 < peak["extra_mb"] < 110 and peak["peak_mb"] > peak["extra_mb"]


@pytest.mark.skipif(not (HAS_TORCH and STATUS.exists()), reason="needs PyTorch, and Linux")
@pytest.mark.parametrize("cuda", [None, "13.2"])
def test_memory_is_compared_with_a_pytorch_for_the_cpu_only(monkeypatch, cuda):
    monkeypatch.setattr("torch.version.cuda", cuda)
    monkeypatch.setattr(memory, "in_new_process", lambda *name, **how: {"peak_mb": 3.0})
    from torch import nn

    how = {"torch_how": "contiguous"}
    columns = memory_columns(Workload("SqueezeNet v1.1", 1), nn.ReLU(), (1, 3, 8, 8), how, SETTINGS)
    assert columns["ours_peak_mb"] == 3.0
    assert ("torch_peak_mb" in columns) == (cuda is None) == ("note" not in columns)


def test_what_more_threads_would_bring_follows_from_what_two_bring():
    row = scaling.row_of("net", {1: 16.0, 2: 10.0})
    assert row["1 thread, ms"] == 16.0 and row["2 threads"] == "1.60x" and row["serial share %"] == 25.0
    assert (row["4 threads"], row["8 threads"]) == ("about 2.3x", "about 2.9x")  # 1 / (1/4 + 3/16), 1 / (1/4 + 3/32)
    assert scaling.row_of("net", {1: 16.0, 2: 8.0, 4: 4.0, 8: 2.0})["8 threads"] == "8.00x", "what was measured is not modelled"
    assert list(scaling.row_of("net", {1: 16.0})) == ["network", "1 thread, ms"]
    for share in (0.0, 0.1, 0.5):
        assert scaling.serial_share(1 / (share + (1 - share) / 4), 4) == pytest.approx(share)


def test_each_number_of_threads_is_timed_and_the_number_is_the_same_afterwards(monkeypatch, capsys):
    seen, before = [], get_threads()
    monkeypatch.setattr(scaling, "usable_cores", lambda: 2)
    monkeypatch.setattr(scaling, "WORKLOADS", [Workload("SqueezeNet v1.1", 1)])
    monkeypatch.setattr(scaling, "QUICK_SECONDS", 1e-4)
    monkeypatch.setattr(scaling, "call_of", lambda workload: lambda: seen.append(get_threads()))
    monkeypatch.setattr(scaling, "measure_limits", lambda threads, repetitions: LIMITS)
    assert scaling.main(["--quick"]) == 0
    assert set(seen) == {1, 2} and get_threads() == before
    assert "SqueezeNet v1.1 inference, batch 1" in capsys.readouterr().out


def test_the_size_of_an_installation_includes_what_it_needs():
    assert installed_megabytes("minicnn") > installed_megabytes("numba") > installed_megabytes("llvmlite") > 10


# ---- limits


def test_multiply_adds_of_the_peak_are_all_made():
    start, result = np.arange(limits.SUMS * VECTOR_WIDTH, dtype=np.float32), np.empty(limits.SUMS * VECTOR_WIDTH, np.float32)
    limits.multiply_and_add(start, 3, np.float32(2), np.float32(1), result)
    np.testing.assert_array_equal(result, 8 * start + 7)


def test_all_of_the_array_is_read():
    x, total = np.arange(8 * VECTOR_WIDTH, dtype=np.float32), np.empty(VECTOR_WIDTH, np.float32)
    limits.add_up(x, total)
    np.testing.assert_array_equal(total, x.reshape(-1, VECTOR_WIDTH).sum(axis=0))


def test_limits_are_measured_with_one_thread_and_with_all(monkeypatch):
    for name, value in {"ROUNDS": 10, "LEAST_BYTES": 2**16, "MOST_BYTES": 2**16}.items():
        monkeypatch.setattr(limits, name, value)
    measured = limits.measure_limits(2, 1)
    assert min(measured.gflops, measured.gflops_one_thread, measured.bandwidth, measured.bandwidth_one_thread) > 0


def test_the_last_cache_is_the_largest(tmp_path):
    for k, size in enumerate(("48K", "2048K", "32M")):
        (tmp_path / f"index{k}").mkdir()
        (tmp_path / f"index{k}" / "size").write_text(f"{size}\n")
    assert limits.last_cache_bytes(tmp_path) == 2**25 and limits.last_cache_bytes(tmp_path / "none") == 0


def test_where_operations_or_bytes_are_not_known_there_is_no_limit():
    assert rows.speed(None, 100, 1.0, LIMITS) == {"moved_mb": 1e-4}
    assert set(rows.speed(100, None, 1.0, LIMITS)) == {"gflops"}


# ---- networks, and other engines


@pytest.fixture
def small_network(monkeypatch):
    """A workload's name for a network that takes no time, and no process that measures its memory."""
    monkeypatch.setitem(workloads.NETWORKS, "small", models.lenet5)
    for name in ("memory_columns", "compile_columns"):
        monkeypatch.setattr(networks, name, lambda *arguments: {})


def test_inference_is_raced_against_every_engine_that_is_installed(small_network):
    row = networks._measure(Workload("small", 2), SETTINGS)
    model = models.lenet5(rng=0)
    moved = 4 * (2 * 28 * 28 + sum(parameter.value.size for parameter in model.parameters().values()) + 2 * 10)
    assert row["moved_mb"] == pytest.approx(moved / 1e6) and row["share_of_limit"] > 0
    for engine in ENGINES:
        if importlib.util.find_spec(engine):
            assert row[f"{engine}_ratio"] == pytest.approx(row[f"{engine}_ms"] / row["ours_ms"])
        else:
            assert row[f"{engine}_ms"] is None and f"{engine} is not installed" in row["note"]


def test_a_training_step_moves_weights_and_momentum_twice_and_meets_no_other_engine(small_network):
    row = networks._measure(Workload("small", 2, training=True), SETTINGS)
    weights = sum(parameter.value.size for parameter in models.lenet5(rng=0).parameters().values())
    assert row["moved_mb"] == pytest.approx((4 * (2 * 28 * 28 + 4 * weights) + 2 * 8) / 1e6)
    assert all(row[f"{engine}_ms"] is None for engine in ENGINES)


def test_an_engine_that_computes_something_else_is_not_timed(small_network, monkeypatch):
    monkeypatch.setattr(engines, "ENGINES", {"openvino": lambda path, x, threads: lambda: np.zeros((len(x), 10))})
    with pytest.raises(ValueError, match="do not compute the same"):
        networks._measure(Workload("small", 2), SETTINGS)


def test_engines_that_fail_are_noted_and_the_others_run(monkeypatch):
    def missing(path, x, threads):
        raise ImportError

    def broken(path, x, threads):
        raise RuntimeError("no such node")

    works = {"a": missing, "b": broken, "c": lambda path, x, threads: lambda: Path(path).stat().st_size * threads}
    monkeypatch.setattr(engines, "ENGINES", works)
    with engines.other_engines(models.lenet5(rng=0), np.zeros((1, 1, 28, 28), np.float32), 2) as (calls, notes):
        assert notes == ["a is not installed", "b: RuntimeError: no such node"] and calls["c"]() > 0


def test_baselines_that_are_not_the_newest_are_noted():
    versions = {"torch": "2.0.1+cpu", "onnxruntime": "99.0", "openvino": None}
    (note,) = machine.older_baselines(versions)
    assert note.startswith("torch 2.0.1+cpu is installed, and the comparison is with torch>=")


# ---- processes of their own


def test_a_process_that_fails_is_quoted():
    with pytest.raises(RuntimeError, match="TypeError: torch_first"):
        in_new_process("torch_first")


def test_processes_that_measure_pytorch_have_nothing_of_minicnn_in_them():
    modules = "benchmarks.child, benchmarks.memory, benchmarks.timing" + (", benchmarks.torch_modules" if HAS_TORCH else "")
    script = f"import sys, {modules}; sys.exit(any(name.split('.')[0] in ('minicnn', 'numba') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY).returncode == 0


# ---- the same network in PyTorch


def network():
    """A bit of everything; the residual block begins with a ReLU, which must not overwrite what the shortcut adds."""
    rng = np.random.default_rng(0)
    return ours.Sequential(
        stem=ours.Conv2d(3, 6, 3, stride=2, pad="same", rng=rng),
        norm=ours.BatchNorm2d(6, eps=1e-3, momentum=0.3),
        relu6=ours.ReLU6(),
        block=ours.Residual(
            ours.Sequential(
                relu=ours.ReLU(),
                depthwise=ours.Conv2d(6, 6, 5, pad=2, groups=6, bias=False, rng=rng),
                norm=ours.BatchNorm2d(6),
            )
        ),
        relu=ours.ReLU(),
        pool=ours.MaxPool2d(3, 2, ceil_mode=True),
        down=ours.Residual(
            ours.Sequential(conv=ours.Conv2d(6, 8, 3, 2, 1, rng=rng), elu=ours.ELU(), gelu=ours.GELU()),
            ours.Conv2d(6, 8, 1, 2, rng=rng),
        ),
        both=ours.Concat(
            one=ours.Sequential(conv=ours.Conv2d(8, 3, 1, rng=rng), leaky=ours.LeakyReLU(0.2)),
            three=ours.Sequential(conv=ours.Conv2d(8, 4, 3, pad=1, rng=rng), tanh=ours.Tanh()),
        ),
        same_pool=ours.MaxPool2d(2, 2, pad="same"),
        average=ours.AvgPool2d(2, 1, 1),
        global_average=ours.GlobalAvgPool2d(),
        drop=ours.Dropout(0.5),
        hidden=ours.Linear(7, 9, rng=rng),
        hidden_norm=ours.BatchNorm1d(9),
        sigmoid=ours.Sigmoid(),
        scores=ours.Linear(9, 4, bias=False, rng=rng),
    )


SHAPE = (6, 3, 33, 26)


def assert_same_gradients(net, module, layout):
    """y, dx and the gradients of all parameters, in train mode; float64, so that no ReLU's kink lies between the two."""
    import torch

    from benchmarks.torch_modules import gradients_call, in_layout

    rng = np.random.default_rng(1)
    x, dy = rng.standard_normal(SHAPE), rng.standard_normal((SHAPE[0], 4))
    net.train()
    y, dx = net.forward(x), net.backward(dy)
    grads = [parameter.grad for parameter in net.parameters().values() if parameter.trainable]
    there, x_there = in_layout(module, layout), in_layout(torch.from_numpy(x), layout)
    for mine, theirs in zip([y, *grads, dx], gradients_call(there, x_there, torch.from_numpy(dy), True)(), strict=True):
        np.testing.assert_allclose(mine, theirs.numpy(), atol=1e-9 * max(np.abs(mine).max(), 1))
    return there


@pytest.mark.skipif(not HAS_TORCH, reason="PyTorch is not installed")
@pytest.mark.parametrize("layout", ["NCHW", "channels_last"])
@pytest.mark.parametrize("frozen", [False, True], ids=["all trained", "frozen below"])
def test_the_network_in_pytorch_computes_the_same(layout, frozen):
    import torch

    from benchmarks.torch_modules import in_layout, inference_call
    from benchmarks.torch_twin import twin

    net = network().astype(np.float64)
    net.layers["drop"].p = 0.0  # two generators of random numbers do not agree
    if frozen:
        for name in ("stem", "norm"):
            net.layers[name].freeze()
    module = twin(net, SHAPE).double()
    for layer, other in zip(net.parameters().values(), module.parameters(), strict=True):
        other.data.copy_(torch.from_numpy(layer.value))
    before = net.layers["norm"].running_mean.copy()
    trained = assert_same_gradients(net, module, layout)
    after = net.layers["norm"].running_mean
    assert np.array_equal(before, after) == frozen
    np.testing.assert_allclose(trained.get_submodule("norm").running_mean.numpy(), after, atol=1e-12)
    x = np.random.default_rng(2).standard_normal(SHAPE)
    theirs = inference_call(trained, in_layout(torch.from_numpy(x), layout))().numpy()
    np.testing.assert_allclose(net.eval().forward(x), theirs, atol=1e-9)


@pytest.mark.skipif(not HAS_TORCH, reason="PyTorch is not installed")
def test_a_layer_without_a_counterpart_is_named():
    from benchmarks.torch_twin import twin

    class Strange(ours.Layer):
        pass

    with pytest.raises(TypeError, match="Strange has no counterpart"):
        twin(Strange(), (1, 2))


@pytest.mark.skipif(not HAS_TORCH, reason="PyTorch is not installed")
def test_a_training_step_of_both_sides_changes_the_weights_alike():
    import torch

    from benchmarks import torch_modules, workloads
    from benchmarks.torch_twin import twin

    rng = np.random.default_rng(0)
    x, targets = rng.standard_normal((8, 5), np.float32), rng.integers(0, 3, 8)
    net = ours.Sequential(a=ours.Linear(5, 4, rng=rng), relu=ours.ReLU(), b=ours.Linear(4, 3, rng=rng))
    module = twin(net, x.shape)
    ours_step = workloads.training_call(net, x, targets)
    theirs_step = torch_modules.training_call(module, torch.from_numpy(x), torch.from_numpy(targets))
    for _ in range(3):
        assert ours_step() == pytest.approx(theirs_step(), rel=1e-5)
    for mine, theirs in zip(net.parameters().values(), module.parameters(), strict=True):
        np.testing.assert_allclose(mine.value, theirs.detach().numpy(), atol=1e-6)


# ---- the recipe of the full mode


def test_the_recipe_has_as_many_steps_as_the_full_mode_takes():
    batches = {work.title: work.batches for work in recipe.works()}
    train, val, test = 1673, 295, 656  # of the 2,624 cells
    steps = [-(-pictures // 16) for pictures in (train, train + val)]
    assert batches["steps of the upper layers"] == 8 * steps[0]
    assert batches["steps of all but the lowest, 224x224"] == 10 * steps[0]
    assert batches["steps of all but the lowest, 300x300"] == 10 * steps[1]
    assert batches["frozen lower layers"] == -(-(4 * train + val) // 16)
    assert batches["scores of all versions, 300x300"] == 8 * -(-test // 16)


def test_times_of_the_recipe_are_those_of_a_batch_times_the_batches():
    work = SimpleNamespace(title="steps", batches=600)
    rows = [recipe._row(work, {"ours_ms": 100.0, "torch_ms": 150.0}), recipe._row(work, {"ours_ms": 300.0, "torch_ms": 150.0})]
    assert [row["ours_minutes"] for row in rows] == [1.0, 3.0] and rows[0]["ratio"] == 1.5
    total = recipe._total(rows)
    assert (total["batches"], total["ours_minutes"], total["torch_minutes"], total["ratio"]) == (1200, 4.0, 3.0, 0.75)
    assert "ratio" not in recipe._total([recipe._row(work, {"ours_ms": 100.0})])


@pytest.mark.skipif(not HAS_TORCH, reason="PyTorch is not installed")
def test_both_sides_take_the_steps_of_the_recipe():
    for work in recipe.works():
        if work.title.startswith(("steps of the upper", "upper layers")):
            for call in [*recipe._our_calls(work).values(), *recipe._calls_in_torch(work).values()]:
                assert np.isfinite(np.asarray(call())).all()
