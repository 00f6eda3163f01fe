"""Counting answers, against scikit-learn and published numbers."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn import metrics

from convrnn.report import chance_loss, figures
from convrnn.report.records import Answer, Run
from convrnn.report.scores import Duel, Regressed, classified, regressed, wilson
from convrnn.tasks import Classify, Regress


def answers(targets: list[str], labels: list[str], probabilities: list[float]) -> tuple[Answer, ...]:
    return tuple(Answer("row", *each[:2], math.nan, each[2]) for each in zip(targets, labels, probabilities, strict=True))


def sample(rows: int = 300) -> tuple[list[str], list[str], list[float]]:
    rng = np.random.default_rng(0)
    targets = rng.integers(4, size=rows)
    labels = np.where(rng.random(rows) < 0.7, targets, rng.integers(4, size=rows))
    return [f"c{n}" for n in targets], [f"c{n}" for n in labels], rng.uniform(0.25, 1, rows).tolist()


def test_wilson_gives_the_published_interval() -> None:
    """81 of 263: Newcombe, 1998, Statistics in Medicine 17, 857-872, table I, method 3; 0 of 20 and 1 of 29 likewise."""
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)


def test_counts_and_classes_agree_with_scikit_learn() -> None:
    targets, labels, probabilities = sample()
    found = classified(Run("r", answers=answers(targets, labels, probabilities)))
    assert found is not None and found.labels == ("c0", "c1", "c2", "c3")
    np.testing.assert_array_equal(found.counts, metrics.confusion_matrix(targets, labels))
    for place, expected in enumerate(metrics.precision_recall_fscore_support(targets, labels), start=1):
        np.testing.assert_allclose(np.array([each[place] for each in found.per_class()], dtype=float), np.asarray(expected))
    assert found.right / found.rows == metrics.accuracy_score(targets, labels)


def test_calibration_error_is_that_of_its_definition() -> None:
    targets, labels, probabilities = sample()
    found = classified(Run("r", answers=answers(targets, labels, probabilities)))
    assert found is not None
    right = np.array(targets) == np.array(labels)
    tenth = np.minimum(9, (np.array(probabilities) * 10).astype(int))
    gaps = [abs(right[tenth == n].mean() - np.array(probabilities)[tenth == n].mean()) * (tenth == n).mean() for n in set(tenth.tolist())]
    assert found.ece == pytest.approx(sum(gaps))


def test_probabilities_that_were_not_recorded_give_no_calibration() -> None:
    found = classified(Run("r", answers=answers(["a", "b"], ["a", "b"], [0.9, math.nan])))
    assert found is not None and found.bins == ()


def test_the_majority_is_that_of_the_training_part() -> None:
    data = {"parts": {"train": {"classes": {"a": 9, "b": 1}}}}
    found = classified(Run("r", answers=answers(["a", "b", "b"], ["b", "b", "b"], [0.9] * 3), data=data))
    assert found is not None and found.majority == ("a", 1)


def test_the_model_is_compared_with_the_majority_row_by_row() -> None:
    """60 of 100 rows are of class a; the model is right on those and on 8 more: McNemar's exact test of 8 to 0."""
    targets = ["a"] * 60 + ["b"] * 40
    labels = ["a"] * 60 + ["b"] * 8 + ["a"] * 32
    found = classified(Run("r", answers=answers(targets, labels, [0.9] * 100)))
    assert found is not None
    assert found.duel() == (8, 0, pytest.approx(2 / 2**8))
    assert found.duel().verdict == "better"


@pytest.mark.parametrize(("gained", "lost"), [(0, 0), (5, 0), (3, 12), (31, 19), (900, 1013), (40_000, 39_000)])
def test_the_exact_test_is_that_of_scipy(gained: int, lost: int) -> None:
    found = Duel.of(gained, lost)
    expected = stats.binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
    assert found.p == pytest.approx(expected, rel=1e-6)
    assert found.verdict == ("open" if expected >= 0.05 else "better" if gained > lost else "worse")


