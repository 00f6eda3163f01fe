"""The benchmark on the UCR sets: selection reads training files only, goes on where it stopped, and the tables are right."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest


@pytest.fixture
def ucr(root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    monkeypatch.syspath_prepend(root / "benchmarks")
    module = import_module("ucr")
    monkeypatch.setattr(module, "RESULTS", tmp_path / "results" / "ucr.jsonl")
    return module


@pytest.fixture
def waves(tmp_path: Path) -> Path:
    """A set of two labels, 3 and 5 rows; its test file is damaged, so that opening it would be seen."""
    folder = tmp_path / "data" / "Waves"
    folder.mkdir(parents=True)
    rows = [(np.sin(np.arange(12) * (1 + row % 2)), "ab"[row % 2]) for row in (0, 0, 0, 1, 1, 1, 1, 1)]
    lines = [",".join(f"{value:.4f}" for value in values) + f":{label}" for values, label in rows]
    head = ["@problemName Waves", "@univariate true", "@classLabel true a b", "@data"]
    (folder / "Waves_TRAIN.ts").write_text("\n".join([*head, *lines]) + "\n", "utf-8")
    (folder / "Waves_TEST.ts").write_text("damaged", "utf-8")
    return folder.parent


def run(ucr: ModuleType, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["ucr.py", *arguments])
    return ucr.main()


def test_selection_reads_training_files_only_and_goes_on(
    ucr: ModuleType, waves: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["select", "--data", str(waves), "--only", "Waves", "--model", "fcn", "--set", "width=2", "--set", "epochs=1"]
    assert run(ucr, monkeypatch, *asked, "--minutes", "0") == 3
    assert run(ucr, monkeypatch, *asked) == 0
    records = [json.loads(line) for line in ucr.RESULTS.read_text("utf-8").splitlines()]
    assert [record["part"] for record in records] == [0, 1, 2], "as many folds as the rarest label has rows, none twice"
    assert records[0]["command"].endswith("--only Waves --model fcn --set width=2 --set epochs=1")
    capsys.readouterr()
    assert run(ucr, monkeypatch, "table") == 0
    assert "fcn width=2 epochs=1: " in capsys.readouterr().out


def test_the_mean_is_over_sets_and_judged_when_all_are_there(
    ucr: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def line(name: str, seed: int, accuracy: float) -> dict[str, Any]:
        return {"stage": "final", "set": name, "model": "m", "options": [], "part": seed, "accuracy": accuracy}

    records = [line(name, seed, 0.8 + 0.1 * seed) for name in ucr.PUBLISHED for seed in (0, 1)]
    ucr.RESULTS.parent.mkdir()
    ucr.RESULTS.write_text("".join(json.dumps(record) + "\n" for record in records[:-1]), "utf-8")
    assert run(ucr, monkeypatch, "table") == 1
    said = capsys.readouterr().out
    assert "| ACSF1 | 0.850 ± 0.071 (2) | 0.898 | 0.916 | 0.920 |" in said
    assert f"m: {(16 * 0.85 + 0.8) / 17:.4f} on 17 of 17 univariate sets" in said
    ucr.RESULTS.write_text("".join(json.dumps({**record, "accuracy": 0.9}) + "\n" for record in records[:-2]), "utf-8")
    assert run(ucr, monkeypatch, "table") == 0


def test_what_the_sets_tell_against_published_figures_and_its_picture(
    ucr: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    worse = [{"stage": "final", "set": name, "model": "m", "options": [], "part": 0, "accuracy": 0.5} for name in ucr.PUBLISHED]
    ucr.RESULTS.parent.mkdir()
    ucr.RESULTS.write_text("".join(json.dumps(record) + "\n" for record in worse[1:]), "utf-8")
    assert run(ucr, monkeypatch, "table", "--picture", str(tmp_path / "ranks.png")) == 0
    assert not (tmp_path / "ranks.png").exists(), "a model that lacks a set has no rank"
    ucr.RESULTS.write_text("".join(json.dumps(record) + "\n" for record in worse), "utf-8")
    assert run(ucr, monkeypatch, "table", "--picture", str(tmp_path / "ranks.png")) == 1
    said = capsys.readouterr().out
    assert "InceptionTime is ahead, and cannot be told apart from published ResNet and published FCN." in said
    assert "InceptionTime is better than m, ahead on 17 of 17 sets" in said
    assert "m 4.00. Not told apart: InceptionTime, published ResNet, published FCN." in said
    assert (tmp_path / "ranks.png").read_bytes().startswith(b"\x89PNG")
