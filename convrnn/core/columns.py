"""How wide a text is where all letters are equally wide: on a terminal, in a table of text. Knows characters only."""

from __future__ import annotations

from unicodedata import east_asian_width


def width(text: str) -> int:
    """Columns of a text: Chinese characters take two.

    Example:
        >>> width("abc"), width("好a")
        (3, 3)
    """
    return sum(2 if east_asian_width(character) in "WF" else 1 for character in text)
