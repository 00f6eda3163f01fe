"""Bilinear resampling of pictures and of time, in numpy. Knows no file and no augmentation; prediction needs no imaging library.

Pictures are `[..., C]` arrays with two leading axes; positions are indices, so the middle of the first pixel is 0.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convrnn.modality.base import Floats


def resize(picture_HWC: NDArray[Any], height: int, width: int) -> Floats:
    """float32 `[height, width, C]`: bilinear where it grows; where it shrinks, the triangle is as wide as the step, so nothing aliases.

    The same filter as Pillow's `BILINEAR` on floats.
    """
    rows, columns = _triangle(picture_HWC.shape[0], height), _triangle(picture_HWC.shape[1], width)
    return np.einsum("hy,yxc,wx->hwc", rows, picture_HWC.astype(np.float32), columns, optimize=["einsum_path", (0, 1), (0, 1)])


@lru_cache(maxsize=256)
def _triangle(before: int, after: int) -> Floats:
    """Weights `[after, before]`: each new position is a mean of the old ones near it, and every row sums to 1."""
    step = before / max(after, 1)
    reach = max(step, 1.0)
    middle = (np.arange(after) + 0.5) * step - 0.5
    weights = np.maximum(1.0 - np.abs(np.arange(before)[None, :] - middle[:, None]) / reach, 0.0)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def affine(picture_WHC: Floats, matrix: NDArray[np.float64]) -> Floats:
    """The picture seen through a linear map about its middle: the new pixel at p shows the old one at `matrix @ p`.

    Between pixels it interpolates; beyond the border it repeats the nearest pixel, which is right for any background and scaling.

    Args:
        picture_WHC: `[W, H, C]`, floats.
        matrix: `[2, 2]`, on (along the width, along the height) in pixels from the middle.
    """
    wide, high = picture_WHC.shape[:2]
    u, v = np.arange(wide)[:, None] - (wide - 1) / 2, np.arange(high)[None, :] - (high - 1) / 2
    x = np.clip(matrix[0, 0] * u + matrix[0, 1] * v + (wide - 1) / 2, 0, wide - 1)
    y = np.clip(matrix[1, 0] * u + matrix[1, 1] * v + (high - 1) / 2, 0, high - 1)
    left, top = x.astype(np.int64), y.astype(np.int64)
    right, bottom = np.minimum(left + 1, wide - 1), np.minimum(top + 1, high - 1)
    dx, dy = (x - left).astype(np.float32)[..., None], (y - top).astype(np.float32)[..., None]
    upper = _between(picture_WHC[left, top], picture_WHC[right, top], dx)
    lower = _between(picture_WHC[left, bottom], picture_WHC[right, bottom], dx)
    return _between(upper, lower, dy)


def at_times(frames_TC: Floats, times: NDArray[np.float64], masks: int = 0) -> Floats:
    """Frames at fractional times in 0..T-1, on the line between neighbours; the last `masks` channels are those of the nearest frame."""
    before = np.clip(times.astype(np.int64), 0, len(frames_TC) - 1)
    after = np.minimum(before + 1, len(frames_TC) - 1)
    share = (times - before).astype(np.float32)[:, None]
    found = _between(frames_TC[before], frames_TC[after], share)
    if masks:
        found[:, -masks:] = frames_TC[np.where(share[:, 0] < 0.5, before, after), -masks:]
    return found


def _between(first: Floats, second: Floats, share: Floats) -> Floats:
    return (first + (second - first) * share).astype(np.float32, copy=False)
