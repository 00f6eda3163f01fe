"""The recurrences that cuDNN has, for CUDA tensors: torch's own RNN functions. Knows no layer, no equation, no call of cuDNN itself.

The functions behind `torch.nn.RNN`, `LSTM` and `GRU` run on any device, on CUDA by cuDNN (Chetlur et al. 2014, arXiv 1410.0759; Appleyard
et al. 2016, arXiv 1604.01946). Here is what they want: rows by falling length, the frames of all of them one behind the other (packed),
a second bias. A single backward direction gets each row's frames in reverse order, which packing does on the way; the directions of a
layer are one call. Gradients are torch's own: there is no second derivative in cuDNN, and its error says so.

How the rows lie is worked out on the CPU, where cuDNN wants to know it: `lengths` on a GPU are waited for. What is not known here: whether
a row gets the same bits in another batch. cuDNN chooses its algorithms by shape and promises no such thing.

Shapes: B rows, T frames, C channels, H units, P = H or the width of the projection, N valid frames of all rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from convrnn.kernels import reference
from convrnn.kernels.reference import Recurrence

DEVICE = "cuda"
"""Of what tensors are served. The functions themselves are not bound to it."""

_FUNCTIONS: dict[str, Any] = {
    "rnn_tanh": torch._VF.rnn_tanh,
    "rnn_relu": torch._VF.rnn_relu,
    "lstm": torch._VF.lstm,
    "gru": torch._VF.gru,
}


def serves(rs: Sequence[Recurrence]) -> bool:
    """Whether `recur` takes this recurrence, or these two directions of a layer."""
    if rs[0].x.device.type != DEVICE or not all(map(_known, rs)):
        return False
    if len(rs) == 1:
        return True
    forth, back = rs
    together = forth.cell == back.cell and forth.x is back.x and forth.lengths is back.lengths and not forth.reverse and back.reverse
    return together and forth.state.shape == back.state.shape and forth.w_h.shape == back.w_h.shape


def _known(r: Recurrence) -> bool:
    """A cell, options and types that torch's functions have."""
    if r.cell not in _FUNCTIONS or r.w_x is None or r.w_h.dim() != 2 or any(each is not None for each in (r.peep, r.drop, r.zone)):
        return False
    if r.proj is not None and r.proj.shape[0] >= r.proj.shape[1]:
        return False  # by the widths of its states torch tells whether there is a projection
    types = {each.dtype for name, each in zip(r._fields, r, strict=True) if isinstance(each, Tensor) and name != "lengths"}
    if torch.is_autocast_enabled(r.x.device.type):
        # Autocast makes float32 of what is narrower, for the operator by the dispatcher, here in `recur`.
        types = {torch.promote_types(dtype, torch.float32) for dtype in types}
    return types in ({torch.float32}, {torch.float64})


def recur(rs: Sequence[Recurrence]) -> tuple[Tensor, ...]:
    """As `reference.recur`, or of two `dispatch.recur_both`: h, side by side, and the state of each. x is read within `lengths` only."""
    with torch.autocast(rs[0].x.device.type, enabled=False):
        rs = [tree_map_only(Tensor, reference.wide, r) for r in rs]
        frames = rs[0].x.shape[1]
        if not rs[0].x.numel():
            # Of no rows, frames or channels torch's functions make an error.
            outputs, finals = zip(*(reference.recur(r) for r in rs), strict=True)
            return torch.cat(outputs, -1), *finals
        counts = None if rs[0].lengths is None else rs[0].lengths.clamp(0, frames).cpu()
        if counts is None or bool((counts == frames).all()):
            return _full(rs)
        return _ragged(rs, counts) if bool(counts.any()) else _none(rs)


# ---- rows


def _none(rs: Sequence[Recurrence]) -> tuple[Tensor, ...]:
    """No row has a frame."""
    batch, frames, _ = rs[0].x.shape
    return rs[0].x.new_zeros(batch, frames, sum(r.width for r in rs)), *(r.state.clone() for r in rs)


def _full(rs: Sequence[Recurrence]) -> tuple[Tensor, ...]:
    """All rows have all frames."""
    x = rs[0].x
    backward = len(rs) == 1 and rs[0].reverse
    y, finals = _call(rs, (x.flip(1) if backward else x,), [r.state for r in rs], (True,))
    return y.flip(1) if backward else y, *finals


