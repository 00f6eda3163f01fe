"""Reading the records of a study folder. Knows file names and formats; nothing of tests, pictures, pages or models.

`study.json` says what was asked and must be there; what a study still going on has not yet written is empty. Numbers are
checked where they are read, so that whoever draws or tests them may trust them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from convrnn.core.errors import DataError
from convrnn.core.language import tr
from convrnn.report.records import Answer, Epoch, Json, answers, json_object, lines, read_history


class Set(NamedTuple):
    """A data set of the study; `rows`, `classes` and `budget` are None where they are not known."""

    name: str
    data: str
    kind: str
    rows: int | None
    classes: int | None
    budget: int | None


class Arm(NamedTuple):
    """What is compared: a label, a model and the options in which it differs."""

    name: str
    model: str
    options: Mapping[str, Any]


class Skipped(NamedTuple):
    """What an arm could not do."""

    set: str
    arm: str
    why: str


class Result(NamedTuple):
    """One training: its value on the test part (of folds, on its own), and the recall of each class where there are classes."""

    set: str
    arm: str
    seed: int
    metric: str
    higher: bool
    value: float
    parameters: int
    options: Mapping[str, Any]
    per_class: Mapping[str, float]
    fold: int | None = None


class Cost(NamedTuple):
    """What an arm costs on a set; None where it was not measured."""

    set: str
    arm: str
    parameters: int | None
    multiply_adds: int | None
    train_seconds: float | None
    latency_ms: float | None
    push_ms: float | None
    memory_mb: float | None
    disk_bytes: int | None


class Gradient(NamedTuple):
    """The norm of the gradient of the last frame's loss by the input, frame by frame before it."""

    set: str
    arm: str
    when: str
    distance: tuple[int, ...]
    norm: tuple[float, ...]


@dataclass(frozen=True)
class Study:
    """Everything that the report of a study draws from."""

    folder: Path
    name: str
    command: str
    seeds: int
    budget: int | None
    trials: int | None
    sets: tuple[Set, ...]
    arms: tuple[Arm, ...]
    skipped: tuple[Skipped, ...]
    results: tuple[Result, ...]
    costs: tuple[Cost, ...]
    gradients: tuple[Gradient, ...]
    statistics: Json | None
    aside: frozenset[tuple[str, str]]
    claims: Json | None
    folds: int | None = None

    def leading(self) -> Study:
        """What is on the leaderboard: without arms, results and gradients that are there for a claim alone."""
        results = tuple(each for each in self.results if (each.set, each.arm) not in self.aside)
        gradients = tuple(each for each in self.gradients if (each.set, each.arm) not in self.aside)
        alone = {arm for _, arm in self.aside} - {each.arm for each in results}
        return replace(self, arms=tuple(each for each in self.arms if each.name not in alone), results=results, gradients=gradients)

    def run(self, result: Result) -> Path:
        """The folder of a training."""
        place = self.folder / "runs" / result.set / result.arm
        return (place if result.fold is None else place / f"fold-{result.fold}") / f"seed-{result.seed}"

    def epochs(self, result: Result) -> tuple[Epoch, ...]:
        """The learning curve of a training; empty where its history was not kept."""
        return read_history(self.run(result) / "history.jsonl")[1]

    def answers(self, result: Result) -> tuple[Answer, ...]:
        """What a training said of each row of the test part; empty where that was not kept."""
        return answers(self.run(result) / "predictions.jsonl")


def is_study(folder: str | Path) -> bool:
    """Whether a folder is that of a study rather than of a run."""
    return (Path(folder) / "study.json").exists()


