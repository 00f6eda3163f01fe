"""What `accuracy.py` measures and what its records say: runs, means, bounds, the table of the READMEs. Trains nothing."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import ucr_tables
from pages import table

from convrnn.core.language import Language

Record = Mapping[str, Any]


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

    @property
    def command(self) -> str:
        """What a user types: for one seed, or for all folds."""
        return f"convrnn train {self.arguments}" if self.folds is None else f"python benchmarks/accuracy.py --data DIR --only {self.name}"


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

MADE = ("adding", "copy", "motif-order")

GOALS = (
    Goal("digits", "digits --model crnn", 5, least=0.970),
    Goal("mnist mnist-cnn", "DIR/mnist --model mnist-cnn --set shuffle=false", 3, least=0.989),
    Goal("mnist crnn", "DIR/mnist --model crnn", 3, least=0.990),
    Goal("mnist bilstm", "DIR/mnist --model bilstm", 3, least=0.980),
    Goal("JapaneseVowels", "DIR/ucr_uea/JapaneseVowels --model crnn", 5, least=0.975),
    Goal("fsdd", "DIR/fsdd/recordings.zip --model crnn", 3, least=0.98),
    Goal("ECG", "DIR/mts_baydogan/ECG --model crnn", 5),
    Goal("PLAID", "DIR/ucr_uea/PLAID --model crnn", 5),
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
    *(Goal(f"motif-order {model}", f"motif-order --model {model} --set width={width}", 5) for model, width in AT_40_000.items()),
)


def of_goals(records: Iterable[Record]) -> dict[str, list[Record]]:
    """What stands of each goal, by seed and fold: where one was run again, the later run."""
    found: dict[str, dict[tuple[int, int], Record]] = {goal.name: {} for goal in GOALS}
    for record in records:
        found[record["name"]][record["seed"], record.get("fold", 0)] = record
    return {name: [each for _, each in sorted(runs.items(), key=lambda run: run[0])] for name, runs in found.items()}


def goals(records: Iterable[Record], chosen: Sequence[Goal] = GOALS) -> str:
    """A table of means beside what is asked."""
    found = of_goals(records)
    rows = [
        (
            goal.name,
            goal.metric,
            _mean(found[goal.name]),
            f"{len(found[goal.name])}{' folds' if goal.folds else ''}",
            goal.asked,
            f"{found[goal.name][-1]['parameters']:,}",
            f"{_seconds(found[goal.name]):.0f}",
            f"`{goal.command}`",
        )
        for goal in chosen
        if found[goal.name]
    ]
    return table(("data, model", "figure", "test part", "seeds", "asked", "parameters", "seconds", "command"), rows)


def missed(records: Iterable[Record], chosen: Sequence[Goal] = GOALS) -> list[str]:
    """The goals whose mean is outside the bounds."""
    found = of_goals(records)
    return [goal.name for goal in chosen if found[goal.name] and goal.missed_by(statistics.mean(_values(found[goal.name])))]


def runs(records: Iterable[Record]) -> str:
    """A table of every run that held no fold out."""
    found = of_goals(records)
    rows = [
        (goal.name, str(run["seed"]), f"{goal.metric} {run['value']:.4f}", f"{run['seconds']:.0f}")
        for goal in GOALS
        if goal.folds is None
        for run in found[goal.name]
    ]
    return table(("data, model", "seed", "test figure", "seconds"), rows, words=3)


def folded(records: Iterable[Record]) -> str:
    """A table of the sets of which every row was held out once."""
    found = of_goals(records)
    rows = [
        (goal.name, _mean(found[goal.name]), *(f"{pick(_values(found[goal.name])):.4f}" for pick in (min, max)), goal.asked)
        for goal in GOALS
        if goal.folds is not None and found[goal.name]
    ]
    return table(("set", "accuracy", "lowest fold", "highest fold", "asked"), rows)


def made(records: Iterable[Record]) -> str:
    """A table of the problems that are made."""
    found = of_goals(records)
    rows = []
    for goal in GOALS:
        problem, _, model = goal.name.partition(" ")
        if problem in MADE and found[goal.name]:
            options = goal.arguments.partition(model)[2].strip()
            last = found[goal.name][-1]
            rows.append((problem, f"`{model}`", *_figure(goal, found[goal.name]), f"{last['parameters']:,}", f"`{options}`"))
    return table(("problem", "model", "figure", "seeds", "seconds", "parameters", "options"), rows, words=3)


class Shown(NamedTuple):
    """A row of the READMEs: the goal, what its data are called there, the model, and what is typed where it is not the goal's."""

    goal: str
    data: Mapping[Language, str]
    model: str
    command: str | None = None


