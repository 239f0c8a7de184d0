"""The page of an experiment: one file, no script, nothing loaded from anywhere, figures inside."""

from __future__ import annotations

import base64
import re
from html import escape

import numpy as np

from ..text import counted, named
from ..transfer.formatting import quantity
from ..viz.style import drawable_part
from .confusion_figures import MAX_NUMBERED_CLASSES
from .figures import Drawing
from .results import recommended, summed_confusion, untested_classes, worst_mistakes
from .table import content, unbroken

_PARTS = (("train", "to train on"), ("val", "to choose by"), ("test", "to test on"))


def html(results: dict, drawings: list[Drawing]) -> str:
    """The page: one file, no script, nothing loaded from anywhere (its content policy forbids it), figures inside."""
    data, title = results["data"], results["title"]
    sentence = (results.get("recommendation") or {}).get("sentence")
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="quiet">{escape(results["date"])} · <code>{_text(results["command"])}</code> · '
        f"{_duration(results['seconds'])} · minicnn {escape(results['version'])}</p>",
    ]
    if results.get("interrupted"):
        parts.append('<p class="note"><strong>Interrupted.</strong> This is what had finished by then.</p>')
    if sentence:
        parts.append(f'<p class="answer">{_text(sentence)}</p>')
    parts += ["<h2>Results</h2>", _html_table(results), _data(data)]
    for drawing in drawings:
        parts += [f"<h2>{escape(drawing.heading)}</h2>", _figure(drawing), _details(results, drawing.name)]
    best = recommended(results)
    if best and not worst_mistakes(best):
        text = f"{best['title']} made no mistake on the test pictures"
        if untested := untested_classes(results):
            text += f"; there were none of {named(untested)}"
        parts.append(f"<h2>Mistakes</h2><p>{escape(text)}.</p>")
    parts += [_novelty(results), _model(results["model"]), _use(results), _machine(results), _explorer(results)]
    body = "\n".join(part for part in parts if part)
    return _PAGE.format(title=escape(title), style=_STYLE, body=body)


def _html_table(results: dict) -> str:
    """The same table that the command prints, with the notes as its caption."""
    head, rows, comparison, notes = content(results)
    best = recommended(results)
    lines = ['<div class="wide"><table>', f"<caption>{escape(' '.join(notes))}</caption>", "<thead><tr>"]
    lines += [f'<th scope="col">{escape(unbroken(cell))}</th>' for cell in head] + ["</tr></thead>", "<tbody>"]
    for strategy, (name, *cells) in zip(results["strategies"], rows, strict=True):
        row = ' class="best"' if strategy is best else ""
        lines.append(f'<tr{row}><th scope="row">{escape(name)}</th>')
        for cell in cells:  # the spread is a span, which goes to the next line on a phone
            lines.append("<td>" + re.sub(" (± .*)", r" <span>\1</span>", escape(unbroken(cell))) + "</td>")
        lines.append("</tr>")
    if not rows:
        lines.append('<tr><th scope="row" colspan="7">no strategy has finished</th></tr>')
    lines.append('</tbody><tbody class="others">')
    for title, accuracy, balanced in comparison:
        row = f'<th scope="row" colspan="3">{escape(title)}</th><td>{accuracy}</td><td>{balanced}</td><td></td><td></td>'
        lines.append(f"<tr>{row}</tr>")
    return "\n".join([*lines, "</tbody></table></div>"])


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return (f"{minutes} min {rest} s" if minutes else f"{rest} s").replace(" ", "\N{NO-BREAK SPACE}")


# ---- the sections of the page


def _figure(drawing: Drawing) -> str:
    png = base64.b64encode(drawing.png).decode()
    width, height = (int.from_bytes(drawing.png[at : at + 4], "big") for at in (16, 20))  # where every PNG says its size
    image = f'<img src="data:image/png;base64,{png}" width="{width}" height="{height}" alt="{escape(drawing.alt)}">'
    return f"<figure>{image}<figcaption>{escape(drawing.caption)}</figcaption></figure>"


def _details(results: dict, figure: str) -> str:
    """What a figure leaves out: file names of the mistakes, and the pairs that are confused where cells carry no numbers."""
    best = recommended(results)
    if figure == "mistakes":
        items = []
        for m in worst_mistakes(best):
            description = f"{m['true']}, taken for {m['predicted']}, {100 * m['confidence']:.1f} % sure"
            items.append(f"<li><code>{escape(m['file'])}</code>: {escape(description)}</li>")
        return "<details><summary>The same as a list, with full names</summary><ol>" + "\n".join(items) + "</ol></details>"
    classes = results["data"]["classes"]
    if figure == "confusion" and len(classes) > MAX_NUMBERED_CLASSES:
        wrong = summed_confusion(best)
        total = wrong.sum(1)
        np.fill_diagonal(wrong, 0)
        worst = [np.unravel_index(k, wrong.shape) for k in np.argsort(-wrong, axis=None, kind="stable")[:10]]
        items = [
            f"<li>{escape(classes[i])}, taken for {escape(classes[j])}: {wrong[i, j]} of {total[i]}</li>"
            for i, j in worst
            if wrong[i, j]
        ]
        if items:
            return f"<p>Confused most often by {escape(best['title'])}:</p><ol>" + "\n".join(items) + "</ol>"
    return ""


