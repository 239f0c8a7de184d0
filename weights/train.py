"""Trains the networks of this folder with minicnn, and writes their files, their entries in manifest.json and README.md.

::

    python weights/train.py lenet5_mnist
    python weights/train.py all
    python weights/train.py vgg_small_cifar10 --resume    # goes on with a run that was broken off

Each is what ``minicnn train`` does with a recipe (`NETWORKS`), on the data sets in the folder that MINICNN_DATA names. A tenth
of the training pictures are kept aside: by them the best epoch and the precision of the stored weights are chosen. The test
pictures are looked at once, at the end, with the file that was written. Reports and checkpoints go to ``train-reports/NAME``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from dataclasses import replace
from pathlib import Path

import minicnn
from minicnn.cache import write_bytes
from minicnn.errors import DataError, TrainingError
from minicnn.from_scratch import DataSet, Settings, open_data_set, train
from minicnn.models import Model
from minicnn.text import counted

HERE = Path(__file__).resolve().parent
HALF_MAY_COST = 0.0005  # of validation accuracy: three pictures of 6,000, far less than another seed would change
NETWORKS = {
    "lenet5_mnist": Settings("mnist", recipe="digits"),
    "vgg_small_fashion_mnist": Settings("fashion-mnist", recipe="clothes"),
    "vgg_small_cifar10": Settings("cifar10", recipe="objects"),
    "speed_net_cifar10": Settings("cifar10", recipe="speed-run"),
}


def main() -> int:
    """Train what is asked for; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=[*NETWORKS, "all"])
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--resume", action="store_true", help="go on with a run that was broken off")
    parser.add_argument("--quick", action="store_true", help="few pictures and epochs, and nothing is written to this folder")
    options = parser.parse_args()
    for name in NETWORKS if options.name == "all" else [options.name]:
        command = f"python weights/train.py {name} --seed {options.seed}"
        out = Path("train-reports") / name
        settings = replace(
            NETWORKS[name], seed=options.seed, quick=options.quick, resume=options.resume, out=out, command=command
        )
        try:
            results = train(settings)
        except (DataError, TrainingError) as error:
            print(f"train.py: {error}", file=sys.stderr)
            return 1
        if results is None:
            return 130
        ship(name, settings, results, out if options.quick else HERE)
    return 0


def ship(name: str, settings: Settings, results: dict, folder: Path) -> None:
    """Store the network that was trained, and write its entry to the manifest."""
    model, data = minicnn.load(settings.out / "model.h5"), open_data_set(settings, log=lambda text: None)
    facts = facts_of(model, data, results)
    model.provenance = facts
    x_val, y_val = data.part("val")
    x_test, y_test = data.part("test")
    file = folder / f"{name}.h5"
    validation = {}
    for dtype in ("float32", "float16"):
        model.save(file, dtype)
        validation[dtype] = minicnn.load(file).score(x_val[:], y_val)
    dtype = "float16" if validation["float16"] >= validation["float32"] - HALF_MAY_COST else "float32"
    model.save(file, dtype)
    entry = {
        "name": name,
        "file": file.name,
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "bytes": file.stat().st_size,
        **facts,
        "stored_as": dtype,
        "validation_accuracy": round(validation[dtype], 4),
        "test_accuracy": round(minicnn.load(file).score(x_test[:], y_test), 4),
    }
    write_manifest(folder, entry)
    print(f"{file}: {dtype}, {entry['bytes']:,} bytes, test accuracy {entry['test_accuracy']:.2%}")


def facts_of(model: Model, data: DataSet, results: dict) -> dict:
    """What file and manifest say of where the network comes from."""
    pictures, parts, machine = data.pictures, results["data"]["parts"], results["machine"]
    count = sum(parameter.value.size for parameter in model.parameters().values())
    notes = "".join(f"; {note}" for note in pictures.findings.notes)
    return {
        "architecture": f"{model.architecture}, {count:,} parameters; input {' x '.join(map(str, model.input_shape))}",
        "data": f"{pictures.name} ({pictures.source}): {parts['train']:,} pictures to train on, "
        f"{parts['val']:,} to choose by{notes}",
        "training": results["recipe"],
        "seed": results["strategies"][0]["runs"][0]["seed"],
        "command": results["command"],
        "date": results["date"],
        "minutes": round(results["seconds"] / 60, 1),
        "hardware": f"{machine['cpu']}, {counted(machine['threads'], 'thread')}",
        "licence": "MIT",
        "minicnn": minicnn.__version__,
    }


def write_manifest(folder: Path, entry: dict) -> None:
    """Put an entry in the place of the one of this name, and the table of README.md anew."""
    path = folder / "manifest.json"
    entries = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    entries = [other for other in entries if other["name"] != entry["name"]] + [entry]
    order = list(NETWORKS)
    entries.sort(key=lambda entry: order.index(entry["name"]))
    write_bytes(path, json.dumps(entries, indent=2).encode() + b"\n")
    readme = folder / "README.md"
    if readme.exists():
        before, _, rest = readme.read_text(encoding="utf-8").partition("<!-- networks -->\n")
        after = rest.partition("<!-- end of networks -->")[2]
        write_bytes(readme, f"{before}<!-- networks -->\n{table(entries)}\n<!-- end of networks -->{after}".encode())


def table(entries: list[dict]) -> str:
    """The networks for README.md, a row each."""
    rows = [
        "| name | network | data | stored as | test accuracy | time | made by |",
        "| --- | --- | --- | --- | ---: | ---: | --- |",
    ]
    for entry in entries:
        rows.append(
            f"| `{entry['name']}` | {entry['architecture'].partition(';')[0]} | {entry['data']} | "
            f"{entry['stored_as']}, {entry['bytes'] / 1e6:.2f} MB | {100 * entry['test_accuracy']:.2f} % | "
            f"{entry['minutes']:g} min on {entry['hardware']} | `{entry['command']}` |"
        )
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(main())
