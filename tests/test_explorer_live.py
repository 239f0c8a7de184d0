"""The live pages in a browser: their numbers against the engine's, every control by pointer and by keyboard, no request."""

import re

import numpy as np
import pytest

from minicnn.cli import build_parser, main
from minicnn.explorer.live import NAMES, live_page
from minicnn.layers import Conv2d, Linear, MaxPool2d, Parameter, ReLU, Sequential, Sigmoid, Tanh
from minicnn.layers.receptive_field import ReceptiveField
from minicnn.optim import SGD, AdaGrad, Adam, RMSProp

MINUS = "\N{MINUS SIGN}"  # as the pages write it


def test_the_command_writes_a_live_page_and_says_what_is_wrong(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["explore", "--live", "convolution"]) == 0
    assert NAMES["convolution"] in capsys.readouterr().out
    assert (tmp_path / "convolution.html").read_text(encoding="utf-8") == live_page("convolution").html
    out = tmp_path / "other.html"
    assert main(["explore", "--live", "boundary", "--out", str(out)]) == 0 and out.exists()
    out.write_text("my own page")
    assert main(["explore", "--live", "boundary", "--out", str(out)]) == 1 and out.read_text() == "my own page"
    assert "not replaced" in capsys.readouterr().err
    assert main(["explore", "--live", "nothing"]) == 1
    assert "receptive-field" in capsys.readouterr().err
    assert main(["explore", "model.h5", "--live", "boundary"]) == 1
    assert "not both" in capsys.readouterr().err
    assert main(["explore"]) == 1
    assert "no model" in (said := capsys.readouterr().err) and "--live" in said


def test_model_and_pictures_are_told_apart_wherever_the_options_stand():
    for words in (["m.h5", "a.png", "--title", "t"], ["--title", "t", "m.h5", "a.png"]):
        arguments = build_parser().parse_args(["explore", *words])
        assert (arguments.model, arguments.pictures) == ("m.h5", ["a.png"])


@pytest.mark.parametrize("name", NAMES)
def test_a_page_is_one_file_with_everything_filled_in(name):
    html = live_page(name).html
    assert "{{" not in html and "http:" not in html and "https:" not in html and len(html) < 120_000


# ---- in a browser


@pytest.fixture
def opened(chromium, tmp_path):
    """A function that opens a live page from its file, offline. What goes wrong in it, and any request, fails the test."""
    troubles, requests, files, contexts = [], [], [], []

    def open_page(name, **options):
        file = live_page(name).save(tmp_path / f"{name}.html")
        contexts.append(chromium.new_context(offline=True, viewport={"width": 1200, "height": 900}, **options))
        page = contexts[-1].new_page()
        page.set_default_timeout(60_000)
        page.on("console", lambda message: troubles.append(message.text))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        files.append(file.as_uri())
        page.goto(files[-1])
        page.wait_for_selector("html[data-ready]")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert troubles == []
    assert requests == files


def slide(page, label, key="ArrowRight", exact=True):
    """One step of a slider by its keys; the value that it then shows."""
    slider = page.get_by_label(label, exact=exact)
    slider.press(key)
    return slider.get_attribute("aria-valuetext")


def live(page):
    return page.locator("#live").text_content()


@pytest.mark.parametrize("name", NAMES)
def test_every_control_has_a_name_and_the_page_fits_a_phone(opened, name):
    page = opened(name, color_scheme="dark")
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, canvas[role]")].filter((item) => !(
          item.getAttribute("aria-label") || item.textContent.trim() || (item.labels && [...item.labels].some(
            (label) => label.textContent.trim())))).map((item) => item.outerHTML)"""
    )
    assert unnamed == []
    order = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, [tabindex]")].filter(
          (item) => item.tabIndex > 0).length"""
    )
    assert order == 0  # the order of the page is the order of the Tab key
    page.set_viewport_size({"width": 360, "height": 740})
    page.wait_for_timeout(300)
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    assert page.locator("h1").text_content() and page.title() == page.locator("h1").text_content()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", NAMES)
def test_axe_finds_no_barrier(name, scheme, opened):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-core comes with axe-playwright-python")
    found = axe.Axe().run(opened(name, color_scheme=scheme))
    assert found.violations_count == 0, found.generate_report()


# ---- optimisers

