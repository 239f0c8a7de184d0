"""The command ``minicnn``: parses, calls, prints.

Each command imports what it needs when it is run, so that ``minicnn --help`` answers at once.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from . import __version__
from .errors import DataError, PictureError, TrainingError, WeightsError

EXIT_ERROR, EXIT_INTERRUPTED = 1, 130
DEFAULT_MODEL = "efficientnet_lite0"

EXAMPLES = """examples:
  minicnn transfer                                the solar cells, EfficientNet-Lite0, all strategies
  minicnn transfer --data pictures/ --quick       your own: pictures/<class>/*.jpg, or a .zip of that
  minicnn train --data mnist                      a network from scratch; also fashion-mnist, cifar10, pictures/
  minicnn advise --data pictures/                 which strategy should suit them, measured in a minute
  minicnn advise --data pictures/ --model A --model B     which network, too
  minicnn predict transfer-report/model.h5 a.jpg  with what it trained
  minicnn predict transfer-report/model.h5 new/ --reject --csv new.csv
  minicnn predict --model efficientnet_lite0 a.jpg
  minicnn explore transfer-report/model.h5 --data pictures/      a page to look inside, from its mistakes on
  minicnn explore --live convolution              a page to play with, for the lessons
  minicnn lesson 1                                a lesson of the course; minicnn check 1 judges its exercise
  minicnn weights list                            published weights that minicnn can load
  minicnn weights convert net.pth --arch resnet50 --out net.h5
"""


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="minicnn",
        description="Convolutional networks written by hand, and how to transfer a pretrained one to your own pictures.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"minicnn {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    transfer = commands.add_parser(
        "transfer", help="take a pretrained network to a collection of pictures and compare strategies"
    )
    transfer.add_argument("--data", type=_file, metavar="FOLDER|ZIP",
                          help="FOLDER/<class>/*, or FOLDER/{train,val,test}/<class>/* "
                          "(default: the solar cells of the package elpv-dataset)")  # fmt: skip
    transfer.add_argument(
        "--model", type=_file, default=DEFAULT_MODEL, help="a known name or an .h5 file (default: %(default)s)"
    )
    transfer.add_argument("--strategy", action="append", metavar="NAME",
                          help="svm, softmax, finetune-upper, interpolate, finetune-more, biases, norms, surgical, soup, or "
                          "all of them; may be repeated (default: linear ones, and the fine-tuning that suits the "
                          "pictures)")  # fmt: skip
    transfer.add_argument("--layer", help="the layer whose output is the code (default: the one below the classifier)")
    transfer.add_argument("--seeds", type=_positive, metavar="N", help="random splits and runs of each strategy")
    transfer.add_argument("--first-seed", type=_natural, default=0, metavar="N",
                          help="where the seeds begin: other splits, or one at a time (default: %(default)s)")  # fmt: skip
    transfer.add_argument("--epochs", type=_positive, metavar="N", help="epochs of each phase of fine-tuning")
    mode = transfer.add_mutually_exclusive_group()
    mode.add_argument("--quick", action="store_true", help="a first impression: few pictures, few epochs")
    mode.add_argument("--full", action="store_true", help="more seeds, deeper and longer fine-tuning")
    transfer.add_argument("--out", type=_path, default=Path("transfer-report"), metavar="FOLDER",
                          help="where report, figures and model go (default: %(default)s)")  # fmt: skip
    transfer.add_argument("--positive", metavar="CLASS",
                          help="the class whose F1 is reported (default: the smaller one of two if they are uneven, "
                          "else the second)")  # fmt: skip
    transfer.add_argument("--balance", action="store_true",
                          help="give each class the same say in training, however few its pictures are")  # fmt: skip
    transfer.add_argument("--no-flip", action="store_true",
                          help="do not mirror training pictures: left and right, up and down make a difference")  # fmt: skip
    transfer.add_argument("--augment", metavar="WORDS",
                          help="how training pictures are varied: flip, vertical-flip, turns, shift=, window=, brightness=, "
                          "contrast=, saturation=, with commas between them, or none (default for photographs: "
                          "flip,window=0.7,brightness=0.2,contrast=0.2)")  # fmt: skip
    transfer.add_argument("--group-duplicates", action="store_true",
                          help="keep pictures that are nearly the same in one part of the split")  # fmt: skip
    transfer.add_argument("--resume", action="store_true", help="go on with the unfinished run in the folder")
    transfer.add_argument("--cluster", metavar="ADDRESS",
                          help="compute the codes on the cluster whose dask scheduler has this address")  # fmt: skip

    _add_train(commands.add_parser("train", help="train a network from the beginning, and report how well it does"))
    _add_search(commands.add_parser("search", help="find a learning rate and a weight decay for train"))

    advise = commands.add_parser("advise", help="say which strategy should suit a collection of pictures, before any is tried")
    advise.add_argument("--data", type=_file, metavar="FOLDER|ZIP", help="as in transfer (default: the solar cells)")
    advise.add_argument("--model", type=_file, action="append", metavar="NAME|FILE",
                        help="a known name or an .h5 file (default: " + DEFAULT_MODEL + "); may be repeated, to choose among "
                        "networks")  # fmt: skip
    advise.add_argument("--quick", action="store_true", help="look at 300 pictures instead of 1,000")
    advise.add_argument("--out", type=_path, default=Path("advice"), metavar="FOLDER",
                        help="where the figure and the numbers go (default: %(default)s)")  # fmt: skip

    predict = commands.add_parser("predict", help="name what pictures show")
    predict.add_argument(
        "--model", type=_file, help="a known name or an .h5 file; without it, the first argument is the .h5 file"
    )
    predict.add_argument(
        "--top", type=_positive, default=5, metavar="N", help="how many classes to print (default: %(default)s)"
    )
    predict.add_argument("--reject", action="store_true",
                         help="answer 'none of these' for pictures unlike all those that the model was trained on")  # fmt: skip
    predict.add_argument("--csv", type=_path, metavar="FILE", help="write a table instead of printing, for spreadsheets")
    predict.add_argument("--json", type=_path, metavar="FILE", help="the same for programs")
    predict.add_argument("pictures", nargs="+", metavar="PICTURE",
                         help="[MODEL.h5] PICTURE ...: files, folders, .zip archives, patterns such as '*.jpg'")  # fmt: skip

    _add_explore(commands.add_parser("explore", help="make a page in which a network can be explored on pictures"))
    _add_course(commands)
    _add_weights(commands.add_parser("weights", help="trained weights: list, fetch, convert, export, verify, show"))
    return parser


def _add_search(search: argparse.ArgumentParser) -> None:
    search.add_argument("--data", type=_file, required=True, metavar="NAME|FOLDER|ZIP", help="as in train")
    search.add_argument("--arch", metavar="NAME", help="as in train")
    search.add_argument("--recipe", metavar="NAME", help="as in train")
    search.add_argument("--size", type=_size, metavar="HxW", help="as in train")
    search.add_argument("--method", default="random", metavar="NAME",
                        help="random, grid, coarse-to-fine or halving (default: %(default)s)")  # fmt: skip
    search.add_argument("--trials", type=_positive, default=20, metavar="N", help="(default: %(default)s)")
    search.add_argument("--epochs", type=_positive, default=2, metavar="N",
                        help="of a trial, in the first round (default: %(default)s)")  # fmt: skip
    for name in ("--learning-rates", "--weight-decays"):
        search.add_argument(name, type=float, nargs=2, metavar=("LOW", "HIGH"),
                            help="(default: a thirtieth to thirty times the recipe's)")  # fmt: skip
    search.add_argument("--workers", type=_positive, default=1, metavar="N", help="trials side by side (default: %(default)s)")
    search.add_argument(
        "--cluster", metavar="ADDRESS", help="run the trials on the cluster whose dask scheduler has this address"
    )
    search.add_argument("--seed", type=_natural, default=0, metavar="N", help="of all chance (default: %(default)s)")
    search.add_argument("--out", type=_path, default=Path("search-report"), metavar="FOLDER",
                        help="where trials and figure go; the same command there goes on (default: %(default)s)")  # fmt: skip


def _add_train(train: argparse.ArgumentParser) -> None:
    train.add_argument("--data", type=_file, required=True, metavar="NAME|FOLDER|ZIP",
                       help="mnist, fashion-mnist, cifar10 (MINICNN_DATA names the folder that has them), "
                       "or your own pictures as in transfer")  # fmt: skip
    train.add_argument("--arch", metavar="NAME", help="the architecture, e.g. vgg_small (default: that of the recipe)")
    train.add_argument("--recipe", metavar="NAME",
                       help="digits, clothes, objects, speed-run, speed-run-muon, photographs or adamw "
                       "(default: the usual one for the data)")  # fmt: skip
    train.add_argument("--epochs", type=_positive, metavar="N", help="(default: as many as the recipe says)")
    train.add_argument("--batch-size", type=_positive, metavar="N", help="(default: that of the recipe)")
    train.add_argument("--learning-rate", type=float, metavar="X", help="the highest (default: that of the recipe)")
    train.add_argument("--weight-decay", type=float, metavar="X", help="(default: that of the recipe)")
    train.add_argument("--seed", type=_natural, default=0, metavar="N", help="of all chance (default: %(default)s)")
    train.add_argument("--size", type=_size, metavar="HxW",
                       help="of the pictures of a folder or an archive (default: 64x64)")  # fmt: skip
    train.add_argument("--quick", action="store_true", help="a first impression: few pictures, few epochs")
    train.add_argument("--resume", action="store_true", help="go on with the unfinished run in the folder")
    train.add_argument("--out", type=_path, default=Path("train-report"), metavar="FOLDER",
                       help="where report, figures and model go (default: %(default)s)")  # fmt: skip


def _add_explore(explore: argparse.ArgumentParser) -> None:
    explore.add_argument("model", type=_file, nargs="?", metavar="MODEL", help="an .h5 file or a known name")
    explore.add_argument("pictures", nargs="*", metavar="PICTURE", help="files, folders, .zip archives, patterns; or --data")
    explore.add_argument("--data", type=_file, metavar="FOLDER|ZIP",
                         help="labelled pictures, as in transfer: those to test on are explored, beside the nearest of those "
                         "to train on; with PICTUREs, the ones to train on")  # fmt: skip
    explore.add_argument("--before", type=_file, metavar="MODEL", help="the network before it was fine-tuned, to switch to")
    explore.add_argument("--pictures", dest="most", type=_positive, default=24, metavar="N",
                         help="how many the page holds, mistakes first (default: %(default)s)")  # fmt: skip
    explore.add_argument("--title", help="of the page")
    explore.add_argument("--live", metavar="NAME",
                         help="without a model, a small page to play with: optimisers, convolution, receptive-field, "
                         "boundary")  # fmt: skip
    explore.add_argument("--out", type=_path, metavar="FILE", help="(default: explore.html, or the live page's NAME.html)")


def _add_course(commands: argparse._SubParsersAction) -> None:
    check = commands.add_parser("check", help="judge the exercise of a lesson: what is right, what is wrong, and which mistake")
    check.add_argument("lesson", type=_file, nargs="?", metavar="LESSON|FILE",
                       help="its number or name, or the file with the answers (default: all that have been begun)")  # fmt: skip
    check.add_argument("--task", type=_positive, metavar="N", help="this one only (default: all)")
    check.add_argument("--seed", type=_natural, metavar="N", help="repeat a check with the numbers it had")
    check.add_argument("--hint", type=int, nargs="?", const=1, choices=(1, 2, 3), metavar="STEP",
                       help="for a task: 1 what to look at, 2 the principle, 3 nearly the line")  # fmt: skip
    check.add_argument("--watch", action="store_true", help="again whenever the file is saved")
    check.add_argument("--json", type=_path, metavar="FILE", help="the verdicts for programs, too")

    commands.add_parser("lessons", help="the lessons of the course, and what is done")
    lesson = commands.add_parser("lesson", help="run a lesson of the course")
    lesson.add_argument("lesson", metavar="LESSON", help="its number or name")
    lesson.add_argument("--notebook", action="store_true", help="make a notebook of it instead")
    lesson.add_argument("--quick", action="store_true", help="less data and fewer epochs")
    lesson.add_argument("--data", type=_file, metavar="FOLDER", help="pictures of yours, for lesson 17")

    course = commands.add_parser("course", help="unpack the course to work on, or measure its checker")
    actions = course.add_subparsers(dest="action", required=True, metavar="ACTION")
    start = actions.add_parser("start", help="copy lessons and exercises to a folder; what is there stays")
    start.add_argument("folder", type=_path, metavar="DIR")
    new = actions.add_parser("new", help="for teachers: begin a lesson of one's own with one that works")
    new.add_argument("folder", type=_path, metavar="NN_NAME", help="a new folder: two digits and a name, as 20_my_lesson")
    selftest = actions.add_parser("selftest", help="what the checker says of answers that are known to be wrong or right")
    selftest.add_argument("--lesson", metavar="LESSON", help="(default: all)")
    selftest.add_argument("--seeds", type=_positive, default=3, metavar="N", help="of each answer (default: %(default)s)")
    selftest.add_argument("--json", type=_path, metavar="FILE", help="the counts for programs, too")
    export = actions.add_parser("export", help="for teachers: lessons and stubs without solutions, into an empty folder")
    export.add_argument("folder", type=_path, metavar="DIR")
    export.add_argument("--notebooks", action="store_true", help="as notebooks, too")
    grade = actions.add_parser("grade", help="for teachers: judge a folder of submissions, into a table")
    grade.add_argument("folder", type=_path, metavar="DIR", help="STUDENT/exercise.py, or files that name their lesson")
    grade.add_argument("--seed", type=_natural, default=0, metavar="N", help="of all numbers (default: %(default)s)")
    grade.add_argument("--out", type=_path, metavar="FOLDER", help="where the tables go (default: DIR)")


def _add_weights(weights: argparse.ArgumentParser) -> None:
    actions = weights.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("list", help="all that minicnn.load knows by name")

    fetch = actions.add_parser("fetch", help="download published weights, or go on where a download broke off")
    fetch.add_argument("names", nargs="+", metavar="NAME")

    convert = actions.add_parser("convert", help="make a model of weights from PyTorch, Keras, Caffe, ONNX, safetensors, NumPy")
    convert.add_argument("file", type=_file, metavar="FILE")
    convert.add_argument("--arch", required=True, metavar="NAME", help="the architecture, e.g. resnet50")
    convert.add_argument("--source", choices=("torchvision", "timm", "tonylins", "keras", "keras_old", "caffe"),
                         help="whose names its arrays have (default: those that fit best)")  # fmt: skip
    convert.add_argument("--partial", action="store_true", help="load what fits, list what does not")
    convert.add_argument("--classes", type=_file, metavar="N|FILE|imagenet",
                         help="how many classes, or their names (default: as many as the file has)")  # fmt: skip
    convert.add_argument("--size", metavar="HxW", help="of the pictures, for VGG and AlexNet if they were not square")
    convert.add_argument("--out", required=True, type=_path, metavar="X.h5", help="where the model goes")
    convert.add_argument("--force", action="store_true", help="replace a file that is there and is not a model of minicnn")

    export = actions.add_parser("export", help="write a model for other programs: ONNX, safetensors, NumPy")
    export.add_argument("model", type=_file, metavar="X.h5", help="an .h5 file of minicnn, or a known name")
    export.add_argument("--to", required=True, choices=("onnx", "safetensors", "npz"),
                        help="onnx: network and weights; the others: weights in PyTorch's layout and names")  # fmt: skip
    export.add_argument("--out", type=_path, metavar="FILE", help="(default: the model's name with another suffix, here)")
    export.add_argument("--force", action="store_true", help="replace a file that is there")

    verify = actions.add_parser("verify", help="compare files with the hashes that are known of them")
    verify.add_argument("names_or_files", nargs="*", metavar="NAME|FILE", help="(default: all published files that are here)")

    show = actions.add_parser("show", help="where weights are from, how pictures are prepared, the layers")
    show.add_argument("name_or_file", type=_file, metavar="NAME|FILE", help="of a file of others: its arrays")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status. What users can put right is one sentence on standard error, no traceback."""
    words = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that the terminal's encoding lacks is printed in escapes
            stream.reconfigure(errors="backslashreplace")
    parser = build_parser()
    arguments, others = parser.parse_known_args(words)
    if arguments.command in ("predict", "explore") and not any(word.startswith("-") for word in others):
        arguments.pictures += others  # argparse takes no more of them after an option
    elif others:
        parser.error(f"unrecognized arguments: {' '.join(others)}")
    arguments.words = [word.encode("utf-8", "backslashreplace").decode() for word in words]  # what is saved is UTF-8
    try:
        run = COMMANDS[arguments.command]
        with warnings.catch_warnings():
            warnings.showwarning = _say
            status = run(arguments)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # whoever was reading has read enough, as ``| head`` does; what is left goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (DataError, PictureError, WeightsError, TrainingError, ValueError, OSError) as error:
        print(f"minicnn {arguments.command}: {error}", file=sys.stderr)
        return EXIT_ERROR
    except KeyboardInterrupt:
        print(f"minicnn {arguments.command}: stopped before anything was finished; nothing was written", file=sys.stderr)
        return EXIT_INTERRUPTED


def _say(message: Warning | str, category: type[Warning], filename: str, lineno: int, file=None, line=None) -> None:
    """A Python warning as a sentence, without the line of code that it is from."""
    print(f"note: {message}", file=sys.stderr)


def _transfer(arguments: argparse.Namespace) -> int:
    from .experiment.experiment import Experiment
    from .experiment.presets import Settings

    mode = "quick" if arguments.quick else "full" if arguments.full else "default"
    settings = Settings(
        data=arguments.data,
        model=arguments.model,
        strategies=_strategies(arguments.strategy),
        layer=arguments.layer,
        seeds=arguments.seeds,
        first_seed=arguments.first_seed,
        epochs=arguments.epochs,
        mode=mode,
        out=arguments.out,
        command=" ".join(["minicnn", *arguments.words]),
        positive=arguments.positive,
        balance=arguments.balance,
        flips=not arguments.no_flip,
        augment=arguments.augment,
        group_duplicates=arguments.group_duplicates,
        resume=arguments.resume,
        cluster=arguments.cluster,
    )
    results = Experiment(settings).run()
    _say_results(results, arguments.out)
    if results["interrupted"]:
        print(f"To go on:   {settings.command}{'' if settings.resume else ' --resume'}")
        return EXIT_INTERRUPTED
    return 0


def _strategies(names: list[str] | None) -> tuple[str, ...] | None:
    """What ``--strategy`` asks for; None where it is not given."""
    from .transfer.strategies import TRANSFERABLE

    if not names:
        return None
    return tuple(dict.fromkeys(every for name in names for every in (TRANSFERABLE if name == "all" else (name,))))


def _train(arguments: argparse.Namespace) -> int:
    from .from_scratch import Settings, train

    settings = Settings(
        data=arguments.data,
        architecture=arguments.arch,
        recipe=arguments.recipe,
        epochs=arguments.epochs,
        batch_size=arguments.batch_size,
        learning_rate=arguments.learning_rate,
        weight_decay=arguments.weight_decay,
        seed=arguments.seed,
        size=arguments.size,
        quick=arguments.quick,
        resume=arguments.resume,
        out=arguments.out,
        command=" ".join(["minicnn", *arguments.words]),
    )
    results = train(settings)
    if results is None:
        return EXIT_INTERRUPTED
    _say_results(results, arguments.out)
    return 0


def _say_results(results: dict, out: Path) -> None:
    from .experiment.report import table

    print(f"\n{table(results)}\n")
    print(f"Use it:     minicnn predict {out / results['model_file']} PICTURES...")
    if results.get("explorer"):
        print(f"Explore:    {out / results['explorer']}")
    print(f"The report: {out / 'report.html'}")


def _search(arguments: argparse.Namespace) -> int:
    from .from_scratch import Search, Settings, search

    settings = Settings(
        data=arguments.data,
        architecture=arguments.arch,
        recipe=arguments.recipe,
        seed=arguments.seed,
        size=arguments.size,
        out=arguments.out,
    )
    names = ("method", "trials", "epochs", "learning_rates", "weight_decays", "workers", "cluster")
    best = search(settings, Search(**{name: getattr(arguments, name) for name in names})).best
    print(f"\nBest:       {best}")
    given = [f"--{name} {value}" for name in ("arch", "recipe") if (value := getattr(arguments, name))]
    rate = f"--learning-rate {best.settings['learning_rate']:.3g} --weight-decay {best.settings['weight_decay']:.3g}"
    print(f"Use it:     {' '.join(['minicnn train --data', arguments.data, *given, rate])}")
    print(f"The figure: {arguments.out / 'search.png'}")
    return 0


def _advise(arguments: argparse.Namespace) -> int:
    from .advisor.advise import advise
    from .advisor.networks import compare_networks, set_up_networks
    from .advisor.report import write_advice, write_comparison
    from .cache import make_writable

    make_writable(arguments.out)
    models, pictures = set_up_networks(arguments.data, arguments.model or [DEFAULT_MODEL], arguments.out)
    data = ["--data", arguments.data] if arguments.data else []
    if len(models) > 1:
        comparison = compare_networks(models, pictures, arguments.quick, log=print, words=data)
        print(f"\n{comparison.text()}\n")
        paths = write_comparison(comparison, arguments.out)
    else:
        ((name, model),) = models.items()
        advice = advise(model, pictures, arguments.quick, log=print, words=[*data, "--model", name])
        print(f"\n{advice.text()}\n")
        paths = write_advice(advice, arguments.out)
    for path in paths:
        print(path)
    return 0


def _predict(arguments: argparse.Namespace) -> int:
    from tqdm import tqdm

    from .models.predict import check_target, expand_patterns, find_pictures, predict_pictures, write_csv, write_json
    from .pretrained import load

    paths = expand_patterns(arguments.pictures)
    name = arguments.model or paths.pop(0)
    if not paths:
        raise ValueError(f"no picture given, only the model {name}: minicnn predict MODEL.h5 PICTURE ...")
    targets = [path for path in (arguments.csv, arguments.json) if path is not None]
    for path in targets:
        check_target(path)
    model = load(name)
    if arguments.reject:
        model.required_novelty()
    sources = find_pictures(paths, lambda text: print(f"minicnn predict: {text}", file=sys.stderr))
    predictions = []
    found = predict_pictures(model, sources, arguments.top, arguments.reject)
    for prediction in tqdm(found, total=len(sources), unit=" pictures", delay=2, disable=not targets, leave=False):
        predictions.append(prediction)
        if prediction.error:  # the others may be fine
            tqdm.write(f"minicnn predict: {prediction.error}", file=sys.stderr)
        elif not targets:
            print(prediction.describe())
    if arguments.csv:
        write_csv(arguments.csv, predictions, arguments.top)
    if arguments.json:
        write_json(arguments.json, predictions, name)
    unreadable = sum(bool(prediction.error) for prediction in predictions)
    for path in targets:
        print(f"{path}: {len(predictions) - unreadable} predictions" + (f", {unreadable} not readable" if unreadable else ""))
    if arguments.reject and len(predictions) > 1:
        rejected, usual = sum(prediction.is_rejected for prediction in predictions), 100 * model.novelty.rejected
        print(
            f"{rejected} of {len(predictions) - unreadable} are none of these; "
            f"of pictures like those that the model learned from, about {usual:.1f} % are rejected as well"
        )
    return EXIT_ERROR if unreadable else 0


def _explore(arguments: argparse.Namespace) -> int:
    from .explorer.command import run, run_live

    if arguments.live:
        return run_live(arguments)
    if not arguments.model:
        raise ValueError("no model: minicnn explore MODEL.h5 PICTURE ..., or --live NAME for a page that needs none")
    if not arguments.pictures and not arguments.data:
        raise ValueError(f"no pictures: minicnn explore {arguments.model} PICTURE ... or --data FOLDER")
    return run(arguments)


def _weights(arguments: argparse.Namespace) -> int:
    from .models.predict import expand_patterns
    from .pretrained.command import run

    if arguments.action == "verify":
        arguments.names_or_files = expand_patterns(arguments.names_or_files)
    return run(arguments)


def _course(arguments: argparse.Namespace) -> int:
    from .course import command

    return getattr(command, arguments.command)(arguments)


def _at_least(least: int) -> Callable[[str], int]:
    def whole(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"expected a whole number of at least {least}, got {value}")
        return value

    whole.__name__ = "whole number"  # what argparse calls it where it is none
    return whole


def _file(text: str) -> str:
    """The name of a file, or of something else; ``~`` is the home folder, which shells do not replace in ``--out=~/x``."""
    expanded = os.path.expanduser(text)
    if not expanded.startswith("~"):
        return expanded
    if os.path.lexists(expanded):
        return os.path.join(os.curdir, expanded)
    user = expanded[1:].split("/")[0]
    raise argparse.ArgumentTypeError(f"{text}: no user is called {user!r}; write ./{text} if the file's name begins with ~")


def _path(text: str) -> Path:
    return Path(_file(text))


def _size(text: str) -> tuple[int, int]:
    """Height and width in pixels; a single number is a square."""
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isascii() and side.isdigit() and int(side) for side in sides):
        raise argparse.ArgumentTypeError(f"expected HEIGHTxWIDTH in pixels, such as 64x64, got {text!r}")
    return int(sides[0]), int(sides[-1])


COMMANDS = {
    "transfer": _transfer,
    "train": _train,
    "search": _search,
    "advise": _advise,
    "predict": _predict,
    "explore": _explore,
    "check": _course,
    "lessons": _course,
    "lesson": _course,
    "course": _course,
    "weights": _weights,
}
_positive, _natural = _at_least(1), _at_least(0)
