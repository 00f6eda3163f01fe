"""Every zoo entry against every law."""

from __future__ import annotations

import pytest

from convrnn import zoo
from convrnn.testing import laws, laws_export
from convrnn.testing.laws import Case
from convrnn.testing.zoo_cases import zoo_cases

CASES = zoo_cases()
EXPORTED = ("zoo-crnn-image", "zoo-parallel-cnn-lstm-series", "zoo-text-cnn-text")
"""A second or two each: the others are exported with --full."""

DEEP = ("zoo-inception-time-series", "zoo-inception-time-text", "zoo-resnet-series")
"""Finite differences through all their layers take seconds each: with --full."""


def pairs() -> list[object]:
    slow = {(case.name, "export") for case in CASES if case.name not in EXPORTED}
    slow |= {(case.name, law) for case in CASES if case.name in DEEP for law in ("gradcheck", "gradcheck:train")}
    slow |= {(case.name, law) for case in CASES for law in laws_export.COSTLY if law not in case.exempt}
    return [
        pytest.param(case, law, id=f"{case.name}-{law}", marks=pytest.mark.full if (case.name, law) in slow else ())
        for case in CASES
        for law in laws.law_names(costly=True)
    ]


@pytest.mark.parametrize(("case", "law"), pairs())
def test_law(case: Case, law: str) -> None:
    verdict = laws.check(case, law, range(2) if law.partition(":")[0] in laws.RANDOM else range(1))
    if verdict.outcome == "skip":
        pytest.skip(verdict.reason)
    assert verdict.outcome == ("exempt" if law in case.exempt else "pass"), f"{case.name}: {law}: {verdict.reason}"


def test_every_entry_is_a_case() -> None:
    for name in zoo.names():
        assert any(case.name.startswith(f"zoo-{name}-") for case in CASES), name
    assert {*EXPORTED, *DEEP} <= {case.name for case in CASES}
