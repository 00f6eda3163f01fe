"""`convrnn bench`: what is printed, what `--json` gives, and mistakes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from convrnn.api import bench, machine
from convrnn.core.columns import width
from tests.cli.conftest import Said

Convrnn = Callable[..., Said]

SMALL = ("--batch", 2, "--frames", 6)


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """One round, small limits."""
    monkeypatch.setattr(bench, "ROUNDS", 1)
    monkeypatch.setattr(machine, "PRODUCTS", (32, 64))
    monkeypatch.setattr(machine, "STREAM_FLOATS", 2**12)


def test_the_machine_and_the_usual_layers(convrnn: Convrnn) -> None:
    said = convrnn("bench", *SMALL, "--shape", 3, "--hidden", 4)
    lines = said.out.splitlines()
    assert said.code == 0 and said.err == "" and max(map(width, lines)) <= 80
    assert " thread" in lines[0] and "compiled kernels: " in lines[1] and "GF/s" in lines[2] and "GB/s" in lines[2]
    assert {"RNN(4)", "GRU(4)", "LSTM(4, bidirectional=True)", "MinGRU(4)"} <= set(lines)
    assert lines[lines.index("GRU(4)") + 1].split() == ["work", "time", "frames/s", "of", "sgemm", "torch.nn", "its", "time", "/", "ours"]
    assert [line[:24].strip() for line in lines[lines.index("GRU(4)") + 2 :][:4]] == [
        "train, 2 x 6 frames",
        "infer, 2 x 6 frames",
        "infer, 1 x 6 frames",
        "stream, 1 frame more",
    ]
    assert lines.count("  does not stream: it needs the whole row") == 2


def test_json_has_all_numbers(convrnn: Convrnn) -> None:
    said = json.loads(convrnn("bench", *SMALL, "--shape", 3, "--hidden", 4, "--infer", "--json").out)
    assert said["machine"]["sgemm"] > 0 and said["machine"]["threads"] >= 1 and said["frames"] == 6
    (gru,) = (net["costs"] for net in said["nets"] if net["name"] == "GRU(4)")
    (scan,) = (net["costs"] for net in said["nets"] if net["name"] == "MinGRU(4)")
    assert [(cost["work"], cost["rows"]) for cost in gru] == [("infer", 2), ("row", 1)]
    assert all(cost["torch_ratio"] > 0 for cost in gru) and all(cost["torch_ratio"] is None for cost in scan)
    assert gru[0]["frames_per_second"] == pytest.approx(2 * 6 / gru[0]["seconds"])


def test_a_run_is_measured_at_the_length_of_its_rows(convrnn: Convrnn, runs: dict[str, Path]) -> None:
    said = convrnn("bench", runs["table"], "--batch", 2)
    lines = said.out.splitlines()
    assert said.code == 0 and f"{runs['table']} (gru)" in lines
    assert [line.split("  ")[1] for line in lines[-3:]] == ["infer, 2 x 8 frames", "infer, 1 x 8 frames", "stream, 1 frame more"]


@pytest.mark.parametrize(
    ("model", "shape"),
    [("crnn", "3"), ("crnn", "8,1"), ("text-cnn", "ids:50"), ("body.yaml", "3")],
    ids=["series", "image", "text", "spec"],
)
def test_a_model_by_name_or_spec(convrnn: Convrnn, files: Path, model: str, shape: str) -> None:
    given = str(files / model) if model.endswith(".yaml") else model
    said = convrnn("bench", "--model", given, "--shape", shape, *SMALL)
    assert said.code == 0 and given in said.out.splitlines() and "\n  train, 2 x 6 frames" in said.out


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--batch", "0"), "--batch: expected at least 1, got 0; for example --batch 32"),
        (("--frames", "-1"), "--frames: expected at least 1, got -1; for example --frames 32"),
        (("--shape", "3,x"), "--shape: expected channels, H,C or ids:N, got '3,x'"),
        (("--shape", "0"), "--shape: expected sizes of at least 1, got '0'; for example --shape 12"),
        (("--model", "crm"), "model: unknown name 'crm'; known: bigru, "),
        (("--model", "text-cnn"), "text-cnn: takes text, got series"),
        (("--model", "gru", "--hidden", "4"), "--hidden: is for the usual recurrences, not for --model; leave it out"),
        (("--model", "bigru", "--stream"), "cannot stream: it needs the whole row"),
        (("RUN", "--shape", "3"), "--shape: is for layers, not for a RUN; leave it out"),
        (("RUN", "--train"), "--train: is for layers, not for a RUN; leave it out"),
        (("nowhere",), "nowhere: expected a run folder with model.json, found none"),
    ],
)
def test_mistakes_are_one_line(convrnn: Convrnn, runs: dict[str, Path], arguments: tuple[str, ...], expected: str) -> None:
    said = convrnn("bench", *(runs["table"] if each == "RUN" else each for each in arguments))
    assert said.code == 2 and said.out == "" and said.err.count("\n") == 1 and expected in said.err
