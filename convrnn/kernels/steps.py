"""One step of a cell without its products, forward and back, for many rows: in plain tensor operations, or compiled (csrc/steps.h).

What `loops.py` runs behind its products. The equations are those of `reference.py`, against which both are tested. Knows no product, no
time and no lengths.

Shapes: N rows (the positions of all pictures), H units, G = gates x H, G' the gates of one product, K saved values, R positions a picture.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import torch
from torch import Tensor

from convrnn.kernels import compiled, native

Pair = tuple[Tensor, Tensor | None]
"""h and c, or h alone: `[N, H]` each."""


class Fixed(NamedTuple):
    """What is the same for all frames.

    Attributes:
        b_h: `[H]`, the bias inside the reset of `gru`.
        peep: `[gates that see c, R, H]`; row n is at position n % R.
    """

    b_h: Tensor | None = None
    peep: Tensor | None = None

    def peepholes(self, rows: int) -> list[Tensor] | None:
        """One `[N, H]` a gate."""
        return None if self.peep is None else [each.repeat(rows // each.shape[0], 1) for each in self.peep]


class Steps(ABC):
    """A cell's steps.

    Attributes:
        gates: how many the cell has.
        first: how many of them the first product makes; the rest, if there is one, sees r h.
        saved: how many values of H units backward needs.
        apart: whether the gradients of the gates by the input's and by the state's part differ.
    """

    gates: int
    saved: int
    first: int
    apart: bool = False

    @abstractmethod
    def forward(self, gates: Tensor, sums: Tensor, old: Pair, fixed: Fixed, saved: Tensor | None) -> Pair:
        """The new state from the input's part of the gates `[N, G]` and the product's `[N, G']`; fills `saved` `[N, K]`."""

    @abstractmethod
    def back(self, after: Pair, out: Tensor, old: Pair, fixed: Fixed, saved: Tensor, d_gates: Tensor, d_sums: Tensor) -> Pair:
        """The gradient of the old state as far as it does not come through products, from that of the new one, `after`, and h, `out`.

        `saved` is not read where nothing is saved. Fills `d_gates` and `d_sums` `[N, G]`, the same tensor unless `apart`.
        """


class TwoProducts(Steps):
    """Those of a cell whose candidate has a product of its own, which sees r h."""

    @abstractmethod
    def reset(self, gates: Tensor, sums: Tensor, seen: Tensor, saved: Tensor | None) -> Tensor:
        """r h `[N, H]`, what the second product sees; afterwards z stands where the input's part of it was."""

    @abstractmethod
    def back_reset(self, d_product: Tensor, seen: Tensor, saved: Tensor, d_gates: Tensor) -> Tensor:
        """The gradient of `seen` by r h, from that of r h; fills the first gate of `d_gates`."""


class _RNN(Steps):
    gates, first, saved = 1, 1, 0

    def __init__(self, relu: bool) -> None:
        self.relu = relu

    def forward(self, gates: Tensor, sums: Tensor, old: Pair, fixed: Fixed, saved: Tensor | None) -> Pair:
        total = gates + sums
        return (total.relu_() if self.relu else total.tanh_()), None

    def back(self, after: Pair, out: Tensor, old: Pair, fixed: Fixed, saved: Tensor, d_gates: Tensor, d_sums: Tensor) -> Pair:
        d_gates.copy_(after[0] * (out > 0 if self.relu else 1 - out * out))
        return torch.zeros_like(after[0]), None


class _LSTM(Steps):
    gates, first, saved = 4, 4, 5

    def forward(self, gates: Tensor, sums: Tensor, old: Pair, fixed: Fixed, saved: Tensor | None) -> Pair:
        c, peep = _cell(old), fixed.peepholes(len(gates))
        i, f, g, o = (gates + sums).chunk(4, 1)
        if peep is not None:
            i, f = i + peep[0] * c, f + peep[1] * c
        i, f, g = torch.sigmoid(i), torch.sigmoid(f), torch.tanh(g)
        c = torch.addcmul(f * c, i, g)
        o = torch.sigmoid(o if peep is None else o + peep[2] * c)
        _keep(saved, i, f, g, o, c)
        return o * torch.tanh(c), c

    def back(self, after: Pair, out: Tensor, old: Pair, fixed: Fixed, saved: Tensor, d_gates: Tensor, d_sums: Tensor) -> Pair:
        dh, dc, peep = after[0], _cell(after), fixed.peepholes(len(out))
        i, f, g, o, c = saved.chunk(5, 1)
        tanh_c = torch.tanh(c)
        d_o = dh * tanh_c * o * (1 - o)
        dc = torch.addcmul(dc, dh * o, 1 - tanh_c * tanh_c)
        if peep is not None:
            dc = dc + d_o * peep[2]
        d_i, d_f = dc * g * i * (1 - i), dc * _cell(old) * f * (1 - f)
        _keep(d_gates, d_i, d_f, dc * i * (1 - g * g), d_o)
        dc = dc * f
        return torch.zeros_like(dh), dc if peep is None else dc + d_i * peep[0] + d_f * peep[1]