def _alike(name: str) -> Mapping[Language, str]:
    return {"en": name, "zh": name}


SHOWN = (
    Shown("digits", _alike("digits"), "crnn"),
    Shown("mnist mnist-cnn", _alike("MNIST"), "mnist-cnn"),
    Shown("mnist crnn", _alike("MNIST"), "crnn"),
    Shown("mnist bilstm", _alike("MNIST"), "bilstm"),
    Shown("JapaneseVowels", _alike("JapaneseVowels"), "crnn", "convrnn train japanese-vowels --model crnn"),
    Shown("fsdd", {"en": "fsdd (spoken digits)", "zh": "fsdd（英语数字语音）"}, "crnn", "convrnn train fsdd --model crnn"),
    Shown("ECG", {"en": "ECG (Baydogan)", "zh": "ECG（Baydogan）"}, "crnn"),
    Shown("PLAID", _alike("PLAID"), "crnn"),
    Shown("trec6", _alike("TREC-6"), "text-cnn"),
    Shown("mr_polarity", _alike("MR polarity"), "text-cnn"),
    Shown("zh_reviews", {"en": "zh_reviews (Chinese)", "zh": "zh_reviews（中文）"}, "text-cnn"),
    Shown("syllables", {"en": "syllables (R²)", "zh": "syllables（R²）"}, "crnn"),
)

HEADS: Mapping[Language, Sequence[str]] = {
    "en": ("data", "model", "accuracy", "seeds", "time", "command"),
    "zh": ("数据", "模型", "准确率", "种子数", "时间", "命令"),
}

UCR = "resnet"
"""The model that folds of training files chose for the UCR sets."""

UCR_DATA: Mapping[Language, str] = {"en": "17 UCR sets, their mean", "zh": "17 个 UCR 数据集的均值"}
UCR_TIME: Mapping[Language, str] = {"en": "{minutes:.0f} min for all 17", "zh": "17 个共 {minutes:.0f} min"}


def readme(records: Iterable[Record], of_ucr: Iterable[Record], language: Language) -> str:
    """The table of a README."""
    found = of_goals(records)
    by_name = {goal.name: goal for goal in GOALS}
    rows = []
    for row in SHOWN:
        goal = by_name[row.goal]
        value, seeds, seconds = _mean(found[row.goal]), str(len(found[row.goal])), f"{_seconds(found[row.goal]):.0f} s"
        rows.append((row.data[language], f"`{row.model}`", value, seeds, seconds, f"`{row.command or goal.command}`"))
    rows.append((UCR_DATA[language], f"`{UCR}`", *_of_ucr(of_ucr, language)))
    return table(HEADS[language], rows, words=6)


def _of_ucr(records: Iterable[Record], language: Language) -> Iterator[str]:
    """Mean over the sets and its deviation over the seeds that have all of them, their number, time and command."""
    seeds: dict[int, dict[str, Record]] = {}
    for record in records:
        if record["stage"] == "final" and record["model"] == UCR and record["set"] in ucr_tables.PUBLISHED:
            seeds.setdefault(record["part"], {})[record["set"]] = record
    whole = [of_set.values() for of_set in seeds.values() if len(of_set) == len(ucr_tables.PUBLISHED)]
    yield _spread([statistics.mean(record["accuracy"] for record in each) for each in whole])
    yield str(len(whole))
    yield UCR_TIME[language].format(minutes=statistics.median(sum(record["seconds"] for record in each) for each in whole) / 60)
    yield f"`python benchmarks/ucr.py final --data DIR/ucr_uea --model {UCR}`"


def _figure(goal: Goal, found: Sequence[Record]) -> Iterator[str]:
    """Of a problem that is made: beside an rmse the squared error, which is what its guess is known by."""
    squared = f", squared error {statistics.mean(each['value'] ** 2 for each in found):.5f}" if goal.metric == "rmse" else ""
    yield f"{goal.metric} {_mean(found)}{squared}"
    yield str(len(found))
    yield f"{_seconds(found):.0f}"


def _values(found: Iterable[Record]) -> list[float]:
    return [each["value"] for each in found]


def _mean(found: Sequence[Record]) -> str:
    return _spread(_values(found))


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.mean(values):.4f}" + (f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else "")


def _seconds(found: Iterable[Record]) -> float:
    return statistics.median(each["seconds"] for each in found)
