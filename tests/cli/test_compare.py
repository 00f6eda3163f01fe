"""`convrnn compare`: a study is what was asked for, the same bytes however often it was cut off, and says what it left out."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from convrnn.cli import main
from convrnn.core import lock
from convrnn.study.budget import meets

BUDGET = 8_000
MODELS = "no dropout=gru:dropout=0,text-cnn=text-cnn:embedding=16,wild=gru:l1=1e38"
TABLES = ("results.jsonl", "gradients.jsonl", "study.json")


class Done(NamedTuple):
    """A study that nothing interrupted: what was typed, and where it is."""

    typed: tuple[object, ...]
    study: Path


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def done(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Done:
    """Two sets, three arms (one takes texts only, one cannot be trained), two seeds, two trials; one run at a time."""
    typed = ("compare", files / "good.csv", files / "texts.tsv", "--models", MODELS, "--seeds", 2, "--budget", BUDGET, "--trials", 2)
    typed = (*typed, "--epochs", 2, "--set", "batch=8", "--set", "checkpoint_minutes=0.0001", "--quiet")
    place = tmp_path_factory.mktemp("studies") / "made"
    assert main([*map(str, typed), "--out", str(place), "--workers", "1"]) == 0
    return Done(typed, place)


def test_what_was_asked_stands_in_the_folder(done: Done) -> None:
    plan = json.loads((done.study / "study.json").read_text())
    assert [(each["name"], each["kind"], each["rows"], each["classes"]) for each in plan["sets"]] == [
        ("good", "series", 40, 2),
        ("texts", "text", 60, 2),
    ]
    assert [each["name"] for each in plan["arms"]] == ["no dropout", "text-cnn", "wild"]
    assert (plan["seeds"], plan["budget"], plan["trials"]) == (2, BUDGET, 2)
    assert plan["command"].startswith("convrnn compare ")
    why = {(each["set"], each["arm"]): each["why"] for each in plan["skipped"]}
    assert set(why) == {("good", "text-cnn"), ("good", "wild"), ("texts", "wild")}
    assert "takes text, got series" in why["good", "text-cnn"]
    assert why["good", "wild"].startswith("trial 0: epoch 1, step 1: the gradient's norm is inf")


def test_results_are_complete_and_in_order(done: Done) -> None:
    found = lines(done.study / "results.jsonl")
    pairs = [("good", "no dropout"), ("texts", "no dropout"), ("texts", "text-cnn")]
    assert [(each["set"], each["arm"], each["seed"]) for each in found] == [(*pair, seed) for pair in pairs for seed in (0, 1)]
    for each in found:
        assert each["metric"] == "accuracy" and each["better"] == "higher"
        assert meets(each["parameters"], BUDGET), each
        assert set(each["options"]) == {"maps" if each["arm"] == "text-cnn" else "width", "rate"}
        run = done.study / "runs" / each["set"] / each["arm"] / f"seed-{each['seed']}"
        metrics = json.loads((run / "metrics.json").read_text())
        assert (each["value"], each["valid"]) == (metrics["test"]["accuracy"], metrics["valid"]["accuracy"])
        answers = lines(run / "predictions.jsonl")
        for label, recall in each["per_class"].items():
            of_label = [answer for answer in answers if str(answer["target"]) == label]
            assert recall == sum(answer["label"] == label for answer in of_label) / len(of_label)


def test_rates_are_chosen_on_validation_data_and_recorded(done: Done) -> None:
    for home in (done.study / "runs" / "texts" / "no dropout", done.study / "runs" / "texts" / "text-cnn"):
        chosen = json.loads((home / "rates.json").read_text())
        tried = {each["rate"]: (-each["value"], each["loss"]) for each in chosen["trials"]}
        assert len(tried) == 2 and chosen["rate"] == min(tried, key=lambda rate: tried[rate])
        metrics = [json.loads((home / f"trial-{number}" / "metrics.json").read_text()) for number in (0, 1)]
        assert all("test" not in each and each["seed"] not in (0, 1) for each in metrics), "a trial does not look at the test part"
        config = (home / "seed-0" / "config.yaml").read_text()
        assert f"rate: {chosen['rate']}" in config


def test_runs_that_are_done_keep_what_is_needed(done: Done) -> None:
    kept = {path.name for path in (done.study / "runs").glob("*/*/trial-*/*")}
    assert kept == {"config.yaml", "history.jsonl", "metrics.json", "process.json", "failed.json"}
    assert not list(done.study.rglob("checkpoints")) and not list((done.study / "runs").rglob("report.html"))
    assert (done.study / "runs" / "good" / "no dropout" / "seed-1" / "model.safetensors").is_file()


def test_costs_and_gradients(done: Done) -> None:
    costs = lines(done.study / "costs.jsonl")
    assert len(costs) == 3
    for each in costs:
        assert meets(each["parameters"], BUDGET)
        assert each["multiply_adds"] > 0 and each["latency_ms"] > 0 and each["disk_bytes"] > 4 * each["parameters"]
        assert len(each["train_seconds"]) == 2 and each["memory_mb"] > 50
        assert each["push_ms"] > 0
    curves = lines(done.study / "gradients.jsonl")
    assert [(each["set"], each["arm"], each["when"]) for each in curves] == [
        (name, "no dropout", when) for name in ("good", "texts") for when in ("begin", "end")
    ]
    for each in curves:
        assert each["distance"][:3] == [0, 1, 2] and len(each["norm"]) == len(each["distance"])
        assert min(each["norm"]) > 0


def test_the_command_of_a_run_trains_it_again(done: Done, convrnn: Callable[..., Any], tmp_path: Path) -> None:
    import shlex

    run = done.study / "runs" / "texts" / "text-cnn" / "seed-1"
    typed = shlex.split(json.loads((run / "summary.json").read_text())["command"])
    assert convrnn(*typed[1:], "--out", tmp_path / "again", "--quiet").code == 0
    assert (tmp_path / "again" / "model.safetensors").read_bytes() == (run / "model.safetensors").read_bytes()


def settled(study: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in study.glob("runs/*/*/*/metrics.json")}


def cut(forks: Any, done: Done, study: Path, ready: Callable[[], bool], sign: int) -> Any:
    """Begins or goes on, and sends a signal once it is ready, or when it is done."""
    begun = (study / "study.json").exists()
    pid = forks.start(*(("compare", "--resume", study, "--quiet") if begun else (*done.typed, "--out", study)), "--workers", 1)
    end = time.monotonic() + 120
    while not ready() and time.monotonic() < end:
        time.sleep(0.01)
    with suppress(ProcessLookupError):
        os.kill(pid, sign)
    return forks.wait()


def assert_same_tables(done: Done, study: Path) -> None:
    for name in TABLES[:2]:
        assert (study / name).read_bytes() == (done.study / name).read_bytes(), name
    plans = [{**json.loads((each / "study.json").read_text()), "name": "", "command": ""} for each in (done.study, study)]
    assert plans[0] == plans[1]


def test_cut_off_and_gone_on_with(done: Done, forks: Any, tmp_path: Path) -> None:
    """Ctrl-C, then a kill, then to the end, with another number of workers: the same bytes, and no run twice."""
    study = tmp_path / "study"
    said = cut(forks, done, study, lambda: len(settled(study)) >= 2, signal.SIGINT)
    assert said.code == 130
    assert said.err == f"convrnn: interrupted; go on with --resume {study}\n"
    first = settled(study)
    assert cut(forks, done, study, lambda: len(settled(study)) >= len(first) + 2, signal.SIGKILL).code == -signal.SIGKILL
    before = settled(study)
    assert len(first) + 2 <= len(before) < 12
    forks.start("compare", "--resume", study, "--quiet", "--workers", 2)
    said = forks.wait()
    assert said.code == 0, said
    after = settled(study)
    assert {path: after[path] for path in before} == before
    assert_same_tables(done, study)


@pytest.mark.full
@pytest.mark.parametrize("seed", range(3))
def test_killed_five_times(seed: int, done: Done, forks: Any, tmp_path: Path) -> None:
    study, draw = tmp_path / "study", random.Random(seed)
    for _ in range(5):
        end = time.monotonic() + draw.uniform(0, 20)
        cut(forks, done, study, lambda end=end: time.monotonic() > end or (study / "gradients.jsonl").exists(), signal.SIGKILL)
    forks.start(*(("compare", "--resume", study, "--quiet") if (study / "study.json").exists() else (*done.typed, "--out", study)))
    assert forks.wait().code == 0
    assert_same_tables(done, study)


def test_a_set_whose_files_fix_a_test_part_has_no_folds(convrnn: Callable[..., Any], files: Path, tmp_path: Path) -> None:
    for part in ("train", "test"):
        (tmp_path / f"waves_{part}.csv").write_bytes((files / "good.csv").read_bytes())
    said = convrnn("compare", tmp_path / "waves_train.csv", "--models", "gru", "--folds", 3, "--out", tmp_path / "study")
    assert said.code == 2 and said.err.count("\n") == 1 and not (tmp_path / "study").exists()
    assert said.err.startswith("convrnn: waves") and said.err.endswith(
        ": its files fix a test part, so that no fold can be one; leave the folds out\n"
    )


def test_folds_cut_off_and_gone_on_with(forks: Any, files: Path, tmp_path: Path) -> None:
    """Every row of the set is a test row once, for each seed; killed in the midst and gone on with, the tables are the same bytes."""
    typed = ("compare", files / "good.csv", "--models", "gru:width=4", "--folds", 3, "--seeds", 2, "--epochs", 1, "--quiet")
    whole = Done(typed, tmp_path / "whole")
    forks.start(*typed, "--out", whole.study, "--workers", 2)
    assert forks.wait().code == 0
    found = lines(whole.study / "results.jsonl")
    assert [(each["fold"], each["seed"]) for each in found] == [(fold, seed) for fold in range(3) for seed in (0, 1)]
    for seed in (0, 1):
        named = [line["name"] for path in whole.study.glob(f"runs/*/*/*/seed-{seed}/predictions.jsonl") for line in lines(path)]
        assert len(named) == len(set(named)) == 40
    statistics = json.loads((whole.study / "statistics.json").read_text())
    assert statistics["families"][0]["test_rows"] == {"good": 40}
    study = tmp_path / "study"
    killed = cut(forks, whole, study, lambda: len(list(study.glob("runs/*/*/*/*/metrics.json"))) >= 2, signal.SIGKILL)
    assert killed.code == -signal.SIGKILL
    forks.start("compare", "--resume", study, "--quiet", "--workers", 2)
    assert forks.wait().code == 0
    assert_same_tables(whole, study)


def test_a_study_that_is_done_is_printed(done: Done, convrnn: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    before = {name: (done.study / name).read_bytes() for name in TABLES}
    said = convrnn("compare", "--resume", done.study, "--quiet")
    assert said.code == 0
    assert {name: (done.study / name).read_bytes() for name in TABLES} == before
    rows = said.out.splitlines()
    assert rows[1].split()[:2] == ["model", "accuracy"] and rows[-1] == f"study: {done.study}"
    assert "cannot be told apart" in said.out or "is better than" in said.out
    assert sum("is left out" in row for row in rows) == 3
    assert all(len(row) <= 80 for row in rows if "left out" not in row and "study:" not in row)


def test_as_json(done: Done, convrnn: Callable[..., Any]) -> None:
    found = json.loads(convrnn("compare", "--resume", done.study, "--json").out)
    assert found["study"] == str(done.study)
    assert found["results"] == lines(done.study / "results.jsonl") and found["costs"] == lines(done.study / "costs.jsonl")


def test_one_process_at_a_time(done: Done, convrnn: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "PATIENCE", 0.1)
    with lock.locked(done.study):
        said = convrnn("compare", "--resume", done.study)
    assert said.code == 2
    assert "another process is at work in this folder" in said.err and said.err.count("\n") == 1
    assert convrnn("compare", "--resume", done.study).code == 0, "a lock that nobody holds is none"


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (("good.csv",), "models: expected at least one"),
        (("--models", "gru"), "DATA: is missing"),
        (("nowhere.csv", "--models", "gru"), "nowhere.csv"),
        (("good.csv", "--models", "grru"), "did you mean 'gru'"),
        (("good.csv", "--models", "gru:widht=3"), "did you mean 'width'"),
        (("good.csv", "--models", "gru,text-cnn"), "convrnn: text-cnn: takes text, got series"),
        (("good.csv", "--models", "gru", "--seeds", "0"), "--seeds: expected at least 1, got 0"),
        (("good.csv", "--models", "gru", "--workers", "0"), "--workers: expected at least 1, got 0"),
        (("good.csv", "--models", "gru", "--set", "seed=1"), "same seeds"),
        (("good.csv", "--models", "gru:width=3", "--budget", "999"), "the budget decides the width"),
        (("good.csv", "--models", "gru", "--budget", "1"), "convrnn: gru: cannot have 1 parameters within 5 %: the nearest is"),
        (("good.csv", "--models", "gru:split_seed=3"), "every arm has the same rows"),
        (("good.csv", "--models", "gru", "--folds", "1"), "--folds: expected at least 2, got 1"),
        (("good.csv", "--models", "gru", "--folds", "21"), "21 folds, but target 'a' has 20 rows; choose at most 20"),
        (("good.csv", "--models", "gru", "--folds", "2", "--test", "0.3"), "folds: each fold is the test part in its turn, and another"),
        (("good.csv", "--models", "gru", "--folds", "2", "--set", "test_fraction=0.3"), "folds: each fold is the test part in its turn"),
        (("good.csv", "--models", "gru", "--folds", "2", "--set", "folds=3"), "folds is given twice"),
        (("good.csv", "--models", "gru", "--set", "fold=0"), "--set: every fold is the test part in its turn, got fold; leave it out"),
        (("good.csv", "--models", "gru:folds=3"), "gru folds=3: every fold is the test part in its turn, got folds; leave it out"),
        (("good.csv", "--models", "gru", "--test", "0"), "has no test part"),
        (("good.csv", "--models", "gru", "--valid", "0", "--trials", "2"), "has no validation part"),
        (("--resume", "nowhere"), "expected the folder of a study"),
        (("--resume", "nowhere", "--seeds", "3"), "got --seeds too"),
    ],
)
def test_mistakes(
    typed: tuple[str, ...], said: str, convrnn: Callable[..., Any], files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = convrnn("compare", *(files / each if each == "good.csv" else each for each in typed))
    assert found.code == 2
    assert said in found.err and found.err.count("\n") == 1, found.err
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_in_it_is_refused(done: Done, convrnn: Callable[..., Any], files: Path, tmp_path: Path) -> None:
    said = convrnn("compare", files / "good.csv", "--models", "gru", "--out", done.study)
    assert said.code == 2 and f"--resume {done.study}" in said.err
    (tmp_path / "mine.txt").write_text("mine")
    assert convrnn("compare", files / "good.csv", "--models", "gru", "--out", tmp_path).code == 2
