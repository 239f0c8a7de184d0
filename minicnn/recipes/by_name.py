"""All recipes by their names, and which of them is usual for which data set."""

from __future__ import annotations

from ..data.augmentation import PHOTOS, Augmentation
from ..data.compose import Compose
from ..data.crops import RandomCrop
from ..data.cutout import Cutout
from .base import AdamWRecipe, Recipe
from .muon_speed_run import MuonSpeedRun
from .speed_run import SpeedRun

MIRRORED = Augmentation(horizontal_flip=True)

RECIPES: dict[str, Recipe] = {
    "digits": Recipe("lenet5", epochs=12, augment=Augmentation(shift=0.08, min_scale=0.9)),
    "clothes": Recipe(epochs=20, augment=Compose(MIRRORED, RandomCrop(pad=2)), label_smoothing=0.05),
    # a dropout of 0.5 on 128 units, twice, is so much here that the network hardly begins to learn
    "objects": Recipe(epochs=48, augment=Compose(MIRRORED, RandomCrop(pad=4), Cutout(8)), label_smoothing=0.05, dropout=0.2),
    "speed-run": SpeedRun(),
    "speed-run-muon": MuonSpeedRun(),
    "photographs": Recipe(epochs=30, batch_size=32, learning_rate=0.01, augment=PHOTOS, label_smoothing=0.05),
    "adamw": AdamWRecipe(epochs=30, batch_size=32, augment=PHOTOS),
}

# By data set; for a folder of pictures "adamw".
USUAL = {"mnist": "digits", "fashion-mnist": "clothes", "cifar10": "speed-run"}
