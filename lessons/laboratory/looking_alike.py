"""The second half of looking_inside.py: which pictures have similar codes, and where a classifier on them goes wrong."""

from dataclasses import replace

import numpy as np
from PIL import Image

from minicnn import viz
from minicnn.data.cells import solar_cells
from minicnn.data.folders import open_pictures
from minicnn.data.splits import split_pictures, stratified_subset
from minicnn.errors import DataError
from minicnn.inference.batches import infer
from minicnn.linear_model.selection import choose_regularisation
from minicnn.linear_model.softmax_regression import SoftmaxRegression
from minicnn.models.predictions import probabilities
from minicnn.transfer.features import extract_features, pool_features
from minicnn.transfer.surgery import default_layer, set_head, with_new_head

DOGS, ANIMALS = range(151, 269), range(398)  # class numbers of ImageNet: they follow WordNet
KINDS = ["dogs", "other animals", "things"]


def neighbours(lab, model):
    """Ants and bees: the nearest by codes and by pixels. Returns how often they are of the same class."""
    lab.text("## Nearest neighbours")
    pictures = open_pictures(lab.data("ants-bees.zip"))
    pixels, pictures = (stratified_subset(pictures, 80) if lab.quick else pictures).fitted(model.preprocessing)
    codes, raw, y = extract_features(model, pixels), as_rows(pixels), pictures.labels
    everyone = np.arange(len(y))
    shares = {}
    for name, vectors in (("codes", codes), ("pixels", raw)):
        found, _ = viz.nearest_neighbours(vectors, everyone, 5)
        shares[name] = viz.share_of_same_class(y, everyone, found)
    queries = np.random.default_rng(0).choice(everyone, 3, replace=False)
    for name, vectors in (("codes", codes), ("pixels", raw)):
        found, distances = viz.nearest_neighbours(vectors, queries, 5)
        title = f"nearest by the angle between {name}"
        figure = viz.neighbours_figure(pixels, queries, found, distances, y, pictures.classes, title)
        lab.figure(figure, f"Three pictures and those nearest to them by {name}", f"neighbours_by_{name}", shows_data=True)
    lab.text(
        f"Of the five nearest neighbours among {len(y)} pictures of ants and bees {100 * shares['codes']:.0f} % are of the "
        f"same class by codes, {100 * shares['pixels']:.0f} % by pixels; by chance it would be {100 * by_chance(y):.0f} %."
    )
    return shares


def as_rows(pixels, side=16):
    """Pictures shrunk to side x side pixels, as rows, with the mean picture taken off."""
    rows = np.stack([np.asarray(Image.fromarray(one).resize((side, side), Image.Resampling.BOX)).ravel() for one in pixels])
    return rows - rows.mean(axis=0)


def by_chance(y):
    """How often two different pictures are of the same class."""
    counts = np.bincount(y)
    return float((counts * (counts - 1)).sum() / (len(y) * (len(y) - 1)))


def codes_on_a_plane(lab, model, pixels, labels):
    """ImageNet's pictures by PCA and by t-SNE. Returns how often neighbours are of the same kind, in the plane and before."""
    lab.text("## A map of the codes")
    kind = np.where(np.isin(labels, DOGS), 0, np.where(np.isin(labels, ANIMALS), 1, 2))
    lower, preprocessing = model.cut(default_layer(model)).fuse(), model.preprocessing
    codes = infer(lower, len(pixels), lambda i: preprocessing.normalise(pixels[i]), pool_features, "CNN codes")
    codes /= np.linalg.norm(codes, axis=1, keepdims=True)  # so that distances between codes mean angles, as above
    plane, share = viz.pca(codes)
    points, kl = viz.tsne(codes, steps=300 if lab.quick else 1000)
    axis_labels = tuple(f"component {k + 1}, {100 * s:.0f} % of the variance" for k, s in enumerate(share))
    figure = viz.code_map_figure(plane, kind, KINDS, title="Two principal components of the codes", axis_labels=axis_labels)
    lab.figure(
        figure, f"{len(pixels)} pictures of as many classes of ImageNet by two principal components of their codes", "pca"
    )
    figure = viz.code_map_figure(points, kind, KINDS, pixels, title=f"t-SNE of the codes, KL {kl:.2f}")
    lab.figure(figure, "The same by t-SNE, as pictures as far as there is room", "tsne", shows_data=True)
    everyone, shares = np.arange(len(kind)), {}
    for name, vectors, metric in (
        ("pixels", as_rows(pixels), "cosine"),
        ("codes", codes, "cosine"),
        ("codes by PCA, 2 numbers", plane, "euclidean"),
        ("codes by t-SNE, 2 numbers", points, "euclidean"),
    ):
        found, _ = viz.nearest_neighbours(vectors, everyone, 5, metric)
        shares[name] = viz.share_of_same_class(kind, everyone, found)
    counts = ", ".join(f"{sum(kind == k)} {name}" for k, name in enumerate(KINDS))
    lab.text(
        f"{len(kind)} pictures of as many classes: {counts}. Nobody told the network these kinds. How many of a picture's five "
        f"nearest are of its kind (by chance {100 * by_chance(kind):.0f} %):"
    )
    lab.table(["by", "% of the same kind"], [[name, f"{100 * share:.0f}"] for name, share in shares.items()])
    flat = max(("codes by PCA, 2 numbers", "codes by t-SNE, 2 numbers"), key=shares.get)
    lab.text(f"Of the two maps the one {flat.split(',')[0].removeprefix('codes ')} keeps more of what the codes know.")
    return shares


