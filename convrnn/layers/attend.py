"""Attention as a layer: frames of one branch over all frames of another. Knows no score: `attention.py` has them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field
from typing import Any, Literal

import torch
from torch import Tensor

from convrnn.core.errors import NotStreamable, SpecError
from convrnn.core.language import tr
from convrnn.core.seq import Count, Ids, Seq, Shape, State, tidy
from convrnn.core.spec import register
from convrnn.layers.attention import ContentKind, content_attention
from convrnn.layers.base import Last, Layer, Out, Spec, flat
from convrnn.layers.combine import build_at
from convrnn.layers.conv import Positive
from convrnn.layers.joined import under


@register("attend")
class Attend(Spec):
    """Every frame q of one branch looks at all frames m of another, which reads the same input:

        e_m = v . tanh(W q + U m + b)  or  q . m  or  q . m / sqrt(C)  or  q . W m,   a = softmax over m of e,   c = sum_m a_m m

    (additive: Bahdanau et al. 2015, arXiv 1409.0473; dot and general: Luong et al. 2015, arXiv 1508.04025; scaled: Vaswani et al. 2017,
    arXiv 1706.03762). The branches may have different numbers of frames: one query a row (a global pool) gives a pooling of the memory.

    It needs whole rows. Location-aware attention goes from query to query, so it belongs to a decoder: `layers.attention.Location`.

    Attributes:
        query: the branch that asks; without space. Its frames are those of the answer.
        memory: the branch that is asked; without space.
        kind: `additive`, `dot`, `scaled_dot` or `general`; the dot products need branches of equal widths.
        size: width of the hidden layer of `additive`; None: that of the memory.
        merge: `concat`, the answer is [q; c], or `context`, it is c.

    Example:
        >>> from convrnn.layers.conv import Conv
        >>> from convrnn.layers.recurrent import GRU
        >>> Attend(GRU(8), Conv(6, stride=4), kind="general").build(3).out_shape
        (14,)
    """

    query: Spec = field(kw_only=False)
    memory: Spec = field(kw_only=False)
    kind: ContentKind = "additive"
    size: Positive | None = None
    merge: Literal["concat", "context"] = "concat"

    def check(self) -> None:
        """Only additive attention has a hidden layer."""
        if self.size is not None and self.kind != "additive":
            raise SpecError("attend.size", tr("belongs to kind='additive', got kind={got!r}", got=self.kind), tr("leave size out"))

    def module(self, in_shape: Shape | Ids) -> Layer:
        """See `Spec.module`."""
        return _Attend(self, build_at("query", self.query, in_shape), build_at("memory", self.memory, in_shape), in_shape)


class _Attend(Layer):
    """The state is `(query, memory)`: where each branch begins, and where it stands behind a whole row."""

    remedy = tr("use GlobalPool('attention'), or a recurrent layer in place of the attention")

    def __init__(self, spec: Attend, query: Layer, memory: Layer, in_shape: Shape | Ids) -> None:
        asks, asked = flat(query.out_shape), flat(memory.out_shape)
        super().__init__(in_shape, (asked + (asks if spec.merge == "concat" else 0),))
        self.query, self.memory, self.merge = query, memory, spec.merge
        self.attention = content_attention(spec.kind, asks, asked, spec.size)
        self.ratio, self.past, self.lookahead, self.streams = query.ratio, None, None, False

    def parts(self) -> Iterator[tuple[str, Layer]]:
        """See `Layer.parts`."""
        yield from (("query", self.query), ("memory", self.memory))

    def frames(self, n: Count) -> Count:
        """Those of the query."""
        return self.query.frames(n)

    def ready(self, n: Count) -> Count:
        """Nothing is known before the memory has ended."""
        return n * 0

    def initial_state(self, batch: int, like: Tensor) -> tuple[Any, ...]:
        """See `Layer.initial_state`."""
        return self.query.initial_state(batch, like), self.memory.initial_state(batch, like)

    def state_names(self) -> tuple[Any, ...]:
        """See `Layer.state_names`: under the place of each branch."""
        return tuple(under(place, layer.state_names()) for place, layer in self.parts())

    def forward(self, x: Seq, state: State = None, last: Last = True) -> Out:
        """See `Layer.forward`; only whole rows."""
        if last is not True:
            raise NotStreamable(self.name, tr("cannot stream: every frame looks at the whole row"), self.remedy)
        before_query, before_memory = (None, None) if state is None else state
        query, after_query = self.query(x, before_query)
        memory, after_memory = self.memory(x, before_memory)
        query = tidy(query)
        context, _ = self.attention.ask(query.values, self.attention.prepare(memory))
        y = context if self.merge == "context" else torch.cat([query.values, context], -1)
        return Out(Seq(y, query.lengths), (after_query, after_memory))

    def inside(self, x: Seq) -> dict[str, Tensor]:
        """See `Layer.inside`: the weights, `[B, frames of the query, frames of the memory]`."""
        query, memory = tidy(self.query(x).seq), self.memory(x).seq
        return {"weights": self.attention.ask(query.values, self.attention.prepare(memory))[1]}
