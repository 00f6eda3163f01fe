"""One process at a time: who waits, who is refused, and what is left behind."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from convrnn.core import lock
from convrnn.core.errors import UsageError


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "PATIENCE", 0.1)


@pytest.mark.parametrize("brief", [False, True])
def test_the_second_is_refused_until_the_first_is_over(tmp_path: Path, brief: bool) -> None:
    with lock.locked(tmp_path, brief):
        with pytest.raises(UsageError, match="another process is at work in this folder"), lock.locked(tmp_path, brief):
            pass
        assert (tmp_path / ".lock").exists()
    assert (tmp_path / ".lock").exists() is not brief
    with lock.locked(tmp_path, brief):
        pass


def test_a_lock_on_a_file_that_was_taken_away_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first goes, and with it the file that the second has opened; a third makes a new one: one of the two only may have it."""
    locks, calls = lock._locks, []

    def gone(descriptor: int) -> bool:
        calls.append(descriptor)
        if len(calls) == 1:
            (tmp_path / ".lock").unlink()
        return locks(descriptor)

    monkeypatch.setattr(lock, "_locks", gone)
    with lock.locked(tmp_path, True) as descriptor:
        assert len(calls) == 2 and os.path.samestat(os.fstat(descriptor), (tmp_path / ".lock").stat())


def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(descriptor: int, operation: int) -> None:
        raise OSError(said, "no")

    monkeypatch.setattr(lock.fcntl, "flock", flock)
    said = errno.ENOLCK
    with lock.locked(tmp_path, True):
        assert (tmp_path / ".lock").exists()
    said, opened = errno.EIO, len(os.listdir("/dev/fd"))
    with pytest.raises(OSError, match="no"), lock.locked(tmp_path):
        pass
    assert len(os.listdir("/dev/fd")) == opened
