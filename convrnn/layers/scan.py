"""Gated recurrences that are linear in their state: QRNN, SRU, minGRU, minLSTM, over two operators. Knows no stacking and no directions.

Their gates see the input only, so all frames' gates are one product, and the state follows h_t = a_t h_{t-1} + b_t. The four here are
`GatedDirection`s: their products go to `kernels.gated`, which has their equations and computes gates and state in one pass.

A new one is a spec, a subclass of `LinearRecurrence` that names its module, and that module, a `LinearDirection`: `coefficients(x)` gives a
and b, `read(c, x)` what is answered of the state; `kernels.scan.linear_scan` does the rest. The real-gated linear recurrence unit (De et
al. 2024, arXiv 2402.19427) has a = exp(-8 softplus(L) r), b = sqrt(1 - a^2) i x; the selective scan of Mamba (Gu & Dao 2023, arXiv
2312.00752) has a state of H = D N entries, a = exp(dt A), b = dt B x, and reads C c: frames that their causal convolutions hold go into
`rest`, as those of QRNN do.

Gates and state are float32 at least: in bfloat16 a gate above 0.998 is 1 and never forgets.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from convrnn.core.seq import Ids, Seq, Shape, State, tidy
from convrnn.core.spec import fields_for_subclasses, register
from convrnn.kernels import dispatch, gated, windows
from convrnn.kernels.scan import linear_scan
from convrnn.layers.base import Last, Layer, flat
from convrnn.layers.conv import Conv
from convrnn.layers.dropout import DropoutLayer, Rate
from convrnn.layers.init import fill
from convrnn.layers.stacked import Direction, Named, Stacked, StackedLayer


@fields_for_subclasses
class LinearRecurrence(Stacked):
    """Base of gated linear recurrences; the fields are those of `Stacked`."""

    @abstractmethod
    def direction(self, channels: int, reverse: bool) -> Direction:
        """The weights of one layer in one direction."""

    def module(self, in_shape: Shape | Ids) -> Layer:
        """See `Spec.module`."""
        return StackedLayer(self, (flat(in_shape),), self.direction)


class Coefficients(NamedTuple):
    """What the input makes of the recurrence.

    Attributes:
        a: `[B, T, H]`, what is kept of the state, in [0, 1].
        b: `[B, T, H]`, what is added.
        named: the gates by their symbols, for `read` and for the trace.
        rest: the state of what stands before the recurrence.
    """

    a: Tensor
    b: Tensor
    named: Named
    rest: tuple[Any, ...] = ()


class StateDirection(Direction):
    """One whose state is `(c, *rest)`, c `[B, H]` in float32 at least.

    Attributes:
        symbol: what the paper calls c.
        begin: `[H]`, the state before the first frame, where it is learned.
    """

    def __init__(self, spec: LinearRecurrence, reverse: bool, symbol: str = "h") -> None:
        super().__init__()
        self.units, self.reverse, self.symbol = spec.features, reverse, symbol
        self.begin = nn.Parameter(torch.zeros(spec.features)) if spec.learn_state else None

    def initial_rest(self, batch: int, like: Tensor) -> tuple[Any, ...]:
        """The state of what stands before the recurrence."""
        return ()

    def rest_names(self) -> tuple[Any, ...]:
        """Its names."""
        return ()

    def initial_state(self, batch: int, like: Tensor) -> tuple[Any, ...]:
        """Zeros, or what was learned."""
        dtype = torch.promote_types(like.dtype, torch.float32)
        begin = like.new_zeros(batch, self.units, dtype=dtype) if self.begin is None else self.begin.to(dtype).repeat(batch, 1)
        return begin, *self.initial_rest(batch, like)

    def state_names(self) -> tuple[Any, ...]:
        """See `Direction.state_names`."""
        return self.symbol, *self.rest_names()


class LinearDirection(StateDirection):
    """c_t = a_t c_{t-1} + b_t, h_t = read(c_t, x_t)."""

    @abstractmethod
    def coefficients(self, x: Seq, rest: tuple[Any, ...], last: Last) -> Coefficients:
        """a and b of every frame; `x` is zero beyond the lengths, what is given there does not matter."""

    def read(self, c: Tensor, x: Tensor, named: Named) -> Tensor:
        """h `[B, T, H]`, zero where c and x are; c itself by default."""
        return c

    def forward(self, x: Seq, state: tuple[Any, ...], last: Last) -> tuple[Named, tuple[Any, ...]]:
        """See `Direction.forward`."""
        c, *rest = state
        a, b, named, after = self.coefficients(x, tuple(rest), last)
        memory, final = linear_scan(a, b, x.lengths, c, self.reverse)
        h = self.read(memory, x.values, named)
        return {**named, self.symbol: memory, "h": h.to(x.values.dtype)}, (final, *after)


class Products(NamedTuple):
    """What the input makes of the gates: the operands of a cell of `kernels.gated`.

    Attributes:
        gates: `[B, T, n H]`.
        skip: `[B, T, H]`, the last of them where it stands alone.
        rest: the state of what stands before the recurrence.
    """

    gates: Tensor
    skip: Tensor | None = None
    rest: tuple[Any, ...] = ()


class GatedDirection(StateDirection):
    """A cell of `kernels.gated`, named `cell`."""

    def __init__(self, spec: LinearRecurrence, reverse: bool, cell: str) -> None:
        super().__init__(spec, reverse, "h" if gated.CELLS[cell].read is None else "c")
        self.cell = cell

    @abstractmethod
    def products(self, x: Seq, rest: tuple[Any, ...], last: Last) -> Products:
        """The operands of every frame, in float32 at least; what is given beyond the lengths does not matter. `x` is zero there unless the
        direction `masks`."""

    def forward(self, x: Seq, state: tuple[Any, ...], last: Last) -> tuple[Named, tuple[Any, ...]]:
        """See `Direction.forward`; values other than h by the reference only."""
        c, *rest = state
        gates, skip, after = self.products(x, tuple(rest), last)
        if dispatch.chosen() == "reference":
            named, final = gated.trace(self.cell, gates, skip, x.lengths, c, self.reverse)
        else:
            h, final = gated.gated_scan(self.cell, gates, skip, x.lengths, c, self.reverse)
            named = {"h": h}
        return {**named, "h": named["h"].to(x.values.dtype)}, (final, *after)


class _Gates(nn.Module):
    """The input's part of all gates, W x + b, in float32 at least."""

    def __init__(self, spec: LinearRecurrence, gates: int, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(gates * spec.features, channels))
        self.bias = nn.Parameter(torch.zeros(gates * spec.features))
        fill(self.weight, spec.init, gates)

    def forward(self, x: Seq) -> Tensor:
        return weighted(x, self.weight, self.bias)


