"""Runs every benchmark of this folder, or those named: `python benchmarks [keep_mask ...]`. Knows nothing of what they measure.

A benchmark is a file `bench_<name>.py` with `rows()`: pieces of work, each with its rivals by name, which are timed by turns with one torch
thread; the medians are printed.
"""

from __future__ import annotations

import platform
import sys
from importlib import import_module
from pathlib import Path
from statistics import median

import torch

from convrnn.api.timing import by_turns

ROUNDS = 15


def main(names: list[str]) -> None:
    torch.set_num_threads(1)
    machine = f"Python {platform.python_version()} · torch {torch.__version__} · {platform.machine()}"
    print(f"{machine} · 1 thread · microseconds, medians of {ROUNDS} turns")
    for name in names:
        print(f"\n{name}")
        for work, rivals in import_module(f"bench_{name}").rows():
            taken = by_turns(rivals, ROUNDS)
            print(f"  {work:<40}{'   '.join(f'{rival} {1e6 * median(times):,.1f}' for rival, times in taken.items())}")


if __name__ == "__main__":
    main(sys.argv[1:] or sorted(path.stem.removeprefix("bench_") for path in Path(__file__).parent.glob("bench_*.py")))
