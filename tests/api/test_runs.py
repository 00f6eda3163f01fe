"""The verbs as Python calls: what `train` returns and writes, from memory and from files, and how it goes on."""

from __future__ import annotations

import json
import signal
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

import convrnn as cr
from convrnn.api import runs
from convrnn.api.folder import discard
from convrnn.api.options import assign, parse, plain
from convrnn.api.rows import Reading, rows_for, source_of
from convrnn.core import lock
from convrnn.modality import Jitter, modality_for
from convrnn.tasks import Classify
from convrnn.training.hooks import Interrupted, Silent

LABEL = np.arange(40) % 2
X = np.random.default_rng(0).normal(LABEL[:, None, None] * 2.0, 0.5, (40, 6, 2)).astype(np.float32)
QUICK: dict[str, Any] = {"model": "gru", "width": 4, "epochs": 3, "batch": 8, "rate": 0.02}


def test_random_numbers_of_the_caller_go_on() -> None:
    torch.manual_seed(7)
    wanted = torch.rand(3)
    torch.manual_seed(7)
    cr.train(X, LABEL, **{**QUICK, "epochs": 1})
    assert torch.equal(torch.rand(3), wanted)


def test_nothing_is_written_without_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = cr.train(X, LABEL, **QUICK)
    assert run.folder is None and list(tmp_path.iterdir()) == []
    assert run.metrics["test"]["accuracy"] > 0.8
    assert [record["epoch"] for record in run.history if "train" in record] == [1, 2, 3]
    assert run.finding.endswith(".") and "loss" in run.finding


def test_what_is_said(tmp_path: Path) -> None:
    said: list[str] = []
    cr.train(X, LABEL, say=said.append, out=tmp_path / "run", report=False, **QUICK)
    for start in (
        "task: classify, since ",
        "parts: 29 rows to learn from, 3 to watch, 8 to measure on",
        "input: series of 2",
        "model: gru, ",
    ):
        assert any(line.startswith(start) for line in said), said
    assert not (tmp_path / "run" / "report.html").exists()


def test_records_of_a_run(tmp_path: Path) -> None:
    run = cr.train(X, LABEL, out=tmp_path / "run", **QUICK)
    written = {path.name for path in (tmp_path / "run").iterdir()}
    assert written >= {"config.yaml", "model.json", "model.safetensors", "metrics.json", "history.jsonl", "predictions.jsonl"}
    assert written >= {"summary.json", "report.html", "plots", "checkpoints"}
    assert json.loads((tmp_path / "run" / "metrics.json").read_text()) == run.metrics
    history = [json.loads(line) for line in (tmp_path / "run" / "history.jsonl").read_text().splitlines()]
    assert history == run.history
    rows = [json.loads(line) for line in (tmp_path / "run" / "predictions.jsonl").read_text().splitlines()]
    assert len(rows) == 8
    right = sum(row["label"] == row["target"] for row in rows) / len(rows)
    assert right == pytest.approx(run.metrics["test"]["accuracy"])


def test_the_model_that_is_loaded_is_the_one_that_was_trained(tmp_path: Path) -> None:
    run = cr.train(X, LABEL, out=tmp_path / "run", report=False, **QUICK)
    assert cr.load(tmp_path / "run").predict(X) == run.model.predict(X) == cr.predict(tmp_path / "run", X)
    assert cr.evaluate(tmp_path / "run", X, LABEL)["accuracy"] > 0.8


def test_names_bind_where_both_sides_have_them_and_places_elsewhere(tmp_path: Path) -> None:
    """Arrays and `.ts` files name no channels: they fit a model of a table with as many columns, and the reverse."""
    rows = [row.round(3) for row in X[:, :3]]
    table = pd.DataFrame(np.concatenate(rows), columns=["v", "w"])
    table = table.assign(id=np.repeat(np.arange(40), 3), label=np.repeat(np.array(["a", "b"])[LABEL], 3))
    csv, ts = tmp_path / "s.csv", tmp_path / "s.ts"
    table.to_csv(csv, index=False)
    lines = [":".join(",".join(f"{value:.3f}" for value in channel) for channel in row.T) for row in rows]
    ts.write_text("@data\n" + "\n".join(lines) + "\n")
    options: dict[str, Any] = {**QUICK, "epochs": 1, "report": False}
    named = cr.train(csv, id="id", target="label", out=tmp_path / "named", **options)
    wanted = cr.predict(tmp_path / "named", csv)
    assert wanted == named.model.predict(rows) == cr.predict(tmp_path / "named", rows) == cr.predict(tmp_path / "named", ts)
    assert cr.evaluate(tmp_path / "named", rows, np.array(["a", "b"])[LABEL]) == cr.evaluate(tmp_path / "named", csv)
    with pytest.raises(cr.DataError, match=r"X\[0\]: expected 2 channel\(s\), got 1; give every series the same channels"):
        named.model.predict([row[:, :1] for row in rows])

    cr.train(rows, LABEL, out=tmp_path / "places", **options)
    said: list[str] = []
    assert cr.predict(tmp_path / "places", csv, say=said.append) == cr.predict(tmp_path / "places", rows)
    assert "data: training knew no names of channels, so these are taken by their places: v, w" in said
    table.drop(columns="w").to_csv(csv, index=False)
    with pytest.raises(cr.DataError, match=r"s\.csv:2: expected 2 channel\(s\), got 1; give every series the same channels"):
        cr.predict(tmp_path / "places", csv)


