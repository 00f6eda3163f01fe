"""Accuracy on real data, through the command line, several seeds each: `python benchmarks/accuracy.py --data DIR`.

DIR holds the sets by name (see docs/results.md); a set that is not there is said and left out. Every run is one line of
`benchmarks/results/accuracy.jsonl`: what was typed, the seed, the figures, the time. What stands there is not run again, but by `--again`,
and then the later line counts. `--table` trains nothing and prints what was measured beside what was asked; `--pages` writes the tables of
docs/results.md and of both READMEs (the row of the UCR sets from the records of `ucr.py`). Nothing is chosen on a test part: the settings
are those that the model names give.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any, NoReturn

import accuracy_tables as tables
import records
from accuracy_tables import GOALS, Goal
from pages import filled

from convrnn.core.files import write
from convrnn.core.language import Language

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "accuracy.jsonl"
OF_UCR = ROOT / "benchmarks" / "results" / "ucr.jsonl"
READMES: dict[Language, str] = {"en": "README.md", "zh": "README.zh-CN.md"}


def main() -> int:
    """Runs what is asked; 0 if every bound is met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with the sets")
    parser.add_argument("--only", help="rows by name or by part of a name, parted by commas")
    parser.add_argument("--seeds", type=int, help="in place of the number each row has")
    parser.add_argument("--again", action="store_true", help="run what stands in the results once more")
    parser.add_argument("--table", action="store_true", help="print the table of what was measured, and run nothing")
    parser.add_argument("--pages", action="store_true", help="write what was measured into the pages, and run nothing")
    options = parser.parse_args()
    chosen = _chosen(options.only, parser.error)
    if options.table or options.pages:
        if options.data is not None or options.seeds is not None or options.again:
            parser.error("--table and --pages run nothing: they take no --data, --seeds or --again")
    else:
        for goal in chosen:
            _measure(goal, options.data, options.seeds or goal.seeds, again=options.again)
    if options.pages:
        _write_pages()
    found = records.read(RESULTS)
    print(tables.goals(found, chosen))
    missed = tables.missed(found, chosen)
    if missed:
        print(f"outside their bounds: {', '.join(missed)}", file=sys.stderr)
    return 1 if missed else 0


def _chosen(only: str | None, refuse: Callable[[str], NoReturn]) -> Sequence[Goal]:
    """The rows of these names; a name that is none's stands for the rows that contain it."""
    if only is None:
        return GOALS
    names: set[str] = set()
    for asked in only.split(","):
        alike = {goal.name for goal in GOALS if asked in goal.name}
        if not alike:
            refuse(f"--only {asked}: no such row; they are {', '.join(goal.name for goal in GOALS)}")
        names |= {asked} if asked in alike else alike
    return [goal for goal in GOALS if goal.name in names]


def _measure(goal: Goal, data: Path | None, seeds: int, again: bool) -> None:
    """Each seed, of folds each fold of it."""
    arguments = shlex.split(goal.arguments)
    if arguments[0].startswith("DIR"):
        place = None if data is None else data / arguments[0].removeprefix("DIR/")
        if place is None or not place.exists():
            print(f"{goal.name}: {arguments[0]} is not there, left out", file=sys.stderr)
            return
        arguments[0] = str(place)
    done = set() if again else {(record["name"], record["seed"], record.get("fold")) for record in records.read(RESULTS)}
    for seed, fold in product(range(seeds), (None,) if goal.folds is None else range(goal.folds)):
        if (goal.name, seed, fold) in done:
            continue
        chosen = ["--seed", str(seed)]
        if fold is not None:  # no row is held out to watch, so the last weights count
            chosen += shlex.split(f"--valid 0 --set folds={goal.folds} --set fold={fold} --set split_seed={seed}")
        found = _trained([*arguments, *chosen])
        record = {
            "name": goal.name,
            "command": f"convrnn train {goal.arguments} {shlex.join(chosen)}",
            "seed": seed,
            **({} if fold is None else {"fold": fold}),
            "metric": goal.metric,
            "value": found["test"][goal.metric],
            "test": found["test"],
            "parameters": found["parameters"],
            "seconds": found["seconds"]["train"],
            "machine": f"{platform.machine()}, {_cores()} cores",
            "date": f"{datetime.now(UTC):%Y-%m-%d}",
        }
        records.keep(RESULTS, record)
        where = "" if fold is None else f" fold {fold}"
        print(f"{goal.name} seed {seed}{where}: {goal.metric} {record['value']:.4f}, {record['seconds']:.0f} s", flush=True)


def _trained(arguments: list[str]) -> dict[str, Any]:
    """What `convrnn train ARGUMENTS --json` printed."""
    with tempfile.TemporaryDirectory() as folder:
        line = [sys.executable, "-c", "import sys; from convrnn.cli import main; sys.exit(main())", "train", *arguments]
        done = subprocess.run([*line, "--out", f"{folder}/run", "--json"], stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _write_pages() -> None:
    """The tables of docs/results.md and of both READMEs, between their marks."""
    found, of_ucr = records.read(RESULTS), records.read(OF_UCR)
    page = ROOT / "docs" / "results.md"
    text = page.read_text(encoding="utf-8")
    for name, made in {"folds": tables.folded(found), "made": tables.made(found), "runs": tables.runs(found)}.items():
        text = filled(text, name, made)
    write(page, text)
    for language, name in READMES.items():
        readme = (ROOT / name).read_text(encoding="utf-8")
        write(ROOT / name, filled(readme, "results", tables.readme(found, of_ucr, language)))


if __name__ == "__main__":
    sys.exit(main())
