"""ConvRNN, ConvLSTM, ConvGRU: recurrences whose products are convolutions over space, so that the state is a picture too. Knows no loop.

The equations are those of RNN, LSTM and GRU, letter for letter (`kernels/reference.py`): only what W x and U h mean is another.

Shi et al. 2015, arXiv 1506.04214 (ConvLSTM); Ballas et al. 2016, arXiv 1511.06432 (ConvGRU).
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from convrnn.core.errors import ShapeError
from convrnn.core.language import tr
from convrnn.core.seq import Ids, Seq, Shape
from convrnn.core.spec import fields_for_subclasses, register
from convrnn.layers.base import Layer, dense
from convrnn.layers.init import Init, fill
from convrnn.layers.stacked import StackedLayer
from convrnn.layers.stepwise import InputPart, StepDirection, Stepwise

Positive = Annotated[int, Field(gt=0)]
Window = Positive | tuple[Positive, ...]
"""Positions: one number for all dimensions of space, or one each."""


@fields_for_subclasses
class ConvCell(Stepwise):
    """Base of recurrences over frames with 1 or 2 dimensions of space.

    Attributes:
        kernel: window of the convolution over the input; `same` padding, an even one reads one position more behind than before.
        recurrent_kernel: that of the convolution over the state, which carries a movement so many positions a frame; None: `kernel`.
        recurrent_init: recurrent kernels, one a gate.
    """

    kernel: Window = 3
    recurrent_kernel: Window | None = None
    recurrent_init: Init = "orthogonal"

    def recurrent_weight(self, dimensions: int) -> Tensor:
        """See `Stepwise.recurrent_weight`."""
        window = self._window("recurrent_kernel" if self.recurrent_kernel else "kernel", dimensions)
        weight = torch.empty(len(self.symbols) * self.features, self.width, *window)
        fill(weight, self.recurrent_init, len(self.symbols))
        return weight

    def input_weight(self, channels: int, dimensions: int) -> Tensor:
        """The kernels over the input as they begin, `[G, C, *kernel]`."""
        weight = torch.empty(len(self.symbols) * self.features, channels, *self._window("kernel", dimensions))
        fill(weight, self.init, len(self.symbols))
        return weight

    def module(self, in_shape: Shape | Ids) -> Layer:
        """See `Spec.module`."""
        *space, _ = shape = dense(in_shape)
        if not space:
            raise ShapeError(
                "", tr("expected frames with space, got {got}", got=shape), tr("use {name}", name=self.name.removeprefix("conv_"))
            )
        if len(space) > 2:
            raise ShapeError("", tr("expected at most 2 space dimensions, got {got}", got=len(space)), tr("put a Fold first"))
        return StackedLayer(self, shape, lambda channels, reverse: _ConvDirection(self, channels, tuple(space), reverse))

    def _window(self, name: Literal["kernel", "recurrent_kernel"], dimensions: int) -> tuple[int, ...]:
        """One number a dimension of space; raises `ShapeError`."""
        value = self.recurrent_kernel if name == "recurrent_kernel" and self.recurrent_kernel else self.kernel
        if isinstance(value, int):
            return (value,) * dimensions
        if len(value) != dimensions:
            raise ShapeError(
                "",
                tr(
                    "expected {wanted} number(s) for {name}, one a dimension of space, got {got}",
                    wanted=dimensions,
                    name=name,
                    got=value,
                ),
            )
        return value


class _ConvDirection(StepDirection):
    """Weights are w_x `[G, C, *kernel]`, b `[G]`, and those of the state."""

    def __init__(self, spec: ConvCell, channels: int, space: Shape, reverse: bool) -> None:
        super().__init__(spec, space, reverse)
        self.w_x = nn.Parameter(spec.input_weight(channels, len(space)))
        self.b = self.starting_bias()
        self.add_state()

    def input_part(self, x: Seq) -> InputPart:
        """See `StepDirection.input_part`: every frame is a picture of its own."""
        return InputPart(x.values, self.w_x, self.b)


@register("conv_rnn")
class ConvRNN(ConvCell):
    """h_t = f(W * x_t + U * h_{t-1} + b): `[B, T, *space, C]` to `[B, T, *space, features]`, f = tanh or ReLU.

    Attributes:
        nonlinearity: `tanh` or `relu`.

    Example:
        >>> ConvRNN(8, kernel=5, recurrent_kernel=3).build((16, 1)).out_shape
        (16, 8)
    """

    nonlinearity: Literal["tanh", "relu"] = "tanh"

    @property
    def kernel_name(self) -> str:
        """See `Stepwise.kernel_name`."""
        return f"rnn_{self.nonlinearity}"


@register("conv_lstm")
class ConvLSTM(ConvCell):
    """The LSTM over pictures: `[B, T, *space, C]` to `[B, T, *space, features]` (Shi et al. 2015, arXiv 1506.04214).

        i = sigmoid(W_i * x_t + U_i * h_{t-1} + V_i c_{t-1} + b_i)
        f = sigmoid(W_f * x_t + U_f * h_{t-1} + V_f c_{t-1} + b_f)
        g = tanh(W_g * x_t + U_g * h_{t-1} + b_g)
        c_t = f c_{t-1} + i g
        o = sigmoid(W_o * x_t + U_o * h_{t-1} + V_o c_t + b_o)
        h_t = o tanh(c_t)

    with * a convolution over space and all else entry by entry.

    Attributes:
        forget_bias: where b_f begins; see `LSTM`.
        peephole: the terms with V, which has an entry for each position and unit. The paper has them; Keras and most others do not.

    Example:
        >>> net = ConvLSTM(8, kernel=5, layers=2).build((16, 16, 1))
        >>> net.out_shape, net.streams
        ((16, 16, 8), True)
        >>> net.state_names()
        ((('0.h', '0.c'), ('1.h', '1.c')), ())
    """

    forget_bias: float = 1.0
    peephole: bool = False

    @property
    def kernel_name(self) -> str:
        """See `Stepwise.kernel_name`."""
        return "lstm"

    def start_bias(self, bias_G: Tensor) -> None:
        """See `Stepwise.start_bias`."""
        bias_G[self.features : 2 * self.features] = self.forget_bias

    def extras(self, space: Shape) -> dict[str, Tensor]:
        """See `Stepwise.extras`: the peepholes of i, f and o."""
        return {"peep": torch.zeros(3, *space, self.features)} if self.peephole else {}


@register("conv_gru")
class ConvGRU(ConvCell):
    """The GRU over pictures: `[B, T, *space, C]` to `[B, T, *space, features]` (Ballas et al. 2016, arXiv 1511.06432).

        r, z = sigmoid(W * x_t + U * h_{t-1} + b),  h_t = (1 - z) n + z h_{t-1}

    with * a convolution over space; z is how much of the past is kept, as in `GRU`.

    Attributes:
        reset: where r acts on the candidate n: `before` the convolution, n = tanh(W_n * x + U_n * (r h) + b), as in the paper; or `after`
            it, n = tanh(W_n * x + r (U_n * h + c) + b), where both convolutions of a step are one.

    Example:
        >>> ConvGRU(8, bidirectional=True, merge="sum").build((16, 1)).out_shape
        (16, 8)
    """

    reset: Literal["before", "after"] = "before"

    @property
    def kernel_name(self) -> str:
        """See `Stepwise.kernel_name`."""
        return "gru" if self.reset == "after" else "gru_before"

    @property
    def inner_bias(self) -> bool:
        """See `Stepwise.inner_bias`: the bias that r multiplies."""
        return self.reset == "after"