KAPPA, ANGLE = 40.0, np.pi / 6


def valley_gradient(w):
    turn = np.array([[np.cos(ANGLE), -np.sin(ANGLE)], [np.sin(ANGLE), np.cos(ANGLE)]])
    return turn @ (np.array([1.0, KAPPA]) * (turn.T @ w))


def test_fifty_steps_of_each_optimiser_are_those_of_minicnn(opened):
    page = opened("optimisers")
    settings = {"kappa": KAPPA, "angle": 30, "bump": 0.15, "mu": 0.8, "decay": 0.9, "beta2": 0.999}
    makers = {
        "SGD": lambda p: SGD(p, 0.03),
        "momentum": lambda p: SGD(p, 0.03, momentum=0.8),
        "Nesterov": lambda p: SGD(p, 0.03, momentum=0.8, nesterov=True),
        "AdaGrad": lambda p: AdaGrad(p, 0.03),
        "RMSProp": lambda p: RMSProp(p, 0.03, decay=0.9),
        "Adam": lambda p: Adam(p, 0.03, beta1=0.8),
    }
    saddle = lambda w: np.array([w[0], w[1] ** 3 - w[1]])  # noqa: E731
    for surface, gradient, start in (("valley", valley_gradient, (-3.0, 0.8)), ("saddle", saddle, (-1.5, 0.001))):
        for name, make in makers.items():
            weight = Parameter(np.array(start))
            optimizer, path = make({"w": weight}), [weight.value.copy()]
            for _ in range(50):
                weight.grad = gradient(weight.value)
                optimizer.step()
                path.append(weight.value.copy())
            given = {"surface": surface, "rate": 0.03, "steps": 50, "settings": settings, "start": start}
            theirs = page.evaluate("([name, given]) => Optimisers.descend(name, given)", [name, given])
            np.testing.assert_allclose(theirs, path, rtol=1e-9, atol=1e-12, err_msg=f"{name} on the {surface}")


def test_the_gradients_of_all_surfaces_are_those_measured(opened):
    worst = opened("optimisers").evaluate(
        """() => Math.max(...Object.values(Optimisers.SURFACES).flatMap((surface) => [[0.3, -1.1], [-2, 0.7]].flatMap((w) => {
          const settings = { kappa: 7, angle: 25, bump: 0.2 }, h = 1e-5;
          return surface.gradient(w, settings).map((g, k) => {
            const at = (by) => surface.loss(w.map((x, i) => (i === k ? x + by : x)), settings);
            return Math.abs(g - (at(h) - at(-h)) / (2 * h));
          });
        })))"""
    )
    assert worst < 1e-8


def test_optimisers_race_by_buttons_and_keys(opened):
    page = opened("optimisers")
    status = page.locator(".status")
    page.get_by_role("button", name="Step").click()
    assert live(page).startswith("Step 1. Lowest: ") and live(page) == status.text_content()
    page.get_by_role("button", name="Play").press("Enter")
    page.get_by_text(re.compile(r"^Step ([6-9]|\d\d+)\.")).wait_for()
    page.get_by_role("button", name="Pause").click()
    page.get_by_role("button", name="Start again").click()
    assert status.text_content().startswith(f"Start at {MINUS}3, 0.8; L is 17.3 ")
    stage = page.get_by_role("application")
    stage.press("ArrowRight")
    assert live(page).startswith(f"Start at {MINUS}2.9, 0.8")
    stage.click(position={"x": 10, "y": 10})
    assert f"Start at {MINUS}3." in status.text_content()
    assert slide(page, "condition number κ", "Home") == "1"
    assert slide(page, "angle, degrees", "End") == "45"
    assert slide(page, "noise of the gradients", exact=False) == "0.05"
    assert slide(page, "momentum μ, and β₁ of Adam") == "0.95"
    assert slide(page, "β of RMSProp, β₂ of Adam") == "0.95"
    assert slide(page, "one learning rate for all", "End") == "1"
    assert page.get_by_label("learning rate of Adam").get_attribute("aria-valuetext") == "1"
    assert slide(page, "learning rate of SGD", "Home") == "0.0001"
    for surface, control in (("saddle", None), ("bumps", "height of the bumps, h"), ("valley", "condition number κ")):
        page.get_by_label(surface, exact=True).check()
        assert page.locator(".equation").text_content().startswith("L = ")
        if control:
            assert page.get_by_label(control).is_visible()
        page.get_by_role("button", name="Step").click()
    slide(page, "condition number κ", "End")
    slide(page, "learning rate of momentum", "End")
    page.get_by_role("button", name="Play").click()
    page.get_by_text("thrown out").wait_for()
    page.get_by_role("checkbox", name="momentum", exact=True).uncheck()


