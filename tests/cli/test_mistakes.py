"""Mistakes on the command line: one clear line with the remedy, the right exit code, and nothing written."""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

GRU = ("--model", "gru", "--epochs", "1")

# What is typed (OUT stands for a folder that is not there yet), and what the line says: where, what, the remedy.
MISTAKES = {
    "missing file": (("train", "god.csv", *GRU), r"god\.csv: no such file or folder; did you mean good\.csv\?"),
    "empty file": (("train", "empty.csv", *GRU), r"empty\.csv: the file is empty; give a file with data"),
    "binary file": (("train", "binary.csv", *GRU), r"binary\.csv: expected text, got a binary file; .*convert it"),
    "one class": (("train", "one_label.csv", *GRU), r"at least two labels in 'label', got 'a' in all .*; add rows of another label"),
    "unknown target": (("train", "good.csv", "--target", "t99", *GRU), r"--target: no column is called 't99'; the columns are 't0', "),
    "unknown input": (("train", "good.csv", "--input", "t99", *GRU), r"--input: no column is called 't99'; the columns are 't0', "),
    "a label only in test": (
        ("train", "good.csv", "--test", "new_label.csv", *GRU),
        r"new_label\.csv:4: label 'c' comes only in the test part \(4 rows\), never in training; correct the label",
    ),
    "text in a numeric column": (
        ("train", "text_in_numbers.csv", *GRU),
        r"text_in_numbers\.csv:6:t2: expected a number, got 'abc'; correct the cell",
    ),
    "ragged table": (("train", "ragged.csv", *GRU), r"ragged\.csv:6: expected 9 cells as in line 1, got 10; put quotes"),
    "wrong shape in a spec": (
        ("train", "good.csv", "--model", "wrong_shape.yaml"),
        r"wrong_shape\.yaml: 0\.conv\.groups: expected a divisor of features=8, got 3",
    ),
    "spec that does not fit the data": (
        ("train", "good.csv", "--model", "too_narrow.yaml"),
        r"1\.embedding: expected ids of symbols, got channels \(8,\); ",
    ),
    "unknown field in a spec": (
        ("train", "good.csv", "--model", "wrong_field.yaml"),
        r"wrong_field\.yaml: 1\.linear\.out: no such field; fields: features, bias, init",
    ),
    "no such spec": (("train", "good.csv", "--model", "none.yaml"), r"none\.yaml: could not be read: No such file"),
    "unknown model": (("train", "good.csv", "--model", "grru"), r"model: unknown name 'grru'; did you mean 'gru'\?"),
    "target twice": (("train", "good.csv", "--target", "t0", "--target", "label", *GRU), r"--target: is given twice; give it once"),
    "target as input": (("train", "good.csv", "--target", "label", "--input", "label", *GRU), r"--target: 'label' is given as input too"),
    "epochs by --set too": (
        ("train", "good.csv", *GRU, "--set", "epochs=2"),
        r"--set: epochs is given twice, by --epochs too; give it once",
    ),
    "seed by --set too": (("train", "good.csv", *GRU, "--seed", "0", "--set", "seed=2"), r"--set: seed is given twice, by --seed too"),
    "a key set twice": (("train", "good.csv", *GRU, "--set", "rate=1", "--set", "rate=2"), r"--set: rate is given twice; give it once"),
    "unknown key": (("train", "good.csv", *GRU, "--set", "raet=1"), r"--set: unknown key 'raet'; did you mean 'rate'\?"),
    "unknown key like no other": (("train", "good.csv", *GRU, "--set", "qqq=1"), r"--set: unknown key 'qqq'; known: augment, .* \.\.\."),
    "key of another model": (("train", "good.csv", *GRU, "--set", "model.rows=1"), r"--set: unknown key 'model\.rows'; "),
    "no value": (("train", "good.csv", *GRU, "--set", "rate"), r"--set: expected KEY=VALUE, got 'rate'; for example --set rate=1e-3"),
    "value that is no YAML": (("train", "good.csv", *GRU, "--set", "rate=[1"), r"--set rate: is not YAML at line 1"),
    "value out of range": (("train", "good.csv", *GRU, "--set", "rate=-1"), r"training\.rate: expected a value greater than 0, got -1"),
    "share out of range": (("train", "good.csv", *GRU, "--valid", "2"), r"valid\.fraction: expected a share between 0 and 1, got 2\.0"),
    "a share of what the files fix": (
        ("train", "japanese-vowels", *GRU, "--test", "0.5"),
        r"japanese-vowels: its files fix a test part, so that no share of the rows can be one; leave --test out",
    ),
    "a share given twice": (
        ("train", "good.csv", *GRU, "--test", "0.5", "--set", "test_fraction=0.2"),
        r"--set: test_fraction is given twice, by --test too; give it once",
    ),
    "a word for a truth": (("train", "good.csv", *GRU, "--set", "shuffle=no"), r"split\.shuffle: expected true or false, got 'no'"),
    "a split with nothing to draw": (
        ("train", "good.csv", *GRU, "--valid", "0", "--test", "good.csv", "--set", "split_seed=1"),
        r"good: no rows are held out, so that split_seed changes nothing; leave it out",
    ),
    "a split that is not drawn": (
        ("train", "good.csv", *GRU, "--set", "shuffle=false", "--set", "split_seed=1"),
        r"good: the last rows are held out, so that split_seed changes nothing; leave it out",
    ),
    "labels of whole groups": (
        ("train", "good.csv", *GRU, "--group", "t0", "--set", "stratify=true"),
        r"good: groups are held out whole, so that stratify changes nothing; leave it out",
    ),
    "a setting without effect": (
        ("train", "good.csv", *GRU, "--set", "decay=0.3"),
        r"training\.decay: has no effect with schedule one_cycle; leave it out, or choose step, exponential or plateau",
    ),
    "unknown task": (("train", "good.csv", *GRU, "--task", "sort"), r"--task: expected classify or regress, got 'sort'"),
    "labels to regress": (("train", "good.csv", *GRU, "--task", "regress"), r"good\.csv:2:label: expected a number, got 'a'; correct"),
    "no such device": (("train", "good.csv", *GRU, "--device", "cuda:99"), r"device: 'cuda:99' is not there: torch sees \d+ GPU\(s\); use"),
    "no such encoding": (("train", "good.csv", *GRU, "--encoding", "utf-99"), r"good\.csv: no encoding is called 'utf-99'; for example"),
    "nothing to train on": (("train", *GRU), r"DATA: is missing; give a built-in name or a path"),
    "no number": (("train", "good.csv", "--epochs", "many"), r"Invalid value for '--epochs'.*; see `convrnn train --help`"),
    "unknown option": (("train", "good.csv", "--epoch", "3"), r"No such option: --epoch .*--epochs.*; see `convrnn train --help`"),
    "out in a file": (("train", "good.csv", *GRU, "--out", "good.csv/run"), r"--out: .*good\.csv/run lies in a file"),
    "out is a file": (("train", "good.csv", *GRU, "--out", "good.csv"), r"--out: good\.csv is a file, expected a folder; choose another"),
    "out is taken": (("train", "good.csv", *GRU, "--out", "."), r"--out: \. exists and is not empty; choose another$"),
    "unknown verb": (("trian", "good.csv"), r"No such command 'trian'.*; see `convrnn --help`"),
    "resume nothing": (("train", "--resume", "none"), r"none: expected a run folder with config\.yaml, found none; give the folder"),
    "predict with nothing": (("predict", "none", "good.csv"), r"none: expected a run folder with model\.json, found none; give the folder"),
    "evaluate nothing": (("evaluate", "none", "good.csv"), r"none: expected a run folder with model\.json, found none"),
    "report of nothing": (("report", "none"), r"none: expected a run folder, found none"),
    "inspect nothing": (("inspect", "none"), r"none: no such file or folder, and no built-in set of this name"),
    "spec without a shape": (("inspect", "body.yaml"), r"--shape: is missing: .*; for example --shape 12"),
    "shape of data": (("inspect", "good.csv", "--shape", "3"), r"--shape: is for a SPEC; leave it out"),
    "no shape": (("inspect", "body.yaml", "--shape", "wide"), r"--shape: expected channels, H,C or ids:N, got 'wide'"),
    "no frames": (("inspect", "body.yaml", "--shape", "3", "--frames", "0"), r"--frames: expected at least 1, got 0"),
    "a file for a run": (
        ("predict", "good.csv", "good.csv"),
        r"good\.csv: expected a run folder with model\.json, found none; give the folder",
    ),
    "a name that is too long": (("train", f"/{'n' * 300}/x", *GRU), r"/x: File name too long; check the path"),
    "frames of data": (("inspect", "good.csv", "--frames", "7"), r"--frames: is for a SPEC; leave it out"),
    "nothing for a run": (("predict", "", "good.csv"), r"RUN: is empty; give a value, or leave it out"),
    "nothing for data": (("compare", "good.csv", "", "--models", "gru,rnn"), r"DATA: is empty; give a value, or leave it out"),
    "no such built-in": (("datasets", "digit"), r"digit: .*did you mean digits\?"),
    "no such model": (("models", "crn"), r"model: unknown name 'crn'; did you mean 'crnn'\?"),
}


