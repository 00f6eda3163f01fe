"""Layers that divide the channels of each frame: gated linear units, where one half weighs the other, and a slice. No state, no time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from convrnn.core.errors import ShapeError, SpecError
from convrnn.core.language import tr
from convrnn.core.seq import Ids, Seq, Shape, tidy
from convrnn.core.spec import register
from convrnn.layers.base import Framewise, Layer, Spec, dense
from convrnn.layers.conv import Positive

GLUKind = Literal["glu", "reglu", "geglu", "swiglu", "gtu"]

_GATES: dict[GLUKind, Callable[[Tensor], Tensor]] = {
    "glu": torch.sigmoid,
    "reglu": F.relu,
    "geglu": F.gelu,
    "swiglu": F.silu,
    "gtu": torch.sigmoid,
}


@register("glu")
class GLU(Spec):
    """A gated linear unit: of 2 n channels the first half a, weighed by the second, b: `[B, T, *space, 2 n]` to `[B, T, *space, n]`.

        glu      a sigmoid(b)          Dauphin et al. 2017, arXiv 1612.08083
        gtu      tanh(a) sigmoid(b)    the gated tanh unit of WaveNet, van den Oord et al. 2016, arXiv 1609.03499
        reglu    a relu(b)             this and those below: Shazeer 2020, arXiv 2002.05202
        geglu    a gelu(b)
        swiglu   a silu(b)

    The gated convolution of these papers is `Serial(Conv(2 * n), GLU())`: the first n filters are the features, the others their gates.

    Attributes:
        kind: one of the above.

    Example:
        >>> GLU("swiglu").build(8).out_shape
        (4,)
    """

    kind: GLUKind = field(default="glu", kw_only=False)

    def module(self, in_shape: Shape | Ids) -> Layer:
        """See `Spec.module`."""
        shape = dense(in_shape)
        if shape[-1] % 2:
            raise ShapeError(
                "",
                tr("expected an even number of channels, got {got}", got=shape[-1]),
                tr("give the layer before it twice the features"),
            )
        return _GLU(self.kind, shape)


class _GLU(Framewise):
    def __init__(self, kind: GLUKind, in_shape: Shape) -> None:
        super().__init__(in_shape, (*in_shape[:-1], in_shape[-1] // 2))
        self.kind, self.gate = kind, _GATES[kind]

    def each(self, values: Tensor) -> Tensor:
        a, b = values.chunk(2, -1)
        return (torch.tanh(a) if self.kind == "gtu" else a) * self.gate(b)

    def inside(self, x: Seq) -> dict[str, Tensor]:
        """See `Layer.inside`: the gate, and what it lets through."""
        a, b = tidy(self.checked(x)).values.chunk(2, -1)
        return {"a": torch.tanh(a) if self.kind == "gtu" else a, "gate": self.gate(b)}


@register("channels")
class Channels(Spec):
    """The channels from start to stop - 1 of every frame and position: `[B, T, *space, C]` to `[B, T, *space, stop - start]`.

    So that branches read different parts of the input: signals and, say, the condition that modulates them.

    Attributes:
        start: the first.
        stop: the first that is left out.

    Example:
        >>> Channels(0, 3).build(8).out_shape
        (3,)
    """

    start: Annotated[int, Field(ge=0)] = field(kw_only=False)
    stop: Positive = field(kw_only=False)

    def check(self) -> None:
        """At least one channel."""
        if self.stop <= self.start:
            raise SpecError("channels.stop", tr("expected more than start={start}, got {got}", start=self.start, got=self.stop))

    def module(self, in_shape: Shape | Ids) -> Layer:
        """See `Spec.module`."""
        shape = dense(in_shape)
        if self.stop > shape[-1]:
            raise ShapeError(
                "", tr("expected stop to be at most the {channels} input channels, got {got}", channels=shape[-1], got=self.stop)
            )
        return _Channels(self, shape)


class _Channels(Framewise):
    def __init__(self, spec: Channels, in_shape: Shape) -> None:
        super().__init__(in_shape, (*in_shape[:-1], spec.stop - spec.start))
        self.start, self.stop = spec.start, spec.stop

    def each(self, values: Tensor) -> Tensor:
        return values[..., self.start : self.stop]