def _data(data: dict) -> str:
    parts = data["parts"]
    split = " + ".join(f"{parts[key]:,} {purpose}" for key, purpose in _PARTS if key in parts)
    classes = [f"{escape(name)} ({count:,})" for name, count in zip(data["classes"], data["counts"], strict=True)]
    if not all(map(drawable_part, data["classes"])):  # the figures go by number
        classes = [f"class {k}: {name}" for k, name in enumerate(classes)]
    few = len(classes) <= MAX_NUMBERED_CLASSES
    rows = [
        ("pictures", f"{data['pictures']:,}: {split}"),
        ("classes", ", ".join(classes) if few else f"{len(classes)}, listed below"),
    ]
    rows += [(key, _text(data[key])) for key in ("augmentation", "source", "licence") if data.get(key)]
    lines = ["<h2>The pictures</h2>", _facts(rows)]
    if any(data.get("findings", {}).values()):
        notes = [f"{name}: {note}" for name, sentences in data["findings"].items() for note in sentences]
        lines.append("<ul>" + "".join(f"<li>{_text(note)}</li>" for note in notes) + "</ul>")
    if few and data.get("counts_in_parts"):
        lines.append(_counts(data))
    if not few:
        items = "".join(f'<li value="{k}">{name}</li>' for k, name in enumerate(classes))
        lines.append(f"<details><summary>All {len(classes)} classes and their pictures</summary><ol>{items}</ol></details>")
    return "\n".join(lines)


def _counts(data: dict) -> str:
    """How many pictures of each class are in each part."""
    counts = data["counts_in_parts"]
    head = "".join(f'<th scope="col">{escape(part)}</th>' for part in counts)
    rows = [
        f'<tr><th scope="row">{escape(name)}</th>' + "".join(f"<td>{counts[part][k]:,}</td>" for part in counts) + "</tr>"
        for k, name in enumerate(data["classes"])
    ]
    return (
        f'<table class="counts"><thead><tr><th scope="col">class</th>{head}</tr></thead><tbody>'
        + "".join(rows)
        + ("</tbody></table>")
    )


def _model(model: dict) -> str:
    cost = f"{quantity(model['parameters'])} parameters, {quantity(model['multiply_adds'])} multiply-adds a picture"
    rows = [("network", f"{escape(model['name'])}: {unbroken(cost)}, input {' x '.join(map(str, model['input']))}")]
    rows += [(key, _text(model[key])) for key in ("source", "licence") if model.get(key)]
    summary = f'<pre class="small" tabindex="0">{escape(model["summary"])}</pre>' if model.get("summary") else ""
    return "\n".join(["<h2>The network</h2>", _facts(rows), summary])


def _novelty(results: dict) -> str:
    """What ``minicnn predict --reject`` is worth: how many pictures of the classes, and how many strangers, it turns away."""
    found = results.get("novelty")
    if not found:
        return ""
    strangers = found["left_out_classes"]
    rows = [
        (
            "known pictures turned away",
            f"{100 * found['test_rejected']:.1f} % of the test pictures, each of which belongs to a class: false alarms "
            f"({100 * found['expected_rejected']:.1f} % are expected)",
        )
    ]
    if strangers:
        caught = ", ".join(f"{escape(name)} {100 * share:.0f} %" for name, share in strangers.items())
        mean = 100 * sum(strangers.values()) / len(strangers)
        rows.append(("strangers turned away", f"{mean:.0f} % in the mean over classes that it was not shown: {caught}"))
    text = (
        "A network gives every picture one of its classes, whatever it shows. "
        f"<code>{_text('minicnn predict --reject')}</code> answers &quot;none of these&quot; "
        "where a picture's code lies farther from all classes than those of nearly all known pictures."
    )
    if strangers:
        text += (
            " The strangers are test pictures of one class after another, for a detector without it, on the codes of the "
            "network as it came. They are like the other pictures; what is unlike all of them is mostly turned away more often."
        )
    return f"<h2>Pictures of none of these classes</h2><p>{text}</p>" + _facts(rows)


def _use(results: dict) -> str:
    if not results.get("model_file"):
        return ""
    reject = " [--reject]" if results.get("novelty") else ""
    return (
        "<h2>Using the trained model</h2>\n"
        "<p>The model lies beside this page; its file holds the preprocessing and the class names too.</p>\n"
        f"<pre>minicnn predict {escape(results['model_file'])} PICTURES...{reject}</pre>"
    )


def _explorer(results: dict) -> str:
    if not results.get("explorer"):
        return ""
    text = (
        "the page beside this one, goes from the mistakes down to a single multiplication: what the network looks at, which "
        "training pictures it takes for similar, its feature maps, and the arithmetic behind any of their numbers."
    )
    return f'<h2>Looking inside</h2>\n<p><a href="{escape(results["explorer"])}">The explorer</a>, {text}</p>'


