"""Models over many sets: Friedman's test, the signed-rank test with its interval, Holm's correction, cliques. Knows arrays only.

The plan is that of Demsar 2006 (JMLR 7), with pairs tested one by one (Benavoli, Corani & Mangili 2016, JMLR 17): whether two models differ
then does not depend on which others were there. Sets are the sample; the conclusion is about sets like these.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
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
        """The median of the means of any two differences (Hodges & Lehmann 1963); 0 where most sets tie, whatever the others say."""
        return float(np.median(self._means())) / self._scale

    @property
    def leaning(self) -> int:
        """Which way the ranks lean: above 0 where those of the sets on which the first model is ahead have the larger sum."""
        means = self._means()
        return int((means > 0).sum()) - int((means < 0).sum())

    def p(self) -> float:
        """Two-sided. Differences of 0 take their ranks and then leave (Pratt 1959)."""
        return min(1.0, 2 * min(self._tails(0)))

    def interval(self, level: float) -> tuple[float, float]:
        """The differences that this very test does not reject; without end where so few sets cannot say.

        Without ties that is Tukey's interval. Where many sets tie, it may end at 0 though the test rejects 0: it is open there.
        """
        tail = (1 - level) / 2 * (1 + 1e-9)
        places = np.union1d(self._means(), 0)
        # No rank and no sign changes between two places, so that one difference between them stands for all.
        tested = np.empty(2 * len(places) + 1, np.int64)
        tested[1::2], tested[2:-1:2] = places, (places[:-1] + places[1:]) // 2
        tested[0], tested[-1] = places[0] - 1, places[-1] + 1
        ends = np.concatenate([[-math.inf], places / self._scale, [math.inf]])
        first = self._first(tested, lambda at: self._tails(at)[1] > tail)
        last = self._first(tested, lambda at: self._tails(at)[0] <= tail) - 1
        return float(ends[(first + 1) // 2]), float(ends[last // 2 + 1])

    @staticmethod
    def _first(tested: NDArray[np.int64], holds: Callable[[int], bool]) -> int:
        """The first place from which on a condition holds. It is asked at 0 to begin with, so that interval and p agree."""
        low, high, at = 0, len(tested), int(np.searchsorted(tested, 0))
        while low < high:
            low, high = (low, at) if holds(int(tested[at])) else (at + 1, high)
            at = (low + high) // 2
        return low

    def _tails(self, shift: int) -> tuple[float, float]:
        """How likely so small and so large a sum of positive ranks is, were `shift` units the true difference."""
        moved = self._whole() - shift
        twice = np.rint(2 * stats.rankdata(np.abs(moved))).astype(np.int64)  # tied ranks are halves: doubled, all are whole
        chances = _sums(tuple(sorted(twice[moved != 0].tolist())))
        found = int(twice[moved > 0].sum())
        return float(chances[: found + 1].sum()), float(chances[found:].sum())

    @property
    def _scale(self) -> float:
        """Units in 1: a unit is a quarter of what is told from nothing, so that equal means are equal numbers and have one between them."""
        largest = max(map(abs, self.differences), default=0.0)
        return 4e12 / 10.0 ** max(0, math.ceil(math.log10(largest)) if largest else 0)

    def _whole(self) -> NDArray[np.int64]:
        """The differences in units, whole and multiples of 4."""
        return 4 * np.rint(np.array(self.differences) * (self._scale / 4)).astype(np.int64)

    def _means(self) -> NDArray[np.int64]:
        """The mean of any two differences, one and itself too (Walsh 1949), in units."""
        d = self._whole()
        first, second = np.triu_indices(len(d))
        return (d[first] + d[second]) // 2


@lru_cache(maxsize=1024)
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
        level: of the interval that has 0 inside just when the pair is not told apart.
    """

    p: float
    told: bool
    level: float


def holm(probabilities: Sequence[float], alpha: float, gates: Sequence[float] | None = None) -> list[Corrected]:
    """Holm's correction (1979): the smallest of m against alpha / m, the next against alpha / (m - 1), until one fails.

    Args:
        probabilities: one a pair.
        alpha: of all pairs together.
        gates: for each pair the p of a test that any model differs at all, where one was made of models that these two are among, else
            0; no pair is told apart whose gate is above alpha.
    """
    m, corrected, told = len(probabilities), 0.0, 0
    gates = gates or [0.0] * m
    found: dict[int, Corrected] = {}
    for place, which in enumerate(sorted(range(m), key=lambda pair: (gates[pair] > alpha, probabilities[pair]))):
        p, gate = probabilities[which], gates[which]
        corrected = max(corrected, min(1.0, (m - place) * p))
        told += max(corrected, gate) <= alpha
        tail = alpha / (m - min(place, told))
        if gate > alpha:  # as narrow as may be with 0 inside
            tail = min(tail, 0.999 * p)
        found[which] = Corrected(max(corrected, gate), max(corrected, gate) <= alpha, 1 - tail)
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
