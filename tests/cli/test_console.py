"""Lines and tables on terminals of several widths, Chinese included."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from convrnn.cli import console


@pytest.mark.parametrize(("typed", "code"), [(("models",), 0), (("--help",), 0), (("train", "digits", "--epochs", "1", "--out"), 1)])
def test_a_reader_that_has_gone_stops_what_is_printed(typed: tuple[str, ...], code: int, root: Path, tmp_path: Path) -> None:
    """As `convrnn models | head -1`, without a traceback; but a training that ends so is not done, and leaves nothing."""
    run = [tmp_path / "run"] if code else []
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as out:
        program = [sys.executable, "-m", "convrnn", *typed, *run]
        done = subprocess.run(program, cwd=root, stdout=out, stderr=subprocess.PIPE, text=True, check=False)
    line = "convrnn: standard output: was closed before the work was done; send it to a file, or use --quiet\n"
    assert (done.returncode, done.stderr) == (code, line if code else "")
    assert not list(tmp_path.iterdir())


def test_chinese_takes_two_columns() -> None:
    lines = console.table(["label", "rows"], [["好", "12"], ["good", "3"]], right=(1,))
    assert lines == ["label  rows", "好       12", "good      3"]
    assert {console.width(line) for line in lines} == {11}


def test_the_last_column_goes_on_in_lines_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    lines = console.table(["name", "about"], [["a", "words " * 20], ["bb", "short"]])
    assert max(map(len, lines)) <= 40
    assert [line for line in lines if not line.startswith(" ")] == ["name  about", lines[1], "bb    short"]
    assert " ".join(" ".join(lines[1:-1]).split()) == "a " + ("words " * 20).strip()


def test_long_lines_break_between_words_on_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    text = "note: " + "somewhat " * 12 + "/a/path/that/is/long/and/stays/whole/whatever/happens"
    console.told(text)
    assert capsys.readouterr().out == text + "\n"  # a file or a pipe gets the line as it is
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    console.told(text)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 3 and all(line.startswith("  ") for line in lines[1:])
    assert " ".join(" ".join(lines).split()) == text
