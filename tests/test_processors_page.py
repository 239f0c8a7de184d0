"""Results of each kind of processor are kept under a name of its own, and shown side by side."""

import doctest
import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import __main__ as command
from benchmarks import processors
from benchmarks.rows import make_row

MACHINE = {
    "processor": "AMD EPYC 7763",
    "microarchitecture": "znver3",
    "vectors": "AVX2",
    "threads": 2,
    "limits": {"gflops": 190.4, "gflops_one_thread": 100.0, "bandwidth": 24.0, "bandwidth_one_thread": 15.0},
    "versions": {"torch": "2.15.0", "onnxruntime": None, "numpy": "2.4.6"},
    "date": "2026-01-02 03:04",
}


def results(ratio, seconds=None, **machine):
    rows = [
        make_row("networks", "VGG-16 inference, batch 1", ours_ms=1.0, torch_ms=ratio),
        make_row("startup", "import minicnn", ours_ms=seconds and 1000 * seconds),
    ]
    return {"machine": MACHINE | machine, "complete": True, "rows": rows}


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "speed.md"
    path.write_text("above\n<!-- processors -->\nold\n<!-- end of processors -->\nbelow\n")
    return path


def test_a_column_for_each_kind_and_a_row_for_each_target(tmp_path, page):
    processors.keep(results(1.0), tmp_path)
    newer = processors.keep(results(1.56), tmp_path)  # the same kind: takes the place of the first
    processors.keep(results(2.5, 0.3, microarchitecture="cascadelake", vectors="AVX-512", processor="Xeon"), tmp_path)
    assert newer.name == "amd-epyc-7763-znver3-avx2.json"
    assert json.loads(newer.read_text())["rows"][0]["ratio"] == 1.56
    processors.write_page(page, tmp_path)
    text = page.read_text()
    assert text.startswith(
        "above\n<!-- processors -->\n| what | at least | aim | AMD EPYC 7763 (znver3, AVX2) | Xeon (cascadelake, "
    )
    assert "old" not in text and text.endswith("<!-- end of processors -->\nbelow\n")
    for line in (
        "| measured on |  |  | 2026-01-02 | 2026-01-02 |",
        "| FMA, GFLOP/s, one thread / all |  |  | 100 / 190 | 100 / 190 |",
        "| PyTorch |  |  | 2.15.0 | 2.15.0 |",
        "| VGG-16 inference | 1.5 | 2 | 1.56 + | 2.5 ++ |",
        "| import minicnn, seconds at most | 0.4 |  |  | 0.3 + |",
    ):
        assert f"\n{line}\n" in text
    assert "CIFAR" not in text  # nobody has such a row


def test_without_results_there_is_no_table(tmp_path, page):
    processors.write_page(page, tmp_path / "none")
    assert page.read_text() == "above\n<!-- processors -->\n\n<!-- end of processors -->\nbelow\n"


def test_results_of_a_part_are_not_kept(tmp_path):
    with pytest.raises(ValueError, match="only the results of a full run"):
        processors.keep(results(1.0) | {"complete": False}, tmp_path)
    for part in ("--quick", "--only=VGG"):
        with pytest.raises(SystemExit):
            command.main(["--keep", part])


def test_results_from_another_machine_are_kept_by_the_command(monkeypatch, tmp_path, page, capsys):
    monkeypatch.setattr(processors.keep, "__defaults__", (tmp_path,))
    monkeypatch.setattr(processors.write_page, "__defaults__", (page, tmp_path))
    file = tmp_path.parent / "results_of_elsewhere.json"
    processors.save(results(1.5), file)
    assert processors.main([str(file)]) == 0
    assert "amd-epyc-7763-znver3-avx2.json" in capsys.readouterr().out and "| 1.5 + |" in page.read_text()


def test_the_page_shows_what_is_kept():
    page = processors.PAGE.read_text(encoding="utf-8")
    part = page.partition("<!-- processors -->\n")[2].partition("\n<!-- end of processors -->")[0]
    assert part == processors.processors_table(processors.kept()), "python -m benchmarks.processors writes the page anew"


def test_examples():
    assert doctest.testmod(processors).failed == 0
