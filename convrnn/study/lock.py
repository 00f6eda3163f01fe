"""One process at a time in a study. Knows nothing of what is in it.

The lock is the operating system's, on an open file: it goes with the processes that hold it, however they end, so none is ever stale.
Worker processes inherit it, so that a study is not begun again while one that outlived its parent by some milliseconds still writes.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from convrnn.core.errors import UsageError
from convrnn.core.language import tr

PATIENCE = 5.0
"""Seconds that a lock is waited for: workers of a study that was killed notice and end within them."""


@contextmanager
def locked(path: Path) -> Iterator[int]:
    """Inside, no other process is; gives the descriptor of the open file, which children may inherit.

    Raises:
        UsageError: another process is, and stays.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        end = time.monotonic() + PATIENCE
        while not _taken(descriptor):
            if time.monotonic() > end:
                raise UsageError(
                    str(path.parent), tr("another process is at work on this study"), tr("wait for it, or stop it and go on with --resume")
                )
            time.sleep(0.05)
        yield descriptor
    finally:
        os.close(descriptor)


if sys.platform == "win32":
    import msvcrt

    def _taken(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _taken(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
