"""The engine of the explorer's page, run in a browser, against the layers: forward, backward, and the arithmetic it tells."""

import base64
import json
from pathlib import Path

import numpy as np
import pytest

import minicnn.explorer
from minicnn import models
from minicnn.data.preprocessing import Preprocessing
from minicnn.explorer.arrays import ArrayPack, stored_type
from minicnn.explorer.graph import COMPUTED, nodes_of
from minicnn.layers import (
    ELU,
    GELU,
    AdaptiveAvgPool2d,
    AvgPool2d,
    BatchNorm1d,
    BatchNorm2d,
    Concat,
    Conv2d,
    DropConnect,
    Dropout,
    Flatten,
    FractionalMaxPool2d,
    GlobalAvgPool2d,
    LeakyReLU,
    Linear,
    LocalResponseNorm,
    Maxout,
    MaxPool2d,
    PadChannels,
    ReLU,
    ReLU6,
    Residual,
    Sequential,
    Sigmoid,
    StochasticDepth,
    Tanh,
    VanillaDropout,
)
from minicnn.models.predictions import probabilities

sync_api = pytest.importorskip("playwright.sync_api", reason="the explorer's page is tested in a browser, with playwright")

TEMPLATE = Path(minicnn.explorer.__file__).parent / "template"
SCRIPTS = ("decode", "engine", "explain")
ROUNDING = 4e-7  # of the largest number: what is left of sums in 64 bits when they are stored in 32
PLACES = 8  # neurons of a node whose arithmetic is checked

# From x and dy, as base64 of float32, everything that the page knows: all values, all gradients, how some of them come about.
HELPERS = """
const bytesOf = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
const floats = (text) => new Float32Array(bytesOf(text).buffer);

function asText(array) {
  const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
  let text = "";
  for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
  return btoa(text);
}

async function passOf({ data, packed, x }) {
  const arrays = await Decode.arrays(data.arrays, packed);
  const pass = new Engine.Pass(data, arrays, 0, new Uint8Array(0), data.opaque);
  pass.values = [floats(x)];
  return pass;
}

async function gradients({ k, ...given }) {
  return (await (await passOf(given)).gradients(k)).map(asText);
}

async function everything({ dy, places, ...given }) {
  const pass = await passOf(given);
  const { data, arrays, values } = pass;
  await pass.scores();
  const gradients = [];
  gradients[data.nodes.length - 1] = floats(dy);
  for (let i = data.nodes.length - 1; i > 0; i--) pass.passDown(i, gradients);
  return {
    values: Array.from(values, (value) => value && asText(value)),
    gradients: gradients.map((gradient) => gradient && asText(gradient)),
    explained: places.map(([node, at]) => Explain.neuron(data, arrays, 0, values, node, at)),
  };
}

// JSON has no infinite numbers
const answerTo = async (name, given) => JSON.stringify(await eval(name)(JSON.parse(given)), (key, value) =>
  value === -Infinity ? "-inf" : value);
"""


def ask(page, function, given):
    """What a function of the page returns; as text, since the browser's own way is slow with many small objects."""
    return json.loads(page.evaluate("([name, given]) => answerTo(name, given)", [function, json.dumps(given)]))


