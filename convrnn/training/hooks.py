"""What a training tells while it runs, and being interrupted. Knows no net; a terminal is the business of `progress.py`."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any, NamedTuple, Protocol

from convrnn.core.language import tr


class Plan(NamedTuple):
    """What a training sets out to do.

    Attributes:
        epochs: at most.
        steps: batches in an epoch.
        rows: in the training part.
        done: steps that an earlier run has done already.
        metric: the task's first metric.
        device: where it runs.
        precision: `float32`, `bf16` or `f16`.
        parameters: trainable numbers in the net.
    """

    epochs: int
    steps: int
    rows: int
    done: int
    metric: str
    device: str
    precision: str
    parameters: int


class Watcher(Protocol):
    """Who is told. All calls come from the thread that trains; `close` comes once after `start`, whatever happened in between."""

    def start(self, plan: Plan) -> None:
        """Before the first step."""

    def step(self, epoch: int, step: int, loss: float, rate: float) -> None:
        """About twice a second: the epoch, counted from 1, the steps done in it, the loss of the last one and its learning rate."""

    def epoch(self, record: Mapping[str, Any]) -> None:
        """After each epoch: its record in the history."""

    def note(self, text: str) -> None:
        """Something the user should know, in a sentence without a full stop."""

    def close(self) -> None:
        """The training is over."""


class Silent:
    """Tells nobody."""

    def start(self, plan: Plan) -> None:
        """See `Watcher`."""

    def step(self, epoch: int, step: int, loss: float, rate: float) -> None:
        """See `Watcher`."""

    def epoch(self, record: Mapping[str, Any]) -> None:
        """See `Watcher`."""

    def note(self, text: str) -> None:
        """See `Watcher`."""

    def close(self) -> None:
        """See `Watcher`."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C: the training stopped between two steps, after its checkpoint, if it has a folder. The message says how to go on.

    Attributes:
        where: it stopped, in words; empty: not in a step.
    """

    def __init__(self, where: str, how: str) -> None:
        super().__init__(tr("interrupted {where}; {how}", where=where, how=how) if where else tr("interrupted; {how}", how=how))
        self.where = where


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """Inside, the first Ctrl-C sets the event that is yielded, and the second interrupts at once as always.

    A KeyboardInterrupt in the midst of an optimizer step would leave half of the parameters updated. Python lets only the main thread
    handle signals; in any other, and where someone else handles SIGINT in C, the event is never set.
    """
    asked = threading.Event()
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or before is None:
        yield asked
        return

    def ask(number: int, frame: FrameType | None) -> None:
        asked.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, ask)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)
