# %% [markdown]
# # Lesson 17. Your own pictures: from a folder to a trained model
#
# **Before**: codes and linear classifiers on them (lesson 11), fine-tuning (lesson 12), when to do what (lesson 13).
#
# **After**: you can take a folder of pictures that you have never seen, find out what is in it and what is wrong with it,
# divide it so that the test means something, train a classifier, say how good it is and how sure that is, look at its
# mistakes, and hand out a file that answers as it did here.
#
# This is the capstone: bring your own folder, with one folder for each class in it.
#
#     minicnn lesson 17 --data pictures/
#
# Without `--data` it takes the ants and bees, if they are in the folder that `MINICNN_DATA` names, else the solar cells. What
# it claims is written so that it should hold for any collection that a pretrained network can do something with. If a claim
# does not hold for yours, that is worth knowing: the text says what it would mean.
#
# All numbers are measured as it runs, and the figures go to `out/` beside it. Then do the exercise: `minicnn check 17`.

# %%
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

import minicnn
from minicnn.course.workbench import (
    BLUE,
    GREEN,
    GREY,
    QUICK,
    claim,
    find_data,
    picture_grid,
    print_claims,
    save,
    section,
)
from minicnn.data import findings_table, open_pictures, solar_cells
from minicnn.data.splits import split_pictures, stratified_subset
from minicnn.errors import DataError, WeightsError
from minicnn.linear_model import SoftmaxRegression, choose_regularisation
from minicnn.transfer import extract_features, set_head, with_new_head
from minicnn.transfer.metrics import confusion_matrix
from minicnn.transfer.near_duplicates import find_near_duplicates, grouped
from minicnn.transfer.surgery import default_layer

HERE = Path(globals().get("__file__", "lesson.py")).resolve().parent
rng = np.random.default_rng(17)

# %% [markdown]
# ## 1. What have you got?
#
# Look before you compute. How many pictures of which class? What else is in the folder? Many disappointments with small
# collections are decided here: a class with nine pictures, screenshots among the photographs, drawn masks beside them, all
# pictures of one class taken on a rainy day.
#
# `open_pictures` says what it found, what it left out, and what it assumed. Read that, and look at some pictures of each class,
# drawn at random and not picked.

# %%
section("1. What have you got?")
given = sys.argv[sys.argv.index("--data") + 1] if "--data" in sys.argv else find_data("ants-bees.zip")
try:
    collection = open_pictures(given) if given else solar_cells()
    model = minicnn.load("efficientnet_lite0")
except DataError as error:
    sys.exit(f"This lesson needs pictures. {error}")
except WeightsError as error:
    sys.exit(f"This lesson needs the pretrained network. {error}")
found = len(collection)
collection = stratified_subset(collection, 150 if QUICK else 400)
pixels, collection = collection.fitted(model.preprocessing, progress=False)
classes, labels = collection.classes, collection.labels
parts = split_pictures(collection, seed=0)
print(findings_table(collection, parts))
if found > len(labels):
    print(f"(of {found} pictures {len(labels)} are used here; minicnn transfer would use all)")
K, counts = len(classes), np.bincount(labels, minlength=len(classes))
shown = np.argsort(-counts, kind="stable")[:4]
figure, axes = picture_grid(len(shown), 6, 1.3)
for row, k in zip(axes, shown, strict=True):
    row[0].set_ylabel(classes[k][:14], fontsize=9)
    for ax, i in zip(row, rng.permutation(np.flatnonzero(labels == k)), strict=False):
        ax.imshow(pixels[i].squeeze())
figure.suptitle("Pictures of some classes, drawn at random", y=0.96)
save(figure, HERE, "pictures")

