"""What the folders of a collection are: classes, parts of a split, or companions of the pictures, such as masks.

Each function looks at a `minicnn.data.trees.Tree`, takes out of it what is no class, and says so in its findings.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import PurePosixPath

from ..errors import DataError
from ..text import named
from .names import folded
from .trees import Parts, Tree

# What a part's name may have around the word that says which part it is: "Train Data", "train_set", "images_train2017"
AROUND = (
    r"(?:\d|v(?=\d)|the|my|all|new|final|full|small|mini|clean|crop(?:ped)?|resized|original|raw|public|private"
    r"|data|set|split|part|fold(?:er)?|subset|images?|imgs?|pics?|pictures?|photos?|samples?|labell?ed"
    r"|용|데이터|세트|셋|이미지|사진|用|集|数据|數據|图像|图片|圖像|圖片|データ|セット|画像|写真"  # Korean, Chinese, Japanese
    r"|daten|satz|bilder|(?:donn[ée]es|ensemble|jeu)de?|(?:datos|dados|conjunto|im[aá]genes|imagens)(?:de)?|dati|immagini"
    r"|данные|выборка)*"
)
# in English, Korean, Chinese and Japanese; French, Spanish, Portuguese, Italian, Russian; German has English words or its own
WORDS = {
    "train": r"train(?:ings?)?(?:(?:and|plus)?val(?:id(?:ation)?)?)?|trn|learn(?:ing)?|학습|훈련|训练|訓練|学習|学习"
    r"|entra[iî]nement|apprentissage|entrenamiento|treino|treinamento|addestramento"
    r"|обучающ(?:ая|ие)|обучение|тренировочн(?:ая|ые)",
    "val": r"val(?:id(?:ation)?)?|dev(?:el(?:opment)?)?|tun(?:e|ing)|검증|验证|驗證|検証"
    r"|validaci[oó]n|valida[cç][aã]o|validazione|validierungs?|валидаци(?:я|онная|онные)|проверочн(?:ая|ые)",
    "test": r"tests?(?:ing)?|tst|hold(?:ing)?out|heldout|시험|테스트|평가|测试|測試|テスト|評価|评估"
    r"|testes?|pruebas?|тест|тестов(?:ая|ые)",
    "eval": r"eval(?:uation)?",  # val, or test where there is a val
}
PART_NAME = re.compile(
    AROUND + "(?:" + "|".join(f"(?P<{part}>{words})" for part, words in WORDS.items()) + ")" + AROUND + "[ab]?"
)
UNLABELLED = re.compile(r"un(?:labell?ed|annotated|supervised)|no(?:label|annotation)s?")
NUMBERED = re.compile(r"(?:fold|split|part|set|batch|subset|chunk|shard|session)s?(?:\d+|[a-e])")
ANY_CLASS = re.compile(AROUND + r"(?:unknown|test(?:ing)?|val(?:idation)?)?" + AROUND)  # of a folder that stands for no class

COMPANION = re.compile(
    r"(?:.*[\W_\d])?(?:masks?|labels?|annotations?|annots?|annos?|ground[\W_]?truths?|gt|segmentations?|segm?|seg[\W_]?masks?"
    r"|segmentation(?:class|object)|trimaps?|bbox(?:es)?|bounding[\W_]?box(?:es)?|thumb(?:nail)?s?|previews?|마스크|라벨)[\W_\d]*"
)
PICTURES = re.compile(
    r"(?:.*[\W_])?(?:jpeg|png|jpg)?(?:images?|imgs?|photos?|pictures?|pics?|originals?|rgb|raws?|inputs?|이미지|사진)[\W_\d]*"
)
COMPANION_WORD = r"(?:mask|label|annotation|gt|ground[\W_]?truth|seg|segmentation|trimap)s?"
COMPANION_FILE = re.compile(  # 7_mask, 7_mask_2; mask_7
    rf"(?P<before>.+?)[\W_]+{COMPANION_WORD}(?:[\W_]?\d+)?|{COMPANION_WORD}(?:[\W_]+|(?=\d))(?P<after>.+)"
)
PICTURE_WORD = r"(?:image|img|im|photo|picture|pic|rgb|original|raw|input)s?"
PICTURE_FILE = re.compile(rf"(?:{PICTURE_WORD}(?:[\W_]+|(?=\d)))?(?P<stem>.+?)(?:[\W_]+{PICTURE_WORD})?")  # img_7, 7_rgb


def part_named(name: str) -> str | None:
    """ "train", "val", "test" or "eval" for the usual names of parts and their variants, else None.

    >>> [part_named(name) for name in ("Train Data", "val_set", "test-2024", "dev", "holdout", "trainval", "trainers", "cat")]
    ['train', 'val', 'test', 'val', 'test', 'train', None, None]
    """
    match = PART_NAME.fullmatch(_letters(name))
    return match and match.lastgroup


def _letters(name: str) -> str:
    """The letters and digits of a name, in lower case."""
    return re.sub(r"[\W_]+", "", folded(name))


# ---- what is no picture of a class


def leave_out_reports(tree: Tree) -> None:
    """Leave out the reports of this program, and folders of the top that hold little else."""
    if not tree.reports:
        return
    whole = tree.folders_with_pictures(())
    dropped = set(tree.reports) - {()}
    figures = tree.drop(dropped)
    left = tree.folders_with_pictures(())
    for top in {report[0] for report in dropped if len(report) > 1}:
        if left.get(top, 0) < whole.get(top, 0) - left.get(top, 0):
            figures += tree.drop([(top,)])
            dropped.add((top,))
    if () in tree.reports:  # its own figures lie beside the class folders
        figures += tree.loose(())
        tree.pictures = {parts: entry for parts, entry in tree.pictures.items() if len(parts) > 1}
    names = ["/".join(report) or tree.name for report in sorted(dropped or tree.reports)]
    tree.findings.left_out.append(f"{figures} figure(s) in {named(names)}: made by minicnn, or beside what it made")


def leave_out_companions(tree: Tree) -> None:
    """Leave out masks, labels and the like that lie beside the pictures they belong to, in folders or as files."""
    named_so = [folder for folder in tree.folders if COMPANION.fullmatch(folded(folder[-1]))]
    parents = Counter(folded(folder[-1]) for folder in named_so if len(folder) > 1 and not part_named(folder[-2]))
    companions = []
    for folder in named_so:
        siblings = tree.folders_with_pictures(folder[:-1])
        count = siblings.pop(folder[-1], 0)
        others = [name for name in siblings if not COMPANION.fullmatch(folded(name))]
        of_pictures = [name for name in others if PICTURES.fullmatch(folded(name))]
        # beside a third kind of folder they are classes, as in photo, label and form, unless several classes have them
        beside_pictures = of_pictures and (len(of_pictures) == len(others) or parents[folded(folder[-1])] > 1)
        if count and (beside_pictures or 2 * tree.loose(folder[:-1]) >= count):
            companions.append(folder)
    count = tree.drop(companions)
    if count:
        names = sorted({folder[-1] for folder in companions})
        tree.findings.left_out.append(
            f"{count} picture(s) in {len(companions)} folder(s) named {named(names)}: beside pictures, such folders hold what "
            "belongs to them, not pictures of a class"
        )
    stems: dict[Parts, set[str]] = defaultdict(set)
    for parts in tree.pictures:
        stem = folded(PurePosixPath(parts[-1]).stem)
        stems[parts[:-1]] |= {stem, PICTURE_FILE.fullmatch(stem)["stem"]}
    files = [parts for parts in tree.pictures if _stem_of_companion(parts[-1]) in stems[parts[:-1]]]
    if files:
        set_of_files = set(files)
        tree.pictures = {parts: entry for parts, entry in tree.pictures.items() if parts not in set_of_files}
        tree.findings.left_out.append(
            f"{len(files)} mask(s) or labels beside the pictures they belong to ({named(['/'.join(f) for f in files], 2)})"
        )


def _stem_of_companion(name: str) -> str | None:
    """What the picture's name is to which a file of this name is the mask."""
    match = COMPANION_FILE.fullmatch(folded(PurePosixPath(name).stem))
    return match and (match["before"] or match["after"])


