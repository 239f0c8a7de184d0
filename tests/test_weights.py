"""The weights that come with the project."""

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest

import minicnn
from minicnn.data import load_cifar10, load_fashion_mnist, load_mnist

WEIGHTS = Path(__file__).resolve().parents[1] / "weights"
MANIFEST = json.loads((WEIGHTS / "manifest.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("entry", MANIFEST, ids=[entry["name"] for entry in MANIFEST])
def test_every_file_is_the_one_in_the_manifest_and_carries_its_origin(entry):
    content = (WEIGHTS / entry["file"]).read_bytes()
    assert (hashlib.sha256(content).hexdigest(), len(content)) == (entry["sha256"], entry["bytes"])
    origin = minicnn.load(entry["name"]).provenance
    assert {key: entry[key] for key in ("data", "seed", "command", "date", "licence")}.items() <= origin.items()
    assert not re.search(r"(^|[\s(])[/~\\]", json.dumps(origin)), "a folder of the machine that trained it"


LOADERS = {"MNIST": load_mnist, "Fashion-MNIST": load_fashion_mnist, "CIFAR-10": load_cifar10}
FOLDERS = {"MNIST": "mnist", "Fashion-MNIST": "fashion-mnist", "CIFAR-10": "."}
LEAST = {"lenet5_mnist": 0.993, "vgg_small_fashion_mnist": 0.935, "vgg_small_cifar10": 0.88, "speed_net_cifar10": 0.86}


@pytest.mark.parametrize("entry", MANIFEST, ids=[entry["name"] for entry in MANIFEST])
def test_a_network_is_as_good_on_pictures_it_has_not_seen_as_the_manifest_says(entry, shared_data):
    """On 1,000 of the 10,000 test pictures; the largest deviation is three standard deviations of such a sample."""
    name = entry["data"].partition(" (")[0]
    _, _, x, y = LOADERS[name](shared_data / FOLDERS[name])
    x = x if x.ndim == 3 else x.transpose(0, 2, 3, 1)
    model, some = minicnn.load(entry["name"]), slice(0, None, len(x) // 1000)
    right = model.forward(model.preprocessing.normalise(x[some])).argmax(1) == y[some]
    p = entry["test_accuracy"]
    assert right.mean() == pytest.approx(p, abs=3 * np.sqrt(p * (1 - p) / 1000))
    assert p >= LEAST.get(entry["name"], 0)


def test_lenet5_names_a_digit_from_a_picture(shared_data):
    _, _, x, y = load_mnist(shared_data / "mnist")
    model = minicnn.load("lenet5_mnist")
    ((name, probability), *_) = model.top_classes(x[0], top=3)[0]
    assert name == str(y[0]) and probability > 0.9
