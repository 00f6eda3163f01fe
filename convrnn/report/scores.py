"""Counting the answers of a run: intervals, confusions, calibration, residuals. Pure arithmetic on records; no model, no picture.

Interval of a proportion: E. B. Wilson, 1927, "Probable inference, the law of succession, and statistical inference".
Expected calibration error: Guo et al., 2017, arXiv 1706.04599v2.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Self

import numpy as np

from convrnn.report.records import Answer, Run

Z95 = 1.959963984540054
ALPHA = 0.05
BINS = 10
COUNTED = 40  # classes up to which a confusion matrix can show its counts


class Interval(NamedTuple):
    """A 95 % confidence interval."""

    low: float
    high: float


class ClassScore(NamedTuple):
    """One row of the per-class table; NaN where a score has no denominator."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int


class Duel(NamedTuple):
    """Two ways to answer the same rows: where the first alone is right, where the second alone is, how likely that is of equals.

    McNemar's test, exact and two-sided: of equals each such row goes to either with one half (Q. McNemar, 1947, "Note on the sampling
    error of the difference between correlated proportions or percentages").
    """

    gained: int
    lost: int
    p: float

    @classmethod
    def of(cls, gained: int, lost: int) -> Self:
        """With `p` for these counts."""
        rows = gained + lost
        whole = math.lgamma(rows + 1) - rows * math.log(2)
        terms = (math.exp(whole - math.lgamma(k + 1) - math.lgamma(rows - k + 1)) for k in range(min(gained, lost) + 1))
        return cls(gained, lost, min(1.0, 2 * sum(terms)))

    @property
    def verdict(self) -> Literal["better", "worse", "open"]:
        """Of the first; open where equals would differ as much in one of twenty cases."""
        if self.p >= ALPHA:
            return "open"
        return "better" if self.gained > self.lost else "worse"


class Bin(NamedTuple):
    """The answers whose probability lies in one tenth: how many, their mean probability, how many of them were right."""

    low: float
    high: float
    rows: int
    confidence: float
    right: int


@dataclass(frozen=True)
class Classified:
    """Answers of a classification, counted.

    Attributes:
        labels: the classes in the order of the task; K of them.
        counts: int64 `[K, K]`, rows are true classes and columns are predicted ones.
        majority: the class that a constant answer would name, and how many rows it would get right.
        bins: the ten tenths of probability, empty ones included; none when no probability was recorded.
    """

    labels: tuple[str, ...]
    counts: np.ndarray
    majority: tuple[str, int]
    bins: tuple[Bin, ...]

    @property
    def rows(self) -> int:
        """How many answers were counted."""
        return int(self.counts.sum())

    @property
    def right(self) -> int:
        """How many of them were right."""
        return int(np.trace(self.counts))

    def duel(self) -> Duel:
        """The model against always answering `majority`, on the same rows."""
        place = self.labels.index(self.majority[0])
        both = int(self.counts[place, place])
        return Duel.of(self.right - both, self.majority[1] - both)

    @property
    def ece(self) -> float:
        """Expected calibration error: the mean distance of probability from accuracy, tenth by tenth."""
        return sum(abs(each.confidence * each.rows - each.right) for each in self.bins) / self.rows

    def per_class(self) -> list[ClassScore]:
        """Precision, recall, F1 and support of every class."""
        hits = np.diag(self.counts)
        support, said = self.counts.sum(axis=1), self.counts.sum(axis=0)
        rows = zip(self.labels, hits.tolist(), said.tolist(), support.tolist(), strict=True)
        return [
            ClassScore(label, _share(hit, all_), _share(hit, true), _share(2 * hit, all_ + true), true) for label, hit, all_, true in rows
        ]

    def confusions(self, limit: int) -> list[tuple[str, str, int]]:
        """The most frequent mistakes: true class, predicted class, how often; at most `limit`, most frequent first."""
        wrong = self.counts - np.diag(np.diag(self.counts))
        order = np.argsort(-wrong, axis=None, kind="stable")[:limit]
        pairs = [divmod(int(place), len(self.labels)) for place in order]
        return [(self.labels[true], self.labels[said], int(wrong[true, said])) for true, said in pairs if wrong[true, said] > 0]


@dataclass(frozen=True)
class Regressed:
    """Answers of a regression: `truth` and `said`, float64 `[N]`, in the unit of the target; only rows where both are finite."""

    truth: np.ndarray
    said: np.ndarray

    @property
    def residuals(self) -> np.ndarray:
        """Predicted minus true, `[N]`."""
        return self.said - self.truth

    @property
    def mae(self) -> float:
        """Mean absolute error."""
        return float(np.abs(self.residuals).mean())

    @property
    def rmse(self) -> float:
        """Root of the mean squared error."""
        return float(np.sqrt(np.square(self.residuals).mean()))

    @property
    def r2(self) -> float:
        """Share of the variance explained; NaN when the targets do not vary."""
        spread = float(np.square(self.truth - self.truth.mean()).sum())
        # Of equal targets the spread need not be 0: their mean is rounded.
        return 1 - float(np.square(self.residuals).sum()) / spread if spread > 0 and np.ptp(self.truth) > 0 else math.nan

    @property
    def baseline(self) -> float:
        """Mean absolute error of always answering the median of these targets, the best constant there is."""
        return float(np.abs(self.truth - np.median(self.truth)).mean())

    def interval(self) -> Interval | None:
        """95 % interval of the mean absolute error (normal approximation); None for fewer than two rows."""
        if len(self.truth) < 2:
            return None
        half = _half(np.abs(self.residuals))
        return Interval(max(0.0, self.mae - half), self.mae + half)

    def gain(self) -> Interval | None:
        """95 % interval of how much smaller the errors are than those of always answering the median, row by row; None as `interval`."""
        if len(self.truth) < 2:
            return None
        smaller = np.abs(self.truth - np.median(self.truth)) - np.abs(self.residuals)
        mean, half = float(smaller.mean()), _half(smaller)
        return Interval(mean - half, mean + half)


