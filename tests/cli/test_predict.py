"""`convrnn predict`: the same numbers for a row alone and in any batch, from files and standard input, to files and standard output."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

WITHIN = 1e-6
"""Of the largest output."""


def answers(said: Any) -> np.ndarray:
    """Probabilities `[N, K]` of what was printed."""
    assert said.code == 0, said
    return np.array([list(row["probabilities"].values()) for row in json.loads(said.out)["predictions"]])


def head_and_rows(files: Path, kind: str) -> tuple[str, list[str]]:
    """A text file that was learned from, by line: what every part of it begins with, and its rows."""
    name, head = {"series": ("ragged.jsonl", 0), "text": ("texts.tsv", 1), "table": ("good.csv", 1)}[kind]
    lines = (files / name).read_text(encoding="utf-8").splitlines(keepends=True)
    return "".join(lines[:head]), lines[head:]


def type_in(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))


@pytest.mark.parametrize("kind", ["series", "text", "table"])
def test_a_row_alone_equals_the_row_in_any_batch(
    kind: str, convrnn: Callable[..., Any], files: Path, runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head, rows = head_and_rows(files, kind)
    suffix = {"series": "jsonl", "text": "tsv", "table": "csv"}[kind]
    whole = tmp_path / f"whole.{suffix}"
    whole.write_text(head + "".join(rows), encoding="utf-8")
    together = answers(convrnn("predict", runs[kind], whole, "--json"))
    assert together.shape[0] == len(rows)
    top = np.abs(together).max()
    for row in range(0, len(rows), 5):
        type_in(monkeypatch, head + rows[row])
        alone = answers(convrnn("predict", runs[kind], "-", "--json"))
        np.testing.assert_allclose(alone, together[row : row + 1], rtol=0, atol=WITHIN * top)
    backwards = tmp_path / f"backwards.{suffix}"
    backwards.write_text(head + "".join(reversed(rows)), encoding="utf-8")
    np.testing.assert_allclose(answers(convrnn("predict", runs[kind], backwards, "--json")), together[::-1], rtol=0, atol=WITHIN * top)


def test_pictures_alone_and_together(convrnn: Callable[..., Any], files: Path, runs: dict[str, Path], tmp_path: Path) -> None:
    pictures = np.load(files / "pictures.npz")["x"]
    np.savez(tmp_path / "all.npz", x=pictures)
    together = answers(convrnn("predict", runs["image"], tmp_path / "all.npz", "--json"))
    for row in (0, 7, 63):
        np.savez(tmp_path / "one.npz", x=pictures[row : row + 1])
        alone = answers(convrnn("predict", runs["image"], tmp_path / "one.npz", "--json"))
        np.testing.assert_allclose(alone, together[row : row + 1], rtol=0, atol=WITHIN * np.abs(together).max())


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "tsv"])
def test_files_hold_what_is_printed(suffix: str, convrnn: Callable[..., Any], files: Path, runs: dict[str, Path], tmp_path: Path) -> None:
    printed = [json.loads(line) for line in convrnn("predict", runs["table"], files / "good.csv").out.splitlines()]
    out = tmp_path / f"answers.{suffix}"
    said = convrnn("predict", runs["table"], files / "good.csv", "--out", out)
    assert (said.code, said.out, said.err) == (0, "", f"40 answers in {out}\n")
    text = out.read_text()
    assert convrnn("predict", runs["table"], files / "good.csv", "--out", out, "--json") == (
        0,
        f'{{\n  "out": "{out}",\n  "rows": 40\n}}\n',
        "",
    )
    assert out.read_text() == text
    if suffix == "jsonl":
        assert [json.loads(line) for line in text.splitlines()] == printed
        return
    rows = list(csv.DictReader(io.StringIO(text), delimiter={"csv": ",", "tsv": "\t"}[suffix]))
    assert [(row["name"], row["label"], float(row["probability"])) for row in rows] == [
        (row["name"], row["label"], row["probability"]) for row in printed
    ]
    assert rows[0]["name"] == "good.csv:2"


def test_the_target_is_not_looked_at(convrnn: Callable[..., Any], files: Path, runs: dict[str, Path], tmp_path: Path) -> None:
    lines = (files / "good.csv").read_text().splitlines()
    (tmp_path / "bare.csv").write_text("\n".join(line.rpartition(",")[0] for line in lines) + "\n")
    (tmp_path / "other.csv").write_text("\n".join([lines[0], *(line.rpartition(",")[0] + ",zzz" for line in lines[1:])]) + "\n")
    want = answers(convrnn("predict", runs["table"], files / "good.csv", "--json"))
    for name in ("bare.csv", "other.csv"):
        np.testing.assert_array_equal(answers(convrnn("predict", runs["table"], tmp_path / name, "--json")), want)


def test_the_encoding_of_the_training_is_remembered_and_can_be_replaced(convrnn: Callable[..., Any], tmp_path: Path) -> None:
    """Big5 without its name is letters of Windows-1252, in which nothing that was learned occurs."""
    rows = "".join(f"{row % 2},{('這部電影很好看', '房間很髒不喜歡')[row % 2]}\n" for row in range(20))
    big5, utf8, run = tmp_path / "big5.csv", tmp_path / "utf8.csv", tmp_path / "run"
    big5.write_bytes(f"label,text\n{rows}".encode("big5"))
    utf8.write_text(f"label,text\n{rows}", encoding="utf-8")
    assert convrnn("train", big5, "--encoding", "big5", "--model", "gru", "--out", run, "--epochs", "1", "--quiet").code == 0
    want = convrnn("predict", run, big5)
    replaced = convrnn("predict", run, utf8, "--encoding", "utf-8")
    assert (want.code, want.err) == (0, "") and replaced.out == want.out.replace("big5.csv", "utf8.csv")
    loose = convrnn("predict", run, big5, "--encoding", "cp1252")
    assert loose.out != want.out
    assert convrnn("evaluate", run, utf8, "--encoding", "utf-8").out == convrnn("evaluate", run, big5).out


def test_what_reading_tells_goes_to_standard_error(convrnn: Callable[..., Any], files: Path, runs: dict[str, Path], tmp_path: Path) -> None:
    accented = tmp_path / "a.tsv"
    accented.write_bytes("label\ttext\n0\tun été à la plage\n1\tcafé\n".encode("cp1252"))
    for verb in ("predict", "evaluate"):
        said = convrnn(verb, runs["text"], accented)
        assert said.code == 0 and said.err.startswith("data: a.tsv: not UTF-8, read as Windows-1252"), said


def test_an_unknown_ending(convrnn: Callable[..., Any], files: Path, runs: dict[str, Path], tmp_path: Path) -> None:
    said = convrnn("predict", runs["table"], files / "good.csv", "--out", tmp_path / "answers.xlsx")
    assert said.code == 2
    assert "--out: expected a name that ends in .jsonl, .csv, .tsv" in said.err


def test_predictions_of_the_run_are_those_of_predict(convrnn: Callable[..., Any], files: Path, runs: dict[str, Path]) -> None:
    kept = {row["name"]: row for row in map(json.loads, (runs["table"] / "predictions.jsonl").read_text().splitlines())}
    found = {row["name"]: row for row in map(json.loads, convrnn("predict", runs["table"], files / "good.csv").out.splitlines())}
    assert kept and kept.keys() <= found.keys()
    for name, row in kept.items():
        assert row["label"] == found[name]["label"]
        assert row["probability"] == pytest.approx(found[name]["probability"], abs=WITHIN)


@pytest.mark.parametrize("name", ["predictions.jsonl", "history.jsonl"])
def test_records_of_the_run_are_not_written_over(name: str, convrnn: Callable[..., Any], files: Path, runs: dict[str, Path]) -> None:
    before = (runs["table"] / name).read_bytes()
    said = convrnn("predict", runs["table"], files / "good.csv", "--out", runs["table"] / name)
    assert said.code == 2 and f"{name} is a record of the run; choose another" in said.err
    assert (runs["table"] / name).read_bytes() == before