def tree(place: Path) -> list[str]:
    """Every file and folder below."""
    return sorted(str(path) for path in place.rglob("*"))


def assert_one_line(said: Any, code: int, pattern: str) -> None:
    """One line of ours on standard error, short enough to read."""
    assert said.code == code, said
    assert re.fullmatch(r"convrnn: [^\n]+\n", said.err), said.err
    assert re.search(pattern, said.err.rstrip("\n")), said.err
    assert len(re.sub(r"/\S*/", "", said.err)) <= 300  # without the folders, which are as deep as whoever runs the test has them


@pytest.mark.parametrize("typed, line", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_line_and_nothing_is_written(
    typed: tuple[str, ...], line: str, convrnn: Callable[..., Any], files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(files)
    before = tree(files)
    out = () if typed[0] != "train" or "--out" in typed or "--resume" in typed else ("--out", tmp_path / "deep" / "run", "--quiet")
    assert_one_line(convrnn(*typed, *out), 2, line)
    assert tree(files) == before
    assert tree(tmp_path) == []


@pytest.mark.parametrize(
    "typed",
    [
        ("train", "good.csv", *GRU, "--set", "width=1000000000000000", "--quiet", "--out", "deep/run"),
        ("inspect", "body.yaml", "--shape", "9999999999999999"),
        ("inspect", "body.yaml", "--shape", "9223372036854775807"),
        ("inspect", "body.yaml", "--shape", "9" * 30),
        ("inspect", "body.yaml", "--shape", "3", "--frames", "100000000000000000"),
    ],
)
def test_what_no_memory_holds_is_one_line_and_nothing_is_written(
    typed: tuple[str, ...], convrnn: Callable[..., Any], files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(files)
    before = tree(files)
    assert_one_line(convrnn(*typed), 1, r"memory: there is less than this needs; make rows, batch or widths smaller")
    assert tree(files) == before


@pytest.mark.parametrize(
    ("verb", "out", "line"),
    [
        ("predict", "no/such/x.csv", r"--out: there is no folder no/such; make it first, or choose another"),
        ("predict", "rows.csv", r"--out: rows\.csv is the file that is read; choose another"),
        ("export", "no/such/x.onnx", r"--out: there is no folder no/such; make it first, or choose another"),
        ("export", ".", r"--out: \. is a folder, expected a file; choose another"),
        ("inspect", "no/such/x.png", r"--plot: there is no folder no/such; make it first, or choose another"),
    ],
)
def test_where_no_file_can_be_written_is_said_before_the_work(
    verb: str,
    out: str,
    line: str,
    convrnn: Callable[..., Any],
    files: Path,
    runs: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = (files / "good.csv").read_bytes()
    (tmp_path / "rows.csv").write_bytes(rows)
    typed = {"predict": ("rows.csv", "--out"), "export": ("--out",), "inspect": ("--row", "rows.csv:2", "--plot")}[verb]
    assert_one_line(convrnn(verb, runs["table"], *typed, out), 2, line)
    assert (tree(tmp_path), (tmp_path / "rows.csv").read_bytes()) == ([str(tmp_path / "rows.csv")], rows)


def test_names_of_what_is_written_may_be_too_long(convrnn: Callable[..., Any], files: Path, runs: dict[str, Path], tmp_path: Path) -> None:
    for name in ("n" * 300, "n" * 240):  # the second is none for the temporary file beside it only
        said = convrnn("predict", runs["table"], files / "good.csv", "--out", tmp_path / f"{name}.csv")
        assert re.fullmatch(r"convrnn: [^\n]*: File name too long; [^\n]*\n|convrnn: [^\n]*: could not be written: [^\n]*\n", said.err), (
            said
        )
        assert tree(tmp_path) == []


def test_a_missing_value_is_no_mistake_and_is_counted(convrnn: Callable[..., Any], files: Path, tmp_path: Path) -> None:
    said = convrnn("train", files / "missing.csv", *GRU, "--out", tmp_path / "run")
    assert said.code == 0
    assert re.search(r"missing\.csv: missing values: 2, in 2 of 40 series", said.out), said.out


def test_a_run_that_exists_is_kept(convrnn: Callable[..., Any], files: Path, runs: dict[str, Path]) -> None:
    before = {path: path.stat().st_mtime_ns for path in runs["table"].rglob("*")}
    said = convrnn("train", files / "good.csv", *GRU, "--out", runs["table"])
    assert_one_line(said, 2, rf"--out: {runs['table']} exists and is not empty; choose another, or go on with --resume {runs['table']}")
    assert {path: path.stat().st_mtime_ns for path in runs["table"].rglob("*")} == before


@pytest.fixture
def copied(runs: dict[str, Path], tmp_path: Path) -> Path:
    """A run to damage."""
    for name in ("config.yaml", "model.json", "model.safetensors"):
        (tmp_path / name).write_bytes((runs["table"] / name).read_bytes())
    return tmp_path


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def other_weights(content: bytes) -> bytes:
    return content[:-4] + b"\0\0\0\1"


def other_version(content: bytes) -> bytes:
    return json.dumps({**json.loads(content), "format": 99, "convrnn": "9.0"}).encode()


def foreign_layer(content: bytes) -> bytes:
    return content.replace(b'"layer": "gru"', b'"layer": "grux"')


def without_task(content: bytes) -> bytes:
    return json.dumps({name: value for name, value in json.loads(content).items() if name != "task"}).encode()


DAMAGE = {
    "model.safetensors cut": ("model.safetensors", cut, r"model\.safetensors: is damaged: .*; restore it from a copy, or train again"),
    "model.safetensors of another run": (
        "model.safetensors",
        other_weights,
        r"does not belong to the model\.json beside it: the checksums",
    ),
    "model.json cut": ("model.json", cut, r"model\.json: is damaged: .*; train again"),
    "model.json of another version": (
        "model.json",
        other_version,
        r"model\.json: expected format 1, got 99 \(written by convrnn 9\.0\); read it with that version, or train again",
    ),
    "model.json with a foreign layer": ("model.json", foreign_layer, r"model\.json: .*unknown name 'grux'.*train again"),
    "model.json without a task": ("model.json", without_task, r"model\.json: expected a model, but 'task' is missing"),
}


@pytest.mark.parametrize("name, damage, line", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_model(
    name: str, damage: Callable[[bytes], bytes], line: str, convrnn: Callable[..., Any], files: Path, copied: Path
) -> None:
    place = copied / name
    place.write_bytes(damage(place.read_bytes()))
    before = tree(copied)
    assert_one_line(convrnn("predict", copied, files / "good.csv", "--out", copied / "answers.csv"), 2, line)
    assert tree(copied) == before


def test_resuming_a_damaged_config(convrnn: Callable[..., Any], copied: Path) -> None:
    (copied / "config.yaml").write_text("data: good.csv\n")
    assert_one_line(convrnn("train", "--resume", copied), 2, r"config\.yaml: is damaged or of another version: see body, .*; train again")


@pytest.mark.parametrize(
    "option", [("--seed", "0"), ("--out", "x"), ("--target", "t0"), ("--set", "rate=1"), ("--model", "gru"), ("good.csv",)]
)
def test_resuming_takes_no_other_option(option: tuple[str, ...], convrnn: Callable[..., Any], runs: dict[str, Path]) -> None:
    shown = option[0] if option[0].startswith("--") else "DATA"
    line = rf"--resume: goes on with what the run was asked for, got {shown} too; leave {shown} out"
    assert_one_line(convrnn("train", "--resume", runs["table"], *option), 2, line)


FSYNC = os.fsync


class Disk:
    """A disk with room for some files; then it is full."""

    def __init__(self, room: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.room = room
        monkeypatch.setattr(os, "fsync", self.fsync)

    def fsync(self, file: int) -> None:
        """Every file that the package writes passes here before it gets its name."""
        self.room -= 1
        if self.room < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        FSYNC(file)


def test_a_full_disk_leaves_nothing_half_written(
    convrnn: Callable[..., Any], files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever file is the one too many: before the first checkpoint nothing stays, afterwards the run goes on to the same end."""
    typed = ("train", files / "good.csv", "--model", "gru", "--set", "width=4", "--epochs", "2", "--quiet", "--out")
    whole = Disk(10_000, monkeypatch)
    assert convrnn(*typed, tmp_path / "whole").code == 0
    written = 10_000 - whole.room
    goes_on = 0
    for room in (0, 1, 3, 5, 7, 10, written - 1):
        run = tmp_path / "deep" / f"room {room}"
        Disk(room, monkeypatch)
        said = convrnn(*typed, run)
        assert_one_line(said, 1, r": could not be written: No space left on device; free some space")
        assert not list(tmp_path.rglob("*.part"))
        if not (run / "checkpoints" / "last.json").exists():
            assert not (tmp_path / "deep").exists()
            continue
        assert f"go on with --resume {run}\n" in said.err
        Disk(10_000, monkeypatch)
        goes_on += 1
        assert convrnn("train", "--resume", run, "--quiet").code == 0
        for name in ("model.safetensors", "history.jsonl", "predictions.jsonl"):
            assert (run / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
        for path in sorted(run.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        run.rmdir()
        run.parent.rmdir()
    assert goes_on >= 3


def test_a_full_disk_keeps_the_old_answers(
    convrnn: Callable[..., Any], files: Path, runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "answers.csv").write_text("old")
    Disk(0, monkeypatch)
    said = convrnn("predict", runs["table"], files / "good.csv", "--out", tmp_path / "answers.csv")
    assert_one_line(said, 1, r"answers\.csv: could not be written: No space left on device")
    assert tree(tmp_path) == [str(tmp_path / "answers.csv")]
    assert (tmp_path / "answers.csv").read_text() == "old"