def _half(values: np.ndarray) -> float:
    """Half the 95 % interval of a mean, by the normal approximation."""
    return Z95 * float(values.std(ddof=1)) / math.sqrt(len(values))


def wilson(right: int, rows: int) -> Interval:
    """The 95 % Wilson interval of a proportion of `right` among `rows` (at least one)."""
    share = right / rows
    stretch = 1 + Z95**2 / rows
    centre = (share + Z95**2 / (2 * rows)) / stretch
    half = Z95 / stretch * math.sqrt(share * (1 - share) / rows + Z95**2 / (4 * rows**2))
    return Interval(max(0.0, centre - half), min(1.0, centre + half))


def classified(run: Run) -> Classified | None:
    """The answers of a classification, counted; None when the run has none."""
    answers = [answer for answer in run.answers if answer.label is not None]
    if not answers:
        return None
    labels = class_labels(run)
    place = {label: number for number, label in enumerate(labels)}
    counts = np.zeros((len(labels), len(labels)), dtype=np.int64)
    np.add.at(counts, ([place[answer.target] for answer in answers], [place[str(answer.label)] for answer in answers]), 1)
    trained = training_counts(run) or Counter(answer.target for answer in answers)
    common = max(trained, key=lambda label: trained[label])
    return Classified(labels, counts, (common, sum(answer.target == common for answer in answers)), _bins(answers))


def regressed(run: Run) -> Regressed | None:
    """The answers of a regression; None when the run has none."""
    pairs = np.array([(float(answer.target), answer.value) for answer in run.answers if answer.label is None], dtype=np.float64).reshape(
        -1, 2
    )
    pairs = pairs[np.isfinite(pairs).all(axis=1)]
    return Regressed(pairs[:, 0], pairs[:, 1]) if len(pairs) else None


def class_labels(run: Run) -> tuple[str, ...]:
    """The classes of a run: in the order of the task, then of the training part, then as they turn up in the answers."""
    named = (run.task or {}).get("labels") or ()
    seen = [label for answer in run.answers if answer.label is not None for label in (answer.target, answer.label)]
    return tuple(dict.fromkeys([*map(str, named), *training_counts(run), *sorted(seen)]))


def training_counts(run: Run) -> dict[str, int]:
    """Rows of each class in the training part, as the summary has them; empty for a regression."""
    parts = (run.data or {}).get("parts") or {}
    classes = (parts.get("train") or {}).get("classes") or {}
    return {str(label): int(count) for label, count in classes.items()}


def chance_loss(task: Mapping[str, Any], classes: Mapping[str, int]) -> float | None:
    """What a training minimises, of the best answer that is the same for every row of the training part.

    Args:
        task: its stored form; an empty one where it is not known.
        classes: rows of each class in the training part; not looked at for a regression.

    Returns:
        Nats of the weighted and smoothed cross-entropy, by the shares that it asks for; 1 for the squared error of standardised targets.
        None where it is not known: absolute and Huber's errors depend on more than mean and deviation of the targets.
    """
    if task.get("criterion") == "mse":
        return 1.0
    counts_K = np.array([classes.get(str(name), 0) for name in task.get("labels") or ()], dtype=np.float64)
    if not counts_K.any():
        return None
    weights_K, smoothing = np.array(task.get("weights") or np.ones(len(counts_K))), task.get("label_smoothing", 0.0)
    # As torch has it: a row's own label counts by its weight, a smoothed one by that of each label; both over the weights of the rows.
    asked_K = weights_K * ((1 - smoothing) * counts_K + smoothing * counts_K.sum() / len(counts_K)) / (weights_K @ counts_K)
    asked_K = asked_K[asked_K > 0]
    return float(-(asked_K * np.log(asked_K / asked_K.sum())).sum())


def _bins(answers: Sequence[Answer]) -> tuple[Bin, ...]:
    known = [(answer.probability, answer.label == answer.target) for answer in answers if math.isfinite(answer.probability)]
    if len(known) < len(answers):
        return ()
    groups: list[list[tuple[float, bool]]] = [[] for _ in range(BINS)]
    for probability, right in known:
        groups[min(BINS - 1, int(probability * BINS))].append((probability, right))
    return tuple(_bin(number / BINS, group) for number, group in enumerate(groups))


def _bin(low: float, group: Sequence[tuple[float, bool]]) -> Bin:
    mean = sum(probability for probability, _ in group) / len(group) if group else math.nan
    return Bin(low, low + 1 / BINS, len(group), mean if group else low + 0.5 / BINS, sum(right for _, right in group))


def _share(part: int, whole: int) -> float:
    return part / whole if whole else math.nan
