"""Figures -> SVG inside a page, and PNG files. Knows matplotlib's SVG and the colours of `figures.py`; nothing of records.

In the page a figure takes the colours of the page (CSS variables), so it is dark where the reader's screen is; letters are
paths, so it looks the same on every machine. What a screen reader is told is in the language of the page, even where the letters
are not. Colours in the PNG are as drawn, on white.
"""

from __future__ import annotations

import io
import re

from convrnn.core.language import english, said
from convrnn.report import figures
from convrnn.report.figures import Drawing
from convrnn.report.markup import Markup, escape, showable

_VARIABLES = {
    figures.INK: "var(--ink)",
    figures.FAINT: "var(--faint)",
    figures.PAPER: "var(--paper)",
    **{colour: f"var(--c{number})" for number, colour in enumerate(figures.SERIES, start=1)},
}
_COLOUR = re.compile("|".join(_VARIABLES))
_NAMES = re.compile(r'(\bid="|xlink:href="#|url\(#)')
_ABOUT = re.compile(r"\s*<metadata>.*?</metadata>", re.DOTALL)
_SIZE = re.compile(r'(?<=<svg )(.*?)width="([\d.]+)pt"(.*?)height="[\d.]+pt"(.*?)>', re.DOTALL)
_BACKGROUND = re.compile(r'\s*<g id="[^"]*patch_1">.*?</g>', re.DOTALL)


def svg(drawing: Drawing) -> Markup:
    """A figure as an `svg` element: as wide as its place allows, up to half again its size, and named for screen readers."""
    buffer = io.StringIO()
    drawing.figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    drawing.figure.set_layout_engine("none")  # the layout is done; the PNG of the same figure keeps it, in half the time
    text = buffer.getvalue()
    text = _ABOUT.sub("", text[text.index("<svg") :])
    text = _BACKGROUND.sub("", text, count=1)
    text = _COLOUR.sub(lambda match: _VARIABLES[match[0]], text)
    text = _NAMES.sub(lambda match: f"{match[0]}{drawing.name}-", text)
    return Markup(_SIZE.sub(lambda match: _head(match, drawing.alt), text, count=1).strip())


def png(drawing: Drawing) -> bytes:
    """A figure as the bytes of a PNG file, the same for the same records."""
    buffer = io.BytesIO()
    drawing.figure.savefig(buffer, format="png", metadata={"Software": None, "Description": showable(english(drawing.alt))})
    return buffer.getvalue()


def _head(match: re.Match[str], alt: str) -> str:
    width = float(match[2]) * 1.5
    return f'{match[1]}{match[3]}{match[4]} role="img" aria-label="{escape(said(alt))}" style="max-width: {width:.0f}px">'
