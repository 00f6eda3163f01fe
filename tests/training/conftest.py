"""Small trainings for every test of this room, and the server that forks trainings to be killed."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="session")
def made() -> ModuleType:
    """`made.py`: `made.series()` and `made.text()` give what `fit` takes."""
    spec = importlib.util.spec_from_file_location("tests_train_made", HERE / "made.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


class Forks:
    """Trainings in processes of their own."""

    def __init__(self, server: subprocess.Popen[str]) -> None:
        self._server = server

    def start(self, name: str, folder: Path, resume: bool, minutes: float | None = None) -> int:
        """Begins one; its process number."""
        assert self._server.stdin is not None
        how = "resume" if resume else "new"
        self._server.stdin.write(f"{name} {folder} {how} {'' if minutes is None else minutes}\n")
        self._server.stdin.flush()
        return self._answer()

    def wait(self) -> int:
        """The exit status of the one that runs; -9 if it was killed."""
        return self._answer()

    def _answer(self) -> int:
        assert self._server.stdout is not None
        return int(self._server.stdout.readline())


@pytest.fixture(scope="session")
def forks(root: Path) -> Iterator[Forks]:
    """See `Forks`."""
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, str(HERE / "made.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as server:
        yield Forks(server)
        assert server.stdin is not None
        server.stdin.close()
        assert server.wait(10) == 0


@pytest.fixture
def change() -> Callable[..., Any]:
    """Settings like others but for some fields."""

    def changed(settings: Any, **fields: object) -> Any:
        return type(settings).from_dict({**settings.to_dict(), **fields})

    return changed