def read_study(folder: str | Path) -> Study:
    """Reads the records of a study folder.

    Raises:
        DataError: the folder is missing, is not a study folder, or holds a damaged record.
        JobError: a file is there and cannot be read.
    """
    place = Path(folder)
    asked = json_object(place / "study.json")
    if asked is None:
        raise DataError(
            str(place), tr("expected a study folder with study.json, found none"), tr("give the folder that `convrnn compare --out` named")
        )
    where = "study.json"
    return Study(
        folder=place,
        name=str(asked.get("name") or place.resolve().name),
        command=str(asked.get("command") or ""),
        seeds=_whole(asked, "seeds", where) or 0,
        budget=_whole(asked, "budget", where),
        trials=_whole(asked, "trials", where),
        sets=tuple(
            Set(
                _text(r, "name", at),
                str(r.get("data", "")),
                str(r.get("kind", "")),
                _whole(r, "rows", at),
                _whole(r, "classes", at),
                _whole(r, "budget", at),
            )
            for at, r in _objects(asked, "sets", where)
        ),
        arms=tuple(
            Arm(_text(r, "name", at), str(r.get("model", "")), dict(r.get("options") or {})) for at, r in _objects(asked, "arms", where)
        ),
        skipped=tuple(
            Skipped(_text(r, "set", at), _text(r, "arm", at), str(r.get("why", ""))) for at, r in _objects(asked, "skipped", where)
        ),
        results=tuple(_result(r, at) for at, r in lines(place / "results.jsonl")),
        costs=tuple(_cost(r, at) for at, r in lines(place / "costs.jsonl")),
        gradients=tuple(_gradient(r, at) for at, r in lines(place / "gradients.jsonl")),
        statistics=json_object(place / "statistics.json"),
        aside=frozenset((_text(r, "set", at), _text(r, "arm", at)) for at, r in _objects(asked, "pairs", where) if r.get("aside")),
        claims=json_object(place / "claims.json"),
        folds=_whole(dict(asked.get("options") or {}), "folds", where),
    )


def _result(record: Json, where: str) -> Result:
    better = record.get("better")
    if better not in ("higher", "lower"):
        raise _wrong(where, "better", tr("`higher` or `lower`"), better)
    return Result(
        set=_text(record, "set", where),
        arm=_text(record, "arm", where),
        seed=_needed(_whole(record, "seed", where), "seed", where),
        metric=_text(record, "metric", where),
        higher=better == "higher",
        value=_value(record, where),
        parameters=_needed(_whole(record, "parameters", where), "parameters", where),
        options=dict(record.get("options") or {}),
        per_class={str(label): float(recall) for label, recall in (record.get("per_class") or {}).items()},
        fold=_whole(record, "fold", where),
    )


def _cost(record: Json, where: str) -> Cost:
    spent = [float(each) for each in record.get("train_seconds") or ()]
    return Cost(
        set=_text(record, "set", where),
        arm=_text(record, "arm", where),
        parameters=_whole(record, "parameters", where),
        multiply_adds=_whole(record, "multiply_adds", where),
        train_seconds=sum(spent) / len(spent) if spent else None,
        latency_ms=_real(record, "latency_ms", where),
        push_ms=_real(record, "push_ms", where),
        memory_mb=_real(record, "memory_mb", where),
        disk_bytes=_whole(record, "disk_bytes", where),
    )


def _gradient(record: Json, where: str) -> Gradient:
    distance, norm = record.get("distance"), record.get("norm")
    if not isinstance(distance, list) or not isinstance(norm, list) or len(distance) != len(norm):
        raise _wrong(where, "norm", tr("as many numbers as distances"), norm)
    return Gradient(
        _text(record, "set", where),
        _text(record, "arm", where),
        _text(record, "when", where),
        tuple(int(each) for each in distance),
        tuple(math.nan if each is None else float(each) for each in norm),
    )


def _objects(record: Json, key: str, where: str) -> list[tuple[str, Json]]:
    found = record.get(key) or []
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise _wrong(where, key, tr("a list of objects"), found)
    return [(f"{where}: {key}[{number}]", each) for number, each in enumerate(found)]


def _text(record: Json, key: str, where: str) -> str:
    value = record.get(key)
    if not isinstance(value, str) or not value:
        raise _wrong(where, key, tr("a text"), value)
    return value


def _whole(record: Json, key: str, where: str) -> int | None:
    value = record.get(key)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
        raise _wrong(where, key, tr("a whole number"), value)
    return value


def _real(record: Json, key: str, where: str) -> float | None:
    value = record.get(key)
    if value is not None and (not isinstance(value, int | float) or isinstance(value, bool)):
        raise _wrong(where, key, tr("a number"), value)
    return None if value is None else float(value)


def _value(record: Json, where: str) -> float:
    value = _real(record, "value", where)
    if value is None:
        raise _wrong(where, "value", tr("a number"), value)
    return value


def _needed(value: int | None, key: str, where: str) -> int:
    if value is None:
        raise _wrong(where, key, tr("a number"), None)
    return value


def _wrong(where: str, key: str, expected: str, got: object) -> DataError:
    return DataError(
        f"{where}: {key}",
        tr("expected {expected}, got {got!r}", expected=expected, got=got),
        tr("restore the file, or run the study again"),
    )
