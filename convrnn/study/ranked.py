"""Models over many sets: Friedman's test, the signed-rank test with its interval, Holm's correction, cliques. Knows arrays only.

The plan is that of Demsar 2006 (JMLR 7), with pairs tested one by one (Benavoli, Corani & Mangili 2016, JMLR 17): whether two models differ
then does not depend on which others were there. Sets are the sample; the conclusion is about sets like these.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class SignedRank:
    """Wilcoxon's signed-rank test of the differences of two models, one a set; exact, ties and zeros included.

    scipy's is exact up to 13 sets with ties and approximate beyond, where a Holm-corrected comparison looks: far out in the tail.
    """

    differences: tuple[float, ...]

    @property
    def difference(self) -> float:
        """The median of the means of any two differences (Hodges & Lehmann 1963), which is what the interval is around."""
        return float(np.median(self._walsh()))

    def p(self) -> float:
        """Two-sided. Differences of 0 take their ranks and then leave (Pratt 1959)."""
        d = np.array(self.differences)
        twice = np.rint(2 * stats.rankdata(np.abs(d))).astype(np.int64)  # tied ranks are halves: doubled, all are whole
        chances = _sums(tuple(sorted(twice[d != 0].tolist())))
        found = int(twice[d > 0].sum())
        return float(min(1.0, 2 * min(chances[: found + 1].sum(), chances[found:].sum())))

    def interval(self, level: float) -> tuple[float, float]:
        """Where the difference lies with this probability (Tukey's, of means of two); without end where so few sets cannot say."""
        count = len(self.differences)
        below = np.cumsum(_sums(tuple(range(2, 2 * count + 1, 2)))[::2])
        cut = int(np.searchsorted(below, (1 - level) / 2 * (1 + 1e-9), side="right"))
        walsh = self._walsh()
        return (float(walsh[cut - 1]), float(walsh[-cut])) if cut else (-math.inf, math.inf)

    def _walsh(self) -> Floats:
        d = np.array(self.differences)
        first, second = np.triu_indices(len(d))
        return np.sort((d[first] + d[second]) / 2)


@cache
def _sums(ranks: tuple[int, ...]) -> Floats:
    """The probability of each sum of those ranks whose sign is plus, each sign with a half."""
    chances = np.zeros(sum(ranks) + 1)
    chances[0] = 1.0
    for rank in ranks:
        chances[rank:] = (chances[rank:] + chances[: len(chances) - rank]) / 2
        chances[:rank] /= 2
    return chances


def least(pairs: int, sets: int) -> float:
    """The smallest Holm-corrected p that so many sets can give, whatever the models did."""
    return min(1.0, pairs * 2.0 ** (1 - sets))


class Corrected(NamedTuple):
    """Of one pair among all.

    Attributes:
        p: corrected.
        told: whether the pair differs, all pairs together being wrong in at most alpha of all studies.
        level: of the interval that leaves out 0 just when the pair is told apart.
    """

    p: float
    told: bool
    level: float


def holm(probabilities: Sequence[float], alpha: float, omnibus: float = 0.0) -> list[Corrected]:
    """Holm's correction (1979): the smallest of m against alpha / m, the next against alpha / (m - 1), until one fails.

    Args:
        probabilities: one a pair.
        alpha: of all pairs together.
        omnibus: p of a test that any differ at all; no pair is told apart where it is above alpha.
    """
    m, corrected, told = len(probabilities), omnibus, 0
    found: dict[int, Corrected] = {}
    for place, which in enumerate(sorted(range(m), key=probabilities.__getitem__)):
        corrected = max(corrected, min(1.0, (m - place) * probabilities[which]))
        told += corrected <= alpha
        tail = alpha / (m - min(place, told))
        if omnibus > alpha:  # as narrow as may be with 0 in every interval
            tail = min(tail, 0.999 * min(probabilities))
        found[which] = Corrected(corrected, corrected <= alpha, 1 - tail)
    return [found[which] for which in range(m)]


class Omnibus(NamedTuple):
    """Whether any model differs from any other: Friedman's chi squared (1937) and Iman & Davenport's F of it (1980), less cautious."""

    chi_squared: float
    p: float
    f: float
    f_p: float


def friedman(values: Floats) -> Omnibus:
    """Of values `[sets, models]`, at least two sets and three models, not all equal on every set."""
    sets, models = values.shape
    chi_squared, p = stats.friedmanchisquare(*values.T)
    rest = sets * (models - 1) - chi_squared
    f = (sets - 1) * chi_squared / rest if rest > 1e-9 else math.inf
    return Omnibus(float(chi_squared), float(p), float(f), float(stats.f.sf(f, models - 1, (models - 1) * (sets - 1))))


def ranks(values: Floats) -> Floats:
    """The average rank of each model, 1 the best, from values `[sets, models]` of which more is better; equals share their ranks."""
    return stats.rankdata(-values, axis=1).mean(axis=0)


def cliques(order: Sequence[int], told: NDArray[np.bool_]) -> list[tuple[int, ...]]:
    """The bars of a critical-difference diagram: longest runs of models, in this order, of which no two are told apart."""
    runs: list[tuple[int, ...]] = []
    for start in range(len(order)):
        end = start + 1
        while end < len(order) and not any(told[order[end], each] for each in order[start:end]):
            end += 1
        if end - start > 1 and not (runs and set(order[start:end]) <= set(runs[-1])):
            runs.append(tuple(order[start:end]))
    return runs