# ---- convolution


def test_convolutions_are_those_of_conv2d(opened):
    page, rng = opened("convolution"), np.random.default_rng(0)
    sizes = set()
    for _ in range(40):
        k, s, p, d = (int(rng.integers(1, most)) for most in (6, 5, 5, 4))
        H, W = (int(n) for n in rng.integers(d * (k - 1) + 1, 16, 2))
        x, w = rng.standard_normal((H, W)), rng.standard_normal((k, k))
        layer = Conv2d(1, 1, k, stride=s, pad=p, dilation=d, bias=False).astype(np.float64)
        layer.w.value[0, 0] = w
        expected = layer.forward(x[None, None])[0, 0]
        given = [x.ravel().tolist(), H, W, w.ravel().tolist(), k, {"stride": s, "pad": p, "dilation": d}]
        got = page.evaluate(
            "(given) => { const { y, OH, OW } = Convolution.correlate(...given); return [Array.from(y), OH, OW]; }", given
        )
        assert tuple(got[1:]) == expected.shape
        np.testing.assert_allclose(np.reshape(got[0], expected.shape), expected, rtol=1e-10, atol=1e-12)
        sizes.add(expected.shape)
    assert len(sizes) > 20


def numbers(table):
    return [float(cell.replace(MINUS, "-")) for cell in table.locator("td").all_text_contents()]


def sum_shown(page):
    terms, _, value = page.locator("p.terms").text_content().replace(MINUS, "-").rpartition(" = ")
    return terms, float(value)


def test_the_sum_of_the_window_is_written_out(opened):
    page = opened("convolution")
    page.get_by_role("button", name="Start again").click()
    output = page.get_by_label("The output,")
    for key in ("ArrowDown", "ArrowRight", "ArrowDown", "ArrowRight", "ArrowRight"):
        output.press(key)
    assert page.locator("h2").last.text_content() == "The window at row 3, column 4 of the output"
    window, weights, products = (numbers(table) for table in page.locator(".numbers").all())
    assert products == [x * w for x, w in zip(window, weights, strict=True)]
    terms, value = sum_shown(page)
    assert value == sum(products) and terms.count("·") == 9
    assert live(page) == f"Row 3, column 4: {value:g}".replace("-", MINUS)
    output.hover(position={"x": 5, "y": 5})
    assert "row 1, column 1" in page.locator("h2").last.text_content()
    page.get_by_role("button", name="Step").click()
    assert "row 1, column 2" in page.locator("h2").last.text_content()
    page.get_by_role("button", name="Play").click()
    page.get_by_text(re.compile("row 1, column [4-9]")).wait_for()
    page.get_by_role("button", name="Pause").click()


def test_a_picture_is_drawn_by_pointer_and_by_keyboard(opened):
    page = opened("convolution")
    at = "([r, c]) => Convolution.picture()[10 * r + c]"
    page.get_by_label("Start from").select_option(label="nothing")
    slide(page, "padding", "Home")
    picture = page.get_by_label("The picture,")
    side = picture.bounding_box()["width"] / 10
    picture.hover(position={"x": 2.5 * side, "y": 3.5 * side})
    page.mouse.down()
    box = picture.bounding_box()
    page.mouse.move(box["x"] + 4.5 * side, box["y"] + 3.5 * side, steps=8)
    page.mouse.up()
    assert [page.evaluate(at, [3, c]) for c in range(1, 6)] == [0, 9, 9, 9, 0]
    picture.click(position={"x": 2.5 * side, "y": 3.5 * side})  # wipes off
    assert page.evaluate(at, [3, 2]) == 0
    for key in ("ArrowDown", "ArrowRight", "5"):
        picture.press(key)
    assert page.evaluate(at, [4, 3]) == 5 and live(page) == "row 5, column 4: 5"
    assert slide(page, "brush", "ArrowLeft") == "8"
    picture.press("ArrowDown")
    picture.press(" ")
    assert page.evaluate(at, [5, 3]) == 8


