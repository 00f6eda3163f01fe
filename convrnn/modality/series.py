"""Series of measurements -> float32 frames `[T, C + masks]`: scaling learned from training frames, missing values filled and marked.

Knows no file format and no model. A missing value becomes a number and, where training had missing values in that channel, a mask
channel that is 1 at the frames where the value was missing, so that the model can learn what absence means (Lipton et al. 2016,
arXiv 1606.04130; Che et al. 2018, arXiv 1606.01865).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field, replace
from typing import Any, Literal, Self

import numpy as np

from convrnn.core.errors import DataError, NotStreamable, SpecError
from convrnn.core.language import tr
from convrnn.core.spec import register
from convrnn.core.terms import part_named
from convrnn.modality.base import Encoded, Examples, Floats, Modality, numbers, row_name
from convrnn.modality.scaling import FILL, Doubles, median_row_size, statistics

_TOO_SMALL = 0.05
"""Of a channel's deviation: a series smaller than this is next to a constant beside the others."""

_LARGEST = float(np.finfo(np.float32).max)


@register("series")
class Series(Modality):
    """Series of C numeric channels, of any lengths.

    A value x of channel c becomes `(x - offset_c) / spread_c`, in float64, then float32.

    Attributes:
        scale: what offset and spread are. Over all training frames of a channel: `standard` (mean, standard deviation), `minmax` (least,
            largest - least: training lies in 0..1), `robust` (median, interquartile range: outliers do not set the scale), `none` (0, 1).
            `instance`: mean and standard deviation of the very series that is encoded, which throws level and size away (the habit of
            the UCR archive) and, since it needs the whole series, is no choice for streaming. `auto`: `standard`, so that level and
            size, where they tell the classes apart, stay; but `instance` where one scale cannot show the series: where in some channel
            the median series of training has, and lies off, less than a twentieth of the channel's deviation. `fit` puts what it chose
            in its place.
        fill: what a missing value becomes. `previous`: the last value seen in its channel, the training mean before the first (knows no
            future: fit for streaming); `linear`: on the line between its neighbours, the nearest at both ends; `mean`: the training mean
            (with `instance`: the series' own); `zero`: the number 0, before scaling.
        channels: learned; names of the channels, empty where they have none.
        offsets, spreads: learned; one a channel. A channel that is constant in training has spread 1.
        means: learned; the mean of each channel in its own units.
        masked: learned; the channels with missing values in training, each of which has a mask.
        median_size: learned with `auto`; the size of the median series (its deviation, or how far off its level is) as a share of the
            deviation of all frames, in the channel where it is least.

    Example:
        >>> import numpy as np
        >>> Series(offsets=(10.0,), spreads=(2.0,), means=(10.0,), masked=(0,)).encode(np.array([[12.0], [np.nan]])).tolist()
        [[1.0, 0.0], [1.0, 1.0]]
    """

    choices = ("scale", "fill")

    scale: Literal["auto", "standard", "minmax", "robust", "instance", "none"] = field(default="auto", kw_only=False)
    fill: Literal["previous", "linear", "mean", "zero"] = "previous"
    channels: tuple[str, ...] = ()
    offsets: tuple[float, ...] = ()
    spreads: tuple[float, ...] = ()
    means: tuple[float, ...] = ()
    masked: tuple[int, ...] = ()
    median_size: float | None = None

    def check(self) -> None:
        """What was learned fits together."""
        width = len(self.offsets)
        if len(self.spreads) != width or len(self.means) != width or (self.channels and len(self.channels) != width):
            raise SpecError(
                "series.offsets",
                tr(
                    "expected one a channel, got {got} for {spreads} spreads and {means} means",
                    got=width,
                    spreads=len(self.spreads),
                    means=len(self.means),
                ),
            )
        if any(not 0 <= channel < width for channel in self.masked):
            raise SpecError("series.masked", tr("expected channels in 0..{width}, got {got}", width=width - 1, got=self.masked))
        if any(not spread > 0 for spread in self.spreads):
            raise SpecError("series.spreads", tr("expected numbers above 0, got {got}", got=min(self.spreads)))

    @property
    def fitted(self) -> bool:
        """See `Modality.fitted`."""
        return bool(self.offsets)

    @property
    def masks(self) -> int:
        """See `Modality.masks`."""
        return len(self.masked)

    def shape(self) -> tuple[int, ...]:
        """`(C + masks,)`."""
        return (len(self.offsets) + len(self.masked),)

    def encode(self, raw: Any, name: str = "input") -> Floats:
        """Numbers `[T, C]`, or `[T]` of one channel -> float32 `[T, C + masks]`; NaN is a missing value. See `Modality.encode`."""
        self.require_fitted()
        return self._encoded(raw, name, np.array(self.means))[0]

    def stream(self) -> SeriesStream:
        """A live series, a chunk of frames after the other, each encoded as it would be in the whole.

        Raises:
            NotStreamable: `scale: instance` or `fill: linear`, which look at the whole series.
            UsageError: nothing has been learned yet.
        """
        self.require_fitted()
        if self.scale == "instance":
            raise NotStreamable(
                "series.scale",
                tr("cannot stream: instance takes mean and deviation from the whole series"),
                tr("train with standard, minmax, robust or none"),
            )
        if self.fill == "linear":
            raise NotStreamable(
                "series.fill", tr("cannot stream: linear waits for the next value"), tr("train with previous, mean or zero")
            )
        return SeriesStream(self)

    def _encoded(self, raw: Any, name: str, before_C: Doubles) -> tuple[Floats, Doubles]:
        """Frames `[T, C + masks]`, and the values `[T, C]` behind them, gaps filled; before the first value `fill` takes `before_C`."""
        values_TC = _frames(raw, name, self.channels or len(self.offsets))
        missing_TC = np.isnan(values_TC)
        offsets, spreads = np.array(self.offsets), np.array(self.spreads)
        if self.scale == "instance":
            offsets, spreads, before_C = statistics(values_TC, "standard", before_C)
        if missing_TC.any():
            values_TC = FILL[self.fill](values_TC, missing_TC, before_C)
        scaled = (values_TC - offsets) / spreads
        if not (np.abs(scaled) <= _LARGEST).all():
            frame, channel = np.argwhere(~(np.abs(scaled) <= _LARGEST))[0]
            raise DataError(
                f"{name}:{_label(self.channels, channel)}",
                tr(
                    "the value {value:g} at frame {frame} is too far from those of training to be scaled",
                    value=values_TC[frame, channel],
                    frame=frame,
                ),
                tr("mend it, or leave it empty: missing"),
            )
        return np.concatenate([scaled, missing_TC[:, self.masked]], axis=1, dtype=np.float32), values_TC

    def encode_examples(self, examples: Examples) -> Encoded | list[Encoded]:
        """See `Modality.encode_examples`."""
        return self.encode_all(self._aligned(examples), examples.names)

    def describe(self) -> str:
        """See `Modality.describe`."""
        self.require_fitted()
        names = f" ({', '.join(self.channels[:8])}{', …' if len(self.channels) > 8 else ''})" if self.channels else ""
        why = ""
        if self.scale == "instance" and self.median_size is not None:
            why = tr(
                " (recognised: half of the series are smaller than {share:.1%} of the deviation of all frames)", share=self.median_size
            )
        return tr(
            "series of {count} channel(s){names}{masks}; scale: {scale}{why}; missing values: {fill}",
            count=len(self.offsets),
            names=names,
            masks=tr(", {masks} of them with a mask of missing values", masks=self.masks) if self.masked else "",
            scale=self.scale,
            why=why,
            fill=self.fill,
        )

    def notes(self, examples: Examples) -> tuple[str, ...]:
        """Missing values by channel, and whether the model has a mask for them. See `Modality.notes`."""
        self.require_fitted()
        counts = np.zeros(len(self.offsets), dtype=np.int64)
        for row, raw in enumerate(self._aligned(examples)):
            counts += np.isnan(_frames(raw, examples.names[row], self.channels or len(self.offsets))).sum(axis=0)
        how = {"previous": tr("the value before"), "linear": tr("a line between neighbours"), "mean": tr("the mean"), "zero": tr("zero")}[
            self.fill
        ]
        return tuple(
            tr(
                "missing values of channel {channel}, filled with {how}: {count:,}{unmasked}",
                channel=_label(self.channels, channel),
                how=how,
                count=counts[channel],
                unmasked="" if channel in self.masked else tr("; training had none, so no mask tells the model"),
            )
            for channel in np.flatnonzero(counts)
        )

    def _learn(self, examples: Examples) -> Self:
        columns = examples.channels or None
        rows = [_frames(raw, examples.names[row], columns) for row, raw in enumerate(examples.inputs)]
        width = rows[0].shape[1] if rows else 0
        for row, frames in enumerate(rows):
            if frames.shape[1] != width:
                raise _other_width(examples.names[row], frames.shape[1], width, tr(" as in {name}", name=examples.names[0]))
        values_TC = np.concatenate(rows) if rows else np.zeros((0, 0))
        if not values_TC.size:
            raise DataError(
                tr("{part} part", part=part_named("train")),
                tr("expected at least one frame of one channel, got none"),
                tr("give rows that hold values"),
            )
        means, _, _ = statistics(values_TC, "standard", np.zeros(width))
        scale, size = self.scale, None
        if scale == "auto":
            size = median_row_size(rows, values_TC)
            scale = "instance" if size < _TOO_SMALL else "standard"
        # "instance" learns no scale; 0 and 1 stand in its place.
        offsets, spreads, _ = statistics(values_TC, "none" if scale == "instance" else scale, means)
        masked = np.flatnonzero(np.isnan(values_TC).any(axis=0))
        return replace(
            self,
            scale=scale,
            median_size=size,
            channels=tuple(examples.channels),
            offsets=tuple(offsets.tolist()),
            spreads=tuple(spreads.tolist()),
            means=tuple(means.tolist()),
            masked=tuple(masked.tolist()),
        )

    def _aligned(self, examples: Examples) -> Sequence[Any]:
        """The inputs with their channels in the order learned; a channel that training did not have is left out.

        Raises:
            DataError: a channel of training is not there.
        """
        given = tuple(examples.channels)
        if not self.channels or not given or given == self.channels:
            return examples.inputs
        lacking = [channel for channel in self.channels if channel not in given]
        if lacking:
            raise DataError(
                row_name(examples.names, 0) if examples.names else "input",
                tr(
                    "expected the column {lacking!r}, got {got}{more}",
                    lacking=lacking[0],
                    got=", ".join(given[:8]),
                    more=", …" if len(given) > 8 else "",
                ),
                tr(
                    "name the columns as in training: {names}{more}",
                    names=", ".join(self.channels[:8]),
                    more=", …" if len(self.channels) > 8 else "",
                ),
            )
        order = [given.index(channel) for channel in self.channels]
        return [_frames(raw, examples.names[row], given)[:, order] for row, raw in enumerate(examples.inputs)]


