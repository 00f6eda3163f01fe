"""What a page of a report says and names, for tests of whole pages."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

VOID = {"meta", "img"}


class Outline(HTMLParser):
    """Checks that elements nest; collects headings of these levels, text, ids, addresses, and figures without words for screen readers."""

    def __init__(self, page: str, levels: tuple[str, ...]) -> None:
        super().__init__()
        self.levels = levels
        self.open: list[str] = []
        self.headings: list[str] = []
        self.text = ""
        self.ids: list[str] = []
        self.links: list[str] = []
        self.unnamed: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.ids += [value for key, value in attrs if key == "id" and value]
        self.links += [value or "" for key, value in attrs if key in ("href", "src", "xlink:href")]
        if (tag == "img" and not found.get("alt")) or (tag == "svg" and not found.get("aria-label")):
            self.unnamed.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in self.levels:
            self.headings.append(data)
        if "style" not in self.open:
            self.text += data


def outline(path: Path, levels: tuple[str, ...] = ("h1", "h2", "h3")) -> Outline:
    """Of a page in a file."""
    return Outline(path.read_text(encoding="utf-8"), levels)