def page_with_scripts(chromium, changes=()):
    """A blank page with the scripts, in which the first of each pair of texts is replaced by the second."""
    page = chromium.new_page()
    text = "".join((TEMPLATE / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS)
    for old, new in changes:
        assert text.count(old) == 1, f"{old!r} is {text.count(old)} times in the scripts"
        text = text.replace(old, new)
    page.add_script_tag(content=text + HELPERS)
    return page


@pytest.fixture(scope="module")
def page(chromium):
    return page_with_scripts(chromium)


# ---- what the page is given, and what it says


def as_text(array):
    return base64.b64encode(np.ascontiguousarray(array, np.float32).tobytes()).decode()


def as_array(text, shape):
    return np.frombuffer(base64.b64decode(text), np.float32).reshape(shape)


def randomised(network, rng):
    """Weights and statistics that the page can hold, in place: a bias of 0 or a mean of 0 would hide mistakes."""
    for _, layer in network.walk():
        if isinstance(layer, (BatchNorm1d, BatchNorm2d)):
            layer.running_mean[:] = rng.normal(size=layer.num_features) / 4
            layer.running_var[:] = rng.uniform(0.5, 2, layer.num_features)
            layer.gamma.value[:] = rng.uniform(0.5, 1.5, layer.num_features)
    for name, parameter in network.parameters().items():
        if name.rpartition(".")[2] in ("b", "beta"):
            parameter.value[:] = rng.normal(size=parameter.value.shape) / 4
        parameter.value[...] = parameter.value.astype(stored_type(parameter.value))
    return network


def data_of(nodes, pack, classes=("a", "b")):
    """The page's data, but for what the engine does not read."""

    def arrays(node):
        return {name: pack.add(array.astype(stored_type(array))) for name, array in node.arrays().items()}

    C, H, W = (*nodes[0].shape, 1, 1)[:3]
    return {
        "classes": list(classes),
        "single_score": False,
        "input": {"shape": [C, H, W], "channels": "RGB", "mean": [20.0] * C, "std": [50.0] * C},
        "nodes": [
            {
                "path": node.path,
                "type": node.type,
                "inputs": node.inputs,
                "shape": list(node.shape),
                "config": node.config,
                "arrays": [{} if node.is_opaque else arrays(node)],
                "opaque": node.is_opaque,
            }
            for node in nodes
        ],
        "opaque": {},
    }


def given_to_page(network, x):
    """The arguments of ``passOf``, and the nodes."""
    nodes, pack = nodes_of(network, x.shape), ArrayPack()
    data = data_of(nodes, pack)
    return nodes, {"data": data | {"arrays": pack.entries}, "packed": pack.as_text(), "x": as_text(x)}


def random_places(nodes, rng, number):
    """Some neurons of each node: [node, [c, i, j]], with [d] for rows of numbers."""
    return [
        [k, [int(rng.integers(length)) for length in node.shape]] for k, node in enumerate(nodes) for _ in range(number) if k
    ]


def deviation(value, exact):
    """The largest difference, as a part of the largest number."""
    assert value.shape == exact.shape and np.isfinite(value).all()
    return np.abs(value - exact).max() / max(np.abs(exact).max(), 1e-30)


def compared(page, network, x, rng, number=PLACES):
    """Deviations of y and dx from those of the layers in float64; the arithmetic is checked on the way.

    Returns (y, dx, the largest of any result of the arithmetic from the value).
    """
    nodes, given = given_to_page(network, x)
    dy = rng.normal(size=nodes[-1].shape).astype(np.float32)
    places = random_places(nodes, rng, number)
    answer = ask(page, "everything", given | {"dy": as_text(dy), "places": places})
    values = [as_array(text, node.shape) for text, node in zip(answer["values"], nodes, strict=True)]

    exact = network.copy() if isinstance(network, models.Model) else network
    exact.astype(np.float64).eval(backward=True)
    y = exact.forward(x[None].astype(np.float64))[0]
    dx = exact.backward(dy[None].astype(np.float64))[0]
    told = max(
        check_arithmetic(explained, nodes[k], values, at, values[k][tuple(at)])
        for (k, at), explained in zip(places, answer["explained"], strict=True)
    )
    return deviation(values[-1], y), deviation(as_array(answer["gradients"][0], x.shape), dx), told


def check_arithmetic(explained, node, values, at, value):
    """The terms are what stands in the nodes below, and make the result, which is the value: returns how far it is off."""
    kind, terms, result = explained["kind"], explained["terms"], explained["result"]
    sums = {step["name"]: step["value"] for step in explained["sums"]}
    assert explained["equation"] == f"equation_{node.type}"
    for term in terms:
        if term["at"] is not None:
            below = values[term["node"]]
            assert term["node"] in node.inputs and term["x"] == below[tuple(term["at"][: below.ndim])]
        else:
            assert term["x"] == ("-inf" if kind == "largest" else 0)
            term["x"] = float(term["x"])
        assert ("w" in term) == ("product" in term)
        assert "w" not in term or term["product"] == term["w"] * term["x"]
    products = sum(term.get("product", term["x"]) for term in terms)
    if kind in ("convolution", "linear"):
        assert len(terms) == node.layer.w.value[0].size
        made = products + sums.get("bias", 0)
    elif kind == "batch_norm":
        assert sums["std"] == pytest.approx(np.sqrt(node.layer.running_var[at[0]] + node.config["eps"]))
        made = (terms[0]["x"] - sums["mean"]) / sums["std"] * sums["gamma"] + sums["beta"]
        assert sums["scaled"] + sums["beta"] == pytest.approx(made, abs=1e-12)
    elif kind == "response_norm":
        scale = node.config["k"] + node.config["alpha"] / node.config["size"] * products
        assert (sums["scale"], sums["power"]) == pytest.approx((scale, scale ** node.config["beta"]))
        made = sums["numerator"] / sums["power"]
    elif kind == "largest":
        made = next(term["x"] for term in terms if term["won"])
        assert made == max(term["x"] for term in terms) and sum(term["won"] for term in terms) == 1
    elif kind == "average":
        made = sums["sum"] / sums["count"]
        assert sums["sum"] == products and sums["count"] == len(terms)
    elif kind == "activation":
        x = np.array(terms[0]["x"])[None, None]
        made = node.layer.forward(x)[0, 0]
    else:
        assert kind in ("add", "concat", "pad_channels", "scale", "flatten", "identity")
        made = products
    assert result == pytest.approx(made, rel=1e-6, abs=1e-12)
    return abs(result - value) / max(abs(value), 1e-3)


# ---- every type

rng = np.random.default_rng(1)


def whole(low, high):
    """A random number from low to high, both included."""
    return int(rng.integers(low, high + 1))


def random_convolution():
    """A layer and the shape of its input."""
    groups = whole(1, 3)
    C, F = groups * whole(1, 6), groups * whole(1, 6)
    kernel, stride, dilation = [(whole(1, 4), whole(1, 4)), (whole(1, 3), whole(1, 3)), (whole(1, 2), whole(1, 2))]
    pad = ((whole(0, 3), whole(0, 3)), (whole(0, 3), whole(0, 3)))
    conv = Conv2d(C, F, kernel, stride, pad, dilation, groups, bias=bool(whole(0, 1)), rng=rng)
    return conv, (C, whole(7, 12), whole(7, 12))


def random_pool(kind):
    kernel, stride = (whole(1, 4), whole(1, 4)), (whole(1, 3), whole(1, 3))
    pad = "same" if whole(0, 3) == 0 else (whole(0, kernel[0] - 1), whole(0, kernel[1] - 1))
    options = {"count_include_pad": bool(whole(0, 1))} if kind is AvgPool2d else {}
    return kind(kernel, stride, pad, ceil_mode=bool(whole(0, 1)), **options), (whole(1, 3), whole(4, 12), whole(4, 12))


CASES = {
    "Conv2d": [
        *(random_convolution() for _ in range(20)),
        (Conv2d(6, 6, 3, 2, "same", groups=6, bias=False, rng=rng), (6, 8, 9)),  # depthwise
        (Conv2d(4, 12, (5, 3), 1, "same", groups=4, rng=rng), (4, 5, 7)),
        (Conv2d(9, 7, 1, rng=rng), (9, 6, 5)),  # pointwise
        (Conv2d(5, 3, 1, 2, bias=False, rng=rng), (5, 7, 4)),
        (Conv2d(2, 3, 2, 4, 2, rng=rng), (2, 9, 9)),  # strides over pixels that no window sees
        (Conv2d(2, 5, 3, 1, ((0, 5), (4, 0)), rng=rng), (2, 1, 1)),  # windows of nothing but padding
        (Conv2d(3, 4, (4, 6), rng=rng), (3, 4, 6)),
    ],
    "Linear": [
        (Linear(13, 5, rng=rng), (13,)),
        (Linear(4, 1, bias=False, rng=rng), (4,)),
        (DropConnect(6, 3, rng=rng), (6,)),
    ],
    "BatchNorm1d": [(BatchNorm1d(7), (7,))],
    "BatchNorm2d": [(BatchNorm2d(5), (5, 3, 4)), (BatchNorm2d(2, eps=0.5), (2, 1, 1))],
    "LocalResponseNorm": [
        (LocalResponseNorm(5, alpha=2.0, beta=0.75, k=1.5), (7, 3, 4)),
        (LocalResponseNorm(3, alpha=0.5, beta=0.3, k=2.0), (2, 2, 2)),
        (LocalResponseNorm(9, alpha=3.0), (4, 1, 3)),
    ],
    **{type(layer).__name__: [(layer, (3, 4, 5)), (layer, (11,))] for layer in (ReLU(), ReLU6(), Sigmoid(), Tanh(), GELU())},
    "LeakyReLU": [(LeakyReLU(), (3, 4, 5)), (LeakyReLU(0.3), (9,))],
    "ELU": [(ELU(), (3, 4, 5)), (ELU(0.7), (9,))],
    "Maxout": [(Maxout(2), (6, 3, 4)), (Maxout(3), (12,))],
    "MaxPool2d": [
        *(random_pool(MaxPool2d) for _ in range(10)),
        (MaxPool2d(3, 2, ceil_mode=True), (2, 8, 8)),
        (MaxPool2d(2, 3, 1, ceil_mode=True), (2, 5, 6)),
    ],
    "AvgPool2d": [
        *(random_pool(AvgPool2d) for _ in range(10)),
        (AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=True), (2, 8, 8)),  # beyond the padding nothing counts
        (AvgPool2d(3, 2, 1, ceil_mode=True), (2, 8, 8)),
    ],
    "AdaptiveAvgPool2d": [(AdaptiveAvgPool2d((3, 2)), (2, 7, 5)), (AdaptiveAvgPool2d(4), (1, 3, 9))],
    "GlobalAvgPool2d": [(GlobalAvgPool2d(), (3, 4, 5))],
    "PadChannels": [(PadChannels(1, 2), (3, 2, 4)), (PadChannels(0, 1), (1, 2, 2))],
    "Flatten": [(Flatten(), (3, 4, 5)), (Flatten(), (6,))],
    "Add": [
        (Residual(Conv2d(3, 3, 3, pad=1, rng=rng)), (3, 4, 5)),
        (Residual(Linear(4, 6, rng=rng), Linear(4, 6, rng=rng)), (4,)),
        (Residual(Sequential()), (2, 3, 3)),  # x + x
    ],
    "Concat": [
        (Concat(a=Conv2d(3, 2, 1, rng=rng), b=Sequential(), c=Conv2d(3, 4, 3, pad=1, rng=rng)), (3, 4, 5)),
        (Concat(Linear(4, 2, rng=rng), Linear(4, 3, rng=rng)), (4,)),
    ],
    "Scale": [(Residual(StochasticDepth(Conv2d(2, 2, 1, rng=rng), 0.7)), (2, 3, 3)), (VanillaDropout(0.25), (5,))],
    "Identity": [(Dropout(0.5), (3, 2, 2))],
}


