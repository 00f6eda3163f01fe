"""Layers made of layers: their facts are computed from those of their children. Knows no layer in particular."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field
from math import lcm
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convrnn.core import hold
from convrnn.core.errors import InputError, ShapeError, SpecError
from convrnn.core.seq import Count, Ids, Seq, Shape, State, row_lengths, tidy
from convrnn.core.spec import register
from convrnn.layers.base import Last, Layer, Out, Reach, Spec, dense, facts_of, is_last, reads_through


@register("serial")
class Serial(Spec):
    """One layer after the other. In YAML a stack is a list.

    Attributes:
        layers: from input to output; none: the identity.

    Example:
        >>> Serial().build(3).out_shape
        (3,)
    """

    variadic: ClassVar[str | None] = "layers"
    stack: ClassVar[bool] = True
    layers: tuple[Spec, ...] = ()

    if TYPE_CHECKING:

        def __init__(self, *layers: Spec) -> None: ...

    def module(self, in_shape: Shape | Ids) -> Layer:
        """See `Spec.module`."""
        built: list[Layer] = []
        shape = in_shape
        for i, spec in enumerate(self.layers):
            try:
                built.append(spec.build(shape))
            except InputError as error:
                raise error.within(str(i)) from None
            shape = built[-1].out_shape
        return _Serial(built, in_shape)


class _Serial(Layer):
    """The state is a tuple of the layers' states."""

    def __init__(self, layers: list[Layer], in_shape: Shape | Ids) -> None:
        super().__init__(in_shape, layers[-1].out_shape if layers else dense(in_shape))
        self.layers = nn.ModuleList(layers)
        self.streams = all(layer.streams for layer in layers)
        self.ratio, self.past, self.lookahead = facts_of(layers)

    def reads(self, j: int) -> Reach:
        """See `Layer.reads`."""
        return reads_through(self._all(), j)

    def parts(self) -> Iterator[tuple[str, Layer]]:
        """See `Layer.parts`."""
        yield from ((str(i), layer) for i, layer in enumerate(self._all()))

    def frames(self, n: Count) -> Count:
        """See `Layer.frames`."""
        for layer in self._all():
            n = layer.frames(n)
        return n

    def ready(self, n: Count) -> Count:
        """See `Layer.ready`."""
        for layer in self._all():
            n = layer.ready(n)
        return n

    def initial_state(self, batch: int, like: Tensor) -> tuple[Any, ...]:
        """See `Layer.initial_state`."""
        return tuple(layer.initial_state(batch, like) for layer in self._all())

    def state_names(self) -> tuple[Any, ...]:
        """See `Layer.state_names`: under the place of each layer."""
        return tuple(under(place, layer.state_names()) for place, layer in self.parts())

    def forward(self, x: Seq, state: State = None, last: Last = True) -> Out:
        """See `Layer.forward`."""
        if not len(self.layers):
            return Out(self.checked(x), ())
        states: list[State] = []
        for i, layer in enumerate(self._all()):
            x, after = layer(x, None if state is None else state[i], last)
            states.append(after)
        return Out(x, tuple(states))

    def _all(self) -> list[Layer]:
        return list(self.layers)  # pyright: ignore[reportReturnType]  (a ModuleList does not say of what)


def under(place: str, names: tuple[Any, ...]) -> tuple[Any, ...]:
    """Nested names, each behind the place of the layer that keeps the state."""
    return tuple(f"{place}.{name}" if isinstance(name, str) else under(place, name) for name in names)


@register("parallel")
class Parallel(Spec):
    """The same input to every branch, the answers joined frame by frame. Branches may look ahead differently: the early ones wait.

    Attributes:
        branches: two or more, with equal numbers of frames out.
        merge: `concat` of channels; `add`; or `gate`: for each channel a softmax over the branches of W [y_1; ...] + a (Arevalo et al.
            2017, arXiv 1702.01992, for more than two).

    Example:
        >>> from convrnn.layers.conv import Conv
        >>> Parallel(Conv(4, kernel=3), Conv(4, kernel=7, padding="causal")).build(2).out_shape
        (8,)
    """

    variadic: ClassVar[str | None] = "branches"
    branches: tuple[Spec, ...]
    merge: Literal["concat", "add", "gate"] = "concat"

    if TYPE_CHECKING:

        def __init__(self, *branches: Spec, merge: Literal["concat", "add", "gate"] = "concat") -> None: ...

    def check(self) -> None:
        """At least two branches."""
        if len(self.branches) < 2:
            raise SpecError("parallel.branches", f"expected at least two, got {len(self.branches)}")

    def module(self, in_shape: Shape | Ids) -> Layer:
        """See `Spec.module`."""
        built: list[Layer] = []
        for i, spec in enumerate(self.branches):
            try:
                built.append(spec.build(in_shape))
            except InputError as error:
                raise error.within(str(i)) from None
        return _Parallel([(str(i), layer) for i, layer in enumerate(built)], self.merge, in_shape)


