"""The figure of pictures that are nearly the same but lie in different parts of the split."""

from __future__ import annotations

from matplotlib.figure import Figure

from ..viz.panels import hide_axes, picture_at, show_picture
from ..viz.style import GREY, WIDTH, drawable_part, shorten


def near_duplicates(results: dict, pictures):
    """Pairs side by side, the most similar first."""
    found = results["data"].get("near_duplicates") or {}
    shown = found.get("shown")
    if not shown:
        return None
    rows = -(-len(shown) // 2)
    figure = Figure(figsize=(WIDTH if len(shown) > 1 else WIDTH / 2, 1.95 * rows))
    grid = figure.subplots(rows, 4 if len(shown) > 1 else 2, squeeze=False)
    flat = list(grid.flat)
    for axes, index, name in zip(
        flat, (i for pair in shown for i in pair), (name for pair in found["across_parts"] for name in pair), strict=False
    ):
        hide_axes(axes)
        axes.set_title(drawable_part(shorten(name, 24)), size=6.5, color=GREY, pad=3)
        try:
            show_picture(axes, picture_at(pictures, index))
        except (OSError, ValueError):
            axes.text(0.5, 0.5, "the file can\nno longer\nbe read", ha="center", va="center", size=8)
    for axes in flat[2 * len(shown) :]:
        axes.remove()
    count = len(found["across_parts"])
    names = "; ".join(" and ".join(pair) for pair in found["across_parts"][: len(shown)])
    which = "The" if count == len(shown) else f"The first {len(shown)} of"
    caption = (
        f"{which} {count} pair{'s' * (count > 1)} of pictures that look nearly the same, each with one picture in one part of "
        "the split and one in another. A copy is no test of what was learned; --group-duplicates keeps copies in one part."
    )
    return figure, f"Pairs of pictures that are nearly the same: {names}.", caption
