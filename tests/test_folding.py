"""Networks whose batch norms were merged into the convolutions give the same scores here."""

import numpy as np
import pytest
from torch_parity import in_torch

from minicnn.errors import WeightsError
from minicnn.models import resnet20, vgg11_bn
from minicnn.models.strict import arrays_of
from minicnn.pretrained.convert import convert, convert_arrays, foreign_names

CLASSES = 7


@pytest.fixture(scope="module")
def zoo():
    return in_torch()


@pytest.fixture(scope="module")
def net(zoo):
    return zoo.shaken(zoo.BY_NAME["resnet18"](CLASSES, 1, 64)).eval()


def pictures():
    return np.random.default_rng(0).standard_normal((2, 3, 33, 49)).astype(np.float32)


def assert_same_scores(model, theirs):
    np.testing.assert_allclose(model.forward(pictures()), theirs, atol=1e-4 * np.abs(theirs).max())


@pytest.mark.filterwarnings("ignore")  # what PyTorch says of its own exporters
@pytest.mark.parametrize("exporter", ["first", "newest"])
@pytest.mark.parametrize("folds", [True, False])
def test_onnx_files_of_pytorchs_exporters(zoo, net, tmp_path, exporter, folds):
    """The first folds batch norms and forgets names; the newest folds, keeps them, and writes a second file."""
    import torch

    pytest.importorskip("onnx")
    settings = {} if folds else {"training": torch.onnx.TrainingMode.PRESERVE, "do_constant_folding": False}
    if exporter == "newest":
        pytest.importorskip("onnxscript", reason="the exporter is written in it")
        settings = {} if folds else {"optimize": False}
    path = tmp_path / "net.onnx"
    torch.onnx.export(net, (torch.from_numpy(pictures()),), str(path), dynamo=exporter == "newest", verbose=False, **settings)
    model, mapped = convert(path, "resnet18")
    merged = [row for row in mapped.rows if row.change.startswith("merged")]
    assert bool(merged) == folds and not mapped.differences and all(row.fits for row in mapped.rows)
    assert_same_scores(model, zoo.scores(net.eval(), pictures()))


def test_a_state_dict_that_pytorch_has_fused(zoo, net):
    from copy import deepcopy

    from torch.nn.utils.fusion import fuse_conv_bn_eval

    fused = deepcopy(net)
    for block in [block for stage in range(1, 5) for block in getattr(fused, f"layer{stage}")]:
        for k in (1, 2):
            setattr(block, f"conv{k}", fuse_conv_bn_eval(getattr(block, f"conv{k}"), getattr(block, f"bn{k}")))
            setattr(block, f"bn{k}", zoo.nn.Identity())
        if block.downsample:
            block.downsample = zoo.nn.Sequential(fuse_conv_bn_eval(*block.downsample))
    fused.conv1, fused.bn1 = fuse_conv_bn_eval(fused.conv1, fused.bn1), zoo.nn.Identity()
    arrays = {name: array.numpy() for name, array in fused.state_dict().items()}
    assert not any("bn" in name for name in arrays)
    model, mapped = convert_arrays(arrays, "net.pth", "resnet18")
    assert_same_scores(model, zoo.scores(net, pictures()))
    row = next(row for row in mapped.rows if row.ours == "conv1.norm.beta")
    assert row.theirs == {"conv1.bias": (64,)} and "the convolution's bias" in row.change and str(mapped)


def test_where_our_convolution_has_a_bias_it_stays_there_and_the_norm_is_the_identity():
    model = vgg11_bn(3, include_top=False, rng=0)
    names = foreign_names(model, "torchvision")
    arrays = {names[name]: array for name, array in arrays_of(model).items() if name.startswith("conv")}
    arrays = {name: array + 0.5 if name.endswith("bias") else array for name, array in arrays.items()}
    loaded, _ = convert_arrays(arrays, "net.pth", "vgg11_bn")
    x = np.random.default_rng(0).standard_normal((1, 3, 32, 32)).astype(np.float32)
    maps = loaded.forward(x, layers=["conv1_1", "norm1_1"])
    np.testing.assert_allclose(maps["norm1_1"], maps["conv1_1"], rtol=1e-6)
    assert np.array_equal(loaded.parameters()["conv1_1.b"].value, arrays["features.0.bias"])


def test_a_single_norm_that_is_missing_was_not_merged():
    """Where the others are there, it is lost: a bias below it does not make up for that."""
    model = resnet20(rng=0)
    arrays = {theirs: arrays_of(model)[ours] for ours, theirs in foreign_names(model, "torchvision").items()}
    for name in ("weight", "bias", "running_mean", "running_var"):
        del arrays[f"layer2.1.bn2.{name}"]
    arrays["layer2.1.conv2.bias"] = np.zeros(32, np.float32)
    with pytest.raises(WeightsError, match=r"4 missing.*layer2\.1\.bn2\.weight"):
        convert_arrays(arrays, "mine.th", "resnet20")
