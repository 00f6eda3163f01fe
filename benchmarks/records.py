"""The records of a benchmark: a file of lines of JSON, one a run. A kill may leave the last line torn: that run was not recorded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def read(path: Path) -> list[dict[str, Any]]:
    """What stands there, in order; nothing where there is no file."""
    whole = path.read_bytes().rpartition(b"\n")[0] if path.exists() else b""
    return [json.loads(line) for line in whole.splitlines()]


def keep(path: Path, record: Mapping[str, Any]) -> None:
    """Adds one, in place of a torn line."""
    path.parent.mkdir(exist_ok=True)
    with path.open("a+b") as file:
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)
        file.write(f"{json.dumps(record)}\n".encode())
