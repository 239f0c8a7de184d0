"""What can go wrong with what people bring: pictures, folders of them, weights files, a training run.

Each carries one sentence for the reader: what was wrong, what came, what was expected, what to do. The command line prints that
sentence and ends with a non-zero exit status; in Python they can be caught as the built-in types below them.
"""


class PictureError(ValueError):
    """One file cannot be used as a picture."""


class DataError(ValueError):
    """A collection of pictures cannot be learned from as it is."""


class WeightsError(ValueError):
    """A weights file cannot be read, or does not fit the network."""


class TrainingError(RuntimeError):
    """Training cannot go on (the loss is not a number, say)."""
