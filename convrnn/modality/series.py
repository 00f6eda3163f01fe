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
from numpy.typing import NDArray

from convrnn.core.errors import DataError, SpecError
from convrnn.core.language import tr
from convrnn.core.spec import register
from convrnn.core.terms import part_named
from convrnn.modality.base import Encoded, Examples, Floats, Modality, numbers, row_name

Doubles = NDArray[np.float64]

_LARGEST = float(np.finfo(np.float32).max)


@register("series")
class Series(Modality):
    """Series of C numeric channels, of any lengths.

    A value x of channel c becomes `(x - offset_c) / spread_c`, in float64, then float32.

    Attributes:
        scale: what offset and spread are. Over all training frames of a channel: `standard` (mean, standard deviation), `minmax` (least,
            largest - least: training lies in 0..1), `robust` (median, interquartile range: outliers do not set the scale), `none` (0, 1).
            `instance`: mean and standard deviation of the very series that is encoded, which throws level and size away (the habit of
            the UCR archive) and, since it needs the whole series, is no choice for streaming. `standard` by default: where level and
            size tell the classes apart, they stay.
        fill: what a missing value becomes. `previous`: the last value seen in its channel, the training mean before the first (knows no
            future: fit for streaming); `linear`: on the line between its neighbours, the nearest at both ends; `mean`: the training mean
            (with `instance`: the series' own); `zero`: the number 0, before scaling.
        channels: learned; names of the channels, empty where they have none.
        offsets, spreads: learned; one a channel. A channel that is constant in training has spread 1.
        means: learned; the mean of each channel in its own units.
        masked: learned; the channels with missing values in training, each of which has a mask.

    Example:
        >>> import numpy as np
        >>> Series(offsets=(10.0,), spreads=(2.0,), means=(10.0,), masked=(0,)).encode(np.array([[12.0], [np.nan]])).tolist()
        [[1.0, 0.0], [1.0, 1.0]]
    """

    choices = ("scale", "fill")

    scale: Literal["standard", "minmax", "robust", "instance", "none"] = field(default="standard", kw_only=False)
    fill: Literal["previous", "linear", "mean", "zero"] = "previous"
    channels: tuple[str, ...] = ()
    offsets: tuple[float, ...] = ()
    spreads: tuple[float, ...] = ()
    means: tuple[float, ...] = ()
    masked: tuple[int, ...] = ()

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
        values_TC = _frames(raw, name, self.channels or len(self.offsets))
        missing_TC = np.isnan(values_TC)
        offsets, spreads, means = np.array(self.offsets), np.array(self.spreads), np.array(self.means)
        if self.scale == "instance":
            offsets, spreads, means = _statistics(values_TC, "standard", means)
        if missing_TC.any():
            values_TC = _FILL[self.fill](values_TC, missing_TC, means)
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
        return np.concatenate([scaled, missing_TC[:, self.masked]], axis=1, dtype=np.float32)

    def encode_examples(self, examples: Examples) -> Encoded | list[Encoded]:
        """See `Modality.encode_examples`."""
        return self.encode_all(self._aligned(examples), examples.names)

    def describe(self) -> str:
        """See `Modality.describe`."""
        self.require_fitted()
        names = f" ({', '.join(self.channels[:8])}{', …' if len(self.channels) > 8 else ''})" if self.channels else ""
        return tr(
            "series of {count} channel(s){names}{masks}; scale: {scale}; missing values: {fill}",
            count=len(self.offsets),
            names=names,
            masks=tr(", {masks} of them with a mask of missing values", masks=self.masks) if self.masked else "",
            scale=self.scale,
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
        means, _, _ = _statistics(values_TC, "standard", np.zeros(width))
        # "instance" learns no scale; 0 and 1 stand in its place.
        offsets, spreads, _ = _statistics(values_TC, "none" if self.scale == "instance" else self.scale, means)
        masked = np.flatnonzero(np.isnan(values_TC).any(axis=0))
        return replace(
            self,
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


# ---- scaling


def _statistics(values_TC: Doubles, scale: str, unseen: Doubles) -> tuple[Doubles, Doubles, Doubles]:
    """Offset, spread and mean of each channel, missing values left out; a channel without any value takes its mean from `unseen`."""
    offsets, spreads, means = np.zeros_like(unseen), np.ones_like(unseen), unseen.copy()
    for channel in range(values_TC.shape[1]):
        seen = values_TC[:, channel]
        seen = seen[~np.isnan(seen)]
        if seen.size:
            means[channel] = seen.mean()
        if scale != "none":
            offsets[channel], spreads[channel] = _SCALE[scale](seen) if seen.size else (means[channel], 1.0)
    return offsets, spreads, means


def _standard(seen: Doubles) -> tuple[float, float]:
    # Equal extremes tell a constant exactly; its computed deviation may be a rounding error, not 0.
    return float(seen.mean()), (float(seen.std()) if seen.min() < seen.max() else 0.0) or 1.0


def _minmax(seen: Doubles) -> tuple[float, float]:
    return float(seen.min()), float(seen.max() - seen.min()) or 1.0


def _robust(seen: Doubles) -> tuple[float, float]:
    """Median and interquartile range; where more than half the values are equal, the standard deviation in its place."""
    low, middle, high = np.quantile(seen, [0.25, 0.5, 0.75])
    return float(middle), float(high - low) or _standard(seen)[1]


_SCALE = {"standard": _standard, "minmax": _minmax, "robust": _robust}


# ---- missing values


def _fill_previous(values_TC: Doubles, missing_TC: NDArray[np.bool_], means: Doubles) -> Doubles:
    frame = np.where(missing_TC, -1, np.arange(len(values_TC))[:, None])
    last = np.maximum.accumulate(frame, axis=0)
    return np.where(last < 0, means, np.take_along_axis(values_TC, np.maximum(last, 0), axis=0))


def _fill_linear(values_TC: Doubles, missing_TC: NDArray[np.bool_], means: Doubles) -> Doubles:
    filled = np.where(missing_TC, means, values_TC)
    for channel in np.flatnonzero(missing_TC.any(axis=0) & ~missing_TC.all(axis=0)):
        gaps, seen = np.flatnonzero(missing_TC[:, channel]), np.flatnonzero(~missing_TC[:, channel])
        filled[gaps, channel] = np.interp(gaps, seen, values_TC[seen, channel])
    return filled


def _fill_mean(values_TC: Doubles, missing_TC: NDArray[np.bool_], means: Doubles) -> Doubles:
    return np.where(missing_TC, means, values_TC)


def _fill_zero(values_TC: Doubles, missing_TC: NDArray[np.bool_], means: Doubles) -> Doubles:
    return np.where(missing_TC, 0.0, values_TC)


_FILL = {"previous": _fill_previous, "linear": _fill_linear, "mean": _fill_mean, "zero": _fill_zero}
