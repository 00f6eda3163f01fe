"""What holds for every test: one thread a process, and `--full` for the slow and thorough ones. Knows nothing of any room."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

# Before torch is imported, and inherited by every process that a test starts: the suite runs two workers on two cores.
os.environ["OMP_NUM_THREADS"] = "1"
# Whatever the locale of whoever runs them: the tests read English where they do not ask for Chinese.
os.environ["CONVRNN_LANG"] = "en"

import torch

ROOT = Path(__file__).resolve().parent.parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="run the slow and thorough tests too (make test-full)")


def pytest_configure(config: pytest.Config) -> None:
    torch.set_num_threads(1)
    # A script's background jobs ignore Ctrl-C, and what they start inherits that: tests of Ctrl-C would wait in vain.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if not config.getoption("--full"):
        # What torch keeps of a graph in case it traces the same again costs a third of the tracing; here all are traced once.
        os.environ.setdefault("TORCH_FAKE_TENSOR_DISPATCH_CACHE", "0")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without --full the tests marked so are deselected: a skip would look like something that could not run."""
    if config.getoption("--full"):
        return
    full = [item for item in items if item.get_closest_marker("full")]
    if full:
        config.hook.pytest_deselected(items=full)
        items[:] = [item for item in items if not item.get_closest_marker("full")]


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root folder."""
    return ROOT
