"""Weights that this project trained, with ``manifest.json``. ``minicnn.load(name)`` finds them here."""
