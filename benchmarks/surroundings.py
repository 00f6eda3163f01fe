"""Under which conditions a benchmark ran: versions, machine, threads, the limits of the machine. Knows nothing of what was measured."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import convrnn
from convrnn.api import machine
from convrnn.api.timing import by_turns

_PACKAGES = ("torch", "numpy", "keras", "tensorflow-cpu", "tensorflow", "onnxruntime")


def described(threads: int, pairs: int) -> dict[str, Any]:
    """The limits are measured here once more, beside those that cases are held against."""
    products, memory = machine.matrix_limits(), machine.memory_limits()
    before = machine.load()
    taken = by_turns({limit.name: limit.call for limit in (*products, *memory)}, pairs)
    return {
        "processor": machine.processor(),
        "instruction_set": machine.instruction_set(),
        "threads": threads,
        "sgemm_gflops": machine.best(products, taken) / 1e9,
        "memory_gbytes": machine.best(memory, taken) / 1e9,
        "load": [before, machine.load()],
        "versions": {"python": platform.python_version(), "convrnn": convrnn.__version__, **_versions()},
    }


def _versions() -> dict[str, str | None]:
    """None: not installed."""
    return {name: _version(name) for name in _PACKAGES}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
