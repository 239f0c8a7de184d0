"""The command ``minicnn``: parses, calls, prints.

Each command imports what it needs when it is run, so that ``minicnn --help`` answers at once.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from . import __version__
from .errors import DataError, PictureError, TrainingError, WeightsError

EXIT_ERROR, EXIT_INTERRUPTED = 1, 130

EXAMPLES = """examples:
  minicnn transfer                                the solar cells, EfficientNet-Lite0, all strategies
  minicnn transfer --data pictures/ --quick       your own: pictures/<class>/*.jpg, or a .zip of that
  minicnn advise --data pictures/                 which strategy should suit them, measured in a minute
  minicnn predict transfer-report/model.h5 a.jpg  with what it trained
  minicnn predict --model efficientnet_lite0 a.jpg
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
    transfer.add_argument("--data", metavar="FOLDER|ZIP", help="FOLDER/<class>/*, or FOLDER/{train,val,test}/<class>/* "
                          "(default: the solar cells of the package elpv-dataset)")  # fmt: skip
    transfer.add_argument("--model", default="efficientnet_lite0", help="a known name or an .h5 file (default: %(default)s)")
    transfer.add_argument("--strategy", action="append", metavar="NAME",
                          help="svm, softmax, finetune-upper or finetune-more; may be repeated (default: all)")  # fmt: skip
    transfer.add_argument("--layer", help="the layer whose output is the code (default: the one below the classifier)")
    transfer.add_argument("--seeds", type=_positive, metavar="N", help="random splits and runs of each strategy")
    transfer.add_argument("--first-seed", type=_natural, default=0, metavar="N",
                          help="where the seeds begin: other splits, or one at a time (default: %(default)s)")  # fmt: skip
    transfer.add_argument("--epochs", type=_positive, metavar="N", help="epochs of each phase of fine-tuning")
    mode = transfer.add_mutually_exclusive_group()
    mode.add_argument("--quick", action="store_true", help="a first impression: few pictures, few epochs")
    mode.add_argument("--full", action="store_true", help="more seeds, deeper and longer fine-tuning")
    transfer.add_argument("--out", type=Path, default=Path("transfer-report"), metavar="FOLDER",
                          help="where report, figures and model go (default: %(default)s)")  # fmt: skip

    advise = commands.add_parser("advise", help="say which strategy should suit a collection of pictures, before any is tried")
    advise.add_argument("--data", metavar="FOLDER|ZIP", help="as in transfer (default: the solar cells)")
    advise.add_argument("--model", default="efficientnet_lite0", help="a known name or an .h5 file (default: %(default)s)")
    advise.add_argument("--quick", action="store_true", help="look at 300 pictures instead of 1,000")
    advise.add_argument("--out", type=Path, default=Path("advice"), metavar="FOLDER",
                        help="where the figure and the numbers go (default: %(default)s)")  # fmt: skip

    predict = commands.add_parser("predict", help="name what pictures show")
    predict.add_argument("--model", help="a known name or an .h5 file; without it, the first argument is the .h5 file")
    predict.add_argument(
        "--top", type=_positive, default=5, metavar="N", help="how many classes to print (default: %(default)s)"
    )
    predict.add_argument("pictures", nargs="+", metavar="PICTURE", help="[MODEL.h5] PICTURE ...")

    _add_weights(commands.add_parser("weights", help="trained weights: list, fetch, convert, verify, show"))
    return parser


def _add_weights(weights: argparse.ArgumentParser) -> None:
    actions = weights.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("list", help="all that minicnn.load knows by name")

    fetch = actions.add_parser("fetch", help="download published weights, or go on where a download broke off")
    fetch.add_argument("names", nargs="+", metavar="NAME")

    convert = actions.add_parser("convert", help="make a model of weights from PyTorch, Keras, Caffe, ONNX, safetensors, NumPy")
    convert.add_argument("file", metavar="FILE")
    convert.add_argument("--arch", required=True, metavar="NAME", help="the architecture, e.g. resnet50")
    convert.add_argument("--source", choices=("torchvision", "keras", "caffe"),
                         help="whose names its arrays have (default: those that fit best)")  # fmt: skip
    convert.add_argument("--partial", action="store_true", help="load what fits, list what does not")
    convert.add_argument("--classes", metavar="N|FILE|imagenet",
                         help="how many classes, or their names (default: as many as the file has)")  # fmt: skip
    convert.add_argument("--size", metavar="HxW", help="of the pictures, for VGG and AlexNet if they were not square")
    convert.add_argument("--out", required=True, type=Path, metavar="X.h5", help="where the model goes")

    verify = actions.add_parser("verify", help="compare files with the hashes that are known of them")
    verify.add_argument("names_or_files", nargs="*", metavar="NAME|FILE", help="(default: all published files that are here)")

    show = actions.add_parser("show", help="where weights are from, how pictures are prepared, the layers")
    show.add_argument("name_or_file", metavar="NAME|FILE", help="of a file of others: its arrays")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status. What users can put right is one sentence on standard error, no traceback."""
    words = list(sys.argv[1:] if argv is None else argv)
    arguments = build_parser().parse_args(words)
    arguments.words = words
    try:
        run = {"transfer": _transfer, "advise": _advise, "predict": _predict, "weights": _weights}[arguments.command]
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


def _transfer(arguments: argparse.Namespace) -> int:
    from .experiment.experiment import Experiment
    from .experiment.presets import Settings
    from .experiment.report import table
    from .transfer.strategies import TRANSFERABLE

    mode = "quick" if arguments.quick else "full" if arguments.full else "default"
    settings = Settings(
        data=arguments.data,
        model=arguments.model,
        strategies=tuple(arguments.strategy or TRANSFERABLE),
        layer=arguments.layer,
        seeds=arguments.seeds,
        first_seed=arguments.first_seed,
        epochs=arguments.epochs,
        mode=mode,
        out=arguments.out,
        command=" ".join(["minicnn", *arguments.words]),
    )
    results = Experiment(settings).run()
    print(f"\n{table(results)}\n")
    print(f"Use it:     minicnn predict {arguments.out / results['model_file']} PICTURES...")
    print(f"The report: {arguments.out / 'report.html'}")
    return EXIT_INTERRUPTED if results["interrupted"] else 0


def _advise(arguments: argparse.Namespace) -> int:
    from .advisor.advise import advise
    from .advisor.report import write_advice
    from .cache import make_writable
    from .transfer.setup import set_up

    make_writable(arguments.out)
    model, pictures, _ = set_up(arguments.data, arguments.model)
    given = [word for name in ("data", "model") if (value := getattr(arguments, name)) for word in (f"--{name}", value)]
    advice = advise(model, pictures, arguments.quick, log=print, words=given)
    print(f"\n{advice.text()}\n")
    for path in write_advice(advice, arguments.out):
        print(path)
    return 0


def _predict(arguments: argparse.Namespace) -> int:
    from .models.model import PICTURES_WORTH_FUSING
    from .pretrained import load

    pictures = list(arguments.pictures)
    name = arguments.model or pictures.pop(0)
    if not pictures:
        raise ValueError(f"no picture given, only the model {name}: minicnn predict MODEL.h5 PICTURE ...")
    model, failed = load(name), False
    if len(pictures) >= PICTURES_WORTH_FUSING:
        model = model.fuse()
    for picture in pictures:
        try:
            (ranking,) = model.top_classes(picture, top=arguments.top)
        except PictureError as error:  # the others may be fine
            print(f"minicnn predict: {error}", file=sys.stderr)
            failed = True
            continue
        print(picture)
        for label, probability in ranking:
            print(f"  {100 * probability:5.1f} %  {label}")
    return EXIT_ERROR if failed else 0


def _weights(arguments: argparse.Namespace) -> int:
    from .pretrained.command import run

    return run(arguments)


def _at_least(least: int) -> Callable[[str], int]:
    def whole(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"expected a whole number of at least {least}, got {value}")
        return value

    whole.__name__ = "whole number"  # what argparse calls it where it is none
    return whole


_positive, _natural = _at_least(1), _at_least(0)
