"""What learning curves show, in a sentence. A pure function of the epoch records; no picture, no file, no model.

How it judges. Losses are smoothed by a running median of three and a short running mean, so that one wild epoch
decides nothing, and a sentence quotes what was judged, not single epochs. Every threshold is relative, to the first
loss or to the whole fall of a curve, and a change counts only where it exceeds what the curve's own jitter would
make: the jitter is estimated from how far each epoch lies from the mean of its two neighbours (a trend cancels
there), by a quantile. The constants below say how much is much.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from convrnn.core.language import tr
from convrnn.report.records import Epoch

Kind: TypeAlias = Literal[
    "diverged", "oscillates", "overfitting", "worsening", "underfitting", "not-converged", "converged", "too-short", "no-validation"
]

SHORTEST = 3  # epochs: a rise or a fall needs a point before and after it
JUMP = 0.10  # of the first loss: an upward step as large as this is no jitter of a healthy run ...
JUMPS = 0.25  # ... when at least this share of the steps (and two) make one
BLOW_UP = 1.5  # training loss at the end over its own lowest value, and at least JUMP of the first loss above it
RISE = 0.05  # of the lowest loss: a rise that is called one ...
RISE_OF_FIRST = 0.01  # ... unless it is smaller than this share of the first loss: 0.010 to 0.012 after 2.3 is nothing
FALL = 0.02  # of the training loss: the fall meanwhile that shows that the model goes on learning the training part
LEVEL = 0.80  # of the loss of a constant answer: a training loss that stays above it has learned little
HARDLY = 0.10  # of the first loss: a training loss that fell by less has learned little (only where no constant answer is known)
STILL = 0.03  # of the whole fall, within the last third: still falling (an exponential gets there after five time constants) ...
WORTH = 0.01  # ... unless it is smaller than this share of the loss itself
FLAT = 0.05  # of the whole fall: within this distance of its end a curve is called level
SIGNIFICANT = 2.0  # a change counts when it is this many standard errors large ...
ALONE = 3.0  # ... and a rise that no falling training loss speaks for, when it is this many


@dataclass(frozen=True)
class Finding:
    """What the curves show, from which epoch on (None: no particular one), as a sentence, and what to do about it ("" if nothing)."""

    kind: Kind
    epoch: int | None
    sentence: str
    remedy: str = ""


def findings(epochs: Sequence[Epoch], chance: float | None = None) -> list[Finding]:
    """What the learning curves show; the first finding is the one to read.

    Args:
        epochs: the epoch records of a run, in order.
        chance: loss of the best constant answer, if known (`chance_loss`). Without it, a training loss that hardly fell is called
            underfitting, however low it is.

    Returns:
        At least one finding. `no-validation` comes after another one, never alone.
    """
    found = [_main(epochs, chance)]
    if epochs and all(each.valid is None for each in epochs):
        found.append(
            Finding(
                "no-validation",
                None,
                tr("There is no validation part, so overfitting would not show in these curves."),
                tr("Set rows aside with --valid 0.1."),
            )
        )
    return found


def _main(epochs: Sequence[Epoch], chance: float | None) -> Finding:
    broken = _not_finite(epochs)
    if broken:
        return broken
    if len(epochs) < SHORTEST:
        count = tr("one epoch") if len(epochs) == 1 else tr("{count} epochs", count=len(epochs))
        sentence = tr("With {count} it is too early to say what the curves show.", count=count)
        return Finding("too-short", None, sentence, tr("Train for more epochs with --epochs."))
    train = _Curve([each.train["loss"] for each in epochs])
    checked = all(each.valid is not None for each in epochs)
    valid = _Curve([each.valid["loss"] for each in epochs if each.valid is not None]) if checked else None
    numbers = [each.epoch for each in epochs]
    judged, part = (train, "train") if valid is None else (valid, "valid")
    return (
        _unstable(train, numbers)
        or (_overfitting(train, valid, numbers) if valid is not None else None)
        or _not_converged(judged, part, numbers)
        or _underfitting(train, numbers, chance)
        or _worsening(train, valid, numbers)
        or _converged(judged, train, part, numbers)
    )


class _Rise(NamedTuple):
    """A loss that rose after its best epoch, whose place is `best`: smoothed, from `low` to `high`."""

    best: int
    low: float
    high: float


class _Curve:
    """The losses of one part over the epochs: raw, smoothed, and how much they jitter."""

    def __init__(self, losses: Sequence[float]) -> None:
        self.raw = np.array(losses, dtype=np.float64)
        self.smooth = _smooth(self.raw)
        over = self.raw[1:-1] - (self.raw[:-2] + self.raw[2:]) / 2
        # The upper quartile, not the median size: learning curves are convex, and a bend pushes `over` down, never up.
        self.noise = 1.4826 * max(0.0, float(np.quantile(over, 0.75))) / math.sqrt(1.5)
        self.first, self.last = float(self.raw[0]), float(self.smooth[-1])
        self.lowest = int(np.argmin(self.smooth))

    @property
    def fall(self) -> float:
        """The whole fall, from the first epoch to the lowest smoothed value."""
        return self.first - float(self.smooth[self.lowest])

    def best(self) -> int:
        """The epoch of the lowest loss: the raw one (it is marked in the figure) unless it is a lucky dip elsewhere."""
        raw = int(np.argmin(self.raw))
        low = float(self.smooth[self.lowest])
        if abs(raw - self.lowest) <= 2:
            return raw
        return raw if self.smooth[raw] <= low + max(self.noise, WORTH * abs(low)) else self.lowest

    def rise(self, errors: float) -> _Rise | None:
        """From the best epoch to the end, if it is so many standard errors large, and of two epochs at least, for one may be wild."""
        best = self.best()
        tail = self.raw[max(best + 1, len(self.raw) - 3) :]
        if len(tail) < 2:
            return None
        low, high = float(self.smooth[self.lowest]), float(np.median(tail))
        error = self.noise * math.sqrt(1 / len(tail) + 1 / 3)  # of the difference of two means; `low` is one of about three epochs
        rises = high - low > max(RISE * abs(low), RISE_OF_FIRST * abs(self.first), errors * error)
        return _Rise(best, low, high) if rises else None

    def level_from(self) -> tuple[int, float | None]:
        """From where on the curve stays as near to its end as makes no difference; the share of its fall that was done there.

        No share where it was level all along, or where noise or the size of the loss says how near that is: its fall is little beside them.
        """
        near = max(FLAT * self.fall, SIGNIFICANT * self.noise, WORTH * abs(self.last))
        away = np.flatnonzero(np.abs(self.smooth - self.last) > near)
        start = min(int(away[-1]) + 1, len(self.raw) - 2) if len(away) else 0
        if not start or near > FLAT * self.fall or self.last >= self.first:
            return start, None
        return start, min(1.0, float(self.first - self.smooth[start]) / (self.first - self.last))


def _smooth(values: np.ndarray) -> np.ndarray:
    """Running median of three, from 8 epochs on a running mean of 3 after it, from 20 on of 5; windows shrink at the ends.

    The last value is Tukey's (Exploratory Data Analysis, 1977): the median of itself, its neighbour and where the line through the two
    medians before would be, so that a trend goes on to the end and a wild last epoch does not count.
    """
    middle = np.array([np.median(values[max(0, i - 1) : i + 2]) if 0 < i < len(values) - 1 else values[i] for i in range(len(values))])
    if len(values) > SHORTEST:
        middle[-1] = np.median([values[-1], middle[-2], 3 * middle[-2] - 2 * middle[-3]])
    reach = 0 if len(values) < 8 else 1 if len(values) < 20 else 2
    return np.array([_mean_around(middle, i, min(reach, i, len(values) - 1 - i)) for i in range(len(values))])


def _mean_around(values: np.ndarray, place: int, reach: int) -> float:
    return float(values[place - reach : place + reach + 1].mean())


def _not_finite(epochs: Sequence[Epoch]) -> Finding | None:
    for each in epochs:
        for part, scores in (("train", each.train), ("valid", each.valid or {})):
            loss = scores.get("loss", 0.0)
            if not math.isfinite(loss):
                sentence = tr(
                    "{curve} became {name} in epoch {epoch}: the learning rate is too high, or the inputs hold extreme values.",
                    curve=_curve(part),
                    name="NaN" if math.isnan(loss) else tr("infinite"),
                    epoch=each.epoch,
                )
                remedy = tr("Lower the learning rate tenfold, or clip the gradient by its norm.")
                return Finding("diverged", each.epoch, sentence, remedy)
    return None


def _unstable(train: _Curve, numbers: Sequence[int]) -> Finding | None:
    remedy = tr("Lower the learning rate three- to tenfold, or clip the gradient by its norm.")
    jump = JUMP * abs(train.first)
    floor, end = float(train.smooth[train.lowest]), float(train.raw[-1])
    if end < BLOW_UP * train.first:
        end = min(end, float(train.raw[-2]))  # one wild epoch is none, unless it is worse than the beginning
    if end > BLOW_UP * floor and end - floor > max(jump, SIGNIFICANT * train.noise):
        best = int(np.argmin(train.raw))
        sentence = tr(
            "Training loss rose from {low} in epoch {epoch} to {high} at the end: the learning rate is too high.",
            low=_loss(train.raw[best]),
            epoch=numbers[best],
            high=_loss(train.raw[-1]),
        )
        return Finding("diverged", numbers[best], sentence, remedy)
    ups = np.flatnonzero(np.diff(train.raw) > jump)
    if len(ups) >= max(2, math.ceil(JUMPS * (len(numbers) - 1))):
        sentence = tr(
            "Training loss oscillates: in {jumps} of {epochs} epochs it jumped up by more than {jump:.0%} of its first value, "
            "first in epoch {epoch}: the learning rate is too high.",
            jumps=len(ups),
            epochs=len(numbers) - 1,
            jump=JUMP,
            epoch=numbers[ups[0] + 1],
        )
        return Finding("oscillates", numbers[ups[0] + 1], sentence, remedy)
    return None


def _overfitting(train: _Curve, valid: _Curve, numbers: Sequence[int]) -> Finding | None:
    rise = valid.rise(SIGNIFICANT)
    if rise is None or _falls(train, rise) <= FALL:
        return None
    sentence = tr(
        "Validation loss rose from epoch {epoch} ({low}, now {high}) while training loss fell ({before}, now {after}; smoothed): "
        "overfitting.",
        **_quoted(rise, train, numbers),
    )
    remedy = tr("Try dropout, augmentation, weight decay or early stopping, or more data.")
    return Finding("overfitting", numbers[rise.best], sentence, remedy)


def _worsening(train: _Curve, valid: _Curve | None, numbers: Sequence[int]) -> Finding | None:
    """A rise that learning the training part too well does not explain."""
    rise = (valid or train).rise(ALONE)
    if rise is None:
        return None
    if valid is None:
        sentence = tr(
            "Training loss rose from epoch {epoch} ({low}, now {high}; smoothed): the learning rate is too high.",
            epoch=numbers[rise.best],
            low=_loss(rise.low),
            high=_loss(rise.high),
        )
        remedy = tr("Lower the learning rate three- to tenfold, or clip the gradient by its norm.")
    else:
        sentence = tr(
            "Validation loss rose from epoch {epoch} ({low}, now {high}) while training loss fell by less than {share:.0%} "
            "({before}, now {after}; smoothed): the learning rate is too high, or the two parts differ in kind.",
            share=FALL,
            **_quoted(rise, train, numbers),
        )
        remedy = tr("Lower the learning rate, and check that the validation part is drawn as the training part is.")
    return Finding("worsening", numbers[rise.best], sentence, remedy)


def _falls(train: _Curve, rise: _Rise) -> float:
    """By what share of itself the training loss fell meanwhile."""
    before = float(train.smooth[rise.best])
    return (before - train.last) / abs(before) if before else 0.0


def _quoted(rise: _Rise, train: _Curve, numbers: Sequence[int]) -> dict[str, Any]:
    """What was judged, for a sentence."""
    before, after = train.smooth[rise.best], train.last
    return {"epoch": numbers[rise.best], "low": _loss(rise.low), "high": _loss(rise.high), "before": _loss(before), "after": _loss(after)}


def _not_converged(curve: _Curve, part: str, numbers: Sequence[int]) -> Finding | None:
    count = max(SHORTEST, math.ceil(len(numbers) / 3))
    tail = curve.raw[-count:]
    fall = -_slope(tail) * (count - 1)
    error = curve.noise * math.sqrt(12 / count)  # standard error of a straight line's fall over its own length
    if curve.fall <= 0 or fall <= max(STILL * curve.fall, WORTH * abs(curve.last), SIGNIFICANT * error):
        return None
    start = numbers[-count]
    sentence = tr(
        "{curve} was still falling at the end (by about {fall} from epoch {start} to {end}): not converged.",
        curve=_curve(part),
        fall=_loss(fall),
        start=start,
        end=numbers[-1],
    )
    return Finding("not-converged", start, sentence, tr("Train longer with --epochs."))


def _slope(values: np.ndarray) -> float:
    """The median of the slopes between all pairs (Theil, 1950; Sen, 1968): one wild epoch does not move it."""
    first, second = np.triu_indices(len(values), k=1)
    return float(np.median((values[second] - values[first]) / (second - first)))


def _underfitting(train: _Curve, numbers: Sequence[int], chance: float | None) -> Finding | None:
    level = train.last / chance if chance else None
    remedy = tr("Try a larger model, another learning rate or less regularisation, and check that inputs and targets belong together.")
    share = (train.first - train.last) / abs(train.first) if train.first else 1.0
    if level is None and share < HARDLY:
        sentence = tr(
            "Training loss hardly fell in {epochs} epochs ({before} to {after}): underfitting.",
            epochs=len(numbers),
            before=_loss(train.first),
            after=_loss(train.last),
        )
    elif level is not None and level > LEVEL:
        sentence = tr(
            "Training loss is still high ({loss} after {epochs} epochs, {level:.0%} of what a constant answer would have): underfitting.",
            loss=_loss(train.last),
            epochs=len(numbers),
            level=level,
        )
    else:
        return None
    return Finding("underfitting", None, sentence, remedy)


def _converged(judged: _Curve, train: _Curve, part: str, numbers: Sequence[int]) -> Finding:
    start, done = judged.level_from()
    aside = ""
    if part == "valid" and train.smooth[start] - train.last > max(2 * FLAT * train.fall, SIGNIFICANT * train.noise):
        aside = tr(", while training loss went on falling")
    facts: dict[str, Any] = {"curve": _curve(part), "epoch": numbers[start], "loss": _loss(judged.last), "aside": aside}
    if done is None:
        sentence = tr("{curve} has been level since epoch {epoch} ({loss} at the end){aside}: converged.", **facts)
    else:
        sentence = tr(
            "{curve} has been level since epoch {epoch} ({done:.0%} of its fall was done; {loss} at the end){aside}: converged.",
            done=done,
            **facts,
        )
    return Finding("converged", numbers[start], sentence)


def _curve(part: str) -> str:
    return tr("Training loss") if part == "train" else tr("Validation loss")


def _loss(value: float) -> str:
    return f"{value:.3g}"
