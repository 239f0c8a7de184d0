"""Two classes, one sigmoid: from scratch, on bottleneck features, fine-tuned; and beside one score two under a softmax.

The ladder of Chollet 2016, "Building powerful image classification models using very little data" (the Keras blog), where 2,000
pictures of cats and dogs gave 80 % to a small network from scratch, 90 % on bottleneck features of VGG-16, and 94 % after
fine-tuning its top block. Here: ants and bees, a tenth of the pictures, and EfficientNet-Lite0.

    python lessons/laboratory/one_sigmoid.py [--quick] [--seeds N] [--out FOLDER]
"""

import sys
import time
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
from lab import Experiment, mean_and_interval, percent
from matplotlib.ticker import MaxNLocator
from pairs import difference
from PIL import Image

import minicnn
from minicnn.course.workbench import BLUE, GREY, ORANGE
from minicnn.data.augmentation import PHOTOS
from minicnn.data.folders import open_pictures
from minicnn.data.preprocessing import Preprocessing
from minicnn.data.splits import split_pictures, stratified_subset
from minicnn.errors import WeightsError
from minicnn.inference.batches import infer
from minicnn.initializers import msra, normal
from minicnn.layers import (
    Conv2d,
    Dropout,
    Flatten,
    Linear,
    MaxPool2d,
    ReLU,
)
from minicnn.losses import BinaryLogistic
from minicnn.models import Model
from minicnn.models.predictions import probabilities
from minicnn.optim import AdamW
from minicnn.schedules import one_cycle
from minicnn.training import Trainer
from minicnn.transfer.feature_bank import build_feature_bank
from minicnn.transfer.finetune import Phase, fine_tune
from minicnn.transfer.sigmoid_head import loss_of, to_one_sigmoid, train_head, with_small_head

TOP = "block14"  # the last layer that stays frozen: the top block and the 1x1 convolution above it are fine-tuned
SIDE = 96  # pixels: the pictures of the network from scratch
STEPS = ("from scratch", "bottleneck features", "then fine-tuned")
HEADS = {1: "one sigmoid", 2: "two softmax outputs"}


