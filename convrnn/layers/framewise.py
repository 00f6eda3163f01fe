"""Layers that treat each frame alone: dense layers, activations, and folding space into channels. No state, no time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from fractions import Fraction
from functools import partial
from math import prod
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convrnn.core import hold
from convrnn.core.errors import ShapeError
from convrnn.core.language import tr
from convrnn.core.seq import Count, Ids, Seq, Shape, State, row_lengths, tidy
from convrnn.core.spec import register
from convrnn.layers.base import Framewise, Last, Layer, Out, Spec, channels_of, dense, is_last
from convrnn.layers.conv import Positive
from convrnn.layers.init import Init, fill


@register("linear")
class Linear(Spec):
    """The dense layer, y = W x + b, for each frame and position: `[B, T, *space, C]` to `[B, T, *space, features]`.

    Attributes:
        features: output channels.
        bias: whether to add b.
        init: how W begins.

    Example:
        >>> Linear(10).build(64).out_shape
        (10,)
    """

    features: Positive = field(kw_only=False)
    bias: bool = True
    init: Init = "xavier"

    def module(self, in_shape: Shape | Ids) -> Layer:
        """See `Spec.module`."""
        return _Linear(self, dense(in_shape))


class _Linear(Framewise):
    def __init__(self, spec: Linear, in_shape: Shape) -> None:
        super().__init__(in_shape, (*in_shape[:-1], spec.features))
        self.weight = nn.Parameter(torch.empty(spec.features, channels_of(in_shape)))
        self.bias = nn.Parameter(torch.zeros(spec.features)) if spec.bias else None
        self.keeps_zero = not spec.bias
        fill(self.weight, spec.init)

    def each(self, values: Tensor) -> Tensor:
        return F.linear(values, self.weight, self.bias)


ActivationName = Literal["relu", "leaky_relu", "elu", "gelu", "silu", "tanh", "sigmoid", "softplus", "softmax", "identity"]

_FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "leaky_relu": F.leaky_relu,
    "elu": F.elu,
    "gelu": F.gelu,
    "silu": F.silu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "softplus": F.softplus,
    "softmax": partial(F.softmax, dim=-1),
    "identity": nn.Identity(),
}


@register("activation")
class Activation(Spec):
    """A fixed non-linearity, entry by entry (`softmax`: over the channels).

    Attributes:
        function: its name; `leaky_relu` has slope 0.01, `elu` alpha 1, `gelu` is exact.

    Example:
        >>> Activation("relu").build(8).out_shape
        (8,)
    """

    function: ActivationName = field(default="relu", kw_only=False)

    def module(self, in_shape: Shape | Ids) -> Layer:
        """See `Spec.module`."""
        return _Activation(self.function, dense(in_shape))


class _Activation(Framewise):
    def __init__(self, name: ActivationName, in_shape: Shape) -> None:
        super().__init__(in_shape, in_shape)
        self.function, self.keeps_zero = _FUNCTIONS[name], name not in ("sigmoid", "softplus", "softmax")

    def each(self, values: Tensor) -> Tensor:
        return self.function(values)


@register("fold")
class Fold(Spec):
    """Space into channels, frame by frame: `[B, T, H, W, C]` to `[B, T, H W C]`; time is kept, so a recurrence can follow.

    Attributes:
        kind: `concat` (all positions, in order), or their `mean` or `max`: `[B, T, C]`.

    Example:
        >>> Fold().build((4, 8)).out_shape
        (32,)
    """

    kind: Literal["concat", "mean", "max"] = field(default="concat", kw_only=False)

    def module(self, in_shape: Shape | Ids) -> Layer:
        """See `Spec.module`."""
        return _Fold(self.kind, dense(in_shape))


class _Fold(Framewise):
    def __init__(self, kind: str, in_shape: Shape) -> None:
        super().__init__(in_shape, (prod(in_shape),) if kind == "concat" else in_shape[-1:])
        self.kind = kind

    def each(self, values: Tensor) -> Tensor:
        flat = values.flatten(2) if self.kind == "concat" else values.reshape(*values.shape[:2], prod(values.shape[2:-1]), values.shape[-1])
        match self.kind:
            case "concat":
                return flat
            case "mean":
                return flat.mean(2)
            case _:
                return flat.amax(2)


@register("flatten")
class Flatten(Spec):
    """Time and space into one vector, given out when the row ends: `[B, frames, *space, C]` to `[B, 1, frames * space * C]`.

    Every row must have exactly this number of frames; `Pool(windows=n)` before it gives rows of any length n of them.

    Attributes:
        frames: how many frames a row has.

    Example:
        >>> Flatten(frames=5).build((5, 64)).out_shape
        (1600,)
    """

    frames: Positive = field(kw_only=False)

    def module(self, in_shape: Shape | Ids) -> Layer:
        """See `Spec.module`."""
        return _Flatten(self.frames, dense(in_shape))


class _Flatten(Layer):
    """The state is a hold of all frames."""

    keeps: ClassVar[tuple[str, ...]] = ("buffer", "held")

    def __init__(self, size: int, in_shape: Shape) -> None:
        super().__init__(in_shape, (size * prod(in_shape),))
        self.size = size
        self.ratio, self.past, self.lookahead = Fraction(0), None, None

    def frames(self, n: Count) -> Count:
        """One."""
        return n * 0 + 1

    def ready(self, n: Count) -> Count:
        """None before the end."""
        return n * 0

    def initial_state(self, batch: int, like: Tensor) -> tuple[Any, ...]:
        """An empty hold."""
        return hold.empty(batch, self.size, dense(self.in_shape), like, 0)

    def forward(self, x: Seq, state: State = None, last: Last = True) -> Out:
        """See `Layer.forward`; raises `ShapeError` for a row with another number of frames, when it ends."""
        x = tidy(self.checked(x))
        batch, frames = x.values.shape[:2]
        if state is None and last is True:
            self._require(torch.full((batch,), frames) if x.lengths is None else x.lengths, None)
            spent = hold.empty(batch, self.size, dense(self.in_shape), x.values, hold.ENDED)
            return Out(
                Seq(x.values[:, : self.size].reshape(batch, 1, self.out_shape[0]), None if x.lengths is None else x.lengths * 0 + 1), spent
            )
        buffer, held = state if state is not None else self.initial_state(batch, x.values)
        ends = is_last(last, batch, held.device)
        living = held > hold.ENDED // 2
        joined, total = hold.append((buffer, held), x.values, row_lengths(x), self.size + frames)
        self._require(total, ends & living)
        after = hold.keep(joined, total, hold.after(total, ends), self.size)
        answers = (ends & living).to(torch.int64)
        y = joined[:, : self.size].reshape(batch, 1, self.out_shape[0])
        return Out(Seq(y if last is not False else y[:, :0], answers), after)

    def _require(self, total: Tensor, ends: Tensor | None) -> None:
        """Raises for a row that ends with another number of frames, or has more already; silent in traced code and off the CPU."""
        if total.device.type != "cpu" or torch.compiler.is_compiling():
            return
        wrong = total != self.size if ends is None else (total > self.size) | (ends & (total != self.size))
        if bool(wrong.any()):
            row = int(wrong.nonzero()[0, 0])
            raise ShapeError(
                self.name,
                tr("expected rows of {size} frames, row {row} has {total}", size=self.size, row=row, total=int(total[row])),
                tr("put Pool(windows={size}) before it", size=self.size),
            )
