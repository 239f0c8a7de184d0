"""Small pages for lessons that compute while one plays with them: no network, no data, one file each."""

from __future__ import annotations

from importlib.resources import files

from .page import Page, framed

NAMES = {
    "optimisers": "SGD, momentum, Nesterov, AdaGrad, RMSProp and Adam race down a surface",
    "convolution": "a filter slides over a picture that you draw, and its arithmetic is written out",
    "receptive-field": "what an element sees through a stack of convolutions and pools",
    "boundary": "a two-layer network learns, before your eyes, to tell two kinds of points apart",
}


def live_page(name: str) -> Page:
    """The page of this name, one of NAMES.

    Raises
    ------
    ValueError
        If there is none of this name; it lists them.
    """
    if name not in NAMES:
        raise ValueError(f"there is no live page {name!r}; there are {', '.join(NAMES)}")
    template, live = (files(__package__) / folder for folder in ("template", "live"))
    scripts = [template / "dom.js", template / "paint.js", live / "live.js", live / f"{name}.js"]
    style = "\n".join(sheet.read_text(encoding="utf-8") for sheet in (template / "style.css", live / "live.css"))
    parts = {"scripts": "\n".join(script.read_text(encoding="utf-8") for script in scripts)}
    return framed(f"minicnn: {name}", style, (live / "live.html").read_text(encoding="utf-8"), parts)
