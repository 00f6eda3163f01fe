"""Every verb: its help fits a terminal, its JSON is one object, and what it says to people holds the facts."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from convrnn import __version__
from convrnn.core.numerals import figure

VERBS = ("train", "evaluate", "predict", "inspect", "report", "export", "models", "datasets")


@pytest.mark.parametrize("verb", ["", *VERBS])
def test_help_fits_80_columns(verb: str, convrnn: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    said = convrnn(*filter(None, (verb, "--help")))
    assert said.code == 0
    assert max(map(len, said.out.splitlines())) <= 80
    assert "..." not in said.out.replace("ARGS]...", "")  # no sentence is cut off
    assert all(each in said.out for each in (VERBS if not verb else ("Usage: convrnn " + verb,)))


@pytest.mark.parametrize("typed", [(), ("--lang", "zh")])
def test_without_a_verb_the_help_is_printed(typed: tuple[str, ...], convrnn: Callable[..., Any]) -> None:
    assert convrnn(*typed) == (2, "", convrnn(*typed, "--help").out)


def test_help_imports_nothing_heavy(root: Path) -> None:
    """Modules are counted rather than seconds: 0.3 s hold as long as these stay out."""
    program = "import sys; from convrnn.cli import main; main(['--help']); print(*sys.modules, file=sys.stderr)"
    environment = {**os.environ, "PYTHONPATH": str(root)}
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True)
    modules = set(found.stderr.split())
    heavy = ("torch", "numpy", "pydantic", "yaml", "pandas", "sklearn", "matplotlib", "rich", "pyarrow", "safetensors")
    assert not modules & set(heavy)
    assert len(modules) < 450


def test_the_module_is_the_command(root: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(root)}
    found = subprocess.run([sys.executable, "-m", "convrnn", "trian"], capture_output=True, text=True, env=environment)
    assert (found.returncode, found.stdout) == (2, "")
    assert found.stderr.startswith("convrnn: No such command 'trian'")


def test_version(convrnn: Callable[..., Any]) -> None:
    assert convrnn("--version") == (0, f"convrnn {__version__}\n", "")


def one_object(said: Any) -> dict[str, Any]:
    assert said.code == 0, said
    found = json.loads(said.out)
    assert isinstance(found, dict)
    return found


def test_train_as_json(convrnn: Callable[..., Any], files: Path, tmp_path: Path) -> None:
    said = convrnn("train", files / "good.csv", "--model", "gru", "--set", "width=4", "--epochs", "3", "--out", tmp_path / "run", "--json")
    found = one_object(said)
    stored = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert found.items() >= stored.items()
    assert (found["run"], found["model"]) == (str(tmp_path / "run"), "gru")
    assert "epochs" in found["finding"] or "loss" in found["finding"]
    assert "task: classify, since 'label' holds 2 labels" in said.err


def test_train_tells_people(convrnn: Callable[..., Any], files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    said = convrnn("train", files / "good.csv", "--model", "gru", "--set", "width=4", "--epochs", "5", "--out", tmp_path / "run")
    lines = said.out.splitlines()
    assert f"report: {tmp_path / 'run' / 'report.html'}" in lines
    assert any(line.split()[:2] == ["loss", "accuracy"] for line in lines)
    assert lines[-1].endswith(f"parameters, run: {tmp_path / 'run'}")
    shown = " ".join(lines[-5:-1])
    assert re.search(r"(Training|Validation) loss .*: (not converged|converged|underfitting|overfitting)\.", shown), shown
    assert "epoch 5/5, loss " in said.err


def test_quiet_leaves_the_result(convrnn: Callable[..., Any], files: Path, tmp_path: Path) -> None:
    typed = ("train", files / "good.csv", "--model", "gru", "--set", "width=4", "--epochs", "1", "--out", tmp_path / "run")
    said = convrnn(*typed, "--quiet")
    assert said.err == ""
    assert said.out.split()[:2] == ["loss", "accuracy"]


def test_train_names_its_folder(convrnn: Callable[..., Any], files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("good-gru", "good-gru-2"):
        assert convrnn("train", files / "good.csv", "--model", "gru", "--set", "width=4", "--epochs", "1", "--quiet").code == 0
        assert (tmp_path / "runs" / folder / "metrics.json").is_file()


def test_the_command_is_kept(convrnn: Callable[..., Any], files: Path, tmp_path: Path) -> None:
    out = tmp_path / "a run"
    convrnn("train", files / "good.csv", "--model", "gru", "--set", "width=4", "--epochs", "1", "--quiet", "--out", out)
    command = json.loads((out / "summary.json").read_text())["command"]
    assert command == f"convrnn train {files / 'good.csv'} --model gru --set width=4 --epochs 1 --quiet --out '{out}'"


def test_evaluate(convrnn: Callable[..., Any], files: Path, runs: dict[str, Path]) -> None:
    found = one_object(convrnn("evaluate", runs["table"], files / "good.csv", "--json"))
    assert 0.0 <= found["accuracy"] <= 1.0
    said = convrnn("evaluate", runs["table"], files / "good.csv")
    names, values = (line.split() for line in said.out.splitlines())
    assert dict(zip(names, values, strict=True)) == {name: figure(value) for name, value in found.items()}


def test_evaluate_with_a_label_it_does_not_know(convrnn: Callable[..., Any], files: Path, runs: dict[str, Path]) -> None:
    said = convrnn("evaluate", runs["table"], files / "new_label.csv")
    assert said.code == 2
    assert "new_label.csv:4: " in said.err and "'c'" in said.err and len(said.err) <= 300


def test_inspect_a_run(convrnn: Callable[..., Any], runs: dict[str, Path]) -> None:
    found = one_object(convrnn("inspect", runs["table"], "--json"))
    assert found["model"]["parameters"] == json.loads((runs["table"] / "metrics.json").read_text())["parameters"]
    assert sum(layer["parameters"] for layer in found["model"]["layers"]) == found["model"]["parameters"]
    assert "0.gru" in convrnn("inspect", runs["table"]).out or "GRU(" in convrnn("inspect", runs["table"]).out


@pytest.mark.parametrize("shape, parameters", [("3", 3 * 3 * 4 + 4 + 3 * (4 * 4 + 4 * 4 + 4) + 4)])
def test_inspect_a_spec(shape: str, parameters: int, convrnn: Callable[..., Any], files: Path) -> None:
    found = one_object(convrnn("inspect", files / "body.yaml", "--shape", shape, "--json"))
    assert [layer["out"] for layer in found["model"]["layers"]] == ["[B, T, 4]"] * 3
    assert found["model"]["parameters"] == parameters


def test_json_is_a_spec_where_a_shape_is_given_and_else_rows(convrnn: Callable[..., Any], files: Path, tmp_path: Path) -> None:
    spec, rows = tmp_path / "body.json", tmp_path / "rows.json"
    spec.write_text('[{"conv": 4}, {"activation": "relu"}, {"gru": 4}]')
    rows.write_text('[{"x": [1, 2], "y": "a"}, {"x": [3, 4], "y": "b"}]')
    said, wanted = (convrnn("inspect", place, "--shape", "3").out.splitlines() for place in (spec, files / "body.yaml"))
    assert said[0] == wanted[0] and said[0].startswith("body: 152 parameters")
    assert convrnn("inspect", rows).out.startswith("rows: series, ")


def test_inspect_counts_multiply_adds(convrnn: Callable[..., Any], tmp_path: Path) -> None:
    """Of a convolution kernel x in x out a frame, of an LSTM four gates over input and state; no pooling. By layer and in sum."""
    (tmp_path / "net.yaml").write_text("- conv: 7\n  kernel: 5\n- pool: 2\n- lstm: 6\n")
    terms = [20 * 5 * 3 * 7, 0, 10 * 4 * 6 * (7 + 6)]
    typed = ("inspect", tmp_path / "net.yaml", "--shape", 3, "--frames", 20)
    found = one_object(convrnn(*typed, "--json"))["model"]
    assert [layer["multiply_adds"] for layer in found["layers"]] == terms
    assert (found["multiply_adds"], found["frames"]) == (sum(terms), 20)
    lines = convrnn(*typed).out.splitlines()
    assert lines[1].startswith("a row of 20 frame(s): 5,220 multiply-adds, ")
    assert lines[3].split()[3] == "mult-adds" and [line.split()[5] for line in lines[4:7]] == ["2,100", "0", "3,120"]
    assert convrnn(*typed, "--lang", "zh").out.splitlines()[1].startswith("一条 20 帧的序列：5,220 次乘加，")


def test_the_work_of_a_run_is_that_of_a_row_of_the_median_length(convrnn: Callable[..., Any], files: Path, runs: dict[str, Path]) -> None:
    summary = json.loads((runs["series"] / "summary.json").read_text())
    found = one_object(convrnn("inspect", runs["series"], "--json"))["model"]
    assert found["frames"] == summary["data"]["parts"]["train"]["length"]["median"] == summary["model"]["frames"]
    assert found["multiply_adds"] == summary["model"]["multiply_adds"] == sum(layer["multiply_adds"] for layer in found["layers"]) > 0
    page = (runs["series"] / "report.html").read_text(encoding="utf-8")
    assert f"{found['multiply_adds']:,} at {found['frames']} frames" in page
    assert all(f"{layer['multiply_adds']:,}</td>" in page for layer in found["layers"])


@pytest.mark.parametrize(
    "name, kind, rows",
    [("good.csv", "series", 40), ("ragged.jsonl", "series", 48), ("texts.tsv", "text", 60), ("pictures.npz", "image", 64)],
)
def test_inspect_data(name: str, kind: str, rows: int, convrnn: Callable[..., Any], files: Path) -> None:
    found = one_object(convrnn("inspect", files / name, "--json"))["data"]
    assert (found["kind"], found["parts"]["train"]["rows"]) == (kind, rows)
    assert sum(found["parts"]["train"]["classes"].values()) == rows
    assert f"train: {rows} rows, lengths " in convrnn("inspect", files / name).out


def test_inspect_a_built_in_set(convrnn: Callable[..., Any]) -> None:
    found = one_object(convrnn("inspect", "digits", "--json"))["data"]
    assert len(found["parts"]["train"]["classes"]) == 10


def test_models(convrnn: Callable[..., Any]) -> None:
    names = [entry["name"] for entry in one_object(convrnn("models", "--json"))["models"]]
    assert "crnn" in names and names == sorted(names)
    for name in names:
        found = one_object(convrnn("models", name, "--json"))
        said = convrnn("models", name).out
        assert all(option["name"] in said and option["meaning"] for option in found["options"])
        assert all(paper in said for paper in found["papers"])


def test_datasets(convrnn: Callable[..., Any]) -> None:
    sets = one_object(convrnn("datasets", "--json"))["datasets"]
    assert "digits" in [entry["name"] for entry in sets]
    for entry in sets:
        assert one_object(convrnn("datasets", entry["name"], "--json")) == entry
        assert entry["description"] in convrnn("datasets", entry["name"]).out


def test_report(convrnn: Callable[..., Any], runs: dict[str, Path]) -> None:
    page = runs["table"] / "report.html"
    page.unlink()
    found = one_object(convrnn("report", runs["table"], "--json"))
    assert Path(found["report"]) == page and page.is_file()
    assert found["plots"] and all(Path(plot).is_file() for plot in found["plots"])
    assert convrnn("report", runs["table"]).out == f"{page}\n"


@pytest.mark.parametrize("listing", ["models", "datasets"])
def test_listings_fit_80_columns(listing: str, convrnn: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert max(map(len, convrnn(listing).out.splitlines())) <= 80