def test_a_regression_is_compared_with_the_median_row_by_row() -> None:
    """The interval of the error alone overlaps with the median's error; the one of the differences is clear of zero."""
    rng = np.random.default_rng(0)
    said = 0.45 * rng.normal(size=100)
    truth = said + rng.normal(size=100)
    found = Regressed(truth, said)
    alone, paired = found.interval(), found.gain()
    assert alone is not None and alone.high > found.baseline
    gain = np.abs(truth - np.median(truth)) - np.abs(truth - said)
    assert paired == pytest.approx(stats.norm.interval(0.95, gain.mean(), stats.sem(gain)))
    assert paired is not None and paired.low > 0
    assert Regressed(truth[:1], truth[:1]).gain() is None


def test_classes_keep_the_order_of_the_task_and_one_never_answered_has_no_precision() -> None:
    found = classified(Run("r", answers=answers(["b"], ["a"], [0.9]), task={"labels": ["b", "a", "z"]}))
    assert found is not None and found.labels == ("b", "a", "z")
    scores = {each.label: each for each in found.per_class()}
    assert math.isnan(scores["z"].precision) and math.isnan(scores["z"].recall)
    assert found.confusions(5) == [("b", "a", 1)]


def test_a_regression_agrees_with_scikit_learn() -> None:
    rng = np.random.default_rng(1)
    truth, said = rng.normal(size=50), rng.normal(size=50)
    run = Run("r", answers=tuple(Answer("row", repr(float(t)), None, float(s), math.nan) for t, s in zip(truth, said, strict=True)))
    found = regressed(run)
    assert found is not None
    assert found.mae == pytest.approx(metrics.mean_absolute_error(truth, said))
    assert found.rmse == pytest.approx(metrics.root_mean_squared_error(truth, said))
    assert found.r2 == pytest.approx(metrics.r2_score(truth, said))
    interval = found.interval()
    assert interval is not None and interval.low < found.mae < interval.high


def test_one_row_and_constant_targets_have_no_interval_and_no_r2() -> None:
    found = regressed(Run("r", answers=(Answer("row", "1", None, 2.0, math.nan),)))
    assert found is not None and found.interval() is None and math.isnan(found.r2)
    tenths = np.full(3, 0.1)
    assert tenths.mean() != 0.1, "the mean is rounded, and distances from it are no spread"
    found = Regressed(tenths, np.array([0.1, 0.2, 0.3]))
    assert math.isnan(found.r2) and figures.predicted(found).alt == "Predicted against true values, 3 rows."


@pytest.mark.parametrize("weights", [None, "balanced"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_of_a_constant_answer_is_what_no_constant_betters(weights: Literal["balanced"] | None, smoothing: float) -> None:
    """The task's own loss, of every constant answer to 950 and 50 rows."""
    targets = ["a"] * 950 + ["b"] * 50
    task = Classify.fit(targets, class_weights=weights, label_smoothing=smoothing)
    odds = torch.linspace(-6, 6, 601, dtype=torch.float64)
    losses = [float(task.loss(torch.tensor([[0.0, each]]).double().expand(1000, 2), task.encode(targets))) for each in odds.tolist()]
    assert chance_loss(task.to_dict(), {"a": 950, "b": 50}) == pytest.approx(min(losses), abs=1e-4)


def test_the_loss_of_a_constant_answer_where_it_is_known() -> None:
    assert chance_loss({"task": "classify", "labels": ["a", "b"]}, {"a": 5, "b": 5}) == pytest.approx(math.log(2))
    assert chance_loss(Regress.fit([1.0, 2.0, 6.0]).to_dict(), {}) == 1, "the variance of standardised targets"
    assert chance_loss(Regress.fit([1.0, 2.0, 6.0], criterion="mae").to_dict(), {}) is None
    assert chance_loss({}, {}) is None, "a run that is still going on"
