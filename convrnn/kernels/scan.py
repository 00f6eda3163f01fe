"""The linear recurrence h_t = a_t h_{t-1} + b_t, entry by entry, as registered operators. Knows no gate and no layer.

`convrnn::linear_scan` and `convrnn::linear_scan_backward` are two operators joined by `register_autograd`, as in `dispatch.py`; the
gradient is such a recurrence too, in the other direction. On the CPU they are the plain loop, compiled (csrc/scan.cpp), which reads and
writes each number once; on CUDA the same in Triton (scan_triton.py). Where neither is installed they are blocks: a step takes h only times
a number and plus a number, so frames need not wait for each other. Rows are cut into about sqrt(T) blocks, all blocks are run at once from
zero, their ends are chained, and all are run again from where the one before ended (Blelloch 1990, "Prefix sums and their applications",
with a block for a processor). That is 3 sqrt(T) operations on many frames in place of T on one.

Only products and sums: no quotient of running products (which is 0 / 0 after a closed gate) and no sum of logarithms (which is infinite
there). For a in [-1, 1] no number in it is larger than those of the plain loop, at any T.

Shapes: B rows, T frames, H units, N blocks of L frames.
"""

from __future__ import annotations

from math import isqrt
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._higher_order_ops.scan import scan

from convrnn.core.errors import UsageError
from convrnn.core.language import tr
from convrnn.kernels import dispatch, native, scan_kernels
from convrnn.kernels.reference import in_float32

_ONE_BLOCK = 64
"""Up to here a row is one block: a chunk of a stream costs one pass."""


def linear_scan(a: Tensor, b: Tensor, lengths: Tensor | None, state: Tensor, reverse: bool = False) -> tuple[Tensor, Tensor]:
    """Every frame's h `[B, T, H]`, zero beyond `lengths`, and the state after each row's last valid frame `[B, H]`.

    Args:
        a: `[B, T, H]`, what is kept of the state; in [-1, 1], or it grows without bound.
        b: `[B, T, H]`, what is added to it.
        lengths: int64 `[B]` or None: all rows are full. A row of length 0 keeps its state.
        state: `[B, H]`.
        reverse: from each row's last valid frame to its first.
    """
    match dispatch.chosen():
        case "reference":
            return linear_scan_reference(a, b, lengths, state, reverse)
        case "onnx":
            return linear_scan_scanned(a, b, lengths, state, reverse)
        case _:
            return (_run if native.unwatched(a) else _linear_scan)(a, b, lengths, state, reverse)


@in_float32
def linear_scan_reference(a: Tensor, b: Tensor, lengths: Tensor | None, state: Tensor, reverse: bool = False) -> tuple[Tensor, Tensor]:
    """The definition: a loop over time, differentiable any number of times. See `linear_scan`."""
    outputs: list[Tensor] = []
    for t in reversed(range(a.shape[1])) if reverse else range(a.shape[1]):
        new = a[:, t] * state + b[:, t]
        if lengths is None:
            outputs.append(new)
            state = new
        else:
            valid = (t < lengths)[:, None]
            outputs.append(torch.where(valid, new, new.new_zeros(())))
            state = torch.where(valid, new, state)
    if not outputs:
        return torch.zeros_like(b), state.clone()
    return torch.stack(outputs[::-1] if reverse else outputs, 1), state


