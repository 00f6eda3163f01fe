"""The recurrences in C++ (csrc/recurrent.h): what they serve, and how tensors get there. Knows no equation.

Tensors go over as addresses and strides. Everything that the C++ would have to believe is checked or made true here: CPU, one floating
type, dense weights, frames whose numbers lie side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

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
    dtype = r.x.dtype
    if not all(t is None or t.dtype is dtype for t in (r.w_x, r.w_h, r.b, r.state, r.b_h, r.peep, r.proj, r.drop, r.zone)):
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


class Forward(NamedTuple):
    """What came of one recurrence, or of the two directions of a layer.

    Attributes:
        y: `[B, T, P]`, of two side by side `[B, T, 2 P]`.
        finals: of each, the state after each row's last frame.
        saved: of each, what its backward needs besides y, see `saved_shape`; none where it was not asked for.
    """

    y: Tensor
    finals: list[Tensor]
    saved: list[Tensor]


def forward(rs: Sequence[Recurrence], save: bool) -> Forward:
    """As `reference.recur`; two recurrences, of the same cell over the same rows, are computed at the same time."""
    rs = [_dense(r) for r in rs]
    module, records = _module(), [record(r) for r in rs]
    width = rs[0].width
    y = rs[0].x.new_empty(*rs[0].x.shape[:2], width * len(rs))
    finals = [torch.empty_like(r.state) for r in rs]
    saved = [r.x.new_empty(saved_shape(r)) for r in rs] if save else []
    kept = [each.data_ptr() for each in saved] or [0] * len(rs)
    begins = range(y.data_ptr(), y.data_ptr() + len(rs) * width * y.itemsize, width * y.itemsize)
    addresses = [
        (begin, final.data_ptr(), for_backward, y.stride(0), y.stride(1))
        for begin, final, for_backward in zip(begins, finals, kept, strict=True)
    ]
    module.recur_forward(records, addresses)
    return Forward(y, finals, saved)


def backward(
    rs: Sequence[Recurrence], y: Tensor, saved: Sequence[Tensor], dy: Tensor, dfinals: Sequence[Tensor], names: Sequence[Sequence[str]]
) -> list[dict[str, Tensor]]:
    """Of each recurrence the gradients of the inputs named, which are among `GRADIENTS`; `y` and `saved` as `forward` left them."""
    rs = [_dense(r) for r in rs]
    dy, dfinals = dy if dy.stride(-1) == 1 else dy.contiguous(), [each.contiguous() for each in dfinals]
    found = [{name: torch.empty(getattr(r, name).shape, dtype=y.dtype) for name in wanted} for r, wanted in zip(rs, names, strict=True)]
    apart = rs[0].width * y.itemsize
    addresses = [
        (
            *(y.data_ptr() + i * apart, saved[i].data_ptr(), dy.data_ptr() + i * apart, dfinals[i].data_ptr()),
            *(y.stride(0), y.stride(1), dy.stride(0), dy.stride(1)),
            *(each[name].data_ptr() if name in each else 0 for name in GRADIENTS),
        )
        for i, each in enumerate(found)
    ]
    _module().recur_backward([record(r) for r in rs], addresses)
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
    tensors = [(name, each) for name, each in zip(r._fields, r, strict=True) if isinstance(each, Tensor)]
    apart = {name: each.contiguous() for name, each in tensors if not _as_read(name, each)}
    return r._replace(**apart) if apart else r


def _as_read(name: str, tensor: Tensor) -> bool:
    return tensor.stride(-1) == 1 if name in ("x", "zone") else tensor.is_contiguous()


def stack(rs: Sequence[Recurrence]) -> Any:
    """Recurrences of dense weights one upon the other, their weights packed, to be run again and again; see csrc/bind_recurrent.cpp."""
    return _module().Stack([record(r) for r in rs])


def record(r: Recurrence) -> Any:
    """A recurrence of dense tensors as the C++ takes it, in the order of csrc/bind_recurrent.cpp."""
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
