"""Hand-written forward and backward of the recurrences in plain tensor operations, a row paying for its own length only.

What the operators of `dispatch.py` run where there is no faster kernel. Knows the equations of `reference.py`, against which it is tested.
Rows are sorted by length once, so that the rows still alive at a frame are a prefix: no packing, no masks in the loop.

Shapes: B rows, T frames, H units, G = gates x H, K saved values a frame; time first inside.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor

from convrnn.kernels.reference import Recurrence


class Plan(NamedTuple):
    """Which rows are alive at which frame, in the order of the recurrence."""

    rows: Tensor | None
    back: Tensor | None
    steps: list[tuple[int, int]]


def plan(batch: int, frames: int, lengths: Tensor | None, reverse: bool) -> Plan:
    """Rows by falling length, their places, and `(frame, rows alive)` in the order of the recurrence."""
    times = range(frames - 1, -1, -1) if reverse else range(frames)
    if lengths is None:
        return Plan(None, None, [(t, batch) for t in times])
    rows = torch.argsort(lengths, descending=True, stable=True)
    alive = torch.bincount(lengths.clamp(max=frames).cpu(), minlength=frames + 1).flip(0).cumsum(0).flip(0)[1:].tolist()
    return Plan(rows, torch.argsort(rows), [(t, alive[t]) for t in times if alive[t]])


class Loop(ABC):
    """One step forward and one step back of a cell."""

    gates: int
    states: int = 1
    saved: int = 0

    @abstractmethod
    def forward(
        self, gates_BG: Tensor, state: tuple[Tensor, ...], w: Tensor, b_h: Tensor | None, saved_BK: Tensor | None
    ) -> tuple[Tensor, ...]:
        """The new state; fills `saved_BK` with what backward needs. `w` is w_h transposed, `[H, G]`."""

    @abstractmethod
    def backward(
        self,
        dstate: tuple[Tensor, ...],
        new_h: Tensor,
        old: tuple[Tensor, ...],
        saved_BK: Tensor,
        w_h: Tensor,
        dgates_BG: Tensor,
        dh_gates_BG: Tensor,
    ) -> tuple[Tensor, ...]:
        """The gradient of the old state; fills those of the input's (`dgates_BG`) and the state's (`dh_gates_BG`) part of the gates."""


class _Tanh(Loop):
    gates = 1

    def forward(
        self, gates_BG: Tensor, state: tuple[Tensor, ...], w: Tensor, b_h: Tensor | None, saved_BK: Tensor | None
    ) -> tuple[Tensor, ...]:
        return (torch.addmm(gates_BG, state[0], w).tanh_(),)

    def backward(
        self,
        dstate: tuple[Tensor, ...],
        new_h: Tensor,
        old: tuple[Tensor, ...],
        saved_BK: Tensor,
        w_h: Tensor,
        dgates_BG: Tensor,
        dh_gates_BG: Tensor,
    ) -> tuple[Tensor, ...]:
        torch.addcmul(dstate[0], dstate[0] * new_h, new_h, value=-1, out=dgates_BG)
        return (dgates_BG @ w_h,)


class _Relu(Loop):
    gates = 1

    def forward(
        self, gates_BG: Tensor, state: tuple[Tensor, ...], w: Tensor, b_h: Tensor | None, saved_BK: Tensor | None
    ) -> tuple[Tensor, ...]:
        return (torch.addmm(gates_BG, state[0], w).relu_(),)

    def backward(
        self,
        dstate: tuple[Tensor, ...],
        new_h: Tensor,
        old: tuple[Tensor, ...],
        saved_BK: Tensor,
        w_h: Tensor,
        dgates_BG: Tensor,
        dh_gates_BG: Tensor,
    ) -> tuple[Tensor, ...]:
        torch.mul(dstate[0], new_h > 0, out=dgates_BG)
        return (dgates_BG @ w_h,)


class _LSTM(Loop):
    gates, states, saved = 4, 2, 5

    def forward(
        self, gates_BG: Tensor, state: tuple[Tensor, ...], w: Tensor, b_h: Tensor | None, saved_BK: Tensor | None
    ) -> tuple[Tensor, ...]:
        h, c = state
        units = h.shape[1]
        a = torch.addmm(gates_BG, h, w)
        a[:, : 2 * units].sigmoid_()
        a[:, 2 * units : 3 * units].tanh_()
        a[:, 3 * units :].sigmoid_()
        i, f, g, o = a.chunk(4, dim=1)
        c = torch.addcmul(f * c, i, g)
        if saved_BK is not None:
            saved_BK[:, : 4 * units] = a
            saved_BK[:, 4 * units :] = c
        return o * torch.tanh(c), c

    def backward(
        self,
        dstate: tuple[Tensor, ...],
        new_h: Tensor,
        old: tuple[Tensor, ...],
        saved_BK: Tensor,
        w_h: Tensor,
        dgates_BG: Tensor,
        dh_gates_BG: Tensor,
    ) -> tuple[Tensor, ...]:
        dh, dc = dstate
        i, f, g, o, c = saved_BK.chunk(5, dim=1)
        tanh_c = torch.tanh(c)
        dc = torch.addcmul(dc, dh * o, 1 - tanh_c * tanh_c)
        d_i, d_f, d_g, d_o = dgates_BG.chunk(4, dim=1)
        torch.mul(dc * g, i * (1 - i), out=d_i)
        torch.mul(dc * old[1], f * (1 - f), out=d_f)
        torch.mul(dc * i, 1 - g * g, out=d_g)
        torch.mul(dh * tanh_c, o * (1 - o), out=d_o)
        return dgates_BG @ w_h, dc * f


class _GRU(Loop):
    gates, saved = 3, 4

    def forward(
        self, gates_BG: Tensor, state: tuple[Tensor, ...], w: Tensor, b_h: Tensor | None, saved_BK: Tensor | None
    ) -> tuple[Tensor, ...]:
        (h,) = state
        units = h.shape[1]
        p = h @ w
        rz = (gates_BG[:, : 2 * units] + p[:, : 2 * units]).sigmoid_()
        h_n = p[:, 2 * units :] if b_h is None else p[:, 2 * units :] + b_h
        n = torch.addcmul(gates_BG[:, 2 * units :], rz[:, :units], h_n).tanh_()
        if saved_BK is not None:
            saved_BK[:, : 2 * units] = rz
            saved_BK[:, 2 * units : 3 * units] = n
            saved_BK[:, 3 * units :] = h_n
        return (torch.lerp(n, h, rz[:, units:]),)

    def backward(
        self,
        dstate: tuple[Tensor, ...],
        new_h: Tensor,
        old: tuple[Tensor, ...],
        saved_BK: Tensor,
        w_h: Tensor,
        dgates_BG: Tensor,
        dh_gates_BG: Tensor,
    ) -> tuple[Tensor, ...]:
        (dh,) = dstate
        r, z, n, h_n = saved_BK.chunk(4, dim=1)
        units = dh.shape[1]
        d_r, d_z, d_n = dgates_BG.chunk(3, dim=1)
        torch.mul(dh * (1 - z), 1 - n * n, out=d_n)
        torch.mul(dh * (old[0] - n), z * (1 - z), out=d_z)
        torch.mul(d_n * h_n, r * (1 - r), out=d_r)
        dh_gates_BG[:, : 2 * units] = dgates_BG[:, : 2 * units]
        torch.mul(d_n, r, out=dh_gates_BG[:, 2 * units :])
        return (torch.addmm(dh * z, dh_gates_BG, w_h),)


class _GRUBefore(Loop):
    gates, saved = 3, 3

    def forward(
        self, gates_BG: Tensor, state: tuple[Tensor, ...], w: Tensor, b_h: Tensor | None, saved_BK: Tensor | None
    ) -> tuple[Tensor, ...]:
        (h,) = state
        units = h.shape[1]
        rz = torch.addmm(gates_BG[:, : 2 * units], h, w[:, : 2 * units]).sigmoid_()
        n = torch.addmm(gates_BG[:, 2 * units :], rz[:, :units] * h, w[:, 2 * units :]).tanh_()
        if saved_BK is not None:
            saved_BK[:, : 2 * units] = rz
            saved_BK[:, 2 * units :] = n
        return (torch.lerp(n, h, rz[:, units:]),)

    def backward(
        self,
        dstate: tuple[Tensor, ...],
        new_h: Tensor,
        old: tuple[Tensor, ...],
        saved_BK: Tensor,
        w_h: Tensor,
        dgates_BG: Tensor,
        dh_gates_BG: Tensor,
    ) -> tuple[Tensor, ...]:
        (dh,) = dstate
        r, z, n = saved_BK.chunk(3, dim=1)
        units = dh.shape[1]
        d_r, d_z, d_n = dgates_BG.chunk(3, dim=1)
        torch.mul(dh * (1 - z), 1 - n * n, out=d_n)
        torch.mul(dh * (old[0] - n), z * (1 - z), out=d_z)
        d_rh = d_n @ w_h[2 * units :]
        torch.mul(d_rh * old[0], r * (1 - r), out=d_r)
        return (torch.addmm(torch.addcmul(dh * z, d_rh, r), dgates_BG[:, : 2 * units], w_h[: 2 * units]),)


LOOPS: dict[str, Loop] = {"rnn_tanh": _Tanh(), "rnn_relu": _Relu(), "lstm": _LSTM(), "gru": _GRU(), "gru_before": _GRUBefore()}


def serves(r: Recurrence) -> bool:
    """Whether the loops here know this recurrence: a cell of theirs, a matrix, and none of the options."""
    return r.cell in LOOPS and r.w_h.dim() == 2 and r.peep is None and r.proj is None and r.drop is None and r.zone is None


def forward(r: Recurrence, save: bool) -> tuple[Tensor, Tensor, Tensor]:
    """As `reference.recur`, and what backward needs `[T, B, K]` (empty unless `save`), in the order of the plan."""
    loop = LOOPS[r.cell]
    batch, frames = r.x.shape[:2]
    units = r.w_h.shape[1]
    order = plan(batch, frames, r.lengths, r.reverse)
    gates_TBG = _sorted(r.input_part(), order.rows).transpose(0, 1)
    now = [part.clone() for part in _sorted(r.state, order.rows).split(units, dim=1)]
    # Frames of no row are read by the products over all frames, so they hold zeros.
    make = r.x.new_empty if r.lengths is None else r.x.new_zeros
    y_TBH = make(frames, batch, units)
    saved_TBK = make(frames if save else 0, batch, loop.saved * units)
    w = r.w_h.t()
    for t, alive in order.steps:
        slot = saved_TBK[t, :alive] if save and loop.saved else None
        new = loop.forward(gates_TBG[t, :alive], tuple(s[:alive] for s in now), w, r.b_h, slot)
        y_TBH[t, :alive] = new[0]
        for s, n in zip(now, new, strict=True):
            s[:alive] = n
    final = _sorted(torch.cat(now, 1), order.back)
    return _sorted(y_TBH.transpose(0, 1), order.back).contiguous(), final, saved_TBK


def backward(r: Recurrence, y: Tensor, saved_TBK: Tensor, dy: Tensor, dfinal: Tensor) -> dict[str, Tensor]:
    """Gradients of every input of `forward` that is there, by name."""
    loop = LOOPS[r.cell]
    batch, frames, units = y.shape
    order = plan(batch, frames, r.lengths, r.reverse)
    first = _sorted(r.state, order.rows).split(units, dim=1)
    y_TBH, dy_TBH = (_sorted(v, order.rows).transpose(0, 1) for v in (y, dy))
    dnow = [part.clone() for part in _sorted(dfinal, order.rows).split(units, dim=1)]
    old_TBH = _before(y_TBH, first[0], order.steps)
    dgates_TBG = y.new_zeros(frames, batch, loop.gates * units)
    dh_gates_TBG = torch.zeros_like(dgates_TBG) if r.cell == "gru" else dgates_TBG
    old_c_TBH = _before(saved_TBK[..., 4 * units :], first[1], order.steps) if loop.states == 2 else None
    for t, alive in reversed(order.steps):
        dnow[0][:alive] += dy_TBH[t, :alive]
        old = (old_TBH[t, :alive],) if old_c_TBH is None else (old_TBH[t, :alive], old_c_TBH[t, :alive])
        slot = saved_TBK[t, :alive] if loop.saved else saved_TBK
        new = loop.backward(
            tuple(d[:alive] for d in dnow), y_TBH[t, :alive], old, slot, r.w_h, dgates_TBG[t, :alive], dh_gates_TBG[t, :alive]
        )
        for d, n in zip(dnow, new, strict=True):
            d[:alive] = n
    dgates = _sorted(dgates_TBG.transpose(0, 1), order.back).contiguous()
    flat_dgates = dgates.reshape(-1, dgates.shape[-1])
    found = {"w_h": _weight_gradient(r.cell, dh_gates_TBG, old_TBH, saved_TBK), "state": _sorted(torch.cat(dnow, 1), order.back)}
    found["x"] = dgates if r.w_x is None else dgates @ r.w_x
    if r.w_x is not None:
        found["w_x"] = flat_dgates.t() @ r.x.reshape(-1, r.x.shape[-1])
    if r.b is not None:
        found["b"] = flat_dgates.sum(0)
    if r.b_h is not None:
        found["b_h"] = dh_gates_TBG[..., 2 * units :].sum((0, 1))
    return found


def _weight_gradient(cell: str, dgates_TBG: Tensor, old_TBH: Tensor, saved_TBK: Tensor) -> Tensor:
    units = old_TBH.shape[-1]
    flat, old = dgates_TBG.reshape(-1, dgates_TBG.shape[-1]), old_TBH.reshape(-1, units)
    if cell != "gru_before":
        return flat.t() @ old
    seen = (saved_TBK[..., :units] * old_TBH).reshape(-1, units)  # the candidate saw r h, not h
    return torch.cat([flat[:, : 2 * units].t() @ old, flat[:, 2 * units :].t() @ seen])


def _before(values_TBH: Tensor, first_BH: Tensor, steps: list[tuple[int, int]]) -> Tensor:
    """At each frame the value one step earlier in the order of the recurrence, `first` where a row begins; zero where no row is."""
    out = values_TBH.new_zeros(values_TBH.shape)
    previous, alive_before = -1, 0
    for t, alive in steps:
        if previous >= 0:
            shared = min(alive, alive_before)
            out[t, :shared] = values_TBH[previous, :shared]
        if alive > alive_before:
            out[t, alive_before:alive] = first_BH[alive_before:alive]
        previous, alive_before = t, alive
    return out


def _sorted(values: Tensor, rows: Tensor | None) -> Tensor:
    return values if rows is None else values.index_select(0, rows)
