"""HTML as values: text that is escaped unless it already is markup. Knows no page and no record.

`tag` is the only way to make an element, and it escapes every child that is not a `Markup`, so that a class called
`<script>` is a class called `<script>`.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

_UNSHOWABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


SLOTS = ("\ue000", "\ue001")
"""What stands in a sentence where markup will: characters that are nobody's."""


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


class Column(NamedTuple):
    """A column of a table; numbers stand to the right, in figures of equal width."""

    name: str
    number: bool = False


def showable(text: str) -> str:
    """A text without what neither HTML nor UTF-8 may hold: control characters and halves of surrogate pairs become U+FFFD."""
    return _UNSHOWABLE.sub("\ufffd", text)


def escape(text: str) -> Markup:
    """Any text as HTML shows it."""
    return Markup(html.escape(showable(text), quote=True))


def fill(text: str, *parts: Markup) -> Markup:
    """A sentence with markup at its `SLOTS`: each language has its own order of words."""
    return Markup(re.sub("|".join(SLOTS), lambda slot: parts[SLOTS.index(slot[0])], escape(text)))


def join(parts: Iterable[str]) -> Markup:
    """Parts one after the other, each escaped unless it is markup."""
    return Markup("".join(part if isinstance(part, Markup) else escape(part) for part in parts))


def tag(name: str, *children: str, attributes: Mapping[str, str] | None = None) -> Markup:
    """An element: `tag("td.number", "3 < 4")` is `<td class="number">3 &lt; 4</td>`; `img` has no end."""
    name, *classes = name.split(".")
    every = {**({"class": " ".join(classes)} if classes else {}), **(attributes or {})}
    head = name + "".join(f' {key}="{escape(value)}"' for key, value in every.items())
    return Markup(f"<{head}>") if name == "img" else Markup(f"<{head}>{join(children)}</{name}>")


def table(columns: Sequence[Column], rows: Iterable[Sequence[str]], caption: str = "") -> Markup:
    """A table with a head, in a box that scrolls sideways where the screen is narrow; the first cell of a row is its head."""
    head = tag("tr", *(tag(_cell("th", column), column.name, attributes={"scope": "col"}) for column in columns))
    body = join(tag("tr", *_cells(columns, row)) for row in rows)
    title = tag("caption", caption) if caption else Markup()
    label = {"tabindex": "0", "role": "region", "aria-label": caption or columns[0].name}
    return tag("div.scroll", tag("table", title, tag("thead", head), tag("tbody", body)), attributes=label)


def _cells(columns: Sequence[Column], row: Sequence[str]) -> list[Markup]:
    cells = []
    for number, (column, value) in enumerate(zip(columns, row, strict=True)):
        first = number == 0
        cells.append(tag(_cell("th" if first else "td", column), value, attributes={"scope": "row"} if first else None))
    return cells


def _cell(name: str, column: Column) -> str:
    return f"{name}.number" if column.number else name
