"""Normalisation by statistics of the row: of all its frames (group, instance), or of those so far (cumulative), which streams.

The padding is in no statistic, and no row in another's. Shape legend: B rows, T frames, G groups of channels, `...` space.
"""

from __future__ import annotations

from dataclasses import field
from math import prod
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from convrnn.core.errors import ShapeError
from convrnn.core.hold import take
from convrnn.core.language import tr
from convrnn.core.seq import Count, Ids, Seq, Shape, State, expand_mask, frame_mask, row_lengths, tidy
from convrnn.core.spec import register
from convrnn.layers.base import Framewise, Last, Layer, Out, Spec, dense
from convrnn.layers.conv import Positive
from convrnn.layers.moments import Moments, prefixes, wide
from convrnn.layers.norm import Epsilon

Over = Literal["row", "frame"]


@register("group_norm")
class GroupNorm(Spec):
    """(x - mean) / sqrt(var + epsilon) * scale + shift, mean and variance those of a group of channels (Wu & He 2018, arXiv 1803.08494).

    Attributes:
        groups: how many; each has as many channels, next to each other.
        over: `row`: the statistics are over the valid frames of the row, its space, and the channels of the group, as in torch for a row
            without padding; it needs the whole row. `frame`: over the space and the group in each frame by itself; streams.
        epsilon: added to the variance.

    Example:
        >>> GroupNorm(4).build(8).streams, GroupNorm(4, over="frame").build(8).streams
        (False, True)
    """

    groups: Positive = field(kw_only=False)
    over: Over = "row"
    epsilon: Epsilon = 1e-5

    def module(self, in_shape: Shape | Ids) -> Layer:
        """See `Spec.module`."""
        shape = dense(in_shape)
        if shape[-1] % self.groups:
            raise ShapeError("", tr("expected groups={groups} to divide {channels} input channels", groups=self.groups, channels=shape[-1]))
        return _group_norm(self.groups, self.over, self.epsilon, shape)


@register("instance_norm")
class InstanceNorm(Spec):
    """`GroupNorm` with a group for each channel (Ulyanov et al. 2016, arXiv 1607.08022), with scale and shift.

    Attributes:
        over: `row`: over the valid frames of the row and its space; it needs the whole row. `frame`: over the space of each frame; streams.
        epsilon: added to the variance.

    Example:
        >>> InstanceNorm(over="frame").build((5, 5, 8)).streams
        True
    """

    over: Over = "row"
    epsilon: Epsilon = 1e-5

    def module(self, in_shape: Shape | Ids) -> Layer:
        """See `Spec.module`."""
        shape = dense(in_shape)
        return _group_norm(shape[-1], self.over, self.epsilon, shape)


def _group_norm(groups: int, over: Over, epsilon: float, in_shape: Shape) -> Layer:
    if over == "frame" and prod(in_shape) == groups:
        raise ShapeError("", tr("over='frame' has one number in each group, which is its own mean"), tr("use over='row', or LayerNorm"))
    return (_RowNorm if over == "row" else _FrameNorm)(groups, epsilon, in_shape)


