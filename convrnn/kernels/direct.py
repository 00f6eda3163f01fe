"""The compiled recurrences without their operator, one or both directions of a layer at once. Knows no layer.

The dispatch of an operator written in Python takes longer than a short recurrence, and gains nothing where no trace, mode or transform
looks on (`native.plain`): there autograd alone is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from convrnn.kernels import compiled
from convrnn.kernels.reference import Recurrence

TENSORS = Recurrence._fields[1:-1]
"""The fields between the cell's name and the direction."""


def recur(rs: tuple[Recurrence, ...], save: bool) -> tuple[Tensor, ...]:
    """h side by side, and the state of each; `compiled` serves them all. Without `save` no gradient can be asked for."""
    if not save:
        done = compiled.forward(rs, False)
        return done.y, *done.finals
    return _Recur.apply([(r.cell, r.reverse) for r in rs], *(getattr(r, name) for r in rs for name in TENSORS))


class _Recur(torch.autograd.Function):
    """`compiled.forward` and `compiled.backward`, joined."""

    @staticmethod
    def forward(ctx: Any, known: list[tuple[str, bool]], *tensors: Tensor | None) -> tuple[Tensor, ...]:
        done = compiled.forward(_recurrences(known, tensors), True)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors, done.y, *done.saved)
        ctx.known = known
        return done.y, *done.finals

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Any, ...]:
        count = len(ctx.known)
        # Read once: where they were not kept (`checkpoint`), reading computes them again.
        given = ctx.saved_tensors
        *tensors, y = given[:-count]
        rs, saved = _recurrences(ctx.known, tensors), given[-count:]
        dy = torch.zeros_like(y) if gradients[0] is None else gradients[0]
        finals = [torch.zeros_like(r.state) if each is None else each for r, each in zip(rs, gradients[1:], strict=True)]
        needed = ctx.needs_input_grad[1:]
        wanted = [needed[i : i + len(TENSORS)] for i in range(0, len(needed), len(TENSORS))]
        names = [[name for name, each in zip(TENSORS, of, strict=True) if each] for of in wanted]
        if torch.is_grad_enabled() or any(not set(each) <= set(compiled.GRADIENTS) for each in names):
            # The operator has what to say to who derives once more, and the gradients of masks.
            operator = torch.ops.convrnn.recur_backward.default
            parts = zip(rs, y.chunk(count, -1), saved, dy.chunk(count, -1), finals, wanted, names, strict=True)
            found = [dict(zip(n, operator(*r, a, s, da, f, [False, *w, False]), strict=True)) for r, a, s, da, f, w, n in parts]
        else:
            found = compiled.backward(rs, y, saved, dy, finals, names)
        return None, *(each.get(name) for each in found for name in TENSORS)


def _recurrences(known: list[tuple[str, bool]], tensors: Sequence[Any]) -> tuple[Recurrence, ...]:
    """From what `apply` was given."""
    each = len(TENSORS)
    return tuple(Recurrence._make((cell, *tensors[i * each : (i + 1) * each], reverse)) for i, (cell, reverse) in enumerate(known))
