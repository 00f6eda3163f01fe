"""What statistics say, as sentences: who is better, who cannot be told apart, and what that holds for. Knows `statistics.json`, no test.

A sentence never says more than a corrected test showed. Numbers stand as `statistics.json` has them, rounded for a reader.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from convrnn.core.columns import width
from convrnn.core.language import both, tr
from convrnn.core.numerals import NONE, count, fixed, places, seconds
from convrnn.core.terms import named
from convrnn.report.records import Json
from convrnn.report.study_records import Cost, Study

COLUMNS = 80
LONGEST = 20  # columns of the name of a model on a terminal


class Verdict(NamedTuple):
    """What the pairs of one metric show.

    Attributes:
        headline: one sentence on the model that is ahead.
        decided: whether that model is better than any other.
        details: what it was better than and by how much, and what it cannot be told apart from.
        holds: what this is true of, and why no more can be said.
    """

    headline: str
    decided: bool
    details: tuple[str, ...]
    holds: tuple[str, ...]


def verdict(statistics: Json) -> list[Verdict]:
    """One verdict for each metric of a study."""
    return [_verdict(family) for family in statistics["families"]]


def leader(family: Json) -> str:
    """The model that is told better than most others; of several the first of the leaderboard."""
    net = dict.fromkeys(family["arms"], 0)
    for pair in family["pairs"]:
        if pair["told"]:
            net[pair["first"]] += 1
            net[pair["second"]] -= 1
    return max(net, key=net.__getitem__)


def pair_sentence(pair: Json, at: int) -> str:
    """What was found of two models, with the numbers that it rests on, `at` so many places."""
    numbers = {
        "first": pair["first"],
        "second": pair["second"],
        "p": probability(pair["holm"]),
        "difference": fixed(pair["difference"], at),
        "between": between(pair["low"], pair["high"], at),
    }
    if not pair["told"]:
        return tr("{first} and {second} cannot be told apart here (Holm p {p}, difference {difference} {between}).", **numbers)
    if pair["sets"] == 1:
        return tr("{first} is better than {second} (Holm p {p}, difference {difference} {between}).", **numbers)
    numbers |= {name: pair[name] for name in ("wins", "ties", "sets")}
    if pair["ties"]:
        return tr(
            "{first} is better than {second}, ahead on {wins} of {sets} sets and equal on {ties} "
            "(Holm p {p}, difference {difference} {between}).",
            **numbers,
        )
    return tr("{first} is better than {second}, ahead on {wins} of {sets} sets (Holm p {p}, difference {difference} {between}).", **numbers)


def probability(p: float) -> str:
    """= 0.0041; < 0.0001."""
    return "< 0.0001" if p < 1e-4 else f"= {p:.2g}"


def between(low: float | None, high: float | None, at: int) -> str:
    """[0.0120, 0.0502]; a dash where there is no interval."""
    return NONE if low is None or high is None else f"[{fixed(low, at)},\u00a0{fixed(high, at)}]"


def places_of(family: Json) -> int:
    """Decimal places at which the means of a family are compared: four of accuracies, by their size of errors."""
    return places(line["mean"] for line in family["leaderboard"])


def _verdict(family: Json) -> Verdict:
    if len(family["arms"]) < 2:
        return Verdict(tr("There is one model here, and nothing to compare it with."), False, (), ())
    best = leader(family)
    beaten = [pair for pair in family["pairs"] if pair["told"] and pair["first"] == best]
    equal = [_other(pair, best) for pair in family["pairs"] if not pair["told"] and best in (pair["first"], pair["second"])]
    equal = [arm for arm in family["arms"] if arm in equal]
    details = [pair_sentence(pair, places_of(family)) for pair in sorted(beaten, key=lambda pair: family["arms"].index(pair["second"]))]
    if not any(pair["told"] for pair in family["pairs"]):
        headline = tr("{models} cannot be told apart here.", models=both(family["arms"]))
    elif len(beaten) == len(family["arms"]) - 1:
        headline = tr("{model} is better than every other model here.", model=best)
    else:
        headline = tr("{model} is ahead, and cannot be told apart from {others}.", model=best, others=both(equal or [NONE]))
    return Verdict(headline, bool(beaten), tuple(details), tuple(_holds(family)))


def _other(pair: Json, arm: str) -> str:
    return pair["second"] if pair["first"] == arm else pair["first"]


def _holds(family: Json) -> Sequence[str]:
    """What the verdict is about, what was tested, and what keeps it from saying more."""
    sets, pairs, metric = len(family["sets"]), len(family["pairs"]), named(family["metric"])
    if family["scope"] == "sets":
        return [
            tr(
                "Tested over {sets} data sets ({metric}; Friedman's test, then Wilcoxon's signed-rank test of each of {pairs} pairs, "
                "Holm's correction): it holds for sets like these.",
                sets=sets,
                metric=metric,
                pairs=pairs,
            ),
            *_relative(family),
        ]
    if family["seeds"] < 2:
        return [tr("There is one seed of each model: what another one would give cannot be told. Give --seeds 5 or more.")]
    said: list[str] = [
        tr("Tested over {seeds} seeds of both models and the test rows ({metric}).", seeds=family["seeds"], metric=metric)
        if pairs == 1
        else tr(
            "Tested over {seeds} seeds of each model and the test rows ({metric}, {pairs} pairs, Holm's correction).",
            seeds=family["seeds"],
            metric=metric,
            pairs=pairs,
        )
    ]
    said.extend(_relative(family))
    if sets == 1:
        said.append(tr("It holds for this data set; whether it holds for others, one set cannot say."))
    elif pairs == 1:
        said.append(tr("It holds for the mean over these {sets} data sets; they are too few to speak of others.", sets=sets))
    else:
        said.append(
            tr(
                "It holds for the mean over these {sets} data sets; {sets} sets are too few to speak of others with {pairs} pairs.",
                sets=sets,
                pairs=pairs,
            )
        )
    lacking = [name for name in family["sets"] if name not in family["test_rows"]]
    if lacking:
        said.append(tr("Of {sets} the answers to single rows are not known: there it holds for these test rows only.", sets=both(lacking)))
    if family["seeds"] < 5:
        said.append(tr("With {seeds} seeds only large differences can be told; five or more see smaller ones.", seeds=family["seeds"]))
    return said


def _relative(family: Json) -> list[str]:
    """Errors that are no longer in the unit of the target."""
    if family["metric"] not in ("rae", "rse", "rrse"):
        return []
    return [tr("Errors of several sets are counted in that of guessing the mean of the test part, which is 1.")]


def leaderboard(study: Study) -> list[str]:
    """The leaderboard as lines of at most 80 columns: mean, interval, average rank, parameters, time of a training.

    Costs are means over the sets that a model ran on; empty before there are statistics.
    """
    lines: list[str] = []
    for family in (study.statistics or {"families": ()})["families"]:
        several = len(family["sets"]) > 1
        head = [
            tr("model"),
            named(family["metric"]),
            tr("95% interval"),
            *([tr("rank")] if several else []),
            tr("parameters"),
            tr("training time"),
        ]
        at = places_of(family)
        rows = [_cells(line, overall(study.costs, line["arm"], family["sets"]), several, at) for line in family["leaderboard"]]
        lines += [*([""] if lines else []), *_aligned(head, rows)]
        if any(line["sets"] < len(family["sets"]) for line in family["leaderboard"]):
            lines.append(tr("* not on every set: its mean is of other sets than that of the rest"))
    return lines


def _cells(line: Json, cost: Cost, several: bool, at: int) -> list[str]:
    star = "*" if several and line["rank"] is None else ""
    rank = [NONE if line["rank"] is None else f"{line['rank']:.2f}"] if several else []
    size = NONE if cost.parameters is None else short_count(cost.parameters)
    time = NONE if cost.train_seconds is None else seconds(cost.train_seconds)
    return [_cut(line["arm"]) + star, fixed(line["mean"], at), between(line["low"], line["high"], at), *rank, size, time]


def overall(costs: Sequence[Cost], arm: str, sets: Sequence[str]) -> Cost:
    """What an arm costs on these sets on average; None for what was measured on none of them."""
    own = [cost for cost in costs if cost.arm == arm and cost.set in sets]

    def mean(name: str) -> Any:
        known = [value for cost in own if (value := cost._asdict()[name]) is not None]
        return sum(known) / len(known) if known else None

    return Cost("", arm, *(mean(name) for name in Cost._fields[2:]))


def short_count(number: float) -> str:
    """489,706; 12.3M."""
    for least, letter in ((1e9, "G"), (1e7, "M")):
        if number >= least:
            return f"{number / (1e9 if letter == 'G' else 1e6):.3g}{letter}"
    return count(number)


def _cut(name: str) -> str:
    while width(name) > LONGEST:
        name = name.removesuffix("\u2026")[:-1] + "\u2026"
    return name


def _aligned(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    table = [head, *rows]
    wide = [max(width(row[column]) for row in table) for column in range(len(head))]
    return ["  ".join(_padded(text, wide[at], at > 0) for at, text in enumerate(row)).rstrip() for row in table]


def _padded(text: str, wide: int, right: bool) -> str:
    space = " " * (wide - width(text))
    return space + text if right else text + space