class _RowNorm(Layer):
    remedy = tr("use over='frame', LayerNorm or CumulativeNorm")

    def __init__(self, groups: int, epsilon: float, in_shape: Shape) -> None:
        super().__init__(in_shape, in_shape)
        self.groups, self.epsilon = groups, epsilon
        self.past, self.lookahead, self.streams = None, None, False
        self.scale, self.shift = nn.Parameter(torch.ones(in_shape[-1])), nn.Parameter(torch.zeros(in_shape[-1]))

    def ready(self, n: Count) -> Count:
        """None before the end."""
        return n * 0

    def forward(self, x: Seq, state: State = None, last: Last = True) -> Out:
        """See `Layer.forward`."""
        if last is not True or state is not None:
            self.require_streams()
        x = tidy(self.checked(x))
        lengths = row_lengths(x)
        grouped = x.values.to(wide(x.values.dtype)).unflatten(-1, (self.groups, -1))
        within = (*range(1, x.values.dim() - 1), -1)
        numbers = expand_mask((lengths * (prod(self.out_shape) // self.groups)).clamp(min=1)[:, None], grouped)
        centred = grouped - grouped.sum(within, keepdim=True) / numbers
        if x.lengths is not None:
            centred = centred.where(expand_mask(frame_mask(x.values.shape[1], lengths), centred), 0)
        y = centred * torch.rsqrt(centred.square().sum(within, keepdim=True) / numbers + self.epsilon)
        return Out(Seq((y.flatten(-2) * self.scale + self.shift).to(x.values.dtype), x.lengths), ())


class _FrameNorm(Framewise):
    def __init__(self, groups: int, epsilon: float, in_shape: Shape) -> None:
        super().__init__(in_shape, in_shape)
        self.groups, self.epsilon = groups, epsilon
        self.scale, self.shift = nn.Parameter(torch.ones(in_shape[-1])), nn.Parameter(torch.zeros(in_shape[-1]))

    def each(self, values: Tensor) -> Tensor:
        grouped = values.to(wide(values.dtype)).unflatten(-1, (self.groups, -1))
        within = (*range(2, values.dim() - 1), -1)
        centred = grouped - grouped.mean(within, keepdim=True)
        y = centred * torch.rsqrt(centred.square().mean(within, keepdim=True) + self.epsilon)
        return (y.flatten(-2) * self.scale + self.shift).to(values.dtype)


@register("cumulative_norm")
class CumulativeNorm(Spec):
    """(x_t - mean_t) / sqrt(var_t + epsilon) * scale + shift, mean and variance those of all frames up to t, their space and channels.

    The cumulative layer norm of Luo & Mesgarani 2019 (Conv-TasNet, arXiv 1809.07454): what `GroupNorm(1)` is to a row, for a stream. The
    statistics are carried as mean and squared distances (Welford 1962), in float32 at least: sums of squares would lose them where
    the mean is large.

    Attributes:
        per_channel: statistics for each channel by itself: the causal form of `InstanceNorm`. Without space the first frame gives `shift`.
        epsilon: added to the variance.

    Example:
        >>> net = CumulativeNorm().build(8)
        >>> net.past, net.lookahead, net.streams
        (None, 0, True)
    """

    per_channel: bool = False
    epsilon: Epsilon = 1e-5

    def module(self, in_shape: Shape | Ids) -> Layer:
        """See `Spec.module`."""
        return _CumulativeNorm(self, dense(in_shape))


class _CumulativeNorm(Layer):
    keeps: ClassVar[tuple[str, ...]] = ("count", "mean", "squares")

    def __init__(self, spec: CumulativeNorm, in_shape: Shape) -> None:
        super().__init__(in_shape, in_shape)
        self.past, self.epsilon = None, spec.epsilon
        self.kept = in_shape[-1:] if spec.per_channel else ()
        self.size = prod(in_shape) // prod(self.kept)
        self.scale, self.shift = nn.Parameter(torch.ones(in_shape[-1])), nn.Parameter(torch.zeros(in_shape[-1]))

    def initial_state(self, batch: int, like: Tensor) -> tuple[Any, ...]:
        """No frame so far."""
        mean = like.new_zeros(batch, *self.kept, dtype=wide(like.dtype))
        return torch.zeros(batch, dtype=torch.int64, device=like.device), mean, torch.zeros_like(mean)

    def forward(self, x: Seq, state: State = None, last: Last = True) -> Out:
        """See `Layer.forward`."""
        x = tidy(self.checked(x))
        batch, frames = x.values.shape[:2]
        count, mean, squares = self.initial_state(batch, x.values) if state is None else state
        numbers = x.values.to(mean.dtype).reshape(batch, frames, self.size, *self.kept)
        of_frame = numbers.mean(2)
        around = (numbers - of_frame[:, :, None]).square().sum(2)
        known = prefixes(Moments(count.to(mean.dtype), mean, squares), of_frame, around, self.size)
        var = known.squares / (expand_mask(known.weight, known.squares) * self.size)
        y = (numbers - known.mean[:, :, None]) * torch.rsqrt(var + self.epsilon)[:, :, None]
        y = (y.reshape(x.values.shape) * self.scale + self.shift).to(x.values.dtype)
        lengths = row_lengths(x)
        return Out(Seq(y, x.lengths), (count + lengths, _at(mean, known.mean, lengths), _at(squares, known.squares, lengths)))


def _at(before: Tensor, after_each: Tensor, lengths: Tensor) -> Tensor:
    """What was known after each row's last frame; what was known before where it brought none."""
    return take(torch.cat([before[:, None], after_each], 1), lengths[:, None])[:, 0]
