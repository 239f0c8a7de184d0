"""The report of `minicnn transfer`: what the table says, what the page holds, and that no figure is cut off."""

import base64
import json
from copy import deepcopy
from html.parser import HTMLParser
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from drawn import frame_is_white

from minicnn.experiment import confusion_figures as figures_of_answers
from minicnn.experiment import figures
from minicnn.experiment.report import table, write_report
from minicnn.experiment.results import majority_baseline, recommend, recommended, summed_confusion, worst_mistakes
from minicnn.transfer.formatting import quantity
from minicnn.transfer.metrics import balanced_accuracy
from minicnn.viz.style import class_labels, drawable, shorten, style, text_width

LAYERS = ["stem", "block0", "block1", "head", "pool", "classifier"]
SIZES = [928, 14_000, 250_000, 400_000, 0, 2562]
TITLES = {
    "svm": "linear SVM on CNN codes",
    "softmax": "softmax classifier on CNN codes",
    "finetune-upper": "fine-tune the upper layers",
    "finetune-more": "then fine-tune more layers",
}


class Pictures:
    """Noise of the sizes given, in turn; a size of None is a file that has gone."""

    def __init__(self, *sizes):
        self.sizes = sizes or ((30, 40),)

    def picture(self, i):
        size = self.sizes[i % len(self.sizes)]
        if size is None:
            raise OSError("no such file")
        return np.random.default_rng(i).integers(0, 256, (*size, 3), dtype=np.uint8)


def spread(values):
    if not values:
        return {"mean": None, "std": None}
    return {"mean": float(np.mean(values)), "std": float(np.std(values, ddof=1)) if len(values) > 1 else None}


def phase(seed, number, epochs):
    rng = np.random.default_rng((seed, number))
    history = [
        {"epoch": epoch, **{key: float(rng.random()) for key in ("loss", "train_accuracy", "val_loss", "val_accuracy")}}
        for epoch in range(1, epochs + 1)
    ]
    title = list(TITLES.values())[1 + number]
    record = {"title": title, "frozen_until": "block0", "trained_until": None, "trained": "all", "learning_rate": 2e-3}
    return record | {"history": history, "best_epoch": min(2, epochs)}


def run(key, seed, classes, mistakes, epochs, folds=1):
    """One seed's record: 20 test pictures a class, 80 % right."""
    rng, K = np.random.default_rng(seed), len(classes)
    confusion = 16 * np.eye(K, dtype=int) + 4 * np.roll(np.eye(K, dtype=int), 1 + seed % (K - 1), axis=1)
    record = {"seed": seed, "accuracy": 0.8 + 0.01 * seed, "balanced_accuracy": 0.7, "f1": 0.6, "val_accuracy": 0.75}
    record["val_pictures"] = 60 * K
    record |= {"seconds": 42.0, "confusion": confusion.tolist()}
    record["mistakes"] = [
        {"index": 100 * seed + i, "file": f"pictures/{i}.png", "true": classes[0], "predicted": classes[1], "confidence": c}
        for i, c in enumerate(np.sort(rng.random(mistakes))[::-1].tolist())
    ]
    if key.startswith("finetune"):
        count = 2 if key == "finetune-more" else 1
        record["phases"] = [phase(seed, number, epochs) for number in (1, 2)][:count]
        record["other_folds"] = [[phase(seed + 100, number, epochs) for number in (1, 2)][:count]] if folds > 1 else []
        record |= {"chosen": "upper", "losses": {"upper": 0.4, "the linear probe": 0.5}}
    else:
        record["chosen_regularisation"] = 0.1
        record["regularisation_path"] = [
            {"regularisation": value, "train_accuracy": 0.9, "val_accuracy": 0.8} for value in (10.0, 1.0, 0.1, 0.01)
        ]
    return record


