"""Accuracy on real data, through the command line, several seeds each: `python benchmarks/accuracy.py --data DIR`.

DIR holds the sets by name (see docs/results.md); a set that is not there is said and left out. Every run is one line of
`benchmarks/results/accuracy.jsonl`: what was typed, the seed, the figures, the time. `--table` prints the table of docs/results.md from
those lines and trains nothing. Nothing is chosen on a test part: the settings are those that the model names give.
"""

from __future__ import annotations

import argparse
import json
import platform
import shlex
import statistics
import subprocess
import sys
import tempfile
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

RESULTS = Path(__file__).parent / "results" / "accuracy.jsonl"


class Goal(NamedTuple):
    """One row of the table: arguments of `convrnn train` (DIR is replaced), the seeds, the figure and the bound it is held to.

    With `folds` the rows are divided into so many, stratified, and each is held out once in place of a seed: as many rows as lines.
    """

    name: str
    arguments: str
    seeds: int
    metric: str = "accuracy"
    least: float | None = None
    most: float | None = None
    folds: int | None = None

    def missed_by(self, value: float) -> bool:
        """Whether a figure is outside the bounds."""
        return (self.least is not None and value < self.least) or (self.most is not None and value > self.most)

    @property
    def asked(self) -> str:
        """The bounds in words."""
        return " ".join(f"{sign} {bound}" for sign, bound in ((">=", self.least), ("<=", self.most)) if bound is not None)


LAST = "--set pool=last --set dropout=0"
"""What is remembered is read from the last frame; a mean over frames would need no memory."""

AT_40_000 = {
    "crnn": 24,
    "cnn-lstm": 32,
    "gate-cnn-lstm": 44,
    "parallel-cnn-lstm": 38,
    "lstm-fcn": 37,
    "cnn": 36,
    "fcn": 49,
    "tcn": 31,
    "rnn": 196,
    "lstm": 98,
    "gru": 113,
    "bilstm": 69,
    "bigru": 80,
}
"""Widths at which each model has 40,000 parameters on `motif-order`, within 2.5 %."""


GOALS = (
    Goal("digits", "digits --model crnn", 5, least=0.970),
    Goal("mnist mnist-cnn", "DIR/mnist --model mnist-cnn --set shuffle=false", 3, least=0.989),
    Goal("mnist crnn", "DIR/mnist --model crnn", 3, least=0.990),
    Goal("mnist bilstm", "DIR/mnist --model bilstm", 3, least=0.980),
    Goal("JapaneseVowels", "DIR/ucr_uea/JapaneseVowels --model crnn", 5, least=0.975),
    Goal("fsdd", "DIR/fsdd/recordings.zip --model crnn", 3, least=0.98),
    Goal("ECG", "DIR/mts_baydogan/ECG --model crnn", 5),
    Goal("PLAID", "DIR/ucr_uea/PLAID --model crnn", 1),
    Goal("trec6", "DIR/trec6/TREC.train.gz --model text-cnn", 3, least=0.87),
    Goal("mr_polarity", "DIR/mr_polarity --model text-cnn", 3, least=0.74),
    Goal("zh_reviews", "DIR/zh_reviews/train.tsv.gz --model text-cnn", 3),
    Goal("syllables", "syllables --model crnn", 3, metric="r2"),
    Goal("dna_splice", "DIR/dna_splice/splice.data.gz --model tcn", 1, least=0.96, folds=10),
    Goal("dna_promoters", "DIR/dna_promoters/promoters.data --model tcn", 1, folds=10),
    Goal("covid-3-month", "covid-3-month --model crnn --epochs 25", 3, metric="r2"),
    Goal("adding lstm", f"adding --model lstm {LAST}", 3, metric="rmse", most=0.1),
    Goal("adding gru", f"adding --model gru {LAST}", 3, metric="rmse", most=0.1),
    Goal("adding rnn", f"adding --model rnn {LAST}", 3, metric="rmse"),
    Goal("copy lstm", f"copy --model lstm {LAST}", 1),
    Goal("copy gru", f"copy --model gru {LAST}", 1),
    Goal("copy rnn", f"copy --model rnn {LAST}", 1),
    *(Goal(f"motif-order {model}", f"motif-order --model {model} --set width={width}", 3) for model, width in AT_40_000.items()),
)


def main() -> int:
    """Runs what is asked; 0 if every bound is met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder with the sets")
    parser.add_argument("--only", help="the row of this name, or rows whose name contains it")
    parser.add_argument("--seeds", type=int, help="in place of the number each row has")
    parser.add_argument("--table", action="store_true", help="print the table of what was measured")
    options = parser.parse_args()
    alike = [goal for goal in GOALS if options.only is None or options.only in goal.name]
    chosen = [goal for goal in alike if goal.name == options.only] or alike
    if not options.table:
        for goal in chosen:
            _measure(goal, options.data, options.seeds or goal.seeds)
    return _table(chosen)


def _measure(goal: Goal, data: Path | None, seeds: int) -> None:
    """Each seed, of folds each fold of it; those folds that stand in the results are not run again."""
    arguments = shlex.split(goal.arguments)
    if arguments[0].startswith("DIR"):
        place = None if data is None else data / arguments[0].removeprefix("DIR/")
        if place is None or not place.exists():
            print(f"{goal.name}: {arguments[0]} is not there, left out", file=sys.stderr)
            return
        arguments[0] = str(place)
    done = {(record["name"], record["seed"], record["fold"]) for record in _records() if "fold" in record}
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
        }
        _keep(record)
        where = "" if fold is None else f" fold {fold}"
        print(f"{goal.name} seed {seed}{where}: {goal.metric} {record['value']:.4f}, {record['seconds']:.0f} s", flush=True)


def _trained(arguments: list[str]) -> dict[str, Any]:
    """What `convrnn train ARGUMENTS --json` printed."""
    with tempfile.TemporaryDirectory() as folder:
        line = [sys.executable, "-c", "import sys; from convrnn.cli import main; sys.exit(main())", "train", *arguments]
        done = subprocess.run([*line, "--out", f"{folder}/run", "--json"], stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def _records() -> list[dict[str, Any]]:
    return [json.loads(line) for line in RESULTS.read_text(encoding="utf-8").splitlines()] if RESULTS.exists() else []


def _keep(record: dict[str, Any]) -> None:
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def _cores() -> int:
    import os

    return len(os.sched_getaffinity(0))


def _table(chosen: list[Goal]) -> int:
    records: dict[str, dict[tuple[int, int | None], dict[str, Any]]] = {}
    for record in _records():
        records.setdefault(record["name"], {})[record["seed"], record.get("fold")] = record
    print("| data, model | test figure | seeds | asked | parameters | seconds of training | command |\n|---|---|---|---|---|---|---|")
    missed = 0
    for goal in chosen:
        found = list(records.get(goal.name, {}).values())
        if not found:
            continue
        values = [record["value"] for record in found]
        spread = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
        missed += goal.missed_by(statistics.mean(values))
        times = f"{len(values)}{' folds' if goal.folds else ''}"
        seconds = statistics.median(record["seconds"] for record in found)
        command = (
            f"`convrnn train {goal.arguments}`" if goal.folds is None else f"`python benchmarks/accuracy.py --data DIR --only {goal.name}`"
        )
        print(
            f"| {goal.name} | {goal.metric} {statistics.mean(values):.4f}{spread} | {times} | {goal.asked} "
            f"| {found[-1]['parameters']:,} | {seconds:.0f} | {command} |"
        )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
