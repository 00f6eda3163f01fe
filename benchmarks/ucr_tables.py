"""What the records of `ucr.py` say: folds, test parts beside published figures, and what the sets tell of the models. Trains nothing."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from pages import table

from convrnn.report import figures, verdict
from convrnn.report.drawing import png
from convrnn.report.fonts import Lettering
from convrnn.report.study_figures import looks, ranks
from convrnn.study import stats
from convrnn.study.scores import Field

Record = Mapping[str, Any]
Accuracies = dict[str, dict[str, list[float]]]
"""By model or candidate and by set, one a seed or fold."""

SEEDS = 5

THEIRS = ("published FCN", "published ResNet", "InceptionTime")

PUBLISHED = {
    "ACSF1": (0.898, 0.916, 0.920),
    "ArrowHead": (0.843, 0.838, 0.846),
    "Beef": (0.680, 0.753, 0.700),
    "CBF": (0.994, 0.996, 0.999),
    "Car": (0.913, 0.917, 0.883),
    "Chinatown": (0.980, 0.978, 0.985),
    "Coffee": (1.000, 1.000, 1.000),
    "ECG200": (0.888, 0.874, 0.930),
    "GunPoint": (1.000, 0.991, 1.000),
    "ItalyPowerDemand": (0.963, 0.962, 0.965),
    "Lightning2": (0.734, 0.780, 0.770),
    "OSULeaf": (0.979, 0.980, 0.942),
    "OliveOil": (0.720, 0.847, 0.833),
    "PLAID": (0.904, 0.940, 0.944),
    "PickupGestureWiimoteZ": (0.744, 0.704, 0.760),
    "Plane": (1.000, 1.000, 1.000),
    "SyntheticControl": (0.989, 0.997, 0.997),
}
"""The univariate sets: accuracy of FCN and ResNet (Fawaz et al. 2019, means of 5 runs) and of the ensemble InceptionTime (Fawaz et al.
2020). Their PLAID and PickupGestureWiimoteZ were made equally long first, here they are as they are."""

BEYOND = {"BasicMotions": 0.98, "JapaneseVowels": 0.985}
"""The multivariate sets, and what is asked."""

WANTED = 0.896
"""The mean of the published FCN over the 17 sets: what the best single model is to reach."""


def folds(records: Iterable[Record]) -> str:
    """A table of the candidates on folds of the training files, with the mean of those that have every fold of every set.

    A set has as many folds as any candidate has of it; in brackets: how many, where they are fewer.
    """
    found: Accuracies = {}
    for record in standing(records, "select"):
        candidate = " ".join((record["model"], *record["options"]))
        found.setdefault(candidate, {}).setdefault(record["set"], []).append(record["accuracy"])
    number = {name: max(len(of.get(name, [])) for of in found.values()) for name in sorted({name for of in found.values() for name in of})}
    lines = [[name, *(_folds(of.get(name, []), every) for of in found.values())] for name, every in number.items()]
    overall = [
        f"{statistics.mean(statistics.mean(each) for each in of.values()):.3f}" if {name: len(of[name]) for name in of} == number else ""
        for of in found.values()
    ]
    return table(["set", *(f"`{candidate}`" for candidate in found)], [*lines, ["**mean**", *overall]])


def _folds(found: Sequence[float], every: int) -> str:
    """The mean of a candidate on a set."""
    return f"{statistics.mean(found):.3f}{'' if len(found) == every else f' ({len(found)})'}" if found else "-"


def measured(records: Iterable[Record]) -> Accuracies:
    """The accuracies on test parts, by model."""
    found: Accuracies = {}
    for record in standing(records, "final"):
        found.setdefault(record["model"], {}).setdefault(record["set"], []).append(record["accuracy"])
    return dict(sorted(found.items()))


def standing(records: Iterable[Record], stage: str) -> Iterable[Record]:
    """The runs of a stage; where one stands twice, the later line counts."""
    return {(r["set"], r["model"], tuple(r["options"]), r["part"]): r for r in records if r["stage"] == stage}.values()


def parts(values: Accuracies) -> str:
    """A table of the test parts beside the published figures."""
    lines = [[name, *_cells(values, name), *(f"{value:.3f}" for value in row)] for name, row in PUBLISHED.items()]
    own = [f"**{mean(of):.3f}**" if whole(of) else f"{mean(of):.3f} of {_count(of)}" for of in values.values()]
    theirs = [f"{statistics.mean(column):.3f}" for column in zip(*PUBLISHED.values(), strict=True)]
    lines.append([f"**mean of the {len(PUBLISHED)}**", *own, *theirs])
    lines += [[f"{name} (asked: {asked})", *_cells(values, name), *[""] * len(THEIRS)] for name, asked in BEYOND.items()]
    return table(["set", *(f"`{model}`" for model in values), *THEIRS], lines)


def mean(of_set: Mapping[str, Sequence[float]]) -> float:
    """Over the univariate sets that were measured, each counting the same."""
    return statistics.mean([statistics.mean(of_set[name]) for name in PUBLISHED if name in of_set] or [0.0])


def whole(of_set: Mapping[str, Sequence[float]]) -> bool:
    """Whether every univariate set was measured, by one seed at least."""
    return all(name in of_set for name in PUBLISHED)


def missed(values: Accuracies) -> bool:
    """Whether models were measured and none reaches what is asked: of those that have all univariate sets, of those that have another."""
    reached = [([mean(of) for of in values.values() if whole(of)], WANTED)]
    reached += [([statistics.mean(of[name]) for of in values.values() if name in of], asked) for name, asked in BEYOND.items()]
    return any(found and max(found) < asked for found, asked in reached)


class Told(NamedTuple):
    """What the univariate sets tell of the models measured on all of them and of the published ones.

    Attributes:
        text: the verdict, and for each pair that differs what it rests on.
        alt: what the picture shows, in words.
        picture: the critical-difference diagram, a PNG.
    """

    text: str
    alt: str
    picture: bytes


def told(values: Accuracies) -> Told | None:
    """None before any model was measured on all univariate sets. Sets are the sample: how many seeds a mean is of does not count."""
    ours = {model: of for model, of in values.items() if whole(of)}
    if not ours:
        return None
    scores = {(name, model): np.array(of[name])[:, None] for model, of in ours.items() for name in PUBLISHED}
    scores |= {(name, model): np.array([[value]]) for name, row in PUBLISHED.items() for model, value in zip(THEIRS, row, strict=True)}
    family = stats.plain(stats.family(Field("accuracy", True, tuple(PUBLISHED), (*ours, *THEIRS), scores, frozenset())))
    (found,) = verdict({"families": [family]})
    letters = Lettering.find()
    with figures.style(letters):
        drawn = ranks(family, looks(family["arms"], letters))
        return Told(" ".join((found.headline, *found.details)), drawn.alt, png(drawn))


def _cells(values: Accuracies, name: str) -> Iterator[str]:
    for of_set in values.values():
        found = of_set.get(name, [])
        spread = f" ± {statistics.stdev(found):.3f}" if len(found) > 1 else ""
        number = "" if len(found) == SEEDS else f" ({len(found)})"
        yield f"{statistics.mean(found):.3f}{spread}{number}" if found else "-"


def _count(of_set: Mapping[str, Sequence[float]]) -> int:
    return sum(name in of_set for name in PUBLISHED)
