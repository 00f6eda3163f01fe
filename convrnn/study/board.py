"""The leaderboard of a study as plain values: mean and deviation over seeds beside what they cost. Knows no test of significance."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import mean, median, stdev
from typing import Any, NamedTuple


class Leader(NamedTuple):
    """An arm on a set.

    Attributes:
        set: name of the set.
        arm: name of the arm.
        metric: what `mean` is of.
        mean: over seeds, on the test part.
        deviation: over seeds; None: there is one seed.
        parameters: of the net.
        seconds: of one training; the median.
        latency_ms: of one row.
    """

    set: str
    arm: str
    metric: str
    mean: float
    deviation: float | None
    parameters: int
    seconds: float
    latency_ms: float


def leaders(results: Iterable[Mapping[str, Any]], costs: Iterable[Mapping[str, Any]]) -> list[Leader]:
    """Set by set in the order of the tables, the best mean first; equal ones as the arms stand there."""
    seeds: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for line in results:
        seeds.setdefault((line["set"], line["arm"]), []).append(line)
    sets = list(dict.fromkeys(name for name, _ in seeds))
    found = [_leader(seeds[line["set"], line["arm"]], line) for line in costs]
    higher = {name: lines[0]["better"] == "higher" for (name, _), lines in seeds.items()}
    return sorted(found, key=lambda each: (sets.index(each.set), -each.mean if higher[each.set] else each.mean))


def _leader(lines: list[Mapping[str, Any]], cost: Mapping[str, Any]) -> Leader:
    values = [line["value"] for line in lines]
    spread = stdev(values) if len(values) > 1 else None
    seconds = median(cost["train_seconds"])
    return Leader(cost["set"], cost["arm"], lines[0]["metric"], mean(values), spread, cost["parameters"], seconds, cost["latency_ms"])
