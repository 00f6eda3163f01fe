"""The results of a study as arrays: for each set and model the scores `[K, n]` of its K seeds on the n test rows. Knows records, no test.

Where the mean of the scores of single rows is the value on record (accuracy, mean absolute or squared error, R squared), rows can be
a sample; where it is not, or single answers were not kept, a seed has its value alone: `[K, 1]`. More is better: errors are negative.
Of folds, each a test part once, a seed has the rows of all of them behind each other, or the mean of their values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from convrnn.core.errors import DataError
from convrnn.core.language import tr
from convrnn.report.records import Answer
from convrnn.report.study_records import Result, Study

Floats = NDArray[np.float64]

AGREES = 1e-5
"""How far the mean over rows may be from the value on record, which is computed in other order and precision."""


class Field(NamedTuple):
    """All results of one metric.

    Attributes:
        metric: its name.
        higher: whether more of it is better.
        sets: names, in the order of the study.
        arms: names, in the order of the study.
        scores: by set and arm `[K, n]`; an arm that was skipped on a set, or failed there, is not in it.
        by_rows: the sets whose rows are known one by one.
    """

    metric: str
    higher: bool
    sets: tuple[str, ...]
    arms: tuple[str, ...]
    scores: dict[tuple[str, str], Floats]
    by_rows: frozenset[str]


def fields(study: Study) -> list[Field]:
    """One field a metric: an accuracy and an error have no mean.

    Raises:
        DataError: results of one set that are not of the same metric, seeds or test rows.
    """
    kinds = list(dict.fromkeys((each.metric, each.higher) for each in study.results))
    return [_field(study, *kind) for kind in kinds]


def _field(study: Study, metric: str, higher: bool) -> Field:
    cells: dict[tuple[str, str], list[Result]] = {}
    for each in study.results:
        if (each.metric, each.higher) == (metric, higher):
            cells.setdefault((each.set, each.arm), []).append(each)
    sets = tuple(each.name for each in study.sets if any(set_ == each.name for set_, _ in cells))
    arms = tuple(each.name for each in study.arms if any(arm == each.name for _, arm in cells))
    scores: dict[tuple[str, str], Floats] = {}
    by_rows = set()
    for name in sets:
        own = {arm: found for (set_, arm), found in cells.items() if set_ == name}
        _same_seeds(name, own)
        rows = {arm: _rows(study, found) for arm, found in own.items()}
        known = all(each is not None for each in rows.values())
        if known:
            by_rows.add(name)
        for arm, found in own.items():
            single = rows[arm]
            each = single if known and single is not None else _values(found)
            scores[name, arm] = each if higher else -each
    _same_rows(scores)
    return Field(metric, higher, sets, arms, scores, frozenset(by_rows))


def _rows(study: Study, results: Sequence[Result]) -> Floats | None:
    """The scores of single rows, or None where they are not on record or do not make up the value."""
    found = []
    for own in by_seed(results):
        folds = [_row_scores(study, each) for each in own]
        known = [each for each in folds if each is not None]
        if len(known) < len(folds):
            return None
        found.append(np.concatenate(known))
    return np.stack(found) if len({len(each) for each in found}) == 1 else None


def _values(results: Sequence[Result]) -> Floats:
    """Where rows are not known: the value of each seed, of folds their mean, `[K, 1]`."""
    return np.array([[np.mean([each.value for each in own])] for own in by_seed(results)], np.float64)


def by_seed(results: Sequence[Result]) -> list[list[Result]]:
    """The results of one arm on one set, those of a seed together, its folds in order."""
    seeds = dict.fromkeys(each.seed for each in results)
    return [sorted((each for each in results if each.seed == seed), key=lambda each: each.fold or 0) for seed in seeds]


def _row_scores(study: Study, result: Result) -> Floats | None:
    """The scores of the rows of one test part, or None, likewise."""
    answers = study.answers(result)
    single = row_scores(result.metric, answers) if answers else None
    return None if single is None or abs(single.mean() - result.value) > AGREES * (1 + abs(result.value)) else single


def row_scores(metric: str, answers: Sequence[Answer]) -> Floats | None:
    """What each row adds to the mean that the metric is; None for a metric that is no such mean."""
    if metric == "accuracy":
        return np.array([float(each.label == each.target) for each in answers])
    if metric not in ("mae", "mse", "r2"):
        return None
    target = np.array([float(each.target) for each in answers])
    error = np.array([each.value for each in answers]) - target
    match metric:
        case "mae":
            return np.abs(error)
        case "mse":
            return error**2
        case _:
            spread = target.var()
            return 1 - error**2 / spread if spread else None


def _same_seeds(name: str, cells: dict[str, list[Result]]) -> None:
    seeds = {arm: tuple(each.seed if each.fold is None else (each.seed, each.fold) for each in found) for arm, found in cells.items()}
    first = next(iter(seeds))
    for arm, own in seeds.items():
        if own != seeds[first]:
            raise DataError(
                f"results.jsonl: {name}, {arm}",
                tr("expected the seeds {seeds} of {first}, got {own}", seeds=seeds[first], first=first, own=own),
                tr("run the study to its end"),
            )


def _same_rows(scores: dict[tuple[str, str], Floats]) -> None:
    widths: dict[str, int] = {}
    for (name, arm), each in scores.items():
        if widths.setdefault(name, each.shape[1]) != each.shape[1]:
            raise DataError(
                f"runs/{name}/{arm}/predictions.jsonl",
                tr("expected {rows} test rows as in the runs beside it, got {got}", rows=widths[name], got=each.shape[1]),
                tr("restore the file, or run the study again"),
            )
