"""Looking inside: what a trained network looks for, what it sees, where its answer comes from, and what it takes to be alike.

All figures of `minicnn.viz` for EfficientNet-Lite0 on real pictures, with the first filters of SqueezeNet and LeNet-5 beside
its own, and a number for each claim that such figures are usually shown with.

    python lessons/laboratory/looking_inside.py [--quick] [--seeds N] [--out FOLDER]
"""

import sys
import zipfile
from pathlib import Path

import numpy as np
from lab import Experiment, mean_and_interval, percent
from looking_alike import codes_on_a_plane, neighbours, solar
from pairs import difference, words
from PIL import Image
from scipy.stats import spearmanr

import minicnn
from minicnn import viz
from minicnn.errors import WeightsError
from minicnn.models.predictions import probabilities

METHODS = ["saliency", "occlusion", "Grad-CAM"]
COVERED = 0.2  # share of the picture that is covered to find out whether a map points at what counts


def load(name):
    """A trained network, or the end of the script with the reason."""
    try:
        return minicnn.load(name)
    except WeightsError as error:
        sys.exit(f"This experiment needs {name}. {error}")


def imagenet(lab, model):
    """250 pictures of ImageNet at the network's size, with the number of the class of each."""
    with zipfile.ZipFile(lab.data("imagenet-250.zip")) as archive:
        names = [name for name in archive.namelist() if name.endswith(".jpg")]
        names = names[:: 4 if lab.quick else 1]
        pixels = np.stack([model.preprocessing.fit_picture(archive.read(name), name) for name in names])
    return pixels, np.array([int(Path(name).stem.split("_")[0]) for name in names])


def cells_of(heat, places):
    """Maps (N, H, W) as means over places x places cells, (N, cells): coarse enough to be compared."""
    return np.stack([shrunk(one, (places, places)).ravel() for one in heat])


def shrunk(plane, size):
    """A plane (H, W) as means over size = (h, w) cells."""
    return np.asarray(Image.fromarray(plane).resize(size[::-1], Image.Resampling.BOX))


def rank_correlation(a, b):
    """Spearman's, picture by picture; maps without any difference count as 0."""
    pairs = zip(a, b, strict=True)
    return [float(spearmanr(one, other).statistic) if np.ptp(one) and np.ptp(other) else 0.0 for one, other in pairs]


# ---- 1. filters


def filters(lab, model):
    """The first filters of three networks, and how many of them look at colour and at edges."""
    lab.text("## First-layer filters")
    for network in (model, load("lenet5_mnist"), "squeezenet1_1_caffe"):
        try:
            network = minicnn.load(network) if isinstance(network, str) else network
        except WeightsError as error:
            lab.text(f"(Without SqueezeNet: {error})")
            continue
        name = network.architecture
        path, v, _ = viz.filter_pictures(network)
        caption = f"The filters of {name}'s first convolution"
        lab.figure(viz.filters_figure(network), caption, f"filters_{name}", shows_data=True)
        if v.shape[1] == 3:
            w = v - 0.5
            w = w[np.square(w).sum((1, 2, 3)) > 1e-3 * np.square(w).sum((1, 2, 3)).max()]  # some have died
            of_colour = np.square(w - w.mean(1, keepdims=True)).sum((1, 2, 3)) / np.square(w).sum((1, 2, 3))
            grey = w[of_colour < 0.5].mean(1)
            edges = np.abs(grey.sum((1, 2))) < 0.5 * np.abs(grey).sum((1, 2))
            lab.text(
                f"{name}, {path}: of {len(v)} filters {len(v) - len(w)} are practically zero, {sum(of_colour >= 0.5)} look "
                f"more at differences of colour than at brightness, and {sum(edges)} of the {len(grey)} others take "
                "differences between neighbouring pixels (edges, lines, spots): their weights largely cancel."
            )


# ---- 2. feature maps


def maps_through_depth(lab, model, pixels):
    """The maps of one picture, and how much of the picture is left in maps, layer by layer."""
    lab.text("## Feature maps through depth")
    x, brightness = model.preprocessing.normalise(pixels), pixels.mean(axis=3).astype(np.float32)
    surest = pixels[probabilities(model.eval().forward(x)).max(1).argmax()]
    caption = "One picture (of those measured here the one that the network is surest of) in eight layers"
    lab.figure(viz.feature_maps_figure(model, surest), caption, "feature_maps", shows_data=True)
    rows, by_depth = [], []
    for name, y in model.eval().forward(x, layers=list(viz.feature_maps(model, x[:1]))).items():
        own, other = [], []
        for n in range(len(y)):
            maps = y[n].reshape(len(y[n]), -1)
            for found, picture in ((own, n), (other, n - 1)):
                found.append(np.abs(correlations(maps, shrunk(brightness[picture], y.shape[2:]).ravel())).mean())
        by_depth.append((float(np.mean(own)), float(np.mean(other))))
        rows.append([name, " x ".join(map(str, y.shape[1:])), *(f"{r:.2f}" for r in by_depth[-1])])
    lab.text(
        "How much of the picture itself is left in a map? The mean absolute correlation of maps with the picture's brightness, "
        f"over {len(pixels)} pictures, and beside it with that of another picture: so much is chance, more in smaller maps."
    )
    lab.table(["layer", "channels x height x width", "with its picture", "with another"], rows)
    excess = [own - other for own, other in by_depth]
    lab.text(
        f"Above chance it is {excess[0]:.2f} in the {rows[0][0]}, {excess[len(rows) // 2]:.2f} in {rows[len(rows) // 2][0]} "
        f"and {excess[-1]:.2f} in the {rows[-1][0]}: "
        + ("the higher the layer, the less it is a picture of the picture." if excess[0] > 2 * excess[-1] else "it stays.")
    )
    return by_depth