def test_filters_and_geometry_change_what_is_computed(opened):
    page = opened("convolution")
    sizes = page.get_by_text("Size: (10")
    assert slide(page, "stride s") == "2" and "is 5:" in sizes.text_content()
    assert slide(page, "dilation d") == "2" and "is 4:" in sizes.text_content()
    assert slide(page, "padding") == "2" and "is 5:" in sizes.text_content()
    kind = page.get_by_label("Kind")
    kind.select_option(label="average")
    assert slide(page, "size k", "End") == "5"
    assert page.locator(".filter input").count() == 25 and page.locator(".filter input").first.input_value() == "0.04"
    ends = page.locator(".filter input").evaluate_all("all => all.map((input) => input.getBoundingClientRect().right)")
    assert max(ends) < page.get_by_label("The output,").bounding_box()["x"]
    slide(page, "padding", "Home")
    slide(page, "dilation d", "End")
    page.get_by_text("The filter spans 13 pixels, and the padded picture has 10").wait_for()
    assert page.locator(".numbers").count() == 0
    page.get_by_role("button", name="Play").click()  # nowhere to go
    page.get_by_role("button", name="Play").wait_for()
    slide(page, "dilation d", "Home")
    kind.select_option(label="Laplace")
    weight = page.get_by_label("weight in row 2, column 2")
    weight.fill("-5.5")
    assert page.locator("option:checked").all_text_contents() == ["a seven", "your own"]
    assert numbers(page.locator(".numbers").nth(1))[4] == -5.5
    slide(page, "size k", "Home")
    assert numbers(page.locator(".numbers").nth(1)) == [-5.5]
    for _ in range(2):
        slide(page, "size k")
    assert numbers(page.locator(".numbers").nth(1)) == [0, 1, 0, 1, -5.5, 1, 0, 1, 0]  # nothing is lost
    weight.fill("")
    assert weight.get_attribute("aria-invalid") is not None


# ---- receptive fields


