"""The table of a network's layers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..layers import AuxiliaryHead, Layer, Sequential
from ..text import aligned

TITLES = ("layer", "type", "output", "parameters", "multiply-adds", "trainable", "learning rate")
NUMBERS = (3, 4)  # columns that are aligned to the right


@dataclass(frozen=True)
class Row:
    """One line of the table; shapes without the number of pictures, multiply-adds for one picture."""

    path: str
    layer_type: str
    output: tuple[int, ...]
    parameters: int
    trained: int
    multiply_adds: int
    multipliers: tuple[float, ...]  # of the learning rate, for what is trained: each once, ascending

    @property
    def trainable(self) -> str:
        if not self.parameters:
            return "-"
        return "yes" if self.trained == self.parameters else "partly" if self.trained else "frozen"

    @property
    def learning_rate(self) -> str:
        if not self.multipliers:
            return "-"
        slowest, fastest = self.multipliers[0], self.multipliers[-1]
        return f"x {slowest:.3g}" + (f" to {fastest:.3g}" if fastest > slowest else "")


def rows(layer: Layer, input_shape: tuple[int, ...], depth: int, path: str = "") -> Iterator[Row]:
    """The layers ``depth`` levels below this one, or as deep as there are any; each weight is in one row only.

    An auxiliary head stays one row: what is inside does not run in inference.
    """
    if depth > 0 and layer.children() and not isinstance(layer, AuxiliaryHead):
        for name, child in layer.children().items():
            yield from rows(child, input_shape, depth - 1, f"{path}.{name}" if path else name)
            if isinstance(layer, Sequential):  # elsewhere all children get the same input
                input_shape = child.output_shape(input_shape)
        return
    parameters = layer.parameters().values()
    yield Row(
        path,
        type(layer).__name__,
        tuple(layer.output_shape(input_shape)[1:]),
        sum(parameter.value.size for parameter in parameters),
        sum(parameter.value.size for parameter in parameters if parameter.trainable),
        layer.multiply_adds(input_shape),
        tuple(sorted({parameter.learning_rate_multiplier for parameter in parameters if parameter.trainable})),
    )


def summary_table(model: Layer, input_shape: tuple[int, ...], depth: int = 1) -> str:
    """The rows as text, columns aligned, with the totals below.

    Where some layers learn faster than others, a column says by what the learning rate is multiplied.
    """
    if depth < 1:
        raise ValueError(f"depth is at least 1 (the top-level layers), got {depth}")
    table = list(rows(model, (1, *input_shape), depth))
    cells = [TITLES]
    for row in table:
        numbers = f"{row.parameters:,}", f"{row.multiply_adds:,}"
        cells.append((row.path, row.layer_type, _times(row.output), *numbers, row.trainable, row.learning_rate))
    if all(row.multipliers in ((), (1.0,)) for row in table):
        cells = [line[:-1] for line in cells]
    heading, *lines = aligned(cells, right=NUMBERS)
    rule = "-" * max(map(len, [heading, *lines]))
    total, trained = sum(row.parameters for row in table), sum(row.trained for row in table)
    return "\n".join(
        [
            f"{getattr(model, 'architecture', model)}, input {_times(input_shape)}",
            heading,
            rule,
            *lines,
            rule,
            f"parameters: {total:,} ({trained:,} trainable, {total - trained:,} frozen)",
            f"multiply-adds for one picture: {sum(row.multiply_adds for row in table):,}",
        ]
    )


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
