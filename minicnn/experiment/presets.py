"""What ``minicnn transfer`` can be asked for, and how much work each of its modes does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ..data.augmentation import parse_augmentation
from ..transfer.strategies import FINE_TUNING, TRANSFERABLE
from ..transfer.surgery import MORE_FROZEN


class Stage(NamedTuple):
    """A phase of fine-tuning: epochs, views of each picture in the bank (0: no bank), highest learning rate of the layers."""

    epochs: int
    views: int
    learning_rate: float


class FinalStage(NamedTuple):
    """The last phase of fine-tuning: its epochs, the layers' learning rate, and by what factor the pictures get larger."""

    epochs: int
    learning_rate: float
    scale: float


@dataclass(frozen=True)
class Preset:
    """How much work a mode does.

    Attributes
    ----------
    linear_seeds, finetune_seeds : int
        Random splits on which the linear classifiers are trained, and on which layers are fine-tuned.
    upper, more : Stage
        The two phases of fine-tuning. A single epoch of the second can only refine what the first has found, with a lower
        learning rate; ten can afford to leave it and find something better. With so many epochs a fixed number of views is
        memorised (95 % of the training cells right, while validation stands still), so that each picture is augmented anew in
        each epoch (0 views).
    frozen : float
        Share of the multiply-adds that stays frozen from the second phase on.
    final : FinalStage or None
        A last phase: once the best epoch is known, the network is trained further on training and validation pictures together
        (as the linear classifiers are), each augmented anew each time. Larger pictures show what was a pixel wide, as a crack
        in a cell (Touvron et al. 2019, "Fixing the train-test resolution discrepancy", which trains small and ends large).
    quarter_turns : bool
        Whether the augmentation turns solar cells by quarters. It takes more than a few epochs to learn that a turned cell is
        still a cell: in four of them it costs more than it brings.
    test_time_views : bool
        Whether a network's scores are the mean over all views of a test picture that the augmentation regards as equal. With
        turned cells that is eight times the work.
    pictures : int or None
        At most so many, drawn at random within each class; None: all.
    pull : float
        Of all phases: how strongly weights are drawn back to where the phase began (`minicnn.transfer.Phase`).
    explored : int
        How many test pictures the page for exploring the model holds; 0: there is no such page.
    """

    linear_seeds: int
    finetune_seeds: int
    upper: Stage
    more: Stage
    frozen: float = MORE_FROZEN
    final: FinalStage | None = None
    quarter_turns: bool = False
    test_time_views: bool = False
    pictures: int | None = None
    pull: float = 0.01
    explored: int = 24


PRESETS = {
    "quick": Preset(
        linear_seeds=2,
        finetune_seeds=1,
        upper=Stage(epochs=2, views=1, learning_rate=5e-4),
        more=Stage(epochs=1, views=1, learning_rate=2e-4),
        pictures=600,
        explored=0,
    ),
    "default": Preset(
        linear_seeds=3,
        finetune_seeds=1,
        upper=Stage(epochs=4, views=4, learning_rate=5e-4),
        more=Stage(epochs=2, views=3, learning_rate=2e-4),
    ),
    "full": Preset(
        linear_seeds=5,
        finetune_seeds=3,
        upper=Stage(epochs=4, views=4, learning_rate=5e-4),
        more=Stage(epochs=10, views=0, learning_rate=5e-4),
        frozen=0.1,
        final=FinalStage(epochs=10, learning_rate=2.5e-4, scale=1.34),
        quarter_turns=True,
        test_time_views=True,
    ),
}


@dataclass
class Settings:
    """What ``minicnn transfer`` was asked for. None means: as the mode's preset says.

    Attributes
    ----------
    strategies : several keys of `minicnn.transfer.strategies.TRANSFERABLE`, or None
        None: those that suit the number of pictures (`minicnn.experiment.task.TransferTask.strategies`).
    positive : str or None
        The class whose F1 is reported. None: of two classes the smaller one if they are uneven, else the second.
    balance : bool
        Whether each class has the same say in training, however few its pictures are.
    flips : bool
        False: training pictures are not mirrored.
    augment : str or None
        As `minicnn.data.augmentation.parse_augmentation` reads it; None: what suits photographs, or the solar cells.
    group_duplicates : bool
        Whether pictures that are nearly the same are put into one part.
    resume : bool
        Go on with the experiment that was begun in ``out`` and has not finished.
    cluster : str or None
        The address of a cluster's scheduler (`minicnn.runtime.cluster`): the codes are computed there.

    The others are the options of the same names.

    Raises
    ------
    ValueError
        For a strategy that is not one of ``TRANSFERABLE``, for none at all, an unknown mode or augmentation; for less than one
        seed or epoch, or a first seed below 0.
    """

    data: str | None = None
    model: str = "efficientnet_lite0"
    strategies: tuple[str, ...] | None = None
    layer: str | None = None
    seeds: int | None = None
    first_seed: int = 0
    epochs: int | None = None
    mode: str = "default"
    out: Path = Path("transfer-report")
    progress: bool = True
    command: str = "minicnn transfer"
    positive: str | None = None
    balance: bool = False
    flips: bool = True
    augment: str | None = None
    group_duplicates: bool = False
    resume: bool = False
    cluster: str | None = None

    def __post_init__(self) -> None:
        unknown = [name for name in self.strategies or () if name not in TRANSFERABLE]
        if unknown or self.strategies == ():
            raise ValueError(f"unknown strategy {', '.join(unknown) or '(none given)'}; choose from {', '.join(TRANSFERABLE)}")
        if self.mode not in PRESETS:
            raise ValueError(f"unknown mode {self.mode!r}; choose from {', '.join(PRESETS)}")
        for name, least in (("seeds", 1), ("first_seed", 0), ("epochs", 1)):
            if (value := getattr(self, name)) is not None and value < least:
                raise ValueError(f"{name} is a whole number of at least {least}, got {value}")
        if self.augment is not None:
            parse_augmentation(self.augment)

    @property
    def fine_tunes(self) -> bool:
        """Whether a strategy may be carried out that trains layers of the network."""
        return self.strategies is None or any(strategy in FINE_TUNING for strategy in self.strategies)

    def identity(self) -> dict[str, str]:
        """By option, all that two experiments must have in common so that one can go on with the other."""
        options = {
            "--data": self.data,
            "--model": self.model,
            "--strategy": ", ".join(self.strategies) if self.strategies else None,
            "--layer": self.layer,
            "--seeds": self.seeds,
            "--first-seed": self.first_seed,
            "--epochs": self.epochs,
            "--quick or --full": self.mode,
            "--balance": self.balance,
            "--no-flip": not self.flips,
            "--augment": self.augment,
            "--group-duplicates": self.group_duplicates,
        }
        return {option: "not given" if value in (None, False) else str(value) for option, value in options.items()}
