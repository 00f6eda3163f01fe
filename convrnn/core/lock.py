"""One process at a time in a folder. Knows nothing of what is in it.

The lock is the operating system's, on an open file: it goes with the processes that hold it, however they end, so none is ever stale.
Child processes may inherit it: the workers of a study do, so that it is not begun again while one that outlived its parent by some
milliseconds still writes.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from convrnn.core.errors import UsageError
from convrnn.core.language import tr

PATIENCE = 5.0
"""Seconds that a lock is waited for: workers of a study that was killed notice and end within them."""


def lock_of(folder: Path) -> Path:
    """The file that is locked while a process is at work in a folder."""
    return folder / ".lock"


@contextmanager
def locked(folder: Path, brief: bool = False) -> Iterator[int]:
    """Inside, no other process is at work in this folder; gives the descriptor of the open file `.lock`, which children may inherit.

    Args:
        folder: what is locked; it exists.
        brief: the file goes when the work is over.

    Raises:
        UsageError: another process is at work, and stays.
        OSError: the file cannot be made.
    """
    path, end = lock_of(folder), time.monotonic() + PATIENCE
    while (descriptor := _taken(path)) is None:
        if time.monotonic() > end:
            raise UsageError(
                str(folder), tr("another process is at work in this folder"), tr("wait for it, or stop it and go on with --resume")
            )
        time.sleep(0.05)
    try:
        yield descriptor
    finally:
        if brief:
            with suppress(OSError):  # Windows removes no file that is open: it stays, and locks nothing
                path.unlink()
        os.close(descriptor)


def _taken(path: Path) -> int | None:
    """The descriptor of the file, locked; None: another process has it, or had it and took the file away."""
    descriptor, mine = os.open(path, os.O_RDWR | os.O_CREAT, 0o666), False
    try:
        with suppress(FileNotFoundError):
            mine = _locks(descriptor) and os.path.samestat(os.fstat(descriptor), path.stat())
    finally:
        if not mine:
            os.close(descriptor)
    return descriptor if mine else None


if sys.platform == "win32":
    import msvcrt

    def _locks(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _locks(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:  # some network file systems know no locks: work there goes on without
            if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP):
                raise
        return True
