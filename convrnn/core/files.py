"""Writing files so that a reader never sees half of one. Knows nothing of what is in them."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from convrnn.core.errors import JobError
from convrnn.core.language import tr


@contextmanager
def replacing(path: str | Path, new: bool = False) -> Iterator[Path]:
    """Yields a temporary path beside `path`; on success it is flushed to disk and renamed onto `path`.

    On any failure the temporary file is removed and `path` is as it was.

    Args:
        path: of the file.
        new: there must be none yet; of several processes that try, one succeeds.

    Raises:
        FileExistsError: there is one, where it must be new.
        JobError: the file could not be written (no space, no permission, a lost folder).
    """
    target = Path(path)
    temporary: Path | None = None
    try:
        temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}.part")
        # Made here rather than by mkstemp, whose files nobody else may read; to ask for the umask a process must change it.
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        (_put_new if new else os.replace)(temporary, target)
    except FileExistsError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise JobError(
            str(target), tr("could not be written: {reason}", reason=reason), tr("free some space or choose another --out")
        ) from error
    finally:
        if temporary is not None:
            with suppress(OSError):  # a name that is too long cannot even be looked for
                temporary.unlink()


def _put_new(temporary: Path, target: Path) -> None:
    try:
        os.link(temporary, target)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links: whoever comes within this moment is not seen
        if target.exists():
            raise FileExistsError(target) from None
        os.replace(temporary, target)


def write(path: str | Path, content: str | bytes, new: bool = False) -> None:
    """Writes a whole file, or leaves the old one; text is UTF-8, and what UTF-8 cannot say (names of files in another encoding) `\\udcff`.

    Raises:
        FileExistsError: there is one, and it should be `new`; see `replacing`.
        JobError: the file could not be written.
    """
    with replacing(path, new) as temporary:
        temporary.write_bytes(content.encode(errors="backslashreplace") if isinstance(content, str) else content)