def step_into_wrappers(tree: Tree) -> None:
    """While nearly all pictures lie in folders of a single folder, make that folder the root."""
    wrappers: list[str] = []
    while (top := _wrapper(tree)) is not None:
        wrappers.append(top)
        if tree.loose(()):
            tree.findings.left_out.append(f"{tree.loose(())} picture(s) beside {'/'.join(wrappers)}, in no class folder")
        tree.move_root(top)
    if wrappers:
        tree.findings.assumed.append(f"{'/'.join(wrappers)} holds all classes")


def _wrapper(tree: Tree) -> str | None:
    """The folder that nearly all pictures lie in, in folders; None where there is none. Unlabelled pictures are left out."""
    for top in tree.folders_with_pictures(()):
        if UNLABELLED.search(_letters(top)):
            tree.findings.left_out.append(f"{tree.drop([(top,)])} picture(s) in {top}, which have no class")
    tops = tree.folders_with_pictures(())
    if len(tops) != 1:
        return None
    ((top, count),) = tops.items()
    in_folders = sum(tree.folders_with_pictures((top,)).values())
    # a folder beside it with nothing in it may be a class that lacks its pictures: whoever looks at classes says so
    others_are_used = all(_has_files(tree, (name,)) for name in tree.subfolders(()))
    return top if 2 * in_folders > count > tree.loose(()) and others_are_used else None


