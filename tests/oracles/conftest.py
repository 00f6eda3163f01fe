"""Every oracle answers in two precisions and keeps a ledger, printed as one table when the session ends. Knows no peer."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from tests.oracles.ledger import ALLOWED, Entry, Ledger, table

Versus = Callable[[str, str], Ledger]
"""`versus(peer, what)`: the ledger page of one comparison."""


@pytest.fixture(params=list(ALLOWED), ids=lambda dtype: str(dtype).removeprefix("torch."))
def dtype(request: pytest.FixtureRequest) -> torch.dtype:
    """float64, then float32."""
    return request.param


@pytest.fixture
def versus(request: pytest.FixtureRequest) -> Versus:
    """Differences travel in the report of the test, so that they survive the workers of pytest-xdist."""

    def record(entry: Entry) -> None:
        request.node.user_properties.append(("difference", tuple(entry)))

    return lambda peer, what: Ledger(peer, what, record)


@pytest.fixture
def documented(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Keeps a line on a difference that is meant, for the list at the end."""
    return lambda line: request.node.user_properties.append(("documented", line))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [report for outcome in ("passed", "failed") for report in terminalreporter.stats.get(outcome, [])]
    entries = [Entry(*value) for report in reports for name, value in report.user_properties if name == "difference"]
    if entries:
        terminalreporter.section("largest differences, relative to the largest magnitude of the peer's answer")
        for line in table(entries):
            terminalreporter.write_line(line)
    lines = [value for report in reports for name, value in report.user_properties if name == "documented"]
    if lines:
        terminalreporter.section("differences that are meant, each shown by a witness")
        for line in sorted(lines):
            terminalreporter.write_line(line)