class SeriesStream:
    """One live series; `Series.stream()` opens it.

    Example:
        >>> live = Series(offsets=(10.0,), spreads=(2.0,), means=(10.0,), masked=(0,)).stream()
        >>> [live.push([value]).tolist() for value in (12.0, float("nan"))]
        [[[1.0, 0.0]], [[1.0, 1.0]]]
    """

    def __init__(self, series: Series) -> None:
        self._series, self._before_C = series, np.array(series.means)

    def push(self, raw: Any, name: str = "input") -> Floats:
        """The next frames, any number of them, as `Series.encode` takes them -> float32 `[n, C + masks]`.

        Raises:
            DataError: they cannot be used; the stream stands where it stood.
        """
        encoded, values_TC = self._series._encoded(raw, name, self._before_C)
        if self._series.fill == "previous" and len(values_TC):
            self._before_C = values_TC[-1]
        return encoded


# ---- raw frames


def _frames(raw: Any, name: str, channels: tuple[str, ...] | int | None) -> Doubles:
    """float64 `[T, C]` with NaN where a value is missing; `channels` (their names or number) are expected, None: any number."""
    array = numbers(raw, name, tr("numbers [frames, channels]"))
    width = len(channels) if isinstance(channels, tuple) else channels
    if array.ndim == 1:  # one channel; or, from an empty list, no frames of however many channels
        array = array.reshape(0, width or 1) if not array.size else array[:, None]
    if array.ndim != 2:
        raise DataError(
            name, tr("expected [frames, channels], got shape {got}", got=array.shape), tr("give each series as a table, a frame a row")
        )
    if width is not None and array.shape[1] != width:
        raise _other_width(name, array.shape[1], width)
    frames = array.astype(np.float64)
    beyond = np.abs(frames) > _LARGEST
    if beyond.any():
        frame, channel = np.argwhere(beyond)[0]
        label = _label(channels if isinstance(channels, tuple) else (), channel)
        raise DataError(
            f"{name}:{label}",
            tr("expected finite numbers, got {got:g} at frame {frame}", got=frames[frame, channel], frame=frame),
            tr("leave it empty (NaN): missing"),
        )
    return frames


def _other_width(name: str, got: int, expected: int, like: str = "") -> DataError:
    return DataError(
        name,
        tr("expected {wanted} channel(s){like}, got {got}", wanted=expected, like=like, got=got),
        tr("give every series the same channels, [frames, channels]"),
    )


def _label(channels: tuple[str, ...], channel: int | np.intp) -> str:
    return repr(channels[channel]) if channels else str(channel + 1)
