"""Recurrent cells over frames without space: the input's part of the gates, from x or in part from another net. Knows no equation.

A cell is a subclass of `Cell`; those of the package stand in `recurrent.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convrnn.core.errors import InputError, SpecError
from convrnn.core.language import tr
from convrnn.core.seq import Ids, Seq, Shape, State, tidy
from convrnn.core.spec import fields_for_subclasses
from convrnn.layers.base import Last, Layer, Out, Spec, flat
from convrnn.layers.combine import Serial, SerialLayer
from convrnn.layers.init import fill
from convrnn.layers.joined import Joined, under
from convrnn.layers.norm import BatchNorm
from convrnn.layers.stacked import Direction, StackedLayer
from convrnn.layers.stepwise import InputPart, StepDirection, Stepwise


@fields_for_subclasses
class Cell(Stepwise):
    """Base of recurrent layers over frames without space.

    Attributes:
        gates: a net over x with a frame out for each frame in, whose answer takes the place of x in the gates named by `into`. Its frames
            may look ahead: x then waits for them.
        into: those gates, by their symbols.
    """

    gates: Spec | None = None
    into: tuple[str, ...] = ()

    def check(self) -> None:
        """Options that would be ignored are refused."""
        super().check()
        where = f"{self.name}.into"
        if (self.gates is None) != (not self.into):
            raise SpecError(
                where, tr("names the gates that `gates` computes: give both or none"), tr("gates: {names}", names=", ".join(self.symbols))
            )
        if self.gates is None:
            return
        unknown = [symbol for symbol in self.into if symbol not in self.symbols]
        if unknown or len(set(self.into)) != len(self.into):
            raise SpecError(
                where, tr("expected some of {names}, each once, got {got}", names=", ".join(self.symbols), got=", ".join(self.into))
            )
        if len(self.into) == len(self.symbols):
            raise SpecError(where, tr("names every gate: x itself would not be read"), tr("put the net before the layer, in a Serial"))
        if self.layers > 1:
            raise SpecError(
                f"{self.name}.gates",
                tr("belongs to one layer, got layers={got}", got=self.layers),
                tr("stack layers of one in a Serial"),
            )
        if self.bidirectional:
            raise SpecError(f"{self.name}.gates", tr("reads in one direction, got bidirectional=True"), tr("put the layer into BothWays"))

    @property
    def normalised(self) -> bool:
        """Whether the input's part of the gates goes through batch norm."""
        return False

    def direction(self, channels: int, reverse: bool) -> Direction:
        """The weights of one layer in one direction."""
        return _CellDirection(self, channels, reverse, None)

    def module(self, in_shape: Shape | Ids) -> Layer:
        """See `Spec.module`."""
        channels = flat(in_shape)
        if self.gates is None:
            return StackedLayer(self, (channels,), self.direction)
        try:
            net = self.gates.build(channels)
            both = _Beside(net, channels)
        except InputError as error:
            raise error.within("gates") from None
        recurrence = _Inner(self, both.out_shape, lambda width, reverse: _CellDirection(self, channels, reverse, width - channels))
        recurrence.name = self.name
        return _Gated(both, recurrence)


class _CellDirection(StepDirection):
    """Weights are w_x `[G, C]` and b `[G]`, and those of the state.

    With gates from another net, w_x are the rows of the other gates, and w_g `[G', C']` those of the gates named by `into`, over the net's
    answer, which stands behind x in each frame.
    """

    def __init__(self, spec: Cell, channels: int, reverse: bool, net_channels: int | None) -> None:
        super().__init__(spec, (), reverse)
        units, gates, given = spec.features, len(spec.symbols), len(spec.into)
        self.into = spec.into
        self.w_x = nn.Parameter(torch.empty((gates - given) * units, channels))
        fill(self.w_x, spec.init, gates - given)
        self.w_g = None if net_channels is None else nn.Parameter(torch.empty(given * units, net_channels))
        if self.w_g is not None:
            fill(self.w_g, spec.init, given)
        self.norm = BatchNorm().build(gates * units) if spec.normalised else None
        self.b = None if spec.normalised else self.starting_bias()
        # Where x itself goes to the kernel, only its valid frames are read.
        self.masks = self.norm is None and self.w_g is None
        self.add_state()

    def input_part(self, x: Seq) -> InputPart:
        """See `StepDirection.input_part`."""
        if self.norm is not None:
            return InputPart(tidy(self.norm(Seq(F.linear(x.values, self.w_x), x.lengths, True)).seq).values, None, None)
        if self.w_g is None:
            return InputPart(x.values, self.w_x, self.b)
        units, channels = self.spec.features, self.w_x.shape[1]
        by_x = iter(F.linear(x.values[..., :channels], self.w_x).split(units, dim=-1))
        by_net = iter(F.linear(x.values[..., channels:], self.w_g).split(units, dim=-1))
        return InputPart(torch.cat([next(by_net if symbol in self.into else by_x) for symbol in self.spec.symbols], -1), None, self.b)


class _Beside(Joined):
    """x, and behind it in each frame what the net behind the gates makes of it."""

    name = "parallel"

    def __init__(self, net: Layer, channels: int) -> None:
        super().__init__([("x", Serial().build(channels)), ("net", net)], (channels,), (channels + flat(net.out_shape),), weighs=False)

    def join(self, values: list[Tensor]) -> Tensor:
        """See `Joined.join`."""
        return torch.cat(values, -1)


class _Inner(StackedLayer):
    """The recurrence over x and the net's answer."""

    def inside(self, x: Seq) -> dict[str, Tensor]:
        """Nothing of its own: they are shown by the whole layer, under the name that people gave it."""
        return {}


class _Gated(SerialLayer):
    """The state is that of the nets side by side, and that of the recurrence."""

    chained: ClassVar[bool] = True

    def __init__(self, both: _Beside, recurrence: _Inner) -> None:
        super().__init__([both, recurrence], both.in_shape)

    def parts(self) -> Iterator[tuple[str, Layer]]:
        """See `Layer.parts`."""
        yield from zip(("gates", "cell"), self._all(), strict=True)

    def state_names(self) -> tuple[Any, ...]:
        """See `Layer.state_names`: under `gates`, then those of the cell."""
        both, recurrence = self._all()
        return under("gates", both.state_names()), recurrence.state_names()

    def inside(self, x: Seq) -> dict[str, Tensor]:
        """See `Layer.inside`: the values of the recurrence."""
        both, recurrence = self._all()
        assert isinstance(recurrence, StackedLayer)
        return StackedLayer.inside(recurrence, both(x).seq)

    def forward(self, x: Seq, state: State = None, last: Last = True) -> Out:
        """See `Layer.forward`."""
        return super().forward(self.checked(x), state, last)
