"""The recurrences in C++ (csrc/recurrent.h): what they serve, and how tensors get there. Knows no equation.

Tensors go over as addresses and strides. Everything that the C++ would have to believe is checked or made true here: CPU, one floating
type, dense weights, frames whose numbers lie side by side.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from convrnn.kernels import native
from convrnn.kernels.reference import Recurrence

CELLS = ("rnn_tanh", "rnn_relu", "lstm", "lstm_coupled", "gru", "gru_before", "ligru")
"""In the order of csrc/recurrent.h."""

GRADIENTS = ("x", "w_x", "w_h", "b", "state", "b_h", "peep", "proj")
"""Of what there is a gradient, in the order of csrc/recurrent.h."""

_SAVED = {"lstm": 5, "lstm_coupled": 4, "gru": 4, "gru_before": 3, "ligru": 2}


def serves(r: Recurrence) -> bool:
    """Whether the compiled recurrences know this one and are there."""
    if r.x.device.type != "cpu" or r.x.dtype not in (torch.float32, torch.float64) or r.cell not in CELLS:
        return False
    if any(isinstance(t, Tensor) and t.dtype != r.x.dtype for t in r if t is not r.lengths):
        return False
    return _known_product(r) and native.available()


def _known_product(r: Recurrence) -> bool:
    """A matrix; or element-wise in a cell of one gate; with the options that the cell has."""
    if r.w_h.dim() == 1:
        return r.cell in ("rnn_tanh", "rnn_relu") and r.proj is None
    lstm = r.cell in ("lstm", "lstm_coupled")
    return r.w_h.dim() == 2 and (lstm or (r.proj is None and r.peep is None)) and (r.cell == "gru" or r.b_h is None)


def saved_shape(r: Recurrence) -> tuple[int, ...]:
    """Of what backward needs besides y."""
    return r.x.shape[0], r.x.shape[1], _SAVED.get(r.cell, 0 if r.zone is None else 1), (_units(r) + 15) // 16 * 16


def forward(r: Recurrence, save: bool) -> tuple[Tensor, Tensor, Tensor]:
    """As `reference.recur`, and what backward needs (empty unless `save`)."""
    r = _dense(r)
    y = r.x.new_empty(r.x.shape[0], r.x.shape[1], r.width)
    final = torch.empty_like(r.state)
    saved = r.x.new_empty(saved_shape(r) if save else (0,))
    _module().recur_forward(_record(r), y.data_ptr(), final.data_ptr(), saved.data_ptr())
    return y, final, saved


def backward(r: Recurrence, y: Tensor, saved: Tensor, dy: Tensor, dfinal: Tensor, names: list[str]) -> dict[str, Tensor]:
    """The gradients of the inputs named, which are among `GRADIENTS`."""
    r = _dense(r)
    dy = dy if dy.stride(-1) == 1 else dy.contiguous()
    dfinal = dfinal.contiguous()
    found = {name: torch.empty(getattr(r, name).shape, dtype=r.x.dtype) for name in names}
    targets = [found[name].data_ptr() if name in found else 0 for name in GRADIENTS]
    given = y.data_ptr(), saved.data_ptr(), dy.data_ptr(), dfinal.data_ptr(), dy.stride(0), dy.stride(1)
    _module().recur_backward(_record(r), *given, targets)
    return found


def _module() -> Any:
    module = native.compiled()
    assert module is not None, "serves() was asked"
    return module


def _units(r: Recurrence) -> int:
    gates = r.x.shape[-1] if r.w_x is None else r.w_x.shape[0]
    return gates // len(r.equations.gates)


def _dense(r: Recurrence) -> Recurrence:
    """Dense tensors, but for x and zone, of which only the numbers of a frame must lie side by side."""
    strided = {name: each if each is None or each.stride(-1) == 1 else each.contiguous() for name, each in (("x", r.x), ("zone", r.zone))}
    return Recurrence._make(
        strided.get(name, each.contiguous() if isinstance(each, Tensor) else each) for name, each in zip(r._fields, r, strict=True)
    )


def _record(r: Recurrence) -> Any:
    """In the order of csrc/bind_recurrent.cpp."""
    batch, frames, channels = r.x.shape
    zone_row = zone_frame = 0
    if r.zone is not None:
        # A zone of one row or one frame is that of all.
        zone_row = r.zone.stride(0) if r.zone.shape[0] > 1 else 0
        zone_frame = r.zone.stride(1) if r.zone.shape[1] > 1 else 0
    return _module().Record(
        CELLS.index(r.cell),
        r.x.dtype == torch.float64,
        r.reverse,
        r.w_h.dim() == 1,
        batch,
        frames,
        channels,
        _units(r),
        r.width,
        r.x.data_ptr(),
        r.x.stride(0),
        r.x.stride(1),
        *(0 if each is None else each.data_ptr() for each in (r.lengths, r.w_x, r.w_h, r.b, r.state, r.b_h, r.peep, r.proj, r.drop)),
        0 if r.zone is None else r.zone.data_ptr(),
        zone_row,
        zone_frame,
        torch.get_num_threads(),
    )
