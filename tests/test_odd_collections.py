"""What people keep their pictures in: each collection is understood, or refused with the reason, never in silence."""

import itertools
import os
import shutil
import unicodedata
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from deep_pictures import png16, tiff16
from PIL import Image

from minicnn.data import pictures as reading
from minicnn.data import trees
from minicnn.data.findings import findings_table
from minicnn.data.folders import open_pictures
from minicnn.data.layout import part_named
from minicnn.data.picture_set import PictureSet
from minicnn.data.preprocessing import Preprocessing
from minicnn.data.splits import split_pictures
from minicnn.errors import DataError
from minicnn.transfer.inputs import inputs_of
from minicnn.transfer.setup import set_up

pytestmark = pytest.mark.filterwarnings("error")
TINY = Preprocessing(size=8)
NUMBERS = itertools.count()
REPORT = '{\n "version": "0.1.0",\n "date": "2026-01-01"}'


def save(path: Path, form: str = "PNG") -> None:
    """A small picture unlike all others."""
    pixels = np.random.default_rng(next(NUMBERS)).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, form)


def grow(root: Path, **counts: int) -> Path:
    """Folders with so many pictures each; a slash in a name is written ``__``."""
    for name, count in counts.items():
        folder = root / name.replace("__", "/")
        folder.mkdir(parents=True, exist_ok=True)
        for i in range(count):
            save(folder / f"{i}.png")
    return root


def parts_of(pictures: PictureSet) -> dict[str, int]:
    return {part: len(rows) for part, rows in pictures.splits.items()}


def said(pictures: PictureSet) -> str:
    return "\n".join(pictures.notes)


def refusal(path) -> str:
    with pytest.raises(DataError) as caught:
        open_pictures(path)
    return str(caught.value)


# ---- our own reports


@pytest.mark.parametrize("report", ["results.json", "advice.json"])
def test_a_report_beside_the_classes_is_no_class(tmp_path, report):
    grow(tmp_path, ants=3, bees=3, **{"transfer-report": 4})
    (tmp_path / "transfer-report" / report).write_text(REPORT)
    pictures = open_pictures(tmp_path)
    assert pictures.classes == ["ants", "bees"] and "4 figure(s) in transfer-report" in said(pictures)


def test_a_folder_of_reports_beside_the_folder_of_the_pictures_is_no_class(tmp_path):
    grow(tmp_path, photos__ants=3, photos__bees=3, runs__one=3, runs__two=9, runs=1)
    for name in ("one", "two"):
        (tmp_path / "runs" / name / "results.json").write_text(REPORT)
    pictures = open_pictures(tmp_path)
    assert pictures.classes == ["ants", "bees"] and "13 figure(s) in runs, runs/one, runs/two" in said(pictures)


def test_a_report_written_into_the_folder_of_the_classes_leaves_them_as_they_are(tmp_path):
    grow(tmp_path, ants=3, bees=3)
    for name in ("confusion.png", "accuracy.png"):
        save(tmp_path / name)
    (tmp_path / "results.json").write_text(REPORT)
    assert len(open_pictures(tmp_path)) == 6


def test_the_folder_that_a_report_will_be_written_to_is_no_class(tmp_path):
    grow(tmp_path, ants=3, bees=3, out=0)
    assert open_pictures(tmp_path, exclude=[tmp_path / "out", tmp_path / "none"]).classes == ["ants", "bees"]
    assert len(open_pictures(tmp_path / "ants" / "..", exclude=[tmp_path / "out", tmp_path])) == 6


def test_somebody_elses_results_are_not_taken_for_ours(tmp_path):
    grow(tmp_path, ants=3, bees=3)
    (tmp_path / "bees" / "results.json").write_text('{"accuracy": 1}')
    assert open_pictures(tmp_path).classes == ["ants", "bees"]


# ---- parts