def weighted(x: Seq, weight: Tensor, bias: Tensor) -> Tensor:
    """W x + b of every valid frame, in float32 at least: nothing beyond the lengths is read, anything is given there."""
    if not x.clean and x.lengths is not None and windows.serves(x.values, x.lengths, weight, bias):
        return windows.linear(x.values, x.lengths, weight, bias)
    return precise(F.linear(tidy(x).values, weight, bias))


def precise(gates: Tensor) -> Tensor:
    """In float32 at least."""
    return gates.to(torch.promote_types(gates.dtype, torch.float32))


@register("qrnn")
class QRNN(LinearRecurrence):
    """Quasi-recurrent network: a causal convolution over the input makes the gates, pooling makes the state (Bradbury et al. 2016).

        z = tanh(W_z * x),  f, o, i = sigmoid(W * x)
        f:    h_t = f h_{t-1} + (1 - f) z
        fo:   c_t = f c_{t-1} + (1 - f) z,  h_t = o c_t
        ifo:  c_t = f c_{t-1} + i z,        h_t = o c_t

    arXiv 1611.01576; each convolution has a bias. The frames that it still reads are part of the state. The backward direction convolves
    from the row's end.

    Attributes:
        kernel: frames that a gate sees, the present one included; 1: gates of one frame, as in the other layers here.
        pooling: `f`, `fo` or `ifo`, as above.
        zoneout: rate of units that keep their state in a frame, in training: f = 1 - dropout(1 - f) without rescaling, as in the paper,
            whose masks touch f alone; with `ifo` they close i too, else such a unit would not keep its state but grow.

    Example:
        >>> QRNN(16, kernel=3).build(4).state_names()
        ((('c', ('frames.buffer', 'frames.held'), ()),), ())
    """

    kernel: Annotated[int, Field(gt=0)] = 2
    pooling: Literal["f", "fo", "ifo"] = "fo"
    zoneout: Rate = 0.0

    def direction(self, channels: int, reverse: bool) -> Direction:
        """See `LinearRecurrence.direction`."""
        return _QRNN(self, channels, reverse)


