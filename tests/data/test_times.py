"""Dates in the forms that can be read one way, and their order."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pandas as pd
import pytest

from convrnn.data.times import is_time, moment

ORDERED = [
    "2023-12",
    date(2024, 1, 1),
    "2024-01-01 00:00:01",
    "2024-01-01T00:00:01.5",
    datetime(2024, 1, 1, 0, 0, 2),
    pd.Timestamp("2024-01-01 00:00:02.000000001"),
    "2024/1/1 3:04",
    "2024.01.02",
    "2024年1月3日",
    "2024年1月3日 4:05:06",
]
ZONED = ["2024-01-01T12:00:00+02:00", "2024-01-01T10:00:01Z", datetime(2024, 1, 1, 10, 0, 2, tzinfo=UTC), "2024-01-01 06:00:03-0500"]
SPANS = [timedelta(seconds=-1), pd.Timedelta("1ns"), timedelta(days=1)]


@pytest.mark.parametrize("cells", [ORDERED, ZONED, SPANS])
def test_order(cells: list[Any]) -> None:
    found = [moment(cell) for cell in cells]
    assert None not in found and sorted(set(found)) == found  # pyright: ignore[reportArgumentType]  (None is not among them)


@pytest.mark.parametrize(
    "cell",
    [
        "3/4/2024",
        "12:30:05",
        "2024-13-01",
        "2024-02-30",
        "2024",
        "1013.2",
        "2024.12",
        "soon",
        "2024-1-1 x",
        None,
        3.5,
        time(3),
        b"2024-01-01",
    ],
)
def test_what_can_be_read_two_ways_or_none(cell: Any) -> None:
    assert moment(cell) is None


@pytest.mark.parametrize("cell", [time(3), "12:30", "23:59:59.5", "2024-01-01", timedelta(1)])
def test_a_time_of_day_is_a_time_too(cell: Any) -> None:
    assert is_time(cell) and not is_time("12:30 o'clock") and not is_time(None)
