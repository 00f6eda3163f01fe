"""The accuracy benchmark: what stands is not run again, the later line counts, and pages say what the records say. Trains nothing."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from benchmarks import accuracy_tables
from benchmarks.pages import filled
from convrnn.core.language import Language


@pytest.fixture
def accuracy(root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The program, with records of its own and trainings that answer how many there were."""
    monkeypatch.syspath_prepend(root / "benchmarks")
    module = import_module("accuracy")
    monkeypatch.setattr(module, "RESULTS", tmp_path / "results" / "accuracy.jsonl")
    typed: list[list[str]] = []

    def trained(arguments: list[str]) -> dict[str, Any]:
        typed.append(arguments)
        return {"test": {"accuracy": 0.9 + len(typed) / 100}, "parameters": 7, "seconds": {"train": 1.5}}

    monkeypatch.setattr(module, "_trained", trained)
    monkeypatch.setattr(module, "typed", typed, raising=False)
    return module


def run(accuracy: ModuleType, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["accuracy.py", *arguments])
    return accuracy.main()


def kept(accuracy: ModuleType) -> list[dict[str, Any]]:
    return [json.loads(line) for line in accuracy.RESULTS.read_text("utf-8").splitlines()]


def records(root: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (root / "benchmarks" / "results" / f"{name}.jsonl").read_text("utf-8").splitlines()]


def test_what_stands_is_not_run_again_unless_asked_for_and_then_the_later_line_counts(
    accuracy: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(accuracy, monkeypatch, "--only", "digits", "--seeds", "1") == 1, "0.91 is below 0.97"
    assert "outside their bounds: digits" in capsys.readouterr().err
    assert run(accuracy, monkeypatch, "--only", "digits", "--seeds", "2") == 1
    assert accuracy.typed == [["digits", "--model", "crnn", "--seed", "0"], ["digits", "--model", "crnn", "--seed", "1"]]
    for _ in range(4):
        run(accuracy, monkeypatch, "--only", "digits", "--seeds", "2", "--again")
    assert run(accuracy, monkeypatch, "--only", "digits", "--table") == 0
    assert len(accuracy.typed) == 10 and [line["seed"] for line in kept(accuracy)] == [0, 1] * 5
    said = capsys.readouterr().out.splitlines()[-1]
    assert said == "| digits | accuracy | 0.9950 ± 0.0071 | 2 | >= 0.97 | 7 | 2 | `convrnn train digits --model crnn` |"


def test_each_fold_is_held_out_once_with_no_row_to_watch(accuracy: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "dna_splice").mkdir()
    (tmp_path / "dna_splice" / "splice.data.gz").touch()
    run(accuracy, monkeypatch, "--data", str(tmp_path), "--only", "dna_splice")
    run(accuracy, monkeypatch, "--data", str(tmp_path), "--only", "dna_splice")
    assert [line["fold"] for line in kept(accuracy)] == list(range(10))
    assert " ".join(accuracy.typed[3]).endswith("--valid 0 --set folds=10 --set fold=3 --set split_seed=0")
    assert kept(accuracy)[3]["command"].startswith("convrnn train DIR/dna_splice/splice.data.gz --model tcn --seed 0 --valid 0")


@pytest.mark.parametrize(
    ("only", "names"),
    [
        ("motif-order gru,ECG", ["ECG", "motif-order gru"]),
        ("adding", ["adding lstm", "adding gru", "adding rnn"]),
        ("motif-order cnn", ["motif-order cnn"]),
    ],
)
def test_rows_are_named_or_are_those_that_contain_the_word(
    accuracy: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], only: str, names: list[str]
) -> None:
    accuracy.RESULTS.parent.mkdir()
    lines = [{"name": goal.name, "seed": 0, "value": 0.0, "parameters": 1, "seconds": 1} for goal in accuracy.GOALS]
    accuracy.RESULTS.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    run(accuracy, monkeypatch, "--only", only, "--table")
    assert [line.split(" | ")[0].removeprefix("| ") for line in capsys.readouterr().out.splitlines()[2:]] == names


@pytest.mark.parametrize("only", ["digitz,ECG", "nothing"])
def test_a_name_that_is_no_row_is_refused(
    accuracy: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], only: str
) -> None:
    with pytest.raises(SystemExit) as stopped:
        run(accuracy, monkeypatch, "--only", only)
    assert stopped.value.code == 2 and "no such row" in capsys.readouterr().err and not accuracy.typed


@pytest.mark.parametrize("option", [["--again"], ["--seeds", "2"], ["--data", "sets"]])
def test_what_runs_nothing_takes_no_option_of_a_run(
    accuracy: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], option: list[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        run(accuracy, monkeypatch, "--table", *option)
    assert stopped.value.code == 2 and "run nothing" in capsys.readouterr().err


def test_a_set_that_is_not_there_is_said(
    accuracy: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(accuracy, monkeypatch, "--only", "ECG", "--data", str(tmp_path)) == 0
    assert "ECG: DIR/mts_baydogan/ECG is not there, left out" in capsys.readouterr().err and not accuracy.typed


def test_the_figure_of_the_ucr_sets_is_of_the_seeds_that_have_all_of_them() -> None:
    of_ucr = [
        {"stage": "final", "model": "resnet", "set": name, "part": seed, "accuracy": 0.8 + 0.1 * seed, "seconds": 60.0}
        for seed in (0, 1, 2)
        for name in accuracy_tables.ucr_tables.PUBLISHED
    ]
    every = [{**goal._asdict(), "seed": 0, "value": 0.5, "seconds": 1, "parameters": 1} for goal in accuracy_tables.GOALS]
    said = accuracy_tables.readme(every, of_ucr[:-1], "en").splitlines()[-1]
    assert said.startswith("| 17 UCR sets, their mean | `resnet` | 0.8500 ± 0.0707 | 2 | 17 min for all 17 |")


def test_the_page_says_what_the_records_say(root: Path) -> None:
    of_all = records(root, "accuracy")
    page = (root / "docs" / "results.md").read_text("utf-8")
    tables = {"folds": accuracy_tables.folded(of_all), "made": accuracy_tables.made(of_all), "runs": accuracy_tables.runs(of_all)}
    for name, made in tables.items():
        assert filled(page, name, made) == page, f"{name}: run benchmarks/accuracy.py --pages"


@pytest.mark.parametrize(("language", "name"), [("en", "README.md"), ("zh", "README.zh-CN.md")])
def test_the_table_of_the_readme_is_that_of_the_records(root: Path, language: Language, name: str) -> None:
    readme = (root / name).read_text("utf-8")
    made = accuracy_tables.readme(records(root, "accuracy"), records(root, "ucr"), language)
    assert filled(readme, "results", made) == readme, "run benchmarks/accuracy.py --pages"
