"""Seventeen UCR sets and two UEA sets with models of the zoo, archive split: `python benchmarks/ucr.py WHAT --data DIR/ucr_uea`.

    select    what the settings should be: cross-validation within the training files, no test file is opened
    final     the archive's test parts, once a seed, by the settings that the model names give
    table     what was measured, and trains nothing; `--picture FILE.png` draws the critical-difference diagram of it

The protocol, written down before the first test figure:

* `select` reads training files only. A candidate is a model and options; its figure is the mean over the sets of the mean accuracy of
  stratified folds: 5, or as many as the rarest label has rows. One setting is chosen for all sets together, and becomes the default
  of the zoo entry or of the modality, so that a user gets it by name.
* `final` is `convrnn train DIR/SET --model NAME --valid 0 --seed K`, K = 0..4, nothing else set: no epoch is chosen by accuracy (the last
  weights are kept), so no row is held out to watch. The test part is read after the training, once.

Every run is one line of `benchmarks/results/ucr.jsonl`, and what stands there is not run again. `--minutes` begins no run after so many.
"""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from folded import train_fold

import convrnn as cr
from convrnn.api.options import parse
from convrnn.core.files import write
from convrnn.data.sources import read_part
from convrnn.data.split import folds
from convrnn.report import figures, verdict
from convrnn.report.drawing import png
from convrnn.report.fonts import Lettering
from convrnn.report.study_figures import looks, ranks
from convrnn.study import stats
from convrnn.study.scores import Field

RESULTS = Path(__file__).parent / "results" / "ucr.jsonl"
FOLDS = 5
SEEDS = 5

THEIRS = ("published FCN", "published ResNet", "InceptionTime")

PUBLISHED = {
    "ACSF1": (0.898, 0.916, 0.920),
    "ArrowHead": (0.843, 0.838, 0.846),
    "Beef": (0.680, 0.753, 0.700),
    "CBF": (0.994, 0.996, 0.999),
    "Car": (0.913, 0.917, 0.883),
    "Chinatown": (0.980, 0.978, 0.985),
    "Coffee": (1.000, 1.000, 1.000),
    "ECG200": (0.888, 0.874, 0.930),
    "GunPoint": (1.000, 0.991, 1.000),
    "ItalyPowerDemand": (0.963, 0.962, 0.965),
    "Lightning2": (0.734, 0.780, 0.770),
    "OSULeaf": (0.979, 0.980, 0.942),
    "OliveOil": (0.720, 0.847, 0.833),
    "PLAID": (0.904, 0.940, 0.944),
    "PickupGestureWiimoteZ": (0.744, 0.704, 0.760),
    "Plane": (1.000, 1.000, 1.000),
    "SyntheticControl": (0.989, 0.997, 0.997),
}
"""The univariate sets: accuracy of FCN and ResNet (Fawaz et al. 2019, means of 5 runs) and of the ensemble InceptionTime (Fawaz et al.
2020). Their PLAID and PickupGestureWiimoteZ were made equally long first, here they are as they are."""

BEYOND = {"BasicMotions": 0.98, "JapaneseVowels": 0.985}
"""The multivariate sets, and what is asked."""

WANTED = 0.896
"""The mean of the published FCN over the 17 sets: what the best single model is to reach."""


class Candidate(NamedTuple):
    """A model with options, as `--model` and `--set` take them."""

    model: str
    options: tuple[str, ...] = ()

    def __str__(self) -> str:
        return " ".join((self.model, *self.options))