@pytest.mark.parametrize(
    "train, val, test",
    [
        ("train_set", "val_set", "test_set"),
        ("training", "dev", "holdout"),
        ("Train Data", "Validation Data", "Hold-out Data"),
        ("train2017", "val2017", "test2017"),
        ("train_2024-05-01", "dev_2024-05-02", "test_2024-05-03"),
        ("trainval", "valid", "Testing"),
        ("train", "val", "eval"),
        ("train_v2", "eval", "test (1)"),
        ("images_train", "images_val", "images_test"),
        ("학습데이터", "검증데이터", "시험데이터"),
        ("训练集", "验证集", "测试集"),
        ("学習用データ", "検証用データ", "テストデータ"),
        ("Entraînement", "Validation", "Test"),
        ("conjunto de entrenamiento", "validación", "prueba"),
        ("treino", "validação", "teste"),
        ("Trainingsdaten", "Validierungsdaten", "Testdaten"),
        ("обучающая выборка", "валидационная выборка", "тестовая выборка"),
    ],
)
def test_parts_are_known_by_their_usual_names_and_variants_of_them(tmp_path, train, val, test):
    grow(tmp_path, **{f"{train}/a": 4, f"{train}/b": 3, f"{val}/a": 1, f"{val}/b": 2, f"{test}/a": 3, f"{test}/b": 1})
    pictures = open_pictures(tmp_path)
    assert pictures.classes == ["a", "b"] and parts_of(pictures) == {"train": 7, "val": 3, "test": 4}
    assert f"{train} (train)" in said(pictures) and f"{test} (test)" in said(pictures)


def test_names_of_classes_are_not_taken_for_names_of_parts():
    for name in (
        "cat",
        "trainers",
        "valley",
        "testament",
        "dataset",
        "images",
        "devil",
        "retrain",
        "",
        "training shoes",
        "trains",
        "detest",
    ):
        assert part_named(name) is None


def test_numbered_folders_of_one_part_are_that_part_together(tmp_path):
    grow(tmp_path, train_1__a=3, train_1__b=3, train_2__a=2, test__a=1, test__b=1)
    assert parts_of(open_pictures(tmp_path)) == {"train": 8, "test": 2}
    shutil.rmtree(tmp_path / "test")
    pictures = open_pictures(tmp_path)
    assert pictures.splits is None and np.bincount(pictures.labels).tolist() == [5, 3]


@pytest.mark.parametrize("where", ["test", "test/images", "test/test", "test/unknown"])
def test_a_part_without_classes_is_left_out_and_counted(tmp_path, where):
    grow(tmp_path, train__a=4, train__b=4, val__a=2, val__b=2, **{where: 9})
    pictures = open_pictures(tmp_path)
    assert parts_of(pictures) == {"train": 8, "test": 4}
    assert "9 picture(s) in test, which have no class" in said(pictures) and "val is the test set" in said(pictures)


def test_where_only_training_pictures_have_classes_the_parts_are_drawn_from_them(tmp_path):
    pictures = open_pictures(grow(tmp_path, train__a=4, train__b=4, test=3))
    assert pictures.splits is None and len(pictures) == 8 and "drawn at random" in said(pictures)


def test_unlabelled_pictures_beside_labelled_ones_are_left_out(tmp_path):
    pictures = open_pictures(grow(tmp_path, labeled__a=4, labeled__b=4, unlabeled=7))
    assert pictures.classes == ["a", "b"] and "7 picture(s) in unlabeled" in said(pictures)


@pytest.mark.parametrize(
    "counts, words",
    [
        ({"train": 4, "test": 4}, "train holds 4 loose picture(s) and no class folders"),
        ({"test1": 4, "test2": 4}, "names of parts"),
        ({"fold1/a": 3, "fold1/b": 3, "fold2/a": 3, "fold2/b": 3}, "look like divisions of a collection"),
        ({"train/a": 3, "train/b": 3, "other/a": 3, "other/b": 3}, "the same folders in other"),
        ({"training": 3, "trainval": 3, "more": 3}, "training, trainval are names of parts, not of classes"),
        ({"train/a": 3, "train/b": 3, "more": 3}, "no such folders in more"),
        ({"cat_train": 3, "dog_train": 3, "cat_test": 3, "dog_test": 3}, "name a class and a part each"),
    ],
)
def test_there_is_never_a_classifier_of_names_of_parts(tmp_path, counts, words):
    assert words in refusal(grow(tmp_path, **counts))


def test_parts_may_be_inside_the_classes(tmp_path):
    pictures = open_pictures(grow(tmp_path, cats__train=4, cats__test=2, dogs__train=3, dogs__test=1))
    assert pictures.classes == ["cats", "dogs"] and parts_of(pictures) == {"train": 7, "test": 3}
    assert all(pictures.file_name(i).split("/")[1] == "test" for i in pictures.splits["test"])