def test_a_data_frame_by_columns(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": X[:, 0, 0], "b": X[:, 1, 0], "kind": np.array(["低", "高"])[LABEL], "noise": "x"})
    run = cr.train(frame, input=["a", "b"], target="kind", out=tmp_path / "run", report=False, **QUICK)
    answers = cr.predict(tmp_path / "run", frame[["a", "b"]])
    assert {answer["label"] for answer in answers} <= {"低", "高"}
    assert answers == cr.predict(tmp_path / "run", frame)  # columns are matched by name, others are not looked at
    assert answers == run.model.predict_examples(rows_for(run.model, frame, labelled=False))
    assert answers == run.model.predict(frame[["b", "a"]])  # pyright: ignore[reportArgumentType]  (a frame has rows too)


def test_columns_of_a_frame_are_honoured_beside_targets_that_are_given() -> None:
    """Groups above all: rows of one person in two parts make a test that is none."""
    frame = pd.DataFrame({"b": X[:, 1, 0], "a": X[:, 0, 0], "who": LABEL, "label": LABEL})
    source = source_of(frame, LABEL, Reading(input=("a", "b"), group="who"))
    assert source.train.groups == [str(label) for label in LABEL] and source.train.targets == LABEL.tolist()
    assert source.train.inputs[3][:, 0].tolist() == X[3, :2, 0].tolist() and source.columns.inputs == ("a", "b")
    found = source_of(frame.drop(columns="who"), LABEL, Reading())
    assert found.columns.inputs == ("b", "a") and "X: not used: 'label'" in found.notes
    long = pd.DataFrame({"case": [1, 1, 2, 2], "v": [1.0, 2.0, 3.0, 4.0], "who": ["p", "p", "q", "q"]})
    assert source_of(long, ["x", "y"], Reading(id="case", group="who")).train.groups == ["p", "q"]


@pytest.mark.parametrize(
    ("data", "reading", "message"),
    [
        (pd.DataFrame({"a": [1.0] * 40}), Reading(input=("zzz",)), "X: --input: no column is called 'zzz'"),
        (pd.DataFrame({"a": [1.0] * 40}), Reading(group="who"), "X: --group: no column is called 'who'"),
        (pd.DataFrame({"a": [1.0] * 40}), Reading(target="a"), "target: is named, and targets are given as y too; give one of them"),
        (X, Reading(group="who"), "data: columns are named, but only tables have columns"),
        (X, Reading(encoding="big5"), "encoding: only files have an encoding; leave it out"),
    ],
)
def test_what_rows_in_memory_do_not_have(data: Any, reading: Reading, message: str) -> None:
    with pytest.raises(cr.InputError, match=message):
        source_of(data, LABEL, reading)


class StopAfter(Silent):
    """Presses Ctrl-C after an epoch."""

    def __init__(self, epoch: int) -> None:
        self.last = epoch

    def epoch(self, record: Any) -> None:
        """See `Watcher`."""
        if record["epoch"] == self.last:
            signal.raise_signal(signal.SIGINT)


def test_rows_in_memory_go_on_with_the_same_call(tmp_path: Path) -> None:
    whole = cr.train(X, LABEL, report=False, **QUICK)
    cut = tmp_path / "cut"
    with pytest.raises(Interrupted, match=rf"^interrupted .*; go on with convrnn\.train\(rows, \.\.\., out='{cut}', resume=True\)$"):
        cr.train(X, LABEL, out=cut, report=False, watch=StopAfter(1), **QUICK)
    with pytest.raises(cr.DataError, match=r"was trained from rows in memory; call convrnn\.train\(rows, \.\.\., out=folder, "):
        cr.resume(cut)
    again = cr.train(X, LABEL, out=cut, report=False, resume=True, **QUICK)
    assert again.history == whole.history
    assert again.model.predict(X) == whole.model.predict(X)
    with pytest.raises(cr.DataError, match="training part: is not the one that the training began with"):
        cr.train(X[:-1], LABEL[:-1], out=cut, report=False, resume=True, **QUICK)
    with pytest.raises(cr.DataError, match=r"training\.rate: the training began with 0\.02, got 0\.5; resume with what it began with"):
        cr.train(X, LABEL, out=cut, report=False, resume=True, **{**QUICK, "rate": 0.5})
    assert (cut / "metrics.json").is_file()  # a refused resumption takes nothing away


def test_resuming_a_trial_that_is_done(tmp_path: Path) -> None:
    cr.train(X, LABEL, out=tmp_path, trial=True, **{**QUICK, "epochs": 1})
    before = sorted(tmp_path.iterdir())
    with pytest.raises(cr.DataError, match="was a trial, to choose something by: it is done, and kept its metrics only; to train anew"):
        cr.resume(tmp_path)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("trial", [False, True])
def test_a_trial_that_was_cut_off_goes_on_as_one(tmp_path: Path, trial: bool) -> None:
    """What chooses never sees the test part, whoever goes on with it."""
    data, run = tmp_path / "rows.csv", tmp_path / "run"
    data.write_text("label,t0,t1\n" + "".join(f"{row % 2},{row},{row % 3}\n" for row in range(40)))
    with pytest.raises(Interrupted):
        cr.train(data, out=run, trial=trial, watch=StopAfter(1), **QUICK)
    assert ("test" in cr.resume(run).metrics) is not trial
    assert (run / "metrics.json").is_file()


def test_one_training_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "PATIENCE", 0.1)
    with pytest.raises(Interrupted):
        cr.train(X, LABEL, out=tmp_path / "cut", report=False, watch=StopAfter(1), **QUICK)
    before = sorted((tmp_path / "cut").rglob("*"))
    with (
        lock.locked(tmp_path / "cut", brief=True),
        pytest.raises(cr.UsageError, match="another process is at work in this folder; wait for it"),
    ):
        cr.train(X, LABEL, out=tmp_path / "cut", report=False, resume=True, **QUICK)
    assert sorted((tmp_path / "cut").rglob("*")) == before
    cr.train(X, LABEL, out=tmp_path / "cut", report=False, resume=True, **QUICK)
    assert (tmp_path / "cut" / "metrics.json").is_file() and not (tmp_path / "cut" / ".lock").exists()


