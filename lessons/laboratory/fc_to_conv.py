"""Fully connected layers as convolutions: where the equality holds, what one dense pass saves, and what it is worth.

python lessons/laboratory/fc_to_conv.py [--quick] [--seeds N] [--out FOLDER]

The lecture's claim (CS231n, "Converting FC layers to CONV layers"): a fully connected layer is a convolution whose filter is as
large as its input volume, so that one pass over a larger picture gives the scores of all crops, for much less than passing
them all.
"""

from __future__ import annotations

import time
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from dense_pass import ALONE, AROUND, BARE, OWN, WINDOWS, cost, equality, side_by_side
from lab import Experiment
from scipy.stats import binomtest

import minicnn
from minicnn.course.workbench import BLUE, GREEN, GREY, ORANGE
from minicnn.data.mnist import load_mnist
from minicnn.data.pictures import read_picture
from minicnn.inference.batches import infer
from minicnn.losses import softmax
from minicnn.models import alexnet, alexnet_torchvision, vgg11, vgg16
from minicnn.models.model import Model
from minicnn.transfer.fc_to_conv import fc_to_conv
from minicnn.transfer.multi_crop import class_map, dense_probabilities, ten_crop_probabilities
from minicnn.viz.class_map import class_map_figure

LENET = "lenet5_mnist"
KINDS = (OWN, WINDOWS, BARE, AROUND, ALONE)
EXACT = 1e-5  # of the largest score
MAPPED = "0353_n02423022.jpg"  # two gazelles: maps are drawn over a picture that both networks are right about
SHORT_SIDE = 256
CENTRE, TEN, DENSE, SCALES = "centre crop", "ten crops", "dense, one size, mirrored", "dense, three sizes, mirrored"


def main(argv: Sequence[str] | None = None) -> None:
    experiment = Experiment.from_arguments(__file__, "Fully connected layers as convolutions", seeds=1, argv=argv)
    _, _, pictures, labels = load_mnist(experiment.data("mnist"))
    results = {"equality": equalities(experiment, pictures)}
    results["cost"] = costs(experiment)
    results["digits"] = digits_on_canvases(experiment, pictures, labels)
    results["evaluation"] = evaluations(experiment)
    experiment.finish(results)


def networks(quick: bool) -> dict[str, Callable[[int], Model]]:
    """Made from a seed. LeNet-5 is trained, the large ones are random."""
    small = {"LeNet-5": lambda seed: minicnn.load(LENET)}
    if quick:
        return small | {"VGG-11 for 64 x 64": lambda seed: vgg11(10, input_shape=(3, 64, 64), rng=seed)}
    return small | {
        "AlexNet": lambda seed: alexnet(rng=seed),
        "AlexNet (torchvision)": lambda seed: alexnet_torchvision(rng=seed),
        "VGG-16": lambda seed: vgg16(rng=seed),
    }


def equalities(experiment: Experiment, digits: np.ndarray) -> dict:
    experiment.text(
        "## Where the equality holds\n\nThe largest difference of any score, as a share of the largest score, in float64 so "
        f"that rounding hides nothing; equal is below {EXACT:g}. LeNet-5, trained, looks at MNIST digits side by side; the "
        "others, whose weights are random, at noise.\n\n"
        f"- *{OWN}*: the map, which is one element then, and the network's scores.\n"
        f"- *{WINDOWS}*: each element, and what the fully connected layers make of that window of the last feature map.\n"
        f"- *{BARE}*: each element, and the scores of the crop there, both without any padding in the network.\n"
        f"- *{AROUND}*: an element of the padded network, and what the network without padding makes of the crop there "
        "together with as much of its surroundings as the element sees.\n"
        f"- *{ALONE}*: an element of the padded network, and that network's scores of the crop there, alone."
    )
    found, rows = {}, []
    for name, make in networks(experiment.quick).items():
        runs = [equality(make(seed).astype(np.float64).eval(), digits, seed) for seed in experiment.seeds]
        found[name] = {kind: max(run[kind] for run in runs) for kind in KINDS} | {"size": runs[0]["size"]}
        print(f"{name}: compared", flush=True)
        rows.append([name, " in ".join(map(str, runs[0]["size"])), *(f"{found[name][kind]:.0e}" for kind in KINDS)])
    experiment.table(["network", "crop in its surroundings, pixels", *KINDS], rows)
    equal = [f"*{kind}* in {sum(differences[kind] < EXACT for differences in found.values())}" for kind in KINDS]
    experiment.text(
        f"Equal, of {len(found)} networks: {', '.join(equal)}. A network that pads its convolutions sees a crop alone as if "
        "all around it were zero, in every layer; in a larger picture it sees the neighbours. For such networks the claim is "
        "one about the fully connected layers, or about crops with their surroundings, and not about crops alone."
    )
    return found


