"""docs/training.md: what stands there is what its command measures today."""

import sys
from pathlib import Path

import numpy as np
import pytest

DOCS = Path(__file__).resolve().parents[1] / "docs"
sys.path.insert(0, str(DOCS / "training"))
import ladder  # noqa: E402
import make  # noqa: E402
import trajectories  # noqa: E402

PAGE = (DOCS / "training.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def rows():
    return trajectories.trajectories()


def test_the_steps_on_the_page_are_those_of_today(rows):
    assert trajectories.table(rows) in PAGE, "python docs/training/make.py --only optimisers writes the page anew"


def test_what_the_page_says_of_newton_and_of_momentum_is_so(rows):
    losses = {(row["landscape"], row["method"]): row["losses"] for row in rows}
    assert losses["ill-conditioned valley", "Newton"][1] < 1e-3
    assert losses["saddle", "Newton"][-1] == pytest.approx(0.25)  # at the saddle itself
    valley = {method: loss[-1] for (landscape, method), loss in losses.items() if landscape == "ill-conditioned valley"}
    assert valley["SGD"] == max(valley.values())


@pytest.mark.parametrize("landscape", trajectories.LANDSCAPES, ids=lambda landscape: landscape.title)
def test_gradients_of_the_landscapes_are_those_of_their_losses(landscape):
    for w in np.random.default_rng(0).normal(size=(5, 2)):
        numeric = [(landscape.loss(w + h) - landscape.loss(w - h)) / 2e-5 for h in 1e-5 * np.eye(2)]
        np.testing.assert_allclose(landscape.gradient(w), numeric, rtol=1e-5, atol=1e-6)


def test_each_recipe_of_the_ladder_has_a_line_of_its_own_from_few_epochs_to_many():
    rows = [
        {"recipe": name, "epochs": epochs, "minutes": 2.0 * epochs, "accuracy": percent, "with_views": percent + 1}
        for epochs in (3, 1)
        for name, percent in (("none of them", 70.0 + epochs), ("+ whitening", 71.0 + epochs))
    ]
    assert ladder.table({"rows": rows}).splitlines() == [
        "| recipe | 1 epoch: minutes | accuracy % | with six views % | 3 epochs: minutes | accuracy % | with six views % |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        "| none of them | 2.0 | 71.0 | 72.0 | 6.0 | 73.0 | 74.0 |",
        "| + whitening | 2.0 | 72.0 | 73.0 | 6.0 | 74.0 | 75.0 |",
    ]
    (axes,) = ladder.figure({"rows": rows}).axes
    assert [line.get_xdata().tolist() for line in axes.lines] == [[2.0, 6.0]] * 2


@pytest.mark.parametrize("part", make.LONG)
def test_what_took_hours_stands_on_the_page_as_it_is_kept(part, tmp_path):
    place = make.Place(tmp_path, DOCS / "training" / "results", kept=True)
    assert make.PARTS[part](place) in PAGE, f"python docs/training/make.py --only {part} --kept writes the page anew"
    assert len(list(tmp_path.glob("*.png"))) == 1


def test_figures_that_the_page_shows_are_there():
    shown = [part.split(")")[0] for part in PAGE.split("](figures/")[1:]]
    assert len(shown) >= 7 and all((DOCS / "figures" / name).is_file() for name in shown)


def test_a_part_is_written_between_its_comments_and_nowhere_else():
    page = "a\n<!-- x -->\nold\n<!-- end of x -->\nb"
    assert make.filled(page, "x", "new") == "a\n<!-- x -->\nnew\n<!-- end of x -->\nb"
    with pytest.raises(ValueError, match="the page has no place for y: it lacks <!-- y -->"):
        make.filled(page, "y", "new")
