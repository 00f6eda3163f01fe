"""The folder of a study: `study.json`, what each run left, the final tables. Knows no net and trains nothing.

A run is settled where `metrics.json` stands (it is written last), or `failed.json`, which says why a training cannot be done: its loss is
not a number, its rows are too short. The tables are made from the runs alone, in the order of the plan: the same bytes however often the
study was cut off.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

from convrnn.core.errors import DataError, UsageError
from convrnn.core.files import write
from convrnn.core.labels import in_order, label
from convrnn.core.language import tr
from convrnn.study.plan import Job, Pair, Plan, Skipped, home
from convrnn.study.tune import Trial, best, rates

Record = dict[str, Any]


def read_plan(study: Path) -> Plan:
    """The plan of a study.

    Raises:
        DataError: not the folder of a study, or a damaged one.
    """
    path = study / "study.json"
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        remedy = tr("give the folder that `convrnn compare` wrote")
        raise DataError(str(study), tr("expected the folder of a study with study.json, found none"), remedy) from None
    except ValueError as error:
        raise DataError(str(path), tr("is damaged: {error}", error=error), tr("restore it from a copy, or begin the study anew")) from None
    return Plan.from_json(stored, str(path))


def write_plan(study: Path, plan: Plan) -> None:
    """`study.json`."""
    write(study / "study.json", json.dumps(plan.to_json(), ensure_ascii=False, indent=1) + "\n")


def refuse_existing(study: Path) -> None:
    """Whether a study may be begun there; raises `UsageError` where something is. What a kill before `study.json` left is nothing."""
    if not study.exists():
        return
    remedy = tr("choose another")
    if (study / "study.json").is_file():
        remedy = tr("choose another, or go on with --resume {folder}", folder=study)
    if not study.is_dir() or any(entry.name != ".lock" and not entry.match(".*.part") for entry in study.iterdir()):
        full = tr("{folder} exists and is not empty", folder=study)
        raise UsageError("--out", full if study.is_dir() else tr("{folder} is a file, expected a folder", folder=study), remedy)


def run_of(study: Path, plan: Plan, job: Job) -> Path:
    """The folder of a job."""
    return home(study, plan.pairs[job.place]) / f"{job.kind}-{job.number}"


def settled(run: Path) -> bool:
    """Whether nothing is left to do there."""
    return (run / "metrics.json").is_file() or (run / "failed.json").is_file()


def tidy(run: Path) -> None:
    """Removes the checkpoints of a run that is settled: three times the model, and nothing goes on from them."""
    shutil.rmtree(run / "checkpoints", ignore_errors=True)


def why_failed(run: Path) -> str | None:
    """Why a training cannot be done; None: it can, or nobody knows yet."""
    path = run / "failed.json"
    return json.loads(path.read_text(encoding="utf-8"))["why"] if path.is_file() else None


def metrics_of(run: Path) -> Record:
    """`metrics.json`."""
    return json.loads((run / "metrics.json").read_text(encoding="utf-8"))


def choose_rate(study: Path, plan: Plan, pair: Pair) -> float | None:
    """The rate that the trials of a pair decided, all of them settled, and `rates.json` that says so; None: every trial failed."""
    found: list[Trial] = []
    shown = plan.set_of(pair).metric
    for number, rate in enumerate(rates(pair.rate, plan.trials)):
        run = home(study, pair) / f"trial-{number}"
        valid = None if why_failed(run) is not None else metrics_of(run)["valid"]
        found.append(Trial(rate, None if valid is None else valid[shown], None if valid is None else valid["loss"]))
    chosen = best(found, plan.set_of(pair).better)
    record = {"rate": None if chosen is None else chosen.rate, "trials": [each._asdict() for each in found]}
    write(home(study, pair) / "rates.json", json.dumps(record, indent=1) + "\n")
    return None if chosen is None else chosen.rate


def chosen_rate(study: Path, pair: Pair) -> float | None:
    """What `choose_rate` wrote."""
    return json.loads((home(study, pair) / "rates.json").read_text(encoding="utf-8"))["rate"]


def failures(study: Path, plan: Plan) -> list[Skipped]:
    """Arms of which on a set a seed, or every trial, cannot be trained, and why: they are not in the tables, which have every seed."""
    found: dict[tuple[str, str], Skipped] = {}
    for pair in plan.pairs:
        place = home(study, pair)
        why = {number: why_failed(place / f"seed-{number}") for number in range(plan.seeds)}
        said = [f"seed {number}: {text}" for number, text in why.items() if text is not None]
        if not said and plan.trials > 1 and (place / "rates.json").is_file() and chosen_rate(study, pair) is None:
            said = [f"trial 0: {why_failed(place / 'trial-0')}"]
        if said:
            fold = "" if pair.fold is None else f"fold {pair.fold}, "
            found.setdefault((pair.set, pair.arm), Skipped(pair.set, pair.arm, f"{fold}{said[0]}"))
    return list(found.values())


def write_tables(study: Path, plan: Plan) -> None:
    """`results.jsonl`, `costs.jsonl` and `gradients.jsonl` of a study all of whose jobs are settled, and `study.json` with what failed.

    Raises:
        DataError: two runs on a set were measured on other rows; nothing was written.
    """
    failed = failures(study, plan)
    gone = {(each.set, each.arm) for each in failed}
    pairs = [pair for pair in plan.pairs if (pair.set, pair.arm) not in gone]
    _write_lines(study / "results.jsonl", _results(study, plan, pairs))
    arms = [list(own) for _, own in groupby(pairs, lambda pair: (pair.set, pair.arm))]
    _write_lines(study / "costs.jsonl", (_costs(study, plan, own) for own in arms))
    _write_lines(study / "gradients.jsonl", (line for own in arms for line in _gradients(study, own[0])))
    begun = {(pair.set, pair.arm) for pair in plan.pairs}  # what stands of these is from tables before: somebody may have mended them
    refused = [each for each in plan.skipped if (each.set, each.arm) not in begun]
    write_plan(study, replace(plan, skipped=[*refused, *failed]))


def read_lines(path: Path) -> list[Record]:
    """The records of a table."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _write_lines(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    write(path, "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records))


