"""Lesson 6, exercise: look after a training run, and search for its settings.

Fill in the functions, and as often as you like run

    minicnn check 6

Each function is a few lines. Arrays are float64; do not change what you are given. Accuracies are fractions from 0 to 1.
N samples, D units, C channels or classes, H x W pixels. NaN stands for "no number": math.nan, or np.nan.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

# ---- Task 1: the loss before the first step


def expected_initial_loss(kind: str, C: int, weights: Sequence[np.ndarray], lam: float) -> float:
    """What a network that knows nothing pays before its first step: the loss of scores that are all 0, and the L2 penalty.

    The loss of one sample with scores s[0], ..., s[C-1] is, by its kind,

        "softmax"     -log p[t], where p = exp(s) / (sum over k of exp(s[k])) and t is the right one of C classes
        "hinge"       sum over j != t of max(0, s[j] - s[t] + 1), t likewise
        "sigmoids"    C labels, each of which a sample has or has not: the sum over k of -log(1 / (1 + exp(-s[k]))) where it has
                      label k, and of -log(1 / (1 + exp(s[k]))) where it has not

    with natural logarithms. The penalty is lam / 2 times the sum of the squares of all entries of all arrays in weights.

    kind, C >= 2, weights a list of arrays of any shapes (an empty list as well), lam >= 0  ->  loss + penalty (float)
    """
    raise NotImplementedError("Lesson 6, task 1: expected_initial_loss")


def verdict_on_initial_loss(loss: float, penalty: float, chance: float) -> str:
    """What to think of the loss that a training script prints before its first step: the loss of the data, plus a penalty.

        "not finite"    loss is NaN or infinite
        "too high"      the loss of the data is more than 2 * chance: the scores are too large
        "too low"       the loss of the data is less than chance / 3: the network knows the answers from somewhere
        "fine"          otherwise

    loss = loss of the data + penalty, penalty >= 0, chance > 0 (the loss of scores that are all 0)  ->  one of the four texts
    """
    raise NotImplementedError("Lesson 6, task 1: verdict_on_initial_loss")


# ---- Task 2: what the layers do


def update_ratios(before: Mapping[str, np.ndarray], after: Mapping[str, np.ndarray]) -> dict[str, float]:
    """How much a step has changed each parameter, as a share of its length.

        ratio = |after - before| / |before|             |w| = square root of the sum of the squares of all entries of w

    A parameter whose entries were all 0 before the step, as those of a new bias are, has no such ratio: leave it out.

    before, after: the same names, to each the array before and after the step, of any shape  ->  dict from name to ratio
    """
    raise NotImplementedError("Lesson 6, task 2: update_ratios")


def dead_units(y: np.ndarray) -> float:
    """The share of units that are dead in a batch: 0 for every sample in it.

    A unit is a column of (N, D), or a channel of (N, C, H, W), whose pixels share their weights: it is dead if all pixels of
    all samples are exactly 0 there.

    y (N, D) or (N, C, H, W), outputs of a ReLU, so that nothing is below 0  ->  a number from 0 to 1 (float)
    """
    raise NotImplementedError("Lesson 6, task 2: dead_units")


# ---- Task 3: reading the curves


def diagnose(first: float, losses: np.ndarray, train_accuracy: np.ndarray, val_accuracy: np.ndarray) -> str:
    """What the curves of a run say, by rules that are applied in this order; the first that fits decides:

        "diverged"       a loss is NaN or infinite, or more than 3 times first, in any epoch
        "too high"       the last loss is above the lowest one by more than 0.1 * first: at this rate it does not settle
        "not learning"   the last loss is more than 0.8 times first: the rate is too low, or the units are dead
        "overfitting"    in the last epoch the training accuracy is above the validation accuracy by more than 0.1
        "fine"           otherwise

    first: training loss before the first step; losses (E,): training loss of each epoch; train_accuracy, val_accuracy (E,)
    ->  one of the five texts
    """
    raise NotImplementedError("Lesson 6, task 3: diagnose")


# ---- Task 4: random search


def log_uniform(low: float, high: float, u: float) -> float:
    """The value at u in [0, 1) of a range that is searched by factors: its logarithm goes from log low to log high as u grows.

    u = 0 gives low, u = 1/2 the geometric mean of low and high, and equal steps of u multiply the value by equal factors.

    0 < low < high, 0 <= u < 1  ->  the value (float)
    """
    raise NotImplementedError("Lesson 6, task 4: log_uniform")


def random_search(
    objective: Callable[[dict[str, float], int, int], float],
    space: Mapping[str, tuple[float, float]],
    numbers: Sequence[int],
    budget: int,
    seed: int,
) -> list[dict]:
    """Try settings that are drawn at random, each by factors, and write down what came of it.

    The trial with number i, for each i in numbers (which need not begin at 0), in their order:

        rng = np.random.default_rng([seed, i])             a generator of its own, so that a trial can be repeated alone
        trial_seed = int(rng.integers(2**31))              drawn first: for what is random in the training
        settings[name] = log_uniform(low, high, rng.random())      one draw for each name, in alphabetical order of the names
        val_acc = objective(settings, budget, trial_seed)          NaN if that raises a FloatingPointError: the run broke down

    space: from the name of a setting to its (low, high)
    ->  a list of one dict for each trial: {"settings": settings, "budget": budget, "seed": trial_seed, "val_acc": val_acc}
    """
    raise NotImplementedError("Lesson 6, task 4: random_search")


# ---- Task 5: choose, and look more closely


def best_trial(trials: Sequence[Mapping]) -> int:
    """Where in the list the best trial is. Each is a dict with "val_acc" (NaN: it failed) and "budget", its length of training.

    A value that was reached with a small budget does not compare with one of a large budget: only the trials of the largest
    budget with which any has succeeded count. The highest val_acc of these wins; of equal ones, the first in the list.

    Somebody has also written "train_acc" and "test_acc" into the trials. They have no say.

    trials, at least one of which has succeeded  ->  its place in the list, from 0 (int)
    """
    raise NotImplementedError("Lesson 6, task 5: best_trial")


def narrowed(low: float, high: float, best: float, share: float) -> tuple[float, float]:
    """The range for the next, finer round: on the log scale it is ``share`` as wide as the old one, with best in its middle.

        p = log(best / low) / log(high / low)              where best lies: 0 at low, 1 at high
        the new range goes from p - share/2 to p + share/2;
        if it begins below 0 or ends above 1 it is moved, as wide as it is, until it just begins at 0 or ends at 1

    0 < low <= best <= high, 0 < share < 1  ->  the new low and the new high (floats, values as low and high are)
    """
    raise NotImplementedError("Lesson 6, task 5: narrowed")


def near_an_end(low: float, high: float, best: float) -> str:
    """Whether the best value lies at an end of its range, so that better ones may lie beyond it.

    "lower"     p < 0.1         with p as in narrowed: its place on the log scale
    "upper"     p > 0.9
    "inside"    otherwise
    """
    raise NotImplementedError("Lesson 6, task 5: near_an_end")


# ---- Task 6: successive halving


def halving_schedule(n: int, least_budget: int, eta: int) -> list[tuple[int, int]]:
    """How many candidates each rung has, and the budget of each of them.

        rung i = 0, 1, 2, ...:    floor(n / eta^i) candidates, each with the budget least_budget * eta^i

    as long as there is at least one candidate.

    n >= 1, least_budget >= 1, eta >= 2  ->  [(count, budget), ...], whole numbers
    """
    raise NotImplementedError("Lesson 6, task 6: halving_schedule")


def successive_halving(
    objective: Callable[[dict, int], float], candidates: Sequence[dict], least_budget: int, eta: int
) -> tuple[list[list[int]], int]:
    """Train many candidates for a short time, the best of them longer, the best of these still longer.

    The rungs are those of halving_schedule(len(candidates), least_budget, eta). Rung 0 has all candidates. Rung i has, of those
    in rung i - 1, the count of rung i with the highest values in rung i - 1; of equal ones those that come first in candidates.
    Nothing is evaluated that is in no rung.

    objective(candidate, budget) gives a validation accuracy. It may raise a FloatingPointError: that candidate has failed and
    is in no later rung, which may then have fewer than the schedule says. (In every rung at least one succeeds.)

    ->  rungs: for each rung the places in candidates of those that are evaluated in it, in ascending order;
        winner: the place of the one with the highest value in the last rung, the first of equal ones
    """
    raise NotImplementedError("Lesson 6, task 6: successive_halving")
