"""Bidirectional processing by any layer that gives a frame for each frame. Knows no layer in particular.

The second body reads each row from its last *valid* frame to its first: rows are reversed by their lengths, so its padding lies behind
the row, where it lies for the first body. google/sequence-layers reverses the whole time axis, padding first, and warns that causal
convolutions lose frames in it (`sequence_layers/jax/combinators.py`, `Bidirectional`); Keras and torch have recurrences only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field
from typing import Any

import torch
from torch import Tensor

from convrnn.core import hold
from convrnn.core.errors import NotStreamable, ShapeError
from convrnn.core.language import tr
from convrnn.core.seq import Count, Ids, Seq, Shape, State, tidy
from convrnn.core.spec import register
from convrnn.layers.base import Last, Layer, Out, Spec
from convrnn.layers.joined import largest, under
from convrnn.layers.stacked import Joint, Merge

_SHOWN = 64
"""Numbers of frames on which `frames(n) == n` is tried: more than any stride or window that leaves it true by chance."""


@register("both_ways")
class BothWays(Spec):
    """f = body(x) and b = reverse(body'(reverse(x))), joined: bidirectional for any body (Schuster & Paliwal 1997), body' with weights of
    its own. A row is reversed from its last valid frame to its first, so convolutions, pools and recurrences in the body do in b, mirrored,
    exactly what they do in f. A causal convolution that reads p frames back reads p back and p ahead here, in two kernels.

    It needs whole rows. With one recurrent layer in it, it is that layer with `bidirectional=True`.

    Attributes:
        body: a layer with one frame out for each frame in.
        merge: how the directions are joined: `concat`, `sum`, `mean`, or `gate`: g f + (1 - g) b with g = sigmoid(W [f; b] + a).

    Example:
        >>> from convrnn.layers.conv import Conv
        >>> net = BothWays(Conv(4, kernel=3, padding="causal")).build(2)
        >>> net.out_shape, net.past, net.lookahead, net.streams
        ((8,), 2, 2, False)
    """

    body: Spec = field(kw_only=False)
    merge: Merge = "concat"

    def module(self, in_shape: Shape | Ids) -> Layer:
        """See `Spec.module`."""
        forth, back = self.body.build(in_shape), self.body.build(in_shape)
        counts = torch.arange(_SHOWN)
        different = (forth.frames(counts) != counts).nonzero()
        if len(different):
            n = int(different[0, 0])
            raise ShapeError(
                "",
                tr("the body gives {frames} frame(s) for {n}: its two directions would not meet", frames=int(forth.frames(n)), n=n),
                tr("put strides and pooling before or behind it"),
            )
        return _BothWays(forth, back, self.merge, in_shape)


class _BothWays(Layer):
    """The state is `(forth, back)`: where each body begins, and where it stands behind a whole row."""

    remedy = tr("use its body alone, causal, or with lookahead (Conv(ahead=n))")

    def __init__(self, forth: Layer, back: Layer, merge: Merge, in_shape: Shape | Ids) -> None:
        *space, width = forth.out_shape
        super().__init__(in_shape, (*space, 2 * width if merge == "concat" else width))
        self.forth, self.back, self.joint = forth, back, Joint(merge, width)
        self.past = self.lookahead = largest([forth.past, forth.lookahead])
        self.streams = False

    def parts(self) -> Iterator[tuple[str, Layer]]:
        """See `Layer.parts`."""
        yield from (("forth", self.forth), ("back", self.back))

    def ready(self, n: Count) -> Count:
        """Both directions answer only when the row has ended."""
        return n * 0

    def initial_state(self, batch: int, like: Tensor) -> tuple[Any, ...]:
        """See `Layer.initial_state`."""
        return self.forth.initial_state(batch, like), self.back.initial_state(batch, like)

    def state_names(self) -> tuple[Any, ...]:
        """See `Layer.state_names`: under the place of each body."""
        return tuple(under(place, layer.state_names()) for place, layer in self.parts())

    def forward(self, x: Seq, state: State = None, last: Last = True) -> Out:
        """See `Layer.forward`; only whole rows."""
        if last is not True:
            raise NotStreamable(self.name, tr("cannot stream: the backward direction needs the whole row"), self.remedy)
        x = tidy(self.checked(x))
        (f, b), after = self._directions(x, (None, None) if state is None else (state[0], state[1]))
        return Out(Seq(self.joint(torch.cat([f, b], -1)), x.lengths, self.joint.gate is None), after)

    def inside(self, x: Seq) -> dict[str, Tensor]:
        """See `Layer.inside`: the answers of both directions, and the gate between them."""
        (f, b), _ = self._directions(tidy(x), (None, None))
        gate = self.joint.gate
        return {"f": f, "b": b} if gate is None else {"f": f, "b": b, "g": torch.sigmoid(gate(torch.cat([f, b], -1)))}

    def _directions(self, x: Seq, begin: tuple[State, State]) -> tuple[tuple[Tensor, Tensor], tuple[State, State]]:
        """The answers of both bodies to whole rows, in the order of the input and zero beyond its lengths; and their states."""
        f, state_forth = self.forth(x, begin[0])
        b, state_back = self.back(reversed_rows(x), begin[1])
        return (_zeroed(f, x.lengths).values, reversed_rows(_zeroed(b, x.lengths)).values), (state_forth, state_back)


def _zeroed(y: Seq, lengths: Tensor | None) -> Seq:
    """A body's answer under the lengths of its input, which are equal to its own."""
    return tidy(Seq(y.values, lengths, y.clean))


def reversed_rows(x: Seq) -> Seq:
    """Each row from its last valid frame to its first; the padding stays behind it."""
    if x.lengths is None:
        return Seq(x.values.flip(1), None, x.clean)
    place = torch.arange(x.values.shape[1], device=x.lengths.device)
    mirrored = x.lengths[:, None] - 1 - place
    return Seq(hold.take(x.values, torch.where(mirrored >= 0, mirrored, place)), x.lengths, x.clean)
