"""Stacks of one recurrence: layer over layer, one direction or both and how they merge, dropout between, the state carried.

Knows no recurrence and no gate: one layer run in one direction, with its weights and its state, is a `Direction`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from convrnn.core.errors import NotStreamable, SpecError
from convrnn.core.language import tr
from convrnn.core.seq import Count, Seq, Shape, State, tidy
from convrnn.core.spec import fields_for_subclasses
from convrnn.kernels import dispatch
from convrnn.kernels.reference import Recurrence
from convrnn.layers.base import Last, Layer, Out, Spec
from convrnn.layers.dropout import DropoutLayer, Rate
from convrnn.layers.init import Init

Merge = Literal["concat", "sum", "mean", "gate"]

Named = dict[str, Tensor]
"""The values of every frame by the symbols of the paper, `[B, T, *space, ...]`; the output is `h`."""


_BETWEEN = tr("acts between stacked layers, got layers=1")


@fields_for_subclasses
class Stacked(Spec):
    """Base of recurrences that can be stacked: `[B, T, *space, C]` to `[B, T, *space, width]`, twice that with two directions concatenated.

    Attributes:
        features: units H of one direction.
        layers: how many are stacked, each reading the one below.
        bidirectional: a second pass from each row's last valid frame to its first (Schuster & Paliwal 1997). Needs whole rows.
        merge: how the directions are joined: `concat`, `sum`, `mean`, or `gate`: g f + (1 - g) b with g = sigmoid(W [f; b] + a).
        residual_layers: from the second layer on, each adds its input to its answer (Wu et al. 2016, arXiv 1609.08144).
        dropout: rate between stacked layers (Zaremba et al. 2014, arXiv 1409.2329).
        init: input weights, a matrix a gate.
        learn_state: the state before the first frame is learned, one vector a layer and direction, in place of zeros.
    """

    features: Annotated[int, Field(gt=0)] = field(kw_only=False)
    layers: Annotated[int, Field(gt=0)] = 1
    bidirectional: bool = False
    merge: Merge = "concat"
    residual_layers: bool = False
    dropout: Rate = 0.0
    init: Init = "xavier"
    learn_state: bool = False

    @property
    def width(self) -> int:
        """Channels of what one direction answers."""
        return self.features

    def check(self) -> None:
        """Options that would be ignored are refused."""
        if self.merge != "concat" and not self.bidirectional:
            raise SpecError(
                f"{self.name}.merge", tr("joins two directions, got {got!r} with one", got=self.merge), tr("set bidirectional=True")
            )
        if self.layers == 1 and self.dropout:
            raise SpecError(f"{self.name}.dropout", _BETWEEN, tr("put Dropout behind the layer, or set layers=2"))
        if self.layers == 1 and self.residual_layers:
            raise SpecError(f"{self.name}.residual_layers", _BETWEEN, tr("use Residual, or set layers=2"))


Beside = tuple[Tensor, tuple[Any, ...], tuple[Any, ...]]
"""h of two directions side by side `[B, T, *space, 2 width]`, and the state of each after its last frame."""


class Direction(nn.Module):
    """One layer in one direction.

    Attributes:
        masks: whether it keeps the padding of x out by itself; else x is zero there.
        alone: whether it can be one recurrence and nothing else, see `recurrence`.
    """

    masks: bool = False
    alone: bool = False

    if TYPE_CHECKING:

        def __call__(self, x: Seq, state: tuple[Any, ...], last: Last) -> tuple[Named, tuple[Any, ...]]: ...

    @abstractmethod
    def initial_state(self, batch: int, like: Tensor) -> tuple[Any, ...]:
        """See `Layer.initial_state`."""

    @abstractmethod
    def state_names(self) -> tuple[Any, ...]:
        """See `Layer.state_names`."""

    @abstractmethod
    def forward(self, x: Seq, state: tuple[Any, ...], last: Last) -> tuple[Named, tuple[Any, ...]]:
        """Every frame's values, `h` zero beyond the lengths, and the state after each row's last valid frame in this direction.

        Args:
            x: `[B, T, *space, C]`.
            state: as of `initial_state`.
            last: whether rows end with these frames.
        """

    def recurrence(self, x: Seq, state: tuple[Any, ...]) -> Recurrence | None:
        """The one recurrence over x that gives h and the states; None: there is more to it now, or something else."""
        return None

    def beside(self, back: Direction, x: Seq, states: tuple[tuple[Any, ...], ...]) -> Beside | None:
        """This direction of whole rows and the other at the same time; None: they are run one behind the other."""
        return None


class Joint(nn.Module):
    """How two directions become one answer."""

    if TYPE_CHECKING:

        def __call__(self, both: Tensor) -> Tensor: ...

    def __init__(self, merge: Merge, width: int) -> None:
        super().__init__()
        self.merge = merge
        self.gate = nn.Linear(2 * width, width) if merge == "gate" else None

    def forward(self, both: Tensor) -> Tensor:
        """Side by side `[..., 2 width]` to `[..., width]`, or as they are. With `gate`, zeros do not become zeros."""
        if self.merge == "concat":
            return both
        forth, back = both.chunk(2, -1)
        if self.gate is not None:
            g = torch.sigmoid(self.gate(both))
            # Not torch.lerp: under autocast g is in half precision, the directions are not.
            return g * forth + (1 - g) * back
        return forth + back if self.merge == "sum" else (forth + back) / 2


class StackedLayer(Layer):
    """The state is `(cells, dropouts)`: for each layer its state in each direction, and the states of the dropouts between."""

    remedy = tr("use bidirectional=False")

    def __init__(self, spec: Stacked, in_shape: Shape, make: Callable[[int, bool], Direction]) -> None:
        """`make(channels, reverse)` gives one layer in one direction; space stays as it is."""
        *space, channels = in_shape
        both = spec.bidirectional
        width = spec.width * (2 if both and spec.merge == "concat" else 1)
        super().__init__(in_shape, (*space, width))
        self.spec = spec
        self.past, self.lookahead, self.streams = None, None if both else 0, not both
        reads = [channels] + [width] * (spec.layers - 1)
        self.forward_layers = nn.ModuleList(make(n, False) for n in reads)
        self.backward_layers = nn.ModuleList(make(n, True) for n in (reads if both else ()))
        # Nothing but recurrences one upon the other, where no dropout is drawn.
        self._bare = (
            not both and not spec.residual_layers and all(isinstance(each, Direction) and each.alone for each in self.forward_layers)
        )
        self.joints = nn.ModuleList(Joint(spec.merge, spec.width) for _ in range(spec.layers if both else 0))
        self.drops = nn.ModuleList(DropoutLayer(spec.dropout, False, self.out_shape) for _ in range(spec.layers - 1 if spec.dropout else 0))

    def ready(self, n: Count) -> Count:
        """Both directions answer only when the row has ended."""
        return n * 0 if self.spec.bidirectional else n

    def initial_state(self, batch: int, like: Tensor) -> tuple[Any, ...]:
        """See `Layer.initial_state`."""
        cells = tuple(direction.initial_state(batch, like) for _, direction in self._placed())
        return cells, tuple(drop.initial_state(batch, like) for drop in self._drops())

    def state_names(self) -> tuple[Any, ...]:
        """See `Layer.state_names`: numbered where layers are stacked, `back.` before those of the backward direction."""
        cells = tuple(_behind(place, direction.state_names()) for place, direction in self._placed())
        return cells, tuple(drop.state_names() for drop in self._drops())

    def forward(self, x: Seq, state: State = None, last: Last = True) -> Out:
        """See `Layer.forward`. Both directions take a state too (where each begins), but only whole rows."""
        x = self.checked(x)
        if state is not None and x.lengths is None and self._bare and not self.training:
            # A live stream, perhaps.
            at_once = dispatch.recur_stack(self, self.forward_layers, x.values, state[0], self._recurrences)
            if at_once is not None:
                y, cells = at_once
                return Out(Seq(y, None, True), (tuple(cells), ((),) * len(self.drops)))
        out, _ = self._run(x, state, last)
        return out

    def _recurrences(self, values: Tensor, cells: Sequence[tuple[Any, ...]]) -> list[Recurrence] | None:
        """Those of all layers over full rows, of which the upper ones read numbers that are yet to come."""
        found: list[Recurrence] = []
        for direction, state in zip(self._levels(), cells, strict=True):
            r = direction[0].recurrence(Seq(values), state)
            if r is None:
                return None
            found.append(r)
            values = values.new_empty(*values.shape[:2], *self.out_shape)
        return found

    def inside(self, x: Seq) -> dict[str, Tensor]:
        """See `Layer.inside`: the values of every layer and direction, places as in `state_names`."""
        with dispatch.use("reference"):
            _, values = self._run(self.checked(x), None, True)
        placed = zip(self._placed(), values, strict=True)
        return {place + symbol: value for (place, _), named in placed for symbol, value in named.items()}

    def _run(self, x: Seq, state: State, last: Last) -> tuple[Out, list[Named]]:
        """The answer, and the values of all directions in the order of the state."""
        if self.spec.bidirectional and last is not True:
            raise NotStreamable(self.name, tr("cannot stream: the backward direction needs the whole row"), self.remedy)
        cells, drops = state if state is not None else self.initial_state(x.values.shape[0], x.values)
        new_cells: list[tuple[Any, ...]] = []
        new_drops: list[State] = []
        values: list[Named] = []
        for i, level in enumerate(self._levels()):
            if i and self.spec.dropout:
                x, drop = self._drops()[i - 1](x, drops[i - 1], last)
                new_drops.append(drop)
            x = x if level[0].masks else tidy(x)
            begin = cells[len(new_cells) : len(new_cells) + len(level)]
            both = level[0].beside(level[1], x, begin) if self.spec.bidirectional else None
            if both is not None:
                y, *after = both
            else:
                y, after, named = _in_turn(level, x, begin, last)
                values += named
            new_cells += after
            y = self.joints[i](y) if self.spec.bidirectional else y
            # The gate of a merge is not zero on the padding; all else is.
            x = Seq(y + x.values if i and self.spec.residual_layers else y, x.lengths, self.spec.merge != "gate")
        return Out(x, (tuple(new_cells), tuple(new_drops))), values

    def _levels(self) -> Iterator[tuple[Direction, ...]]:
        """The directions of each layer, from the lowest on."""
        ways: Any = (self.forward_layers, self.backward_layers) if self.spec.bidirectional else (self.forward_layers,)
        return zip(*ways, strict=True)

    def _placed(self) -> Iterator[tuple[str, Direction]]:
        """All directions in the order of the state, each with what stands before the names of its values."""
        for i, level in enumerate(self._levels()):
            number = f"{i}." if self.spec.layers > 1 else ""
            yield from zip((number, f"{number}back."), level, strict=False)

    def _drops(self) -> list[DropoutLayer]:
        return list(self.drops)  # pyright: ignore[reportReturnType]


def _in_turn(
    level: tuple[Direction, ...], x: Seq, states: tuple[tuple[Any, ...], ...], last: Last
) -> tuple[Tensor, list[tuple[Any, ...]], list[Named]]:
    """h of the directions side by side, their states, and the values of each."""
    values: list[Named] = []
    after: list[tuple[Any, ...]] = []
    for direction, state in zip(level, states, strict=True):
        named, new = direction(x, state, last)
        values.append(named)
        after.append(new)
    return torch.cat([named["h"] for named in values], -1) if len(level) > 1 else values[0]["h"], after, values


def _behind(place: str, names: tuple[Any, ...]) -> tuple[Any, ...]:
    """Nested names, each behind its place."""
    return tuple(place + name if isinstance(name, str) else _behind(place, name) for name in names)
