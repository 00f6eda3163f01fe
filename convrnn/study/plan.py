"""What a study compares: arms on data sets with seeds, as plain values, and the trainings that follow. Knows no data and no process.

An *arm* is what is compared: a label, a model and fixed options; an ablation is two arms that differ in one switch. A *pair* is an arm on a
set, with what was solved for it there. A *job* is one training of a pair: a trial of a learning rate, or a seed that counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

from convrnn.core.errors import DataError, UsageError
from convrnn.core.language import tr

VERSION = 1

TUNING_SEED = 1_000_003
"""Of every trial: none of the seeds that count, so that no rate is chosen for the luck of one of them."""

_UNFIT = re.compile(r'[<>:"/\\|?*\x00-\x1f]+')
"""What some system does not take in the name of a folder."""


@dataclass(frozen=True)
class Arm:
    """What is compared.

    Attributes:
        name: its label in every table, and the name of its folder.
        model: a name of the zoo, or a spec as its `to_dict()`; `convrnn.compare` also takes the path of a spec and a `Spec`.
        options: what `--set` takes, for this arm alone; they go before those of the study.
        first_seed: its seeds are this one and those after it; other than 0, to see what seeds alone do.

    Raises:
        UsageError: a name that cannot be that of a folder.

    Example:
        >>> Arm("crnn without dropout", "crnn", {"dropout": 0.0}).name
        'crnn without dropout'
    """

    name: str
    model: Any
    options: Mapping[str, Any] = field(default_factory=dict)
    first_seed: int = 0

    def __post_init__(self) -> None:
        if self.name != as_name(self.name):
            raise UsageError(
                "models", tr("{name!r} cannot be the name of a folder", name=self.name), tr("leave out {signs}", signs='< > : " / \\ | ? *')
            )


@dataclass(frozen=True)
class DataSet:
    """Where arms are compared.

    Attributes:
        name: its label in every table, and the name of its folder.
        data: a built-in name or a path.
        kind: of its rows: `series`, `text`, ...
        rows: of all parts.
        classes: labels; None: the target is a number.
        parts: rows of each part.
        metric: what models are compared by.
        better: which way it is better.
        budget: parameters that arms of equal size have here, where sets differ in it; None: that of the study, if it has one.
        options: of every arm on this set; they go before those of the study.
        digest: of its rows (`convrnn.data.digest`), which all trainings must have; None: a study of an older version, nobody knows.
    """

    name: str
    data: str
    kind: str
    rows: int
    classes: int | None
    parts: Mapping[str, int]
    metric: str
    better: Literal["higher", "lower"]
    budget: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    digest: str | None = None


@dataclass(frozen=True)
class Pair:
    """An arm on a set.

    Attributes:
        set: name of the set.
        arm: name of the arm.
        solved: options that the budget decided: `width`.
        parameters: of the whole net.
        rate: the learning rate that the model recommends here.
        aside: whether it is there for a claim alone: it is not on the leaderboard.
        fold: which part of the set is the test part; None: the set has but one. A pair of folds is that many pairs.
        seconds: how long a training takes by the estimate made beforehand; of use as a share of the whole.
    """

    set: str
    arm: str
    solved: Mapping[str, Any]
    parameters: int
    rate: float
    aside: bool = False
    fold: int | None = None
    seconds: float = 1.0


class Skipped(NamedTuple):
    """An arm that a set cannot have, and why."""

    set: str
    arm: str
    why: str


@dataclass(frozen=True)
class Plan:
    """A study, as `study.json` holds it.

    Attributes:
        version: of that file.
        name: of the study.
        command: what was typed.
        sets: in the order of the tables.
        arms: likewise; `model` is a name or a spec as plain values.
        seeds: K; the seeds are 0 to K - 1.
        budget: parameters that every model has within 5 %; None: every model has its own width.
        trials: learning rates that are tried for each pair; 1: the recommended one is taken.
        skipped: what is not compared.
        reading: how the data are read, by argument of `convrnn.train`.
        options: what `--set` gave to all arms.
        pairs: what is compared, set by set.
        judged: whether the claims of the five articles are, when all is done.
    """

    version: int
    name: str
    command: str
    sets: Sequence[DataSet]
    arms: Sequence[Arm]
    seeds: int
    budget: int | None
    trials: int
    skipped: Sequence[Skipped]
    reading: Mapping[str, Any]
    options: Mapping[str, Any]
    pairs: Sequence[Pair]
    judged: bool = False

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {**asdict(self), "skipped": [each._asdict() for each in self.skipped]}

    @classmethod
    def from_json(cls, stored: Any, where: str) -> Self:
        """The inverse of `to_json`.

        Raises:
            DataError: not what `to_json` gives, or of another version.
        """
        remedy = tr("restore it from a copy, or begin the study anew")
        if not isinstance(stored, dict) or set(stored) != {each.name for each in fields(cls)}:
            raise DataError(where, tr("is damaged or no study"), remedy)
        if stored["version"] != VERSION:
            raise DataError(
                where,
                tr("expected version {version}, got {got!r}", version=VERSION, got=stored["version"]),
                tr("go on with the convrnn that began it"),
            )
        try:
            parts: dict[str, list[Any]] = {
                "sets": [DataSet(**each) for each in stored["sets"]],
                "arms": [Arm(**each) for each in stored["arms"]],
                "skipped": [Skipped(**each) for each in stored["skipped"]],
                "pairs": [Pair(**each) for each in stored["pairs"]],
            }
        except TypeError as error:
            raise DataError(where, tr("is damaged: {error}", error=error), remedy) from None
        return cls(**{**stored, **parts})

    def set_of(self, pair: Pair) -> DataSet:
        """The set of a pair."""
        return next(each for each in self.sets if each.name == pair.set)

    def arm_of(self, pair: Pair) -> Arm:
        """The arm of a pair."""
        return next(each for each in self.arms if each.name == pair.arm)

    def options_of(self, pair: Pair) -> dict[str, Any]:
        """Everything that is set for a pair, its seed and a tuned rate apart."""
        fold = {} if pair.fold is None else {"fold": pair.fold}
        return {**self.options, **self.set_of(pair).options, **self.arm_of(pair).options, **pair.solved, **fold}

    @property
    def jobs(self) -> int:
        """Trainings in all."""
        return len(self.pairs) * self._trainings

    @property
    def seconds(self) -> float:
        """How long they take one after another, by the estimate."""
        return sum(pair.seconds for pair in self.pairs) * self._trainings

    @property
    def _trainings(self) -> int:
        """Of a pair."""
        return self.seeds + (self.trials if self.trials > 1 else 0)


class Job(NamedTuple):
    """One training.

    Attributes:
        place: of its pair among the pairs.
        kind: `trial` or `seed`.
        number: of the trial or the seed; in this order jobs are done.
    """

    place: int
    kind: Literal["trial", "seed"]
    number: int

    @property
    def turn(self) -> tuple[int, int, int]:
        """Sorts jobs: pair by pair, trials before seeds."""
        return self.place, self.kind == "seed", self.number


def home(study: Path, pair: Pair) -> Path:
    """The folder of a pair."""
    place = study / "runs" / pair.set / pair.arm
    return place if pair.fold is None else place / f"fold-{pair.fold}"


def as_name(text: str) -> str:
    """A text as the name of a folder on any system.

    Example:
        >>> as_name("a/b: c")
        'a-b- c'
    """
    return _UNFIT.sub("-", text).strip(" .") or "unnamed"


def distinct(names: Iterable[str]) -> list[str]:
    """The names, with a number behind those that came before; letters large or small are the same, as in some file systems.

    Example:
        >>> distinct(["ecg", "plaid", "ECG"])
        ['ecg', 'plaid', 'ECG-2']
    """
    found: list[str] = []
    taken: set[str] = set()
    for name in names:
        choices = (name, *(f"{name}-{n}" for n in range(2, 10_000)))
        found.append(next(each for each in choices if each.lower() not in taken))
        taken.add(found[-1].lower())
    return found