def test_every_type_that_the_page_computes_is_among_the_cases():
    assert {layer.__name__ for layer in COMPUTED} - {"DropConnect"} | {"Add", "Concat", "Scale", "Identity"} == set(CASES)


def worst_of(page, kind):
    """The largest deviations of the values, the gradients and the arithmetic of a type from the layers."""
    rng = np.random.default_rng(2)
    found = []
    for layer, shape in CASES[kind]:
        network = randomised(Sequential(layer=layer).astype(np.float32), rng)
        x = (2 * rng.normal(size=shape)).astype(np.float32)  # beyond 6 and below -3 at times
        found.append(compared(page, network, x, rng))
    return np.max(found, axis=0)


def check_type(page, kind):
    y, dx, told = worst_of(page, kind)
    assert max(y, dx) < ROUNDING and told < 1e-6, (y, dx, told)


@pytest.mark.parametrize("kind", CASES)
def test_a_type_computes_what_its_layer_computes_and_its_arithmetic_makes_the_value(page, kind):
    check_type(page, kind)


MISTAKES = [
    ("Conv2d", "windowsWithPixel(p * dil_h - top", "windowsWithPixel(p * dil_h"),
    ("Conv2d", "Math.min(Math.floor((length - 1 - offset) / stride), number - 1)", "number - 1"),
    ("Conv2d", "const w0 = (f0 * channels + (c % channels)) * KK;", "const w0 = f0 * channels * KK;"),
    ("Conv2d", "[c0 + c, i * sh + p * dil_h - top", "[c, i * sh + p * dil_h - top"),
    ("AvgPool2d", "Math.min(start + kernel, length + after)", "start + kernel"),
    ("MaxPool2d", "dx[place] += dy[o]", "dx[place] = dy[o]"),
    ("BatchNorm2d", "Math.sqrt(own.running_var[c] + config.eps)", "Math.sqrt(own.running_var[c])"),
    ("Concat", "(channel -= C) < 0", "false"),
    ("Add", "sum(gradients[below], dInputs[n])", "dInputs[n]"),
]


