"""Runs every benchmark of this folder, or those named: `python benchmarks [keep_mask ...]`. Knows nothing of what they measure.

A benchmark is a file `bench_<name>.py` with `rows() -> Iterator[Row]`. Each row is timed against its rivals on the same work, with one
torch thread, and the best of several repeats counts: the one least disturbed by the machine's other work.
"""

from __future__ import annotations

import platform
import sys
from importlib import import_module
from pathlib import Path

import torch


def main(names: list[str]) -> None:
    torch.set_num_threads(1)
    print(f"Python {platform.python_version()} · torch {torch.__version__} · {platform.machine()} · 1 thread · microseconds, best of 5")
    for name in names:
        print(f"\n{name}")
        for row in import_module(f"bench_{name}").rows():
            times = "   ".join(f"{rival} {microseconds:,.1f}" for rival, microseconds in row.times.items())
            print(f"  {row.work:<40}{times}")


if __name__ == "__main__":
    main(sys.argv[1:] or sorted(path.stem.removeprefix("bench_") for path in Path(__file__).parent.glob("bench_*.py")))
