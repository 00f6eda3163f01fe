"""A width for a number of parameters. Knows no model: it is handed a function that counts."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

WITHIN = 0.05
"""How far from the budget a model may be, as a share of it."""

WIDEST = 2**16


class Solved(NamedTuple):
    """A width and the parameters of a model of that width."""

    width: int
    parameters: int


def solve(count: Callable[[int], int], budget: int) -> Solved:
    """The width whose number of parameters is nearest to the budget.

    Args:
        count: parameters of the whole model, head and embedding included, at a width; they must not fall as it grows.
        budget: parameters wanted.

    Example:
        >>> solve(lambda width: 4 * width * (width + 3), 1_000)
        Solved(width=14, parameters=952)
    """
    known = cache(count)
    low, high = 1, 1
    while known(high) < budget and high < WIDEST:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if known(middle) < budget else (low, middle)
    width = min((low, high), key=lambda each: abs(known(each) - budget))
    return Solved(width, known(width))


def meets(parameters: int, budget: int) -> bool:
    """Whether it is within 5 % of the budget."""
    return abs(parameters - budget) <= WITHIN * budget