class _Coupled(Steps):
    gates, first, saved = 3, 3, 4

    def forward(self, gates: Tensor, sums: Tensor, old: Pair, fixed: Fixed, saved: Tensor | None) -> Pair:
        c, peep = _cell(old), fixed.peepholes(len(gates))
        f, g, o = (gates + sums).chunk(3, 1)
        f, g = torch.sigmoid(f if peep is None else f + peep[0] * c), torch.tanh(g)
        c = torch.lerp(g, c, f)
        o = torch.sigmoid(o if peep is None else o + peep[1] * c)
        _keep(saved, f, g, o, c)
        return o * torch.tanh(c), c

    def back(self, after: Pair, out: Tensor, old: Pair, fixed: Fixed, saved: Tensor, d_gates: Tensor, d_sums: Tensor) -> Pair:
        dh, dc, peep = after[0], _cell(after), fixed.peepholes(len(out))
        f, g, o, c = saved.chunk(4, 1)
        tanh_c = torch.tanh(c)
        d_o = dh * tanh_c * o * (1 - o)
        dc = torch.addcmul(dc, dh * o, 1 - tanh_c * tanh_c)
        if peep is not None:
            dc = dc + d_o * peep[1]
        d_f = dc * (_cell(old) - g) * f * (1 - f)
        _keep(d_gates, d_f, dc * (1 - f) * (1 - g * g), d_o)
        return torch.zeros_like(dh), dc * f if peep is None else dc * f + d_f * peep[0]


class _GRU(Steps):
    gates, first, saved, apart = 3, 3, 4, True

    def forward(self, gates: Tensor, sums: Tensor, old: Pair, fixed: Fixed, saved: Tensor | None) -> Pair:
        units = old[0].shape[1]
        r, z = (gates[:, : 2 * units] + sums[:, : 2 * units]).sigmoid_().chunk(2, 1)
        h_n = sums[:, 2 * units :] if fixed.b_h is None else sums[:, 2 * units :] + fixed.b_h
        n = torch.addcmul(gates[:, 2 * units :], r, h_n).tanh_()
        _keep(saved, r, z, n, h_n)
        return torch.lerp(n, old[0], z), None

    def back(self, after: Pair, out: Tensor, old: Pair, fixed: Fixed, saved: Tensor, d_gates: Tensor, d_sums: Tensor) -> Pair:
        dh = after[0]
        r, z, n, h_n = saved.chunk(4, 1)
        d_n = dh * (1 - z) * (1 - n * n)
        d_r, d_z = d_n * h_n * r * (1 - r), dh * (old[0] - n) * z * (1 - z)
        _keep(d_gates, d_r, d_z, d_n)
        _keep(d_sums, d_r, d_z, d_n * r)
        return dh * z, None


class _GRUBefore(TwoProducts):
    gates, first, saved = 3, 2, 3

    def reset(self, gates: Tensor, sums: Tensor, seen: Tensor, saved: Tensor | None) -> Tensor:
        units = seen.shape[1]
        r, z = (gates[:, : 2 * units] + sums).sigmoid_().chunk(2, 1)
        gates[:, units : 2 * units] = z
        if saved is not None:
            _keep(saved[:, : 2 * units], r, z)
        return r * seen

    def forward(self, gates: Tensor, sums: Tensor, old: Pair, fixed: Fixed, saved: Tensor | None) -> Pair:
        _, z, x_n = gates.chunk(3, 1)
        n = torch.tanh(x_n + sums)
        if saved is not None:
            saved[:, 2 * n.shape[1] :] = n
        return torch.lerp(n, old[0], z), None

    def back(self, after: Pair, out: Tensor, old: Pair, fixed: Fixed, saved: Tensor, d_gates: Tensor, d_sums: Tensor) -> Pair:
        dh = after[0]
        _, z, n = saved.chunk(3, 1)
        _keep(d_gates[:, dh.shape[1] :], dh * (old[0] - n) * z * (1 - z), dh * (1 - z) * (1 - n * n))
        return dh * z, None

    def back_reset(self, d_product: Tensor, seen: Tensor, saved: Tensor, d_gates: Tensor) -> Tensor:
        r = saved[:, : seen.shape[1]]
        d_gates[:, : seen.shape[1]] = d_product * seen * r * (1 - r)
        return d_product * r


