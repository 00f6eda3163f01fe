"""A study on a terminal: a bar over all runs, a line for each that goes on; plain lines elsewhere. Knows no folder and no process.

rich draws the bar; where it is not installed, a terminal gets the lines too.
"""

from __future__ import annotations

import sys
from collections.abc import Hashable, Mapping
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TextIO

from convrnn.core.columns import width
from convrnn.core.language import tr
from convrnn.training.progress import can_draw, clock

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

QUIET = 60.0
"""Plain lines: seconds without a run that ends, after which the ones that go on are told of."""


SETTLED = (0.05, 60.0)
"""Share of the work, or seconds, from which on the time that is left is told: before, most of what went by is the start of the workers."""


class Ended(NamedTuple):
    """A run that is over.

    Attributes:
        label: set, arm and seed.
        said: what came of it.
        seconds: that it took; None: it is not done.
        work: that it takes by the estimate.
    """

    label: str
    said: str
    seconds: float | None
    work: float


class Told(Protocol):
    """Who is told of a study. All calls come from one thread; `close` comes last, whatever happened in between."""

    def begin(self, total: int, done: int, work: float) -> None:
        """Before the first run: how many there are, and are done already; how long the others take by the estimate, in seconds."""

    def total(self, total: int, work: float) -> None:
        """How many there are after all, and how long those take that are not done."""

    def started(self, key: Hashable, label: str) -> None:
        """A run goes on in a worker."""

    def at(self, key: Hashable, where: Mapping[str, Any]) -> None:
        """How far it is: `epoch` of `epochs`."""

    def ended(self, key: Hashable, what: Ended | None) -> None:
        """It does so no longer; None: it was none that counts."""

    def close(self) -> None:
        """The study is over, or cut off."""


class Nobody:
    """Is told nothing."""

    def begin(self, total: int, done: int, work: float) -> None:
        """See `Told`."""

    def total(self, total: int, work: float) -> None:
        """See `Told`."""

    def started(self, key: Hashable, label: str) -> None:
        """See `Told`."""

    def at(self, key: Hashable, where: Mapping[str, Any]) -> None:
        """See `Told`."""

    def ended(self, key: Hashable, what: Ended | None) -> None:
        """See `Told`."""

    def close(self) -> None:
        """See `Told`."""


class Count:
    """How many are done, and how long the rest will take if the estimate is as wrong about it as it was about what is done."""

    def __init__(self, total: int, done: int, work: float) -> None:
        self.total, self.done, self.work = total, done, work
        self._all, self._made, self._began = work, 0.0, monotonic()

    def one(self, work: float) -> None:
        """Another one is done that by the estimate takes so many seconds."""
        self.done += 1
        self.work -= work
        self._made += work

    def left(self) -> str:
        """`1:05 left`; empty where nobody can know."""
        share, seconds = SETTLED
        took = monotonic() - self._began
        if not self._made or self.done >= self.total or (self._made < share * self._all and took < seconds):
            return ""
        return tr("{time} left", time=clock(self.work * took / self._made))


