"""From the tables of a study to a verdict for each claim: `claims.json`. Knows no training and no page; the rules stand in `claims.py`.

Every comparison of a claim has its interval at the level 1 - ALPHA / m, m being the comparisons of that claim (Bonferroni): all of them are
right together in 95 % of studies. The interval of a figure is that of `crossed.py`, over seeds and test rows: it holds for these sets. Of
the time of a training it is over seeds alone, of logarithms. Sizes and multiply-adds do not vary: their interval has no width.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from convrnn.core.files import write as write_file
from convrnn.core.language import speaking
from convrnn.report.study_records import Study, read_study
from convrnn.study.articles import every_claim, label_of
from convrnn.study.claims import Claim, Comparison, Crossing, Effect, Measure, crossed, together, verdict
from convrnn.study.crossed import Crossed
from convrnn.study.folder import read_lines
from convrnn.study.scores import fields
from convrnn.study.stats import ALPHA, plain

Floats = NDArray[np.float64]
Json = dict[str, Any]


class Tables(NamedTuple):
    """What a study measured, by set and arm.

    Attributes:
        scores: `[K, n]`, more is better; see `scores.Field`.
        by_rows: the sets whose rows are known one by one.
        metric: of each set.
        costs: the lines of `costs.jsonl`.
    """

    scores: Mapping[tuple[str, str], Floats]
    by_rows: frozenset[str]
    metric: Mapping[str, str]
    costs: Mapping[tuple[str, str], Json]

    @classmethod
    def of(cls, study: Study) -> Tables:
        """From the records of a study; its costs with the time of each training."""
        found = fields(study)
        return cls(
            {cell: scores for field in found for cell, scores in field.scores.items()},
            frozenset().union(*(field.by_rows for field in found)),
            {name: field.metric for field in found for name in field.sets},
            {(line["set"], line["arm"]): line for line in read_lines(study.folder / "costs.jsonl")},
        )


def write(folder: str | Path) -> Path:
    """Writes `claims.json` of a study folder whose tables are there, the same bytes for the same tables; gives its path.

    Raises:
        DataError: the folder is no study folder, or a record is damaged; nothing was written.
    """
    path = Path(folder) / "claims.json"
    write_file(path, json.dumps(plain(judged(Tables.of(read_study(folder)))), ensure_ascii=False, indent=1) + "\n")
    return path


def judged(tables: Tables) -> Json:
    """The content of `claims.json`: each claim in both languages, its comparisons with effect and interval, its verdict."""
    english, chinese = _in("en"), _in("zh")
    claims = [_judge(tables, claim, {"en": claim.sentence, "zh": other.sentence}) for claim, other in zip(english, chinese, strict=True)]
    return {"version": 1, "alpha": ALPHA, "claims": claims}


def _in(language: Any) -> Sequence[Claim]:
    with speaking(language):
        return every_claim()


def _judge(tables: Tables, claim: Claim, sentence: Mapping[str, str]) -> Json:
    level = 1 - ALPHA / sum(_count(part) for part in claim.decided_by)
    parts = [
        _crossing(tables, claim, p, level) if isinstance(p, Crossing) else _comparison(tables, claim, p, level) for p in claim.decided_by
    ]
    return {
        "id": claim.id,
        "sentence": sentence,
        "items": list(claim.items),
        "equal": claim.equal,
        "level": level,
        "verdict": together([part["verdict"] for part in parts]),
        "parts": parts,
    }


def _count(part: Comparison | Crossing) -> int:
    """Intervals that a part rests on."""
    pairs = len(part.arms) * (len(part.arms) - 1) // 2 if isinstance(part, Crossing) else 1
    return pairs * len(part.sets) if isinstance(part, Crossing) else pairs


def _comparison(tables: Tables, claim: Claim, part: Comparison, level: float) -> Json:
    """A comparison on those of its sets that have both arms; where there is none, nothing can be told."""
    first, second = label_of(claim, part.first), label_of(claim, part.second)
    sets = list(_shared(tables, part.sets, part.measure, first, second))
    effect = _effect(tables, sets, part.measure, first, second, level) if sets else None
    return {
        "first": first,
        "second": second,
        "sets": sets,
        "missing": [name for name in part.sets if name not in sets],
        "measure": part.measure,
        "metric": tables.metric[sets[0]] if sets and part.measure == "quality" else None,
        "relation": part.relation,
        "margin": part.margin,
        "effect": None if effect is None else effect._asdict(),
        "verdict": "cannot be told" if effect is None else verdict(effect, part.margin, part.relation),
    }


def _crossing(tables: Tables, claim: Claim, part: Crossing, level: float) -> Json:
    """Each pair of arms on each set; where that is nothing, nothing can be told."""
    labels = [label_of(claim, arm) for arm in part.arms]
    cells = [
        (name, first, second)
        for name in part.sets
        for first, second in combinations(labels, 2)
        if all((name, arm) in tables.scores for arm in (first, second))
    ]
    effects = {cell: _effect(tables, [cell[0]], "quality", *cell[1:], level) for cell in cells}
    told = [(cell, effect) for cell, effect in effects.items() if effect.low > 0 or effect.high < 0]
    seen = {name for name, _, _ in effects}
    return {
        "arms": labels,
        "sets": [name for name in part.sets if name in seen],
        "missing": [name for name in part.sets if name not in seen],
        "margin": part.margin,
        "pairs": len(effects),
        "told": [{"set": cell[0], "first": cell[1], "second": cell[2], "effect": effect._asdict()} for cell, effect in told],
        "verdict": crossed(effects, labels, part.margin),
    }


def _shared(tables: Tables, sets: Sequence[str], measure: Measure, first: str, second: str) -> Iterator[str]:
    """The sets that have both arms; of figures those that have the metric of the first such set: others have no mean with it."""
    metric: str | None = None
    for name in sets:
        known = tables.scores if measure == "quality" else tables.costs
        if (name, first) not in known or (name, second) not in known:
            continue
        metric = metric or tables.metric[name]
        if measure != "quality" or tables.metric[name] == metric:
            yield name


def _effect(tables: Tables, sets: Sequence[str], measure: Measure, first: str, second: str, level: float) -> Effect:
    """The mean over sets of first minus second; of costs of the logarithm of second over first, so that cheaper is above 0."""
    if measure == "quality":
        differences = [tables.scores[name, first] - tables.scores[name, second] for name in sets]
        return _interval(differences, [name in tables.by_rows for name in sets], level)
    logs = [_logs(tables.costs[name, second], measure) - _logs(tables.costs[name, first], measure) for name in sets]
    if measure == "train_seconds":
        return _interval(logs, [False] * len(logs), level)
    mean = float(np.mean([each.mean() for each in logs]))
    return Effect(mean, mean, mean)


def _interval(differences: Sequence[Floats], known: Sequence[bool], level: float) -> Effect:
    found = Crossed.of(differences, known)
    low, high = found.interval(level)
    return Effect(found.difference, low, high)


def _logs(cost: Json, measure: Measure) -> Floats:
    """`[K, 1]`; of what does not vary `[1, 1]`. Times below what a clock shows count as that."""
    values = cost[measure] if isinstance(cost[measure], list) else [cost[measure]]
    return np.array([[math.log(max(float(each), 1e-3))] for each in values])
