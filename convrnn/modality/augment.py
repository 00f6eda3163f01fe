"""Augmentation of encoded training rows: series, texts and pictures, off unless asked for. Knows no raw input, model or loss.

All chance is drawn from (seed, epoch, row), so neither the order of the rows, nor the number of workers, nor a resumed training changes it.

Shape legend: T frames, C channels, W and H width and height of a picture, B rows of a batch, K targets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from convrnn.core.errors import SpecError
from convrnn.core.language import tr
from convrnn.core.spec import register, registered
from convrnn.modality.base import Augmentation, Collated, Encoded
from convrnn.modality.resample import affine, at_times
from convrnn.modality.text import UNKNOWN

Strength = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]


def augment(array: Encoded, augmentations: Sequence[Augmentation], seed: int, epoch: int, index: int, masks: int = 0) -> Encoded:
    """One encoded training row after all augmentations, in order: a pure function of its arguments.

    Args:
        array: series `[T, C]`, ids `[T]` or picture `[W, H, C]`.
        augmentations: what to do, in this order.
        seed: of the run.
        epoch: counted from 0.
        index: the row's number in the training part, counted from 0.
        masks: `Modality.masks` of the modality that encoded it.
    """
    if not augmentations:
        return array
    rng = np.random.default_rng([seed, epoch, index])
    for augmentation in augmentations:
        array = augmentation.apply(array, rng, masks)
    return array


def augment_batch(batch: Collated, augmentations: Sequence[Augmentation], seed: int, epoch: int, step: int) -> Collated:
    """A batch after all augmentations that mix rows, in order: a pure function of its arguments, `step` counting batches from 0."""
    if not augmentations:
        return batch
    rng = np.random.default_rng([seed, epoch, step, 1])  # the 1 parts it from the rows' generators
    for augmentation in augmentations:
        batch = augmentation.mix(batch, rng)
    return batch


def check_augmentations(augmentations: Sequence[Augmentation], kind: str) -> None:
    """Raises `SpecError` for the first augmentation that is not for this kind of input."""
    for place, augmentation in enumerate(augmentations):
        if kind not in augmentation.kinds:
            known = [
                name for name, made in registered(Augmentation.family).items() if issubclass(made, Augmentation) and kind in made.kinds
            ]
            meant = " and ".join(augmentation.kinds)
            raise SpecError(
                f"augment.{place}.{augmentation.name}",
                tr("is for {meant}, the inputs are of kind {kind}", meant=meant, kind=kind),
                tr("for {kind}: {names}", kind=kind, names=", ".join(known)),
            )


# ---- series


@register("jitter")
class Jitter(Augmentation):
    """Adds noise to every value of a series (Um et al. 2017, arXiv 1706.00527).

    Attributes:
        sigma: its standard deviation, in encoded units (with `scale="standard"`: of the channel's own deviation).
    """

    kinds: ClassVar[tuple[str, ...]] = ("series",)
    sigma: Strength = field(default=0.03, kw_only=False)

    def apply(self, array: Encoded, rng: np.random.Generator, masks: int = 0) -> Encoded:
        """See `Augmentation.apply`."""
        if not self.sigma:
            return array
        changed = array.copy()
        values_TC = changed[:, : array.shape[1] - masks]
        values_TC += rng.normal(0.0, self.sigma, values_TC.shape).astype(array.dtype)
        return changed


@register("scaling")
class Scaling(Augmentation):
    """Multiplies each channel of a series by one factor (Um et al. 2017, arXiv 1706.00527).

    Attributes:
        sigma: standard deviation of the factors, whose mean is 1.
    """

    kinds: ClassVar[tuple[str, ...]] = ("series",)
    sigma: Strength = field(default=0.1, kw_only=False)

    def apply(self, array: Encoded, rng: np.random.Generator, masks: int = 0) -> Encoded:
        """See `Augmentation.apply`."""
        if not self.sigma:
            return array
        factors = np.ones(array.shape[1], dtype=array.dtype)
        factors[: array.shape[1] - masks] = rng.normal(1.0, self.sigma, array.shape[1] - masks)
        return array * factors


@register("time_warp")
class TimeWarp(Augmentation):
    """Runs a series faster here and slower there; its first and last frame and its length stay.

    As in Um et al. (2017, arXiv 1706.00527), but the speed at each knot is a positive number, the exponential of a normal one, and is
    linear in between: time is smooth and never runs backwards, however strong the warp.

    Attributes:
        sigma: standard deviation of the logarithm of the speed (0.2: mostly between 0.8 and 1.25 times the mean).
        knots: speeds drawn between both ends.
    """

    kinds: ClassVar[tuple[str, ...]] = ("series",)
    sigma: Annotated[float, Field(ge=0, le=3)] = field(default=0.2, kw_only=False)
    knots: Annotated[int, Field(ge=0)] = 4

    def apply(self, array: Encoded, rng: np.random.Generator, masks: int = 0) -> Encoded:
        """See `Augmentation.apply`."""
        frames = len(array)
        if not self.sigma or frames < 3:
            return array
        drawn = np.exp(rng.normal(0.0, self.sigma, self.knots + 2))
        speed = np.interp(np.linspace(0.0, self.knots + 1.0, frames), np.arange(self.knots + 2.0), drawn)
        times = np.concatenate([[0.0], np.cumsum((speed[1:] + speed[:-1]) / 2)])
        return at_times(array, times * ((frames - 1) / times[-1]), masks)


@register("window_slice")
class WindowSlice(Augmentation):
    """Keeps one stretch of a series, somewhere in it (Le Guennec et al. 2016, halshs-01357973).

    Attributes:
        keep: the share of frames that stays, at least one; 1: all.
        stretch: whether the stretch is resampled to the old number of frames, for models that demand a fixed one.
    """

    kinds: ClassVar[tuple[str, ...]] = ("series",)
    keep: Annotated[float, Field(gt=0, le=1)] = field(default=0.9, kw_only=False)
    stretch: bool = False

    def apply(self, array: Encoded, rng: np.random.Generator, masks: int = 0) -> Encoded:
        """See `Augmentation.apply`."""
        frames = len(array)
        kept = max(round(frames * self.keep), 1)
        if kept >= frames:
            return array
        start = int(rng.integers(frames - kept + 1))
        if self.stretch:
            return at_times(array, np.linspace(start, start + kept - 1, frames), masks)
        return array[start : start + kept].copy()


# ---- batches


@register("mixup")
class Mixup(Augmentation):
    """Mixes each row of a batch with another one, and their targets alike (Zhang et al. 2018, arXiv 1710.09412).

    Row i becomes `share x_i + (1 - share) x_j` over the frames that both have and keeps its own length; frames that x_j does not have
    stay as they are. Where lengths are unequal, the target is mixed by what was really mixed, as in CutMix (Yun et al. 2019, arXiv
    1905.04899): x_j counts `(1 - share) min(n_i, n_j) / n_i`. With equal lengths that is mixup to the letter.

    Attributes:
        alpha: shares are drawn from Beta(alpha, alpha), for each row, the larger part staying with the row; 0: none.
    """

    kinds: ClassVar[tuple[str, ...]] = ("series", "image")
    alpha: Strength = field(default=0.2, kw_only=False)

    def mix(self, batch: Collated, rng: np.random.Generator) -> Collated:
        """See `Augmentation.mix`."""
        rows, frames = batch.values.shape[:2]
        if not self.alpha or rows < 2:
            return batch
        partner = rng.permutation(rows)
        share = rng.beta(self.alpha, self.alpha, rows)
        share = np.maximum(share, 1 - share)
        lengths = np.full(rows, frames) if batch.lengths is None else batch.lengths
        common = np.minimum(lengths, lengths[partner])
        other_BT = np.where(np.arange(frames) < common[:, None], (1 - share)[:, None], 0.0).astype(np.float32)
        other_BT = other_BT.reshape(rows, frames, *[1] * (batch.values.ndim - 2))
        other_B1 = ((1 - share) * common / np.maximum(lengths, 1))[:, None].astype(np.float32)
        values = batch.values + (batch.values[partner] - batch.values) * other_BT
        targets = batch.targets + (batch.targets[partner] - batch.targets) * other_B1
        return Collated(values.astype(np.float32, copy=False), batch.lengths, targets.astype(np.float32, copy=False))


# ---- texts


@register("word_dropout")
class WordDropout(Augmentation):
    """Hides tokens of a text (characters, where the text is cut into those).

    Attributes:
        rate: the chance of each token.
        remove: False: hidden tokens become the unknown one, which so gets trained (Bowman et al. 2016, arXiv 1511.06349); True: they are
            taken out (Iyyer et al. 2015, ACL P15-1162), though never all of them.
    """

    kinds: ClassVar[tuple[str, ...]] = ("text",)
    rate: Share = field(default=0.1, kw_only=False)
    remove: bool = False

    def apply(self, array: Encoded, rng: np.random.Generator, masks: int = 0) -> Encoded:
        """See `Augmentation.apply`."""
        if not self.rate or not len(array):
            return array
        hidden = rng.random(len(array)) < self.rate
        if not self.remove:
            return np.where(hidden, np.array(UNKNOWN, dtype=array.dtype), array)
        if hidden.all():
            hidden[rng.integers(len(array))] = False
        return array[~hidden]


# ---- pictures


@register("shift")
class Shift(Augmentation):
    """Moves a picture by whole pixels, so nothing blurs; what comes in at a border repeats the border.

    Attributes:
        across: the farthest it moves along the width, as a share of it, to either side.
        along: the same for the height.
    """

    kinds: ClassVar[tuple[str, ...]] = ("image",)
    across: Share = field(default=0.1, kw_only=False)
    along: Share = field(default=0.1, kw_only=False)

    def apply(self, array: Encoded, rng: np.random.Generator, masks: int = 0) -> Encoded:
        """See `Augmentation.apply`."""
        wide, high = array.shape[:2]
        right, down = (int(np.rint(rng.uniform(-most, most))) for most in (self.across * wide, self.along * high))
        if not (right or down) or not array.size:
            return array
        columns, rows = np.clip(np.arange(wide) - right, 0, wide - 1), np.clip(np.arange(high) - down, 0, high - 1)
        return array[columns[:, None], rows[None, :]]


@register("rotate")
class Rotate(Augmentation):
    """Turns a picture about its middle; corners that come in repeat the border.

    Attributes:
        degrees: the farthest it turns, to either side.
    """

    kinds: ClassVar[tuple[str, ...]] = ("image",)
    degrees: Annotated[float, Field(ge=0, le=180)] = field(default=10.0, kw_only=False)

    def apply(self, array: Encoded, rng: np.random.Generator, masks: int = 0) -> Encoded:
        """See `Augmentation.apply`."""
        if not self.degrees or not array.size:
            return array
        turn = np.deg2rad(rng.uniform(-self.degrees, self.degrees))
        return affine(array, np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]))


@register("flip")
class Flip(Augmentation):
    """Mirrors a picture. Off for anything with letters or digits: their mirror images are others.

    Attributes:
        probability: of mirroring.
        axis: `horizontal`: left and right change places, so time runs backwards; `vertical`: top and bottom.
    """

    kinds: ClassVar[tuple[str, ...]] = ("image",)
    probability: Share = field(default=0.5, kw_only=False)
    axis: Literal["horizontal", "vertical"] = "horizontal"

    def apply(self, array: Encoded, rng: np.random.Generator, masks: int = 0) -> Encoded:
        """See `Augmentation.apply`."""
        if rng.random() >= self.probability:
            return array
        return np.ascontiguousarray(np.flip(array, axis=0 if self.axis == "horizontal" else 1))


@register("scale")
class Scale(Augmentation):
    """Zooms a picture about its middle, its size unchanged; where it shrinks, the border is repeated.

    Attributes:
        factor: between 1 / (1 + factor) and 1 + factor times as large, both ways equally likely.
    """

    kinds: ClassVar[tuple[str, ...]] = ("image",)
    factor: Strength = field(default=0.1, kw_only=False)

    def apply(self, array: Encoded, rng: np.random.Generator, masks: int = 0) -> Encoded:
        """See `Augmentation.apply`."""
        if not self.factor or not array.size:
            return array
        most = np.log1p(self.factor)
        return affine(array, np.eye(2) / np.exp(rng.uniform(-most, most)))


@register("noise")
class Noise(Augmentation):
    """Adds noise to every pixel.

    Attributes:
        sigma: its standard deviation, in encoded units (with `scale="unit"`: of the whole range). Nothing is clipped: an encoding may be
            centred, and clipping would move its mean.
    """

    kinds: ClassVar[tuple[str, ...]] = ("image",)
    sigma: Strength = field(default=0.05, kw_only=False)

    def apply(self, array: Encoded, rng: np.random.Generator, masks: int = 0) -> Encoded:
        """See `Augmentation.apply`."""
        return array + rng.normal(0.0, self.sigma, array.shape).astype(array.dtype) if self.sigma else array