def make_results(keys=tuple(TITLES), seeds=3, classes=("functional", "defective"), mistakes=12, epochs=3, folds=1):
    classes, strategies = list(classes), []
    for key in keys:
        runs = [run(key, seed, classes, mistakes, epochs, folds) for seed in range(seeds)]
        measures = ("accuracy", "balanced_accuracy", "f1", "val_accuracy", "seconds")
        strategies.append(
            {
                "key": key,
                "title": TITLES[key],
                "trained": "block1 to classifier" if key.startswith("finetune") else "classifier",
                "frozen": "stem to block0",
                "trained_parameters": 2_562_000 if key.startswith("finetune") else 2562,
                "total_parameters": 3_373_514,
                "runs": runs,
                **{name: spread([record[name] for record in runs]) for name in measures},
            }
        )
    return {
        "version": "0.1.0",
        "title": "efficientnet_lite0 transferred to solar cells",
        "date": "2026-11-22",
        "command": "minicnn transfer",
        "mode": "default",
        "seconds": 241.3,
        "interrupted": False,
        "machine": {"cpu": "a processor", "threads": 2, "python": "3.11.7", "numpy": "2.4.1", "numba": "0.68.0"},
        "data": {
            "name": "solar cells",
            "pictures": 80 * len(classes),
            "classes": classes,
            "counts": [80] * len(classes),
            "parts": {"train": 50 * len(classes), "val": 10 * len(classes), "test": 20 * len(classes)},
            "source": "https://example.org/cells (a paper, 2019).",
            "licence": "CC BY-NC-SA 4.0",
            "findings": {"left out": [], "assumed": ["val is the test part"], "note": ["A note."]},
            "counts_in_parts": {"train": [50] * len(classes), "val": [10] * len(classes), "test": [20] * len(classes)},
            "uneven": False,
            "near_duplicates": {
                "pairs": 9,
                "across_parts": [["a/1.png", "a/copy of 1.png"], ["b/7.png", "b/7 (1).png"]],
                "shown": [[0, 1], [2, 3]],
            },
            "augmentation": "flips",
        },
        "model": {
            "name": "efficientnet_lite0",
            "parameters": 3_373_514,
            "multiply_adds": 384_000_000,
            "input": [3, 224, 224],
            "source": "somewhere",
            "licence": "Apache-2.0",
            "summary": "layer   output\nstem    32 x 112 x 112",
        },
        "f1_of": classes[1] if len(classes) == 2 else "macro average",
        "strategies": strategies,
        "ladder": {
            "layers": LAYERS,
            "parameters": SIZES,
            "strategies": {key: [0, 0, 0.25, 0.25, 0.25, 1] if "fine" in key else [0, 0, 0, 0, 0, 1] for key in keys},
        },
        "published": [{"title": "fine-tuned VGG-19, Deitsch et al. 2019", "accuracy": 0.8842}],
        "recommendation": {"key": keys[-1], "sentence": "Recommended: the last one."} if keys else None,
        "model_file": "model.h5",
        "novelty": {
            "expected_rejected": 0.05,
            "test_rejected": 0.0625,
            "left_out_classes": {name: 0.2 + 0.5 * (k == 0) for k, name in enumerate(classes[:10])},
        },
    }