def test_receptive_fields_are_those_of_the_layers(opened):
    page, rng = opened("receptive-field"), np.random.default_rng(1)
    for _ in range(30):
        network, layers = Sequential(), []
        for _ in range(int(rng.integers(1, 6))):
            k, s, d = (int(rng.integers(1, most)) for most in (6, 4, 4))
            is_pool = rng.random() < 0.3
            p = int(rng.integers(0, k // 2 + 1))
            d = 1 if is_pool else d
            layer = MaxPool2d(k, stride=s, pad=p) if is_pool else Conv2d(1, 1, k, stride=s, pad=p, dilation=d)
            layers.append({"k": k, "s": s, "d": d, "p": p})
            network.layers[str(len(layers))] = layer
        size = 200
        fields, sizes = page.evaluate(
            "([layers, n]) => [ReceptiveField.fieldsOf(layers), ReceptiveField.sizesOf(layers, n)]", [layers, size]
        )
        field, shape = ReceptiveField(), (1, 1, size, size)
        for layer, theirs, count in zip(network.layers.values(), fields[1:], sizes[1:], strict=True):
            field, shape = layer.receptive_field(field, shape), layer.output_shape(shape)
            assert (field.first[0], field.last[0], field.stride[0]) == (theirs["first"], theirs["last"], theirs["step"])
            assert shape[2] == count


def test_what_an_element_sees_are_the_pixels_that_have_a_gradient(opened):
    page, rng = opened("receptive-field"), np.random.default_rng(2)
    layers = [{"k": 3, "s": 2, "d": 1, "p": 1}, {"k": 3, "s": 1, "d": 3, "p": 2}, {"k": 2, "s": 2, "d": 1, "p": 0}]
    network = Sequential()
    for number, at in enumerate(layers):
        network.layers[str(number)] = Conv2d(
            1, 1, (1, at["k"]), stride=(1, at["s"]), pad=(0, at["p"]), dilation=(1, at["d"]), rng=number
        )
    network = network.astype(np.float64).train()
    y = network.forward(rng.standard_normal((1, 1, 1, 30)))
    for i in range(y.shape[3]):
        dy = np.zeros_like(y)
        dy[0, 0, 0, i] = 1
        network.forward(rng.standard_normal((1, 1, 1, 30)))
        expected = np.flatnonzero(network.backward(dy)[0, 0, 0])
        seen = page.evaluate(
            "([layers, i]) => ReceptiveField.seen(layers, ReceptiveField.sizesOf(layers, 30), layers.length, i)", [layers, i]
        )
        assert [pixel for pixel in seen[0] if 0 <= pixel < 30] == expected.tolist()


def test_a_stack_is_built_pointed_at_and_walked_through(opened):
    page = opened("receptive-field")
    sees = page.locator(".status")
    assert sees.text_content() == "Element 8 of layer 3 sees the pixels 5 to 11: 7 of them, 7 in the picture."
    stage = page.get_by_role("application")
    stage.press("ArrowLeft")
    assert live(page).startswith("Element 7 of layer 3 sees the pixels 4 to 10")
    stage.press("ArrowDown")
    assert live(page).startswith("Element 7 of layer 2 sees the pixels 5 to 9")
    box = stage.bounding_box()
    stage.hover(position={"x": box["width"] / 2, "y": 30})
    assert " of layer 3 sees " in sees.text_content()
    stage.click(position={"x": box["width"] / 2, "y": box["height"] - 40})
    assert sees.text_content().startswith("A pixel, number ")
    page.get_by_role("button", name="Add a layer").click()
    assert page.locator("tbody tr").count() == 4
    page.get_by_label("stride s of layer 1").fill("2")
    page.get_by_label("dilation d of layer 2").fill("2")
    page.get_by_label("padding p of layer 2").fill("0")
    page.get_by_label("size k of layer 4").fill("5")
    row = page.locator("tbody tr").first
    texts = [row.locator(f".{name}").text_content() for name in ("out", "sees", "step", "first", "last")]
    assert texts == ["2", "23", "2", f"{MINUS}5", "17"]
    page.get_by_label("size k of layer 4").fill("0")
    assert page.get_by_label("size k of layer 4").get_attribute("aria-invalid") is not None
    page.get_by_label("type of layer 2").select_option(label="pool")
    assert page.get_by_label("dilation d of layer 2").is_disabled()
    page.get_by_label("size k of layer 2").fill("15")
    assert page.locator("tr.refused").count() == 3 and page.get_by_text("does not fit").count() == 3
    page.get_by_role("button", name="Remove layer 2").click()
    assert page.locator("tr.refused").count() == 0
    assert slide(page, "pixels n") == "17"
    fields = {"AlexNet": "195", "dilations 1, 2, 4, 8": "31", "LeNet-5": "16", "the start of ResNet-18": "27"}
    for preset, size in fields.items():
        page.get_by_label("Start from").select_option(label=preset)
        assert page.locator("tbody tr").first.locator(".sees").text_content() == size


# ---- the boundary


@pytest.mark.parametrize(("name", "layer"), [("ReLU", ReLU), ("tanh", Tanh), ("sigmoid", Sigmoid), ("none", None)])
def test_a_two_layer_network_has_the_gradients_of_minicnn_and_those_measured(opened, name, layer):
    page, rng = opened("boundary"), np.random.default_rng(3)
    H, N, wd = 5, 12, 0.03
    x, t = rng.standard_normal((N, 2)), rng.integers(0, 2, N)
    weights = {n: rng.standard_normal(shape) for n, shape in {"w1": (H, 2), "b1": H, "w2": (1, H), "b2": 1}.items()}
    given = {n: value.ravel().tolist() for n, value in weights.items()}
    points = np.column_stack([x, t]).tolist()
    ask = "([weights, points, name, wd]) => Boundary.lossAndGradients(weights, points, name, wd)"
    got = page.evaluate(ask, [given, points, name, wd])

    first, second = Linear(2, H).astype(np.float64), Linear(H, 1).astype(np.float64)
    first.w.value[:], first.b.value[:], second.w.value[:], second.b.value[:] = weights.values()
    network = Sequential(first=first, **({"f": layer()} if layer else {}), second=second).train()
    s = network.forward(x)[:, 0]
    loss = np.mean(np.logaddexp(0, s) - t * s) + wd / 2 * (np.sum(weights["w1"] ** 2) + np.sum(weights["w2"] ** 2))
    network.backward(((1 / (1 + np.exp(-s)) - t) / N)[:, None])
    assert got["loss"] == pytest.approx(loss, rel=1e-12)
    assert got["right"] == np.sum((s > 0) == (t == 1))
    for n, grad in {"w1": first.w.grad, "b1": first.b.grad, "w2": second.w.grad, "b2": second.b.grad}.items():
        expected = grad + (wd * weights[n] if n.startswith("w") else 0)
        np.testing.assert_allclose(got["gradients"][n], expected.ravel(), rtol=1e-9, atol=1e-12)
        for k in range(len(given[n])):
            sides = []
            for h in (1e-5, -1e-5):
                changed = {**given, n: [*given[n][:k], given[n][k] + h, *given[n][k + 1 :]]}
                sides.append(page.evaluate(ask, [changed, points, name, wd])["loss"])
            assert (sides[0] - sides[1]) / 2e-5 == pytest.approx(got["gradients"][n][k], abs=1e-7)


def test_the_boundary_of_a_plane_is_a_line(opened):
    pieces = opened("boundary").evaluate(
        "() => Boundary.boundary(Array.from({ length: 100 }, (_, k) => k % 10 - Math.floor(k / 10) / 2 - 3.25), 10)"
    )
    assert len(pieces) > 9
    for column, row in np.reshape(pieces, (-1, 2)):
        assert column == pytest.approx(row / 2 + 3.25)


@pytest.mark.parametrize("data", ["two clouds", "XOR", "a ring", "two moons", "two spirals"])
def test_each_set_of_points_can_be_learned(opened, data):
    page = opened("boundary")
    name = {"two clouds": "clouds", "a ring": "ring", "two moons": "moons", "two spirals": "spirals"}.get(data, "xor")
    right, first, last = page.evaluate(
        """(name) => {
          const points = Boundary.pointsOf(name), weights = Boundary.initial(16, "tanh", Live.random(1)), losses = [];
          let right;
          for (let step = 0; step < 3000; step++) {
            const found = Boundary.lossAndGradients(weights, points, "tanh", 0);
            losses.push(found.loss);
            right = found.right / points.length;
            Boundary.descend(weights, found.gradients, 0.5);
          }
          return [right, losses[0], losses[losses.length - 1]];
        }""",
        name,
    )
    assert last < first / 2 and right > (0.85 if name == "spirals" else 0.95)


def test_a_network_is_trained_and_points_are_added(opened):
    page = opened("boundary")
    status = page.locator(".status")
    before = status.text_content()
    assert before.startswith("Step 0. Loss ") and before.endswith(" of 160 points on their side.")
    page.get_by_role("button", name="Step").click()
    assert live(page).startswith("Step 1. Loss ")
    page.get_by_role("button", name="Play").press(" ")
    page.get_by_text(re.compile(r"^Step \d{2,}1\.")).wait_for()  # ten steps from one drawing to the next
    page.get_by_role("button", name="Pause").click()
    stage = page.get_by_role("application")
    stage.press("ArrowUp")
    assert live(page).startswith("0, 0.15: the network says ■ with ")
    stage.press("Enter")
    assert live(page) == "■ added at 0, 0.15. 161 points."
    page.get_by_label("●", exact=True).check()
    stage.click(position={"x": 30, "y": 30})
    assert live(page).startswith(f"● added at {MINUS}2.") and "162 points" in status.text_content()
    page.get_by_role("button", name="Remove what you added").click()
    assert "160 points" in status.text_content()
    page.get_by_label("lines of the hidden units").uncheck()
    assert slide(page, "hidden units H", "Home") == "1" and "Step 0." in status.text_content()
    assert slide(page, "weight decay λ", "End") == "0.1"
    page.get_by_label("Activation f").select_option(label="none")
    assert slide(page, "learning rate η", "End") == "10"
    page.get_by_role("button", name="Start again").click()
    page.get_by_label("Points", exact=True).select_option(label="none: your own")
    assert "There are no points" in status.text_content()
    page.get_by_role("button", name="Play").click()  # there is nothing to learn
    page.get_by_role("button", name="Play").wait_for()
    stage.click(position={"x": 60, "y": 60})
    assert " of 1 points" in status.text_content()
    page.get_by_role("button", name="Step").click()
    assert live(page).startswith("Step 1. ")
