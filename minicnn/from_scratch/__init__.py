"""``minicnn train``: a network from the beginning, on a well-known data set or on anybody's pictures.

- ``settings``: what was asked for, and the recipe that is taken.
- ``data_sets``: what ``--data`` names, as pixels, labels and parts.
- ``training``: the job itself, from the pictures to the model and its report; it can be killed and resumed.
- ``live``: the chart that grows in the terminal.
- ``results``: what the report is made from.
- ``searching``: ``minicnn search``, for a learning rate and a weight decay.
"""

from .data_sets import DataSet, open_data_set
from .searching import Search, search
from .settings import Settings
from .training import train

__all__ = ["DataSet", "Search", "Settings", "open_data_set", "search", "train"]
