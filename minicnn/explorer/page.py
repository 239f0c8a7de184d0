"""The page: one HTML file with everything in it."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Mapping
from html import escape
from importlib.resources import files
from pathlib import Path

from ..cache import write_bytes
from .arrays import ArrayPack

# first these, then the views, in the order of their names, then main
SCRIPTS = ("words", "decode", "engine", "explain", "dom", "paint")


class Page:
    """An explorer as text. A notebook shows it in a frame; ``save`` writes the file."""

    def __init__(self, html: str):
        self.html = html

    def save(self, path: str | os.PathLike) -> Path:
        """Write the file, all of it or nothing. Raises OSError where that is not possible."""
        path = Path(path).expanduser()
        write_bytes(path, self.html.encode())
        return path

    def _repr_html_(self) -> str:
        frame = 'style="width: 100%; height: 50rem; border: 1px solid #999" title="minicnn explorer"'
        source = base64.b64encode(self.html.encode()).decode()
        return f'<iframe {frame} src="data:text/html;charset=utf-8;base64,{source}"></iframe>'


def build_page(data: dict, pack: ArrayPack) -> Page:
    """The template with style, scripts and data filled in."""
    folder = files(__package__) / "template"
    names = sorted(entry.name.removesuffix(".js") for entry in folder.iterdir() if entry.name.endswith(".js"))
    views = [name for name in names if name not in (*SCRIPTS, "main")]
    scripts = [(folder / f"{name}.js").read_text(encoding="utf-8") for name in (*SCRIPTS, *views, "main")]
    # "<" cannot begin a tag in there, whatever the names of classes and files are
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    style = (folder / "style.css").read_text(encoding="utf-8")
    parts = {"scripts": "\n".join(scripts), "data": text, "arrays": pack.as_text()}
    return framed(data["title"], style, (folder / "index.html").read_text(encoding="utf-8"), parts)


def framed(title: str, style: str, body: str, parts: Mapping[str, str]) -> Page:
    """The page with this body, in which parts and title are filled in. One head, which forbids all requests, serves all."""
    title = escape(title)
    frame = (files(__package__) / "template" / "frame.html").read_text(encoding="utf-8")
    return Page(fill(frame, {"title": title, "style": style, "body": fill(body, {"title": title, **parts})}))


def fill(template: str, parts: Mapping[str, str]) -> str:
    """The template with the texts in the place of ``{{their names}}``; what is in a text stays as it is.

    >>> fill("<p>{{a}}</p>{{b}}", {"a": "{{b}}", "b": "!"})
    '<p>{{b}}</p>!'
    """
    return re.sub(r"{{(\w+)}}", lambda name: parts[name[1]], template)
