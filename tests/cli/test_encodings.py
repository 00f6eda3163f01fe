"""Names of files that are not UTF-8, and a standard output that is not: nothing is lost for them, and JSON stays JSON."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from convrnn.cli import main
from tests.cli.conftest import TINY

GBK = os.fsdecode("数".encode("gbk"))
"""As a folder from a Chinese Windows is called on Linux."""


def printed(monkeypatch: pytest.MonkeyPatch, encoding: str, *arguments: str) -> str:
    """What a command line that succeeds writes to a standard output of this encoding."""
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", out)
        assert main(arguments) == 0
    out.seek(0)
    return out.read()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_what_standard_output_lacks_is_escaped(
    encoding: str, files: Path, runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "\\u7f51\\u7edc" in printed(monkeypatch, encoding, "models", "--lang", "zh")
    rows = tmp_path / "é数😀.tsv"
    rows.write_bytes((files / "texts.tsv").read_bytes())
    typed = ("predict", str(runs["text"]), str(rows))
    whole = json.loads(printed(monkeypatch, encoding, *typed, "--json"))["predictions"]
    lines = printed(monkeypatch, encoding, *typed).splitlines()
    assert whole == [json.loads(line) for line in lines] and whole[0]["name"] == f"{rows.name}:2"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_names_that_are_not_utf8_are_learned_from_and_written_to(convrnn: Callable[..., Any], tmp_path: Path) -> None:
    data, run = tmp_path / GBK, tmp_path / f"run {GBK}"
    for row in range(24):
        place = data / (GBK, "plain")[row % 2] / f"{row}.txt"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(("good", "poor")[row % 2])
    assert convrnn("train", data, "--model", "gru", "--set", "width=4", "--out", run, *TINY).code == 0
    label = GBK.encode(errors="backslashreplace").decode()
    assert set(json.loads(convrnn("predict", run, data).out.splitlines()[0])["probabilities"]) == {label, "plain"}
    assert label in (run / "report.html").read_text(encoding="utf-8")
    assert convrnn("evaluate", run, data).code == 0
    refused = convrnn("export", run)
    assert refused.code == 2 and "/model.onnx is no name in UTF-8, as other programs need it; " in refused.err, refused
