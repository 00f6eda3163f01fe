"""Convolution and pooling over windows of frames, in C++ (csrc/windows.h): what is served, how tensors get there, and the gradients.

Rows have lengths of their own: nothing is read beyond them, and the answer is zero where a row has no window, so no layer before or behind
has anything to mask. Served is eager work on the CPU. What watches operators (export, `torch.compile`, transforms, autocast) sees torch's
own convolution, which it knows; so does a second derivative, through `plain_conv` and `plain_pool`. Knows no layer.

Shape legend: B rows, T frames, U windows, C channels, F features.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import forward_ad

from convrnn.kernels import dispatch, native


class Grid(NamedTuple):
    """Window j of a row reads the frames `j * stride - left + k * dilation` for k < taps.

    Attributes:
        taps: frames of a window.
        stride: from window to window.
        dilation: from frame to frame of a window.
        left: frames that window 0 begins before the row.
        partial: a row of n frames has ceil(n / stride) windows; else only those that it fills.
    """

    taps: int
    stride: int
    dilation: int
    left: int
    partial: bool

    def count(self, n: Any) -> Any:
        """Windows of a row of n frames, an int or an int64 tensor."""
        if self.partial:
            return (n + self.stride - 1) // self.stride
        fit = n - self.span + self.stride
        return (fit.clamp(min=0) if isinstance(fit, Tensor) else max(fit, 0)) // self.stride

    @property
    def span(self) -> int:
        """Frames from the first to the last of a window."""
        return (self.taps - 1) * self.dilation + 1


_FRAME = Grid(1, 1, 1, 0, True)


def serves(x: Tensor, lengths: Tensor | None, *weights: Tensor | None) -> bool:
    """Whether the compiled loops take these, and nothing looks on that would miss torch's operators."""
    if not native.plain(x) or x.dim() != 3 or not x.is_cpu or x.dtype not in (torch.float32, torch.float64):
        return False
    if lengths is not None and not (lengths.is_cpu and lengths.shape == x.shape[:1]):
        return False
    tensors = [x, *(each for each in weights if each is not None)]
    alike = all(each.is_cpu and each.dtype == x.dtype and forward_ad.unpack_dual(each).tangent is None for each in tensors)
    return alike and dispatch.chosen() == "fast" and native.available()


def conv(x: Tensor, lengths: Tensor | None, weight: Tensor, bias: Tensor | None, grid: Grid) -> Tensor:
    """`[B, T, C]` to `[B, U, F]`, zero behind each row's last window; frames outside of a row count as zeros.

    Args:
        x: what `serves`; anything beyond `lengths`.
        lengths: int64 `[B]`; None: all rows are full.
        weight: `[F, C, taps]`.
        bias: `[F]`.
        grid: where the windows lie.
    """
    return _Conv.apply(x, lengths, weight, bias, grid)


def linear(x: Tensor, lengths: Tensor | None, weight: Tensor, bias: Tensor | None) -> Tensor:
    """W x + b of every frame, `[B, T, C]` to `[B, T, F]`: `conv` with windows of one frame, and weights `[F, C]`."""
    return conv(x, lengths, weight[..., None], bias, _FRAME)


def pool(x: Tensor, lengths: Tensor | None, maximum: bool, grid: Grid) -> Tensor:
    """`[B, T, C]` to `[B, U, C]`: the largest of the frames of a window, or their mean; those outside of the row do not count.

    The grid has no dilation and nothing on the left.
    """
    return _Pool.apply(x, lengths, maximum, grid)


def plain_conv(x: Tensor, lengths: Tensor | None, weight: Tensor, bias: Tensor | None, grid: Grid) -> Tensor:
    """`conv` in torch's operators: differentiable any number of times."""
    padded = F.pad(_inside(x, lengths, 0.0), _missing(x, grid))
    y = F.conv1d(padded.transpose(1, 2), weight, bias, grid.stride, 0, grid.dilation).transpose(1, 2)
    return _inside(y[:, : grid.count(x.shape[1])], None if lengths is None else grid.count(lengths), 0.0)


def plain_pool(x: Tensor, lengths: Tensor | None, maximum: bool, grid: Grid) -> Tensor:
    """`pool` likewise."""
    windows, missing = grid.count(x.shape[1]), _missing(x, grid)
    fill = float("-inf") if maximum else 0.0
    taps = F.pad(_inside(x, lengths, fill), missing, value=fill).unfold(1, grid.span, grid.stride)[:, :windows]
    if maximum:
        y = taps.max(-1).values
    else:
        real = F.pad(_inside(torch.ones_like(x[..., :1]), lengths, 0.0), missing).unfold(1, grid.span, grid.stride)[:, :windows]
        y = taps.sum(-1) / real.sum(-1).clamp(min=1)
    return _inside(y, None if lengths is None else grid.count(lengths), 0.0)


def _missing(x: Tensor, grid: Grid) -> tuple[int, ...]:
    """The padding with which every window lies inside, one at least."""
    width = (max(grid.count(x.shape[1]), 1) - 1) * grid.stride + grid.span
    return 0, 0, grid.left, max(width - grid.left - x.shape[1], 0)


