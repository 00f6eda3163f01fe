"""Dates, with or without the time of day -> numbers in order of time. Knows no table.

Only what can be read one way: ISO 8601, and year, month and day in this order with other marks between them. Day and month first (3/4/2024)
can be read two ways, 1013.2 is a number, and a time of day alone does not say on which side of midnight it is.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import Any, NamedTuple

_DATE = re.compile(
    r"(\d{4})(?:(?!\.\d+$)[-/.](\d{1,2})(?:[-/.](\d{1,2}))?|\s*年\s*(\d{1,2})\s*月(?:\s*(\d{1,2})\s*日)?)"
    r"(?:(?:\s*T\s*|\s+|(?<=日))(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9})\d*)?)?\s*(Z|[+-]\d{2}:?\d{2}|[+-]\d{2})?)?",
    re.IGNORECASE,
)
_CLOCK = re.compile(r"\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Moment(NamedTuple):
    """When something is.

    Attributes:
        zoned: whether it says its time zone; moments that do are in no order with those that do not.
        nanoseconds: since 1970; of a span of time, its length.
    """

    zoned: bool
    nanoseconds: int


def moment(cell: Any) -> Moment | None:
    """When a cell is: a date, a date and time, a span of time, or text; None: no such thing, or one that can be read two ways."""
    if isinstance(cell, str):
        return _of_text(cell.strip())
    if isinstance(cell, timedelta):
        return Moment(False, cell // _MICROSECOND * 1000 + getattr(cell, "nanoseconds", 0))
    if isinstance(cell, date) and not isinstance(cell, datetime):
        cell = datetime.combine(cell, time())
    if not isinstance(cell, datetime):
        return None
    zoned = cell.utcoffset() is not None
    since = (cell if zoned else cell.replace(tzinfo=UTC)) - _EPOCH
    # Time stamps of pandas have nanoseconds beyond the microseconds that Python counts.
    return Moment(zoned, since // _MICROSECOND * 1000 + getattr(cell, "nanosecond", 0))


def is_time(cell: Any) -> bool:
    """Whether a cell says when something is, if only the time of day, which has no place in an order of its own."""
    clock = isinstance(cell, time) or (isinstance(cell, str) and _CLOCK.fullmatch(cell.strip()) is not None)
    return clock or moment(cell) is not None


def _of_text(text: str) -> Moment | None:
    found = _DATE.fullmatch(text)
    if found is None:
        return None
    year, month, day, month_zh, day_zh, hour, minute, second, fraction, zone = found.groups()
    numbers = (year, month or month_zh, day or day_zh or 1, hour or 0, minute or 0, second or 0)
    try:
        whole = datetime(*map(int, numbers), tzinfo=_zone(zone))
    except ValueError:
        return None
    return Moment(zone is not None, (whole - _EPOCH) // _MICROSECOND * 1000 + int((fraction or "").ljust(9, "0")))


def _zone(text: str | None) -> timezone:
    if text is None or text.upper() == "Z":
        return UTC
    hours, minutes = int(text[1:3]), int(text[-2:]) if len(text) > 3 else 0
    offset = timedelta(hours=hours, minutes=minutes)
    return timezone(-offset if text[0] == "-" else offset)