@pytest.mark.parametrize(
    "train, test",
    [("train/images", "test/images"), ("training_set/training_set", "test_set/test_set"), ("seg_train/x", "seg_test/x")],
)
def test_class_folders_of_a_part_may_lie_deeper(tmp_path, train, test):
    train, test = train.removesuffix("/x"), test.removesuffix("/x")
    grow(tmp_path, **{f"{train}/a": 3, f"{train}/b": 3, f"{test}/a": 2, f"{test}/b": 1})
    pictures = open_pictures(tmp_path)
    assert pictures.classes == ["a", "b"] and parts_of(pictures) == {"train": 6, "test": 3}


@pytest.mark.parametrize("counts", [{"training": 3, "match": 3}, {"train/ice": 3, "train/tgv": 3, "car/suv": 3, "car/mini": 3}])
def test_what_can_only_be_a_class_is_one_whatever_its_name(tmp_path, counts):
    assert open_pictures(grow(tmp_path, **counts)).classes == sorted({name.split("/")[0] for name in counts})


def test_a_test_part_may_lack_a_class_but_not_have_one_more(tmp_path):
    grow(tmp_path, train__a=4, train__b=4, train__c=4, test__a=2, test__b=1)
    pictures = open_pictures(tmp_path)
    assert pictures.classes == ["a", "b", "c"] and "test has no pictures of c, and is used as it is" in said(pictures)
    assert len(pictures.fitted(TINY, progress=False)[0]) == 15
    grow(tmp_path, test__d=1)
    assert "not in train, so that they cannot be learned: d" in refusal(tmp_path)


def test_classes_of_the_parts_may_differ_in_case_and_unicode_form(tmp_path):
    composed, decomposed = (unicodedata.normalize(form, "käfer") for form in ("NFC", "NFD"))
    grow(tmp_path, **{"train/Bees": 3, f"train/{decomposed}": 3, "test/bees": 2, f"test/{composed}": 1})
    pictures = open_pictures(tmp_path)
    assert pictures.classes == ["Bees", composed] and parts_of(pictures) == {"train": 6, "test": 3}
    assert f"bees, {composed} in test: Bees, {decomposed} in train" in said(pictures)
    grow(tmp_path, test__BEES=1)
    assert "differ only in case" in refusal(tmp_path)


# ---- what lies beside the pictures


def test_pictures_without_classes_are_refused_with_what_was_left_out(tmp_path):
    message = refusal(grow(tmp_path, images=5, annotations__trimaps=5))
    assert "5 pictures in 'images', without class folders" in message and "left out: 5 picture(s) in" in message


@pytest.mark.parametrize(
    "name", ["masks", "labels", "annotations", "ground_truth", "Segmentation", "images_mask", "gt", "thumbs"]
)
def test_masks_and_labels_are_not_trained_on_as_photographs(tmp_path, name):
    inside = grow(tmp_path / "inside", **{f"{k}/{folder}": 3 for k in "ab" for folder in ("images", name)})
    below = grow(tmp_path / "below", **{"a": 3, "b": 3, f"a/{name}": 3, f"b/{name}": 3})
    above = grow(tmp_path / "above", **{f"{folder}/{k}": 3 for k in "ab" for folder in ("images", name)})
    for root in (inside, below, above):
        pictures = open_pictures(root)
        assert (
            pictures.classes == ["a", "b"]
            and len(pictures) == 6
            and f"6 picture(s) in {1 + (root != above)} folder(s)" in said(pictures)
        )
        assert not any(name in pictures.file_name(i) for i in range(6))


def test_masks_may_lie_beside_each_picture(tmp_path):
    grow(tmp_path, benign=3, normal=3)
    for name in ("benign/0_mask", "benign/0_mask_1", "normal/2-mask"):
        save(tmp_path / f"{name}.png")
    save(tmp_path / "normal" / "a gas_mask.png")  # of no other picture
    pictures = open_pictures(tmp_path)
    assert len(pictures) == 7 and "3 mask(s) or labels beside the pictures" in said(pictures)


@pytest.mark.parametrize(
    ("picture", "mask"),
    [
        ("0", "mask_0"),
        ("img_0", "mask_0"),
        ("Image0", "Mask0"),
        ("0_rgb", "0_GT"),
        ("0_image", "0_label"),
        ("photo-0", "seg-0"),
    ],
)
def test_masks_are_known_by_what_stands_before_or_after_the_name_of_their_picture(tmp_path, picture, mask):
    for name in "ab":
        for i in "012":
            (tmp_path / name).mkdir(exist_ok=True)
            for stem in (picture, mask):
                save(tmp_path / name / f"{stem.replace('0', i)}.png")
    save(tmp_path / "a" / "mask_of_a_clown.png")  # of no other picture
    pictures = open_pictures(tmp_path)
    assert len(pictures) == 7 and "6 mask(s) or labels beside the pictures" in said(pictures)


