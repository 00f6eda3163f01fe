"""The most confident mistakes, shown as what they are: the curve, the text, the picture, the sound; as cards of a page and as a figure.

Knows the inputs as they were read (raw units, stored pictures; of recordings the bands as a picture) and nothing of what a model makes of
them.
"""

from __future__ import annotations

import base64
import io
import math
import wave
from collections.abc import Mapping, Sequence

import matplotlib
import matplotlib.image
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from convrnn.core.language import joined, listed, tr
from convrnn.core.numerals import decimal, frames, percent
from convrnn.report import figures
from convrnn.report.figures import Drawing
from convrnn.report.fonts import Lettering
from convrnn.report.markup import SLOTS, Markup, escape, fill, join, tag
from convrnn.report.records import Answer, Mistake

WIDE, HIGH = 300, 104  # of a curve, in units of its SVG
POINTS = 400  # of a curve: more would not be seen
TEXT = 600  # characters of a text
MANY = 24  # mistakes in the page
PICTURES = ("image", "audio")  # kinds that are shown as a picture


def cards(found: Sequence[Mistake], channels: Sequence[str]) -> Markup:
    """One card a mistake: the input, what it is and what the model said."""
    grid = "div.cards.pictures" if all(each.kind in PICTURES for each in found) else "div.cards"
    return tag(grid, *(tag("figure.card", *_input(each), _caption(each)) for each in found[:MANY]), _legend(found, channels))


def grid(found: Sequence[Mistake], lettering: Lettering, labels: Sequence[str]) -> Drawing | None:
    """The curves or pictures as one figure for a file; None for texts, which need no figure."""
    shown = [each for each in found if each.array is not None][:MANY]
    if not shown:
        return None
    across = min(6 if shown[0].kind in PICTURES else 3, len(shown))
    down = math.ceil(len(shown) / across)
    size = 1.35 if shown[0].kind in PICTURES else 2.6
    figure = Figure(figsize=(across * size, down * 1.6), layout="constrained")
    names = dict(zip(labels, lettering.axis(labels).labels, strict=True)) if labels else {}
    places = figure.subplots(down, across, squeeze=False).ravel().tolist()
    for axes, each in zip(places, shown, strict=False):
        _draw(axes, each)
        axes.set_title(title(each.answer, names), fontsize=8)
    for axes in places[len(shown) :]:
        axes.set_axis_off()
    note = tr("numbers: see the key in report.html") if labels and lettering.axis(labels).numbered else ""
    figure.suptitle(joined((tr("true \u2192 predicted"), note)), x=0.01, ha="left", fontsize=9)
    return Drawing("mistakes", figure, tr("The {count} most confident mistakes.", count=len(shown)))


def curves(series: np.ndarray) -> tuple[list[np.ndarray], bool]:
    """Channels of a series `[T, C]` scaled to 0..1 for drawing, and whether each has its own scale (ranges differ tenfold)."""
    low, high = _extent(series, axis=0)
    ranges = (high - low)[high > low]
    own = bool(len(ranges) > 1 and ranges.max() > 10 * ranges.min())
    if not own:
        low, high = np.full_like(low, np.nanmin(low, initial=np.inf)), np.full_like(high, np.nanmax(high, initial=-np.inf))
    span = np.where(high > low, high - low, 1.0)
    return list(((series - low) / span + np.where(high > low, 0.0, 0.5)).T), own


def _input(each: Mistake) -> list[Markup]:
    if each.array is None:
        text = each.text if len(each.text) <= TEXT else each.text[:TEXT] + "\u2026"
        return [tag("blockquote", text, attributes={"dir": "auto"})]
    if each.kind not in PICTURES:
        return _curve(each.array)
    return [_picture(each)] if each.samples is None else [_picture(each), _player(each.samples, each.rate)]


def _caption(each: Mistake) -> Markup:
    answer = each.answer
    if answer.label is None:
        text = tr("{said} predicted, {true} true", said=SLOTS[0], true=decimal(float(answer.target)))
        said = fill(text, tag("b", decimal(answer.value)))
    else:
        sure = f" ({percent(answer.probability)})" if math.isfinite(answer.probability) else ""
        text = tr("{said}{sure} predicted; it is {true}", said=SLOTS[0], sure=sure, true=SLOTS[1])
        said = fill(text, tag("b", answer.label), tag("b", answer.target))
    return tag("figcaption", tag("span.said", said), tag("span.name", answer.name))


def _picture(each: Mistake) -> Markup:
    buffer = io.BytesIO()
    matplotlib.image.imsave(buffer, _coloured(each), format="png")
    data = base64.b64encode(buffer.getvalue()).decode()
    return tag(
        "img",
        attributes={
            "src": f"data:image/png;base64,{data}",
            "alt": tr("{true}, taken for {said}", true=each.answer.target, said=each.answer.label or each.answer.value),
        },
    )


