"""The tests over sets against scipy and statsmodels on the same numbers, and against plain enumeration where those only approximate."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.anova import AnovaRM
from statsmodels.stats.multitest import multipletests

from convrnn.study import ranked
from convrnn.study.ranked import SignedRank, holm


def wilcoxon(d: np.ndarray) -> float:
    """p of scipy's exact test."""
    found: Any = stats.wilcoxon(d, method="exact")
    return found.pvalue


def drawn(seed: int, count: int, shift: float = 0.3) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(count) + shift


@pytest.mark.parametrize("count", [2, 6, 10, 17, 40])
def test_signed_rank_is_that_of_scipy(count: int) -> None:
    d = drawn(count, count)
    assert SignedRank(tuple(d)).p() == pytest.approx(wilcoxon(d), rel=1e-12)


@pytest.mark.parametrize("d", [(0.1, 0.1, -0.2, 0.3, 0.3, 0.0), (0.0, 0.0, 0.2, 0.2), (0.1, -0.1, 0.1, 0.1, 0.0, 0.5, 0.2)])
def test_ties_and_zeros_are_enumerated(d: tuple[float, ...]) -> None:
    """All signs of the differences that are not 0, one by one: what scipy's permutation method does with Pratt's ranks."""
    ranks = stats.rankdata(np.abs(d))
    kept = [rank for rank, each in zip(ranks, d, strict=True) if each]
    found = sum(rank for rank, each in zip(ranks, d, strict=True) if each > 0)
    sums = [sum(rank for rank, plus in zip(kept, signs, strict=True) if plus) for signs in itertools.product((0, 1), repeat=len(kept))]
    low, high = np.mean(np.array(sums) <= found), np.mean(np.array(sums) >= found)
    assert SignedRank(d).p() == pytest.approx(min(1.0, 2 * min(low, high)), rel=1e-12)


def test_equal_models_are_equal() -> None:
    assert SignedRank((0.0,) * 12).p() == 1.0


@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_the_interval_is_where_the_test_does_not_reject(level: float) -> None:
    """Moving all differences by just less or more than an end turns the verdict of scipy's test."""
    d = drawn(3, 12)
    low, high = SignedRank(tuple(d)).interval(level)
    for end, inwards in ((low, 1e-9), (high, -1e-9)):
        assert wilcoxon(d - end - inwards) > 1 - level
        assert wilcoxon(d - end + inwards) <= 1 - level
    assert low < SignedRank(tuple(d)).difference < high


def tied(seed: int, count: int, zeros: float) -> np.ndarray:
    """Differences of accuracies of two places, many of them equal or 0."""
    random = np.random.default_rng(seed)
    return np.round(random.normal(0.015, 0.03, count), 2) * (random.random(count) >= zeros)


@pytest.mark.parametrize("zeros", [0.0, 0.3, 0.65])
@pytest.mark.parametrize("seed", range(8))
def test_with_ties_the_interval_is_still_where_the_test_does_not_reject(seed: int, zeros: float) -> None:
    """Asked at each place where a rank or a sign changes, and between each two."""
    d, level = tied(seed, 17, zeros), 0.95
    low, high = SignedRank(tuple(d)).interval(level)
    ends = np.unique(np.round([(a + b) / 2 for a in d for b in d], 9))
    for shift in np.union1d(ends, (ends[:-1] + ends[1:]) / 2):
        rejected = SignedRank(tuple(np.round(d - shift, 9))).p() <= 1 - level
        assert rejected == (not low < shift < high) or shift in np.round([low, high], 9), "either end may be open"
    assert SignedRank(tuple(d)).p() > 1 - level or not low < 0 < high


def test_ranks_lean_to_who_is_ahead_though_most_sets_tie() -> None:
    d = SignedRank((0.0,) * 15 + (-0.02,) * 3 + (-0.04,) * 3)
    assert d.p() == 2 / 2**6 and d.leaning < 0
    assert d.difference == 0 and d.interval(0.95) == (-0.02, 0.0), "open at 0"
    assert SignedRank(tuple(-each for each in d.differences)).leaning > 0