@pytest.mark.parametrize("classes", [("no_mask", "mask"), ("form", "label", "photo"), ("thumbs", "fingers")])
def test_masks_and_labels_may_be_classes(tmp_path, classes):
    assert open_pictures(grow(tmp_path, **dict.fromkeys(classes, 3))).classes == sorted(classes)


def test_the_same_folders_in_every_class_are_said(tmp_path):
    pictures = open_pictures(grow(tmp_path, cats__male=2, cats__female=2, dogs__male=2, dogs__female=2))
    assert pictures.classes == ["cats", "dogs"] and "every class has the folders female, male" in said(pictures)


def test_stray_files_and_folders_of_the_system_are_noted_and_do_not_matter(tmp_path):
    grow(tmp_path, data__ants=3, data__bees=3, **{"lost+found": 2, "$RECYCLE.BIN": 1, "": 1})
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "train.py").write_text("import minicnn")
    pictures = open_pictures(tmp_path)
    assert pictures.classes == ["ants", "bees"] and len(pictures) == 6
    for words in ("$RECYCLE.BIN, lost+found: made by the operating system", "1 picture(s) beside data", "(.py)"):
        assert words in said(pictures)


# ---- the content decides


def test_pictures_need_no_suffix(tmp_path):
    grow(tmp_path, ants=3, bees=3)
    for number, path in enumerate(tmp_path.rglob("*.png")):
        save(path, "JPEG" if number % 2 else "PNG")
        path.rename(path.with_suffix(("", ".jpg_large", ".bak")[number % 3]))
    (tmp_path / "bees" / "notes").write_text("BM of all bees; P5 too")
    pictures = open_pictures(tmp_path)
    assert len(pictures) == 6 and len(pictures.fitted(TINY, progress=False)[0]) == 6


@pytest.fixture
def phone(tmp_path) -> Path:
    grow(tmp_path, ants=3, bees=3)
    for name in ("ants/1.HEIC", "ants/2.jpg", "bees/3"):
        (tmp_path / name).write_bytes(b"\0\0\0\x1cftypheic\0\0\0\0mif1heicmiaf" + bytes(8))
    return tmp_path


def test_pictures_of_iphones_are_counted_where_they_cannot_be_read(phone, monkeypatch):
    for module in (trees, reading):
        monkeypatch.setattr(module, "can_read_heic", lambda: False)
    pictures = open_pictures(phone)
    assert len(pictures) == 6 and "3 HEIC picture(s), which cannot be read" in said(pictures)
    assert 'pip install "minicnn[heic]"' in said(pictures)
    shutil.rmtree(phone / "bees")
    (phone / "bees").mkdir()
    shutil.copy(phone / "ants/1.HEIC", phone / "bees")
    assert "no pictures in class folder 'bees', only files of other kinds (HEIC picture(s)); install" in refusal(phone)


def test_pictures_of_iphones_are_pictures_where_they_can_be_read(phone, monkeypatch):
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    for name in ("ants/1.HEIC", "ants/2.jpg", "bees/3"):
        save(phone / name, "HEIF")
    pictures = open_pictures(phone)
    assert len(pictures) == 9 and len(pictures.fitted(TINY, progress=False)[0]) == 9 and not pictures.notes


def test_camera_raw_files_and_videos_are_counted(tmp_path):
    grow(tmp_path, ants=3, bees=3)
    (tmp_path / "ants" / "1.NEF").write_bytes(b"II*\0" + bytes(99))
    (tmp_path / "ants" / "2.mov").write_bytes(b"\0\0\0\x14ftypqt  " + bytes(99))
    pictures = open_pictures(tmp_path)
    assert len(pictures) == 6
    assert "1 camera raw file(s)" in said(pictures) and "1 video(s)" in said(pictures)


# ---- names


def korean(root: Path, names: dict[str, str], encoding: str) -> Path:
    for ascii_name, name in names.items():
        os.rename(bytes(root / ascii_name), bytes(root) + b"/" + name.encode(encoding))
    return root


