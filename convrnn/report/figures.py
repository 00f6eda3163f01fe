"""Records -> matplotlib figures. Draws what was recorded and computes nothing about a model.

Each function gives a `Drawing`: a name (also of the file), a `Figure` and, for those who cannot see it, what it shows.
Figures and their saving belong inside `with style(lettering):`. No pyplot, no global state left behind.
Colours: Okabe and Ito, 2008, "Color universal design", told apart with every common colour blindness.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from convrnn.core.language import joined, tr
from convrnn.core.terms import named, part_named
from convrnn.report.fonts import Lettering
from convrnn.report.records import Epoch, Step
from convrnn.report.scores import COUNTED, Classified, Regressed, wilson

INK, FAINT, PAPER = "#1c2128", "#8b929c", "#fefefe"
TRAIN, VALID, THIRD = "#0072b2", "#d55e00", "#009e73"
SERIES = (TRAIN, VALID, THIRD, "#cc79a7", "#e69f00", "#56b4e9")
WIDTH, HEIGHT = 4.8, 3.1  # inches of an ordinary figure: 9 point letters stay readable on a phone of 360 pixels
_PLAIN = FuncFormatter(lambda value, _: f"{value:g}")  # 0.001, not $10^{-3}$: mathtext is off


class Drawing(NamedTuple):
    """A figure, the name of its file without suffix, and its text for a screen reader."""

    name: str
    figure: Figure
    alt: str


def style(lettering: Lettering) -> AbstractContextManager[None]:
    """The look of every figure, for a `with`; matplotlib's settings are as before afterwards."""
    return matplotlib.rc_context(
        {
            "font.family": list(lettering.families),
            "font.size": 9,
            "axes.titlesize": 9.5,
            "axes.titlelocation": "left",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.edgecolor": FAINT,
            "axes.linewidth": 0.7,
            "axes.labelcolor": INK,
            "axes.facecolor": "none",
            "figure.facecolor": PAPER,
            "text.color": INK,
            "text.parse_math": False,  # a class may be called "$5 to $10"
            "axes.unicode_minus": True,
            "xtick.color": FAINT,
            "ytick.color": FAINT,
            "xtick.labelcolor": INK,
            "ytick.labelcolor": INK,
            "xtick.major.width": 0.7,
            "ytick.major.width": 0.7,
            "legend.frameon": False,
            "lines.linewidth": 1.6,
            "lines.solid_capstyle": "round",
            "svg.fonttype": "path",
            "svg.hashsalt": "convrnn",
            "savefig.dpi": 144,
        }
    )


def loss(epochs: Sequence[Epoch], steps: Sequence[Step]) -> Drawing:
    """Loss of training and validation by epoch, the batches' losses behind them, the lowest validation loss marked."""
    figure, axes = _panel(tr("epoch"), tr("loss"))
    place = _epoch_of(epochs, steps)
    if len(steps) > 2 * len(epochs):
        axes.plot(place, _finite([each.loss for each in steps]), color=TRAIN, alpha=0.25, linewidth=0.7, label=tr("each batch"))
    alt = _parts(axes, epochs, "loss", lowest=True)
    broken = [each.epoch for each in epochs if not math.isfinite(each.train["loss"])]
    if broken:
        axes.axvline(broken[0], color=VALID, linewidth=0.8, linestyle=":")
        axes.annotate(
            tr("not finite"), (broken[0], 0.5), xycoords=("data", "axes fraction"), rotation=90, ha="right", va="center", color=VALID
        )
    _logarithmic(axes, [part["loss"] for each in epochs for part in (each.train, each.valid or {}) if part])
    axes.legend()
    return Drawing("loss", figure, tr("Loss by epoch. {alt}", alt=alt))


