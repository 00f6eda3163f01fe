"""Which learning rates are tried, and which is taken: by validation figures alone. Knows no training.

Every arm has the same number of trials on a set, all with one seed that is none of those that count. Bergstra & Bengio (2012, JMLR 13)
search on a log scale; Lucic et al. (2018, arXiv 1711.10337) show what comparing models tuned unequally is worth.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from typing import Literal, NamedTuple

STEP = 10**0.5
"""Between neighbours of the grid: half a decade."""


class Trial(NamedTuple):
    """What became of one.

    Attributes:
        rate: the learning rate.
        value: the validation metric; None: the training failed.
        loss: the validation loss, which decides among equal metrics.
    """

    rate: float
    value: float | None
    loss: float | None


def rates(recommended: float, trials: int) -> list[float]:
    """The rate that the model recommends, then its neighbours on a log grid, the nearest first and the lower one before the higher.

    Example:
        >>> [round(rate, 6) for rate in rates(1e-3, 5)]
        [0.001, 0.000316, 0.003162, 0.0001, 0.01]
    """
    steps = ((n + 1) // 2 * (-1 if n % 2 else 1) for n in range(trials))
    return [float(f"{recommended * STEP**step:.6g}") for step in steps]


def best(trials: Sequence[Trial], better: Literal["higher", "lower"]) -> Trial | None:
    """The trial to take: the best metric, then the lowest loss, then the rate nearest to the first; None: every one failed."""
    sign = -1 if better == "higher" else 1
    done = [(sign * each.value, each.loss, abs(log(each.rate / trials[0].rate)), each) for each in trials if each.value is not None]
    return min(done, key=lambda found: found[:3])[3] if done else None
