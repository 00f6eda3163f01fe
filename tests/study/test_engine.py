"""A study over workers that only pretend to train: every job once, trials before seeds, deaths and failures told apart, the tables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from convrnn.core.errors import DataError, JobError
from convrnn.study import engine
from convrnn.study.folder import read_lines, read_plan, write_plan, write_tables
from convrnn.study.plan import TUNING_SEED, VERSION, Arm, DataSet, Pair, Plan, Skipped
from convrnn.study.progress import Ended, Nobody
from convrnn.study.workers import Hire


class Noted(Nobody):
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.totals: list[int] = []
        self.left: list[float] = []
        self.labels: list[str] = []
        self.done = -1

    def begin(self, total: int, done: int, work: float) -> None:
        self.totals, self.left, self.done = [total], [work], done

    def total(self, total: int, work: float) -> None:
        self.totals.append(total)
        self.left.append(work)

    def ended(self, key: object, what: Ended | None) -> None:
        self.labels += [what.label] if what else []


@pytest.fixture(autouse=True)
def _found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


def plan_of(options: Mapping[str, Mapping[str, Any]], seeds: int = 2, trials: int = 1) -> Plan:
    """One set, an arm for each name."""
    about = DataSet("ecg", "ecg.csv", "series", 9, 2, {"train": 9}, "accuracy", "higher")
    arms = [Arm(name, "gru", given) for name, given in options.items()]
    pairs = [Pair("ecg", name, {"width": 4}, 9, 1e-3, seconds=10.0) for name in options]
    return Plan(VERSION, "made", "convrnn compare", [about], arms, seeds, None, trials, [], {"target": "y"}, {"epochs": 1}, pairs)


def run(study: Path, plan: Plan, workers: int = 2) -> Noted:
    study.mkdir(exist_ok=True)
    write_plan(study, plan)
    told = Noted()
    engine.run(study, plan, workers, Hire("pretend", study / "workers.log"), told)
    write_tables(study, plan)
    return told


def test_every_job_is_done_once_and_not_again(tmp_path: Path) -> None:
    plan = plan_of({"a": {}, "b": {"slow": 0.05}}, seeds=3)
    told = run(tmp_path, plan)
    assert sorted(told.labels) == [f"ecg, {arm}, seed {seed}" for arm in "ab" for seed in range(3)]
    assert (told.done, told.totals[-1], told.left[0], told.left[-1]) == (0, 6, 60.0, 0.0)
    before = {name: (tmp_path / name).read_bytes() for name in ("results.jsonl", "costs.jsonl", "gradients.jsonl", "study.json")}
    again = run(tmp_path, plan)
    assert (again.done, again.labels) == (6, [])
    assert {name: (tmp_path / name).read_bytes() for name in before} == before
    assert not list(tmp_path.rglob("checkpoints"))


def test_the_tables(tmp_path: Path) -> None:
    run(tmp_path, plan_of({"a": {}, "b": {}}))
    results, costs = read_lines(tmp_path / "results.jsonl"), read_lines(tmp_path / "costs.jsonl")
    assert [(each["arm"], each["seed"]) for each in results] == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
    assert list(results[0]["per_class"].items()) == [("2", 0.5), ("10", 0.0)]
    assert results[0]["options"] == {"width": 4}
    assert costs[0]["memory_mb"] == 101.0 and costs[0]["train_seconds"] == [0.5, 0.5]
    assert read_lines(tmp_path / "gradients.jsonl")[0] == {"set": "ecg", "arm": "a", "when": "begin", "distance": [0], "norm": [1.0]}


def test_trials_decide_the_rate_of_the_seeds(tmp_path: Path) -> None:
    told = run(tmp_path, plan_of({"a": {}}, trials=3), workers=1)
    assert told.labels == [f"ecg, a, {job}" for job in ("trial 0", "trial 1", "trial 2", "seed 0", "seed 1")]
    runs = {path.parent.name: json.loads(path.read_text())["options"] for path in tmp_path.rglob("metrics.json")}
    assert {runs[f"trial-{number}"]["seed"] for number in range(3)} == {TUNING_SEED}
    assert [runs[f"seed-{seed}"] for seed in (0, 1)] == [{"epochs": 1, "width": 4, "rate": 0.000316228, "seed": seed} for seed in (0, 1)]
    assert [each["options"]["rate"] for each in read_lines(tmp_path / "results.jsonl")] == [0.000316228] * 2


def test_a_worker_that_died_leaves_a_study_to_go_on_with(tmp_path: Path) -> None:
    plan = plan_of({"a": {"die": True}, "b": {}})
    with pytest.raises(JobError, match=r"ecg, a, seed 0: its process was killed .* \(and 1 more\); go on with --resume"):
        run(tmp_path, plan)
    assert len(list(tmp_path.rglob("metrics.json"))) == 2, "the others went on"
    assert run(tmp_path, plan).done == 2
    assert len(read_lines(tmp_path / "results.jsonl")) == 4


@pytest.mark.parametrize("trials", [1, 2])
def test_an_arm_that_cannot_be_trained_is_left_out_with_its_reason(tmp_path: Path, trials: int) -> None:
    plan = plan_of({"a": {}, "wild": {"fail": True}}, trials=trials)
    told = run(tmp_path, plan)
    assert told.totals[-1] == (4 if trials == 1 else 6), "seeds that no trial allows are not waited for"
    assert told.left[-1] == 0.0
    assert {each["arm"] for each in read_lines(tmp_path / "results.jsonl")} == {"a"}
    (skipped,) = read_plan(tmp_path).skipped
    assert (skipped.arm, skipped.why) == ("wild", f"{'seed' if trials == 1 else 'trial'} 0: the loss is nan")
    run(tmp_path, read_plan(tmp_path))
    assert len(read_plan(tmp_path).skipped) == 1


def test_an_arm_that_could_be_trained_after_all_is_no_longer_left_out(tmp_path: Path) -> None:
    run(tmp_path, replace(plan_of({"a": {}, "wild": {"fail": True}}), skipped=[Skipped("ecg", "text-cnn", "takes text")]))
    for path in tmp_path.rglob("failed.json"):
        path.unlink()
    stored = read_plan(tmp_path)
    run(tmp_path, replace(stored, arms=[replace(arm, options={}) for arm in stored.arms]))
    assert {each["arm"] for each in read_lines(tmp_path / "results.jsonl")} == {"a", "wild"}
    assert [each.arm for each in read_plan(tmp_path).skipped] == ["text-cnn"]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (
            [{"target": 2.0}, {"target": "2"}, {"target": 2}],
            r"predictions\.jsonl:2: expected the target '10' as in the runs beside it, got '2'",
        ),
        ([{"target": 2.0}], r"predictions\.jsonl: expected 3 test rows as in the runs beside it, got 1"),
    ],
)
def test_runs_on_other_rows_make_no_table(tmp_path: Path, rows: list[dict[str, Any]], said: str) -> None:
    """As after the data of a study of an older version changed between two arms."""
    plan = plan_of({"a": {}, "b": {}})
    run(tmp_path, plan)
    (tmp_path / "results.jsonl").unlink()
    one = tmp_path / "runs" / "ecg" / "b" / "seed-1" / "predictions.jsonl"
    one.write_text("".join(json.dumps({**row, "label": "2"}) + "\n" for row in rows))
    with pytest.raises(DataError, match=said + "; restore the data, remove the runs that were made of others, and go on with --resume"):
        write_tables(tmp_path, plan)
    assert not (tmp_path / "results.jsonl").exists()


def test_what_is_no_study(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected the folder of a study"):
        read_plan(tmp_path)
    (tmp_path / "study.json").write_text("{")
    with pytest.raises(DataError, match="is damaged"):
        read_plan(tmp_path)
