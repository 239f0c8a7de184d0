"""The advice: what the advisor recommends and why, with its text for a terminal."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

from ..text import aligned
from ..transfer.strategies import STRATEGIES
from .measurements import Measurements
from .rules import Choice

COLUMNS = 110  # the text fits in a terminal of this width
HEADER = ("codes", "numbers", "accuracy %", "than the last", "k-NN %", "LogME", "H-score")


@dataclass(frozen=True)
class Advice:
    """What to do, and why.

    Attributes
    ----------
    model, data : str
        Names.
    classes : tuple of str
    choice : Choice
        Strategy, quadrant, reasons.
    layer : str or None
        Whose codes a linear classifier gets; None if layers are trained.
    grid : int
        For those codes: into how many parts along each side the picture is divided.
    freeze_until : str or None
        For ``model.freeze(until=...)``; None: nothing is to be frozen in this way.
    head_rate, body_rate : float or None
        Learning rates of the head and of the pretrained layers that are trained; None if there is nothing to choose.
    measurements : Measurements
    command : str
        What to run next.
    """

    model: str
    data: str
    classes: tuple[str, ...]
    choice: Choice
    layer: str | None
    grid: int
    freeze_until: str | None
    head_rate: float | None
    body_rate: float | None
    measurements: Measurements
    command: str

    @property
    def strategy(self) -> str:
        """A key of `minicnn.transfer.strategies.STRATEGIES`."""
        return self.choice.strategy

    def text(self) -> str:
        """The advice, its reasons and the table of measurements, at most 110 columns wide."""
        measurements = self.measurements
        lines = [*textwrap.wrap(f"{self.data} with {self.model}: {STRATEGIES[self.strategy]}", COLUMNS), ""]
        lines += [f"  {name:<16} {value}" for name, value in _settings(self)]
        lines += textwrap.wrap(_simple_rules(self.choice), COLUMNS, initial_indent="  ", subsequent_indent=" " * 19)
        lines += ["", "Why"]
        for reason in self.choice.reasons:
            lines += textwrap.wrap(reason, COLUMNS, initial_indent="  - ", subsequent_indent="    ")
        lines += ["", f"Measured on {measurements.measured:,} of the {measurements.pictures:,} pictures to learn from"]
        lines += _table(measurements)
        lines += textwrap.wrap(
            f"{'Balanced accuracy (the mean over classes, which are uneven)' if measurements.is_uneven else 'Accuracy'} of a "
            "linear classifier in cross-validation ± one standard error; beside it, by how much it is better "
            "than that of the last codes, picture by picture. k-NN: each picture gets the class of most of those nearest to "
            f"it. {_leep(measurements)}k-NN, LogME, H-score and LEEP compare networks on the same pictures (higher is "
            "better); no rule here relies on them.",
            COLUMNS,
        )
        return "\n".join(lines)


def _settings(advice: Advice) -> list[tuple[str, str]]:
    """What to set, by name."""
    rows = []
    if advice.layer is not None:
        parts = f", averaged over {advice.grid} x {advice.grid} parts of the picture" if advice.grid > 1 else ""
        rows.append(("codes at", f"{advice.layer}{parts}"))
    frozen = f'everything until {advice.freeze_until}: model.freeze(until="{advice.freeze_until}")'
    if advice.strategy == "norms":
        frozen = 'all but the batch norms and the head: Phase(..., trained="norms")'
    elif advice.freeze_until is None:
        frozen = "nothing"
    rows.append(("freeze", frozen))
    if advice.head_rate is not None:
        rates = f"{advice.head_rate:g} for the head, {advice.body_rate:g} for the other layers"
        if advice.head_rate == advice.body_rate:
            rates = f"{advice.head_rate:g} for all layers"
        rows.append(("learning rates", f"{rates} (AdamW, one cycle)"))
    else:
        rows.append(("regularisation", "chosen on the validation pictures"))
    return [*rows, ("run next", advice.command)]


def _simple_rules(choice: Choice) -> str:
    """A line that says which simple rules agree with the advice; of the lecture's, also what it recommends."""
    verdicts = {name: "agrees" if said == choice.strategy else "differs" for name, said in choice.baselines.items()}
    lecture = STRATEGIES[list(choice.baselines.values())[-1]]
    return f"{'simple rules':<16} " + "; ".join(f"{name}: {verdict}" for name, verdict in verdicts.items()) + f" ({lecture})"


def _table(measurements: Measurements) -> list[str]:
    """A line for each kind of codes, and one for the pixels."""
    last, pixels = measurements.last, measurements.pixels
    rows = []
    for entry in measurements.codes:
        difference = "" if entry is last else plus_minus(*entry.probe.better_than(last.probe), sign="+")
        accuracy = plus_minus(entry.probe.accuracy, entry.probe.standard_error)
        scores = [plus_minus(entry.knn.accuracy, entry.knn.standard_error), f"{entry.logme:.3f}", f"{entry.h_score:.3f}"]
        rows.append([entry.title, f"{entry.features:,}", accuracy, difference, *scores])
    difference = plus_minus(*pixels.better_than(last.probe), sign="+")
    rows.append(["the pixels", "", plus_minus(pixels.accuracy, pixels.standard_error), difference, "", "", ""])
    return ["  " + line for line in aligned([HEADER, *rows], right=range(1, len(HEADER)))]


def _leep(measurements: Measurements) -> str:
    if measurements.leep is None:
        return "LEEP is left out: the network has no classifier whose answers it could compare. "
    return f"LEEP, of the old classifier's answers: {measurements.leep:.3f}. "


def plus_minus(value: float, error: float, sign: str = "") -> str:
    """Shares as percentages: "95.7 ± 1.2"."""
    return f"{100 * value:{sign}.1f} ± {100 * error:.1f}"