# %% [markdown]
# ## 2. The same picture twice
#
# Collections from the web have the same picture under several names: saved again, cropped, mirrored. Films and burst
# photographs are full of pictures that are nearly the same. If one copy is trained on and the other tested with, the test asks
# what the network has learned by heart. Everything that belongs together (copies, frames of one film, pictures of one patient)
# has to be in the same part. Nobody can see that from a file; often only you know. Pairs that look nearly the same can be
# found, though, and are put into one part here.
#
# How bad is it? We plant copies: mirrored and slightly cropped versions of half of the test pictures are put among the training
# pictures, and the classifier is the simplest that there is, the nearest neighbour in code space.

# %%
section("2. The same picture twice")
codes = extract_features(model, pixels, progress=False)
pairs = find_near_duplicates(codes, pixels).pairs
part_of = np.empty(len(labels), object)
for part, rows in parts.items():
    part_of[rows] = part
across = sum(part_of[a] != part_of[b] for a, b in pairs)
print(f"{len(pairs)} pairs of pictures are nearly the same, {across} of them in different parts: now in one")
parts = grouped(parts, pairs)


def altered(picture):
    """Mirrored, and cropped to its central nine tenths."""
    height, width = picture.shape[:2]
    box = (width // 20, height // 20, width - width // 20, height - height // 20)
    image = Image.fromarray(picture.squeeze()).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR, box=box)).reshape(picture.shape)


def unit_length(z):
    return z / np.linalg.norm(z, axis=1, keepdims=True)


def nearest_class(z_train, y_train, z):
    """The class of the training code with the largest cosine."""
    return y_train[(unit_length(z) @ unit_length(z_train).T).argmax(axis=1)]


train, val, test = (parts[name] for name in ("train", "val", "test"))
copied = rng.permutation(test)[: len(test) // 2]
copies = extract_features(model, np.stack([altered(pixels[i]) for i in copied]), progress=False)
honest = nearest_class(codes[train], labels[train], codes[test]) == labels[test]
with_copies = (
    nearest_class(np.concatenate([codes[train], copies]), np.concatenate([labels[train], labels[copied]]), codes[test])
    == labels[test]
)
print(f"nearest neighbour: {honest.mean():.1%} of the test pictures right;", end=" ")
print(f"with copies of half of them {with_copies.mean():.1%}")
claim(
    "Altered copies of test pictures among the training pictures make the test look better than it is.",
    f"{honest.mean():.1%} without, {with_copies.mean():.1%} with copies of half of them",
    with_copies.mean() > honest.mean() + 0.01,
)

# %% [markdown]
# (If your collection has no mistakes to begin with, copies cannot make it look better.)
#
# ## 3. How many test pictures?
#
# A test is a sample, and its accuracy has an error. Of $n$ independent pictures a share $p$ is right; its standard deviation is
#
# $$\sqrt{p (1 - p) / n}.$$
#
# Near 0 and 1, and for few pictures, the interval $p \pm 1.96$ times that is wrong: nine of nine right would be certain to the
# last digit. **Wilson's interval** asks instead which true shares $\pi$ make what was seen not too unlikely, $|p - \pi| \le z
# \sqrt{\pi(1 - \pi)/n}$, and solves for $\pi$:
#
# $$\frac{p + \frac{z^2}{2n} \pm z \sqrt{\frac{p(1-p)}{n} + \frac{z^2}{4n^2}}}{1 + \frac{z^2}{n}}, \qquad z = 1.96
# \text{ for } 95\,\%.$$
#
# We can check both on tests that are drawn with a known true share.

# %%
section("3. How sure is a test?")


def wilson(right, n, z=1.96):
    p = right / n
    middle, half = p + z * z / (2 * n), z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)


def naive(right, n, z=1.96):
    p = right / n
    half = z * np.sqrt(p * (1 - p) / n)
    return p - half, p + half


