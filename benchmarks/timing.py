"""How a benchmark is timed: the same work by several rivals. Knows nothing of the work."""

from __future__ import annotations

import timeit
from collections.abc import Callable, Mapping
from typing import NamedTuple

from torch import Tensor


class Row(NamedTuple):
    """One piece of work and the time each rival takes for it.

    Attributes:
        work: what was done, with its sizes.
        times: rival -> microseconds a call, best of five repeats.
    """

    work: str
    times: dict[str, float]


def race(work: str, rivals: Mapping[str, Callable[[], Tensor]]) -> Row:
    """Times each rival: five repeats of as many calls as take about a fifth of a second."""
    times = {}
    for name, call in rivals.items():
        timer = timeit.Timer(call)
        calls, _ = timer.autorange()
        times[name] = min(timer.repeat(repeat=5, number=calls)) / calls * 1e6
    return Row(work, times)
