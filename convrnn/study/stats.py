"""What the results of a study prove, and what they do not: results -> `statistics.json`. Knows no training, no page and no language.

Means with intervals, ranks, and for each pair of models one test; of all pairs together a wrong winner is named in at most `ALPHA` of all
studies (Holm). Which test is settled by the numbers of sets and models before any result is looked at:

* `sets`: the signed-rank test over sets, where so many sets can reach `ALPHA` at all (`ranked.least`); true of sets like these.
* `seeds`: the mean difference over these sets against what seeds and test rows vary (`crossed.py`); true of these sets.

Why: docs/decisions/0016-what-a-study-can-tell.md. Needs numpy and scipy.
"""

from __future__ import annotations

import json
import math
from itertools import combinations
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from convrnn.core.files import write as write_file
from convrnn.report.study_records import Study, read_study
from convrnn.study import ranked, resample
from convrnn.study.crossed import Crossed
from convrnn.study.ranked import Corrected, SignedRank
from convrnn.study.scores import Field, fields

Floats = NDArray[np.float64]
Json = dict[str, Any]
Scope = Literal["sets", "seeds"]

ALPHA = 0.05
"""In how many studies of equal models any winner may be named."""

LEVEL = 0.95
"""Of the intervals of single models."""

SEED = 20061
"""Of the bootstrap: the same results give the same bytes."""


def write(folder: str | Path) -> Path:
    """Writes `statistics.json` of a study folder, the same bytes for the same results; gives its path.

    Raises:
        DataError: the folder is no study folder, or a record is damaged; nothing was written.
        JobError: a file cannot be read or written.
    """
    path = Path(folder) / "statistics.json"
    write_file(path, json.dumps(plain(statistics(read_study(folder))), ensure_ascii=False, indent=1) + "\n")
    return path


def statistics(study: Study) -> Json:
    """The content of `statistics.json`: one family of tests for each metric, which share `ALPHA`."""
    found = fields(study.leading())
    return {"version": 1, "alpha": ALPHA, "level": LEVEL, "families": [family(each, ALPHA / len(found)) for each in found]}


def family(field: Field, alpha: float = ALPHA) -> Json:
    """What one metric's results prove, with a wrong winner in at most the share `alpha` of studies of equal models."""
    means = _means(field)
    draws = _draws(field)
    order = _order(field, means)
    omnibus = _omnibus(field)
    pairs = [_pair(field, means, each) for each in compared(field, alpha)]
    leaderboard = _leaderboard(field, means, draws, order)
    return {
        "metric": field.metric,
        "better": "higher" if field.higher else "lower",
        "alpha": alpha,
        "scope": _scope(field, alpha),
        "sets": list(field.sets),
        "arms": order,
        "seeds": max((len(each) for each in field.scores.values()), default=0),
        "test_rows": {name: next(s.shape[1] for (set_, _), s in field.scores.items() if set_ == name) for name in sorted(field.by_rows)},
        "leaderboard": leaderboard,
        "cells": [_cell(field, name, arm, draws) for name in field.sets for arm in order if (name, arm) in field.scores],
        "friedman": omnibus and {"models": len(_everywhere(field)), "sets": len(field.sets), **omnibus._asdict()},
        "cliques": _cliques(leaderboard, pairs),
        "pairs": pairs,
    }


class Compared(NamedTuple):
    """A pair of models and its test."""

    pair: tuple[str, str]
    test: SignedRank | Crossed
    p: float
    corrected: Corrected


def compared(field: Field, alpha: float = ALPHA) -> list[Compared]:
    """Every pair of models that share a set; in at most the share `alpha` of studies of equal models is any pair told apart."""
    means = _means(field)
    pairs = [pair for pair in combinations(field.arms, 2) if _common(field, *pair)]
    scope = _scope(field, alpha)
    tests = [_test(field, means, scope, *pair) for pair in pairs]
    plain = [test.p() for test in tests]
    omnibus, everywhere = _omnibus(field) if scope == "sets" else None, set(_everywhere(field))
    # A model that lacks a set was not in the omnibus test, which therefore says nothing of its pairs.
    gates = [omnibus.f_p if omnibus and everywhere.issuperset(pair) else 0.0 for pair in pairs]
    corrected = ranked.holm(plain, alpha, gates)
    return [Compared(*each) for each in zip(pairs, tests, plain, corrected, strict=True)]


