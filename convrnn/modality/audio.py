"""Recordings -> log-mel frames `[T, mels]`: what each band is on average and how much it varies is learned from the training part.

Knows no file format and no model. `core/mel.py` says what a frame and a band are. A frame looks at no sample before its own time and its
number follows from that of the samples, so the frames of a live stream are those of the whole recording; `front` names the layer that
makes them so (`layers/log_mel.py`), in a stream and in exported files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import field, replace
from typing import Annotated, Any, Self

import numpy as np
from pydantic import Field

from convrnn.core.errors import DataError, SpecError
from convrnn.core.language import tr
from convrnn.core.mel import FLOOR, Doubles, MelFrames
from convrnn.core.spec import register
from convrnn.core.terms import part_named
from convrnn.modality.base import Encoded, Examples, Floats, Modality, row_name, stacked
from convrnn.modality.sound import Samples, Sound, as_samples, resample

BLOCK = 4096
"""Frames that are transformed at once: their windows are copied."""

Milliseconds = Annotated[float, Field(gt=0, le=10_000)]


@register("audio")
class Audio(Modality):
    """Recordings of any length and any rate, one channel.

    A band b of power p becomes `(log max(p, 1e-10) - means[b]) / deviations[b]`, in float64, then float32.

    Attributes:
        mels: bands: 40 as in most work on small vocabularies (Sainath & Parada 2015), 64 or 80 for long recordings and large models.
        window_ms: length of a frame; 25 ms every 10 ms is the habit of speech recognition since the eighties (Davis & Mermelstein 1980).
        hop_ms: from frame to frame.
        low_hz: where the first band begins; below 20 Hz there is rumble and offset.
        high_hz: where the last band ends; None: half the rate.
        sample_rate: what recordings are resampled to; None: the rate that most recordings of the training part have.
        rate: learned; samples a second.
        means, deviations: learned; one a band, over all training frames. A band that is constant there has deviation 1.

    Example:
        >>> audio = Audio(rate=8_000, means=(-10.0,) * 40, deviations=(2.0,) * 40)
        >>> audio.encode(Sound(np.zeros(3_000, np.float32), 8_000)).shape, audio.shape()
        ((38, 40), (40,))
    """

    choices = ("mels", "window_ms", "hop_ms", "low_hz", "high_hz", "sample_rate")

    mels: Annotated[int, Field(ge=1, le=512)] = field(default=40, kw_only=False)
    window_ms: Milliseconds = 25.0
    hop_ms: Milliseconds = 10.0
    low_hz: Annotated[float, Field(ge=0)] = 20.0
    high_hz: Annotated[float, Field(gt=0)] | None = None
    sample_rate: Annotated[int, Field(ge=100)] | None = None
    rate: int = 0
    means: tuple[float, ...] = ()
    deviations: tuple[float, ...] = ()

    def check(self) -> None:
        """What was learned fits together, and there are such bands."""
        if self.means and (len(self.means) != self.mels or len(self.deviations) != self.mels):
            counts = tr("{means} means and {deviations} deviations", means=len(self.means), deviations=len(self.deviations))
            raise SpecError("audio.means", tr("expected {count} of each, one a band, got {got}", count=self.mels, got=counts))
        if any(not deviation > 0 for deviation in self.deviations):
            raise SpecError("audio.deviations", tr("expected numbers above 0, got {got}", got=min(self.deviations)))
        if self.rate or self.sample_rate:
            self.frames().check(self.name)

    def frames(self) -> MelFrames:
        """How samples become frames."""
        return MelFrames(self.rate or self.sample_rate or 0, self.window_ms, self.hop_ms, self.mels, self.low_hz, self.high_hz)

    @property
    def fitted(self) -> bool:
        """See `Modality.fitted`."""
        return bool(self.means)

    def shape(self) -> tuple[int, ...]:
        """`(mels,)`."""
        return (self.mels,)

    def encode(self, raw: Any, name: str = "input") -> Floats:
        """A `Sound`, or samples `[N]` at the model's own rate -> float32 `[T, mels]`. See `Modality.encode`."""
        self.require_fitted()
        return self._scaled(log_mel(self._samples(raw, name), self.frames()))

    def encode_examples(self, examples: Examples) -> Encoded | list[Encoded]:
        """See `Modality.encode_examples`."""
        return stacked([self.encode(raw, row_name(examples.names, row)) for row, raw in enumerate(examples.inputs)])

    def front(self) -> dict[str, Any]:
        """See `Modality.front`."""
        self.require_fitted()
        fields = ("mels", "rate", "window_ms", "hop_ms", "low_hz", "high_hz", "means", "deviations")
        return {"layer": "log_mel", **{name: getattr(self, name) for name in fields}}

    def describe(self) -> str:
        """See `Modality.describe`."""
        self.require_fitted()
        return tr(
            "recordings at {rate:,} Hz; log-mel, {mels} bands of {low:,g} to {high:,g} Hz, frames of {window:g} ms every {hop:g} ms",
            rate=self.rate,
            mels=self.mels,
            low=self.low_hz,
            high=self.frames().top,
            window=self.window_ms,
            hop=self.hop_ms,
        )

    def notes(self, examples: Examples) -> tuple[str, ...]:
        """Recordings that are resampled, and those that are silent throughout. See `Modality.notes`."""
        self.require_fitted()
        rates = Counter(raw.rate for raw in examples.inputs if isinstance(raw, Sound) and raw.rate != self.rate)
        rows = len(examples.inputs)
        said = [
            tr(
                "{count:,} of {all:,} recordings resampled, {rate:,} Hz to {wanted:,} Hz",
                count=count,
                all=rows,
                rate=rate,
                wanted=self.rate,
            )
            for rate, count in sorted(rates.items())
        ]
        silent = sum(not np.any(raw.samples if isinstance(raw, Sound) else raw) for raw in examples.inputs)
        if silent:
            said.append(tr("{count:,} of {all:,} recordings are silent throughout", count=silent, all=rows))
        return tuple(said)

    def _learn(self, examples: Examples) -> Self:
        rates = Counter(raw.rate for raw in examples.inputs if isinstance(raw, Sound))
        rate = self.sample_rate or (max(rates, key=lambda rate: (rates[rate], -rate)) if rates else 0)
        if not rate:
            problem = tr("the rate of these samples is not known")
            raise DataError(
                tr("{part} part", part=part_named("train")),
                problem,
                tr("give convrnn.Sound(samples, rate) for each row, or set sample_rate"),
            )
        chosen = replace(self, rate=rate, means=(), deviations=())
        count, total, squares = 0, np.zeros(self.mels), np.zeros(self.mels)
        # Sums of what lies around a rough middle, so that no digits are lost in the squares.
        middle = np.log(FLOOR) / 2
        for row, raw in enumerate(examples.inputs):
            frames_TM = log_mel(chosen._samples(raw, examples.names[row]), chosen.frames()) - middle
            count, total, squares = count + len(frames_TM), total + frames_TM.sum(axis=0), squares + (frames_TM**2).sum(axis=0)
        if not count:
            raise DataError(
                tr("{part} part", part=part_named("train")),
                tr("expected at least one sample, got none"),
                tr("give recordings that hold sound"),
            )
        means = total / count
        deviations = np.sqrt(np.maximum(squares / count - means**2, 0.0))
        # A band that is constant but for rounding has no scale of its own.
        deviations[deviations < 1e-6] = 1.0
        return replace(chosen, means=tuple((means + middle).tolist()), deviations=tuple(deviations.tolist()))

    def _samples(self, raw: Any, name: str) -> Samples:
        if not isinstance(raw, Sound):
            return as_samples(raw, name)
        if raw.rate < 1:
            raise DataError(name, tr("expected a rate of at least 1 Hz, got {got}", got=raw.rate), tr("correct it"))
        return resample(as_samples(raw.samples, name), raw.rate, self.rate)

    def _scaled(self, frames_TM: Doubles) -> Floats:
        return ((frames_TM - np.array(self.means)) / np.array(self.deviations)).astype(np.float32)


