"""`convrnn export`: what it writes answers as `convrnn predict` does; mistakes are one line and leave nothing behind."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

import convrnn as cr


def test_an_exported_run_predicts_what_the_run_predicts(
    convrnn: Callable[..., Any], files: Path, runs: dict[str, Path], tmp_path: Path
) -> None:
    said = convrnn("export", runs["text"], "--out", tmp_path / "text.onnx")
    assert (said.code, said.err) == (0, "")
    pattern = r"{}: [\d,]+ bytes, x, lengths -> y, y_lengths; largest difference from the model \d\.\de-\d\d of the largest number\n"
    assert re.fullmatch(pattern.format(re.escape(str(tmp_path / "text.onnx"))), said.out)
    session: Any = onnxruntime.InferenceSession(str(tmp_path / "text.onnx"))
    model = cr.load(runs["text"])
    rows = ["好 great", "poor", "the film a sad fine"]
    ids = [np.asarray(model.modality.encode(row)) for row in rows]
    lengths = np.array([len(each) for each in ids])
    x = np.stack([np.pad(each, (0, lengths.max() - len(each))) for each in ids])
    (y, _) = session.run(None, {"x": x, "lengths": lengths})
    shares = np.exp(y[:, 0]) / np.exp(y[:, 0]).sum(-1, keepdims=True)
    about = session.get_modelmeta().custom_metadata_map
    labels = json.loads(about["task"])["labels"]
    for share, answer in zip(shares, model.predict(rows), strict=True):
        assert dict(zip(labels, share.tolist(), strict=True)) == pytest.approx(answer["probabilities"], abs=1e-5)
    assert json.loads(about["modality"])["modality"] == "text" and about["name"] == "text-cnn"


def test_a_step_graph_lies_in_the_run_and_is_said_as_json(convrnn: Callable[..., Any], runs: dict[str, Path]) -> None:
    said = convrnn("export", runs["table"], "--format", "onnx-step", "--json")
    assert said.code == 0, said
    found = json.loads(said.out)
    path = runs["table"] / "model-step.onnx"
    assert (found["path"], found["bytes"]) == (str(path), path.stat().st_size)
    assert found["inputs"][:3] == ["x", "lengths", "last"] and all(name.startswith("state.") for name in found["inputs"][3:])
    assert 0 <= found["difference"] < 1e-5
    path.unlink()


def test_pt2(convrnn: Callable[..., Any], runs: dict[str, Path], tmp_path: Path) -> None:
    assert convrnn("export", runs["table"], "--format", "pt2", "--out", tmp_path / "model.pt2").code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["model.pt2"]


MISTAKES = {
    "no such format": ("table", ("--format", "tflite"), r"export: expected a format of onnx, onnx-step, pt2, got 'tflite'"),
    "what cannot stream": (
        "series",
        ("--format", "onnx-step"),
        r"\d\.\S*gru: cannot stream: it needs the whole row; use bidirectional=False",
    ),
    "a folder that is no run": (None, (), r"expected a run folder with model\.json, found none"),
}


@pytest.mark.parametrize("run, options, line", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_line(
    run: str | None, options: tuple[str, ...], line: str, convrnn: Callable[..., Any], runs: dict[str, Path], tmp_path: Path
) -> None:
    said = convrnn("export", runs[run] if run else tmp_path, *options, "--out", tmp_path / "net.onnx")
    assert said.code == 2
    assert re.fullmatch(rf"convrnn: [^\n]*{line}[^\n]*\n", said.err), said.err
    assert list(tmp_path.iterdir()) == []
