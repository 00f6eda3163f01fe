"""Normalisation over the valid frames of all rows (batch norm), in C++ (csrc/moments.h). Knows no layer.

Over the n valid frames of a batch, channel by channel (Ioffe & Szegedy 2015, arXiv 1502.03167):

    m = sum x / n    v = sum (x - m)^2 / n    y = (x - m) / sqrt(v + epsilon) * scale + shift, zero beyond the lengths

Served is what `windows.serves` takes; a second derivative is that of torch's operators.

Shape legend: B rows, T frames, C channels.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from convrnn.kernels import windows

_FRAMES = windows.Grid(1, 1, 1, 0, True)
"""Windows of one frame."""


def normalised(x: Tensor, lengths: Tensor | None, scale: Tensor, shift: Tensor, epsilon: float) -> tuple[Tensor, Tensor, Tensor]:
    """y `[B, T, C]`, and m and v `[C]` without gradients; all zero over no frames.

    Args:
        x: `[B, T, C]`; anything beyond `lengths`.
        lengths: int64 `[B]`; None: all rows are full.
        scale: `[C]`.
        shift: `[C]`.
        epsilon: added to v.
    """
    return _Normalised.apply(x, lengths, scale, shift, epsilon)


def plain_normalised(x: Tensor, lengths: Tensor | None, scale: Tensor, shift: Tensor, epsilon: float) -> Tensor:
    """y of `normalised` in torch's operators: differentiable any number of times."""
    zero = x.new_zeros(())
    counts = torch.full((x.shape[0],), x.shape[1]) if lengths is None else lengths
    inside = windows.inside(x.shape[1], counts)
    number = counts.sum().clamp(min=1)
    mean = torch.where(inside, x, zero).sum((0, 1)) / number
    centred = torch.where(inside, x - mean, zero)
    var = centred.square().sum((0, 1)) / number
    return torch.where(inside, centred * torch.rsqrt(var + epsilon) * scale + shift, zero)


class _Normalised(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, lengths: Tensor | None, scale: Tensor, shift: Tensor, epsilon: float) -> tuple[Tensor, Tensor, Tensor]:
        assert scale.shape == shift.shape == x.shape[2:]
        x = x.contiguous()
        number = max(int(x.shape[0] * x.shape[1] if lengths is None else lengths.sum()), 1)
        mean, squares = windows.frame_sums(x, lengths, _FRAMES)
        var = squares / number
        mean = mean.to(x.dtype)
        y = windows.frame_affine(x, lengths, _FRAMES, mean, torch.rsqrt(var + epsilon) * scale, shift)
        ctx.save_for_backward(x, lengths, scale, shift, mean, var)
        ctx.epsilon, ctx.number = epsilon, number
        var = var.to(x.dtype)
        ctx.mark_non_differentiable(mean, var)
        return y, mean, var

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, lengths, scale, shift, mean, var = ctx.saved_tensors
        wanted = ctx.needs_input_grad[0], *ctx.needs_input_grad[2:4]
        if torch.is_grad_enabled():
            y = plain_normalised(x, lengths, scale, shift, ctx.epsilon)
            found = windows.derived(y, (x, scale, shift), wanted, gradients[0])
            return found[0], None, found[1], found[2], None
        dy, size = gradients[0].contiguous(), torch.rsqrt(var + ctx.epsilon)
        total, with_x = windows.frame_sums(x, lengths, _FRAMES, dy, mean)
        dx = None
        if wanted[0]:
            p = size * scale
            q, r = p * size.square() * with_x / -ctx.number, p * total / -ctx.number
            dx = windows.frame_affine(x, lengths, _FRAMES, mean, q, r, dy, p)
        return dx, None, (with_x * size).to(x.dtype), total.to(x.dtype), None
