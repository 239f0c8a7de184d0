"""What several test files share."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


def pytest_addoption(parser):
    parser.addoption(
        "--strict-workspaces",
        action="store_true",
        help="fill workspaces with NaN as soon as they may not be read any more, and run tasks in random order",
    )


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
