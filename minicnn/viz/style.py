"""The style of figures: colours, fonts, and names shortened to fit.

The colours are those of Okabe and Ito's palette (2008), which colour-blind readers can tell apart, and no figure relies on
colour alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache, wraps
from typing import TypeVar
from unicodedata import east_asian_width

import matplotlib.style
from matplotlib.font_manager import findfont, fontManager, get_font

DrawFunction = TypeVar("DrawFunction", bound=Callable)

WIDTH = 6.6  # inches; on a phone the page is shrunk to about 4, and 9 point letters can still be read
TRAIN, VAL, INK, GREY, FAINT = "#0072B2", "#D55E00", "#1a1a1a", "#6b6b6b", "#e4e4e4"
CLASS_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#1a1a1a", "#F0E442")

# Tried in this order for each letter; those after the first are for scripts that it lacks, where they are installed.
FONTS = ("DejaVu Sans", "Noto Sans CJK KR", "Noto Sans CJK JP", "NanumGothic", "Malgun Gothic", "Apple SD Gothic Neo")
FONTS += ("Yu Gothic", "Hiragino Sans", "Microsoft YaHei", "PingFang SC", "WenQuanYi Zen Hei", "Arial Unicode MS")


def text_width(text: str) -> int:
    """The width of a text in Latin letters: a Chinese, Japanese or Korean letter is as wide as two of them."""
    return sum(2 if east_asian_width(letter) in "WF" else 1 for letter in text)


def shorten(text: str, width: int) -> str:
    """The text cut to ``width`` letters, in the middle, because the names of classes and files differ at the ends."""
    if text_width(text) <= width:
        return text
    head, tail = text, ""
    while text_width(tail + head[-1]) <= width // 3:
        head, tail = head[:-1], head[-1] + tail
    while text_width(head) > width - 1 - text_width(tail):
        head = head[:-1]
    return f"{head}…{tail}"


def class_labels(classes: Iterable[str], width: int) -> list[str]:
    """Class names for a figure: shortened, without letters that no installed font can write, and always distinct.

    A name of which too little is left is "class 7".
    """
    classes = list(classes)
    labels = [shorten(drawable_part(name) or f"class {k}", width) for k, name in enumerate(classes)]
    if len(set(labels)) < len(labels):
        labels = [f"{k} {shorten(label, width - 4)}" for k, label in enumerate(labels)]
    return labels


def drawable(text: str) -> bool:
    """Whether the figures' fonts have every letter of the text."""
    return {ord(letter) for letter in text} <= _letters()


def drawable_part(text: str) -> str:
    """The text without what the figures' fonts lack, such as emoji; empty if half of its letters and digits or more go."""
    left = "".join(letter for letter in text if ord(letter) in _letters())
    letters, kept = (sum(map(str.isalnum, name)) for name in (text, left))
    return " ".join(left.split()) if 2 * kept > letters else ""


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


def styled(draw: DrawFunction) -> DrawFunction:
    """Decorator: the function draws in this package's style, and the caller's matplotlib settings stay as they are."""

    @wraps(draw)
    def drawing(*args, **kwargs):
        with matplotlib.style.context(["default", style()]):
            return draw(*args, **kwargs)

    return drawing
