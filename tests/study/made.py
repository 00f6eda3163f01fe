"""Made studies: scores drawn from a model of seeds and test rows, as arrays and as the folder that `convrnn compare` leaves."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from convrnn.study import judged, stats
from convrnn.study.scores import Field


def right(
    random: np.random.Generator, gains: Sequence[float], *, seeds: int, rows: int, run: float = 0.3, kind: float = 0.0, base: float = 1.5
) -> np.ndarray:
    """Right and wrong answers `[models, seeds, rows]` of models on one set.

    A row has a difficulty; a training is better or worse as a whole (`run`) and by chance on each row; models may have rows that
    suit them (`kind`), which is no difference between models but one between test parts. `gains` are real differences, in logits.
    """
    models = len(gains)
    logit = base + 2.0 * random.standard_normal(rows)
    logit = logit + kind * random.standard_normal((models, 1, rows)) + run * random.standard_normal((models, seeds, 1))
    logit = logit + random.standard_normal((models, seeds, rows)) + np.array(gains)[:, None, None]
    return (logit > 0).astype(np.float64)


def field(
    random: np.random.Generator, gains: Sequence[float], sets: int, *, seeds: int, rows: int, run: float = 0.3, kind: float = 0.0
) -> Field:
    """A study of accuracies over several sets, each of its own difficulty."""
    names, arms = tuple(f"set-{number}" for number in range(sets)), tuple(f"model-{number}" for number in range(len(gains)))
    scores = {}
    for name in names:
        each = right(random, gains, seeds=seeds, rows=rows, run=run, kind=kind, base=1.5 + 0.5 * random.standard_normal())
        scores |= {(name, arm): each[number] for number, arm in enumerate(arms)}
    return Field("accuracy", True, names, arms, scores, frozenset(names))


def errors(random: np.random.Generator, models: int, *, seeds: int, rows: int) -> Field:
    """A study of errors on one set, of equal models: each has rows that suit it, and its trainings hardly differ."""
    arms = tuple(f"model-{number}" for number in range(models))
    of_rows = random.standard_normal((models, 1, rows)) + 0.1 * random.standard_normal((models, seeds, rows))
    return Field("mae", False, ("set",), arms, {("set", arm): of_rows[number] for number, arm in enumerate(arms)}, frozenset({"set"}))


def write_lines(path: Path, records: Sequence[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(each, ensure_ascii=False) + "\n" for each in records), encoding="utf-8")


class Plan(NamedTuple):
    """What a made study is: gains in logits by model, sets with their numbers of test rows; models that are there for a claim alone; of
    errors the unit of each set, if not 1."""

    gains: dict[str, float]
    sets: dict[str, int]
    seeds: int = 5
    metric: str = "accuracy"
    classes: int = 3
    epochs: int = 12
    aside: tuple[str, ...] = ()
    units: Mapping[str, float] = MappingProxyType({})

    def unit(self, name: str) -> float:
        return self.units.get(name, 1.0)


RECURRENT = ("rnn", "lstm", "gru", "bilstm", "bigru", "crnn", "lstm-fcn")


def write_study(folder: Path, plan: Plan, seed: int = 1) -> Path:
    """The folder of a finished study, without its statistics."""
    random = np.random.default_rng(seed)
    results: list[Any] = []
    costs: list[Any] = []
    gradients: list[Any] = []
    for name, rows in plan.sets.items():
        own = [gain * (1 + 0.5 * random.standard_normal()) for gain in plan.gains.values()]
        hits = right(random, own, seeds=plan.seeds, rows=rows, base=1.5 + 0.5 * random.standard_normal())
        labels = [f"c{number}" for number in random.integers(plan.classes, size=rows)]
        for arm, each in zip(plan.gains, hits, strict=True):
            for number, answers in enumerate(each):
                write_run(folder / "runs" / name / arm / f"seed-{number}", plan, random, answers, labels, plan.unit(name))
                results.append(result(plan, name, arm, number, answers, labels))
            costs.append(cost(random, name, arm, plan.seeds))
            gradients += [gradient(random, name, arm, when) for when in ("begin", "end") if arm in RECURRENT]
    about = {
        "version": 1,
        "name": folder.name,
        "command": f"convrnn compare {' '.join(plan.sets)} --models {','.join(plan.gains)} --seeds {plan.seeds}",
        "sets": [
            {"name": name, "data": f"{name}.ts", "kind": "series", "rows": 3 * rows, "classes": plan.classes}
            for name, rows in plan.sets.items()
        ],
        "arms": [{"name": arm, "model": arm.split(":")[0], "options": {}} for arm in plan.gains],
        "seeds": plan.seeds,
        "budget": 20000,
        "trials": 3,
        "skipped": [{"set": next(iter(plan.sets)), "arm": "text-cnn", "why": "text-cnn reads tokens; this set has series"}],
        "pairs": [{"set": name, "arm": arm, "aside": arm in plan.aside} for name in plan.sets for arm in plan.gains],
    }
    (folder / "study.json").write_text(json.dumps(about, ensure_ascii=False), encoding="utf-8")
    for file, records in (("results", results), ("costs", costs), ("gradients", gradients)):
        write_lines(folder / f"{file}.jsonl", records)
    return folder


def write_run(run: Path, plan: Plan, random: np.random.Generator, answers: np.ndarray, labels: Sequence[str], unit: float) -> None:
    """Predictions and a learning curve."""
    if plan.metric == "accuracy":
        said = [{"label": label if hit else "another", "target": label} for hit, label in zip(answers, labels, strict=True)]
    else:
        said = [{"value": unit * (row % 4 + 1 - hit), "target": unit * (row % 4)} for row, hit in enumerate(answers)]
    write_lines(run / "predictions.jsonl", [{"name": str(row), **each} for row, each in enumerate(said)])
    end, speed = answers.mean(), random.uniform(1.5, 4.0)
    history = []
    for epoch in range(1, plan.epochs + 1):
        value = end * (1 - 0.7 * np.exp(-epoch / speed)) + 0.01 * random.standard_normal()
        history.append({"epoch": epoch, "step": 10 * epoch, "train": {"loss": 1 - value, plan.metric: value}, "rate": 1e-3})
        history[-1]["valid"] = {"loss": 1.1 - value, plan.metric: value - 0.02}
    write_lines(run / "history.jsonl", history)


def result(plan: Plan, name: str, arm: str, seed: int, answers: np.ndarray, labels: Sequence[str]) -> dict[str, Any]:
    """A line of results.jsonl."""
    accuracy = plan.metric == "accuracy"
    recall = {label: float(answers[np.array(labels) == label].mean()) for label in sorted(set(labels))}
    return {
        "set": name,
        "arm": arm,
        "model": arm.split(":")[0],
        "seed": seed,
        "metric": plan.metric,
        "better": "higher" if accuracy else "lower",
        "value": float(answers.mean() if accuracy else plan.unit(name) * (1 - answers).mean()),
        "valid": float(answers.mean()),
        "parameters": 20000 + 37 * len(arm),
        "options": {"rate": 1e-3, "width": 32},
        "per_class": recall if accuracy else None,
    }


def cost(random: np.random.Generator, name: str, arm: str, seeds: int) -> dict[str, Any]:
    """A line of costs.jsonl."""
    work = 20000 * random.uniform(1, 200)
    return {
        "set": name,
        "arm": arm,
        "parameters": 20000 + 37 * len(arm),
        "multiply_adds": int(work),
        "train_seconds": (work / 1e5 * random.uniform(0.8, 1.2, seeds)).tolist(),
        "latency_ms": work / 1e6 + 0.1,
        "push_ms": None if arm.startswith("bi") else 0.05,
        "memory_mb": 300 + work / 1e5,
        "disk_bytes": 81234,
    }


def gradient(random: np.random.Generator, name: str, arm: str, when: str) -> dict[str, Any]:
    """A line of gradients.jsonl."""
    fade = {"rnn": 0.3, "lstm": 0.05, "gru": 0.06}.get(arm, 0.04 + 0.04 * random.random()) / (2 if when == "end" else 1)
    distance = list(range(60))
    return {"set": name, "arm": arm, "when": when, "distance": distance, "norm": [float(np.exp(-fade * each)) for each in distance]}


ARMS = {"crnn": 0.6, "fcn": 0.5, "lstm-fcn": 0.55, "bigru": 0.1, "bilstm": 0.1, "gru": 0.0, "lstm": 0.0, "tcn": 0.3, "cnn": 0.2}
ARMS |= {"rnn": -0.8, "gate-cnn-lstm": 0.3, "parallel-cnn-lstm": 0.45}
MANY = Plan(ARMS, {f"UnivariateSet{number:02d}": 60 + 5 * number for number in range(12)}, 2, epochs=6)
ONE = Plan({"crnn": 0.7, "gru": 0.1, "lstm-fcn": 0.6, "rnn": -1.5}, {"digits": 359}, 5, classes=10)
FEW = Plan({"crnn": 0.7, "lstm": 0.1, "rnn": -1.0}, {"ECG": 100, "语音": 240, "PLAID": 120}, 5)
ERRORS = Plan({"crnn": 0.7, "gru": 0.1, "rnn": -1.5}, {"syllables": 200}, 5, metric="mae")
STUDIES = {"many": MANY, "one": ONE, "few": FEW, "errors": ERRORS}

CLAIMED = Plan(
    {
        "cnn": 0.0,
        "crnn": 0.2,
        "P1 cnn, other seeds": 0.0,
        "cnn own width": 0.0,
        "P2 one filter": -3.0,
        "gru own width": 0.1,
        "lstm own width": 0.1,
    },
    {"digits": 300, "JapaneseVowels": 300},
    epochs=2,
    aside=("P1 cnn, other seeds", "cnn own width", "P2 one filter", "gru own width", "lstm own width"),
)
"""Of the study `articles` two arms of the main comparison, those of the planted claims (equal but for the one filter) and those of K6."""


def write_articles(folder: Path) -> Path:
    """The folder of a finished study of the articles, its statistics and claims too."""
    write_study(folder, CLAIMED)
    stats.write(folder)
    judged.write(folder)
    return folder


def write_vowels(folder: Path) -> Path:
    """A folder of sets as `convrnn compare articles --data` takes it, in which JapaneseVowels alone is: 30 + 12 rows of two channels."""
    place, random = folder / "ucr_uea" / "JapaneseVowels", np.random.default_rng(0)
    place.mkdir(parents=True)
    head = ["@problemName JapaneseVowels", "@univariate false", "@dimensions 2", "@classLabel true a b c", "@data"]
    for part, rows in (("TRAIN", 30), ("TEST", 12)):
        values = [random.normal(row % 3, 1.0, (2, 8)) for row in range(rows)]
        lines = [":".join([*(",".join(f"{v:.2f}" for v in channel) for channel in each), "abc"[n % 3]]) for n, each in enumerate(values)]
        (place / f"JapaneseVowels_{part}.ts").write_text("\n".join([*head, *lines]) + "\n", encoding="utf-8")
    return folder