def log_mel(samples: Samples, frames: MelFrames) -> Doubles:
    """float64 `[T, mels]`, T = ceil(N / hop): the natural logarithm of the power of each band, not below `FLOOR`.

    Args:
        samples: `[N]`, full scale is 1.
        frames: what a frame and a band are.
    """
    blocks = [_power(windows_TS, frames) @ frames.filters for windows_TS in _windows(samples, frames)]
    return np.log(np.maximum(np.concatenate(blocks), FLOOR)) if blocks else np.zeros((0, frames.mels))


def _windows(samples: Samples, frames: MelFrames) -> Iterator[Doubles]:
    """The samples of the frames `[T, span]`, so many at a time."""
    due = frames.count(len(samples))
    for start in range(0, due, BLOCK):
        end = min(start + BLOCK, due)
        wanted = (end - start - 1) * frames.hop + frames.span
        piece = samples[start * frames.hop :][:wanted].astype(np.float64)
        piece = np.concatenate([piece, np.zeros(wanted - len(piece))])
        yield np.lib.stride_tricks.sliding_window_view(piece, frames.span)[:: frames.hop]


def _power(windows_TS: Doubles, frames: MelFrames) -> Doubles:
    """`[T, size / 2 + 1]`."""
    spectrum = np.fft.rfft(windows_TS * frames.window, frames.size, axis=1)
    return spectrum.real**2 + spectrum.imag**2
