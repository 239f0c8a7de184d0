"""GoogLeNet in its two forms has their published numbers, and computes what PyTorch computes from the same weights."""

import numpy as np
import pytest
from torch_parity import (
    assert_fusing_changes_nothing,
    assert_same_gradient_in_float32,
    assert_same_gradients,
    assert_same_scores,
    in_torch,
    pairs,
    pictures,
    shaken,
    with_our_weights,
)

import minicnn
from minicnn import initializers
from minicnn.layers import Conv2d, LocalResponseNorm
from minicnn.losses import SoftmaxCrossEntropy, WithAuxiliaryHeads
from minicnn.models.googlenet import googlenet, googlenet_torchvision
from minicnn.models.strict import arrays_of

BOTH = pytest.mark.parametrize("build", [googlenet, googlenet_torchvision])


@pytest.fixture
def all_zero(monkeypatch):
    """No time is spent on drawing millions of random numbers that no test looks at."""
    monkeypatch.setattr(initializers, "_normal", lambda shape, rng, dtype, std: np.zeros(shape, dtype))


def by_torch(build, aux, num_classes=7):
    """A module that gives the scores, and leaves those of the auxiliary heads in ``side``."""
    return in_torch().googlenet(num_classes, norm=build is googlenet_torchvision, aux=aux)


def loud(build, aux):
    """Random weights, and first maps so large that the response normalisation matters, as with pixels up to 255."""
    model = build(7, aux=aux, rng=0)
    if build is googlenet:
        model.layers["conv1"].layers["conv"].w.value *= 40
    return shaken(model)


# ---- the architectures


@pytest.mark.parametrize(
    ("build", "aux", "parameters", "millions"),
    [
        (googlenet, False, 6_998_552, 1583),
        (googlenet, True, 13_378_280, 1583),
        (googlenet_torchvision, False, 6_624_904, 1498),
        (googlenet_torchvision, True, 13_004_888, 1498),
    ],
)
def test_it_has_the_published_numbers_of_parameters_and_multiply_adds(all_zero, build, aux, parameters, millions):
    model = build(aux=aux)
    assert sum(parameter.value.size for parameter in model.parameters().values()) == parameters
    assert round(model.multiply_adds((1, 3, 224, 224)) / 1e6) == millions
    assert model.architecture == build.__name__


@BOTH
def test_the_parameters_of_pytorchs_definition_are_as_many(build):
    theirs = by_torch(build, aux=True, num_classes=1000)
    assert sum(p.numel() for p in theirs.parameters()) == (13_378_280 if build is googlenet else 13_004_888)


@BOTH
def test_the_maps_have_the_sizes_of_table_1(all_zero, build):
    model, shape, maps = build(aux=False), (1, 3, 224, 224), {}
    for name, layer in model.layers.items():
        shape = layer.output_shape(shape)
        maps[name] = shape[1:]
    assert maps["conv1"] == (64, 112, 112) and maps["pool1"] == (64, 56, 56)
    assert maps["conv2"] == (192, 56, 56) and maps["pool2"] == (192, 28, 28)
    assert [(name[-2:], *maps[name]) for name in maps if name.startswith("inception")] == [
        ("3a", 256, 28, 28),
        ("3b", 480, 28, 28),
        ("4a", 512, 14, 14),
        ("4b", 512, 14, 14),
        ("4c", 512, 14, 14),
        ("4d", 528, 14, 14),
        ("4e", 832, 14, 14),
        ("5a", 832, 7, 7),
        ("5b", 1024, 7, 7),
    ]


def test_the_paper_has_22_layers_of_weights_on_the_longest_way(all_zero):
    """Section 5: counting layers with parameters only, and each module as two."""
    names = [name for name in googlenet(2, aux=False).layers if name.startswith(("conv", "inception", "fc"))]
    assert sum(2 if name.startswith("inception") else 1 for name in names) == 22


def test_where_the_paper_has_5x5_torchvision_has_3x3_and_batch_norm(all_zero):
    kernels = {}
    for build in (googlenet, googlenet_torchvision):
        model = build(2, aux=False)
        kernels[build] = sorted({layer.kernel_size[0] for _, layer in model.walk() if isinstance(layer, Conv2d)})
        assert any(isinstance(layer, LocalResponseNorm) for layer in model.layers.values()) == (build is googlenet)
    assert kernels == {googlenet: [1, 3, 5, 7], googlenet_torchvision: [1, 3, 7]}
    papers, torchvisions = (list(build(2).layers["inception_4e"].branches) for build in kernels)
    assert papers == ["1x1", "3x3", "5x5", "pool"] and torchvisions == ["1x1", "3x3", "second_3x3", "pool"]
    assert googlenet_torchvision(2).layers["conv1"].layers["norm"].eps == 0.001


