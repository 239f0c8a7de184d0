"""open_pictures: class folders and zips become a PictureSet, or one sentence says why they cannot."""

import io
import shutil
import warnings
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minicnn.data.folders import PictureSet, open_pictures
from minicnn.data.picture_set import ZipSource
from minicnn.data.preprocessing import Preprocessing
from minicnn.errors import DataError, PictureError

pytestmark = pytest.mark.filterwarnings("error")
TINY = Preprocessing(size=8)


def picture(seed: int, grey: bool = False, form: str = "PNG") -> bytes:
    """A small picture of its own for every seed."""
    pixels = np.random.default_rng(seed).integers(0, 256, (9, 8) if grey else (9, 8, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form)
    return file.getvalue()


def grow(root: Path, **counts: int) -> Path:
    """Folders with so many pictures each: ``grow(path, ants=3)``; a slash in a name is written ``__``."""
    for name, count in counts.items():
        folder = root / name.replace("__", "/")
        folder.mkdir(parents=True, exist_ok=True)
        for i in range(count):
            seed = zlib.crc32(f"{name}/{i}".encode())
            (folder / f"{i}.png").write_bytes(picture(seed))
    return root


def zipped(root: Path, archive: Path, within: str = "") -> Path:
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(root.rglob("*")):
            file.write(path, f"{within}{path.relative_to(root).as_posix()}")
    return archive


def refusal(path) -> str:
    with pytest.raises(DataError) as caught:
        open_pictures(path)
    return str(caught.value)


@pytest.fixture
def plain(tmp_path) -> Path:
    return grow(tmp_path / "insects", bees=4, ants=3)


@pytest.fixture
def parted(tmp_path) -> Path:
    return grow(tmp_path / "insects", train__bees=4, train__ants=3, val__bees=1, val__ants=2, test__ants=1, test__bees=2)


# ---- layouts


def test_class_folders_become_labels_in_order_of_name(plain):
    pictures = open_pictures(plain)
    assert isinstance(pictures, PictureSet) and len(pictures) == 7
    assert pictures.name == "insects" and pictures.classes == ["ants", "bees"] and pictures.splits is None
    assert pictures.labels.dtype == np.int64 and pictures.labels.tolist() == [0, 0, 0, 1, 1, 1, 1]
    assert pictures.groups is None and pictures.notes == () and pictures.source == str(plain)
    assert [pictures.file_name(i) for i in (0, 3)] == ["ants/0.png", "bees/0.png"]
    np.testing.assert_array_equal(pictures.picture(4), np.asarray(Image.open(plain / "bees/1.png")))


def test_a_given_split_is_used_as_given(parted):
    pictures = open_pictures(str(parted))
    assert pictures.classes == ["ants", "bees"]
    assert {part: len(rows) for part, rows in pictures.splits.items()} == {"train": 7, "val": 3, "test": 3}
    for part, rows in pictures.splits.items():
        for i in rows:
            assert pictures.file_name(i).startswith(f"{part}/{pictures.classes[pictures.labels[i]]}/")
    assert sorted(np.concatenate(list(pictures.splits.values()))) == list(range(13))


def test_split_names_in_any_case_and_in_full(parted):
    (parted / "train").rename(parted / "Training")
    (parted / "val").rename(parted / "VALIDATION")
    assert set(open_pictures(parted).splits) == {"train", "val", "test"}


def test_without_a_test_part_val_plays_it_and_a_note_says_so(parted):
    shutil.rmtree(parted / "test")
    pictures = open_pictures(parted)
    assert {part: len(rows) for part, rows in pictures.splits.items()} == {"train": 7, "test": 3}
    assert pictures.file_name(pictures.splits["test"][0]).startswith("val/")
    assert "val is the test set" in pictures.notes[0]


def test_without_a_val_part_a_note_says_where_validation_comes_from(parted):
    shutil.rmtree(parted / "val")
    pictures = open_pictures(parted)
    assert set(pictures.splits) == {"train", "test"} and "taken out of train" in pictures.notes[0]


def test_a_train_folder_alone_is_split_like_any_other(parted):
    shutil.rmtree(parted / "val")
    shutil.rmtree(parted / "test")
    pictures = open_pictures(parted)
    assert pictures.classes == ["ants", "bees"] and pictures.splits is None


def test_a_train_may_be_a_class_of_vehicles(tmp_path):
    assert open_pictures(grow(tmp_path, train=3, car=3, bus=3)).classes == ["bus", "car", "train"]


def test_pictures_at_any_depth_below_their_class(tmp_path):
    pictures = open_pictures(grow(tmp_path, a=2, a__2023=1, a__2024__may=2, b__old=3))
    assert pictures.classes == ["a", "b"] and np.bincount(pictures.labels).tolist() == [5, 3]


def test_zip_and_folder_give_the_same_set(plain, parted, tmp_path):
    folder = open_pictures(parted)
    for within in ("", "wrapper/", "a/b/"):
        pictures = open_pictures(zipped(parted, tmp_path / "insects.zip", within))
        assert pictures.name == "insects" and pictures.classes == folder.classes
        np.testing.assert_array_equal(pictures.labels, folder.labels)
        assert [pictures.content_hash(i) for i in range(13)] == [folder.content_hash(i) for i in range(13)]
        assert {k: v.tolist() for k, v in pictures.splits.items()} == {k: v.tolist() for k, v in folder.splits.items()}


def test_what_systems_leave_behind_is_passed_over(plain, tmp_path):
    for name in (".DS_Store", "Thumbs.db", ".hidden.png", "._0.png"):
        (plain / "ants" / name).write_bytes(b"x")
    (plain / "__MACOSX" / "ants").mkdir(parents=True)
    (plain / "__MACOSX" / "ants" / "._0.png").write_bytes(b"x")
    (plain / ".ipynb_checkpoints").mkdir()
    for path in (plain, zipped(plain, tmp_path / "z.zip")):
        pictures = open_pictures(path)
        assert pictures.classes == ["ants", "bees"] and len(pictures) == 7 and pictures.notes == ()


def test_other_files_and_loose_pictures_are_ignored_with_a_note(plain):
    (plain / "labels.csv").write_text("a")
    (plain / "ants" / "README.TXT").write_text("a")
    (plain / "preview.png").write_bytes(picture(99))
    pictures = open_pictures(plain)
    assert len(pictures) == 7
    assert pictures.findings.left_out == [
        "2 file(s) that are no pictures (.csv, .txt)",
        "1 picture(s) outside the class folders",
    ]


def test_folders_beside_the_split_are_ignored_with_a_note(parted):
    grow(parted, extra__wasps=2)
    pictures = open_pictures(parted)
    assert len(pictures) == 13 and pictures.findings.left_out == ["2 picture(s) in extra: not part of the split"]


def test_links_are_followed_but_not_in_circles(plain, tmp_path):
    grow(tmp_path, elsewhere=3)
    (plain / "wasps").symlink_to(tmp_path / "elsewhere")
    (plain / "ants" / "loop").symlink_to(plain)
    (plain / "ants" / "self").symlink_to(plain / "ants" / "self")
    (plain / "ants" / "gone.png").symlink_to(plain / "nowhere.png")
    pictures = open_pictures(plain)
    assert pictures.classes == ["ants", "bees", "wasps"] and len(pictures) == 10
    assert any("not followed" in note for note in pictures.notes)
    assert any("2 broken link(s) (ants/gone.png, ants/self)" in note for note in pictures.notes)


def test_names_that_are_not_utf_8_can_be_printed(tmp_path):
    grow(tmp_path / "root", a=3)
    folder = bytes(tmp_path / "root") + b"/\xb0\xb3"
    shutil.copytree(bytes(tmp_path / "root") + b"/a", folder)
    pictures = open_pictures(tmp_path / "root")
    assert pictures.classes[1].encode() and pictures.picture(5).shape == (9, 8, 3)


def test_the_home_folder_and_a_path_object(plain, monkeypatch):
    monkeypatch.setenv("HOME", str(plain.parent))
    assert len(open_pictures("~/insects")) == len(open_pictures(Path("~/insects"))) == 7


# ---- the set


def test_fitted_gives_every_picture_at_the_networks_size(parted):
    pictures = open_pictures(parted)
    pixels, used = pictures.fitted(TINY, progress=False)
    assert used is pictures and pixels.shape == (13, 8, 8, 3) and pixels.dtype == np.uint8
    for i in (0, 7, 12):
        np.testing.assert_array_equal(pixels[i], TINY.fit_picture(pictures.picture(i)))


def test_grey_pictures_are_kept_with_one_channel_and_a_coloured_one_brings_three(plain):
    for i, path in enumerate(sorted(plain.rglob("*.png"))):
        path.write_bytes(picture(i, grey=True))
    pictures = open_pictures(plain)
    grey, _ = pictures.fitted(TINY, progress=False)
    assert grey.shape == (7, 8, 8, 1)
    (plain / "bees" / "2.png").write_bytes(picture(77))
    mixed, _ = pictures.fitted(TINY, progress=False)
    assert mixed.shape == (7, 8, 8, 3)
    np.testing.assert_array_equal(mixed[:5], np.repeat(grey[:5], 3, axis=-1))
    luma, _ = pictures.fitted(Preprocessing(size=8, channels="L"), progress=False)
    assert luma.shape == (7, 8, 8, 1)


def test_unreadable_pictures_are_left_out_and_labels_and_splits_follow(parted):
    (parted / "train/ants/1.png").write_bytes(b"not a picture")
    (parted / "val/bees/0.png").write_bytes(picture(5)[:60])
    (parted / "val/bees/1.png").write_bytes(picture(6))
    pictures = open_pictures(parted)
    pixels, used = pictures.fitted(TINY, progress=False)
    assert "2 of 14 pictures, which cannot be read: train/ants/1.png, val/bees/0.png" in used.findings.left_out[-1]
    assert len(pixels) == len(used) == 12 and len(pictures) == 14
    assert {part: len(rows) for part, rows in used.splits.items()} == {"train": 6, "val": 3, "test": 3}
    for part, rows in used.splits.items():
        for i in rows:
            assert used.file_name(i).startswith(f"{part}/{used.classes[used.labels[i]]}/")
            np.testing.assert_array_equal(pixels[i], TINY.fit_picture(used.picture(i)))
    assert not pictures.notes


def test_a_class_of_which_nothing_can_be_read_is_an_error(plain, parted):
    for path in (parted / "val" / "bees").iterdir():
        path.write_bytes(b"nothing")
    with pytest.raises(DataError, match="no picture of class 'bees' in val can be read"):
        open_pictures(parted).fitted(TINY, progress=False)


def test_probabilities_must_fit_the_pictures_and_their_classes(plain):
    whole = open_pictures(plain)
    with pytest.raises(ValueError, match="expected a row a picture and a column a class"):
        PictureSet("p", whole.classes, whole.labels, whole._sources, probabilities=np.full((len(whole), 3), 1 / 3))
    assert whole.targets is whole.labels


def test_subset_keeps_order_groups_and_splits(parted):
    whole = open_pictures(parted)
    grouped = PictureSet(
        "g", whole.classes, whole.labels, whole._sources, groups=np.arange(13) % 3, splits=whole.splits, licence="CC0"
    )
    part = grouped.subset([12, 0, 8])
    assert [part.file_name(i) for i in range(3)] == [whole.file_name(i) for i in (12, 0, 8)]
    assert part.groups.tolist() == [0, 0, 2] and part.licence == "CC0" and part.classes == whole.classes
    assert {k: v.tolist() for k, v in part.splits.items()} == {"train": [1], "val": [2], "test": [0]}
    assert len(grouped.without([0, 5])) == 11 and grouped.without([0]).file_name(0) == whole.file_name(1)


def test_equal_files_have_equal_hashes_whatever_their_names(plain):
    shutil.copy(plain / "ants/0.png", plain / "ants/copy.png")
    pictures = open_pictures(plain)
    hashes = [pictures.content_hash(i) for i in range(len(pictures))]
    assert hashes[0] == hashes[3] and len(set(hashes)) == 7 and len(hashes[0]) == 64


# ---- copies


def test_copies_across_the_split_make_the_test_score_too_good(parted, tmp_path):
    shutil.copy(parted / "train/ants/0.png", parted / "test/ants/other.png")
    for path in (parted, zipped(parted, tmp_path / "copies.zip")):
        (note,) = open_pictures(path).findings.notes
        assert note.startswith("1 picture(s) in more than one part (train/ants/0.png = test/ants/other.png)")
        assert "test score" in note


def test_copies_in_an_unsplit_set_and_under_another_class(plain):
    shutil.copy(plain / "ants/0.png", plain / "bees/ant.png")
    (note,) = open_pictures(plain).findings.notes
    assert "copies of others" in note and "another class" in note


def test_equal_files_that_are_no_pictures_are_no_copies(plain):
    for name in ("ants", "bees"):
        (plain / name / "empty.png").write_bytes(b"")
        (plain / name / "gone.png").write_text("<html>404: not found</html>")
    assert not open_pictures(plain).findings.notes


def test_copies_within_one_part_of_a_given_split_are_no_leak(parted):
    shutil.copy(parted / "train/ants/0.png", parted / "train/ants/again.png")
    assert len(open_pictures(parted)) == 14


# ---- what cannot be learned from


def test_a_missing_folder_an_empty_one_and_one_without_pictures(tmp_path):
    assert "no such folder" in refusal(tmp_path / "none")
    assert "holds nothing" in refusal(tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.csv").touch()
    assert "no pictures (.csv)" in refusal(tmp_path)


def test_loose_pictures_need_class_folders(tmp_path):
    message = refusal(grow(tmp_path / "root", **{"": 5}))
    assert "5 loose picture(s)" in message and "class's name" in message


def test_parts_without_classes(tmp_path):
    message = refusal(grow(tmp_path, train=3, test=3))
    assert "train holds 3 loose picture(s) and no class folders" in message


def test_one_class_only(tmp_path):
    assert "only one class, 'ants'" in refusal(grow(tmp_path, ants=5))


def test_a_class_with_too_few_pictures_to_be_split(tmp_path):
    message = refusal(grow(tmp_path, ants=5, bees=1, wasps=2))
    assert "class 'bees' (1), 'wasps' (2)" in message and "at least 3" in message and "one to validate" in message


def test_a_train_part_that_has_to_give_validation_pictures_needs_two(parted):
    shutil.rmtree(parted / "val")
    for name in ("1.png", "2.png"):
        (parted / "train/ants" / name).unlink()
    assert "class 'ants' (1)" in refusal(parted) and "at least 2" in refusal(parted)


def test_an_empty_class_folder_also_in_a_zip(plain, tmp_path):
    (plain / "wasps").mkdir()
    for path in (plain, zipped(plain, tmp_path / "z.zip")):
        assert "no pictures in class folder 'wasps'" in refusal(path)
    (plain / "wasps" / "1.mp4").touch()
    assert "'wasps', only files of other kinds (video(s)); save single frames" in refusal(plain)


def test_two_class_folders_that_differ_only_in_case(plain, tmp_path):
    grow(plain, Ants=3)
    for path in (plain, zipped(plain, tmp_path / "z.zip")):
        message = refusal(path)
        assert "'Ants' and 'ants' differ only in case" in message and "rename or merge" in message


def test_parts_with_different_classes(parted):
    grow(parted, test__wasps=1)
    shutil.rmtree(parted / "test" / "bees")
    assert "test has classes that are not in train, so that they cannot be learned: wasps (bees only in train)" in refusal(
        parted
    )


def test_several_folders_for_one_part_and_no_train(parted):
    grow(parted, valid__ants=1)
    assert "several folders for the val part (val, valid)" in refusal(parted)
    shutil.rmtree(parted / "valid")
    shutil.rmtree(parted / "train")
    assert "no train folder" in refusal(parted)


# ---- zip archives


def test_what_is_no_zip(plain, tmp_path):
    archive = tmp_path / "set.zip"
    archive.write_bytes(b"<!DOCTYPE html> 404")
    assert "a web page" in refusal(archive)
    archive.write_bytes(b"")
    assert "zero bytes" in refusal(archive)
    archive.write_bytes(picture(0))
    assert "single picture (PNG)" in refusal(archive)
    assert "set.zip" in refusal(archive)


def test_a_truncated_zip(plain, tmp_path):
    archive = zipped(plain, tmp_path / "set.zip")
    archive.write_bytes(archive.read_bytes()[:-200])
    assert "truncated or damaged zip" in refusal(archive)


def test_an_encrypted_zip(plain, tmp_path):
    data = bytearray(zipped(plain, tmp_path / "set.zip").read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # the flag, in both headers of each entry
        at = data.find(signature)
        while at >= 0:
            data[at + offset] |= 1
            at = data.find(signature, at + 1)
    (tmp_path / "set.zip").write_bytes(data)
    assert "encrypted" in refusal(tmp_path / "set.zip")


def test_paths_that_lead_out_of_a_zip_are_ignored_and_nothing_is_extracted(plain, tmp_path, monkeypatch):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    archive = zipped(plain, folder / "set.zip")
    with zipfile.ZipFile(archive, "a") as file:
        for name in ("../evil/1.png", "/etc/evil/2.png", "ants/../../evil/3.png", "C:\\evil\\4.png"):
            file.writestr(name, picture(1))
    monkeypatch.chdir(folder)
    pictures = open_pictures(archive)
    pictures.fitted(TINY, progress=False)
    assert pictures.classes == ["ants", "bees"] and "4 file(s) in the archive whose path" in pictures.notes[0]
    assert list(folder.iterdir()) == [archive]


def test_damage_inside_a_zip_is_found_when_the_picture_is_read(plain, tmp_path):
    archive = zipped(plain, tmp_path / "set.zip")
    data = bytearray(archive.read_bytes())
    data[data.find(b"IDAT") + 20] ^= 255
    archive.write_bytes(data)
    pictures = open_pictures(archive)
    with pytest.raises(PictureError, match=r"ants/0\.png"):
        pictures.picture(0)
    _, used = pictures.fitted(TINY, progress=False)
    assert len(used) == 6 and "1 of 7" in used.findings.left_out[-1]


def test_an_entry_that_claims_gigabytes_is_not_unpacked():
    entry = zipfile.ZipInfo("a/big.png")
    entry.file_size = 1 << 40
    with pytest.raises(PictureError, match="claims"):
        ZipSource(None, entry, "a/big.png").read()


# ---- real ones


def test_ants_and_bees(request):
    archive = request.getfixturevalue("shared_data") / "ants-bees.zip"
    if not archive.is_file():
        pytest.skip(f"{archive} is not there")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pictures = open_pictures(archive)
    assert pictures.classes == ["ants", "bees"]
    assert {part: len(rows) for part, rows in pictures.splits.items()} == {"train": 244, "test": 153}
    few = pictures.subset([0, 243, 396])
    pixels, _ = few.fitted(Preprocessing(size=224, resize=256), progress=False)
    assert pixels.shape == (3, 224, 224, 3) and pixels.std() > 20
