"""Letters for the figures: a Chinese font where the machine has one, numbers instead of names where it has none.

matplotlib draws an empty box for a character that its fonts lack. So no name reaches a figure before `Lettering` has looked
every character up; where a name cannot be drawn the names become 1, 2, 3 ..., and the page, whose reader's
browser has fonts, tells what the numbers mean. Titles of axes are English then, and the page says so. Knows matplotlib's list of fonts;
nothing of records or figures.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, Self

from matplotlib import font_manager, ft2font

from convrnn.core.columns import width
from convrnn.core.language import Language, catalogue, spoken

LATIN = "DejaVu Sans"  # comes with matplotlib, so it is always there
CHINESE = (
    "Noto Sans CJK SC",
    "Noto Sans SC",
    "Source Han Sans SC",
    "Source Han Sans CN",
    "PingFang SC",
    "Microsoft YaHei",
    "Hiragino Sans GB",
    "Heiti SC",
    "STHeiti",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "SimHei",
    "Noto Sans CJK TC",
    "Noto Sans CJK JP",
    "Microsoft JhengHei",
    "PingFang TC",
    "Droid Sans Fallback",
    "Arial Unicode MS",
    "SimSun",
    "Songti SC",
    "Noto Serif CJK SC",
    "AR PL UMing CN",
    "AR PL UKai CN",
)
# File names of the same fonts: for those installed after matplotlib wrote its list of fonts.
_FILES = re.compile(
    r"noto(sans|serif)(cjk|sc)|sourcehansans|pingfang|msyh|hiragino|heiti|wqy|simhei|msjh|droidsansfallback|simsun|songti|uming|ukai", re.I
)
LONGEST = 16  # columns on an axis; a Chinese character takes two


class AxisLabels(NamedTuple):
    """What stands at an axis, and whether it is numbers in the place of names."""

    labels: tuple[str, ...]
    numbered: bool


@dataclass(frozen=True)
class Lettering:
    """The font families that the figures are drawn with, the first that has a character draws it."""

    families: tuple[str, ...]

    @classmethod
    def find(cls, candidates: Sequence[str] = CHINESE) -> Self:
        """The Latin font and the first of the candidates that is installed; none of them (or `()`): Latin alone."""
        for name in candidates:
            if name in _installed():
                return cls((LATIN, name))
        return cls((LATIN,))

    def draws(self, text: str) -> bool:
        """Whether every character of a text has a glyph and is drawn where it stands (no script that runs right to left)."""
        known = frozenset().union(*(_characters(name) for name in self.families))
        return all(ord(letter) in known and unicodedata.bidirectional(letter) not in ("R", "AL") for letter in text)

    def language(self) -> Language:
        """The language of the letters in figures: that of this context if every character of its messages has a glyph, else English."""
        letters = {letter for message in catalogue().values() for letter in message if "\u4e00" <= letter <= "\u9fff"}
        return "zh" if spoken() == "zh" and self.draws("".join(letters)) else "en"

    def axis(self, names: Sequence[str]) -> AxisLabels:
        """Names for an axis, cut where they are long; their numbers from 1 if one cannot be drawn or two look the same."""
        short = tuple(_cut(" ".join(name.split())) for name in names)
        good = all(name and self.draws(name) for name in short) and len(set(short)) == len(short)
        return AxisLabels(short, False) if good else AxisLabels(tuple(str(number) for number in range(1, len(short) + 1)), True)


def _cut(name: str) -> str:
    if width(name) <= LONGEST:
        return name
    kept = next(number for number in range(len(name), -1, -1) if width(name[:number]) < LONGEST)
    return name[:kept].rstrip() + "\u2026"


@lru_cache(maxsize=1)
def _installed() -> frozenset[str]:
    names = {font.name for font in font_manager.fontManager.ttflist}
    if names.isdisjoint(CHINESE):
        for path in font_manager.findSystemFonts():
            if _FILES.search(Path(path).name):
                font_manager.fontManager.addfont(path)
        names = {font.name for font in font_manager.fontManager.ttflist}
    return frozenset(names)


@lru_cache(maxsize=8)
def _characters(family: str) -> frozenset[int]:
    path = font_manager.findfont(font_manager.FontProperties(family=[family]), fallback_to_default=False)
    return frozenset(ft2font.FT2Font(path).get_charmap())