def test_folders_in_an_older_korean_encoding_stay_two_classes_and_can_be_read(tmp_path):
    root = korean(grow(tmp_path, aa=3, bb=4), {"aa": "개", "bb": "말"}, "cp949")
    pictures = open_pictures(root)
    assert pictures.classes == ["개", "말"] and np.bincount(pictures.labels).tolist() == [3, 4] and "CP949" in said(pictures)
    assert pictures.picture(6).shape == (8, 8, 3) and pictures.file_name(6) == "말/3.png"


def test_folders_in_any_other_encoding_stay_two_classes(tmp_path):
    root = korean(grow(tmp_path, aa=3, bb=4), {"aa": "fä", "bb": "fö"}, "latin-1")
    pictures = open_pictures(root)
    assert pictures.classes == [r"f\xe4", r"f\xf6"] and len(pictures.fitted(TINY, progress=False)[0]) == 7


@pytest.mark.parametrize("encoding", ["cp949", "utf-8"])
def test_names_in_a_zip_without_the_flag_for_utf_8(tmp_path, encoding):
    first, second = ("고".encode(encoding), "개".encode(encoding))
    stand_ins = {b"A" * len(first): first, b"B" * len(second): second}
    grow(tmp_path / "root", **{name.decode(): 3 for name in stand_ins})
    archive = tmp_path / "set.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted((tmp_path / "root").rglob("*.png")):
            file.write(path, path.relative_to(tmp_path / "root").as_posix())
    data = archive.read_bytes()
    for name, real in stand_ins.items():
        data = data.replace(name + b"/", real + b"/")
    archive.write_bytes(data)
    pictures = open_pictures(archive)
    assert pictures.classes == ["개", "고"] and pictures.picture(0).shape == (8, 8, 3)


def test_classes_come_in_natural_order(tmp_path):
    names = ["2", "10", "0.5", "0.25", "week 2", "week 10"]
    assert open_pictures(grow(tmp_path, **dict.fromkeys(names, 3))).classes == ["0.25", "0.5", "2", "10", "week 2", "week 10"]


# ---- pixels


