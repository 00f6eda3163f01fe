"""What a study shows on a terminal, and in a file."""

from __future__ import annotations

import io
import sys

import pytest

from convrnn.core.columns import width
from convrnn.core.language import speaking
from convrnn.study import progress
from convrnn.study.progress import Bar, Ended, Lines, Nobody, shortened, teller
from tests.terminal import Terminal


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that stands until a test moves it."""
    time = [100.0]
    monkeypatch.setattr(progress, "monotonic", lambda: time[0])
    return time


def test_lines(now: list[float]) -> None:
    """What is left is told from the estimates: a run of 10 s took 10, so 60 take 60; one of 20 took 70, so 40 take 4/3 of 80."""
    stream = io.StringIO()
    told = teller(stream=stream)
    assert isinstance(told, Lines)
    told.begin(5, 1, 70.0)
    told.started("a", "digits, gru, seed 0")
    told.started("b", "digits, gru, seed 1")
    now[0] += 10
    told.ended("a", Ended("digits, gru, seed 0", "accuracy 0.9900", 9.6, 10.0))
    now[0] += 70
    told.at("b", {"epoch": 3, "epochs": 37})
    told.at("b", {"epoch": 4, "epochs": 37})
    told.ended("b", Ended("digits, gru, seed 1", "cannot be trained: the loss is nan", None, 20.0))
    told.started("c", "costs")
    told.ended("c", None)
    told.close()
    assert stream.getvalue().splitlines() == [
        "5 runs, 1 of them done already",
        "[2/5] digits, gru, seed 0: accuracy 0.9900 (0:10); 1:00 left",
        "[2/5] digits, gru, seed 1, epoch 3/37",
        "[3/5] digits, gru, seed 1: cannot be trained: the loss is nan; 1:47 left",
    ]


def test_what_is_left_is_not_told_from_the_start_of_the_workers(now: list[float]) -> None:
    """Three seconds until a run of a tenth of a second is over say nothing of the hundred after it; a minute does, and so does a share."""
    stream = io.StringIO()
    told = Lines(stream)
    told.begin(100, 0, 100.0)
    for waited, work in ((3, 0.1), (1, 4.9), (1, 5.0)):
        told.started("a", "a run")
        now[0] += waited
        told.ended("a", Ended("a run", "done", None, work))
    assert [line.partition(";")[2] for line in stream.getvalue().splitlines()[1:]] == ["", " 1:16 left", " 0:45 left"]
    told.begin(100, 0, 100000.0)
    told.started("a", "a run")
    now[0] += 60
    told.ended("a", Ended("a run", "done", None, 100.0))
    assert stream.getvalue().endswith("left\n")


@pytest.mark.parametrize("columns", [80, 60])
def test_a_bar_fits_into_the_terminal(now: list[float], monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    told = teller(stream=stream)
    assert isinstance(told, Bar)
    told.close()
    told.begin(1200, 40, 1160.0)
    told.started("a", "a set with a long name, an arm with a long name too dropout=0, seed 0")
    now[0] += 3000
    told.at("a", {"epoch": 100, "epochs": 100})
    told.started("b", "日本語の名前の長いデータセット, 中文的一个模型名称, seed 1")
    told.ended("a", Ended("digits, gru, seed 0", "accuracy 0.9900", 3000.0, 1.0))
    told.ended("b", Ended("digits, gru, seed 1", "cannot be trained: [nan]", None, 1.0))
    told.total(1190, 1148.0)
    told.close()
    shown = stream.getvalue()
    assert "42 of 1190 runs" in shown and "cannot be trained: [nan]" in shown and "epoch 100/100" in shown
    assert "…" not in shown, "nothing is cut off"
    plain = __import__("re").sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert max(width(line) for line in plain.replace("\r", "\n").splitlines()) <= columns


def test_in_chinese() -> None:
    stream = io.StringIO()
    with speaking("zh"):
        Lines(stream).begin(5, 1, 40.0)
    assert stream.getvalue() == "共 5 次运行，其中 1 次已完成\n"


def test_quiet_and_without_rich(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(teller(quiet=True, stream=Terminal()), Nobody)
    monkeypatch.setitem(sys.modules, "rich", None)
    assert isinstance(teller(stream=Terminal()), Lines)


@pytest.mark.parametrize("columns", range(10, 40))
def test_shortened_text_is_never_wider_than_asked(columns: int) -> None:
    for text in ("JapaneseVowels, crnn without dropout, seed 3", "中文的一个很长的模型名称, seed 1, 又一段中文"):
        assert width(shortened(text, columns)) <= columns
        assert shortened(text, columns).endswith(text[-2:])