class _LiGRU(Steps):
    gates, first, saved = 2, 2, 2

    def forward(self, gates: Tensor, sums: Tensor, old: Pair, fixed: Fixed, saved: Tensor | None) -> Pair:
        z, n = (gates + sums).chunk(2, 1)
        z, n = torch.sigmoid(z), torch.relu(n)
        _keep(saved, z, n)
        return torch.lerp(n, old[0], z), None

    def back(self, after: Pair, out: Tensor, old: Pair, fixed: Fixed, saved: Tensor, d_gates: Tensor, d_sums: Tensor) -> Pair:
        dh = after[0]
        z, n = saved.chunk(2, 1)
        _keep(d_gates, dh * (old[0] - n) * z * (1 - z), torch.where(n > 0, dh * (1 - z), 0))
        return dh * z, None


def _cell(pair: Pair) -> Tensor:
    assert pair[1] is not None, "a cell with c"
    return pair[1]


def _keep(to: Tensor | None, *values: Tensor) -> None:
    """Side by side."""
    if to is not None:
        torch.cat(values, 1, out=to) if to.is_contiguous() else to.copy_(torch.cat(values, 1))


TORCH: dict[str, Steps] = {
    "rnn_tanh": _RNN(relu=False),
    "rnn_relu": _RNN(relu=True),
    "lstm": _LSTM(),
    "lstm_coupled": _Coupled(),
    "gru": _GRU(),
    "gru_before": _GRUBefore(),
    "ligru": _LiGRU(),
}


class _Compiled(Steps):
    """The same in one pass over memory. Tensors are rows whose numbers lie side by side."""

    def __init__(self, cell: str) -> None:
        like = TORCH[cell]
        self.gates, self.first, self.saved, self.apart = like.gates, like.first, like.saved, like.apart
        self.cell = compiled.CELLS.index(cell)

    def forward(self, gates: Tensor, sums: Tensor, old: Pair, fixed: Fixed, saved: Tensor | None) -> Pair:
        new = torch.empty_like(old[0]), torch.empty_like(old[1]) if old[1] is not None else None
        self._forward(False, gates, sums, old, fixed, saved, new)
        return new

    def back(self, after: Pair, out: Tensor, old: Pair, fixed: Fixed, saved: Tensor, d_gates: Tensor, d_sums: Tensor) -> Pair:
        self._back(False, after, out, old, fixed, saved, d_gates, d_sums)
        return after

    def _forward(self, reset: bool, gates: Tensor, sums: Tensor, old: Pair, fixed: Fixed, saved: Tensor | None, new: Pair) -> None:
        rows, units = old[0].shape
        module: Any = native.compiled()
        module.step_forward(
            *(old[0].dtype == torch.float64, self.cell, reset, rows, units, torch.get_num_threads()),
            *(_table(gates), _table(sums), _table(old[0]), _table(old[1]), _address(fixed.b_h), _address(fixed.peep)),
            *(1 if fixed.peep is None else fixed.peep.shape[1], _table(saved), _table(new[0]), _table(new[1])),
        )

    def _back(self, reset: bool, after: Pair, out: Tensor, old: Pair, fixed: Fixed, saved: Tensor, d_gates: Tensor, d_sums: Tensor) -> None:
        rows, units = out.shape
        module: Any = native.compiled()
        module.step_backward(
            *(out.dtype == torch.float64, self.cell, reset, rows, units, torch.get_num_threads()),
            *(_table(out), _table(old[0]), _table(old[1]), _table(saved if self.saved else None)),
            *(_table(d_gates), _table(d_sums), _table(after[0])),
            *(_table(after[1]), _address(fixed.peep), 1 if fixed.peep is None else fixed.peep.shape[1]),
        )


class _CompiledTwo(_Compiled, TwoProducts):
    def reset(self, gates: Tensor, sums: Tensor, seen: Tensor, saved: Tensor | None) -> Tensor:
        product = torch.empty_like(seen)
        self._forward(True, gates, sums, (seen, None), Fixed(), saved, (product, None))
        return product

    def back_reset(self, d_product: Tensor, seen: Tensor, saved: Tensor, d_gates: Tensor) -> Tensor:
        self._back(True, (d_product, None), seen, (seen, None), Fixed(), saved, d_gates, d_gates)
        return d_product


_COMPILED = {cell: _CompiledTwo(cell) if isinstance(TORCH[cell], TwoProducts) else _Compiled(cell) for cell in compiled.CELLS}


def steps_of(cell: str, like: Tensor) -> Steps:
    """The fastest there are for tensors like this one."""
    fast = like.device.type == "cpu" and like.dtype in (torch.float32, torch.float64) and native.available()
    return _COMPILED[cell] if fast else TORCH[cell]


def _address(tensor: Tensor | None) -> int:
    return 0 if tensor is None else tensor.data_ptr()


def _table(tensor: Tensor | None) -> tuple[int, int]:
    """Where its rows begin, and how far they are apart."""
    if tensor is None:
        return 0, 0
    assert tensor.stride(1) == 1 or tensor.shape[1] == 1, "numbers of a row side by side"
    return tensor.data_ptr(), tensor.stride(0)
