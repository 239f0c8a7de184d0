"""What ``minicnn transfer`` can be asked for, and how much work each of its modes does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..transfer.surgery import MORE_FROZEN

# From cheap to dear: of those that are about equally good, the first is recommended.
STRATEGIES = {
    "svm": "linear SVM on CNN codes",
    "softmax": "softmax classifier on CNN codes",
    "finetune-upper": "fine-tune the upper layers",
    "finetune-more": "then fine-tune more layers",
}


@dataclass(frozen=True)
class Preset:
    """How much work a mode does: seeds, and (epochs, views of each picture, learning rate of the head) for the two phases of
    fine-tuning. A single epoch of the second phase can only refine what the first has found, with a lower rate; ten can
    afford to leave it and find something better. ``frozen`` is the share of the multiply-adds that stays frozen from the second
    phase on. With so many epochs a fixed number of views is learned by heart (95 % of the training cells right, and validation
    stands still), so there each picture is varied anew each time (0 views).

    Only the full mode turns cells by quarters: that a turned cell is still a cell takes more than a few epochs to learn, and in
    four of them it costs more than it brings. And only the full mode takes the mean of a network's scores over all versions of
    a test picture that the augmentation holds for the same: with turned cells that is eight times the work.

    ``final`` has (epochs, learning rate, scale) of a last phase: once the best epoch is known, the network goes on from there,
    on training and validation pictures together (as the linear classifiers do), each varied anew each time. ``scale`` is how
    much larger the pictures get: what is a pixel wide, as a crack in a cell, is then seen (Touvron et al. 2019, "Fixing the
    train-test resolution discrepancy", which trains small and ends large).
    """

    linear_seeds: int
    finetune_seeds: int
    upper: tuple[int, int, float]
    more: tuple[int, int, float]
    frozen: float = MORE_FROZEN
    final: tuple[int, float, float] | None = None
    quarter_turns: bool = False
    all_versions: bool = False
    pictures: int | None = None


PRESETS = {
    "quick": Preset(2, 1, upper=(2, 1, 2e-3), more=(1, 1, 1e-3), pictures=600),
    "default": Preset(3, 1, upper=(4, 3, 2e-3), more=(1, 2, 1e-3)),
    "full": Preset(
        5,
        3,
        upper=(4, 4, 2e-3),
        more=(10, 0, 2e-3),
        frozen=0.1,
        final=(10, 1e-3, 1.34),
        quarter_turns=True,
        all_versions=True,
    ),
}


@dataclass
class Settings:
    """What ``minicnn transfer`` was asked for. None means: whatever the mode does."""

    data: str | None = None
    model: str = "efficientnet_lite0"
    strategies: tuple[str, ...] = tuple(STRATEGIES)
    layer: str | None = None
    seeds: int | None = None
    first_seed: int = 0
    epochs: int | None = None
    mode: str = "default"
    out: Path = Path("transfer-report")
    progress: bool = True
    command: str = "minicnn transfer"

    def __post_init__(self) -> None:
        unknown = [name for name in self.strategies if name not in STRATEGIES]
        if unknown or not self.strategies:
            raise ValueError(f"unknown strategy {', '.join(unknown) or '(none given)'}; choose from {', '.join(STRATEGIES)}")
        if self.mode not in PRESETS:
            raise ValueError(f"unknown mode {self.mode!r}; choose from {', '.join(PRESETS)}")
