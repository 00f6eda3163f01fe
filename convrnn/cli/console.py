"""What the command line prints: lines, tables and one JSON object. Knows no verb."""

from __future__ import annotations

import codecs
import io
import json
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from convrnn.core.columns import width, wrapped
from convrnn.core.language import english


def line(text: str = "") -> None:
    """A line for people on standard output."""
    print(text, flush=True)


def told(text: str) -> None:
    """A line for people that may be long: on a terminal it goes on in indented lines, broken between words."""
    columns = shutil.get_terminal_size((80, 24)).columns
    if sys.stdout.isatty() and width(text) > columns:
        text = "\n".join(wrapped(text, max(columns - 1, 20), "  "))
    line(text)


def paragraph(text: str) -> None:
    """A blank line, and a text as wide as the terminal."""
    print("", *wrapped(text, max(shutil.get_terminal_size((80, 24)).columns - 1, 20)), sep="\n", flush=True)


def aside(text: str) -> None:
    """A line for people on standard error, where standard output is for a program."""
    print(text, file=sys.stderr, flush=True)


def voice(json: bool, quiet: bool) -> Callable[[str], None]:
    """How lines are told while a verb is at work."""
    return _silent if quiet else aside if json else told


def fail(text: str, code: int) -> int:
    """The one line of an error."""
    print(f"convrnn: {text}", file=sys.stderr, flush=True)
    return code


def as_json(value: Any) -> None:
    """One machine-readable object, the same in every language."""
    print(json.dumps(english(value), ensure_ascii=not _writes_utf8(), indent=2, default=str), flush=True)


def as_json_lines(values: Iterable[Any]) -> None:
    """An object a line."""
    sys.stdout.writelines(json.dumps(value, ensure_ascii=not _writes_utf8()) + "\n" for value in values)


def allow_any_text() -> None:
    """What the encoding of standard output or error lacks comes out as `\\u6570`: no line is worth a failure."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _writes_utf8() -> bool:
    """Elsewhere JSON keeps to ASCII, whose escapes are JSON; those of `allow_any_text` are none."""
    return codecs.lookup(sys.stdout.encoding or "ascii").name == "utf-8"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[int] = ()) -> list[str]:
    """Lines of a table; columns in `right` are flush right; the last column goes on in lines of its own where the terminal ends."""
    cells = [list(head), *(list(row) for row in rows)]
    last = len(head) - 1
    widths = [max(width(row[column]) for row in cells) for column in range(len(head))]
    before = sum(widths[:last]) + 2 * last
    room = max(shutil.get_terminal_size((80, 24)).columns - before, 20)
    lines: list[str] = []
    for row in cells:
        pieces = [row[last]] if widths[last] <= room else wrapped(row[last], room) or [""]
        first = [_padded(text, wide, column in right) for column, (text, wide) in enumerate(zip(row[:last], widths, strict=False))]
        tail = _padded(pieces[0], widths[last], last in right) if widths[last] <= room else pieces[0]
        lines.append("  ".join([*first, tail]).rstrip())
        lines += [" " * before + piece for piece in pieces[1:]]
    return lines


def _padded(text: str, wide: int, right: bool) -> str:
    space = " " * (wide - width(text))
    return space + text if right else text + space


def _silent(text: str) -> None:
    """Says nothing."""
