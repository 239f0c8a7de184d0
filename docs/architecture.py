"""Draws the rooms of the library and the arrows between them, from the imports in the code: ``python docs/architecture.py``.

`FLOORS` is the plan: a room may use the floors below its own. ``tests/test_architecture.py`` holds the code against it.
"""

from __future__ import annotations

import ast
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "minicnn"
FIGURE = Path(__file__).resolve().parent / "figures" / "architecture.svg"

FLOORS = (
    ("errors", "text"),
    ("cache", "hashes", "sealed", "runtime"),
    ("kernels", "search"),
    ("initializers", "schedules", "layers"),
    ("losses", "optim", "regularizers", "inference", "data"),
    ("linear_model", "gradcheck", "training", "models"),
    ("pretrained", "viz"),
    ("transfer", "recipes"),
    ("advisor", "experiment", "explorer", "from_scratch", "course"),
    ("cli",),
)


def module_of(file: Path) -> str:
    """Its name within the package: ``layers.conv``; of a package's ``__init__``, the package's."""
    parts = file.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_of(file): file for file in sorted(PACKAGE.rglob("*.py"))}


def imports(module: str) -> set[str]:
    """The modules of the library that a file imports, wherever in it, functions included."""
    file, found = FILES[module], set()
    parts = module.split(".") if module else []
    package = parts if file.name == "__init__.py" else parts[:-1]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.removeprefix("minicnn.") for alias in node.names if alias.name.startswith("minicnn.")}
        if not isinstance(node, ast.ImportFrom) or not (node.level or str(node.module).split(".")[0] == "minicnn"):
            continue
        base = package[: len(package) - node.level + 1] if node.level else []
        target = ".".join([*base, *([node.module.removeprefix("minicnn").removeprefix(".")] if node.module else [])])
        for alias in node.names:
            inner = f"{target}.{alias.name}".removeprefix(".")
            found.add(inner if inner in FILES else target)
    return found - {module, ""}


def room_of(module: str) -> str:
    return module.split(".")[0]


def arrows() -> dict[str, set[str]]:
    """For each file those that it imports. What is above all floors, ``minicnn`` itself and ``__main__``, is left out."""
    return {module: imports(module) for module in FILES if module not in ("", "__main__")}


def room_arrows() -> dict[str, set[str]]:
    """For each room those that its files use."""
    rooms: dict[str, set[str]] = {room: set() for floor in FLOORS for room in floor}
    for module, targets in arrows().items():
        rooms[room_of(module)] |= {room_of(target) for target in targets} - {room_of(module)}
    return rooms


def without_shortcuts(graph: dict[str, set[str]]) -> dict[str, set[str]]:
    """The arrows that are left when those are dropped that a longer way replaces (the transitive reduction)."""

    def reached(start: str) -> set[str]:
        found: set[str] = set()
        todo = list(graph[start])
        while todo:
            room = todo.pop()
            if room not in found:
                found.add(room)
                todo += graph[room]
        return found

    return {
        room: {target for target in targets if not any(target in reached(other) for other in targets - {target})}
        for room, targets in graph.items()
    }


# Where each room is drawn from left to right, and what is in it
DRAWN = {
    "cli": (0.46, "the command"),
    "advisor": (0.3, "which way suits"),
    "experiment": (0.62, "minicnn transfer"),
    "from_scratch": (0.87, "minicnn train"),
    "transfer": (0.34, "codes, surgery, fine-tuning"),
    "recipes": (0.66, "networks from scratch"),
    "pretrained": (0.53, "others' files"),
    "viz": (0.8, "looking inside"),
    "models": (0.68, "the zoo"),
    "linear_model": (0.235, "SVM, softmax"),
    "training": (0.4, "the Trainer"),
    "gradcheck": (0.08, "numeric gradients"),
    "optim": (0.436, "SGD, Adam, Muon, L-BFGS"),
    "losses": (0.075, "what to minimise"),
    "regularizers": (0.238, "L1, L2, max norm"),
    "data": (0.86, "pictures"),
    "inference": (0.628, "fused, replayed"),
    "layers": (0.38, "forward and backward"),
    "schedules": (0.12, "learning rates"),
    "initializers": (0.6, "first weights"),
    "kernels": (0.38, "the loops"),
    "search": (0.66, "hyperparameters"),
    "runtime": (0.38, "threads, memory"),
    "cache": (0.88, "files in one step"),
}


def draw(path: Path = FIGURE) -> None:
    """Rooms as boxes, floor by floor, the lowest at the bottom; an arrow runs from a room to what it uses.

    An arrow that a longer way replaces is left out, and so are those to ``errors``, which everybody may raise.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    matplotlib.rcParams["svg.hashsalt"] = "minicnn"

    figure = Figure(figsize=(10, 9))
    axes = figure.add_axes((0.01, 0.01, 0.98, 0.98))
    axes.axis("off")
    axes.set(xlim=(0, 1), ylim=(0.5, len(FLOORS) - 0.4))
    box = {"boxstyle": "round,pad=0.5", "facecolor": "#f6f1e7", "edgecolor": "#6b6252"}
    boxes = {}
    for room, (x, inside) in DRAWN.items():
        height = next(i for i, floor in enumerate(FLOORS) if room in floor)
        label = f"$\\bf{{{room.replace('_', chr(92) + '_')}}}$\n{inside}"
        boxes[room] = axes.text(x, height, label, ha="center", va="center", fontsize=10.5, bbox=box, zorder=3)
    FigureCanvasAgg(figure).draw()  # only then are the boxes' sizes known, at which the arrows end
    for room, targets in without_shortcuts(room_arrows()).items():
        for target in sorted(targets & set(boxes) if room in boxes else ()):
            arrow = {"arrowstyle": "-|>", "color": "#8a7f6d", "lw": 1.2, "mutation_scale": 13}
            patches = {"patchA": boxes[room].get_bbox_patch(), "patchB": boxes[target].get_bbox_patch()}
            axes.annotate("", boxes[target].get_position(), boxes[room].get_position(), arrowprops=arrow | patches, zorder=4)
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, **({"metadata": {"Date": None}} if path.suffix == ".svg" else {}))


if __name__ == "__main__":
    draw()
    print(FIGURE)