class _QRNN(GatedDirection):
    """Weights in the order z f o i. `rest` is `(frames, zone)`: what the convolution holds, and in training seed and clock of the zoneout.

    Backward nothing is held: rows are whole.
    """

    def __init__(self, spec: QRNN, channels: int, reverse: bool) -> None:
        super().__init__(spec, reverse, f"qrnn_{spec.pooling}")
        blocks = gated.CELLS[self.cell].operands
        self.conv = Conv(blocks * spec.features, kernel=spec.kernel, padding="causal").build(channels)
        fill(self.conv.get_parameter("weight"), spec.init, blocks)
        self.zone = DropoutLayer(spec.zoneout, False, (spec.features,))

    def initial_rest(self, batch: int, like: Tensor) -> tuple[Any, ...]:
        return () if self.reverse else self.conv.initial_state(batch, like), self.zone.initial_state(batch, like)

    def rest_names(self) -> tuple[Any, ...]:
        return () if self.reverse else tuple(f"frames.{name}" for name in self.conv.state_names()), self.zone.state_names()

    def products(self, x: Seq, rest: tuple[Any, ...], last: Last) -> Products:
        frames, zone = rest
        convolved, frames = self._convolved(x, frames, last)
        gates = precise(convolved)
        # A state may come from the other mode: evaluation draws no mask, training always does.
        zone = zone or self.zone.initial_state(gates.shape[0], gates)
        if zone:
            z, f, *others = gates.split(self.units, -1)
            ones, zone = self.zone(Seq(torch.ones_like(f), x.lengths, True), zone, last)
            still = ones.values == 0
            # The state stays where f is open and i is shut, whatever the input says.
            f = f.masked_fill(still, torch.inf)
            if len(others) == 2:
                others[1] = others[1].masked_fill(still, -torch.inf)
            gates = torch.cat([z, f, *others], -1)
        return Products(gates, None, (frames, zone))

    def _convolved(self, x: Seq, frames: State, last: Last) -> tuple[Tensor, State]:
        """The convolution in the order of the recurrence. Backward the padding comes first, zeros as before any first frame."""
        if self.reverse:
            return self.conv(Seq(x.values.flip(1))).seq.values.flip(1), ()
        (gates, _, _), frames = self.conv(x, frames, last)
        return gates, frames


@register("sru")
class SRU(LinearRecurrence):
    """Simple recurrent unit: gates of the input alone, and a highway around the state (Lei & Zhang 2017, arXiv 1709.02755v1).

        u = W x,  f, r = sigmoid(W x + b)
        c_t = f c_{t-1} + (1 - f) u
        h_t = r g(c_t) + (1 - r) x_t

    x_t becomes s_t = W_s x_t where its width is not `features`. The version of 2018 (arXiv 1709.02755v5) adds v c_{t-1} inside f and r: a
    gate that sees the state makes the recurrence non-linear in it, so that many frames cannot be computed at once. It is not this layer.

    Attributes:
        nonlinearity: g, one of `tanh`, `relu`, `identity`.
        highway_bias: where the bias of r begins; below 0 the input passes at first, as in a highway network (Srivastava et al. 2015).

    Example:
        >>> [list(p.shape) for p in SRU(4).build(4).parameters()], [list(p.shape) for p in SRU(4).build(3).parameters()]
        ([[12, 4], [8]], [[16, 3], [8]])
    """

    nonlinearity: Literal["tanh", "relu", "identity"] = "tanh"
    highway_bias: float = 0.0

    def direction(self, channels: int, reverse: bool) -> Direction:
        """See `LinearRecurrence.direction`."""
        return _SRU(self, channels, reverse)


