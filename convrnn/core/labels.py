"""Labels of classes as texts, and their order. Knows no data, no task and no tensor."""

from __future__ import annotations

import math
from collections.abc import Iterable


def label(target: str | int | float) -> str:
    """A target as a label: whole numbers without a decimal point, so that 1, 1.0 and "1" are one label."""
    if isinstance(target, float) and target.is_integer():
        return str(int(target))
    return str(target)


def to_number(target: str | int | float) -> float | None:
    """A target as a finite number, or None."""
    try:
        number = float(target)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def in_order(labels: Iterable[str]) -> tuple[str, ...]:
    """The different labels: in order of their numbers if all are numbers, so that "10" follows "9"; else of their text."""
    distinct = set(labels)
    numbers = {text: to_number(text) for text in distinct}
    if all(number is not None for number in numbers.values()):
        return tuple(sorted(distinct, key=lambda text: (numbers[text], text)))
    return tuple(sorted(distinct))
