"""Text -> tokens: characters, or words in the scripts that part them and characters in those that do not. Knows no vocabulary and no model.

English follows the facts of Kim's `clean_str` (2014, arXiv 1408.5882) and of the Penn Treebank, on which the sets of the field were cut:
clitics are tokens (`isn't` -> `is n't`, `it's` -> `it 's`, `they'll` -> `they 'll`) and so are marks of punctuation. Text that was cut
that way already (`is n't`, quotation marks as two accents) gives the same tokens as text as it was typed.
"""

from __future__ import annotations

import re
import unicodedata

UNSPACED = (
    "\u3005-\u3007\u3021-\u3029\u3031-\u3035\u3040-\u30fa\u30fc-\u312f\u31a0-\u31bf\u31f0-\u31ff"  # kana, bopomofo, 々〇
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U0001b000-\U0001b16f\U00020000-\U0003ffff"  # Han, narrow kana
    "\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ece\u0f40-\u0fbc\u1000-\u109f\u1780-\u17d3"  # Thai, Lao, Tibetan, Burmese, Khmer
)
"""Scripts written without spaces between words, as the inside of a character class."""

# Vowel signs and accents that `\\w` leaves out, so that Hindi, Tamil, Hebrew and Arabic words stay whole; and the joiners within words.
_MARKS = (
    "\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e8\u06ea-\u06ed"
    "\u0900-\u0963\u0971-\u0df3\u200c\u200d"
)
_LETTER = rf"(?:[^\W\d_{UNSPACED}]|[{_MARKS}])"
_TOKEN = re.compile(
    rf"""
    https?://[^\s{UNSPACED}，。；！？、]*[^\s{UNSPACED}，。；！？、,.;:!?)'"]   # an address, without the mark after it
    | \d+(?:[.,:]\d+)*                        # 1984, 3.14, 1,000, 12:30
    | {_LETTER}(?:{_LETTER}|\d)*(?:'(?:{_LETTER}|\d)+)*   # a word; an apostrophe within it (o'clock) is part of it
    | '(?:s|m|d|re|ve|ll|t)\b                 # a clitic on its own, as the Treebank cuts it
    | [{UNSPACED}]                            # each character of a script without spaces
    | ([^\w\s])\1{{0,2}}                      # a mark, up to three alike: ! ... --
    | _+
    """,
    re.VERBOSE | re.IGNORECASE,
)
_CLITIC = re.compile(r"(?<=\w)(n't|'(?:s|m|d|re|ve|ll))$", re.IGNORECASE)
_APOSTROPHES = str.maketrans({"\u2019": "'", "\u2018": "'", "\u02bc": "'", "\u201c": '"', "\u201d": '"'})
_QUOTES = re.compile(r"``|''")
_DIGIT = re.compile(r"\d")
_ALONE = re.compile(rf"[{UNSPACED}]")


def characters(text: str) -> list[str]:
    """Every code point, white space included.

    Example:
        >>> characters("好 a")
        ['好', ' ', 'a']
    """
    return list(text)


def words(text: str) -> list[str]:
    """Words, numbers, clitics and marks; each character of a script without spaces is a token.

    Example:
        >>> words("It's well-made, isn't it?")
        ['It', "'s", 'well', '-', 'made', ',', 'is', "n't", 'it', '?']
        >>> words("买了iPhone15手机, 3.5 mm!!!")
        ['买', '了', 'iPhone15', '手', '机', ',', '3.5', 'mm', '!!!']
    """
    found: list[str] = []
    for match in _TOKEN.finditer(_QUOTES.sub('"', text.translate(_APOSTROPHES))):
        token = match.group()
        if "'" in token and len(token) > 1:
            found.extend(_clitics(token))
        else:
            found.append(token)
    return found


def hide_digits(token: str) -> str:
    """Every digit as 0: numbers of one form share a token (Collobert et al. 2011, arXiv 1103.0398)."""
    return _DIGIT.sub("0", token)


def normal(text: str, form: str) -> str:
    """Unicode normal form `NFC` or `NFKC` (full-width letters and marks become plain ones), or the text as it is for `none`."""
    return text if form == "none" or text.isascii() else unicodedata.normalize("NFC" if form == "NFC" else "NFKC", text)


def unspaced(text: str) -> int:
    """How many characters belong to scripts written without spaces."""
    return 0 if text.isascii() else len(_ALONE.findall(text))


def _clitics(token: str) -> list[str]:
    """`shouldn't've` -> `should n't 've`."""
    tail: list[str] = []
    while cut := _CLITIC.search(token):
        tail.append(cut.group())
        token = token[: cut.start()]
    return [token, *reversed(tail)]
