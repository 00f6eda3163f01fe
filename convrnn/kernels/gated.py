"""Cells that are linear in their state: their equations, and the operators that run gates and recurrence as one. Knows no layer, no weight.

c_t = a_t c_{t-1} + b_t, with gates of the input alone. `CELLS` is the readable definition: what a cell reads of a frame (its operands), a
and b made of it, and h read from c. `trace` runs that, by way of `linear_scan`. `convrnn::gated_scan` and `convrnn::gated_scan_backward`
compute the same in one pass over the operands, on the CPU by csrc/scan_cells.h, on CUDA by scan_triton.py: the definition goes through
memory a dozen times, and memory is what it waits for. For the gradient only the operands and c are kept: to compute gates again costs less
than to fetch them.

Where a gate is near 1, 1 - gate is computed as the sigmoid of the negative: in float32 the difference 1 - 0.999999 has one good digit, and
ten thousand frames add it up.

Shapes: B rows, T frames, H units; n operands of `[B, T, H]`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, sigmoid

from convrnn.core.errors import UsageError
from convrnn.core.language import tr
from convrnn.kernels import dispatch, native, scan_kernels
from convrnn.kernels.reference import in_float32
from convrnn.kernels.scan import blockwise, blockwise_backward, linear_scan, only_valid

Named = dict[str, Tensor]
"""Values of every frame by the symbols of the paper, `[B, T, H]` each."""


class Cell(NamedTuple):
    """The equations of a cell.

    Attributes:
        operands: what it reads of a frame, in order.
        coefficients: a and b, and the gates by their symbols.
        read: h from c and the gates, zero where c and all operands are; None: h is c.
    """

    operands: int
    coefficients: Callable[..., tuple[Tensor, Tensor, Named]]
    read: Callable[[Tensor, Named], Tensor] | None = None


def _linear(x: Tensor) -> Tensor:
    return x


def _positive(x: Tensor) -> Tensor:
    return torch.where(x >= 0, x + 0.5, sigmoid(x))


def _min_gru(z: Tensor, n: Tensor, g: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor, Named]:
    """h_t = (1 - z) h_{t-1} + z n (Feng et al. 2024, arXiv 2410.01201)."""
    named = {"z": sigmoid(z), "n": g(n)}
    return sigmoid(-z), named["z"] * named["n"], named


def _min_lstm(f: Tensor, i: Tensor, n: Tensor, g: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor, Named]:
    """h_t = f' h_{t-1} + i' n, f' = f / (f + i), i' = i / (f + i) (Feng et al. 2024). No quotient: f + i may be 0 in float32."""
    difference = F.logsigmoid(f) - F.logsigmoid(i)
    named = {"f'": sigmoid(difference), "i'": sigmoid(-difference), "n": g(n)}
    return named["f'"], named["i'"] * named["n"], named


def _sru(u: Tensor, f: Tensor, r: Tensor, s: Tensor) -> tuple[Tensor, Tensor, Named]:
    """c_t = f c_{t-1} + (1 - f) u, h_t = r g(c_t) + (1 - r) s (Lei et al. 2017, arXiv 1709.02755v1)."""
    named = {"u": u, "f": sigmoid(f), "r": sigmoid(r), "s": s}
    return named["f"], sigmoid(-f) * u, named


def _highway(c: Tensor, named: Named, g: Callable[[Tensor], Tensor]) -> Tensor:
    return torch.lerp(named["s"], g(c), named["r"])


def _qrnn(z: Tensor, f: Tensor, o: Tensor | None = None, i: Tensor | None = None) -> tuple[Tensor, Tensor, Named]:
    """c_t = f c_{t-1} + (1 - f) z, or + i z; h_t = c_t, or o c_t (Bradbury et al. 2016, arXiv 1611.01576)."""
    named = {"z": torch.tanh(z), "f": sigmoid(f)} | {key: sigmoid(x) for key, x in {"o": o, "i": i}.items() if x is not None}
    return named["f"], (sigmoid(-f) if i is None else named["i"]) * named["z"], named


def _output(c: Tensor, named: Named) -> Tensor:
    return named["o"] * c


CELLS = {
    "min_gru": Cell(2, partial(_min_gru, g=_linear)),
    "min_gru_g": Cell(2, partial(_min_gru, g=_positive)),
    "min_lstm": Cell(3, partial(_min_lstm, g=_linear)),
    "min_lstm_g": Cell(3, partial(_min_lstm, g=_positive)),
    "sru_tanh": Cell(4, _sru, partial(_highway, g=torch.tanh)),
    "sru_relu": Cell(4, _sru, partial(_highway, g=torch.relu)),
    "sru_identity": Cell(4, _sru, partial(_highway, g=_linear)),
    "qrnn_f": Cell(2, _qrnn),
    "qrnn_fo": Cell(3, _qrnn, _output),
    "qrnn_ifo": Cell(4, _qrnn, _output),
}
"""By name. `g`: of the candidate, x + 0.5 for x >= 0, else sigmoid(x); QRNN by its pooling; SRU by the function of c."""


def gated_scan(
    cell: str, gates: Tensor, skip: Tensor | None, lengths: Tensor | None, state: Tensor, reverse: bool = False
) -> tuple[Tensor, Tensor]:
    """Every frame's h `[B, T, H]`, zero beyond `lengths`, and c after each row's last valid frame `[B, H]`.

    Args:
        cell: a name of `CELLS`.
        gates: `[B, T, n H]`, its operands side by side, before any function of a gate.
        skip: `[B, T, H]`, the last operand where it is not in `gates`, else None.
        lengths: int64 `[B]` or None: all rows are full. A row of length 0 keeps its state.
        state: `[B, H]`.
        reverse: from each row's last valid frame to its first.
    """
    if dispatch.chosen() != "fast":
        named, final = trace(cell, gates, skip, lengths, state, reverse)
        return named["h"], final
    if native.unwatched(gates):
        h, _, final = _run(cell, gates, skip, lengths, state, reverse, False)
        return h, final
    save = torch.is_grad_enabled() and any(each is not None and each.requires_grad for each in (gates, skip, state))
    if save and native.plain(gates) and scan_kernels.serving(gates, skip, lengths, state, CELLS[cell].operands) is not None:
        return _Direct.apply(cell, gates, skip, lengths, state, reverse)
    h, _, final = _gated_scan(cell, gates, skip, lengths, state, reverse, save)
    return h, final


@in_float32
def trace(
    cell: str, gates: Tensor, skip: Tensor | None, lengths: Tensor | None, state: Tensor, reverse: bool = False
) -> tuple[Named, Tensor]:
    """As `gated_scan`, by the definition, with every value that it names in place of h alone."""
    gates, skip = only_valid(gates, lengths), None if skip is None else only_valid(skip, lengths)
    a, b, named = _coefficients(cell, gates, skip, state.shape[-1])
    c, final = linear_scan(a, b, lengths, state, reverse)
    read = CELLS[cell].read
    return named | ({"h": c} if read is None else {"c": c, "h": read(c, named)}), final


def _coefficients(cell: str, gates: Tensor, skip: Tensor | None, units: int) -> tuple[Tensor, Tensor, Named]:
    return CELLS[cell].coefficients(*gates.split(units, -1), *(() if skip is None else (skip,)))


# ---- the operators


@torch.library.custom_op("convrnn::gated_scan", mutates_args=())
def _gated_scan(
    cell: str, gates: Tensor, skip: Tensor | None, lengths: Tensor | None, state: Tensor, reverse: bool, save: bool
) -> tuple[Tensor, Tensor, Tensor]:
    keep = save and CELLS[cell].read is not None
    h, memory, final = _run(cell, gates, skip, lengths, state, reverse, keep)
    return h, gates.new_empty(0) if memory is None else memory, final


@_gated_scan.register_fake
def _gated_scan_fake(
    cell: str, gates: Tensor, skip: Tensor | None, lengths: Tensor | None, state: Tensor, reverse: bool, save: bool
) -> tuple[Tensor, Tensor, Tensor]:
    frames = (*gates.shape[:2], state.shape[-1])
    keep = save and CELLS[cell].read is not None
    return gates.new_empty(frames), gates.new_empty(frames if keep else (0,)), state.new_empty(state.shape)


@torch.library.custom_op("convrnn::gated_scan_backward", mutates_args=())
def _gated_scan_backward(
    cell: str,
    gates: Tensor,
    skip: Tensor | None,
    lengths: Tensor | None,
    state: Tensor,
    reverse: bool,
    memory: Tensor,
    dh: Tensor,
    dfinal: Tensor,
) -> list[Tensor]:
    return _back(cell, gates, skip, lengths, state, reverse, memory, dh, dfinal)


@_gated_scan_backward.register_fake
def _gated_scan_backward_fake(
    cell: str,
    gates: Tensor,
    skip: Tensor | None,
    lengths: Tensor | None,
    state: Tensor,
    reverse: bool,
    memory: Tensor,
    dh: Tensor,
    dfinal: Tensor,
) -> list[Tensor]:
    return [each.new_empty(each.shape) for each in (gates, skip, state) if each is not None]


def _run(
    cell: str, gates: Tensor, skip: Tensor | None, lengths: Tensor | None, state: Tensor, reverse: bool, keep: bool
) -> tuple[Tensor, Tensor | None, Tensor]:
    """`gated_scan` without a gradient, and c of every frame with `keep`. Fresh tensors."""
    loops = scan_kernels.serving(gates, skip, lengths, state, CELLS[cell].operands)
    if loops is not None:
        return loops.forward(cell, gates, skip, lengths, state, reverse, keep)
    gates, skip = only_valid(gates, lengths), None if skip is None else only_valid(skip, lengths)
    a, b, named = _coefficients(cell, gates, skip, state.shape[-1])
    c, final = blockwise(a, b, lengths, state, reverse)
    read = CELLS[cell].read
    return c if read is None else read(c, named), c if keep else None, final


def _back(
    cell: str,
    gates: Tensor,
    skip: Tensor | None,
    lengths: Tensor | None,
    state: Tensor,
    reverse: bool,
    memory: Tensor,
    dh: Tensor,
    dfinal: Tensor,
) -> list[Tensor]:
    """The gradients of `gates`, `skip` where there is one, and `state`."""
    loops = scan_kernels.serving(gates, skip, lengths, state, CELLS[cell].operands)
    run = _derived if loops is None else loops.backward
    found = run(cell, gates, skip, lengths, state, reverse, memory, dh, dfinal)
    return [each for each in found if each is not None]


def _derived(
    cell: str,
    gates: Tensor,
    skip: Tensor | None,
    lengths: Tensor | None,
    state: Tensor,
    reverse: bool,
    memory: Tensor,
    dh: Tensor,
    dfinal: Tensor,
) -> tuple[Tensor, Tensor | None, Tensor]:
    """The gradients of `gates`, `skip` and `state`: the recurrence of the gradient between the derivatives of the definition."""
    read = CELLS[cell].read
    # Inside an operator autograd is switched off twice: the mode, and the dispatch key that records.
    with torch._C._SetExcludeDispatchKeyGuard(torch._C.DispatchKey.AutogradFunctionality, False), torch.enable_grad():
        leaves = [only_valid(each, lengths).detach().requires_grad_() for each in (gates, skip) if each is not None]
        c = memory.detach().requires_grad_()
        a, b, named = _coefficients(cell, leaves[0], leaves[1] if len(leaves) > 1 else None, state.shape[-1])
        h = c if read is None else read(c, named)
        dc, *by_read = torch.autograd.grad(h, [c, *leaves], only_valid(dh, lengths), retain_graph=True, materialize_grads=True)
        da, db, dstate = blockwise_backward(a.detach(), lengths, state, reverse, memory, dc, dfinal)
        by_state = torch.autograd.grad((a, b), leaves, (da, db), materialize_grads=True)
    dgates, *dskip = (x + y for x, y in zip(by_read, by_state, strict=True))
    return dgates, dskip[0] if dskip else None, dstate


def _keep_for_backward(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    cell, gates, skip, lengths, state, reverse, _ = inputs
    h, memory, _ = output
    # Else every backward pass would fill zeros for the gradient of `memory`.
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(gates, skip, lengths, state, h if CELLS[cell].read is None else memory)
    ctx.cell, ctx.reverse = cell, reverse


def _backward(
    ctx: Any, dh: Tensor | None, dmemory: Tensor | None, dfinal: Tensor | None, run: Callable[..., list[Tensor]] = _gated_scan_backward
) -> tuple[Any, ...]:
    gates, skip, lengths, state, memory = ctx.saved_tensors
    dh = torch.zeros_like(memory) if dh is None else dh
    dfinal = torch.zeros_like(state) if dfinal is None else dfinal
    dgates, *dskip, dstate = run(ctx.cell, gates, skip, lengths, state, ctx.reverse, memory, dh, dfinal)
    return None, dgates, dskip[0] if dskip else None, None, dstate, None, None


class _Direct(torch.autograd.Function):
    """`gated_scan` without its operator, whose dispatch takes as long as a short scan: for where nobody sees operators."""

    @staticmethod
    def forward(
        ctx: Any, cell: str, gates: Tensor, skip: Tensor | None, lengths: Tensor | None, state: Tensor, reverse: bool
    ) -> tuple[Tensor, Tensor]:
        h, memory, final = _run(cell, gates, skip, lengths, state, reverse, CELLS[cell].read is not None)
        _keep_for_backward(ctx, (cell, gates, skip, lengths, state, reverse, True), (h, h if memory is None else memory, final))
        return h, final

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Any, ...]:
        dh, dfinal = gradients
        # Who derives once more is refused by the operator.
        return _backward(ctx, dh, None, dfinal, _gated_scan_backward if torch.is_grad_enabled() else _back)[:-1]


def _no_second_derivative(ctx: Any, *gradients: Tensor | None) -> None:
    raise UsageError(
        "convrnn::gated_scan", tr("the fast recurrences have no second derivative"), tr("compute it inside kernels.use('reference')")
    )


_gated_scan.register_autograd(_backward, setup_context=_keep_for_backward)
_gated_scan_backward.register_autograd(_no_second_derivative)
# Gates that round to 1 in half precision never forget.
_gated_scan.register_autocast("cpu", torch.float32)
_gated_scan.register_autocast("cuda", torch.float32)
