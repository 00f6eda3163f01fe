"""RNN, LSTM and GRU: a cell is its spec, and `_Recurrent` stacks it, runs it in both directions and carries its state.

A new cell is one subclass of `Cell`: its registered name, the name of its step in `kernels`, and how many gates and states it has.
"""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from convrnn.core.errors import NotStreamable, SpecError
from convrnn.core.seq import Ids, Seq, Shape, State, tidy
from convrnn.core.spec import fields_for_subclasses, register
from convrnn.kernels import dispatch
from convrnn.layers.base import Last, Layer, Out, Spec, flat
from convrnn.layers.dropout import DropoutLayer, Rate
from convrnn.layers.init import Init, fill


@fields_for_subclasses
class Cell(Spec):
    """Base of recurrent layers: `[B, T, C]` to `[B, T, features]`, twice that with both directions concatenated.

    Attributes:
        features: units H of one direction.
        layers: how many are stacked, each reading the one below.
        bidirectional: a second pass from each row's last valid frame to its first (Schuster & Paliwal 1997). Needs whole rows.
        merge: how the directions are joined: `concat`, `sum`, `mean`, or `gate`: g f + (1 - g) b with g = sigmoid(W [f; b] + a).
        dropout: rate between stacked layers (Zaremba et al. 2014, arXiv 1409.2329).
        init: input weights, a matrix a gate.
        recurrent_init: recurrent weights, a matrix a gate; orthogonal keeps the norm of the state (Saxe et al. 2014).
    """

    features: Annotated[int, Field(gt=0)] = field(kw_only=False)
    layers: Annotated[int, Field(gt=0)] = 1
    bidirectional: bool = False
    merge: Literal["concat", "sum", "mean", "gate"] = "concat"
    dropout: Rate = 0.0
    init: Init = "xavier"
    recurrent_init: Init = "orthogonal"

    states: ClassVar[int] = 1
    gates: ClassVar[int]

    def check(self) -> None:
        """Options that would be ignored are refused."""
        if self.merge != "concat" and not self.bidirectional:
            raise SpecError(f"{self.name}.merge", f"joins two directions, got {self.merge!r} with one", "set bidirectional=True")
        if self.dropout and self.layers == 1:
            raise SpecError(
                f"{self.name}.dropout", "acts between stacked layers, got layers=1", "put Dropout behind the layer, or set layers=2"
            )

    @property
    def step(self) -> str:
        """The name of the step in `kernels.reference.STEPS`."""
        return self.name

    @property
    def inner_bias(self) -> bool:
        """Whether the recurrent product has a bias of its own that no other can replace."""
        return False

    def start_bias(self, bias_G: Tensor) -> None:
        """Fills the bias of the gates in place; zero by default."""

    def module(self, in_shape: Shape | Ids) -> Layer:
        """See `Spec.module`."""
        return _Recurrent(self, flat(in_shape))


@register("rnn")
class RNN(Cell):
    """h_t = f(W_x x_t + W_h h_{t-1} + b), f = tanh or ReLU (Elman 1990; with ReLU and identity: Le et al. 2015, arXiv 1504.00941).

    Attributes:
        nonlinearity: `tanh` or `relu`.

    Example:
        >>> RNN(16, nonlinearity="relu").build(4).out_shape
        (16,)
    """

    nonlinearity: Literal["tanh", "relu"] = "tanh"
    gates: ClassVar[int] = 1

    @property
    def step(self) -> str:
        """See `Cell.step`."""
        return f"rnn_{self.nonlinearity}"


@register("lstm")
class LSTM(Cell):
    """i, f, o = sigmoid(W [x; h] + b), g = tanh(W [x; h] + b), c = f c + i g, h = o tanh(c).

    Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000. One bias a gate, as in the papers and Keras: torch's second
    is redundant.

    Attributes:
        forget_bias: where the forget gate's bias begins; 1 keeps the memory open at first (Jozefowicz et al. 2015).

    Example:
        >>> sum(p.numel() for p in LSTM(3).build(2).parameters())
        72
    """

    forget_bias: float = 1.0
    gates: ClassVar[int] = 4
    states: ClassVar[int] = 2

    def start_bias(self, bias_G: Tensor) -> None:
        """See `Cell.start_bias`."""
        bias_G[self.features : 2 * self.features] = self.forget_bias


@register("gru")
class GRU(Cell):
    """r, z = sigmoid(W [x; h] + b), h_t = (1 - z) n + z h_{t-1} (Cho et al. 2014).

    Here z is how much of the past is *kept* (torch, cuDNN, arXiv 1406.1078v3); texts that write h_t = (1 - z) h + z n mean 1 - z.

    Attributes:
        reset: where the reset gate r acts on the candidate n: `after` the recurrent product, n = tanh(W_n x + r (U_n h + c) + b)
            (1406.1078v1, cuDNN, torch; the default because both products of a step are one), or `before` it,
            n = tanh(W_n x + U_n (r h) + b) (1406.1078v3, Keras `reset_after=False`).

    Example:
        >>> GRU(8, reset="before", bidirectional=True, merge="sum").build(4).out_shape
        (8,)
    """

    reset: Literal["after", "before"] = "after"
    gates: ClassVar[int] = 3

    @property
    def step(self) -> str:
        """See `Cell.step`."""
        return "gru" if self.reset == "after" else "gru_before"

    @property
    def inner_bias(self) -> bool:
        """See `Cell.inner_bias`: the bias that r multiplies."""
        return self.reset == "after"