true_share, covered = 0.95, {}
for n in (20, 50, 150, 500):
    right = rng.binomial(n, true_share, 20_000)
    for name, interval in (("naive", naive), ("Wilson", wilson)):
        low, high = interval(right, n)
        covered[name, n] = ((low <= true_share) & (true_share <= high)).mean()
    low, high = wilson(round(true_share * n), n)
    print(f"{n:>4} test pictures, {true_share:.0%} right: {low:.1%} to {high:.1%}; the true share is within", end=" ")
    print(f"{covered['naive', n]:.1%} of the naive intervals and {covered['Wilson', n]:.1%} of Wilson's")
claim(
    "Of twenty test pictures, the naive interval misses the true share far more than once in twenty; Wilson's does not.",
    f"true share within {covered['naive', 20]:.1%} and {covered['Wilson', 20]:.1%} of the intervals",
    covered["naive", 20] < 0.85 and covered["Wilson", 20] > 0.9,
)

# %% [markdown]
# ## 4. From the simplest to what is good enough
#
# Begin with what costs nothing, so that you know what every further step brings: always answering the most frequent class; a
# linear classifier on small pixels; the nearest neighbour and a linear classifier on codes. If pixels are as good as codes,
# something is off: the pictures can be told apart by brightness or by a frame, and the network would learn that, too.
#
# Everything is chosen on validation pictures. The test pictures wait.

# %%
section("4. From the simplest to what is good enough")


def small(pictures, side=16):
    resized = [np.asarray(Image.fromarray(p.squeeze()).resize((side, side), Image.Resampling.BOX)) for p in pictures]
    return np.stack(resized).reshape(len(pictures), -1).astype(np.float32) / 255


raw = small(pixels)
features = {"small pixels": raw - raw[train].mean(axis=0), "codes": codes}
choices = {
    name: choose_regularisation(SoftmaxRegression, x[train], labels[train], x[val], labels[val]) for name, x in features.items()
}
by = {"the most frequent class": (labels[val] == np.bincount(labels[train]).argmax()).mean()}
by["linear, small pixels"] = choices["small pixels"].point.val_accuracy
by["nearest neighbour, codes"] = (nearest_class(codes[train], labels[train], codes[val]) == labels[val]).mean()
by["linear, codes"] = choices["codes"].point.val_accuracy
for name, accuracy in by.items():
    print(f"{name:<26} {accuracy:.1%} of {len(val)} validation pictures")
claim(
    "A linear classifier on codes is better than always answering the most frequent class.",
    f"{by['linear, codes']:.1%} and {by['the most frequent class']:.1%} of {len(val)} validation pictures",
    by["linear, codes"] > by["the most frequent class"],
)

# %% [markdown]
# ## 5. Would more pictures help?
#
# Before you go out and make more, measure it: train on an eighth of the training pictures, on a quarter, on half, on all. If
# the curve still rises, more pictures will help: twice as many about as much as the last doubling did, or less. If it is flat,
# they will not; then look at the labels, at the pictures, or at the network. (The bars say how far subsets of one size differ.
# The validation pictures are the same for all, and their number limits what can be seen: section 3.)

# %%
section("5. Would more pictures help?")
strength = choices["codes"].point.regularisation
sizes, curve = [], []
for share in (0.125, 0.25, 0.5, 1.0):
    runs = []
    for seed in range(1 if share == 1 else 8):
        order = np.random.default_rng(seed).permutation(train)
        of_class = [order[labels[order] == k] for k in range(K)]
        rows = np.concatenate([members[: max(1, round(share * len(members)))] for members in of_class])
        runs.append(SoftmaxRegression(strength).fit(codes[rows], labels[rows]).score(codes[val], labels[val]))
    sizes.append(len(rows))
    curve.append((np.mean(runs), np.std(runs)))
    print(f"{sizes[-1]:>5} training pictures: {curve[-1][0]:.1%} ± {curve[-1][1]:.1%} of the validation pictures")
