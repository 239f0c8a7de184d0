"""What the experiment on the four scenarios does: data, sizes, epochs and seeds, in full and quick."""

from __future__ import annotations

from dataclasses import dataclass

from real_strategies import SOLAR_CELLS, RealTarget
from small_nets import Recipe

SOURCE = ("airplane", "automobile", "bird", "deer", "frog")
TARGETS = {
    "similar": ("CIFAR-10", ("cat", "dog", "horse", "ship", "truck")),
    "different": ("Fashion-MNIST", ("T-shirt", "pullover", "dress", "coat", "shirt")),
}
TRAINED = ("finetune-upper", "finetune-all", "scratch")  # the strategies that train layers
BODY = 0.3  # what pretrained layers get of the new classifier's learning rate
RATES = {"finetune-upper": (0.003, 0.01, 0.03), "finetune-all": (0.003, 0.01, 0.03), "scratch": (0.001, 0.003, 0.01)}


@dataclass(frozen=True)
class Size:
    """How the small network is used on new data of one size.

    Attributes
    ----------
    per_class : int
        Training pictures of each class.
    epochs : (int, int)
        Of fine-tuning, and of training from scratch, which starts farther away and gets twice as many.
    seeds : int
        At most: with thousands of pictures it matters little which they are, and each run takes minutes.
    folds : int
        Parts of the cross-validation that chooses regularisation and layer.
    tried_on, share : int, float
        Learning rates are tried with the first so many seeds' pictures, for that share of the epochs.
    """

    per_class: int
    epochs: tuple[int, int]
    batch_size: int
    seeds: int
    folds: int
    tried_on: int
    share: float = 1.0

    def recipe(self, strategy: str, rate: float, share: float = 1.0) -> Recipe:
        """How a strategy trains, for a share of its epochs."""
        scratch = strategy == "scratch"
        return Recipe(max(round(share * self.epochs[scratch]), 1), rate, self.batch_size, 1.0 if scratch else BODY)


@dataclass(frozen=True)
class RealCell:
    """What is done with EfficientNet-Lite0 on a collection.

    Attributes
    ----------
    seeds : dict
        Of how many seeds each strategy is run; "linear" stands for both that train no layers. What is not in it is not run.
    """

    target: RealTarget
    size: str
    similarity: str
    recipes: dict[str, Recipe]
    seeds: dict[str, int]


@dataclass(frozen=True)
class Plan:
    """Everything.

    Attributes
    ----------
    most : (int, int)
        Pictures of each class in the pool that training pictures are drawn from, and in the test part.
    source : Recipe
        Of the pretraining.
    sizes : dict of Size
    rates : dict
        Learning rates to choose from, for each strategy that trains layers.
    real : tuple of RealCell
    """

    most: tuple[int, int]
    source: Recipe
    sizes: dict[str, Size]
    rates: dict[str, tuple[float, ...]]
    real: tuple[RealCell, ...]


def real_recipes(epochs: int, scratch_epochs: int, batch_size: int = 16) -> dict[str, Recipe]:
    """With the learning rate of ``minicnn transfer``: trying others is too dear here."""
    tuned = Recipe(epochs, 2e-3, batch_size, BODY)
    return {"finetune-upper": tuned, "finetune-all": tuned, "scratch": Recipe(scratch_epochs, 2e-3, batch_size)}


FULL = Plan(
    most=(5000, 1000),
    source=Recipe(10, 0.01),
    sizes={
        "small": Size(30, (40, 80), 32, seeds=5, folds=5, tried_on=2, share=0.5),
        "middle": Size(300, (12, 24), 32, seeds=3, folds=3, tried_on=1, share=0.5),
        "large": Size(2000, (6, 12), 64, seeds=3, folds=1, tried_on=1, share=0.25),
    },
    rates=RATES,
    real=(
        RealCell(
            RealTarget("ants-bees.zip", 128),
            "small",
            "similar",
            real_recipes(8, 12),
            {"linear": 3, "finetune-upper": 3, "finetune-all": 3, "scratch": 1},
        ),
        RealCell(
            RealTarget(SOLAR_CELLS, 128, most=1600),
            "middle",
            "different",
            real_recipes(4, 0),
            {"linear": 3, "finetune-upper": 1, "finetune-all": 1},  # from scratch takes far longer than there is time for
        ),
    ),
)
QUICK = Plan(
    most=(60, 40),
    source=Recipe(2, 0.01),
    sizes={
        "small": Size(5, (2, 4), 16, seeds=2, folds=1, tried_on=1),
        "large": Size(50, (1, 2), 32, seeds=2, folds=1, tried_on=1),
    },
    rates={strategy: rates[1:2] for strategy, rates in RATES.items()},
    real=(
        RealCell(
            RealTarget("ants-bees.zip", 64, most=48),
            "small",
            "similar",
            real_recipes(1, 1, batch_size=8),
            {"linear": 1, "finetune-upper": 1, "finetune-all": 1, "scratch": 1},
        ),
    ),
)