def inside(frames: int, lengths: Tensor) -> Tensor:
    """Bool `[B, T, 1]`: True where a frame is valid."""
    return (torch.arange(frames) < lengths[:, None])[..., None]


def _inside(x: Tensor, lengths: Tensor | None, fill: float) -> Tensor:
    """`fill` beyond the lengths."""
    return x if lengths is None else torch.where(inside(x.shape[1], lengths), x, x.new_full((), fill))


class _Conv(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, lengths: Tensor | None, weight: Tensor, bias: Tensor | None, grid: Grid) -> Tensor:
        assert weight.shape[1:] == (x.shape[2], grid.taps)
        x, lengths = x.contiguous(), _counts(lengths)
        y = x.new_empty(x.shape[0], grid.count(x.shape[1]), weight.shape[0])
        dense, dense_bias = weight.contiguous(), _dense(bias)
        _module().conv_forward(_record(x, lengths, grid), y.shape[2], *map(_at, (x, dense, dense_bias, y)))
        ctx.save_for_backward(x, lengths, weight, bias)
        ctx.grid = grid
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, lengths, weight, bias = ctx.saved_tensors
        wanted = ctx.needs_input_grad
        if torch.is_grad_enabled():
            found = derived(plain_conv(x, lengths, weight, bias, ctx.grid), (x, weight, bias), (wanted[0], *wanted[2:4]), gradients[0])
            return found[0], None, found[1], found[2], None
        dy = gradients[0].contiguous()
        dense = weight.contiguous()
        dx, dw, db = (_like(each, wanted[i]) for i, each in ((0, x), (2, dense), (3, bias)))
        _module().conv_backward(_record(x, lengths, ctx.grid), dy.shape[2], *map(_at, (x, dense, dy, dx, dw, db)))
        return dx, None, dw, db, None


class _Pool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, lengths: Tensor | None, maximum: bool, grid: Grid) -> Tensor:
        x, lengths = x.contiguous(), _counts(lengths)
        y = x.new_empty(x.shape[0], grid.count(x.shape[1]), x.shape[2])
        _module().pool_forward(_record(x, lengths, grid), maximum, _at(x), _at(y))
        ctx.save_for_backward(x, lengths, y)
        ctx.maximum, ctx.grid = maximum, grid
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, lengths, y = ctx.saved_tensors
        if torch.is_grad_enabled():
            return *derived(plain_pool(x, lengths, ctx.maximum, ctx.grid), (x,), (True,), gradients[0]), None, None, None
        dy, dx = gradients[0].contiguous(), torch.empty_like(x)
        _module().pool_backward(_record(x, lengths, ctx.grid), ctx.maximum, *map(_at, (x, y, dy, dx)))
        return dx, None, None, None


def derived(y: Tensor, inputs: tuple[Tensor | None, ...], wanted: tuple[bool, ...], dy: Tensor) -> list[Tensor | None]:
    """The gradients wanted of what was computed once more, each with a history of its own."""
    asked = [each for each, want in zip(inputs, wanted, strict=True) if want and each is not None]
    found = iter(torch.autograd.grad(y, asked, dy, create_graph=True, materialize_grads=True))
    return [next(found) if want else None for want in wanted]


def frame_sums(
    x: Tensor, lengths: Tensor | None, grid: Grid, dy: Tensor | None = None, middle: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Over the valid frames, float64 `[C]`: their mean and the sum of squares around it; with dy the sums of dy and of dy (x - middle)."""
    lengths = _counts(lengths)
    first, second = torch.empty(2, x.shape[2], dtype=torch.float64)
    _module().frame_sums(_record(x, lengths, grid), *map(_at, (x, dy, middle, first, second)))
    return first, second


def frame_affine(
    x: Tensor,
    lengths: Tensor | None,
    grid: Grid,
    middle: Tensor,
    q: Tensor,
    r: Tensor,
    dy: Tensor | None = None,
    p: Tensor | None = None,
) -> Tensor:
    """(x - middle) q + r, and dy p if there is a dy: `[B, T, C]`, zero beyond the lengths; all others `[C]`."""
    lengths, y = _counts(lengths), torch.empty_like(x)
    factors = [None if each is None else each.to(x.dtype).contiguous() for each in (middle, p, q, r)]
    _module().frame_affine(_record(x, lengths, grid), [*map(_at, (x, dy, *factors, y))])
    return y


def _module() -> Any:
    module = native.compiled()
    assert module is not None, "serves() was asked"
    return module


def _record(x: Tensor, lengths: Tensor | None, grid: Grid) -> Any:
    """In the order of csrc/bind_windows.cpp."""
    rows, frames, channels = x.shape
    return _module().WindowRecord(
        x.dtype == torch.float64, rows, frames, channels, _at(lengths), grid.count(frames), *grid, torch.get_num_threads()
    )


def _counts(lengths: Tensor | None) -> Tensor | None:
    return None if lengths is None else lengths.long().contiguous()


def _dense(values: Tensor | None) -> Tensor | None:
    return None if values is None else values.contiguous()


def _like(values: Tensor | None, wanted: bool) -> Tensor | None:
    return torch.empty_like(values) if wanted and values is not None else None


def _at(values: Tensor | None) -> int:
    return 0 if values is None else values.data_ptr()
