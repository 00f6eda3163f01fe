"""The benchmark on the UCR sets: selection reads training files only, goes on where it stopped, and the tables are right."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from benchmarks import records, ucr_tables
from benchmarks.ucr_tables import PUBLISHED

MARKS = ("ucr folds", "ucr", "ucr told")


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


def final(name: str, seed: int, accuracy: float) -> dict[str, Any]:
    """A record of a test part."""
    return {"stage": "final", "set": name, "model": "m", "options": [], "part": seed, "accuracy": accuracy}


def table(ucr: ModuleType, monkeypatch: pytest.MonkeyPatch, made: list[dict[str, Any]], *arguments: str) -> int:
    """`ucr.py table` where these records are all there is."""
    ucr.RESULTS.parent.mkdir(exist_ok=True)
    ucr.RESULTS.write_text("".join(json.dumps(record) + "\n" for record in made), "utf-8")
    return run(ucr, monkeypatch, "table", *arguments)


def test_selection_reads_training_files_only_and_goes_on(
    ucr: ModuleType, waves: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["select", "--data", str(waves), "--only", "Waves", "--model", "fcn", "--set", "width=2", "--set", "epochs=1"]
    assert run(ucr, monkeypatch, *asked, "--minutes", "0") == 3
    assert run(ucr, monkeypatch, *asked) == 0
    found = records.read(ucr.RESULTS)
    assert [record["part"] for record in found] == [0, 1, 2], "as many folds as the rarest label has rows, none twice"
    assert found[0]["command"].endswith("--only Waves --model fcn --set width=2 --set epochs=1")
    capsys.readouterr()
    assert run(ucr, monkeypatch, "table") == 0
    mean = np.mean([record["accuracy"] for record in found])
    assert f"| set | `fcn width=2 epochs=1` |\n| --- | ---: |\n| Waves | {mean:.3f} |" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("typed", "foreign"),
    [
        (("table",), ("--only", "Beef")),
        (("table",), ("--data", "DIR")),
        (("table",), ("--minutes", "0")),
        (("select", "--data", "DIR"), ("--seeds", "3")),
        (("final", "--data", "DIR"), ("--set", "width=2")),
        (("final",), ("--page", "page.md")),
    ],
)
def test_an_option_that_a_part_would_not_look_at_is_refused(
    ucr: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], typed: tuple[str, ...], foreign: tuple[str, ...]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        run(ucr, monkeypatch, *typed, *foreign)
    assert stopped.value.code == 2 and capsys.readouterr().err


def test_a_candidate_that_was_cut_off_is_marked_and_has_no_mean() -> None:
    folds = [("whole", "A", 3), ("whole", "B", 2), ("cut off", "A", 1), ("cut off", "B", 2)]
    records = [
        {"stage": "select", "set": name, "model": model, "options": [], "part": part, "accuracy": 0.5}
        for model, name, number in folds
        for part in range(number)
    ]
    lines = ucr_tables.folds([*records, {**records[-1], "accuracy": 0.7}]).splitlines()
    assert lines[2:] == ["| A | 0.500 | 0.500 (1) |", "| B | 0.500 | 0.600 |", "| **mean** | 0.500 |  |"], "the later record counts"


def test_the_multivariate_sets_are_judged_too() -> None:
    least = {name: [asked] for name, asked in ucr_tables.BEYOND.items()}
    assert not ucr_tables.missed({"m": least, "n": {"BasicMotions": [0.5]}})
    assert ucr_tables.missed({"m": {**least, "BasicMotions": [0.9]}})


def test_a_line_that_a_kill_tore_off_is_none_and_is_written_anew(tmp_path: Path) -> None:
    path = tmp_path / "results" / "ucr.jsonl"
    assert records.read(path) == []
    records.keep(path, {"n": 1})
    with path.open("a") as file:
        file.write('{"n": 2, "acc')
    assert records.read(path) == [{"n": 1}]
    records.keep(path, {"n": 2})
    assert path.read_text("utf-8") == '{"n": 1}\n{"n": 2}\n'


def test_the_mean_is_over_sets_and_judged_when_all_are_there(
    ucr: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = [final(name, seed, 0.8 + 0.1 * seed) for name in PUBLISHED for seed in (0, 1)]
    assert table(ucr, monkeypatch, [*made[:-1], made[0]]) == 1, "a record that stands twice is one seed"
    said = capsys.readouterr().out
    assert "| ACSF1 | 0.850 ± 0.071 (2) | 0.898 | 0.916 | 0.920 |" in said
    assert f"| **mean of the 17** | **{(16 * 0.85 + 0.8) / 17:.3f}** | 0.896 | 0.910 | 0.910 |" in said
    assert "| JapaneseVowels (asked: 0.985) | - |  |  |  |" in said
    assert table(ucr, monkeypatch, [{**record, "accuracy": 0.7} for record in made[:-2]]) == 0, "a model that lacks a set is not judged"
    assert "| **mean of the 17** | 0.700 of 16 | 0.896 |" in capsys.readouterr().out


def test_what_the_sets_tell_against_published_figures_on_the_page(ucr: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = [final(name, 0, 0.5) for name in PUBLISHED]
    further = [{**final(name, seed, 0.4), "model": "n"} for name in PUBLISHED for seed in range(2 + (name == "Beef"))]
    page = tmp_path / "page.md"
    page.write_text("".join(f"{name}:\n<!-- {name} -->\nstale\n<!-- end of {name} -->\n" for name in MARKS), "utf-8")
    (tmp_path / "images").mkdir()
    assert table(ucr, monkeypatch, made[1:], "--page", str(page)) == 0
    assert not list((tmp_path / "images").iterdir()), "a model that lacks a set has no rank"
    assert table(ucr, monkeypatch, [*made, *further], "--page", str(page)) == 1, "their seeds need not be as many"
    said = page.read_text("utf-8")
    assert "<!-- ucr -->\n| set | `m` | `n` | published FCN |" in said and "stale" not in said
    assert "InceptionTime is ahead, and cannot be told apart from published ResNet and published FCN." in said
    assert "m, ahead on 17 of 17 sets" in said
    assert "m 4.00; n 5.00. Not told apart: InceptionTime, published ResNet, published FCN.](images/ucr-ranks.png)" in said
    assert (tmp_path / "images" / "ucr-ranks.png").read_bytes().startswith(b"\x89PNG")


def test_the_page_says_what_the_records_say(root: Path) -> None:
    measured = records.read(root / "benchmarks" / "results" / "ucr.jsonl")
    values = ucr_tables.measured(measured)
    told = ucr_tables.told(values)
    assert told is not None
    page = (root / "docs" / "results.md").read_text("utf-8")
    assert all(made in page for made in (ucr_tables.folds(measured), ucr_tables.parts(values), told.text, told.alt))
