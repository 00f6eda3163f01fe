"""Worker processes: orders go to them as lines of JSON, and what became of each comes back. Knows neither what is ordered nor who does it.

A worker is a fresh interpreter (nothing is forked: torch has threads; nothing of the caller's program is imported again: notebooks and
scripts need no guard), with one thread, so that what it computes does not depend on how many there are. It takes one order after the other
and ends when its standard input does: with the parent, however that dies. One that dies itself is an answer like others.

Threads of the parent wait for the workers, one each; everything else happens in the thread that iterates.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import PriorityQueue, SimpleQueue
from typing import Any, NamedTuple

from convrnn.core.language import tr

ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}

Message = Mapping[str, Any]
"""What a worker says. It ends an order if it has `ended`: `done`, `failed`, `lost` or, said for it, `died`."""


class Order(NamedTuple):
    """Something to do.

    Attributes:
        turn: orders are given out by it, the smallest first; different for each.
        what: plain values, for the worker.
    """

    turn: tuple[int, ...]
    what: Mapping[str, Any]


class Event(NamedTuple):
    """An order was begun (None), or its worker said something."""

    order: Order
    message: Message | None


@dataclass(frozen=True)
class Hire:
    """How workers are started.

    Attributes:
        module: what `python -m` runs.
        log: where their standard error goes.
        keep: a descriptor that they inherit; None: there is none.
    """

    module: str
    log: Path
    keep: int | None = None


class Died(Exception):
    """A worker ended before its order did; says how."""


class Worker:
    """One process, one order at a time."""

    def __init__(self, hire: Hire) -> None:
        self._log = hire.log
        # Python finds modules there as it does here; the working folder, which paths of data are relative to, is inherited.
        environment = {**os.environ, **ONE_THREAD, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        kept = () if hire.keep is None or sys.platform == "win32" else (hire.keep,)
        with hire.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", hire.module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                encoding="utf-8",
                env=environment,
                pass_fds=kept,
                # Ctrl-C is for the parent, who hands it on once.
                process_group=None if sys.platform == "win32" else 0,
            )

    def messages(self, order: Order) -> Iterator[Message]:
        """What the worker says of an order, up to its end; raises `Died`."""
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(order.what) + "\n")
            self._process.stdin.flush()
        except OSError:
            raise Died(self._cause()) from None
        for line in self._process.stdout:
            if not line.endswith("\n"):  # it died in the midst of it
                break
            message = json.loads(line)
            yield message
            if "ended" in message:
                return
        raise Died(self._cause())

    def interrupt(self) -> None:
        """As Ctrl-C does: a training stops behind its checkpoint."""
        if sys.platform == "win32":
            self._process.terminate()
        else:
            self._process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """At once."""
        self._process.kill()

    def close(self) -> None:
        """Ends it, and waits until it has."""
        assert self._process.stdin is not None and self._process.stdout is not None
        with suppress(OSError):  # it has gone, and what was not written yet with it
            self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()

    def _cause(self) -> str:
        code = self._process.wait()
        if code >= 0:
            return tr("its process ended with exit code {code}, see {log}", code=code, log=self._log)
        if -code == signal.SIGKILL:
            return tr("its process was killed (out of memory?)")
        return tr("its process was ended by {signal}", signal=signal.Signals(-code).name)


class Crew:
    """So many workers at once, and the orders that wait. To be used in a `with`: leaving it ends them, whatever happened.

    Example:
        with Crew(hire, 2) as crew:
            crew.give(order)
            for event in crew.events(): ...     # until no order is left; more may be given meanwhile
    """

    def __init__(self, hire: Hire, workers: int) -> None:
        self._hire, self._count = hire, workers
        self._waiting: PriorityQueue[tuple[int, tuple[int, ...], Order | None]] = PriorityQueue()
        self._events: SimpleQueue[Event | Future[None]] = SimpleQueue()
        self._open = 0
        self._at_work: set[Worker] = set()
        self._guard = threading.Lock()
        self._stopping = False
        self._pool = ThreadPoolExecutor(workers, "convrnn-worker")

    def give(self, order: Order) -> None:
        """Another order."""
        self._open += 1
        self._waiting.put((0, order.turn, order))

    def events(self) -> Iterator[Event]:
        """What happens, as it happens, until every order has ended."""
        while self._open:
            event = self._events.get()
            if isinstance(event, Future):
                event.result()  # a thread ends before the orders do only by an error
                continue
            if event.message is not None and "ended" in event.message:
                self._open -= 1
            yield event

    def __enter__(self) -> Crew:
        for _ in range(self._count):
            self._pool.submit(self._serve).add_done_callback(self._events.put)
        return self

    def __exit__(self, *error: object) -> None:
        try:
            self._stop(interrupted=error[0] is not None)
            self._pool.shutdown()
        except KeyboardInterrupt:  # a second one: at once
            with self._guard:
                for worker in self._at_work:
                    worker.kill()
            self._pool.shutdown()
            raise

    def _stop(self, interrupted: bool) -> None:
        """No more orders; those that go on are interrupted."""
        with self._guard:
            self._stopping = True
            for worker in self._at_work if interrupted else ():
                worker.interrupt()
        for place in range(self._count):
            self._waiting.put((-1, (place,), None))

    def _serve(self) -> None:
        """What each thread does: an order, its worker, the next order."""
        worker: Worker | None = None
        try:
            while (order := self._waiting.get()[2]) is not None:
                if worker is None and (worker := self._hired()) is None:
                    return
                self._events.put(Event(order, None))
                try:
                    for message in worker.messages(order):
                        self._events.put(Event(order, message))
                except Died as death:
                    self._dismiss(worker)
                    worker = None
                    self._events.put(Event(order, {"ended": "died", "why": str(death)}))
        finally:
            if worker is not None:
                self._dismiss(worker)

    def _hired(self) -> Worker | None:
        """A new worker; None: the crew is breaking up."""
        with self._guard:
            if self._stopping:
                return None
            worker = Worker(self._hire)
            self._at_work.add(worker)
            return worker

    def _dismiss(self, worker: Worker) -> None:
        with self._guard:
            self._at_work.discard(worker)
        worker.close()