def _has_files(tree: Tree, prefix: Parts) -> bool:
    return any(parts[: len(prefix)] == prefix for parts in (*tree.pictures, *tree.others))


# ---- parts


def find_parts(tree: Tree) -> dict[str, list[Parts]]:
    """The folders of each part, train first; {"all": [()]} where the tree is not split.

    ``train`` without ``val`` and ``test`` beside it may be a class like any other (of vehicles, say).

    Raises
    ------
    DataError
        Where folders are parts of a collection, but cannot be used as such.
    """
    tops = tree.folders_with_pictures(())
    found: dict[str, list[str]] = defaultdict(list)
    compound = [names for names in _compound_names(tops).values() if len(set(names.values())) > 1]
    of_compound = compound[0] if len(compound) == 1 else {}  # seg_train, seg_test
    for top in (*tops, *(top for top in tree.subfolders(()) if top not in tops)):
        part = part_named(top) or of_compound.get(top)
        if part and (top in tops or _has_files(tree, (top,))):
            found[part].append(top)
    if "eval" in found:
        found["test" if "val" in found else "val"] += found.pop("eval")
    of_parts = {top for names in found.values() for top in names}
    with_pictures = [part for part, names in found.items() if any(top in tops for top in names)]
    if len(with_pictures) < 2:
        if of_parts and not _may_be_classes(tree, found, [top for top in tops if top not in of_parts]):
            together = [top for names in found.values() for top in names if top in tops]
            tree.findings.assumed.append(f"{named(together)} hold all classes together")
            return {"all": [_inner(tree, (top,)) for top in together]}
        _refuse_numbered(tree, list(tops))
        return {"all": [()]}
    if "train" not in found:
        raise DataError(f"{tree.name} has {' and '.join(sorted(found))} folders but no train folder to learn from; add it")
    for part, names in found.items():
        if len({re.sub(r"[\W_\d]+", "", folded(name)) for name in names}) > 1:  # not train1 and train2
            raise DataError(f"{tree.name} has several folders for the {part} part ({', '.join(names)}); keep one of them")
    if any([folded(name) for name in names] != [part] for part, names in found.items()):
        parts = ", ".join(f"{named(found[part])} ({part})" for part in ("train", "val", "test") if part in found)
        tree.findings.assumed.append(f"the parts are {parts}")
    beside = {top: count for top, count in tops.items() if top not in of_parts}
    if beside:
        tree.findings.left_out.append(f"{sum(beside.values())} picture(s) in {named(list(beside))}: not part of the split")
    return {part: [_inner(tree, (name,)) for name in found[part]] for part in ("train", "val", "test") if part in found}


def _may_be_classes(tree: Tree, found: dict[str, list[str]], beside: list[str]) -> bool:
    """Whether folders that have the name of one and the same part are classes; False: they are all there is.

    Raises a DataError where they are neither.
    """
    names = [name for of_part in found.values() for name in of_part]
    inside = {name: set(tree.folders_with_pictures((name,))) for name in names}
    are_flat = all(tree.loose((name,)) for name in names)
    if not beside:
        if are_flat:
            raise DataError(
                f"{tree.name} has the folders {named(names)}, which are names of parts, and no class folders in them; put the "
                "pictures of each class into a folder that bears the class's name"
            )
        return False
    if are_flat or all(len(folders) < 2 for folders in inside.values()):
        return True
    folders = set.union(*inside.values())
    alike = [top for top in beside if folders & set(tree.folders_with_pictures((top,)))]
    flat = [top for top in beside if not tree.folders_with_pictures((top,))]
    if alike or flat or any(folded(name) != "train" for name in names):
        found_beside = f"the same folders in {named(alike)}" if alike else f"no such folders in {named(flat or beside)}"
        raise DataError(
            f"{tree.name}: {named(names)} is the name of a part and holds the folders {named(sorted(folders))}, and there are "
            f"{found_beside} beside it, which is neither a part (train, val, test) nor a class. Rename it if it is a part, "
            f"or pass the folder {names[0]} alone"
        )
    return True


