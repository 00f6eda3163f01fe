"""Numbers as pages and terminals show them."""

from __future__ import annotations

import math

import pytest

from convrnn.core import numerals


@pytest.mark.parametrize(
    ("share", "places", "text"),
    [
        (0.9781, 1, "97.8"),
        (1.0, 1, "100.0"),
        (0.9999, 1, "> 99.9"),
        (0.999, 0, "> 99"),
        (0.0001, 1, "< 0.1"),
        (0.004, 0, "< 1"),
        (0.0, 1, "0.0"),
    ],
)
def test_percentages_never_round_to_all_or_nothing(share: float, places: int, text: str) -> None:
    assert numerals.percent(share, places) == f"{text}\u202f%"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.31, "0.3100"),
        (12.345, "12.35"),
        (1234567.8, "1.235e+06"),
        (-0.4198, "\u22120.4198"),
        (0.001234, "0.001234"),
        (1e-5, "1.000e\u221205"),
        (math.nan, numerals.NONE),
    ],
)
def test_measurements(value: float, text: str) -> None:
    assert numerals.decimal(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.00031, "0.31 ms"), (0.21, "0.21 s"), (41.3, "41 s"), (200, "3 min 20 s"), (7500, "2 h 05 min"), (3599.9, "1 h 00 min")],
)
def test_times(value: float, text: str) -> None:
    assert numerals.seconds(value).replace(numerals.THIN, " ") == text


@pytest.mark.parametrize(
    ("column", "places"),
    [
        ([0.8], 4),
        ([1.0, 0.2], 4),
        ([1.734, 0.8], 3),
        ([0.0338], 4),
        ([0.00338], 6),
        ([3.2e-5, 0.0], 8),
        ([-250.0, 3.0], 1),
        ([123456.0], 0),
        ([], 4),
        ([0.0], 4),
    ],
)
def test_a_column_has_the_places_of_its_largest(column: list[float], places: int) -> None:
    assert numerals.places(column) == places


def test_a_number_with_fixed_places() -> None:
    assert numerals.fixed(-1234.5678, 2) == "\u22121,234.57"


@pytest.mark.parametrize(("value", "text"), [(None, numerals.NONE), (True, "yes"), (1234, "1,234"), ("word", "word")])
def test_cells(value: object, text: str) -> None:
    assert numerals.cell(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.9312, "0.9312"),
        (1.0, "1.0000"),
        (1 + 1e-15, "1.0000"),
        (12.345, "12.35"),
        (1.7e-6, "0.000001700"),
        (0.0, "0.0000"),
        (math.nan, "nan"),
    ],
)
def test_a_metric_on_a_terminal(value: float, text: str) -> None:
    assert numerals.figure(value) == text
