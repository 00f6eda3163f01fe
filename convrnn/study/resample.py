"""How far a mean over seeds and test rows may be from what other seeds and rows would give. Knows arrays only.

Rows and seeds are drawn anew, each with replacement and independently (the pigeonhole bootstrap: Owen 2007, doi 10.1214/07-AOAS122, who
shows that it is a little too wide, never too narrow). Of K seeds K - 1 are drawn, which makes the variance of so few right (Rao & Wu 1988).
Percentiles, not BCa: with five seeds the acceleration of BCa is an estimate from five numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

DRAWS = 2000
_AT_ONCE = 250  # draws: 20 MB for a test part of 10,000 rows


def means(scores: Sequence[Floats], seed: int) -> Floats:
    """Means of scores drawn anew, `[models, DRAWS]`, from scores `[K, n]` of each model on one set; NaN for a model of one seed.

    The same rows are drawn for all models, whose scores are of the same rows; seeds are drawn for each.
    """
    random = np.random.default_rng(seed)
    found = np.full((len(scores), DRAWS), np.nan)
    n = scores[0].shape[1]
    for start in range(0, DRAWS, _AT_ONCE):
        rows = _counts(random, n, n)
        for model, each in enumerate(scores):
            k = len(each)
            if k > 1:
                drawn = (rows @ each.T) * _counts(random, k, k - 1)
                found[model, start : start + _AT_ONCE] = drawn.sum(axis=1) / (n * (k - 1))
    return found


def interval(draws: Floats, level: float = 0.95) -> tuple[float, float]:
    """The percentiles between which the share `level` of the draws lies."""
    low, high = np.quantile(draws, ((1 - level) / 2, (1 + level) / 2))
    return float(low), float(high)


def _counts(random: np.random.Generator, choices: int, size: int) -> Floats:
    """How often each of so many was drawn in `size` draws, `[_AT_ONCE, choices]`."""
    drawn = random.integers(choices, size=(_AT_ONCE, size)) + choices * np.arange(_AT_ONCE)[:, None]
    return np.bincount(drawn.ravel(), minlength=choices * _AT_ONCE).reshape(_AT_ONCE, choices).astype(np.float64)
