"""The explorer's page in a browser: every view, by pointer and by keyboard, without a request and without an error."""

import re
from pathlib import Path

import numpy as np
import pytest

import minicnn.explorer
from minicnn.data.preprocessing import Preprocessing
from minicnn.explorer import explore
from minicnn.explorer.graph import COMPUTED
from minicnn.layers import BatchNorm2d, Concat, Conv2d, Flatten, Linear, MaxPool2d, ReLU, Residual, Sequential
from minicnn.models import Model

sync_api = pytest.importorskip("playwright.sync_api", reason="the explorer's page is tested in a browser, with playwright")
TEMPLATE = Path(minicnn.explorer.__file__).parent / "template"

CLASSES = ["<img src=x onerror=alert(1)>", "</script><script>alert(2)</script>", "plain & simple"]
NAMES = ['"><svg onload=alert(3)>.png', "<!--<script>", "{{data}}", *(f"picture {k}.png" for k in range(7))]
SIZE = 12  # pixels


def tiny(seed: int = 0) -> Model:
    """With a residual connection and a concatenation, on pictures of 12 x 12 pixels."""
    layers = {
        "stem": Sequential(conv=Conv2d(3, 4, 3, pad=1, rng=seed), norm=BatchNorm2d(4), relu=ReLU()),
        "block": Residual(Sequential(conv=Conv2d(4, 4, 3, pad=1, rng=seed + 1), relu=ReLU())),
        "branches": Concat(left=Conv2d(4, 2, 1, rng=seed + 2), right=Conv2d(4, 3, 3, pad=1, rng=seed + 3)),
        "pool": MaxPool2d(2),
        "flatten": Flatten(),
        "scores": Linear(5 * 6 * 6, 3, rng=seed + 4),
    }
    preprocessing = Preprocessing(size=SIZE, mean=(120, 110, 100), std=(60, 60, 60))
    shape = (3, SIZE, SIZE)
    return Model(layers, architecture="tiny", input_shape=shape, preprocessing=preprocessing, classes=CLASSES).eval()


@pytest.fixture(scope="session")
def file(tmp_path_factory):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (len(NAMES), SIZE, SIZE, 3), dtype=np.uint8)
    labels = [k % 3 for k in range(len(NAMES))]
    after, before = tiny(), tiny()
    after.layers["stem"].freeze()
    after.layers["block"].body.layers["conv"].w.value[:] *= 1.5
    given = {"names": NAMES, "training": pixels[:6], "training_labels": labels[:6], "training_names": NAMES[:6]}
    page = explore(after, pixels, labels, before=before, title="<b>Tiny</b> {{scripts}}", progress=False, **given)
    return page.save(tmp_path_factory.mktemp("explorer") / "page.html")


