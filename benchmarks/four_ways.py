"""The four ways to join convolution and recurrence at one number of parameters: `python benchmarks/four_ways.py --data DIR`.

The width of each model is solved so that its parameters, head and embedding included, are within 5 % of the budget of the data. Same rows,
same seeds; each model trains by the settings that its name gives, and nothing is chosen on a test part. Every run is one line of
`benchmarks/results/four_ways.jsonl`, and what stands there is not run again; `--table` prints the table of docs/results.md from those lines
and trains nothing.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any, NamedTuple

import convrnn as cr
from convrnn.api.planning import within
from convrnn.api.prepare import Request, prepare
from convrnn.data import read
from convrnn.study.budget import meets

RESULTS = Path(__file__).parent / "results" / "four_ways.jsonl"


class Way(NamedTuple):
    """One way, by the model that stands for it."""

    number: int
    way: str
    model: str


class Set(NamedTuple):
    """Data and the parameters that a model for it may have."""

    name: str
    path: str
    budget: int


WAYS = (
    Way(1, "extractor", "cnn-lstm"),
    Way(2, "parallel", "parallel-cnn-lstm"),
    Way(3, "cascade", "crnn"),
    Way(4, "inside the gates", "gate-cnn-lstm"),
)
SETS = (
    Set("JapaneseVowels", "DIR/ucr_uea/JapaneseVowels", 60_000),
    Set("trec6", "DIR/trec6/TREC.train.gz", 1_350_000),
    Set("digits", "digits", 95_000),
)


def main() -> int:
    """Runs what is asked; 0 if every model met its budget."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder with the sets")
    parser.add_argument("--only", default="", help="sets whose name contains this")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--table", action="store_true", help="print the table of what was measured")
    options = parser.parse_args()
    if not options.table:
        for each in SETS:
            path = each.path if options.data is None else each.path.replace("DIR", str(options.data))
            if options.only in each.name and (path == each.path or Path(path).exists()):
                _measure(each, path, options.seeds)
    return _table()


def _measure(each: Set, path: str, seeds: int) -> None:
    done = {(record["set"], record["way"], record["seed"]) for record in _records()}
    source = read(path)
    for way in WAYS:
        solved, _ = within(prepare(source, Request(model=way.model), lambda text: None), way.model, each.budget)
        width = solved["width"]
        for seed in range(seeds):
            if (each.name, way.number, seed) in done:
                continue
            run = cr.train(path, model=way.model, width=width, seed=seed)
            record = {
                "set": each.name,
                "way": way.number,
                "command": f"convrnn train {each.path} --model {way.model} --set width={width} --seed {seed}",
                "seed": seed,
                "accuracy": run.metrics["test"]["accuracy"],
                "parameters": run.metrics["parameters"],
                "budget": each.budget,
            }
            with RESULTS.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
            print(f"{each.name} {way.model} width {width} seed {seed}: {record['accuracy']:.4f}, {record['parameters']:,}", flush=True)


def _records() -> list[dict[str, Any]]:
    """What was measured, oldest first."""
    lines = RESULTS.read_text(encoding="utf-8").splitlines() if RESULTS.exists() else []
    return [json.loads(line) for line in lines]


def _table() -> int:
    found: dict[tuple[str, int], dict[int, dict[str, Any]]] = {}
    for record in _records():
        found.setdefault((record["set"], record["way"]), {})[record["seed"]] = record
    heads = [f"{each.name} ({each.budget:,} ± 5 %)" for each in SETS]
    print("| | way | model | " + " | ".join(heads) + " |\n|---|---|---|" + "---|" * len(SETS))
    missed = 0
    for way in WAYS:
        cells: list[str] = []
        for each in SETS:
            records = list(found.get((each.name, way.number), {}).values())
            values = [record["accuracy"] for record in records]
            missed += sum(not meets(record["parameters"], each.budget) for record in records)
            spread = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
            cells.append(f"{statistics.mean(values):.4f}{spread} ({records[0]['parameters']:,})" if values else "not measured")
        print(f"| {way.number} | {way.way} | `{way.model}` | " + " | ".join(cells) + " |")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
