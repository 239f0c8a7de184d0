"""From what was measured to what to do: the rules of the advisor, all of them here, with their thresholds.

The lecture's four scenarios (CS231n, "Transfer Learning": few or many pictures, similar to the old ones or different) say where
to start. What was measured on the pictures decides: whether any codes are better than the bare pixels, whether earlier codes
are better than the last ones, and how many mistakes are left for fine-tuning to remove. The thresholds are from experiments;
`lessons/laboratory/advisor.py` checks the rules against strategies that were carried out.
"""

from __future__ import annotations

from dataclasses import dataclass

from .measurements import Measurements

STRATEGIES = {
    "last": "a linear classifier on the last codes",
    "earlier": "a linear classifier on earlier codes",
    "upper": "fine-tuning of the upper layers",
    "all": "fine-tuning of all layers",
    "scratch": "training from scratch",
}

# The lecture's recommendation for each quadrant, (many, similar).
LECTURE = {(False, True): "last", (True, True): "all", (False, False): "earlier", (True, False): "all"}

MANY = 200  # pictures to learn from, per class on average: enough to fit a whole network to
ENOUGH = 300  # parameters of the network per picture, up to which fewer of a class are many for so small a network
SURE = 2.0  # standard errors of a difference; more than 1, because it is the best of several layers that is looked at
# Of the mistakes that are made almost without a network, the share that the last codes may leave: then the network knows these
# pictures better than few of them could teach it
HALVED = 0.5
SOLVED = 0.02  # share of mistakes of a linear classifier, of which fine-tuning of many pictures removes hardly any
RETRAINABLE = 3000  # parameters of the network per picture, up to which few pictures can retrain all of it too


@dataclass(frozen=True)
class Choice:
    """A strategy with the reasons for it.

    Attributes
    ----------
    strategy : str
        A key of ``STRATEGIES``.
    many, similar : bool
        The quadrant.
    reasons : tuple of str
        Sentences; the last one is what decided.
    """

    strategy: str
    many: bool
    similar: bool
    reasons: tuple[str, ...]


def choose(evidence: Measurements) -> Choice:
    """The rules, from the top; the first that applies decides.

    1. The network is small enough to be retrained, and its higher codes are not surely better than pixels or the lowest layer's
       (for similar pictures: surely worse): many pictures train one from scratch, few a linear classifier on earlier codes.
    2. Many pictures: fine-tune all layers; unless a linear classifier on the last codes makes hardly any mistake.
    3. Few, no earlier codes are surely better than the last ones, and these leave at most half of the mistakes that are made
       almost without a network: a linear classifier on the last codes.
    4. Few and different, but the network is small enough to be retrained by them: fine-tune all layers.
    5. Few and different, and earlier codes are surely better than the last ones: a linear classifier on those.
    6. Few otherwise: fine-tune the upper layers.
    """
    last, earlier = evidence.last.probe, evidence.earlier
    share = evidence.parameters / evidence.pictures
    many = evidence.per_class >= MANY or share <= ENOUGH
    gain, gain_error = (0.0, 0.0) if earlier is None else earlier.probe.better_than(last)
    earlier_is_better = gain > SURE * gain_error
    similar = evidence.similarity.similar
    if similar is None:  # nothing in the network says so: then by whether its last layers are of use
        similar = not earlier_is_better
    best = evidence.last if gain <= 0 else earlier
    worth, worth_error = best.probe.better_than(evidence.plain)
    mistakes = 1 - last.accuracy
    retrainable = share <= RETRAINABLE

    reasons = [
        f"{evidence.per_class:.0f} pictures to learn from per class, and {share:,.0f} parameters of the network for each "
        f"picture: {'many' if many else 'few'} ({MANY} and more of a class are many, and so are fewer for a network of up to "
        f"{ENOUGH} parameters a picture). It is {'small enough' if retrainable else 'too large'} to be retrained whole by few "
        f"(up to {RETRAINABLE:,} a picture).",
        *evidence.similarity.words(),
    ]
    if evidence.similarity.similar is None:
        reasons.append(
            "Neither is enough to tell similar from different here. Instead: the last codes are "
            + ("as good as any, which counts as similar." if similar else "not the best ones, which counts as different.")
        )
    if earlier is not None:
        reasons.append(
            f"The last codes ({evidence.last.layer}) let a linear classifier name {_percent(last.accuracy)} rightly, the best "
            f"earlier ones ({earlier.title}) {_percent(earlier.probe.accuracy)}: {_points(gain, gain_error)}"
            + (", which is surely better." if earlier_is_better else ", which is not surely better.")
        )
    reasons.append(
        f"Almost without a network, from the pixels or the lowest layer, it is {_percent(evidence.plain.accuracy)}; the best "
        f"codes add {_points(worth, worth_error)}."
    )

    def decided(strategy: str, why: str) -> Choice:
        return Choice(strategy, many, similar, (*reasons, why))

    useless = worth < -SURE * worth_error if similar else worth <= SURE * worth_error
    if retrainable and useless:
        finding = "are surely worse" if similar else "are not surely better"
        finding = f"Higher codes {finding} than that: what the network has learned is of no use here"
        if many or earlier is None:
            return decided("scratch", f"{finding}.")
        return decided("earlier", f"{finding}, and few pictures train no new one; its lower layers see edges, at least.")
    if many and mistakes > SOLVED:
        return decided("all", "So many pictures can retrain the whole network, which goes on where a linear classifier ends.")
    if many:
        return decided("last", "The last codes leave few mistakes for fine-tuning to remove; a linear classifier is enough.")
    if not earlier_is_better and mistakes <= HALVED * (1 - evidence.plain.accuracy):
        finding = "leave at most half of the mistakes that are made almost without a network"
        return decided("last", f"The last codes {finding}: it knows more than few pictures can teach it.")
    if not similar and retrainable:
        return decided("all", "The network is so small that even these pictures can retrain it, and it is made for other ones.")
    if not similar and earlier_is_better:
        return decided("earlier", "The upper layers are too specific for these pictures, and few pictures cannot retrain them.")
    return decided("upper", "Mistakes are left and no earlier codes avoid them: the upper layers are to learn, gently.")


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _points(difference: float, error: float) -> str:
    return f"{100 * difference:+.1f} ± {100 * error:.1f} points"
