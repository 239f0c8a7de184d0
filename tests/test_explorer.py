"""The explorer's page, up to the browser: the network as nodes, the numbers it carries, what is asked of the engine."""

import base64
import json
import re
import zlib

import numpy as np
import pytest
from PIL import Image

from minicnn import models
from minicnn.cli import main
from minicnn.data.folders import open_pictures
from minicnn.data.preprocessing import Preprocessing
from minicnn.explorer import explore
from minicnn.explorer.arrays import ArrayPack, stored_type
from minicnn.explorer.graph import nodes_of
from minicnn.explorer.measurements import choose_pictures, confusion, half_precision
from minicnn.layers import (
    BatchNorm2d,
    Concat,
    Conv2d,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    Linear,
    ReLU,
    Residual,
    Sequential,
    StochasticDepth,
    VanillaDropout,
)
from minicnn.models import Model
from minicnn.transfer.surgery import default_layer

NETWORKS = {  # at sizes that are quick, where the network takes any
    "lenet5": (1, 28, 28),
    "alexnet": (3, 227, 227),
    "resnet18": (3, 33, 33),
    "resnet20": (3, 16, 16),
    "squeezenet1_1": (3, 48, 48),
    "googlenet": (3, 64, 64),
    "mobilenet_v2": (3, 32, 32),
    "efficientnet_lite0": (3, 32, 32),
}


def computed(nodes, x):
    """The output of every node, by the layers' own forward passes."""
    outputs = []
    for node in nodes:
        inputs = [outputs[i] for i in node.inputs]
        if node.type == "Input":
            y = x
        elif node.type == "Add":
            y = inputs[0] + inputs[1]
        elif node.type == "Concat":
            y = np.concatenate(inputs, axis=1)
        elif node.type == "Scale":
            y = inputs[0] * np.float32(node.config["factor"])
        else:
            y = inputs[0] if node.type == "Identity" else node.layer.eval().forward(inputs[0])
        assert y.shape[1:] == node.shape, node.path
        outputs.append(y)
    return outputs


@pytest.mark.parametrize("name", NETWORKS)
def test_the_nodes_compute_what_the_network_computes(name):
    network, shape = getattr(models, name)(rng=0).eval(), NETWORKS[name]
    x = np.random.default_rng(0).standard_normal((2, *shape)).astype(np.float32)
    nodes = nodes_of(network, shape)
    np.testing.assert_allclose(computed(nodes, x)[-1], network.forward(x), rtol=1e-3, atol=1e-5)
    assert sum(node.multiply_adds for node in nodes) == network.multiply_adds((1, *shape))
    owned = [id(p) for node in nodes if node.layer for p in node.layer.parameters().values()]
    inference_only = {id(p) for name, p in network.parameters().items() if not name.startswith("auxiliary")}
    assert len(owned) == len(set(owned)) and set(owned) <= {id(p) for p in network.parameters().values()}
    assert inference_only <= set(owned) or any(node.config.get("of") == "AuxiliaryHead" for node in nodes)


def test_containers_within_containers_are_taken_apart():
    branch = StochasticDepth(Sequential(conv=Conv2d(2, 2, 3, pad=1, rng=0), drop=VanillaDropout(0.25)), survival=0.5)
    network = Sequential(
        blocks=Sequential(first=Residual(branch), second=Concat(a=Conv2d(2, 3, 1, rng=1), b=Sequential(relu=ReLU()))),
        drop=Dropout(0.5),
        pool=GlobalAvgPool2d(),
    ).eval()
    nodes = nodes_of(network, (2, 5, 5))
    assert [(node.path, node.type, node.inputs) for node in nodes] == [
        ("input", "Input", []),
        ("blocks.first.body.body.conv", "Conv2d", [0]),
        ("blocks.first.body.body.drop", "Scale", [1]),
        ("blocks.first.body", "Scale", [2]),
        ("blocks.first", "Add", [3, 0]),
        ("blocks.second.a", "Conv2d", [4]),
        ("blocks.second.b.relu", "ReLU", [4]),
        ("blocks.second", "Concat", [5, 6]),
        ("drop", "Identity", [7]),
        ("pool", "GlobalAvgPool2d", [8]),
    ]
    x = np.random.default_rng(0).standard_normal((1, 2, 5, 5)).astype(np.float32)
    np.testing.assert_allclose(computed(nodes, x)[-1], network.forward(x), rtol=1e-5)
    assert nodes[4].receptive_field.size() == (3, 3) and nodes[9].receptive_field is None