class _Direction(nn.Module):
    """The weights of one layer in one direction: w_x `[G, C]`, w_h `[G, H]`, b `[G]`, and b_h `[H]` where the cell has it."""

    def __init__(self, spec: Cell, channels: int) -> None:
        super().__init__()
        gates = spec.gates * spec.features
        self.w_x = nn.Parameter(torch.empty(gates, channels))
        self.w_h = nn.Parameter(torch.empty(gates, spec.features))
        self.b = nn.Parameter(torch.zeros(gates))
        self.b_h = nn.Parameter(torch.zeros(spec.features)) if spec.inner_bias else None
        fill(self.w_x, spec.init, spec.gates)
        fill(self.w_h, spec.recurrent_init, spec.gates)
        with torch.no_grad():
            spec.start_bias(self.b)


class _Recurrent(Layer):
    """The state is `(cells, dropouts)`: for each layer and direction a tuple `(h,)` or `(h, c)`, each `[B, H]`."""

    remedy = "use bidirectional=False"

    def __init__(self, spec: Cell, channels: int) -> None:
        both = spec.bidirectional
        width = spec.features * (2 if both and spec.merge == "concat" else 1)
        super().__init__((channels,), (width,))
        self.spec = spec
        self.past, self.lookahead, self.streams = None, None if both else 0, not both
        self.forward_layers = nn.ModuleList(_Direction(spec, channels if i == 0 else width) for i in range(spec.layers))
        self.backward_layers = nn.ModuleList(_Direction(spec, channels if i == 0 else width) for i in range(spec.layers if both else 0))
        gated = both and spec.merge == "gate"
        self.merge_gates = nn.ModuleList(nn.Linear(2 * spec.features, spec.features) for _ in range(spec.layers if gated else 0))
        self.drops = nn.ModuleList(DropoutLayer(spec.dropout, False, (width,)) for _ in range(spec.layers - 1 if spec.dropout else 0))

    def ready(self, n: int | Tensor) -> int | Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]  (as in the base, for each kind of n)
        """Both directions answer only when the row has ended."""
        return n * 0 if self.spec.bidirectional else n

    def initial_state(self, batch: int, like: Tensor) -> tuple[Any, ...]:
        """Zeros."""
        cell = tuple(like.new_zeros(batch, self.spec.features) for _ in range(self.spec.states))
        cells = (cell,) * (len(self.forward_layers) + len(self.backward_layers))
        return cells, tuple(drop.initial_state(batch, like) for drop in self._drops())

    def state_names(self) -> tuple[Any, ...]:
        """See `Layer.state_names`: `h` and `c`, numbered where layers are stacked, `back.` before those of the backward direction."""
        names: list[tuple[str, ...]] = []
        for i in range(self.spec.layers):
            for direction in ("", "back.") if self.spec.bidirectional else ("",):
                place = f"{direction}{i}." if self.spec.layers > 1 else direction
                names.append(tuple(f"{place}{name}" for name in ("h", "c")[: self.spec.states]))
        return tuple(names), tuple(drop.state_names() for drop in self._drops())

    def forward(self, x: Seq, state: State = None, last: Last = True) -> Out:
        """See `Layer.forward`. Both directions take a state too (where each begins), but only whole rows."""
        x = tidy(self.checked(x))
        if self.spec.bidirectional and last is not True:
            raise NotStreamable(self.name, "cannot stream: the backward direction needs the whole row", self.remedy)
        cells, drops = state if state is not None else self.initial_state(x.values.shape[0], x.values)
        directions = 2 if self.spec.bidirectional else 1
        new_cells: list[tuple[Tensor, ...]] = []
        new_drops: list[State] = []
        for i in range(self.spec.layers):
            if i and self.spec.dropout:
                x, drop = self._drops()[i - 1](x, drops[i - 1], last)
                new_drops.append(drop)
            y, after = self._run(self.forward_layers[i], x, cells[directions * i], False)
            new_cells.append(after)
            if self.spec.bidirectional:
                back, after = self._run(self.backward_layers[i], x, cells[directions * i + 1], True)
                new_cells.append(after)
                y = self._merged(i, y, back)
            # The gate of a merge is not zero on the padding; all else is.
            x = Seq(y, x.lengths, self.spec.merge != "gate")
        return Out(x, (tuple(new_cells), tuple(new_drops)))

    def _drops(self) -> list[DropoutLayer]:
        return list(self.drops)  # pyright: ignore[reportReturnType]

    def _run(self, weights: nn.Module, x: Seq, state: tuple[Tensor, ...], reverse: bool) -> tuple[Tensor, tuple[Tensor, ...]]:
        assert isinstance(weights, _Direction)
        y, final = dispatch.recur(
            self.spec.step, x.values, x.lengths, weights.w_x, weights.w_h, weights.b, weights.b_h, torch.stack(state), reverse
        )
        return y, final.unbind()

    def _merged(self, layer: int, y: Tensor, back: Tensor) -> Tensor:
        match self.spec.merge:
            case "concat":
                return torch.cat([y, back], -1)
            case "sum":
                return y + back
            case "mean":
                return (y + back) / 2
            case "gate":
                gate = self.merge_gates[layer]
                assert isinstance(gate, nn.Linear)
                return torch.lerp(back, y, torch.sigmoid(F.linear(torch.cat([y, back], -1), gate.weight, gate.bias)))
