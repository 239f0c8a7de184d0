"""The page about the zoo says what is so: its numbers are those of the networks, the registry and the facts beside them."""

import doctest
import importlib.util
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from minicnn import layers as ours
from minicnn.models import ARCHITECTURES

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import pages, zoo
from benchmarks.rows import Limits, Settings
from benchmarks.zoo_facts import NETWORKS, WINNERS, Network, accuracy_of, size_of

PAGE = zoo.PAGE.read_text(encoding="utf-8")
HAS_TORCH = importlib.util.find_spec("torch") is not None
LIMITS = Limits(100.0, 50.0, 10.0, 10.0)
MACHINE = {
    "date": "2026-01-02 03:04",
    "processor": "some processor",
    "threads": 2,
    "limits": {"gflops": 180.0},
    "versions": {"torch": "2.13"},
}


@pytest.fixture(scope="module", autouse=True)
def counted():
    """All sizes are counted at once, without time spent on a billion random weights."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("minicnn.initializers._normal", lambda shape, rng, dtype, std: np.zeros(shape, dtype))
        for network in NETWORKS:
            size_of(network.name)


def part(name):
    """What the page says between the comments of this name."""
    return re.search(f"<!-- {name} -->\n(.*?)\n<!-- end of {name} -->", PAGE, re.DOTALL)[1]


# ---- the page


def test_sizes_and_accuracies_on_the_page_are_those_of_today():
    assert part("networks") == zoo.networks_table(), f"{zoo.COMMAND} --no-times writes the page anew"


def test_winners_on_the_page_are_those_of_today():
    assert part("winners") == zoo.winners_table(), f"{zoo.COMMAND} --no-times writes the page anew"


def test_every_network_is_on_the_page_but_those_without_a_paper():
    without_page = {"cifar_net", "resnet18_cifar", "speed_net", "vgg_small"}
    assert {network.name for network in NETWORKS} == set(ARCHITECTURES) - without_page
    assert len({network.title for network in NETWORKS}) == len(NETWORKS)
    for network in NETWORKS:
        assert f"| {network.title} | {network.year} |" in PAGE


def test_every_family_has_a_word_on_what_was_new_and_its_paper():
    news = PAGE[PAGE.index("## What was new") :]
    for family in ("LeNet-5", "AlexNet", "VGG", "GoogLeNet", "ResNet", "SqueezeNet", "MobileNetV1", "MobileNetV2",
                   "EfficientNet-Lite"):  # fmt: skip
        assert re.search(rf"\*\*{family}\*\* \([A-Z]\w+.* \d{{4}}, \*", news), family


def test_times_on_the_page_are_of_networks_that_there_are():
    titles = re.findall(r"^\| (.*?) \|", part("times"), re.MULTILINE)[2:]
    assert set(titles) <= {network.title for network in NETWORKS}


def test_figures_that_are_shown_are_there():
    shown = re.findall(r"!\[.+?\]\((.+?)\)", PAGE)
    assert shown == ["figures/zoo_history.png", "figures/zoo_accuracy.png"]
    for name in shown:
        assert (zoo.PAGE.parent / name).read_bytes().startswith(b"\x89PNG")


# ---- what it is made of


def test_sizes_are_counted_without_side_heads():
    assert size_of("googlenet").parameters == 6_998_552 and size_of("googlenet_torchvision").parameters == 6_624_904
    assert size_of("resnet50").picture == (3, 224, 224) and round(size_of("resnet50").multiply_adds, -7) == 4_090_000_000


def test_accuracies_are_the_registrys_those_of_torchvision_first():
    vgg16, lite3 = accuracy_of("vgg16"), accuracy_of("efficientnet_lite3")
    assert (vgg16.top1, vgg16.top5, vgg16.weights) == (71.592, 90.382, "vgg16")
    assert accuracy_of("squeezenet1_1").weights == "squeezenet1_1"  # not its authors', whose accuracy is not known
    assert (accuracy_of("mobilenet_v1").weights, accuracy_of("resnet20").data) == ("mobilenet_v1", "CIFAR-10")
    assert (lite3.top1, lite3.weights) == (79.8, None)
    assert accuracy_of("lenet5").data == "MNIST" and accuracy_of("lenet5").top1 > 99


def test_errors_fall_from_year_to_year_and_those_of_the_zoo_are_in_both_tables():
    errors = [winner.error for winner in WINNERS]
    assert [winner.year for winner in WINNERS] == list(range(2010, 2018)) and errors == sorted(errors, reverse=True)
    places = {network.family: network.place for network in NETWORKS if network.place}
    for winner in WINNERS:
        if winner.name in places:
            assert places[winner.name] == f"first in {winner.year}, {winner.error:.1f} %"
    assert set(places) == {"AlexNet", "VGG", "GoogLeNet", "ResNet"}


@pytest.mark.skipif(not HAS_TORCH, reason="PyTorch is not installed")
def test_layers_of_the_older_networks_have_counterparts_in_pytorch():
    import torch

    from benchmarks.torch_twin import twin

    x = np.random.default_rng(0).standard_normal((2, 6, 9, 7)).astype(np.float32)
    for layer in (
        ours.LocalResponseNorm(3, alpha=0.5, beta=0.6, k=2.0),
        ours.AdaptiveAvgPool2d((4, 3)),
        ours.PadChannels(1, 2),
    ):
        np.testing.assert_allclose(twin(layer, x.shape)(torch.from_numpy(x)).numpy(), layer.forward(x), atol=1e-6)


# ---- the command


def test_a_network_is_measured_alone_and_with_others():
    network = Network("resnet20", "ResNet-20", "ResNet, CIFAR", 2015)
    rows = zoo.measured([network], Settings(True, 1, 1e-3, LIMITS, HAS_TORCH), failures := [])
    assert not failures and rows[0]["name"] == "resnet20"
    assert all(rows[0][column] > 0 for column in (["ours_1", "ours_n"] + ["torch_1", "torch_n"] * HAS_TORCH))
    line = zoo.times_table(rows, MACHINE).splitlines()[-1]
    assert line.startswith("| ResNet-20 |") and line.count("|") == 7


def test_the_table_of_times_says_how_and_on_what_they_were_measured():
    text = zoo.times_table([{"title": "VGG-16", "name": "vgg16", "ours_1": 116.4, "ours_n": 8.25}], MACHINE)
    assert "`python -m benchmarks.zoo`, 2026-01-02: some processor, 2 threads, 90 * 10^9 multiply-adds a second at most" in text
    assert text.splitlines()[-1] == "| VGG-16 | 116 | - | 8.25 | - | 128 |"


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "zoo.md"
    path.write_text("above\n<!-- winners -->\n<!-- end of winners -->\n<!-- times -->\nold\n<!-- end of times -->\nbelow\n")
    return path


def test_the_page_is_filled_where_it_says_and_stays_as_it_is_elsewhere(page):
    zoo.write_page({"winners": zoo.winners_table}, page)
    text = page.read_text()
    assert text.startswith("above\n<!-- winners -->\n| year |") and text.endswith(
        "<!-- times -->\nold\n<!-- end of times -->\nbelow\n"
    )
    assert {path.name for path in (page.parent / "figures").iterdir()} == {"zoo_history.png", "zoo_accuracy.png"}
    with pytest.raises(ValueError, match="no place for networks"):
        zoo.write_page({"networks": lambda: ""}, page)


def test_times_of_some_networks_are_printed_and_the_page_stays(monkeypatch, capsys):
    asked = []

    def times_of(name, settings):
        asked.append(name)
        return {"ours_1": 1.0, "ours_n": 2.0}

    monkeypatch.setattr(zoo, "times_of", times_of)
    monkeypatch.setattr(zoo, "settings_of", lambda options: Settings(True, 1, 0.1, LIMITS, False))
    monkeypatch.setattr(zoo, "write_page", lambda parts: pytest.fail("written"))
    assert zoo.main(["--quick"]) == 0 and asked == ["resnet20", "squeezenet1_1", "mobilenet_v2"]
    asked.clear()
    assert zoo.main(["--only", "vgg-1"]) == 0 and asked == ["vgg11", "vgg13", "vgg16", "vgg19"]
    assert "VGG-19" in capsys.readouterr().out
    assert zoo.main(["--only", "transformer"]) == 2 and "ResNet-50" in capsys.readouterr().err


def test_if_a_network_cannot_be_measured_the_page_stays_as_it_was(monkeypatch, capsys):
    def times_of(name, settings):
        if name == "vgg19":
            raise MemoryError("too large")
        return {"ours_1": 1.0, "ours_n": 2.0}

    monkeypatch.setattr(zoo, "times_of", times_of)
    monkeypatch.setattr(zoo, "settings_of", lambda options: Settings(False, 1, 0.1, LIMITS, False))
    monkeypatch.setattr(zoo, "write_page", lambda parts: pytest.fail("written"))
    assert zoo.main([]) == 1 and "VGG-19: MemoryError: too large" in capsys.readouterr().err


def test_examples():
    assert doctest.testmod(zoo).failed == 0 and doctest.testmod(pages).failed == 0