class _SRU(GatedDirection):
    """Weights in the order u f r, and s where there is a projection; biases f r."""

    masks = True

    def __init__(self, spec: SRU, channels: int, reverse: bool) -> None:
        super().__init__(spec, reverse, f"sru_{spec.nonlinearity}")
        self.blocks = 3 if channels == spec.features else 4
        self.weight = nn.Parameter(torch.empty(self.blocks * spec.features, channels))
        self.bias = nn.Parameter(torch.zeros(2 * spec.features))
        fill(self.weight, spec.init, self.blocks)
        with torch.no_grad():
            self.bias[spec.features :] = spec.highway_bias

    def products(self, x: Seq, rest: tuple[Any, ...], last: Last) -> Products:
        bias = F.pad(self.bias, (self.units, (self.blocks - 3) * self.units))
        return Products(weighted(x, self.weight, bias), precise(x.values) if self.blocks == 3 else None)


Candidate = Literal["linear", "g"]
"""`linear`: W x + b; `g`: g(W x + b) with g(x) = x + 0.5 for x >= 0, else sigmoid(x)."""


@register("min_gru")
class MinGRU(LinearRecurrence):
    """A GRU whose gate and candidate see the input only, not the state (Feng et al. 2024, arXiv 2410.01201).

        z = sigmoid(W_z x + b_z),  n = W_n x + b_n
        h_t = (1 - z) h_{t-1} + z n

    Here, as in that paper, z is how much is *replaced*; in `GRU` it is how much is kept. The candidate is its h~.

    Attributes:
        candidate: `linear`, or `g`: n = g(W_n x + b_n) with g(x) = x + 0.5 for x >= 0, else sigmoid(x), which is positive, as where the
            paper computes with logarithms. No logarithm is taken here: both are equally stable.

    Example:
        >>> MinGRU(16, layers=2, candidate="g").build(4).state_names()
        ((('0.h',), ('1.h',)), ())
    """

    candidate: Candidate = "linear"

    def direction(self, channels: int, reverse: bool) -> Direction:
        """See `LinearRecurrence.direction`."""
        return _MinGRU(self, channels, reverse)


class _MinGRU(GatedDirection):
    """Weights in the order z n."""

    masks = True

    def __init__(self, spec: MinGRU, channels: int, reverse: bool) -> None:
        super().__init__(spec, reverse, "min_gru" if spec.candidate == "linear" else "min_gru_g")
        self.gates = _Gates(spec, 2, channels)

    def products(self, x: Seq, rest: tuple[Any, ...], last: Last) -> Products:
        return Products(self.gates(x))


@register("min_lstm")
class MinLSTM(LinearRecurrence):
    """An LSTM whose gates and candidate see the input only, without an output gate (Feng et al. 2024, arXiv 2410.01201).

        f, i = sigmoid(W x + b),  n = W_n x + b_n
        f' = f / (f + i),  i' = i / (f + i)
        h_t = f' h_{t-1} + i' n

    f' = sigmoid(log f - log i) without a quotient: f + i may be 0 in float32.

    Attributes:
        candidate: as of `MinGRU`.
        forget_bias: where the bias of f begins; above 0 the memory is kept at first.

    Example:
        >>> MinLSTM(16).build(4).past is None, MinLSTM(16, bidirectional=True).build(4).out_shape
        (True, (32,))
    """

    candidate: Candidate = "linear"
    forget_bias: float = 0.0

    def direction(self, channels: int, reverse: bool) -> Direction:
        """See `LinearRecurrence.direction`."""
        return _MinLSTM(self, channels, reverse)


class _MinLSTM(GatedDirection):
    """Weights in the order f i n."""

    masks = True

    def __init__(self, spec: MinLSTM, channels: int, reverse: bool) -> None:
        super().__init__(spec, reverse, "min_lstm" if spec.candidate == "linear" else "min_lstm_g")
        self.gates = _Gates(spec, 3, channels)
        with torch.no_grad():
            self.gates.bias[: spec.features] = spec.forget_bias

    def products(self, x: Seq, rest: tuple[Any, ...], last: Last) -> Products:
        return Products(self.gates(x))
