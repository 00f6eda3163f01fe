"""What the five articles claim, each as an experiment with a rule that decides it beforehand. Trains nothing and computes no interval.

K1 to K12 rest on the items of docs/articles.yaml; with what settings they run stands in articles.py. An experiment is sets x arms; two
arms that are compared differ in one switch. What it shows is an effect with an interval, signed so that above zero is as claimed; `verdict`
turns that into one of three words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from convrnn.core.language import tr
from convrnn.layers.base import Spec
from convrnn.layers.combine import Serial
from convrnn.layers.conv import Conv
from convrnn.layers.framewise import Activation
from convrnn.layers.init import Init
from convrnn.layers.norm import BatchNorm
from convrnn.layers.pool import Pool
from convrnn.layers.pool_whole import GlobalPool
from convrnn.study.plan import Arm

Verdict = Literal["held", "did not hold", "cannot be told"]
Relation = Literal["better", "no worse"]
Measure = Literal["quality", "train_seconds", "multiply_adds", "parameters"]
"""`quality`: the test figure of `results.jsonl`, more is better (an error counts as minus itself); the others are costs of `costs.jsonl`,
compared as the logarithm of their ratio, less is better."""

SAME = 0.005
"""A difference in accuracy that nobody would change a model for: half a point."""

SAME_COST = 0.05
"""Of a cost: 5 %."""


class Comparison(NamedTuple):
    """One thing that must be so if the claim holds.

    Attributes:
        first: the arm that is claimed to be better, or no worse.
        second: the arm it is compared with, one switch apart.
        sets: where; the effect is the mean over them.
        measure: what is compared.
        relation: what is claimed of it.
        margin: the largest difference that means nothing in practice, in the unit of the measure.
    """

    first: str
    second: str
    sets: tuple[str, ...]
    measure: Measure = "quality"
    relation: Relation = "better"
    margin: float = SAME

    @property
    def compared(self) -> tuple[str, ...]:
        """The arms."""
        return self.first, self.second


class Crossing(NamedTuple):
    """No arm is at the top everywhere.

    Attributes:
        arms: those compared, each with each.
        sets: where, one by one.
        margin: as of a comparison.
    """

    arms: tuple[str, ...]
    sets: tuple[str, ...]
    margin: float = SAME

    @property
    def compared(self) -> tuple[str, ...]:
        """The arms."""
        return self.arms


@dataclass(frozen=True)
class Claim:
    """A claim and its experiment.

    Attributes:
        id: K1 to K12.
        sentence: what is claimed, in the language of the context.
        items: of docs/articles.yaml, where it is claimed.
        arms: what is trained.
        decided_by: all of these must hold.
        equal: whether every arm is brought to the budget of the set; if not, the arms' own widths are what is compared, or the switch
            moves them.
    """

    id: str
    sentence: str
    items: tuple[str, ...]
    arms: tuple[Arm, ...]
    decided_by: tuple[Comparison | Crossing, ...]
    equal: bool = False

    @property
    def sets(self) -> tuple[str, ...]:
        """Every set of the experiment, once."""
        return tuple(dict.fromkeys(name for part in self.decided_by for name in part.sets))


class Effect(NamedTuple):
    """A mean difference, first minus second (of costs second minus first, of their logarithms), and its interval."""

    mean: float
    low: float
    high: float


# ---- the rules


def verdict(effect: Effect, margin: float, relation: Relation = "better") -> Verdict:
    """What an effect says of a claim.

    Args:
        effect: above zero is as claimed; its interval must be that of the family of all comparisons of the claim.
        margin: the largest difference that means nothing in practice, 0 or more.
        relation: `better`: held if the interval is above 0 and the effect at least the margin; did not hold if even the upper end is below
            the margin. `no worse`: held if the lower end is above minus the margin; did not hold if the interval is below 0 and the effect
            at most minus the margin. All else cannot be told.

    Raises:
        ValueError: an interval that does not hold its effect, or a margin below 0.

    Example:
        >>> verdict(Effect(0.03, 0.01, 0.05), 0.005), verdict(Effect(0.01, -0.02, 0.04), 0.005)
        ('held', 'cannot be told')
    """
    if not effect.low <= effect.mean <= effect.high or margin < 0:
        raise ValueError(f"expected low <= mean <= high and a margin of at least 0, got {effect} and {margin}")
    if relation == "better":
        if effect.low > 0 and effect.mean >= margin:
            return "held"
        return "did not hold" if effect.high < margin else "cannot be told"
    if effect.low > -margin:
        return "held"
    return "did not hold" if effect.high < 0 and effect.mean <= -margin else "cannot be told"


def crossed(effects: Mapping[tuple[str, str, str], Effect], arms: Sequence[str], margin: float) -> Verdict:
    """Whether the best arm depends on the set.

    Args:
        effects: (set, first, second) -> effect, each pair of arms in one order; a pair that was not measured on a set is not in it.
        arms: all that are compared.
        margin: as for `verdict`.

    Returns:
        `held` if some pair is better one way on one set and the other way on another; `did not hold` if there is an arm that is no worse
        than any other on every set, of which there must be two at least; else `cannot be told`.
    """
    both = {**effects, **{(name, b, a): Effect(-e.mean, -e.high, -e.low) for (name, a, b), e in effects.items()}}
    won = {(a, b) for (_, a, b), effect in both.items() if verdict(effect, margin) == "held"}
    if any((b, a) in won for a, b in won):
        return "held"
    sets = {name for name, _, _ in both}
    no_worse = {cell for cell, effect in both.items() if verdict(effect, margin, "no worse") == "held"}
    top = [a for a in arms if all((name, a, b) in no_worse for name in sets for b in arms if b != a)]
    return "did not hold" if len(sets) > 1 and top else "cannot be told"


def together(verdicts: Sequence[Verdict]) -> Verdict:
    """A claim of several parts: held if all of them did, not if one did not."""
    if "did not hold" in verdicts:
        return "did not hold"
    return "held" if verdicts and set(verdicts) == {"held"} else "cannot be told"


# ---- the experiments

SERIES, TEXT, PICTURES = ("JapaneseVowels", "PLAID", "ECG"), ("trec6", "mr_polarity", "zh_reviews"), ("digits", "mnist")
FIELDS = (SERIES, TEXT, PICTURES, ("fsdd",), ("splice",))
"""Series, text, pictures, audio, DNA."""

EVERYWHERE = tuple(name for field in FIELDS for name in field)
SMALL = ("JapaneseVowels", "ECG", "digits")
"""Few rows: what is meant against overfitting has something to do."""


def claims() -> tuple[Claim, ...]:
    """All twelve, K1 first, their sentences in the language of the context."""
    return tuple(sorted((*_memory(), *_joining(), *_training(), *_convolution()), key=lambda claim: int(claim.id[1:])))


def planted() -> tuple[Claim, ...]:
    """A false claim that must not be told and a true one that must: what the verdicts of a study are worth.

    The false one has no margin: two equal arms on many test rows are the same in practice, which a margin would call `did not hold`.
    """
    sets = ("digits", "JapaneseVowels")
    cnn, again = Arm("cnn", "cnn"), Arm("cnn, other seeds", "cnn", first_seed=1_000)
    one = Arm("one filter", "cnn", {"width": 1, "kernel": 1})
    return (
        Claim(
            "P1",
            tr("A CNN is better than the same CNN with other seeds."),
            (),
            (cnn, again),
            (Comparison("cnn", again.name, sets, margin=0.0),),
            True,
        ),
        Claim(
            "P2", tr("A CNN is better than a CNN of one filter that sees one frame."), (), (cnn, one), (Comparison("cnn", one.name, sets),)
        ),
    )


def _zoo(*names: str, **options: Any) -> tuple[Arm, ...]:
    return tuple(Arm(name, name, options) for name in names)


def _memory() -> tuple[Claim, ...]:
    last = {"pool": "last", "dropout": 0.0}
    whole = {"pool": "max"}
    made = ("adding", "copy")
    return (
        Claim(
            "K1",
            tr("A plain RNN forgets; gates mend it."),
            ("A10", "B05", "D02"),
            _zoo("rnn", "lstm", "gru", **last),
            tuple(Comparison(gated, "rnn", (name,), margin=0.01) for gated in ("lstm", "gru") for name in made),
            equal=True,
        ),
        Claim(
            "K4",
            tr("Reading from both ends is better than reading from one."),
            ("C02", "C03"),
            _zoo("lstm", "bilstm", "gru", "bigru", **whole),
            (Comparison("bilstm", "lstm", EVERYWHERE), Comparison("bigru", "gru", EVERYWHERE)),
            equal=True,
        ),
        Claim(
            "K6",
            tr("The GRU is simpler and faster than the LSTM, and no worse."),
            ("B05",),
            _zoo("lstm", "gru"),
            (
                Comparison("gru", "lstm", EVERYWHERE, relation="no worse"),
                Comparison("gru", "lstm", EVERYWHERE, "parameters", margin=SAME_COST),
                Comparison("gru", "lstm", EVERYWHERE, "train_seconds", margin=SAME_COST),
            ),
        ),
    )


def _joining() -> tuple[Claim, ...]:
    hybrids = ("crnn", "cnn-lstm", "parallel-cnn-lstm", "gate-cnn-lstm")
    return (
        Claim(
            "K2",
            tr("A CNN sees local patterns and trains faster than a recurrence."),
            ("A11", "B08"),
            _zoo("cnn", "lstm"),
            (
                Comparison("cnn", "lstm", TEXT, relation="no worse"),
                Comparison("cnn", "lstm", EVERYWHERE, "train_seconds", margin=SAME_COST),
            ),
            equal=True,
        ),
        Claim(
            "K3",
            tr("Convolution and recurrence together are better than either alone."),
            ("A12", "D05", "D06", "D07"),
            _zoo("crnn", "cnn", "bigru"),
            (Comparison("crnn", "cnn", ("motif-order", *EVERYWHERE)), Comparison("crnn", "bigru", ("motif-order", *EVERYWHERE))),
            equal=True,
        ),
        Claim(
            "K5",
            tr("Together they are better in every field: series, text, pictures, audio, DNA."),
            ("A01", "A02", "A03", "A04", "A05", "A06", "A07", "A08", "A09", "D01"),
            _zoo("crnn", "cnn", "bigru"),
            tuple(Comparison("crnn", half, field) for field in FIELDS for half in ("cnn", "bigru")),
            equal=True,
        ),
        Claim(
            "K7",
            tr("Which way to join them is best depends on the task and the data."),
            ("D06", "D07", "D08", "D09"),
            _zoo(*hybrids),
            (Crossing(hybrids, EVERYWHERE),),
            equal=True,
        ),
    )


def _training() -> tuple[Claim, ...]:
    brief = {"epochs": 8}
    return (
        Claim(
            "K8",
            tr("Batch normalisation makes training faster: better after as few epochs."),
            ("C10",),
            (Arm("with batch norm", convolutions(), brief), Arm("without batch norm", convolutions(norm=False), brief)),
            (Comparison("with batch norm", "without batch norm", SERIES),),
        ),
        Claim(
            "K9",
            tr("Dropout and weight decay lessen overfitting."),
            ("C11", "C12", "E17"),
            (
                Arm("neither", "crnn", {"dropout": 0.0}),
                Arm("dropout", "crnn", {"dropout": 0.5}),
                Arm("weight decay", "crnn", {"dropout": 0.0, "weight_decay": 1e-3}),
            ),
            (Comparison("dropout", "neither", SMALL), Comparison("weight decay", "neither", SMALL)),
        ),
        Claim(
            "K10",
            tr("Gradient clipping and the initial weights of Xavier and He help."),
            ("C08", "C09"),
            (
                Arm("clipped", "rnn", {"clip": 1.0}),
                Arm("not clipped", "rnn", {"clip": None}),
                *(Arm(init, convolutions(norm=False, init=init)) for init in ("xavier", "he", "normal")),
            ),
            (
                Comparison("clipped", "not clipped", SERIES),
                *(Comparison(init, "normal", SERIES) for init in ("xavier", "he")),
            ),
        ),
        Claim(
            "K11",
            tr("Augmentation helps."),
            ("C07",),
            (
                Arm("as it is", "crnn"),
                Arm("series augmented", "crnn", {"augment": [{"jitter": 0.05}, {"window_slice": 0.9}]}),
                Arm("pictures augmented", "crnn", {"augment": ["shift", "rotate"]}),
            ),
            (
                Comparison("series augmented", "as it is", ("JapaneseVowels", "ECG")),
                Comparison("pictures augmented", "as it is", ("digits",)),
            ),
        ),
    )


def _convolution() -> tuple[Claim, ...]:
    return (
        Claim(
            "K12",
            tr("Pooling saves computation at no loss; kernel and width decide the accuracy."),
            ("A13", "B11", "C13", "C15", "C16"),
            (
                Arm("pooled", convolutions()),
                Arm("not pooled", convolutions(pool=1)),
                Arm("kernel 5", "cnn", {"kernel": 5}),
                Arm("kernel 1", "cnn", {"kernel": 1}),
                Arm("width 64", "cnn", {"width": 64}),
                Arm("width 8", "cnn", {"width": 8}),
            ),
            (
                Comparison("pooled", "not pooled", SERIES, relation="no worse"),
                Comparison("pooled", "not pooled", SERIES, "multiply_adds", margin=SAME_COST),
                Comparison("kernel 5", "kernel 1", SERIES + TEXT),
                Comparison("width 64", "width 8", SERIES + TEXT),
            ),
        ),
    )


def convolutions(norm: bool = True, init: Init = "he", pool: int = 2) -> dict[str, Any]:
    """Three convolutions for series, their switches apart from those of the zoo: batch norm, initial weights, pooling."""
    layers: list[Spec] = []
    for width in (32, 64, 64):
        layers += [Conv(width, kernel=5, init=init), *([BatchNorm()] if norm else []), Activation("relu")]
        layers += [Pool(pool)] if pool > 1 else []
    return Serial(*layers, GlobalPool("max")).to_dict()
