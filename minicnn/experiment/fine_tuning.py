"""Fine-tuning in an experiment: from the linear probe on, in each fold, and the mean of what the folds have given.

The pictures to learn from are held out in folds, or a validation part is where that is large. In each, the network begins
under a linear classifier of this fold, is trained as a strategy says, and is asked for the pictures that are held out. As all
begin at nearly the same place, the mean of their weights is a network as well, which has learned from all pictures; unless they
have moved so far apart that the mean knows less of the pictures to learn from than each of them does. Then a network is trained
anew, on all pictures to learn from, for as many epochs as were best in the folds; nothing is held out from that one, and if it
knows less than they do as well, the best fold's is taken. Where they are worse on what is held out than
a linear classifier, the strategy ends with that: it has stopped before its first epoch.

The classifier to begin with is the linear probe, if the network is a small one. On the many codes of a large network, the probe
knows the training pictures by heart, and would hand down no gradients: there the classifier has the strongest regularisation
of the path. Where pictures are many, its strength is infinite: a head of zeros, which learns faster than the layers below, and
hands down nothing before it has learned something.

In the full mode, what comes last learns from the validation pictures too.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from ..data.selection import Selection
from ..inference.batches import infer
from ..inference.fusion import fuse
from ..linear_model.base import balanced_weights
from ..linear_model.selection import REGULARISATION_PATH, RegularisationChoice
from ..losses import SoftmaxCrossEntropy
from ..models.model import Model
from ..transfer.feature_bank import FeatureBank, build_feature_bank
from ..transfer.finetune import Phase, choose_trained, fine_tune
from ..transfer.learning_rates import is_small
from ..transfer.surgery import below_classifier, scale_scores, set_head
from ..transfer.weight_averages import MeanOfWeights, Weights, put_weights, weights_of
from .held_out import HeldOut
from .linear_classifiers import choose_classifier
from .results import PROBE
from .task import TrainedRun, TransferTask
from .ways import Trial, Way, begins_with_zeros, ways_of


@dataclass
class Network:
    """One of the networks that a strategy may take: the mean over the folds, and the scores of what each fold holds out.

    ``losses`` are those of the folds' networks on all pictures to learn from, and ``best`` the weights of the one whose loss is
    the lowest on what it holds out.
    """

    mean: MeanOfWeights = field(default_factory=MeanOfWeights)
    rows: list[np.ndarray] = field(default_factory=list)
    scores: list[np.ndarray] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    best: Weights = field(default_factory=dict)
    best_loss: float = math.inf

    def add(self, weights: Weights, learned: HeldOut, val: np.ndarray, labels: np.ndarray) -> None:
        """Take in a fold's network, its scores of all pictures to learn from, and which of these it holds out."""
        held_out = HeldOut(val, learned.scores[np.searchsorted(learned.rows, val)])
        self.mean.add(weights)
        self.rows.append(held_out.rows)
        self.scores.append(held_out.scores)
        self.losses.append(learned.loss(labels))
        if (loss := held_out.loss(labels)) < self.best_loss:
            self.best, self.best_loss = weights, loss

    @property
    def held_out(self) -> HeldOut:
        return HeldOut(np.concatenate(self.rows), np.concatenate(self.scores))


@dataclass
class Trained:
    """What a trial has given in a fold: the weights, the records of its phases, and how long it took."""

    weights: Weights
    phases: list[dict]
    seconds: float
    interrupted: bool = False


@dataclass
class Outcome:
    """What a strategy has given so far: the networks to choose from, and fold by fold the records of each trial's phases."""

    networks: dict[str, Network] = field(default_factory=dict)
    phases: dict[str, list[list[dict]]] = field(default_factory=dict)
    seconds: float = 0.0


def train_layers(task: TransferTask, seed: int, log: Callable[[str], None]) -> Iterator[TrainedRun]:
    """All strategies of the task that train layers, on the split that this seed draws: a run for each.

    Parameters
    ----------
    task : TransferTask
    seed : int
        Of the split, the augmentation and the order of the pictures.
    log : function
        Is called with each line that there is to say.

    Raises
    ------
    KeyboardInterrupt
        After Ctrl-C, once what had finished by then has been handed out.
    """
    training = LayerTraining(task, seed)
    interrupted = any(training.train_fold(number) for number in range(len(training.folds)))
    for strategy, outcome in training.outcomes.items():
        if outcome.networks:
            run = training.finished(strategy)
            interrupted = interrupted or training.interrupted
            is_deep = strategy == "finetune-more" and run.record["chosen"] != PROBE
            if is_deep and task.preset.final and not interrupted:
                run, interrupted = training.train_finally(run, log)
            yield run._replace(test_scores=_scores(task, run.model, task.split(seed)["test"]))
    if interrupted:
        raise KeyboardInterrupt


