"""Mel frames of sound in numbers: samples of a frame and of a hop, the window, the bands. Knows no sound, no file and no tensor.

Frame j covers the samples `[j hop, j hop + window)`, so it looks at no sample before its own time; a recording of n samples has
ceil(n / hop) frames, and what the last ones lack is silence. The power of a frame at a frequency is `|FFT(w x)|^2`, with w the periodic
Hann window scaled to `sum w^2 = 1`: white noise of variance v has power v. A band adds up the power under a triangle; the centres lie at
equal steps of `mel(f) = 2595 log10(1 + f / 700)` (O'Shaughnessy 1987; "HTK"), the triangles are straight in Hz and 1 at their centre.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convrnn.core.errors import SpecError
from convrnn.core.language import tr

Doubles = NDArray[np.float64]

FLOOR = 1e-10
"""The least power of a band, as a share of full scale: about what rounding to 16 bits adds (1 / (12 * 2^30)). Below it is silence."""

LARGEST = 1 << 16
"""Points of the longest FFT."""


@dataclass(frozen=True)
class MelFrames:
    """How samples become bands.

    Attributes:
        rate: samples a second.
        window_ms: length of a frame.
        hop_ms: from frame to frame.
        mels: number of bands.
        low_hz: where the first triangle begins.
        high_hz: where the last one ends; None: half the rate.

    Example:
        >>> frames = MelFrames(8_000, 25.0, 10.0, 40, 20.0, None)
        >>> frames.span, frames.hop, frames.size, frames.filters.shape, frames.count(3_000)
        (200, 80, 256, (129, 40), 38)
    """

    rate: int
    window_ms: float
    hop_ms: float
    mels: int
    low_hz: float
    high_hz: float | None

    def check(self, where: str) -> None:
        """Raises `SpecError` for frames without a sample, or bands that there are not at this rate."""
        if self.hop < 1 or self.span < 2:
            problem = tr(
                "a window of {window:g} ms every {every:g} ms has {span} sample(s) every {hop} at {rate} Hz",
                window=self.window_ms,
                every=self.hop_ms,
                span=self.span,
                hop=self.hop,
                rate=self.rate,
            )
            raise SpecError(f"{where}.window_ms", problem, tr("use longer windows"))
        if not 0 <= self.low_hz < self.top <= self.rate / 2:
            problem = tr(
                "expected 0 <= low < high <= {most:g} Hz, half the rate, got {low:g} to {high:g} Hz",
                most=self.rate / 2,
                low=self.low_hz,
                high=self.top,
            )
            raise SpecError(f"{where}.high_hz", problem, tr("leave high_hz out, or raise the rate"))
        if self.size > LARGEST:
            problem = tr(
                "{mels} bands between {low:g} and {high:g} Hz are too narrow to be told apart",
                mels=self.mels,
                low=self.low_hz,
                high=self.top,
            )
            raise SpecError(f"{where}.mels", problem, tr("use fewer"))

    @property
    def top(self) -> float:
        """Where the last triangle ends, in Hz."""
        return self.rate / 2 if self.high_hz is None else self.high_hz

    @property
    def span(self) -> int:
        """Samples of a frame."""
        return round(self.rate * self.window_ms / 1000)

    @property
    def hop(self) -> int:
        """Samples from frame to frame."""
        return round(self.rate * self.hop_ms / 1000)

    def count(self, samples: int) -> int:
        """Frames of so many samples."""
        return -(-samples // self.hop)

    @cached_property
    def size(self) -> int:
        """Points of the FFT: the least power of two, at least the span, for which no band is empty (more than `LARGEST`: there is none)."""
        size = 1 << (self.span - 1).bit_length()
        while size <= LARGEST and not _triangles(self, size).any(axis=0).all():
            size *= 2
        return size

    @property
    def window(self) -> Doubles:
        """`[span]`."""
        hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(self.span) / self.span)
        return hann / np.sqrt((hann**2).sum())

    @property
    def filters(self) -> Doubles:
        """`[size / 2 + 1, mels]`: how much the power at each frequency of the FFT counts in each band."""
        return _triangles(self, self.size)


def mel(hertz: Any) -> Any:
    """Hz to mel.

    Example:
        >>> round(float(mel(1000.0)), 2), round(float(hertz(mel(440.0))), 6)
        (999.99, 440.0)
    """
    return 2595.0 * np.log10(1.0 + np.asarray(hertz) / 700.0)


def hertz(mels: Any) -> Any:
    """The inverse of `mel`."""
    return 700.0 * (10.0 ** (np.asarray(mels) / 2595.0) - 1.0)


@lru_cache(maxsize=32)
def _triangles(frames: MelFrames, size: int) -> Doubles:
    edges = hertz(np.linspace(mel(frames.low_hz), mel(frames.top), frames.mels + 2))
    at = (np.arange(size // 2 + 1) * (frames.rate / size))[:, None]
    rising = (at - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - at) / (edges[2:] - edges[1:-1])
    return np.maximum(np.minimum(rising, falling), 0.0)