figure, ax = plt.subplots(figsize=(4.6, 3), layout="tight")
ax.errorbar(sizes, [100 * mean for mean, _ in curve], [100 * std for _, std in curve], marker="o", color=BLUE, capsize=3)
ax.axhline(100 * by["the most frequent class"], color=GREY, lw=0.8, ls="--", label="the most frequent class")
ax.legend(fontsize=8)
ax.set(xscale="log", xlabel="training pictures", ylabel="accuracy %, validation", title="Would more pictures help?")
ax.set_xticks(sizes, [str(size) for size in sizes])
ax.minorticks_off()
save(figure, HERE, "learning_curve")
claim(
    "Trained on an eighth of the pictures, a linear classifier on codes is worse than trained on all.",
    f"{curve[0][0]:.1%} and {curve[-1][0]:.1%} of the validation pictures",
    curve[0][0] < curve[-1][0],
)

# %% [markdown]
# ## 6. A rare class
#
# Where one class is rare, accuracy deceives: who never finds it is right nearly always. **Balanced accuracy** is the mean of
# the classes' recalls $r_k$ (the share of class $k$ that was found), so that each class counts the same; F1 of a class is the
# harmonic mean of its recall and its precision (the share of the answers $k$ that are right). And the loss can be told that
# the rare ones matter: each sample gets the weight of its class,
#
# $$L = \frac{\sum_n c_{y_n} \ell_n}{\sum_n c_{y_n}}, \qquad c_k = \frac{N}{K N_k}.$$
#
# (The engine's losses divide by $N$ instead. With these weights the sum over all training samples is $N$, so over the whole set
# the two are the same.)
#
# We make a class rare on purpose: of the second largest class only a tenth of the training pictures stays.

