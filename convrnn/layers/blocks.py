"""Blocks around a body: repeated, densely connected, highway, conditional. Each is built from the three of `combine.py` and the waiting of
`joined.py`; knows no body in particular.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Annotated, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from convrnn.core.errors import ShapeError, SpecError
from convrnn.core.language import tr
from convrnn.core.seq import Ids, Seq, Shape, tidy
from convrnn.core.spec import register
from convrnn.layers.base import Layer, Spec, dense
from convrnn.layers.combine import Parallel, Serial, SerialLayer, around, build_at
from convrnn.layers.joined import Joined

Times = Annotated[int, Field(gt=0)]


@register("repeat")
class Repeat(Spec):
    """The body, several times one behind the other, each with weights of its own: `Repeat(b, 3)` is `Serial(b, b, b)`.

    Attributes:
        body: what is repeated.
        times: how often.
        shared: the same weights each time (Dehghani et al. 2019, arXiv 1807.03819, over depth); the states are apart. The body then has to
            keep the shape of a frame.

    Example:
        >>> from convrnn.layers.conv import Conv
        >>> net = Repeat(Conv(8, kernel=3), 4, shared=True).build(8)
        >>> net.lookahead, sum(p.numel() for p in net.parameters())
        (4, 200)
    """

    body: Spec = field(kw_only=False)
    times: Times = field(kw_only=False)
    shared: bool = False

    def module(self, in_shape: Shape | Ids) -> Layer:
        """See `Spec.module`."""
        if not self.shared:
            return Serial(*[self.body] * self.times).module(in_shape)
        _, body = around(self.body, in_shape)
        return SerialLayer([body], in_shape, self.times)


@register("dense_block")
class DenseBlock(Spec):
    """Each body reads the input and all answers before it, their channels concatenated: y_i = body_i([x; y_1; ...; y_(i-1)]), and the
    block gives [x; y_1; ...; y_n] (Huang et al. 2017, arXiv 1608.06993). What is early waits for what looks ahead.

    Attributes:
        bodies: layers that keep the number of frames.
        times: how often the bodies are gone through, with new weights each time: `DenseBlock(b, times=3)` is `DenseBlock(b, b, b)`.

    Example:
        >>> from convrnn.layers.conv import Conv
        >>> DenseBlock(Conv(4, kernel=5), times=3).build(8).out_shape
        (20,)
    """

    variadic: ClassVar[str | None] = "bodies"
    bodies: tuple[Spec, ...]
    times: Times = 1

    if TYPE_CHECKING:

        def __init__(self, *bodies: Spec, times: int = 1) -> None: ...

    def check(self) -> None:
        """At least one body."""
        if not self.bodies:
            raise SpecError("dense_block.bodies", tr("expected at least one, got none"), tr("give DenseBlock(Conv(8))"))

    def module(self, in_shape: Shape | Ids) -> Layer:
        """See `Spec.module`."""
        return Serial(*(Parallel(Serial(), body) for body in self.bodies * self.times)).module(in_shape)


@register("highway")
class Highway(Spec):
    """t h + (1 - t) x with h = body(x) and t = sigmoid(W x + b): a gate for each channel says how much of the body passes, the rest of x
    goes by (Srivastava et al. 2015, arXiv 1505.00387). x waits for what the body looks ahead.

    Attributes:
        body: a layer that keeps width and number of frames.
        bias: where b begins; below zero, so that a deep stack lets its input through at first.

    Example:
        >>> from convrnn.layers.recurrent import GRU
        >>> Highway(GRU(8)).build(8).out_shape
        (8,)
    """

    body: Spec = field(kw_only=False)
    bias: float = -1.0

    def module(self, in_shape: Shape | Ids) -> Layer:
        """See `Spec.module`."""
        skip, body = around(self.body, in_shape)
        return _Highway(skip, body, self.bias, dense(in_shape))


class _Highway(Joined):
    def __init__(self, skip: Layer, body: Layer, bias: float, in_shape: Shape) -> None:
        super().__init__([("skip", skip), ("body", body)], in_shape, in_shape, weighs=True)
        self.gate = nn.Linear(in_shape[-1], in_shape[-1])
        nn.init.xavier_uniform_(self.gate.weight)
        nn.init.constant_(self.gate.bias, bias)

    def join(self, values: list[Tensor]) -> Tensor:
        """See `Joined.join`."""
        x, h = values
        t = torch.sigmoid(self.gate(x))
        # Not torch.lerp: autocast may give x in float32 and the others in half precision.
        return t * h + (1 - t) * x

    def inside(self, x: Seq) -> dict[str, Tensor]:
        """See `Layer.inside`: the gate t."""
        return {"t": torch.sigmoid(self.gate(tidy(x).values))}


@register("film")
class FiLM(Spec):
    """gamma body(x) + beta with [gamma; beta] = W by(x) + b, channel by channel (Perez et al. 2018, arXiv 1709.07871): what the body finds
    is scaled and shifted by a condition. At the beginning W = 0, gamma = 1, beta = 0, so the body answers as if it were alone.

    A condition that belongs to a whole row (a speaker, a station, a class) travels as channels of its own, the same on every frame; `by`
    cuts them out: FiLM(by=Channels(40, 48), body=Serial(Channels(0, 40), GRU(64))). So it streams and does not depend on the batch.

    Attributes:
        by: the condition, with as many frames as the body; without space, or with that of the body.
        body: what is conditional.

    Example:
        >>> from convrnn.layers.conv import Conv
        >>> from convrnn.layers.framewise import Linear
        >>> FiLM(by=Linear(3), body=Conv(8, kernel=5)).build(4).out_shape
        (8,)
    """

    by: Spec = field(kw_only=False)
    body: Spec = field(kw_only=False)

    def module(self, in_shape: Shape | Ids) -> Layer:
        """See `Spec.module`."""
        by, body = build_at("by", self.by, in_shape), build_at("body", self.body, in_shape)
        if by.out_shape[:-1] not in ((), body.out_shape[:-1]):
            raise ShapeError(
                "by",
                tr("gives frames of {mine}, the body gives {body}", mine=by.out_shape, body=body.out_shape),
                tr("put a Fold behind it"),
            )
        return _FiLM(by, body, in_shape)


class _FiLM(Joined):
    def __init__(self, by: Layer, body: Layer, in_shape: Shape | Ids) -> None:
        super().__init__([("by", by), ("body", body)], in_shape, body.out_shape, weighs=True)
        width = body.out_shape[-1]
        self.film = nn.Linear(by.out_shape[-1], 2 * width)
        nn.init.zeros_(self.film.weight)
        with torch.no_grad():
            self.film.bias.copy_(torch.arange(2 * width) < width)

    def join(self, values: list[Tensor]) -> Tensor:
        """See `Joined.join`."""
        gamma, beta = self._film(values[0], values[1])
        return gamma * values[1] + beta

    def inside(self, x: Seq) -> dict[str, Tensor]:
        """See `Layer.inside`: gamma and beta."""
        by, body = (tidy(layer(x).seq).values for _, layer in self.parts())
        gamma, beta = self._film(by, body)
        return {"gamma": gamma, "beta": beta}

    def _film(self, by: Tensor, body: Tensor) -> tuple[Tensor, Tensor]:
        """Each `[B, T, *space, C]`, the space of one position where the condition has none."""
        missing = body.dim() - by.dim()
        both = F.linear(by, self.film.weight, self.film.bias)
        gamma, beta = both.reshape(*both.shape[:2], *(1,) * missing, *both.shape[2:]).chunk(2, -1)
        return gamma, beta
