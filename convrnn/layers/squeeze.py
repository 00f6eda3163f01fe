"""Channels weighed by what the whole row holds of each: squeeze and excitation. Knows no convolution.

Hu, Shen & Sun 2018, "Squeeze-and-excitation networks", arXiv 1709.01507. The padding is in no mean, and no row in another's.
"""

from __future__ import annotations

from dataclasses import field
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convrnn.core.language import tr
from convrnn.core.seq import Count, Ids, Seq, Shape, State, row_lengths, tidy
from convrnn.core.spec import register
from convrnn.layers.base import Last, Layer, Out, Spec, channels_of, dense
from convrnn.layers.conv import Positive
from convrnn.layers.init import fill
from convrnn.layers.moments import beside, wide


@register("squeeze_excite")
class SqueezeExcite(Spec):
    """y = s x with s = sigmoid(W_2 relu(W_1 m)), m the mean of each channel over the valid frames of the row and its space.

    It needs the whole row. For a stream `Parallel(Serial(), Serial(CumulativePool("mean"), Linear(C // 16), Activation("relu"),
    Linear(C), Activation("sigmoid")), merge="multiply")` does the same with the frames so far.

    Attributes:
        reduction: W_1 has C / reduction rows, rounded up; 16 as in the paper.

    Example:
        >>> net = SqueezeExcite().build(32)
        >>> net.out_shape, net.streams
        ((32,), False)
    """

    reduction: Positive = field(default=16, kw_only=False)

    def module(self, in_shape: Shape | Ids) -> Layer:
        """See `Spec.module`."""
        return _SqueezeExcite(self.reduction, dense(in_shape))


class _SqueezeExcite(Layer):
    remedy = tr("weigh by the frames so far: Parallel of Serial() and CumulativePool with merge='multiply', see SqueezeExcite")

    def __init__(self, reduction: int, in_shape: Shape) -> None:
        super().__init__(in_shape, in_shape)
        self.past, self.lookahead, self.streams = None, None, False
        channels = channels_of(in_shape)
        narrow = -(-channels // reduction)
        self.squeeze, self.excite = nn.Parameter(torch.empty(narrow, channels)), nn.Parameter(torch.empty(channels, narrow))
        fill(self.squeeze, "he_normal")
        fill(self.excite, "he_normal")

    def ready(self, n: Count) -> Count:
        """None before the end."""
        return n * 0

    def forward(self, x: Seq, state: State = None, last: Last = True) -> Out:
        """See `Layer.forward`."""
        if last is not True or state is not None:
            self.require_streams()
        x = tidy(self.checked(x))
        weights = self._weights(x)
        return Out(Seq(x.values * weights, x.lengths, x.clean), ())

    def inside(self, x: Seq) -> dict[str, Tensor]:
        """See `Layer.inside`: the weights s, `[B, 1, *space, C]` with one position."""
        return {"s": self._weights(tidy(self.checked(x)))}

    def _weights(self, x: Seq) -> Tensor:
        """`[B, 1, ..., 1, C]`; of an empty row those of a mean of 0."""
        numbers = (row_lengths(x) * prod(self.out_shape[:-1])).clamp(min=1)
        within = tuple(range(1, x.values.dim() - 1))
        total = x.values.sum(within, keepdim=True, dtype=wide(x.values.dtype))
        mean = (total / beside(numbers, total)).to(x.values.dtype)
        return torch.sigmoid(F.linear(F.relu(F.linear(mean, self.squeeze)), self.excite))
