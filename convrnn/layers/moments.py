"""Mean and squared distances from it, in pieces: the running form that statistics pooling and cumulative norm share. Knows no layer.

A sum of squares less the square of a sum loses every digit when the mean is large. Here numbers are first moved by an origin near their
mean, and a group joins another by its distance from the common mean (Chan, Golub & LeVeque 1979; Welford 1962). The origin cancels in the
result, so it carries no gradient. Shape legend: B rows, T frames, `...` what is kept apart (space, channels).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from convrnn.core.seq import expand_mask


class Moments(NamedTuple):
    """What is known of some weighted frames.

    Attributes:
        weight: `[B]`, the sum of their weights.
        mean: `[B, ...]`; 0 before the first.
        squares: `[B, ...]`, the weighted sum of squared distances from the mean.
    """

    weight: Tensor
    mean: Tensor
    squares: Tensor


def wide(dtype: torch.dtype) -> torch.dtype:
    """The dtype of statistics: float32 at least, because bfloat16 cannot count beyond 256."""
    return torch.promote_types(dtype, torch.float32)


def beside(x_B: Tensor, values: Tensor) -> Tensor:
    """`[B]` with singleton dimensions appended up to the rank of `values`."""
    return x_B.reshape((-1,) + (1,) * (values.dim() - 1))


def joined(known: Moments, values: Tensor, weight_BT: Tensor) -> Moments:
    """What is known once these frames `[B, T, ...]` have come; those of weight 0 must be finite."""
    total = known.weight + weight_BT.sum(1)
    origin = _origin(known.mean, values, beside((known.weight == 0) & (total != 0), known.mean))
    moved, weight = values - origin[:, None], expand_mask(weight_BT, values)
    # A row that knows nothing and learns nothing keeps its mean.
    before, share = known.mean - origin, beside(known.weight.where(total != 0, 1), known.mean)
    mean = (share * before + (weight * moved).sum(1)) / beside(total.where(total != 0, 1), known.mean)
    squares = known.squares + share * (before - mean).square() + (weight * (moved - mean[:, None]).square()).sum(1)
    return Moments(total, origin + mean, squares)


def prefixes(known: Moments, mean: Tensor, squares: Tensor, size: int) -> Moments:
    """What is known after each frame `[B, T, ...]`, weights in frames.

    Args:
        known: before the first of them.
        mean: that of the numbers within each frame, `[B, T, ...]`.
        squares: their squared distances from it, summed.
        size: how many numbers a frame has.
    """
    start = beside(known.weight, mean)
    origin = _origin(known.mean, mean, beside(known.weight == 0, known.mean))
    moved, before = mean - origin[:, None], (known.mean - origin)[:, None]
    weight_BT = known.weight[:, None] + torch.arange(1, mean.shape[1] + 1, device=mean.device)
    weight = expand_mask(weight_BT, mean)
    running = (start * before + moved.cumsum(1)) / weight
    # Welford: a frame adds its squared distance from the mean before it, lessened by its own share in the new mean.
    apart = (moved - torch.cat([before, running], 1)[:, :-1]).square() * ((weight - 1) / weight)
    return Moments(weight_BT, origin[:, None] + running, known.squares[:, None] + (squares + size * apart).cumsum(1))


def deviation(known: Moments, several: Tensor) -> Tensor:
    """sqrt(squares / weight) where `several` (bool, `[B]`) frames are known, else 0; its derivative at 0 is taken to be 0."""
    variance = known.squares / beside(known.weight.where(known.weight != 0, 1), known.squares)
    some = beside(several, variance) & ~(variance <= 0)  # not `> 0`, which would hide a NaN
    return torch.where(some, variance.where(some, 1).sqrt(), variance.new_zeros(()))


def _origin(mean: Tensor, values: Tensor, is_first: Tensor) -> Tensor:
    """The mean so far, or the first of the new frames where there is none; `[B, ...]`."""
    return torch.where(is_first, values[:, :1].sum(1), mean).detach()
