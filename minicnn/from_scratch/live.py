"""A chart that grows in the terminal while a network is trained: a line an epoch."""

from __future__ import annotations

from collections.abc import Callable

from tqdm import tqdm

from ..training.callbacks import Callback
from ..training.run import Run

COLUMNS = 40  # of the chart


class LiveChart(Callback):
    """Says after each epoch what it brought, and draws the accuracies as a bar of ASCII characters, from 0 to 100 %.

    Parameters
    ----------
    log : function
        Is called with each line.
    """

    def __init__(self, log: Callable[[str], None]):
        self._log = log

    def on_fit_begin(self, run: Run) -> None:
        self._already = len(run.history.epochs)
        bar = f"0 %{'# validation, | training':^{COLUMNS - 8}}100 %"
        self._say(f"{'epoch':>7}  {'loss':>7}  training  validation  {bar}  {'time':>7}  {'left':>7}")
        for record in run.history.epochs:
            self._say(line(record, run.epochs, None))

    def on_epoch_end(self, run: Run) -> None:
        here = run.history.epochs[self._already :]
        left = sum(record["seconds"] for record in here) / len(here) * (run.epochs - run.epoch)
        self._say(line(here[-1], run.epochs, left))

    def _say(self, text: str) -> None:
        with tqdm.external_write_mode():  # the progress bar makes room
            self._log(text)


def line(record: dict, epochs: int, left: float | None) -> str:
    """An epoch's record as `minicnn.training.History` has it, how many epochs there are, and the seconds that are left.

    >>> record = {"epoch": 2, "loss": 0.5, "train_accuracy": 0.75, "val_accuracy": 0.5, "seconds": 3.0}
    >>> line(record, 10, 24.0)
    '   2/10   0.5000    75.0 %      50.0 %  ####################.........|..........      3 s     24 s'
    """
    train, val = record["train_accuracy"], record["val_accuracy"]
    number = f"{record['epoch']}/{epochs}"
    times = f"{_duration(record['seconds']):>7}" + ("" if left is None else f"  {_duration(left):>7}")
    return f"{number:>7}  {record['loss']:7.4f}  {100 * train:6.1f} %  {100 * val:8.1f} %  {bar(train, val)}  {times}"


def bar(train: float, val: float) -> str:
    """Validation accuracy as a row of #, training accuracy as a mark in it; both from 0 to 1.

    >>> bar(1.0, 0.25)
    '##########.............................|'
    """
    filled = round(val * COLUMNS)
    cells = list("#" * filled + "." * (COLUMNS - filled))
    cells[min(round(train * COLUMNS), COLUMNS) - 1 if train > 0 else 0] = "|"
    return "".join(cells)


def _duration(seconds: float) -> str:
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 99.5 * 60 else f"{seconds / 3600:.1f} h"