def test_filters_are_stored_in_half_precision_unless_that_cannot_hold_them():
    assert stored_type(np.ones((2, 2), np.float32)) == np.float16
    assert stored_type(np.ones(2, np.float32)) == np.float32
    assert stored_type(np.full((2, 2), 1e5, np.float32)) == np.float32


def unpacked(pack_text, entries):
    content = zlib.decompress(base64.b64decode(pack_text))
    arrays = []
    for entry in entries:
        dtype, start = np.dtype(entry["dtype"]), entry["offset"]
        stored = content[start : start + int(np.prod(entry["shape"])) * dtype.itemsize]
        if entry["coding"] == "byte-planes":
            stored = np.frombuffer(stored, np.uint8).reshape(2, -1).T.tobytes()
        array = np.frombuffer(stored, dtype).reshape(entry["shape"])
        arrays.append(np.cumsum(array, axis=1, dtype=np.uint8) if entry["coding"] == "horizontal-differences" else array)
    return arrays


def test_arrays_come_out_of_the_text_as_they_went_in():
    rng = np.random.default_rng(0)
    pack = ArrayPack()
    given = [rng.standard_normal((3, 5)).astype(np.float16), rng.integers(0, 256, (4, 7, 3), np.uint8), np.float32([1.5])]
    numbers = [pack.add(given[0]), pack.add_pixels(given[1]), pack.add(given[2]), pack.add(given[0].copy())]
    assert numbers == [0, 1, 2, 0]
    for array, original in zip(unpacked(pack.as_text(), pack.entries), given, strict=True):
        np.testing.assert_array_equal(array, original)


def test_mistakes_come_first_and_leave_room_for_other_pictures():
    rng = np.random.default_rng(0)
    scores, labels = rng.standard_normal((40, 3)), rng.integers(0, 3, 40).tolist()
    chosen = choose_pictures(scores, labels, most=9)
    wrong = [i for i in chosen if scores[i].argmax() != labels[i]]
    assert chosen[:6] == wrong and len(set(chosen)) == 9
    assert len(choose_pictures(scores, [None] * 40, most=9)) == 9
    assert sorted(choose_pictures(scores[:4], labels[:4], most=24)) == [0, 1, 2, 3]


def test_the_confusion_matrix_counts_pictures_whose_class_is_known():
    scores = np.array([[1.0, 0], [0, 1], [0, 1], [1, 0]])
    assert confusion(scores, [0, 0, 1, None]) == [[0, 0, 1], [0, 1, 1], [1, 1, 1]]
    assert confusion(scores, [None] * 4) is None


# ---- the whole page


@pytest.fixture(scope="module")
def network():
    rng = np.random.default_rng(0)
    layers = {
        "conv": Conv2d(3, 4, 3, pad=1, rng=rng),
        "norm": BatchNorm2d(4),
        "relu": ReLU(),
        "pool": GlobalAvgPool2d(),
        "scores": Linear(4, 3, rng=rng),
    }
    preprocessing = Preprocessing(size=12, mean=(100.0, 110, 120), std=(50.0, 60, 70))
    classes = ["<img src=x onerror=alert(1)>", "</script><b>", "bees"]
    return Model(layers, architecture="small", input_shape=(3, 12, 12), preprocessing=preprocessing, classes=classes)


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(1).integers(0, 256, (10, 12, 12, 3), np.uint8)


def content_of(page):
    """The data of a page and its arrays."""
    data = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page.html, re.S)[1])
    text = re.search(r'<script type="application/octet-stream" id="arrays">(.*?)</script>', page.html, re.S)[1]
    return data, unpacked(text, data["arrays"])