def solar(lab, model):
    """A linear classifier on codes of solar cells: its mistakes, and what speaks for a defect."""
    lab.text("## Solar cells: the most confident mistakes, and what a defect is to the network")
    try:
        pictures = stratified_subset(solar_cells(), 150 if lab.quick else 1000)
    except DataError as error:
        lab.text(f"(Left out: {error})")
        return None
    model.preprocessing = replace(model.preprocessing, fit="stretch", resize=None)
    pixels, pictures = pictures.fitted(model.preprocessing)
    codes, y = extract_features(model, pixels), pictures.labels
    parts = split_pictures(pictures, 0)
    train, val, test = parts["train"], parts["val"], parts["test"]
    chosen = choose_regularisation(SoftmaxRegression, codes[train], y[train], codes[val], y[val])
    ours = with_new_head(model, default_layer(model), list(pictures.classes))
    set_head(ours, chosen.final)
    scores = codes[test] @ ours.classifier.w.value.T + ours.classifier.b.value
    accuracy = float((scores.argmax(1) == y[test]).mean())
    figure = viz.mistakes_figure(pixels[test], y[test], scores, pictures.classes, 8, "softmax classifier on CNN codes")
    lab.figure(figure, "The wrong answers that it was surest of", "mistakes", shows_data=True)
    p = probabilities(scores)
    surest = test[np.argsort(-np.where(y[test] == 1, p[:, 1], 0))[:4]]
    titles = [f"defective {100 * p[test == i, 1].item():.0f} %" for i in surest]
    x = model.preprocessing.normalise(pixels[surest])
    heats = {"saliency": viz.saliency(ours, x, "defective"), "Grad-CAM": viz.grad_cam(ours, x, "defective")}
    figure = viz.heatmaps_figure(pixels[surest], heats, titles)
    lab.figure(figure, "Four defective cells, and what speaks for a defect", "cells", shows_data=True)
    mistakes = viz.confident_mistakes(y[test], scores, len(test))
    sure = np.mean([mistake["confidence"] > 0.9 for mistake in mistakes]) if mistakes else 0.0
    missed = np.mean([mistake["true"] == 1 for mistake in mistakes]) if mistakes else 0.0
    doubtful = pictures.probabilities[test].min(axis=1) > 0.01  # the experts said 1/3 or 2/3
    doubted = doubtful[[mistake["index"] for mistake in mistakes]].mean() if mistakes else 0.0
    lab.text(
        f"A softmax classifier on the codes of {len(train) + len(val)} cells is right for {100 * accuracy:.1f} % of "
        f"{len(test)} others. Of its {len(mistakes)} mistakes {100 * missed:.0f} % are defects that it has missed, and of "
        f"{100 * sure:.0f} % it was more than 90 % sure. The experts who gave the labels were in doubt about "
        f"{100 * doubtful.mean():.0f} % of these cells, and about {100 * doubted:.0f} % of those with a mistake."
    )
    return {
        "accuracy": accuracy,
        "mistakes": len(mistakes),
        "sure": float(sure),
        "missed": float(missed),
        "doubted": float(doubted),
    }