class Probe(NamedTuple):
    """A linear classifier on the codes: of each fold and of all pictures, with its calibrated scores of what is held out."""

    choice: RegularisationChoice
    held_out: HeldOut
    factor: float


class LayerTraining:
    """One split's folds, the network under their linear probes, the bank that all share, and what the strategies have given."""

    def __init__(self, task: TransferTask, seed: int):
        self.task, self.seed = task, seed
        self.folds = task.folds(seed)
        started = time.perf_counter()
        held_out = np.concatenate([fold["val"] for fold in self.folds])
        self.learning = np.unique(held_out) if len(self.folds) == 1 else np.union1d(held_out, self.folds[0]["train"])
        self.probe = self._probe(held_out, REGULARISATION_PATH)
        small = is_small(task.parameters)
        self.start = self.probe if small else self._probe(held_out, REGULARISATION_PATH[-1:])
        self.model = task.model.copy()
        if task.preset.test_time_views:
            self.model.preprocessing = replace(self.model.preprocessing, symmetry=task.augmentation.symmetry)
        self.pretrained = weights_of(self.model)
        self.ways = ways_of(
            task.strategies, task.preset, self.model, task.parameters, task.settings.epochs, task.has_few_pictures
        )
        self.outcomes = {strategy: Outcome() for strategy in self.ways}
        # what no fold trains on comes last in the bank, as it needs no augmented views
        trained = np.unique(np.concatenate([fold["train"] for fold in self.folds]))
        order = np.r_[trained, np.setdiff1d(held_out, trained)]
        self.place = np.zeros(len(task.pictures), np.int64)
        self.place[order] = np.arange(len(order))
        self.bank = self._bank(order, len(trained))
        self.anew: dict[Trial, Trained] = {}  # what was trained on all pictures to learn from
        self.interrupted = False  # by Ctrl-C, after the last fold
        self.preparing = time.perf_counter() - started

    def _probe(self, held_out: np.ndarray, path: Sequence[float]) -> Probe:
        choice = choose_classifier(self.task, "softmax", self.folds, path)
        return Probe(choice, *HeldOut(held_out, choice.held_out).calibrated(self.task.pictures.labels))

    def _bank(self, order: np.ndarray, trained: int) -> FeatureBank | None:
        """One feature bank for all phases that have views and freeze layers, at the lowest of those that they freeze until."""
        phases = {phase for way in self.ways.values() for trial in way.trials.values() for phase in trial}
        banked = [phase for phase in phases if phase.views and phase.freeze_until is not None]
        if not banked:
            return None
        task, names = self.task, list(self.model.layers)
        lowest = min((phase.freeze_until for phase in banked), key=names.index)
        x, x_val = (Selection(task.fitted_for(self.model), rows) for rows in np.split(order, [trained]))
        views, progress = max(phase.views for phase in banked), task.settings.progress
        return build_feature_bank(self.model, lowest, views, x, x_val, task.augmentation, self.seed, progress)

    # ---- a fold

    def train_fold(self, number: int) -> bool:
        """Carry out all strategies in one fold; whether Ctrl-C has ended it early."""
        val, done = self.folds[number]["val"], {}
        for strategy, way in self.ways.items():
            ends = {name: self._train(trial, number, done) for name, trial in way.trials.items()}
            if None in ends.values():
                return True
            started, outcome = time.perf_counter(), self.outcomes[strategy]
            for name, end in ends.items():
                outcome.phases.setdefault(name, []).append(end.phases)
            start = self._start(next(iter(way.trials.values())), number)
            networks = way.make(start, {name: end.weights for name, end in ends.items()})
            for name, weights in networks.items():
                put_weights(self.model, weights)
                network = outcome.networks.setdefault(name, Network())
                network.add(weights, self._learned(way), val, self.task.pictures.labels)
            outcome.seconds += time.perf_counter() - started + sum(end.seconds for end in ends.values())
            outcome.seconds += self.preparing / len(self.folds)
            if any(end.interrupted for end in ends.values()):
                return True
        return False

    def _train(self, trial: Trial, number: int | None, done: dict[Trial, Trained]) -> Trained | None:
        """A trial in this fold, or on all pictures (None), where all epochs count; it, or its first phases, may be ``done``.

        None if Ctrl-C came before its last phase had an epoch.
        """
        if trial in done:
            return done[trial]
        before = Trained(self._start(trial, number), [], 0.0)
        if len(trial) > 1:
            before = self._train(trial[:-1], number, done)
        if before is None or before.interrupted:
            return None
        task, phase, started = self.task, trial[-1], time.perf_counter()
        fold = {"train": self.learning, "val": self.learning[:0]} if number is None else self.folds[number]
        train, val, part = fold["train"], fold["val"], "all" if number is None else f"fold-{number}"
        put_weights(self.model, before.weights)
        x, y, targets = task.fitted_for(self.model), task.pictures.labels, task.pictures.targets
        history = fine_tune(
            self.model,
            phase,
            (Selection(x, train), targets[train]),
            (Selection(x, val), y[val]) if len(val) else None,
            task.augmentation,
            seed=self.seed,
            progress=task.settings.progress,
            bank=self.bank,
            rows=(self.place[train], self.place[val]),
            loss=_loss(task, phase, train),
            checkpoint=task.checkpoints / f"seed-{self.seed}-{part}" / _folder_name(trial),
        )
        if not history.best:
            return None
        phases, seconds = [*before.phases, phase.record(history)], before.seconds + time.perf_counter() - started
        done[trial] = Trained(weights_of(self.model), phases, seconds, history.interrupted)
        return done[trial]

    def _start(self, trial: Trial, number: int | None) -> Weights:
        """Where a trial begins in this fold: the pretrained weights, and a linear classifier as the head (None: of all).

        A head that stays frozen, under which layers are to learn, must not be zeros.
        """
        from_zeros = begins_with_zeros(self.task.parameters, self.task.has_few_pictures) and trial[0].train_until is None
        choice = self.start.choice
        put_weights(self.model, self.pretrained)
        classifier = choice.final if number is None else choice.of_folds[number]
        set_head(self.model, classifier, 0.0 if from_zeros else self.start.factor)
        return weights_of(self.model)

    def _learned(self, way: Way) -> HeldOut:
        """The network's scores of all pictures to learn from; from the bank on, where the way trains nothing below it."""
        bank, rows = self.bank, self.learning
        if bank is None or self._trains_below_the_bank(way) or self.model.preprocessing.symmetry != "none":
            return HeldOut(rows, _scores(self.task, self.model, rows))
        upper, places = fuse(self.model.split(bank.layer)[1]), self.place[rows]
        return HeldOut(rows, infer(upper, len(rows), lambda i: bank.prepare(places[i])))

    def _trains_below_the_bank(self, way: Way) -> bool:
        names = [None, *self.model.layers]
        bottom = names.index(self.bank.layer)
        return any(names.index(phase.freeze_until) < bottom for trial in way.trials.values() for phase in trial)

    # ---- the end

    def with_weights(self, weights: Weights) -> Model:
        """The network with these weights; it is the same one each time."""
        put_weights(self.model, weights)
        return self.model

    def finished(self, strategy: str) -> TrainedRun:
        """The strategy's run: of its networks the chosen one, or the linear probe where that is surely better."""
        task, way, outcome = self.task, self.ways[strategy], self.outcomes[strategy]
        labels = task.pictures.labels
        calibrated = {name: network.held_out.calibrated(labels) for name, network in outcome.networks.items()}
        losses = {name: held_out.losses(labels) for name, (held_out, _) in calibrated.items()}
        chosen = way.choose(losses)
        trial = next((name for name in way.trials if chosen.startswith(name)), next(iter(way.trials)))
        phases, *other_folds = outcome.phases[trial]
        held_out, factor = calibrated[chosen]
        probe = self.probe.held_out.first(len(held_out.rows))  # fewer than all, if Ctrl-C came before the last fold
        if held_out.is_worse_than(probe, labels):
            chosen, held_out = PROBE, probe
            put_weights(self.model, self.pretrained)
            set_head(self.model, self.probe.choice.final, self.probe.factor)
            self.model.unfreeze().freeze(until=below_classifier(self.model)[-1])
        else:
            put_weights(self.model, self.weights_to_take(strategy, chosen))
            choose_trained(self.model, way.trials[trial][-1])
            scale_scores(self.model, factor)
        record = {
            "seconds": outcome.seconds,
            "phases": phases,
            "other_folds": other_folds,
            "chosen": chosen,
            "losses": {name: float(values.mean()) for name, values in losses.items()} | {PROBE: probe.loss(labels)},
        }
        return TrainedRun(strategy, self.model.copy(), held_out, record)

    def weights_to_take(self, strategy: str, name: str) -> Weights:
        """Of one of the strategy's networks the mean of the folds' weights; or, where its loss on the pictures to learn from is
        higher than theirs on average, the weights of one that is trained anew on all these pictures.

        Where the loss of that one is higher as well, and after Ctrl-C, when nothing is trained anew, the best fold's.
        """
        network = self.outcomes[strategy].networks[name]
        if network.mean.networks == 1 or self._knows_enough(strategy, network, network.mean.weights):
            return network.mean.weights
        anew = self._trained_anew(strategy, name)
        return network.best if anew is None or not self._knows_enough(strategy, network, anew) else anew

    def _knows_enough(self, strategy: str, network: Network, weights: Weights) -> bool:
        """Whether the loss of these weights on the pictures to learn from is no higher than that of the folds' on average."""
        put_weights(self.model, weights)
        return self._learned(self.ways[strategy]).loss(self.task.pictures.labels) <= np.mean(network.losses)

    def _trained_anew(self, strategy: str, name: str) -> Weights | None:
        """The network, trained on all pictures, each phase for as many epochs as were best in the folds; None after Ctrl-C."""
        way, outcome, ends = self.ways[strategy], self.outcomes[strategy], {}
        if self.interrupted or len(outcome.networks[name].losses) < len(self.folds):
            return None
        needed = [trial for trial in way.trials if trial in name] or way.trials  # those in the network's name, if any are
        for title in needed:
            in_folds = zip(way.trials[title], *outcome.phases[title], strict=True)
            best = [(phase, np.mean([record["best_epoch"] for record in records])) for phase, *records in in_folds]
            trial = tuple(replace(phase, epochs=max(round(epochs), 1)) for phase, epochs in best)
            is_new, end = trial not in self.anew, self._train(trial, None, self.anew)
            if end is None or end.interrupted:
                self.interrupted = True
                return None
            outcome.seconds += end.seconds if is_new else 0.0
            ends[title] = end.weights
        return way.make(self._start(next(iter(way.trials.values())), None), ends)[name]

    def train_finally(self, run: TrainedRun, log: Callable[[str], None]) -> tuple[TrainedRun, bool]:
        """Train further, on training and validation pictures together and at a larger size, which the model then keeps.

        Returns the run, and whether Ctrl-C has ended it early.
        """
        task, model, parts, started = self.task, run.model, self.task.split(self.seed), time.perf_counter()
        epochs, learning_rate, scale = task.preset.final
        title, larger = "on validation pictures too", model.preprocessing.scaled(scale)
        if _accepts(model, larger.size):
            model.preprocessing, model.input_shape = larger, (model.input_shape[0], *larger.size)
            title += ", {}x{}".format(*larger.size)
        else:
            log(f"{model.architecture} takes pictures of one size only: they stay as they are in the last phase")
        last = self.ways[run.strategy].trials["more"][-1]
        rate = learning_rate / last.body_multiplier
        phase = replace(last, title=title, epochs=task.settings.epochs or epochs, learning_rate=rate, views=0)
        learning = np.r_[parts["train"], parts["val"]]
        pictures = Selection(task.fitted_for(model), learning), task.pictures.targets[learning]
        options = {"seed": self.seed, "progress": task.settings.progress, "loss": _loss(task, phase, parts["train"])}
        options["checkpoint"] = task.checkpoints / f"seed-{self.seed}-final"
        history = fine_tune(model, phase, pictures, None, task.augmentation, **options)
        seconds = run.record["seconds"] + time.perf_counter() - started
        record = run.record | {"phases": [*run.record["phases"], phase.record(history)], "seconds": seconds}
        return run._replace(record=record), history.interrupted


