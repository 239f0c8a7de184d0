"""Errors in what a user provides: pictures, folders of them, weights files, and settings of a training run.

The message of each is a sentence that says what was wrong, what came, what was expected and what to do. The command line prints
that sentence and ends with a non-zero exit status; in Python they can also be caught as the built-in types that they extend.
"""


class PictureError(ValueError):
    """A file cannot be used as a picture."""


class DataError(ValueError):
    """A collection of pictures cannot be learned from as it is."""


class WeightsError(ValueError):
    """A weights file cannot be read, or does not fit the network."""


class TrainingError(RuntimeError):
    """Training cannot go on (the loss is not a number, say)."""
