"""Branches side by side over the same input, their answers joined frame by frame. Knows no branch in particular, nor how they are joined.

Branches may look ahead differently. In a stream the early ones wait in a hold, so that frame j of one always meets frame j of the others.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from math import lcm
from typing import Any

import torch
from torch import Tensor, nn

from convrnn.core import hold
from convrnn.core.errors import ShapeError
from convrnn.core.language import tr
from convrnn.core.seq import Count, Ids, Seq, Shape, State, row_lengths, tidy
from convrnn.layers.base import Last, Layer, Out, Reach, is_last


def under(place: str, names: tuple[Any, ...]) -> tuple[Any, ...]:
    """Nested names, each behind the place of the layer that keeps the state."""
    return tuple(f"{place}.{name}" if isinstance(name, str) else under(place, name) for name in names)


class Joined(Layer):
    """Base of layers of branches; subclasses give `join`.

    The state is `(branches, waiting)`: the branches' states, and a hold for each branch of the frames that wait for the others.

    Attributes:
        weighs: whether `join` multiplies: then what the padding of a branch holds could reach a weight, and is zeroed first.
    """

    def __init__(self, branches: Sequence[tuple[str, Layer]], in_shape: Shape | Ids, out_shape: Shape, weighs: bool) -> None:
        super().__init__(in_shape, out_shape)
        layers = [layer for _, layer in branches]
        self.places = [place for place, _ in branches]
        self.branches = nn.ModuleList(layers)
        self.weighs = weighs
        for place, layer in branches[1:]:
            if layer.ratio != layers[0].ratio:
                raise ShapeError(
                    place,
                    tr("gives {ratio} frame(s) an input frame, the first branch {first}", ratio=layer.ratio, first=layers[0].ratio),
                    tr("use the same strides"),
                )
        self.ratio, self.streams = layers[0].ratio, all(layer.streams for layer in layers)
        self.past = largest([layer.past for layer in layers])
        self.lookahead = largest([layer.lookahead for layer in layers])
        self.sizes = self._waiting_sizes(layers)
        self.waits = any(self.sizes)

    @abstractmethod
    def join(self, values: list[Tensor]) -> Tensor:
        """The answers of all branches, each `[B, T, *space, C]`, as one."""

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
        return tuple(layer.initial_state(batch, like) for layer in self._all()), self._holds(batch, like, 0)

    def state_names(self) -> tuple[Any, ...]:
        """See `Layer.state_names`: under the place of each branch, the frames that wait under `waiting`."""
        waiting = tuple((f"{place}.waiting.buffer", f"{place}.waiting.held") for place in self.places)
        return tuple(under(place, layer.state_names()) for place, layer in self.parts()), waiting if self.waits else ()

    def forward(self, x: Seq, state: State = None, last: Last = True) -> Out:
        """See `Layer.forward`."""
        before = (None,) * len(self.branches) if state is None else state[0]
        outs = [layer(x, s, last) for layer, s in zip(self._all(), before, strict=True)]
        states, seqs = tuple(out.state for out in outs), [out.seq for out in outs]
        if not self.waits:
            return Out(self._joined(seqs), (states, ()))
        batch, like = x.values.shape[0], seqs[0].values
        if state is None and last is True:
            return Out(self._joined(seqs), (states, self._holds(batch, like, hold.ENDED)))
        seq, waiting = self._synchronised(seqs, self._holds(batch, like, 0) if state is None else state[1], last)
        return Out(seq, (states, waiting))

    def _waiting_sizes(self, layers: list[Layer]) -> list[int]:
        """The most frames each branch can be ahead of the slowest: measured over a whole period of the strides.

        Raises:
            ShapeError: branches that give different numbers of frames.
        """
        period = lcm(*(layer.ratio.denominator for layer in layers))
        counts = torch.arange(2 * max(layer.lookahead or 0 for layer in layers) + 8 * period + 64)
        totals = [layer.frames(counts) for layer in layers]
        for place, total in zip(self.places[1:], totals[1:], strict=True):
            different = (total != totals[0]).nonzero()
            if len(different):
                n = int(different[0, 0])
                raise ShapeError(
                    place,
                    tr(
                        "gives {total} frame(s) for {n}, {places!r} gives {totals}",
                        total=int(total[n]),
                        n=n,
                        places=self.places[0],
                        totals=int(totals[0][n]),
                    ),
                    tr("use the same strides and padding"),
                )
        if not self.streams:
            return [0] * len(layers)
        early = [layer.ready(counts) for layer in layers]
        slowest = torch.stack(early).amin(0)
        return [int((e - slowest).max()) for e in early]

    def _holds(self, batch: int, like: Tensor, held: int) -> tuple[hold.Hold, ...]:
        """Nothing waits: at the beginning (`held` 0), or because the rows have ended."""
        if not self.waits:
            return ()
        return tuple(hold.empty(batch, size, layer.out_shape, like, held) for size, layer in zip(self.sizes, self._all(), strict=True))

    def _synchronised(self, seqs: list[Seq], waiting: tuple[hold.Hold, ...], last: Last) -> tuple[Seq, State]:
        """The frames that all branches have by now, joined; the others wait."""
        bounds = [size + seq.values.shape[1] for size, seq in zip(self.sizes, seqs, strict=True)]
        totals = _totals(seqs, waiting) if last is False else None
        # As many frames as there are places, or none: see `Windowed._common`.
        if totals is not None and min(totals) in (0, min(bounds)):
            return self._synchronised_common(seqs, waiting, totals)
        joined = [hold.append(h, seq.values, row_lengths(seq), bound) for h, seq, bound in zip(waiting, seqs, bounds, strict=True)]
        due = torch.stack([total for _, total in joined]).amin(0).clamp(min=0)
        ends = False if last is False else is_last(last, due.shape[0], due.device)
        after = tuple(
            hold.keep(frames, total, hold.after(total - due, ends), size) for (frames, total), size in zip(joined, self.sizes, strict=True)
        )
        width = min(bounds)
        return self._joined([Seq(frames[:, :width], due) for frames, _ in joined]), after

    def _synchronised_common(self, seqs: list[Seq], waiting: tuple[hold.Hold, ...], totals: list[int]) -> tuple[Seq, State]:
        """`_synchronised` for rows of which each branch has as many frames as of the others, and that go on."""
        each = list(zip(waiting, seqs, totals, strict=True))
        frames = [hold.append_common(h, total - seq.values.shape[1], seq.values, total) for h, seq, total in each]
        due = min(totals)
        after = tuple(hold.keep_common(values, total, total - due, h) for values, (h, _, total) in zip(frames, each, strict=True))
        return self._joined([Seq(values[:, :due]) for values in frames]), after

    def _joined(self, seqs: list[Seq]) -> Seq:
        lengths = seqs[0].lengths
        if self.weighs:
            return Seq(self.join([tidy(Seq(seq.values, lengths, seq.clean)).values for seq in seqs]), lengths)
        return Seq(self.join([seq.values for seq in seqs]), lengths, all(seq.clean for seq in seqs))

    def _all(self) -> list[Layer]:
        return list(self.branches)  # pyright: ignore[reportReturnType]  (a ModuleList does not say of what)


def _totals(seqs: list[Seq], waiting: tuple[hold.Hold, ...]) -> list[int] | None:
    """The frames that each branch has by now, where all rows have as many."""
    totals: list[int] = []
    for seq, (_, clocks) in zip(seqs, waiting, strict=True):
        held = hold.common(clocks) if seq.lengths is None else None
        if held is None:
            return None
        totals.append(held + seq.values.shape[1])
    return totals


def largest(values: Sequence[int | None]) -> int | None:
    """The largest reach; None, unbounded, is larger than any."""
    known = [value for value in values if value is not None]
    return max(known) if len(known) == len(values) else None