class _Packing(NamedTuple):
    """Where the frames of ragged rows go.

    Attributes:
        rows: `[B']`, the rows that have frames, longest first.
        frames: `[N]`, of each packed frame its place among all B T.
        sizes: int64 `[T']` on the CPU, how many rows have the first frame, the second, ...
    """

    rows: Tensor
    frames: Tensor
    sizes: Tensor


def _packing(counts: Tensor, frames: int, backward: bool, device: torch.device) -> _Packing:
    """Of rows of these lengths, given on the CPU; `backward`: each row's last frame first."""
    rows = torch.argsort(counts, descending=True, stable=True)[: int(counts.count_nonzero())]
    lengths = counts[rows]
    step = torch.arange(int(lengths[0]))[:, None]
    alive = step < lengths
    places = rows * frames + (lengths - 1 - step if backward else step)
    return _Packing(rows.to(device), places[alive].to(device), alive.sum(1))


def _ragged(rs: Sequence[Recurrence], counts: Tensor) -> tuple[Tensor, ...]:
    """Only the valid frames go through; the others are zero, and a row of none keeps its state."""
    x = rs[0].x
    batch, frames, channels = x.shape
    packing = _packing(counts, frames, len(rs) == 1 and rs[0].reverse, x.device)
    data = x.reshape(batch * frames, channels).index_select(0, packing.frames)
    y, finals = _call(rs, (data, packing.sizes), [r.state.index_select(0, packing.rows) for r in rs], ())
    y = y.new_zeros(batch * frames, y.shape[-1]).index_copy(0, packing.frames, y).view(batch, frames, -1)
    return y, *(r.state.index_copy(0, packing.rows, final) for r, final in zip(rs, finals, strict=True))


# ---- the call


def _call(
    rs: Sequence[Recurrence], data: tuple[Tensor, ...], states: Sequence[Tensor], batch_first: tuple[bool, ...]
) -> tuple[Tensor, list[Tensor]]:
    """h as `data` lies, and the state of each; `batch_first` is an argument of the form that is not packed."""
    weights, biased = _weights(rs)
    widths = [rs[0].width, states[0].shape[-1] - rs[0].width][: len(rs[0].equations.states)]
    # `[directions, B, ...]`, and dense: cuDNN refuses views.
    begin = [torch.stack(parts) for parts in zip(*(state.split(widths, -1) for state in states), strict=True)]
    first, *sizes = data
    layers, dropout, train = 1, 0.0, torch.is_grad_enabled()
    y, *last = _FUNCTIONS[rs[0].cell](
        first, *sizes, begin if len(begin) > 1 else begin[0], weights, biased, layers, dropout, train, len(rs) == 2, *batch_first
    )
    return y, [torch.cat([part[i] for part in last], -1) for i in range(len(rs))]


def _weights(rs: Sequence[Recurrence]) -> tuple[list[Tensor], bool]:
    """Of each direction w_x, w_h, with biases two of them, and the projection; views of one tensor.

    cuDNN wants its weights in one piece, matrices first. torch makes such a copy at every call, and warns, unless they already lie so.
    """
    biased = any(each is not None for r in rs for each in (r.b, r.b_h))
    matrices = [[each for each in (r.w_x, r.w_h, r.proj) if each is not None] for r in rs]
    biases = [_biases(r) if biased else [] for r in rs]
    parts = [each for of in (*matrices, *biases) for each in of]
    pieces = iter(torch.cat([part.reshape(-1) for part in parts]).split([part.numel() for part in parts]))
    placed = [[next(pieces).view(each.shape) for each in of] for of in (*matrices, *biases)]
    both = zip(placed[: len(rs)], placed[len(rs) :], strict=True)
    return [each for matrix, bias in both for each in (*matrix[:2], *bias, *matrix[2:])], biased


def _biases(r: Recurrence) -> list[Tensor]:
    """The bias of the gates, and that of the recurrent product: zero but for the candidate of a GRU, inside the reset."""
    zeros = r.w_h.new_zeros(r.w_h.shape[0])
    inner = zeros if r.b_h is None else torch.cat([zeros[: -r.b_h.shape[0]], r.b_h])
    return [zeros if r.b is None else r.b, inner]
