"""What an installation has is what the repository has."""

import configparser
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]


def test_every_package_is_installed():
    """The list stands in setup.cfg because ``find:`` would not find the weights, whose folder lies beside the package."""
    config = configparser.ConfigParser()
    config.read(REPOSITORY / "setup.cfg")
    folders = [init.parent.relative_to(REPOSITORY) for init in (REPOSITORY / "minicnn").rglob("__init__.py")]
    beside = {"minicnn.lessons", "minicnn.weights"}
    assert set(config["options"]["packages"].split()) == {".".join(folder.parts) for folder in folders} | beside
