"""Pooling over windows of time and space, and over the whole of time. Nothing is learned here but the query of attention pooling."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import field
from fractions import Fraction
from math import prod
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convrnn.core.errors import ShapeError, SpecError
from convrnn.core.hold import ENDED, refuse_ended
from convrnn.core.seq import Count, Ids, Seq, Shape, State, expand_mask, frame_mask, row_lengths, tidy
from convrnn.core.spec import register
from convrnn.layers.base import Last, Layer, Out, Spec, dense, is_last
from convrnn.layers.conv import Positive, Sizes, sizes
from convrnn.layers.windowed import Windowed


@register("pool")
class Pool(Spec):
    """Max or average pooling: `[B, T, *space, C]` to `[B, T', *space', C]`.

    `partial="keep"`: windows that the end of the row (or of the space) cuts short count, averaged over the frames they have:
    ceil(n / stride) frames. `"drop"`: only whole windows, as torch and Keras do by default. `keep` is the default because with
    `drop` a short row has no frame left after two pools.

    `Pool(windows=n)` divides each row into n windows, window i covering the frames [floor(i L / n), ceil((i + 1) L / n)) of a row of
    length L, as in adaptive pooling; space is left alone; an empty row gives zeros. It needs the whole row.

    Attributes:
        window: frames (and positions) of a window; time first.
        stride: step from window to window; None: the window.
        kind: `max` or `mean`.
        partial: `keep` or `drop`.
        windows: the number of windows, in place of their size.

    Example:
        >>> Pool(2).build(3).frames(5), Pool(2, partial="drop").build(3).frames(5)
        (3, 2)
    """

    window: Sizes | None = field(default=None, kw_only=False)
    stride: Sizes | None = None
    kind: Literal["max", "mean"] = "max"
    partial: Literal["keep", "drop"] = "keep"
    windows: Positive | None = None

    def check(self) -> None:
        """A size or a number of windows, not both."""
        if (self.window is None) == (self.windows is None):
            raise SpecError("pool", "expected one of window and windows", "give Pool(2) or Pool(windows=4)")
        if self.windows is not None and (self.stride is not None or self.partial != "keep"):
            raise SpecError("pool", "windows=n fixes the windows of each row", "leave stride and partial out")

    def module(self, in_shape: Shape | Ids) -> Layer:
        """See `Spec.module`."""
        shape = dense(in_shape)
        return _Pool(self, self.window, shape) if self.window is not None else _AdaptivePool(self.windows or 1, self.kind, shape)


class _Pool(Windowed):
    tidies: ClassVar[bool] = False

    def __init__(self, spec: Pool, window: int | tuple[int, ...], in_shape: Shape) -> None:
        *space, channels = in_shape
        if len(space) > 2:
            raise ShapeError("", f"expected at most 2 space dimensions, got {len(space)}", "put a Fold first")
        self_window = sizes(window, len(space) + 1, "window")
        stride = self_window if spec.stride is None else sizes(spec.stride, len(space) + 1, "stride")
        keep = spec.partial == "keep"
        out_space = tuple(-(-n // s) if keep else (n - w) // s + 1 for n, w, s in zip(space, self_window[1:], stride[1:], strict=True))
        if any(n < 1 for n in out_space):
            raise ShapeError("", f"window {self_window} does not fit into space {tuple(space)}", "use a smaller window or partial='keep'")
        super().__init__(in_shape, (*out_space, channels), self_window[0], stride[0], 0, keep)
        self.window, self.pool_stride, self.kind = self_window, stride, spec.kind
        self.fill = float("-inf") if spec.kind == "max" else 0.0
        self.missing = tuple((m - 1) * s + w - n for m, s, w, n in zip(out_space, stride[1:], self_window[1:], space, strict=True))

    def windows(self, frames: Tensor, total: Tensor | int, padding: int = 0) -> Tensor:
        if isinstance(total, Tensor):
            real = frame_mask(frames.shape[1], total)
            frames = torch.where(expand_mask(real, frames), frames, frames.new_full((), self.fill))
        if any(self.missing):
            frames = F.pad(frames, (0, 0, *(n for m in reversed(self.missing) for n in (0, m))), value=self.fill)
        if self.kind == "max":
            return _pooled(frames, self.window, self.pool_stride, maximum=True)
        # The mean over whole windows, zeros included, times size over count: ONNX has no other divisor.
        return _pooled(frames, self.window, self.pool_stride, maximum=False) * (prod(self.window) / self._counts(frames, total))

    def _counts(self, frames: Tensor, total: Tensor | int) -> Tensor:
        """Real positions in each window `[B or 1, T', *space', 1]`, at least 1."""
        steps = (frames.shape[1] - self.span) // self.stride + 1
        starts = torch.arange(steps, device=frames.device) * self.stride
        counts = (torch.as_tensor(total, device=frames.device).reshape(-1, 1) - starts).clamp(1, self.span).to(frames.dtype)
        counts = expand_mask(counts, frames)
        for axis, (size, window, stride) in enumerate(zip(dense(self.in_shape)[:-1], self.window[1:], self.pool_stride[1:], strict=True)):
            starts = torch.arange(self.out_shape[axis], device=frames.device) * stride
            within = (size - starts).clamp(max=window).to(frames.dtype)
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
    remedy = "use Pool(window) with a fixed window"

    def __init__(self, windows: int, kind: str, in_shape: Shape) -> None:
        super().__init__(in_shape, in_shape)
        self.windows, self.kind = windows, kind
        self.ratio, self.past, self.lookahead, self.streams = Fraction(0), None, None, False

    def frames(self, n: Count) -> Count:
        return n * 0 + self.windows

    def ready(self, n: Count) -> Count:
        return n * 0

    def forward(self, x: Seq, state: State = None, last: Last = True) -> Out:
        if last is not True or state is not None:
            self.require_streams()
        x = tidy(self.checked(x))
        lengths, place = row_lengths(x), torch.arange(x.values.shape[1], device=x.values.device)
        answers: list[Tensor] = []
        for i in range(self.windows):
            start, stop = lengths * i // self.windows, ((i + 1) * lengths + self.windows - 1) // self.windows
            inside = expand_mask((place >= start[:, None]) & (place < stop[:, None]), x.values)
            if self.kind == "mean":
                answers.append(x.values.where(inside, 0).sum(1) / expand_mask((stop - start).clamp(min=1)[:, None], x.values)[:, 0])
            else:
                answers.append(_maximum(x.values, inside, stop > start))
        return Out(Seq(torch.stack(answers, 1), None if x.lengths is None else lengths * 0 + self.windows, True), ())


def _maximum(values: Tensor, inside: Tensor, some: Tensor) -> Tensor:
    """Max over time of the frames inside; 0 for rows without `some`."""
    if values.shape[1] == 0:
        return values.new_zeros(values.shape[:1] + values.shape[2:])
    largest = values.masked_fill(~inside, float("-inf")).amax(1)
    return torch.where(expand_mask(some[:, None], values)[:, 0], largest, largest.new_zeros(()))


@register("global_pool")
class GlobalPool(Spec):
    """One frame for the whole row, given out when the row ends: `[B, T, *space, C]` to `[B, 1, *space, C]`.

    Streams for every kind: the state is a running sum, maximum or attention, so `Stream.peek()` tells the answer so far. An empty row gives
    zeros.

    Attributes:
        kind: `mean`, `max`, `last` (the last frame: h_T, a code of the whole sequence), or `attention`: softmax over time of a learned
            score v . tanh(W x + b) (Yang et al. 2016, hierarchical attention networks), computed online (Milakov & Gimelshein 2018,
            arXiv 1805.02867).
        size: width of the hidden layer of the attention score; None: the number of channels.

    Example:
        >>> GlobalPool("attention").build(8).out_shape
        (8,)
    """

    kind: Literal["mean", "max", "last", "attention"] = field(default="mean", kw_only=False)
    size: Positive | None = None

    def check(self) -> None:
        """Only attention has a size."""
        if self.size is not None and self.kind != "attention":
            raise SpecError("global_pool.size", f"belongs to kind='attention', got kind={self.kind!r}", "leave size out")

    def module(self, in_shape: Shape | Ids) -> Layer:
        """See `Spec.module`."""
        shape = dense(in_shape)
        if self.kind == "attention":
            return _AttentionPool(shape, self.size or shape[-1])
        return {"mean": _MeanPool, "max": _MaxPool, "last": _LastPool}[self.kind](shape)


class _GlobalPool(Layer):
    """The state is `(count int64 [B], ...)`, the count `ENDED` after the end."""

    def __init__(self, in_shape: Shape) -> None:
        super().__init__(in_shape, in_shape)
        self.ratio, self.past, self.lookahead = Fraction(0), None, None

    def frames(self, n: Count) -> Count:
        return n * 0 + 1

    def ready(self, n: Count) -> Count:
        return n * 0

    def initial_state(self, batch: int, like: Tensor) -> tuple[Any, ...]:
        return (torch.zeros(batch, dtype=torch.int64, device=like.device), *self.start(batch, like))

    @abstractmethod
    def start(self, batch: int, like: Tensor) -> tuple[Tensor, ...]:
        """What is known before the first frame."""

    @abstractmethod
    def update(self, known: tuple[Tensor, ...], values: Tensor, mask_BT: Tensor | None) -> tuple[Tensor, ...]:
        """What is known after these frames; the padding is zero, and there is none where `mask_BT` is None."""

    @abstractmethod
    def answer(self, known: tuple[Tensor, ...], count: Tensor) -> Tensor:
        """`[B, *space, C]` after `count` frames."""

    def first(self, values: Tensor) -> tuple[Tensor, ...]:
        """What is known after whole rows without padding, where that is cheaper than an update of nothing."""
        return self.update(self.start(values.shape[0], values), values, None)

    def forward(self, x: Seq, state: State = None, last: Last = True) -> Out:
        x = tidy(self.checked(x))
        batch, frames = x.values.shape[:2]
        lengths = row_lengths(x)
        if state is None and x.lengths is None and frames > 0:
            count, known = torch.zeros_like(lengths), self.first(x.values)
        else:
            count, *before = self.initial_state(batch, x.values) if state is None else state
            refuse_ended(count, lengths)
            known = self.update(tuple(before), x.values, None if x.lengths is None else frame_mask(frames, lengths))
        ends = is_last(last, batch, lengths.device)
        answers = (ends & (count >= 0)).to(torch.int64)
        count = count + lengths
        if last is False:
            return Out(Seq(x.values[:, :0], answers, True), (count, *known))
        y = self.answer(known, count.clamp(min=0))[:, None]
        whole = state is None and last is True and x.lengths is None
        return Out(Seq(y, None if whole else answers), (torch.where(ends, ENDED, count), *known))


class _MeanPool(_GlobalPool):
    keeps: ClassVar[tuple[str, ...]] = ("count", "sum")

    def start(self, batch: int, like: Tensor) -> tuple[Tensor, ...]:
        return (like.new_zeros(batch, *dense(self.in_shape)),)

    def update(self, known: tuple[Tensor, ...], values: Tensor, mask_BT: Tensor | None) -> tuple[Tensor, ...]:
        return (known[0] + values.sum(1),)

    def answer(self, known: tuple[Tensor, ...], count: Tensor) -> Tensor:
        return known[0] / _beside(count.clamp(min=1), known[0])


class _MaxPool(_GlobalPool):
    keeps: ClassVar[tuple[str, ...]] = ("count", "max")

    def start(self, batch: int, like: Tensor) -> tuple[Tensor, ...]:
        return (like.new_full((batch, *dense(self.in_shape)), float("-inf")),)

    def update(self, known: tuple[Tensor, ...], values: Tensor, mask_BT: Tensor | None) -> tuple[Tensor, ...]:
        if mask_BT is not None:
            values = values.masked_fill(~expand_mask(mask_BT, values), float("-inf"))
        # The maximum so far is one more frame: ties go to the earliest, offline and in chunks alike.
        return self.first(torch.cat([known[0][:, None], values], 1))

    def first(self, values: Tensor) -> tuple[Tensor, ...]:
        return (values.max(1).values,)

    def answer(self, known: tuple[Tensor, ...], count: Tensor) -> Tensor:
        return torch.where(_beside(count > 0, known[0]), known[0], known[0].new_zeros(()))


class _LastPool(_GlobalPool):
    keeps: ClassVar[tuple[str, ...]] = ("count", "last")

    def __init__(self, in_shape: Shape) -> None:
        super().__init__(in_shape)
        self.past = 0

    def start(self, batch: int, like: Tensor) -> tuple[Tensor, ...]:
        return (like.new_zeros(batch, *dense(self.in_shape)),)

    def update(self, known: tuple[Tensor, ...], values: Tensor, mask_BT: Tensor | None) -> tuple[Tensor, ...]:
        frames = torch.cat([known[0][:, None], values], 1)
        if mask_BT is None:
            return self.first(frames)
        place = expand_mask(mask_BT.sum(1)[:, None], values).expand((-1, 1, *values.shape[2:]))
        return (torch.gather(frames, 1, place)[:, 0],)

    def first(self, values: Tensor) -> tuple[Tensor, ...]:
        return (values[:, -1].clone(),)

    def answer(self, known: tuple[Tensor, ...], count: Tensor) -> Tensor:
        return known[0]


class _AttentionPool(_GlobalPool):
    """Online softmax: the largest score, the sum of exponentials and of weighted frames, rescaled when the largest grows."""

    keeps: ClassVar[tuple[str, ...]] = ("count", "top", "total", "weighted")

    def __init__(self, in_shape: Shape, size: int) -> None:
        if len(in_shape) != 1:
            raise ShapeError("", f"attention pooling expects frames without space, got {in_shape}", "put a Fold first")
        super().__init__(in_shape)
        self.hidden, self.score = nn.Linear(in_shape[-1], size), nn.Linear(size, 1, bias=False)

    def start(self, batch: int, like: Tensor) -> tuple[Tensor, ...]:
        return like.new_full((batch,), torch.finfo(like.dtype).min), like.new_zeros(batch), like.new_zeros(batch, *dense(self.in_shape))

    def update(self, known: tuple[Tensor, ...], values: Tensor, mask_BT: Tensor | None) -> tuple[Tensor, ...]:
        top, total, weighted = known
        scores_BT = self.score(torch.tanh(self.hidden(values)))[..., 0]
        if mask_BT is not None:
            scores_BT = scores_BT.masked_fill(~mask_BT, torch.finfo(values.dtype).min)
        # The shift cancels in the quotient, so it carries no gradient.
        new_top = torch.cat([top[:, None], scores_BT.detach()], 1).amax(1)
        weight_BT = torch.exp(scores_BT - new_top[:, None])
        if mask_BT is not None:
            weight_BT = torch.where(mask_BT, weight_BT, weight_BT.new_zeros(()))
        scale = torch.exp(top - new_top)
        return new_top, total * scale + weight_BT.sum(1), weighted * scale[:, None] + (weight_BT[..., None] * values).sum(1)

    def answer(self, known: tuple[Tensor, ...], count: Tensor) -> Tensor:
        _, total, weighted = known
        return weighted / total.where(count > 0, torch.ones_like(total))[:, None]


def _beside(x_B: Tensor, values: Tensor) -> Tensor:
    return x_B.reshape((-1,) + (1,) * (values.dim() - 1))