class Lines:
    """A line for each run that ends, and now and then one for those that go on."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._running: dict[Hashable, tuple[str, str]] = {}
        self._last = monotonic()

    def begin(self, total: int, done: int, work: float) -> None:
        """See `Told`."""
        self._count = Count(total, done, work)
        self._print(tr("{total} runs, {done} of them done already", total=total, done=done) if done else tr("{total} runs", total=total))

    def total(self, total: int, work: float) -> None:
        """See `Told`."""
        self._count.total, self._count.work = total, work

    def started(self, key: Hashable, label: str) -> None:
        """See `Told`."""
        self._running[key] = (label, "")

    def at(self, key: Hashable, where: Mapping[str, Any]) -> None:
        """See `Told`."""
        self._running[key] = (self._running[key][0], epoch(where))
        if monotonic() - self._last >= QUIET:
            going = "; ".join(f"{label}, {text}" if text else label for label, text in self._running.values())
            self._print(f"[{self._count.done}/{self._count.total}] {going}")

    def ended(self, key: Hashable, what: Ended | None) -> None:
        """See `Told`."""
        del self._running[key]
        if what is None:
            return
        self._count.one(what.work)
        spent = "" if what.seconds is None else f" ({clock(what.seconds)})"
        parts = (f"[{self._count.done}/{self._count.total}] {what.label}: {what.said}{spent}", self._count.left())
        self._print("; ".join(filter(None, parts)))

    def close(self) -> None:
        """See `Told`."""

    def _print(self, line: str) -> None:
        print(line, file=self._stream, flush=True)
        self._last = monotonic()


class Bar:
    """One bar over all runs, and under it a line for each that goes on, no wider than the terminal."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._progress: Progress | None = None
        self._rows: dict[Hashable, tuple[TaskID, str]] = {}

    def begin(self, total: int, done: int, work: float) -> None:
        """See `Told`."""
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self._count = Count(total, done, work)
        console = Console(file=self._stream)
        text = TextColumn("{task.description}", markup=False)
        more = TextColumn("{task.fields[text]}", style="dim", markup=False)
        self._progress = Progress(text, BarColumn(bar_width=10), more, console=console)
        self._whole = self._progress.add_task("", total=total, completed=done, text="")
        self._show()
        self._progress.start()

    def total(self, total: int, work: float) -> None:
        """See `Told`."""
        self._count.total, self._count.work = total, work
        self._show()

    def started(self, key: Hashable, label: str) -> None:
        """See `Told`."""
        assert self._progress is not None
        self._rows[key] = self._progress.add_task(shortened(label, self._room()), total=None, text=""), label

    def at(self, key: Hashable, where: Mapping[str, Any]) -> None:
        """See `Told`."""
        assert self._progress is not None
        self._progress.update(self._rows[key][0], completed=where["epoch"], total=where["epochs"], text=epoch(where))

    def ended(self, key: Hashable, what: Ended | None) -> None:
        """See `Told`."""
        assert self._progress is not None
        self._progress.remove_task(self._rows.pop(key)[0])
        if what is None:
            return
        self._count.one(what.work)
        if what.seconds is None:
            self._progress.console.print(f"{what.label}: {what.said}", highlight=False, markup=False)
        self._show()

    def close(self) -> None:
        """See `Told`: the bar stays as it stands."""
        if self._progress is not None:
            for task, _ in self._rows.values():
                self._progress.remove_task(task)
            self._progress.stop()

    def _room(self) -> int:
        """Columns for a label beside the bar and `epoch 100/100`."""
        assert self._progress is not None
        return max(self._progress.console.width - 30, 20)

    def _show(self) -> None:
        assert self._progress is not None
        done = tr("{done} of {total} runs", done=self._count.done, total=self._count.total)
        self._progress.update(self._whole, description=done, completed=self._count.done, total=self._count.total, text=self._count.left())


def teller(quiet: bool = False, stream: TextIO | None = None) -> Told:
    """Who tells people of the progress.

    Args:
        quiet: nobody.
        stream: where to; None: standard error, so that standard output stays for results.
    """
    target = sys.stderr if stream is None else stream
    if quiet:
        return Nobody()
    return Bar(target) if can_draw(target) else Lines(target)


def epoch(where: Mapping[str, Any]) -> str:
    """`epoch 3/37`."""
    return tr("epoch {epoch}/{epochs}", epoch=where["epoch"], epochs=where["epochs"])


def shortened(text: str, columns: int) -> str:
    """A text that takes so many columns at most, its middle left out.

    Example:
        >>> shortened("JapaneseVowels, crnn, seed 3", 20)
        'JapaneseV..., seed 3'
    """
    if width(text) <= columns:
        return text
    tail = text[-(columns // 2 - 2) :]
    while width(tail) > columns // 2:
        tail = tail[1:]
    head = text
    while head and width(head) + 3 + width(tail) > columns:
        head = head[:-1]
    return f"{head}...{tail}"
