"""The table that says how many altered copies are noticed."""

import numpy as np
import pytest
from PIL import Image
from test_near_duplicates import clouds

from benchmarks import near_duplicates
from minicnn.data.folders import open_pictures
from minicnn.data.preprocessing import Preprocessing
from minicnn.layers import Conv2d, GlobalAvgPool2d, Linear
from minicnn.models.model import Model


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MINICNN_CACHE", str(tmp_path / "cache"))
    for i, picture in enumerate(clouds(24)):
        path = tmp_path / "clouds" / "ab"[i % 2] / f"{i:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path)
    return tmp_path / "clouds"


def network():
    """Its codes are the mean colours and how rough a picture is."""
    layers = {"conv": Conv2d(3, 16, 5, rng=0), "pool": GlobalAvgPool2d(), "scores": Linear(16, 2, rng=0)}
    return Model(
        layers, architecture="colours", input_shape=(3, 32, 32), preprocessing=Preprocessing(size=32, mean=127.0, std=64.0)
    )


def test_every_alteration_has_a_row_and_copies_are_told_from_other_pictures(folder):
    rows, without_copies = near_duplicates.measure(network(), open_pictures(folder), every=4)
    assert [row["alteration"] for row in rows] == list(near_duplicates.ALTERATIONS)
    assert all(set(row) == set(near_duplicates.HEADINGS) and row["copies"] == 6 for row in rows)
    matched = {row["alteration"]: row["matched"] for row in rows}
    assert matched["saved again, JPEG quality 30"] == matched["mirrored"] == 6 and matched["turned by 5 degrees"] < 6
    assert all(row["found"] <= row["matched"] for row in rows)
    assert len(without_copies) == 0


def test_alterations_do_what_their_names_say():
    picture = Image.fromarray(clouds(1)[0])
    made = {name: np.asarray(alter(picture)) for name, alter in near_duplicates.ALTERATIONS.items()}
    assert made["half as large"].shape == (48, 48, 3) and made["the central 70 %"].shape == (67, 67, 3)
    np.testing.assert_array_equal(made["mirrored"], clouds(1)[0][:, ::-1])
    np.testing.assert_array_equal(made["70 % out of a corner"], clouds(1)[0][:67, :67])
    assert 0 < np.abs(made["saved again, JPEG quality 30"].astype(int) - clouds(1)[0]).max() < 60
    assert made["turned by 5 degrees"][0, 0].max() == 0


def test_pictures_that_are_not_there_are_named(capsys):
    with pytest.raises(SystemExit):
        near_duplicates.main(["--data", "nowhere.zip"])
    assert "nowhere.zip is not there; --data names a folder or a zip archive" in capsys.readouterr().err
