"""The recurrences against other frameworks and the machine's own limits: `python benchmarks/kernels.py --section 1 --processes 3`.

README.md here says what is measured and what is fair. Every case is compared first, then timed by turns: a mismatch is an error, and
nothing of it is timed. Knows no layer and no peer.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import surroundings
import tables
import torch
from contest import Asked, Case, Mismatch, hold

SECTIONS = {1: "grid", 2: "sgemm", 3: "frameworks", 4: "scans", 5: "streaming", 6: "crnn", 7: "video"}
"""Files of `sections/` by their number in "Must show"; imported when they are measured, for their peers are."""

MISSED, WRONG = 3, 4
"""Exit codes: measured, but not what was asked; not measured, for a peer answers something else."""


def main() -> int:
    """Measures what is asked for and prints tables."""
    options = _options()
    try:
        records = _by_processes(options) if options.processes > 1 else list(_measured(options))
    except Mismatch as error:
        print(f"nothing is timed on a mismatch: {error}", file=sys.stderr)
        return WRONG
    judged = not options.quick and options.only is None
    for line in tables.tables(records, judged):
        print(line)
    return MISSED if judged and tables.missed(records) else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--section", "--grid", type=_numbers, default=list(SECTIONS), help="of 1 to 7, for example 1,2; default: all")
    parser.add_argument("--cells", type=lambda text: text.split(","), help="for example gru,lstm; default: all of the section")
    parser.add_argument("--only", type=_numbers, help="shapes by their number from 0, for example 0,5; default: all of the section")
    parser.add_argument("--rival", default="", help="rivals whose name contains this; default: all")
    parser.add_argument("--pairs", type=int, default=15, help="turns of each side; default: 15")
    parser.add_argument("--processes", type=int, default=1, help="one after another, the median of them counts; default: 1")
    parser.add_argument("--threads", type=int, default=2, help="for everybody; default: 2")
    parser.add_argument("--json", type=Path, help="append every record to this file, a line each, as it is measured")
    parser.add_argument("--quick", action="store_true", help="tiny shapes: shows that all of it works, and no speed")
    options = parser.parse_args()
    if unknown := [str(number) for number in options.section if number not in SECTIONS]:
        parser.error(f"--section: expected 1 to {len(SECTIONS)}, got {', '.join(unknown)}")
    return options


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def _by_processes(options: argparse.Namespace) -> list[dict[str, Any]]:
    """The same in fresh processes: a lucky layout of memory does not come twice."""
    found: list[dict[str, Any]] = []
    for number in range(1, options.processes + 1):
        print(f"process {number} of {options.processes}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "records.jsonl"
            done = subprocess.run([sys.executable, __file__, *sys.argv[1:], "--processes", "1", "--json", str(out)], check=False)
            if done.returncode not in (0, MISSED):
                sys.exit(done.returncode)
            lines = out.read_text(encoding="utf-8").splitlines()
        if options.json is not None:
            _append(options.json, lines)
        found += [record for record in map(json.loads, lines) if "section" in record]
    return found


def _measured(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Records in the order of the measurements, printed and written as they come; the first line of a file says where they come from."""
    torch.set_num_threads(options.threads)
    about = surroundings.described(options.threads, options.pairs)
    print(f"{about['processor']}, {options.threads} threads, kernels for {about['instruction_set']}, load before and now {about['load']}")
    print(f"sgemm {about['sgemm_gflops']:.0f} GF/s, memory {about['memory_gbytes']:.1f} GB/s", flush=True)
    if options.json is not None:
        _append(options.json, [json.dumps({"machine": about})])
    for case in _cases(options):
        try:
            record = hold(case, options.pairs)
        except Mismatch as error:
            raise Mismatch(f"{case.what}, {case.work}, against {case.rival} at {case.shape}: {error}") from error
        print(f"{case.section}. {case.what}, {case.work}, {case.rival}\n{tables.line(record)}", flush=True)
        if options.json is not None:
            _append(options.json, [json.dumps(record)])
        yield record


def _cases(options: argparse.Namespace) -> Iterator[Case]:
    asked = Asked(options.cells, options.only, options.quick)
    for number in options.section:
        try:
            section = import_module(f"sections.{SECTIONS[number]}")
        except ModuleNotFoundError as error:
            print(f"section {number}: expected {error.name}, which is not installed; pip install -e '.[dev,peers]'", file=sys.stderr)
            raise SystemExit(2) from None
        for case in section.cases(asked):
            if options.rival in case.rival:
                yield case


def _append(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.writelines(line + "\n" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