def _machine(results: dict) -> str:
    machine = results["machine"]
    versions = ", ".join(f"{key} {machine[key]}" for key in ("python", "numpy", "numba") if key in machine)
    threads = counted(machine["threads"], "thread")
    seeds = sorted({run["seed"] for strategy in results["strategies"] for run in strategy["runs"]})
    rows = [("machine", f"{escape(machine['cpu'])}, {threads}"), ("versions", escape(versions))]
    rows.append(("mode", f"{escape(results['mode'])}, seeds {', '.join(map(str, seeds)) or 'none'}"))
    if results.get("recipe"):
        rows.insert(0, ("recipe", escape(results["recipe"])))
    return (
        "<h2>How it was made</h2>\n"
        + _facts(rows)
        + "<p>All numbers of this page are in <code>results.json</code> beside it.</p>"
    )


def _facts(rows: list[tuple[str, str]]) -> str:
    """Names and values; the values are HTML already."""
    return "<dl>" + "".join(f"<dt>{escape(name)}</dt><dd>{value}</dd>" for name, value in rows) + "</dl>"


def _text(text: str) -> str:
    """Text as HTML, web addresses in it as links (the only way this page points outside itself), options in one piece."""
    pieces = re.split(r"(https?://[^\s<>\"'()]*[^\s<>\"'().,;:])", text)
    linked = [f'<a href="{escape(piece)}">{escape(piece)}</a>' if k % 2 else _options(piece) for k, piece in enumerate(pieces)]
    return "".join(linked)


def _options(text: str) -> str:
    """Text as HTML in which no line ends within ``--option``."""
    return re.sub(r"(?<![^\s(])--[a-z][a-z-]*", r'<span class="option">\g<0></span>', escape(text))


_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""

_STYLE = """
:root { color-scheme: light; }
body { margin: 0; background: #fff; color: #1a1a1a; font: 1.0625rem/1.55 system-ui, "Segoe UI", Roboto, sans-serif; }
main { max-width: 46rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; overflow-wrap: break-word; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: .5rem 0; text-wrap: balance; }
h2 { font-size: 1.25rem; line-height: 1.3; margin: 2.5rem 0 .5rem; break-after: avoid; }
p, dl, ul, ol, pre, figure { margin: .75rem 0; }
a { color: #00558c; }
.quiet, figcaption, caption, .others { color: #595959; }
.answer { border-left: .25rem solid #d55e00; padding: .25rem 0 .25rem 1rem; font-size: 1.125rem; }
.note { border: 1px solid #b35900; padding: .5rem 1rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9375rem; line-height: 1.35; font-variant-numeric: tabular-nums; }
caption { caption-side: bottom; text-align: left; padding-top: .5rem; }
th, td { padding: .4rem .4rem; text-align: right; vertical-align: top; font-weight: normal; border-bottom: 1px solid #ddd; }
td { white-space: nowrap; }
th:first-child, thead th:nth-child(2) { text-align: left; }
tbody:not(.others) td:nth-child(2) { text-align: left; white-space: normal; }
th:first-child { padding-left: 0; }
thead th { font-weight: 600; vertical-align: bottom; border-bottom: 2px solid #1a1a1a; }
.counts { width: auto; }
.counts tbody td:nth-child(n), .counts thead th + th { text-align: right; }
.best th, .best td { font-weight: 600; }
img { display: block; max-width: 100%; height: auto; margin: 0 auto; }
figcaption { font-size: .9375rem; }
figure { break-inside: avoid; }
code, pre { font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; font-size: .875em; }
pre { overflow-x: auto; padding: .75rem; background: #f6f6f6; line-height: 1.4; }
pre.small { font-size: .75rem; }
dl { display: grid; grid-template-columns: minmax(5.5rem, auto) 1fr; gap: .25rem 1rem; }
dt { color: #595959; }
dd { margin: 0; min-width: 0; }
.option { white-space: nowrap; }
li { margin: .2rem 0; }
summary { cursor: pointer; }
@media (max-width: 34rem) {
  table, caption { display: block; font-size: .78rem; }
  thead, tbody { display: block; }
  tr { display: grid; grid-template-columns: minmax(0, 1fr) 2.3rem 4.1rem 4.1rem 2.9rem 3rem; gap: 0 .25rem; }
  tr { padding: .35rem 0; border-bottom: 1px solid #ddd; }
  thead tr { border-bottom: 2px solid #1a1a1a; }
  th, td, thead th { padding: .1rem 0; border: 0; }
  th:first-child { grid-column: 1 / -1; font-weight: 600; }
  .counts tr { grid-template-columns: minmax(0, 1fr) 3rem 3rem 3rem; }
  .others th:first-child { font-weight: normal; }
  .others td:nth-child(2) { grid-column: 3; }
  td span { display: block; }
  dl { display: block; }
  dt { margin-top: .5rem; }
}
@media print {
  body { font-size: 10.5pt; }
  main { max-width: none; padding: 0; }
  img { max-width: 14cm; max-height: 23cm; width: auto; margin-left: 0; }
  pre { overflow: visible; white-space: pre-wrap; }
  pre.small { font-size: 7pt; background: none; padding: 0; }
  tr { break-inside: avoid; }
}
"""
