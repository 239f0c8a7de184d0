"""What several test files share."""

import os
import shutil
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


def pytest_addoption(parser):
    parser.addoption(
        "--strict-workspaces",
        action="store_true",
        help="fill workspaces with NaN as soon as they may not be read any more, and run tasks in random order",
    )


def pytest_configure(config):
    """Side by side (``pytest -n auto``), each process has a core of its own: threads that wait for each other share none."""
    worker = getattr(config, "workerinput", {}).get("workerid")  # "gw0", "gw1", ...
    if worker and hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[int(worker[2:]) % len(cores)]})


@pytest.fixture(scope="session", autouse=True)
def strict_runtime(request):
    """See `strict_workspaces`."""
    if not request.config.getoption("--strict-workspaces"):
        yield
        return
    from strict_workspaces import strict_workspaces

    with strict_workspaces():
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of development data: $MINICNN_TEST_DATA, or ``../shared/data`` beside the repository."""
    folder = Path(os.environ.get("MINICNN_TEST_DATA") or REPOSITORY.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"the development data is not in {folder}; set MINICNN_TEST_DATA to the folder that has it")
    return folder


@pytest.fixture(scope="session", autouse=True)
def cache_of_these_tests(tmp_path_factory):
    """A cache folder of the tests' own: they neither use nor change what is in the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINICNN_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("KERAS_BACKEND", "torch")
        patch.setenv("KERAS_HOME", str(tmp_path_factory.mktemp("keras")))
        yield


@pytest.fixture(scope="module")  # and no longer: what drives it keeps an event loop, which other tests want for themselves
def chromium():
    """A headless browser."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="pages are tested in a browser, with playwright")
    with sync_api.sync_playwright() as playwright:
        found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
        executable = found or playwright.chromium.executable_path
        if not os.path.exists(executable):
            pytest.skip("pages are tested in a browser, and there is no Chromium")
        with playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"]) as browser:
            yield browser