@register("residual")
class Residual(Spec):
    """x + body(x); the skip waits for what the body looks ahead (He et al. 2016, arXiv 1512.03385). It does not project.

    Attributes:
        body: a layer that keeps width and number of frames.

    Example:
        >>> from convrnn.layers.conv import Conv
        >>> Residual(Conv(8, kernel=5)).build(8).lookahead
        2
    """

    body: Spec = field(kw_only=False)

    def module(self, in_shape: Shape | Ids) -> Layer:
        """See `Spec.module`."""
        body = self.body.build(in_shape)
        if body.out_shape != in_shape:
            raise ShapeError(
                "", f"the body gives {body.out_shape}, the input is {in_shape}", f"end the body with {dense(in_shape)[-1]} features"
            )
        return _Parallel([("skip", Serial().build(in_shape)), ("body", body)], "add", in_shape)


class _Parallel(Layer):
    """The state is `(branches, waiting)`: the branches' states, and a hold for each branch of the frames that wait for the others."""

    def __init__(self, branches: list[tuple[str, Layer]], merge: str, in_shape: Shape | Ids) -> None:
        self_merge, layers = merge, [layer for _, layer in branches]
        first = layers[0]
        for place, layer in branches[1:]:
            _compare_shapes(place, layer, first, self_merge)
        width = sum(layer.out_shape[-1] for layer in layers) if merge == "concat" else first.out_shape[-1]
        super().__init__(in_shape, (*first.out_shape[:-1], width))
        self.merge, self.places = merge, [place for place, _ in branches]
        self.branches = nn.ModuleList(layers)
        self.gate = nn.Linear(len(layers) * first.out_shape[-1], len(layers) * first.out_shape[-1]) if merge == "gate" else None
        self.ratio, self.streams = first.ratio, all(layer.streams for layer in layers)
        self.past = _largest([layer.past for layer in layers])
        self.lookahead = _largest([layer.lookahead for layer in layers])
        self.sizes = self._waiting_sizes(layers)
        self.waits = any(self.sizes)

    def _waiting_sizes(self, layers: list[Layer]) -> list[int]:
        """The most frames each branch can be ahead of the slowest: measured over a whole period of the strides."""
        period = lcm(*(layer.ratio.denominator for layer in layers))
        counts = torch.arange(2 * max(layer.lookahead or 0 for layer in layers) + 8 * period + 64)
        totals = [layer.frames(counts) for layer in layers]
        for place, total in zip(self.places[1:], totals[1:], strict=True):
            different = (total != totals[0]).nonzero()
            if len(different):
                n = int(different[0, 0])
                raise ShapeError(
                    place,
                    f"gives {int(total[n])} frame(s) for {n}, {self.places[0]!r} gives {int(totals[0][n])}",
                    "use the same strides and padding",
                )
        early = [layer.ready(counts) for layer in layers]
        slowest = torch.stack(early).amin(0)
        return [int((e - slowest).max()) for e in early]

    def reads(self, j: int) -> Reach:
        """See `Layer.reads`: what the furthest branches do."""
        firsts, lasts = zip(*(layer.reads(j) for layer in self._all()), strict=True)
        return None if None in firsts else min(firsts), None if None in lasts else max(lasts)

    def parts(self) -> Iterator[tuple[str, Layer]]:
        """See `Layer.parts`."""
        yield from zip(self.places, self._all(), strict=True)

    def frames(self, n: Count) -> Count:
        """See `Layer.frames`."""
        return self._all()[0].frames(n)

    def ready(self, n: Count) -> Count:
        """See `Layer.ready`."""
        first, *others = (layer.ready(n) for layer in self._all())
        for other in others:
            first = torch.minimum(first, other) if isinstance(first, Tensor) and isinstance(other, Tensor) else min(first, other)
        return first

    def initial_state(self, batch: int, like: Tensor) -> tuple[Any, ...]:
        """See `Layer.initial_state`."""
        waiting = tuple(hold.empty(batch, size, layer.out_shape, like, 0) for size, layer in zip(self.sizes, self._all(), strict=True))
        return tuple(layer.initial_state(batch, like) for layer in self._all()), waiting if self.waits else ()

    def state_names(self) -> tuple[Any, ...]:
        """See `Layer.state_names`: under the place of each branch, the frames that wait under `waiting`."""
        waiting = tuple((f"{place}.waiting.buffer", f"{place}.waiting.held") for place in self.places)
        return tuple(under(place, layer.state_names()) for place, layer in self.parts()), waiting if self.waits else ()

    def forward(self, x: Seq, state: State = None, last: Last = True) -> Out:
        """See `Layer.forward`."""
        whole = state is None and last is True
        before = (None,) * len(self.branches) if state is None else state[0]
        outs = [layer(x, s, last) for layer, s in zip(self._all(), before, strict=True)]
        states = tuple(out.state for out in outs)
        seqs = [out.seq for out in outs]
        if not self.waits:
            return Out(self._merged(seqs), (states, ()))
        batch = x.values.shape[0]
        like = seqs[0].values
        if whole:
            ended = tuple(
                hold.empty(batch, size, layer.out_shape, like, hold.ENDED) for size, layer in zip(self.sizes, self._all(), strict=True)
            )
            return Out(self._merged(seqs), (states, ended))
        if state is None:
            waiting = tuple(hold.empty(batch, size, layer.out_shape, like, 0) for size, layer in zip(self.sizes, self._all(), strict=True))
        else:
            waiting = state[1]
        seq, waiting = self._synchronised(seqs, waiting, last)
        return Out(seq, (states, waiting))

    def _synchronised(self, seqs: list[Seq], waiting: tuple[hold.Hold, ...], last: Last) -> tuple[Seq, State]:
        """The frames that all branches have by now, joined; the others wait."""
        bounds = [size + seq.values.shape[1] for size, seq in zip(self.sizes, seqs, strict=True)]
        joined = [hold.append(h, seq.values, row_lengths(seq), bound) for h, seq, bound in zip(waiting, seqs, bounds, strict=True)]
        due = torch.stack([total for _, total in joined]).amin(0).clamp(min=0)
        ends = False if last is False else is_last(last, due.shape[0], due.device)
        after = tuple(
            hold.keep(frames, total, hold.after(total - due, ends), size) for (frames, total), size in zip(joined, self.sizes, strict=True)
        )
        width = min(bounds)
        return self._merged([Seq(frames[:, :width], due) for frames, _ in joined]), after

    def _merged(self, seqs: list[Seq]) -> Seq:
        lengths = seqs[0].lengths
        if self.merge == "gate":
            # The gate multiplies weights with the branches: what their padding holds must not reach the weights.
            values = [tidy(Seq(seq.values, lengths, seq.clean)).values for seq in seqs]
            assert self.gate is not None
            scores = F.linear(torch.cat(values, -1), self.gate.weight, self.gate.bias).unflatten(-1, (len(values), -1))
            return Seq((scores.softmax(-2) * torch.stack(values, -2)).sum(-2), lengths)
        values = [seq.values for seq in seqs]
        clean = all(seq.clean for seq in seqs)
        return Seq(torch.cat(values, -1) if self.merge == "concat" else sum(values[1:], values[0]), lengths, clean)

    def _all(self) -> list[Layer]:
        return list(self.branches)  # pyright: ignore[reportReturnType]  (a ModuleList does not say of what)


def _compare_shapes(place: str, layer: Layer, first: Layer, merge: str) -> None:
    mine, theirs = layer.out_shape, first.out_shape
    if mine[:-1] != theirs[:-1] or (merge != "concat" and mine != theirs):
        raise ShapeError(
            place, f"gives frames of {mine}, the first branch gives {theirs}", "make them equal, or merge='concat' where only widths differ"
        )
    if layer.ratio != first.ratio:
        raise ShapeError(place, f"gives {layer.ratio} frame(s) an input frame, the first branch {first.ratio}", "use the same strides")


def _largest(values: list[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return max(known) if len(known) == len(values) else None
