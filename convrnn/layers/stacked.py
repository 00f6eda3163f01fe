"""Stacks of one recurrence: layer over layer, one direction or both and how they merge, dropout between, the state carried.

Knows no recurrence and no gate: one layer run in one direction, with its weights and its state, is a `Direction`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import field
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from convrnn.core.errors import NotStreamable, SpecError
from convrnn.core.seq import Count, Seq, Shape, State, tidy
from convrnn.core.spec import fields_for_subclasses
from convrnn.kernels import dispatch
from convrnn.layers.base import Last, Layer, Out, Spec
from convrnn.layers.dropout import DropoutLayer, Rate
from convrnn.layers.init import Init

Merge = Literal["concat", "sum", "mean", "gate"]

Named = dict[str, Tensor]
"""The values of every frame by the symbols of the paper, `[B, T, *space, ...]`; the output is `h`."""


_BETWEEN = "acts between stacked layers, got layers=1"


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
            raise SpecError(f"{self.name}.merge", f"joins two directions, got {self.merge!r} with one", "set bidirectional=True")
        if self.layers == 1 and self.dropout:
            raise SpecError(f"{self.name}.dropout", _BETWEEN, "put Dropout behind the layer, or set layers=2")
        if self.layers == 1 and self.residual_layers:
            raise SpecError(f"{self.name}.residual_layers", _BETWEEN, "use Residual, or set layers=2")


Beside = tuple[Tensor, tuple[Any, ...], tuple[Any, ...]]
"""h of two directions side by side `[B, T, *space, 2 width]`, and the state of each after its last frame."""


class Direction(nn.Module):
    """One layer in one direction.

    Attributes:
        masks: whether it keeps the padding of x out by itself; else x is zero there.
    """

    masks: bool = False

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
            return torch.lerp(back, forth, torch.sigmoid(self.gate(both)))
        return forth + back if self.merge == "sum" else (forth + back) / 2


class StackedLayer(Layer):
    """The state is `(cells, dropouts)`: for each layer its state in each direction, and the states of the dropouts between."""

    remedy = "use bidirectional=False"

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
        self.joints = nn.ModuleList(Joint(spec.merge, spec.width) for _ in range(spec.layers if both else 0))
        self.drops = nn.ModuleList(DropoutLayer(spec.dropout, False, self.out_shape) for _ in range(spec.layers - 1 if spec.dropout else 0))

    def ready(self, n: Count) -> Count:
        """Both directions answer only when the row has ended."""
        return n * 0 if self.spec.bidirectional else n

    def initial_state(self, batch: int, like: Tensor) -> tuple[Any, ...]:
        """See `Layer.initial_state`."""
        cells = tuple(direction.initial_state(batch, like) for i in range(self.spec.layers) for _, direction in self._directions(i))
        return cells, tuple(drop.initial_state(batch, like) for drop in self._drops())

    def state_names(self) -> tuple[Any, ...]:
        """See `Layer.state_names`: numbered where layers are stacked, `back.` before those of the backward direction."""
        cells = tuple(_behind(place, d.state_names()) for i in range(self.spec.layers) for place, d in self._directions(i))
        return cells, tuple(drop.state_names() for drop in self._drops())

    def forward(self, x: Seq, state: State = None, last: Last = True) -> Out:
        """See `Layer.forward`. Both directions take a state too (where each begins), but only whole rows."""
        out, _ = self._run(x, state, last)
        return out

    def inside(self, x: Seq) -> dict[str, Tensor]:
        """See `Layer.inside`: the values of every layer and direction, places as in `state_names`."""
        with dispatch.use("reference"):
            _, named = self._run(x, None, True)
        return named

    def _run(self, x: Seq, state: State, last: Last) -> tuple[Out, Named]:
        """The answer, and the values of all layers and directions."""
        x = self.checked(x)
        if self.spec.bidirectional and last is not True:
            raise NotStreamable(self.name, "cannot stream: the backward direction needs the whole row", self.remedy)
        cells, drops = state if state is not None else self.initial_state(x.values.shape[0], x.values)
        new_cells: list[tuple[Any, ...]] = []
        new_drops: list[State] = []
        named: Named = {}
        for i in range(self.spec.layers):
            if i and self.spec.dropout:
                x, drop = self._drops()[i - 1](x, drops[i - 1], last)
                new_drops.append(drop)
            directions = list(self._directions(i))
            x = x if directions[0][1].masks else tidy(x)
            states = cells[len(new_cells) : len(new_cells) + len(directions)]
            both = directions[0][1].beside(directions[1][1], x, states) if self.spec.bidirectional else None
            if both is not None:
                y, *after = both
                new_cells += after
            else:
                y, after, values = _in_turn(directions, x, states, last)
                new_cells += after
                named |= values
            y = self.joints[i](y) if self.spec.bidirectional else y
            # The gate of a merge is not zero on the padding; all else is.
            x = Seq(y + x.values if i and self.spec.residual_layers else y, x.lengths, self.spec.merge != "gate")
        return Out(x, (tuple(new_cells), tuple(new_drops))), named

    def _directions(self, layer: int) -> Iterator[tuple[str, Direction]]:
        """A layer's directions, and what stands before the names of their values."""
        place = f"{layer}." if self.spec.layers > 1 else ""
        forth: Any = self.forward_layers[layer]
        yield place, forth
        if self.spec.bidirectional:
            back: Any = self.backward_layers[layer]
            yield f"{place}back.", back

    def _drops(self) -> list[DropoutLayer]:
        return list(self.drops)  # pyright: ignore[reportReturnType]


def _in_turn(
    directions: list[tuple[str, Direction]], x: Seq, states: tuple[tuple[Any, ...], ...], last: Last
) -> tuple[Tensor, list[tuple[Any, ...]], Named]:
    """h of the directions side by side, their states, and their values by name."""
    answers: list[Tensor] = []
    after: list[tuple[Any, ...]] = []
    named: Named = {}
    for (place, direction), state in zip(directions, states, strict=True):
        values, new = direction(x, state, last)
        answers.append(values["h"])
        after.append(new)
        named.update({place + symbol: value for symbol, value in values.items()})
    return torch.cat(answers, -1) if len(answers) > 1 else answers[0], after, named


def _behind(place: str, names: tuple[Any, ...]) -> tuple[Any, ...]:
    """Nested names, each behind its place."""
    return tuple(place + name if isinstance(name, str) else _behind(place, name) for name in names)