def _folder_name(trial: Trial) -> str:
    """Of the folder for its checkpoints: another one for each trial."""
    return hashlib.sha256(repr(trial).encode()).hexdigest()[:16]


def _loss(task: TransferTask, phase: Phase, train: np.ndarray) -> SoftmaxCrossEntropy:
    """With ``balance``, small classes count more."""
    counts = np.bincount(task.pictures.labels[train], minlength=len(task.pictures.classes))
    return SoftmaxCrossEntropy(phase.label_smoothing, balanced_weights(counts) if task.settings.balance else None)


def _accepts(model: Model, size: tuple[int, int]) -> bool:
    """Whether the network gives scores for pictures of this size as well; with a Flatten in it, it does not."""
    try:
        return len(model.output_shape((1, model.input_shape[0], *size))) == 2
    except ValueError:
        return False


def _scores(task: TransferTask, model: Model, rows: np.ndarray) -> np.ndarray:
    """The scores (n, K) of these pictures; the mean over their views where the model's preprocessing has a symmetry."""
    pictures, prepare = task.fitted_for(model), model.preprocessing.normalise
    label = "scores" if task.settings.progress else None
    views = model.preprocessing.test_time_views
    return infer(model.fuse(), len(rows), lambda i: prepare(pictures[rows[i]]), label=label, views=views)
