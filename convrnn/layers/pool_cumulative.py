"""Pooling of all frames so far, answered at every frame. Nothing is learned. Knows neither windows nor the end of a row."""

from __future__ import annotations

from dataclasses import field
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from convrnn.core.seq import Ids, Seq, Shape, State, expand_mask, row_lengths, tidy
from convrnn.core.spec import register
from convrnn.kernels.running import running_max
from convrnn.layers.base import Last, Layer, Out, Spec, dense
from convrnn.layers.moments import wide
from convrnn.layers.pool_whole import without_padding


@register("cumulative_pool")
class CumulativePool(Spec):
    """y_t = (x_1 + ... + x_t) / t, or the maximum of x_1 ... x_t, channel by channel: `[B, T, *space, C]` to the same shape.

    What `GlobalPool` would answer if the row ended here, at every frame; causal, and streams. Sums are float32 at least.

    Attributes:
        kind: `mean` or `max`.

    Example:
        >>> net = CumulativePool("max").build(1)
        >>> net(Seq(torch.tensor([[[1.0], [3.0], [2.0]]]))).seq.values.flatten().tolist()
        [1.0, 3.0, 3.0]
    """

    kind: Literal["mean", "max"] = field(default="mean", kw_only=False)

    def module(self, in_shape: Shape | Ids) -> Layer:
        """See `Spec.module`."""
        return _CumulativeMean(dense(in_shape)) if self.kind == "mean" else _CumulativeMax(dense(in_shape))


class _CumulativeMean(Layer):
    keeps: ClassVar[tuple[str, ...]] = ("count", "sum")

    def __init__(self, in_shape: Shape) -> None:
        super().__init__(in_shape, in_shape)
        self.past = None

    def initial_state(self, batch: int, like: Tensor) -> tuple[Any, ...]:
        """No frame so far."""
        count = torch.zeros(batch, dtype=torch.int64, device=like.device)
        return count, like.new_zeros(batch, *self.out_shape, dtype=wide(like.dtype))

    def forward(self, x: Seq, state: State = None, last: Last = True) -> Out:
        """See `Layer.forward`."""
        x = tidy(self.checked(x))
        batch, frames = x.values.shape[:2]
        count, total = self.initial_state(batch, x.values) if state is None else state
        sums = total[:, None] + x.values.cumsum(1, dtype=total.dtype)
        counts = expand_mask(count[:, None] + torch.arange(1, frames + 1, device=count.device), sums)
        after = count + row_lengths(x), total + x.values.sum(1, dtype=total.dtype)
        return Out(Seq((sums / counts).to(x.values.dtype), x.lengths), after)


class _CumulativeMax(Layer):
    keeps: ClassVar[tuple[str, ...]] = ("max",)

    def __init__(self, in_shape: Shape) -> None:
        super().__init__(in_shape, in_shape)
        self.past = None

    def initial_state(self, batch: int, like: Tensor) -> tuple[Any, ...]:
        """Less than any frame."""
        return (like.new_full((batch, *self.out_shape), float("-inf")),)

    def forward(self, x: Seq, state: State = None, last: Last = True) -> Out:
        """See `Layer.forward`."""
        x = tidy(self.checked(x))
        (before,) = self.initial_state(x.values.shape[0], x.values) if state is None else state
        values = without_padding(x.values, x.lengths, float("-inf"))
        # The maximum so far is one more frame; over the padding it stands still, so the last column is the state.
        largest = running_max(torch.cat([before[:, None], values], 1))
        return Out(Seq(largest[:, 1:], x.lengths), (largest[:, -1].clone(),))