def test_a_page_holds_network_and_pictures_and_what_the_engine_says_of_them(network, pictures):
    labels = [0, 1, 2, 0, 1, 2, 0, 1, None, 2]
    data, arrays = content_of(explore(network, pictures, labels, most=6, training=pictures, training_labels=labels))
    rounded = half_precision(network)
    assert len(data["pictures"]) == 6 and data["confusion"]["of"] == 9
    for entry in data["pictures"]:
        pixels = arrays[entry["pixels"]]
        (number,) = [i for i, picture in enumerate(pictures) if np.array_equal(picture, pixels)]
        assert entry["label"] == labels[number]
        np.testing.assert_allclose(entry["scores"][0], rounded.forward(network.preprocess(pixels))[0], rtol=1e-6)
        assert len(entry["neighbours"]) == 5
        assert all(entry["neighbours"][k]["distance"] <= entry["neighbours"][k + 1]["distance"] for k in range(4))
        assert arrays[entry["grad_cam"]["maps"]].shape[0] == len(entry["grad_cam"]["classes"])
        covered = arrays[entry["occlusion"]["probabilities"]]
        np.testing.assert_allclose(covered.sum(axis=2), 1, atol=2e-3)  # of all three classes, in half precision
    conv = data["nodes"][1]
    np.testing.assert_array_equal(arrays[conv["arrays"][0]["w"]], network.layers["conv"].w.value.astype(np.float16))
    assert conv["config"]["pads"] == [1, 1, 1, 1] and conv["trainable"] == "yes"


def test_codes_that_are_known_give_the_same_neighbours_as_those_that_are_computed(network, pictures):
    shown, training = pictures[:3], pictures[3:]
    codes = network.forward(network.preprocess(training), ["pool"])["pool"]
    computed, given = (
        content_of(explore(network, shown, training=training, training_codes=known))[0]["pictures"] for known in (None, codes)
    )
    assert [entry["neighbours"] for entry in computed] == [entry["neighbours"] for entry in given]


def test_labels_that_are_given_come_before_those_of_a_picture_set(network, folder):
    collection = open_pictures(folder)
    labels = [k % 3 for k in range(len(collection))]
    data, _ = content_of(explore(network, collection, labels, most=len(collection)))
    numbers = {collection.file_name(i): label for i, label in enumerate(labels)}
    assert {entry["name"]: entry["label"] for entry in data["pictures"]} == numbers


def test_names_cannot_become_markup(network, pictures):
    names = [f"</script><script>alert({i})</script>.jpg" for i in range(len(pictures))]
    page = explore(network, pictures, names=names, title="<b>title</b>")
    assert page.html.count("</script>") == page.html.count("<script")
    assert "<b>title" not in page.html and "alert(1)</script>" not in page.html
    data, _ = content_of(page)
    assert data["classes"] == network.classes and {entry["name"] for entry in data["pictures"]} <= set(names)


def test_the_network_before_is_there_where_it_has_the_same_layers(network, pictures):
    tuned = network.copy()
    tuned.freeze(until="norm")
    tuned.layers["scores"].w.value = tuned.layers["scores"].w.value * np.float32(1.5)
    data, _ = content_of(explore(tuned, pictures, before=network))
    moved = {node["path"]: node["moved"] for node in data["nodes"] if node["parameters"]}
    assert moved["conv"] == moved["norm"] == 0 and moved["scores"] == pytest.approx(0.5 / np.sqrt(1), rel=1e-3)
    assert [node["trainable"] for node in data["nodes"][1:3]] == ["no", "no"]
    conv = data["nodes"][1]["arrays"]
    assert conv[0] == conv[1] and len(data["pictures"][0]["scores"]) == 2

    other_head = network.copy()
    other_head.replace_head(["a", "b"], rng=0)
    data, _ = content_of(explore(tuned, pictures, before=other_head))
    assert data["nodes"][-1]["arrays"][1] is None and data["pictures"][0]["scores"][1] is None


class Doubled(ReLU):
    """A layer that the page does not know."""

    def forward(self, x):
        return 2 * x

    def backward(self, dy):
        return 2 * dy


