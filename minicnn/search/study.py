"""A study: which settings are good, found by trying many.

Everything that a trial does follows from the study's seed and the trial's number. Its result does therefore not depend on which
trials ran beside it or before it, in how many processes, or on which machine of a cluster (if its processors are of one kind);
and a study that was killed goes on as if it had not been.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import TrainingError
from ..runtime.cluster import Cluster, WorkerDied
from ..runtime.workers import get_threads, set_threads
from .journal import Journal
from .space import Space, check_space, narrowed
from .trial import Objective, Outcome, Trial, best_of, run_trial
from .workers import Processes, ThisProcess

if TYPE_CHECKING:
    from distributed import Client


class Study:
    """A search for the settings with which an objective is highest.

    Each of the methods `random`, `grid`, `coarse_to_fine` and `successive_halving` evaluates the objective at many points of
    the space and returns those trials; `best` and `table` look at all of them. Several may be called, one after the other. With
    a folder, the same calls in the same order find what is finished there, and compute only what is missing.

    Parameters
    ----------
    objective : callable
        ``objective(settings, budget, seed) -> float``, the higher the better, such as a validation accuracy; settings is a dict
        with a value for each name of the space. Several processes can only share one that is defined in a module. A trial whose
        objective raises an exception has failed, which is worse than any value, and the search goes on.
    space : dict of str to range
        `LogUniform`, `Uniform`, `Integers` or `Choice` for each setting.
    folder : path, optional
        Where finished trials are kept (``trials.jsonl``), of this study alone; without it they are kept in memory.
    seed : int
    workers : int
        How many trials run side by side, each in a process of its own; 1: in this one.
    cluster : str or distributed.Client, optional
        The address of a cluster's scheduler, or a client of it: trials run there.
    threads : int
        Of each trial. Results repeat to the bit as long as this number stays the same.
    measure : str
        What the value is called.
    progress : bool
        Print a line for each trial when it is finished.

    Attributes
    ----------
    trials : list of Trial
        All that are finished, by number.

    Raises
    ------
    ValueError, TypeError
        For an empty space, or a number of workers or threads below 1.
    TrainingError
        If the folder holds another study, or all trials of a round have failed.

    >>> from minicnn.search import LogUniform, Study
    >>> def objective(settings, budget, seed):
    ...     return 1 - (np.log10(settings["lr"]) + 2) ** 2 / 10
    >>> study = Study(objective, {"lr": LogUniform(1e-4, 1.0)})
    >>> found = study.grid(5, budget=1)
    val_acc: 0.600000, lr: 1.000000e-04, (1 / 5)
    val_acc: 0.900000, lr: 1.000000e-03, (2 / 5)
    val_acc: 1.000000, lr: 1.000000e-02, (3 / 5)
    val_acc: 0.900000, lr: 1.000000e-01, (4 / 5)
    val_acc: 0.600000, lr: 1.000000e+00, (5 / 5)
    >>> study.best.settings
    {'lr': 0.01}
    """

    def __init__(
        self,
        objective: Objective,
        space: Space,
        *,
        folder: str | os.PathLike | None = None,
        seed: int = 0,
        workers: int = 1,
        cluster: str | Client | None = None,
        threads: int = 1,
        measure: str = "val_acc",
        progress: bool = True,
    ):
        counts = {"workers": workers, "threads": threads}
        for name, value in counts.items():
            _check_count(name, value)
        _check_count("seed", seed, least=0)
        if cluster is not None and workers > 1:
            raise ValueError(
                f"a study has workers={workers} processes of its own or a cluster's workers; choose one of the two"
            )
        self.objective, self.space, self.seed = objective, check_space(space), int(seed)
        self.workers, self.cluster, self.threads = int(workers), cluster, int(threads)
        self.measure, self.progress = measure, progress
        self._journal = Journal(folder, self._description())
        self._planned = self._rounds = 0  # trials and rounds that the calls so far have asked for

    # ---- searching

    def random(self, trials: int, budget: int) -> list[Trial]:
        """Settings drawn at random, each independently of the others.

        Of a few parameters usually one or two matter, and n random trials try n values of each of them, where a grid tries the
        n-th root. Bergstra & Bengio 2012, "Random Search for Hyper-Parameter Optimization".
        """
        _check_count("trials", trials)
        with self._running():
            return self._evaluate([self._drawn(self.space, i, budget) for i in range(trials)])

    def grid(self, points: int | Mapping[str, int], budget: int) -> list[Trial]:
        """All combinations of so many values of each setting, or of each its own number; of a `Choice`, all options."""
        if not isinstance(points, Mapping):
            points = dict.fromkeys(self.space, points)
        if points.keys() != self.space.keys():
            raise ValueError(f"the grid has points for {', '.join(points)}, but the space has {', '.join(self.space)}")
        values = [values.grid(points[name]) for name, values in self.space.items()]
        with self._running():
            planned = []
            for i, index in enumerate(np.ndindex(*map(len, values))):
                settings = {name: values[k][index[k]] for k, name in enumerate(self.space)}
                planned.append(replace(self._drawn(self.space, i, budget), settings=settings))
            return self._evaluate(planned)

    def coarse_to_fine(self, trials: int, budgets: Sequence[int], share: float = 0.3) -> list[Trial]:
        """Random search in rounds: each in a ``share`` of the ranges before, around the best settings of the round before.

        The first rounds need only tell what works at all, in few epochs; later ones look more closely (CS231n's notes, "Stage
        your search from coarse to fine").

        Parameters
        ----------
        trials : int
            Of each round.
        budgets : sequence of int
            Of each round: as many rounds as budgets.
        share : float
            Above 0, below 1.
        """
        _check_count("trials", trials)
        if not 0 < share < 1:
            raise ValueError(f"share is the part of its range that a setting keeps from round to round, 0 to 1, got {share}")
        with self._running():
            space, found = self.space, []
            for budget in budgets:
                found.append(self._evaluate([self._drawn(space, i, budget) for i in range(trials)]))
                space = narrowed(space, best_of(found[-1]).settings, share)
            return [trial for round_ in found for trial in round_]

    def successive_halving(self, trials: int, least_budget: int = 1, eta: int = 3) -> list[Trial]:
        """Many random settings with a small budget, the best of them with a larger one, and so on: see `halving_schedule`.

        Each rung begins anew, with the seeds of the one before: the objective gets a larger budget, and no state.

        Jamieson & Talwalkar 2016, "Non-stochastic Best Arm Identification and Hyperparameter Optimization", section 3; Li et
        al. 2018, "Hyperband", section 2.
        """
        schedule = halving_schedule(trials, least_budget, eta)
        with self._running():
            found = [self._evaluate([self._drawn(self.space, i, least_budget) for i in range(trials)])]
            for count, budget in schedule[1:]:
                succeeded = [trial for trial in found[-1] if trial.error is None]
                best = sorted(succeeded, key=lambda trial: trial.rank, reverse=True)[:count]
                found.append(self._evaluate([self._promoted(trial, i, budget) for i, trial in enumerate(best)]))
            return [trial for rung in found for trial in rung]

    # ---- what was found

    @property
    def trials(self) -> list[Trial]:
        return [trial for _, trial in sorted(self._journal.finished.items())]

    @property
    def best(self) -> Trial:
        """The trial with the highest value among those of the largest budget with which any succeeded.

        A value that was reached with less does not compare.

        Raises
        ------
        ValueError
            If no trial has succeeded yet.
        """
        succeeded = [trial for trial in self.trials if trial.error is None]
        if not succeeded:
            raise ValueError(f"no trial of this study has succeeded yet, of {len(self.trials)} that are finished")
        budget = max(trial.budget for trial in succeeded)
        return best_of([trial for trial in succeeded if trial.budget == budget])

    def table(self) -> str:
        """All finished trials, round by round, a line each as in the lecture's slides."""
        lines = []
        for k in sorted({trial.round for trial in self.trials}):
            trials = [trial for trial in self.trials if trial.round == k]
            lines.append(f"round {k + 1}, budget {trials[0].budget}")
            lines += [trial.line(self.measure, i + 1, len(trials)) for i, trial in enumerate(trials)]
        return "\n".join(lines)

    # ---- running

    @contextlib.contextmanager
    def _running(self) -> Iterator[None]:
        """Within this block the folder belongs to this study alone, and there are workers."""
        threads = get_threads()
        processes = Processes(self.workers) if self.workers > 1 else ThisProcess()
        try:
            with self._journal, Cluster(self.cluster) if self.cluster is not None else processes as self._workers:
                yield
        finally:
            set_threads(threads)  # a trial in this process has set its own

    def _drawn(self, space: Space, i: int, budget: int) -> Trial:
        """The i-th trial of the next round, at random settings."""
        _check_count("budget", budget)
        number = self._planned + i
        rng = np.random.default_rng([self.seed, number])
        seed = int(rng.integers(2**31))
        drawn = {name: space[name].at(float(rng.random())) for name in sorted(space)}
        return Trial(number, self._rounds, {name: drawn[name] for name in space}, int(budget), seed)

    def _promoted(self, trial: Trial, i: int, budget: int) -> Trial:
        """The i-th trial of the next round: an earlier one once more, with another budget."""
        return Trial(self._planned + i, self._rounds, trial.settings, budget, trial.seed)

    def _evaluate(self, planned: list[Trial]) -> list[Trial]:
        """The trials of a round, finished: those that are in the journal from there, the others computed."""
        finished = self._journal.finished
        for trial in planned:
            self._check_same(finished.get(trial.number, trial), trial)
        missing = {trial.number: trial for trial in planned if trial.number not in finished}
        done = len(planned) - len(missing)
        if done:
            self._say(f"{done} of {len(planned)} trials were finished before")
        tasks = ((n, (self.objective, t.settings, t.budget, t.seed, self.threads)) for n, t in missing.items())
        with contextlib.closing(self._workers.completed(run_trial, tasks)) as results:
            for number, outcome in results:
                if isinstance(outcome, WorkerDied):
                    outcome = Outcome(None, str(outcome), 0.0)
                trial = replace(missing[number], **outcome._asdict())
                self._journal.add(trial)
                done += 1
                self._say(trial.line(self.measure, done, len(planned)))
        self._planned, self._rounds = self._planned + len(planned), self._rounds + 1
        trials = [finished[trial.number] for trial in planned]
        if all(trial.error for trial in trials):
            raise TrainingError(f"all {len(trials)} trials of this round have failed, the first of them: {trials[0].error}")
        return trials

    def _check_same(self, finished: Trial, planned: Trial) -> None:
        """Refuse a trial of the folder that is not the one to be computed now."""
        if finished.plan != planned.plan:
            was, now = (f"{trial.settings} with budget {trial.budget}" for trial in (finished, planned))
            raise TrainingError(
                f"trial {planned.number} of the study in {self._journal.folder} was {was}, and would now be {now}: a study "
                "goes on with the searches with which it began, in their order; for others, name another folder"
            )

    def _say(self, text: str) -> None:
        if self.progress:
            print(text, flush=True)

    def _description(self) -> dict[str, Any]:
        """What results depend on, in words and numbers."""
        name = f"{self.objective.__module__}.{self.objective.__qualname__}" if hasattr(self.objective, "__qualname__") else None
        return {
            "objective": name or re.sub(r" at 0x\w+", "", repr(self.objective)),  # without its place in memory
            "space": {name: repr(values) for name, values in self.space.items()},
            "seed": self.seed,
            "number of threads": self.threads,
            "measure": self.measure,
        }


def halving_schedule(trials: int, least_budget: int, eta: int) -> list[tuple[int, int]]:
    """For each rung i = 0, 1, ... the number of trials n_i = floor(n / eta^i) and their budget r_i = r eta^i, while n_i >= 1.

    Each rung costs about as much as another, n r in all its trials together.

    >>> halving_schedule(27, 1, 3)
    [(27, 1), (9, 3), (3, 9), (1, 27)]
    """
    _check_count("trials", trials)
    _check_count("least_budget", least_budget)
    _check_count("eta", eta, least=2)
    rungs = [(trials, least_budget)]
    while (count := trials // eta ** len(rungs)) >= 1:
        rungs.append((count, least_budget * eta ** len(rungs)))
    return rungs


def _check_count(name: str, value: Any, least: int = 1) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"{name} is a whole number from {least} up, got {value!r}")
