"""solar_cells: the ELPV data set as its package carries it."""

import importlib.util
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from minicnn.data import cells
from minicnn.data.cells import solar_cells
from minicnn.errors import DataError

installed = pytest.mark.skipif(importlib.util.find_spec("elpv_dataset") is None, reason="elpv-dataset is not installed")


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of the same form with two cells."""
    (tmp_path / "data" / "images").mkdir(parents=True)
    for name in ("cell0001", "cell0002"):
        Image.new("L", (300, 300), 90).save(tmp_path / "data" / "images" / f"{name}.png")
    (tmp_path / "data" / "labels.csv").write_text(
        "images/cell0001.png  0.6666666666666666   mono\nimages/cell0002.png  0.3333333333333333   poly\n"
    )
    found = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(cells.importlib.util, "find_spec", lambda name: found)
    return tmp_path


def test_probability_above_one_half_is_defective(package):
    pictures = solar_cells()
    assert pictures.classes == ["functional", "defective"]
    assert pictures.labels.tolist() == [1, 0] and pictures.groups.tolist() == ["mono", "poly"]
    np.testing.assert_allclose(pictures.probabilities, [[1 / 3, 2 / 3], [2 / 3, 1 / 3]], rtol=1e-6)
    assert pictures.targets is pictures.probabilities
    np.testing.assert_array_equal(pictures.subset([1]).probabilities, pictures.probabilities[1:])
    assert pictures.file_name(1) == "images/cell0002.png" and pictures.picture(0).shape == (300, 300, 3)


@installed
def test_the_2624_cells_of_the_paper():
    imported = "elpv_dataset" in sys.modules
    pictures = solar_cells()
    assert ("elpv_dataset" in sys.modules) == imported  # its files are read, its code is not run
    assert len(pictures) == 2624 and pictures.name == "solar cells (elpv-dataset)" and pictures.splits is None
    assert np.bincount(pictures.labels).tolist() == [1803, 821]
    np.testing.assert_array_equal(pictures.probabilities.argmax(axis=1), pictures.labels)
    assert np.unique(pictures.probabilities[:, 1].round(3)).tolist() == [0, np.float32(0.333), np.float32(0.667), 1]
    assert {cell_type: int((pictures.groups == cell_type).sum()) for cell_type in ("mono", "poly")} == {
        "mono": 1074,
        "poly": 1550,
    }
    assert pictures.picture(2623).shape == (300, 300, 3)
    assert "Solar Energy 185" in pictures.citation and "Buerhop-Lutz" in pictures.citation
    assert "NC-SA" in pictures.licence and pictures.source.startswith("https://")


def test_without_the_package_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(cells.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=r'pip install "minicnn\[demo\]"'):
        solar_cells()


def test_an_incomplete_installation_is_noticed(package):
    (package / "data" / "images" / "cell0002.png").unlink()
    with pytest.raises(DataError, match="lacks 1 of 2 pictures"):
        solar_cells()
    (package / "data" / "labels.csv").write_text("images/cell0001.png often mono\n")
    with pytest.raises(
        DataError, match=r"line 1: expected a path, a probability and a cell type, got 'images/cell0001.png often mono'"
    ):
        solar_cells()
    (package / "data" / "labels.csv").unlink()
    with pytest.raises(DataError, match="install again"):
        solar_cells()
