"""How wide a text is where all letters are equally wide: on a terminal, in a table of text; and its lines. Knows characters only."""

from __future__ import annotations

import re
from unicodedata import east_asian_width


def width(text: str) -> int:
    """Columns of a text: Chinese characters take two.

    Example:
        >>> width("abc"), width("好a")
        (3, 3)
    """
    return sum(2 if east_asian_width(character) in "WF" else 1 for character in text)


# A line may end before and after a Chinese character, but none begins with a mark that closes or ends with one that opens.
_PIECES = re.compile(
    "\\s+|[\u201c\u2018\uff08\u300a\u3010]*(?:[\u1100-\u11ff\u2e80-\ua4cf\uac00-\ud7ff\uf900-\ufaff\ufe30-\ufe4f]"
    "|[^\\s\u1100-\u11ff\u2e80-\ua4cf\uac00-\ud7ff\uf900-\ufaff\ufe30-\ufe4f\uff00-\uffef\u201c-\u201d\u2018-\u2019]+|.)"
    "[\uff0c\u3002\uff1b\uff1a\uff01\uff1f\uff09\u300b\u3011\u3001\u201d\u2019]*"
)


def wrapped(text: str, columns: int, indent: str = "") -> list[str]:
    """Lines of at most so many columns, broken between words and between Chinese characters; a longer word has a line of its own.

    Args:
        text: blanks and line ends in it are where words part.
        columns: of each line.
        indent: before each line but the first.

    Example:
        >>> wrapped("\u9a8c\u8bc1\u96c6\u4e0a\u7684\u635f\u5931\u3002 loss", 8)
        ['\u9a8c\u8bc1\u96c6\u4e0a', '\u7684\u635f\u5931\u3002', 'loss']
    """
    lines, line = list[str](), ""
    for piece in _PIECES.findall(" ".join(text.split())):
        if line.strip() and width(line) + width(piece.rstrip()) > columns:
            lines.append(line.rstrip())
            line = indent + piece.lstrip()
        else:
            line += piece
    return [*lines, line.rstrip()] if line.strip() else lines