def _refuse_numbered(tree: Tree, tops: list[str]) -> None:
    """Raise a DataError for folders that are divisions of a collection, each with all classes or with none."""
    if len(tops) > 1 and all(NUMBERED.fullmatch(_letters(top)) for top in tops):
        inside = [set(tree.folders_with_pictures((top,))) for top in tops]
        if len(set.intersection(*inside)) > 1:
            raise DataError(
                f"{tree.name}: {named(tops)} look like divisions of a collection, not like classes: each holds the folders "
                f"{named(sorted(set.intersection(*inside)))}. Rename them to train, val and test, or put the pictures of each "
                "class together"
            )
    by_rest = _compound_names(tops)
    if len(by_rest) > 1 and sum(map(len, by_rest.values())) == len(tops) and any(len(names) > 1 for names in by_rest.values()):
        raise DataError(
            f"{tree.name}: {named(tops)} name a class and a part each; expected a folder for each part with a folder for each "
            f"class in it, such as train/{next(iter(by_rest))}"
        )


def _compound_names(tops: Iterable[str]) -> dict[str, dict[str, str]]:
    """Names that begin or end with that of a part, such as ``cats_train``: the rest of the name -> {name: part}."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for top in tops:
        words = re.sub(r"(?<=[a-z])(?=[A-Z])|[\W_]+", " ", top).split()
        for at, rest in ((-1, words[:-1]), (0, words[1:])):
            part = part_named(words[at]) if rest else None
            if part:
                found[" ".join(rest)][top] = part
                break
    return found


def _inner(tree: Tree, prefix: Parts) -> Parts:
    """The folder that holds the class folders of a part, which is often one further down: ``train/images``, ``train/train``."""
    folders = tree.folders_with_pictures(prefix)
    if len(folders) != 1:
        return prefix
    (name,) = folders
    stands_for_none = (
        folded(name) == folded(prefix[-1]) or PICTURES.fullmatch(folded(name)) or ANY_CLASS.fullmatch(_letters(name))
    )
    if (part_named(name) or stands_for_none) and tree.folders_with_pictures((*prefix, name)):
        return _inner(tree, (*prefix, name))
    return prefix


def turn_class_first(tree: Tree) -> None:
    """Where every class folder is divided into parts (<class>/train, <class>/test), put the parts on top."""
    classes = tree.folders_with_pictures(())
    inside = {name: list(tree.folders_with_pictures((name,))) for name in classes}
    parts = {part_named(folder) for folders in inside.values() for folder in folders}
    if len(classes) < 2 or len(parts) < 2 or None in parts or "train" not in parts or any(map(part_named, classes)):
        return
    if any(tree.loose((name,)) for name in classes):
        return

    def turned(path: Parts) -> Parts:
        return (path[1], path[0], *path[2:]) if len(path) > 1 and part_named(path[1]) else path

    tree.pictures = {turned(path): entry for path, entry in tree.pictures.items()}
    tree.others = {turned(path): kind for path, kind in tree.others.items()}
    paths = (*tree.pictures, *tree.others)
    tree.folders = {path[:depth] for path in paths for depth in range(1, len(path))}
    tree.findings.assumed.append("the folders in each class folder are the parts of the split")


def leave_out_unlabelled(tree: Tree, parts: dict[str, list[Parts]]) -> None:
    """Leave out given validation and test parts whose pictures lie in no class folder, or in one that stands for no class."""
    if "train" not in parts:
        return
    trained = {folded(name) for prefix in parts["train"] for name in tree.folders_with_pictures(prefix)}
    for part in ("val", "test"):
        prefixes = parts.get(part, [])
        folders = {name for prefix in prefixes for name in tree.folders_with_pictures(prefix)}
        if trained & set(map(folded, folders)):
            continue
        if len(folders) <= 1 and all(ANY_CLASS.fullmatch(_letters(name)) for name in folders):
            names = ["/".join(prefix) for prefix in prefixes]
            if prefixes:
                tree.findings.left_out.append(f"{tree.drop(prefixes)} picture(s) in {named(names)}, which have no class")
                del parts[part]


def note_same_folders(tree: Tree, prefixes: Iterable[Parts], classes: Iterable[str]) -> None:
    """Say so where all classes have folders of the same names: they may be something else than more pictures of the class."""
    inside: dict[str, set[str]] = defaultdict(set)
    for prefix in prefixes:
        for name in tree.folders_with_pictures(prefix):
            inside[folded(name)] |= set(tree.folders_with_pictures((*prefix, name)))
    same = set.intersection(*inside.values()) if inside else set()
    if len(same) > 1:
        tree.findings.assumed.append(
            f"every class has the folders {named(sorted(same))}: their pictures are all pictures of the class (if these "
            "are the classes, put them on top)"
        )
