"""Recordings as samples, and their resampling, in numpy and exactly in any chunks. Knows no file format and no model.

Resampling from rate p to rate q is a windowed sinc (Smith & Gossett 1984): with q/p in lowest terms L/M, output j stands at input time
j M / L and is a sum over the input within `REACH` zero crossings on both sides. There are only L different sets of weights, one for each
phase of `j M mod L`, and each is a plain sum over a few dozen samples, so that a chunk of any size gives what the whole gives, to the bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import gcd
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convrnn.core.errors import DataError
from convrnn.core.language import tr

Samples = NDArray[np.float32]
"""`[N]`, full scale is 1."""

REACH = 32
"""Zero crossings of the sinc on either side."""

BETA = 9.0
"""Of the Kaiser window: what is folded back lies 90 dB below."""

ROLL_OFF = 0.91
"""Where the filter ends, as a share of half the lower rate: with `REACH` and `BETA` the slope is over before that half."""

BLOCK = 1 << 14
"""Outputs that are computed at once: their windows of the input are copied."""


@dataclass(frozen=True, eq=False)
class Sound:
    """A recording.

    Attributes:
        samples: `[N]`, one channel: floats, full scale is 1, or int16.
        rate: samples a second.
        channels: how many there were in the file; more than one were averaged.

    Example:
        >>> len(Sound(np.zeros(4000, np.float32), 8000)), Sound(np.zeros(4000, np.float32), 8000).seconds
        (4000, 0.5)
    """

    samples: NDArray[Any]
    rate: int
    channels: int = 1

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return len(self.samples) / self.rate


def as_samples(raw: Any, name: str) -> Samples:
    """Samples `[N]` as float32, full scale is 1.

    Raises:
        DataError: not one channel of numbers, whole numbers that are not int16, or a sample that is not finite.
    """
    array = np.asarray(raw)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1 or array.dtype.kind not in "fi" or (array.dtype.kind == "i" and array.dtype != np.int16):
        problem = tr("expected samples [N], floats or int16, got {dtype} {shape}", dtype=array.dtype, shape=list(array.shape))
        raise DataError(name, problem, tr("average the channels, and scale to -1..1"))
    if array.dtype == np.int16:
        return array.astype(np.float32) / np.float32(32768)
    samples = array.astype(np.float32)
    if not np.isfinite(samples).all():
        place = int(np.flatnonzero(~np.isfinite(samples))[0])
        raise DataError(
            name,
            tr("expected finite samples, got {got} at sample {place}", got=samples[place], place=place),
            tr("mend or remove the recording"),
        )
    return samples


class Resampler:
    """Samples of one rate, chunk by chunk, to samples of another: ceil(N q / p) of them.

    What has been pushed so far decides nothing about what was answered: the answers to any chunks concatenate to that of the whole.

    Example:
        >>> down = Resampler(16_000, 8_000)
        >>> parts = [down.push(np.ones(500, np.float32)) for _ in range(4)] + [down.finish()]
        >>> sum(map(len, parts)), float(np.concatenate(parts)[500].round(3))
        (1000, 1.0)
    """

    def __init__(self, rate: int, wanted: int) -> None:
        shared = gcd(rate, wanted)
        self.up, self.down = wanted // shared, rate // shared
        self.taps = _taps(self.up, self.down)
        self.reach = self.taps.shape[1] // 2
        self.buffer: Samples = np.zeros(self.reach, np.float32)  # what was pushed from sample `first` on; silence before the recording
        self.first, self.pushed, self.given = -self.reach, 0, 0

    def push(self, samples: Samples) -> Samples:
        """The outputs whose samples are all there."""
        self.buffer, self.pushed = np.concatenate([self.buffer, samples]), self.pushed + len(samples)
        # Output j reads up to sample j down // up + reach.
        return self._upto(max(0, -(-(self.pushed - self.reach) * self.up // self.down)))

    def finish(self) -> Samples:
        """The outputs that are left; behind the recording is silence."""
        self.buffer = np.concatenate([self.buffer, np.zeros(self.reach, np.float32)])
        return self._upto(-(-self.pushed * self.up // self.down))

    def _upto(self, end: int) -> Samples:
        parts = [self._outputs(start, min(start + BLOCK, end)) for start in range(self.given, end, BLOCK)]
        self.given = max(self.given, end)
        begin = self.given * self.down // self.up - self.reach
        self.buffer, self.first = self.buffer[begin - self.first :], begin
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)

    def _outputs(self, start: int, end: int) -> Samples:
        times = np.arange(start, end) * self.down
        around = np.lib.stride_tricks.sliding_window_view(self.buffer, self.taps.shape[1])
        near = around[times // self.up - self.reach - self.first]
        # A sum along the last axis takes the same order for one row as for thousands, which a matrix product does not.
        return (near * self.taps[times % self.up]).sum(axis=1).astype(np.float32)


def resample(samples: Samples, rate: int, wanted: int) -> Samples:
    """A whole recording at another rate."""
    if rate == wanted:
        return samples
    resampler = Resampler(rate, wanted)
    return np.concatenate([resampler.push(samples), resampler.finish()])


@lru_cache(maxsize=32)
def _taps(up: int, down: int) -> NDArray[np.float64]:
    """Weights `[up, 2 reach + 1]`: row r is for outputs that stand r / up behind a sample. Each sums to 1, so that a constant stays one."""
    cut = ROLL_OFF * min(1.0, up / down)
    reach = int(np.ceil(REACH / cut))
    apart = np.arange(-reach, reach + 1)[None, :] - np.arange(up)[:, None] / up
    inside = np.clip(1 - (apart / (reach + 1)) ** 2, 0.0, None)
    taps = np.sinc(cut * apart) * np.i0(BETA * np.sqrt(inside))
    return taps / taps.sum(axis=1, keepdims=True)
