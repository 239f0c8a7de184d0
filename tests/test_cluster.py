"""Searches and codes on a cluster: the same bits as here, also when a worker is killed on the way."""

import subprocess
import sys
from functools import partial

import numpy as np
import pytest
from PIL import Image
from search_objectives import Deadly, codes_of_block_until_killed, deadly_at_large_rates, train
from test_search import SPACE, study_of

from minicnn.cli import main
from minicnn.models import lenet5
from minicnn.recipes.base import preprocessing_of
from minicnn.runtime import get_threads, set_threads
from minicnn.runtime.cluster import Cluster
from minicnn.search import LogUniform
from minicnn.transfer import extract_features, features
from minicnn.transfer.feature_file import CodeFile

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def cluster():
    """Two workers, processes of their own on this machine, which are replaced when they die; a task may see two die."""
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as local,
    ):
        yield local.scheduler_address


@pytest.fixture
def two_threads():
    before = get_threads()
    set_threads(2)
    yield
    set_threads(before)


def pictures(n):
    return np.random.default_rng(0).normal(size=(n, 1, 28, 28)).astype(np.float32)


def test_a_study_on_a_cluster_gives_the_same_bits_also_when_a_worker_is_killed(cluster, tmp_path):
    here = study_of(train).successive_halving(6)
    there = study_of(Deadly(tmp_path), cluster=cluster, folder=tmp_path).successive_halving(6)
    assert (tmp_path / "died").exists() and there == here
    with distributed.Client(cluster, set_as_default=False) as client:
        assert study_of(train, cluster=client).random(3, 1) == here[:3] and client.status == "running"


def test_codes_from_a_cluster_are_the_same_bits_also_when_a_worker_is_killed(cluster, tmp_path, monkeypatch, two_threads):
    model, x = lenet5(rng=0), pictures(6 * 64 + 3)  # six blocks and a few
    monkeypatch.setenv("MINICNN_CACHE", str(tmp_path / "here"))
    here = extract_features(model, x, layer=["s4", "f6"], progress=False)
    monkeypatch.setenv("MINICNN_CACHE", str(tmp_path / "there"))
    dying = partial(codes_of_block_until_killed, tmp_path, features._codes_of_block)
    with monkeypatch.context() as patch:
        patch.setattr(features, "_codes_of_block", dying)
        there = extract_features(model, x, layer=["s4", "f6"], progress=False, cluster=cluster)
    assert (tmp_path / "third").exists()
    for name in here:
        np.testing.assert_array_equal(here[name], there[name])


def test_codes_do_not_depend_on_the_number_of_threads(tmp_path, monkeypatch, two_threads):
    found = []
    for threads in (1, 2, 3):
        set_threads(threads)
        monkeypatch.setenv("MINICNN_CACHE", str(tmp_path / str(threads)))
        found.append(extract_features(lenet5(rng=0), pictures(66), progress=False))
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_pixels_are_normalised_there_as_here(cluster, tmp_path, monkeypatch):
    model = lenet5(rng=0)
    x = np.random.default_rng(1).integers(0, 255, (70, 28, 28, 1)).astype(np.uint8)
    model.preprocessing = preprocessing_of(x)
    monkeypatch.setenv("MINICNN_CACHE", str(tmp_path / "here"))
    here = extract_features(model, x, progress=False)
    monkeypatch.setenv("MINICNN_CACHE", str(tmp_path / "there"))
    np.testing.assert_array_equal(here, extract_features(model, x, progress=False, cluster=cluster))


def test_nobody_is_asked_for_codes_that_are_there(cluster, tmp_path, monkeypatch):
    monkeypatch.setenv("MINICNN_CACHE", str(tmp_path))
    codes = extract_features(lenet5(rng=0), pictures(5), progress=False)
    again = extract_features(lenet5(rng=0), pictures(5), progress=False, cluster="tcp://nobody:1")
    np.testing.assert_array_equal(codes, again)


def test_no_more_tasks_are_sent_than_keep_the_workers_busy(cluster):
    taken = []

    def tasks():
        for i in range(50):
            taken.append(i)
            yield i, (i, 2)

    with Cluster(cluster) as connected:
        results = connected.completed(pow, tasks())
        assert next(results)[1] in range(50) and len(taken) <= 4
        rest = dict(results)
        assert len(rest) == 49 and rest[49] == 49**2


def test_what_a_worker_cannot_do_is_said(cluster):
    message = r"the cluster at tcp://.* cannot do its task: unsupported operand .* need the version of minicnn that is here"
    with Cluster(cluster) as connected, pytest.raises(ConnectionError, match=message):
        dict(connected.completed(pow, [(0, ("a", 2))]))


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nonsense", "ftp://a:1", "tcp://no.such.host.invalid:8786"])
def test_a_cluster_that_does_not_answer_is_named_within_seconds(address, monkeypatch):
    monkeypatch.setattr("minicnn.runtime.cluster.TIMEOUT", 0.3)
    with pytest.raises(ConnectionError, match=f"no scheduler of a cluster answers at {address} .*`dask scheduler` starts one"):
        study_of(cluster=address).random(1, 1)


def test_without_the_package_one_is_told_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ValueError, match=r'needs the package distributed: pip install "minicnn\[cluster\]"'):
        study_of(space=SPACE, cluster="tcp://127.0.0.1:1").random(1, 1)


def test_the_library_needs_no_cluster():
    code = "import sys, minicnn; minicnn.search; minicnn.runtime.cluster; print('distributed' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"


def test_the_command_computes_its_codes_on_the_cluster(cluster, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MINICNN_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    for name, level in (("dark", 40), ("light", 160)):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for i in range(12):
            pixels = (level + rng.integers(0, 60, (28, 28))).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pictures" / name / f"{i}.png")
    asked = []
    monkeypatch.setattr(features, "Cluster", lambda address: asked.append(address) or Cluster(address))
    words = [
        "--data",
        tmp_path / "pictures",
        "--model",
        "lenet5_mnist",
        "--strategy",
        "svm",
        "--quick",
        "--out",
        tmp_path / "out",
    ]
    assert main(["transfer", *map(str, words), "--cluster", cluster]) == 0
    assert asked == [cluster] and "24 pictures" in capsys.readouterr().out


def test_codes_that_were_written_before_the_disk_was_full_are_not_computed_again(cluster, tmp_path, monkeypatch):
    monkeypatch.setenv("MINICNN_CACHE", str(tmp_path))
    write, written = CodeFile.write, []

    def until_the_disk_is_full(self, rows, codes):
        if len(written) == 2:
            raise OSError("the disk is full")
        written.append(rows)
        write(self, rows, codes)

    with monkeypatch.context() as patch, pytest.raises(OSError, match="full"):
        patch.setattr(CodeFile, "write", until_the_disk_is_full)
        extract_features(lenet5(rng=1), pictures(400), progress=False, cluster=cluster)
    monkeypatch.setattr(CodeFile, "write", lambda self, rows, codes: written.append(rows) or write(self, rows, codes))
    extract_features(lenet5(rng=1), pictures(400), progress=False)
    assert sorted(rows.start for rows in written) == list(range(0, 400, 64))


def test_a_trial_that_kills_its_worker_each_time_has_failed(cluster):
    low, high = study_of(deadly_at_large_rates, space={"lr": LogUniform(1e-3, 1.0)}, cluster=cluster).grid(2, 1)
    assert low.value == 0.5 and high.error == "the process that ran it died 2 times (was there too little memory?)"
