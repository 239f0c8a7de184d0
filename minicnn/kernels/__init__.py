"""The loops under the layers: ``reference`` is the definition, the other modules compute the same, fast.

Every fast kernel comes in two parts: a Python function that checks, allocates and splits the work into pieces, and what
runs on a piece, either a product in BLAS or a sequential Numba loop. ``threads`` runs the pieces side by side.
"""
