"""Predictions for many pictures, by path, folder, zip archive and pattern, and tables of them: `minicnn predict`."""

from __future__ import annotations

import codecs
import csv
import glob
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..cache import write_bytes
from ..data.picture_set import FileSource, Source
from ..data.trees import Tree, read_folder, read_zip
from ..errors import DataError, PictureError
from ..inference.batches import infer
from ..inference.fusion import FusedNetwork
from ..text import named
from .model import PICTURES_WORTH_FUSING, Model
from .novelty import NONE_OF_THESE, CodesAndScores
from .predictions import probabilities

AT_ONCE = 256  # pictures whose predictions are given out together


@dataclass(frozen=True)
class Prediction:
    """What a network says of one picture.

    Attributes
    ----------
    picture : str
        Its path.
    ranking : list of (class, probability)
        The most probable first; empty for a picture that cannot be read.
    excess : float or None
        How far its code is from the training pictures', as a multiple of the distance above which pictures are rejected; None
        where that was not asked for.
    error : str
        Why it cannot be read.
    """

    picture: str
    ranking: list[tuple[str, float]]
    excess: float | None = None
    error: str = ""

    @property
    def is_rejected(self) -> bool:
        return self.excess is not None and self.excess > 1

    @property
    def answer(self) -> str:
        """The most probable class, or that it is none of these; empty for a picture that cannot be read."""
        return NONE_OF_THESE if self.is_rejected else self.ranking[0][0] if self.ranking else ""

    def describe(self) -> str:
        """The picture and below it the ranking, a class a line; of a rejected one how far it is from all training pictures."""
        lines = [f"  {100 * p:5.1f} %  {name}" for name, p in self.ranking]
        if self.is_rejected:
            likeliest, _ = self.ranking[0]
            lines = [f"  {NONE_OF_THESE}  ({self.excess:.2f} times the distance from the training pictures that is allowed; "
                     f"if it had to be one: {likeliest})"]  # fmt: skip
        return "\n".join([self.picture, *lines])


# ---- which pictures


def expand_patterns(words: Iterable[str]) -> list[str]:
    """The words, ``~`` replaced by the home folder, and each pattern (``*``, ``?``, ``[...]``) by the files that match.

    Not every shell does that: on Windows the program is given ``*.jpg`` as it was typed. ``**`` are folders at any depth.
    What is the name of a file is no pattern, whatever is in it.

    Raises
    ------
    DataError
        If nothing matches a pattern.
    """
    found = []
    for word in words:
        path = os.path.expanduser(word)
        if os.path.lexists(path) or not glob.has_magic(path):
            found.append(path)
            continue
        matching = sorted(glob.glob(path, recursive=True))
        if not matching:
            raise DataError(f"{word}: no file matches this pattern; check the folder and the spelling")
        found += matching
    return found


def find_pictures(paths: Iterable[str], note: Callable[[str], None]) -> list[Source]:
    """The pictures at these paths; of a folder or a zip archive all that are in it, at any depth.

    Parameters
    ----------
    paths : several str
        A path at which there is nothing is taken for a picture's, so that the error comes when it is read.
    note : function
        Is called with a line of text on what was left out.

    Raises
    ------
    DataError
        For a folder or an archive without pictures, or an archive that cannot be read.
    """
    sources: list[Source] = []
    for text in paths:
        path = Path(text)
        if os.path.isdir(text):  # which "" is not, but Path("") is
            tree = read_folder(path)
        elif path.is_file() and (path.suffix.lower() == ".zip" or FileSource(path, text).head().startswith(b"PK\3\4")):
            tree = read_zip(path)
        else:
            sources.append(_GivenFile(path, text))
            continue
        entries = tree.inside(())
        if not entries:
            raise DataError(f"there are no pictures in {text}{_others(tree)}")
        if tree.others:
            note(f"{text}: {len(entries)} pictures{_others(tree)}")
        sources += [_Renamed(entry.source, f"{text.rstrip('/')}/{entry.source.name}") for entry in entries.values()]
    return sources


def _others(tree: Tree) -> str:
    if not tree.others:
        return ""
    return f"; left out: {len(tree.others)} file(s) that are none ({named(sorted(set(tree.others.values())))})"


class _GivenFile(FileSource):
    """A file that the user has named: what is there need not be a file at all."""

    def read(self) -> bytes:
        if not self.path.exists():
            raise PictureError(f"{self.path}: there is no such file; check the path")
        if not self.path.is_file():
            raise PictureError(f"{self.path} is not an ordinary file, so it cannot be read as a picture")
        return super().read()


@dataclass(frozen=True)
class _Renamed:
    """A picture in a folder or archive, under the name by which the user finds it."""

    source: Source
    name: str

    def read(self) -> bytes:
        return self.source.read()

    def head(self) -> bytes:
        return self.source.head()


# ---- what they show