def _scope(field: Field, alpha: float) -> Scope:
    """Which test: settled by numbers of sets and pairs alone, so that no result can choose the test that suits it."""
    pairs = sum(1 for pair in combinations(field.arms, 2) if _common(field, *pair))
    return "sets" if ranked.least(max(1, pairs), len(field.sets)) <= alpha else "seeds"


def _means(field: Field) -> dict[tuple[str, str], float]:
    return {cell: float(scores.mean()) for cell, scores in field.scores.items()}


def _order(field: Field, means: dict[tuple[str, str], float]) -> list[str]:
    """Models by their mean over sets, the best first; after them those that some set lacks, by theirs."""
    overall = {arm: float(np.mean([means[name, arm] for name in field.sets if (name, arm) in means])) for arm in field.arms}
    everywhere = _everywhere(field)
    return sorted(field.arms, key=lambda arm: (arm not in everywhere, -overall[arm]))


def _common(field: Field, first: str, second: str) -> list[str]:
    return [name for name in field.sets if (name, first) in field.scores and (name, second) in field.scores]


def _draws(field: Field) -> dict[tuple[str, str], Floats]:
    found = {}
    for number, name in enumerate(field.sets):
        arms = [arm for arm in field.arms if (name, arm) in field.scores]
        drawn = resample.means([field.scores[name, arm] for arm in arms], SEED + number)
        found |= {(name, arm): each for arm, each in zip(arms, drawn, strict=True)}
    return found


def _cell(field: Field, name: str, arm: str, draws: dict[tuple[str, str], Floats]) -> Json:
    values = _signed(field, field.scores[name, arm].mean(axis=1))
    return {
        "set": name,
        "arm": arm,
        "values": values.tolist(),
        "mean": values.mean(),
        "deviation": values.std(ddof=1) if len(values) > 1 else math.nan,
        **_interval(_signed(field, draws[name, arm])),
    }


def _leaderboard(field: Field, means: dict[tuple[str, str], float], draws: dict[tuple[str, str], Floats], order: list[str]) -> list[Json]:
    """Each model's mean over its sets, each set counting the same; ranks among the models that ran on every set."""
    everywhere = _everywhere(field)
    rank = dict(zip(everywhere, ranked.ranks(_table(field)).tolist(), strict=True)) if everywhere else {}
    lines = []
    for arm in order:
        names = [name for name in field.sets if (name, arm) in means]
        mean = _signed(field, np.mean([means[name, arm] for name in names]))
        drawn = _signed(field, np.mean([draws[name, arm] for name in names], axis=0))
        lines.append({"arm": arm, "sets": len(names), "mean": mean, **_interval(drawn), "rank": rank.get(arm, math.nan)})
    return lines


def _interval(drawn: Floats) -> Json:
    low, high = resample.interval(drawn, LEVEL)
    return {"low": low, "high": high}


def _omnibus(field: Field) -> ranked.Omnibus | None:
    """Friedman's test of the models that ran on every set, where there are three and they are not all equal."""
    table = _table(field)
    return ranked.friedman(table) if len(table) > 1 and table.shape[1] > 2 and np.ptp(table, axis=1).any() else None


def _table(field: Field) -> Floats:
    """Mean scores `[sets, models]` of the models that ran on every set."""
    means = _means(field)
    return np.array([[means[name, arm] for arm in _everywhere(field)] for name in field.sets])


def _everywhere(field: Field) -> list[str]:
    return [arm for arm in field.arms if all((name, arm) in field.scores for name in field.sets)]


