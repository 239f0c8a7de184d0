"""The weights that come with the project."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

import minicnn
from minicnn.data.mnist import load_mnist

WEIGHTS = Path(__file__).resolve().parents[1] / "weights"
MANIFEST = json.loads((WEIGHTS / "manifest.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("entry", MANIFEST, ids=[entry["name"] for entry in MANIFEST])
def test_every_file_is_the_one_in_the_manifest_and_carries_its_origin(entry):
    content = (WEIGHTS / entry["file"]).read_bytes()
    assert (hashlib.sha256(content).hexdigest(), len(content)) == (entry["sha256"], entry["bytes"])
    origin = minicnn.load(entry["name"]).provenance
    assert {key: entry[key] for key in ("data", "seed", "command", "date", "licence")}.items() <= origin.items()


def test_lenet5_reads_digits_it_has_not_seen_as_well_as_the_manifest_says(shared_data):
    (entry,) = (entry for entry in MANIFEST if entry["name"] == "lenet5_mnist")
    _, _, x, y = load_mnist(shared_data / "mnist")
    model = minicnn.load("lenet5_mnist")
    answers = np.concatenate(
        [model.forward(model.preprocessing.normalise(x[i : i + 500])).argmax(1) for i in range(0, len(x), 500)]
    )
    assert (answers == y).mean() == pytest.approx(entry["test_accuracy"], abs=2e-4)
    assert entry["test_accuracy"] >= 0.99


def test_lenet5_names_a_digit_from_a_picture(shared_data):
    _, _, x, y = load_mnist(shared_data / "mnist")
    model = minicnn.load("lenet5_mnist")
    ((name, probability), *_) = model.top_classes(x[0], top=3)[0]
    assert name == str(y[0]) and probability > 0.9
