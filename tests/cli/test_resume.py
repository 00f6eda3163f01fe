"""A training that was killed or interrupted goes on, through the command line, to the same bits as one that was not."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest

TYPED = {
    "pictures": ("pictures.npz", "--model", "crnn"),
    "texts": ("texts.tsv", "--model", "lstm", "--set", "width=8", "--set", "augment=[{word_dropout: 0.1}]"),
}
OFTEN = ("--epochs", "3", "--set", "batch=8", "--set", "log_every=1", "--set", "checkpoint_minutes=0.0001", "--quiet")


def assert_same_run(one: Path, other: Path) -> None:
    """Weights, history, answers and figures, byte for byte; only the time that it took may differ."""
    for name in ("model.safetensors", "model.json", "history.jsonl", "predictions.jsonl"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    metrics = [{**json.loads((run / "metrics.json").read_text()), "seconds": None} for run in (one, other)]
    assert metrics[0] == metrics[1]


def kill_and_resume(forks: Any, typed: tuple[object, ...], run: Path, kills: int, seconds: float, draw: random.Random) -> int:
    """Kills at random moments, goes on each time, lets the last one end; how many were killed before they were done."""
    killed = 0
    for attempt in range(kills + 1):
        pid = forks.start(*(("train", "--resume", run, "--quiet") if (run / "config.yaml").exists() else (*typed, "--out", run)))
        if attempt < kills:
            time.sleep(draw.uniform(0, seconds))
            with suppress(ProcessLookupError):  # it was done before
                os.kill(pid, signal.SIGKILL)
        said = forks.wait()
        assert said.code in ((0, -signal.SIGKILL) if attempt < kills else (0,)), said
        killed += said.code != 0
    return killed


def whole_run(forks: Any, typed: tuple[object, ...], run: Path) -> float:
    """Trains without interruption; the seconds that it takes."""
    forks.start(*typed, "--out", run)
    start = time.perf_counter()  # not before: the first order waits until the server has imported all
    assert forks.wait().code == 0
    return time.perf_counter() - start


class Whole(NamedTuple):
    """A training that nothing interrupted: what was typed, where it is, the seconds that it took."""

    typed: tuple[object, ...]
    run: Path
    seconds: float


@pytest.fixture(scope="module")
def wholes(forks: Any, files: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Whole]:
    """One for each kind of data."""
    found: dict[str, Whole] = {}
    for name, (data, *options) in TYPED.items():
        typed, run = ("train", files / data, *options, *OFTEN), tmp_path_factory.mktemp("whole") / name
        found[name] = Whole(typed, run, whole_run(forks, typed, run))
    return found


@pytest.mark.parametrize("name", TYPED)
def test_killed_and_resumed(name: str, forks: Any, wholes: dict[str, Whole], tmp_path: Path) -> None:
    typed, run, seconds = wholes[name]
    assert kill_and_resume(forks, typed, tmp_path / "killed", 2, 0.5 * seconds, random.Random(name)) > 0
    assert_same_run(run, tmp_path / "killed")


@pytest.mark.full
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", TYPED)
def test_killed_ten_times(name: str, seed: int, forks: Any, wholes: dict[str, Whole], tmp_path: Path) -> None:
    typed, run, seconds = wholes[name]
    kill_and_resume(forks, typed, tmp_path / "killed", 10, 0.4 * seconds, random.Random(seed))
    assert_same_run(run, tmp_path / "killed")


def test_ctrl_c_says_how_to_go_on(forks: Any, wholes: dict[str, Whole], tmp_path: Path) -> None:
    typed, run, _ = wholes["texts"]
    pid = forks.start(*typed, "--out", tmp_path / "cut")
    end = time.monotonic() + 60
    while not (tmp_path / "cut" / "checkpoints" / "last.json").exists() and time.monotonic() < end:
        time.sleep(0.005)
    os.kill(pid, signal.SIGINT)
    said = forks.wait()
    assert said.code == 130
    assert re.fullmatch(rf"convrnn: interrupted.*; go on with --resume {tmp_path / 'cut'}\n", said.err), said.err
    forks.start("train", "--resume", tmp_path / "cut", "--quiet")
    assert forks.wait().code == 0
    assert_same_run(run, tmp_path / "cut")


def test_a_run_that_is_done_is_read_and_kept(convrnn: Callable[..., Any], runs: dict[str, Path]) -> None:
    before = {path: path.stat().st_mtime_ns for path in runs["table"].rglob("*")}
    said = convrnn("train", "--resume", runs["table"])
    assert said.code == 0
    assert said.out.startswith(f"{runs['table']} is done already; to train anew, choose another --out\n")
    assert {path: path.stat().st_mtime_ns for path in runs["table"].rglob("*")} == before


def test_a_report_that_is_lacking_is_drawn(convrnn: Callable[..., Any], files: Path, tmp_path: Path) -> None:
    """Killed between the last record and the report."""
    typed = ("train", files / "good.csv", "--model", "gru", "--set", "width=4", "--epochs", "1", "--quiet", "--out", tmp_path / "run")
    assert convrnn(*typed).code == 0
    (tmp_path / "run" / "report.html").unlink()
    assert convrnn("train", "--resume", tmp_path / "run", "--quiet").code == 0
    assert (tmp_path / "run" / "report.html").exists()


def test_changed_data_are_refused(convrnn: Callable[..., Any], files: Path, tmp_path: Path) -> None:
    lines = (files / "good.csv").read_text().splitlines()
    (tmp_path / "rows.csv").write_text("\n".join(lines) + "\n")
    typed = ("train", tmp_path / "rows.csv", "--model", "gru", "--set", "width=4", "--epochs", "1", "--quiet", "--out", tmp_path / "run")
    assert convrnn(*typed).code == 0
    (tmp_path / "run" / "metrics.json").unlink()
    (tmp_path / "rows.csv").write_text("\n".join([lines[0], *lines[2:]]) + "\n")
    said = convrnn("train", "--resume", tmp_path / "run", "--quiet")
    assert said.code == 2
    assert "training part: is not the one that the training began with" in said.err
    assert (tmp_path / "run" / "checkpoints" / "last.json").exists()


def test_a_spec_that_was_changed_since_is_not_looked_at(forks: Any, files: Path, tmp_path: Path) -> None:
    """A run holds its layers: the file that they came from may go."""
    (tmp_path / "mine.yaml").write_text((files / "body.yaml").read_text())
    typed = ("train", files / "good.csv", "--model", tmp_path / "mine.yaml", *OFTEN)
    whole_run(forks, typed, tmp_path / "whole")
    pid = forks.start(*typed, "--out", tmp_path / "run")
    end = time.monotonic() + 60
    while not (tmp_path / "run" / "config.yaml").exists() and time.monotonic() < end:
        time.sleep(0.002)
    os.kill(pid, signal.SIGKILL)
    assert forks.wait().code == -signal.SIGKILL
    (tmp_path / "mine.yaml").unlink()
    forks.start("train", "--resume", tmp_path / "run", "--quiet")
    assert forks.wait().code == 0
    assert_same_run(tmp_path / "whole", tmp_path / "run")
