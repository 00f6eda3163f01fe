"""The linear recurrences in Triton, for CUDA tensors: csrc/scan.cpp and scan_cells.h once more. Knows no layer, no operator.

A program has one row and a block of its channels, and goes along time with the state in registers: a plain loop, in the order of the
recurrence, that reads and writes each number once. So a row's result does not depend on the batch, and the row cut into chunks differs by
no more than the rounding of the states handed on.
As in C++ gates are float32 (float64 for float64 tensors), what goes on from frame to frame is float64, 1 - sigmoid(x) is sigmoid(-x), and
for the gradient the gates are computed again.

Importing this file imports `triton`, which comes with torch for CUDA; `scan_kernels.py` does so when the first CUDA tensor arrives. Triton:
Tillet, Kung & Cox 2019, "Triton: an intermediate language and compiler for tiled neural network computations".

Only what the language is built of is used, no function of its library: those that an interpreter ran (TRITON_INTERPRET=1) would have to be
imported in that mode, before torch does it.

Shapes: B rows, T frames, H units; `gates` `[B, T, n H]`, `apart` `[B, T, H]`, `state` `[B, H]`, `lengths` `[B]`; x0 to x3: of a frame.
"""

# pyright: reportInvalidTypeForm=false
# Triton reads its annotations itself, and where it is not installed nobody knows that they are types.

from __future__ import annotations

from importlib import import_module
from typing import Any, NamedTuple

import torch
from torch import Tensor

triton: Any = import_module("triton")
tl: Any = import_module("triton.language")

_BLOCK = 32
"""Channels of a program, a warp of them: rows times channels are few, and more programs hide more of the memory's latency."""

_OPTIONS = {"num_warps": 1, "enable_fp_fusion": True}
"""What kernels are compiled with. Fused, a product and a sum round once; said here, as Triton's default is about to change."""


class _Cell(NamedTuple):
    """What a kernel is compiled for: the equations, the function in them, how many operands."""

    family: str
    function: str
    operands: int


_CELLS = {
    "linear": _Cell("linear", "identity", 2),
    "min_gru": _Cell("min_gru", "identity", 2),
    "min_gru_g": _Cell("min_gru", "positive", 2),
    "min_lstm": _Cell("min_lstm", "identity", 3),
    "min_lstm_g": _Cell("min_lstm", "positive", 3),
    "sru_tanh": _Cell("sru", "tanh", 4),
    "sru_relu": _Cell("sru", "relu", 4),
    "sru_identity": _Cell("sru", "identity", 4),
    "qrnn_f": _Cell("qrnn", "tanh", 2),
    "qrnn_fo": _Cell("qrnn", "tanh", 3),
    "qrnn_ifo": _Cell("qrnn", "tanh", 4),
}
"""By the names of `gated.CELLS`, and the recurrence itself."""


# ---- functions of a value


@triton.jit
def _gate(x):
    """sigmoid(x) and sigmoid(-x), of one exponential that cannot overflow."""
    e = tl.exp(-tl.abs(x))
    large = 1.0 / (1.0 + e)
    small = e * large
    return tl.where(x >= 0, large, small), tl.where(x >= 0, small, large)


@triton.jit
def _tanh(x):
    e = tl.exp(-2.0 * tl.abs(x))
    y = (1.0 - e) / (1.0 + e)
    return tl.where(x < 0, -y, y)


@triton.jit
def _value(x, FUNCTION: tl.constexpr):
    """Written so that NaN stays NaN."""
    if FUNCTION == "tanh":
        y = _tanh(x)
    elif FUNCTION == "relu":
        y = tl.where(x < 0, 0.0, x)
    elif FUNCTION == "positive":
        below, _ = _gate(x)
        y = tl.where(x >= 0, x + 0.5, below)
    else:
        y = x
    return y


@triton.jit
def _slope(x, y, FUNCTION: tl.constexpr):
    """The derivative where the value is x and the function y."""
    if FUNCTION == "tanh":
        d = 1.0 - y * y
    elif FUNCTION == "relu":
        d = tl.where(x > 0, 1.0, 0.0).to(x.dtype)
    elif FUNCTION == "positive":
        d = tl.where(x >= 0, 1.0, y * (1.0 - y))
    else:
        d = tl.full(x.shape, 1.0, x.dtype)
    return d