class Page(HTMLParser):
    """What a page is made of; complains about tags that are not closed."""

    VOID = ("meta", "img", "br", "hr")

    def __init__(self, path):
        super().__init__()
        self.tags, self.open, self.text = [], [], ""
        self.feed(Path(path).read_text(encoding="utf-8"))
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text += data.replace("\N{NO-BREAK SPACE}", " ")

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The report of an ordinary run."""
    results = make_results()
    return results, write_report(results, tmp_path_factory.mktemp("reports") / "new" / "report", Pictures())


# ---- the table


def test_table_fits_the_terminal_and_its_numbers_stand_below_each_other():
    lines = table(make_results()).splitlines()
    assert max(map(len, lines)) <= 110
    rows = [next(line for line in lines if line.startswith(title)) for title in TITLES.values()]
    assert len({row.index("81.0 ± 1.0") for row in rows}) == 1
    assert len({len(row) for row in [lines[0], *rows]}) == 1  # the last column ends where its heading does
    assert lines[0].index("accuracy %") == rows[0].index("81.0 ± 1.0")
    published = next(line for line in lines if line.startswith("published: fine-tuned VGG-19, Deitsch et al. 2019"))
    assert published.index("88.4") + 4 == rows[0].index("81.0 ± 1.0") + 10


def test_table_says_what_was_trained_and_ends_with_the_recommendation():
    text = table(make_results())
    assert "classifier: 2.6 k" in text and "block1 to classifier: 2.6 M" in text and "trained (of 3.4 M)" in text
    assert text.endswith("\nRecommended: the last one.")
    assert 'F1 is of the class "defective"' in text and "42 s" in text


def test_table_of_one_seed_has_no_spread():
    text = table(make_results(seeds=1))
    assert "±" not in text and "1 seed" in text and "80.0" in text


def test_table_names_what_can_be_had_without_looking():
    line = next(line for line in table(make_results()).splitlines() if line.startswith("always answering"))
    assert line.split()[-2:] == ["50.0", "50.0"]


def test_table_wraps_long_titles_inside_their_column():
    results = make_results()
    results["strategies"][0]["title"] = "a strategy with a name that is longer than the column that it is to stand in"
    results["strategies"][0]["accuracy"] = {"mean": 1.0, "std": 0.102}
    lines = table(results).splitlines()
    assert max(map(len, lines)) <= 110
    assert "100.0 ± 10.2" in lines[2] and lines[3].startswith("longer") and not any(map(str.isdigit, lines[3]))


def test_table_of_an_interrupted_run_says_so_even_if_nothing_has_finished():
    results = make_results(keys=()) | {"interrupted": True}
    assert "no strategy has finished" in table(results) and "Interrupted" in table(results)


@pytest.mark.parametrize(
    ("count", "said"), [(850, "850"), (2562, "2.6 k"), (128_400, "128 k"), (999_960, "1.0 M"), (3_373_514, "3.4 M")]
)
def test_quantities_are_said_with_two_or_three_digits(count, said):
    assert quantity(count) == said


# ---- what the results are asked


def test_without_a_recommendation_the_best_in_validation_is_shown():
    results = make_results() | {"recommendation": None}
    results["strategies"][1]["val_accuracy"]["mean"] = 0.99
    assert recommended(results)["key"] == "softmax"
    assert recommended(make_results(keys=())) is None


def test_confusion_is_summed_over_seeds():
    strategy = {"runs": [{"confusion": [[3, 1], [0, 4]]}, {"confusion": [[2, 2], [1, 3]]}]}
    assert summed_confusion(strategy).tolist() == [[5, 3], [1, 7]]
    assert majority_baseline({"strategies": [strategy]}) == (0.5, 0.5)


def test_a_class_without_test_pictures_does_not_count_in_the_balance():
    strategy = {"runs": [{"confusion": [[6, 0, 0], [1, 1, 0], [0, 0, 0]]}]}
    assert majority_baseline({"strategies": [strategy]}) == (0.75, 0.5)


def test_worst_mistakes_come_once_each_the_most_confident_first():
    runs = [
        {"mistakes": [{"index": 3, "confidence": 0.9}, {"index": 5, "confidence": 0.6}]},
        {"mistakes": [{"index": 7, "confidence": 0.95}, {"index": 3, "confidence": 0.7}]},
    ]
    assert [(m["index"], m["confidence"]) for m in worst_mistakes({"runs": runs})] == [(7, 0.95), (3, 0.9), (5, 0.6)]


# ---- the folder


def test_json_is_the_results_again(written):
    results, page = written
    assert json.loads((page.parent / "results.json").read_text(encoding="utf-8")) == results


def test_not_a_number_is_null_in_json(tmp_path):
    results = make_results(keys=("finetune-upper",), seeds=1, mistakes=0)
    results["strategies"][0]["runs"][0]["phases"][0]["history"][0]["val_loss"] = float("nan")
    write_report(results, tmp_path, Pictures())
    text = (tmp_path / "results.json").read_text(encoding="utf-8")
    again = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert again["strategies"][0]["runs"][0]["phases"][0]["history"][0]["val_loss"] is None


def test_every_figure_is_a_file_and_is_in_the_page(written):
    _, page = written
    files = {path.name: path.read_bytes() for path in page.parent.glob("*.png")}
    assert files.keys() == {f"{name}.png" for name in figures.FIGURES}
    embedded = [base64.b64decode(image["src"].removeprefix("data:image/png;base64,")) for image in Page(page).all("img")]
    assert sorted(embedded) == sorted(files.values())
    assert {path.name for path in page.parent.iterdir()} == {*files, "results.json", "report.html"}


def test_figures_without_data_are_left_out_and_older_ones_removed(tmp_path):
    (tmp_path / "learning_curves.png").write_bytes(b"of an earlier report")
    results = make_results(keys=("svm",), mistakes=0)
    results["data"]["near_duplicates"] = {"pairs": 0, "across_parts": [], "shown": []}
    page = write_report(results, tmp_path, Pictures())
    names = {path.stem for path in tmp_path.glob("*.png")}
    assert names == {"accuracy", "confusion", "frozen", "regularisation"}
    assert "linear SVM on CNN codes made no mistake on the test pictures" in Page(page).text


def test_a_report_of_nothing_is_still_a_report(tmp_path):
    results = make_results(keys=()) | {"interrupted": True}
    results["data"]["near_duplicates"]["shown"] = []
    page = Page(write_report(results, tmp_path, Pictures()))
    assert "Interrupted." in page.text and "no strategy has finished" in page.text and not page.all("img")


def test_a_full_disk_leaves_the_old_file_and_no_scraps(tmp_path, monkeypatch):
    (tmp_path / "results.json").write_text("the old one")
    write_bytes = Path.write_bytes

    def full(path, content):
        write_bytes(path, content[: len(content) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        write_report(make_results(keys=("svm",), seeds=1), tmp_path, Pictures())
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]
    assert (tmp_path / "results.json").read_text() == "the old one"


# ---- the page


def test_what_was_found_stands_before_the_figures_and_not_at_the_end(written):
    page = written[1].read_text(encoding="utf-8")
    assert page.index("assumed: val is the test part") < page.index("<img") < page.index("Learning curves")
    text = Page(written[1]).text
    assert "note: A note." in text and "functional501020" in text


def untested(results):
    """The same with the last class in no test part."""
    for strategy in results["strategies"]:
        for record in strategy["runs"]:
            record["confusion"][-1] = [0] * len(results["data"]["classes"])
            record |= {"balanced_accuracy": None, "f1": None, "mistakes": []}
        strategy |= {"balanced_accuracy": spread([]), "f1": spread([])}
    return results


def test_a_class_that_was_not_tested_has_no_numbers_and_is_named_as_untested(tmp_path):
    results = untested(make_results(keys=("svm", "softmax")))
    lines = table(results).splitlines()
    assert lines[2].split()[-4:-2] == ["-", "-"]
    assert "1 of 2 classes had no test pictures, and no number here speaks of them: defective." in " ".join(lines)
    assert next(line for line in lines if line.startswith("always")).split()[-2:] == ["100.0", "-"]
    with matplotlib.style.context(["default", style()]):
        figure, alt, caption = figures_of_answers.confusion(results)
    cells = [text.get_text() for text in figure.subfigs[0].axes[0].texts]
    assert cells == ["not tested", "48\n80 %", "12\n20 %"]
    assert "defective not tested" in alt and "Grey rows" in caption
    text = Page(write_report(results, tmp_path, Pictures())).text
    assert "made no mistake on the test pictures; there were none of defective." in text


def test_page_has_the_same_numbers_as_the_table(written):
    results, path = written
    text = Page(path).text
    for line in table(results).splitlines()[2:6]:
        title, *cells = [cell for cell in line.split("  ") if cell]
        assert title in text
        assert all(cell.strip() in text for cell in cells)
    assert "published: fine-tuned VGG-19, Deitsch et al. 2019" in text and "Recommended: the last one." in text


def test_page_loads_nothing_and_runs_nothing(written):
    page = Page(written[1])
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.tags}
    for tag, attributes in page.tags:
        assert not any(name.startswith("on") for name in attributes)
        assert attributes.get("src", "data:image/png;").startswith("data:image/png;")
        assert tag == "a" or "href" not in attributes
    assert [link["href"] for link in page.all("a")] == ["https://example.org/cells"]
    assert "url(" not in written[1].read_text(encoding="utf-8")


def test_page_can_be_read_by_everyone(written):
    page = Page(written[1])
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("h1")) == 1 and len(page.all("h2")) >= len(figures.FIGURES)
    assert all(len(image["alt"]) > 40 for image in page.all("img"))
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in page.all("meta")
    assert "efficientnet_lite0 transferred to solar cells" in page.text


def test_no_line_ends_within_an_option(tmp_path):
    results = make_results(keys=("svm",), seeds=1)
    results["command"] = "minicnn transfer --data /a/--b.zip --quick"
    results["data"]["findings"]["note"] = ["F1 is of bees; --positive NAME chooses another one (--group-duplicates)"]
    page = write_report(results, tmp_path, Pictures()).read_text(encoding="utf-8")
    for option in ("--data", "--quick", "--positive", "--group-duplicates", "--reject"):
        assert f'<span class="option">{option}</span>' in page
    assert "/a/--b.zip" in page


def test_page_says_what_rejection_is_worth(written):
    text = Page(written[1]).text
    assert "6.2 % of the test pictures, each of which belongs to a class: false alarms (5.0 % are expected)" in text
    assert "45 % in the mean over classes that it was not shown: functional 70 %, defective 20 %" in text
    assert "minicnn predict model.h5 PICTURES... [--reject]" in text


@pytest.mark.parametrize("novelty", [None, {"expected_rejected": 0.05, "test_rejected": 0.1, "left_out_classes": {}}])
def test_page_says_nothing_of_rejection_that_was_not_measured(tmp_path, novelty):
    text = Page(write_report(make_results(seeds=1) | {"novelty": novelty}, tmp_path, Pictures())).text
    assert ("turned away" in text) == ("--reject" in text) == (novelty is not None)
    assert "strangers" not in text.lower()


def test_names_from_outside_are_text_and_never_markup(tmp_path):
    results = make_results(keys=("svm",), seeds=1, classes=("<b>bee</b>", '"ant" & $x_1$ <script>'))
    results["data"]["name"] = "<i>insects</i>"
    for mistake in results["strategies"][0]["runs"][0]["mistakes"]:
        mistake["file"] = "<img src=x onerror=alert(1)>.png"
    results["strategies"][0]["runs"][0]["mistakes"][0]["file"] = "caf\udce9.png"  # bytes on disk that are no UTF-8
    path = write_report(results, tmp_path, Pictures())
    page = Page(path)
    assert not {"b", "i", "script"} & {tag for tag, _ in page.tags}
    assert all(image["src"].startswith("data:") for image in page.all("img"))
    assert "<img src=x onerror=alert(1)>.png" in page.text and '"ant" & $x_1$ <script> (80)' in page.text
    assert json.loads((tmp_path / "results.json").read_text(encoding="utf-8")) == results


# ---- the figures


def test_nothing_is_cut_off_in_an_ordinary_report(written):
    for path in written[1].parent.glob("*.png"):
        assert frame_is_white(path.read_bytes()), path.name


@pytest.mark.parametrize("count", [2, 4, 100])
def test_nothing_is_cut_off_with_many_classes_of_long_names(count):
    classes = [f"n{k:08d} a name that is far too long for any figure, number {k}" for k in range(count)]
    results = make_results(keys=("svm", "finetune-upper", "finetune-more"), seeds=1, classes=classes, mistakes=5)
    drawings = {drawing.name: drawing for drawing in figures.draw(results, Pictures((10, 300), (300, 10), (1, 1), None))}
    assert all(frame_is_white(drawing.png) for drawing in drawings.values())
    assert classes[0] in drawings["confusion"].alt


def test_pairs_that_are_often_confused_are_written_out_where_the_matrix_has_no_numbers(tmp_path):
    results = make_results(keys=("svm",), seeds=1, classes=[f"kind {k}" for k in range(13)], mistakes=0)
    results["strategies"][0]["runs"][0]["confusion"][7][9] = 11
    text = Page(write_report(results, tmp_path, Pictures())).text
    assert "kind 7, taken for kind 9: 11 of 31" in text


def test_drawing_changes_no_setting_and_ignores_the_users():
    results = make_results(keys=("svm",), seeds=1, mistakes=1)
    usual = [drawing.png for drawing in figures.draw(results, Pictures())]
    with matplotlib.rc_context({"text.usetex": True, "figure.facecolor": "black", "savefig.dpi": 10}):
        before = dict(matplotlib.rcParams)
        assert [drawing.png for drawing in figures.draw(results, Pictures())] == usual
        assert dict(matplotlib.rcParams) == before


def test_curves_that_a_longer_run_went_on_from_are_drawn_once():
    with matplotlib.style.context(["default", style()]):
        together, alt, _ = figures.learning_curves(make_results(seeds=2))
        alone, _, _ = figures.learning_curves(make_results(keys=("finetune-upper",), seeds=2))
    assert len(together.subfigs) == len(alone.subfigs) == 1
    assert "6 epochs" in alt
    loss = together.subfigs[0].axes[0]
    curves = [line.get_xdata() for line in loss.lines if len(line.get_xdata()) == 3]
    assert sorted(map(tuple, curves)) == [(1, 2, 3)] * 4 + [(4, 5, 6)] * 4  # 2 seeds, training and validation, 2 phases


def test_a_phase_that_was_interrupted_in_its_first_epoch_is_not_drawn():
    results = make_results(keys=("finetune-more",), seeds=1)
    results["strategies"][0]["runs"][0]["phases"][1] |= {"history": [], "best_epoch": None}
    with matplotlib.style.context(["default", style()]):
        figure, alt, _ = figures.learning_curves(results)
    assert "3 epochs" in alt and figure.subfigs[0].axes[0].get_xlim() == (0.5, 3.5)


def test_frozen_layers_are_named_as_frozen_and_others_by_their_learning_rate():
    with matplotlib.style.context(["default", style()]):
        figure, alt, _ = figures.frozen(make_results())
    bottom = figure.axes[1]
    texts = [text.get_text() for text in bottom.texts]
    assert texts == ["frozen", "1"] * 2 + ["frozen", "0.25", "1"] * 2
    assert "pool" not in [label.get_text() for label in bottom.get_xticklabels()]  # it has no parameters to freeze
    assert "linear SVM on CNN codes trains 1 of 5, from classifier on" in alt


@pytest.mark.parametrize("accuracy", [0.4, 0.97, 1.0])
def test_axes_of_percentages_end_at_100(accuracy):
    results = make_results()
    for strategy in results["strategies"]:
        strategy["accuracy"] = {"mean": accuracy, "std": 0.0}
        for record in strategy["runs"]:
            record["accuracy"] = accuracy
            for point in record.get("regularisation_path", ()):
                point["train_accuracy"] = accuracy
            for entry in (entry for phase in record.get("phases", ()) for entry in phase["history"]):
                entry["val_accuracy"] = accuracy
    with matplotlib.style.context(["default", style()]):
        assert figures.accuracy(results)[0].axes[0].get_xlim()[1] <= 100
        assert figures.regularisation(results)[0].axes[0].get_ylim()[1] <= 100
        assert figures.learning_curves(results)[0].subfigs[0].axes[1].get_ylim()[1] <= 100
    assert all(frame_is_white(drawing.png) for drawing in figures.draw(results, Pictures()))


def test_captions_speak_of_what_is_there():
    def captions(results):
        return {drawing.name: drawing.caption for drawing in figures.draw(results, Pictures())}

    alone = make_results(keys=("finetune-upper",), seeds=1, classes=("a", "b", "c", "d"))
    alone["data"]["augmentation"] = "none in the quick mode"
    said = captions(alone)
    assert all(absent not in said["confusion"] for absent in ("small matrices", "summed", "shades"))
    for absent in ("augmented", "dropout", "A line a seed", "numbers of the phases"):
        assert absent not in said["learning_curves"]
    several = make_results(classes=("a", "b", "c", "d"))
    several["model"]["summary"] = "dropout  Dropout(p=0.2)"
    said = captions(several)
    assert "small matrices" in said["confusion"] and "summed over seeds" in said["confusion"]
    for present in ("of augmented pictures and with dropout on", "A line a seed", "numbers of the phases"):
        assert present in said["learning_curves"]
    without_numbers = captions(make_results(keys=("svm",), classes=[f"kind {k}" for k in range(13)]))["confusion"]
    assert "shades are of the row" in without_numbers and "percentages" not in without_numbers
    several["ladder"]["strategies"] = {key: [1] * len(LAYERS) for key in TITLES}
    assert "Hatched" in said["frozen"] and "Hatched" not in captions(several)["frozen"]


def test_pictures_that_are_nearly_the_same_are_shown_with_their_names():
    drawings = {drawing.name: drawing for drawing in figures.draw(make_results(), Pictures((30, 40), None))}
    assert "a/1.png and a/copy of 1.png; b/7.png and b/7 (1).png" in drawings["near_duplicates"].alt
    assert drawings["near_duplicates"].caption.startswith("The 2 pairs of pictures")


def test_a_small_matrix_shows_counts_and_shares():
    with matplotlib.style.context(["default", style()]):
        figure, alt, _ = figures_of_answers.confusion(make_results(seeds=2))
    cells = [text.get_text() for text in figure.subfigs[0].axes[0].texts]
    assert cells == ["32\n80 %", "8\n20 %", "8\n20 %", "32\n80 %"]
    assert "functional 80 %, defective 80 %" in alt


# ---- names that fit


def test_shortened_names_keep_both_ends_and_their_width():
    short = shorten("n01440764 tench, Tinca tinca", 18)
    assert short.startswith("n01440764") and short.endswith("tinca") and text_width(short) <= 18
    assert text_width(shorten("아주 긴 이름을 가진 말벌의 한 종류", 15)) <= 15
    assert shorten("short", 5) == "short"


def test_labels_of_classes_stay_distinct():
    labels = class_labels([f"the same beginning {k} and the same end" for k in range(30)], 16)
    assert len(set(labels)) == 30 and max(map(len, labels)) <= 16


def test_an_emoji_takes_nothing_else_of_a_name_away():
    missing = "\N{LINEAR B SYLLABLE B008 A}"
    if drawable(missing):
        pytest.skip("a font for Linear B is installed here")
    assert class_labels([f"normal {missing}", f"{missing} ok?", missing], 20) == ["normal", "ok?", "class 2"]
    assert class_labels([f"ant {missing}", "ant"], 20) == ["0 ant", "1 ant"], "what is left is still distinct"


def test_names_that_no_font_can_write_go_by_number_and_the_page_says_which(tmp_path):
    unknown = "\N{LINEAR B SYLLABLE B008 A}"
    if drawable(unknown):
        pytest.skip("a font for Linear B is installed here")
    classes = ("ant", unknown)
    assert class_labels(classes, 20) == ["ant", "class 1"]
    text = Page(write_report(make_results(keys=("svm",), seeds=1, classes=classes), tmp_path, Pictures())).text
    assert f"class 0: ant (80), class 1: {unknown} (80)" in text


def test_writing_a_report_leaves_the_results_as_they_were(tmp_path):
    results = make_results(keys=("svm",), seeds=1, classes=[f"kind {k}" for k in range(13)])
    before = deepcopy(results)
    write_report(results, tmp_path, Pictures())
    assert results == before


@pytest.mark.parametrize(
    ("val", "pictures", "chosen"),
    [
        ([0.80, 0.85, 0.90], 10_000, "c"),  # far apart: the best
        ([0.80, 0.897, 0.90], 10_000, "b"),  # 0.3 points, and one standard error of 0.9 on 10,000 is 0.3
        ([0.80, 0.896, 0.90], 10_000, "c"),
        ([0.80, 0.85, 0.90], 9, "a"),  # 10 points on 9 pictures
        ([0.90, 0.90, 0.90], 10_000, "a"),
        ([0.99, 1.0, 1.0], 50, "b"),  # nothing is wrong: no error to be within
    ],
)
def test_the_cheapest_strategy_within_one_standard_error_of_the_best_is_recommended(val, pictures, chosen):
    strategies = [
        {
            "key": key,
            "title": f"strategy {key}",
            "runs": [{"val_accuracy": value, "val_pictures": pictures}],
            "accuracy": {"mean": 0.5},
        }
        for key, value in zip("abc", val, strict=True)
    ]
    key, sentence = recommend(strategies)
    assert key == chosen and sentence.startswith(f"Recommended: strategy {chosen}, the ")
    assert "it got 50.0 % of the test pictures right" in sentence
    assert ("cheapest within" in sentence) == (val["abc".index(chosen)] < max(val))


def test_where_classes_are_uneven_the_small_one_counts_as_much_as_the_large_one():
    lazy = {"key": "lazy", "title": "lazy", "accuracy": {"mean": 0.968}}
    lazy["runs"] = [{"val_accuracy": 0.98, "val_confusion": [[98, 0], [2, 0]], "confusion": [[120, 0], [4, 0]]}]
    keen = {"key": "keen", "title": "keen", "accuracy": {"mean": 0.9}}
    keen["runs"] = [{"val_accuracy": 0.90, "val_confusion": [[88, 10], [0, 2]], "confusion": [[108, 12], [1, 3]]}]
    key, sentence = recommend([lazy, keen], ["normal", "defect"])
    assert key == "keen"
    assert "mean over classes" in sentence and "lazy 50.0 %" in sentence
    assert "it recognised 3 of 4 'defect' and 108 of 120 'normal'" in sentence


def test_where_classes_are_uneven_the_figure_of_plain_accuracy_says_that_it_does_not_decide():
    for uneven in (True, False):
        results = make_results(keys=("svm",), seeds=2)
        results["data"]["uneven"] = uneven
        _, _, caption = figures.accuracy(results)
        assert ("compared by balanced accuracy" in caption) == uneven


def test_one_hit_of_one_picture_is_no_certainty():
    assert balanced_accuracy(np.array([[30, 0], [0, 1]]))[0] == 1.0
    assert balanced_accuracy(np.array([[30, 0], [0, 1]]))[1] > 0.2 > balanced_accuracy(np.array([[30, 0], [0, 30]]))[1]


def test_only_splits_that_all_strategies_ran_on_are_compared():
    runs = [{"val_accuracy": value, "val_pictures": 1000} for value in (0.8, 0.99, 0.99)]
    cheap = {"key": "cheap", "title": "cheap", "runs": runs, "accuracy": {"mean": 0.5}}
    dear = {"key": "dear", "title": "dear", "accuracy": {"mean": 0.6}}
    dear["runs"] = [{"val_accuracy": 0.9, "val_pictures": 1000}]
    assert recommend([cheap, dear])[0] == "dear"


def test_pictures_of_all_splits_and_folds_make_the_standard_error_smaller():
    def strategy(key, value, splits, pictures):
        runs = [{"val_accuracy": value, "val_pictures": pictures}] * splits
        return {"key": key, "title": key, "runs": runs, "accuracy": {"mean": 0.5}}

    for splits, pictures, chosen, error in ((1, 100, "cheap", 3.0), (4, 100, "dear", 1.5), (1, 400, "dear", 1.5)):
        key, sentence = recommend([strategy("cheap", 0.88, splits, pictures), strategy("dear", 0.9, splits, pictures)])
        assert key == chosen
        value, its_error = (90, error) if chosen == "dear" else (88, 3.2)  # sqrt(0.9 * 0.1 / 100) = 0.03
        assert f"on pictures that were held out, {value}.0 % ± {its_error} (" in sentence


def test_curves_of_all_folds_are_drawn():
    with matplotlib.style.context(["default", style()]):
        figure, alt, _ = figures.learning_curves(make_results(keys=("finetune-more",), seeds=2, folds=2))
    loss = figure.subfigs[0].axes[0]
    curves = [line.get_xdata() for line in loss.lines if len(line.get_xdata()) == 3]
    assert sorted(map(tuple, curves)) == [(1, 2, 3)] * 8 + [(4, 5, 6)] * 8 and "6 epochs" in alt


@pytest.mark.parametrize(
    ("chosen", "says"),
    [
        (["upper"], None),
        (
            ["the linear probe"],
            "Worse than the linear probe on what was held out, and so ended with it: fine-tune the upper layers.",
        ),
        (["upper", "the linear probe", "upper"], "ended with it: fine-tune the upper layers (in 1 of 3 runs)."),
    ],
)
def test_the_table_says_where_fine_tuning_has_ended_with_the_probe(chosen, says):
    results = make_results(keys=("svm", "finetune-upper"), seeds=len(chosen))
    for record, name in zip(results["strategies"][1]["runs"], chosen, strict=True):
        record["chosen"] = name
    said = " ".join(table(results).split())
    assert (says or "the linear probe") in said if says else "the linear probe" not in said


def test_the_table_says_which_of_several_networks_were_taken():
    results = make_results(keys=("svm", "finetune-upper"), seeds=2)
    for record, name in zip(results["strategies"][1]["runs"], ("lower", "middle"), strict=True):
        record |= {"chosen": name, "losses": {"lower": 0.4, "middle": 0.4, "upper": 0.6, "the linear probe": 0.5}}
    assert "Chosen on what was held out: fine-tune the upper layers: lower, middle." in " ".join(table(results).split())