def metric(epochs: Sequence[Epoch], name: str) -> Drawing:
    """A metric of training and validation by epoch, the best validation value marked."""
    figure, axes = _panel(tr("epoch"), named(name))
    alt = _parts(axes, epochs, name, lowest=name not in ("accuracy", "f1", "macro_f1", "balanced_accuracy", "r2"))
    axes.legend()
    return Drawing("metric", figure, tr("{name} by epoch. {alt}", name=named(name), alt=alt))


def rate(epochs: Sequence[Epoch], steps: Sequence[Step]) -> Drawing:
    """The learning rate, step by step where steps were recorded."""
    figure, axes = _panel(tr("epoch"), tr("learning rate"), height=2.3)
    x = _epoch_of(epochs, steps) if steps else [each.epoch for each in epochs]
    y = [each.rate for each in steps or epochs]
    axes.plot(x, y, color=THIRD, **_dots(len(y)))
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(_PLAIN)
    return Drawing(
        "rate",
        figure,
        tr("Learning rate: {first:.3g} at first, {most:.3g} at most, {last:.3g} at the end.", first=y[0], most=max(y), last=y[-1]),
    )


def norm(epochs: Sequence[Epoch], steps: Sequence[Step]) -> Drawing:
    """The norm of the gradient before clipping, step by step."""
    figure, axes = _panel(tr("epoch"), tr("gradient norm"), height=2.3)
    values = _finite([each.norm for each in steps])
    axes.plot(_epoch_of(epochs, steps), values, color=SERIES[3], linewidth=1.0, **_dots(len(values)))
    _logarithmic(axes, values.tolist())
    known = values[np.isfinite(values)]
    alt = tr("never finite.")
    if len(known):
        alt = tr("median {median:.3g}, largest {largest:.3g}.", median=np.median(known), largest=known.max())
    return Drawing("norm", figure, tr("Gradient norm: {alt}", alt=alt))


def confusion(scores: Classified, lettering: Lettering) -> Drawing:
    """Counts of predicted by true class; the shade is the share of the true class."""
    count = len(scores.labels)
    names, numbered = lettering.axis(scores.labels)
    cell = max(0.16 if count > COUNTED else 0.24, min(0.8, 3.4 / count))
    margin = 0.5 if numbered else 0.4 + 0.075 * max(map(len, names))
    size = cell * count + margin + 0.4
    figure = Figure(figsize=(max(3.4, size), size), layout="constrained")
    axes = figure.add_subplot(aspect="equal", xlim=(0, count), ylim=(count, 0))
    shares = scores.counts / np.maximum(1, scores.counts.sum(axis=1, keepdims=True))
    rows, cols = np.nonzero(scores.counts)
    corners = np.array([(0, 0), (1, 0), (1, 1), (0, 1)])
    shade = [to_rgba(TRAIN, round(0.06 + 0.94 * float(shares[place]), 3)) for place in zip(rows, cols, strict=True)]
    axes.add_collection(PolyCollection(list(corners + np.stack([cols, rows], axis=1)[:, None, :]), facecolors=shade, linewidths=0))
    if count <= COUNTED:
        for row, col in zip(rows.tolist(), cols.tolist(), strict=True):
            text = str(scores.counts[row, col])
            size = min(9.0, 0.75 * cell * 72 / max(1.6, 0.62 * len(text)))
            colour = PAPER if shares[row, col] > 0.55 else INK
            axes.text(col + 0.5, row + 0.5, text, ha="center", va="center_baseline", fontsize=size, color=colour)
    _class_ticks(axes, names, cell)
    if numbered:
        figure.suptitle(tr("numbers: see the key in report.html"), fontsize=8, color=FAINT)
    axes.set_xlabel(tr("predicted class"))
    axes.set_ylabel(tr("true class"))
    worst = [tr("{true} taken for {said}: {times}", true=true, said=said, times=times) for true, said, times in scores.confusions(3)]
    alt = tr(
        "Confusion matrix of {count} classes: {right} of {rows} on the diagonal; most frequent: {worst}.",
        count=count,
        right=scores.right,
        rows=scores.rows,
        worst=joined(worst or [tr("no mistakes")]),
    )
    return Drawing("confusion", figure, alt)