def test_a_new_run_that_another_process_has_gone_on_with_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the moment between `config.yaml` and the lock."""
    monkeypatch.setattr(lock, "PATIENCE", 0.1)
    make = runs.new_folder
    with ExitStack() as other:

        def overtaken(*asked: Any) -> Any:
            made = make(*asked)
            other.enter_context(lock.locked(made[0], brief=True))
            return made

        monkeypatch.setattr(runs, "new_folder", overtaken)
        with pytest.raises(cr.UsageError, match="another process is at work"):
            cr.train(X, LABEL, out=tmp_path / "run", report=False, **QUICK)
        assert (tmp_path / "run" / "config.yaml").is_file()


def test_resuming_what_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(cr.DataError, match=r"expected a run folder with config\.yaml, found none"):
        cr.train(X, LABEL, out=tmp_path / "none", resume=True, **QUICK)
    assert not (tmp_path / "none").exists()


def test_a_training_without_a_checkpoint_leaves_nothing(tmp_path: Path) -> None:
    """The loss is no number in the first epoch: there is nothing to go on with."""
    spec = cr.Serial(cr.Conv(4), cr.Activation("relu"), cr.Conv(4), cr.Activation("relu"))
    options: dict[str, Any] = {"model": spec, "batch": 4, "rate": 1e30, "clip": None, "optimizer": "sgd", "schedule": "constant"}
    with pytest.raises(cr.JobError, match=r"the loss is|the gradient's norm is"):
        cr.train(X, LABEL, out=tmp_path / "deep" / "run", report=False, **options)
    assert list(tmp_path.iterdir()) == []


def test_a_kill_while_a_failed_training_is_removed_leaves_what_can_be_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("config.yaml", "history.jsonl"):
        (tmp_path / name).touch()
    unlink = Path.unlink

    def killed(path: Path, missing_ok: bool = False) -> None:
        unlink(path, missing_ok)
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "iterdir", lambda path: iter([path / "config.yaml", path / "history.jsonl"]))  # in any order
    monkeypatch.setattr(Path, "unlink", killed)
    with pytest.raises(KeyboardInterrupt):
        discard(tmp_path, [])
    assert (tmp_path / "config.yaml").exists() and not (tmp_path / "history.jsonl").exists()


def test_a_folder_that_was_there_and_empty_stays(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".config.yaml.0123.part").write_text("what a kill left")
    with pytest.raises(cr.InputError):
        cr.train(X, LABEL, out=tmp_path / "run", device="cuda:99", **QUICK)
    assert (tmp_path / "run").is_dir() and list((tmp_path / "run").iterdir()) == []


@pytest.mark.parametrize("another", [False, True])
def test_of_two_trainings_that_want_one_folder_one_gets_it(another: bool, tmp_path: Path) -> None:
    """Both found it free when they began; the other one's files stay, whatever becomes of this one."""
    out, said = tmp_path / "run", list[str]()

    def other_begins(line: str) -> None:
        said.append(line)
        if len(said) == 1:  # this one reads its data still
            cr.train(X, LABEL, out=out, report=False, **{**QUICK, "epochs": 1})

    if another:
        run = cr.train(X, LABEL, out=out, report=False, say=other_begins, another=True, **QUICK)
        assert run.folder == tmp_path / "run-2" and (tmp_path / "run-2" / "metrics.json").is_file()
    else:
        with pytest.raises(cr.UsageError, match=r"--out: .* exists and is not empty; choose another, or go on with --resume"):
            cr.train(X, LABEL, out=out, report=False, say=other_begins, **QUICK)
    assert yaml.safe_load((out / "config.yaml").read_text())["settings"]["epochs"] == 1 and (out / "metrics.json").is_file()


