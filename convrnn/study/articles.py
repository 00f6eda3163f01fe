"""The study `articles` as data: sets with their settings, the main comparison, and which arms the claims need where. Trains nothing.

The main comparison is the family of the five articles at one budget a set. An arm of a claim that is the same as another one (model,
options, size) is trained once: `entered` lists each with the sets that anybody needs it on.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

from convrnn.study.claims import EVERYWHERE, Claim, claims, planted
from convrnn.study.plan import Arm, as_name
from convrnn.zoo import get

NAME = "articles"

MAIN = (
    "rnn",
    "lstm",
    "gru",
    "bilstm",
    "bigru",
    "cnn",
    "tcn",
    "cnn-lstm",
    "parallel-cnn-lstm",
    "crnn",
    "gate-cnn-lstm",
    "qrnn",
)
"""The halves, the four ways to join them, and a convolution whose gates are its recurrence."""


@dataclass(frozen=True)
class Ground:
    """A set of the study.

    Attributes:
        data: what `convrnn compare` is given; DIR is the folder of the sets, as in docs/results.md.
        budget: parameters of arms of equal size: one a kind of data.
        options: of all arms here: what brings the training of the whole study down to hours.
        packaged: what to take where DIR is not given or lacks it; None: nothing.
    """

    data: str
    budget: int
    options: Mapping[str, Any] = field(default_factory=dict)
    packaged: str | None = None


_WORDS = {"max_size": 2_000, "max_tokens": 60}
"""Of texts, whose embedding else is nearly all of the parameters: then a budget would compare embeddings. So it is 256,000 of 320,000."""

GROUNDS: Mapping[str, Ground] = {
    "adding": Ground("adding", 20_000, {"epochs": 10}),
    "copy": Ground("copy", 20_000, {"epochs": 10}),
    "motif-order": Ground("motif-order", 40_000, {"epochs": 10}),
    "JapaneseVowels": Ground("DIR/ucr_uea/JapaneseVowels", 60_000, {"epochs": 30}, "japanese-vowels"),
    "PLAID": Ground("DIR/ucr_uea/PLAID", 60_000, {"epochs": 10}),
    "ECG": Ground("DIR/mts_baydogan/ECG", 60_000, {"epochs": 40}),
    "trec6": Ground("DIR/trec6/TREC.train.gz", 320_000, {**_WORDS, "epochs": 6}),
    "mr_polarity": Ground("DIR/mr_polarity", 320_000, {**_WORDS, "epochs": 4}),
    "zh_reviews": Ground("DIR/zh_reviews/train.tsv.gz", 320_000, {**_WORDS, "epochs": 3}),
    "digits": Ground("digits", 110_000, {"epochs": 15}),
    "mnist": Ground("mnist-5000", 110_000, {"epochs": 5}),  # of all 70,000 this set alone would take a day
    "fsdd": Ground("DIR/fsdd/recordings.zip", 60_000, {"epochs": 5}),
    "splice": Ground("DIR/dna_splice/splice.data.gz", 60_000, {"epochs": 15}),
}
"""Label -> set, in the order of the tables."""


class Entered(NamedTuple):
    """An arm of the study.

    Attributes:
        arm: with its label in this study.
        equal: whether it is brought to the budget of the set.
        sets: where somebody needs it.
        main: whether it is one of the main comparison.
    """

    arm: Arm
    equal: bool
    sets: frozenset[str]
    main: bool

    def on_board(self, label: str) -> bool:
        """Whether it is on the leaderboard for this set."""
        return self.main and label in EVERYWHERE


def entered() -> list[Entered]:
    """Every arm of the study once, those of the main comparison first.

    Example:
        >>> [each.arm.name for each in entered()][:4]
        ['rnn', 'lstm', 'gru', 'bilstm']
    """
    found: dict[str, Entered] = {}
    for each in (*_main(), *(need for claim in every_claim() for need in _needs(claim))):
        before = found.get(each.arm.name)
        found[each.arm.name] = each if before is None else before._replace(sets=before.sets | each.sets)
    return list(found.values())


def label_of(claim: Claim, name: str) -> str:
    """The label in the study of an arm that a claim calls `name`: arms that are the same have the same, others have not."""
    arm = next(each for each in claim.arms if each.name == name)
    return _labels()[_key(arm, claim.equal)]


@cache
def _labels() -> Mapping[str, str]:
    """By what an arm is, the label of the first that is this."""
    found = {_key(each.arm, True): each.arm.name for each in _main()}
    for claim in every_claim():
        for arm in claim.arms:
            found.setdefault(_key(arm, claim.equal), _label(claim, arm))
    return found


def _main() -> Iterator[Entered]:
    for name in MAIN:
        yield Entered(Arm(name, name), True, frozenset(EVERYWHERE), True)


def _needs(claim: Claim) -> Iterator[Entered]:
    for arm in claim.arms:
        name = label_of(claim, arm.name)
        sets = {place for part in claim.decided_by for place in part.sets if arm.name in part.compared}
        yield Entered(Arm(name, arm.model, arm.options, arm.first_seed), claim.equal, frozenset(sets), False)


def _label(claim: Claim, arm: Arm) -> str:
    """Of an arm that bears the name of its model, the model with its options; a name that a claim chose is behind the claim's."""
    if arm.name != arm.model:
        return f"{claim.id} {arm.name}"
    options = [f"{key}={value}" for key, value in _own(arm).items()]
    return as_name(" ".join([arm.name, *options, *([] if claim.equal else ["own width"])]))


def _key(arm: Arm, equal: bool) -> str:
    """What an arm is, whatever it is called."""
    return json.dumps([arm.model, sorted(_own(arm).items()), arm.first_seed, equal], sort_keys=True)


def _own(arm: Arm) -> Mapping[str, Any]:
    """The options in which an arm differs from its model."""
    if not isinstance(arm.model, str):
        return arm.options
    usual = get(arm.model).options
    return {key: value for key, value in arm.options.items() if key not in usual or usual[key].default != value}


def every_claim() -> Sequence[Claim]:
    """The claims of the articles, then those that were planted."""
    return (*claims(), *planted())