def calibration(scores: Classified) -> Drawing:
    """Reliability: how often answers were right by how probable the model called them, with 95 % intervals, over their numbers."""
    figure = Figure(figsize=(WIDTH, 4.0), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3.2, 1))
    upper.plot([0, 1], [0, 1], color=FAINT, linewidth=0.8, linestyle=(0, (4, 3)))
    filled = [each for each in scores.bins if each.rows]
    x = [each.confidence for each in filled]
    y = [each.right / each.rows for each in filled]
    for each, middle in zip(filled, x, strict=True):
        upper.plot([middle, middle], wilson(each.right, each.rows), color=TRAIN, linewidth=1.0, alpha=0.6)
    areas = [10 + 50 * each.rows / max(each.rows for each in filled) for each in filled]
    upper.plot(x, y, color=TRAIN, linewidth=0.8, alpha=0.5)
    upper.scatter(x, y, s=areas, color=TRAIN, zorder=3)
    upper.set(xlim=(0, 1), ylim=(0, 1.02), ylabel=tr("share that was right"))
    lower.bar([each.low for each in scores.bins], [each.rows for each in scores.bins], width=0.092, align="edge", color=TRAIN, alpha=0.55)
    lower.set(xlabel=tr("probability of the answer"), ylabel=tr("rows"))
    lower.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    points = joined(tr("at {probability:.2f}: {right:.2f}", probability=a, right=b) for a, b in zip(x, y, strict=True))
    alt = tr("Reliability diagram, share of right answers by probability. {points}.", points=points)
    return Drawing("calibration", figure, alt)


def predicted(scores: Regressed) -> Drawing:
    """Predicted against true values; on the diagonal both are equal."""
    figure = Figure(figsize=(WIDTH, 4.2), layout="constrained")
    axes = figure.add_subplot(xlabel=tr("true"), ylabel=tr("predicted"))
    low, high = min(scores.truth.min(), scores.said.min()), max(scores.truth.max(), scores.said.max())
    axes.plot([low, high], [low, high], color=FAINT, linewidth=0.8, linestyle=(0, (4, 3)))
    axes.plot(scores.truth, scores.said, color=TRAIN, alpha=_alpha(len(scores.truth)), **_marks(len(scores.truth)))
    alt = tr("Predicted against true values, {rows} rows.", rows=len(scores.truth))
    if math.isfinite(scores.r2):
        alt = tr("Predicted against true values, {rows} rows, R\u00b2 {r2:.3f}.", rows=len(scores.truth), r2=scores.r2)
    return Drawing("predicted", figure, alt)


def residuals(scores: Regressed) -> Drawing:
    """Predicted minus true, over the prediction, with its distribution at the side."""
    figure = Figure(figsize=(WIDTH, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3.2, 1))
    left.axhline(0, color=FAINT, linewidth=0.8, linestyle=(0, (4, 3)))
    left.plot(scores.said, scores.residuals, color=TRAIN, alpha=_alpha(len(scores.said)), **_marks(len(scores.said)))
    left.set(xlabel=tr("predicted"), ylabel=tr("predicted minus true"))
    right.hist(scores.residuals, bins=min(40, max(8, int(math.sqrt(len(scores.said))))), orientation="horizontal", color=TRAIN, alpha=0.55)
    right.set(xlabel=tr("rows"))
    low, middle, high = np.quantile(scores.residuals, (0.25, 0.5, 0.75))
    alt = tr("Residuals: quartiles {low:.3g}, {middle:.3g} and {high:.3g}.", low=low, middle=middle, high=high)
    return Drawing("residuals", figure, alt)


def _panel(x: str, y: str, height: float = HEIGHT) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    axes = figure.add_subplot(xlabel=x, ylabel=y)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))
    axes.grid(axis="y", color=FAINT, alpha=0.25, linewidth=0.6)
    return figure, axes