@triton.jit
def _shares(f, i):
    """F / (F + I) and I / (F + I) of F = sigmoid(f), I = sigmoid(i), and the two exponentials; see `MinLSTM` in csrc/scan_cells.h."""
    least = tl.where(f < i, f, i)
    over = -least - 60.0
    lowered = tl.where(over > 0, over, 0.0)
    e_f, e_i = tl.exp(-f - lowered), tl.exp(-i - lowered)
    part = 1.0 / ((1.0 + e_f) + (1.0 + e_i))
    return (1.0 + e_i) * part, (1.0 + e_f) * part, e_f, e_i


# ---- cells: c_t = a c_{t-1} + b, h of c_t


@triton.jit
def _coefficients(x0, x1, x2, x3, FAMILY: tl.constexpr, FUNCTION: tl.constexpr, OPERANDS: tl.constexpr):
    """a and b."""
    if FAMILY == "linear":
        a, b = x0, x1
    elif FAMILY == "min_gru":
        enter, a = _gate(x0)
        b = enter * _value(x1, FUNCTION)
    elif FAMILY == "min_lstm":
        a, enter, _, _ = _shares(x0, x1)
        b = enter * _value(x2, FUNCTION)
    elif FAMILY == "sru":
        a, enter = _gate(x1)
        b = enter * x0
    else:
        a, enter = _gate(x1)
        if OPERANDS == 4:
            enter, _ = _gate(x3)
        b = enter * _value(x0, FUNCTION)
    return a, b


@triton.jit
def _read(c, x2, x3, FAMILY: tl.constexpr, FUNCTION: tl.constexpr, OPERANDS: tl.constexpr):
    """h."""
    h = c
    if FAMILY == "sru":
        r, rest = _gate(x2)
        h = r * _value(c, FUNCTION) + rest * x3
    if FAMILY == "qrnn" and OPERANDS > 2:
        o, _ = _gate(x2)
        h = o * c
    return h


@triton.jit
def _read_back(dh, c, x2, x3, FAMILY: tl.constexpr, FUNCTION: tl.constexpr, OPERANDS: tl.constexpr):
    """The gradients of c, x2 and x3 by way of h."""
    dc, dx2, dx3 = dh, dh, dh
    if FAMILY == "sru":
        r, rest = _gate(x2)
        g = _value(c, FUNCTION)
        dc = dh * r * _slope(c, g, FUNCTION)
        dx2 = dh * (g - x3) * (r * rest)
        dx3 = dh * rest
    if FAMILY == "qrnn" and OPERANDS > 2:
        o, shut = _gate(x2)
        dc = dh * o
        dx2 = dh * c * (o * shut)
    return dc, dx2, dx3


@triton.jit
def _coefficients_back(dc, before, x0, x1, x2, x3, FAMILY: tl.constexpr, FUNCTION: tl.constexpr, OPERANDS: tl.constexpr):
    """a, and the gradients of the operands by way of a and b: da = dc c_{t-1}, db = dc. What is not of this cell is dc."""
    dx0, dx1, dx2, dx3 = dc, dc, dc, dc
    if FAMILY == "linear":
        a = x0
        dx0 = dc * before
    elif FAMILY == "min_gru":
        z, a = _gate(x0)
        n = _value(x1, FUNCTION)
        dx0 = dc * (n - before) * (z * a)
        dx1 = dc * z * _slope(x1, n, FUNCTION)
    elif FAMILY == "min_lstm":
        a, enter, e_f, e_i = _shares(x0, x1)
        n = _value(x2, FUNCTION)
        # Of log F - log I, whose sigmoid a is; the derivative of log F is 1 - F.
        difference = dc * (before - n) * a * enter
        dx0 = difference * e_f / (1.0 + e_f)
        dx1 = -difference * e_i / (1.0 + e_i)
        dx2 = dc * enter * _slope(x2, n, FUNCTION)
    elif FAMILY == "sru":
        a, enter = _gate(x1)
        dx0 = dc * enter
        dx1 = dc * (before - x0) * (a * enter)
    else:
        a, enter = _gate(x1)
        z = _value(x0, FUNCTION)
        kept = before - z
        slope = a * enter
        if OPERANDS == 4:
            enter, shut = _gate(x3)
            kept = before
            dx3 = dc * z * (enter * shut)
        dx0 = dc * enter * (1.0 - z * z)
        dx1 = dc * kept * slope
    return a, dx0, dx1, dx2, dx3


# ---- kernels


@triton.jit
def _operand(gates, apart, frame, channel, inside, units, K: tl.constexpr, OPERANDS: tl.constexpr, APART: tl.constexpr, REAL: tl.constexpr):
    """Operand K of a frame; of one that the cell does not have the first, which nobody reads."""
    if APART and K == OPERANDS - 1:
        at = apart + frame * units + channel
    else:
        at = gates + (frame * (OPERANDS - APART) + (K if K < OPERANDS else 0)) * units + channel
    return tl.load(at, mask=inside, other=0.0).to(REAL)


