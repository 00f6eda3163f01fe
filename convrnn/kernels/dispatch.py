"""The recurrences as registered operators: `convrnn::recur` and `convrnn::recur_backward`. Knows no layer.

Flat fresh tensors in and out, never aliased, so that export, `torch.compile` and ONNX see one node whatever runs behind it: the compiled
recurrences where they serve, cuDNN for CUDA tensors, else the hand-written loops, else the reference; the second and the last are run once
more to derive them, and all of them where only some states are kept (`pieces.py`). Forward and backward are two operators joined by
`register_autograd`; where nobody sees operators, `direct.py` goes past them, and cuDNN is recorded by autograd itself. A second derivative
raises, the operators name `use("reference")`, the differentiable loop. Under autocast all run in float32: gates saturate in half precision.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal

import torch
from torch import Tensor, nn

from convrnn.core.errors import UsageError
from convrnn.core.language import tr
from convrnn.kernels import compiled, cudnn, direct, loops, native, pieces, reference, scanned, session, work
from convrnn.kernels.reference import Recurrence

Backend = Literal["fast", "reference", "onnx"]
_BACKENDS = ("fast", "reference", "onnx")
_backend: ContextVar[Backend] = ContextVar("convrnn_backend", default="fast")

ONNX_CELLS = ("rnn_tanh", "rnn_relu", "lstm", "lstm_coupled", "gru", "gru_before")
"""Cells that ONNX has an operator for."""


@contextmanager
def use(backend: Backend) -> Iterator[None]:
    """Inside, recurrences run on this backend.

    What `torch.compile` has traced is not asked again: there the operator is one node whatever was chosen.

    Args:
        backend: `fast`; `reference`, the readable loop that can be differentiated any number of times; or `onnx`, for graphs: what ONNX
            has no operator for becomes a scan.
    """
    if backend not in _BACKENDS:
        raise UsageError("kernels.use", tr("expected 'fast', 'reference' or 'onnx', got {got!r}", got=backend))
    token = _backend.set(backend)
    try:
        yield
    finally:
        _backend.reset(token)


def chosen() -> Backend:
    """The backend in use; `fast` in traced code, where dynamo cannot read a context variable and would break the graph."""
    return "fast" if torch.compiler.is_dynamo_compiling() else _backend.get()


def recur(r: Recurrence, every: int | None = None, clean: bool = True) -> tuple[Tensor, Tensor]:
    """A recurrence over whole rows.

    Args:
        r: the recurrence.
        clean: whether x is zero beyond `lengths`; else it is made so, unless what runs does not read it there.
        every: frames between the states that are kept for backward, see `pieces.py`; None: everything is kept.

    Returns:
        h of every frame `[B, T, *space, P]`, zero beyond `lengths`, and the state after each row's last frame `[B, *space, K]`.
    """
    # In this order: dynamo cannot read a context variable.
    if native.unwatched(r.x) and (live := session.current()) is not None and chosen() == "fast" and (done := live.recur(r)) is not None:
        return done
    save = _recorded(r)
    if not save or every is None or every >= r.x.shape[1] or chosen() != "fast":
        every = None
        found = _directly((r,), save)
        if found is not None:
            y, final = found
            return y, final
    if not (clean or r.lengths is None or _called_directly(r)):
        r = r._replace(x=_masked(r.x, r.lengths))
    match chosen():
        case "reference":
            return reference.recur(r)
        case "onnx" if not has_onnx_operator(r):
            return scanned.recur(r)
    y, final, _ = _recur(*r, save) if every is None else _recur(*r, save, every)
    return y, final


def recur_stack(
    owner: nn.Module, parts: Iterable[nn.Module], x: Tensor, states: session.States, make: session.Make
) -> session.Answer | None:
    """The recurrences of a live session one upon the other, in one call; None where no session is, or see `session.Session.stack`."""
    if not native.unwatched(x) or (live := session.current()) is None or chosen() != "fast":
        return None
    return live.stack(owner, parts, x, states, make)


def recur_both(forth: Recurrence, back: Recurrence, every: int | None = None, clean: bool = True) -> tuple[Tensor, Tensor, Tensor]:
    """Two recurrences of the same cell over the same rows, the directions of a layer, at the same time where a kernel can; see `recur`.

    Returns:
        h of both side by side `[B, T, *space, 2 P]`, and the state of each after each row's last frame.
    """
    save = _recorded(forth) or _recorded(back)
    whole = not save or every is None or every >= forth.x.shape[1]
    found = _directly((forth, back), save) if whole else None
    if found is not None:
        y, final, final_back = found
        return y, final, final_back
    (y, final), (y_back, final_back) = recur(forth, every, clean), recur(back, every, clean)
    return torch.cat([y, y_back], -1), final, final_back


def _masked(x: Tensor, lengths: Tensor) -> Tensor:
    """Zero beyond the lengths; chosen, not multiplied, so that NaN there stays out."""
    valid = torch.arange(x.shape[1], device=x.device) < lengths[:, None]
    return torch.where(valid.reshape(*valid.shape, *(1,) * (x.dim() - 2)), x, x.new_zeros(()))


def _directly(rs: tuple[Recurrence, ...], save: bool) -> tuple[Tensor, ...] | None:
    """h, side by side, and the state of each from what is called without an operator; None: that serves not."""
    if chosen() != "fast":
        return None
    if all(map(_called_directly, rs)):
        return direct.recur(rs, save)
    if native.unseen(rs[0].x) and cudnn.serves(rs):
        return cudnn.recur(rs)
    return None


def _called_directly(r: Recurrence) -> bool:
    """Whether the compiled recurrences serve, which read nothing beyond the lengths, and nobody sees operators."""
    return native.plain(r.x) and compiled.serves(r)


def _recorded(r: Recurrence) -> bool:
    """Whether a gradient may be asked for."""
    return torch.is_grad_enabled() and any(isinstance(t, Tensor) and t.requires_grad for t in r)


def has_onnx_operator(r: Recurrence) -> bool:
    """Whether it is one RNN, LSTM or GRU node of ONNX."""
    plain = r.proj is None and r.drop is None and r.zone is None
    return r.cell in ONNX_CELLS and r.w_x is not None and r.w_h.dim() == 2 and plain


@torch.library.custom_op("convrnn::recur", mutates_args=())
def _recur(
    cell: str,
    x: Tensor,
    lengths: Tensor | None,
    w_x: Tensor | None,
    w_h: Tensor,
    b: Tensor | None,
    state: Tensor,
    b_h: Tensor | None,
    peep: Tensor | None,
    proj: Tensor | None,
    drop: Tensor | None,
    zone: Tensor | None,
    reverse: bool,
    save: bool,
    every: int | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    r = Recurrence(cell, x, lengths, w_x, w_h, b, state, b_h, peep, proj, drop, zone, reverse)
    if save and every is not None:
        return pieces.forward(r, every, lambda piece: _forward(piece, False)[:2])
    return _forward(r, save)


@_recur.register_fake
def _recur_fake(
    cell: str,
    x: Tensor,
    lengths: Tensor | None,
    w_x: Tensor | None,
    w_h: Tensor,
    b: Tensor | None,
    state: Tensor,
    b_h: Tensor | None,
    peep: Tensor | None,
    proj: Tensor | None,
    drop: Tensor | None,
    zone: Tensor | None,
    reverse: bool,
    save: bool,
    every: int | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    r = Recurrence(cell, x, lengths, w_x, w_h, b, state, b_h, peep, proj, drop, zone, reverse)
    batch, frames = x.shape[0], x.shape[1]
    kept: tuple[int, ...] = (0,)
    if save and every is not None:
        kept = (pieces.count(frames, every), *state.shape)
    elif compiled.serves(r):
        kept = compiled.saved_shape(r) if save else (0,)
    elif _looped(r):
        kept = loops.saved_shape(r) if save else (0,)
    y = x.new_empty(batch, frames, *state.shape[1:-1], r.width)
    return y, torch.empty_like(state, memory_format=torch.contiguous_format), x.new_empty(kept)


@torch.library.custom_op("convrnn::recur_backward", mutates_args=())
def _recur_backward(
    cell: str,
    x: Tensor,
    lengths: Tensor | None,
    w_x: Tensor | None,
    w_h: Tensor,
    b: Tensor | None,
    state: Tensor,
    b_h: Tensor | None,
    peep: Tensor | None,
    proj: Tensor | None,
    drop: Tensor | None,
    zone: Tensor | None,
    reverse: bool,
    y: Tensor | None,
    saved: Tensor,
    dy: Tensor,
    dfinal: Tensor,
    wanted: Sequence[bool],
    every: int | None = None,
) -> list[Tensor]:
    r = Recurrence(cell, x, lengths, w_x, w_h, b, state, b_h, peep, proj, drop, zone, reverse)
    names = _named(wanted)
    if every is not None:
        found = pieces.backward(r, every, saved, dy, dfinal, names, _gradients)
    else:
        found = _gradients(r, dy, dfinal, names, y, saved)
    return [found[name] for name in names]


@_recur_backward.register_fake
def _recur_backward_fake(
    cell: str,
    x: Tensor,
    lengths: Tensor | None,
    w_x: Tensor | None,
    w_h: Tensor,
    b: Tensor | None,
    state: Tensor,
    b_h: Tensor | None,
    peep: Tensor | None,
    proj: Tensor | None,
    drop: Tensor | None,
    zone: Tensor | None,
    reverse: bool,
    y: Tensor | None,
    saved: Tensor,
    dy: Tensor,
    dfinal: Tensor,
    wanted: Sequence[bool],
    every: int | None = None,
) -> list[Tensor]:
    r = Recurrence(cell, x, lengths, w_x, w_h, b, state, b_h, peep, proj, drop, zone, reverse)
    return [getattr(r, name).new_empty(getattr(r, name).shape) for name in _named(wanted)]


def _forward(r: Recurrence, save: bool) -> tuple[Tensor, Tensor, Tensor]:
    """As `reference.recur`, fresh and dense, and what backward needs besides y (empty unless `save`, and where a second run derives it)."""
    if compiled.serves(r):
        done = compiled.forward((r,), save)
        return done.y, done.finals[0], done.saved[0] if save else r.x.new_empty(0)
    if _looped(r):
        return loops.forward(r, save)
    y, final = _run(r)
    return y.contiguous(), final.clone(memory_format=torch.contiguous_format), r.x.new_empty(0)


def _gradients(
    r: Recurrence, dy: Tensor, dfinal: Tensor, names: list[str], y: Tensor | None = None, saved: Tensor | None = None
) -> dict[str, Tensor]:
    """Of the inputs named, and perhaps of others; `y` and `saved` as `_forward` left them, None: it is run again."""
    # By the masks nothing in the package asks for a gradient.
    if not set(names) <= set(compiled.GRADIENTS) or not (compiled.serves(r) or _looped(r)):
        return _derived(r, dy, dfinal)
    if y is None or saved is None:
        y, _, saved = _forward(r, True)
    if compiled.serves(r):
        (found,) = compiled.backward((r,), y, (saved,), dy, (dfinal,), (names,))
        return found
    return loops.backward(r, y, saved, dy, dfinal, names)


def _looped(r: Recurrence) -> bool:
    """Whether the hand-written loops run what the compiled recurrences do not serve."""
    return loops.serves(r) and not cudnn.serves((r,))


def _run(r: Recurrence) -> tuple[Tensor, ...]:
    """By cuDNN, else by the reference: what autograd derives."""
    return cudnn.recur((r,)) if cudnn.serves((r,)) else reference.recur(r)


def _named(wanted: Sequence[bool]) -> list[str]:
    """The inputs that a gradient is wanted for, in order."""
    return [name for name, each in zip(Recurrence._fields, wanted, strict=True) if each]


def _present(r: Recurrence) -> list[str]:
    """The tensors that there can be a gradient for, in order."""
    return [name for name in Recurrence._fields if name not in ("cell", "lengths", "reverse") and getattr(r, name) is not None]


def _derived(r: Recurrence, dy: Tensor, dfinal: Tensor) -> dict[str, Tensor]:
    """The gradients of what `_run` runs, run once more and recorded."""
    names = _present(r)
    # Inside an operator autograd is switched off twice: the mode, and the dispatch key that records.
    with torch._C._SetExcludeDispatchKeyGuard(torch._C.DispatchKey.AutogradFunctionality, False), torch.enable_grad():
        leaves = [getattr(r, name).detach().requires_grad_() for name in names]
        outputs = _run(r._replace(**dict(zip(names, leaves, strict=True))))
        # Over no frames, y is a new tensor of nothing, without a history.
        known = [(output, given) for output, given in zip(outputs, (dy, dfinal), strict=True) if output.requires_grad]
        heads, tails = zip(*known, strict=True)
        found = torch.autograd.grad(heads, leaves, tails, allow_unused=True, materialize_grads=True)
    # Fresh ones: of no frames, the gradient of the state is `dfinal` itself.
    return {name: each.detach().clone(memory_format=torch.contiguous_format) for name, each in zip(names, found, strict=True)}


def _keep_for_backward(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    *given, _, every = inputs
    r = Recurrence._make(given)
    # Else every backward pass would fill zeros for the gradient of `saved`, the largest of the outputs.
    ctx.set_materialize_grads(False)
    # In pieces, y is computed again.
    y = output[0] if every is None else None
    ctx.save_for_backward(*(each for each in r if isinstance(each, Tensor) or each is None), y, output[2])
    ctx.cell, ctx.reverse, ctx.every = r.cell, r.reverse, every


def _backward(ctx: Any, dy: Tensor | None, dfinal: Tensor | None, dsaved: Tensor | None) -> tuple[Any, ...]:
    *tensors, y, saved = ctx.saved_tensors
    r = Recurrence._make((ctx.cell, *tensors, ctx.reverse))
    dy = r.x.new_zeros(*r.x.shape[:2], *r.state.shape[1:-1], r.width) if dy is None else dy
    dfinal = torch.zeros_like(r.state) if dfinal is None else dfinal
    wanted = ctx.needs_input_grad[: len(Recurrence._fields)]
    found = dict(zip(_named(wanted), _recur_backward(*r, y, saved, dy, dfinal, wanted, ctx.every), strict=True))
    return (*(found.get(name) for name in Recurrence._fields), None, None)


def _no_second_derivative(ctx: Any, *gradients: Tensor | None) -> None:
    raise UsageError(
        "convrnn::recur", tr("the fast recurrences have no second derivative"), tr("compute it inside kernels.use('reference')")
    )


_recur.register_autograd(_backward, setup_context=_keep_for_backward)
_recur_backward.register_autograd(_no_second_derivative)
_recur.register_autocast("cpu", torch.float32)
_recur.register_autocast("cuda", torch.float32)
work.register()