def correlations(maps, b):
    """Pearson's r of each map (C, P) with b (P,); 0 for a map that is the same everywhere."""
    maps, b = maps - maps.mean(1, keepdims=True), b - b.mean()
    return maps @ b / np.maximum(np.linalg.norm(maps, axis=1) * np.linalg.norm(b), 1e-12)


# ---- 3. where the answer comes from


def heats_of(model, x, k, stride):
    """The three maps of each picture for classes k, and the probability with nothing covered."""
    covered, p = viz.occlusion(model, x, k, patch_size=max(stride * 2, 40), stride=stride)
    maps = {"saliency": viz.saliency(model, x, k), "occlusion": np.maximum(p[:, None, None] - covered, 0)}
    return maps | {"Grad-CAM": viz.grad_cam(model, x, k)}, p


def where(lab, model, pixels, labels):
    """Saliency, occlusion and Grad-CAM: how far they agree, whether they point at what counts, and at what class."""
    lab.text("## Where the answer comes from")
    stride = 56 if lab.quick else 20
    places, per_seed = -(-224 // stride), 3 if lab.quick else 8
    agree = {pair: [] for pair in (("Grad-CAM", "occlusion"), ("saliency", "occlusion"), ("saliency", "Grad-CAM"))}
    left = {name: [] for name in ["nothing covered", "chance", *METHODS]}
    other_class = {"saliency": [], "Grad-CAM": []}
    shown = None
    for seed in lab.seeds:
        rng = np.random.default_rng(seed)
        drawn = np.sort(rng.choice(len(pixels), per_seed, replace=False))
        x, k = model.preprocessing.normalise(pixels[drawn]), labels[drawn]
        heats, p = heats_of(model, x, k, stride)
        cells = {name: cells_of(viz.upsample(heat, x.shape[2:]), places) for name, heat in heats.items()}
        for pair, found in agree.items():
            found += rank_correlation(*(cells[name] for name in pair))
        left["nothing covered"] += p.tolist()
        for name, ranks in (cells | {"chance": rng.random(cells["saliency"].shape)}).items():
            left[name] += probability_without(model, x, ranks, places)[np.arange(per_seed), k].tolist()
        others = rng.integers(0, 1000, per_seed)
        for name, look in (("saliency", viz.saliency), ("Grad-CAM", viz.grad_cam)):
            of_other = cells_of(viz.upsample(look(model, x, others), x.shape[2:]), places)
            other_class[name] += rank_correlation(cells[name], of_other)
        if shown is None:
            best = np.argsort(-p)[:4]
            titles = [f"{model.classes[k[i]][:20]} {100 * p[i]:.0f} %" for i in best]
            shown = viz.heatmaps_figure(pixels[drawn[best]], {name: heat[best] for name, heat in heats.items()}, titles)
        print(f"seed {seed}: {per_seed} pictures", flush=True)
    caption = "Four pictures with the probability of their class, and where that comes from by three methods. "
    caption += "Each map is scaled to its own maximum; the brighter, the more influence"
    lab.figure(shown, caption, "where", shows_data=True)
    n = per_seed * len(lab.seeds)
    lab.text(f"Over {n} pictures, rank correlation of the maps of the right class on {places} x {places} cells, mean ± 95 %:")
    lab.table(["maps", "correlation"], [[" and ".join(pair), interval(values)] for pair, values in agree.items()])
    lab.text(
        f"How probable is the right class when the {100 * COVERED:.0f} % of the cells where a map is highest are covered with "
        "grey? The less, the better the map points at what counts."
    )
    gains = {name: difference(left["chance"], left[name]) for name in METHODS}
    rows = [[name, percent(values), gains.get(name, "")] for name, values in left.items()]
    lab.table(["cells chosen by", "probability, %", "lower than by chance, points"], rows)
    surely = [name for name in METHODS if gains[name].sign == 1]
    lab.text(
        f"Surely better than chance: {words(surely) or 'none'}. A map for a class drawn at random has a rank correlation of "
        f"{interval(other_class['saliency'])} with that for the right class by saliency, and of "
        f"{interval(other_class['Grad-CAM'])} by Grad-CAM: the lower, the more the map is about this class and no other."
    )
    return {"agree": {" and ".join(pair): values for pair, values in agree.items()}, "left": left, "other_class": other_class}


def probability_without(model, x, ranks, places):
    """Probabilities (N, K) with the highest COVERED share of places x places cells covered by grey."""
    hidden = np.argsort(np.argsort(-ranks, axis=1), axis=1) < round(COVERED * places * places)
    cell = np.minimum(np.arange(x.shape[2]) * places // x.shape[2], places - 1)
    covered = hidden.reshape(-1, places, places)[:, cell][:, :, cell]
    return probabilities(model.eval().forward(np.where(covered[:, None], np.float32(0), x)))


def interval(values):
    mean, half = mean_and_interval(values)
    return f"{mean:.2f} ± {half:.2f}"


def main() -> None:
    lab = Experiment.from_arguments(__file__, "Looking inside EfficientNet-Lite0")
    model = load("efficientnet_lite0")
    pixels, labels = imagenet(lab, model)
    results = {}
    filters(lab, model)
    results["correlation_with_brightness"] = maps_through_depth(lab, model, pixels[10 : 14 if lab.quick else 26])
    results["where"] = where(lab, model, pixels, labels)
    results["neighbours"] = neighbours(lab, model)
    results["map"] = codes_on_a_plane(lab, model, pixels, labels)
    results["cells"] = solar(lab, model)
    lab.finish(results)


if __name__ == "__main__":
    main()