def small_net(classes, rng):
    """The post's: three 3x3 convolutions of 32, 32 and 64 filters, each with a pool, and a layer of 64 before the one score."""
    rng = np.random.default_rng(rng)
    layers, channels = {}, 3
    for k, filters in enumerate((32, 32, 64), start=1):
        layers |= {f"conv{k}": Conv2d(channels, filters, 3, pad=1, rng=rng), f"relu{k}": ReLU(), f"pool{k}": MaxPool2d(2)}
        channels = filters
    layers["flatten"] = Flatten()
    layers["hidden"] = Linear(64 * (SIDE // 8) ** 2, 64, initializer=msra, rng=rng)
    layers |= {"relu4": ReLU(), "dropout": Dropout(0.5, rng), "score": Linear(64, 1, initializer=normal(0.01), rng=rng)}
    preprocessing = Preprocessing(size=SIDE, mean=128, std=64)
    return Model(layers, architecture="small net", input_shape=(3, SIDE, SIDE), preprocessing=preprocessing, classes=classes)


def from_scratch(pixels, y, classes, epochs, seed):
    """The small network, trained with augmentation; ``pixels`` and ``y`` are dictionaries of the parts."""
    model = small_net(classes, seed)
    trainer = Trainer(
        model,
        BinaryLogistic(),
        AdamW(model.parameters(), 1e-3),
        epochs=epochs,
        batch_size=16,
        schedule=one_cycle(),
        seed=seed,
        augment=PHOTOS,
        prepare=model.preprocessing.normalise,
        monitor="loss",
        label="from scratch",
    )
    return model, trainer.fit(pixels["train"], y["train"], pixels["val"], y["val"])


def predict_proba(model, pixels):
    """Probabilities (N, 2) of pictures at the network's size."""
    return infer(model.fuse(), len(pixels), lambda i: model.preprocessing.normalise(pixels[i]), probabilities)


def one_seed(base, pictures, large, seed, quick):
    """Everything for one draw of training and validation pictures; the test pictures are looked at once a model."""
    parts = split_pictures(pictures, seed)
    y = {part: pictures.labels[rows] for part, rows in parts.items()}
    x = {part: large[rows] for part, rows in parts.items()}
    record = {}

    def note(step, heads, model, history, started):
        p = predict_proba(model, test)
        record[f"{step}, {heads}"] = {
            "accuracy": float(np.mean(p.argmax(1) == y["test"])),
            "loss": float(-np.log(np.maximum(p[np.arange(len(p)), y["test"]], 1e-12)).mean()),
            "epochs": history.epochs,
            "best_epoch": history.best_epoch,
            "seconds": time.perf_counter() - started,
        }
        return p

    started = time.perf_counter()
    small = {part: np.stack([np.asarray(Image.fromarray(one).resize((SIDE, SIDE))) for one in x[part]]) for part in x}
    model, history = from_scratch(small, y, pictures.classes, 2 if quick else 40, seed)
    test = small["test"]
    note(STEPS[0], HEADS[1], model, history, started)

    test, train, val = x["test"], (x["train"], y["train"]), (x["val"], y["val"])
    started = time.perf_counter()
    phase = Phase(
        "fine-tuning", TOP, epochs=2 if quick else 12, learning_rate=2e-4, body_multiplier=1.0, views=2 if quick else 4
    )
    bank = build_feature_bank(base, TOP, phase.views, x["train"], x["val"], PHOTOS, seed)
    bank_seconds = time.perf_counter() - started
    for outputs, heads in HEADS.items():
        model, started = with_small_head(base, pictures.classes, outputs, rng=seed), time.perf_counter()
        history = train_head(model, train, val, epochs=10 if quick else 30, seed=seed)
        note(STEPS[1], heads, model, history, started)
        started = time.perf_counter() - bank_seconds
        history = fine_tune(model, phase, train, val, PHOTOS, seed=seed, bank=bank, loss=loss_of(model))
        p = note(STEPS[2], heads, model, history, started)
        if outputs == 2:
            record["largest difference after conversion"] = float(np.abs(predict_proba(to_one_sigmoid(model), test) - p).max())
        else:
            record["first answer"] = [[name, round(value, 4)] for name, value in model.top_classes(test[0])[0]]
    return record


def draw(records, accuracy):
    """Losses over epochs for the three steps, and the ladder."""
    figure, ((scratch, bottleneck), (tuned, ladder)) = plt.subplots(2, 2, figsize=(9, 6.8), layout="constrained")
    looks = list(zip(HEADS.values(), (BLUE, ORANGE), (-0.12, 0.12), strict=True))
    for axes, step in zip((scratch, bottleneck, tuned), STEPS, strict=True):
        for heads, colour, _ in looks:
            runs = [record[f"{step}, {heads}"]["epochs"] for record in records if f"{step}, {heads}" in record]
            for key, style, part in (("loss", ":", "training"), ("val_loss", "-", "validation")):
                curves = np.array([[epoch[key] for epoch in run] for run in runs])
                if curves.size:
                    epochs = np.arange(1, curves.shape[1] + 1)
                    axes.plot(epochs, curves.mean(0), style, color=colour, label=f"{heads}, {part}")
                    axes.fill_between(epochs, curves.min(0), curves.max(0), color=colour, alpha=0.1, linewidth=0)
        axes.axhline(np.log(2), color=GREY, linewidth=0.8)
        axes.set(title=step, xlabel="epoch", ylabel="loss (nats)", yscale="log", ylim=(1e-3, 2))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    bottleneck.annotate("log 2: not knowing", (0.98, np.log(2)), xycoords=("axes fraction", "data"), ha="right", va="bottom",
                     fontsize=8, color=GREY)  # fmt: skip
    for heads, colour, offset in looks:
        for k, step in enumerate(STEPS):
            values = 100 * np.array(accuracy.get(f"{step}, {heads}", []))
            if len(values):
                mean, half = mean_and_interval(values)
                ladder.plot(np.full(len(values), k + offset), values, "o", color=colour, alpha=0.3, markeredgewidth=0)
                ladder.errorbar(k + offset, mean, np.nan_to_num(half), fmt="_", color=colour, markersize=14, capsize=3)
                low = min(values.min(), mean - np.nan_to_num(half))
                ladder.annotate(f"{mean:.1f}", (k + offset, low), (0, -4), textcoords="offset points", ha="center", va="top",
                                fontsize=8, color=colour)  # fmt: skip
    ladder.plot(range(3), [80, 90, 94], "x--", color=GREY, linewidth=0.8, label="cats and dogs, Chollet 2016")
    low = min(min(values) for values in accuracy.values())
    ladder.set(title="test accuracy: dots are seeds, bars 95 % intervals", ylabel="accuracy (%)", xlim=(-0.5, 2.5))
    ladder.set(ylim=(min(100 * low - 15, 70), 102), xticks=range(3), xticklabels=["scratch", "bottleneck", "fine-tuned"])
    handles = [handle for axes in (bottleneck, ladder) for handle in axes.get_legend_handles_labels()[0]]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=9)
    return figure


def main() -> None:
    lab = Experiment.from_arguments(__file__, "Two classes, one sigmoid", seeds=5)
    try:
        base = minicnn.load("efficientnet_lite0")
    except WeightsError as error:
        sys.exit(f"This experiment needs EfficientNet-Lite0. {error}")
    pictures = open_pictures(lab.data("ants-bees.zip"))
    large, pictures = (stratified_subset(pictures, 80) if lab.quick else pictures).fitted(base.preprocessing)
    records = []
    for seed in lab.seeds:
        records.append(one_seed(base, pictures, large, seed, lab.quick))
        kept = {name: run["accuracy"] for name, run in records[-1].items() if isinstance(run, dict)}
        print(f"seed {seed}: " + "; ".join(f"{name} {100 * value:.1f} %" for name, value in kept.items()), flush=True)

    names = [name for name in records[0] if isinstance(records[0][name], dict)]
    accuracy = {name: [record[name]["accuracy"] for record in records] for name in names}
    sizes = {part: len(rows) for part, rows in split_pictures(pictures, 0).items()}
    lab.text(
        f"{' and '.join(pictures.classes)}: {sizes['train']} pictures to train on, {sizes['val']} to choose the epoch by, "
        f"{sizes['test']} to test with. Mean ± 95 % interval over {len(records)} seeds, which draw the validation pictures, "
        "the new weights, the order and the augmentation."
    )
    rows = [
        [name, percent(accuracy[name]), f"{np.mean([r[name]['loss'] for r in records]):.2f}",
         f"{np.mean([r[name]['seconds'] for r in records]):.0f} s"]
        for name in names
    ]  # fmt: skip
    lab.table(["step, head", "test accuracy, %", "test loss, nats", "time"], rows)
    for before, after in pairwise(STEPS):
        gain = difference(accuracy[f"{after}, {HEADS[1]}"], accuracy[f"{before}, {HEADS[1]}"])
        verdict = {1: "this step of the ladder held", 0: "too little to tell from chance", -1: "here it was a step down"}
        lab.text(f"One sigmoid, {after} against {before}: {gain} points, {verdict[gain.sign]}.")
    for step in STEPS[1:]:
        gap = difference(accuracy[f"{step}, {HEADS[2]}"], accuracy[f"{step}, {HEADS[1]}"])
        verdict = "differ" if gap.sign else "do not differ by more than chance"
        lab.text(f"Two softmax outputs against one sigmoid, {step}: {gap} points, they {verdict}.")
    largest = max(record["largest difference after conversion"] for record in records)
    lab.text(
        f"A network trained with two scores and turned into one with s = s_1 - s_0 gives the same probabilities: the largest "
        f"difference on any test picture was {largest:.1e}. With one score `model.top_classes` names both classes, for example "
        f"{records[0]['first answer']}."
    )
    caption = "Loss over epochs (lines: means over seeds, bands: all seeds) and test accuracy of the three steps"
    lab.figure(draw(records, accuracy), caption)
    lab.finish({"accuracy": accuracy, "records": records})


if __name__ == "__main__":
    main()
