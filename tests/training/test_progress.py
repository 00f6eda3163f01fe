"""What a terminal shows, and a file. Knows no training."""

from __future__ import annotations

import io
import sys

import pytest

from convrnn.training import progress
from convrnn.training.hooks import Plan, Silent
from convrnn.training.progress import Bar, Lines, clock, watcher
from tests.terminal import Terminal

PLAN = Plan(epochs=2, steps=10, rows=100, done=0, metric="accuracy", device="cpu", precision="float32", parameters=12345)
RECORD = {"epoch": 1, "step": 10, "train": {"loss": 0.5, "accuracy": 0.75}, "valid": {"loss": 0.6, "accuracy": 0.7}, "rate": 1e-3}


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that stands until a test moves it: `now[0] += 5`."""
    time = [100.0]
    monkeypatch.setattr(progress, "monotonic", lambda: time[0])
    return time


def test_lines(now: list[float]) -> None:
    """One for the first epoch, none for one less than a second later, but always one for the last."""
    stream = io.StringIO()
    lines = watcher(stream=stream)
    assert isinstance(lines, Lines)
    lines.start(PLAN)
    now[0] += 2
    lines.step(1, 5, 0.9, 1e-3)
    lines.epoch(RECORD)
    now[0] += 0.5
    lines.epoch({**RECORD, "epoch": 2})
    lines.close()
    lines.close()
    assert stream.getvalue().splitlines() == [
        "training 12,345 parameters on 100 rows (cpu, float32)",
        "epoch 1/2, loss 0.5000, accuracy 0.7500, valid loss 0.6000, valid accuracy 0.7000, 50 rows/s, 0:02 left",
        "epoch 2/2, loss 0.5000, accuracy 0.7500, valid loss 0.6000, valid accuracy 0.7000, 80 rows/s, 0:00 left",
    ]


def test_lines_within_a_long_epoch(now: list[float]) -> None:
    stream = io.StringIO()
    lines = Lines(stream)
    lines.start(PLAN._replace(done=3))
    lines.note("something to know")
    now[0] += 31
    lines.step(1, 4, 0.25, 1e-3)
    lines.step(1, 5, 0.20, 1e-3)
    assert stream.getvalue().splitlines() == [
        "training 12,345 parameters on 100 rows (cpu, float32), going on after step 3",
        "something to know",
        "epoch 1/2, step 4/10, loss 0.2500, 0 rows/s, 8:16 left",
    ]


def test_bar(now: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    """Epoch, loss, metric, speed and time left fit into 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    bar = watcher(stream=stream)
    assert isinstance(bar, Bar)
    bar.close()
    bar.start(PLAN)
    now[0] += 2
    bar.step(1, 5, 0.9, 1e-3)
    bar.note("something [to] know")
    bar.epoch(RECORD)
    bar.close()
    shown = stream.getvalue()
    assert "something [to] know" in shown
    assert "epoch 1/2" in shown and "valid loss 0.6000, valid accuracy 0.7000, 50 rows/s, 0:02 left" in shown and "…" not in shown


def test_quiet() -> None:
    assert isinstance(watcher(quiet=True, stream=Terminal()), Silent)


def test_a_terminal_without_rich(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rich", None)
    assert isinstance(watcher(stream=Terminal()), Lines)


def test_clock() -> None:
    assert [clock(s) for s in (0, 59.6, 61, 3599.4, 3600, 36061)] == ["0:00", "1:00", "1:01", "59:59", "1:00:00", "10:01:01"]