def costs(experiment: Experiment) -> dict:
    sizes = {"LeNet-5": (28, 44, 92, 156)}
    if experiment.quick:
        sizes |= {"VGG-11 for 64 x 64": (64, 128)}
    else:
        sizes |= {"AlexNet": (227, 259, 323, 451), "VGG-16": (224, 256, 320, 448)}
    found: dict[str, list[dict]] = {name: [] for name in sizes}
    rows = []
    for name, sides in sizes.items():
        model = networks(experiment.quick)[name](0)
        dense, model = fc_to_conv(model).fuse(), model.fuse()
        for side in sides:
            at_side = cost(model, dense, side)
            found[name].append(at_side)
            print(f"{name} at {side} x {side}: {at_side['crops']} crops", flush=True)
            work, seconds = (at_side[f"crop_{unit}"] / at_side[unit] for unit in ("multiply_adds", "seconds"))
            milliseconds = [f"{1000 * at_side[key]:,.1f}" for key in ("seconds", "crop_seconds")]
            rows.append([name, f"{side} x {side}", at_side["crops"], f"{at_side['multiply_adds'] / 1e6:,.1f}"])
            rows[-1] += [*milliseconds, f"{work:.1f}", f"{seconds:.1f}"]
    experiment.text(
        "## What one pass saves\n\nOne dense pass over a picture, and a pass for each of its crops at steps of the total "
        "stride, many crops in a batch; float32, the fastest of three."
    )
    header = ["network", "picture", "crops", "dense, million multiply-adds", "dense, ms", "crops, ms"]
    experiment.table([*header, "times fewer multiply-adds", "times faster"], rows)
    most = {name: costs[-1]["crop_seconds"] / costs[-1]["seconds"] for name, costs in found.items()}
    experiment.text(
        "Over the largest picture the dense pass was "
        + ", ".join(f"{times:.1f} times as fast for {name}" for name, times in most.items())
        + f". That it costs far less {'held' if min(most.values()) > 2 else 'did not hold for all of them'} here."
    )
    experiment.figure(cost_figure(found), "Multiply-adds and seconds of one dense pass and of all crops", "cost")
    return found


def cost_figure(found: dict[str, list[dict]]) -> plt.Figure:
    figure, axes = plt.subplots(1, 2, figsize=(8, 3.5), layout="constrained")
    for name, color in zip(found, (BLUE, ORANGE, GREEN), strict=False):
        crops = [at_side["crops"] for at_side in found[name]]
        for ax, unit, scale in ((axes[0], "multiply_adds", 1e-9), (axes[1], "seconds", 1)):
            for key, style, label in ((f"crop_{unit}", "o--", "all crops"), (unit, "o-", "dense")):
                values = [at_side[key] * scale for at_side in found[name]]
                ax.plot(crops, values, style, color=color, ms=4, label=f"{name}, {label}")
    axes[0].set(title="Work", ylabel="multiply-adds (billions)")
    axes[1].set(title="Time", ylabel="seconds")
    for ax in axes:
        ax.set(xscale="log", yscale="log", xlabel="crops in the picture")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(found), fontsize=8)
    return figure


def digits_on_canvases(experiment: Experiment, pictures: np.ndarray, labels: np.ndarray) -> dict:
    """LeNet-5 over canvases of digits side by side: does it name each one at its place?"""
    model = minicnn.load(LENET)
    canvases, rows, columns = (4 if experiment.quick else 100), 3, 5
    chosen = np.random.default_rng(0).permutation(len(labels))[: canvases * rows * columns].reshape(canvases, rows * columns)
    places, alone = [], []
    for canvas in chosen:
        found = class_map(model, side_by_side(pictures[canvas], rows, columns))
        places.append(found.scores[:, ::7, ::7].argmax(0).ravel())  # a digit each 28 pixels, an element each 4
        alone.append(model.forward(model.preprocessing.normalise(pictures[canvas])).argmax(1))
    truth, places, alone = labels[chosen], np.array(places), np.array(alone)
    in_place, by_itself, same = (float(share.mean()) for share in (places == truth, alone == truth, places == alone))
    experiment.text(
        f"## Class maps\n\nLeNet-5 over {canvases} canvases of {rows} x {columns} MNIST test digits, one dense pass each: the "
        f"element at its place is right for {100 * in_place:.1f} % of the {chosen.size} digits, the network for each digit "
        f"alone {100 * by_itself:.1f} %, and {100 * same:.1f} % of the predictions are the same. (Two pixels of padding in the "
        "first convolution let an element see a little of the neighbours.) Its scores between the digits mean nothing: it was "
        "never trained on anything that is not a digit."
    )
    p = softmax(found.scores.reshape(10, -1).T).T.reshape(found.scores.shape)
    maps = {str(k): p[k] for k in np.unique(labels[chosen[-1]])[:5]}
    figure = class_map_figure(found.picture, maps, found.extent, note="Each square is the answer for one crop.")
    caption = "LeNet-5 over a canvas of digits: the probability of some of them at each place"
    experiment.figure(figure, caption, "digits", shows_data=True)
    return {"digits": chosen.size, "at_their_places": in_place, "alone": by_itself, "same_answers": same}