def _parts(axes: Axes, epochs: Sequence[Epoch], name: str, lowest: bool) -> str:
    """Draws a number of both parts over the epochs, marks the best one of the validation part; says what it drew."""
    said = []
    for part, colour, records in (
        ("train", TRAIN, [(each.epoch, each.train) for each in epochs]),
        ("valid", VALID, [(each.epoch, each.valid) for each in epochs if each.valid is not None]),
    ):
        pairs = [(epoch, part[name]) for epoch, part in records if math.isfinite(part.get(name, math.nan))]
        if not pairs:
            continue
        x, y = zip(*pairs, strict=True)
        label, dashes = part_named(part), "-" if part == "train" else (0, (5, 1.2))
        axes.plot(x, y, color=colour, label=label, linestyle=dashes, **_dots(len(pairs)))
        sentence = tr("{part}: {first:.3g} at first, {last:.3g} at the end", part=label, first=y[0], last=y[-1])
        if part == "valid":
            best = int(np.argmin(y) if lowest else np.argmax(y))
            word = tr("lowest") if lowest else tr("highest")
            axes.plot(
                x[best],
                y[best],
                marker="o",
                markersize=7,
                markerfacecolor="none",
                color=colour,
                linestyle="none",
                label=tr("{word}: epoch {epoch}", word=word, epoch=x[best]),
            )
            sentence = tr("{said}, {word} {value:.3g} in epoch {epoch}", said=sentence, word=word, value=y[best], epoch=x[best])
        said.append(sentence)
    return tr("{said}.", said=joined(said)) if said else tr("No finite value.")


def _epoch_of(epochs: Sequence[Epoch], steps: Sequence[Step]) -> list[float]:
    """Where each step stands on an axis of epochs: the end of epoch 3 is at 3."""
    if not epochs:
        return [float(each.step) for each in steps]
    ends = {each.epoch: each.step for each in epochs}
    starts = {each.epoch: ends.get(each.epoch - 1, 0) for each in epochs}
    length = epochs[0].step - starts[epochs[0].epoch]
    at = []
    for each in steps:
        start = starts.get(each.epoch, ends.get(each.epoch - 1, 0))
        end = ends.get(each.epoch, start + length)
        at.append(each.epoch - 1 + (each.step - start) / max(1, end - start))
    return at


def _class_ticks(axes: Axes, names: Sequence[str], cell: float) -> None:
    every = 1 if len(names) <= COUNTED else 5
    places = [number for number in range(len(names)) if number == 0 or (number + 1) % every == 0]
    size = min(9.0, cell * 72 * 0.55) if every == 1 else 8.0
    upright = max(map(len, names)) > 3
    ticks = [place + 0.5 for place in places]
    axes.set_xticks(ticks, [names[place] for place in places], fontsize=size, rotation=90 if upright else 0)
    axes.set_yticks(ticks, [names[place] for place in places], fontsize=size)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(True)


def _logarithmic(axes: Axes, values: Sequence[float]) -> None:
    """A logarithmic axis where a linear one would hide the lower half of the story."""
    known = [value for value in values if math.isfinite(value)]
    if known and min(known) > 0 and max(known) > 50 * min(known):
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(_PLAIN)
        axes.yaxis.set_minor_formatter(NullFormatter())


def _finite(values: Sequence[float]) -> np.ndarray:
    array = np.array(values, dtype=np.float64)
    return np.where(np.isfinite(array), array, np.nan)


def _dots(count: int) -> dict[str, Any]:
    return {"marker": "o", "markersize": 3.5} if count <= 15 else {}


def _marks(count: int) -> dict[str, Any]:
    """Points; beyond 2,000 of them as one picture within the SVG, which would be megabytes otherwise."""
    return {"marker": "o", "markersize": 3.5, "linestyle": "none", "markeredgewidth": 0, "rasterized": count > 2000}


def _alpha(count: int) -> float:
    return max(0.15, min(0.8, 12 / math.sqrt(count)))
