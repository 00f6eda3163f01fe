"""What this machine can do at most: matrix products and memory traffic, as torch reaches them. Knows no layer.

These are the limits that a recurrence is held against: its products cannot be faster than one large product, nor what only passes through
memory faster than a copy.
"""

from __future__ import annotations

import gc
import os
import platform
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import NamedTuple

import torch

from convrnn.api.timing import Call
from convrnn.kernels import native

PRODUCTS = (1024, 2048)
"""Widths of the matrices whose product measures the matrix speed; the faster one counts."""

STREAM_FLOATS = 16 * 2**20
"""Of each array that measures the memory: 64 MiB, above the last cache of all but the largest servers."""


class Limit(NamedTuple):
    """Work that reaches a limit.

    Attributes:
        name: for people.
        call: does it.
        amount: floating-point operations, or bytes.
    """

    name: str
    call: Call
    amount: float


def matrix_limits() -> list[Limit]:
    """float32 products of square matrices, the result written where it was before."""
    return [_product(size) for size in PRODUCTS]


def memory_limits() -> list[Limit]:
    """A copy, and a triad (two arrays read, one written). Bytes as McCalpin's STREAM counts them: what is read and what is written.

    https://www.cs.virginia.edu/stream/ref.html
    """
    a, b, c = (torch.ones(STREAM_FLOATS) for _ in range(3))
    return [
        Limit("copy", lambda: c.copy_(a), 2 * 4 * STREAM_FLOATS),
        Limit("triad", lambda: torch.add(a, b, alpha=3.0, out=c), 3 * 4 * STREAM_FLOATS),
    ]


def best(limits: list[Limit], taken: Mapping[str, list[float]]) -> float:
    """Amount a second of the limit that reached most, by the medians of `by_turns`."""
    return max(limit.amount / median(taken[limit.name]) for limit in limits)


def processor() -> str:
    """Its name, as the system gives it."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text(encoding="utf-8").splitlines() if information.is_file() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def instruction_set() -> str:
    """For which the compiled kernels in use were built: `portable`, `avx2`, `avx512`; `none` where they are not there or turned off."""
    if not native.available():
        return "none"
    from convrnn.kernels import _native

    return _native.isa()


def load() -> float | None:
    """Processes that wanted a core in the last minute, on average; None where the system does not count them."""
    return None if sys.platform == "win32" else round(os.getloadavg()[0], 2)


def peak_memory() -> float | None:
    """The most memory in use since the process, or on Linux the last `reset_peak_memory`, began: megabytes (10^6 bytes); None: not known.

    On Linux from /proc: what `getrusage` says there includes what the process was before it became this program.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(each for each in status.read_text(encoding="utf-8").splitlines() if each.startswith("VmHWM:"))
        return round(int(line.split()[1]) * 1024 / 1e6, 1)
    if sys.platform == "win32":
        return None
    import resource

    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 1)  # bytes on macOS


def reset_peak_memory() -> None:
    """The peak begins anew at what is in use now, where the system can do that (Linux; not in every container)."""
    gc.collect()
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _product(size: int) -> Limit:
    a, b, c = torch.randn(size, size), torch.randn(size, size), torch.empty(size, size)
    return Limit(f"sgemm {size}", lambda: torch.mm(a, b, out=c), 2.0 * size**3)