# %%
section("6. A rare class")
rare = int(np.argsort(-counts, kind="stable")[1])
pool = rng.permutation(train[labels[train] == rare])
rows = np.concatenate([train[labels[train] != rare], pool[: max(2, len(pool) // 10)]])


def recalls(answers, y):
    confusion = confusion_matrix(y, answers, K)
    return np.diag(confusion) / np.maximum(confusion.sum(axis=1), 1)


found_of = {}
for name, weight in (("all alike", None), ("by class", "balanced")):
    classifier = SoftmaxRegression(strength, class_weight=weight).fit(codes[rows], labels[rows])
    answers = classifier.predict(codes[val])
    found_of[name] = recalls(answers, labels[val])
    print(f"weights {name:<9}: accuracy {np.mean(answers == labels[val]):.1%}, balanced {found_of[name].mean():.1%},", end=" ")
    print(f"{classes[rare]} found: {found_of[name][rare]:.1%}")
claim(
    "With a class thinned to a tenth, weights by class find no less of it than weights that are all alike.",
    f"{found_of['by class'][rare]:.1%} and {found_of['all alike'][rare]:.1%} of its validation pictures",
    found_of["by class"][rare] >= found_of["all alike"][rare],
)

# %% [markdown]
# ## 7. The test, once
#
# Now, and only now, the test pictures. With the chosen regularisation the classifier is trained again on training and
# validation pictures together. Then the numbers, with their interval, and then the part that is worth most: **look at the
# mistakes**. The surest ones first. Some labels may be wrong, some pictures may show two classes or none, and some may show
# what the network looks at instead of what you mean.

# %%
section("7. The test, once")
classifier = choices["codes"].final
probabilities = classifier.predict_proba(codes[test])
answers = probabilities.argmax(axis=1)
right = answers == labels[test]
confusion = confusion_matrix(labels[test], answers, K)
low, high = wilson(right.sum(), len(test))
print(f"{right.sum()} of {len(test)} test pictures right: {right.mean():.1%}; 95 % interval {low:.1%} to {high:.1%}")
print(f"balanced accuracy {recalls(answers, labels[test]).mean():.1%}")
for k in np.argsort(recalls(answers, labels[test]))[:10]:
    print(f"  {classes[k]:<20} {confusion[k, k]} of {confusion[k].sum()} found")

sure = probabilities.max(axis=1)
wrong = np.flatnonzero(~right)
wrong = wrong[np.argsort(-sure[wrong])][:6]
figure, axes = picture_grid(1, 7, 1.5)
axes[0, 0].imshow(confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1), cmap="Blues", vmin=0, vmax=1)
axes[0, 0].set(xlabel="said", ylabel="true", title="confusion")
if K <= 6:
    axes[0, 0].set_xticks(range(K), [name[:4] for name in classes], fontsize=7)
    axes[0, 0].set_yticks(range(K), [name[:4] for name in classes], fontsize=7)
for ax, i in zip(axes[0, 1:], wrong, strict=False):
    ax.imshow(pixels[test[i]].squeeze())
    ax.set_title(f"said {classes[answers[i]][:12]}\n{100 * sure[i]:.0f} % sure", fontsize=7)
    ax.set_xlabel(classes[labels[test[i]]][:12], fontsize=8)
figure.suptitle("The surest mistakes (below: the label)", y=1.2)
save(figure, HERE, "mistakes")

# %% [markdown]
# ## 8. When it should say nothing
#
# Probabilities are worth something only if they mean what they say: of the answers given with 80 %, about 80 % should be right.
# The **reliability** of a classifier compares the two in bins of equal width; the mean difference, weighted by how many
# answers are in a bin, is the expected calibration error
#
# $$\mathrm{ECE} = \sum_b \frac{n_b}{N} \left| \text{right}_b - \text{confidence}_b \right|.$$
#
# Above the diagonal a classifier is less sure than it might be, as strongly regularised ones are; below, it is too sure. One
# factor for all scores often mends it (`minicnn.linear_model.calibrate` finds the factor on validation pictures). With few test
# pictures the error is never 0, even for perfect probabilities. Whatever the scale, the order is of use: leave the least sure
# half to a human, and the rest has fewer mistakes.

# %%
section("8. When it should say nothing")
edges = np.linspace(0, 1, 11)
bins = np.clip(np.digitize(sure, edges) - 1, 0, 9)
filled = [b for b in range(10) if (bins == b).any()]
shares = np.array([right[bins == b].mean() for b in filled])
confidences = np.array([sure[bins == b].mean() for b in filled])
sizes_of_bins = np.array([(bins == b).sum() for b in filled])
error = np.sum(sizes_of_bins * np.abs(shares - confidences)) / len(test)
order = np.argsort(-sure)
halves = right[order[: len(order) // 2]].mean(), right[order[len(order) // 2 :]].mean()
print(f"expected calibration error {error:.3f}; right: {halves[0]:.1%} of the surer half, {halves[1]:.1%} of the other")
figure, (left_axes, right_axes) = plt.subplots(1, 2, figsize=(8, 3), layout="tight")
left_axes.plot([0, 1], [0, 1], color=GREY, lw=0.8, ls="--")
left_axes.scatter(confidences, shares, s=10 + 300 * sizes_of_bins / len(test), color=BLUE)
left_axes.set(xlabel="confidence", ylabel="share that is right", title="Reliability (area: how many)")
kept = np.arange(1, len(order) + 1)
right_axes.plot(100 * kept / len(order), 100 * np.cumsum(right[order]) / kept, color=GREEN)
right_axes.set(xlabel="answers given, % (the surest first)", ylabel="of these right, %", title="Saying nothing when unsure")
save(figure, HERE, "reliability")
claim(
    "Of the half of the answers that it is surer of, no fewer are right than of the other half.",
    f"{halves[0]:.1%} and {halves[1]:.1%}",
    halves[0] >= halves[1],
)

# %% [markdown]
# ## 9. A file that answers
#
# The classifier is a matrix, and the network below it ends in codes: together they are one network. `set_head` writes the one
# into the other; the file keeps the weights, the names of the classes and how pictures are to be prepared. What counts is
# that the file, read again, gives the answers that were tested. Check that each time; it finds forgotten preprocessing, swapped
# classes, and dropout that was left on.

# %%
section("9. A file that answers")
network = with_new_head(model, default_layer(model), classes)
set_head(network, classifier)
path = HERE / "out" / "model.h5"
network.save(path)
again = minicnn.load(path)
batch = again.preprocessing.normalise(pixels[test])
file_scores = np.concatenate([again.eval().forward(batch[i : i + 32]) for i in range(0, len(batch), 32)])
same = (file_scores.argmax(axis=1) == answers).mean()
print(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB; the same answer for {same:.1%} of the test pictures")
print(f"one picture: {again.top_classes([pixels[test[0]].squeeze()], top=2)[0]}; its label is {classes[labels[test[0]]]}")
claim(
    "The saved model, read again, gives the answers that were tested.",
    f"{same:.1%} of {len(test)} answers are the same",
    same == 1,
)

# %% [markdown]
# ## 10. What the one command adds
#
# `minicnn transfer --data pictures/` does all this: it looks for copies, divides, tries linear classifiers, and fine-tuning
# that begins where they end, chooses on pictures that are held out (in four folds where there are few, as here), tests once,
# and writes a report with curves, confusion matrix and worst mistakes.
# `minicnn advise` says beforehand what is worth trying, `minicnn predict MODEL.h5 new/ --reject` answers "none of these" for
# pictures unlike all that it was trained on. You have now written or measured each part of it.
#
# ## What this lesson claims
#
# - Altered copies of test pictures among the training pictures make the test look better than it is.
# - Of twenty test pictures, the naive interval misses the true share far more than once in twenty; Wilson's does not.
# - A linear classifier on codes is better than always answering the most frequent class.
# - Trained on an eighth of the pictures, a linear classifier on codes is worse than trained on all.
# - With a class thinned to a tenth, weights by class find no less of it than weights that are all alike.
# - Of the half of the answers that it is surer of, no fewer are right than of the other half.
# - The saved model, read again, gives the answers that were tested.

# %%
print_claims()

# %% [markdown]
# ## Questions
#
# **1.** You photograph leaves of 40 plants, 25 pictures of each plant, half of the plants ill. You divide the 1,000 pictures at
# random. The test says 99 %. Why do you not believe it?
#
# <details><summary>Answer</summary>
#
# Pictures of one plant are in all parts, and a network can recognise the plant: its pot, its light, its place. That tells it
# whether it is ill without a look at the disease. Divide the plants, not the pictures; then there are 40 independent
# things, and the interval of the test is that of a handful of plants.
#
# </details>
#
# **2.** Two classifiers get 92 and 94 % of the same 100 test pictures. Is the second one better?
#
# <details><summary>Answer</summary>
#
# Nobody can tell from that. The standard deviation of each is more than two points. Better than to compare two intervals is to
# count the pictures that only one of them got right: if it is 5 against 3, a coin would do that as well.
#
# </details>
#
# **3.** You try twelve networks, and report the test accuracy of the one with the best test accuracy. What is wrong with the
# number, and what would be right?
#
# <details><summary>Answer</summary>
#
# The best of twelve noisy numbers is too good: the test pictures were used for a choice. Choose on validation pictures, and
# look at the test with the chosen one only. If the test pictures have been used already, only new ones can say how good it is.
#
# </details>
#
# ## Further reading
#
# - Wilson 1927, "Probable Inference, the Law of Succession, and Statistical Inference": the interval.
# - Barz, Denzler 2020, "Do We Train on Test Data? Purging CIFAR of Near-Duplicates", sections 3 and 4: copies in a set that
#   everybody uses.
# - Guo, Pleiss, Sun, Weinberger 2017, "On Calibration of Modern Neural Networks", sections 2 and 4.
# - Northcutt, Athalye, Mueller 2021, "Pervasive Label Errors in Test Sets Destabilize Machine Learning Benchmarks".
#
# ## Next
#
# The exercise: fill in `exercise.py`, and run `minicnn check 17`. It is the last one. After that, take pictures that matter to
# you, and train a network that somebody uses.