def _cliques(leaderboard: list[Json], pairs: list[Json]) -> list[list[str]]:
    placed = [line for line in leaderboard if not math.isnan(line["rank"])]
    ordered = [line["arm"] for line in sorted(placed, key=lambda line: line["rank"])]
    told = np.zeros((len(ordered), len(ordered)), dtype=bool)
    for pair in pairs:
        if pair["told"] and pair["first"] in ordered and pair["second"] in ordered:
            i, j = ordered.index(pair["first"]), ordered.index(pair["second"])
            told[i, j] = told[j, i] = True
    return [[ordered[each] for each in run] for run in ranked.cliques(range(len(ordered)), told)]


def _test(field: Field, means: dict[tuple[str, str], float], scope: Scope, first: str, second: str) -> SignedRank | Crossed:
    names = _common(field, first, second)
    if scope == "sets":
        # Rounded, so that .95 - .93 and .02 are the tie that they are.
        return SignedRank(tuple(round(means[name, first] - means[name, second], 12) for name in names))
    return Crossed.of([field.scores[name, first] - field.scores[name, second] for name in names], [name in field.by_rows for name in names])


def _pair(field: Field, means: dict[tuple[str, str], float], found: Compared) -> Json:
    """One pair, the model that is ahead first; a difference above 0 is in its favour, whether more or less of the metric is better."""
    pair, test, p, corrected = found
    low, high = test.interval(corrected.level)
    ahead = _ahead(test)
    first, second = pair if ahead else pair[::-1]
    names = _common(field, first, second)
    by_set = np.round([means[name, first] - means[name, second] for name in names], 12)
    return {
        "first": first,
        "second": second,
        "sets": len(names),
        "wins": int((by_set > 0).sum()),
        "ties": int((by_set == 0).sum()),
        "losses": int((by_set < 0).sum()),
        "difference": test.difference if ahead else -test.difference,
        "low": low if ahead else -high,
        "high": high if ahead else -low,
        "level": corrected.level,
        "p": p,
        "holm": corrected.p,
        "told": corrected.told,
        "d_z": _standardised(field, names, first, second, test),
        "superiority": float(np.mean([_superiority(field.scores[name, first], field.scores[name, second]) for name in names])),
    }


def _ahead(test: SignedRank | Crossed) -> bool:
    """Whether the first model is ahead. Ranks lean to a model even where most sets tie, which makes the estimated difference 0."""
    return (test.leaning, test.difference) >= (0, 0.0) if isinstance(test, SignedRank) else test.difference >= 0


def _standardised(field: Field, names: list[str], first: str, second: str, test: SignedRank | Crossed) -> float:
    """Cohen's d_z (1988): mean over deviation of the differences, of the sets where sets are the sample, else of the seeds."""
    if isinstance(test, Crossed):
        by_seed = [field.scores[name, first].mean(axis=1) - field.scores[name, second].mean(axis=1) for name in names]
        if len({len(each) for each in by_seed}) > 1:
            return math.nan
        units = np.mean(by_seed, axis=0)
    else:
        units = np.array([field.scores[name, first].mean() - field.scores[name, second].mean() for name in names])
    spread = units.std(ddof=1) if len(units) > 1 else 0.0
    return float(units.mean() / spread) if spread > 1e-12 else math.nan


def _superiority(first: Floats, second: Floats) -> float:
    """Vargha & Delaney's A (2000): how often a training of the first model beats one of the second, a tie counting half."""
    a, b = np.round(first.mean(axis=1), 12)[:, None], np.round(second.mean(axis=1), 12)
    return float((a > b).mean() + 0.5 * (a == b).mean())


def _signed(field: Field, scores: Any) -> Any:
    """Scores, of which more is better, as the metric counts."""
    return scores if field.higher else -scores


def plain(value: Any) -> Any:
    """For JSON: twelve significant figures, so that the order of a sum does not show; nothing for what is not finite."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, float):
        return float(f"{value:.12g}") if math.isfinite(value) else None
    return value