def evaluations(experiment: Experiment) -> dict:
    with zipfile.ZipFile(experiment.data("imagenet-250.zip")) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))
        names = names[:: len(names) // 16][:16] if experiment.quick else names
        pictures = [read_picture(archive.read(name)) for name in names]
        mapped = read_picture(archive.read(MAPPED))
    labels = np.array([int(Path(name).name[:4]) for name in names])
    experiment.text(
        f"## What more views are worth\n\n{len(pictures)} ImageNet pictures, short side {SHORT_SIDE} and for three sizes also "
        "32 pixels less and more. They are probably from the training set: look at the differences, not at the height. Both "
        "networks end in an average over space, so that the dense pass is the network itself over the whole picture. Intervals "
        "are for other pictures; the last but one column counts those that are right and were wrong with the centre crop, and "
        "the other way round, with the p-value of a sign test."
    )
    found, rows = {}, []
    for name in ["squeezenet1_1_caffe"] if experiment.quick else ["squeezenet1_1_caffe", "efficientnet_lite0"]:
        model = minicnn.load(name)
        found[name] = evaluation(model, pictures, labels)
        for title, result in found[name].items():
            against = "" if title == CENTRE else f"+{result['gained']} -{result['lost']} (p = {result['p']:.2f})"
            accuracy = f"{100 * result['top1']:.1f} ± {100 * result['half']:.1f}"
            rows.append([name, title, accuracy, f"{100 * result['top5']:.1f}", against, f"{result['seconds']:.1f}"])
        over = class_map(model, mapped, short_side=2 * model.input_shape[1])
        best = np.argsort(-over.scores.mean(axis=(1, 2)))[:2]
        note = "The two classes with the highest average score. The picture was chosen."
        maps = {model.classes[k]: over.scores[k] for k in best}
        figure = class_map_figure(over.picture, maps, over.extent, "score", note)
        experiment.figure(figure, f"{name} over a picture of twice the size that it was trained on", name, shows_data=True)
    experiment.table(["network", "views", "top-1 %", "top-5 %", "against the centre crop", "seconds"], rows)
    for name, ways in found.items():
        better = [
            title
            for title, result in ways.items()
            if title != CENTRE and result["p"] < 0.05 and result["gained"] > result["lost"]
        ]
        times = {title: ways[title]["seconds"] / ways[CENTRE]["seconds"] for title in (TEN, DENSE, SCALES)}
        experiment.text(
            f"{name}: {' and '.join(better) or 'nothing'} better than the centre crop beyond chance. In time, "
            + ", ".join(f"{title} took {ratio:.1f} centre crops" for title, ratio in times.items())
            + "."
        )
    experiment.figure(evaluation_figure(found), "Accuracy by the time that it takes, for one view and for many", "views")
    return found


def evaluation(model: Model, pictures: list[np.ndarray], labels: np.ndarray) -> dict[str, dict]:
    """Each way of looking: accuracies, what changed against the centre crop, and the seconds for all pictures."""
    fused = model.fuse()
    ways = {
        CENTRE: lambda: infer(fused, len(pictures), lambda rows: model.preprocess([pictures[i] for i in rows])),
        TEN: lambda: ten_crop_probabilities(model, pictures, SHORT_SIDE),
        DENSE: lambda: dense_probabilities(model, pictures, (SHORT_SIDE,)),
        SCALES: lambda: dense_probabilities(model, pictures, (SHORT_SIDE - 32, SHORT_SIDE, SHORT_SIDE + 32)),
    }
    model.predict(pictures[0])  # so that no way has to wait for kernels
    found, right = {}, {}
    for title, scores_of in ways.items():
        started = time.perf_counter()
        ranked = np.argsort(-scores_of(), axis=1, kind="stable")
        seconds = time.perf_counter() - started
        right[title] = ranked[:, 0] == labels
        gained, lost = int((right[title] & ~right[CENTRE]).sum()), int((right[CENTRE] & ~right[title]).sum())
        share = float(right[title].mean())
        found[title] = {
            "top1": share,
            "half": float(1.96 * np.sqrt(share * (1 - share) / len(labels))),
            "top5": float((ranked[:, :5] == labels[:, None]).any(axis=1).mean()),
            "gained": gained,
            "lost": lost,
            "p": float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0,
            "seconds": seconds,
        }
        print(f"{model.architecture}, {title}: top-1 {100 * share:.1f} %, {seconds:.1f} s", flush=True)
    return found


def evaluation_figure(found: dict[str, dict]) -> plt.Figure:
    figure, ax = plt.subplots(figsize=(7.2, 3.4), layout="constrained")
    for (name, ways), color in zip(found.items(), (BLUE, ORANGE), strict=False):
        for (title, result), marker in zip(ways.items(), "osD^", strict=True):
            label, height, half = f"{name}: {title}", 100 * result["top1"], 100 * result["half"]
            ax.errorbar(result["seconds"], height, half, fmt=marker, color=color, ecolor=GREY, capsize=2, label=label)
    ax.set(
        xlabel="seconds for all pictures",
        ylabel="top-1 accuracy (%)",
        title="One view or many (95 % intervals)",
        xlim=(0, None),
    )
    figure.legend(loc="outside right upper", fontsize=7)
    return figure


if __name__ == "__main__":
    main()
