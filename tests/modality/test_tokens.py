"""Tokens: English as the sets of the field cut it, Chinese and mixed text, other scripts, and that nothing is lost."""

from __future__ import annotations

import random
import sys

import pytest

from convrnn.modality import tokens
from convrnn.modality.tokens import words


@pytest.mark.parametrize(
    ("typed", "cut"),
    [
        ("it's simplistic, silly and tedious.", "it 's simplistic , silly and tedious ."),
        ("They'll say it isn't what we've got!", "They 'll say it is n't what we 've got !"),
        ("I'm sure you'd can't they're don't", "I 'm sure you 'd ca n't they 're do n't"),
        ("shouldn't've", "should n't 've"),
        ("“don’t” say 'no' (ever)?", "`` do n't '' say ' no ' ( ever ) ?"),
        ('What is "Nine Inch Nails" ?', "What is `` Nine Inch Nails '' ?"),
        ("ISN'T", "IS N'T"),
    ],
)
def test_text_as_typed_and_text_already_cut_give_the_same_tokens(typed: str, cut: str) -> None:
    assert words(typed) == words(cut)
    assert len(words(typed)) == len(cut.split())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("o'clock rock'n'roll l'homme dogs' 'tis", ["o'clock", "rock'n'roll", "l'homme", "dogs", "'", "'", "tis"]),
        ("well-made -- no ...... yes!!", ["well", "-", "made", "--", "no", "...", "...", "yes", "!!"]),
        ("$1,000.50 at 12:30, 3.14. 4th", ["$", "1,000.50", "at", "12:30", ",", "3.14", ".", "4", "th"]),
        ("see https://a.b/c?d=e, ok", ["see", "https://a.b/c?d=e", ",", "ok"]),
        ("买了iPhone15手机，3.5寸！！", ["买", "了", "iPhone15", "手", "机", "，", "3.5", "寸", "！！"]),
        ("网址http://a.b/c好。", ["网", "址", "http://a.b/c", "好", "。"]),
        ("人々〇カタカナー", ["人", "々", "〇", "カ", "タ", "カ", "ナ", "ー"]),  # noqa: RUF001
        ("𠀀b", ["𠀀", "b"]),  # Han beyond the basic plane
        ("ไทย", ["ไ", "ท", "ย"]),
        ("안녕하세요 세계", ["안녕하세요", "세계"]),
        ("नमस्ते दुनिया।", ["नमस्ते", "दुनिया", "।"]),
        ("שָׁלוֹם עולם", ["שָׁלוֹם", "עולם"]),
        ("cafe\u0301 naïve", ["cafe\u0301", "naïve"]),
        (" \t\n\u3000 ", []),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_nothing_but_white_space_is_lost() -> None:
    rng = random.Random(0)
    alphabet = [chr(rng.randrange(sys.maxunicode)) for _ in range(2000)] + list("abc123 .,:'!_-汉字かなไ\n") * 60
    for _ in range(300):
        text = "".join(rng.choices(alphabet, k=40))
        plain = tokens._QUOTES.sub('"', text.translate(tokens._APOSTROPHES))
        assert "".join(words(text)) == "".join(plain.split()), ascii(text)


def test_normal_forms_and_digits() -> None:
    assert tokens.normal("ＡＢ１，é", "NFKC") == "AB1,é"  # noqa: RUF001
    assert tokens.normal("Ａe\u0301", "NFC") == "Ａé"  # noqa: RUF001
    assert tokens.normal("Ａe\u0301", "none") == "Ａe\u0301"  # noqa: RUF001
    assert tokens.hide_digits("1,984th") == "0,000th"
    assert tokens.unspaced("hello 世界 안녕") == 2
