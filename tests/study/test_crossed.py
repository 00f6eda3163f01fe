"""Seeds crossed with rows: against scipy's t test, statsmodels' analysis of variance and McNemar's test, and against what was drawn."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm
from statsmodels.stats.contingency_tables import mcnemar

from convrnn.study import resample
from convrnn.study.crossed import Crossed


def test_without_rows_it_is_the_paired_t_test() -> None:
    random = np.random.default_rng(0)
    first, second = random.standard_normal((2, 5, 1)) + np.array([[[0.8]], [[0.0]]])
    found, expected = Crossed.of([first - second], [False]), stats.ttest_rel(first[:, 0], second[:, 0])
    assert found.p() == pytest.approx(expected.pvalue, rel=1e-9)
    assert found.interval(0.95) == pytest.approx(tuple(expected.confidence_interval(0.95)), rel=1e-9)


def test_the_variances_are_mean_squares_of_an_analysis_of_variance() -> None:
    """Of seeds and rows, from a two-way table; continuous scores, to which no row is added."""
    d = np.random.default_rng(1).standard_normal((4, 30))
    table = pd.DataFrame([(k, n, d[k, n]) for k in range(4) for n in range(30)], columns=["seed", "row", "d"])
    squares = anova_lm(ols("d ~ C(seed) + C(row)", table).fit())["mean_sq"]
    found = Crossed.of([d], [True])
    assert found.seeds == pytest.approx(squares["C(seed)"] / d.size, rel=1e-9)
    assert found.rows == pytest.approx(squares["C(row)"] / d.size, rel=1e-9)
    assert found.difference == found.centre == pytest.approx(d.mean(), rel=1e-12)
    assert found.freedom == pytest.approx(3)


@pytest.mark.parametrize("rows", range(1, 16))
def test_agreeing_seeds_are_as_cautious_as_mcnemar(rows: int) -> None:
    """All five seeds say the same: seeds vary nothing, and rows that one model alone has right are all that counts."""
    d = np.zeros((5, 100))
    d[:, :rows] = 1
    table: Any = mcnemar([[50, rows], [0, 50 - rows]], exact=True)
    exact, found = table.pvalue, Crossed.of([d], [True]).p()
    assert (found <= 0.05) == (exact <= 0.05)
    assert all(exact <= alpha for alpha in (0.01, 0.001, 0.0001) if found <= alpha)


def test_sets_are_averaged_with_satterthwaites_degrees_of_freedom() -> None:
    """Sets of equal variance add their degrees of freedom; one set that varies alone brings its own."""
    base = np.random.default_rng(2).standard_normal((5, 20))
    same = Crossed.of([base, base, base], [True] * 3)
    assert (same.freedom, same.seeds) == pytest.approx((12, Crossed.of([base], [True]).seeds / 3))
    assert Crossed.of([base, np.zeros((5, 20))], [True] * 2).freedom == pytest.approx(4)


def test_one_seed_tells_nothing() -> None:
    found = Crossed.of([np.ones((1, 200))], [True])
    assert (found.p(), found.interval(0.95)) == (1.0, (-math.inf, math.inf))


def test_one_test_row_tells_nothing_of_other_rows() -> None:
    """All five seeds of one model answer it, one of the other: what another row would say is not known."""
    assert Crossed.of([np.array([[1.0], [1.0], [1.0], [1.0], [0.0]])], [True]).p() > 0.5
    found = Crossed.of([np.array([[1.1], [1.0], [1.0], [0.9], [1.0]])], [True])
    assert (found.p(), found.interval(0.95)) == (1.0, (-math.inf, math.inf)), "an error, of which one row shows no variance"


@pytest.mark.parametrize("rows", [2, 4, 30])
def test_few_rows_are_a_sample_of_students(rows: int) -> None:
    """Trainings that agree: then rows alone are tested."""
    by_row = np.random.default_rng(6).standard_normal(rows) + 0.5
    found = Crossed.of([by_row[None].repeat(5, axis=0)], [True])
    expected: Any = stats.ttest_1samp(by_row, 0.0)
    assert found.p() == pytest.approx(expected.pvalue, rel=1e-9)
    assert found.interval(0.95) == pytest.approx(tuple(expected.confidence_interval(0.95)), rel=1e-9)


def test_no_variance_tells_nothing() -> None:
    """Five equal differences of which no rows are known: a metric that is coarse, not a model that is better."""
    found = Crossed.of([np.full((5, 1), 0.025)], [False])
    assert (found.p(), found.interval(0.95)) == (1.0, (-math.inf, math.inf))


@pytest.mark.parametrize("level", [0.9, 0.95, 0.999])
def test_interval_and_p_agree(level: float) -> None:
    """The interval leaves out 0 just where p is below what the level leaves."""
    for seed in range(20):
        random = np.random.default_rng(seed)
        d = random.integers(-1, 2, (5, 60)) * (random.random((5, 60)) < 0.3) + (random.random((5, 60)) < 0.06)
        found = Crossed.of([np.clip(d, -1.0, 1.0).astype(np.float64)], [True])
        low, high = found.interval(level)
        assert (low > 0 or high < 0) == (found.p() <= 1 - level)


def test_a_difference_beyond_all_doubt_has_a_p() -> None:
    d = 5.0 + 1e-9 * np.random.default_rng(3).standard_normal((30, 2000))
    assert 0 < Crossed.of([d], [True]).p() < 1e-60


def test_the_bootstrap_is_as_wide_as_seeds_and_rows_make_the_mean() -> None:
    """From models whose variance is known; drawing K of K seeds would be too narrow, seeds or rows alone by more."""
    random = np.random.default_rng(4)
    k, n, of_seed, of_row, of_both = 5, 80, 0.05, 0.5, 0.3
    scores = [
        of_seed * random.standard_normal((k, 1)) + of_row * random.standard_normal((1, n)) + of_both * random.standard_normal((k, n))
        for _ in range(150)
    ]
    found = np.mean([resample.means([each], 1).var() for each in scores])
    true = of_seed**2 / k + of_row**2 / n + of_both**2 / (k * n)
    assert found == pytest.approx(true + 2 * of_both**2 / (k * n), rel=0.15), "Owen's bound: what is of both counts up to three times"


def test_the_bootstrap_draws_the_same_rows_for_all_models() -> None:
    scores = np.random.default_rng(5).random((1, 40)).repeat(3, axis=0)
    first, second = resample.means([scores, scores + 0.25], 1)
    np.testing.assert_allclose(second - first, 0.25, atol=1e-12)


def test_one_seed_has_no_interval() -> None:
    assert np.isnan(resample.means([np.ones((1, 9))], 1)).all()