def linear_scan_scanned(a: Tensor, b: Tensor, lengths: Tensor | None, state: Tensor, reverse: bool = False) -> tuple[Tensor, Tensor]:
    """The same as one `scan` of torch, which ONNX writes as one Scan node, whatever T is. For export: see `linear_scan`.

    ONNX Runtime refuses a Scan over no frames, so there is one more, which keeps the state.
    """
    a, b = _masked(a, b, lengths)
    if reverse:
        a, b = a.flip(1), b.flip(1)
    a, b = F.pad(a, (0, 0, 0, 1), value=1.0), F.pad(b, (0, 0, 0, 1))

    def step(h: Tensor, now: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        new = now[0] * h + now[1]
        return new, new.clone()

    final, h_TBH = scan(step, state.contiguous(), (a.transpose(0, 1), b.transpose(0, 1)))
    h = h_TBH.transpose(0, 1)[:, :-1]
    # A clone, as exported graphs may not return one tensor twice.
    return only_valid(h.flip(1) if reverse else h, lengths), final.clone()


# ---- the operators


@torch.library.custom_op("convrnn::linear_scan", mutates_args=())
def _linear_scan(a: Tensor, b: Tensor, lengths: Tensor | None, state: Tensor, reverse: bool) -> tuple[Tensor, Tensor]:
    return _run(a, b, lengths, state, reverse)


@_linear_scan.register_fake
def _linear_scan_fake(a: Tensor, b: Tensor, lengths: Tensor | None, state: Tensor, reverse: bool) -> tuple[Tensor, Tensor]:
    return b.new_empty(b.shape), state.new_empty(state.shape)


@torch.library.custom_op("convrnn::linear_scan_backward", mutates_args=())
def _linear_scan_backward(
    a: Tensor, lengths: Tensor | None, state: Tensor, reverse: bool, h: Tensor, dh: Tensor, dfinal: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    loops = scan_kernels.serving(a, dh, lengths, state, 2)
    if loops is None:
        return blockwise_backward(a, lengths, state, reverse, h, dh, dfinal)
    # Of b only the place where its gradient goes matters: a stands in for it.
    da, db, dstate = loops.backward("linear", a, a, lengths, state, reverse, h, dh, dfinal)
    assert db is not None
    return da, db, dstate


@_linear_scan_backward.register_fake
def _linear_scan_backward_fake(
    a: Tensor, lengths: Tensor | None, state: Tensor, reverse: bool, h: Tensor, dh: Tensor, dfinal: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    return a.new_empty(a.shape), a.new_empty(a.shape), state.new_empty(state.shape)


def _keep_for_backward(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    a, _, lengths, state, reverse = inputs
    ctx.save_for_backward(a, lengths, state, output[0])
    ctx.reverse = reverse


def _backward(ctx: Any, dh: Tensor, dfinal: Tensor) -> tuple[Any, ...]:
    a, lengths, state, h = ctx.saved_tensors
    da, db, dstate = _linear_scan_backward(a, lengths, state, ctx.reverse, h, dh, dfinal)
    return da, db, None, dstate, None


def _no_second_derivative(ctx: Any, *gradients: Tensor | None) -> None:
    raise UsageError(
        "convrnn::linear_scan", tr("the fast recurrences have no second derivative"), tr("compute it inside kernels.use('reference')")
    )


_linear_scan.register_autograd(_backward, setup_context=_keep_for_backward)
_linear_scan_backward.register_autograd(_no_second_derivative)
# Gates that round to 1 in half precision never forget.
_linear_scan.register_autocast("cpu", torch.float32)
_linear_scan.register_autocast("cuda", torch.float32)


# ---- what they run


def _run(a: Tensor, b: Tensor, lengths: Tensor | None, state: Tensor, reverse: bool) -> tuple[Tensor, Tensor]:
    """`linear_scan` without a gradient. Fresh tensors."""
    loops = scan_kernels.serving(a, b, lengths, state, 2)
    if loops is None:
        return blockwise(a, b, lengths, state, reverse)
    h, _, final = loops.forward("linear", a, b, lengths, state, reverse, False)
    return h, final


def blockwise(a: Tensor, b: Tensor, lengths: Tensor | None, state: Tensor, reverse: bool) -> tuple[Tensor, Tensor]:
    """`linear_scan` in blocks, without a gradient. Fresh tensors."""
    a, b = _masked(a, b, lengths)
    h, final = _blocks(a.flip(1), b.flip(1), state) if reverse else _blocks(a, b, state)
    return only_valid(h.flip(1) if reverse else h, lengths).contiguous(), final


def blockwise_backward(
    a: Tensor, lengths: Tensor | None, state: Tensor, reverse: bool, h: Tensor, dh: Tensor, dfinal: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """db_t = dh_t + a_{t+1} db_{t+1}, da_t = db_t h_{t-1}, dstate = a_0 db_0: the recurrence of the gradient, from the last frame back."""
    # Where there is no frame the state stands still, its gradient too: so no row needs to know where it begins or ends.
    a, dh = _masked(a, dh, lengths)
    if lengths is not None:
        h = torch.where(_valid(h, lengths), h, state[:, None])
    if reverse:
        a, dh, h = a.flip(1), dh.flip(1), h.flip(1)
    following = torch.cat([a[:, 1:], torch.ones_like(a[:, :1])], 1)
    back, _ = _blocks(following.flip(1), dh.flip(1), dfinal)
    db = back.flip(1)
    da = db * torch.cat([state[:, None], h], 1)[:, :-1]
    dstate = a[:, 0] * db[:, 0] if a.shape[1] else dfinal.clone()
    if reverse:
        da, db = da.flip(1), db.flip(1)
    return only_valid(da, lengths).contiguous(), only_valid(db, lengths).contiguous(), dstate


def _masked(a: Tensor, b: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
    """Beyond the lengths a = 1 and b = 0: the state passes unchanged, whatever the padding holds."""
    if lengths is None:
        return a, b
    valid = _valid(a, lengths)
    return torch.where(valid, a, a.new_ones(())), torch.where(valid, b, b.new_zeros(()))


def only_valid(values: Tensor, lengths: Tensor | None) -> Tensor:
    """Zero beyond the lengths."""
    return values if lengths is None else torch.where(_valid(values, lengths), values, values.new_zeros(()))


def _valid(values: Tensor, lengths: Tensor) -> Tensor:
    """Bool `[B, T, 1]`: True where a frame is valid."""
    return (torch.arange(values.shape[1], device=lengths.device) < lengths[:, None])[..., None]


def _blocks(a: Tensor, b: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """h of every frame and of the last, forward in time, all rows full. Fresh tensors."""
    batch, frames, units = b.shape
    size = frames if frames <= _ONE_BLOCK else isqrt(frames - 1) + 1
    count = -(-frames // size) if size else 1
    a_BNLH, b_BNLH = (_cut(v, count, size, fill) for v, fill in ((a, 1.0), (b, 0.0)))
    start_BNH = _starts(a_BNLH, b_BNLH, state)
    h_BNLH = torch.empty_like(b_BNLH, memory_format=torch.contiguous_format)
    now = start_BNH
    for i in range(size):
        now = torch.addcmul(b_BNLH[:, :, i], a_BNLH[:, :, i], now)
        h_BNLH[:, :, i] = now
    return h_BNLH.reshape(batch, count * size, units)[:, :frames], now[:, -1].clone()


def _cut(values: Tensor, count: int, size: int, fill: float) -> Tensor:
    """`[B, T, H]` as `[B, N, L, H]`, the last block filled up."""
    batch, frames, units = values.shape
    missing = count * size - frames
    return (F.pad(values, (0, 0, 0, missing), value=fill) if missing else values).reshape(batch, count, size, units)


def _starts(a_BNLH: Tensor, b_BNLH: Tensor, state: Tensor) -> Tensor:
    """The state before each block `[B, N, H]`: what a block makes of zero and what it keeps of any state, chained.

    In float64: blocks with equal gates make equal rounding errors, which add up. At T = 10,000 and a = 1 - 1.3e-5 the largest error in
    float32 was 7e-5 of the largest h, in the plain loop 8e-6; so it is 9e-7.
    """
    batch, count, size, units = b_BNLH.shape
    if count == 1:
        return state[:, None]
    made, kept = b_BNLH[:, :, 0].double(), a_BNLH[:, :, 0].double()
    for i in range(1, size):
        a_BNH = a_BNLH[:, :, i].double()
        made, kept = torch.addcmul(b_BNLH[:, :, i].double(), a_BNH, made), kept * a_BNH
    starts = state.new_empty(batch, count, units)
    now = state.double()
    for n in range(count):
        starts[:, n] = now
        now = torch.addcmul(made[:, n], kept[:, n], now)
    return starts