@pytest.mark.parametrize("kind, right, wrong", MISTAKES)
def test_a_mistake_in_the_scripts_would_be_seen(chromium, kind, right, wrong):
    page = page_with_scripts(chromium, [(right, wrong)])
    with pytest.raises((AssertionError, sync_api.Error)):
        check_type(page, kind)
    page.close()


# ---- whole networks

NETWORKS = {  # at small sizes
    "lenet5": (1, 28, 28),
    "resnet20": (3, 16, 16),
    "squeezenet1_1": (3, 32, 32),
    "googlenet": (3, 64, 64),
    "mobilenet_v2": (3, 32, 32),
    "efficientnet_lite0": (3, 32, 32),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_in_the_page_is_the_network(page, name):
    rng = np.random.default_rng(3)
    network = randomised(getattr(models, name)(num_classes=10, rng=0), rng)
    x = rng.normal(size=NETWORKS[name]).astype(np.float32)
    y, dx, told = compared(page, network, x, rng, number=2)
    assert y < 1e-6 and dx < 1e-5 and told < 1e-6, (y, dx, told)


def test_the_gradient_is_that_of_the_class_that_was_asked_for(page):
    rng = np.random.default_rng(4)
    network = randomised(models.lenet5(rng=0), rng)
    x = rng.normal(size=(1, 28, 28)).astype(np.float32)
    nodes, given = given_to_page(network, x)
    exact = network.copy().astype(np.float64).eval(backward=True)
    for k in (3, 7):
        gradients = ask(page, "gradients", given | {"k": k})
        exact.forward(x[None].astype(np.float64))
        dx = exact.backward(np.eye(10)[k : k + 1])[0]
        assert deviation(as_array(gradients[0], x.shape), dx) < 1e-6
        assert as_array(gradients[-1], (10,)).tolist() == np.eye(10)[k].tolist()
        assert [len(base64.b64decode(text)) // 4 for text in gradients] == [np.prod(node.shape) for node in nodes]


def test_with_a_single_score_the_two_classes_pull_in_opposite_directions(page):
    rng = np.random.default_rng(5)
    network = randomised(Sequential(scores=Linear(4, 1, rng=rng)), rng)
    x = rng.normal(size=4).astype(np.float32)
    _, given = given_to_page(network, x)
    given["data"]["single_score"] = True
    first, second = (as_array(ask(page, "gradients", given | {"k": k})[0], (4,)) for k in (0, 1))
    np.testing.assert_array_equal(second, network.layers["scores"].w.value[0])
    np.testing.assert_array_equal(first, -second)


@pytest.mark.parametrize("scores", [[0.3], [-40.0], [1.0, 2.5, -3.0], [1000.0, 0.0]])
def test_probabilities(page, scores):
    data = {"single_score": len(scores) == 1}
    found = page.evaluate("([data, scores]) => Engine.probabilities(data, scores)", [data, scores])
    np.testing.assert_allclose(found, probabilities(np.array([scores], np.float64))[0], rtol=1e-6)


def test_outputs_of_opaque_layers_are_taken_from_the_page_and_no_gradient_goes_through_them(page):
    rng = np.random.default_rng(6)
    conv, scores = Conv2d(2, 3, 3, rng=rng), Linear(75, 2, rng=rng)
    network = Sequential(conv=conv, pool=FractionalMaxPool2d(1.5), relu=ReLU(), flatten=Flatten(), scores=scores)
    network = randomised(network, rng)
    x = rng.normal(size=(2, 10, 10)).astype(np.float32)
    nodes, pack = nodes_of(network, x.shape), ArrayPack()
    data = data_of(nodes, pack)
    output = network.eval().layers["pool"].forward(conv.forward(x[None]))[0]
    data |= {"opaque": {"2": [pack.add(output)]}, "arrays": pack.entries}
    given = {"data": data, "packed": pack.as_text(), "x": as_text(x), "dy": as_text([1.0, 0.0]), "places": [[2, [1, 2, 3]]]}
    answer = ask(page, "everything", given)
    assert answer["values"][1] is None  # nothing needs it
    assert deviation(as_array(answer["values"][-1], (2,)), network.forward(x[None])[0]) < 1e-6
    assert [gradient is not None for gradient in answer["gradients"]] == [False, False, True, True, True, True]
    assert answer["explained"] == [
        {"kind": "opaque", "equation": "equation_FractionalMaxPool2d", "terms": [], "sums": [], "result": output[1, 2, 3]}
    ]


def test_each_value_is_computed_once_and_only_where_it_is_needed_and_progress_is_told(page):
    rng = np.random.default_rng(7)
    network = randomised(models.resnet20(rng=0), rng)
    _, given = given_to_page(network, rng.normal(size=(3, 16, 16)).astype(np.float32))
    script = """async (given) => {
      const pass = await passOf(given), computed = [], told = [];
      const compute = pass.compute.bind(pass);
      pass.compute = (i) => { computed.push(i); return compute(i); };
      pass.pause = () => new Promise((resume) => setTimeout(resume)); // after every node
      await Promise.all([pass.value(5, (...progress) => told.push(progress)), pass.value(8), pass.value(5)]);
      return [computed, told];
    }"""
    computed, told = page.evaluate(script, given)
    assert sorted(computed) == list(range(1, 9)) and told == [[done, 5] for done in range(1, 6)]


# ---- the input, and the numbers of the page


@pytest.mark.parametrize("channels, depth", [("RGB", 3), ("BGR", 3), ("L", 1), ("RGB", 1)])
def test_pixels_become_the_input_as_the_preprocessing_makes_it(page, channels, depth):
    rng = np.random.default_rng(8)
    C = 1 if channels == "L" else 3
    mean, std = [10.0, 20.5, 30.25][:C], [50.0, 61.3, 47.9][:C]
    pixels = rng.integers(0, 256, (4, 5, depth), dtype=np.uint8)
    x = Preprocessing(size=(4, 5), channels=channels, mean=tuple(mean), std=tuple(std)).normalise(pixels[None])[0]
    data = {
        "input": {"shape": [C, 4, 5], "channels": channels, "mean": mean, "std": std},
        "nodes": [{"type": "Input", "inputs": [], "shape": [C, 4, 5], "arrays": [{}], "opaque": False}],
    }
    script = """async ([data, pixels, at]) => {
      const values = [await new Engine.Pass(data, [], 0, Uint8Array.from(pixels)).value(0)];
      return [asText(values[0]), Explain.neuron(data, [], 0, values, 0, at)];
    }"""
    found, explained = page.evaluate(script, [data, pixels.ravel().tolist(), [C - 1, 2, 3]])
    np.testing.assert_allclose(as_array(found, x.shape), x, rtol=3e-7, atol=1e-7)
    source = 0 if depth == 1 or channels == "BGR" else C - 1
    assert explained["terms"] == [{"node": 0, "at": [C - 1, 2, 3], "x": pixels[2, 3, source]}]
    assert explained["result"] == pytest.approx(x[-1, 2, 3], rel=3e-7)


def test_arrays_come_through_as_they_are(page):
    rng = np.random.default_rng(9)
    pack = ArrayPack()
    arrays = [
        np.arange(65536, dtype=np.uint16).view(np.float16),  # every half there is
        rng.normal(size=(3, 5)).astype(np.float32),
        rng.integers(0, 256, 7, dtype=np.uint8),
        np.array([np.inf, np.nan, 1e-40], np.float32),
        np.empty((0, 4), np.float32),
    ]
    pictures = [rng.integers(0, 256, shape, dtype=np.uint8) for shape in ((3, 7, 3), (5, 1, 3), (4, 6, 1))]
    for array in arrays:
        pack.add(array)
    for pixels in pictures:
        pack.add_pixels(pixels)
    script = """async ([entries, packed]) => (await Decode.arrays(entries, packed)).map(
      (array) => [array.constructor.name, asText(array)])"""
    found = page.evaluate(script, [pack.entries, pack.as_text()])
    for array, (kind, text) in zip(arrays + pictures, found, strict=True):
        dtype = np.uint8 if array.dtype == np.uint8 else np.float32
        assert kind == {np.uint8: "Uint8Array", np.float32: "Float32Array"}[dtype]
        decoded = np.frombuffer(base64.b64decode(text), dtype)
        np.testing.assert_array_equal(decoded, array.ravel().astype(dtype))
        numbers = ~np.isnan(decoded)
        np.testing.assert_array_equal(np.signbit(decoded[numbers]), np.signbit(array.ravel()[numbers]))  # -0 is -0
