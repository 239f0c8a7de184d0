"""The code in ``docs/extending.md`` runs, from top to bottom."""

import re
from pathlib import Path

import numpy as np

from minicnn.models import ARCHITECTURES, FAMILIES
from minicnn.pretrained.names.torchvision import TABLES

PAGE = Path(__file__).resolve().parents[1] / "docs" / "extending.md"


def test_the_examples_run_one_after_another(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert len(blocks) >= 8
    for registry in (ARCHITECTURES, FAMILIES, TABLES):  # the page adds a network, for itself alone
        for name in [*registry, "tiny"]:
            monkeypatch.setitem(registry, name, registry.get(name))
        del registry["tiny"]
    names = {"np": np}
    for number, block in enumerate(blocks):
        exec(compile(block, f"{PAGE.name}, block {number}", "exec"), names)
