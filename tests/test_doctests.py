"""The examples in the docstrings print what they say."""

import doctest
import importlib
import pkgutil

import numpy as np
import pytest

import minicnn

MODULES = ["minicnn"] + [
    module.name
    for module in pkgutil.walk_packages(minicnn.__path__, "minicnn.")
    if module.name not in ("minicnn.__main__", "minicnn.weights")  # the one runs the command, the other is data
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    module = importlib.import_module(name)
    found = doctest.testmod(module, extraglobs={"np": np}, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert found.failed == 0


def test_there_are_examples():
    finder = doctest.DocTestFinder()
    tests = [test for name in MODULES for test in finder.find(importlib.import_module(name))]
    assert sum(bool(test.examples) for test in tests) > 20
