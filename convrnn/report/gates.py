"""What went on inside a layer, over the input that it came from: the gates of three examples for the page, heat maps for a file.

Knows symbols and numbers as recorded, and nothing of the equations behind them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from convrnn.core.columns import width
from convrnn.core.language import Message, catalogue, joined, listed, tr
from convrnn.report import figures
from convrnn.report.figures import Drawing
from convrnn.report.fonts import Lettering
from convrnn.report.mistakes import curves, rgb, thin, title
from convrnn.report.records import Inner

WIDE = 10.2  # inches of a figure as wide as the page
MANY = 44  # words that have room below a figure of that width; of more, every second, third ... is told
LONG = 14  # letters of a word
MISSING = "\u00b7"  # a word that the fonts cannot draw
COLOURS = figures.SERIES[2:] + figures.SERIES[:2]  # the first two are those of the input
NAME = 26  # characters of the end of a row's name


def activity(found: Sequence[Inner], lettering: Lettering, labels: Sequence[str]) -> Drawing | None:
    """How far the gates stood open, mean over units, below the input of each example; texts one below the other."""
    if not found:
        return None
    text = bool(found[0].words)
    figure = Figure(figsize=(WIDE, 2.0 * len(found) + 0.3 if text else 3.7), layout="constrained")
    names = dict(zip(labels, lettering.axis(labels).labels, strict=True)) if labels else {}
    if text:
        heads = lower = figure.subplots(len(found), 1, squeeze=False).ravel().tolist()
    else:
        heads, lower = figure.subplots(2, len(found), squeeze=False, sharex="col", sharey="row", height_ratios=(1, 1.5)).tolist()
        _inputs(heads, found)
    for head, axes, each in zip(heads, lower, found, strict=True):
        head.set_title(_heading(each, names, lettering), fontsize=8.5)
        _lines(axes, each)
        axes.set_ylim(_limits(found))
        _time(axes, each, lettering)
    lower[0].set_ylabel(_scale(found))
    handles, symbols = lower[0].get_legend_handles_labels()
    figure.legend(handles, symbols, loc="outside upper right", ncols=len(symbols))
    return Drawing("gates", figure, _alt(found))


def caption(found: Sequence[Inner], numbered: bool = False) -> str:
    """What to look for in it."""
    layer = found[0].layer
    if "|h|" in found[0].values:
        shown = tr("how strongly {layer} answers (|h|, mean over its units)", layer=layer)
    else:
        shown = tr("how far each gate of {layer} stands open (0 shut, 1 open; mean over its units)", layer=layer)
    if found[0].words:
        said = tr("{shown} at each word: look for words at which the curves move.", shown=f"{shown[0].upper()}{shown[1:]}")
    else:
        said = tr("The input, and below it {shown}: look for frames at which the curves move with the input.", shown=shown)
    return tr("{said} Numbers of classes: see the key above.", said=said) if numbered else said


def heat(inner: Inner, lettering: Lettering) -> Drawing:
    """The values of a layer as heat maps over the input: units down, frames across."""
    rows = len(inner.values)
    top = [] if inner.array is None else [1.1]
    figure = Figure(figsize=(8.0, 0.9 + sum(top) + 1.0 * rows), layout="constrained")
    places: list[Axes] = (
        figure.subplots(rows + len(top), 1, squeeze=False, sharex=True, height_ratios=[*top, *[1.0] * rows]).ravel().tolist()
    )
    if top:
        _inputs(places[:1], [inner])
    for axes, (symbol, values) in zip(places[len(top) :], inner.values.items(), strict=True):
        axes.set_ylabel(symbol, rotation=0, ha="right", va="center")
        if not values.size:
            continue
        step = inner.steps[symbol]
        low, high = _shades(values)
        extent = (-step / 2, (len(values) - 0.5) * step, values.shape[1] - 0.5, -0.5)
        picture = axes.imshow(
            values.T, aspect="auto", interpolation="nearest", vmin=low, vmax=high, cmap="RdBu_r" if low < 0 else "Blues", extent=extent
        )
        axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))
        figure.colorbar(picture, ax=axes, pad=0.01, aspect=8)
    places[0].set_title(inner.layer)
    _time(places[-1], inner, lettering)
    return Drawing("heat", figure, tr("Inner values of {layer}: {names}.", layer=inner.layer, names=", ".join(inner.values)))


def _shades(values: np.ndarray) -> tuple[float, float]:
    """Between which values the colours run: around 0 if some are below it, from 0 to 1 if they are shares, else from least to largest."""
    low, high = float(values.min()), float(values.max())
    if low < 0:
        return -max(-low, high), max(-low, high)
    return (0.0, 1.0) if high <= 1 else (low, high)


def _inputs(places: Sequence[Axes], found: Sequence[Inner]) -> None:
    """Pictures, or curves in one scale for all, as wide as their frames."""
    curved = [each.array for each in found if each.array is not None and each.array.ndim == 2]
    channels = curves(np.concatenate(curved))[0] if curved else []
    start = 0
    for axes, each in zip(places, found, strict=True):
        axes.set_yticks([])
        if each.array is not None and each.array.ndim == 3:
            axes.imshow(rgb(each.array), interpolation="nearest", aspect="auto", extent=(-0.5, each.frames - 0.5, 0, 1))
            axes.spines[:].set_visible(False)
        elif each.array is not None:
            _curves(axes, [values[start : start + len(each.array)] for values in channels])
            start += len(each.array)


def _curves(axes: Axes, channels: Sequence[np.ndarray]) -> None:
    many = len(channels) > len(figures.SERIES)
    for number, values in enumerate(channels):
        colour = figures.INK if many or len(channels) == 1 else figures.SERIES[number]
        axes.plot(*thin(values), color=colour, alpha=0.35 if many else 0.9, linewidth=0.9, marker="_" if len(values) == 1 else "")


def _lines(axes: Axes, each: Inner) -> None:
    for number, (symbol, values) in enumerate(each.values.items()):
        x = np.arange(len(values)) * each.steps[symbol]
        axes.plot(x, values.mean(axis=1), color=COLOURS[number], label=symbol, marker="o" if len(x) <= MANY else "", markersize=2.5)
    axes.grid(axis="y", color=figures.FAINT, alpha=0.25, linewidth=0.6)


def _limits(found: Sequence[Inner]) -> tuple[float, float]:
    """The same for all examples: what the curves need, a fifth at least."""
    known = np.concatenate([values.mean(axis=1) for each in found for values in each.values.values()])
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    spare = max(0.02, (0.2 - (high - low)) / 2)
    return max(0.0, low - spare), high + spare


def _time(axes: Axes, each: Inner, lettering: Lettering) -> None:
    """The frames below: words where there are some, else numbers."""
    shown = len(each.words) or each.frames
    axes.set_xlim(-0.5, max(shown, 1) - 0.5)
    if not each.words:
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.set_xlabel(tr("column") if each.array is not None and each.array.ndim == 3 else tr("frame"))
        return
    every = -(-shown // MANY)
    places = list(range(0, shown, every))
    words = [each.words[place] if lettering.draws(each.words[place]) else MISSING for place in places]
    axes.set_xticks(places, [word if len(word) <= LONG else f"{word[: LONG - 1]}\u2026" for word in words], fontsize=7.5)
    for mark in axes.get_xticklabels():
        mark.set_rotation(90 if width(mark.get_text()) > 2 else 0)
    axes.tick_params(axis="x", length=2)


def _heading(each: Inner, names: dict[str, str], lettering: Lettering) -> str:
    """Why the row is here, what it is and what was said, which it is, and how much of it is shown."""
    shown = len(each.words) or each.frames
    cut = ""
    if shown < each.whole:
        counts = {"shown": shown, "whole": each.whole}
        cut = tr("first {shown:,} of {whole:,} tokens", **counts) if each.words else tr("first {shown:,} of {whole:,} frames", **counts)
    name = "" if each.answer is None else each.answer.name
    name = name if len(name) <= NAME else f"\u2026{name[1 - NAME :]}"
    said = "" if each.answer is None else title(each.answer, names)
    parts = [part for part in (said, name if lettering.draws(name) else "", cut) if part]
    why = _why(each)
    return f"{why}: {'  '.join(parts)}" if each.words else f"{why}\n{'  '.join(parts)}"


def _why(each: Inner) -> str:
    """Why a row is shown: the record has it in English."""
    return Message(each.why, {}) if each.why in catalogue() else each.why


def _scale(found: Sequence[Inner]) -> str:
    return tr("mean |h|") if "|h|" in found[0].values else tr("mean of the gate")


def _alt(found: Sequence[Inner]) -> str:
    said = [
        tr(
            "{name} ({why}): {ranges}",
            name=each.answer.name if each.answer else each.layer,
            why=_why(each),
            ranges=listed(_range(symbol, values) for symbol, values in each.values.items()),
        )
        for each in found
    ]
    return tr("Gates of {layer} over the input of {count} examples. {said}.", layer=found[0].layer, count=len(found), said=joined(said))


def _range(symbol: str, values: np.ndarray) -> str:
    if not values.size:
        return tr("{symbol} nowhere", symbol=symbol)
    return tr("{symbol} {low:.2f} to {high:.2f}", symbol=symbol, low=values.min(), high=values.max())