@pytest.mark.parametrize("factor", [1e-6, 1e3, 1e9])
def test_the_unit_of_the_differences_does_not_matter(factor: float) -> None:
    d = tied(1, 17, 0.3)
    one, other = SignedRank(tuple(d)), SignedRank(tuple(d * factor))
    assert other.p() == one.p()
    assert (other.difference, *other.interval(0.9)) == pytest.approx([factor * each for each in (one.difference, *one.interval(0.9))])


def test_five_sets_have_no_interval_of_95_percent() -> None:
    assert SignedRank((0.1, 0.2, 0.3, 0.4, 0.5)).interval(0.95) == (-np.inf, np.inf)
    assert SignedRank((0.1, 0.2, 0.3, 0.4, 0.5, 0.6)).interval(0.95) == (0.1, 0.6)


def test_the_least_p_is_reached() -> None:
    d = tuple(np.arange(1.0, 11.0))
    assert ranked.least(1, 10) == SignedRank(d).p() == 2 / 1024
    assert ranked.least(78, 10) > 0.05 > ranked.least(78, 12)


@pytest.mark.parametrize("seed", range(5))
def test_holm_is_that_of_statsmodels(seed: int) -> None:
    p = np.random.default_rng(seed).random(20) ** 4
    corrected: Any = multipletests(p, alpha=0.05, method="holm")
    expected_told, expected_p, *_ = corrected
    found = holm(p.tolist(), 0.05)
    np.testing.assert_allclose([each.p for each in found], expected_p, rtol=1e-12)
    assert [each.told for each in found] == expected_told.tolist()
    assert [each.told for each in found] == [own <= 1 - each.level for own, each in zip(p, found, strict=True)], (
        "interval and verdict agree"
    )


def test_no_pair_is_told_apart_where_the_omnibus_test_sees_nothing() -> None:
    found = holm([1e-6, 0.3, 0.9], 0.05, [0.2] * 3)
    assert not any(each.told for each in found)
    assert [each.p for each in found] == [0.2, 0.6, 0.9]
    assert 1 - found[0].level < 1e-6, "its interval holds 0"


def test_a_pair_that_was_not_in_the_omnibus_test_needs_not_pass_it() -> None:
    found = holm([1e-6, 0.001, 0.9], 0.05, [0.2, 0.0, 0.2])
    assert [each.told for each in found] == [False, True, False]
    assert found[1].p == pytest.approx(0.003), "of three pairs"
    assert [1 - each.level < p for p, each in zip([1e-6, 0.001, 0.9], found, strict=True)] == [True, False, True]


@pytest.mark.parametrize("ties", [False, True])
def test_friedman_is_that_of_scipy_and_its_f_an_analysis_of_variance_of_ranks(ties: bool) -> None:
    values = np.random.default_rng(4).standard_normal((9, 5)) + np.arange(5) * 0.3
    values = np.round(values, 0 if ties else 9)
    found = ranked.friedman(values)
    expected = stats.friedmanchisquare(*values.T)
    assert (found.chi_squared, found.p) == pytest.approx((expected.statistic, expected.pvalue), rel=1e-12)
    ranks = stats.rankdata(-values, axis=1)
    table = pd.DataFrame([(row, column, ranks[row, column]) for row in range(9) for column in range(5)], columns=["set", "model", "rank"])
    anova = AnovaRM(table, "rank", "set", within=["model"]).fit().anova_table
    assert (found.f, found.f_p) == pytest.approx((anova["F Value"].iloc[0], anova["Pr > F"].iloc[0]), rel=1e-9)


def test_ranks_share_what_is_equal() -> None:
    np.testing.assert_allclose(ranked.ranks(np.array([[0.9, 0.9, 0.1], [0.3, 0.2, 0.1]])), [1.25, 1.75, 3.0])


def test_cliques_are_the_longest_runs_of_which_no_two_differ() -> None:
    told = np.zeros((5, 5), dtype=bool)
    for i, j in ((0, 3), (0, 4), (1, 4)):
        told[i, j] = told[j, i] = True
    assert ranked.cliques(range(5), told) == [(0, 1, 2), (1, 2, 3), (2, 3, 4)]
    assert ranked.cliques(range(5), ~np.eye(5, dtype=bool)) == []
    assert ranked.cliques(range(5), np.zeros((5, 5), dtype=bool)) == [(0, 1, 2, 3, 4)]
