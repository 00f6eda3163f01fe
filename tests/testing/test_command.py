"""`python -m convrnn.testing`: the table of laws, random stacks, and what it says when it is asked for nothing."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace

import pytest

from convrnn.layers.base import Spec
from convrnn.testing import __main__ as command
from convrnn.testing.cases import CASES


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few cases; every law of them is checked in test_laws.py."""
    keep = ("conv", "gru-bidirectional", "batch-norm", "embedding", "flatten")
    monkeypatch.setattr(command, "CASES", tuple(case for case in CASES if case.name in keep))
    monkeypatch.setattr(command, "zoo_cases", tuple)


def test_the_command_runs_on_its_own() -> None:
    """As a user types it: the table, exit code 0, nothing on standard error."""
    done = subprocess.run(
        [sys.executable, "-m", "convrnn.testing", "--case", "conv-2d-v", "--splits", "1"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"^conv-2d-valid +(\+ +){15}\+$", done.stdout, re.MULTILINE)
    assert done.stdout.endswith("16 hold, 0 exempt, 0 broken; 1 cases, 16 laws\n")


def test_exemptions_are_printed_with_reason_and_case(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--splits", "1", "--law", "gradient:train"]) == 0
    out = capsys.readouterr().out
    assert "gradient:train: needs the whole row: the backward direction begins at its end\n      gru-bidirectional" in out
    assert (
        "gradient:train: batch norm in training: the statistics are those of the batch, a chunk is another batch\n      batch-norm" in out
    )
    assert out.endswith("3 hold, 2 exempt, 0 broken; 5 cases, 1 laws\n")


def test_a_broken_law_is_said_and_is_exit_code_1(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    broken = tuple(replace(case, exempt={}) for case in command.CASES if case.name == "gru-bidirectional")
    monkeypatch.setattr(command, "CASES", broken)
    assert command.main(["--law", "chunking"]) == 1
    out = capsys.readouterr().out
    assert "BROKEN gru-bidirectional: chunking: seed 0: gru: cannot stream: the backward direction needs the whole row" in out
    assert "0 hold, 0 exempt, 1 broken" in out


@pytest.mark.parametrize("options", [["--case", "nothing"], ["--law", "gravity"]])
def test_an_unknown_case_or_law_is_exit_code_2(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(options) == 2
    assert capsys.readouterr().err.startswith("no case or law of that name; laws: chunking, state, gradient,")


def test_a_law_that_cannot_be_checked_here_is_skipped_with_its_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command.laws_export, "find_spec", lambda name: None)
    assert command.main(["--law", "onnx-step"]) == 0
    out = capsys.readouterr().out
    assert "skipped: onnx-step: onnx is not installed (extra onnx)" in out and "0 hold, 0 exempt, 0 broken" in out


def test_random_stacks(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--stacks", "3", "--seed", "5"]) == 0
    assert re.fullmatch(
        r"3 random stacks, seed 5: \d+ laws hold, \d+ exempt \(batch norm in training, whole rows\), 0 broken\n", capsys.readouterr().out
    )


def test_a_broken_stack_prints_what_breaks_it(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(command.stacks, "random_case", lambda seed: replace(CASES[0], spec=_bidirectional(), name=f"stack-{seed}"))
    assert command.main(["--stacks", "1"]) == 1
    out = capsys.readouterr().out
    assert "BROKEN chunking: seed 0: gru: cannot stream" in out
    assert "stack-0, rows (11, 0, 5, 1): GRU(4, bidirectional=True)" in out


def _bidirectional() -> Spec:
    return next(case.spec for case in CASES if case.name == "gru-bidirectional")