def test_what_the_page_cannot_compute_is_computed_for_it(network, pictures):
    layers = {**network.copy().layers, "relu": Doubled()}
    model = Model(layers, architecture="own", input_shape=(3, 12, 12), preprocessing=network.preprocessing)
    data, arrays = content_of(explore(model, pictures, most=2))
    number = next(i for i, node in enumerate(data["nodes"]) if node["opaque"])
    assert data["nodes"][number]["path"] == "relu"
    for entry in data["pictures"]:
        x = network.preprocess(arrays[entry["pixels"]])
        expected = half_precision(model).forward(x, ["relu"])["relu"][0]
        np.testing.assert_allclose(arrays[entry["opaque"][str(number)][0]], expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"pictures": []}, "at least one picture"),
        ({"labels": [0]}, "a label for each of 10 pictures"),
        ({"labels": ["wasps"] * 10}, "'wasps' is no class"),
        ({"labels": [3] * 10}, "3 is no class"),
        ({"most": 0}, "at least 1, got 0"),
        ({"names": ["a"]}, "a name for each of 10 pictures"),
        ({"before": models.lenet5()}, "takes 1 channels and this one 3"),
        ({"before": models.resnet20()}, "resnet20 has no layer like those of small"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, said, network, pictures):
    with pytest.raises(ValueError, match=re.escape(said)):
        explore(network, arguments.pop("pictures", pictures), **arguments)


# ---- the command


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(2)
    for part, count in (("train", 6), ("test", 3)):
        for name in ("bees", "wasps"):
            for i in range(count):
                path = tmp_path / "pictures" / part / name / f"{name}{i}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(rng.integers(0, 256, (14, 15, 3), np.uint8)).save(path)
    return tmp_path / "pictures"


def test_the_command_makes_a_page_of_a_folder_and_says_where_it_is(network, folder, tmp_path, capsys):
    network.save(tmp_path / "model.h5")
    out = tmp_path / "page.html"
    assert main(["explore", str(tmp_path / "model.h5"), "--data", str(folder), "--out", str(out), "--pictures", "4"]) == 0
    said = capsys.readouterr().out
    assert (
        "the network has no class wasps" in said
        and "the page will take about" in said
        and f"{out}: " in said
        and "open it in a browser" in said
    )
    html = out.read_text(encoding="utf-8")
    data = json.loads(re.search(r'id="data">(.*?)</script>', html, re.S)[1])
    assert len(data["pictures"]) == 4 and len(data["pictures"][0]["neighbours"]) == 5
    assert {entry["label"] for entry in data["pictures"]} <= {2, None}  # the network has bees and no wasps
    assert str(tmp_path) not in html


def test_pictures_that_are_named_lose_the_way_to_them(network, folder, tmp_path, capsys):
    network.save(tmp_path / "model.h5")
    out, picture = tmp_path / "page.html", folder / "test" / "bees" / "bees0.png"
    (tmp_path / "broken.png").write_bytes(b"no picture")
    command = ["explore", str(tmp_path / "model.h5"), str(picture), str(tmp_path / "broken.png"), "--out", str(out)]
    assert main(command) == 0
    assert str(folder) not in out.read_text(encoding="utf-8")
    assert "left out: " in (said := capsys.readouterr().out) and "broken.png" in said
    assert main(["explore", str(tmp_path / "model.h5"), str(tmp_path / "broken.png")]) == 1
    assert "none of 1 picture can be read" in capsys.readouterr().err


def test_the_command_replaces_its_own_pages_only(network, folder, tmp_path, capsys):
    network.save(tmp_path / "model.h5")
    command = ["explore", str(tmp_path / "model.h5"), "--data", str(folder), "--pictures", "1", "--out"]
    mine = tmp_path / "mine.html"
    mine.write_text("<html>my own page</html>")
    assert main([*command, str(mine)]) == 1 and "not replaced" in capsys.readouterr().err
    assert mine.read_text() == "<html>my own page</html>"
    again = tmp_path / "again.html"
    assert main([*command, str(again)]) == 0 == main([*command, str(again)])
    assert main(["explore", str(tmp_path / "model.h5")]) == 1 and "no pictures" in capsys.readouterr().err


def test_the_codes_of_neighbours_are_those_below_the_classifier(network):
    assert default_layer(network) == "pool"


def test_flatten_and_linear_heads_work_as_well(pictures):
    layers = {"flatten": Flatten(), "scores": Linear(12 * 12 * 3, 1, rng=0)}
    preprocessing = Preprocessing(size=12, mean=128.0, std=64.0)
    model = Model(layers, architecture="one_score", input_shape=(3, 12, 12), preprocessing=preprocessing, classes=["a", "b"])
    data, _ = content_of(explore(model, pictures, [0, 1] * 5, most=4))
    assert data["single_score"] and data["pictures"][0]["grad_cam"] is None