def _player(samples: np.ndarray, rate: int) -> Markup:
    """The sound itself, as a WAV file within the page."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())
    data = base64.b64encode(buffer.getvalue()).decode()
    return tag("audio", attributes={"controls": "", "preload": "none", "src": f"data:audio/wav;base64,{data}"})


def _coloured(each: Mistake) -> np.ndarray:
    """A picture as it is; bands of sound, whose shades are no brightness, by colours that are equally far apart."""
    if each.kind == "image":
        return rgb(each.array)
    assert each.array is not None
    return matplotlib.colormaps["magma"](each.array[:, :, 0], bytes=True)[:, :, :3]


def rgb(array: np.ndarray | None) -> np.ndarray:
    """A picture `[H, W, C]` of one to four channels as `[H, W, 3 or 4]`, uint8."""
    assert array is not None
    grey = array.shape[2] in (1, 2)
    return np.clip(np.repeat(array[:, :, :1], 3, axis=2) if grey else array[:, :, :4], 0, 255).astype(np.uint8)


def _curve(series: np.ndarray) -> list[Markup]:
    channels, own = curves(series)
    faint = len(channels) > len(figures.SERIES)
    lines = [
        _line(values, "var(--c1)" if faint else f"var(--c{number})", 0.5 if faint else 1.0)
        for number, values in enumerate(channels, start=1)
    ]
    low, high = _extent(series)
    scale = tr("each channel in its own scale") if own else tr("{low} to {high}", low=decimal(float(low)), high=decimal(float(high)))
    size = {
        "viewBox": f"0 0 {WIDE} {HIGH}",
        "role": "img",
        "aria-label": listed([frames(len(series)), tr("{count} channels", count=len(channels)), scale]),
    }
    return [tag("svg", *lines, attributes=size), tag("small", listed([frames(len(series)), scale]))]


def _line(values: np.ndarray, colour: str, opacity: float) -> Markup:
    """A channel as a path; a missing value interrupts it, a value between two missing ones is a dash."""
    x, y = thin(values)
    wide = 2 + (x / (len(values) - 1) if len(values) > 1 else np.full(1, 0.5)) * (WIDE - 4)
    high = 2 + (1 - y) * (HIGH - 4)
    steps, pen = [], "M"
    for number in range(len(x)):
        if not np.isfinite(y[number]):
            pen = "M"
            continue
        alone = pen == "M" and (number + 1 == len(x) or not np.isfinite(y[number + 1]))
        steps.append(f"{pen}{wide[number]:.1f} {high[number]:.1f}" + ("h3" if alone else ""))
        pen = "L"
    look = {
        "fill": "none",
        "style": f"stroke: {colour}",
        "stroke-width": "1.4",
        "stroke-opacity": f"{opacity:g}",
        "stroke-linejoin": "round",
    }
    return tag("path", attributes={"d": "".join(steps), "stroke-linecap": "round", **look})


def thin(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At most `POINTS` points of a curve: of each stretch its lowest and its highest, so that no peak is lost."""
    x = np.arange(len(values))
    if len(values) <= POINTS:
        return x, values
    kept: list[int] = []
    for stretch in np.array_split(x, POINTS // 2):
        piece = values[stretch]
        known = np.flatnonzero(np.isfinite(piece))
        ends = {int(known[np.argmin(piece[known])]), int(known[np.argmax(piece[known])])} if len(known) else {0}
        kept += [int(stretch[end]) for end in sorted(ends)]
    return np.array(kept), values[kept]


def _legend(found: Sequence[Mistake], channels: Sequence[str]) -> Markup:
    """Which colour is which channel, where there are several and few enough to tell apart."""
    if not any(each.kind == "series" for each in found) or not 1 < len(channels) <= len(figures.SERIES):
        return Markup()
    swatches = (
        join([tag("i", attributes={"style": f"background: var(--c{n})"}), escape(name)]) for n, name in enumerate(channels, start=1)
    )
    return tag("p.legend", *(tag("span", each) for each in swatches))


def _draw(axes: Axes, each: Mistake) -> None:
    assert each.array is not None
    axes.set_xticks([])
    axes.set_yticks([])
    if each.kind in PICTURES:
        axes.imshow(_coloured(each), interpolation="nearest", aspect="equal" if each.kind == "image" else "auto")
        axes.spines[:].set_visible(False)
        return
    channels, _ = curves(each.array)
    faint = len(channels) > len(figures.SERIES)
    for number, values in enumerate(channels):
        axes.plot(
            *thin(values),
            color=figures.TRAIN if faint else figures.SERIES[number],
            alpha=0.5 if faint else 1,
            linewidth=1.0,
            marker="_" if len(values) == 1 else "",
        )


def title(answer: Answer, names: Mapping[str, str]) -> str:
    """`true \u2192 predicted`, with the probability; classes by their names in figures."""
    if answer.label is None:
        return f"{decimal(float(answer.target))} \u2192 {decimal(answer.value)}"
    sure = f" {percent(answer.probability, 0)}" if math.isfinite(answer.probability) else ""
    return f"{names.get(answer.target, '?')} \u2192 {names.get(answer.label, '?')}{sure}"


def _extent(series: np.ndarray, axis: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest finite value (0 and 0 where there is none)."""
    known = np.isfinite(series)
    low = np.where(known, series, np.inf).min(axis=axis, initial=np.inf)
    high = np.where(known, series, -np.inf).max(axis=axis, initial=-np.inf)
    return np.where(np.isfinite(low), low, 0.0), np.where(np.isfinite(high), high, 0.0)
