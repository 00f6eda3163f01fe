"""The pictures of a study: means, ranks, learning curves, costs, gradients. Draws what was recorded; knows no test and no page.

An arm looks the same in every picture: its colour (Okabe and Ito, as in `figures.py`), its dashes and its marker together, so that two arms
that share a colour differ in two other ways. Names that the fonts lack are numbers, as the key of the page has them.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from convrnn.core.language import joined, tr
from convrnn.core.numerals import decimal
from convrnn.core.terms import named
from convrnn.report.figures import FAINT, HEIGHT, INK, PAPER, SERIES, WIDTH, Drawing
from convrnn.report.fonts import Lettering
from convrnn.report.markup import Markup, tag
from convrnn.report.records import Epoch, Json
from convrnn.report.study_records import Gradient

DASHES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)))
MARKERS = {  # of matplotlib, and the same shape as a path around 0 for the key of the page
    "o": "M-3 0a3 3 0 1 0 6 0a3 3 0 1 0 -6 0z",
    "s": "M-2.7 -2.7h5.4v5.4h-5.4z",
    "^": "M0 -3.2L3.2 2.6H-3.2z",
    "D": "M0 -3.6L3.6 0L0 3.6L-3.6 0z",
    "v": "M0 3.2L3.2 -2.6H-3.2z",
    "P": "M-1.2 -3.4h2.4v2.2h2.2v2.4h-2.2v2.2h-2.4v-2.2h-2.2v-2.4h2.2z",
    "<": "M-3.2 0L2.6 -3.2V3.2z",
    ">": "M3.2 0L-2.6 -3.2V3.2z",
}
FEW_LINES = 400  # in a picture; more than that become one image in the SVG, which would be megabytes


class Look(NamedTuple):
    """How an arm is drawn, and what it is called in the pictures."""

    label: str
    colour: str
    dashes: Any
    marker: str


def looks(arms: Sequence[str], lettering: Lettering) -> dict[str, Look]:
    """The look of each arm, in the order in which the study names them."""
    labels = lettering.axis(arms).labels
    every, markers = len(SERIES), tuple(MARKERS)
    return {
        arm: Look(label, SERIES[at % every], DASHES[at // every % len(DASHES)], markers[(at % every + at // every) % len(markers)])
        for at, (arm, label) in enumerate(zip(arms, labels, strict=True))
    }


def swatch(look: Look) -> Markup:
    """The line and the marker of an arm, as the page shows them."""
    colour = f"var(--c{SERIES.index(look.colour) + 1})"
    dashes = {} if look.dashes == "-" else {"stroke-dasharray": " ".join(f"{1.6 * each:.1f}" for each in look.dashes[1])}
    line = tag("path", attributes={"d": "M1 6H33", "stroke": colour, "stroke-width": "1.8", "fill": "none", **dashes})
    marker = tag("path", attributes={"d": MARKERS[look.marker], "fill": colour, "transform": "translate(17 6)"})
    return tag("svg.swatch", line, marker, attributes={"viewBox": "0 0 34 12", "role": "img", "aria-label": look.label})


def means(family: Json, look: Mapping[str, Look]) -> Drawing:
    """The mean of each arm with its interval, the best at the top."""
    lines = family["leaderboard"]
    figure = Figure(figsize=(WIDTH, 0.7 + 0.24 * len(lines)), layout="constrained")
    axes = figure.add_subplot(xlabel=named(family["metric"]))
    for place, line in enumerate(lines):
        own = look[line["arm"]]
        if line["low"] is not None:
            axes.plot([line["low"], line["high"]], [place, place], color=own.colour, linewidth=2.4, alpha=0.5)
        axes.plot(line["mean"], place, color=own.colour, marker=own.marker, markersize=6, linestyle="none")
    axes.set_ylim(len(lines) - 0.5, -0.5)
    axes.set_yticks(range(len(lines)), [look[line["arm"]].label for line in lines])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color=FAINT, alpha=0.25, linewidth=0.6)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    said = joined(f"{line['arm']} {decimal(line['mean'])}" for line in lines)
    return Drawing("means", figure, tr("Mean of each model with its 95% interval: {means}.", means=said))


def ranks(family: Json, look: Mapping[str, Look]) -> Drawing:
    """The critical-difference diagram: average ranks on a line, a bar over models that cannot be told apart."""
    lines = sorted((line for line in family["leaderboard"] if line["rank"] is not None), key=lambda line: line["rank"])
    place = {line["arm"]: line["rank"] for line in lines}
    half, bars = (len(lines) + 1) // 2, family["cliques"]
    depth = 0.5 + 0.32 * len(bars)
    figure = Figure(figsize=(7.4, 0.7 + 0.22 * (depth + half)), layout="constrained")
    low, high = math.floor(min(place.values())), math.ceil(max(place.values()))
    room = 0.16 * (high - low)
    axes = figure.add_subplot(xlim=(low - room, high + room), ylim=(depth + half - 0.2, -1.4))
    axes.axis("off")
    axes.plot([low, high], [0, 0], color=INK, linewidth=1)
    for tick in range(low, high + 1):
        axes.plot([tick, tick], [-0.22, 0], color=INK, linewidth=1)
        axes.text(tick, -0.4, str(tick), ha="center", va="bottom")
    for at, line in enumerate(lines):
        left = at < half
        row = depth + (at if left else len(lines) - 1 - at)
        end, own = (low - 0.1 * room if left else high + 0.1 * room), look[line["arm"]]
        axes.plot([line["rank"], line["rank"], end], [0, row, row], color=own.colour, linewidth=1.1, solid_joinstyle="miter")
        text = f"{own.label}  {line['rank']:.2f} " if left else f" {line['rank']:.2f}  {own.label}"
        axes.text(end, row, text, ha="right" if left else "left", va="center_baseline")
    for number, bar in enumerate(bars):
        ends = [place[bar[0]] - 0.012 * (high - low), place[bar[-1]] + 0.012 * (high - low)]
        axes.plot(ends, [0.35 + 0.32 * number] * 2, color=INK, linewidth=3.2, solid_capstyle="butt")
    ranked = joined(f"{line['arm']} {line['rank']:.2f}" for line in lines)
    groups = joined(", ".join(bar) for bar in bars) or tr("none")
    return Drawing("ranks", figure, tr("Average ranks: {ranks}. Not told apart: {groups}.", ranks=ranked, groups=groups))


class Curve(NamedTuple):
    """The epochs of one training."""

    arm: str
    epochs: Sequence[Epoch]


def curves(name: str, metric: str, trained: Sequence[Curve], look: Mapping[str, Look]) -> Drawing:
    """The metric on validation rows, epoch by epoch, of every training on a set; on training rows where none were held out."""
    figure, axes = _panel(tr("epoch"), named(metric), 2.7)
    by_arm: dict[str, list[dict[int, float]]] = {}
    many = len(trained) > FEW_LINES
    for each in trained:
        by_epoch = {epoch.epoch: (epoch.valid or epoch.train).get(metric, math.nan) for epoch in each.epochs}
        by_arm.setdefault(each.arm, []).append(by_epoch)
        axes.plot(
            *zip(*by_epoch.items(), strict=True), color=look[each.arm].colour, linewidth=0.6, alpha=0.3, rasterized=many, **_alone(by_epoch)
        )
    for arm, runs in by_arm.items():
        epochs = sorted(set().union(*runs))
        middle = [np.median([run[epoch] for run in runs if epoch in run]) for epoch in epochs]
        axes.plot(epochs, middle, color=look[arm].colour, linestyle=look[arm].dashes, linewidth=1.5, **_alone(epochs))
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    longest = max(len(each.epochs) for each in trained)
    alt = tr("Learning curves of {count} trainings, {epochs} epochs at most.", count=len(trained), epochs=longest)
    return Drawing(name, figure, alt)


def _alone(epochs: Collection[int]) -> dict[str, Any]:
    """A marker where there is one epoch, which makes no line."""
    return {"marker": "o", "markersize": 4.5} if len(epochs) == 1 else {}


class Priced(NamedTuple):
    """What an arm costs and how good it is."""

    arm: str
    cost: float
    value: float


def costs(
    name: str, title: str, metric: str, better: str, priced: Sequence[Priced], front: Sequence[str], look: Mapping[str, Look]
) -> Drawing:
    """Quality against a cost, the better the higher, so that errors grow downwards; the line joins the arms that none beats in both."""
    figure, axes = _panel(title, named(metric), HEIGHT)
    ends = sorted((each for each in priced if each.arm in front), key=lambda each: each.cost)
    axes.plot([each.cost for each in ends], [each.value for each in ends], color=FAINT, linewidth=1, drawstyle="steps-post", zorder=1)
    for each in priced:
        own = look[each.arm]
        axes.plot(
            each.cost, each.value, color=own.colour, marker=own.marker, markersize=6.5, linestyle="none", alpha=1 if each in ends else 0.6
        )
    prices = [each.cost for each in priced]
    _price_axis(axes, min(prices), max(prices))
    values = [each.value for each in priced]
    spread = (max(values) - min(values)) or abs(values[0]) or 1.0
    bottom, top = min(values) - 0.08 * spread, max(values) + 0.08 * spread
    axes.set_ylim((top, bottom - 0.14 * spread) if better == "lower" else (bottom, top + 0.14 * spread))
    _label(axes, ends, look)
    said = joined(f"{each.arm} {each.cost:.3g}, {decimal(each.value)}" for each in priced)
    alt = tr(
        "{metric} against {cost}: {points}. Nothing beats in both: {front}.",
        metric=named(metric),
        cost=title,
        points=said,
        front=", ".join(front),
    )
    return Drawing(name, figure, alt)


def gradients(name: str, found: Sequence[Gradient], look: Mapping[str, Look]) -> Drawing:
    """The norm of the gradient by distance: how much of a frame reaches the answer after so many others."""
    figure, axes = _panel(tr("frames before the last"), tr("gradient norm, last frame = 1"), 2.7)
    for each in found:
        own, norm = look[each.arm], np.array(each.norm)
        at_zero = norm[int(np.argmin(each.distance))]
        share = np.where(norm > 0, norm / at_zero, np.nan) if at_zero > 0 else norm
        end = each.when == "end"
        axes.plot(each.distance, share, color=own.colour, linestyle=own.dashes, linewidth=1.5 if end else 0.9, alpha=1.0 if end else 0.4)
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(numticks=6))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0e}" if value < 1e-3 else f"{value:g}"))
    axes.set_ylim(bottom=max(axes.get_ylim()[0], 1e-12))
    last = joined(f"{each.arm} {each.norm[-1]:.2g}" for each in found if each.when == "end")
    return Drawing(name, figure, tr("Gradient norm by distance; at the greatest distance, after training: {norms}.", norms=last or "-"))


def _panel(x: str, y: str, height: float) -> tuple[Figure, Axes]:
    """Margins as every panel needs them: to measure the letters, as a layout engine does, takes as long as the drawing."""
    figure = Figure(figsize=(WIDTH, height))
    axes = figure.add_axes((0.145, 0.46 / height, 0.84, 1 - 0.54 / height), xlabel=x, ylabel=y)
    axes.grid(axis="y", color=FAINT, alpha=0.25, linewidth=0.6)
    return figure, axes


def _price_axis(axes: Axes, low: float, high: float) -> None:
    """Logarithmic where one arm costs three times another; round numbers, written short."""
    if low > 0 and high > 3 * low:
        axes.set_xscale("log")
        axes.set_xlim(low / 1.35, high * 1.35)
        marks = [m * 10.0**e for e in range(-6, 16) for m in (1, 2, 5) if low / 1.35 <= m * 10.0**e <= high * 1.35]
        few = [mark for mark in marks if f"{mark:e}"[0] == "1"] if len(marks) > 6 else marks
        axes.xaxis.set_major_locator(FixedLocator(few))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        margin = 0.12 * (high - low or low or 1.0)
        axes.set_xlim(low - margin, high + margin)
        axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))


def short(value: float) -> str:
    """20k, 1.5M, 0.2."""
    for least, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if value >= least:
            return f"{value / (1e3 if letter == 'k' else least):.4g}{letter}"
    return f"{value:.4g}"


def _label(axes: Axes, ends: Sequence[Priced], look: Mapping[str, Look]) -> None:
    """Names beside the arms at the front, above and to the left of them where nothing else can be, one clear of the other."""
    bottom, top = axes.get_ylim()
    taken: list[float] = []
    for each in ends:
        at = (each.value - bottom) / (top - bottom) + 0.045
        while any(abs(at - other) < 0.06 for other in taken):
            at += 0.012
        taken.append(at)
        x = axes.transAxes.inverted().transform(axes.transData.transform((each.cost, each.value)))[0]
        left = x > 0.3
        axes.annotate(
            look[each.arm].label,
            (each.cost, each.value),
            (x + (-0.02 if left else 0.02), at),
            textcoords="axes fraction",
            ha="right" if left else "left",
            va="center",
            fontsize=8,
            bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 0.8, "alpha": 0.75},
            arrowprops={"arrowstyle": "-", "color": FAINT, "linewidth": 0.5, "shrinkA": 0, "shrinkB": 3},
        )