@pytest.mark.parametrize("given", [{}, {"out": "run", "resume": True}])
def test_another_folder_is_for_a_new_run(given: dict[str, Any]) -> None:
    with pytest.raises(cr.UsageError, match="another: is for a new run folder; give out, and leave resume out"):
        cr.train(X, LABEL, another=True, **given)


def test_options_of_numpy_and_records_are_kept_as_plain_values(tmp_path: Path) -> None:
    given = {**QUICK, "epochs": np.int64(2), "rate": np.float32(0.02), "augment": (Jitter(0.1),)}
    cr.train(X, LABEL, out=tmp_path / "run", report=False, **given)
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert config["options"]["epochs"] == 2
    assert config["options"]["augment"][0]["augmentation"] == "jitter"
    assert config["settings"]["epochs"] == 2


def test_a_spec_as_model(tmp_path: Path) -> None:
    spec = cr.Serial(cr.Conv(4), cr.Activation("relu"), cr.GRU(4))
    run = cr.train(X, LABEL, model=spec, epochs=1, out=tmp_path / "run", report=False)
    assert run.model.name == "spec"
    assert repr(run.model.spec).startswith("Serial(Conv(4), Activation(), GRU(4), ")
    with pytest.raises(cr.UsageError, match="unknown key 'width'"):
        cr.train(X, LABEL, model=spec, width=4)


def test_an_unknown_model_is_told_before_anything_is_read() -> None:
    with pytest.raises(cr.SpecError, match=r"model: unknown name 'crn'; did you mean 'crnn'\?"):
        cr.train("no such file", model="crn")


def test_rows_of_another_kind(tmp_path: Path) -> None:
    cr.train(X, LABEL, out=tmp_path / "run", report=False, **{**QUICK, "epochs": 1})
    with pytest.raises(cr.DataError, match=r"expected series, got text; give rows as in training"):
        cr.predict(tmp_path / "run", ["a text"])


def test_a_file_as_part_of_rows_in_memory() -> None:
    with pytest.raises(cr.UsageError, match=r"valid: expected a share, got the file rows\.csv; rows in memory are split by a share"):
        cr.train(X, LABEL, valid="rows.csv", **QUICK)


def test_pairs() -> None:
    assert parse(["rate=1e-3", "augment=[{jitter: 0.1}]", "log-every = 5"]) == {"rate": 1e-3, "augment": [{"jitter": 0.1}], "log_every": 5}


def test_options_find_their_place() -> None:
    given = {"rate": 1, "width": 2, "scale": "none", "label_smoothing": 0.1, "split_seed": 3, "model.dropout": 0.5}
    chosen = assign(given, ["width", "dropout"], modality_for("series"), Classify)
    assert (chosen.train, chosen.model) == ({"rate": 1}, {"width": 2, "dropout": 0.5})
    assert (chosen.modality, chosen.task, chosen.split) == ({"scale": "none"}, {"label_smoothing": 0.1}, {"split_seed": 3})


def test_a_key_that_two_places_know() -> None:
    with pytest.raises(cr.UsageError, match=r"rate is known to train and model; write train\.rate or model\.rate"):
        assign({"rate": 1}, ["rate"], modality_for("series"), Classify)


def test_plain_values() -> None:
    assert plain({"a": np.float64(1.5), "b": (1, np.array([2, 3]))}) == {"a": 1.5, "b": [1, [2, 3]]}
