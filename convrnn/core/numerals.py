"""Numbers as a reader wants them. Knows only numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable

from convrnn.core.language import tr

MINUS = "\u2212"
NONE = "\u2013"  # an en dash: there is no such number
THIN = "\u202f"  # narrow space that does not break


def percent(share: float, places: int = 1) -> str:
    """0.9781 -> 97.8 %; what is not quite all is never written 100 %, what is not quite nothing never 0 %."""
    if not math.isfinite(share):
        return NONE
    text, least = f"{share * 100:.{places}f}", 10.0**-places
    if share < 1 and float(text) == 100:
        text = f"> {100 - least:.{places}f}"
    elif share > 0 and float(text) == 0:
        text = f"< {least:.{places}f}"
    return tr("{number}\u202f%", number=text)


def count(number: float) -> str:
    """121930 -> 121,930."""
    return f"{number:,.0f}"


def frames(number: int) -> str:
    """1 frame, 1,344 frames."""
    return tr("1 frame") if number == 1 else tr("{count:,} frames", count=number)


def decimal(value: float) -> str:
    """A measurement: four significant digits and as many places at most (more below 0.01), no exponent where plain figures do."""
    if not math.isfinite(value):
        return NONE if math.isnan(value) else tr("infinite")
    if value == 0 or 1e-3 <= abs(value) < 1e6:
        places = 3 - math.floor(math.log10(abs(value))) if value else 0
        return f"{value:,.{max(0, places if abs(value) < 0.01 else min(places, 4))}f}".replace("-", MINUS)
    return f"{value:.3e}".replace("-", MINUS)


def places(values: Iterable[float], digits: int = 4) -> int:
    """Decimal places for a column of numbers: so many, or as many as give the largest so many digits where it is above 1 or below 0.01."""
    largest = max((abs(value) for value in values if math.isfinite(value)), default=0.0) or 1.0
    largest = round(largest, digits) or largest  # a sum of shares may be 1 and a rounding error
    return digits if 0.01 <= largest <= 1 else max(0, digits - math.ceil(math.log10(largest)))


def fixed(value: float, at: int) -> str:
    """A number with so many decimal places."""
    return f"{value:,.{at}f}".replace("-", MINUS)


def figure(value: float) -> str:
    """A metric as a terminal shows it: 0.9312, 12.35, 0.000001664; `nan` is said."""
    return fixed(value, places([value]))


def cell(value: object) -> str:
    """Anything of a record in a table: a whole number with commas, a measurement, a word; a dash for nothing."""
    if value is None or value == "":
        return NONE
    if isinstance(value, bool):
        return tr("yes") if value else tr("no")
    if isinstance(value, int):
        return count(value)
    return decimal(value) if isinstance(value, float) else str(value)


def seconds(value: float) -> str:
    """A time: 0.31 ms, 0.21 s, 41 s, 3 min 20 s, 2 h 05 min."""
    if value < 0.1:
        return f"{value * 1000:.2g}{THIN}ms"
    if value < 10:
        return f"{value:.2g}{THIN}s"
    if value < 120:
        return f"{value:.0f}{THIN}s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return tr("{minutes}\u202fmin {rest:02d}\u202fs", minutes=minutes, rest=rest)
    return tr("{hours}\u202fh {minutes:02d}\u202fmin", hours=minutes // 60, minutes=minutes % 60)
