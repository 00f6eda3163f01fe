"""Two models on the same sets: what seeds and test rows together allow to say of their difference. Knows arrays; no file, no name.

A model is trained with K seeds, and every training answers the same n test rows: seeds and rows are crossed, as readers and cases are in
radiology (Dorfman, Berbaum & Metz 1992; Hillis 2007, doi 10.1002/sim.2532). Both are samples. Seeds alone would call a model better that
another test part would call worse; rows alone (McNemar 1947) would call two trainings of one model different.

The conclusion is about *these* sets, other seeds and other rows. What is true of other sets: `ranked.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtri, stdtrit

Floats = NDArray[np.float64]

LEAST = 1e-100
"""The smallest probability that is told from nothing."""

FEW = 4.0
"""Degrees of freedom of the seeds below which a small variance between them may be luck: see `Crossed.weight`."""


@dataclass(frozen=True)
class Crossed:
    """The mean difference of two models over sets, and the variance of that mean, seeds and rows apart.

    Attributes:
        difference: its mean over sets; above 0 the first model is ahead.
        centre: the same, drawn to 0 by the two rows that `of` adds where answers are right or wrong; intervals are around it.
        seeds: variance of the mean that comes from the seeds; NaN where a set has one seed.
        freedom: degrees of freedom of `seeds` (Satterthwaite 1946).
        rows: variance of the mean that comes from the test rows; 0 where single answers are not known.
    """

    difference: float
    centre: float
    seeds: float
    freedom: float
    rows: float

    @classmethod
    def of(cls, differences: Sequence[Floats]) -> Self:
        """From the differences in score: one `[K, n]` a set, K seeds and n rows; `[K, 1]` where single answers are not known."""
        means, centres, seeds, rows, squares = [], [], [], [], []
        for d_KN in differences:
            k = len(d_KN)
            means.append(d_KN.mean())
            d_KN = _with_one_row_for_each(d_KN)
            centres.append(d_KN.mean())
            seeds.append(d_KN.mean(axis=1).var(ddof=1) / k if k > 1 else math.nan)
            squares.append(seeds[-1] ** 2 / (k - 1) if k > 1 else math.nan)
            n = d_KN.shape[1]
            rows.append(d_KN.mean(axis=0).var(ddof=1) / n if n > 1 else 0.0)
        count = len(differences)
        freedom = sum(seeds) ** 2 / sum(squares) if sum(squares) else math.inf
        return cls(
            float(np.mean(means)), float(np.mean(centres)), float(sum(seeds)) / count**2, float(freedom), float(sum(rows)) / count**2
        )

    @property
    def error(self) -> float:
        """The standard error. The share of seed and row together is in both terms: too large rather than too small."""
        return math.sqrt(self.seeds + self.rows)

    @property
    def weight(self) -> float:
        """How much of the quantile is Student's, the rest being the normal one (Cochran & Cox 1957, section 4.14).

        Satterthwaite's degrees of freedom for the sum would be many when the variance between five seeds happens to be small, which is
        when it is underestimated: of ten equal models one was declared better in 6 to 19 of 100 studies. Below `FEW` all is Student's.
        """
        return 1.0 if self.freedom < FEW else self.seeds / (self.seeds + self.rows)

    def p(self) -> float:
        """Two-sided probability of such a difference between equal models; 1 where seeds or variance are missing."""
        if not self.error > 0:
            return 1.0
        statistic = abs(self.centre) / self.error
        if not 0 < statistic < self._quantile(LEAST):
            return LEAST if statistic else 1.0
        found = brentq(lambda log: self._quantile(math.exp(log)) - statistic, math.log(LEAST), math.log(0.5), full_output=True)
        return 2 * math.exp(found[0])

    def interval(self, level: float) -> tuple[float, float]:
        """Where the difference lies with this probability; without end where seeds or variance are missing."""
        if not self.error > 0:
            return -math.inf, math.inf
        reach = self._quantile((1 - level) / 2) * self.error
        return self.centre - reach, self.centre + reach

    def _quantile(self, tail: float) -> float:
        """What a difference between equal models, in standard errors, exceeds with the probability `tail`."""
        normal = -float(ndtri(tail))
        return normal if math.isinf(self.freedom) else self.weight * -float(stdtrit(self.freedom, tail)) + (1 - self.weight) * normal


def _with_one_row_for_each(d_KN: Floats) -> Floats:
    """Of right and wrong answers: two more rows, one that each model alone gets right (Bonett & Price 2012, doi 10.3102/1076998611411915).

    Without them the normal quantile would call 4 rows to 0 a proof (p = 0.046, exactly 0.125); with them it does not (0.10).
    """
    if d_KN.shape[1] == 1 or not np.isin(d_KN, (-1.0, 0.0, 1.0)).all():
        return d_KN
    one = np.ones((len(d_KN), 1))
    return np.concatenate([d_KN, one, -one], axis=1)