def main() -> int:
    """Runs what is asked; 0 unless a model misses what is asked of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("select", "final", "table"))
    parser.add_argument("--data", type=Path, help="the folder ucr_uea")
    parser.add_argument("--model", default="fcn")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="of a candidate (select only)")
    parser.add_argument("--only", default="", help="sets, parted by commas; default: all")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--minutes", type=float, default=1e9)
    parser.add_argument("--picture", type=Path, metavar="FILE.png", help="of the average ranks (table only)")
    asked = parser.parse_args()
    sets = asked.only.split(",") if asked.only else [*PUBLISHED, *BEYOND]
    if asked.what == "table":
        return _table(asked.picture)
    if asked.data is None:
        parser.error(f"{asked.what} needs --data")
    if asked.set and asked.what == "final":
        parser.error("final takes the settings that the model names give")
    until = time.monotonic() + 60 * asked.minutes
    candidate = Candidate(asked.model, tuple(asked.set))
    runs = _selections(asked.data, sets, candidate) if asked.what == "select" else _finals(asked.data, sets, asked.model, asked.seeds)
    for record in runs:
        RESULTS.parent.mkdir(exist_ok=True)
        with RESULTS.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        print(" ".join(str(record[key]) for key in ("stage", "set", "model", "part", "accuracy", "seconds")), flush=True)
        if time.monotonic() > until:
            print("time is up; the same command goes on", file=sys.stderr)
            return 3
    return 0


def _selections(data: Path, sets: list[str], candidate: Candidate) -> Iterator[dict[str, Any]]:
    """Accuracy of each fold of each training file."""
    done = {(r["set"], r["model"], tuple(r["options"]), r["part"]) for r in _records() if r["stage"] == "select"}
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
    done = {(r["set"], r["model"], r["part"]) for r in _records() if r["stage"] == "final"}
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


def _records() -> list[dict[str, Any]]:
    return [json.loads(line) for line in RESULTS.read_text(encoding="utf-8").splitlines()] if RESULTS.exists() else []


def _table(picture: Path | None) -> int:
    """Both tables and what they tell; 1 if something that was asked for is measured and missed."""
    _selected()
    found = _measured()
    missed = _against_what_is_asked(found)
    _told(found, picture)
    return missed


def _selected() -> None:
    found: dict[Candidate, dict[str, list[float]]] = {}
    for record in _records():
        if record["stage"] == "select":
            of_set = found.setdefault(Candidate(record["model"], tuple(record["options"])), {})
            of_set.setdefault(record["set"], []).append(record["accuracy"])
    for candidate, of_set in found.items():
        means = {name: statistics.mean(values) for name, values in of_set.items()}
        print(f"{candidate}: {statistics.mean(means.values()):.4f} on {len(means)}: ", end="")
        print(", ".join(f"{name} {value:.3f}" for name, value in sorted(means.items())))


Measured = dict[str, dict[str, list[float]]]
"""Accuracies by model and set, one a seed."""


def _measured() -> Measured:
    """What stands in the results; printed as a table."""
    values: Measured = {}
    for record in _records():
        if record["stage"] == "final":
            values.setdefault(record["model"], {}).setdefault(record["set"], []).append(record["accuracy"])
    models = sorted(values)
    names = ["set", *models, *THEIRS]
    print(f"\n| {' | '.join(names)} |\n|{'---|' * len(names)}")
    for name in (*PUBLISHED, *BEYOND):
        cells = [_cell(values[model].get(name, [])) for model in models]
        published = [f"{value:.3f}" for value in PUBLISHED[name]] if name in PUBLISHED else [""] * len(THEIRS)
        print(f"| {name} | {' | '.join([*cells, *published])} |")
    return values


def _against_what_is_asked(values: Measured) -> int:
    missed = 0
    for model in sorted(values):
        means = {name: statistics.mean(found) for name, found in values[model].items()}
        mean = statistics.mean([means[name] for name in PUBLISHED if name in means] or [0.0])
        whole = all(name in means for name in PUBLISHED)
        print(f"\n{model}: {mean:.4f} on {sum(name in means for name in PUBLISHED)} of {len(PUBLISHED)} univariate sets")
        missed += whole and mean < WANTED
    return 1 if missed == len(values) and values else 0


def _told(values: Measured, picture: Path | None) -> None:
    """What the univariate sets tell of the models measured on all of them and of the published ones; sets are the sample."""
    ours = {model: found for model, found in sorted(values.items()) if all(name in found for name in PUBLISHED)}
    if not ours:
        return
    scores = {(name, model): np.array(found[name])[:, None] for model, found in ours.items() for name in PUBLISHED}
    scores |= {(name, model): np.array([[value]]) for name, row in PUBLISHED.items() for model, value in zip(THEIRS, row, strict=True)}
    family = stats.plain(stats.family(Field("accuracy", True, tuple(PUBLISHED), (*ours, *THEIRS), scores, frozenset())))
    (told,) = verdict({"families": [family]})
    print("", told.headline, *told.details, sep="\n")
    if picture is not None:
        letters = Lettering.find()
        with figures.style(letters):
            drawn = ranks(family, looks(family["arms"], letters))
            write(picture, png(drawn))
        print(f"\n![{drawn.alt}]({picture.name})")


def _cell(values: list[float]) -> str:
    if not values:
        return "-"
    spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.3f}{spread}" + ("" if len(values) == SEEDS else f" ({len(values)})")


if __name__ == "__main__":
    sys.exit(main())
