"""The results of a study as arrays: for each set and model the scores `[K, n]` of its K seeds on the n test rows. Knows records, no test.

Where the mean of the scores of single rows is the value on record (accuracy, mean absolute or squared error, R squared), rows can be
a sample; where it is not, or single answers were not kept, a seed has its value alone: `[K, 1]`. More is better: errors are negative.
Of folds, each a test part once, a seed has the rows of all of them behind each other, or the mean of their values by their rows.

Errors in the unit of the target have no mean over sets, nor is 3 of one unit less than 4 of another: of several sets they are shares of
the error that guessing the mean target of the test part makes, as in Witten & Frank's relative absolute error (2005, section 5.8).
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
        metric: its name; see `RELATIVE`.
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


RELATIVE = {"mae": "rae", "mse": "rse", "rmse": "rrse"}
"""Errors in the unit of the target, and their names as shares of what guessing the mean makes."""


def fields(study: Study) -> list[Field]:
    """One field a metric: an accuracy and an error have no mean. A set whose targets are not on record has its errors for itself.

    Raises:
        DataError: results of one set that are not of the same metric, seeds or test rows.
    """
    kinds = list(dict.fromkeys((each.metric, each.higher) for each in study.results))
    return [field for kind in kinds for field in _comparable(study, _field(study, *kind))]


def _comparable(study: Study, field: Field) -> list[Field]:
    """Fields over whose sets there are means: errors of several sets as shares of the error of guessing the mean."""
    if field.metric not in RELATIVE or len(field.sets) == 1:
        return [field]
    guessed = {name: _guessed(study, field, name) for name in field.sets}
    shared = _of_sets(field, [name for name in field.sets if guessed[name]])
    scores = {(name, arm): each / guessed[name] for (name, arm), each in shared.scores.items()}
    relative = shared._replace(metric=RELATIVE[field.metric], scores=scores)
    return [*([relative] if relative.sets else []), *(_of_sets(field, [name]) for name in field.sets if not guessed[name])]


def _of_sets(field: Field, names: Sequence[str]) -> Field:
    scores = {cell: each for cell, each in field.scores.items() if cell[0] in names}
    arms = tuple(arm for arm in field.arms if any(arm == other for _, other in scores))
    return field._replace(sets=tuple(names), arms=arms, scores=scores, by_rows=field.by_rows & set(names))


def _guessed(study: Study, field: Field, name: str) -> float:
    """The error of guessing the mean target of the test part; 0 where the targets are not on record or all the same."""
    first = next(each for each in study.results if (each.set, each.metric) == (name, field.metric))
    parts = [study.answers(each) for each in study.results if (each.set, each.arm, each.seed) == (name, first.arm, first.seed)]
    if not all(parts):
        return 0.0
    target = np.array([float(each.target) for part in parts for each in part])
    off = target - target.mean()
    return float({"mae": np.abs(off).mean(), "mse": off.var(), "rmse": off.std()}[field.metric])


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
            each = single if known and single is not None else _values(study, found)
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


def _values(study: Study, results: Sequence[Result]) -> Floats:
    """Where the scores of rows are not known: the value of each seed, `[K, 1]`; of folds their mean, each counting by its rows if known."""
    return np.array([[np.average([each.value for each in own], weights=_sizes(study, own))] for own in by_seed(results)], np.float64)


def _sizes(study: Study, folds: Sequence[Result]) -> list[int]:
    sizes = [len(study.answers(each)) for each in folds] if len(folds) > 1 else [1]
    return sizes if all(sizes) else [1] * len(folds)


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
