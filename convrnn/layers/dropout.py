"""Dropout whose masks are a function of seed, row, frame and channel, so that chunks drop what the whole row would have dropped."""

from __future__ import annotations

from dataclasses import field
from math import prod
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from convrnn.core.seq import Ids, Seq, Shape, State, row_lengths, tidy
from convrnn.core.spec import register
from convrnn.kernels.native import keep_mask
from convrnn.layers.base import Last, Layer, Out, Spec, dense
from convrnn.layers.seeds import fresh_seeds

Rate = Annotated[float, Field(ge=0, lt=1)]


@register("drop")
class Dropout(Spec):
    """Zeroes channels at random in training and scales the rest by 1 / (1 - rate) (Srivastava et al. 2014); nothing in evaluation.

    The seed of each row is drawn from torch's generator when the row begins and travels in the state with the row's clock. In YAML it is
    called `drop`, because `dropout` is a field of other layers.

    Attributes:
        rate: how many are dropped.
        variational: one mask for all frames of a row (Gal & Ghahramani 2016, arXiv 1512.05287).

    Example:
        >>> Dropout(0.5).build(8).eval().initial_state(2, torch.zeros(()))
        ()
    """

    rate: Rate = field(default=0.5, kw_only=False)
    variational: bool = False

    def module(self, in_shape: Shape | Ids) -> Layer:
        """See `Spec.module`."""
        return DropoutLayer(self.rate, self.variational, dense(in_shape))


class DropoutLayer(Layer):
    """In training the state is `(seed int64 [B], clock int64 [B])`; in evaluation there is none."""

    name = "drop"

    def __init__(self, rate: float, variational: bool, in_shape: Shape) -> None:
        super().__init__(in_shape, in_shape)
        self.rate, self.variational = rate, variational

    def initial_state(self, batch: int, like: Tensor) -> tuple[Any, ...]:
        """Fresh seeds, in training."""
        if not self.training or not self.rate:
            return ()
        seed = fresh_seeds(batch, like.device)
        return seed, torch.zeros_like(seed)

    def forward(self, x: Seq, state: State = None, last: Last = True) -> Out:
        """See `Layer.forward`."""
        x = tidy(self.checked(x))
        if not self.training or not self.rate:
            return Out(x, ())
        batch, frames = x.values.shape[:2]
        seed, clock = state or self.initial_state(batch, x.values)
        shown = 1 if self.variational else frames
        start = torch.zeros_like(clock) if self.variational else clock
        mask = keep_mask(seed, start, shown, prod(self.out_shape), 1 - self.rate, x.values.dtype)
        values = x.values * mask.reshape(batch, shown, *self.out_shape)
        return Out(Seq(values, x.lengths, x.clean), (seed, clock + row_lengths(x)))
