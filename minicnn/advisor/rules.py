"""The rules of the advisor, which lead from the measurements to a strategy, with their thresholds.

The lecture's four scenarios (CS231n, "Transfer Learning": few or many pictures, similar to the old ones or different) are the
starting point. The measurements on the pictures decide: whether any codes are better than the bare pixels, whether earlier
codes are better than the last ones, and how many mistakes are left for fine-tuning to remove. The thresholds are from
experiments; `lessons/laboratory/advisor.py` checks the rules against strategies that were carried out.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..data.splits import are_few
from ..linear_model.permutation import SIGNIFICANT
from ..transfer.learning_rates import is_small
from .measurements import Measurements

# The lecture's recommendation for each quadrant, (many, similar): keys of `minicnn.transfer.strategies.STRATEGIES`.
LECTURE = {
    (False, True): "svm",
    (True, True): "finetune-all",
    (False, False): "svm-earlier",
    (True, False): "finetune-all",
}

# Simple rules that the advice is put beside; the third is the lecture's quadrant.
BASELINES = {"always the linear classifier": "svm", "always fine-tune the upper layers": "finetune-upper"}

# Thresholds
# pictures to learn from, per class on average, or of the smallest class where they are uneven: with so many, a whole network
# can be trained
MANY = 200
ENOUGH = 500  # parameters of the network per picture: with so few or less, fewer pictures of a class are many as well
SOME = 10  # pictures of a class, without which nothing makes them many
RETRAINABLE = 3000  # parameters of the network per picture: with so few or less, few pictures can retrain all of it too
SURE = 2.0  # standard errors of a difference; more than 1, because the best of several layers is compared
SOLVED = 0.02  # share of mistakes of a linear classifier, of which fine-tuning with many pictures removes hardly any
# If the last codes leave at most this share of the mistakes that are made almost without a network, the network knows these
# pictures better than few of them could teach it; and if earlier codes leave at most this share of the last ones' mistakes, the
# upper layers are so wrong that few pictures cannot put them right
HALVED = 0.5


@dataclass(frozen=True)
class Choice:
    """A strategy with the reasons for it.

    Attributes
    ----------
    strategy : str
        A key of `minicnn.transfer.strategies.STRATEGIES`: "svm", "svm-earlier", "finetune-upper", "norms", "finetune-all"
        or "scratch".
    many, similar : bool
        The quadrant.
    reasons : tuple of str
        Sentences; the last one is what decided.
    """

    strategy: str
    many: bool
    similar: bool
    reasons: tuple[str, ...]

    @property
    def quadrant(self) -> str:
        """In words."""
        return f"{'many' if self.many else 'few'} and {'similar' if self.similar else 'different'} pictures"

    @property
    def baselines(self) -> dict[str, str]:
        """What simple rules would say: the strategy of each."""
        return BASELINES | {f"the lecture for {self.quadrant}": LECTURE[self.many, self.similar]}


def choose(measurements: Measurements) -> Choice:
    """The rules, in this order; the first that applies decides.

    1. The network is small enough to be retrained, and its higher codes are not surely better than pixels or the lowest layer's
       (for similar pictures: surely worse): many pictures train one from scratch, few a linear classifier on earlier codes.
    2. Fewer than 200 pictures of a class, no earlier codes are surely better than the last ones, and these leave at most half
       of the mistakes that are made almost without a network: a linear classifier on the last codes; of a small network,
       fine-tune the upper layers.
    3. Many pictures: fine-tune all layers; unless a linear classifier on the last codes makes hardly any mistake.
    4. Few, but the network is small enough to be retrained by them: fine-tune all layers.
    5. Few and different, and earlier codes leave at most half of the last ones' mistakes: a linear classifier on those.
    6. Too few for a validation part, and the network is large: similar ones, a linear classifier on the last codes; different
       ones, if there are batch norms, fine-tune these alone.
    7. Few otherwise: fine-tune the upper layers.
    """
    last, earlier = measurements.last.probe, measurements.earlier
    gain, gain_error = (0.0, 0.0) if earlier is None else earlier.probe.better_than(last)
    earlier_is_better = gain > SURE * gain_error
    best = measurements.last if gain <= 0 else earlier
    worth, worth_error = best.probe.better_than(measurements.plain)

    parameters_per_picture = measurements.parameters / measurements.pictures
    retrainable = parameters_per_picture <= RETRAINABLE
    many = measurements.per_class >= (SOME if parameters_per_picture <= ENOUGH else MANY)
    similar = measurements.similarity.similar
    if similar is None:  # the network remembers too little to tell; similar is then that its last layers are of use
        similar = not earlier_is_better

    of_class = "of the smallest class" if measurements.is_uneven else "per class"
    reasons = [
        f"{measurements.per_class:.0f} pictures to learn from {of_class}, "
        f"and {parameters_per_picture:,.0f} parameters of the "
        f"network for each picture: {'many' if many else 'few'} ({MANY} and more of a class are many, and so are {SOME} "
        f"for a network of up to {ENOUGH} parameters a picture). It is {'small enough' if retrainable else 'too large'} to be "
        f"retrained whole by few (up to {RETRAINABLE:,} a picture).",
        *measurements.similarity.sentences(),
    ]
    if measurements.is_uneven:
        reasons.append(
            f"The classes are uneven, {min(measurements.counts)} to {max(measurements.counts)} pictures: each has the same say "
            "in all that is measured here, and --balance gives it the same say in training."
        )
    if measurements.similarity.similar is None:
        reasons.append(
            "Neither is enough to tell similar from different here. Instead: the last codes are "
            + ("as good as any, which counts as similar." if similar else "not the best ones, which counts as different.")
        )
    if measurements.p_value is not None:
        reasons.append(learned(measurements.p_value, measurements.last.layer))
    if earlier is not None:
        reasons.append(
            f"On the last codes ({measurements.last.layer}) a linear classifier is right for {_percent(last.accuracy)} of the "
            f"pictures, on the best earlier ones ({earlier.title}) for {_percent(earlier.probe.accuracy)}: "
            f"{_points(gain, gain_error)}, which is "
            f"{'surely better' if earlier_is_better else 'not surely better' if gain > 0 else 'no better'}."
        )
    reasons.append(
        "Almost without a network, from the pixels or the lowest layer, it is "
        f"{_percent(measurements.plain.accuracy)}; the best codes add {_points(worth, worth_error)}."
    )

    def decided(strategy: str, why: str) -> Choice:
        return Choice(strategy, many, similar, (*reasons, why))

    mistakes, plain_mistakes = 1 - last.accuracy, 1 - measurements.plain.accuracy
    useless = worth < -SURE * worth_error if similar else worth <= SURE * worth_error
    if retrainable and useless:
        finding = "are surely worse" if similar else "are not surely better"
        why = f"Higher codes {finding} than that: what the network has learned is of no use here"
        if many or earlier is None:
            return decided("scratch", f"{why}.")
        return decided("svm-earlier", f"{why}, and few pictures train no new one; its lower layers see edges, at least.")
    small = is_small(measurements.parameters)
    if measurements.per_class < MANY and not earlier_is_better and mistakes <= HALVED * plain_mistakes:
        why = "The last codes leave at most half of the mistakes that are made almost without a network"
        if small:
            learns = "it is small, learns hardly anything by heart, and its upper layers get further than a linear classifier"
            return decided("finetune-upper", f"{why}; {learns}.")
        return decided("svm", f"{why}: it knows more than few pictures can teach it.")
    if many and mistakes > SOLVED:
        why = "So many pictures can retrain the whole network, which then gets further than a linear classifier."
        return decided("finetune-all", why)
    if many:
        return decided("svm", "The last codes leave few mistakes for fine-tuning to remove; a linear classifier is enough.")
    if retrainable:
        why = "There are mistakes left, and the network is so small that even these pictures can retrain it."
        return decided("finetune-all", why)
    if not similar and earlier_is_better and 1 - earlier.probe.accuracy <= HALVED * mistakes:
        why = "Earlier codes leave at most half of the last ones' mistakes: the upper layers are too specific for these"
        return decided("svm-earlier", f"{why} pictures, and few pictures cannot retrain them.")
    if are_few(measurements.pictures) and not small:
        why = "These pictures are too few to retrain a large network"
        if similar:
            return decided("svm", f"{why}, and similar to those it knows.")
        if measurements.similarity.shift is not None:
            return decided("norms", f"{why}, and unlike those it knows: its batch norms, which are few numbers, have to learn.")
    avoided = "no earlier codes avoid them"
    if earlier_is_better:
        avoided = f"earlier codes avoid some, though {'the pictures are similar' if similar else 'less than half'}"
    return decided("finetune-upper", f"There are mistakes left, and {avoided}: the upper layers have to learn, at a low rate.")


def learned(p: float, layer: str) -> str:
    """A sentence that says whether anything was learned at all, given the p-value of a permutation test."""
    tested = (
        "Pictures are so few that chance may look like learning: relabelled at random, they reach the accuracy of the last "
        f"codes ({layer}) with a probability of {p:.3g}"
    )
    if p <= SIGNIFICANT:
        return f"{tested} only. Something was learned."
    return f"{tested}. Whether anything was learned is not certain; add pictures before you rely on any strategy."


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _points(difference: float, error: float) -> str:
    return f"{100 * difference:+.1f} ± {100 * error:.1f} points"
