"""Small files to learn from, runs that learned from them, and the command line in this process or in one that can be killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from convrnn.cli import main

TINY = ("--epochs", "1", "--quiet")


class Said(NamedTuple):
    """What a command line gave back."""

    code: int
    out: str
    err: str


@pytest.fixture
def convrnn(capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """The command line in this process."""

    def call(*arguments: object) -> Said:
        capsys.readouterr()
        code = main([str(each) for each in arguments])
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    return call


def _table(rows: int, labels: str, frames: int = 8) -> list[str]:
    """Lines of a CSV: a header, then a series a row whose level is its label's."""
    draw = np.random.default_rng(0)
    head = ",".join([*(f"t{place}" for place in range(frames)), "label"])
    values = [draw.normal(row % len(labels), 0.3, frames) for row in range(rows)]
    return [head, *(",".join([*(f"{v:.3f}" for v in value), labels[row % len(labels)]]) for row, value in enumerate(values))]


def _changed(lines: list[str], row: int, column: int, cell: str) -> list[str]:
    cells = lines[row].split(",")
    return [*lines[:row], ",".join([*cells[:column], cell, *cells[column + 1 :]]), *lines[row + 1 :]]


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of data and specs, good and bad."""
    place = tmp_path_factory.mktemp("data")
    good = _table(40, "ab")
    texts = {
        "good.csv": good,
        "one_label.csv": _table(40, "a"),
        "new_label.csv": _table(12, "abc"),
        "text_in_numbers.csv": _changed(good, 5, 2, "abc"),
        "ragged.csv": [*good[:5], good[5] + ",9", *good[6:]],
        "missing.csv": _changed(_changed(good, 5, 2, "NaN"), 9, 3, ""),
        "wrong_field.yaml": ["- conv: 8", "- linear: 4", "  out: 3"],
        "wrong_shape.yaml": ["- conv: 8", "  groups: 3"],
        "too_narrow.yaml": ["- gru: 8", "- embedding: 5"],
        "body.yaml": ["- conv: 4", "- activation: relu", "- gru: 4"],
    }
    for name, lines in texts.items():
        (place / name).write_text("\n".join(lines) + "\n")
    (place / "empty.csv").write_text("")
    (place / "binary.csv").write_bytes(bytes(range(256)) * 8)
    _write_ragged(place / "ragged.jsonl")
    _write_texts(place / "texts.tsv")
    _write_pictures(place / "pictures.npz")
    return place


def _write_ragged(path: Path) -> None:
    """Series of two channels and 1 to 40 frames."""
    draw = np.random.default_rng(1)
    rows = [{"x": draw.normal(row % 3, 0.5, (int(draw.integers(1, 41)), 2)).round(3).tolist(), "y": f"c{row % 3}"} for row in range(48)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def _write_texts(path: Path) -> None:
    """Texts of 1 to 20 words, some Chinese."""
    draw = np.random.default_rng(2)
    words = (["好", "great", "fine"], ["坏", "poor", "sad"])
    rows = [f"{row % 2}\t{' '.join(draw.choice([*words[row % 2], 'the', 'film', 'a'], draw.integers(1, 21)))}" for row in range(60)]
    path.write_text("\n".join(["label\ttext", *rows]) + "\n", encoding="utf-8")


def _write_pictures(path: Path) -> None:
    draw = np.random.default_rng(3)
    labels = np.arange(64) % 4
    np.savez(path, x=draw.normal(labels[:, None, None, None], 1.0, (64, 8, 8, 1)).astype(np.float32), y=labels)


DATA = {
    "series": ("ragged.jsonl", "bigru"),
    "text": ("texts.tsv", "text-cnn"),
    "image": ("pictures.npz", "crnn"),
    "table": ("good.csv", "gru"),
}


@pytest.fixture(scope="session")
def runs(files: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run of one epoch for each kind of data."""
    place = tmp_path_factory.mktemp("runs")
    for kind, (name, model) in DATA.items():
        assert main(["train", str(files / name), "--model", model, "--out", str(place / kind), *TINY]) == 0
    return {kind: place / kind for kind in DATA}


class Forks:
    """Command lines in processes of their own."""

    def __init__(self, server: subprocess.Popen[str], place: Path) -> None:
        self._server, self._place = server, place

    def start(self, *arguments: object) -> int:
        """Begins one; its process number."""
        files = {name: str(self._place / name) for name in ("out", "err")}
        assert self._server.stdin is not None
        self._server.stdin.write(json.dumps({"arguments": [str(each) for each in arguments], **files}) + "\n")
        self._server.stdin.flush()
        return self._answer()

    def wait(self) -> Said:
        """What the one that runs came to; -9 if it was killed."""
        return Said(self._answer(), *((self._place / name).read_text() for name in ("out", "err")))

    def _answer(self) -> int:
        assert self._server.stdout is not None
        return int(self._server.stdout.readline())


@pytest.fixture(scope="session")
def forks(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    """See `Forks`."""
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    program = [sys.executable, str(Path(__file__).with_name("forked.py"))]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as server:
        yield Forks(server, tmp_path_factory.mktemp("said"))
        assert server.stdin is not None
        server.stdin.close()
        assert server.wait(10) == 0
