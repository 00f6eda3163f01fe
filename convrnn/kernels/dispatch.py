"""The recurrences as registered operators: `convrnn::recur` and `convrnn::recur_backward`. Knows no layer.

Flat fresh tensors in and out, never aliased, so that export, `torch.compile` and ONNX see one node whatever runs behind it. Forward and
backward are two operators joined by `register_autograd`; a second derivative raises and names `use("reference")`, the differentiable loop.
Under autocast the operators run in float32: gates saturate in half precision.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal

import torch
from torch import Tensor

from convrnn.core.errors import UsageError
from convrnn.kernels import loops, reference

Backend = Literal["fast", "reference"]
_backend: ContextVar[Backend] = ContextVar("convrnn_backend", default="fast")


@contextmanager
def use(backend: Backend) -> Iterator[None]:
    """Inside, recurrences run on this backend: `fast`, or `reference`, the readable loop that can be differentiated any number of times.

    What `torch.compile` has traced is not asked again: there the operator is one node whatever was chosen.
    """
    if backend not in ("fast", "reference"):
        raise UsageError("kernels.use", f"expected 'fast' or 'reference', got {backend!r}")
    token = _backend.set(backend)
    try:
        yield
    finally:
        _backend.reset(token)


def recur(
    cell: str,
    x: Tensor,
    lengths: Tensor | None,
    w_x: Tensor | None,
    w_h: Tensor,
    b: Tensor | None,
    b_h: Tensor | None,
    state: Tensor,
    reverse: bool = False,
) -> tuple[Tensor, Tensor]:
    """A recurrence over whole rows, see `reference.recur` for the arguments.

    Returns:
        h of every frame `[B, T, H]`, zero beyond `lengths`, and the state after each row's last frame `[S, B, H]`.
    """
    # Dynamo cannot read a context variable, and would break the graph here.
    if not torch.compiler.is_dynamo_compiling() and _backend.get() == "reference":
        return reference.recur(cell, x, lengths, w_x, w_h, b, b_h, state, reverse)
    inputs = (x, w_x, w_h, b, b_h, state)
    save = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in inputs)
    y, final, _ = _recur(cell, x, lengths, w_x, w_h, b, b_h, state, reverse, save)
    return y, final


@torch.library.custom_op("convrnn::recur", mutates_args=())
def _recur(
    cell: str,
    x: Tensor,
    lengths: Tensor | None,
    w_x: Tensor | None,
    w_h: Tensor,
    b: Tensor | None,
    b_h: Tensor | None,
    state: Tensor,
    reverse: bool,
    save: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    return loops.forward(cell, x, lengths, w_x, w_h, b, b_h, state, reverse, save)


@_recur.register_fake
def _recur_fake(
    cell: str,
    x: Tensor,
    lengths: Tensor | None,
    w_x: Tensor | None,
    w_h: Tensor,
    b: Tensor | None,
    b_h: Tensor | None,
    state: Tensor,
    reverse: bool,
    save: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    batch, frames, units = x.shape[0], x.shape[1], w_h.shape[1]
    saved = x.new_empty(frames if save else 0, batch, loops.LOOPS[cell].saved * units)
    return x.new_empty(batch, frames, units), torch.empty_like(state, memory_format=torch.contiguous_format), saved


@torch.library.custom_op("convrnn::recur_backward", mutates_args=())
def _recur_backward(
    cell: str,
    x: Tensor,
    lengths: Tensor | None,
    w_x: Tensor | None,
    w_h: Tensor,
    has_b: bool,
    has_b_h: bool,
    state: Tensor,
    reverse: bool,
    y: Tensor,
    saved: Tensor,
    dy: Tensor,
    dfinal: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    dx, dw_x, dw_h, db, db_h, dstate = loops.backward(cell, x, lengths, w_x, w_h, has_b, has_b_h, state, reverse, y, saved, dy, dfinal)
    return dx, dw_x, dw_h, db, db_h, dstate


@_recur_backward.register_fake
def _recur_backward_fake(
    cell: str,
    x: Tensor,
    lengths: Tensor | None,
    w_x: Tensor | None,
    w_h: Tensor,
    has_b: bool,
    has_b_h: bool,
    state: Tensor,
    reverse: bool,
    y: Tensor,
    saved: Tensor,
    dy: Tensor,
    dfinal: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    gates, units = w_h.shape
    return (
        x.new_empty(x.shape),
        x.new_empty(w_x.shape) if w_x is not None else x.new_empty(0),
        w_h.new_empty(w_h.shape),
        x.new_empty(gates if has_b else 0),
        x.new_empty(units if has_b_h else 0),
        state.new_empty(state.shape),
    )


def _keep_for_backward(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    cell, x, lengths, w_x, w_h, b, b_h, state, reverse, _ = inputs
    # Else every backward pass would fill zeros for the gradient of `saved`, the largest of the outputs.
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(x, lengths, w_x, w_h, state, output[0], output[2])
    ctx.cell, ctx.reverse, ctx.has_b, ctx.has_b_h = cell, reverse, b is not None, b_h is not None


def _backward(ctx: Any, dy: Tensor | None, dfinal: Tensor | None, dsaved: Tensor | None) -> tuple[Any, ...]:
    x, lengths, w_x, w_h, state, y, saved = ctx.saved_tensors
    dy = torch.zeros_like(y) if dy is None else dy
    dfinal = torch.zeros_like(state) if dfinal is None else dfinal
    dx, dw_x, dw_h, db, db_h, dstate = _recur_backward(
        ctx.cell, x, lengths, w_x, w_h, ctx.has_b, ctx.has_b_h, state, ctx.reverse, y, saved, dy, dfinal
    )
    absent = (None if w_x is None else dw_x, dw_h, db if ctx.has_b else None, db_h if ctx.has_b_h else None)
    return None, dx, None, *absent, dstate, None, None


def _no_second_derivative(ctx: Any, *gradients: Tensor | None) -> None:
    raise UsageError("convrnn::recur", "the fast recurrences have no second derivative", "compute it inside kernels.use('reference')")


_recur.register_autograd(_backward, setup_context=_keep_for_backward)
_recur_backward.register_autograd(_no_second_derivative)
_recur.register_autocast("cpu", torch.float32)
_recur.register_autocast("cuda", torch.float32)
