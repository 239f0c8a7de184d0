"""The numbers in the explorer's arithmetic panel are the engine's, to the digits shown: 200 neurons of five architectures."""

import json
import re

import numpy as np
import pytest

from minicnn import models
from minicnn.data.preprocessing import Preprocessing
from minicnn.explorer import explore
from minicnn.explorer.measurements import half_precision
from minicnn.models import Model

NETWORKS = {"lenet5": 28, "resnet20": 32, "squeezenet1_1": 48, "mobilenet_v2": 64, "googlenet": 64}
NEURONS = 40
ROUNDING = 2e-6  # of a layer's largest value: what float32 may differ by, many layers up


def with_statistics(model: Model, rng: np.random.Generator) -> Model:
    """Random running statistics and biases, as a trained network has, so that no step of the arithmetic is without effect."""
    for name, array in model.state().items():
        array[...] = rng.uniform(0.5, 2, array.shape) if name.endswith("var") else rng.normal(0, 0.3, array.shape)
    for name, parameter in model.parameters().items():
        if name.endswith((".b", ".beta")):
            parameter.value = rng.normal(0, 0.1, parameter.value.shape).astype(np.float32)
    return model


def shown_number(text: str) -> tuple[float, float]:
    """A number of the page, and how much half a unit of its last digit is."""
    text = text.strip().replace("\N{MINUS SIGN}", "-")
    digits, _, exponent = text.partition("e")
    decimals = len(digits.partition(".")[2])
    return float(text), 0.5 * 10.0 ** (int(exponent or 0) - decimals)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_panel_shows_the_engines_values(name, chromium, tmp_path):
    rng, side = np.random.default_rng(0), NETWORKS[name]
    model = with_statistics(getattr(models, name)(rng=0), rng).eval()
    C = model.input_shape[0]
    model.preprocessing = Preprocessing(size=side, channels="L" if C == 1 else "RGB", mean=120.0, std=60.0)
    pixels = rng.integers(0, 256, (1, side, side, C), np.uint8)
    file = explore(model, pixels, progress=False).save(tmp_path / "page.html")
    nodes = json.loads(re.search(r'id="data">(.*?)</script>', file.read_text(encoding="utf-8"), re.S)[1])["nodes"]
    of_layers = [k for k, node in enumerate(nodes) if node["type"] not in ("Input", "Add", "Concat", "Identity")]
    chosen = rng.choice(of_layers, NEURONS)
    x, rounded = model.preprocessing.normalise(pixels), half_precision(model)
    values = rounded.forward(x, {nodes[k]["path"] for k in chosen})
    page = chromium.new_page()
    page.goto(file.as_uri())
    page.wait_for_selector("html[data-ready]")
    for k in chosen.tolist():
        y = values[nodes[k]["path"]][0]
        at = [int(rng.integers(size)) for size in y.shape]
        page.evaluate("(go) => App.go(go)", {"view": "neuron", "node": k, "at": (at + [0, 0])[:3]})
        page.wait_for_function("(at) => document.querySelector('#neuron .sums') && App.state.node === at", arg=k)
        page.wait_for_selector("#progress", state="hidden")
        number, half_a_unit = shown_number(page.locator("#neuron .sums tr:last-child td").text_content())
        assert abs(number - y[tuple(at)]) <= half_a_unit + ROUNDING * np.abs(y).max(), (nodes[k]["path"], at)
    page.close()