def predict_pictures(model: Model, sources: Sequence[Source], top: int = 5, reject: bool = False) -> Iterator[Prediction]:
    """The prediction for each picture, in order, a few hundred at a time; one that cannot be read does not stop the others.

    Parameters
    ----------
    model : Model
    sources : several Source
        As ``find_pictures`` gives them.
    top : int
        How many classes each ranking has.
    reject : bool
        Also say how far each picture is from the training pictures.

    Raises
    ------
    ValueError
        If the model has no ``preprocessing``, its output is not scores of classes, or, with ``reject``, it has no novelty
        detector.
    """
    width = model.number_of_scores()
    detector = model.required_novelty() if reject else None
    preprocessing = model.required_preprocessing()
    if len(sources) >= PICTURES_WORTH_FUSING and not isinstance(model, FusedNetwork):
        model = model.fuse()
    network = model if detector is None else CodesAndScores(model, detector.layer)
    errors: dict[int, str] = {}

    def fitted(i: int) -> np.ndarray:
        try:
            return preprocessing.fit_picture(sources[i].read(), name=sources[i].name)
        except PictureError as error:
            errors[i] = str(error)
            return np.zeros((*preprocessing.size, len(preprocessing.mean)), np.uint8)  # its output is not looked at

    for start in range(0, len(sources), AT_ONCE):
        numbers = range(start, min(start + AT_ONCE, len(sources)))
        output = infer(
            network,
            len(numbers),
            lambda indices, start=start: preprocessing.normalise(np.stack([fitted(start + int(i)) for i in indices])),
            views=preprocessing.test_time_views,
        )
        excess = None if detector is None else detector.excess(output[:, :-width])
        rankings = model.rank(probabilities(output[:, -width:]), top)
        for row, i in enumerate(numbers):
            if i in errors:
                yield Prediction(sources[i].name, [], error=errors.pop(i))
            else:
                yield Prediction(sources[i].name, rankings[row], None if excess is None else float(excess[row]))


# ---- as tables


def write_csv(path: Path, predictions: Sequence[Prediction], top: int) -> None:
    """A table with a line a picture: picture, answer, class_1, probability_1, class_2, ..., distance, error.

    In UTF-8 with the mark by which spreadsheets know it. ``distance`` is there if asked for; what is above 1 is rejected.
    """
    most = max([min(top, len(prediction.ranking)) for prediction in predictions], default=0)
    with_distance = any(prediction.excess is not None for prediction in predictions)
    header = ["picture", "answer", *(name for k in range(1, most + 1) for name in (f"class_{k}", f"probability_{k}"))]
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow([*header, *(["distance"] if with_distance else []), "error"])
    for prediction in predictions:
        ranked = [value for name, p in prediction.ranking for value in (name, f"{p:.6f}")]
        ranked += [""] * (2 * most - len(ranked))
        distance = ["" if prediction.excess is None else f"{prediction.excess:.4f}"] if with_distance else []
        table.writerow([prediction.picture, prediction.answer, *ranked, *distance, prediction.error])
    _write(path, text.getvalue(), "utf-8-sig")


def write_json(path: Path, predictions: Sequence[Prediction], model: str) -> None:
    """An object with "model" and "predictions", a list with an object a picture: "picture", "answer" (null for a picture that
    cannot be read), "classes" with "class" and "probability", "distance" if asked for, and "error" where there is one.
    """
    rows = []
    for prediction in predictions:
        row = {"picture": prediction.picture, "answer": prediction.answer or None}
        row["classes"] = [{"class": name, "probability": round(p, 6)} for name, p in prediction.ranking]
        if prediction.excess is not None:
            row["distance"] = round(prediction.excess, 4)
        if prediction.error:
            row["error"] = prediction.error
        rows.append(row)
    _write(path, json.dumps({"model": model, "predictions": rows}, indent=1, ensure_ascii=False) + "\n", "utf-8")


def check_target(path: Path, kind: str = "table of predictions", is_one: Callable[[bytes], bool] | None = None) -> None:
    """Raise a DataError for a file that must not be replaced, or cannot be written: before any picture is read.

    Parameters
    ----------
    path : Path
    kind : str
        What will be written there, and may be replaced.
    is_one : function, optional
        Whether a file that begins with these bytes is one; by default whether it is a table of predictions.
    """
    if path.is_dir():
        raise DataError(f"{path} is a folder; name the file that the {kind.split()[0]} goes to")
    if path.exists() and not _begins(path, is_one or _is_table_of_predictions):
        raise DataError(f"{path} is there, and is no {kind}; it is not replaced. Name another file")
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise DataError(f"{path} cannot be written: {folder} is not a folder that you may write to; name another file")


def _begins(path: Path, is_one: Callable[[bytes], bool]) -> bool:
    """Whether the beginning of an ordinary file is of this kind, or the file is empty."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        beginning = file.read(512)
    return not beginning or is_one(beginning)


def _is_table_of_predictions(beginning: bytes) -> bool:
    """Whether this is how `write_csv` and `write_json` begin."""
    return beginning.startswith((codecs.BOM_UTF8 + b"picture,answer,", b'{\n "model": '))


def _write(path: Path, text: str, encoding: str) -> None:
    # names of files that are not UTF-8 are written with their bytes as \udc.., which can be told apart
    write_bytes(path, text.encode(encoding, "backslashreplace"))