def _results(study: Path, plan: Plan, pairs: Iterable[Pair]) -> Iterator[Record]:
    """The lines of `results.jsonl`, of runs that were measured on the same rows."""
    wanted: dict[tuple[str, int | None], list[Any]] = {}
    for pair in pairs:
        for seed in range(plan.seeds):
            path = home(study, pair) / f"seed-{seed}" / "predictions.jsonl"
            answers = read_lines(path)
            targets = [answer["target"] for answer in answers]
            _require_same(study, path, targets, wanted.setdefault((pair.set, pair.fold), targets))
            yield _result(study, plan, pair, seed, answers)


def _require_same(study: Path, path: Path, targets: Sequence[Any], wanted: Sequence[Any]) -> None:
    """Whether a run was measured on the rows of those beside it; raises `DataError`."""
    remedy = tr("restore the data, remove the runs that were made of others, and go on with --resume {folder}", folder=study)
    if len(targets) != len(wanted):
        problem = tr("expected {rows} test rows as in the runs beside it, got {got}", rows=len(wanted), got=len(targets))
        raise DataError(str(path), problem, remedy)
    for row, (target, other) in enumerate(zip(targets, wanted, strict=True), 1):
        if target != other:
            problem = tr("expected the target {wanted!r} as in the runs beside it, got {got!r}", wanted=other, got=target)
            raise DataError(f"{path}:{row}", problem, remedy)


def _result(study: Path, plan: Plan, pair: Pair, seed: int, answers: Sequence[Record]) -> Record:
    """A line of `results.jsonl`."""
    about, metrics = plan.set_of(pair), metrics_of(home(study, pair) / f"seed-{seed}")
    model = plan.arm_of(pair).model
    return {
        "set": pair.set,
        "arm": pair.arm,
        "model": model if isinstance(model, str) else "spec",
        "seed": seed,
        **({} if pair.fold is None else {"fold": pair.fold}),
        "metric": about.metric,
        "better": about.better,
        "value": metrics["test"][about.metric],
        "valid": metrics["valid"][about.metric] if "valid" in metrics else None,
        "parameters": metrics["parameters"],
        "options": {**pair.solved, **({"rate": chosen_rate(study, pair)} if plan.trials > 1 else {})},
        "per_class": None if about.classes is None else _recalls(answers),
    }


def _recalls(rows: Sequence[Record]) -> dict[str, float]:
    """By label: the share of its test rows that were given it."""
    counts = Counter(label(row["target"]) for row in rows)
    right = Counter(row["label"] for row in rows if row["label"] == label(row["target"]))
    return {name: right[name] / counts[name] for name in in_order(counts)}


def _costs(study: Path, plan: Plan, pairs: Sequence[Pair]) -> Record:
    """A line of `costs.jsonl`, of an arm on a set with all its folds: what was measured, and what the trainings took."""
    runs = [home(study, pair) / f"seed-{seed}" for pair in pairs for seed in range(plan.seeds)]
    peaks = [json.loads((run / "process.json").read_text(encoding="utf-8"))["memory_mb"] for run in runs]
    measured = json.loads((home(study, pairs[0]) / "costs.json").read_text(encoding="utf-8"))
    return {
        "set": pairs[0].set,
        "arm": pairs[0].arm,
        **measured,
        "train_seconds": [metrics_of(run)["seconds"]["train"] for run in runs],
        "memory_mb": None if None in peaks else max(peaks),
    }


def _gradients(study: Path, pair: Pair) -> list[Record]:
    """The lines of `gradients.jsonl` of a pair; none where it has no recurrence."""
    path = home(study, pair) / "gradients.json"
    return [{"set": pair.set, "arm": pair.arm, **each} for each in json.loads(path.read_text(encoding="utf-8"))]
