"""RNN, LSTM, GRU, IndRNN and LiGRU: each a spec with its paper's equations and options. Knows no loop, no mask, no direction.

The equations themselves stand in `kernels/reference.py`.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from convrnn.core.errors import SpecError
from convrnn.core.language import tr
from convrnn.core.seq import Shape
from convrnn.core.spec import fields_for_subclasses, register
from convrnn.layers.cell import Cell
from convrnn.layers.dropout import Rate
from convrnn.layers.init import Chrono, Init, chrono, fill


@fields_for_subclasses
class MatrixCell(Cell):
    """Base of cells whose recurrent product is a matrix product.

    Attributes:
        recurrent_init: recurrent weights, a matrix a gate; orthogonal keeps the norm of the state (Saxe et al. 2014).
    """

    recurrent_init: Init = "orthogonal"

    def recurrent_weight(self, dimensions: int) -> Tensor:
        """See `Stepwise.recurrent_weight`."""
        weight = torch.empty(len(self.symbols) * self.features, self.width)
        fill(weight, self.recurrent_init, len(self.symbols))
        return weight


@register("rnn")
class RNN(MatrixCell):
    """h_t = f(W_x x_t + W_h h_{t-1} + b), f = tanh or ReLU (Elman 1990; with ReLU and identity: Le et al. 2015, arXiv 1504.00941).

    Attributes:
        nonlinearity: `tanh` or `relu`.

    Example:
        >>> RNN(16, nonlinearity="relu").build(4).out_shape
        (16,)
    """

    nonlinearity: Literal["tanh", "relu"] = "tanh"

    @property
    def kernel_name(self) -> str:
        """See `Stepwise.kernel_name`."""
        return f"rnn_{self.nonlinearity}"


@register("lstm")
class LSTM(MatrixCell):
    """i, f, o = sigmoid(W [x; h] + b), g = tanh(W [x; h] + b), c = f c + i g, h = o tanh(c).

    Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000. One bias a gate, as in the papers and Keras: torch's second
    is redundant.

    Attributes:
        forget_bias: where the forget gate's bias begins; 1 keeps the memory open at first (Jozefowicz et al. 2015).
        chrono: in its place, how many frames apart may be what belongs together: each unit begins with a memory of its own length up to
            that, b_f = log U(1, chrono - 1) and b_i = -b_f (Tallec & Ollivier 2018, arXiv 1804.11188).
        peephole: i and f also see c_{t-1}, o sees c_t, unit by unit (Gers, Schraudolph & Schmidhuber 2002). They begin at zero.
        projection: channels P of h, h = W_p (o tanh(c)); None: `features` (Sak, Senior & Beaufays 2014, arXiv 1402.1128).
        coupled: i = 1 - f, three gates in place of four (Greff et al. 2017, arXiv 1503.04069: CIFG).
        cell_zoneout: how often a unit of c keeps its old value; the paper takes 0.5, and 0.05 for `zoneout`, that of h.

    Example:
        >>> sum(p.numel() for p in LSTM(3).build(2).parameters())
        72
        >>> LSTM(64, projection=16).build(8).out_shape
        (16,)
    """

    forget_bias: float = 1.0
    chrono: Chrono = None
    peephole: bool = False
    projection: Annotated[int, Field(gt=0)] | None = None
    coupled: bool = False
    cell_zoneout: Rate = 0.0

    @property
    def kernel_name(self) -> str:
        """See `Stepwise.kernel_name`."""
        return "lstm_coupled" if self.coupled else "lstm"

    @property
    def width(self) -> int:
        """See `Stacked.width`."""
        return self.projection or self.features

    def shares(self) -> tuple[float, ...]:
        """See `Stepwise.shares`."""
        return self.zoneout, self.cell_zoneout

    def start_bias(self, bias_G: Tensor) -> None:
        """See `Stepwise.start_bias`."""
        gates = dict(zip(self.symbols, bias_G.split(self.features), strict=True))
        gates["f"].fill_(self.forget_bias)
        if self.chrono is not None:
            gates["f"].copy_(chrono(self.features, self.chrono))
            if not self.coupled:
                gates["i"].copy_(-gates["f"])

    def check(self) -> None:
        """One rule for the bias of the forget gate."""
        super().check()
        if self.chrono is not None and self.forget_bias != 1.0:
            raise SpecError("lstm.chrono", tr("says where the bias of the forget gate begins, as forget_bias does"), tr("give one of them"))

    def extras(self, space: Shape) -> dict[str, Tensor]:
        """See `Stepwise.extras`: peepholes of i, f and o (of f and o where they are coupled), the projection."""
        extras: dict[str, Tensor] = {}
        if self.peephole:
            extras["peep"] = torch.zeros(len(self.symbols) - 1, self.features)
        if self.projection is not None:
            extras["proj"] = torch.empty(self.projection, self.features)
            fill(extras["proj"], self.init)
        return extras


@register("gru")
class GRU(MatrixCell):
    """r, z = sigmoid(W [x; h] + b), h_t = (1 - z) n + z h_{t-1} (Cho et al. 2014).

    Here z is how much of the past is *kept* (torch, cuDNN, arXiv 1406.1078v3); texts that write h_t = (1 - z) h + z n mean 1 - z.

    Attributes:
        reset: where the reset gate r acts on the candidate n: `after` the recurrent product, n = tanh(W_n x + r (U_n h + c) + b)
            (1406.1078v1, cuDNN, torch; the default because both products of a step are one), or `before` it,
            n = tanh(W_n x + U_n (r h) + b) (1406.1078v3, Keras `reset_after=False`).
        chrono: how many frames apart may be what belongs together: each unit begins with a memory of its own length up to that,
            b_z = log U(1, chrono - 1) (Tallec & Ollivier 2018, arXiv 1804.11188). None: 0, which forgets half of the state every frame.

    Example:
        >>> GRU(8, reset="before", bidirectional=True, merge="sum").build(4).out_shape
        (8,)
    """

    reset: Literal["after", "before"] = "after"
    chrono: Chrono = None

    @property
    def kernel_name(self) -> str:
        """See `Stepwise.kernel_name`."""
        return "gru" if self.reset == "after" else "gru_before"

    @property
    def inner_bias(self) -> bool:
        """See `Stepwise.inner_bias`: the bias that r multiplies."""
        return self.reset == "after"

    def start_bias(self, bias_G: Tensor) -> None:
        """See `Stepwise.start_bias`."""
        if self.chrono is not None:
            kept = self.symbols.index("z") * self.features
            bias_G[kept : kept + self.features] = chrono(self.features, self.chrono)


@register("ligru")
class LiGRU(MatrixCell):
    """z = sigmoid(BN(W_z x) + U_z h), n = relu(BN(W_n x) + U_n h), h_t = (1 - z) n + z h_{t-1} (Ravanelli et al. 2018, arXiv 1803.10225).

    The light GRU: no reset gate, ReLU, and batch norm of the input's part of the gates over valid frames, which keeps the ReLU from
    growing without bound and has the bias in its shift.

    Example:
        >>> LiGRU(8, layers=2).build(4).out_shape
        (8,)
    """

    @property
    def normalised(self) -> bool:
        """See `Cell.normalised`."""
        return True

    def check(self) -> None:
        """No gates from elsewhere: the batch norm belongs to the product with x."""
        super().check()
        if self.gates is not None:
            raise SpecError("ligru.gates", tr("has no place beside the batch norm of the gates"), tr("use GRU or LSTM"))


@register("ind_rnn")
class IndRNN(Cell):
    """h_t = f(W x_t + u h_{t-1} + b): each unit sees only itself, u is a vector (Li et al. 2018, arXiv 1803.04831).

    Stack two or more, so that units meet in W. The gradient through T steps is u^T, so u begins uniform in [0, `recurrent_max`].

    Attributes:
        nonlinearity: `relu` (the paper's, for long memory) or `tanh`.
        recurrent_max: the largest u at first; the paper bounds it by 2^(1/T), which is near 1 for long rows.

    Example:
        >>> sum(p.numel() for p in IndRNN(4).build(2).parameters())
        16
    """

    nonlinearity: Literal["relu", "tanh"] = "relu"
    recurrent_max: Annotated[float, Field(gt=0)] = 1.0

    @property
    def kernel_name(self) -> str:
        """See `Stepwise.kernel_name`."""
        return f"rnn_{self.nonlinearity}"

    def recurrent_weight(self, dimensions: int) -> Tensor:
        """See `Stepwise.recurrent_weight`: `[H]`."""
        return torch.rand(self.features) * self.recurrent_max
