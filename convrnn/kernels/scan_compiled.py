"""The compiled linear recurrences (csrc/scan.cpp) for tensors: the call by address. Knows no equation, nor whom it serves.

A cell is named; what it reads of a frame, its operands, stand side by side in `gates`, the last of them perhaps in a tensor of its own,
`apart`: of `linear`, a and b.

Shapes: B rows, T frames, H units; `gates` `[B, T, n H]`, `apart` `[B, T, H]`, `state` `[B, H]`, `lengths` `[B]`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from convrnn.kernels import native

_WIDE = {torch.float32: False, torch.float64: True}


def forward(
    cell: str, gates: Tensor, apart: Tensor | None, lengths: Tensor | None, state: Tensor, reverse: bool, keep: bool
) -> tuple[Tensor, Tensor | None, Tensor]:
    """h of every frame `[B, T, H]`; c of every frame with `keep`, for cells where c is not h; the last c `[B, H]`. Fresh tensors."""
    module = native.compiled()
    assert module is not None
    batch, frames = gates.shape[:2]
    units = state.shape[1]
    gates, apart, lengths, carry = gates.contiguous(), _dense(apart), _counts(lengths), _carry(state)
    h = gates.new_empty(batch, frames, units)
    memory = torch.empty_like(h) if keep else None
    module.scan_forward(
        cell, _WIDE[gates.dtype], batch, frames, units, _at(lengths), reverse, torch.get_num_threads(),
        _at(gates), _at(apart), _at(carry), _at(memory), _at(h),
    )  # fmt: skip
    return h, memory, carry.to(state.dtype)


def backward(
    cell: str,
    gates: Tensor,
    apart: Tensor | None,
    lengths: Tensor | None,
    state: Tensor,
    reverse: bool,
    memory: Tensor,
    dh: Tensor,
    dfinal: Tensor,
) -> tuple[Tensor, Tensor | None, Tensor]:
    """The gradients of `gates`, `apart` and `state`, fresh tensors. `memory` is c of every frame."""
    module = native.compiled()
    assert module is not None and memory.shape == dh.shape == (*gates.shape[:2], state.shape[1]) and dfinal.shape == state.shape
    assert memory.dtype == dh.dtype == gates.dtype
    batch, frames = gates.shape[:2]
    gates, apart, lengths, carry = gates.contiguous(), _dense(apart), _counts(lengths), _carry(dfinal)
    state, memory, dh = state.contiguous(), memory.contiguous(), dh.contiguous()
    dgates, dapart = torch.empty_like(gates), None if apart is None else torch.empty_like(apart)
    module.scan_backward(
        cell, _WIDE[gates.dtype], batch, frames, state.shape[1], _at(lengths), reverse, torch.get_num_threads(),
        _at(gates), _at(apart), _at(carry), _at(memory), _at(state), _at(dh), _at(dgates), _at(dapart),
    )  # fmt: skip
    return dgates, dapart, carry.to(state.dtype)


def _carry(state: Tensor) -> Tensor:
    """A fresh copy in float64, in which the loops compute along a row."""
    return state.to(torch.float64, memory_format=torch.contiguous_format, copy=True)


def _dense(values: Tensor | None) -> Tensor | None:
    return None if values is None else values.contiguous()


def _counts(lengths: Tensor | None) -> Tensor | None:
    return None if lengths is None else lengths.long().contiguous()


def _at(values: Tensor | None) -> int:
    return 0 if values is None else values.data_ptr()
