"""The table of a transfer experiment: its cells, and the text that the command prints."""

from __future__ import annotations

import re
import textwrap

from ..text import named
from ..transfer.formatting import quantity
from .results import PROBE, majority_baseline, untested_classes

COLUMNS = 110  # the table fits in a terminal of this width


def table(results: dict) -> str:
    """The results as text of at most 110 columns: a row a strategy, published figures below, and the recommendation."""
    head, rows, comparison, notes = content(results)
    widths = [max(len(row[k]) for row in [head, *rows]) for k in range(len(head))]
    widths[1] = min(widths[1], 28)
    widths[0] = min(max(widths[0], 30), COLUMNS - sum(widths[1:]) - 2 * len(widths[1:]))
    rule = "-" * (sum(widths) + 2 * len(widths[1:]))
    lines = [*_row(head, widths), rule]
    for row in rows:
        lines += _row(row, widths)
    if not rows:
        lines.append("no strategy has finished")
    if comparison:
        lines.append(rule)
        joined = [sum(widths[:3]) + 4, *widths[3:]]  # the title takes the place of strategy, trained and seeds
        for title, accuracy, balanced in comparison:
            lines += _row([title, accuracy, balanced, "", ""], joined)
    lines += [rule, *textwrap.wrap(" ".join(notes), COLUMNS)]
    if sentence := (results.get("recommendation") or {}).get("sentence"):
        lines += ["", *textwrap.wrap(sentence, COLUMNS)]
    return "\n".join(lines)


def content(results: dict) -> tuple[list[str], list[list[str]], list[tuple[str, str, str]], list[str]]:
    """Header, rows of cells, rows of comparison (title, accuracy, balanced accuracy) and the sentences below the table."""
    strategies, data = results["strategies"], results["data"]
    head = ["strategy", f"trained (of {quantity(results['model']['parameters'])})", "runs"]
    head += ["accuracy %", "balanced %", "F1 %", "time"]
    rows = []
    for s in strategies:
        trained = f"{s['trained']}: {quantity(s['trained_parameters'])}"
        figures = [_spread(s[key]) for key in ("accuracy", "balanced_accuracy", "f1")]
        rows.append([s["title"], trained, str(len(s["runs"])), *figures, _time(s["seconds"]["mean"])])
    comparison = [(f"published: {p['title']}", f"{100 * p['accuracy']:.1f}", "") for p in results.get("published", ())]
    if baseline := majority_baseline(results):
        comparison.append(("always answering the most frequent class", *map(_percent, baseline)))
    notes = []
    if rows:
        most = max(len(strategy["runs"]) for strategy in strategies)
        several = "mean ± standard deviation over runs of different seeds" if most > 1 else "1 seed"
        of = results["f1_of"]
        f1 = "F1 is the mean over the classes" if of == "macro average" else f'F1 is of the class "{of}"'
        if untested := untested_classes(results):
            notes.append(
                f"{len(untested)} of {len(data['classes'])} classes had no test pictures, and no number here speaks of them: "
                f"{named(untested)}."
            )
        per_run = " Time is per run." if most > 1 else ""
        notes.append(f"On {data['parts']['test']:,} test pictures; {several}. {f1}.{per_run}")
    notes += _what_was_chosen(strategies)
    if results.get("interrupted"):
        notes.append("Interrupted: this is what had finished by then.")
    return head, rows, comparison, notes


def _what_was_chosen(strategies: list[dict]) -> list[str]:
    """Sentences on strategies that had several networks to choose from: which ended with the probe, and what others took."""
    ended, took = {}, []
    for strategy in strategies:
        chosen = [run["chosen"] for run in strategy["runs"] if "chosen" in run]
        if stayed := chosen.count(PROBE):
            where = f" (in {stayed} of {len(chosen)} runs)" if stayed < len(chosen) else ""
            ended[strategy["title"]] = where
        others = [name for name in dict.fromkeys(chosen) if name != PROBE]
        if others and len(strategy["runs"][0]["losses"]) > 2:
            took.append(f"{strategy['title']}: {', '.join(others)}")
    sentences = []
    if ended:
        titles = named([f"{title}{where}" for title, where in ended.items()], len(ended))
        sentences.append(f"Worse than the linear probe on what was held out, and so ended with it: {titles}.")
    return sentences + ([f"Chosen on what was held out: {'; '.join(took)}."] if took else [])


def _row(cells: list[str], widths: list[int]) -> list[str]:
    """One row as lines: the first cell and a text in the second wrap in their columns, numbers stand in the first line."""
    texts = 2 if len(cells) == 7 else 1
    columns = [_wrap(cell, width) for cell, width in zip(cells[:texts], widths, strict=False)]
    lines = []
    for k in range(max(map(len, columns))):
        left = [f"{column[k] if k < len(column) else '':<{width}}" for column, width in zip(columns, widths, strict=False)]
        right = [f"{cell if k == 0 else '':>{width}}" for cell, width in zip(cells[texts:], widths[texts:], strict=True)]
        lines.append("  ".join(left + right).rstrip())
    return lines


def _wrap(text: str, width: int) -> list[str]:
    """Lines of at most ``width`` letters; a number stays with its unit."""
    return [line.replace("\N{NO-BREAK SPACE}", " ") for line in textwrap.wrap(unbroken(text), width)] or [""]


def unbroken(text: str) -> str:
    """The text with no-break spaces between numbers and their units."""
    return re.sub(r"(?<=\d) (?=[kMG]\b)", "\N{NO-BREAK SPACE}", text)


def _spread(figure: dict) -> str:
    """A share as a percentage: its mean, and its standard deviation over the seeds where there are several."""
    return _percent(figure["mean"]) + ("" if figure.get("std") is None else f" ± {100 * figure['std']:.1f}")


def _percent(share: float | None) -> str:
    """A dash for what could not be measured."""
    return "-" if share is None else f"{100 * share:.1f}"


def _time(seconds: float) -> str:
    if seconds >= 599.5:
        return f"{seconds / 60:.0f} min"
    return f"{seconds:.0f} s" if seconds >= 9.95 else f"{seconds:.1f} s"
