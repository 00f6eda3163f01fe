"""Pooling over windows of time and space, of a fixed size or a fixed number of them. Nothing is learned. Knows no state of its own:
`windowed.py` holds the frames.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field
from fractions import Fraction
from itertools import product
from math import prod
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from convrnn.core.errors import ShapeError, SpecError
from convrnn.core.language import tr
from convrnn.core.seq import Count, Ids, Seq, Shape, State, expand_mask, frame_mask, row_lengths, tidy
from convrnn.core.spec import register
from convrnn.kernels import windows
from convrnn.layers.base import Last, Layer, Out, Spec, dense
from convrnn.layers.conv import Positive, Sizes, sizes
from convrnn.layers.moments import wide
from convrnn.layers.pool_whole import Power, chosen, lp_norm
from convrnn.layers.windowed import Windowed


@register("pool")
class Pool(Spec):
    """Pooling over windows: `[B, T, *space, C]` to `[B, T', *space', C]`, channel by channel.

        max   max x      mean   sum x / n      lp   (sum |x|^p)^(1/p)

    `lp` is the norm of the window as in torch's `LPPool` (Sermanet et al. 2012, arXiv 1204.3968), not a power mean: nothing is divided by
    n, so it falls from the sum of the sizes at p = 1 towards the largest of them. It takes sizes |x| for every p (torch does not: its odd
    powers of negative numbers are no norm), and its derivative in a window of zeros is 0.

    `partial="keep"`: windows that the end of the row (or of the space) cuts short count, averaged over the frames they have:
    ceil(n / stride) frames. `"drop"`: only whole windows, as torch and Keras do by default. `keep` is the default because with
    `drop` a short row has no frame left after two pools.

    `Pool(windows=n)` divides each row into n windows, window i covering the frames [floor(i L / n), ceil((i + 1) L / n)) of a row of
    length L, as in adaptive pooling; space is left alone; an empty row gives zeros. It needs the whole row.

    Attributes:
        window: frames (and positions) of a window; time first.
        stride: step from window to window; None: the window.
        kind: `max`, `mean` or `lp`.
        p: the power of `lp`; None: 2.
        partial: `keep` or `drop`.
        windows: the number of windows, in place of their size.

    Example:
        >>> Pool(2).build(3).frames(5), Pool(2, partial="drop").build(3).frames(5)
        (3, 2)
    """

    window: Sizes | None = field(default=None, kw_only=False)
    stride: Sizes | None = None
    kind: Literal["max", "mean", "lp"] = "max"
    p: Power | None = None
    partial: Literal["keep", "drop"] = "keep"
    windows: Positive | None = None

    def check(self) -> None:
        """A size or a number of windows, not both; a power for `lp` alone."""
        if (self.window is None) == (self.windows is None):
            raise SpecError("pool", tr("expected one of window and windows"), tr("give Pool(2) or Pool(windows=4)"))
        if self.windows is not None and (self.stride is not None or self.partial != "keep"):
            raise SpecError("pool", tr("windows=n fixes the windows of each row"), tr("leave stride and partial out"))
        if self.p is not None and self.kind != "lp":
            raise SpecError("pool.p", tr("belongs to kind='lp', got kind={got!r}", got=self.kind), tr("leave p out"))

    def module(self, in_shape: Shape | Ids) -> Layer:
        """See `Spec.module`."""
        shape = dense(in_shape)
        return _Pool(self, self.window, shape) if self.window is not None else _AdaptivePool(self, self.windows or 1, shape)


class _Pool(Windowed):
    tidies: ClassVar[bool] = False

    def __init__(self, spec: Pool, window: int | tuple[int, ...], in_shape: Shape) -> None:
        *space, channels = in_shape
        if len(space) > 2:
            raise ShapeError("", tr("expected at most 2 space dimensions, got {got}", got=len(space)), tr("put a Fold first"))
        self_window = sizes(window, len(space) + 1, "window")
        stride = self_window if spec.stride is None else sizes(spec.stride, len(space) + 1, "stride")
        keep = spec.partial == "keep"
        out_space = tuple(-(-n // s) if keep else (n - w) // s + 1 for n, w, s in zip(space, self_window[1:], stride[1:], strict=True))
        if any(n < 1 for n in out_space):
            raise ShapeError(
                "",
                tr("window {window} does not fit into space {space}", window=self_window, space=tuple(space)),
                tr("use a smaller window or partial='keep'"),
            )
        super().__init__(in_shape, (*out_space, channels), self_window[0], stride[0], 0, keep)
        self.window, self.pool_stride, self.kind, self.power = self_window, stride, spec.kind, spec.p or 2.0
        self.fill = float("-inf") if spec.kind == "max" else 0.0
        self.missing = tuple((m - 1) * s + w - n for m, s, w, n in zip(out_space, stride[1:], self_window[1:], space, strict=True))

    def direct(self, x: Seq) -> Tensor | None:
        if self.kind == "lp" or not windows.serves(x.values, x.lengths):
            return None
        return windows.pool(x.values, x.lengths, self.kind == "max", windows.Grid(self.span, self.stride, 1, 0, self.partial))

    def windows(self, frames: Tensor, total: Tensor | int, padding: int = 0) -> Tensor:
        frames = self._filled(frames, total)
        match self.kind:
            case "max":
                return _pooled(frames, self.window, self.pool_stride, maximum=True)
            case "lp":
                return lp_norm(torch.stack(list(self._taps(frames))), self.power, 0)
            case _:
                # The mean over whole windows, zeros included, times size over count: ONNX has no other divisor.
                mean = _pooled(frames, self.window, self.pool_stride, maximum=False)
                return (mean * (prod(self.window) / self._counts(frames, total))).to(frames.dtype)

    def inside(self, x: Seq) -> dict[str, Tensor]:
        """`argmax` `[B, T', *space', C]` of max pooling: the frame of the row that was chosen, the first of equals."""
        if self.kind != "max":
            return {}
        x = tidy(self.checked(x))
        frames = x.values.shape[1]
        missing = max(int(self.frames(frames)) - 1, 0) * self.stride + self.span - frames
        padded = self._filled(F.pad(x.values, (0, 0) * (x.values.dim() - 2) + (0, missing)), row_lengths(x))
        tap = torch.stack(list(self._taps(padded))).argmax(0)
        starts = expand_mask((torch.arange(tap.shape[1], device=tap.device) * self.stride)[None], tap)
        return {"argmax": (starts + tap // prod(self.window[1:]))[:, : self.frames(frames)]}

    def _filled(self, frames: Tensor, total: Tensor | int) -> Tensor:
        """`fill` beyond the total of each row, and where the space ends before its last window does."""
        if isinstance(total, Tensor):
            real = frame_mask(frames.shape[1], total)
            frames = torch.where(expand_mask(real, frames), frames, frames.new_full((), self.fill))
        return F.pad(frames, (0, 0, *(n for m in reversed(self.missing) for n in (0, m))), value=self.fill) if any(self.missing) else frames

    def _taps(self, frames: Tensor) -> Iterator[Tensor]:
        """The first entry of every window `[B, T', *space', C]`, the second, and so on; time outermost."""
        for offsets in product(*map(range, self.window)):
            tap = frames
            for axis, (offset, window, stride) in enumerate(zip(offsets, self.window, self.pool_stride, strict=True), start=1):
                tap = tap[(slice(None),) * axis + (slice(offset, tap.shape[axis] - window + offset + 1, stride),)]
            yield tap

    def _counts(self, frames: Tensor, total: Tensor | int) -> Tensor:
        """Real positions in each window `[B or 1, T', *space', 1]`, at least 1."""
        steps = (frames.shape[1] - self.span) // self.stride + 1
        starts = torch.arange(steps, device=frames.device) * self.stride
        counts = (torch.as_tensor(total, device=frames.device).reshape(-1, 1) - starts).clamp(1, self.span).to(wide(frames.dtype))
        counts = expand_mask(counts, frames)
        for axis, (size, window, stride) in enumerate(zip(dense(self.in_shape)[:-1], self.window[1:], self.pool_stride[1:], strict=True)):
            starts = torch.arange(self.out_shape[axis], device=frames.device) * stride
            within = (size - starts).clamp(max=window).to(counts.dtype)
            counts = counts * within.reshape((1, 1) + (1,) * axis + (-1,) + (1,) * (frames.dim() - 3 - axis))
        return counts


def _pooled(x: Tensor, window: tuple[int, ...], stride: tuple[int, ...], maximum: bool) -> Tensor:
    """Max or mean over whole windows of `[B, T, *space, C]`, channels last as a view."""
    if x.dim() == 5:
        v = x.permute(0, 4, 1, 2, 3)
        y = F.max_pool3d(v, window, stride) if maximum else F.avg_pool3d(v, window, stride)
        return y.permute(0, 2, 3, 4, 1).contiguous()
    if x.dim() == 4:
        v = x.permute(0, 3, 1, 2)
        y = F.max_pool2d(v, window, stride) if maximum else F.avg_pool2d(v, window, stride)
        return y.permute(0, 2, 3, 1).contiguous()
    v = x.transpose(1, 2).unsqueeze(2)
    one, step = (1, *window), (1, *stride)
    y = F.max_pool2d(v, one, step) if maximum else F.avg_pool2d(v, one, step)
    return y.squeeze(2).transpose(1, 2).contiguous()


class _AdaptivePool(Layer):
    remedy = tr("use Pool(window) with a fixed window")

    def __init__(self, spec: Pool, windows: int, in_shape: Shape) -> None:
        super().__init__(in_shape, in_shape)
        self.windows, self.kind, self.power = windows, spec.kind, spec.p or 2.0
        self.ratio, self.past, self.lookahead, self.streams = Fraction(0), None, None, False

    def frames(self, n: Count) -> Count:
        """As many as there are windows."""
        return n * 0 + self.windows

    def ready(self, n: Count) -> Count:
        """None before the end."""
        return n * 0

    def forward(self, x: Seq, state: State = None, last: Last = True) -> Out:
        """See `Layer.forward`."""
        if last is not True or state is not None:
            self.require_streams()
        x = tidy(self.checked(x))
        # One frame more than there are, which no window covers: a maximum over no frames at all is not defined.
        values = F.pad(x.values, (0, 0) * (x.values.dim() - 2) + (0, 1))
        answers = [self._pooled(values, inside_BT) for inside_BT in self._inside(x)]
        return Out(Seq(torch.stack(answers, 1), None if x.lengths is None else x.lengths * 0 + self.windows, True), ())

    def inside(self, x: Seq) -> dict[str, Tensor]:
        """`argmax` `[B, windows, *space, C]` of max pooling: the frame that was chosen, the first of equals; -1 in an empty row."""
        if self.kind != "max":
            return {}
        x = tidy(self.checked(x))
        return {"argmax": torch.stack([chosen(x.values, inside_BT[:, :-1]) for inside_BT in self._inside(x)], 1)}

    def _inside(self, x: Seq) -> Iterator[Tensor]:
        """For each window the frames that it covers, bool `[B, T + 1]`."""
        lengths, place = row_lengths(x)[:, None], torch.arange(x.values.shape[1] + 1, device=x.values.device)
        for i in range(self.windows):
            yield (place >= lengths * i // self.windows) & (place < ((i + 1) * lengths + self.windows - 1) // self.windows)

    def _pooled(self, values: Tensor, inside_BT: Tensor) -> Tensor:
        """`[B, *space, C]`; 0 where nothing is inside."""
        inside = expand_mask(inside_BT, values)
        match self.kind:
            case "max":
                largest = values.masked_fill(~inside, float("-inf")).amax(1)
                return torch.where(inside.any(1), largest, largest.new_zeros(()))
            case "lp":
                return lp_norm(values.where(inside, 0), self.power, 1)
            case _:
                total = values.where(inside, 0).sum(1, dtype=wide(values.dtype))
                return (total / inside.sum(1).clamp(min=1)).to(values.dtype)
