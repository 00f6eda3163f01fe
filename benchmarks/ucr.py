"""Seventeen UCR sets and two UEA sets with models of the zoo, archive split: `python benchmarks/ucr.py WHAT ...`.

    select --data DIR/ucr_uea    what the settings should be: cross-validation within the training files, no test file is opened
    final --data DIR/ucr_uea     the archive's test parts, once a seed, by the settings that the model names give
    table                        what was measured and what it tells, and trains nothing; `--page docs/results.md` writes it there, with
                                 the critical-difference diagram

The protocol, written down before the first test figure:

* `select` reads training files only. A candidate is a model and options; its figure is the mean over the sets of the mean accuracy of
  stratified folds: 5, or as many as the rarest label has rows. One setting is chosen for all sets together, and becomes the default
  of the zoo entry or of the modality, so that a user gets it by name.
* `final` is `convrnn train DIR/SET --model NAME --valid 0 --seed K`, K = 0..4, nothing else set: no epoch is chosen by accuracy (the last
  weights are kept), so no row is held out to watch. The test part is read after the training, once.

Every run is one line of `benchmarks/results/ucr.jsonl`, and what stands there is not run again.
"""

from __future__ import annotations

import argparse
import math
import shlex
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import records
import ucr_tables as tables
from folded import train_fold
from pages import filled

import convrnn as cr
from convrnn.api.options import parse
from convrnn.core.files import write
from convrnn.data.sources import read_part
from convrnn.data.split import folds

RESULTS = Path(__file__).parent / "results" / "ucr.jsonl"
PICTURE = "images/ucr-ranks.png"
FOLDS = 5


class Candidate(NamedTuple):
    """A model with options, as `--model` and `--set` take them."""

    model: str
    options: tuple[str, ...] = ()


def main() -> int:
    """Runs what is asked; 0 unless a model misses what is asked of it."""
    asked = _parser().parse_args()
    if asked.what == "table":
        return _table(asked.page)
    sets = asked.only.split(",") if asked.only else [*tables.PUBLISHED, *tables.BEYOND]
    until = time.monotonic() + 60 * asked.minutes
    if asked.what == "select":
        runs = _selections(asked.data, sets, Candidate(asked.model, tuple(asked.set)))
    else:
        runs = _finals(asked.data, sets, asked.model, asked.seeds)
    for record in runs:
        records.keep(RESULTS, record)
        print(" ".join(str(record[key]) for key in ("stage", "set", "model", "part", "accuracy", "seconds")), flush=True)
        if time.monotonic() > until:
            print("time is up; the same command goes on", file=sys.stderr)
            return 3
    return 0


def _parser() -> argparse.ArgumentParser:
    """Each part has its own options: one that it would not look at is refused."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="what", required=True)
    select = parts.add_parser("select", help="cross-validation within the training files")
    final = parts.add_parser("final", help="the test parts, once a seed")
    for part in (select, final):
        part.add_argument("--data", type=Path, required=True, help="the folder ucr_uea")
        part.add_argument("--model", default="fcn")
        part.add_argument("--only", default="", help="sets, parted by commas; default: all")
        part.add_argument("--minutes", type=float, default=math.inf, help="begin no run after so many")
    select.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="of the candidate")
    final.add_argument("--seeds", type=int, default=tables.SEEDS)
    table = parts.add_parser("table", help="what was measured and what it tells")
    table.add_argument("--page", type=Path, metavar="FILE.md", help="what to write the tables into")
    return parser


def _selections(data: Path, sets: list[str], candidate: Candidate) -> Iterator[dict[str, Any]]:
    """Accuracy of each fold of each training file."""
    done = {(r["set"], r["model"], tuple(r["options"]), r["part"]) for r in records.read(RESULTS) if r["stage"] == "select"}
    for name in sets:
        examples = read_part(_training_file(data / name), labelled=True)
        assert examples.targets is not None
        number = max(2, min(FOLDS, min(Counter(examples.targets).values())))
        for fold, halves in enumerate(folds(examples.targets, number, seed=0)):
            if (name, candidate.model, candidate.options, fold) in done:
                continue
            found = train_fold(name, examples, halves, candidate.model, parse(candidate.options))
            line = [f"--model {candidate.model}", *(f"--set {shlex.quote(each)}" for each in candidate.options)]
            yield {
                "stage": "select",
                "set": name,
                "model": candidate.model,
                "options": list(candidate.options),
                "part": fold,
                "accuracy": found.metrics["accuracy"],
                "parameters": found.parameters,
                "seconds": found.seconds,
                "command": f"python benchmarks/ucr.py select --data DIR/ucr_uea --only {name} {' '.join(line)}",
            }


def _finals(data: Path, sets: list[str], model: str, seeds: int) -> Iterator[dict[str, Any]]:
    """Accuracy on each test part, one seed after the other on all sets: what was cut off shows all of them."""
    done = {(r["set"], r["model"], r["part"]) for r in records.read(RESULTS) if r["stage"] == "final"}
    for seed in range(seeds):
        for name in sets:
            if (name, model, seed) in done:
                continue
            run = cr.train(data / name, model=model, valid=0.0, seed=seed, report=False)
            yield {
                "stage": "final",
                "set": name,
                "model": model,
                "options": [],
                "part": seed,
                "accuracy": run.metrics["test"]["accuracy"],
                "parameters": run.metrics["parameters"],
                "seconds": round(run.metrics["seconds"]["train"], 1),
                "command": f"convrnn train DIR/ucr_uea/{name} --model {model} --valid 0 --seed {seed}",
            }


def _training_file(folder: Path) -> Path:
    return next(path for path in sorted(folder.iterdir()) if "_TRAIN" in path.name)


def _table(page: Path | None) -> int:
    """What was measured and what it tells, on a page too; 1 if what was asked for is measured and missed."""
    found = records.read(RESULTS)
    values = tables.measured(found)
    folded, parts, told = tables.folds(found), tables.parts(values), tables.told(values)
    print(folded, parts, *([told.text] if told else []), sep="\n\n")
    if page is not None:
        text = filled(filled(page.read_text(encoding="utf-8"), "ucr folds", folded), "ucr", parts)
        if told:
            write(page.parent / PICTURE, told.picture)
            text = filled(text, "ucr told", f"![{told.alt}]({PICTURE})\n\n{told.text}")
        write(page, text)
    return int(tables.missed(values))


if __name__ == "__main__":
    sys.exit(main())
