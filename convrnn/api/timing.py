"""How work is timed: by turns, so that what else the machine does falls on every rival alike. Knows nothing of the work."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from math import ceil
from statistics import median

Call = Callable[[], object]

SETTLED = 0.1
"""Seconds of a call that a disturbance of some milliseconds at its beginning does not matter to."""


def by_turns(rivals: Mapping[str, Call], rounds: int, turn: float = 0.005, pause: float = 0.0) -> dict[str, list[float]]:
    """Seconds that a call takes, of every rival in every round: ours, theirs, ours, theirs, ...

    Each rival has been called before its first turn counts. A call that is shorter than a turn is repeated until the turn is full. A turn
    of calls shorter than `SETTLED` begins with one that is not timed: for some milliseconds the threads of the rival before may still spin
    and hold the cores.

    Args:
        rivals: the same work done in different ways, by name.
        rounds: turns that each has.
        turn: seconds of a turn at least.
        pause: seconds of rest before each turn, where the threads of a rival spin for longer than a call.
    """
    once = {name: _second(call) for name, call in rivals.items()}
    taken: dict[str, list[float]] = {name: [] for name in rivals}
    with _uncollected():
        for _ in range(rounds):
            for name, call in rivals.items():
                time.sleep(pause)
                if once[name] < SETTLED:
                    call()
                taken[name].append(_seconds(call, ceil(turn / once[name])))
    return taken


def ratio(taken: Mapping[str, list[float]], ours: str, theirs: str) -> float:
    """Their time over ours, each pair of turns by itself; the median. Above 1: ours is faster."""
    return median(b / a for a, b in zip(taken[ours], taken[theirs], strict=True))


def _second(call: Call) -> float:
    """Seconds of the second call: the first allocates, compiles, loads."""
    call()
    return max(_seconds(call, 1), 1e-9)


def _seconds(call: Call, calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - start) / calls


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without Python's garbage collector, which would charge one rival for the other's cycles."""
    gc.collect()
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
