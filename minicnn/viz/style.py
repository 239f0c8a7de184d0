"""How figures look: colours, letters, and names that fit.

Colours are of Okabe & Ito's palette (2008), which colour-blind readers can tell apart, and nothing is said by colour alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache, wraps
from typing import TypeVar
from unicodedata import east_asian_width

import matplotlib.style
from matplotlib.font_manager import findfont, fontManager, get_font

Draws = TypeVar("Draws", bound=Callable)

WIDTH = 6.6  # inches: on a phone the page shrinks this to about 4, and 9 point letters are still read
TRAIN, VAL, INK, GREY, FAINT = "#0072B2", "#D55E00", "#1a1a1a", "#6b6b6b", "#e4e4e4"
CLASS_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#1a1a1a", "#F0E442")

# Asked for in this order for each letter; those after the first are for the scripts it lacks, where they are installed.
FONTS = ("DejaVu Sans", "Noto Sans CJK KR", "Noto Sans CJK JP", "NanumGothic", "Malgun Gothic", "Apple SD Gothic Neo")
FONTS += ("Yu Gothic", "Hiragino Sans", "Microsoft YaHei", "PingFang SC", "WenQuanYi Zen Hei", "Arial Unicode MS")


def columns_of(text: str) -> int:
    """How wide a text is in letters of the Latin alphabet: those of Chinese, Japanese and Korean take the place of two."""
    return sum(2 if east_asian_width(letter) in "WF" else 1 for letter in text)


def shorten(text: str, width: int) -> str:
    """A text no wider than ``width`` letters: the middle goes, because names of classes and files differ at the ends."""
    if columns_of(text) <= width:
        return text
    head, tail = text, ""
    while columns_of(tail + head[-1]) <= width // 3:
        head, tail = head[:-1], head[-1] + tail
    while columns_of(head) > width - 1 - columns_of(tail):
        head = head[:-1]
    return f"{head}…{tail}"


def class_labels(classes: Iterable[str], width: int) -> list[str]:
    """Class names for a figure: shortened, by number where no installed font can write them, and always distinct."""
    classes = list(classes)
    labels = [shorten(name, width) if drawable(name) else f"class {k}" for k, name in enumerate(classes)]
    if len(set(labels)) < len(labels):
        labels = [f"{k} {shorten(label, width - 4)}" for k, label in enumerate(labels)]
    return labels


def drawable(text: str) -> bool:
    """Whether the figures' fonts have every letter of the text."""
    return {ord(letter) for letter in text} <= _letters()


@cache
def _fonts() -> tuple[str, ...]:
    installed = set(fontManager.get_font_names())
    return tuple(name for name in FONTS if name in installed)


@cache
def _letters() -> frozenset[int]:
    return frozenset().union(*(get_font(findfont(name)).get_charmap() for name in _fonts()))


def style() -> dict:
    """Settings for `matplotlib.style.context`."""
    return {
        "font.family": list(_fonts()),
        "font.size": 9.5,
        "text.color": INK,
        "text.parse_math": False,  # a dollar sign in a class name is a dollar sign
        "axes.labelcolor": INK,
        "axes.titlesize": 9.5,
        "axes.titlelocation": "left",
        "axes.edgecolor": GREY,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": FAINT,
        "grid.linewidth": 0.8,
        "hatch.color": "#bdbdbd",
        "hatch.linewidth": 0.6,
        "legend.frameon": False,
        "figure.constrained_layout.use": True,
        "figure.dpi": 160,
        "savefig.dpi": 160,
    }


def styled(draw: Draws) -> Draws:
    """What the decorated function draws looks like this package's figures, and no setting of the caller's is changed."""

    @wraps(draw)
    def drawing(*args, **kwargs):
        with matplotlib.style.context(["default", style()]):
            return draw(*args, **kwargs)

    return drawing
