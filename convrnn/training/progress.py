"""A training on a terminal: a bar with epoch, loss, metric, speed and time left; plain lines elsewhere. Knows no net and no file.

rich draws the bar; where it is not installed, a terminal gets the lines too.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib.util import find_spec
from time import monotonic
from typing import TYPE_CHECKING, Any, TextIO

from convrnn.core.language import listed, tr
from convrnn.core.numerals import figure
from convrnn.core.terms import called
from convrnn.training.hooks import Plan, Silent, Watcher

if TYPE_CHECKING:
    from rich.progress import Progress

EPOCH_LINES, STEP_LINES = 1.0, 30.0
"""Plain lines: the fewest seconds between two lines of epochs, and without an end of an epoch between two lines within one."""

WIDE = 120
"""Columns that a bar with all losses and metrics takes; a narrower terminal gets those of the validation part only."""


def watcher(quiet: bool = False, stream: TextIO | None = None) -> Watcher:
    """Who shows the progress.

    Args:
        quiet: nobody.
        stream: where to; None: standard error, so that standard output stays for results.
    """
    target = sys.stderr if stream is None else stream
    if quiet:
        return Silent()
    return Bar(target) if can_draw(target) else Lines(target)


def can_draw(stream: TextIO) -> bool:
    """Whether a bar can be drawn there: a terminal, and rich installed."""
    return stream.isatty() and find_spec("rich") is not None


class Pace:
    """Rows a second and seconds left, from the steps done since this run began."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._began = monotonic()

    def done(self, epoch: int, step: int) -> int:
        """Steps over the whole training."""
        return (epoch - 1) * self._plan.steps + step

    def text(self, done: int) -> str:
        """Speed and time left, if all epochs are made: `5,120 rows/s, 1:05 left`."""
        steps, seconds = done - self._plan.done, monotonic() - self._began
        if steps <= 0 or seconds <= 0:
            return ""
        left = (self._plan.epochs * self._plan.steps - done) * seconds / steps
        return tr("{rate:,.0f} rows/s, {left} left", rate=steps / seconds * self._plan.rows / self._plan.steps, left=clock(left))


class Lines:
    """A line an epoch, but at most one a second, and one every half minute within long epochs."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._waiting = ""
        self._last = 0.0

    def start(self, plan: Plan) -> None:
        """See `Watcher.start`."""
        self._plan, self._pace, self._last = plan, Pace(plan), monotonic()
        self._print(summary(plan))

    def step(self, epoch: int, step: int, loss: float, rate: float) -> None:
        """See `Watcher.step`."""
        if monotonic() - self._last >= STEP_LINES:
            place = tr(
                "epoch {epoch}/{epochs}, step {step}/{steps}", epoch=epoch, epochs=self._plan.epochs, step=step, steps=self._plan.steps
            )
            self._print(listed([place, tr("loss {loss:.4f}", loss=loss), self._pace.text(self._pace.done(epoch, step))]))

    def epoch(self, record: Mapping[str, Any]) -> None:
        """See `Watcher.epoch`."""
        pace = self._pace.text(self._pace.done(record["epoch"], self._plan.steps))
        place = tr("epoch {epoch}/{epochs}", epoch=record["epoch"], epochs=self._plan.epochs)
        self._waiting = listed([place, scores(record, self._plan.metric), pace])
        if monotonic() - self._last >= EPOCH_LINES:
            self._print(self._waiting)

    def note(self, text: str) -> None:
        """See `Watcher.note`."""
        self._print(text, waiting=self._waiting)

    def close(self) -> None:
        """See `Watcher.close`: the last epoch always has its line."""
        if self._waiting:
            self._print(self._waiting)

    def _print(self, line: str, waiting: str = "") -> None:
        print(line, file=self._stream, flush=True)
        self._waiting, self._last = waiting, monotonic()


class Bar:
    """One bar over the whole training."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._progress: Progress | None = None
        self._scores = ""

    def start(self, plan: Plan) -> None:
        """See `Watcher.start`."""
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self._plan, self._pace = plan, Pace(plan)
        console = Console(file=self._stream)
        console.print(summary(plan), highlight=False)
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(bar_width=10), TextColumn("{task.fields[text]}", style="dim"), console=console
        )
        self._task = self._progress.add_task(
            tr("epoch {epoch}/{epochs}", epoch=1, epochs=plan.epochs), total=plan.epochs * plan.steps, completed=plan.done, text=""
        )
        self._progress.start()

    def step(self, epoch: int, step: int, loss: float, rate: float) -> None:
        """See `Watcher.step`."""
        self._show(epoch, self._pace.done(epoch, step), self._scores or tr("loss {loss:.4f}", loss=loss))

    def epoch(self, record: Mapping[str, Any]) -> None:
        """See `Watcher.epoch`."""
        assert self._progress is not None
        narrow = self._progress.console.width < WIDE and "valid" in record
        shown = {"train": {}, "valid": record["valid"]} if narrow else record
        self._scores = scores(shown, self._plan.metric)
        self._show(record["epoch"], self._pace.done(record["epoch"], self._plan.steps), self._scores)

    def note(self, text: str) -> None:
        """See `Watcher.note`."""
        assert self._progress is not None
        self._progress.console.print(text, highlight=False, markup=False)

    def close(self) -> None:
        """See `Watcher.close`: the bar stays as it stands."""
        if self._progress is not None:
            self._progress.stop()

    def _show(self, epoch: int, done: int, found: str) -> None:
        assert self._progress is not None
        place = tr("epoch {epoch}/{epochs}", epoch=epoch, epochs=self._plan.epochs)
        self._progress.update(self._task, description=place, completed=done, text=listed([found, self._pace.text(done)]))


def summary(plan: Plan) -> str:
    """What begins, in a line."""
    return tr(
        "training {parameters:,} parameters on {rows:,} rows ({device}, {precision}){goes_on}",
        parameters=plan.parameters,
        rows=plan.rows,
        device=plan.device,
        precision=plan.precision,
        goes_on=tr(", going on after step {step:,}", step=plan.done) if plan.done else "",
    )


def scores(record: Mapping[str, Any], metric: str) -> str:
    """Losses and first metric of an epoch: `loss 0.2310, accuracy 0.9312, valid loss 0.2511, valid accuracy 0.9250`."""
    train, valid = record["train"], record.get("valid", {})
    forms = {"loss": "{:.4f}".format, metric: figure}.items()  # an error is in the unit of the target, a loss in that of its deviation
    told = [tr("{name} {training}", name=called(name), training=shown(train[name])) for name, shown in forms if name in train]
    told += [tr("valid {name} {value}", name=called(name), value=shown(valid[name])) for name, shown in forms if name in valid]
    return listed(told)


def clock(seconds: float) -> str:
    """Seconds as `m:ss` or `h:mm:ss`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