@pytest.mark.parametrize("bits, form", [(8, "PNG"), (10, "TIFF"), (12, "PNG"), (14, "TIFF")])
def test_cameras_of_few_bits_make_pictures_of_full_contrast(tmp_path, bits, form):
    grow(tmp_path, ants=0, bees=0)
    white = (1 << bits) - 1
    for i, level in enumerate((white, white // 3)):
        for k, name in enumerate(("ants", "bees")):
            ramp = np.linspace(0, level, 64).reshape(8, 8).astype(np.uint16)
            ramp[0, 0] = k
            Image.fromarray(ramp).save(tmp_path / name / f"{i}.{form.lower()}")
            Image.fromarray(ramp.T.copy()).save(tmp_path / name / f"{i}t.{form.lower()}")
    pictures = open_pictures(tmp_path)
    assert pictures.white == white and f"{white} is white in all of them" in said(pictures)
    assert pictures.picture(0).max() == 255 and pictures.picture(2).max() == 85  # one scale for all: the dark ones stay dark
    assert pictures.fitted(TINY, progress=False)[0].max() == 255
    assert pictures.subset([0]).white == white and pictures.preprocessed_by(TINY).white == white
    assert Preprocessing.from_dict(pictures.preprocessed_by(TINY).to_dict()).white == white


def test_a_network_is_prepared_for_the_pictures_of_the_camera(tmp_path, monkeypatch):
    grow(tmp_path, ants=0, bees=0, out=1)
    for i, name in itertools.product(range(3), ("ants", "bees")):
        Image.fromarray(np.full((8, 8), 1000 * i + ord(name[0]), np.uint16)).save(tmp_path / name / f"{i}.png")
    network = SimpleNamespace(preprocessing=TINY, architecture="network")
    assert inputs_of(network, open_pictures(tmp_path, exclude=[tmp_path / "out"])).preprocessing.white == 4095
    monkeypatch.setattr("minicnn.transfer.setup.load", lambda name: network)
    model, pictures, _ = set_up(str(tmp_path), "network", tmp_path / "out")
    assert pictures.classes == ["ants", "bees"] and model.preprocessing.white == 4095


@pytest.mark.parametrize("form", ["png", "tif"])
def test_colours_of_twelve_bits_in_files_of_sixteen_have_full_contrast(tmp_path, form):
    grow(tmp_path, ants=3, bees=3)
    encode = png16 if form == "png" else tiff16
    for i, level in enumerate((4095, 1365)):
        values = np.full((8, 8, 3), level, np.uint16) // np.array([1, 2, 4096], np.uint16)
        (tmp_path / "ants" / f"a{i}.{form}").write_bytes(encode(values))
    pictures = open_pictures(tmp_path)
    assert pictures.white == 4095 and "the 16-bit pictures use 12 bits" in said(pictures)
    names = [pictures.file_name(i) for i in range(len(pictures))]
    bright, dark = (pictures.picture(names.index(f"ants/a{i}.{form}")) for i in range(2))
    assert bright[0, 0].tolist() == [255, 127, 0] and dark[0, 0].tolist() == [85, 42, 0]


def test_pictures_of_sixteen_bits_and_of_eight_are_left_as_they_are(tmp_path):
    grow(tmp_path, ants=3, bees=3)
    eight = open_pictures(tmp_path)
    assert eight.white is None and eight.preprocessed_by(TINY) is TINY
    Image.fromarray(np.full((8, 8), 65000, np.uint16)).save(tmp_path / "ants" / "x.png")
    assert open_pictures(tmp_path).white == 65535 and not open_pictures(tmp_path).notes


def test_pictures_of_a_camera_of_fewer_bits_among_others_are_said_to_be_nearly_black(tmp_path):
    grow(tmp_path, ants=3, bees=3)
    for i, level in enumerate((65000, 1000, 900)):
        Image.fromarray(np.full((8, 8), level, np.uint16)).save(tmp_path / "ants" / f"x{i}.png")
    (note,) = open_pictures(tmp_path).findings.notes
    assert note.startswith("2 of 3 16-bit pictures that were looked into hold no value above 1000, and are nearly black")


def test_a_white_logo_does_not_vanish_on_a_white_page():
    logo = np.zeros((8, 8, 4), np.uint8)
    logo[2:6, 2:6] = 255
    seen = reading.read_picture(logo)
    assert seen[3, 3, 0] == 255 and seen[0, 0, 0] == 0
    logo[2:6, 2:6, :3] = 0
    assert reading.read_picture(logo)[3, 3, 0] == 0 and reading.read_picture(logo)[0, 0, 0] == 255


def test_transparent_pictures_are_said(tmp_path):
    grow(tmp_path, ants=3, bees=3)
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(tmp_path / "ants" / "logo.png")
    assert "1 picture(s) have an alpha channel" in said(open_pictures(tmp_path))


# ---- the table


def test_the_table_says_what_was_found(tmp_path):
    grow(tmp_path, train__ants=5, train__고양이=4, test__ants=2, extra=3)
    pictures = open_pictures(tmp_path)
    lines = findings_table(pictures, split_pictures(pictures, 0)).splitlines()
    assert lines[:4] == [
        "class   train  val  test",
        "ants        4    1     2",
        "고양이      3    1     0",
        "all         7    2     2",
    ]
    assert lines[4:6] == [
        "left out: 3 picture(s) in extra: not part of the split",
        "assumed: test has no pictures of 고양이, and is used as it is",
    ]
    assert findings_table(pictures).splitlines()[0] == "class   train  test"


def test_the_table_of_many_classes_lists_the_smallest_and_the_largest():
    labels = np.repeat(np.arange(300), np.arange(300) + 1)
    table = findings_table(PictureSet("many", [f"c{k}" for k in range(300)], labels, [None] * len(labels))).splitlines()
    assert len(table) == 23 and table[1].split() == ["c0", "1"] and table[-2].split() == ["c299", "300"]
    assert table[11] == "... 280 more classes, of 11 to 290 pictures"
    alike = findings_table(PictureSet("alike", [f"c{k}" for k in range(50)], np.arange(50), [None] * 50)).splitlines()
    assert alike[11] == "... 30 more classes, of 1 picture each"


def test_a_line_break_in_a_name_breaks_no_table(tmp_path):
    grow(tmp_path, **{"two\nlines": 3, "tab\tin it": 3})
    pictures = open_pictures(tmp_path)
    assert pictures.classes == ["tab\\tin it", "two\\nlines"] and pictures.file_name(3) == "two\\nlines/0.png"
    assert pictures.picture(3).ndim == 3, "the file is found all the same"
    assert len(findings_table(pictures).splitlines()) == 4


def test_long_findings_are_wrapped(tmp_path):
    pictures = open_pictures(grow(tmp_path, ants=3, bees=3))
    pictures.findings.notes.append("word " * 60)
    assert max(map(len, findings_table(pictures).splitlines())) <= 110