@BOTH
def test_the_side_heads_come_after_4a_and_4d_and_only_with_aux_and_a_top(all_zero, build):
    names = list(build(2).layers)
    assert names[names.index("aux1") - 1 : names.index("aux1") + 2] == ["inception_4a", "aux1", "inception_4b"]
    assert names[names.index("aux2") - 1 : names.index("aux2") + 2] == ["inception_4d", "aux2", "inception_4e"]
    assert [name for name in names if not name.startswith("aux")] == list(build(2, aux=False).layers)
    headless = build(include_top=False)
    assert list(headless.layers)[-1] == "inception_5b" and "aux1" not in headless.layers
    assert headless.eval().forward(pictures(1, 3, 65, 97)).shape[:2] == (1, 1024)


def test_the_scores_at_the_top_are_those_of_its_classifier(all_zero):
    model = googlenet(5)
    assert model.classifier_name == "fc"
    assert model.output_shape((2, 3, 65, 97)) == (2, 5)


# ---- against PyTorch


@pytest.mark.parametrize(("build", "size"), [(googlenet, (224, 224)), (googlenet, (65, 97)), (googlenet_torchvision, (75, 97))])
def test_random_weights_give_the_scores_of_pytorch(build, size):
    theirs, model, x = by_torch(build, True), loud(build, True), pictures(1, 3, *size)
    assert_same_scores(model, theirs, x)
    if size != (224, 224):
        assert_fusing_changes_nothing(model, x)


@pytest.mark.parametrize("name", ["norm1", "norm2"])
def test_these_pictures_would_show_a_missing_normalisation(name):
    model, x = loud(googlenet, False), pictures(1, 3, 65, 97)
    y = model.forward(x)
    model.layers[name].alpha = 0.0
    assert np.abs(model.forward(x) - y).max() > 0.01 * np.abs(y).max()


@pytest.mark.parametrize(
    ("build", "assert_same"),
    [
        (googlenet, assert_same_gradients),
        (googlenet, assert_same_gradient_in_float32),
        (googlenet_torchvision, assert_same_gradients),
    ],
)
def test_a_training_step_gives_the_gradients_of_pytorch(build, assert_same):
    assert_same(shaken(build(7, aux=False, rng=0)), by_torch(build, False), (3, 3, 49, 57))


def test_torchvisions_form_gives_the_gradient_in_float32_too():
    """Of the first layer's weights, with running statistics; in one picture of three, as in ``torch_parity``.

    With the statistics of a few small maps, PyTorch's float32 as well as ours is off by a percent in most batches.
    """
    torch = pytest.importorskip("torch")
    model, theirs = shaken(googlenet_torchvision(7, aux=False, rng=0)), by_torch(googlenet_torchvision, False)
    with_our_weights(model, theirs, np.float64)
    model.eval(backward=True)
    errors, loss, label = [], SoftmaxCrossEntropy(), np.array([2])
    for seed in range(3):
        x = pictures(1, 3, 65, 50, seed=seed)
        theirs.zero_grad()
        torch.nn.functional.cross_entropy(theirs(torch.from_numpy(x).double()), torch.from_numpy(label)).backward()
        loss.forward(model.forward(x), label)
        model.backward(loss.backward())
        gradient = next(theirs.parameters()).grad.numpy()
        errors.append(np.abs(model.parameters()["conv1.conv.w"].grad - gradient).max() / np.abs(gradient).max())
    assert min(errors) < 1e-4, errors


@pytest.mark.parametrize(("build", "shape"), [(googlenet, (1, 3, 225, 257)), (googlenet_torchvision, (2, 3, 49, 57))])
def test_a_training_step_with_side_heads_gives_the_gradients_of_pytorch(build, shape):
    """With the sum of the three losses of section 5. The paper's heads take maps of 14 to 16 pixels."""
    torch = pytest.importorskip("torch")
    model, theirs = shaken(build(7, rng=0)).astype(np.float64).train(), by_torch(build, True)
    with_our_weights(model, theirs)
    x, labels = pictures(*shape).astype(np.float64), np.array([1, 4])[: shape[0]]
    scores, their_labels = theirs(torch.from_numpy(x)), torch.from_numpy(labels)
    value = sum(
        weight * torch.nn.functional.cross_entropy(s, their_labels)
        for weight, s in zip((1, 0.3, 0.3), (scores, *theirs.side), strict=True)
    )
    value.backward()
    loss = WithAuxiliaryHeads(SoftmaxCrossEntropy(), model)
    assert loss.forward(model.forward(x), labels) == pytest.approx(value.item(), rel=1e-10)
    model.backward(loss.backward())
    names = {"w": "weight", "b": "bias", "gamma": "weight", "beta": "bias"}
    for path, layer, other in pairs(model, theirs):
        for name, parameter in layer.parameters().items():
            gradient = getattr(other, names[name]).grad.numpy()
            assert np.abs(parameter.grad - gradient).max() < 1e-8 * max(np.abs(gradient).max(), 1e-4), f"{path}.{name}"


# ---- back from a file


def test_a_saved_googlenet_is_the_same_network(tmp_path):
    model, x = shaken(googlenet_torchvision(3, rng=0)), pictures(1, 3, 65, 97)
    model.save(tmp_path / "googlenet.h5")
    again = minicnn.load(tmp_path / "googlenet.h5")
    assert list(arrays_of(again)) == list(arrays_of(model))
    assert np.array_equal(again.forward(x), model.forward(x))
