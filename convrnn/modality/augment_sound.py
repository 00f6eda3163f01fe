"""Augmentation of recordings: of their frames (SpecAugment) and of the sound itself before it becomes frames. Knows no model and no loss.

What is done to the sound costs the frames of the row anew in every epoch: about a millisecond for a second of sound.
"""

from __future__ import annotations

from dataclasses import field, replace
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from convrnn.core.errors import SpecError
from convrnn.core.language import tr
from convrnn.core.spec import register
from convrnn.modality.augment import Share, Strength
from convrnn.modality.base import Augmentation, Encoded
from convrnn.modality.sound import Samples, Sound, as_samples

Count = Annotated[int, Field(ge=0)]
Decibel = Annotated[float, Field(ge=-100, le=200)]


@register("spec_augment")
class SpecAugment(Augmentation):
    """Hides some bands and some stretches of time (Park et al. 2019, arXiv 1904.08779); what is hidden becomes the mean of training, 0.

    The paper's time warping is `time_warp`. Its basic policy ("LB") is `SpecAugment(27, frames=100, masks=1, share=1.0)` of 80 bands; the
    defaults are a third of that, for 40 bands and recordings of a second.

    Attributes:
        bands: the most neighbouring bands that a mask hides (F).
        frames: the most frames that a mask hides (T).
        masks: masks of bands, and as many of time (m_F, m_T).
        share: a mask of time hides at most this share of the row (p).
    """

    kinds: ClassVar[tuple[str, ...]] = ("audio",)
    bands: Count = field(default=9, kw_only=False)
    frames: Count = 25
    masks: Count = 2
    share: Share = 0.2

    def apply(self, array: Encoded, rng: np.random.Generator, masks: int = 0) -> Encoded:
        """See `Augmentation.apply`."""
        changed = array.copy()
        length, width = array.shape
        for _ in range(self.masks):
            start, end = _stretch(rng, min(self.bands, width), width)
            changed[:, start:end] = 0
            start, end = _stretch(rng, min(self.frames, int(self.share * length)), length)
            changed[start:end] = 0
        return changed


@register("gain")
class Gain(Augmentation):
    """Makes a recording louder or softer.

    Attributes:
        decibel: by at most this much, either way equally likely.
    """

    kinds: ClassVar[tuple[str, ...]] = ("audio",)
    decibel: Strength = field(default=6.0, kw_only=False)

    def before(self, raw: Any, rng: np.random.Generator) -> Any:
        """See `Augmentation.before`."""
        if not self.decibel:
            return raw
        factor = 10 ** (rng.uniform(-self.decibel, self.decibel) / 20)
        return _with(raw, _samples(raw) * np.float32(factor))


@register("hiss")
class Hiss(Augmentation):
    """Adds white noise to a recording.

    Attributes:
        low: the least ratio of the recording's power to that of the noise, in dB.
        high: the largest; ratios in between are equally likely.
        probability: of adding any.
    """

    kinds: ClassVar[tuple[str, ...]] = ("audio",)
    low: Decibel = field(default=10.0, kw_only=False)
    high: Decibel = field(default=40.0, kw_only=False)
    probability: Share = 1.0

    def check(self) -> None:
        """The bounds are in order."""
        if self.low > self.high:
            raise SpecError("hiss.low", tr("expected at most high, {high:g}, got {got:g}", high=self.high, got=self.low))

    def before(self, raw: Any, rng: np.random.Generator) -> Any:
        """See `Augmentation.before`."""
        if rng.random() >= self.probability:
            return raw
        samples = _samples(raw)
        power = float(np.mean(np.square(samples, dtype=np.float64))) if len(samples) else 0.0
        deviation = np.sqrt(power / 10 ** (rng.uniform(self.low, self.high) / 10))
        return _with(raw, samples + rng.normal(0.0, deviation, len(samples)).astype(np.float32))


@register("delay")
class Delay(Augmentation):
    """Moves a recording in time; its length stays, silence comes in, and what leaves is lost.

    Attributes:
        share: the farthest it moves, as a share of its length, to either side.
    """

    kinds: ClassVar[tuple[str, ...]] = ("audio",)
    share: Share = field(default=0.05, kw_only=False)

    def before(self, raw: Any, rng: np.random.Generator) -> Any:
        """See `Augmentation.before`."""
        samples = _samples(raw)
        by = int(np.rint(rng.uniform(-self.share, self.share) * len(samples)))
        if not by:
            return raw
        moved = np.zeros_like(samples)
        if by > 0:
            moved[by:] = samples[:-by]
        else:
            moved[:by] = samples[-by:]
        return _with(raw, moved)


def _stretch(rng: np.random.Generator, most: int, length: int) -> tuple[int, int]:
    """Where a mask of 0 to `most` begins and ends."""
    wide = int(rng.integers(most + 1))
    start = int(rng.integers(length - wide + 1))
    return start, start + wide


def _samples(raw: Any) -> Samples:
    return as_samples(raw.samples if isinstance(raw, Sound) else raw, "input")


def _with(raw: Any, samples: Samples) -> Any:
    return replace(raw, samples=samples) if isinstance(raw, Sound) else samples