@triton.jit
def _put(dgates, dapart, value, frame, channel, inside, units, K: tl.constexpr, OPERANDS: tl.constexpr, APART: tl.constexpr):
    """Writes the gradient of operand K of a frame, if the cell has it."""
    if K < OPERANDS:
        if APART and K == OPERANDS - 1:
            tl.store(dapart + frame * units + channel, value, mask=inside)
        else:
            tl.store(dgates + (frame * (OPERANDS - APART) + K) * units + channel, value, mask=inside)


@triton.jit
def _valid(lengths, row, frames, RAGGED: tl.constexpr):
    """Frames of a row. No length lies outside 0 to T; one that does reads no other row."""
    valid = frames
    if RAGGED:
        length = tl.load(lengths + row).to(tl.int64)
        valid = tl.where(length < frames, tl.where(length > 0, length, 0), frames).to(tl.int32)
    return valid


@triton.jit(do_not_specialize=["frames", "units"])
def _forward(
    gates, apart, lengths, state, h, memory, final, frames, units,
    FAMILY: tl.constexpr, FUNCTION: tl.constexpr, OPERANDS: tl.constexpr, APART: tl.constexpr, RAGGED: tl.constexpr,
    KEEP: tl.constexpr, REVERSE: tl.constexpr, REAL: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    channel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = channel < units
    valid = _valid(lengths, row, frames, RAGGED)
    carry = tl.load(state + row * units + channel, mask=inside, other=0.0).to(tl.float64)
    for step in tl.range(0, valid, num_stages=4):  # four frames on their way: none of them waits for the state
        frame = row * frames + (valid - 1 - step if REVERSE else step)
        x0 = _operand(gates, apart, frame, channel, inside, units, 0, OPERANDS, APART, REAL)
        x1 = _operand(gates, apart, frame, channel, inside, units, 1, OPERANDS, APART, REAL)
        x2 = _operand(gates, apart, frame, channel, inside, units, 2, OPERANDS, APART, REAL)
        x3 = _operand(gates, apart, frame, channel, inside, units, 3, OPERANDS, APART, REAL)
        a, b = _coefficients(x0, x1, x2, x3, FAMILY, FUNCTION, OPERANDS)
        carry = a.to(tl.float64) * carry + b.to(tl.float64)
        c = carry.to(REAL)
        tl.store(h + frame * units + channel, _read(c, x2, x3, FAMILY, FUNCTION, OPERANDS), mask=inside)
        if KEEP:
            tl.store(memory + frame * units + channel, c, mask=inside)
    tl.store(final + row * units + channel, carry.to(REAL), mask=inside)
    none = tl.full([BLOCK], 0.0, REAL)
    for t in range(valid, frames):
        beyond = (row * frames + t) * units + channel
        tl.store(h + beyond, none, mask=inside)
        if KEEP:
            tl.store(memory + beyond, none, mask=inside)


@triton.jit(do_not_specialize=["frames", "units"])
def _backward(
    gates, apart, lengths, state, memory, dh, dfinal, dgates, dapart, dstate, frames, units,
    FAMILY: tl.constexpr, FUNCTION: tl.constexpr, OPERANDS: tl.constexpr, APART: tl.constexpr, RAGGED: tl.constexpr,
    REVERSE: tl.constexpr, REAL: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    channel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = channel < units
    valid = _valid(lengths, row, frames, RAGGED)
    carry = tl.load(dfinal + row * units + channel, mask=inside, other=0.0).to(tl.float64)
    start = tl.load(state + row * units + channel, mask=inside, other=0.0).to(REAL)
    # The last frame of the recurrence; a row of none has no channel to read there.
    last = row * frames + (0 if REVERSE else valid - 1)
    c = tl.load(memory + last * units + channel, mask=channel < tl.where(valid > 0, units, 0), other=0.0).to(REAL)
    for back in tl.range(0, valid, num_stages=4):
        frame = row * frames + (back if REVERSE else valid - 1 - back)
        earlier = frame + (1 if REVERSE else -1)
        begun = back < valid - 1
        before = tl.load(memory + earlier * units + channel, mask=channel < tl.where(begun, units, 0), other=0.0).to(REAL)
        before = tl.where(begun, before, start)
        x0 = _operand(gates, apart, frame, channel, inside, units, 0, OPERANDS, APART, REAL)
        x1 = _operand(gates, apart, frame, channel, inside, units, 1, OPERANDS, APART, REAL)
        x2 = _operand(gates, apart, frame, channel, inside, units, 2, OPERANDS, APART, REAL)
        x3 = _operand(gates, apart, frame, channel, inside, units, 3, OPERANDS, APART, REAL)
        given = tl.load(dh + frame * units + channel, mask=inside, other=0.0).to(REAL)
        dc, by_read_2, by_read_3 = _read_back(given, c, x2, x3, FAMILY, FUNCTION, OPERANDS)
        carry = carry + dc.to(tl.float64)
        a, dx0, dx1, dx2, dx3 = _coefficients_back(carry.to(REAL), before, x0, x1, x2, x3, FAMILY, FUNCTION, OPERANDS)
        carry = a.to(tl.float64) * carry
        if FAMILY == "sru" or FAMILY == "qrnn":
            dx2 = by_read_2
        if FAMILY == "sru":
            dx3 = by_read_3
        _put(dgates, dapart, dx0, frame, channel, inside, units, 0, OPERANDS, APART)
        _put(dgates, dapart, dx1, frame, channel, inside, units, 1, OPERANDS, APART)
        _put(dgates, dapart, dx2, frame, channel, inside, units, 2, OPERANDS, APART)
        _put(dgates, dapart, dx3, frame, channel, inside, units, 3, OPERANDS, APART)
        c = before
    tl.store(dstate + row * units + channel, carry.to(REAL), mask=inside)
    none = tl.full([BLOCK], 0.0, REAL)
    for t in range(valid, frames):
        frame = row * frames + t
        _put(dgates, dapart, none, frame, channel, inside, units, 0, OPERANDS, APART)
        _put(dgates, dapart, none, frame, channel, inside, units, 1, OPERANDS, APART)
        _put(dgates, dapart, none, frame, channel, inside, units, 2, OPERANDS, APART)
        _put(dgates, dapart, none, frame, channel, inside, units, 3, OPERANDS, APART)


# ---- the calls, as in scan_compiled.py


def forward(
    cell: str, gates: Tensor, apart: Tensor | None, lengths: Tensor | None, state: Tensor, reverse: bool, keep: bool
) -> tuple[Tensor, Tensor | None, Tensor]:
    """h of every frame `[B, T, H]`; c of every frame with `keep`, for cells where c is not h; the last c `[B, H]`. Fresh tensors."""
    batch, frames = gates.shape[:2]
    units = state.shape[1]
    gates, apart, lengths, state = gates.contiguous(), _dense(apart), _dense(lengths), state.contiguous()
    h, final = gates.new_empty(batch, frames, units), torch.empty_like(state)
    memory = torch.empty_like(h) if keep else None
    if not final.numel():
        return h, memory, final
    # Triton launches on the current device. A tensor that is not there is not read, but needs an address.
    with torch.cuda.device_of(gates):
        _forward[_grid(batch, units)](
            gates, _some(apart, gates), _some(lengths, gates), state, h, _some(memory, h), final, frames, units,
            *_CELLS[cell], apart is not None, lengths is not None, keep, reverse, _real(gates), _BLOCK, **_OPTIONS,
        )  # fmt: skip
    return h, memory, final


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
    batch, frames = gates.shape[:2]
    units = state.shape[1]
    gates, apart, lengths, state = gates.contiguous(), _dense(apart), _dense(lengths), state.contiguous()
    memory, dh, dfinal = memory.contiguous(), dh.contiguous(), dfinal.contiguous()
    dgates, dapart, dstate = torch.empty_like(gates), None if apart is None else torch.empty_like(apart), torch.empty_like(state)
    if not dstate.numel():
        return dgates, dapart, dstate
    with torch.cuda.device_of(gates):
        _backward[_grid(batch, units)](
            gates, _some(apart, gates), _some(lengths, gates), state, memory, dh, dfinal,
            dgates, _some(dapart, dgates), dstate, frames, units,
            *_CELLS[cell], apart is not None, lengths is not None, reverse, _real(gates), _BLOCK, **_OPTIONS,
        )  # fmt: skip
    return dgates, dapart, dstate


def _grid(batch: int, units: int) -> tuple[int, int]:
    return batch, -(-units // _BLOCK)


def _real(values: Tensor) -> Any:
    """What is computed in, but for what goes on from frame to frame."""
    return tl.float64 if values.dtype == torch.float64 else tl.float32


def _dense(values: Tensor | None) -> Tensor | None:
    return None if values is None else values.contiguous()


def _some(values: Tensor | None, other: Tensor) -> Tensor:
    return other if values is None else values