@pytest.fixture
def opened(chromium, file):
    """A function that opens the page at an address behind the #. What goes wrong in the page fails the test."""
    troubles, requests, contexts, addresses = [], [], [], []

    def open_page(address: str = "", file=file, **options) -> sync_api.Page:
        options = {"viewport": {"width": 1200, "height": 900}, **options}
        contexts.append(chromium.new_context(offline=True, **options))
        page = contexts[-1].new_page()
        page.set_default_timeout(20_000)
        page.on("console", lambda message: troubles.append(message.text))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("dialog", lambda dialog: (troubles.append(f"alert: {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda request: requests.append(request.url))
        addresses.append(file.as_uri())
        page.goto(f"{file.as_uri()}#{address}")
        page.wait_for_selector("html[data-ready]")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert troubles == []
    assert [url.partition("#")[0] for url in requests] == addresses  # and nothing else


def tab(page, name):
    page.get_by_role("tab", name=name).click()


def live(page) -> str:
    return page.locator("#live").text_content()


def test_names_of_classes_and_files_are_text(opened):
    page = opened()
    assert page.title() == "<b>Tiny</b> {{scripts}}"
    assert page.locator(".confusion thead th").all_text_contents() == CLASSES
    page.get_by_label("all", exact=True).check()
    assert set(page.locator(".card .name").all_text_contents()) == set(NAMES)
    for view in ("Picture", "Network", "Neuron", "Backward"):
        tab(page, view)
        page.wait_for_selector("#progress", state="hidden")
        assert page.locator("main img, main svg[onload]").count() == 0


def test_from_a_cell_to_its_pictures_to_one_of_them(opened):
    page = opened()
    cell = next(button for button in page.locator(".confusion button").all() if button.text_content() != "0")
    expected = int(cell.text_content())
    cell.click()
    assert page.locator(".card").count() == expected
    assert page.evaluate("document.activeElement.id") == "pictures-heading"
    page.locator(".card").first.click()
    assert page.locator("#picture").is_visible()
    assert page.locator("#picture .scores").first.locator("li").count() == 3
    assert page.locator(".neighbours li").count() == 5
    assert "view=picture" in page.evaluate("location.hash")
    page.go_back()
    page.wait_for_selector("#mistakes", state="visible")


def test_covering_a_patch_by_pointer_and_by_keyboard(opened):
    page = opened("view=picture")
    stage = page.locator("#picture .stage")
    stage.hover(position={"x": 20, "y": 20})
    assert page.locator("#picture .box.patch").is_visible()
    assert page.get_by_role("heading", name="If this patch were covered").is_visible()
    stage.focus()
    page.keyboard.press("ArrowDown")
    assert live(page).startswith("Patch in row 2, column 1 covered")
    page.keyboard.press("Escape")
    assert page.locator("#picture .box.patch").is_hidden()


@pytest.mark.parametrize("overlay", ["Grad-CAM", "occlusion", "saliency"])
def test_an_overlay_has_a_legend_with_its_scale(opened, overlay):
    page = opened("view=picture")
    page.get_by_label(overlay).check()
    page.wait_for_selector("#picture .legend")
    assert float(page.locator("#picture .stage .layer").evaluate("layer => layer.style.opacity")) == pytest.approx(0.6)
    assert len(page.locator("#picture .legend span").all_text_contents()) == 3
    select = page.get_by_label("for", exact=True)
    select.focus()
    select.select_option(label=CLASSES[2])
    assert select.evaluate("select => select === document.activeElement")  # though it is a new one
    assert "class=2" in page.evaluate("location.hash")


def test_from_the_network_to_a_map_to_a_neuron(opened):
    page = opened("view=network")
    rows = page.locator(".graph .row:visible")
    assert "unmoved" in rows.nth(1).text_content()  # the stem, which is open, because its convolution is shown
    page.locator(".row.group", has_text="block").click()
    page.locator(".row", has_text="moved 50").last.click()
    page.locator(".tile[data-map='2']").click()
    assert page.get_by_role("heading", name="The filter of map 2").is_visible()
    large = page.locator(".large [role=application]")
    assert large.evaluate("map => map === document.activeElement")
    page.keyboard.press("ArrowRight")
    assert "column" in live(page)
    page.keyboard.press("Enter")
    assert page.locator("#neuron").is_visible()
    page.wait_for_selector("#neuron .sums")
    assert page.locator("#neuron .chain li").count() == 3  # convolution, ReLU, sum
    assert page.locator("#neuron .box.field").is_visible()


def value_in_words(text: str) -> float:
    return float(text.replace("\N{MINUS SIGN}", "-"))


def test_the_numbers_of_a_neuron_are_those_of_the_network(opened, file):
    model = tiny()
    page = opened("view=neuron&node=1&at=3.5.6&picture=0")
    page.wait_for_selector("#neuron .sums")
    pixels = page.evaluate("Array.from(App.pixelsOf(0))")
    x = model.preprocessing.normalise(np.array(pixels, np.uint8).reshape(1, SIZE, SIZE, 3))
    expected = model.layers["stem"].layers["conv"].forward(x)[0, 3, 5, 6]
    shown = value_in_words(page.locator("#neuron .sums tr:last-child td").text_content())
    assert shown == pytest.approx(expected, rel=2e-3, abs=1e-3)  # the page has rounded weights
    links = page.locator("#neuron .terms .link")
    assert links.count() == 10
    page.get_by_role("button", name="more; show").click()
    assert links.count() == 27
    links.first.click()
    assert "node=0" in page.evaluate("location.hash")


def test_the_switch_keeps_picture_node_and_neuron(opened):
    page = opened("view=neuron&node=4&at=1.2.3&picture=1")
    page.wait_for_selector("#neuron .sums")
    value = page.locator("#neuron .sums tr:last-child td")
    after = value.text_content()
    page.get_by_label("before", exact=True).check()
    value.filter(has_not_text=after).wait_for()
    assert "picture=1&network=1&node=4&at=1.2.3" in page.evaluate("location.hash")
    compared = page.locator("#neuron .terms").first.locator("tbody tr").first.locator("td").all_text_contents()
    assert compared[:2] == [after, value.text_content()]


def test_the_backward_pass_step_by_step(opened):
    page = opened("view=backward")
    page.wait_for_selector("#backward .where:not(:empty)")
    assert page.locator("#backward .where").text_content().startswith("Step 1 of ")
    page.get_by_role("button", name="Step on").click()
    assert page.locator("#backward .where").text_content().startswith("Step 2 of ")
    page.get_by_role("slider", name="Step of the backward pass").press("End")
    assert page.locator("#backward .saliency").is_visible()
    page.get_by_role("button", name="Play").click()
    page.locator("#backward .where", has_text="Step 2 of").wait_for()
    page.get_by_role("button", name="Pause").click()


def test_nothing_plays_where_less_motion_is_asked_for(opened):
    page = opened("view=backward", reduced_motion="reduce")
    assert page.get_by_role("button", name="Play").count() == 0
    assert page.get_by_role("button", name="Step on").is_visible()


def test_the_way_down_by_keyboard_alone(opened):
    page = opened()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "tab-mistakes"
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.closest('td').cellIndex") == 2
    page.get_by_label("all", exact=True).focus()
    page.keyboard.press("Space")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.locator("#picture").is_visible()
    assert page.evaluate("document.activeElement.tagName") == "H2"
    page.locator("#tab-picture").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.wait_for_selector("#network .tile")
    page.locator(".tile").first.focus()
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    page.wait_for_selector(".large [role=application]:focus")
    page.keyboard.press("Enter")
    page.wait_for_selector("#neuron .sums")


def test_a_row_of_maps_is_one_stop_of_the_tab_key(opened):
    page = opened("view=network")
    page.wait_for_selector("#network .tile")
    for container, item in ((".tiles", ".tile"), (".graph", ".row")):
        stops = page.locator(f"{container} {item}").evaluate_all("items => items.filter((item) => item.tabIndex === 0).length")
        assert stops == 1


@pytest.mark.parametrize("width", [360, 1200])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_view_is_wider_than_the_screen(opened, width, scheme):
    page = opened(viewport={"width": width, "height": 800}, color_scheme=scheme)
    for view in ("mistakes", "picture", "network", "neuron", "backward"):
        page.evaluate(f"location.hash = 'view={view}&at=1.2.3'")
        page.wait_for_selector(f"#{view}", state="visible")
        page.wait_for_selector("#progress", state="hidden")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, view


def test_an_address_that_makes_no_sense_shows_the_first_view(opened):
    page = opened("view=toString&picture=-1&node=999&at=9.9.9&class=x")
    assert page.locator("#mistakes").is_visible()


def test_every_text_that_is_asked_for_is_there(opened):
    words = set(opened().evaluate("Object.keys(Words)"))
    scripts = "".join(path.read_text(encoding="utf-8") for path in TEMPLATE.glob("*.js"))
    assert set(re.findall(r'\bsay\("(\w+)"', scripts)) <= words
    types = {layer.__name__ for layer in COMPUTED} - {"DropConnect"} | {"Input", "Add", "Concat", "Scale", "Identity"}
    assert {f"equation_{name}" for name in types} <= words


class Halved(ReLU):
    """A layer of the user's own, which the page cannot compute."""

    def forward(self, x):
        return x / 2

    def backward(self, dy):
        return dy / 2


def test_of_a_layer_that_the_page_cannot_compute_the_values_are_shown_and_the_rest_is_said(opened, tmp_path):
    model, pixels = tiny(), np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE, 3), np.uint8)
    layers = {"stem": model.layers["stem"], "own": Halved(), **{k: v for k, v in model.layers.items() if k != "stem"}}
    own = Model(layers, architecture="own", input_shape=model.input_shape, preprocessing=model.preprocessing).eval()
    page = opened("view=picture", explore(own, pixels, progress=False).save(tmp_path / "own.html"))
    page.get_by_label("saliency").check()
    page.get_by_text("no gradient").first.wait_for()
    tab(page, "Network")
    page.get_by_text("cannot compute this layer").wait_for(state="hidden")
    page.evaluate("App.go({ node: App.data.nodes.findIndex((node) => node.opaque) })")
    page.get_by_text("cannot compute this layer").wait_for()
    assert page.locator("#network canvas").count() > 4
    tab(page, "Neuron")
    page.wait_for_selector("#progress", state="hidden")


def test_two_classes_that_share_a_score_have_their_two_probabilities(opened, tmp_path):
    layers = {"flatten": Flatten(), "score": Linear(SIZE * SIZE * 3, 1, rng=0)}
    preprocessing = tiny().preprocessing
    model = Model(layers, architecture="one", input_shape=(3, SIZE, SIZE), preprocessing=preprocessing, classes=["a", "b"])
    pixels = np.random.default_rng(0).integers(0, 256, (3, SIZE, SIZE, 3), np.uint8)
    page = opened("view=picture", explore(model.eval(), pixels, [0, 1, 0], progress=False).save(tmp_path / "one.html"))
    shown = page.locator("#picture .scores .value").all_text_contents()
    assert len(shown) == 2 and sum(float(re.search(r"[\d.]+", text)[0]) for text in shown) == pytest.approx(100, abs=0.2)


def test_of_many_classes_the_matrix_shows_those_with_most_mistakes(opened, tmp_path):
    classes = [f"class {k}" for k in range(15)]
    layers = {"flatten": Flatten(), "scores": Linear(SIZE * SIZE * 3, 15, rng=0)}
    preprocessing = tiny().preprocessing
    model = Model(layers, architecture="many", input_shape=(3, SIZE, SIZE), preprocessing=preprocessing, classes=classes)
    pixels = np.random.default_rng(0).integers(0, 256, (30, SIZE, SIZE, 3), np.uint8)
    page = opened("", explore(model.eval(), pixels, [k % 15 for k in range(30)], progress=False).save(tmp_path / "many.html"))
    assert page.locator(".confusion thead th").count() == 12
    page.get_by_text("3 more are left out").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_barrier_in_any_view(opened, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-core comes with axe-playwright-python")
    page = opened(color_scheme=scheme)
    for view in ("Mistakes", "Picture", "Network", "Neuron", "Backward"):
        tab(page, view)
        page.wait_for_selector("#progress", state="hidden")
        found = axe.Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
