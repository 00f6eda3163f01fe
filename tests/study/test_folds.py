"""A study over folds: each is trained and tuned by itself, tables have a line for each, statistics one score a row and seed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from convrnn.core.errors import DataError
from convrnn.report import read_study, render_study
from convrnn.study import engine, stats
from convrnn.study.folder import read_lines, read_plan, write_plan, write_tables
from convrnn.study.plan import VERSION, Arm, DataSet, Pair, Plan
from convrnn.study.progress import Nobody
from convrnn.study.scores import fields
from convrnn.study.workers import Hire
from tests.report.outline import outline
from tests.study.made import write_lines

FOLDS = 3
SIZES = (4, 4, 2)
"""Test rows of each fold."""


def plan_of(trials: int = 1) -> Plan:
    """One set in three folds, two arms, two seeds."""
    about = DataSet("ecg", "ecg.csv", "series", 10, 2, {"train": 6, "test": 4}, "accuracy", "higher")
    arms = [Arm("a", "gru"), Arm("b", "gru", {"batch": 2})]
    pairs = [Pair("ecg", arm.name, {}, 9, 1e-3, fold=fold) for arm in arms for fold in range(FOLDS)]
    return Plan(VERSION, "made", "convrnn compare", [about], arms, 2, None, trials, [], {}, {"epochs": 1, "folds": FOLDS}, pairs)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Plan], Path]:
    """A study over workers that pretend to train, with its tables."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))

    def go(plan: Plan) -> Path:
        study = tmp_path / "study"
        study.mkdir(exist_ok=True)
        write_plan(study, plan)
        engine.run(study, plan, 2, Hire("pretend", study / "workers.log"), Nobody())
        write_tables(study, plan)
        return study

    return go


def test_every_fold_is_trained_with_every_seed_and_stands_in_the_tables(run: Callable[[Plan], Path]) -> None:
    study = run(plan_of())
    found = read_lines(study / "results.jsonl")
    assert [(each["arm"], each["fold"], each["seed"]) for each in found] == [(a, f, s) for a in "ab" for f in range(FOLDS) for s in (0, 1)]
    for each in found:
        place = study / "runs" / "ecg" / each["arm"] / f"fold-{each['fold']}" / f"seed-{each['seed']}"
        options = json.loads((place / "metrics.json").read_text(encoding="utf-8"))["options"]
        assert (options["folds"], options["fold"], options["seed"]) == (FOLDS, each["fold"], each["seed"])
    costs, curves = read_lines(study / "costs.jsonl"), read_lines(study / "gradients.jsonl")
    assert [(each["arm"], len(each["train_seconds"])) for each in costs] == [("a", 2 * FOLDS), ("b", 2 * FOLDS)]
    assert [(each["arm"], each["when"]) for each in curves] == [(arm, when) for arm in "ab" for when in ("begin", "end")]
    assert not list(study.glob("runs/ecg/*/fold-[12]/costs.json")), "measured on one fold"
    assert read_plan(study) == plan_of()


def test_rates_are_chosen_within_each_fold(run: Callable[[Plan], Path]) -> None:
    """The rows that one fold watches are test rows of others."""
    study = run(plan_of(trials=2))
    assert len(list(study.glob("runs/ecg/*/fold-*/rates.json"))) == 2 * FOLDS
    assert len(list(study.glob("runs/ecg/*/fold-*/trial-*/metrics.json"))) == 2 * 2 * FOLDS


def test_an_arm_that_fails_on_one_fold_is_left_out_with_its_reason(run: Callable[[Plan], Path]) -> None:
    plan = plan_of()
    plan = replace(plan, arms=[plan.arms[0], replace(plan.arms[1], options={"fail": True})])
    study = run(plan)
    assert {each["arm"] for each in read_lines(study / "results.jsonl")} == {"a"}
    (skipped,) = read_plan(study).skipped
    assert (skipped.arm, skipped.why) == ("b", "fold 0, seed 0: the loss is nan")


def made(folder: Path, kept: bool = True) -> Path:
    """A finished study: arm a is right on the rows of folds 0 and 1, arm b on those of fold 2."""
    results = []
    for arm in "ab":
        for seed in (0, 1):
            for fold, rows in enumerate(SIZES):
                right = (fold < 2) == (arm == "a")
                answers = [{"name": str(row), "label": "x" if right else "y", "target": "x"} for row in range(rows)]
                if kept:
                    write_lines(folder / "runs" / "ecg" / arm / f"fold-{fold}" / f"seed-{seed}" / "predictions.jsonl", answers)
                line = {"set": "ecg", "arm": arm, "model": "gru", "seed": seed, "fold": fold, "metric": "accuracy", "better": "higher"}
                results.append({**line, "value": float(right), "parameters": 9})
    write_lines(folder / "results.jsonl", results)
    write_plan(folder, plan_of())
    return folder


def test_a_seed_has_one_score_for_every_row_of_the_set(tmp_path: Path) -> None:
    (field,) = fields(read_study(made(tmp_path)))
    assert field.by_rows == {"ecg"}
    assert field.scores["ecg", "a"].tolist() == [[1.0] * 8 + [0.0] * 2] * 2 and field.scores["ecg", "b"].mean() == 0.2
    family = json.loads(stats.write(tmp_path).read_text(encoding="utf-8"))["families"][0]
    assert family["test_rows"] == {"ecg": 10} and family["seeds"] == 2
    assert [(line["arm"], line["mean"]) for line in family["leaderboard"]] == [("a", 0.8), ("b", 0.2)]


def test_where_rows_are_not_known_a_seed_has_the_mean_of_its_folds(tmp_path: Path) -> None:
    (field,) = fields(read_study(made(tmp_path, kept=False)))
    assert np.allclose(field.scores["ecg", "a"], [[2 / 3]] * 2) and not field.by_rows


def test_arms_with_other_folds_are_not_compared(tmp_path: Path) -> None:
    lines = (made(tmp_path) / "results.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (tmp_path / "results.jsonl").write_text("".join([*lines[:-1], lines[-1].replace('"fold": 2', '"fold": 7')]), encoding="utf-8")
    with pytest.raises(DataError, match="expected the seeds"):
        fields(read_study(tmp_path))


def test_the_report_says_how_many_folds(tmp_path: Path) -> None:
    stats.write(made(tmp_path))
    assert f"folds{FOLDS}" in outline(render_study(tmp_path)).text
